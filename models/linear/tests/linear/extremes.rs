//! Inputs at the edge of what is sensible: sentinels in rows without weight, class numbers with gaps, models without
//! features.

use crate::support::normal;
use tilewise_base::Context;
use tilewise_kernels::{MatMut, MatRef};
use tilewise_linear::{LeastSquares, LinearModel, Link, Logistic, LogisticSolver, Rows};

#[test]
fn rows_without_weight_change_nothing() {
    let context = Context::default();
    // The first row is where sums start; a sentinel there must not shift them.
    for sentinel in [1e9, 1e17, 1e200] {
        let (x, y) = ([sentinel, 1.0, 2.0, 3.0, 4.0], [sentinel, 1.0, 2.0, 3.0, 4.0]);
        let rows = Rows { weights: Some(&[0.0, 1.0, 1.0, 1.0, 1.0]), offset: None };
        let x = MatRef::new(&x, 5, 1).unwrap();
        let model = LeastSquares::default().fit(x, &y, rows, &context).unwrap().model;
        let (slope, intercept) = (model.coefficients[0], model.intercepts[0]);
        assert!((slope - 1.0).abs() < 1e-14 && intercept.abs() < 1e-14, "{sentinel:e}: {slope}, {intercept}");
    }
    // Nor with a weight that makes it count for nothing, 1e-10 of the squares.
    let x = [1e30, 1.0, 2.0, 3.0, 4.0];
    let rows = Rows { weights: Some(&[1e-70, 1.0, 1.0, 1.0, 1.0]), offset: None };
    let y = [0.0, 1.0, 2.0, 3.0, 4.0];
    let model =
        LeastSquares::default().fit(MatRef::new(&x, 5, 1).unwrap(), &y, rows, &context).unwrap().model;
    assert!((model.coefficients[0] - 1.0).abs() < 1e-9, "{:?}", model.coefficients);
    let (n, p) = (50, 3);
    let mut x = normal(n, p, 1);
    let noise = normal(n, 1, 2);
    let y: Vec<u32> = (0..n).map(|i| u32::from(x[i * p] + noise[i] > 0.0)).collect();
    let mut weights = vec![1.0; n];
    x[..p].fill(1e17);
    weights[0] = 0.0;
    let without = MatRef::new(&x[p..], n - 1, p).unwrap();
    for solver in [LogisticSolver::NewtonCholesky, LogisticSolver::Lbfgs] {
        let params = Logistic { solver, ..Default::default() };
        let rows = Rows { weights: Some(&weights), offset: None };
        let with = params.fit(MatRef::new(&x, n, p).unwrap(), &y, rows, &context).unwrap().model;
        let best = params.fit(without, &y[1..], Rows::default(), &context).unwrap().model;
        for (a, b) in with.coefficients.iter().zip(&best.coefficients) {
            assert!((a - b).abs() < 1e-7, "{solver:?}: {a} and {b}");
        }
    }
}

/// What an outlier of 1e9 among numbers near 1 may cost: its own rounding, 1e-7, spread over its weight of 1e-9.
#[test]
fn an_outlying_first_row_costs_no_digits_of_the_mean() {
    let x: Vec<f64> = std::iter::once(1e9).chain((1..400).map(|i| f64::from(i) / 7.0)).collect();
    let y: Vec<f64> = x.iter().map(|x| 3.0 - x).collect();
    let mut weights = vec![1.0; 400];
    weights[0] = 1e-18;
    let rows = Rows { weights: Some(&weights), offset: None };
    let fit =
        LeastSquares::default().fit(MatRef::new(&x, 400, 1).unwrap(), &y, rows, &Context::default()).unwrap();
    let (slope, intercept) = (fit.model.coefficients[0], fit.model.intercepts[0]);
    assert!((slope + 1.0).abs() < 1e-13 && (intercept - 3.0).abs() < 1e-12, "{slope}, {intercept}");
}

#[test]
fn class_numbers_with_gaps_are_refused_before_anything_is_allocated() {
    let x = MatRef::new(&[1.0, 2.0, 3.0], 3, 1).unwrap();
    for (y, missing) in
        [([0, u32::MAX, 0], "class 1 "), ([0, 1, 4_000_000], "class 2 "), ([3, 1, 2], "class 0 ")]
    {
        let error = Logistic::default().fit(x, &y, Rows::default(), &Context::default()).unwrap_err();
        assert!(error.to_string().contains(missing), "{y:?}: {error}");
    }
}

#[test]
fn without_features_the_intercepts_answer() {
    let model = |link, coefficients: &[f64], intercepts: &[f64]| LinearModel {
        coefficients: coefficients.to_vec(),
        intercepts: intercepts.to_vec(),
        link,
    };
    let mut out = [f64::NAN; 2];
    model(Link::Identity, &[], &[2.5]).predict_row(&[], 1.0, &mut out[..1]).unwrap();
    assert_eq!(out[0], 3.5);
    model(Link::Logit, &[], &[0.0]).predict_row(&[], 0.0, &mut out).unwrap();
    assert_eq!(out, [0.5, 0.5]);
    let mut all = [f64::NAN; 6];
    let softmax = model(Link::Softmax, &[], &[1.0, 1.0]);
    softmax.predict(MatRef::new(&[], 3, 0).unwrap(), None, MatMut::new(&mut all, 3, 2).unwrap()).unwrap();
    assert_eq!(all, [0.5; 6]);
    // Coefficients that are not a row per predictor are refused, not cut.
    for odd in [model(Link::Softmax, &[1.0; 5], &[0.0; 2]), model(Link::Identity, &[1.0; 2], &[])] {
        assert!(odd.predict_row(&[1.0, 1.0], 0.0, &mut out[..odd.outputs()]).is_err(), "{odd:?}");
    }
}
