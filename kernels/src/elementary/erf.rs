//! The error function and GELU.
//!
//! Both need the complement erfc a = 2 / sqrt pi times the integral of e^(-t^2) from a on, which falls fast: it is
//! e^(-a^2) u Q(u) with u = 1 / (1 + c a), c = 0.1875 sqrt 2, and a polynomial Q whose largest relative error is the least
//! possible (found with `fpminimax` of Sollya); the form is that of Hastings (Approximations for Digital Computers, 1955). GELU is then
//! max(x, 0) - |x| erfc(|x| / sqrt 2) / 2, in which nothing cancels for negative x.

use super::exp::{at_least_smallest, of_remainder, reduce};
use super::polynomial::polynomial;
use super::{Function, map};
use crate::simd::Lanes;
use crate::{Float, ShapeError};

/// Largest error of [`erf`], in units of the last place of the true value.
pub const ERF_ULP: f64 = 2.0;

/// Largest error of [`gelu`], in units of the last place of the true value.
pub const GELU_ULP: f64 = 5.5;

/// out = erf x, element by element: 2 / sqrt pi times the integral of e^(-t^2) from 0 to x. Error at most [`ERF_ULP`], for
/// the smallest x too; erf(-x) is -erf(x) to the bit, -0 stays -0. NaN gives NaN, inf 1, -inf -1.
///
/// ```
/// let mut y = [0.0f64; 3];
/// tilewise_kernels::erf(&[-0.0, 0.5, 7.0], &mut y).unwrap();
/// assert_eq!((y[0], y[2]), (0.0, 1.0));
/// assert!((y[1] - 0.5204998778130465).abs() < 3e-16);
/// ```
///
/// # Errors
/// When the lengths differ.
pub fn erf<T: Float>(x: &[T], out: &mut [T]) -> Result<(), ShapeError> {
    map::<T, Erf>(x, out)
}

/// out = x / 2 (1 + erf(x / sqrt 2)), element by element: the exact form, not that by tanh. Error at most [`GELU_ULP`],
/// also for negative x, down to subnormal results. NaN gives NaN, inf inf, -inf 0, -0 stays -0.
///
/// ```
/// let mut y = [0.0f64; 3];
/// tilewise_kernels::gelu(&[-10.0, 1.0, 100.0], &mut y).unwrap();
/// assert!((y[0] / -7.61985302416052e-23 - 1.0).abs() < 1e-14);
/// assert!((y[1] - 0.8413447460685429).abs() < 4e-16);
/// assert_eq!(y[2], 100.0);
/// ```
///
/// # Errors
/// When the lengths differ.
pub fn gelu<T: Float>(x: &[T], out: &mut [T]) -> Result<(), ShapeError> {
    map::<T, Gelu>(x, out)
}

/// erf x: x times a polynomial of x^2 for |x| < 1, else 1 - erfc |x| and the sign of x.
pub(crate) struct Erf;
impl Function for Erf {
    #[inline(always)]
    fn of<T: Float, S: Lanes<T>>(simd: S, x: S::V) -> S::V {
        let one = simd.splat(T::ONE);
        // Beyond, the nearest number is 1. NaN comes through as the second operand.
        let a = simd.min(simd.splat(T::from_f64(8.0)), simd.abs(x));
        let square = simd.mul(a, a);
        let p = if const { size_of::<T>() == 4 } {
            polynomial(simd, square, &ERF_32)
        } else {
            polynomial(simd, square, &ERF_64)
        };
        let near = simd.fused_mul_add(a, p, a);
        // What a^2 loses in rounding matters only to the relative error of erfc.
        let c = simd.splat(T::from_f64(PER_SQRT_2 * std::f64::consts::SQRT_2));
        let per_u = simd.fused_mul_add(c, a, one);
        let u = simd.div(one, per_u);
        let far = simd.sub(one, complement(simd, one, square, simd.splat(T::ZERO), u));
        let erf = simd.select_less(a, one, near, far);
        simd.select_sign(x, simd.sub(simd.splat(-T::ZERO), erf), erf)
    }
}

/// x / 2 (1 + erf(x / sqrt 2)).
pub(crate) struct Gelu;
impl Function for Gelu {
    #[inline(always)]
    fn of<T: Float, S: Lanes<T>>(simd: S, x: S::V) -> S::V {
        let (zero, one, half) = (simd.splat(T::ZERO), simd.splat(T::ONE), simd.splat(T::from_f64(0.5)));
        // Beyond, erfc is 0. NaN comes through as the second operand.
        let a = simd.min(simd.splat(T::from_f64(40.0)), simd.abs(x));
        // a^2 / 2 in two parts: its error becomes a relative error of the result.
        let half_a = simd.mul(a, half);
        let high = simd.mul(a, half_a);
        let low = simd.fused_mul_add(a, half_a, simd.sub(zero, high));
        let per_u = simd.fused_mul_add(simd.splat(T::from_f64(PER_SQRT_2)), a, one);
        let u = simd.div(one, per_u);
        // erfc depends on u up to four times as steeply as on the exponent. So what per_u lost and what the quotient lost
        // goes into the exponent, times the steepness, which is near 1 + 3.25 u^2.
        let c = simd.splat(T::from_f64(PER_SQRT_2));
        let minus_u = simd.sub(zero, u);
        let lost = simd.fused_mul_add(c, a, simd.sub(one, per_u));
        let lost = simd.fused_mul_add(minus_u, lost, simd.fused_mul_add(minus_u, per_u, one));
        let steepness =
            simd.fused_mul_add(simd.mul(u, simd.splat(T::from_f64(-3.25))), u, simd.splat(-T::ONE));
        let low = simd.fused_mul_add(steepness, lost, low);
        simd.sub(simd.max(zero, x), complement(simd, half_a, high, low, u))
    }
}

/// c / sqrt 2: exact in binary.
const PER_SQRT_2: f64 = 0.1875;

/// factor erfc(a) from a^2 in two parts and 1 / u = 1 + c a. The factor comes before the power of two, so that a product
/// below the smallest normal number is rounded once.
#[inline(always)]
fn complement<T: Float, S: Lanes<T>>(simd: S, factor: S::V, high: S::V, low: S::V, u: S::V) -> S::V {
    let middle = if size_of::<T>() == 4 { MIDDLE_32 } else { MIDDLE_64 };
    let v = simd.sub(u, simd.splat(T::from_f64(middle)));
    let q = if const { size_of::<T>() == 4 } {
        polynomial(simd, v, &COMPLEMENT_32)
    } else {
        polynomial(simd, v, &COMPLEMENT_64)
    };
    let (n, r) = reduce(simd, at_least_smallest(simd, simd.sub(simd.splat(T::ZERO), high)));
    let e = of_remainder(simd, simd.sub(r, low));
    simd.scale(simd.mul(e, simd.mul(simd.mul(u, factor), q)), n)
}

/// erf(sqrt z) / sqrt z - 1.
const ERF_32: [f64; 7] =
    [0.12837917, -0.37612626, 0.11283583, -0.026853692, 0.005188074, -0.0008007878, 7.846108e-05];
const ERF_64: [f64; 13] = [
    0.1283791670955126,
    -0.37612638903183876,
    0.11283791670958741,
    -0.02686617064561913,
    0.00522397762909082,
    -0.0008548327189297566,
    0.00012055337765789288,
    -1.492573820292101e-05,
    1.646308212086927e-06,
    -1.6370584479082587e-07,
    1.4786181140338846e-08,
    -1.1829155564327838e-09,
    6.682384406807101e-11,
];

/// Q = e^(a^2) erfc(a) / u, for a up to 10.4 (f32) and 27.8, as a polynomial of what u is beyond a middle: around 0 its
/// terms would cancel.
const MIDDLE_32: f64 = 0.578125;
const COMPLEMENT_32: [f64; 11] = [
    0.3347663,
    0.653641,
    1.080637,
    1.5048923,
    1.7394072,
    1.6179363,
    1.1319653,
    0.48568067,
    -0.018116428,
    -0.17333193,
    -0.05722405,
];
const MIDDLE_64: f64 = 0.59375;
const COMPLEMENT_64: [f64; 22] = [
    0.3452491087889872,
    0.6885401440624856,
    1.1537897609898569,
    1.617643600161587,
    1.8700202077280799,
    1.7264754989068332,
    1.1846165692635666,
    0.48331455207574175,
    -0.03816071808551336,
    -0.19516595712598622,
    -0.08652661888850509,
    0.04258682400196881,
    0.05250052134582868,
    -0.0048864862346208685,
    -0.026142123747650882,
    -0.0014208019512232369,
    0.01339871219209548,
    0.0015320796005297672,
    -0.007109332964681104,
    -0.0013467536828522418,
    0.00293499413737747,
    0.0011773953128008216,
];
