//! Trees over codes: a cell is replaced once by the number of thresholds below it, and a test compares small integers.
//!
//! With the thresholds of a feature in ascending order, x is at most the one numbered k just where no more than k of them are
//! below x. So answers are those of the numbers themselves, and a node is 8 bytes where it was 16. A feature has two columns
//! of codes, one for the nodes that send missing values left (code 0, at most any k) and one for the others (the largest
//! code, above any k), which leaves one comparison for all. A category's code is its bin.
//!
//! (The idea is that of bins in training. Its price is a binary search per cell, some 6 ns with all that
//! belongs to it: it pays where trees share it.)

use super::binning::{TOGETHER, bins_of};
use super::nodes::{BLOCK, Values, fits, task};
use super::tops::Top;
use super::walk::{Cells, LEAF, Layout, Tests, Trees, Visit, sealed::Sealed};
use super::{Bin, Categories};
use crate::matrix::{below, same};
use crate::scratch::{AnyBits, Scratch};
use crate::simd::{Lanes, LanesOfEverySet as _, Task};
use crate::{Float, MatRef, ShapeError, f32_up_to, parallel};

/// A node whose test reads codes. 8 bytes, eight to a cache line.
///
/// From the lowest bit: `next` (32 bits), column (15), whether it is a test of a set (1), code or set (16).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CodeNode(u64);

const COLUMNS: usize = 1 << 15;
const SET: u64 = 1 << 47;

impl CodeNode {
    /// Sends codes up to `code` left; `column` is that of [`Coder::column`]. The right child stands after the left one.
    ///
    /// # Errors
    /// When a number does not fit: 2^15 columns, 65,535 codes, 2^31 nodes.
    pub fn up_to(column: usize, code: usize, left: usize) -> Result<Self, ShapeError> {
        below("the column of a node", COLUMNS, column)?;
        below("a code", usize::from(u16::MAX), code)?;
        below("a child", LEAF as usize, left)?;
        Ok(Self((code as u64) << 48 | (column as u64) << 32 | left as u64))
    }
    /// Sends the bins of a set of [`Tests`] left.
    ///
    /// # Errors
    /// When a number does not fit: 65,535 sets.
    pub fn in_set(column: usize, set: usize, left: usize) -> Result<Self, ShapeError> {
        below("a set", usize::from(u16::MAX), set)?;
        Ok(Self(Self::up_to(column, set, left)?.0 | SET))
    }
    /// A leaf with the value of a number.
    ///
    /// # Errors
    /// When there are 2^31 values or more.
    pub fn leaf(value: usize) -> Result<Self, ShapeError> {
        below("a value", LEAF as usize, value)?;
        Ok(Self(u64::from(LEAF) | value as u64))
    }
    #[inline(always)]
    pub(super) fn code(self) -> usize {
        (self.0 >> 48) as usize
    }
}

impl Sealed for CodeNode {}

impl Layout for CodeNode {
    #[inline(always)]
    fn next(self) -> u32 {
        self.0 as u32
    }
    #[inline(always)]
    fn column(self) -> usize {
        (self.0 >> 32) as usize & (COLUMNS - 1)
    }
    fn set(self) -> Option<usize> {
        (self.0 & SET != 0).then_some(self.code())
    }
}

impl<B: Bin> Visit<B> for CodeNode {
    #[inline(always)]
    fn right<const SETS: bool>(self, cell: B, tests: &Tests) -> bool {
        let code: usize = cell.into();
        if SETS && self.0 & SET != 0 {
            return !tests.has(self.code(), code as u8);
        }
        code > self.code()
    }
}

/// How a feature's cells become codes.
#[derive(Clone, Debug, PartialEq)]
pub enum Coding {
    /// No test reads it.
    Unused,
    /// The number of cuts below the cell; cuts ascend.
    Cuts(Vec<f64>),
    /// Its bin.
    Bins(Categories),
}

/// Turns rows into columns of codes.
#[derive(Clone, Debug, PartialEq)]
pub struct Coder {
    features: Vec<Coded>,
    columns: usize,
    /// Whether codes fit in a byte.
    bytes: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Coded {
    /// Its first column.
    first: usize,
    coding: Coding,
    /// The largest f32 up to each cut: an f32 is above both or neither.
    narrow: Vec<f32>,
}

impl Coder {
    /// For these features.
    ///
    /// # Errors
    /// When cuts do not ascend or hold NaN, or there are 65,535 or more for a feature, or 2^15 columns or more (each number
    /// has two, each category one).
    pub fn new(features: Vec<Coding>) -> Result<Self, ShapeError> {
        let (mut columns, mut most, mut coded) = (0, 0, Vec::with_capacity(features.len()));
        for mut coding in features {
            let (first, mut narrow) = (columns, Vec::new());
            match &mut coding {
                Coding::Unused => {}
                Coding::Bins(_) => columns += 1,
                Coding::Cuts(cuts) => {
                    columns += 2;
                    most = most.max(cuts.len());
                    below("number of cuts", usize::from(u16::MAX), cuts.len())?;
                    let ascend = cuts.is_sorted() && cuts.iter().all(|cut| !cut.is_nan());
                    same("cuts in ascending order", 1, usize::from(ascend))?;
                    // Filled up for the search: see `bins_of`.
                    cuts.resize(length(cuts.len()), f64::INFINITY);
                    narrow = cuts.iter().map(|&cut| f32_up_to(cut)).collect();
                }
            }
            coded.push(Coded { first, coding, narrow });
        }
        below("number of columns", COLUMNS, columns)?;
        Ok(Self { features: coded, columns, bytes: most <= usize::from(u8::MAX) })
    }

    /// Columns of codes.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Features that are read.
    pub fn features(&self) -> usize {
        self.features.len()
    }

    /// The column for tests of a feature that send missing values left or right; `None` where no test reads it. In that of
    /// categories the bin [`MISSING`](super::MISSING) stands for missing values.
    ///
    /// # Panics
    /// When there is no such feature.
    pub fn column(&self, feature: usize, missing_left: bool) -> Option<usize> {
        let Coded { first, coding, .. } = &self.features[feature];
        match coding {
            Coding::Unused => None,
            Coding::Cuts(_) => Some(first + usize::from(missing_left)),
            Coding::Bins(_) => Some(*first),
        }
    }

    pub(super) fn is_bytes(&self) -> bool {
        self.bytes
    }

    /// Codes of up to [`BLOCK`] rows. What stands behind them in `out` is any code.
    fn encode<T: Float, B: Code>(&self, x: MatRef<'_, T>, out: &mut [[B; BLOCK]]) {
        T::dispatch(Encode { features: &self.features, x, out });
    }
}

/// The length of a table of cuts.
fn length(cuts: usize) -> usize {
    match cuts {
        0..16 => 16,
        16..256 => 256,
        256..4096 => 4096,
        _ => 65536,
    }
}

/// `u8` or `u16`: what codes are stored as.
pub(super) trait Code: Bin + AnyBits {}
impl Code for u8 {}
impl Code for u16 {}

struct Encode<'a, T, B> {
    features: &'a [Coded],
    x: MatRef<'a, T>,
    out: &'a mut [[B; BLOCK]],
}

impl<T: Float, B: Code> Task<T> for Encode<'_, T, B> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) {
        let Self { features, x, out } = self;
        let mut cells = [T::ZERO; BLOCK];
        for (feature, Coded { first, coding, narrow }) in features.iter().enumerate() {
            if *coding == Coding::Unused {
                continue;
            }
            for (row, cell) in cells[..x.rows()].iter_mut().enumerate() {
                *cell = x.get(row, feature);
            }
            match (coding, &mut out[*first..]) {
                (Coding::Cuts(cuts), [right, left, ..]) => {
                    let cuts = T::pick(narrow, cuts);
                    let left = left.as_chunks_mut::<TOGETHER>().0;
                    let blocks = right.as_chunks_mut().0.iter_mut().zip(left);
                    for (x, (right, left)) in cells.as_chunks::<TOGETHER>().0.iter().zip(blocks) {
                        search(simd, x, cuts, right);
                        for ((left, &right), x) in left.iter_mut().zip(&*right).zip(x) {
                            *left = if x.is_nan() { B::default() } else { right };
                        }
                    }
                }
                (Coding::Bins(bins), [column, ..]) => {
                    for (code, &x) in column.iter_mut().zip(&cells) {
                        *code = B::from_low_bits(bins.bin(x.to_f64()).into());
                    }
                }
                _ => {}
            }
        }
    }
}

/// The number of cuts below each cell, the largest code for NaN.
#[inline(always)]
fn search<S: Lanes<T>, T: Float, B: Code>(simd: S, x: &[T; TOGETHER], cuts: &[T], out: &mut [B; TOGETHER]) {
    let missing = B::COUNT - 1;
    if let Ok(table) = <&[T; 16]>::try_from(cuts) {
        bins_of(simd, x, table, missing, out);
    } else if let Ok(table) = <&[T; 256]>::try_from(cuts) {
        bins_of(simd, x, table, missing, out);
    } else if let Ok(table) = <&[T; 4096]>::try_from(cuts) {
        bins_of(simd, x, table, missing, out);
    } else if let Ok(table) = <&[T; 65536]>::try_from(cuts) {
        bins_of(simd, x, table, missing, out);
    }
}

/// Trees over codes, and how to make these.
#[derive(Clone, Debug, PartialEq)]
pub struct CodedTrees {
    trees: Trees<CodeNode>,
    coder: Coder,
    /// For each tree, if it is large enough.
    tops: Vec<Option<Top>>,
}

impl CodedTrees {
    /// Trees with these roots over the columns of `coder`.
    ///
    /// # Errors
    /// As [`Trees::new`].
    pub fn new(
        nodes: Vec<CodeNode>,
        roots: Vec<u32>,
        tests: Tests,
        coder: Coder,
        values: Values,
    ) -> Result<Self, ShapeError> {
        // A leaf reads the first column.
        let columns = coder.columns().max(1);
        let trees = Trees::new(nodes.into(), roots, tests, columns, values)?;
        let tops = Top::of_all(&trees)?;
        Ok(Self { trees, coder, tops })
    }
}

/// As [`super::predict`], by codes: equal bits. Each thread keeps up to 1 MiB, or what 256 rows need, for codes between calls,
/// and allocates nothing else. O(rows x (features x log thresholds + trees x depth)) time.
///
/// # Errors
/// When `x` does not have the features of the coder as columns, or `out` not its rows times the outputs.
pub fn predict_coded<T: Float>(
    trees: &CodedTrees,
    x: MatRef<'_, T>,
    out: &mut [f64],
) -> Result<(), ShapeError> {
    let steps = trees.trees.steps();
    if trees.coder.is_bytes() {
        by_blocks::<T, u8>(&trees.coder, &trees.trees.values, steps, x, out, trees)
    } else {
        by_blocks::<T, u16>(&trees.coder, &trees.trees.values, steps, x, out, trees)
    }
}

/// Nodes to which a row comes that no other row of a task comes to, at most: each is a line of eight.
const ROWS_REACH: usize = 8 * 16;

/// Asks for the nodes of the tree that comes next. All trees of a large forest are in no cache (100 of 14,000 leaves: 22 MB), and
/// walkers that wait for memory at every other node cost more than all else: 25 nanoseconds per row and tree in place of 46, for
/// seven classes and 31,000 leaves 58 in place of 136. (Asking for the second cache alone, or twice as often with half of the rows at a
/// time: the same. Twelve walkers: 28.)
struct Ahead<'a>(&'a [CodeNode]);

impl Task<f64> for Ahead<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<f64>>(self, simd: S) {
        self.0.chunks(8).for_each(|line| simd.prefetch(line.as_ptr()));
    }
}

/// Something that finds leaves by codes.
pub(super) trait Ensemble: Copy + Sync {
    /// Number of trees.
    fn trees(self) -> usize;
    /// Rows of a task, at most: their codes are read again for every tree.
    fn most_rows(self) -> usize {
        usize::MAX
    }
    /// Whether codes are to lie row by row too.
    fn by_rows(self) -> bool {
        false
    }
    /// The values of the leaves of a tree that rows reach, with or without the mark of leaves.
    fn leaves<B: Code>(self, tree: usize, codes: &Codes<'_, B>, out: &mut [u32]);
    /// Adds these values to `out`; `leaves` is room for a number for each row.
    fn add<B: Code>(
        self,
        tree: usize,
        codes: &Codes<'_, B>,
        values: &Values,
        leaves: &mut [u32],
        out: &mut [f64],
    ) {
        self.leaves(tree, codes, leaves);
        values.add_each(leaves, out);
    }
}

impl Ensemble for &CodedTrees {
    fn trees(self) -> usize {
        self.trees.len()
    }
    fn by_rows(self) -> bool {
        self.tops.iter().any(Option::is_some)
    }
    fn leaves<B: Code>(self, tree: usize, codes: &Codes<'_, B>, out: &mut [u32]) {
        // Of the last tree nothing, as of trees that do not stand one after the other: it is a matter of time alone.
        if let (Some(&from), Some(&to)) = (self.trees.roots.get(tree + 1), self.trees.roots.get(tree + 2)) {
            let next = self.trees.nodes.get(from as usize..to as usize).unwrap_or_default();
            // Few rows do not come to most of its lines.
            if out.len() * ROWS_REACH >= next.len() {
                f64::dispatch(Ahead(next));
            }
        }
        // Codes have the trees' columns and as many rows as the output, and the tree is one of them.
        if let Some(top) = &self.tops[tree] {
            let _ = top.leaves(&self.trees, codes, out);
        } else {
            for (codes, out) in codes.blocks().zip(out.chunks_mut(BLOCK)) {
                let _ = self.trees.leaves_of_items(tree, Block(codes), out);
            }
        }
    }
}

/// The codes of the rows of a task.
#[derive(Clone, Copy)]
pub(super) struct Codes<'a, B> {
    columns: usize,
    /// Column by column in each block of rows.
    blocks: &'a [[B; BLOCK]],
    /// Row by row, padded, where that is asked for.
    rows: &'a [B],
}

impl<'a, B> Codes<'a, B> {
    /// The columns of each block.
    pub(super) fn blocks(self) -> impl Iterator<Item = &'a [[B; BLOCK]]> {
        self.blocks.chunks_exact(self.columns)
    }
    /// Row by row.
    pub(super) fn rows(self) -> ByRows<'a, B> {
        ByRows { columns: self.columns, data: self.rows }
    }
}

/// The codes of a block, column by column.
#[derive(Clone, Copy)]
struct Block<'a, B>(&'a [[B; BLOCK]]);

// SAFETY: every column has all items.
unsafe impl<B: Copy> Cells<B> for Block<'_, B> {
    fn items(self) -> usize {
        BLOCK
    }
    fn columns(self) -> usize {
        self.0.len()
    }
    #[inline(always)]
    unsafe fn get(self, item: usize, column: usize) -> B {
        // SAFETY: as the caller promises, item < BLOCK and column < columns.
        unsafe { *self.0.as_ptr().cast::<B>().add(column * BLOCK + item) }
    }
}

/// The codes of rows, each of which begins where a cache line does if it fits one.
#[derive(Clone, Copy)]
pub(super) struct ByRows<'a, B> {
    columns: usize,
    data: &'a [B],
}

/// Elements from one row to the next.
#[inline(always)]
fn stride(columns: usize) -> usize {
    columns.next_multiple_of(64)
}

// SAFETY: every item has all columns.
unsafe impl<B: Copy> Cells<B> for ByRows<'_, B> {
    fn items(self) -> usize {
        self.data.len() / stride(self.columns)
    }
    fn columns(self) -> usize {
        self.columns
    }
    #[inline(always)]
    unsafe fn get(self, item: usize, column: usize) -> B {
        // SAFETY: as the caller promises, the item and the column exist.
        unsafe { *self.data.as_ptr().add(item * stride(self.columns) + column) }
    }
}

/// Rows of a task are made codes, then go down tree after tree.
pub(super) fn by_blocks<T: Float, B: Code>(
    coder: &Coder,
    values: &Values,
    steps: usize,
    x: MatRef<'_, T>,
    out: &mut [f64],
    ensemble: impl Ensemble,
) -> Result<(), ShapeError> {
    let (outputs, columns) = (values.outputs(), coder.columns().max(1));
    fits(coder.features(), outputs, x, out)?;
    let by_rows = if ensemble.by_rows() { stride(columns) } else { 0 };
    let task = task(x.rows(), steps, (columns + by_rows) * size_of::<B>() + 8 * outputs + 12);
    let task = task.min(ensemble.most_rows());
    parallel::for_each_chunk_mut(out, task * outputs, |number, out| {
        let x = x.row_range(number * task..number * task + out.len() / outputs);
        let blocks = x.rows().div_ceil(BLOCK);
        let mut scratch = Scratch::new::<B>(blocks * BLOCK * (columns + by_rows));
        let (codes, rows) = scratch.as_mut_slice::<B>().split_at_mut(blocks * BLOCK * columns);
        let (codes, rows) = (codes.as_chunks_mut::<BLOCK>().0, &mut rows[..blocks * BLOCK * by_rows]);
        for (block, codes) in codes.chunks_exact_mut(columns).enumerate() {
            coder.encode(x.row_range(block * BLOCK..x.rows().min((block + 1) * BLOCK)), codes);
            if by_rows > 0 {
                let rows = &mut rows[block * BLOCK * by_rows..][..BLOCK * by_rows];
                for (column, codes) in codes.iter().enumerate() {
                    for (row, &code) in rows.chunks_exact_mut(by_rows).zip(codes) {
                        row[column] = code;
                    }
                }
            }
        }
        let codes = Codes { columns, blocks: codes, rows };
        let mut leaves = Scratch::new::<u32>(x.rows());
        let leaves = &mut leaves.as_mut_slice()[..x.rows()];
        for tree in 0..ensemble.trees() {
            ensemble.add(tree, &codes, values, leaves, out);
        }
    });
    Ok(())
}
