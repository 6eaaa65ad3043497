//! Constraints hold for every prediction, not nearly.

use super::problem::Problem;
use proptest::prelude::*;
use tilewise_base::Context;
use tilewise_gbdt::{Ensemble, GradientBoosting, Lesson, Loss};
use tilewise_tree::{DecisionTree, Growth, Penalty, Tree};

const LOSSES: [Loss; 9] = [
    Loss::Squared,
    Loss::Absolute,
    Loss::Huber { delta: 0.7 },
    Loss::Quantile { quantile: 0.9 },
    Loss::Logistic,
    Loss::Poisson,
    Loss::Gamma,
    Loss::Tweedie { power: 1.3 },
    Loss::LambdaRank { truncation: 5 },
];

fn fitted(params: &GradientBoosting, problem: &Problem) -> Ensemble {
    let answers = problem.answers(params.loss);
    let groups: Vec<_> =
        (0..problem.rows()).step_by(20).map(|start| start..problem.rows().min(start + 20)).collect();
    let lesson = Lesson { groups: Some(&groups), ..Lesson::new(&answers) };
    params.fit(&problem.table(None), &lesson, &Context::default()).unwrap().model.ensemble().clone()
}

fn growth() -> impl Strategy<Value = Growth> {
    prop::sample::select(vec![Growth::LeafWise, Growth::DepthWise, Growth::Oblivious])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn predictions_never_turn_back(
        seed in 0_u64..1000,
        loss in prop::sample::select(LOSSES.to_vec()),
        growth in growth(),
        signs in prop::sample::select(vec![[1, 0, -1, 0], [-1, 1, 0, 0], [1, 1, 1, 0]]),
        l1 in prop::sample::select(vec![0.0, 0.5]),
        min_samples_leaf in prop::sample::select(vec![1, 5]),
    ) {
        let problem = Problem::new(300, seed);
        let tree = DecisionTree {
            growth,
            max_leaves: Some(24),
            min_samples_leaf,
            monotone: signs.to_vec(),
            ..DecisionTree::default()
        };
        let penalty = Penalty { l1, ..Penalty::default() };
        let params = GradientBoosting { loss, stages: 12, learning_rate: 0.3, penalty, tree, ..GradientBoosting::default() };
        let ensemble = fitted(&params, &problem);
        let mut divided = false;
        for row in (0..60).map(|row| problem.row(row)) {
            for (feature, sign) in signs.into_iter().enumerate().filter(|(_, sign)| *sign != 0) {
                let mut before = f64::NEG_INFINITY;
                let mut values = problem.columns[feature].clone();
                values.retain(|x| !x.is_nan());
                values.sort_by(f64::total_cmp);
                if sign < 0 {
                    values.reverse();
                }
                for x in values {
                    let mut cells = row;
                    cells[feature] = x;
                    let mut score = [0.0];
                    ensemble.score_row(&cells, &mut score);
                    prop_assert!(score[0] >= before, "{loss}: column {feature} at {x}: {} after {before}", score[0]);
                    divided |= before.is_finite() && score[0] > before;
                    before = score[0];
                }
            }
        }
        prop_assert!(divided, "no split was tried");
    }

    #[test]
    fn features_of_a_path_are_of_one_group(
        seed in 0_u64..1000,
        growth in growth(),
        groups in prop::sample::select(vec![vec![vec![0, 1]], vec![vec![0, 3], vec![1, 2]], vec![vec![0, 1, 2], vec![2, 3]]]),
        loss in prop::sample::select(vec![Loss::Squared, Loss::Softmax]),
    ) {
        let problem = Problem::new(400, seed);
        let tree = DecisionTree { growth, max_leaves: Some(16), interactions: groups.clone(), ..DecisionTree::default() };
        let params = GradientBoosting { loss, stages: 6, tree, ..GradientBoosting::default() };
        let ensemble = fitted(&params, &problem);
        let mut most = 0;
        for tree in (0..ensemble.scores()).flat_map(|score| ensemble.trees(score)) {
            for path in paths(tree) {
                let in_group = groups.iter().any(|group| path.iter().all(|feature| group.contains(feature)));
                prop_assert!(path.len() < 2 || in_group, "{path:?}");
                most = most.max(path.len());
            }
        }
        prop_assert!(most > 1, "no two columns met");
    }
}

/// The features of the way to each leaf.
fn paths(tree: &Tree) -> Vec<Vec<u32>> {
    let (mut next, mut all) = (vec![(0, Vec::new())], Vec::new());
    while let Some((at, mut features)) = next.pop() {
        let node = tree.node(at);
        if node.test.is_none() {
            all.push(features);
            continue;
        }
        if !features.contains(&node.feature) {
            features.push(node.feature);
        }
        next.extend([(node.left as usize, features.clone()), (node.right as usize, features)]);
    }
    all
}

/// Where the probability of one class of several rises, it is not known which score does.
#[test]
fn several_classes_are_not_constrained() {
    let problem = Problem::new(50, 1);
    let tree = DecisionTree { monotone: vec![1, 0, 0, 0], ..DecisionTree::default() };
    let params = GradientBoosting { loss: Loss::Softmax, tree, ..GradientBoosting::default() };
    let answers = problem.classes(3);
    let error = params
        .fit(&problem.table(None), &Lesson::new(&answers), &Context::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("monotone") && error.contains("softmax"), "{error}");
}
