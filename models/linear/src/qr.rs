//! The triangle of A = Q R by Householder reflections, blocked (compact WY form, Schreiber and Van Loan 1989), and a
//! mergeable partial built on it: the triangle of stacked rows is the triangle of their stacked triangles (TSQR,
//! Demmel, Grigori, Hoemmen and Langou 2012). Q is never kept.

use serde::{Deserialize, Serialize};
use tilewise_base::Result;
use tilewise_kernels::{MatMut, MatRef, axpy, gemm, gemv, norm2, scale};

/// Columns reflected together.
const PANEL: usize = 32;

/// Rows that are copied for column after column: of 32 columns they stay in the first-level cache.
const BLOCK: usize = 64;

/// The triangle of the row-major `rows x cols` matrix, row-major too: as many rows as the smaller of both, with zeros below the diagonal.
/// 2 rows cols^2 operations, where rows are many. Of 16,000 x 15 rows columns, which lie together here, took half the time of rows.
pub(crate) fn triangle(a: &[f64], rows: usize, cols: usize) -> Result<Vec<f64>> {
    if a.is_empty() {
        return Ok(Vec::new());
    }
    let steps = rows.min(cols);
    // A column each.
    let mut columns = vec![0.0; rows * cols];
    for (block, at) in a.chunks(BLOCK * cols).zip((0..).step_by(BLOCK)) {
        for (j, column) in columns.chunks_exact_mut(rows).enumerate() {
            column[at..].iter_mut().zip(block.chunks_exact(cols)).for_each(|(x, row)| *x = row[j]);
        }
    }
    for first in (0..steps).step_by(PANEL) {
        let width = PANEL.min(steps - first);
        let (panel, right) = columns[first * rows..].split_at_mut(width * rows);
        let taus = reflect_panel(panel, first, rows)?;
        if !right.is_empty() {
            trailing(panel, &taus, right, first, rows)?;
        }
    }
    let mut triangle = vec![0.0; steps * cols];
    for (j, column) in columns.chunks_exact(rows).enumerate() {
        for (i, x) in column.iter().enumerate().take(steps.min(j + 1)) {
            triangle[i * cols + j] = *x;
        }
    }
    Ok(triangle)
}

/// Reflects the columns of a panel, from entry `first` on, to a triangle. Below its diagonal stay the vectors v of the reflections
/// I - tau v v^T, whose leading entries are ones that are not kept; the taus are returned.
fn reflect_panel(panel: &mut [f64], first: usize, rows: usize) -> Result<Vec<f64>> {
    let width = panel.len() / rows;
    let mut taus = Vec::with_capacity(width);
    let mut products = vec![0.0; width];
    for k in 0..width {
        let top = first + k;
        let (done, right) = panel.split_at_mut((k + 1) * rows);
        let v = &mut done[k * rows + top..];
        let (image, tau) = reflection(v);
        if tau != 0.0 && k + 1 < width {
            let (height, products) = (rows - top, &mut products[k + 1..]);
            let others = MatRef::with_strides(right, top, width - k - 1, height, rows as isize, 1)?;
            gemv(1.0, others, v, 0.0, products)?;
            for (column, product) in right.chunks_exact_mut(rows).zip(products) {
                axpy(-tau * *product, v, &mut column[top..])?;
            }
        }
        v[0] = image;
        taus.push(tau);
    }
    Ok(taus)
}

/// Makes `x` the vector v, with leading entry 1, of the reflection I - tau v v^T that maps it to a multiple of the first axis; that
/// multiple, and tau.
fn reflection(x: &mut [f64]) -> (f64, f64) {
    let norm = norm2(x);
    if norm == 0.0 {
        return (0.0, 0.0);
    }
    let image = if x[0] > 0.0 { -norm } else { norm };
    let leading = x[0] - image;
    if leading.is_normal() && (1.0 / leading).is_normal() {
        scale(1.0 / leading, x);
    } else {
        x.iter_mut().for_each(|x| *x /= leading);
    }
    x[0] = 1.0;
    (image, -leading / image)
}

/// Applies the panel's reflections to the columns right of it, each of which is a row here: A <- A - A V T V^T.
fn trailing(panel: &[f64], taus: &[f64], right: &mut [f64], first: usize, rows: usize) -> Result<()> {
    let (width, height, count) = (taus.len(), rows - first, right.len() / rows);
    let mut v = vec![0.0; width * height];
    for (k, (v, column)) in v.chunks_exact_mut(height).zip(panel.chunks_exact(rows)).enumerate() {
        v[k] = 1.0;
        v[k + 1..].copy_from_slice(&column[first + k + 1..]);
    }
    let v = MatRef::new(&v, width, height)?;
    // T grows by the column -tau T V^T v, tau.
    let mut inner = vec![0.0; width * width];
    gemm(1.0, v, v.transpose(), 0.0, MatMut::new(&mut inner, width, width)?)?;
    let mut t = vec![0.0; width * width];
    for (k, tau) in taus.iter().enumerate() {
        for i in 0..k {
            t[i * width + k] = -tau * dot(&t[i * width..][..k], &inner[k * width..][..k]);
        }
        t[k * width + k] = *tau;
    }
    let (mut products, mut mixed) = (vec![0.0; count * width], vec![0.0; count * width]);
    let block = MatRef::with_strides(right, first, count, height, rows as isize, 1)?;
    gemm(1.0, block, v.transpose(), 0.0, MatMut::new(&mut products, count, width)?)?;
    let products = MatRef::new(&products, count, width)?;
    gemm(1.0, products, MatRef::new(&t, width, width)?, 0.0, MatMut::new(&mut mixed, count, width)?)?;
    let block = MatMut::with_strides(right, first, count, height, rows as isize, 1)?;
    Ok(gemm(-1.0, MatRef::new(&mixed, count, width)?, v, 1.0, block)?)
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    tilewise_kernels::dot(x, y).unwrap_or(f64::NAN)
}

/// Rows of a tall matrix, or, once they outnumber the columns, the triangle that stands for them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stack {
    pub(crate) cols: usize,
    /// Row-major.
    pub(crate) data: Vec<f64>,
}

impl Stack {
    /// The stack of `data`'s rows.
    pub(crate) fn new(data: Vec<f64>, cols: usize) -> Result<Self> {
        let mut stack = Self { cols, data };
        stack.compress()?;
        Ok(stack)
    }

    /// The triangle of the rows held, also where they are too few to have been replaced by it.
    pub(crate) fn triangular(&self) -> Result<Self> {
        Ok(Self { cols: self.cols, data: triangle(&self.data, self.rows(), self.cols)? })
    }

    /// Number of rows held.
    pub(crate) fn rows(&self) -> usize {
        self.data.len() / self.cols.max(1)
    }

    /// Both stacks as one.
    pub(crate) fn merge(mut self, other: &Self) -> Result<Self> {
        self.data.extend_from_slice(&other.data);
        self.compress()?;
        Ok(self)
    }

    fn compress(&mut self) -> Result<()> {
        let rows = self.rows();
        if rows > self.cols {
            self.data = triangle(&self.data, rows, self.cols)?;
        }
        Ok(())
    }
}

/// A triangle whose columns are independent.
pub(crate) struct Upper {
    order: usize,
    /// Row-major.
    data: Vec<f64>,
}

impl Upper {
    /// The first `order` rows and columns of a triangular stack; none where there are fewer, or where what the columns before do not explain
    /// of one is not above `cutoff` of its length.
    pub(crate) fn new(stack: &Stack, order: usize, cutoff: f64) -> Option<Self> {
        if stack.rows() < order {
            return None;
        }
        let mut data = Vec::with_capacity(order * order);
        stack.data.chunks_exact(stack.cols).take(order).for_each(|row| data.extend_from_slice(&row[..order]));
        let own = |j: usize| data[j * (order + 1)].abs();
        let length = |j: usize| (0..=j).map(|i| data[i * order + j].powi(2)).sum::<f64>().sqrt();
        (0..order).all(|j| own(j) > cutoff * length(j)).then_some(Self { order, data })
    }

    /// The solution for the column behind the first ones of the stack.
    pub(crate) fn solve_last(&self, stack: &Stack) -> Vec<f64> {
        let mut b: Vec<f64> =
            stack.data.chunks_exact(stack.cols).take(self.order).map(|row| row[self.order]).collect();
        self.back(&mut b);
        b
    }

    /// Solves R^T R x = b in place.
    pub(crate) fn solve(&self, b: &mut [f64]) {
        for i in 0..self.order {
            let row = &self.data[i * self.order..(i + 1) * self.order];
            b[i] /= row[i];
            let x = b[i];
            b[i + 1..].iter_mut().zip(&row[i + 1..]).for_each(|(b, r)| *b -= r * x);
        }
        self.back(b);
    }

    /// R^T R d.
    pub(crate) fn square_times(&self, d: &[f64]) -> Vec<f64> {
        let mut product = vec![0.0; self.order];
        for (i, row) in self.data.chunks_exact(self.order).enumerate() {
            let x = dot(&row[i..], &d[i..]);
            product[i..].iter_mut().zip(&row[i..]).for_each(|(p, r)| *p += r * x);
        }
        product
    }

    fn back(&self, b: &mut [f64]) {
        for i in (0..self.order).rev() {
            let row = &self.data[i * self.order..(i + 1) * self.order];
            b[i] = (b[i] - dot(&row[i + 1..], &b[i + 1..])) / row[i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tilewise_kernels::random::Philox;

    /// R^T R = A^T A and R is triangular, for tall, square and wide shapes.
    #[test]
    fn triangle_has_the_gram_matrix_of_its_rows() {
        for (rows, cols) in [(1, 1), (5, 3), (3, 5), (64, 32), (100, 65), (70, 70)] {
            let random = Philox::new(3, 0);
            let a: Vec<f64> = (0..rows * cols).map(|i| random.normal(i as u64)).collect();
            let r = triangle(&a, rows, cols).unwrap();
            assert_eq!(r.len(), rows.min(cols) * cols);
            let gram = |a: &[f64], i: usize, j: usize| a.chunks(cols).map(|row| row[i] * row[j]).sum::<f64>();
            for i in 0..cols {
                assert!(r.chunks(cols).skip(i + 1).all(|row| row[i] == 0.0));
                for j in 0..cols {
                    assert!((gram(&a, i, j) - gram(&r, i, j)).abs() < 1e-11 * rows as f64, "{rows} x {cols}");
                }
            }
        }
    }
}
