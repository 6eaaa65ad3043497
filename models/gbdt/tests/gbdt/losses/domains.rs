//! What losses refuse, and that weight 0 keeps rows from being looked at.

use std::ops::Range;
use tilewise_gbdt::Loss;
use tilewise_gbdt::loss::Truth;

fn refusal(loss: Loss, classes: Option<usize>, truth: &Truth<'_>) -> String {
    let objective = loss.objective(classes).unwrap();
    objective.check(truth).map_or_else(|error| error.to_string(), |()| "accepted".into())
}

#[test]
fn answers_outside_of_the_domain_name_row_and_value() {
    let tweedie = Loss::Tweedie { power: 1.5 };
    let nan = f64::NAN;
    let cases: [(Loss, Option<usize>, &[f64], &str); 17] = [
        (
            Loss::Squared,
            None,
            &[1.0, nan],
            "row 2, column \"target\": NaN is not a number from -1e30 to 1e30",
        ),
        (Loss::Absolute, None, &[f64::INFINITY], "row 1, column \"target\": inf is not a number"),
        (Loss::Huber { delta: 1.0 }, None, &[1.0, -2e30], "row 2, column \"target\": -2000"),
        (Loss::Quantile { quantile: 0.1 }, None, &[nan], "row 1, column \"target\": NaN"),
        (
            Loss::Logistic,
            Some(2),
            &[0.0, 1.0, 0.5],
            "row 3, column \"target\": 0.5 is not the number of a class, 0 to 1",
        ),
        (Loss::Logistic, Some(2), &[0.0, 2.0], "row 2, column \"target\": 2 is not the number of a class"),
        (Loss::Logistic, Some(2), &[-1.0, 1.0], "row 1, column \"target\": -1 is not"),
        (
            Loss::Softmax,
            Some(3),
            &[0.0, 1.0, 3.0],
            "row 3, column \"target\": 3 is not the number of a class, 0 to 2",
        ),
        (Loss::Softmax, Some(3), &[nan], "row 1, column \"target\": NaN"),
        (Loss::Poisson, None, &[0.0, -1.0], "row 2, column \"target\": -1 is not a number from 0"),
        (Loss::Poisson, None, &[0.0, 0.0], "the target is 0 in all rows"),
        (Loss::Gamma, None, &[1.0, 0.0], "row 2, column \"target\": 0 is not a number above 0"),
        (tweedie, None, &[0.0, nan], "row 2, column \"target\": NaN is not a number from 0"),
        (tweedie, None, &[0.0], "the target is 0 in all rows"),
        (Loss::Squared, None, &[], "the weights of all 0 rows sum to 0"),
        (
            Loss::LambdaRank { truncation: 3 },
            None,
            &[1.0, 32.0],
            "row 2, column \"target\": 32 is not a whole number from 0 to 31",
        ),
        (Loss::Cox, None, &[1.0, 0.0], "row 2, column \"target\": 0 is not a time"),
    ];
    for (loss, classes, y, expected) in cases {
        let message = refusal(loss, classes, &Truth::new(y));
        assert!(message.starts_with(expected), "{loss}: {message}");
    }
}

#[test]
fn rows_without_weight_may_hold_anything() {
    let nan = f64::NAN;
    for (loss, classes) in super::cases::BY_ROW {
        let y = [1.0, nan, -7.5, 1.0];
        let weights = [1.0, 0.0, 0.0, 2.0];
        let truth = Truth { weights: Some(&weights), ..Truth::new(&y) };
        assert_eq!(refusal(loss, classes, &truth), "accepted");
        let message = refusal(loss, classes, &Truth { weights: Some(&[1.0, 1.0, 0.0, 0.0]), ..truth });
        assert!(message.contains("row 2"), "{message}");
    }
}

#[test]
fn weights_are_finite_and_not_negative_and_some_are_more() {
    let y = [1.0, 1.0];
    let with =
        |weights: &[f64]| refusal(Loss::Gamma, None, &Truth { weights: Some(weights), ..Truth::new(&y) });
    assert!(
        with(&[1.0, -1.0]).starts_with("row 2, column \"weight\": -1 is not a finite number of 0 or more")
    );
    assert!(with(&[f64::NAN, 1.0]).starts_with("row 1, column \"weight\": NaN"));
    assert!(with(&[f64::INFINITY, 1.0]).starts_with("row 1, column \"weight\": inf"));
    assert!(with(&[0.0, 0.0]).contains("sum to 0"));
    assert!(
        with(&[1.0, 2e30]).starts_with("row 2, column \"weight\": 2e30 is too large; weights up to 1e30")
    );
    assert!(
        with(&[1e-31, 1e-40]).starts_with("column \"weight\": its weights are 1e-31 and smaller, too small")
    );
    assert_eq!(with(&[1e-40, 1e30]), "accepted");
    assert!(with(&[1.0]).contains("weights"));
}

#[test]
fn queries_hold_all_rows_one_after_another_with_one_weight() {
    let y = [1.0, 0.0, 2.0];
    let with = |groups: &[Range<usize>], weights: Option<&[f64]>| {
        let truth = Truth { weights, groups: Some(groups), ..Truth::new(&y) };
        refusal(Loss::LambdaRank { truncation: 3 }, None, &truth)
    };
    let message = refusal(Loss::LambdaRank { truncation: 3 }, None, &Truth::new(&y));
    assert!(message.contains("group column"), "{message}");
    assert_eq!(with(&[0..1, 1..1, 1..3], None), "accepted");
    assert!(with(&[0..2, 2..2], None).starts_with("row 3, column \"group\": no query has this row"));
    assert!(
        with(&[0..1, 2..3], None)
            .starts_with("row 2, column \"group\": rows 3 to 3 are no query: rows from 2 on, of 3")
    );
    assert!(with(&[0..2, 1..3], None).starts_with("row 3, column \"group\": rows 2 to 3 are no query"));
    assert!(with(&[0..4, 4..4], None).starts_with("row 1, column \"group\": rows 1 to 4 are no query"));
    assert_eq!(with(&[0..2, 2..3], Some(&[2.0, 0.0, 0.5])), "accepted");
    let message = with(&[0..3, 3..3], Some(&[2.0, 0.0, 0.5]));
    assert!(message.starts_with("row 3, column \"weight\": 0.5 is not 2, that of row 1"), "{message}");
}

#[test]
fn survival_needs_events() {
    let y = [1.0, 2.0];
    let with = |events: Option<&[bool]>| refusal(Loss::Cox, None, &Truth { events, ..Truth::new(&y) });
    assert!(with(None).contains("event column"));
    assert!(with(Some(&[false, false])).contains("no row has seen the event"));
    assert!(with(Some(&[true])).contains("events"));
    assert_eq!(with(Some(&[false, true])), "accepted");
    // An event of a row that is not looked at is none.
    let truth = Truth { weights: Some(&[1.0, 0.0]), events: Some(&[false, true]), ..Truth::new(&y) };
    assert!(refusal(Loss::Cox, None, &truth).contains("no row has seen the event"));
}

#[test]
fn answers_that_derivatives_in_f32_cannot_tell_are_refused() {
    for loss in [Loss::Squared, Loss::Poisson, Loss::Gamma, Loss::Quantile { quantile: 0.5 }] {
        let small = refusal(loss, None, &Truth::new(&[1e-31, 1e-40]));
        assert!(small.starts_with("column \"target\": its numbers are 1e-31 and smaller"), "{loss}: {small}");
        assert_eq!(refusal(loss, None, &Truth::new(&[1e-30, 1e-40])), "accepted");
        let weighted = |weights: &[f64]| {
            refusal(loss, None, &Truth { weights: Some(weights), ..Truth::new(&[1.0, 1e29]) })
        };
        assert!(weighted(&[1.0, 1e9]).starts_with("row 2, column \"weight\": 1e9 times the answer 1e29"));
        assert_eq!(weighted(&[1e30, 1e7]), "accepted");
    }
    // All 0 is for losses of numbers.
    assert_eq!(refusal(Loss::Squared, None, &Truth::new(&[0.0, 0.0])), "accepted");
}
