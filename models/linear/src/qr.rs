//! The triangle of A = Q R by Householder reflections, blocked (compact WY form, Schreiber and Van Loan 1989), and a
//! mergeable partial built on it: the triangle of stacked rows is the triangle of their stacked triangles (TSQR,
//! Demmel, Grigori, Hoemmen and Langou 2012). Q is never kept.

use serde::{Deserialize, Serialize};
use tilewise_base::Result;
use tilewise_kernels::{MatMut, MatRef, axpy, gemm};

/// Columns reflected together.
const PANEL: usize = 32;

/// Replaces the row-major `rows x cols` matrix by its triangle: entries below the diagonal become zero.
pub(crate) fn triangle(a: &mut [f64], rows: usize, cols: usize) -> Result<()> {
    let steps = rows.min(cols);
    for first in (0..steps).step_by(PANEL) {
        let width = PANEL.min(steps - first);
        let height = rows - first;
        // The reflections v_k = (0 .. 0, 1, ...) of this panel, a row each, so that products run along memory.
        let mut reflections = vec![0.0; width * height];
        let mut t = vec![0.0; width * width];
        let mut panel: Vec<f64> = (0..width)
            .flat_map(|j| (first..rows).map(move |i| (i, first + j)))
            .map(|(i, j)| a[i * cols + j])
            .collect();
        for k in 0..width {
            let (done, v) = reflections.split_at_mut(k * height);
            let v = &mut v[..height];
            v[k..].copy_from_slice(&panel[k * height + k..(k + 1) * height]);
            let tau = reflect(&mut v[k..], &mut panel[k * height + k..(k + 1) * height]);
            for column in panel[(k + 1) * height..].chunks_exact_mut(height) {
                let product: f64 = dot(&v[k..], &column[k..]);
                axpy(-tau * product, &v[k..], &mut column[k..])?;
            }
            // T grows by the column -tau T V^T v, tau.
            let products: Vec<f64> = done.chunks_exact(height).map(|u| dot(&u[k..], &v[k..])).collect();
            for i in 0..k {
                t[i * width + k] = -tau * dot(&t[i * width..][..k], &products);
            }
            t[k * width + k] = tau;
        }
        for (j, column) in panel.chunks_exact(height).enumerate() {
            for (i, x) in column.iter().enumerate() {
                a[(first + i) * cols + first + j] = if i <= j { *x } else { 0.0 };
            }
        }
        trailing(a, cols, first, width, &reflections, &t)?;
    }
    Ok(())
}

/// The reflection I - tau v v^T that maps `x` to a multiple of the first axis; `x` becomes that multiple, and `v`
/// (which enters equal to `x`) gets leading entry 1.
fn reflect(v: &mut [f64], x: &mut [f64]) -> f64 {
    // Scaled against overflow and underflow.
    let largest = x.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    if largest == 0.0 {
        v[0] = 1.0;
        return 0.0;
    }
    let norm = largest * x.iter().map(|x| (x / largest) * (x / largest)).sum::<f64>().sqrt();
    let image = if x[0] > 0.0 { -norm } else { norm };
    let leading = x[0] - image;
    x[0] = image;
    x[1..].fill(0.0);
    v[1..].iter_mut().for_each(|v| *v /= leading);
    v[0] = 1.0;
    -leading / image
}

/// Applies the panel's reflections to the columns right of it: A <- A - V T^T V^T A.
fn trailing(a: &mut [f64], cols: usize, first: usize, width: usize, v: &[f64], t: &[f64]) -> Result<()> {
    let right = cols - first - width;
    let height = v.len() / width;
    if right == 0 {
        return Ok(());
    }
    let (stride, start) = (cols as isize, first * cols + first + width);
    let v = MatRef::new(v, width, height)?;
    let t = MatRef::new(t, width, width)?;
    let (mut products, mut mixed) = (vec![0.0; width * right], vec![0.0; width * right]);
    let block = MatRef::with_strides(a, start, height, right, stride, 1)?;
    gemm(1.0, v, block, 0.0, MatMut::new(&mut products, width, right)?)?;
    let products = MatRef::new(&products, width, right)?;
    gemm(1.0, t.transpose(), products, 0.0, MatMut::new(&mut mixed, width, right)?)?;
    let block = MatMut::with_strides(a, start, height, right, stride, 1)?;
    Ok(gemm(-1.0, v.transpose(), MatRef::new(&mixed, width, right)?, 1.0, block)?)
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
        let mut stack = self.clone();
        triangle(&mut stack.data, self.rows(), self.cols)?;
        Ok(stack)
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
            triangle(&mut self.data, rows, self.cols)?;
            self.data.truncate(self.cols * self.cols);
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
            let mut r = a.clone();
            triangle(&mut r, rows, cols).unwrap();
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
