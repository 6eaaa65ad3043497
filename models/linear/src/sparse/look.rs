//! A look at all rows: the objective at a point, and what a minimum still asks of it.

use super::by_rows::{ByRows, inner};
use super::loss::Losses;
use super::problem::Problem;
use crate::optimality::{residual, residual_nearby};
use tilewise_base::Result;
use tilewise_kernels::{Float, sum};

/// What is told of a point. Losses have one linear predictor.
pub(crate) struct Look {
    /// Linear predictors of the rows.
    pub(crate) z: Vec<f64>,
    pub(crate) losses: Losses,
    /// X^T of the losses' slopes.
    pub(crate) gradient: Vec<f64>,
    /// The objective.
    pub(crate) value: f64,
    /// The largest entry of its gradient, of columns about their means scaled to deviation 1; and of the columns as they are.
    pub(crate) norm: f64,
    pub(crate) optimality: f64,
}

impl Look {
    pub(crate) fn at<T: Float>(
        problem: &Problem<'_>,
        by: &mut ByRows<'_, T>,
        b: &[f64],
        intercept: f64,
    ) -> Result<Self> {
        let z = predictors(problem, by, b, intercept);
        let losses = problem.answers.at(&z)?;
        Ok(Self::of(problem, by, b, z, losses))
    }

    /// Of squares at the best intercept, by how far that is from the one given.
    pub(crate) fn at_best_intercept<T: Float>(
        problem: &Problem<'_>,
        by: &mut ByRows<'_, T>,
        b: &[f64],
        intercept: f64,
    ) -> Result<(Self, f64)> {
        let mut z = predictors(problem, by, b, intercept);
        let shift = -sum(&problem.answers.at(&z)?.slope);
        z.iter_mut().for_each(|z| *z += shift);
        let losses = problem.answers.at(&z)?;
        Ok((Self::of(problem, by, b, z, losses), shift))
    }

    /// Norm and optimality of a point that is only near a minimum: continuous where coefficients come to zero.
    pub(crate) fn nearby(&self, problem: &Problem<'_>, b: &[f64]) -> (f64, f64) {
        let slope_of_intercept = if problem.intercept { sum(&self.losses.slope) } else { 0.0 };
        let (mut norm, mut optimality) = (slope_of_intercept.abs(), slope_of_intercept.abs());
        for (j, b) in b.iter().enumerate() {
            let (slope, deviation) = (self.gradient[j] + problem.l2 * b, problem.deviation[j]);
            let length = 1.0 / (problem.answers.loss.steepest() * deviation * deviation);
            let far = |slope: f64| residual_nearby(slope, *b, problem.l1, length);
            optimality = optimality.max(far(slope));
            norm = norm.max(far(slope - problem.mean[j] * slope_of_intercept) / deviation);
        }
        (norm, optimality)
    }

    fn of<T: Float>(
        problem: &Problem<'_>,
        by: &mut ByRows<'_, T>,
        b: &[f64],
        z: Vec<f64>,
        losses: Losses,
    ) -> Self {
        let gradient = by.transposed(&losses.slope);
        let of_penalty: f64 = b.iter().map(|b| problem.l1 * b.abs() + 0.5 * problem.l2 * b * b).sum();
        let value = losses.value + of_penalty;
        let slope_of_intercept = if problem.intercept { sum(&losses.slope) } else { 0.0 };
        let (mut norm, mut optimality) = (slope_of_intercept.abs(), slope_of_intercept.abs());
        for (j, b) in b.iter().enumerate() {
            let slope = gradient[j] + problem.l2 * b;
            optimality = optimality.max(residual(slope, *b, problem.l1));
            // Of columns about their means, as for the other solvers.
            let about = slope - problem.mean[j] * slope_of_intercept;
            norm = norm.max(residual(about, *b, problem.l1) / problem.deviation[j]);
        }
        Self { z, losses, gradient, value, norm, optimality }
    }
}

fn predictors<T: Float>(problem: &Problem<'_>, by: &ByRows<'_, T>, b: &[f64], intercept: f64) -> Vec<f64> {
    let x = by.view();
    (0..x.rows()).map(|i| inner(x.line(i), b) + intercept + problem.offset(i)).collect()
}
