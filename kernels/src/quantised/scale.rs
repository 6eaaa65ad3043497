//! Between real numbers and bytes: q = saturate(round(x / scale) + zero point), x = (q - zero point) scale.
//!
//! These are the operations QuantizeLinear and DequantizeLinear of ONNX: the quotient is rounded to nearest, ties to
//! even, before the zero point is added, and it is a true division in f32, not a product with 1 / scale, which would
//! round some ties the other way.

use crate::matrix::same;
use crate::simd::{Lanes, LanesOfEverySet, Task};
use crate::{ShapeError, parallel};
use std::fmt::Debug;

mod sealed {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for i8 {}
}

/// `u8` or `i8`: what a real number is quantised to.
pub trait Quantised:
    sealed::Sealed + Copy + Default + Debug + PartialEq + Into<i32> + Send + Sync + 'static
{
    /// The smallest value.
    const LOWEST: i32;
    /// The largest value.
    const HIGHEST: i32;
    /// The low byte of `x`.
    fn from_low_byte(x: i32) -> Self;
}

macro_rules! quantised {
    ($t:ty) => {
        impl Quantised for $t {
            const LOWEST: i32 = <$t>::MIN as i32;
            const HIGHEST: i32 = <$t>::MAX as i32;
            #[inline(always)]
            fn from_low_byte(x: i32) -> Self {
                x as $t
            }
        }
    };
}
quantised!(u8);
quantised!(i8);

/// How bytes stand for real numbers: q for (q - zero_point) scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantisation<Q> {
    /// The difference between the numbers of two consecutive bytes; positive and finite.
    pub scale: f32,
    /// The byte that stands for 0.
    pub zero_point: Q,
}

impl Quantisation<u8> {
    /// The affine one whose 256 values span `min..=max`, widened to hold 0, which padding and ReLU need exact. `None`
    /// when a bound is not finite or they are in the wrong order.
    ///
    /// ```
    /// use tilewise_kernels::Quantisation;
    /// let q = Quantisation::<u8>::of_range(-1.0, 4.1).unwrap();
    /// assert_eq!((q.scale, q.zero_point), (0.02, 50));
    /// ```
    pub fn of_range(min: f32, max: f32) -> Option<Self> {
        if !(min.is_finite() && max.is_finite() && min <= max) {
            return None;
        }
        let (min, max) = (f64::from(min.min(0.0)), f64::from(max.max(0.0)));
        let scale = positive((max - min) / 255.0);
        Some(Self { scale, zero_point: (-min / f64::from(scale)).round_ties_even().min(255.0) as u8 })
    }
}

impl Quantisation<i8> {
    /// The symmetric one whose 127 stands for `largest`, the largest magnitude; -128 is not used, and 0 stands for 0.
    /// `None` when it is not finite or negative.
    pub fn symmetric(largest: f32) -> Option<Self> {
        let fits = largest.is_finite() && largest >= 0.0;
        fits.then(|| Self { scale: positive(f64::from(largest) / 127.0), zero_point: 0 })
    }
}

/// As an `f32` that can be divided by: numbers that are all 0 have any scale, and subnormal ones are too coarse.
fn positive(scale: f64) -> f32 {
    if scale == 0.0 { 1.0 } else { (scale as f32).max(f32::MIN_POSITIVE) }
}

/// out = saturate(round(x / scale) + zero point), element by element: the quotient rounded to nearest, ties to even.
/// Infinities saturate, NaN becomes the zero point. The same bits on every instruction set.
///
/// ```
/// use tilewise_kernels::{Quantisation, quantise};
/// let mut q = [0u8; 5];
/// let by = Quantisation { scale: 0.5, zero_point: 128 };
/// quantise(&[0.0, 0.75, -1.0, 1e9, f32::NAN], by, &mut q).unwrap();
/// assert_eq!(q, [128, 130, 126, 255, 128]);
/// ```
///
/// # Errors
/// When the lengths differ.
pub fn quantise<Q: Quantised>(x: &[f32], by: Quantisation<Q>, out: &mut [Q]) -> Result<(), ShapeError> {
    same("length of the output", x.len(), out.len())?;
    parallel::for_each_chunk_mut(out, TASK, |i, out| {
        let x = &x[i * TASK..][..out.len()];
        f32::dispatch(Quantise { x, by, out });
    });
    Ok(())
}

/// out = (x - zero point) scale, element by element, rounded once.
///
/// ```
/// use tilewise_kernels::{Quantisation, dequantise};
/// let mut x = [0.0; 3];
/// dequantise(&[128u8, 130, 0], Quantisation { scale: 0.5, zero_point: 128 }, &mut x).unwrap();
/// assert_eq!(x, [0.0, 1.0, -64.0]);
/// ```
///
/// # Errors
/// When the lengths differ.
pub fn dequantise<Q: Quantised>(x: &[Q], by: Quantisation<Q>, out: &mut [f32]) -> Result<(), ShapeError> {
    same("length of the output", x.len(), out.len())?;
    parallel::for_each_chunk_mut(out, TASK, |i, out| {
        let x = &x[i * TASK..][..out.len()];
        f32::dispatch(Dequantise { x, by, out });
    });
    Ok(())
}

/// Elements of a task: 512 KiB of f32 and 128 KiB of bytes, a few tens of microseconds.
const TASK: usize = 128 << 10;

/// 1.5 * 2^23: numbers of magnitude below 2^22 added to it are rounded to an integer, ties to even, which is then in the
/// low bits of the sum.
const ROUNDER: f32 = 12_582_912.0;

struct Quantise<'a, Q> {
    x: &'a [f32],
    by: Quantisation<Q>,
    out: &'a mut [Q],
}

impl<Q: Quantised> Task<f32> for Quantise<'_, Q> {
    type Output = ();
    /// A plain loop, which the compiler vectorises for the set.
    #[inline(always)]
    fn run<S: Lanes<f32>>(self, _: S) {
        let zero: i32 = self.by.zero_point.into();
        // Limits that are integers commute with rounding, so that what is rounded is small.
        let (low, high) = ((Q::LOWEST - zero) as f32, (Q::HIGHEST - zero) as f32);
        let scale = self.by.scale;
        for (out, &x) in self.out.iter_mut().zip(self.x) {
            let quotient = x / scale;
            let quotient = if quotient.is_nan() { 0.0 } else { quotient };
            let quotient = if quotient < low { low } else { quotient };
            let quotient = if quotient > high { high } else { quotient };
            let bits = (quotient + ROUNDER).to_bits() as i32 - ROUNDER.to_bits() as i32;
            *out = Q::from_low_byte(bits + zero);
        }
    }
}

struct Dequantise<'a, Q> {
    x: &'a [Q],
    by: Quantisation<Q>,
    out: &'a mut [f32],
}

impl<Q: Quantised> Task<f32> for Dequantise<'_, Q> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<f32>>(self, _: S) {
        let zero: i32 = self.by.zero_point.into();
        for (out, &x) in self.out.iter_mut().zip(self.x) {
            let x: i32 = x.into();
            *out = (x - zero) as f32 * self.by.scale;
        }
    }
}
