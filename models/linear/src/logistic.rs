//! Logistic regression: two classes or, by softmax over all classes, more.
//!
//! Minimises sum of w_i loss_i + l1 |b|_1 + l2 / 2 |b|^2 over coefficients b and intercepts, which are not penalised; l1 + l2 is
//! 1 / C of scikit-learn's `LogisticRegression`, and l1 / (l1 + l2) its `l1_ratio`. The report's `objective` is this sum over the
//! total weight, and `optimality` the largest entry of its gradient in the units of the features (KKT residual): of a coefficient
//! that is zero, what the gradient has beyond l1.
//!
//! Softmax gives each class its own coefficients, so that adding a constant to all intercepts (and, without penalty,
//! a vector to all coefficients) changes nothing. Starting from zero and a Hessian that is made regular along those
//! directions keep the sums over classes at zero.
//!
//! Method, as rounds over the rows: one pass for means and deviations of the features, then one per point that the
//! solver asks for (`newton.rs`, `lbfgs.rs`). Solvers work on centred features (the Hessian is then better
//! conditioned), L-BFGS also on features scaled so that the Hessian's diagonal at zero is one. Of many rows for each feature a sample is solved first,
//! where L-BFGS then begins, with the Hessian of it (`logistic/sample.rs`).
//!
//! Classes that can be separated perfectly have no finite solution without penalty. This is proved as soon as all
//! margins are positive, and reported instead of followed to infinity. A target with one class, or a class without
//! weight, is an error.

use crate::block::Element;
use crate::moments::{Moments, Second};
use crate::newton::Newton;
use crate::newton_cg::{Bends, NewtonCg};
use crate::optimality::residual;
use crate::rows::{check_not_negative, check_shape};
use crate::stages::{Partial, Stage, Staged, Stages};
use crate::sweep::{Bend, Point, Sweep};
use crate::{Chunk, LinearModel, Link, Rows};
pub use choice::LogisticSolver;
use sample::Sample;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use tilewise_base::rounds;
use tilewise_base::solver::{Accepted, Evaluation, Outcome};
use tilewise_base::{Context, Error, Fit, Lbfgs, Result, Sparse};
use tilewise_kernels::{MatRef, same};

mod choice;
mod sample;

/// Largest number of unknowns for which a Hessian is formed with a penalty l1: half a gigabyte.
const CORNERS_ORDER: usize = 8192;

/// Loss per unit of weight at which separated classes are left alone: the coefficients would only grow.
const SEPARATED_LOSS: f64 = 1e-6;

/// Factors on the weights of rows by their class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeights {
    /// Ones.
    #[default]
    Ones,
    /// Total weight / (classes x weight of the class): all classes count the same.
    Balanced,
    /// One per class, positive.
    Given(Vec<f64>),
}

/// Parameters of logistic regression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logistic {
    /// Weight of the penalty |b|^2 / 2.
    pub l2: f64,
    /// Weight of the penalty |b|_1, which makes coefficients zero. Models that are older than it have none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub l1: f64,
    /// Whether to fit intercepts.
    pub intercept: bool,
    /// Factors by class.
    pub class_weights: ClassWeights,
    /// How the objective is minimised.
    pub solver: LogisticSolver,
    /// The fit has converged when no entry of the gradient, per unit of weight and for features scaled to deviation
    /// 1, is larger.
    pub tolerance: f64,
    /// Passes over the data, besides a first one for the means, after which the fit ends with a warning.
    pub max_rounds: u64,
}

/// Files of models without |b|_1 stay what they were before it was there.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(x: &f64) -> bool {
    *x == 0.0
}

impl Default for Logistic {
    fn default() -> Self {
        Self {
            l2: 1.0,
            l1: 0.0,
            intercept: true,
            class_weights: ClassWeights::Ones,
            solver: LogisticSolver::Auto,
            tolerance: 1e-8,
            max_rounds: 1000,
        }
    }
}

impl Logistic {
    /// Fits the rows of `x` to classes 0, 1, ... Two classes give one row of coefficients, for class 1.
    ///
    /// # Errors
    /// When shapes do not fit, there are no rows or features, a number is NaN or infinite (named by row and feature),
    /// the target has one class, or a class between has no weight; when the fit was cancelled before its first
    /// round was done.
    pub fn fit<T: Element>(
        &self,
        x: MatRef<'_, T>,
        y: &[u32],
        rows: Rows<'_>,
        context: &Context<'_>,
    ) -> Result<Fit<LinearModel>> {
        check_shape(x.rows(), x.cols())?;
        same("targets against rows of x", x.rows(), y.len())?;
        let classes = y.iter().max().map_or(0, |&c| c as usize + 1);
        if classes > y.len() {
            // Before anything of their number is allocated: fewer rows than classes leave one without a row.
            let mut seen = vec![false; y.len()];
            y.iter().filter_map(|&c| usize::try_from(c).ok()).for_each(|c| {
                seen.get_mut(c).into_iter().for_each(|seen| *seen = true);
            });
            return Err(no_row(seen.iter().position(|seen| !seen).unwrap_or(y.len())));
        }
        let saga = self.solver == LogisticSolver::Saga;
        if saga || self.l1 > 0.0 && classes == 2 && x.cols() >= CORNERS_ORDER {
            // Too many for a Hessian: columns one behind the other, of which few are looked at often.
            return self.fit_sparse(Sparse::of_dense(x)?.view(), y, rows, context);
        }
        let mut trainer = self.trainer::<T>(x.cols(), classes)?;
        rounds::run(&mut trainer, &Chunk { x, y, rows, first_row: 0 }, context)?;
        trainer.finish()
    }

    /// The fit as rounds, for data in several chunks.
    ///
    /// # Errors
    /// When a parameter is out of range, there are no features, or there are fewer than two classes.
    pub fn trainer<T: Element>(&self, features: usize, classes: usize) -> Result<LogisticTrainer<T>> {
        self.check(classes)?;
        check_shape(1, features)?;
        if classes < 2 {
            return Err(Error::Fit("the target has one class only; a classifier needs at least two".into()));
        }
        let predictors = if classes == 2 { 1 } else { classes };
        if predictors.checked_mul(features + 1).is_none_or(|order| order > isize::MAX as usize / 64) {
            return Err(Error::Fit(format!("{classes} classes of {features} features are too many")));
        }
        let order = predictors * (features + 1);
        if self.l1 > 0.0 && order > CORNERS_ORDER {
            let what = format!(
                "with l1 above 0 at most {CORNERS_ORDER} unknowns are solved for here, and {features} features make {order}; \
                 two classes of rows in memory may have more"
            );
            return Err(Error::parameter("l1", self.l1, what));
        }
        if self.solver == LogisticSolver::Saga {
            let what = "it draws single rows, which are to be in one memory; auto, newton-cholesky, newton-cg and lbfgs take chunks";
            return Err(Error::parameter("solver", "saga", what));
        }
        let smooth = [(LogisticSolver::Lbfgs, "lbfgs"), (LogisticSolver::NewtonCg, "newton-cg")];
        if let Some((_, name)) = smooth.iter().find(|(solver, _)| self.l1 > 0.0 && self.solver == *solver) {
            let what = "it takes smooth penalties only; auto and newton-cholesky take l1";
            return Err(Error::parameter("solver", name, what));
        }
        Ok(LogisticTrainer {
            params: self.clone(),
            features,
            classes,
            predictors,
            stages: Stages::new(),
            element: PhantomData,
        })
    }

    /// Checks parameters for so many classes.
    pub(crate) fn check(&self, classes: usize) -> Result<()> {
        check_not_negative("l2", self.l2)?;
        check_not_negative("l1", self.l1)?;
        check_not_negative("tolerance", self.tolerance)?;
        if let ClassWeights::Given(weights) = &self.class_weights {
            if weights.len() != classes {
                let accepted = format!("expected one per class, {classes}");
                return Err(Error::parameter(
                    "class_weights",
                    format!("{} numbers", weights.len()),
                    accepted,
                ));
            }
            if let Some(w) = weights.iter().find(|w| !(w.is_finite() && **w > 0.0)) {
                return Err(Error::parameter("class_weights", w, "expected finite positive numbers"));
            }
        }
        Ok(())
    }

    /// Whether nothing holds coefficients back.
    fn is_free(&self) -> bool {
        self.l1 == 0.0 && self.l2 == 0.0
    }
}

fn no_row(class: usize) -> Error {
    Error::Fit(format!("class {class} has no row of positive weight; every class from 0 on needs one"))
}

/// What workers are asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request(Ask);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Ask {
    Moments { classes: usize, offset: bool },
    Sweep(Point),
    Bend(Bend),
}

/// The objective in the coordinates u that the solver sees: b_j = u_j / scale_j, and the intercept is that of centred
/// features.
pub(crate) struct Problem {
    solver: Box<dyn Bends + Send>,
    /// Rounds after which Newton's method takes over.
    rounds_of_lbfgs: u64,
    /// Where L-BFGS was when it did.
    before: Option<Accepted>,
    /// While a sample of the rows is being solved.
    sample: Option<Sample>,
    /// Where it led to.
    sampled: Option<Accepted>,
    centre: Vec<f64>,
    scale: Vec<f64>,
    deviation: Vec<f64>,
    class_weights: Vec<f64>,
    weight: f64,
    /// Smallest margin at the best point.
    margin: f64,
}

/// Logistic regression as rounds.
pub struct LogisticTrainer<T> {
    params: Logistic,
    features: usize,
    classes: usize,
    predictors: usize,
    stages: Stages<Problem>,
    element: PhantomData<fn(T)>,
}

impl<T: Element> rounds::Rounds for LogisticTrainer<T> {
    type Chunk<'a> = Chunk<'a, T, u32>;
    type Request = Request;
    type Partial = Partial;

    fn request(&self) -> Option<Request> {
        match &self.stages.stage {
            Stage::Start => {
                Some(Request(Ask::Moments { classes: self.classes, offset: self.predictors == 1 }))
            }
            Stage::Solve(problem) => {
                if let Some((along, best)) = problem.solver.along().zip(problem.solver.accepted()) {
                    let of = |point: &[f64]| problem.model(point, self.predictors);
                    let ((coefficients, intercepts), class_weights) =
                        (of(&best.point), problem.class_weights.clone());
                    let (centre, margin, every) = (None, false, 1);
                    let point = Point { coefficients, intercepts, class_weights, centre, margin, every };
                    let (coefficients, intercepts) = of(along);
                    return Some(Request(Ask::Bend(Bend { point, coefficients, intercepts })));
                }
                let (coefficients, intercepts) = problem.model(problem.solver.point(), self.predictors);
                let class_weights = problem.class_weights.clone();
                let centre = problem.solver.wants_hessian().then(|| problem.centre.clone());
                // With a penalty nothing grows without bound, separated or not.
                let margin = self.params.is_free();
                let every = problem.sample.as_ref().map_or(1, Sample::every);
                let point = Point { coefficients, intercepts, class_weights, centre, margin, every };
                Some(Request(Ask::Sweep(point)))
            }
            Stage::Done(_) => None,
        }
    }

    fn partial(request: &Request, chunk: &Chunk<'_, T, u32>) -> Result<Partial> {
        match &request.0 {
            Ask::Moments { classes, offset } => {
                chunk.check()?;
                if let Some(i) = chunk.y.iter().position(|&y| y as usize >= *classes) {
                    return Err(chunk.bad(
                        i,
                        "class",
                        &format!("classes are counted from 0 to {}", classes - 1),
                    ));
                }
                if chunk.rows.offset.is_some() && !offset {
                    let what =
                        "an offset per row changes nothing among several classes; leave it out, or take two";
                    return Err(Error::Fit(what.into()));
                }
                let mut totals = vec![0.0; *classes];
                chunk.y.iter().enumerate().for_each(|(i, &y)| totals[y as usize] += chunk.weight(i));
                totals.extend([chunk.y.len() as f64, 1.0]);
                let moments = Moments::of(chunk, Second::Squares, |rows| vec![0.0; rows.len()])?;
                Ok(Partial::moments(moments, totals))
            }
            Ask::Sweep(point) => Ok(Partial::sweep(Sweep::of(chunk, point)?)),
            Ask::Bend(bend) => Ok(Partial::bent(bend.of_classes(chunk)?)),
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
        self.params.rounds_at_most().saturating_add(1)
    }
}

impl<T: Element> Staged for LogisticTrainer<T> {
    type Problem = Problem;

    fn stages(&mut self) -> &mut Stages<Problem> {
        &mut self.stages
    }

    /// Sets up the solver, knowing means, deviations, the weight of each class and, behind them, the numbers of rows and of chunks.
    fn start(&self, moments: Moments, totals: &[f64]) -> Result<Problem> {
        let Some((classes, &[rows, chunks])) = totals.split_last_chunk() else {
            return Err(Error::Fit("an answer has not the sums that were asked for".into()));
        };
        let (p, k) = (self.features, classes.len() as f64);
        if moments.weight <= 0.0 {
            return Err(Error::Fit("all weights are zero; at least one row must count".into()));
        }
        if let Some(empty) = classes.iter().position(|&w| w == 0.0) {
            return Err(no_row(empty));
        }
        let class_weights = match &self.params.class_weights {
            ClassWeights::Ones => Vec::new(),
            ClassWeights::Balanced => classes.iter().map(|c| moments.weight / (k * c)).collect(),
            ClassWeights::Given(weights) => weights.clone(),
        };
        let weight = match class_weights.is_empty() {
            true => moments.weight,
            false => classes.iter().zip(&class_weights).map(|(a, b)| a * b).sum(),
        };
        let variance = |s: &f64| s / moments.weight;
        let deviation =
            moments.second.iter().map(|s| if *s > 0.0 { variance(s).sqrt() } else { 1.0 }).collect();
        let rounds_of_lbfgs = self.params.rounds_of_lbfgs(p, self.predictors, weight);
        let mut scale = vec![1.0; p];
        if rounds_of_lbfgs > 0 {
            // The Hessian's diagonal at zero: curvature 1/4, or (1 - 1/K) / K, times the mean square.
            let curvature = if self.predictors == 1 { 0.25 } else { (1.0 - 1.0 / k) / k };
            for ((scale, s), m) in scale.iter_mut().zip(&moments.second).zip(&moments.mean) {
                let about_mean = if self.params.intercept { 0.0 } else { m * m };
                let bend = curvature * (variance(s) + about_mean) + self.params.l2 / weight;
                *scale = if bend > 0.0 { bend.sqrt() } else { 1.0 };
            }
        }
        let solver = self.first_solver(rounds_of_lbfgs == 0, weight, self.params.rounds_at_most().max(1));
        let centre = if self.params.intercept { moments.mean } else { vec![0.0; p] };
        let (before, margin) = (None, f64::NEG_INFINITY);
        let mut problem = Problem {
            solver,
            rounds_of_lbfgs,
            before,
            sample: None,
            sampled: None,
            centre,
            scale,
            deviation,
            class_weights,
            weight,
            margin,
        };
        if self.predictors == 1 {
            problem.begin_with_sample(&self.params, rows, chunks);
        }
        Ok(problem)
    }

    fn step(&self, problem: &mut Problem, sweep: Sweep, sweeps: u64) -> Result<Option<Outcome>> {
        if problem.sample.is_some() {
            return self.step_on_sample(problem, sweep, sweeps).map(|()| None);
        }
        let outcome = self.pass_on(problem, sweep)?;
        let in_tolerance = problem.solver.accepted().is_some_and(|b| b.norm <= self.params.tolerance);
        // Or L-BFGS gave up.
        let turns = match outcome {
            None => sweeps == problem.rounds_of_lbfgs,
            Some(_) => !in_tolerance && sweeps < self.params.max_rounds && problem.newton_follows(),
        };
        if turns {
            problem.turn_to_newton(&self.params, sweeps);
            return Ok(None);
        }
        Ok(outcome)
    }

    fn bend(&self, problem: &mut Problem, product: &[f64]) -> Result<Option<Outcome>> {
        let along = problem.solver.along().unwrap_or_default();
        let (q, l2, per_weight) = (self.features + 1, self.params.l2, 1.0 / problem.weight);
        let mut bent = product.to_vec();
        for (bent, along) in bent.chunks_exact_mut(q).zip(along.chunks_exact(q)) {
            let last = if self.params.intercept { bent[q - 1] * per_weight } else { 0.0 };
            bent[q - 1] = last;
            for j in 0..q - 1 {
                let b = along[j] / problem.scale[j];
                bent[j] = ((bent[j] + l2 * b) * per_weight - problem.centre[j] * last) / problem.scale[j];
            }
        }
        problem.solver.bent(&bent)
    }

    fn best(problem: &Problem) -> Option<&Accepted> {
        problem.solver.accepted().or(problem.before.as_ref()).or(problem.sampled.as_ref())
    }
}

impl<T: Element> LogisticTrainer<T> {
    /// What begins where all coefficients are zero.
    fn first_solver(&self, by_newton: bool, weight: f64, rounds: u64) -> Box<dyn Bends + Send> {
        let (q, tolerance) = (self.features + 1, self.params.tolerance);
        let start = vec![0.0; self.predictors * q];
        if self.params.solver == LogisticSolver::NewtonCg {
            Box::new(NewtonCg::new(start, tolerance, rounds, self.params.is_free()))
        } else if by_newton {
            Box::new(Newton::new(start, tolerance, rounds).with_corners(self.params.l1 / weight, q, 1))
        } else {
            Box::new(Lbfgs::new(start, tolerance, rounds))
        }
    }

    /// Passes the objective at the solver's point on to the solver.
    fn pass_on(&self, problem: &mut Problem, sweep: Sweep) -> Result<Option<Outcome>> {
        let trial = problem.solver.point().to_vec();
        let margin = sweep.margin;
        let evaluation = self.evaluate(problem, &trial, sweep);
        let outcome = problem.solver.advance(evaluation)?;
        let best = problem.solver.accepted();
        if best.is_some_and(|best| best.point == trial) {
            problem.margin = margin;
        }
        let Some(best) = best.filter(|_| self.params.is_free() && problem.margin > 0.0) else {
            return Ok(outcome);
        };
        // Without penalty the objective is the loss alone; it has no minimum.
        if best.value > SEPARATED_LOSS && outcome.is_none() {
            return Ok(None);
        }
        let stopped = "the features separate the classes perfectly".to_owned();
        let warning = format!(
            "{stopped}: without penalty the coefficients would grow without bound, these are where the fit was \
             stopped; use l2 > 0"
        );
        Ok(Some(Outcome { converged: false, stopped, warning: Some(warning) }))
    }

    /// Objective, gradient and Hessian per unit of weight, penalty included, in the solver's coordinates.
    fn evaluate(&self, problem: &Problem, point: &[f64], sweep: Sweep) -> Evaluation {
        let (q, intercept) = (self.features + 1, self.params.intercept);
        let (l1, l2) = (self.params.l1, self.params.l2);
        let per_weight = 1.0 / problem.weight;
        let (mut value, mut norm, mut optimality) = (sweep.loss, 0.0f64, 0.0f64);
        let mut gradient = sweep.gradient;
        for (g, u) in gradient.chunks_exact_mut(q).zip(point.chunks_exact(q)) {
            let slope = if intercept { g[q - 1] * per_weight } else { 0.0 };
            g[q - 1] = slope;
            norm = norm.max(slope.abs());
            optimality = optimality.max(slope.abs());
            for j in 0..q - 1 {
                let b = u[j] / problem.scale[j];
                value += l1 * b.abs() + 0.5 * l2 * b * b;
                let raw = (g[j] + l2 * b) * per_weight;
                let centred = raw - problem.centre[j] * slope;
                optimality = optimality.max(residual(raw, b, l1 * per_weight));
                norm = norm.max(residual(centred, b, l1 * per_weight) / problem.deviation[j]);
                g[j] = centred / problem.scale[j];
            }
        }
        let mut hessian = sweep.hessian;
        if !hessian.is_empty() {
            self.finish_hessian(&mut hessian, per_weight);
        }
        Evaluation { value: value * per_weight, gradient, hessian, norm, optimality }
    }

    /// Penalty, scale and the directions that change nothing.
    fn finish_hessian(&self, hessian: &mut [f64], per_weight: f64) {
        let (q, k) = (self.features + 1, self.predictors);
        let order = q * k;
        hessian.iter_mut().for_each(|h| *h *= per_weight);
        for c in 0..k {
            for j in 0..q - 1 {
                hessian[(c * q + j) * (order + 1)] += self.params.l2 * per_weight;
            }
            if !self.params.intercept {
                // A row of zeros is left out by the factorisation.
                let row = c * q + q - 1;
                hessian[row * order..(row + 1) * order].fill(0.0);
                (row..order).for_each(|i| hessian[i * order + row] = 0.0);
            }
        }
        if k == 1 {
            return;
        }
        // Along a vector added to all classes the gradient is zero; any positive curvature there keeps the step's
        // sum over classes at zero.
        for j in 0..q {
            if j < q - 1 && !self.params.is_free() {
                continue;
            }
            let curvature = (0..k).map(|c| hessian[(c * q + j) * (order + 1)]).sum::<f64>() / k as f64;
            for c in 0..k {
                for d in 0..=c {
                    hessian[(c * q + j) * order + d * q + j] += curvature;
                }
            }
        }
    }

    /// The model and how it went.
    ///
    /// # Errors
    /// When it was stopped before its first round was done.
    pub fn finish(self) -> Result<Fit<LinearModel>> {
        let (problem, mut report) = self.stages.finish()?;
        let best = Self::best(&problem).ok_or(Error::Cancelled)?;
        if problem.is_of_sample() {
            // Nothing was asked of all rows yet.
            (report.objective, report.optimality) = (f64::NAN, f64::NAN);
            report.stopped = "interrupted while a sample of the rows was solved".into();
        }
        let (coefficients, mut intercepts) = problem.model(&best.point, self.predictors);
        if self.predictors > 1 && self.params.intercept {
            // What rounding made of a sum of zero.
            let mean = intercepts.iter().sum::<f64>() / intercepts.len() as f64;
            intercepts.iter_mut().for_each(|b| *b -= mean);
        }
        if coefficients.iter().chain(&intercepts).any(|w| !w.is_finite()) || !best.value.is_finite() {
            return Err(Error::Fit("the solution overflows; scale the features".into()));
        }
        let link = if self.predictors == 1 { Link::Logit } else { Link::Softmax };
        Ok(Fit { model: LinearModel { coefficients, intercepts, link }, report })
    }
}

impl Problem {
    /// Whether the best point so far is one of the sample's, of which objective and gradient tell nothing of all rows.
    fn is_of_sample(&self) -> bool {
        self.sample.is_some() || self.solver.accepted().is_none() && self.before.is_none()
    }

    /// Whether the solver is L-BFGS and will not stay it.
    fn newton_follows(&self) -> bool {
        self.before.is_none() && (1..u64::MAX).contains(&self.rounds_of_lbfgs)
    }

    /// Goes on from the best point with Newton's method, in its coordinates, after so many rounds.
    fn turn_to_newton(&mut self, params: &Logistic, rounds: u64) {
        let Some(best) = self.solver.accepted() else { return };
        let mut before = best.clone();
        for u in before.point.chunks_exact_mut(self.scale.len() + 1) {
            u.iter_mut().zip(&self.scale).for_each(|(u, s)| *u /= s);
        }
        self.scale.fill(1.0);
        let newton = Newton::new(before.point.clone(), params.tolerance, params.max_rounds);
        self.solver = Box::new(newton.after(rounds));
        self.before = Some(before);
    }

    /// Coefficients and intercepts at a point of the solver.
    fn model(&self, point: &[f64], predictors: usize) -> (Vec<f64>, Vec<f64>) {
        let (p, mut coefficients, mut intercepts) = (self.scale.len(), Vec::new(), Vec::new());
        for u in point.chunks_exact(p + 1).take(predictors) {
            let first = coefficients.len();
            coefficients.extend(u.iter().zip(&self.scale).map(|(u, s)| u / s));
            let shift: f64 = coefficients[first..].iter().zip(&self.centre).map(|(w, m)| w * m).sum();
            intercepts.push(u[p] - shift);
        }
        (coefficients, intercepts)
    }
}
