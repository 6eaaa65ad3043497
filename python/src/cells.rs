//! Rows of cells for a model: out of a table, or an array of numbers where it lies. Arrays of doubles in C order are read in
//! place; singles are widened block by block, into memory of one block per thread.

use std::any::Any;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use tilewise_base::by_rows::Unusual;
use tilewise_base::cells::{BLOCK_ROWS, Binder};
use tilewise_base::{Column, Dataset, Error, Kind, MISSING_CODE, Model, Result};
use tilewise_kernels::{MatMut, MatRef, parallel};
use tilewise_linear::pipeline::Pipeline;

/// Cells that are answered on the calling thread: what a wake-up of others would not pay for. The server's bound is the same.
const SMALL: usize = 1024;

/// The same for products of a linear model, one for each number of a design matrix and output. Each takes about a nanosecond, so a second
/// thread would save 30 microseconds of these; to wake it takes 5 to 20, and 4 milliseconds where others keep the processors busy.
const FEW_PRODUCTS: usize = 1 << 16;

/// Where cells come from.
pub(crate) enum Source<'a> {
    Table(Binder, &'a Dataset),
    Single(&'a [f32], usize),
    Double(&'a [f64], usize),
}

/// What of cells is refused.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finite {
    /// Infinite numbers.
    MissingAllowed,
    /// Missing and infinite numbers.
    All,
}

impl<'a> Source<'a> {
    /// A table whose columns have the names of the inputs.
    pub(crate) fn table(model: &dyn Model, dataset: &'a Dataset) -> Result<Self> {
        Ok(Self::Table(Binder::of_model(model, &dataset.schema())?, dataset))
    }

    /// Checks that an array has nothing but what a model reads: as many columns, and numbers for each.
    pub(crate) fn check_array(model: &dyn Model, columns: usize) -> Result<()> {
        let inputs = model.inputs();
        if columns != inputs.len() {
            return Err(Error::Fit(format!(
                "X has {columns} features, but the model expects {}",
                inputs.len()
            )));
        }
        match inputs.iter().find(|field| matches!(field.kind, Kind::Categorical { .. })) {
            Some(field) => Err(Error::column(
                &field.name,
                "holds categories, which an array of numbers has not; a table with the names of the columns is accepted",
            )),
            None => Ok(()),
        }
    }

    fn rows(&self) -> usize {
        match self {
            Self::Table(_, dataset) => dataset.rows(),
            Self::Single(x, width) => x.len() / (*width).max(1),
            Self::Double(x, width) => x.len() / (*width).max(1),
        }
    }

    fn width(&self) -> usize {
        match self {
            Self::Table(binder, _) => binder.width(),
            Self::Single(_, width) | Self::Double(_, width) => *width,
        }
    }

    fn cells(&self, rows: Range<usize>) -> Result<Cow<'a, [f64]>> {
        let width = self.width();
        Ok(match self {
            Self::Table(binder, dataset) => {
                let mut cells = vec![0.0; rows.len() * width];
                binder.fill(dataset, rows, &mut cells)?;
                cells.into()
            }
            Self::Single(x, _) => {
                x[rows.start * width..rows.end * width].iter().map(|&x| f64::from(x)).collect()
            }
            Self::Double(x, _) => (&x[rows.start * width..rows.end * width]).into(),
        })
    }
}

/// Whether so many rows are answered on the calling thread.
fn is_small(model: &dyn Model, rows: usize, width: usize) -> bool {
    match (model as &dyn Any).downcast_ref::<Pipeline>() {
        Some(linear) => rows.saturating_mul(linear.encoder().width() * model.outputs()) <= FEW_PRODUCTS,
        None => rows * width <= SMALL,
    }
}

/// Calls `f(cells, numbers of these rows)` for blocks of rows, over `threads` threads where there is much to do. A row's answer does
/// not depend on the others, so the bits are those of a row alone.
pub(crate) fn answer(
    model: &dyn Model,
    source: &Source<'_>,
    finite: Finite,
    numbers: usize,
    threads: usize,
    f: impl Fn(MatRef<'_, f64>, MatMut<'_, f64>) -> Result<()> + Sync,
) -> Result<(Vec<f64>, usize)> {
    // Once, before threads that all need it would each begin.
    model.prepare()?;
    let (rows, width) = (source.rows(), source.width());
    let mut out = vec![0.0; rows * numbers];
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    let mut blocks = || {
        parallel::for_each_chunk_mut(&mut out, BLOCK_ROWS * numbers, |block, out| {
            let start = block * BLOCK_ROWS;
            let rows = out.len() / numbers;
            let done = source.cells(start..start + rows).and_then(|cells| {
                check(model, &cells, finite)?;
                f(MatRef::new(&cells, rows, width)?, MatMut::new(out, rows, numbers)?)
            });
            if let Err(error) = done {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                if failed.as_ref().is_none_or(|(at, _)| start < *at) {
                    *failed = Some((start, error.moved_down(start)));
                }
            }
        });
    };
    if is_small(model, rows, width) {
        parallel::on_this_thread(blocks);
    } else {
        parallel::with_threads(threads, &mut blocks);
    }
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => Ok((out, rows)),
    }
}

impl Finite {
    pub(crate) fn of(missing_allowed: bool) -> Self {
        if missing_allowed { Self::MissingAllowed } else { Self::All }
    }

    fn refuses(self, found: Unusual) -> bool {
        found.infinite || self == Self::All && found.missing
    }

    /// The first row of a column without a category, where all must have one, as predictions need it.
    fn lacks(self, column: &Column) -> Option<usize> {
        match column {
            Column::Categorical { codes, .. } if self == Self::All => {
                codes.iter().position(|&code| code == MISSING_CODE)
            }
            _ => None,
        }
    }

    /// The error for a number that is refused, in the words that scikit-learn has for it.
    fn error(x: f64, row: usize, column: &str) -> Error {
        let what = if x.is_nan() {
            "Input X contains NaN; this model takes no missing numbers"
        } else {
            "Input X contains infinity; finite numbers are accepted"
        };
        Error::cell(row, column, what)
    }

    /// Refuses numbers of a table's columns, the first of the first column that has any; on all threads.
    ///
    /// # Errors
    /// Names row and column.
    pub(crate) fn check(self, dataset: &Dataset, inputs: &[String]) -> Result<()> {
        if dataset.rows_of(inputs).is_some_and(|rows| !self.refuses(rows.unusual())) {
            return Ok(());
        }
        let columns: Vec<&Column> = inputs.iter().map(|name| dataset.column(name)).collect::<Result<_>>()?;
        let refused = parallel::map(columns.len(), |at| {
            self.refuses(columns[at].unusual()) || self.lacks(columns[at]).is_some()
        });
        let Some(at) = refused.iter().position(|&refused| refused) else { return Ok(()) };
        if let Some(row) = self.lacks(columns[at]) {
            return Err(Self::error(f64::NAN, row, &inputs[at]));
        }
        let mut cells = (0..columns[at].len()).map(|row| (row, columns[at].cell(row)));
        let found = cells.find(|(_, x)| self.refuses(Unusual::of(&[*x])));
        found.map_or(Ok(()), |(row, x)| Err(Self::error(x, row, &inputs[at])))
    }
}

/// Refuses numbers that a model does not take, with row and column.
fn check(model: &dyn Model, cells: &[f64], finite: Finite) -> Result<()> {
    let refused = |x: &f64| x.is_infinite() || finite == Finite::All && x.is_nan();
    // Without a branch in the loop: this is a pass over all cells.
    if !cells.iter().fold(false, |found, x| found | refused(x)) {
        return Ok(());
    }
    let Some(at) = cells.iter().position(refused) else { return Ok(()) };
    let width = model.inputs().len();
    Err(Finite::error(cells[at], at / width, &model.inputs()[at % width].name))
}
