//! Measuring across processes: every system under comparison lives in a process of its own and is told over its
//! standard input what to do, so that thread pools, allocators and libraries of one cannot disturb another.
//!
//! The protocol is lines of text, answered by `ok ...` or `no REASON`:
//!
//! | line | meaning |
//! |---|---|
//! | `version` | what is measured, e.g. `ok 0.3.30` |
//! | `load KIND ELEMENT SHAPE FOLDER` | read the operands (raw little-endian numbers, `FOLDER/NAME.bin`) |
//! | `run N` | do the work N times and answer the seconds all took |
//! | `result FILE` | write what the last run computed as raw little-endian f64 |
//!
//! The end of the input ends the worker. `bench-harness/python/worker.py` speaks it too.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// What to compute on what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which computation, e.g. `gemm`.
    pub kind: String,
    /// `f32` or `f64`.
    pub element: String,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Where the operands lie.
    pub folder: PathBuf,
}

impl Problem {
    fn line(&self) -> String {
        let shape: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        format!("load {} {} {} {}", self.kind, self.element, shape.join("x"), self.folder.display())
    }

    fn parse(words: &str) -> Option<Self> {
        let mut parts = words.splitn(4, ' ');
        let (kind, element) = (parts.next()?.into(), parts.next()?.into());
        let shape = parts.next()?.split('x').map(|n| n.parse().ok()).collect::<Option<_>>()?;
        Some(Self { kind, element, shape, folder: parts.next()?.into() })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.bin"))
    }

    /// Writes an operand for all workers to read.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, name: &str, values: &[f64]) -> io::Result<()> {
        let bytes: Vec<u8> = match self.element.as_str() {
            "f32" => values.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        std::fs::write(self.file(name), bytes)
    }

    /// Reads an operand of f32.
    ///
    /// # Errors
    /// When the file cannot be read or holds another number of elements than `len`.
    pub fn read_f32(&self, name: &str, len: usize) -> io::Result<Vec<f32>> {
        let bytes = self.read(name, len * 4)?;
        Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    /// Reads an operand of f64.
    ///
    /// # Errors
    /// When the file cannot be read or holds another number of elements than `len`.
    pub fn read_f64(&self, name: &str, len: usize) -> io::Result<Vec<f64>> {
        Ok(doubles(&self.read(name, len * 8)?))
    }

    fn read(&self, name: &str, bytes: usize) -> io::Result<Vec<u8>> {
        let found = std::fs::read(self.file(name))?;
        if found.len() != bytes {
            return Err(io::Error::other(format!("operand {name} has {} bytes, not {bytes}", found.len())));
        }
        Ok(found)
    }
}

fn doubles(bytes: &[u8]) -> Vec<f64> {
    let eight = |b: &[u8]| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
    bytes.chunks_exact(8).map(eight).collect()
}

/// A system under comparison, inside its process.
pub trait Worker {
    /// What is measured.
    fn version(&self) -> String;

    /// Reads the operands.
    ///
    /// # Errors
    /// When it cannot, or does not know the kind of problem.
    fn load(&mut self, problem: &Problem) -> Result<(), String>;

    /// Does the work once. This alone is timed.
    ///
    /// # Errors
    /// When the work fails.
    fn run(&mut self) -> Result<(), String>;

    /// What the last run computed.
    fn result(&self) -> Vec<f64>;
}

/// Answers on `output` what `input` asks until it ends.
///
/// # Errors
/// When the streams break.
pub fn serve(worker: &mut dyn Worker, input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    for line in input.lines() {
        let line = line?;
        let answer = match line.split_once(' ').unwrap_or((&line, "")) {
            ("version", _) => Ok(worker.version()),
            ("load", words) => match Problem::parse(words) {
                Some(problem) => worker.load(&problem).map(|()| String::new()),
                None => Err(format!("expected `load KIND ELEMENT SHAPE FOLDER`, not `{line}`")),
            },
            ("run", count) => run(worker, count),
            ("result", file) => {
                let bytes: Vec<u8> = worker.result().iter().flat_map(|x| x.to_le_bytes()).collect();
                std::fs::write(file, bytes).map(|()| String::new()).map_err(|error| error.to_string())
            }
            (other, _) => Err(format!("expected version, load, run or result, not `{other}`")),
        };
        match answer {
            Ok(text) => writeln!(output, "ok {}", text.replace('\n', " "))?,
            Err(reason) => writeln!(output, "no {}", reason.replace('\n', " "))?,
        }
        output.flush()?;
    }
    Ok(())
}

fn run(worker: &mut dyn Worker, count: &str) -> Result<String, String> {
    let count: u64 = count.parse().map_err(|_| format!("expected `run N`, not `run {count}`"))?;
    let start = Instant::now();
    for _ in 0..count {
        worker.run()?;
    }
    Ok(start.elapsed().as_secs_f64().to_string())
}

/// A worker in a process of its own, seen from outside. It ends with this value.
pub struct Remote {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Stopped whenever it is not asked anything.
    paused: bool,
}

impl Remote {
    /// Starts the process.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => {
                Ok(Self { child, input, output: BufReader::new(output), paused: false })
            }
            _ => Err(io::Error::other("the worker has no pipes")),
        }
    }

    /// Asks one line and waits for the answer.
    ///
    /// # Errors
    /// What the worker refused, or that it ended.
    pub fn ask(&mut self, line: &str) -> io::Result<String> {
        self.signal(false)?;
        writeln!(self.input, "{line}")?;
        self.input.flush()?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        match answer.trim_end().split_once(' ').unwrap_or((answer.trim_end(), "")) {
            ("ok", text) => Ok(text.into()),
            ("no", reason) => Err(io::Error::other(reason.to_string())),
            ("", _) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the worker ended")),
            _ => Err(io::Error::other(format!("the worker answered `{}`", answer.trim_end()))),
        }
    }

    /// Loads a problem.
    ///
    /// # Errors
    /// As [`Remote::ask`].
    pub fn load(&mut self, problem: &Problem) -> io::Result<()> {
        self.ask(&problem.line()).map(|_| ())
    }

    /// Runs `repetitions` times, then stops the process until it is asked again: a pool whose threads spin after a call
    /// keeps its own pace and yet cannot slow whoever runs next.
    ///
    /// # Errors
    /// As [`Remote::ask`].
    pub fn run(&mut self, repetitions: u64) -> io::Result<f64> {
        let answer = self.ask(&format!("run {repetitions}"))?;
        self.pause()?;
        answer.parse().map_err(|_| io::Error::other(format!("`{answer}` is not a number of seconds")))
    }

    /// What the last run computed, by way of a file.
    ///
    /// # Errors
    /// As [`Remote::ask`].
    pub fn result(&mut self, file: &Path) -> io::Result<Vec<f64>> {
        self.ask(&format!("result {}", file.display()))?;
        let values = doubles(&std::fs::read(file)?);
        std::fs::remove_file(file)?;
        Ok(values)
    }

    /// Stops the process until it is asked again.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn pause(&mut self) -> io::Result<()> {
        self.signal(true)
    }

    /// Stops or continues the process. The shell sends the signal, for that needs no unsafe code.
    fn signal(&mut self, pause: bool) -> io::Result<()> {
        if pause != self.paused {
            let script = if pause { "kill -STOP \"$0\"" } else { "kill -CONT \"$0\"" };
            let status = Command::new("sh").args(["-c", script, &self.child.id().to_string()]).status()?;
            if !status.success() {
                return Err(io::Error::other("the worker could not be signalled"));
            }
            self.paused = pause;
        }
        Ok(())
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // It may have ended by itself; killing works on stopped processes too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Squares(Vec<f64>, u32);
    impl Worker for Squares {
        fn version(&self) -> String {
            "squares\n1".into()
        }
        fn load(&mut self, problem: &Problem) -> Result<(), String> {
            if problem.kind != "square" {
                return Err(format!("{} is not known", problem.kind));
            }
            self.0 = problem.read_f64("x", problem.shape[0]).map_err(|error| error.to_string())?;
            Ok(())
        }
        fn run(&mut self) -> Result<(), String> {
            self.0.iter_mut().for_each(|x| *x *= *x);
            self.1 += 1;
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
        let problem = Problem { kind, element, shape: vec![2], folder: folder.clone() };
        problem.write("x", &[2.0, 3.0]).unwrap();
        assert_eq!(Problem::parse(problem.line().strip_prefix("load ").unwrap()), Some(problem.clone()));
        let file = folder.join("out");
        let input = format!(
            "version\n{}\nrun 2\nresult {}\nload cube f64 2 x\nload square f64 3 {}\nrun x\ndance\n",
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

    #[cfg(unix)]
    #[test]
    fn a_remote_is_paused_between_runs() {
        // Answers every line with the number of lines so far.
        let mut command = Command::new("sh");
        command.args(["-c", "n=0; while read -r line; do n=$((n+1)); echo \"ok $n\"; done"]);
        let mut remote = Remote::start(command).unwrap();
        assert_eq!(remote.ask("version").unwrap(), "1");
        assert_eq!(remote.run(5).unwrap(), 2.0);
        assert!(remote.paused);
        assert_eq!((remote.run(5).unwrap(), remote.ask("version").unwrap()), (3.0, "4".into()));
        assert!(!remote.paused);
        let mut ended = Remote::start(Command::new("true")).unwrap();
        assert!(ended.ask("version").is_err());
    }
}
