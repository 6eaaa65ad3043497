//! Matrix addition: the definition.

use crate::{Float, MatMut, MatRef};

/// C = A + B.
///
/// # Panics
/// When the shapes differ.
pub fn add<T: Float>(a: MatRef<'_, T>, b: MatRef<'_, T>, mut c: MatMut<'_, T>) {
    for i in 0..c.rows() {
        for j in 0..c.cols() {
            c.set(i, j, a.get(i, j) + b.get(i, j));
        }
    }
}
