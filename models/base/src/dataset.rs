//! Tables, a typed array per column, in memory or in files that are mapped.

use crate::by_rows::{ByRows, Unusual};
use crate::error::listed;
use crate::{Array, Error, Field, Flags, Kind, Result, Schema, Storage};
use std::collections::HashSet;
use std::sync::OnceLock;

/// The code of a missing category.
pub const MISSING_CODE: u32 = u32::MAX;

/// The cells of one column.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Single-precision numbers; missing is NaN.
    F32(Array<f32>),
    /// Double-precision numbers; missing is NaN.
    F64(Array<f64>),
    /// Codes into a dictionary; missing is [`MISSING_CODE`].
    Categorical {
        /// One code per row.
        codes: Array<u32>,
        /// The distinct values, sorted by bytes.
        dictionary: Vec<String>,
    },
    /// True or false; `None` is missing.
    Boolean(Flags),
}

impl Column {
    /// Number of cells.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(x) => x.len(),
            Self::F64(x) => x.len(),
            Self::Categorical { codes, .. } => codes.len(),
            Self::Boolean(x) => x.len(),
        }
    }

    /// Whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it holds.
    pub fn kind(&self) -> Kind {
        match self {
            Self::F32(_) | Self::F64(_) => Kind::Numeric,
            Self::Categorical { dictionary, .. } => Kind::Categorical { dictionary: dictionary.clone() },
            Self::Boolean(_) => Kind::Boolean,
        }
    }

    /// Cell `row` as a number: the value, the code, 0 or 1; NaN when missing.
    pub fn cell(&self, row: usize) -> f64 {
        match self {
            Self::F32(x) => f64::from(x[row]),
            Self::F64(x) => x[row],
            Self::Categorical { codes, .. } if codes[row] == MISSING_CODE => f64::NAN,
            Self::Categorical { codes, .. } => f64::from(codes[row]),
            Self::Boolean(x) => x.get(row).map_or(f64::NAN, |b| f64::from(u8::from(b))),
        }
    }

    /// What of its numbers is not finite; nothing where it has none.
    pub fn unusual(&self) -> Unusual {
        match self {
            Self::F32(x) => Unusual::of(x),
            Self::F64(x) => Unusual::of(x),
            Self::Categorical { .. } | Self::Boolean(_) => Unusual::default(),
        }
    }

    /// As [`Column::take`]; cells lie where `storage` puts them.
    ///
    /// # Errors
    /// As [`Storage::zeros`].
    pub fn take_to(&self, storage: &Storage, rows: &[usize]) -> Result<Self> {
        Ok(match self {
            Self::F32(x) => Self::F32(storage.gather(x, rows)?),
            Self::F64(x) => Self::F64(storage.gather(x, rows)?),
            Self::Categorical { codes, dictionary } => {
                Self::Categorical { codes: storage.gather(codes, rows)?, dictionary: dictionary.clone() }
            }
            Self::Boolean(x) => Self::Boolean(x.take_to(storage, rows)?),
        })
    }

    /// The cells at `rows`, in that order, in memory.
    pub fn take(&self, rows: &[usize]) -> Self {
        match self {
            Self::F32(x) => Self::F32(rows.iter().map(|&r| x[r]).collect()),
            Self::F64(x) => Self::F64(rows.iter().map(|&r| x[r]).collect()),
            Self::Categorical { codes, dictionary } => Self::Categorical {
                codes: rows.iter().map(|&r| codes[r]).collect(),
                dictionary: dictionary.clone(),
            },
            Self::Boolean(x) => Self::Boolean(rows.iter().map(|&r| x.get(r)).collect()),
        }
    }
}

/// A table: named columns of equal length.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    names: Vec<String>,
    /// The first columns, where they lie by rows.
    rowwise: Option<ByRows>,
    /// Those after them.
    others: Vec<Column>,
    /// All of them, as soon as they are there.
    columns: OnceLock<Vec<Column>>,
    rows: usize,
}

impl PartialEq for Dataset {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names && self.columns() == other.columns()
    }
}

impl Dataset {
    /// A table of `columns`, in order.
    ///
    /// # Errors
    /// When names repeat, lengths differ, or a code is outside its dictionary.
    pub fn new(columns: Vec<(String, Column)>) -> Result<Self> {
        let rows = columns.first().map_or(0, |(_, c)| c.len());
        let (names, columns): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        check(&names, &columns, rows)?;
        Ok(Self { names, columns: OnceLock::from(columns), rows, ..Self::default() })
    }

    /// A table of rows of numbers, whose columns are called `names`, and of other columns after these. Rows are copied, column by column,
    /// when [`columns`](Self::columns) or [`column`](Self::column) is first asked for one of them.
    ///
    /// # Errors
    /// As [`new`](Self::new), or when there are not as many names as numbers in a row.
    pub fn by_rows(mut names: Vec<String>, numbers: ByRows, others: Vec<(String, Column)>) -> Result<Self> {
        if names.len() != numbers.width() {
            return Err(Error::Fit(format!("{} names for rows of {}", names.len(), numbers.width())));
        }
        let rows = numbers.rows();
        let (more, others): (Vec<_>, Vec<_>) = others.into_iter().unzip();
        names.extend(more);
        check(&names, &others, rows)?;
        Ok(Self { names, rowwise: Some(numbers), others, columns: OnceLock::new(), rows })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Column names in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }
    /// Columns in order.
    pub fn columns(&self) -> &[Column] {
        if let Some(columns) = self.columns.get() {
            return columns;
        }
        // Threads that come here together all copy: none waits for one that may wait for it.
        let mut columns = self.rowwise.as_ref().map_or_else(Vec::new, ByRows::columns);
        columns.extend(self.others.iter().cloned());
        self.columns.get_or_init(|| columns)
    }

    /// The columns called `names`, if these are the ones that lie by rows, in this order.
    pub fn rows_of<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> Option<&ByRows> {
        self.rowwise.as_ref().filter(|rows| self.names[..rows.width()].iter().eq(names))
    }

    /// The column called `name`.
    ///
    /// # Errors
    /// Naming it and the columns that are there.
    pub fn column(&self, name: &str) -> Result<&Column> {
        match self.names.iter().position(|n| n == name) {
            Some(i) => Ok(match &self.rowwise {
                // Rows are not copied for it.
                Some(rows) if i >= rows.width() => &self.others[i - rows.width()],
                _ => &self.columns()[i],
            }),
            None => Err(Error::column(
                name,
                format!("there is no such column; there are {}", listed(&self.names)),
            )),
        }
    }

    /// Names and kinds.
    pub fn schema(&self) -> Schema {
        let kinds: Vec<Kind> = match &self.rowwise {
            Some(rows) => {
                let numbers = std::iter::repeat_n(Kind::Numeric, rows.width());
                numbers.chain(self.others.iter().map(Column::kind)).collect()
            }
            None => self.columns().iter().map(Column::kind).collect(),
        };
        let fields = self.names.iter().zip(kinds).map(|(n, kind)| Field { name: n.clone(), kind });
        Schema { fields: fields.collect() }
    }

    /// As [`Dataset::take`]; columns lie where `storage` puts them.
    ///
    /// # Errors
    /// As [`Storage::zeros`].
    pub fn take_to(&self, storage: &Storage, rows: &[usize]) -> Result<Self> {
        let columns = self.columns().iter().map(|column| column.take_to(storage, rows));
        Ok(self.of_rows(columns.collect::<Result<_>>()?, rows.len()))
    }

    /// The rows at `rows`, in that order, in memory.
    pub fn take(&self, rows: &[usize]) -> Self {
        self.of_rows(self.columns().iter().map(|column| column.take(rows)).collect(), rows.len())
    }

    /// Some rows of it.
    fn of_rows(&self, columns: Vec<Column>, rows: usize) -> Self {
        Self { names: self.names.clone(), columns: OnceLock::from(columns), rows, ..Self::default() }
    }
}

/// Checks that names are different, and that the columns which have the last of them fit `rows`.
fn check(names: &[String], columns: &[Column], rows: usize) -> Result<()> {
    let mut seen = HashSet::new();
    if let Some(name) = names.iter().find(|name| !seen.insert(*name)) {
        return Err(Error::column(name, "the name is used twice"));
    }
    for (name, column) in names[names.len() - columns.len()..].iter().zip(columns) {
        if column.len() != rows {
            let what = format!("has {} cells where others have {rows}", column.len());
            return Err(Error::column(name, what));
        }
        if let Column::Categorical { codes, dictionary } = column
            && let Some(row) = codes.iter().position(|&c| c != MISSING_CODE && c as usize >= dictionary.len())
        {
            let what = format!("code {} of a dictionary of {}", codes[row], dictionary.len());
            return Err(Error::cell(row, name, what));
        }
    }
    Ok(())
}
