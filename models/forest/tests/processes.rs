//! Forests grown by worker processes: the bytes of threads, also where workers are lost, and errors that say what happened.
//! The worker is this program itself, called with `worker`, and with words more one that ends.

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
use tilewise_base::{Context, Engine, Model, Progress, Roles};
use tilewise_forest::{ForestModel, RandomForest, processes};
use tilewise_kernels::parallel;
use tilewise_tree::MaxBins;

const TESTS: [harness::Named; 5] = [
    ("processes_write_the_bytes_of_threads", processes_write_the_bytes_of_threads),
    ("a_killed_worker_changes_no_byte", a_killed_worker_changes_no_byte),
    ("a_tree_that_ends_every_worker_is_named", a_tree_that_ends_every_worker_is_named),
    ("a_cancelled_forest_keeps_its_trees", a_cancelled_forest_keeps_its_trees),
    ("either_engine_goes_on_with_a_forest_of_the_other", either_engine_goes_on_with_a_forest_of_the_other),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["worker"] => return pool::serve(processes::begin).unwrap(),
        // Ends at its first job, the first time that one comes to it.
        ["worker", "once", mark] => {
            let mark = mark.to_owned();
            return work(move |_| fs::File::create_new(&mark).is_ok());
        }
        // Ends whenever it is to grow this tree.
        ["worker", "always", tree] => {
            let tree = tree.parse::<u32>().unwrap().to_le_bytes();
            return work(move |job| job == tree);
        }
        _ => {}
    }
    harness::run(&TESTS, &arguments);
}

/// A worker that kills itself at a job for which `ends` holds.
fn work(ends: impl Fn(&[u8]) -> bool + 'static) {
    let begin = |start| -> tilewise_base::Result<Work> {
        let mut work = processes::begin(start)?;
        Ok(Box::new(move |job: &[u8]| {
            if ends(job) {
                Command::new("kill").args(["-9", &std::process::id().to_string()]).status().unwrap();
            }
            work(job)
        }))
    };
    pool::serve(begin).unwrap();
}

/// The forest of this many trees for classes, or numbers, as bytes.
fn fit(
    classify: bool,
    weighted: bool,
    trees: usize,
    context: &Context<'_>,
) -> tilewise_base::Result<Vec<u8>> {
    fit_bins(MaxBins::default(), classify, weighted, trees, context)
}

fn fit_bins(
    bins: MaxBins,
    classify: bool,
    weighted: bool,
    trees: usize,
    context: &Context<'_>,
) -> tilewise_base::Result<Vec<u8>> {
    let params = RandomForest { trees, out_of_bag: true, ..RandomForest::default() };
    ForestModel::fit(&params, bins, classify, &table(700), &roles(classify, weighted), context)?.to_bytes()
}

fn roles(classify: bool, weighted: bool) -> Roles {
    let (target, other) = if classify { ("class", "y") } else { ("y", "class") };
    let mut roles = Roles { ignore: vec![other.to_owned()], ..Roles::target(target) };
    if weighted {
        roles.weight = Some("w".into());
    } else {
        roles.ignore.push("w".into());
    }
    roles
}

fn engine(count: usize, words: &[&str]) -> Engine {
    let mut command = WorkerCommand::this_program().unwrap();
    command.arguments.extend(words.iter().map(Into::into));
    Engine::Processes(Workers { command, count })
}

/// What a fit tells a person.
#[derive(Default)]
struct Heard {
    warnings: Mutex<Vec<String>>,
    rounds: Mutex<Vec<u64>>,
}
impl Progress for Heard {
    fn round(&self, done: u64, total: u64, _: &str) {
        assert!(done <= total);
        self.rounds.lock().unwrap().push(done);
    }
    fn warning(&self, text: &str) {
        self.warnings.lock().unwrap().push(text.to_owned());
    }
}

fn processes_write_the_bytes_of_threads() {
    let few = MaxBins::default();
    // Some columns have 700 values: with a bin for each all bins are two bytes.
    for (bins, classify, weighted) in [
        (few, true, false),
        (few, true, true),
        (few, false, false),
        (few, false, true),
        (MaxBins::Exact, true, false),
        (MaxBins::Exact, false, true),
    ] {
        let fit = |context: &Context<'_>| fit_bins(bins, classify, weighted, 7, context).unwrap();
        let threads = parallel::with_threads(2, || fit(&Context::default()));
        for count in [1, 2, 3] {
            let heard = Heard::default();
            let context = Context { engine: engine(count, &[]), progress: &heard, ..Context::default() };
            assert!(fit(&context) == threads, "{bins} {classify} {weighted} {count}");
            let mut rounds = heard.rounds.into_inner().unwrap();
            rounds.sort_unstable();
            assert_eq!(rounds, [1, 2, 3, 4, 5, 6, 7]);
            assert!(heard.warnings.into_inner().unwrap().is_empty());
        }
    }
}

fn a_killed_worker_changes_no_byte() {
    let threads = fit(true, false, 9, &Context::default()).unwrap();
    for count in [1, 2] {
        let mark = std::env::temp_dir().join(format!("tilewise-forest-{}-{count}", std::process::id()));
        let heard = Heard::default();
        let engine = engine(count, &["once", &mark.display().to_string()]);
        let context = Context { engine, progress: &heard, ..Context::default() };
        let bytes = fit(true, false, 9, &context);
        fs::remove_file(mark).unwrap();
        assert!(bytes.unwrap() == threads, "{count} workers");
        let warnings = heard.warnings.into_inner().unwrap();
        let [text] = &warnings[..] else { panic!("{warnings:?}") };
        assert!(text.contains("was lost at job") && text.contains("signal: 9"), "{text}");
    }
}

fn a_tree_that_ends_every_worker_is_named() {
    let context = Context { engine: engine(2, &["always", "5"]), ..Context::default() };
    let message = fit(true, false, 9, &context).unwrap_err().to_string();
    assert!(message.starts_with("job 5 of \"trees of a forest\" ended 3 worker processes"), "{message}");
}

fn a_cancelled_forest_keeps_its_trees() {
    struct Stop(AtomicBool);
    impl Progress for Stop {
        fn round(&self, done: u64, _: u64, _: &str) {
            self.0.store(done >= 2, Ordering::Relaxed);
        }
    }
    let stop = Stop(AtomicBool::new(false));
    let context = Context { engine: engine(1, &[]), progress: &stop, cancel: &stop.0, ..Context::default() };
    let text = String::from_utf8_lossy(&fit(true, false, 9, &context).unwrap()).into_owned();
    assert!(text.contains("stopped after 2 of 9 trees"));
    stop.0.store(true, Ordering::Relaxed);
    let message = fit(true, false, 9, &context).unwrap_err().to_string();
    assert!(message.contains("before the first tree"), "{message}");
}

fn either_engine_goes_on_with_a_forest_of_the_other() {
    let (data, threads) = (table(700), Context::default());
    let processes = || Context { engine: engine(2, &[]), ..Context::default() };
    for (classify, quantiles) in [(true, vec![]), (false, vec![0.1, 0.5, 0.9])] {
        let roles = roles(classify, true);
        let params = |trees| RandomForest {
            trees,
            out_of_bag: true,
            quantiles: quantiles.clone(),
            ..RandomForest::default()
        };
        let fit = |trees, context: &Context<'_>| {
            ForestModel::fit(&params(trees), 255, classify, &data, &roles, context).unwrap()
        };
        let goes_on = |earlier: &ForestModel, trees, context: &Context<'_>| {
            earlier.continued(&params(trees), 255, classify, &data, &roles, context).unwrap()
        };
        let at_once = fit(9, &threads).to_bytes().unwrap();
        assert!(fit(9, &processes()).to_bytes().unwrap() == at_once);
        assert!(goes_on(&fit(4, &threads), 9, &processes()).to_bytes().unwrap() == at_once);
        let three = goes_on(&fit(2, &processes()), 3, &processes());
        assert!(goes_on(&three, 9, &threads).to_bytes().unwrap() == at_once);
        // Nothing is left to grow.
        let heard = Heard::default();
        let context = Context { progress: &heard, ..processes() };
        assert!(goes_on(&fit(9, &threads), 9, &context).to_bytes().unwrap() == at_once);
        assert!(heard.rounds.into_inner().unwrap().is_empty());
    }
}
