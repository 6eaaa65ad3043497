//! Pruning: scikit-learn's path (`golden/pruning.py` made it), and the definition by trying every pruning.

use proptest::prelude::*;
use serde_json::Value;
use tilewise_base::Context;
use tilewise_kernels::MatRef;
use tilewise_kernels::random::Philox;
use tilewise_tree::{BinnedTable, Criterion, DecisionTree, Pruning, Tree};

/// Of alphas and impurities against scikit-learn's, relative to the largest: both are sums of at most 160 terms.
const TOLERANCE: f64 = 1e-9;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// The impurity of the root, in the units of ours, and the tree.
fn grown(case: &Value, columns: usize) -> (f64, Tree) {
    let (x, y) = (numbers(&case["x"]), numbers(&case["y"]));
    let weights = case["weights"].is_array().then(|| numbers(&case["weights"]));
    let limit = |name: &str| case["limits"][name].as_u64().map(|n| n as usize);
    let criterion = match case["criterion"].as_str().unwrap() {
        "gini" => Criterion::Gini,
        "entropy" => Criterion::Entropy,
        _ => Criterion::Squared,
    };
    let params = DecisionTree {
        criterion,
        max_depth: limit("max_depth"),
        max_leaves: limit("max_leaf_nodes"),
        min_samples_leaf: limit("min_samples_leaf").unwrap_or(1),
        ..DecisionTree::default()
    };
    let view = MatRef::new(&x, y.len(), columns).unwrap();
    let table = BinnedTable::of_matrix(view, weights.as_deref(), 255, 0).unwrap();
    if criterion == Criterion::Squared {
        let weights = weights.unwrap_or(vec![1.0; y.len()]);
        let all: f64 = weights.iter().sum();
        let mean = y.iter().zip(&weights).map(|(y, w)| w * y).sum::<f64>() / all;
        let variance = y.iter().zip(&weights).map(|(y, w)| w * (y - mean).powi(2)).sum::<f64>() / all;
        return (variance, params.fit_numbers(&table, &y, &Context::default()).unwrap().model);
    }
    let classes: Vec<u32> = y.iter().map(|y| *y as u32).collect();
    let tree = params.fit_classes(&table, &classes, 3, &Context::default()).unwrap().model;
    let of_share = |p: &f64| if criterion == Criterion::Gini { p * (1.0 - p) } else { -p * p.ln() };
    (tree.value(0).iter().map(of_share).sum(), tree)
}

#[test]
fn the_path_is_scikit_learns() {
    let golden: Value = serde_json::from_str(include_str!("../golden/pruning.json")).unwrap();
    let columns = golden["columns"].as_u64().unwrap() as usize;
    for case in golden["cases"].as_array().unwrap() {
        let (name, (root, tree)) = (&case["name"], grown(case, columns));
        // Theirs is in bits.
        let unit = if case["criterion"] == "entropy" { std::f64::consts::LN_2 } else { 1.0 };
        let (alphas, impurities) = (numbers(&case["alphas"]), numbers(&case["impurities"]));
        let close = |a: f64, b: f64| (a - b * unit).abs() <= TOLERANCE * root;
        // They cut ties one by one, we all at once: of theirs the last counts.
        let theirs: Vec<usize> = (0..alphas.len())
            .filter(|&i| i + 1 == alphas.len() || (alphas[i + 1] - alphas[i]).abs() > 1e-12 * root)
            .collect();
        let mut path = tree.pruning_path();
        path.dedup_by(|next, last| {
            let tie = next.alpha - last.alpha <= 1e-12 * root;
            *last = if tie { *next } else { *last };
            tie
        });
        assert_eq!(path.len(), theirs.len(), "{name}");
        assert!(path.len() > 8, "{name} tests little");
        let gains: f64 = tree.nodes().map(|node| node.gain).sum();
        let leaves = root - gains / tree.node(0).weight;
        for (step, &i) in path.iter().zip(&theirs) {
            assert!(close(step.alpha, alphas[i]), "{name}: {step:?}, {}", alphas[i]);
            assert!(close(leaves + step.increase, impurities[i]), "{name}: {step:?}, {}", impurities[i]);
        }
        for (i, count) in numbers(&case["leaves_between"]).into_iter().enumerate() {
            let between = (alphas[i] + alphas[i + 1]) / 2.0;
            if alphas[i + 1] - alphas[i] > 1e-12 * root {
                assert_eq!(tree.pruned(between * unit).leaves(), count as usize, "{name}: {between}");
            }
        }
    }
}

fn small(seed: u64, leaves: usize, classify: bool) -> Tree {
    let random = Philox::new(seed, Philox::purpose("problem"));
    let x: Vec<f64> = (0..80).map(|i| random.below(i, 9) as f64).collect();
    let table = BinnedTable::of_matrix(MatRef::new(&x, 40, 2).unwrap(), None, 255, 0).unwrap();
    let params = DecisionTree { max_leaves: Some(leaves), ..DecisionTree::default() };
    let class = |i: u64| random.below(100 + i, 3) as u32;
    let context = Context::default();
    if classify {
        let y: Vec<u32> = (0..40).map(class).collect();
        params.fit_classes(&table, &y, 3, &context).unwrap().model
    } else {
        let y: Vec<f64> = (0..40).map(|i| f64::from(class(i))).collect();
        params.fit_numbers(&table, &y, &context).unwrap().model
    }
}

/// Every way to prune the branch at `node`: the gains that are kept, and leaves.
fn prunings(tree: &Tree, node: usize) -> Vec<(f64, usize)> {
    let here = tree.node(node);
    let mut all = vec![(0.0, 1)];
    if here.test.is_some() {
        let right = prunings(tree, here.right as usize);
        for (a, m) in prunings(tree, here.left as usize) {
            all.extend(right.iter().map(|(b, n)| (here.gain + a + b, m + n)));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_pruned_tree_is_the_smallest_of_the_best(seed in 0_u64..10_000, leaves in 1_usize..9, classify: bool) {
        let tree = small(seed, leaves, classify);
        let weight = tree.node(0).weight;
        let all: f64 = tree.nodes().map(|node| node.gain).sum();
        let path = tree.pruning_path();
        prop_assert_eq!(path[0].alpha, 0.0);
        let root = Pruning { alpha: path[path.len() - 1].alpha, leaves: 1, increase: all / weight };
        prop_assert_eq!(path[path.len() - 1].leaves, 1);
        prop_assert!((path[path.len() - 1].increase - root.increase).abs() <= 1e-12);
        let every = prunings(&tree, 0);
        for (i, step) in path.iter().enumerate() {
            if let Some(next) = path.get(i + 1) {
                prop_assert!(next.alpha > step.alpha && next.leaves < step.leaves && next.increase >= step.increase);
            }
            // The price at the step, and half way to the next.
            let next = path.get(i + 1).map_or(2.0 * step.alpha + 1.0, |next| next.alpha);
            for alpha in [step.alpha, (step.alpha + next) / 2.0] {
                let pruned = tree.pruned(alpha);
                prop_assert_eq!(pruned.leaves(), step.leaves);
                let cost = |gain: f64, leaves: usize| (all - gain) / weight + alpha * leaves as f64;
                let kept: f64 = pruned.nodes().map(|node| node.gain).sum();
                let least = every.iter().map(|(gain, leaves)| cost(*gain, *leaves)).fold(f64::INFINITY, f64::min);
                prop_assert!(cost(kept, step.leaves) <= least + 1e-12);
                // Of equal ones it is the smallest.
                let smallest = every.iter().filter(|(gain, leaves)| cost(*gain, *leaves) <= least + 1e-12);
                prop_assert!(smallest.map(|(_, leaves)| *leaves).min() == Some(step.leaves));
                prop_assert!((all - kept - step.increase * weight).abs() <= 1e-10);
            }
        }
        prop_assert_eq!(tree.pruned(-1.0), tree.clone());
        prop_assert_eq!(tree.pruned(f64::NAN), tree);
    }

    #[test]
    fn rows_below_a_cut_are_answered_by_the_node_that_was_there(seed in 0_u64..1000, alpha in 0.0..0.1) {
        let tree = small(seed, 30, true);
        let pruned = tree.pruned(alpha);
        // As grown with the price, and as found again by the same questions.
        let (mut both, mut leaves) = (vec![(0, 0)], 0);
        while let Some((old, new)) = both.pop() {
            let (before, after) = (tree.node(old), pruned.node(new));
            prop_assert_eq!((before.rows, before.weight), (after.rows, after.weight));
            prop_assert_eq!(tree.value(old), pruned.value(new));
            if after.test.is_some() {
                prop_assert_eq!((before.feature, before.test, before.missing_left, before.gain), (after.feature, after.test, after.missing_left, after.gain));
                prop_assert!(after.left as usize == new + 1 && after.right > after.left);
                both.push((before.left as usize, after.left as usize));
                both.push((before.right as usize, after.right as usize));
            } else {
                leaves += 1;
                prop_assert_eq!((after.left as usize, after.right as usize, after.gain), (new, new, 0.0));
            }
        }
        prop_assert_eq!(leaves, pruned.leaves());
        prop_assert_eq!(pruned.len(), 2 * leaves - 1);
    }
}

#[test]
fn growing_with_a_price_is_growing_and_pruning() {
    let x: Vec<f64> = (0..200).map(f64::from).collect();
    let random = Philox::new(5, Philox::purpose("noise"));
    let y: Vec<f64> = x.iter().map(|x| (x / 30.0).sin() + 0.3 * random.normal(*x as u64)).collect();
    let table = BinnedTable::of_matrix(MatRef::new(&x, 200, 1).unwrap(), None, 255, 0).unwrap();
    let context = Context::default();
    let whole = DecisionTree::default().fit_numbers(&table, &y, &context).unwrap().model;
    for ccp_alpha in [0.0, 0.001, 0.01, 10.0] {
        let params = DecisionTree { ccp_alpha, ..DecisionTree::default() };
        let fit = params.fit_numbers(&table, &y, &context).unwrap();
        let expected = if ccp_alpha == 0.0 { whole.clone() } else { whole.pruned(ccp_alpha) };
        assert_eq!(fit.model, expected);
        assert!(fit.report.stopped.contains(&format!("{} leaves", expected.leaves())));
    }
    assert!((2..100).contains(&whole.pruned(0.01).leaves()) && whole.pruned(10.0).leaves() == 1);
    for ccp_alpha in [-0.1, f64::NAN, f64::INFINITY] {
        let told = DecisionTree { ccp_alpha, ..DecisionTree::default() }.fit_numbers(&table, &y, &context);
        assert!(told.unwrap_err().to_string().contains("ccp_alpha"));
    }
}
