//! Weighted sums of the columns of a matrix about given values: means, cross products and gradients of centred rows.
//!
//! Differences come before products, so a column that equals its shift gives exact zeros and nothing large is ever
//! subtracted from something large. **Order:** every sum is one chain of fused multiply-adds over ascending rows.

use crate::gemv::mul_add_as_lanes;
use crate::matrix::same;
use crate::simd::{Lanes, Task};
use crate::{Float, MatRef, ShapeError};

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
    /// Four rows a pass: the same chains as one by one with a quarter of the traffic of the sums.
    #[inline(always)]
    fn run<S: Lanes<T>>(mut self, simd: S) {
        let four = self.a.rows() / 4 * 4;
        for i in (0..four).step_by(4) {
            self.rows::<S, 4>(simd, i);
        }
        for i in four..self.a.rows() {
            self.rows::<S, 1>(simd, i);
        }
    }
}

impl<T: Float, const K: usize> Centred<'_, T, K> {
    /// Adds N rows from `first` on.
    #[inline(always)]
    fn rows<S: Lanes<T>, const N: usize>(&mut self, simd: S, first: usize) {
        let n = self.shift.len();
        let mut rows: [&[T]; N] = [&[]; N];
        let mut contiguous = true;
        for (i, row) in rows.iter_mut().enumerate() {
            match self.a.row(first + i) {
                Some(found) => *row = found,
                None => contiguous = false,
            }
        }
        if contiguous {
            for row in rows {
                assert!(row.len() == n);
            }
            let mut splats = [[simd.splat(T::ZERO); N]; K];
            for ((splats, factors), sums) in splats.iter_mut().zip(&self.factors).zip(&self.sums) {
                assert!(sums.len() == n);
                for (splat, &factor) in splats.iter_mut().zip(&factors[first..first + N]) {
                    *splat = simd.splat(factor);
                }
            }
            for at in (0..n).step_by(S::LANES) {
                let count = S::LANES.min(n - at);
                // SAFETY: at + count <= n, the length of shift, of every row and of all sums.
                unsafe {
                    let shift = simd.load_first(self.shift.as_ptr().add(at), count);
                    let mut centred = [shift; N];
                    for i in 0..N {
                        centred[i] = simd.sub(simd.load_first(rows[i].as_ptr().add(at), count), shift);
                    }
                    for (sums, splats) in self.sums.iter_mut().zip(&splats) {
                        let mut sum = simd.load_first(sums.as_ptr().add(at), count);
                        for i in 0..N {
                            sum = simd.mul_add(splats[i], centred[i], sum);
                        }
                        simd.store_first(sums.as_mut_ptr().add(at), sum, count);
                    }
                }
            }
            return;
        }
        for at in 0..n {
            for i in 0..N {
                let centred = self.a.get(first + i, at) - self.shift[at];
                for k in 0..K {
                    let sum = &mut self.sums[k][at];
                    *sum = mul_add_as_lanes(simd, self.factors[k][first + i], centred, *sum);
                }
            }
        }
    }
}
