//! Trial points along a direction from the best point, halved until one is better: what Newton's methods share.

use tilewise_base::solver::{Accepted, Evaluation, Outcome, rounding, sufficient};

/// Halvings of one step before giving up: 2^-30 of a Newton step moves nothing.
const HALVINGS: u32 = 30;

pub(crate) struct Search {
    /// The point that is asked about.
    pub(crate) trial: Vec<f64>,
    pub(crate) direction: Vec<f64>,
    /// By which the objective changes along the direction, at the best point.
    pub(crate) slope: f64,
    pub(crate) accepted: Option<Accepted>,
    pub(crate) tolerance: f64,
    pub(crate) rounds: u64,
    pub(crate) max_rounds: u64,
    step: f64,
    halvings: u32,
}

/// What a trial point is.
pub(crate) enum Judged {
    /// The best so far.
    Better,
    /// No better; a shorter step is tried.
    Shorter,
    Ended(Outcome),
}

impl Search {
    pub(crate) fn new(start: Vec<f64>, tolerance: f64, max_rounds: u64) -> Self {
        Self {
            direction: vec![0.0; start.len()],
            trial: start,
            slope: 0.0,
            accepted: None,
            tolerance,
            rounds: 0,
            max_rounds,
            step: 1.0,
            halvings: 0,
        }
    }

    /// Goes as far as the direction reaches.
    pub(crate) fn begin(&mut self) {
        (self.step, self.halvings) = (1.0, 0);
        self.go();
    }

    /// Halves the step.
    pub(crate) fn shorten(&mut self) {
        self.step *= 0.5;
        self.go();
    }

    fn go(&mut self) {
        if let Some(base) = &self.accepted {
            for ((t, b), d) in self.trial.iter_mut().zip(&base.point).zip(&self.direction) {
                *t = b + self.step * d;
            }
        }
    }

    /// Counts a round, and takes the objective at the trial point.
    pub(crate) fn judge(&mut self, e: Evaluation) -> Judged {
        self.rounds += 1;
        if let Some(base) = &self.accepted {
            let slope = self.step * self.slope;
            let tiny = -slope <= rounding(base.value);
            let better = slope < 0.0 && sufficient(base.value, e.value, slope)
                || tiny && e.value <= base.value + rounding(base.value) && e.norm < 0.5 * base.norm;
            if !better && tiny {
                return Judged::Ended(Outcome::precision(base.norm));
            }
            if !better {
                self.halvings += 1;
                if self.halvings > HALVINGS {
                    return Judged::Ended(Outcome::stuck(base.norm));
                }
                if self.rounds >= self.max_rounds {
                    return Judged::Ended(Outcome::out_of_rounds(self.rounds, base.norm, self.tolerance));
                }
                self.shorten();
                return Judged::Shorter;
            }
        }
        self.accepted = Some(Accepted::new(self.trial.clone(), e));
        Judged::Better
    }
}
