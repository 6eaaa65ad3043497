//! Shapley values: the definition by all sets of inputs, the sum, threads.

use proptest::prelude::*;
use tilewise_base::Context;
use tilewise_kernels::random::Philox;
use tilewise_kernels::{MatMut, MatRef, parallel};
use tilewise_tree::{
    BinnedTable, Criterion, DecisionTree, Feature, Input, MaxFeatures, Node, SHAP_TOLERANCE, Shap, Test, Tree,
};

/// Whether a row passes the test of a node, from what nodes and inputs say of themselves.
fn goes_left(tree: &Tree, node: &Node, row: &[f64]) -> bool {
    let x = row[node.feature as usize];
    match (node.test.unwrap(), &tree.inputs()[node.feature as usize]) {
        _ if x.is_nan() || x < 0.0 && matches!(node.test, Some(Test::Bins(_))) => node.missing_left,
        (Test::UpTo(threshold), _) => x <= threshold,
        (Test::Bins(set), Input::Category(bins)) if bins.bins()[x as usize] != 255 => {
            let bin = usize::from(bins.bins()[x as usize]);
            set[bin / 64] & (1 << (bin % 64)) != 0
        }
        _ => node.missing_left,
    }
}

/// What is predicted when the inputs whose bits are in `known` are known.
fn expectation(tree: &Tree, at: usize, row: &[f64], known: u32, output: usize) -> f64 {
    let node = tree.node(at);
    if node.test.is_none() {
        return tree.value(at)[output];
    }
    let below = |child: u32| expectation(tree, child as usize, row, known, output);
    if known >> node.feature & 1 == 1 {
        return below(if goes_left(tree, &node, row) { node.left } else { node.right });
    }
    let weight = |child: u32| tree.node(child as usize).weight;
    let all = weight(node.left) + weight(node.right);
    (weight(node.left) * below(node.left) + weight(node.right) * below(node.right)) / all
}

fn factorial(n: u32) -> f64 {
    (1..=n).map(f64::from).product()
}

/// The Shapley value of an input (Shapley 1953): the mean over all orders of what it adds when its turn comes.
fn by_definition(tree: &Tree, row: &[f64], input: u32, output: usize) -> f64 {
    let inputs = row.len() as u32;
    (0..1_u32 << inputs)
        .filter(|set| set >> input & 1 == 0)
        .map(|set| {
            let size = set.count_ones();
            let share = factorial(size) * factorial(inputs - size - 1) / factorial(inputs);
            let with = expectation(tree, 0, row, set | 1 << input, output);
            share * (with - expectation(tree, 0, row, set, output))
        })
        .sum()
}

/// Rows of `columns` inputs of which every third is a category, with missing cells; a target that depends on them all.
struct Problem {
    rows: Vec<Vec<f64>>,
    table: BinnedTable,
    y: Vec<f64>,
}

fn problem(seed: u64, rows: usize, columns: usize, weighted: bool) -> Problem {
    let random = Philox::new(seed, Philox::purpose("problem"));
    let is_category = |j: usize| j % 3 == 2;
    let cell = |i: usize, j: usize| {
        let at = (i * columns + j) as u64;
        match random.below(2 * at, 10) {
            0 => f64::NAN,
            _ if is_category(j) => random.below(2 * at + 1, 5) as f64,
            _ => (random.normal(2 * at + 1) * 4.0).round() / 4.0,
        }
    };
    let rows: Vec<Vec<f64>> = (0..rows).map(|i| (0..columns).map(|j| cell(i, j)).collect()).collect();
    let y = rows.iter().map(|row| {
        let number = |j: usize| if row[j].is_nan() { 0.7 } else { row[j] };
        (0..columns).map(|j| number(j) * number((j + 1) % columns)).sum()
    });
    let y: Vec<f64> = y.collect();
    let random = Philox::new(seed, Philox::purpose("weights"));
    let weights: Vec<f64> = (0..rows.len()).map(|i| random.below(i as u64, 5) as f64 / 4.0).collect();
    let codes: Vec<Vec<u32>> = (0..columns)
        .map(|j| rows.iter().map(|row| if row[j].is_nan() { u32::MAX } else { row[j] as u32 }).collect())
        .collect();
    let numbers: Vec<Vec<f64>> = (0..columns).map(|j| rows.iter().map(|row| row[j]).collect()).collect();
    let features: Vec<Feature<'_>> = (0..columns)
        .map(|j| match is_category(j) {
            true => Feature::Categorical { codes: &codes[j], levels: 6 },
            false => Feature::Numeric(&numbers[j]),
        })
        .collect();
    let table = BinnedTable::new(&features, weighted.then_some(&weights[..]), 255, 0).unwrap();
    Problem { rows, table, y }
}

fn tree(problem: &Problem, classify: bool, params: &DecisionTree) -> Tree {
    let context = Context::default();
    if classify {
        let y: Vec<u32> = problem.y.iter().map(|y| u32::from(*y > -1.0) + u32::from(*y > 2.0)).collect();
        return params.fit_classes(&problem.table, &y, 3, &context).unwrap().model;
    }
    params.fit_numbers(&problem.table, &problem.y, &context).unwrap().model
}

/// The largest absolute value of a node.
fn scale(trees: &[Tree]) -> f64 {
    let values = trees.iter().flat_map(|tree| (0..tree.len()).flat_map(|at| tree.value(at)));
    values.fold(0.0, |largest: f64, value| largest.max(value.abs()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn values_are_those_of_the_definition(
        seed in 0_u64..10_000, columns in 2_usize..9, depth in 1_usize..12, classify: bool, weighted: bool,
    ) {
        let problem = problem(seed, 60, columns, weighted);
        let params = DecisionTree { max_depth: Some(depth), ..DecisionTree::default() };
        let trees = [tree(&problem, classify, &params), tree(&problem, classify, &DecisionTree { max_features: MaxFeatures::Count(2), ..params })];
        let shap = Shap::new(&trees).unwrap();
        let outputs = trees[0].outputs();
        let mut values = vec![0.0; columns * outputs];
        let tolerance = SHAP_TOLERANCE * scale(&trees).max(1.0);
        // A row of the data, one of unseen categories and numbers out of range, one where all is missing.
        let strange: Vec<f64> = (0..columns).map(|j| if j % 3 == 2 { [-1.0, 5.0][j / 3 % 2] } else { 1e9 }).collect();
        for row in [&problem.rows[0], &problem.rows[7], &strange, &vec![f64::NAN; columns]] {
            shap.explain_row(row, &mut values);
            for output in 0..outputs {
                let mean = |f: &dyn Fn(&Tree) -> f64| trees.iter().map(f).sum::<f64>() / 2.0;
                let base = mean(&|tree| expectation(tree, 0, row, 0, output));
                prop_assert!((shap.base()[output] - base).abs() <= tolerance);
                for input in 0..columns {
                    let expected = mean(&|tree| by_definition(tree, row, input as u32, output));
                    let value = values[input * outputs + output];
                    prop_assert!((value - expected).abs() <= tolerance, "{input} {output}: {value} {expected}");
                }
            }
        }
    }
}

/// The interaction of two inputs (Lundberg, Erion, Lee 2018): over all sets of others, half of what they add together beyond what each
/// adds.
fn pair_by_definition(tree: &Tree, row: &[f64], i: u32, j: u32, output: usize) -> f64 {
    let inputs = row.len() as u32;
    (0..1_u32 << inputs)
        .filter(|set| set >> i & 1 == 0 && set >> j & 1 == 0)
        .map(|set| {
            let size = set.count_ones();
            let share = factorial(size) * factorial(inputs - size - 2) / (2.0 * factorial(inputs - 1));
            let value = |more: u32| expectation(tree, 0, row, set | more, output);
            share * (value(1 << i | 1 << j) - value(1 << i) - value(1 << j) + value(0))
        })
        .sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn interactions_are_those_of_the_definition(
        seed in 0_u64..10_000, columns in 2_usize..7, depth in 1_usize..10, classify: bool, weighted: bool,
    ) {
        let problem = problem(seed, 60, columns, weighted);
        let params = DecisionTree { max_depth: Some(depth), ..DecisionTree::default() };
        let few = DecisionTree { max_features: MaxFeatures::Count(2), ..params.clone() };
        let trees = [tree(&problem, classify, &params), tree(&problem, classify, &few)];
        let shap = Shap::new(&trees).unwrap();
        let outputs = trees[0].outputs();
        let (mut found, mut values) = (vec![0.0; columns * columns * outputs], vec![0.0; columns * outputs]);
        let tolerance = SHAP_TOLERANCE * scale(&trees).max(1.0);
        let strange: Vec<f64> = (0..columns).map(|j| if j % 3 == 2 { [-1.0, 5.0][j / 3 % 2] } else { 1e9 }).collect();
        for row in [&problem.rows[0], &problem.rows[7], &strange, &vec![f64::NAN; columns]] {
            shap.interactions_row(row, &mut found);
            shap.explain_row(row, &mut values);
            let at = |i: usize, j: usize, output: usize| found[(i * columns + j) * outputs + output];
            for (i, output) in (0..columns).flat_map(|i| (0..outputs).map(move |output| (i, output))) {
                for j in (0..columns).filter(|&j| j != i) {
                    let both = trees.iter().map(|tree| pair_by_definition(tree, row, i as u32, j as u32, output));
                    let expected = both.sum::<f64>() / 2.0;
                    prop_assert!((at(i, j, output) - expected).abs() <= tolerance, "{i} {j}: {} {expected}", at(i, j, output));
                    prop_assert!(at(i, j, output) == at(j, i, output));
                }
                let line: f64 = (0..columns).map(|j| at(i, j, output)).sum();
                prop_assert!((line - values[i * outputs + output]).abs() <= tolerance);
            }
        }
    }
}

#[test]
fn interactions_of_many_inputs_sum_to_the_values_at_any_number_of_threads() {
    let problem = problem(11, 1200, 12, true);
    let trees = [
        tree(&problem, true, &DecisionTree::default()),
        tree(&problem, true, &DecisionTree { max_leaves: Some(9), ..DecisionTree::default() }),
    ];
    let (shap, cells) = (Shap::new(&trees).unwrap(), problem.rows[..40].concat());
    let cells = MatRef::new(&cells, 40, 12).unwrap();
    let width = 12 * 12 * 3;
    let of_all = || {
        let mut out = vec![0.0; 40 * width];
        shap.interactions(cells, MatMut::new(&mut out, 40, width).unwrap()).unwrap();
        out
    };
    let one = parallel::with_threads(1, of_all);
    let bits = |values: &[f64]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert!(bits(&one) == bits(&parallel::with_threads(3, of_all)));
    let mut values = vec![0.0; 12 * 3];
    for (row, found) in problem.rows.iter().zip(one.chunks_exact(width)) {
        shap.explain_row(row, &mut values);
        for (at, value) in values.iter().enumerate() {
            let (i, output) = (at / 3, at % 3);
            let line: f64 = found[i * 36..][..36].iter().skip(output).step_by(3).sum();
            assert!((line - value).abs() <= SHAP_TOLERANCE * scale(&trees), "{line} {value}");
        }
    }
    let mut narrow = vec![0.0; 40];
    let error = shap.interactions(cells, MatMut::new(&mut narrow, 40, 1).unwrap()).unwrap_err().to_string();
    assert!(error.contains("columns of out"), "{error}");
}

#[test]
fn values_sum_to_the_prediction() {
    let problem = problem(3, 4000, 12, true);
    for (classify, params) in [
        (true, DecisionTree { criterion: Criterion::Entropy, ..DecisionTree::default() }),
        (false, DecisionTree::default()),
        (false, DecisionTree { max_leaves: Some(300), ..DecisionTree::default() }),
        (false, DecisionTree { max_leaves: Some(1), ..DecisionTree::default() }),
    ] {
        let trees = [tree(&problem, classify, &params)];
        let (shap, outputs) = (Shap::new(&trees).unwrap(), trees[0].outputs());
        let (mut values, mut answer) = (vec![0.0; 12 * outputs], vec![0.0; outputs]);
        for row in problem.rows.iter().step_by(97) {
            shap.explain_row(row, &mut values);
            trees[0].predict_row(row, &mut answer);
            for (output, answer) in answer.iter().enumerate() {
                let sum = shap.base()[output] + values.iter().skip(output).step_by(outputs).sum::<f64>();
                let off = (sum - answer).abs();
                assert!(off <= SHAP_TOLERANCE * scale(&trees), "{off} {}", scale(&trees));
            }
            assert!(trees[0].leaves() > 1 || values.iter().all(|value| *value == 0.0));
        }
    }
}

#[test]
fn a_deep_chain_keeps_its_digits() {
    // Numbers that double take a level each: one input is tested again and again, the other never.
    let n = 2000;
    let y: Vec<f64> = (0..n).map(|i| 2.0_f64.powi(i / 4)).collect();
    let x: Vec<f64> = (0..n).flat_map(|i| [f64::from(i / 8), 0.0]).collect();
    let view = MatRef::new(&x, n as usize, 2).unwrap();
    let table = BinnedTable::of_matrix(view, None, 255, 0).unwrap();
    let tree = DecisionTree::default().fit_numbers(&table, &y, &Context::default()).unwrap().model;
    assert!(tree.depth() > 20, "{}", tree.depth());
    let shap = Shap::new(std::slice::from_ref(&tree)).unwrap();
    let mut values = [0.0; 2];
    for row in [[0.0, 0.0], [100.0, 0.0], [249.0, 0.0]] {
        shap.explain_row(&row, &mut values);
        let off = (shap.base()[0] + values[0] - tree.value(tree.leaf(&row))[0]).abs();
        assert!(off <= SHAP_TOLERANCE * y[1999] && values[1] == 0.0, "{off:e} {values:?}");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let problem = problem(5, 1500, 7, false);
    let trees = [
        tree(&problem, true, &DecisionTree::default()),
        tree(&problem, true, &DecisionTree { max_depth: Some(4), ..DecisionTree::default() }),
    ];
    let shap = Shap::new(&trees).unwrap();
    let cells = problem.rows.concat();
    let explain = || {
        let mut out = vec![0.0; 1500 * 8 * 3];
        let out_view = MatMut::new(&mut out, 1500, 8 * 3).unwrap();
        shap.explain(MatRef::new(&cells, 1500, 7).unwrap(), out_view).unwrap();
        out.into_iter().map(f64::to_bits).collect::<Vec<_>>()
    };
    let one = parallel::with_threads(1, explain);
    for threads in [2, 3, 7] {
        assert_eq!(parallel::with_threads(threads, explain), one);
    }
    let mut row = [0.0; 7 * 3];
    shap.explain_row(&problem.rows[801], &mut row);
    let base = shap.base().iter();
    let alone: Vec<u64> = base.chain(&row).map(|x| x.to_bits()).collect();
    assert_eq!(one[801 * 24..][..24], alone);
    let mut narrow = [0.0; 3];
    let (cells, out) = (MatRef::new(&cells[..7], 1, 7).unwrap(), MatMut::new(&mut narrow, 1, 3).unwrap());
    assert!(shap.explain(cells, out).unwrap_err().to_string().contains("columns of out"));
}

#[test]
fn a_path_is_the_way_to_the_leaf() {
    let problem = problem(9, 500, 5, false);
    let tree = tree(&problem, false, &DecisionTree::default());
    for row in &problem.rows {
        let path = tree.path(row);
        assert_eq!((path[0], path[path.len() - 1]), (0, tree.leaf(row)));
        for pair in path.windows(2) {
            let node = tree.node(pair[0]);
            let child = if goes_left(&tree, &node, row) { node.left } else { node.right };
            assert_eq!(pair[1], child as usize);
        }
    }
}
