//! What a reader may be told: format, header, delimiter, names, kinds, which text means missing.

use std::path::Path;
use tilewise_base::{Error, Result, Schema, Storage};

/// A format of table files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text, a record per line, cells apart by a delimiter.
    Csv,
    /// Apache Parquet.
    Parquet,
    /// Arrow IPC, the file (Feather 2) or the stream form.
    Arrow,
    /// `label index:value ...`, sparse, indices from 1.
    Libsvm,
}

impl Format {
    /// What `--format` accepts.
    pub const NAMES: &'static str = "csv, parquet, arrow or libsvm";

    /// The format that a file's extension means.
    ///
    /// # Errors
    /// When the extension is none that is known.
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        match extension.as_str() {
            "csv" | "tsv" | "txt" => Ok(Self::Csv),
            "parquet" => Ok(Self::Parquet),
            "arrow" | "feather" | "ipc" => Ok(Self::Arrow),
            "svm" | "libsvm" => Ok(Self::Libsvm),
            _ => Err(Error::Data {
                file: path.display().to_string(),
                line: None,
                column: None,
                what: format!(
                    "the extension {extension:?} does not tell the format; known are csv, tsv, txt, parquet, arrow, \
                     feather, ipc, svm, libsvm, or give --format {}",
                    Self::NAMES
                ),
            }),
        }
    }
}

impl std::str::FromStr for Format {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "csv" => Ok(Self::Csv),
            "parquet" => Ok(Self::Parquet),
            "arrow" => Ok(Self::Arrow),
            "libsvm" => Ok(Self::Libsvm),
            _ => Err(format!("unknown format {s:?}: expected {}", Self::NAMES)),
        }
    }
}

/// How to read a table. `ReadOptions::default()` reads a CSV file with a header and infers all kinds.
#[derive(Clone, Debug)]
pub struct ReadOptions<'a> {
    /// The format; by default what the extension says, and CSV for stdin.
    pub format: Option<Format>,
    /// CSV: the byte between cells; by default the one of `,` `;` tab `|` that cuts the first records best.
    pub delimiter: Option<u8>,
    /// CSV: whether the first record holds names.
    pub header: bool,
    /// CSV: the names, instead of those of the header, or of `c1`, `c2` ... where there is none.
    pub columns: Option<Vec<String>>,
    /// Text that means missing, besides [`MISSING`] (which holds in CSV only).
    pub na: Vec<String>,
    /// Kinds of columns by name; those not named here are inferred. Only names and kinds count: a dictionary here
    /// does not limit what is read, whoever uses the table matches categories by their text.
    pub schema: Option<&'a Schema>,
    /// Columns that hold categories even if they look like numbers.
    pub categorical: Vec<String>,
    /// Reads only these columns, in the order of the file. What the others hold, and how they are named, is no matter.
    pub columns_wanted: Option<Vec<String>>,
    /// Does not read these columns.
    pub columns_ignored: Vec<String>,
    /// Where numbers and codes of the table are put.
    pub storage: Storage,
}

impl Default for ReadOptions<'_> {
    fn default() -> Self {
        Self {
            format: None,
            delimiter: None,
            header: true,
            columns: None,
            na: Vec::new(),
            schema: None,
            categorical: Vec::new(),
            columns_wanted: None,
            columns_ignored: Vec::new(),
            storage: Storage::default(),
        }
    }
}

/// Cells that mean missing in every CSV file, besides the empty one.
pub const MISSING: [&str; 7] = ["NA", "N/A", "NaN", "nan", "null", "NULL", "None"];

/// Tells whether a cell is missing.
pub(crate) struct Missing {
    words: Vec<String>,
    /// Which first bytes any of the words has: rejects nearly every cell at once.
    first: [bool; 256],
}

impl Missing {
    /// `defaults`: whether [`MISSING`] and the empty cell count.
    pub(crate) fn new(options: &ReadOptions<'_>, defaults: bool) -> Self {
        let mut words = options.na.clone();
        if defaults {
            words.extend(MISSING.map(String::from));
        }
        let mut first = [false; 256];
        for word in &words {
            if let Some(&byte) = word.as_bytes().first() {
                first[usize::from(byte)] = true;
            }
        }
        words.extend(defaults.then(String::new));
        Self { words, first }
    }

    pub(crate) fn is(&self, cell: &str) -> bool {
        cell.as_bytes().first().is_none_or(|&b| self.first[usize::from(b)])
            && self.words.iter().any(|w| w == cell)
    }
}
