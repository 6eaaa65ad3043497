//! Stochastic descent on the objectives of families, which weigh their penalty beside a mean of losses or beside a sum.

use crate::{LinearModel, Rows, StochasticDescent, StochasticLoss};
use tilewise_base::{Fit, Result};
use tilewise_kernels::sum;

/// Fits by `fit` with the penalty beside the mean, which is `params` afterwards. Where the penalty stood beside the sum, what is told of squares
/// is not halved, as of least squares.
pub(super) fn fit(
    params: &mut StochasticDescent,
    of_sum: &mut bool,
    rows: Rows<'_>,
    count: usize,
    fit: impl FnOnce(&StochasticDescent) -> Result<Fit<LinearModel>>,
) -> Result<Fit<LinearModel>> {
    let weight = rows.weights.map_or(count as f64, sum);
    let of_sum = std::mem::take(of_sum);
    // No weight at all is for the fit to refuse.
    if of_sum && weight > 0.0 {
        params.alpha /= weight;
    }
    let mut fit = fit(params)?;
    if of_sum && params.loss == StochasticLoss::Squared {
        fit.report.objective *= 2.0;
        fit.report.optimality *= 2.0;
    }
    Ok(fit)
}
