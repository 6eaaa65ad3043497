//! What boosting makes smaller: a loss of each row's answer and scores, by its first and second derivatives.
//!
//! A loss sees all rows at once, since some (rankings, survival) are no sums over rows; those that are share their rows among
//! threads. Derivatives are f32: they are rounded to fixed point afterwards, and only sums of many matter.

use std::ops::Range;
use tilewise_base::Result;
/// First and second derivative of a row's loss by a score, times its weight.
pub use tilewise_kernels::tree::Derivatives;

/// What a loss is told of the rows, in the table's order.
#[derive(Clone, Copy, Debug)]
pub struct Truth<'a> {
    /// The answers: numbers, numbers of classes, degrees of relevance, times.
    pub y: &'a [f64],
    /// How much rows count; `None` for 1 each. A row of weight 0 is not looked at.
    pub weights: Option<&'a [f64]>,
    /// The rows of each query, for rankings: one range after another.
    pub groups: Option<&'a [Range<usize>]>,
    /// Whether the event was seen at the time (else nothing is known but that it had not come by then), for survival.
    pub events: Option<&'a [bool]>,
}

impl Truth<'_> {
    /// The weight of a row.
    pub fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }
}

/// What a leaf is to predict.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum LeafRule {
    /// Newton's step: minus the sum of gradients over that of hessians and penalty.
    #[default]
    Newton,
    /// This quantile (weighted, 0 to 1) of answer minus score of its rows.
    Quantile(f64),
    /// Huber's step, from the median and the residuals cut off this far from it (Friedman 2001, section 4.4).
    Huber(f64),
}

/// A loss.
pub trait Objective: Send + Sync {
    /// What it is called.
    fn name(&self) -> String;
    /// Scores of a row.
    fn scores(&self) -> usize {
        1
    }
    /// Refuses answers that are outside of the loss's domain.
    ///
    /// # Errors
    /// Naming row and value of the first, and what is accepted.
    fn check(&self, truth: &Truth<'_>) -> Result<()>;
    /// The scores that make the loss least if all rows get the same, one for each score.
    fn start(&self, truth: &Truth<'_>) -> Vec<f64>;
    /// Writes the derivatives of all rows at `scores`; both hold one score after the other, each with all rows.
    fn derivatives(&self, truth: &Truth<'_>, scores: &[f64], out: &mut [Derivatives]);
    /// The weighted mean loss at `scores`, in the same layout, without constants that depend on answers alone. NaN without weight.
    fn loss(&self, truth: &Truth<'_>, scores: &[f64]) -> f64;
    /// How leaves get their values.
    fn leaves(&self) -> LeafRule {
        LeafRule::Newton
    }
    /// What makes predictions of scores.
    fn link(&self) -> crate::Link {
        crate::Link::Identity
    }
}

/// A loss by its name and parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Squared for numbers, logistic for two classes, softmax for more.
    #[default]
    Auto,
    /// Half of the square of the difference.
    Squared,
    /// Minus the logarithm of the probability of the class, of two.
    Logistic,
}
