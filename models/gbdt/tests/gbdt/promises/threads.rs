//! The same model at any number of threads, by every scheme.

use super::problem::Problem;
use tilewise_base::{Column, Context, Model, Roles};
use tilewise_gbdt::{BoostedModel, EarlyStopping, GradientBoosting, Loss};
use tilewise_kernels::parallel::{self, Scheme};
use tilewise_tree::{DecisionTree, Growth, MaxFeatures};

/// More rows than any piece of work has: blocks of sums, pieces of scores and of fixed point, tasks of losses.
const ROWS: usize = 70_000;

#[test]
fn any_number_of_threads_writes_the_same_file() {
    let problem = Problem::new(ROWS, 1);
    let class = |most: f64| {
        let code = |y: &f64| (y + 2.0).clamp(0.0, most) as u32;
        let dictionary = (0..=most as u32).map(|class| format!("class {class}")).collect();
        Column::Categorical { codes: problem.y.iter().map(code).collect(), dictionary }
    };
    let numbers = problem.dataset(Column::F64(problem.y.clone().into()));
    let (two, four) = (problem.dataset(class(1.0)), problem.dataset(class(3.0)));
    let tree = GradientBoosting::default().tree;
    let with = |tree: DecisionTree| GradientBoosting { stages: 3, tree, ..GradientBoosting::default() };
    let monotone = vec![1, 0, 0, 0];
    let cases = [
        (&numbers, with(DecisionTree { max_leaves: Some(63), ..tree.clone() })),
        // Nodes of all sizes, down to those that are copied; drawn columns have no histograms.
        (
            &numbers,
            with(DecisionTree { max_leaves: None, max_depth: Some(9), min_samples_leaf: 1, ..tree.clone() }),
        ),
        (&two, with(DecisionTree { max_features: MaxFeatures::Count(2), ..tree.clone() })),
        (
            &two,
            GradientBoosting {
                subsample: 0.7,
                ..with(DecisionTree { growth: Growth::DepthWise, monotone, ..tree.clone() })
            },
        ),
        (
            &four,
            GradientBoosting {
                early_stopping: Some(EarlyStopping { patience: 2, share: 0.2 }),
                ..with(DecisionTree {
                    growth: Growth::Oblivious,
                    max_depth: Some(5),
                    max_leaves: None,
                    ..tree.clone()
                })
            },
        ),
        (&four, with(tree.clone())),
        (&numbers, GradientBoosting { loss: Loss::Absolute, ..with(tree.clone()) }),
        (&numbers, GradientBoosting { loss: Loss::Huber { delta: 1.0 }, ..with(tree) }),
    ];
    for (number, (data, params)) in cases.iter().enumerate() {
        let classify = !std::ptr::eq(*data, &numbers);
        let bytes = |threads: usize, scheme: Scheme| {
            let context = Context { seed: 4, scheme, ..Context::default() };
            let fit =
                || BoostedModel::fit(params, 255, classify, data, &Roles::target("y"), &context).unwrap();
            parallel::with_threads(threads, fit).to_bytes().unwrap()
        };
        let one = bytes(1, Scheme::Auto);
        for threads in [1, 2, 3, 7] {
            for scheme in [Scheme::Auto, Scheme::Tasks, Scheme::Rows] {
                assert!(bytes(threads, scheme) == one, "case {number}, {threads} threads, {scheme:?}");
            }
        }
    }
}
