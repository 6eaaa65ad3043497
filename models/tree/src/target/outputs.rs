//! Several numbers per row, which one tree predicts together.
//!
//! A split is worth the mean over outputs of what it takes off the squared error of each, in the outputs' own units.

use super::scale::check_finite;
use super::{Numbers, Target, square_over};
use crate::Criterion;
use crate::values::Values;
use crate::weights::Weights;
use tilewise_base::{Error, Result};
use tilewise_kernels::ShapeError;
use tilewise_kernels::tree::{Bin, Bins, Pair, Rows, histogram_pairs};

/// Lists of numbers, one per output. A bin has a cell for each.
pub(crate) struct Outputs {
    parts: Vec<Numbers>,
    /// What 1 stands for in the cells of each output where gains are counted.
    units: Vec<f64>,
    gain_unit: f64,
    /// The units, with a minus where an output falls while the one of the widest range rises.
    directions: Vec<f64>,
    /// A number that rows with the same numbers have in common.
    answers: Vec<u32>,
}

impl Outputs {
    /// `y` has a list of as many numbers as rows for each output, of which there is one. O(outputs x rows log rows).
    pub(crate) fn new<Y: AsRef<[f64]>>(y: &[Y], weights: &Weights, criterion: Criterion) -> Result<Self> {
        if !matches!(criterion, Criterion::Auto | Criterion::Squared) {
            return Err(Error::parameter("criterion", criterion, "for several numbers auto and squared are"));
        }
        for (output, y) in y.iter().map(AsRef::as_ref).enumerate() {
            check_finite(format!("target {}", output + 1), y, weights)?;
        }
        let part = |y: &Y| Numbers::new(y.as_ref(), weights, criterion);
        let parts = y.iter().map(part).collect::<Result<Vec<Numbers>>>()?;
        // In units of the widest range squares do not overflow. One that is the same in all rows has none.
        let widest =
            (0..parts.len()).rev().max_by_key(|&i| parts[i].varies().then(|| parts[i].scale().exponent()));
        let widest = &parts[widest.unwrap_or(0)];
        let units: Vec<f64> = parts.iter().map(|part| part.scale().unit_in(widest.scale())).collect();
        let gain_unit = widest.scale().gain_unit(2) / parts.len() as f64;
        let sign = |part: &Numbers| if part.falls_with(widest) { -1.0 } else { 1.0 };
        let directions = parts.iter().zip(&units).map(|(part, unit)| sign(part) * unit).collect();
        let rows = y.first().map_or(0, |y| y.as_ref().len());
        let mut order = weights.counted(rows);
        let compare = |a: &u32, b: &u32| {
            let of_row = |row: u32| parts.iter().map(move |part| part.answer(part.value(row)));
            of_row(*a).cmp(of_row(*b))
        };
        order.sort_unstable_by(compare);
        let (mut answers, mut answer) = (vec![0; rows], 0);
        for (i, row) in order.iter().enumerate() {
            answer += u32::from(i > 0 && compare(&order[i - 1], row).is_ne());
            answers[*row as usize] = answer;
        }
        Ok(Self { parts, units, gain_unit, directions, answers })
    }
}

impl Target for Outputs {
    type Cell = Pair;
    /// The row.
    type Value = u32;
    fn width(&self) -> usize {
        self.parts.len()
    }
    #[inline(always)]
    fn value(&self, row: u32) -> u32 {
        row
    }
    #[inline(always)]
    fn put(&self, row: u32, cells: &mut [Pair]) {
        cells.iter_mut().zip(&self.parts).for_each(|(cell, part)| *cell = *cell + part.value(row));
    }
    fn histogram<B: Bin>(
        &self,
        bins: Bins<'_, B>,
        rows: &Rows<'_>,
        cells: &mut [Pair],
    ) -> Result<(), ShapeError> {
        let mut of_part = vec![Pair::default(); bins.cells()];
        for (output, part) in self.parts.iter().enumerate() {
            of_part.fill(Pair::default());
            histogram_pairs(bins, rows, part.values(), &mut of_part)?;
            let cells = cells.iter_mut().skip(output).step_by(self.parts.len());
            cells.zip(&of_part).for_each(|(cell, &sum)| *cell = *cell + sum);
        }
        Ok(())
    }
    fn worth(&self, sums: &[Pair], out: &mut [f64]) {
        for (out, sums) in out.iter_mut().zip(sums.chunks_exact(self.parts.len())) {
            *out = sums.iter().zip(&self.units).map(|(&sum, &unit)| square_over(sum, unit)).sum();
        }
    }
    /// The sum of the means of all outputs, of those with a minus that fall while the one of the widest range rises. For more than
    /// one output no order is best: this is a choice.
    fn key(&self, cells: &[Pair], _: &[Pair]) -> f64 {
        let mean = |cell: &Pair| cell.gradient as f64 / cell.hessian as f64;
        cells.iter().zip(&self.directions).map(|(cell, direction)| direction * mean(cell)).sum()
    }
    fn is_ordered(&self) -> bool {
        self.parts.len() == 1
    }
    fn answer(&self, row: u32) -> i64 {
        self.answers[row as usize].into()
    }
    fn is_pure(&self, _: &[Pair], rows: &mut dyn Iterator<Item = u32>) -> bool {
        let Some(first) = rows.next() else { return true };
        Iterator::all(&mut &mut *rows, |row| self.answer(row) == self.answer(first))
    }
    fn keep(&self, sums: &[Pair], unit: f64, values: &mut Values) {
        let means = sums.iter().zip(&self.parts).map(|(sum, part)| part.level(std::slice::from_ref(sum)));
        values.push_numbers(self.weight(sums) as f64 * unit, means);
    }
    fn level(&self, _: &[Pair]) -> f64 {
        f64::NAN
    }
    fn outputs(&self) -> usize {
        self.parts.len()
    }
    fn weight(&self, sums: &[Pair]) -> u64 {
        sums[0].hessian as u64
    }
    fn gain_unit(&self) -> f64 {
        self.gain_unit
    }
}

#[cfg(test)]
mod tests;
