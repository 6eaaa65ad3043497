//! Minus the logarithm of the probability of one of two classes.
//!
//! With q the smaller of both probabilities, 1 / (1 + e^|s|), gradients are ±q or ±(1 - q) and the second derivative is
//! q (1 - q): 1 - q is at least a half, so nothing cancels and a row that is predicted well keeps all digits of its f32.

use super::{Derivatives, Objective, Truth, by_row};
use crate::Link;
use tilewise_base::{ExactSum, Result};
use tilewise_kernels::Elementary;

pub(super) struct Logistic;

/// Where a class does not occur its probability is taken to be this, and the score stays finite: as log loss clips.
pub(super) const RAREST: f64 = f64::EPSILON;

impl Objective for Logistic {
    fn name(&self) -> String {
        "logistic".into()
    }

    fn check(&self, truth: &Truth<'_>) -> Result<()> {
        truth.check_classes(2)
    }

    /// The log odds of the class 1.
    fn start(&self, truth: &Truth<'_>) -> Vec<f64> {
        self.start_of(&truth.means(&sums(truth)))
    }

    fn start_sums(&self, truth: &Truth<'_>) -> Option<Vec<ExactSum>> {
        Some(sums(truth).into())
    }

    fn start_of(&self, shares: &[f64]) -> Vec<f64> {
        let ln = |class: usize| by_row::ln(shares[class].max(RAREST));
        vec![ln(1) - ln(0)]
    }

    fn derivatives(&self, truth: &Truth<'_>, scores: &[f64], out: &mut [Derivatives]) {
        by_row::derivatives(truth, scores, out, |y, scores, out| {
            let mut smaller = [0.0_f32; by_row::BLOCK];
            let smaller = &mut smaller[..y.len()];
            smaller.iter_mut().zip(scores).for_each(|(q, score)| *q = -score.abs() as f32);
            Elementary::Sigmoid.in_place(smaller);
            for (((out, &y), &score), &q) in out.iter_mut().zip(y).zip(scores).zip(&*smaller) {
                let larger = 1.0 - q;
                // Of the class that is not the row's.
                let wrong = if (y > 0.5) == (score > 0.0) { q } else { larger };
                *out = Derivatives { gradient: if y > 0.5 { -wrong } else { wrong }, hessian: q * larger };
            }
        });
    }

    fn loss(&self, truth: &Truth<'_>, scores: &[f64]) -> f64 {
        by_row::mean_loss(truth, scores, loss)
    }

    fn loss_sum(&self, truth: &Truth<'_>, scores: &[f64]) -> Option<ExactSum> {
        Some(by_row::sum_of_losses(truth, scores, loss))
    }

    fn link(&self) -> Link {
        Link::Logistic
    }
}

/// The weights of both classes.
fn sums(truth: &Truth<'_>) -> [ExactSum; 2] {
    [0.0, 1.0].map(|class| truth.sum(|row| f64::from(u8::from(truth.y[row] == class))))
}

/// Of some rows.
fn loss(y: &[f64], scores: &[f64], out: &mut [f64]) {
    for ((out, score), &y) in out.iter_mut().zip(scores).zip(y) {
        *out = if y > 0.5 { -score } else { *score };
    }
    Elementary::Softplus.in_place(out);
}
