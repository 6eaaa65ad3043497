//! Trees of medians against the naive trainer, which takes every distance from every number of a node.

use super::*;
use crate::Splitter;
use crate::grow::{Growth, Limits};
use crate::naive::tests::{Drawn, compare_with, limits, problem, table};
use proptest::prelude::*;

/// The same target by the definition alone: O(n^2) for the rows of a node or side, in any order.
struct Plain(Absolute);

impl Target for Plain {
    type Cell = Pair;
    type Value = Ranked;
    fn width(&self) -> usize {
        self.0.width()
    }
    fn value(&self, row: u32) -> Ranked {
        self.0.value(row)
    }
    fn put(&self, value: Ranked, cells: &mut [Pair]) {
        cells[0].hessian += i64::from(value.weight);
    }
    fn histogram<B: Bin>(&self, _: Bins<'_, B>, _: &Rows<'_>, _: &mut [Pair]) -> Result<(), ShapeError> {
        Ok(())
    }
    fn worth(&self, sums: &[Pair], out: &mut [f64]) {
        self.0.worth(sums, out);
    }
    /// Of all numbers those from which the others are least far: the first and the last.
    fn settle(&self, values: &mut dyn Iterator<Item = Ranked>, sums: &mut [Pair]) {
        let values: Vec<Ranked> = values.collect();
        let fixed = |value: &Ranked| self.0.fixed[value.rank as usize];
        let error = |from: &Ranked| {
            let far = |value: &Ranked| i64::from(value.weight) * (fixed(value) - fixed(from)).abs();
            values.iter().map(far).sum::<i64>()
        };
        let least = values.iter().map(error).min().unwrap_or(0);
        let best = || values.iter().filter(|value| error(value) == least).map(|value| value.rank);
        sums[0].gradient = least;
        let (lower, upper) = (best().min().unwrap_or(0), best().max().unwrap_or(0));
        sums[1] = Pair { gradient: lower.into(), hessian: upper.into() };
    }
    fn key(&self, cells: &[Pair], _: &[Pair]) -> f64 {
        self.level(cells)
    }
    fn answer(&self, value: Ranked) -> i64 {
        self.0.fixed[value.rank as usize]
    }
    fn is_pure(&self, _: &[Pair], values: &mut dyn Iterator<Item = Ranked>) -> bool {
        let mut answers = values.map(|value| self.answer(value));
        let first = answers.next();
        answers.all(|answer| Some(answer) == first)
    }
    fn keep(&self, sums: &[Pair], unit: f64, values: &mut Values) {
        self.0.keep(sums, unit, values);
    }
    fn level(&self, sums: &[Pair]) -> f64 {
        let number = |rank: i64| self.0.numbers[rank as usize];
        (number(sums[1].gradient) + number(sums[1].hessian)) / 2.0
    }
    fn outputs(&self) -> usize {
        1
    }
    fn weight(&self, sums: &[Pair]) -> u64 {
        sums[0].hessian as u64
    }
    fn gain_unit(&self) -> f64 {
        self.0.gain_unit()
    }
}

fn compare(y: &[f64], table: &crate::BinnedTable, limits: &Limits) {
    let target = || Absolute::new(y, &table.weights).unwrap();
    compare_with(table, &target(), &Plain(target()), limits);
}

proptest! {
    #[test]
    fn trees_are_those_of_the_naive_trainer(
        (columns, _, numbers, weights) in problem(),
        noise in prop::collection::vec(0_u32..50, 120),
        noisy: bool,
        bins in prop::sample::select(vec![2, 5, 255]),
        max_depth in prop::sample::select(vec![0, 1, 3, usize::MAX]),
        min_samples in prop::sample::select(vec![1_u64, 1, 3]),
        min_gain in prop::sample::select(vec![f64::NEG_INFINITY, 0.5]),
        features in 1_usize..4,
        random in prop::sample::select(vec![false, false, true]),
        monotone: bool,
        max_leaves in prop::sample::select(vec![usize::MAX, usize::MAX, 1, 2, 7]),
        min_samples_split in prop::sample::select(vec![2, 2, 9]),
        level_by_level: bool,
    ) {
        let table = table(&columns, weights.as_deref(), bins);
        let counted = weights.is_none();
        let mut limits = Limits {
            max_depth,
            max_leaves,
            min_samples_split,
            growth: if level_by_level { Growth::DepthWise } else { Growth::LeafWise },
            min_weight: if counted { min_samples } else { 1 },
            min_rows: if counted { 1 } else { min_samples as usize },
            min_gain,
            features,
            splitter: if random { Splitter::Random } else { Splitter::Best },
            ..limits()
        };
        if monotone {
            limits.constraints.monotone =
                columns.iter().map(|column| i8::from(matches!(column, Drawn::Numbers(_)))).collect();
            limits.constraints.monotone[0] *= -1;
        }
        let y: Vec<f64> = if noisy { noise.iter().map(|&y| f64::from(y)).collect() } else { numbers.clone() };
        compare(&y[..numbers.len()], &table, &limits);
    }
}

/// Enough rows for many levels of the sums over places, for blocks of rows and for nodes that share their bins.
#[test]
fn larger_trees_are_those_of_the_naive_trainer() {
    const ROWS: usize = 450;
    let random = tilewise_kernels::random::Philox::new(1, 2);
    let number = |i: usize, j: u64| random.below(i as u64 * 8 + j, 1 << 20) as f64;
    let wide: Vec<f64> = (0..ROWS).map(|i| (number(i, 0) / 3e4).floor()).collect();
    let codes: Vec<u32> = (0..ROWS).map(|i| number(i, 1) as u32 % 9).collect();
    let y: Vec<f64> =
        (0..ROWS).map(|i| wide[i] * (f64::from(codes[i] % 3) - 1.0) + number(i, 2) / 1e5).collect();
    let table = table(&[Drawn::Numbers(wide), Drawn::Codes(codes, 9)], None, 255);
    for features in [1, 2] {
        compare(&y, &table, &Limits { features, max_depth: 4, ..limits() });
    }
}
