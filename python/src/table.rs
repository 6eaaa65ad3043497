//! Columns from Python as a `Dataset`. One whose numbers follow each other in memory is read where it lies, and so are the rows of an
//! array in C order, of which fits that read columns make a copy. Of an array that lies otherwise rows are copied first.

use crate::failure::exception;
use crate::ffi::lent;
use numpy::ndarray::ArrayView2;
use numpy::{Element, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tilewise_base::by_rows::{self, ByRows};
use tilewise_base::mapped::Plain;
use tilewise_base::{Array, Column, Dataset};

/// Numbers of one column.
#[derive(FromPyObject)]
pub(crate) enum Numbers<'py> {
    Double(PyReadonlyArray1<'py, f64>),
    Single(PyReadonlyArray1<'py, f32>),
}

/// Numbers of several columns, a row for each row.
pub(crate) enum Matrix<'py> {
    Double(PyReadonlyArray2<'py, f64>),
    Single(PyReadonlyArray2<'py, f32>),
}

/// The only column of an array: where it lies if its numbers follow each other, else a copy.
fn column<T: Element + Plain>(x: &PyReadonlyArray1<'_, T>) -> Array<T> {
    lent(x.as_array(), x.as_any()).unwrap_or_else(|| x.as_array().to_vec().into())
}

/// How an array lies.
enum Lies {
    /// The numbers of each column follow each other.
    Columns(Vec<Column>),
    /// Those of a row do, and each row follows the one before.
    Rows(by_rows::Numbers),
}

impl Lies {
    /// An array as it lies, or where it does neither, a copy of its rows.
    fn of<T: Element + Plain>(
        py: Python<'_>,
        x: &PyReadonlyArray2<'_, T>,
        column: fn(Array<T>) -> Column,
        rows: fn(Array<T>) -> by_rows::Numbers,
    ) -> Self {
        let view = x.as_array();
        let columns: Option<Vec<_>> =
            view.columns().into_iter().map(|column| lent(column, x.as_any())).collect();
        if let Some(columns) = columns {
            return Self::Columns(columns.into_iter().map(column).collect());
        }
        let in_line = view.into_shape_with_order(view.len()).ok();
        let lying = in_line.and_then(|numbers| lent(numbers, x.as_any()));
        Self::Rows(rows(lying.unwrap_or_else(|| Array::shared(py.detach(|| copied(view))))))
    }
}

/// The numbers of `x`, row by row.
fn copied<T: Copy>(x: ArrayView2<'_, T>) -> Vec<T> {
    let mut numbers = Vec::with_capacity(x.len());
    for row in x.rows() {
        match row.as_slice() {
            Some(row) => numbers.extend_from_slice(row),
            None => numbers.extend(row),
        }
    }
    numbers
}

impl<'a, 'py> FromPyObject<'a, 'py> for Matrix<'py> {
    type Error = PyErr;

    /// A derived one gathers words for what each kind lacks, which takes 7 microseconds, twice as long as a prediction of one row.
    fn extract(array: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match array.extract() {
            Ok(numbers) => Ok(Self::Double(numbers)),
            Err(_) => array.extract().map(Self::Single),
        }
    }
}

/// A table that is being put together. Whoever reads it, a fit or a prediction, uses it up.
#[pyclass(module = "tilewise._native")]
pub(crate) struct Table {
    /// The first ones, where they lie by rows.
    rows: Option<(Vec<String>, ByRows)>,
    columns: Vec<(String, Column)>,
}

impl Table {
    pub(crate) fn take(&mut self) -> PyResult<Dataset> {
        let columns = std::mem::take(&mut self.columns);
        match self.rows.take() {
            Some((names, rows)) => Dataset::by_rows(names, rows, columns).map_err(exception),
            None if columns.is_empty() => {
                Err(PyValueError::new_err("the table has no columns, or was used before"))
            }
            None => Dataset::new(columns).map_err(exception),
        }
    }
}

#[pymethods]
impl Table {
    #[new]
    fn new() -> Self {
        Self { rows: None, columns: Vec::new() }
    }

    /// Begins with the columns of an array of numbers, in any layout.
    fn matrix(&mut self, py: Python<'_>, names: Vec<String>, numbers: Matrix<'_>) -> PyResult<()> {
        if self.rows.is_some() || !self.columns.is_empty() {
            return Err(PyValueError::new_err("an array begins a table, and this one has columns"));
        }
        let (width, lies) = match &numbers {
            Matrix::Single(x) => (x.shape()[1], Lies::of(py, x, Column::F32, by_rows::Numbers::F32)),
            Matrix::Double(x) => (x.shape()[1], Lies::of(py, x, Column::F64, by_rows::Numbers::F64)),
        };
        if width != names.len() {
            let what = format!("{} names for {width} columns", names.len());
            return Err(PyValueError::new_err(what));
        }
        match lies {
            Lies::Columns(columns) => self.columns.extend(names.into_iter().zip(columns)),
            Lies::Rows(numbers) => {
                self.rows = Some((names, ByRows::new(numbers, width).map_err(exception)?));
            }
        }
        Ok(())
    }

    /// Adds a column of numbers; NaN is missing.
    fn numbers(&mut self, name: String, numbers: Numbers<'_>) {
        let column = match numbers {
            Numbers::Single(x) => Column::F32(column(&x)),
            Numbers::Double(x) => Column::F64(column(&x)),
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
