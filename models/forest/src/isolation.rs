//! Isolation forests: rows that random splits set apart after a few steps are unusual.

use crate::forest::mean;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use tilewise_base::{Context, Error, Fit, FitReport, Result, Unseen};
use tilewise_kernels::random::Philox;
use tilewise_kernels::{exp, log, parallel, same};
use tilewise_tree::{Feature, Input, MOST_CATEGORIES, Tree, categories};

mod grow;
mod pipeline;

pub use pipeline::IsolationModel;

/// An isolation forest (Liu, Ting, Zhou, "Isolation forest", *IEEE International Conference on Data Mining*, 2008): finds unusual
/// rows without being told any. It works on values as they are, not on bins.
///
/// ```
/// use tilewise_base::Context;
/// use tilewise_forest::IsolationForest;
/// use tilewise_tree::Feature;
/// let mut x: Vec<f64> = (0..200).map(|i| f64::from(i % 20)).collect();
/// x[7] = 90.0;
/// let fit = IsolationForest::default().fit(&[Feature::Numeric(&x)], None, &Context::default())?;
/// assert!(fit.model.score(&[90.0]) > 0.7 && fit.model.score(&[10.0]) < 0.5);
/// # Ok::<(), tilewise_base::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IsolationForest {
    /// How many trees.
    pub trees: usize,
    /// Rows that each tree sees, drawn without repetition; all where there are no more.
    pub subsample: usize,
    /// The share of training rows that are to be called anomalies, above 0 and at most 0.5; `None` for scores alone.
    pub contamination: Option<f64>,
    /// What becomes of categories that training did not see. It does not change how trees grow. [`Isolation`] takes those that
    /// are to be refused as missing; models with named columns refuse them.
    #[serde(default)]
    pub unseen: Unseen,
}

impl Default for IsolationForest {
    fn default() -> Self {
        Self { trees: 100, subsample: 256, contamination: None, unseen: Unseen::Missing }
    }
}

/// A finished isolation forest.
#[derive(Clone, Debug, PartialEq)]
pub struct Isolation {
    pub(crate) trees: Vec<Tree>,
    pub(crate) sampled: u32,
    /// [`mean_path`] of these.
    path: f64,
    pub(crate) threshold: Option<f64>,
}

/// What a table is read as: cells as [`Tree::leaf`] takes them.
#[derive(Clone, Copy)]
pub(crate) struct Cells<'a> {
    pub(crate) rows: usize,
    /// The cell of a row and a column.
    pub(crate) cell: &'a (dyn Fn(usize, usize) -> f64 + Sync),
}

impl IsolationForest {
    /// Grows a forest on the rows of `features` that have a weight.
    ///
    /// The same forest, bit for bit, at any number of threads, if nobody stops it. A node is divided by a column drawn among those
    /// that differ in its rows, and a threshold drawn evenly between the least and the largest number there. Categories go to
    /// either side each by a draw of its own, again until both sides have some; so do missing values of a node, all together;
    /// where a column has one value or is missing, the split is between these. `unseen` says what becomes of a
    /// category that training did not see. Of more than 254 categories the rarest are one.
    ///
    /// Rows are drawn without repetition. A whole weight makes of a row as many, of which each may be drawn; where other weights
    /// are among them rows are drawn with repetition, more often the more they weigh.
    ///
    /// O(trees x subsample x depth), and O(rows) for weights and categories. Memory: the trees, and some bytes for each row that a
    /// tree sees; nothing is copied of the table.
    ///
    /// # Errors
    /// When there are no columns, lengths or parameters are not what is accepted, a weight is not a finite number of 0 or more,
    /// fewer than two rows have a weight, or it was stopped before the first tree. Where all weights are whole a row counts as so
    /// many rows as it weighs, else as one.
    pub fn fit(
        &self,
        features: &[Feature<'_>],
        weights: Option<&[f64]>,
        context: &Context<'_>,
    ) -> Result<Fit<Isolation>> {
        let length = |feature: &Feature<'_>| match feature {
            Feature::Numeric(values) => values.len(),
            Feature::Categorical { codes, .. } => codes.len(),
        };
        let rows = features.first().map_or(0, length);
        for feature in features {
            same("cells of a column", rows, length(feature))?;
        }
        let levels = |j: usize| match features[j] {
            Feature::Numeric(_) => None,
            Feature::Categorical { levels, .. } => Some(levels),
        };
        let cell = |row: usize, j: usize| match features[j] {
            Feature::Numeric(values) => values[row],
            Feature::Categorical { codes, levels } if (codes[row] as usize) < levels => codes[row].into(),
            Feature::Categorical { .. } => f64::NAN,
        };
        self.grow(features.len(), levels, Cells { rows, cell: &cell }, weights, context)
    }

    /// As [`IsolationForest::fit`]; `levels` tells how many categories a column has, if it is one of them.
    pub(crate) fn grow(
        &self,
        columns: usize,
        levels: impl Fn(usize) -> Option<usize> + Sync,
        cells: Cells<'_>,
        weights: Option<&[f64]>,
        context: &Context<'_>,
    ) -> Result<Fit<Isolation>> {
        const TREES: u64 = Philox::purpose("trees of an isolation forest");
        self.check()?;
        if columns == 0 {
            return Err(Error::Fit("there are no columns to learn from".into()));
        }
        let rows = Rows::new(cells.rows, weights)?;
        let inputs: Vec<Input> = parallel::map(columns, |j| {
            let Some(levels) = levels(j) else { return Input::Number };
            let mut counts = vec![0; levels];
            for &row in &rows.counted {
                let code = (cells.cell)(row as usize, j);
                if let Some(count) = counts.get_mut(code as usize).filter(|_| code >= 0.0) {
                    *count += 1;
                }
            }
            Input::Category(categories(&counts, MOST_CATEGORIES).0.into())
        });
        let inputs = Input::all_with(&inputs, self.unseen);
        let sampled = (self.subsample as u64).min(rows.count()) as u32;
        let keys = Philox::new(context.seed, TREES);
        let done = AtomicU64::new(0);
        let trees = parallel::map(self.trees, |number| {
            if context.cancelled() {
                return Ok(None);
            }
            let key = keys.bits(number as u64);
            let tree = grow::tree(&inputs, cells, rows.draw(key, sampled), key)?;
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            context.progress.round(done, self.trees as u64, &format!("{} leaves", tree.leaves()));
            Ok(Some(tree))
        });
        let trees: Vec<Tree> = trees.into_iter().filter_map(Result::transpose).collect::<Result<_>>()?;
        if trees.is_empty() {
            return Err(Error::Fit("stopped before the first tree had grown".into()));
        }
        let mut model = Isolation::new(trees, sampled, None);
        model.threshold = self.contamination.map(|share| rows.threshold(&model, columns, cells, share));
        let report = self.report(&model);
        Ok(Fit { model, report })
    }

    fn report(&self, model: &Isolation) -> FitReport {
        let count = model.trees.len();
        let mut warnings = Vec::new();
        if count < self.trees {
            warnings.push(format!("stopped after {count} of {} trees", self.trees));
        }
        if model.trees.iter().all(|tree| tree.leaves() == 1) {
            warnings.push("no column differs in the rows that were drawn: every score is 0.5".into());
        }
        FitReport {
            converged: count == self.trees,
            stopped: format!("{count} trees grown on {} rows each", model.sampled),
            warnings,
            // Nothing was minimised.
            objective: f64::NAN,
            optimality: f64::NAN,
            rounds: count as u64,
        }
    }

    /// Checks parameters that do not depend on data.
    ///
    /// # Errors
    /// Naming the first that is not accepted, and what would be.
    pub fn check(&self) -> Result<()> {
        if self.trees == 0 || self.trees >= 1 << 31 {
            return Err(Error::parameter("trees", self.trees, "a whole number above 0 is"));
        }
        if !(2..1 << 31).contains(&self.subsample) {
            return Err(Error::parameter("subsample", self.subsample, "a whole number of 2 or more is"));
        }
        match self.contamination {
            Some(share) if !(share > 0.0 && share <= 0.5) => {
                Err(Error::parameter("contamination", share, "a number above 0 and at most 0.5 is"))
            }
            _ => Ok(()),
        }
    }
}

impl Isolation {
    fn new(trees: Vec<Tree>, sampled: u32, threshold: Option<f64>) -> Self {
        Self { trees, sampled, path: mean_path(sampled.into()), threshold }
    }

    /// The trees, one at least. A leaf's value is the length of its path: the splits on the way, and [`mean_path`] of its rows.
    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// Rows that each tree saw.
    pub fn sampled(&self) -> usize {
        self.sampled as usize
    }

    /// The score from which on a row is called an anomaly, if a share of them was given: the least score of a training row such
    /// that training rows of this score or more are at most the share.
    pub fn threshold(&self) -> Option<f64> {
        self.threshold
    }

    /// How unusual a row of cells is, read as [`Tree::leaf`] says: 2^(-E / c), where E is the mean over trees of the length of its
    /// path and c is [`mean_path`] of the rows that a tree saw. Near 1 it is set apart at once, 0.5 is a row like any other; where
    /// no tree divides anything it is 0.5. The same bits on every instruction set. O(trees x depth).
    ///
    /// # Panics
    /// When the row has fewer cells than there are columns.
    pub fn score(&self, row: &[f64]) -> f64 {
        let mut path = [0.0];
        mean(&self.trees, &mut path, |tree| Some(tree.leaf(row)));
        let mut score = [0.0];
        let power = -path[0] / self.path * std::f64::consts::LN_2;
        // Both slices have one number.
        let _ = exp(&[power], &mut score);
        score[0]
    }
}

/// The mean length of a path in trees that divide `rows` rows until each is alone: of an unsuccessful search in a random binary
/// search tree, 2 H(n - 1) - 2 (n - 1) / n with the harmonic numbers H (Preiss 1999, as in the paper, which takes ln n + 0.5772
/// for H). 0 for no row and one.
pub fn mean_path(rows: u64) -> f64 {
    /// From here on the series of H, whose first term left out is 1 / (120 n^4): below 1e-14.
    const SERIES: u64 = 1000;
    const EULER: f64 = 0.577_215_664_901_532_9;
    if rows < 2 {
        return 0.0;
    }
    let last = rows - 1;
    let n = last as f64;
    let harmonic = if last < SERIES {
        // Small terms first.
        (1..=last).rev().map(|i| 1.0 / i as f64).sum()
    } else {
        let mut ln = [0.0];
        // The kernel's, which has the same bits everywhere. Both slices have one number.
        let _ = log(&[n], &mut ln);
        ln[0] + EULER + 1.0 / (2.0 * n) - 1.0 / (12.0 * n * n)
    };
    2.0 * harmonic - 2.0 * n / rows as f64
}

/// The rows that can be drawn.
struct Rows {
    counted: Vec<u32>,
    /// The sum of weights up to each of them; empty where all weights are 1.
    ends: Vec<f64>,
    total: f64,
    /// Whether each is so many rows.
    whole: bool,
}

impl Rows {
    fn new(rows: usize, weights: Option<&[f64]>) -> Result<Self> {
        if rows >= 1 << 31 {
            return Err(Error::Fit(format!("{rows} rows are too many: a forest takes up to 2^31 - 1")));
        }
        let weight = |row: u32| weights.map_or(1.0, |weights| weights[row as usize]);
        if let Some(weights) = weights {
            same("weights", rows, weights.len())?;
            if let Some(row) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
                let what = format!("{} is not a finite number of 0 or more", weights[row]);
                return Err(Error::cell(row, "weight", what));
            }
        }
        let counted: Vec<u32> = (0..rows as u32).filter(|&row| weight(row) > 0.0).collect();
        let mut total = 0.0;
        let ends: Vec<f64> = counted
            .iter()
            .map(|&row| {
                total += weight(row);
                total
            })
            .collect();
        // Sums of whole numbers are exact up to here.
        let whole = total < (1_u64 << 53) as f64 && counted.iter().all(|&row| weight(row).fract() == 0.0);
        if !total.is_finite() {
            return Err(Error::Fit("the sum of the weights is not finite".into()));
        }
        if total < 2.0 && whole || counted.len() < 2 && !whole {
            return Err(Error::Fit("there are fewer than two rows with a weight to learn from".into()));
        }
        let ends = if whole && total == counted.len() as f64 { Vec::new() } else { ends };
        Ok(Self { counted, ends, total, whole })
    }

    /// How many they are.
    fn count(&self) -> u64 {
        if self.whole { self.total as u64 } else { self.counted.len() as u64 }
    }

    /// `count` rows for the tree of this key, in their order.
    fn draw(&self, key: u64, count: u32) -> Vec<u32> {
        const ROWS: u64 = Philox::purpose("rows of an isolation tree");
        let random = Philox::new(key, ROWS);
        let at = |place: f64| {
            let last = self.counted.len() - 1;
            let index = match self.ends.is_empty() {
                true => place as usize,
                false => self.ends.partition_point(|end| *end <= place),
            };
            self.counted[index.min(last)]
        };
        let mut rows: Vec<u32> = if self.whole {
            // Places among all, no two the same: R. Floyd's way (Bentley, "Programming pearls", 1987).
            let total = self.total as u64;
            let mut taken = HashSet::with_capacity(count as usize);
            let places = (total - u64::from(count)..total).map(|last| {
                let place = random.below(last, last + 1);
                let place = if taken.insert(place) { place } else { last };
                taken.insert(place);
                place
            });
            places.map(|place| at(place as f64)).collect()
        } else {
            (0..count).map(|draw| at(random.uniform(draw.into()) * self.total)).collect()
        };
        rows.sort_unstable();
        rows
    }

    /// See [`Isolation::threshold`].
    fn threshold(&self, model: &Isolation, columns: usize, cells: Cells<'_>, share: f64) -> f64 {
        const ROWS: usize = 512;
        let mut scores = vec![0.0; self.counted.len()];
        parallel::for_each_chunk_mut(&mut scores, ROWS, |chunk, scores| {
            let mut row = vec![0.0; columns];
            for (score, &at) in scores.iter_mut().zip(&self.counted[chunk * ROWS..]) {
                row.iter_mut().enumerate().for_each(|(j, cell)| *cell = (cells.cell)(at as usize, j));
                *score = model.score(&row);
            }
        });
        let end = |i: usize| self.ends.get(i).copied().unwrap_or(i as f64 + 1.0);
        let weight = |i: usize| end(i) - if i == 0 { 0.0 } else { end(i - 1) };
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        let most = share * self.total;
        // Above every score, if the largest is that of too many rows.
        let mut threshold = scores[order[0]].next_up();
        let mut sum = 0.0;
        for equal in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
            sum += equal.iter().map(|&i| weight(i)).sum::<f64>();
            if sum > most {
                break;
            }
            threshold = scores[equal[0]];
        }
        threshold
    }
}

#[cfg(test)]
mod tests;
