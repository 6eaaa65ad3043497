//! Trees of several numbers against the naive trainer, and what their splits gain against the definition.

use super::*;
use crate::Splitter;
use crate::grow::{Growth, Limits};
use crate::naive::tests::{compare_with, limits, problem, table};
use proptest::prelude::*;

proptest! {
    #[test]
    fn trees_are_those_of_the_naive_trainer_and_of_one_number(
        (columns, classes, numbers, weights) in problem(),
        bins in prop::sample::select(vec![2, 255]),
        max_depth in prop::sample::select(vec![1, 3, usize::MAX]),
        min_samples in prop::sample::select(vec![1_usize, 3]),
        features in 1_usize..4,
        random: bool,
        max_leaves in prop::sample::select(vec![usize::MAX, usize::MAX, 2, 7]),
        level_by_level: bool,
    ) {
        let table = table(&columns, weights.as_deref(), bins);
        let limits = Limits {
            max_depth,
            max_leaves,
            growth: if level_by_level { Growth::DepthWise } else { Growth::LeafWise },
            min_rows: min_samples,
            features,
            splitter: if random { Splitter::Random } else { Splitter::Best },
            ..limits()
        };
        let of_classes = |number: fn(u32) -> f64| classes.iter().map(|&class| number(class)).collect::<Vec<f64>>();
        let outputs = |y: &[&[f64]]| Outputs::new(y, &table.weights, Criterion::Squared).unwrap();
        let numbers = &numbers[..];
        let several = outputs(&[numbers, &of_classes(|class| -1e3 * f64::from(class)), &of_classes(|class| f64::from(class % 2))]);
        compare_with(&table, &several, &several, &limits);
        let one = Numbers::new(numbers, &table.weights, Criterion::Squared).unwrap();
        compare_with(&table, &outputs(&[numbers]), &one, &limits);
    }

    /// The mean of what the squared errors of all become less, by the definition, in their own units.
    #[test]
    fn gains_are_means_of_squared_errors(
        rows in prop::collection::vec((-50_i32..50, -50_i32..50, any::<bool>()), 2..40),
        scale in prop::sample::select(vec![1e-200, 1e-3, 1.0, 1e5, 1e120]),
    ) {
        let (left, right): (Vec<u32>, Vec<u32>) = (0..rows.len() as u32).partition(|&row| rows[row as usize].2);
        prop_assume!(!left.is_empty() && !right.is_empty());
        let a: Vec<f64> = rows.iter().map(|row| f64::from(row.0)).collect();
        let b: Vec<f64> = rows.iter().map(|row| f64::from(row.1) * scale).collect();
        let weights = Weights::new(rows.len(), None);
        let target = Outputs::new(&[&a, &b], &weights, Criterion::Auto).unwrap();
        let sums = |rows: &[u32]| crate::naive::sum(&target, rows);
        let all: Vec<u32> = (0..rows.len() as u32).collect();
        let mut worth = [0.0; 3];
        target.worth(&[sums(&left), sums(&right), sums(&all)].concat(), &mut worth);
        let gain = (worth[0] + worth[1] - worth[2]) * target.gain_unit();
        let error = |y: &[f64], rows: &[u32]| {
            let of_row = || rows.iter().map(|&row| y[row as usize]);
            let mean = of_row().sum::<f64>() / rows.len() as f64;
            of_row().map(|y| (y - mean).powi(2)).sum::<f64>()
        };
        let of = |y: &[f64]| error(y, &all) - error(y, &left) - error(y, &right);
        let whole = error(&a, &all) + error(&b, &all);
        prop_assert!((gain - (of(&a) + of(&b)) / 2.0).abs() <= 1e-9 * whole, "{gain} {}", of(&a) + of(&b));
    }
}

#[test]
fn outputs_that_fall_together_put_categories_in_order() {
    let y = [1.0, 2.0, 3.0, 4.0];
    let down = y.map(|y| -1e-3 * y);
    let weights = Weights::new(4, None);
    let target = Outputs::new(&[y, down, [7.0; 4]], &weights, Criterion::Auto).unwrap();
    let keys: Vec<f64> = (0..4).map(|row| target.key(&crate::naive::sum(&target, &[row]), &[])).collect();
    assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
    // Both count: a step of 1 and one of a thousandth.
    let alone = Outputs::new(&[y], &weights, Criterion::Auto).unwrap();
    let alone: Vec<f64> = (0..4).map(|row| alone.key(&crate::naive::sum(&alone, &[row]), &[])).collect();
    let ratio = (keys[3] - keys[0]) / (alone[3] - alone[0]);
    assert!((ratio - 1.001).abs() < 1e-9, "{ratio}");
}
