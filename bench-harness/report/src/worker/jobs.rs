//! A worker made of jobs: what it loads is a value that can be run again and again.

use super::{Problem, Worker};

/// A problem with its operands in memory.
pub trait Job {
    /// Does the work `times` times, see [`Worker::run`].
    ///
    /// # Errors
    /// When the work fails.
    fn run(&mut self, times: u64) -> Result<(), String>;

    /// What the last run computed.
    fn result(&self) -> Vec<f64>;
}

/// A worker that makes a [`Job`] of every problem it is asked for.
pub struct Jobs<L> {
    version: String,
    configuration: String,
    load: L,
    loaded: Option<Box<dyn Job>>,
}

impl<L: FnMut(&Problem) -> Result<Box<dyn Job>, String>> Jobs<L> {
    /// `load` reads the operands of a problem.
    pub fn new(version: impl Into<String>, configuration: impl Into<String>, load: L) -> Self {
        Self { version: version.into(), configuration: configuration.into(), load, loaded: None }
    }
}

impl<L: FnMut(&Problem) -> Result<Box<dyn Job>, String>> Worker for Jobs<L> {
    fn version(&self) -> String {
        self.version.clone()
    }

    fn configuration(&self) -> String {
        self.configuration.clone()
    }

    fn load(&mut self, problem: &Problem) -> Result<(), String> {
        // The operands before go first: two sets of the largest need not fit.
        self.loaded = None;
        self.loaded = Some((self.load)(problem)?);
        Ok(())
    }

    fn run(&mut self, times: u64) -> Result<(), String> {
        self.loaded.as_mut().map_or(Err("nothing is loaded".into()), |job| job.run(times))
    }

    fn result(&self) -> Vec<f64> {
        self.loaded.as_ref().map_or(Vec::new(), |job| job.result())
    }
}
