//! Rows that are held out, and what the loss on them says.

use crate::loss::Truth;
use crate::parameters::EarlyStopping;
use std::ops::Range;
use tilewise_base::{Error, Result};
use tilewise_kernels::random::Philox;
use tilewise_kernels::same;

/// Rows, and by what some of them are held out.
#[derive(Clone, Copy)]
pub(crate) struct Divided<'a> {
    /// Which are, where that was said; else they are drawn.
    pub(crate) told: Option<&'a [bool]>,
    /// Queries, which stay together.
    pub(crate) groups: Option<&'a [Range<usize>]>,
    /// The numbers of the first row and the first query among all.
    pub(crate) first: [u64; 2],
}

impl Divided<'_> {
    /// The rows that are held out, and the others, of `rows` in all those with a weight, `counted`; of chunks either may be none.
    ///
    /// # Errors
    /// When rows are told and nobody stops early, there are not as many as rows, or a query has rows of both kinds.
    pub(crate) fn rows(
        &self,
        counted: &[u32],
        rows: usize,
        stop: Option<EarlyStopping>,
        seed: u64,
    ) -> Result<(Vec<u32>, Vec<u32>)> {
        let [first_row, first_query] = self.first;
        let query =
            |row: u32| self.groups.map(|groups| groups.partition_point(|group| group.end <= row as usize));
        let Some(stop) = stop else {
            return match self.told {
                Some(_) => {
                    let what = "where rows are named that are held out, a number of stages is";
                    Err(Error::parameter("early_stopping", "none", what))
                }
                None => Ok((Vec::new(), counted.to_vec())),
            };
        };
        let Some(told) = self.told else {
            let drawn = Philox::new(seed, Philox::purpose("rows that boosting holds out"));
            let unit = |row: u32| match query(row) {
                Some(query) => first_query + query as u64,
                None => first_row + u64::from(row),
            };
            return Ok(counted.iter().partition(|&&row| drawn.uniform(unit(row)) < stop.share));
        };
        same("rows held out against rows", rows, told.len())?;
        let torn = |pair: &[u32]| {
            self.groups.is_some()
                && query(pair[0]) == query(pair[1])
                && told[pair[0] as usize] != told[pair[1] as usize]
        };
        if let Some(pair) = counted.windows(2).find(|pair| torn(pair)) {
            let what =
                "its query has rows that are held out and others that are not; whole queries are accepted";
            return Err(Error::cell(first_row as usize + pair[1] as usize, "held_out", what));
        }
        Ok(counted.iter().partition(|&&row| told[row as usize]))
    }
}

/// That some are held out and others are learned from.
pub(crate) fn check_counts(held_out: u64, learned: u64) -> Result<()> {
    if held_out == 0 || learned == 0 {
        return Err(Error::Fit("there are too few rows to hold some out and to learn from others".into()));
    }
    Ok(())
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
            scores: scores.chunks_exact(truth.y.len().max(1)).flat_map(of).collect(),
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
