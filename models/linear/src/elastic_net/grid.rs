//! Fits for a falling series of penalties, each from the one before (warm starts).

use super::{ElasticNet, Problem, Stop};
use crate::{Chunk, Element, LinearModel, Rows};
use tilewise_base::{Context, Error, FitReport, Result};
use tilewise_kernels::MatRef;

/// Weights of the penalty to try.
#[derive(Clone, Debug, PartialEq)]
pub enum Alphas {
    /// These, above 0.
    Given(Vec<f64>),
    /// `count` values in equal ratios, from the smallest that leaves no coefficient down to `ratio` of it.
    Falling {
        /// How many, 1 or more.
        count: usize,
        /// The last over the first, above 0 and at most 1.
        ratio: f64,
    },
}

impl Default for Alphas {
    /// 100 from the largest down to a thousandth, as in glmnet and scikit-learn.
    fn default() -> Self {
        Self::Falling { count: 100, ratio: 1e-3 }
    }
}

/// One fit of a path.
#[derive(Clone, Debug)]
pub struct PathStep {
    /// Weight of the penalty.
    pub alpha: f64,
    /// The model.
    pub model: LinearModel,
    /// How the fit went.
    pub report: FitReport,
}

impl Alphas {
    /// The values, falling.
    pub(super) fn values(&self, params: &ElasticNet, problem: &Problem<'_>) -> Result<Vec<f64>> {
        self.below(|| {
            if params.l1_ratio == 0.0 {
                let what = "a path needs l1_ratio above 0, or alphas that are given: without |b|_1 no penalty makes all \
                            coefficients zero";
                return Err(Error::parameter("l1_ratio", 0, what));
            }
            let strength = |pull: f64| params.penalty(1.0).strength(pull);
            let pulls = problem.design.cross().iter();
            Ok(pulls.fold(0.0f64, |m, c| m.max(strength(*c))) / params.l1_ratio)
        })
    }

    /// The same; `largest` tells where falling ones begin.
    pub(crate) fn below(&self, largest: impl FnOnce() -> Result<f64>) -> Result<Vec<f64>> {
        match self {
            Self::Given(values) => {
                if values.is_empty() {
                    return Err(Error::parameter("alphas", "none", "expected one number above 0 at least"));
                }
                if let Some(bad) = values.iter().find(|a| !(a.is_finite() && **a > 0.0)) {
                    return Err(Error::parameter("alphas", bad, "expected finite numbers above 0"));
                }
                let mut values = values.clone();
                values.sort_by(|a, b| b.total_cmp(a));
                values.dedup();
                Ok(values)
            }
            Self::Falling { count, ratio } => {
                if *count == 0 {
                    return Err(Error::parameter("alphas", count, "expected one at least"));
                }
                if !(*ratio > 0.0 && *ratio <= 1.0) {
                    return Err(Error::parameter(
                        "ratio of alphas",
                        ratio,
                        "expected a number above 0 and at most 1",
                    ));
                }
                let largest = largest()?;
                // A constant target, or columns that have nothing to do with it.
                let largest = if largest > 0.0 { largest } else { 1.0 };
                let step = |i: usize| ratio.powf(i as f64 / (count - 1).max(1) as f64);
                Ok((0..*count).map(|i| largest * step(i)).collect())
            }
        }
    }
}

impl ElasticNet {
    /// Fits for all of `alphas`, the largest first; `self.alpha` plays no part. Each starts from the one before. Ends early, with
    /// the fits that were done, when cancelled.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); when `alphas` are not what they must be, or `l1_ratio` is 0 and they are not given.
    pub fn path<T: Element>(
        &self,
        x: MatRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        alphas: &Alphas,
        context: &Context<'_>,
    ) -> Result<Vec<PathStep>> {
        Self { alpha: 1.0, ..self.clone() }.check()?;
        let problem = self.problem(&Chunk { x, y, rows, first_row: 0 }, true)?;
        let alphas = alphas.values(self, &problem)?;
        let mut steps = Vec::with_capacity(alphas.len());
        let mut start = vec![0.0; x.cols()];
        for (done, &alpha) in alphas.iter().enumerate() {
            let solution = problem.solve(self, alpha, start, &mut |_, _| !context.cancelled())?;
            if solution.stop == Stop::Cancelled {
                break;
            }
            start = solution.coefficients.clone();
            let fit = problem.fit(self, solution)?;
            let note = format!("alpha {alpha:.3e}, loss {:.6}", fit.report.objective);
            context.progress.round(done as u64 + 1, alphas.len() as u64, &note);
            steps.push(PathStep { alpha, model: fit.model, report: fit.report });
        }
        if steps.is_empty() { Err(Error::Cancelled) } else { Ok(steps) }
    }
}
