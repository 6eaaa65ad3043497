//! Cholesky factorisation A = L L^T of a symmetric positive definite matrix, blocked, left-looking.
//!
//! The matrix is first scaled to a unit diagonal, which makes the pivots (squares of the diagonal of L) a fair sign of
//! its condition: pivot j is the share of column j that the columns before it do not explain. The lower triangle is
//! held as panels of [`PANEL`] columns, each a row-major array of its own; a panel takes off the products of the
//! panels before it (one `gemm` each) and is then factored by plain loops.

use tilewise_base::Result;
use tilewise_kernels::{MatMut, MatRef, dot, gemm, parallel};

/// Columns of a panel: enough for `gemm` to run near its peak, few enough that plain loops stay a small share.
const PANEL: usize = 64;

/// Rows below a panel's triangle that are solved in one go: some fifty microseconds.
const ROWS: usize = 64;

/// The factor of a matrix scaled to a unit diagonal.
pub(crate) struct Cholesky {
    order: usize,
    /// 1 / sqrt of the diagonal; zero for rows that were zero and are solved by zero.
    scale: Vec<f64>,
    /// Panel k holds rows k * PANEL.. of its columns, row-major.
    panels: Vec<Vec<f64>>,
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
        let mut factor = Self { order, scale, panels: Vec::new(), smallest_pivot: 1.0 };
        for first in (0..order).step_by(PANEL) {
            let width = PANEL.min(order - first);
            let mut panel = factor.scaled(a, first, width);
            for (k, left) in factor.panels.iter().enumerate() {
                let skipped = first - k * PANEL;
                let left = MatRef::new(left, order - k * PANEL, PANEL)?.row_range(skipped..order - k * PANEL);
                let top = left.row_range(0..width).transpose();
                gemm(-1.0, left, top, 1.0, MatMut::new(&mut panel, order - first, width)?)?;
            }
            match factor_panel(&mut panel, width, least_pivot)? {
                Some(pivot) => factor.smallest_pivot = factor.smallest_pivot.min(pivot),
                None => return Ok(None),
            }
            factor.panels.push(panel);
        }
        Ok(Some(factor))
    }

    /// Rows `first..` of columns `first..first + width` of D A D, with ones on the diagonal.
    fn scaled(&self, a: &[f64], first: usize, width: usize) -> Vec<f64> {
        let mut panel = vec![0.0; (self.order - first) * width];
        for (i, row) in panel.chunks_exact_mut(width).enumerate() {
            let i = first + i;
            for (j, x) in row.iter_mut().enumerate().take(i - first + 1) {
                let j = first + j;
                *x = if i == j { 1.0 } else { a[i * self.order + j] * self.scale[i] * self.scale[j] };
            }
        }
        panel
    }

    /// Solves A x = b in place.
    pub(crate) fn solve(&self, b: &mut [f64]) {
        b.iter_mut().zip(&self.scale).for_each(|(b, s)| *b *= s);
        for (k, panel) in self.panels.iter().enumerate() {
            let (first, width) = (k * PANEL, PANEL.min(self.order - k * PANEL));
            let (head, tail) = b[first..].split_at_mut(width);
            for i in 0..width {
                let row = &panel[i * width..][..width];
                let known: f64 = row[..i].iter().zip(&head[..i]).map(|(l, x)| l * x).sum();
                head[i] = (head[i] - known) / row[i];
            }
            for (x, row) in tail.iter_mut().zip(panel[width * width..].chunks_exact(width)) {
                *x -= row.iter().zip(&*head).map(|(l, x)| l * x).sum::<f64>();
            }
        }
        for (k, panel) in self.panels.iter().enumerate().rev() {
            let (first, width) = (k * PANEL, PANEL.min(self.order - k * PANEL));
            let (head, tail) = b[first..].split_at_mut(width);
            for (x, row) in tail.iter().zip(panel[width * width..].chunks_exact(width)) {
                head.iter_mut().zip(row).for_each(|(h, l)| *h -= l * x);
            }
            for i in (0..width).rev() {
                let row = &panel[i * width..][..width];
                head[i] /= row[i];
                let x = head[i];
                head[..i].iter_mut().zip(row).for_each(|(h, l)| *h -= l * x);
            }
        }
        b.iter_mut().zip(&self.scale).for_each(|(b, s)| *b *= s);
    }
}

/// Factors one panel whose first `width` rows are its diagonal block; the smallest pivot, or `None`.
fn factor_panel(panel: &mut [f64], width: usize, least_pivot: f64) -> Result<Option<f64>> {
    let mut smallest = f64::INFINITY;
    let (block, below) = panel.split_at_mut(width * width);
    for i in 0..width {
        let (above, row) = block.split_at_mut(i * width);
        let row = &mut row[..width];
        solve_row(above, &mut row[..i], width);
        let pivot = row[i] - dot(&row[..i], &row[..i])?;
        // Also refuses NaN.
        if !matches!(pivot.partial_cmp(&least_pivot), Some(std::cmp::Ordering::Greater)) {
            return Ok(None);
        }
        smallest = smallest.min(pivot);
        row[i] = pivot.sqrt();
    }
    let block = &*block;
    parallel::for_each_chunk_mut(below, ROWS * width, |_, rows| {
        rows.chunks_exact_mut(width).for_each(|row| solve_row(block, row, width));
    });
    Ok(Some(smallest))
}

/// Solves for a row of the factor, by as many rows of the triangle before it.
fn solve_row(triangle: &[f64], row: &mut [f64], width: usize) {
    for j in 0..row.len() {
        let pivot_row = &triangle[j * width..][..width];
        // Lengths agree.
        let known = dot(&row[..j], &pivot_row[..j]).unwrap_or(f64::NAN);
        row[j] = (row[j] - known) / pivot_row[j];
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
