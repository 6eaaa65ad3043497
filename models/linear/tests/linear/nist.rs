//! The linear problems of NIST's Statistical Reference Datasets: digits of estimates and standard errors, beside those that
//! statsmodels and scikit-learn reach (`golden/nist.py` checks the certified values by fractions and measures the peers).

use tilewise_base::Context;
use tilewise_kernels::MatRef;
use tilewise_linear::{Errors, Inference, LeastSquares, Rows};

/// A digit, by which two ways of the same accuracy may differ: what is left of them is rounding, which the instruction set changes.
const LUCK: f64 = 1.0;

/// The fewest of all numbers: -log10 of the relative error, of the absolute one where zero is certified; 15 at most.
fn digits(ours: &[f64], certified: &[f64]) -> f64 {
    let one = |(a, b): (&f64, &f64)| {
        let error = if *b == 0.0 { a.abs() } else { (a - b).abs() / b.abs() };
        if error.is_finite() { (-error.log10()).clamp(0.0, 15.0) } else { 0.0 }
    };
    ours.iter().zip(certified).map(one).fold(15.0, f64::min)
}

#[test]
fn as_many_digits_as_the_peers() {
    let cases: serde_json::Value = serde_json::from_str(include_str!("../golden/nist.json")).unwrap();
    let numbers = |value: &serde_json::Value| -> Vec<f64> {
        value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().parse().unwrap()).collect()
    };
    eprintln!(
        "problem    ours: estimates, errors   statsmodels: pinv, qr; their errors   scikit-learn   how"
    );
    let mut short = Vec::new();
    let cases = cases.as_object().unwrap();
    assert_eq!(cases.len(), 11);
    for (name, case) in cases {
        let degree = case["degree"].as_i64().unwrap() as i32;
        let (mut x, y) = (Vec::new(), numbers(&case["y"]));
        for row in case["x"].as_array().unwrap() {
            for cell in numbers(row) {
                x.extend((1..=degree).map(|k: i32| cell.powf(f64::from(k))));
            }
        }
        let x = MatRef::new(&x, y.len(), x.len() / y.len()).unwrap();
        let intercept = case["intercept"].as_bool().unwrap();
        let params = LeastSquares { intercept, ..Default::default() };
        let fit = params.fit(x, &y, Rows::default(), &Context::default()).unwrap();
        assert!(fit.report.converged && fit.report.warnings.is_empty(), "{name}: {:?}", fit.report);
        let judged =
            Inference::least_squares(&fit.model, x, &y, Rows::default(), intercept, Errors::Classical)
                .unwrap();
        let part = |f: fn(&tilewise_linear::Coefficient) -> f64| {
            judged.coefficients.iter().map(f).collect::<Vec<_>>()
        };
        let estimates = digits(&part(|c| c.estimate), &numbers(&case["values"]));
        let errors = digits(&part(|c| c.standard_error), &numbers(&case["errors"]));
        let peer = |key: &str, i: usize| case[key][i].as_f64().unwrap();
        let (pinv, qr) =
            ([0, 1].map(|i| peer("statsmodels_pinv", i)), [0, 1].map(|i| peer("statsmodels_qr", i)));
        let other = case["scikit_learn"].as_f64().unwrap();
        eprintln!(
            "{name:9} {estimates:6.2} {errors:6.2}   {:6.2} {:6.2} {:6.2} {:6.2}   {other:6.2}   {}",
            pinv[0], qr[0], pinv[1], qr[1], fit.report.stopped
        );
        if estimates + LUCK < pinv[0].max(qr[0]).max(other) || errors + LUCK < pinv[1].max(qr[1]) {
            short.push(name);
        }
    }
    assert!(short.is_empty(), "fewer digits than a peer: {short:?}");
}
