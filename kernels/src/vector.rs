//! Sums, inner products, axpy and scaling.
//!
//! Sums and inner products are summed in the order of the module `reduce`: leaves of 4096 elements in a fixed tree.

use crate::matrix::same;
use crate::reduce::{Products, TASK, Terms, fold_all};
use crate::simd::{Lanes, Task};
use crate::{Float, ShapeError, parallel};

/// The sum of `x`; 0 when empty. NaN and infinity spread as in any sum.
///
/// ```
/// assert_eq!(tilewise_kernels::sum(&[1.0, 2.0, 3.5]), 6.5);
/// ```
pub fn sum<T: Float>(x: &[T]) -> T {
    fold_all::<T, Terms, 1>(x, x)[0]
}

/// The inner product of `x` and `y`; 0 when empty. NaN and infinity spread as in any sum of products.
///
/// ```
/// assert_eq!(tilewise_kernels::dot(&[1.0f32, 2.0], &[3.0, 4.0]), Ok(11.0));
/// ```
///
/// # Errors
/// When the lengths differ.
pub fn dot<T: Float>(x: &[T], y: &[T]) -> Result<T, ShapeError> {
    same("length of y", x.len(), y.len())?;
    Ok(fold_all::<T, Products, 1>(x, y)[0])
}

/// y += alpha x; NaN and infinity as in the formula (alpha = 0 does not hide them). One fused multiply-add per element (two roundings on portable code without FMA).
///
/// ```
/// let mut y = [1.0, 1.0];
/// tilewise_kernels::axpy(2.0, &[1.0, 10.0], &mut y).unwrap();
/// assert_eq!(y, [3.0, 21.0]);
/// ```
///
/// # Errors
/// When the lengths differ.
pub fn axpy<T: Float>(alpha: T, x: &[T], y: &mut [T]) -> Result<(), ShapeError> {
    same("length of y", x.len(), y.len())?;
    if size_of_val(x) <= parallel::GRAIN_BYTES {
        T::dispatch(Axpy { alpha, x, y });
    } else {
        parallel::for_each_chunk_mut(y, TASK, |i, y| {
            T::dispatch(Axpy { alpha, x: &x[i * TASK..][..y.len()], y });
        });
    }
    Ok(())
}

/// x *= alpha, one rounding per element. NaN and infinity as in the formula: alpha = 0 makes zeros of finite elements only.
///
/// ```
/// let mut x = [1.0, -3.0, f64::NAN];
/// tilewise_kernels::scale(0.5, &mut x);
/// assert_eq!(x[..2], [0.5, -1.5]);
/// assert!(x[2].is_nan());
/// ```
pub fn scale<T: Float>(alpha: T, x: &mut [T]) {
    if size_of_val(x) <= parallel::GRAIN_BYTES {
        T::dispatch(Scale { alpha, x });
    } else {
        parallel::for_each_chunk_mut(x, TASK, |_, x| T::dispatch(Scale { alpha, x }));
    }
}

struct Axpy<'a, T> {
    alpha: T,
    x: &'a [T],
    y: &'a mut [T],
}
impl<T: Float> Task<T> for Axpy<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) {
        let Self { alpha, x, y } = self;
        let alpha_v = simd.splat(alpha);
        let whole = y.len() - y.len() % S::LANES;
        assert!(x.len() == y.len());
        for i in (0..whole).step_by(S::LANES) {
            // SAFETY: i + LANES <= the length of both.
            unsafe {
                let v = simd.mul_add(alpha_v, simd.load(x.as_ptr().add(i)), simd.load(y.as_ptr().add(i)));
                simd.store(y.as_mut_ptr().add(i), v);
            }
        }
        let rest = y.len() - whole;
        // SAFETY: rest < LANES elements from whole on lie in both.
        unsafe {
            let v = simd.load_first(y.as_ptr().add(whole), rest);
            let v = simd.mul_add(alpha_v, simd.load_first(x.as_ptr().add(whole), rest), v);
            simd.store_first(y.as_mut_ptr().add(whole), v, rest);
        }
    }
}

struct Scale<'a, T> {
    alpha: T,
    x: &'a mut [T],
}
impl<T: Float> Task<T> for Scale<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) {
        let Self { alpha, x } = self;
        let alpha = simd.splat(alpha);
        // A masked load of every vector took three times as long in L1.
        let whole = x.len() - x.len() % S::LANES;
        for i in (0..whole).step_by(S::LANES) {
            // SAFETY: i + LANES <= the length.
            unsafe {
                let at = x.as_mut_ptr().add(i);
                simd.store(at, simd.mul(alpha, simd.load(at)));
            }
        }
        let rest = x.len() - whole;
        // SAFETY: rest < LANES elements from whole on lie in it.
        unsafe {
            let at = x.as_mut_ptr().add(whole);
            simd.store_first(at, simd.mul(alpha, simd.load_first(at, rest)), rest);
        }
    }
}
