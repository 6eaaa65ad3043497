//! The two element types of every kernel, and what numbers may be stored as.

use std::fmt::{Debug, Display};
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
    impl Sealed for crate::Bf16 {}
}

/// `f32`, `f64` or [`crate::Bf16`]: what a product can read, converting while it packs. Sealed.
pub trait Storage: sealed::Sealed + Copy + Send + Sync + 'static {
    /// The number as `T`, rounded (ties to even) where `T` is narrower.
    fn to<T: Float>(self) -> T;
}

/// `f32` or `f64`: what matrices hold. Sealed; SIMD for a type is reached through `crate::simd`.
pub trait Float:
    Storage
    + Default
    + Debug
    + Display
    + PartialEq
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + crate::scratch::AnyBits
    + crate::simd::LanesOfEverySet
{
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// Distance from 1 to the next larger value.
    const EPSILON: Self;
    /// Widens (exact) to `f64`.
    fn to_f64(self) -> f64;
    /// Rounds from `f64` (ties to even).
    fn from_f64(x: f64) -> Self;
    /// `self * a + b` with one rounding.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// Absolute value.
    fn abs(self) -> Self;
    /// Square root, correctly rounded.
    fn sqrt(self) -> Self;
    /// Whether neither NaN nor infinite.
    fn is_finite(self) -> bool;
    /// Whether NaN.
    fn is_nan(self) -> bool;
    /// What is left without the fraction; 0 for negative numbers and NaN.
    fn to_u32(self) -> u32;
    /// What is of this type.
    fn pick<'a>(single: &'a [f32], double: &'a [f64]) -> &'a [Self];
}

macro_rules! float {
    ($t:ty, |$single:ident, $double:ident| $own:ident) => {
        impl Storage for $t {
            #[inline(always)]
            fn to<T: Float>(self) -> T {
                T::from_f64(self.to_f64())
            }
        }
        impl Float for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const EPSILON: Self = <$t>::EPSILON;
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn to_u32(self) -> u32 {
                self as u32
            }
            #[inline(always)]
            fn pick<'a>($single: &'a [f32], $double: &'a [f64]) -> &'a [Self] {
                $own
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                <$t>::mul_add(self, a, b)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                <$t>::abs(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                <$t>::sqrt(self)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                <$t>::is_finite(self)
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                <$t>::is_nan(self)
            }
        }
    };
}
float!(f32, |single, _double| single);
float!(f64, |_single, double| double);

/// The largest f32 up to `x`: an f32 is above both or neither.
pub fn f32_up_to(x: f64) -> f32 {
    let nearest = x as f32;
    if f64::from(nearest) > x { nearest.next_down() } else { nearest }
}

/// The least f32 above `x`: an f32 is below it if and only if it is up to `x`. `x` is less than infinity.
pub fn f32_above(x: f64) -> f32 {
    let nearest = x as f32;
    if f64::from(nearest) > x { nearest } else { nearest.next_up() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_to_f32_so_that_comparisons_stay() {
        let ends = [f64::MAX, f64::MIN, f64::INFINITY, f64::NEG_INFINITY];
        let numbers = [0.0, -0.0, 1e-50, -1e-50, 0.1, -0.1, 1.0, 1e39, -1e39, 3.5e38].into_iter().chain(ends);
        for t in numbers {
            let near = t as f32;
            let around = [near, near.next_up(), near.next_down()];
            let all = [f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY].into_iter().chain(around);
            for x in all.filter(|x| !x.is_nan()) {
                assert_eq!(f64::from(x) <= t, x <= f32_up_to(t), "{x:e} against {t:e}");
                if t < f64::INFINITY {
                    assert_eq!(f64::from(x) <= t, x < f32_above(t), "{x:e} against {t:e}");
                }
            }
        }
    }
}
