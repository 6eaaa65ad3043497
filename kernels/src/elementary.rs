//! e^x, the logistic function and log-softmax: the same operations in the same order on every instruction set, so the
//! same bits everywhere, for `f32` and `f64`.
//!
//! e^x: n = round(x / ln 2); r = x - n ln 2 in two steps, ln 2 split so that n times its upper part is exact (Cody and
//! Waite 1980), |r| <= 0.347; Taylor's series of e^r to degree 7 (`f32`, truncated below 5e-9) or 13 (`f64`, below
//! 5e-18); times 2^n as 2^(n/2) twice, so that results below the smallest normal number round once and those beyond
//! the largest become infinity. Within [`EXP_ULP`] of the true value, as the tests assert.

use crate::matrix::same;
use crate::reduce::{Terms, in_tree};
use crate::simd::{Lanes, Task};
use crate::{Float, MatMut, MatRef, ShapeError, parallel};
use std::marker::PhantomData;

/// Largest error of [`exp`], in units of the last place of the true value.
pub const EXP_ULP: f64 = 1.0;

/// Largest error of [`sigmoid`], in units of the last place of the true value.
pub const SIGMOID_ULP: f64 = 2.5;

/// Elements of a task: 64 KiB of f32 take about 10 microseconds.
const TASK: usize = 16 * 1024;

/// Columns up to which [`log_softmax`] takes a row per lane. At 16 the columns and the square that turns rows into them
/// fill the registers of AVX-512; with AVX2 they spill and it is still faster, portable f64 takes 1.1 to 1.25 times as long.
const NARROW: usize = 16;

/// out = e^x, element by element. e^NaN is NaN, e^inf inf, e^-inf 0. Error at most [`EXP_ULP`].
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

/// out = 1 / (1 + e^-x), element by element. NaN gives NaN. Error at most [`SIGMOID_ULP`].
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

/// Row by row: out = x - max - ln(sum of e^(x - max)). A row that holds NaN or +inf, or nothing but -inf,
/// becomes NaN; elsewhere -inf stays -inf. Rows of up to 16 add their terms from first to last, longer ones in the order of
/// [`crate::sum`]; a row's answer depends on no other row.
///
/// # Errors
/// When the shapes differ.
pub fn log_softmax<T: Float>(x: MatRef<'_, T>, mut out: MatMut<'_, T>) -> Result<(), ShapeError> {
    same("rows of out", x.rows(), out.rows())?;
    same("columns of out", x.cols(), out.cols())?;
    if x.rows() > 1 && x.rows() * x.cols() > TASK {
        let mid = x.rows() / 2;
        let (above, below) = out.split_rows_at(mid);
        let (first, second) = parallel::join(
            || log_softmax(x.row_range(0..mid), above),
            || log_softmax(x.row_range(mid..x.rows()), below),
        );
        return first.and(second);
    }
    if x.rows() == 0 || x.cols() == 0 {
        return Ok(());
    }
    if x.row(0).is_some() && out.row_mut(0).is_some() {
        T::dispatch(LogSoftmax { x, out });
        return Ok(());
    }
    let (rows, cols) = (x.rows(), x.cols());
    let mut copy = vec![T::ZERO; rows * cols];
    T::dispatch(LogSoftmax {
        x: MatRef::new(&x.to_vec(), rows, cols)?,
        out: MatMut::new(&mut copy, rows, cols)?,
    });
    for i in 0..rows {
        (0..cols).for_each(|j| out.set(i, j, copy[i * cols + j]));
    }
    Ok(())
}

/// A function of one vector.
trait Function {
    fn of<T: Float, S: Lanes<T>>(simd: S, x: S::V) -> S::V;
}

struct Exp;
impl Function for Exp {
    #[inline(always)]
    fn of<T: Float, S: Lanes<T>>(simd: S, x: S::V) -> S::V {
        let c = constants::<T>();
        let clamped = simd.min(simd.splat(c.largest), x);
        let clamped = simd.max(simd.splat(c.smallest), clamped);
        let n = simd.round(simd.mul(clamped, simd.splat(c.per_ln_2)));
        let r = simd.fused_mul_add(n, simd.splat(c.minus_ln_2_high), clamped);
        let r = simd.fused_mul_add(n, simd.splat(c.minus_ln_2_low), r);
        // 1 + r + r^2 (1/2! + r/3! + r^2/4! + ...)
        let mut tail = simd.splat(T::from_f64(INVERSE_FACTORIALS[c.degree]));
        for k in (2..c.degree).rev() {
            tail = simd.fused_mul_add(tail, r, simd.splat(T::from_f64(INVERSE_FACTORIALS[k])));
        }
        // 1 + r in two parts: added up in one go with the rest of the series, r loses up to a quarter of a unit in the
        // last place of results below 1, and some f32 results were 1.06 away.
        let one = simd.splat(T::ONE);
        let sum = simd.add(one, r);
        let lost = simd.sub(r, simd.sub(sum, one));
        let e = simd.add(sum, simd.fused_mul_add(simd.mul(r, r), tail, lost));
        let half = simd.round(simd.mul(n, simd.splat(T::from_f64(0.5))));
        // NaN has come through the clamps, which give their second operand where a comparison fails; 2^NaN is some
        // number, and e, which is NaN, times it is NaN.
        simd.mul(simd.mul(e, simd.pow2(half)), simd.pow2(simd.sub(n, half)))
    }
}

struct Sigmoid;
impl Function for Sigmoid {
    #[inline(always)]
    fn of<T: Float, S: Lanes<T>>(simd: S, x: S::V) -> S::V {
        let one = simd.splat(T::ONE);
        let minus_abs = simd.sub(simd.splat(T::ZERO), simd.abs(x));
        let e = Exp::of(simd, minus_abs);
        simd.div(simd.select_sign(x, e, one), simd.add(one, e))
    }
}

/// 1/k!
const INVERSE_FACTORIALS: [f64; 14] = [
    1.0,
    1.0,
    1.0 / 2.0,
    1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 120.0,
    1.0 / 720.0,
    1.0 / 5040.0,
    1.0 / 40320.0,
    1.0 / 362_880.0,
    1.0 / 3_628_800.0,
    1.0 / 39_916_800.0,
    1.0 / 479_001_600.0,
    1.0 / 6_227_020_800.0,
];

/// What differs between the element types.
struct Constants<T> {
    /// Arguments beyond give infinity, and below give 0; 2^(n/2) stays a normal number in between.
    largest: T,
    smallest: T,
    per_ln_2: T,
    /// ln 2 with so few bits that n times it is exact for every n in range.
    minus_ln_2_high: T,
    /// What is missing from ln 2.
    minus_ln_2_low: T,
    degree: usize,
}

#[inline(always)]
fn constants<T: Float>() -> Constants<T> {
    let t = T::from_f64;
    let per_ln_2 = t(std::f64::consts::LOG2_E);
    if size_of::<T>() == 4 {
        // 15 bits: 0.693145751953125, a multiple of 2^-15... times n < 2^8 fits 24 bits.
        let high = 22_713.0 / 32_768.0;
        let low = std::f64::consts::LN_2 - high;
        Constants {
            largest: t(89.0),
            smallest: t(-104.0),
            per_ln_2,
            minus_ln_2_high: t(-high),
            minus_ln_2_low: t(-low),
            degree: 7,
        }
    } else {
        // The upper 42 bits of ln 2 (bit pattern 3FE62E42FEFA3800), and the rest to double precision.
        let high = f64::from_bits(0x3FE6_2E42_FEFA_3800);
        let low = f64::from_bits(0x3D2E_F357_93C7_6730);
        Constants {
            largest: t(710.0),
            smallest: t(-746.0),
            per_ln_2,
            minus_ln_2_high: t(-high),
            minus_ln_2_low: t(-low),
            degree: 13,
        }
    }
}

fn map<T: Float, F: Function>(x: &[T], out: &mut [T]) -> Result<(), ShapeError> {
    same("length of out", x.len(), out.len())?;
    if x.len() <= TASK {
        T::dispatch(Map { x, out, function: PhantomData::<F> });
    } else {
        parallel::for_each_chunk_mut(out, TASK, |i, out| {
            T::dispatch(Map { x: &x[i * TASK..][..out.len()], out, function: PhantomData::<F> });
        });
    }
    Ok(())
}

struct Map<'a, T, F> {
    x: &'a [T],
    out: &'a mut [T],
    function: PhantomData<F>,
}

impl<T: Float, F: Function> Task<T> for Map<'_, T, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) {
        map_vectors(
            simd,
            self.x,
            self.out,
            #[inline(always)]
            |v| F::of(simd, v),
        );
    }
}

/// Vector by vector; `f` must be marked `#[inline(always)]`, or its operations become calls.
#[inline(always)]
fn map_vectors<T: Float, S: Lanes<T>>(simd: S, x: &[T], out: &mut [T], f: impl Fn(S::V) -> S::V) {
    assert!(x.len() == out.len());
    for i in (0..x.len()).step_by(S::LANES) {
        let n = S::LANES.min(x.len() - i);
        // SAFETY: i + n <= the length of both.
        unsafe { simd.store_first(out.as_mut_ptr().add(i), f(simd.load_first(x.as_ptr().add(i), n)), n) };
    }
}

struct LogSoftmax<'a, T: Float> {
    x: MatRef<'a, T>,
    out: MatMut<'a, T>,
}

impl<T: Float> Task<T> for LogSoftmax<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T>>(mut self, simd: S) {
        if self.x.cols() <= NARROW {
            for first in (0..self.x.rows()).step_by(S::LANES) {
                self.narrow(simd, first);
            }
            return;
        }
        for i in 0..self.x.rows() {
            if let (Some(row), Some(out)) = (self.x.row(i), self.out.row_mut(i)) {
                wide(simd, row, out);
            }
        }
    }
}

impl<T: Float> LogSoftmax<'_, T> {
    /// A row per lane, from row `first` on: what a row alone waits for, one result after the other, is done for
    /// [`Lanes::LANES`] rows at once. Terms are added from the first column to the last.
    #[inline(always)]
    fn narrow<S: Lanes<T>>(&mut self, simd: S, first: usize) {
        let cols = self.x.cols();
        let rows = S::LANES.min(self.x.rows() - first);
        let mut columns = [simd.splat(T::ZERO); NARROW];
        for left in (0..cols).step_by(S::LANES) {
            let width = S::LANES.min(cols - left);
            let mut square = [simd.splat(T::ZERO); 16];
            for (i, piece) in square.iter_mut().enumerate().take(rows) {
                if let Some(row) = self.x.row(first + i) {
                    // SAFETY: left + width <= cols, the length of a row.
                    *piece = unsafe { simd.load_first(row[left..].as_ptr(), width) };
                }
            }
            simd.transpose(&mut square);
            columns[left..left + width].copy_from_slice(&square[..width]);
        }
        let columns = &mut columns[..cols];
        let mut max = simd.splat(T::from_f64(f64::NEG_INFINITY));
        for column in &*columns {
            // Gives its second operand where a comparison fails: NaN is no maximum.
            max = simd.max(*column, max);
        }
        let mut sum = simd.splat(T::ZERO);
        for column in &mut *columns {
            *column = simd.sub(*column, max);
            sum = simd.add(sum, Exp::of(simd, *column));
        }
        let mut sums = [T::ZERO; 16];
        // SAFETY: no set has more than 16 lanes.
        unsafe { simd.store(sums.as_mut_ptr(), sum) };
        sums[..rows].iter_mut().for_each(|sum| *sum = T::from_f64(ln(sum.to_f64())));
        // SAFETY: as above.
        let log_sum = unsafe { simd.load(sums.as_ptr()) };
        columns.iter_mut().for_each(|column| *column = simd.sub(*column, log_sum));
        for left in (0..cols).step_by(S::LANES) {
            let width = S::LANES.min(cols - left);
            let mut square = [simd.splat(T::ZERO); 16];
            square[..width].copy_from_slice(&columns[left..left + width]);
            simd.transpose(&mut square);
            for (i, piece) in square.into_iter().enumerate().take(rows) {
                if let Some(row) = self.out.row_mut(first + i) {
                    // SAFETY: as above, of the row of out.
                    unsafe { simd.store_first(row[left..].as_mut_ptr(), piece, width) };
                }
            }
        }
    }
}

#[inline(always)]
fn wide<T: Float, S: Lanes<T>>(simd: S, row: &[T], out: &mut [T]) {
    let max = row.iter().fold(T::from_f64(f64::NEG_INFINITY), |max, &x| if x > max { x } else { max });
    let shift = simd.splat(max);
    map_vectors(
        simd,
        row,
        out,
        #[inline(always)]
        |v| Exp::of(simd, simd.sub(v, shift)),
    );
    let sum = in_tree::<T, S, Terms>(simd, out, out);
    let log_sum = simd.splat(T::from_f64(ln(sum.to_f64())));
    map_vectors(
        simd,
        row,
        out,
        #[inline(always)]
        |v| simd.sub(simd.sub(v, shift), log_sum),
    );
}

/// The natural logarithm of a positive normal number or infinity, the same bits on every platform (the standard library's
/// is the system's). x = 2^n m with m in [1/sqrt 2, sqrt 2); ln m = 2 artanh(s), s = (m - 1) / (m + 1), |s| < 0.172, by
/// its series to s^21 (truncated below 1e-17). Used once per row, so not vectorised; but inlined, because outside of a set
/// with fused multiply-add each of its ten is a call.
#[inline(always)]
fn ln(x: f64) -> f64 {
    if !(x.is_normal() && x > 0.0) {
        return x.ln();
    }
    let bits = x.to_bits();
    // Adding what takes 1/sqrt(2) to 1 moves the border between exponents there.
    let shifted = bits.wrapping_add(0x3FF0_0000_0000_0000 - std::f64::consts::FRAC_1_SQRT_2.to_bits());
    let n = (shifted >> 52) as f64 - 1023.0;
    let m = f64::from_bits(bits.wrapping_sub(((shifted >> 52) << 52).wrapping_sub(1023 << 52)));
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let series = (1..=10).rev().fold(0.0, |tail: f64, k| tail.mul_add(z, 1.0 / f64::from(2 * k + 1)));
    let c = constants::<f64>();
    // Smallest terms first.
    let tail = (2.0 * s * z).mul_add(series, -n * c.minus_ln_2_low);
    -n * c.minus_ln_2_high + (2.0 * s + tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm() {
        for i in 1..100_000u64 {
            let x = f64::from_bits(i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 2);
            if x.is_normal() && x > 0.0 {
                let (got, expected) = (ln(x), x.ln());
                let ulp = expected.abs().max(1e-3) * f64::EPSILON;
                assert!((got - expected).abs() <= 2.0 * ulp, "ln {x:e}: {got} but {expected}");
            }
        }
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(ln(f64::INFINITY), f64::INFINITY);
        assert!(ln(f64::NAN).is_nan());
    }
}
