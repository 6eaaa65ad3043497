//! Small trees without walks: every test is made on all rows of a block, 64 at a time.
//!
//! For each node there is the set of rows that reach it. Its test divides the set between the children, and marks the rows that go right
//! with the first leaf on that side: the last mark stays. No row takes a way of its own and nothing is looked up: with mask registers a
//! test of 64 rows is a comparison, a move of bytes under its mask and an "and not", where a step of a walk is as much for one. Tests with
//! two leaves below, half of them, leave marks alone. The codes of a block stay in the first cache for all trees.
//!
//! (After "QuickScorer", Lucchese et al., SIGIR 2015, and "RapidScorer", Ye et al., KDD 2018, which keep for each row a bit for every leaf;
//! that took 2.5 nanoseconds for a row and a tree of 64 leaves, this 1.1 with the addition of values, on one thread of a Zen 5. Sets as a
//! byte for each row, 1.8: three stores of whole vectors for every test.)

use super::codes::{Code, Coder, Codes, Ensemble, by_blocks};
use super::nodes::{BLOCK, Values};
use crate::matrix::{below, same};
use crate::scratch::Scratch;
use crate::simd::{Lanes, LanesOfEverySet as _, RowSets, Task};
use crate::{Float, MatRef, ShapeError};

/// A test of a small tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskTest {
    /// The column of codes, that of [`Coder::column`].
    pub column: u32,
    /// Codes up to it go left.
    pub code: u16,
    /// Leaves below the left child.
    pub lefts: u16,
}

/// The most leaves of a tree: a byte names one.
pub(super) const MOST: usize = 256;

/// A test, and where the sets of rows are that reach it and its children: places by the numbers of tests.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    column: u32,
    code: u16,
    here: u16,
    below: [u16; 2],
    /// The first leaf below the right child.
    right: u8,
}

/// Where what reaches a leaf goes: nobody asks.
const NOWHERE: usize = MOST - 1;

/// The tests of a tree of up to [`MOST`] leaves.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Steps {
    /// Tests with others below, parents first.
    upper: Vec<Step>,
    /// Tests with two leaves below.
    last: Vec<Step>,
}

impl Steps {
    /// Tests in the order of a walk through all nodes that goes left first, and the number of leaves.
    pub(super) fn new(tests: &[MaskTest], leaves: usize) -> Result<Self, ShapeError> {
        below("leaves of a tree", MOST + 1, leaves)?;
        same("tests of a tree against its leaves", leaves, tests.len() + 1)?;
        let mut steps: Vec<Step> = Vec::with_capacity(tests.len());
        // Nodes to come with tests: the first leaf below, how many there are, the parent and its side.
        let mut next = vec![(0, leaves, None)];
        next.retain(|(_, leaves, _)| *leaves > 1);
        for (number, test) in tests.iter().enumerate() {
            let Some((first, count, parent)) = next.pop() else {
                return Err(ShapeError::Zero { what: "leaves of a test" });
            };
            let lefts = usize::from(test.lefts);
            below("leaves below a left child", count, lefts)?;
            if lefts == 0 {
                return Err(ShapeError::Zero { what: "leaves below a left child" });
            }
            if let Some((parent, side)) = parent {
                let parent: &mut Step = &mut steps[parent];
                parent.below[side] = number as u16;
            }
            let right = first + lefts;
            let children = [(right, count - lefts, Some((number, 1))), (first, lefts, Some((number, 0)))];
            next.extend(children.into_iter().filter(|(_, leaves, _)| *leaves > 1));
            let MaskTest { column, code, .. } = *test;
            let below = [NOWHERE as u16; 2];
            steps.push(Step { column, code, here: number as u16, below, right: right as u8 });
        }
        let (last, upper) = steps.into_iter().partition(|step| step.below == [NOWHERE as u16; 2]);
        Ok(Self { upper, last })
    }

    fn len(&self) -> usize {
        self.upper.len() + self.last.len()
    }
}

/// Trees of up to 256 leaves, as tests.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskedTrees {
    coder: Coder,
    trees: Vec<Steps>,
    /// The value of each leaf of each tree, from left to right.
    leaves: Vec<Vec<u32>>,
    /// The same, looked up, where they are single numbers.
    numbers: Vec<Vec<f64>>,
    values: Values,
}

impl MaskedTrees {
    /// Trees, each its tests in the order of a walk through all nodes that goes left first, and the values of its leaves from left to
    /// right.
    ///
    /// # Errors
    /// When a tree has no leaf or more than 256, tests do not stand for a tree of as many leaves, or a column or value does not exist.
    pub fn new(
        trees: impl IntoIterator<Item = (Vec<MaskTest>, Vec<u32>)>,
        coder: Coder,
        values: Values,
    ) -> Result<Self, ShapeError> {
        let mut new = Self { coder, trees: vec![], leaves: vec![], numbers: vec![], values };
        for (tests, leaves) in trees {
            for test in &tests {
                below("the column of a test", new.coder.columns(), test.column as usize)?;
            }
            for &value in &leaves {
                below("the value of a leaf", new.values.len(), value as usize)?;
            }
            new.trees.push(Steps::new(&tests, leaves.len())?);
            if new.values.outputs() == 1 {
                new.numbers.push(leaves.iter().map(|&leaf| new.values.numbers()[leaf as usize]).collect());
            }
            new.leaves.push(leaves);
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
    // Some 48 tests of a row at the price of a step.
    let tests: usize = trees.trees.iter().map(Steps::len).sum();
    let steps = tests / 48 + trees.trees.len();
    if trees.coder.is_bytes() {
        by_blocks::<T, u8>(&trees.coder, &trees.values, steps, x, out, trees)
    } else {
        by_blocks::<T, u16>(&trees.coder, &trees.values, steps, x, out, trees)
    }
}

impl Ensemble for &MaskedTrees {
    fn trees(self) -> usize {
        self.trees.len()
    }
    /// A block, whose codes stay in the first cache: all tests of a tree take no longer than to bring them there from the second.
    fn most_rows(self) -> usize {
        BLOCK
    }
    fn leaves<B: Code>(self, tree: usize, codes: &Codes<'_, B>, out: &mut [u32]) {
        let leaves = table(&self.leaves[tree]);
        let write = |out: &mut u32, leaf: u8| *out = leaves[usize::from(leaf)];
        f64::dispatch(Rule { tests: &self.trees[tree], codes: *codes, out, write });
    }
    fn add<B: Code>(
        self,
        tree: usize,
        codes: &Codes<'_, B>,
        values: &Values,
        leaves: &mut [u32],
        out: &mut [f64],
    ) {
        let Some(numbers) = self.numbers.get(tree) else {
            self.leaves(tree, codes, leaves);
            return values.add_each(leaves, out);
        };
        let numbers = table(numbers);
        let write = |out: &mut f64, leaf: u8| *out += numbers[usize::from(leaf)];
        f64::dispatch(Rule { tests: &self.trees[tree], codes: *codes, out, write });
    }
}

/// What stands for each leaf, as long as there are bytes.
fn table<T: Copy + Default>(of_leaves: &[T]) -> [T; MOST] {
    let mut table = [T::default(); MOST];
    table[..of_leaves.len()].copy_from_slice(of_leaves);
    table
}

/// Writes for each row the number of the leaf to which the tests lead.
pub(super) fn numbers<B: Code>(tests: &Steps, codes: &Codes<'_, B>, out: &mut [u32]) {
    f64::dispatch(Rule { tests, codes: *codes, out, write: |out: &mut u32, leaf| *out = u32::from(leaf) });
}

/// One tree on the rows of a task.
struct Rule<'a, B, O, W> {
    tests: &'a Steps,
    codes: Codes<'a, B>,
    out: &'a mut [O],
    write: W,
}

impl Step {
    /// The rows that go left and right, of a block; the leaf of the latter is now the first on the right.
    #[inline(always)]
    fn divide<S: RowSets, B: Code>(
        &self,
        simd: S,
        codes: &[[B; BLOCK]],
        rows: &[S::Rows; PARTS],
        leaf: &mut [[u8; ROWS]; PARTS],
    ) -> [[S::Rows; PARTS]; 2] {
        let codes = codes[self.column as usize].as_chunks::<ROWS>().0;
        let code = B::from_low_bits(self.code.into());
        let mut below = [*rows; 2];
        for part in 0..PARTS {
            [below[0][part], below[1][part]] =
                simd.divide_rows(rows[part], &codes[part], code, &mut leaf[part], self.right);
        }
        below
    }
}

/// Rows of a set.
const ROWS: usize = 64;
/// How often a block has these.
const PARTS: usize = BLOCK / ROWS;

impl<B: Code, O, W: Fn(&mut O, u8)> Task<f64> for Rule<'_, B, O, W> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<f64>>(self, simd: S) {
        let Self { tests, codes, out, write } = self;
        let mut scratch = Scratch::new::<S::Rows>(MOST * PARTS);
        let rows = scratch.as_mut_slice::<S::Rows>().as_chunks_mut::<PARTS>().0;
        let Some(rows) = rows.first_chunk_mut::<MOST>() else { return };
        for (codes, out) in codes.blocks().zip(out.chunks_mut(BLOCK)) {
            // The root, where there is a test.
            rows[0] = [simd.all_rows(); PARTS];
            let mut leaf = [[0; ROWS]; PARTS];
            for step in &tests.upper {
                let below = step.divide(simd, codes, &rows[usize::from(step.here) % MOST], &mut leaf);
                rows[usize::from(step.below[0]) % MOST] = below[0];
                rows[usize::from(step.below[1]) % MOST] = below[1];
            }
            for step in &tests.last {
                step.divide(simd, codes, &rows[usize::from(step.here) % MOST], &mut leaf);
            }
            out.iter_mut().zip(leaf.as_flattened()).for_each(|(out, &leaf)| write(out, leaf));
        }
    }
}
