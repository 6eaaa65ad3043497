//! Trees of medians: beside those of scikit-learn (script and numbers in `golden/`), and what they promise.

use proptest::prelude::*;
use serde::Deserialize;
use tilewise_base::{Column, Context, Dataset, Model, ModelFile, Roles, Task, predict_dataset};
use tilewise_kernels::MatRef;
use tilewise_kernels::parallel::{self, Scheme};
use tilewise_kernels::random::Philox;
use tilewise_tree::rounds::Learned;
use tilewise_tree::{
    Answers, BinnedTable, Criterion, DecisionTree, Feature, Growth, MaxFeatures, Splitter, Tree, TreeModel,
    stored,
};

#[derive(Deserialize)]
struct Golden {
    x: Vec<Option<f64>>,
    y: Vec<f64>,
    weights: Vec<f64>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    max_depth: Option<usize>,
    max_leaf_nodes: Option<usize>,
    min_samples_leaf: usize,
    ccp_alpha: f64,
    weighted: bool,
    min_samples_split: usize,
    leaves: usize,
    root: f64,
    predictions: Vec<f64>,
}

fn absolute() -> DecisionTree {
    DecisionTree { criterion: Criterion::Absolute, ..DecisionTree::default() }
}

/// The tree, for `columns` numbers in each row.
fn fit(params: &DecisionTree, x: &[f64], columns: usize, y: &[f64], weights: Option<&[f64]>) -> Tree {
    let x = MatRef::new(x, y.len(), columns).unwrap();
    let table = BinnedTable::of_matrix(x, weights, 255, 0).unwrap();
    params.fit_numbers(&table, y, &Context::default()).unwrap().model
}

fn predictions(tree: &Tree, x: &[f64], columns: usize) -> Vec<f64> {
    let of = |row| {
        let mut out = [0.0];
        tree.predict_row(row, &mut out);
        out[0]
    };
    x.chunks_exact(columns).map(of).collect()
}

/// What all rows of a tree are from its predictions, per row.
fn error(y: &[f64], said: &[f64], weights: &[f64]) -> f64 {
    let far = |i: usize| weights[i] * (y[i] - said[i]).abs();
    (0..y.len()).map(far).sum::<f64>() / weights.iter().sum::<f64>()
}

/// Leaves are numbers of rows, or the middle of two, in both: only a difference of one rounding is possible.
const ROUNDING: f64 = 1e-15;

#[test]
fn predictions_are_those_of_scikit_learn() {
    let golden: Golden = serde_json::from_str(include_str!("../../golden/absolute.json")).unwrap();
    let ones = vec![1.0; golden.y.len()];
    assert_eq!(golden.cases.len(), 6);
    for (number, case) in golden.cases.iter().enumerate() {
        let x: Vec<f64> = golden.x.iter().map(|x| x.unwrap_or(f64::NAN)).collect();
        let params = DecisionTree {
            max_depth: case.max_depth,
            max_leaves: case.max_leaf_nodes,
            min_samples_leaf: case.min_samples_leaf,
            ccp_alpha: case.ccp_alpha,
            min_samples_split: case.min_samples_split,
            ..absolute()
        };
        let weights = if case.weighted { &golden.weights } else { &ones };
        let tree = fit(&params, &x, 3, &golden.y, Some(weights));
        assert_eq!(tree.leaves(), case.leaves, "case {number}");
        for (said, expected) in predictions(&tree, &x, 3).iter().zip(&case.predictions) {
            assert!((said - expected).abs() <= ROUNDING * expected.abs(), "case {number}: {said} {expected}");
        }
        let root = fit(&DecisionTree { max_depth: Some(0), ..params }, &x, 3, &golden.y, Some(weights));
        let of_root = error(&golden.y, &predictions(&root, &x, 3), weights);
        assert!((of_root - case.root).abs() <= 1e-12 * case.root, "case {number}");
    }
}

#[test]
fn a_leaf_is_the_weighted_median() {
    let median = |y: &[f64], weights: Option<&[f64]>| {
        let tree =
            fit(&DecisionTree { max_depth: Some(0), ..absolute() }, &vec![0.0; y.len()], 1, y, weights);
        predictions(&tree, &[0.0], 1)[0]
    };
    assert_eq!(median(&[9.0, 1.0, 2.0], None), 2.0);
    assert_eq!(median(&[8.0, 1.0, 4.0, 2.0], None), 3.0);
    assert_eq!(median(&[5.0, 1.0], Some(&[1.0, 2.0])), 1.0);
    assert_eq!(median(&[9.0, 1.0, 2.0], Some(&[2.0, 1.0, 1.0])), 5.5);
    assert_eq!(median(&[9.0, 1.0, 2.0], Some(&[0.75, 0.5, 0.25])), 5.5);
    // Exactly, however far the others are.
    assert_eq!(median(&[0.1, f64::MAX, f64::MIN], None), 0.1);
    assert_eq!(median(&[f64::MAX, f64::MAX, 0.0, 1.0], None), f64::MAX / 2.0 + 0.5);
    assert_eq!(median(&[1e-310, 3e-310], None), 2e-310);
}

/// A split by the median does not care how far an outlier is; one by the mean does.
#[test]
fn one_wild_row_does_not_decide() {
    let x: Vec<f64> = (0..40).map(f64::from).collect();
    let mut y: Vec<f64> = x.iter().map(|x| f64::from(u8::from(*x >= 20.0))).collect();
    y[3] = 1e6;
    let split = |criterion| {
        let tree = fit(&DecisionTree { criterion, max_leaves: Some(2), ..absolute() }, &x, 1, &y, None);
        predictions(&tree, &x, 1)
    };
    let expected: Vec<f64> = x.iter().map(|x| f64::from(u8::from(*x >= 20.0))).collect();
    assert_eq!(split(Criterion::Absolute), expected);
    assert_ne!(split(Criterion::Squared), expected);
}

fn problem(rows: usize) -> (Vec<f64>, Vec<f64>) {
    let random = Philox::new(3, Philox::purpose("problem"));
    let x: Vec<f64> = (0..4 * rows as u64).map(|i| (4.0 * random.normal(i)).round() / 4.0).collect();
    let noise = |row: usize| random.normal((4 * rows + row) as u64);
    let y = x.chunks_exact(4).enumerate().map(|(i, row)| row[0] * row[1] + row[2] + 0.3 * noise(i)).collect();
    (x.into_iter().map(|x| if x == 1.0 { f64::NAN } else { x }).collect(), y)
}

#[test]
fn any_number_of_threads_grows_the_same_tree() {
    let (x, y) = problem(30_000);
    let codes: Vec<u32> = x.chunks_exact(4).map(|row| (row[3].abs() * 4.0) as u32).collect();
    let numbers: Vec<Vec<f64>> = (0..3).map(|j| x.chunks_exact(4).map(|row| row[j]).collect()).collect();
    let grow = |scheme: Scheme| {
        let mut columns: Vec<Feature<'_>> = numbers.iter().map(|x| Feature::Numeric(x)).collect();
        columns.push(Feature::Categorical { codes: &codes, levels: 20 });
        let table = BinnedTable::new(&columns, None, 255, 0).unwrap();
        let context = Context { scheme, ..Context::default() };
        [
            DecisionTree { max_depth: Some(7), ..absolute() },
            DecisionTree { max_leaves: Some(30), growth: Growth::DepthWise, ..absolute() },
            DecisionTree { max_features: MaxFeatures::Count(2), splitter: Splitter::Random, ..absolute() },
        ]
        .map(|params| params.fit_numbers(&table, &y, &context).unwrap().model)
    };
    let one = parallel::with_threads(1, || grow(Scheme::Auto));
    assert!(one[0].leaves() > 60 && one[1].leaves() == 30 && one[2].leaves() > 5000);
    for threads in [2, 3, 7] {
        assert!(parallel::with_threads(threads, || grow(Scheme::Auto)) == one, "{threads}");
    }
    for scheme in [Scheme::Tasks, Scheme::Rows] {
        assert!(parallel::with_threads(2, || grow(scheme)) == one, "{scheme:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn weights_count_rows_and_their_order_does_not_matter(seed in 0_u64..1000, limited: bool) {
        let (x, y) = problem(200);
        let random = Philox::new(seed, Philox::purpose("weights"));
        let weights: Vec<f64> = (0..200).map(|i| random.below(i, 4) as f64).collect();
        let order = Philox::new(seed, Philox::purpose("order")).permutation(200);
        let repeated = || order.iter().flat_map(|&row| std::iter::repeat_n(row, weights[row] as usize));
        let params = DecisionTree { max_leaves: limited.then_some(9), ..absolute() };
        let weighted = fit(&params, &x, 4, &y, Some(&weights));
        let x_repeated: Vec<f64> = repeated().flat_map(|row| x[4 * row..][..4].to_vec()).collect();
        let y_repeated: Vec<f64> = repeated().map(|row| y[row]).collect();
        let plain = fit(&params, &x_repeated, 4, &y_repeated, None);
        prop_assert_eq!(weighted.leaves(), plain.leaves());
        prop_assert_eq!(predictions(&weighted, &x, 4), predictions(&plain, &x, 4));
        prop_assert_eq!(weighted.importances(), plain.importances());
    }
}

#[test]
fn a_model_comes_back_from_its_bytes() {
    let (x, y) = problem(300);
    let column = |j: usize| Column::F64(x.chunks_exact(4).map(|row| row[j]).collect());
    let columns = [("a", column(0)), ("b", column(1)), ("y", Column::F64(y.into()))];
    let data = Dataset::new(columns.map(|(name, column)| (name.to_owned(), column)).into()).unwrap();
    let roles = Roles::target("y");
    let model = TreeModel::fit(&absolute(), 255, false, &data, &roles, &Context::default()).unwrap();
    let bytes = model.to_bytes().unwrap();
    let same = TreeModel::from_file(&ModelFile::parse(&bytes).unwrap()).unwrap();
    assert_eq!((same.params().criterion, same.to_bytes().unwrap()), (Criterion::Absolute, bytes));
    assert_eq!(predict_dataset(&same, &data, None).unwrap(), predict_dataset(&model, &data, None).unwrap());
    // A file that says it predicts classes by medians is none.
    let task = Task::Classification { classes: vec!["a".into(), "b".into()] };
    assert_eq!(stored::outputs(&task, Criterion::Absolute), None);
}

#[test]
fn what_is_no_sum_is_refused_by_name() {
    let (x, y) = problem(50);
    let table = BinnedTable::of_matrix(MatRef::new(&x, 50, 4).unwrap(), None, 255, 0).unwrap();
    let context = Context::default();
    let oblivious = DecisionTree { growth: Growth::Oblivious, ..absolute() };
    let told = oblivious.fit_numbers(&table, &y, &context).unwrap_err().to_string();
    assert!(told.contains("oblivious") && told.contains("absolute") && told.contains("leaf-wise"), "{told}");
    let told = absolute().fit_classes(&table, &[0; 50], 2, &context).unwrap_err().to_string();
    assert!(told.contains("absolute") && told.contains("gini"), "{told}");
    let learned = Learned::new(&absolute(), &table, &Answers::Numbers(y.clone()));
    let told = learned.err().unwrap().to_string();
    assert!(told.contains("absolute") && told.contains("rounds") && told.contains("poisson"), "{told}");
    let mut infinite = y;
    infinite[7] = f64::NAN;
    assert!(absolute().fit_numbers(&table, &infinite, &context).unwrap_err().to_string().contains("row 8"));
}
