//! A finished tree.

use crate::arena::{Arena, Split};
use crate::codes::{Code, of_codes};
use crate::cuts::UNKNOWN;
use crate::grow::Left;
use crate::kept::Kept;
use crate::nodes::Nodes;
use crate::table::{BinnedTable, Binning};
use crate::target::Target;
use crate::values::Values;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tilewise_base::{Error, Result, Unseen};
use tilewise_kernels::tree::{Bins, Categories, MISSING};

/// How a tree reads an input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A number.
    Number,
    /// A category; holds its bin, 255 where no row of the training data had it. A file holds these bins alone.
    Category(#[serde(with = "bins")] Categories),
}

/// The bins of categories as a file has them.
mod bins {
    use super::Categories;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(categories: &Categories, to: S) -> Result<S::Ok, S::Error> {
        categories.bins().serialize(to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Categories, D::Error> {
        Vec::<u8>::deserialize(from).map(Categories::from)
    }
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
    /// The bin of a category; `None` if it is missing or counts so, and for numbers.
    pub fn bin(&self, x: f64) -> Option<u8> {
        match self {
            Self::Category(bins) => Some(bins.bin(x)).filter(|&bin| bin != MISSING),
            Self::Number => None,
        }
    }

    /// Whether training saw a category of such an input, by its number.
    pub fn saw(&self, category: usize) -> bool {
        match self {
            Self::Category(bins) => bins.bins().get(category).is_some_and(|&bin| bin != UNKNOWN),
            Self::Number => false,
        }
    }

    /// The same under a policy: with [`Unseen::Majority`] categories that training did not see have the bin behind those of
    /// values, of which each set of a grown tree knows where more of the training weight went; else they are missing. O(categories).
    #[must_use]
    pub fn with(&self, unseen: Unseen) -> Self {
        let Self::Category(categories) = self else { return Self::Number };
        let bins = categories.bins();
        let behind = bins.iter().filter(|&&bin| bin != UNKNOWN).max().map_or(0, |bin| bin + 1);
        let unknown = if unseen == Unseen::Majority { behind } else { MISSING };
        Self::Category(Categories::from(bins.to_vec()).with_unknown(unknown))
    }

    /// The bins of categories, none for numbers.
    pub(crate) fn bins(inputs: &[Self]) -> Vec<Option<Categories>> {
        let bins = |input: &Self| match input {
            Self::Number => None,
            Self::Category(bins) => Some(bins.clone()),
        };
        inputs.iter().map(bins).collect()
    }

    /// All of a model's under a policy.
    pub fn all_with(inputs: &[Self], unseen: Unseen) -> Arc<[Self]> {
        inputs.iter().map(|input| input.with(unseen)).collect()
    }
}

impl Test {
    /// Whether a cell of such an input goes left; `None` where it is missing, or a category that training did not see and
    /// that has no bin.
    pub fn passes(&self, input: &Input, x: f64) -> Option<bool> {
        match self {
            Self::UpTo(threshold) => (!x.is_nan()).then_some(x <= *threshold),
            Self::Bins(set) => input.bin(x).map(|bin| has(set, bin.into())),
        }
    }

    /// The same test, with which categories that training did not see go left or not, where the input has a bin for them.
    #[must_use]
    pub fn with_unseen(self, input: &Input, left: bool) -> Self {
        match (self, input) {
            (Self::Bins(set), Input::Category(bins)) if bins.unknown() != MISSING => {
                Self::Bins(with(set, bins.unknown().into(), left))
            }
            _ => self,
        }
    }
}

/// A set with or without a bin.
fn with(mut set: [u64; 4], bin: usize, there: bool) -> [u64; 4] {
    set[bin / 64] = set[bin / 64] & !(1 << (bin % 64)) | u64::from(there) << (bin % 64);
    set
}

/// Whether a bin is in a set.
pub(crate) fn has(set: &[u64; 4], bin: usize) -> bool {
    set[bin / 64] >> (bin % 64) & 1 == 1
}

/// The set of a finished tree. While a tree grows, the bin behind all of a column's, which no row has, stands for categories
/// that training did not see; the bin before it may be that of missing values, which a finished tree keeps beside the set. So
/// unseen categories get the bin behind those of values, whatever training had.
fn finished(set: [u64; 4], table: &BinnedTable, feature: usize) -> [u64; 4] {
    let behind = table.count(feature);
    let of_values = behind - usize::from(table.missing[feature]);
    with(with(set, behind, false), of_values, has(&set, behind))
}

/// A node, as [`Tree::node`] tells of it. The left child stands behind its parent, the right one behind all that is below the left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node {
    /// The input that is tested; 0 in leaves.
    pub feature: u32,
    /// The test; `None` in leaves.
    pub test: Option<Test>,
    /// Whether missing values go left, and categories that training did not see where these count as missing.
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

impl Node {
    /// Leaf number `node` of a tree, to which so many rows came, each of weight 1.
    pub fn leaf(node: u32, rows: u32) -> Self {
        let (test, missing_left, weight) = (None, false, f64::from(rows));
        Self { feature: 0, test, missing_left, left: node, right: node, rows, weight, gain: 0.0 }
    }
}

/// A decision tree. A split takes 24 bytes, and a node mostly 1, one more for each class, or 8 for each number and for its weight; 4 more
/// for each of its counts beyond 254. So a full tree for two classes has about 16 bytes for each node.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// The same for all trees of a model.
    pub(crate) inputs: Arc<[Input]>,
    pub(crate) nodes: Kept,
}

/// A tree on its way between processes: what it reads is known at both ends and stays there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BareTree(Arena);

impl BareTree {
    /// The tree, which was grown on such a table, under this policy.
    ///
    /// # Errors
    /// When its nodes are no tree, its tests do not fit the columns, or a value is not finite.
    pub fn with_inputs_of(self, table: &BinnedTable, unseen: Unseen) -> Result<Tree> {
        let bad = |what: String| Error::Fit(format!("a tree that came from elsewhere is none: {what}"));
        let inputs = table.inputs(unseen);
        self.0.check(inputs).map_err(bad)?;
        Ok(Tree { inputs: Arc::clone(inputs), nodes: self.0.into() })
    }
}

impl From<Tree> for BareTree {
    fn from(tree: Tree) -> Self {
        Self(tree.nodes.into_arena())
    }
}

impl Tree {
    /// `unit` is that of weights.
    pub(crate) fn new<T: Target>(
        table: &BinnedTable,
        unseen: Unseen,
        unit: f64,
        target: &T,
        grown: &Nodes<T::Cell>,
    ) -> Self {
        let mut nodes = Arena::new(target.values(unit), grown.len());
        // Each node before all below it, left before right: an order that does not depend on how it was grown. With a
        // right child comes the number of its parent, which did not know its place yet.
        let mut next = vec![(0, None)];
        while let Some((node, parent)) = next.pop() {
            target.keep(grown.sums(node), unit, &mut nodes.values);
            let rows = grown.rows(node) as u32;
            let Some((choice, left, right)) = grown.split(node) else {
                nodes.push(parent, rows, None);
                continue;
            };
            let test = match (&choice.left, &table.binnings[choice.feature]) {
                (Left::UpTo(bin), Binning::Numeric { cuts }) => {
                    Test::UpTo(cuts.get(*bin).copied().unwrap_or(f64::INFINITY))
                }
                (Left::UpTo(_), _) => Test::UpTo(f64::INFINITY),
                (Left::Set(set), _) => Test::Bins(finished(*set, table, choice.feature)),
            };
            // Squares of the largest numbers may not be finite.
            let gain = (choice.gain * target.gain_unit() * unit).clamp(f64::MIN, f64::MAX);
            let missing_left = choice.missing_left.unwrap_or(false);
            let place = nodes.push(parent, rows, Some((choice.feature as u32, test, missing_left, gain)));
            next.push((right, Some(place)));
            next.push((left, None));
        }
        Self { inputs: Arc::clone(table.inputs(unseen)), nodes: nodes.into() }
    }

    /// A tree of nodes that were made elsewhere, which read `inputs`; `values` is nodes x `outputs`, what each node would predict as
    /// a leaf. O(nodes).
    ///
    /// # Errors
    /// When the nodes are not a tree with its root in front, every left child behind its parent and every right one behind all that
    /// is below the left, a test does not fit its input, a number is not finite, or there are not as many values as nodes and
    /// outputs.
    pub fn from_nodes(
        inputs: Arc<[Input]>,
        nodes: &[Node],
        values: Vec<f64>,
        outputs: usize,
    ) -> Result<Self> {
        let weights = nodes.iter().map(|node| node.weight).collect();
        let nodes = Arena::of_nodes(nodes, Values::Numbers { outputs, numbers: values, weights })
            .and_then(|arena| arena.check(&inputs).map(|()| arena))
            .map_err(Error::Fit)?;
        Ok(Self { inputs, nodes: nodes.into() })
    }

    /// The same tree with a number and a weight for each node.
    pub(crate) fn with_values(mut self, numbers: Vec<f64>, weights: Vec<f64>) -> Result<Self> {
        let values = Values::Numbers { outputs: 1, numbers, weights };
        values.fit(self.len()).map_err(Error::Fit)?;
        let mut nodes = self.nodes.into_arena();
        nodes.values = values;
        self.nodes = nodes.into();
        Ok(self)
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never: there is a root.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// A node; the root is number 0.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn node(&self, node: usize) -> Node {
        self.nodes.node(node)
    }

    /// All nodes; the root is the first.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = Node> + ExactSizeIterator + Clone + '_ {
        (0..self.len()).map(|node| self.node(node))
    }

    /// Numbers that it predicts for a row.
    pub fn outputs(&self) -> usize {
        self.nodes.outputs()
    }

    /// How its inputs are read.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// What a node would predict as a leaf, as many numbers as there are outputs.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn value(&self, node: usize) -> Vec<f64> {
        self.numbers(node).collect()
    }

    /// As [`Tree::value`], without a vector.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn numbers(
        &self,
        node: usize,
    ) -> impl DoubleEndedIterator<Item = f64> + ExactSizeIterator + Clone + '_ {
        self.nodes.values.of(node)
    }

    /// Whether any split tests an input.
    pub fn tests(&self, feature: usize) -> bool {
        self.nodes.splits.iter().any(|split| split.feature() == feature)
    }

    /// Number of leaves.
    pub fn leaves(&self) -> usize {
        self.len() / 2 + 1
    }

    /// Splits on the longest way from the root to a leaf.
    pub fn depth(&self) -> usize {
        let mut depth = vec![0; self.len()];
        for (place, node) in self.nodes().enumerate().filter(|(_, node)| node.test.is_some()) {
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
        while let Some(split) = self.nodes.split(at) {
            at = if self.goes_left(split, row) { at + 1 } else { split.right as usize };
        }
        at
    }

    /// The nodes that a row of cells, read as [`Tree::leaf`] says, comes through, from the root to its leaf.
    ///
    /// # Panics
    /// When the row has fewer cells than the tree has inputs.
    pub fn path(&self, row: &[f64]) -> Vec<usize> {
        let mut path = vec![0];
        let mut at = 0;
        while let Some(split) = self.nodes.split(at) {
            at = if self.goes_left(split, row) { at + 1 } else { split.right as usize };
            path.push(at);
        }
        path
    }

    /// Whether a row goes left at a split of this tree.
    pub(crate) fn goes_left(&self, split: &Split, row: &[f64]) -> bool {
        let feature = split.feature();
        let passes = self.nodes.test(split).passes(&self.inputs[feature], row[feature]);
        passes.unwrap_or(split.missing_left())
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
        while let Some(split) = self.nodes.split(at) {
            let feature = split.feature();
            let bin: usize = columns.get(row_of(feature), feature).into();
            let left = match (self.nodes.test(split), &table.binnings[feature]) {
                _ if table.missing[feature] && bin + 1 == columns.count(feature) => split.missing_left(),
                (Test::UpTo(threshold), Binning::Numeric { cuts }) => {
                    // All of a bin is at most its cut; the last one has none.
                    cuts.get(bin).map_or(threshold == f64::INFINITY, |cut| *cut <= threshold)
                }
                (Test::UpTo(_), _) => true,
                (Test::Bins(set), _) => has(&set, bin),
            };
            at = if left { at + 1 } else { split.right as usize };
        }
        at
    }

    /// Predicts a row of cells without allocating.
    ///
    /// # Panics
    /// When the row has fewer cells than the tree has inputs, or `out` is not as long as it has outputs.
    pub fn predict_row(&self, row: &[f64], out: &mut [f64]) {
        let value = self.numbers(self.leaf(row));
        assert!(value.len() == out.len(), "as many numbers as the tree has outputs");
        out.iter_mut().zip(value).for_each(|(out, x)| *out = x);
    }

    /// The share of each input in all that splits gained (Breiman et al. 1984, section 5.3.4); zeros in a tree that gained
    /// nothing.
    pub fn importances(&self) -> Vec<f64> {
        let mut gains = vec![0.0; self.inputs.len()];
        // In units of the largest: sums of gains as they are may not be finite.
        let splits = &self.nodes.splits;
        let most = splits.iter().map(|split| split.gain).fold(0.0, f64::max);
        if most > 0.0 {
            splits.iter().for_each(|split| gains[split.feature()] += split.gain.max(0.0) / most);
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
        let leaf = |at: u32| Node::leaf(at, 1);
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
            let nodes = [split(0, 0, a), leaf(1), split(2, 1, b), leaf(3), split(4, 1, c), leaf(5), leaf(6)];
            Tree::from_nodes(vec![Input::Number; 3].into(), &nodes, vec![0.0; 7], 1).unwrap().importances()
        };
        assert_eq!(shares([1e308, 1e308, 0.0]), [0.5, 0.5, 0.0]);
        assert_eq!(shares([1e308, 1.5e308, 1.5e308]), [0.25, 0.75, 0.0]);
        assert_eq!(shares([5e-324, 5e-324, -1.0]), [0.5, 0.5, 0.0]);
        assert_eq!(shares([0.0, -1.0, 0.0]), [0.0; 3]);
    }
}
