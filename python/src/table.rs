//! Columns from Python as a `Dataset`. One whose numbers follow each other in memory is read where it lies; fits read columns, which an
//! array by rows has not, so of such an array each is copied once.

use crate::failure::exception;
use crate::ffi::lent;
use numpy::ndarray::{ArrayView2, Axis};
use numpy::{Element, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tilewise_base::mapped::Plain;
use tilewise_base::{Array, Column, Dataset};
use tilewise_kernels::{Float, parallel};

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

/// The columns of an array: where they lie if the numbers of each follow each other, else copies; and what is not finite.
fn columns<T: Element + Plain + Float>(
    py: Python<'_>,
    x: &PyReadonlyArray2<'_, T>,
    threads: usize,
) -> (Vec<Array<T>>, Found) {
    let (view, owner) = (x.as_array(), x.as_any());
    let lying: Option<Vec<Array<T>>> = view.columns().into_iter().map(|column| lent(column, owner)).collect();
    py.detach(|| {
        parallel::with_threads(threads, || match lying {
            Some(columns) => {
                let found = parallel::map(columns.len(), |column| Found::of(&columns[column]));
                (columns, found.into_iter().fold(Found::default(), Found::and))
            }
            None => transposed(view),
        })
    })
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

/// What of numbers is not finite.
#[derive(Clone, Copy, Default)]
struct Found {
    missing: bool,
    infinite: bool,
}

impl Found {
    /// Without a branch in the loop.
    fn of<T: Float>(numbers: &[T]) -> Self {
        numbers.iter().fold(Self::default(), |found, x| {
            let missing = x.is_nan();
            found.and(Self { missing, infinite: !(x.is_finite() | missing) })
        })
    }

    fn and(self, other: Self) -> Self {
        Self { missing: self.missing | other.missing, infinite: self.infinite | other.infinite }
    }
}

/// Columns that are copied together, and rows of a block of them: what a block reads, a line of memory or two for each row, stays in a
/// first-level cache while column after column is copied. Of whole columns one after the other each line would be read as often as it
/// has numbers.
const TOGETHER: usize = 8;
const BLOCK: usize = 128;

/// Copies of columns, and what is not finite.
fn transposed<T: Plain + Float>(x: ArrayView2<'_, T>) -> (Vec<Array<T>>, Found) {
    let (rows, width) = x.dim();
    let copied = parallel::map(width.div_ceil(TOGETHER), |group| {
        let wanted = group * TOGETHER..((group + 1) * TOGETHER).min(width);
        let mut columns: Vec<Vec<T>> = wanted.clone().map(|_| Vec::with_capacity(rows)).collect();
        let mut found = Found::default();
        for block in x.axis_chunks_iter(Axis(0), BLOCK) {
            for (column, at) in columns.iter_mut().zip(wanted.clone()) {
                let before = column.len();
                match block.as_slice() {
                    Some(numbers) => column.extend(numbers.chunks_exact(width).map(|row| row[at])),
                    None => column.extend(block.column(at)),
                }
                found = found.and(Found::of(&column[before..]));
            }
        }
        (columns, found)
    });
    let found = copied.iter().fold(Found::default(), |all, (_, found)| all.and(*found));
    (copied.into_iter().flat_map(|(columns, _)| columns).map(Array::from).collect(), found)
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

    /// Adds the columns of an array of numbers, in any layout. Returns whether any is missing, and whether any is infinite.
    fn matrix(
        &mut self,
        py: Python<'_>,
        names: Vec<String>,
        numbers: Matrix<'_>,
        threads: usize,
    ) -> PyResult<(bool, bool)> {
        let (columns, found): (Vec<Column>, Found) = match &numbers {
            Matrix::Single(x) => {
                let (columns, found) = columns(py, x, threads);
                (columns.into_iter().map(Column::F32).collect(), found)
            }
            Matrix::Double(x) => {
                let (columns, found) = columns(py, x, threads);
                (columns.into_iter().map(Column::F64).collect(), found)
            }
        };
        if columns.len() != names.len() {
            let what = format!("{} names for {} columns", names.len(), columns.len());
            return Err(PyValueError::new_err(what));
        }
        self.columns.extend(names.into_iter().zip(columns));
        Ok((found.missing, found.infinite))
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
