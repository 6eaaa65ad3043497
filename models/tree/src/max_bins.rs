//! How many bins a column may have.
//!
//! More than 255 are seldom worth their time. California housing, 15,480 rows x 14 columns of up to 12,928 values, forests of 100
//! trees, the root of the mean squared error over five divisions: 49,318 with 255 bins, 49,335 exactly (18 more, standard error 19),
//! 49,199 by scikit-learn on the same rows; exact ones, and exact trees, took about twice the time (1.7 to 2.3). That was before
//! thresholds lay in the middle of gaps, which took 212 off with 255 bins (standard error 55) and 284 off exactly (59). Where values
//! are as many as rows, 60,000 in 25 of 28 columns, a tree of depth 12 took 18 times as long and a forest of full trees 5.8 times; with
//! 4,000 bins 5.2 and 2.6 times. (One thread, medians of the ratios of five rounds by turns.)

use serde::{Deserialize, Serialize};
use std::fmt;
use tilewise_base::{Error, Result};

/// The largest number of bins of a column of numbers; one more is for missing values.
pub const MOST_BINS: usize = 65_535;

/// The largest number of bins of a column of categories. A set of bins is 256 bits: one more is for missing values, and one for
/// categories that training did not see.
pub const MOST_CATEGORIES: usize = 254;

/// How many bins a column may have, besides that of missing values. Up to 255, which is the default, a bin is a byte in memory; as
/// soon as a column of numbers has more, all are two. A whole number is as good as [`MaxBins::AtMost`] wherever one is asked for.
///
/// ```
/// use tilewise_base::Context;
/// use tilewise_kernels::MatRef;
/// use tilewise_tree::{BinnedTable, DecisionTree, MaxBins};
/// let x: Vec<f64> = (0..1000).map(f64::from).collect();
/// let leaves = |bins: MaxBins| -> tilewise_base::Result<usize> {
///     let table = BinnedTable::of_matrix(MatRef::new(&x, 1000, 1)?, None, bins, 0)?;
///     Ok(DecisionTree::default().fit_numbers(&table, &x, &Context::default())?.model.leaves())
/// };
/// assert_eq!((leaves(MaxBins::default())?, leaves(MaxBins::Exact)?), (255, 1000));
/// # Ok::<(), tilewise_base::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxBins {
    /// A bin for each distinct value of the rows that have a weight, so that every boundary between two of them may divide a
    /// node. A column of more than 65,535 values, or more than 254 categories, is refused.
    Exact,
    /// So many, 2 to 65,535; columns of categories have 254 at most.
    #[serde(untagged)]
    AtMost(usize),
}

impl MaxBins {
    /// Refuses numbers that are not accepted.
    ///
    /// # Errors
    /// When it is a number below 2 or above 65,535.
    pub fn check(self) -> Result<()> {
        match self {
            Self::AtMost(bins) if !(2..=MOST_BINS).contains(&bins) => {
                let what = format!("exact or a whole number from 2 to {MOST_BINS} is");
                Err(Error::parameter("max_bins", bins, what))
            }
            _ => Ok(()),
        }
    }

    /// How many bins of a column of numbers.
    pub(crate) fn of_numbers(self) -> usize {
        match self {
            Self::Exact => MOST_BINS,
            Self::AtMost(bins) => bins,
        }
    }

    /// How many bins of a column of categories.
    pub(crate) fn of_categories(self) -> usize {
        self.of_numbers().min(MOST_CATEGORIES)
    }
}

impl Default for MaxBins {
    fn default() -> Self {
        Self::AtMost(255)
    }
}

impl From<usize> for MaxBins {
    fn from(bins: usize) -> Self {
        Self::AtMost(bins)
    }
}

impl fmt::Display for MaxBins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact => f.write_str("exact"),
            Self::AtMost(bins) => bins.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_file_holds_a_number_or_a_word() {
        for (bins, text) in [(MaxBins::AtMost(255), "255"), (MaxBins::Exact, "\"exact\"")] {
            assert_eq!(serde_json::to_string(&bins).unwrap(), text);
            assert_eq!(serde_json::from_str::<MaxBins>(text).unwrap(), bins);
        }
        assert!(serde_json::from_str::<MaxBins>("\"some\"").is_err());
    }
}
