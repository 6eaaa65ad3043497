//! Cholesky factorisation A = L L^T of a symmetric positive definite matrix, blocked, left-looking.
//!
//! The matrix is first scaled to a unit diagonal, which makes the pivots (squares of the diagonal of L) a fair sign of
//! its condition: pivot j is the share of column j that the columns before it do not explain. A panel of [`PANEL`] columns takes off
//! the products of all columns before it, in one `gemm`, is factored by plain loops and then written to the triangle. (1,000 columns on two
//! threads: 10 ms; panels in arrays of their own, with a `gemm` for each pair of them and rows solved by `dot` after `dot`, took 14.)

use tilewise_base::Result;
use tilewise_kernels::{MatMut, MatRef, axpy, dot, gemm, parallel, zeros};

/// Columns of a panel: enough for `gemm` to run near its peak, few enough that plain loops stay a small share.
const PANEL: usize = 32;

/// Rows below a panel's triangle that are solved side by side: with the columns of a panel 16 KiB, which stay in the first-level cache.
const ROWS: usize = 64;

/// The factor of a matrix scaled to a unit diagonal.
pub(crate) struct Cholesky {
    order: usize,
    /// 1 / sqrt of the diagonal; zero for rows that were zero and are solved by zero.
    scale: Vec<f64>,
    /// L in the lower triangle, row-major.
    lower: Vec<f64>,
    /// The smallest pivot, between 0 and 1.
    pub(crate) smallest_pivot: f64,
}

impl Cholesky {
    /// Factors the symmetric matrix `a` (row-major, only its lower triangle is read). Rows whose diagonal is exactly
    /// zero are left out: their solution is zero. `None` when a pivot is not above `least_pivot`.
    pub(crate) fn new(a: &[f64], order: usize, least_pivot: f64) -> Result<Option<Self>> {
        let scale: Vec<f64> = (0..order)
            .map(|j| a[j * order + j])
            .map(|d| if d == 0.0 { 0.0 } else { 1.0 / d.sqrt() })
            .collect();
        if scale.iter().any(|s| !s.is_finite()) {
            return Ok(None);
        }
        let mut lower = zeros(order * order);
        let mut smallest_pivot: f64 = 1.0;
        for first in (0..order).step_by(PANEL) {
            let width = PANEL.min(order - first);
            let mut panel = scaled_panel(a, &scale, first, width);
            if first > 0 {
                let left = MatRef::new(&lower, order, order)?.row_range(first..order).col_range(0..first);
                let top = left.row_range(0..width).transpose();
                gemm(-1.0, left, top, 1.0, MatMut::new(&mut panel, order - first, width)?)?;
            }
            match factor_panel(&mut panel, width, least_pivot)? {
                Some(pivot) => smallest_pivot = smallest_pivot.min(pivot),
                None => return Ok(None),
            }
            for (i, (to, from)) in
                lower[first * order..].chunks_exact_mut(order).zip(panel.chunks_exact(width)).enumerate()
            {
                let known = width.min(i + 1);
                to[first..first + known].copy_from_slice(&from[..known]);
            }
        }
        Ok(Some(Self { order, scale, lower, smallest_pivot }))
    }

    /// Solves A x = b in place, for b of as many numbers.
    pub(crate) fn solve(&self, b: &mut [f64]) {
        let rows = || self.lower.chunks_exact(self.order.max(1)).enumerate();
        b.iter_mut().zip(&self.scale).for_each(|(b, s)| *b *= s);
        for (i, row) in rows() {
            // Lengths agree, here and below.
            let known = dot(&row[..i], &b[..i]).unwrap_or(f64::NAN);
            b[i] = (b[i] - known) / row[i];
        }
        for (i, row) in rows().rev() {
            let (above, rest) = b.split_at_mut(i);
            rest[0] /= row[i];
            axpy(-rest[0], &row[..i], above).unwrap_or_default();
        }
        b.iter_mut().zip(&self.scale).for_each(|(b, s)| *b *= s);
    }
}

/// Rows `first..` of columns `first..first + width` of D A D, with ones on the diagonal and zeros above it.
fn scaled_panel(a: &[f64], scale: &[f64], first: usize, width: usize) -> Vec<f64> {
    let order = scale.len();
    let mut panel = vec![0.0; (order - first) * width];
    for (i, row) in panel.chunks_exact_mut(width).enumerate() {
        let of_row = scale[first + i];
        let columns = a[(first + i) * order + first..].iter().zip(&scale[first..]);
        row.iter_mut().zip(columns).take(i).for_each(|(x, (a, of_column))| *x = a * of_row * of_column);
        if i < width {
            row[i] = 1.0;
        }
    }
    panel
}

/// Factors one panel whose first `width` rows are its diagonal block; the smallest pivot, or `None`.
fn factor_panel(panel: &mut [f64], width: usize, least_pivot: f64) -> Result<Option<f64>> {
    let mut smallest = f64::INFINITY;
    let (block, below) = panel.split_at_mut(width * width);
    for i in 0..width {
        let (above, row) = block.split_at_mut(i * width);
        let row = &mut row[..width];
        for j in 0..i {
            let pivot_row = &above[j * width..][..width];
            row[j] = (row[j] - dot(&row[..j], &pivot_row[..j])?) / pivot_row[j];
        }
        let pivot = row[i] - dot(&row[..i], &row[..i])?;
        // Also refuses NaN.
        if !matches!(pivot.partial_cmp(&least_pivot), Some(std::cmp::Ordering::Greater)) {
            return Ok(None);
        }
        smallest = smallest.min(pivot);
        row[i] = pivot.sqrt();
    }
    let block = &*block;
    parallel::for_each_chunk_mut(below, ROWS * width, |_, rows| solve_rows(block, rows, width));
    Ok(Some(smallest))
}

/// Solves for at most [`ROWS`] rows of the factor, by the triangle above them: column after column, of all rows at once.
fn solve_rows(triangle: &[f64], rows: &mut [f64], width: usize) {
    let mut columns = [[0.0; ROWS]; PANEL];
    for (i, row) in rows.chunks_exact(width).enumerate() {
        columns.iter_mut().zip(row).for_each(|(column, x)| column[i] = *x);
    }
    for j in 0..width {
        let (known, rest) = columns.split_at_mut(j);
        let pivot_row = &triangle[j * width..][..width];
        for (column, factor) in known.iter().zip(pivot_row) {
            rest[0].iter_mut().zip(column).for_each(|(x, known)| *x -= factor * known);
        }
        rest[0].iter_mut().for_each(|x| *x /= pivot_row[j]);
    }
    for (i, row) in rows.chunks_exact_mut(width).enumerate() {
        row.iter_mut().zip(&columns).for_each(|(x, column)| *x = column[i]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tilewise_kernels::random::Philox;

    #[test]
    fn solves_what_it_factors() {
        for order in [1, 2, 63, 64, 65, 150] {
            // A = B B^T + I with badly scaled rows.
            let random = Philox::new(7, order as u64);
            let b: Vec<f64> = (0..order * order)
                .map(|i| random.uniform(i as u64) * 10f64.powi((i / order % 9) as i32))
                .collect();
            let mut a = vec![0.0; order * order];
            let view = MatRef::new(&b, order, order).unwrap();
            gemm(1.0, view, view.transpose(), 0.0, MatMut::new(&mut a, order, order).unwrap()).unwrap();
            (0..order).for_each(|i| a[i * order + i] *= 1.5);
            let x: Vec<f64> = (0..order).map(|i| (i as f64).sin()).collect();
            let mut y: Vec<f64> =
                a.chunks(order).map(|row| row.iter().zip(&x).map(|(a, x)| a * x).sum()).collect();
            let factor = Cholesky::new(&a, order, 1e-10).unwrap().unwrap();
            factor.solve(&mut y);
            let worst = y.iter().zip(&x).map(|(y, x)| (y - x).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-6, "order {order}: off by {worst}");
        }
    }

    #[test]
    fn singular_is_refused_and_zero_rows_are_left_out() {
        assert!(Cholesky::new(&[1.0, 1.0, 1.0, 1.0], 2, 1e-10).unwrap().is_none());
        assert!(Cholesky::new(&[1.0, f64::NAN, f64::NAN, 1.0], 2, 1e-10).unwrap().is_none());
        let factor = Cholesky::new(&[4.0, 0.0, 0.0, 0.0], 2, 1e-10).unwrap().unwrap();
        let mut b = [8.0, 3.0];
        factor.solve(&mut b);
        assert_eq!(b, [2.0, 0.0]);
    }
}
