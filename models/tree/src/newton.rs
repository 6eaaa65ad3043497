//! A tree of boosting: grown on the derivatives of a loss, with the rows of its leaves.

use crate::grow;
use crate::parameters::DecisionTree;
use crate::table::BinnedTable;
use crate::target;
use crate::tree::Tree;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tilewise_base::{Error, Result};
use tilewise_kernels::parallel::Scheme;
use tilewise_kernels::same;
use tilewise_kernels::tree::Packed;

/// What large leaves and small sums cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Penalty {
    /// Added to sums of hessians; 0 or more.
    pub l2: f64,
    /// Taken off the size of sums of gradients; 0 or more.
    pub l1: f64,
    /// The least sum of hessians of a leaf.
    pub min_hessian: f64,
    /// Added to the sum of hessians of a category where categories are put in order by their mean gradient. Those of fewer rows of a node (by
    /// their share of its hessians) stay on the right of each split, with all that are missing from the node's order.
    pub category_smoothing: f64,
}

impl Default for Penalty {
    fn default() -> Self {
        Self { l2: 1.0, l1: 0.0, min_hessian: 1e-3, category_smoothing: 10.0 }
    }
}

impl Penalty {
    /// What is left of a sum of gradients when `l1` is taken off.
    pub fn cut(&self, gradient: f64) -> f64 {
        gradient.signum() * (gradient.abs() - self.l1).max(0.0)
    }

    /// Newton's step for these sums; 0 where hessians and `l2` are 0.
    pub fn step(&self, gradient: f64, hessian: f64) -> f64 {
        let below = hessian + self.l2;
        if below > 0.0 { -self.cut(gradient) / below } else { 0.0 }
    }
}

/// Derivatives of all rows of a table, in fixed point: sums of the gradients and of the hessians of any rows are below 2^31, and no
/// hessian of a row that is grown on is below 1.
#[derive(Clone, Copy, Debug)]
pub struct Gradients<'a> {
    /// One per row.
    pub values: &'a [Packed],
    /// What a gradient of 1 stands for.
    pub gradient_unit: f64,
    /// What a hessian of 1 stands for.
    pub hessian_unit: f64,
    /// The largest hessian of a row.
    pub most_hessian: u64,
}

/// A tree and the rows that it was grown on, those of its first leaf first (leaves from left to right).
#[derive(Clone, Debug)]
pub struct Parted {
    /// The tree. A leaf predicts Newton's step on the sums of fixed-point derivatives, and weighs the sum of its hessians.
    pub tree: Tree,
    /// The rows.
    pub rows: Vec<u32>,
}

impl Parted {
    /// The places in `rows` of each leaf, from left to right.
    pub fn leaves(&self) -> Vec<Range<usize>> {
        let mut end = 0;
        let leaves = self.tree.nodes().filter(|node| node.test.is_none());
        leaves
            .map(|node| {
                end += node.rows as usize;
                end - node.rows as usize..end
            })
            .collect()
    }
}

impl DecisionTree {
    /// Grows one tree of boosting on these rows of the table. `min_impurity_decrease` is the gain that a split must exceed, which is
    /// G^2 / (H + l2) of both sides less that of the node, with sums G of gradients and H of hessians; criterion, weights of classes
    /// and pruning are not looked at. `key` is that of random numbers.
    ///
    /// # Errors
    /// When there are no rows, not as many derivatives as rows of the table, or a parameter is not accepted.
    pub fn grow_newton(
        &self,
        table: &BinnedTable,
        gradients: &Gradients<'_>,
        penalty: Penalty,
        rows: Vec<u32>,
        key: u64,
        scheme: Scheme,
    ) -> Result<Parted> {
        same("derivatives against rows", table.rows(), gradients.values.len())?;
        if rows.is_empty() {
            return Err(Error::Fit("there are no rows to grow a tree on".into()));
        }
        self.check()?;
        let mut limits = self.limits(0, table.features(), false, self.constraints(table)?, key);
        limits.min_gain = self.min_impurity_decrease;
        limits.min_weight = (penalty.min_hessian / gradients.hessian_unit).ceil().max(1.0) as u64;
        let target = target::Newton::new(gradients, penalty);
        let mut rows = rows;
        let nodes = grow::grow_on(table, &target, &limits, scheme, &mut rows, key)?;
        Ok(Parted { tree: Tree::new(table, self.unseen, 1.0, &target, &nodes), rows })
    }
}

impl Tree {
    /// The same tree with all that it predicts multiplied by a number.
    ///
    /// # Errors
    /// When a product is not finite, or the tree has several outputs.
    pub fn scaled(self, factor: f64) -> Result<Self> {
        same("outputs of the tree", 1, self.outputs())?;
        let numbers = (0..self.len()).flat_map(|node| self.numbers(node)).map(|x| factor * x).collect();
        let weights = self.nodes().map(|node| node.weight).collect();
        self.with_values(numbers, weights)
    }

    /// The same tree with other leaves: of each, from left to right, what it predicts and what it weighs. Nodes above predict the
    /// weighted mean of those below them.
    ///
    /// # Errors
    /// When there are not as many values as leaves, a number is not finite or a weight negative, or the tree has several outputs.
    pub fn with_leaves(self, values: &[f64], weights: &[f64]) -> Result<Self> {
        same("values of leaves", self.leaves(), values.len())?;
        same("weights of leaves", self.leaves(), weights.len())?;
        same("outputs of the tree", 1, self.outputs())?;
        let nodes = self.len();
        let (mut numbers, mut of_nodes) = (vec![0.0; nodes], vec![0.0; nodes]);
        let mut leaf = values.len();
        // Children stand behind their parents, and right ones behind left ones.
        for at in (0..nodes).rev() {
            let node = self.node(at);
            if node.test.is_none() {
                leaf -= 1;
                (numbers[at], of_nodes[at]) = (values[leaf], weights[leaf]);
                continue;
            }
            let (left, right) = (node.left as usize, node.right as usize);
            let weight = of_nodes[left] + of_nodes[right];
            let share = if weight > 0.0 { of_nodes[left] / weight } else { 0.5 };
            of_nodes[at] = weight;
            numbers[at] = share * numbers[left] + (1.0 - share) * numbers[right];
        }
        self.with_values(numbers, of_nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constraints::Constraints;
    use crate::grow::{Growth, Limits, Splitter};
    use crate::naive::tests::{Drawn, compare_with, limits, problem, table};
    use crate::{DecisionTree, oblivious};
    use proptest::prelude::*;
    use tilewise_kernels::parallel;

    /// Derivatives made of answers; some hessians are the least that there is.
    fn packed(numbers: &[f64]) -> Vec<Packed> {
        let hessian = |row: usize| [1, 8, 8, 3][row % 4];
        numbers.iter().enumerate().map(|(row, y)| Packed::new((y * 16.0) as i32, hessian(row))).collect()
    }

    fn gradients(values: &[Packed]) -> Gradients<'_> {
        Gradients { values, gradient_unit: 0.0625, hessian_unit: 0.125, most_hessian: 8 }
    }

    proptest! {
        /// As for other targets, with penalties; levels of an oblivious tree too.
        #[test]
        fn trees_of_boosting_are_those_of_the_naive_trainers(
            (columns, _, numbers, weights) in problem(),
            bins in prop::sample::select(vec![2, 5, 255]),
            (max_depth, max_leaves) in prop::sample::select(vec![(3, usize::MAX), (usize::MAX, 7), (usize::MAX, 2), (4, 6), (usize::MAX, usize::MAX)]),
            min_rows in prop::sample::select(vec![1, 1, 2, 5]),
            (l2, l1, smoothing) in prop::sample::select(vec![(0.0, 0.0, 0.0), (1.0, 0.0, 10.0), (0.5, 2.0, 1.0)]),
            min_hessian in prop::sample::select(vec![0.0, 1.0, 2.5]),
            min_gain in prop::sample::select(vec![0.0, 1.5]),
            features in 1_usize..4,
            random in prop::sample::select(vec![false, false, true]),
            growth in prop::sample::select(vec![Growth::LeafWise, Growth::DepthWise, Growth::Oblivious]),
            sign in prop::sample::select(vec![0_i8, 1, -1]),
            groups in prop::sample::select(vec![vec![], vec![vec![0, 1], vec![1, 2]], vec![vec![0], vec![1, 2]]]),
        ) {
            let table = table(&columns, weights.as_deref(), bins);
            let values = packed(&numbers);
            let penalty = Penalty { l2, l1, min_hessian, category_smoothing: smoothing };
            let gradients = gradients(&values);
            let target = target::Newton::new(&gradients, penalty);
            let of = |column: &Drawn| if let Drawn::Numbers(_) = column { sign } else { 0 };
            let monotone = if sign == 0 { Vec::new() } else { columns.iter().map(of).collect() };
            let limits = Limits {
                max_depth,
                max_leaves,
                min_rows,
                min_weight: (min_hessian / 0.125_f64).ceil().max(1.0) as u64,
                min_gain,
                features,
                splitter: if random { Splitter::Random } else { Splitter::Best },
                growth,
                constraints: Constraints { monotone, groups },
                ..limits()
            };
            if growth == Growth::Oblivious {
                oblivious::tests::compare(&table, &target, &limits);
            } else {
                compare_with(&table, &target, &target, &limits);
            }
        }

        /// Rows come back in the order of leaves, each in the leaf that its bins lead to, however nodes were divided.
        #[test]
        fn rows_lie_in_their_leaves(
            (columns, _, numbers, weights) in problem(),
            growth in prop::sample::select(vec![Growth::LeafWise, Growth::DepthWise, Growth::Oblivious]),
            max_leaves in prop::sample::select(vec![None, Some(5)]),
            min_samples_leaf in 1_usize..4,
        ) {
            let table = table(&columns, weights.as_deref(), 255);
            let values = packed(&numbers);
            let params = DecisionTree { growth, max_leaves, min_samples_leaf, ..DecisionTree::default() };
            // As if others had been left out for this tree.
            let rows: Vec<u32> = table.counted().iter().copied().filter(|row| row % 5 != 4 || *row < 5).collect();
            for threads in [1, 3] {
                let grow = || params.grow_newton(&table, &gradients(&values), Penalty::default(), rows.clone(), 3, Scheme::Auto);
                let parted = parallel::with_threads(threads, grow).unwrap();
                let leaves = parted.tree.nodes().enumerate().filter(|(_, node)| node.test.is_none());
                let ranges = parted.leaves();
                prop_assert_eq!(ranges.len(), parted.tree.leaves());
                for ((at, _), range) in leaves.zip(ranges) {
                    prop_assert!(range.len() >= min_samples_leaf.min(rows.len()));
                    for &row in &parted.rows[range] {
                        prop_assert_eq!(parted.tree.leaf_of(&table, row as usize), at);
                    }
                }
                let mut all = parted.rows.clone();
                all.sort_unstable();
                prop_assert_eq!(&all, &rows);
            }
        }
    }
}
