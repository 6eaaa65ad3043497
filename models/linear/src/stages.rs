//! The way of a smooth objective through its rounds, which robust, generalised and logistic regression share: a first pass for means,
//! deviations and what else a family counts, then one sweep over the rows for each point that its solver asks for.

use crate::moments::Moments;
use crate::sweep::Sweep;
use serde::{Deserialize, Serialize};
use tilewise_base::solver::{Accepted, Outcome};
use tilewise_base::{Error, FitReport, Result};

/// What a chunk answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Partial(Answer);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Answer {
    /// With sums of the family's own, which add up.
    Moments(Moments, Vec<f64>),
    Sweep(Sweep),
    Bent(Vec<f64>),
    Failed(String),
}

impl Partial {
    /// Of the first round.
    pub(crate) fn moments(moments: Moments, totals: Vec<f64>) -> Self {
        Self(Answer::Moments(moments, totals))
    }

    /// Of those that ask for the objective at a point.
    pub(crate) fn sweep(sweep: Sweep) -> Self {
        Self(Answer::Sweep(sweep))
    }

    /// Of those that ask for a product with the Hessian.
    pub(crate) fn bent(product: Vec<f64>) -> Self {
        Self(Answer::Bent(product))
    }

    pub(crate) fn merge(self, other: Self) -> Self {
        Self(match (self.0, other.0) {
            (Answer::Moments(a, mut totals), Answer::Moments(b, more)) => {
                totals.iter_mut().zip(more).for_each(|(a, b)| *a += b);
                Answer::Moments(a.merge(b), totals)
            }
            (Answer::Sweep(a), Answer::Sweep(b)) => Answer::Sweep(a.merge(&b)),
            (Answer::Bent(mut a), Answer::Bent(b)) => {
                a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
                Answer::Bent(a)
            }
            (Answer::Failed(e), _) | (_, Answer::Failed(e)) => Answer::Failed(e),
            _ => Answer::Failed("chunks answered different requests".into()),
        })
    }
}

/// How far a trainer is; `P` is its solver with what the moments told.
pub(crate) enum Stage<P> {
    Start,
    Solve(P),
    Done(P),
}

/// How far a trainer is, and how it went.
pub(crate) struct Stages<P> {
    pub(crate) stage: Stage<P>,
    report: FitReport,
}

/// A trainer that goes this way.
pub(crate) trait Staged {
    type Problem;

    fn stages(&mut self) -> &mut Stages<Self::Problem>;
    /// Sets up the solver.
    fn start(&self, moments: Moments, totals: &[f64]) -> Result<Self::Problem>;
    /// Passes what rows answered on to the solver, in that many sweeps.
    fn step(&self, problem: &mut Self::Problem, sweep: Sweep, sweeps: u64) -> Result<Option<Outcome>>;
    /// Passes a product with the Hessian on, where the solver wants any.
    fn bend(&self, _: &mut Self::Problem, _: &[f64]) -> Result<Option<Outcome>> {
        Err(Error::Fit("a product came that was not asked for".into()))
    }
    /// The best point so far.
    fn best(problem: &Self::Problem) -> Option<&Accepted>;

    /// As [`Rounds::advance`](tilewise_base::Rounds::advance).
    fn go_on(&mut self, partial: Partial) -> Result<()> {
        let stages = self.stages();
        stages.report.rounds += 1;
        // One round was for the moments.
        let sweeps = stages.report.rounds - 1;
        let (problem, outcome) = match (partial.0, std::mem::replace(&mut stages.stage, Stage::Start)) {
            (Answer::Moments(moments, totals), _) => (self.start(moments, &totals)?, None),
            (Answer::Sweep(sweep), Stage::Solve(mut problem)) => {
                let outcome = self.step(&mut problem, sweep, sweeps)?;
                (problem, outcome)
            }
            (Answer::Bent(product), Stage::Solve(mut problem)) => {
                let outcome = self.bend(&mut problem, &product)?;
                (problem, outcome)
            }
            (Answer::Failed(e), _) => return Err(Error::Fit(e)),
            _ => return Err(Error::Fit("an answer came that was not asked for".into())),
        };
        let Stages { stage, report } = self.stages();
        if let Some(best) = Self::best(&problem) {
            (report.objective, report.optimality) = (best.value, best.optimality);
        }
        *stage = match outcome {
            None => Stage::Solve(problem),
            Some(outcome) => {
                report.converged = outcome.converged;
                report.stopped = outcome.stopped;
                report.warnings.extend(outcome.warning);
                Stage::Done(problem)
            }
        };
        Ok(())
    }
}

impl<P> Stages<P> {
    pub(crate) fn new() -> Self {
        Self { stage: Stage::Start, report: FitReport::default() }
    }

    /// As [`Rounds::note`](tilewise_base::Rounds::note).
    pub(crate) fn note(&self, best: impl Fn(&P) -> Option<&Accepted>) -> String {
        match &self.stage {
            Stage::Solve(problem) if best(problem).is_none() => "means and deviations".into(),
            _ => format!("loss {:.6}, gradient {:.1e}", self.report.objective, self.report.optimality),
        }
    }

    /// The solver where it ended, or where it was stopped, and how it went.
    ///
    /// # Errors
    /// When it was stopped before its first round was done.
    pub(crate) fn finish(self) -> Result<(P, FitReport)> {
        let mut report = self.report;
        match self.stage {
            Stage::Start => Err(Error::Cancelled),
            Stage::Solve(problem) => {
                report.stopped = "interrupted".into();
                report.warnings.push("did not converge: the fit was interrupted".into());
                Ok((problem, report))
            }
            Stage::Done(problem) => Ok((problem, report)),
        }
    }
}
