//! Matrix times vector.
use crate::{Float, MatRef, ShapeError, naive, same};

/// y = alpha A x + beta y.
///
/// # Errors
/// When the shapes do not fit.
pub fn gemv<T: Float>(alpha: T, a: MatRef<'_, T>, x: &[T], beta: T, y: &mut [T]) -> Result<(), ShapeError> {
    same("length of x against columns of A", a.cols(), x.len())?;
    same("length of y against rows of A", a.rows(), y.len())?;
    naive::gemv(alpha, a, x, beta, y);
    Ok(())
}
