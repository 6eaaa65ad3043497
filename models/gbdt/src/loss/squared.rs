//! Half of the squared difference.

use super::{Derivatives, Objective, Truth, by_row};
use tilewise_base::Result;

pub(super) struct Squared;

impl Objective for Squared {
    fn name(&self) -> String {
        "squared".into()
    }

    fn check(&self, truth: &Truth<'_>) -> Result<()> {
        truth.check_numbers()
    }

    fn start(&self, truth: &Truth<'_>) -> Vec<f64> {
        vec![by_row::mean_answer(truth)]
    }

    fn derivatives(&self, truth: &Truth<'_>, scores: &[f64], out: &mut [Derivatives]) {
        by_row::derivatives(truth, scores, out, |y, scores, out| {
            for ((out, score), y) in out.iter_mut().zip(scores).zip(y) {
                *out = Derivatives { gradient: (score - y) as f32, hessian: 1.0 };
            }
        });
    }

    fn loss(&self, truth: &Truth<'_>, scores: &[f64]) -> f64 {
        by_row::mean_loss(truth, scores, |y, scores, out| {
            for ((out, score), y) in out.iter_mut().zip(scores).zip(y) {
                *out = 0.5 * (score - y) * (score - y);
            }
        })
    }
}
