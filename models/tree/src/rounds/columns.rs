//! Ways of binning that are made in rounds over chunks of rows, and the tables of these: those of [`BinnedTable::new`], cut for cut.
//!
//! A chunk has rows that are nowhere else, in its memory or a worker's. The trainer asks for the number of rows and the kinds of
//! columns, for the scale of weights (where not all are 1), and then for columns, as many as fit [`ROOM`]: of numbers the
//! distinct values and the weight of each, in rows that the number of a row and the seed choose where more than 200,000 count; of
//! categories the weight of each. Lists are merged exactly, so cuts are those of all rows, whatever the chunks. What comes out,
//! [`BinnedColumns`], makes the bins of any rows.

mod raw;

pub use raw::RawChunk;

use crate::cuts::{self, Sample};
use crate::max_bins::{MOST_BINS, MaxBins};
use crate::table::{BinnedTable, Binning, Cells, Feature};
use crate::weights::{self, Weights};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::ops::Range;
use tilewise_base::{Error, ExactSum, Result, Rounds};
use tilewise_kernels::{parallel, same};

/// Values that the columns of one round may have together, from all chunks: 9 bytes each on their way.
const ROOM: usize = 8 << 20;

/// What chunks are asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BinningRequest(Ask);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Ask {
    /// Rows, kinds of columns, the largest weight.
    Rows,
    /// The sum of weights in parts of the largest.
    Ratio(f64),
    /// Rows that have a weight in units of 2^-this.
    Counted(i32),
    Columns(Columns),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Columns {
    columns: Range<usize>,
    /// Of these, where chunks have dictionaries of their own.
    dictionaries: Vec<Option<Vec<String>>>,
    /// Bins of numbers at most, and whether more values are refused.
    most: usize,
    exact: bool,
    sample: Option<Sample>,
    exponent: Option<i32>,
}

/// What a chunk answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BinningPartial(Answer);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Answer {
    Rows(Told),
    Ratio(Box<ExactSum>),
    Counted { rows: u64, total: u64 },
    Columns(Vec<Counts>),
    Failed(String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Told {
    rows: u64,
    kinds: Vec<Kind>,
    /// The first row whose weight is none.
    wrong: Option<(u64, f64)>,
    /// Whether not all weights are 1.
    weighed: bool,
    largest: f64,
    whole: i32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Numbers,
    Codes(usize),
    Texts(Vec<String>),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Counts {
    Numbers {
        /// Values of the sample and their weights, ascending.
        distinct: Vec<(f64, u64)>,
        /// All values of rows that count, where there is a sample and they are not too many.
        all: Option<Vec<f64>>,
        missing: bool,
    },
    Categories {
        counts: Vec<u64>,
        missing: bool,
    },
}

/// Two ascending lists as one; what is in both is merged.
fn union<T>(
    left: Vec<T>,
    right: Vec<T>,
    order: impl Fn(&T, &T) -> Ordering,
    both: impl Fn(T, T) -> T,
) -> Vec<T> {
    let mut out = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        match order(a, b) {
            Ordering::Less => out.extend(left.next()),
            Ordering::Greater => out.extend(right.next()),
            Ordering::Equal => out.extend(left.next().zip(right.next()).map(|(a, b)| both(a, b))),
        }
    }
    out.extend(left);
    out.extend(right);
    out
}

impl Told {
    fn merge(mut self, other: Self) -> std::result::Result<Self, String> {
        if self.kinds.len() != other.kinds.len() {
            return Err(format!(
                "some rows have {} columns and others {}",
                self.kinds.len(),
                other.kinds.len()
            ));
        }
        for (column, (ours, theirs)) in self.kinds.iter_mut().zip(other.kinds).enumerate() {
            match (ours, theirs) {
                (Kind::Numbers, Kind::Numbers) => {}
                (Kind::Codes(a), Kind::Codes(b)) => *a = b.max(*a),
                (Kind::Texts(a), Kind::Texts(b)) => *a = union(std::mem::take(a), b, String::cmp, |a, _| a),
                _ => {
                    return Err(format!("column {column} has numbers in some rows and categories in others"));
                }
            }
        }
        let first = |a: (u64, f64), b: (u64, f64)| if b.0 < a.0 { b } else { a };
        self.wrong = self.wrong.into_iter().chain(other.wrong).reduce(first);
        self.rows = self.rows.saturating_add(other.rows);
        self.weighed |= other.weighed;
        self.largest = self.largest.max(other.largest);
        self.whole = self.whole.max(other.whole);
        Ok(self)
    }
}

impl Counts {
    fn merge(self, other: Self, most: usize) -> Option<Self> {
        Some(match (self, other) {
            (Self::Numbers { distinct, all, missing }, Self::Numbers { distinct: d, all: a, missing: m }) => {
                let order = |a: &(f64, u64), b: &(f64, u64)| a.0.total_cmp(&b.0);
                let distinct = union(distinct, d, order, |a, b| (a.0, a.1.saturating_add(b.1)));
                let all = all.zip(a).map(|(a, b)| union(a, b, f64::total_cmp, |a, _| a));
                let all = all.filter(|all| all.len() <= most);
                Self::Numbers { distinct, all, missing: missing | m }
            }
            (Self::Categories { mut counts, missing }, Self::Categories { counts: c, missing: m }) => {
                counts.resize(counts.len().max(c.len()), 0);
                counts.iter_mut().zip(c).for_each(|(a, b)| *a = a.saturating_add(b));
                Self::Categories { counts, missing: missing | m }
            }
            _ => return None,
        })
    }
}

/// How the columns of all chunks are binned, and their weights counted: what makes tables of rows of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BinnedColumns {
    binnings: Vec<Binning>,
    missing: Vec<bool>,
    dictionaries: Vec<Option<Vec<String>>>,
    /// Of the unit of weights; `None` where all are 1.
    exponent: Option<i32>,
    rows: u64,
    total: u64,
}

impl BinnedColumns {
    /// The bins of a chunk's rows.
    ///
    /// # Errors
    /// When it has other columns.
    pub fn table(&self, chunk: &RawChunk<'_>) -> Result<BinnedTable> {
        let coded =
            chunk.columns.iter().zip(&self.dictionaries).map(|(column, dictionary)| match &column.cells {
                Cells::Codes { codes, .. } => {
                    chunk.codes_in(codes, column.dictionary, dictionary.as_deref()).map(Some)
                }
                Cells::Numbers(_) => Ok(None),
            });
        let coded = coded.collect::<Result<Vec<_>>>()?;
        same("columns", self.binnings.len(), coded.len())?;
        let mut columns = Vec::with_capacity(coded.len());
        for ((column, codes), binning) in chunk.columns.iter().zip(&coded).zip(&self.binnings) {
            columns.push(match (&column.cells, codes, binning) {
                (Cells::Numbers(numbers), _, Binning::Numeric { .. }) => {
                    Cells::Numbers(Box::new(numbers.as_ref()))
                }
                (Cells::Codes { .. }, Some(codes), Binning::Categorical { bin_of }) => {
                    Cells::Codes { codes, levels: bin_of.len() }
                }
                _ => return Err(Error::Fit("a chunk has numbers where others have categories".into())),
            });
        }
        BinnedTable::of_binnings(
            chunk.rows,
            &columns,
            chunk.weights(self.exponent),
            &self.binnings,
            &self.missing,
        )
    }

    /// A table of no rows with these columns: what trainers see of it.
    ///
    /// # Errors
    /// Never for what [`BinningTrainer`] made; where numbers came from elsewhere and fit nothing.
    pub fn outline(&self) -> Result<BinnedTable> {
        let empty = |binning: &Binning| match binning {
            Binning::Numeric { .. } => Cells::from(Feature::Numeric(&[])),
            Binning::Categorical { bin_of } => Cells::Codes { codes: &[], levels: bin_of.len() },
        };
        let columns: Vec<Cells<'_>> = self.binnings.iter().map(empty).collect();
        let unit = self.exponent.map_or(1.0, |exponent| weights::scale(1.0, -exponent));
        let values = self.exponent.map(|_| Vec::new());
        let weights = Weights { values, unit, total: self.total };
        BinnedTable::of_binnings(0, &columns, weights, &self.binnings, &self.missing)
    }

    /// Rows of all chunks.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What the codes of a column of categories stand for, where chunks had dictionaries.
    pub fn dictionary(&self, column: usize) -> Option<&[String]> {
        self.dictionaries.get(column)?.as_deref()
    }
}

/// Makes [`BinnedColumns`] by rounds.
///
/// ```
/// use tilewise_base::{Context, rounds};
/// use tilewise_tree::rounds::{BinningTrainer, RawChunk};
/// use tilewise_tree::{Feature, MaxBins};
/// let (a, b) = ([1.0, 3.0, 1.0], [2.0]);
/// let chunk = |x, first| RawChunk::new(&[Feature::Numeric(x)], None, first);
/// let chunks = [chunk(&a, 0)?, chunk(&b, 3)?];
/// let mut trainer = BinningTrainer::new(MaxBins::default(), 0)?;
/// rounds::run_through_bytes(&mut trainer, &chunks, &Context::default())?;
/// let columns = trainer.finish()?;
/// assert_eq!((columns.rows(), columns.table(&chunks[0])?.rows()), (4, 3));
/// # Ok::<(), tilewise_base::Error>(())
/// ```
pub struct BinningTrainer {
    bins: MaxBins,
    seed: u64,
    ask: Option<Ask>,
    told: Option<Told>,
    exponent: Option<i32>,
    total: u64,
    sample: Option<Sample>,
    binnings: Vec<Binning>,
    missing: Vec<bool>,
}

impl BinningTrainer {
    /// One that knows nothing yet; `bins` and `seed` are as for [`BinnedTable::new`].
    ///
    /// # Errors
    /// When the number of bins is out of range.
    pub fn new(bins: impl Into<MaxBins>, seed: u64) -> Result<Self> {
        let bins = bins.into();
        bins.check()?;
        let (binnings, missing) = (Vec::new(), Vec::new());
        let (ask, told, exponent, total, sample) = (Some(Ask::Rows), None, None, 0, None);
        Ok(Self { bins, seed, ask, told, exponent, total, sample, binnings, missing })
    }

    /// What was made.
    ///
    /// # Errors
    /// When rounds were stopped before the last.
    pub fn finish(self) -> Result<BinnedColumns> {
        let (Some(told), None) = (self.told, self.ask) else { return Err(Error::Cancelled) };
        let dictionary = |kind: Kind| if let Kind::Texts(all) = kind { Some(all) } else { None };
        Ok(BinnedColumns {
            binnings: self.binnings,
            missing: self.missing,
            dictionaries: told.kinds.into_iter().map(dictionary).collect(),
            exponent: self.exponent,
            rows: told.rows,
            total: self.total,
        })
    }

    fn take_rows(&mut self, told: Told) -> Result<()> {
        if let Some((row, weight)) = told.wrong {
            return Err(Error::cell(
                row as usize,
                "weight",
                format!("{weight} is not a finite number of 0 or more"),
            ));
        }
        let features = told.kinds.len();
        if features == 0 {
            return Err(Error::Fit("there are no columns to learn from".into()));
        }
        if features >= crate::arena::CATEGORY as usize {
            return Err(Error::Fit(format!("{features} columns are too many: a tree takes fewer than 2^30")));
        }
        if told.rows >= 1 << 31 {
            return Err(Error::Fit(format!("{} rows are too many: a tree takes up to 2^31 - 1", told.rows)));
        }
        let (rows, largest) = (told.rows, told.largest);
        let weighed = told.weighed;
        self.told = Some(told);
        if weighed && largest > 0.0 {
            self.ask = Some(Ask::Ratio(largest));
            return Ok(());
        }
        self.take_counted(if weighed { 0 } else { rows }, rows)
    }

    fn take_counted(&mut self, counted: u64, total: u64) -> Result<()> {
        if counted == 0 {
            return Err(Error::Fit("there are no rows with a weight to learn from".into()));
        }
        self.total = total;
        self.sample = match self.bins {
            MaxBins::Exact => None,
            MaxBins::AtMost(_) => Sample::new(counted as usize, self.seed),
        };
        self.ask_columns();
        Ok(())
    }

    /// Asks for the next columns, if there are any.
    fn ask_columns(&mut self) {
        let Some(told) = &self.told else { return };
        let (first, all) = (self.binnings.len(), told.kinds.len());
        let values = (told.rows as usize).clamp(1, cuts::SAMPLE);
        let columns = first..all.min(first + (ROOM / values).max(1));
        let dictionary = |kind: &Kind| if let Kind::Texts(all) = kind { Some(all.clone()) } else { None };
        let dictionaries = told.kinds[columns.clone()].iter().map(dictionary).collect();
        let (most, exact) = (self.bins.of_numbers(), self.bins == MaxBins::Exact);
        let (sample, exponent) = (self.sample, self.exponent);
        let more = !columns.is_empty();
        self.ask =
            more.then_some(Ask::Columns(Columns { columns, dictionaries, most, exact, sample, exponent }));
    }

    fn take_column(&mut self, counts: Counts) -> Result<()> {
        let column = self.binnings.len();
        let refused = |what: &str, most: usize| {
            let what = format!("has more than {most} {what}; with max_bins exact up to {most} are accepted");
            Error::column(column.to_string(), what)
        };
        let (binning, missing) = match counts {
            Counts::Numbers { distinct, all, missing } => {
                let most = self.bins.of_numbers();
                let cuts = match all.filter(|_| distinct.len() <= most) {
                    Some(all) => cuts::between_all(&all),
                    None if self.bins == MaxBins::Exact && distinct.len() > most => {
                        return Err(refused("different values", MOST_BINS));
                    }
                    None => cuts::of_distinct(&distinct, most),
                };
                (Binning::Numeric { cuts }, missing)
            }
            Counts::Categories { counts, missing } => {
                let most = self.bins.of_categories();
                if self.bins == MaxBins::Exact && counts.iter().filter(|count| **count > 0).count() > most {
                    return Err(refused("categories", most));
                }
                (Binning::Categorical { bin_of: cuts::categories(&counts, most).0 }, missing)
            }
        };
        self.binnings.push(binning);
        self.missing.push(missing);
        Ok(())
    }
}

impl Rounds for BinningTrainer {
    type Chunk<'c> = RawChunk<'c>;
    type Request = BinningRequest;
    type Partial = BinningPartial;

    fn request(&self) -> Option<BinningRequest> {
        self.ask.clone().map(BinningRequest)
    }

    fn partial(request: &BinningRequest, chunk: &RawChunk<'_>) -> Result<BinningPartial> {
        Ok(BinningPartial(match &request.0 {
            Ask::Rows => Answer::Rows(chunk.told()),
            Ask::Ratio(largest) => {
                let ones = vec![1.0; if chunk.weights.is_none() { chunk.rows } else { 0 }];
                Answer::Ratio(Box::new(weights::ratio(chunk.weights.unwrap_or(&ones), *largest)))
            }
            Ask::Counted(exponent) => {
                let weights = chunk.weights(Some(*exponent));
                let rows = weights.values.iter().flatten().filter(|weight| **weight > 0).count() as u64;
                Answer::Counted { rows, total: weights.total }
            }
            Ask::Columns(asked)
                if asked.columns.start > asked.columns.end || asked.columns.end > chunk.columns.len() =>
            {
                Answer::Failed(format!(
                    "a chunk of {} columns was asked for {:?}",
                    chunk.columns.len(),
                    asked.columns
                ))
            }
            Ask::Columns(asked) => {
                let weights = chunk.weights(asked.exponent);
                let counted = weights.counted(chunk.rows);
                let of = |i: usize| chunk.column(asked.columns.start + i, asked, &weights, &counted);
                Answer::Columns(parallel::map(asked.columns.len(), of).into_iter().collect::<Result<_>>()?)
            }
        }))
    }

    fn merge(left: BinningPartial, right: BinningPartial) -> BinningPartial {
        BinningPartial(match (left.0, right.0) {
            (Answer::Failed(e), _) | (_, Answer::Failed(e)) => Answer::Failed(e),
            (Answer::Rows(a), Answer::Rows(b)) => a.merge(b).map_or_else(Answer::Failed, Answer::Rows),
            (Answer::Ratio(a), Answer::Ratio(b)) => Answer::Ratio(Box::new(a.merge(*b))),
            (Answer::Counted { rows, total }, Answer::Counted { rows: r, total: t }) => {
                Answer::Counted { rows: rows.saturating_add(r), total: total.saturating_add(t) }
            }
            (Answer::Columns(a), Answer::Columns(b)) if a.len() == b.len() => {
                let merged = a.into_iter().zip(b).map(|(a, b)| a.merge(b, MOST_BINS)).collect::<Option<_>>();
                merged.map_or_else(|| Answer::Failed(MIXED.into()), Answer::Columns)
            }
            _ => Answer::Failed(MIXED.into()),
        })
    }

    fn advance(&mut self, partial: BinningPartial) -> Result<()> {
        match (partial.0, self.ask.take()) {
            (Answer::Failed(e), _) => Err(Error::Fit(e)),
            (Answer::Rows(told), Some(Ask::Rows)) => self.take_rows(told),
            (Answer::Ratio(ratio), Some(Ask::Ratio(largest))) => {
                let ratio = ratio.value();
                if !(ratio * largest).is_finite() {
                    return Err(Error::Fit(
                        "the sum of the weights is not finite: they must be smaller".into(),
                    ));
                }
                let (rows, whole) =
                    self.told.as_ref().map_or((0, 0), |told| (told.rows as usize, told.whole));
                let exponent = weights::exponent(rows, largest, ratio, whole);
                self.exponent = Some(exponent);
                self.ask = Some(Ask::Counted(exponent));
                Ok(())
            }
            (Answer::Counted { rows, total }, Some(Ask::Counted(_))) => self.take_counted(rows, total),
            (Answer::Columns(counts), Some(Ask::Columns(asked))) if counts.len() == asked.columns.len() => {
                let most = self.bins.of_numbers();
                for mut counts in counts {
                    // What all chunks have together may be more than each has.
                    if let Counts::Numbers { all, .. } = &mut counts {
                        *all = all.take().filter(|all| all.len() <= most);
                    }
                    self.take_column(counts)?;
                }
                self.ask_columns();
                Ok(())
            }
            _ => Err(Error::Fit("an answer came that was not asked for".into())),
        }
    }

    fn note(&self) -> String {
        format!("{} columns", self.binnings.len())
    }

    fn at_most(&self) -> u64 {
        0
    }
}

const MIXED: &str = "chunks answered different requests";

#[cfg(test)]
mod tests;
