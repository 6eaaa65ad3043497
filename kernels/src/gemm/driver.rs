//! The loops around the register tile: packing and jobs, in parallel when there is enough to do.

use super::blocking::{Blocking, even_piece};
use super::epilogue::Epilogue;
use super::microkernel::{Packed, Rows, Seed, Spot, tile};
use super::pack::{Block, pack};
use super::packed::PackedB;
use crate::scratch::Scratch;
use crate::simd::{Isa, Lanes, Task};
use crate::{Float, MatMut, MatRef, Storage, parallel};
use std::ops::Range;

/// Multiply-adds below which a product stays on the calling thread: about 40 microseconds of work at 50 G/s, a few
/// times what waking a worker costs.
pub(super) const SERIAL_BELOW: usize = 2_000_000;

/// One side of a product as k x lines: A transposed, or B as it is.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a, S, T> {
    /// k x lines.
    pub(crate) view: MatRef<'a, S>,
    /// What is done to each element while it is packed.
    pub(crate) change: Change<'a, T>,
}

/// What packing does to the element x at (k, line).
#[derive(Clone, Copy)]
pub(crate) enum Change<'a, T> {
    /// scale x.
    Scale(T),
    /// weight_k (x - shift_line); as many weights as rows and shifts as columns of the view.
    Centre {
        /// One per k.
        weights: &'a [T],
        /// One per line.
        shift: &'a [T],
    },
}

/// Which elements of C are wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All.
    All,
    /// Row <= column; others are left as they were or get partial sums.
    Upper,
}

/// The right side of a product.
#[derive(Clone, Copy)]
pub(crate) enum Right<'a, S, T> {
    /// To be packed, block by block.
    Operand(&'a Operand<'a, S, T>),
    /// Packed already.
    Packed(&'a PackedB<T>),
}

/// A block of the right side that has just been packed.
pub(crate) struct PackedBlock<'a, T> {
    /// Panels of `width` columns, one after the other, that hold `steps` steps of k each.
    pub(crate) panels: &'a [T],
    pub(crate) width: usize,
    pub(crate) columns: Range<usize>,
    pub(crate) steps: Range<usize>,
    /// The set of instructions whose panels they are.
    pub(crate) isa: Isa,
}

/// C = epilogue(left^T right + beta C), with left k x m and right k x n, k at least 1. Shapes were checked by the caller.
pub(crate) fn product<A: Storage, B: Storage, T: Float>(
    left: &Operand<'_, A, T>,
    right: Right<'_, B, T>,
    beta: T,
    c: &mut MatMut<'_, T>,
    part: Part,
    epilogue: &Epilogue<'_, T>,
) {
    blocks(left, right, None, beta, c, part, epilogue, |_| {});
}

/// The upper triangle of C = sum over k of weight_k (x_k - shift) (x_k - shift)^T, with x k x n, k at least 1. Shapes were checked by the
/// caller; `see` is shown x - shift block by block.
pub(crate) fn square<S: Storage, T: Float>(
    x: MatRef<'_, S>,
    weights: Option<&[T]>,
    shift: &[T],
    c: &mut MatMut<'_, T>,
    see: impl FnMut(&PackedBlock<'_, T>),
) {
    let ones = vec![T::ONE; x.rows()];
    let side = |weights| Operand { view: x, change: Change::Centre { weights, shift } };
    let (left, right) = (side(weights.unwrap_or(&ones)), side(&ones));
    let twin = Some(Twin { weights });
    blocks(&left, Right::Operand(&right), twin, T::ZERO, c, Part::Upper, &Epilogue::NONE, see);
}

/// That the left side is the right one, but for weights.
#[derive(Clone, Copy)]
struct Twin<'a, T> {
    weights: Option<&'a [T]>,
}

#[allow(clippy::too_many_arguments, reason = "the arguments of its two callers")]
fn blocks<A: Storage, B: Storage, T: Float>(
    left: &Operand<'_, A, T>,
    right: Right<'_, B, T>,
    twin: Option<Twin<'_, T>>,
    beta: T,
    c: &mut MatMut<'_, T>,
    part: Part,
    epilogue: &Epilogue<'_, T>,
    mut see: impl FnMut(&PackedBlock<'_, T>),
) {
    let (m, n, k) = (c.rows(), c.cols(), left.view.rows());
    let (right_k, right_n) = match right {
        Right::Operand(operand) => (operand.view.rows(), operand.view.cols()),
        Right::Packed(packed) => (packed.rows(), packed.cols()),
    };
    assert!(right_k == k && left.view.cols() == m && right_n == n);
    if m == 0 || n == 0 {
        return;
    }
    // Asked once: panels packed for one set must not meet the tile of another.
    let (isa, blocking) = match right {
        Right::Operand(_) => {
            let isa = Isa::current();
            (isa, T::dispatch_on(isa, BlockingOf))
        }
        Right::Packed(packed) => (packed.isa, packed.blocking),
    };
    let serial = m.saturating_mul(n).saturating_mul(k) < SERIAL_BELOW;
    let cols_per_block = even_piece(n, blocking.cols_per_block, blocking.tile_cols);
    let threads = if serial { 1 } else { parallel::threads() };
    let depth = even_piece(k, blocking.depth, 1);
    let mut scratch = match right {
        Right::Operand(_) => Some(Scratch::new::<T>(cols_per_block * depth)),
        Right::Packed(_) => None,
    };
    let out = Output { ptr: c.as_mut_ptr(), rs: c.row_stride(), cs: c.col_stride() };

    for col in (0..n).step_by(cols_per_block) {
        let cols = cols_per_block.min(n - col);
        let (rows_per_job, cols_per_job) = blocking.job(m, cols, threads);
        let jobs_down = m.div_ceil(rows_per_job);
        for from in (0..k).step_by(depth) {
            let depth = depth.min(k - from);
            let seed = Seed::of(from, beta);
            let packed_b: &[T] = match (right, &mut scratch) {
                (Right::Packed(packed), _) => packed.block((col, cols), (from, depth)),
                (Right::Operand(operand), Some(scratch)) => {
                    let panels = scratch.as_mut_slice();
                    pack_right(serial, isa, operand, (col, cols), (from, depth), blocking.tile_cols, panels);
                    panels
                }
                (Right::Operand(_), None) => unreachable!("there is room for an operand"),
            };
            let columns = col..col + cols;
            let width = blocking.tile_cols;
            see(&PackedBlock {
                panels: packed_b,
                width,
                columns: columns.clone(),
                steps: from..from + depth,
                isa,
            });
            let twin = twin.map(|Twin { weights }| Source {
                panels: &packed_b[..cols.next_multiple_of(width) * depth],
                columns,
                weights: weights.map(|weights| &weights[from..from + depth]),
            });
            let jobs = jobs_down * cols.div_ceil(cols_per_job);
            let epilogue = (from + depth == k).then_some(epilogue).filter(|epilogue| !epilogue.is_none());
            let run = |job: usize| {
                let (row, start) = (job % jobs_down * rows_per_job, job / jobs_down * cols_per_job);
                T::dispatch_on(
                    isa,
                    Job {
                        left,
                        twin: twin.as_ref(),
                        packed_b: &packed_b[start * depth..],
                        from,
                        depth,
                        rows: row..(row + rows_per_job).min(m),
                        cols: col + start..col + (start + cols_per_job).min(cols),
                        out,
                        seed,
                        part,
                        epilogue,
                    },
                );
            };
            if serial { (0..jobs).for_each(run) } else { parallel::for_each(jobs, run) }
        }
    }
}

pub(super) struct BlockingOf;
impl<T: Float> Task<T> for BlockingOf {
    type Output = Blocking;
    #[inline(always)]
    fn run<S: Lanes<T>>(self, _: S) -> Blocking {
        Blocking::of::<T, S>()
    }
}

/// Packs `count` columns of B from `first` on, in pieces of whole panels.
pub(super) fn pack_right<S: Storage, T: Float>(
    serial: bool,
    isa: Isa,
    operand: &Operand<'_, S, T>,
    (first, count): (usize, usize),
    (from, depth): (usize, usize),
    width: usize,
    packed: &mut [T],
) {
    /// Columns of a piece: 96 x 512 elements take some 20 to 40 microseconds.
    const COLUMNS: usize = 96;
    let lines = COLUMNS.next_multiple_of(width);
    let packed = &mut packed[..count.next_multiple_of(width) * depth];
    let piece = |i: usize, out: &mut [T]| {
        let start = i * lines;
        let block = Block { first: first + start, count: lines.min(count - start), from, depth };
        T::dispatch_on(isa, PackRight::<S, T> { operand, block, out });
    };
    if serial {
        packed.chunks_mut(lines * depth).enumerate().for_each(|(i, out)| piece(i, out));
    } else {
        parallel::for_each_chunk_mut(packed, lines * depth, piece);
    }
}

pub(super) struct PackRight<'a, 'b, S, T> {
    pub(super) operand: &'a Operand<'b, S, T>,
    pub(super) block: Block,
    pub(super) out: &'a mut [T],
}

impl<S: Storage, T: Float> Task<T> for PackRight<'_, '_, S, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Lanes<T>>(self, simd: L) {
        let Self { operand, block, out } = self;
        match L::LANES {
            2 => pack::<S, T, L, 4>(simd, operand, block, out),
            4 => pack::<S, T, L, 8>(simd, operand, block, out),
            8 => pack::<S, T, L, 16>(simd, operand, block, out),
            16 => pack::<S, T, L, 32>(simd, operand, block, out),
            _ => unreachable!("a set whose lanes are not listed here"),
        }
    }
}

/// Where C is. Jobs write disjoint tiles of it.
#[derive(Clone, Copy)]
pub(crate) struct Output<T> {
    pub(crate) ptr: *mut T,
    pub(crate) rs: isize,
    pub(crate) cs: isize,
}
// SAFETY: the pointer comes from a MatMut that outlives all jobs, and no two jobs touch the same element.
unsafe impl<T: Send> Send for Output<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Output<T> {}

/// Packed columns of the right side, of which the same rows of the left one are made: they are in cache, one after the other and changed
/// already. Taken from A, which they follow row after row, they took 2 % more of the time of 10,000 x 1,000 in f64 (AVX-512, Zen 4).
struct Source<'a, T> {
    panels: &'a [T],
    columns: Range<usize>,
    /// One for each step.
    weights: Option<&'a [T]>,
}

impl<T: Float> Source<'_, T> {
    /// A panel of `MR` rows from `first` on, of which the first is a column here; of panels of `width` columns, in groups of `G`, which divides
    /// both. Rows beyond the columns are zeros.
    #[inline(always)]
    fn pack<const MR: usize, const G: usize>(&self, first: usize, width: usize, to: &mut [T]) {
        assert!(MR.is_multiple_of(G) && width.is_multiple_of(G) && self.columns.start.is_multiple_of(width));
        let depth = to.len() / MR;
        for start in (0..MR).step_by(G) {
            let column = first + start - self.columns.start;
            let sides = to.chunks_exact_mut(MR).map(|side| &mut side[start..start + G]);
            let Some(panel) = self.panels.chunks_exact(width * depth).nth(column / width) else {
                sides.for_each(|side| side.fill(T::ZERO));
                continue;
            };
            let from = panel.chunks_exact(width).map(|side| &side[column % width..][..G]);
            match self.weights {
                None => sides.zip(from).for_each(|(to, from)| to.copy_from_slice(from)),
                Some(weights) => {
                    for ((to, from), weight) in sides.zip(from).zip(weights) {
                        to.iter_mut().zip(from).for_each(|(to, from)| *to = *weight * *from);
                    }
                }
            }
        }
    }
}

/// A rectangle of C, from the operand A and packed panels of B.
struct Job<'a, 'b, S, T> {
    left: &'a Operand<'b, S, T>,
    twin: Option<&'a Source<'a, T>>,
    packed_b: &'a [T],
    from: usize,
    depth: usize,
    rows: Range<usize>,
    cols: Range<usize>,
    out: Output<T>,
    seed: Seed<T>,
    part: Part,
    /// What is left to do to C, after its last steps of k.
    epilogue: Option<&'a Epilogue<'b, T>>,
}

impl<S: Storage, T: Float> Task<T> for Job<'_, '_, S, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Lanes<T>>(self, simd: L) {
        match L::TILE_ROWS {
            4 => self.tiles::<L, 4, 3, 2>(simd),
            6 => self.tiles::<L, 6, 4, 2>(simd),
            8 => self.tiles::<L, 8, 6, 3>(simd),
            12 => self.tiles::<L, 12, 8, 4>(simd),
            _ => unreachable!("a set whose tile height is not listed here"),
        }
    }
}

/// Elements of the largest register tile (12 x 32, AVX-512 f32).
const LARGEST_TILE: usize = 12 * 32;

impl<S: Storage, T: Float> Job<'_, '_, S, T> {
    /// Along the rows of C: a panel of A stays in L1, and the lines of C that the tiles of a panel touch lie side by
    /// side. Down the columns gave 80 instead of 88 % of the peak at 2048 cubed (AVX-512, Zen 5) and 1 to 4 % less with
    /// AVX2: rows of C are often a power of two of bytes apart, and then evict each other.
    ///
    /// A panel of A is packed just before its first use, into this thread's own memory: packing all of A beforehand,
    /// for all threads, sent it to L3 and back and cost 3 % at 2048 cubed.
    ///
    /// The last rows are computed by tiles of `MORE` or `FEW` rows where that is enough, the last columns by one vector
    /// where that is: 512, 777 and 1000 cubed gained 2 %, 1024 cubed 1 % (f32; f64 1, 1, 2, 1 %; AVX-512, Zen 5).
    #[inline(always)]
    fn tiles<L: Lanes<T>, const MR: usize, const MORE: usize, const FEW: usize>(&self, simd: L) {
        if self.part == Part::Upper && self.cols.end <= self.rows.start {
            return;
        }
        let (nr, depth, from) = (2 * L::LANES, self.depth, self.from);
        let group = Blocking::of::<T, L>().cols_in_l2;
        // Panels are told apart by their place alone.
        debug_assert!(group.is_multiple_of(nr) && self.rows.start.is_multiple_of(MR));
        let mut scratch = Scratch::new::<T>(self.rows.len().next_multiple_of(MR) * depth);
        let packed_a = scratch.as_mut_slice::<T>();
        for (start, packed_b) in self.cols.clone().step_by(group).zip(self.packed_b.chunks(group * depth)) {
            let end = self.cols.end.min(start + group);
            for (row, a) in self.rows.clone().step_by(MR).zip(packed_a.chunks_exact_mut(MR * depth)) {
                let height = MR.min(self.rows.end - row);
                if start == self.cols.start {
                    match self.twin.filter(|twin| twin.columns.contains(&row)) {
                        Some(twin) if MR.is_multiple_of(4) => twin.pack::<MR, 4>(row, nr, a),
                        Some(twin) => twin.pack::<MR, 2>(row, nr, a),
                        None => {
                            let block = Block { first: row, count: height, from, depth };
                            pack::<S, T, L, MR>(simd, self.left, block, a);
                        }
                    }
                }
                for (col, b) in (start..end).step_by(nr).zip(packed_b.chunks_exact(nr * depth)) {
                    let width = nr.min(end - col);
                    if self.part == Part::Upper && col + width <= row {
                        continue;
                    }
                    let c = self.at(row, col);
                    if height == MR && width == nr && self.out.cs == 1 {
                        let next =
                            if col + nr < end { self.at(row, col + nr) } else { self.at(row + MR, start) };
                        let spot = Spot { c, row_stride: self.out.rs, cols: nr, next };
                        // SAFETY: a and b hold depth steps; rows row..row + MR and columns col..col + nr lie inside C,
                        // whose elements this job alone writes.
                        unsafe {
                            tile::<T, L, _, _, MR, 2, true>(
                                simd,
                                depth,
                                Packed::<T, MR>(a.as_ptr()),
                                Rows { at: b.as_ptr(), apart: nr as isize },
                                spot,
                                self.seed,
                            )
                        };
                    } else {
                        let edge = match width <= L::LANES {
                            true if height <= FEW => Self::edge::<L, MR, FEW, 1>,
                            true if height <= MORE => Self::edge::<L, MR, MORE, 1>,
                            true => Self::edge::<L, MR, MR, 1>,
                            false if height <= FEW => Self::edge::<L, MR, FEW, 2>,
                            false if height <= MORE => Self::edge::<L, MR, MORE, 2>,
                            false => Self::edge::<L, MR, MR, 2>,
                        };
                        edge(self, simd, a, b, c, height, width);
                    }
                }
                if let Some(epilogue) = self.epilogue {
                    epilogue.finish(simd, &self.out, row..row + height, start..end);
                }
            }
        }
    }

    /// Where the element of C is, or would be.
    fn at(&self, row: usize, col: usize) -> *mut T {
        self.out.ptr.wrapping_offset(row as isize * self.out.rs + col as isize * self.out.cs)
    }

    /// A tile that reaches past C, or a C whose rows are not contiguous: computed in a buffer by the same operations.
    #[inline(never)]
    fn edge<L: Lanes<T>, const MR: usize, const ROWS: usize, const NV: usize>(
        &self,
        simd: L,
        a: &[T],
        b: &[T],
        c: *mut T,
        height: usize,
        width: usize,
    ) {
        let nr = NV * L::LANES;
        let mut buffer = [T::ZERO; LARGEST_TILE];
        let at = |i: usize, j: usize| c.wrapping_offset(i as isize * self.out.rs + j as isize * self.out.cs);
        if !matches!(self.seed, Seed::Zero) {
            for i in 0..height {
                for j in 0..width {
                    // SAFETY: i < height and j < width keep inside C.
                    buffer[i * nr + j] = unsafe { *at(i, j) };
                }
            }
        }
        let out = buffer.as_mut_ptr();
        let spot = Spot { c: out, row_stride: nr as isize, cols: nr, next: out };
        simd.vectorize(
            #[inline(always)]
            || {
                // SAFETY: a and b hold depth steps; the buffer holds ROWS rows of nr elements.
                unsafe {
                    tile::<T, L, _, _, ROWS, NV, true>(
                        simd,
                        self.depth,
                        Packed::<T, MR>(a.as_ptr()),
                        Rows { at: b.as_ptr(), apart: 2 * L::LANES as isize },
                        spot,
                        self.seed,
                    )
                };
            },
        );
        for i in 0..height {
            for j in 0..width {
                // SAFETY: i < height and j < width keep inside C.
                unsafe { *at(i, j) = buffer[i * nr + j] };
            }
        }
    }
}
