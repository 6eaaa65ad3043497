//! Interior points of both programmes at once, by Mehrotra's predictor and corrector ("On the implementation of a primal-dual interior
//! point method", 1992), dual numbers being bounded on both sides (Portnoy, Koenker, 1997, section 4).
//!
//! In every round a step is found twice by the same factor of A^T Q A: towards no complementarity at all, which tells how far one gets, and
//! then towards as much as can be left behind, with what the first step bends.

use super::Quantile;
use super::lines::{Line, Lines, Sums};
use crate::Element;
use crate::cholesky::Cholesky;
use tilewise_base::{Context, Error, Result};
use tilewise_kernels::parallel;

/// What a step leaves of the way to the nearest bound.
const KEPT: f64 = 5e-4;

/// Distance from the plane that all rows begin with, in units of the target. Penalties that cost more than a row begin as much closer.
const START: f64 = 0.1;

/// Smallest pivot of the scaled matrix that counts as regular; and the first multiple of the diagonal that is added otherwise, with
/// the factor to the next.
const SINGULAR_BELOW: f64 = 1e-14;
const DAMPING: (f64, f64) = (1e-12, 100.0);

/// Of the tolerance, the gap at which rounds end: the plane through the lines that are met is then told from its neighbours.
const FINE: f64 = 1e-2;

/// Rounds without a smaller gap after which what is left is rounding.
const PATIENCE: u32 = 8;

/// Lines of a piece of work.
const PIECE: usize = 4096;

pub(super) struct Solved {
    pub(super) rounds: u64,
    pub(super) gap: f64,
    /// Why it ended.
    pub(super) stopped: String,
}

/// A step at a line.
#[derive(Clone, Copy, Default)]
struct Step {
    z: f64,
    above: f64,
    below: f64,
    /// Of the dual number.
    dual: f64,
}

/// What the corrector asks for.
#[derive(Clone, Copy, Default)]
struct Aim {
    /// Complementarity that is to be left.
    left: f64,
    /// Whether products of the predictor's steps are taken off.
    bends: bool,
}

impl Aim {
    /// What `above to_upper` and `below to_lower` are to gain.
    fn gains(self, line: &Line, step: &Step) -> (f64, f64) {
        let (mut above, mut below) =
            (self.left - line.above * line.to_upper, self.left - line.below * line.to_lower);
        if self.bends {
            above += step.above * step.dual;
            below -= step.below * step.dual;
        }
        (above, below)
    }
}

/// The curvature of the barriers at a line.
fn curvature(line: &Line) -> f64 {
    if line.counts() { 1.0 / (line.above / line.to_upper + line.below / line.to_lower) } else { 0.0 }
}

pub(super) fn solve<T: Element>(
    lines: &mut Lines<'_, T>,
    params: &Quantile,
    context: &Context<'_>,
) -> Result<Solved> {
    let count = lines.all.iter().filter(|line| line.counts()).count();
    let rows = lines.rows();
    for (i, line) in lines.all.iter_mut().enumerate() {
        let (r, cost) = (line.y - line.z, line.upper * count as f64);
        let start = if i < rows { START } else { START / cost.max(1.0) };
        (line.above, line.below) = (r.max(0.0) + start, (-r).max(0.0) + start);
    }
    let first: f64 = lines.value().unwrap_or(f64::INFINITY);
    let fine = FINE * params.tolerance * first;
    let mut steps = vec![Step::default(); lines.all.len()];
    // The best point so far, as rounding can make a late one worse.
    let (mut best, mut kept, mut rounds) = (f64::INFINITY, (lines.all.clone(), lines.b.clone()), 0);
    let (mut least, mut idle) = (f64::INFINITY, 0);
    let stopped = loop {
        let q = lines.all.iter().map(curvature).collect::<Vec<f64>>();
        let duals = lines.all.iter().map(Line::dual).collect::<Vec<f64>>();
        let pull = pulls(&lines.all, &steps, &q, Aim::default());
        let Sums { gram, first, second } = lines.sums(Some(&q), &pull, &duals)?;
        let value = lines.value().unwrap_or(f64::INFINITY);
        let (bound, doubt) = lines.bound(&second);
        let gap = (value - bound).max(0.0) + doubt;
        let now = complementarity(&lines.all, &steps, 0.0, 0.0) / (2 * count) as f64;
        idle = if gap < 0.9 * best || now < 0.9 * least { 0 } else { idle + 1 };
        least = least.min(now);
        if gap < best {
            best = gap;
            kept.0.clone_from(&lines.all);
            kept.1.clone_from(&lines.b);
        }
        if best <= fine {
            break "the duality gap is small enough".into();
        }
        if idle >= PATIENCE || !gap.is_finite() {
            break "steps no longer make the duality gap smaller".into();
        }
        if rounds >= params.max_rounds {
            break format!("the limit of {rounds} rounds was reached");
        }
        let note = format!("loss {:.6}, gap {:.1e}", value * lines.unit, gap * lines.unit);
        context.progress.round(rounds, params.max_rounds, &note);
        if context.cancelled() {
            if rounds == 0 {
                return Err(Error::Cancelled);
            }
            break "interrupted".into();
        }
        rounds += 1;
        let system = System::new(gram, first.len())?;
        let Some(system) = system else { break "the equations of a step could not be solved".into() };
        let target: Vec<f64> = first.iter().zip(&second).map(|(a, e)| a + e).collect();
        let z = lines.times(&system.solve(&target))?;
        step_to(&lines.all, &mut steps, &q, &z, Aim::default());
        let (primal, dual) = lengths(&lines.all, &steps, 0.0);
        let then = complementarity(&lines.all, &steps, primal, dual) / (2 * count) as f64;
        let aim = Aim { left: now * (then / now).powi(3), bends: true };
        let pull = pulls(&lines.all, &steps, &q, aim);
        let Sums { first, .. } = lines.sums(None, &pull, &duals)?;
        let target: Vec<f64> = first.iter().zip(&second).map(|(a, e)| a + e).collect();
        let change = system.solve(&target);
        let z = lines.times(&change)?;
        step_to(&lines.all, &mut steps, &q, &z, aim);
        let (primal, dual) = lengths(&lines.all, &steps, KEPT);
        parallel::for_each_chunk_mut(&mut lines.all, PIECE, |piece, lines| {
            for (line, step) in lines.iter_mut().zip(&steps[piece * PIECE..]) {
                line.z += primal * step.z;
                line.above += primal * step.above;
                line.below += primal * step.below;
                line.to_upper -= dual * step.dual;
                line.to_lower += dual * step.dual;
            }
        });
        lines.b.iter_mut().zip(&change).for_each(|(b, change)| *b += primal * change);
        // Sums of steps would drift.
        let z = lines.times(&lines.b)?;
        lines.all.iter_mut().zip(z).for_each(|(line, z)| line.z = z);
    };
    (lines.all, lines.b) = kept;
    Ok(Solved { rounds, gap: best, stopped })
}

/// What is left of complementarity after steps of these lengths.
fn complementarity(lines: &[Line], steps: &[Step], primal: f64, dual: f64) -> f64 {
    let of = |(line, step): (&Line, &Step)| {
        (line.above + primal * step.above) * (line.to_upper - dual * step.dual)
            + (line.below + primal * step.below) * (line.to_lower + dual * step.dual)
    };
    lines.iter().zip(steps).filter(|(line, _)| line.counts()).map(of).sum()
}

/// What lines ask of the plane's step, times their curvature.
fn pulls(lines: &[Line], steps: &[Step], q: &[f64], aim: Aim) -> Vec<f64> {
    lines.iter().zip(steps).zip(q).map(|((line, step), q)| q * asked(line, step, aim)).collect()
}

/// What a line asks of the plane's step, were its dual number to stay.
fn asked(line: &Line, step: &Step, aim: Aim) -> f64 {
    if !line.counts() {
        return 0.0;
    }
    let (above, below) = aim.gains(line, step);
    line.y - line.z - line.above + line.below - above / line.to_upper + below / line.to_lower
}

/// The steps of all lines where the plane's is `z`.
fn step_to(lines: &[Line], steps: &mut [Step], q: &[f64], z: &[f64], aim: Aim) {
    parallel::for_each_chunk_mut(steps, PIECE, |piece, steps| {
        let from = piece * PIECE;
        for (i, step) in steps.iter_mut().enumerate() {
            let (line, z, q) = (&lines[from + i], z[from + i], q[from + i]);
            if !line.counts() {
                *step = Step { z, ..Step::default() };
                continue;
            }
            let dual = q * (asked(line, step, aim) - z);
            let (above, below) = aim.gains(line, step);
            let above = (above + line.above * dual) / line.to_upper;
            let below = (below - line.below * dual) / line.to_lower;
            *step = Step { z, above, below, dual };
        }
    });
}

/// How long steps of the plane and of the dual numbers may be, 1 at most, so that a share `kept` of the way to the nearest bound is left.
fn lengths(lines: &[Line], steps: &[Step], kept: f64) -> (f64, f64) {
    let most = |now: f64, step: f64| if step < 0.0 { (1.0 - kept) * now / -step } else { 1.0 };
    let (mut primal, mut dual) = (1.0f64, 1.0f64);
    for (line, step) in lines.iter().zip(steps).filter(|(line, _)| line.counts()) {
        primal = primal.min(most(line.above, step.above)).min(most(line.below, step.below));
        dual = dual.min(most(line.to_upper, -step.dual)).min(most(line.to_lower, step.dual));
    }
    (primal, dual)
}

/// The equations of a round, and their factor, perhaps of a matrix with a longer diagonal.
struct System {
    matrix: Vec<f64>,
    order: usize,
    factor: Cholesky,
}

impl System {
    fn new(mut matrix: Vec<f64>, order: usize) -> Result<Option<Self>> {
        let diagonal: Vec<f64> = (0..order).map(|j| matrix[j * (order + 1)]).collect();
        let set = |matrix: &mut [f64], factor: f64| {
            diagonal.iter().enumerate().for_each(|(j, d)| matrix[j * (order + 1)] = d * factor);
        };
        let mut damping = 0.0;
        loop {
            if let Some(factor) = Cholesky::new(&matrix, order, SINGULAR_BELOW)? {
                set(&mut matrix, 1.0);
                return Ok(Some(Self { matrix, order, factor }));
            }
            damping = if damping == 0.0 { DAMPING.0 } else { damping * DAMPING.1 };
            if damping > 1.0 {
                return Ok(None);
            }
            set(&mut matrix, 1.0 + damping);
        }
    }

    /// The solution, corrected twice for what the factor has lost.
    fn solve(&self, target: &[f64]) -> Vec<f64> {
        let mut x = target.to_vec();
        self.factor.solve(&mut x);
        for _ in 0..2 {
            let mut left = target.to_vec();
            for i in 0..self.order {
                let row = &self.matrix[i * self.order..][..=i];
                let mut sum = 0.0;
                for (j, a) in row[..i].iter().enumerate() {
                    sum += a * x[j];
                    left[j] -= a * x[i];
                }
                left[i] -= sum + row[i] * x[i];
            }
            self.factor.solve(&mut left);
            x.iter_mut().zip(&left).for_each(|(x, d)| *x += d);
        }
        x
    }
}
