//! Sums of rows and columns: the definitions.

use crate::{Float, MatRef};

/// out_i = the sum of row i.
///
/// # Panics
/// When the shapes do not fit.
pub fn row_sums<T: Float>(a: MatRef<'_, T>, out: &mut [T]) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = T::from_f64((0..a.cols()).map(|j| a.get(i, j).to_f64()).sum());
    }
}

/// out_j = the sum of column j.
///
/// # Panics
/// When the shapes do not fit.
pub fn column_sums<T: Float>(a: MatRef<'_, T>, out: &mut [T]) {
    row_sums(a.transpose(), out);
}
