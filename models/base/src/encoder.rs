//! From cells to the dense row of a design matrix, for models that are linear in their inputs.
//!
//! Numbers and booleans: a missing one is replaced by the weighted mean of the training rows that have one, then
//! (x - mean) / standard deviation, where both are those of the training column after imputing. Categories: one column
//! per level of the dictionary, 1 where the row has it; a missing or unseen category has zeros everywhere. Or, for models that
//! learn a vector of each, one column with the number of the category; a missing or unseen one has the number of categories. A column
//! that is constant keeps scale 1. A numeric column without a single number is imputed by 0 and warned about. Where nearly all cells of the
//! matrix would be zeros, rows are made of which only the others are stored (`sparse.rs`).
//!
//! Population moments are taken in two passes (mean, then squares around it), each a fixed tree over blocks of rows, and as
//! rounds (`rounds.rs`), so that a table in pieces gives the same up to rounding.

use crate::by_rows::{ByRows, Numbers};
use crate::cells::{BLOCK_ROWS, Binder, for_each_block};
use crate::{Array, Context, Dataset, Error, Field, Kind, Result, Storage};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use tilewise_kernels::{MatRef, parallel, same};

#[cfg(feature = "onnx")]
mod imported;
mod moments;
#[cfg(feature = "onnx")]
mod onnx;
pub mod rounds;
mod sparse;

pub use sparse::SparseRows;

use rounds::{EncoderTrainer, TableRows};

/// What an encoder does to numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Replace missing numbers by the mean; otherwise one is an error that names row and column.
    pub impute: bool,
    /// Centre and scale numbers; otherwise they are taken as they are.
    pub standardise: bool,
    /// A column of at least so many categories becomes one of their numbers; none does by default.
    pub numbered: Option<usize>,
}

impl Options {
    /// Whether means and deviations of numbers are needed.
    fn moments(&self) -> bool {
        self.impute || self.standardise
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { impute: true, standardise: true, numbered: None }
    }
}

/// What happens to one input.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
enum Step {
    /// (x or `missing` - `mean`) / `scale`; numbers and booleans.
    Number { missing: f64, mean: f64, scale: f64, seen: u64 },
    /// One column per level.
    OneHot { levels: usize },
    /// The number of the level; of what is none, their number.
    Code { levels: usize },
}

impl Step {
    fn width(self) -> usize {
        match self {
            Self::Number { .. } | Self::Code { .. } => 1,
            Self::OneHot { levels } => levels,
        }
    }

    /// Encodes a cell as [`width`](Self::width) numbers.
    #[inline]
    fn encode(self, cell: f64, impute: bool, out: &mut [f64]) {
        match self {
            Self::Number { missing, mean, scale, .. } => {
                let x = if cell.is_nan() && impute { missing } else { cell };
                out[0] = (x - mean) / scale;
            }
            Self::Code { levels } => {
                // False for NaN and UNSEEN.
                out[0] = if cell >= 0.0 && cell < levels as f64 { cell.floor() } else { levels as f64 };
            }
            Self::OneHot { levels } => {
                out.fill(0.0);
                // False for NaN and UNSEEN.
                if cell >= 0.0 && cell < levels as f64 {
                    out[cell as usize] = 1.0;
                }
            }
        }
    }
}

/// Fitted encoding of rows of cells as rows of a design matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Encoder {
    inputs: Vec<Field>,
    steps: Vec<Step>,
    impute: bool,
    standardise: bool,
    #[serde(skip)]
    width: usize,
}

/// What a file holds, before it is checked.
#[derive(Deserialize)]
struct Stored {
    inputs: Vec<Field>,
    steps: Vec<Step>,
    impute: bool,
    standardise: bool,
}

impl TryFrom<Stored> for Encoder {
    type Error = String;
    fn try_from(stored: Stored) -> Result<Self, String> {
        let Stored { inputs, steps, impute, standardise } = stored;
        if inputs.len() != steps.len() {
            return Err(format!("the encoder has {} steps for {} inputs", steps.len(), inputs.len()));
        }
        let mut names: Vec<&str> = inputs.iter().map(|field| field.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("two inputs are called {:?}", pair[0]));
        }
        let mut width = 0usize;
        for (field, step) in inputs.iter().zip(&steps) {
            let fits = match (&field.kind, *step) {
                (Kind::Categorical { dictionary }, Step::OneHot { levels } | Step::Code { levels }) => {
                    levels == dictionary.len() && dictionary.is_sorted_by(|a, b| a < b)
                }
                (Kind::Numeric | Kind::Boolean, Step::Number { missing, mean, scale, .. }) => {
                    missing.is_finite() && mean.is_finite() && scale.is_finite() && scale > 0.0
                }
                _ => false,
            };
            if !fits {
                return Err(format!("the encoder's step for input {:?} is not a valid one", field.name));
            }
            width = width.checked_add(step.width()).ok_or("the encoder is too wide")?;
        }
        Ok(Self { inputs, steps, impute, standardise, width })
    }
}

impl Encoder {
    /// Learns the encoding of the columns `inputs` of `dataset`. A row's weight counts as so many rows.
    ///
    /// # Errors
    /// When a column is not there, a number is infinite or (without imputing) missing, numbers are so large that their
    /// variance overflows, no weight is positive, or lengths differ. Names column, and row where there is one.
    pub fn fit(
        dataset: &Dataset,
        inputs: &[String],
        weights: Option<&[f64]>,
        options: Options,
    ) -> Result<Self> {
        if dataset.rows() == 0 {
            return Err(Error::Fit("there are no rows to learn from".into()));
        }
        if let Some(weights) = weights {
            same("weights", dataset.rows(), weights.len())?;
        }
        let mut trainer = EncoderTrainer::new(inputs.to_vec(), options);
        crate::rounds::run(&mut trainer, &TableRows { dataset, weights }, &Context::default())?;
        trainer.finish()
    }

    /// Takes numbers of these names as they are, missing ones as 0 with `impute`; else they are refused.
    ///
    /// # Errors
    /// When two names are the same.
    pub fn plain(names: impl IntoIterator<Item = String>, impute: bool) -> Result<Self> {
        let inputs: Vec<Field> = names.into_iter().map(|name| Field { name, kind: Kind::Numeric }).collect();
        let steps = vec![Step::Number { missing: 0.0, mean: 0.0, scale: 1.0, seen: 1 }; inputs.len()];
        Self::try_from(Stored { inputs, steps, impute, standardise: false }).map_err(Error::Fit)
    }

    /// Takes these means off numbers and divides by these scales instead: a pair for each column of the design matrix, of which those of
    /// categories are left alone.
    ///
    /// # Errors
    /// When there are not as many, a number is not finite, or a scale is not above 0.
    pub fn standardised_by(mut self, by: &[(f64, f64)]) -> Result<Self> {
        same("means and scales", self.width, by.len())?;
        let mut at = 0;
        for step in &mut self.steps {
            if let Step::Number { mean, scale, .. } = step {
                (*mean, *scale) = by[at];
            }
            at += step.width();
        }
        let Self { inputs, steps, impute, .. } = self;
        Self::try_from(Stored { inputs, steps, impute, standardise: true }).map_err(Error::Fit)
    }

    /// The columns it needs, in the order of cells.
    pub fn inputs(&self) -> &[Field] {
        &self.inputs
    }

    /// Whether numbers are centred and scaled to deviation 1.
    pub fn standardises(&self) -> bool {
        self.standardise
    }

    /// Columns of the design matrix.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Columns of the design matrix that hold numbers of categories, each with how many categories there are.
    pub fn numbered(&self) -> Vec<(usize, usize)> {
        let mut at = 0;
        let place = |step: &Step| {
            let here = at;
            at += step.width();
            if let Step::Code { levels } = *step { Some((here, levels)) } else { None }
        };
        self.steps.iter().filter_map(place).collect()
    }

    /// Names of the columns of the design matrix: `age`, `workclass=Private`.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::with_capacity(self.width);
        for (field, step) in self.inputs.iter().zip(&self.steps) {
            match (&field.kind, step) {
                (Kind::Categorical { dictionary }, Step::OneHot { .. }) => {
                    names.extend(dictionary.iter().map(|level| format!("{}={level}", field.name)));
                }
                _ => names.push(field.name.clone()),
            }
        }
        names
    }

    /// What a person should know about the training columns.
    pub fn warnings(&self) -> Vec<String> {
        let empty = |(field, step): (&Field, &Step)| match step {
            Step::Number { seen: 0, .. } | Step::OneHot { levels: 0 } => Some(format!(
                "column {:?} has no value in any training row: it is taken as constant",
                field.name
            )),
            _ => None,
        };
        self.inputs.iter().zip(&self.steps).filter_map(empty).collect()
    }

    /// One line per input on what happens to it, for people.
    pub fn describe(&self) -> Vec<String> {
        let line = |(field, step): (&Field, &Step)| match step {
            Step::Number { missing, mean, scale, .. } => {
                let kind = field.kind.name();
                let missing =
                    if self.impute { format!("missing -> {missing}") } else { "missing refused".to_owned() };
                let scaled =
                    if self.standardise { format!(", (x - {mean}) / {scale}") } else { String::new() };
                format!("{}: {kind}, {missing}{scaled}", field.name)
            }
            Step::OneHot { levels } => format!("{}: one column for each of {levels} categories", field.name),
            Step::Code { levels } => format!("{}: the number of one of {levels} categories", field.name),
        };
        self.inputs.iter().zip(&self.steps).map(line).collect()
    }

    /// Encodes one row of [`inputs`](Self::inputs) cells into [`width`](Self::width) numbers, without allocating.
    /// Infinite cells pass through the arithmetic. A missing number is NaN where imputing is off:
    /// [`check_row`](Self::check_row) finds those. Cells or columns beyond the shorter of both sides are left alone.
    #[inline]
    pub fn encode_row(&self, cells: &[f64], out: &mut [f64]) {
        let mut rest = out;
        for (step, &cell) in self.steps.iter().zip(cells) {
            let Some((mine, after)) = rest.split_at_mut_checked(step.width()) else { return };
            step.encode(cell, self.impute, mine);
            rest = after;
        }
    }

    /// Whether this encoder accepts a row of cells: without imputing, missing numbers are refused.
    ///
    /// # Errors
    /// Naming `row` and the column of the first missing number.
    pub fn check_row(&self, row: usize, cells: &[f64]) -> Result<()> {
        if self.impute {
            return Ok(());
        }
        let refused = |&(j, step): &(usize, &Step)| {
            matches!(step, Step::Number { .. }) && cells.get(j).is_some_and(|c| c.is_nan())
        };
        match self.steps.iter().enumerate().find(refused) {
            None => Ok(()),
            Some((j, _)) => Err(Error::cell(
                row,
                &self.inputs[j].name,
                "the number is missing and this model does not impute",
            )),
        }
    }

    /// Encodes rows of cells (row-major) into rows of the design matrix.
    ///
    /// # Errors
    /// When shapes do not fit, or a number is missing and imputing is off.
    pub fn encode_cells(&self, cells: MatRef<'_, f64>, out: &mut [f64]) -> Result<()> {
        same("cells per row", self.inputs.len(), cells.cols())?;
        same("encoded numbers", cells.rows() * self.width, out.len())?;
        if self.encode_by(out, |i, j| cells.get(i, j)) {
            for i in 0..cells.rows() {
                let row: Vec<f64> = (0..cells.cols()).map(|j| cells.get(i, j)).collect();
                self.check_row(i, &row)?;
            }
        }
        Ok(())
    }

    /// Encodes `cell(row, input)` for all rows of `out`: input by input, as what happens to the cells of one is the same, of so few rows at
    /// a time that what is written stays in the first cache. Returns whether a number is missing where it must not.
    fn encode_by(&self, out: &mut [f64], cell: impl Fn(usize, usize) -> f64) -> bool {
        /// Numbers of these rows: 16 KiB.
        const TILE: usize = 2048;
        let width = self.width.max(1);
        let rows = (TILE / width).max(1);
        let mut lacks = false;
        for (tile, out) in out.chunks_mut(rows * width).enumerate() {
            let mut at = 0;
            for (j, step) in self.steps.iter().enumerate() {
                let mine = out.chunks_mut(width).map(|row| &mut row[at..at + step.width()]);
                mine.enumerate()
                    .for_each(|(i, mine)| step.encode(cell(tile * rows + i, j), self.impute, mine));
                at += step.width();
            }
            lacks |= !self.impute && out.iter().fold(false, |missing, x| missing | x.is_nan());
        }
        lacks
    }

    /// The design matrix of a table, rows x [`width`](Self::width), row-major. Blocks of rows run in parallel.
    ///
    /// # Errors
    /// When columns are missing or mistyped, a number is missing and imputing is off, or the matrix is too large.
    pub fn encode(&self, dataset: &Dataset) -> Result<Vec<f64>> {
        self.encode_to(&Storage::default(), dataset).map(Array::into_vec)
    }

    /// As [`Encoder::encode`]; the matrix lies where `storage` puts it, or, of a table of rows that stay as they are, where these lie.
    ///
    /// # Errors
    /// As there, and as [`Storage::zeros`].
    pub fn encode_to(&self, storage: &Storage, dataset: &Dataset) -> Result<Array<f64>> {
        if let Some(Numbers::F64(x)) = self.lying(dataset) {
            return Ok(x.clone());
        }
        let out = storage.zeros(self.cells(dataset)?);
        let mut out = out.map_err(|e| if let Error::Fit(_) = e { self.too_large(dataset) } else { e })?;
        self.fill(dataset, &mut out)?;
        out.finish()
    }

    fn fill(&self, dataset: &Dataset, out: &mut [f64]) -> Result<()> {
        let width = self.steps.len();
        let encoded = match self.rows_of(dataset).map(ByRows::numbers) {
            Some(Numbers::F32(x)) => self.fill_by(out, |i, j| x[i * width + j].into()),
            Some(Numbers::F64(x)) => self.fill_by(out, |i, j| x[i * width + j]),
            None => false,
        };
        if encoded {
            return Ok(());
        }
        let binder = Binder::new(&self.inputs, &dataset.schema())?;
        if let Some(columns) = binder.numbers(dataset)
            && self.fill_by(out, |i, j| columns[j][i])
        {
            return Ok(());
        }
        for_each_block(&binder, dataset, self.width, out, |_, cells, out| self.encode_cells(cells, out))
    }

    /// Encodes all rows in parallel; false where a number is missing and must not.
    fn fill_by(&self, out: &mut [f64], cell: impl Fn(usize, usize) -> f64 + Sync) -> bool {
        let lacks = AtomicBool::new(false);
        parallel::for_each_chunk_mut(out, BLOCK_ROWS * self.width.max(1), |block, out| {
            if self.encode_by(out, |i, j| cell(block * BLOCK_ROWS + i, j)) {
                lacks.store(true, Ordering::Relaxed);
            }
        });
        !lacks.into_inner()
    }

    /// The inputs as rows of numbers, where a table has them so.
    fn rows_of<'a>(&self, dataset: &'a Dataset) -> Option<&'a ByRows> {
        let numbers = self.inputs.iter().all(|field| field.kind == Kind::Numeric);
        let rows = dataset.rows_of(self.inputs.iter().map(|field| &field.name))?;
        // Where one is missing and must not be, the way by columns says which.
        (numbers && (self.impute || !rows.unusual().missing)).then_some(rows)
    }

    /// The design matrix of a table of rows that stay as they are, where it lies.
    pub fn lying<'a>(&self, dataset: &'a Dataset) -> Option<&'a Numbers> {
        let same = |step: &Step| matches!(step, Step::Number { mean: 0.0, scale: 1.0, .. });
        let leaves_alone = !self.impute && self.steps.iter().all(same);
        if leaves_alone { self.rows_of(dataset).map(ByRows::numbers) } else { None }
    }

    /// Cells of the design matrix of a table.
    fn cells(&self, dataset: &Dataset) -> Result<usize> {
        dataset.rows().checked_mul(self.width).ok_or_else(|| self.too_large(dataset))
    }

    fn too_large(&self, dataset: &Dataset) -> Error {
        let widest = self.inputs.iter().zip(&self.steps).max_by_key(|(_, step)| step.width());
        let hint =
            widest.map_or(String::new(), |(f, s)| format!("; {:?} alone has {} levels", f.name, s.width()));
        let rows = dataset.rows();
        Error::Fit(format!("a design matrix of {rows} rows x {} columns is too large{hint}", self.width))
    }
}

#[cfg(test)]
mod tests;
