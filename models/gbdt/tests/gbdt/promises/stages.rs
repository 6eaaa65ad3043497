//! Stages: that they make the loss smaller, go on, are cut off where the loss was least, and what they are grown on.

use super::problem::{Problem, losses, numbers};
use proptest::prelude::*;
use std::ops::Range;
use tilewise_base::{Column, Context, Model, ModelFile, Result, Roles};
use tilewise_gbdt::loss::{Derivatives, Objective, Truth};
use tilewise_gbdt::{Boosted, BoostedModel, EarlyStopping, GradientBoosting, Lesson, Loss};
use tilewise_kernels::parallel;
use tilewise_tree::{Answers, BinnedTable, DecisionTree, Feature, Growth, MaxFeatures, Penalty, Tree};

fn fit(params: &GradientBoosting, table: &BinnedTable, answers: &Answers) -> Boosted {
    params.fit(table, &Lesson::new(answers), &Context::default()).unwrap().model
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn training_loss_never_rises(
        seed in 0_u64..1000,
        loss in prop::sample::select(vec![Loss::Squared, Loss::Logistic]),
        learning_rate in prop::sample::select(vec![0.1, 0.03]),
        growth in prop::sample::select(vec![Growth::LeafWise, Growth::DepthWise, Growth::Oblivious]),
        l2 in prop::sample::select(vec![0.0, 1.0]),
    ) {
        let problem = Problem::new(250, seed);
        let tree = DecisionTree { growth, max_leaves: Some(12), min_samples_leaf: 5, ..DecisionTree::default() };
        let penalty = Penalty { l2, ..Penalty::default() };
        let params = GradientBoosting { loss, stages: 25, learning_rate, penalty, tree, ..GradientBoosting::default() };
        let answers = problem.answers(loss);
        let boosted = fit(&params, &problem.table(None), &answers);
        let all = losses(boosted.ensemble(), loss, &problem, &answers);
        prop_assert!(all.windows(2).all(|pair| pair[1] <= pair[0]), "{all:?}");
        prop_assert!(all[25] < 0.9 * all[0], "{all:?}");
    }
}

/// The report tells the loss of all stages.
#[test]
fn the_loss_of_the_report_is_that_of_the_scores() {
    for loss in
        [Loss::Squared, Loss::Logistic, Loss::Softmax, Loss::Poisson, Loss::Quantile { quantile: 0.3 }]
    {
        let problem = Problem::new(400, 3);
        let answers = problem.answers(loss);
        let params = GradientBoosting { loss, stages: 7, subsample: 0.8, ..GradientBoosting::default() };
        let fit = params.fit(&problem.table(None), &Lesson::new(&answers), &Context::default()).unwrap();
        assert_eq!(fit.report.objective, losses(fit.model.ensemble(), loss, &problem, &answers)[7]);
    }
}

/// What can only be told apart by its order is divided in the same way.
#[test]
fn an_increasing_transform_changes_thresholds_alone() {
    let problem = Problem::new(600, 5);
    // At most 255 different values, which stay as far apart as their order says.
    let coarse = |f: &dyn Fn(f64) -> f64| {
        let mut moved = problem.clone();
        for column in &mut moved.columns {
            column.iter_mut().for_each(|x| *x = f((*x * 20.0).round()));
        }
        moved
    };
    let plain = coarse(&|x| x);
    for loss in [Loss::Squared, Loss::Softmax, Loss::Absolute] {
        for growth in [Growth::LeafWise, Growth::Oblivious] {
            let tree =
                DecisionTree { growth, max_leaves: Some(16), min_samples_leaf: 3, ..DecisionTree::default() };
            let params = GradientBoosting { loss, stages: 5, tree, ..GradientBoosting::default() };
            let answers = plain.answers(loss);
            let one = fit(&params, &plain.table(None), &answers);
            for transform in
                [&(|x| 2.0 * x + 3.0) as &dyn Fn(f64) -> f64, &|x| x * x * x, &|x| (x / 9.0).exp()]
            {
                let moved = coarse(transform);
                let other = fit(&params, &moved.table(None), &answers);
                for score in 0..one.ensemble().scores() {
                    for (a, b) in one.ensemble().trees(score).iter().zip(other.ensemble().trees(score)) {
                        let shape = |tree: &Tree| {
                            let node = |(at, node): (usize, tilewise_tree::Node)| {
                                (
                                    node.feature,
                                    node.missing_left,
                                    node.left,
                                    node.rows,
                                    node.gain.to_bits(),
                                    tree.value(at),
                                )
                            };
                            tree.nodes().enumerate().map(node).collect::<Vec<_>>()
                        };
                        assert_eq!(shape(a), shape(b));
                        assert!((0..600).all(|row| a.leaf(&plain.row(row)) == b.leaf(&moved.row(row))));
                    }
                }
            }
        }
    }
}

#[test]
fn stages_go_on_to_what_they_would_have_been() {
    let problem = Problem::new(900, 6);
    let table = problem.table(None);
    let offset: Vec<f64> = problem.columns[2].iter().map(|x| x / 3.0).collect();
    let groups: Vec<Range<usize>> = (0..30).map(|group| group * 30..group * 30 + 30).collect();
    for (loss, subsample, features) in [
        (Loss::Squared, 1.0, MaxFeatures::All),
        (Loss::Squared, 0.5, MaxFeatures::Count(2)),
        (Loss::Softmax, 0.8, MaxFeatures::All),
        (Loss::Absolute, 1.0, MaxFeatures::All),
        (Loss::LambdaRank { truncation: 9 }, 1.0, MaxFeatures::All),
    ] {
        let answers = problem.answers(loss);
        let lesson = Lesson { offset: Some(&offset), groups: Some(&groups), ..Lesson::new(&answers) };
        let of = |stages| GradientBoosting {
            loss,
            stages,
            subsample,
            tree: DecisionTree { max_features: features, ..GradientBoosting::default().tree },
            ..GradientBoosting::default()
        };
        let context = Context { seed: 9, ..Context::default() };
        let whole = of(9).fit(&table, &lesson, &context).unwrap();
        let part = of(4).fit(&table, &lesson, &context).unwrap().model;
        for threads in [1, 3] {
            let go_on = || of(9).continue_from(&part, &table, &lesson, &context).unwrap();
            let continued = parallel::with_threads(threads, go_on);
            assert!(continued.model == whole.model && continued.report.objective == whole.report.objective);
        }
        // None more is the model itself.
        assert!(of(4).continue_from(&part, &table, &lesson, &context).unwrap().model == part);
        // With other offsets or queries the scores that it starts from would be others.
        let moved: Vec<f64> = offset.iter().map(|x| x + 0.5).collect();
        let others = [0..1, 1..900];
        for other in [
            Lesson { offset: Some(&moved), ..lesson },
            Lesson { offset: None, ..lesson },
            Lesson { groups: Some(&others), ..lesson },
        ] {
            let error = of(9).continue_from(&part, &table, &other, &context).unwrap_err().to_string();
            assert!(error.contains("offsets, queries"), "{error}");
        }
    }
}

#[test]
fn a_model_goes_on_from_its_file() {
    let problem = Problem::new(500, 7);
    let data = problem.dataset(Column::F64(problem.y.clone().into()));
    let (roles, context) = (Roles { offset: Some("c".into()), ..Roles::target("y") }, Context::default());
    let of = |stages| GradientBoosting { stages, subsample: 0.9, ..GradientBoosting::default() };
    let fit = |stages| BoostedModel::fit(&of(stages), 255, false, &data, &roles, &context).unwrap();
    let bytes = fit(3).to_bytes().unwrap();
    let part = BoostedModel::from_file(&ModelFile::parse(&bytes).unwrap()).unwrap();
    assert_eq!(part.to_bytes().unwrap(), bytes);
    let more = part.continued(&of(8), 255, false, &data, &roles, &context).unwrap();
    assert_eq!(more.to_bytes().unwrap(), fit(8).to_bytes().unwrap());
    // Another column of offsets, and other numbers in it.
    let refused = |data: &tilewise_base::Dataset, roles: &Roles| {
        part.continued(&of(8), 255, false, data, roles, &context).unwrap_err().to_string()
    };
    let mut moved = problem.clone();
    moved.columns[2].iter_mut().for_each(|x| *x += 1.0);
    let told = refused(&moved.dataset(Column::F64(problem.y.clone().into())), &roles);
    assert!(told.contains("offsets"), "{told}");
    let told = refused(&data, &Roles { offset: None, ignore: vec!["c".into()], ..roles.clone() });
    assert!(told.contains("the offset is another column"), "{told}");
}

#[test]
fn stopping_early_is_cutting_off() {
    let problem = Problem::new(700, 8);
    let table = problem.table(None);
    let groups: Vec<Range<usize>> = (0..70).map(|group| group * 10..group * 10 + 10).collect();
    for loss in [Loss::Squared, Loss::Logistic, Loss::Softmax, Loss::LambdaRank { truncation: 5 }] {
        let answers = problem.answers(loss);
        let lesson = Lesson { groups: Some(&groups), ..Lesson::new(&answers) };
        let of = |stages, patience| {
            let early_stopping = Some(EarlyStopping { patience, share: 0.3 });
            let params = GradientBoosting {
                loss,
                stages,
                learning_rate: 0.5,
                early_stopping,
                ..GradientBoosting::default()
            };
            params.fit(&table, &lesson, &Context::default()).unwrap()
        };
        let stopped = of(200, 3);
        let (kept, judged) = (stopped.model.stages(), stopped.model.validation().to_vec());
        assert!(judged.len() == kept + 3 && stopped.report.converged, "{loss}: {kept} of {}", judged.len());
        let least = judged.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(judged[kept - 1] == least && judged[..kept - 1].iter().all(|loss| *loss > least));
        // As many stages, of which the last is the best, and more, of which the first are taken.
        let (fewer, more) = (of(kept, 1000).model, of(kept + 2, 1000).model);
        assert!(fewer.ensemble() == stopped.model.ensemble() && more.ensemble() == stopped.model.ensemble());
        assert_eq!((fewer.validation(), more.validation()), (&judged[..kept], &judged[..kept + 2]));
    }
}

/// Where rows stand decides how their derivatives are rounded, so those that do not count stand behind the others.
#[test]
fn rows_without_weight_are_as_good_as_not_there() {
    let problem = Problem::new(800, 9);
    let mut more = problem.clone();
    for i in 0..150 {
        more.columns.iter_mut().for_each(|column| column.push([f64::NAN, 1e300, f64::INFINITY, 0.1][i % 4]));
        more.codes.push(i as u32 % 9);
        more.y.push([f64::NAN, 1e300, -5.0][i % 3]);
    }
    let weights: Vec<f64> = (0..950).map(|i| if i < 800 { 1.0 } else { 0.0 }).collect();
    for loss in [Loss::Squared, Loss::Absolute, Loss::Logistic, Loss::Softmax, Loss::Poisson] {
        for early_stopping in [None, Some(EarlyStopping { patience: 2, share: 0.2 })] {
            let params = GradientBoosting { loss, stages: 6, early_stopping, ..GradientBoosting::default() };
            let one = fit(&params, &problem.table(None), &problem.answers(loss));
            // Classes are made of comparisons, which NaN fails: any number is one.
            let other = fit(&params, &more.table(Some(&weights)), &more.answers(loss));
            assert!(one.ensemble() == other.ensemble(), "{loss}");
            assert_eq!(one.validation(), other.validation());
        }
    }
}

/// Numbers of which nothing is rounded, wherever they stand.
#[test]
fn rows_without_weight_between_others_are_not_there_either() {
    let problem = Problem::new(600, 10);
    // Eighths, as many above as below 0, so that their mean is 0.
    let y = |i: usize| (problem.y[i / 2] * 8.0).round() / 8.0 * if i.is_multiple_of(2) { 1.0 } else { -1.0 };
    let is_left_out = |i: usize| i % 6 < 2;
    let weights: Vec<f64> = (0..600).map(|i| if is_left_out(i) { 0.0 } else { 1.0 }).collect();
    let kept: Vec<usize> = (0..600).filter(|&i| !is_left_out(i)).collect();
    let of = |list: &[f64]| kept.iter().map(|&i| list[i]).collect::<Vec<f64>>();
    let all = Answers::Numbers((0..600).map(y).collect());
    let less = Problem {
        columns: problem.columns.clone().map(|column| of(&column)),
        codes: kept.iter().map(|&i| problem.codes[i]).collect(),
        y: of(&numbers(&all)),
    };
    let params = GradientBoosting { stages: 1, learning_rate: 1.0, ..GradientBoosting::default() };
    let weighted = fit(&params, &problem.table(Some(&weights)), &all);
    let removed = fit(&params, &less.table(None), &less.numbers());
    assert!(weighted.ensemble() == removed.ensemble() && weighted.ensemble().trees(0)[0].leaves() > 5);
}

/// A loss that is written by whoever uses the crate.
struct Own;
impl Objective for Own {
    fn name(&self) -> String {
        "own".into()
    }
    fn check(&self, truth: &Truth<'_>) -> Result<()> {
        truth.check_numbers()
    }
    fn start(&self, truth: &Truth<'_>) -> Vec<f64> {
        vec![truth.mean(|row| truth.y[row])]
    }
    fn derivatives(&self, truth: &Truth<'_>, scores: &[f64], out: &mut [Derivatives]) {
        for (row, out) in out.iter_mut().enumerate() {
            *out = Derivatives::of(scores[row] - truth.y[row], 1.0).times(truth.weight(row));
        }
    }
    fn loss(&self, truth: &Truth<'_>, scores: &[f64]) -> f64 {
        truth.mean(|row| 0.5 * (scores[row] - truth.y[row]).powi(2))
    }
}

#[test]
fn a_loss_of_ones_own_grows_the_same_trees() {
    let problem = Problem::new(500, 11);
    let weights: Vec<f64> = (0..500).map(|i| f64::from(i % 3)).collect();
    let offset: Vec<f64> = problem.columns[0].iter().map(|x| x / 2.0).collect();
    let early_stopping = Some(EarlyStopping { patience: 9, share: 0.1 });
    let params = GradientBoosting { stages: 8, early_stopping, ..GradientBoosting::default() };
    let (table, answers) = (problem.table(Some(&weights)), problem.numbers());
    let lesson = Lesson { offset: Some(&offset), ..Lesson::new(&answers) };
    let context = Context::default();
    let named = params.fit(&table, &lesson, &context).unwrap();
    let own = params.fit_objective(&table, &Own, &Truth::new(&problem.y), Some(&offset), &context).unwrap();
    assert!(named.model.ensemble() == own.model.ensemble());
    assert_eq!(named.model.validation(), own.model.validation());
    // A named loss does not go on with it.
    let params = GradientBoosting { early_stopping: None, ..params };
    let own = params.fit_objective(&table, &Own, &Truth::new(&problem.y), Some(&offset), &context).unwrap();
    assert!(params.continue_from(&own.model, &table, &lesson, &context).is_err());
    assert!(params.fit_objective(&table, &Own, &Truth::new(&problem.y[1..]), None, &context).is_err());
}

#[test]
fn a_column_of_one_row_each_is_learned() {
    // Offsets move where the scores start, and nothing else: a perfect offset leaves nothing to learn.
    let problem = Problem::new(200, 12);
    let (table, answers) = (problem.table(None), problem.numbers());
    let mean = problem.y.iter().sum::<f64>() / 200.0;
    let offset: Vec<f64> = problem.y.iter().map(|y| y - mean).collect();
    let lesson = Lesson { offset: Some(&offset), ..Lesson::new(&answers) };
    let fit = GradientBoosting::default().fit(&table, &lesson, &Context::default()).unwrap();
    assert!(fit.report.objective < 1e-20, "{}", fit.report.objective);
    let x: Vec<f64> = (0..200).map(f64::from).collect();
    let table = BinnedTable::new(&[Feature::Numeric(&x)], None, 255, 0).unwrap();
    let tree = DecisionTree { min_samples_leaf: 1, ..DecisionTree::default() };
    let penalty = Penalty { l2: 0.0, ..Penalty::default() };
    let params =
        GradientBoosting { stages: 1, learning_rate: 1.0, tree, penalty, ..GradientBoosting::default() };
    let boosted = params.fit(&table, &Lesson::new(&answers), &Context::default()).unwrap().model;
    let mut score = [0.0];
    for (x, y) in x.iter().zip(&problem.y) {
        boosted.ensemble().score_row(&[*x], &mut score);
        // Gradients are f32.
        assert!((score[0] - y).abs() < 1e-5, "{} for {y}", score[0]);
    }
}
