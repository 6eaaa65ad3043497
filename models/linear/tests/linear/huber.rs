//! Robust regression: residuals by loops, scikit-learn's numbers, and rows far out.

use crate::support::{load, normal};
use proptest::prelude::*;
use tilewise_base::{Context, Sparse, rounds};
use tilewise_kernels::{MatRef, parallel};
use tilewise_linear::{Chunk, Huber, LeastSquares, Rows};

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

    /// With its scale: objective and KKT residual of both are those of loops, targets and columns of any size.
    #[test]
    fn the_scale_is_found_too(
        rows in 40usize..120, cols in 1usize..10, seed in 0u64..400, threshold in 1.35f64..3.0,
        alpha in prop_oneof![Just(0.0), 0.001f64..0.3], l1_ratio in prop_oneof![Just(0.0), Just(1.0), 0.1f64..0.9],
        intercept: bool, weighted: bool, size in prop_oneof![Just(1.0), Just(1e-5), Just(1e5)], unit in 0i32..4,
    ) {
        let column = 10f64.powi(3 * unit - 6);
        let x: Vec<f64> = normal(rows, cols, 5 * seed).iter().enumerate()
            .map(|(k, x)| if k.is_multiple_of(cols) { column * (x + 0.5) } else { x + 0.5 }).collect();
        let (noise, offset) = (normal(rows, 1, 5 * seed + 1), normal(rows, 1, 5 * seed + 2));
        let weights: Vec<f64> = normal(rows, 1, 5 * seed + 3).iter().map(|w| w.abs() + 0.01).collect();
        let y: Vec<f64> = (0..rows)
            .map(|i| size * (20.0 * x[i * cols] / column + noise[i] * if i.is_multiple_of(9) { 30.0 } else { 1.0 } + 1.0))
            .collect();
        let offset: Vec<f64> = offset.iter().map(|o| size * o).collect();
        let extra = Rows { weights: weighted.then_some(&weights[..]), offset: weighted.then_some(&offset[..]) };
        let params = Huber { threshold, joint_scale: true, alpha, l1_ratio, intercept, ..Default::default() };
        let view = MatRef::new(&x, rows, cols).unwrap();
        let (fit, told) = params.fit_scaled(view, &y, extra, &Context::default()).unwrap();
        prop_assert!(fit.report.converged && fit.report.warnings.is_empty(), "{:?}", fit.report);
        // Steps that become Newton's: passes do not grow with the size of anything.
        prop_assert!(fit.report.rounds < 60, "{:?}", fit.report);
        let (w, o) = (|i: usize| if weighted { weights[i] } else { 1.0 }, |i: usize| if weighted { offset[i] } else { 0.0 });
        let total: f64 = (0..rows).map(w).sum();
        prop_assert!((told.weight - total).abs() < 1e-12 * total);
        let (b, a, s) = (&fit.model.coefficients, fit.model.intercepts[0], told.scale);
        let (l1, l2) = (alpha * l1_ratio, alpha * (1.0 - l1_ratio));
        let mut objective: f64 = 0.5 * s + b.iter().map(|b| l1 * b.abs() + 0.5 * l2 * b * b).sum::<f64>();
        let (mut gradient, mut squares) = (vec![0.0; cols + 1], 0.0);
        for i in 0..rows {
            let u = ((0..cols).map(|j| x[i * cols + j] * b[j]).sum::<f64>() + a + o(i) - y[i]) / s;
            objective += s * w(i) / total
                * if u.abs() <= threshold { 0.5 * u * u } else { threshold * (u.abs() - 0.5 * threshold) };
            let pull = w(i) / total * u.clamp(-threshold, threshold);
            squares += w(i) / total * u.clamp(-threshold, threshold).powi(2);
            (0..cols).for_each(|j| gradient[j] += pull * x[i * cols + j]);
            gradient[cols] += if intercept { pull } else { 0.0 };
        }
        let mut worst = gradient[cols].abs().max(0.5 * (1.0 - squares).abs());
        for (b, g) in b.iter().zip(&gradient) {
            let g = g + l2 * b;
            worst = worst.max(if *b == 0.0 { (g.abs() - l1).max(0.0) } else { (g + l1 * b.signum()).abs() });
        }
        let largest = column.max(1.0);
        prop_assert!((fit.report.objective - objective).abs() < 1e-11 * objective, "{:?} {objective}", fit.report);
        prop_assert!((fit.report.optimality - worst).abs() < 1e-11 * largest, "{:?} {worst:e}", fit.report);
        prop_assert!(worst < 1e-7 * largest, "{:?} {worst:e}", fit.report);
    }
}

#[test]
fn numbers_of_scikit_learn_with_its_scale() {
    let all: serde_json::Value = serde_json::from_str(include_str!("../golden/penalised.json")).unwrap();
    let Some(table) = load("diabetes") else { return };
    let table = table.standardised();
    let y = table.numbers();
    for case in ["huber_joint_diabetes", "huber_joint_weighted"] {
        let number = |key: &str| all[case][key].as_f64().unwrap();
        let weights: Vec<f64> = (0..y.len())
            .map(|i| if case.ends_with("weighted") { 1.0 + (i % 3) as f64 } else { 1.0 })
            .collect();
        let params = Huber {
            threshold: number("epsilon"),
            joint_scale: true,
            alpha: number("alpha") / weights.iter().sum::<f64>(),
            tolerance: 1e-12,
            ..Default::default()
        };
        let rows = Rows { weights: Some(&weights), offset: None };
        let (fit, told) = params.fit_scaled(table.view(), &y, rows, &Context::default()).unwrap();
        assert!(fit.report.converged, "{:?}", fit.report);
        assert!((told.scale / number("scale") - 1.0).abs() < 1e-9, "{told:?}");
        for (ours, theirs) in fit.model.coefficients.iter().zip(all[case]["coefficients"].as_array().unwrap())
        {
            let theirs = theirs.as_f64().unwrap();
            assert!((ours - theirs).abs() < 1e-7 * (1.0 + theirs.abs()), "{case}: {ours} {theirs}");
        }
    }
}

#[test]
fn rows_without_residuals_have_no_scale_and_the_fit_says_so() {
    let x = normal(50, 2, 3);
    let view = MatRef::new(&x, 50, 2).unwrap();
    let params = Huber { threshold: 1.35, joint_scale: true, ..Default::default() };
    let exact: Vec<f64> = x.chunks(2).map(|row| 3.0 * row[0] - 2.0 * row[1] + 7.0).collect();
    // Some rows far out: as the others lie on a plane, it is found.
    let mut bent = exact.clone();
    bent.iter_mut().step_by(10).for_each(|y| *y += 100.0);
    for y in [&exact, &bent] {
        let (fit, told) = params.fit_scaled(view, y, Rows::default(), &Context::default()).unwrap();
        assert!(fit.report.converged, "{:?}", fit.report);
        assert!(fit.report.warnings.iter().any(|w| w.contains("not told from zero")), "{:?}", fit.report);
        assert!(told.scale < 1e-5, "{told:?}");
        for (b, truth) in fit.model.coefficients.iter().chain(&fit.model.intercepts).zip([3.0, -2.0, 7.0]) {
            assert!((b - truth).abs() < 1e-6, "{b} {truth}");
        }
    }
    for constant in [0.0, 5.0] {
        let (fit, _) =
            params.fit_scaled(view, &[constant; 50], Rows::default(), &Context::default()).unwrap();
        assert!(fit.report.converged && fit.model.coefficients == [0.0, 0.0], "{fit:?}");
        assert_eq!(fit.model.intercepts, [constant]);
    }
}

#[test]
fn chunks_are_the_whole_and_more_columns_than_rows_are_solved() {
    let (rows, cols) = (900, 5);
    let x = normal(rows, cols, 11);
    let noise = normal(rows, 1, 12);
    let y: Vec<f64> =
        (0..rows).map(|i| x[i * cols] + if i.is_multiple_of(7) { 50.0 } else { 0.3 } * noise[i]).collect();
    let params =
        Huber { threshold: 1.35, joint_scale: true, alpha: 0.01, l1_ratio: 0.5, ..Default::default() };
    let run = |threads| {
        let fit = || {
            let view = MatRef::new(&x, rows, cols).unwrap();
            params.fit_scaled(view, &y, Rows::default(), &Context::default()).unwrap()
        };
        parallel::with_threads(threads, fit)
    };
    let (whole, told) = run(1);
    let (same, again) = run(3);
    assert_eq!((&same.model, &same.report, again), (&whole.model, &whole.report, told));
    let mut trainer = params.trainer::<f64>(cols).unwrap();
    let chunks: Vec<Chunk<'_, f64, f64>> = [0..250, 250..251, 251..900]
        .into_iter()
        .map(|range: std::ops::Range<usize>| Chunk {
            x: MatRef::new(&x[range.start * cols..range.end * cols], range.len(), cols).unwrap(),
            y: &y[range.clone()],
            rows: Rows::default(),
            first_row: range.start,
        })
        .collect();
    rounds::run_through_bytes(&mut trainer, &chunks, &Context::default()).unwrap();
    let (pieces, also) = trainer.finish().unwrap();
    assert!((also.scale / told.scale - 1.0).abs() < 1e-9);
    for (a, b) in pieces.model.coefficients.iter().zip(&whole.model.coefficients) {
        assert!((a - b).abs() < 1e-9, "{a} {b}");
    }
    // 12 rows of 30 columns: only the penalty makes the minimum one.
    let view = MatRef::new(&x[..360], 12, 30).unwrap();
    let params = Huber { alpha: 0.1, l1_ratio: 0.0, ..params };
    let (fit, _) = params.fit_scaled(view, &y[..12], Rows::default(), &Context::default()).unwrap();
    assert!(fit.report.converged && fit.report.optimality < 1e-7, "{:?}", fit.report);
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
    assert!(
        error(Huber { threshold: 1.0, joint_scale: true, ..Default::default() }, &[1.0, 2.0])
            .contains("above 1")
    );
    let sparse = Sparse::of_dense(x).unwrap();
    let joint = Huber { joint_scale: true, ..Default::default() };
    let refused =
        joint.fit_sparse(sparse.view(), &[1.0, 2.0], Rows::default(), &Context::default()).unwrap_err();
    assert!(refused.to_string().contains("joint_scale"), "{refused}");
    let wide = vec![1.0; 2 * 8193];
    let wide = MatRef::new(&wide, 2, 8193).unwrap();
    let refused = joint.fit(wide, &[1.0, 2.0], Rows::default(), &Context::default()).unwrap_err();
    assert!(refused.to_string().contains("8193 features"), "{refused}");
    assert!(error(Huber { alpha: f64::NAN, ..Default::default() }, &[1.0, 2.0]).contains("alpha"));
    assert!(error(Huber::default(), &[1.0, f64::INFINITY]).contains("row 1: the target"));
}

/// Times in seconds have errors that are nothing beside their size.
#[test]
fn what_targets_are_counted_from_changes_the_intercept_alone() {
    let (rows, cols) = (400, 3);
    let x = normal(rows, cols, 41);
    let noise = normal(rows, 1, 42);
    let y = |from: f64| -> Vec<f64> {
        let out = |i: usize| if i.is_multiple_of(5) { 15.0 } else { 0.0 };
        (0..rows).map(|i| x[i * cols] + noise[i] + out(i) + from).collect()
    };
    let params = Huber { threshold: 1.35, joint_scale: true, ..Huber::default() };
    let fit = |from: f64| {
        let view = MatRef::new(&x, rows, cols).unwrap();
        params.fit_scaled(view, &y(from), Rows::default(), &Context::default()).unwrap()
    };
    let from = 1.7e9;
    let ((near, near_scale), (far, far_scale)) = (fit(0.0), fit(from));
    assert!(near.report.converged && far.report.converged, "{:?} {:?}", near.report, far.report);
    // Targets are rounded to 2.4e-7.
    assert!((near_scale.scale - far_scale.scale).abs() < 1e-5, "{near_scale:?} {far_scale:?}");
    assert!((near.model.intercepts[0] + from - far.model.intercepts[0]).abs() < 1e-5);
    for (a, b) in near.model.coefficients.iter().zip(&far.model.coefficients) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}
