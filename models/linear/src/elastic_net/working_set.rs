//! The outer loop: a gap over all columns, columns that cannot count left out for good, and a small set of columns on which
//! coordinate descent goes on.
//!
//! - Screening: the best dual point lies within sqrt(2 gap) of the one at hand, so a column that cannot reach the penalty
//!   anywhere in that ball has the coefficient zero (Fercoq, Gramfort, Salmon, "Mind the duality gap: safer rules for the
//!   Lasso", 2015).
//! - The set: columns with a coefficient, and as many more of those nearest to the penalty (Massias, Gramfort, Salmon,
//!   "Celer: a fast solver for the Lasso with dual extrapolation", 2018).

use super::descent::{by_products, by_residual};
use super::design::Design;
use super::penalty::{Certificate, Penalty};
use tilewise_base::Result;

/// Columns of the first set: as many as have products that cost about as much as another look at all columns, which is n p
/// cells from memory against n k^2 / 2 multiply-adds from cache.
fn smallest(columns: usize) -> usize {
    64.max((4.0 * (columns as f64).sqrt()) as usize)
}

/// The share of the gap at hand that a set is solved to: more exact would be lost on columns that are still to come.
const SHARE: f64 = 0.1;

/// Rounds without progress after which the gap is what rounding leaves.
const PATIENCE: u32 = 4;

/// How the outer loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Converged,
    /// Neither objective nor gap falls any more.
    Rounding,
    Rounds,
    Cancelled,
}

/// Whether looks at the gap find it smaller, or the objective: each may stand still while the other falls.
pub(crate) struct Progress {
    gap: f64,
    objective: f64,
    /// Looks since.
    pub(crate) idle: u32,
    patience: u32,
}

impl Progress {
    /// Before the first look; after `patience` without progress what is left is rounding.
    pub(crate) fn new(patience: u32) -> Self {
        Self { gap: f64::INFINITY, objective: f64::INFINITY, idle: 0, patience }
    }

    /// Why to end after so many of the rounds that there may be, if so; `told` is false where somebody wants that.
    pub(crate) fn stop(
        &mut self,
        at: &Certificate,
        enough: f64,
        (rounds, most): (u64, u64),
        told: bool,
    ) -> Option<Stop> {
        let falls = at.gap < 0.9 * self.gap || self.objective - at.objective > 1e-13 * at.objective.abs();
        self.idle = if falls { 0 } else { self.idle + 1 };
        (self.gap, self.objective) = (self.gap.min(at.gap), at.objective);
        if at.gap <= enough {
            Some(Stop::Converged)
        } else if self.idle >= self.patience {
            Some(Stop::Rounding)
        } else if rounds >= most {
            Some(Stop::Rounds)
        } else if !told {
            Some(Stop::Cancelled)
        } else {
            None
        }
    }
}

/// Where the outer loop ended.
#[derive(Clone, Debug)]
pub(crate) struct Solution {
    pub(crate) coefficients: Vec<f64>,
    pub(crate) certificate: Certificate,
    pub(crate) rounds: u64,
    pub(crate) stop: Stop,
}

/// Minimises |y - X b|^2 / 2 and the penalty from `start`, until the duality gap over all columns is at most `enough`.
/// `go_on` hears of every round, and ends it by false.
pub(crate) fn solve(
    design: &dyn Design,
    penalty: Penalty,
    start: Vec<f64>,
    enough: f64,
    max_rounds: u64,
    go_on: &mut dyn FnMut(u64, &Certificate) -> bool,
) -> Result<Solution> {
    let mut b = start;
    let varying: Vec<usize> = (0..b.len()).filter(|&j| design.squares()[j] > 0.0).collect();
    (0..b.len()).filter(|&j| design.squares()[j] == 0.0).for_each(|j| b[j] = 0.0);
    // Columns that screening has left; all are looked at again before the end.
    let mut alive = varying.clone();
    let mut screens = penalty.l1 > 0.0;
    let (mut correlations, mut rounds, mut progress) = (vec![0.0; b.len()], 0, Progress::new(PATIENCE));
    loop {
        let (square, target) = design.correlate(&b, &alive, &mut correlations)?;
        let of = |values: &[f64]| alive.iter().map(|&j| values[j]).collect::<Vec<f64>>();
        let certificate = penalty.certificate(&of(&b), &of(&correlations), square, target);
        rounds += 1;
        let told = go_on(rounds, &certificate);
        let stop = progress.stop(&certificate, enough, (rounds, max_rounds), told);
        if let Some(stop) = stop {
            if alive.len() < varying.len() {
                // What the caller is told holds for all columns.
                (alive, screens, progress.idle) = (varying.clone(), false, 0);
                if stop == Stop::Converged || stop == Stop::Rounding {
                    continue;
                }
                let (square, target) = design.correlate(&b, &alive, &mut correlations)?;
                let of = |values: &[f64]| alive.iter().map(|&j| values[j]).collect::<Vec<f64>>();
                let certificate = penalty.certificate(&of(&b), &of(&correlations), square, target);
                return Ok(Solution { coefficients: b, certificate, rounds, stop });
            }
            return Ok(Solution { coefficients: b, certificate, rounds, stop });
        }
        // How far column j is from the penalty in the dual point, in units of its length.
        let distance = |j: usize| {
            let length = (design.squares()[j] + penalty.l2).sqrt();
            let pull = certificate.shrink * (correlations[j] - penalty.l2 * b[j]);
            (penalty.l1 - penalty.strength(pull)) / length
        };
        if screens {
            alive.retain(|&j| b[j] != 0.0 || distance(j) <= certificate.radius);
        }
        let (mut set, mut rest): (Vec<usize>, Vec<usize>) = alive.iter().partition(|&&j| b[j] != 0.0);
        let more = (2 * set.len()).max(smallest(alive.len())) - set.len();
        if penalty.l1 > 0.0 && more < rest.len() {
            rest.select_nth_unstable_by(more, |&i, &j| distance(i).total_cmp(&distance(j)).then(i.cmp(&j)));
            rest.truncate(more);
        }
        set.append(&mut rest);
        set.sort_unstable();
        let mut inner: Vec<f64> = set.iter().map(|&j| b[j]).collect();
        let target = SHARE * certificate.gap.max(enough);
        match design.columns(set.len())? {
            Some(columns) => by_residual(columns, &set, penalty, &mut inner, target)?,
            None => by_products(design, &set, penalty, &mut inner, target)?,
        };
        set.iter().zip(inner).for_each(|(&j, value)| b[j] = value);
    }
}
