//! Stochastic gradient descent without locks: on one thread against loops and the serial algorithm, on several against the minima that
//! Newton's method and coordinate descent find.

use crate::support::normal;
use proptest::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use tilewise_base::{Context, Error, FitReport, Progress, Sparse};
use tilewise_kernels::random::Philox;
use tilewise_kernels::{MatRef, parallel};
use tilewise_linear::{
    ElasticNet, LeastSquares, LinearModel, Logistic, Rows, Schedule, StochasticDescent, StochasticLoss,
};

const LOSSES: [StochasticLoss; 3] =
    [StochasticLoss::Squared, StochasticLoss::Logistic, StochasticLoss::Huber(0.7)];

/// How far above the minimum an objective may be, as a share of it: gradients are within 1e-3 of zero, and the excess is of the order of
/// their squares over curvatures, for some tens of columns.
const ABOVE_MINIMUM: f64 = 1e-3;

/// Rows of drawn columns, a target that they tell in part, and weights.
struct Data {
    x: Sparse,
    y: Vec<f64>,
    weights: Vec<f64>,
}

impl Data {
    /// About `stored` cells in a row; every tenth row has none.
    fn new(rows: usize, cols: usize, stored: usize, loss: StochasticLoss, seed: u64) -> Self {
        let draws = Philox::new(seed, Philox::purpose("columns"));
        let (cells, noise) = (normal(rows, stored, 3 * seed), normal(rows, 1, 3 * seed + 1));
        let (mut starts, mut indices, mut values, mut y) = (vec![0], Vec::new(), Vec::new(), Vec::new());
        for i in 0..rows {
            let own = if i % 10 == 9 { 0 } else { stored };
            let mut columns: Vec<u32> =
                (0..own).map(|k| draws.below((i * stored + k) as u64, cols as u64) as u32).collect();
            columns.sort_unstable();
            columns.dedup();
            let own = &cells[i * stored..][..columns.len()];
            let told = |(j, x): (&u32, &f64)| if j % 2 == 0 { *x } else { -0.5 * x };
            let score = columns.iter().zip(own).map(told).sum::<f64>() + noise[i] + 0.5;
            y.push(if loss == StochasticLoss::Logistic { f64::from(u8::from(score > 0.0)) } else { score });
            indices.extend(&columns);
            values.extend(own);
            starts.push(indices.len());
        }
        let weights =
            (0..rows).map(|i| 0.5 * (1 + i % 4) as f64 - 0.5 * f64::from(u8::from(i == 3))).collect();
        Self { x: Sparse::by_rows(rows, cols, starts, indices, values).unwrap(), y, weights }
    }

    fn rows(&self, weighted: bool) -> Rows<'_> {
        Rows { weights: weighted.then_some(&self.weights[..]), offset: None }
    }

    fn fit(&self, params: &StochasticDescent, weighted: bool, threads: usize) -> (LinearModel, FitReport) {
        let context = Context { seed: 5, ..Context::default() };
        parallel::with_threads(threads, || {
            let fit = params.fit_sparse(self.x.view(), &self.y, self.rows(weighted), &context).unwrap();
            (fit.model, fit.report)
        })
    }
}

fn hogwild() -> StochasticDescent {
    StochasticDescent { hogwild: true, ..Default::default() }
}

fn everything(model: &LinearModel) -> Vec<f64> {
    model.coefficients.iter().chain(&model.intercepts).copied().collect()
}

/// What the documentation says, with the cells of dense rows: the last point, and the mean of the ends of passes.
fn naive(params: &StochasticDescent, data: &Data, w: &[f64], seed: u64) -> [Vec<f64>; 2] {
    let (x, n) = (data.x.view(), data.y.len());
    let (l1, l2) = (params.alpha * params.l1_ratio, params.alpha * (1.0 - params.l1_ratio));
    let mean_weight = w.iter().sum::<f64>() / n as f64;
    let has = |i: usize, j: usize| x.line(i).0.contains(&(j as u32));
    let counts: Vec<usize> = (0..x.cols()).map(|j| (0..n).filter(|i| has(*i, j)).count()).collect();
    let mean = w.iter().zip(&data.y).map(|(w, y)| w * y).sum::<f64>() / w.iter().sum::<f64>();
    let starts = params.intercept && params.loss != StochasticLoss::Logistic;
    let (mut b, mut a) = (vec![0.0f64; x.cols()], if starts { mean } else { 0.0 });
    let (mut t, mut sums, mut counted) = (0u64, vec![0.0; x.cols() + 1], 0.0);
    for pass in 0..params.max_rounds {
        let purpose = Philox::purpose("stochastic descent").wrapping_add(pass);
        let before = t;
        for i in Philox::new(seed, purpose).permutation(n) {
            t += 1;
            let length = match params.schedule {
                Schedule::Inverse { first, power } => first / (t as f64).powf(power),
                Schedule::Optimal => 1.0 / (params.alpha * ((t - 1) as f64 + params.alpha.powf(-0.75))),
            };
            let row = x.line(i);
            let cells = || row.0.iter().map(|j| *j as usize).zip(row.1);
            let z = cells().map(|(j, x)| x * b[j]).sum::<f64>() + a;
            let (slope, steepest) = match params.loss {
                StochasticLoss::Squared => (z - data.y[i], 1.0),
                StochasticLoss::Logistic => (1.0 / (1.0 + (-z).exp()) - data.y[i], 0.25),
                StochasticLoss::Huber(h) => ((z - data.y[i]).max(-h).min(h), 1.0),
            };
            let of_intercept = if params.intercept { 1.0 } else { 0.0 };
            let longest = 1.0 / (steepest * (cells().map(|(_, x)| x * x).sum::<f64>() + of_intercept));
            let rate = (w[i] / mean_weight * length).min(longest);
            for (j, x) in cells() {
                let (moved, often) = (b[j] - rate * slope * x, length * n as f64 / counts[j] as f64);
                b[j] = moved.signum() * (moved.abs() - often * l1).max(0.0) / (1.0 + often * l2);
            }
            a -= of_intercept * rate * slope;
        }
        let after = params.average.unwrap_or(0);
        let times = t.saturating_sub(after) - before.saturating_sub(after);
        sums.iter_mut().zip(b.iter().chain([&a])).for_each(|(sum, b)| *sum += times as f64 * b);
        counted += times as f64;
    }
    b.push(a);
    [b, sums.into_iter().map(|s| s / counted).collect()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn on_one_thread_steps_are_those_of_loops(
        rows in 4usize..400, cols in 1usize..30, stored in 1usize..6, seed in 0u64..300, which in 0usize..3,
        alpha in prop_oneof![Just(0.0), 1e-4f64..0.3], l1_ratio in prop_oneof![Just(0.0), Just(1.0), 0.0f64..1.0],
        inverse: bool, first in prop_oneof![Just(0.01), Just(50.0), 0.1f64..2.0], power in 0.0f64..1.0,
        intercept: bool, passes in 1u64..5, after in 0u64..500, weighted: bool,
    ) {
        let data = Data::new(rows, cols, stored, LOSSES[which], seed);
        let schedule =
            if inverse || alpha == 0.0 { Schedule::Inverse { first, power } } else { Schedule::Optimal };
        let params = StochasticDescent {
            loss: LOSSES[which], alpha, l1_ratio, intercept, schedule, average: None, tolerance: 0.0, max_rounds: passes, hogwild: true,
        };
        let of_mean = StochasticDescent { average: Some(after), ..params.clone() };
        let weights = if weighted { data.weights.clone() } else { vec![1.0; rows] };
        let [last, mean] = naive(&of_mean, &data, &weights, 5);
        let mean = if rows as u64 * passes > after { mean } else { last.clone() };
        for (params, theirs) in [(&params, &last), (&of_mean, &mean)] {
            let ours = everything(&data.fit(params, weighted, 1).0);
            let size = theirs.iter().fold(1.0f64, |m, b| m.max(b.abs()));
            let near = ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-9 * size);
            prop_assert!(near, "{ours:?} {theirs:?}");
        }
    }

    /// Steps of any length, of rows of any, that meet each other in few columns.
    #[test]
    fn coefficients_are_finite(
        cols in 1usize..6, seed in 0u64..300, which in 0usize..3, scale in prop_oneof![Just(1.0), Just(1e-3), Just(1e4)],
        first in prop_oneof![Just(1e9), 0.1f64..100.0], power in prop_oneof![Just(0.0), 0.0f64..1.0],
        alpha in prop_oneof![Just(0.0), Just(1e3), 1e-4f64..0.3], l1_ratio in 0.0f64..1.0, threads in 2usize..6,
    ) {
        let Data { x, y, weights } = Data::new(3000, cols, 5, LOSSES[which], seed);
        let view = x.view();
        let values = (0..3000).flat_map(|i| view.line(i).1).map(|x| x * scale).collect();
        let indices = (0..3000).flat_map(|i| view.line(i).0).copied().collect();
        let x = Sparse::by_rows(3000, cols, view.starts().to_vec(), indices, values).unwrap();
        let params = StochasticDescent {
            loss: LOSSES[which], alpha, l1_ratio, schedule: Schedule::Inverse { first, power }, average: None, tolerance: 0.0, max_rounds: 4,
            ..hogwild()
        };
        let (model, report) = Data { x, y, weights }.fit(&params, true, threads);
        prop_assert!(everything(&model).iter().all(|b| b.is_finite()), "{model:?}");
        prop_assert!(report.objective.is_finite(), "{report:?}");
    }
}

/// Without penalty the steps are the serial ones; with one what is reached is as near.
#[test]
fn one_thread_does_what_the_serial_algorithm_does() {
    for loss in LOSSES {
        let data = Data::new(4000, 60, 6, loss, 1);
        for alpha in [0.0, 0.02] {
            let params =
                StochasticDescent { loss, alpha, average: None, tolerance: 0.0, max_rounds: 5, ..hogwild() };
            let serial = StochasticDescent { hogwild: false, ..params.clone() };
            let (ours, theirs) = (data.fit(&params, true, 1), data.fit(&serial, true, 1));
            assert_eq!(ours.1.warnings.len(), 1, "only the limit of rounds: {:?}", ours.1);
            assert!(alpha > 0.0 || ours == theirs, "{ours:?} {theirs:?}");
            let apart = ours.1.objective / theirs.1.objective - 1.0;
            assert!(apart.abs() < ABOVE_MINIMUM, "{loss:?}, {alpha}: {apart:e}");
            assert_eq!(data.fit(&params, true, 1), ours, "the same bits again");
        }
    }
}

/// Many columns that rows seldom share, and few that all do.
#[test]
fn several_threads_come_as_near_to_the_minimum() {
    for (cols, stored) in [(80, 5), (4, 4)] {
        for (loss, alpha, l1_ratio) in [
            (StochasticLoss::Logistic, 0.01, 0.0),
            (StochasticLoss::Squared, 0.01, 0.0),
            (StochasticLoss::Squared, 0.02, 0.5),
        ] {
            let data = Data::new(8000, cols, stored, loss, 2);
            let (x, rows) = (data.x.view(), data.rows(true));
            let sum = alpha * data.weights.iter().sum::<f64>();
            let context = Context::default();
            let least = match loss {
                StochasticLoss::Logistic => {
                    let classes: Vec<u32> = data.y.iter().map(|y| *y as u32).collect();
                    let newton = Logistic { l2: sum, ..Default::default() };
                    newton.fit_sparse(x, &classes, rows, &context).unwrap().report.objective
                }
                _ if l1_ratio == 0.0 => {
                    let newton = LeastSquares { l2: sum, ..Default::default() };
                    0.5 * newton.fit_sparse(x, &data.y, rows, &context).unwrap().report.objective
                }
                _ => {
                    let net = ElasticNet { alpha, l1_ratio, ..Default::default() };
                    net.fit_sparse(x, &data.y, rows, &context).unwrap().report.objective
                }
            };
            let params = StochasticDescent { loss, alpha, l1_ratio, ..hogwild() };
            for threads in [1, 2, 4] {
                let (_, report) = data.fit(&params, true, threads);
                assert!(report.converged, "{cols}, {loss:?}, {threads}: {report:?}");
                let above = report.objective / least - 1.0;
                let is_above = (-1e-9..ABOVE_MINIMUM).contains(&above);
                assert!(is_above, "{cols}, {loss:?}, {threads} threads: {above:e}");
                let warned = report.warnings.iter().any(|w| w.contains("not reproducible"));
                assert_eq!(warned, threads > 1, "{report:?}");
            }
        }
    }
}

/// Few rows are one block, which one thread takes.
#[test]
fn few_rows_are_reproducible() {
    let data = Data::new(500, 20, 4, StochasticLoss::Squared, 3);
    let params = StochasticDescent { tolerance: 0.0, max_rounds: 3, ..hogwild() };
    assert_eq!(data.fit(&params, false, 3), data.fit(&params, false, 1));
}

#[test]
fn what_has_an_order_is_refused() {
    let x = [1.0, 0.0, 2.0, 3.0];
    let (view, y, rows) = (MatRef::new(&x, 2, 2).unwrap(), [1.0, 2.0], Rows::default());
    let stored = Sparse::of_dense(view).unwrap();
    let mut learner = hogwild().learner(2).unwrap();
    for (result, words) in [
        (hogwild().fit(view, &y, rows, &Context::default()).map(|_| ()), "dense rows"),
        (learner.passes(view, &y, rows, 1, &Context::default()).map(|_| ()), "dense rows"),
        (learner.partial_fit(view, &y, rows), "rows of a stream"),
        (learner.partial_fit_sparse(stored.view(), &y, rows), "rows of a stream"),
    ] {
        let message = result.unwrap_err().to_string();
        assert!(message.contains("parameter hogwild: true") && message.contains(words), "{message}");
    }
    assert_eq!(learner, hogwild().learner(2).unwrap());
}

/// Asks to stop after a pass.
struct Stop(u64, AtomicBool);

impl Progress for Stop {
    fn round(&self, done: u64, _: u64, _: &str) {
        self.1.store(done >= self.0, Ordering::Relaxed);
    }
}

#[test]
fn a_fit_that_is_stopped_keeps_what_it_has() {
    let data = Data::new(4000, 60, 6, StochasticLoss::Squared, 4);
    let params = StochasticDescent { tolerance: 0.0, ..hogwild() };
    let fit = |passes| {
        let stop = Stop(passes, AtomicBool::new(false));
        let context = Context { progress: &stop, cancel: &stop.1, ..Context::default() };
        parallel::with_threads(2, || params.fit_sparse(data.x.view(), &data.y, Rows::default(), &context))
    };
    assert!(matches!(fit(1), Err(Error::Cancelled)));
    let report = fit(3).unwrap().report;
    assert_eq!((report.rounds, &report.stopped[..]), (3, "interrupted"), "{report:?}");
    assert_eq!(report.warnings.len(), 2, "{report:?}");
}
