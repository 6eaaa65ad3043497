//! Products that read A and B where they are: where packing would cost more than it saves.
//!
//! Packing copies every element of both operands once, which pays when each is then used in many tiles. With few rows of
//! C the elements of B are used in few; and where B is small it is in L1 or L2 anyway: 64 cubed went from 66 to 93 % of
//! the peak, 256 cubed from 87 to 96 %, 4096 x 64 x 64 from 79 to 95 % (f32, AVX-512, Zen 5).
//!
//! The sums are those of the packed product: one chain for each element of C, over ascending k, through C itself.

use super::blocking::even_piece;
use super::driver::{BlockingOf, Output, SERIAL_BELOW};
use super::microkernel::{InPlace, Seed, Spot, tile};
use crate::simd::{Isa, Lanes, Task};
use crate::{Float, MatMut, MatRef, parallel};
use std::ops::Range;

/// Bytes of B that stay in a cache while all rows of A pass: most of a small L2.
const CACHED: usize = 400 << 10;

/// Rows of C up to which B is not packed, however large: at 128 x 1024 x 1024 packing gave 87 instead of 91 % of the
/// peak (f32; f64 81 and 86).
const FEW_ROWS: usize = 128;

/// Steps of k that all columns take before the next ones, where B is not cached: so many rows of B are read side by
/// side from end to end, as hardware prefetchers like it. C comes and goes with each. 64 x 1024 x 1024 with 32, 64, 96
/// and 128 steps: 73, 86, 89 and 90 % of the peak (f32).
const STEPS: usize = 128;

/// Whether a product with alpha = 1 is to be computed here (an operand is multiplied by alpha where it is packed). B and C
/// must have contiguous rows.
pub(super) fn suits<T: Float>(a: MatRef<'_, T>, b: MatRef<'_, T>, c: &MatMut<'_, T>) -> bool {
    let possible = b.col_stride() == 1 && c.col_stride() == 1;
    possible && (a.rows() <= FEW_ROWS || b.rows() * b.cols() * size_of::<T>() <= CACHED)
}

/// C = A B + beta C, k at least 1. Shapes were checked by the caller.
pub(super) fn product<T: Float>(a: MatRef<'_, T>, b: MatRef<'_, T>, beta: T, c: &mut MatMut<'_, T>) {
    let (m, n, k) = (c.rows(), c.cols(), a.cols());
    assert!(b.col_stride() == 1 && c.col_stride() == 1);
    assert!(a.rows() == m && b.cols() == n && b.rows() == k);
    let isa = Isa::current();
    let out = Output { ptr: c.as_mut_ptr(), rs: c.row_stride(), cs: 1 };
    let job = |rows, cols| T::dispatch_on(isa, Job { a, b, beta, out, rows, cols });
    if m.saturating_mul(n).saturating_mul(k) < SERIAL_BELOW || parallel::threads() == 1 {
        return job(0..m, 0..n);
    }
    let blocking = T::dispatch_on(isa, BlockingOf);
    let (rows, cols) = blocking.job(m, n, parallel::threads());
    let down = m.div_ceil(rows);
    parallel::for_each(down * n.div_ceil(cols), |i| {
        let (row, col) = (i % down * rows, i / down * cols);
        job(row..(row + rows).min(m), col..(col + cols).min(n));
    });
}

/// A rectangle of C.
struct Job<'a, T> {
    a: MatRef<'a, T>,
    b: MatRef<'a, T>,
    beta: T,
    out: Output<T>,
    rows: Range<usize>,
    cols: Range<usize>,
}

impl<T: Float> Task<T> for Job<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) {
        let (k, nr) = (self.b.rows(), 2 * S::LANES);
        let cached = k * self.cols.len() * size_of::<T>() <= CACHED;
        let depth = if cached { k } else { STEPS };
        let high = even_piece(self.rows.len(), S::TILE_ROWS, 1);
        for from in (0..k).step_by(depth) {
            let steps = depth.min(k - from);
            let seed = Seed::of(from, self.beta);
            for row in self.rows.clone().step_by(high) {
                let height = high.min(self.rows.end - row);
                for col in self.cols.clone().step_by(nr) {
                    let place = Place { row, col, from, steps, cols: nr.min(self.cols.end - col), seed };
                    match height {
                        1 => self.place::<S, 1>(simd, place),
                        2 => self.place::<S, 2>(simd, place),
                        3 => self.place::<S, 3>(simd, place),
                        4 => self.place::<S, 4>(simd, place),
                        5 => self.place::<S, 5>(simd, place),
                        6 => self.place::<S, 6>(simd, place),
                        7 => self.place::<S, 7>(simd, place),
                        8 => self.place::<S, 8>(simd, place),
                        9 => self.place::<S, 9>(simd, place),
                        10 => self.place::<S, 10>(simd, place),
                        11 => self.place::<S, 11>(simd, place),
                        12 => self.place::<S, 12>(simd, place),
                        _ => unreachable!("no set has a higher tile"),
                    }
                }
            }
        }
    }
}

/// A tile and the steps of k it is to take.
#[derive(Clone, Copy)]
struct Place<T> {
    row: usize,
    col: usize,
    from: usize,
    steps: usize,
    cols: usize,
    seed: Seed<T>,
}

impl<T: Float> Job<'_, T> {
    #[inline(always)]
    fn place<S: Lanes<T>, const MR: usize>(&self, simd: S, place: Place<T>) {
        if MR > S::TILE_ROWS {
            return;
        }
        let Place { row, col, from, steps, cols, seed } = place;
        let offset = |view: &MatRef<'_, T>, i: usize, j: usize| {
            view.as_ptr().wrapping_offset(i as isize * view.row_stride() + j as isize * view.col_stride())
        };
        let a = InPlace {
            at: offset(&self.a, row, from),
            row_stride: self.a.row_stride(),
            col_stride: self.a.col_stride(),
        };
        let b = (offset(&self.b, from, col), self.b.row_stride());
        let c = self.out.ptr.wrapping_offset(row as isize * self.out.rs + col as isize);
        let spot = Spot { c, row_stride: self.out.rs, cols, next: c };
        // SAFETY: rows row..row + MR of A and C, steps from..from + steps of A and B, and `cols` columns of B and C from
        // col on lie inside the views, columns of B and C one element apart; this job alone writes these of C.
        unsafe {
            if cols == 2 * S::LANES {
                tile::<T, S, _, MR, 2, true>(simd, steps, a, b, spot, seed);
            } else if cols > S::LANES {
                tile::<T, S, _, MR, 2, false>(simd, steps, a, b, spot, seed);
            } else {
                tile::<T, S, _, MR, 1, false>(simd, steps, a, b, spot, seed);
            }
        }
    }
}
