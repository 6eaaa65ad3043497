//! Standard errors, tests and intervals against statsmodels, to eight digits.

use crate::support::{golden, load, normal};
use tilewise_base::Context;
use tilewise_kernels::{MatRef, parallel};
use tilewise_linear::inference::Residuals;
use tilewise_linear::{Distribution, Errors, Generalised, Inference, LeastSquares, Link, Logistic, Rows};

/// Both sides are exact to rounding times the condition of the data, which is about 1e4 here.
const DIGITS: f64 = 1e-8;

fn near(what: &str, ours: f64, theirs: f64) {
    assert!((ours - theirs).abs() <= DIGITS * theirs.abs().max(1e-300), "{what}: {ours:e} and {theirs:e}");
}

/// In the order of the golden numbers.
fn of_residuals(r: &Residuals) -> [f64; 7] {
    let (omnibus, jarque_bera) = ([r.omnibus, r.omnibus_p_value], [r.jarque_bera, r.jarque_bera_p_value]);
    [r.skewness, r.kurtosis, omnibus[0], omnibus[1], jarque_bera[0], jarque_bera[1], r.durbin_watson]
}

fn assert_judged(case: &str, ours: &Inference) {
    let golden = golden(case);
    let list = |key: &str| -> Vec<f64> {
        golden[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    assert_eq!(ours.coefficients.len(), list("coefficients").len());
    type Part = fn(&tilewise_linear::Coefficient) -> f64;
    let parts: [(&str, Part); 6] = [
        ("coefficients", |c| c.estimate),
        ("standard_errors", |c| c.standard_error),
        ("statistics", |c| c.statistic),
        ("p_values", |c| c.p_value),
        ("lower", |c| c.lower),
        ("upper", |c| c.upper),
    ];
    for (key, part) in parts {
        for (j, (c, theirs)) in ours.coefficients.iter().zip(list(key)).enumerate() {
            near(&format!("{case} {key} {j}"), part(c), theirs);
        }
    }
    let measures = [
        ("log_likelihood", ours.log_likelihood),
        ("aic", ours.aic()),
        ("bic", ours.bic()),
        ("r_squared", ours.r_squared),
        ("adjusted_r_squared", ours.adjusted_r_squared),
        ("f_statistic", ours.f_statistic),
        ("f_p_value", ours.f_p_value),
        ("scale", ours.scale),
        ("deviance", ours.deviance),
        ("pearson", ours.pearson),
        ("residual_df", ours.residual_df()),
    ];
    let mut compared = 0;
    for (key, value) in measures {
        if let Some(theirs) = golden[key].as_f64().filter(|_| !value.is_nan()) {
            near(&format!("{case} {key}"), value, theirs);
            compared += 1;
        }
    }
    assert!(compared >= 4, "{case}: only {compared} measures");
    assert_eq!(ours.residuals.is_some(), !golden["residuals"].is_null());
    if let Some(ours) = &ours.residuals {
        for (ours, theirs) in of_residuals(ours).into_iter().zip(list("residuals")) {
            near(&format!("{case} residuals"), ours, theirs);
        }
    }
}

#[test]
fn least_squares_as_statsmodels_judges_it() {
    let Some(table) = load("diabetes") else { return };
    let (x, y) = (table.view(), table.numbers());
    let fit = LeastSquares::default().fit(x, &y, Rows::default(), &Context::default()).unwrap();
    for (case, errors) in [
        ("nonrobust", Errors::Classical),
        ("HC0", Errors::Hc0),
        ("HC1", Errors::Hc1),
        ("HC2", Errors::Hc2),
        ("HC3", Errors::Hc3),
    ] {
        let judge = || Inference::least_squares(&fit.model, x, &y, Rows::default(), true, errors).unwrap();
        let ours = parallel::with_threads(1, judge);
        // NaN is not equal to itself; the shortest text of a number tells its bits.
        let three = parallel::with_threads(3, judge);
        assert_eq!(format!("{ours:?}"), format!("{three:?}"), "the same bits on three threads");
        assert_judged(&format!("inference_{case}"), &ours);
    }
    let moved: Vec<f64> = table.x.iter().map(|x| x + 1.0).collect();
    let x = MatRef::new(&moved, y.len(), 10).unwrap();
    let params = LeastSquares { intercept: false, ..Default::default() };
    let fit = params.fit(x, &y, Rows::default(), &Context::default()).unwrap();
    let ours =
        Inference::least_squares(&fit.model, x, &y, Rows::default(), false, Errors::Classical).unwrap();
    assert_judged("inference_through_origin", &ours);
}

#[test]
fn other_models_as_statsmodels_judges_them() {
    let Some(table) = load("breast_cancer") else { return };
    let table = table.standardised();
    let x = table.view().col_range(4..10);
    let params = Logistic { l2: 0.0, tolerance: 1e-13, ..Default::default() };
    let fit = params.fit(x, &table.labels(), Rows::default(), &Context::default()).unwrap();
    let ours = Inference::logistic(&fit.model, x, &table.labels(), Rows::default(), true).unwrap();
    assert_judged("inference_logistic", &ours);

    let Some(table) = load("diabetes") else { return };
    let table = table.standardised();
    let (x, y) = (table.view(), table.numbers());
    let weights: Vec<f64> = (0..y.len()).map(|i| 1.0 + (i % 3) as f64).collect();
    let offset: Vec<f64> = (0..y.len()).map(|i| 0.1 * (i % 5) as f64).collect();
    let rows = Rows { weights: Some(&weights), offset: Some(&offset) };
    for (case, distribution) in
        [("inference_poisson", Distribution::Poisson), ("inference_gamma", Distribution::Gamma)]
    {
        let params = Generalised { distribution, tolerance: 1e-12, ..Default::default() };
        let fit = params.fit(x, &y, rows, &Context::default()).unwrap();
        let ours = Inference::generalised(&fit.model, distribution, x, &y, rows, true).unwrap();
        assert_judged(case, &ours);
    }
    // Normal regression is least squares.
    let normal = Distribution::Normal(Link::Identity);
    let params = Generalised { distribution: normal, tolerance: 1e-12, ..Default::default() };
    let fit = params.fit(x, &y, rows, &Context::default()).unwrap();
    let ours = Inference::generalised(&fit.model, normal, x, &y, rows, true).unwrap();
    let squares = Inference::least_squares(&fit.model, x, &y, rows, true, Errors::Classical).unwrap();
    for (ours, theirs) in ours.coefficients.iter().zip(&squares.coefficients) {
        assert!((ours.standard_error / theirs.standard_error - 1.0).abs() < 1e-9, "{ours:?} {theirs:?}");
    }
}

#[test]
fn weights_are_repetitions_and_units_are_units() {
    let (n, p) = (60, 3);
    let (x, noise) = (normal(n, p, 1), normal(n, 1, 2));
    let y: Vec<f64> =
        x.chunks(p).zip(&noise).map(|(r, e)| 1.0 + r[0] - r[2] + e * (1.0 + r[1].abs())).collect();
    let weights: Vec<f64> = (0..n).map(|i| (i % 3) as f64).collect();
    let long: Vec<usize> = (0..n).flat_map(|i| std::iter::repeat_n(i, i % 3)).collect();
    let long_x: Vec<f64> = long.iter().flat_map(|&i| x[i * p..(i + 1) * p].to_vec()).collect();
    let long_y: Vec<f64> = long.iter().map(|&i| y[i]).collect();
    let rows = Rows { weights: Some(&weights), offset: None };
    let view = MatRef::new(&x, n, p).unwrap();
    let fit = LeastSquares::default().fit(view, &y, rows, &Context::default()).unwrap();
    // Features of other units: z = (x - shift) / scale.
    let (shift, scale) = ([0.5, -2.0, 30.0], [2.0, 0.1, 1e3]);
    let other: Vec<f64> =
        x.chunks(p).flat_map(|r| (0..p).map(|j| (r[j] - shift[j]) / scale[j]).collect::<Vec<_>>()).collect();
    let other = MatRef::new(&other, n, p).unwrap();
    let other_fit = LeastSquares::default().fit(other, &y, rows, &Context::default()).unwrap();
    for errors in [Errors::Classical, Errors::Hc0, Errors::Hc1, Errors::Hc2, Errors::Hc3] {
        let weighted = Inference::least_squares(&fit.model, view, &y, rows, true, errors).unwrap();
        let repeated = MatRef::new(&long_x, long.len(), p).unwrap();
        let repeated =
            Inference::least_squares(&fit.model, repeated, &long_y, Rows::default(), true, errors).unwrap();
        let origin: Vec<f64> = (0..p).map(|j| -shift[j] / scale[j]).collect();
        let units: Vec<f64> = scale.iter().map(|s| 1.0 / s).collect();
        let moved = Inference::least_squares(&other_fit.model, other, &y, rows, true, errors).unwrap();
        let moved = moved.in_units(&origin, &units).unwrap();
        for others in [&repeated, &moved] {
            for (a, b) in weighted.coefficients.iter().zip(&others.coefficients) {
                near("estimate", b.estimate, a.estimate);
                near("standard error", b.standard_error, a.standard_error);
                near("p", b.p_value, a.p_value);
            }
            near("F", others.f_statistic, weighted.f_statistic);
            near("likelihood", others.log_likelihood, weighted.log_likelihood);
            let residuals =
                [others, &weighted].map(|judged| of_residuals(judged.residuals.as_ref().unwrap()));
            residuals[0].iter().zip(residuals[1]).for_each(|(a, b)| near("residuals", *a, b));
        }
    }
}

#[test]
fn dependent_columns_take_the_pseudo_inverse() {
    // Twice the same column: each has half of the coefficient and of the standard error.
    let (x, noise) = (normal(40, 1, 5), normal(40, 1, 6));
    let y: Vec<f64> = x.iter().zip(&noise).map(|(x, e)| 3.0 * x + e).collect();
    let twice: Vec<f64> = x.iter().flat_map(|x| [*x, *x]).collect();
    let judge = |x: &[f64], p: usize| {
        let x = MatRef::new(x, 40, p).unwrap();
        let fit = LeastSquares::default().fit(x, &y, Rows::default(), &Context::default()).unwrap();
        Inference::least_squares(&fit.model, x, &y, Rows::default(), true, Errors::Classical).unwrap()
    };
    let (one, two) = (judge(&x, 1), judge(&twice, 2));
    assert_eq!((one.parameters, two.parameters), (2, 2));
    near("half", 2.0 * two.coefficients[1].standard_error, one.coefficients[1].standard_error);
    near("intercept", two.coefficients[0].standard_error, one.coefficients[0].standard_error);
    let few = MatRef::new(&x[..3], 3, 1).unwrap();
    let fit = LeastSquares::default().fit(few, &y[..3], Rows::default(), &Context::default()).unwrap();
    let two_rows = MatRef::new(&x[..2], 2, 1).unwrap();
    let refused =
        Inference::least_squares(&fit.model, two_rows, &y[..2], Rows::default(), true, Errors::Classical);
    assert!(refused.unwrap_err().to_string().contains("2 rows leave no freedom to 2 coefficients"));
}

#[test]
fn the_table_is_the_one_that_users_of_statsmodels_know() {
    let Some(table) = load("diabetes") else { return };
    let (x, y) = (table.view().col_range(2..4), table.numbers());
    let fit = LeastSquares::default().fit(x, &y, Rows::default(), &Context::default()).unwrap();
    let judged =
        Inference::least_squares(&fit.model, x, &y, Rows::default(), true, Errors::Classical).unwrap();
    let names = ["bmi", "blood pressure"].map(String::from);
    let text = judged.table("linear of progression", &names);
    // Every number as `statsmodels.api.OLS(...).fit().summary()` rounds it, to the digits that both show.
    let expected = include_str!("../golden/table.txt");
    assert_eq!(text, expected, "{text}");
    // Of too few rows the omnibus test is not known.
    let few = x.row_range(0..7);
    let judged =
        Inference::least_squares(&fit.model, few, &y[..7], Rows::default(), true, Errors::Classical).unwrap();
    let residuals = judged.residuals.unwrap();
    assert!(residuals.omnibus.is_nan() && residuals.jarque_bera.is_finite());
}
