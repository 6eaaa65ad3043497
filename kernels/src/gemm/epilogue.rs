//! What is done to C after a product, while the tiles that were just written are still in L1.
//!
//! In the registers of the tile it would have to be compiled into every tile, of which there are some fifty for each type
//! and instruction set. Reading the rows of a tile back from L1 costs 24 loads and stores for a tile of 12 x 2 vectors
//! that took 12 cycles for each step of k: 0.2 % at k = 1024.

use super::driver::Output;
use crate::elementary::{Function, Gelu, Sigmoid, Softplus, Tanh};
use crate::simd::{Isa, Lanes, Task};
use crate::{Float, MatMut, MatRef, parallel};
use std::ops::Range;

/// A function applied to each element of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0), NaN where x is NaN.
    Relu,
    /// [`crate::sigmoid`]
    Sigmoid,
    /// [`crate::tanh`]
    Tanh,
    /// [`crate::softplus`]
    Softplus,
    /// [`crate::gelu`]
    Gelu,
}

/// One number for each row or for each column.
#[derive(Clone, Copy)]
pub(super) enum Bias<'a, T> {
    None,
    Rows(&'a [T]),
    Columns(&'a [T]),
}

/// C = activation(C + bias + residual).
#[derive(Clone, Copy)]
pub(crate) struct Epilogue<'a, T> {
    pub(super) bias: Bias<'a, T>,
    pub(super) residual: Option<MatRef<'a, T>>,
    pub(super) activation: Option<Activation>,
}

impl<'a, T: Float> Epilogue<'a, T> {
    /// C stays as it is.
    pub(crate) const NONE: Self = Self { bias: Bias::None, residual: None, activation: None };

    /// Bias for each column, then a function.
    pub(crate) fn of(bias: Option<&'a [T]>, activation: Option<Activation>) -> Self {
        Self { bias: bias.map_or(Bias::None, Bias::Columns), residual: None, activation }
    }

    pub(super) fn is_none(&self) -> bool {
        matches!(self.bias, Bias::None) && self.residual.is_none() && self.activation.is_none()
    }

    /// The same for the transpose of C.
    pub(super) fn transpose(&self) -> Self {
        let bias = match self.bias {
            Bias::None => Bias::None,
            Bias::Rows(bias) => Bias::Columns(bias),
            Bias::Columns(bias) => Bias::Rows(bias),
        };
        Self { bias, residual: self.residual.map(MatRef::transpose), activation: self.activation }
    }

    /// Does it to all of C, in parallel: for products that were computed without tiles.
    pub(crate) fn apply(&self, c: &mut MatMut<'_, T>) {
        let (m, n) = (c.rows(), c.cols());
        if self.is_none() || m == 0 || n == 0 {
            return;
        }
        let out = Output { ptr: c.as_mut_ptr(), rs: c.row_stride(), cs: c.col_stride() };
        let rows = (parallel::GRAIN_BYTES / (n * size_of::<T>())).clamp(1, m);
        let piece = |i: usize| self.range(Isa::current(), &out, i * rows..m.min((i + 1) * rows), 0..n);
        parallel::for_each(m.div_ceil(rows), piece);
    }

    /// Does it to a rectangle of C, which no other thread touches meanwhile.
    pub(super) fn range(&self, isa: Isa, out: &Output<T>, rows: Range<usize>, cols: Range<usize>) {
        if !self.is_none() {
            T::dispatch_on(isa, Finish { epilogue: self, out, rows, cols });
        }
    }

    /// The same inside a kernel.
    #[inline(always)]
    pub(super) fn finish<S: Lanes<T>>(
        &self,
        simd: S,
        out: &Output<T>,
        rows: Range<usize>,
        cols: Range<usize>,
    ) {
        if !self.is_none() {
            self.rectangle(simd, out, rows, cols);
        }
    }

    /// A function of its own, so that the loops around tiles stay small.
    #[inline(never)]
    fn rectangle<S: Lanes<T>>(&self, simd: S, out: &Output<T>, rows: Range<usize>, cols: Range<usize>) {
        simd.vectorize(
            #[inline(always)]
            || match self.activation {
                None => self.rows::<S, Identity>(simd, out, rows, cols),
                Some(Activation::Relu) => self.rows::<S, Relu>(simd, out, rows, cols),
                Some(Activation::Sigmoid) => self.rows::<S, Sigmoid>(simd, out, rows, cols),
                Some(Activation::Tanh) => self.rows::<S, Tanh>(simd, out, rows, cols),
                Some(Activation::Softplus) => self.rows::<S, Softplus>(simd, out, rows, cols),
                Some(Activation::Gelu) => self.rows::<S, Gelu>(simd, out, rows, cols),
            },
        );
    }

    #[inline(always)]
    fn rows<S: Lanes<T>, F: Function>(
        &self,
        simd: S,
        out: &Output<T>,
        rows: Range<usize>,
        cols: Range<usize>,
    ) {
        for i in rows {
            let of_row = match self.bias {
                Bias::Rows(bias) => simd.splat(bias[i]),
                _ => simd.splat(T::ZERO),
            };
            let mut j = cols.start;
            while j < cols.end {
                let n = S::LANES.min(cols.end - j);
                let c = out.ptr.wrapping_offset(i as isize * out.rs + j as isize * out.cs);
                // SAFETY: columns j..j + n of row i lie inside C, as the caller says, and of its residual, which has the
                // shape of C.
                unsafe {
                    let mut x = load(simd, c, out.cs, n);
                    match self.bias {
                        Bias::None => {}
                        Bias::Rows(_) => x = simd.add(x, of_row),
                        Bias::Columns(bias) => x = simd.add(x, load(simd, bias[j..j + n].as_ptr(), 1, n)),
                    }
                    if let Some(d) = &self.residual {
                        let at = i as isize * d.row_stride() + j as isize * d.col_stride();
                        x = simd.add(x, load(simd, d.as_ptr().wrapping_offset(at), d.col_stride(), n));
                    }
                    store(simd, c, out.cs, F::of(simd, x), n);
                }
                j += n;
            }
        }
    }
}

/// The first `n` of at most `LANES` elements, `stride` apart.
///
/// # Safety
/// All of them must be readable.
#[inline(always)]
unsafe fn load<T: Float, S: Lanes<T>>(simd: S, p: *const T, stride: isize, n: usize) -> S::V {
    // SAFETY: the caller promises the elements; no set has more than 16 lanes.
    unsafe {
        if stride == 1 {
            return if n == S::LANES { simd.load(p) } else { simd.load_first(p, n) };
        }
        let mut buffer = [T::ZERO; 16];
        for (i, x) in buffer[..n].iter_mut().enumerate() {
            *x = *p.wrapping_offset(i as isize * stride);
        }
        simd.load(buffer.as_ptr())
    }
}

/// Writes the first `n` of at most `LANES` elements, `stride` apart.
///
/// # Safety
/// All of them must be writable.
#[inline(always)]
unsafe fn store<T: Float, S: Lanes<T>>(simd: S, p: *mut T, stride: isize, x: S::V, n: usize) {
    // SAFETY: the caller promises the elements; no set has more than 16 lanes.
    unsafe {
        if stride == 1 {
            return if n == S::LANES { simd.store(p, x) } else { simd.store_first(p, x, n) };
        }
        let mut buffer = [T::ZERO; 16];
        simd.store(buffer.as_mut_ptr(), x);
        for (i, x) in buffer[..n].iter().enumerate() {
            *p.wrapping_offset(i as isize * stride) = *x;
        }
    }
}

struct Finish<'a, T> {
    epilogue: &'a Epilogue<'a, T>,
    out: &'a Output<T>,
    rows: Range<usize>,
    cols: Range<usize>,
}

impl<T: Float> Task<T> for Finish<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) {
        self.epilogue.finish(simd, self.out, self.rows, self.cols);
    }
}

/// x.
struct Identity;
impl Function for Identity {
    #[inline(always)]
    fn of<T: Float, S: Lanes<T>>(_: S, x: S::V) -> S::V {
        x
    }
}

/// max(x, 0): the second operand where x is NaN.
struct Relu;
impl Function for Relu {
    #[inline(always)]
    fn of<T: Float, S: Lanes<T>>(simd: S, x: S::V) -> S::V {
        simd.max(simd.splat(T::ZERO), x)
    }
}
