//! Batches of Arrow arrays, which is what Parquet and Arrow IPC files hold, as tables.
//!
//! Integers and floats become numbers (f32 stays f32, integers beyond 2^53 are refused, infinity too), booleans
//! booleans, text categories, null is missing. Dictionaries hold any of these. Other types are refused by name.

use crate::column::{Fault, Rule, Text};
use crate::csv::plan;
use crate::options::{Missing, ReadOptions};
use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float16Type, Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, RecordBatch, downcast_integer_array};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use tilewise_base::{Column, Dataset, Error, Flags, Growing, Result, Storage, Texts};

/// What a source of batches gives.
pub(crate) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// Integers up to here are f64 numbers without rounding.
const EXACT: i128 = 1 << 53;

/// Types that are read, for errors.
const ACCEPTED: &str =
    "integers, floats, booleans, text and dictionaries of these are read; convert it first";

/// Columns of batches to read, with what they become.
pub(crate) struct Shape {
    pub(crate) file: String,
    plans: Vec<ColumnPlan>,
    missing: Missing,
    storage: Storage,
}

#[derive(Clone)]
struct ColumnPlan {
    /// Its place in the file's schema, and the batches'.
    at: usize,
    name: String,
    data: DataType,
    /// The file that has it as this type.
    file: String,
    rule: Rule,
}

impl Shape {
    /// The columns that `options` want of a file with `schema`.
    pub(crate) fn of(schema: &SchemaRef, file: &str, options: &ReadOptions<'_>) -> Result<Self> {
        if options.columns.is_some() {
            let what = "names can be given for CSV files only; this format has its own".to_owned();
            return Err(Error::Data { file: file.to_owned(), line: None, column: None, what });
        }
        let names = schema.fields().iter().map(|f| f.name().clone()).collect();
        let mut plans = Vec::new();
        for wanted in plan(names, file, None, options)? {
            let data = schema.field(wanted.at).data_type().clone();
            let plan = ColumnPlan {
                at: wanted.at,
                name: wanted.name,
                data,
                file: file.to_owned(),
                rule: wanted.rule,
            };
            let cells = plan.cells();
            let numeric = cells.is_integer() || cells.is_floating() || *cells == DataType::Null;
            let textual = matches!(cells, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
            if !numeric && !textual && *cells != DataType::Boolean {
                return Err(plan.fault(file, format!("its type {} is not read; {ACCEPTED}", plan.data)));
            }
            let accepted = match plan.rule {
                Rule::Numeric => numeric,
                Rule::Boolean => *cells == DataType::Boolean || *cells == DataType::Null,
                _ => true,
            };
            if !accepted {
                let needed = if plan.rule == Rule::Numeric { "numbers are" } else { "a boolean is" };
                return Err(
                    plan.fault(file, format!("it is {} in the file where {needed} needed", plan.data))
                );
            }
            plans.push(plan);
        }
        Ok(Self {
            file: file.to_owned(),
            plans,
            missing: Missing::new(options, false),
            storage: options.storage.clone(),
        })
    }

    /// Places of the wanted columns in the file.
    pub(crate) fn places(&self) -> Vec<usize> {
        self.plans.iter().map(|p| p.at).collect()
    }

    /// Tells that batches hold the wanted columns only.
    pub(crate) fn projected(mut self) -> Self {
        self.plans.iter_mut().enumerate().for_each(|(i, plan)| plan.at = i);
        self
    }

    /// One table of `batches`, whose first row is number `first` (from 1) of the file.
    pub(crate) fn table(
        &self,
        batches: impl Iterator<Item = Result<RecordBatch>>,
        first: u64,
    ) -> Result<Dataset> {
        let mut rows = Rows::new(self);
        rows.push(self, batches, first)?;
        rows.finish()
    }

    /// What a failing reader said.
    pub(crate) fn error(&self, e: impl std::fmt::Display) -> Error {
        damaged(&self.file, e)
    }
}

/// Rows of one file or several under construction.
pub(crate) struct Rows {
    /// The first file, and its columns.
    file: String,
    plans: Vec<ColumnPlan>,
    columns: Vec<Cells>,
    count: usize,
    storage: Storage,
    texts: Texts,
}

impl Rows {
    /// None yet, of a table whose first file has this shape.
    pub(crate) fn new(shape: &Shape) -> Self {
        let texts = shape.storage.texts();
        let columns = shape.plans.iter().map(|plan| Cells::new(plan, &shape.storage, &texts)).collect();
        let (file, plans, storage) = (shape.file.clone(), shape.plans.clone(), shape.storage.clone());
        Self { file, plans, columns, count: 0, storage, texts }
    }

    /// The columns of another file in the order of the first. A column that had nothing but nulls, and so no type, gets its type here.
    ///
    /// # Errors
    /// When it lacks one, has one more, or one of another type.
    pub(crate) fn accept(&mut self, mut shape: Shape) -> Result<Shape> {
        let differs = |plan: &ColumnPlan, what: String| {
            plan.fault(&shape.file, format!("{what}; files of one table have the same columns"))
        };
        if let Some(more) = shape.plans.iter().find(|here| self.plans.iter().all(|p| p.name != here.name)) {
            return Err(differs(more, format!("is not in {}", self.file)));
        }
        let mut plans = Vec::new();
        for (plan, cells) in self.plans.iter_mut().zip(&mut self.columns) {
            let Some(here) = shape.plans.iter().find(|here| here.name == plan.name) else {
                return Err(differs(plan, format!("is missing, and {} has it", self.file)));
            };
            if *plan.cells() == DataType::Null && *here.cells() != DataType::Null {
                (plan.data, plan.file) = (here.data.clone(), here.file.clone());
                *cells = Cells::new(plan, &self.storage, &self.texts);
                cells.push_nulls(self.count)?;
            }
            if here.holds() != plan.holds() && *here.cells() != DataType::Null {
                return Err(differs(here, format!("is {} where {} has {}", here.data, plan.file, plan.data)));
            }
            plans.push(here.clone());
        }
        shape.plans = plans;
        Ok(shape)
    }

    /// Appends `batches` of a file of this shape, whose first row is number `first` of it.
    pub(crate) fn push(
        &mut self,
        shape: &Shape,
        batches: impl Iterator<Item = Result<RecordBatch>>,
        first: u64,
    ) -> Result<()> {
        let mut row = first;
        for batch in batches {
            let batch = batch?;
            for (plan, cells) in shape.plans.iter().zip(&mut self.columns) {
                let array = batch.columns().get(plan.at).ok_or_else(|| {
                    plan.fault(&shape.file, "a batch lacks this column; the file is damaged".to_owned())
                })?;
                let fault =
                    |fault: Fault| plan.fault(&shape.file, format!("row {}: {}", fault.line, fault.what));
                cells.push(array, row, &shape.missing)?.map_err(fault)?;
            }
            row += batch.num_rows() as u64;
            self.count += batch.num_rows();
        }
        Ok(())
    }

    /// The table.
    pub(crate) fn finish(self) -> Result<Dataset> {
        let named = |(plan, cells): (ColumnPlan, Cells)| Ok((plan.name, cells.finish()?));
        Dataset::new(self.plans.into_iter().zip(self.columns).map(named).collect::<Result<_>>()?)
    }
}

/// The error for a file that a reader refuses.
pub(crate) fn damaged(file: &str, e: impl std::fmt::Display) -> Error {
    Error::Data {
        file: file.to_owned(),
        line: None,
        column: None,
        what: format!("the file cannot be read: {e}"),
    }
}

/// Runs `work` on a file that may be damaged: readers check most of what a file says but not all, and a panic of
/// theirs is one more way to say that the file cannot be read.
pub(crate) fn guarded<T>(file: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    // Whatever `work` was changing is dropped by the callers when this is an error.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said =
            panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(damaged(file, said.unwrap_or("it is damaged")))
    })
}

/// What becomes of the cells of a column.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    F32,
    F64,
    Booleans,
    Text,
}

impl ColumnPlan {
    /// The type of a cell.
    fn cells(&self) -> &DataType {
        match &self.data {
            DataType::Dictionary(_, values) => values,
            data => data,
        }
    }

    fn holds(&self) -> Holds {
        match self.cells() {
            _ if self.rule == Rule::Categorical => Holds::Text,
            DataType::Null if self.rule == Rule::Boolean => Holds::Booleans,
            DataType::Float16 | DataType::Float32 => Holds::F32,
            DataType::Boolean => Holds::Booleans,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Holds::Text,
            _ => Holds::F64,
        }
    }

    fn fault(&self, file: &str, what: String) -> Error {
        Error::Data { file: file.to_owned(), line: None, column: Some(self.name.clone()), what }
    }
}

/// Cells of a column so far.
enum Cells {
    F32(Growing<f32>),
    F64(Growing<f64>),
    /// As [`Flags::code`] writes them.
    Booleans(Growing<u8>),
    Text(Text),
}

impl Cells {
    fn new(plan: &ColumnPlan, storage: &Storage, texts: &Texts) -> Self {
        match plan.holds() {
            Holds::F32 => Self::F32(storage.grow()),
            Holds::F64 => Self::F64(storage.grow()),
            Holds::Booleans => Self::Booleans(storage.grow()),
            Holds::Text => Self::Text(Text::new(storage, texts)),
        }
    }

    /// Appends so many missing cells.
    fn push_nulls(&mut self, count: usize) -> Result<()> {
        /// A batch of them at a time, however many rows came before.
        const AT_A_TIME: usize = 8192;
        for start in (0..count).step_by(AT_A_TIME) {
            let n = AT_A_TIME.min(count - start);
            match self {
                Self::F32(all) => all.extend_from_slice(&vec![f32::NAN; n])?,
                Self::F64(all) => all.extend_from_slice(&vec![f64::NAN; n])?,
                Self::Booleans(all) => all.extend_from_slice(&vec![Flags::code(None); n])?,
                Self::Text(all) => {
                    for _ in 0..n {
                        // What is missing is no fault.
                        let _ = all.push(None, 1)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Appends `array`, whose first cell is in row `row`; a fault has its row for a line.
    fn push(&mut self, array: &ArrayRef, row: u64, missing: &Missing) -> Result<Result<(), Fault>> {
        let cells = match read(array, row) {
            Ok(cells) => cells,
            Err(fault) => return Ok(Err(fault)),
        };
        let at = |i: usize| row + i as u64;
        match (self, cells) {
            (Self::F32(all), Read::F32(new)) => all.extend_from_slice(&new)?,
            (Self::F64(all), Read::F64(new)) => all.extend_from_slice(&new)?,
            (Self::F32(all), Read::Nothing(n)) => all.extend_from_slice(&vec![f32::NAN; n])?,
            (Self::F64(all), Read::Nothing(n)) => all.extend_from_slice(&vec![f64::NAN; n])?,
            (Self::Booleans(all), Read::Booleans(new)) => {
                all.extend_from_slice(&new.into_iter().map(Flags::code).collect::<Vec<_>>())?;
            }
            (Self::Booleans(all), Read::Nothing(n)) => {
                all.extend_from_slice(&vec![Flags::code(None); n])?;
            }
            (Self::Text(all), Read::Text(new)) => {
                for (i, cell) in new.iter().enumerate() {
                    if let Err(what) = all.push(cell.filter(|cell| !missing.is(cell)), at(i))? {
                        return Ok(Err(Fault { line: at(i), column: None, what }));
                    }
                }
            }
            (Self::Text(all), new) => {
                // Numbers and booleans as categories: the text that a CSV file would hold.
                for i in 0..array.len() {
                    let cell = match &new {
                        Read::F32(x) => (!x[i].is_nan()).then(|| x[i].to_string()),
                        Read::F64(x) => (!x[i].is_nan()).then(|| x[i].to_string()),
                        Read::Booleans(x) => x[i].map(|b| b.to_string()),
                        Read::Text(_) | Read::Nothing(_) => None,
                    };
                    let cell = cell.as_deref().filter(|cell| !missing.is(cell));
                    if let Err(what) = all.push(cell, at(i))? {
                        return Ok(Err(Fault { line: at(i), column: None, what }));
                    }
                }
            }
            _ => {
                let what =
                    format!("a batch holds {} where others do not; the file is damaged", array.data_type());
                return Ok(Err(Fault { line: row, column: None, what }));
            }
        }
        Ok(Ok(()))
    }

    fn finish(self) -> Result<Column> {
        Ok(match self {
            Self::F32(x) => Column::F32(x.finish()?),
            Self::F64(x) => Column::F64(x.finish()?),
            Self::Booleans(x) => Column::Boolean(Flags::of_codes(x.finish()?)),
            Self::Text(x) => x.categorical()?,
        })
    }
}

/// The cells of one array.
enum Read<'a> {
    F32(Vec<f32>),
    F64(Vec<f64>),
    Booleans(Vec<Option<bool>>),
    Text(Vec<Option<&'a str>>),
    /// So many nulls.
    Nothing(usize),
}

fn read(array: &ArrayRef, row: u64) -> Result<Read<'_>, Fault> {
    let array: &dyn Array = array.as_ref();
    if let Some(dictionary) = array.as_any_dictionary_opt() {
        let rows = array.len();
        // A null value is missing as a null key is; an error of a value is reported in the first row.
        let values = read(dictionary.values(), row)?;
        let keys = (rows > 0 && !dictionary.values().is_empty()).then(|| dictionary.normalized_keys());
        let key = |i: usize| keys.as_ref().filter(|_| !array.is_null(i)).map(|keys| keys[i]);
        let rows = 0..rows;
        return Ok(match values {
            Read::F32(x) => Read::F32(rows.map(|i| key(i).map_or(f32::NAN, |k| x[k])).collect()),
            Read::F64(x) => Read::F64(rows.map(|i| key(i).map_or(f64::NAN, |k| x[k])).collect()),
            Read::Booleans(x) => Read::Booleans(rows.map(|i| key(i).and_then(|k| x[k])).collect()),
            Read::Text(x) => Read::Text(rows.map(|i| key(i).and_then(|k| x[k])).collect()),
            Read::Nothing(_) => Read::Nothing(rows.len()),
        });
    }
    if let Some(x) = array.as_primitive_opt::<Float64Type>() {
        return Ok(Read::F64(floats(x, row)?));
    }
    if let Some(x) = array.as_primitive_opt::<Float32Type>() {
        return Ok(Read::F32(floats(x, row)?.into_iter().map(|x| x as f32).collect()));
    }
    if let Some(x) = array.as_primitive_opt::<Float16Type>() {
        return Ok(Read::F32(floats(x, row)?.into_iter().map(|x| x as f32).collect()));
    }
    if array.data_type().is_integer() {
        return downcast_integer_array! {
            array => {
                let mut values = Vec::with_capacity(array.len());
                for (i, cell) in array.iter().enumerate() {
                    values.push(match cell.map(i128::from) {
                        None => f64::NAN,
                        Some(x) if (-EXACT..=EXACT).contains(&x) => x as f64,
                        Some(x) => {
                            let what = format!("the integer {x} is beyond 2^53; a number that f64 holds exactly is needed");
                            return Err(Fault { line: row + i as u64, column: None, what });
                        }
                    });
                }
                Ok(Read::F64(values))
            },
            _ => Err(Fault { line: row, column: None, what: ACCEPTED.to_owned() })
        };
    }
    match array.data_type() {
        DataType::Boolean => Ok(Read::Booleans(array.as_boolean().iter().collect())),
        DataType::Utf8 => Ok(Read::Text(array.as_string::<i32>().iter().collect())),
        DataType::LargeUtf8 => Ok(Read::Text(array.as_string::<i64>().iter().collect())),
        DataType::Utf8View => Ok(Read::Text(array.as_string_view().iter().collect())),
        DataType::Null => Ok(Read::Nothing(array.len())),
        other => {
            Err(Fault { line: row, column: None, what: format!("its type {other} is not read; {ACCEPTED}") })
        }
    }
}

/// Floats; null is NaN, infinity is refused.
fn floats<T>(array: &arrow_array::PrimitiveArray<T>, row: u64) -> Result<Vec<f64>, Fault>
where
    T: ArrowPrimitiveType,
    T::Native: Into<f64>,
{
    let values: Vec<f64> = array.iter().map(|x| x.map_or(f64::NAN, Into::into)).collect();
    match values.iter().position(|x| x.is_infinite()) {
        None => Ok(values),
        Some(i) => {
            let what = format!("{} is infinite; a finite number is needed", values[i]);
            Err(Fault { line: row + i as u64, column: None, what })
        }
    }
}
