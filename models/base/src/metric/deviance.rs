//! Deviances of numbers that are not negative from predicted means: twice what the logarithm of the likelihood falls short of
//! that of the truth itself, for the distributions whose variance is a power of the mean (Jørgensen, "Exponential dispersion
//! models", 1987).

use super::{check, weighted_mean};
use crate::{Error, Result};

/// Poisson's: the mean of 2 (y ln(y / p) - y + p). NaN where nothing has a weight.
///
/// # Errors
/// When lengths differ, a weight is negative, a truth is below 0 or a prediction is not above 0 (in a row with a weight).
pub fn poisson_deviance(truth: &[f64], predicted: &[f64], weights: Option<&[f64]>) -> Result<f64> {
    check_means(truth, predicted, weights, "0 or more", |y| y >= 0.0)?;
    let of_row = |i: usize| {
        let (y, p) = (truth[i], predicted[i]);
        let of_ratio = if y > 0.0 { y * (y / p).ln() } else { 0.0 };
        2.0 * (of_ratio - y + p)
    };
    Ok(weighted_mean(truth.len(), weights, of_row))
}

/// The gamma distribution's: the mean of 2 (ln(p / y) + y / p - 1). NaN where nothing has a weight.
///
/// # Errors
/// When lengths differ, a weight is negative, a truth or a prediction is not above 0 (in a row with a weight).
pub fn gamma_deviance(truth: &[f64], predicted: &[f64], weights: Option<&[f64]>) -> Result<f64> {
    check_means(truth, predicted, weights, "above 0", |y| y > 0.0)?;
    let of_row = |i: usize| {
        let (y, p) = (truth[i], predicted[i]);
        2.0 * ((p / y).ln() + y / p - 1.0)
    };
    Ok(weighted_mean(truth.len(), weights, of_row))
}

/// Tweedie's, for a `power` between 1 and 2: the mean of
/// 2 (y^(2 - power) / ((1 - power) (2 - power)) - y p^(1 - power) / (1 - power) + p^(2 - power) / (2 - power)). NaN where nothing
/// has a weight.
///
/// # Errors
/// When the power is not between 1 and 2 (where it is Poisson's and gamma's), lengths differ, a weight is negative, a truth is
/// below 0 or a prediction is not above 0 (in a row with a weight).
pub fn tweedie_deviance(
    truth: &[f64],
    predicted: &[f64],
    power: f64,
    weights: Option<&[f64]>,
) -> Result<f64> {
    if !(power > 1.0 && power < 2.0) {
        return Err(Error::parameter("power", power, "a number between 1 and 2 is"));
    }
    check_means(truth, predicted, weights, "0 or more", |y| y >= 0.0)?;
    let (a, b) = (1.0 - power, 2.0 - power);
    let of_row = |i: usize| {
        let (y, p) = (truth[i], predicted[i]);
        2.0 * (y.powf(b) / (a * b) - y * p.powf(a) / a + p.powf(b) / b)
    };
    Ok(weighted_mean(truth.len(), weights, of_row))
}

/// Lengths and weights, and that rows with a weight have a truth in the domain and a mean above 0.
fn check_means(
    truth: &[f64],
    predicted: &[f64],
    weights: Option<&[f64]>,
    accepted: &str,
    accepts: impl Fn(f64) -> bool,
) -> Result<()> {
    check(truth.len(), predicted.len(), weights)?;
    for row in (0..truth.len()).filter(|&row| weights.is_none_or(|w| w[row] != 0.0)) {
        let (y, p) = (truth[row], predicted[row]);
        if !(accepts(y) && y.is_finite()) {
            return Err(Error::Fit(format!("row {}: {y} is not a finite number {accepted}", row + 1)));
        }
        if p.is_nan() || p <= 0.0 {
            return Err(Error::Fit(format!("row {}: {p} is predicted, which is no mean above 0", row + 1)));
        }
    }
    Ok(())
}
