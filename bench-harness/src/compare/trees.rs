//! Comparing trees and forests: what is grown on which rows, and how good the predictions for other rows are.

use super::Quality;
use super::problems::{Agreement, Listed};
use std::io;
use tilewise_base::metric;
use tilewise_report::worker::{Boosting, Layout, Operation, Problem, Trees};

mod data;
mod memory;
mod ours;
mod paired;
mod real;
mod seeds;
mod tables;

pub(crate) use data::dense_binary;
pub(super) use memory::memory;
pub(super) use ours::Worker;
pub use real::{RealData, quality};
pub(super) use seeds::over_seeds;
pub(super) use tables::tables;

/// What is grown on which rows, and what of it is timed.
struct Workload {
    kind: &'static str,
    operation: Operation,
    trees: usize,
    depth: usize,
    leaves: usize,
    boosting: Option<Boosting>,
    /// Names of [`data::ALL`], and how many rows are trained on.
    rows: &'static [(&'static str, usize)],
}

const ONE: Workload = Workload {
    kind: "tree",
    operation: Operation::Train,
    trees: 1,
    depth: 12,
    leaves: 0,
    boosting: None,
    rows: &[("dense_binary", 100_000), ("cover_like", 100_000)],
};
const FULL: Workload = Workload { kind: "forest", trees: 100, depth: 0, ..ONE };
/// Trees that QuickScorer and its like are made for.
const SHALLOW: Workload = Workload { kind: "forest_64", leaves: 64, ..FULL };
const FEW: &[(&str, usize)] = &[("dense_binary", SMALL), ("cover_like", SMALL)];

const FORESTS: [Workload; 8] = [
    ONE,
    FULL,
    SHALLOW,
    Workload { kind: "predict", operation: Operation::Predict, ..FULL },
    Workload { kind: "predict_64", operation: Operation::Predict, ..SHALLOW },
    Workload { kind: "row_64", operation: Operation::Row, ..SHALLOW },
    Workload { kind: "small_tree", rows: FEW, ..ONE },
    Workload { kind: "small_forest", rows: FEW, ..FULL },
];

/// What LightGBM has for leaf sizes and learning rate where it is told nothing, and XGBoost's penalty.
const BOOSTING: Boosting = Boosting { learning_rate: 0.1, l2: 1.0, min_rows: 20, min_hessian: 1e-3 };
/// 100 stages.
const BOOST: Workload = Workload {
    kind: "boost",
    operation: Operation::Train,
    trees: 100,
    depth: 6,
    leaves: 63,
    boosting: Some(BOOSTING),
    rows: &[
        ("dense_binary", 500_000),
        ("dense_binary", 1_000_000),
        ("wide_binary", 100_000),
        ("cover_like", 200_000),
        ("categorical_missing", 200_000),
        ("small", 5_000),
    ],
};
const PREDICTED: &[(&str, usize)] = &[("dense_binary", 500_000)];

const BOOSTED: [Workload; 4] = [
    BOOST,
    Workload {
        kind: OF_BINS,
        operation: Operation::Grow,
        // Numbers alone: what others bin apart from training are those.
        rows: &[
            ("dense_binary", 500_000),
            ("dense_binary", 1_000_000),
            ("wide_binary", 100_000),
            ("cover_like", 200_000),
            ("small", 5_000),
        ],
        ..BOOST
    },
    Workload { kind: "predict_boost", operation: Operation::Predict, rows: PREDICTED, ..BOOST },
    Workload { kind: "row_boost", operation: Operation::Row, rows: PREDICTED, ..BOOST },
];

/// Kinds of problems with one tree.
pub(super) const OF_ONE_TREE: &[&str] = &["tree", "small_tree"];
/// All others without boosting.
pub(super) const OF_FORESTS: &[&str] =
    &["forest", "forest_64", "predict", "predict_64", "row_64", "small_forest"];
/// Those of many trees without limits on many rows.
pub(super) const OF_FULL_TREES: &[&str] = &["forest", "predict"];
/// Boosting on bins that are there.
pub(super) const OF_BINS: &str = "boost_binned";

/// Test rows.
const TESTS: usize = 50_000;
/// Training rows that are few.
const SMALL: usize = 1_000;
/// Rows of either sort in a try-out.
const QUICK: usize = 2_000;

/// How much worse than the best accuracy a system may be and still count as having solved the problem. Systems bin, draw and
/// break ties in ways of their own: single trees on 1,000 rows were seen 5 points apart. What is further off has read other
/// rows.
const ACCURACY_GAP: f64 = 0.1;

/// Seed of the rows that are timed.
const SEED: u64 = 1;

fn workload(kind: &str) -> Option<&'static Workload> {
    FORESTS.iter().chain(&BOOSTED).find(|workload| workload.kind == kind)
}

/// Trees and forests: rows x tests x features x classes.
pub(super) fn problems(quick: bool) -> Vec<Listed> {
    listed(&FORESTS, quick)
}

/// Boosting.
pub(super) fn boosting(quick: bool) -> Vec<Listed> {
    listed(&BOOSTED, quick)
}

fn listed(workloads: &'static [Workload], quick: bool) -> Vec<Listed> {
    let mut all: Vec<Listed> = Vec::new();
    for workload in workloads {
        for (name, rows) in workload.rows {
            let Some(data) = data::ALL.iter().find(|data| data.name == *name) else { continue };
            let (rows, tests) = if quick { (*rows.min(&QUICK), QUICK) } else { (*rows, TESTS) };
            let shape = vec![rows, tests, data.features, data.classes];
            let (kind, layout) = (workload.kind, Layout::default());
            // In a try-out what differs in rows alone is the same.
            if !all.iter().any(|one| one.kind == kind && one.shape == shape) {
                all.push(Listed { group: data.name, kind, element: "f32", shape, layout });
            }
        }
    }
    all
}

/// Those of trees and forests of which the speed-up by threads is judged: training alone.
pub(super) fn training(quick: bool) -> Vec<Listed> {
    trained(problems(quick))
}

/// Those of boosting.
pub(super) fn stages(quick: bool) -> Vec<Listed> {
    trained(boosting(quick))
}

fn trained(mut all: Vec<Listed>) -> Vec<Listed> {
    all.retain(|listed| workload(listed.kind).is_some_and(|one| one.operation.trains()));
    all
}

/// Whether it is training from numbers to the model on many rows: what is judged over seeds, and what memory is measured of.
fn is_full_training(listed: &Listed) -> bool {
    let trains = workload(listed.kind).is_some_and(|workload| workload.operation == Operation::Train);
    trains && listed.shape.first().is_some_and(|&rows| rows > SMALL)
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
    let Workload { operation, trees, depth, leaves, boosting, .. } = *workload;
    let draws = trees > 1 && boosting.is_none();
    let (categories, features) = (data.categories, if draws { features.isqrt() } else { 0 });
    let data = data.name.into();
    let settings = Trees { operation, data, seed, categories, trees, depth, leaves, features, boosting };
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
            assert_eq!(listed.iter().filter(|one| one.kind == *kind).count(), 2);
        }
        assert_eq!(listed.len(), 2 * (OF_ONE_TREE.len() + OF_FORESTS.len()));
        assert!(training(true).iter().all(|one| !one.kind.contains("predict")));
        assert!(OF_FULL_TREES.iter().all(|kind| OF_FORESTS.contains(kind)));
    }

    #[test]
    fn every_workload_has_its_rows_and_its_own_name() {
        for (workloads, listed) in [(&FORESTS[..], problems(false)), (&BOOSTED[..], boosting(false))] {
            // A name that no data have would leave the problem out.
            let named: usize = workloads.iter().map(|workload| workload.rows.len()).sum();
            assert_eq!(listed.len(), named);
        }
        let kinds: Vec<&str> = FORESTS.iter().chain(&BOOSTED).map(|workload| workload.kind).collect();
        assert!(kinds.iter().enumerate().all(|(i, kind)| !kinds[..i].contains(kind)), "{kinds:?}");
        // Data are found by their dimensions.
        let shapes: Vec<_> = data::ALL.iter().map(|data| (data.features, data.classes)).collect();
        assert!(shapes.iter().enumerate().all(|(i, shape)| !shapes[..i].contains(shape)));
        // In a try-out the two sizes of `dense_binary` are one.
        assert_eq!(boosting(false).len() - boosting(true).len(), 2);
        assert!(stages(true).iter().all(|one| one.kind.starts_with("boost")));
        let judged = boosting(false).iter().filter(|one| is_full_training(one)).count();
        assert_eq!(judged, BOOST.rows.len());
    }
}
