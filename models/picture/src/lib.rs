#![doc = include_str!("../README.md")]
//!
//! Trees as SVG and for Graphviz, importances as bars, losses by stage, residuals, coefficients over a penalty.

pub mod path;
mod residuals;

pub use residuals::Residuals;

use std::fmt::Write as _;
use tilewise_base::error::listed;
use tilewise_base::outline::{Outline, Split, printable};
use tilewise_base::{Field, Model, Task};
use tilewise_report::{
    Axis, BarChart, Chart, Group, LineChart, Series, TreeBox, TreeChart, Way, percent, significant,
};

/// Questions on the way that pictures show unless another number is asked for: at most 31 boxes.
pub const DEPTH: usize = 4;

/// The nodes of an outline down to `depth` questions, each before those below it, and their levels.
fn shown(outline: &Outline, depth: usize) -> Vec<(usize, usize)> {
    let (mut all, mut next) = (Vec::new(), vec![(0, 0)]);
    while let Some((at, level)) = next.pop() {
        all.push((at, level));
        if let Some(split) = outline.nodes[at].split.as_ref().filter(|_| level < depth) {
            next.extend([(split.right, level + 1), (split.left, level + 1)]);
        }
    }
    all
}

/// Four digits without zeros at the end.
fn digits(x: f64) -> String {
    let text = significant(x, 4);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// What stands on the ways of a split: those that pass, the others.
fn labels(split: &Split) -> [String; 2] {
    let label = |left: bool| {
        let missing = if split.missing_left == left { ", missing" } else { "" };
        let unseen = if split.unseen_left == Some(left) { ", unseen" } else { "" };
        format!("{}{missing}{unseen}", if left { "yes" } else { "no" })
    };
    [label(true), label(false)]
}

/// What a model predicts, by name.
pub fn targets(model: &dyn Model) -> String {
    match &model.targets()[..] {
        [] if !matches!(model.task(), Task::Anomaly { .. }) => "predictions".to_owned(),
        targets => printable(&listed(targets)),
    }
}

/// What stands over a picture of tree number `tree` of a model, from 0: what it predicts, which tree it is, and how many leaves it
/// has.
pub fn title(model: &dyn Model, outline: &Outline, tree: usize) -> String {
    let leaves = outline.nodes.iter().filter(|node| node.split.is_none()).count();
    let which = if model.outline(1).is_ok() {
        format!("tree {} of a {}", tree + 1, model.kind())
    } else {
        "a tree".into()
    };
    let leaves = if leaves == 1 { "one leaf".into() } else { format!("{leaves} leaves") };
    format!("{}, by {which} with {leaves}", targets(model))
}

/// A tree as an SVG document, down to `depth` questions.
pub fn svg(outline: &Outline, title: String, depth: usize) -> String {
    Chart::Tree(tree(outline, title, depth)).svg()
}

/// A tree as a chart, down to `depth` questions.
pub fn tree(outline: &Outline, title: String, depth: usize) -> TreeChart {
    let below = outline.below();
    let shown = shown(outline, depth);
    let mut places = vec![0; outline.nodes.len()];
    shown.iter().enumerate().for_each(|(place, (at, _))| places[*at] = place);
    let numbers = || outline.nodes.iter().filter_map(|node| node.values.first().copied());
    let (low, high) = (numbers().fold(f64::INFINITY, f64::min), numbers().fold(f64::NEG_INFINITY, f64::max));
    let legend = match &outline.task {
        Task::Classification { classes } => classes.iter().map(|class| printable(class)).collect(),
        task => {
            let what = match task {
                Task::Outputs { names } => names.first().map_or(String::new(), |name| printable(name)),
                _ => "the number predicted".to_owned(),
            };
            vec![format!("{what}, from {} (empty) to {} (full)", digits(low), digits(high))]
        }
    };
    let of_node = |(at, level): &(usize, usize)| {
        let node = &outline.nodes[*at];
        // A line for each of several targets.
        let mut answers = match (outline.class(*at), &outline.task) {
            (Some(class), Task::Classification { classes }) => {
                let name = classes.get(class).map(|class| printable(class)).unwrap_or_default();
                vec![format!("{name}: {}", percent(node.values[class]))]
            }
            _ => outline.answers(*at, digits),
        };
        let rows = format!("{} {}", node.rows, if node.rows == 1 { "row" } else { "rows" });
        let bar = match outline.task {
            Task::Classification { .. } => node.values.clone(),
            _ if high > low => vec![(node.values[0] - low) / (high - low)],
            _ => vec![1.0],
        };
        let Some(split) = &node.split else {
            let tip = format!("{}\n{rows}", outline.answer(*at, |x| x.to_string()));
            let heading = answers.remove(0);
            answers.push(rows);
            return TreeBox { heading, lines: answers, tip, bar, ..TreeBox::default() };
        };
        let [yes, no] = labels(split);
        let all = outline.nodes[0].weight;
        let way = |label: String, to: usize| Way {
            to: places[to],
            label,
            share: if all > 0.0 { outline.nodes[to].weight / all } else { 0.0 },
        };
        let ends = *level == depth;
        answers.push(rows.clone());
        TreeBox {
            heading: outline.question(split, digits).replace(" <= ", " ≤ "),
            lines: answers,
            tip: format!("{}\n{rows}", outline.question(split, |x| x.to_string())),
            bar,
            ways: if ends { Vec::new() } else { vec![way(yes, split.left), way(no, split.right)] },
            hidden: if ends { below[*at] } else { 0 },
        }
    };
    TreeChart { title, legend, boxes: shown.iter().map(of_node).collect() }
}

/// Colours of classes for Graphviz, after Okabe and Ito (2008), a quarter as strong so that text stays readable.
const COLOURS: [&str; 7] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#56b4e9", "#999999"];

/// A tree in the language of Graphviz, down to `depth` questions.
pub fn dot(outline: &Outline, title: &str, depth: usize) -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let below = outline.below();
    let mut text = format!("digraph tree {{\n  label=\"{}\"\n  labelloc=t\n", quoted(title));
    text += "  node [shape=box, style=\"filled,rounded\", fontname=\"sans-serif\", fillcolor=\"#ffffff\"]\n";
    text += "  edge [fontname=\"sans-serif\"]\n";
    for (at, level) in shown(outline, depth) {
        let node = &outline.nodes[at];
        let answer = outline.answer(at, |x| x.to_string());
        let mut lines = vec![answer, format!("{} rows", node.rows)];
        if let Some(split) = &node.split {
            lines.insert(0, outline.question(split, |x| x.to_string()));
        }
        let ends = level == depth && node.split.is_some();
        if ends {
            lines.push(format!("... {} more", below[at]));
        }
        let label: Vec<String> = lines.iter().map(|line| quoted(&printable(line))).collect();
        let colour = outline.class(at).map_or("#ffffff".to_owned(), |class| {
            let share = node.values[class].clamp(0.0, 1.0);
            // From a hint of colour to a third of it.
            format!("{}{:02x}", COLOURS[class % COLOURS.len()], (16.0 + 80.0 * share) as u8)
        });
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  n{at} [label=\"{}\", fillcolor=\"{colour}\"]", label.join("\\n"));
        if let Some(split) = node.split.as_ref().filter(|_| !ends) {
            for (label, to) in labels(split).into_iter().zip([split.left, split.right]) {
                let _ = writeln!(text, "  n{at} -> n{to} [label=\"{label}\"]");
            }
        }
    }
    text + "}\n"
}

/// Importances as bars, the largest first, and `most` of them; further columns are counted.
pub fn importances(inputs: &[Field], importances: &[f64], title: String, most: usize) -> BarChart {
    let mut all: Vec<(&f64, &Field)> = importances.iter().zip(inputs).collect();
    all.sort_by(|a, b| b.0.total_cmp(a.0));
    let left_out = all.len().saturating_sub(most);
    let groups = all.iter().take(most).map(|(importance, field)| Group {
        name: printable(&field.name),
        bars: vec![(String::new(), **importance)],
    });
    let what = "share of what all splits gained";
    let label = if left_out == 0 {
        what.to_owned()
    } else {
        format!("share of the gain; {left_out} more columns not shown")
    };
    BarChart { title, axis: Axis::linear(label), groups: groups.collect(), reference: None }
}

/// A ratio of positive numbers from which equal ratios are better seen as equal distances.
const WIDE: f64 = 10.0;

/// Whether all values are above 0 and the largest is many times the smallest.
pub fn is_wide(values: impl Iterator<Item = f64>) -> bool {
    let (low, high) =
        values.filter(|x| x.is_finite()).fold((f64::INFINITY, 0.0f64), |(l, h), x| (l.min(x), h.max(x)));
    low > 0.0 && high >= WIDE * low
}

/// The losses after a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Losses {
    /// Its number, from 1.
    pub round: u64,
    /// On the rows that were learned from.
    pub training: f64,
    /// On those that were held out to stop early.
    pub held_out: Option<f64>,
}

/// Points of a line, at most some: a chart is 480 units wide.
const POINTS: usize = 500;

/// Losses by stage; the stage with the least loss on rows held out is ringed, the first of equals, as boosting keeps it.
pub fn losses(losses: &[Losses]) -> LineChart {
    let every = losses.len().div_ceil(POINTS).max(1);
    let last = losses.len().saturating_sub(1);
    let shown = || losses.iter().enumerate().filter(|(i, _)| i % every == 0 || *i == last).map(|(_, of)| of);
    let held_out: Vec<(f64, f64)> =
        losses.iter().filter_map(|of| Some((of.round as f64, of.held_out?))).collect();
    let mut series = vec![Series {
        name: "rows learned from".into(),
        points: shown().map(|of| (of.round as f64, of.training)).collect(),
    }];
    let best = held_out.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1));
    if best.is_some() {
        let points = shown().filter_map(|of| Some((of.round as f64, of.held_out?))).collect();
        series.push(Series { name: "rows held out".into(), points });
    }
    let wide = is_wide(losses.iter().flat_map(|of| [Some(of.training), of.held_out]).flatten());
    LineChart {
        title: "Loss after each stage".into(),
        x: Axis::linear("stage"),
        y: if wide { Axis::log("loss") } else { Axis::linear("loss") },
        series,
        ringed: best.map(|(stage, loss)| (format!("least, after {stage}"), stage, loss)),
        ..LineChart::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(count: u64, held_out: impl Fn(u64) -> Option<f64>) -> Vec<Losses> {
        let of = |round| Losses { round, training: 1.0 / round as f64, held_out: held_out(round) };
        (1..=count).map(of).collect()
    }

    #[test]
    fn the_first_stage_of_least_loss_is_ringed() {
        // Down to stage 6 and its equal, 9, then up.
        let held_out = |round: u64| Some(if [6, 9].contains(&round) { 0.25 } else { 0.5 });
        let chart = losses(&run(20, held_out));
        assert_eq!(chart.ringed, Some(("least, after 6".into(), 6.0, 0.25)));
        assert_eq!(chart.series.iter().map(|line| line.points.len()).collect::<Vec<_>>(), [20, 20]);
        // From 1 to 1/20.
        assert!(chart.y.log);
        let chart = losses(&run(5, |_| None));
        assert!(chart.ringed.is_none() && chart.series.len() == 1 && !chart.y.log);
        assert!(losses(&[]).series[0].points.is_empty());
    }

    #[test]
    fn long_runs_are_thinned_and_keep_their_ends() {
        let chart = losses(&run(1_999, |round| Some(if round == 3 { 0.0 } else { 1.0 })));
        for line in &chart.series {
            let places: Vec<f64> = line.points.iter().map(|point| point.0).collect();
            assert!(places.len() <= POINTS + 1, "{}", places.len());
            assert_eq!((places[0], places[places.len() - 1]), (1.0, 1_999.0));
        }
        // Thinned out, but ringed.
        assert_eq!(chart.ringed.unwrap().1, 3.0);
    }
}
