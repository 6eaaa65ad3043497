//! One error type for datasets, files and fits: what went wrong, where, and what would be accepted.

use std::path::PathBuf;
use tilewise_kernels::ShapeError;

/// The result of everything that can fail on data.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, where, and what would be accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A place in a data file does not hold what it should.
    #[error("{}", place(file, *line, column.as_deref(), what))]
    Data {
        /// The file, or `<stdin>`.
        file: String,
        /// Line (or row, in files without lines), counted from 1.
        line: Option<u64>,
        /// Column name.
        column: Option<String>,
        /// What was found there and what would be accepted.
        what: String,
    },
    /// A column of a dataset is missing, of another kind, or holds what it must not.
    #[error("column {name:?}: {what}")]
    Column {
        /// Its name.
        name: String,
        /// What is wrong and what would be accepted.
        what: String,
    },
    /// A cell of a dataset holds what it must not.
    #[error("row {}, column {column:?}: {what}", row + 1)]
    Cell {
        /// Its row, from 0 (people read it counted from 1, header not counted).
        row: usize,
        /// Its column.
        column: String,
        /// What is wrong and what would be accepted.
        what: String,
    },
    /// A parameter has a value that is not accepted.
    #[error("parameter {name}: {value} is not accepted; {accepted}")]
    Parameter {
        /// Its name as in `--set`.
        name: String,
        /// The value given.
        value: String,
        /// What would be accepted.
        accepted: String,
    },
    /// The training data cannot be fitted by this model.
    #[error("{0}")]
    Fit(String),
    /// A model file is not one, is damaged, or is of a later version.
    #[error("{file}: {what}")]
    ModelFile {
        /// The file.
        file: String,
        /// What is wrong.
        what: String,
    },
    /// A pool of worker processes cannot do what it was given.
    #[error("{0}")]
    Worker(String),
    /// Operands do not fit each other.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The person asked to stop before anything worth keeping was there.
    #[error("stopped before the first round was done")]
    Cancelled,
}

fn place(file: &str, line: Option<u64>, column: Option<&str>, what: &str) -> String {
    let mut text = file.to_owned();
    if let Some(line) = line {
        text += &format!(", line {line}");
    }
    if let Some(column) = column {
        text += &format!(", column {column:?}");
    }
    text + ": " + what
}

impl Error {
    /// A failure of the system on `path`.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }
    /// A column that is not what is needed.
    pub fn column(name: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Column { name: name.into(), what: what.into() }
    }
    /// A cell that is not what is needed; `row` counts from 0.
    pub fn cell(row: usize, column: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Cell { row, column: column.into(), what: what.into() }
    }
    /// The same error seen from a table in which the block it came from starts `rows` further down.
    pub fn moved_down(self, rows: usize) -> Self {
        match self {
            Self::Cell { row, column, what } => Self::Cell { row: row + rows, column, what },
            other => other,
        }
    }
    /// A parameter outside its range.
    pub fn parameter(name: &str, value: impl ToString, accepted: impl Into<String>) -> Self {
        Self::Parameter { name: name.into(), value: value.to_string(), accepted: accepted.into() }
    }
}

/// Names for an error message; a long list is cut.
pub fn listed<S: AsRef<str>>(names: &[S]) -> String {
    const SHOWN: usize = 40;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    let mut text = shown.join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}
