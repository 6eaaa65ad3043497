//! Half of the squared difference.

use super::{Derivatives, Objective, Truth, by_row};
use tilewise_base::{ExactSum, Result};

pub(super) struct Squared;

impl Objective for Squared {
    fn name(&self) -> String {
        "squared".into()
    }

    fn check(&self, truth: &Truth<'_>) -> Result<()> {
        truth.check_numbers()
    }

    fn start(&self, truth: &Truth<'_>) -> Vec<f64> {
        truth.means(&[by_row::sum_of_answers(truth)])
    }

    fn start_sums(&self, truth: &Truth<'_>) -> Option<Vec<ExactSum>> {
        Some(vec![by_row::sum_of_answers(truth)])
    }

    fn derivatives(&self, truth: &Truth<'_>, scores: &[f64], out: &mut [Derivatives]) {
        by_row::derivatives(truth, scores, out, |y, scores, out| {
            for ((out, score), y) in out.iter_mut().zip(scores).zip(y) {
                *out = Derivatives { gradient: (score - y) as f32, hessian: 1.0 };
            }
        });
    }

    fn loss(&self, truth: &Truth<'_>, scores: &[f64]) -> f64 {
        by_row::mean_loss(truth, scores, loss)
    }

    fn loss_sum(&self, truth: &Truth<'_>, scores: &[f64]) -> Option<ExactSum> {
        Some(by_row::sum_of_losses(truth, scores, loss))
    }
}

/// Of some rows.
fn loss(y: &[f64], scores: &[f64], out: &mut [f64]) {
    for ((out, score), y) in out.iter_mut().zip(scores).zip(y) {
        *out = 0.5 * (score - y) * (score - y);
    }
}
