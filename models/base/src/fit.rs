//! What a fit is given besides data (seed, scheme, progress, a way to stop) and what it tells besides the model.

use crate::pool::Workers;
use crate::{CoefficientPath, Storage};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use tilewise_kernels::parallel::Scheme;

/// How a fit went. Every fit returns one; it is stored in the model file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FitReport {
    /// Whether the stopping criterion was met.
    pub converged: bool,
    /// Why the fit ended, in words.
    pub stopped: String,
    /// The value of what was minimised, penalty included, per unit of weight. NaN when it is not finite.
    #[serde(with = "crate::finite")]
    pub objective: f64,
    /// How far from the minimum: the largest absolute entry of the gradient of `objective` (KKT residual), or the duality gap of penalties
    /// that have corners; 0 for closed forms that have neither.
    #[serde(with = "crate::finite")]
    pub optimality: f64,
    /// Rounds (passes over the data that were needed one after another).
    pub rounds: u64,
    /// What a person should know: non-convergence, separation, dropped rank ...
    pub warnings: Vec<String>,
}

/// A fitted model and how the fit went.
#[derive(Clone, Debug)]
pub struct Fit<M> {
    /// The model.
    pub model: M,
    /// How it went.
    pub report: FitReport,
}

/// Hears from long work.
pub trait Progress: Sync {
    /// `done` rounds of at most `total` (0 when unknown) are over; `note` is a short text such as `loss 0.3121`.
    fn round(&self, done: u64, total: u64, note: &str);
    /// Something happened that a person should know and that does not belong into a model: a worker process was lost.
    fn warning(&self, _text: &str) {}
    /// Whether it wants [`Progress::losses`], which cost a pass over the scores of all rows each.
    fn wants_losses(&self) -> bool {
        false
    }
    /// What is made smaller, after a round, of families that add round to round: on the rows that are learned from, and on those
    /// that are held out to stop early, if there are any.
    fn losses(&self, _done: u64, _training: f64, _held_out: Option<f64>) {}
    /// Whether it wants [`Progress::path`], which costs a fit for each weight of a penalty.
    fn wants_path(&self) -> bool {
        false
    }
    /// What coefficients are over weights of the penalty, of linear models that are fitted along such a path: lasso and elastic net, and others
    /// whose weight is chosen by cross-validation. No model keeps it. Where it cannot be made [`Progress::warning`] tells.
    fn path(&self, _path: &CoefficientPath) {}
    /// What a forest that is judged out of the bag predicts for its rows by the trees that were grown without them: rows x outputs,
    /// NaN where there is no such tree. No model keeps it.
    fn out_of_bag(&self, _predictions: &[f64]) {}
}

/// Hears nothing.
pub struct Silent;
impl Progress for Silent {
    fn round(&self, _: u64, _: u64, _: &str) {}
}

/// Where the pieces of a fit are done. No bit of a model of trees depends on it; sums of linear models may merge at other places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// By threads of this process.
    #[default]
    Threads,
    /// By worker processes, where a family can: one thread each, and any number gives the same bits.
    Processes(Workers),
}

/// Where a fit puts the model of the rounds that are done, now and then, so that little is lost with the process.
#[derive(Clone, Copy)]
pub struct Checkpoint<'a> {
    /// Rounds between two; a family's own, such as stages of boosting. 0 is as good as 1.
    pub every: u64,
    /// Takes the file of a model that can be loaded, used and gone on with. Where it fails the fit tells [`Progress::warning`] and goes on.
    pub keep: &'a (dyn Fn(&[u8]) -> crate::Result<()> + Sync),
}

/// What a fit is given besides data and parameters.
pub struct Context<'a> {
    /// Key of every random number.
    pub seed: u64,
    /// How work is divided.
    pub scheme: Scheme,
    /// Where it is done.
    pub engine: Engine,
    /// Where what is as long as the table is put.
    pub storage: Storage,
    /// Hears of every round.
    pub progress: &'a dyn Progress,
    /// Set by Ctrl-C: the fit ends at the next round and keeps what it has.
    pub cancel: &'a AtomicBool,
    /// Gets models on the way, of families that have them; the others do not look at it.
    pub checkpoint: Option<Checkpoint<'a>>,
}

impl<'a> Context<'a> {
    /// The same for a fit that is a part of another: it tells nothing of its rounds.
    pub fn silent(&self) -> Context<'a> {
        let (seed, scheme, cancel) = (self.seed, self.scheme, self.cancel);
        Context { seed, scheme, cancel, storage: self.storage.clone(), ..Context::default() }
    }

    /// Whether the person asked to stop.
    pub fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

impl Default for Context<'_> {
    fn default() -> Self {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Self {
            seed: 0,
            scheme: Scheme::Auto,
            engine: Engine::Threads,
            storage: Storage::default(),
            progress: &Silent,
            cancel: &NEVER,
            checkpoint: None,
        }
    }
}
