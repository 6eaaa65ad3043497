//! SAGA against what a minimum asks, recomputed by loops, and against Newton's method; and what it refuses.

use crate::penalised::{classes, recomputed};
use crate::support::normal;
use proptest::prelude::*;
use tilewise_base::{Context, Sparse};
use tilewise_kernels::{MatRef, parallel};
use tilewise_linear::{ClassWeights, Logistic, LogisticSolver, Rows};

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
        prop_assert!(fit.report.converged, "{:?}", fit.report);
        let (objective, residual) = recomputed(&params, &fit.model, &x, &y, of_rows);
        prop_assert!((objective - fit.report.objective).abs() < 1e-12 * (1.0 + objective));
        prop_assert!((residual - fit.report.optimality).abs() < 1e-11 && residual < 1e-6, "{residual:e} {:?}", fit.report);
        // Stored cells make the same steps, one by one.
        let matrix = Sparse::of_dense(view).unwrap();
        let again = params.fit_sparse(matrix.view(), &y, of_rows, &Context::default()).unwrap();
        prop_assert_eq!(&again.model, &fit.model);
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
