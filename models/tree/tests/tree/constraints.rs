//! Constraints hold exactly, wherever a row lies, and cost nothing where they do not bind.

use proptest::prelude::*;
use tilewise_base::Context;
use tilewise_kernels::MatRef;
use tilewise_tree::{BinnedTable, Criterion, DecisionTree, Growth, MaxFeatures, Splitter, Test, Tree};

const COLUMNS: usize = 3;

fn problem() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    (2_usize..150).prop_flat_map(|rows| {
        let cell = prop_oneof![9 => (-6..7).prop_map(f64::from), 1 => Just(f64::NAN)];
        let answer = (-20..21).prop_map(|y| f64::from(y) / 4.0);
        (prop::collection::vec(cell, rows * COLUMNS), prop::collection::vec(answer, rows))
    })
}

fn growth() -> impl Strategy<Value = Growth> {
    prop::sample::select(vec![Growth::LeafWise, Growth::DepthWise, Growth::Oblivious])
}

fn table(x: &[f64]) -> BinnedTable {
    BinnedTable::of_matrix(MatRef::new(x, x.len() / COLUMNS, COLUMNS).unwrap(), None, 255, 0).unwrap()
}

/// What a tree says along a column, from the left to the right, at the other cells of a row.
fn along(tree: &Tree, row: &[f64], column: usize) -> Vec<f64> {
    let mut out = vec![0.0; tree.outputs()];
    let mut said = Vec::new();
    for step in -16..17 {
        let mut row = row.to_vec();
        row[column] = f64::from(step) / 2.0;
        tree.predict_row(&row, &mut out);
        said.push(out[tree.outputs() - 1]);
    }
    said
}

proptest! {
    #[test]
    fn predictions_never_fall_or_never_rise(
        (x, y) in problem(),
        max_leaves in prop::option::of(2_usize..20),
        random: bool,
        drawn: bool,
        growth in growth(),
    ) {
        let params = DecisionTree {
            monotone: vec![1, -1, 0],
            growth,
            // Levels of nodes double.
            max_depth: (growth == Growth::Oblivious).then_some(6),
            max_leaves,
            splitter: if random { Splitter::Random } else { Splitter::Best },
            max_features: if drawn { MaxFeatures::Count(1) } else { MaxFeatures::All },
            ..DecisionTree::default()
        };
        let medians = DecisionTree { criterion: Criterion::Absolute, ..params.clone() };
        let table = table(&x);
        let classes: Vec<u32> = y.iter().map(|y| u32::from(*y > 0.0)).collect();
        let counts: Vec<f64> = y.iter().map(|y| (y + 5.0).floor()).collect();
        let context = Context::default();
        let mut trees = vec![params.fit_numbers(&table, &y, &context).unwrap().model];
        for criterion in [Criterion::Gini, Criterion::Entropy] {
            let params = DecisionTree { criterion, ..params.clone() };
            trees.push(params.fit_classes(&table, &classes, 2, &context).unwrap().model);
        }
        if counts.iter().any(|&count| count > 0.0) {
            let params = DecisionTree { criterion: Criterion::Poisson, ..params };
            trees.push(params.fit_numbers(&table, &counts, &context).unwrap().model);
        }
        if growth != Growth::Oblivious {
            trees.push(medians.fit_numbers(&table, &y, &context).unwrap().model);
        }
        for tree in trees {
            for row in x.chunks_exact(COLUMNS).take(20) {
                prop_assert!(along(&tree, row, 0).is_sorted());
                prop_assert!(along(&tree, row, 1).is_sorted_by(|a, b| a >= b));
            }
        }
    }

    #[test]
    fn the_columns_of_a_path_are_in_one_group((x, y) in problem(), poisson: bool, random: bool, growth in growth()) {
        let groups = vec![vec![0, 2]];
        let params = DecisionTree {
            interactions: groups,
            growth,
            splitter: if random { Splitter::Random } else { Splitter::Best },
            criterion: if poisson { Criterion::Poisson } else { Criterion::Squared },
            ..DecisionTree::default()
        };
        let y: Vec<f64> = y.iter().map(|y| y + 5.5).collect();
        let tree = params.fit_numbers(&table(&x), &y, &Context::default()).unwrap().model;
        // The columns above each node, a bit each.
        let mut above = vec![0_u8; tree.len()];
        for (place, node) in tree.nodes().enumerate().filter(|(_, node)| node.test.is_some()) {
            let path = above[place] | 1 << node.feature;
            prop_assert!([0b001, 0b100, 0b101, 0b010].contains(&path), "{path:b}");
            above[node.left as usize] = path;
            above[node.right as usize] = path;
        }
    }
}

#[test]
fn constraints_that_do_not_bind_change_nothing() {
    let x: Vec<f64> = (0..300).map(|i| f64::from(i * 7 % 31)).collect();
    let y: Vec<f64> = x.chunks_exact(COLUMNS).map(|row| row[0].powi(2) - row[1]).collect();
    let table = table(&x);
    let grow = |params: DecisionTree| params.fit_numbers(&table, &y, &Context::default()).unwrap().model;
    // Up to two levels no division goes against the signs; an unconstrained column is left as it is.
    let plain = DecisionTree { max_depth: Some(2), ..DecisionTree::default() };
    let free = grow(plain.clone());
    assert_eq!(grow(DecisionTree { monotone: vec![1, 0, 0], ..plain.clone() }), free);
    assert_eq!(grow(DecisionTree { interactions: vec![vec![0, 1, 2]], ..plain.clone() }), free);
    let bound = grow(DecisionTree { monotone: vec![-1, 0, 0], ..plain });
    let first =
        |tree: &Tree| matches!(tree.node(0).test, Some(Test::UpTo(_))).then_some(tree.node(0).feature);
    assert_ne!(bound, free);
    assert!(first(&free) == Some(0) && first(&bound) != Some(0));
}

#[test]
fn what_cannot_be_constrained_is_refused() {
    let (x, y) = ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [0, 1]);
    let table = table(&x);
    let error = |params: DecisionTree, classes: usize| {
        params.fit_classes(&table, &y, classes, &Context::default()).unwrap_err().to_string()
    };
    let monotone = |signs: Vec<i8>| DecisionTree { monotone: signs, ..DecisionTree::default() };
    assert!(error(monotone(vec![1, 0, 0]), 3).contains("3 classes"));
    assert!(error(monotone(vec![1, 0]), 2).contains("features"));
    assert!(error(monotone(vec![2, 0, 0]), 2).contains("1, -1 or 0"));
    let groups = DecisionTree { interactions: vec![vec![0, 3]], ..DecisionTree::default() };
    assert!(error(groups, 2).contains("below 3"));
}
