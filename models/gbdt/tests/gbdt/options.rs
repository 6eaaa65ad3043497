//! What the options of boosting promise: each against its definition, and all of them the same at any number of threads and when
//! training goes on from where it was.

use std::collections::BTreeSet;
use tilewise_base::Context;
use tilewise_gbdt::{Boosted, Dart, EarlyStopping, Goss, GradientBoosting, Lesson, Loss};
use tilewise_kernels::random::Philox;
use tilewise_kernels::{MatRef, parallel};
use tilewise_tree::{
    Answers, BinnedTable, ClassWeights, DecisionTree, Feature, Growth, MaxBins, MaxFeatures, Penalty, Tree,
};

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
        ("path smoothing", GradientBoosting { path_smoothing: 20.0, ..base() }),
        ("dart", GradientBoosting { dart: Some(Dart { rate: 0.3, skip: 0.2, most: 3 }), ..base() }),
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
            let more = params.continue_from(&few, &table, &Lesson::new(answers), &Context::default());
            if params.dart.is_some() {
                assert!(more.unwrap_err().to_string().contains("drop_rate"));
            } else {
                assert_eq!(more.unwrap().model, one, "{name}, continued");
            }
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

#[test]
fn dart_adds_up_to_what_its_paper_says() {
    // One row per leaf, without a penalty: each stage moves scores to the answers, from where they are without the dropped stages.
    let x: Vec<f64> = (0..8 * COLUMNS).map(|i| (i / COLUMNS) as f64).collect();
    let y = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0, -6.0];
    let tree = DecisionTree { min_samples_leaf: 1, ..DecisionTree::default() };
    let penalty = Penalty { l2: 0.0, ..Penalty::default() };
    let dart = Dart { rate: 1.0, skip: 0.0, most: 100 };
    let plain = GradientBoosting { learning_rate: 1.0, tree, penalty, ..GradientBoosting::default() };
    let (table, answers) = (binned(&x), Answers::Numbers(y.to_vec()));
    let mean = y.iter().sum::<f64>() / 8.0;
    for stages in 1..6 {
        let fitted = fit(&GradientBoosting { stages, dart: Some(dart), ..plain.clone() }, &table, &answers);
        for (row, y) in x.chunks_exact(COLUMNS).zip(&y) {
            // All earlier stages are dropped, so each grows on the same residuals, and in the end all have equal shares of these.
            for tree in fitted.ensemble().trees(0) {
                let step = tree.numbers(tree.leaf(row)).next().unwrap();
                assert!((step - (y - mean) / stages as f64).abs() < 1e-6, "{stages}: {step} {y}");
            }
        }
    }
    let refused = |dart: Dart, early_stopping| {
        let params = GradientBoosting { dart: Some(dart), early_stopping, ..base() };
        params.check().unwrap_err().to_string()
    };
    let stop = Some(EarlyStopping { patience: 3, share: 0.2 });
    assert!(refused(dart, stop).contains("early_stopping"));
    assert!(refused(Dart { rate: 0.0, ..dart }, None).contains("drop_rate: 0"));
    assert!(refused(Dart { skip: 1.0, ..dart }, None).contains("skip_drop: 1"));
    assert!(refused(Dart { most: 0, ..dart }, None).contains("max_drop: 0"));
}

#[test]
fn dart_that_always_skips_is_none_and_its_report_is_that_of_its_model() {
    let (x, y) = problem(1500, 6);
    let table = binned(&x);
    for answers in &answers(&y) {
        let skips = Dart { skip: 1.0 - 1e-12, ..Dart::default() };
        let none = fit(&GradientBoosting { dart: Some(skips), ..base() }, &table, answers);
        assert_eq!(none.ensemble(), fit(&base(), &table, answers).ensemble());
    }
    // Scores were taken off and put back; what the model predicts in the end is what the loss was told.
    let dart = Some(Dart { rate: 0.5, skip: 0.0, most: 5 });
    let params = GradientBoosting { stages: 40, dart, ..base() };
    let fitted = params.fit(&table, &Lesson::new(&Answers::Numbers(y.clone())), &Context::default()).unwrap();
    let squares = x.chunks_exact(COLUMNS).zip(&y).map(|(row, y)| {
        let mut score = [0.0];
        fitted.model.ensemble().score_row(row, &mut score);
        (score[0] - y).powi(2) / 2.0
    });
    let loss = squares.sum::<f64>() / y.len() as f64;
    assert!((fitted.report.objective / loss - 1.0).abs() < 1e-9, "{} {loss}", fitted.report.objective);
}

#[test]
fn leaves_are_drawn_to_the_nodes_above_them() {
    let (x, y) = problem(600, 7);
    // Whole weights, so that sums are exact.
    let weights: Vec<f64> = (0..600).map(|i| f64::from(i % 3)).collect();
    let matrix = MatRef::new(&x, 600, COLUMNS).unwrap();
    let table = BinnedTable::of_matrix(matrix, Some(&weights), 255, 0).unwrap();
    let answers = Answers::Numbers(y.clone());
    let params = |path_smoothing| GradientBoosting { stages: 1, path_smoothing, ..base() };
    let (plain, drawn) = (fit(&params(0.0), &table, &answers), fit(&params(30.0), &table, &answers));
    let (plain, drawn) = (&plain.ensemble().trees(0)[0], &drawn.ensemble().trees(0)[0]);
    assert!(plain.leaves() == 8 && plain.len() == drawn.len());
    let all = (0..600).fold((0.0, 0.0), |(sum, n), i| (sum + weights[i] * y[i], n + weights[i]));
    let mean = all.0 / all.1;
    // The rows of every node, by going down with each.
    for i in 0..600 {
        let row = &x[i * COLUMNS..][..COLUMNS];
        let leaf = drawn.leaf(row);
        let (mut expected, mut at) = (0.0, 0);
        loop {
            let below = |other: usize| {
                let mut place = plain.leaf(&x[other * COLUMNS..][..COLUMNS]);
                while place != at && place != 0 {
                    place = parent(plain, place);
                }
                place == at
            };
            let (mut residuals, mut n) = (0.0, 0.0);
            for other in (0..600).filter(|&other| below(other)) {
                residuals += weights[other] * (y[other] - mean);
                n += weights[other];
            }
            let step = residuals / (n + 1.0);
            // Above the root there is nothing to draw it to.
            expected = if at == 0 { step } else { (n * step + 30.0 * expected) / (n + 30.0) };
            if at == leaf {
                break;
            }
            let mut next = leaf;
            while parent(plain, next) != at {
                next = parent(plain, next);
            }
            at = next;
        }
        let found = drawn.numbers(leaf).next().unwrap();
        assert!((found - 0.3 * expected).abs() < 1e-5, "{found} {expected}");
    }
    // Monotone constraints hold all the same.
    let tree = DecisionTree { monotone: vec![1; COLUMNS], ..base().tree };
    let risen = fit(&GradientBoosting { stages: 20, tree, ..params(30.0) }, &table, &answers);
    for row in x.chunks_exact(COLUMNS) {
        for input in 0..COLUMNS {
            let mut last = f64::NEG_INFINITY;
            for step in -20..20 {
                let (mut row, mut score) = (row.to_vec(), [0.0]);
                row[input] = f64::from(step) / 8.0;
                risen.ensemble().score_row(&row, &mut score);
                assert!(score[0] >= last, "{row:?}: {} after {last}", score[0]);
                last = score[0];
            }
        }
    }
    assert!(params(-1.0).check().unwrap_err().to_string().contains("path_smoothing: -1"));
}

fn parent(tree: &Tree, node: usize) -> usize {
    let is_above = |at: &usize| {
        let above = tree.node(*at);
        above.test.is_some() && (above.left as usize == node || above.right as usize == node)
    };
    (0..tree.len()).find(is_above).unwrap()
}

#[test]
fn balanced_classes_count_the_same() {
    // Classes of 400, 100 and 100 rows: factors 1/2, 2 and 2, which are exact.
    let (x, _) = problem(600, 8);
    let mut order: Vec<usize> = (0..600).collect();
    order.sort_by(|&a, &b| x[a * COLUMNS + 2].total_cmp(&x[b * COLUMNS + 2]));
    let mut classes = vec![0; 600];
    order
        .iter()
        .enumerate()
        .for_each(|(place, &row)| classes[row] = u32::from(place >= 400) + u32::from(place >= 500));
    let tree = DecisionTree { class_weights: ClassWeights::Balanced, ..base().tree };
    let balanced = GradientBoosting { tree, ..base() };
    let matrix = MatRef::new(&x, 600, COLUMNS).unwrap();
    for stop in [None, Some(EarlyStopping { patience: 2, share: 0.3 })] {
        let weights: Vec<f64> = classes.iter().map(|&class| if class == 0 { 0.5 } else { 2.0 }).collect();
        let answers = Answers::Classes { y: classes.clone(), classes: 3 };
        let of = |params: &GradientBoosting, weights: Option<&[f64]>| {
            // Bins that do not depend on weights.
            let table = BinnedTable::of_matrix(matrix, weights, MaxBins::Exact, 0).unwrap();
            let params = GradientBoosting { early_stopping: stop, ..params.clone() };
            let fitted = params.fit(&table, &Lesson::new(&answers), &Context::default()).unwrap();
            let mut scores = vec![0.0; 600 * 3];
            for (row, out) in x.chunks_exact(COLUMNS).zip(scores.chunks_exact_mut(3)) {
                fitted.model.ensemble().score_row(row, out);
            }
            (scores, fitted.model.validation().to_vec(), fitted.report.stopped)
        };
        let expected = of(&base(), Some(&weights));
        assert!(parallel::with_threads(3, || of(&balanced, None)) == expected);
        assert!(of(&balanced, None) == expected && of(&base(), None) != expected);
        // Weights of rows are multiplied: those that make classes equal stay what they are.
        assert!(of(&balanced, Some(&weights)) == expected);
    }
    let table = binned(&x);
    let numbers = Answers::Numbers(vec![1.0; 600]);
    let refused = balanced.fit(&table, &Lesson::new(&numbers), &Context::default()).unwrap_err().to_string();
    assert!(refused.contains("class_weight: balanced"), "{refused}");
    let odd = Answers::Classes { y: vec![7; 600], classes: 3 };
    let refused = balanced.fit(&table, &Lesson::new(&odd), &Context::default()).unwrap_err().to_string();
    assert!(refused.contains("class 7"), "{refused}");
}

/// Sixty categories of 12 rows each; of every second one most are of the second class. Second derivatives of these rows are 3 and less.
#[test]
fn categories_of_few_rows_tell_classes_also_where_one_is_rare() {
    for (others, [often, seldom]) in [(0, [11, 1]), (20_000, [6, 0])] {
        let of_sixty = (0..720).map(|i| (i % 60, i / 60 < if i % 2 == 0 { often } else { seldom }));
        let rows: Vec<(u32, bool)> = of_sixty.chain((0..others).map(|_| (60, false))).collect();
        let codes: Vec<u32> = rows.iter().map(|(code, _)| *code).collect();
        let y = rows.iter().map(|(_, second)| u32::from(*second)).collect();
        let answers = Answers::Classes { y, classes: 2 };
        let levels = if others > 0 { 61 } else { 60 };
        let table =
            BinnedTable::new(&[Feature::Categorical { codes: &codes, levels }], None, 255, 0).unwrap();
        for growth in [Growth::LeafWise, Growth::Oblivious] {
            let tree = DecisionTree { growth, max_depth: Some(3), ..base().tree };
            // One stage: where one class is rare the first steps of Newton's are far too long.
            let boosted = fit(&GradientBoosting { tree, stages: 1, ..base() }, &table, &answers);
            let score = |code: u32| {
                let mut score = [0.0];
                boosted.ensemble().score_row(&[f64::from(code)], &mut score);
                score[0]
            };
            let least = (0..60).step_by(2).map(score).fold(f64::INFINITY, f64::min);
            let most = (1..60).step_by(2).map(score).fold(f64::NEG_INFINITY, f64::max);
            assert!(least > most + 0.5, "{others} {growth:?}: {least} {most}");
        }
    }
}
