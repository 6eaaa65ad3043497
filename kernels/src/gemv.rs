//! Matrix times vector, y = alpha A x + beta y.
//!
//! Two orders, by the layout of A. Where rows are contiguous, each y is a dot product in the order of [`crate::dot`].
//! Where columns are (or nothing is), y gathers alpha x_j times column j, one fused multiply-add per column; beyond
//! [`COLUMNS_PER_CHUNK`] columns, chunks of columns are summed apart and merged in a fixed tree, which is what
//! makes X^T r over many rows of X parallel. Neither order depends on the number of rows or threads, but the layout
//! chooses between them: in a column-major A, a row has the bits it has in any other column-major A of two or more rows;
//! a matrix of a single row has contiguous rows, however it was meant.

use crate::matrix::same;
use crate::reduce::{Products, fold_leaves, in_tree, leaf_lanes};
use crate::scratch::Scratch;
use crate::simd::{Lanes, Task};
use crate::{Float, MatMut, MatRef, ShapeError, parallel};

/// Columns whose contributions form one chain: 4096 keeps a chunk of 100 rows at 3 MB (f64), 0.2 ms of streaming.
pub(crate) const COLUMNS_PER_CHUNK: usize = 4096;

/// y = alpha A x + beta y for `A` m x n, `x` n, `y` m. 2 m n operations; reads A once.
///
/// y is not read when beta is 0; A and x are not read when alpha is 0; otherwise NaN and infinity spread as in the sums.
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

/// alpha product + beta y, without reading y when beta is 0.
#[inline(always)]
fn scaled<T: Float>(alpha: T, product: T, beta: T, y: T) -> T {
    let scaled = if alpha == T::ONE { product } else { alpha * product };
    if beta == T::ZERO { scaled } else { seed(beta, y) + scaled }
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
    // Every row reads all of x, and a vector that lies across two lines takes two reads: 4096 x 1024 in f64 (from memory)
    // 51 instead of 64 GB/s.
    let mut scratch;
    let x = if y.len() >= ALIGNED_FROM && !x.as_ptr().addr().is_multiple_of(64) {
        scratch = Scratch::new::<T>(x.len());
        let aligned = &mut scratch.as_mut_slice::<T>()[..x.len()];
        aligned.copy_from_slice(x);
        &*aligned
    } else {
        x
    };
    parallel::for_each_chunk_mut(y, rows, |piece, y| {
        let first = piece * rows;
        T::dispatch(Rows { alpha, a: a.row_range(first..first + y.len()), x, beta, y });
    });
}

/// Rows from which a copy of x that begins with a cache line pays.
const ALIGNED_FROM: usize = 16;

/// Elements up to which the end of a row is worth sharing with others.
const SHORT: usize = 256;

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
        let Self { alpha, a, x, beta, y } = self;
        let mut done = 0;
        // The last additions of a row, of lanes among themselves, are as long as a row of ten elements: they are done
        // for as many rows at once as there are lanes.
        if a.cols() <= SHORT {
            for (block, y) in y.chunks_exact_mut(S::LANES).enumerate() {
                let mut leaves = [simd.splat(T::ZERO); 16];
                for (i, leaf) in leaves[..S::LANES].iter_mut().enumerate() {
                    if let Some(row) = a.row(block * S::LANES + i) {
                        [*leaf] = leaf_lanes::<T, S, Products, 1>(simd, row, x);
                    }
                }
                let mut products = [T::ZERO; 16];
                let [sums] = fold_leaves::<T, S, Products, 1>(simd, [leaves]);
                // SAFETY: LANES <= 16.
                unsafe { simd.store(products.as_mut_ptr(), sums) };
                y.iter_mut().zip(products).for_each(|(y, product)| *y = scaled(alpha, product, beta, *y));
                done += S::LANES;
            }
        }
        for (i, y) in y.iter_mut().enumerate().skip(done) {
            if let Some(row) = a.row(i) {
                *y = scaled(alpha, in_tree::<T, S, Products>(simd, row, x), beta, *y);
            }
        }
    }
}

fn by_columns<T: Float>(alpha: T, a: MatRef<'_, T>, x: &[T], beta: T, y: &mut [T]) {
    if a.cols() <= COLUMNS_PER_CHUNK {
        // Wide, so that a column is read for kilobytes (in pieces of 256 rows 1024 x 1024 took twice as long), but a piece
        // for each thread where there is much to read: X^T r of 1024 x 1024 in f32 takes two threads 22 us in two pieces,
        // 26 in four and one thread 35.
        let much = size_of::<T>() * a.rows() * a.cols() >= 8 * parallel::GRAIN_BYTES;
        let wide = match parallel::threads() {
            1 => 4096,
            threads if much => (a.rows() / threads).clamp(256, 1024),
            _ => 1024,
        };
        let rows = rows_per_piece(a).max(wide);
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
    /// y += alpha A x, four columns a pass: the same chain as one by one with a quarter of the traffic of y, or none at
    /// all where y fits registers.
    #[inline(always)]
    fn run<S: Lanes<T>>(mut self, simd: S) {
        if self.a.row_stride() == 1 || self.y.len() == 1 {
            match self.y.len().div_ceil(S::LANES) {
                1 => return self.narrow::<S, 1>(simd),
                2 => return self.narrow::<S, 2>(simd),
                3 => return self.narrow::<S, 3>(simd),
                4 => return self.narrow::<S, 4>(simd),
                5 => return self.narrow::<S, 5>(simd),
                6 => return self.narrow::<S, 6>(simd),
                7 => return self.narrow::<S, 7>(simd),
                8 => return self.narrow::<S, 8>(simd),
                _ => {}
            }
        }
        let four = self.x.len() - self.x.len() % 4;
        for j in (0..four).step_by(4) {
            self.columns::<S, 4>(simd, j);
        }
        for j in four..self.x.len() {
            self.columns::<S, 1>(simd, j);
        }
    }
}

impl<T: Float> Columns<'_, T> {
    /// y += alpha A x for a y of R vectors, the last of them perhaps not full.
    #[inline(always)]
    fn narrow<S: Lanes<T>, const R: usize>(self, simd: S) {
        let Self { alpha, a, x, y } = self;
        let last = y.len() - (R - 1) * S::LANES;
        assert!(y.len() == a.rows() && x.len() == a.cols() && last <= S::LANES);
        let mut acc = [simd.splat(T::ZERO); R];
        for (r, acc) in acc.iter_mut().enumerate() {
            // SAFETY: R - 1 whole vectors and `last` elements more make up y.
            *acc = unsafe { vector::<T, S, R>(simd, y.as_ptr(), r, last) };
        }
        for (j, &x) in x.iter().enumerate() {
            let factor = simd.splat(if alpha == T::ONE { x } else { alpha * x });
            let column = a.as_ptr().wrapping_offset(j as isize * a.col_stride());
            for (r, acc) in acc.iter_mut().enumerate() {
                // SAFETY: column j of a is contiguous and as long as y.
                *acc = simd.mul_add(factor, unsafe { vector::<T, S, R>(simd, column, r, last) }, *acc);
            }
        }
        for (r, acc) in acc.into_iter().enumerate() {
            // SAFETY: as above, of y.
            unsafe {
                let p = y.as_mut_ptr().add(r * S::LANES);
                if r + 1 < R { simd.store(p, acc) } else { simd.store_first(p, acc, last) }
            }
        }
    }

    /// y += alpha x_j times column j, for N columns from `first` on.
    #[inline(always)]
    fn columns<S: Lanes<T>, const N: usize>(&mut self, simd: S, first: usize) {
        let n = self.y.len();
        let mut factors = [T::ZERO; N];
        let mut slices: [&[T]; N] = [&[]; N];
        let mut contiguous = true;
        for i in 0..N {
            let x = self.x[first + i];
            factors[i] = if self.alpha == T::ONE { x } else { self.alpha * x };
            match self.a.transpose().row(first + i) {
                Some(column) => slices[i] = column,
                None => contiguous = false,
            }
        }
        if contiguous {
            for slice in slices {
                assert!(slice.len() == n);
            }
            let mut splats = [simd.splat(T::ZERO); N];
            for i in 0..N {
                splats[i] = simd.splat(factors[i]);
            }
            for at in (0..n).step_by(S::LANES) {
                let count = S::LANES.min(n - at);
                // SAFETY: at + count <= n, the length of y and of every column.
                unsafe {
                    let mut v = simd.load_first(self.y.as_ptr().add(at), count);
                    for i in 0..N {
                        v = simd.mul_add(splats[i], simd.load_first(slices[i].as_ptr().add(at), count), v);
                    }
                    simd.store_first(self.y.as_mut_ptr().add(at), v, count);
                }
            }
            return;
        }
        for at in 0..n {
            for (i, &factor) in factors.iter().enumerate() {
                self.y[at] = mul_add_as_lanes(simd, factor, self.a.get(at, first + i), self.y[at]);
            }
        }
    }
}

/// Vector r of the R at `p`, of which the last holds `last` elements.
///
/// # Safety
/// `r` must be below `R`, and `p` valid for reading R - 1 vectors and `last` elements more.
#[inline(always)]
pub(crate) unsafe fn vector<T: Float, S: Lanes<T>, const R: usize>(
    simd: S,
    p: *const T,
    r: usize,
    last: usize,
) -> S::V {
    // SAFETY: the caller promises it.
    unsafe {
        let p = p.add(r * S::LANES);
        if r + 1 < R { simd.load(p) } else { simd.load_first(p, last) }
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
pub(crate) fn gemv_column<T: Float>(alpha: T, a: MatRef<'_, T>, b: MatRef<'_, T>, beta: T, c: MatMut<'_, T>) {
    let mut c = c.transpose();
    let copy;
    let x = match b.transpose().row(0) {
        Some(x) => x,
        None => {
            copy = b.to_vec();
            &copy
        }
    };
    let done = match c.row_mut(0) {
        Some(y) => gemv(alpha, a, x, beta, y),
        None => {
            let mut y: Vec<T> =
                (0..c.cols()).map(|i| if beta == T::ZERO { T::ZERO } else { c.get(0, i) }).collect();
            gemv(alpha, a, x, beta, &mut y).map(|()| y.iter().enumerate().for_each(|(i, &y)| c.set(0, i, y)))
        }
    };
    debug_assert!(done.is_ok(), "the caller checked the shapes");
}
