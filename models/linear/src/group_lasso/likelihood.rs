//! Group lasso of logistic regression and of deviances: Newton steps, each the minimum of the loss's quadratic model with the penalty (Lee, Sun,
//! Saunders, "Proximal Newton-type methods for minimizing composite functions", 2014), found by block coordinate descent on the
//! products of columns as that of least squares.
//!
//! A round is a pass over the rows at a point: loss, gradient and Hessian, of columns about their means. The intercept is at the
//! quadratic model's minimum all the while. Steps are halved until the objective falls.

use super::{GroupLasso, GroupLoss, HALVINGS, Problem};
use crate::elastic_net::check_rows;
use crate::elastic_net::design::{Design, Products, no_weight};
use crate::moments::{Moments, Second};
use crate::sweep::{Point, Sweep, totals};
use crate::{Chunk, Element, LinearModel, Link, Rows};
use tilewise_base::solver::{Outcome, rounding, sufficient};
use tilewise_base::{Context, Error, Fit, FitReport, Result};
use tilewise_kernels::{MatRef, axpy, dot};

/// What a quadratic model is solved to, as a share of the residual at hand, and looks at it at most.
const SHARE: f64 = 0.01;
const LOOKS: u32 = 200;
/// The share of a column's square that is left of it beside the intercept at least.
const LOST: f64 = 1e-12;

/// Rounds without a residual that is a tenth smaller, or an objective that falls, after which what is left is rounding.
const PATIENCE: u32 = 4;

/// The rows, and what no point changes.
struct Data<'a, T> {
    chunk: Chunk<'a, T, f64>,
    /// Classes, where these are learned.
    classes: Vec<u32>,
    loss: GroupLoss,
    intercept: bool,
    weight: f64,
    /// What is taken off the columns, and their deviations: 0 of constant ones.
    centre: Vec<f64>,
    deviation: Vec<f64>,
    /// What the loss has besides, per unit of weight.
    constant: f64,
}

/// A point, and sums over rows there, per unit of weight and of columns about their means.
struct At {
    b: Vec<f64>,
    intercept: f64,
    value: f64,
    slopes: Vec<f64>,
    slope: f64,
    /// Of the coefficients, of them and the intercept, of the intercept.
    hessian: Vec<f64>,
    beside: Vec<f64>,
    last: f64,
}

pub(super) fn fit<T: Element>(
    params: &GroupLasso,
    x: MatRef<'_, T>,
    y: &[f64],
    rows: Rows<'_>,
    context: &Context<'_>,
) -> Result<Fit<LinearModel>> {
    let all = params.all_groups(x.cols())?;
    let (data, start) = Data::new(params, Chunk { x, y, rows, first_row: 0 })?;
    let mut at = data.at(params, &all, vec![0.0; x.cols()], start)?;
    if !at.value.is_finite() {
        return Err(Error::Fit("targets or offsets are so large that means overflow".into()));
    }
    let (mut rounds, mut idle, mut mark, mut before) = (1u64, 0, f64::INFINITY, f64::INFINITY);
    let (outcome, optimality) = loop {
        let problem = data.model(params, &all, &at)?;
        let norm = data.far(&problem, &at, |slope, j| (slope, data.deviation[j]));
        let optimality = data.far(&problem, &at, |slope, j| (slope + data.centre[j] * at.slope, 1.0));
        let falls = norm < 0.9 * mark || before - at.value > 1e-13 * at.value.abs();
        idle = if falls { 0 } else { idle + 1 };
        (mark, before) = (mark.min(norm), at.value);
        let note = format!("loss {:.6}, gradient {norm:.1e}", at.value);
        context.progress.round(rounds, params.max_rounds, &note);
        let stopped = if norm <= params.tolerance {
            break (Outcome::converged(norm, params.tolerance), optimality);
        } else if idle >= PATIENCE {
            Some("no step lowers the objective".to_owned())
        } else if rounds >= params.max_rounds {
            Some(format!("the limit of {rounds} rounds was reached"))
        } else if context.cancelled() {
            Some("interrupted".into())
        } else {
            None
        };
        if let Some(stopped) = stopped {
            let tolerance = params.tolerance;
            let warning = format!(
                "did not converge: {stopped}; gradient {norm:.1e} is above the tolerance {tolerance:.1e}"
            );
            break (Outcome { converged: false, stopped, warning: Some(warning) }, optimality);
        }
        let step = data.step(&problem, &at, norm)?;
        let (next, passes) = data.search(params, &all, &problem, &at, &step)?;
        rounds += passes;
        match next {
            Some(next) => at = next,
            // It would find none again.
            None => idle = PATIENCE,
        }
    };
    let At { b: coefficients, intercept, value, .. } = at;
    let intercept = intercept - dot(&coefficients, &data.centre)?;
    if coefficients.iter().chain([&intercept]).any(|b| !b.is_finite()) {
        return Err(Error::Fit("the solution overflows; scale the features".into()));
    }
    let link = if params.loss == GroupLoss::Logistic { Link::Logit } else { Link::Log };
    let report = FitReport {
        converged: outcome.converged,
        stopped: outcome.stopped,
        objective: value,
        optimality,
        rounds,
        warnings: outcome.warning.into_iter().collect(),
    };
    Ok(Fit { model: LinearModel { coefficients, intercepts: vec![intercept], link }, report })
}

impl<'a, T: Element> Data<'a, T> {
    /// And the intercept of the model without columns.
    fn new(params: &GroupLasso, chunk: Chunk<'a, T, f64>) -> Result<(Self, f64)> {
        check_rows(&chunk)?;
        let refused = |what: &dyn Fn(f64) -> Option<String>| {
            let wrong = chunk.y.iter().enumerate().find_map(|(i, &y)| Some((i, what(y)?)));
            wrong.map_or(Ok(()), |(row, what)| Err(Error::Fit(format!("row {row}: the target {what}"))))
        };
        let moments = Moments::of(&chunk, Second::Squares, |rows| vec![0.0; rows.len()])?;
        if moments.weight <= 0.0 {
            return Err(no_weight());
        }
        let (mut classes, mut constant, mut start) = (Vec::new(), 0.0, 0.0);
        match params.loss {
            GroupLoss::Deviance(distribution) => {
                distribution.check()?;
                refused(&|y| distribution.refuses(y).map(|what| what.to_string()))?;
                let [target, exposure, besides] = totals(&chunk, distribution)?;
                if target <= 0.0 {
                    let what = "all targets of rows that count are zero: their mean has no logarithm";
                    return Err(Error::Fit(what.into()));
                }
                constant = besides / moments.weight;
                if params.intercept {
                    start = (target / exposure).ln();
                }
            }
            GroupLoss::Logistic | GroupLoss::Squared => {
                let accepted = |y: f64| y == 0.0 || y == 1.0;
                refused(&|y| (!accepted(y)).then(|| format!("is {y}; 0 and 1 are accepted")))?;
                classes = chunk.y.iter().map(|y| *y as u32).collect();
                for class in [0, 1] {
                    if !(0..classes.len()).any(|i| classes[i] == class && chunk.weight(i) > 0.0) {
                        let what =
                            format!("class {class} has no row of positive weight; every class needs one");
                        return Err(Error::Fit(what));
                    }
                }
            }
        }
        let p = chunk.x.cols();
        let about_zero = if params.intercept { 0.0 } else { 1.0 };
        let deviation = moments.second.iter().zip(&moments.mean).map(|(s, mean)| {
            let square = s / moments.weight + about_zero * mean * mean;
            // What is left of a constant column is rounding.
            if square.sqrt() > 8.0 * f64::EPSILON * mean.abs() { square.sqrt() } else { 0.0 }
        });
        let deviation: Vec<f64> = deviation.collect();
        let centre = if params.intercept { moments.mean } else { vec![0.0; p] };
        let (loss, intercept, weight) = (params.loss, params.intercept, moments.weight);
        Ok((Self { chunk, classes, loss, intercept, weight, centre, deviation, constant }, start))
    }

    fn at(&self, params: &GroupLasso, all: &[Vec<usize>], b: Vec<f64>, intercept: f64) -> Result<At> {
        let p = b.len();
        let point = Point {
            coefficients: b.clone(),
            intercepts: vec![intercept - dot(&b, &self.centre)?],
            class_weights: Vec::new(),
            centre: Some(self.centre.clone()),
            margin: false,
            every: 1,
        };
        let sweep = match self.loss {
            GroupLoss::Deviance(distribution) => Sweep::of_numbers(&self.chunk, &point, distribution)?,
            GroupLoss::Logistic | GroupLoss::Squared => {
                let Chunk { x, rows, first_row, .. } = self.chunk;
                Sweep::of(&Chunk { x, y: &self.classes, rows, first_row }, &point)?
            }
        };
        let per_weight = 1.0 / self.weight;
        let of_penalty: f64 = all.iter().map(|group| params.penalty_of(group, &b)).sum();
        let value = sweep.loss * per_weight + self.constant + of_penalty;
        let slope = if self.intercept { sweep.gradient[p] * per_weight } else { 0.0 };
        let slopes = (0..p).map(|j| sweep.gradient[j] * per_weight - self.centre[j] * slope).collect();
        let order = p + 1;
        let entry = |i: usize, j: usize| sweep.hessian[i.max(j) * order + i.min(j)] * per_weight;
        let mut hessian = Vec::with_capacity(p * p);
        (0..p).for_each(|i| hessian.extend((0..p).map(|j| entry(i, j))));
        let beside = (0..p).map(|j| if self.intercept { entry(p, j) } else { 0.0 }).collect();
        let last = if self.intercept { entry(p, p) } else { 0.0 };
        Ok(At { b, intercept, value, slopes, slope, hessian, beside, last })
    }

    /// The quadratic model about a point, with the intercept at its minimum: b H b / 2 - c b and the penalty.
    fn model(&self, params: &GroupLasso, all: &[Vec<usize>], at: &At) -> Result<Problem> {
        let p = at.b.len();
        let per_last = if at.last > 0.0 { 1.0 / at.last } else { 0.0 };
        let mut gram = at.hessian.clone();
        for (row, beside) in gram.chunks_exact_mut(p).zip(&at.beside) {
            axpy(-beside * per_last, &at.beside, row)?;
        }
        let mut cross = Vec::with_capacity(p);
        for (j, row) in gram.chunks_exact_mut(p).enumerate() {
            cross.push(dot(row, &at.b)? - (at.slopes[j] - at.beside[j] * at.slope * per_last));
            // A column whose square is 0 keeps the coefficient 0; one whose square is lost to rounding is looked at all the same.
            row[j] = match self.deviation[j] {
                0.0 => 0.0,
                _ => row[j].max(LOST * at.hessian[j * p + j]),
            };
        }
        Problem::new(params, Products::given(gram, cross, 0.0), all.to_vec())
    }

    /// The largest entry of the shortest subgradient, `entry` giving slopes and the units that they are told in.
    fn far(&self, problem: &Problem, at: &At, entry: impl Fn(f64, usize) -> (f64, f64)) -> f64 {
        let of_group = |group: &super::Group| {
            let (slopes, units): (Vec<f64>, Vec<f64>) =
                group.columns.iter().map(|&j| entry(at.slopes[j], j)).unzip();
            let far = problem.far(group, &slopes, &at.b);
            far.iter().zip(units).map(|(far, unit)| far.abs() / unit).fold(0.0, f64::max)
        };
        problem.groups.iter().map(of_group).fold(at.slope.abs(), f64::max)
    }

    /// To the minimum of the quadratic model, or near it.
    fn step(&self, problem: &Problem, at: &At, norm: f64) -> Result<Vec<f64>> {
        let (mut b, p) = (at.b.clone(), at.b.len());
        let mut pulls = vec![0.0; p];
        let mut mark = f64::INFINITY;
        for look in 1..=LOOKS {
            problem.products.correlate(&b, &[], &mut pulls)?;
            let of_group = |group: &super::Group| {
                let slopes: Vec<f64> = group.columns.iter().map(|&j| -pulls[j]).collect();
                let far = problem.far(group, &slopes, &b);
                far.iter()
                    .zip(&group.columns)
                    .map(|(far, &j)| far.abs() / self.deviation[j])
                    .fold(0.0, f64::max)
            };
            let left = problem.groups.iter().map(of_group).fold(0.0, f64::max);
            mark = f64::min(mark, left);
            if left <= SHARE * norm {
                break;
            }
            let mut settled = true;
            for _ in 0..super::SWEEPS {
                settled = !problem.sweep(&mut b, &mut pulls)?;
            }
            if settled || look.is_power_of_two() {
                problem.newton(&mut b, &pulls)?;
            }
        }
        Ok(b)
    }

    /// The point along the way to `to` at which the objective has fallen enough, if there is one, and passes over the rows.
    fn search(
        &self,
        params: &GroupLasso,
        all: &[Vec<usize>],
        problem: &Problem,
        at: &At,
        to: &[f64],
    ) -> Result<(Option<At>, u64)> {
        let step: Vec<f64> = to.iter().zip(&at.b).map(|(to, from)| to - from).collect();
        let of_intercept = if at.last > 0.0 { -(at.slope + dot(&at.beside, &step)?) / at.last } else { 0.0 };
        // The objective's first-order change along the step.
        let smooth = dot(&at.slopes, &step)? + at.slope * of_intercept;
        let along = smooth + problem.penalty(to) - problem.penalty(&at.b);
        let (mut length, mut passes) = (1.0, 0);
        while along <= 0.0 && passes < u64::from(HALVINGS) {
            let b = if length == 1.0 {
                to.to_vec()
            } else {
                at.b.iter().zip(&step).map(|(b, d)| b + length * d).collect()
            };
            let next = self.at(params, all, b, at.intercept + length * of_intercept)?;
            passes += 1;
            let tiny = -length * along <= rounding(at.value) && next.value <= at.value + rounding(at.value);
            if next.value.is_finite() && (sufficient(at.value, next.value, length * along) || tiny) {
                return Ok((Some(next), passes));
            }
            length *= 0.5;
        }
        Ok((None, passes.max(1)))
    }
}
