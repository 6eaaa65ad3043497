//! Newton's method whose steps come from conjugate gradients: smooth problems of many sparse columns (Lin, Weng, Keerthi, "Trust
//! region Newton method for large-scale logistic regression", 2008; with a line search instead of a region, Galli, Lin, "A study on
//! truncated Newton methods for linear classification", 2022).
//!
//! A Hessian's product reads the rows once (`by_rows.rs`), and gives the products of the rows with the direction besides: a trial step
//! then costs a look at the rows' predictors, not at the rows. Columns are centred without being changed, so that an intercept does
//! not depend on them; conjugate gradients are preconditioned by the Hessian's diagonal (Hsia, Chiang, Lin, 2018). Rows of few cells in
//! few columns have their steps from a factor instead (`factored.rs`).

use super::by_rows::ByRows;
use super::factored;
use super::loss::{Loss, Losses};
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
pub(super) const SEPARATED_LOSS: f64 = 1e-6;

/// A point: coefficients and the intercepts of centred columns. Where a row has several linear predictors, their coefficients of a column lie
/// one after the other.
#[derive(Clone)]
pub(super) struct Step {
    pub(super) b: Vec<f64>,
    pub(super) intercepts: Vec<f64>,
    /// What it makes of the rows' predictors.
    pub(super) z: Vec<f64>,
}

pub(crate) fn solve<T: Float>(
    problem: &Problem<'_>,
    x: &mut ByRows<'_, T>,
    go_on: GoOn<'_>,
) -> Result<Solved> {
    let leaf = factored::leaf(x.view()).filter(|_| problem.answers.loss.predictors() == 1);
    minimise(problem, x, leaf, go_on)
}

/// As [`solve`], its steps from a factor where there is a `leaf`.
fn minimise<T: Float>(
    problem: &Problem<'_>,
    x: &mut ByRows<'_, T>,
    mut leaf: Option<usize>,
    go_on: GoOn<'_>,
) -> Result<Solved> {
    let (n, k) = (x.view().rows(), problem.answers.loss.predictors());
    // A number for each coefficient.
    let each = |of: &[f64]| of.iter().flat_map(|x| std::iter::repeat_n(*x, k)).collect::<Vec<f64>>();
    let deviation = each(&problem.deviation);
    let centre = if problem.intercept { each(&problem.mean) } else { vec![0.0; deviation.len()] };
    let mut b = vec![0.0; deviation.len()];
    let mut intercepts = vec![problem.start; k];
    let mut z: Vec<f64> = (0..n * k).map(|at| problem.start + problem.offset(at / k)).collect();
    let mut losses = problem.answers.at(&z)?;
    let (mut square, mut rounds, mut first, mut moved) = (0.0, 0, None, 0.0f64);
    let value_of = |loss: f64, square: f64| loss + 0.5 * problem.l2 * square;
    loop {
        let value = value_of(losses.value, square);
        let (mut gradient, squares) = match leaf {
            Some(_) => (x.transposed(&losses.slope), Vec::new()),
            None => x.sums_and_squares(&losses.slope, &losses.curvature),
        };
        rounds += 1;
        let slopes = if problem.intercept { totals(&losses.slope, k) } else { vec![0.0; k] };
        let bends = totals(&losses.curvature, k);
        let mut norm = slopes.iter().fold(0.0f64, |m, s| m.max(s.abs()));
        let mut optimality = norm;
        for j in 0..b.len() {
            let raw = gradient[j] + problem.l2 * b[j];
            gradient[j] = raw - centre[j] * slopes[j % k];
            optimality = optimality.max(raw.abs());
            norm = norm.max((gradient[j] / deviation[j]).abs());
        }
        let end = |outcome: Outcome, b: Vec<f64>, rounds: u64| {
            let shifts = shifts(&b, &centre, k)?;
            let mut intercepts = match problem.intercept {
                true => intercepts.iter().zip(shifts).map(|(a, shift)| a - shift).collect(),
                false => vec![0.0; k],
            };
            let mut coefficients: Vec<f64> =
                (0..k).flat_map(|k_th| b.iter().skip(k_th).step_by(k)).copied().collect();
            if k > 1 {
                // What all classes have in common tells them not apart: of all answers that are as good the one of least norm.
                about_mean(&mut intercepts, k);
                if problem.l2 == 0.0 {
                    about_mean(&mut coefficients, k);
                }
            }
            Ok(Solved { coefficients, intercepts, value, optimality, rounds, outcome })
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
            let endless =
                matches!(problem.answers.loss, Loss::Binomial | Loss::Softmax(_) | Loss::Deviance(_));
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
        let hessian = leaf.map(|leaf| factored::hessian(x.view(), &losses.curvature, leaf));
        let squares = match &hessian {
            Some(hessian) => hessian.iter().step_by(b.len() + 2).take(b.len()).copied().collect(),
            None => squares,
        };
        let about_mean = |(j, square): (usize, &f64)| {
            let about_mean = square - centre[j] * centre[j] * bends[j % k];
            about_mean.max(DIAGONAL * square) + problem.l2
        };
        let diagonal: Vec<f64> = squares.iter().enumerate().map(about_mean).collect();
        let penalty = (problem.l2, problem.intercept);
        let factored = match hessian {
            Some(hessian) => factored::step(x.view(), hessian, penalty, &centre, (&gradient, slopes[0]))?,
            None => None,
        };
        let (step, products) = match factored {
            Some(step) => (step, 1),
            None => {
                // What is singular once mostly stays so.
                leaf = None;
                let (losses, bends) = (&losses, &bends[..]);
                let curved = Curved { problem, losses, bends, centre: &centre, diagonal: &diagonal };
                let mut still = |products: u64| go_on(rounds + products, value, norm);
                curved.step(x, &gradient, &slopes, share, most, &mut still)?
            }
        };
        rounds += products;
        let along = dot(&gradient, &step.b)? + inner(&slopes, &step.intercepts);
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
            let slopes = if problem.intercept { totals(&there.slope, k) } else { vec![0.0; k] };
            let mut less = slopes.iter().fold(0.0f64, |m, s| m.max(s.abs()));
            for (j, g) in after.iter_mut().enumerate() {
                let b = b[j] + length * step.b[j];
                less = less.max(((*g + problem.l2 * b - centre[j] * slopes[j % k]) / deviation[j]).abs());
            }
            rounds += 1;
            if less >= FALLING * norm {
                return end(Outcome::precision(norm), b, rounds);
            }
        }
        moved = step.b.iter().zip(&deviation).fold(0.0f64, |m, (d, s)| m.max((length * d * s).abs()));
        axpy(length, &step.b, &mut b)?;
        intercepts.iter_mut().zip(&step.intercepts).for_each(|(a, step)| *a += length * step);
        square = dot(&b, &b)?;
        (z, losses) = (trial, there);
    }
}

/// The sums of rows' numbers, for each of `k` linear predictors.
fn totals(of_rows: &[f64], k: usize) -> Vec<f64> {
    if k == 1 {
        return vec![sum(of_rows)];
    }
    let of = |k_th: usize| sum(&of_rows.iter().skip(k_th).step_by(k).copied().collect::<Vec<f64>>());
    (0..k).map(of).collect()
}

/// What coefficients make of the centre, for each of `k` linear predictors.
fn shifts(b: &[f64], centre: &[f64], k: usize) -> Result<Vec<f64>> {
    if k == 1 {
        return Ok(vec![dot(b, centre)?]);
    }
    let products: Vec<f64> = b.iter().zip(centre).map(|(b, c)| b * c).collect();
    Ok(totals(&products, k))
}

/// The product of a few numbers.
fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Takes off what `k` rows have in common.
fn about_mean(rows: &mut [f64], k: usize) {
    let width = rows.len() / k;
    for j in 0..width {
        let mean = rows.iter().skip(j).step_by(width).sum::<f64>() / k as f64;
        rows.iter_mut().skip(j).step_by(width).for_each(|x| *x -= mean);
    }
}

/// The quadratic model at a point.
struct Curved<'a, 'b> {
    problem: &'a Problem<'b>,
    losses: &'a Losses,
    /// Sums of the rows' curvatures, for each linear predictor.
    bends: &'a [f64],
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
        slopes: &[f64],
        share: f64,
        most: u64,
        still: &mut dyn FnMut(u64) -> bool,
    ) -> Result<(Step, u64)> {
        let (n, p, k) = (self.losses.slope.len(), gradient.len(), slopes.len());
        let per_bend = |bend: &f64| if self.problem.intercept && *bend > 0.0 { 1.0 / bend } else { 0.0 };
        let per_bend: Vec<f64> = self.bends.iter().map(per_bend).collect();
        let per_diagonal: Vec<f64> =
            self.diagonal.iter().map(|d| if *d > 0.0 { 1.0 / d } else { 0.0 }).collect();
        let mut step = Step { b: vec![0.0; p], intercepts: vec![0.0; k], z: vec![0.0; n] };
        let mut r: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut r_last: Vec<f64> = slopes.iter().map(|s| -s).collect();
        let scaled = |r: &[f64]| r.iter().zip(&per_diagonal).map(|(r, d)| r * d).collect::<Vec<f64>>();
        let mut scaled_r = scaled(&r);
        let scaled_last = |r: &[f64]| r.iter().zip(&per_bend).map(|(r, d)| r * d).collect::<Vec<f64>>();
        let mut along = Step { b: scaled_r.clone(), intercepts: scaled_last(&r_last), z: vec![0.0; n] };
        let mut square = dot(&r, &scaled_r)? + inner(&r_last, &along.intercepts);
        let enough = square * share * share;
        let mut products = 0;
        // Of a step that is cut short the objective falls too.
        while square > enough && products < most && (products == 0 || still(products)) {
            let shifts = shifts(&along.b, self.centre, k)?;
            let shift: Vec<f64> = along.intercepts.iter().zip(shifts).map(|(a, shift)| a - shift).collect();
            let shares = &self.problem.answers.shares;
            let (mut bent, totals) = x.bend(&along.b, &shift, self.losses, shares, &mut along.z);
            products += 1;
            for (j, bent) in bent.iter_mut().enumerate() {
                *bent += self.problem.l2 * along.b[j] - self.centre[j] * totals[j % k];
            }
            let bent_last = if self.problem.intercept { totals } else { vec![0.0; k] };
            let curvature = dot(&along.b, &bent)? + inner(&along.intercepts, &bent_last);
            if !(curvature > 0.0 && curvature.is_finite()) {
                break;
            }
            let length = square / curvature;
            axpy(length, &along.b, &mut step.b)?;
            axpy(length, &along.z, &mut step.z)?;
            step.intercepts.iter_mut().zip(&along.intercepts).for_each(|(a, along)| *a += length * along);
            axpy(-length, &bent, &mut r)?;
            r_last.iter_mut().zip(&bent_last).for_each(|(r, bent)| *r -= length * bent);
            scaled_r = scaled(&r);
            let last = scaled_last(&r_last);
            let next = dot(&r, &scaled_r)? + inner(&r_last, &last);
            let keep = next / square;
            square = next;
            along.b.iter_mut().zip(&scaled_r).for_each(|(along, r)| *along = r + keep * *along);
            along.intercepts.iter_mut().zip(&last).for_each(|(along, r)| *along = r + keep * *along);
        }
        Ok((step, products))
    }
}

pub(super) fn separated() -> Outcome {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deviance::Distribution;
    use crate::sparse::Data;
    use crate::{Rows, sparse::by_rows::inner as product};
    use tilewise_base::Sparse;

    /// Both ways to a step lead to the same minimum, with an intercept or not, an offset, weights and a column without cells.
    #[test]
    fn steps_from_a_factor_lead_where_conjugate_gradients_do() {
        let (rows, cols, cells) = (600, 17, 3);
        let hash = |i: usize| (i * 7919 + i * i % 1009 * 31) % 1013;
        // In each third of the columns, but the last, one cell.
        let indices: Vec<u32> = (0..rows * cells).map(|i| (i % cells * 5 + hash(i) % 5) as u32).collect();
        let values: Vec<f64> = (0..rows * cells).map(|i| 0.5 + hash(i + 7) as f64 / 1013.0).collect();
        let starts = (0..=rows).map(|i| i * cells).collect();
        let x = Sparse::by_rows(rows, cols, starts, indices, values).unwrap();
        let truth: Vec<f64> = (0..cols).map(|j| (j as f64).sin()).collect();
        let z: Vec<f64> = (0..rows).map(|i| product(x.view().line(i), &truth)).collect();
        let weights: Vec<f64> = (0..rows).map(|i| (i % 4) as f64).collect();
        let offset: Vec<f64> = (0..rows).map(|i| (hash(i) as f64 / 1013.0) - 0.5).collect();
        for loss in [Loss::Squared, Loss::Binomial, Loss::Deviance(Distribution::Poisson), Loss::Huber(0.3)] {
            let y: Vec<f64> = z
                .iter()
                .enumerate()
                .map(|(i, z)| match loss {
                    Loss::Binomial => f64::from(u8::from(z + hash(i) as f64 / 300.0 > 2.0)),
                    Loss::Deviance(_) => (hash(i) % 3) as f64 + z.exp().floor(),
                    _ => z + hash(i) as f64 / 500.0,
                })
                .collect();
            for (intercept, l2) in [(true, 1e-3), (false, 1e-3), (false, 0.0)] {
                let given = Rows { weights: Some(&weights), offset: Some(&offset) };
                let data = Data::new(x.view(), &y, given, loss, intercept).unwrap();
                let problem = Problem { l2, tolerance: 1e-9, max_rounds: 10_000, ..data.problem };
                let run = |leaf| {
                    minimise(&problem, &mut ByRows::new(x.view(), 1), leaf, &mut |_, _, _| true).unwrap()
                };
                let (factored, by_products) = (run(Some(150)), run(None));
                assert!(factored.outcome.converged && by_products.outcome.converged, "{loss:?}");
                assert!(factored.rounds < by_products.rounds, "{loss:?} {} rounds", factored.rounds);
                let near = |a: &f64, b: &f64| (a - b).abs() < 1e-6 * (1.0 + b.abs());
                let pairs = factored.coefficients.iter().zip(&by_products.coefficients);
                assert!(pairs.clone().all(|(a, b)| near(a, b)), "{loss:?} {intercept} {l2}");
                assert!(near(&factored.intercepts[0], &by_products.intercepts[0]), "{loss:?}");
                assert!(factored.coefficients[16] == 0.0 && factored.intercepts[0] != 0.0 || !intercept);
            }
        }
    }
}
