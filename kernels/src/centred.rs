//! Weighted sums of the columns of a matrix about given values: means, cross products and gradients of centred rows.
//!
//! Differences come before products, so a column that equals its shift gives exact zeros and nothing large is ever
//! subtracted from something large. **Order:** every sum is one chain of fused multiply-adds over ascending rows.

use crate::columns::{ColumnStep, strips};
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

/// With d = a_ij - shift_j: sums_j += sum over rows i of factor_i d, squares_j += that of factor_i d^2; `A` m x n, m factors, n numbers each
/// of the others. 5 m n operations; reads A once.
///
/// Runs on the calling thread, as [`centred_sums`]; `sums` get its bits. NaN and infinity spread as in the formula.
///
/// ```
/// use tilewise_kernels::{MatRef, centred_squares};
/// let a = MatRef::new(&[1.0, 10.0, 3.0, 10.0], 2, 2).unwrap();
/// let (mut sums, mut squares) = ([0.0; 2], [0.0; 2]);
/// centred_squares(a, &[1.0, 10.0], &[1.0, 0.5], &mut sums, &mut squares).unwrap();
/// assert_eq!((sums, squares), ([1.0, 0.0], [2.0, 0.0]));
/// ```
///
/// # Errors
/// When the shapes do not fit.
pub fn centred_squares<T: Float>(
    a: MatRef<'_, T>,
    shift: &[T],
    factors: &[T],
    sums: &mut [T],
    squares: &mut [T],
) -> Result<(), ShapeError> {
    same("length of shift against columns of A", a.cols(), shift.len())?;
    same("factors against rows of A", a.rows(), factors.len())?;
    same("sums against columns of A", a.cols(), sums.len())?;
    same("squares against columns of A", a.cols(), squares.len())?;
    T::dispatch(Squared { a, shift, factors, out: [sums, squares] });
    Ok(())
}

struct Squared<'a, T> {
    a: MatRef<'a, T>,
    shift: &'a [T],
    factors: &'a [T],
    /// Sums and squares.
    out: [&'a mut [T]; 2],
}

impl<T: Float> Task<T> for Squared<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T>>(mut self, simd: S) {
        let Self { a, shift, factors, .. } = self;
        if a.col_stride() == 1 || a.cols() == 1 {
            strips::<T, S, _, 2>(simd, &Factor(factors), a, shift, &mut self.out);
            return;
        }
        let [sums, squares] = self.out;
        for (i, &factor) in factors.iter().enumerate() {
            for (j, &shift) in shift.iter().enumerate() {
                let centred = a.get(i, j) - shift;
                sums[j] = mul_add_as_lanes(simd, factor, centred, sums[j]);
                squares[j] = mul_add_as_lanes(simd, factor * centred, centred, squares[j]);
            }
        }
    }
}

/// A factor per row, of sums and squares.
struct Factor<'a, T>(&'a [T]);

impl<T: Float> ColumnStep<T, 2> for Factor<'_, T> {
    #[inline(always)]
    fn row<S: Lanes<T>>(&self, simd: S, i: usize) -> [S::V; 2] {
        [simd.splat(self.0[i]); 2]
    }
    #[inline(always)]
    fn step<S: Lanes<T>>(
        simd: S,
        [sum, square]: [S::V; 2],
        x: S::V,
        shift: S::V,
        [factor, _]: [S::V; 2],
    ) -> [S::V; 2] {
        let centred = simd.sub(x, shift);
        [simd.mul_add(factor, centred, sum), simd.mul_add(simd.mul(factor, centred), centred, square)]
    }
}

struct Centred<'a, T, const K: usize> {
    a: MatRef<'a, T>,
    shift: &'a [T],
    factors: [&'a [T]; K],
    sums: [&'a mut [T]; K],
}

impl<T: Float, const K: usize> Task<T> for Centred<'_, T, K> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T>>(mut self, simd: S) {
        if self.a.col_stride() == 1 || self.a.cols() == 1 {
            strips::<T, S, _, K>(simd, &Factors(self.factors), self.a, self.shift, &mut self.sums);
        } else {
            self.one_by_one(simd);
        }
    }
}

/// A factor per row and set of sums.
struct Factors<'a, T, const K: usize>([&'a [T]; K]);

impl<T: Float, const K: usize> ColumnStep<T, K> for Factors<'_, T, K> {
    #[inline(always)]
    fn row<S: Lanes<T>>(&self, simd: S, i: usize) -> [S::V; K] {
        let mut factors = [simd.splat(T::ZERO); K];
        for (splat, factors) in factors.iter_mut().zip(&self.0) {
            *splat = simd.splat(factors[i]);
        }
        factors
    }
    #[inline(always)]
    fn step<S: Lanes<T>>(
        simd: S,
        mut sums: [S::V; K],
        x: S::V,
        shift: S::V,
        factors: [S::V; K],
    ) -> [S::V; K] {
        let centred = simd.sub(x, shift);
        for (sum, factor) in sums.iter_mut().zip(factors) {
            *sum = simd.mul_add(factor, centred, *sum);
        }
        sums
    }
}

impl<T: Float, const K: usize> Centred<'_, T, K> {
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
