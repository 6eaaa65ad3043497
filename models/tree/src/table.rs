//! Columns of inputs, binned once for any number of trees.

#[cfg(test)]
use crate::codes::{Code, Codes};
use crate::codes::{Stored, of_codes};
#[cfg(doc)]
use crate::cuts::UNKNOWN;
use crate::max_bins::MaxBins;
use crate::tree::Input;
use crate::weights::Weights;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tilewise_base::{Error, Result, Storage, Unseen};
#[cfg(test)]
use tilewise_kernels::tree::OwnedBins;
use tilewise_kernels::{Float, MatRef, same};

mod binning;
mod cells;

use binning::Source;
pub(crate) use cells::Cells;

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

impl Binning {
    /// How many bins there are, without that of missing values; one at least, which may be empty.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Numeric { cuts } => cuts.len() + 1,
            Self::Categorical { bin_of } => {
                let used = bin_of.iter().filter(|&&bin| bin != crate::cuts::UNKNOWN).max();
                used.map_or(1, |&last| usize::from(last) + 1)
            }
        }
    }
}

/// Binned columns, twice: row-major in tiles of at most 64 features, so that a row which is looked up costs a line of memory
/// per tile, for histograms; and by columns, for dividing rows. Two bytes for each row and column; four, and tiles of 32
/// features, where a column has more than 255 bins. Where many columns have few bins, trees that add up all columns make bundles of
/// these when they first need them: up to three quarters of a byte more.
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
        let columns: Vec<Cells<'_>> = features.iter().map(|&feature| feature.into()).collect();
        Self::from_columns(rows, &columns, weights, bins.into(), seed, &number, &Storage::default())
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
        let columns: Vec<Cells<'_>> = (0..x.cols()).map(|column| Cells::of_matrix(x, column)).collect();
        Self::from_columns(x.rows(), &columns, weights, bins.into(), seed, &number, &Storage::default())
    }

    /// `name` is what an error calls a column; `storage` is where bins are put.
    pub(crate) fn from_columns(
        rows: usize,
        columns: &[Cells<'_>],
        weights: Option<&[f64]>,
        bins: MaxBins,
        seed: u64,
        name: &(dyn Fn(usize) -> String + Sync),
        storage: &Storage,
    ) -> Result<Self> {
        let features = columns.len();
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
        for column in columns {
            same("cells of a column", rows, column.len())?;
        }
        let source = Source { columns, rows, counted: &counted, weights: &weights, seed, storage };
        let (binnings, missing, stored) = source.bins(bins, name)?;
        Ok(Self::of_bins(binnings, missing, stored, weights))
    }

    /// A table of some of the rows of a larger one, whose ways of binning are known; `weights` are those of these rows.
    pub(crate) fn of_binnings(
        rows: usize,
        columns: &[Cells<'_>],
        weights: Weights,
        binnings: &[Binning],
        missing: &[bool],
    ) -> Result<Self> {
        same("columns", binnings.len(), columns.len())?;
        let counted = weights.counted(rows);
        let storage = &Storage::default();
        let source = Source { columns, rows, counted: &counted, weights: &weights, seed: 0, storage };
        let stored = source.bins_by(binnings, missing)?;
        Ok(Self::of_bins(binnings.to_vec(), missing.to_vec(), stored, weights))
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

    /// The sum of the weights of all rows, or of all tables of which this is a part without rows, in units of weights.
    pub fn total_weight(&self) -> u64 {
        self.weights.total
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
    pub fn cells(&self) -> usize {
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
        let Stored::Bytes(codes) = &self.stored else { return self.clone() };
        let wide = |bins: &[u8]| bins.iter().copied().map(u16::from).collect::<Vec<_>>();
        let columns = codes.columns();
        let (rows, offsets) = (columns.rows(), columns.offsets());
        let features: Vec<usize> = (0..self.features()).collect();
        let tile = |features: &[usize]| {
            let row = |row: u32| features.iter().map(move |&feature| self.bin(row, feature) as u16);
            let data = (0..rows as u32).flat_map(row).collect();
            let first = offsets[features[0]];
            let offsets = offsets[features[0]..=features[0] + features.len()].iter().map(|at| at - first);
            OwnedBins::row_major(data, rows, offsets.collect()).unwrap()
        };
        let tiles = features.chunks(u16::TILE).map(tile).collect();
        let columns = OwnedBins::column_major(wide(columns.data()), rows, offsets.to_vec()).unwrap();
        let stored = Stored::TwoBytes(Codes::new(tiles, columns, &Storage::default()));
        Self::of_bins(self.binnings.clone(), self.missing.clone(), stored, self.weights.clone())
    }
}

/// What a column without a name is called.
fn number(column: usize) -> String {
    column.to_string()
}
