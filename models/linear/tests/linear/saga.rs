//! SAGA against what a minimum asks, recomputed by loops, and against Newton's method; and what it refuses.

use crate::penalised::{classes, recomputed};
use crate::support::normal;
use proptest::prelude::*;
use tilewise_base::{Context, SparseRef};
use tilewise_kernels::{MatRef, parallel};
use tilewise_linear::{Alphas, ClassWeights, ElasticNet, ElasticNetSolver, Logistic, LogisticSolver, Rows};

fn saga() -> Logistic {
    Logistic { solver: LogisticSolver::Saga, ..Default::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_minimum_is_reached_and_told_rightly(
        rows in 60usize..200, cols in 1usize..12, seed in 0u64..300, strength in 0.5f64..10.0,
        l1_ratio in prop_oneof![Just(0.0), Just(1.0), 0.0f64..1.0], intercept: bool, weighted: bool, sparse: bool,
    ) {
        let mut x = normal(rows, cols, 2 * seed);
        if sparse {
            x.iter_mut().filter(|x| x.abs() < 1.0).for_each(|x| *x = 0.0);
        }
        let y = classes(&x, cols, 2, seed);
        let weights: Vec<f64> = (0..rows).map(|i| if i < 2 { 1.0 } else { (i % 3) as f64 }).collect();
        let offset: Vec<f64> = normal(rows, 1, 2 * seed + 1).iter().map(|o| 0.3 * o).collect();
        let of_rows = match weighted {
            true => Rows { weights: Some(&weights), offset: Some(&offset) },
            false => Rows::default(),
        };
        let params =
            Logistic { l1: strength * l1_ratio, l2: strength * (1.0 - l1_ratio), intercept, max_rounds: 5000, ..saga() };
        let view = MatRef::new(&x, rows, cols).unwrap();
        let fit = params.fit(view, &y, of_rows, &Context::default()).unwrap();
        prop_assert!(fit.report.converged && fit.report.warnings.is_empty(), "{:?}", fit.report);
        let (objective, residual) = recomputed(&params, &fit.model, &x, &y, of_rows);
        prop_assert!((objective - fit.report.objective).abs() < 1e-12 * (1.0 + objective));
        let small = residual < 1e-6;
        prop_assert!((residual - fit.report.optimality).abs() < 1e-11 && small, "{residual:e} {:?}", fit.report);
        // Zeros that are stored leave nothing to be made up for: every step is made.
        let starts: Vec<usize> = (0..=rows).map(|i| i * cols).collect();
        let columns: Vec<u32> = (0..rows * cols).map(|at| (at % cols) as u32).collect();
        let stored = SparseRef::by_rows(rows, cols, &starts, &columns, &x).unwrap();
        let again = params.fit_sparse(stored, &y, of_rows, &Context::default()).unwrap();
        for (a, b) in again.model.coefficients.iter().zip(&fit.model.coefficients) {
            prop_assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
    }
}

#[test]
fn the_minimum_of_newtons_method() {
    let (rows, cols) = (400, 8);
    let x = normal(rows, cols, 5);
    let y = classes(&x, cols, 2, 6);
    let view = MatRef::new(&x, rows, cols).unwrap();
    for (l1, l2) in [(0.0, 2.0), (3.0, 1.0), (8.0, 0.0)] {
        for class_weights in [ClassWeights::Ones, ClassWeights::Balanced] {
            let params = Logistic { l1, l2, class_weights, tolerance: 1e-10, ..saga() };
            let newton = Logistic { solver: LogisticSolver::NewtonCholesky, ..params.clone() };
            let ours = params.fit(view, &y, Rows::default(), &Context::default()).unwrap();
            let theirs = newton.fit(view, &y, Rows::default(), &Context::default()).unwrap();
            assert!(ours.report.converged, "{:?}", ours.report);
            assert!((ours.report.objective - theirs.report.objective).abs() < 1e-12);
            for (a, b) in ours.model.coefficients.iter().zip(&theirs.model.coefficients) {
                assert!((a - b).abs() < 1e-7 && (*a == 0.0) == (*b == 0.0), "{a} {b}");
            }
        }
    }
}

/// Objective and duality gap by loops; the gap with the residual as it is, which is a dual point where |b|^2 is penalised: what is beyond
/// l1 in a column counts squared over 2 l2.
fn squared(params: &ElasticNet, x: &[f64], y: &[f64], w: &[f64], b: &[f64], a: f64) -> (f64, f64) {
    let (p, total) = (b.len(), w.iter().sum::<f64>());
    let (l1, l2) = (params.alpha * params.l1_ratio, params.alpha * (1.0 - params.l1_ratio));
    let r: Vec<f64> = y
        .iter()
        .zip(x.chunks_exact(p))
        .map(|(y, row)| y - a - row.iter().zip(b).map(|(x, b)| x * b).sum::<f64>())
        .collect();
    let mean = |of: &dyn Fn(usize) -> f64| (0..y.len()).map(|i| w[i] * of(i)).sum::<f64>() / total;
    let middle = if params.intercept { mean(&|i| y[i]) } else { 0.0 };
    let square = mean(&|i| r[i] * r[i]);
    let penalty: f64 = b.iter().map(|b| l1 * b.abs() + 0.5 * l2 * b * b).sum();
    let beyond = |j: usize| (mean(&|i| r[i] * x[i * p + j]).abs() - l1).max(0.0).powi(2) / (2.0 * l2);
    let bound = mean(&|i| r[i] * (y[i] - middle)) - 0.5 * square - (0..p).map(beyond).sum::<f64>();
    let objective = 0.5 * square + penalty;
    (objective, objective - bound)
}

#[test]
fn squares_reach_their_gap() {
    let (rows, cols) = (300, 6);
    for (seed, sparse) in [(1, false), (2, true)] {
        let mut x = normal(rows, cols, seed);
        if sparse {
            x.iter_mut().filter(|x| x.abs() < 1.0).for_each(|x| *x = 0.0);
        }
        let noise = normal(rows, 1, seed + 10);
        let y: Vec<f64> = (0..rows).map(|i| 2.0 * x[i * cols] - x[i * cols + 1] + noise[i] + 5.0).collect();
        let w: Vec<f64> = (0..rows).map(|i| (i % 3) as f64).collect();
        let (view, of_rows) =
            (MatRef::new(&x, rows, cols).unwrap(), Rows { weights: Some(&w), offset: None });
        for l1_ratio in [0.0, 0.5, 1.0] {
            for intercept in [true, false] {
                let solver = ElasticNetSolver::Saga;
                let params = ElasticNet {
                    alpha: 0.2,
                    l1_ratio,
                    intercept,
                    solver,
                    tolerance: 1e-10,
                    ..Default::default()
                };
                let fit = params.fit(view, &y, of_rows, &Context::default()).unwrap();
                assert!(fit.report.converged, "{l1_ratio} {intercept}: {:?}", fit.report);
                let (b, a) = (&fit.model.coefficients, fit.model.intercepts[0]);
                let (objective, gap) = squared(&params, &x, &y, &w, b, a);
                assert!((objective - fit.report.objective).abs() < 1e-11 * objective);
                if l1_ratio < 1.0 {
                    assert!(
                        fit.report.optimality <= gap + 1e-12 * objective && gap < 1e-7,
                        "{gap:e} {:?}",
                        fit.report
                    );
                }
                let gram = ElasticNet { solver: ElasticNetSolver::Gram, ..params.clone() };
                let other = gram.fit(view, &y, of_rows, &Context::default()).unwrap();
                assert!((objective - other.report.objective).abs() < 1e-9 * objective);
                for (a, b) in b.iter().zip(&other.model.coefficients) {
                    assert!((a - b).abs() < 1e-4, "{a} {b}");
                }
            }
        }
        let params = ElasticNet { solver: ElasticNetSolver::Saga, ..Default::default() };
        let path = params.path(view, &y, of_rows, &Alphas::default(), &Context::default());
        assert!(path.unwrap_err().to_string().contains("one penalty"));
        let positive = ElasticNet { positive: true, ..params };
        let message = positive.fit(view, &y, of_rows, &Context::default()).unwrap_err().to_string();
        assert!(message.contains("positive") && message.contains("SAGA"), "{message}");
    }
}

#[test]
fn limits_threads_and_refusals() {
    let x = normal(300, 4, 1);
    let y = classes(&x, 4, 2, 2);
    let view = MatRef::new(&x, 300, 4).unwrap();
    let few = Logistic { max_rounds: 2, ..saga() };
    let fit = few.fit(view, &y, Rows::default(), &Context::default()).unwrap();
    assert!(!fit.report.converged && fit.report.warnings[0].contains("limit"), "{:?}", fit.report);
    let fits = [1, 3].map(|threads| {
        parallel::with_threads(threads, || {
            saga().fit(view, &y, Rows::default(), &Context::default()).unwrap()
        })
    });
    assert_eq!((&fits[0].model, &fits[0].report), (&fits[1].model, &fits[1].report));
    let three = classes(&x, 4, 3, 2);
    let message = saga().fit(view, &three, Rows::default(), &Context::default()).unwrap_err().to_string();
    assert!(message.contains("saga") && message.contains("two classes"), "{message}");
    let message = saga().trainer::<f64>(4, 2).err().unwrap().to_string();
    assert!(message.contains("saga") && message.contains("one memory"), "{message}");
    let mut bad = x.clone();
    bad[9] = f64::NAN;
    let bad = MatRef::new(&bad, 300, 4).unwrap();
    let message = saga().fit(bad, &y, Rows::default(), &Context::default()).unwrap_err().to_string();
    assert!(message.contains("row 2, feature 1"), "{message}");
    // A column of zeros and one that is constant are no trouble.
    let mut x = x;
    x.chunks_exact_mut(4).for_each(|row| (row[2], row[3]) = (0.0, 1.0));
    let view = MatRef::new(&x, 300, 4).unwrap();
    let fit = Logistic { l1: 1.0, ..saga() }.fit(view, &y, Rows::default(), &Context::default()).unwrap();
    assert!(fit.report.converged && fit.model.coefficients[2..] == [0.0, 0.0], "{:?}", fit.report);
}
