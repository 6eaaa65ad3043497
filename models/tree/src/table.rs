//! Columns of inputs, binned once for any number of trees.

use crate::codes::{Code, Codes, Stored, of_codes};
use crate::cuts::{self, UNKNOWN};
use crate::max_bins::{MOST_BINS, MaxBins};
use crate::tree::Input;
use crate::weights::Weights;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tilewise_base::{Error, Result, Unseen};
use tilewise_kernels::tree::{OwnedBins, bin_values};
use tilewise_kernels::{Float, MatRef, parallel, same};

/// A column of inputs.
#[derive(Clone, Copy, Debug)]
pub enum Feature<'a> {
    /// Numbers; NaN is missing, infinities are numbers.
    Numeric(&'a [f64]),
    /// Codes of categories.
    Categorical {
        /// One per row; a code that is not below `levels` is missing.
        codes: &'a [u32],
        /// How many categories there are.
        levels: usize,
    },
}

impl Feature<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Numeric(values) => values.len(),
            Self::Categorical { codes, .. } => codes.len(),
        }
    }
}

/// How the values of a column became bins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Binning {
    /// Bin b holds (cut b - 1, cut b].
    Numeric { cuts: Vec<f64> },
    /// The bin of each category, [`UNKNOWN`] where no row had it.
    Categorical { bin_of: Vec<u8> },
}

/// Binned columns, twice: row-major in tiles of at most 64 features, so that a row which is looked up costs a line of memory
/// per tile, for histograms; and by columns, for dividing rows. Two bytes for each row and column; four, and tiles of 32
/// features, where a column has more than 255 bins.
#[derive(Clone, Debug)]
pub struct BinnedTable {
    pub(crate) binnings: Vec<Binning>,
    /// Whether the last bin of a feature is that of missing values.
    pub(crate) missing: Vec<bool>,
    pub(crate) stored: Stored,
    /// The rows that have a weight.
    pub(crate) rows: Vec<u32>,
    pub(crate) weights: Weights,
    /// How a tree reads such columns where unseen categories are missing, and where they go with the majority.
    inputs: [Arc<[Input]>; 2],
}

impl BinnedTable {
    /// Bins the columns: at most `bins` bins each (a number from 2 to 65,535, or [`MaxBins::Exact`]; of categories at most 254) and one for missing values
    /// where there are any. As many bins as distinct values where these are no more, with cuts half way between them; else bins
    /// of equal weight, from a sample of about 200,000 of the rows that have a weight, which `seed` chooses, where there are more.
    /// Rows of weight 0 are as good as not there. O(rows log rows) per column.
    ///
    /// # Errors
    /// When there are no columns or no rows with a weight, lengths differ, there are 2^31 rows or more, `bins` is out of range,
    /// or exact and a column, which is told by its number, has too many values.
    pub fn new(
        features: &[Feature<'_>],
        weights: Option<&[f64]>,
        bins: impl Into<MaxBins>,
        seed: u64,
    ) -> Result<Self> {
        let rows = features.first().map_or(0, Feature::len);
        Self::from_columns(rows, features.len(), weights, bins.into(), seed, &number, |j, f| f(features[j]))
    }

    /// As [`BinnedTable::new`] for a matrix of numbers, rows x features.
    ///
    /// # Errors
    /// As there.
    pub fn of_matrix<T: Float>(
        x: MatRef<'_, T>,
        weights: Option<&[f64]>,
        bins: impl Into<MaxBins>,
        seed: u64,
    ) -> Result<Self> {
        Self::from_columns(x.rows(), x.cols(), weights, bins.into(), seed, &number, |j, f| {
            let column: Vec<f64> = (0..x.rows()).map(|i| x.get(i, j).to_f64()).collect();
            f(Feature::Numeric(&column))
        })
    }

    /// Asks for one column after another, so that no more than one per thread need be there as numbers. `name` is what an error
    /// calls a column.
    pub(crate) fn from_columns(
        rows: usize,
        features: usize,
        weights: Option<&[f64]>,
        bins: MaxBins,
        seed: u64,
        name: &(dyn Fn(usize) -> String + Sync),
        column: impl Fn(usize, &mut dyn FnMut(Feature<'_>)) + Sync,
    ) -> Result<Self> {
        bins.check()?;
        if features == 0 {
            return Err(Error::Fit("there are no columns to learn from".into()));
        }
        if features >= crate::arena::CATEGORY as usize {
            return Err(Error::Fit(format!("{features} columns are too many: a tree takes fewer than 2^30")));
        }
        if rows >= 1 << 31 {
            return Err(Error::Fit(format!("{rows} rows are too many: a tree takes up to 2^31 - 1")));
        }
        if let Some(weights) = weights {
            same("weights", rows, weights.len())?;
            if let Some(row) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
                return Err(Error::cell(
                    row,
                    "weight",
                    format!("{} is not a finite number of 0 or more", weights[row]),
                ));
            }
        }
        if weights.is_some_and(|weights| !weights.iter().sum::<f64>().is_finite()) {
            return Err(Error::Fit("the sum of the weights is not finite: they must be smaller".into()));
        }
        let weights = Weights::new(rows, weights);
        let counted = weights.counted(rows);
        if counted.is_empty() {
            return Err(Error::Fit("there are no rows with a weight to learn from".into()));
        }
        let sample = cuts::sample(&counted, seed);
        let sample = sample.as_ref().unwrap_or(&counted);
        let binned = parallel::map(features, |j| {
            let mut binned = None;
            let weighed = Weighed { rows, counted: &counted, sample, weights: &weights };
            column(j, &mut |feature| binned = Some(bin(feature, &weighed, bins, &|| name(j))));
            binned.unwrap_or_else(|| Err(Error::Fit(format!("there is no column {j}"))))
        });
        let binned = binned.into_iter().collect::<Result<Vec<Binned>>>()?;
        let missing = binned.iter().map(|column| column.missing).collect();
        let is_wide = |column: &Binned| matches!(column.bins, Numbers::TwoBytes(_));
        let (stored, binnings) = if binned.iter().any(is_wide) {
            let (codes, binnings) = together::<u16>(binned, rows)?;
            (Stored::TwoBytes(codes), binnings)
        } else {
            let (codes, binnings) = together::<u8>(binned, rows)?;
            (Stored::Bytes(codes), binnings)
        };
        Ok(Self::of_bins(binnings, missing, stored, weights))
    }

    /// A table whose columns are binned already.
    pub(crate) fn of_bins(
        binnings: Vec<Binning>,
        missing: Vec<bool>,
        stored: Stored,
        weights: Weights,
    ) -> Self {
        let input = |binning: &Binning| match binning {
            Binning::Numeric { .. } => Input::Number,
            Binning::Categorical { bin_of } => Input::Category(bin_of.clone().into()),
        };
        let inputs: Arc<[Input]> = binnings.iter().map(input).collect();
        let inputs = [Input::all_with(&inputs, Unseen::Majority), inputs];
        let rows = weights.counted(of_codes!(stored, codes => codes.columns().rows()));
        Self { binnings, missing, stored, rows, weights, inputs }
    }

    /// The rows that have a weight, ascending.
    pub fn counted(&self) -> &[u32] {
        &self.rows
    }

    /// The weight of a row as it is counted: as it was given, or rounded to 2^-31 of the sum of all.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn weight(&self, row: usize) -> f64 {
        f64::from(self.weights.get(row)) * self.weights.unit
    }

    /// The sum of the weights of rows, which does not depend on their order.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn weight_of(&self, rows: &[u32]) -> f64 {
        rows.iter().map(|&row| u64::from(self.weights.get(row as usize))).sum::<u64>() as f64
            * self.weights.unit
    }

    /// Whether all rows have weight 1.
    pub fn has_equal_weights(&self) -> bool {
        self.weights.values.is_none()
    }

    /// Whether every weight is a whole number, so that a row of weight 3 is as good as three rows.
    pub fn has_whole_weights(&self) -> bool {
        self.weights.unit == 1.0
    }

    /// Rows, those without a weight too.
    pub fn rows(&self) -> usize {
        of_codes!(self.stored, codes => codes.columns().rows())
    }

    /// Columns.
    pub fn features(&self) -> usize {
        self.binnings.len()
    }

    /// How a tree reads these columns.
    pub(crate) fn inputs(&self, unseen: Unseen) -> &Arc<[Input]> {
        &self.inputs[usize::from(unseen != Unseen::Majority)]
    }

    /// How many bins a feature has, that of missing values included.
    pub(crate) fn count(&self, feature: usize) -> usize {
        let offsets = self.offsets();
        offsets[feature + 1] - offsets[feature]
    }

    /// Where the cells of each feature start in a histogram, and where the last end.
    pub(crate) fn offsets(&self) -> &[usize] {
        of_codes!(self.stored, codes => codes.columns().offsets())
    }

    /// Bins of all features.
    pub(crate) fn cells(&self) -> usize {
        self.offsets()[self.features()]
    }

    /// The bin of a row.
    #[cfg(test)]
    pub(crate) fn bin(&self, row: u32, feature: usize) -> usize {
        of_codes!(self.stored, codes => codes.columns().get(row as usize, feature).into())
    }

    /// The same with two bytes for each bin, as if one more column had needed them.
    #[cfg(test)]
    pub(crate) fn widened(&self) -> Self {
        let of = |feature| (0..self.rows() as u32).map(|row| self.bin(row, feature) as u16).collect();
        let column = |(feature, binning): (usize, &Binning)| Binned {
            bins: Numbers::TwoBytes(of(feature)),
            count: self.count(feature),
            missing: self.missing[feature],
            binning: binning.clone(),
        };
        let columns = self.binnings.iter().enumerate().map(column).collect();
        let (codes, binnings) = together(columns, self.rows()).unwrap();
        Self::of_bins(binnings, self.missing.clone(), Stored::TwoBytes(codes), self.weights.clone())
    }
}

/// What a column without a name is called.
fn number(column: usize) -> String {
    column.to_string()
}

/// The numbers of the bins of a column.
enum Numbers {
    Bytes(Vec<u8>),
    TwoBytes(Vec<u16>),
}

impl Numbers {
    /// Writes those of the rows from `first` on, as far as there are places.
    fn put<'a, B: Code>(&self, first: usize, to: impl Iterator<Item = &'a mut B>) {
        match self {
            Self::Bytes(bins) => put(&bins[first..], to),
            Self::TwoBytes(bins) => put(&bins[first..], to),
        }
    }
}

fn put<'a, A: Code, B: Code>(from: &[A], to: impl Iterator<Item = &'a mut B>) {
    to.zip(from).for_each(|(to, &bin)| *to = B::from_low_bits(bin.into()));
}

/// A column as bins.
struct Binned {
    bins: Numbers,
    /// How many bins there are, that of missing values included.
    count: usize,
    missing: bool,
    binning: Binning,
}

/// The rows that bins are made of.
struct Weighed<'a> {
    rows: usize,
    counted: &'a [u32],
    sample: &'a [u32],
    weights: &'a Weights,
}

/// Bins a column; `name` is what an error calls it.
fn bin(
    feature: Feature<'_>,
    weighed: &Weighed<'_>,
    max_bins: MaxBins,
    name: &dyn Fn() -> String,
) -> Result<Binned> {
    let Weighed { rows, counted, weights, .. } = *weighed;
    same("cells of a column", rows, feature.len())?;
    let too_many = |what: &str, most: usize| {
        let what = format!("has more than {most} {what}; with max_bins exact up to {most} are accepted");
        Err(Error::column(name(), what))
    };
    match feature {
        Feature::Numeric(values) => {
            let most = max_bins.of_numbers();
            let cuts = cuts_of(values, weighed, most, max_bins == MaxBins::Exact);
            let Some(cuts) = cuts else { return too_many("different values", MOST_BINS) };
            let count = cuts.len() + 1;
            // A row without a weight must not bring a bin.
            let missing = counted.iter().any(|&row| values[row as usize].is_nan());
            let bins = if count <= usize::from(u8::MAX) {
                Numbers::Bytes(bins_of(values, &cuts, missing)?)
            } else {
                Numbers::TwoBytes(bins_of(values, &cuts, missing)?)
            };
            Ok(Binned {
                bins,
                count: count + usize::from(missing),
                missing,
                binning: Binning::Numeric { cuts },
            })
        }
        Feature::Categorical { codes, levels } => {
            let mut counts = vec![0; levels];
            let mut missing = false;
            for &row in counted {
                match counts.get_mut(codes[row as usize] as usize) {
                    Some(count) => *count += u64::from(weights.get(row as usize)),
                    None => missing = true,
                }
            }
            let most = max_bins.of_categories();
            if max_bins == MaxBins::Exact && counts.iter().filter(|count| **count > 0).count() > most {
                return too_many("categories", most);
            }
            let (bin_of, count) = cuts::categories(&counts, most);
            // At least one bin, which is then empty.
            let count = count.max(1);
            let none = if missing { count } else { 0 } as u8;
            let bin = |&code: &u32| match bin_of.get(code as usize) {
                Some(&known) if known != UNKNOWN => known,
                _ => none,
            };
            Ok(Binned {
                bins: Numbers::Bytes(codes.iter().map(bin).collect()),
                count: count + usize::from(missing),
                missing,
                binning: Binning::Categorical { bin_of },
            })
        }
    }
}

/// Where values are cut; `None` where each is to have a bin of its own and there are more than `most`.
fn cuts_of(values: &[f64], weighed: &Weighed<'_>, most: usize, exact: bool) -> Option<Vec<f64>> {
    let Weighed { counted, sample, weights, .. } = *weighed;
    let value = |&row: &u32| values[row as usize];
    let weighted = |row: &u32| (value(row), weights.get(*row as usize));
    // A sample may lack rare values; where there are few, all are taken.
    let is_part = sample.len() < counted.len();
    if is_part {
        let few = cuts::few(counted.iter().map(weighted), most);
        if few.is_some() || exact {
            return few.map(|few| cuts::numeric(few, most));
        }
    }
    let bins = if exact { usize::MAX } else { most };
    let cuts = if weights.values.is_none() {
        cuts::unweighted(sample.iter().map(value).collect(), bins)
    } else {
        cuts::numeric(sample.iter().map(weighted).collect(), bins)
    };
    (cuts.len() < most).then_some(cuts)
}

/// The bins of values, of which none is missing in a row that counts unless `missing`.
fn bins_of<B: Code>(values: &[f64], cuts: &[f64], missing: bool) -> Result<Vec<B>> {
    let mut bins = vec![B::default(); values.len()];
    let count = cuts.len() + 1;
    bin_values(values, cuts, count, &mut bins)?;
    if !missing {
        let last = B::from_low_bits(count - 1);
        bins.iter_mut().for_each(|bin| *bin = (*bin).min(last));
    }
    Ok(bins)
}

/// All columns, by rows and by columns, and how each was binned.
fn together<B: Code>(binned: Vec<Binned>, rows: usize) -> Result<(Codes<B>, Vec<Binning>)> {
    let offsets = offsets(&binned);
    let tiles = binned.chunks(B::TILE).map(|columns| tile(columns, rows)).collect::<Result<_>>()?;
    let mut data = vec![B::default(); rows * binned.len()];
    let mut binnings = Vec::with_capacity(binned.len());
    for (column, to) in binned.into_iter().zip(data.chunks_exact_mut(rows)) {
        column.bins.put(0, to.iter_mut());
        binnings.push(column.binning);
    }
    Ok((Codes::new(tiles, OwnedBins::column_major(data, rows, offsets)?), binnings))
}

/// Where the cells of each column start, and where the last end.
fn offsets(columns: &[Binned]) -> Vec<usize> {
    let ends = columns.iter().scan(0, |sum, column| {
        *sum += column.count;
        Some(*sum)
    });
    std::iter::once(0).chain(ends).collect()
}

/// Columns side by side.
fn tile<B: Code>(columns: &[Binned], rows: usize) -> Result<OwnedBins<B>> {
    /// Rows written at a time: with a line of each 64 KiB.
    const BLOCK: usize = 1024;
    let width = columns.len();
    let mut data = vec![B::default(); rows * width];
    parallel::for_each_chunk_mut(&mut data, BLOCK * width, |block, data| {
        for (j, column) in columns.iter().enumerate() {
            column.bins.put(block * BLOCK, data.iter_mut().skip(j).step_by(width));
        }
    });
    Ok(OwnedBins::row_major(data, rows, offsets(columns))?)
}
