//! A system while a comparison goes on: its process, kept from problem to problem.

use super::peers::{OURS, Peer, Place};
use std::io;
use tilewise_report::worker::{Problem, Remote};

/// A system on a number of threads.
pub(super) struct System<'a> {
    pub(super) peer: &'a Peer,
    threads: usize,
    place: &'a Place,
    /// Told to sleep at once after each call.
    passive: bool,
    running: Option<Remote>,
    /// Of the last process that ran; empty before the first.
    pub(super) version: String,
    /// As the version.
    pub(super) configuration: String,
    /// Seconds that solving the last problem took.
    pub(super) solved_in: f64,
    failure: Option<io::Error>,
}

impl<'a> System<'a> {
    /// Nothing runs yet.
    pub(super) fn new(peer: &'a Peer, threads: usize, place: &'a Place, passive: bool) -> Self {
        let (version, configuration) = (String::new(), String::new());
        Self {
            peer,
            threads,
            place,
            passive,
            running: None,
            version,
            configuration,
            solved_in: 0.0,
            failure: None,
        }
    }

    /// Has it solve the problem once, starting its process where there is none, and stops it until its turn. After an
    /// error the next problem gets a new process.
    pub(super) fn solve(&mut self, problem: &Problem) -> io::Result<Vec<f64>> {
        let mut remote = match self.running.take() {
            Some(remote) => remote,
            None => {
                let mut remote = Remote::start(self.place.command(self.peer, self.threads, self.passive)?)?;
                self.version = remote.ask("version")?;
                self.configuration = remote.ask("configuration")?;
                remote
            }
        };
        remote.load(problem)?;
        self.solved_in = remote.run(1)?;
        let result = remote.result(&self.place.folder.join("result.bin"))?;
        remote.pause()?;
        self.running = Some(remote);
        Ok(result)
    }

    /// Seconds that so many repetitions of the loaded problem take. A peer that fails, which [`System::failed`] tells,
    /// takes for ever: the others go on.
    ///
    /// # Errors
    /// When our own side fails.
    pub(super) fn run(&mut self, repetitions: u64) -> io::Result<f64> {
        let Some(remote) = &mut self.running else { return Ok(f64::INFINITY) };
        match remote.run(repetitions) {
            Err(error) if self.peer.name != OURS.name => {
                self.failure = Some(error);
                self.running = None;
                Ok(f64::INFINITY)
            }
            outcome => outcome,
        }
    }

    /// How it failed since this was last asked, in words.
    pub(super) fn failed(&mut self) -> Option<String> {
        self.failure.take().map(|error| format!("{}: {error}", self.peer.name))
    }
}
