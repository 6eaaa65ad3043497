//! Categories that training did not see go where the policy says: in every engine, in single walks and in what inputs add.

use proptest::prelude::*;
use tilewise_base::{Context, Unseen};
use tilewise_kernels::{MatMut, MatRef};
use tilewise_tree::{
    BinnedTable, Compiled, DecisionTree, Engine, Feature, Growth, Input, MOST_CATEGORIES, MaxFeatures,
    SHAP_TOLERANCE, Shap, Splitter, Test, Tree,
};

/// The dictionary of both columns of categories; rows have the first of them.
const LEVELS: u32 = 9;
/// The policies.
const ALL: [Unseen; 3] = [Unseen::Missing, Unseen::Majority, Unseen::Error];

/// Two columns of categories of which some are missing, one of numbers, weights and answers.
#[derive(Clone, Debug)]
struct Problem {
    codes: [Vec<u32>; 2],
    numbers: Vec<f64>,
    weights: Vec<f64>,
    y: Vec<u32>,
}

fn problem() -> impl Strategy<Value = Problem> {
    (2_usize..60).prop_flat_map(|rows| {
        // Levels 6 to 8 are never there, and 5 at times.
        let code = || prop::collection::vec(prop_oneof![6 => 0_u32..6, 1 => Just(u32::MAX)], rows);
        let number = prop_oneof![6 => (0..6).prop_map(f64::from), 1 => Just(f64::NAN)];
        let columns = ([code(), code()], prop::collection::vec(number, rows));
        let weight = prop_oneof![4 => Just(1.0), 2 => Just(3.0), 1 => Just(0.0)];
        let weights = prop::collection::vec(weight, rows);
        (columns, weights, prop::collection::vec(0_u32..3, rows)).prop_map(
            |((codes, numbers), mut weights, y)| {
                weights[0] = 1.0;
                Problem { codes, numbers, weights, y }
            },
        )
    })
}

impl Problem {
    fn table(&self, bins: usize) -> BinnedTable {
        let category = |codes| Feature::Categorical { codes, levels: LEVELS as usize };
        let [first, second] = &self.codes;
        let columns = [category(first), Feature::Numeric(&self.numbers), category(second)];
        BinnedTable::new(&columns, Some(&self.weights), bins, 0).unwrap()
    }

    /// Whether a row that counts has a category of a column.
    fn has(&self, column: usize, category: f64) -> bool {
        let codes = &self.codes[column / 2];
        codes.iter().zip(&self.weights).any(|(&code, &weight)| weight > 0.0 && f64::from(code) == category)
    }

    /// Where a row ends by weights of nodes alone, under [`Unseen::Majority`].
    fn walk(&self, tree: &Tree, row: &[f64]) -> usize {
        let mut at = 0;
        loop {
            let node = tree.node(at);
            let (feature, x) = (node.feature as usize, row[node.feature as usize]);
            let left = match (node.test, &tree.inputs()[feature]) {
                (None, _) => return at,
                _ if x.is_nan() => node.missing_left,
                (Some(Test::UpTo(threshold)), _) => x <= threshold,
                (Some(Test::Bins(set)), Input::Category(bins)) if self.has(feature, x) => {
                    let bin = bins.bins()[x as usize];
                    set[usize::from(bin) / 64] >> (bin % 64) & 1 == 1
                }
                _ => {
                    let weight = |child: u32| tree.node(child as usize).weight;
                    weight(node.left) > weight(node.right)
                }
            };
            at = if left { node.left } else { node.right } as usize;
        }
    }
}

/// Rows of all kinds of categories: known, not in training, not in the dictionary, missing.
fn rows() -> Vec<[f64; 3]> {
    let categories = || [-1.0, f64::NAN, 0.0, 1.0, 4.0, 5.0, 6.0, 8.0, 9.0, 1e9, f64::INFINITY];
    let numbers = [0.0, 3.0, f64::NAN];
    let pairs = categories().into_iter().flat_map(|a| categories().map(|b| (a, b)));
    pairs.enumerate().map(|(i, (a, b))| [a, numbers[i % 3], b]).collect()
}

fn grow(params: &DecisionTree, table: &BinnedTable, y: &[u32], learns: usize) -> Tree {
    let numbers: Vec<f64> = y.iter().map(|&y| y.into()).collect();
    let two: Vec<u32> = y.iter().map(|y| y % 2).collect();
    let context = Context::default();
    let fit = match learns {
        1 => params.fit_numbers(table, &numbers, &context),
        2 => params.fit_classes(table, &two, 2, &context),
        _ => params.fit_classes(table, y, 3, &context),
    };
    fit.unwrap().model
}

proptest! {
    #[test]
    fn unseen_categories_go_where_the_policy_says(
        problem in problem(),
        learns in 1_usize..4,
        bins in prop::sample::select(vec![2, 3, 255]),
        (random, depth_wise, oblivious) in any::<(bool, bool, bool)>(),
        max_leaves in prop::option::of(2_usize..12),
        drawn: bool,
    ) {
        let params = DecisionTree {
            splitter: if random { Splitter::Random } else { Splitter::Best },
            max_features: if drawn { MaxFeatures::Count(1) } else { MaxFeatures::All },
            // A level of an oblivious tree has one test, so below the root weights of nodes do not tell.
            max_depth: oblivious.then_some(1),
            growth: match (oblivious, depth_wise) {
                (true, _) => Growth::Oblivious,
                (_, true) => Growth::DepthWise,
                _ => Growth::LeafWise,
            },
            max_leaves,
            ..DecisionTree::default()
        };
        let table = problem.table(bins);
        let trees = ALL.map(|unseen| grow(&DecisionTree { unseen, ..params.clone() }, &table, &problem.y, learns));
        let cells: Vec<f64> = rows().concat();
        let x = MatRef::new(&cells, rows().len(), 3).unwrap();
        for (policy, tree) in ALL.into_iter().zip(&trees) {
            prop_assert!(tree.nodes().eq(trees[0].nodes()));
            let shap = Shap::new(std::slice::from_ref(tree)).unwrap();
            let outputs = tree.outputs();
            let mut said = Vec::new();
            for row in rows() {
                let leaf = tree.leaf(&row);
                let expected = if policy == Unseen::Majority {
                    problem.walk(tree, &row)
                } else {
                    // As if nothing were there.
                    let known = |j: usize| j == 1 || problem.has(j, row[j]);
                    let missing: [f64; 3] = std::array::from_fn(|j| if known(j) { row[j] } else { f64::NAN });
                    problem.walk(tree, &missing)
                };
                prop_assert_eq!(leaf, expected, "{:?} {:?}", policy, row);
                prop_assert_eq!(tree.path(&row).last().copied(), Some(leaf));
                said.extend(tree.value(leaf));
                let mut adds = vec![0.0; 3 * outputs];
                shap.explain_row(&row, &mut adds);
                for (output, value) in tree.value(leaf).iter().enumerate() {
                    let sum = shap.base()[output] + adds.iter().skip(output).step_by(outputs).sum::<f64>();
                    prop_assert!((sum - value).abs() <= 10.0 * SHAP_TOLERANCE, "{} {}", sum, value);
                }
            }
            for engine in [Engine::Nodes, Engine::Codes, Engine::Masks] {
                let Some(compiled) = Compiled::with_engine(std::slice::from_ref(tree), engine).unwrap() else {
                    prop_assert!(engine == Engine::Masks);
                    continue;
                };
                let mut out = vec![0.0; said.len()];
                compiled.sum(x, MatMut::new(&mut out, x.rows(), outputs).unwrap()).unwrap();
                prop_assert_eq!(&out, &said, "{:?} {:?}", policy, engine);
            }
        }
    }

    /// All nodes of a level of an oblivious tree send them the same way.
    #[test]
    fn levels_of_oblivious_trees_agree(problem in problem(), learns in 1_usize..4, random: bool) {
        let params = DecisionTree {
            growth: Growth::Oblivious,
            splitter: if random { Splitter::Random } else { Splitter::Best },
            max_depth: Some(4),
            unseen: Unseen::Majority,
            ..DecisionTree::default()
        };
        let tree = grow(&params, &problem.table(255), &problem.y, learns);
        let mut depths = vec![0; tree.nodes().len()];
        let mut tests: Vec<(u32, Test)> = Vec::new();
        for (at, node) in tree.nodes().enumerate() {
            let Some(test) = node.test else { continue };
            for child in [node.left, node.right] {
                depths[child as usize] = depths[at] + 1;
            }
            // Nodes come before those below them, the left ones first.
            match tests.get(depths[at]) {
                Some(first) => prop_assert_eq!(*first, (node.feature, test)),
                None => tests.push((node.feature, test)),
            }
        }
    }
}

#[test]
fn as_many_categories_as_bins_leave_one_for_the_unseen() {
    // Category c has answer c % 2, the even ones twice the weight; missing values are like the odd ones.
    for missing in [false, true] {
        let levels = 300;
        let mut codes: Vec<u32> = (0..levels).collect();
        let weight = |code: &u32| f64::from((levels - code) * (2 - code % 2));
        let mut weights: Vec<f64> = codes.iter().map(weight).collect();
        let mut y: Vec<f64> = codes.iter().map(|&code| f64::from(code % 2)).collect();
        if missing {
            codes.push(u32::MAX);
            weights.push(1.0);
            y.push(1.0);
        }
        let column = Feature::Categorical { codes: &codes, levels: levels as usize + 1 };
        let table = BinnedTable::new(&[column], Some(&weights), 255, 0).unwrap();
        let params = DecisionTree { max_depth: Some(1), unseen: Unseen::Majority, ..DecisionTree::default() };
        let tree = params.fit_numbers(&table, &y, &Context::default()).unwrap().model;
        let Input::Category(bins) = &tree.inputs()[0] else { panic!("a category") };
        assert_eq!(bins.bins().iter().filter(|&&bin| bin != 255).max(), Some(&(MOST_CATEGORIES as u8 - 1)));
        let leaf = |x: f64| tree.leaf(&[x]);
        // Even ones are heavier.
        assert!(leaf(0.0) != leaf(1.0) && leaf(-1.0) == leaf(0.0) && leaf(300.0) == leaf(0.0));
        assert_eq!(leaf(f64::NAN), leaf(f64::from(missing)));
    }
}
