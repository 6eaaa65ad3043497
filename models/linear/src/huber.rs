//! Robust regression by Huber's loss: rows far from the line pull as hard as those at the threshold, and no harder (Huber, "Robust
//! estimation of a location parameter", 1964).
//!
//! Minimises sum of w_i h(y_i - offset_i - x_i b - a) / sum of w + alpha (l1_ratio |b|_1 + (1 - l1_ratio) / 2 |b|^2), h(r) being r^2 / 2 up
//! to the threshold t and t |r| - t^2 / 2 beyond it; the intercept a is not penalised. The report's `objective` is this, and `optimality`
//! the largest entry of its gradient (KKT residual), as in [`Generalised`](crate::Generalised). The threshold is in the units of the
//! target: scikit-learn's `HuberRegressor` is this with t = epsilon x `scale_` and alpha = its alpha x `scale_` / rows.
//!
//! Method: as sparse models (`sparse.rs`), with the curvature t / |r| beyond the threshold, which keeps the quadratic model above the loss
//! (iteratively reweighted least squares: every full step descends), where the true one, zero, would leave steps without bound.

use serde::{Deserialize, Serialize};

/// Parameters of robust regression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Huber {
    /// Residuals up to this are squared; above 0, in the units of the target.
    pub threshold: f64,
    /// Weight of the penalty.
    pub alpha: f64,
    /// Share of |b|_1 in the penalty, from 0 to 1.
    pub l1_ratio: f64,
    /// Whether to fit an intercept.
    pub intercept: bool,
    /// The fit has converged when no entry of the gradient, for features scaled to deviation 1, is larger.
    pub tolerance: f64,
    /// Passes over the data after which the fit ends with a warning.
    pub max_rounds: u64,
}

impl Default for Huber {
    /// A threshold of 1.345, which loses 5 % of efficiency where errors are normal with deviation 1.
    fn default() -> Self {
        Self {
            threshold: 1.345,
            alpha: 0.0,
            l1_ratio: 0.0,
            intercept: true,
            tolerance: 1e-8,
            max_rounds: 10_000,
        }
    }
}
