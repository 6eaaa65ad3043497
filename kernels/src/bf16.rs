//! bfloat16, the upper half of an `f32`: 8 bits of exponent, 8 of precision. Numbers are stored in it, not computed
//! with: kernels widen to `f32`, which is exact, and round to nearest, ties to even, when they narrow.

use crate::matrix::same;
use crate::simd::{Lanes, LanesOfEverySet, Task};
use crate::{Float, ShapeError, Storage, parallel};
use std::fmt;

/// A bfloat16 number. Equality is that of numbers: zeros are equal, NaN is not.
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub struct Bf16(u16);

impl Bf16 {
    /// The number with these bits.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// Its bits: the upper half of those of the same `f32`.
    pub const fn to_bits(self) -> u16 {
        self.0
    }

    /// The nearest number, ties to even: beyond the largest by half a unit or more it is infinite. NaN stays NaN, with
    /// its sign and the upper part of its payload, made quiet.
    #[inline(always)]
    pub const fn from_f32(x: f32) -> Self {
        let bits = x.to_bits();
        let nan = (bits >> 16) as u16 | 0x40;
        // Infinity is the largest pattern that comes here from a number: the sum does not overflow.
        let rounded = (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16;
        Self(if bits & 0x7fff_ffff > 0x7f80_0000 { nan } else { rounded })
    }

    /// The same number.
    #[inline(always)]
    pub const fn to_f32(self) -> f32 {
        f32::from_bits((self.0 as u32) << 16)
    }
}

impl Storage for Bf16 {
    #[inline(always)]
    fn to<T: Float>(self) -> T {
        self.to_f32().to()
    }
}

impl From<Bf16> for f32 {
    fn from(x: Bf16) -> f32 {
        x.to_f32()
    }
}

impl PartialEq for Bf16 {
    fn eq(&self, other: &Self) -> bool {
        self.to_f32() == other.to_f32()
    }
}

impl PartialOrd for Bf16 {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.to_f32().partial_cmp(&other.to_f32())
    }
}

impl fmt::Debug for Bf16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_f32(), f)
    }
}

impl fmt::Display for Bf16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_f32(), f)
    }
}

/// Elements of a task: 512 KiB of f32, a few tens of microseconds.
const TASK: usize = 128 << 10;

/// out = [`Bf16::from_f32`] of each element: rounded to nearest, ties to even; NaN stays NaN.
///
/// ```
/// use tilewise_kernels::{Bf16, narrow_bf16};
/// let mut y = [Bf16::default(); 3];
/// narrow_bf16(&[1.0, 1.00390625, 3.4e38], &mut y).unwrap();
/// assert_eq!(y.map(Bf16::to_f32), [1.0, 1.0, f32::INFINITY]);
/// ```
///
/// # Errors
/// When the lengths differ.
pub fn narrow_bf16(x: &[f32], out: &mut [Bf16]) -> Result<(), ShapeError> {
    same("length of the output", x.len(), out.len())?;
    parallel::for_each_chunk_mut(out, TASK, |i, out| {
        let x = &x[i * TASK..][..out.len()];
        f32::dispatch(Narrow { x, out });
    });
    Ok(())
}

/// out = [`Bf16::to_f32`] of each element: the same numbers.
///
/// # Errors
/// When the lengths differ.
pub fn widen_bf16(x: &[Bf16], out: &mut [f32]) -> Result<(), ShapeError> {
    same("length of the output", x.len(), out.len())?;
    parallel::for_each_chunk_mut(out, TASK, |i, out| {
        let x = &x[i * TASK..][..out.len()];
        f32::dispatch(Widen { x, out });
    });
    Ok(())
}

struct Narrow<'a> {
    x: &'a [f32],
    out: &'a mut [Bf16],
}

impl Task<f32> for Narrow<'_> {
    type Output = ();
    /// A plain loop over integers, which the compiler vectorises for the set.
    #[inline(always)]
    fn run<S: Lanes<f32>>(self, _: S) {
        for (out, &x) in self.out.iter_mut().zip(self.x) {
            *out = Bf16::from_f32(x);
        }
    }
}

struct Widen<'a> {
    x: &'a [Bf16],
    out: &'a mut [f32],
}

impl Task<f32> for Widen<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<f32>>(self, _: S) {
        for (out, &x) in self.out.iter_mut().zip(self.x) {
            *out = x.to_f32();
        }
    }
}
