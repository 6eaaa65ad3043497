//! Trees against those of scikit-learn, by criterion, with and without weights (script and numbers in `golden/`).

use serde::Deserialize;
use std::collections::BTreeMap;
use tilewise_base::Context;
use tilewise_kernels::MatRef;
use tilewise_tree::{BinnedTable, Criterion, DecisionTree};

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
    leaves: usize,
    predictions: Vec<f64>,
}

/// Both divide the same sums by the same weights, in another order.
const ROUNDING: f64 = 1e-12;

#[test]
fn predictions_are_those_of_scikit_learn() {
    let golden: Golden = serde_json::from_str(include_str!("../../golden/criteria.json")).unwrap();
    let rows = golden.weights.len();
    let x = MatRef::new(&golden.x, rows, 3).unwrap();
    for case in &golden.cases {
        let criterion = match case.criterion.as_str() {
            "gini" => Criterion::Gini,
            "entropy" => Criterion::Entropy,
            "squared_error" => Criterion::Squared,
            "poisson" => Criterion::Poisson,
            other => panic!("{other}"),
        };
        let params =
            DecisionTree { criterion, max_depth: Some(3), min_samples_leaf: 4, ..DecisionTree::default() };
        let weights = case.weighted.then_some(&golden.weights[..]);
        let table = BinnedTable::of_matrix(x, weights, 255, 0).unwrap();
        let (y, context) = (&golden.y[&case.target], Context::default());
        let classes: Vec<u32> = y.iter().map(|&y| y as u32).collect();
        let fit = match case.target.as_str() {
            "classes" => params.fit_classes(&table, &classes, 4, &context),
            "two" => params.fit_classes(&table, &classes, 2, &context),
            _ => params.fit_numbers(&table, y, &context),
        };
        let tree = fit.unwrap().model;
        let what = format!("{} {} {}", case.target, case.criterion, case.weighted);
        assert_eq!(tree.leaves(), case.leaves, "{what}");
        let mut out = vec![0.0; tree.outputs()];
        for (row, expected) in case.predictions.chunks_exact(tree.outputs()).enumerate() {
            // Of a row that did not count, which may lie between two values of those that did, nothing is promised.
            if case.weighted && golden.weights[row] == 0.0 {
                continue;
            }
            tree.predict_row(&golden.x[3 * row..][..3], &mut out);
            for (found, expected) in out.iter().zip(expected) {
                assert!((found - expected).abs() <= ROUNDING * expected.abs().max(1.0), "{what} {row}");
            }
        }
    }
}

#[test]
fn counts_are_not_negative() {
    let table = BinnedTable::of_matrix(MatRef::new(&[0.0, 1.0], 2, 1).unwrap(), None, 255, 0).unwrap();
    let params = DecisionTree { criterion: Criterion::Poisson, ..DecisionTree::default() };
    let error = |y: &[f64]| params.fit_numbers(&table, y, &Context::default()).unwrap_err().to_string();
    assert!(error(&[1.0, -0.5]).contains("row 2") && error(&[1.0, -0.5]).contains("-0.5"));
    assert!(error(&[0.0, 0.0]).contains("0 in every row"));
    assert!(params.fit_classes(&table, &[0, 1], 2, &Context::default()).is_err());
}
