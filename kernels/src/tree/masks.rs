//! Small trees without walks: every test clears the leaves that it rules out.
//!
//! A tree of at most 64 leaves has a bit for each, from left to right. A test that sends a row right rules out the leaves
//! below its left child; when all tests have been made, the lowest bit that is left is the row's leaf. Tests of many rows
//! are made at once, and no row takes a way of its own. (Lucchese et al., "QuickScorer", SIGIR 2015; tests merged and made for
//! vectors of rows: Ye et al., "RapidScorer", KDD 2018. Here tests are of codes, so that vectors of bytes compare them.)

use super::codes::{Code, Coder, Codes, Ensemble, by_blocks};
use super::nodes::{BLOCK, Values};
use crate::matrix::below;
use crate::simd::{Lanes, LanesOfEverySet as _, Task};
use crate::{Float, MatRef, ShapeError};
use std::marker::PhantomData;
use std::ops::BitAndAssign;

/// A test of a small tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaskTest {
    /// The column of codes, that of [`Coder::column`].
    pub column: u32,
    /// Codes up to it go left.
    pub code: u16,
    /// The leaves that are left when a row goes right: all but those below the left child.
    pub right: u64,
}

/// Trees of up to 64 leaves, as tests.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskedTrees {
    coder: Coder,
    tests: Vec<MaskTest>,
    /// The value of each leaf, from left to right.
    leaves: Vec<u32>,
    /// Where each tree's tests and leaves begin, and where they end.
    starts: Vec<[usize; 2]>,
    /// The most leaves of a tree.
    most: usize,
    values: Values,
}

impl MaskedTrees {
    /// Trees, each its tests and the values of its leaves from left to right.
    ///
    /// # Errors
    /// When a tree has no leaf or more than 64, a column or value does not exist, or all leaves can be ruled out.
    pub fn new(
        trees: impl IntoIterator<Item = (Vec<MaskTest>, Vec<u32>)>,
        coder: Coder,
        values: Values,
    ) -> Result<Self, ShapeError> {
        let mut new = Self { coder, tests: vec![], leaves: vec![], starts: vec![[0, 0]], most: 1, values };
        for (tests, leaves) in trees {
            below("leaves of a tree", 65, leaves.len())?;
            for test in &tests {
                below("the column of a test", new.coder.columns(), test.column as usize)?;
            }
            let left = tests.iter().fold(u64::MAX, |left, test| left & test.right);
            below("the last leaf to be ruled out", leaves.len(), left.trailing_zeros() as usize)?;
            for &value in &leaves {
                below("the value of a leaf", new.values.len(), value as usize)?;
            }
            new.most = new.most.max(leaves.len());
            new.tests.extend(tests);
            new.leaves.extend(leaves);
            new.starts.push([new.tests.len(), new.leaves.len()]);
        }
        Ok(new)
    }
}

/// As [`super::predict`], by masks: equal bits. Each thread keeps up to 1 MiB, or a block of 256 rows, for codes between
/// calls, and allocates nothing else. O(rows x (features x log thresholds + trees x leaves)) time.
///
/// # Errors
/// When `x` does not have the features of the coder as columns, or `out` not its rows times the outputs.
pub fn predict_masked<T: Float>(
    trees: &MaskedTrees,
    x: MatRef<'_, T>,
    out: &mut [f64],
) -> Result<(), ShapeError> {
    // Some 16 tests of a row at the price of a step.
    let steps = trees.tests.len() / 16 + trees.starts.len();
    if trees.coder.is_bytes() {
        by_blocks::<T, u8>(&trees.coder, &trees.values, steps, x, out, trees)
    } else {
        by_blocks::<T, u16>(&trees.coder, &trees.values, steps, x, out, trees)
    }
}

impl Ensemble for &MaskedTrees {
    fn trees(self) -> usize {
        self.starts.len() - 1
    }
    fn leaves<B: Code>(self, tree: usize, codes: &Codes<'_, B>, out: &mut [u32]) {
        let ([test, leaf], [last_test, last_leaf]) = (self.starts[tree], self.starts[tree + 1]);
        let (tests, leaves) = (&self.tests[test..last_test], &self.leaves[leaf..last_leaf]);
        match self.most {
            0..=8 => rule_out::<u8, B>(tests, leaves, codes, out),
            9..=16 => rule_out::<u16, B>(tests, leaves, codes, out),
            17..=32 => rule_out::<u32, B>(tests, leaves, codes, out),
            _ => rule_out::<u64, B>(tests, leaves, codes, out),
        }
    }
}

/// Writes for each row the entry of `leaves` that the tests leave.
pub(super) fn rule_out<M: Mask, B: Code>(
    tests: &[MaskTest],
    leaves: &[u32],
    codes: &Codes<'_, B>,
    out: &mut [u32],
) {
    f64::dispatch(Rule { tests, leaves, codes: *codes, out, mask: PhantomData::<M> });
}

/// One tree on the rows of a task.
struct Rule<'a, M, B> {
    tests: &'a [MaskTest],
    leaves: &'a [u32],
    codes: Codes<'a, B>,
    out: &'a mut [u32],
    mask: PhantomData<M>,
}

/// Rows whose masks stay in registers.
const ROWS: usize = 64;

/// A bit for each leaf.
pub(super) trait Mask: Copy + BitAndAssign + Into<u64> {
    fn low(bits: u64) -> Self;
}
macro_rules! masks {
    ($($t:ty)*) => {$(
        impl Mask for $t {
            #[inline(always)]
            fn low(bits: u64) -> Self {
                bits as $t
            }
        }
    )*};
}
masks!(u8 u16 u32 u64);

impl<M: Mask, B: Code> Task<f64> for Rule<'_, M, B> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<f64>>(self, _: S) {
        let Self { tests, leaves, codes, out, mask: _ } = self;
        let all = M::low(u64::MAX);
        for (codes, out) in codes.blocks().zip(out.chunks_mut(BLOCK)) {
            for (part, out) in out.chunks_mut(ROWS).enumerate() {
                let mut left = [all; ROWS];
                for test in tests {
                    let (right, code) = (M::low(test.right), B::from_low_bits(test.code.into()));
                    let codes = &codes[test.column as usize].as_chunks::<ROWS>().0[part];
                    for (left, &at) in left.iter_mut().zip(codes) {
                        *left &= if at > code { right } else { all };
                    }
                }
                for (out, left) in out.iter_mut().zip(left) {
                    *out = leaves[left.into().trailing_zeros() as usize];
                }
            }
        }
    }
}
