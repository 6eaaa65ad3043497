//! Sizes of the blocks, by element type and instruction set.

use crate::Float;
use crate::simd::Lanes;

/// Bytes of a packed row of A or column of B.
const LINE_BYTES: usize = 2 << 10;

/// How a product is cut. Only speed depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocking {
    /// Rows of the register tile.
    pub(crate) tile_rows: usize,
    /// Columns of the register tile: two vectors.
    pub(crate) tile_cols: usize,
    /// Steps of k per packed block. Every block reads and writes C once, so deep is good as long as a panel of A stays
    /// in L1 (12 to 24 KiB of 32 or 48) while the panels of B pass by.
    pub(crate) depth: usize,
    /// Rows of a job: how often its columns of B are used while they are in L2.
    pub(crate) rows_per_job: usize,
    /// Columns of a job: `cols_per_job x depth` of packed B stay in L2 (256 KiB of 512 or more).
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
            depth: LINE_BYTES / size_of::<T>(),
            rows_per_job: 192,
            cols_per_job: 128,
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
