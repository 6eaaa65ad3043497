//! More bins than a byte can name: exact trees against those of scikit-learn (script and numbers in `golden/`), and what holds for
//! tables of bytes.

use serde::Deserialize;
use std::collections::BTreeMap;
use tilewise_base::{Column, Context, Dataset, Model, ModelFile, Roles};
use tilewise_kernels::parallel::{self, Scheme};
use tilewise_kernels::random::Philox;
use tilewise_kernels::{MatMut, MatRef};
use tilewise_tree::{
    BinnedTable, Compiled, Criterion, DecisionTree, Engine, Feature, Growth, MOST_BINS, MaxBins, MaxFeatures,
    Test, Tree, TreeModel,
};

#[derive(Deserialize)]
struct Golden {
    x: Vec<f64>,
    y: BTreeMap<String, Vec<f64>>,
    weights: Vec<f64>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    target: String,
    criterion: String,
    weighted: bool,
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    /// -1 in leaves.
    feature: i64,
    threshold: f64,
    rows: u32,
    value: Vec<f64>,
}

/// Both divide the same sums by the same weights, in another order.
const ROUNDING: f64 = 1e-12;

#[test]
fn exact_trees_are_those_of_scikit_learn() {
    const COLUMNS: usize = 3;
    let golden: Golden = serde_json::from_str(include_str!("../../golden/exact.json")).unwrap();
    let x = MatRef::new(&golden.x, golden.weights.len(), COLUMNS).unwrap();
    let context = Context::default();
    for case in &golden.cases {
        let criterion = match case.criterion.as_str() {
            "gini" => Criterion::Gini,
            "entropy" => Criterion::Entropy,
            "squared_error" => Criterion::Squared,
            other => panic!("{other}"),
        };
        let depth = if case.target == "numbers" { 7 } else { 3 };
        let params = DecisionTree {
            criterion,
            max_depth: Some(depth),
            min_samples_leaf: 8,
            ..DecisionTree::default()
        };
        let grow = |bins: MaxBins| {
            let weights = case.weighted.then_some(&golden.weights[..]);
            let table = BinnedTable::of_matrix(x, weights, bins, 0).unwrap();
            let y = &golden.y[&case.target];
            let classes: Vec<u32> = y.iter().map(|&y| y as u32).collect();
            let fit = match case.target.as_str() {
                "classes" => params.fit_classes(&table, &classes, 4, &context),
                "two" => params.fit_classes(&table, &classes, 2, &context),
                _ => params.fit_numbers(&table, y, &context),
            };
            fit.unwrap().model
        };
        let tree = grow(MaxBins::Exact);
        let what = format!("{} {} {}", case.target, case.criterion, case.weighted);
        assert_eq!(tree.nodes().len(), case.nodes.len(), "{what}");
        for (at, (node, expected)) in tree.nodes().zip(&case.nodes).enumerate() {
            assert_eq!(node.rows, expected.rows, "{what} {at}");
            for (found, expected) in tree.value(at).iter().zip(&expected.value) {
                assert!((found - expected).abs() <= ROUNDING * expected.abs().max(1.0), "{what} {at}");
            }
            let Some(Test::UpTo(threshold)) = node.test else {
                assert_eq!(expected.feature, -1, "{what} {at}");
                continue;
            };
            assert_eq!(i64::from(node.feature), expected.feature, "{what} {at}");
            // Theirs lies half way between values of the node, ours between values of the table in the middle of those that divide the
            // node alike: the same in the root.
            assert!(at > 0 || threshold == expected.threshold, "{what} {threshold}");
        }
        if case.target == "numbers" {
            assert_ne!(grow(MaxBins::AtMost(255)), tree);
        }
    }
}

/// Rows of two columns of numbers of 2,000 values and more, of which one has missing values, one of few values, and one of categories.
struct Problem {
    columns: [Vec<f64>; 3],
    codes: Vec<u32>,
    classes: Vec<u32>,
    y: Vec<f64>,
}

fn problem(rows: usize) -> Problem {
    let random = Philox::new(5, Philox::purpose("wide problem"));
    let number = |row: usize, column: u64| random.normal(8 * row as u64 + column);
    let column = |j| (0..rows).map(|row| number(row, j)).collect::<Vec<f64>>();
    let mut columns = [column(0), column(1), column(2).iter().map(|x| x.round()).collect()];
    columns[1].iter_mut().filter(|x| **x > 1.4).for_each(|x| *x = f64::NAN);
    let codes: Vec<u32> = (0..rows).map(|row| (row * 7 % 13) as u32).collect();
    let known = |x: f64| if x.is_nan() { 2.0 } else { x };
    let score = |i: usize| {
        let [a, b, c] = &columns;
        (3.0 * a[i]).sin() + known(b[i]) * c[i] + f64::from(codes[i] % 3) + 0.2 * number(i, 3)
    };
    let y: Vec<f64> = (0..rows).map(score).collect();
    let classes = y.iter().map(|y| if *y < 0.3 { 0 } else { 1 + u32::from(*y > 1.5) }).collect();
    Problem { columns, codes, classes, y }
}

impl Problem {
    fn table(&self, bins: MaxBins) -> BinnedTable {
        let [a, b, c] = &self.columns;
        let codes = Feature::Categorical { codes: &self.codes, levels: 13 };
        BinnedTable::new(
            &[Feature::Numeric(a), Feature::Numeric(b), codes, Feature::Numeric(c)],
            None,
            bins,
            0,
        )
        .unwrap()
    }

    fn row(&self, i: usize) -> [f64; 4] {
        [self.columns[0][i], self.columns[1][i], f64::from(self.codes[i]), self.columns[2][i]]
    }
}

/// Ways of growing that take different paths.
fn ways() -> Vec<DecisionTree> {
    let all = DecisionTree::default();
    vec![
        DecisionTree { max_leaves: Some(60), ..all.clone() },
        DecisionTree { criterion: Criterion::Auto, max_features: MaxFeatures::Count(2), ..all.clone() },
        DecisionTree { growth: Growth::Oblivious, max_depth: Some(6), ..all.clone() },
        DecisionTree { monotone: vec![1, 0, 0, -1], ..all.clone() },
        all,
    ]
}

#[test]
fn any_number_of_threads_and_any_scheme_grows_the_same_wide_tree() {
    // Enough rows for shared histograms, partitions, searches and children.
    let problem = problem(20_000);
    let grow = |scheme: Scheme| -> Vec<Tree> {
        let (table, context) = (problem.table(MaxBins::Exact), Context { scheme, ..Context::default() });
        let numbers =
            ways().into_iter().map(|way| way.fit_numbers(&table, &problem.y, &context).unwrap().model);
        let classes = ways().into_iter().filter(|way| way.monotone.is_empty());
        let classes =
            classes.map(|way| way.fit_classes(&table, &problem.classes, 3, &context).unwrap().model);
        numbers.chain(classes).collect()
    };
    let one = parallel::with_threads(1, || grow(Scheme::Auto));
    assert!(one.iter().any(|tree| tree.leaves() > 10_000));
    for (threads, scheme) in [(2, Scheme::Auto), (3, Scheme::Tasks), (7, Scheme::Rows)] {
        assert!(parallel::with_threads(threads, || grow(scheme)) == one, "{threads} {scheme:?}");
    }
}

#[test]
fn rows_of_the_table_come_to_the_leaves_of_their_cells_by_every_engine() {
    let problem = problem(3000);
    let table = problem.table(MaxBins::Exact);
    let cells: Vec<f64> = (0..3000).flat_map(|i| problem.row(i)).collect();
    for way in ways() {
        let tree = way.fit_numbers(&table, &problem.y, &Context::default()).unwrap().model;
        let leaf = |i: usize| tree.leaf(&problem.row(i));
        assert!((0..3000).all(|i| tree.leaf_of(&table, i) == leaf(i)));
        let expected: Vec<f64> = (0..3000).map(|i| tree.value(leaf(i))[0]).collect();
        for engine in [Engine::Nodes, Engine::Codes] {
            let compiled = Compiled::with_engine(std::slice::from_ref(&tree), engine).unwrap().unwrap();
            let mut out = vec![0.0; 3000];
            let x = MatRef::new(&cells, 3000, 4).unwrap();
            compiled.sum(x, MatMut::new(&mut out, 3000, 1).unwrap()).unwrap();
            assert!(out == expected, "{engine:?}");
        }
    }
}

#[test]
fn exact_is_as_many_bins_as_there_are_values() {
    let problem = problem(3000);
    let tree = |bins: MaxBins| {
        DecisionTree::default()
            .fit_numbers(&problem.table(bins), &problem.y, &Context::default())
            .unwrap()
            .model
    };
    let exact = tree(MaxBins::Exact);
    assert_eq!(tree(MaxBins::AtMost(3000)), exact);
    assert_eq!(tree(MaxBins::AtMost(MOST_BINS)), exact);
    assert_ne!(tree(MaxBins::AtMost(2500)), exact);
}

#[test]
fn what_has_too_many_values_is_refused_by_name() {
    let x: Vec<f64> = (0..=MOST_BINS).map(|i| i as f64).collect();
    let table = |x: &[f64], weights: Option<&[f64]>, bins: MaxBins| {
        BinnedTable::of_matrix(MatRef::new(x, x.len(), 1).unwrap(), weights, bins, 0)
    };
    let leaves = |table: &BinnedTable, y: &[f64]| {
        DecisionTree::default().fit_numbers(table, y, &Context::default()).unwrap().model.leaves()
    };
    let told = table(&x, None, MaxBins::Exact).unwrap_err().to_string();
    assert!(told.contains("column \"0\"") && told.contains("65535 different values"), "{told}");
    // One less is accepted, and so are missing values beside them: every number of two bytes is used.
    let most = &x[1..];
    assert_eq!(leaves(&table(most, None, MaxBins::Exact).unwrap(), most), MOST_BINS);
    let mut missing = x.clone();
    missing[7] = f64::NAN;
    assert_eq!(leaves(&table(&missing, None, MaxBins::Exact).unwrap(), &x), MOST_BINS + 1);
    // A row without a weight is not there; and a bin for each value is not needed elsewhere.
    let mut weights = vec![1.0; x.len()];
    weights[9] = 0.0;
    assert!(table(&x, Some(&weights), MaxBins::Exact).is_ok());
    assert_eq!(leaves(&table(&x, None, MaxBins::AtMost(MOST_BINS)).unwrap(), &x), MOST_BINS);
    // So many rows that cuts are taken from a sample otherwise.
    let many: Vec<f64> = (0..210_000).map(|i| f64::from(i % 70_000)).collect();
    assert!(table(&many, None, MaxBins::Exact).unwrap_err().to_string().contains("65535"));
    let few: Vec<f64> = many.iter().map(|x| x % 300.0).collect();
    assert_eq!(leaves(&table(&few, None, MaxBins::Exact).unwrap(), &few), 300);
    for bins in [0, 1, MOST_BINS + 1] {
        let told = table(&few, None, bins.into()).unwrap_err().to_string();
        assert!(told.contains("max_bins") && told.contains("exact") && told.contains("65535"), "{told}");
    }
    // Of a data set the column's own name is told; of categories there may be 254.
    let dataset = |levels: u32| {
        let codes = (0..600).map(|i| i % levels).collect();
        let dictionary = (0..levels).map(|i| format!("level {i:03}")).collect();
        let place = Column::Categorical { codes, dictionary };
        let y = Column::F64((0..600).map(f64::from).collect());
        let z = Column::F64((0..600).map(|i| f64::from(i * 7 % 600)).collect());
        Dataset::new([("z", z), ("place", place), ("y", y)].map(|(name, c)| (name.into(), c)).into()).unwrap()
    };
    let fit = |levels, bins: MaxBins| {
        let (roles, context) = (Roles::target("y"), Context::default());
        TreeModel::fit(&DecisionTree::default(), bins, false, &dataset(levels), &roles, &context)
    };
    let told = fit(255, MaxBins::Exact).unwrap_err().to_string();
    assert!(told.contains("\"place\"") && told.contains("254 categories"), "{told}");
    assert!(fit(256, MaxBins::AtMost(MOST_BINS)).is_ok());
    let model = fit(254, MaxBins::Exact).unwrap();
    let bytes = model.to_bytes().unwrap();
    let same = TreeModel::from_file(&ModelFile::parse(&bytes).unwrap()).unwrap();
    assert_eq!(same.to_bytes().unwrap(), bytes);
}
