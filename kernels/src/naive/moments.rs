//! Means and variances: the definitions.

use crate::{Float, MatRef, Moments};

/// Count, mean and sum of squared deviations, in two passes.
pub fn moments<T: Float>(x: &[T]) -> Moments {
    let count = x.len();
    let mean = x.iter().map(|x| x.to_f64()).sum::<f64>() / count.max(1) as f64;
    let squares = x.iter().map(|x| (x.to_f64() - mean).powi(2)).sum();
    Moments { count, mean, squares }
}

/// The moments of every column.
///
/// # Panics
/// When the shapes do not fit.
pub fn column_moments<T: Float>(a: MatRef<'_, T>, out: &mut [Moments]) {
    for (j, out) in out.iter_mut().enumerate() {
        *out = moments(&(0..a.rows()).map(|i| a.get(i, j)).collect::<Vec<T>>());
    }
}
