//! What a tree promises: the same at any number of threads, weights that count rows, ranks that alone matter, limits.

use proptest::prelude::*;
use tilewise_base::{Column, Context, Dataset, Model, ModelFile, Roles, predict_dataset};
use tilewise_kernels::MatRef;
use tilewise_kernels::parallel::{self, Scheme};
use tilewise_kernels::random::Philox;
use tilewise_tree::{
    BinnedTable, ClassWeights, Criterion, DecisionTree, Feature, Growth, MaxFeatures, Splitter, Test, Tree,
    TreeModel,
};

/// Rows of `columns` numbers with few distinct values in some, and a class that depends on them.
fn problem(rows: usize, columns: usize) -> (Vec<f64>, Vec<u32>, Vec<f64>) {
    let random = Philox::new(3, Philox::purpose("problem"));
    let mut x: Vec<f64> = (0..rows * columns).map(|i| random.normal(i as u64)).collect();
    for row in x.chunks_exact_mut(columns) {
        row[0] = row[0].round();
        if row[1] > 1.5 {
            row[1] = f64::NAN;
        }
    }
    let score = |row: &[f64], i: usize| {
        let b = if row[1].is_nan() { 2.0 } else { row[1] };
        row[0] * b + row[columns - 1] + 0.3 * random.normal((rows * columns + i) as u64)
    };
    let y: Vec<f64> = x.chunks_exact(columns).enumerate().map(|(i, row)| score(row, i)).collect();
    let classes = y.iter().map(|y| if *y < -0.5 { 0 } else { 1 + u32::from(*y > 0.7) }).collect();
    (x, classes, y)
}

fn binned(x: &[f64], columns: usize, weights: Option<&[f64]>) -> BinnedTable {
    BinnedTable::of_matrix(MatRef::new(x, x.len() / columns, columns).unwrap(), weights, 255, 0).unwrap()
}

fn classes(params: &DecisionTree, table: &BinnedTable, y: &[u32]) -> Tree {
    params.fit_classes(table, y, 3, &Context::default()).unwrap().model
}

fn numbers(params: &DecisionTree, table: &BinnedTable, y: &[f64]) -> Tree {
    params.fit_numbers(table, y, &Context::default()).unwrap().model
}

/// The columns of [`problem`] and two of categories, of which some are missing; of the second one rare ones share a bin.
fn mixed(x: &[f64], columns: usize, weights: Option<&[f64]>, bins: usize) -> BinnedTable {
    let column = |j: usize| x.chunks_exact(columns).map(|row| row[j]).collect::<Vec<f64>>();
    let code =
        |levels: u32| move |x: &f64| if x.is_nan() { u32::MAX } else { (x.abs() * 40.0) as u32 % levels };
    let numbers: Vec<Vec<f64>> = (0..columns).map(column).collect();
    let codes = [(1, 6), (2, 90)]
        .map(|(j, levels)| (numbers[j].iter().map(code(levels)).collect::<Vec<u32>>(), levels));
    let numbers = numbers.iter().map(|values| Feature::Numeric(values));
    let codes = codes.iter().map(|(codes, levels)| Feature::Categorical { codes, levels: *levels as usize });
    BinnedTable::new(&numbers.chain(codes).collect::<Vec<_>>(), weights, bins, 0).unwrap()
}

#[test]
fn any_number_of_threads_and_scheme_grows_the_same_tree() {
    // Enough rows for shared histograms, partitions, searches and children.
    let (x, c, y) = problem(40_000, 5);
    let two: Vec<u32> = c.iter().map(|c| u32::from(*c > 1)).collect();
    let counts: Vec<f64> = y.iter().map(|y| y.abs().floor()).collect();
    let weights: Vec<f64> = (0..40_000).map(|i| f64::from(i % 7) / 3.0).collect();
    let default = DecisionTree::default();
    let depth = |max_depth| DecisionTree { max_depth: Some(max_depth), ..default.clone() };
    let all = [
        default.clone(),
        DecisionTree { criterion: Criterion::Entropy, ..depth(9) },
        DecisionTree { min_samples_leaf: 5, ..depth(12) },
        DecisionTree { max_leaves: Some(50), ..default.clone() },
        DecisionTree { max_leaves: Some(50), growth: Growth::DepthWise, ..default.clone() },
        DecisionTree { growth: Growth::Oblivious, ..depth(5) },
        DecisionTree { max_features: MaxFeatures::Count(2), ..depth(12) },
        DecisionTree { splitter: Splitter::Random, max_features: MaxFeatures::Count(3), ..depth(10) },
        DecisionTree { splitter: Splitter::Random, growth: Growth::Oblivious, ..depth(4) },
        DecisionTree { class_weights: ClassWeights::Balanced, ..depth(8) },
    ];
    let grow = |scheme: Scheme| {
        let context = Context { scheme, seed: 5, ..Context::default() };
        let tables = [
            binned(&x, 5, None),
            mixed(&x, 5, None, 255),
            mixed(&x, 5, None, 20),
            mixed(&x, 5, Some(&weights), 255),
        ];
        let mut trees = Vec::new();
        for (i, params) in all.iter().enumerate() {
            // Every way to grow with every kind of answers, and with each table in turn.
            let table = |j: usize| &tables[(i + j) % tables.len()];
            trees.push(params.fit_classes(table(0), &c, 3, &context).unwrap().model);
            trees.push(params.fit_classes(table(1), &two, 2, &context).unwrap().model);
            if params.class_weights == ClassWeights::Rows && params.criterion == Criterion::Auto {
                trees.push(params.fit_numbers(table(2), &y, &context).unwrap().model);
                let poisson = DecisionTree { criterion: Criterion::Poisson, ..params.clone() };
                trees.push(poisson.fit_numbers(table(3), &counts, &context).unwrap().model);
            }
        }
        trees
    };
    let one = parallel::with_threads(1, || grow(Scheme::Auto));
    assert!(one[0].leaves() > 1000);
    let uses_categories = |tree: &Tree| tree.nodes().any(|node| matches!(node.test, Some(Test::Bins(_))));
    assert!(one.iter().filter(|tree| uses_categories(tree)).count() > one.len() / 2);
    for threads in [1, 2, 3, 7] {
        for scheme in [Scheme::Auto, Scheme::Tasks, Scheme::Rows] {
            let trees = parallel::with_threads(threads, || grow(scheme));
            let different = (0..one.len()).find(|&i| trees[i] != one[i]);
            assert_eq!(different, None, "{threads} threads, {scheme:?}");
        }
    }
}

#[test]
fn a_full_tree_knows_its_rows() {
    let (x, c, y) = problem(3000, 5);
    let table = binned(&x, 5, None);
    let (of_classes, of_numbers) =
        (classes(&DecisionTree::default(), &table, &c), numbers(&DecisionTree::default(), &table, &y));
    let (mut shares, mut number) = ([0.0; 3], [0.0]);
    let mut wrong = 0;
    for (row, (class, y)) in x.chunks_exact(5).zip(c.iter().zip(&y)) {
        of_classes.predict_row(row, &mut shares);
        wrong += usize::from(shares[*class as usize] != 1.0);
        of_numbers.predict_row(row, &mut number);
        wrong += usize::from((number[0] - y).abs() > 1e-12 * y.abs().max(1.0));
    }
    // Rows whose values share all their bins are not told apart.
    assert!(wrong <= 6, "{wrong}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn weights_count_rows(seed in 0_u64..1000, limited: bool) {
        let (x, c, y) = problem(200, 4);
        let random = Philox::new(seed, Philox::purpose("weights"));
        let weights: Vec<f64> = (0..200).map(|i| random.below(i, 4) as f64).collect();
        let weighted = binned(&x, 4, Some(&weights));
        let repeated: Vec<usize> =
            (0..200).flat_map(|row| std::iter::repeat_n(row, weights[row] as usize)).collect();
        let rows = |row: usize| x[row * 4..][..4].to_vec();
        let table = binned(&repeated.iter().flat_map(|&row| rows(row)).collect::<Vec<_>>(), 4, None);
        let max_leaves = limited.then_some(9);
        let params = DecisionTree { max_leaves, ..DecisionTree::default() };
        let same = |a: &Tree, b: &Tree| {
            let of = |tree: &Tree| {
                let node = |n: tilewise_tree::Node| (n.feature, n.test, n.left, n.right, n.weight, n.gain);
                let values: Vec<Vec<f64>> = (0..tree.len()).map(|i| tree.value(i)).collect();
                (tree.nodes().map(node).collect::<Vec<_>>(), values)
            };
            assert_eq!(of(a), of(b));
        };
        let c_repeated: Vec<u32> = repeated.iter().map(|&row| c[row]).collect();
        same(&classes(&params, &weighted, &c), &classes(&params, &table, &c_repeated));
        let y_repeated: Vec<f64> = repeated.iter().map(|&row| y[row]).collect();
        // The base, the middle of the range, and the rounding are those of the rows that count.
        same(&numbers(&params, &weighted, &y), &numbers(&params, &table, &y_repeated));
    }

    #[test]
    fn order_of_rows_and_increasing_functions_change_nothing(seed in 0_u64..1000) {
        let (x, c, y) = problem(300, 4);
        let order = Philox::new(seed, Philox::purpose("order")).permutation(300);
        let table = binned(&x, 4, None);
        let cubed: Vec<f64> =
            order.iter().flat_map(|&row| x[row * 4..][..4].iter().map(|x| x.powi(3))).collect();
        let other = binned(&cubed, 4, None);
        let params = DecisionTree { min_samples_leaf: 2, ..DecisionTree::default() };
        let c_other: Vec<u32> = order.iter().map(|&row| c[row]).collect();
        let y_other: Vec<f64> = order.iter().map(|&row| y[row]).collect();
        for (a, b) in [
            (classes(&params, &table, &c), classes(&params, &other, &c_other)),
            (numbers(&params, &table, &y), numbers(&params, &other, &y_other)),
        ] {
            prop_assert_eq!(a.len(), b.len());
            for (i, (m, n)) in a.nodes().zip(b.nodes()).enumerate() {
                prop_assert_eq!((m.feature, m.left, m.right, m.rows, m.gain, m.missing_left), (n.feature, n.left, n.right, n.rows, n.gain, n.missing_left));
                prop_assert_eq!(a.value(i), b.value(i));
                prop_assert_eq!(m.test.is_some(), n.test.is_some());
            }
        }
    }
}

#[test]
fn limits_hold() {
    let (x, c, _) = problem(2000, 4);
    let table = binned(&x, 4, None);
    for (params, most_leaves, most_depth, least_rows) in [
        (DecisionTree { max_depth: Some(3), ..DecisionTree::default() }, 8, 3, 1),
        (DecisionTree { max_leaves: Some(5), ..DecisionTree::default() }, 5, 4, 1),
        (DecisionTree { min_samples_leaf: 100, ..DecisionTree::default() }, 20, 20, 100),
        (DecisionTree { max_leaves: Some(1), ..DecisionTree::default() }, 1, 0, 2000),
        (DecisionTree { min_weight_fraction_leaf: 0.05, ..DecisionTree::default() }, 20, 20, 100),
    ] {
        let tree = classes(&params, &table, &c);
        assert!(tree.leaves() <= most_leaves && tree.depth() <= most_depth, "{params:?}");
        let rows = tree.nodes().filter(|node| node.test.is_none()).map(|node| node.rows).min().unwrap();
        assert!(rows >= least_rows, "{params:?}: {rows}");
    }
    // Without weights a share of them is one of the rows.
    let share = DecisionTree { min_weight_fraction_leaf: 0.05, ..DecisionTree::default() };
    let rows = DecisionTree { min_samples_leaf: 100, ..DecisionTree::default() };
    assert_eq!(classes(&share, &table, &c), classes(&rows, &table, &c));
    // With them leaves have the weight, whatever their rows: 1,000 weigh nine times as much as the others together.
    let weights: Vec<f64> = (0..2000).map(|row| if row % 2 == 0 { 9.0 } else { 1.0 }).collect();
    let table_of_weights = binned(&x, 4, Some(&weights));
    let tree = classes(&share, &table_of_weights, &c);
    let leaves: Vec<(f64, u32)> =
        tree.nodes().filter(|node| node.test.is_none()).map(|node| (node.weight, node.rows)).collect();
    assert!(leaves.len() > 5 && leaves.iter().all(|(weight, _)| *weight >= 500.0), "{leaves:?}");
    assert!(leaves.iter().any(|(_, rows)| *rows < 100), "{leaves:?}");
    // Gains are per unit of weight: with twice the weights nothing changes.
    let params = DecisionTree { min_impurity_decrease: 0.01, ..DecisionTree::default() };
    let tree = classes(&params, &table, &c);
    assert!(tree.nodes().all(|node| node.test.is_none() || node.gain > 0.01 * 2000.0));
    let doubled = classes(&params, &binned(&x, 4, Some(&[2.0; 2000])), &c);
    assert_eq!(doubled.leaves(), tree.leaves());
    let without = DecisionTree { min_impurity_decrease: 1.0, ..params };
    assert_eq!(classes(&without, &table, &c).leaves(), 1);
}

#[test]
fn what_is_not_accepted_is_told() {
    let (x, c, y) = problem(50, 4);
    let table = binned(&x, 4, None);
    let context = Context::default();
    let told = |params: DecisionTree| params.fit_classes(&table, &c, 3, &context).unwrap_err().to_string();
    assert!(told(DecisionTree { criterion: Criterion::Squared, ..DecisionTree::default() }).contains("gini"));
    assert!(told(DecisionTree { max_leaves: Some(0), ..DecisionTree::default() }).contains("max_leaves"));
    let share = DecisionTree { min_weight_fraction_leaf: 0.6, ..DecisionTree::default() };
    assert!(told(share).contains("a share from 0 to 0.5"));
    assert!(told(DecisionTree { min_samples_split: 1, ..DecisionTree::default() }).contains("2 or more"));
    let tree = DecisionTree::default();
    assert!(
        tree.fit_classes(&table, &c, 2, &context).is_err()
            && tree.fit_classes(&table, &c[1..], 3, &context).is_err()
    );
    let mut infinite = y.clone();
    infinite[7] = f64::INFINITY;
    assert!(tree.fit_numbers(&table, &infinite, &context).unwrap_err().to_string().contains("row 8"));
    let x = MatRef::new(&x, 50, 4).unwrap();
    for (weights, bins) in
        [(None, 1), (None, 65_536), (Some(vec![0.0; 50]), 255), (Some(vec![-1.0; 50]), 255)]
    {
        assert!(BinnedTable::of_matrix(x, weights.as_deref(), bins, 0).is_err());
    }
    assert!(BinnedTable::new(&[], None, 255, 0).is_err());
}

#[test]
fn targets_of_any_size_are_learned() {
    for (scale, base) in [(1.0, 0.0), (1e-300, 0.0), (1e300, 0.0), (1.0, 1e15), (1.0, -1e9), (f64::MAX, 0.0)]
    {
        let y: Vec<f64> = (0..64).map(|i| base + scale * (f64::from(i % 8) / 8.0 - 0.5)).collect();
        let x: Vec<f64> = (0..64).map(|i| f64::from(i % 8)).collect();
        let tree = numbers(&DecisionTree::default(), &binned(&x, 1, None), &y);
        assert_eq!(tree.leaves(), 8, "{scale} {base}");
        let mut out = [0.0];
        for (x, y) in x.iter().zip(&y) {
            tree.predict_row(&[*x], &mut out);
            assert!((out[0] - y).abs() <= 1e-12 * scale.max(y.abs()), "{} {y}", out[0]);
        }
    }
    // One value: a leaf, which predicts it exactly.
    let tree = numbers(&DecisionTree::default(), &binned(&[1.0, 2.0, 3.0], 1, None), &[0.1; 3]);
    assert_eq!((tree.leaves(), tree.value(0)), (1, vec![0.1]));
}

/// Two columns of numbers, one of categories of which the last is frequent but rare ones share a bin.
fn dataset(levels: usize) -> Dataset {
    let (x, c, _) = problem(900, 4);
    let column = |j: usize| Column::F64(x.chunks_exact(4).map(|row| row[j]).collect());
    let codes = c.iter().enumerate().map(|(i, c)| (i * 7 + *c as usize) as u32 % levels as u32).collect();
    let dictionary = (0..levels).map(|i| format!("level {i:05}")).collect();
    let label =
        Column::Categorical { codes: c.clone().into(), dictionary: vec!["a".into(), "b".into(), "c".into()] };
    let category = Column::Categorical { codes, dictionary };
    let columns = [("u", column(0)), ("v", column(1)), ("level", category), ("label", label)];
    Dataset::new(columns.map(|(name, column)| (name.to_owned(), column)).into()).unwrap()
}

#[test]
fn a_model_comes_back_from_its_bytes() {
    for levels in [5, 300] {
        let data = dataset(levels);
        let fit = TreeModel::fit(
            &DecisionTree::default(),
            255,
            true,
            &data,
            &Roles::target("label"),
            &Context::default(),
        );
        let model = fit.unwrap();
        assert!(model.tree().nodes().any(|node| matches!(node.test, Some(Test::Bins(_)))));
        let bytes = model.to_bytes().unwrap();
        let same = TreeModel::from_file(&ModelFile::parse(&bytes).unwrap()).unwrap();
        assert_eq!(same.to_bytes().unwrap(), bytes);
        assert_eq!(same.describe(), model.describe());
        let (a, b) =
            (predict_dataset(&model, &data, None).unwrap(), predict_dataset(&same, &data, None).unwrap());
        assert_eq!(a, b);
        assert!(a.chunks_exact(3).all(|p| (p.iter().sum::<f64>() - 1.0).abs() < 1e-12));
    }
}

#[test]
fn missing_values_and_unknown_categories_follow_the_rule() {
    // "b" and missing values have the high answers.
    let codes = vec![0, 0, 1, 1, u32::MAX, 0, 1, 0];
    let dictionary = vec!["a".into(), "b".into(), "never".into()];
    let y = Column::F64(vec![0.0, 0.0, 5.0, 5.0, 5.0, 0.0, 5.0, 0.0].into());
    let columns =
        vec![("c".to_owned(), Column::Categorical { codes: codes.into(), dictionary }), ("y".to_owned(), y)];
    let data = Dataset::new(columns).unwrap();
    let model =
        TreeModel::fit(&DecisionTree::default(), 255, false, &data, &Roles::target("y"), &Context::default())
            .unwrap();
    assert_eq!(model.tree().leaves(), 2);
    let leaf = |cell: f64| model.tree().value(model.tree().leaf(&[cell]))[0];
    // A category that training did not see, by a code of the dictionary or as unseen, is missing.
    assert_eq!([0.0, 1.0, f64::NAN, -1.0, 2.0].map(leaf), [0.0, 5.0, 5.0, 5.0, 5.0]);
}

#[test]
fn rows_without_weight_are_not_there() {
    // So many rows that cuts are taken from a sample, of which few count.
    let rows = 300_000;
    let x: Vec<f64> = (0..rows).map(|i| f64::from(i % 1000)).collect();
    let weights: Vec<f64> = (0..rows).map(|i| f64::from(u8::from(i % 30_000 == 7))).collect();
    let kept: Vec<f64> = (0..rows).filter(|i| i % 30_000 == 7).map(|i| x[i as usize]).collect();
    let y: Vec<f64> = (0..rows).map(|i| if i % 30_000 == 7 { f64::from(i) } else { f64::NAN }).collect();
    let answers: Vec<f64> = y.iter().copied().filter(|y| y.is_finite()).collect();
    let all = numbers(&DecisionTree::default(), &binned(&x, 1, Some(&weights)), &y);
    let few = numbers(&DecisionTree::default(), &binned(&kept, 1, None), &answers);
    assert_eq!(all, few);
}

#[test]
fn values_that_hardly_a_row_has_are_kept() {
    // Three of so many that a sample may lack them all.
    let rows = 400_000;
    let x: Vec<f64> = (0..rows).map(|i| f64::from(u8::from(i % 150_000 == 1))).collect();
    for seed in 0..4 {
        let table = BinnedTable::of_matrix(MatRef::new(&x, rows, 1).unwrap(), None, 255, seed).unwrap();
        assert_eq!(numbers(&DecisionTree::default(), &table, &x).leaves(), 2);
    }
}

#[test]
fn the_largest_and_smallest_numbers_do_not_overflow() {
    let (x, c, _) = problem(40, 2);
    let plain = DecisionTree { class_weights: ClassWeights::Balanced, ..DecisionTree::default() };
    let of = |weight: f64| classes(&plain, &binned(&x, 2, Some(&[weight; 40])), &c);
    let one = of(1.0);
    for weight in [1e-170, 1e160] {
        let tree = of(weight);
        assert_eq!(tree.leaves(), one.leaves(), "{weight}");
        assert!((tree.value(0)[0] - one.value(0)[0]).abs() < 1e-6);
    }
    let x = MatRef::new(&x, 40, 2).unwrap();
    let told = BinnedTable::of_matrix(x, Some(&[1e308; 40]), 255, 0).unwrap_err().to_string();
    assert!(told.contains("sum of the weights"), "{told}");
    // A mean that was rounded up.
    let y: Vec<f64> = (0..1000).map(|i| if i % 2 == 0 { f64::MAX } else { f64::MIN }).collect();
    let tree = numbers(&DecisionTree::default(), &binned(&y, 1, None), &y);
    assert!((0..tree.len()).all(|node| tree.value(node)[0].is_finite()));
}
