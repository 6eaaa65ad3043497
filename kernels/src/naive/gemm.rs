//! Matrix times matrix: the definition.

use crate::{Float, MatMut, MatRef};

/// C = alpha A B + beta C; C is not read when beta is 0, A and B are not read when alpha is 0. Sums in `f64`: the
/// reference for accuracy.
///
/// # Panics
/// When the shapes do not fit.
pub fn gemm<T: Float>(alpha: T, a: MatRef<'_, T>, b: MatRef<'_, T>, beta: T, mut c: MatMut<'_, T>) {
    for i in 0..c.rows() {
        for j in 0..c.cols() {
            let mut sum = if beta == T::ZERO { 0.0 } else { beta.to_f64() * c.get(i, j).to_f64() };
            if alpha != T::ZERO {
                let product = (0..a.cols()).map(|k| a.get(i, k).to_f64() * b.get(k, j).to_f64()).sum::<f64>();
                sum += alpha.to_f64() * product;
            }
            c.set(i, j, T::from_f64(sum));
        }
    }
}

/// C = A B on row-major slices in the element type itself: the three loops everybody writes first, timed in reports.
///
/// # Panics
/// When a slice is shorter than its shape says.
pub fn gemm_loops<T: Float>(m: usize, n: usize, k: usize, a: &[T], b: &[T], c: &mut [T]) {
    for i in 0..m {
        for j in 0..n {
            let mut sum = T::ZERO;
            for l in 0..k {
                sum += a[i * k + l] * b[l * n + j];
            }
            c[i * n + j] = sum;
        }
    }
}
