//! Logistic and multinomial regression with penalties that make coefficients zero, and lasso and elastic net without coefficients
//! below zero: loops and scikit-learn's numbers.

use crate::support::{load, normal};
use proptest::prelude::*;
use tilewise_base::{Context, Fit};
use tilewise_kernels::{MatRef, parallel};
use tilewise_linear::{Alphas, ElasticNet, ElasticNetSolver, LinearModel, Logistic, LogisticSolver, Rows};

/// Overlapping classes by noisy scores of the first columns.
pub(crate) fn classes(x: &[f64], cols: usize, count: usize, seed: u64) -> Vec<u32> {
    let rows = x.len() / cols;
    let noise = normal(rows, count, seed);
    let score = |i: usize, c: usize| x[i * cols + c % cols] * (1.0 + c as f64) + 2.0 * noise[i * count + c];
    let best = |i: usize| (0..count).max_by(|&a, &b| score(i, a).total_cmp(&score(i, b))).unwrap() as u32;
    let mut y: Vec<u32> = (0..rows).map(best).collect();
    (0..count).for_each(|c| y[c] = c as u32);
    y
}

/// Objective and KKT residual by loops over softmax probabilities.
pub(crate) fn recomputed(
    params: &Logistic,
    m: &LinearModel,
    x: &[f64],
    y: &[u32],
    rows: Rows<'_>,
) -> (f64, f64) {
    let (p, k) = (m.features(), m.intercepts.len());
    let (mut objective, mut gradient, mut total) = (0.0, vec![0.0; k * (p + 1)], 0.0);
    for (i, row) in x.chunks(p).enumerate() {
        let (w, offset) = (rows.weights.map_or(1.0, |w| w[i]), rows.offset.map_or(0.0, |o| o[i]));
        let z = |c: usize| -> f64 {
            let b = &m.coefficients[c * p..(c + 1) * p];
            row.iter().zip(b).map(|(x, b)| x * b).sum::<f64>() + m.intercepts[c] + offset
        };
        let mut z: Vec<f64> = (0..k).map(z).collect();
        if k == 1 {
            z.insert(0, 0.0);
        }
        let largest = z.iter().copied().fold(f64::MIN, f64::max);
        let log_sum = largest + z.iter().map(|z| (z - largest).exp()).sum::<f64>().ln();
        objective += w * (log_sum - z[y[i] as usize]);
        total += w;
        for c in 0..k {
            let class = if k == 1 { 1 } else { c };
            let r = w * ((z[class] - log_sum).exp() - f64::from(u8::from(y[i] as usize == class)));
            (0..p).for_each(|j| gradient[c * (p + 1) + j] += r * row[j]);
            gradient[c * (p + 1) + p] += if params.intercept { r } else { 0.0 };
        }
    }
    let mut worst = 0.0f64;
    for (c, b) in m.coefficients.chunks(p).enumerate() {
        worst = worst.max(gradient[c * (p + 1) + p].abs());
        for (j, &b) in b.iter().enumerate() {
            objective += params.l1 * b.abs() + 0.5 * params.l2 * b * b;
            let g = gradient[c * (p + 1) + j] + params.l2 * b;
            worst = worst.max(if b == 0.0 {
                (g.abs() - params.l1).max(0.0)
            } else {
                (g + params.l1 * b.signum()).abs()
            });
        }
    }
    (objective / total, worst / total)
}

fn fit(params: &Logistic, x: &[f64], cols: usize, y: &[u32], rows: Rows<'_>) -> Fit<LinearModel> {
    params.fit(MatRef::new(x, y.len(), cols).unwrap(), y, rows, &Context::default()).unwrap()
}

#[test]
fn numbers_of_scikit_learn() {
    let all: serde_json::Value = serde_json::from_str(include_str!("../golden/penalised.json")).unwrap();
    for (case, data) in [
        ("l1_breast_cancer", "breast_cancer"),
        ("elastic_net_breast_cancer", "breast_cancer"),
        ("l1_iris", "iris"),
        ("elastic_net_iris", "iris"),
    ] {
        let Some(table) = load(data) else { return };
        let table = table.standardised();
        let golden = &all[case];
        let (c, ratio) = (golden["c"].as_f64().unwrap(), golden["l1_ratio"].as_f64().unwrap());
        let params =
            Logistic { l1: ratio / c, l2: (1.0 - ratio) / c, tolerance: 1e-10, ..Default::default() };
        let y = table.labels();
        let fit = params.fit(table.view(), &y, Rows::default(), &Context::default()).unwrap();
        assert!(fit.report.converged && fit.report.warnings.is_empty(), "{case}: {:?}", fit.report);
        let objective = golden["objective"].as_f64().unwrap();
        assert!((fit.report.objective - objective).abs() < 1e-10, "{case}: {:?} {objective}", fit.report);
        let theirs: Vec<f64> =
            golden["coefficients"].as_array().unwrap().iter().map(|b| b.as_f64().unwrap()).collect();
        for (ours, theirs) in fit.model.coefficients.iter().zip(&theirs) {
            assert!((ours - theirs).abs() < 1e-4, "{case}: {ours} {theirs}");
        }
        assert!(fit.model.coefficients.contains(&0.0), "{case}: the penalty makes none zero");
    }
}

const SOLVERS: [ElasticNetSolver; 3] =
    [ElasticNetSolver::Auto, ElasticNetSolver::Gram, ElasticNetSolver::WorkingSet];

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    /// Without coefficients below zero a pull downwards is no reason to move: what is asked at a minimum, by loops.
    #[test]
    fn coefficients_are_not_negative(
        rows in 10usize..60, cols in 1usize..80, seed in 0u64..400, alpha in 0.005f64..0.3, l1_ratio in 0.0f64..1.0,
        solver in proptest::sample::select(&SOLVERS[..]), intercept: bool,
    ) {
        let x = normal(rows, cols, 2 * seed);
        let noise = normal(rows, 1, 2 * seed + 1);
        let y: Vec<f64> = (0..rows).map(|i| x[i * cols] - x[i * cols + cols - 1] + 0.3 * noise[i]).collect();
        let params =
            ElasticNet { alpha, l1_ratio, intercept, positive: true, solver, tolerance: 1e-12, ..Default::default() };
        let view = MatRef::new(&x, rows, cols).unwrap();
        let fit = params.fit(view, &y, Rows::default(), &Context::default()).unwrap();
        prop_assert!(fit.report.converged, "{:?}", fit.report);
        let (b, a) = (&fit.model.coefficients, fit.model.intercepts[0]);
        let r: Vec<f64> = (0..rows)
            .map(|i| y[i] - a - (0..cols).map(|j| x[i * cols + j] * b[j]).sum::<f64>())
            .collect();
        for j in 0..cols {
            let pull = (0..rows).map(|i| x[i * cols + j] * r[i]).sum::<f64>() / rows as f64;
            let far = pull - alpha * l1_ratio - alpha * (1.0 - l1_ratio) * b[j];
            prop_assert!(b[j] >= 0.0);
            // The square of what is left is bounded by the gap over the curvature.
            prop_assert!(if b[j] == 0.0 { far < 1e-5 } else { far.abs() < 1e-5 }, "{j}: {} {far:e}", b[j]);
        }
        let path = params.path(view, &y, Rows::default(), &Alphas::Given(vec![alpha, 2.0 * alpha]), &Context::default());
        prop_assert!(path.unwrap().iter().all(|step| step.model.coefficients.iter().all(|b| *b >= 0.0)));
    }
}

#[test]
fn positive_numbers_of_scikit_learn() {
    let all: serde_json::Value = serde_json::from_str(include_str!("../golden/penalised.json")).unwrap();
    let Some(table) = load("diabetes") else { return };
    let table = table.standardised();
    for case in ["positive_lasso_diabetes", "positive_elastic_net_diabetes"] {
        let number = |key: &str| all[case][key].as_f64().unwrap();
        for solver in SOLVERS {
            let (alpha, l1_ratio) = (number("alpha"), number("l1_ratio"));
            let params = ElasticNet {
                alpha,
                l1_ratio,
                positive: true,
                solver,
                tolerance: 1e-13,
                ..Default::default()
            };
            let fit =
                params.fit(table.view(), &table.numbers(), Rows::default(), &Context::default()).unwrap();
            let theirs = all[case]["coefficients"].as_array().unwrap();
            assert!(fit.model.coefficients.contains(&0.0));
            for (ours, theirs) in fit.model.coefficients.iter().zip(theirs) {
                assert!((ours - theirs.as_f64().unwrap()).abs() < 1e-4, "{case} {solver:?}: {ours} {theirs}");
            }
        }
    }
}

#[test]
fn same_bits_at_any_thread_count() {
    let x = normal(5000, 8, 1);
    for count in [2, 3] {
        let y = classes(&x, 8, count, 2);
        let params = Logistic { l1: 20.0, l2: 1.0, ..Default::default() };
        let one = parallel::with_threads(1, || fit(&params, &x, 8, &y, Rows::default()));
        for threads in [2, 5] {
            let many = parallel::with_threads(threads, || fit(&params, &x, 8, &y, Rows::default()));
            assert_eq!((&one.model, &one.report), (&many.model, &many.report));
        }
    }
}

#[test]
fn what_is_not_solved_is_refused() {
    let error = |params: &Logistic, cols: usize, count: u32| {
        let x = vec![1.0; 10 * cols];
        let y: Vec<u32> = (0..10).map(|i| i % count).collect();
        let x = MatRef::new(&x, 10, cols).unwrap();
        params.fit(x, &y, Rows::default(), &Context::default()).unwrap_err().to_string()
    };
    let message = error(&Logistic { l1: 1.0, solver: LogisticSolver::Lbfgs, ..Default::default() }, 2, 2);
    assert!(message.contains("lbfgs") && message.contains("smooth"), "{message}");
    let message = error(&Logistic { l1: -1.0, ..Default::default() }, 2, 2);
    assert!(message.contains("l1") && message.contains("0 or larger"), "{message}");
    let message = error(&Logistic { l1: 1.0, ..Default::default() }, 5000, 3);
    assert!(message.contains("l1") && message.contains("15003"), "{message}");
}
