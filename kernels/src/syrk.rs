//! Gram matrices: C = A^T A and its weighted, centred form, accumulated in `f64` whatever the type of A.
//!
//! Half of the work of a product: tiles below the diagonal are skipped and mirrored at the end, so C is exactly
//! symmetric. Conversion to `f64`, weights and centring happen while packing.
//!
//! **Order.** Up to [`WIDE`] columns, rows are cut into chunks whose size depends on the shape only; each chunk is a
//! product of its own and chunks merge in the fixed tree of [`parallel::map_reduce`]. Beyond, there are enough tiles
//! for all threads, and each element is one chain over all rows.

use crate::gemm::{PackedBlock, square};
use crate::matrix::same;
use crate::simd::{Lanes, LanesOfEverySet, Task};
use crate::{Float, MatMut, MatRef, ShapeError, parallel};
use std::ops::Range;

/// Side of the squares in which a triangle is mirrored: a square and its mirror take 4 KiB.
const SQUARE: usize = 16;

/// Columns from which tiles of C, not chunks of rows, are shared among threads: enough jobs above the diagonal;
/// a partial sum of this width takes 2 MB.
const WIDE: usize = 512;

/// C = alpha A^T A + beta C for `A` m x n, `C` n x n; both triangles are written. C is not read when beta is 0, A is not
/// read when alpha is 0; otherwise NaN and infinity spread. When beta is not 0, C must be symmetric: its lower triangle is not read. m n^2 operations.
///
/// ```
/// use tilewise_kernels::{MatMut, MatRef, syrk};
/// let a = MatRef::new(&[1.0f32, 2.0, 3.0, 4.0], 2, 2).unwrap();
/// let mut c = [0.0; 4];
/// syrk(1.0, a, 0.0, MatMut::new(&mut c, 2, 2).unwrap()).unwrap();
/// assert_eq!(c, [10.0, 14.0, 14.0, 20.0]);
/// ```
///
/// # Errors
/// When the shapes do not fit.
pub fn syrk<S: Float>(
    alpha: f64,
    a: MatRef<'_, S>,
    beta: f64,
    mut c: MatMut<'_, f64>,
) -> Result<(), ShapeError> {
    check(a, &c)?;
    let n = a.cols();
    let mut sum = vec![0.0; n * n];
    if alpha != 0.0 {
        upper(a, None, None, [], &mut MatMut::new(&mut sum, n, n)?);
    }
    for i in 0..n {
        for j in i..n {
            let product = if alpha == 0.0 { 0.0 } else { alpha * sum[i * n + j] };
            c.set(i, j, if beta == 0.0 { product } else { beta * c.get(i, j) + product });
        }
    }
    mirror(&mut c);
    Ok(())
}

/// C = sum over rows r of weight_r (a_r - shift) (a_r - shift)^T for `A` m x n, `C` n x n, both triangles; no weights
/// means ones, no shift zeros. C is not read; NaN and infinity in A spread, a weight of 0 does not hide them. m n^2 operations.
///
/// This is the Hessian of generalised linear models, and with a shift by the means a covariance without cancellation.
///
/// # Errors
/// When the shapes do not fit.
pub fn gram<S: Float>(
    a: MatRef<'_, S>,
    weights: Option<&[f64]>,
    shift: Option<&[f64]>,
    c: MatMut<'_, f64>,
) -> Result<(), ShapeError> {
    gram_and_sums(a, weights, shift, c, []).map(|[]| ())
}

/// What [`gram`] does, and beside it the sums over rows r of factor_kr (a_r - shift) of K sets of m factors: n numbers each. Of A that is in no
/// cache they cost little, where [`crate::centred_sums`] reads it again; up to some 500 columns and 1,024 rows they have its bits.
///
/// ```
/// use tilewise_kernels::{MatMut, MatRef, gram_and_sums};
/// let a = MatRef::new(&[1.0, 10.0, 3.0, 14.0], 2, 2).unwrap();
/// let mut c = [0.0; 4];
/// let [sums] = gram_and_sums(a, None, Some(&[2.0, 12.0]), MatMut::new(&mut c, 2, 2).unwrap(), [&[1.0, 0.5]]).unwrap();
/// assert_eq!((c, sums), ([2.0, 4.0, 4.0, 8.0], vec![-0.5, -1.0]));
/// ```
///
/// # Errors
/// When the shapes do not fit.
pub fn gram_and_sums<S: Float, const K: usize>(
    a: MatRef<'_, S>,
    weights: Option<&[f64]>,
    shift: Option<&[f64]>,
    mut c: MatMut<'_, f64>,
    factors: [&[f64]; K],
) -> Result<[Vec<f64>; K], ShapeError> {
    check(a, &c)?;
    for factors in factors {
        same("factors against rows of A", a.rows(), factors.len())?;
    }
    same("weights against rows of A", a.rows(), weights.map_or(a.rows(), <[f64]>::len))?;
    same("shift against columns of A", a.cols(), shift.map_or(a.cols(), <[f64]>::len))?;
    if c.col_stride() != 1 && c.row_stride() == 1 {
        // The same matrix, in rows that whole vectors can be written to.
        c = c.transpose();
    }
    let sums = upper(a, weights, shift, factors, &mut c);
    mirror(&mut c);
    Ok(sums)
}

/// Copies the upper triangle to the lower, in squares of [`SQUARE`]: by whole rows the lower triangle touches a page per
/// element, which at n = 500 took as long as a tenth of a product of 1,000 rows.
fn mirror(c: &mut MatMut<'_, f64>) {
    let n = c.rows();
    let mut square = [[0.0; SQUARE]; SQUARE];
    for top in (0..n).step_by(SQUARE) {
        for left in (top..n).step_by(SQUARE) {
            let (height, width) = (SQUARE.min(n - top), SQUARE.min(n - left));
            for i in 0..height {
                match c.as_ref().row(top + i) {
                    Some(row) => {
                        square.iter_mut().zip(&row[left..left + width]).for_each(|(to, from)| to[i] = *from);
                    }
                    None => (0..width).for_each(|j| square[j][i] = c.get(top + i, left + j)),
                }
            }
            for (j, square) in square.iter().enumerate().take(width) {
                let above = height.min(left + j - top);
                match c.row_mut(left + j) {
                    Some(row) => row[top..top + above].copy_from_slice(&square[..above]),
                    None => (0..above).for_each(|i| c.set(left + j, top + i, square[i])),
                }
            }
        }
    }
}

fn check<S: Float>(a: MatRef<'_, S>, c: &MatMut<'_, f64>) -> Result<(), ShapeError> {
    same("rows of C against columns of A", a.cols(), c.rows())?;
    same("columns of C against columns of A", a.cols(), c.cols())
}

/// Rows of a chunk: at least 8 million multiply-adds (about 0.3 ms), so that merging n^2 sums stays below 1 %, and at
/// least 1024 rows; in steps of powers of two.
fn rows_per_chunk(n: usize) -> usize {
    (8_000_000 / (n * n).max(1)).clamp(1024, 1 << 16).next_power_of_two()
}

/// The upper triangle into `c`, without reading it; what is below is unspecified. And the sums.
fn upper<S: Float, const K: usize>(
    a: MatRef<'_, S>,
    weights: Option<&[f64]>,
    shift: Option<&[f64]>,
    factors: [&[f64]; K],
    c: &mut MatMut<'_, f64>,
) -> [Vec<f64>; K] {
    let n = a.cols();
    if n == 0 || a.rows() == 0 {
        c.fill(0.0);
        return [(); K].map(|()| vec![0.0; n]);
    }
    let rows = if n > WIDE { a.rows() } else { rows_per_chunk(n) };
    let zeros = vec![0.0; n];
    let shift = shift.unwrap_or(&zeros);
    let chunk = |range: Range<usize>, out: &mut MatMut<'_, f64>| {
        let mut sums = Sums::new(factors.map(|factors| &factors[range.clone()]));
        let weights = weights.map(|weights| &weights[range.clone()]);
        square(a.row_range(range.clone()), weights, shift, out, |block| sums.add(block));
        sums.of_columns(n)
    };
    if a.rows() <= rows {
        return chunk(0..a.rows(), c);
    }
    let leaf = |range: Range<usize>| {
        let mut out = vec![0.0; n * n];
        let sums = match MatMut::new(&mut out, n, n) {
            Ok(mut out) => parallel::on_this_thread(|| chunk(range, &mut out)),
            Err(_) => unreachable!("the matrix has n rows of n"),
        };
        (out, sums)
    };
    let merge = |mut left: (Vec<f64>, [Vec<f64>; K]), right: (Vec<f64>, [Vec<f64>; K])| {
        let add = |left: &mut [f64], right: &[f64]| left.iter_mut().zip(right).for_each(|(l, r)| *l += r);
        add(&mut left.0, &right.0);
        left.1.iter_mut().zip(&right.1).for_each(|(left, right)| add(left, right));
        left
    };
    let Some((total, sums)) = parallel::map_reduce(a.rows(), rows, leaf, merge) else {
        unreachable!("there are rows")
    };
    for (i, row) in total.chunks_exact(n).enumerate() {
        row.iter().enumerate().skip(i).for_each(|(j, &sum)| c.set(i, j, sum));
    }
    sums
}

/// Sums of factors times the columns of blocks, which come with their steps in ascending order.
struct Sums<'a, const K: usize> {
    factors: [&'a [f64]; K],
    /// For each panel of columns K times its width.
    of_panels: Vec<f64>,
    width: usize,
}

/// Panels whose sums are one piece of work: 8 of 16 columns of 384 steps are in cache and take some ten microseconds.
const PANELS: usize = 8;

impl<'a, const K: usize> Sums<'a, K> {
    fn new(factors: [&'a [f64]; K]) -> Self {
        Self { factors, of_panels: Vec::new(), width: 1 }
    }

    fn add(&mut self, block: &PackedBlock<'_, f64>) {
        if K == 0 {
            return;
        }
        let (width, depth) = (block.width, block.steps.len());
        self.width = width;
        // Blocks of columns are whole panels, but for the last.
        let (from, until) = (block.columns.start / width, block.columns.end.div_ceil(width));
        if self.of_panels.len() < until * width * K {
            self.of_panels.resize(until * width * K, 0.0);
        }
        let factors = self.factors.map(|factors| &factors[block.steps.clone()]);
        let sums = &mut self.of_panels[from * width * K..until * width * K];
        parallel::for_each_chunk_mut(sums, PANELS * width * K, |piece, sums| {
            let panels = &block.panels[piece * PANELS * width * depth..];
            f64::dispatch_on(block.isa, SumPanels { factors, panels, sums });
        });
    }

    fn of_columns(&self, n: usize) -> [Vec<f64>; K] {
        std::array::from_fn(|k| {
            let panels = self.of_panels.chunks_exact(self.width * K.max(1));
            let mut sums: Vec<f64> =
                panels.flat_map(|sums| &sums[k * self.width..][..self.width]).copied().collect();
            sums.truncate(n);
            sums
        })
    }
}

/// Adds to K sums for each panel of two vectors of columns.
struct SumPanels<'a, const K: usize> {
    factors: [&'a [f64]; K],
    panels: &'a [f64],
    sums: &'a mut [f64],
}

impl<const K: usize> Task<f64> for SumPanels<'_, K> {
    type Output = ();
    #[inline(always)]
    fn run<L: Lanes<f64>>(self, simd: L) {
        let (width, depth) = (2 * L::LANES, self.factors.first().map_or(0, |f| f.len()));
        let panels = self.panels.chunks_exact((width * depth).max(1));
        for (sums, panel) in self.sums.chunks_exact_mut(K * width).zip(panels) {
            let mut total = [[simd.splat(0.0); 2]; K];
            for (total, sums) in total.iter_mut().zip(sums.chunks_exact(width)) {
                // SAFETY: the chunk holds two vectors.
                *total = unsafe { [simd.load(sums.as_ptr()), simd.load(sums.as_ptr().add(L::LANES))] };
            }
            for (step, x) in panel.chunks_exact(width).enumerate() {
                // SAFETY: as above.
                let x = unsafe { [simd.load(x.as_ptr()), simd.load(x.as_ptr().add(L::LANES))] };
                for (total, factors) in total.iter_mut().zip(&self.factors) {
                    let factor = simd.splat(factors[step]);
                    *total = [simd.mul_add(factor, x[0], total[0]), simd.mul_add(factor, x[1], total[1])];
                }
            }
            for (total, sums) in total.iter().zip(sums.chunks_exact_mut(width)) {
                // SAFETY: as above.
                unsafe {
                    simd.store(sums.as_mut_ptr(), total[0]);
                    simd.store(sums.as_mut_ptr().add(L::LANES), total[1]);
                }
            }
        }
    }
}
