//! Tables, a typed array per column, in memory or in files that are mapped.

use crate::error::listed;
use crate::{Array, Error, Field, Flags, Kind, Result, Schema, Storage};

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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dataset {
    names: Vec<String>,
    columns: Vec<Column>,
    rows: usize,
}

impl Dataset {
    /// A table of `columns`, in order.
    ///
    /// # Errors
    /// When names repeat, lengths differ, or a code is outside its dictionary.
    pub fn new(columns: Vec<(String, Column)>) -> Result<Self> {
        let rows = columns.first().map_or(0, |(_, c)| c.len());
        let mut seen = std::collections::HashSet::new();
        for (name, column) in &columns {
            if column.len() != rows {
                return Err(Error::column(
                    name,
                    format!("has {} cells where others have {rows}", column.len()),
                ));
            }
            if let Column::Categorical { codes, dictionary } = column
                && let Some(row) =
                    codes.iter().position(|&c| c != MISSING_CODE && c as usize >= dictionary.len())
            {
                let what = format!("code {} of a dictionary of {}", codes[row], dictionary.len());
                return Err(Error::cell(row, name, what));
            }
            if !seen.insert(name) {
                return Err(Error::column(name, "the name is used twice"));
            }
        }
        let (names, columns) = columns.into_iter().unzip();
        Ok(Self { names, columns, rows })
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
        &self.columns
    }

    /// The column called `name`.
    ///
    /// # Errors
    /// Naming it and the columns that are there.
    pub fn column(&self, name: &str) -> Result<&Column> {
        match self.names.iter().position(|n| n == name) {
            Some(i) => Ok(&self.columns[i]),
            None => Err(Error::column(
                name,
                format!("there is no such column; there are {}", listed(&self.names)),
            )),
        }
    }

    /// Names and kinds.
    pub fn schema(&self) -> Schema {
        let fields = self
            .names
            .iter()
            .zip(&self.columns)
            .map(|(n, c)| Field { name: n.clone(), kind: c.kind() })
            .collect();
        Schema { fields }
    }

    /// As [`Dataset::take`]; columns lie where `storage` puts them.
    ///
    /// # Errors
    /// As [`Storage::zeros`].
    pub fn take_to(&self, storage: &Storage, rows: &[usize]) -> Result<Self> {
        let columns = self.columns.iter().map(|column| column.take_to(storage, rows));
        Ok(Self { names: self.names.clone(), columns: columns.collect::<Result<_>>()?, rows: rows.len() })
    }

    /// The rows at `rows`, in that order, in memory.
    pub fn take(&self, rows: &[usize]) -> Self {
        Self {
            names: self.names.clone(),
            columns: self.columns.iter().map(|c| c.take(rows)).collect(),
            rows: rows.len(),
        }
    }
}
