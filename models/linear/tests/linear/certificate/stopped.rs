//! Fits that change their method on the way, of many columns, and fits that are cancelled: reports are of the rows and the model that are
//! given back.

use super::loops::{Loss, Problem};
use super::{Case, Data, Form, Tally, dense, sparse};
use std::sync::atomic::{AtomicBool, Ordering};
use tilewise_base::{Context, Progress};
use tilewise_linear::{
    ElasticNet, ElasticNetSolver, Generalised, Huber, LeastSquares, Logistic, LogisticSolver,
};

/// Stops what it hears of after so many rounds.
struct Impatient<'a>(u64, &'a AtomicBool);

impl Progress for Impatient<'_> {
    fn round(&self, done: u64, _: u64, _: &str) {
        self.1.fetch_or(done >= self.0, Ordering::Relaxed);
    }
}

/// Calls `fit` with a context that stops it after so many rounds.
fn stopped_after<R>(rounds: u64, fit: impl FnOnce(&Context<'_>) -> R) -> R {
    let cancel = AtomicBool::new(false);
    let progress = Impatient(rounds, &cancel);
    fit(&Context { progress: &progress, cancel: &cancel, ..Context::default() })
}

fn case(shape: (usize, usize), seed: u64) -> Case {
    Case {
        shape,
        seed,
        dense: Form::Double,
        sparse: Form::Rows,
        spread: false,
        weighted: true,
        offset: true,
        intercept: true,
        share: 0.05,
        l1_ratio: 0.5,
        rounds: 3,
    }
}

/// L2 logistic regression's problem of two classes.
fn logistic(data: &Data, l2: f64) -> Problem {
    let weight: f64 = (0..data.rows).map(|i| data.weight(i)).sum();
    Problem::new(Loss::Binomial, 0.0, l2 / weight, true)
}

fn labels(data: &Data) -> (Vec<u32>, Vec<f64>) {
    let y = data.labels(2);
    let numbers = y.iter().map(|y| f64::from(*y)).collect();
    (y, numbers)
}

/// Columns that nearly agree: `Auto` begins with L-BFGS and ends with Newton's method.
#[test]
fn from_lbfgs_to_newton() {
    let tally = Tally::default();
    for seed in 0..3 {
        let mut data = Data::new(&case((300, 40), seed));
        data.offset = None;
        for row in data.x.chunks_exact_mut(40) {
            let common = row[39];
            row[3..].iter_mut().for_each(|x| *x = common + 0.02 * *x);
        }
        let (y, numbers) = labels(&data);
        let l2 = 0.1;
        let mut kinds = [0; 2];
        for max_rounds in [1, 2, 5, 9, 17, 18, 19, 20, 22, 36, 40, 500] {
            let params = Logistic { l2, tolerance: 1e-9, max_rounds, ..Logistic::default() };
            let fit = dense!(params, Form::Double, &data, &y);
            kinds[usize::from(fit.report.rounds > 19)] += 1;
            logistic(&data, l2).told(&data, &numbers, &fit.model).compare(&fit.report, &tally).unwrap();
        }
        assert!(kinds[0] > 1 && kinds[1] > 1, "{kinds:?}");
    }
    tally.asserts(50, 10);
}

/// Very many rows: a sample is solved first, of which a report must not be that of all rows.
#[test]
fn from_a_sample_to_all_rows() {
    let tally = Tally::default();
    let mut data = Data::new(&case((5000, 2), 1));
    data.offset = None;
    let (y, numbers) = labels(&data);
    for (l2, rounds) in [0.5, 50.0].into_iter().flat_map(|l2| (2..14).chain([1000]).map(move |r| (l2, r))) {
        let params = Logistic { l2, ..Logistic::default() };
        let fit = stopped_after(rounds, |context| params.fit(data.double(), &y, data.extra(), context));
        let Ok(fit) = fit else { continue };
        if fit.report.optimality.is_nan() {
            // Nothing is known of all rows yet.
            assert!(!fit.report.converged && fit.report.objective.is_nan(), "{:?}", fit.report);
            continue;
        }
        logistic(&data, l2).told(&data, &numbers, &fit.model).compare(&fit.report, &tally).unwrap();
    }
    tally.asserts(50, 10);
}

/// Cancelled before the end, by every solver that hears of it.
#[test]
fn cancelled_fits_tell_where_they_are() {
    let tally = Tally::default();
    for (seed, rounds) in (0..4).flat_map(|seed| (2..6).map(move |rounds| (seed, rounds))) {
        let data = Data::new(&case((80, 7), seed));
        let (y, numbers) = labels(&data);
        for solver in [LogisticSolver::NewtonCholesky, LogisticSolver::Lbfgs] {
            let params = Logistic { solver, ..Logistic::default() };
            let fit = stopped_after(rounds, |context| dense!(params, fit, Form::Double, &data, &y, context));
            logistic(&data, 1.0).told(&data, &numbers, &fit.model).compare(&fit.report, &tally).unwrap();
        }
        let params = Logistic::default();
        let fit = stopped_after(rounds, |context| sparse!(params, Form::Rows, &data, &y, context));
        logistic(&data, 1.0).told(&data, &numbers, &fit.model).compare(&fit.report, &tally).unwrap();
        let amounts = data.amounts(true);
        let params = Generalised { alpha: 0.1, ..Generalised::default() };
        let problem = Problem::new(Loss::Deviance(1.0), 0.0, 0.1, true);
        let fit = stopped_after(rounds, |context| sparse!(params, Form::Rows, &data, &amounts, context));
        problem.told(&data, &amounts, &fit.model).compare(&fit.report, &tally).unwrap();
        let fit =
            stopped_after(rounds, |context| dense!(params, fit, Form::Double, &data, &amounts, context));
        problem.told(&data, &amounts, &fit.model).compare(&fit.report, &tally).unwrap();
    }
    tally.asserts(60, 0);
}

/// Conjugate gradients of least squares that are stopped within their one step.
#[test]
fn sparse_squares_that_are_stopped() {
    let tally = Tally::default();
    // Cells so many that no factor is made.
    let (rows, cols) = (60, 400);
    for (seed, rounds) in (0..2).flat_map(|seed| [3, 6, 12, 25].map(|rounds| (seed, rounds))) {
        let data = Data::new(&Case { spread: seed == 1, ..case((rows, cols), seed) });
        let y = data.numbers();
        let weight: f64 = (0..rows).map(|i| data.weight(i)).sum();
        let l2 = 0.5;
        let params = LeastSquares { l2, ..LeastSquares::default() };
        let fit = stopped_after(rounds, |context| sparse!(params, Form::Rows, &data, &y, context));
        let problem = Problem { factor: 2.0, ..Problem::new(Loss::Squared, 0.0, l2 / weight, true) };
        problem.told(&data, &y, &fit.model).compare(&fit.report, &tally).unwrap();
    }
    tally.asserts(60, 0);
}

/// More columns than a Hessian is made for: Huber's loss from 2049 on, corners of two classes from 8192 on. And least squares of more than
/// 512, by products of rows.
#[test]
fn very_many_columns() {
    let tally = Tally::default();
    let data = Data::new(&case((24, 2100), 1));
    let y = data.numbers();
    for l1_ratio in [0.0, 0.5] {
        for (tolerance, max_rounds) in [(1e-8, 1000), (1e-2, 1000), (1e-8, 2)] {
            let params = Huber { alpha: 0.1, l1_ratio, tolerance, max_rounds, ..Huber::default() };
            let fit = dense!(params, Form::Double, &data, &y);
            let problem =
                Problem::new(Loss::Huber(params.threshold), 0.1 * l1_ratio, 0.1 * (1.0 - l1_ratio), true);
            problem.told(&data, &y, &fit.model).compare(&fit.report, &tally).unwrap();
        }
        let params = ElasticNet { alpha: 0.1, solver: ElasticNetSolver::WorkingSet, ..ElasticNet::default() };
        assert!(dense!(params, Form::Double, &data, &y).report.converged);
    }
    let weight: f64 = (0..data.rows).map(|i| data.weight(i)).sum();
    for l2 in [0.0, 3.0] {
        let params = LeastSquares { l2, ..LeastSquares::default() };
        let fit = dense!(params, Form::Double, &data, &y);
        let problem = Problem { factor: 2.0, ..Problem::new(Loss::Squared, 0.0, l2 / weight, true) };
        problem.told(&data, &y, &fit.model).compare(&fit.report, &Tally::default()).unwrap();
    }
    let data = Data::new(&case((20, 8192), 2));
    let (y, numbers) = labels(&data);
    let weight: f64 = (0..data.rows).map(|i| data.weight(i)).sum();
    for (tolerance, max_rounds) in [(1e-8, 1000), (1e-2, 1000), (1e-8, 1)] {
        let params = Logistic { l1: 1.0, l2: 0.1, tolerance, max_rounds, ..Logistic::default() };
        let fit = dense!(params, Form::Double, &data, &y);
        let problem = Problem::new(Loss::Binomial, 1.0 / weight, 0.1 / weight, true);
        problem.told(&data, &numbers, &fit.model).compare(&fit.report, &tally).unwrap();
    }
    tally.asserts(50, 50);
}
