//! Sizes of the blocks, by element type and instruction set.

use crate::Float;
use crate::simd::Lanes;

/// How a product is cut. Only speed depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocking {
    /// Rows of the register tile.
    pub(crate) tile_rows: usize,
    /// Columns of the register tile: two vectors.
    pub(crate) tile_cols: usize,
    /// Steps of k per packed block: a panel of B of `depth x tile_cols` takes half of a 32 KiB L1 (AVX2), so that
    /// lines of A and C pass through the other half.
    pub(crate) depth: usize,
    /// Rows of a job: `rows_per_job x depth` of packed A fit half of a 512 KiB L2.
    pub(crate) rows_per_job: usize,
    /// Columns of a job.
    pub(crate) cols_per_job: usize,
    /// Rows of A packed at a time.
    pub(crate) rows_per_block: usize,
    /// Columns of B packed at a time: `depth x cols_per_block` fits L3.
    pub(crate) cols_per_block: usize,
}

impl Blocking {
    pub(crate) fn of<T: Float, S: Lanes<T>>() -> Self {
        let (tile_rows, tile_cols) = (S::TILE_ROWS, 2 * S::LANES);
        Self {
            tile_rows,
            tile_cols,
            depth: 256,
            rows_per_job: 192 * 4 / size_of::<T>(),
            cols_per_job: 512,
            rows_per_block: 192 * 16,
            cols_per_block: 4096,
        }
    }
}

/// Cuts `len` into pieces of at most `most`, nearly equal and (but for the last) multiples of `unit`.
pub(crate) fn even_piece(len: usize, most: usize, unit: usize) -> usize {
    let pieces = len.div_ceil(most).max(1);
    len.div_ceil(pieces).next_multiple_of(unit).max(unit)
}
