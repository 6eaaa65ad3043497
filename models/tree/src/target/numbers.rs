//! Numbers, as multiples of a power of two.

use super::{
    Candidates, FewRows, Found, Room, Rule, Target, scan_histogram, scan_pairs, split_pairs, square_over,
};
use crate::Criterion;
use crate::values::Values;
use crate::weights::{Weights, scale};
use tilewise_base::{Error, Result};
use tilewise_kernels::tree::{Bins, Pair, Rows, Split, histogram_pairs};
use tilewise_kernels::{ShapeError, log};

/// Numbers, from the middle of their range (for counts, from 0).
pub(crate) struct Numbers {
    values: Vec<Pair>,
    base: f64,
    unit: f64,
    /// Gains are counted in this, so that squares of the largest numbers do not overflow.
    gain_unit: f64,
    /// What 1 stands for where gains are counted.
    relative_unit: f64,
    poisson: bool,
}

impl Numbers {
    /// The sum of all stays below 2^62: with W the sum of integer weights each number is rounded to 2^-62 W of half of the
    /// range, 2^-45 for 100,000 rows without weights.
    pub(crate) fn new(y: &[f64], weights: &Weights, criterion: Criterion) -> Result<Self> {
        let poisson = match criterion {
            Criterion::Auto | Criterion::Squared => false,
            Criterion::Poisson => true,
            _ => {
                return Err(Error::parameter(
                    "criterion",
                    criterion,
                    "for numbers auto, squared and poisson are",
                ));
            }
        };
        // A row without a weight may have any answer.
        let first = |is_wrong: &dyn Fn(f64) -> bool| {
            (0..y.len()).find(|&row| weights.get(row) > 0 && is_wrong(y[row]))
        };
        if let Some(row) = first(&|y| !y.is_finite()) {
            return Err(Error::cell(row, "target", format!("{} is not a finite number", y[row])));
        }
        if poisson && let Some(row) = first(&|y| y < 0.0) {
            let what = format!("{} is below 0, which criterion poisson has no place for", y[row]);
            return Err(Error::cell(row, "target", what));
        }
        let counted = || y.iter().enumerate().filter(|(row, _)| weights.get(*row) > 0).map(|(_, &y)| y);
        let (low, high) =
            (counted().fold(f64::INFINITY, f64::min), counted().fold(f64::NEG_INFINITY, f64::max));
        if poisson && high <= 0.0 {
            return Err(Error::column("target", "is 0 in every row; criterion poisson needs one above 0"));
        }
        let base = if poisson {
            0.0
        } else if low == high {
            low
        } else {
            low / 2.0 + high / 2.0
        };
        let far = (high - base).max(base - low);
        let bits = 62 - (u64::BITS - weights.total.leading_zeros()) as i32;
        // far < 2^exponent.
        let exponent = if far > 0.0 { far.log2().floor() as i32 + 2 } else { 0 };
        let fixed = |row: usize| {
            let weight = weights.get(row);
            let value = if weight == 0 { 0 } else { scale(y[row] - base, bits - exponent).round() as i64 };
            Pair { gradient: value * i64::from(weight), hessian: weight.into() }
        };
        let values = (0..y.len()).map(fixed).collect();
        // Squares of the unit for squared errors, the unit for counts.
        let gains = scale(1.0, if poisson { exponent } else { 2 * exponent });
        let gain_unit = gains.clamp(f64::MIN_POSITIVE, f64::MAX);
        let (unit, relative_unit) = (scale(1.0, exponent - bits), scale(1.0, -bits));
        Ok(Self { values, base, unit, gain_unit, relative_unit, poisson })
    }

    fn mean(&self, sum: Pair) -> f64 {
        // The largest numbers may have been rounded up beyond them.
        (self.base + sum.gradient as f64 / sum.hessian as f64 * self.unit).clamp(f64::MIN, f64::MAX)
    }
}

impl Target for Numbers {
    type Cell = Pair;
    type Value = Pair;
    fn width(&self) -> usize {
        1
    }
    #[inline(always)]
    fn value(&self, row: u32) -> Pair {
        self.values[row as usize]
    }
    #[inline(always)]
    fn put(&self, value: Pair, cells: &mut [Pair]) {
        cells[0] = cells[0] + value;
    }
    fn histogram(&self, bins: Bins<'_, u8>, rows: &Rows<'_>, cells: &mut [Pair]) -> Result<(), ShapeError> {
        histogram_pairs(bins, rows, &self.values, cells)
    }
    /// With sums G and weights H: G^2 / H for squared errors, G ln (G / H) for counts. A side on which every count is 0
    /// would predict that none can ever be: it is worth minus infinity.
    fn worth(&self, sums: &[Pair], out: &mut [f64]) {
        if !self.poisson {
            out.iter_mut().zip(sums).for_each(|(out, &sum)| *out = square_over(sum, self.relative_unit));
            return;
        }
        let sum = |sum: &Pair| sum.gradient as f64 * self.relative_unit;
        let means: Vec<f64> = sums.iter().map(|pair| sum(pair) / pair.hessian as f64).collect();
        // Both have the same length; a failure would leave zeros.
        let _ = log(&means, out);
        for (out, pair) in out.iter_mut().zip(sums) {
            *out = if pair.gradient > 0 { sum(pair) * *out } else { f64::NEG_INFINITY };
        }
    }
    fn scan(&self, candidates: &Candidates<'_, Pair>, rule: Rule, room: &mut Room<Pair>) -> Option<Found> {
        if self.poisson {
            return room.scan(self, candidates, rule, |_, _, _| true);
        }
        scan_pairs(candidates, rule, self.relative_unit, room)
    }
    fn split_of_rows(
        &self,
        node: &FewRows<'_, Self>,
        rule: Rule,
        room: &mut Room<Pair>,
    ) -> Option<Option<(Split, bool)>> {
        (!self.poisson).then(|| split_pairs(node, rule, self.relative_unit, room))
    }
    fn scan_all(&self, cells: &[Pair], missing: bool, rule: Rule) -> Option<Option<Split>> {
        (!self.poisson).then(|| scan_histogram(cells, missing, rule, self.relative_unit))
    }
    /// The mean: no other order has a better split (Breiman et al. 1984, section 8.8), but for counts where one is refused for a side
    /// of zeros.
    fn key(&self, cells: &[Pair], _: &[Pair]) -> f64 {
        cells[0].gradient as f64 / cells[0].hessian as f64
    }
    fn answer(&self, value: Pair) -> i64 {
        value.gradient / value.hessian.max(1)
    }
    fn is_pure(&self, _: &[Pair], values: &mut dyn Iterator<Item = Pair>) -> bool {
        let Some(first) = values.next() else { return true };
        Iterator::all(&mut &mut *values, |value| self.answer(value) == self.answer(first))
    }
    fn keep(&self, sums: &[Pair], unit: f64, values: &mut Values) {
        values.push_numbers(self.weight(sums) as f64 * unit, std::iter::once(self.mean(sums[0])));
    }
    fn level(&self, sums: &[Pair]) -> f64 {
        self.mean(sums[0])
    }
    fn outputs(&self) -> usize {
        1
    }
    fn weight(&self, sums: &[Pair]) -> u64 {
        sums[0].hessian as u64
    }
    fn gain_unit(&self) -> f64 {
        self.gain_unit
    }
}
