//! Numbers, as multiples of a power of two.

use super::scale::{Scale, check_finite, first_row};
use super::{
    AskedRows, Candidates, Found, Room, Rule, Target, newton, scan_histogram, scan_pairs, split_pairs,
    square_over,
};
use crate::Criterion;
use crate::values::Values;
use crate::weights::Weights;
use tilewise_base::{Error, Result};
use tilewise_kernels::tree::{Bin, Bins, Pair, RowSplit, Rows, Split, histogram_pairs};
use tilewise_kernels::{ShapeError, log};

/// Numbers, from the middle of their range (for counts, from 0).
pub(crate) struct Numbers {
    values: Vec<Pair>,
    scale: Scale,
    poisson: bool,
}

const ALL_ZERO: &str = "is 0 in every row; criterion poisson needs one above 0";

/// Which criterion it is, if it is one for such numbers.
fn is_poisson(criterion: Criterion) -> Result<bool> {
    match criterion {
        Criterion::Auto | Criterion::Squared => Ok(false),
        Criterion::Poisson => Ok(true),
        _ => Err(Error::parameter(
            "criterion",
            criterion,
            "for numbers auto, squared, absolute and poisson are",
        )),
    }
}

impl Numbers {
    pub(crate) fn new(y: &[f64], weights: &Weights, criterion: Criterion) -> Result<Self> {
        let poisson = is_poisson(criterion)?;
        check_finite("target", y, weights)?;
        if poisson && let Some(row) = first_row(y, weights, |y| y < 0.0) {
            let what = format!("{} is below 0, which criterion poisson has no place for", y[row]);
            return Err(Error::cell(row, "target", what));
        }
        if poisson && first_row(y, weights, |y| y > 0.0).is_none() {
            return Err(Error::column("target", ALL_ZERO));
        }
        let scale = Scale::new(y, weights, poisson.then_some(0.0));
        Ok(Self::scaled(y, weights, scale, poisson))
    }

    /// Some of the rows of numbers that are between these; `weights` has the total of all.
    pub(crate) fn of_range(
        y: &[f64],
        weights: &Weights,
        criterion: Criterion,
        range: [f64; 2],
    ) -> Result<Self> {
        let poisson = is_poisson(criterion)?;
        check_finite("target", y, weights)?;
        if poisson && range[0] < 0.0 {
            let what = format!("{} is below 0, which criterion poisson has no place for", range[0]);
            return Err(Error::column("target", what));
        }
        if poisson && range[1] == 0.0 {
            return Err(Error::column("target", ALL_ZERO));
        }
        let scale = Scale::of_range(range, weights.total, poisson.then_some(0.0));
        Ok(Self::scaled(y, weights, scale, poisson))
    }

    fn scaled(y: &[f64], weights: &Weights, scale: Scale, poisson: bool) -> Self {
        let fixed = |row: usize| {
            let weight = weights.get(row);
            let value = if weight == 0 { 0 } else { scale.fixed(y[row]) };
            Pair { gradient: value * i64::from(weight), hessian: weight.into() }
        };
        Self { values: (0..y.len()).map(fixed).collect(), scale, poisson }
    }

    pub(super) fn values(&self) -> &[Pair] {
        &self.values
    }

    pub(super) fn scale(&self) -> &Scale {
        &self.scale
    }

    /// Whether not all are the same, for squared errors.
    pub(super) fn varies(&self) -> bool {
        self.values.iter().any(|value| value.gradient != 0)
    }

    /// Whether their covariance with others is negative. Sums of integers: with W the sum of weights all are below 2^122.
    pub(super) fn falls_with(&self, others: &Self) -> bool {
        let (mut products, mut sums) = (0_i128, [0_i128; 3]);
        for (a, b) in self.values.iter().zip(&others.values) {
            products += i128::from(a.gradient) * i128::from(others.answer(*b));
            sums = [
                sums[0] + i128::from(a.gradient),
                sums[1] + i128::from(b.gradient),
                sums[2] + i128::from(a.hessian),
            ];
        }
        products * sums[2] < sums[0] * sums[1]
    }

    fn mean(&self, sum: Pair) -> f64 {
        self.scale.number(sum.gradient as f64 / sum.hessian as f64)
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
    fn histogram<B: Bin>(
        &self,
        bins: Bins<'_, B>,
        rows: &Rows<'_>,
        cells: &mut [Pair],
    ) -> Result<(), ShapeError> {
        histogram_pairs(bins, rows, &self.values, cells)
    }
    /// With sums G and weights H: G^2 / H for squared errors, G ln (G / H) for counts. A side on which every count is 0
    /// would predict that none can ever be: it is worth minus infinity.
    fn worth(&self, sums: &[Pair], out: &mut [f64]) {
        if !self.poisson {
            out.iter_mut()
                .zip(sums)
                .for_each(|(out, &sum)| *out = square_over(sum, self.scale.relative_unit));
            return;
        }
        let sum = |sum: &Pair| sum.gradient as f64 * self.scale.relative_unit;
        let means: Vec<f64> = sums.iter().map(|pair| sum(pair) / pair.hessian as f64).collect();
        // Both have the same length; a failure would leave zeros.
        let _ = log(&means, out);
        for (out, pair) in out.iter_mut().zip(sums) {
            *out = if pair.gradient > 0 { sum(pair) * *out } else { f64::NEG_INFINITY };
        }
    }
    fn scan(
        &self,
        candidates: &Candidates<'_, Pair, Pair>,
        rule: Rule,
        room: &mut Room<Pair>,
    ) -> Option<Found> {
        if self.poisson {
            return room.scan(self, candidates, rule, |_, _, _| true);
        }
        scan_pairs(candidates, newton(rule, self.scale.relative_unit), room)
    }
    fn split_of_rows(
        &self,
        node: &AskedRows<'_, Self>,
        rule: Rule,
        room: &mut Room<Pair>,
    ) -> Option<Option<RowSplit>> {
        (!self.poisson).then(|| split_pairs(node, newton(rule, self.scale.relative_unit), room))
    }
    fn scan_all(&self, cells: &[Pair], missing: bool, _: &[Pair], rule: Rule) -> Option<Option<Split>> {
        (!self.poisson).then(|| scan_histogram(cells, missing, newton(rule, self.scale.relative_unit)))
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
        // Squares for squared errors, the numbers themselves for counts.
        self.scale.gain_unit(if self.poisson { 1 } else { 2 })
    }
}
