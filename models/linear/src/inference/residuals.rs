//! What the residuals of least squares say of the assumption that they are normal and independent.

use super::weighted_sum;
use serde::{Deserialize, Serialize};
use tilewise_base::finite;

/// Rows from which the distributions of the test's parts are known well enough.
const FEWEST: f64 = 8.0;

/// Shape and order of residuals. NaN where there are too few rows, or where all residuals are equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Residuals {
    /// Third central moment over the standard deviation cubed.
    #[serde(with = "finite")]
    pub skewness: f64,
    /// Fourth central moment over the variance squared; 3 of the normal distribution.
    #[serde(with = "finite")]
    pub kurtosis: f64,
    /// Test of both being the normal distribution's (D'Agostino, Pearson, "Tests for departure from normality", 1973), of 8 rows and more.
    #[serde(with = "finite")]
    pub omnibus: f64,
    /// How likely so large a statistic is of normal residuals.
    #[serde(with = "finite")]
    pub omnibus_p_value: f64,
    /// Another one, for many rows (Jarque, Bera, "Efficient tests for normality, homoscedasticity and serial independence", 1980).
    #[serde(with = "finite")]
    pub jarque_bera: f64,
    /// How likely so large a statistic is of normal residuals.
    #[serde(with = "finite")]
    pub jarque_bera_p_value: f64,
    /// Squared differences from row to row over squares (Durbin, Watson, 1950): about 2 where rows are independent, less where neighbours are
    /// alike.
    #[serde(with = "finite")]
    pub durbin_watson: f64,
}

impl Residuals {
    /// Of residuals, and how many rows each stands for.
    pub(super) fn of(residuals: &[f64], weights: &[f64]) -> Self {
        let n = tilewise_kernels::sum(weights);
        let mean = weighted_sum(weights, &|i| residuals[i]) / n;
        let deviation = (weighted_sum(weights, &|i| (residuals[i] - mean).powi(2)) / n).sqrt();
        let moment =
            |power: i32| weighted_sum(weights, &|i| ((residuals[i] - mean) / deviation).powi(power)) / n;
        let (skewness, kurtosis) = (moment(3), moment(4));
        let omnibus = skewness_statistic(skewness, n).powi(2) + kurtosis_statistic(kurtosis, n).powi(2);
        let jarque_bera = n / 6.0 * (skewness.powi(2) + (kurtosis - 3.0).powi(2) / 4.0);
        let counted: Vec<f64> =
            residuals.iter().zip(weights).filter(|(_, weight)| **weight > 0.0).map(|(r, _)| *r).collect();
        let steps: f64 = counted.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).sum();
        Self {
            skewness,
            kurtosis,
            omnibus,
            // The tail of chi squared with two degrees of freedom.
            omnibus_p_value: (-omnibus / 2.0).exp(),
            jarque_bera,
            jarque_bera_p_value: (-jarque_bera / 2.0).exp(),
            durbin_watson: steps / weighted_sum(weights, &|i| residuals[i].powi(2)),
        }
    }
}

/// Nearly normal for normal samples (D'Agostino, "Transformation to normality of the null distribution of g1", 1970).
fn skewness_statistic(skewness: f64, n: f64) -> f64 {
    if n < FEWEST {
        return f64::NAN;
    }
    let scaled = skewness * ((n + 1.0) * (n + 3.0) / (6.0 * (n - 2.0))).sqrt();
    let fourth = 3.0 * (n * n + 27.0 * n - 70.0) * (n + 1.0) * (n + 3.0)
        / ((n - 2.0) * (n + 5.0) * (n + 7.0) * (n + 9.0));
    let square = (2.0 * (fourth - 1.0)).sqrt() - 1.0;
    (scaled / (2.0 / (square - 1.0)).sqrt()).asinh() / (0.5 * square.ln()).sqrt()
}

/// Likewise (Anscombe, Glynn, "Distribution of the kurtosis statistic b2 for normal samples", 1983).
fn kurtosis_statistic(kurtosis: f64, n: f64) -> f64 {
    if n < FEWEST {
        return f64::NAN;
    }
    let expected = 3.0 * (n - 1.0) / (n + 1.0);
    let variance = 24.0 * n * (n - 2.0) * (n - 3.0) / ((n + 1.0) * (n + 1.0) * (n + 3.0) * (n + 5.0));
    let scaled = (kurtosis - expected) / variance.sqrt();
    let skewness = 6.0 * (n * n - 5.0 * n + 2.0) / ((n + 7.0) * (n + 9.0))
        * (6.0 * (n + 3.0) * (n + 5.0) / (n * (n - 2.0) * (n - 3.0))).sqrt();
    let a = 6.0 + 8.0 / skewness * (2.0 / skewness + (1.0 + 4.0 / (skewness * skewness)).sqrt());
    let root = ((1.0 - 2.0 / a) / (1.0 + scaled * (2.0 / (a - 4.0)).sqrt())).cbrt();
    (1.0 - 2.0 / (9.0 * a) - root) / (2.0 / (9.0 * a)).sqrt()
}
