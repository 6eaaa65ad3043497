//! Down finished trees: which leaf an item comes to, where items are the rows of a tree or the trees of a row.
//!
//! A walk is a chain of loads, each of which waits for the one before, most of them from the second cache in a large
//! tree. So [`TOGETHER`] walkers take turns, and one that reaches a leaf takes the next item at once: no walker waits for
//! the longest way among them, and nothing depends on a branch that a processor could guess wrongly. (Nanoseconds a step in
//! trees of 64 leaves, on a busy machine, Zen 5: walkers that wait for each other 2.2, a list of rows that is made shorter
//! level by level 1.3, this 0.95. Trees of 1,000 leaves: 2.7, 3.2 and more, 1.5.)

use super::nodes::Values;
use super::{Categories, Shared};
use crate::ShapeError;
use crate::matrix::{below, same};
use crate::scratch::AnyBits;
use std::hint::select_unpredictable;

/// Set in `next` of a leaf, where the rest is the number of its value.
pub(super) const LEAF: u32 = 1 << 31;

/// Items on the way at a time: enough to hide the latency of loads. (There 4 took 1.0 ns, 6 0.9, 16 1.25.)
const TOGETHER: usize = 8;

/// A node: its test reads cells of type `C`. Implemented by [`super::Node`] and [`super::CodeNode`]; sealed.
pub trait Visit<C>: Layout {
    /// Whether a row goes right.
    fn right<const SETS: bool>(self, cell: C, tests: &Tests) -> bool;
}

/// Where a node's parts are.
pub trait Layout: Copy + Send + Sync + sealed::Sealed {
    /// The left child; the right one follows it. In leaves the value, with the mark of leaves.
    fn next(self) -> u32;
    /// The column that is tested; any in leaves.
    fn column(self) -> usize;
    /// The set that is tested, if it is one.
    fn set(self) -> Option<usize>;
}

pub(super) mod sealed {
    pub trait Sealed {}
}

/// What nodes refer to: sets of bins, and the bins of categories.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tests {
    /// Sets of bins that go left, the first in the lowest bit of the first word; bit [`MISSING`] says where missing values go.
    pub sets: Shared<[u64; 4]>,
    /// For each column the bins of its categories, `None` for numbers. May be shorter than there are columns. Read by
    /// [`super::Node`] alone: codes are bins.
    pub bins: Vec<Option<Categories>>,
}

/// The bin of missing values in sets, and of unknown categories that have no bin of their own.
pub const MISSING: u8 = u8::MAX;

impl Tests {
    /// Whether a bin belongs to a set.
    #[inline(always)]
    pub(super) fn has(&self, set: usize, bin: u8) -> bool {
        self.sets.get(set).is_some_and(|set| set[usize::from(bin / 64)] >> (bin % 64) & 1 == 1)
    }
}

/// Trees whose nodes were checked: every child exists and stands after its parent, so a walk ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Trees<N> {
    pub(super) nodes: Shared<N>,
    pub(super) roots: Vec<u32>,
    pub(super) tests: Tests,
    pub(super) columns: usize,
    pub(super) values: Values,
}

impl<N: Layout> Trees<N> {
    /// Trees with these roots, whose rows have `columns` cells. Reads the nodes once, to check them.
    ///
    /// # Errors
    /// When a root, child, column, set or value does not exist, or a child does not stand after its parent.
    pub fn new(
        nodes: Shared<N>,
        roots: Vec<u32>,
        tests: Tests,
        columns: usize,
        values: Values,
    ) -> Result<Self, ShapeError> {
        below("number of nodes", LEAF as usize, nodes.len())?;
        for &root in &roots {
            below("a root", nodes.len(), root as usize)?;
        }
        for (place, node) in nodes.iter().enumerate() {
            let next = node.next();
            below("the column of a node", columns, node.column())?;
            if next & LEAF != 0 {
                below("the value of a leaf", values.len(), (next & !LEAF) as usize)?;
                continue;
            }
            below("a child", nodes.len(), next as usize + 1)?;
            below("a node against its first child", next as usize, place)?;
            if let Some(set) = node.set() {
                below("the set of a node", tests.sets.len(), set)?;
            }
        }
        Ok(Self { nodes, roots, tests, columns, values })
    }

    /// Some of these trees, in this order, where they are: nothing is checked again, or copied but the bins of categories. O(trees)
    /// besides.
    ///
    /// # Errors
    /// When there is no such tree.
    pub fn some(&self, trees: impl IntoIterator<Item = usize>) -> Result<Self, ShapeError> {
        let root = |tree| below("a tree", self.len(), tree).map(|()| self.roots[tree]);
        let roots = trees.into_iter().map(root).collect::<Result<_, _>>()?;
        let Self { nodes, tests, columns, values, .. } = self;
        Ok(Self {
            nodes: nodes.clone(),
            roots,
            tests: tests.clone(),
            columns: *columns,
            values: values.clone(),
        })
    }

    /// All nodes, those of the first tree in front.
    pub fn nodes(&self) -> &[N] {
        &self.nodes
    }

    /// What nodes refer to.
    pub fn tests(&self) -> &Tests {
        &self.tests
    }

    /// What leaves say.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Cells of a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Number of trees.
    pub fn len(&self) -> usize {
        self.roots.len()
    }

    /// Whether there is no tree.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// Steps down all trees, about: those down trees whose leaves are all as deep. Of [`some`](Self::some) trees too many.
    pub(super) fn steps(&self) -> usize {
        let leaves = (self.nodes.len() / 2).checked_div(self.len()).unwrap_or(0);
        self.len() * (leaves.max(1).ilog2() as usize + 1)
    }

    /// The values of the leaves of a tree that items come to, with the mark of leaves.
    ///
    /// # Errors
    /// When there is no such tree, `cells` has not the columns of the trees, or fewer items than `out`.
    #[inline(always)]
    pub(super) fn leaves_of_items<T: Copy>(
        &self,
        tree: usize,
        cells: impl Cells<T>,
        out: &mut [u32],
    ) -> Result<(), ShapeError>
    where
        N: Visit<T>,
    {
        below("a tree", self.len(), tree)?;
        self.leaves(self.roots[tree], cells, out)
    }

    /// The values of the leaves of trees from `first` on that the first item comes to, with the mark of leaves.
    ///
    /// # Errors
    /// When there are not so many trees, `cells` has not the columns of the trees, or no item.
    #[inline(always)]
    pub(super) fn leaves_of_trees<T: Copy>(
        &self,
        first: usize,
        cells: impl Cells<T>,
        out: &mut [u32],
    ) -> Result<(), ShapeError>
    where
        N: Visit<T>,
    {
        below("trees", self.len() + 1, first.saturating_add(out.len()))?;
        self.leaves(&self.roots[first..first + out.len()], OneRow(cells), out)
    }

    /// The same for items in any order, each from a node of its own.
    ///
    /// # Errors
    /// When an item or node does not exist, `cells` has not the columns of the trees, or fewer items than `out`.
    #[inline(always)]
    pub(super) fn leaves_from<T: Copy>(
        &self,
        starts: &[Start],
        cells: impl Cells<T>,
        out: &mut [u32],
    ) -> Result<(), ShapeError>
    where
        N: Visit<T>,
    {
        let (node, item) =
            starts.iter().fold((0, 0), |most, start| (most.0.max(start.node), most.1.max(start.item)));
        below("a node", self.nodes.len(), node as usize)?;
        below("an item", out.len(), item as usize)?;
        self.leaves(starts, cells, out)
    }

    #[inline(always)]
    fn leaves<T: Copy, C: Cells<T>>(
        &self,
        starts: impl Starts,
        cells: C,
        out: &mut [u32],
    ) -> Result<(), ShapeError>
    where
        N: Visit<T>,
    {
        same("columns of cells", self.columns, cells.columns())?;
        below("items", cells.items().saturating_add(1), out.len())?;
        // SAFETY: checked above and by the callers; the columns of all nodes were checked against those of the trees by
        // `new`, as were roots.
        unsafe {
            if self.tests.sets.is_empty() {
                self.relay::<T, C, false>(starts, cells, out);
            } else {
                self.relay::<T, C, true>(starts, cells, out);
            }
        }
        Ok(())
    }

    /// # Safety
    /// `cells` must have the columns of the trees and as many items as `out`, `starts` be nodes of these trees and items of
    /// `out`.
    #[inline(always)]
    unsafe fn relay<T: Copy, C: Cells<T>, const SETS: bool>(
        &self,
        starts: impl Starts,
        cells: C,
        out: &mut [u32],
    ) where
        N: Visit<T>,
    {
        let nodes = self.nodes.as_ptr();
        // What a node says, and the place after it for an item.
        let visit = |at: u32, item: u32| {
            // SAFETY: roots and the children of every node were checked by `new`, so places exist; cells do as above.
            let (node, cell) = unsafe {
                let node = *nodes.add(at as usize);
                (node, cells.get(item as usize, node.column()))
            };
            (node.next(), node.next().wrapping_add(u32::from(node.right::<SETS>(cell, &self.tests))))
        };
        let count = starts.count(out.len());
        // SAFETY: called with places below `count` alone.
        let start = |place: usize| unsafe { starts.of(place) };
        if count < TOGETHER {
            for place in 0..count {
                let Start { item, node: mut at } = start(place);
                loop {
                    let (next, after) = visit(at, item);
                    if next & LEAF != 0 {
                        out[item as usize] = next;
                        break;
                    }
                    at = after;
                }
            }
            return;
        }
        let mut walkers: [Start; TOGETHER] = std::array::from_fn(start);
        let mut waiting = TOGETHER;
        // A round takes at most one item for each walker, so that each walker may look at the item that waits.
        while waiting + TOGETHER <= count {
            for walker in &mut walkers {
                let (next, after) = visit(walker.node, walker.item);
                // Overwritten until the walker is at a leaf.
                // SAFETY: an item of `out`.
                unsafe { *out.get_unchecked_mut(walker.item as usize) = next };
                let leaf = next & LEAF != 0;
                let Start { node, item } = start(waiting);
                walker.node = select_unpredictable(leaf, node, after);
                walker.item = select_unpredictable(leaf, item, walker.item);
                waiting += usize::from(leaf);
            }
        }
        loop {
            let mut busy = false;
            for walker in &mut walkers {
                let (next, after) = visit(walker.node, walker.item);
                // SAFETY: as above.
                unsafe { *out.get_unchecked_mut(walker.item as usize) = next };
                if next & LEAF == 0 {
                    walker.node = after;
                    busy = true;
                } else if waiting < count {
                    *walker = start(waiting);
                    waiting += 1;
                    busy = true;
                }
            }
            if !busy {
                return;
            }
        }
    }
}

/// The cells of items.
///
/// # Safety
/// `get` must be sound for every item below `items` and column below `columns`.
pub(super) unsafe trait Cells<T>: Copy {
    /// Items there are.
    fn items(self) -> usize;
    /// Columns there are.
    fn columns(self) -> usize;
    /// A cell.
    ///
    /// # Safety
    /// The item must be below `items`, the column below `columns`.
    unsafe fn get(self, item: usize, column: usize) -> T;
}

/// The first row, for any item.
#[derive(Clone, Copy)]
struct OneRow<C>(C);

// SAFETY: the first row exists where any does.
unsafe impl<T, C: Cells<T>> Cells<T> for OneRow<C> {
    fn items(self) -> usize {
        if self.0.items() == 0 { 0 } else { usize::MAX }
    }
    fn columns(self) -> usize {
        self.0.columns()
    }
    #[inline(always)]
    unsafe fn get(self, _: usize, column: usize) -> T {
        // SAFETY: as the caller promises, the column exists, and there is an item.
        unsafe { self.0.get(0, column) }
    }
}

/// An item and the node where it begins.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(8))]
pub(super) struct Start {
    pub(super) node: u32,
    pub(super) item: u32,
}

// SAFETY: two numbers of 4 bytes without padding.
unsafe impl AnyBits for Start {}

/// Items and where they begin, by the order in which they are taken.
trait Starts: Copy {
    /// How many.
    fn count(self, items: usize) -> usize;
    /// # Safety
    /// `place` must be below `count`.
    unsafe fn of(self, place: usize) -> Start;
}

/// All at one node.
impl Starts for u32 {
    #[inline(always)]
    fn count(self, items: usize) -> usize {
        items
    }
    #[inline(always)]
    unsafe fn of(self, place: usize) -> Start {
        Start { node: self, item: place as u32 }
    }
}

/// Each at a node of its own.
impl Starts for &[u32] {
    #[inline(always)]
    fn count(self, items: usize) -> usize {
        self.len().min(items)
    }
    #[inline(always)]
    unsafe fn of(self, place: usize) -> Start {
        // SAFETY: as the caller promises.
        Start { node: unsafe { *self.get_unchecked(place) }, item: place as u32 }
    }
}

/// In another order.
impl Starts for &[Start] {
    #[inline(always)]
    fn count(self, _: usize) -> usize {
        self.len()
    }
    #[inline(always)]
    unsafe fn of(self, place: usize) -> Start {
        // SAFETY: as the caller promises.
        unsafe { *self.get_unchecked(place) }
    }
}
