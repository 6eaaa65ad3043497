//! The plainest trainer: every candidate of every node is tried by going through all of its rows.

use crate::constraints::State;
use crate::grow::{Choice, Left, Limits, Splitter, key_below};
use crate::search::{drawn, drawn_bin};
use crate::table::{BinnedTable, Binning};
use crate::target::Target;
use tilewise_kernels::tree::Cell;

/// A node and all below it.
pub(crate) struct Naive<C> {
    pub(crate) sums: Vec<C>,
    pub(crate) rows: usize,
    pub(crate) split: Option<(Choice, Box<[Naive<C>; 2]>)>,
}

/// A tree over `rows`, as [`crate::grow::Grower::grow`] grows it when the number of leaves is not limited. O(nodes x columns x
/// bins x rows).
pub(crate) fn grow<T: Target>(
    table: &BinnedTable,
    target: &T,
    limits: &Limits,
    rows: &[u32],
    state: &State,
) -> Naive<T::Cell> {
    let sums = sum(target, rows);
    let leaf = Naive { sums: sums.clone(), rows: rows.len(), split: None };
    let pure = target.is_pure(&sums, &mut rows.iter().map(|&row| target.value(row)));
    if state.depth >= limits.max_depth || rows.len() < limits.min_samples_split || pure {
        return leaf;
    }
    let mut best: Option<(Choice, Vec<u32>, Vec<u32>)> = None;
    let mut order = drawn(state.key, table.features(), limits.columns.of_level(state.depth).as_deref());
    if limits.features >= order.len() {
        order.sort_unstable();
    }
    for (seen, feature) in order.into_iter().enumerate() {
        if seen >= limits.features && best.is_some() {
            break;
        }
        if !limits.constraints.may_use(state, feature) {
            continue;
        }
        for (left, missing_left) in candidates(table, target, limits, rows, feature, state.key) {
            let count = table.count(feature);
            let bin = |row: u32| table.bin(row, feature);
            let is_left = |row: &u32| match &left {
                _ if table.missing[feature] && bin(*row) + 1 == count => missing_left,
                Left::UpTo(last) => bin(*row) <= *last,
                Left::Set(set) => set[bin(*row) / 64] >> (bin(*row) % 64) & 1 == 1,
            };
            let (left_rows, right_rows): (Vec<u32>, Vec<u32>) = rows.iter().partition(|row| is_left(row));
            let sides = [sum(target, &left_rows), sum(target, &right_rows)];
            let weight = target.weight(&sides[0]).min(target.weight(&sides[1]));
            let levels = || (target.level(&sides[0]), target.level(&sides[1]));
            if weight < limits.min_weight.max(1)
                || left_rows.len().min(right_rows.len()) < limits.min_rows
                || !limits.constraints.allow(state, feature, levels)
            {
                continue;
            }
            let mut worth = [0.0; 3];
            target.worth(&[&sides[0][..], &sides[1], &sums].concat(), &mut worth);
            let gain = worth[0] + worth[1] - worth[2];
            let first = |best: &Choice| gain > best.gain || gain == best.gain && feature < best.feature;
            if gain > limits.min_gain / target.gain_unit()
                && best.as_ref().is_none_or(|(best, ..)| first(best))
            {
                let any_missing = table.missing[feature] && rows.iter().any(|&row| bin(row) + 1 == count);
                let missing_left = any_missing.then_some(missing_left);
                best = Some((Choice { feature, left, missing_left, gain }, left_rows, right_rows));
            }
        }
    }
    let Some((mut choice, left_rows, right_rows)) = best else { return leaf };
    let sides = [sum(target, &left_rows), sum(target, &right_rows)];
    if let Left::UpTo(bin) = choice.left
        && limits.splitter == Splitter::Best
    {
        choice.left = Left::UpTo(middle(table, rows, choice.feature, bin));
    }
    choice.missing_left.get_or_insert(target.weight(&sides[0]) > target.weight(&sides[1]));
    let levels = || (target.level(&sides[0]), target.level(&sides[1]));
    let [mut left, mut right] = limits.constraints.below(state, choice.feature, levels);
    if limits.draws(table.features()) {
        (left.key, right.key) = (key_below(state.key, false), key_below(state.key, true));
    }
    let left = grow(table, target, limits, &left_rows, &left);
    let right = grow(table, target, limits, &right_rows, &right);
    Naive { split: Some((choice, Box::new([left, right]))), ..leaf }
}

/// The middle one of the bins that divide the values of rows as `bin` does; the last where all are on the left, `bin` where none is.
fn middle(table: &BinnedTable, rows: &[u32], feature: usize, bin: usize) -> usize {
    let values = table.count(feature) - usize::from(table.missing[feature]);
    let lefts = |bin: usize| rows.iter().filter(|&&row| table.bin(row, feature) <= bin).count();
    let all = rows.iter().filter(|&&row| table.bin(row, feature) < values).count();
    let same: Vec<usize> = (bin..values).filter(|&other| lefts(other) == lefts(bin)).collect();
    match lefts(bin) {
        0 => bin,
        lefts if lefts == all => values - 1,
        _ => same[(same.len() - 1) / 2],
    }
}

pub(crate) fn sum<T: Target>(target: &T, rows: &[u32]) -> Vec<T::Cell> {
    let mut sums = vec![T::Cell::default(); target.width()];
    rows.iter().for_each(|&row| target.put(target.value(row), &mut sums));
    target.settle(&mut rows.iter().map(|&row| target.value(row)), &mut sums);
    sums
}

/// The splits of a feature in the order in which the first of equals wins: by bin, then missing values right and left.
pub(crate) fn candidates<T: Target>(
    table: &BinnedTable,
    target: &T,
    limits: &Limits,
    rows: &[u32],
    feature: usize,
    key: u64,
) -> Vec<(Left, bool)> {
    let bins_of_values = table.count(feature) - usize::from(table.missing[feature]);
    let with_bin = |bin: usize| -> Vec<u32> {
        rows.iter().copied().filter(|&row| table.bin(row, feature) == bin).collect()
    };
    let (mut here, absent): (Vec<usize>, Vec<usize>) =
        (0..bins_of_values).partition(|&bin| !with_bin(bin).is_empty());
    let random = limits.splitter == Splitter::Random;
    if here.is_empty() {
        return Vec::new();
    }
    let lefts: Vec<Left> = match &table.binnings[feature] {
        Binning::Numeric { .. } if random => {
            vec![Left::UpTo(drawn_bin(key, feature, here[0], here[here.len() - 1]))]
        }
        Binning::Numeric { .. } => (0..bins_of_values).map(Left::UpTo).collect(),
        Binning::Categorical { .. } => {
            let node = sum(target, rows);
            here.retain(|&bin| target.is_common(&sum(target, &with_bin(bin)), &node, rows.len()));
            if here.is_empty() {
                return Vec::new();
            }
            let order = |bin: &usize| target.key(&sum(target, &with_bin(*bin)), &node);
            here.sort_by(|a, b| order(a).total_cmp(&order(b)));
            let missing: Vec<u32> =
                if table.missing[feature] { with_bin(bins_of_values) } else { Vec::new() };
            let mut all: Vec<_> = (1..=here.len()).map(|n| 0..n).collect();
            if random {
                let place = drawn_bin(key, feature, 0, here.len() - 1);
                all.retain(|lefts| lefts.end == place + 1);
            } else if !target.is_ordered() {
                all.extend((0..here.len()).map(|place| place..place + 1));
            }
            return all
                .into_iter()
                .flat_map(|lefts| [(lefts.clone(), false), (lefts, true)])
                .map(|(lefts, missing_left)| {
                    let left = &here[lefts];
                    let mut rows_left: Vec<u32> = left.iter().flat_map(|&bin| with_bin(bin)).collect();
                    if missing_left {
                        rows_left.extend(&missing);
                    }
                    let weight = |rows: &[u32]| target.weight(&sum(target, rows));
                    let mut left = left.to_vec();
                    if 2 * weight(&rows_left) > weight(rows) {
                        left.extend(&absent);
                        // Categories that no row has.
                        left.push(table.count(feature));
                    }
                    if missing_left && !missing.is_empty() {
                        left.push(bins_of_values);
                    }
                    let mut set = [0; 4];
                    left.iter().for_each(|bin| set[bin / 64] |= 1 << (bin % 64));
                    (Left::Set(set), missing_left)
                })
                .collect();
        }
    };
    lefts.into_iter().flat_map(|left| [(left, false), (left, true)]).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::columns::Columns;
    use crate::constraints::Constraints;
    use crate::grow::{self, Growth};
    use crate::nodes::Nodes;
    use crate::table::Feature;
    use crate::target::{ManyClasses, Numbers, TwoClasses};
    use crate::{Criterion, MaxBins};
    use proptest::prelude::*;
    use tilewise_kernels::parallel::{self, Scheme};
    use tilewise_kernels::tree::Packed;

    /// That both are the same tree.
    fn assert_same<C: Cell>(fast: &Nodes<C>, naive: &Naive<C>) {
        let mut next = vec![(0, naive)];
        let mut seen = 0;
        while let Some((at, naive)) = next.pop() {
            let split = fast.split(at);
            assert_eq!((fast.sums(at), fast.rows(at)), (&naive.sums[..], naive.rows));
            assert_eq!(split.map(|split| split.0), naive.split.as_ref().map(|split| split.0));
            if let (Some(split), Some((_, below))) = (split, &naive.split) {
                next.extend([(split.1, &below[0]), (split.2, &below[1])]);
            }
            seen += 1;
        }
        assert_eq!(seen, fast.len());
    }

    fn compare<T: Target>(table: &BinnedTable, target: &T, limits: &Limits) {
        compare_with(table, target, target, limits);
    }

    /// That the trees of `target` are what the naive trainer grows for `plain`.
    pub(crate) fn compare_with<T: Target, P: Target<Cell = T::Cell>>(
        table: &BinnedTable,
        target: &T,
        plain: &P,
        limits: &Limits,
    ) {
        const KEY: u64 = 7;
        let mut expected = grow(table, plain, limits, &table.rows, &State::root(KEY, None));
        if limits.max_leaves < table.rows.len() {
            expected = first_of(&expected, limits.max_leaves, limits.growth);
        }
        let wide = table.widened();
        for threads in [1, 3] {
            for scheme in [Scheme::Auto, Scheme::Tasks, Scheme::Rows] {
                for table in [table, &wide] {
                    let grow = || grow::grow(table, target, limits, scheme, &table.rows, KEY);
                    assert_same(&parallel::with_threads(threads, grow).unwrap(), &expected);
                }
            }
        }
    }

    /// The naive tree, of which only the first divisions are kept: a node's split does not depend on the order of divisions.
    fn first_of<'a, C: Cell>(root: &'a Naive<C>, leaves: usize, growth: Growth) -> Naive<C> {
        let number = |node: &Naive<C>| std::ptr::from_ref(node).addr();
        let (mut open, mut divided, mut numbers) = (vec![(root, 0, 0)], Vec::new(), 1);
        while divided.len() + 1 < leaves {
            open.retain(|(node, ..)| node.split.is_some());
            let order = |&(node, depth, place): &(&'a Naive<C>, i32, i32)| {
                let level = if growth == Growth::DepthWise { -depth } else { 0 };
                (level, node.split.as_ref().map_or(0.0, |split| split.0.gain), -place)
            };
            let Some(next) = (0..open.len()).max_by(|&a, &b| {
                let (a, b) = (order(&open[a]), order(&open[b]));
                a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2))
            }) else {
                break;
            };
            let (node, depth, _) = open.swap_remove(next);
            divided.push(number(node));
            if let Some((_, below)) = &node.split {
                open.extend([(&below[0], depth + 1, numbers), (&below[1], depth + 1, numbers + 1)]);
                numbers += 2;
            }
        }
        fn kept<C: Cell>(node: &Naive<C>, divided: &[usize]) -> Naive<C> {
            let split = node.split.as_ref().filter(|_| divided.contains(&std::ptr::from_ref(node).addr()));
            let split = split.map(|(choice, below)| {
                (*choice, Box::new([kept(&below[0], divided), kept(&below[1], divided)]))
            });
            Naive { sums: node.sums.clone(), rows: node.rows, split }
        }
        kept(root, &divided)
    }

    pub(crate) fn limits() -> Limits {
        Limits {
            max_depth: usize::MAX,
            max_leaves: usize::MAX,
            min_samples_split: 2,
            min_weight: 1,
            min_rows: 1,
            min_gain: f64::NEG_INFINITY,
            features: usize::MAX,
            splitter: Splitter::Best,
            growth: Growth::LeafWise,
            constraints: Constraints::default(),
            columns: Columns::default(),
        }
    }

    /// A column of up to 9 values or categories, some of them missing.
    #[derive(Clone, Debug)]
    pub(crate) enum Drawn {
        Numbers(Vec<f64>),
        Codes(Vec<u32>, usize),
    }

    fn column(rows: usize) -> impl Strategy<Value = Drawn> {
        let number =
            prop_oneof![8 => (-4..5).prop_map(f64::from), 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)];
        let code = |levels: u32| prop_oneof![8 => 0..levels, 1 => Just(u32::MAX)];
        prop_oneof![
            prop::collection::vec(number, rows).prop_map(Drawn::Numbers),
            (1_u32..7).prop_flat_map(move |levels| {
                prop::collection::vec(code(levels), rows).prop_map(move |c| Drawn::Codes(c, levels as usize))
            }),
        ]
    }

    pub(crate) type Problem = (Vec<Drawn>, Vec<u32>, Vec<f64>, Option<Vec<f64>>);

    pub(crate) fn problem() -> impl Strategy<Value = Problem> {
        (1_usize..120, 1_usize..4).prop_flat_map(|(rows, columns)| {
            let weights = prop::collection::vec(prop::sample::select(vec![0.0, 1.0, 2.0, 0.3]), rows);
            (
                prop::collection::vec(column(rows), columns),
                prop::collection::vec(0_u32..3, rows),
                prop::collection::vec(prop::sample::select(vec![-1.5, 0.0, 0.1, 2.0, 1e6]), rows),
                prop::option::of(weights.prop_map(|mut w| {
                    w[0] = 1.0;
                    w
                })),
            )
        })
    }

    pub(crate) fn table(columns: &[Drawn], weights: Option<&[f64]>, bins: impl Into<MaxBins>) -> BinnedTable {
        let features: Vec<Feature<'_>> = columns
            .iter()
            .map(|column| match column {
                Drawn::Numbers(values) => Feature::Numeric(values),
                Drawn::Codes(codes, levels) => Feature::Categorical { codes, levels: *levels },
            })
            .collect();
        BinnedTable::new(&features, weights, bins, 0).unwrap()
    }

    /// As many rows as take the other ways of summing: more than 256 of a node, histograms, features of few bins in copies.
    #[test]
    fn larger_trees_are_those_of_the_naive_trainer() {
        const ROWS: usize = 450;
        let random = tilewise_kernels::random::Philox::new(1, 2);
        let number = |i: usize, j: u64| random.below(i as u64 * 8 + j, 1 << 20) as f64;
        let wide: Vec<f64> = (0..ROWS).map(|i| (number(i, 0) / 3e4).floor()).collect();
        let narrow: Vec<f64> = (0..ROWS).map(|i| number(i, 1) % 3.0).collect();
        let score = |i: usize| wide[i] * (narrow[i] - 1.0) + number(i, 2) / 1e5;
        let classes: Vec<u32> = (0..ROWS).map(|i| (score(i) as i64).rem_euclid(3) as u32).collect();
        let table = table(&[Drawn::Numbers(wide.clone()), Drawn::Numbers(narrow.clone())], None, 255);
        for features in [1, 2] {
            let limits = Limits { features, max_depth: 6, ..limits() };
            let target = ManyClasses::new(&classes, 3, &table.weights, Criterion::Gini).unwrap();
            compare(&table, &target, &limits);
            let two: Vec<u32> = classes.iter().map(|class| class % 2).collect();
            compare(&table, &TwoClasses::new(&two, &table.weights, Criterion::Gini).unwrap(), &limits);
            let numbers: Vec<f64> = (0..ROWS).map(score).collect();
            compare(&table, &Numbers::new(&numbers, &table.weights, Criterion::Squared).unwrap(), &limits);
        }
    }

    /// A column of which most values are different, and more than a byte can name; some are missing.
    fn many_values() -> impl Strategy<Value = Vec<f64>> {
        let number = prop_oneof![12 => (0..100_000).prop_map(|x| f64::from(x) / 8.0), 1 => Just(f64::NAN)];
        prop::collection::vec(number, 350)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

        #[test]
        fn wide_trees_are_those_of_the_naive_trainer(
            columns in (many_values(), many_values(), prop::collection::vec(0_u32..7, 350)),
            scores in prop::collection::vec(-20_i32..20, 350),
            bins in prop::sample::select(vec![MaxBins::Exact, MaxBins::AtMost(300)]),
            max_leaves in prop::sample::select(vec![usize::MAX, 20]),
            min_rows in prop::sample::select(vec![1, 4]),
            features in 2_usize..4,
            random: bool,
            monotone: bool,
        ) {
            let (a, b, codes) = columns;
            let y: Vec<f64> = a.iter().zip(&scores).map(|(x, &score)| (x / 900.0).sin() * 9.0 + f64::from(score)).collect();
            let y: Vec<f64> = y.into_iter().map(|y| if y.is_nan() { 3.0 } else { y }).collect();
            let columns = [Drawn::Numbers(a), Drawn::Numbers(b), Drawn::Codes(codes, 7)];
            let table = table(&columns, None, bins);
            prop_assert!(table.count(0) > 256);
            let mut limits = Limits {
                max_depth: 5,
                max_leaves,
                min_rows,
                features,
                splitter: if random { Splitter::Random } else { Splitter::Best },
                ..limits()
            };
            let classes: Vec<u32> = scores.iter().map(|score| score.rem_euclid(3) as u32).collect();
            compare(&table, &ManyClasses::new(&classes, 3, &table.weights, Criterion::Gini).unwrap(), &limits);
            if monotone {
                limits.constraints.monotone = vec![1, -1, 0];
            }
            compare(&table, &Numbers::new(&y, &table.weights, Criterion::Squared).unwrap(), &limits);
        }
    }

    proptest! {
        #[test]
        fn fast_trees_are_those_of_the_naive_trainer(
            (columns, classes, numbers, weights) in problem(),
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
            groups in prop::sample::select(vec![vec![], vec![vec![0, 1], vec![1, 2]], vec![vec![0], vec![1, 2]]]),
            shares in prop::sample::select(vec![(1.0, 1.0), (1.0, 1.0), (0.7, 1.0), (1.0, 0.7), (0.7, 0.5)]),
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
            limits.constraints.groups = groups;
            limits.columns = Columns::new(shares.0, shares.1, table.features(), 7);
            for criterion in [Criterion::Gini, Criterion::Entropy] {
                compare(&table, &ManyClasses::new(&classes, 3, &table.weights, criterion).unwrap(), &limits);
            }
            if monotone {
                let sign = |column: &Drawn| i8::from(matches!(column, Drawn::Numbers(_)));
                limits.constraints.monotone = columns.iter().map(sign).collect();
                limits.constraints.monotone[0] *= -1;
            }
            for criterion in [Criterion::Gini, Criterion::Entropy] {
                let two: Vec<u32> = classes.iter().map(|class| class % 2).collect();
                compare(&table, &TwoClasses::new(&two, &table.weights, criterion).unwrap(), &limits);
            }
            compare(&table, &Numbers::new(&numbers, &table.weights, Criterion::Squared).unwrap(), &limits);
            let counts: Vec<f64> = numbers.iter().map(|x| x.abs().floor()).collect();
            if let Ok(target) = Numbers::new(&counts, &table.weights, Criterion::Poisson) {
                compare(&table, &target, &limits);
            }
        }

        /// Two classes have a shorter way to the decrease of Gini's impurity.
        #[test]
        fn gains_of_two_classes_are_those_of_any_number(
            left in prop::array::uniform2(0_u32..50),
            right in prop::array::uniform2(0_u32..50),
        ) {
            let weights = crate::weights::Weights::new(1, None);
            let two = TwoClasses::new(&[0], &weights, Criterion::Gini).unwrap();
            let many = ManyClasses::new(&[0], 2, &weights, Criterion::Gini).unwrap();
            let all = [left[0] + right[0], left[1] + right[1]];
            prop_assume!(left.iter().sum::<u32>() > 0 && right.iter().sum::<u32>() > 0);
            let gain = |worth: [f64; 3], unit: f64| unit * (worth[0] + worth[1] - worth[2]);
            let packed = [left, right, all].map(|n| Packed::new(n[1] as i32, (n[0] + n[1]) as i32));
            let (mut a, mut b) = ([0.0; 3], [0.0; 3]);
            two.worth(&packed, &mut a);
            let wide = [left, right, all].map(|n| [n[0], n[1], 0, 0]);
            many.worth(wide.as_flattened(), &mut b);
            let (a, b) = (gain(a, two.gain_unit()), gain(b, many.gain_unit()));
            prop_assert!((a - b).abs() < 1e-9, "{a} {b}");
        }

        /// The decrease of the squared error of the best split is that of the best of all divisions of the rows that a
        /// column allows, by the definition and for every subset of categories.
        #[test]
        fn no_division_beats_the_best_split((columns, _, numbers, _) in problem()) {
            let table = table(&columns, None, 255);
            let target = Numbers::new(&numbers, &table.weights, Criterion::Squared).unwrap();
            let limits = Limits { max_depth: 1, max_leaves: 2, ..limits() };
            let grown = grow::grow(&table, &target, &limits, Scheme::Auto, &table.rows, 0).unwrap();
            let error = |rows: &[u32]| {
                let y = || rows.iter().map(|&row| numbers[row as usize]);
                let mean = y().sum::<f64>() / rows.len().max(1) as f64;
                y().map(|y| (y - mean).powi(2)).sum::<f64>()
            };
            let whole = error(&table.rows);
            let mut best = f64::NEG_INFINITY;
            for feature in 0..table.features() {
                let count = table.count(feature);
                let numeric = matches!(table.binnings[feature], Binning::Numeric { .. });
                for set in 0_u32..1 << count {
                    // Of a number all up to a bin, and missing values on either side.
                    let of_values = set & !(u32::from(table.missing[feature]) << (count - 1));
                    if numeric && !(of_values + 1).is_power_of_two() {
                        continue;
                    }
                    let is_left = |row: &u32| set >> table.bin(*row, feature) & 1 == 1;
                    let (left, right): (Vec<u32>, Vec<u32>) = table.rows.iter().partition(|row| is_left(row));
                    if !left.is_empty() && !right.is_empty() {
                        best = best.max(whole - error(&left) - error(&right));
                    }
                }
            }
            match grown.split(0) {
                Some((choice, ..)) => prop_assert!((choice.gain * target.gain_unit() - best).abs() <= 1e-9 * whole, "{} {best}", choice.gain),
                None => prop_assert!(whole <= 1e-9 || best == f64::NEG_INFINITY),
            }
        }
    }
}
