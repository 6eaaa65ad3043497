//! Matrix times matrix: the definition.

use super::{gelu, sigmoid, softplus, tanh};
use crate::{Activation, Float, MatMut, MatRef};

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

/// C = activation(alpha A B + beta C + bias + residual) as [`crate::Gemm`] computes it: the product, then what follows
/// element by element, each rounded.
///
/// # Panics
/// When the shapes do not fit.
#[allow(clippy::too_many_arguments, reason = "a product has this many parts, and the definition no builder")]
pub fn gemm_fused<T: Float>(
    alpha: T,
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    beta: T,
    bias: Option<&[T]>,
    residual: Option<MatRef<'_, T>>,
    function: Option<Activation>,
    mut c: MatMut<'_, T>,
) {
    gemm(alpha, a, b, beta, c.reborrow());
    for i in 0..c.rows() {
        for j in 0..c.cols() {
            let mut x = c.get(i, j);
            if let Some(bias) = bias {
                x += bias[j];
            }
            if let Some(d) = residual {
                x += d.get(i, j);
            }
            c.set(i, j, function.map_or(x, |function| activation(function, x)));
        }
    }
}

/// The function of one number.
pub fn activation<T: Float>(function: Activation, x: T) -> T {
    match function {
        Activation::Relu if x < T::ZERO => T::ZERO,
        Activation::Relu => x,
        Activation::Sigmoid => sigmoid(x),
        Activation::Tanh => tanh(x),
        Activation::Softplus => softplus(x),
        Activation::Gelu => gelu(x),
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
