//! Rows that are held out, and what the loss on them says.

use crate::loss::Truth;
use std::ops::Range;
use tilewise_kernels::random::Philox;

/// The random numbers by which rows are held out, one for each row or query.
pub(crate) fn drawn(seed: u64) -> Philox {
    Philox::new(seed, Philox::purpose("rows that boosting holds out"))
}

/// The stage with the least of these losses, from 1; of equals the first.
pub(crate) fn best(losses: &[f64]) -> usize {
    let least = losses.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
    least.map_or(0, |(stage, _)| stage + 1)
}

/// Rows by which stages are judged.
pub(crate) struct HeldOut {
    pub(crate) rows: Vec<u32>,
    y: Vec<f64>,
    weights: Option<Vec<f64>>,
    groups: Option<Vec<Range<usize>>>,
    events: Option<Vec<bool>>,
    pub(crate) scores: Vec<f64>,
    pub(crate) losses: Vec<f64>,
}

impl HeldOut {
    /// These rows (whole queries) of all, at scores of all.
    pub(crate) fn new(rows: Vec<u32>, truth: &Truth<'_>, scores: &[f64]) -> Self {
        let of = |values: &[f64]| rows.iter().map(|&row| values[row as usize]).collect::<Vec<f64>>();
        let groups = truth.groups.map(|groups| {
            let here = |group: &Range<usize>| {
                let place = |row: usize| rows.partition_point(|&at| (at as usize) < row);
                place(group.start)..place(group.end)
            };
            groups.iter().map(here).filter(|group| !group.is_empty()).collect()
        });
        Self {
            y: of(truth.y),
            weights: truth.weights.map(of),
            groups,
            events: truth.events.map(|events| rows.iter().map(|&row| events[row as usize]).collect()),
            scores: scores.chunks_exact(truth.y.len()).flat_map(of).collect(),
            losses: Vec::new(),
            rows,
        }
    }

    pub(crate) fn truth(&self) -> Truth<'_> {
        Truth {
            y: &self.y,
            weights: self.weights.as_deref(),
            groups: self.groups.as_deref(),
            events: self.events.as_deref(),
        }
    }

    /// The stage with the least loss, from 1; of equals the first.
    pub(crate) fn best(&self) -> usize {
        best(&self.losses)
    }
}
