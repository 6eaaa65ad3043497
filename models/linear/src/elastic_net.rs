//! Lasso and elastic net: least squares with a penalty that makes coefficients zero.
//!
//! Minimises sum of w_i (y_i - offset_i - x_i b - a)^2 / (2 sum of w) + alpha (l1_ratio |b|_1 + (1 - l1_ratio) / 2 |b|^2),
//! as scikit-learn's `ElasticNet` does; the intercept a is not penalised. The report's `objective` is this, and
//! `optimality` its duality gap: the objective is at most so far above its minimum (`penalty.rs`).
//!
//! Method: coordinate descent on a working set of columns (`working_set.rs`, `descent.rs`), on one of two views of the
//! data (`design.rs`, `in_place.rs`). Where rows are many, one pass gathers the products of all columns and the rows are not looked at
//! again: a path of penalties, or all folds of a cross-validation, cost no pass more. Where columns are many they are copied,
//! one behind the other, and read as often as needed.

use crate::moments::{Moments, Second};
use crate::rows::{check_not_negative, check_shape};
use crate::{Chunk, Element, LinearModel, Link, Rows};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tilewise_base::{Context, Error, Fit, FitReport, Result, Sparse};
use tilewise_kernels::MatRef;

pub(crate) mod choice;
mod descent;
pub(crate) mod design;
mod grid;
mod in_place;
pub(crate) mod penalty;
pub(crate) mod working_set;

pub use choice::Choice;
pub use grid::{Alphas, PathStep};

use design::{Columns, Design, Products};
use in_place::InPlace;
use penalty::{Certificate, Penalty};
use working_set::{Solution, Stop};

/// Columns up to which `Auto` gathers all products for one fit: at 10,000 x 1,000 that took 0.067 s, and working sets of 126
/// columns of a copy 0.049 s (where rows are left in place less still).
const PRODUCTS: usize = 256;

/// The same for many fits on the same rows.
const PRODUCTS_OF_MANY: usize = 2048;

/// How the objective is minimised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ElasticNetSolver {
    /// `Gram` for at most 256 columns (2048 for paths and cross-validation) and as many rows at least, else `WorkingSet`.
    #[default]
    Auto,
    /// On the products of all columns: one pass over the rows, memory for columns x columns numbers.
    Gram,
    /// Products of those columns only that may count. A path and cross-validation copy all columns, once; a single fit leaves rows
    /// where they lie.
    WorkingSet,
    /// Steps by single rows that are drawn (`sparse/saga.rs`), for very many rows where columns are scaled alike; else the others are faster.
    /// One fit, without `standardise` and `positive`, of rows in memory; dense rows are copied. A round is as many steps as there are rows.
    Saga,
}

/// Parameters of lasso and elastic net.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ElasticNet {
    /// Weight of the penalty, above 0.
    pub alpha: f64,
    /// Share of |b|_1 in the penalty, from 0 (ridge) to 1 (lasso).
    pub l1_ratio: f64,
    /// Whether to fit an intercept.
    pub intercept: bool,
    /// Penalise coefficients as if columns had deviation 1. Nothing is copied for it, and coefficients stay in the units of
    /// the columns.
    pub standardise: bool,
    /// No coefficient is below 0.
    #[serde(default, skip_serializing_if = "is_false")]
    pub positive: bool,
    /// How the objective is minimised.
    pub solver: ElasticNetSolver,
    /// The fit has converged when the duality gap is at most this share of the objective of zero coefficients.
    pub tolerance: f64,
    /// Looks at all columns after which the fit ends with a warning.
    pub max_rounds: u64,
}

/// Files of models of any sign stay what they were before there were others.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(positive: &bool) -> bool {
    !positive
}

impl Default for ElasticNet {
    fn default() -> Self {
        Self {
            alpha: 1.0,
            l1_ratio: 1.0,
            intercept: true,
            standardise: false,
            positive: false,
            solver: ElasticNetSolver::Auto,
            tolerance: 1e-8,
            max_rounds: 1000,
        }
    }
}

impl ElasticNet {
    /// Fits the rows of `x` to the numbers `y`.
    ///
    /// # Errors
    /// When a parameter is out of range, shapes do not fit, there are no rows or features, no row has a weight, or a number is NaN or
    /// infinite (named by row and feature).
    pub fn fit<T: Element>(
        &self,
        x: MatRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        context: &Context<'_>,
    ) -> Result<Fit<LinearModel>> {
        if self.solver == ElasticNetSolver::Saga {
            return self.fit_sparse(Sparse::of_dense(x)?.view(), y, rows, context);
        }
        self.check()?;
        let problem = self.problem(&Chunk { x, y, rows, first_row: 0 }, false)?;
        let start = vec![0.0; x.cols()];
        let mut go_on = |round, certificate: &Certificate| {
            let note = format!("loss {:.6}, gap {:.1e}", certificate.objective, certificate.gap);
            context.progress.round(round, self.max_rounds, &note);
            !context.cancelled()
        };
        let solution = problem.solve(self, self.alpha, start, &mut go_on)?;
        problem.fit(self, solution)
    }

    pub(crate) fn check(&self) -> Result<()> {
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            let accepted = "expected a finite number above 0; LeastSquares has no penalty";
            return Err(Error::parameter("alpha", self.alpha, accepted));
        }
        if !(0.0..=1.0).contains(&self.l1_ratio) {
            return Err(Error::parameter("l1_ratio", self.l1_ratio, "expected a number from 0 to 1"));
        }
        check_not_negative("tolerance", self.tolerance)
    }

    fn penalty(&self, alpha: f64) -> Penalty {
        let positive = self.positive;
        Penalty { l1: alpha * self.l1_ratio, l2: alpha * (1.0 - self.l1_ratio), positive }
    }

    /// Whether products of all columns are gathered, by shape alone and whether there are many fits.
    fn gathers(&self, rows: usize, features: usize, many: bool) -> bool {
        match self.solver {
            ElasticNetSolver::Auto => features <= rows.min(if many { PRODUCTS_OF_MANY } else { PRODUCTS }),
            ElasticNetSolver::Gram => true,
            ElasticNetSolver::WorkingSet | ElasticNetSolver::Saga => false,
        }
    }

    /// Reads the rows.
    fn problem<'a, T: Element>(&self, chunk: &Chunk<'a, T, f64>, many: bool) -> Result<Problem<'a>> {
        check_rows(chunk)?;
        if self.solver == ElasticNetSolver::Saga {
            let what = "it fits one penalty; auto, gram and working-set fit many on the same rows";
            return Err(Error::parameter("solver", "saga", what));
        }
        let (n, p) = (chunk.x.rows(), chunk.x.cols());
        if self.gathers(n, p, many) {
            let moments = Moments::of(chunk, Second::Gram, |rows| targets(chunk, rows))?;
            return Problem::of_moments(self, &moments);
        }
        if !many {
            let design = InPlace::new(chunk, self.intercept, self.standardise)?;
            let (mean, target_mean, scale) = (design.mean.clone(), design.target_mean, design.scale.clone());
            return Ok(Problem { design: Box::new(design), mean, target_mean, scale });
        }
        let weights = chunk.rows.weights.map_or_else(|| vec![1.0; n], <[f64]>::to_vec);
        Problem::of_columns(self, chunk, &weights)
    }
}

/// What can be wrong with rows before they are read.
pub(crate) fn check_rows<T: Element>(chunk: &Chunk<'_, T, f64>) -> Result<()> {
    check_shape(chunk.x.rows(), chunk.x.cols())?;
    chunk.check()?;
    match chunk.y.iter().position(|y| !y.is_finite()) {
        Some(i) => Err(chunk.bad(i, "target", "targets are finite")),
        None => Ok(()),
    }
}

/// Targets with their offsets taken off.
pub(crate) fn targets<T>(chunk: &Chunk<'_, T, f64>, rows: Range<usize>) -> Vec<f64> {
    let mut targets = chunk.y[rows.clone()].to_vec();
    if let Some(offset) = chunk.rows.offset {
        targets.iter_mut().zip(&offset[rows]).for_each(|(y, o)| *y -= o);
    }
    targets
}

/// The rows as coordinate descent sees them, and the way back.
struct Problem<'a> {
    design: Box<dyn Design + 'a>,
    mean: Vec<f64>,
    target_mean: f64,
    scale: Vec<f64>,
}

impl Problem<'_> {
    fn of_moments(params: &ElasticNet, moments: &Moments) -> Result<Self> {
        if moments.weight <= 0.0 {
            return Err(design::no_weight());
        }
        let p = moments.mean.len();
        let deviation = |j: usize| {
            let about_mean = if params.intercept { 0.0 } else { moments.mean[j].powi(2) };
            (moments.second[j * (p + 1)] / moments.weight + about_mean).sqrt()
        };
        let scale: Vec<f64> = (0..p)
            .map(|j| if params.standardise && deviation(j) > 0.0 { deviation(j) } else { 1.0 })
            .collect();
        let design = Box::new(Products::new(moments, params.intercept, &scale)?);
        Ok(Self { design, mean: moments.mean.clone(), target_mean: moments.target_mean, scale })
    }

    /// `weights` are those of the rows that count; the others have 0.
    fn of_columns<T: Element>(
        params: &ElasticNet,
        chunk: &Chunk<'_, T, f64>,
        weights: &[f64],
    ) -> Result<Self> {
        if !weights.iter().any(|w| *w > 0.0) {
            return Err(design::no_weight());
        }
        let targets = targets(chunk, 0..chunk.x.rows());
        let columns = Columns::new(chunk, &targets, weights, params.intercept, params.standardise)?;
        let (mean, target_mean, scale) = (columns.mean.clone(), columns.target_mean, columns.scale.clone());
        Ok(Self { design: Box::new(columns), mean, target_mean, scale })
    }

    fn solve(
        &self,
        params: &ElasticNet,
        alpha: f64,
        start: Vec<f64>,
        go_on: &mut dyn FnMut(u64, &Certificate) -> bool,
    ) -> Result<Solution> {
        let enough = self.enough(params);
        working_set::solve(&*self.design, params.penalty(alpha), start, enough, params.max_rounds, go_on)
    }

    /// The gap that is small enough.
    fn enough(&self, params: &ElasticNet) -> f64 {
        params.tolerance * 0.5 * self.design.target_square()
    }

    /// Coefficients in the units of the columns, and the intercept.
    fn model(&self, params: &ElasticNet, coefficients: &[f64]) -> LinearModel {
        let coefficients: Vec<f64> = coefficients.iter().zip(&self.scale).map(|(b, s)| b / s).collect();
        let shift: f64 = coefficients.iter().zip(&self.mean).map(|(b, m)| b * m).sum();
        let intercept = if params.intercept { self.target_mean - shift } else { 0.0 };
        LinearModel { coefficients, intercepts: vec![intercept], link: Link::Identity }
    }

    fn fit(&self, params: &ElasticNet, solution: Solution) -> Result<Fit<LinearModel>> {
        let model = self.model(params, &solution.coefficients);
        if model.coefficients.iter().chain(&model.intercepts).any(|b| !b.is_finite()) {
            return Err(Error::Fit("the solution overflows; scale the features or the target".into()));
        }
        Ok(Fit { report: report(&solution, self.enough(params), params.max_rounds), model })
    }
}

/// What is told of a fit.
pub(crate) fn report(solution: &Solution, enough: f64, max_rounds: u64) -> FitReport {
    let Certificate { objective, gap, .. } = solution.certificate;
    let (gap, converged) = (gap.max(0.0), solution.stop == Stop::Converged);
    let stopped = match solution.stop {
        Stop::Converged => format!("duality gap {gap:.1e} is within the tolerance {enough:.1e}"),
        Stop::Rounding => "neither objective nor duality gap falls any more: what is left is rounding".into(),
        Stop::Rounds => format!("the limit of {max_rounds} rounds was reached"),
        Stop::Cancelled => "interrupted".into(),
    };
    let mut warnings = Vec::new();
    if !converged {
        warnings.push(format!(
            "did not converge: {stopped}; duality gap {gap:.1e} is above the tolerance {enough:.1e}"
        ));
    }
    FitReport { converged, stopped, objective, optimality: gap, rounds: solution.rounds, warnings }
}
