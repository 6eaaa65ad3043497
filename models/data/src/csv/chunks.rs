//! CSV as a stream, a window of text at a time: whole files, or chunks of rows with kinds that are given.

use crate::csv::records::{Records, Step};
use crate::csv::{Layout, Plan, Rows, at, text};
use crate::options::ReadOptions;
use std::io::Read;
use tilewise_base::{Dataset, Error, Result, Storage};

/// What is read from the file at least at a time: some milliseconds of work, and thousands of records.
const READ_BYTES: usize = 1 << 20;

/// Rows of a CSV file, one after another.
pub(crate) struct Stream<'a> {
    window: Window<'a>,
    pub(crate) layout: Layout,
    /// The line of the next record.
    pub(crate) line: u64,
}

impl<'a> Stream<'a> {
    /// Reads up to the names.
    pub(crate) fn new(
        input: Box<dyn Read + Send + 'a>,
        file: &str,
        options: &ReadOptions<'_>,
    ) -> Result<Self> {
        let mut window = Window::new(input, file);
        loop {
            window.refill(1)?;
            if let Some(marked) = window.text.strip_prefix('\u{feff}') {
                window.at = window.text.len() - marked.len();
            }
            // The first record may be longer than what was read.
            let mut records = Records::new(window.rest(), 1, options.delimiter.unwrap_or(b','), window.whole);
            if records.next(&mut Vec::new()).map_err(|fault| at(file, fault))? == Step::More {
                continue;
            }
            let (layout, records) = Layout::of(window.rest(), file, options, window.whole)?;
            let (used, line) = (records.at, records.line);
            window.at += used;
            return Ok(Self { window, layout, line });
        }
    }

    /// Looks at the first records for columns that are no numbers.
    pub(crate) fn guess(&mut self) -> Result<()> {
        let Self { window, layout, line } = self;
        layout.guess(window.rest(), *line, window.whole).map_err(|fault| at(&window.file, fault))
    }

    /// Appends the columns of `plans` over the next rows to `rows`, so many at most.
    pub(crate) fn read(&mut self, plans: &[Plan], most: usize, rows: &mut Rows) -> Result<()> {
        let end = rows.count.saturating_add(most);
        loop {
            let file = &self.window.file;
            let mut records =
                Records::new(self.window.rest(), self.line, self.layout.delimiter, self.window.whole);
            let mut cells = Vec::new();
            let mut step = Step::Record;
            while step == Step::Record && rows.count < end {
                step = records.next(&mut cells).map_err(|fault| at(file, fault))?;
                if step == Step::Record {
                    rows.push(&self.layout, plans, &cells)?.map_err(|fault| at(file, fault))?;
                }
            }
            let used = records.at;
            self.line = records.line;
            drop(cells);
            self.window.at += used;
            if step != Step::More {
                return Ok(());
            }
            self.window.refill(self.line)?;
        }
    }
}

/// Reads a CSV file `rows` rows at a time.
pub(crate) struct CsvChunks {
    stream: Stream<'static>,
    rows: usize,
    storage: Storage,
}

impl CsvChunks {
    /// `options.schema` has every column that is read.
    pub(crate) fn new(
        input: Box<dyn Read + Send>,
        file: &str,
        rows: usize,
        options: &ReadOptions<'_>,
    ) -> Result<Self> {
        Ok(Self { stream: Stream::new(input, file, options)?, rows, storage: options.storage.clone() })
    }

    /// The next rows; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Dataset>> {
        let plans = self.stream.layout.plans.clone();
        let mut rows = Rows::new(&plans, &self.storage);
        self.stream.read(&plans, self.rows, &mut rows)?;
        if rows.count == 0 {
            return Ok(None);
        }
        let mut columns = Vec::new();
        for (plan, builder) in plans.into_iter().zip(rows.builders) {
            let column =
                builder.finish(&plan.name, plan.rule, &|fault| at(&self.stream.window.file, fault))?;
            columns.extend(column.map(|c| (plan.name, c)));
        }
        Dataset::new(columns).map(Some)
    }
}

/// The part of a file that is at hand, as text.
struct Window<'a> {
    input: Box<dyn Read + Send + 'a>,
    file: String,
    text: String,
    /// Up to where the text was used.
    at: usize,
    /// The first bytes of a character whose others were not read yet.
    tail: Vec<u8>,
    /// Whether the file ends where the text ends.
    whole: bool,
}

impl<'a> Window<'a> {
    fn new(input: Box<dyn Read + Send + 'a>, file: &str) -> Self {
        Self { input, file: file.to_owned(), text: String::new(), at: 0, tail: Vec::new(), whole: false }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Drops what was used, the rest starting on `line`, and reads more: at least as much as is at hand, so that a
    /// record longer than a few reads is not scanned again and again.
    fn refill(&mut self, line: u64) -> Result<()> {
        self.text.drain(..self.at);
        self.at = 0;
        let most = READ_BYTES.max(self.text.len());
        let mut bytes = std::mem::take(&mut self.tail);
        let read = (&mut self.input).take(most as u64).read_to_end(&mut bytes);
        self.whole = read.map_err(|e| Error::io(&self.file, e))? < most;
        let line = line + self.text.bytes().filter(|&b| b == b'\n').count() as u64;
        let text = text(&bytes, line, self.whole).map_err(|fault| at(&self.file, fault))?;
        self.text.push_str(text);
        self.tail = bytes[text.len()..].to_vec();
        Ok(())
    }
}
