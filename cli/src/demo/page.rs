//! The demo's report.

use super::quality::{self, Outcome};
use super::requests::Load;
use super::speed::{self, Speed};
use tilewise_picture as picture;
use tilewise_report::{Axis, BarChart, Block, Chart, Group, LineChart, Machine, Page, ScatterChart, Section};

pub(crate) fn page(outcomes: &[Outcome], speeds: &[Speed], served: &str, load: &Load) -> Page {
    let threads = speeds.first().map_or(1, |speed| speed.threads);
    let training = BarChart {
        title: format!("Speed-up of {threads} threads over one"),
        axis: Axis::linear("times as fast"),
        groups: speeds
            .iter()
            .map(|s| Group {
                name: s.family.to_owned(),
                bars: vec![("training".into(), s.ratio), ("bare multiply-adds".into(), s.machine)],
            })
            .collect(),
        reference: Some(1.0),
    };
    let errors = BarChart {
        title: "Error on rows held out, relative to always answering the same".into(),
        axis: Axis::linear("share of the plain answer's error"),
        groups: outcomes.iter().filter_map(relative_error).collect(),
        reference: Some(1.0),
    };
    let quality = Section::new("Quality on rows held out")
        .with(Block::Prose(
            "Every family that fits a data set was trained on 80 % of its rows and measured on the rest, beside an answer \
             that ignores the inputs (the mean, or the shares of the classes)."
                .into(),
        ))
        .with(Block::Table(quality::table(outcomes)))
        .with(Block::Charts(vec![Chart::Bar(errors)]));
    let learned = Section::new("What was learned from which column")
        .with(Block::Prose(
            "The share of each column in what the splits of trees gained, the ten largest. `tilewise inspect` draws \
             the trees of the model files themselves, and `tilewise explain` tells what each column adds to each answer."
                .into(),
        ))
        .with(Block::Charts(outcomes.iter().filter_map(importances).collect()));
    let penalties = Section::new("What a penalty does to coefficients")
        .with(Block::Prose(
            "From left to right the penalty becomes weaker, and columns come in one after another; cross-validation on the rows learned from \
             chose its weight. Numbers are scaled to deviation 1, so that their coefficients can be compared."
                .into(),
        ))
        .with(Block::Charts(outcomes.iter().flat_map(over_the_penalty).collect()));
    let left_over = left_over(outcomes);
    let speed = Section::new("One thread and all")
        .with(Block::Prose(
            "The same training on a generated problem, one thread and all threads in turn, seven rounds; the ratio is the \
             median of the ratios of the rounds. Beside it stands the speed-up of bare multiply-adds in the same rounds: less \
             than the number of threads where other programs keep cores busy or one core drives two threads. \"Same bytes\" is \
             said of their model files."
                .into(),
        ))
        .with(Block::Table(speed::table(speeds)))
        .with(Block::Charts(vec![Chart::Bar(training)]));
    let serving = Section::new("Serving")
        .with(Block::Figures(vec![
            (format!("{:.0}", load.per_second), "requests a second".into()),
            (tilewise_report::seconds(load.p50), "p50".into()),
            (tilewise_report::seconds(load.p99), "p99".into()),
        ]))
        .with(Block::Prose(format!(
            "The {served} model behind HTTP on this machine, single rows as JSON objects, the client in the same process. \
             Every answer was compared with prediction in this process, bit for bit."
        )))
        .with(Block::Note(
            "Client and server share the cores, and the client checks every answer, so the rate is below the server's own."
                .into(),
        ));
    Page {
        title: "Tilewise: a tour".into(),
        summary: "What `tilewise demo` trained, measured and served on this machine.".into(),
        machine: Some(Machine::detect("")),
        sections: [Some(quality), Some(learned), Some(penalties), left_over, Some(speed), Some(serving)]
            .into_iter()
            .flatten()
            .collect(),
    }
}

/// The importances of columns, where the family tells them.
fn importances(outcome: &Outcome) -> Option<Chart> {
    let shares = outcome.model.importances().ok()?;
    let title = format!("{}, {}", outcome.problem, outcome.family);
    Some(Chart::Bar(picture::importances(outcome.model.inputs(), &shares, title, 10)))
}

/// Coefficients over weights of the penalty and the errors that chose one, where the family tells them.
fn over_the_penalty(outcome: &Outcome) -> Vec<Chart> {
    let Some(path) = &outcome.path else { return Vec::new() };
    let title = |what: &str| format!("{}, {}: {what}", outcome.problem, outcome.family);
    let lines = picture::path::coefficients(path)
        .map(|chart| Chart::Line(LineChart { title: title("coefficients"), ..chart }));
    let errors = picture::path::errors(path)
        .map(|chart| Chart::Scatter(ScatterChart { title: title("error on rows left out"), ..chart }));
    lines.into_iter().chain(errors).collect()
}

/// Residuals of the first model of numbers, which is the plainest.
fn left_over(outcomes: &[Outcome]) -> Option<Section> {
    let (outcome, residuals) = outcomes.iter().find_map(|o| Some((o, o.residuals.as_ref()?)))?;
    let what = format!(
        "{}, {}, on the rows held out: whether something was missed, whether errors are distributed normally, and whether they are as \
         large everywhere. `tilewise train --report` draws these of any model of numbers.",
        outcome.problem, outcome.family
    );
    Some(Section::new("What is left over").with(Block::Prose(what)).with(Block::Charts(residuals.charts())))
}

/// RMSE, or one minus accuracy, as a share of the baseline's.
fn relative_error(outcome: &Outcome) -> Option<Group> {
    let of = |name: &str| outcome.scores.iter().find(|(score, _)| score.name == name);
    let share = match (of("RMSE"), of("accuracy")) {
        (Some((ours, plain)), _) => ours.value / plain.value,
        (_, Some((ours, plain))) => (1.0 - ours.value) / (1.0 - plain.value),
        _ => return None,
    };
    let name = format!("{}, {}", outcome.problem, outcome.family);
    Some(Group { name, bars: vec![("error".into(), share)] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn penalties_and_what_is_left_over_are_on_the_page() {
        let problem = crate::demo::problem::all().unwrap().pop().unwrap();
        let outcomes = quality::train(&problem, &AtomicBool::new(false)).unwrap();
        let load = Load { per_second: 1.0, p50: 1e-3, p99: 2e-3 };
        let page = || page(&outcomes, &[], "iris", &load).html();
        let html = page();
        assert_eq!(html, page());
        for family in ["lasso", "elastic-net"] {
            for what in ["coefficients<", "error on rows left out<"] {
                let caption = format!("<figcaption>diabetes, {family}: {what}");
                assert_eq!(html.matches(&caption).count(), 1, "{caption}");
            }
        }
        // Of least squares alone, in their order.
        let places = ["What is left over", "Residuals against", "Normal Q-Q", "Scale-location", "One thread"]
            .map(|part| html.find(part).unwrap());
        assert!(places.is_sorted() && html.matches("<figcaption>Residuals").count() == 1);
        assert!(html.contains("diabetes, linear, on the rows held out") && !html.contains("NaN"));
        // Nothing of numbers, nothing left over.
        let none = super::page(&[], &[], "iris", &load).html();
        assert!(!none.contains("left over"), "{none}");
    }
}
