//! What a forest promises: the same at any number of threads, one tree that is the decision tree, weights that repeat rows,
//! an honest judgement by the rows it did not see, and what was grown when it is stopped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex};
use tilewise_base::{Column, Context, Dataset, Model, ModelFile, Progress, Roles, predict_dataset};
use tilewise_forest::{Forest, ForestModel, MaxSamples, RandomForest};
use tilewise_kernels::random::Philox;
use tilewise_kernels::{MatMut, MatRef, parallel};
use tilewise_tree::{Answers, BinnedTable, Criterion, DecisionTree, MaxBins, MaxFeatures};

const COLUMNS: usize = 6;

/// Normal inputs, some missing, classes and numbers that two of them decide.
fn problem(rows: usize, seed: u64) -> (Vec<f64>, Vec<u32>, Vec<f64>) {
    let random = Philox::new(seed, Philox::purpose("problem"));
    let mut x: Vec<f64> = (0..rows * COLUMNS).map(|i| random.normal(i as u64)).collect();
    let noise = |i: usize| 0.5 * random.normal((rows * COLUMNS + i) as u64);
    let y: Vec<f64> =
        x.chunks_exact(COLUMNS).enumerate().map(|(i, row)| row[0] - row[3] + noise(i)).collect();
    x.chunks_exact_mut(COLUMNS).for_each(|row| {
        if row[5] > 1.0 {
            row[0] = f64::NAN
        }
    });
    let classes = y.iter().map(|y| u32::from(*y > -0.5) + u32::from(*y > 0.8)).collect();
    (x, classes, y)
}

fn binned(x: &[f64], weights: Option<&[f64]>) -> BinnedTable {
    BinnedTable::of_matrix(MatRef::new(x, x.len() / COLUMNS, COLUMNS).unwrap(), weights, 255, 0).unwrap()
}

fn classes(params: &RandomForest, table: &BinnedTable, y: &[u32]) -> Forest {
    params.fit_classes(table, y, 3, &Context::default()).unwrap().model
}

#[test]
fn any_number_of_threads_grows_the_same_forest() {
    let (x, c, y) = problem(3000, 1);
    // Of 11 trees some are shared by the threads.
    let params = RandomForest { trees: 11, out_of_bag: true, ..RandomForest::default() };
    let tree = DecisionTree { criterion: Criterion::Absolute, ..DecisionTree::default() };
    let of_medians = RandomForest { tree, ..params.clone() };
    let grow = || {
        let table = binned(&x, None);
        let numbers = params.fit_numbers(&table, &y, &Context::default()).unwrap().model;
        let medians = of_medians.fit_numbers(&table, &y, &Context::default()).unwrap().model;
        [classes(&params, &table, &c), numbers, medians]
    };
    let one = parallel::with_threads(1, grow);
    assert!(one[0].trees().len() == 11 && one[0].trees()[0] != one[0].trees()[1]);
    for threads in [2, 3, 7, 16] {
        assert_eq!(parallel::with_threads(threads, grow), one);
    }
    let other = Context { seed: 1, ..Context::default() };
    assert_ne!(params.fit_classes(&binned(&x, None), &c, 3, &other).unwrap().model, one[0]);
}

#[test]
fn one_tree_without_drawing_is_the_decision_tree() {
    let (x, c, y) = problem(800, 2);
    let table = binned(&x, None);
    let tree = DecisionTree { max_depth: Some(6), min_samples_leaf: 3, ..DecisionTree::default() };
    let params = RandomForest {
        trees: 1,
        bootstrap: false,
        max_features: Some(MaxFeatures::All),
        tree: tree.clone(),
        ..RandomForest::default()
    };
    let context = Context::default();
    assert_eq!(
        classes(&params, &table, &c).trees(),
        [tree.fit_classes(&table, &c, 3, &context).unwrap().model]
    );
    for criterion in [Criterion::Squared, Criterion::Absolute] {
        let tree = DecisionTree { criterion, ..tree.clone() };
        let params = RandomForest { tree: tree.clone(), ..params.clone() };
        let forest = params.fit_numbers(&table, &y, &context).unwrap().model;
        assert_eq!(forest.trees(), [tree.fit_numbers(&table, &y, &context).unwrap().model]);
    }
}

#[test]
fn trees_see_what_was_drawn() {
    let (x, c, _) = problem(2000, 3);
    let table = binned(&x, None);
    let grown = |params: &RandomForest| classes(params, &table, &c);
    let params = RandomForest { trees: 20, ..RandomForest::default() };
    for tree in grown(&params).trees() {
        // All draws, on 63.2 % of the rows: 1264, with a standard deviation of 14.
        assert_eq!(tree.node(0).weight, 2000.0);
        assert!((1180..1350).contains(&tree.node(0).rows), "{}", tree.node(0).rows);
    }
    let all = RandomForest { bootstrap: false, ..params.clone() };
    assert!(grown(&all).trees().iter().all(|tree| tree.node(0).rows == 2000));
    // With one feature to look at, roots are divided by whichever it is; with all, by one of the two that decide.
    let roots = |features: MaxFeatures| -> Vec<u32> {
        let params = RandomForest { trees: 100, max_features: Some(features), ..params.clone() };
        let mut counts = vec![0; COLUMNS];
        grown(&params).trees().iter().for_each(|tree| counts[tree.node(0).feature as usize] += 1);
        counts
    };
    assert!(roots(MaxFeatures::Count(1)).iter().all(|count| (5..35).contains(count)));
    let best = roots(MaxFeatures::All);
    assert_eq!(best[0] + best[3], 100, "{best:?}");
}

#[test]
fn whole_weights_are_repeated_rows() {
    let (x, c, _) = problem(300, 4);
    let weights: Vec<f64> = (0..300).map(|i| f64::from(i % 3)).collect();
    let copies = |i: usize| std::iter::repeat_n(i, i % 3);
    let repeated_x: Vec<f64> =
        (0..300).flat_map(copies).flat_map(|i| x[i * COLUMNS..][..COLUMNS].to_vec()).collect();
    let repeated_c: Vec<u32> = (0..300).flat_map(copies).map(|i| c[i]).collect();
    let params = RandomForest { trees: 5, ..RandomForest::default() };
    let a = classes(&params, &binned(&x, Some(&weights)), &c);
    let b = classes(&params, &binned(&repeated_x, None), &repeated_c);
    // But for the number of rows, of which a weighted one is one.
    for (a, b) in a.trees().iter().zip(b.trees()) {
        let shape = |tree: &tilewise_tree::Tree| {
            tree.nodes().map(|n| (n.feature, n.test, n.missing_left, n.weight)).collect::<Vec<_>>()
        };
        assert_eq!(shape(a), shape(b));
    }
}

#[test]
fn what_is_told_of_rows_out_of_the_bag_is_what_is_judged() {
    #[derive(Default)]
    struct Heard(Mutex<Vec<f64>>);
    impl Progress for Heard {
        fn round(&self, _: u64, _: u64, _: &str) {}
        fn out_of_bag(&self, predictions: &[f64]) {
            *self.0.lock().unwrap() = predictions.to_vec();
        }
    }
    let (x, c, y) = problem(300, 7);
    let table = binned(&x, None);
    let heard = Heard::default();
    let context = Context { progress: &heard, ..Context::default() };
    // Of three trees some rows are in every bag.
    let params = RandomForest { trees: 3, out_of_bag: true, ..RandomForest::default() };
    let forest = params.fit_classes(&table, &c, 3, &context).unwrap().model;
    let told = std::mem::take(&mut *heard.0.lock().unwrap());
    assert_eq!(told.len(), 900);
    let (mut asked, mut right) = (0, 0);
    for (shares, &class) in told.chunks_exact(3).zip(&c).filter(|(shares, _)| !shares[0].is_nan()) {
        asked += 1;
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        right += usize::from((0..3).all(|other| {
            shares[other] <= shares[class as usize]
                && (other >= class as usize || shares[other] < shares[class as usize])
        }));
    }
    let judged = forest.out_of_bag().unwrap();
    assert!(asked < 300 && (judged.rows, judged.score) == (asked, right as f64 / asked as f64), "{judged:?}");
    // A forest that is not judged tells nothing.
    RandomForest { out_of_bag: false, ..params }.fit_numbers(&table, &y, &context).unwrap();
    assert!(heard.0.lock().unwrap().is_empty());
}

#[test]
fn rows_out_of_the_bag_judge_as_new_ones_do() {
    let (x, c, y) = problem(4000, 5);
    let (new_x, new_c, new_y) = problem(4000, 6);
    let table = binned(&x, None);
    let params = RandomForest { trees: 60, out_of_bag: true, ..RandomForest::default() };
    let forest = classes(&params, &table, &c);
    let judged = forest.out_of_bag().unwrap();
    assert_eq!(judged.rows, 4000);
    let mut shares = [0.0; 3];
    let right = new_x.chunks_exact(COLUMNS).zip(&new_c).filter(|(row, class)| {
        forest.predict_row(row, &mut shares);
        (0..3).all(|other| shares[other] <= shares[**class as usize])
    });
    let accuracy = right.count() as f64 / 4000.0;
    // Standard errors of both shares are 0.7 %.
    assert!((judged.score - accuracy).abs() < 0.035 && accuracy > 0.7, "{} {accuracy}", judged.score);
    let forest = params.fit_numbers(&table, &y, &Context::default()).unwrap().model;
    let mut out = [0.0];
    let mean = new_y.iter().sum::<f64>() / 4000.0;
    let (mut error, mut variance) = (0.0, 0.0);
    for (row, y) in new_x.chunks_exact(COLUMNS).zip(&new_y) {
        forest.predict_row(row, &mut out);
        error += (y - out[0]).powi(2);
        variance += (y - mean).powi(2);
    }
    let (judged, fresh) = (forest.out_of_bag().unwrap().score, 1.0 - error / variance);
    assert!((judged - fresh).abs() < 0.035 && fresh > 0.6, "{judged} {fresh}");
    let importances = forest.importances();
    assert!((importances.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    assert!(importances[0] + importances[3] > 0.7, "{importances:?}");
}

#[test]
fn what_a_leaf_holds_is_counted_as_drawn() {
    let (x, c, _) = problem(500, 7);
    let tree = DecisionTree { min_samples_leaf: 20, ..DecisionTree::default() };
    let params = RandomForest { trees: 5, tree, ..RandomForest::default() };
    for tree in classes(&params, &binned(&x, None), &c).trees() {
        assert!(tree.leaves() > 5 && tree.nodes().all(|node| node.weight >= 20.0));
    }
}

#[test]
fn a_forest_that_is_stopped_keeps_its_trees() {
    struct Stop(AtomicBool);
    impl Progress for Stop {
        fn round(&self, done: u64, total: u64, _: &str) {
            assert_eq!(total, 50);
            self.0.fetch_or(done >= 4, Ordering::Relaxed);
        }
    }
    let (x, c, _) = problem(300, 8);
    let table = binned(&x, None);
    let params = RandomForest { trees: 50, ..RandomForest::default() };
    let stop = Stop(AtomicBool::new(false));
    let context = Context { progress: &stop, cancel: &stop.0, ..Context::default() };
    let fit = params.fit_classes(&table, &c, 3, &context).unwrap();
    assert!(!fit.report.converged && fit.report.warnings[0].contains("of 50 trees"));
    let trees = fit.model.trees().len();
    assert!((4..50).contains(&trees), "{trees}");
    // Another one does not begin.
    assert!(params.fit_classes(&table, &c, 3, &context).is_err());
}

#[test]
fn a_forest_goes_on_to_what_it_would_have_been() {
    struct Stop(AtomicBool);
    impl Progress for Stop {
        fn round(&self, done: u64, _: u64, _: &str) {
            self.0.fetch_or(done >= 3, Ordering::Relaxed);
        }
    }
    let (x, c, y) = problem(400, 11);
    let table = binned(&x, None);
    let of_trees = |trees| RandomForest {
        trees,
        out_of_bag: true,
        quantiles: vec![0.2, 0.8],
        ..RandomForest::default()
    };
    let context = Context { seed: 5, ..Context::default() };
    let answers = Answers::Numbers(y.clone());
    let whole = of_trees(12).fit(&table, &answers, &context).unwrap().model;
    let part = of_trees(5).fit(&table, &answers, &context).unwrap().model;
    for threads in [1, 2, 7] {
        let go_on = || of_trees(12).continue_from(&part, &table, &answers, &context).unwrap().model;
        assert!(parallel::with_threads(threads, go_on) == whole);
    }
    // One that was stopped, with whatever trees it has.
    let stop = Stop(AtomicBool::new(false));
    let stopping = Context { seed: 5, progress: &stop, cancel: &stop.0, ..Context::default() };
    let stopped = of_trees(12).fit(&table, &answers, &stopping).unwrap().model;
    assert!(stopped.trees().len() < 12);
    assert!(of_trees(12).continue_from(&stopped, &table, &answers, &context).unwrap().model == whole);
    // A forest without answers or judgement gets them.
    let bare = RandomForest { out_of_bag: false, quantiles: Vec::new(), ..of_trees(5) };
    let bare = bare.fit(&table, &answers, &context).unwrap().model;
    assert!(bare.out_of_bag().is_none() && bare.quantiles(&x[..COLUMNS], &[0.5], &mut [0.0]).is_err());
    assert!(of_trees(12).continue_from(&bare, &table, &answers, &context).unwrap().model == whole);

    let refused = |params: &RandomForest, table: &BinnedTable, answers: &Answers, seed| {
        let context = Context { seed, ..Context::default() };
        params.continue_from(&part, table, answers, &context).err().map(|e| e.to_string()).unwrap_or_default()
    };
    let same = |params: &RandomForest| refused(params, &table, &answers, 5);
    assert_eq!(same(&of_trees(12)), "");
    assert!(same(&of_trees(4)).contains("trees: 4"));
    let deeper = DecisionTree { max_depth: Some(9), ..DecisionTree::default() };
    assert!(same(&RandomForest { tree: deeper, ..of_trees(12) }).contains("max_depth: 9"));
    let features = Some(MaxFeatures::Count(2));
    assert!(same(&RandomForest { max_features: features, ..of_trees(12) }).contains("max_features"));
    assert!(refused(&of_trees(12), &table, &answers, 6).contains("seed: 6"));
    let other = binned(&problem(400, 12).0, None);
    assert!(refused(&of_trees(12), &other, &answers, 5).contains("table"));
    let classes = Answers::Classes { y: c, classes: 3 };
    let params = RandomForest { quantiles: Vec::new(), ..of_trees(12) };
    assert!(refused(&params, &table, &classes, 5).contains("table"));
    let moved = Answers::Numbers(y.iter().map(|y| y + 1.0).collect());
    assert!(refused(&of_trees(12), &table, &moved, 5).contains("table"));
    let weighted = binned(&x, Some(&[2.0; 400]));
    assert!(refused(&of_trees(12), &weighted, &answers, 5).contains("table"));
}

#[test]
fn a_model_goes_on_from_its_file() {
    let (x, c, y) = problem(300, 13);
    let column = |j: usize| Column::F64(x.chunks_exact(COLUMNS).map(|row| row[j]).collect());
    let level =
        Column::Categorical { codes: c.clone().into(), dictionary: ["a", "b", "c"].map(String::from).into() };
    let columns = [("u", column(0)), ("v", column(3)), ("level", level), ("y", Column::F64(y.into()))];
    let data = Dataset::new(columns.map(|(name, column)| (name.to_owned(), column)).into()).unwrap();
    let of_trees = |trees| RandomForest { trees, quantiles: vec![0.1, 0.9], ..RandomForest::default() };
    let (roles, context) = (Roles::target("y"), Context::default());
    let fit = |trees| ForestModel::fit(&of_trees(trees), 255, false, &data, &roles, &context).unwrap();
    let bytes = fit(3).to_bytes().unwrap();
    let part = ForestModel::from_file(&ModelFile::parse(&bytes).unwrap()).unwrap();
    let more = part.continued(&of_trees(8), 255, false, &data, &roles, &context).unwrap();
    assert_eq!(more.to_bytes().unwrap(), fit(8).to_bytes().unwrap());
    let refused = |data: &Dataset, roles: &Roles, bins: usize| {
        let continued = part.continued(&of_trees(8), bins, false, data, roles, &context);
        continued.err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert!(refused(&data, &roles, 30).contains("max_bins"));
    let without = Roles { ignore: vec!["v".into()], ..roles.clone() };
    assert!(refused(&data, &without, 255).contains("\"v\""));
    let of_u = Roles { ignore: vec!["y".into()], ..Roles::target("u") };
    assert!(!refused(&data, &of_u, 255).is_empty());
    assert!(refused(&data.take(&(0..299).collect::<Vec<_>>()), &roles, 255).contains("table"));
    assert_eq!(predict_dataset(&part, &data, None).unwrap().len(), 600);
    assert!(part.describe().contains("quantiles 0.1, 0.9"));
}

#[test]
fn quantiles_hold_their_share_of_new_rows() {
    let (x, _, y) = problem(4000, 14);
    let (new_x, _, new_y) = problem(4000, 15);
    let tree = DecisionTree { min_samples_leaf: 10, ..DecisionTree::default() };
    let params = RandomForest { trees: 60, quantiles: vec![0.5], tree, ..RandomForest::default() };
    let forest = params.fit_numbers(&binned(&x, None), &y, &Context::default()).unwrap().model;
    let asked = [0.05, 0.25, 0.5, 0.75, 0.95];
    let mut below = [0.0; 5];
    for (row, y) in new_x.chunks_exact(COLUMNS).zip(&new_y) {
        let mut out = [0.0; 5];
        forest.quantiles(row, &asked, &mut out).unwrap();
        assert!(out.is_sorted());
        below.iter_mut().zip(out).for_each(|(below, q)| *below += f64::from(u8::from(*y <= q)) / 4000.0);
    }
    // Leaves are wider than a point, so the outer quantiles lie somewhat further out than they should.
    for (below, q) in below.iter().zip(asked) {
        assert!((below - q).abs() < 0.06, "{q}: {below}");
    }
}

#[test]
fn columns_shuffled_out_of_the_bag_tell_what_matters() {
    // y = 3 a - b without noise, and a column that has no part in it.
    let random = Philox::new(16, Philox::purpose("shuffled"));
    let x: Vec<f64> = (0..3 * 1500).map(|i| random.normal(i)).collect();
    let y: Vec<f64> = x.chunks_exact(3).map(|row| 3.0 * row[0] - row[1]).collect();
    let table = BinnedTable::of_matrix(MatRef::new(&x, 1500, 3).unwrap(), None, 255, 0).unwrap();
    let params = RandomForest { trees: 30, max_features: Some(MaxFeatures::All), ..RandomForest::default() };
    let numbers = Answers::Numbers(y.clone());
    let forest = params.fit(&table, &numbers, &Context::default()).unwrap().model;
    let run = || forest.out_of_bag_importances(&table, &numbers).unwrap();
    let one = parallel::with_threads(1, run);
    for threads in [2, 7] {
        assert_eq!(parallel::with_threads(threads, run), one);
    }
    // Two independent draws of w x differ by 2 w^2 in the mean of squares.
    let near = |x: f64, expected: f64| (x - expected).abs() < 0.15 * expected + 0.05;
    assert!(near(one[0], 18.0) && near(one[1], 2.0) && near(one[2], 0.0), "{one:?}");
    let classes = Answers::Classes { y: y.iter().map(|y| u32::from(*y > 0.0)).collect(), classes: 2 };
    let by_class = params.fit(&table, &classes, &Context::default()).unwrap().model;
    let shares = by_class.out_of_bag_importances(&table, &classes).unwrap();
    assert!(shares[0] > 0.3 && (0.03..0.2).contains(&shares[1]) && shares[2].abs() < 0.02, "{shares:?}");
    assert!(by_class.out_of_bag_importances(&table, &numbers).is_err());
    let all =
        RandomForest { bootstrap: false, ..params }.fit(&table, &numbers, &Context::default()).unwrap().model;
    assert!(all.out_of_bag_importances(&table, &numbers).unwrap_err().to_string().contains("bootstrap"));
}

#[test]
fn forests_of_more_than_255_bins_keep_what_forests_promise() {
    // 1,000 values in some columns: bins are two bytes each.
    let (x, _, y) = problem(1000, 17);
    let data = MatRef::new(&x, 1000, COLUMNS).unwrap();
    let table = BinnedTable::of_matrix(data, None, MaxBins::Exact, 0).unwrap();
    let answers = Answers::Numbers(y.clone());
    let of_trees = |trees| RandomForest { trees, out_of_bag: true, ..RandomForest::default() };
    let fit = |trees| of_trees(trees).fit(&table, &answers, &Context::default()).unwrap().model;
    let forest = fit(6);
    for threads in [1, 3] {
        assert!(parallel::with_threads(threads, || fit(6)) == forest);
    }
    assert!(
        of_trees(6).continue_from(&fit(2), &table, &answers, &Context::default()).unwrap().model == forest
    );
    let narrow = BinnedTable::of_matrix(data, None, 255, 0).unwrap();
    assert_ne!(
        of_trees(6).fit(&narrow, &answers, &Context::default()).unwrap().model.trees(),
        forest.trees()
    );
    // Rows of the table are judged by the leaves of their cells.
    for tree in forest.trees() {
        assert!((0..1000).all(|i| tree.leaf_of(&table, i) == tree.leaf(&x[i * COLUMNS..][..COLUMNS])));
    }
    let importances = forest.out_of_bag_importances(&table, &answers).unwrap();
    assert!(importances.iter().any(|share| *share > 0.05), "{importances:?}");
}

#[test]
fn a_judgement_without_a_value_is_told_and_comes_back() {
    let of_y = Roles::target("y");
    // One tree on two rows: by the seed both are in its bag, or one is not and has no variance alone.
    let params = RandomForest { trees: 1, out_of_bag: true, ..RandomForest::default() };
    let column = |numbers: &[f64]| Column::F64(numbers.to_vec().into());
    let names = ["no".to_owned(), "yes".to_owned()].to_vec();
    let classes = Column::Categorical { codes: vec![0, 1].into(), dictionary: names };
    let mut told = Vec::new();
    for (y, classify) in [(column(&[1.0, 2.0]), false), (column(&[3.0, 3.0]), false), (classes, true)] {
        let columns = vec![("x".to_owned(), column(&[0.0, 1.0])), ("y".to_owned(), y)];
        let data = Dataset::new(columns).unwrap();
        for seed in 0..10 {
            let context = Context { seed, ..Context::default() };
            let model = ForestModel::fit(&params, 255, classify, &data, &of_y, &context).unwrap();
            let bytes = model.to_bytes().unwrap();
            let same = ForestModel::from_file(&ModelFile::parse(&bytes).unwrap()).unwrap();
            assert_eq!(same.to_bytes().unwrap(), bytes);
            let judged = model.forest().out_of_bag().unwrap();
            assert_eq!(judged.score.is_finite(), classify && judged.rows > 0, "{judged:?}");
            let text = same.describe();
            assert_eq!(text, model.describe());
            let line = text.lines().find(|line| line.contains("out of bag")).unwrap().trim().to_owned();
            assert!(model.report().stopped.contains(&line), "{line}");
            told.push(line);
        }
    }
    told.sort();
    told.dedup();
    assert_eq!(
        told,
        [
            "out of bag R2 not known: every row is in the bag of every tree",
            "out of bag R2 not known: it has no finite value on 1 row",
            "out of bag accuracy 0.000000 on 1 row",
            "out of bag accuracy not known: every row is in the bag of every tree",
        ]
    );
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let (x, c, _) = problem(40, 9);
    let table = binned(&x, None);
    let message = |params: RandomForest| {
        params
            .fit_classes(&table, &c, 3, &Context::default())
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default()
    };
    let sound = RandomForest::default();
    assert!(message(RandomForest { trees: 0, ..sound.clone() }).contains("trees"));
    assert!(
        message(RandomForest { bootstrap: false, out_of_bag: true, ..sound.clone() }).contains("out_of_bag")
    );
    for features in [MaxFeatures::Count(0), MaxFeatures::Share(1.5), MaxFeatures::Share(f64::NAN)] {
        assert!(
            message(RandomForest { max_features: Some(features), ..sound.clone() }).contains("max_features")
        );
    }
    for samples in
        [MaxSamples::Count(0), MaxSamples::Count(41), MaxSamples::Share(0.0), MaxSamples::Share(f64::NAN)]
    {
        assert!(message(RandomForest { max_samples: samples, ..sound.clone() }).contains("max_samples"));
    }
    let not_drawn = RandomForest { bootstrap: false, max_samples: MaxSamples::Count(3), ..sound.clone() };
    assert!(message(not_drawn).contains("bootstrap is false"));
    assert!(sound.fit_classes(&table, &c[1..], 3, &Context::default()).is_err());
    assert!(sound.fit_numbers(&table, &[f64::NAN; 40], &Context::default()).is_err());
}

#[test]
fn a_model_comes_back_from_its_bytes() {
    let (x, c, _) = problem(400, 10);
    let column = |j: usize| Column::F64(x.chunks_exact(COLUMNS).map(|row| row[j]).collect());
    let codes = (0..400).map(|i| (i as u32 * 7 + c[i]) % 5).collect();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let level = Column::Categorical { codes, dictionary: names(&["a", "b", "c", "d", "e"]) };
    let label = Column::Categorical { codes: c.into(), dictionary: names(&["x", "y", "z"]) };
    let columns = [("u", column(0)), ("v", column(3)), ("level", level), ("label", label)];
    let data = Dataset::new(columns.map(|(name, column)| (name.to_owned(), column)).into()).unwrap();
    let params = RandomForest { trees: 7, out_of_bag: true, ..RandomForest::default() };
    let fit = |threads| {
        parallel::with_threads(threads, || {
            ForestModel::fit(&params, 255, true, &data, &Roles::target("label"), &Context::default()).unwrap()
        })
    };
    let model = fit(1);
    let bytes = model.to_bytes().unwrap();
    assert_eq!(fit(3).to_bytes().unwrap(), bytes);
    let same = ForestModel::from_file(&ModelFile::parse(&bytes).unwrap()).unwrap();
    assert!(same.forest() == model.forest());
    assert_eq!(same.to_bytes().unwrap(), bytes);
    assert!(model.describe().contains("7 trees") && model.describe().contains("out of bag accuracy"));
    let (a, b) =
        (predict_dataset(&model, &data, None).unwrap(), predict_dataset(&same, &data, None).unwrap());
    assert_eq!(a, b);
    assert!(a.chunks_exact(3).all(|p| (p.iter().sum::<f64>() - 1.0).abs() < 1e-12));
    // The compiled trees and walks one by one give the same bits, for few rows and for many.
    for rows in [1, 20, 300] {
        let (x, ..) = problem(rows, 11);
        let row = |(i, row): (usize, &[f64])| [row[0], row[3], (i % 8) as f64 - 1.0];
        let cells: Vec<f64> = x.chunks_exact(COLUMNS).enumerate().flat_map(row).collect();
        let mut out = vec![0.0; 3 * rows];
        let view = MatRef::new(&cells, rows, 3).unwrap();
        same.predict(view, None, MatMut::new(&mut out, rows, 3).unwrap()).unwrap();
        for (row, out) in cells.chunks_exact(3).zip(out.chunks_exact(3)) {
            let mut expected = [0.0; 3];
            model.forest().predict_row(row, &mut expected);
            assert_eq!(out, expected);
        }
    }
}

#[test]
fn threads_that_ask_a_new_model_at_once_get_the_same_answers() {
    let (x, c, _) = problem(300, 12);
    let column = |j: usize| Column::F64(x.chunks_exact(COLUMNS).map(|row| row[j]).collect());
    let dictionary = ["x", "y", "z"].map(String::from).to_vec();
    let label = Column::Categorical { codes: c.into(), dictionary };
    let columns = [("u", column(0)), ("v", column(3)), ("label", label)];
    let data = Dataset::new(columns.map(|(name, column)| (name.to_owned(), column)).into()).unwrap();
    let params = RandomForest { trees: 20, ..RandomForest::default() };
    let fit = ForestModel::fit(&params, 255, true, &data, &Roles::target("label"), &Context::default());
    let bytes = fit.unwrap().to_bytes().unwrap();
    let file = ModelFile::parse(&bytes).unwrap();
    let cells: Vec<f64> = x.chunks_exact(COLUMNS).flat_map(|row| [row[0], row[3]]).collect();
    // One row, which a thread walks alone, and many, which the threads of the pool share.
    for (rows, round) in [1, 300].into_iter().flat_map(|rows| (0..10).map(move |round| (rows, round))) {
        let cells = MatRef::new(&cells[..2 * rows], rows, 2).unwrap();
        // Nothing of it is compiled yet: it comes from its file.
        let model = ForestModel::from_file(&file).unwrap();
        let mut expected = vec![0.0; 3 * rows];
        for (row, out) in expected.chunks_exact_mut(3).enumerate() {
            model.forest().predict_row(&[cells.get(row, 0), cells.get(row, 1)], out);
        }
        let together = Barrier::new(8);
        let ask = || {
            let mut out = vec![f64::NAN; 3 * rows];
            together.wait();
            model.predict(cells, None, MatMut::new(&mut out, rows, 3).unwrap()).unwrap();
            out
        };
        std::thread::scope(|scope| {
            for asking in [(); 8].map(|()| scope.spawn(ask)) {
                assert_eq!(asking.join().unwrap(), expected, "{rows} rows, round {round}");
            }
        });
    }
}
