//! Trees over numbers as they come.

use super::Shared;
use super::walk::{Cells, LEAF, Layout, MISSING, Tests, Trees, Visit, sealed::Sealed};
use crate::matrix::{below, same};
use crate::{Float, MatRef, ShapeError, parallel};

/// A node whose test reads numbers. 16 bytes, four to a cache line.
///
/// Thresholds are f64 for f32 cells too: these are widened, which is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct Node {
    /// Values up to it go left. In tests of sets, the bits of the set's number.
    threshold: f64,
    /// Twice the number of the column, plus 1 if missing values (NaN) go left; plus `SET` in tests of sets.
    column: u32,
    next: u32,
}

const SET: u32 = 1 << 31;

impl Node {
    /// Sends values up to `threshold` left, and NaN if `missing_left`. The right child stands after the left one.
    ///
    /// # Errors
    /// When a number does not fit.
    pub fn up_to(column: usize, threshold: f64, missing_left: bool, left: usize) -> Result<Self, ShapeError> {
        below("the column of a node", (SET / 2) as usize, column)?;
        below("a child", LEAF as usize, left)?;
        Ok(Self { threshold, column: 2 * column as u32 + u32::from(missing_left), next: left as u32 })
    }
    /// Sends the categories of a set of [`Tests`] left.
    ///
    /// # Errors
    /// When a number does not fit.
    pub fn in_set(column: usize, set: usize, left: usize) -> Result<Self, ShapeError> {
        let node = Self::up_to(column, f64::from_bits(set as u64), false, left)?;
        Ok(Self { column: node.column | SET, ..node })
    }
    /// A leaf with the value of a number.
    ///
    /// # Errors
    /// When there are 2^31 values or more.
    pub fn leaf(value: usize) -> Result<Self, ShapeError> {
        below("a value", LEAF as usize, value)?;
        Ok(Self { threshold: 0.0, column: 0, next: value as u32 | LEAF })
    }
    /// Its 16 bytes as two numbers, the threshold's bits first: how files hold it.
    pub fn words(self) -> [u64; 2] {
        [self.threshold.to_bits(), u64::from(self.column) | u64::from(self.next) << 32]
    }
    /// A node of such numbers, whatever they are: [`Trees::new`] sees whether it is one.
    pub fn of_words([threshold, rest]: [u64; 2]) -> Self {
        Self { threshold: f64::from_bits(threshold), column: rest as u32, next: (rest >> 32) as u32 }
    }
    /// What it was made of.
    pub fn parts(self) -> Parts {
        let (column, left) = (self.column(), self.next as usize);
        match self.set() {
            _ if self.next & LEAF != 0 => Parts::Leaf { value: (self.next & !LEAF) as usize },
            Some(set) => Parts::InSet { column, set, left },
            None => {
                let missing_left = self.column & 1 == 1;
                Parts::UpTo { column, threshold: self.threshold, missing_left, left }
            }
        }
    }
}

/// What a [`Node`] says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Parts {
    /// A test of a number: see [`Node::up_to`].
    UpTo {
        /// The column that is read.
        column: usize,
        /// The largest number that goes left.
        threshold: f64,
        /// Whether NaN does.
        missing_left: bool,
        /// The left child; the right one follows it.
        left: usize,
    },
    /// A test of a category: see [`Node::in_set`].
    InSet {
        /// The column that is read.
        column: usize,
        /// The set that goes left.
        set: usize,
        /// The left child; the right one follows it.
        left: usize,
    },
    /// A leaf.
    Leaf {
        /// Its value.
        value: usize,
    },
}

impl Sealed for Node {}

impl Layout for Node {
    #[inline(always)]
    fn next(self) -> u32 {
        self.next
    }
    #[inline(always)]
    fn column(self) -> usize {
        ((self.column & !SET) >> 1) as usize
    }
    fn set(self) -> Option<usize> {
        (self.column & SET != 0).then_some(self.threshold.to_bits() as usize)
    }
}

impl<T: Float> Visit<T> for Node {
    #[inline(always)]
    fn right<const SETS: bool>(self, cell: T, tests: &Tests) -> bool {
        let x = cell.to_f64();
        if SETS && self.column & SET != 0 {
            let bins = tests.bins.get(self.column()).and_then(Option::as_ref);
            let bin = bins.map_or(MISSING, |bins| bins.bin(x));
            return !tests.has(self.threshold.to_bits() as usize, bin);
        }
        !((x <= self.threshold) | (x.is_nan() & (self.column & 1 == 1)))
    }
}

/// What leaves say: vectors of the same length, shared by those who hold it.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    numbers: Shared<f64>,
    outputs: usize,
}

impl Values {
    /// Vectors of `outputs` numbers one after the other.
    ///
    /// # Errors
    /// When `outputs` is 0 or does not divide their number.
    pub fn new(numbers: impl Into<Shared<f64>>, outputs: usize) -> Result<Self, ShapeError> {
        let numbers = numbers.into();
        let rest = numbers.len().checked_rem(outputs).unwrap_or(1);
        same("numbers beyond the last value", 0, rest)?;
        Ok(Self { numbers, outputs })
    }
    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.numbers.len() / self.outputs
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }
    /// The vectors, one after the other.
    pub fn numbers(&self) -> &[f64] {
        &self.numbers
    }
    /// Numbers of a vector.
    pub fn outputs(&self) -> usize {
        self.outputs
    }
    /// Adds one value after the other to the vectors of `out`, one for each.
    #[inline(always)]
    pub(super) fn add_each(&self, leaves: &[u32], out: &mut [f64]) {
        /// Of a number known to the compiler.
        #[inline(always)]
        fn add<const K: usize>(numbers: &[f64], leaves: &[u32], out: &mut [f64]) {
            let numbers = numbers.as_chunks::<K>().0;
            for (out, leaf) in out.as_chunks_mut::<K>().0.iter_mut().zip(leaves) {
                let value = &numbers[(leaf & !LEAF) as usize];
                out.iter_mut().zip(value).for_each(|(out, x)| *out += x);
            }
        }
        match self.outputs {
            1 => add::<1>(&self.numbers, leaves, out),
            2 => add::<2>(&self.numbers, leaves, out),
            outputs => {
                for (out, leaf) in out.chunks_exact_mut(outputs).zip(leaves) {
                    self.add(*leaf, out);
                }
            }
        }
    }
    /// Adds a value to a vector.
    #[inline(always)]
    pub(super) fn add(&self, leaf: u32, out: &mut [f64]) {
        let value = &self.numbers[(leaf & !LEAF) as usize * self.outputs..][..self.outputs];
        out.iter_mut().zip(value).for_each(|(out, x)| *out += x);
    }
}

/// Rows that go down a tree together, while what they need of X stays in the first cache.
pub(super) const BLOCK: usize = 256;

/// Rows of a task: an eighth of them, so that threads share evenly, but enough to last, and few enough for what a task
/// keeps of each row (32 bytes to 1 KiB) to stay in the caches. Blocks are whole.
pub(super) fn task(rows: usize, steps: usize, bytes_of_row: usize) -> usize {
    /// Nanoseconds of a step.
    const STEP: f64 = 1.0;
    let lasting = (parallel::GRAIN_SECONDS * 1e9 / STEP / steps.max(1) as f64) as usize;
    let fitting = ((1 << 20) / bytes_of_row.max(1)).max(BLOCK);
    rows.div_ceil(8).max(lasting).min(fitting).next_multiple_of(BLOCK)
}

/// Checks shapes of X and the output.
pub(super) fn fits<T: Copy>(
    columns: usize,
    outputs: usize,
    x: MatRef<'_, T>,
    out: &[f64],
) -> Result<(), ShapeError> {
    same("columns of X against those of the trees", columns, x.cols())?;
    same("length of the output against rows of X and outputs", x.rows() * outputs, out.len())
}

/// out_i += the values of the leaves that row i of `x` reaches, tree after tree in the order of the roots: that order of
/// additions, and so the bits, are the same in any batch and at any number of threads. `out` is rows x outputs. NaN goes
/// where a node says. A single row goes down many trees at once. Allocates nothing. O(rows x trees x depth) time.
///
/// ```
/// use tilewise_kernels::{MatRef, tree::{Node, Tests, Trees, Values, predict}};
/// let nodes = vec![Node::up_to(0, 0.5, false, 1)?, Node::leaf(0)?, Node::leaf(1)?];
/// let values = Values::new(vec![-1.0, 3.0], 1)?;
/// let trees = Trees::new(nodes.into(), vec![0], Tests::default(), 1, values)?;
/// let mut out = [0.0; 3];
/// predict(&trees, MatRef::new(&[0.5, 0.75, f32::NAN], 3, 1)?, &mut out)?;
/// assert_eq!(out, [-1.0, 3.0, 3.0]);
/// # Ok::<(), tilewise_kernels::ShapeError>(())
/// ```
///
/// # Errors
/// When `x` does not have the trees' columns, or `out` not its rows times the outputs.
pub fn predict<T: Float>(trees: &Trees<Node>, x: MatRef<'_, T>, out: &mut [f64]) -> Result<(), ShapeError> {
    let outputs = trees.values.outputs();
    fits(trees.columns, outputs, x, out)?;
    let task = task(x.rows(), trees.steps(), 16 * outputs);
    parallel::for_each_chunk_mut(out, task * outputs, |number, out| {
        let rows = out.len() / outputs;
        let x = x.row_range(number * task..number * task + rows);
        // Shapes were checked above: neither fails.
        let _ = if rows < FEW { each_row(trees, x, out) } else { tree_by_tree(trees, x, out) };
    });
    Ok(())
}

/// Rows below which each is a batch of its own: the walkers would wait for each other in a small block.
const FEW: usize = 16;

fn tree_by_tree<T: Float>(trees: &Trees<Node>, x: MatRef<'_, T>, out: &mut [f64]) -> Result<(), ShapeError> {
    let mut leaves = [0; BLOCK];
    let outputs = trees.values.outputs();
    for tree in 0..trees.len() {
        for (block, out) in out.chunks_mut(BLOCK * outputs).enumerate() {
            let leaves = &mut leaves[..out.len() / outputs];
            let x = x.row_range(block * BLOCK..block * BLOCK + leaves.len());
            if x.row(0).is_some() {
                trees.leaves_of_items(tree, Contiguous(x), leaves)?;
            } else {
                trees.leaves_of_items(tree, Strided(x), leaves)?;
            }
            trees.values.add_each(leaves, out);
        }
    }
    Ok(())
}

fn each_row<T: Float>(trees: &Trees<Node>, x: MatRef<'_, T>, out: &mut [f64]) -> Result<(), ShapeError> {
    for (row, out) in out.chunks_exact_mut(trees.values.outputs()).enumerate() {
        let x = x.row_range(row..row + 1);
        let mut leaves = [0; 64];
        for first in (0..trees.len()).step_by(leaves.len()) {
            let count = leaves.len().min(trees.len() - first);
            let leaves = &mut leaves[..count];
            if x.row(0).is_some() {
                trees.leaves_of_trees(first, Contiguous(x), leaves)?;
            } else {
                trees.leaves_of_trees(first, Strided(x), leaves)?;
            }
            leaves.iter().for_each(|&leaf| trees.values.add(leaf, out));
        }
    }
    Ok(())
}

/// Rows of X.
#[derive(Clone, Copy)]
struct Strided<'a, T>(MatRef<'a, T>);

// SAFETY: a view holds all its elements.
unsafe impl<T: Copy> Cells<T> for Strided<'_, T> {
    fn items(self) -> usize {
        self.0.rows()
    }
    fn columns(self) -> usize {
        self.0.cols()
    }
    #[inline(always)]
    unsafe fn get(self, item: usize, column: usize) -> T {
        let (row, column) = (item as isize * self.0.row_stride(), column as isize * self.0.col_stride());
        // SAFETY: as the caller promises, the element is one of the view.
        unsafe { *self.0.as_ptr().offset(row + column) }
    }
}

/// Rows of X whose elements follow each other.
#[derive(Clone, Copy)]
struct Contiguous<'a, T>(MatRef<'a, T>);

// SAFETY: a view holds all its elements.
unsafe impl<T: Copy> Cells<T> for Contiguous<'_, T> {
    fn items(self) -> usize {
        self.0.rows()
    }
    fn columns(self) -> usize {
        // None where the elements do not follow each other.
        if self.0.col_stride() == 1 || self.0.cols() == 1 { self.0.cols() } else { 0 }
    }
    #[inline(always)]
    unsafe fn get(self, item: usize, column: usize) -> T {
        // SAFETY: as the caller promises, the element is one of the view, and `columns` saw to the stride of 1.
        unsafe { *self.0.as_ptr().offset(item as isize * self.0.row_stride() + column as isize) }
    }
}
