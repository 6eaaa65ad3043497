//! Down finished trees with many rows at once.

use crate::matrix::{below, same};
use crate::{MatRef, ShapeError, parallel};

/// A node of a tree over f32 values. 16 bytes, four to a cache line.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct Node {
    /// Values up to it go to the left, larger ones to the right. Not used in leaves.
    pub threshold: f32,
    /// Twice the number of the feature, plus 1 if missing values (NaN) go to the left.
    pub feature: u32,
    /// The left child; in a leaf, the leaf itself.
    pub left: u32,
    /// The right child; in a leaf, the leaf itself.
    pub right: u32,
}

/// Trees in one array of nodes, known to be trees: every child stands after its parent.
///
/// A leaf is its own child, so that a walk takes as many steps in every row of a block and needs no branch.
#[derive(Clone, Copy, Debug)]
pub struct Trees<'a> {
    nodes: &'a [Node],
    values: &'a [f64],
    roots: &'a [u32],
    features: usize,
}

impl<'a> Trees<'a> {
    /// Trees with these roots; `values` has a number for every node, of which the leaves' are used. Rows have `features`
    /// values. Reads the nodes once, to check them.
    ///
    /// # Errors
    /// When a root, feature or child does not exist, a child does not stand after its parent (but for leaves, whose
    /// children both are the leaf), or there are not as many values as nodes.
    pub fn new(
        nodes: &'a [Node],
        values: &'a [f64],
        roots: &'a [u32],
        features: usize,
    ) -> Result<Self, ShapeError> {
        same("values of nodes", nodes.len(), values.len())?;
        for &root in roots {
            below("a root", nodes.len(), root as usize)?;
        }
        for (place, node) in nodes.iter().enumerate() {
            let (left, right) = (node.left as usize, node.right as usize);
            if (left, right) == (place, place) {
                continue;
            }
            below("the feature of a node", features, node.feature as usize / 2)?;
            below("a child", nodes.len(), left.max(right))?;
            below("a node against its first child", left.min(right), place)?;
        }
        Ok(Self { nodes, values, roots, features })
    }
}

/// [`Trees`] that own their memory.
#[derive(Clone, Debug)]
pub struct OwnedTrees {
    nodes: Vec<Node>,
    values: Vec<f64>,
    roots: Vec<u32>,
    features: usize,
}

impl OwnedTrees {
    /// As [`Trees::new`].
    ///
    /// # Errors
    /// As there.
    pub fn new(
        nodes: Vec<Node>,
        values: Vec<f64>,
        roots: Vec<u32>,
        features: usize,
    ) -> Result<Self, ShapeError> {
        Trees::new(&nodes, &values, &roots, features)?;
        Ok(Self { nodes, values, roots, features })
    }
    /// A view of them; nothing is checked again.
    pub fn get(&self) -> Trees<'_> {
        let Self { nodes, values, roots, features } = self;
        Trees { nodes, values, roots, features: *features }
    }
}

/// Rows that go down a tree together: enough to hide the latency of a node's loads.
const TOGETHER: usize = 32;
/// Rows of a task.
const TASK: usize = 256;

/// out_i += the values of the leaves that row i of `x` reaches, tree after tree in the order of the roots: that order of
/// additions, and so the bits, are the same in any batch and at any number of threads. NaN goes where a node says.
/// O(rows x trees x depth) time.
///
/// ```
/// use tilewise_kernels::{MatRef, tree::{Node, Trees, predict}};
/// let nodes = [
///     Node { threshold: 0.5, feature: 0, left: 1, right: 2 },
///     Node { left: 1, right: 1, ..Node::default() },
///     Node { left: 2, right: 2, ..Node::default() },
/// ];
/// let trees = Trees::new(&nodes, &[0.0, -1.0, 3.0], &[0], 1).unwrap();
/// let mut out = [0.0; 3];
/// predict(trees, MatRef::new(&[0.5, 0.75, f32::NAN], 3, 1).unwrap(), &mut out).unwrap();
/// assert_eq!(out, [-1.0, 3.0, 3.0]);
/// ```
///
/// # Errors
/// When `x` does not have the trees' features as columns, or `out` not its number of rows.
pub fn predict(trees: Trees<'_>, x: MatRef<'_, f32>, out: &mut [f64]) -> Result<(), ShapeError> {
    same("columns of X against features", trees.features, x.cols())?;
    same("length of the output against rows of X", x.rows(), out.len())?;
    parallel::for_each_chunk_mut(out, TASK, |task, out| {
        let first = task * TASK;
        let mut copy = Vec::new();
        let contiguous = x.row(first).is_some();
        if !contiguous {
            let rows = first..first + out.len();
            copy.extend(rows.flat_map(|i| (0..x.cols()).map(move |j| x.get(i, j))));
        }
        let row = |i: usize| match x.row(first + i) {
            Some(row) if contiguous => row,
            _ => &copy[i * x.cols()..][..x.cols()],
        };
        let (blocks, rest) = out.as_chunks_mut::<TOGETHER>();
        for (block, out) in blocks.iter_mut().enumerate() {
            add_leaves(trees, &std::array::from_fn(|i| row(block * TOGETHER + i)), out);
        }
        for (i, out) in rest.iter_mut().enumerate() {
            add_leaves(trees, &[row(blocks.len() * TOGETHER + i)], std::array::from_mut(out));
        }
    });
    Ok(())
}

#[inline(always)]
fn add_leaves<const N: usize>(trees: Trees<'_>, rows: &[&[f32]; N], out: &mut [f64; N]) {
    for &root in trees.roots {
        let leaves = walk(trees.nodes, root, rows);
        out.iter_mut().zip(leaves).for_each(|(out, leaf)| *out += trees.values[leaf as usize]);
    }
}

/// The leaves that rows reach.
#[inline(always)]
fn walk<const N: usize>(nodes: &[Node], root: u32, rows: &[&[f32]; N]) -> [u32; N] {
    let mut at = [root; N];
    loop {
        let mut moved = 0;
        for (at, row) in at.iter_mut().zip(rows) {
            let node = nodes[*at as usize];
            // A leaf's feature may be any.
            let x = row.get(node.feature as usize / 2).copied().unwrap_or(0.0);
            let left = (x <= node.threshold) | (x.is_nan() & (node.feature & 1 == 1));
            let next = if left { node.left } else { node.right };
            moved |= next ^ *at;
            *at = next;
        }
        if moved == 0 {
            return at;
        }
    }
}
