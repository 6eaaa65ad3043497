//! Losses that are sums over rows: their rows in blocks, shared among threads, and their means.

use super::{Derivatives, Truth};
use std::ops::Range;
use tilewise_base::ExactSum;
use tilewise_kernels::{Elementary, parallel};

/// Rows of a task: some 15 to 50 us, as those of the elementary functions.
pub(super) const TASK: usize = 16 * 1024;

/// Rows whose intermediate numbers, 8 KB a list, stay in the first-level cache.
pub(super) const BLOCK: usize = 1024;

impl Truth<'_> {
    /// The weighted mean of `term(row)` over rows with a weight, from exact sums: no order of rows changes a bit. NaN without
    /// weight.
    pub fn mean(&self, term: impl Fn(usize) -> f64 + Sync) -> f64 {
        mean(self, |rows, out| out.iter_mut().zip(rows).for_each(|(out, row)| *out = term(row)))
    }

    /// The weighted sum of `term(row)` over rows with a weight.
    pub(super) fn sum(&self, term: impl Fn(usize) -> f64 + Sync) -> ExactSum {
        sum(self, |rows, out| out.iter_mut().zip(rows).for_each(|(out, row)| *out = term(row)))
    }

    /// The sum of all weights, exact and then rounded.
    pub(super) fn total_weight(&self) -> f64 {
        self.sum_of_weights().map_or(self.y.len() as f64, |sum| sum.value())
    }

    /// The sum of all weights; `None` where they are 1 each.
    pub(crate) fn sum_of_weights(&self) -> Option<ExactSum> {
        let weights = self.weights?;
        let task = |rows: Range<usize>| weights[rows].iter().copied().collect::<ExactSum>();
        Some(parallel::map_reduce(weights.len(), TASK, task, ExactSum::merge).unwrap_or_default())
    }

    /// What rows with these sums, made by [`Objective::start_sums`](super::Objective::start_sums), have on average.
    pub(super) fn means(&self, sums: &[ExactSum]) -> Vec<f64> {
        let total = self.total_weight();
        sums.iter().map(|sum| sum.value() / total).collect()
    }
}

/// As [`Truth::mean`], of terms that are written for at most [`BLOCK`] rows at once.
pub(super) fn mean(truth: &Truth<'_>, terms: impl Fn(Range<usize>, &mut [f64]) + Sync) -> f64 {
    sum(truth, terms).value() / truth.total_weight()
}

/// The sum of which [`mean`] is the mean.
pub(super) fn sum(truth: &Truth<'_>, terms: impl Fn(Range<usize>, &mut [f64]) + Sync) -> ExactSum {
    let task = |rows: Range<usize>| {
        let mut sum = ExactSum::default();
        let mut of_block = [0.0; BLOCK];
        for first in rows.clone().step_by(BLOCK) {
            let block = first..rows.end.min(first + BLOCK);
            let of_block = &mut of_block[..block.len()];
            terms(block.clone(), of_block);
            match truth.weights {
                None => sum.extend(of_block.iter().copied()),
                Some(weights) => {
                    for (&weight, &term) in weights[block].iter().zip(&*of_block) {
                        if weight != 0.0 {
                            sum.add_product(weight, term);
                        }
                    }
                }
            }
        }
        sum
    };
    parallel::map_reduce(truth.y.len(), TASK, task, ExactSum::merge).unwrap_or_default()
}

/// The weighted mean of `of_rows(answers, scores)`.
pub(super) fn mean_loss(
    truth: &Truth<'_>,
    scores: &[f64],
    of_rows: impl Fn(&[f64], &[f64], &mut [f64]) + Sync,
) -> f64 {
    sum_of_losses(truth, scores, of_rows).value() / truth.total_weight()
}

/// The weighted sum of `of_rows(answers, scores)`.
pub(super) fn sum_of_losses(
    truth: &Truth<'_>,
    scores: &[f64],
    of_rows: impl Fn(&[f64], &[f64], &mut [f64]) + Sync,
) -> ExactSum {
    sum(truth, |rows, out| of_rows(&truth.y[rows.clone()], &scores[rows], out))
}

/// The weighted sum of the answers.
pub(super) fn sum_of_answers(truth: &Truth<'_>) -> ExactSum {
    sum(truth, |rows, out| out.copy_from_slice(&truth.y[rows]))
}

/// Derivatives of one score from answers and scores, at most [`BLOCK`] rows at once; weights are multiplied in afterwards.
pub(super) fn derivatives(
    truth: &Truth<'_>,
    scores: &[f64],
    out: &mut [Derivatives],
    of_rows: impl Fn(&[f64], &[f64], &mut [Derivatives]) + Sync,
) {
    parallel::for_each_chunk_mut(out, TASK, |task, out| {
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            let first = task * TASK + block * BLOCK;
            let rows = first..first + out.len();
            of_rows(&truth.y[rows.clone()], &scores[rows.clone()], out);
            weigh(truth, rows, out);
        }
    });
}

/// Multiplies by weights.
pub(super) fn weigh(truth: &Truth<'_>, rows: Range<usize>, out: &mut [Derivatives]) {
    let Some(weights) = truth.weights else { return };
    for (out, &weight) in out.iter_mut().zip(&weights[rows]) {
        // Whatever a row without weight says.
        *out = if weight == 0.0 { Derivatives::default() } else { out.times(weight) };
    }
}

/// ln x with the same bits everywhere.
pub(super) fn ln(x: f64) -> f64 {
    let mut x = [x];
    Elementary::Log.in_place(&mut x);
    x[0]
}
