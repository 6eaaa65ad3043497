//! What a decision tree is fitted with.

use crate::grow::{Grower, Limits};
use crate::table::BinnedTable;
use crate::target::{self, Classes, Numbers, Target};
use crate::tree::Tree;
use crate::weights::Weights;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use tilewise_base::{Context, Error, Fit, FitReport, Result};
use tilewise_kernels::same;

/// How splits are valued: by how much they make the sum of this over the rows of a node smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// Gini for classes, squared for numbers.
    #[default]
    Auto,
    /// 1 - sum of p_c^2 over the shares p_c of classes.
    Gini,
    /// - sum of p_c ln p_c.
    Entropy,
    /// The squared distance from the mean.
    Squared,
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Gini => "gini",
            Self::Entropy => "entropy",
            Self::Squared => "squared",
        })
    }
}

/// How many features each node looks at, drawn for it at random; more where none of them has a split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxFeatures {
    /// All, and nothing is drawn.
    #[default]
    All,
    /// The square root of their number, rounded down.
    Sqrt,
    /// The binary logarithm of their number, rounded down.
    Log2,
    /// A third of them, rounded down.
    Third,
    /// So many.
    Count(usize),
    /// This share of them, above 0 and at most 1, rounded down.
    Share(f64),
}

impl MaxFeatures {
    /// How many of `features`: at least 1, and no more than there are.
    pub fn of(self, features: usize) -> usize {
        let count = match self {
            Self::All => features,
            Self::Sqrt => features.isqrt(),
            Self::Log2 => features.max(1).ilog2() as usize,
            Self::Third => features / 3,
            Self::Count(count) => count,
            Self::Share(share) => (share * features as f64) as usize,
        };
        count.clamp(1, features.max(1))
    }
}

impl fmt::Display for MaxFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Sqrt => f.write_str("sqrt"),
            Self::Log2 => f.write_str("log2"),
            Self::Third => f.write_str("third"),
            Self::Count(count) => count.fmt(f),
            Self::Share(share) => share.fmt(f),
        }
    }
}

/// What is drawn for one of many trees on the same table.
#[derive(Clone, Copy, Debug, Default)]
pub struct Draw<'a> {
    /// Of the random numbers that choose features.
    pub key: u64,
    /// How often each row counts, instead of the weights of the table; a row that does not count is as good as not there.
    /// `None` for the weights of the table.
    pub counts: Option<&'a [u32]>,
}

/// The rows of a tree and their weights.
struct Drawn<'a> {
    weights: Cow<'a, Weights>,
    rows: Cow<'a, [u32]>,
    key: u64,
}

impl<'a> Drawn<'a> {
    fn new(table: &'a BinnedTable, draw: &Draw<'_>) -> Result<Self> {
        let key = draw.key;
        let Some(counts) = draw.counts else {
            let (weights, rows) = (Cow::Borrowed(&table.weights), Cow::Borrowed(&table.rows[..]));
            return Ok(Self { weights, rows, key });
        };
        same("counts of rows", table.rows(), counts.len())?;
        let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        if total == 0 || total > 1 << 31 {
            return Err(Error::Fit(format!("{total} rows were drawn for a tree; 1 to 2^31 can be")));
        }
        // Bins of rows without a weight mean nothing.
        let counted = |&row: &u32| counts[row as usize] > 0;
        let rows: Vec<u32> = table.rows.iter().copied().filter(counted).collect();
        if rows.len() < counts.iter().filter(|count| **count > 0).count() {
            return Err(Error::Fit("a row without a weight was drawn for a tree".into()));
        }
        let weights = Weights { values: Some(counts.to_vec()), unit: 1.0, total };
        Ok(Self { weights: Cow::Owned(weights), rows: Cow::Owned(rows), key })
    }
}

/// A decision tree (Breiman, Friedman, Olshen, Stone, *Classification and Regression Trees*, 1984), grown on histograms of
/// binned columns.
///
/// ```
/// use tilewise_base::Context;
/// use tilewise_kernels::MatRef;
/// use tilewise_tree::{BinnedTable, DecisionTree};
/// let x = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
/// let table = BinnedTable::of_matrix(MatRef::new(&x, 6, 1)?, None, 255, 0)?;
/// let fit = DecisionTree::default().fit_numbers(&table, &[1.0, 1.0, 1.0, 9.0, 9.0, 9.0], &Context::default())?;
/// let mut out = [0.0];
/// fit.model.predict_row(&[2.4], &mut out);
/// assert_eq!(out, [1.0]);
/// # Ok::<(), tilewise_base::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionTree {
    /// How splits are valued.
    pub criterion: Criterion,
    /// Splits on the way from the root to a leaf, at most; `None` for no limit.
    pub max_depth: Option<usize>,
    /// Leaves at most, those whose splits gain most first; `None` for no limit.
    pub max_leaves: Option<usize>,
    /// Rows of a leaf at least. With weights only 1 is accepted.
    pub min_samples_leaf: usize,
    /// Rows of a node that is divided at least.
    pub min_samples_split: usize,
    /// What a split must gain more than, per unit of the weight of all rows; 0 allows splits that gain nothing, as other
    /// libraries do, since what comes below them may.
    pub min_impurity_decrease: f64,
    /// Features that each node looks at.
    #[serde(default)]
    pub max_features: MaxFeatures,
}

impl Default for DecisionTree {
    fn default() -> Self {
        Self {
            criterion: Criterion::Auto,
            max_depth: None,
            max_leaves: None,
            min_samples_leaf: 1,
            min_samples_split: 2,
            min_impurity_decrease: 0.0,
            max_features: MaxFeatures::All,
        }
    }
}

impl DecisionTree {
    /// Grows a tree for classes `y` (one number below `classes` per row) on the rows that have a weight.
    ///
    /// The same tree, bit for bit, at any number of threads and in any order of rows, but for the choice of rows that cuts
    /// were taken from. O(rows x columns x depth).
    ///
    /// # Errors
    /// When lengths or parameters are not what is accepted, or a class is `classes` or more.
    pub fn fit_classes(
        &self,
        table: &BinnedTable,
        y: &[u32],
        classes: usize,
        context: &Context<'_>,
    ) -> Result<Fit<Tree>> {
        Ok(told(self.grow_classes(table, y, classes, &Draw { key: context.seed, counts: None })?, context))
    }

    /// As [`DecisionTree::fit_classes`], for numbers. Sums are of multiples of a power of two: with W rows (or units of
    /// weight) a number is rounded to about 2^-62 W of the range of all.
    ///
    /// # Errors
    /// As there, or when a number is not finite.
    pub fn fit_numbers(&self, table: &BinnedTable, y: &[f64], context: &Context<'_>) -> Result<Fit<Tree>> {
        Ok(told(self.grow_numbers(table, y, &Draw { key: context.seed, counts: None })?, context))
    }

    /// One of many trees for classes.
    ///
    /// # Errors
    /// As [`DecisionTree::fit_classes`], or when nothing is drawn, too much, or a row without a weight.
    pub fn grow_classes(
        &self,
        table: &BinnedTable,
        y: &[u32],
        classes: usize,
        draw: &Draw<'_>,
    ) -> Result<Tree> {
        target::check(table.rows(), y.len())?;
        let drawn = Drawn::new(table, draw)?;
        self.grow(table, &Classes::new(y, classes, &drawn.weights, self.criterion)?, draw, &drawn)
    }

    /// One of many trees for numbers.
    ///
    /// # Errors
    /// As [`DecisionTree::fit_numbers`] and [`DecisionTree::grow_classes`].
    pub fn grow_numbers(&self, table: &BinnedTable, y: &[f64], draw: &Draw<'_>) -> Result<Tree> {
        target::check(table.rows(), y.len())?;
        let drawn = Drawn::new(table, draw)?;
        self.grow(table, &Numbers::new(y, &drawn.weights, self.criterion)?, draw, &drawn)
    }

    fn grow<T: Target>(
        &self,
        table: &BinnedTable,
        target: &T,
        draw: &Draw<'_>,
        drawn: &Drawn<'_>,
    ) -> Result<Tree> {
        self.check_for(table, draw)?;
        let limits = self.limits(drawn.weights.total, table.features());
        let nodes = Grower { table, target, limits }.grow(&drawn.rows, drawn.key)?;
        Ok(Tree::new(table, drawn.weights.unit, target, &nodes))
    }

    /// Checks parameters, also those that are not accepted for every table.
    pub(crate) fn check_for(&self, table: &BinnedTable, draw: &Draw<'_>) -> Result<()> {
        self.check()?;
        if self.min_samples_leaf > 1 && draw.counts.is_none() && table.weights.values.is_some() {
            let what = "with weights only 1 is (rows of a leaf are not counted where they have weights)";
            return Err(Error::parameter("min_samples_leaf", self.min_samples_leaf, what));
        }
        Ok(())
    }

    /// Checks parameters that do not depend on data.
    ///
    /// # Errors
    /// Naming the first that is not accepted, and what would be.
    pub fn check(&self) -> Result<()> {
        let refuse = |name: &str, value: &dyn fmt::Display, accepted: &str| {
            Err(Error::parameter(name, value, format!("{accepted} is")))
        };
        if self.max_leaves == Some(0) {
            return refuse("max_leaves", &0, "a whole number above 0");
        }
        if self.min_samples_leaf == 0 {
            return refuse("min_samples_leaf", &0, "a whole number above 0");
        }
        if self.min_samples_split < 2 {
            return refuse("min_samples_split", &self.min_samples_split, "a whole number of 2 or more");
        }
        if !(self.min_impurity_decrease >= 0.0 && self.min_impurity_decrease.is_finite()) {
            return refuse("min_impurity_decrease", &self.min_impurity_decrease, "a number of 0 or more");
        }
        let features = match self.max_features {
            MaxFeatures::Count(count) => count > 0,
            MaxFeatures::Share(share) => share > 0.0 && share <= 1.0,
            _ => true,
        };
        if !features {
            let accepted = "a whole number above 0 or a share above 0 and at most 1";
            return refuse("max_features", &self.max_features, accepted);
        }
        Ok(())
    }

    pub(crate) fn limits(&self, total: u64, features: usize) -> Limits {
        let min_gain = if self.min_impurity_decrease == 0.0 {
            f64::NEG_INFINITY
        } else {
            self.min_impurity_decrease * total as f64
        };
        Limits {
            max_depth: self.max_depth.unwrap_or(usize::MAX),
            max_leaves: self.max_leaves.unwrap_or(usize::MAX),
            min_samples_split: self.min_samples_split,
            min_weight: self.min_samples_leaf as u64,
            min_gain,
            features: self.max_features.of(features),
        }
    }
}

/// The report of a tree that grew.
fn told(model: Tree, context: &Context<'_>) -> Fit<Tree> {
    context.progress.round(1, 1, &format!("{} leaves", model.leaves()));
    let report = FitReport {
        converged: true,
        stopped: format!("grown to {} leaves, depth {}", model.leaves(), model.depth()),
        // It has no objective that more rounds would make smaller.
        objective: f64::NAN,
        optimality: f64::NAN,
        rounds: 1,
        ..FitReport::default()
    };
    Fit { model, report }
}
