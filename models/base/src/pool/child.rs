//! One worker process, as the pool sees it.

use super::message::{self, Order, Reply, VERSION};
use super::{SharedFile, WorkerCommand};
use crate::Error;
use std::io::{self, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// What every worker of a pool is started with.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) command: WorkerCommand,
    pub(super) kind: String,
    pub(super) setup: Vec<u8>,
    pub(super) file: Option<SharedFile>,
}

/// Why there is no answer.
pub(super) enum Trouble {
    /// The worker ended; how, in words.
    Lost(String),
    /// It makes no sense to go on.
    Fatal(Error),
}

/// A running worker. Dropped, it is ended.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts a worker and waits until it can take jobs.
    pub(super) fn start(plan: &Plan) -> Result<Self, Trouble> {
        let failed = |e: io::Error| {
            let what = format!("cannot be started as a worker process: {e}");
            Trouble::Fatal(Error::Worker(format!("{} {what}", plan.command)))
        };
        // One at a time: where pipes are not closed on start in one step (macOS), a worker could otherwise inherit the
        // pipe of another, which would then not notice that this process has gone.
        static STARTING: Mutex<()> = Mutex::new(());
        let start = || {
            Command::new(&plan.command.program)
                .args(&plan.command.arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                // A group of its own: Ctrl-C goes to this process, which says when workers end.
                .process_group(0)
                .spawn()
        };
        let child = {
            let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
            match &plan.file {
                Some(file) => file.inherited(start).and_then(|child| child),
                None => start(),
            }
        };
        let mut child = child.map_err(failed)?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(io::ErrorKind::BrokenPipe.into()));
        };
        let mut worker = Self { child, to, from: BufReader::new(from) };
        let file = plan.file.as_ref().map(SharedFile::number);
        let order = Order::Start { version: VERSION.into(), kind: plan.kind.clone(), file };
        match worker.say(plan, &order, &plan.setup)? {
            (Reply::Ready, _) => Ok(worker),
            (reply, _) => Err(odd(plan, &reply)),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Gives it a job. Its answer, or its error in words.
    pub(super) fn ask(
        &mut self,
        plan: &Plan,
        number: usize,
        job: &[u8],
    ) -> Result<Result<Vec<u8>, String>, Trouble> {
        let number = number as u64;
        match self.say(plan, &Order::Job { number }, job)? {
            (Reply::Done { number: of }, answer) if of == number => Ok(Ok(answer)),
            (Reply::Failed { number: of }, text) if of == number => Ok(Err(text_of(&text))),
            (reply, _) => Err(odd(plan, &reply)),
        }
    }

    /// Says something and waits for the reply.
    fn say(&mut self, plan: &Plan, order: &Order, body: &[u8]) -> Result<(Reply, Vec<u8>), Trouble> {
        let fatal = |what: String| Trouble::Fatal(Error::Worker(what));
        match message::send(&mut self.to, order, body) {
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => return Err(fatal(e.to_string())),
            // It may have told why before it went.
            Err(_) | Ok(()) => {}
        }
        match message::receive(&mut self.from) {
            Ok(Some((Reply::Refused, text))) => {
                Err(fatal(format!("worker process {} refuses: {}", plan.command, text_of(&text))))
            }
            Ok(Some(reply)) => Ok(reply),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                Err(fatal(format!("{} is not a worker process: it sends {e}", plan.command)))
            }
            Ok(None) | Err(_) => Err(Trouble::Lost(self.end())),
        }
    }

    /// Ends it; how it had ended, if it had.
    fn end(&mut self) -> String {
        // Neither changes anything once it has ended by itself.
        let _ = self.child.kill();
        self.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}

fn odd(plan: &Plan, reply: &Reply) -> Trouble {
    let what = format!("{} is not a worker process: it sends {reply:?}, which was not asked", plan.command);
    Trouble::Fatal(Error::Worker(what))
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
