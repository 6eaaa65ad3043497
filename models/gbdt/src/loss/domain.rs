//! Which answers, weights, queries and events a loss accepts.

use super::Truth;
use tilewise_base::{Error, Result};
use tilewise_kernels::same;

/// Answers of numbers are no larger: derivatives in f32, which reaches 3e38, then stay finite with the largest differences, and
/// losses in f64 with their squares.
const LARGEST: f64 = 1e30;

/// The largest answer and the largest weight are no smaller, unless all answers are 0: derivatives in f32 keep all their digits down
/// to 1e-38 only.
const SMALLEST: f64 = 1e-30;

/// A weight times an answer is no larger: it would not be finite in f32.
const LARGEST_PRODUCT: f64 = 1e37;

/// 2^relevance - 1 is exact in an f64, and no more than 31 relevances are known to be in use.
pub(super) const MOST_RELEVANT: f64 = 31.0;

impl Truth<'_> {
    /// Accepts numbers from -1e30 to 1e30, and what all losses do: weights of 0 or more, as many as answers, one above 0 at least,
    /// no infinite sum of them, the largest from 1e-30 to 1e30. The largest answer is 0 or 1e-30 at least, and none times its weight
    /// above 1e37: derivatives are f32.
    ///
    /// # Errors
    /// Naming the first row that is not so.
    pub fn check_numbers(&self) -> Result<()> {
        self.check_answers("a number from -1e30 to 1e30", |y| y.abs() <= LARGEST)?;
        self.check_range()
    }

    /// That derivatives in units of the answers can be told in f32.
    fn check_range(&self) -> Result<()> {
        let largest = self.counted().map(|row| self.y[row].abs()).fold(0.0, f64::max);
        if largest > 0.0 && largest < SMALLEST {
            let what = format!(
                "its numbers are {largest:e} and smaller in size, too small to be learned from: of one that reaches 1e-30 or more they \
                 are; multiply it by a constant"
            );
            return Err(Error::column("target", what));
        }
        match self.counted().find(|&row| self.y[row].abs() * self.weight(row) > LARGEST_PRODUCT) {
            Some(row) => {
                let (weight, y) = (self.weight(row), self.y[row]);
                let what = format!(
                    "{weight:e} times the answer {y:e} is above 1e37, which derivatives cannot hold; smaller weights are accepted"
                );
                Err(Error::cell(row, "weight", what))
            }
            None => Ok(()),
        }
    }

    /// That weights are weights, and that `accepts` holds for the answer of every row that has one; `accepted` says what that is,
    /// as in "0.5 is not a whole number".
    ///
    /// # Errors
    /// Naming the first row that is not so.
    pub fn check_answers(&self, accepted: &str, accepts: impl Fn(f64) -> bool) -> Result<()> {
        if let Some(weights) = self.weights {
            same("weights", self.y.len(), weights.len())?;
            let is_weight = |weight: &f64| weight.is_finite() && *weight >= 0.0;
            if let Some(row) = weights.iter().position(|weight| !is_weight(weight)) {
                let what = format!("{} is not a finite number of 0 or more", weights[row]);
                return Err(Error::cell(row, "weight", what));
            }
            let most = |a: usize, b: usize| if weights[b] > weights[a] { b } else { a };
            if let Some(row) = (0..weights.len()).reduce(most) {
                // Tables round weights: 1e30 is 1.0000000003e30 in one.
                if weights[row] > 1.001 * LARGEST {
                    let what = format!("{:e} is too large; weights up to 1e30 are accepted", weights[row]);
                    return Err(Error::cell(row, "weight", what));
                }
                if weights[row] > 0.0 && weights[row] < SMALLEST {
                    let what = format!(
                        "its weights are {:e} and smaller, too small to be learned from; those that reach 1e-30 or more are accepted",
                        weights[row]
                    );
                    return Err(Error::column("weight", what));
                }
            }
        }
        let total = self.total_weight();
        if !(total > 0.0 && total.is_finite()) {
            return Err(Error::Fit(format!(
                "the weights of all {} rows sum to {total}: a finite number above 0 is needed",
                self.y.len()
            )));
        }
        match self.counted().find(|&row| !accepts(self.y[row])) {
            Some(row) => Err(Error::cell(row, "target", format!("{} is not {accepted}", self.y[row]))),
            None => Ok(()),
        }
    }

    /// Rows with a weight.
    pub(super) fn counted(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.y.len()).filter(|&row| self.weight(row) != 0.0)
    }

    /// Accepts numbers of 0 or more that are not all 0.
    pub(super) fn check_not_negative(&self) -> Result<()> {
        self.check_answers("a number from 0 to 1e30", |y| (0.0..=LARGEST).contains(&y))?;
        self.check_range()?;
        if self.counted().all(|row| self.y[row] == 0.0) {
            return Err(Error::Fit(
                "the target is 0 in all rows, and no finite score is the logarithm of that: a row with more is needed"
                    .into(),
            ));
        }
        Ok(())
    }

    /// Accepts numbers above 0.
    pub(super) fn check_positive(&self) -> Result<()> {
        self.check_answers("a number above 0, up to 1e30", |y| y > 0.0 && y <= LARGEST)?;
        self.check_range()
    }

    /// Accepts the numbers of so many classes.
    pub(super) fn check_classes(&self, classes: usize) -> Result<()> {
        let accepted = format!("the number of a class, 0 to {}", classes - 1);
        self.check_answers(&accepted, |y| y >= 0.0 && y < classes as f64 && y.fract() == 0.0)
    }

    /// Accepts whole relevances, in queries one after another that hold all rows, each with one weight (rows may have none).
    pub(super) fn check_relevance(&self) -> Result<()> {
        self.check_answers("a whole number from 0 to 31, as relevances are", |y| {
            (0.0..=MOST_RELEVANT).contains(&y) && y.fract() == 0.0
        })?;
        self.check_queries(0)
    }

    /// Accepts queries one after another that hold all rows, each with one weight (rows may have none). The first row is called by this
    /// number.
    pub(crate) fn check_queries(&self, first: usize) -> Result<()> {
        let Some(groups) = self.groups else {
            return Err(Error::Fit(
                "a ranking needs to know which rows are of one query: a group column".into(),
            ));
        };
        let mut next = 0;
        for group in groups {
            if group.start != next || group.end < next || group.end > self.y.len() {
                return Err(Error::cell(
                    first + next.min(self.y.len().saturating_sub(1)),
                    "group",
                    format!(
                        "rows {} to {} are no query: rows from {} on, of {}, are",
                        first + group.start + 1,
                        first + group.end,
                        first + next + 1,
                        first + self.y.len()
                    ),
                ));
            }
            next = group.end;
            let mut counted = group.clone().filter(|&row| self.weight(row) != 0.0);
            let Some(one) = counted.next() else { continue };
            if let Some(row) = counted.find(|&row| self.weight(row) != self.weight(one)) {
                let what = format!(
                    "{} is not {}, that of row {}: all rows of a query have one weight, or 0",
                    self.weight(row),
                    self.weight(one),
                    first + one + 1
                );
                return Err(Error::cell(first + row, "weight", what));
            }
        }
        if next != self.y.len() {
            return Err(Error::cell(first + next, "group", "no query has this row: one is needed"));
        }
        Ok(())
    }

    /// Accepts times above 0, some of which are those of events.
    pub(super) fn check_times(&self) -> Result<()> {
        self.check_answers("a time: a finite number above 0", |y| y > 0.0 && y.is_finite())?;
        let Some(events) = self.events else {
            return Err(Error::Fit(
                "survival needs to know at which times the event was seen: an event column".into(),
            ));
        };
        same("events", self.y.len(), events.len())?;
        if !self.counted().any(|row| events[row]) {
            return Err(Error::cell(0, "event", "no row has seen the event: one or more must"));
        }
        Ok(())
    }
}
