//! The measures that a person is shown for a task, and those of the plainest prediction to hold them against.

use super::{accuracy, log_loss, macro_f1, mae, most_probable, pr_auc, r2, rmse, roc_auc};
use crate::Result;

/// What was to be predicted.
#[derive(Clone, Debug, PartialEq)]
pub enum Truth {
    /// One number per row.
    Numbers(Vec<f64>),
    /// One class per row, out of so many.
    Classes {
        /// Position of each row's class.
        codes: Vec<u32>,
        /// Number of classes.
        classes: usize,
    },
}

impl Truth {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Numbers(y) => y.len(),
            Self::Classes { codes, .. } => codes.len(),
        }
    }
}

/// One measure of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Its name, such as `RMSE`.
    pub name: &'static str,
    /// Its value; NaN when the data leaves it undefined.
    pub value: f64,
    /// Whether more is better.
    pub more_is_better: bool,
}

/// The usual measures of `predictions` as [`crate::Model::predict`] writes them.
///
/// # Errors
/// When lengths do not fit or a weight is negative.
pub fn summary(truth: &Truth, predictions: &[f64], weights: Option<&[f64]>) -> Result<Vec<Score>> {
    let good = |name, value| Score { name, value, more_is_better: true };
    let bad = |name, value| Score { name, value, more_is_better: false };
    match truth {
        Truth::Numbers(y) => Ok(vec![
            bad("RMSE", rmse(y, predictions, weights)?),
            bad("MAE", mae(y, predictions, weights)?),
            good("R2", r2(y, predictions, weights)?),
        ]),
        Truth::Classes { codes, classes } => {
            let mut scores = vec![bad("log loss", log_loss(codes, predictions, *classes, weights)?)];
            let called = most_probable(predictions, *classes);
            scores.push(good("accuracy", accuracy(codes, &called, weights)?));
            if *classes == 2 {
                let positive: Vec<bool> = codes.iter().map(|&c| c == 1).collect();
                let score: Vec<f64> = predictions.chunks_exact(2).map(|row| row[1]).collect();
                scores.push(good("ROC AUC", roc_auc(&positive, &score, weights)?));
                scores.push(good("PR AUC", pr_auc(&positive, &score, weights)?));
            }
            scores.push(good("macro F1", macro_f1(codes, &called, *classes, weights)?));
            Ok(scores)
        }
    }
}

/// One row of outputs that ignores all inputs: the weighted mean of a target, or the share of each class (whose most
/// probable is the majority).
pub fn baseline(truth: &Truth, weights: Option<&[f64]>) -> Vec<f64> {
    match truth {
        Truth::Numbers(y) => vec![super::weighted_mean(y.len(), weights, |i| y[i])],
        Truth::Classes { codes, classes } => {
            let share = |class: usize| {
                super::weighted_mean(codes.len(), weights, |i| {
                    f64::from(u8::from(codes[i] as usize == class))
                })
            };
            (0..*classes).map(share).collect()
        }
    }
}
