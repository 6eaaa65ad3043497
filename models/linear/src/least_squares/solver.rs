//! How least squares are solved, where that is not left to the shape.

use super::lsqr::Lsqr;
use super::{LeastSquares, LeastSquaresTrainer, Stage};
use crate::Element;
use crate::moments::Second;
use crate::residual::Residual;
use serde::{Deserialize, Serialize};
use tilewise_base::{Error, Result};

/// How the objective is minimised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeastSquaresSolver {
    /// By shape and condition: normal equations, the triangle of the rows where these are nearly singular, singular values where that is
    /// singular, products of rows where rows are fewer than columns. With bounds, coordinate descent. Sparse rows: conjugate gradients.
    #[default]
    Auto,
    /// Normal equations and refinement by the true residual where they are ill conditioned. Memory for columns^2 numbers. Columns that
    /// depend on each other without penalty are an error, but those of categories, which are allowed for.
    Cholesky,
    /// The triangle of the rows, from which the solution is corrected once; the solution of least norm where columns depend on each other or
    /// rows are fewer, by singular values. Memory for columns^2 numbers.
    Qr,
    /// The solution of least norm by singular values of the rows' triangle, always; the slowest, columns^3 times some twenty.
    Svd,
    /// LSQR, a pass over the rows for each step (`least_squares/lsqr.rs`): the solution of least norm in memory for a few numbers of each
    /// column. Steps are fewer the better columns are conditioned, so standardise them; they are counted as rounds. Where sizes of columns differ
    /// by 10^7 and more its criterion, a backward error, may hold though the objective could be much less; that is a warning. That columns depend
    /// on each other is none: their rank is not learned. Takes sparse rows.
    Lsqr,
}

impl LeastSquaresSolver {
    /// As parameters and errors have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cholesky => "cholesky",
            Self::Qr => "qr",
            Self::Svd => "svd",
            Self::Lsqr => "lsqr",
        }
    }

    /// Files of models that leave it to the shape stay what they were before there was a choice.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    pub(crate) fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

impl LeastSquares {
    /// What the first pass gathers besides means. `wide` where products of all columns are more than is wanted.
    pub(super) fn gathered(&self, wide: bool) -> Second {
        match self.solver {
            LeastSquaresSolver::Auto if wide => Second::None,
            LeastSquaresSolver::Auto | LeastSquaresSolver::Cholesky => Second::Gram,
            LeastSquaresSolver::Qr | LeastSquaresSolver::Svd | LeastSquaresSolver::Lsqr => Second::Squares,
        }
    }

    /// Refuses a solver that knows no bounds, where there are any.
    pub(super) fn check_solver(&self) -> Result<()> {
        if self.is_bounded() && !self.solver.is_auto() {
            let what = "it knows no bounds of coefficients, which are solved by coordinate descent; expected auto, or no bounds";
            return Err(Error::parameter("solver", self.solver.name(), what));
        }
        Ok(())
    }

    /// That normal equations are singular.
    pub(super) fn singular(&self) -> Error {
        let what = if self.l2 > 0.0 {
            "columns depend on each other to rounding, and l2 is too small to tell them apart; auto, qr, svd and lsqr take such, or a larger l2"
        } else {
            "columns depend on each other, or rows are fewer than columns: the normal equations are singular; auto, qr, svd and lsqr find \
             the solution of least norm, or l2 above 0"
        };
        Error::parameter("solver", self.solver.name(), what)
    }
}

impl<T: Element> LeastSquaresTrainer<T> {
    /// Goes on to the triangle of the rows or LSQR, with the sums of squares of columns or nothing.
    pub(super) fn go_without_products(&mut self, squares: &[f64]) {
        let m = &self.moments;
        let about_zero = if self.params.intercept { 0.0 } else { m.weight };
        let squares = squares.iter().zip(&m.mean).map(|(square, mean)| square + about_zero * mean * mean);
        if self.params.solver == LeastSquaresSolver::Lsqr {
            self.stage = Stage::Lsqr(Box::new(Lsqr::new(&squares.collect::<Vec<_>>(), self.params.l2)));
            return;
        }
        let idle: Vec<bool> = squares.map(|square| square == 0.0).collect();
        if self.params.l2 == 0.0 && !idle.is_empty() {
            // Levels without rows and those that add up to one are no reason for a warning.
            self.categories.leave_out(&m.mean, &idle);
        }
        self.stage = Stage::Triangle;
    }

    /// A round of LSQR.
    pub(super) fn bidiagonalise(&mut self, mut lsqr: Box<Lsqr>, residual: &Residual) -> Result<()> {
        let outcome = lsqr.advance(residual)?;
        self.solution = lsqr.solution();
        let Some(outcome) = outcome else {
            // Until the rows have told the true ones.
            if let Some(estimate) = lsqr.estimate() {
                self.report.objective = estimate / self.moments.weight;
            }
            self.report.optimality = f64::NAN;
            self.stage = Stage::Lsqr(lsqr);
            return Ok(());
        };
        self.correct(residual)?;
        self.report.converged = outcome.converged;
        self.report.stopped = outcome.stopped;
        self.report.warnings.extend(outcome.warning);
        Ok(())
    }
}
