//! What the leaves of a forest have seen: the answers of their training rows, from which quantiles are read.

use crate::out_of_bag::Bootstrap;
use tilewise_base::metric::weighted_quantiles;
use tilewise_base::model_file::Writer;
use tilewise_base::{Error, ModelFile, Result};
use tilewise_kernels::parallel;
use tilewise_tree::{BinnedTable, Tree};

/// The training rows of every leaf (Meinshausen, "Quantile regression forests", 2006). Rows are numbered by their answers,
/// ascending: 4 bytes for each tree and row that it drew, and 8 for each answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answers {
    /// Ascending.
    y: Vec<f64>,
    /// What each row counts where it is named; `None` where all count 1.
    weights: Option<Vec<f64>>,
    leaves: Vec<Leaves>,
}

/// The rows of one tree, named as often as they were drawn.
#[derive(Clone, Debug, PartialEq)]
struct Leaves {
    /// Where the rows of each node begin, and the end; nodes that are no leaves have none.
    starts: Vec<u32>,
    /// Ascending in each leaf.
    rows: Vec<u32>,
}

impl Leaves {
    fn of(&self, node: usize) -> &[u32] {
        &self.rows[self.starts[node] as usize..self.starts[node + 1] as usize]
    }

    /// From the rows in each leaf, in the order of nodes.
    fn starts(tree: &Tree, mut sizes: impl Iterator<Item = u32>) -> Option<Vec<u32>> {
        let mut starts = vec![0_u32];
        let mut sum = 0_u32;
        for node in tree.nodes() {
            if node.test.is_none() {
                sum = sum.checked_add(sizes.next()?)?;
            }
            starts.push(sum);
        }
        Some(starts)
    }
}

/// A row is looked up among all answers where the leaves name one for every so many of these, else among those named. On
/// either way each row's weight is the same sum.
const FEW: usize = 8;

impl Answers {
    /// Sorts the training rows into the leaves of `trees`, which are the trees of these `numbers`.
    pub(crate) fn new(
        table: &BinnedTable,
        y: &[f64],
        bootstrap: Option<&Bootstrap<'_>>,
        trees: &[Tree],
        numbers: &[u32],
    ) -> Result<Self> {
        let mut order = table.counted().to_vec();
        order.sort_by(|&a, &b| y[a as usize].total_cmp(&y[b as usize]).then(a.cmp(&b)));
        let leaves = parallel::map(trees.len(), |i| {
            let counts = bootstrap.map(|bootstrap| bootstrap.counts(numbers[i] as usize));
            let count = |row: u32| counts.as_ref().map_or(1, |counts| counts[row as usize]);
            let leaf = |row: u32| trees[i].leaf_of(table, row as usize);
            let mut starts = vec![0_u32; trees[i].len() + 1];
            for &row in &order {
                let count = count(row);
                if count > 0 {
                    let end = &mut starts[leaf(row) + 1];
                    *end = end.checked_add(count)?;
                }
            }
            let mut sum = 0_u32;
            for start in &mut starts {
                sum = sum.checked_add(*start)?;
                *start = sum;
            }
            let mut rows = vec![0; sum as usize];
            let mut next = starts.clone();
            for (number, &row) in (0..).zip(&order) {
                let count = count(row);
                if count > 0 {
                    let start = &mut next[leaf(row)];
                    rows[*start as usize..][..count as usize].fill(number);
                    *start += count;
                }
            }
            Some(Leaves { starts, rows })
        });
        let leaves: Option<Vec<Leaves>> = leaves.into_iter().collect();
        let leaves =
            leaves.ok_or_else(|| Error::Fit("a tree has more than 2^32 - 1 rows in its leaves".into()))?;
        // What is drawn is drawn by weight already.
        let weigh = |row: &u32| table.weight(*row as usize);
        let weights = (bootstrap.is_none() && order.iter().any(|row| weigh(row) != 1.0))
            .then(|| order.iter().map(weigh).collect());
        Ok(Self { y: order.iter().map(|&row| y[row as usize]).collect(), weights, leaves })
    }

    /// The quantiles of all answers, each of which has the mean over trees of its share of the leaf that the row comes to
    /// (0 where it is not there).
    pub(crate) fn predict(&self, trees: &[Tree], row: &[f64], quantiles: &[f64], out: &mut [f64]) {
        let weigh = |row: u32| self.weights.as_ref().map_or(1.0, |weights| weights[row as usize]);
        let leaves: Vec<&[u32]> =
            trees.iter().zip(&self.leaves).map(|(tree, leaves)| leaves.of(tree.leaf(row))).collect();
        let named: usize = leaves.iter().map(|rows| rows.len()).sum();
        // Every row that a leaf names, with its share of that leaf, leaf after leaf.
        let shares = leaves.into_iter().flat_map(|rows| {
            let all: f64 = rows.iter().map(|&row| weigh(row)).sum();
            rows.iter().map(move |&row| (row as usize, weigh(row) / all))
        });
        if named < self.y.len() / FEW {
            let mut few: Vec<(usize, f64)> = shares.collect();
            // Stable, so that the shares of a row are added in the same order as below.
            few.sort_by_key(|(row, _)| *row);
            few.dedup_by(|next, kept| {
                let same = next.0 == kept.0;
                if same {
                    kept.1 += next.1;
                }
                same
            });
            weighted_quantiles(few.iter().map(|&(row, share)| (self.y[row], share)), quantiles, out);
        } else {
            let mut all = vec![0.0; self.y.len()];
            shares.for_each(|(row, share)| all[row] += share);
            weighted_quantiles(self.y.iter().copied().zip(all.iter().copied()), quantiles, out);
        }
    }

    /// Rows that one leaf of every tree names together, at the mean.
    pub(crate) fn rows_named(&self) -> usize {
        let of_leaf = |leaves: &Leaves| leaves.rows.len() / leaves.starts.len().div_ceil(2).max(1);
        self.leaves.iter().map(of_leaf).sum()
    }

    /// As tensors: sorted answers, the rows of each leaf, and how many these are.
    pub(crate) fn write(&self, trees: &[Tree], writer: Writer) -> Result<Writer> {
        let (mut sizes, mut rows) = (Vec::new(), Vec::new());
        for (tree, leaves) in trees.iter().zip(&self.leaves) {
            let of_leaf = tree.nodes().enumerate().filter(|(_, node)| node.test.is_none());
            sizes.extend(of_leaf.map(|(at, _)| leaves.of(at).len() as u32));
            rows.extend_from_slice(&leaves.rows);
        }
        let writer = writer
            .tensor_f64("answers", &[self.y.len()], &self.y)
            .tensor_u32("leaf_sizes", &[sizes.len()], &sizes)
            .tensor_u32("leaf_rows", &[rows.len()], &rows);
        Ok(match &self.weights {
            Some(weights) => writer.tensor_f64("answer_weights", &[weights.len()], weights),
            None => writer,
        })
    }

    /// The inverse of [`Answers::write`].
    pub(crate) fn read(file: &ModelFile<'_>, trees: &[Tree]) -> Result<Self> {
        let length = |name: &str| Ok::<_, Error>(file.shape(name)?.first().copied().unwrap_or(0));
        let count = length("answers")?;
        let y = file.tensor_f64("answers", &[count])?;
        let is_sorted = y.is_sorted_by(|a, b| a.total_cmp(b).is_le());
        if !is_sorted || y.iter().any(|y| !y.is_finite()) {
            return Err(file.error("its answers are not finite numbers in their order"));
        }
        let weights = match file.tensors().any(|name| name == "answer_weights") {
            true => Some(file.tensor_f64("answer_weights", &[count])?),
            false => None,
        };
        if weights.iter().flatten().any(|weight| !(weight.is_finite() && *weight > 0.0)) {
            return Err(file.error("a weight of an answer is not a number above 0"));
        }
        let sizes = file.tensor_u32("leaf_sizes", &[trees.iter().map(Tree::leaves).sum()])?;
        let rows = file.tensor_u32("leaf_rows", &[length("leaf_rows")?])?;
        let (mut sizes, mut left) = (sizes.into_iter(), &rows[..]);
        let mut next = |tree: &Tree| {
            let starts = Leaves::starts(tree, sizes.by_ref().take(tree.leaves()))?;
            let (rows, rest) = left.split_at_checked(*starts.last()? as usize)?;
            left = rest;
            let leaves = Leaves { starts, rows: rows.to_vec() };
            let fits = |at: usize| {
                let rows = leaves.of(at);
                !rows.is_empty() && rows.is_sorted() && rows.iter().all(|row| (*row as usize) < count)
            };
            let fit = tree.nodes().enumerate().all(|(at, node)| node.test.is_some() || fits(at));
            fit.then_some(leaves)
        };
        let leaves: Option<Vec<Leaves>> = trees.iter().map(&mut next).collect();
        match leaves {
            Some(leaves) if left.is_empty() => Ok(Self { y, weights, leaves }),
            _ => Err(file.error("the rows of its leaves do not fit its trees and answers")),
        }
    }
}

#[cfg(test)]
mod tests;
