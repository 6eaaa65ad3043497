//! Folding every row of a matrix, or every column: sums, and the frame for maxima.
//!
//! Rows that are contiguous are folded in the order of the module `reduce`, each by itself; where columns are contiguous
//! instead, in that of the module `columns`. The layout chooses between them, neither the number of rows nor threads do:
//! a row has the same bits in any matrix of two or more rows that lies alike. With neither, the smaller stride chooses,
//! and blocks are copied.

use crate::columns::{down_alone, each_column, with_contiguous_rows};
use crate::matrix::same;
use crate::reduce::{LEAF, Reduction, Terms, fold_leaves, leaf_lanes, leaves};
use crate::simd::{Lanes, Task};
use crate::{Float, MatRef, ShapeError, parallel};
use std::marker::PhantomData;

/// out_i = the sum of row i, for any strides; 0 where rows are empty. NaN and infinity spread as in any sum.
///
/// ```
/// use tilewise_kernels::{MatRef, row_sums};
/// let a = MatRef::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3).unwrap();
/// let mut out = [0.0; 2];
/// row_sums(a, &mut out).unwrap();
/// assert_eq!(out, [6.0, 15.0]);
/// ```
///
/// # Errors
/// When `out` is not as long as A has rows.
pub fn row_sums<T: Float>(a: MatRef<'_, T>, out: &mut [T]) -> Result<(), ShapeError> {
    same("length of out against rows of A", a.rows(), out.len())?;
    each_row::<T, Terms, 1, T>(a, out, |_, [sum]| sum);
    Ok(())
}

/// out_j = the sum of column j, for any strides; 0 where columns are empty. NaN and infinity spread as in any sum.
///
/// ```
/// use tilewise_kernels::{MatRef, column_sums};
/// let a = MatRef::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3).unwrap();
/// let mut out = [0.0; 3];
/// column_sums(a, &mut out).unwrap();
/// assert_eq!(out, [5.0, 7.0, 9.0]);
/// ```
///
/// # Errors
/// When `out` is not as long as A has columns.
pub fn column_sums<T: Float>(a: MatRef<'_, T>, out: &mut [T]) -> Result<(), ShapeError> {
    same("length of out against columns of A", a.cols(), out.len())?;
    each_row::<T, Terms, 1, T>(a.transpose(), out, |_, [sum]| sum);
    Ok(())
}

/// Whether rows are folded one by one, and not all at once down the columns of the transpose.
pub(crate) fn by_rows<T: Float>(a: MatRef<'_, T>) -> bool {
    a.rows() <= 1 || a.col_stride() == 1 || a.col_stride().unsigned_abs() <= a.row_stride().unsigned_abs()
}

/// Calls `f(first row, their places in out)` for pieces of rows of about `GRAIN_BYTES` each.
pub(crate) fn pieces<T: Float, R: Send>(a: MatRef<'_, T>, out: &mut [R], f: impl Fn(usize, &mut [R]) + Sync) {
    let rows = (parallel::GRAIN_BYTES / (a.cols() * size_of::<T>()).max(1)).max(1);
    parallel::for_each_chunk_mut(out, rows, |piece, out| f(piece * rows, out));
}

/// out_i = `finish(i, row i folded)`. Zeros come without a sign.
pub(crate) fn each_row<T: Float, K: Reduction<N>, const N: usize, R: Send>(
    a: MatRef<'_, T>,
    out: &mut [R],
    finish: impl Fn(usize, [T; N]) -> R + Sync,
) {
    if by_rows(a) {
        pieces(a, out, |first, out| {
            with_contiguous_rows(a.row_range(first..first + out.len()), |a| {
                T::dispatch(Rows::<_, _, _, K, N> { a, first, out, finish: &finish, how: PhantomData });
            });
        });
    } else {
        let finish =
            |i, folded: Option<[T; N]>| finish(i, folded.unwrap_or_else(K::start).map(|x| x + T::ZERO));
        each_column(a.transpose(), out, down_alone::<T, K, N>, K::join, finish);
    }
}

struct Rows<'a, T, R, F, K, const N: usize> {
    a: MatRef<'a, T>,
    /// The number of the first row, and where results go.
    first: usize,
    out: &'a mut [R],
    finish: F,
    how: PhantomData<K>,
}

impl<T: Float, R, F: Fn(usize, [T; N]) -> R, K: Reduction<N>, const N: usize> Task<T>
    for Rows<'_, T, R, F, K, N>
{
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) {
        let Self { a, first, out, finish, .. } = self;
        let mut done = 0;
        // The last additions of a row, of lanes among themselves, are as long as a row of ten elements: they are done
        // for as many rows at once as there are lanes.
        if a.cols() <= LEAF {
            for out in out.chunks_exact_mut(S::LANES) {
                let mut all = [[simd.splat(T::ZERO); 16]; N];
                for i in 0..S::LANES {
                    let row = a.row(done + i).unwrap_or_default();
                    for (all, lanes) in all.iter_mut().zip(leaf_lanes::<T, S, K, N>(simd, row, row)) {
                        all[i] = lanes;
                    }
                }
                let mut folded = [[T::ZERO; 16]; N];
                for (folded, v) in folded.iter_mut().zip(fold_leaves::<T, S, K, N>(simd, all)) {
                    // SAFETY: LANES <= 16.
                    unsafe { simd.store(folded.as_mut_ptr(), v) };
                }
                for (i, out) in out.iter_mut().enumerate() {
                    *out = finish(first + done + i, folded.map(|folded| folded[i]));
                }
                done += S::LANES;
            }
        }
        for (i, out) in out.iter_mut().enumerate().skip(done) {
            let row = a.row(i).unwrap_or_default();
            *out = finish(first + i, leaves::<T, S, K, N>(simd, row, row));
        }
    }
}
