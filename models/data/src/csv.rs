//! CSV: text, a record per line, cells apart by a delimiter.
//!
//! Kinds are inferred over the whole file: a column of numbers is numeric, one of `true` and `false` boolean, any other
//! categorical; a column without any value is numeric. Where 90 % or more of the values are numbers the others are
//! taken for mistakes: an error names the first. Infinity, written so or by a number too large for f64, is such a
//! mistake too.
//!
//! The text is cut at line ends into blocks of a fixed size that are read on their own and put together in order, which
//! is how threads can share the work; today one thread reads them all. A quoted cell may hold line ends: with a quote
//! in it the file is one block.

pub(crate) mod chunks;
pub(crate) mod records;
pub(crate) mod sniff;

use crate::column::{Builder, Fault, Rule, speaks_for_text};
use crate::options::{Missing, ReadOptions};
use records::{Cell, Records, Step};
use std::collections::HashMap;
use tilewise_base::error::listed;
use tilewise_base::{Column, Dataset, Error, Result};

/// Text that is read at a time: some milliseconds of work, and thousands of records.
const BLOCK_BYTES: usize = 1 << 20;

/// The table in the bytes of a file that errors call `file`.
pub(crate) fn read(bytes: &[u8], file: &str, options: &ReadOptions<'_>) -> Result<Dataset> {
    let text = text(bytes, 1, true).map_err(|fault| at(file, fault))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut layout, mut records) = Layout::of(text, file, options, true)?;
    if options.schema.is_none_or(|s| layout.plans.iter().any(|p| s.position(&p.name).is_none())) {
        layout.guess(text, (records.at, records.line)).map_err(|fault| at(file, fault))?;
    }
    let start = (records.at, records.line);
    let mut cells = Vec::new();
    if records.next(&mut cells).map_err(|fault| at(file, fault))? == Step::End {
        return Err(nothing(file, "there are no rows below the names", start.1));
    }
    let mut columns: HashMap<usize, Column> = HashMap::new();
    let mut plans = layout.plans.clone();
    while !plans.is_empty() {
        let builders = layout.blocks(text, start, &plans).map_err(|fault| at(file, fault))?;
        let mut again = Vec::new();
        for (plan, builder) in plans.into_iter().zip(builders) {
            match builder.finish(&plan.name, plan.rule).map_err(|fault| at(file, fault))? {
                Some(column) => drop(columns.insert(plan.at, column)),
                None => again.push(Plan { rule: Rule::PerhapsText, ..plan }),
            }
        }
        plans = again;
    }
    let named = layout.plans.into_iter().filter_map(|p| columns.remove(&p.at).map(|c| (p.name, c)));
    Dataset::new(named.collect())
}

/// A column to read.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Its place in a record.
    pub(crate) at: usize,
    pub(crate) name: String,
    pub(crate) rule: Rule,
}

/// What is known before the first row is read.
pub(crate) struct Layout {
    delimiter: u8,
    /// Cells of a record.
    width: usize,
    pub(crate) plans: Vec<Plan>,
    missing: Missing,
}

impl Layout {
    /// From the beginning of a file; also gives the records behind the names.
    pub(crate) fn of<'t>(
        text: &'t str,
        file: &str,
        options: &ReadOptions<'_>,
        whole: bool,
    ) -> Result<(Self, Records<'t>)> {
        let delimiter = match options.delimiter {
            Some(d) if d.is_ascii() && !b"\"\r\n ".contains(&d) => d,
            Some(d) => {
                let accepted = "a printable ASCII character or tab, no quote and no space";
                return Err(Error::parameter("delimiter", char::from(d), accepted));
            }
            None => sniff::delimiter(text),
        };
        let mut records = Records::new(text, 1, delimiter, whole);
        let mut first = Vec::new();
        if records.next(&mut first).map_err(|fault| at(file, fault))? != Step::Record {
            return Err(nothing(file, "the file is empty; a table is needed", 1));
        }
        let width = first.len();
        let line = first[0].line;
        let names: Vec<String> = match &options.columns {
            Some(names) if names.len() == width => names.clone(),
            Some(names) => {
                return Err(nothing(
                    file,
                    &format!("{} names are given for {width} cells", names.len()),
                    line,
                ));
            }
            None if options.header => first.iter().map(|cell| cell.text.to_string()).collect(),
            None => vec![String::new(); width],
        };
        if !options.header {
            records = Records::new(text, 1, delimiter, whole);
        }
        let name = |(i, name): (usize, String)| if name.is_empty() { format!("c{}", i + 1) } else { name };
        let names: Vec<String> = names.into_iter().enumerate().map(name).collect();
        let plans = plan(names, file, Some(line), options)?;
        let missing = Missing::new(options, true);
        Ok((Self { delimiter, width, plans, missing }, records))
    }

    /// Looks at the first records behind `start` for columns that are no numbers.
    fn guess(&mut self, text: &str, start: (usize, u64)) -> Result<(), Fault> {
        let beginning = sniff::beginning(&text[start.0..]);
        let whole = beginning.len() == text.len() - start.0;
        let mut records = Records::new(beginning, start.1, self.delimiter, whole);
        let mut cells = Vec::new();
        for _ in 0..sniff::SNIFFED_RECORDS {
            if records.next(&mut cells)? != Step::Record {
                break;
            }
            for plan in &mut self.plans {
                if let Some(cell) = cells.get(plan.at)
                    && plan.rule == Rule::PerhapsNumeric
                    && !self.missing.is(&cell.text)
                    && speaks_for_text(&cell.text)
                {
                    plan.rule = Rule::PerhapsText;
                }
            }
        }
        Ok(())
    }

    /// The columns of `plans` over all rows behind `start`.
    fn blocks(&self, text: &str, start: (usize, u64), plans: &[Plan]) -> Result<Vec<Builder>, Fault> {
        let (mut from, mut line) = start;
        let mut ranges = Vec::new();
        let one = text.as_bytes()[from..].contains(&b'"');
        while from < text.len() {
            let rest = &text.as_bytes()[from..];
            let more = rest.get(BLOCK_BYTES..).and_then(|rest| rest.iter().position(|&b| b == b'\n'));
            let end = match more {
                Some(newline) if !one => from + BLOCK_BYTES + newline + 1,
                _ => text.len(),
            };
            ranges.push((&text[from..end], line));
            line += text.as_bytes()[from..end].iter().map(|&b| u64::from(b == b'\n')).sum::<u64>();
            from = end;
        }
        let read = |i: usize| {
            let (text, line) = ranges[i];
            let mut table = Table::new(self, plans);
            let mut cells = Vec::new();
            let mut records = Records::new(text, line, self.delimiter, true);
            while records.next(&mut cells)? == Step::Record {
                table.push(&cells)?;
            }
            Ok(table.builders)
        };
        let mut blocks = (0..ranges.len()).map(read);
        let Some(first) = blocks.next() else { return Ok(Table::new(self, plans).builders) };
        let mut whole = first?;
        for block in blocks {
            whole.iter_mut().zip(block?).for_each(|(a, b)| a.append(b));
        }
        Ok(whole)
    }
}

/// Rows under construction.
pub(crate) struct Table<'l> {
    layout: &'l Layout,
    plans: &'l [Plan],
    pub(crate) builders: Vec<Builder>,
    pub(crate) rows: usize,
}

impl<'l> Table<'l> {
    pub(crate) fn new(layout: &'l Layout, plans: &'l [Plan]) -> Self {
        Self { layout, plans, builders: plans.iter().map(|p| Builder::new(p.rule)).collect(), rows: 0 }
    }

    pub(crate) fn push(&mut self, cells: &[Cell<'_>]) -> Result<(), Fault> {
        let width = self.layout.width;
        if cells.len() != width {
            let what = format!("expected {width} cells as in the first line, found {}", cells.len());
            return Err(Fault { line: cells[0].line, column: None, what });
        }
        for (plan, builder) in self.plans.iter().zip(&mut self.builders) {
            let cell = &cells[plan.at];
            builder.push(&cell.text, cell.line, plan.rule, &self.layout.missing).map_err(|what| Fault {
                line: cell.line,
                column: Some(plan.name.clone()),
                what,
            })?;
        }
        self.rows += 1;
        Ok(())
    }
}

/// What to read of the columns called `names`, in their order.
pub(crate) fn plan(
    names: Vec<String>,
    file: &str,
    line: Option<u64>,
    options: &ReadOptions<'_>,
) -> Result<Vec<Plan>> {
    let place = |column: &str, what: String| Error::Data {
        file: file.to_owned(),
        line,
        column: Some(column.to_owned()),
        what,
    };
    let wanted = options.columns_wanted.as_ref();
    let is_read =
        |name: &String| wanted.is_none_or(|w| w.contains(name)) && !options.columns_ignored.contains(name);
    let mut positions: HashMap<&str, usize> = HashMap::new();
    for (i, name) in names.iter().enumerate() {
        if let Some(earlier) = positions.insert(name, i)
            && is_read(name)
        {
            let hint = if line.is_some() { "; if this line holds data, say --no-header" } else { "" };
            let what = format!("the name is used twice, for columns {} and {}{hint}", earlier + 1, i + 1);
            return Err(place(name, what));
        }
    }
    for name in wanted.into_iter().flatten().chain(&options.columns_ignored).chain(&options.categorical) {
        if !positions.contains_key(name.as_str()) {
            let field = options.schema.and_then(|s| s.position(name).map(|i| &s.fields[i]));
            let what = match field {
                Some(field) => format!("is missing: the model needs it ({})", field.kind.name()),
                None => "there is no such column".to_owned(),
            };
            let what = format!("{what}; there are {}", listed(&names));
            return Err(Error::Data { file: file.to_owned(), line: None, column: Some(name.clone()), what });
        }
    }
    let rule = |name: &String| {
        let field = options.schema.and_then(|s| s.position(name).map(|i| &s.fields[i]));
        match field {
            _ if options.categorical.contains(name) => Rule::Categorical,
            Some(field) => Rule::given(&field.kind),
            None => Rule::PerhapsNumeric,
        }
    };
    let plans = names.into_iter().enumerate().filter(|(_, name)| is_read(name));
    Ok(plans.map(|(at, name)| Plan { at, rule: rule(&name), name }).collect())
}

/// The longest beginning of `bytes` that is text. Only where more bytes may follow (not `whole`) may a character be
/// cut at the end; `line` is the number of the first line.
pub(crate) fn text(bytes: &[u8], line: u64, whole: bool) -> Result<&str, Fault> {
    let (text, bad) = match std::str::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(e) => {
            let text = std::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or_default();
            (text, (whole || e.error_len().is_some()).then_some(text.len()))
        }
    };
    let Some(bad) = text.as_bytes().iter().position(|&b| b == 0).or(bad) else { return Ok(text) };
    let what = if bytes.starts_with(b"PAR1") {
        "this is a Parquet file; give --format parquet".to_owned()
    } else if bytes.starts_with(b"ARROW1") {
        "this is an Arrow file; give --format arrow".to_owned()
    } else {
        format!("the byte 0x{:02x} is not UTF-8 text; a file of text in UTF-8 is needed", bytes[bad])
    };
    let line = line + bytes[..bad].iter().filter(|&&b| b == b'\n').count() as u64;
    Err(Fault { line, column: None, what })
}

/// A fault in a file.
pub(crate) fn at(file: &str, fault: Fault) -> Error {
    Error::Data { file: file.to_owned(), line: Some(fault.line), column: fault.column, what: fault.what }
}

fn nothing(file: &str, what: &str, line: u64) -> Error {
    at(file, Fault { line, column: None, what: what.to_owned() })
}
