//! Measures of predicted numbers.

use super::{check, weighted_mean, weighted_sum};
use crate::Result;

/// Root of the mean squared error. NaN predictions or targets give NaN.
///
/// # Errors
/// When lengths differ or a weight is negative.
pub fn rmse(truth: &[f64], predicted: &[f64], weights: Option<&[f64]>) -> Result<f64> {
    check(truth.len(), predicted.len(), weights)?;
    Ok(weighted_mean(truth.len(), weights, |i| (truth[i] - predicted[i]).powi(2)).sqrt())
}

/// Mean absolute error. NaN predictions or targets give NaN.
///
/// # Errors
/// When lengths differ or a weight is negative.
pub fn mae(truth: &[f64], predicted: &[f64], weights: Option<&[f64]>) -> Result<f64> {
    check(truth.len(), predicted.len(), weights)?;
    Ok(weighted_mean(truth.len(), weights, |i| (truth[i] - predicted[i]).abs()))
}

/// Share of the target's variance that is explained, 1 - squared error / squares around the mean; negative when the
/// mean would have been better. NaN when the target is constant.
///
/// # Errors
/// When lengths differ or a weight is negative.
pub fn r2(truth: &[f64], predicted: &[f64], weights: Option<&[f64]>) -> Result<f64> {
    check(truth.len(), predicted.len(), weights)?;
    let mean = weighted_mean(truth.len(), weights, |i| truth[i]);
    let first = truth.first().copied().unwrap_or(f64::NAN);
    if truth.iter().all(|y| *y == first) {
        return Ok(f64::NAN);
    }
    let (errors, _) = weighted_sum(truth.len(), weights, |i| (truth[i] - predicted[i]).powi(2));
    let (squares, _) = weighted_sum(truth.len(), weights, |i| (truth[i] - mean).powi(2));
    Ok(if squares > 0.0 { 1.0 - errors / squares } else { f64::NAN })
}
