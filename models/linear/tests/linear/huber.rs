//! Robust regression: residuals by loops, scikit-learn's numbers, and rows far out.

use crate::support::{load, normal};
use proptest::prelude::*;
use tilewise_base::{Context, Sparse};
use tilewise_kernels::{MatRef, parallel};
use tilewise_linear::{Huber, LeastSquares, Rows};

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any penalty, some rows far out: objective and KKT residual told are those of loops, the residual is small, sparse is dense.
    #[test]
    fn the_minimum_is_found_and_proved(
        rows in 20usize..120, cols in 1usize..12, seed in 0u64..400, threshold in 0.1f64..3.0, alpha in 0.001f64..0.3,
        l1_ratio in prop_oneof![Just(0.0), Just(1.0), 0.1f64..0.9], intercept: bool, weighted: bool,
    ) {
        let x = normal(rows, cols, 5 * seed);
        let (noise, offset) = (normal(rows, 1, 5 * seed + 1), normal(rows, 1, 5 * seed + 2));
        let weights: Vec<f64> = normal(rows, 1, 5 * seed + 3).iter().map(|w| w.abs() + 0.01).collect();
        let y: Vec<f64> = (0..rows)
            .map(|i| 2.0 * x[i * cols] + noise[i] * if i.is_multiple_of(9) { 30.0 } else { 1.0 } + 1.0)
            .collect();
        let extra = Rows {
            weights: weighted.then_some(&weights[..]),
            offset: weighted.then_some(&offset[..]),
        };
        let params = Huber { threshold, alpha, l1_ratio, intercept, ..Default::default() };
        let view = MatRef::new(&x, rows, cols).unwrap();
        let fit = params.fit(view, &y, extra, &Context::default()).unwrap();
        prop_assert!(fit.report.converged, "{:?}", fit.report);
        let (w, o) = (|i: usize| if weighted { weights[i] } else { 1.0 }, |i: usize| if weighted { offset[i] } else { 0.0 });
        let total: f64 = (0..rows).map(w).sum();
        let (b, a) = (&fit.model.coefficients, fit.model.intercepts[0]);
        let (l1, l2) = (alpha * l1_ratio, alpha * (1.0 - l1_ratio));
        let mut objective: f64 = b.iter().map(|b| l1 * b.abs() + 0.5 * l2 * b * b).sum();
        let mut gradient = vec![0.0; cols + 1];
        for i in 0..rows {
            let r = (0..cols).map(|j| x[i * cols + j] * b[j]).sum::<f64>() + a + o(i) - y[i];
            objective += w(i) / total
                * if r.abs() <= threshold { 0.5 * r * r } else { threshold * (r.abs() - 0.5 * threshold) };
            let pull = w(i) / total * r.clamp(-threshold, threshold);
            (0..cols).for_each(|j| gradient[j] += pull * x[i * cols + j]);
            gradient[cols] += if intercept { pull } else { 0.0 };
        }
        let mut worst = gradient[cols].abs();
        for (b, g) in b.iter().zip(&gradient) {
            let g = g + l2 * b;
            worst = worst.max(if *b == 0.0 { (g.abs() - l1).max(0.0) } else { (g + l1 * b.signum()).abs() });
        }
        prop_assert!((fit.report.objective - objective).abs() < 1e-12 * (1.0 + objective), "{:?} {objective}", fit.report);
        prop_assert!((fit.report.optimality - worst).abs() < 1e-12 && worst < 1e-7, "{:?} {worst:e}", fit.report);
        let sparse = Sparse::of_dense(view).unwrap().view().turned();
        let other = params.fit_sparse(sparse.view(), &y, extra, &Context::default()).unwrap();
        prop_assert!((other.report.objective - objective).abs() < 1e-12 * (1.0 + objective));
    }
}

#[test]
fn numbers_of_scikit_learn() {
    let all: serde_json::Value = serde_json::from_str(include_str!("../golden/penalised.json")).unwrap();
    let Some(table) = load("diabetes") else { return };
    let (table, golden) = (table.standardised(), &all["huber_diabetes"]);
    let number = |key: &str| golden[key].as_f64().unwrap();
    let y = table.numbers();
    // With its scale given, scikit-learn's problem is ours.
    let params = Huber {
        threshold: number("epsilon") * number("scale"),
        alpha: number("alpha") * number("scale") / y.len() as f64,
        tolerance: 1e-10,
        ..Default::default()
    };
    let fit = params.fit(table.view(), &y, Rows::default(), &Context::default()).unwrap();
    assert!(fit.report.converged, "{:?}", fit.report);
    for (ours, theirs) in fit.model.coefficients.iter().zip(golden["coefficients"].as_array().unwrap()) {
        let theirs = theirs.as_f64().unwrap();
        assert!((ours - theirs).abs() < 1e-6 * (1.0 + theirs.abs()), "{ours} {theirs}");
    }
}

#[test]
fn rows_far_out_move_little_and_threads_nothing() {
    let x = normal(3000, 4, 1);
    let noise = normal(3000, 1, 2);
    let far = |i: usize| if i.is_multiple_of(20) { 1e4 } else { 0.0 };
    let y: Vec<f64> = (0..3000).map(|i| x[4 * i] - 2.0 * x[4 * i + 1] + 0.1 * noise[i] + far(i)).collect();
    let view = MatRef::new(&x, 3000, 4).unwrap();
    let run = |threads| {
        let params = Huber { threshold: 0.2, ..Default::default() };
        parallel::with_threads(threads, || {
            params.fit(view, &y, Rows::default(), &Context::default()).unwrap()
        })
    };
    let (one, many) = (run(1), run(3));
    assert_eq!((&one.model, &one.report), (&many.model, &many.report));
    assert!(one.report.converged, "{:?}", one.report);
    let plain = LeastSquares::default().fit(view, &y, Rows::default(), &Context::default()).unwrap();
    let error =
        |b: &[f64]| b.iter().zip([1.0, -2.0, 0.0, 0.0]).map(|(b, t)| (b - t).abs()).fold(0.0, f64::max);
    assert!(error(&one.model.coefficients) < 0.02 && error(&plain.model.coefficients) > 1.0);
}

#[test]
fn what_is_not_accepted_is_named() {
    let x = MatRef::new(&[1.0, 2.0], 2, 1).unwrap();
    let error = |params: Huber, y: &[f64]| {
        params.fit(x, y, Rows::default(), &Context::default()).unwrap_err().to_string()
    };
    assert!(error(Huber { threshold: 0.0, ..Default::default() }, &[1.0, 2.0]).contains("threshold"));
    assert!(error(Huber { alpha: f64::NAN, ..Default::default() }, &[1.0, 2.0]).contains("alpha"));
    assert!(error(Huber::default(), &[1.0, f64::INFINITY]).contains("row 1: the target"));
}
