//! A product with all that may be done to its result in the same pass.

use super::epilogue::{Activation, Bias, Epilogue};
use super::packed::PackedB;
use super::{multiply, multiply_packed};
use crate::matrix::same;
use crate::{Float, MatMut, MatRef, ShapeError, column_sums};

/// C = activation(alpha A B + beta C + bias + residual), and the sums of its columns.
///
/// The rest is done while the parts of C are still in the nearest cache, with the bits that one pass after another would
/// give: first the product, as [`crate::gemm`] computes it, then bias, then residual, then activation.
///
/// ```
/// use tilewise_kernels::{Activation, Gemm, MatMut, MatRef};
/// let x = MatRef::new(&[1.0, 2.0, 3.0, -4.0], 2, 2).unwrap();
/// let weights = MatRef::new(&[1.0, 0.0, 0.0, 1.0], 2, 2).unwrap();
/// let mut y = [0.0; 4];
/// Gemm::new()
///     .bias(&[10.0, -2.0])
///     .activation(Activation::Relu)
///     .run(x, weights, MatMut::new(&mut y, 2, 2).unwrap())
///     .unwrap();
/// assert_eq!(y, [11.0, 0.0, 13.0, 0.0]);
/// ```
#[must_use = "a product is computed by `run`"]
pub struct Gemm<'a, T> {
    alpha: T,
    beta: T,
    bias: Option<&'a [T]>,
    residual: Option<MatRef<'a, T>>,
    activation: Option<Activation>,
    column_sums: Option<&'a mut [T]>,
}

/// The right side of a product: a view, or what [`PackedB`] made of one.
#[derive(Clone, Copy)]
pub enum RightSide<'a, T> {
    /// k x n.
    View(MatRef<'a, T>),
    /// The same, packed.
    Packed(&'a PackedB<T>),
}

impl<'a, T> From<MatRef<'a, T>> for RightSide<'a, T> {
    fn from(view: MatRef<'a, T>) -> Self {
        Self::View(view)
    }
}

impl<'a, T> From<&'a PackedB<T>> for RightSide<'a, T> {
    fn from(packed: &'a PackedB<T>) -> Self {
        Self::Packed(packed)
    }
}

impl<T: Float> RightSide<'_, T> {
    /// k and n.
    fn shape(&self) -> (usize, usize) {
        match self {
            Self::View(view) => (view.rows(), view.cols()),
            Self::Packed(packed) => (packed.rows(), packed.cols()),
        }
    }
}

impl<T: Float> Default for Gemm<'_, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, T: Float> Gemm<'a, T> {
    /// C = A B.
    pub fn new() -> Self {
        let (alpha, beta) = (T::ONE, T::ZERO);
        Self { alpha, beta, bias: None, residual: None, activation: None, column_sums: None }
    }

    /// The factor of A B, otherwise 1. A and B are not read when it is 0.
    pub fn alpha(mut self, alpha: T) -> Self {
        self.alpha = alpha;
        self
    }

    /// The factor of what C holds before, otherwise 0. C is not read when it is 0.
    pub fn beta(mut self, beta: T) -> Self {
        self.beta = beta;
        self
    }

    /// Adds a number to each column, n in all: the bias of a layer.
    pub fn bias(mut self, bias: &'a [T]) -> Self {
        self.bias = Some(bias);
        self
    }

    /// Adds a matrix, m x n of any strides: the branch around a layer.
    pub fn residual(mut self, residual: MatRef<'a, T>) -> Self {
        self.residual = Some(residual);
        self
    }

    /// Applies a function to each element, last of all.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = Some(activation);
        self
    }

    /// Writes the sums of the columns of the result, as [`crate::column_sums`] has them, n in all: the gradient of a bias.
    /// They are a pass of their own over C, 1/k of the work of the product.
    pub fn column_sums(mut self, sums: &'a mut [T]) -> Self {
        self.column_sums = Some(sums);
        self
    }

    /// Computes it, for `A` m x k, `B` k x n (a [`MatRef`] or a [`PackedB`]), `C` m x n, any strides, in parallel over tiles.
    /// 2 m n k operations. NaN and infinity spread as in the definition.
    ///
    /// # Errors
    /// When the shapes do not fit; nothing is written then.
    pub fn run<'b>(
        self,
        a: MatRef<'_, T>,
        b: impl Into<RightSide<'b, T>>,
        mut c: MatMut<'_, T>,
    ) -> Result<(), ShapeError> {
        let b = b.into();
        let ((m, n), (k, b_cols)) = ((c.rows(), c.cols()), b.shape());
        same("rows of B against columns of A", a.cols(), k)?;
        same("rows of C against rows of A", a.rows(), m)?;
        same("columns of C against columns of B", b_cols, n)?;
        same("bias against columns of C", n, self.bias.map_or(n, <[T]>::len))?;
        same("rows of the residual against rows of C", m, self.residual.map_or(m, |d| d.rows()))?;
        same("columns of the residual against columns of C", n, self.residual.map_or(n, |d| d.cols()))?;
        same("column sums against columns of C", n, self.column_sums.as_ref().map_or(n, |sums| sums.len()))?;
        let epilogue = Epilogue {
            bias: self.bias.map_or(Bias::None, Bias::Columns),
            residual: self.residual,
            activation: self.activation,
        };
        match b {
            RightSide::View(b) => multiply(self.alpha, &a, &b, self.beta, &mut c, &epilogue),
            RightSide::Packed(b) => multiply_packed(self.alpha, &a, b, self.beta, &mut c, &epilogue),
        }
        self.column_sums.map_or(Ok(()), |sums| column_sums(c.as_ref(), sums))
    }
}
