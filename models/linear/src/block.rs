//! Blocks of rows as `f64`, small enough to stay in the second-level cache while they are swept several times.
//!
//! Contiguous `f64` rows are used where they lie. Others (`f32`, column-major) are copied block by block, so that all
//! sums below are in `f64` and a solver has one body.

use tilewise_base::Result;
use tilewise_kernels::{Float, MatRef};

/// Bytes of one block: half of a 512 KiB second-level cache.
const BLOCK_BYTES: usize = 256 * 1024;

/// Rows of one block of `cols` elements of `T`: a multiple of the four rows that a transposed `gemv` takes together.
pub(crate) fn block_rows<T>(cols: usize) -> usize {
    (BLOCK_BYTES / (cols.max(1) * size_of::<T>()) / 4 * 4).max(4)
}

/// Rows of one leaf of the parallel tree, at least `least`: a leaf answers with sums whose merging must stay cheap
/// beside the leaf's own work. A block lasts some 40 microseconds where it is swept two or three times. With four of them least squares of 16,000 x
/// 20, of which two threads had three leaves, took 1.7 times as long, and of 200,000 x 100 or 10,000 x 1,000 as long.
pub(crate) fn leaf_rows(cols: usize, least: usize) -> usize {
    block_rows::<f64>(cols).max(least)
}

/// What a feature matrix may hold: `f32` or `f64`.
pub trait Element: Float {
    /// The rows of `x` as contiguous `f64` rows, copied into `scratch` only where needed.
    ///
    /// # Errors
    /// Never for a well-formed view.
    fn widen<'a>(x: MatRef<'a, Self>, scratch: &'a mut Vec<f64>) -> Result<MatRef<'a, f64>>;
}

impl Element for f64 {
    fn widen<'a>(x: MatRef<'a, f64>, scratch: &'a mut Vec<f64>) -> Result<MatRef<'a, f64>> {
        if x.cols() <= 1 || x.col_stride() == 1 { Ok(x) } else { copy(x, scratch) }
    }
}

impl Element for f32 {
    fn widen<'a>(x: MatRef<'a, f32>, scratch: &'a mut Vec<f64>) -> Result<MatRef<'a, f64>> {
        copy(x, scratch)
    }
}

fn copy<'a, T: Float>(x: MatRef<'a, T>, scratch: &'a mut Vec<f64>) -> Result<MatRef<'a, f64>> {
    let (rows, cols) = (x.rows(), x.cols());
    scratch.clear();
    for i in 0..rows {
        match x.row(i) {
            Some(row) => scratch.extend(row.iter().map(|x| x.to_f64())),
            None => scratch.extend((0..cols).map(|j| x.get(i, j).to_f64())),
        }
    }
    Ok(MatRef::new(scratch, rows, cols)?)
}
