//! The nodes of a tree that is growing.

use crate::grow::Choice;
use crate::target::Target;
use tilewise_kernels::tree::Cell;

/// A node; children are places in the same list.
#[derive(Clone, Debug)]
pub(crate) struct Grown {
    pub(crate) rows: usize,
    /// The split and the children.
    pub(crate) split: Option<(Choice, usize, usize)>,
}

/// Nodes in no particular order but that the first is the root, and their sums.
#[derive(Clone, Debug)]
pub(crate) struct Nodes<C> {
    pub(crate) list: Vec<Grown>,
    sums: Vec<C>,
    pub(crate) width: usize,
}

impl<C: Cell> Nodes<C> {
    pub(crate) fn new(width: usize) -> Self {
        Self { list: Vec::new(), sums: Vec::new(), width }
    }

    pub(crate) fn sums(&self, node: usize) -> &[C] {
        &self.sums[node * self.width..][..self.width]
    }

    /// Adds a node that is a leaf for now.
    pub(crate) fn push(&mut self, rows: usize, sums: impl IntoIterator<Item = C>) -> usize {
        self.list.push(Grown { rows, split: None });
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
        // The root is there already: the others follow it.
        let first = self.list.len();
        let moved = |child: usize| child - 1 + first;
        let mut nodes = below.list.into_iter().map(|mut grown| {
            if let Some((_, left, right)) = &mut grown.split {
                (*left, *right) = (moved(*left), moved(*right));
            }
            grown
        });
        if let Some(root) = nodes.next() {
            self.list[node] = root;
        }
        self.list.extend(nodes);
        self.sums.extend(below.sums.into_iter().skip(self.width));
    }
}

/// The sums of two children, of which one has these and the other what is left of the parent's.
pub(crate) fn children<C: Cell>(parent: &[C], small: &[C], small_is_left: bool) -> [Vec<C>; 2] {
    let large = parent.iter().zip(small).map(|(all, &small)| all.minus(small)).collect();
    if small_is_left { [small.to_vec(), large] } else { [large, small.to_vec()] }
}
