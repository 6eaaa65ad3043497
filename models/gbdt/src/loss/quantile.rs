//! The absolute difference and its lopsided kin, whose least is at the median and at quantiles (Koenker and Bassett,
//! "Regression quantiles", 1978).
//!
//! Gradients only tell on which side a row is, 0 on the spot, and there is no second derivative: 1 for it makes splits divide
//! the sides. Leaves are then given the quantile of their residuals.

use super::{Derivatives, LeafRule, Objective, Truth, by_row};
use tilewise_base::Result;

pub(super) struct Quantile {
    /// Slope of the loss where the score is too small; it is too large with the other.
    below: f64,
    above: f64,
    quantile: f64,
    name: String,
}

impl Quantile {
    pub(super) fn new(quantile: f64, name: String) -> Self {
        Self { below: quantile, above: 1.0 - quantile, quantile, name }
    }

    /// The absolute difference: twice the loss of the median.
    pub(super) fn absolute(name: String) -> Self {
        Self { below: 1.0, above: 1.0, quantile: 0.5, name }
    }
}

impl Objective for Quantile {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn check(&self, truth: &Truth<'_>) -> Result<()> {
        truth.check_numbers()
    }

    fn start(&self, truth: &Truth<'_>) -> Vec<f64> {
        vec![self.leaves().of_answers(truth)]
    }

    fn derivatives(&self, truth: &Truth<'_>, scores: &[f64], out: &mut [Derivatives]) {
        let (below, above) = (-self.below as f32, self.above as f32);
        by_row::derivatives(truth, scores, out, |y, scores, out| {
            for ((out, score), y) in out.iter_mut().zip(scores).zip(y) {
                let gradient = if score > y { above } else { below };
                *out = Derivatives { gradient: if score == y { 0.0 } else { gradient }, hessian: 1.0 };
            }
        });
    }

    fn loss(&self, truth: &Truth<'_>, scores: &[f64]) -> f64 {
        by_row::mean_loss(truth, scores, |y, scores, out| {
            for ((out, score), y) in out.iter_mut().zip(scores).zip(y) {
                *out = (self.above * (score - y)).max(self.below * (y - score));
            }
        })
    }

    fn leaves(&self) -> LeafRule {
        LeafRule::Quantile(self.quantile)
    }
}
