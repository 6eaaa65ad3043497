//! From scores to predictions.

use serde::{Deserialize, Serialize};

/// What makes predictions of the scores of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// The scores themselves.
    #[default]
    Identity,
    /// e to the score.
    Exp,
    /// One score s: the probabilities 1 - p and p of two classes, p = 1 / (1 + e^-s).
    Logistic,
    /// The probability of class k is e^(score k) over the sum of these.
    Softmax,
}

impl Link {
    /// Numbers predicted from so many scores.
    pub fn outputs(self, scores: usize) -> usize {
        if self == Self::Logistic { 2 } else { scores }
    }

    /// Predicts a row.
    ///
    /// # Panics
    /// When `out` has not as many places as there are outputs.
    pub fn predict(self, scores: &[f64], out: &mut [f64]) {
        match self {
            Self::Identity => out.copy_from_slice(scores),
            Self::Exp => out.iter_mut().zip(scores).for_each(|(out, s)| *out = s.exp()),
            Self::Logistic => {
                // Each from its own exponential, so that neither is 1 minus a rounded number.
                let p = |s: f64| 1.0 / (1.0 + (-s).exp());
                out.copy_from_slice(&[p(-scores[0]), p(scores[0])]);
            }
            Self::Softmax => {
                let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                out.iter_mut().zip(scores).for_each(|(out, s)| *out = (s - most).exp());
                let sum: f64 = out.iter().sum();
                out.iter_mut().for_each(|out| *out /= sum);
            }
        }
    }
}
