//! Sums, inner products, axpy.
use crate::{Float, ShapeError, naive, same};

/// The sum of x.
pub fn sum<T: Float>(x: &[T]) -> T {
    naive::sum(x)
}

/// The inner product of x and y.
///
/// # Errors
/// When the lengths differ.
pub fn dot<T: Float>(x: &[T], y: &[T]) -> Result<T, ShapeError> {
    same("length of y", x.len(), y.len())?;
    Ok(naive::dot(x, y))
}

/// y += alpha x.
///
/// # Errors
/// When the lengths differ.
pub fn axpy<T: Float>(alpha: T, x: &[T], y: &mut [T]) -> Result<(), ShapeError> {
    same("length of y", x.len(), y.len())?;
    naive::axpy(alpha, x, y);
    Ok(())
}
