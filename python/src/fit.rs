//! Training beside the interpreter: a thread of its own works while the calling one waits without the interpreter's lock, hears
//! of rounds, and looks for signals. Fits of linear models of few cells are done by the calling thread itself.

use crate::cells::Finite;
use crate::failure::{exception, guarded};
use crate::model::Model;
use crate::table::Table;
use numpy::PyArray1;
use pyo3::exceptions::{PyRuntimeError, PyUserWarning};
use pyo3::prelude::*;
use std::ffi::CString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tilewise_base::{Context, Dataset, Error, Field, Kind, ModelFile, Progress, Roles};
use tilewise_kernels::parallel;
use tilewise_models::Settings;

/// How long Ctrl-C may go unheard.
const SIGNALS: Duration = Duration::from_millis(50);

/// Cells of a design matrix up to which a fit of a linear model stays on the calling thread. Two threads on two cores took as long as one there:
/// 0.33 ms both for least squares of 500 x 20, 0.42 for 2,000 x 20; of 5,000 x 20 0.51 in place of 0.56, logistic regression 2.2 in place of 2.9.
/// Where others keep the processors busy, each hand-over to another thread waits for some 4 ms.
const FEW_CELLS: usize = 40_000;

/// What the working thread tells the waiting one.
enum Message {
    Round(u64, u64, String),
    Warning(String),
    /// By a signal, of a fit on the calling thread.
    Raised(PyErr),
    Done(Result<Box<dyn tilewise_base::Model>, Error>),
}

struct Shown<'a> {
    to: Sender<Message>,
    cancel: &'a AtomicBool,
    /// Where the calling thread works: when it looked for signals, as nobody else does.
    looked: Option<Mutex<Instant>>,
    /// Where there is a callback: that it has been called. Training waits for it, so that what a callback stops does not depend on
    /// when it is heard.
    heard: Option<Mutex<Receiver<()>>>,
    /// Of families that know them anyway, after each round.
    losses: Mutex<Vec<Losses>>,
    /// Of forests that are judged out of the bag: rows x outputs.
    out_of_bag: Mutex<Vec<f64>>,
    /// Whether losses of the rows that are learned from are worth a pass over them.
    wants_losses: bool,
}

/// The loss of the rows that are learned from, and of those held out.
type Losses = (f64, Option<f64>);

impl Shown<'_> {
    /// Looks for signals, where that was not done lately.
    fn look(&self, looked: &Mutex<Instant>) {
        let mut looked = looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.elapsed() < SIGNALS {
            return;
        }
        *looked = Instant::now();
        if let Err(error) = Python::attach(|py| py.check_signals()) {
            self.cancel.store(true, Ordering::Relaxed);
            let _ = self.to.send(Message::Raised(error));
        }
    }
}

impl Progress for Shown<'_> {
    fn round(&self, done: u64, total: u64, note: &str) {
        if let Some(looked) = &self.looked {
            self.look(looked);
        }
        if let Some(heard) = &self.heard {
            // Nobody listens any more: then there is nothing to tell, and nothing to wait for.
            let _ = self.to.send(Message::Round(done, total, note.to_owned()));
            let _ = heard.lock().map(|heard| heard.recv());
        }
    }
    fn warning(&self, text: &str) {
        let _ = self.to.send(Message::Warning(text.to_owned()));
    }
    fn wants_losses(&self) -> bool {
        self.wants_losses
    }
    fn losses(&self, _: u64, training: f64, held_out: Option<f64>) {
        self.losses.lock().unwrap_or_else(PoisonError::into_inner).push((training, held_out));
    }
    fn out_of_bag(&self, predictions: &[f64]) {
        *self.out_of_bag.lock().unwrap_or_else(PoisonError::into_inner) = predictions.to_vec();
    }
}

type Fitted<'py> = (Option<Model>, Option<PyErr>, Vec<Losses>, Bound<'py, PyArray1<f64>>);

/// Processors that this process may use.
#[pyfunction]
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What columns are there for, by name.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Parts {
    targets: Vec<String>,
    weight: Option<String>,
    offset: Option<String>,
    group: Option<String>,
    held_out: Option<String>,
}

impl From<Parts> for Roles {
    fn from(parts: Parts) -> Self {
        let Parts { targets, weight, offset, group, held_out } = parts;
        Self { targets, weight, offset, group, held_out, ..Self::default() }
    }
}

/// Whether other threads would save a fit nothing: one of a linear model, whose design matrix has few cells.
fn is_small(family: &str, dataset: &Dataset) -> bool {
    let is_linear = matches!(
        family,
        "linear"
            | "ridge"
            | "lasso"
            | "elastic-net"
            | "logistic"
            | "poisson"
            | "gamma"
            | "tweedie"
            | "huber"
            | "quantile"
    );
    if !is_linear || dataset.rows().saturating_mul(dataset.names().len()) > FEW_CELLS {
        return false;
    }
    // One for each category; that the target counts too makes no difference. By the kinds of columns: these themselves may be copies of rows.
    let columns = |field: &Field| match &field.kind {
        Kind::Categorical { dictionary } => dictionary.len(),
        _ => 1,
    };
    let width: usize = dataset.schema().fields.iter().map(columns).sum();
    dataset.rows().saturating_mul(width) <= FEW_CELLS
}

/// Trains a model of a family. Returns it, and the exception that ended the fit early, if one did: KeyboardInterrupt, or what
/// `callback(done, total, note)` raised. The model is then that of the rounds that were done, or None where none was. A
/// callback that returns true ends the fit without an exception. Then come the losses after each round, of networks, and what a forest
/// that is judged out of the bag predicts for its rows (rows x outputs in one list, NaN where every tree saw the row). Training goes on from
/// the model whose file, or checkpoint, has the bytes `earlier`, where there are some.
#[pyfunction]
#[pyo3(signature = (family, settings, table, parts, missing, seed, threads, callback=None, earlier=None))]
#[expect(clippy::too_many_arguments, reason = "the arguments of a Python function")]
pub(crate) fn fit<'py>(
    py: Python<'py>,
    family: &str,
    settings: Vec<(String, String)>,
    table: &mut Table,
    parts: Parts,
    missing: bool,
    seed: u64,
    threads: usize,
    callback: Option<Py<PyAny>>,
    earlier: Option<&[u8]>,
) -> PyResult<Fitted<'py>> {
    let dataset = table.take()?;
    // Where boosting stops early, as scikit-learn has it.
    let wants_losses = settings.iter().any(|(key, _)| key == "early_stopping");
    let settings = settings.iter().fold(Settings::default(), |all, (key, value)| all.with(key, value));
    let roles = Roles::from(parts);
    let cancel = AtomicBool::new(false);
    let (to, mut from) = channel();
    let (has_heard, heard) = channel();
    let heard = callback.is_some().then(|| Mutex::new(heard));
    let (losses, out_of_bag) = (Mutex::default(), Mutex::default());
    let small = callback.is_none() && is_small(family, &dataset);
    let looked = small.then(|| Mutex::new(Instant::now()));
    let shown = Shown { to: to.clone(), cancel: &cancel, looked, heard, losses, out_of_bag, wants_losses };
    let work = || {
        let context = Context { seed, progress: &shown, cancel: &cancel, ..Context::default() };
        let train = || {
            Finite::of(missing).check(&dataset, &roles.inputs(&dataset)?)?;
            let model = match earlier {
                Some(bytes) => {
                    let file = ModelFile::parse(bytes)?;
                    tilewise_models::continue_training(family, &file, &dataset, &roles, &settings, &context)?
                }
                None => tilewise_models::train(family, &dataset, &roles, &settings, &context)?,
            };
            // Here, where nobody waits for a lock yet.
            model.prepare().map(|()| model)
        };
        let done = guarded(|| parallel::with_threads(if small { 1 } else { threads }, train));
        let _ = to.send(Message::Done(done));
    };
    let (model, stopped) = if small {
        py.detach(work);
        wait(py, &mut from, &has_heard, &cancel, None)?
    } else {
        std::thread::scope(|scope| {
            let started = std::thread::Builder::new().name("tilewise-fit".into()).spawn_scoped(scope, work);
            started
                .map_err(|e| PyRuntimeError::new_err(format!("no thread could be started to train: {e}")))?;
            wait(py, &mut from, &has_heard, &cancel, callback.as_ref())
        })?
    };
    let out_of_bag = shown.out_of_bag.into_inner().unwrap_or_else(PoisonError::into_inner);
    let losses = shown.losses.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((model, stopped, losses, PyArray1::from_vec(py, out_of_bag)))
}

/// Hears the working thread until it is done.
fn wait(
    py: Python<'_>,
    from: &mut Receiver<Message>,
    has_heard: &Sender<()>,
    cancel: &AtomicBool,
    callback: Option<&Py<PyAny>>,
) -> PyResult<(Option<Model>, Option<PyErr>)> {
    let mut stopped: Option<PyErr> = None;
    let mut stop = |error: PyErr| {
        cancel.store(true, Ordering::Relaxed);
        // The first one tells why.
        stopped.get_or_insert(error);
    };
    let done = loop {
        let heard = &mut *from;
        let message = py.detach(move || heard.recv_timeout(SIGNALS));
        if let Err(error) = py.check_signals() {
            stop(error);
        }
        match message {
            Ok(Message::Done(done)) => break done,
            Ok(Message::Round(done, total, note)) => {
                // After a stop nobody is asked again.
                if let Some(callback) = callback.filter(|_| !cancel.load(Ordering::Relaxed)) {
                    match callback.call1(py, (done, total, note)).and_then(|answer| answer.is_truthy(py)) {
                        Ok(true) => cancel.store(true, Ordering::Relaxed),
                        Ok(false) => {}
                        Err(error) => stop(error),
                    }
                }
                let _ = has_heard.send(());
            }
            Ok(Message::Raised(error)) => stop(error),
            Ok(Message::Warning(text)) => {
                let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
                if let Err(error) = PyErr::warn(py, &py.get_type::<PyUserWarning>(), &text, 1) {
                    stop(error);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(PyRuntimeError::new_err("the training thread ended without an answer"));
            }
        }
    };
    match done {
        Ok(model) => Ok((Some(Model::new(model)), stopped)),
        Err(Error::Cancelled) => Ok((None, stopped)),
        Err(error) => Err(stopped.unwrap_or_else(|| exception(error))),
    }
}
