//! Norms of vectors.

use crate::Float;
use crate::reduce::{Everywhere, Products, Reduction, fold_all};
use crate::simd::Lanes;

/// The sum of absolute values; 0 when empty, NaN if any is NaN. In the order of [`crate::sum`].
///
/// ```
/// assert_eq!(tilewise_kernels::norm1(&[1.0, -2.0, 3.5]), 6.5);
/// ```
pub fn norm1<T: Float>(x: &[T]) -> T {
    fold_all::<T, Absolutes, 1>(x, x)[0]
}

/// The square root of the sum of squares; 0 when empty, NaN if any element is NaN, else infinite if any is.
///
/// No square overflows or is lost to underflow: where the plain sum of squares is infinite, or so small that squares below
/// the normal numbers may count, a second pass sums the squares of elements times a power of two, which is exact where
/// it matters. Relative error below (64 + log2(n) / 2) units of rounding (half of `EPSILON`), and mostly about one: half of
/// that of the sum of squares, in which a square meets 128 + 6 + log2(n / 4096) roundings at most.
///
/// ```
/// use tilewise_kernels::norm2;
/// assert_eq!(norm2(&[3.0f32, -4.0]), 5.0);
/// let size = 2f64.powi(1000);
/// assert_eq!(norm2(&[3.0 * size, 4.0 * size]), 5.0 * size);
/// assert_eq!(norm2(&[3.0 / size, 4.0 / size]), 5.0 / size);
/// ```
pub fn norm2<T: Float>(x: &[T]) -> T {
    let plain = fold_all::<T, Products, 1>(x, x)[0];
    // Each square below the normal numbers is wrong by at most half a subnormal step: n of them, by less than a unit of
    // rounding of n times the smallest normal number.
    let (lowest, power) = if size_of::<T>() == 4 { (-126, 100) } else { (-1022, 600) };
    let small = plain < T::from_f64(x.len() as f64) * T::from_f64(2f64.powi(lowest));
    if plain.is_finite() && !small {
        return plain.sqrt();
    }
    let power = if small { power } else { -power };
    // Scaled up, the smallest subnormal's square is normal, and scaled down, the largest number's times any n is finite;
    // what scaling down loses is nothing beside a sum that overflowed.
    let scaled = fold_all::<T, ScaledSquares, 1>(x, Everywhere(T::from_f64(2f64.powi(power))))[0];
    scaled.sqrt() * T::from_f64(2f64.powi(-power))
}

/// The largest absolute value; 0 when empty, NaN if any is NaN. Exact.
///
/// ```
/// assert_eq!(tilewise_kernels::norm_inf(&[1.0, -2.5, 2.0]), 2.5);
/// ```
pub fn norm_inf<T: Float>(x: &[T]) -> T {
    let [largest, sum] = fold_all::<T, LargestAbsolute, 2>(x, x);
    if sum.is_nan() { sum } else { largest }
}

struct Absolutes;
impl Reduction<1> for Absolutes {
    #[inline(always)]
    fn step<T: Float, S: Lanes<T>>(simd: S, [acc]: [S::V; 1], x: S::V, _: S::V) -> [S::V; 1] {
        [simd.add(acc, simd.abs(x))]
    }
}

/// The sum of (x y)^2, y being a power of two.
struct ScaledSquares;
impl Reduction<1> for ScaledSquares {
    #[inline(always)]
    fn step<T: Float, S: Lanes<T>>(simd: S, [acc]: [S::V; 1], x: S::V, y: S::V) -> [S::V; 1] {
        let scaled = simd.mul(x, y);
        [simd.mul_add(scaled, scaled, acc)]
    }
}

/// The largest |x| that is not NaN, and the sum of |x|, which is NaN if any is.
struct LargestAbsolute;
impl Reduction<2> for LargestAbsolute {
    #[inline(always)]
    fn step<T: Float, S: Lanes<T>>(simd: S, [largest, sum]: [S::V; 2], x: S::V, _: S::V) -> [S::V; 2] {
        let x = simd.abs(x);
        [simd.max(x, largest), simd.add(sum, x)]
    }
    #[inline(always)]
    fn merge<T: Float, S: Lanes<T>>(simd: S, a: [S::V; 2], b: [S::V; 2]) -> [S::V; 2] {
        [simd.max(a[0], b[0]), simd.add(a[1], b[1])]
    }
    #[inline(always)]
    fn join<T: Float>(a: [T; 2], b: [T; 2]) -> [T; 2] {
        [if a[0] > b[0] { a[0] } else { b[0] }, a[1] + b[1]]
    }
}
