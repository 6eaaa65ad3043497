//! Columns under construction: cells of text become numbers, booleans or categories.
//!
//! A column whose kind is not given starts as numbers or as text, whatever its first cells suggest. Text keeps every
//! distinct value with its count and the line where it was first seen, so the kind is decided at the end, exactly,
//! over the whole file, and no cell is read twice for it.

use crate::options::Missing;
use std::collections::HashMap;
use tilewise_base::{Column, Error, Flags, Growing, Kind, MISSING_CODE, Result, Storage, Texts};

/// A column with at least this share of numbers among its cells that are not missing is meant to be numeric: a text
/// among them is an error rather than a reason to make a category of every number.
const NUMERIC_SHARE: f64 = 0.9;

/// Something wrong at a place of a file.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Line, counted from 1.
    pub(crate) line: u64,
    /// Column name.
    pub(crate) column: Option<String>,
    /// What is wrong and what would be accepted.
    pub(crate) what: String,
}

/// A cell's text as errors show it.
pub(crate) fn shown(cell: &str) -> String {
    const LONGEST: usize = 40;
    match cell.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}...", &cell[..end]),
        None => format!("{cell:?}"),
    }
}

/// What a cell that is not missing looks like.
enum Look {
    Number(f64),
    /// A number that is infinite, written so or too large for f64.
    Infinite,
    /// What Rust parses as NaN (`-nan`, `NAN`): missing.
    Nan,
    Other,
}

fn look(cell: &str) -> Look {
    match cell.parse::<f64>() {
        Ok(x) if x.is_finite() => Look::Number(x),
        Ok(x) if x.is_nan() => Look::Nan,
        Ok(_) => Look::Infinite,
        Err(_) => Look::Other,
    }
}

fn boolean(cell: &str) -> Option<bool> {
    if cell.eq_ignore_ascii_case("true") {
        Some(true)
    } else if cell.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// The first cell that is not a finite number.
struct Odd {
    line: u64,
    text: String,
    infinite: bool,
}

impl Odd {
    fn strict(&self) -> String {
        let why = if self.infinite { "infinite; a finite number is needed" } else { "not a number" };
        format!("{} is {why} (a missing cell is empty or NA; --na TEXT adds another)", shown(&self.text))
    }

    fn fault(self, name: &str, tally: &Tally) -> Fault {
        let what = if self.infinite {
            self.strict()
        } else {
            let share = (tally.share() * 1000.0).floor() / 10.0;
            format!(
                "{0} is not a number, while {share} % of the column is; say --na {1:?} if it means missing, or \
                 --categorical {2:?} if the column holds categories",
                shown(&self.text),
                self.text,
                name
            )
        };
        Fault { line: self.line, column: Some(name.to_owned()), what }
    }
}

/// How many cells look like what, and the first that is no finite number.
#[derive(Default)]
struct Tally {
    numbers: u64,
    odd: u64,
    infinite: u64,
    first: Option<Odd>,
}

impl Tally {
    fn odd(&mut self, text: &str, line: u64, infinite: bool, count: u64) {
        self.odd += count;
        self.infinite += if infinite { count } else { 0 };
        if self.first.as_ref().is_none_or(|first| line < first.line) {
            self.first = Some(Odd { line, text: text.to_owned(), infinite });
        }
    }

    /// Share of cells that look like numbers, infinite ones included.
    fn share(&self) -> f64 {
        (self.numbers + self.infinite) as f64 / (self.numbers + self.odd).max(1) as f64
    }
}

/// What the cells of a column in one file are, missing ones aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Nothing,
    Numbers,
    Text,
    Both,
}

impl Holds {
    fn of(numbers: bool, text: bool) -> Self {
        match (numbers, text) {
            (false, false) => Self::Nothing,
            (true, false) => Self::Numbers,
            (false, true) => Self::Text,
            (true, true) => Self::Both,
        }
    }
}

/// Numbers so far.
pub(crate) struct Numbers {
    values: Growing<f64>,
    tally: Tally,
    /// Numbers and texts of the files that are over.
    over: (u64, u64),
}

/// A distinct text.
struct Seen {
    count: u64,
    /// Where it was first.
    line: u64,
    /// The last file that had it.
    file: u32,
    is_number: bool,
}

/// Bytes that a distinct text takes besides its letters: its entry in the table of codes, its counts, and what an allocation adds.
const TEXT_BYTES: u64 = 64;

/// Distinct texts so far.
pub(crate) struct Text {
    codes: Growing<u32>,
    storage: Storage,
    index: HashMap<Box<str>, u32>,
    /// By code.
    seen: Vec<Seen>,
    /// Counts the texts of all columns.
    texts: Texts,
    /// The number of the file, and whether it has numbers and other text in this column.
    file: u32,
    numbers: bool,
    others: bool,
}

impl Text {
    pub(crate) fn new(storage: &Storage, texts: &Texts) -> Self {
        Self {
            codes: storage.grow(),
            storage: storage.clone(),
            index: HashMap::new(),
            seen: Vec::new(),
            texts: texts.clone(),
            file: 0,
            numbers: false,
            others: false,
        }
    }

    /// Appends a cell; `None` is missing. The inner error is about the cell: its text is one too many.
    pub(crate) fn push(&mut self, cell: Option<&str>, line: u64) -> Result<Result<(), String>> {
        let code = match cell.map_or(Ok(MISSING_CODE), |cell| self.code(cell, line)) {
            Ok(code) => code,
            Err(what) => return Ok(Err(what)),
        };
        self.codes.push(code).map(Ok)
    }

    fn code(&mut self, cell: &str, line: u64) -> Result<u32, String> {
        if let Some(&code) = self.index.get(cell) {
            let seen = &mut self.seen[code as usize];
            seen.count += 1;
            if seen.file != self.file {
                seen.file = self.file;
                self.numbers |= seen.is_number;
                self.others |= !seen.is_number;
            }
            return Ok(code);
        }
        if !self.texts.take(cell.len() as u64 + TEXT_BYTES) {
            return Err(format!(
                "the texts of categories, {} of this column so far, take more than the {} bytes that the memory limit leaves for \
                 them; a higher limit is needed, or a table without such a column",
                self.seen.len(),
                self.texts.most()
            ));
        }
        // There are fewer than 2^32 - 1 distinct texts: they would not fit memory.
        let code = self.seen.len() as u32;
        self.index.insert(cell.into(), code);
        let is_number = !matches!(look(cell), Look::Other);
        self.numbers |= is_number;
        self.others |= !is_number;
        self.seen.push(Seen { count: 1, line, file: self.file, is_number });
        Ok(code)
    }

    /// The categories, in a sorted dictionary.
    pub(crate) fn categorical(self) -> Result<Column> {
        let mut texts: Vec<(Box<str>, u32)> = self.index.into_iter().collect();
        texts.sort_unstable();
        let mut map = vec![0; texts.len()];
        texts.iter().enumerate().for_each(|(new, &(_, old))| map[old as usize] = new as u32);
        let new = |&code: &u32| map.get(code as usize).copied().unwrap_or(MISSING_CODE);
        let codes = self.storage.map(&self.codes.finish()?, new)?;
        Ok(Column::Categorical {
            codes,
            dictionary: texts.into_iter().map(|(text, _)| text.into()).collect(),
        })
    }

    /// Numbers if all are, booleans if all are, else categories.
    fn infer(self, name: &str) -> Result<Result<Column, Fault>> {
        let mut tally = Tally::default();
        let mut numbers = vec![f64::NAN; self.seen.len()];
        let mut booleans = vec![None; self.seen.len()];
        for (text, &code) in &self.index {
            let Seen { count, line, .. } = self.seen[code as usize];
            booleans[code as usize] = boolean(text);
            match look(text) {
                Look::Number(x) => {
                    tally.numbers += count;
                    numbers[code as usize] = x;
                }
                Look::Nan => {}
                Look::Infinite => tally.odd(text, line, true, count),
                Look::Other => tally.odd(text, line, false, count),
            }
        }
        if tally.odd == 0 {
            let value = |&c: &u32| numbers.get(c as usize).copied().unwrap_or(f64::NAN);
            return Ok(Ok(Column::F64(self.storage.map(&self.codes.finish()?, value)?)));
        }
        if booleans.iter().all(Option::is_some) {
            let value = |&c: &u32| Flags::code(booleans.get(c as usize).copied().flatten());
            let codes = self.storage.map(&self.codes.finish()?, value)?;
            return Ok(Ok(Column::Boolean(Flags::of_codes(codes))));
        }
        match tally.first.take() {
            Some(odd) if tally.share() >= NUMERIC_SHARE => Ok(Err(odd.fault(name, &tally))),
            _ => self.categorical().map(Ok),
        }
    }
}

/// What the cells of a column have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Given: numbers, any other cell is an error at once.
    Numeric,
    /// Given: booleans.
    Boolean,
    /// Given: categories.
    Categorical,
    /// Not given; the first cells look like numbers.
    PerhapsNumeric,
    /// Not given; some of the first cells are not numbers.
    PerhapsText,
}

impl Rule {
    /// The rule for a given kind.
    pub(crate) fn given(kind: &Kind) -> Self {
        match kind {
            Kind::Numeric => Self::Numeric,
            Kind::Boolean => Self::Boolean,
            Kind::Categorical { .. } => Self::Categorical,
        }
    }
}

/// Whether a cell speaks against a column of numbers.
pub(crate) fn speaks_for_text(cell: &str) -> bool {
    matches!(look(cell), Look::Other)
}

/// A column under construction.
pub(crate) enum Builder {
    Numbers(Numbers),
    /// As [`Flags::code`] writes them.
    Booleans(Growing<u8>),
    Text(Text),
}

impl Builder {
    pub(crate) fn new(rule: Rule, storage: &Storage, texts: &Texts) -> Self {
        match rule {
            Rule::Numeric | Rule::PerhapsNumeric => {
                Self::Numbers(Numbers { values: storage.grow(), tally: Tally::default(), over: (0, 0) })
            }
            Rule::Boolean => Self::Booleans(storage.grow()),
            Rule::Categorical | Rule::PerhapsText => Self::Text(Text::new(storage, texts)),
        }
    }

    /// Appends a cell. The inner error is about the cell, the outer one about what stores it.
    #[inline]
    pub(crate) fn push(
        &mut self,
        cell: &str,
        line: u64,
        rule: Rule,
        missing: &Missing,
    ) -> Result<Result<(), String>> {
        match self {
            Self::Numbers(column) => {
                let value = if missing.is(cell) {
                    f64::NAN
                } else {
                    match look(cell) {
                        Look::Number(x) => {
                            column.tally.numbers += 1;
                            x
                        }
                        Look::Nan => f64::NAN,
                        odd => {
                            let infinite = matches!(odd, Look::Infinite);
                            if rule == Rule::Numeric {
                                return Ok(Err(Odd { line, text: cell.to_owned(), infinite }.strict()));
                            }
                            column.tally.odd(cell, line, infinite, 1);
                            f64::NAN
                        }
                    }
                };
                column.values.push(value)?;
            }
            Self::Booleans(column) => column.push(Flags::code(if missing.is(cell) {
                None
            } else {
                match (boolean(cell), cell) {
                    (Some(b), _) => Some(b),
                    (_, "0") => Some(false),
                    (_, "1") => Some(true),
                    _ => return Ok(Err(format!("{} is not a boolean: true, false, 1 or 0", shown(cell)))),
                }
            }))?,
            Self::Text(column) => return column.push((!missing.is(cell)).then_some(cell), line),
        }
        Ok(Ok(()))
    }

    /// At the end of a file: what the column held in it.
    pub(crate) fn holds(&mut self) -> Holds {
        match self {
            Self::Numbers(column) => {
                let Tally { numbers, odd, infinite, .. } = column.tally;
                let (numbers, texts) = (numbers + infinite, odd - infinite);
                let before = std::mem::replace(&mut column.over, (numbers, texts));
                Holds::of(numbers > before.0, texts > before.1)
            }
            Self::Booleans(_) => Holds::Nothing,
            Self::Text(column) => {
                column.file += 1;
                Holds::of(std::mem::take(&mut column.numbers), std::mem::take(&mut column.others))
            }
        }
    }

    /// The column; `None` when it turned out to be no numbers and has to be read again as [`Rule::PerhapsText`].
    /// `fault` says where one is.
    pub(crate) fn finish(
        self,
        name: &str,
        rule: Rule,
        fault: &dyn Fn(Fault) -> Error,
    ) -> Result<Option<Column>> {
        match self {
            Self::Numbers(mut column) => match column.tally.first.take() {
                None => Ok(Some(Column::F64(column.values.finish()?))),
                Some(odd) if column.tally.share() >= NUMERIC_SHARE => {
                    Err(fault(odd.fault(name, &column.tally)))
                }
                Some(_) => Ok(None),
            },
            Self::Booleans(column) => Ok(Some(Column::Boolean(Flags::of_codes(column.finish()?)))),
            Self::Text(column) if rule == Rule::PerhapsText => column.infer(name)?.map(Some).map_err(fault),
            Self::Text(column) => column.categorical().map(Some),
        }
    }
}
