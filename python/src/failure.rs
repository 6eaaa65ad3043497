//! Errors as the exceptions that Python programs expect, and panics as errors.

use pyo3::PyErr;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tilewise_base::Error;

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

/// Runs `f`; a panic in it is an error of Tilewise, which is told and does not end the interpreter.
pub(crate) fn guarded<R>(f: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let text = text.unwrap_or_default();
        Err(Error::Worker(format!("tilewise failed inside, which is an error of its own: {text}")))
    })
}
