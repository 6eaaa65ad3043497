//! A table of rows for each loss.

use std::ops::Range;
use tilewise_gbdt::Loss;
use tilewise_gbdt::loss::{Derivatives, Objective, Truth};
use tilewise_kernels::random::Philox;

/// A loss with rows that it accepts, and scores.
pub(super) struct Case {
    pub(super) objective: Box<dyn Objective>,
    pub(super) rows: Rows,
    pub(super) scores: Vec<f64>,
}

#[derive(Clone, Default)]
pub(super) struct Rows {
    pub(super) y: Vec<f64>,
    pub(super) weights: Option<Vec<f64>>,
    pub(super) groups: Option<Vec<Range<usize>>>,
    pub(super) events: Option<Vec<bool>>,
}

impl Rows {
    pub(super) fn truth(&self) -> Truth<'_> {
        Truth {
            y: &self.y,
            weights: self.weights.as_deref(),
            groups: self.groups.as_deref(),
            events: self.events.as_deref(),
        }
    }

    /// These rows of it, in this order. Not for queries.
    pub(super) fn taken(&self, rows: &[usize]) -> Self {
        fn of<T: Copy>(list: &[T], rows: &[usize]) -> Vec<T> {
            rows.iter().map(|&row| list[row]).collect()
        }
        Self {
            y: of(&self.y, rows),
            weights: self.weights.as_ref().map(|list| of(list, rows)),
            groups: None,
            events: self.events.as_ref().map(|list| of(list, rows)),
        }
    }
}

impl Case {
    pub(super) fn name(&self) -> String {
        self.objective.name()
    }

    pub(super) fn derivatives(&self) -> Vec<Derivatives> {
        derivatives(&*self.objective, &self.rows, &self.scores)
    }

    pub(super) fn loss(&self) -> f64 {
        self.objective.loss(&self.rows.truth(), &self.scores)
    }

    /// The case of these rows, in this order.
    pub(super) fn taken(&self, rows: &[usize]) -> (Rows, Vec<f64>) {
        let all = self.rows.y.len();
        let scores = |k: usize| rows.iter().map(move |row| self.scores[k * all + row]);
        (self.rows.taken(rows), (0..self.objective.scores()).flat_map(scores).collect())
    }
}

pub(super) fn derivatives(objective: &dyn Objective, rows: &Rows, scores: &[f64]) -> Vec<Derivatives> {
    let none = Derivatives { gradient: f32::NAN, hessian: f32::NAN };
    let mut out = vec![none; scores.len()];
    objective.derivatives(&rows.truth(), scores, &mut out);
    out
}

/// The losses that are sums over rows, with the number of classes of their answers.
pub(super) const BY_ROW: [(Loss, Option<usize>); 11] = [
    (Loss::Squared, None),
    (Loss::Absolute, None),
    (Loss::Huber { delta: 0.7 }, None),
    (Loss::Quantile { quantile: 0.8 }, None),
    (Loss::Logistic, Some(2)),
    (Loss::Softmax, Some(4)),
    (Loss::Softmax, Some(2)),
    (Loss::Poisson, None),
    (Loss::Gamma, None),
    (Loss::Tweedie { power: 1.3 }, None),
    (Loss::Tweedie { power: 1.5 }, None),
];

/// `rows` rows for a loss; weights are none, whole numbers from 0 to 4, or any.
pub(super) fn case(loss: Loss, classes: Option<usize>, rows: usize, weights: Weights, seed: u64) -> Case {
    let random = Philox::new(seed, 1);
    let objective = loss.objective(classes).unwrap();
    let normal = |i: usize, list: u64| random.normal(list * rows as u64 * 8 + i as u64);
    let y = |i: usize| {
        let x = normal(i, 0);
        match (loss, classes) {
            (_, Some(classes)) => random.below((9 * rows + i) as u64, classes as u64) as f64,
            (Loss::Poisson, _) => x.abs().exp().floor() - 1.0,
            (Loss::Tweedie { .. }, _) => (x.exp() - 1.0).max(0.0),
            (Loss::Gamma | Loss::Cox, _) => (2.0 * x).exp(),
            _ => 3.0 * x,
        }
    };
    let weight = |i: usize| match weights {
        Weights::None => 1.0,
        Weights::Whole => random.below((10 * rows + i) as u64, 5) as f64,
        Weights::Any => random.uniform((11 * rows + i) as u64) * 3.0,
    };
    let data = Rows {
        y: (0..rows).map(y).collect(),
        weights: (weights != Weights::None).then(|| (0..rows).map(weight).collect()),
        groups: None,
        events: (loss == Loss::Cox).then(|| (0..rows).map(|i| normal(i, 2) > 0.3).collect()),
    };
    objective.check(&data.truth()).unwrap();
    let scores = (0..rows * objective.scores()).map(|i| 1.5 * normal(i, 3)).collect();
    Case { objective, rows: data, scores }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Weights {
    None,
    Whole,
    Any,
}

pub(super) const WEIGHTS: [Weights; 3] = [Weights::None, Weights::Whole, Weights::Any];

/// Queries of 0 to `most` rows with relevances 0 to 4 and few distinct scores, so that some are equal.
pub(super) fn queries(truncation: usize, queries: usize, most: u64, weights: Weights, seed: u64) -> Case {
    let random = Philox::new(seed, 2);
    let mut rows = Rows { groups: Some(Vec::new()), ..Rows::default() };
    let (mut scores, mut all) = (Vec::new(), Vec::new());
    for query in 0..queries as u64 {
        let first = rows.y.len();
        let length = random.below(query, most + 1);
        let of_query = 1.0 + random.below(1_000_000 + query, 3) as f64;
        for i in 0..length {
            let at = 2_000_000 + query * 1000 + i;
            rows.y.push(random.below(at, 5) as f64);
            scores.push((random.normal(at + 500) * 4.0).round() / 4.0);
            all.push(if weights == Weights::Any && random.below(at + 700, 6) == 0 { 0.0 } else { of_query });
        }
        rows.groups.as_mut().unwrap().push(first..rows.y.len());
    }
    rows.weights = (weights != Weights::None).then_some(all);
    let objective = Loss::LambdaRank { truncation }.objective(None).unwrap();
    objective.check(&rows.truth()).unwrap();
    Case { objective, rows, scores }
}

/// Order of `0..rows` by random numbers.
pub(super) fn shuffled(rows: usize, seed: u64) -> Vec<usize> {
    let random = Philox::new(seed, 3);
    let mut order: Vec<usize> = (0..rows).collect();
    order.sort_by_key(|&row| random.bits(row as u64));
    order
}
