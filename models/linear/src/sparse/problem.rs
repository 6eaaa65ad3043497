//! What the solvers of sparse problems share: the objective, per unit of weight, and how an answer is told.

use super::loss::{Answers, Loss};
use tilewise_base::solver::Outcome;
use tilewise_base::{Error, Result};

/// Sum of share_i loss_i(x_i b + a + offset_i) + l1 |b|_1 + l2 |b|^2 / 2.
pub(crate) struct Problem<'a> {
    pub(crate) answers: Answers,
    pub(crate) offset: Option<&'a [f64]>,
    pub(crate) l1: f64,
    pub(crate) l2: f64,
    pub(crate) intercept: bool,
    /// Weighted means of the columns.
    pub(crate) mean: Vec<f64>,
    /// Their deviations, 1 where there is none.
    pub(crate) deviation: Vec<f64>,
    /// The intercept without columns.
    pub(crate) start: f64,
    /// The largest gradient entry, for columns scaled to deviation 1, that is small enough.
    pub(crate) tolerance: f64,
    /// The duality gap that is small enough, in place of it.
    pub(crate) gap: Option<f64>,
    pub(crate) max_rounds: u64,
    /// Whether SAGA is to minimise it.
    pub(crate) saga: bool,
    /// Whether LSQR is to, of squares without |b|.
    pub(crate) lsqr: bool,
}

impl Problem<'_> {
    /// The linear predictors of rows without columns, `intercept` apart.
    pub(crate) fn offset(&self, row: usize) -> f64 {
        self.offset.map_or(0.0, |offset| offset[row])
    }

    /// With the penalty alpha (l1_ratio |b| + (1 - l1_ratio) b^2 / 2).
    pub(crate) fn penalised(self, alpha: f64, l1_ratio: f64) -> Self {
        Self { l1: alpha * l1_ratio, l2: alpha * (1.0 - l1_ratio), ..self }
    }

    /// That the fit has converged, by its gap where that was asked for.
    pub(crate) fn met(&self, norm: f64, optimality: f64) -> Option<Outcome> {
        let Some(gap) = self.gap else {
            return (norm <= self.tolerance).then(|| Outcome::converged(norm, self.tolerance));
        };
        let stopped = format!("duality gap {optimality:.1e} is within the tolerance {gap:.1e}");
        (optimality <= gap).then_some(Outcome { converged: true, stopped, warning: None })
    }

    /// That it has not, by what `met` looks at.
    pub(crate) fn unmet(&self, stopped: String, norm: f64, optimality: f64) -> Outcome {
        let (what, left, enough) = match self.gap {
            Some(gap) => ("duality gap", optimality, gap),
            None => ("gradient", norm, self.tolerance),
        };
        let warning =
            format!("did not converge: {stopped}; {what} {left:.1e} is above the tolerance {enough:.1e}");
        Outcome { converged: false, stopped, warning: Some(warning) }
    }

    /// How it ended that did not converge: `stuck`, if so, out of rounds, or by `go_on`.
    ///
    /// # Errors
    /// When that was before there is an answer.
    pub(crate) fn ended(
        &self,
        stuck: Option<String>,
        (rounds, value, norm, optimality): (u64, f64, f64, f64),
        go_on: GoOn<'_>,
    ) -> Result<Option<Outcome>> {
        let limit = || format!("the limit of {rounds} rounds was reached");
        if let Some(stopped) = stuck.or_else(|| (rounds >= self.max_rounds).then(limit)) {
            return Ok(Some(self.unmet(stopped, norm, optimality)));
        }
        if go_on(rounds, value, norm) {
            return Ok(None);
        }
        if rounds == 1 { Err(Error::Cancelled) } else { Ok(Some(interrupted())) }
    }

    /// Whether separated classes would send coefficients to infinity.
    pub(crate) fn may_separate(&self) -> bool {
        matches!(self.answers.loss, Loss::Binomial | Loss::Softmax(_)) && self.l1 == 0.0 && self.l2 == 0.0
    }
}

/// Where a solver ended.
pub(crate) struct Solved {
    /// One row for each linear predictor.
    pub(crate) coefficients: Vec<f64>,
    pub(crate) intercepts: Vec<f64>,
    pub(crate) value: f64,
    /// The largest gradient entry in the units of the columns, or the duality gap where that was asked for.
    pub(crate) optimality: f64,
    pub(crate) rounds: u64,
    pub(crate) outcome: Outcome,
}

/// Whoever hears of rounds, by value and gradient, and may end them by false.
pub(crate) type GoOn<'a> = &'a mut dyn FnMut(u64, f64, f64) -> bool;

/// How a fit that was stopped ends.
pub(crate) fn interrupted() -> Outcome {
    let warning = Some("did not converge: the fit was interrupted".into());
    Outcome { converged: false, stopped: "interrupted".into(), warning }
}
