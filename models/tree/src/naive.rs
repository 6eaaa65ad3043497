//! The plainest trainer: every candidate of every node is tried by going through all of its rows.

use crate::grow::{Choice, Grown, Left, Limits, drawn, key_below};
use crate::table::{BinnedTable, Binning};
use crate::target::Target;

/// A tree over `rows`, as [`crate::grow::Grower::grow`] grows it when the number of leaves is not limited: each node before
/// all below it, left before right. O(nodes x columns x bins x rows).
pub(crate) fn grow<T: Target>(
    table: &BinnedTable,
    target: &T,
    limits: &Limits,
    rows: &[u32],
    depth: usize,
    key: u64,
) -> Vec<Grown<T::Cell>> {
    let sums = sum(target, rows);
    let mut nodes = vec![Grown { sums: sums.clone(), rows: rows.len(), split: None }];
    if depth >= limits.max_depth || rows.len() < limits.min_samples_split || target.is_pure(rows) {
        return nodes;
    }
    let mut best: Option<(Choice, Vec<u32>, Vec<u32>)> = None;
    let draws = limits.features < table.features();
    let order: Vec<usize> =
        if draws { drawn(key, table.features()).collect() } else { (0..table.features()).collect() };
    for (seen, feature) in order.into_iter().enumerate() {
        if seen >= limits.features && best.is_some() {
            break;
        }
        for (left, missing_left) in candidates(table, target, rows, feature) {
            let count = table.columns().count(feature);
            let is_left = |row: &&u32| {
                let bin = usize::from(table.columns().get(**row as usize, feature));
                match &left {
                    _ if table.missing[feature] && bin + 1 == count => missing_left,
                    Left::UpTo(last) => bin <= *last,
                    Left::Set(set) => set[bin / 64] >> (bin % 64) & 1 == 1,
                }
            };
            let (left_rows, right_rows): (Vec<&u32>, Vec<&u32>) = rows.iter().partition(is_left);
            let own = |rows: Vec<&u32>| rows.into_iter().copied().collect::<Vec<u32>>();
            let (left_rows, right_rows) = (own(left_rows), own(right_rows));
            // What two bins, those of the sides, gain: the scan of a histogram has nothing else to say of them.
            let sides = [sum(target, &left_rows), sum(target, &right_rows)].concat();
            let Some(split) = target.best(&sides, false, limits.min_gain, limits.min_weight) else {
                continue;
            };
            let first =
                |best: &Choice| split.gain > best.gain || split.gain == best.gain && feature < best.feature;
            if best.as_ref().is_none_or(|(best, ..)| first(best)) {
                let any_missing = table.missing[feature]
                    && rows
                        .iter()
                        .any(|&row| usize::from(table.columns().get(row as usize, feature)) + 1 == count);
                let missing_left = any_missing.then_some(missing_left);
                best =
                    Some((Choice { feature, left, missing_left, gain: split.gain }, left_rows, right_rows));
            }
        }
    }
    let Some((mut choice, left_rows, right_rows)) = best else { return nodes };
    let heavier = target.weight(&sum(target, &left_rows)) > target.weight(&sum(target, &right_rows));
    choice.missing_left.get_or_insert(heavier);
    let left = grow(table, target, limits, &left_rows, depth + 1, key_below(key, false));
    let right = grow(table, target, limits, &right_rows, depth + 1, key_below(key, true));
    let places = (1, 1 + left.len());
    nodes[0].split = Some((choice, places.0, places.1));
    for (below, first) in [(left, places.0), (right, places.1)] {
        nodes.extend(below.into_iter().map(|mut node| {
            if let Some((_, left, right)) = &mut node.split {
                (*left, *right) = (*left + first, *right + first);
            }
            node
        }));
    }
    nodes
}

fn sum<T: Target>(target: &T, rows: &[u32]) -> Vec<T::Cell> {
    let mut sums = vec![T::Cell::default(); target.width()];
    rows.iter().for_each(|&row| target.add(row, &mut sums));
    sums
}

/// The splits of a feature in the order in which the first of equals wins: by bin, then missing values right and left.
fn candidates<T: Target>(table: &BinnedTable, target: &T, rows: &[u32], feature: usize) -> Vec<(Left, bool)> {
    let columns = table.columns();
    let bins_of_values = columns.count(feature) - usize::from(table.missing[feature]);
    let with_bin = |bin: usize| -> Vec<u32> {
        rows.iter().copied().filter(|&row| usize::from(columns.get(row as usize, feature)) == bin).collect()
    };
    let lefts: Vec<Left> = match &table.binnings[feature] {
        Binning::Numeric { .. } => (0..bins_of_values).map(Left::UpTo).collect(),
        Binning::Categorical { .. } => {
            let node = sum(target, rows);
            let key = |bin: &usize| target.key(&sum(target, &with_bin(*bin)), &node);
            let (mut here, absent): (Vec<usize>, Vec<usize>) =
                (0..bins_of_values).partition(|&bin| !with_bin(bin).is_empty());
            here.sort_by(|a, b| key(a).total_cmp(&key(b)));
            let missing: Vec<u32> =
                if table.missing[feature] { with_bin(bins_of_values) } else { Vec::new() };
            return (1..=here.len())
                .flat_map(|n| [(n, false), (n, true)])
                .map(|(n, missing_left)| {
                    let mut rows_left: Vec<u32> = here[..n].iter().flat_map(|&bin| with_bin(bin)).collect();
                    if missing_left {
                        rows_left.extend(&missing);
                    }
                    let weight = |rows: &[u32]| target.weight(&sum(target, rows));
                    let mut left = here[..n].to_vec();
                    if 2 * weight(&rows_left) > weight(rows) {
                        left.extend(&absent);
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
mod tests {
    use super::*;
    use crate::Criterion;
    use crate::grow::Grower;
    use crate::table::Feature;
    use crate::target::{Classes, Numbers};
    use proptest::prelude::*;
    use tilewise_kernels::parallel;

    /// That both lists of nodes are the same tree.
    fn assert_same<T: Target>(a: &[Grown<T::Cell>], b: &[Grown<T::Cell>]) {
        let mut next = vec![(0, 0)];
        let mut seen = 0;
        while let Some((at_a, at_b)) = next.pop() {
            let (x, y) = (&a[at_a], &b[at_b]);
            assert_eq!((&x.sums, x.rows), (&y.sums, y.rows));
            assert_eq!(x.split.as_ref().map(|s| s.0), y.split.as_ref().map(|s| s.0));
            if let (Some(s), Some(t)) = (&x.split, &y.split) {
                next.extend([(s.1, t.1), (s.2, t.2)]);
            }
            seen += 1;
        }
        assert_eq!((seen, seen), (a.len(), b.len()));
    }

    fn compare<T: Target>(table: &BinnedTable, target: &T, limits: Limits) {
        const KEY: u64 = 7;
        let expected = grow(table, target, &limits, &table.rows, 0, KEY);
        for threads in [1, 3] {
            let grower = Grower { table, target, limits };
            let grown = parallel::with_threads(threads, || grower.grow(&table.rows, KEY)).unwrap();
            assert_same::<T>(&grown, &expected);
        }
    }

    /// A column of up to 9 values or categories, some of them missing.
    #[derive(Clone, Debug)]
    enum Drawn {
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

    type Problem = (Vec<Drawn>, Vec<u32>, Vec<f64>, Option<Vec<f64>>);

    fn problem() -> impl Strategy<Value = Problem> {
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

    fn table(columns: &[Drawn], weights: Option<&[f64]>, bins: usize) -> BinnedTable {
        let features: Vec<Feature<'_>> = columns
            .iter()
            .map(|column| match column {
                Drawn::Numbers(values) => Feature::Numeric(values),
                Drawn::Codes(codes, levels) => Feature::Categorical { codes, levels: *levels },
            })
            .collect();
        BinnedTable::new(&features, weights, bins, 0).unwrap()
    }

    proptest! {
        #[test]
        fn fast_trees_are_those_of_the_naive_trainer(
            (columns, classes, numbers, weights) in problem(),
            bins in prop::sample::select(vec![2, 5, 255]),
            max_depth in prop::sample::select(vec![0, 1, 3, usize::MAX]),
            min_weight in prop::sample::select(vec![1, 1, 3]),
            min_gain in prop::sample::select(vec![f64::NEG_INFINITY, 0.5]),
            features in 1_usize..4,
        ) {
            let table = table(&columns, weights.as_deref(), bins);
            let min_weight = if weights.is_some() { 1 } else { min_weight };
            let limits = Limits {
                max_depth,
                max_leaves: usize::MAX,
                min_samples_split: 2,
                min_weight,
                min_gain,
                features,
            };
            for criterion in [Criterion::Gini, Criterion::Entropy] {
                compare(&table, &Classes::new(&classes, 3, &table.weights, criterion).unwrap(), limits);
                let two: Vec<u32> = classes.iter().map(|class| class % 2).collect();
                compare(&table, &Classes::new(&two, 2, &table.weights, criterion).unwrap(), limits);
            }
            compare(&table, &Numbers::new(&numbers, &table.weights, Criterion::Squared).unwrap(), limits);
        }

        /// Two classes have a shorter way to the decrease of Gini's impurity.
        #[test]
        fn gains_of_two_classes_are_those_of_any_number(
            cells in prop::collection::vec(0_u32..50, 2..40),
            missing: bool,
            min_weight in 1_u64..30,
        ) {
            let cells = &cells[..cells.len() / 2 * 2];
            let weights = crate::weights::Weights::new(1, None);
            let two = Classes::new(&[0], 2, &weights, Criterion::Gini).unwrap();
            let three = Classes::new(&[0], 3, &weights, Criterion::Gini).unwrap();
            let wide: Vec<u32> = cells.chunks_exact(2).flat_map(|c| [c[0], c[1], 0]).collect();
            let gain = |split: Option<tilewise_kernels::tree::Split>| split.map(|split| split.gain);
            let a = gain(two.best(cells, missing, f64::NEG_INFINITY, min_weight));
            let b = gain(three.best(&wide, missing, f64::NEG_INFINITY, min_weight));
            prop_assert_eq!(a.is_some(), b.is_some());
            prop_assert!(a.zip(b).is_none_or(|(a, b)| (a - b).abs() < 1e-9), "{a:?} {b:?}");
        }

        /// The decrease of the squared error of the best split is that of the best of all divisions of the rows that a
        /// column allows, by the definition and for every subset of categories.
        #[test]
        fn no_division_beats_the_best_split((columns, _, numbers, _) in problem()) {
            let table = table(&columns, None, 255);
            let target = Numbers::new(&numbers, &table.weights, Criterion::Squared).unwrap();
            let limits = Limits {
                max_depth: 1,
                max_leaves: 2,
                min_samples_split: 2,
                min_weight: 1,
                min_gain: f64::NEG_INFINITY,
                features: usize::MAX,
            };
            let grown = Grower { table: &table, target: &target, limits }.grow(&table.rows, 0).unwrap();
            let error = |rows: &[u32]| {
                let y = || rows.iter().map(|&row| numbers[row as usize]);
                let mean = y().sum::<f64>() / rows.len().max(1) as f64;
                y().map(|y| (y - mean).powi(2)).sum::<f64>()
            };
            let whole = error(&table.rows);
            let mut best = f64::NEG_INFINITY;
            for feature in 0..table.features() {
                let count = table.columns().count(feature);
                let numeric = matches!(table.binnings[feature], Binning::Numeric { .. });
                for set in 0_u32..1 << count {
                    // Of a number all up to a bin, and missing values on either side.
                    let of_values = set & !(u32::from(table.missing[feature]) << (count - 1));
                    if numeric && !(of_values + 1).is_power_of_two() {
                        continue;
                    }
                    let is_left = |row: &u32| set >> table.columns().get(*row as usize, feature) & 1 == 1;
                    let (left, right): (Vec<u32>, Vec<u32>) = table.rows.iter().partition(|row| is_left(row));
                    if !left.is_empty() && !right.is_empty() {
                        best = best.max(whole - error(&left) - error(&right));
                    }
                }
            }
            match &grown[0].split {
                Some((choice, ..)) => prop_assert!((choice.gain * target.gain_unit() - best).abs() <= 1e-9 * whole, "{} {best}", choice.gain),
                None => prop_assert!(whole <= 1e-9 || best == f64::NEG_INFINITY),
            }
        }
    }
}
