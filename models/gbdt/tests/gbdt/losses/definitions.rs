//! Derivatives against finite differences of the loss, and what stands in for second ones.

use super::cases::{BY_ROW, Case, WEIGHTS, Weights, case, derivatives};
use tilewise_gbdt::Loss;
use tilewise_gbdt::loss::Derivatives;

/// Relative: derivatives are f32 (2^-24 = 6e-8), and exponentials of f32 scores up to 6 are off by 6 times that, in up to three factors.
const RELATIVE: f64 = 2e-6;

/// Of finite differences with steps of 1e-4: their third derivatives times 1e-8 / 6, and 60 rows' sums, which are rounded to 2^-53 of some 100s,
/// over the step.
const ABSOLUTE: f64 = 5e-8;

/// With steps of 1e-3, of second differences: fourth derivatives times 1e-6 / 12, and that rounding over 1e-6.
const OF_SECOND: f64 = 2e-5;

/// First and second central difference of the summed loss by a score.
pub(super) fn differences(case: &Case, score: usize) -> (f64, f64) {
    let truth = case.rows.truth();
    let total: f64 = (0..truth.y.len()).map(|row| truth.weight(row)).sum();
    let at = |step: f64| {
        let mut scores = case.scores.clone();
        scores[score] += step;
        total * case.objective.loss(&truth, &scores)
    };
    let (short, long) = (1e-4, 1e-3);
    let first = (at(short) - at(-short)) / (2.0 * short);
    (first, (at(long) - 2.0 * at(0.0) + at(-long)) / (long * long))
}

pub(super) fn near(ours: f32, expected: f64, absolute: f64) -> bool {
    (f64::from(ours) - expected).abs() <= RELATIVE * expected.abs() + absolute
}

#[test]
fn gradients_are_differences_of_the_loss() {
    for (loss, classes) in BY_ROW {
        for weights in WEIGHTS {
            let mut case = case(loss, classes, 60, weights, 1);
            if matches!(loss, Loss::Absolute | Loss::Quantile { .. } | Loss::Huber { .. }) {
                // Away from the bends, at 0 and, of Huber's, at 0.7 (which a difference of 1e-4 must not cross).
                let off = |score: f64, y: f64| ((score - y) * 50.0).round() / 50.0 + 0.007;
                for (score, y) in case.scores.iter_mut().zip(&case.rows.y) {
                    *score = y + off(*score, *y);
                }
            }
            for (i, d) in case.derivatives().into_iter().enumerate() {
                let (first, _) = differences(&case, i);
                assert!(
                    near(d.gradient, first, 3.0 * ABSOLUTE),
                    "{} {weights:?} {i}: {d:?} {first}",
                    case.name()
                );
            }
        }
    }
}

#[test]
fn second_derivatives_are_differences_or_what_is_said() {
    for (loss, classes) in BY_ROW {
        for weights in WEIGHTS {
            let case = case(loss, classes, 60, weights, 2);
            for (i, d) in case.derivatives().into_iter().enumerate() {
                let row = i % 60;
                let weight = case.rows.truth().weight(row);
                let (y, score) = (case.rows.y[row], case.scores[i]);
                let of_link = |p: f64| {
                    let (a, b) = (y * (score * (1.0 - p)).exp(), (score * (2.0 - p)).exp());
                    weight * (b + (a - b).max(0.0) / 2.0)
                };
                let expected = match loss {
                    Loss::Absolute | Loss::Quantile { .. } | Loss::Huber { .. } => weight,
                    Loss::Softmax => {
                        let classes = classes.unwrap() as f64;
                        differences(&case, i).1 * classes / (classes - 1.0)
                    }
                    Loss::Poisson => of_link(1.0),
                    Loss::Gamma => of_link(2.0),
                    Loss::Tweedie { power } => of_link(power),
                    _ => differences(&case, i).1,
                };
                assert!(near(d.hessian, expected, 3.0 * OF_SECOND), "{} {i}: {d:?} {expected}", case.name());
                assert!(d.hessian >= 0.0);
            }
        }
    }
}

#[test]
fn the_start_is_where_the_loss_is_least() {
    for (loss, classes) in BY_ROW {
        for weights in WEIGHTS {
            for rows in [9, 10, 60, 3000] {
                let case = case(loss, classes, rows, weights, 3 + rows as u64);
                let truth = case.rows.truth();
                let start = case.objective.start(&truth);
                assert_eq!(start.len(), case.objective.scores());
                let of = |start: &[f64]| {
                    let scores: Vec<f64> = start.iter().flat_map(|&s| vec![s; rows]).collect();
                    case.objective.loss(&truth, &scores)
                };
                let least = of(&start);
                for score in 0..start.len() {
                    for step in [1e-6, 1e-3, 0.1, 3.0, -1e-6, -1e-3, -0.1, -3.0] {
                        let mut moved = start.clone();
                        moved[score] += step;
                        // A step of 1e-6 changes a smooth loss by some 1e-12; a mean of these is rounded to 1e-16 of it.
                        let more = of(&moved);
                        assert!(
                            more >= least - 4e-16 * least.abs().max(1.0),
                            "{} {start:?} {step}: {more} {least}",
                            case.name()
                        );
                    }
                }
            }
        }
    }
}

/// Starts in closed form.
#[test]
fn starts_are_known() {
    let start = |loss: Loss, classes, y: &[f64]| {
        let objective = loss.objective(classes).unwrap();
        objective.start(&tilewise_gbdt::loss::Truth::new(y))
    };
    assert_eq!(start(Loss::Squared, None, &[1.0, 2.0, 6.0]), [3.0]);
    assert_eq!(start(Loss::Absolute, None, &[6.0, 1.0, 3.0, 2.0]), [2.0]);
    assert_eq!(start(Loss::Quantile { quantile: 0.9 }, None, &[6.0, 1.0, 3.0, 2.0]), [6.0]);
    // Cut off at 1: 0 and 1 pull up by 0.5 and down by 0.5 at 0.5, 10 by 1; at 1 the sums are -1 and 1.
    assert_eq!(start(Loss::Huber { delta: 1.0 }, None, &[0.0, 1.0, 10.0]), [1.0]);
    let close = |ours: Vec<f64>, expected: &[f64]| {
        let off = ours.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(ours.len() == expected.len() && off < 1e-14, "{ours:?} {expected:?}");
    };
    close(start(Loss::Huber { delta: 1e6 }, None, &[0.0, 1.0, 10.0]), &[11.0 / 3.0]);
    close(start(Loss::Logistic, Some(2), &[0.0, 1.0, 1.0, 1.0]), &[3.0_f64.ln()]);
    close(start(Loss::Softmax, Some(2), &[0.0, 1.0, 1.0, 1.0]), &[0.25_f64.ln(), 0.75_f64.ln()]);
    for loss in [Loss::Poisson, Loss::Gamma, Loss::Tweedie { power: 1.7 }] {
        close(start(loss, None, &[1.0, 2.0, 6.0]), &[3.0_f64.ln()]);
    }
    // A class that does not occur has a finite score.
    let rare = f64::EPSILON.ln();
    close(start(Loss::Softmax, Some(3), &[0.0, 1.0]), &[0.5_f64.ln(), 0.5_f64.ln(), rare]);
    close(start(Loss::Logistic, Some(2), &[1.0, 1.0]), &[-rare]);
}

/// Steps of leaves whose answers are some ratio of their means: known where rows are alike, bounded by its logarithm; and in
/// any leaf between -1 and 2.
#[test]
fn steps_of_logarithmic_links_do_not_overshoot() {
    for loss in [Loss::Poisson, Loss::Gamma, Loss::Tweedie { power: 1.2 }, Loss::Tweedie { power: 1.9 }] {
        for mean in [1e-6, 0.3, 40.0, 1e9] {
            for ratio in [1e-6_f64, 0.1, 0.9, 1.0, 1.1, 10.0, 1e6] {
                let step = |of_rows: [f64; 2]| {
                    let mut case = case(loss, None, 20, Weights::None, 4);
                    case.rows.y = of_rows.map(|of_row| of_row * ratio * mean).to_vec();
                    case.scores = vec![f64::ln(mean); 2];
                    let all = case.derivatives();
                    let sum = |of: fn(&Derivatives) -> f32| all.iter().map(|d| f64::from(of(d))).sum::<f64>();
                    -sum(|d| d.gradient) / sum(|d| d.hessian)
                };
                let alike = step([1.0, 1.0]);
                let expected = if ratio > 1.0 { 2.0 * (ratio - 1.0) / (ratio + 1.0) } else { ratio - 1.0 };
                assert!((alike - expected).abs() < 1e-6, "{loss} {mean} {ratio}: {alike}");
                assert!(alike.abs() <= ratio.ln().abs() + 1e-6);
                let mixed = step([1.9, 0.1]);
                assert!(
                    (-1.0..=2.0).contains(&mixed) && mixed.abs() <= alike.abs() + 1e-6,
                    "{loss} {mixed} {alike}"
                );
            }
        }
    }
}

#[test]
fn rows_that_are_predicted_well_keep_their_digits() {
    let mut logistic = case(Loss::Logistic, Some(2), 2, Weights::None, 5);
    logistic.rows.y = vec![1.0, 0.0];
    logistic.scores = vec![30.0, -30.0];
    let q = (-30.0_f64).exp();
    for (d, sign) in logistic.derivatives().into_iter().zip([-1.0, 1.0]) {
        assert!(near(d.gradient, sign * q, 0.0) && near(d.hessian, q, 0.0), "{d:?}");
    }
    // Far on the wrong side the gradient is 1 and the hessian still has its digits.
    logistic.scores = vec![-30.0, 30.0];
    for (d, sign) in logistic.derivatives().into_iter().zip([-1.0, 1.0]) {
        assert!(near(d.gradient, sign, 0.0) && near(d.hessian, q, 0.0), "{d:?}");
    }
    let mut softmax = case(Loss::Softmax, Some(3), 1, Weights::None, 5);
    softmax.rows.y = vec![1.0];
    softmax.scores = vec![0.0, 30.0, -1.0];
    let (first, third) = (q, (-31.0_f64).exp());
    let all = softmax.derivatives();
    assert!(near(all[1].gradient, -(first + third), 0.0), "{all:?}");
    for (d, p) in all.iter().zip([first, first + third, third]) {
        assert!(near(d.hessian, 1.5 * p, 0.0), "{all:?}");
    }
}

#[test]
fn two_classes_are_the_logistic_loss_of_their_difference() {
    let softmax = case(Loss::Softmax, Some(2), 500, Weights::Any, 6);
    let mut logistic = case(Loss::Logistic, Some(2), 500, Weights::Any, 6);
    assert_eq!(logistic.rows.y, softmax.rows.y);
    logistic.scores = (0..500).map(|i| softmax.scores[500 + i] - softmax.scores[i]).collect();
    let (of_two, of_one) = (softmax.derivatives(), logistic.derivatives());
    for i in 0..500 {
        assert!(near(of_two[500 + i].gradient, f64::from(of_one[i].gradient), 1e-12));
        assert!(near(of_two[500 + i].hessian, 2.0 * f64::from(of_one[i].hessian), 1e-12));
    }
    assert!((softmax.loss() - logistic.loss()).abs() < 1e-14);
}

#[test]
fn numbers_at_the_ends_give_finite_derivatives() {
    for (loss, classes) in BY_ROW {
        let mut case = case(loss, classes, 8, Weights::None, 7);
        let mut weights = vec![1e25; 8];
        if classes.is_none() {
            // Times the answer no more than f32 reaches.
            weights[0] = 1e6;
            case.rows.y[..2].copy_from_slice(&[1e30, 1e-30]);
        }
        case.rows.weights = Some(weights);
        case.objective.check(&case.rows.truth()).unwrap();
        for far in [1e3, -1e3, 1e30, -1e30, 0.0] {
            case.scores.fill(far);
            let all = derivatives(&*case.objective, &case.rows, &case.scores);
            assert!(
                all.iter().all(|d| d.gradient.is_finite() && d.hessian.is_finite()),
                "{} {all:?}",
                case.name()
            );
            assert!(case.loss().is_finite(), "{} {far}", case.name());
        }
    }
}
