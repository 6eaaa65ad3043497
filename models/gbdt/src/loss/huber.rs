//! Squared for small differences, absolute for large ones (Huber, "Robust estimation of a location parameter", 1964).

use super::{Derivatives, LeafRule, Objective, Truth, by_row};
use tilewise_base::{ExactSum, Result};

pub(super) struct Huber {
    /// Where the line begins.
    pub(super) delta: f64,
    pub(super) name: String,
}

/// Halvings of a range of doubles and Newton steps between them come to an end before this; it only guards the loop.
const MOST_STEPS: usize = 4000;

impl Objective for Huber {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn check(&self, truth: &Truth<'_>) -> Result<()> {
        truth.check_numbers()
    }

    /// The zero of the sum of cut-off residuals, a falling function of straight pieces: by Newton's steps, which end on the
    /// right piece, and halvings where they would leave what is known to hold it. From the leaf's rule; some 5 steps.
    fn start(&self, truth: &Truth<'_>) -> Vec<f64> {
        let counted = || truth.counted().map(|row| truth.y[row]);
        let (mut low, mut high) =
            (counted().fold(f64::INFINITY, f64::min), counted().fold(f64::NEG_INFINITY, f64::max));
        let mut at = self.leaves().of_answers(truth).clamp(low, high);
        for _ in 0..MOST_STEPS {
            let (mut slope, mut inside) = (ExactSum::default(), ExactSum::default());
            for row in truth.counted() {
                let residual = truth.y[row] - at;
                slope.add_product(truth.weight(row), residual.clamp(-self.delta, self.delta));
                if residual.abs() < self.delta {
                    inside.add(truth.weight(row));
                }
            }
            let slope = slope.value();
            if slope == 0.0 {
                break;
            }
            *(if slope > 0.0 { &mut low } else { &mut high }) = at;
            let newton = at + slope / inside.value();
            let next = if newton > low && newton < high { newton } else { low + (high - low) / 2.0 };
            // A step that moves nothing is the last bit; so is a range without a number inside.
            if next == at || next <= low || next >= high {
                break;
            }
            at = next;
        }
        vec![at]
    }

    fn derivatives(&self, truth: &Truth<'_>, scores: &[f64], out: &mut [Derivatives]) {
        by_row::derivatives(truth, scores, out, |y, scores, out| {
            for ((out, score), y) in out.iter_mut().zip(scores).zip(y) {
                let gradient = (score - y).clamp(-self.delta, self.delta) as f32;
                *out = Derivatives { gradient, hessian: 1.0 };
            }
        });
    }

    fn loss(&self, truth: &Truth<'_>, scores: &[f64]) -> f64 {
        by_row::mean_loss(truth, scores, |y, scores, out| {
            for ((out, score), y) in out.iter_mut().zip(scores).zip(y) {
                let off = (score - y).abs();
                let squared = off.min(self.delta);
                *out = squared * (off - 0.5 * squared);
            }
        })
    }

    fn leaves(&self) -> LeafRule {
        LeafRule::Huber(self.delta)
    }
}
