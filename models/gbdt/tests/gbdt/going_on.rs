//! Boosting that is stopped, kept on the way and gone on with: the same bytes as if nothing had happened.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tilewise_base::{
    Checkpoint, Column, Context, Dataset, Error, Model, ModelFile, Progress, Roles, predict_dataset,
};
use tilewise_gbdt::{BoostedModel, Dart, EarlyStopping, Goss, GradientBoosting};
use tilewise_kernels::random::Philox;
use tilewise_kernels::{MatMut, MatRef, parallel};
use tilewise_tree::DecisionTree;

/// Three numbers, a category, a target of numbers and one of three classes.
fn data(rows: usize) -> Dataset {
    let random = Philox::new(3, Philox::purpose("problem"));
    let x: Vec<Vec<f64>> =
        (0..3).map(|j| (0..rows).map(|i| random.normal((4 * i + j) as u64)).collect()).collect();
    let codes: Vec<u32> = (0..rows).map(|i| random.below(4 * i as u64 + 3, 5) as u32).collect();
    let noise = |i: usize| 0.3 * random.normal((4 * rows + i) as u64);
    let y: Vec<f64> = (0..rows)
        .map(|i| {
            x[0][i].sin()
                + x[1][i] * x[2][i].signum()
                + [0.0, 1.0, -1.0, 0.5, 2.0][codes[i] as usize]
                + noise(i)
        })
        .collect();
    let classes = y.iter().map(|y| u32::from(*y > -0.5) + u32::from(*y > 1.0)).collect();
    let words = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect();
    let mut columns: Vec<(String, Column)> =
        x.into_iter().enumerate().map(|(j, x)| (format!("x{j}"), Column::F64(x.into()))).collect();
    let code = Column::Categorical { codes: codes.into(), dictionary: words(&["a", "b", "c", "d", "e"]) };
    let class = Column::Categorical { codes: classes, dictionary: words(&["low", "mid", "high"]) };
    columns.extend([
        ("code".to_owned(), code),
        ("y".to_owned(), Column::F64(y.into())),
        ("class".to_owned(), class),
    ]);
    Dataset::new(columns).unwrap()
}

fn roles(target: &str) -> Roles {
    let other = if target == "y" { "class" } else { "y" };
    Roles { ignore: vec![other.into()], ..Roles::target(target) }
}

fn base() -> GradientBoosting {
    let tree = DecisionTree { max_leaves: Some(6), min_samples_leaf: 5, ..DecisionTree::default() };
    GradientBoosting { stages: 12, learning_rate: 0.3, tree, ..GradientBoosting::default() }
}

/// Plain; all that draws; early stopping, which ends before the last stage.
fn all() -> Vec<GradientBoosting> {
    let tree = DecisionTree { columns_by_tree: 0.8, columns_by_level: 0.7, ..base().tree };
    let draws =
        GradientBoosting { goss: Some(Goss { top: 0.3, other: 0.3 }), path_smoothing: 2.0, tree, ..base() };
    let stop = Some(EarlyStopping { patience: 3, share: 0.3 });
    let stops = GradientBoosting { stages: 400, subsample: 0.7, early_stopping: stop, ..base() };
    vec![base(), draws, stops]
}

fn fit(params: &GradientBoosting, data: &Dataset, target: &str, context: &Context<'_>) -> BoostedModel {
    BoostedModel::fit(params, 255, target == "class", data, &roles(target), context).unwrap()
}

fn loaded(bytes: &[u8]) -> BoostedModel {
    BoostedModel::from_file(&ModelFile::parse(bytes).unwrap()).unwrap()
}

#[test]
fn every_checkpoint_can_be_loaded_and_leads_to_the_same_bytes() {
    let data = data(400);
    for (params, target) in all().iter().flat_map(|params| [(params, "y"), (params, "class")]) {
        let whole = fit(params, &data, target, &Context::default());
        let bytes = whole.to_bytes().unwrap();
        for every in [1, 5] {
            let kept = Mutex::new(Vec::new());
            let keep = |bytes: &[u8]| {
                kept.lock().unwrap().push(bytes.to_vec());
                Ok(())
            };
            let context =
                Context { checkpoint: Some(Checkpoint { every, keep: &keep }), ..Context::default() };
            // Whoever listens changes nothing.
            assert!(fit(params, &data, target, &context).to_bytes().unwrap() == bytes);
            let kept = kept.into_inner().unwrap();
            let done = whole.report().rounds;
            assert_eq!(kept.len() as u64, (done - 1) / every, "after each but the last of {done}");
            for (place, file) in kept.iter().enumerate() {
                let part = loaded(file);
                assert_eq!(part.report().rounds, (place as u64 + 1) * every);
                assert!(!part.report().converged && part.boosted().stages() as u64 <= part.report().rounds);
                assert_eq!(predict_dataset(&part, &data, None).unwrap().len(), 400 * part.outputs());
                let go_on = || {
                    let (classify, context) = (target == "class", Context::default());
                    part.continued(params, 255, classify, &data, &roles(target), &context).unwrap()
                };
                let threads = 1 + place % 3;
                assert!(parallel::with_threads(threads, go_on).to_bytes().unwrap() == bytes, "{place}");
            }
        }
    }
    // What has ended goes on to what it is.
    let stops = &all()[2];
    let whole = fit(stops, &data, "y", &Context::default());
    assert!(whole.report().converged && whole.report().rounds < 400);
    let again = whole.continued(stops, 255, false, &data, &roles("y"), &Context::default()).unwrap();
    assert!(again.to_bytes().unwrap() == whole.to_bytes().unwrap());
}

/// Asks to stop after a round, and counts warnings.
struct Stop {
    after: u64,
    cancel: AtomicBool,
    warnings: AtomicU64,
}

impl Stop {
    fn new(after: u64) -> Self {
        Self { after, cancel: AtomicBool::new(false), warnings: AtomicU64::new(0) }
    }
}

impl Progress for Stop {
    fn round(&self, done: u64, _: u64, _: &str) {
        self.cancel.fetch_or(done >= self.after, Ordering::Relaxed);
    }
    fn warning(&self, text: &str) {
        assert!(text.contains("could not be kept") && text.contains("full"), "{text}");
        self.warnings.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn stopping_after_any_stage_leaves_a_model_that_goes_on() {
    let data = data(300);
    let dart = GradientBoosting { dart: Some(Dart { skip: 0.2, ..Dart::default() }), ..base() };
    for (params, target) in all().iter().chain([&dart]).zip(["y", "class", "y", "y"]) {
        let whole = fit(params, &data, target, &Context::default());
        for after in 1..whole.report().rounds {
            let stop = Stop::new(after);
            let context = Context { progress: &stop, cancel: &stop.cancel, ..Context::default() };
            let stopped = fit(params, &data, target, &context);
            let report = stopped.report();
            assert!(!report.converged && report.rounds == after, "{after}: {report:?}");
            assert!(report.warnings[0].contains(&format!("after {after} of {} stages", params.stages)));
            let file = stopped.to_bytes().unwrap();
            let part = loaded(&file);
            assert!(part.to_bytes().unwrap() == file);
            let (classify, context) = (target == "class", Context::default());
            let more = part.continued(params, 255, classify, &data, &roles(target), &context);
            if params.dart.is_some() {
                assert!(more.unwrap_err().to_string().contains("drop_rate"));
            } else {
                assert!(more.unwrap().to_bytes().unwrap() == whole.to_bytes().unwrap(), "{after}");
            }
        }
        // Before the first stage there is nothing to keep.
        let stop = Stop::new(1);
        stop.cancel.store(true, Ordering::Relaxed);
        let context = Context { progress: &stop, cancel: &stop.cancel, ..Context::default() };
        assert!(BoostedModel::fit(params, 255, target == "class", &data, &roles(target), &context).is_err());
    }
}

#[test]
fn what_cannot_be_kept_is_told_and_training_goes_on() {
    let data = data(200);
    let keep = |_: &[u8]| Err(Error::Fit("the disk is full".into()));
    let stop = Stop::new(u64::MAX);
    let checkpoint = Some(Checkpoint { every: 4, keep: &keep });
    let context = Context { progress: &stop, checkpoint, ..Context::default() };
    let model = fit(&base(), &data, "y", &context);
    let quiet = fit(&base(), &data, "y", &Context::default());
    assert!(model.to_bytes().unwrap() == quiet.to_bytes().unwrap());
    assert_eq!(stop.warnings.into_inner(), 2);
}

#[test]
fn first_stages_are_what_training_had_then() {
    let data = data(300);
    for target in ["y", "class"] {
        let whole = fit(&base(), &data, target, &Context::default());
        let ensemble = whole.boosted().ensemble();
        let scores = ensemble.scores();
        let row = |i: usize| [0.1 * i as f64 - 1.0, 0.5, f64::NAN, (i % 5) as f64];
        let cells: Vec<f64> = (0..30).flat_map(row).collect();
        let cells = MatRef::new(&cells, 30, 4).unwrap();
        let start: Vec<f64> = (0..30).map(|i| 0.01 * f64::from(i)).collect();
        let mut seen = 0;
        let mut see = |stages: usize, found: MatRef<'_, f64>| {
            assert_eq!(stages, seen);
            seen += 1;
            let mut expected = vec![0.0; 30 * scores];
            let first = ensemble.first(stages)?;
            first.score(cells, Some(&start), MatMut::new(&mut expected, 30, scores)?)?;
            assert!(
                (0..30 * scores)
                    .all(|i| expected[i].to_bits() == found.get(i / scores, i % scores).to_bits())
            );
            Ok(())
        };
        parallel::with_threads(3, || ensemble.score_stages(cells, Some(&start), &mut see)).unwrap();
        assert_eq!(seen, 13);
        for stages in [1, 7, 12] {
            let few = fit(&GradientBoosting { stages, ..base() }, &data, target, &Context::default());
            let first = whole.first_stages(stages).unwrap();
            assert_eq!(
                predict_dataset(&*first, &data, None).unwrap(),
                predict_dataset(&few, &data, None).unwrap()
            );
            assert!(loaded(&first.to_bytes().unwrap()).boosted().stages() == stages);
        }
        let told = |stages| whole.first_stages(stages).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(told(13).contains("stages: 13") && told(13).contains("12") && told(0).contains("stages: 0"));
        assert!(ensemble.score_stages(MatRef::new(&[0.0; 6], 2, 3).unwrap(), None, |_, _| Ok(())).is_err());
    }
}
