//! Matrix addition.
use crate::{Float, MatMut, MatRef, ShapeError, naive, same};

/// C = A + B.
///
/// # Errors
/// When the shapes differ.
pub fn add<T: Float>(a: MatRef<'_, T>, b: MatRef<'_, T>, c: MatMut<'_, T>) -> Result<(), ShapeError> {
    same("rows of B", a.rows(), b.rows())?;
    same("columns of B", a.cols(), b.cols())?;
    same("rows of C", a.rows(), c.rows())?;
    same("columns of C", a.cols(), c.cols())?;
    naive::add(a, b, c);
    Ok(())
}
