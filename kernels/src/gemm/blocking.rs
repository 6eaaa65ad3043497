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
    /// Steps of k per packed block. Every block reads and writes C once, so deep is good as long as a panel of A stays
    /// in L1. A line takes 3 KiB with 64-byte vectors, which meet C twice as often (panels of 36 KiB for the 48 KiB of
    /// Zen 5 and Ice Lake; 2 KiB gave 2 % less at 2048 cubed, Zen 5; not measured where L1 has 32 KiB), else 2 KiB (12
    /// to 16 KiB; 3 KiB gave up to 8 % less, AVX2 on Zen 5).
    pub(crate) depth: usize,
    /// Rows of a job at most, before rounding up to whole tiles: the more, the less often B comes from L3, but its A
    /// shares L2 with `cols_in_l2` (96 rows cost 2 % at 2048 cubed).
    pub(crate) rows_per_job: usize,
    /// Columns of B that one panel of A after another meets: `cols_in_l2 x depth` of packed B stay in L2.
    pub(crate) cols_in_l2: usize,
    /// Columns of B packed at a time: `depth x cols_per_block` fits L3.
    pub(crate) cols_per_block: usize,
}

impl Blocking {
    pub(crate) fn of<T: Float, S: Lanes<T>>() -> Self {
        let (tile_rows, tile_cols) = (S::TILE_ROWS, 2 * S::LANES);
        let line_bytes = if size_of::<S::V>() == 64 { 3 << 10 } else { 2 << 10 };
        Self {
            tile_rows,
            tile_cols,
            depth: line_bytes / size_of::<T>(),
            rows_per_job: 64,
            cols_in_l2: 128,
            cols_per_block: 2048,
        }
    }

    /// Rows and columns of a job of `m x n`: as large as leaves at least 20 jobs, so that two threads share them evenly,
    /// and four for each of many threads. Wide rather than high, because each job packs its own rows of A: 1 to 3 % of
    /// the work of 512 columns, so four times that of the narrowest jobs, of 128. No bit depends on the shape. Two
    /// threads were measured, more were not.
    pub(crate) fn job(&self, m: usize, n: usize, threads: usize) -> (usize, usize) {
        let wanted = if threads == 1 { 1 } else { (4 * threads).max(20) };
        let rows = |most: usize| even_piece(m, most, self.tile_rows);
        let cols = |most: usize| even_piece(n, most, self.tile_cols);
        let (mut high, mut wide) = (self.rows_per_job.min(m).max(1), n.max(1));
        while m.div_ceil(rows(high)) * n.div_ceil(cols(wide)) < wanted {
            if wide > self.cols_in_l2 && (wide > 4 * high || high <= self.tile_rows) {
                wide /= 2;
            } else if high > self.tile_rows {
                high /= 2;
            } else {
                break;
            }
        }
        (rows(high), cols(wide))
    }
}

/// Cuts `len` into pieces of at most `most`, nearly equal and (but for the last) multiples of `unit`.
pub(crate) fn even_piece(len: usize, most: usize, unit: usize) -> usize {
    let pieces = len.div_ceil(most).max(1);
    len.div_ceil(pieces).next_multiple_of(unit).max(unit)
}
