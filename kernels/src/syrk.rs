//! Gram matrices.
use crate::{Float, MatMut, MatRef, ShapeError, naive, same};

/// C = alpha A^T A + beta C, accumulated in `f64`; both triangles are written.
///
/// # Errors
/// When the shapes do not fit.
pub fn syrk<S: Float>(alpha: f64, a: MatRef<'_, S>, beta: f64, c: MatMut<'_, f64>) -> Result<(), ShapeError> {
    same("rows of C against columns of A", a.cols(), c.rows())?;
    same("columns of C against columns of A", a.cols(), c.cols())?;
    naive::syrk(alpha, a, beta, c);
    Ok(())
}

/// C = sum over rows r of weight_r (a_r - shift) (a_r - shift)^T, in `f64`; no weights means ones, no shift zeros.
///
/// # Errors
/// When the shapes do not fit.
pub fn gram<S: Float>(
    a: MatRef<'_, S>,
    weights: Option<&[f64]>,
    shift: Option<&[f64]>,
    c: MatMut<'_, f64>,
) -> Result<(), ShapeError> {
    same("rows of C against columns of A", a.cols(), c.rows())?;
    same("columns of C against columns of A", a.cols(), c.cols())?;
    same("weights against rows of A", a.rows(), weights.map_or(a.rows(), <[f64]>::len))?;
    same("shift against columns of A", a.cols(), shift.map_or(a.cols(), <[f64]>::len))?;
    naive::gram(a, weights, shift, c);
    Ok(())
}
