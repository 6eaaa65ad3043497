//! Products whose operands are stored in another type than they are computed in: [`Bf16`](crate::Bf16) weights or
//! activations with `f32` arithmetic, `f32` data summed in `f64`.
//!
//! Elements are converted while panels are packed, so arithmetic, order of sums and speed are those of [`crate::gemm`]'s
//! packed products, and what is saved is memory: bf16 operands are half as large as f32 ones.

use crate::gemm::{Change, Epilogue, Operand, Part, Right, product, scale};
use crate::matrix::check_product;
use crate::{Float, MatMut, MatRef, ShapeError, Storage};

/// C = alpha A B + beta C in the type of C, for `A` m x k, `B` k x n, `C` m x n, any strides. 2 m n k operations,
/// parallel over tiles.
///
/// Each element of A and B is converted to the type of C first (exactly, unless it is `f64` and C is `f32`). Each element
/// of C is then one chain of multiply-adds over ascending k that begins with beta c: the bits of [`crate::gemm`] on
/// converted operands, where C has two or more columns. C is not read when beta is 0; A and B are not read when alpha is
/// 0 or k is 0. NaN and infinity spread as in the sums.
///
/// ```
/// use tilewise_kernels::{Bf16, MatMut, MatRef, gemm_mixed};
/// let weights = [1.0, 0.5, -2.0, 3.0].map(Bf16::from_f32);
/// let a = MatRef::new(&[1.0f32, 2.0], 1, 2).unwrap();
/// let mut c = [0.0f32; 2];
/// gemm_mixed(1.0, a, MatRef::new(&weights, 2, 2).unwrap(), 0.0, MatMut::new(&mut c, 1, 2).unwrap()).unwrap();
/// assert_eq!(c, [-3.0, 6.5]);
/// ```
///
/// # Errors
/// When the shapes do not fit.
pub fn gemm_mixed<A: Storage, B: Storage, T: Float>(
    alpha: T,
    a: MatRef<'_, A>,
    b: MatRef<'_, B>,
    beta: T,
    mut c: MatMut<'_, T>,
) -> Result<(), ShapeError> {
    check_product(a, b, &c)?;
    if alpha == T::ZERO || a.cols() == 0 {
        scale(beta, c);
        return Ok(());
    }
    let (alpha, one) = (Change::Scale(alpha), Change::Scale(T::ONE));
    // Tiles store whole vectors along a row of C. A column-major C is the row-major C^T = B^T A^T.
    if c.col_stride() != 1 && c.row_stride() == 1 {
        let (left, right) =
            (Operand { view: b, change: one }, Operand { view: a.transpose(), change: alpha });
        product(&left, Right::Operand(&right), beta, &mut c.transpose(), Part::All, &Epilogue::NONE);
    } else {
        let (left, right) =
            (Operand { view: a.transpose(), change: alpha }, Operand { view: b, change: one });
        product(&left, Right::Operand(&right), beta, &mut c, Part::All, &Epilogue::NONE);
    }
    Ok(())
}
