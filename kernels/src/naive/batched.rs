//! Products of the items of a tensor: the definition.

use crate::batched::{TensorMut, TensorRef};
use crate::{Float, ShapeError};

/// C_i = alpha A_i B_i + beta C_i for every item i, one after another.
///
/// # Errors
/// Never for fitting shapes.
///
/// # Panics
/// When the shapes do not fit.
pub fn gemm_batched<T: Float>(
    alpha: T,
    a: TensorRef<'_, T>,
    b: TensorRef<'_, T>,
    beta: T,
    mut c: TensorMut<'_, T>,
) -> Result<(), ShapeError> {
    for i in 0..c.items() {
        super::gemm(alpha, a.item(i), b.item(i), beta, c.item_mut(i));
    }
    Ok(())
}
