//! Softmax of rows and its logarithm. They differ in what an entry keeps of its term and in how the sum ends it
//! ([`Normal`]); the rest is one code.

use super::Function;
use super::exp::Exp;
use super::log::Log;
use crate::matrix::same;
use crate::reduce::{Terms, in_tree};
use crate::simd::{Lanes, Task};
use crate::{Float, MatMut, MatRef, ShapeError, parallel};
use std::marker::PhantomData;

/// Elements of a task.
const TASK: usize = 16 * 1024;

/// Columns up to which a row goes into a lane. At 16 the columns and the square that turns rows into them fill the
/// registers of AVX-512; with AVX2 they spill and it is still faster, portable f64 takes 1.1 to 1.25 times as long.
const NARROW: usize = 16;

/// Row by row: out = e^(x - max) / sum of e^(x - max). A row that holds NaN or +inf, or nothing but -inf, becomes NaN;
/// elsewhere -inf becomes 0. Rows of up to 16 add their terms from first to last, longer ones in the order of
/// [`crate::sum`]; a row's answer depends on no other row. The relative error of an entry is at most that of
/// the sum, 2.5 units in the last place, and what x - max loses in rounding: |x - max| / 2 units.
///
/// ```
/// use tilewise_kernels::{MatMut, MatRef, softmax};
/// let mut p = [0.0; 4];
/// let x = [0.0, 0.0, -800.0, 0.0];
/// softmax(MatRef::new(&x, 2, 2).unwrap(), MatMut::new(&mut p, 2, 2).unwrap()).unwrap();
/// assert_eq!(p, [0.5, 0.5, 0.0, 1.0]);
/// ```
///
/// # Errors
/// When the shapes differ.
pub fn softmax<T: Float>(x: MatRef<'_, T>, out: MatMut<'_, T>) -> Result<(), ShapeError> {
    rows::<T, Shares>(x, out)
}

/// Row by row: out = x - max - ln(sum of e^(x - max)). A row that holds NaN or +inf, or nothing but -inf,
/// becomes NaN; elsewhere -inf stays -inf. Rows of up to 16 add their terms from first to last, longer ones in the order of
/// [`crate::sum`]; a row's answer depends on no other row.
///
/// # Errors
/// When the shapes differ.
pub fn log_softmax<T: Float>(x: MatRef<'_, T>, out: MatMut<'_, T>) -> Result<(), ShapeError> {
    rows::<T, Logarithms>(x, out)
}

/// How entries become what they are among their row.
trait Normal {
    /// What an entry keeps: x - max, or e to that.
    fn keep<V>(shifted: V, e: V) -> V;
    /// What all entries of a row get from the sum of its exponentials.
    fn divisor<T: Float, S: Lanes<T>>(simd: S, sum: S::V) -> S::V;
    /// The entry.
    fn entry<T: Float, S: Lanes<T>>(simd: S, kept: S::V, divisor: S::V) -> S::V;
}

/// Of softmax.
struct Shares;
impl Normal for Shares {
    #[inline(always)]
    fn keep<V>(_: V, e: V) -> V {
        e
    }
    #[inline(always)]
    fn divisor<T: Float, S: Lanes<T>>(simd: S, sum: S::V) -> S::V {
        simd.div(simd.splat(T::ONE), sum)
    }
    #[inline(always)]
    fn entry<T: Float, S: Lanes<T>>(simd: S, kept: S::V, divisor: S::V) -> S::V {
        simd.mul(kept, divisor)
    }
}

/// Of log_softmax.
struct Logarithms;
impl Normal for Logarithms {
    #[inline(always)]
    fn keep<V>(shifted: V, _: V) -> V {
        shifted
    }
    #[inline(always)]
    fn divisor<T: Float, S: Lanes<T>>(simd: S, sum: S::V) -> S::V {
        Log::of(simd, sum)
    }
    #[inline(always)]
    fn entry<T: Float, S: Lanes<T>>(simd: S, kept: S::V, divisor: S::V) -> S::V {
        simd.sub(kept, divisor)
    }
}

fn rows<T: Float, K: Normal>(x: MatRef<'_, T>, mut out: MatMut<'_, T>) -> Result<(), ShapeError> {
    same("rows of out", x.rows(), out.rows())?;
    same("columns of out", x.cols(), out.cols())?;
    if x.rows() > 1 && x.rows() * x.cols() > TASK {
        let mid = x.rows() / 2;
        let (above, below) = out.split_rows_at(mid);
        let (first, second) = parallel::join(
            || rows::<T, K>(x.row_range(0..mid), above),
            || rows::<T, K>(x.row_range(mid..x.rows()), below),
        );
        return first.and(second);
    }
    if x.rows() == 0 || x.cols() == 0 {
        return Ok(());
    }
    if x.row(0).is_some() && out.row_mut(0).is_some() {
        T::dispatch(Rows { x, out, normal: PhantomData::<K> });
        return Ok(());
    }
    let (rows, cols) = (x.rows(), x.cols());
    let mut copy = vec![T::ZERO; rows * cols];
    T::dispatch(Rows {
        x: MatRef::new(&x.to_vec(), rows, cols)?,
        out: MatMut::new(&mut copy, rows, cols)?,
        normal: PhantomData::<K>,
    });
    for i in 0..rows {
        (0..cols).for_each(|j| out.set(i, j, copy[i * cols + j]));
    }
    Ok(())
}

/// Rows that are contiguous, in both.
struct Rows<'a, T: Float, K> {
    x: MatRef<'a, T>,
    out: MatMut<'a, T>,
    normal: PhantomData<K>,
}

impl<T: Float, K: Normal> Task<T> for Rows<'_, T, K> {
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
                wide::<T, S, K>(simd, row, out);
            }
        }
    }
}

impl<T: Float, K: Normal> Rows<'_, T, K> {
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
            let shifted = simd.sub(*column, max);
            let e = Exp::of(simd, shifted);
            *column = K::keep(shifted, e);
            sum = simd.add(sum, e);
        }
        let divisor = K::divisor::<T, S>(simd, sum);
        columns.iter_mut().for_each(|column| *column = K::entry::<T, S>(simd, *column, divisor));
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

/// A row of more than a few columns: exponentials into `out`, their sum, and what becomes of them.
#[inline(always)]
fn wide<T: Float, S: Lanes<T>, K: Normal>(simd: S, row: &[T], out: &mut [T]) {
    let shift = simd.splat(largest(simd, row));
    assert!(row.len() == out.len());
    let pieces = || (0..row.len()).step_by(S::LANES).map(|i| (i, S::LANES.min(row.len() - i)));
    for (i, n) in pieces() {
        // SAFETY: i + n <= the length of both.
        unsafe {
            let shifted = simd.sub(simd.load_first(row.as_ptr().add(i), n), shift);
            simd.store_first(out.as_mut_ptr().add(i), Exp::of(simd, shifted), n);
        }
    }
    let divisor = K::divisor::<T, S>(simd, simd.splat(in_tree::<T, S, Terms>(simd, out, out)));
    for (i, n) in pieces() {
        // SAFETY: as above.
        unsafe {
            let shifted = simd.sub(simd.load_first(row.as_ptr().add(i), n), shift);
            let kept = K::keep(shifted, simd.load_first(out.as_ptr().add(i), n));
            simd.store_first(out.as_mut_ptr().add(i), K::entry::<T, S>(simd, kept, divisor), n);
        }
    }
}

/// The largest element that is not NaN, or -inf. (Of zeros of both signs either; what becomes of them is the same.)
#[inline(always)]
fn largest<T: Float, S: Lanes<T>>(simd: S, row: &[T]) -> T {
    let none = T::from_f64(f64::NEG_INFINITY);
    // Four, because each waits for the one before.
    let mut max = [simd.splat(none); 4];
    let mut blocks = row.chunks_exact(4 * S::LANES);
    for block in &mut blocks {
        for (k, max) in max.iter_mut().enumerate() {
            // SAFETY: four vectors in the block.
            *max = simd.max(unsafe { simd.load(block.as_ptr().add(k * S::LANES)) }, *max);
        }
    }
    let mut lanes = [none; 64];
    for (k, max) in max.into_iter().enumerate() {
        // SAFETY: four vectors of at most 16 lanes.
        unsafe { simd.store(lanes.as_mut_ptr().add(k * S::LANES), max) };
    }
    lanes.iter().chain(blocks.remainder()).fold(none, |max, &x| if x > max { x } else { max })
}
