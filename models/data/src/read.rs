//! Reads a whole table from a file, several, a folder of them, stdin or memory.

use crate::batches::{Batches, Rows, Shape, guarded};
use crate::csv::{self, Source};
use crate::options::{Format, ReadOptions};
use crate::{ipc, libsvm, parquet};
use bytes::Bytes;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use tilewise_base::{Dataset, Error, Result};

/// The table in the file at `path`, or in the files of the folder there, as [`read_files`] says; `-` is stdin.
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
    read_files(&[path], options)
}

/// The table whose rows are those of several files of one format (CSV, Parquet or Arrow), one after another; a folder stands for its
/// [`files`]. All have the columns of the first, in any order, and the same types. Kinds of CSV columns are inferred over all files.
///
/// # Errors
/// When there is no file, one cannot be opened, is not a table, or has other columns or types than the first; the error names file,
/// line (or row), column and text.
pub fn read_files<P: AsRef<Path>>(paths: &[P], options: &ReadOptions<'_>) -> Result<Dataset> {
    let mut all = Vec::new();
    for path in paths {
        all.extend(files(path)?);
    }
    let Some(first) = all.first() else {
        return Err(Error::Fit("no file is named; a table is needed".into()));
    };
    let kind = format(first, options)?;
    for path in &all[1..] {
        if [first, path].contains(&&PathBuf::from("-")) {
            return refused(path, "stdin is a table of its own, and no part of one");
        }
        if format(path, options)? != kind {
            return refused(
                path,
                &format!("is of another format than {}; files of one table have one", first.display()),
            );
        }
    }
    match kind {
        Format::Csv => {
            let sources =
                all.iter().map(|path| Input::open(path)?.source(options)).collect::<Result<Vec<_>>>()?;
            csv::read(&sources, options)
        }
        Format::Libsvm if all.len() > 1 => refused(
            &all[1],
            "a libsvm file is a table of its own; csv, parquet and arrow files can be parts of one",
        ),
        Format::Libsvm => {
            let input = Input::open(first)?;
            let name = input.name();
            libsvm::read(&input.bytes()?, &name, options)
        }
        Format::Parquet | Format::Arrow => columnar(all.iter().map(|path| Input::open(path)), kind, options),
    }
}

/// The files of the folder at `path`, sorted by name, or `path` itself where it is no folder. Files whose names begin with a dot or an
/// underscore, by which others mark what is no table, are left out.
///
/// # Errors
/// When the folder cannot be read, has no file, or a folder within it.
pub fn files(path: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let path = path.as_ref();
    if path == Path::new("-") || !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|e| Error::io(path, e))? {
        let entry = entry.map_err(|e| Error::io(path, e))?;
        if entry.file_name().as_encoded_bytes().first().is_some_and(|first| b"._".contains(first)) {
            continue;
        }
        if entry.path().is_dir() {
            return refused(
                &entry.path(),
                "is a folder in a folder; a table is read from the files of one folder",
            );
        }
        found.push(entry.path());
    }
    if found.is_empty() {
        return refused(path, "there is no file in the folder");
    }
    found.sort_unstable();
    Ok(found)
}

fn refused<T>(path: &Path, what: &str) -> Result<T> {
    let file = path.display().to_string();
    Err(Error::Data { file, line: None, column: None, what: what.to_owned() })
}

/// The table in columnar files, one after another.
fn columnar(
    inputs: impl IntoIterator<Item = Result<Input>>,
    format: Format,
    options: &ReadOptions<'_>,
) -> Result<Dataset> {
    let (mut rows, mut first) = (None, String::new());
    for input in inputs {
        let input = input?;
        let file = input.name();
        guarded(&file, || {
            let (shape, batches) = input.batches(format, options)?;
            let rows = rows.get_or_insert_with(|| Rows::new(&shape));
            let shape = rows.accept(shape)?;
            rows.push(&shape, batches.map(|batch| batch.map_err(|e| shape.error(e))), 1)
        })?;
        first = if first.is_empty() { file } else { first };
    }
    let table = guarded(&first, || rows.map_or_else(|| Ok(Dataset::default()), Rows::finish))?;
    if table.rows() == 0 {
        return Err(Error::Data {
            file: first,
            line: None,
            column: None,
            what: "there are no rows".to_owned(),
        });
    }
    Ok(table)
}

/// The table in `bytes`, which errors call `name`; its extension tells the format unless `options` do.
///
/// # Errors
/// When it is not a table, as in [`read`].
pub fn read_bytes(bytes: &[u8], name: &str, options: &ReadOptions<'_>) -> Result<Dataset> {
    let format = format(Path::new(name), options)?;
    match format {
        Format::Csv => {
            csv::read(&[Source { name: name.to_owned(), bytes: csv::Bytes::Memory(bytes) }], options)
        }
        Format::Libsvm => libsvm::read(bytes, name, options),
        _ => {
            let input = Input::Memory { name: name.to_owned(), bytes: Bytes::copy_from_slice(bytes) };
            columnar([Ok(input)], format, options)
        }
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

    /// As text that can be read again: what cannot be, such as a pipe, is kept first.
    fn source(self, options: &ReadOptions<'_>) -> Result<Source<'static>> {
        let name = self.name();
        let bytes = match self {
            Self::File { path, file } if file.metadata().is_ok_and(|about| about.is_file()) => {
                csv::Bytes::File(path)
            }
            other => {
                let (mut stream, mut bytes) = (other.stream()?, options.storage.grow());
                let mut piece = vec![0; PIECE];
                loop {
                    match stream.read(&mut piece).map_err(|e| Error::io(&name, e))? {
                        0 => break,
                        read => bytes.extend_from_slice(&piece[..read])?,
                    }
                }
                csv::Bytes::Kept(bytes.finish()?)
            }
        };
        Ok(Source { name, bytes })
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
