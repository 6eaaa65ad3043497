//! General matrix product.
use crate::{Float, MatMut, MatRef, ShapeError, matrix::check_product, naive};

/// C = alpha A B + beta C.
///
/// # Errors
/// When the shapes do not fit.
pub fn gemm<T: Float>(
    alpha: T,
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    beta: T,
    c: MatMut<'_, T>,
) -> Result<(), ShapeError> {
    check_product(a, b, &c)?;
    naive::gemm(alpha, a, b, beta, c);
    Ok(())
}
