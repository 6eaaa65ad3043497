//! Training of trees and forests for two classes, from numbers to the model: binning is part of it.
//!
//! Operations count one addition for every row, feature that is looked at and level; bytes the numbers that are read and the
//! two copies of bins that are written: both are less than any trainer needs.
//!
//! Each scheme that growing can be told is timed on eight shapes, beside what `auto` does in the same rounds. Seen on two threads: trees
//! by tasks 1.7 to 1.9 times as fast as on one and by rows 1.7 to 2.0, forests by tasks 1.9 to 2.0, but by rows 1.6 and, of 5,000 rows,
//! 1.1: nodes of few rows have nothing to divide. `auto` takes trees there.

use crate::case::{Case, Cost, Outcome, Work};
use crate::operand::Draw;
use tilewise_base::Context;
use tilewise_forest::{Forest, RandomForest};
use tilewise_kernels::MatRef;
use tilewise_kernels::parallel::Scheme;
use tilewise_tree::{BinnedTable, DecisionTree, MaxBins, MaxFeatures, Tree};

pub(super) mod plain;

/// Splits on the way to a leaf of the tree; forests have no limit.
const DEPTH: usize = 12;
/// Trees of a forest that is timed, and of one that is checked.
const TREES: [usize; 2] = [20, 3];

/// What schemes are timed beside.
pub(crate) const AUTO: &str = "auto";
/// Rows x features on which schemes are timed: of few columns tasks have little to share, of few rows blocks are small.
const TREE_SHAPES: &[&[usize]] =
    &[&[100_000, 28], &[100_000, 8], &[50_000, 100], &[20_000, 28], &[10_000, 300]];
const FOREST_SHAPES: &[&[usize]] = &[&[50_000, 8], &[20_000, 28], &[5_000, 100]];

pub(super) fn cases() -> Vec<Case> {
    let case = |name, formula, timed, make: Make| Case {
        name,
        element: "f32",
        formula,
        dims: &["rows", "features"],
        timed,
        quick: &[2_000, 10],
        // So few that every value has a bin of its own: then a trainer without bins grows the same tree.
        largest: &[250, 8],
        beside: None,
        make,
    };
    let tree = |name, make: Make| {
        let timed: &[&[usize]] = &[&[100_000, 28], &[100_000, 4], &[1_000, 28]];
        case(name, "a decision tree of depth 12", timed, make)
    };
    let forest = |name, make: Make| {
        let timed: &[&[usize]] = &[&[20_000, 28], &[1_000, 28]];
        case(name, "20 full trees, sqrt(features) at a split", timed, make)
    };
    let told = |case: Case, timed| Case { timed, beside: Some(AUTO), ..case };
    vec![
        tree("grow tree", |shape, draw| Box::new(Problem::new(shape, draw, Scheme::Auto, false))),
        told(
            tree("grow tree tasks", |shape, draw| Problem::told(shape, draw, Scheme::Tasks, false)),
            TREE_SHAPES,
        ),
        told(
            tree("grow tree rows", |shape, draw| Problem::told(shape, draw, Scheme::Rows, false)),
            TREE_SHAPES,
        ),
        forest("grow forest", |shape, draw| Box::new(Problem::new(shape, draw, Scheme::Auto, true))),
        told(
            forest("grow forest tasks", |shape, draw| Problem::told(shape, draw, Scheme::Tasks, true)),
            FOREST_SHAPES,
        ),
        told(
            forest("grow forest rows", |shape, draw| Problem::told(shape, draw, Scheme::Rows, true)),
            FOREST_SHAPES,
        ),
    ]
}

/// How a case makes its operands.
type Make = fn(&[usize], &mut Draw) -> Box<dyn Work>;

enum Model {
    None,
    Tree(Box<Tree>),
    Forest(Box<Forest>),
    Plain(Vec<plain::Tree>),
}

struct Problem {
    rows: usize,
    features: usize,
    x: Vec<f32>,
    y: Vec<u32>,
    scheme: Scheme,
    /// 1 for a single tree of depth [`DEPTH`].
    trees: usize,
    /// Whether rows and features are drawn. What is drawn for ours cannot be known from outside, so it is checked without:
    /// all trees are then the plain one.
    draws: bool,
    /// Whether a naive run is to be timed.
    is_timed_naive: bool,
    model: Model,
}

impl Problem {
    fn new(shape: &[usize], draw: &mut Draw, scheme: Scheme, forest: bool) -> Self {
        let (rows, features) = (shape[0].max(2), shape[1].max(1));
        let is_checked = draw.is_varied();
        // Where it is checked numbers repeat, so that there are splits of equal gain.
        let coarse = |x: f32| if is_checked { (4.0 * x).round() } else { x };
        let x: Vec<f32> = draw.normals::<f32>(rows * features).into_iter().map(coarse).collect();
        let noise = draw.normals::<f32>(rows);
        let signal = |row: &[f32]| row[0] * row[features / 2] + row[features - 1];
        let y =
            x.chunks_exact(features).zip(noise).map(|(row, e)| u32::from(signal(row) + e > 0.0)).collect();
        let trees = if forest { TREES[usize::from(is_checked)] } else { 1 };
        let draws = forest && !is_checked;
        Self { rows, features, x, y, scheme, trees, draws, is_timed_naive: true, model: Model::None }
    }

    /// With a scheme that is told: the naive trainer, which knows none, is timed where none is.
    fn told(shape: &[usize], draw: &mut Draw, scheme: Scheme, forest: bool) -> Box<dyn Work> {
        Box::new(Self { is_timed_naive: false, ..Self::new(shape, draw, scheme, forest) })
    }

    fn grow(&mut self, scheme: Scheme) -> Outcome {
        let x = MatRef::new(&self.x, self.rows, self.features)?;
        let context = Context { scheme, ..Context::default() };
        let table = BinnedTable::of_matrix(x, None, MaxBins::default(), context.seed)?;
        let tree = DecisionTree { max_depth: self.depth(), ..DecisionTree::default() };
        self.model = if self.trees == 1 {
            Model::Tree(Box::new(tree.fit_classes(&table, &self.y, 2, &context)?.model))
        } else {
            let max_features = Some(if self.draws { MaxFeatures::Sqrt } else { MaxFeatures::All });
            let (trees, bootstrap) = (self.trees, self.draws);
            let forest = RandomForest { trees, bootstrap, max_features, tree, ..RandomForest::default() };
            Model::Forest(Box::new(forest.fit_classes(&table, &self.y, 2, &context)?.model))
        };
        Ok(())
    }

    fn depth(&self) -> Option<usize> {
        (self.trees == 1).then_some(DEPTH)
    }
}

impl Work for Problem {
    fn ours(&mut self) -> Outcome {
        self.grow(self.scheme)
    }

    fn beside(&mut self) -> Outcome {
        self.grow(Scheme::Auto)
    }

    fn is_timed_naive(&self) -> bool {
        self.is_timed_naive
    }

    fn naive(&mut self) -> Outcome {
        let limits = plain::Limits {
            depth: self.depth().unwrap_or(usize::MAX),
            min_rows: 1,
            candidates: if self.draws { self.features.isqrt() } else { self.features },
            l2: 0.0,
            // Classes that are mixed are divided even where that tells nothing yet.
            min_gain: f64::NEG_INFINITY,
        };
        let derivatives = plain::of_classes(&self.y);
        let (features, derivatives) = (self.features, &derivatives[..]);
        let trainer = plain::Trainer { x: &self.x, features, derivatives, limits };
        self.model =
            Model::Plain((0..self.trees as u64).map(|tree| trainer.grow(tree, self.draws)).collect());
        Ok(())
    }

    /// The share of class 1 for each training row.
    fn output(&self) -> Vec<f64> {
        let mut out = [0.0; 2];
        let share = |row: &[f32]| {
            let cells: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
            match &self.model {
                Model::None => return f64::NAN,
                Model::Tree(tree) => tree.predict_row(&cells, &mut out),
                Model::Forest(forest) => forest.predict_row(&cells, &mut out),
                Model::Plain(trees) => {
                    return trees.iter().map(|tree| tree.predict(row)).sum::<f64>() / trees.len() as f64;
                }
            }
            out[1]
        };
        self.x.chunks_exact(self.features).map(share).collect()
    }

    fn allowed(&self) -> Vec<f64> {
        // A tree's shares are quotients of the same counts; the mean over trees rounds once a tree.
        vec![if self.trees == 1 { 0.0 } else { self.trees as f64 * f64::EPSILON }; self.rows]
    }

    fn cost(&self) -> Cost {
        let (rows, features, trees) = (self.rows as f64, self.features as f64, self.trees as f64);
        let levels =
            rows.log2().ceil().min(self.depth().map_or(f64::INFINITY, |depth| depth as f64)).max(1.0);
        let candidates = if self.draws { features.sqrt().floor() } else { features };
        let written = 2.0 * rows * features;
        let flops = trees * rows * candidates * levels;
        Cost { flops, bytes: 4.0 * rows * features + written, written }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_gives_forests_as_good_as_the_plain_ones() {
        let mut problem = Problem::new(&[600, 6], &mut Draw::packed(1), Scheme::Auto, true);
        let wrong = |problem: &Problem| {
            let wrong =
                problem.output().iter().zip(&problem.y).filter(|(p, y)| (**p > 0.5) != (**y == 1)).count();
            wrong as f64 / problem.rows as f64
        };
        problem.ours().unwrap();
        let ours = wrong(&problem);
        let shares = problem.output();
        problem.naive().unwrap();
        // Full trees know most of the rows that they were drawn with, those drawn with others less.
        assert!(ours < 0.06 && wrong(&problem) < 0.06, "{ours} and {}", wrong(&problem));
        assert_ne!(shares, problem.output());
    }
}
