//! Two classes: the weight of the second and of both in one 64-bit number.

use super::{
    AskedRows, Candidates, Found, Room, Rule, Target, newton, scan_histogram, scan_pairs, split_pairs,
    square_over, times_log,
};
use crate::Criterion;
use crate::values::Values;
use crate::weights::Weights;
use tilewise_base::Result;
use tilewise_kernels::ShapeError;
use tilewise_kernels::tree::{Bin, Bins, Gradients, Packed, RowSplit, Rows, Split, histogram};

/// Two classes, of which the first has number 0.
pub(crate) struct TwoClasses {
    values: Vec<Packed>,
    entropy: bool,
}

impl TwoClasses {
    pub(crate) fn new(y: &[u32], weights: &Weights, criterion: Criterion) -> Result<Self> {
        let value = |(row, &class): (usize, &u32)| {
            let weight = weights.get(row) as i32;
            Packed::new(if class == 1 { weight } else { 0 }, weight)
        };
        Ok(Self { values: y.iter().enumerate().map(value).collect(), entropy: super::entropy(criterion)? })
    }
}

impl Target for TwoClasses {
    type Cell = Packed;
    type Value = Packed;
    fn width(&self) -> usize {
        1
    }
    #[inline(always)]
    fn value(&self, row: u32) -> Packed {
        self.values[row as usize]
    }
    #[inline(always)]
    fn put(&self, value: Packed, cells: &mut [Packed]) {
        cells[0] = cells[0] + value;
    }
    fn histogram<B: Bin>(
        &self,
        bins: Bins<'_, B>,
        rows: &Rows<'_>,
        cells: &mut [Packed],
    ) -> Result<(), ShapeError> {
        // The weights of all rows together are below 2^31, and no row is named twice.
        histogram(bins, rows, Gradients::bounded(&self.values, 0), cells)
    }
    /// For Gini's impurity n (1 - p^2 - (1 - p)^2) = 2 (m - m^2 / n) with m = n p: of the sums of both sides only the squares
    /// differ.
    fn worth(&self, sums: &[Packed], out: &mut [f64]) {
        if !self.entropy {
            out.iter_mut().zip(sums).for_each(|(out, &sum)| *out = square_over(sum.into(), 1.0));
            return;
        }
        let parts = |sum: &Packed| {
            let (one, all) = (f64::from(sum.gradient()), f64::from(sum.hessian()));
            [one, all - one, all]
        };
        let x: Vec<f64> = sums.iter().flat_map(parts).collect();
        let mut terms = vec![0.0; x.len()];
        times_log(&x, &mut terms);
        out.iter_mut()
            .zip(terms.as_chunks::<3>().0)
            .for_each(|(out, [one, two, all])| *out = one + two - all);
    }
    fn scan(
        &self,
        candidates: &Candidates<'_, Packed, Packed>,
        rule: Rule,
        room: &mut Room<Packed>,
    ) -> Option<Found> {
        if self.entropy {
            return room.scan(self, candidates, rule, |_, _, _| true);
        }
        scan_pairs(candidates, newton(rule, 1.0), room)
    }
    fn split_of_rows(
        &self,
        node: &AskedRows<'_, Self>,
        rule: Rule,
        room: &mut Room<Packed>,
    ) -> Option<Option<RowSplit>> {
        (!self.entropy).then(|| split_pairs(node, newton(rule, 1.0), room))
    }
    fn scan_all(&self, cells: &[Packed], missing: bool, _: &[Packed], rule: Rule) -> Option<Option<Split>> {
        (!self.entropy).then(|| scan_histogram(cells, missing, newton(rule, 1.0)))
    }
    /// The share of the second class: no other order has a better split (Breiman et al. 1984, theorem 4.5).
    fn key(&self, cells: &[Packed], _: &[Packed]) -> f64 {
        f64::from(cells[0].gradient()) / f64::from(cells[0].hessian())
    }
    fn answer(&self, value: Packed) -> i64 {
        i64::from(value.gradient() > 0)
    }
    fn is_pure(&self, sums: &[Packed], _: &mut dyn Iterator<Item = Packed>) -> bool {
        self.is_pure_by_sums(sums)
    }
    fn accepts(&self, cells: &[Packed]) -> bool {
        cells.iter().all(|cell| (0..=cell.hessian()).contains(&cell.gradient()))
    }
    fn is_pure_by_sums(&self, sums: &[Packed]) -> bool {
        let ones = sums[0].gradient();
        ones == 0 || ones == sums[0].hessian()
    }
    fn values(&self, unit: f64) -> Values {
        Values::shares(2, unit)
    }
    fn keep(&self, sums: &[Packed], _: f64, values: &mut Values) {
        let (ones, all) = (sums[0].gradient(), sums[0].hessian());
        values.push_shares([all - ones, ones].map(|weight| weight as u32).into_iter());
    }
    fn level(&self, sums: &[Packed]) -> f64 {
        f64::from(sums[0].gradient()) / f64::from(sums[0].hessian())
    }
    fn outputs(&self) -> usize {
        2
    }
    fn weight(&self, sums: &[Packed]) -> u64 {
        sums[0].hessian() as u64
    }
    fn gain_unit(&self) -> f64 {
        if self.entropy { 1.0 } else { 2.0 }
    }
}
