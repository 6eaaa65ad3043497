//! From a table to cells: the one way data reaches a fitted model.
//!
//! A [`Binder`] is made once from what a model needs and what a table holds. It finds columns by name, in any order,
//! and translates dictionaries by text, so that a file written elsewhere gives the same cells as the training file.

use crate::error::listed;
use crate::model::UNSEEN;
use crate::unseen::Refusal;
use crate::{Column, Dataset, Error, Field, Kind, MISSING_CODE, Model, Result, Schema, Unseen};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Mutex;
use tilewise_kernels::{MatMut, MatRef, parallel, same};

/// Rows handled at a time: their cells (8 bytes each) of a table with some 30 columns fit a core's L2 cache.
pub const BLOCK_ROWS: usize = 2048;

/// How one input is read from its column.
#[derive(Clone, Debug)]
enum Source {
    /// Value as it is.
    Number,
    /// 0 or 1 out of a boolean column.
    Boolean,
    /// 0 or 1 out of a numeric column; any other number is refused.
    Bit,
    /// Position by code in the column's dictionary -> cell, NaN where the category is refused; and what that is told with.
    Category(Vec<f64>, Option<Refusal>),
    /// A text column without a single value, which stands for any kind.
    Missing,
}

/// Where the inputs of a model are found in a table, and how they are translated.
///
/// Accepted are: for a numeric input, numbers; for a categorical one, text with any dictionary (what the model's
/// dictionary lacks becomes [`UNSEEN`]); for a boolean one, booleans, or numbers if all are 0 or 1. A text column in
/// which every cell is missing is accepted for any input, because its kind cannot be told.
#[derive(Clone, Debug)]
pub struct Binder {
    sources: Vec<(usize, Source)>,
}

impl Binder {
    /// Finds `inputs` among the columns of `table`.
    ///
    /// # Errors
    /// Naming the first input that is missing or of another kind, and what is accepted.
    pub fn new(inputs: &[Field], table: &Schema) -> Result<Self> {
        let positions: HashMap<&str, usize> =
            table.fields.iter().enumerate().map(|(i, f)| (f.name.as_str(), i)).collect();
        let bind = |input: &Field| {
            let Some(&at) = positions.get(input.name.as_str()) else {
                let names: Vec<&str> = table.fields.iter().map(|f| f.name.as_str()).collect();
                let what = format!(
                    "is missing: the model needs it ({}); there are {}",
                    input.kind.name(),
                    listed(&names)
                );
                return Err(Error::column(&input.name, what));
            };
            Ok((at, source(input, &table.fields[at].kind)?))
        };
        Ok(Self { sources: inputs.iter().map(bind).collect::<Result<_>>()? })
    }

    /// Finds the inputs of a model among the columns of `table`. Where it refuses categories that training did not see, so
    /// does [`Binder::fill`], by row, column and text.
    ///
    /// # Errors
    /// As [`Binder::new`].
    pub fn of_model(model: &dyn Model, table: &Schema) -> Result<Self> {
        let mut binder = Self::new(model.inputs(), table)?;
        if model.unseen() == Unseen::Error {
            for (input, (_, source)) in binder.sources.iter_mut().enumerate() {
                let Source::Category(map, refusal) = source else { continue };
                for cell in
                    map.iter_mut().filter(|cell| !(**cell >= 0.0 && model.saw(input, **cell as usize)))
                {
                    *cell = f64::NAN;
                }
                *refusal = Some(Refusal::new(model, input));
            }
        }
        Ok(binder)
    }

    /// Cells per row.
    pub fn width(&self) -> usize {
        self.sources.len()
    }

    /// The columns, where all are numbers in 64 bits that cells are as they are: nothing needs to be copied then.
    pub(crate) fn numbers<'a>(&self, dataset: &'a Dataset) -> Option<Vec<&'a [f64]>> {
        let plain = |(at, source): &(usize, Source)| match (source, dataset.columns().get(*at)) {
            (Source::Number, Some(Column::F64(x))) => Some(&x[..]),
            _ => None,
        };
        self.sources.iter().map(plain).collect()
    }

    /// Writes the cells of `rows` to `out`, row by row. `dataset` has the schema the binder was made from.
    ///
    /// # Errors
    /// When a number stands for a boolean and is neither 0 nor 1, or a category is refused (names row and column), or lengths do
    /// not fit.
    pub fn fill(&self, dataset: &Dataset, rows: Range<usize>, out: &mut [f64]) -> Result<()> {
        let width = self.sources.len();
        same("cells", rows.len() * width, out.len())?;
        for (j, (at, source)) in self.sources.iter().enumerate() {
            let Some(column) = dataset.columns().get(*at).filter(|c| c.len() >= rows.end) else {
                return Err(Error::Fit("the table is not the one the columns were bound to".into()));
            };
            let cells = out.iter_mut().skip(j).step_by(width);
            match (source, column) {
                (Source::Missing, _) => cells.for_each(|c| *c = f64::NAN),
                (Source::Number, Column::F64(x)) => cells.zip(&x[rows.clone()]).for_each(|(c, x)| *c = *x),
                (Source::Category(map, refusal), Column::Categorical { codes, dictionary }) => {
                    for ((cell, &code), row) in cells.zip(&codes[rows.clone()]).zip(rows.clone()) {
                        *cell = if code == MISSING_CODE {
                            f64::NAN
                        } else {
                            map.get(code as usize).copied().unwrap_or(UNSEEN)
                        };
                        if let Some(refusal) =
                            refusal.as_ref().filter(|_| cell.is_nan() && code != MISSING_CODE)
                        {
                            let text = dictionary.get(code as usize).map(String::as_str);
                            return Err(Error::cell(row, &dataset.names()[*at], refusal.told(text)));
                        }
                    }
                }
                (Source::Bit, _) => {
                    for (cell, row) in cells.zip(rows.clone()) {
                        *cell = column.cell(row);
                        if !(cell.is_nan() || *cell == 0.0 || *cell == 1.0) {
                            let what = format!("{cell} is not a boolean; true, false, 1 and 0 are accepted");
                            return Err(Error::cell(row, &dataset.names()[*at], what));
                        }
                    }
                }
                (Source::Number, Column::F32(_)) | (Source::Boolean, Column::Boolean(_)) => {
                    cells.zip(rows.clone()).for_each(|(c, row)| *c = column.cell(row));
                }
                _ => return Err(Error::column(&dataset.names()[*at], "is not of the kind it was bound as")),
            }
        }
        Ok(())
    }
}

fn source(input: &Field, found: &Kind) -> Result<Source> {
    match (&input.kind, found) {
        (_, Kind::Categorical { dictionary }) if dictionary.is_empty() => Ok(Source::Missing),
        (Kind::Numeric, Kind::Numeric) => Ok(Source::Number),
        (Kind::Boolean, Kind::Boolean) => Ok(Source::Boolean),
        (Kind::Boolean, Kind::Numeric) => Ok(Source::Bit),
        (Kind::Categorical { dictionary }, Kind::Categorical { dictionary: theirs }) => {
            let cell = |text: &String| dictionary.binary_search(text).map_or(UNSEEN, |i| i as f64);
            Ok(Source::Category(theirs.iter().map(cell).collect(), None))
        }
        (wanted, found) => {
            let accepted = match wanted {
                Kind::Numeric => "numbers are accepted",
                Kind::Categorical { .. } => "text is accepted",
                Kind::Boolean => "true and false, or 1 and 0, are accepted",
            };
            let example = match found {
                Kind::Categorical { dictionary } => format!(" (such as {:?})", dictionary[0]),
                _ => String::new(),
            };
            let what =
                format!("is {}{example} where the model needs {}; {accepted}", found.name(), wanted.name());
            Err(Error::column(&input.name, what))
        }
    }
}

/// Predicts every row of a table: rows x outputs, row-major. Blocks of [`BLOCK_ROWS`] rows run in parallel; since a
/// row's answer does not depend on others, the bits are those of a row alone.
///
/// # Errors
/// When columns are missing or mistyped, or the model refuses a cell; the first such row is named.
pub fn predict_dataset(model: &dyn Model, dataset: &Dataset, offset: Option<&[f64]>) -> Result<Vec<f64>> {
    let binder = Binder::of_model(model, &dataset.schema())?;
    if let Some(offset) = offset {
        same("offsets", dataset.rows(), offset.len())?;
    }
    // Once, before threads that all need it would each begin.
    model.prepare()?;
    let outputs = model.outputs();
    let mut out = vec![0.0; dataset.rows() * outputs];
    for_each_block(&binder, dataset, outputs, &mut out, |start, cells, out| {
        let rows = cells.rows();
        let offset = offset.map(|o| &o[start..start + rows]);
        model.predict(cells, offset, MatMut::new(out, rows, outputs)?)
    })?;
    Ok(out)
}

/// What each input adds to the prediction of each row of a table: rows x ((1 + inputs) x outputs), as
/// [`Model::contributions`] says. Blocks of [`BLOCK_ROWS`] rows run in parallel.
///
/// # Errors
/// When the model cannot tell, columns are missing or mistyped, or the model refuses a cell; the first such row is named.
pub fn explain_dataset(model: &dyn Model, dataset: &Dataset) -> Result<Vec<f64>> {
    let binder = Binder::of_model(model, &dataset.schema())?;
    let width = (1 + model.inputs().len()) * model.outputs();
    let mut out = vec![0.0; dataset.rows() * width];
    for_each_block(&binder, dataset, width, &mut out, |_, cells, out| {
        model.contributions(cells, MatMut::new(out, cells.rows(), width)?)
    })?;
    Ok(out)
}

/// Bytes that interactions of a table may take.
const MOST_INTERACTIONS: usize = 1 << 30;

/// The answer of [`Model::interactions`] for a table, its columns found by name: rows x (inputs x inputs x outputs), in parallel.
///
/// # Errors
/// As [`explain_dataset`], or when the answer would be larger than 1 GiB.
pub fn interactions_dataset(model: &dyn Model, dataset: &Dataset) -> Result<Vec<f64>> {
    let binder = Binder::of_model(model, &dataset.schema())?;
    let inputs = model.inputs().len();
    let width = inputs * inputs * model.outputs();
    let bytes = dataset.rows().saturating_mul(width).saturating_mul(size_of::<f64>());
    if bytes > MOST_INTERACTIONS {
        let most = MOST_INTERACTIONS / (width * size_of::<f64>()).max(1);
        return Err(Error::Fit(format!(
            "its interactions of {} rows, {inputs} x {inputs} inputs and {} outputs take {bytes} bytes; up to {MOST_INTERACTIONS} are \
             accepted, those of {most} rows",
            dataset.rows(),
            model.outputs()
        )));
    }
    let mut out = vec![0.0; dataset.rows() * width];
    for_each_block(&binder, dataset, width, &mut out, |_, cells, out| {
        model.interactions(cells, MatMut::new(out, cells.rows(), width)?)
    })?;
    Ok(out)
}

/// Cuts `out` (rows x `outputs`) into blocks and calls `f(first row, cells, block of out)` for each, in parallel.
/// Returns the error of the first block that has one, with its row counted from the top of the table.
pub(crate) fn for_each_block(
    binder: &Binder,
    dataset: &Dataset,
    outputs: usize,
    out: &mut [f64],
    f: impl Fn(usize, MatRef<'_, f64>, &mut [f64]) -> Result<()> + Sync,
) -> Result<()> {
    if outputs == 0 {
        return Ok(());
    }
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    parallel::for_each_chunk_mut(out, BLOCK_ROWS * outputs, |block, out| {
        let start = block * BLOCK_ROWS;
        let rows = out.len() / outputs;
        let mut cells = vec![0.0; rows * binder.width()];
        let done = binder.fill(dataset, start..start + rows, &mut cells).and_then(|()| {
            let cells = MatRef::new(&cells, rows, binder.width())?;
            f(start, cells, out).map_err(|e| e.moved_down(start))
        });
        if let Err(error) = done {
            let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if failed.as_ref().is_none_or(|(at, _)| start < *at) {
                *failed = Some((start, error));
            }
        }
    });
    match failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
