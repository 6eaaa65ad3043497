//! Sizes of the blocks, by element type and instruction set.

use crate::Float;
use crate::simd::Lanes;

/// Bytes of a packed panel of B.
const B_PANEL_BYTES: usize = 32 << 10;
/// Bytes of the packed rows of A that a job goes through again and again.
const A_JOB_BYTES: usize = 192 << 10;

/// How a product is cut. Only speed depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocking {
    /// Rows of the register tile.
    pub(crate) tile_rows: usize,
    /// Columns of the register tile: two vectors.
    pub(crate) tile_cols: usize,
    /// Steps of k per packed block. Every block reads and writes C once, at about 100 cycles per tile, so deep is good
    /// until a panel of B no longer passes through L1: 32 KiB gave 92 % of the peak at 2048 cubed (AVX2, Zen 3), 16 KiB
    /// 86 %.
    pub(crate) depth: usize,
    /// Rows of a job: `rows_per_job x depth` of packed A stay in L2 (192 KiB of 512).
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
        let depth = (B_PANEL_BYTES / (tile_cols * size_of::<T>())).min(512);
        Self {
            tile_rows,
            tile_cols,
            depth,
            rows_per_job: A_JOB_BYTES / (depth * size_of::<T>()),
            cols_per_job: 512,
            rows_per_block: 1536,
            cols_per_block: 2048,
        }
    }
}

/// Cuts `len` into pieces of at most `most`, nearly equal and (but for the last) multiples of `unit`.
pub(crate) fn even_piece(len: usize, most: usize, unit: usize) -> usize {
    let pieces = len.div_ceil(most).max(1);
    len.div_ceil(pieces).next_multiple_of(unit).max(unit)
}
