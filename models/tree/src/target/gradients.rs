//! Derivatives of a loss, in fixed point: a leaf takes Newton's step (Chen and Guestrin, *XGBoost*, KDD 2016).

use super::{
    AskedRows, Candidates, Found, Room, Rule, Target, newton_score, scan_histogram, scan_pairs, split_pairs,
};
use crate::newton::{Gradients, Penalty};
use crate::values::Values;
use tilewise_kernels::ShapeError;
use tilewise_kernels::tree::{
    Bin, Bins, Gradients as Added, NewtonRule, Packed, Pair, RowSplit, Rows, Split, histogram,
};

/// First and second derivatives of rows.
pub(crate) struct Newton<'a> {
    gradients: &'a Gradients<'a>,
    penalty: Penalty,
    /// The smoothing of categories, in units of hessians.
    smoothing: f64,
}

impl<'a> Newton<'a> {
    pub(crate) fn new(gradients: &'a Gradients<'a>, penalty: Penalty) -> Self {
        let smoothing = penalty.category_smoothing / gradients.hessian_unit;
        Self { gradients, penalty, smoothing }
    }

    fn rule(&self, rule: Rule) -> NewtonRule {
        NewtonRule {
            gradient_unit: self.gradients.gradient_unit,
            hessian_unit: self.gradients.hessian_unit,
            l2: self.penalty.l2,
            min_hessian: i64::try_from(rule.min_weight).unwrap_or(i64::MAX),
            min_gain: rule.min_gain,
        }
    }

    /// Whether kernels know what sums are worth.
    fn is_plain(&self) -> bool {
        self.penalty.l1 == 0.0
    }

    fn sums(&self, sum: Packed) -> (f64, f64) {
        let Gradients { gradient_unit, hessian_unit, .. } = self.gradients;
        (f64::from(sum.gradient()) * gradient_unit, f64::from(sum.hessian()) * hessian_unit)
    }
}

impl Target for Newton<'_> {
    type Cell = Packed;
    type Value = Packed;
    fn width(&self) -> usize {
        1
    }
    #[inline(always)]
    fn value(&self, row: u32) -> Packed {
        self.gradients.values[row as usize]
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
        // The sums over any rows fit 31 bits, and no row is named twice.
        histogram(bins, rows, Added::bounded(self.gradients.values, 0), cells)
    }
    /// G^2 / (H + l2), of G what is left when l1 is taken off.
    fn worth(&self, sums: &[Packed], out: &mut [f64]) {
        if self.is_plain() {
            let rule = self.rule(Rule { min_weight: 1, min_gain: 0.0 });
            out.iter_mut().zip(sums).for_each(|(out, &sum)| *out = newton_score(Pair::from(sum), rule));
            return;
        }
        for (out, &sum) in out.iter_mut().zip(sums) {
            let (gradient, hessian) = self.sums(sum);
            let gradient = self.penalty.cut(gradient);
            *out = gradient * gradient / (hessian + self.penalty.l2);
        }
    }
    fn scan(
        &self,
        candidates: &Candidates<'_, Packed, Packed>,
        rule: Rule,
        room: &mut Room<Packed>,
    ) -> Option<Found> {
        if self.is_plain() {
            return scan_pairs(candidates, self.rule(rule), room);
        }
        room.scan(self, candidates, rule, |_, _, _| true)
    }
    fn split_of_rows(
        &self,
        node: &AskedRows<'_, Self>,
        rule: Rule,
        room: &mut Room<Packed>,
    ) -> Option<Option<RowSplit>> {
        self.is_plain().then(|| split_pairs(node, self.rule(rule), room))
    }
    fn scan_all(&self, cells: &[Packed], missing: bool, _: &[Packed], rule: Rule) -> Option<Option<Split>> {
        self.is_plain().then(|| scan_histogram(cells, missing, self.rule(rule)))
    }
    /// The mean gradient, drawn to 0 where there are few rows, as in LightGBM: else rare categories would stand at both ends.
    fn key(&self, cells: &[Packed], _: &[Packed]) -> f64 {
        f64::from(cells[0].gradient()) / (f64::from(cells[0].hessian()) + self.smoothing)
    }
    /// Many categories of few rows, put in order by chance, would gain most. Of how many rows a category is its share of the node's second
    /// derivatives tells, as in LightGBM and scikit-learn: these themselves are a quarter of a row at most where there are two classes, and
    /// a hundredth where one is rare.
    fn is_common(&self, cells: &[Packed], node: &[Packed], rows: usize) -> bool {
        f64::from(cells[0].hessian()) * rows as f64
            >= self.penalty.category_smoothing * f64::from(node[0].hessian())
    }
    fn answer(&self, value: Packed) -> i64 {
        value.0
    }
    /// Rows with the same derivatives gain nothing by a split, which the search finds out.
    fn is_pure(&self, _: &[Packed], _: &mut dyn Iterator<Item = Packed>) -> bool {
        false
    }
    fn keep(&self, sums: &[Packed], _: f64, values: &mut Values) {
        let (_, hessian) = self.sums(sums[0]);
        values.push_numbers(hessian, std::iter::once(self.level(sums)));
    }
    fn level(&self, sums: &[Packed]) -> f64 {
        let (gradient, hessian) = self.sums(sums[0]);
        self.penalty.step(gradient, hessian)
    }
    fn outputs(&self) -> usize {
        1
    }
    fn weight(&self, sums: &[Packed]) -> u64 {
        sums[0].hessian() as u64
    }
    fn rows_at_least(&self, sums: &[Packed]) -> u64 {
        self.weight(sums).div_ceil(self.gradients.most_hessian.max(1))
    }
    fn gain_unit(&self) -> f64 {
        1.0
    }
}
