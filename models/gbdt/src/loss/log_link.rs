//! Poisson, Tweedie and gamma: means e^s of answers that are not negative, whose variance is the mean to the power p.
//!
//! One family (Jørgensen, "Exponential dispersion models", 1987): p = 1 is Poisson's, p = 2 gamma's, those between are
//! Tweedie's, 0 with some probability and continuous above. With m = e^s, a = y m^(1-p) and b = m^(2-p) the gradient is b - a.
//!
//! The second derivative is (p - 1) a + (2 - p) b: for Poisson b = m alone, for gamma a = y / m alone. Newton's step of a leaf
//! whose answers are r times its means is then r - 1 or 1 - 1 / r, far beyond ln r where r is large or small, and e to it
//! overflows. (LightGBM multiplies Poisson's by e^0.7, which halves all steps, good ones too, and bounds none.) Here stands
//! b + max(a - b, 0) / 2 for it: b, which is what the second derivative is on average at the truth, for all p, and half of what
//! a row pulls up. A step is then 2 (r - 1) / (r + 1) up and r - 1 down where the rows of a leaf are alike, never beyond ln r, and
//! between -1 and 2 in any leaf.
//!
//! Tried with LightGBM's trees (`tests/trials/log_link.py`: 16 problems of Poisson with means 0.05, 1 and 20 and of gamma, rates 0.1 and 0.4,
//! least deviance of other rows over 300 stages): exact second derivatives were better in 2, by 0.1 % and 9 %, and at the rate
//! 0.4 cost up to three times the deviance and, of gamma, everything; times e^0.7 was better in 3 of 12, by up to 15 %, and worse by up
//! to 79 %; (a + b) / 2 was better in 5, by up to 5 %, and worse by up to 3 %, mostly where counts are rare.

use super::{Derivatives, Objective, Truth, by_row};
use crate::Link;
use tilewise_base::{ExactSum, Result};
use tilewise_kernels::Elementary;

/// Scores are taken as no further from 0: e^80 is 6e34, beyond all answers that are accepted, and finite in f32.
const FAR: f64 = 80.0;

pub(super) struct LogLink {
    /// Of the mean that the variance is proportional to, 1 to 2.
    power: f64,
    name: String,
}

impl LogLink {
    pub(super) fn new(power: f64, name: String) -> Self {
        Self { power, name }
    }

    fn sum_of_losses(&self, truth: &Truth<'_>, scores: &[f64]) -> ExactSum {
        let p = self.power;
        by_row::sum_of_losses(truth, scores, |y, scores, out| {
            let mut lower = [0.0; by_row::BLOCK];
            let lower = &mut lower[..y.len()];
            power_of_mean(1.0 - p, scores, lower);
            power_of_mean(2.0 - p, scores, out);
            for (((out, y), lower), score) in out.iter_mut().zip(y).zip(&*lower).zip(scores) {
                // The limits of powers at 1 and 2 are logarithms.
                let of_answer = if p == 1.0 { -y * score } else { y * lower / (p - 1.0) };
                *out = of_answer + if p == 2.0 { *score } else { *out / (2.0 - p) };
            }
        })
    }
}

/// e^(power s).
fn power_of_mean(power: f64, scores: &[f64], out: &mut [f64]) {
    if power == 0.0 {
        return out.fill(1.0);
    }
    out.iter_mut().zip(scores).for_each(|(out, score)| *out = power * score.clamp(-FAR, FAR));
    Elementary::Exp.in_place(out);
}

impl Objective for LogLink {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn check(&self, truth: &Truth<'_>) -> Result<()> {
        if self.power == 2.0 { truth.check_positive() } else { truth.check_not_negative() }
    }

    /// ln of the mean answer: of all p.
    fn start(&self, truth: &Truth<'_>) -> Vec<f64> {
        self.start_of(&truth.means(&[by_row::sum_of_answers(truth)]))
    }

    fn start_sums(&self, truth: &Truth<'_>) -> Option<Vec<ExactSum>> {
        Some(vec![by_row::sum_of_answers(truth)])
    }

    fn start_of(&self, means: &[f64]) -> Vec<f64> {
        means.iter().map(|&mean| by_row::ln(mean)).collect()
    }

    fn derivatives(&self, truth: &Truth<'_>, scores: &[f64], out: &mut [Derivatives]) {
        by_row::derivatives(truth, scores, out, |y, scores, out| {
            let (mut lower, mut upper) = ([0.0; by_row::BLOCK], [0.0; by_row::BLOCK]);
            let (lower, upper) = (&mut lower[..y.len()], &mut upper[..y.len()]);
            power_of_mean(1.0 - self.power, scores, lower);
            power_of_mean(2.0 - self.power, scores, upper);
            for (((out, y), lower), upper) in out.iter_mut().zip(y).zip(&*lower).zip(&*upper) {
                let answer = y * lower;
                *out = Derivatives::of(upper - answer, upper + 0.5 * (answer - upper).max(0.0));
            }
        });
    }

    fn loss(&self, truth: &Truth<'_>, scores: &[f64]) -> f64 {
        self.sum_of_losses(truth, scores).value() / truth.total_weight()
    }

    fn loss_sum(&self, truth: &Truth<'_>, scores: &[f64]) -> Option<ExactSum> {
        Some(self.sum_of_losses(truth, scores))
    }

    fn link(&self) -> Link {
        Link::Exp
    }
}
