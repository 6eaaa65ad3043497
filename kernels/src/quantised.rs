//! Products of bytes, C = (A - zero_a) (B - zero_b) for u8 A and i8 B, exact in 32 bits, and as f32.
//!
//! Method: that of [`crate::gemm`] around a register tile of [`dot`]: panels of A and B whose lanes hold a few steps of
//! k. The zero points are taken out at the end, by the sums of B's columns and A's rows (Jacob et al., "Quantization and
//! training of neural networks for efficient integer-arithmetic-only inference", 2018, section 2.3), the former computed
//! where B is packed: once for a [`PackedI8`].
//!
//! Integers are the same in any order, so C is the same on every instruction set, at any thread count, packed or not. No
//! 32 bits overflow: k beyond what the zero points allow (65,793 without any) is refused.

mod dot;
mod pack;
mod product;
mod scale;
mod tile;

use crate::gemm::Output;
use crate::matrix::{check_product, same};
use crate::{MatMut, MatRef, ShapeError};
pub use dot::I8Kernel;
use product::{Panels, Product, Target};
pub use scale::{Quantisation, Quantised, dequantise, quantise};

/// Scales of the columns of B.
#[derive(Clone, Copy, Debug)]
pub enum Scales<'a> {
    /// The same for all.
    Same(f32),
    /// One for each.
    Columns(&'a [f32]),
}

/// C = (A - zero_a) (B - zero_b) for `A` m x k, `B` k x n, `C` m x n, any strides, exactly. C is not read. 2 m n k
/// operations, parallel over tiles; all of B is packed first, so what multiplies often should be a [`PackedI8`].
///
/// ```
/// use tilewise_kernels::{MatMut, MatRef, gemm_i8};
/// let a = MatRef::new(&[130u8, 126, 255, 0], 2, 2).unwrap();
/// let b = MatRef::new(&[1i8, -128, 3, 4], 2, 2).unwrap();
/// let mut c = [0; 4];
/// gemm_i8(a, 128, b, 0, MatMut::new(&mut c, 2, 2).unwrap()).unwrap();
/// assert_eq!(c, [2 - 6, -256 - 8, 127 - 384, -127 * 128 - 512]);
/// ```
///
/// # Errors
/// When the shapes do not fit, or when k is so long that a sum might not fit 32 bits: k times the largest |a - zero_a|
/// times the largest |b - zero_b| (255 and 128 when both zero points are 0) must be below 2^31.
pub fn gemm_i8(
    a: MatRef<'_, u8>,
    zero_a: u8,
    b: MatRef<'_, i8>,
    zero_b: i8,
    c: MatMut<'_, i32>,
) -> Result<(), ShapeError> {
    check_product(a, b, &c)?;
    short_enough(a.cols(), zero_a, zero_b)?;
    PackedI8::pack(I8Kernel::current(), b, zero_b, false).gemm(a, zero_a, c)
}

/// As [`gemm_i8`] with f32 results: each integer, rounded to f32, times the product of the scale of A and that of the
/// column of B. These are two more roundings, the same on every instruction set.
///
/// ```
/// use tilewise_kernels::{MatMut, MatRef, Quantisation, Scales, gemm_i8_scaled};
/// let a = MatRef::new(&[130u8, 126], 1, 2).unwrap();
/// let b = MatRef::new(&[1i8, -128, 3, 4], 2, 2).unwrap();
/// let mut c = [0.0; 2];
/// let by = Quantisation { scale: 0.5, zero_point: 128 };
/// gemm_i8_scaled(a, by, b, 0, Scales::Columns(&[0.1, 1.0]), MatMut::new(&mut c, 1, 2).unwrap()).unwrap();
/// assert_eq!(c, [-4.0 * 0.05, -264.0 * 0.5]);
/// ```
///
/// # Errors
/// As [`gemm_i8`], and when there are not as many scales as columns.
pub fn gemm_i8_scaled(
    a: MatRef<'_, u8>,
    by: Quantisation<u8>,
    b: MatRef<'_, i8>,
    zero_b: i8,
    scales: Scales<'_>,
    c: MatMut<'_, f32>,
) -> Result<(), ShapeError> {
    check_product(a, b, &c)?;
    short_enough(a.cols(), by.zero_point, zero_b)?;
    PackedI8::pack(I8Kernel::current(), b, zero_b, false).gemm_scaled(a, by, scales, c)
}

/// B of [`gemm_i8`], packed once for many products: the weights of a layer.
///
/// It takes about k n bytes (twice as many where the CPU multiplies no bytes), in the order of the instruction set that
/// was in use when it was made.
pub struct PackedI8 {
    panels: Panels,
    zero: i8,
}

impl PackedI8 {
    /// Packs `b`, k x n, of which `zero_b` stands for 0.
    ///
    /// ```
    /// use tilewise_kernels::{MatMut, MatRef, PackedI8};
    /// let weights = PackedI8::new(MatRef::new(&[1i8, -128, 3, 4], 2, 2).unwrap(), 0);
    /// let mut c = [0; 2];
    /// let a = MatRef::new(&[200u8, 10], 1, 2).unwrap();
    /// weights.gemm(a, 0, MatMut::new(&mut c, 1, 2).unwrap()).unwrap();
    /// assert_eq!(c, [230, -25_560]);
    /// ```
    pub fn new(b: MatRef<'_, i8>, zero_b: i8) -> Self {
        Self::for_kernel(I8Kernel::current(), b, zero_b)
    }

    /// The same for one of [`I8Kernel::available`]: for tests and measurements.
    pub fn for_kernel(kernel: I8Kernel, b: MatRef<'_, i8>, zero_b: i8) -> Self {
        Self::pack(kernel, b, zero_b, true)
    }

    fn pack(kernel: I8Kernel, b: MatRef<'_, i8>, zero: i8, lasting: bool) -> Self {
        Self { panels: Panels::new(kernel, b, lasting), zero }
    }

    /// k: rows of B.
    pub fn rows(&self) -> usize {
        self.panels.k
    }

    /// n: columns of B.
    pub fn cols(&self) -> usize {
        self.panels.n
    }

    /// C = (A - zero_a) (B - zero_b), as [`gemm_i8`].
    ///
    /// # Errors
    /// As [`gemm_i8`].
    pub fn gemm(&self, a: MatRef<'_, u8>, zero_a: u8, mut c: MatMut<'_, i32>) -> Result<(), ShapeError> {
        self.check(a, zero_a, &c)?;
        if a.cols() == 0 {
            c.fill(0);
            return Ok(());
        }
        let out = Output { ptr: c.as_mut_ptr(), rs: c.row_stride(), cs: c.col_stride() };
        self.product(a, zero_a, Target::Integers(out));
        Ok(())
    }

    /// As [`gemm_i8_scaled`].
    ///
    /// # Errors
    /// As [`gemm_i8_scaled`].
    pub fn gemm_scaled(
        &self,
        a: MatRef<'_, u8>,
        by: Quantisation<u8>,
        scales: Scales<'_>,
        mut c: MatMut<'_, f32>,
    ) -> Result<(), ShapeError> {
        self.check(a, by.zero_point, &c)?;
        if let Scales::Columns(scales) = scales {
            same("scales against columns of B", self.cols(), scales.len())?;
        }
        if a.cols() == 0 {
            c.fill(0.0);
            return Ok(());
        }
        let out = Output { ptr: c.as_mut_ptr(), rs: c.row_stride(), cs: c.col_stride() };
        self.product(a, by.zero_point, Target::Scaled(out, by.scale, scales));
        Ok(())
    }

    fn check<T: Copy>(&self, a: MatRef<'_, u8>, zero_a: u8, c: &MatMut<'_, T>) -> Result<(), ShapeError> {
        same("rows of B against columns of A", a.cols(), self.rows())?;
        same("rows of C against rows of A", a.rows(), c.rows())?;
        same("columns of C against columns of B", self.cols(), c.cols())?;
        short_enough(self.rows(), zero_a, self.zero)
    }

    fn product(&self, a: MatRef<'_, u8>, zero_a: u8, out: Target<'_>) {
        let (b, zero_b) = (&self.panels, self.zero);
        b.kernel.dispatch(Product { a, zero_a, b, zero_b, out });
    }
}

/// Refuses k for which a sum might not fit 32 bits.
fn short_enough(k: usize, zero_a: u8, zero_b: i8) -> Result<(), ShapeError> {
    let (a, b) = (i32::from(zero_a), i32::from(zero_b));
    let most = (i32::MAX / (a.max(255 - a) * (127 - b).max(b + 128))) as usize;
    if k <= most { Ok(()) } else { Err(ShapeError::TooLong { what: "columns of A", most, found: k }) }
}
