//! A process that takes over: it is given the socket, and both answer until one of them is told to end.

use crate::listener::Listener;
use crate::supervised::PidFile;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
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
}

impl Succession {
    pub(crate) fn new(successor: Option<Successor>, pid_file: Option<&Arc<PidFile>>) -> Self {
        Self { successor, pid_file: pid_file.map(Arc::downgrade).unwrap_or_default(), runs: Arc::default() }
    }

    /// Whether a successor runs.
    pub(crate) fn runs(&self) -> bool {
        self.runs.load(Ordering::Acquire)
    }

    /// Starts the successor, unless one runs. The pid file makes way for its own, and comes back if it ends first.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(&self, listener: &Listener) -> io::Result<()> {
        let Some(Successor { program, arguments, variable: (name, value) }) = &self.successor else {
            return Ok(());
        };
        if self.runs() {
            return Ok(());
        }
        let mut command = Command::new(program);
        command.args(arguments).env(name, value).stdin(listener.as_stdin()?);
        let pid_file = self.pid_file.clone();
        let file = |act: fn(&PidFile)| pid_file.upgrade().iter().for_each(|file| act(file));
        // Who waits for it comes first, so that there is no successor whose end nobody sees. Ends with this process at the latest.
        let (started, is_started) = std::sync::mpsc::channel::<Child>();
        let (runs, of_thread) = (Arc::clone(&self.runs), self.pid_file.clone());
        std::thread::Builder::new().name("tilewise-successor".into()).spawn(move || {
            let Ok(mut child) = is_started.recv() else { return };
            let _ = child.wait();
            of_thread.upgrade().iter().for_each(|file| file.come_back());
            runs.store(false, Ordering::Release);
        })?;
        file(PidFile::give_way);
        let child = command.spawn().inspect_err(|_| file(PidFile::come_back))?;
        self.runs.store(true, Ordering::Release);
        // The thread waits for it.
        let _ = started.send(child);
        Ok(())
    }
}
