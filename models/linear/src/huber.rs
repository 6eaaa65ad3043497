//! Robust regression by Huber's loss: rows far from the line pull as hard as those at the threshold, and no harder (Huber, "Robust
//! estimation of a location parameter", 1964).
//!
//! Minimises sum of w_i h(y_i - offset_i - x_i b - a) / sum of w + alpha (l1_ratio |b|_1 + (1 - l1_ratio) / 2 |b|^2), h(r) being r^2 / 2 up
//! to the threshold t and t |r| - t^2 / 2 beyond it; the intercept a is not penalised. The threshold is in the units of the target.
//!
//! With `joint_scale` it counts in units of a scale s that is found with the coefficients: sum of w_i (s / 2 + s h(r_i / s)) / sum of w and the
//! same penalty, which is convex in both (Huber's concomitant scale; Owen, "A robust hybrid of lasso and ridge regression", 2007). That is half
//! the objective of scikit-learn's `HuberRegressor` per unit of weight, with t = its epsilon, alpha = its alpha / sum of w, and l1_ratio 0.
//!
//! The report's `objective` is this, and `optimality` the largest entry of its gradient (KKT residual), that of s included, as in
//! [`Generalised`](crate::Generalised).
//!
//! Method, as rounds over the rows: Newton's method (`newton.rs`). Rows beyond the threshold have no curvature, which would leave steps
//! without bound far from the minimum: there they have that of the parabola above their loss, t / |r| (iteratively reweighted least
//! squares, of which every full step descends), and the scale the step of Huber's proposal 2, s sqrt(mean of min(r^2 / s^2, t^2)). Both fade
//! with the gradient, so that steps become Newton's. Sparse matrices, and dense ones of very many columns, are solved as in `sparse.rs`, with
//! the parabolas to the end.

use crate::moments::{Moments, Second};
use crate::newton::Newton;
use crate::optimality::residual;
use crate::rows::{check_not_negative, check_shape};
use crate::stages::{Partial, Stage, Staged, Stages};
use crate::sweep::{Robust, Sweep};
use crate::{Chunk, Element, LinearModel, Link, Rows};
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use tilewise_base::solver::{Accepted, Evaluation, Outcome, Solver};
use tilewise_base::{Context, Error, Fit, Result, Sparse, rounds};
use tilewise_kernels::{MatRef, sum};

/// Columns beyond which a Hessian of all of them (32 MiB for each piece of rows that is worked on) is not made where it can be avoided.
const WIDE: usize = 2048;

/// Columns whose Hessian takes half a gigabyte.
const MOST_COLUMNS: usize = 8192;

/// Gradient at which steps begin to become Newton's, as a share of the largest that a row can give.
const NEAR: f64 = 0.25;

/// The least scale, as a share of the targets' deviation: what is this much smaller counts as an exact fit.
const LEAST_SCALE: f64 = 1e-8;

/// The same as a share of the root mean square of the targets: residuals of less are mostly rounding.
const ROUNDING: f64 = 64.0 * f64::EPSILON;

/// What a step leaves of the scale at least.
const LEAST_SHARE: f64 = 0.1;

/// What a robust fit tells of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Residuals {
    /// Their scale, in the units of the target: 1 where it is given.
    pub scale: f64,
    /// Sum of their weights.
    pub weight: f64,
}

/// Parameters of robust regression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Huber {
    /// Residuals up to this are squared; above 0, in the units of the target, or with `joint_scale` above 1, in units of the scale.
    pub threshold: f64,
    /// Whether to find the scale of the residuals with the coefficients, or to take it for 1.
    pub joint_scale: bool,
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
    /// A given scale, and a threshold of 1.345, which loses 5 % of efficiency where errors are normal with deviation 1.
    fn default() -> Self {
        Self {
            threshold: 1.345,
            joint_scale: false,
            alpha: 0.0,
            l1_ratio: 0.0,
            intercept: true,
            tolerance: 1e-8,
            max_rounds: 10_000,
        }
    }
}

impl Huber {
    /// Fits the rows of `x` to the numbers `y`.
    ///
    /// Memory for (features + 2)^2 numbers in each leaf of rows that is worked on; where the scale is given and there are more than
    /// 2048 features, for a copy of all cells that are not zero instead.
    ///
    /// # Errors
    /// When a parameter is out of range, shapes do not fit, there are no rows or features, no row has a weight, or a number is NaN or
    /// infinite (named by row and feature); when there are more than 8192 features and the scale is to be found; when the fit was cancelled before its first round was done.
    pub fn fit<T: Element>(
        &self,
        x: MatRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        context: &Context<'_>,
    ) -> Result<Fit<LinearModel>> {
        Ok(self.fit_scaled(x, y, rows, context)?.0)
    }

    /// As [`fit`](Self::fit), and what it tells of the residuals.
    ///
    /// # Errors
    /// As there.
    pub fn fit_scaled<T: Element>(
        &self,
        x: MatRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        context: &Context<'_>,
    ) -> Result<(Fit<LinearModel>, Residuals)> {
        check_shape(x.rows(), x.cols())?;
        if !self.joint_scale && x.cols() > WIDE {
            let fit = self.fit_sparse(Sparse::of_dense(x)?.view(), y, rows, context)?;
            return Ok((fit, Residuals { scale: 1.0, weight: rows.weights.map_or(y.len() as f64, sum) }));
        }
        let mut trainer = self.trainer::<T>(x.cols())?;
        rounds::run(&mut trainer, &Chunk { x, y, rows, first_row: 0 }, context)?;
        trainer.finish()
    }

    /// The fit as rounds, for data in several chunks.
    ///
    /// # Errors
    /// When a parameter is out of range, or there are no features or more than 8192.
    pub fn trainer<T: Element>(&self, features: usize) -> Result<HuberTrainer<T>> {
        self.check()?;
        check_shape(1, features)?;
        if features > MOST_COLUMNS {
            let what = format!(
                "{features} features are too many: Newton's method factors a Hessian of all, of {MOST_COLUMNS} at most"
            );
            return Err(Error::Fit(what));
        }
        Ok(HuberTrainer { params: self.clone(), features, stages: Stages::new(), element: PhantomData })
    }

    pub(crate) fn check(&self) -> Result<()> {
        let (least, accepted) = match self.joint_scale {
            true => (1.0, "with a joint scale expected a finite number above 1"),
            false => (0.0, "expected a finite number above 0"),
        };
        if !(self.threshold.is_finite() && self.threshold > least) {
            return Err(Error::parameter("threshold", self.threshold, accepted));
        }
        check_not_negative("alpha", self.alpha)?;
        check_not_negative("tolerance", self.tolerance)?;
        if !(0.0..=1.0).contains(&self.l1_ratio) {
            return Err(Error::parameter("l1_ratio", self.l1_ratio, "expected a number from 0 to 1"));
        }
        Ok(())
    }
}

/// What workers are asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request(Ask);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Ask {
    Moments,
    Sweep(Robust),
}

/// The objective in the coordinates of the solver: coefficients, the intercept of centred features, the scale.
pub(crate) struct Problem {
    solver: Newton,
    centre: Vec<f64>,
    deviation: Vec<f64>,
    weight: f64,
    /// As [`Robust::fade`].
    fade: f64,
    least_scale: f64,
}

/// Robust regression as rounds.
pub struct HuberTrainer<T> {
    params: Huber,
    features: usize,
    stages: Stages<Problem>,
    element: PhantomData<fn(T)>,
}

impl<T: Element> rounds::Rounds for HuberTrainer<T> {
    type Chunk<'a> = Chunk<'a, T, f64>;
    type Request = Request;
    type Partial = Partial;

    fn request(&self) -> Option<Request> {
        match &self.stages.stage {
            Stage::Start => Some(Request(Ask::Moments)),
            Stage::Solve(problem) => {
                let (coefficients, intercept, scale) = problem.model(problem.solver.point());
                let (centre, threshold) = (problem.centre.clone(), self.params.threshold);
                let fade = problem.fade;
                let at = Robust { coefficients, intercept, scale, threshold, fade, centre };
                Some(Request(Ask::Sweep(at)))
            }
            Stage::Done(_) => None,
        }
    }

    fn partial(request: &Request, chunk: &Chunk<'_, T, f64>) -> Result<Partial> {
        match &request.0 {
            Ask::Moments => {
                chunk.check()?;
                if let Some(i) = chunk.y.iter().position(|y| !y.is_finite()) {
                    return Err(chunk.bad(i, "target", "targets are finite"));
                }
                let targets = |i: usize| chunk.y[i] - chunk.offset(i);
                let moments = Moments::of(chunk, Second::Squares, |rows| rows.map(targets).collect())?;
                Ok(Partial::moments(moments, Vec::new()))
            }
            Ask::Sweep(at) => Ok(Partial::sweep(Sweep::of_residuals(chunk, at)?)),
        }
    }

    fn merge(left: Partial, right: Partial) -> Partial {
        left.merge(right)
    }

    fn advance(&mut self, partial: Partial) -> Result<()> {
        self.go_on(partial)
    }

    fn note(&self) -> String {
        self.stages.note(Self::best)
    }

    fn at_most(&self) -> u64 {
        // One round for the moments.
        self.params.max_rounds.saturating_add(1)
    }
}

impl<T: Element> Staged for HuberTrainer<T> {
    type Problem = Problem;

    fn stages(&mut self) -> &mut Stages<Problem> {
        &mut self.stages
    }

    /// Sets up the solver at the model without features.
    fn start(&self, moments: Moments, _: &[f64]) -> Result<Problem> {
        if moments.weight <= 0.0 {
            return Err(Error::Fit("all weights are zero; at least one row must count".into()));
        }
        let (p, params) = (self.features, &self.params);
        let deviation =
            moments.second.iter().map(|s| if *s > 0.0 { (s / moments.weight).sqrt() } else { 1.0 }).collect();
        let spread = moments.target_square / moments.weight;
        let square = spread + moments.target_mean * moments.target_mean;
        if !square.is_finite() {
            return Err(Error::Fit(
                "targets are so large that their squares overflow; scale them down".into(),
            ));
        }
        let around = if params.intercept { spread } else { square };
        let least_scale = match (LEAST_SCALE * around.sqrt()).max(ROUNDING * square.sqrt()) {
            0.0 => LEAST_SCALE,
            least => least,
        };
        let mut start = vec![0.0; p + 2];
        start[p] = if params.intercept { moments.target_mean } else { 0.0 };
        start[p + 1] = match params.joint_scale {
            true => around.sqrt().max(least_scale),
            false => 1.0,
        };
        let solver = Newton::new(start, params.tolerance, params.max_rounds.max(1)).with_corners(
            params.alpha * params.l1_ratio,
            p + 2,
            2,
        );
        let centre = if params.intercept { moments.mean } else { vec![0.0; p] };
        Ok(Problem { solver, centre, deviation, weight: moments.weight, fade: 1.0, least_scale })
    }

    /// Goes on to the next point that rows are to be asked about.
    fn step(&self, problem: &mut Problem, sweep: Sweep, _: u64) -> Result<Option<Outcome>> {
        let trial = problem.solver.point().to_vec();
        let evaluation = self.evaluate(problem, &trial, sweep);
        if problem.solver.accepted().is_none() && !evaluation.value.is_finite() {
            return Err(Error::Fit("targets or offsets are so large that losses overflow".into()));
        }
        let outcome = problem.solver.advance(evaluation)?;
        let scale_at = self.features + 1;
        let Some(best) = problem.solver.accepted() else { return Ok(outcome) };
        let largest = if self.params.joint_scale { 1.0 } else { self.params.threshold };
        problem.fade = (best.norm / (NEAR * largest)).min(1.0);
        let scale = best.point[scale_at];
        let least = if scale > problem.least_scale / LEAST_SHARE { LEAST_SHARE * scale } else { f64::MIN };
        while outcome.is_none() && problem.solver.point()[scale_at] < least {
            // No need to ask rows.
            problem.solver.shorten();
        }
        Ok(outcome)
    }

    fn best(problem: &Problem) -> Option<&Accepted> {
        problem.solver.accepted()
    }
}

impl<T: Element> HuberTrainer<T> {
    /// Objective, gradient and Hessian per unit of weight in the solver's coordinates; |b|_1 is in the objective alone.
    fn evaluate(&self, problem: &Problem, point: &[f64], sweep: Sweep) -> Evaluation {
        let (p, params) = (self.features, &self.params);
        let order = p + 2;
        let (l1, l2) = (params.alpha * params.l1_ratio, params.alpha * (1.0 - params.l1_ratio));
        let per_weight = 1.0 / problem.weight;
        let mut gradient = sweep.gradient;
        let slope = if params.intercept { gradient[p] * per_weight } else { 0.0 };
        gradient[p] = slope;
        let mut value = sweep.loss * per_weight;
        let (mut norm, mut optimality) = (slope.abs(), slope.abs());
        for (j, g) in gradient[..p].iter_mut().enumerate() {
            let b = point[j];
            value += l1 * b.abs() + 0.5 * l2 * b * b;
            let raw = *g * per_weight + l2 * b;
            *g = raw - problem.centre[j] * slope;
            optimality = optimality.max(residual(raw, b, l1));
            norm = norm.max(residual(*g, b, l1) / problem.deviation[j]);
        }
        let mut hessian = sweep.hessian;
        hessian.iter_mut().for_each(|h| *h *= per_weight);
        for j in 0..p {
            hessian[j * (order + 1)] += l2;
        }
        // A row of zeros is left out by the factorisation.
        if !params.intercept {
            hessian[p * order..=p * order + p].fill(0.0);
            hessian[(p + 1) * order + p] = 0.0;
        }
        let (scale, squares) = (problem.scale(point), gradient[p + 1] * per_weight);
        let of_scale = 0.5 * (1.0 - squares);
        let at_the_end = scale <= problem.least_scale && of_scale > 0.0;
        if params.joint_scale {
            value += 0.5 * scale;
        }
        if params.joint_scale && !at_the_end {
            gradient[p + 1] = of_scale;
            (norm, optimality) = (norm.max(of_scale.abs()), optimality.max(of_scale.abs()));
            // That of a step to s sqrt(squares).
            let proposal = 0.5 * (1.0 + squares.sqrt()) / scale;
            let bend = &mut hessian[(p + 1) * order + p + 1];
            *bend = problem.fade * proposal + (1.0 - problem.fade) * *bend;
        } else {
            gradient[p + 1] = 0.0;
            hessian[(p + 1) * order..].fill(0.0);
        }
        Evaluation { value, gradient, hessian, norm, optimality }
    }

    /// The model, how it went, and what it tells of the residuals.
    ///
    /// # Errors
    /// When it was stopped before its first round was done.
    pub fn finish(self) -> Result<(Fit<LinearModel>, Residuals)> {
        let (problem, mut report) = self.stages.finish()?;
        let best = problem.solver.accepted().ok_or(Error::Cancelled)?;
        let (coefficients, intercept, scale) = problem.model(&best.point);
        if coefficients.iter().chain([&intercept]).any(|w| !w.is_finite()) || !best.value.is_finite() {
            return Err(Error::Fit("the solution overflows; scale the features".into()));
        }
        if self.params.joint_scale && scale <= problem.least_scale {
            let what = "so many rows fit so well that the scale of the residuals is not told from zero";
            report.warnings.push(what.into());
        }
        let model = LinearModel { coefficients, intercepts: vec![intercept], link: Link::Identity };
        let weight = problem.weight;
        Ok((Fit { model, report }, Residuals { scale, weight }))
    }
}

impl Problem {
    fn scale(&self, point: &[f64]) -> f64 {
        point[self.centre.len() + 1].max(self.least_scale)
    }

    /// Coefficients, intercept and scale at a point of the solver.
    fn model(&self, point: &[f64]) -> (Vec<f64>, f64, f64) {
        let (b, rest) = point.split_at(self.centre.len());
        let shift: f64 = b.iter().zip(&self.centre).map(|(b, m)| b * m).sum();
        (b.to_vec(), rest[0] - shift, self.scale(point))
    }
}
