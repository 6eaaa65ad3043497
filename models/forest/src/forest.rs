//! A finished forest.

use crate::OutOfBag;
use crate::continued::Origin;
use crate::quantiles::Answers;
use tilewise_base::metric::check_quantiles;
use tilewise_base::{Error, Result};
use tilewise_kernels::same;
use tilewise_tree::Tree;

/// Trees that predict together.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    pub(crate) trees: Vec<Tree>,
    /// Which of the trees that were asked for they are, ascending: all, but where it was stopped.
    pub(crate) numbers: Vec<u32>,
    /// What they were grown from.
    pub(crate) origin: Origin,
    /// What leaves have seen, if quantiles were asked for.
    pub(crate) answers: Option<Answers>,
    pub(crate) out_of_bag: Option<OutOfBag>,
}

impl Forest {
    /// The trees, one at least.
    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// Numbers that it predicts for a row.
    pub fn outputs(&self) -> usize {
        self.trees.first().map_or(0, Tree::outputs)
    }

    /// How it did on rows that a tree had not seen, if that was asked for.
    pub fn out_of_bag(&self) -> Option<&OutOfBag> {
        self.out_of_bag.as_ref()
    }

    /// Leaves of all trees.
    pub fn leaves(&self) -> usize {
        self.trees.iter().map(Tree::leaves).sum()
    }

    /// The mean of what the trees predict for a row of cells, read as [`Tree::leaf`] says, without allocating: shares of
    /// classes, or a number. O(trees x depth). This is the definition; [`Compiled::mean`](tilewise_tree::Compiled::mean) gives the
    /// same bits, sooner.
    ///
    /// # Panics
    /// When the row has fewer cells than the trees have inputs, or `out` is not as long as there are outputs.
    pub fn predict_row(&self, row: &[f64], out: &mut [f64]) {
        mean(&self.trees, out, |tree| Some(tree.leaf(row)));
    }

    /// Quantiles of the answers that are to be expected for a row of cells, whichever are asked for: ascending numbers from 0 to 1.
    /// They are those of the training answers, each weighted by the mean over trees of its share of the leaf that the row comes to;
    /// `metric::weighted_quantiles` of `tilewise-base` says what a quantile is. O(trees x depth + m log m) where leaves hold m rows
    /// in all, or O(rows + m) where that is less.
    ///
    /// # Errors
    /// When [`RandomForest::quantiles`](crate::RandomForest::quantiles) was empty, so that no answers were kept, or the quantiles or
    /// the length of `out` do not fit.
    ///
    /// # Panics
    /// When the row has fewer cells than the trees have inputs.
    pub fn quantiles(&self, row: &[f64], quantiles: &[f64], out: &mut [f64]) -> Result<()> {
        check_quantiles(quantiles)?;
        same("numbers of out", quantiles.len(), out.len())?;
        let Some(answers) = &self.answers else {
            return Err(Error::Fit("the forest keeps no answers: it was fitted without quantiles".into()));
        };
        answers.predict(&self.trees, row, quantiles, out);
        Ok(())
    }

    /// The share of each input in all that splits gained, the mean over trees (Breiman 2001, section 10 speaks of another
    /// measure; this one is from *Classification and Regression Trees*, section 5.3.4).
    pub fn importances(&self) -> Vec<f64> {
        let mut sums: Vec<f64> = Vec::new();
        for tree in &self.trees {
            let importances = tree.importances();
            sums.resize(importances.len(), 0.0);
            sums.iter_mut().zip(importances).for_each(|(sum, x)| *sum += x);
        }
        let all: f64 = sums.iter().sum();
        if all > 0.0 {
            sums.iter_mut().for_each(|sum| *sum /= all);
        }
        sums
    }
}

/// The mean of the leaves of those trees that have one, in the order of the trees; how many have.
pub(crate) fn mean(trees: &[Tree], out: &mut [f64], leaf: impl Fn(&Tree) -> Option<usize>) -> usize {
    out.fill(0.0);
    let mut count = 0;
    for tree in trees {
        if let Some(leaf) = leaf(tree) {
            let value = tree.numbers(leaf);
            assert!(value.len() == out.len(), "as many numbers as the forest has outputs");
            out.iter_mut().zip(value).for_each(|(out, x)| *out += x);
            count += 1;
        }
    }
    out.iter_mut().for_each(|out| *out /= count as f64);
    count
}
