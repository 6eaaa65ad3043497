//! Gram matrices: C = A^T A and its weighted, centred form, accumulated in `f64` whatever the type of A.
//!
//! Half of the work of a product: tiles below the diagonal are skipped and mirrored at the end, so C is exactly
//! symmetric. Conversion to `f64`, weights and centring happen while packing.
//!
//! **Order.** Up to [`WIDE`] columns, rows are cut into chunks whose size depends on the shape only; each chunk is a
//! product of its own and chunks merge in the fixed tree of [`parallel::map_reduce`]. Beyond, there are enough tiles
//! for all threads, and each element is one chain over all rows.

use crate::gemm::{Change, Epilogue, Operand, Part, Right, product};
use crate::matrix::same;
use crate::{Float, MatMut, MatRef, ShapeError, parallel};
use std::ops::Range;

/// Side of the squares in which a triangle is mirrored: a square and its mirror take 4 KiB.
const SQUARE: usize = 16;

/// Columns from which tiles of C, not chunks of rows, are shared among threads: enough jobs above the diagonal;
/// a partial sum of this width takes 2 MB.
const WIDE: usize = 512;

/// C = alpha A^T A + beta C for `A` m x n, `C` n x n; both triangles are written. C is not read when beta is 0, A is not
/// read when alpha is 0; otherwise NaN and infinity spread. When beta is not 0, C must be symmetric: its lower triangle is not read. m n^2 operations.
///
/// ```
/// use tilewise_kernels::{MatMut, MatRef, syrk};
/// let a = MatRef::new(&[1.0f32, 2.0, 3.0, 4.0], 2, 2).unwrap();
/// let mut c = [0.0; 4];
/// syrk(1.0, a, 0.0, MatMut::new(&mut c, 2, 2).unwrap()).unwrap();
/// assert_eq!(c, [10.0, 14.0, 14.0, 20.0]);
/// ```
///
/// # Errors
/// When the shapes do not fit.
pub fn syrk<S: Float>(
    alpha: f64,
    a: MatRef<'_, S>,
    beta: f64,
    mut c: MatMut<'_, f64>,
) -> Result<(), ShapeError> {
    check(a, &c)?;
    let n = a.cols();
    let mut sum = vec![0.0; n * n];
    if alpha != 0.0 {
        upper(a, None, None, &mut MatMut::new(&mut sum, n, n)?);
    }
    for i in 0..n {
        for j in i..n {
            let product = if alpha == 0.0 { 0.0 } else { alpha * sum[i * n + j] };
            c.set(i, j, if beta == 0.0 { product } else { beta * c.get(i, j) + product });
        }
    }
    mirror(&mut c);
    Ok(())
}

/// C = sum over rows r of weight_r (a_r - shift) (a_r - shift)^T for `A` m x n, `C` n x n, both triangles; no weights
/// means ones, no shift zeros. C is not read; NaN and infinity in A spread, a weight of 0 does not hide them. m n^2 operations.
///
/// This is the Hessian of generalised linear models, and with a shift by the means a covariance without cancellation.
///
/// # Errors
/// When the shapes do not fit.
pub fn gram<S: Float>(
    a: MatRef<'_, S>,
    weights: Option<&[f64]>,
    shift: Option<&[f64]>,
    mut c: MatMut<'_, f64>,
) -> Result<(), ShapeError> {
    check(a, &c)?;
    same("weights against rows of A", a.rows(), weights.map_or(a.rows(), <[f64]>::len))?;
    same("shift against columns of A", a.cols(), shift.map_or(a.cols(), <[f64]>::len))?;
    if c.col_stride() != 1 && c.row_stride() == 1 {
        // The same matrix, in rows that whole vectors can be written to.
        c = c.transpose();
    }
    upper(a, weights, shift, &mut c);
    mirror(&mut c);
    Ok(())
}

/// Copies the upper triangle to the lower, in squares of [`SQUARE`]: by whole rows the lower triangle touches a page per
/// element, which at n = 500 took as long as a tenth of a product of 1,000 rows.
fn mirror(c: &mut MatMut<'_, f64>) {
    let n = c.rows();
    let mut square = [[0.0; SQUARE]; SQUARE];
    for top in (0..n).step_by(SQUARE) {
        for left in (top..n).step_by(SQUARE) {
            let (height, width) = (SQUARE.min(n - top), SQUARE.min(n - left));
            for i in 0..height {
                match c.as_ref().row(top + i) {
                    Some(row) => {
                        square.iter_mut().zip(&row[left..left + width]).for_each(|(to, from)| to[i] = *from);
                    }
                    None => (0..width).for_each(|j| square[j][i] = c.get(top + i, left + j)),
                }
            }
            for (j, square) in square.iter().enumerate().take(width) {
                let above = height.min(left + j - top);
                match c.row_mut(left + j) {
                    Some(row) => row[top..top + above].copy_from_slice(&square[..above]),
                    None => (0..above).for_each(|i| c.set(left + j, top + i, square[i])),
                }
            }
        }
    }
}

fn check<S: Float>(a: MatRef<'_, S>, c: &MatMut<'_, f64>) -> Result<(), ShapeError> {
    same("rows of C against columns of A", a.cols(), c.rows())?;
    same("columns of C against columns of A", a.cols(), c.cols())
}

/// Rows of a chunk: at least 8 million multiply-adds (about 0.3 ms), so that merging n^2 sums stays below 1 %, and at
/// least 1024 rows; in steps of powers of two.
fn rows_per_chunk(n: usize) -> usize {
    (8_000_000 / (n * n).max(1)).clamp(1024, 1 << 16).next_power_of_two()
}

/// The upper triangle into `c`, without reading it; what is below is unspecified.
fn upper<S: Float>(
    a: MatRef<'_, S>,
    weights: Option<&[f64]>,
    shift: Option<&[f64]>,
    c: &mut MatMut<'_, f64>,
) {
    let n = a.cols();
    if n == 0 || a.rows() == 0 {
        return c.fill(0.0);
    }
    let rows = if n > WIDE { a.rows() } else { rows_per_chunk(n) };
    let ones = vec![1.0; a.rows()];
    let zeros = vec![0.0; n];
    let (weights, shift) = (weights.unwrap_or(&ones), shift.unwrap_or(&zeros));
    let chunk = |range: Range<usize>, out: &mut MatMut<'_, f64>| {
        let view = a.row_range(range.clone());
        let left = Operand { view, change: Change::Centre { weights: &weights[range.clone()], shift } };
        let right = Operand { view, change: Change::Centre { weights: &ones[range], shift } };
        product(&left, Right::Operand(&right), 0.0, out, Part::Upper, &Epilogue::NONE);
    };
    if a.rows() <= rows {
        return chunk(0..a.rows(), c);
    }
    let leaf = |range: Range<usize>| {
        let mut out = vec![0.0; n * n];
        if let Ok(mut out) = MatMut::new(&mut out, n, n) {
            parallel::on_this_thread(|| chunk(range, &mut out));
        }
        out
    };
    let merge = |mut left: Vec<f64>, right: Vec<f64>| {
        left.iter_mut().zip(right).for_each(|(l, r)| *l += r);
        left
    };
    if let Some(total) = parallel::map_reduce(a.rows(), rows, leaf, merge) {
        for (i, row) in total.chunks_exact(n).enumerate() {
            row.iter().enumerate().skip(i).for_each(|(j, &sum)| c.set(i, j, sum));
        }
    }
}
