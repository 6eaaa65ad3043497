//! Gram matrices: C = A^T A and its weighted, centred form, accumulated in `f64` whatever the type of A.
//!
//! Half of the work of a product: tiles below the diagonal are skipped and mirrored at the end, so C is exactly
//! symmetric. Conversion to `f64`, weights and centring happen while packing.
//!
//! **Order.** Up to [`WIDE`] columns, rows are cut into chunks whose size depends on the shape only; each chunk is a
//! product of its own and chunks merge in the fixed tree of [`parallel::map_reduce`]. Beyond, there are enough tiles
//! for all threads, and each element is one chain over all rows.

use crate::gemm::{Change, Operand, Part, product};
use crate::matrix::same;
use crate::{Float, MatMut, MatRef, ShapeError, parallel};
use std::ops::Range;

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
        upper(a, None, None, &mut sum);
    }
    for i in 0..n {
        for j in i..n {
            let product = if alpha == 0.0 { 0.0 } else { alpha * sum[i * n + j] };
            let value = if beta == 0.0 { product } else { beta * c.get(i, j) + product };
            c.set(i, j, value);
            c.set(j, i, value);
        }
    }
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
    let n = a.cols();
    let mut sum = vec![0.0; n * n];
    upper(a, weights, shift, &mut sum);
    for i in 0..n {
        for j in i..n {
            c.set(i, j, sum[i * n + j]);
            c.set(j, i, sum[i * n + j]);
        }
    }
    Ok(())
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

/// The upper triangle into `sum` (n x n, row-major); what is below is unspecified.
fn upper<S: Float>(a: MatRef<'_, S>, weights: Option<&[f64]>, shift: Option<&[f64]>, sum: &mut [f64]) {
    let n = a.cols();
    if n == 0 || a.rows() == 0 {
        sum.fill(0.0);
        return;
    }
    let rows = if n > WIDE { a.rows() } else { rows_per_chunk(n) };
    let ones = vec![1.0; a.rows()];
    let zeros = vec![0.0; n];
    let (weights, shift) = (weights.unwrap_or(&ones), shift.unwrap_or(&zeros));
    let chunk = |range: Range<usize>, out: &mut [f64]| {
        let view = a.row_range(range.clone());
        let left = Operand { view, change: Change::Centre { weights: &weights[range.clone()], shift } };
        let right = Operand { view, change: Change::Centre { weights: &ones[range], shift } };
        if let Ok(mut out) = MatMut::new(out, n, n) {
            product(&left, &right, 0.0, &mut out, Part::Upper);
        }
    };
    if a.rows() <= rows {
        return chunk(0..a.rows(), sum);
    }
    let leaf = |range: Range<usize>| {
        let mut out = vec![0.0; n * n];
        parallel::on_this_thread(|| chunk(range, &mut out));
        out
    };
    let merge = |mut left: Vec<f64>, right: Vec<f64>| {
        left.iter_mut().zip(right).for_each(|(l, r)| *l += r);
        left
    };
    if let Some(total) = parallel::map_reduce(a.rows(), rows, leaf, merge) {
        sum.copy_from_slice(&total);
    }
}
