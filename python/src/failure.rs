//! Errors as the exceptions that Python programs expect, and panics as errors.

use pyo3::PyErr;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use tilewise_base::Error;
use tilewise_kernels::parallel;

/// ValueError for data and parameters, OSError for files, RuntimeError for what is nobody's data. Rows are counted from 0, as NumPy does,
/// which is said.
pub(crate) fn exception(error: Error) -> PyErr {
    match error {
        Error::Cell { row, column, what } => {
            PyValueError::new_err(format!("row {row} (counted from 0), column {column:?}: {what}"))
        }
        Error::Io { .. } => PyOSError::new_err(error.to_string()),
        Error::Worker(_) => PyRuntimeError::new_err(error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}

/// The process that imported this module.
static IMPORTED_BY: OnceLock<u32> = OnceLock::new();

/// Remembers this process as the one that imports the module.
pub(crate) fn imported() {
    IMPORTED_BY.get_or_init(std::process::id);
}

/// Runs `f`; a panic in it is an error of Tilewise, which is told and does not end the interpreter. A process that was forked has threads
/// of its own for it: those that wait for the work of its parent are not in it, and it would wait for them.
pub(crate) fn guarded<R: Send>(f: impl FnOnce() -> Result<R, Error> + Send) -> Result<R, Error> {
    let is_forked = IMPORTED_BY.get().is_some_and(|process| *process != std::process::id());
    let f = || if is_forked { parallel::with_threads(parallel::threads(), f) } else { f() };
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let text = text.unwrap_or_default();
        Err(Error::Worker(format!("tilewise failed inside, which is an error of its own: {text}")))
    })
}
