//! Training on pieces by worker processes: the bytes of threads for trees and boosting, their numbers up to rounding for linear models,
//! also where workers are killed. The worker is this program itself, called with `worker`, and with words more one that ends.

#[path = "../../base/tests/support/harness.rs"]
mod harness;
#[path = "../../base/tests/support/table.rs"]
mod table;

use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use table::table;
use tilewise_base::pool::{self, Work, WorkerCommand, Workers};
use tilewise_base::{Column, Context, Dataset, Engine, Progress, Result, Roles};
use tilewise_kernels::random::Philox;
use tilewise_models::{Settings, begin, load_bytes, train};

const TESTS: [harness::Named; 6] = [
    (
        "rankings_and_rows_held_out_are_the_bytes_of_threads",
        rankings_and_rows_held_out_are_the_bytes_of_threads,
    ),
    ("trees_are_the_bytes_of_threads", trees_are_the_bytes_of_threads),
    (
        "linear_models_do_not_depend_on_the_number_of_workers",
        linear_models_do_not_depend_on_the_number_of_workers,
    ),
    ("killed_workers_change_no_byte", killed_workers_change_no_byte),
    ("what_is_cancelled_keeps_its_stages", what_is_cancelled_keeps_its_stages),
    ("what_cannot_be_done_is_told", what_cannot_be_done_is_told),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["worker"] => return pool::serve(begin).unwrap(),
        // Ends at this job of its own, the first time that a worker comes to it.
        ["worker", "at", job, mark] => return work(job.parse().unwrap(), mark.to_owned()),
        _ => {}
    }
    harness::run(&TESTS, &arguments);
}

/// A worker that kills itself at its job of this number, once for all workers.
fn work(at: usize, mark: String) {
    let begin = move |start| -> Result<Work> {
        let (mut work, mut done) = (begin(start)?, 0);
        Ok(Box::new(move |job: &[u8]| {
            done += 1;
            if done == at && fs::File::create_new(&mark).is_ok() {
                Command::new("kill").args(["-9", &std::process::id().to_string()]).status().unwrap();
            }
            work(job)
        }))
    };
    pool::serve(begin).unwrap();
}

/// The model of these settings (`key=value` apart by blanks) as bytes.
fn fit(family: &str, target: &str, settings: &str, context: &Context<'_>) -> Result<Vec<u8>> {
    let settings = settings.split_whitespace().fold(Settings::default(), |all, word| {
        let (key, value) = word.split_once('=').unwrap();
        all.with(key, value)
    });
    let other = if target == "y" { "class" } else { "y" };
    let roles = Roles { weight: Some("w".into()), ignore: vec![other.into()], ..Roles::target(target) };
    train(family, &table(5000), &roles, &settings, context)?.to_bytes()
}

fn engine(count: usize, words: &[&str]) -> Engine {
    let mut command = WorkerCommand::this_program().unwrap();
    command.arguments.extend(words.iter().map(Into::into));
    Engine::Processes(Workers { command, count })
}

const TREES: [(&str, &str, &str); 4] = [
    ("gbdt", "class", "stages=3 max_leaves=8"),
    ("gbdt", "y", "stages=6 subsample=0.6 early_stopping=2"),
    ("tree", "class", "max_depth=6"),
    ("tree", "y", "max_leaves=20"),
];

fn trees_are_the_bytes_of_threads() {
    for (family, target, settings) in TREES {
        let threads = fit(family, target, settings, &Context::default()).unwrap();
        for count in [1, 2, 5] {
            let context = Context { engine: engine(count, &[]), ..Context::default() };
            assert!(fit(family, target, settings, &context).unwrap() == threads, "{family} {target} {count}");
        }
    }
}

/// Pieces hold whole queries, whatever their lengths.
fn rankings_and_rows_held_out_are_the_bytes_of_threads() {
    let rows = 5000;
    let data = table(rows);
    let number = |of: &dyn Fn(usize) -> f64| Column::F64((0..rows).map(of).collect::<Vec<f64>>().into());
    let mut columns: Vec<(String, Column)> =
        data.names().iter().cloned().zip(data.columns().iter().cloned()).collect();
    columns.push(("query".into(), number(&|row| (row / 37) as f64)));
    columns.push(("relevance".into(), number(&|row| (row * row % 4) as f64)));
    columns.push(("out".into(), number(&|row| f64::from(u8::from(row / 37 % 5 == 0)))));
    let data = Dataset::new(columns).unwrap();
    let ignore = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let fit = |settings: &[(&str, &str)], roles: &Roles, engine: Engine| {
        let settings = settings.iter().fold(Settings::default(), |all, (key, value)| all.with(key, value));
        let context = Context { engine, ..Context::default() };
        train("gbdt", &data, roles, &settings, &context).unwrap().to_bytes().unwrap()
    };
    let ranking = Roles {
        group: Some("query".into()),
        ignore: ignore(&["class", "y", "w"]),
        ..Roles::target("relevance")
    };
    let held_out = Roles { held_out: Some("out".into()), ..ranking.clone() };
    let drawn = Roles { ignore: ignore(&["class", "y", "w", "out"]), ..ranking.clone() };
    let numbers = Roles {
        held_out: Some("out".into()),
        ignore: ignore(&["class", "w", "query", "relevance"]),
        ..Roles::target("y")
    };
    let stages = ("stages", "4");
    let mut fits = Vec::new();
    for (settings, roles) in [
        (&[stages, ("loss", "lambda_rank")][..], &drawn),
        (&[stages, ("loss", "lambda_rank:5"), ("early_stopping", "2")], &drawn),
        (&[stages, ("loss", "lambda_rank"), ("early_stopping", "2")], &held_out),
        (&[stages, ("early_stopping", "2")], &numbers),
    ] {
        let threads = fit(settings, roles, Engine::default());
        for count in [1, 3] {
            assert!(fit(settings, roles, engine(count, &[])) == threads, "{settings:?} {count}");
        }
        fits.push(threads);
    }
    assert!(fits[1] != fits[2]);
    let told = |family: &str, settings: &[(&str, &str)], roles: &Roles| {
        let settings = settings.iter().fold(Settings::default(), |all, (key, value)| all.with(key, value));
        train(family, &data, roles, &settings, &Context::default())
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default()
    };
    assert!(told("gbdt", &[], &numbers).contains("early_stopping must be a number of stages"));
    assert!(told("gbdt", &[("early_stopping", "2"), ("validation", "0.3")], &numbers).contains("validation"));
    assert!(
        told("forest", &[], &numbers).contains("\"out\"")
            && told("ridge", &[], &numbers).contains("gbdt stops early")
    );
}

/// Sums are merged at other places: what is left is rounding.
const CHUNKING: f64 = 1e-9;

fn linear_models_do_not_depend_on_the_number_of_workers() {
    for (family, target) in [("ridge", "y"), ("logistic", "class"), ("poisson", "y"), ("huber", "y")] {
        let of = |count: usize| {
            let context = Context { engine: engine(count, &[]), ..Context::default() };
            fit(family, target, "", &context).unwrap()
        };
        let one = of(1);
        for count in [2, 5] {
            assert!(of(count) == one, "{family} {count}");
        }
        let threads = load_bytes(&fit(family, target, "", &Context::default()).unwrap()).unwrap();
        let data = table(200);
        let told =
            |model: &dyn tilewise_base::Model| tilewise_base::predict_dataset(model, &data, None).unwrap();
        let (ours, theirs) = (told(load_bytes(&one).unwrap().as_ref()), told(threads.as_ref()));
        let largest = theirs.iter().fold(1.0, |most: f64, x| most.max(x.abs()));
        let error = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(ours.len() == theirs.len() && error <= CHUNKING * largest, "{family} {error}");
    }
}

#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Progress for Warnings {
    fn round(&self, _: u64, _: u64, _: &str) {}
    fn warning(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

fn killed_workers_change_no_byte() {
    // At rounds of all kinds, where many are asked for at drawn ones.
    let deep = std::env::var_os("TILEWISE_DEEP").is_some();
    let random = Philox::new(0, Philox::purpose("rounds at which workers are killed"));
    let drawn = (0..20).map(|i| 1 + (random.bits(i) % 20) as usize);
    let at: Vec<usize> = if deep { drawn.collect() } else { vec![1, 4, 9] };
    let families = if deep { 4 } else { 2 };
    for (family, target, settings) in &TREES[..families] {
        let threads = fit(family, target, settings, &Context::default()).unwrap();
        for at in &at {
            let mark = std::env::temp_dir().join(format!("tilewise-pieces-killed-{}", std::process::id()));
            let heard = Warnings::default();
            let engine = engine(2, &["at", &at.to_string(), &mark.display().to_string()]);
            let bytes =
                fit(family, target, settings, &Context { engine, progress: &heard, ..Context::default() });
            let was_killed = fs::remove_file(&mark).is_ok();
            assert!(bytes.unwrap() == threads, "{family} {target}, killed at job {at}");
            let warnings = heard.0.into_inner().unwrap();
            assert_eq!(warnings.len(), usize::from(was_killed), "{warnings:?}");
            assert!(was_killed || deep, "{family} {target} has no job {at}");
        }
    }
}

fn what_is_cancelled_keeps_its_stages() {
    struct Stop(AtomicBool);
    impl Progress for Stop {
        fn round(&self, _: u64, _: u64, note: &str) {
            self.0.store(note.starts_with("stage 2 "), Ordering::Relaxed);
        }
    }
    let stop = Stop(AtomicBool::new(false));
    let context = Context { engine: engine(2, &[]), progress: &stop, cancel: &stop.0, ..Context::default() };
    let stopped = load_bytes(&fit("gbdt", "y", "stages=50", &context).unwrap()).unwrap();
    assert!(stopped.report().warnings[0].contains("2 of 50 stages"), "{:?}", stopped.report());
    // Before there is a stage there is no model.
    stop.0.store(true, Ordering::Relaxed);
    assert!(fit("gbdt", "y", "stages=50", &context).is_err());
}

fn what_cannot_be_done_is_told() {
    let context = || Context { engine: engine(2, &[]), ..Context::default() };
    let told = |family: &str, target: &str, settings: &str| {
        fit(family, target, settings, &context()).unwrap_err().to_string()
    };
    assert!(
        told("lasso", "y", "").contains("processes train linear, ridge, logistic"),
        "{}",
        told("lasso", "y", "")
    );
    assert!(told("gbdt", "y", "loss=huber:1").contains("in rounds auto, squared"));
    assert!(told("ridge", "y", "alpha=-1").contains("alpha"));
    let mut command = WorkerCommand::this_program().unwrap();
    command.program = "/nowhere/tilewise".into();
    let engine = Engine::Processes(Workers { command, count: 2 });
    let error = fit("tree", "y", "", &Context { engine, ..Context::default() }).unwrap_err().to_string();
    assert!(error.contains("/nowhere/tilewise"), "{error}");
}
