//! Quantiles against their definition in whole numbers: the weights of all training rows, one by one.

use super::*;
use crate::RandomForest;
use tilewise_base::Context;
use tilewise_kernels::MatRef;
use tilewise_kernels::random::Philox;
use tilewise_tree::{Answers as Target, DecisionTree};

/// Quantiles are multiples of one in so many.
const PARTS: u128 = 20;

/// `rows` rows of two columns, answers with ties, and whole weights.
fn problem(rows: usize, seed: u64) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let random = Philox::new(seed, Philox::purpose("problem"));
    let x: Vec<f64> = (0..2 * rows as u64).map(|i| random.below(i, 12) as f64).collect();
    let y = (0..rows).map(|i| (x[2 * i] + random.below((4 * rows + i) as u64, 5) as f64).floor()).collect();
    let weights = (0..rows).map(|i| random.below((8 * rows + i) as u64, 4) as f64).collect();
    (x, y, weights)
}

/// The number that trees count row `i` by, for every tree.
fn counts(table: &BinnedTable, params: &RandomForest, tree: usize) -> Vec<u128> {
    match params.bootstrap {
        true => Bootstrap::new(table, 0, params.max_samples)
            .unwrap()
            .counts(tree)
            .into_iter()
            .map(u128::from)
            .collect(),
        false => (0..table.rows()).map(|row| table.weight(row) as u128).collect(),
    }
}

/// The quantiles by their definition: each row has the mean over trees of its share of the leaf. All shares are brought to one
/// denominator, so that nothing is rounded.
fn plain(
    table: &BinnedTable,
    x: &[f64],
    y: &[f64],
    params: &RandomForest,
    trees: &[Tree],
    row: &[f64],
) -> Vec<f64> {
    let members: Vec<Vec<u128>> = trees
        .iter()
        .enumerate()
        .map(|(number, tree)| {
            let with = |i: usize| tree.leaf(&x[2 * i..2 * i + 2]) == tree.leaf(row);
            let counts = counts(table, params, number);
            (0..y.len()).map(|i| if with(i) { counts[i] } else { 0 }).collect()
        })
        .collect();
    let sums: Vec<u128> = members.iter().map(|members| members.iter().sum()).collect();
    let common: u128 = sums.iter().product();
    let weight = |i: usize| members.iter().zip(&sums).map(|(of, sum)| of[i] * (common / sum)).sum::<u128>();
    let total = common * trees.len() as u128;
    let reaches = |answer: f64, part: u128| {
        let up_to: u128 = (0..y.len()).filter(|&i| y[i] <= answer).map(weight).sum();
        up_to > 0 && up_to * PARTS >= part * total
    };
    let mut sorted = y.to_vec();
    sorted.sort_by(f64::total_cmp);
    (0..=PARTS).map(|part| *sorted.iter().find(|y| reaches(**y, part)).unwrap()).collect()
}

#[test]
fn they_are_those_of_the_definition() {
    let quantiles: Vec<f64> = (0..=PARTS).map(|part| part as f64 / PARTS as f64).collect();
    for (seed, bootstrap, weighted) in
        [(1, true, false), (2, false, false), (3, true, true), (4, false, true)]
    {
        for least in [1, 4, 15] {
            let (x, y, weights) = problem(48, seed);
            let matrix = MatRef::new(&x, 48, 2).unwrap();
            let table = BinnedTable::of_matrix(matrix, weighted.then_some(&weights[..]), 255, 0).unwrap();
            let tree = DecisionTree {
                min_samples_leaf: if weighted && !bootstrap { 1 } else { least },
                max_leaves: Some(48 / least),
                ..DecisionTree::default()
            };
            let params = RandomForest {
                trees: 6,
                bootstrap,
                quantiles: quantiles.clone(),
                tree,
                ..RandomForest::default()
            };
            let forest = params.fit_numbers(&table, &y, &Context::default()).unwrap().model;
            let mut out = vec![0.0; quantiles.len()];
            for row in x.chunks(2).take(20).chain([&[f64::NAN, 3.0][..], &[99.0, -99.0]]) {
                forest.quantiles(row, &quantiles, &mut out).unwrap();
                assert_eq!(
                    out,
                    plain(&table, &x, &y, &params, forest.trees(), row),
                    "{seed} {least} {row:?}"
                );
            }
        }
    }
}

#[test]
fn a_single_leaf_has_the_quantiles_of_all() {
    let y: Vec<f64> = (0..99).map(|i| f64::from((i * 37) % 99)).collect();
    let table = BinnedTable::of_matrix(MatRef::new(&y, 99, 1).unwrap(), None, 255, 0).unwrap();
    let tree = DecisionTree { max_depth: Some(0), ..DecisionTree::default() };
    let params =
        RandomForest { trees: 3, bootstrap: false, quantiles: vec![0.5], tree, ..RandomForest::default() };
    let forest = params.fit_numbers(&table, &y, &Context::default()).unwrap().model;
    let mut out = [0.0; 3];
    forest.quantiles(&[f64::NAN], &[0.0, 0.5, 1.0], &mut out).unwrap();
    assert_eq!(out, [0.0, 49.0, 98.0]);
}

#[test]
fn looked_up_among_few_or_all_they_have_the_same_bits() {
    let (x, y, _) = problem(4000, 7);
    let y: Vec<f64> = y.iter().zip(0..).map(|(y, i)| y + f64::from(i) * 1e-4).collect();
    let table = BinnedTable::of_matrix(MatRef::new(&x, 4000, 2).unwrap(), None, 255, 0).unwrap();
    let tree = DecisionTree { min_samples_leaf: 7, ..DecisionTree::default() };
    let params = RandomForest { trees: 9, quantiles: vec![0.5], tree, ..RandomForest::default() };
    let forest = params.fit_numbers(&table, &y, &Context::default()).unwrap().model;
    let asked = [0.05, 0.25, 0.5, 0.75, 0.95];
    let answers = forest.answers.as_ref().unwrap();
    let (mut few, mut all) = ([0.0; 5], [0.0; 5]);
    for row in x.chunks(2).take(200) {
        answers.predict(forest.trees(), row, &asked, &mut few);
        // By hand, among all.
        let mut weights = vec![0.0; 4000];
        for (tree, leaves) in forest.trees().iter().zip(&answers.leaves) {
            let rows = leaves.of(tree.leaf(row));
            assert!(rows.len() >= 7);
            rows.iter().for_each(|&row| weights[row as usize] += 1.0 / rows.len() as f64);
        }
        weighted_quantiles(answers.y.iter().copied().zip(weights.iter().copied()), &asked, &mut all);
        assert_eq!(few, all);
    }
}

#[test]
fn whole_weights_are_repeated_rows() {
    let (x, y, weights) = problem(80, 9);
    let copies = |i: usize| std::iter::repeat_n(i, weights[i] as usize);
    let (repeated_x, repeated_y): (Vec<[f64; 2]>, Vec<f64>) =
        (0..80).flat_map(copies).map(|i| ([x[2 * i], x[2 * i + 1]], y[i])).unzip();
    let repeated_x: Vec<f64> = repeated_x.into_iter().flatten().collect();
    for bootstrap in [true, false] {
        let asked = vec![0.1, 0.5, 0.9];
        let params =
            RandomForest { trees: 8, bootstrap, quantiles: asked.clone(), ..RandomForest::default() };
        let fit = |x: &[f64], y: &[f64], weights: Option<&[f64]>| {
            let table = BinnedTable::of_matrix(MatRef::new(x, y.len(), 2).unwrap(), weights, 255, 0).unwrap();
            params.fit(&table, &Target::Numbers(y.to_vec()), &Context::default()).unwrap().model
        };
        let (a, b) = (fit(&x, &y, Some(&weights)), fit(&repeated_x, &repeated_y, None));
        let (mut of_a, mut of_b) = ([0.0; 3], [0.0; 3]);
        for row in x.chunks(2) {
            a.quantiles(row, &asked, &mut of_a).unwrap();
            b.quantiles(row, &asked, &mut of_b).unwrap();
            assert_eq!(of_a, of_b);
        }
    }
}
