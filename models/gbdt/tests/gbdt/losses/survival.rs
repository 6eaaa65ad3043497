//! Cox's partial likelihood against its definition.

use super::cases::{Case, WEIGHTS, case};
use super::definitions::{differences, near};
use tilewise_gbdt::Loss;

/// Rows at few times, so that events and others share them.
fn with_ties(weights: super::cases::Weights) -> Case {
    let mut case = case(Loss::Cox, None, 60, weights, 31);
    case.rows.y.iter_mut().for_each(|y| *y = y.ceil().min(12.0));
    case
}

/// The sum over rows at risk at the time of a row.
fn at_risk(case: &Case, event: usize) -> f64 {
    let truth = case.rows.truth();
    let later = (0..60).filter(|&row| truth.y[row] >= truth.y[event]);
    later.map(|row| truth.weight(row) * case.scores[row].exp()).sum()
}

#[test]
fn the_loss_is_the_partial_likelihood() {
    for weights in WEIGHTS {
        let mut case = with_ties(weights);
        let truth = case.rows.truth();
        let of_event = |row: usize| truth.weight(row) * (at_risk(&case, row).ln() - case.scores[row]);
        let events = (0..60).filter(|&row| truth.events.unwrap()[row] && truth.weight(row) > 0.0);
        let total: f64 = (0..60).map(|row| truth.weight(row)).sum();
        let expected = events.map(of_event).sum::<f64>() / total;
        let ours = case.loss();
        // 30 terms, each of a sum of 60.
        assert!((ours - expected).abs() < 1e-14 * expected, "{ours} {expected}");
        // A score of all changes nothing, however large.
        case.scores.iter_mut().for_each(|score| *score += 5000.0);
        assert!((case.loss() - expected).abs() < 1e-11);
    }
}

#[test]
fn derivatives_are_those_of_the_loss_and_a_bound() {
    for weights in WEIGHTS {
        let case = with_ties(weights);
        let truth = case.rows.truth();
        for (row, d) in case.derivatives().into_iter().enumerate() {
            let hazard = truth.weight(row) * case.scores[row].exp();
            let events = || {
                let before = |&other: &usize| truth.events.unwrap()[other] && truth.y[other] <= truth.y[row];
                (0..60).filter(before).map(|event| (truth.weight(event), at_risk(&case, event)))
            };
            let expected: f64 = events().map(|(weight, risk)| weight * hazard / risk).sum();
            let squares: f64 = events().map(|(weight, risk)| weight * (hazard / risk).powi(2)).sum();
            let own = if truth.events.unwrap()[row] { truth.weight(row) } else { 0.0 };
            assert!(near(d.gradient, expected - own, 1e-13), "{row}: {d:?} {expected}");
            assert!(near(d.hessian, expected, 1e-13), "{row}: {d:?} {expected}");
            let (first, second) = differences(&case, row);
            assert!(near(d.gradient, first, 2e-7), "{row}: {d:?} {first}");
            assert!((second - (expected - squares)).abs() < 3e-5 && f64::from(d.hessian) >= second - 3e-5);
        }
    }
}

/// The stand-in bounds the curvature in any direction: of leaves, whose scores move together.
#[test]
fn the_sum_of_second_derivatives_bounds_the_curvature_of_a_leaf() {
    let case = with_ties(super::cases::Weights::Any);
    let all = case.derivatives();
    for leaf in 1..8_usize {
        let inside = |row: usize| (row * 7 + 3) % 8 < leaf;
        let bound: f64 = (0..60).filter(|&row| inside(row)).map(|row| f64::from(all[row].hessian)).sum();
        let truth = case.rows.truth();
        let total: f64 = (0..60).map(|row| truth.weight(row)).sum();
        let at = |step: f64| {
            let moved = (0..60).map(|row| case.scores[row] + if inside(row) { step } else { 0.0 });
            total * case.objective.loss(&truth, &moved.collect::<Vec<f64>>())
        };
        let curvature = (at(1e-3) - 2.0 * at(0.0) + at(-1e-3)) / 1e-6;
        assert!(curvature > 0.0 && curvature <= bound + 3e-5, "{leaf}: {curvature} {bound}");
    }
}

#[test]
fn hazards_far_apart_stay_finite() {
    let mut case = with_ties(super::cases::Weights::None);
    case.scores
        .iter_mut()
        .enumerate()
        .for_each(|(i, score)| *score = if i % 2 == 0 { 2000.0 } else { -2000.0 });
    assert!(case.loss().is_finite());
    assert!(case.derivatives().iter().all(|d| d.gradient.is_finite() && d.hessian.is_finite()));
}
