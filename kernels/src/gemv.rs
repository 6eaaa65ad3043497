//! Matrix times vector, y = alpha A x + beta y.
//!
//! Two orders, by the layout of A. Where rows are contiguous, each y is a dot product in the order of [`crate::dot`].
//! Where columns are (or nothing is), y gathers alpha x_j times column j, one fused multiply-add per column; beyond
//! [`COLUMNS_PER_CHUNK`] columns, chunks of columns are summed apart and merged in a fixed tree, which is what
//! makes X^T r over many rows of X parallel. Neither order depends on the number of rows or threads.

use crate::matrix::same;
use crate::simd::{Lanes, Task};
use crate::vector::dot_leaf;
use crate::{Float, MatMut, MatRef, ShapeError, parallel};

/// Columns whose contributions form one chain: 4096 keeps a chunk of 100 rows at 3 MB (f64), 0.2 ms of streaming.
pub(crate) const COLUMNS_PER_CHUNK: usize = 4096;

/// y = alpha A x + beta y for `A` m x n, `x` n, `y` m. 2 m n operations; reads A once.
///
/// y is not read when beta is 0; A and x are not read when alpha is 0.
///
/// ```
/// use tilewise_kernels::{MatRef, gemv};
/// let a = MatRef::new(&[1.0, 2.0, 3.0, 4.0], 2, 2).unwrap();
/// let mut y = [f32::NAN; 2];
/// gemv(1.0, a, &[1.0, 1.0], 0.0, &mut y).unwrap();
/// assert_eq!(y, [3.0, 7.0]);
/// ```
///
/// # Errors
/// When the shapes do not fit.
pub fn gemv<T: Float>(alpha: T, a: MatRef<'_, T>, x: &[T], beta: T, y: &mut [T]) -> Result<(), ShapeError> {
    same("length of x against columns of A", a.cols(), x.len())?;
    same("length of y against rows of A", a.rows(), y.len())?;
    if alpha == T::ZERO || a.cols() == 0 {
        y.iter_mut().for_each(|y| *y = seed(beta, *y));
    } else if a.col_stride() == 1 || a.cols() == 1 {
        by_rows(alpha, a, x, beta, y);
    } else {
        by_columns(alpha, a, x, beta, y);
    }
    Ok(())
}

/// beta y without reading y when beta is 0.
#[inline(always)]
fn seed<T: Float>(beta: T, y: T) -> T {
    if beta == T::ZERO {
        T::ZERO
    } else if beta == T::ONE {
        y
    } else {
        beta * y
    }
}

/// Rows of a piece of work, so that it streams about `GRAIN_BYTES`.
fn rows_per_piece<T>(a: MatRef<'_, T>) -> usize
where
    T: Float,
{
    (parallel::GRAIN_BYTES / (a.cols() * size_of::<T>()).max(1)).max(1)
}

fn by_rows<T: Float>(alpha: T, a: MatRef<'_, T>, x: &[T], beta: T, y: &mut [T]) {
    let rows = rows_per_piece(a);
    parallel::for_each_chunk_mut(y, rows, |piece, y| {
        let first = piece * rows;
        T::dispatch(Rows { alpha, a: a.row_range(first..first + y.len()), x, beta, y });
    });
}

struct Rows<'a, T> {
    alpha: T,
    a: MatRef<'a, T>,
    x: &'a [T],
    beta: T,
    y: &'a mut [T],
}

impl<T: Float> Task<T> for Rows<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) {
        for (i, y) in self.y.iter_mut().enumerate() {
            if let Some(row) = self.a.row(i) {
                let product = crate::vector::dot_serial(simd, row, self.x, dot_leaf);
                let scaled = if self.alpha == T::ONE { product } else { self.alpha * product };
                *y = if self.beta == T::ZERO { scaled } else { seed(self.beta, *y) + scaled };
            }
        }
    }
}

fn by_columns<T: Float>(alpha: T, a: MatRef<'_, T>, x: &[T], beta: T, y: &mut [T]) {
    if a.cols() <= COLUMNS_PER_CHUNK {
        let rows = rows_per_piece(a).max(256);
        parallel::for_each_chunk_mut(y, rows, |piece, y| {
            let first = piece * rows;
            y.iter_mut().for_each(|y| *y = seed(beta, *y));
            T::dispatch(Columns { alpha, a: a.row_range(first..first + y.len()), x, y });
        });
        return;
    }
    let leaf = |columns: std::ops::Range<usize>| {
        let mut part = vec![T::ZERO; a.rows()];
        T::dispatch(Columns { alpha, a: a.col_range(columns.clone()), x: &x[columns], y: &mut part });
        part
    };
    let merge = |mut left: Vec<T>, right: Vec<T>| {
        left.iter_mut().zip(right).for_each(|(l, r)| *l += r);
        left
    };
    if let Some(total) = parallel::map_reduce(a.cols(), COLUMNS_PER_CHUNK, leaf, merge) {
        y.iter_mut().zip(total).for_each(|(y, t)| *y = if beta == T::ZERO { t } else { seed(beta, *y) + t });
    }
}

struct Columns<'a, T> {
    alpha: T,
    a: MatRef<'a, T>,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Float> Task<T> for Columns<'_, T> {
    type Output = ();
    /// y += alpha A x, four columns a pass: the same chain as one by one with a quarter of the traffic of y.
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) {
        let Self { alpha, a, x, y } = self;
        let factor = |j: usize| if alpha == T::ONE { x[j] } else { alpha * x[j] };
        let transposed = a.transpose();
        let mut j = 0;
        while j + 4 <= x.len() {
            let columns = [0, 1, 2, 3].map(|i| transposed.row(j + i));
            match columns {
                [Some(c0), Some(c1), Some(c2), Some(c3)] => {
                    let f = [factor(j), factor(j + 1), factor(j + 2), factor(j + 3)];
                    four_columns(simd, f, [c0, c1, c2, c3], y);
                }
                _ => (j..j + 4).for_each(|j| strided_column(simd, factor(j), a, j, y)),
            }
            j += 4;
        }
        for j in j..x.len() {
            strided_column(simd, factor(j), a, j, y);
        }
    }
}

#[inline(always)]
fn four_columns<T: Float, S: Lanes<T>>(simd: S, factors: [T; 4], columns: [&[T]; 4], y: &mut [T]) {
    let n = y.len();
    assert!(columns.iter().all(|c| c.len() == n));
    let f = factors.map(|f| simd.splat(f));
    let whole = n - n % S::LANES;
    for i in (0..whole).step_by(S::LANES) {
        // SAFETY: i + LANES <= n, the length of y and of every column.
        unsafe {
            let mut v = simd.load(y.as_ptr().add(i));
            for (f, c) in f.iter().zip(columns) {
                v = simd.mul_add(*f, simd.load(c.as_ptr().add(i)), v);
            }
            simd.store(y.as_mut_ptr().add(i), v);
        }
    }
    for i in whole..n {
        for (f, c) in factors.iter().zip(columns) {
            y[i] = mul_add_as_lanes(simd, *f, c[i], y[i]);
        }
    }
}

/// One column of any stride.
#[inline(always)]
fn strided_column<T: Float, S: Lanes<T>>(simd: S, factor: T, a: MatRef<'_, T>, j: usize, y: &mut [T]) {
    for (i, y) in y.iter_mut().enumerate() {
        *y = mul_add_as_lanes(simd, factor, a.get(i, j), *y);
    }
}

/// One element rounded as the lanes of the set round, fused or not.
#[inline(always)]
pub(crate) fn mul_add_as_lanes<T: Float, S: Lanes<T>>(simd: S, a: T, b: T, c: T) -> T {
    let mut out = [T::ZERO; 16];
    let v = simd.mul_add(simd.splat(a), simd.splat(b), simd.splat(c));
    // SAFETY: no set has more than 16 lanes.
    unsafe { simd.store(out.as_mut_ptr(), v) };
    out[0]
}

/// A product with a single column, for [`crate::gemm`].
pub(crate) fn gemv_column<T: Float>(
    alpha: T,
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    beta: T,
    mut c: MatMut<'_, T>,
) {
    let x = b.to_vec();
    let mut y: Vec<T> = (0..c.rows()).map(|i| if beta == T::ZERO { T::ZERO } else { c.get(i, 0) }).collect();
    if gemv(alpha, a, &x, beta, &mut y).is_ok() {
        y.iter().enumerate().for_each(|(i, &y)| c.set(i, 0, y));
    }
}
