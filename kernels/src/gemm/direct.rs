//! Products that read A and B where they are: where packing would cost more than it saves.
//!
//! Packing copies every element of both operands once, which pays when each is then used in many tiles. With few rows of
//! C the elements of B are used in few; and where B is small it is in L1 or L2 anyway: 64 cubed went from 66 to 93 % of
//! the peak, 256 cubed from 87 to 96 %, 4096 x 64 x 64 from 79 to 95 % (f32, AVX-512, Zen 5).
//!
//! Tiles have as many vectors as their rows leave registers for: 2 x 8, 4 x 6, 6 x 4, 9 x 3, 12 x 2 (rows x vectors,
//! AVX-512). B is then read in long pieces, which decides the speed with few rows: 2 x 1024 x 1024 went from 47 to 90
//! G/s, 4 x from 97 to 150, 16 x from 212 to 240 (f32). And three vectors of nine rows serve an odd number of vectors
//! better than a pair and one: 48 cubed from 82 to 100 % of the best peer, 255 cubed from 82 to 100 %.
//!
//! Tried and not kept: all of k for one strip of columns after another reads B in pieces a power of two apart, which share
//! few sets of L2 (one vector wide 19 GB/s, eight 63, whole rows 117, 1024 x 1024 in L3); a prefetch in every step
//! cost 20 % where B is cached; and 16 rows of A at a time, often a power of two apart too, do not fit the 12 ways of L1.
//!
//! The sums are those of the packed product: one chain for each element of C, over ascending k, through C itself.

use super::blocking::even_piece;
use super::driver::{BlockingOf, Output, SERIAL_BELOW};
use super::epilogue::Epilogue;
use super::microkernel::{Columns, InPlace, Panels, Rows, Seed, Spot, Steps, tile};
use super::packed::PackedB;
use crate::simd::{Isa, Lanes, Task};
use crate::{Float, MatMut, MatRef, TensorRef, parallel};
use std::ops::Range;

/// Bytes of B that stay in a cache while all rows of A pass: most of an L2 of 1 MiB. With 400 KiB 4096 x 64 x 1024 (f64)
/// was packed and reached 73 instead of 92 % of the peak, 256 cubed 89 instead of 98.
const CACHED: usize = 800 << 10;

/// Rows of C up to which B is not packed, however large: at 128 x 1024 x 1024 packing gave 87 instead of 91 % of the
/// peak (f32; f64 81 and 86).
pub(super) const FEW_ROWS: usize = 128;

/// Steps of k that all columns take before the next ones, where B is not cached: so many rows of B are read side by
/// side from end to end, as hardware prefetchers like it. C comes and goes with each. 64 x 1024 x 1024 with 32, 64, 96
/// and 128 steps: 73, 86, 89 and 90 % of the peak (f32).
const STEPS: usize = 128;

/// Bytes of these rows of B, where that leaves at least half of the steps. Not all of L2: that gains 6 % where B comes from
/// L3, and costs 25 to 40 % where it comes from memory (4, 8, 16 x 1024 x 1024 in f64 140, 254, 465 instead of 100, 191,
/// 290 us).
const HALF_OF_L2: usize = 512 << 10;

/// Steps of k up to which a product is bound by writing C. Tiles half as high and twice as wide then touch fewer rows of it at
/// a time: 2048 x 2048 x 1, 4, 16, 32 (f32) from 23, 81, 182, 203 to 42, 114, 194, 220 G/s.
const SHALLOW: usize = 64;

/// Bytes of C up to which that holds: past L3 more rows at a time are faster, 2048 x 2048 x 4 in f64 37 instead of 28 G/s.
const L3: usize = 24 << 20;

/// Bytes of a row of C that a job writes where writing C is the work: two threads took 530 us for whole rows of
/// 2048 x 2048 x 4 in f64 and 450 for pages of them (f32 121 and 107).
const PAGE: usize = 4096;

/// Whether a product with alpha = 1 is to be computed here (an operand is multiplied by alpha where it is packed). B and C
/// must have contiguous rows.
pub(super) fn suits<T: Float>(a: &MatRef<'_, T>, b: &MatRef<'_, T>, c: &MatMut<'_, T>) -> bool {
    let possible = b.col_stride() == 1 && c.col_stride() == 1;
    possible && (a.rows() <= FEW_ROWS || b.rows() * b.cols() * size_of::<T>() <= CACHED)
}

/// Dimensions up to which [`small`] takes a product.
const SMALL: usize = 32;

/// Whether what precedes the arithmetic of a product with alpha = 1 takes a good part of its time, and it suits tiles.
#[inline]
pub(super) fn is_small<T: Float>(a: &MatRef<'_, T>, b: &MatRef<'_, T>, c: &MatMut<'_, T>) -> bool {
    let (m, n, k) = (c.rows(), c.cols(), a.cols());
    m <= SMALL && n <= SMALL && k <= SMALL && n > 1 && k > 0 && b.col_stride() == 1 && c.col_stride() == 1
}

/// C = A B + beta C where that [`is_small`]. Shapes were checked by the caller.
#[inline]
pub(super) fn small<T: Float>(a: &MatRef<'_, T>, b: &MatRef<'_, T>, beta: T, c: &mut MatMut<'_, T>) {
    assert!(b.col_stride() == 1 && c.col_stride() == 1);
    let out = Output { ptr: c.as_mut_ptr(), rs: c.row_stride(), cs: 1 };
    T::dispatch(&Job {
        a,
        b,
        beta,
        out: &out,
        rows: 0..c.rows(),
        cols: 0..c.cols(),
        epilogue: &Epilogue::NONE,
    });
}

/// Whether a product of this shape takes so little time that choosing its tiles counts, and is a [`Rectangles`].
pub(super) fn is_planned<T: Float>(m: usize, n: usize, k: usize) -> bool {
    let small = m.saturating_mul(n).saturating_mul(k) < SERIAL_BELOW;
    small && k > 0 && n > 1 && k * n * size_of::<T>() <= CACHED
}

/// C_i = A_i B_i + beta C_i for small products one after another on this thread, inside the function of the set: 16 cubed takes
/// a third less than as so many calls. Each C_i begins `stride` after the last one in `c`, and is row-major as A_i and B_i are.
pub(crate) struct Series<'a, T> {
    pub(crate) a: TensorRef<'a, T>,
    pub(crate) b: TensorRef<'a, T>,
    pub(crate) beta: T,
    pub(crate) items: Range<usize>,
    pub(crate) c: &'a mut [T],
    pub(crate) stride: usize,
}

impl<T: Float> Task<T> for Series<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) {
        let Self { a, b, beta, items, c, stride } = self;
        let (m, n) = (a.rows(), b.cols());
        assert!(a.cols() == b.rows());
        for (item, c) in items.zip(c.chunks_mut(stride)) {
            let c = &mut c[..m * n];
            let out = Output { ptr: c.as_mut_ptr(), rs: n as isize, cs: 1 };
            let (a, b) = (&a.item(item), &b.item(item));
            let job = Job { a, b, beta, out: &out, rows: 0..m, cols: 0..n, epilogue: &Epilogue::NONE };
            (&job).run(simd);
        }
    }
}

/// C = epilogue(A B + beta C), k at least 1. Shapes were checked by the caller.
pub(super) fn product<T: Float>(
    a: &MatRef<'_, T>,
    b: &MatRef<'_, T>,
    beta: T,
    c: &mut MatMut<'_, T>,
    epilogue: &Epilogue<'_, T>,
) {
    assert!(b.col_stride() == 1 && c.col_stride() == 1);
    assert!(a.rows() == c.rows() && b.cols() == c.cols() && b.rows() == a.cols());
    let cols = 0..c.cols();
    columns(Isa::current(), a, b, beta, c, cols, epilogue);
}

/// The same for a B that is packed: few rows of A need not be.
pub(super) fn packed_product<T: Float>(
    a: &MatRef<'_, T>,
    packed: &PackedB<T>,
    beta: T,
    c: &mut MatMut<'_, T>,
    epilogue: &Epilogue<'_, T>,
) {
    let n = c.cols();
    assert!(c.col_stride() == 1);
    assert!(a.rows() == c.rows() && packed.cols() == n && packed.rows() == a.cols());
    let wide = packed.cols_per_block();
    for first in (0..n).step_by(wide) {
        let block = PackedBlock { packed, first, count: wide.min(n - first) };
        columns(packed.isa, a, &block, beta, c, first..first + block.count, epilogue);
    }
}

/// Some columns of C, in parallel where there is enough to do.
#[inline(always)]
fn columns<T: Float, B: Right<T>>(
    isa: Isa,
    a: &MatRef<'_, T>,
    b: &B,
    beta: T,
    c: &mut MatMut<'_, T>,
    cols: Range<usize>,
    epilogue: &Epilogue<'_, T>,
) {
    let (m, n, k) = (c.rows(), cols.len(), a.cols());
    let out = Output { ptr: c.as_mut_ptr(), rs: c.row_stride(), cs: 1 };
    if m.saturating_mul(n).saturating_mul(k) < SERIAL_BELOW || parallel::threads() == 1 {
        return T::dispatch_on(isa, &Job { a, b, beta, out: &out, rows: 0..m, cols, epilogue });
    }
    let blocking = T::dispatch_on(isa, BlockingOf);
    let (high, wide) = blocking.job(m, n, parallel::threads());
    let wide = if k <= SHALLOW { wide.min(PAGE / size_of::<T>()) } else { wide };
    let down = m.div_ceil(high);
    parallel::for_each(down * n.div_ceil(wide), |i| {
        let (row, col) = (i % down * high, cols.start + i / down * wide);
        let (rows, cols) = (row..(row + high).min(m), col..(col + wide).min(cols.end));
        T::dispatch_on(isa, &Job { a, b, beta, out: &out, rows, cols, epilogue });
    });
}

/// A, m x k, as it lies in memory.
pub(super) trait Left<T: Float>: Sync {
    /// What a tile reads.
    type Lines: Steps<T>;
    /// Rows of a tile at most.
    const TALLEST: usize;
    /// k.
    fn steps(&self) -> usize;
    /// Rows from `row` on, steps from `from` on; of the first `apart` rows each four are addressed by themselves.
    fn lines(&self, row: usize, from: usize, apart: usize) -> Self::Lines;
}

impl<T: Float> Left<T> for MatRef<'_, T> {
    type Lines = InPlace<T>;
    const TALLEST: usize = usize::MAX;
    #[inline(always)]
    fn steps(&self) -> usize {
        self.cols()
    }
    #[inline(always)]
    fn lines(&self, row: usize, from: usize, apart: usize) -> InPlace<T> {
        let (row_stride, col_stride) = (self.row_stride(), self.col_stride());
        let at = self.as_ptr().wrapping_offset(row as isize * row_stride + from as isize * col_stride);
        InPlace::new(at, row_stride, col_stride, apart)
    }
}

/// B, k x n, as it lies in memory.
pub(super) trait Right<T: Float>: Sync {
    /// What a tile reads.
    type Columns: Columns<T>;
    /// Whether vectors come in pairs only.
    const PAIRS: bool;
    /// Steps of k that so many columns take before the next ones.
    fn steps(&self, k: usize, cols: usize) -> usize;
    /// Columns that all rows of a job pass before the next ones, given those of the job.
    fn group(&self, cols: usize) -> usize;
    /// Columns from `col` on, a multiple of a panel's, at a multiple of those steps.
    fn columns(&self, from: usize, col: usize) -> Self::Columns;
}

impl<T: Float> Right<T> for MatRef<'_, T> {
    type Columns = Rows<T>;
    const PAIRS: bool = false;
    #[inline(always)]
    fn steps(&self, k: usize, cols: usize) -> usize {
        let row = cols * size_of::<T>();
        if k * row <= CACHED { k } else { (HALF_OF_L2 / row).clamp(STEPS / 2, STEPS) }
    }
    #[inline(always)]
    fn group(&self, cols: usize) -> usize {
        cols
    }
    #[inline(always)]
    fn columns(&self, from: usize, col: usize) -> Rows<T> {
        let at = self.as_ptr().wrapping_offset(from as isize * self.row_stride()).wrapping_add(col);
        Rows { at, apart: self.row_stride() }
    }
}

/// The columns `first..first + count` of a packed B, which are a block.
struct PackedBlock<'a, T> {
    packed: &'a PackedB<T>,
    first: usize,
    count: usize,
}

impl<T: Float> Right<T> for PackedBlock<'_, T> {
    type Columns = Panels<T>;
    const PAIRS: bool = true;
    #[inline(always)]
    fn steps(&self, _: usize, _: usize) -> usize {
        self.packed.depth()
    }
    #[inline(always)]
    fn group(&self, _: usize) -> usize {
        self.packed.blocking.cols_in_l2
    }
    #[inline(always)]
    fn columns(&self, from: usize, col: usize) -> Panels<T> {
        let (width, depth) = (self.packed.blocking.tile_cols, self.packed.depth());
        let depth = depth.min(self.packed.rows() - from);
        let block = self.packed.block((self.first, self.count), (from, depth));
        Panels { at: block.as_ptr(), apart: width * depth, width }.skip(col - self.first)
    }
}

/// A rectangle of C.
pub(super) struct Job<'a, T, B, A = MatRef<'a, T>> {
    pub(super) a: &'a A,
    pub(super) b: &'a B,
    pub(super) beta: T,
    pub(super) out: &'a Output<T>,
    pub(super) rows: Range<usize>,
    pub(super) cols: Range<usize>,
    pub(super) epilogue: &'a Epilogue<'a, T>,
}

/// Vectors of the widest tile of so many rows that leaves registers for a row of B and a broadcast element of A.
const fn widest(rows: usize, registers: usize, pairs: bool) -> usize {
    existing((registers - 1) / (rows + 1), pairs)
}

/// The number of vectors of the widest tile that is no wider; two at least where they come in pairs.
const fn existing(vectors: usize, pairs: bool) -> usize {
    match vectors {
        0 | 1 if pairs => 2,
        3 if pairs => 2,
        0 | 1 => 1,
        2 | 3 | 4 | 6 => vectors,
        5 => 4,
        7 => 6,
        _ => 8,
    }
}

/// As [`widest`], from a table: its division took 1 of the 19 ns of 4 cubed.
#[inline(always)]
fn widest_here<T: Float, S: Lanes<T>>(rows: usize, pairs: bool) -> usize {
    const ROWS: usize = 16;
    const fn table(registers: usize, pairs: bool) -> [u8; ROWS] {
        let mut table = [0; ROWS];
        let mut rows = 0;
        while rows < ROWS {
            table[rows] = widest(rows, registers, pairs) as u8;
            rows += 1;
        }
        table
    }
    let tables = const { [table(S::TILE_REGISTERS, false), table(S::TILE_REGISTERS, true)] };
    usize::from(tables[usize::from(pairs)][rows % ROWS])
}

/// Rows of a tile at most.
#[inline(always)]
fn tallest<T: Float, S: Lanes<T>>(m: usize, n: usize, k: usize, pairs: bool) -> usize {
    let three = (S::TILE_REGISTERS - 1) / 3 - 1;
    match n.div_ceil(S::LANES) {
        3 | 5 | 7 | 9 | 11 if !pairs => three.min(S::TILE_ROWS),
        4.. if k <= SHALLOW && m * n * size_of::<T>() <= L3 => S::TILE_ROWS / 2,
        _ => S::TILE_ROWS,
    }
}

// By reference, as the views are: a copy reads by vectors what was just written by words, and waits. Such copies took
// half of the time of a 4-cubed product.
impl<T: Float, B: Right<T>, A: Left<T>> Task<T> for &Job<'_, T, B, A> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) {
        let (m, n, k) = (self.rows.len(), self.cols.len(), self.a.steps());
        let tallest = tallest::<T, S>(m, n, k, B::PAIRS).min(A::TALLEST);
        let high = match m {
            _ if m <= tallest => m,
            // As below, without the divisions: 7 of the 64 ns of 16 cubed.
            _ if m <= 2 * tallest => m.div_ceil(2),
            _ => even_piece(m, tallest, 1),
        };
        let (depth, group) = (self.b.steps(k, n), self.b.group(n));
        // No `step_by`, which divides: 10 ns of the 50 of a 4-cubed product.
        let mut from = 0;
        while from < k {
            let steps = depth.min(k - from);
            let mut col = self.cols.start;
            while col < self.cols.end {
                let cols = group.min(self.cols.end - col);
                let mut row = self.rows.start;
                while row < self.rows.end {
                    let height = high.min(self.rows.end - row);
                    self.strip(simd, &Place { row, col, from, steps, height, cols });
                    if from + steps == k {
                        self.epilogue.finish(simd, self.out, row..row + height, col..col + cols);
                    }
                    row += height;
                }
                col += cols;
            }
            from += steps;
        }
    }
}

/// A rectangle of C, as high as a tile, and the steps of k it is to take.
#[derive(Clone, Copy)]
pub(super) struct Place {
    row: usize,
    col: usize,
    from: usize,
    steps: usize,
    height: usize,
    cols: usize,
}

/// Tiles of one shape under one set, to be called without choosing again.
pub(super) trait Tiles<T>: Send + Sync {
    /// The tiles of a rectangle of C.
    fn run(&self, job: &Job<'_, T, MatRef<'_, T>>, place: &Place);
}

/// The tiles of `MR` rows and `NV` vectors.
struct TilesOf<S, const MR: usize, const NV: usize>(S);

impl<T: Float, S: Lanes<T>, const MR: usize, const NV: usize> Tiles<T> for TilesOf<S, MR, NV> {
    #[inline]
    fn run(&self, job: &Job<'_, T, MatRef<'_, T>>, place: &Place) {
        job.tiles::<S, MR, NV>(self.0, place);
    }
}

/// All rectangles of an m x n x k product, in turn, each with its tiles.
pub(super) struct Rectangles {
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
}

/// The tiles of so many rows and vectors, which take no memory.
macro_rules! boxed {
    ($simd:ident, $height:expr, $vectors:expr, $($rows:literal)*) => {
        match ($height, $vectors) {
            $(
                ($rows, 1) => tiles_if_any::<T, S, $rows, 1>($simd),
                ($rows, 2) => tiles_if_any::<T, S, $rows, 2>($simd),
                ($rows, 3) => tiles_if_any::<T, S, $rows, 3>($simd),
                ($rows, 4) => tiles_if_any::<T, S, $rows, 4>($simd),
                ($rows, 6) => tiles_if_any::<T, S, $rows, 6>($simd),
                ($rows, 8) => tiles_if_any::<T, S, $rows, 8>($simd),
            )*
            _ => unreachable!("no tile of this shape"),
        }
    };
}

fn tiles_if_any<T: Float, S: Lanes<T>, const MR: usize, const NV: usize>(simd: S) -> Box<dyn Tiles<T>> {
    if const { NV <= widest(MR, S::TILE_REGISTERS, false) && MR <= S::TILE_ROWS } {
        Box::new(TilesOf::<S, MR, NV>(simd))
    } else {
        unreachable!("no tile of this shape")
    }
}

impl<T: Float> Task<T> for Rectangles {
    type Output = Vec<(Place, Box<dyn Tiles<T>>)>;
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) -> Self::Output {
        let Self { m, n, k } = self;
        let high = even_piece(m, tallest::<T, S>(m, n, k, false), 1);
        let mut rectangles = Vec::new();
        for row in (0..m).step_by(high) {
            let height = high.min(m - row);
            let mut col = 0;
            while col < n {
                let (vectors, cols) = next_tiles::<T, S>(height, n - col, false);
                let place = Place { row, col, from: 0, steps: k, height, cols };
                rectangles.push((place, boxed!(simd, height, vectors, 1 2 3 4 5 6 7 8 9 10 11 12)));
                col += cols;
            }
        }
        rectangles
    }
}

/// The vectors of the tiles that begin such a rectangle, and the columns that tiles of that width are to take.
#[inline(always)]
fn next_tiles<T: Float, S: Lanes<T>>(height: usize, cols: usize, pairs: bool) -> (usize, usize) {
    let unit = if pairs { 2 } else { 1 };
    let wide = widest_here::<T, S>(height, pairs);
    let left = cols.div_ceil(S::LANES).next_multiple_of(unit);
    if left <= wide {
        let vectors = existing(left, pairs);
        return (vectors, cols.min(vectors * S::LANES));
    }
    // As even as can be: 3 + 2 + 2 for 7 rather than 3 + 3 + 1.
    let vectors = existing(left.div_ceil(left.div_ceil(wide)).next_multiple_of(unit), pairs);
    let count = (left / vectors - usize::from(!left.is_multiple_of(vectors))).max(1);
    (vectors, cols.min(count * vectors * S::LANES))
}

/// Calls the tile of the place's height and so many vectors.
macro_rules! tiles {
    ($job:ident, $simd:ident, $place:ident, $vectors:expr, $($rows:literal)*) => {
        match ($place.height, $vectors) {
            $(
                ($rows, 1) => $job.tiles_if_any::<S, $rows, 1>($simd, &$place),
                ($rows, 2) => $job.tiles_if_any::<S, $rows, 2>($simd, &$place),
                ($rows, 3) => $job.tiles_if_any::<S, $rows, 3>($simd, &$place),
                ($rows, 4) => $job.tiles_if_any::<S, $rows, 4>($simd, &$place),
                ($rows, 6) => $job.tiles_if_any::<S, $rows, 6>($simd, &$place),
                ($rows, 8) => $job.tiles_if_any::<S, $rows, 8>($simd, &$place),
            )*
            _ => unreachable!("no tile of this shape"),
        }
    };
}

impl<T: Float, B: Right<T>, A: Left<T>> Job<'_, T, B, A> {
    /// The rectangle in as few tiles as there are for it.
    #[inline(always)]
    fn strip<S: Lanes<T>>(&self, simd: S, place: &Place) {
        let (mut at, end) = (*place, place.col + place.cols);
        while at.col < end {
            let (vectors, cols) = next_tiles::<T, S>(place.height, end - at.col, B::PAIRS);
            at.cols = cols;
            tiles!(self, simd, at, vectors, 1 2 3 4 5 6 7 8 9 10 11 12);
            at.col += at.cols;
        }
    }

    #[inline(always)]
    fn tiles_if_any<S: Lanes<T>, const MR: usize, const NV: usize>(&self, simd: S, place: &Place) {
        if const {
            NV <= widest(MR, S::TILE_REGISTERS, B::PAIRS)
                && MR <= S::TILE_ROWS
                && (NV.is_multiple_of(2) || !B::PAIRS)
        } {
            self.tiles::<S, MR, NV>(simd, place);
        }
    }

    /// Tiles of one shape side by side. A function of its own: in one with all others the compiler kept accumulators in
    /// memory, and took ten times as long.
    #[inline(never)]
    fn tiles<S: Lanes<T>, const MR: usize, const NV: usize>(&self, simd: S, place: &Place) {
        // All inside: what is computed outside goes through memory into the function of the set.
        simd.vectorize(
            #[inline(always)]
            move || self.side_by_side::<S, MR, NV>(simd, place),
        );
    }

    #[inline(always)]
    fn side_by_side<S: Lanes<T>, const MR: usize, const NV: usize>(&self, simd: S, place: &Place) {
        let &Place { row, col, from, steps, cols, .. } = place;
        let seed = Seed::of(from, self.beta);
        let a = self.a.lines(row, from, if NV == 1 { MR } else { 0 });
        let b = self.b.columns(from, col);
        let c = self.out.ptr.wrapping_offset(row as isize * self.out.rs + col as isize);
        let nr = NV * S::LANES;
        let mut at = 0;
        while at < cols {
            let (b, c) = (b.skip(at), c.wrapping_add(at));
            let spot = Spot { c, row_stride: self.out.rs, cols: nr.min(cols - at), next: c };
            // SAFETY: rows row..row + MR of A and C, steps from..from + steps of A and B, and `cols` columns of B and C from
            // col on lie inside the views or panels, the lanes of a vector one element apart; this job alone writes these
            // of C.
            unsafe {
                if spot.cols == nr {
                    tile::<T, S, _, _, MR, NV, true>(simd, steps, a, b, spot, seed);
                } else {
                    tile::<T, S, _, _, MR, NV, false>(simd, steps, a, b, spot, seed);
                }
            }
            at += nr;
        }
    }
}
