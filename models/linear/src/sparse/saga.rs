//! SAGA: steps along the gradient of one drawn row at a time, corrected by the remembered gradients of all rows so that they settle at the
//! minimum without ever smaller steps (Defazio, Bach, Lacoste-Julien, "SAGA: a fast incremental gradient method with support for non-strongly
//! convex composite objectives", 2014). Memory for a number for each row and a few for each column.
//!
//! A step reads the cells that its row stores: what it does to all other columns is the same map over and over, so it is made up for when
//! a row has the column again (Schmidt, Le Roux, Bach, "Minimizing finite sums with the stochastic average gradient", 2017). Columns are scaled
//! to a largest cell of 1. After every n steps one pass over the rows tells the objective and its true gradient, by which the fit ends: what
//! is reported does not depend on what was drawn. Rows are drawn by a fixed seed, and one after the other: threads change no bit.
//!
//! A row is drawn with the chance q_i = 1 / (2 n) + L_i / (2 sum of L) of n rows, L_i being the largest curvature of its loss.
//! So that a step is right on average, the difference of a row's gradients counts 1 / (n q_i) times in it, the mean of the remembered
//! ones once, and the step is 1 / (3 max of L_i / (n q_i)). That is never shorter than 1 / (3 max of L_i), with which rows were to be drawn
//! evenly, and at least 1 / (6 mean of L) (Schmidt, Babanezhad, Ahmed, Defazio, Clifton, Sarkar, "Non-uniform stochastic average gradient
//! method for training conditional random fields", 2015). Rows without curvature have a constant gradient and are not drawn.

use super::by_rows::ByRows;
use super::descent::gap;
use super::drawing::Drawing;
use super::look::Look;
use super::newton_cg::{SEPARATED_LOSS, separated};
use super::problem::{GoOn, Problem, Solved};
use tilewise_base::Result;
use tilewise_kernels::random::Philox;
use tilewise_kernels::{Float, sum};

/// Rounds without a gradient, or gap, that is a tenth smaller after which what is left is rounding.
const PATIENCE: u32 = 100;

/// One coefficient's part of a step: along a slope, then towards zero by l1 |u| + l2 u^2 / 2.
#[derive(Clone, Copy)]
struct Map {
    step: f64,
    l1: f64,
    l2: f64,
}

impl Map {
    fn apply(self, u: f64, slope: f64) -> f64 {
        let moved = u - self.step * slope;
        let beyond = moved.abs() - self.step * self.l1;
        if beyond > 0.0 { beyond.copysign(moved) / (1.0 + self.step * self.l2) } else { 0.0 }
    }

    /// The same so many times. While the sign stays every one is u -> a (u - c), which many are at once.
    fn repeat(self, mut u: f64, slope: f64, mut times: u64) -> f64 {
        let a = 1.0 / (1.0 + self.step * self.l2);
        while times > 0 {
            if u == 0.0 && slope.abs() <= self.l1 {
                return 0.0;
            }
            let sign = if u == 0.0 { -slope.signum() } else { u.signum() };
            let (power, sum) = if a < 1.0 {
                let power = a.powi(times.min(i32::MAX as u64) as i32);
                (power, a * (1.0 - power) / (1.0 - a))
            } else {
                (1.0, times as f64)
            };
            let end = power * u - sum * self.step * (slope + sign * self.l1);
            if end * sign > 0.0 {
                return end;
            }
            if times == 1 {
                return self.apply(u, slope);
            }
            // It goes one way, so the last step before the sign changes is found by halves.
            let half = times / 2;
            u = self.repeat(u, slope, half);
            times -= half;
        }
        u
    }
}

/// Weights by which rows of such curvatures are drawn.
fn importance(curvatures: &[f64]) -> Vec<f64> {
    let steep = curvatures.iter().filter(|c| **c > 0.0).count();
    let mean = sum(curvatures) / steep.max(1) as f64;
    curvatures.iter().map(|c| if *c > 0.0 { mean + c } else { 0.0 }).collect()
}

/// Minimises over the rows of `by`; losses have one linear predictor.
pub(crate) fn solve<T: Float>(
    problem: &Problem<'_>,
    by: &mut ByRows<'_, T>,
    seed: u64,
    go_on: GoOn<'_>,
) -> Result<Solved> {
    solve_by(problem, by, importance, seed, go_on)
}

/// With rows drawn by the weights that `importance` gives their curvatures: above 0 where these are.
fn solve_by<T: Float>(
    problem: &Problem<'_>,
    by: &mut ByRows<'_, T>,
    importance: fn(&[f64]) -> Vec<f64>,
    seed: u64,
    go_on: GoOn<'_>,
) -> Result<Solved> {
    let x = by.view();
    let (n, p, loss) = (x.rows(), x.cols(), problem.answers.loss);
    let mut scale = vec![0.0f64; p];
    // Rows without weight have no say.
    for i in (0..n).filter(|&i| problem.answers.shares[i] > 0.0) {
        let (columns, values) = x.line(i);
        columns.iter().zip(values).for_each(|(&j, x)| {
            let scale = &mut scale[j as usize];
            *scale = scale.max(x.to_f64().abs());
        });
    }
    scale.iter_mut().filter(|s| **s == 0.0).for_each(|s| *s = 1.0);
    let count = n as f64;
    let of_intercept = if problem.intercept { 1.0 } else { 0.0 };
    let curvature = |i: usize| {
        let (columns, values) = x.line(i);
        let square: f64 =
            columns.iter().zip(values).map(|(&j, x)| (x.to_f64() / scale[j as usize]).powi(2)).sum();
        count * problem.answers.shares[i] * loss.steepest() * (square + of_intercept)
    };
    let curvatures: Vec<f64> = (0..n).map(curvature).collect();
    let weights = importance(&curvatures);
    // 1 / (n q_i).
    let per_weight = sum(&weights) / count;
    let over: Vec<f64> = weights.iter().map(|w| if *w > 0.0 { per_weight / w } else { 1.0 }).collect();
    let steep = || curvatures.iter().zip(&over).filter(|(c, _)| **c > 0.0);
    let most = steep().map(|(c, over)| c * over).fold(0.0, f64::max);
    let (step, drawing) =
        if most > 0.0 { (1.0 / (3.0 * most), Some(Drawing::new(&weights))) } else { (1.0, None) };
    let maps: Vec<Map> =
        scale.iter().map(|s| Map { step, l1: problem.l1 / s, l2: problem.l2 / (s * s) }).collect();
    let random = Philox::new(seed, Philox::purpose("saga"));

    let (mut u, mut intercept) = (vec![0.0f64; p], problem.start);
    // Slopes of the rows, by which their gradients are remembered, and until when each coefficient's steps are done.
    let (mut stored, mut done) = (Vec::new(), vec![0u64; p]);
    let (mut rounds, mut idle, mut mark) = (0u64, 0, f64::INFINITY);
    let mut now = 0u64;
    loop {
        let b: Vec<f64> = u.iter().zip(&scale).map(|(u, s)| u / s).collect();
        let look = if problem.gap.is_some() && problem.intercept {
            // The gap is that of the best intercept, which of squares is known.
            let (look, shift) = Look::at_best_intercept(problem, by, &b, intercept)?;
            intercept += shift;
            look
        } else {
            Look::at(problem, by, &b, intercept)?
        };
        let Look { z, losses, gradient, value, norm, mut optimality } = look;
        rounds += 1;
        if problem.gap.is_some() {
            optimality = gap(problem, &b, &losses, &gradient);
        }
        let left = if problem.gap.is_some() { optimality } else { norm };
        (mark, idle) = if left < 0.9 * mark { (left, 0) } else { (mark, idle + 1) };
        let met = problem.met(norm, optimality);
        let apart = problem.may_separate()
            && value <= SEPARATED_LOSS
            && problem.answers.margin(&z, problem.offset) > 0.0;
        let outcome = if apart {
            Some(separated())
        } else if met.is_some() {
            met
        } else {
            let stuck = idle >= PATIENCE || !value.is_finite() || !norm.is_finite();
            let why = stuck.then(|| format!("{PATIENCE} rounds made it no better"));
            problem.ended(why, (rounds, value, norm, optimality), go_on)?
        };
        if let Some(outcome) = outcome {
            let intercepts = vec![if problem.intercept { intercept } else { 0.0 }];
            return Ok(Solved { coefficients: b, intercepts, value, optimality, rounds, outcome });
        }
        if stored.is_empty() {
            stored = losses.slope.iter().map(|s| count * s).collect();
        }
        // Anew: what the steps of a round left of rounding would stay.
        let shares: Vec<f64> = stored.iter().map(|s| s / count).collect();
        let mut average = by.transposed(&shares);
        average.iter_mut().zip(&scale).for_each(|(a, s)| *a /= s);
        let mut average_of_intercept = sum(&shares);
        for _ in 0..n {
            // Where no row is steep, none changes anything, whichever is drawn.
            let i = drawing.as_ref().map_or(0, |drawing| drawing.place(random.words(now)));
            let (columns, values) = x.line(i);
            let mut z = intercept + problem.offset(i);
            for (&j, x) in columns.iter().zip(values) {
                let j = j as usize;
                u[j] = maps[j].repeat(u[j], average[j], now - done[j]);
                z += u[j] * (x.to_f64() / scale[j]);
            }
            let share = problem.answers.shares[i];
            // A row without weight has no say, even where its slope is none.
            let slope = if share > 0.0 { count * share * loss.slope(z, problem.answers.y[i]) } else { 0.0 };
            let change = slope - std::mem::replace(&mut stored[i], slope);
            now += 1;
            for (&j, x) in columns.iter().zip(values) {
                let j = j as usize;
                let of_row = change * (x.to_f64() / scale[j]);
                u[j] = maps[j].apply(u[j], over[i] * of_row + average[j]);
                average[j] += of_row / count;
                done[j] = now;
            }
            if problem.intercept {
                intercept -= step * (over[i] * change + average_of_intercept);
                average_of_intercept += change / count;
            }
        }
        for j in 0..p {
            u[j] = maps[j].repeat(u[j], average[j], now - std::mem::replace(&mut done[j], now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Data;
    use super::super::loss::Loss;
    use super::*;
    use crate::Rows;
    use tilewise_base::Sparse;
    use tilewise_kernels::MatRef;

    /// Rounds until the objective is within 1e-8 of itself of the minimum, of rows of which each 50th is so many times as long.
    fn rounds(times: f64, seed: u64, importance: fn(&[f64]) -> Vec<f64>) -> u64 {
        let (n, p) = (500, 5);
        let random = Philox::new(seed, Philox::purpose("rows of two lengths"));
        let length = |i: usize| if i.is_multiple_of(50) { times } else { 1.0 };
        let x: Vec<f64> = (0..n * p).map(|at| length(at / p) * random.normal(at as u64)).collect();
        let y: Vec<f64> =
            (0..n).map(|i| x[i * p] - 0.5 * x[i * p + 1] + random.normal((n * p + i) as u64)).collect();
        let stored = Sparse::of_dense(MatRef::new(&x, n, p).unwrap()).unwrap();
        let data = Data::new(stored.view(), &y, Rows::default(), Loss::Squared, true).unwrap();
        let gap = Some(1e-8 * data.target_square);
        let problem = Problem { gap, max_rounds: 2000, saga: true, ..data.problem.penalised(0.01, 0.5) };
        let solved =
            solve_by(&problem, &mut ByRows::new(stored.view(), 1), importance, 0, &mut |_, _, _| true)
                .unwrap();
        assert!(solved.outcome.converged, "{times} {seed}: {:?}", solved.outcome);
        solved.rounds
    }

    /// Less than half as many passes where rows differ much in length; of normal ones, whose squares differ a little, about as many: 88 beside
    /// 79, as those that are drawn less often are remembered longer.
    #[test]
    fn steep_rows_are_drawn_more_often() {
        let evenly = |curvatures: &[f64]| vec![1.0; curvatures.len()];
        let all = |times, importance| (0..4).map(|seed| rounds(times, seed, importance)).sum::<u64>();
        let uneven = (all(30.0, importance), all(30.0, evenly));
        let even = (all(1.0, importance), all(1.0, evenly));
        assert!(2 * uneven.0 < uneven.1, "{uneven:?}, {even:?}");
        assert!(5 * even.0 <= 6 * even.1, "{uneven:?}, {even:?}");
        // Of the same curvature all are drawn evenly.
        assert_eq!(importance(&[2.0, 2.0, 0.0]), [4.0, 4.0, 0.0]);
    }

    /// Many steps at once are those steps, also where the sign changes on the way.
    #[test]
    fn repeated_steps_are_steps() {
        for l1 in [0.0, 0.3, 2.0] {
            for l2 in [0.0, 0.5] {
                let map = Map { step: 0.05, l1, l2 };
                for (u, slope) in [(1.0, 0.2), (1.0, 5.0), (-2.0, -1.5), (0.0, 1.0), (0.0, -0.1), (0.4, -3.0)]
                {
                    let mut one = u;
                    for times in 1..200 {
                        one = map.apply(one, slope);
                        let many = map.repeat(u, slope, times);
                        assert!((one - many).abs() < 1e-12, "{one} {many}: {u} {slope} {l1} {l2} {times}");
                    }
                }
            }
        }
    }
}
