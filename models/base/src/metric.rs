//! How good predictions are, each measure with optional sample weights.
//!
//! Sums run over fixed blocks of rows and merge in a fixed tree, and rankings break ties by score alone, so a measure
//! has the same bits at any thread count. A measure that the data leaves undefined (ROC AUC of one class, R2 of a
//! constant target) is NaN, never a number that looks like a result.

use crate::{Error, Result};
use tilewise_kernels::{parallel, same};

mod classification;
mod curve;
mod deviance;
mod quantile;
mod ranking;
mod regression;
mod summary;
mod survival;

pub use classification::{Confusion, accuracy, confusion, log_loss, macro_f1, most_probable};
pub use curve::{pr_auc, roc_auc};
pub use deviance::{gamma_deviance, poisson_deviance, tweedie_deviance};
pub use quantile::{calibration_error, check_quantiles, pinball_loss, quantile_rank, weighted_quantiles};
pub use ranking::{mean_average_precision, ndcg, ndcg_sums, rank_discounts};
pub use regression::{mae, r2, rmse};
pub use summary::{Score, Truth, baseline, measure, measures, summary};
pub use survival::concordance;

/// Rows summed one after another before the fixed tree takes over.
const CHUNK: usize = 4096;

/// The weighted sum of `f(row)` and the sum of weights, in a fixed tree.
fn weighted_sum(rows: usize, weights: Option<&[f64]>, f: impl Fn(usize) -> f64 + Sync) -> (f64, f64) {
    let block = |range: std::ops::Range<usize>| match weights {
        // A row without weight has no say, whatever its value is.
        Some(w) => {
            range.fold((0.0, 0.0), |(s, t), i| if w[i] == 0.0 { (s, t) } else { (s + w[i] * f(i), t + w[i]) })
        }
        None => {
            let n = range.len() as f64;
            (range.fold(0.0, |s, i| s + f(i)), n)
        }
    };
    parallel::map_reduce(rows, CHUNK, block, |a, b| (a.0 + b.0, a.1 + b.1)).unwrap_or((0.0, 0.0))
}

/// The weighted mean of `f(row)`; NaN when there is no weight.
fn weighted_mean(rows: usize, weights: Option<&[f64]>, f: impl Fn(usize) -> f64 + Sync) -> f64 {
    let (sum, weight) = weighted_sum(rows, weights, f);
    sum / weight
}

/// Checks the lengths and the weights of a measure.
fn check(rows: usize, predictions: usize, weights: Option<&[f64]>) -> Result<()> {
    same("predictions", rows, predictions)?;
    if let Some(weights) = weights {
        same("weights", rows, weights.len())?;
        if let Some(row) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
            return Err(Error::Fit(format!(
                "row {}: weight {} is not a number of 0 or more",
                row + 1,
                weights[row]
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
