//! Products of one small shape, again and again: all that depends on the shape alone is done once.

use super::direct::{Job, Place, Rectangles, Tiles, is_planned};
use super::driver::Output;
use super::epilogue::Epilogue;
use super::multiply;
use crate::matrix::same;
use crate::simd::Isa;
use crate::{Float, MatMut, MatRef, ShapeError};

/// C = alpha A B + beta C for one shape: [`crate::gemm`] without choosing its tiles in every call, which takes most of the
/// time of a 4 x 4 x 4 product. Same bits. From some 32 x 32 x 32 on it gains nothing.
///
/// Keep it where the shape is known: in a filter, a layer, a solver. It may be shared between threads.
///
/// ```
/// use tilewise_kernels::{GemmPlan, MatMut, MatRef};
/// let plan = GemmPlan::new(2, 2, 2);
/// let a = MatRef::new(&[1.0, 2.0, 3.0, 4.0], 2, 2).unwrap();
/// let mut power = [1.0, 0.0, 0.0, 1.0];
/// for _ in 0..3 {
///     let last = power;
///     let last = MatRef::new(&last, 2, 2).unwrap();
///     plan.run(1.0, a, last, 0.0, MatMut::new(&mut power, 2, 2).unwrap()).unwrap();
/// }
/// assert_eq!(power, [37.0, 54.0, 81.0, 118.0]);
/// ```
pub struct GemmPlan<T> {
    m: usize,
    n: usize,
    k: usize,
    /// What makes up C; nothing where the product is computed as any other.
    rectangles: Vec<(Place, Box<dyn Tiles<T>>)>,
}

impl<T: Float> GemmPlan<T> {
    /// A plan for `A` m x k, `B` k x n, `C` m x n, for the instruction set in use. Takes about a microsecond.
    pub fn new(m: usize, n: usize, k: usize) -> Self {
        let planned = is_planned::<T>(m, n, k);
        let rectangles =
            if planned { T::dispatch_on(Isa::current(), Rectangles { m, n, k }) } else { Vec::new() };
        Self { m, n, k, rectangles }
    }

    /// Computes it, any strides; what was planned serves where alpha is 1 and rows of B and of C are contiguous.
    ///
    /// # Errors
    /// When the shapes are not those of the plan; nothing is written then.
    #[inline]
    pub fn run(
        &self,
        alpha: T,
        a: MatRef<'_, T>,
        b: MatRef<'_, T>,
        beta: T,
        mut c: MatMut<'_, T>,
    ) -> Result<(), ShapeError> {
        let Self { m, n, k, .. } = *self;
        let shapes =
            [a.rows() == m, a.cols() == k, b.rows() == k, b.cols() == n, c.rows() == m, c.cols() == n];
        if shapes.contains(&false) {
            return self.check(a, b, &c);
        }
        if self.rectangles.is_empty() || alpha != T::ONE || b.col_stride() != 1 || c.col_stride() != 1 {
            multiply(alpha, &a, &b, beta, &mut c, &Epilogue::NONE);
            return Ok(());
        }
        let out = Output { ptr: c.as_mut_ptr(), rs: c.row_stride(), cs: 1 };
        let job = Job { a: &a, b: &b, beta, out: &out, rows: 0..m, cols: 0..n, epilogue: &Epilogue::NONE };
        for (place, tiles) in &self.rectangles {
            tiles.run(&job, place);
        }
        Ok(())
    }

    /// An error that names the first dimension that is not the plan's.
    #[cold]
    fn check(&self, a: MatRef<'_, T>, b: MatRef<'_, T>, c: &MatMut<'_, T>) -> Result<(), ShapeError> {
        same("rows of A against the plan", self.m, a.rows())?;
        same("columns of A against the plan", self.k, a.cols())?;
        same("rows of B against the plan", self.k, b.rows())?;
        same("columns of B against the plan", self.n, b.cols())?;
        same("rows of C against the plan", self.m, c.rows())?;
        same("columns of C against the plan", self.n, c.cols())
    }
}
