//! Isolation forests against closed forms, their own rules, and the area under the curve that scikit-learn's reach.

use super::*;
use serde_json::Value;
use tilewise_base::metric::roc_auc;
use tilewise_tree::{Node, Test};

fn fit(params: &IsolationForest, features: &[Feature<'_>], weights: Option<&[f64]>) -> Isolation {
    params.fit(features, weights, &Context::default()).unwrap().model
}

fn normal(n: usize, seed: u64) -> Vec<f64> {
    let random = Philox::new(seed, Philox::purpose("normal"));
    (0..n as u64).map(|i| random.normal(i)).collect()
}

#[test]
fn the_mean_path_is_that_of_all_ways_to_divide() {
    // Of n rows in a line the first split is at one of n - 1 places, as likely as each other: d(n) = 1 + the sum over k of
    // (k d(k) + (n - k) d(n - k)) / n / (n - 1).
    let mut sum = 0.0;
    let mut paths = vec![0.0, 0.0];
    for n in 2..=5000_u64 {
        sum += (n - 1) as f64 * paths[n as usize - 1];
        paths.push(1.0 + 2.0 * sum / (n * (n - 1)) as f64);
    }
    for (n, path) in (0..).zip(&paths) {
        assert!((mean_path(n) - path).abs() <= 1e-11 * path, "{n}: {} {path}", mean_path(n));
    }
    assert_eq!([0, 1, 2].map(mean_path), [0.0, 0.0, 1.0]);
    // With the paper's logarithm for the harmonic number it would be 10.2448.
    assert!((mean_path(256) - 10.2487).abs() < 1e-4);
}

#[test]
fn trees_are_drawn_within_their_nodes() {
    let (a, b) = (normal(1000, 1), normal(1000, 2));
    let colour: Vec<u32> = (0..1000).map(|i| (i * 7 % 5) as u32).collect();
    let columns =
        [Feature::Numeric(&a), Feature::Categorical { codes: &colour, levels: 6 }, Feature::Numeric(&b)];
    let params =
        IsolationForest { trees: 40, subsample: 100, contamination: None, ..IsolationForest::default() };
    let forest = fit(&params, &columns, None);
    assert!(forest.trees().len() == 40 && forest.sampled() == 100 && forest.threshold().is_none());
    let mut features = [0; 3];
    for tree in forest.trees() {
        assert!(tree.depth() <= 7 && tree.node(0).rows == 100);
        for (at, node) in tree.nodes().enumerate() {
            let children =
                |f: fn(&Node) -> u32| f(&tree.node(node.left as usize)) + f(&tree.node(node.right as usize));
            match node.test {
                None => {
                    let value = tree.value(at)[0];
                    let depth = value - mean_path(node.rows.into());
                    assert!(depth < 7.5 && (depth - depth.round()).abs() < 1e-9 && node.rows > 0);
                    // A leaf is one row, at the limit, or of rows that are equal.
                    assert!(node.rows == 1 || depth > 6.5);
                }
                Some(_) => {
                    features[node.feature as usize] += 1;
                    assert_eq!(children(|child| child.rows), node.rows);
                }
            }
        }
    }
    assert!(features.iter().all(|count| *count > 200), "{features:?}");
    // Thresholds of roots are spread evenly between the least and the largest of a hundred normal numbers.
    let thresholds = forest.trees().iter().filter_map(|tree| match tree.node(0).test {
        Some(Test::UpTo(threshold)) => Some(threshold),
        _ => None,
    });
    let (below, above): (Vec<f64>, Vec<f64>) = thresholds.partition(|threshold| *threshold < 0.0);
    assert!(below.len() > 5 && above.len() > 5 && below.iter().any(|t| *t < -1.0), "{below:?} {above:?}");
}

#[test]
fn any_number_of_threads_grows_the_same_forest() {
    let (a, b) = (normal(3000, 3), normal(3000, 4));
    let params = IsolationForest { trees: 13, contamination: Some(0.1), ..IsolationForest::default() };
    let run = || fit(&params, &[Feature::Numeric(&a), Feature::Numeric(&b)], None);
    let one = parallel::with_threads(1, run);
    for threads in [2, 3, 7] {
        assert_eq!(parallel::with_threads(threads, run), one);
    }
    assert_ne!(one.trees()[0], one.trees()[1]);
    let other = Context { seed: 1, ..Context::default() };
    assert_ne!(params.fit(&[Feature::Numeric(&a), Feature::Numeric(&b)], None, &other).unwrap().model, one);
}

#[test]
fn whole_weights_are_repeated_rows_and_no_weight_is_no_row() {
    let a = normal(200, 5);
    let weights: Vec<f64> = (0..200).map(|i| f64::from(i % 4)).collect();
    let repeated: Vec<f64> = (0..200).flat_map(|i| std::iter::repeat_n(a[i], weights[i] as usize)).collect();
    for subsample in [32, 256, 1000] {
        let params =
            IsolationForest { trees: 9, subsample, contamination: Some(0.2), ..IsolationForest::default() };
        let weighted = fit(&params, &[Feature::Numeric(&a)], Some(&weights));
        assert_eq!(weighted, fit(&params, &[Feature::Numeric(&repeated)], None));
        assert_eq!(weighted.sampled(), subsample.min(300));
    }
    // Others by draws: a row of nearly all the weight is nearly always drawn.
    let mut weights = vec![0.25; 200];
    weights[17] = 4950.25;
    let rows = Rows::new(200, Some(&weights)).unwrap();
    let heavy: usize = (0..50).map(|key| rows.draw(key, 100).iter().filter(|row| **row == 17).count()).sum();
    // 99 % of 5000, with a standard error of 0.14 %.
    assert!((heavy as f64 / 5000.0 - 0.99).abs() < 0.006, "{heavy}");
}

#[test]
fn rows_are_drawn_once_and_all_as_often() {
    let rows = Rows::new(40, None).unwrap();
    let mut counts = [0; 40];
    for key in 0..1000 {
        let drawn = rows.draw(key, 10);
        assert!(drawn.len() == 10 && drawn.is_sorted_by(|a, b| a < b), "{drawn:?}");
        drawn.into_iter().for_each(|row| counts[row as usize] += 1);
    }
    // A quarter of a thousand, with a standard deviation of 14.
    assert!(counts.iter().all(|count| (190..310).contains(count)), "{counts:?}");
    assert_eq!(rows.draw(1, 40), (0..40).collect::<Vec<_>>());
}

/// Features, answers and what of scikit-learn there is.
fn golden() -> (Vec<Vec<f64>>, Vec<bool>, Value) {
    let text = include_str!("../../tests/golden/isolation.csv");
    let mut columns = vec![Vec::new(); 4];
    let mut is_unusual = Vec::new();
    for line in text.lines() {
        let numbers: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
        columns.iter_mut().zip(&numbers).for_each(|(column, x)| column.push(*x));
        is_unusual.push(numbers[4] == 1.0);
    }
    (columns, is_unusual, serde_json::from_str(include_str!("../../tests/golden/isolation.json")).unwrap())
}

#[test]
fn unusual_rows_are_found_as_well_as_by_others() {
    let (columns, is_unusual, json) = golden();
    let features: Vec<Feature<'_>> = columns.iter().map(|column| Feature::Numeric(column)).collect();
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let variance = |x: &[f64]| x.iter().map(|v| (v - mean(x)).powi(2)).sum::<f64>() / (x.len() - 1) as f64;
    let smaller =
        IsolationForest { trees: 30, subsample: 64, contamination: None, ..IsolationForest::default() };
    for (name, params) in [("default", IsolationForest::default()), ("30 trees on 64 rows", smaller)] {
        let theirs: Vec<f64> =
            json["roc_auc"][name].as_array().unwrap().iter().map(|area| area.as_f64().unwrap()).collect();
        let area = |seed| {
            let context = Context { seed, ..Context::default() };
            let forest = params.fit(&features, None, &context).unwrap().model;
            let row = |i: usize| columns.iter().map(|column| column[i]).collect::<Vec<f64>>();
            let scores: Vec<f64> = (0..600).map(|i| forest.score(&row(i))).collect();
            roc_auc(&is_unusual, &scores, None).unwrap()
        };
        let ours: Vec<f64> = (0..10).map(area).collect();
        let error = ((variance(&ours) + variance(&theirs)) / 10.0).sqrt();
        assert!(
            (mean(&ours) - mean(&theirs)).abs() <= 2.0 * error,
            "{name}: {ours:?}, scikit-learn {theirs:?}"
        );
    }
}

#[test]
fn a_share_of_the_rows_is_called_anomalies() {
    let a = normal(1000, 6);
    let count = |share| {
        let params = IsolationForest { contamination: Some(share), ..IsolationForest::default() };
        let forest = fit(&params, &[Feature::Numeric(&a)], None);
        let threshold = forest.threshold().unwrap();
        a.iter().filter(|x| forest.score(&[**x]) >= threshold).count()
    };
    // At most the share, and not much less: neighbours in a line may have equal scores.
    assert!((46..=50).contains(&count(0.05)), "{}", count(0.05));
    assert!((480..=500).contains(&count(0.5)), "{}", count(0.5));
    // Where all are equal none is.
    let params = IsolationForest { contamination: Some(0.5), ..IsolationForest::default() };
    let forest = fit(&params, &[Feature::Numeric(&[3.0; 10])], None);
    assert!(forest.score(&[3.0]) < forest.threshold().unwrap());
}

#[test]
fn missing_values_and_categories_set_rows_apart() {
    // A missing value among numbers, a number among missing values, a rare category, a missing one.
    let rare = |one: f64, others: f64| {
        (0..300).map(|i| if i == 123 { one } else { others + f64::from(i % 7) }).collect()
    };
    let columns: [Vec<f64>; 2] =
        [rare(f64::NAN, 5.0), (0..300).map(|i| if i == 123 { 1.0 } else { f64::NAN }).collect()];
    for column in &columns {
        let params = IsolationForest { subsample: 300, ..IsolationForest::default() };
        let forest = fit(&params, &[Feature::Numeric(column)], None);
        let others = (0..300).filter(|i| *i != 123).map(|i| forest.score(&[column[i]])).fold(0.0, f64::max);
        let score = forest.score(&[column[123]]);
        // In the second column alone it is divided at once.
        assert!(if column[0].is_nan() { score > others } else { score.is_finite() }, "{score} {others}");
    }
    let codes: Vec<u32> = (0..300).map(|i| if i == 123 { 4 } else { i % 3 }).collect();
    let forest = fit(
        &IsolationForest { subsample: 300, ..IsolationForest::default() },
        &[Feature::Categorical { codes: &codes, levels: 5 }],
        None,
    );
    let score = |x: f64| forest.score(&[x]);
    assert!((0..3).all(|common| score(4.0) > score(f64::from(common))));
    // A category without rows is missing, as are those beyond the dictionary.
    assert_eq!([3.0, -1.0, 99.0].map(score), [score(f64::NAN); 3]);
}

#[test]
fn extremes_are_divided_too() {
    let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
    let close = [1.0, 1.0_f64.next_up()];
    for values in [
        &[low, high][..],
        &[low, f64::MIN],
        &[f64::MAX, high],
        &[f64::MIN, f64::MAX],
        &[0.0, f64::from_bits(1)],
        &close,
        &[low, f64::NAN],
        &[low, 0.0, high],
    ] {
        let forest = fit(&IsolationForest::default(), &[Feature::Numeric(values)], None);
        for tree in forest.trees() {
            assert_eq!(tree.leaves(), values.len(), "{values:?}");
            let mut leaves: Vec<usize> = values.iter().map(|x| tree.leaf(&[*x])).collect();
            leaves.sort_unstable();
            leaves.dedup();
            assert_eq!(leaves.len(), values.len(), "{values:?}");
        }
    }
    // The two zeros are one number, and nothing divides missing values.
    for values in [[0.0, -0.0], [f64::NAN; 2], [high; 2]] {
        let fit =
            IsolationForest::default().fit(&[Feature::Numeric(&values)], None, &Context::default()).unwrap();
        assert!(fit.model.trees().iter().all(|tree| tree.leaves() == 1) && fit.model.score(&[1.0]) == 0.5);
        assert!(fit.report.warnings[0].contains("no column differs"));
    }
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let message = |params: IsolationForest, features: &[Feature<'_>], weights: Option<&[f64]>| {
        params.fit(features, weights, &Context::default()).err().map(|e| e.to_string()).unwrap_or_default()
    };
    let (sound, x) = (IsolationForest::default(), [1.0, 2.0, 3.0]);
    let column = [Feature::Numeric(&x)];
    assert!(message(IsolationForest { trees: 0, ..sound.clone() }, &column, None).contains("trees"));
    assert!(message(IsolationForest { subsample: 1, ..sound.clone() }, &column, None).contains("subsample"));
    for share in [0.0, 0.6, f64::NAN] {
        let params = IsolationForest { contamination: Some(share), ..sound.clone() };
        assert!(message(params, &column, None).contains("contamination"));
    }
    let plain = |features: &[Feature<'_>], weights| message(sound.clone(), features, weights);
    assert!(plain(&[], None).contains("no columns"));
    assert!(plain(&[Feature::Numeric(&x[..1])], None).contains("two rows"));
    assert!(plain(&[Feature::Numeric(&[])], None).contains("two rows"));
    assert!(plain(&column, Some(&[0.0, 1.0, 0.0])).contains("two rows"));
    assert!(plain(&column, Some(&[0.0; 3])).contains("two rows"));
    // A weight that is not whole counts no rows, however large.
    for weights in &[[0.0, 0.5, 0.0], [0.0, 2.5, 0.0], [0.0, 1e300, 0.0]] {
        assert!(plain(&column, Some(weights)).contains("two rows"), "{weights:?}");
    }
    assert_eq!(plain(&column, Some(&[0.0, 2.0, 0.0])), "");
    assert_eq!(plain(&column, Some(&[0.5, 0.0, 0.5])), "");
    assert!(plain(&column, Some(&[1.0, -1.0, 1.0])).contains("row 2"));
    assert!(plain(&column, Some(&[f64::MAX; 3])).contains("sum of the weights"));
    assert!(!plain(&column, Some(&[1.0])).is_empty());
    assert!(!plain(&[column[0], Feature::Numeric(&x[..2])], None).is_empty());
    let stop = std::sync::atomic::AtomicBool::new(true);
    let context = Context { cancel: &stop, ..Context::default() };
    assert!(sound.fit(&column, None, &context).is_err());
}
