//! The nodes of a tree that is growing.

use crate::grow::Choice;
use crate::target::Target;
use tilewise_kernels::tree::Cell;

/// A node. Half of all are leaves, and a split is five times as large as this: so it stands in a list of its own.
#[derive(Clone, Debug)]
struct Grown {
    rows: u32,
    /// Its place among the splits, [`LEAF`] while it has none.
    split: u32,
}

const LEAF: u32 = u32::MAX;

/// A split and the children, which are places in the list of nodes.
pub(crate) type Divided = (Choice, usize, usize);

/// Nodes in no particular order but that the first is the root, and their sums.
#[derive(Clone, Debug)]
pub(crate) struct Nodes<C> {
    list: Vec<Grown>,
    splits: Vec<(Choice, [u32; 2])>,
    sums: Vec<C>,
    pub(crate) width: usize,
}

impl<C: Cell> Nodes<C> {
    pub(crate) fn new(width: usize) -> Self {
        Self { list: Vec::new(), splits: Vec::new(), sums: Vec::new(), width }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Rows of a node, fewer than 2^31.
    pub(crate) fn rows(&self, node: usize) -> usize {
        self.list[node].rows as usize
    }

    /// The split of a node that has one.
    pub(crate) fn split(&self, node: usize) -> Option<Divided> {
        let (choice, [left, right]) = self.splits.get(self.list[node].split as usize)?;
        Some((*choice, *left as usize, *right as usize))
    }

    /// Gives a leaf its split.
    pub(crate) fn divide(&mut self, node: usize, (choice, left, right): Divided) {
        self.list[node].split = self.splits.len() as u32;
        self.splits.push((choice, [left as u32, right as u32]));
    }

    pub(crate) fn sums(&self, node: usize) -> &[C] {
        &self.sums[node * self.width..][..self.width]
    }

    /// Adds a node that is a leaf for now.
    pub(crate) fn push(&mut self, rows: usize, sums: impl IntoIterator<Item = C>) -> usize {
        self.list.push(Grown { rows: rows as u32, split: LEAF });
        self.sums.extend(sums);
        self.list.len() - 1
    }

    /// Adds two nodes, of which one has these sums and the other what is left of a third.
    pub(crate) fn push_children(
        &mut self,
        parent: usize,
        rows: [usize; 2],
        small: &[C],
        small_is_left: bool,
    ) -> [usize; 2] {
        let sums = children(self.sums(parent), small, small_is_left);
        [self.push(rows[0], sums[0].iter().copied()), self.push(rows[1], sums[1].iter().copied())]
    }

    /// Completes the sums of a node whose rows bring these values.
    pub(crate) fn settle<T: Target<Cell = C>>(
        &mut self,
        target: &T,
        node: usize,
        mut values: impl Iterator<Item = T::Value>,
    ) {
        target.settle(&mut values, &mut self.sums[node * self.width..][..self.width]);
    }

    /// Puts the nodes below a node of this list, which is the root of `below`, in its place.
    pub(crate) fn graft(&mut self, node: usize, below: Self) {
        // The root is there already: the others follow it, and splits follow splits.
        let (first, first_split) = (self.list.len() as u32, self.splits.len() as u32);
        let moved = |child: u32| child - 1 + first;
        let mut nodes = below.list.into_iter().map(|grown| match grown.split {
            LEAF => grown,
            split => Grown { split: split + first_split, ..grown },
        });
        if let Some(root) = nodes.next() {
            self.list[node] = root;
        }
        self.list.extend(nodes);
        self.splits.extend(below.splits.into_iter().map(|(choice, children)| (choice, children.map(moved))));
        self.sums.extend(below.sums.into_iter().skip(self.width));
    }
}

/// The sums of two children, of which one has these and the other what is left of the parent's.
pub(crate) fn children<C: Cell>(parent: &[C], small: &[C], small_is_left: bool) -> [Vec<C>; 2] {
    let large = parent.iter().zip(small).map(|(all, &small)| all.minus(small)).collect();
    if small_is_left { [small.to_vec(), large] } else { [large, small.to_vec()] }
}
