//! Numbers that are judged by their distance from the median.
//!
//! A leaf predicts the weighted median of its rows: a number with at most half of the weight below it and at most half above.
//! Where two are such, one number completes exactly half of the weight and another begins the other half, it predicts the
//! middle between them, as `numpy.median` and scikit-learn do; so a weight of 3 is as good as three rows.
//!
//! A median is no sum. Two cells of a node hold its weight and the distances of all rows from the median, and the ranks of both
//! medians among the numbers of all rows; they are settled from its rows, which stand in the order of their numbers, as every
//! division keeps that order. Both medians of all candidates of a feature take O(n log n) for n rows ([`Fenwick`]), where going
//! through the rows of each candidate takes O(n x candidates). Distances are integers: no order of rows or threads changes a bit.
//! On one thread a tree of depth 10 on 100,000 x 10 numbers took 0.33 s, and one of squared errors, which has histograms, 0.026 s.

use super::scale::{Scale, check_finite};
use super::{Fenwick, Groups, Target};
use crate::values::Values;
use crate::weights::Weights;
use tilewise_base::Result;
use tilewise_kernels::ShapeError;
use tilewise_kernels::tree::{Bin, Bins, Pair, Rows};

/// What a row brings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ranked {
    /// The rank of its number.
    rank: u32,
    weight: u32,
}

/// Numbers by their ranks.
pub(crate) struct Absolute {
    values: Vec<Ranked>,
    /// Different numbers, ascending.
    numbers: Vec<f64>,
    /// The same as integers.
    fixed: Vec<i64>,
    scale: Scale,
}

impl Absolute {
    /// O(n log n).
    pub(crate) fn new(y: &[f64], weights: &Weights) -> Result<Self> {
        check_finite("target", y, weights)?;
        let scale = Scale::new(y, weights, None);
        let mut order = weights.counted(y.len());
        order.sort_unstable_by(|&a, &b| y[a as usize].total_cmp(&y[b as usize]));
        // Of rows that do not count any rank will do.
        let (mut values, mut numbers) = (vec![Ranked::default(); y.len()], Vec::new());
        for row in order {
            let row = row as usize;
            if numbers.last() != Some(&y[row]) {
                numbers.push(y[row]);
            }
            values[row] = Ranked { rank: numbers.len() as u32 - 1, weight: weights.get(row) };
        }
        let fixed = numbers.iter().map(|&y| scale.fixed(y)).collect();
        Ok(Self { values, numbers, fixed, scale })
    }

    fn fixed(&self, value: Ranked) -> i64 {
        self.fixed[value.rank as usize]
    }

    fn pair(&self, value: Ranked) -> Pair {
        let weight = i64::from(value.weight);
        Pair { gradient: self.fixed(value) * weight, hessian: weight }
    }

    /// The middle between the medians of these ranks.
    fn median(&self, ranks: Pair) -> f64 {
        let number = |rank: i64| self.numbers[rank as usize];
        let (lower, upper) = (number(ranks.gradient), number(ranks.hessian));
        if lower == upper { lower } else { lower / 2.0 + upper / 2.0 }
    }
}

/// Cells of a bin: the distances and the weight of all rows; the ranks of the lower and the upper median.
const WIDTH: usize = 2;

impl Target for Absolute {
    type Cell = Pair;
    type Value = Ranked;
    fn width(&self) -> usize {
        WIDTH
    }
    #[inline(always)]
    fn value(&self, row: u32) -> Ranked {
        self.values[row as usize]
    }
    #[inline(always)]
    fn put(&self, value: Ranked, cells: &mut [Pair]) {
        cells[0].hessian += i64::from(value.weight);
    }
    /// Weights alone. No node has one.
    fn histogram<B: Bin>(
        &self,
        bins: Bins<'_, B>,
        rows: &Rows<'_>,
        cells: &mut [Pair],
    ) -> Result<(), ShapeError> {
        for i in 0..rows.len() {
            let row = rows.get(i);
            for (feature, &offset) in bins.offsets()[..bins.features()].iter().enumerate() {
                let bin: usize = offset + bins.get(row, feature).into();
                self.put(self.values[row], &mut cells[bin * WIDTH..][..WIDTH]);
            }
        }
        Ok(())
    }
    fn worth(&self, sums: &[Pair], out: &mut [f64]) {
        let error = |sums: &[Pair]| sums[0].gradient as f64 * self.scale.relative_unit;
        out.iter_mut().zip(sums.chunks_exact(WIDTH)).for_each(|(out, sums)| *out = -error(sums));
    }
    fn is_sum(&self) -> bool {
        false
    }
    /// By their numbers.
    fn arrange(&self, rows: &mut [u32]) {
        rows.sort_unstable_by_key(|&row| (self.values[row as usize].rank, row));
    }
    fn settle(&self, values: &mut dyn Iterator<Item = Ranked>, sums: &mut [Pair]) {
        let weight = sums[0].hessian;
        let (mut all, mut below) = (Pair::default(), Pair::default());
        let (mut lower, mut upper) = (None, None);
        for value in values {
            let before = all;
            all = all + self.pair(value);
            if lower.is_none() && 2 * all.hessian >= weight {
                (lower, below) = (Some(value), before);
            }
            if upper.is_none() && 2 * all.hessian > weight {
                upper = Some(value);
            }
        }
        let (lower, upper) = (lower.unwrap_or_default(), upper.unwrap_or_default());
        let (y, above) = (self.fixed(lower), all - below);
        sums[0].gradient = (y * below.hessian - below.gradient) + (above.gradient - y * above.hessian);
        sums[1] = Pair { gradient: lower.rank.into(), hessian: upper.rank.into() };
    }
    fn settle_sides(
        &self,
        groups: &Groups<'_, Ranked>,
        missing_left: bool,
        sides: &mut [Pair],
        room: &mut Fenwick,
    ) {
        let values = groups.values;
        room.start(values.iter().map(|&value| self.pair(value)));
        let missing = if missing_left { groups.of(groups.missing) } else { &[] };
        missing.iter().for_each(|&place| room.move_left(place as usize));
        let mut moved = 0;
        for (candidate, sides) in sides.chunks_exact_mut(2 * WIDTH).enumerate() {
            let lefts = groups.first + candidate;
            for &bin in &groups.order[moved..lefts] {
                groups.of(bin.into()).iter().for_each(|&place| room.move_left(place as usize));
            }
            moved = lefts;
            for (side, is_left) in sides.chunks_exact_mut(WIDTH).zip([true, false]) {
                let middle = room.middle(is_left, |place| self.fixed(values[place]));
                let rank = |place: usize| values[place].rank.into();
                side[0].gradient = middle.error;
                side[1] = Pair { gradient: rank(middle.lower), hessian: rank(middle.upper) };
            }
        }
    }
    /// The median. Unlike that of means, this order need not have the best of all divisions.
    fn key(&self, cells: &[Pair], _: &[Pair]) -> f64 {
        self.median(cells[1])
    }
    fn answer(&self, value: Ranked) -> i64 {
        self.fixed(value)
    }
    fn is_pure(&self, sums: &[Pair], _: &mut dyn Iterator<Item = Ranked>) -> bool {
        sums[0].gradient == 0
    }
    fn keep(&self, sums: &[Pair], unit: f64, values: &mut Values) {
        values.push_numbers(self.weight(sums) as f64 * unit, std::iter::once(self.median(sums[1])));
    }
    fn level(&self, sums: &[Pair]) -> f64 {
        self.median(sums[1])
    }
    fn outputs(&self) -> usize {
        1
    }
    fn weight(&self, sums: &[Pair]) -> u64 {
        sums[0].hessian as u64
    }
    fn gain_unit(&self) -> f64 {
        self.scale.gain_unit(1)
    }
}

#[cfg(test)]
mod tests;
