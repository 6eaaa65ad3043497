//! Training of boosted trees for two classes, from numbers to the model: binning is part of it.
//!
//! Operations count one addition for every row, feature and level of a stage; bytes as for trees.

use super::growing::plain::{Limits, Trainer, Tree};
use crate::case::{Case, Cost, Outcome, Work};
use crate::operand::Draw;
use tilewise_base::Context;
use tilewise_gbdt::{Boosted, GradientBoosting, Lesson};
use tilewise_kernels::MatRef;
use tilewise_tree::{Answers, BinnedTable, DecisionTree, MaxBins};

const DEPTH: usize = 6;
const LEAVES: usize = 63;
const RATE: f64 = 0.1;
const L2: f64 = 1.0;
const MIN_ROWS: usize = 20;
/// Stages of a model that is timed, and of one that is checked.
const STAGES: [usize; 2] = [20, 3];

/// How far probabilities may be from the plain ones: derivatives are f32, each up to 6e-8 of itself off, in fixed point they are
/// rounded at 2^-30 of their sum, and a stage adds a tenth of a quotient of sums. Where another split was the best they differ by a
/// hundredth and more.
const ALLOWED: f64 = 1e-7;

pub(super) fn cases() -> Vec<Case> {
    vec![Case {
        name: "grow boosting",
        element: "f32",
        formula: "20 stages of 63 leaves, depth 6",
        dims: &["rows", "features"],
        timed: &[&[100_000, 28], &[1_000, 28]],
        quick: &[2_000, 10],
        // So few that every value has a bin of its own: then a trainer without bins grows the same trees.
        largest: &[250, 8],
        beside: None,
        make: |shape, draw| Box::new(Problem::new(shape, draw)),
    }]
}

enum Model {
    None,
    Boosted(Box<Boosted>),
    /// The score before all trees, and the trees.
    Plain(f64, Vec<Tree>),
}

struct Problem {
    rows: usize,
    features: usize,
    x: Vec<f32>,
    y: Vec<u32>,
    /// Where it is checked rows count differently, so that no two splits have equal gain: which of them is taken would depend on
    /// rounding.
    weights: Option<Vec<f64>>,
    stages: usize,
    model: Model,
}

impl Problem {
    fn new(shape: &[usize], draw: &mut Draw) -> Self {
        let (rows, features) = (shape[0].max(2), shape[1].max(1));
        let is_checked = draw.is_varied();
        let x = draw.normals::<f32>(rows * features);
        let noise = draw.normals::<f32>(rows);
        let signal = |row: &[f32]| row[0] * row[features / 2] + row[features - 1];
        let mut y: Vec<u32> =
            x.chunks_exact(features).zip(noise).map(|(row, e)| u32::from(signal(row) + e > 0.0)).collect();
        // Two classes, however few rows there are.
        (y[0], y[1]) = (0, 1);
        let weights = is_checked.then(|| draw.normals::<f64>(rows).iter().map(|e| 0.5 + e.abs()).collect());
        let stages = STAGES[usize::from(is_checked)];
        Self { rows, features, x, y, weights, stages, model: Model::None }
    }

    fn weight(&self, row: usize) -> f64 {
        self.weights.as_ref().map_or(1.0, |weights| weights[row])
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.x[row * self.features..][..self.features]
    }
}

fn probability(score: f64) -> f64 {
    1.0 / (1.0 + (-score).exp())
}

impl Work for Problem {
    fn ours(&mut self) -> Outcome {
        let x = MatRef::new(&self.x, self.rows, self.features)?;
        let context = Context::default();
        let table = BinnedTable::of_matrix(x, self.weights.as_deref(), MaxBins::default(), context.seed)?;
        let plain = GradientBoosting::default();
        let (max_depth, max_leaves) = (Some(DEPTH), Some(LEAVES));
        let tree = DecisionTree { max_depth, max_leaves, min_samples_leaf: MIN_ROWS, ..plain.tree };
        let boosting = GradientBoosting { stages: self.stages, learning_rate: RATE, tree, ..plain };
        let answers = Answers::Classes { y: self.y.clone(), classes: 2 };
        self.model = Model::Boosted(Box::new(boosting.fit(&table, &Lesson::new(&answers), &context)?.model));
        Ok(())
    }

    fn naive(&mut self) -> Outcome {
        let sum = |of: &dyn Fn(usize) -> f64| (0..self.rows).map(of).sum::<f64>();
        let ones = sum(&|row| self.weight(row) * f64::from(self.y[row]));
        let share = ones / sum(&|row| self.weight(row));
        let base = (share / (1.0 - share)).ln();
        let limits =
            Limits { depth: DEPTH, min_rows: MIN_ROWS, candidates: self.features, l2: L2, min_gain: 0.0 };
        let (mut scores, mut trees) = (vec![base; self.rows], Vec::new());
        for stage in 0..self.stages {
            let derivatives = |row: usize| {
                let (p, weight) = (probability(scores[row]), self.weight(row));
                [weight * (f64::from(self.y[row]) - p), weight * p * (1.0 - p)]
            };
            let derivatives: Vec<[f64; 2]> = (0..self.rows).map(derivatives).collect();
            let trainer = Trainer { x: &self.x, features: self.features, derivatives: &derivatives, limits };
            let tree = trainer.grow(stage as u64, false);
            scores
                .iter_mut()
                .enumerate()
                .for_each(|(row, score)| *score += RATE * tree.predict(self.row(row)));
            trees.push(tree);
        }
        self.model = Model::Plain(base, trees);
        Ok(())
    }

    /// It sorts the rows of every node by every feature: 20 s for 100,000 x 28.
    fn is_timed_naive(&self) -> bool {
        self.rows <= 10_000
    }

    /// The probability of class 1 for each training row.
    fn output(&self) -> Vec<f64> {
        let score = |row: &[f32]| match &self.model {
            Model::None => f64::NAN,
            Model::Boosted(model) => {
                let (cells, mut out): (Vec<f64>, _) = (row.iter().map(|&x| f64::from(x)).collect(), [0.0]);
                model.ensemble().score_row(&cells, &mut out);
                out[0]
            }
            Model::Plain(base, trees) => {
                base + RATE * trees.iter().map(|tree| tree.predict(row)).sum::<f64>()
            }
        };
        (0..self.rows).map(|row| probability(score(self.row(row)))).collect()
    }

    fn allowed(&self) -> Vec<f64> {
        vec![ALLOWED; self.rows]
    }

    fn cost(&self) -> Cost {
        let (rows, features) = (self.rows as f64, self.features as f64);
        let written = 2.0 * rows * features;
        let flops = (self.stages * DEPTH) as f64 * rows * features;
        Cost { flops, bytes: 4.0 * rows * features + written, written }
    }
}
