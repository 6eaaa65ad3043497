//! Columns from Python as a `Dataset`. Every column is copied once: fits read columns, which an array by rows has not.

use crate::failure::exception;
use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tilewise_base::{Column, Dataset};

/// Numbers of one column.
#[derive(FromPyObject)]
pub(crate) enum Numbers<'py> {
    Single(PyReadonlyArray1<'py, f32>),
    Double(PyReadonlyArray1<'py, f64>),
}

/// Numbers of several columns, a row for each row.
#[derive(FromPyObject)]
pub(crate) enum Matrix<'py> {
    Single(PyReadonlyArray2<'py, f32>),
    Double(PyReadonlyArray2<'py, f64>),
}

/// A table that is being put together. Whoever reads it, a fit or a prediction, uses it up.
#[pyclass(module = "tilewise._native")]
pub(crate) struct Table {
    columns: Vec<(String, Column)>,
}

impl Table {
    pub(crate) fn take(&mut self) -> PyResult<Dataset> {
        if self.columns.is_empty() {
            return Err(PyValueError::new_err("the table has no columns, or was used before"));
        }
        Dataset::new(std::mem::take(&mut self.columns)).map_err(exception)
    }
}

#[pymethods]
impl Table {
    #[new]
    fn new() -> Self {
        Self { columns: Vec::new() }
    }

    /// Adds the columns of an array of numbers, in any layout.
    fn matrix(&mut self, py: Python<'_>, names: Vec<String>, numbers: Matrix<'_>) -> PyResult<()> {
        let columns: Vec<Column> = match &numbers {
            Matrix::Single(x) => {
                let x = x.as_array();
                py.detach(|| x.columns().into_iter().map(|c| Column::F32(c.to_vec().into())).collect())
            }
            Matrix::Double(x) => {
                let x = x.as_array();
                py.detach(|| x.columns().into_iter().map(|c| Column::F64(c.to_vec().into())).collect())
            }
        };
        if columns.len() != names.len() {
            let what = format!("{} names for {} columns", names.len(), columns.len());
            return Err(PyValueError::new_err(what));
        }
        self.columns.extend(names.into_iter().zip(columns));
        Ok(())
    }

    /// Adds a column of numbers; NaN is missing.
    fn numbers(&mut self, name: String, numbers: Numbers<'_>) {
        let column = match numbers {
            Numbers::Single(x) => Column::F32(x.as_array().to_vec().into()),
            Numbers::Double(x) => Column::F64(x.as_array().to_vec().into()),
        };
        self.columns.push((name, column));
    }

    /// Adds a column of text: codes into its sorted dictionary, `MISSING_CODE` is missing.
    fn categories(&mut self, name: String, codes: PyReadonlyArray1<'_, u32>, dictionary: Vec<String>) {
        let codes = codes.as_array().to_vec();
        self.columns.push((name, Column::Categorical { codes: codes.into(), dictionary }));
    }

    /// Adds a column of true (1) and false (0); any other number is missing.
    fn booleans(&mut self, name: String, values: PyReadonlyArray1<'_, i8>) {
        let boolean = |&value: &i8| match value {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        };
        self.columns.push((name, Column::Boolean(values.as_array().iter().map(boolean).collect())));
    }
}
