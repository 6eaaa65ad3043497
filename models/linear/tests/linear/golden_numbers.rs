//! Coefficients of scikit-learn and NumPy, converged to 1e-10 (`golden/golden.py` made them).

use crate::support::{assert_golden, golden, load};
use tilewise_base::Context;
use tilewise_kernels::MatRef;
use tilewise_kernels::parallel::Scheme;
use tilewise_linear::{ClassWeights, GradientDescent, LeastSquares, Logistic, LogisticSolver, Rows};

/// Both sides are converged to 1e-10; problems here lose at most four digits of that.
const TOLERANCE: f64 = 1e-6;

#[test]
fn least_squares_and_ridge() {
    for (case, data, head, l2, intercept) in [
        ("least_squares_diabetes", "diabetes", 0, 0.0, true),
        ("least_squares_digits", "digits", 0, 0.0, true),
        ("least_squares_digits_through_origin", "digits", 0, 0.0, false),
        ("least_squares_wide", "digits", 40, 0.0, true),
        ("ridge_diabetes", "diabetes", 0, 1.0, true),
        ("ridge_digits", "digits", 0, 10.0, true),
        ("ridge_wide", "digits", 40, 1.0, true),
    ] {
        let Some(mut table) = load(data) else { return };
        if head > 0 {
            table = table.head(head);
        }
        let fit = LeastSquares { l2, intercept, ..Default::default() }
            .fit(table.view(), &table.numbers(), Rows::default(), &Context::default())
            .unwrap();
        assert_golden(case, &fit.model, TOLERANCE);
        if let Some(rank) = golden(case)["rank"].as_u64().filter(|&r| r < table.cols as u64) {
            let warned = fit.report.warnings.iter().any(|w| w.contains(&format!("rank {rank} of")));
            assert!(warned, "{case}: rank {rank} is not in {:?}", fit.report.warnings);
        }
    }
}

#[test]
fn collinear_columns_take_the_minimum_norm() {
    let Some(table) = load("diabetes") else { return };
    let x: Vec<f64> = table.x.chunks(10).flat_map(|r| [r, &[r[0] + r[1], 2.0 * r[2]]].concat()).collect();
    let x = MatRef::new(&x, table.target.len(), 12).unwrap();
    let fit = LeastSquares::default().fit(x, &table.numbers(), Rows::default(), &Context::default()).unwrap();
    assert_golden("least_squares_collinear", &fit.model, TOLERANCE);
    assert!(fit.report.warnings[0].contains("rank 10 of 12"));
}

/// The smallest curvature of standardised diabetes is 2 x 0.0086, so a gradient of 1e-9 leaves coefficients (the
/// largest is near 40) within 6e-8 of the closed form.
#[test]
fn gradient_descent_reaches_the_closed_form() {
    let Some(table) = load("diabetes") else { return };
    let table = table.standardised();
    let (x, y, context) = (table.view(), table.numbers(), Context::default());
    for l2 in [0.0, 1.0] {
        let closed = LeastSquares { l2, ..Default::default() }.fit(x, &y, Rows::default(), &context).unwrap();
        let params = GradientDescent { l2, tolerance: 1e-9, max_rounds: 20_000, ..Default::default() };
        for scheme in [Scheme::Rows, Scheme::Tasks] {
            let fit = params.fit(x, &y, Rows::default(), &Context { scheme, ..Default::default() }).unwrap();
            assert!(fit.report.converged, "{:?}", fit.report);
            let pairs = fit.model.coefficients.iter().zip(&closed.model.coefficients);
            let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < 6e-8, "l2 {l2} {scheme:?}: {worst:e} after {} rounds", fit.report.rounds);
        }
    }
}

#[test]
fn logistic_and_multinomial() {
    for (case, data) in [
        ("logistic_breast_cancer", "breast_cancer"),
        ("logistic_breast_cancer_weighted", "breast_cancer"),
        ("multinomial_iris", "iris"),
        ("multinomial_digits", "digits"),
    ] {
        let Some(table) = load(data) else { return };
        let table = table.standardised();
        let (x, y) = (table.view(), table.labels());
        let weights: Vec<f64> = (0..y.len()).map(|i| 1.0 + (i % 3) as f64).collect();
        let weighted = case.ends_with("weighted");
        let class_weights = if weighted { ClassWeights::Balanced } else { ClassWeights::Ones };
        let rows = Rows { weights: weighted.then_some(&weights), offset: None };
        for solver in [LogisticSolver::NewtonCholesky, LogisticSolver::Lbfgs] {
            let params = Logistic {
                tolerance: 1e-10,
                solver,
                class_weights: class_weights.clone(),
                ..Default::default()
            };
            let fit = params.fit(x, &y, rows, &Context::default()).unwrap();
            let report = &fit.report;
            eprintln!("{case} {solver:?}: {} rounds, gradient {:e}", report.rounds, report.optimality);
            assert!(report.converged && report.warnings.is_empty(), "{case} {solver:?}: {report:?}");
            assert!(report.optimality < 2e-10, "{case} {solver:?}: {report:?}");
            assert_golden(case, &fit.model, TOLERANCE);
        }
    }
}
