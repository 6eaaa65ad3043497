//! Newton's method whose steps come from conjugate gradients: smooth problems of many sparse columns (Lin, Weng, Keerthi, "Trust
//! region Newton method for large-scale logistic regression", 2008; with a line search instead of a region, Galli, Lin, "A study on
//! truncated Newton methods for linear classification", 2022).
//!
//! A Hessian's product reads the rows once (`by_rows.rs`), and gives the products of the rows with the direction besides: a trial step
//! then costs a look at the rows' predictors, not at the rows. Columns are centred without being changed, so that an intercept does
//! not depend on them; conjugate gradients are preconditioned by the Hessian's diagonal (Hsia, Chiang, Lin, 2018).

use super::by_rows::ByRows;
use super::loss::Loss;
use super::problem::{GoOn, Problem, Solved, interrupted};
use tilewise_base::solver::{Outcome, rounding, sufficient};
use tilewise_base::{Error, Result};
use tilewise_kernels::{Float, axpy, dot, sum};

/// The largest residual, as a share of the gradient, to which a step is solved; closer to the minimum it is solved better.
const ROUGH: f64 = 0.25;

/// Of the tolerance, what the residual of a step need not be below.
const FINE: f64 = 0.3;

/// Products with the Hessian in a step at most.
const PRODUCTS: u64 = 2000;

/// Where the objective no longer tells, a step goes on if it leaves at most this share of the gradient: Huber's steps converge linearly.
const FALLING: f64 = 0.9;

/// Halvings of a step before giving up.
const HALVINGS: u32 = 30;

/// Least share that a centred column keeps of its diagonal entry: what the means cannot tell, as rows have different curvatures.
const DIAGONAL: f64 = 1e-2;

/// A last step that changes a linear predictor so much, per deviation of a column, is no sign of a minimum nearby.
const MOVING: f64 = 0.3;

/// Loss at which separated classes are left alone, as for dense rows.
const SEPARATED_LOSS: f64 = 1e-6;

/// A point: coefficients and the intercept of centred columns.
#[derive(Clone)]
struct Step {
    b: Vec<f64>,
    intercept: f64,
    /// What it makes of the rows' predictors.
    z: Vec<f64>,
}

pub(crate) fn solve<T: Float>(
    problem: &Problem<'_>,
    x: &mut ByRows<'_, T>,
    go_on: GoOn<'_>,
) -> Result<Solved> {
    let (n, p) = (x.view().rows(), x.view().cols());
    let centre = if problem.intercept { problem.mean.clone() } else { vec![0.0; p] };
    let mut b = vec![0.0; p];
    let mut intercept = problem.start;
    let mut z: Vec<f64> = (0..n).map(|i| intercept + problem.offset(i)).collect();
    let mut losses = problem.answers.at(&z)?;
    let (mut square, mut rounds, mut first, mut moved) = (0.0, 0, None, 0.0f64);
    let value_of = |loss: f64, square: f64| loss + 0.5 * problem.l2 * square;
    loop {
        let value = value_of(losses.value, square);
        let (mut gradient, mut diagonal) = x.sums_and_squares(&losses.slope, &losses.curvature);
        rounds += 1;
        let slope = if problem.intercept { sum(&losses.slope) } else { 0.0 };
        let bend = sum(&losses.curvature);
        let (mut norm, mut optimality) = (slope.abs(), slope.abs());
        for j in 0..p {
            let raw = gradient[j] + problem.l2 * b[j];
            gradient[j] = raw - centre[j] * slope;
            optimality = optimality.max(raw.abs());
            norm = norm.max((gradient[j] / problem.deviation[j]).abs());
            let about_mean = diagonal[j] - centre[j] * centre[j] * bend;
            diagonal[j] = about_mean.max(DIAGONAL * diagonal[j]) + problem.l2;
        }
        let end = |outcome: Outcome, b: Vec<f64>, rounds: u64| {
            let shift = dot(&b, &centre)?;
            let intercept = if problem.intercept { intercept - shift } else { 0.0 };
            Ok(Solved { coefficients: b, intercept, value, optimality, rounds, outcome })
        };
        if problem.may_separate()
            && value <= SEPARATED_LOSS
            && problem.answers.margin(&z, problem.offset) > 0.0
        {
            return end(separated(), b, rounds);
        }
        if norm <= problem.tolerance {
            let mut outcome = Outcome::converged(norm, problem.tolerance);
            // Where losses have no minimum; least squares are solved by one step, however long.
            let endless = matches!(problem.answers.loss, Loss::Binomial | Loss::Deviance(_));
            outcome.warning = (endless && moved > MOVING && problem.l2 == 0.0).then(still_moving);
            return end(outcome, b, rounds);
        }
        if !value.is_finite() || !norm.is_finite() {
            return end(Outcome::stuck(norm), b, rounds);
        }
        if rounds >= problem.max_rounds {
            return end(Outcome::out_of_rounds(rounds, norm, problem.tolerance), b, rounds);
        }
        if !go_on(rounds, value, norm) {
            // Nothing was learned yet.
            return if rounds == 1 { Err(Error::Cancelled) } else { end(interrupted(), b, rounds) };
        }
        let norm_at_start = *first.get_or_insert(norm);
        let fine = FINE * problem.tolerance / norm;
        // The model of least squares is the objective itself: one step.
        let exact = problem.answers.loss == Loss::Squared;
        let share = if exact { fine } else { (norm / norm_at_start).sqrt().min(ROUGH).max(fine) };
        let most = PRODUCTS.min(problem.max_rounds - rounds);
        let curved = Curved { problem, d: &losses.curvature, bend, centre: &centre, diagonal: &diagonal };
        let (step, products) = curved.step(x, &gradient, slope, share, most)?;
        rounds += products;
        let along = dot(&gradient, &step.b)? + slope * step.intercept;
        let (mixed, long) = (dot(&b, &step.b)?, dot(&step.b, &step.b)?);
        let mut length = 1.0;
        let mut trial = z.clone();
        let mut found = None;
        for _ in 0..HALVINGS {
            trial.copy_from_slice(&z);
            axpy(length, &step.z, &mut trial)?;
            let there = problem.answers.at(&trial)?;
            let after = value_of(there.value, square + length * (2.0 * mixed + length * long));
            // Where the difference is all rounding the gradient decides: it is looked at next.
            let tiny = -length * along <= rounding(value) && after <= value + rounding(value);
            if sufficient(value, after, length * along) || tiny {
                found = Some((there, tiny));
                break;
            }
            length *= 0.5;
        }
        let Some((there, tiny)) = found.filter(|_| along < 0.0) else {
            return end(Outcome::stuck(norm), b, rounds);
        };
        if tiny {
            // One more step at most: if the gradient does not fall it is exact to rounding.
            let mut after = x.transposed(&there.slope);
            let slope = if problem.intercept { sum(&there.slope) } else { 0.0 };
            let mut less = slope.abs();
            for (j, g) in after.iter_mut().enumerate() {
                let b = b[j] + length * step.b[j];
                less = less.max(((*g + problem.l2 * b - centre[j] * slope) / problem.deviation[j]).abs());
            }
            rounds += 1;
            if less >= FALLING * norm {
                return end(Outcome::precision(norm), b, rounds);
            }
        }
        moved = step.b.iter().zip(&problem.deviation).fold(0.0f64, |m, (d, s)| m.max((length * d * s).abs()));
        axpy(length, &step.b, &mut b)?;
        intercept += length * step.intercept;
        square = dot(&b, &b)?;
        (z, losses) = (trial, there);
    }
}

/// The quadratic model at a point.
struct Curved<'a, 'b> {
    problem: &'a Problem<'b>,
    /// Curvatures of the rows, and their sum.
    d: &'a [f64],
    bend: f64,
    centre: &'a [f64],
    diagonal: &'a [f64],
}

impl Curved<'_, '_> {
    /// Conjugate gradients from zero, until the residual is a `share` of the gradient, in the norm of the diagonal; and how many
    /// products they took, `most` at most.
    fn step<T: Float>(
        &self,
        x: &mut ByRows<'_, T>,
        gradient: &[f64],
        slope: f64,
        share: f64,
        most: u64,
    ) -> Result<(Step, u64)> {
        let (n, p) = (self.d.len(), gradient.len());
        let per_bend = if self.problem.intercept && self.bend > 0.0 { 1.0 / self.bend } else { 0.0 };
        let per_diagonal: Vec<f64> =
            self.diagonal.iter().map(|d| if *d > 0.0 { 1.0 / d } else { 0.0 }).collect();
        let mut step = Step { b: vec![0.0; p], intercept: 0.0, z: vec![0.0; n] };
        let mut r: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut r_last = -slope;
        let scaled = |r: &[f64]| r.iter().zip(&per_diagonal).map(|(r, d)| r * d).collect::<Vec<f64>>();
        let mut scaled_r = scaled(&r);
        let mut along = Step { b: scaled_r.clone(), intercept: r_last * per_bend, z: vec![0.0; n] };
        let mut square = dot(&r, &scaled_r)? + r_last * r_last * per_bend;
        let enough = square * share * share;
        let mut products = 0;
        while square > enough && products < most {
            let shift = along.intercept - dot(&along.b, self.centre)?;
            let (mut bent, total) = x.bend(&along.b, shift, self.d, &mut along.z);
            products += 1;
            for (j, bent) in bent.iter_mut().enumerate() {
                *bent += self.problem.l2 * along.b[j] - self.centre[j] * total;
            }
            let bent_last = if self.problem.intercept { total } else { 0.0 };
            let curvature = dot(&along.b, &bent)? + along.intercept * bent_last;
            if !(curvature > 0.0 && curvature.is_finite()) {
                break;
            }
            let length = square / curvature;
            axpy(length, &along.b, &mut step.b)?;
            axpy(length, &along.z, &mut step.z)?;
            step.intercept += length * along.intercept;
            axpy(-length, &bent, &mut r)?;
            r_last -= length * bent_last;
            scaled_r = scaled(&r);
            let next = dot(&r, &scaled_r)? + r_last * r_last * per_bend;
            let keep = next / square;
            square = next;
            along.b.iter_mut().zip(&scaled_r).for_each(|(along, r)| *along = r + keep * *along);
            along.intercept = r_last * per_bend + keep * along.intercept;
        }
        Ok((step, products))
    }
}

fn separated() -> Outcome {
    let stopped = "the features separate the classes perfectly".to_owned();
    let warning = format!(
        "{stopped}: without penalty the coefficients would grow without bound, these are where the fit was stopped; use l2 > 0"
    );
    Outcome { converged: false, stopped, warning: Some(warning) }
}

fn still_moving() -> String {
    "some coefficients still grow although the gradient has vanished: a feature separates part of the rows perfectly; use a penalty \
     for finite coefficients"
        .into()
}
