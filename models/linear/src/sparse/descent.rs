//! Newton steps by coordinate descent on working sets of sparse columns: penalties with corners (Lee, Sun, Saunders, "Proximal
//! Newton-type methods for minimizing composite functions", 2014; Yuan, Ho, Lin, "An improved GLMNET for L1-regularized logistic
//! regression", 2012; working sets as in Bertrand et al., "Beyond L1: faster and better sparse models with skglm", 2022).
//!
//! Rounds look at all columns, over threads: each looks for the columns that are furthest from what a minimum asks of them. On those,
//! the loss is replaced by its quadratic model, whose minimum coordinate descent finds by reading only cells that are stored: the
//! intercept is at its minimum all the while, which amounts to columns centred by the rows' curvatures, and costs a number per column.

use super::by_rows::{inner, products};
use super::loss::{Loss, Losses};
use super::problem::{GoOn, Problem, Solved};
use crate::elastic_net::penalty::Penalty;
use crate::optimality::residual;
use tilewise_base::solver::{rounding, sufficient};
use tilewise_base::{Result, SparseRef};
use tilewise_kernels::{Float, sum};

/// Columns of the first set.
const SMALLEST: usize = 64;

/// What a set is solved to, as a share of the residual of all columns; and a Newton step, of the set's.
const SHARE: f64 = 0.1;

/// Newton steps on a set, and sweeps in a step, at most.
const STEPS: usize = 20;
const SWEEPS: usize = 200;

/// Halvings of a step before giving up.
const HALVINGS: u32 = 30;

/// Rounds without progress after which what is left is rounding.
const PATIENCE: u32 = 4;

struct State {
    b: Vec<f64>,
    intercept: f64,
    z: Vec<f64>,
    losses: Losses,
}

/// Minimises over `x`, which lies by columns.
pub(crate) fn solve<T: Float>(problem: &Problem<'_>, x: SparseRef<'_, T>, go_on: GoOn<'_>) -> Result<Solved> {
    let (n, p) = (x.rows(), x.cols());
    let z: Vec<f64> = (0..n).map(|i| problem.start + problem.offset(i)).collect();
    let losses = problem.answers.at(&z)?;
    let mut at = State { b: vec![0.0; p], intercept: problem.start, z, losses };
    let (mut rounds, mut idle, mut best, mut before) = (0, 0, f64::INFINITY, f64::INFINITY);
    loop {
        let value = at.losses.value + penalty_of(problem, &at.b);
        let slope = if problem.intercept { sum(&at.losses.slope) } else { 0.0 };
        let gradient = products(x, &at.losses.slope);
        rounds += 1;
        let (mut norm, mut optimality) = (slope.abs(), slope.abs());
        let far: Vec<f64> = (0..p)
            .map(|j| {
                let far = residual(gradient[j] + problem.l2 * at.b[j], at.b[j], problem.l1);
                optimality = optimality.max(far);
                norm = norm.max(far / problem.deviation[j]);
                far / problem.deviation[j]
            })
            .collect();
        if problem.gap.is_some() {
            optimality = gap(problem, &at.b, &at.losses, &gradient);
        }
        let falls = optimality < 0.9 * best || before - value > 1e-13 * value.abs();
        idle = if falls { 0 } else { idle + 1 };
        (best, before) = (best.min(optimality), value);
        let met = problem.met(norm, optimality);
        let outcome = if met.is_some() {
            met
        } else {
            let stuck = idle >= PATIENCE || !value.is_finite() || !norm.is_finite();
            let why = stuck.then(|| "no step lowers the objective".into());
            problem.ended(why, (rounds, value, norm, optimality), go_on)?
        };
        if let Some(outcome) = outcome {
            let intercept = if problem.intercept { at.intercept } else { 0.0 };
            let intercepts = vec![intercept];
            return Ok(Solved { coefficients: at.b, intercepts, value, optimality, rounds, outcome });
        }
        let set = choose(problem, &at.b, &far);
        descend(problem, x, &set, &mut at, SHARE * norm)?;
    }
}

fn penalty_of(problem: &Problem<'_>, b: &[f64]) -> f64 {
    b.iter().map(|b| problem.l1 * b.abs() + 0.5 * problem.l2 * b * b).sum()
}

/// The duality gap of least squares, of columns and target centred.
pub(super) fn gap(problem: &Problem<'_>, b: &[f64], losses: &Losses, gradient: &[f64]) -> f64 {
    let penalty = Penalty { l1: problem.l1, l2: problem.l2, positive: false };
    let correlations: Vec<f64> = gradient.iter().map(|g| -g).collect();
    // Slopes are share x (prediction - target); the target counts from the start, its mean where there is an intercept.
    let square = 2.0 * losses.value;
    let target: f64 = (0..losses.slope.len())
        .map(|i| -losses.slope[i] * (problem.answers.y[i] - problem.offset(i) - problem.start))
        .sum();
    penalty.certificate(b, &correlations, square, target).gap.max(0.0)
}

/// Columns with a coefficient, and as many more of those that are furthest from zero being right for them.
fn choose(problem: &Problem<'_>, b: &[f64], far: &[f64]) -> Vec<usize> {
    let (mut set, rest): (Vec<usize>, Vec<usize>) = (0..b.len()).partition(|&j| b[j] != 0.0);
    let mut rest: Vec<usize> = rest.into_iter().filter(|&j| far[j] > 0.0).collect();
    let more = (2 * set.len()).max(SMALLEST) - set.len();
    if problem.l1 > 0.0 && more < rest.len() {
        rest.select_nth_unstable_by(more, |&i, &j| far[j].total_cmp(&far[i]).then(i.cmp(&j)));
        rest.truncate(more);
    }
    set.append(&mut rest);
    set.sort_unstable();
    set
}

/// Newton steps on the columns of `set` until none is further than `enough` from what a minimum asks.
fn descend<T: Float>(
    problem: &Problem<'_>,
    x: SparseRef<'_, T>,
    set: &[usize],
    at: &mut State,
    enough: f64,
) -> Result<()> {
    for _ in 0..STEPS {
        let slope = if problem.intercept { sum(&at.losses.slope) } else { 0.0 };
        let gradient: Vec<f64> = set.iter().map(|&j| inner(x.line(j), &at.losses.slope)).collect();
        let mut norm = slope.abs();
        for (&j, g) in set.iter().zip(&gradient) {
            let far = residual(g + problem.l2 * at.b[j], at.b[j], problem.l1);
            norm = norm.max(far / problem.deviation[j]);
        }
        if norm <= enough {
            return Ok(());
        }
        let value = at.losses.value + penalty_of(problem, &at.b);
        let exact = problem.answers.loss == Loss::Squared;
        let step = model_step(problem, x, set, at, if exact { enough } else { SHARE * norm });
        // The objective's first-order change along the step.
        let mut along = slope * step.intercept;
        for ((&j, g), d) in set.iter().zip(&gradient).zip(&step.b) {
            let (b, after) = (at.b[j], at.b[j] + d);
            along += (g + problem.l2 * b) * d + problem.l1 * (after.abs() - b.abs());
        }
        let mut length = 1.0;
        let mut accepted = false;
        for _ in 0..HALVINGS {
            let trial: Vec<f64> = at.z.iter().zip(&step.z).map(|(z, d)| z + length * d).collect();
            let losses = problem.answers.at(&trial)?;
            let mut b = at.b.clone();
            set.iter().zip(&step.b).for_each(|(&j, d)| b[j] += length * d);
            let after = losses.value + penalty_of(problem, &b);
            let tiny = -length * along <= rounding(value) && after <= value + rounding(value);
            if along <= 0.0 && (sufficient(value, after, length * along) || tiny) {
                (at.b, at.z, at.losses) = (b, trial, losses);
                at.intercept += length * step.intercept;
                accepted = true;
                break;
            }
            length *= 0.5;
        }
        if !accepted {
            return Ok(());
        }
    }
    Ok(())
}

/// A step of the coefficients of a set, of the intercept, and of the rows' predictors.
struct Step {
    b: Vec<f64>,
    intercept: f64,
    z: Vec<f64>,
}

/// Towards the minimum of the quadratic model with the penalty, until no column is further than `enough`.
fn model_step<T: Float>(
    problem: &Problem<'_>,
    x: SparseRef<'_, T>,
    set: &[usize],
    at: &State,
    enough: f64,
) -> Step {
    let (d, penalty) = (&at.losses.curvature, Penalty { l1: problem.l1, l2: problem.l2, positive: false });
    let total = sum(d);
    let per_total = if problem.intercept && total > 0.0 { 1.0 / total } else { 0.0 };
    // Of each column: the sum of d x, times 1 / sum of d its mean; and d (x - mean)^2.
    let facts: Vec<[f64; 3]> = set
        .iter()
        .map(|&j| {
            let (mut first, mut second) = (0.0, 0.0);
            let (rows, values) = x.line(j);
            for (&i, x) in rows.iter().zip(values) {
                let (x, d) = (x.to_f64(), d[i as usize]);
                first += d * x;
                second += d * x * x;
            }
            let mean = first * per_total;
            // What is left of a constant column is rounding.
            let about = second - first * mean;
            [first, mean, if about > 1e-14 * second { about } else { 0.0 }]
        })
        .collect();
    let mut s = at.losses.slope.clone();
    // Sum of s, which the intercept brings to zero.
    let mut pulled = if problem.intercept { sum(&s) } else { 0.0 };
    let mut step = Step { b: vec![0.0; set.len()], intercept: 0.0, z: vec![0.0; s.len()] };
    for _ in 0..SWEEPS {
        let mut worst = 0.0f64;
        for (k, (&j, &[first, mean, curvature])) in set.iter().zip(&facts).enumerate() {
            let line = x.line(j);
            let slope = inner(line, &s) - pulled * mean;
            let before = at.b[j] + step.b[k];
            worst =
                worst.max(residual(slope + problem.l2 * before, before, problem.l1) / problem.deviation[j]);
            if curvature == 0.0 {
                continue;
            }
            let after = penalty.minimum(curvature * before - slope, curvature);
            let change = after - before;
            if change != 0.0 {
                // The coefficient itself, so that zeros are exact.
                step.b[k] = after - at.b[j];
                for (&i, x) in line.0.iter().zip(line.1) {
                    s[i as usize] += change * d[i as usize] * x.to_f64();
                }
                pulled += change * first;
            }
        }
        if worst <= enough {
            break;
        }
    }
    step.intercept = if problem.intercept { -pulled * per_total } else { 0.0 };
    step.z.fill(step.intercept);
    for (&j, change) in set.iter().zip(&step.b).filter(|(_, change)| **change != 0.0) {
        let (rows, values) = x.line(j);
        rows.iter().zip(values).for_each(|(&i, x)| step.z[i as usize] += change * x.to_f64());
    }
    step
}
