//! Softsign.

use super::{Function, map};
use crate::simd::Lanes;
use crate::{Float, ShapeError};

/// Largest error of [`softsign`], in units of the last place of the true value: a half of the quotient, and up to one of its
/// rounded denominator.
pub const SOFTSIGN_ULP: f64 = 1.5;

/// out = x / (1 + |x|), element by element. Error at most [`SOFTSIGN_ULP`]; softsign(-x) is -softsign(x) to the bit, -0
/// stays -0. NaN gives NaN, inf 1, -inf -1.
///
/// ```
/// let mut y = [0.0f32; 3];
/// tilewise_kernels::softsign(&[-3.0, 1.0, f32::INFINITY], &mut y).unwrap();
/// assert_eq!(y, [-0.75, 0.5, 1.0]);
/// ```
///
/// # Errors
/// When the lengths differ.
pub fn softsign<T: Float>(x: &[T], out: &mut [T]) -> Result<(), ShapeError> {
    map::<T, Softsign>(x, out)
}

pub(super) struct Softsign;
impl Function for Softsign {
    #[inline(always)]
    fn of<T: Float, S: Lanes<T>>(simd: S, x: S::V) -> S::V {
        // In place of infinities, whose quotient is NaN, any number that swallows the 1. NaN comes through: it is the second
        // operand.
        let large = T::from_f64(1e30);
        let x = simd.max(simd.splat(-large), simd.min(simd.splat(large), x));
        simd.div(x, simd.add(simd.splat(T::ONE), simd.abs(x)))
    }
}
