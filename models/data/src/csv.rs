//! CSV: text, a record per line, cells apart by a delimiter.
//!
//! Kinds are inferred over the whole file: a column of numbers is numeric, one of `true` and `false` boolean, any other
//! categorical; a column without any value is numeric. Where 90 % or more of the values are numbers the others are
//! taken for mistakes: an error names the first. Infinity, written so or by a number too large for f64, is such a
//! mistake too.
//!
//! Files are read as a stream ([`chunks`]), and once more where a column that began with numbers is none.

pub(crate) mod chunks;
pub(crate) mod records;
pub(crate) mod sniff;

use crate::column::{Builder, Fault, Rule, speaks_for_text};
use crate::options::{Missing, ReadOptions};
use chunks::Stream;
use records::{Cell, Records, Step};
use std::collections::HashMap;
use std::io::Read;
use tilewise_base::error::listed;
use tilewise_base::{Column, Dataset, Error, Result, Storage};

/// Gives the bytes of a file from its beginning.
pub(crate) type Open<'a> = &'a mut dyn FnMut() -> Result<Box<dyn Read + Send + 'a>>;

/// The table in a file that errors call `file`.
pub(crate) fn read<'a>(open: Open<'a>, file: &str, options: &ReadOptions<'_>) -> Result<Dataset> {
    let mut stream = Stream::new(open()?, file, options)?;
    if options.schema.is_none_or(|s| stream.layout.plans.iter().any(|p| s.position(&p.name).is_none())) {
        stream.guess()?;
    }
    let start = stream.line;
    let all = stream.layout.plans.clone();
    let mut plans = all.clone();
    let mut columns: HashMap<usize, Column> = HashMap::new();
    loop {
        let Some(builders) = stream.read(&plans, usize::MAX, &options.storage)? else {
            return Err(nothing(file, "there are no rows below the names", start));
        };
        let mut again = Vec::new();
        for (plan, builder) in plans.into_iter().zip(builders) {
            match builder.finish(&plan.name, plan.rule, file)? {
                Some(column) => drop(columns.insert(plan.at, column)),
                None => again.push(Plan { rule: Rule::PerhapsText, ..plan }),
            }
        }
        if again.is_empty() {
            break;
        }
        plans = again;
        stream = Stream::new(open()?, file, options)?;
    }
    let named = all.into_iter().filter_map(|p| columns.remove(&p.at).map(|c| (p.name, c)));
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

    /// Looks at the first records of `text`, which starts on this line, for columns that are no numbers. The file ends where the text
    /// does if `whole`.
    fn guess(&mut self, text: &str, line: u64, whole: bool) -> Result<(), Fault> {
        let beginning = sniff::beginning(text);
        let whole = whole && beginning.len() == text.len();
        let mut records = Records::new(beginning, line, self.delimiter, whole);
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
}

/// Rows under construction.
pub(crate) struct Table<'l> {
    layout: &'l Layout,
    plans: &'l [Plan],
    pub(crate) builders: Vec<Builder>,
    pub(crate) rows: usize,
}

impl<'l> Table<'l> {
    pub(crate) fn new(layout: &'l Layout, plans: &'l [Plan], storage: &Storage) -> Self {
        Self {
            layout,
            plans,
            builders: plans.iter().map(|p| Builder::new(p.rule, storage)).collect(),
            rows: 0,
        }
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
