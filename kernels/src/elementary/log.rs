//! The natural logarithm.
//!
//! x = 2^n m with 0.75 <= m < 1.5 and f = m - 1, which is exact; ln x = n ln 2 + f - f^2/2 + f^3 P(f), P the polynomial
//! whose largest error is the least possible (found with `fpminimax` of Sollya). n ln 2 (its upper part, exact) and f are added in two
//! parts, so that one rounding of that size remains.

use super::exp::ln_2;
use super::polynomial::polynomial;
use super::{Function, map};
use crate::simd::Lanes;
use crate::{Float, ShapeError};

/// Largest error of [`log`], in units of the last place of the true value.
pub const LOG_ULP: f64 = 1.0;

/// out = ln x, element by element. Error at most [`LOG_ULP`], for subnormal x too. ln 1 is 0, ln 0 and ln -0 are -inf,
/// ln inf is inf; NaN and negative x give NaN.
///
/// ```
/// let mut y = [0.0f32; 3];
/// tilewise_kernels::log(&[1.0, 0.0, std::f32::consts::E], &mut y).unwrap();
/// assert_eq!(y[..2], [0.0, f32::NEG_INFINITY]);
/// assert!((y[2] - 1.0).abs() < 1.2e-7);
/// ```
///
/// # Errors
/// When the lengths differ.
pub fn log<T: Float>(x: &[T], out: &mut [T]) -> Result<(), ShapeError> {
    map::<T, Log>(x, out)
}

/// ln x.
pub(crate) struct Log;
impl Function for Log {
    #[inline(always)]
    fn of<T: Float, S: Lanes<T>>(simd: S, x: S::V) -> S::V {
        let (n, m) = simd.split(x);
        of_parts(simd, n, simd.sub(m, simd.splat(T::ONE)))
    }
}

/// n ln 2 + ln(1 + f) for -0.25 <= f <= 0.5; n where that is infinite or NaN.
#[inline(always)]
pub(crate) fn of_parts<T: Float, S: Lanes<T>>(simd: S, n: S::V, f: S::V) -> S::V {
    let p = if const { size_of::<T>() == 4 } {
        polynomial(simd, f, &SERIES_32)
    } else {
        polynomial(simd, f, &SERIES_64)
    };
    let p = simd.fused_mul_add(p, f, simd.splat(T::from_f64(-0.5)));
    let (high, low) = ln_2::<T>();
    let (high, low) = (simd.splat(T::from_f64(high)), simd.splat(T::from_f64(low)));
    let rest = simd.fused_mul_add(simd.mul(f, f), p, simd.mul(n, low));
    // n high is exact and either 0 or larger than f, so `lost` is what the sum lacks. It is no number where n is infinite,
    // and -1 then does no harm.
    let product = simd.mul(n, high);
    let sum = simd.add(product, f);
    let lost = simd.max(simd.sub(f, simd.sub(sum, product)), simd.splat(-T::ONE));
    simd.add(sum, simd.add(lost, rest))
}

/// P: (ln(1 + f) - f + f^2/2) / f^3.
const SERIES_32: [f64; 9] = [
    0.3333334,
    -0.25000164,
    0.19999574,
    -0.16655311,
    0.1427695,
    -0.1272875,
    0.11695956,
    -0.09102422,
    0.037571162,
];
const SERIES_64: [f64; 19] = [
    0.3333333333333375,
    -0.2500000000001059,
    0.19999999999850684,
    -0.1666666666379834,
    0.14285714299889138,
    -0.12500000290694316,
    0.11111110774918372,
    -0.09999985544390205,
    0.0909089296101513,
    -0.08333704255187463,
    0.0769338800542779,
    -0.071385852632847,
    0.06643358244497025,
    -0.06249820936709818,
    0.060830075138365865,
    -0.05968173902621303,
    0.050698313693225444,
    -0.02939175882191405,
    0.00809205722314681,
];
