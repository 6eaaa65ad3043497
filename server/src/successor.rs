//! A process that takes over: it is given the socket, and both answer until one of them is told to end.

use crate::listener::Listener;
use crate::repository::Order;
use crate::supervised::PidFile;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};

/// What SIGUSR2 starts (with [`crate::Config::signals`]): a program that listens on its standard input, as with
/// [`crate::Bind::Inherited`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Successor {
    /// Its file.
    pub program: PathBuf,
    /// What follows on its command line.
    pub arguments: Vec<OsString>,
    /// A variable of its environment that tells it to listen on its standard input: name and value.
    pub variable: (OsString, OsString),
}

/// Whether there is a successor, and how it comes to be.
pub(crate) struct Succession {
    successor: Option<Successor>,
    pid_file: Weak<PidFile>,
    runs: Arc<AtomicBool>,
    /// From a successor's start until the pid file is ours again: no other one starts meanwhile.
    engaged: Arc<AtomicBool>,
    /// Who tells what became of it.
    notices: Sender<Order>,
}

impl Succession {
    pub(crate) fn new(
        successor: Option<Successor>,
        pid_file: Option<&Arc<PidFile>>,
        notices: Sender<Order>,
    ) -> Self {
        let pid_file = pid_file.map(Arc::downgrade).unwrap_or_default();
        Self { successor, pid_file, runs: Arc::default(), engaged: Arc::default(), notices }
    }

    /// Whether a successor runs.
    pub(crate) fn runs(&self) -> bool {
        self.runs.load(Ordering::Acquire)
    }

    /// Starts the successor, unless one runs, or tells why it cannot be started. The pid file makes way for its own, and comes back if
    /// it ends first, which is told too.
    pub(crate) fn start(&self, listener: &Listener) {
        if let Err(e) = self.try_start(listener) {
            let program = self.successor.as_ref().map_or_else(PathBuf::new, |s| s.program.clone());
            tell(&self.notices, format!("the successor {} could not be started: {e}", program.display()));
        }
    }

    fn try_start(&self, listener: &Listener) -> io::Result<()> {
        let Some(Successor { program, arguments, variable: (name, value) }) = &self.successor else {
            return Ok(());
        };
        if self.engaged.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut command = Command::new(program);
        command.args(arguments).env(name, value).stdin(listener.as_stdin()?);
        let pid_file = self.pid_file.clone();
        let file = |act: fn(&PidFile)| pid_file.upgrade().iter().for_each(|file| act(file));
        // Who waits for it comes first, so that there is no successor whose end nobody sees. Ends with this process at the latest.
        let (started, is_started) = std::sync::mpsc::channel::<Child>();
        let (runs, engaged) = (Arc::clone(&self.runs), Arc::clone(&self.engaged));
        let (of_thread, notices) = (self.pid_file.clone(), self.notices.clone());
        std::thread::Builder::new().name("tilewise-successor".into()).spawn(move || {
            let Ok(mut child) = is_started.recv() else { return };
            let number = child.id();
            let ended = child.wait();
            // Before anything else: whoever ends now must not leave the pid file to it.
            runs.store(false, Ordering::Release);
            match ended {
                Ok(status) => tell(&notices, format!("the successor, process {number}, has ended: {status}")),
                Err(e) => {
                    tell(&notices, format!("the successor, process {number}, cannot be waited for: {e}"))
                }
            }
            of_thread.upgrade().iter().for_each(|file| file.come_back());
            engaged.store(false, Ordering::Release);
        })?;
        file(PidFile::give_way);
        let child = command.spawn().inspect_err(|_| file(PidFile::come_back))?;
        self.runs.store(true, Ordering::Release);
        self.engaged.store(true, Ordering::Release);
        // The thread waits for it.
        let _ = started.send(child);
        Ok(())
    }
}

fn tell(notices: &Sender<Order>, line: String) {
    // Fails when the server has ended.
    let _ = notices.send(Order::Tell(line));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Bind;
    use std::time::Duration;

    /// Whoever sends SIGUSR2 sees no error of ours: what became of the successor has to be told.
    #[test]
    fn what_becomes_of_a_successor_is_told() {
        let path = std::env::temp_dir().join(format!("tilewise-successor-{}", std::process::id()));
        let pid_file = Arc::new(PidFile::write(&path).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let bind = Bind::Tcp(([127, 0, 0, 1], 0).into());
        let listener = runtime.block_on(async { Listener::new(&bind, 1) }).unwrap();
        let told = |program: &str, argument: &str| {
            let (sender, orders) = std::sync::mpsc::channel();
            let successor = Successor {
                program: program.into(),
                arguments: vec!["-c".into(), argument.into()],
                variable: ("A".into(), "B".into()),
            };
            let succession = Succession::new(Some(successor), Some(&pid_file), sender);
            succession.start(&listener);
            match orders.recv_timeout(Duration::from_secs(20)) {
                Ok(Order::Tell(line)) => {
                    assert!(!succession.runs(), "{line}");
                    line
                }
                _ => panic!("nothing is told"),
            }
        };
        let line = told("/nowhere/at/all", "");
        assert!(line.contains("/nowhere/at/all could not be started: "), "{line}");
        let line = told("/bin/sh", "exit 3");
        assert!(line.contains("has ended: exit status: 3"), "{line}");
        // The file is this process's again in both cases, of the second once the thread that waits has done it.
        let start = std::time::Instant::now();
        while std::fs::read_to_string(&path).ok() != Some(format!("{}\n", std::process::id())) {
            assert!(start.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
