//! The loops around the register tile of bytes: B packed once, A by each job, tiles finished where their sums end.

use super::Scales;
use super::dot::{Dot, DotTask, I8Kernel};
use super::pack::pack;
use super::tile::{add_row_sums, column_sums, tile};
use crate::gemm::{Blocking, Output, even_piece};
use crate::scratch::Scratch;
use crate::{MatRef, parallel};
use std::ops::Range;

/// Multiply-adds below which a product stays on the calling thread: some 30 to 100 microseconds of work.
const SERIAL_BELOW: usize = 8_000_000;

/// Columns of the widest panel of B.
const WIDEST: usize = 32;

/// B in panels for one way of multiplying, with the sums of its columns.
pub(super) struct Panels {
    pub(super) kernel: I8Kernel,
    pub(super) k: usize,
    pub(super) n: usize,
    /// Panels of two vectors of columns over all of k, in the element type of the kernel.
    elements: Scratch,
    /// One for each column, zeros up to a whole panel.
    sums: Vec<i32>,
}

impl Panels {
    /// Packs `b`, k x n, to be kept or (`lasting` false) for one product, in memory that later ones use again.
    pub(super) fn new(kernel: I8Kernel, b: MatRef<'_, i8>, lasting: bool) -> Self {
        kernel.dispatch(PackAll { kernel, b, lasting })
    }
}

struct PackAll<'a> {
    kernel: I8Kernel,
    b: MatRef<'a, i8>,
    lasting: bool,
}

impl DotTask for PackAll<'_> {
    type Output = Panels;
    #[inline(always)]
    fn run<D: Dot>(self, simd: D) -> Panels {
        /// Bytes of B that are packed by one piece of work: 10 to 20 microseconds.
        const PIECE: usize = 128 << 10;
        let Self { kernel, b, lasting } = self;
        let (k, n, width) = (b.rows(), b.cols(), 2 * D::LANES);
        let panel = width * k.next_multiple_of(D::GROUP);
        let len = n.div_ceil(width) * panel;
        let mut elements = if lasting { Scratch::to_keep::<D::B>(len) } else { Scratch::new::<D::B>(len) };
        let mut sums = vec![0; n.next_multiple_of(width)];
        if len > 0 {
            let panels = (PIECE / panel).max(1);
            let pieces = elements.as_mut_slice::<D::B>()[..len].chunks_mut(panels * panel);
            let mut pieces: Vec<_> = pieces.zip(sums.chunks_mut(panels * width)).collect();
            parallel::for_each_chunk_mut(&mut pieces, 1, |i, piece| {
                simd.vectorize(
                    #[inline(always)]
                    || {
                        for (elements, sums) in piece {
                            let first = i * panels * width;
                            let lines = (first, sums.len().min(n - first));
                            pack(b, lines, (0, k), (width, D::GROUP), elements);
                            for (panel, sums) in
                                elements.chunks_exact(panel).zip(sums.chunks_exact_mut(width))
                            {
                                column_sums(simd, panel, sums);
                            }
                        }
                    },
                );
            });
        }
        Panels { kernel, k, n, elements, sums }
    }
}

/// Where sums go and what becomes of them. Jobs write disjoint tiles.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    /// The integers.
    Integers(Output<i32>),
    /// f32(integer) (scale times the column's scale).
    Scaled(Output<f32>, f32, Scales<'a>),
}

/// C = (A - zero_a) (B - zero_b), k at least 1 and not too long for 32 bits. Shapes were checked by the caller.
pub(super) struct Product<'a> {
    pub(super) a: MatRef<'a, u8>,
    pub(super) zero_a: u8,
    pub(super) b: &'a Panels,
    pub(super) zero_b: i8,
    pub(super) out: Target<'a>,
}

impl DotTask for Product<'_> {
    type Output = ();
    #[inline(always)]
    fn run<D: Dot>(self, simd: D) {
        let (m, n, k) = (self.a.rows(), self.b.n, self.b.k);
        assert!(self.a.cols() == k && k > 0);
        if m == 0 || n == 0 {
            return;
        }
        let blocking = blocking::<D>();
        let threads =
            if m.saturating_mul(n).saturating_mul(k) < SERIAL_BELOW { 1 } else { parallel::threads() };
        let (rows, cols) = blocking.job(m, n, threads);
        let down = m.div_ceil(rows);
        let job = |i: usize| {
            let (row, col) = (i % down * rows, i / down * cols);
            simd.vectorize(
                #[inline(always)]
                || self.job(simd, &blocking, row..(row + rows).min(m), col..(col + cols).min(n)),
            );
        };
        let jobs = down * n.div_ceil(cols);
        if threads == 1 { (0..jobs).for_each(job) } else { parallel::for_each(jobs, job) }
    }
}

/// As for f32 (see [`Blocking`]), with steps of one or two bytes.
fn blocking<D: Dot>() -> Blocking {
    let line_bytes = if size_of::<D::Columns>() == 64 { 3 << 10 } else { 2 << 10 };
    Blocking {
        tile_rows: D::TILE_ROWS,
        tile_cols: 2 * D::LANES,
        depth: line_bytes / size_of::<D::A>(),
        rows_per_job: 64,
        cols_in_l2: 128,
        cols_per_block: usize::MAX,
    }
}

impl Product<'_> {
    /// A rectangle of C: panels of A along the rows of C, so that each stays in L1 while B passes.
    #[inline(always)]
    fn job<D: Dot>(&self, simd: D, blocking: &Blocking, rows: Range<usize>, cols: Range<usize>) {
        let (high, wide, k) = (D::TILE_ROWS, 2 * D::LANES, self.b.k);
        let depth = even_piece(k, blocking.depth, D::GROUP);
        let (down, across) = (rows.len().div_ceil(high), cols.len().div_ceil(wide));
        let panel = wide * k.next_multiple_of(D::GROUP);
        let panels_b = self.b.elements.as_slice::<D::B>();
        let mut packed_a = Scratch::new::<D::A>(down * high * depth);
        let packed_a = packed_a.as_mut_slice::<D::A>();
        // One tile after another where k is a single block, else all of them between one block and the next.
        let tiles = if depth < k { down * across } else { 1 };
        let mut sums = Scratch::new::<i32>(tiles * high * wide);
        let sums = sums.as_mut_slice::<i32>();
        let mut row_sums = vec![0; down * high];
        for from in (0..k).step_by(depth) {
            let steps = depth.min(k - from);
            let groups = steps.div_ceil(D::GROUP);
            for start in cols.clone().step_by(blocking.cols_in_l2) {
                let end = cols.end.min(start + blocking.cols_in_l2);
                for (p, row) in rows.clone().step_by(high).enumerate() {
                    let height = high.min(rows.end - row);
                    let a = &mut packed_a[p * high * depth..][..high * groups * D::GROUP];
                    let row_sums = &mut row_sums[p * high..][..high];
                    if start == cols.start {
                        pack(self.a.transpose(), (row, height), (from, steps), (high, D::GROUP), a);
                        if self.zero_b != 0 {
                            add_row_sums(simd, a, row_sums);
                        }
                    }
                    for col in (start..end).step_by(wide) {
                        let place = if tiles == 1 { 0 } else { p * across + (col - cols.start) / wide };
                        let sums = &mut sums[place * high * wide..][..high * wide];
                        let b = &panels_b[col / wide * panel + from * wide..][..groups * D::GROUP * wide];
                        if from + steps == k {
                            self.ask(simd, (row, height), col);
                        }
                        tile_of(simd, height, groups, (a, b), sums, from > 0);
                        if from + steps == k {
                            if end - col >= wide {
                                self.finish(sums, wide, (row, height), (col, wide), row_sums);
                            } else {
                                self.finish(sums, wide, (row, height), (col, end - col), row_sums);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Prefetches a tile of C, which is written when its sums are there.
    #[inline(always)]
    fn ask<D: Dot>(&self, simd: D, (row, height): (usize, usize), col: usize) {
        let (start, rs, cs) = match self.out {
            Target::Integers(Output { ptr, rs, cs }) => (ptr.cast::<u8>(), rs, cs),
            Target::Scaled(Output { ptr, rs, cs }, ..) => (ptr.cast(), rs, cs),
        };
        for i in 0..height {
            for j in [0, D::LANES, 2 * D::LANES - 1] {
                simd.prefetch(start.wrapping_offset(4 * ((row + i) as isize * rs + (col + j) as isize * cs)));
            }
        }
    }

    /// Takes the zero points into account and writes the sums of a tile: sum over k of (a - zero_a) (b - zero_b) is that
    /// of a b, less zero_a times the sum of the column of B, less zero_b times the sum of the row of A, plus k zero_a
    /// zero_b. All modulo 2^32; the result itself fits, as was checked.
    #[inline(always)]
    fn finish(
        &self,
        sums: &mut [i32],
        wide: usize,
        (row, height): (usize, usize),
        (col, width): (usize, usize),
        row_sums: &[i32],
    ) {
        let (zero_a, zero_b) = (i32::from(self.zero_a), i32::from(self.zero_b));
        let mut terms = [0i32; WIDEST];
        for (term, sum) in terms.iter_mut().zip(&self.b.sums[col..col + width]) {
            *term = sum.wrapping_mul(-zero_a);
        }
        let mut scales = [0f32; WIDEST];
        if let Target::Scaled(_, scale, columns) = self.out {
            match columns {
                Scales::Same(column) => scales.fill(scale * column),
                Scales::Columns(columns) => {
                    for (to, column) in scales.iter_mut().zip(&columns[col..col + width]) {
                        *to = scale * column;
                    }
                }
            }
        }
        for i in 0..height {
            let term = zero_b.wrapping_mul((self.b.k as i32).wrapping_mul(zero_a).wrapping_sub(row_sums[i]));
            let sums = &mut sums[i * wide..][..width];
            for (sum, column) in sums.iter_mut().zip(&terms) {
                *sum = sum.wrapping_add(*column).wrapping_add(term);
            }
            // SAFETY: the tile lies inside C, and this job alone writes it.
            unsafe {
                match self.out {
                    Target::Integers(out) => write(out, row + i, col, sums),
                    Target::Scaled(out, ..) => {
                        let mut scaled = [0f32; WIDEST];
                        for ((to, sum), scale) in scaled.iter_mut().zip(&*sums).zip(&scales) {
                            *to = *sum as f32 * scale;
                        }
                        write(out, row + i, col, &scaled[..width]);
                    }
                }
            }
        }
    }
}

/// Writes elements of a row.
///
/// # Safety
/// They must lie inside the matrix at `out`, and nobody else may use them.
#[inline(always)]
unsafe fn write<T: Copy>(out: Output<T>, row: usize, col: usize, values: &[T]) {
    let to = out.ptr.wrapping_offset(row as isize * out.rs + col as isize * out.cs);
    if out.cs == 1 {
        // SAFETY: promised by the caller; the values are a buffer of ours.
        unsafe { to.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
    } else {
        for (j, &x) in values.iter().enumerate() {
            // SAFETY: as above.
            unsafe { *to.wrapping_offset(j as isize * out.cs) = x };
        }
    }
}

/// The tile of the smallest height that holds `height` rows.
#[inline(always)]
fn tile_of<D: Dot>(
    simd: D,
    height: usize,
    groups: usize,
    (a, b): (&[D::A], &[D::B]),
    sums: &mut [i32],
    more: bool,
) {
    assert!(height <= D::TILE_ROWS);
    assert!(a.len() == groups * D::GROUP * D::TILE_ROWS && b.len() == groups * D::GROUP * 2 * D::LANES);
    let (a, b) = (a.as_ptr(), b.as_ptr());
    // SAFETY: both panels hold `groups` groups.
    unsafe {
        match height {
            0..=1 => tile::<D, 1>(simd, groups, a, b, sums, more),
            2 => tile::<D, 2>(simd, groups, a, b, sums, more),
            3..=4 => tile::<D, 4>(simd, groups, a, b, sums, more),
            5..=6 => tile::<D, 6>(simd, groups, a, b, sums, more),
            7..=8 => tile::<D, 8>(simd, groups, a, b, sums, more),
            _ => tile::<D, 12>(simd, groups, a, b, sums, more),
        }
    }
}
