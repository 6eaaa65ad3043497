//! Reads a whole table from a file, stdin or memory.

use crate::batches::{Batches, Shape, guarded};
use crate::options::{Format, ReadOptions};
use crate::{csv, ipc, libsvm, parquet};
use bytes::Bytes;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use tilewise_base::{Dataset, Error, Result};

/// The table in the file at `path`; `-` is stdin.
///
/// ```no_run
/// let table = tilewise_data::read("iris.csv", &tilewise_data::ReadOptions::default())?;
/// println!("{} rows of {}", table.rows(), table.names().join(", "));
/// # Ok::<(), tilewise_base::Error>(())
/// ```
///
/// # Errors
/// When it cannot be opened or is not a table; the error names file, line (or row), column and text.
pub fn read(path: impl AsRef<Path>, options: &ReadOptions<'_>) -> Result<Dataset> {
    let path = path.as_ref();
    let format = format(path, options)?;
    Input::open(path)?.table(format, options)
}

/// The table in `bytes`, which errors call `name`; its extension tells the format unless `options` do.
///
/// # Errors
/// When it is not a table, as in [`read`].
pub fn read_bytes(bytes: &[u8], name: &str, options: &ReadOptions<'_>) -> Result<Dataset> {
    let format = format(Path::new(name), options)?;
    match format {
        Format::Csv => csv::read(&mut || Ok(Box::new(Cursor::new(bytes))), name, options),
        Format::Libsvm => libsvm::read(bytes, name, options),
        _ => Input::Memory { name: name.to_owned(), bytes: Bytes::copy_from_slice(bytes) }
            .table(format, options),
    }
}

/// The format that `options` or the extension tell; CSV for stdin.
pub(crate) fn format(path: &Path, options: &ReadOptions<'_>) -> Result<Format> {
    match options.format {
        Some(format) => Ok(format),
        None if path == Path::new("-") => Ok(Format::Csv),
        None if path.is_dir() => {
            Err(Error::Io { path: path.to_owned(), source: std::io::ErrorKind::IsADirectory.into() })
        }
        None => Format::of(path),
    }
}

/// Bytes of a pipe that are read at a time.
const PIECE: usize = 64 << 10;

/// Where bytes come from.
pub(crate) enum Input {
    File { path: PathBuf, file: File },
    Stdin,
    Memory { name: String, bytes: Bytes },
}

impl Input {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Stdin);
        }
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        Ok(Self::File { path: path.to_owned(), file })
    }

    /// What errors call it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            Self::Stdin => "<stdin>".to_owned(),
            Self::Memory { name, .. } => name.clone(),
        }
    }

    /// Its bytes one after another.
    pub(crate) fn stream(self) -> Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::File { file, .. } => Box::new(file),
            Self::Stdin => Box::new(std::io::stdin()),
            Self::Memory { bytes, .. } => Box::new(Cursor::new(bytes)),
        })
    }

    fn bytes(self) -> Result<Bytes> {
        let name = self.name();
        if let Self::Memory { bytes, .. } = self {
            return Ok(bytes);
        }
        let mut bytes = Vec::new();
        self.stream()?.read_to_end(&mut bytes).map_err(|e| Error::io(name, e))?;
        Ok(bytes.into())
    }

    fn table(self, format: Format, options: &ReadOptions<'_>) -> Result<Dataset> {
        let name = self.name();
        match format {
            Format::Csv => self.csv(&name, options),
            Format::Libsvm => libsvm::read(&self.bytes()?, &name, options),
            Format::Parquet | Format::Arrow => guarded(&name.clone(), || {
                let (shape, batches) = self.batches(format, options)?;
                let batches = batches.map(|batch| batch.map_err(|e| shape.error(e)));
                let table = shape.table(batches, 1)?;
                if table.rows() == 0 {
                    let what = "there are no rows".to_owned();
                    return Err(Error::Data { file: name, line: None, column: None, what });
                }
                Ok(table)
            }),
        }
    }

    /// A file is opened again where it is read a second time; what cannot be is kept first.
    fn csv(self, name: &str, options: &ReadOptions<'_>) -> Result<Dataset> {
        match self {
            // A pipe gives its bytes once.
            Self::File { path, file } if file.metadata().is_ok_and(|about| about.is_file()) => {
                let mut first = Some(file);
                let mut open = || -> Result<Box<dyn Read + Send>> {
                    let again = || File::open(&path).map_err(|e| Error::io(&path, e));
                    Ok(Box::new(first.take().map_or_else(again, Ok)?))
                };
                csv::read(&mut open, name, options)
            }
            Self::File { .. } | Self::Stdin => {
                let (mut stream, mut bytes) = (self.stream()?, options.storage.grow());
                let mut piece = vec![0; PIECE];
                loop {
                    match stream.read(&mut piece).map_err(|e| Error::io(name, e))? {
                        0 => break,
                        read => bytes.extend_from_slice(&piece[..read])?,
                    }
                }
                let bytes = bytes.finish()?;
                csv::read(&mut || Ok(Box::new(Cursor::new(&bytes))), name, options)
            }
            Self::Memory { bytes, .. } => csv::read(&mut || Ok(Box::new(Cursor::new(&bytes))), name, options),
        }
    }

    /// The wanted columns of a columnar file, batch by batch.
    pub(crate) fn batches(self, format: Format, options: &ReadOptions<'_>) -> Result<(Shape, Batches)> {
        let name = self.name();
        match self {
            Self::File { file, .. } if format == Format::Parquet => parquet::open(file, &name, options),
            Self::File { file, .. } => ipc::open(BufReader::new(file), &name, options),
            memory => {
                let bytes = memory.bytes()?;
                if format == Format::Parquet {
                    parquet::open(bytes, &name, options)
                } else {
                    ipc::open(Cursor::new(bytes), &name, options)
                }
            }
        }
    }
}
