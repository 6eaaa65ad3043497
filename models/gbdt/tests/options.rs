//! What the options of boosting promise: each against its definition, and all of them the same at any number of threads and when
//! training goes on from where it was.

use std::collections::BTreeSet;
use tilewise_base::Context;
use tilewise_gbdt::{Boosted, Goss, GradientBoosting, Lesson, Loss};
use tilewise_kernels::random::Philox;
use tilewise_kernels::{MatRef, parallel};
use tilewise_tree::{Answers, BinnedTable, DecisionTree, Growth, MaxFeatures, Tree};

const COLUMNS: usize = 8;

/// Normal inputs, some missing, and numbers that all of them decide.
fn problem(rows: usize, seed: u64) -> (Vec<f64>, Vec<f64>) {
    let random = Philox::new(seed, Philox::purpose("problem"));
    let mut x: Vec<f64> = (0..rows * COLUMNS).map(|i| random.normal(i as u64)).collect();
    let of_row = |(i, row): (usize, &[f64])| {
        let noise = 0.3 * random.normal((rows * COLUMNS + i) as u64);
        row.iter().enumerate().map(|(j, x)| x.sin() * (1.0 + j as f64 / 4.0)).sum::<f64>() + noise
    };
    let y = x.chunks_exact(COLUMNS).enumerate().map(of_row).collect();
    x.chunks_exact_mut(COLUMNS).filter(|row| row[5] > 1.0).for_each(|row| row[0] = f64::NAN);
    (x, y)
}

fn binned(x: &[f64]) -> BinnedTable {
    BinnedTable::of_matrix(MatRef::new(x, x.len() / COLUMNS, COLUMNS).unwrap(), None, 255, 0).unwrap()
}

/// Numbers, two and three classes.
fn answers(y: &[f64]) -> [Answers; 3] {
    let two = y.iter().map(|y| u32::from(*y > 0.0)).collect();
    let three = y.iter().map(|y| u32::from(*y > -1.0) + u32::from(*y > 1.5)).collect();
    [
        Answers::Numbers(y.to_vec()),
        Answers::Classes { y: two, classes: 2 },
        Answers::Classes { y: three, classes: 3 },
    ]
}

fn base() -> GradientBoosting {
    let tree = DecisionTree { max_leaves: Some(8), min_samples_leaf: 5, ..DecisionTree::default() };
    GradientBoosting { stages: 6, learning_rate: 0.3, tree, ..GradientBoosting::default() }
}

fn fit(params: &GradientBoosting, table: &BinnedTable, answers: &Answers) -> Boosted {
    params.fit(table, &Lesson::new(answers), &Context::default()).unwrap().model
}

/// Parameters that use an option each, and some that use several.
fn options() -> Vec<(&'static str, GradientBoosting)> {
    let grown = |tree: DecisionTree| GradientBoosting { tree, ..base() };
    let tree = base().tree;
    vec![
        ("columns by tree", grown(DecisionTree { columns_by_tree: 0.5, ..tree.clone() })),
        ("columns by level", grown(DecisionTree { columns_by_level: 0.3, ..tree.clone() })),
        ("goss", GradientBoosting { goss: Some(Goss { top: 0.2, other: 0.1 }), ..base() }),
        (
            "columns by tree, level and node, oblivious",
            grown(DecisionTree {
                columns_by_tree: 0.9,
                columns_by_level: 0.7,
                max_features: MaxFeatures::Count(2),
                growth: Growth::Oblivious,
                ..tree.clone()
            }),
        ),
    ]
}

#[test]
fn any_number_of_threads_and_going_on_give_the_same_bits() {
    let (x, y) = problem(1500, 1);
    let table = binned(&x);
    for (name, params) in options() {
        for answers in &answers(&y) {
            let one = parallel::with_threads(1, || fit(&params, &table, answers));
            assert_ne!(
                one.ensemble(),
                fit(&base(), &table, answers).ensemble(),
                "{name}: it changes nothing"
            );
            for threads in [2, 3, 7] {
                let many = parallel::with_threads(threads, || fit(&params, &table, answers));
                assert_eq!(many, one, "{name}, {threads} threads");
            }
            let few = fit(&GradientBoosting { stages: 3, ..params.clone() }, &table, answers);
            let more =
                params.continue_from(&few, &table, &Lesson::new(answers), &Context::default()).unwrap();
            assert_eq!(more.model, one, "{name}, continued");
        }
    }
}

/// The features of each level that has splits.
fn of_levels(tree: &Tree) -> Vec<BTreeSet<u32>> {
    let mut levels: Vec<BTreeSet<u32>> = Vec::new();
    let mut open = vec![(0, 0)];
    while let Some((at, depth)) = open.pop() {
        let node = tree.node(at);
        if node.test.is_some() {
            levels.resize(levels.len().max(depth + 1), BTreeSet::new());
            levels[depth].insert(node.feature);
            open.extend([(node.left as usize, depth + 1), (node.right as usize, depth + 1)]);
        }
    }
    levels
}

#[test]
fn trees_and_levels_use_the_columns_drawn_for_them() {
    let (x, y) = problem(2000, 2);
    let (table, answers) = (binned(&x), Answers::Numbers(y));
    let grow = |columns_by_tree, columns_by_level, growth| {
        let tree = DecisionTree {
            columns_by_tree,
            columns_by_level,
            growth,
            max_leaves: Some(32),
            min_samples_leaf: 1,
            ..DecisionTree::default()
        };
        let params =
            GradientBoosting { stages: 40, learning_rate: 0.05, tree, ..GradientBoosting::default() };
        fit(&params, &table, &answers).ensemble().trees(0).iter().map(of_levels).collect::<Vec<_>>()
    };
    for growth in [Growth::LeafWise, Growth::DepthWise, Growth::Oblivious] {
        let all = |levels: &Vec<BTreeSet<u32>>| levels.iter().flatten().copied().collect::<BTreeSet<u32>>();
        // Half of 8 columns; of these again half, in each level others.
        let trees = grow(0.5, 1.0, growth);
        assert!(trees.iter().all(|levels| all(levels).len() <= 4));
        assert!(trees.iter().map(all).collect::<BTreeSet<_>>().len() > 10);
        let trees = grow(0.5, 0.5, growth);
        assert!(trees.iter().all(|levels| all(levels).len() <= 4));
        assert!(trees.iter().flatten().all(|level| level.len() <= 2));
        assert!(trees.iter().any(|levels| levels.windows(2).any(|pair| pair[0] != pair[1])));
        // Columns of one draw may all be used, and in the end all are.
        assert_eq!(trees.iter().flat_map(all).collect::<BTreeSet<_>>().len(), COLUMNS);
    }
    let refused = |by_tree, by_level| {
        let tree = DecisionTree { columns_by_tree: by_tree, columns_by_level: by_level, ..base().tree };
        GradientBoosting { tree, ..base() }.check().unwrap_err().to_string()
    };
    assert!(refused(0.0, 1.0).contains("columns_by_tree: 0"));
    assert!(refused(1.0, f64::NAN).contains("columns_by_level: NaN"));
}

/// The mean squared error on other rows of the same kind.
fn error(
    params: &GradientBoosting,
    (x, y): &(Vec<f64>, Vec<f64>),
    (new_x, new_y): &(Vec<f64>, Vec<f64>),
) -> f64 {
    let fitted = fit(params, &binned(x), &Answers::Numbers(y.clone()));
    let squares = new_x.chunks_exact(COLUMNS).zip(new_y).map(|(row, y)| {
        let mut score = [0.0];
        fitted.ensemble().score_row(row, &mut score);
        (score[0] - y).powi(2)
    });
    squares.sum::<f64>() / new_y.len() as f64
}

#[test]
fn goss_that_draws_all_is_none_and_that_of_few_learns_too() {
    let (x, y) = problem(1500, 3);
    let table = binned(&x);
    let goss = |top, other| GradientBoosting { goss: Some(Goss { top, other }), ..base() };
    for answers in &answers(&y) {
        // Every other row is drawn, and stands for itself.
        let whole = fit(&goss(0.5, 0.5), &table, answers);
        assert_eq!(whole.ensemble(), fit(&base(), &table, answers).ensemble());
        // The first 1 / 0.3 stages grow on all rows; then some 450 stand for 1500.
        let some = fit(&goss(0.2, 0.1), &table, answers);
        for score in 0..some.ensemble().scores() {
            let (all, few) = (whole.ensemble().trees(score), some.ensemble().trees(score));
            assert!(few[..3] == all[..3] && few[3] != all[3]);
            for tree in &few[3..] {
                let root = tree.node(0);
                assert!((390..510).contains(&root.rows) && (root.weight - 1500.0).abs() < 450.0, "{root:?}");
            }
        }
    }
    // Medians and Huber's steps count the others for more too.
    for loss in [Loss::Absolute, Loss::Huber { delta: 1.0 }] {
        let params = GradientBoosting { loss, ..goss(0.2, 0.1) };
        let grow = || fit(&params, &table, &Answers::Numbers(y.clone()));
        let one = parallel::with_threads(1, grow);
        assert_eq!(parallel::with_threads(3, grow), one);
    }
    // 40 % of the rows do nearly as well as all, and better than as many at random.
    let (train, test) = (problem(4000, 4), problem(4000, 5));
    let of = |params: GradientBoosting| error(&GradientBoosting { stages: 60, ..params }, &train, &test);
    let (all, drawn) = (of(base()), of(goss(0.2, 0.2)));
    assert!(drawn < 1.25 * all, "{drawn} {all}");
    let refused = |params: GradientBoosting| params.check().unwrap_err().to_string();
    assert!(refused(goss(0.6, 0.5)).contains("goss: 0.6:0.5") && refused(goss(0.0, 0.5)).contains("goss"));
    assert!(refused(GradientBoosting { subsample: 0.5, ..goss(0.2, 0.1) }).contains("subsample: 0.5"));
}
