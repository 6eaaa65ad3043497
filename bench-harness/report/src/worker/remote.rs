//! A worker seen from outside.

use super::Problem;
use super::doubles;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// How long a worker may take for an answer; the longest, a fit by another product, takes minutes.
const PATIENCE: Duration = Duration::from_secs(900);

/// A worker in a process of its own, seen from outside. It ends with this value.
pub struct Remote {
    child: Child,
    input: ChildStdin,
    /// Its lines, read by a thread that ends with the process.
    answers: Receiver<io::Result<String>>,
    patience: Duration,
    /// Stopped whenever it is not asked anything.
    paused: bool,
}

impl Remote {
    /// Starts the process.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: Command) -> io::Result<Self> {
        let mut child = bound(command).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => {
                let (send, answers) = channel();
                std::thread::spawn(move || {
                    for line in BufReader::new(output).lines() {
                        if send.send(line).is_err() {
                            break;
                        }
                    }
                });
                Ok(Self { child, input, answers, patience: PATIENCE, paused: false })
            }
            _ => Err(io::Error::other("the worker has no pipes")),
        }
    }

    /// Asks one line and waits for the answer.
    ///
    /// # Errors
    /// What the worker refused, that it ended, or that it gave no answer in 15 minutes, after which it is killed.
    pub fn ask(&mut self, line: &str) -> io::Result<String> {
        self.signal(false)?;
        writeln!(self.input, "{line}")?;
        self.input.flush()?;
        let answer = match self.answers.recv_timeout(self.patience) {
            Ok(line) => line?,
            Err(RecvTimeoutError::Disconnected) => String::new(),
            Err(RecvTimeoutError::Timeout) => {
                self.child.kill()?;
                let text = format!("the worker gave no answer in {} seconds", self.patience.as_secs_f64());
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
        };
        match answer.trim_end().split_once(' ').unwrap_or((answer.trim_end(), "")) {
            ("ok", text) => Ok(text.into()),
            ("no", reason) => Err(io::Error::other(reason.to_string())),
            ("", _) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the worker ended")),
            _ => Err(io::Error::other(format!("the worker answered `{}`", answer.trim_end()))),
        }
    }

    /// The most memory that the process has held so far, in bytes: `VmHWM` of Linux.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn peak_memory(&self) -> io::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        kibibytes.map(|n| 1024.0 * n).ok_or_else(|| io::Error::other("the system does not tell VmHWM"))
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

/// The command made so that its process is killed when ours ends in whatever way: one that is stopped would stay for ever.
/// util-linux's `setpriv` asks the kernel for it, for that needs no unsafe code; without it the command stays as it is.
fn bound(command: Command) -> Command {
    static BINDS: OnceLock<bool> = OnceLock::new();
    let with = || {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--pdeathsig", "KILL", "--"]);
        setpriv
    };
    if !*BINDS.get_or_init(|| with().arg("true").status().is_ok_and(|status| status.success())) {
        return command;
    }
    let mut bound = with();
    bound.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(name, value),
            None => bound.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        bound.current_dir(folder);
    }
    bound
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

    #[cfg(unix)]
    #[test]
    fn a_remote_is_paused_between_runs() {
        // Answers every line with the number of lines so far.
        let mut command = Command::new("sh");
        command.args(["-c", "n=0; while read -r line; do n=$((n+1)); echo \"ok $n\"; done"]);
        let mut remote = Remote::start(command).unwrap();
        assert_eq!(remote.ask("version").unwrap(), "1");
        assert_eq!(remote.run(5).unwrap(), 2.0);
        #[cfg(target_os = "linux")]
        assert!(remote.peak_memory().unwrap() > 1e4);
        assert!(remote.paused);
        assert_eq!((remote.run(5).unwrap(), remote.ask("version").unwrap()), (3.0, "4".into()));
        assert!(!remote.paused);
        let mut ended = Remote::start(Command::new("true")).unwrap();
        assert!(ended.ask("version").is_err());
        let mut silent = Command::new("sleep");
        silent.arg("1000");
        let mut silent = Remote::start(silent).unwrap();
        silent.patience = Duration::from_millis(50);
        assert_eq!(silent.ask("version").unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
