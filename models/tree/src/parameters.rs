//! What a decision tree is fitted with.

use crate::columns::Columns;
use crate::constraints::Constraints;
use crate::grow::{self, Growth, Limits, Splitter};
use crate::table::{BinnedTable, Binning};
use crate::target::{self, Absolute, ManyClasses, Numbers, Outputs, Target, TwoClasses};
use crate::tree::Tree;
use crate::weights::{MOST, Weights};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use tilewise_base::{Context, Error, Fit, FitReport, Result, Unseen};
use tilewise_kernels::parallel::Scheme;
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
    /// The distance from the median. Leaves predict the weighted median; where two numbers are one, the middle between them.
    ///
    /// No sum over rows: it needs them all in memory and has no oblivious growth. A node costs O(n log n) for each of its
    /// features where the others cost O(n).
    Absolute,
    /// Half of the Poisson deviance, y ln (y / mean) - y + mean, of numbers of 0 or more, such as counts.
    Poisson,
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Gini => "gini",
            Self::Entropy => "entropy",
            Self::Squared => "squared",
            Self::Absolute => "absolute",
            Self::Poisson => "poisson",
        })
    }
}

/// How much classes count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeights {
    /// As much as their rows.
    #[default]
    Rows,
    /// All the same: the weight of a row is multiplied by W / (k W_c), with W the weight of all rows of the table, W_c that of
    /// the row's class, and k classes that have rows.
    Balanced,
}

/// How many features each node looks at of those that it may use, drawn for it at random; more where none of them has a split.
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
    /// How the work is divided: by features and nodes, or by rows. The tree is the same.
    pub scheme: Scheme,
}

impl Draw<'_> {
    /// All rows, for one tree.
    fn all(context: &Context<'_>) -> Self {
        Self { key: context.seed, counts: None, scheme: context.scheme }
    }
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
        if total == 0 || total > MOST {
            return Err(Error::Fit(format!("{total} rows were drawn for a tree; 1 to {MOST} can be")));
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

impl Drawn<'_> {
    /// Lets all classes count the same. Every row that counts has a class.
    fn balance(&mut self, table: &BinnedTable, y: &[u32], classes: usize) {
        let mut of_classes = vec![0.0; classes];
        for &row in table.counted() {
            // Of a row that this tree does not see the class may be any.
            if let Some(of_class) = of_classes.get_mut(y[row as usize] as usize) {
                *of_class += f64::from(table.weights.get(row as usize));
            }
        }
        let all: f64 = of_classes.iter().sum();
        let present = of_classes.iter().filter(|weight| **weight > 0.0).count() as f64;
        // The factor has no unit: no product of weights can be too large or too small.
        let weight = |(row, &class): (usize, &u32)| match self.weights.get(row) {
            0 => 0.0,
            weight => f64::from(weight) * self.weights.unit * (all / (present * of_classes[class as usize])),
        };
        let weights: Vec<f64> = y.iter().enumerate().map(weight).collect();
        self.weights = Cow::Owned(Weights::new(weights.len(), Some(&weights)));
        let weights = &self.weights;
        // A weight may have been rounded to nothing.
        if self.rows.iter().any(|&row| weights.get(row as usize) == 0) {
            let counts = |row: &u32| weights.get(*row as usize) > 0;
            self.rows = Cow::Owned(self.rows.iter().copied().filter(counts).collect());
        }
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
    /// Rows of a leaf at least: rows that have a weight, whatever it is, or (unless classes are balanced) as often as they were
    /// drawn.
    pub min_samples_leaf: usize,
    /// Rows of a node that is divided at least.
    pub min_samples_split: usize,
    /// The share of the weight of all rows that a leaf has at least, from 0 to a half; class weights count.
    #[serde(default)]
    pub min_weight_fraction_leaf: f64,
    /// What a split must gain more than, per unit of the weight of all rows; 0 allows splits that gain nothing, as other
    /// libraries do, since what comes below them may.
    pub min_impurity_decrease: f64,
    /// Features that each node looks at, of those that its level may use.
    #[serde(default)]
    pub max_features: MaxFeatures,
    /// The share of features that the tree may use, drawn for it: rounded down, 1 at least.
    #[serde(default = "whole")]
    pub columns_by_tree: f64,
    /// The share of these that each level may use, drawn for it in the same way. A node that finds no split with them is not divided
    /// (other than with `max_features`, where more are looked at).
    #[serde(default = "whole")]
    pub columns_by_level: f64,
    /// How the split of a feature is chosen.
    #[serde(default)]
    pub splitter: Splitter,
    /// Which node is divided next where leaves are limited.
    #[serde(default)]
    pub growth: Growth,
    /// For each feature 1 where predictions must not fall as it grows, -1 where they must not rise, else 0; empty for none.
    /// Predictions are numbers, or the share of the second of two classes.
    #[serde(default)]
    pub monotone: Vec<i8>,
    /// Groups of features: all features of a path are in one of them. A feature of no group stands alone. Empty for none.
    #[serde(default)]
    pub interactions: Vec<Vec<u32>>,
    /// How much classes count.
    #[serde(default)]
    pub class_weights: ClassWeights,
    /// The price of a leaf by which the grown tree is pruned ([`Tree::pruned`]), per unit of the weight of all rows; 0 for no
    /// pruning, not of splits that gain nothing either.
    #[serde(default)]
    pub ccp_alpha: f64,
    /// What becomes of categories that training did not see. It does not change how the tree grows. A [`Tree`] takes those that
    /// are to be refused as missing; models with named columns refuse them.
    #[serde(default)]
    pub unseen: Unseen,
}

/// The share that is all.
fn whole() -> f64 {
    1.0
}

impl Default for DecisionTree {
    fn default() -> Self {
        Self {
            criterion: Criterion::Auto,
            max_depth: None,
            max_leaves: None,
            min_samples_leaf: 1,
            min_samples_split: 2,
            min_weight_fraction_leaf: 0.0,
            min_impurity_decrease: 0.0,
            max_features: MaxFeatures::All,
            columns_by_tree: 1.0,
            columns_by_level: 1.0,
            splitter: Splitter::Best,
            growth: Growth::LeafWise,
            monotone: Vec::new(),
            interactions: Vec::new(),
            class_weights: ClassWeights::Rows,
            ccp_alpha: 0.0,
            unseen: Unseen::Missing,
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
        Ok(told(self.grow_classes(table, y, classes, &Draw::all(context))?, context))
    }

    /// As [`DecisionTree::fit_classes`], for numbers. Sums are of multiples of a power of two: with W rows (or units of
    /// weight) a number is rounded to about 2^-62 W of the range of all.
    ///
    /// # Errors
    /// As there, or when a number is not finite.
    pub fn fit_numbers(&self, table: &BinnedTable, y: &[f64], context: &Context<'_>) -> Result<Fit<Tree>> {
        Ok(told(self.grow_numbers(table, y, &Draw::all(context))?, context))
    }

    /// As [`DecisionTree::fit_numbers`], for several numbers per row, which one tree predicts together: `y` has a list for each,
    /// as long as the table has rows.
    ///
    /// A split gains the mean over outputs of what it takes off the squared error of each (so do `min_impurity_decrease` and
    /// `ccp_alpha` mean, as in scikit-learn). Every output is in its own units: what is counted in thousands decides, what
    /// is counted in thousandths hardly does. Where all are to count the same, divide each by its standard deviation first.
    /// Categories are put in the order of the sum of their means (outputs that fall as the one of the widest range rises count
    /// negative), and each may stand against all others. O(rows x columns x outputs x depth).
    ///
    /// ```
    /// use tilewise_base::Context;
    /// use tilewise_kernels::MatRef;
    /// use tilewise_tree::{BinnedTable, DecisionTree};
    /// let table = BinnedTable::of_matrix(MatRef::new(&[0.0, 1.0, 2.0, 3.0], 4, 1)?, None, 255, 0)?;
    /// let (price, weight) = ([5.0, 5.0, 7.0, 7.0], [0.1, 0.3, 0.3, 0.3]);
    /// let tree = DecisionTree::default().fit_outputs(&table, &[price, weight], &Context::default())?.model;
    /// let mut out = [0.0; 2];
    /// tree.predict_row(&[1.0], &mut out);
    /// assert_eq!((tree.outputs(), out[0]), (2, 5.0));
    /// # Ok::<(), tilewise_base::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there (a cell is named by `target 1`, `target 2` ...), when there is no output, or, where there is more than one, when the
    /// criterion is not squared or there are monotone constraints.
    pub fn fit_outputs<Y: AsRef<[f64]>>(
        &self,
        table: &BinnedTable,
        y: &[Y],
        context: &Context<'_>,
    ) -> Result<Fit<Tree>> {
        Ok(told(self.grow_outputs(table, y, &Draw::all(context))?, context))
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
        let mut drawn = Drawn::new(table, draw)?;
        target::check_classes(y, classes, &drawn.weights)?;
        if self.class_weights == ClassWeights::Balanced {
            drawn.balance(table, y, classes);
        }
        self.check_classes(classes)?;
        if classes == 2 {
            return self.grow(table, &TwoClasses::new(y, &drawn.weights, self.criterion)?, draw, &drawn);
        }
        self.grow(table, &ManyClasses::new(y, classes, &drawn.weights, self.criterion)?, draw, &drawn)
    }

    /// One of many trees for numbers.
    ///
    /// # Errors
    /// As [`DecisionTree::fit_numbers`] and [`DecisionTree::grow_classes`].
    pub fn grow_numbers(&self, table: &BinnedTable, y: &[f64], draw: &Draw<'_>) -> Result<Tree> {
        target::check(table.rows(), y.len())?;
        self.check_numbers(1)?;
        let drawn = Drawn::new(table, draw)?;
        if self.criterion == Criterion::Absolute {
            return self.grow(table, &Absolute::new(y, &drawn.weights)?, draw, &drawn);
        }
        self.grow(table, &Numbers::new(y, &drawn.weights, self.criterion)?, draw, &drawn)
    }

    /// One of many trees for several numbers.
    ///
    /// # Errors
    /// As [`DecisionTree::fit_outputs`] and [`DecisionTree::grow_classes`].
    pub fn grow_outputs<Y: AsRef<[f64]>>(
        &self,
        table: &BinnedTable,
        y: &[Y],
        draw: &Draw<'_>,
    ) -> Result<Tree> {
        if let [y] = y {
            return self.grow_numbers(table, y.as_ref(), draw);
        }
        y.iter().try_for_each(|y| target::check(table.rows(), y.as_ref().len()))?;
        self.check_numbers(y.len())?;
        let drawn = Drawn::new(table, draw)?;
        self.grow(table, &Outputs::new(y, &drawn.weights, self.criterion)?, draw, &drawn)
    }

    fn grow<T: Target>(
        &self,
        table: &BinnedTable,
        target: &T,
        draw: &Draw<'_>,
        drawn: &Drawn<'_>,
    ) -> Result<Tree> {
        self.check()?;
        let constraints = self.constraints(table)?;
        // Without weights, or where rows were drawn, weights count rows.
        let counted = (draw.counts.is_some() || table.weights.values.is_none())
            && self.class_weights == ClassWeights::Rows;
        let limits = self.limits(drawn.weights.total, table.features(), counted, constraints, drawn.key);
        let nodes = grow::grow(table, target, &limits, draw.scheme, &drawn.rows, drawn.key)?;
        Ok(self.pruned(Tree::new(table, self.unseen, drawn.weights.unit, target, &nodes)))
    }

    /// The tree of a grown one.
    pub(crate) fn pruned(&self, grown: Tree) -> Tree {
        if self.ccp_alpha > 0.0 { grown.pruned(self.ccp_alpha) } else { grown }
    }

    /// Refuses parameters that are not for so many classes.
    pub(crate) fn check_classes(&self, classes: usize) -> Result<()> {
        if self.monotone.iter().any(|&sign| sign != 0) && classes != 2 {
            let what = "for numbers and two classes alone constraints are";
            return Err(Error::parameter("monotone", format!("a constraint with {classes} classes"), what));
        }
        Ok(())
    }

    /// Refuses parameters that are not for so many numbers.
    pub(crate) fn check_numbers(&self, outputs: usize) -> Result<()> {
        if self.class_weights == ClassWeights::Balanced {
            return Err(Error::parameter("class_weight", "balanced", "for numbers only none is"));
        }
        if outputs == 0 {
            return Err(Error::Fit("there are no numbers to learn".into()));
        }
        if self.monotone.iter().any(|&sign| sign != 0) && outputs > 1 {
            let what = "for one number and two classes alone constraints are";
            return Err(Error::parameter("monotone", format!("a constraint with {outputs} numbers"), what));
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
        if !(0.0..=0.5).contains(&self.min_weight_fraction_leaf) {
            return refuse(
                "min_weight_fraction_leaf",
                &self.min_weight_fraction_leaf,
                "a share from 0 to 0.5",
            );
        }
        if !(self.min_impurity_decrease >= 0.0 && self.min_impurity_decrease.is_finite()) {
            return refuse("min_impurity_decrease", &self.min_impurity_decrease, "a number of 0 or more");
        }
        if self.criterion == Criterion::Absolute && self.growth == Growth::Oblivious {
            let what =
                "with criterion absolute leaf-wise and depth-wise are (levels are searched on sums alone)";
            return Err(Error::parameter("growth", "oblivious", what));
        }
        if let Some(sign) = self.monotone.iter().find(|sign| !(-1..=1).contains(*sign)) {
            return refuse("monotone", sign, "1, -1 or 0 for each feature");
        }
        if !(self.ccp_alpha >= 0.0 && self.ccp_alpha.is_finite()) {
            return refuse("ccp_alpha", &self.ccp_alpha, "a number of 0 or more");
        }
        for (name, share) in
            [("columns_by_tree", self.columns_by_tree), ("columns_by_level", self.columns_by_level)]
        {
            if !(share > 0.0 && share <= 1.0) {
                return refuse(name, &share, "a share above 0 and at most 1");
            }
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

    /// The constraints, if they fit the table.
    pub(crate) fn constraints(&self, table: &BinnedTable) -> Result<Constraints> {
        let (features, monotone) = (table.features(), self.monotone.clone());
        if !monotone.is_empty() {
            same("monotone constraints against features", features, monotone.len())?;
        }
        let categories = |&feature: &usize| {
            monotone[feature] != 0 && matches!(table.binnings[feature], Binning::Categorical { .. })
        };
        if let Some(feature) = (0..monotone.len()).find(categories) {
            let what = "a number is: categories have no order";
            return Err(Error::parameter("monotone", format!("feature {feature}"), what));
        }
        let mut groups = self.interactions.clone();
        if let Some(&feature) = groups.iter().flatten().find(|feature| **feature as usize >= features) {
            let what = format!("features below {features} are");
            return Err(Error::parameter("interactions", feature, what));
        }
        if !groups.is_empty() {
            let alone = |feature: &u32| groups.iter().all(|group| !group.contains(feature));
            let alone: Vec<u32> = (0..features as u32).filter(alone).collect();
            groups.extend(alone.into_iter().map(|feature| vec![feature]));
        }
        // Signs that are all 0 ask for nothing.
        let monotone = if monotone.iter().any(|&sign| sign != 0) { monotone } else { Vec::new() };
        Ok(Constraints { monotone, groups })
    }

    pub(crate) fn limits(
        &self,
        total: u64,
        features: usize,
        counted: bool,
        constraints: Constraints,
        key: u64,
    ) -> Limits {
        let columns = Columns::new(self.columns_by_tree, self.columns_by_level, features, key);
        let min_gain = if self.min_impurity_decrease == 0.0 {
            f64::NEG_INFINITY
        } else {
            self.min_impurity_decrease * total as f64
        };
        let share = (self.min_weight_fraction_leaf * total as f64).ceil() as u64;
        Limits {
            max_depth: self.max_depth.unwrap_or(usize::MAX),
            max_leaves: self.max_leaves.unwrap_or(usize::MAX),
            min_samples_split: self.min_samples_split,
            min_weight: share.max(if counted { self.min_samples_leaf as u64 } else { 1 }),
            min_rows: if counted { 1 } else { self.min_samples_leaf },
            min_gain,
            features: self.max_features.of(columns.count(features)),
            splitter: self.splitter,
            growth: self.growth,
            constraints,
            columns,
        }
    }
}

/// The report of a tree that grew.
fn told(model: Tree, context: &Context<'_>) -> Fit<Tree> {
    context.progress.round(1, 1, &format!("{} leaves", model.leaves()));
    let report = report(&model);
    Fit { model, report }
}

pub(crate) fn report(model: &Tree) -> FitReport {
    FitReport {
        converged: true,
        stopped: format!("grown to {} leaves, depth {}", model.leaves(), model.depth()),
        // It has no objective that more rounds would make smaller.
        objective: f64::NAN,
        optimality: f64::NAN,
        rounds: 1,
        ..FitReport::default()
    }
}
