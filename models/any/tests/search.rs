//! Cross-validation and the search for settings, against closed forms and brute force.

use std::sync::atomic::{AtomicBool, Ordering};
use tilewise_base::metric::rmse;
use tilewise_base::{Column, Context, Dataset, Division, Progress, Roles, predict_dataset};
use tilewise_kernels::parallel::with_threads;
use tilewise_kernels::random::Philox;
use tilewise_models::{
    CrossValidation, FAMILIES, Method, Purpose, Resource, Search, Settings, Space, Tuned, cross_validate,
    mean_and_error, train, tune,
};

/// Numbers, a category and targets of each kind: `y` a noisy line, `kind` two classes, `three` three, `odd` a rare flag.
fn table(rows: usize) -> Dataset {
    let keys = Philox::new(3, Philox::purpose("rows of a test"));
    let draw = |row: usize, i: u64| keys.normal(row as u64 * 8 + i);
    let numbers = |f: &dyn Fn(usize) -> f64| Column::F64((0..rows).map(f).collect());
    let classes = |f: &dyn Fn(usize) -> u32, names: &[&str]| Column::Categorical {
        codes: (0..rows).map(f).collect(),
        dictionary: names.iter().map(|name| name.to_string()).collect(),
    };
    let score = |row: usize| draw(row, 0) + 0.5 * draw(row, 2);
    let columns = [
        ("a", numbers(&|row| draw(row, 0))),
        ("b", numbers(&|row| draw(row, 1))),
        ("y", numbers(&|row| 2.0 * draw(row, 0) - draw(row, 1) + 0.5 * draw(row, 2))),
        ("kind", classes(&|row| u32::from(score(row) > 0.3), &["no", "yes"])),
        (
            "three",
            classes(&|row| u32::from(score(row) > 0.6) + u32::from(score(row) > -0.4), &["x", "y", "z"]),
        ),
        ("odd", Column::Boolean((0..rows).map(|row| Some(row % 9 == 4)).collect())),
    ];
    Dataset::new(columns.map(|(name, column)| (name.to_owned(), column)).into()).unwrap()
}

fn roles(target: &str) -> Roles {
    let others = ["y", "kind", "three", "odd"].into_iter().filter(|name| *name != target);
    Roles { ignore: others.map(String::from).collect(), ..Roles::target(target) }
}

fn set(pairs: &[&str]) -> Settings {
    Settings::parse(pairs).unwrap()
}

fn search(texts: &[&str], method: Method) -> Search {
    Search { space: Space::parse(texts).unwrap(), method, metric: None }
}

fn found(family: &str, target: &str, rows: usize, fixed: &[&str], what: &Search) -> Result<Tuned, String> {
    let (data, context) = (table(rows), Context::default());
    tune(family, &data, &roles(target), &set(fixed), what, &Division::Random, 3, &context)
        .map_err(|e| e.to_string())
}

/// Leaving one out of a least-squares line leaves a residual of e / (1 - h) there (Allen, 1974), h the leverage of the row.
#[test]
fn leaving_one_out_is_its_closed_form() {
    let x: Vec<f64> = (0..12).map(|i| f64::from(i * i % 17)).collect();
    let y: Vec<f64> = x.iter().enumerate().map(|(i, x)| 3.0 - 0.4 * x + (i as f64 * 1.3).sin()).collect();
    let columns =
        vec![("x".into(), Column::F64(x.clone().into())), ("y".into(), Column::F64(y.clone().into()))];
    let data = Dataset::new(columns).unwrap();
    let folds = Division::Random.folds(12, 12, 5).unwrap();
    let of = |settings: &Settings| {
        cross_validate("linear", &data, &Roles::target("y"), settings, &folds, &Context::default()).unwrap()
    };
    let cv = of(&Settings::default());
    let mean = |v: &[f64]| v.iter().sum::<f64>() / 12.0;
    let (mx, my) = (mean(&x), mean(&y));
    let sxx: f64 = x.iter().map(|x| (x - mx).powi(2)).sum();
    let slope = x.iter().zip(&y).map(|(x, y)| (x - mx) * (y - my)).sum::<f64>() / sxx;
    for fold in &cv.folds {
        let row = folds[fold.fold].test[0];
        let leverage = 1.0 / 12.0 + (x[row] - mx).powi(2) / sxx;
        let residual = (y[row] - my - slope * (x[row] - mx)) / (1.0 - leverage);
        assert!((fold.scores[0].value - residual.abs()).abs() < 1e-9, "{row}");
        // The mean of the others is off by 12/11 of what the mean of all is.
        assert!((fold.plain[0].value - (y[row] - my).abs() * 12.0 / 11.0).abs() < 1e-9, "{row}");
        assert_eq!((fold.trained, fold.tested), (11, 1));
    }
    assert_eq!(cv.measures(), ["RMSE", "MAE", "R2"]);
    let values: Vec<f64> = cv.folds.iter().map(|fold| fold.scores[0].value).collect();
    assert_eq!(cv.summary()[0][0], mean_and_error(&values));
}

#[test]
fn the_error_is_that_of_a_mean() {
    let (mean, error) = mean_and_error(&[1.0, 3.0, 5.0, 7.0]);
    // Squares 9 + 1 + 1 + 9 = 20, over 3 and over 4.
    assert_eq!((mean, error), (4.0, (20.0f64 / 12.0).sqrt()));
    assert!(mean_and_error(&[2.0]).1.is_nan() && mean_and_error(&[1.0, f64::NAN]).0.is_nan());
}

#[test]
fn every_family_is_measured_with_the_same_bits_at_any_number_of_threads() {
    let plain = table(90);
    // Means of counts and amounts have logarithms.
    let amounts = plain.names().iter().zip(plain.columns()).map(|(name, column)| {
        let column = match column {
            Column::F64(y) if name == "y" => Column::F64(y.iter().map(|y| y.exp()).collect()),
            other => other.clone(),
        };
        (name.clone(), column)
    });
    let amounts = Dataset::new(amounts.collect()).unwrap();
    for family in FAMILIES {
        let data = if ["poisson", "gamma", "tweedie"].contains(&family.name) { &amounts } else { &plain };
        let (target, settings) = match family.purpose {
            Purpose::Regression => ("y", set(&[])),
            Purpose::Classification => ("three", set(&[])),
            Purpose::Either => ("kind", set(&[])),
            Purpose::Anomaly => ("odd", set(&["trees=10"])),
        };
        let flags: Vec<u32> = (0..90).map(|row| u32::from(row % 9 == 4)).collect();
        let division = if target == "odd" { Division::Strata(flags) } else { Division::Random };
        let folds = division.folds(90, 4, 1).unwrap();
        let of = |threads| {
            with_threads(threads, || {
                cross_validate(family.name, data, &roles(target), &settings, &folds, &Context::default())
                    .unwrap()
            })
        };
        let one = of(1);
        assert_eq!(one.folds.len(), 4);
        assert!(
            one.folds.iter().all(|fold| fold.scores.iter().all(|score| score.value.is_finite())),
            "{one:?}"
        );
        let bits = |cv: &CrossValidation| {
            let of_fold = cv.folds.iter().flat_map(|fold| fold.scores.iter().chain(&fold.plain));
            of_fold.map(|score| score.value.to_bits()).collect::<Vec<_>>()
        };
        for threads in [2, 3, 7] {
            assert_eq!(bits(&one), bits(&of(threads)), "{} on {threads} threads", family.name);
        }
    }
}

#[test]
fn a_class_that_a_fold_has_not_met_costs_what_a_certain_mistake_costs() {
    // The only row of class z is alone in time at the end.
    let codes: Vec<u32> = (0..9).map(|i| if i == 8 { 2 } else { i % 2 }).collect();
    let dictionary = ["x", "y", "z"].map(String::from).to_vec();
    let columns = vec![
        ("a".into(), Column::F64((0..9).map(f64::from).collect())),
        ("c".into(), Column::Categorical { codes: codes.into(), dictionary }),
    ];
    let data = Dataset::new(columns).unwrap();
    let folds = Division::Time((0..9).map(f64::from).collect()).folds(9, 8, 0).unwrap();
    let cv = cross_validate("tree", &data, &Roles::target("c"), &set(&[]), &folds[2..], &Context::default())
        .unwrap();
    let last = &cv.folds[5].scores;
    assert_eq!((last[0].name, last[1].value), ("log loss", 0.0));
    assert!((last[0].value + f64::EPSILON.ln()).abs() < 1e-9);
}

#[test]
fn a_grid_finds_what_trying_all_by_hand_finds() {
    let what = search(&["alpha=0.01,1,30,1000"], Method::Grid);
    let tuned = found("ridge", "y", 60, &[], &what).unwrap();
    let data = table(60);
    let mut by_hand = Vec::new();
    for (i, alpha) in ["0.01", "1", "30", "1000"].into_iter().enumerate() {
        let scores = Division::Random.folds(60, 3, 0).unwrap().into_iter().map(|fold| {
            let settings = set(&[&format!("alpha={alpha}")]);
            let model =
                train("ridge", &data.take(&fold.train), &roles("y"), &settings, &Context::default()).unwrap();
            let test = data.take(&fold.test);
            let truth = tilewise_base::roles::numbers(&test, "y").unwrap();
            rmse(&truth, &predict_dataset(&*model, &test, None).unwrap(), None).unwrap()
        });
        let (mean, error) = mean_and_error(&scores.collect::<Vec<_>>());
        by_hand.push((mean, error, i + 1));
    }
    by_hand.sort_by(|a, b| a.0.total_cmp(&b.0));
    let told: Vec<_> = tuned.trials.iter().map(|t| (t.rungs[0].mean, t.rungs[0].error, t.number)).collect();
    assert_eq!(told, by_hand);
    assert_eq!((tuned.metric, tuned.more_is_better, tuned.stopped), ("RMSE", false, false));
    let best = tuned.best().unwrap();
    assert_eq!(best.number, by_hand[0].2);
    for (trial, (mean, _, _)) in tuned.trials.iter().zip(&by_hand) {
        assert_eq!(tuned.is_near_best(trial), mean - by_hand[0].0 <= by_hand[0].1);
    }
}

#[test]
fn the_first_of_equals_is_the_best_and_more_can_be_better() {
    // A tree of two leaves does not ask for more depth.
    let mut what = search(&["max_depth=3,1,2"], Method::Grid);
    what.metric = Some("roc-auc".into());
    let tuned = found("tree", "kind", 80, &["max_leaves=2"], &what).unwrap();
    assert_eq!(tuned.trials.iter().map(|trial| trial.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(tuned.more_is_better && tuned.metric == "ROC AUC");
    let mut what = search(&["max_depth=1,4", "min_samples_leaf=1,40"], Method::Grid);
    what.metric = Some("accuracy".into());
    let tuned = found("tree", "kind", 80, &[], &what).unwrap();
    assert!(tuned.trials.iter().map(|trial| trial.rungs[0].mean).is_sorted_by(|a, b| a >= b));
}

#[test]
fn halving_gives_the_few_that_are_left_three_times_as_much() {
    let method = |trials, resource| Method::Halving { trials, factor: 3, resource };
    let what = search(&["max_depth=1..9", "min_samples_leaf=1..40:log"], method(28, Resource::Rows));
    let tuned = found("tree", "y", 900, &[], &what).unwrap();
    let steps: Vec<_> = tuned.rungs.iter().map(|rung| (rung.trials, (1.0 / rung.rows).round())).collect();
    assert_eq!(steps, [(28, 9.0), (9, 3.0), (3, 1.0)]);
    let reached = |n: usize| tuned.trials.iter().filter(|trial| trial.rungs.len() >= n).count();
    assert_eq!([reached(1), reached(2), reached(3)], [28, 9, 3]);
    // Who went on was better than who did not, rung for rung.
    for rung in 0..2 {
        let mean = |trial: &&tilewise_models::Trial| trial.rungs[rung].mean;
        let (on, off): (Vec<_>, Vec<_>) =
            tuned.trials.iter().filter(|t| t.rungs.len() > rung).partition(|t| t.rungs.len() > rung + 1);
        let worst = on.iter().map(mean).fold(f64::MIN, f64::max);
        assert!(off.iter().map(mean).all(|mean| mean >= worst));
    }
    // The best was measured with everything, as cross-validation measures it.
    let best = tuned.best().unwrap();
    let folds = Division::Random.folds(900, 3, 0).unwrap();
    let cv = cross_validate("tree", &table(900), &roles("y"), &best.settings, &folds, &Context::default())
        .unwrap();
    assert_eq!(cv.summary()[0][0].0, best.rungs[2].mean);
    // 200 training rows make four shares of 50 and no nine: one rung less.
    let tuned = found("tree", "y", 300, &[], &what).unwrap();
    assert_eq!(tuned.rungs.iter().map(|rung| rung.trials).collect::<Vec<_>>(), [28, 9]);
    // Stages instead of rows: the settings of the best are those of the last rung.
    let what = search(&["max_leaves=2..16"], method(9, Resource::Stages));
    let tuned = found("gbdt", "y", 60, &["stages=30"], &what).unwrap();
    assert_eq!(
        tuned.rungs.iter().map(|r| r.stages).collect::<Vec<_>>(),
        [Some(("stages", 10)), Some(("stages", 30))]
    );
    assert!(tuned.best().unwrap().settings.pairs().any(|pair| pair == ("stages", "30")));
    let refused =
        found("ridge", "y", 60, &[], &search(&["alpha=1..9"], method(9, Resource::Stages))).unwrap_err();
    assert!(refused.contains("ridge has none") && refused.contains("gbdt"), "{refused}");
    let refused =
        found("gbdt", "y", 60, &[], &search(&["stages=1..9"], method(9, Resource::Stages))).unwrap_err();
    assert!(refused.contains("stages is to vary itself"), "{refused}");
}

#[test]
fn a_search_has_the_same_bits_at_any_number_of_threads() {
    let ranges = ["learning_rate=0.02..0.3:log", "max_leaves=4,8,16"];
    let method = Method::Halving { trials: 9, factor: 3, resource: Resource::Rows };
    let what = search(&ranges, method);
    let of = |threads| with_threads(threads, || found("gbdt", "kind", 240, &["stages=12"], &what).unwrap());
    let one = of(1);
    assert_eq!(one.rungs.len(), 2);
    for threads in [2, 3] {
        assert_eq!(one, of(threads), "{threads} threads");
    }
}

#[test]
fn trials_that_cannot_be_trained_come_last_and_are_told() {
    let what = search(&["loss=poisson,squared", "stages=3,6"], Method::Grid);
    let tuned = found("gbdt", "y", 60, &[], &what).unwrap();
    let failed: Vec<bool> = tuned.trials.iter().map(|trial| trial.failed.is_some()).collect();
    assert_eq!(failed, [false, false, true, true]);
    assert!(tuned.best().unwrap().point[0] == "squared");
    let refused = found("gbdt", "y", 60, &[], &search(&["loss=poisson,gamma"], Method::Grid)).unwrap_err();
    assert!(refused.contains("no trial could be trained; trial 1") && refused.contains("fold"), "{refused}");
}

#[test]
fn what_is_not_accepted_is_told_before_anything_is_trained() {
    let refused = |fixed: &[&str], texts: &[&str], metric: Option<&str>| {
        let metric = metric.map(String::from);
        found("gbdt", "y", 60, fixed, &Search { metric, ..search(texts, Method::Grid) }).unwrap_err()
    };
    let message = refused(&[], &["colour=red,blue"], None);
    assert!(message.contains("colour") && message.contains("learning_rate"), "{message}");
    assert!(refused(&[], &["learning_rate=0.1,7"], None).contains("at most 1"));
    assert!(refused(&["stages=3"], &["stages=1,2"], None).contains("stages"));
    assert!(refused(&[], &["task=auto,regression"], None).contains("what is measured"));
    assert!(refused(&[], &["stages=1,2"], Some("accuracy")).contains("one of RMSE, MAE, R2 is"));
    let data = table(60);
    let none = Roles { targets: Vec::new(), ..roles("y") };
    let folds = Division::Random.folds(60, 2, 0).unwrap();
    let cv = cross_validate("isolation-forest", &data, &none, &set(&[]), &folds, &Context::default());
    assert!(cv.unwrap_err().to_string().contains("true and false"));
}

/// Stops the work after so many fits.
struct Stops {
    flag: AtomicBool,
    after: &'static str,
}

impl Progress for Stops {
    fn round(&self, _: u64, _: u64, note: &str) {
        if note.starts_with(self.after) {
            self.flag.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn what_is_done_when_it_is_stopped_is_what_would_have_been() {
    let what = search(&["alpha=0.01,1,30,1000"], Method::Grid);
    let stopped = |after| {
        let stops = Stops { flag: AtomicBool::new(false), after };
        let context = Context { progress: &stops, cancel: &stops.flag, ..Context::default() };
        let data = table(60);
        with_threads(1, || {
            tune("ridge", &data, &roles("y"), &set(&[]), &what, &Division::Random, 3, &context)
        })
    };
    // Seven fits: two trials of three folds, and one fold of the third, which does not count.
    let part = stopped("fit 7 ").unwrap();
    let whole = found("ridge", "y", 60, &[], &what).unwrap();
    assert!(part.stopped && part.trials.len() == 2);
    for trial in &part.trials {
        assert_eq!(trial.rungs, whole.trials.iter().find(|t| t.number == trial.number).unwrap().rungs);
    }
    assert!(matches!(stopped("fit 2 "), Err(tilewise_base::Error::Cancelled)));
}
