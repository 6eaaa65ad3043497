//! Oblivious trees against the plainest trainer.

use super::*;
use crate::Criterion;
use crate::columns::Columns;
use crate::grow::{self, Growth, Limits};
use crate::naive::tests::{Drawn, limits, problem, table};
use crate::naive::{candidates, sum};
use crate::search::drawn;
use crate::table::BinnedTable;
use crate::target::{ManyClasses, Numbers, TwoClasses};
use proptest::prelude::*;
use tilewise_kernels::parallel::{self, Scheme};

/// A node by the plainest way, and its rows.
struct Plain<C> {
    sums: Vec<C>,
    rows: Vec<u32>,
    path: Path,
    split: Option<(Choice, usize, usize)>,
}

/// What the way to a node leaves it: the features tested, and between which numbers it predicts.
#[derive(Clone)]
struct Path {
    features: Vec<usize>,
    low: f64,
    high: f64,
}

impl Path {
    /// Whether all features of the way, and one more, are in one group.
    fn may_use(&self, limits: &Limits, feature: usize) -> bool {
        let holds = |group: &Vec<u32>, feature: &usize| group.contains(&(*feature as u32));
        let all: Vec<usize> = self.features.iter().copied().chain([feature]).collect();
        let groups = &limits.constraints.groups;
        groups.is_empty() || groups.iter().any(|group| all.iter().all(|feature| holds(group, feature)))
    }

    /// Whether sides that predict these keep to the sign of the feature and to what was promised above.
    fn allows(&self, limits: &Limits, feature: usize, [left, right]: [f64; 2]) -> bool {
        let Some(sign) = limits.constraints.monotone.get(feature) else { return true };
        let step = (right - left) * f64::from(*sign);
        let within = |level: f64| self.low <= level && level <= self.high;
        within(left) && within(right) && (step >= 0.0 || *sign == 0)
    }

    fn below(&self, limits: &Limits, feature: usize, [left, right]: [f64; 2]) -> [Self; 2] {
        let features = self.features.iter().copied().chain([feature]).collect();
        let (middle, here) = (left / 2.0 + right / 2.0, Self { features, ..self.clone() });
        let (lower, upper) = (Self { high: middle, ..here.clone() }, Self { low: middle, ..here.clone() });
        match limits.constraints.monotone.get(feature) {
            Some(1) => [lower, upper],
            Some(-1) => [upper, lower],
            _ => [here.clone(), here],
        }
    }
}

/// Every test of every feature is tried by going through all rows of all nodes.
fn naive<T: Target>(table: &BinnedTable, target: &T, limits: &Limits, key: u64) -> Vec<Plain<T::Cell>> {
    let rows = table.rows.clone();
    let path = Path { features: Vec::new(), low: f64::NEG_INFINITY, high: f64::INFINITY };
    let root = Plain { sums: sum(target, &rows), rows, path, split: None };
    let (mut nodes, mut level) = (vec![root], vec![0]);
    let (mut depth, mut leaves) = (0, 1);
    // What each side must have; a node that has less than two sides need takes no part.
    let is_side = |sums: &[T::Cell], rows: usize| {
        rows >= limits.min_rows.max(1) && target.weight(sums) >= limits.min_weight.max(1)
    };
    loop {
        level.retain(|&at: &usize| {
            let Plain { sums, rows, .. } = &nodes[at];
            let pure = target.is_pure(sums, &mut rows.iter().map(|&row| target.value(row)));
            !pure
                && rows.len() >= limits.min_samples_split
                && rows.len() >= 2 * limits.min_rows
                && target.weight(sums) >= 2 * limits.min_weight
                && depth < limits.max_depth as u64
        });
        let of_level = limits.columns.of_level(depth as usize);
        let mut features = drawn(level_key(key, depth), table.features(), of_level.as_deref());
        if limits.features >= features.len() {
            features.sort_unstable();
        }
        // What a test gains in a node, and the sides, if the node may be so divided.
        let divided = |node: &Plain<T::Cell>, feature: usize, left: &Left, missing_left: bool| {
            let count = table.count(feature);
            let goes_left = |row: &u32| {
                let bin = table.bin(*row, feature);
                match left {
                    _ if table.missing[feature] && bin + 1 == count => missing_left,
                    Left::UpTo(last) => bin <= *last,
                    Left::Set(set) => set[bin / 64] >> (bin % 64) & 1 == 1,
                }
            };
            let (left, right): (Vec<u32>, Vec<u32>) = node.rows.iter().partition(|row| goes_left(row));
            let sums = [sum(target, &left), sum(target, &right)];
            let levels = [target.level(&sums[0]), target.level(&sums[1])];
            let allowed = is_side(&sums[0], left.len())
                && is_side(&sums[1], right.len())
                && node.path.may_use(limits, feature)
                && node.path.allows(limits, feature, levels);
            let mut worth = [0.0; 3];
            target.worth(&[&sums[0][..], &sums[1], &node.sums].concat(), &mut worth);
            let gain = worth[0] + worth[1] - worth[2];
            (allowed && gain.is_finite()).then_some((gain, left, right, sums))
        };
        let mut best: Option<(f64, usize, Left, Option<bool>)> = None;
        for (seen, &feature) in features.iter().enumerate() {
            if seen >= limits.features && best.is_some() {
                break;
            }
            let may_use = |at: &&usize| nodes[**at].path.may_use(limits, feature);
            let here: Vec<&Plain<T::Cell>> = level.iter().filter(may_use).map(|&at| &nodes[at]).collect();
            let rows: Vec<u32> = here.iter().flat_map(|node| &node.rows).copied().collect();
            let missing = table.count(feature) - 1;
            let any_missing =
                table.missing[feature] && rows.iter().any(|&row| table.bin(row, feature) == missing);
            let tests = candidates(table, target, limits, &rows, feature, level_key(key, depth));
            for (left, missing_left) in tests {
                let gains: Vec<f64> = here
                    .iter()
                    .filter_map(|node| divided(node, feature, &left, missing_left).map(|all| all.0))
                    .collect();
                let gain = gains.iter().fold(0.0, |sum, gain| sum + gain);
                let first = |(best, of, ..): &(f64, usize, Left, Option<bool>)| {
                    gain > *best || gain == *best && feature < *of
                };
                if !gains.is_empty()
                    && gain > limits.min_gain / target.gain_unit()
                    && best.as_ref().is_none_or(first)
                {
                    best = Some((gain, feature, left, any_missing.then_some(missing_left)));
                }
            }
        }
        let Some((_, feature, left, missing_left)) = best else { return nodes };
        let mut below = Vec::new();
        let (mut weights, mut more) = ([0, 0], 0);
        for &at in &level {
            if let Some((.., sums)) = divided(&nodes[at], feature, &left, missing_left.unwrap_or(false)) {
                weights = std::array::from_fn(|side| weights[side] + target.weight(&sums[side]));
                more += 1;
            }
        }
        // All nodes of a level are divided, or none is.
        leaves += more;
        if leaves > limits.max_leaves {
            return nodes;
        }
        let missing_left_of_level = Some(missing_left.unwrap_or(weights[0] > weights[1]));
        for &at in &level {
            let Some((gain, left_rows, right_rows, sums)) =
                divided(&nodes[at], feature, &left, missing_left.unwrap_or(false))
            else {
                continue;
            };
            let missing_left = missing_left_of_level;
            let levels = [target.level(&sums[0]), target.level(&sums[1])];
            let paths = nodes[at].path.below(limits, feature, levels);
            let first = nodes.len();
            nodes[at].split = Some((Choice { feature, left, missing_left, gain }, first, first + 1));
            for ((sums, rows), path) in sums.into_iter().zip([left_rows, right_rows]).zip(paths) {
                below.push(nodes.len());
                nodes.push(Plain { sums, rows, path, split: None });
            }
        }
        (level, depth) = (below, depth + 1);
    }
}

pub(crate) fn compare<T: Target>(table: &BinnedTable, target: &T, limits: &Limits) {
    let expected = naive(table, target, limits, 5);
    let widened = table.widened();
    for (threads, scheme, table) in [
        (1, Scheme::Auto, table),
        (3, Scheme::Auto, table),
        (2, Scheme::Tasks, table),
        (2, Scheme::Rows, table),
        (1, Scheme::Auto, &widened),
    ] {
        let grow = || grow::grow(table, target, limits, scheme, &table.rows, 5);
        let grown = parallel::with_threads(threads, grow).unwrap();
        assert_eq!(grown.len(), expected.len());
        for (at, plain) in expected.iter().enumerate() {
            assert_eq!((grown.rows(at), grown.sums(at)), (plain.rows.len(), &plain.sums[..]));
            assert_eq!(grown.split(at), plain.split, "node {at}");
        }
    }
}

proptest! {
    #[test]
    fn levels_are_those_of_the_naive_trainer(
        (columns, classes, numbers, weights) in problem(),
        max_depth in prop::sample::select(vec![1, 2, 4]),
        min_samples in 1_u64..4,
        min_samples_split in prop::sample::select(vec![2, 2, 9]),
        max_leaves in prop::sample::select(vec![usize::MAX, usize::MAX, 2, 3, 6]),
        min_gain in prop::sample::select(vec![f64::NEG_INFINITY, 0.5]),
        groups in prop::sample::select(vec![vec![], vec![vec![0, 1], vec![1, 2]], vec![vec![0], vec![1, 2]]]),
        features in 1_usize..4,
        shares in prop::sample::select(vec![(1.0, 1.0), (1.0, 1.0), (0.7, 1.0), (1.0, 0.7), (0.7, 0.5)]),
        random: bool,
        sign in prop::sample::select(vec![0_i8, 1, -1]),
    ) {
        let table = table(&columns, weights.as_deref(), 255);
        let mut limits = Limits {
            growth: Growth::Oblivious,
            max_depth,
            max_leaves,
            min_samples_split,
            min_gain,
            // Without weights these count rows.
            min_weight: if weights.is_none() { min_samples } else { 1 },
            min_rows: if weights.is_none() { 1 } else { min_samples as usize },
            features,
            splitter: if random { Splitter::Random } else { Splitter::Best },
            ..limits()
        };
        limits.constraints.groups = groups;
        limits.columns = Columns::new(shares.0, shares.1, table.features(), 5);
        let numeric = columns.iter().all(|column| matches!(column, Drawn::Numbers(_)));
        if numeric {
            for criterion in [Criterion::Gini, Criterion::Entropy] {
                compare(&table, &ManyClasses::new(&classes, 3, &table.weights, criterion).unwrap(), &limits);
            }
        }
        if sign != 0 {
            let of = |column: &Drawn| if let Drawn::Numbers(_) = column { sign } else { 0 };
            limits.constraints.monotone = columns.iter().map(of).collect();
        }
        let two: Vec<u32> = classes.iter().map(|class| class % 2).collect();
        for criterion in [Criterion::Gini, Criterion::Entropy] {
            compare(&table, &TwoClasses::new(&two, &table.weights, criterion).unwrap(), &limits);
        }
        compare(&table, &Numbers::new(&numbers, &table.weights, Criterion::Squared).unwrap(), &limits);
        let counts: Vec<f64> = numbers.iter().map(|x| x.abs().floor()).collect();
        if let Ok(target) = Numbers::new(&counts, &table.weights, Criterion::Poisson) {
            compare(&table, &target, &limits);
        }
    }
}
