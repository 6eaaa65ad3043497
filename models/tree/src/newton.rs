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
    /// Added to the sum of hessians of a category where categories are put in order by their mean gradient.
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
        let mut limits = self.limits(0, table.features(), false, self.constraints(table)?);
        limits.min_gain = self.min_impurity_decrease;
        limits.min_weight = (penalty.min_hessian / gradients.hessian_unit).ceil().max(1.0) as u64;
        let target = target::Newton::new(gradients, penalty);
        let mut rows = rows;
        let nodes = grow::grow_on(table, &target, &limits, scheme, &mut rows, key)?;
        Ok(Parted { tree: Tree::new(table, self.unseen, 1.0, &target, &nodes), rows })
    }
}

impl Tree {
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
