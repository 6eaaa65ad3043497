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

use crate::column::{Builder, Fault, Holds, Rule, speaks_for_text};
use crate::options::{Missing, ReadOptions};
use chunks::Stream;
use records::{Cell, Records, Step};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::PathBuf;
use tilewise_base::error::listed;
use tilewise_base::{Array, Column, Dataset, Error, Result, Storage};

/// A file of a table, which may be read again.
pub(crate) struct Source<'a> {
    /// What errors call it.
    pub(crate) name: String,
    pub(crate) bytes: Bytes<'a>,
}

/// Where its bytes are.
pub(crate) enum Bytes<'a> {
    File(PathBuf),
    Kept(Array<u8>),
    Memory(&'a [u8]),
}

impl Source<'_> {
    /// Its bytes from the beginning.
    fn open(&self) -> Result<Box<dyn Read + Send + '_>> {
        Ok(match &self.bytes {
            Bytes::File(path) => Box::new(File::open(path).map_err(|e| Error::io(path, e))?),
            Bytes::Kept(bytes) => Box::new(Cursor::new(bytes)),
            Bytes::Memory(bytes) => Box::new(Cursor::new(bytes)),
        })
    }
}

/// The table in these files, one after another. Their columns are those of the first, in any order.
pub(crate) fn read(sources: &[Source<'_>], options: &ReadOptions<'_>) -> Result<Dataset> {
    let (mut all, mut plans, mut start) = (Vec::new(), Vec::new(), 1);
    let mut columns: HashMap<usize, Column> = HashMap::new();
    loop {
        let mut rows = None;
        for source in sources {
            let mut stream = Stream::new(source.open()?, &source.name, options)?;
            if all.is_empty() {
                let is_open = |p: &Plan| options.schema.is_none_or(|s| s.position(&p.name).is_none());
                if stream.layout.plans.iter().any(is_open) {
                    stream.guess()?;
                }
                all = stream.layout.plans.clone();
                plans = all.clone();
            }
            start = stream.line;
            let rows = rows.get_or_insert_with(|| Rows::new(&plans, &options.storage));
            let here = stream.layout.places_of(&plans, &all, source, &sources[0])?;
            rows.files.push((rows.before, source.name.clone()));
            stream.read(&here, usize::MAX, rows)?;
            rows.before += stream.line;
            rows.look_at_kinds(&plans);
        }
        let Some(rows) = rows.filter(|rows| rows.count > 0) else {
            let file = sources.first().map_or("", |source| &source.name);
            let line = (sources.len() == 1).then_some(start);
            return Err(nothing(file, "there are no rows below the names", line));
        };
        rows.check_kinds(&plans)?;
        let mut again = Vec::new();
        for (plan, builder) in plans.into_iter().zip(rows.builders) {
            match builder.finish(&plan.name, plan.rule, &|fault| place(&rows.files, fault))? {
                Some(column) => drop(columns.insert(plan.at, column)),
                None => again.push(Plan { rule: Rule::PerhapsText, ..plan }),
            }
        }
        if again.is_empty() {
            break;
        }
        plans = again;
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
            return Err(nothing(file, "the file is empty; a table is needed", Some(1)));
        }
        let width = first.len();
        let line = first[0].line;
        let names: Vec<String> = match &options.columns {
            Some(names) if names.len() == width => names.clone(),
            Some(names) => {
                return Err(nothing(
                    file,
                    &format!("{} names are given for {width} cells", names.len()),
                    Some(line),
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

    /// The places in the file `source` of the columns of `plans`; the table's columns are `all`, as `first` has them.
    fn places_of(
        &self,
        plans: &[Plan],
        all: &[Plan],
        source: &Source<'_>,
        first: &Source<'_>,
    ) -> Result<Vec<Plan>> {
        let differs = |column: &str, what: String| Error::Data {
            file: source.name.clone(),
            line: None,
            column: Some(column.to_owned()),
            what: format!("{what}; files of one table have the same columns"),
        };
        let here: HashMap<&str, usize> = self.plans.iter().map(|p| (&p.name[..], p.at)).collect();
        if let Some(lacking) = all.iter().find(|p| !here.contains_key(&p.name[..])) {
            return Err(differs(&lacking.name, format!("is missing, and {} has it", first.name)));
        }
        if let Some(more) = self.plans.iter().find(|here| all.iter().all(|p| p.name != here.name)) {
            return Err(differs(&more.name, format!("is not in {}", first.name)));
        }
        Ok(plans.iter().map(|p| Plan { at: here[&p.name[..]], ..p.clone() }).collect())
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
pub(crate) struct Rows {
    pub(crate) builders: Vec<Builder>,
    pub(crate) count: usize,
    /// Lines of the files before: builders count lines over all files.
    before: u64,
    /// Lines before each file, and its name.
    files: Vec<(u64, String)>,
    /// What the files were seen to hold in each column.
    held: Vec<Held>,
}

/// What files hold in a column.
#[derive(Clone, Default)]
struct Held {
    /// The first file with nothing but numbers there.
    numbers: Option<usize>,
    /// The first with nothing but text.
    text: Option<usize>,
    /// Whether a file has both.
    both: bool,
}

impl Rows {
    pub(crate) fn new(plans: &[Plan], storage: &Storage) -> Self {
        let texts = storage.texts();
        let builders = plans.iter().map(|p| Builder::new(p.rule, storage, &texts)).collect();
        Self { builders, count: 0, before: 0, files: Vec::new(), held: vec![Held::default(); plans.len()] }
    }

    /// Appends a row. The inner error is about the row, the outer one about what stores it.
    pub(crate) fn push(
        &mut self,
        layout: &Layout,
        plans: &[Plan],
        cells: &[Cell<'_>],
    ) -> Result<Result<(), Fault>> {
        let width = layout.width;
        if cells.len() != width {
            let what = format!("expected {width} cells as in the first line, found {}", cells.len());
            return Ok(Err(Fault { line: cells[0].line, column: None, what }));
        }
        for (plan, builder) in plans.iter().zip(&mut self.builders) {
            let Cell { text, line } = &cells[plan.at];
            if let Err(what) = builder.push(text, self.before + line, plan.rule, &layout.missing)? {
                return Ok(Err(Fault { line: *line, column: Some(plan.name.clone()), what }));
            }
        }
        self.count += 1;
        Ok(Ok(()))
    }

    /// At the end of a file: notes what its columns hold whose kinds are not given.
    fn look_at_kinds(&mut self, plans: &[Plan]) {
        let file = self.files.len() - 1;
        for ((builder, plan), held) in self.builders.iter_mut().zip(plans).zip(&mut self.held) {
            if !matches!(plan.rule, Rule::PerhapsNumeric | Rule::PerhapsText) {
                continue;
            }
            match builder.holds() {
                Holds::Nothing => {}
                Holds::Numbers => held.numbers = held.numbers.or(Some(file)),
                Holds::Text => held.text = held.text.or(Some(file)),
                Holds::Both => held.both = true,
            }
        }
    }

    /// At the end of all files: refuses a column that is nothing but numbers in one and nothing but text in another. As one file both
    /// would be categories, which nobody meant, unless some file has both; the order of files does not matter.
    fn check_kinds(&self, plans: &[Plan]) -> Result<()> {
        for (plan, held) in plans.iter().zip(&self.held) {
            let (false, Some(numbers), Some(text)) = (held.both, held.numbers, held.text) else { continue };
            let (told, rest) = if text > numbers { ("text", "numbers") } else { ("numbers", "text") };
            let what = format!(
                "holds {told} where the column of {} holds {rest}; files of one table have the same kinds of columns; say \
                 --categorical {} if it holds categories",
                self.files[numbers.min(text)].1,
                plan.name
            );
            return Err(Error::Data {
                file: self.files[numbers.max(text)].1.clone(),
                line: None,
                column: Some(plan.name.clone()),
                what,
            });
        }
        Ok(())
    }
}

/// A fault whose line counts over these files.
fn place(files: &[(u64, String)], fault: Fault) -> Error {
    let file = files.partition_point(|(before, _)| *before < fault.line).saturating_sub(1);
    let (before, name) = &files[file];
    at(name, Fault { line: fault.line - before, ..fault })
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

fn nothing(file: &str, what: &str, line: Option<u64>) -> Error {
    Error::Data { file: file.to_owned(), line, column: None, what: what.to_owned() }
}
