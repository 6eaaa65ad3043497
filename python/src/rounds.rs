//! Training in rounds for whoever carries bytes between processes: a trainer where the model is to be, and stored pieces of the
//! table where the rows are.

use crate::failure::{exception, guarded};
use crate::fit::Parts;
use crate::model::Model;
use crate::table::Table;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use tilewise_base::{InBytes, Roles, StoredTable};
use tilewise_kernels::parallel;
use tilewise_models::Settings;

/// A model in the making. It asks, [`Piece`]s answer.
#[pyclass(frozen, module = "tilewise._native")]
pub(crate) struct Trainer {
    /// Nothing once it is finished.
    trainer: Mutex<Option<Box<dyn InBytes>>>,
}

impl Trainer {
    fn with<R>(&self, f: impl FnOnce(&mut Box<dyn InBytes>) -> PyResult<R>) -> PyResult<R> {
        let mut trainer = self.trainer.lock().unwrap_or_else(PoisonError::into_inner);
        trainer.as_mut().map_or_else(|| Err(PyValueError::new_err("the trainer has given its model")), f)
    }
}

#[pymethods]
impl Trainer {
    /// A trainer of a family, of the columns `inputs`; `seed` is the key of its random numbers.
    #[new]
    fn new(
        family: &str,
        settings: Vec<(String, String)>,
        inputs: Vec<String>,
        parts: Parts,
        seed: u64,
    ) -> PyResult<Self> {
        let settings = settings.iter().fold(Settings::default(), |all, (key, value)| all.with(key, value));
        let trainer =
            guarded(|| tilewise_models::trainer(family, &settings, inputs, &Roles::from(parts), seed));
        Ok(Self { trainer: Mutex::new(Some(trainer.map_err(exception)?)) })
    }

    /// What every piece is to answer next; None when training is over.
    fn request<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let request = py.detach(|| self.with(|trainer| guarded(|| trainer.request()).map_err(exception)))?;
        Ok(request.map(|bytes| PyBytes::new(py, &bytes)))
    }

    /// Takes the answers of all pieces, in their order.
    fn advance(&self, py: Python<'_>, answers: Vec<Vec<u8>>) -> PyResult<()> {
        py.detach(|| self.with(|trainer| guarded(|| trainer.advance(&answers)).map_err(exception)))
    }

    /// How it goes, in a few words.
    fn note(&self) -> PyResult<String> {
        self.with(|trainer| Ok(trainer.note()))
    }

    /// Rounds it will take at most; 0 when that is not known.
    fn at_most(&self) -> PyResult<u64> {
        self.with(|trainer| Ok(trainer.at_most()))
    }

    /// The model. The trainer is of no use afterwards.
    fn finish(&self, py: Python<'_>) -> PyResult<Model> {
        let finish = || {
            let trainer = self.trainer.lock().unwrap_or_else(PoisonError::into_inner).take();
            let trainer = trainer.ok_or_else(|| PyValueError::new_err("the trainer has given its model"))?;
            guarded(|| {
                let model = trainer.finish()?;
                model.prepare().map(|()| model)
            })
            .map_err(exception)
        };
        py.detach(finish).map(Model::new)
    }
}

/// Runs `f` with so many threads; one is the thread that calls.
pub(crate) fn on<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    if threads == 1 { parallel::on_this_thread(f) } else { parallel::with_threads(threads, f) }
}

/// A piece of a table in a file of its own.
#[pyclass(frozen, module = "tilewise._native")]
pub(crate) struct Piece {
    table: StoredTable,
}

#[pymethods]
impl Piece {
    /// Writes a table, which is used up, to a file that nobody will write to. Rows are sorted, so that the file does not depend on the
    /// order in which they came: by the numbers that the column `numbers` tells, which is left out, and without it by a hash of their
    /// cells. None where numbers do not follow each other.
    #[staticmethod]
    #[pyo3(signature = (path, table, threads, numbers=None))]
    fn create(
        py: Python<'_>,
        path: PathBuf,
        table: &mut Table,
        threads: usize,
        numbers: Option<String>,
    ) -> PyResult<Option<Self>> {
        let dataset = table.take()?;
        let create = || match &numbers {
            Some(numbers) => StoredTable::create_numbered(&path, &dataset, numbers),
            None => StoredTable::create_sorted(&path, &dataset).map(Some),
        };
        let table = py.detach(|| guarded(|| on(threads, create))).map_err(exception)?;
        Ok(table.map(|table| Self { table }))
    }

    /// Opens the file, and reads all of it once.
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let table = py.detach(|| guarded(|| StoredTable::open(&path))).map_err(exception)?;
        Ok(Self { table })
    }

    #[getter]
    fn rows(&self) -> usize {
        self.table.rows()
    }

    /// What the same rows in the same order have: 32 hexadecimal digits.
    #[getter]
    fn hash(&self) -> String {
        format!("{:032x}", self.table.hash())
    }

    /// The answer to a request of a trainer; pieces are in the order of their numbers.
    fn answer<'py>(
        &self,
        py: Python<'py>,
        request: Vec<u8>,
        number: u64,
        threads: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let piece = tilewise_models::Piece { table: &self.table, number };
        let answer = || on(threads, || tilewise_models::piece(&request, piece));
        let answer = py.detach(|| guarded(answer)).map_err(exception)?;
        Ok(PyBytes::new(py, &answer))
    }
}
