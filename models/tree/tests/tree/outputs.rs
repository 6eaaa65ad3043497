//! Trees of several numbers: beside those of scikit-learn (script and numbers in `golden/`), and what they promise.

use serde::Deserialize;
use tilewise_base::{
    Column, Context, Dataset, Model, ModelFile, Roles, Task, explain_dataset, predict_dataset, rounds,
};
use tilewise_kernels::parallel::{self, Scheme};
use tilewise_kernels::random::Philox;
use tilewise_kernels::{MatMut, MatRef};
use tilewise_tree::rounds::{Learned, TreeChunk, TreeTrainer};
use tilewise_tree::{
    Answers, BinnedTable, ClassWeights, Compiled, Criterion, DecisionTree, Feature, Growth, MaxFeatures,
    Shap, Splitter, Tree, TreeModel,
};

#[derive(Deserialize)]
struct Golden {
    x: Vec<Option<f64>>,
    y: Vec<Vec<f64>>,
    weights: Vec<f64>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    max_depth: Option<usize>,
    max_leaf_nodes: Option<usize>,
    min_samples_leaf: usize,
    min_impurity_decrease: f64,
    ccp_alpha: f64,
    weighted: bool,
    leaves: usize,
    predictions: Vec<f64>,
}

fn fit(params: &DecisionTree, table: &BinnedTable, y: &[Vec<f64>]) -> Tree {
    params.fit_outputs(table, y, &Context::default()).unwrap().model
}

fn predict(tree: &Tree, row: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; tree.outputs()];
    tree.predict_row(row, &mut out);
    out
}

/// Both divide the same sums by the same weights, in another order.
const ROUNDING: f64 = 1e-12;

#[test]
fn predictions_are_those_of_scikit_learn() {
    let golden: Golden = serde_json::from_str(include_str!("../../golden/outputs.json")).unwrap();
    let x: Vec<f64> = golden.x.iter().map(|x| x.unwrap_or(f64::NAN)).collect();
    assert_eq!((golden.cases.len(), golden.y.len()), (5, 3));
    for (number, case) in golden.cases.iter().enumerate() {
        let params = DecisionTree {
            max_depth: case.max_depth,
            max_leaves: case.max_leaf_nodes,
            min_samples_leaf: case.min_samples_leaf,
            min_impurity_decrease: case.min_impurity_decrease,
            ccp_alpha: case.ccp_alpha,
            ..DecisionTree::default()
        };
        let weights = case.weighted.then_some(&golden.weights[..]);
        let table =
            BinnedTable::of_matrix(MatRef::new(&x, golden.weights.len(), 3).unwrap(), weights, 255, 0)
                .unwrap();
        let tree = fit(&params, &table, &golden.y);
        assert_eq!(tree.leaves(), case.leaves, "case {number}");
        for (row, expected) in x.chunks_exact(3).zip(case.predictions.chunks_exact(3)) {
            for (said, expected) in predict(&tree, row).iter().zip(expected) {
                assert!(
                    (said - expected).abs() <= ROUNDING * expected.abs().max(1.0),
                    "case {number}: {said} {expected}"
                );
            }
        }
    }
}

/// Numbers, some missing, categories, and three numbers that follow from them.
fn problem(rows: usize) -> (Vec<f64>, Vec<u32>, Vec<Vec<f64>>) {
    let random = Philox::new(3, Philox::purpose("problem"));
    let normal = |i: usize, j: usize| random.normal((8 * i + j) as u64);
    let x: Vec<f64> = (0..rows).map(|i| if i % 9 == 2 { f64::NAN } else { normal(i, 0) }).collect();
    let codes: Vec<u32> = (0..rows).map(|i| (normal(i, 1).abs() * 4.0) as u32).collect();
    let number = |i: usize| if x[i].is_nan() { -2.0 } else { x[i] };
    let y = vec![
        (0..rows).map(|i| number(i) + 0.2 * normal(i, 2)).collect(),
        (0..rows).map(|i| f64::from(codes[i] % 3) - number(i).powi(2) + 0.2 * normal(i, 3)).collect(),
        (0..rows).map(|i| 0.1 * normal(i, 4)).collect(),
    ];
    (x, codes, y)
}

fn binned(x: &[f64], codes: &[u32], weights: Option<&[f64]>) -> BinnedTable {
    BinnedTable::new(&[Feature::Numeric(x), Feature::Categorical { codes, levels: 40 }], weights, 255, 0)
        .unwrap()
}

#[test]
fn any_number_of_threads_and_chunks_grow_the_same_tree() {
    let (x, codes, y) = problem(20_000);
    let table = binned(&x, &codes, None);
    let grow = |scheme: Scheme| {
        let context = Context { scheme, ..Context::default() };
        [
            DecisionTree { max_depth: Some(9), ..DecisionTree::default() },
            DecisionTree { max_leaves: Some(30), ..DecisionTree::default() },
            DecisionTree { max_depth: Some(5), growth: Growth::Oblivious, ..DecisionTree::default() },
            DecisionTree {
                max_features: MaxFeatures::Count(1),
                splitter: Splitter::Random,
                min_samples_leaf: 5,
                ..DecisionTree::default()
            },
        ]
        .map(|params| params.fit_outputs(&table, &y, &context).unwrap().model)
    };
    let one = parallel::with_threads(1, || grow(Scheme::Auto));
    assert!(one[0].leaves() > 200 && one[1].leaves() == 30 && one[3].leaves() > 500);
    for (threads, scheme) in
        [(2, Scheme::Auto), (3, Scheme::Auto), (7, Scheme::Auto), (2, Scheme::Tasks), (2, Scheme::Rows)]
    {
        assert!(parallel::with_threads(threads, || grow(scheme)) == one, "{threads} {scheme:?}");
    }
    let params = DecisionTree { max_depth: Some(9), ..DecisionTree::default() };
    let learned = Learned::new(&params, &table, &Answers::Outputs(y)).unwrap();
    let chunks =
        [0..7000, 7000..7001, 7001..20_000].map(|rows| TreeChunk::new(&table, &learned, rows).unwrap());
    let context = Context::default();
    let mut trainer = TreeTrainer::new(&params, &table, &learned, context.seed).unwrap();
    rounds::run_through_bytes(&mut trainer, &chunks, &context).unwrap();
    assert!(trainer.finish().unwrap() == one[0]);
}

#[test]
fn one_number_is_a_tree_of_numbers_and_twice_the_same_has_its_splits() {
    let (x, codes, y) = problem(800);
    let table = binned(&x, &codes, None);
    let params = DecisionTree { min_samples_leaf: 3, ..DecisionTree::default() };
    let one = params.fit_numbers(&table, &y[1], &Context::default()).unwrap().model;
    assert_eq!(fit(&params, &table, &y[1..2]), one);
    // A number that is the same in all rows takes no part. Categories alone are looked at more closely for several numbers.
    let table = BinnedTable::of_matrix(MatRef::new(&x, 800, 1).unwrap(), None, 255, 0).unwrap();
    let one = params.fit_numbers(&table, &y[1], &Context::default()).unwrap().model;
    for (other, share) in [(y[1].clone(), 1.0), (vec![5.0; 800], 0.5)] {
        let two = fit(&params, &table, &[y[1].clone(), other.clone()]);
        assert_eq!(two.leaves(), one.leaves());
        for x in &x {
            let said = predict(&two, &[*x]);
            assert_eq!(said[0], predict(&one, &[*x])[0]);
            assert_eq!(said[1], if other[0] == 5.0 { 5.0 } else { said[0] });
        }
        // Gains are means over outputs.
        let (a, b) = (two.pruning_path(), one.pruning_path());
        assert!((a[a.len() - 1].alpha - share * b[b.len() - 1].alpha).abs() <= 1e-12 * b[b.len() - 1].alpha);
    }
    // What is measured in larger units decides.
    let thousands: Vec<f64> = y[0].iter().map(|y| 1e6 * y).collect();
    let stump = DecisionTree { max_leaves: Some(2), ..DecisionTree::default() };
    let of_first = stump.fit_numbers(&table, &thousands, &Context::default()).unwrap().model;
    let of_both = fit(&stump, &table, &[y[1].clone(), thousands]);
    assert!(x.iter().all(|x| of_first.leaf(&[*x]) == of_both.leaf(&[*x])));
}

#[test]
fn weights_count_rows() {
    let (x, codes, y) = problem(300);
    let weights: Vec<f64> = (0..300).map(|i| f64::from(i * i % 4)).collect();
    let rows: Vec<usize> = (0..300).flat_map(|row| std::iter::repeat_n(row, weights[row] as usize)).collect();
    let numbers = |from: &[f64]| rows.iter().map(|&row| from[row]).collect::<Vec<f64>>();
    let repeated: Vec<Vec<f64>> = y.iter().map(|y| numbers(y)).collect();
    let repeated_codes: Vec<u32> = rows.iter().map(|&row| codes[row]).collect();
    let params = DecisionTree::default();
    let weighted = fit(&params, &binned(&x, &codes, Some(&weights)), &y);
    let plain = fit(&params, &binned(&numbers(&x), &repeated_codes, None), &repeated);
    assert_eq!((weighted.leaves(), weighted.importances()), (plain.leaves(), plain.importances()));
    for row in rows {
        let cells = [x[row], f64::from(codes[row])];
        assert_eq!(predict(&weighted, &cells), predict(&plain, &cells));
    }
}

#[test]
fn what_reads_trees_reads_these() {
    let (x, codes, y) = problem(400);
    let tree =
        fit(&DecisionTree { max_depth: Some(5), ..DecisionTree::default() }, &binned(&x, &codes, None), &y);
    let cells: Vec<f64> = x.iter().zip(&codes).flat_map(|(x, code)| [*x, f64::from(*code)]).collect();
    let cells = MatRef::new(&cells, 400, 2).unwrap();
    let (mut compiled, mut parts) = (vec![0.0; 400 * 3], vec![0.0; 400 * 9]);
    let trees = std::slice::from_ref(&tree);
    Compiled::new(trees).unwrap().sum(cells, MatMut::new(&mut compiled, 400, 3).unwrap()).unwrap();
    Shap::new(trees).unwrap().explain(cells, MatMut::new(&mut parts, 400, 9).unwrap()).unwrap();
    for row in 0..400 {
        let said = predict(&tree, &[x[row], f64::from(codes[row])]);
        assert_eq!(said, compiled[3 * row..][..3]);
        for (output, said) in said.iter().enumerate() {
            let sum: f64 = parts[9 * row..][..9].iter().skip(output).step_by(3).sum();
            assert!((sum - said).abs() < 1e-9, "{sum} {said}");
        }
    }
}

#[test]
fn what_is_not_accepted_is_told() {
    let (x, codes, y) = problem(50);
    let table = binned(&x, &codes, None);
    let plain = DecisionTree::default();
    let told = |params: &DecisionTree, y: &[Vec<f64>]| {
        params.fit_outputs(&table, y, &Context::default()).unwrap_err().to_string()
    };
    assert!(told(&plain, &[]).contains("no numbers"));
    assert!(told(&plain, &[y[0].clone(), y[1][1..].to_vec()]).contains("49"));
    let mut infinite = y.clone();
    infinite[1][7] = f64::INFINITY;
    let error = told(&plain, &infinite);
    assert!(error.contains("row 8") && error.contains("target 2"), "{error}");
    for criterion in [Criterion::Absolute, Criterion::Poisson, Criterion::Gini] {
        let error = told(&DecisionTree { criterion, ..plain.clone() }, &y);
        assert!(error.contains("several numbers") && error.contains(&criterion.to_string()), "{error}");
    }
    assert!(told(&DecisionTree { monotone: vec![1, 0], ..plain.clone() }, &y).contains("monotone"));
    assert!(told(&DecisionTree { class_weights: ClassWeights::Balanced, ..plain }, &y).contains("balanced"));
}

#[test]
fn a_table_with_several_targets_gives_the_tree_of_their_slices() {
    let random = Philox::new(8, Philox::purpose("table"));
    let draw = |first: u64| (0..200).map(|i| random.normal(first + i)).collect::<Vec<f64>>();
    let (x, w) = (draw(0), draw(200).iter().map(|w| w.abs()).collect::<Vec<f64>>());
    let y: [Vec<f64>; 2] = [x.iter().map(|x| x * x).collect(), x.iter().map(|x| -x).collect()];
    let columns = [("b", &y[1]), ("x", &x), ("w", &w), ("a", &y[0])];
    let columns = columns.map(|(name, values)| (name.to_owned(), Column::F64(values.clone().into())));
    let data = Dataset::new(columns.into()).unwrap();
    let roles = Roles { targets: vec!["a".into(), "b".into()], weight: Some("w".into()), ..Roles::default() };
    let params = DecisionTree { max_depth: Some(4), ..DecisionTree::default() };
    let model = TreeModel::fit(&params, 255, false, &data, &roles, &Context::default()).unwrap();
    let table = BinnedTable::of_matrix(MatRef::new(&x, 200, 1).unwrap(), Some(&w), 255, 0).unwrap();
    assert!(*model.tree() == fit(&params, &table, &y));
    assert_eq!(*model.task(), Task::Outputs { names: vec!["a".into(), "b".into()] });
    let bytes = model.to_bytes().unwrap();
    let same = TreeModel::from_file(&ModelFile::parse(&bytes).unwrap()).unwrap();
    assert!(same.tree() == model.tree() && same.to_bytes().unwrap() == bytes);
    let predictions = predict_dataset(&same, &data, None).unwrap();
    for (row, answer) in predictions.chunks_exact(2).enumerate() {
        assert_eq!(answer, predict(model.tree(), &x[row..=row]));
    }
    // What the columns add sums to what is predicted, for each.
    let added = explain_dataset(&model, &data).unwrap();
    for (added, answer) in added.chunks_exact(4).zip(predictions.chunks_exact(2)) {
        assert!((0..2).all(|output| (added[output] + added[2 + output] - answer[output]).abs() < 1e-12));
    }
    let told = |classify, data: &Dataset| {
        TreeModel::fit(&params, 255, classify, data, &roles, &Context::default()).unwrap_err().to_string()
    };
    assert!(told(true, &data).contains("column \"b\": is a second target, besides \"a\""));
    let mut columns = vec![("b".to_owned(), Column::F64(vec![1.0, f64::NAN].into()))];
    columns.extend(["x", "w", "a"].map(|name| (name.to_owned(), Column::F64(vec![1.0, 2.0].into()))));
    let message = told(false, &Dataset::new(columns).unwrap());
    assert!(message.contains("row 2, column \"b\"") && message.contains("missing"), "{message}");
}
