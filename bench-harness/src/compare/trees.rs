//! Comparing trees and forests: what is grown on which rows, and how good the predictions for other rows are.

use super::Quality;
use super::problems::{Agreement, Listed};
use std::io;
use tilewise_base::metric;
use tilewise_report::worker::{Layout, Operation, Problem, Trees};

mod data;
mod memory;
mod ours;
mod paired;
mod real;
mod seeds;
mod tables;

pub(super) use memory::memory;
pub(super) use ours::Worker;
pub use real::{RealData, quality};
pub(super) use seeds::over_seeds;
pub(super) use tables::tables;

/// What is grown and what of it is timed.
struct Workload {
    kind: &'static str,
    operation: Operation,
    trees: usize,
    depth: usize,
    leaves: usize,
    /// Whether it has [`SMALL`] rows instead of [`ROWS`].
    small: bool,
}

const ONE: Workload =
    Workload { kind: "tree", operation: Operation::Train, trees: 1, depth: 12, leaves: 0, small: false };
const FULL: Workload = Workload { kind: "forest", trees: 100, depth: 0, ..ONE };
/// Trees that QuickScorer and its like are made for.
const SHALLOW: Workload = Workload { kind: "forest_64", leaves: 64, ..FULL };

const WORKLOADS: [Workload; 8] = [
    ONE,
    FULL,
    SHALLOW,
    Workload { kind: "predict", operation: Operation::Predict, ..FULL },
    Workload { kind: "predict_64", operation: Operation::Predict, ..SHALLOW },
    Workload { kind: "row_64", operation: Operation::Row, ..SHALLOW },
    Workload { kind: "small_tree", small: true, ..ONE },
    Workload { kind: "small_forest", small: true, ..FULL },
];

/// Kinds of problems with one tree.
pub(super) const OF_ONE_TREE: &[&str] = &["tree", "small_tree"];
/// All the others.
pub(super) const OF_FORESTS: &[&str] =
    &["forest", "forest_64", "predict", "predict_64", "row_64", "small_forest"];
/// Those of many trees without limits on many rows.
pub(super) const OF_FULL_TREES: &[&str] = &["forest", "predict"];

/// Training rows, test rows.
const ROWS: usize = 100_000;
const TESTS: usize = 50_000;
const SMALL: usize = 1_000;
/// Both in a try-out.
const QUICK: usize = 2_000;

/// How much worse than the best accuracy a system may be and still count as having solved the problem. Systems bin, draw and
/// break ties in ways of their own: single trees on 1,000 rows were seen 5 points apart. What is further off has read other
/// rows.
const ACCURACY_GAP: f64 = 0.1;

/// Seed of the rows that are timed.
const SEED: u64 = 1;

fn workload(kind: &str) -> Option<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.kind == kind)
}

/// All problems: rows x tests x features x classes.
pub(super) fn problems(quick: bool) -> Vec<Listed> {
    let mut all = Vec::new();
    for workload in &WORKLOADS {
        for data in &data::ALL {
            let (rows, tests) = match (quick, workload.small) {
                (false, false) => (ROWS, TESTS),
                (true, false) => (QUICK, QUICK),
                (_, true) => (SMALL, QUICK),
            };
            let shape = vec![rows, tests, data.features, data.classes];
            let (kind, layout) = (workload.kind, Layout::default());
            all.push(Listed { group: data.name, kind, element: "f32", shape, layout });
        }
    }
    all
}

/// Those of which the speed-up by threads is judged: training alone.
pub(super) fn training(quick: bool) -> Vec<Listed> {
    let mut all = problems(quick);
    all.retain(|listed| workload(listed.kind).is_some_and(|one| one.operation == Operation::Train));
    all
}

/// Whether a kind of problem is one of these.
pub(super) fn has(kind: &str) -> bool {
    workload(kind).is_some()
}

/// Whether several threads are of use: a row alone is not divided.
pub(super) fn suits_threads(kind: &str) -> bool {
    workload(kind).is_none_or(|workload| workload.operation != Operation::Row)
}

/// What tells problems of a kind apart.
pub(super) fn shape_text(listed: &Listed) -> String {
    let &[rows, _, features, _] = listed.shape.as_slice() else { return listed.group.into() };
    format!("{} {rows} x {features}", listed.group)
}

/// Writes the rows of a problem and what is to be grown on them.
pub(super) fn write(problem: &Problem, seed: Option<u64>) -> io::Result<Agreement> {
    let unknown =
        || io::Error::other(format!("{} with shape {:?} is not known", problem.kind, problem.shape));
    let (Some(workload), &[rows, tests, features, classes]) =
        (workload(&problem.kind), problem.shape.as_slice())
    else {
        return Err(unknown());
    };
    let fits = |data: &&data::Data| data.features == features && data.classes == classes;
    let data = data::ALL.iter().find(fits).ok_or_else(unknown)?;
    let seed = seed.unwrap_or(SEED);
    let (x, y) = (data.draw)(rows + tests, seed);
    let Workload { operation, trees, depth, leaves, .. } = *workload;
    let candidates = if trees > 1 { features.isqrt() } else { 0 };
    let settings =
        Trees { operation, data: data.name.into(), seed, trees, depth, leaves, features: candidates };
    let truth = give(problem, &settings, &x, &y, rows)?;
    Ok(Agreement::Predictions(truth, classes))
}

/// Writes the first `rows` for training, the inputs of the others for prediction; answers the truth of these.
fn give(problem: &Problem, settings: &Trees, x: &[f64], y: &[u32], rows: usize) -> io::Result<Vec<u32>> {
    let features = problem.shape[2];
    let wide: Vec<f64> = y.iter().map(|&y| f64::from(y)).collect();
    problem.write("x", &x[..rows * features])?;
    problem.write("t", &x[rows * features..])?;
    problem.write("y", &wide[..rows])?;
    settings.write(problem)?;
    Ok(y[rows..].to_vec())
}

/// How good predictions of classes are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// Area under the ROC curve; NaN for more than two classes.
    pub auc: f64,
    /// Share of the rows whose most probable class is the true one.
    pub accuracy: f64,
    /// Mean of -ln of the probability of the true class, as the metric of base clips it.
    pub log_loss: f64,
}

impl Scores {
    /// Of probabilities, rows x classes.
    fn of(truth: &[u32], probabilities: &[f64], classes: usize) -> Result<Self, String> {
        if probabilities.len() != truth.len() * classes {
            return Err(format!("gives {} probabilities", probabilities.len()));
        }
        if let Some(i) = probabilities.iter().position(|p| !(-1e-6..=1.0 + 1e-6).contains(p)) {
            return Err(format!("gives the probability {} at {i}", probabilities[i]));
        }
        let text = |error: tilewise_base::Error| error.to_string();
        let predicted = metric::most_probable(probabilities, classes);
        let auc = if classes == 2 {
            let is_one: Vec<bool> = truth.iter().map(|&class| class == 1).collect();
            let scores: Vec<f64> = probabilities.chunks_exact(2).map(|row| row[1]).collect();
            metric::roc_auc(&is_one, &scores, None).map_err(text)?
        } else {
            f64::NAN
        };
        Ok(Self {
            auc,
            accuracy: metric::accuracy(truth, &predicted, None).map_err(text)?,
            log_loss: metric::log_loss(truth, probabilities, classes, None).map_err(text)?,
        })
    }
}

/// Judges predictions: as good as the best but for [`ACCURACY_GAP`].
pub(super) fn judge(
    truth: &[u32],
    classes: usize,
    results: &[&[f64]],
) -> Vec<Result<Option<Quality>, String>> {
    let scores: Vec<_> = results.iter().map(|result| Scores::of(truth, result, classes)).collect();
    let best = scores.iter().flatten().map(|scores| scores.accuracy).fold(0.0, f64::max);
    let judge = |scores: Result<Scores, String>| {
        let scores = scores?;
        if scores.accuracy < best - ACCURACY_GAP {
            return Err(format!("has an accuracy of {:.4}, the best has {best:.4}", scores.accuracy));
        }
        Ok(Some(Quality::Predictions(scores)))
    };
    scores.into_iter().map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_textbook() {
        let probabilities = [0.9, 0.1, 0.4, 0.6, 0.7, 0.3, 0.8, 0.2];
        // Of the four pairs of a 1 and a 0 three are in order.
        let scores = Scores::of(&[0, 1, 1, 0], &probabilities, 2).unwrap();
        assert_eq!((scores.auc, scores.accuracy), (1.0, 0.75));
        let expected = -(0.9f64.ln() + 0.6f64.ln() + 0.3f64.ln() + 0.8f64.ln()) / 4.0;
        assert!((scores.log_loss - expected).abs() < 1e-15);
        assert!(Scores::of(&[0, 2], &[0.2, 0.3, 0.5, 0.1, 0.1, 0.8], 3).unwrap().auc.is_nan());
        assert!(Scores::of(&[0], &[f64::NAN, 1.0], 2).is_err());
        assert!(Scores::of(&[0], &[1.0], 2).is_err());
    }

    #[test]
    fn whoever_read_other_rows_disagrees() {
        let truth: Vec<u32> = (0..100).map(|i| i % 2).collect();
        let right: Vec<f64> = truth.iter().flat_map(|&y| [1.0 - f64::from(y), f64::from(y)]).collect();
        let mut nearly = right.clone();
        nearly[..2].reverse();
        let wrong: Vec<f64> = right.iter().map(|p| 1.0 - p).collect();
        let judged = judge(&truth, 2, &[&right, &nearly, &wrong]);
        assert_eq!(judged.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false]);
    }

    #[test]
    fn every_kind_has_its_peers() {
        let listed = problems(true);
        for kind in OF_ONE_TREE.iter().chain(OF_FORESTS) {
            assert_eq!(listed.iter().filter(|one| one.kind == *kind).count(), data::ALL.len());
        }
        assert_eq!(listed.len(), data::ALL.len() * (OF_ONE_TREE.len() + OF_FORESTS.len()));
        assert!(training(true).iter().all(|one| !one.kind.contains("predict")));
    }
}
