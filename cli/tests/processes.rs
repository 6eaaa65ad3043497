//! `train --engine processes` as a person runs it: the same model, also where a worker or the command itself is killed,
//! and neither processes nor files that are left.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A folder of one test's own, with a folder for temporary files in it; removed at its end.
struct Folder(PathBuf);

impl Folder {
    /// With a table of 2000 rows: four numbers, and a class that two of them decide.
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tilewise-processes-{test}-{}", std::process::id()));
        fs::create_dir_all(path.join("tmp")).unwrap();
        let mut csv = "a,b,c,d,class\n".to_owned();
        for i in 0..2000_u64 {
            let number = |k: u64| ((i * (k + 3) * 2_654_435_761) >> 7) % 1000;
            let class = if number(0) + number(1) > 900 + number(2) / 4 { "yes" } else { "no" };
            csv += &format!("{},{},{},{},{class}\n", number(0), number(1), number(2), number(3));
        }
        fs::write(path.join("data.csv"), csv).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn train(&self, model: &str, trees: usize, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tilewise"));
        command.env("TMPDIR", self.0.join("tmp")).args(["train", "--model", model, "--target", "class"]);
        command.args(["--data", &self.path("data.csv"), "--out", &self.path("m.safetensors")]);
        if model == "forest" {
            command.args(["--set", &format!("trees={trees}")]);
        }
        command.args(more);
        command
    }

    /// The bytes of the model, which is taken away.
    fn model(&self) -> Vec<u8> {
        let bytes = fs::read(self.path("m.safetensors")).unwrap();
        fs::remove_file(self.path("m.safetensors")).unwrap();
        bytes
    }

    /// That nothing but the table lies here.
    fn is_clean(&self) -> bool {
        let names = |path: PathBuf| -> Vec<_> {
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect()
        };
        names(self.0.clone()).len() == 2 && names(self.0.join("tmp")).is_empty()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const PROCESSES: [&str; 4] = ["--engine", "processes", "--workers", "2"];

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn works(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", error(&output));
    error(&output)
}

/// A command that is at work, and the processes that it has started.
struct Running {
    child: Child,
    workers: Vec<u32>,
}

impl Running {
    /// Starts it and waits until it has two workers.
    fn start(mut command: Command) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let id = child.id();
        let workers = || -> Vec<u32> {
            processes().iter().filter(|(_, parent, _)| *parent == id).map(|(id, ..)| *id).collect()
        };
        eventually("there are workers", || workers().len() >= 2);
        Self { child, workers: workers() }
    }

    fn workers_run(&self) -> bool {
        processes().iter().any(|(id, _, ended)| self.workers.contains(id) && !ended)
    }
}

/// All processes: number, number of the parent, whether it has ended and nobody has asked how.
fn processes() -> Vec<(u32, u32, bool)> {
    let ps = Command::new("ps").args(["-A", "-o", "pid=,ppid=,stat="]).output().unwrap();
    let text = String::from_utf8_lossy(&ps.stdout).into_owned();
    let of_line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some((words.first()?.parse().ok()?, words.get(1)?.parse().ok()?, words.get(2)?.starts_with('Z')))
    };
    text.lines().filter_map(of_line).collect()
}

fn signal(which: &str, id: u32) {
    assert!(Command::new("kill").args([which, &id.to_string()]).status().unwrap().success());
}

/// Waits for what must happen; a minute is only there so that a test that fails ends.
fn eventually(what: &str, happened: impl Fn() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn processes_write_the_bytes_of_threads_and_leave_nothing() {
    let folder = Folder::new("bytes");
    works(folder.train("forest", 12, &[]));
    let threads = folder.model();
    for workers in ["1", "2", "5"] {
        let more = ["--engine", "processes", "--workers", workers, "--quiet"];
        assert_eq!(works(folder.train("forest", 12, &more)), "");
        assert!(folder.model() == threads, "{workers} workers");
    }
    works(folder.train("forest", 12, &["--engine", "processes", "--threads", "3"]));
    assert!(folder.model() == threads);
    // A forest of 5 trees that goes on.
    works(folder.train("forest", 5, &[]));
    let earlier = folder.path("m.safetensors");
    works(folder.train("forest", 12, &[&PROCESSES[..], &["--continue", &earlier]].concat()));
    assert!(folder.model() == threads);
    // What is trained on pieces of the table.
    let boosted = ["--set", "stages=4"];
    works(folder.train("gbdt", 0, &boosted));
    let threads_of_gbdt = folder.model();
    works(folder.train("gbdt", 0, &[&PROCESSES[..], &boosted].concat()));
    assert!(folder.model() == threads_of_gbdt);
    let extra = ["--set", "trees=5"];
    works(folder.train("extra-trees", 5, &extra));
    let threads = folder.model();
    works(folder.train("extra-trees", 5, &[&PROCESSES[..], &extra].concat()));
    assert!(folder.model() == threads && folder.is_clean());
}

#[test]
fn a_killed_worker_is_told_and_changes_nothing() {
    let folder = Folder::new("killed");
    // Minutes of work, which end when the loss was told.
    let mut running = Running::start(folder.train("forest", 1_000_000, &PROCESSES));
    signal("-9", running.workers[0]);
    let mut stderr = BufReader::new(running.child.stderr.take().unwrap());
    let mut told = String::new();
    while !(told.contains("warning: ") && told.contains("was lost") && told.contains("round ")) {
        assert!(stderr.read_line(&mut told).unwrap() > 0, "{told}");
    }
    signal("-INT", running.child.id());
    stderr.read_to_string(&mut told).unwrap();
    assert_eq!(running.child.wait().unwrap().code(), Some(130), "{told}");
    // As many trees by threads at once.
    let trees = told.split("stopped after ").nth(1).and_then(|rest| rest.split(' ').next());
    let trees: usize = trees.and_then(|trees| trees.parse().ok()).unwrap_or_else(|| panic!("{told}"));
    // Trees of a higher number may have been done while one was lost.
    let trees = trees + 8;
    let stopped = folder.path("m.safetensors");
    works(folder.train("forest", trees, &["--continue", &stopped]));
    let processes = folder.model();
    works(folder.train("forest", trees, &[]));
    assert!(folder.model() == processes && folder.is_clean());
}

#[test]
fn a_killed_command_leaves_neither_workers_nor_files() {
    let folder = Folder::new("gone");
    // Minutes of work.
    let mut running = Running::start(folder.train("forest", 1_000_000, &PROCESSES));
    assert!(running.workers_run());
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    eventually("workers end", || !running.workers_run());
    assert!(folder.is_clean());
}

#[test]
fn ctrl_c_keeps_the_trees_that_are_grown() {
    let folder = Folder::new("interrupted");
    let mut running = Running::start(folder.train("forest", 1_000_000, &PROCESSES));
    // Without a tree there is no model to keep.
    let mut stderr = BufReader::new(running.child.stderr.take().unwrap());
    let mut told = String::new();
    while !told.contains("round 1 of at most 1000000") {
        assert!(stderr.read_line(&mut told).unwrap() > 0, "{told}");
    }
    signal("-INT", running.child.id());
    stderr.read_to_string(&mut told).unwrap();
    assert_eq!(running.child.wait().unwrap().code(), Some(130), "{told}");
    assert!(told.contains("of 1000000 trees") && !running.workers_run(), "{told}");
    assert!(folder.model().len() > 1000 && folder.is_clean());
}

#[test]
fn what_cannot_be_done_is_told() {
    let folder = Folder::new("refused");
    let fails = |mut command: Command, told: &[&str]| {
        let output = command.output().unwrap();
        let error = error(&output);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(told.iter().all(|part| error.contains(part)), "{error}");
    };
    fails(
        folder.train("network", 1, &PROCESSES),
        &["engine", "for network only threads is", "train linear, ridge"],
    );
    fails(folder.train("forest", 1, &["--workers", "2"]), &["--workers is for --engine processes"]);
    assert_eq!(folder.train("forest", 1, &["--engine", "fibres"]).output().unwrap().status.code(), Some(2));
    // An error of a tree, not of a worker.
    let bad = ["--set", "criterion=squared"];
    fails(folder.train("forest", 3, &[&PROCESSES[..], &bad].concat()), &["criterion: squared", "gini"]);
    // A worker that is given something else than orders says so.
    let program = env!("CARGO_BIN_EXE_tilewise");
    let mut worker = Command::new(program);
    worker.arg("worker").stdin(fs::File::open(folder.path("data.csv")).unwrap());
    fails(worker, &["stdin holds bytes that are no message", "a,b,c,d"]);
    // And one without any ends quietly.
    let output = Command::new(program).arg("worker").stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty());
    assert!(folder.is_clean());
}
