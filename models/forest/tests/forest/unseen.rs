//! Categories that training did not see in isolation forests and in forests of every kind, against walks by the weights of nodes.

use proptest::prelude::*;
use tilewise_base::{Context, Unseen};
use tilewise_forest::{IsolationForest, RandomForest};
use tilewise_tree::{BinnedTable, DecisionTree, Feature, Splitter, Test, Tree};

/// Where a row of one category ends that is unseen, by the weights of nodes.
fn walk(tree: &Tree) -> usize {
    let mut at = 0;
    loop {
        let node = tree.node(at);
        let weight = |child: u32| tree.node(child as usize).weight;
        match node.test {
            None => return at,
            Some(Test::UpTo(_)) => panic!("a test of a number"),
            Some(Test::Bins(_)) if weight(node.left) > weight(node.right) => at = node.left as usize,
            Some(Test::Bins(_)) => at = node.right as usize,
        }
    }
}

/// Unseen categories: of the dictionary, beyond it, and of none.
const STRANGE: [f64; 3] = [7.0, 8.0, -1.0];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn unseen_categories_go_with_the_majority_or_count_as_missing(
        (codes, y) in (2_usize..80).prop_flat_map(|rows| {
            let code = prop_oneof![6 => 0_u32..7, 1 => Just(u32::MAX)];
            (prop::collection::vec(code, rows), prop::collection::vec((0..9).prop_map(f64::from), rows))
        }),
        random: bool,
        seed: u64,
    ) {
        let context = Context { seed, ..Context::default() };
        let column = [Feature::Categorical { codes: &codes, levels: 8 }];
        let table = BinnedTable::new(&column, None, 255, 0).unwrap();
        for unseen in [Unseen::Missing, Unseen::Majority, Unseen::Error] {
            let isolation = IsolationForest { trees: 5, subsample: 40, unseen, ..IsolationForest::default() };
            let isolation = isolation.fit(&column, None, &context).unwrap().model;
            let splitter = if random { Splitter::Random } else { Splitter::Best };
            let tree = DecisionTree { unseen, splitter, ..DecisionTree::default() };
            let params = RandomForest { trees: 5, quantiles: vec![0.5], tree, ..RandomForest::default() };
            let forest = params.fit_numbers(&table, &y, &context).unwrap().model;
            for tree in isolation.trees().iter().chain(forest.trees()) {
                for x in STRANGE {
                    let expected = if unseen == Unseen::Majority { walk(tree) } else { tree.leaf(&[f64::NAN]) };
                    prop_assert_eq!(tree.leaf(&[x]), expected, "{:?} {}", unseen, x);
                }
            }
            // What is told of rows is told by the leaves.
            let median = |x: f64| {
                let mut out = [0.0];
                forest.quantiles(&[x], &[0.5], &mut out).map(|()| out[0])
            };
            for x in STRANGE {
                prop_assert_eq!(isolation.score(&[x]), isolation.score(&[STRANGE[0]]));
                prop_assert_eq!(median(x).unwrap(), median(STRANGE[0]).unwrap());
            }
        }
    }
}
