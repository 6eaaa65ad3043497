//! Regression of a quantile: the plane with a share of the rows below it (Koenker, Bassett, "Regression quantiles", 1978).
//!
//! Minimises sum of w_i h(y_i - offset_i - x_i b - a) / sum of w + alpha |b|_1, h(r) being tau r above zero and (tau - 1) r below it, as
//! scikit-learn's `QuantileRegressor` does; the intercept a is not penalised. The report's `objective` is this, and `optimality` a duality
//! gap: the objective less what a point of the dual says that no plane can be below.
//!
//! It is a linear programme, whose dual has a number for each row, between bounds: sum of d_i (y_i - offset_i) is largest where the d_i, from
//! -(1 - tau) w_i / sum of w to tau w_i / sum of w, are orthogonal to the intercept, and to the columns up to alpha. Method: the interior points
//! of Portnoy, Koenker ("The Gaussian hare and the Laplacian tortoise", 1997), with Mehrotra's predictor and corrector: a round makes one weighted
//! Gram matrix of the features, factors it, and reads the rows four times besides (`quantile/interior.rs`). A penalty is a line more for each
//! coefficient. Where as many lines as there are coefficients are met at the end, and no fewer, the plane through them is the answer, exactly, and
//! penalised coefficients are zeros (`quantile/vertex.rs`). Otherwise several planes may be as good, and it is one between them.

use crate::moments::{Moments, Second};
use crate::rows::{check_not_negative, check_shape};
use crate::{Chunk, Element, LinearModel, Link, Rows};
use serde::{Deserialize, Serialize};
use tilewise_base::{Context, Error, Fit, FitReport, Result};
use tilewise_kernels::MatRef;

mod interior;
mod lines;
mod vertex;

use lines::Lines;

/// Columns whose Gram matrix, of which each leaf of rows that is worked on has one, takes half a gigabyte.
const MOST_COLUMNS: usize = 8192;

/// Gap of a vertex that is taken though the solver told a smaller one: rounding, as a share of the objective at the start.
const EXACT: f64 = 1e-13;

/// Parameters of quantile regression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantile {
    /// Share of the rows below the plane, between 0 and 1.
    pub quantile: f64,
    /// Weight of the penalty |b|_1.
    pub alpha: f64,
    /// Whether to fit an intercept.
    pub intercept: bool,
    /// The fit has converged when the duality gap, as a share of the objective of the best plane without slope at the target's mean, is no
    /// larger.
    pub tolerance: f64,
    /// Rounds after which the fit ends with a warning.
    pub max_rounds: u64,
}

impl Default for Quantile {
    /// The median, without penalty.
    fn default() -> Self {
        Self { quantile: 0.5, alpha: 0.0, intercept: true, tolerance: 1e-8, max_rounds: 200 }
    }
}

impl Quantile {
    /// Fits the rows of `x` to the numbers `y`.
    ///
    /// Memory for some ten numbers for each row, and for (features + 1)^2 numbers in each leaf of rows that is worked on.
    ///
    /// # Errors
    /// When a parameter is out of range, shapes do not fit, there are no rows or features, or more than 8192 features, no row has a weight, or a number is NaN or
    /// infinite (named by row and feature); when the fit was cancelled before its first round was done.
    pub fn fit<T: Element>(
        &self,
        x: MatRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        context: &Context<'_>,
    ) -> Result<Fit<LinearModel>> {
        self.check()?;
        check_shape(x.rows(), x.cols())?;
        if x.cols() > MOST_COLUMNS {
            let what = format!(
                "{} features are too many: quantile regression factors a matrix of all, of {MOST_COLUMNS} at most",
                x.cols()
            );
            return Err(Error::Fit(what));
        }
        let chunk = Chunk { x, y, rows, first_row: 0 };
        chunk.check()?;
        if let Some(i) = y.iter().position(|y| !y.is_finite()) {
            return Err(chunk.bad(i, "target", "targets are finite"));
        }
        let targets = |i: usize| y[i] - chunk.offset(i);
        let moments = Moments::of(&chunk, Second::Squares, |rows| rows.map(targets).collect())?;
        if moments.weight <= 0.0 {
            return Err(Error::Fit("all weights are zero; at least one row must count".into()));
        }
        let mut lines = Lines::new(self, chunk, &moments);
        let Some(first) = lines.value() else {
            return Err(Error::Fit("targets are so large that their sum overflows; scale them down".into()));
        };
        let mut report = FitReport { converged: true, ..FitReport::default() };
        let gap = if first == 0.0 {
            report.stopped = "all targets are on one plane without slope".into();
            0.0
        } else {
            let solved = interior::solve(&mut lines, self, context)?;
            report.rounds = solved.rounds;
            let enough = self.tolerance * first;
            let gap = vertex::finish(&mut lines, solved.gap, EXACT * first)?;
            let (found, wanted) = (gap * lines.unit, enough * lines.unit);
            match solved.stopped {
                _ if gap <= enough => {
                    report.stopped = format!("duality gap {found:.1e} is within the tolerance {wanted:.1e}");
                }
                why => {
                    report.converged = false;
                    report.warnings.push(format!(
                        "did not converge: {why} with duality gap {found:.1e} above the tolerance {wanted:.1e}"
                    ));
                    report.stopped = why;
                }
            }
            gap
        };
        let (coefficients, intercept) = lines.model();
        report.objective = lines.objective(&coefficients, intercept)?;
        report.optimality = gap * lines.unit;
        let model = LinearModel { coefficients, intercepts: vec![intercept], link: Link::Identity };
        let numbers = model.coefficients.iter().chain(&model.intercepts).chain([&report.objective]);
        if numbers.into_iter().any(|w| !w.is_finite()) {
            return Err(Error::Fit("the solution overflows; scale the features or the target".into()));
        }
        Ok(Fit { model, report })
    }

    fn check(&self) -> Result<()> {
        if !(self.quantile > 0.0 && self.quantile < 1.0) {
            return Err(Error::parameter("quantile", self.quantile, "expected a number between 0 and 1"));
        }
        check_not_negative("alpha", self.alpha)?;
        check_not_negative("tolerance", self.tolerance)
    }
}
