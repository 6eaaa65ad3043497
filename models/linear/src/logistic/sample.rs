//! The start where rows are very many: the solution of a sample of them, and its Hessian.
//!
//! A sample of n rows has its minimum about sqrt(p / n) away from that of all, and a Hessian that is right to about 2 sqrt(p / n) (Erdogdu,
//! Montanari, "Convergence rates of sub-sampled Newton methods", 2015). Newton's method finds it in some six sweeps of few rows. L-BFGS then
//! goes on from there with that Hessian in place of a diagonal, and has a digit more in every pass over all rows, whatever the features have
//! to do with each other. The answer is that of all rows, to the same tolerance; a sample that leads astray costs rounds only.
//!
//! The sample are leaves of rows at equal distances, 64 or more of a table in one piece: order and pieces of the rows alone decide, and
//! threads change no bit.

use super::choice::patience;
use super::{Logistic, LogisticTrainer, Problem};
use crate::Element;
use crate::cholesky::Cholesky;
use crate::newton::Newton;
use crate::sweep::Sweep;
use tilewise_base::{Lbfgs, Result};
use tilewise_kernels::scale;

/// Rows of the sample for each feature: its Hessian is then right to an eighth.
const ROWS_PER_FEATURE: f64 = 256.0;

/// Least number of rows for each one of the sample: sweeps and Hessians of the sample then cost some two passes over all rows, and save
/// six. On two threads 500,000 rows of 100 features took 0.15 s, L-BFGS alone 0.21 and Newton's method 0.59; 100,000 of 10 took 3.6, 5.8 and
/// 12 ms.
const LEAST_SHARE: f64 = 8.0;

/// Features, at most: a sweep of the sample with its Hessian costs p / 32 passes over all rows.
const MOST_FEATURES: usize = 128;

/// Chunks of rows, at most: each gives the leaves of a sample of its own, which is larger than its share where it has few.
const MOST_CHUNKS: f64 = 16.0;

/// Part of the tolerance that L-BFGS has to reach where Newton's method would have come first, whose last step leaves far less of a
/// gradient than is asked for; and what rounding lets it reach.
const FINE: f64 = 0.01;
const FINEST: f64 = 1e-12;

/// Rounds that the sample may take.
const ROUNDS: u64 = 20;

/// Limit of rounds from which on there is room for those of a sample.
const ROOM: u64 = 5 * ROUNDS;

/// Gradient at which the sample is solved: that of all rows is some ten times as large there.
const TOLERANCE: f64 = 1e-4;

/// Smallest pivot of the scaled Hessian that counts as regular.
const SINGULAR_BELOW: f64 = 1e-12;

/// What comes after the sample.
pub(super) struct Sample {
    every: usize,
    /// What the solver without a sample divides coefficients by.
    scale: Vec<f64>,
}

impl Sample {
    /// Of so many leaves of rows one is read.
    pub(super) fn every(&self) -> usize {
        self.every
    }
}

impl Problem {
    /// Puts the sample's solver before the other one, if there are rows enough; by the number of them, of their chunks and of features, and by
    /// settings alone.
    pub(super) fn begin_with_sample(&mut self, params: &Logistic, rows: f64, chunks: f64) {
        let features = self.scale.len();
        let share = (rows / (ROWS_PER_FEATURE * features as f64)).floor();
        let fits = share >= LEAST_SHARE && features <= MOST_FEATURES && chunks <= MOST_CHUNKS;
        if !fits || !params.may_sample(self.weight) || params.max_rounds < ROOM {
            return;
        }
        self.solver = Box::new(Newton::new(vec![0.0; features + 1], params.tolerance.max(TOLERANCE), ROUNDS));
        let scale = std::mem::replace(&mut self.scale, vec![1.0; features]);
        self.sample = Some(Sample { every: share as usize, scale });
    }
}

impl<T: Element> LogisticTrainer<T> {
    /// Passes what the sample's rows answered on to its solver, and goes on to all rows when that ends.
    pub(super) fn step_on_sample(&self, problem: &mut Problem, mut sweep: Sweep, sweeps: u64) -> Result<()> {
        // As if they were all.
        let up = problem.weight / sweep.weight;
        sweep.loss *= up;
        scale(up, &mut sweep.gradient);
        scale(up, &mut sweep.hessian);
        let trial = problem.solver.point().to_vec();
        let evaluation = self.evaluate(problem, &trial, sweep);
        let hessian = evaluation.hessian.clone();
        let outcome = match up.is_finite() {
            true => problem.solver.advance(evaluation)?,
            false => None,
        };
        if up.is_finite() && outcome.is_none() {
            return Ok(());
        }
        let converged = outcome.is_some_and(|outcome| outcome.converged);
        let factor = match converged {
            true => Cholesky::new(&hessian, trial.len(), SINGULAR_BELOW)?,
            false => None,
        };
        let Some(sample) = problem.sample.take() else { return Ok(()) };
        let left = self.params.max_rounds.saturating_sub(sweeps).max(1);
        let newton_first = problem.rounds_of_lbfgs == 0;
        problem.sampled = problem.solver.accepted().cloned();
        problem.rounds_of_lbfgs = match problem.rounds_of_lbfgs {
            // Newton's method would have begun.
            0 if factor.is_some() => patience(self.features) + sweeps,
            0 => 0,
            rounds => rounds.saturating_add(sweeps),
        };
        let start = problem.sampled.as_ref().map(|sampled| sampled.point.clone());
        match factor.zip(start) {
            Some((factor, start)) => {
                let asked = self.params.tolerance;
                let tolerance = if newton_first { (FINE * asked).max(FINEST.min(asked)) } else { asked };
                let solver = Lbfgs::new(start, tolerance, left);
                problem.solver = Box::new(solver.with_inverse(move |d| factor.solve(d)));
            }
            None => {
                problem.sampled = None;
                problem.scale = sample.scale;
                problem.solver = self.first_solver(newton_first, problem.weight, left);
            }
        }
        Ok(())
    }
}
