//! Worker processes: order of answers, errors, lost workers, shared memory, and that nothing is left. The worker is this
//! program itself, called with `worker`, and the process that is killed is this program called with `owner`.

#[path = "support/harness.rs"]
mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tilewise_base::pool::{self, Pool, SharedFile, Start, Work, WorkerCommand, Workers};
use tilewise_base::{Context, Error, Progress, Result, part};

const TESTS: [harness::Named; 10] = [
    ("answers_come_in_the_order_of_jobs", answers_come_in_the_order_of_jobs),
    ("workers_serve_more_than_one_run", workers_serve_more_than_one_run),
    ("all_workers_read_the_same_memory", all_workers_read_the_same_memory),
    ("an_error_of_a_job_is_an_error", an_error_of_a_job_is_an_error),
    ("a_lost_worker_costs_its_job_alone", a_lost_worker_costs_its_job_alone),
    ("a_job_that_ends_every_worker_is_named", a_job_that_ends_every_worker_is_named),
    ("commands_that_are_no_workers_are_refused", commands_that_are_no_workers_are_refused),
    ("a_cancelled_run_keeps_what_is_done", a_cancelled_run_keeps_what_is_done),
    ("workers_end_with_their_pool", workers_end_with_their_pool),
    ("workers_end_when_their_owner_is_killed", workers_end_when_their_owner_is_killed),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("worker") => return pool::serve(begin).unwrap(),
        Some("owner") => return own(&arguments[1]),
        _ => {}
    }
    harness::run(&TESTS, &arguments);
}

/// Jobs are a word and what it is about.
fn begin(start: Start) -> Result<Work> {
    let setup = String::from_utf8_lossy(&start.setup).into_owned();
    Ok(Box::new(move |job: &[u8]| {
        let job = String::from_utf8_lossy(job).into_owned();
        let (word, about) = job.split_once(' ').unwrap_or((&job, ""));
        match word {
            "say" => Ok(format!("{setup} {about}").into_bytes()),
            "id" => Ok(std::process::id().to_string().into_bytes()),
            "fail" => Err(Error::Fit(about.to_owned())),
            "sum" => {
                let columns = start.part.as_ref().map(|part| part.section("columns")).transpose()?;
                let sum: u64 =
                    columns.iter().flat_map(|bytes| bytes.iter()).map(|&byte| u64::from(byte)).sum();
                Ok(sum.to_string().into_bytes())
            }
            // The first worker that comes here ends, in one way or another.
            "once" => {
                let (how, mark) = about.split_once(' ').unwrap();
                if fs::File::create_new(mark).is_ok() {
                    end(how);
                }
                Ok(b"survived".to_vec())
            }
            "wait" => {
                fs::write(format!("{about}-{}", std::process::id()), "").unwrap();
                std::thread::sleep(Duration::from_secs(600));
                Ok(Vec::new())
            }
            how => end(how),
        }
    }))
}

fn end(how: &str) -> ! {
    match how {
        "panic" => {
            // As the test wants it to; nobody need read of it.
            std::panic::set_hook(Box::new(|_| ()));
            panic!()
        }
        "exit" => std::process::exit(3),
        _ => {
            kill(std::process::id());
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }
}

fn kill(id: u32) {
    assert!(Command::new("kill").args(["-9", &id.to_string()]).status().unwrap().success());
}

/// A pool of two workers that wait, until it is killed.
fn own(mark: &str) {
    let job = |_: usize| format!("wait {mark}").into_bytes();
    let _ = pool(2, "").run(2, job, |_, _| Ok(()), &Context::default());
}

fn workers(count: usize) -> Workers {
    Workers { command: WorkerCommand::this_program().unwrap(), count }
}

fn pool(count: usize, setup: &str) -> Pool {
    Pool::new(&workers(count), "test", setup.as_bytes().to_vec(), None)
}

/// The answers, as text.
fn run(pool: &mut Pool, jobs: &[String], context: &Context<'_>) -> Result<Vec<Option<String>>> {
    let job = |number: usize| jobs[number].clone().into_bytes();
    pool.run(jobs.len(), job, |_, answer| Ok(String::from_utf8(answer).unwrap()), context)
}

/// What a run tells a person.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);
impl Progress for Heard {
    fn round(&self, _: u64, _: u64, _: &str) {}
    fn warning(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

struct Folder(PathBuf);
impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tilewise-pool-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
    fn names(&self) -> Vec<String> {
        fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn says(jobs: usize) -> Vec<String> {
    (0..jobs).map(|i| format!("say {i}")).collect()
}

fn answers_come_in_the_order_of_jobs() {
    for count in [1, 2, 3] {
        let answers = run(&mut pool(count, "job"), &says(20), &Context::default()).unwrap();
        assert_eq!(answers, (0..20).map(|i| Some(format!("job {i}"))).collect::<Vec<_>>());
    }
    assert_eq!(run(&mut pool(2, ""), &[], &Context::default()).unwrap(), []);
}

fn workers_serve_more_than_one_run() {
    let mut pool = pool(1, "");
    let id = |pool: &mut Pool| run(pool, &["id".into()], &Context::default()).unwrap();
    assert_eq!(id(&mut pool), id(&mut pool));
}

fn all_workers_read_the_same_memory() {
    // More than a pipe holds.
    let columns: Vec<u8> = (0..300_000).map(|i| (i % 251) as u8).collect();
    let sum: u64 = columns.iter().map(|&byte| u64::from(byte)).sum();
    let file = SharedFile::new(|to| part::write(to, "test", &(), &[("columns", &columns)])).unwrap();
    let mut pool = Pool::new(&workers(2), "test", Vec::new(), Some(file));
    let answers = run(&mut pool, &vec!["sum".to_owned(); 4], &Context::default()).unwrap();
    assert_eq!(answers, vec![Some(sum.to_string()); 4]);
}

fn an_error_of_a_job_is_an_error() {
    let mut jobs = says(8);
    (jobs[5], jobs[2]) = ("fail no such thing".into(), "fail column \"x\" holds nothing".into());
    let mut pool = pool(1, "");
    let message = run(&mut pool, &jobs, &Context::default()).unwrap_err().to_string();
    assert_eq!(message, "column \"x\" holds nothing");
    // The worker is as good as before.
    assert_eq!(run(&mut pool, &says(1), &Context::default()).unwrap(), [Some(" 0".into())]);
    let refuse = |number: usize, _| if number == 3 { Err(Error::Fit("bad answer".into())) } else { Ok(()) };
    let taken = pool.run(8, |_| b"say it".to_vec(), refuse, &Context::default());
    assert_eq!(taken.unwrap_err().to_string(), "bad answer");
}

fn a_lost_worker_costs_its_job_alone() {
    let folder = Folder::new("lost");
    for (how, told) in [("kill", "signal: 9"), ("panic", "exit status: 101"), ("exit", "exit status: 3")] {
        for count in [1, 2] {
            let mut jobs = says(6);
            jobs[3] = format!("once {how} {}", folder.path(&format!("{how}-{count}")));
            let heard = Heard::default();
            let context = Context { progress: &heard, ..Context::default() };
            let answers = run(&mut pool(count, ""), &jobs, &context).unwrap();
            let mut expected: Vec<Option<String>> = (0..6).map(|i| Some(format!(" {i}"))).collect();
            expected[3] = Some("survived".into());
            assert_eq!(answers, expected);
            let heard = heard.0.into_inner().unwrap();
            let [text] = &heard[..] else { panic!("{heard:?}") };
            assert!(text.contains("at job 3") && text.contains(told) && text.contains("again"), "{text}");
        }
    }
}

fn a_job_that_ends_every_worker_is_named() {
    let mut jobs = says(6);
    jobs[4] = "kill".into();
    for count in [1, 2] {
        let heard = Heard::default();
        let context = Context { progress: &heard, ..Context::default() };
        let message = run(&mut pool(count, ""), &jobs, &context).unwrap_err().to_string();
        assert!(message.starts_with("job 4 of \"test\" ended 3 worker processes"), "{message}");
        assert!(message.contains("signal: 9"), "{message}");
        assert_eq!(heard.0.into_inner().unwrap().len(), 2);
    }
}

fn commands_that_are_no_workers_are_refused() {
    let message = |program: &str, arguments: &[&str]| {
        let arguments = arguments.iter().map(Into::into).collect();
        let command = WorkerCommand { program: program.into(), arguments };
        let mut pool = Pool::new(&Workers { command, count: 2 }, "test", Vec::new(), None);
        run(&mut pool, &says(3), &Context::default()).unwrap_err().to_string()
    };
    for (program, arguments, told) in [
        ("/nowhere/tilewise", &["worker"][..], &["/nowhere/tilewise", "worker", "cannot be started"][..]),
        ("echo", &["hello"], &["\"echo\" hello is not a worker process", "begin with \"hello"]),
        ("true", &[], &["ended 3 worker processes", "not ready yet", "exit status: 0"]),
    ] {
        let message = message(program, arguments);
        assert!(told.iter().all(|part| message.contains(part)), "{message}");
    }
}

fn a_cancelled_run_keeps_what_is_done() {
    let cancel = AtomicBool::new(false);
    let context = Context { cancel: &cancel, ..Context::default() };
    let take = |number: usize, _| {
        cancel.store(number == 2, Ordering::Relaxed);
        Ok(number)
    };
    let answers = pool(1, "").run(6, |_| b"say it".to_vec(), take, &context).unwrap();
    assert_eq!(answers, [Some(0), Some(1), Some(2), None, None, None]);
}

/// Whether there is such a process, other than as a number that nobody has asked about yet.
fn runs(id: u32) -> bool {
    let ps = Command::new("ps").args(["-o", "stat=", "-p", &id.to_string()]).output().unwrap();
    let state = String::from_utf8_lossy(&ps.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}

fn workers_end_with_their_pool() {
    let mut pool = pool(3, "");
    let answers = run(&mut pool, &vec!["id".to_owned(); 12], &Context::default()).unwrap();
    let ids: Vec<u32> = answers.into_iter().map(|id| id.unwrap().parse().unwrap()).collect();
    assert!(ids.iter().all(|&id| runs(id)));
    drop(pool);
    assert!(!ids.iter().any(|&id| runs(id)));
}

/// Waits for what must happen; a minute is only there so that a test that fails ends.
fn eventually(what: &str, happened: impl Fn() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn workers_end_when_their_owner_is_killed() {
    let folder = Folder::new("owner");
    let program: &Path = &std::env::current_exe().unwrap();
    let mut owner = Command::new(program).args(["owner", &folder.path("at")]).spawn().unwrap();
    eventually("two workers are at work", || folder.names().len() == 2);
    let ids = folder.names().iter().map(|name| name[3..].parse().unwrap()).collect::<Vec<u32>>();
    assert!(ids.iter().all(|&id| runs(id)));
    owner.kill().unwrap();
    owner.wait().unwrap();
    eventually("workers end in the middle of their jobs", || !ids.iter().any(|&id| runs(id)));
}
