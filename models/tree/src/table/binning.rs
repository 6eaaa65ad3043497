//! From cells to bins: cuts column by column, then all columns of a block of rows at a time.
//!
//! So a matrix is read about once, whichever way it lies, and nothing is written but the bins: 500,000 x 28 f32, rows side by side,
//! 255 bins, took 0.157 s on one thread and 0.094 s on two, where a copy of each column, which was binned and then copied twice, had
//! taken 0.206 and 0.118 s (Zen 5).
//!
//! Numbers of f32 are read, put in order and binned as f32. With that, columns of few values that are not put in order, and the kernel of
//! gains of classes, one tree of depth 12 on two threads, binning included, took 29 ms instead of 59 on 100,000 x 54 (`cover_like`, 7
//! classes) and 24 instead of 29 on 100,000 x 28 (2 classes). That is 26 times the speed of scikit-learn on the former, where most columns
//! are zeros and ones, which it is fast at; 40 were wanted.

use super::{Binning, Cells};
use crate::codes::{Code, Codes, Stored};
use crate::cuts::{self, Ordered, UNKNOWN, Values};
use crate::max_bins::{MOST_BINS, MaxBins};
use crate::table::cells::Numbers;
use crate::weights::Weights;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use tilewise_base::{Array, Error, Result, Storage};
use tilewise_kernels::tree::{Binner, OwnedBins, Shared};
use tilewise_kernels::{Float, f32_up_to, parallel};

/// Columns that are to be binned.
pub(super) struct Source<'a> {
    pub(super) columns: &'a [Cells<'a>],
    pub(super) rows: usize,
    /// The rows that have a weight.
    pub(super) counted: &'a [u32],
    pub(super) weights: &'a Weights,
    pub(super) seed: u64,
    /// Where bins are put.
    pub(super) storage: &'a Storage,
}

/// How a column is binned.
struct Plan {
    binning: Binning,
    /// How many bins there are, without that of missing values.
    count: usize,
    /// Whether a row that counts lacks a value: of numbers this is seen when they are binned.
    missing: Option<bool>,
}

/// Numbers whose cuts are made at a time: 32 MiB of f32, and one column for each thread at least. All columns of few rows are then read once,
/// in the order in which they lie; six at a time, of 54 side by side, took three times as long.
const AT_A_TIME: usize = 8 << 20;
/// Rows whose lines of memory stay in the first cache while it goes from column to column: 14 KiB of 54 columns of f32.
const SHARED: usize = 64;
/// Cells of a block: of f32 they fit half of the second cache.
const CELLS: usize = 64 << 10;
/// Cells, and rows at least, that are binned before the next ones are: 24 KiB of f32.
const NEAR: usize = 6 << 10;
const NEAR_ROWS: usize = 128;
/// Rows of a block at least, or else what a call costs would be seen.
const ROWS: usize = 512;

impl Source<'_> {
    /// How each column was binned, whether it has a bin of missing values, and all bins; `name` is what an error calls a column.
    pub(super) fn bins(
        &self,
        max_bins: MaxBins,
        name: &(dyn Fn(usize) -> String + Sync),
    ) -> Result<(Vec<Binning>, Vec<bool>, Stored)> {
        let sample = match max_bins {
            MaxBins::Exact => None,
            MaxBins::AtMost(_) => cuts::sample(self.counted, self.seed),
        };
        let columns = self.columns.len();
        let rows = sample.as_deref().unwrap_or(self.counted).len();
        let together = (AT_A_TIME / rows.max(1)).max(parallel::threads());
        let groups = (0..columns).step_by(together).map(|first| first..columns.min(first + together));
        let plans = groups.map(|group| self.plans(group, sample.as_deref(), max_bins, name));
        let plans = plans.collect::<Result<Vec<_>>>()?;
        let mut plans: Vec<Plan> = plans.into_iter().flatten().collect();
        let stored = if plans.iter().all(|plan| plan.count <= usize::from(u8::MAX)) {
            Stored::Bytes(self.codes(&mut plans)?)
        } else {
            Stored::TwoBytes(self.codes(&mut plans)?)
        };
        let missing = plans.iter().map(|plan| plan.missing == Some(true)).collect();
        Ok((plans.into_iter().map(|plan| plan.binning).collect(), missing, stored))
    }

    /// The bins of columns whose cuts were made elsewhere; `missing` says which columns have a bin of missing values.
    pub(super) fn bins_by(&self, binnings: &[Binning], missing: &[bool]) -> Result<Stored> {
        let plan = |(binning, &missing): (&Binning, &bool)| Plan {
            count: binning.count(),
            binning: binning.clone(),
            missing: Some(missing),
        };
        let mut plans: Vec<Plan> = binnings.iter().zip(missing).map(plan).collect();
        Ok(if plans.iter().all(|plan| plan.count <= usize::from(u8::MAX)) {
            Stored::Bytes(self.codes(&mut plans)?)
        } else {
            Stored::TwoBytes(self.codes(&mut plans)?)
        })
    }

    /// Plans of some columns.
    fn plans(
        &self,
        group: Range<usize>,
        sample: Option<&[u32]>,
        max_bins: MaxBins,
        name: &(dyn Fn(usize) -> String + Sync),
    ) -> Result<Vec<Plan>> {
        let values = self.values(group.clone(), sample.unwrap_or(self.counted));
        let values: Vec<_> = values.into_iter().map(|values| Mutex::new(Some(values))).collect();
        let plans = parallel::map(group.len(), |place| {
            let j = group.start + place;
            let values = values[place].lock().unwrap_or_else(PoisonError::into_inner).take();
            let plan = match (&self.columns[j], values) {
                (Cells::Numbers(numbers), Some(values)) => {
                    self.of_numbers(numbers.as_ref(), values, sample, max_bins)
                }
                (&Cells::Codes { codes, levels }, _) => self.of_codes(codes, levels, max_bins),
                (Cells::Numbers(_), None) => Err(("values", 0)),
            };
            plan.map_err(|(what, most)| {
                let what =
                    format!("has more than {most} {what}; with max_bins exact up to {most} are accepted");
                Error::column(name(j), what)
            })
        });
        plans.into_iter().collect()
    }

    /// The numbers of some columns in these rows.
    fn values(&self, group: Range<usize>, rows: &[u32]) -> Vec<Values> {
        let columns = &self.columns[group];
        let of_column = |column: &Cells<'_>| match column {
            Cells::Numbers(numbers) if numbers.is_single() && self.weights.values.is_none() => {
                Values::Single(vec![0.0; rows.len()])
            }
            Cells::Numbers(_) => Values::Double(vec![0.0; rows.len()]),
            Cells::Codes { .. } => Values::Double(Vec::new()),
        };
        let mut values: Vec<Values> = columns.iter().map(of_column).collect();
        let block = (CELLS / columns.len().max(1)).max(ROWS);
        let mut blocks: Vec<Vec<Part<'_>>> = rows.chunks(block).map(|_| Vec::new()).collect();
        for ((values, column), place) in values.iter_mut().zip(columns).zip(0..) {
            match (values, column) {
                (Values::Single(values), Cells::Numbers(_)) => blocks
                    .iter_mut()
                    .zip(values.chunks_mut(block))
                    .for_each(|(block, part)| block.push(Part::Single(place, part))),
                (Values::Double(values), Cells::Numbers(_)) => blocks
                    .iter_mut()
                    .zip(values.chunks_mut(block))
                    .for_each(|(block, part)| block.push(Part::Double(place, part))),
                (_, Cells::Codes { .. }) => {}
            }
        }
        let blocks: Vec<_> = blocks.into_iter().map(Mutex::new).collect();
        parallel::for_each(blocks.len(), |i| {
            let mut parts = blocks[i].lock().unwrap_or_else(PoisonError::into_inner);
            let rows = &rows[i * block..rows.len().min((i + 1) * block)];
            for (chunk, rows) in rows.chunks(SHARED).enumerate() {
                let here = chunk * SHARED..chunk * SHARED + rows.len();
                for part in &mut *parts {
                    match part {
                        Part::Single(place, part) => {
                            if let Cells::Numbers(numbers) = &columns[*place] {
                                numbers.take_single(rows, &mut part[here.clone()]);
                            }
                        }
                        Part::Double(place, part) => {
                            if let Cells::Numbers(numbers) = &columns[*place] {
                                numbers.take(rows, &mut part[here.clone()]);
                            }
                        }
                    }
                }
            }
        });
        drop(blocks);
        values
    }

    /// Cuts of numbers, of which `values` are those of `sample` if there is one; or what there is too much of, and how much may be.
    fn of_numbers(
        &self,
        numbers: &dyn Numbers,
        values: Values,
        sample: Option<&[u32]>,
        max_bins: MaxBins,
    ) -> std::result::Result<Plan, (&'static str, usize)> {
        let most = max_bins.of_numbers();
        let rows = sample.unwrap_or(self.counted);
        let ordered = match (values, &self.weights.values) {
            (Values::Double(values), Some(weights)) => {
                Ordered::weighted(values.into_iter().zip(rows.iter().map(|&row| weights[row as usize])))
            }
            (values, _) => Ordered::new(values, most),
        };
        let cuts = match ordered.distinct(most) {
            None if max_bins == MaxBins::Exact => return Err(("different values", MOST_BINS)),
            None => ordered.cuts(most),
            // A sample may lack rare values; where there are few, all are taken.
            Some(known) if sample.is_some() => {
                let all = cuts::completed(known, most, &mut |see| numbers.each(self.counted, see));
                all.map_or_else(|| ordered.cuts(most), |all| cuts::between_all(&all))
            }
            Some(known) => cuts::between_all(&known),
        };
        Ok(Plan { count: cuts.len() + 1, binning: Binning::Numeric { cuts }, missing: None })
    }

    fn of_codes(
        &self,
        codes: &[u32],
        levels: usize,
        max_bins: MaxBins,
    ) -> std::result::Result<Plan, (&'static str, usize)> {
        let mut counts = vec![0; levels];
        let mut missing = false;
        for &row in self.counted {
            match counts.get_mut(codes[row as usize] as usize) {
                Some(count) => *count += u64::from(self.weights.get(row as usize)),
                None => missing = true,
            }
        }
        let most = max_bins.of_categories();
        if max_bins == MaxBins::Exact && counts.iter().filter(|count| **count > 0).count() > most {
            return Err(("categories", most));
        }
        let (bin_of, count) = cuts::categories(&counts, most);
        // At least one bin, which is then empty.
        let count = count.max(1);
        Ok(Plan { binning: Binning::Categorical { bin_of }, count, missing: Some(missing) })
    }

    /// All bins, by rows and by columns; notes which columns have missing values.
    fn codes<B: Code>(&self, plans: &mut [Plan]) -> Result<Codes<B>> {
        let (rows, features) = (self.rows, plans.len());
        let rules = plans.iter().zip(self.columns).map(|(plan, column)| Rule::<B>::new(plan, column));
        let rules = rules.collect::<Result<Vec<_>>>()?;
        if rows == 0 {
            let tile = |plans: &[Plan]| Ok(OwnedBins::row_major(Vec::new(), 0, offsets(plans))?);
            let tiles = plans.chunks(B::TILE).map(tile).collect::<Result<_>>()?;
            let columns = OwnedBins::column_major(Vec::new(), 0, offsets(plans))?;
            return Ok(Codes::new(tiles, columns, self.storage));
        }
        let mut columns = self.storage.zeros::<B>(rows * features)?;
        let widths: Vec<usize> = plans.chunks(B::TILE).map(<[Plan]>::len).collect();
        let tiles = widths.iter().map(|width| self.storage.zeros::<B>(rows * width));
        let mut tiles = tiles.collect::<Result<Vec<_>>>()?;
        let block = (CELLS / features).max(ROWS);
        let mut blocks: Vec<Block<'_, B>> = (0..rows).step_by(block).map(Block::at).collect();
        for column in columns.chunks_exact_mut(rows) {
            blocks.iter_mut().zip(column.chunks_mut(block)).for_each(|(to, part)| to.columns.push(part));
        }
        for (tile, width) in tiles.iter_mut().zip(&widths) {
            blocks.iter_mut().zip(tile.chunks_mut(block * width)).for_each(|(to, part)| to.tiles.push(part));
        }
        let blocks: Vec<_> = blocks.into_iter().map(Mutex::new).collect();
        let seen = parallel::map(blocks.len(), |i| {
            let mut block = blocks[i].lock().unwrap_or_else(PoisonError::into_inner);
            self.fill(&rules, &mut block)
        });
        drop(blocks);
        let mut others = vec![false; features];
        for seen in seen {
            for ((plan, other), seen) in plans.iter_mut().zip(&mut others).zip(seen?) {
                plan.missing = Some(plan.missing == Some(true) || seen.counted);
                *other |= seen.other;
            }
        }
        // Rows without a weight must not bring a bin: what is missing in these alone goes to the last there is.
        for (j, plan) in plans.iter().enumerate() {
            if plan.missing == Some(false) && others[j] {
                let last = B::from_low_bits(plan.count - 1);
                columns[j * rows..][..rows].iter_mut().for_each(|bin| *bin = last.min(*bin));
                let (tile, place) = (j / B::TILE, j % B::TILE);
                for row in tiles[tile].chunks_exact_mut(widths[tile]) {
                    row[place] = last.min(row[place]);
                }
            }
        }
        let tiles = tiles
            .into_iter()
            .zip(plans.chunks(B::TILE))
            .map(|(data, plans)| bins(data.finish()?, rows, plans, true))
            .collect::<Result<_>>()?;
        Ok(Codes::new(tiles, bins(columns.finish()?, rows, plans, false)?, self.storage))
    }

    /// Bins a block of rows.
    fn fill<B: Code>(&self, rules: &[Rule<'_, B>], block: &mut Block<'_, B>) -> Result<Vec<Missing>> {
        let Block { first, columns, tiles } = block;
        let mut seen = vec![Missing::default(); rules.len()];
        let all = columns.first().map_or(0, |part| part.len());
        // Their cells and bins stay in the first cache while it goes from column to column.
        let near = (NEAR / rules.len().max(1)).next_multiple_of(64).max(NEAR_ROWS);
        let (mut numbers, mut singles) = (vec![0.0; near.min(all)], vec![0.0; near.min(all)]);
        let parts = (0..all).step_by(near).map(|start| start..all.min(start + near));
        for (part, (j, rule)) in
            parts.flat_map(|part| rules.iter().enumerate().map(move |rule| (part.clone(), rule)))
        {
            let bins = &mut columns[j][part.clone()];
            let first = *first + part.start;
            let (numbers, singles) = (&mut numbers[..part.len()], &mut singles[..part.len()]);
            match (rule, &self.columns[j]) {
                (Rule::Cuts(binner), Cells::Numbers(cells)) => {
                    cells.read(first, numbers);
                    binner.bin(numbers, bins)?;
                    self.notice(first, numbers, &mut seen[j]);
                }
                (Rule::SingleCuts(binner), Cells::Numbers(cells)) => {
                    cells.read_single(first, singles);
                    binner.bin(singles, bins)?;
                    self.notice(first, singles, &mut seen[j]);
                }
                (Rule::Levels { bin_of, none }, Cells::Codes { codes, .. }) => {
                    for (bin, &code) in bins.iter_mut().zip(&codes[first..]) {
                        *bin = match bin_of.get(code as usize) {
                            Some(&known) if known != UNKNOWN => B::from_low_bits(known.into()),
                            _ => *none,
                        };
                    }
                }
                _ => {}
            }
            let (tile, place) = (j / B::TILE, j % B::TILE);
            let width = (rules.len() - tile * B::TILE).min(B::TILE);
            let tile = &mut tiles[tile][part.start * width..part.end * width];
            for (row, &bin) in tile.chunks_exact_mut(width).zip(&*bins) {
                row[place] = bin;
            }
        }
        Ok(seen)
    }

    /// Notes what is missing among the numbers of the rows from `first` on.
    fn notice<T: Float>(&self, first: usize, numbers: &[T], seen: &mut Missing) {
        // Mostly nothing, which a vector at a time tells.
        if numbers.iter().fold(false, |any, x| any | x.is_nan()) {
            for (row, _) in numbers.iter().enumerate().filter(|(_, x)| x.is_nan()) {
                let counts = self.weights.get(first + row) > 0;
                seen.counted |= counts;
                seen.other |= !counts;
            }
        }
    }
}

/// What of a column is missing.
#[derive(Clone, Copy, Default)]
struct Missing {
    /// In rows that count.
    counted: bool,
    /// In others.
    other: bool,
}

/// How cells of a column become bins.
enum Rule<'a, B> {
    Cuts(Binner<f64, B>),
    /// Numbers of f32 are above a cut where they are above the largest f32 up to it. Twice as many are searched for at once.
    SingleCuts(Binner<f32, B>),
    Levels {
        bin_of: &'a [u8],
        none: B,
    },
}

impl<'a, B: Code> Rule<'a, B> {
    fn new(plan: &'a Plan, column: &Cells<'_>) -> Result<Self> {
        Ok(match (&plan.binning, column) {
            (Binning::Numeric { cuts }, Cells::Numbers(numbers)) if numbers.is_single() => {
                let cuts: Vec<f32> = cuts.iter().map(|&cut| f32_up_to(cut)).collect();
                Self::SingleCuts(Binner::new(&cuts, plan.count)?)
            }
            (Binning::Numeric { cuts }, _) => Self::Cuts(Binner::new(cuts, plan.count)?),
            (Binning::Categorical { bin_of }, _) => {
                let none = if plan.missing == Some(true) { plan.count } else { 0 };
                Self::Levels { bin_of, none: B::from_low_bits(none) }
            }
        })
    }
}

/// Numbers of a block of rows and the place of their column in a group.
enum Part<'a> {
    Single(usize, &'a mut [f32]),
    Double(usize, &'a mut [f64]),
}

/// The bins of a block of rows.
struct Block<'a, B> {
    first: usize,
    /// A part of each column.
    columns: Vec<&'a mut [B]>,
    tiles: Vec<&'a mut [B]>,
}

impl<B> Block<'_, B> {
    fn at(first: usize) -> Self {
        Self { first, columns: Vec::new(), tiles: Vec::new() }
    }
}

/// The bins of these columns, by rows or by columns.
fn bins<B: Code>(data: Array<B>, rows: usize, plans: &[Plan], row_major: bool) -> Result<OwnedBins<B>> {
    Ok(OwnedBins::shared(Shared::new(data), rows, offsets(plans), row_major)?)
}

/// Where the cells of each column start in a histogram, and where the last end.
fn offsets(plans: &[Plan]) -> Vec<usize> {
    let ends = plans.iter().scan(0, |sum, plan| {
        *sum += plan.count + usize::from(plan.missing == Some(true));
        Some(*sum)
    });
    std::iter::once(0).chain(ends).collect()
}
