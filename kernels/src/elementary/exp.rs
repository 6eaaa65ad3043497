//! e^x.
//!
//! n = round(x / ln 2); r = x - n ln 2 in two steps, ln 2 split so that n times its upper part is exact (Cody and Waite
//! 1980), |r| <= 0.347; e^r by a polynomial whose largest error is the least possible (found with `fpminimax` of Sollya); times
//! 2^n, rounded once.

use super::polynomial::polynomial;
use super::{Function, map};
use crate::simd::Lanes;
use crate::{Float, ShapeError};

/// Largest error of [`exp`], in units of the last place of the true value.
pub const EXP_ULP: f64 = 1.0;

/// out = e^x, element by element. Error at most [`EXP_ULP`], subnormal results included. e^NaN is NaN, e^inf inf,
/// e^-inf 0, e^-0 1.
///
/// ```
/// let mut y = [0.0; 2];
/// tilewise_kernels::exp(&[0.0, 1.0], &mut y).unwrap();
/// assert_eq!(y[0], 1.0);
/// assert!((y[1] - std::f64::consts::E).abs() < 5e-16);
/// ```
///
/// # Errors
/// When the lengths differ.
pub fn exp<T: Float>(x: &[T], out: &mut [T]) -> Result<(), ShapeError> {
    map::<T, Exp>(x, out)
}

/// e^x.
pub(crate) struct Exp;
impl Function for Exp {
    #[inline(always)]
    fn of<T: Float, S: Lanes<T>>(simd: S, x: S::V) -> S::V {
        // NaN comes through: the second operand where a comparison fails.
        let x = simd.min(simd.splat(T::from_f64(limits::<T>().largest)), x);
        let (n, r) = reduce(simd, at_least_smallest(simd, x));
        simd.scale(of_remainder(simd, r), n)
    }
}

/// Where e^x begins to be infinite and where it begins to be 0, a little further out.
struct Limits {
    largest: f64,
    smallest: f64,
}

#[inline(always)]
const fn limits<T>() -> Limits {
    if size_of::<T>() == 4 {
        Limits { largest: 89.0, smallest: -104.0 }
    } else {
        Limits { largest: 710.0, smallest: -746.0 }
    }
}

/// x, but no less than where e^x is 0. NaN stays.
#[inline(always)]
pub(crate) fn at_least_smallest<T: Float, S: Lanes<T>>(simd: S, x: S::V) -> S::V {
    simd.max(simd.splat(T::from_f64(limits::<T>().smallest)), x)
}

/// n and r with x = n ln 2 + r, |r| <= 0.347.
#[inline(always)]
pub(crate) fn reduce<T: Float, S: Lanes<T>>(simd: S, x: S::V) -> (S::V, S::V) {
    let n = simd.round(simd.mul(x, simd.splat(T::from_f64(std::f64::consts::LOG2_E))));
    let (high, low) = ln_2::<T>();
    let r = simd.fused_mul_add(n, simd.splat(T::from_f64(-high)), x);
    (n, simd.fused_mul_add(n, simd.splat(T::from_f64(-low)), r))
}

/// ln 2 in two parts, the first with so few bits that n times it is exact for every exponent n.
#[inline(always)]
pub(crate) const fn ln_2<T>() -> (f64, f64) {
    if size_of::<T>() == 4 {
        // 15 bits of 24, 0.693145751953125.
        let high = 22_713.0 / 32_768.0;
        (high, std::f64::consts::LN_2 - high)
    } else {
        // 42 bits of 53, and the rest to double precision.
        (f64::from_bits(0x3FE6_2E42_FEFA_3800), f64::from_bits(0x3D2E_F357_93C7_6730))
    }
}

/// e^r for |r| <= 0.347.
///
/// With r not beyond 0.347 the sums below 1 lose less than one bit, so plain Horner's rule stays within the unit.
#[inline(always)]
pub(crate) fn of_remainder<T: Float, S: Lanes<T>>(simd: S, r: S::V) -> S::V {
    let one = simd.splat(T::ONE);
    let tail = if const { size_of::<T>() == 4 } {
        polynomial(simd, r, &[0.4999999, 0.16666521, 0.041668963, 0.008368675, 0.0013782504])
    } else {
        polynomial(simd, r, &EXP_M1_64)
    };
    simd.fused_mul_add(simd.fused_mul_add(tail, r, one), r, one)
}

/// e^r - 1 for |r| <= 0.347, with the relative error of a rounding or two near 0 too.
#[inline(always)]
pub(crate) fn of_remainder_minus_1<T: Float, S: Lanes<T>>(simd: S, r: S::V) -> S::V {
    let tail = if const { size_of::<T>() == 4 } {
        polynomial(simd, r, &[0.5, 0.16666666, 0.041666478, 0.008333567, 0.0013933695, 0.00019743323])
    } else {
        polynomial(simd, r, &EXP_M1_64)
    };
    simd.fused_mul_add(simd.mul(r, r), tail, r)
}

/// (e^r - 1 - r) / r^2.
const EXP_M1_64: [f64; 10] = [
    0.5000000000000006,
    0.16666666666666594,
    0.04166666666657371,
    0.00833333333338624,
    0.0013888888932344497,
    0.00019841269727158782,
    2.4801504484967593e-05,
    2.7557399536480002e-06,
    2.7626313260875876e-07,
    2.5056503013978212e-08,
];
