//! B packed once for many products.

use super::blocking::{Blocking, even_piece};
use super::driver::{BlockingOf, Change, Operand, pack_right};
use crate::scratch::Scratch;
use crate::simd::Isa;
use crate::{Float, MatRef, Storage};
use std::fmt;
use std::marker::PhantomData;

/// B of a product, copied once into the order in which tiles read it: the weights of a layer that meets many batches.
///
/// It takes k n elements, n rounded up to whole panels of two vectors, in the order of the instruction set that was in use
/// when it was made; products with it run on that set. Results have the bits that B itself would give.
///
/// ```
/// use tilewise_kernels::{Gemm, MatMut, MatRef, PackedB};
/// let weights = PackedB::new(MatRef::new(&[1.0, 2.0, 3.0, 4.0], 2, 2).unwrap());
/// let mut c = [0.0; 2];
/// let a = MatRef::new(&[1.0, 10.0], 1, 2).unwrap();
/// Gemm::new().run(a, &weights, MatMut::new(&mut c, 1, 2).unwrap()).unwrap();
/// assert_eq!(c, [31.0, 42.0]);
/// ```
pub struct PackedB<T> {
    pub(super) isa: Isa,
    pub(super) blocking: Blocking,
    k: usize,
    n: usize,
    panels: Scratch,
    element: PhantomData<T>,
}

impl<T: Float> PackedB<T> {
    /// Packs `b`, k x n, in parallel; numbers stored as something else are converted. O(k n).
    pub fn new<S: Storage>(b: MatRef<'_, S>) -> Self {
        let isa = Isa::current();
        let blocking = T::dispatch_on(isa, BlockingOf);
        let (k, n, width) = (b.rows(), b.cols(), blocking.tile_cols);
        let panels = Scratch::to_keep::<T>(k * n.next_multiple_of(width));
        let mut packed = Self { isa, blocking, k, n, panels, element: PhantomData };
        let operand = Operand { view: b, change: Change::Scale(T::ONE) };
        for col in (0..n).step_by(packed.cols_per_block()) {
            let cols = packed.cols_per_block().min(n - col);
            for from in (0..k).step_by(packed.depth()) {
                let depth = packed.depth().min(k - from);
                let at = packed.offset((col, cols), from);
                let out = &mut packed.panels.as_mut_slice::<T>()[at..];
                pack_right(false, isa, &operand, (col, cols), (from, depth), width, out);
            }
        }
        packed
    }

    /// k: rows of B.
    pub fn rows(&self) -> usize {
        self.k
    }

    /// n: columns of B.
    pub fn cols(&self) -> usize {
        self.n
    }

    /// Columns of all blocks but the last.
    pub(super) fn cols_per_block(&self) -> usize {
        even_piece(self.n, self.blocking.cols_per_block, self.blocking.tile_cols)
    }

    /// Steps of k of all blocks but the last.
    pub(super) fn depth(&self) -> usize {
        even_piece(self.k, self.blocking.depth, 1)
    }

    /// Where the block of columns `col..col + cols` and steps from `from` on begins.
    fn offset(&self, (col, cols): (usize, usize), from: usize) -> usize {
        col * self.k + cols.next_multiple_of(self.blocking.tile_cols) * from
    }

    /// The panels of a block.
    pub(super) fn block(&self, (col, cols): (usize, usize), (from, depth): (usize, usize)) -> &[T] {
        let len = cols.next_multiple_of(self.blocking.tile_cols) * depth;
        &self.panels.as_slice::<T>()[self.offset((col, cols), from)..][..len]
    }

    /// The only column, where there is but one.
    pub(super) fn column(&self) -> Option<MatRef<'_, T>> {
        let (k, apart) = (self.k, self.blocking.tile_cols as isize);
        if self.n == 1 { MatRef::with_strides(self.panels.as_slice(), 0, k, 1, apart, 1).ok() } else { None }
    }
}

impl<T: Float> fmt::Debug for PackedB<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackedB({} x {}, {})", self.k, self.n, self.isa.name())
    }
}
