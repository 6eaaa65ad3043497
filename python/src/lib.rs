//! `tilewise._native`: what Python code cannot do by itself. It turns arrays into tables and cells, starts fits, and turns
//! answers into arrays; what estimators mean is written in Python (`python/tilewise/`).
//!
//! The interpreter lock is released while models are trained and asked. Arrays are read where they are while it is: who writes
//! into one from another thread at that time gets an answer of neither state, as with NumPy's own functions.

use pyo3::prelude::*;

mod cells;
mod failure;
mod ffi;
mod fit;
mod model;
mod rounds;
mod table;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("VERSION", env!("CARGO_PKG_VERSION"))?;
    module.add("MISSING_CODE", tilewise_base::MISSING_CODE)?;
    module.add_class::<table::Table>()?;
    module.add_class::<model::Model>()?;
    module.add_class::<rounds::Trainer>()?;
    module.add_class::<rounds::Piece>()?;
    module.add_function(wrap_pyfunction!(fit::fit, module)?)?;
    module.add_function(wrap_pyfunction!(fit::processors, module)?)
}
