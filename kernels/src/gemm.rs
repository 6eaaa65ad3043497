//! General matrix product, C = alpha A B + beta C.
//!
//! Method: the five loops around a register tile of Goto and van de Geijn, "Anatomy of high-performance matrix
//! multiplication" (2008), as refined by BLIS (Van Zee, van de Geijn 2015):
//!
//! ```text
//! for a block of columns of B             (cols_per_block: packed B stays in L3)
//!   for a block of k                      (depth: a panel of A stays in L1)
//!     pack the block of B, in parallel, into panels of two vectors of columns
//!     for each job = a rectangle of C, in parallel
//!       for a group of columns            (cols_in_l2: its panels of B stay in L2)
//!         for each panel of A             (TILE_ROWS rows, packed by the job when it first needs them, in L1)
//!           for each panel of B           (from L2)
//!             register tile: TILE_ROWS x 2 vectors of C += panel of A x panel of B, one k after another
//! ```
//!
//! **Order.** Each element of C is one chain of fused multiply-adds over ascending k that begins with beta c: a block
//! of k goes on where the last one ended, in C itself. So its bits depend neither on tile, block or thread, nor on m,
//! nor on the instruction set (portable code without FMA excepted); alpha is multiplied into A where it is packed.
//! The price is a rounding error that grows with k instead of with block length: within gamma_(k+2) |A||B|.
//! A product with a single column is a [`gemv`], whose rows sum in the order of [`crate::dot`].

mod blocking;
mod builder;
mod direct;
mod driver;
mod epilogue;
mod listed;
mod microkernel;
mod pack;
mod packed;
mod plan;
mod skinny;

use crate::matrix::check_product;
use crate::scratch::Scratch;
use crate::{Float, MatMut, MatRef, ShapeError, gemv};
pub(crate) use blocking::{Blocking, even_piece};
pub use builder::{Gemm, RightSide};
pub(crate) use direct::Series;
pub(crate) use driver::{Change, Operand, Output, PackedBlock, Part, Right, product, square};
pub use epilogue::Activation;
pub(crate) use epilogue::Epilogue;
pub(crate) use listed::{Listed, Offsets};
pub use packed::PackedB;
pub use plan::GemmPlan;

/// C = alpha A B + beta C for `A` m x k, `B` k x n, `C` m x n, any strides. 2 m n k operations, parallel over tiles.
///
/// C is not read when beta is 0 (so NaN there does not matter); A and B are not read when alpha is 0 or k is 0.
/// Otherwise NaN and infinity spread as in the sums of the definition.
///
/// ```
/// use tilewise_kernels::{MatMut, MatRef, gemm};
/// let a = MatRef::new(&[1.0, 2.0, 3.0, 4.0], 2, 2).unwrap();
/// let b = MatRef::new(&[5.0, 6.0, 7.0, 8.0], 2, 2).unwrap();
/// let mut c = [0.0; 4];
/// gemm(1.0, a, b, 0.0, MatMut::new(&mut c, 2, 2).unwrap()).unwrap();
/// assert_eq!(c, [19.0, 22.0, 43.0, 50.0]);
/// ```
///
/// # Errors
/// When the shapes do not fit.
pub fn gemm<T: Float>(
    alpha: T,
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    beta: T,
    mut c: MatMut<'_, T>,
) -> Result<(), ShapeError> {
    check_product(a, b, &c)?;
    // The same bits: a short cut past all choices that such a product need not make.
    if alpha == T::ONE && direct::is_small(&a, &b, &c) {
        direct::small(&a, &b, beta, &mut c);
    } else {
        multiply(alpha, &a, &b, beta, &mut c, &Epilogue::NONE);
    }
    Ok(())
}

/// C = epilogue(alpha A B + beta C). Shapes were checked.
#[inline]
fn multiply<T: Float>(
    alpha: T,
    a: &MatRef<'_, T>,
    b: &MatRef<'_, T>,
    beta: T,
    c: &mut MatMut<'_, T>,
    epilogue: &Epilogue<'_, T>,
) {
    if alpha == T::ZERO || a.cols() == 0 {
        scale(beta, c.reborrow());
        epilogue.apply(c);
        return;
    }
    if c.cols() == 1 {
        gemv::gemv_column(alpha, *a, *b, beta, c.reborrow());
        epilogue.apply(c);
        return;
    }
    let by_rows_of_b =
        b.col_stride() == 1 && b.row_stride() != 1 && (2..=gemv::COLUMNS_PER_CHUNK).contains(&a.cols());
    if c.rows() == 1 && by_rows_of_b {
        // The same chains as below, without packing all of B for one use: 0.07 ms for 1 x 1024 x 1024 instead of 0.34.
        gemv::gemv_column(alpha, b.transpose(), a.transpose(), beta, c.reborrow().transpose());
        epilogue.apply(c);
        return;
    }
    if skinny::suits(a, c) {
        return skinny::product(alpha, a, b, beta, c, epilogue);
    }
    // Tiles store whole vectors along a row of C. A column-major C is the row-major C^T = B^T A^T.
    if c.col_stride() != 1 && c.row_stride() == 1 {
        let (a, b, mut c) = (a.transpose(), b.transpose(), c.reborrow().transpose());
        multiply_rows(T::ONE, &b, alpha, &a, beta, &mut c, &epilogue.transpose());
    } else {
        multiply_rows(alpha, a, T::ONE, b, beta, c, epilogue);
    }
}

/// C = epilogue((x A) (y B) + beta C), one of x and y being 1.
#[inline]
fn multiply_rows<T: Float>(
    x: T,
    a: &MatRef<'_, T>,
    y: T,
    b: &MatRef<'_, T>,
    beta: T,
    c: &mut MatMut<'_, T>,
    epilogue: &Epilogue<'_, T>,
) {
    // A panel of few rows is scaled in no time; packing all of B for them would cost as much as the product.
    if y == T::ONE && direct::suits(a, b, c) && (x == T::ONE || a.rows() <= direct::FEW_ROWS) {
        return scaled(x, a, |a| direct::product(a, b, beta, c, epilogue));
    }
    let left = Operand { view: a.transpose(), change: Change::Scale(x) };
    let right = Operand { view: *b, change: Change::Scale(y) };
    product(&left, Right::Operand(&right), beta, c, Part::All, epilogue);
}

/// The same with a packed B.
fn multiply_packed<T: Float>(
    alpha: T,
    a: &MatRef<'_, T>,
    b: &PackedB<T>,
    beta: T,
    c: &mut MatMut<'_, T>,
    epilogue: &Epilogue<'_, T>,
) {
    if alpha == T::ZERO || a.cols() == 0 {
        scale(beta, c.reborrow());
        epilogue.apply(c);
    } else if let Some(column) = b.column() {
        gemv::gemv_column(alpha, *a, column, beta, c.reborrow());
        epilogue.apply(c);
    } else if a.rows() <= direct::FEW_ROWS && c.col_stride() == 1 {
        scaled(alpha, a, |a| direct::packed_product(a, b, beta, c, epilogue));
    } else {
        let left = Operand { view: a.transpose(), change: Change::Scale(alpha) };
        product(&left, Right::<T, T>::Packed(b), beta, c, Part::All, epilogue);
    }
}

/// Calls `f` with x A.
#[inline]
fn scaled<T: Float>(x: T, a: &MatRef<'_, T>, f: impl FnOnce(&MatRef<'_, T>)) {
    if x == T::ONE {
        return f(a);
    }
    let (m, k) = (a.rows(), a.cols());
    let mut scratch = Scratch::new::<T>(m * k);
    let copy = &mut scratch.as_mut_slice::<T>()[..m * k];
    for (i, row) in copy.chunks_exact_mut(k).enumerate() {
        row.iter_mut().enumerate().for_each(|(l, slot)| *slot = x * a.get(i, l));
    }
    if let Ok(copy) = MatRef::new(copy, m, k) {
        f(&copy);
    }
}

/// C = beta C without reading C when beta is 0.
pub(crate) fn scale<T: Float>(beta: T, mut c: MatMut<'_, T>) {
    if beta == T::ZERO {
        c.fill(T::ZERO);
    } else if beta != T::ONE {
        for i in 0..c.rows() {
            for j in 0..c.cols() {
                c.set(i, j, beta * c.get(i, j));
            }
        }
    }
}
