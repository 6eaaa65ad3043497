//! The report of a search: its best trial, pictures of what each parameter does, and all trials.

use super::{arguments, cells, near, number, with};
use crate::output::{count, printable};
use tilewise_models::space::Values;
use tilewise_models::{Search, Trial, Tuned};
use tilewise_picture::is_wide;
use tilewise_report::{Axis, Block, Chart, Cloud, Page, Places, ScatterChart, Section, Spot, Table};

/// Trials in the table of a page.
const LISTED: usize = 500;

pub(super) fn page(found: &Tuned, search: &Search, how: &str, family: &str) -> Page {
    let mut sections = Vec::new();
    if let Some((best, measured)) = found.best().and_then(|best| Some((best, best.last()?))) {
        let (near, compared) = near(found);
        let direction = if found.more_is_better { "more" } else { "less" };
        let figures = vec![
            (number(measured.mean), format!("{}, the mean over folds; {direction} is better", found.metric)),
            (number(measured.error), "its standard error".to_owned()),
            (format!("{near} of {compared}"), "trials within one standard error of it".to_owned()),
        ];
        let caution = "The best of many trials looks better than it is: measure the model on rows that took no part. Trials within \
                       one standard error differ from the best by little more than chance; the simplest or cheapest of them may be \
                       the better choice.";
        let command = format!("tilewise train --model {family} {}", printable(&arguments(best, search)));
        sections.push(
            Section::new(format!("Best: trial {}", best.number))
                .with(Block::Figures(figures))
                .with(Block::Code(command))
                .with(Block::Note(caution.into())),
        );
    }
    let parameters = search.space.parameters().iter().enumerate();
    let charts = [by_trial(found)]
        .into_iter()
        .chain(parameters.map(|(i, (key, values))| by_value(found, i, key, values)));
    let mut pictures = Section::new("Scores").with(Block::Charts(charts.map(Chart::Scatter).collect()));
    if found.rungs.len() > 1 {
        let what = "A trial is shown on the last rung that it reached. Scores of different rungs cannot be compared: on a \
                    lower one a trial had less to learn from.";
        pictures = pictures.with(Block::Note(what.into()));
    }
    sections.push(pictures);
    let rows = cells(found, search, LISTED);
    let (header, rows) = rows.split_first().map_or((&[][..], &[][..]), |(header, rows)| (&header[..], rows));
    // Words stand to the left: parameters that have any, and the remarks.
    let is_words = |i: usize| rows.iter().any(|row| row[i].parse::<f64>().is_err() && !row[i].is_empty());
    let header: Vec<String> = header
        .iter()
        .enumerate()
        .map(|(i, name)| if is_words(i) { format!("<{name}") } else { name.clone() })
        .collect();
    let mut table = Table::new("", &header.iter().map(String::as_str).collect::<Vec<_>>());
    rows.iter().for_each(|row| table.push(row.iter().cloned()));
    let mut trials = Section::new("Trials, best first").with(Block::Table(table));
    if found.trials.len() > LISTED {
        trials = trials.with(Block::Note(format!("and {} more", found.trials.len() - LISTED)));
    }
    sections.push(trials);
    let stopped = if found.stopped { "; stopped before all were measured" } else { "" };
    Page {
        title: format!("Search for settings of {family}"),
        summary: format!("{how}; {}{stopped}.", count(found.trials.len(), "trial")),
        machine: None,
        sections,
    }
}

/// The points of trials, a kind for each rung that was the last of some, the highest first.
fn clouds(found: &Tuned, x: impl Fn(&Trial) -> f64, errors: bool) -> Vec<Cloud> {
    let of_rung = |i: usize| {
        let here = found.trials.iter().filter(|trial| trial.failed.is_none() && trial.rungs.len() == i + 1);
        let spot = |trial: &Trial| {
            let measured = trial.last()?;
            let values = printable(&trial.point.join(", "));
            Some(Spot {
                x: x(trial),
                y: measured.mean,
                error: errors.then_some(measured.error),
                tip: format!("trial {}: {values}\n{} {}", trial.number, found.metric, number(measured.mean)),
            })
        };
        let name = if found.rungs.len() == 1 { "trials".to_owned() } else { with(&found.rungs[i]) };
        Cloud { name, spots: here.filter_map(spot).collect() }
    };
    (0..found.rungs.len()).rev().map(of_rung).filter(|cloud| !cloud.spots.is_empty()).collect()
}

/// The axis of scores. A few that are far off would press all others together.
fn scores(found: &Tuned) -> Axis {
    let means = found.trials.iter().filter_map(Trial::last).map(|measured| measured.mean);
    if !found.more_is_better && is_wide(means) { Axis::log(found.metric) } else { Axis::linear(found.metric) }
}

fn ringed(found: &Tuned, x: impl Fn(&Trial) -> f64) -> Option<(String, f64, f64)> {
    let best = found.best()?;
    Some(("best".to_owned(), x(best), best.last()?.mean))
}

fn by_trial(found: &Tuned) -> ScatterChart {
    let x = |trial: &Trial| trial.number as f64;
    ScatterChart {
        title: format!("{} of each trial, with its standard error", found.metric),
        x: Places::Axis(Axis::linear("trial")),
        y: scores(found),
        clouds: clouds(found, x, true),
        ringed: ringed(found, x),
        ..ScatterChart::default()
    }
}

fn by_value(found: &Tuned, place: usize, key: &str, values: &Values) -> ScatterChart {
    let number = |trial: &Trial| trial.point[place].parse::<f64>().ok().filter(|x| x.is_finite());
    let label = printable(key);
    let title = format!("{} against {label}", found.metric);
    let words = match values {
        Values::List(list) => list.iter().any(|value| value.parse::<f64>().is_err()).then_some(list),
        _ => None,
    };
    // A word lies at its place in the list.
    let x = |trial: &Trial| match words {
        Some(list) => list.iter().position(|v| *v == trial.point[place]).map_or(f64::NAN, |i| i as f64),
        None => number(trial).unwrap_or(f64::NAN),
    };
    let places = match words {
        Some(list) => Places::Names { label, names: list.iter().map(|value| printable(value)).collect() },
        None => {
            let wide = values.is_log() || is_wide(found.trials.iter().filter_map(number));
            Places::Axis(if wide { Axis::log(label) } else { Axis::linear(label) })
        }
    };
    ScatterChart {
        title,
        x: places,
        y: scores(found),
        clouds: clouds(found, x, false),
        ringed: ringed(found, x),
        ..ScatterChart::default()
    }
}
