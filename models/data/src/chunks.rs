//! Tables in chunks of rows: for files beyond memory.

use crate::batches::{Batches, Shape, guarded};
use crate::csv::chunks::CsvChunks;
use crate::options::{Format, ReadOptions};
use crate::read::{Input, format};
use arrow_array::RecordBatch;
use std::collections::VecDeque;
use std::path::Path;
use tilewise_base::{Dataset, Error, Result, Schema};

/// Reads a file as tables of `rows` rows (the last may have fewer), columns and kinds as in `schema`. Dictionaries
/// of categories are those of the chunk: whoever joins chunks matches categories by their text. In memory is one
/// chunk at a time. libsvm files, whose width only the last line tells, are refused.
///
/// # Errors
/// When the file cannot be opened or lacks a column; each chunk may be an error too, and is the last one then.
pub fn chunks(path: &Path, schema: &Schema, rows: usize, options: &ReadOptions<'_>) -> Result<Chunks> {
    let rows = rows.max(1);
    let names = schema.fields.iter().map(|f| f.name.clone()).collect();
    let options = &ReadOptions { schema: Some(schema), columns_wanted: Some(names), ..options.clone() };
    let input = Input::open(path)?;
    let file = input.name();
    let source = match format(path, options)? {
        Format::Csv => Source::Csv(CsvChunks::new(input.stream()?, &file, rows, options)?),
        Format::Libsvm => {
            let what = "libsvm files are not read in chunks; read the whole file".to_owned();
            return Err(Error::Data { file, line: None, column: None, what });
        }
        format @ (Format::Parquet | Format::Arrow) => {
            let (shape, batches) = guarded(&file, || input.batches(format, options))?;
            Source::Batches(BatchChunks {
                shape,
                batches,
                pending: VecDeque::new(),
                at_hand: 0,
                rows,
                row: 1,
            })
        }
    };
    Ok(Chunks { source: Some(source) })
}

/// Tables of at most so many rows; made by [`chunks`].
pub struct Chunks {
    /// `None` after the end or an error.
    source: Option<Source>,
}

enum Source {
    Csv(CsvChunks),
    Batches(BatchChunks),
}

impl Iterator for Chunks {
    type Item = Result<Dataset>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match self.source.as_mut()? {
            Source::Csv(chunks) => chunks.next(),
            Source::Batches(chunks) => guarded(&chunks.shape.file.clone(), || chunks.next()),
        };
        if !matches!(next, Ok(Some(_))) {
            self.source = None;
        }
        next.transpose()
    }
}

/// Cuts batches of any length into chunks of equal length.
struct BatchChunks {
    shape: Shape,
    batches: Batches,
    pending: VecDeque<RecordBatch>,
    /// Rows in `pending`.
    at_hand: usize,
    rows: usize,
    /// Number of the next row, from 1.
    row: u64,
}

impl BatchChunks {
    fn next(&mut self) -> Result<Option<Dataset>> {
        while self.at_hand < self.rows {
            let Some(batch) = self.batches.next() else { break };
            let batch = batch.map_err(|e| self.shape.error(e))?;
            self.at_hand += batch.num_rows();
            self.pending.push_back(batch);
        }
        let mut missing = self.rows.min(self.at_hand);
        if missing == 0 {
            return Ok(None);
        }
        let mut chunk = Vec::new();
        while missing > 0 {
            let Some(batch) = self.pending.pop_front() else { break };
            if batch.num_rows() > missing {
                self.pending.push_front(batch.slice(missing, batch.num_rows() - missing));
                chunk.push(batch.slice(0, missing));
                missing = 0;
            } else {
                missing -= batch.num_rows();
                chunk.push(batch);
            }
        }
        let table = self.shape.table(chunk.into_iter().map(Ok), self.row)?;
        self.row += table.rows() as u64;
        self.at_hand -= table.rows();
        Ok(Some(table))
    }
}
