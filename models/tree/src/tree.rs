//! A finished tree.

use crate::codes::{Code, of_codes};
use crate::cuts::UNKNOWN;
use crate::grow::{Grown, Left, Nodes};
use crate::stored::check_nodes;
use crate::table::{BinnedTable, Binning};
use crate::target::Target;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tilewise_base::{Error, Result};
use tilewise_kernels::tree::Bins;

/// How a tree reads an input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A number.
    Number,
    /// A category; holds its bin, 255 where no row of the training data had it.
    Category(Vec<u8>),
}

/// What decides whether a row goes left.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Test {
    /// Numbers up to it do.
    UpTo(f64),
    /// Categories do whose bin is set, the first in the lowest bit of the first word.
    Bins([u64; 4]),
}

impl Input {
    /// The bin of a category, if it is one that training saw; numbers have none.
    pub fn bin(&self, x: f64) -> Option<u8> {
        match self {
            // NaN and negative numbers are none of 0, 1, ...
            Self::Category(bins) if x >= 0.0 => bins.get(x as usize).copied().filter(|&bin| bin != UNKNOWN),
            _ => None,
        }
    }
}

impl Test {
    /// Whether a cell of such an input goes left; `None` where it is missing, or a category that training did not see.
    pub fn passes(&self, input: &Input, x: f64) -> Option<bool> {
        match self {
            Self::UpTo(threshold) => (!x.is_nan()).then_some(x <= *threshold),
            Self::Bins(set) => input.bin(x).map(|bin| has(set, bin.into())),
        }
    }
}

/// Whether a bin is in a set.
pub(crate) fn has(set: &[u64; 4], bin: usize) -> bool {
    set[bin / 64] >> (bin % 64) & 1 == 1
}

/// A node. Children stand after their parent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The input that is tested; 0 in leaves.
    pub feature: u32,
    /// The test; `None` in leaves.
    pub test: Option<Test>,
    /// Whether missing values and categories that training did not see go left.
    pub missing_left: bool,
    /// The left child, the node itself in leaves.
    pub left: u32,
    /// The right child, the node itself in leaves.
    pub right: u32,
    /// Training rows that came here.
    pub rows: u32,
    /// Their weight.
    pub weight: f64,
    /// What the split gained: the decrease of the criterion, times weight.
    pub gain: f64,
}

/// A decision tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// The same for all trees of a model.
    pub(crate) inputs: Arc<[Input]>,
    pub(crate) nodes: Vec<Node>,
    /// Nodes x outputs: what each node would predict as a leaf.
    pub(crate) values: Vec<f64>,
    pub(crate) outputs: usize,
}

/// A tree on its way between processes: what it reads is known at both ends and stays there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BareTree {
    nodes: Vec<Node>,
    values: Vec<f64>,
    outputs: usize,
}

impl BareTree {
    /// The tree, which was grown on such a table.
    ///
    /// # Errors
    /// When its nodes are no tree, its tests do not fit the columns, or a value is not finite.
    pub fn with_inputs_of(self, table: &BinnedTable) -> Result<Tree> {
        let Self { nodes, values, outputs } = self;
        let bad = |what: String| Error::Fit(format!("a tree that came from elsewhere is none: {what}"));
        check_nodes(&nodes, &table.inputs).map_err(bad)?;
        if nodes.len().checked_mul(outputs) != Some(values.len()) || !values.iter().all(|x| x.is_finite()) {
            return Err(bad("a node has not as many finite values as there are outputs".into()));
        }
        Ok(Tree { inputs: Arc::clone(&table.inputs), nodes, values, outputs })
    }
}

impl From<Tree> for BareTree {
    fn from(tree: Tree) -> Self {
        let Tree { nodes, values, outputs, .. } = tree;
        Self { nodes, values, outputs }
    }
}

impl Tree {
    /// `unit` is that of weights.
    pub(crate) fn new<T: Target>(table: &BinnedTable, unit: f64, target: &T, grown: &Nodes<T::Cell>) -> Self {
        let inputs = Arc::clone(&table.inputs);
        let outputs = target.outputs();
        let mut tree = Self {
            inputs,
            nodes: Vec::with_capacity(grown.list.len()),
            values: Vec::with_capacity(grown.list.len() * outputs),
            outputs,
        };
        // Each node before all below it, left before right: an order that does not depend on how it was grown. With a
        // right child comes the number of its parent, which did not know its place yet.
        let mut next = vec![(0, None)];
        while let Some((node, parent)) = next.pop() {
            let sums = grown.sums(node);
            let (node, place): (&Grown, _) = (&grown.list[node], tree.nodes.len() as u32);
            if let Some(parent) = parent {
                let parent: &mut Node = &mut tree.nodes[parent as usize];
                parent.right = place;
            }
            let mut new = Node {
                feature: 0,
                test: None,
                missing_left: false,
                left: place,
                right: place,
                rows: node.rows as u32,
                weight: target.weight(sums) as f64 * unit,
                gain: 0.0,
            };
            if let Some((choice, left, right)) = &node.split {
                new = Node {
                    feature: choice.feature as u32,
                    test: Some(match (&choice.left, &table.binnings[choice.feature]) {
                        (Left::UpTo(bin), Binning::Numeric { cuts }) => {
                            Test::UpTo(cuts.get(*bin).copied().unwrap_or(f64::INFINITY))
                        }
                        (Left::UpTo(_), _) => Test::UpTo(f64::INFINITY),
                        (Left::Set(set), _) => Test::Bins(*set),
                    }),
                    missing_left: choice.missing_left.unwrap_or(false),
                    left: place + 1,
                    // Squares of the largest numbers may not be finite.
                    gain: (choice.gain * target.gain_unit() * unit).clamp(f64::MIN, f64::MAX),
                    ..new
                };
                next.push((*right, Some(place)));
                next.push((*left, None));
            }
            tree.nodes.push(new);
            let first = tree.values.len();
            tree.values.resize(first + outputs, 0.0);
            target.predict(sums, &mut tree.values[first..]);
        }
        tree
    }

    /// The nodes; the root is the first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Numbers that it predicts for a row.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// How its inputs are read.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// What a node would predict as a leaf.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn value(&self, node: usize) -> &[f64] {
        &self.values[node * self.outputs..][..self.outputs]
    }

    /// Number of leaves.
    pub fn leaves(&self) -> usize {
        self.nodes.iter().filter(|node| node.test.is_none()).count()
    }

    /// Splits on the longest way from the root to a leaf.
    pub fn depth(&self) -> usize {
        let mut depth = vec![0; self.nodes.len()];
        for (place, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.test.is_some()) {
            depth[node.left as usize] = depth[place] + 1;
            depth[node.right as usize] = depth[place] + 1;
        }
        depth.into_iter().max().unwrap_or(0)
    }

    /// The leaf that a row of cells comes to: numbers, numbers of categories; NaN is missing, and so is a category that
    /// training did not see. O(depth).
    ///
    /// # Panics
    /// When the row has fewer cells than the tree has inputs.
    pub fn leaf(&self, row: &[f64]) -> usize {
        let mut at = 0;
        loop {
            let node = &self.nodes[at];
            if node.test.is_none() {
                return at;
            }
            at = if self.goes_left(node, row) { node.left } else { node.right } as usize;
        }
    }

    /// The nodes that a row of cells, read as [`Tree::leaf`] says, comes through, from the root to its leaf.
    ///
    /// # Panics
    /// When the row has fewer cells than the tree has inputs.
    pub fn path(&self, row: &[f64]) -> Vec<usize> {
        let mut path = vec![0];
        let mut node = &self.nodes[0];
        while node.test.is_some() {
            let next = if self.goes_left(node, row) { node.left } else { node.right } as usize;
            path.push(next);
            node = &self.nodes[next];
        }
        path
    }

    /// Whether a row goes to the left child of a node of this tree; leaves have none.
    pub(crate) fn goes_left(&self, node: &Node, row: &[f64]) -> bool {
        let Some(test) = &node.test else { return false };
        let feature = node.feature as usize;
        test.passes(&self.inputs[feature], row[feature]).unwrap_or(node.missing_left)
    }

    /// As [`Tree::leaf`] for a row of the table that the tree was grown on. Where the row had no weight its leaf means nothing.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn leaf_of(&self, table: &BinnedTable, row: usize) -> usize {
        self.leaf_where(table, |_| row)
    }

    /// As [`Tree::leaf_of`] for a row that is put together: `row_of` tells from which row of the table each feature comes.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn leaf_where(&self, table: &BinnedTable, row_of: impl Fn(usize) -> usize) -> usize {
        of_codes!(table.stored, codes => self.leaf_by(table, codes.columns(), row_of))
    }

    fn leaf_by<B: Code>(
        &self,
        table: &BinnedTable,
        columns: Bins<'_, B>,
        row_of: impl Fn(usize) -> usize,
    ) -> usize {
        let mut at = 0;
        loop {
            let node = &self.nodes[at];
            let Some(test) = &node.test else { return at };
            let feature = node.feature as usize;
            let bin: usize = columns.get(row_of(feature), feature).into();
            let left = match (test, &table.binnings[feature]) {
                _ if table.missing[feature] && bin + 1 == columns.count(feature) => node.missing_left,
                (Test::UpTo(threshold), Binning::Numeric { cuts }) => {
                    // All of a bin is at most its cut; the last one has none.
                    cuts.get(bin).map_or(*threshold == f64::INFINITY, |cut| cut <= threshold)
                }
                (Test::UpTo(_), _) => true,
                (Test::Bins(set), _) => has(set, bin),
            };
            at = if left { node.left } else { node.right } as usize;
        }
    }

    /// Predicts a row of cells without allocating.
    ///
    /// # Panics
    /// When the row has fewer cells than the tree has inputs, or `out` is not as long as it has outputs.
    pub fn predict_row(&self, row: &[f64], out: &mut [f64]) {
        out.copy_from_slice(self.value(self.leaf(row)));
    }

    /// The share of each input in all that splits gained (Breiman et al. 1984, section 5.3.4); zeros in a tree that gained
    /// nothing.
    pub fn importances(&self) -> Vec<f64> {
        let mut gains = vec![0.0; self.inputs.len()];
        // In units of the largest: sums of gains as they are may not be finite.
        let most = self.nodes.iter().map(|node| node.gain).fold(0.0, f64::max);
        if most > 0.0 {
            let gain = |node: &Node| node.gain.max(0.0) / most;
            self.nodes.iter().for_each(|node| gains[node.feature as usize] += gain(node));
            let all: f64 = gains.iter().sum();
            gains.iter_mut().for_each(|gain| *gain /= all);
        }
        gains
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_gains_have_shares_too() {
        let leaf = |at: u32| Node {
            feature: 0,
            test: None,
            missing_left: false,
            left: at,
            right: at,
            rows: 1,
            weight: 1.0,
            gain: 0.0,
        };
        let split = |at: u32, feature: u32, gain: f64| Node {
            feature,
            test: Some(Test::UpTo(0.0)),
            left: at + 1,
            right: at + 2,
            gain,
            ..leaf(at)
        };
        let shares = |gains: [f64; 3]| {
            let [a, b, c] = gains;
            let nodes =
                vec![split(0, 0, a), leaf(1), split(2, 1, b), leaf(3), split(4, 1, c), leaf(5), leaf(6)];
            Tree { inputs: vec![Input::Number; 3].into(), nodes, values: vec![0.0; 7], outputs: 1 }
                .importances()
        };
        assert_eq!(shares([1e308, 1e308, 0.0]), [0.5, 0.5, 0.0]);
        assert_eq!(shares([1e308, 1.5e308, 1.5e308]), [0.25, 0.75, 0.0]);
        assert_eq!(shares([5e-324, 5e-324, -1.0]), [0.5, 0.5, 0.0]);
        assert_eq!(shares([0.0, -1.0, 0.0]), [0.0; 3]);
    }
}
