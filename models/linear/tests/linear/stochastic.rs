//! Stochastic gradient descent: against loops over all coefficients, the minima of other solvers, and itself cut otherwise.

use crate::penalised::{classes, recomputed};
use crate::support::normal;
use proptest::prelude::*;
use tilewise_base::{Context, Sparse};
use tilewise_kernels::{MatRef, parallel};
use tilewise_linear::{
    ElasticNet, Huber, Logistic, Rows, Schedule, StochasticDescent, StochasticLearner, StochasticLoss,
};

const LOSSES: [StochasticLoss; 3] =
    [StochasticLoss::Squared, StochasticLoss::Logistic, StochasticLoss::Huber(0.7)];

/// Rows, some cells of which are zero.
fn rows_of(rows: usize, cols: usize, seed: u64) -> Vec<f64> {
    normal(rows, cols, seed).into_iter().map(|x| if x.abs() < 0.7 { 0.0 } else { x }).collect()
}

fn targets(loss: StochasticLoss, x: &[f64], cols: usize, seed: u64) -> Vec<f64> {
    if loss == StochasticLoss::Logistic {
        return classes(x, cols, 2, seed).into_iter().map(f64::from).collect();
    }
    let noise = normal(x.len() / cols, 1, seed);
    x.chunks_exact(cols).zip(noise).map(|(row, e)| 2.0 * row[0] - row[cols - 1] + e + 1.0).collect()
}

/// What the documentation says, every coefficient at every step: the last point and the mean of those that count.
fn naive(
    params: &StochasticDescent,
    x: &[f64],
    cols: usize,
    y: &[f64],
    w: &[f64],
    o: &[f64],
) -> [Vec<f64>; 2] {
    let (l1, l2) = (params.alpha * params.l1_ratio, params.alpha * (1.0 - params.l1_ratio));
    let (mut b, mut a, mut sums, mut counted) = (vec![0.0f64; cols], 0.0, vec![0.0; cols + 1], 0.0);
    for (t, row) in x.chunks_exact(cols).enumerate() {
        let length = match params.schedule {
            Schedule::Inverse { first, power } => first / ((t + 1) as f64).powf(power),
            Schedule::Optimal => 1.0 / (params.alpha * (t as f64 + 1.0 / params.alpha.powf(0.75))),
        };
        let z = row.iter().zip(&b).map(|(x, b)| x * b).sum::<f64>() + a + o[t];
        let (slope, steepest) = match params.loss {
            StochasticLoss::Squared => (z - y[t], 1.0),
            StochasticLoss::Logistic => (1.0 / (1.0 + (-z).exp()) - y[t], 0.25),
            StochasticLoss::Huber(h) => ((z - y[t]).max(-h).min(h), 1.0),
        };
        let of_intercept = if params.intercept { 1.0 } else { 0.0 };
        let longest = 1.0 / (steepest * (row.iter().map(|x| x * x).sum::<f64>() + of_intercept));
        let rate = (w[t] * length).min(longest);
        for (b, x) in b.iter_mut().zip(row) {
            let moved = *b - rate * slope * x;
            *b = moved.signum() * (moved.abs() - length * l1).max(0.0) / (1.0 + length * l2);
        }
        a -= of_intercept * rate * slope;
        if params.average.is_some_and(|after| t as u64 >= after) {
            sums.iter_mut().zip(b.iter().chain([&a])).for_each(|(sum, b)| *sum += b);
            counted += 1.0;
        }
    }
    b.push(a);
    [b, sums.into_iter().map(|s| s / counted).collect()]
}

fn everything(learner: &StochasticLearner) -> Vec<f64> {
    let model = learner.model();
    model.coefficients.into_iter().chain(model.intercepts).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn steps_are_those_of_loops(
        rows in 1usize..2500, cols in 1usize..8, seed in 0u64..300, which in 0usize..3, average in 0u64..1500,
        alpha in prop_oneof![Just(0.0), 1e-4f64..0.3], l1_ratio in prop_oneof![Just(0.0), Just(1.0), 0.0f64..1.0],
        inverse: bool, first in prop_oneof![Just(0.01), Just(50.0), 0.1f64..2.0], power in 0.0f64..1.0, intercept: bool,
        chunk in 1usize..900,
    ) {
        let x = rows_of(rows, cols, 2 * seed);
        let loss = LOSSES[which];
        let y = if rows > 2 { targets(loss, &x, cols, seed) } else { vec![1.0; rows] };
        let w: Vec<f64> = (0..rows).map(|i| 0.5 * (i % 4) as f64).collect();
        let o: Vec<f64> = normal(rows, 1, 2 * seed + 1);
        let schedule =
            if inverse || alpha == 0.0 { Schedule::Inverse { first, power } } else { Schedule::Optimal };
        let params = StochasticDescent { loss, alpha, l1_ratio, intercept, schedule, average: Some(average), ..Default::default() };
        let [last, mean] = naive(&params, &x, cols, &y, &w, &o);
        let part = |learner: &mut StochasticLearner, from: usize, to: usize| {
            let of = Rows { weights: Some(&w[from..to]), offset: Some(&o[from..to]) };
            learner.partial_fit(MatRef::new(&x[from * cols..to * cols], to - from, cols).unwrap(), &y[from..to], of).unwrap();
        };
        let mut whole = params.learner(cols).unwrap();
        part(&mut whole, 0, rows);
        let mut alone = StochasticDescent { average: None, ..params.clone() }.learner(cols).unwrap();
        part(&mut alone, 0, rows);
        let near = |ours: &[f64], theirs: &[f64]| {
            let size = theirs.iter().fold(1.0f64, |m, b| m.max(b.abs()));
            ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-9 * size)
        };
        prop_assert!(near(&everything(&alone), &last), "{:?} {last:?}", alone.model());
        let theirs = if rows as u64 > average { &mean } else { &last };
        prop_assert!(near(&everything(&whole), theirs), "{:?} {theirs:?}", whole.model());
        // Cuts change no bit, and what one model tells not what the next does.
        let mut cut = params.learner(cols).unwrap();
        for from in (0..rows).step_by(chunk) {
            part(&mut cut, from, rows.min(from + chunk));
            let _ = cut.model();
        }
        prop_assert_eq!((&cut, cut.model(), cut.steps()), (&whole, whole.model(), rows as u64));
    }
}

/// Passes until the tolerance; what is told is recomputed by loops.
#[test]
fn the_gradient_of_all_rows_ends_it() {
    let (rows, cols) = (1000, 6);
    let x = rows_of(rows, cols, 3);
    let view = MatRef::new(&x, rows, cols).unwrap();
    let y = classes(&x, cols, 2, 4);
    let numbers: Vec<f64> = y.iter().map(|y| f64::from(*y)).collect();
    for (l1, l2) in [(0.0, 20.0), (5.0, 5.0)] {
        let params = Logistic { l1, l2, ..Default::default() };
        let alpha = (l1 + l2) / rows as f64;
        let sgd = StochasticDescent {
            loss: StochasticLoss::Logistic,
            alpha,
            l1_ratio: l1 / (l1 + l2),
            ..Default::default()
        };
        for schedule in [Schedule::default(), Schedule::Optimal] {
            let sgd = StochasticDescent { schedule, ..sgd.clone() };
            let fit = sgd.fit(view, &numbers, Rows::default(), &Context::default()).unwrap();
            assert!(fit.report.converged && fit.report.warnings.is_empty(), "{:?}", fit.report);
            let (objective, residual) = recomputed(&params, &fit.model, &x, &y, Rows::default());
            assert!((objective - fit.report.objective).abs() < 1e-12);
            // Of averages that are to be zero, and are nearly so, what is told is less than the corner's.
            let told = fit.report.optimality;
            assert!(
                told < 2e-3 && told < residual + 1e-12 && (l1 > 0.0 || told > residual - 1e-12),
                "{residual} {told}"
            );
            let best = params.fit(view, &y, Rows::default(), &Context::default()).unwrap();
            let above = fit.report.objective - best.report.objective;
            assert!((0.0..1e-4).contains(&above), "{above:e}");
        }
    }
}

#[test]
fn minima_of_other_solvers() {
    let (rows, cols) = (2000, 5);
    let x = rows_of(rows, cols, 9);
    let view = MatRef::new(&x, rows, cols).unwrap();
    let loss = StochasticLoss::Squared;
    let y: Vec<f64> = targets(loss, &x, cols, 8).iter().map(|y| 1e3 * y).collect();
    let (alpha, l1_ratio) = (0.05, 0.5);
    let sgd = StochasticDescent { alpha, l1_ratio, ..Default::default() };
    let ours = sgd.fit(view, &y, Rows::default(), &Context::default()).unwrap();
    let net = ElasticNet { alpha, l1_ratio, ..Default::default() };
    let theirs = net.fit(view, &y, Rows::default(), &Context::default()).unwrap();
    assert!(ours.report.converged, "{:?}", ours.report);
    let above = ours.report.objective / theirs.report.objective - 1.0;
    assert!((0.0..1e-5).contains(&above), "{above:e}");
    let threshold = 700.0;
    let sgd = StochasticDescent { loss: StochasticLoss::Huber(threshold), ..sgd };
    let stored = Sparse::of_dense(view).unwrap().view().turned();
    let ours = sgd.fit_sparse(stored.view(), &y, Rows::default(), &Context::default()).unwrap();
    let huber = Huber { threshold, alpha, l1_ratio, ..Default::default() };
    let theirs = huber.fit(view, &y, Rows::default(), &Context::default()).unwrap();
    assert!(ours.report.converged, "{:?}", ours.report);
    let above = ours.report.objective / theirs.report.objective - 1.0;
    assert!((0.0..1e-5).contains(&above), "{above:e}");
}

#[test]
fn passes_go_on_and_threads_change_nothing() {
    let (rows, cols) = (300, 4);
    let x = rows_of(rows, cols, 5);
    let view = MatRef::new(&x, rows, cols).unwrap();
    let y = targets(StochasticLoss::Squared, &x, cols, 6);
    let params = StochasticDescent { alpha: 0.01, l1_ratio: 0.5, tolerance: 0.0, ..Default::default() };
    let context = Context { seed: 7, ..Context::default() };
    let run = |parts: &[u64], threads| {
        parallel::with_threads(threads, || {
            let mut learner = params.learner(cols).unwrap();
            let reports =
                parts.iter().map(|n| learner.passes(view, &y, Rows::default(), *n, &context).unwrap());
            let report = reports.last().unwrap();
            (learner, report)
        })
    };
    let at_once = run(&[11], 1);
    assert_eq!(run(&[4, 7], 1), at_once);
    assert_eq!(run(&[4, 1, 6], 3), at_once);
    let report = &at_once.1;
    assert!(
        !report.converged && report.rounds == 11 && report.warnings[0].contains("limit of 11 rounds"),
        "{report:?}"
    );
    let few = StochasticDescent { max_rounds: 11, ..params.clone() };
    let fit = few.fit(view, &y, Rows::default(), &context).unwrap();
    assert_eq!((fit.model, &fit.report), (at_once.0.model(), report));
    let other = few.fit(view, &y, Rows::default(), &Context::default()).unwrap();
    assert_ne!(other.model, at_once.0.model(), "the seed draws the order");
}

#[test]
fn what_is_not_accepted_is_named() {
    let base = StochasticDescent::default();
    let refused = |params: StochasticDescent, word: &str| {
        let message = params.learner(2).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    };
    refused(StochasticDescent { alpha: -1.0, ..base.clone() }, "alpha");
    refused(StochasticDescent { l1_ratio: 1.5, ..base.clone() }, "l1_ratio");
    refused(StochasticDescent { schedule: Schedule::Optimal, ..base.clone() }, "without penalty");
    refused(
        StochasticDescent { schedule: Schedule::Inverse { first: 0.0, power: 1.0 }, ..base.clone() },
        "first",
    );
    refused(
        StochasticDescent { schedule: Schedule::Inverse { first: 1.0, power: -1.0 }, ..base.clone() },
        "power",
    );
    refused(StochasticDescent { loss: StochasticLoss::Huber(0.0), ..base.clone() }, "threshold");
    let logistic = StochasticDescent { loss: StochasticLoss::Logistic, ..base.clone() };
    let x = [1.0, f64::NAN, 2.0, 3.0];
    let view = |cols| MatRef::new(&x, 4 / cols, cols).unwrap();
    let mut learner = logistic.learner(1).unwrap();
    let fresh = learner.clone();
    for (result, word) in [
        (learner.partial_fit(view(1), &[0.0; 4], Rows::default()), "row 1, feature 0"),
        (learner.partial_fit(view(2), &[0.0; 2], Rows::default()), "feature"),
        (learner.partial_fit(view(1), &[0.0, 1.0], Rows::default()), "targets"),
        (learner.partial_fit(MatRef::new(&x[2..], 2, 1).unwrap(), &[1.0, 0.5], Rows::default()), "0 or 1"),
    ] {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(word), "{word}: {message}");
    }
    assert_eq!(learner, fresh);
    // Rows of any length, and first steps of any: no step goes past the row's minimum.
    let x = [1e6, -2e6, 3e6, 1.0];
    let long =
        StochasticDescent { schedule: Schedule::Inverse { first: 1e9, power: 0.0 }, average: None, ..base };
    let fit = long.fit(
        MatRef::new(&x, 4, 1).unwrap(),
        &[1.0, -2.0, 3.0, 0.0],
        Rows::default(),
        &Context::default(),
    );
    let report = fit.unwrap().report;
    assert!(report.objective.is_finite(), "{report:?}");
}
