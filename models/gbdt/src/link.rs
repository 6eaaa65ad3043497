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
    /// 1 / (1 + e^-s) of each score s: a share, or one class against all others for each.
    Sigmoid,
    /// The square of each score with its sign, where roots were learned.
    SignedSquare,
    /// The logarithm of 1 + e^s.
    Softplus,
    /// One score: the first of two classes up to 0, the second above, surely.
    Hinge,
    /// The first score, then each number above the one before by 1e-6 and the logarithm of 1 + e^s: numbers that ascend.
    Steps,
}

impl Link {
    /// Numbers predicted from so many scores.
    pub fn outputs(self, scores: usize) -> usize {
        if matches!(self, Self::Logistic | Self::Hinge) { 2 } else { scores }
    }

    /// What it does, in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Identity => "nothing",
            Self::Exp => "e to the score",
            Self::Logistic => "1 / (1 + e to minus the score), for the second of two classes",
            Self::Softmax => "softmax",
            Self::Sigmoid => "1 / (1 + e to minus the score)",
            Self::SignedSquare => "the square of the score, with its sign",
            Self::Softplus => "the logarithm of 1 + e to the score",
            Self::Hinge => "the second of two classes where the score is above 0",
            Self::Steps => "the first score, then steps of the logarithm of 1 + e to the score",
        }
    }

    /// Predicts a row.
    ///
    /// # Panics
    /// When `out` has not as many places as there are outputs.
    pub fn predict(self, scores: &[f64], out: &mut [f64]) {
        let each =
            |out: &mut [f64], f: fn(f64) -> f64| out.iter_mut().zip(scores).for_each(|(out, s)| *out = f(*s));
        match self {
            Self::Identity => out.copy_from_slice(scores),
            Self::Exp => each(out, f64::exp),
            Self::Sigmoid => each(out, |s| 1.0 / (1.0 + (-s).exp())),
            Self::SignedSquare => each(out, |s| s * s.abs()),
            Self::Softplus => each(out, softplus),
            Self::Steps => {
                let mut last = 0.0;
                for (k, (out, &s)) in out.iter_mut().zip(scores).enumerate() {
                    last += if k == 0 { s } else { LEAST_STEP + softplus(s) };
                    *out = last;
                }
            }
            Self::Hinge => {
                let second = if scores[0] > 0.0 { 1.0 } else { 0.0 };
                out.copy_from_slice(&[1.0 - second, second]);
            }
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

/// What numbers of [`Link::Steps`] are apart at least, as in XGBoost's expectiles.
pub(crate) const LEAST_STEP: f64 = 1e-6;

/// The logarithm of 1 + e^s, without e^s where that is large.
fn softplus(s: f64) -> f64 {
    s.max(0.0) + (-s.abs()).exp().ln_1p()
}
