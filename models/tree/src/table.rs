//! Columns of inputs, binned once for any number of trees.

use crate::cuts::{self, UNKNOWN};
use crate::tree::Input;
use crate::weights::Weights;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tilewise_base::{Error, Result, Unseen};
use tilewise_kernels::tree::{Bins, OwnedBins, bin_values};
use tilewise_kernels::{Float, MatRef, parallel, same};

/// Features of a tile: a row of one is a cache line.
pub(crate) const TILE: usize = 64;

/// The largest number of bins of a column; one more is for missing values.
pub const MOST_BINS: usize = 255;

/// The largest number of bins of a column of categories: one fewer, which is for categories that training did not see.
pub const MOST_CATEGORIES: usize = MOST_BINS - 1;

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
/// per tile, for histograms; and by columns, for dividing rows. Two bytes for each row and column.
#[derive(Clone, Debug)]
pub struct BinnedTable {
    pub(crate) binnings: Vec<Binning>,
    /// Whether the last bin of a feature is that of missing values.
    pub(crate) missing: Vec<bool>,
    tiles: Vec<OwnedBins<u8>>,
    columns: OwnedBins<u8>,
    /// The rows that have a weight.
    pub(crate) rows: Vec<u32>,
    pub(crate) weights: Weights,
    /// How a tree reads such columns where unseen categories are missing, and where they go with the majority.
    inputs: [Arc<[Input]>; 2],
}

impl BinnedTable {
    /// Bins the columns: at most `bins` bins each (2 to 255; of categories at most 254) and one for missing values where there are any. As many bins as
    /// distinct values where these are no more; else bins of equal weight, from a sample of about 200,000 of the rows that have
    /// a weight, which `seed` chooses, where there are more. Rows of weight 0 are as good as not there. O(rows log rows) per column.
    ///
    /// # Errors
    /// When there are no columns or no rows with a weight, lengths differ, there are 2^31 rows or more, or `bins` is out
    /// of range.
    pub fn new(features: &[Feature<'_>], weights: Option<&[f64]>, bins: usize, seed: u64) -> Result<Self> {
        let rows = features.first().map_or(0, Feature::len);
        Self::from_columns(rows, features.len(), weights, bins, seed, |j, f| f(features[j]))
    }

    /// As [`BinnedTable::new`] for a matrix of numbers, rows x features.
    ///
    /// # Errors
    /// As there.
    pub fn of_matrix<T: Float>(
        x: MatRef<'_, T>,
        weights: Option<&[f64]>,
        bins: usize,
        seed: u64,
    ) -> Result<Self> {
        Self::from_columns(x.rows(), x.cols(), weights, bins, seed, |j, f| {
            let column: Vec<f64> = (0..x.rows()).map(|i| x.get(i, j).to_f64()).collect();
            f(Feature::Numeric(&column))
        })
    }

    /// Asks for one column after another, so that no more than one per thread need be there as numbers.
    pub(crate) fn from_columns(
        rows: usize,
        features: usize,
        weights: Option<&[f64]>,
        bins: usize,
        seed: u64,
        column: impl Fn(usize, &mut dyn FnMut(Feature<'_>)) + Sync,
    ) -> Result<Self> {
        if !(2..=MOST_BINS).contains(&bins) {
            return Err(Error::parameter(
                "max_bins",
                bins,
                format!("a whole number from 2 to {MOST_BINS} is"),
            ));
        }
        if features == 0 {
            return Err(Error::Fit("there are no columns to learn from".into()));
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
            column(j, &mut |feature| binned = Some(bin(feature, rows, &counted, sample, &weights, bins)));
            binned.unwrap_or_else(|| Err(Error::Fit(format!("there is no column {j}"))))
        });
        let binned = binned.into_iter().collect::<Result<Vec<Binned>>>()?;
        let mut offsets = vec![0];
        offsets.extend(binned.iter().scan(0, |sum, column| {
            *sum += column.count;
            Some(*sum)
        }));
        let tiles = binned.chunks(TILE).map(|columns| tile(columns, rows)).collect::<Result<_>>()?;
        let missing = binned.iter().map(|column| column.missing).collect();
        let mut data = Vec::with_capacity(rows * features);
        let mut binnings = Vec::with_capacity(features);
        for column in binned {
            data.extend_from_slice(&column.bins);
            binnings.push(column.binning);
        }
        let columns = OwnedBins::column_major(data, rows, offsets)?;
        Ok(Self::of_bins(binnings, missing, tiles, columns, weights))
    }

    /// A table whose columns are binned already.
    pub(crate) fn of_bins(
        binnings: Vec<Binning>,
        missing: Vec<bool>,
        tiles: Vec<OwnedBins<u8>>,
        columns: OwnedBins<u8>,
        weights: Weights,
    ) -> Self {
        let input = |binning: &Binning| match binning {
            Binning::Numeric { .. } => Input::Number,
            Binning::Categorical { bin_of } => Input::Category(bin_of.clone().into()),
        };
        let inputs: Arc<[Input]> = binnings.iter().map(input).collect();
        let inputs = [Input::all_with(&inputs, Unseen::Majority), inputs];
        let rows = weights.counted(columns.get().rows());
        Self { binnings, missing, tiles, columns, rows, weights, inputs }
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

    /// Whether every weight is a whole number, so that a row of weight 3 is as good as three rows.
    pub fn has_whole_weights(&self) -> bool {
        self.weights.unit == 1.0
    }

    /// Rows, those without a weight too.
    pub fn rows(&self) -> usize {
        self.columns.get().rows()
    }

    /// Columns.
    pub fn features(&self) -> usize {
        self.binnings.len()
    }

    /// How a tree reads these columns.
    pub(crate) fn inputs(&self, unseen: Unseen) -> &Arc<[Input]> {
        &self.inputs[usize::from(unseen != Unseen::Majority)]
    }

    pub(crate) fn columns(&self) -> Bins<'_, u8> {
        self.columns.get()
    }

    /// The bins of these rows, row-major.
    pub(crate) fn gathered(&self, rows: &[u32]) -> Vec<u8> {
        let mut bins = Vec::with_capacity(rows.len() * self.features());
        for &row in rows {
            for tile in self.tiles() {
                bins.extend_from_slice(&tile.data()[row as usize * tile.features()..][..tile.features()]);
            }
        }
        bins
    }

    pub(crate) fn tiles(&self) -> impl Iterator<Item = Bins<'_, u8>> {
        self.tiles.iter().map(OwnedBins::get)
    }
}

/// A column as bins.
struct Binned {
    bins: Vec<u8>,
    /// How many bins there are, that of missing values included.
    count: usize,
    missing: bool,
    binning: Binning,
}

fn bin(
    feature: Feature<'_>,
    rows: usize,
    counted: &[u32],
    sample: &[u32],
    weights: &Weights,
    most: usize,
) -> Result<Binned> {
    same("cells of a column", rows, feature.len())?;
    let mut bins = vec![0; rows];
    match feature {
        Feature::Numeric(values) => {
            let value = |&row: &u32| values[row as usize];
            let weighted = |row: &u32| (value(row), weights.get(*row as usize));
            // A sample may lack rare values; where there are few, all are taken.
            let is_part = sample.len() < counted.len();
            let few = is_part.then(|| cuts::few(counted.iter().map(weighted), most)).flatten();
            let cuts = if let Some(few) = few {
                cuts::numeric(few, most)
            } else if weights.values.is_none() {
                cuts::unweighted(sample.iter().map(value).collect(), most)
            } else {
                cuts::numeric(sample.iter().map(weighted).collect(), most)
            };
            let count = cuts.len() + 1;
            bin_values(values, &cuts, count, &mut bins)?;
            // A row without a weight must not bring a bin.
            let missing = counted.iter().any(|&row| values[row as usize].is_nan());
            if !missing {
                bins.iter_mut().for_each(|bin| *bin = (*bin).min(count as u8 - 1));
            }
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
            let (bin_of, count) = cuts::categories(&counts, most.min(MOST_CATEGORIES));
            // At least one bin, which is then empty.
            let count = count.max(1);
            let none = if missing { count } else { 0 } as u8;
            for (bin, &code) in bins.iter_mut().zip(codes) {
                *bin = match bin_of.get(code as usize) {
                    Some(&known) if known != UNKNOWN => known,
                    _ => none,
                };
            }
            Ok(Binned {
                bins,
                count: count + usize::from(missing),
                missing,
                binning: Binning::Categorical { bin_of },
            })
        }
    }
}

/// Columns side by side.
fn tile(columns: &[Binned], rows: usize) -> Result<OwnedBins<u8>> {
    /// Rows written at a time: with 64 features 64 KiB.
    const BLOCK: usize = 1024;
    let width = columns.len();
    let mut data = vec![0; rows * width];
    parallel::for_each_chunk_mut(&mut data, BLOCK * width, |block, data| {
        for (j, column) in columns.iter().enumerate() {
            let bins = &column.bins[block * BLOCK..];
            data.iter_mut().skip(j).step_by(width).zip(bins).for_each(|(to, bin)| *to = *bin);
        }
    });
    let mut offsets = vec![0];
    for column in columns {
        offsets.push(offsets[offsets.len() - 1] + column.count);
    }
    Ok(OwnedBins::row_major(data, rows, offsets)?)
}
