//! Products with at most half a vector of columns: the rows of C take the lanes instead.
//!
//! With a vector along so few columns most lanes are empty. Here C^T = B^T A^T is computed: blocks of A are transposed into
//! panels as any B is packed, and tiles of n rows take several vectors of them. 4096 x 2, 4, 6, 8 x 1024 went from 15, 34,
//! 51, 68 to 24, 50, 68, 80 G/s (f32, AVX-512, Zen 5).
//!
//! Where a vector has eight lanes or fewer the transposition costs more than it saves: four columns 0.95 times as fast in
//! f32 with AVX2, 0.7 in f64 with AVX-512. A prefetch of the next rows of A, without transposing, cost 20 %.
//!
//! The sums are those of all other products: one chain for each element of C, over ascending k, alpha multiplied into A.

use super::blocking::even_piece;
use super::direct::{Job, Right};
use super::driver::{BlockingOf, Change, Operand, Output, PackRight, SERIAL_BELOW};
use super::epilogue::Epilogue;
use super::microkernel::{Columns, Panels};
use super::pack::Block;
use crate::scratch::Scratch;
use crate::simd::{Isa, Lanes, Task};
use crate::{Float, MatMut, MatRef, parallel};

/// Steps of k that are transposed at a time: with the rows of a piece they stay in L2.
const STEPS: usize = 256;

/// Vectors of rows in a piece of work.
const VECTORS: usize = 12;

/// Whether C has so few columns and so many rows, and rows of A are contiguous.
pub(super) fn suits<T: Float>(a: &MatRef<'_, T>, c: &MatMut<'_, T>) -> bool {
    // Before the set is asked: no set has more than 16 lanes.
    if c.cols() > 8 || c.rows() < 64 || a.col_stride() != 1 || a.cols() < 32 {
        return false;
    }
    let lanes = T::dispatch(LanesOf);
    lanes >= 16 && 2 * c.cols() <= lanes
}

struct LanesOf;
impl<T: Float> Task<T> for LanesOf {
    type Output = usize;
    #[inline(always)]
    fn run<S: Lanes<T>>(self, _: S) -> usize {
        S::LANES
    }
}

/// C = epilogue((alpha A) B + beta C), k at least 1. Shapes were checked by the caller.
pub(super) fn product<T: Float>(
    alpha: T,
    a: &MatRef<'_, T>,
    b: &MatRef<'_, T>,
    beta: T,
    c: &mut MatMut<'_, T>,
    epilogue: &Epilogue<'_, T>,
) {
    let (m, n, k) = (c.rows(), c.cols(), a.cols());
    assert!(a.rows() == m && b.cols() == n && b.rows() == k);
    let isa = Isa::current();
    let width = T::dispatch_on(isa, BlockingOf).tile_cols;
    let rows = even_piece(m, VECTORS / 2 * width, width);
    let depth = even_piece(k, STEPS, 1);
    let left = b.transpose();
    let right = Operand { view: a.transpose(), change: Change::Scale(alpha) };
    let shared = Output { ptr: c.as_mut_ptr(), rs: c.row_stride(), cs: c.col_stride() };
    let piece = |i: usize| {
        let out = &shared;
        let (first, count) = (i * rows, rows.min(m - i * rows));
        let wide = count.next_multiple_of(width);
        let mut panels = Scratch::new::<T>(wide * depth);
        let mut transposed = Scratch::new::<T>(n * wide);
        let panels = &mut panels.as_mut_slice::<T>()[..wide * depth];
        let transposed = &mut transposed.as_mut_slice::<T>()[..n * wide];
        let at = |row: usize, j: usize| {
            out.ptr.wrapping_offset((first + row) as isize * out.rs + j as isize * out.cs)
        };
        if beta != T::ZERO {
            for (j, line) in transposed.chunks_exact_mut(wide).enumerate() {
                // SAFETY: rows first..first + count lie in C, and only this piece touches them.
                line[..count].iter_mut().enumerate().for_each(|(i, x)| *x = unsafe { *at(i, j) });
            }
        }
        for from in (0..k).step_by(depth) {
            let depth = depth.min(k - from);
            let block = Block { first, count, from, depth };
            T::dispatch_on(isa, PackRight::<T, T> { operand: &right, block, out: panels });
            let steps = left.col_range(from..from + depth);
            let job = Job {
                a: &steps,
                b: &OnePiece { panels, width, depth },
                beta: if from == 0 { beta } else { T::ONE },
                out: &Output { ptr: transposed.as_mut_ptr(), rs: wide as isize, cs: 1 },
                rows: 0..n,
                cols: 0..count,
                epilogue: &Epilogue::NONE,
            };
            T::dispatch_on(isa, &job);
        }
        for (j, line) in transposed.chunks_exact(wide).enumerate() {
            // SAFETY: as above.
            line[..count].iter().enumerate().for_each(|(i, &x)| unsafe { *at(i, j) = x });
        }
        epilogue.range(isa, out, first..first + count, 0..n);
    };
    let pieces = m.div_ceil(rows);
    if m.saturating_mul(n).saturating_mul(k) < SERIAL_BELOW {
        (0..pieces).for_each(piece);
    } else {
        parallel::for_each(pieces, piece);
    }
}

/// The panels of a piece and a block of k.
struct OnePiece<'a, T> {
    panels: &'a [T],
    width: usize,
    depth: usize,
}

impl<T: Float> Right<T> for OnePiece<'_, T> {
    type Columns = Panels<T>;
    const PAIRS: bool = true;
    #[inline(always)]
    fn steps(&self, k: usize, _: usize) -> usize {
        k
    }
    #[inline(always)]
    fn group(&self, cols: usize) -> usize {
        cols
    }
    #[inline(always)]
    fn columns(&self, _: usize, col: usize) -> Panels<T> {
        let (width, apart) = (self.width, self.width * self.depth);
        Panels { at: self.panels.as_ptr(), apart, width }.skip(col)
    }
}
