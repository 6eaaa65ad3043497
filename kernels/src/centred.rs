//! Weighted sums of the columns of a matrix about given values: means, cross products and gradients of centred rows.
//!
//! Differences come before products, so a column that equals its shift gives exact zeros and nothing large is ever
//! subtracted from something large. **Order:** every sum is one chain of fused multiply-adds over ascending rows.

use crate::gemv::{mul_add_as_lanes, vector};
use crate::matrix::same;
use crate::simd::{Lanes, Task};
use crate::{Float, MatRef, ShapeError};
use std::ops::Range;

/// Rows that all strips are added for before the next rows: at 2,000 columns of f64 they take 1 MB, second-level cache.
/// Without blocks that took 1.6 times as long with AVX2, whose strips are two lines wide, as four whole rows a pass; with
/// them 1.25 times, at 500 columns 1.1; AVX-512 gains or ties from 64 rows up. The sums are 1/p of a Gram matrix.
const BLOCK: usize = 64;

/// sums_kj += sum over rows i of factors_ki (a_ij - shift_j), for `A` m x n, K sets of m factors, `shift` n, K sets of n
/// sums. (1 + 2 K) m n operations; reads A once for all sets.
///
/// Runs on the calling thread: give it blocks of rows that lie in cache. NaN and infinity spread as in the formula, a
/// factor of 0 does not hide them.
///
/// ```
/// use tilewise_kernels::{MatRef, centred_sums};
/// let a = MatRef::new(&[1.0, 10.0, 3.0, 10.0], 2, 2).unwrap();
/// let (mut sums, mut weighted) = ([0.0; 2], [0.0; 2]);
/// centred_sums(a, &[1.0, 10.0], [&[1.0, 1.0], &[0.0, 0.5]], [&mut sums, &mut weighted]).unwrap();
/// assert_eq!((sums, weighted), ([2.0, 0.0], [1.0, 0.0]));
/// ```
///
/// # Errors
/// When the shapes do not fit.
pub fn centred_sums<T: Float, const K: usize>(
    a: MatRef<'_, T>,
    shift: &[T],
    factors: [&[T]; K],
    sums: [&mut [T]; K],
) -> Result<(), ShapeError> {
    same("length of shift against columns of A", a.cols(), shift.len())?;
    for k in 0..K {
        same("factors against rows of A", a.rows(), factors[k].len())?;
        same("sums against columns of A", a.cols(), sums[k].len())?;
    }
    T::dispatch(Centred { a, shift, factors, sums });
    Ok(())
}

struct Centred<'a, T, const K: usize> {
    a: MatRef<'a, T>,
    shift: &'a [T],
    factors: [&'a [T]; K],
    sums: [&'a mut [T]; K],
}

impl<T: Float, const K: usize> Task<T> for Centred<'_, T, K> {
    type Output = ();
    /// Strips of columns whose shifts and sums stay in registers over all rows: with K = 2 four vectors of columns take
    /// 4 shifts and 8 sums of 16 registers.
    #[inline(always)]
    fn run<S: Lanes<T>>(mut self, simd: S) {
        let n = self.shift.len();
        if !(self.a.col_stride() == 1 || n == 1) {
            return self.one_by_one(simd);
        }
        let m = self.a.rows();
        let block = if n <= 4 * S::LANES { m.max(1) } else { BLOCK };
        for top in (0..m).step_by(block) {
            let rows = top..m.min(top + block);
            for first in (0..n).step_by(4 * S::LANES) {
                match (n - first).div_ceil(S::LANES) {
                    1 => self.strip::<S, 1>(simd, rows.clone(), first),
                    2 => self.strip::<S, 2>(simd, rows.clone(), first),
                    3 => self.strip::<S, 3>(simd, rows.clone(), first),
                    _ => self.strip::<S, 4>(simd, rows.clone(), first),
                }
            }
        }
    }
}

impl<T: Float, const K: usize> Centred<'_, T, K> {
    /// Adds all rows of R vectors of columns from `first` on, the last of them perhaps not full.
    #[inline(always)]
    fn strip<S: Lanes<T>, const R: usize>(&mut self, simd: S, rows: Range<usize>, first: usize) {
        let (m, n) = (self.a.rows(), self.shift.len());
        let width = (n - first).min(R * S::LANES);
        let last = width - (R - 1) * S::LANES;
        assert!(
            self.a.cols() == n && last >= 1 && rows.end <= m && self.factors.iter().all(|f| f.len() == m)
        );
        assert!(self.sums.iter().all(|s| s.len() == n));
        let mut shift = [simd.splat(T::ZERO); R];
        let mut acc = [[simd.splat(T::ZERO); R]; K];
        for r in 0..R {
            // SAFETY: R - 1 whole vectors and `last` elements more from `first` on lie within shift and sums.
            unsafe {
                shift[r] = vector::<T, S, R>(simd, self.shift.as_ptr().add(first), r, last);
                for (acc, sums) in acc.iter_mut().zip(&self.sums) {
                    acc[r] = vector::<T, S, R>(simd, sums.as_ptr().add(first), r, last);
                }
            }
        }
        for i in rows {
            let row = self.a.as_ptr().wrapping_offset(i as isize * self.a.row_stride()).wrapping_add(first);
            let mut factors = [simd.splat(T::ZERO); K];
            for (splat, factors) in factors.iter_mut().zip(&self.factors) {
                *splat = simd.splat(factors[i]);
            }
            for r in 0..R {
                // SAFETY: row i is contiguous and holds n elements.
                let centred = simd.sub(unsafe { vector::<T, S, R>(simd, row, r, last) }, shift[r]);
                for (acc, factor) in acc.iter_mut().zip(factors) {
                    acc[r] = simd.mul_add(factor, centred, acc[r]);
                }
            }
        }
        for (acc, sums) in acc.iter().zip(&mut self.sums) {
            for (r, &acc) in acc.iter().enumerate() {
                // SAFETY: as above, of sums.
                unsafe {
                    let p = sums.as_mut_ptr().add(first + r * S::LANES);
                    if r + 1 < R { simd.store(p, acc) } else { simd.store_first(p, acc, last) }
                }
            }
        }
    }

    /// Adds rows that are not contiguous.
    #[inline(always)]
    fn one_by_one<S: Lanes<T>>(&mut self, simd: S) {
        for i in 0..self.a.rows() {
            for (j, &shift) in self.shift.iter().enumerate() {
                let centred = self.a.get(i, j) - shift;
                for (sums, factors) in self.sums.iter_mut().zip(&self.factors) {
                    sums[j] = mul_add_as_lanes(simd, factors[i], centred, sums[j]);
                }
            }
        }
    }
}
