//! Generalised linear models of counts and amounts: Poisson, gamma and Tweedie regression, the mean being e^(x b + a + offset); and
//! normal regression, whose mean is that or, with the identity as link, x b + a + offset itself.
//!
//! Minimises sum of w_i deviance_i / (2 sum of w) + alpha (l1_ratio |b|_1 + (1 - l1_ratio) / 2 |b|^2), as scikit-learn's
//! `PoissonRegressor` (with l1_ratio 0) and glum do; the intercept a is not penalised. The report's `objective` is this, and
//! `optimality` the largest entry of its gradient (KKT residual): of a coefficient that is zero, what the gradient has beyond the
//! penalty.
//!
//! Method, as rounds over the rows: one pass for means, deviations and the mean target, then one per point of Newton's method
//! with the true Hessian (`newton.rs`; of losses that are not convex see `deviance.rs`), from the intercept alone. With |b|_1 its steps are found by coordinate descent.
//! Of very many features, or where asked for, steps are found by conjugate gradients, a pass over the rows each (`newton_cg.rs`).

use crate::block::Element;
use crate::deviance::Distribution;
use crate::moments::{Moments, Second};
use crate::newton::Newton;
use crate::newton_cg::{Bends, NewtonCg, PRODUCTS_PER_ROUND};
use crate::optimality::residual;
use crate::rows::{check_not_negative, check_shape};
use crate::stages::{Partial, Stage, Staged, Stages};
use crate::sweep::{Bend, Point, Sweep, totals};
use crate::{Chunk, LinearModel, Link, Rows};
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use tilewise_base::rounds;
use tilewise_base::solver::{Accepted, Evaluation, Outcome};
use tilewise_base::{Context, Error, Fit, Lbfgs, Result};
use tilewise_kernels::MatRef;

/// Features from which `Auto` forms no Hessian: each leaf of rows would have one of 130 MB.
const HESSIAN_FEATURES: usize = 4096;

/// How the objective is minimised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GeneralisedSolver {
    /// Newton's method, with a factor of the Hessian up to 4,096 features or with |b|_1, by conjugate gradients beyond.
    #[default]
    Auto,
    /// Newton's method; few rounds, memory for (features + 1)^2 numbers in each leaf of rows that is worked on. Takes |b|_1.
    NewtonCholesky,
    /// Newton's method with steps by conjugate gradients (`newton_cg.rs`): a pass over the rows for each product with the Hessian, which is not
    /// formed; of `max_rounds` twenty count as one.
    NewtonCg,
    /// Limited-memory BFGS; many cheap rounds, often more than the hundred of `max_rounds`.
    Lbfgs,
}

impl GeneralisedSolver {
    /// Files of models that leave it to the shape stay what they were before there was a choice.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    fn is_auto(&self) -> bool {
        *self == Self::Auto
    }

    /// As parameters and errors have it.
    fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::NewtonCholesky => "newton-cholesky",
            Self::NewtonCg => "newton-cg",
            Self::Lbfgs => "lbfgs",
        }
    }
}

/// Parameters of a generalised linear model; its link is the distribution's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generalised {
    /// How targets scatter.
    pub distribution: Distribution,
    /// Weight of the penalty.
    pub alpha: f64,
    /// Share of |b|_1 in the penalty, from 0 to 1.
    pub l1_ratio: f64,
    /// Whether to fit an intercept.
    pub intercept: bool,
    /// The fit has converged when no entry of the gradient, for features scaled to deviation 1, is larger.
    pub tolerance: f64,
    /// Passes over the data, besides a first one for the means, after which the fit ends with a warning.
    pub max_rounds: u64,
    /// How the objective is minimised. Models that are older than it have `Auto`.
    #[serde(default, skip_serializing_if = "GeneralisedSolver::is_auto")]
    pub solver: GeneralisedSolver,
}

impl Default for Generalised {
    fn default() -> Self {
        Self {
            distribution: Distribution::Poisson,
            alpha: 0.0,
            l1_ratio: 0.0,
            intercept: true,
            tolerance: 1e-8,
            max_rounds: 100,
            solver: GeneralisedSolver::Auto,
        }
    }
}

impl Generalised {
    /// Fits the rows of `x` to the numbers `y`.
    ///
    /// Memory for (features + 1)^2 numbers in each leaf of rows that is worked on, where `solver` forms a Hessian.
    ///
    /// # Errors
    /// When a parameter is out of range, shapes do not fit, there are no rows or features, a target is one that the distribution does
    /// not have (named by row and value), all of positive weight are zero, or a number is NaN or infinite (named by row and feature);
    /// when the fit was cancelled before its first round was done.
    pub fn fit<T: Element>(
        &self,
        x: MatRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        context: &Context<'_>,
    ) -> Result<Fit<LinearModel>> {
        check_shape(x.rows(), x.cols())?;
        let mut trainer = self.trainer::<T>(x.cols())?;
        rounds::run(&mut trainer, &Chunk { x, y, rows, first_row: 0 }, context)?;
        trainer.finish()
    }

    /// The fit as rounds, for data in several chunks.
    ///
    /// # Errors
    /// When a parameter is out of range or there are no features.
    pub fn trainer<T: Element>(&self, features: usize) -> Result<GeneralisedTrainer<T>> {
        self.check()?;
        check_shape(1, features)?;
        Ok(GeneralisedTrainer {
            params: self.clone(),
            features,
            from: None,
            stages: Stages::new(),
            element: PhantomData,
        })
    }

    /// Fits at each of `alphas` in turn, in place of `self.alpha`; each fit begins where the one before ended, so falling ones go fastest.
    /// `of(alpha, fit)` hears of each as it is done.
    ///
    /// # Errors
    /// As [`Generalised::fit`], and what `of` says.
    pub fn path<T: Element>(
        &self,
        x: MatRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        alphas: &[f64],
        context: &Context<'_>,
        mut of: impl FnMut(f64, Fit<LinearModel>) -> Result<()>,
    ) -> Result<()> {
        check_shape(x.rows(), x.cols())?;
        let chunk = Chunk { x, y, rows, first_row: 0 };
        let mut from: Option<LinearModel> = None;
        for &alpha in alphas {
            let mut trainer = Self { alpha, ..self.clone() }.trainer::<T>(x.cols())?;
            trainer.from = from;
            rounds::run(&mut trainer, &chunk, context)?;
            let fit = trainer.finish()?;
            from = Some(fit.model.clone());
            of(alpha, fit)?;
        }
        Ok(())
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.distribution.check()?;
        check_not_negative("alpha", self.alpha)?;
        check_not_negative("tolerance", self.tolerance)?;
        if !(0.0..=1.0).contains(&self.l1_ratio) {
            return Err(Error::parameter("l1_ratio", self.l1_ratio, "expected a number from 0 to 1"));
        }
        if self.is_cornered() && matches!(self.solver, GeneralisedSolver::NewtonCg | GeneralisedSolver::Lbfgs)
        {
            let what = "it takes smooth penalties only; auto and newton-cholesky take l1_ratio above 0";
            return Err(Error::parameter("solver", self.solver.name(), what));
        }
        Ok(())
    }

    /// Refuses solvers that sparse rows do not have.
    pub(crate) fn check_sparse(&self) -> Result<()> {
        if matches!(self.solver, GeneralisedSolver::Auto | GeneralisedSolver::NewtonCg) {
            return Ok(());
        }
        let what = "the penalty decides how a sparse problem is solved; auto, and without l1_ratio newton-cg, are accepted";
        Err(Error::parameter("solver", self.solver.name(), what))
    }

    /// Whether |b|_1 is penalised.
    fn is_cornered(&self) -> bool {
        self.alpha * self.l1_ratio > 0.0
    }

    /// The solver that `Auto` stands for, of so many features.
    fn chosen(&self, features: usize) -> GeneralisedSolver {
        match self.solver {
            GeneralisedSolver::Auto if features > HESSIAN_FEATURES && !self.is_cornered() => {
                GeneralisedSolver::NewtonCg
            }
            GeneralisedSolver::Auto => GeneralisedSolver::NewtonCholesky,
            given => given,
        }
    }

    /// Passes over the data at most, besides the first.
    fn rounds_at_most(&self, features: usize) -> u64 {
        match self.chosen(features) {
            GeneralisedSolver::NewtonCg => self.max_rounds.saturating_mul(PRODUCTS_PER_ROUND),
            _ => self.max_rounds,
        }
    }
}

/// What workers are asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request(Ask);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Ask {
    Moments(Distribution),
    Sweep(Distribution, Point),
    Bend(Distribution, Bend),
}

/// The objective in the coordinates u of the solver, which sees centred features: b_j = u_j / scale_j.
pub(crate) struct Problem {
    solver: Box<dyn Bends + Send>,
    scale: Vec<f64>,
    centre: Vec<f64>,
    deviation: Vec<f64>,
    weight: f64,
    /// What half the deviance has besides the loss, per unit of weight.
    constant: f64,
}

/// A generalised linear model as rounds.
pub struct GeneralisedTrainer<T> {
    params: Generalised,
    features: usize,
    /// Where the solver begins, if not at the model without features.
    from: Option<LinearModel>,
    stages: Stages<Problem>,
    element: PhantomData<fn(T)>,
}

impl<T: Element> rounds::Rounds for GeneralisedTrainer<T> {
    type Chunk<'a> = Chunk<'a, T, f64>;
    type Request = Request;
    type Partial = Partial;

    fn request(&self) -> Option<Request> {
        let distribution = self.params.distribution;
        match &self.stages.stage {
            Stage::Start => Some(Request(Ask::Moments(distribution))),
            Stage::Solve(problem) => {
                let at = |point: &[f64], centre: Option<Vec<f64>>| {
                    let (coefficients, intercept) = problem.model(point);
                    let (intercepts, class_weights) = (vec![intercept], Vec::new());
                    Point { coefficients, intercepts, class_weights, centre, margin: false, every: 1 }
                };
                if let Some((along, best)) = problem.solver.along().zip(problem.solver.accepted()) {
                    let (point, (coefficients, intercept)) = (at(&best.point, None), problem.model(along));
                    let bend = Bend { point, coefficients, intercepts: vec![intercept] };
                    return Some(Request(Ask::Bend(distribution, bend)));
                }
                let centre = problem.solver.wants_hessian().then(|| problem.centre.clone());
                Some(Request(Ask::Sweep(distribution, at(problem.solver.point(), centre))))
            }
            Stage::Done(_) => None,
        }
    }

    fn partial(request: &Request, chunk: &Chunk<'_, T, f64>) -> Result<Partial> {
        match &request.0 {
            Ask::Moments(distribution) => {
                chunk.check()?;
                let wrong =
                    chunk.y.iter().enumerate().find_map(|(i, &y)| Some((i, distribution.refuses(y)?)));
                if let Some((i, what)) = wrong {
                    return Err(Error::Fit(format!("row {}: the target {what}", chunk.first_row + i)));
                }
                let moments = Moments::of(chunk, Second::Squares, |rows| vec![0.0; rows.len()])?;
                Ok(Partial::moments(moments, totals(chunk, *distribution)?.to_vec()))
            }
            Ask::Sweep(distribution, point) => {
                Ok(Partial::sweep(Sweep::of_numbers(chunk, point, *distribution)?))
            }
            Ask::Bend(distribution, bend) => Ok(Partial::bent(bend.of_numbers(chunk, *distribution)?)),
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
        self.params.rounds_at_most(self.features).saturating_add(1)
    }
}

impl<T: Element> Staged for GeneralisedTrainer<T> {
    type Problem = Problem;

    fn stages(&mut self) -> &mut Stages<Problem> {
        &mut self.stages
    }

    /// Sets up the solver, at the model without features where there is none to begin with.
    fn start(&self, moments: Moments, totals: &[f64]) -> Result<Problem> {
        let &[target, exposure, constant] = totals else {
            return Err(Error::Fit("an answer has not the sums that were asked for".into()));
        };
        if moments.weight <= 0.0 {
            return Err(Error::Fit("all weights are zero; at least one row must count".into()));
        }
        let (link, accepts) = (self.params.distribution.link(), self.params.distribution.refuses(-1.0));
        if link == Link::Log && target <= 0.0 {
            let what = match accepts {
                Some(_) => "all targets of rows that count are zero: their mean has no logarithm",
                None => {
                    "the mean of the targets is not above 0 and has no logarithm; link=identity takes such"
                }
            };
            return Err(Error::Fit(what.into()));
        }
        let p = self.features;
        let deviation =
            moments.second.iter().map(|s| if *s > 0.0 { (s / moments.weight).sqrt() } else { 1.0 }).collect();
        let mut start = vec![0.0; p + 1];
        if self.params.intercept {
            // The mean of e^offset is what the intercept multiplies. Without a logarithm the first step is exact from anywhere.
            start[p] = if link == Link::Log { (target / exposure).ln() } else { target / moments.weight };
            if !start[p].is_finite() {
                return Err(Error::Fit("targets or offsets are so large that means overflow".into()));
            }
        }
        let params = &self.params;
        let (tolerance, rounds) = (params.tolerance, params.rounds_at_most(p).max(1));
        let chosen = params.chosen(p);
        let mut scale = vec![1.0; p];
        if chosen != GeneralisedSolver::NewtonCholesky {
            // The Hessian's diagonal without features, roughly: the mean curvature where all means are that of the targets.
            let mean: f64 = target / exposure;
            let curvature =
                if link == Link::Log { mean.powf(2.0 - params.distribution.power()) } else { 1.0 };
            for ((scale, s), m) in scale.iter_mut().zip(&moments.second).zip(&moments.mean) {
                let about_mean = if params.intercept { 0.0 } else { m * m };
                let bend = curvature * (s / moments.weight + about_mean) + params.alpha;
                *scale = if bend > 0.0 && bend.is_finite() { bend.sqrt() } else { 1.0 };
            }
        }
        let centre = if params.intercept { moments.mean } else { vec![0.0; p] };
        if let Some(LinearModel { coefficients, intercepts, .. }) = &self.from {
            let scaled = coefficients.iter().zip(&scale).map(|(b, scale)| b * scale);
            start.iter_mut().zip(scaled).for_each(|(start, b)| *start = b);
            if params.intercept {
                start[p] = intercepts[0] + coefficients.iter().zip(&centre).map(|(b, m)| b * m).sum::<f64>();
            }
        }
        let solver: Box<dyn Bends + Send> = match chosen {
            GeneralisedSolver::Lbfgs => Box::new(Lbfgs::new(start, tolerance, rounds)),
            GeneralisedSolver::NewtonCg => {
                let endless = params.alpha == 0.0 && link == Link::Log;
                Box::new(NewtonCg::new(start, tolerance, rounds, endless))
            }
            GeneralisedSolver::Auto | GeneralisedSolver::NewtonCholesky => Box::new(
                Newton::new(start, tolerance, rounds).with_corners(params.alpha * params.l1_ratio, p + 1, 1),
            ),
        };
        let constant = constant / moments.weight;
        Ok(Problem { solver, scale, centre, deviation, weight: moments.weight, constant })
    }

    fn step(&self, problem: &mut Problem, sweep: Sweep, _: u64) -> Result<Option<Outcome>> {
        let trial = problem.solver.point().to_vec();
        let evaluation = self.evaluate(problem, &trial, sweep);
        if problem.solver.accepted().is_none() && !evaluation.value.is_finite() {
            return Err(Error::Fit("targets or offsets are so large that means overflow".into()));
        }
        problem.solver.advance(evaluation)
    }

    fn bend(&self, problem: &mut Problem, product: &[f64]) -> Result<Option<Outcome>> {
        let along = problem.solver.along().unwrap_or_default();
        let (p, l2) = (self.features, self.params.alpha * (1.0 - self.params.l1_ratio));
        let mut bent: Vec<f64> = product.iter().map(|product| product / problem.weight).collect();
        let last = if self.params.intercept { bent[p] } else { 0.0 };
        bent[p] = last;
        for (j, (bent, along)) in bent[..p].iter_mut().zip(along).enumerate() {
            let scale = problem.scale[j];
            *bent = (*bent + l2 * along / scale - problem.centre[j] * last) / scale;
        }
        problem.solver.bent(&bent)
    }

    fn best(problem: &Problem) -> Option<&Accepted> {
        problem.solver.accepted()
    }
}

impl<T: Element> GeneralisedTrainer<T> {
    /// Objective, gradient and Hessian per unit of weight in the solver's coordinates; |b|_1 is in the objective alone.
    fn evaluate(&self, problem: &Problem, point: &[f64], sweep: Sweep) -> Evaluation {
        let (p, params) = (self.features, &self.params);
        let (l1, l2) = (params.alpha * params.l1_ratio, params.alpha * (1.0 - params.l1_ratio));
        let per_weight = 1.0 / problem.weight;
        let mut gradient = sweep.gradient;
        let slope = if params.intercept { gradient[p] * per_weight } else { 0.0 };
        gradient[p] = slope;
        let mut value = sweep.loss * per_weight + problem.constant;
        let (mut norm, mut optimality) = (slope.abs(), slope.abs());
        for (j, g) in gradient[..p].iter_mut().enumerate() {
            let b = point[j] / problem.scale[j];
            value += l1 * b.abs() + 0.5 * l2 * b * b;
            let raw = *g * per_weight + l2 * b;
            let centred = raw - problem.centre[j] * slope;
            *g = centred / problem.scale[j];
            optimality = optimality.max(residual(raw, b, l1));
            norm = norm.max(residual(centred, b, l1) / problem.deviation[j]);
        }
        let mut hessian = sweep.hessian;
        if !hessian.is_empty() {
            hessian.iter_mut().for_each(|h| *h *= per_weight);
            for j in 0..p {
                hessian[j * (p + 2)] += l2;
            }
            if !params.intercept {
                // A row of zeros is left out by the factorisation.
                hessian[p * (p + 1)..].fill(0.0);
            }
        }
        Evaluation { value, gradient, hessian, norm, optimality }
    }

    /// The model and how it went.
    ///
    /// # Errors
    /// When it was stopped before its first round was done.
    pub fn finish(self) -> Result<Fit<LinearModel>> {
        let (problem, report) = self.stages.finish()?;
        let best = problem.solver.accepted().ok_or(Error::Cancelled)?;
        let (coefficients, intercept) = problem.model(&best.point);
        if coefficients.iter().chain([&intercept]).any(|w| !w.is_finite()) || !best.value.is_finite() {
            return Err(Error::Fit("the solution overflows; scale the features".into()));
        }
        let model =
            LinearModel { coefficients, intercepts: vec![intercept], link: self.params.distribution.link() };
        Ok(Fit { model, report })
    }
}

impl Problem {
    /// Coefficients and intercept at a point of the solver.
    fn model(&self, point: &[f64]) -> (Vec<f64>, f64) {
        let (b, intercept) = point.split_at(self.centre.len());
        let b: Vec<f64> = b.iter().zip(&self.scale).map(|(b, scale)| b / scale).collect();
        let shift: f64 = b.iter().zip(&self.centre).map(|(b, m)| b * m).sum();
        (b, intercept[0] - shift)
    }
}
