//! The logistic function and its relatives: tanh and softplus.
//!
//! All take the exponential of a number that is not positive (tanh: not negative and bounded), so nothing overflows.

use super::exp::{at_least_smallest, of_remainder, of_remainder_minus_1, reduce};
use super::log::of_parts;
use super::{Function, map};
use crate::simd::Lanes;
use crate::{Float, ShapeError};

/// Largest error of [`sigmoid`], in units of the last place of the true value.
pub const SIGMOID_ULP: f64 = 2.5;

/// Largest error of [`tanh`], in units of the last place of the true value.
pub const TANH_ULP: f64 = 2.5;

/// Largest error of [`softplus`], in units of the last place of the true value.
pub const SOFTPLUS_ULP: f64 = 2.0;

/// out = 1 / (1 + e^-x), element by element. Error at most [`SIGMOID_ULP`], subnormal results included. NaN gives NaN,
/// inf 1, -inf 0.
///
/// ```
/// let mut y = [0.0f32; 3];
/// tilewise_kernels::sigmoid(&[-1000.0, 0.0, 1000.0], &mut y).unwrap();
/// assert_eq!(y, [0.0, 0.5, 1.0]);
/// ```
///
/// # Errors
/// When the lengths differ.
pub fn sigmoid<T: Float>(x: &[T], out: &mut [T]) -> Result<(), ShapeError> {
    map::<T, Sigmoid>(x, out)
}

/// out = tanh x, element by element. Error at most [`TANH_ULP`], for the smallest x too; tanh(-x) is -tanh(x) to the bit,
/// -0 stays -0. NaN gives NaN, inf 1, -inf -1.
///
/// ```
/// let mut y = [0.0f64; 3];
/// tilewise_kernels::tanh(&[-1e-300, 0.5, 1000.0], &mut y).unwrap();
/// assert_eq!((y[0], y[2]), (-1e-300, 1.0));
/// assert!((y[1] - 0.46211715726000975).abs() < 2e-16);
/// ```
///
/// # Errors
/// When the lengths differ.
pub fn tanh<T: Float>(x: &[T], out: &mut [T]) -> Result<(), ShapeError> {
    map::<T, Tanh>(x, out)
}

/// out = ln(1 + e^x), element by element. Error at most [`SOFTPLUS_ULP`], subnormal results included. NaN gives NaN, inf
/// inf, -inf 0.
///
/// ```
/// let mut y = [0.0f64; 3];
/// tilewise_kernels::softplus(&[-1000.0, 0.0, 1000.0], &mut y).unwrap();
/// assert_eq!(y, [0.0, std::f64::consts::LN_2, 1000.0]);
/// ```
///
/// # Errors
/// When the lengths differ.
pub fn softplus<T: Float>(x: &[T], out: &mut [T]) -> Result<(), ShapeError> {
    map::<T, Softplus>(x, out)
}

/// e^-|x|.
#[inline(always)]
fn exp_of_minus_abs<T: Float, S: Lanes<T>>(simd: S, x: S::V) -> S::V {
    let minus_abs = simd.sub(simd.splat(T::ZERO), simd.abs(x));
    let (n, r) = reduce(simd, at_least_smallest(simd, minus_abs));
    simd.scale(of_remainder(simd, r), n)
}

/// 1 / (1 + e^-x), for negative x as e^x / (1 + e^x).
pub(crate) struct Sigmoid;
impl Function for Sigmoid {
    #[inline(always)]
    fn of<T: Float, S: Lanes<T>>(simd: S, x: S::V) -> S::V {
        let one = simd.splat(T::ONE);
        let e = exp_of_minus_abs(simd, x);
        simd.div(simd.select_sign(x, e, one), simd.add(one, e))
    }
}

/// tanh x: with E = e^(2 |x|) - 1 it is E / (E + 2), and the sign of x. E is 2^n (e^r - 1) + (2^n - 1), whose second part is
/// exact, so that nothing cancels near 0.
pub(crate) struct Tanh;
impl Function for Tanh {
    #[inline(always)]
    fn of<T: Float, S: Lanes<T>>(simd: S, x: S::V) -> S::V {
        // Beyond, the nearest number is 1.
        let limit = simd.splat(T::from_f64(if size_of::<T>() == 4 { 9.5 } else { 20.0 }));
        // NaN comes through as the second operand.
        let a = simd.min(limit, simd.abs(x));
        let (n, r) = reduce(simd, simd.add(a, a));
        let power = simd.pow2(n);
        let e = simd.fused_mul_add(power, of_remainder_minus_1(simd, r), simd.sub(power, simd.splat(T::ONE)));
        let t = simd.div(e, simd.add(e, simd.splat(T::from_f64(2.0))));
        simd.select_sign(x, simd.sub(simd.splat(-T::ZERO), t), t)
    }
}

/// max(x, 0) + ln(1 + e), e = e^-|x|. From e = 1/2 on 1 + e = 2 (1 + (e - 1) / 2), so that the logarithm gets its f without
/// any rounding.
pub(crate) struct Softplus;
impl Function for Softplus {
    #[inline(always)]
    fn of<T: Float, S: Lanes<T>>(simd: S, x: S::V) -> S::V {
        let (zero, one, half) = (simd.splat(T::ZERO), simd.splat(T::ONE), simd.splat(T::from_f64(0.5)));
        let e = exp_of_minus_abs(simd, x);
        let n = simd.select_less(e, half, zero, one);
        let f = simd.select_less(e, half, e, simd.mul(simd.sub(e, one), half));
        // The second operand where x is NaN.
        simd.add(simd.max(zero, x), of_parts(simd, n, f))
    }
}
