//! A pool of worker processes: jobs go to them and answers come back as bytes; what all of them read is mapped.
//!
//! **Who is who.** The pool starts processes by a command that its caller names, by default this program with the argument
//! `worker`; such a command is to call [`serve`]. Each worker runs on one thread, and has a thread of the pool that gives it a
//! job, waits for the answer, and gives it the next.
//!
//! **Protocol.** Messages go to stdin and come from stdout of the worker (`pool/message.rs` has their bytes); stderr passes
//! through. The first is *start* (version, kind of jobs, setup, number of the shared file), answered by *ready*; then *job*
//! and *done* or *failed* (with the text of an error) take turns. A worker answers *refused* to whatever makes no sense,
//! and says why. Answers are taken as they come and returned in the order of job numbers.
//!
//! **Shared memory.** A [`SharedFile`] is written once, has no name, is inherited by workers and mapped by them to read: one
//! copy for all. Since it has no name, none is left, however processes end.
//!
//! **Who dies when.** A worker that ends (killed, panicked, out of memory) costs the job it was doing: a new one is started
//! in its place, and the job is done again. A job that three workers end at, one after another, is an error. An error of a
//! job is an error, not a loss. When the pool goes, also when its process is killed, stdin of the workers ends, and they exit
//! at once. Workers are in process groups of their own, so that Ctrl-C at a terminal reaches the pool's process alone; what
//! it asks to stop is the handing out of jobs.

mod child;
mod message;
mod shared;
mod worker;

use crate::{Context, Error, Result};
use child::{Plan, Trouble, Worker};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

pub use shared::SharedFile;
pub use worker::{Start, Work, serve};

/// Workers that may end at a job, one after another, before it is given up.
const ENDED: usize = 3;

/// How a worker process is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl WorkerCommand {
    /// This program, with the argument `worker`.
    ///
    /// # Errors
    /// When the system does not say where this program is.
    pub fn this_program() -> Result<Self> {
        let program = std::env::current_exe()
            .map_err(|e| Error::Worker(format!("it is not known where this program is: {e}")))?;
        Ok(Self { program, arguments: vec!["worker".into()] })
    }
}

impl fmt::Display for WorkerCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.program)?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {}", argument.display()))
    }
}

/// How many workers, and how they are started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workers {
    /// How one is started.
    pub command: WorkerCommand,
    /// How many, 1 at least.
    pub count: usize,
}

/// Worker processes with one setup. They are started as jobs come, and end when it is dropped.
#[derive(Debug)]
pub struct Pool {
    plan: Plan,
    workers: Vec<Option<Worker>>,
    /// Whether each worker has jobs of its own.
    at_home: bool,
}

impl Pool {
    /// A pool for jobs of this kind; every worker gets `setup` and the shared file.
    pub fn new(workers: &Workers, kind: &str, setup: Vec<u8>, file: Option<SharedFile>) -> Self {
        let plan = Plan { command: workers.command.clone(), kind: kind.to_owned(), setup, file };
        Self { plan, workers: (0..workers.count.max(1)).map(|_| None).collect(), at_home: false }
    }

    /// The same pool, where a job always goes to the same worker, or to the one in its place: that of number job modulo workers. For
    /// jobs that come again and again and leave something in their worker.
    #[must_use]
    pub fn at_home(self) -> Self {
        Self { at_home: true, ..self }
    }

    /// Does jobs 0 to `jobs` - 1. `job` gives the bytes of one (each time it is handed out), `take` makes of its answer what
    /// is returned, in the order of jobs; both are called by several threads.
    ///
    /// When the context is cancelled no more jobs are handed out; those that were not have no answer. Workers that are lost
    /// are told to the context's progress.
    ///
    /// # Errors
    /// Of several errors that of the first job: its own, one of `take`, that it ended three workers, or that there cannot
    /// be workers. No more jobs are then handed out.
    pub fn run<A: Send>(
        &mut self,
        jobs: usize,
        job: impl Fn(usize) -> Vec<u8> + Sync,
        take: impl Fn(usize, Vec<u8>) -> Result<A> + Sync,
        context: &Context<'_>,
    ) -> Result<Vec<Option<A>>> {
        let board = Board::new(if self.at_home { self.workers.len() } else { 1 }, jobs);
        let plan = &self.plan;
        let (shared, job, take) = (&board, &job, &take);
        let attend = |home: usize, place: &mut Option<Worker>| {
            while let Some(number) = if context.cancelled() { None } else { shared.next(home) } {
                let asked = match place.take().map_or_else(|| Worker::start(plan), Ok) {
                    Ok(mut worker) => {
                        let id = worker.id();
                        let asked = worker.ask(plan, number, &job(number));
                        if asked.is_ok() {
                            *place = Some(worker);
                        }
                        asked.map_err(|trouble| (trouble, format!("worker process {id}")))
                    }
                    Err(trouble) => Err((trouble, "a worker process that was not ready yet".into())),
                };
                let failed = match asked {
                    Ok(Ok(answer)) => take(number, answer).map(|answer| shared.put(number, answer)).err(),
                    Ok(Err(text)) => Some(Error::Fit(text)),
                    Err((Trouble::Fatal(error), _)) => Some(error),
                    Err((Trouble::Lost(how), who)) => {
                        let what = format!("{who} was lost at job {number} ({how})");
                        if shared.give_back(home, number) < ENDED {
                            context.progress.warning(&format!("{what}; the job is done again"));
                            None
                        } else {
                            let kind = &plan.kind;
                            Some(Error::Worker(format!(
                                "job {number} of {kind:?} ended {ENDED} worker processes, one after another; {what}"
                            )))
                        }
                    }
                };
                if let Some(error) = failed {
                    shared.fail(number, error);
                }
            }
        };
        thread::scope(|scope| {
            for (home, place) in self.workers.iter_mut().enumerate().take(jobs) {
                let started = thread::Builder::new().spawn_scoped(scope, move || attend(home, place));
                if let Err(e) = started {
                    shared.fail(jobs, Error::Worker(format!("there is no thread for a worker process: {e}")));
                }
            }
        });
        board.end()
    }
}

/// Who does what, and what is done.
struct Board<A>(Mutex<Jobs<A>>);

struct Jobs<A> {
    /// Jobs that are to be handed out: one list for all workers, or one for each.
    lists: Vec<VecDeque<usize>>,
    /// How many workers ended at a job.
    ended: BTreeMap<usize, usize>,
    answers: Vec<Option<A>>,
    error: Option<(usize, Error)>,
}

impl<A> Board<A> {
    fn new(lists: usize, jobs: usize) -> Self {
        let answers = (0..jobs).map(|_| None).collect();
        let lists = (0..lists).map(|list| (list..jobs).step_by(lists).collect()).collect();
        Self(Mutex::new(Jobs { lists, ended: BTreeMap::new(), answers, error: None }))
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs<A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job for a worker; `None` when all are handed out or one failed.
    fn next(&self, worker: usize) -> Option<usize> {
        let mut jobs = self.jobs();
        if jobs.error.is_some() {
            return None;
        }
        let lists = jobs.lists.len();
        jobs.lists[worker % lists].pop_front()
    }

    fn put(&self, number: usize, answer: A) {
        self.jobs().answers[number] = Some(answer);
    }

    /// Takes a job back. Whoever gave it back asks for the next one, so none is forgotten. How many workers ended at it.
    fn give_back(&self, worker: usize, number: usize) -> usize {
        let mut jobs = self.jobs();
        let lists = jobs.lists.len();
        jobs.lists[worker % lists].push_front(number);
        let ended = jobs.ended.entry(number).or_default();
        *ended += 1;
        *ended
    }

    fn fail(&self, number: usize, error: Error) {
        let mut jobs = self.jobs();
        if jobs.error.as_ref().is_none_or(|(first, _)| number < *first) {
            jobs.error = Some((number, error));
        }
    }

    fn end(self) -> Result<Vec<Option<A>>> {
        let jobs = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        jobs.error.map_or(Ok(jobs.answers), |(_, error)| Err(error))
    }
}

/// The bytes of a setup, a job or an answer: postcard.
///
/// # Errors
/// When it is of a kind that postcard has no form for.
pub fn to_bytes(what: &impl Serialize) -> Result<Vec<u8>> {
    postcard::to_stdvec(what).map_err(|e| Error::Worker(format!("a message cannot be written: {e}")))
}

/// What such bytes stand for.
///
/// # Errors
/// When they do not, or there are more.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let what = |what: String| Error::Worker(format!("a message cannot be read: {what}"));
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, more)) => Err(what(format!("it has {} bytes too many", more.len()))),
        Err(e) => Err(what(e.to_string())),
    }
}
