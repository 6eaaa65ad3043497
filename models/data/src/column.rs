//! Columns under construction: cells of text become numbers, booleans or categories.
//!
//! A column whose kind is not given starts as numbers or as text, whatever its first cells suggest. Text keeps every
//! distinct value with its count and the line where it was first seen, so the kind is decided at the end, exactly,
//! over the whole file, and no cell is read twice for it.

use crate::csv::at;
use crate::options::Missing;
use std::collections::HashMap;
use tilewise_base::{Column, Growing, Kind, MISSING_CODE, Result, Storage};

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

/// Numbers so far.
pub(crate) struct Numbers {
    values: Growing<f64>,
    tally: Tally,
}

/// Distinct texts so far.
pub(crate) struct Text {
    codes: Growing<u32>,
    storage: Storage,
    index: HashMap<Box<str>, u32>,
    /// By code: how often, and on which line first.
    seen: Vec<(u64, u64)>,
}

impl Text {
    pub(crate) fn new(storage: &Storage) -> Self {
        let (index, seen) = (HashMap::new(), Vec::new());
        Self { codes: storage.grow(), storage: storage.clone(), index, seen }
    }

    /// Appends a cell; `None` is missing.
    pub(crate) fn push(&mut self, cell: Option<&str>, line: u64) -> Result<()> {
        let code = cell.map_or(MISSING_CODE, |cell| self.code(cell, line));
        self.codes.push(code)
    }

    fn code(&mut self, cell: &str, line: u64) -> u32 {
        if let Some(&code) = self.index.get(cell) {
            self.seen[code as usize].0 += 1;
            return code;
        }
        // There are fewer than 2^32 - 1 distinct texts: they would not fit memory.
        let code = self.seen.len() as u32;
        self.index.insert(cell.into(), code);
        self.seen.push((1, line));
        code
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
            let (count, line) = self.seen[code as usize];
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
            let value = |&c: &u32| booleans.get(c as usize).copied().flatten();
            return Ok(Ok(Column::Boolean(self.codes.finish()?.iter().map(value).collect())));
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
    Booleans(Vec<Option<bool>>),
    Text(Text),
}

impl Builder {
    pub(crate) fn new(rule: Rule, storage: &Storage) -> Self {
        match rule {
            Rule::Numeric | Rule::PerhapsNumeric => {
                Self::Numbers(Numbers { values: storage.grow(), tally: Tally::default() })
            }
            Rule::Boolean => Self::Booleans(Vec::new()),
            Rule::Categorical | Rule::PerhapsText => Self::Text(Text::new(storage)),
        }
    }

    /// Appends a cell.
    #[inline]
    pub(crate) fn push(
        &mut self,
        cell: &str,
        line: u64,
        rule: Rule,
        missing: &Missing,
    ) -> Result<(), String> {
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
                                return Err(Odd { line, text: cell.to_owned(), infinite }.strict());
                            }
                            column.tally.odd(cell, line, infinite, 1);
                            f64::NAN
                        }
                    }
                };
                column.values.push(value).map_err(|e| e.to_string())?;
            }
            Self::Booleans(column) => column.push(if missing.is(cell) {
                None
            } else {
                match (boolean(cell), cell) {
                    (Some(b), _) => Some(b),
                    (_, "0") => Some(false),
                    (_, "1") => Some(true),
                    _ => return Err(format!("{} is not a boolean: true, false, 1 or 0", shown(cell))),
                }
            }),
            Self::Text(column) => {
                column.push((!missing.is(cell)).then_some(cell), line).map_err(|e| e.to_string())?;
            }
        }
        Ok(())
    }

    /// The column; `None` when it turned out to be no numbers and has to be read again as [`Rule::PerhapsText`].
    pub(crate) fn finish(self, name: &str, rule: Rule, file: &str) -> Result<Option<Column>> {
        let fault = |fault: Fault| at(file, fault);
        match self {
            Self::Numbers(mut column) => match column.tally.first.take() {
                None => Ok(Some(Column::F64(column.values.finish()?))),
                Some(odd) if column.tally.share() >= NUMERIC_SHARE => {
                    Err(fault(odd.fault(name, &column.tally)))
                }
                Some(_) => Ok(None),
            },
            Self::Booleans(column) => Ok(Some(Column::Boolean(column))),
            Self::Text(column) if rule == Rule::PerhapsText => column.infer(name)?.map(Some).map_err(fault),
            Self::Text(column) => column.categorical().map(Some),
        }
    }
}
