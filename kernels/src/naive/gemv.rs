//! Matrix times vector: the definition.

use crate::{Float, MatRef};

/// y = alpha A x + beta y; y is not read when beta is 0, A and x are not read when alpha is 0.
///
/// # Panics
/// When the shapes do not fit.
pub fn gemv<T: Float>(alpha: T, a: MatRef<'_, T>, x: &[T], beta: T, y: &mut [T]) {
    for (i, y) in y.iter_mut().enumerate().take(a.rows()) {
        let mut sum = if beta == T::ZERO { 0.0 } else { beta.to_f64() * y.to_f64() };
        if alpha != T::ZERO {
            sum += alpha.to_f64() * (0..a.cols()).map(|j| a.get(i, j).to_f64() * x[j].to_f64()).sum::<f64>();
        }
        *y = T::from_f64(sum);
    }
}
