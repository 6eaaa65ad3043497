//! What the data say of coefficients: standard errors, tests and intervals, and how well the model fits, as statsmodels tells it.
//!
//! A row of weight w counts as w rows. Models must be without penalty: a shrunken coefficient has no such errors.
//!
//! Least squares: covariance s^2 (X^T X)^-1, or one of those that hold where the variance differs between rows, HC0 to HC3 (White,
//! "A heteroskedasticity-consistent covariance matrix estimator", 1980; MacKinnon, White, 1985), then with normal instead of t tails. The
//! others: the inverse of the expected information, times the dispersion that Pearson's statistic tells for gamma and Tweedie
//! regression.

use crate::deviance::Distribution;
use crate::rows::{check_not_negative, check_shape};
use crate::{Chunk, Element, LinearModel, Link, Rows};
use serde::{Deserialize, Serialize};
use tilewise_base::{Error, Result, finite};
use tilewise_kernels::{MatRef, exp, parallel, same};

mod covariance;
mod distributions;
mod residuals;
mod table;

use covariance::{Bread, shift_intercept};
use distributions::{Reference, f_tail, ln_factorial};
pub use residuals::Residuals;

/// How rows are assumed to scatter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Errors {
    /// As the model says: all with the same variance in least squares.
    #[default]
    Classical,
    /// Each with the variance that its residual tells.
    Hc0,
    /// The same times rows / (rows - coefficients).
    Hc1,
    /// Residuals' squares over 1 - leverage.
    Hc2,
    /// Residuals' squares over (1 - leverage)^2.
    Hc3,
}

/// What is known of one coefficient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coefficient {
    /// Its estimate.
    pub estimate: f64,
    /// Standard error.
    #[serde(with = "finite")]
    pub standard_error: f64,
    /// The estimate over its standard error.
    #[serde(with = "finite")]
    pub statistic: f64,
    /// How likely a statistic so far from zero is where the coefficient is zero.
    #[serde(with = "finite")]
    pub p_value: f64,
    /// Lower end of the interval that holds it with probability 0.95.
    #[serde(with = "finite")]
    pub lower: f64,
    /// Upper end.
    #[serde(with = "finite")]
    pub upper: f64,
}

/// What a fitted model and its training rows tell. What a kind of model lacks is NaN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inference {
    /// How rows are assumed to scatter.
    pub errors: Errors,
    /// The intercept, if there is one, then each feature.
    pub coefficients: Vec<Coefficient>,
    /// Whether the first is an intercept.
    pub intercept: bool,
    /// Total weight.
    pub rows: f64,
    /// Coefficients that the data determine, the intercept counted.
    pub parameters: usize,
    /// Variance in units of that which the model says.
    #[serde(with = "finite")]
    pub scale: f64,
    /// Logarithm of the likelihood; not of gamma and Tweedie regression.
    #[serde(with = "finite")]
    pub log_likelihood: f64,
    /// Least squares: the share of the target's variance that is explained.
    #[serde(with = "finite")]
    pub r_squared: f64,
    /// The same per degree of freedom.
    #[serde(with = "finite")]
    pub adjusted_r_squared: f64,
    /// Least squares: F of all features together.
    #[serde(with = "finite")]
    pub f_statistic: f64,
    /// How likely so large an F is where no feature has a part.
    #[serde(with = "finite")]
    pub f_p_value: f64,
    /// The others: twice what the likelihood's logarithm falls short of that of the truth.
    #[serde(with = "finite")]
    pub deviance: f64,
    /// The others: sum of squared residuals over their variances.
    #[serde(with = "finite")]
    pub pearson: f64,
    /// Least squares: what the residuals say of the assumptions. None in files from before they were looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residuals: Option<Residuals>,
    /// Covariance of the coefficients, intercept first; not in files.
    #[serde(skip)]
    covariance: Vec<f64>,
    /// Student's t was asked for tails.
    student: bool,
}

impl Inference {
    /// Of least squares without penalty.
    ///
    /// O(rows features^2); memory for a few numbers a row.
    ///
    /// # Errors
    /// When shapes do not fit, a number is NaN or infinite, or there are no more rows than coefficients.
    pub fn least_squares<T: Element>(
        model: &LinearModel,
        x: MatRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        intercept: bool,
        errors: Errors,
    ) -> Result<Self> {
        let chunk = Chunk { x, y, rows, first_row: 0 };
        let (weights, fitted) = prepare(model, &chunk)?;
        let bread = Bread::new(&chunk, &weights, intercept)?;
        let residuals: Vec<f64> = y.iter().zip(&fitted).map(|(y, z)| y - z).collect();
        let of = |f: &(dyn Fn(usize) -> f64 + Sync)| weighted_sum(&weights, f);
        let square = of(&|i| residuals[i] * residuals[i]);
        let target = |i: usize| y[i] - chunk.offset(i);
        let mean = if intercept { of(&target) / bread.weight } else { 0.0 };
        let total = of(&|i| (target(i) - mean).powi(2));
        let (n, k) = (bread.weight, bread.parameters() as f64);
        let free = degrees(n, k)?;
        let scale = square / free;
        let reference =
            if errors == Errors::Classical { Reference::Student(free) } else { Reference::Normal };
        let covariance = match errors {
            Errors::Classical => {
                let mut matrix = bread.matrix()?;
                matrix.iter_mut().for_each(|v| *v *= scale);
                matrix
            }
            _ => {
                let leverages = match errors {
                    Errors::Hc2 | Errors::Hc3 => bread.leverages(&chunk)?,
                    _ => Vec::new(),
                };
                let factor = |i: usize| match errors {
                    Errors::Hc1 => n / free,
                    Errors::Hc2 => 1.0 / (1.0 - leverages[i]),
                    Errors::Hc3 => (1.0 - leverages[i]).powi(-2),
                    _ => 1.0,
                };
                let squares: Vec<f64> =
                    (0..y.len()).map(|i| weights[i] * residuals[i].powi(2) * factor(i)).collect();
                bread.sandwich(&chunk, &squares)?
            }
        };
        let features = bread.rank as f64;
        let f_statistic = match errors {
            Errors::Classical => (total - square) / features / scale,
            _ => wald(&covariance, &model.coefficients)? / features,
        };
        let variation = total / (n - f64::from(u8::from(intercept)));
        let mut out = Self::new(model, covariance, intercept, errors, reference)?;
        out.rows = n;
        out.parameters = bread.parameters();
        out.scale = scale;
        out.log_likelihood = -0.5 * n * ((2.0 * std::f64::consts::PI * square / n).ln() + 1.0);
        out.r_squared = 1.0 - square / total;
        out.adjusted_r_squared = 1.0 - scale / variation;
        (out.f_statistic, out.f_p_value) = (f_statistic, f_tail(f_statistic, features, free));
        out.residuals = Some(Residuals::of(&residuals, &weights));
        Ok(out)
    }

    /// Of logistic regression of two classes without penalty.
    ///
    /// # Errors
    /// As [`least_squares`](Self::least_squares); when there are more than two classes.
    pub fn logistic<T: Element>(
        model: &LinearModel,
        x: MatRef<'_, T>,
        y: &[u32],
        rows: Rows<'_>,
        intercept: bool,
    ) -> Result<Self> {
        let chunk = Chunk { x, y, rows, first_row: 0 };
        let (weights, z) = prepare(model, &chunk)?;
        let probability: Vec<f64> = z.iter().map(|z| 1.0 / (1.0 + (-z).exp())).collect();
        let variance = |i: usize| probability[i] * (1.0 - probability[i]);
        let information: Vec<f64> = (0..y.len()).map(|i| weights[i] * variance(i)).collect();
        let bread = Bread::new(&chunk, &information, intercept)?;
        let log_likelihood = weighted_sum(&weights, &|i| {
            let margin = if y[i] == 1 { z[i] } else { -z[i] };
            margin.min(0.0) - (-margin.abs()).exp().ln_1p()
        });
        let pearson = weighted_sum(&weights, &|i| (f64::from(y[i]) - probability[i]).powi(2) / variance(i));
        let mut out = Self::new(model, bread.matrix()?, intercept, Errors::Classical, Reference::Normal)?;
        out.rows = tilewise_kernels::sum(&weights);
        out.parameters = bread.parameters();
        degrees(out.rows, out.parameters as f64)?;
        (out.log_likelihood, out.deviance, out.pearson) = (log_likelihood, -2.0 * log_likelihood, pearson);
        Ok(out)
    }

    /// Of Poisson, gamma, Tweedie or normal regression without penalty.
    ///
    /// # Errors
    /// As [`least_squares`](Self::least_squares).
    pub fn generalised<T: Element>(
        model: &LinearModel,
        distribution: Distribution,
        x: MatRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        intercept: bool,
    ) -> Result<Self> {
        let chunk = Chunk { x, y, rows, first_row: 0 };
        let (weights, z) = prepare(model, &chunk)?;
        let (mut mean, power) = (z.clone(), distribution.power());
        let logarithm = distribution.link() == Link::Log;
        if logarithm {
            exp(&z, &mut mean)?;
        }
        // With the logarithm as link the expected information of a row is mean^2 / variance, without one 1 / variance.
        let of_mean = |mean: f64| if logarithm { mean.powf(2.0 - power) } else { 1.0 };
        let information: Vec<f64> = mean.iter().zip(&weights).map(|(m, w)| w * of_mean(*m)).collect();
        let bread = Bread::new(&chunk, &information, intercept)?;
        let n = tilewise_kernels::sum(&weights);
        let free = degrees(n, bread.parameters() as f64)?;
        let pearson = weighted_sum(&weights, &|i| (y[i] - mean[i]).powi(2) / mean[i].powf(power));
        let half = |i: usize| {
            let (mut loss, mut slope, mut curvature) = ([z[i]], [0.0], [0.0]);
            // Lengths agree, all are 1.
            let done = distribution.losses(&[y[i]], &mut loss, &mut slope, &mut curvature, &mut [0.0]);
            done.map_or(f64::NAN, |()| loss[0] + distribution.constant(y[i]))
        };
        let scale = if distribution == Distribution::Poisson { 1.0 } else { pearson / free };
        let mut covariance = bread.matrix()?;
        covariance.iter_mut().for_each(|v| *v *= scale);
        let mut out = Self::new(model, covariance, intercept, Errors::Classical, Reference::Normal)?;
        (out.rows, out.parameters, out.scale, out.pearson) = (n, bread.parameters(), scale, pearson);
        out.deviance = 2.0 * weighted_sum(&weights, &half);
        if distribution == Distribution::Poisson {
            out.log_likelihood = weighted_sum(&weights, &|i| y[i] * z[i] - mean[i] - ln_factorial(y[i]));
        }
        Ok(out)
    }

    fn new(
        model: &LinearModel,
        covariance: Vec<f64>,
        intercept: bool,
        errors: Errors,
        reference: Reference,
    ) -> Result<Self> {
        let nan = f64::NAN;
        let mut out = Self {
            errors,
            coefficients: Vec::new(),
            intercept,
            rows: nan,
            parameters: 0,
            scale: 1.0,
            log_likelihood: nan,
            r_squared: nan,
            adjusted_r_squared: nan,
            f_statistic: nan,
            f_p_value: nan,
            deviance: nan,
            pearson: nan,
            residuals: None,
            covariance,
            student: matches!(reference, Reference::Student(_)),
        };
        let estimates: Vec<f64> = model.intercepts.iter().chain(&model.coefficients).copied().collect();
        out.judge(&estimates, reference);
        Ok(out)
    }

    /// Fills the coefficients from estimates, intercept first, and the covariance.
    fn judge(&mut self, estimates: &[f64], reference: Reference) {
        let critical = reference.critical();
        let one = |(j, &estimate): (usize, &f64)| {
            let variance = self.covariance[j * (estimates.len() + 1)];
            let standard_error = variance.sqrt();
            let statistic = estimate / standard_error;
            Coefficient {
                estimate,
                standard_error,
                statistic,
                p_value: reference.two_sided(statistic),
                lower: estimate - critical * standard_error,
                upper: estimate + critical * standard_error,
            }
        };
        let skipped = usize::from(!self.intercept);
        self.coefficients = estimates.iter().enumerate().skip(skipped).map(one).collect();
    }

    /// The same for features z_j of which the model's are origin_j + z_j per_unit_j: the units of a table whose columns were
    /// centred and scaled.
    ///
    /// # Errors
    /// When lengths do not fit, or there is no intercept and the origin is not zero, which would need one; after reading from a file.
    pub fn in_units(mut self, origin: &[f64], per_unit: &[f64]) -> Result<Self> {
        let first = usize::from(self.intercept);
        let p = self.coefficients.len() - first;
        same("origin against features", p, origin.len())?;
        same("units against features", p, per_unit.len())?;
        same("covariance against coefficients", (p + 1) * (p + 1), self.covariance.len())?;
        if !self.intercept && origin.iter().any(|o| *o != 0.0) {
            return Err(Error::Fit(
                "features that are centred without an intercept have no units of their own".into(),
            ));
        }
        let mut estimates: Vec<f64> = vec![0.0; p + 1];
        estimates[1 - first..].iter_mut().zip(&self.coefficients).for_each(|(e, c)| *e = c.estimate);
        estimates[0] += origin.iter().zip(&estimates[1..]).map(|(o, b)| o * b).sum::<f64>();
        shift_intercept(&mut self.covariance, origin)?;
        for (j, unit) in per_unit.iter().enumerate() {
            estimates[j + 1] *= unit;
            let q = p + 1;
            (0..q).for_each(|k| self.covariance[(j + 1) * q + k] *= unit);
            (0..q).for_each(|k| self.covariance[k * q + j + 1] *= unit);
        }
        let free = self.rows - self.parameters as f64;
        let reference = if self.student { Reference::Student(free) } else { Reference::Normal };
        self.judge(&estimates, reference);
        Ok(self)
    }

    /// Degrees of freedom of the residuals.
    pub fn residual_df(&self) -> f64 {
        self.rows - self.parameters as f64
    }

    /// Akaike's criterion: 2 coefficients - 2 log likelihood.
    pub fn aic(&self) -> f64 {
        2.0 * self.parameters as f64 - 2.0 * self.log_likelihood
    }

    /// Schwarz's criterion: ln(rows) coefficients - 2 log likelihood.
    pub fn bic(&self) -> f64 {
        self.rows.ln() * self.parameters as f64 - 2.0 * self.log_likelihood
    }
}

/// Checked weights, and the linear predictor of each row.
fn prepare<T: Element, Y: Copy + Sync>(
    model: &LinearModel,
    chunk: &Chunk<'_, T, Y>,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let (n, p) = (chunk.x.rows(), chunk.x.cols());
    check_shape(n, p)?;
    chunk.check()?;
    same("features of the model", p, model.coefficients.len())?;
    same("linear predictors", 1, model.intercepts.len())?;
    let mut z: Vec<f64> = (0..n).map(|i| model.intercepts[0] + chunk.offset(i)).collect();
    let step = crate::block::block_rows::<f64>(p);
    parallel::for_each_chunk_mut(&mut z, step, |piece, z| {
        let mut scratch = Vec::new();
        let rows = chunk.x.row_range(piece * step..piece * step + z.len());
        let done = T::widen(rows, &mut scratch)
            .and_then(|x| Ok(tilewise_kernels::gemv(1.0, x, &model.coefficients, 1.0, z)?));
        if done.is_err() {
            z.fill(f64::NAN);
        }
    });
    if z.iter().any(|z| !z.is_finite()) {
        return Err(chunk.not_finite());
    }
    Ok(((0..n).map(|i| chunk.weight(i)).collect(), z))
}

/// Sum of weight x f(row), a row without weight left out.
fn weighted_sum(weights: &[f64], f: &(dyn Fn(usize) -> f64 + Sync)) -> f64 {
    let leaf = |range: std::ops::Range<usize>| {
        range.map(|i| if weights[i] == 0.0 { 0.0 } else { weights[i] * f(i) }).sum::<f64>()
    };
    parallel::map_reduce(weights.len(), 4096, leaf, |a, b| a + b).unwrap_or(0.0)
}

/// Rows less coefficients.
fn degrees(rows: f64, parameters: f64) -> Result<f64> {
    let free = rows - parameters;
    check_not_negative("rows", rows)?;
    if free <= 0.0 {
        let what = format!(
            "{rows} rows leave no freedom to {parameters} coefficients: standard errors need more rows"
        );
        return Err(Error::Fit(what));
    }
    Ok(free)
}

/// b^T V^-1 b of the features.
fn wald(covariance: &[f64], b: &[f64]) -> Result<f64> {
    let (p, q) = (b.len(), b.len() + 1);
    let slopes: Vec<f64> = (0..p).flat_map(|i| covariance[(i + 1) * q + 1..(i + 2) * q].to_vec()).collect();
    // Without a regular covariance there is no such test.
    let Some(factor) = crate::cholesky::Cholesky::new(&slopes, p, 1e-14)? else { return Ok(f64::NAN) };
    let mut solved = b.to_vec();
    factor.solve(&mut solved);
    Ok(tilewise_kernels::dot(&solved, b)?)
}
