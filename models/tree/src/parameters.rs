//! What a decision tree is fitted with.

use crate::grow::{Grower, Limits};
use crate::table::BinnedTable;
use crate::target::{self, Classes, Numbers, Target};
use crate::tree::Tree;
use serde::{Deserialize, Serialize};
use std::fmt;
use tilewise_base::{Context, Error, Fit, FitReport, Result};

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
        target::check(table.rows(), y.len())?;
        self.fit(table, &Classes::new(y, classes, &table.weights, self.criterion)?, context)
    }

    /// As [`DecisionTree::fit_classes`], for numbers. Sums are of multiples of a power of two: with W rows (or units of
    /// weight) a number is rounded to about 2^-62 W of the range of all.
    ///
    /// # Errors
    /// As there, or when a number is not finite.
    pub fn fit_numbers(&self, table: &BinnedTable, y: &[f64], context: &Context<'_>) -> Result<Fit<Tree>> {
        target::check(table.rows(), y.len())?;
        self.fit(table, &Numbers::new(y, &table.weights, self.criterion)?, context)
    }

    fn fit<T: Target>(&self, table: &BinnedTable, target: &T, context: &Context<'_>) -> Result<Fit<Tree>> {
        let limits = self.limits(table)?;
        let nodes = Grower { table, target, limits }.grow(&table.rows)?;
        let model = Tree::new(table, target, &nodes);
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
        Ok(Fit { model, report })
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
        Ok(())
    }

    fn limits(&self, table: &BinnedTable) -> Result<Limits> {
        self.check()?;
        if self.min_samples_leaf > 1 && table.weights.values.is_some() {
            let what = "with weights only 1 is (rows of a leaf are not counted where they have weights)";
            return Err(Error::parameter("min_samples_leaf", self.min_samples_leaf, what));
        }
        let min_gain = if self.min_impurity_decrease == 0.0 {
            f64::NEG_INFINITY
        } else {
            self.min_impurity_decrease * table.weights.total as f64
        };
        Ok(Limits {
            max_depth: self.max_depth.unwrap_or(usize::MAX),
            max_leaves: self.max_leaves.unwrap_or(usize::MAX),
            min_samples_split: self.min_samples_split,
            min_weight: self.min_samples_leaf as u64,
            min_gain,
        })
    }
}
