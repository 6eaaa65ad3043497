//! Columns of categories: the one dependence among features that is expected.
//!
//! Where each row has a level of a category, the indicator columns of its levels add up to one: an intercept depends
//! on them, and so do the indicators of two categories on each other. Without penalty the solution is then not unique
//! by design. One column of each such group is left out of the factorisation, the commonest one, which keeps the rest
//! well conditioned; adding a constant to a group then changes no prediction, and the constants that make the norm
//! least have a closed form.

use std::ops::Range;
use tilewise_base::{Error, Result, SparseRef};
use tilewise_kernels::Float;

/// How far the means of a group's columns may add up from one: rounding of means. A billion rows of which one has no
/// level are a thousand times as far.
const COMPLETE: f64 = 1e-12;

/// Groups of indicator columns, and what the data made of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Categories {
    groups: Vec<Range<usize>>,
    /// The columns of each group that adds up to one, those left aside that are solved by zero.
    complete: Vec<Vec<usize>>,
    intercept: bool,
    /// How much smaller than the number of features the rank must be, for these groups alone.
    pub(crate) lost_rank: usize,
}

impl Categories {
    /// The groups: ranges of columns, in order and apart.
    ///
    /// # Errors
    /// When they are not, or reach beyond the features.
    pub(crate) fn new(groups: Vec<Range<usize>>, features: usize, intercept: bool) -> Result<Self> {
        let mut end = 0;
        for group in &groups {
            if group.start < end || group.end < group.start || group.end > features {
                let accepted = format!("expected ranges in order and apart, within {features} features");
                return Err(Error::parameter("categories", format!("{group:?}"), accepted));
            }
            end = group.end;
        }
        Ok(Self { groups, intercept, ..Self::default() })
    }

    /// Which columns to leave out, by the means of all and whether each is `idle`: solved by zero, as a level without
    /// rows.
    pub(crate) fn leave_out(&mut self, mean: &[f64], idle: &[bool]) -> Vec<usize> {
        let adds_up = |g: &&Range<usize>| (mean[(*g).clone()].iter().sum::<f64>() - 1.0).abs() <= COMPLETE;
        let active = |g: &Range<usize>| g.clone().filter(|&j| !idle[j]).collect::<Vec<_>>();
        self.complete = self.groups.iter().filter(adds_up).map(active).filter(|g| !g.is_empty()).collect();
        // Without intercept the first group takes its place.
        let dependent = self.complete.iter().skip(usize::from(!self.intercept));
        let left_out: Vec<usize> = dependent
            .filter_map(|g| g.iter().copied().max_by(|&i, &j| mean[i].total_cmp(&mean[j])))
            .collect();
        self.lost_rank = left_out.len() + self.groups.iter().cloned().flatten().filter(|&j| idle[j]).count();
        left_out
    }

    /// What sparse rows make of the groups, in order and apart: of each a row has one column at most. Rows without weight do not count. Counts
    /// are exact.
    pub(crate) fn of_rows<T: Float>(
        groups: Vec<Range<usize>>,
        x: SparseRef<'_, T>,
        weights: Option<&[f64]>,
        intercept: bool,
    ) -> Self {
        let (mut rows, mut rows_of) = (0usize, vec![0usize; x.cols()]);
        for i in (0..x.rows()).filter(|&i| weights.is_none_or(|w| w[i] > 0.0)) {
            rows += 1;
            x.line(i).0.iter().for_each(|&j| rows_of[j as usize] += 1);
        }
        let idle = |j: usize| rows_of[j] == 0 || intercept && rows_of[j] == rows;
        let adds_up = |g: &&Range<usize>| rows_of[(*g).clone()].iter().sum::<usize>() == rows;
        let active = |g: &Range<usize>| g.clone().filter(|&j| !idle(j)).collect::<Vec<_>>();
        let complete: Vec<Vec<usize>> =
            groups.iter().filter(adds_up).map(active).filter(|g| !g.is_empty()).collect();
        let left_out = complete.len().saturating_sub(usize::from(!intercept));
        let lost_rank = left_out + groups.iter().cloned().flatten().filter(|&j| idle(j)).count();
        Self { groups, complete, intercept, lost_rank }
    }

    /// Makes the norm of `solution` least by a constant for each group. Predictions stay the same when the intercept
    /// takes up the sum of the constants, or, without one, when their sum is zero.
    pub(crate) fn shorten(&self, solution: &mut [f64]) {
        let sum = |g: &Vec<usize>, w: &[f64]| g.iter().map(|&j| w[j]).sum::<f64>();
        // Least squares of all w_j + constant_g: each group's sum becomes the multiplier of the condition on the sum
        // of constants, which with an intercept is none.
        let target = if self.intercept || self.complete.is_empty() {
            0.0
        } else {
            let means: f64 = self.complete.iter().map(|g| sum(g, solution) / g.len() as f64).sum();
            means / self.complete.iter().map(|g| 1.0 / g.len() as f64).sum::<f64>()
        };
        for group in &self.complete {
            let constant = (target - sum(group, solution)) / group.len() as f64;
            group.iter().for_each(|&j| solution[j] += constant);
        }
    }
}
