//! Measuring across processes: every system under comparison lives in a process of its own and is told over its
//! standard input what to do, so that thread pools, allocators and libraries of one cannot disturb another.
//!
//! The protocol is lines of text, answered by `ok ...` or `no REASON`:
//!
//! | line | meaning |
//! |---|---|
//! | `version` | what is measured, e.g. `ok 0.3.30` |
//! | `configuration` | how it was built and which code it chose on this processor |
//! | `load KIND ELEMENT SHAPE LAYOUT FOLDER` | read the operands (raw little-endian numbers, `FOLDER/NAME.bin`) |
//! | `run N` | do the work N times and answer the seconds all took; after the first time for a problem, untimed runs precede |
//! | `result FILE` | write what the last run computed as raw little-endian f64 |
//!
//! The end of the input ends the worker. `bench-harness/python/worker.py` speaks it too.

#[cfg(feature = "operands")]
mod element;
mod jobs;
#[cfg(feature = "operands")]
mod memory;
mod problem;
#[cfg(feature = "operands")]
mod product;
mod remote;
mod trees;

pub use jobs::{Job, Jobs};
pub use problem::{Layout, Problem};
pub use remote::Remote;
pub use trees::{Boosting, Operation, Trees};
#[cfg(feature = "operands")]
pub use {
    element::Element,
    memory::Memory,
    product::{Product, Stored},
};

use std::io::{self, BufRead, Write};
use std::time::{Duration, Instant};

/// A worker that was stopped has its threads asleep, its operands out of the caches and its processors at a low clock: MKL
/// at 200 cubed on two threads took 0.15 to 0.22 ms in its first run, 0.11 in later ones. So it works untimed for so long.
const WARMING: Duration = Duration::from_millis(5);

/// Work of so many seconds is not done an untimed time: what waking up costs is less than 1 % of it.
const LONG: f64 = 0.25;

/// A system under comparison, inside its process.
pub trait Worker {
    /// What is measured.
    fn version(&self) -> String;

    /// How it was built and which code it chose on this processor, as far as it tells.
    fn configuration(&self) -> String {
        String::new()
    }

    /// Reads the operands.
    ///
    /// # Errors
    /// When it cannot, or does not know the kind of problem.
    fn load(&mut self, problem: &Problem) -> Result<(), String>;

    /// Does the work `times` times. This alone is timed: the loop is the worker's own, so that work of nanoseconds is
    /// not measured together with the call of this method.
    ///
    /// # Errors
    /// When the work fails.
    fn run(&mut self, times: u64) -> Result<(), String>;

    /// What the last run computed.
    fn result(&self) -> Vec<f64>;
}

/// Answers on `output` what `input` asks until it ends.
///
/// # Errors
/// When the streams break.
pub fn serve(worker: &mut dyn Worker, input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let mut pace = None;
    for line in input.lines() {
        let line = line?;
        let answer = match line.split_once(' ').unwrap_or((&line, "")) {
            ("version", _) => Ok(worker.version()),
            ("configuration", _) => Ok(worker.configuration()),
            ("load", words) => match Problem::parse(words) {
                Some(problem) => {
                    pace = None;
                    worker.load(&problem).map(|()| String::new())
                }
                None => Err(format!("expected `load KIND ELEMENT SHAPE LAYOUT FOLDER`, not `{line}`")),
            },
            ("run", count) => run(worker, count, &mut pace),
            ("result", file) => {
                let bytes: Vec<u8> = worker.result().iter().flat_map(|x| x.to_le_bytes()).collect();
                std::fs::write(file, bytes).map(|()| String::new()).map_err(|error| error.to_string())
            }
            (other, _) => Err(format!("expected version, configuration, load, run or result, not `{other}`")),
        };
        match answer {
            Ok(text) => writeln!(output, "ok {}", text.replace('\n', " "))?,
            Err(reason) => writeln!(output, "no {}", reason.replace('\n', " "))?,
        }
        output.flush()?;
    }
    Ok(())
}

/// `pace`: seconds that one run of the loaded problem took, once it is known.
fn run(worker: &mut dyn Worker, count: &str, pace: &mut Option<f64>) -> Result<String, String> {
    let count: u64 = count.parse().map_err(|_| format!("expected `run N`, not `run {count}`"))?;
    if pace.is_some_and(|seconds| seconds < LONG) {
        let (start, mut times) = (Instant::now(), 1);
        while start.elapsed() < WARMING {
            worker.run(times)?;
            times *= 2;
        }
    }
    let start = Instant::now();
    worker.run(count)?;
    let seconds = start.elapsed().as_secs_f64();
    *pace = Some(seconds / count.max(1) as f64);
    Ok(seconds.to_string())
}

fn doubles(bytes: &[u8]) -> Vec<f64> {
    let eight = |b: &[u8]| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
    bytes.chunks_exact(8).map(eight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Squares(Vec<f64>, u64);
    impl Worker for Squares {
        fn version(&self) -> String {
            "squares\n1".into()
        }
        fn load(&mut self, problem: &Problem) -> Result<(), String> {
            if problem.kind != "square" {
                return Err(format!("{} is not known", problem.kind));
            }
            self.0 = problem.doubles("x", problem.shape[0]).map_err(|error| error.to_string())?;
            Ok(())
        }
        fn run(&mut self, times: u64) -> Result<(), String> {
            (0..times).for_each(|_| self.0.iter_mut().for_each(|x| *x *= *x));
            self.1 += times;
            Ok(())
        }
        fn result(&self) -> Vec<f64> {
            self.0.clone()
        }
    }

    #[test]
    fn a_worker_answers_line_by_line() {
        let folder = std::env::temp_dir().join(format!("tilewise worker {}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (kind, element) = ("square".to_string(), "f64".to_string());
        let layout = Layout::default();
        let problem = Problem { kind, element, shape: vec![2], layout, folder: folder.clone() };
        problem.write("x", &[2.0, 3.0]).unwrap();
        let file = folder.join("out");
        let input = format!(
            "version\n{}\nrun 2\nresult {}\nload cube f64 2 nn x\nload square f64 3 nn {}\nrun x\ndance\n",
            problem.line(),
            file.display(),
            folder.display()
        );
        let (mut worker, mut output) = (Squares(Vec::new(), 0), Vec::new());
        serve(&mut worker, input.as_bytes(), &mut output).unwrap();
        let output = String::from_utf8(output).unwrap();
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!((lines[0], lines[1], lines[3]), ("ok squares 1", "ok ", "ok "));
        assert!(lines[2].strip_prefix("ok ").unwrap().parse::<f64>().unwrap() >= 0.0);
        assert_eq!(lines[4], "no cube is not known");
        assert_eq!(lines[5], "no operand x has 16 bytes, not 24");
        assert!(lines[6].starts_with("no expected `run N`") && lines[7].starts_with("no expected version"));
        assert_eq!((doubles(&std::fs::read(&file).unwrap()), worker.1), (vec![16.0, 81.0], 2));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn untimed_work_precedes_timed_work_unless_it_is_long() {
        let mut worker = Squares(Vec::new(), 0);
        let mut pace = None;
        run(&mut worker, "2", &mut pace).unwrap();
        assert!(worker.1 == 2 && pace.is_some_and(|seconds| seconds < LONG));
        run(&mut worker, "3", &mut pace).unwrap();
        assert!(worker.1 > 5);
        let before = worker.1;
        run(&mut worker, "3", &mut Some(LONG)).unwrap();
        assert_eq!(worker.1, before + 3);
    }
}
