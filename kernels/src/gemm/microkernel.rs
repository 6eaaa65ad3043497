//! The register tile: `MR` rows by `NV` vectors of C in registers while k runs, over packed panels or over the operands
//! where they are.
//!
//! With two vectors, per step of k: two loads of B, `MR` broadcasts of A, `2 MR` fused multiply-adds. With 12 or more independent
//! accumulators the multiply-adds (4 cycles latency, 2 a cycle) never wait for each other.
//!
//! On panels in L2 and a small C the tile reaches 96 % of the peak (AVX-512, Zen 5, 256 steps). Prefetching the next
//! tile of C before the last [`AHEAD`] steps gains 2 % (asked for at the start of the tile it is gone again); prefetching
//! the panels of either operand changed nothing.

use crate::Float;
use crate::simd::Lanes;
use std::hint::black_box;

/// Steps before the end at which the next tile of C is asked for: 768 cycles of a tile of 12 x 2 vectors, as long as a
/// miss of all caches takes, and half of that with AVX2.
const AHEAD: usize = 64;

/// What a tile of C begins with.
#[derive(Clone, Copy)]
pub(crate) enum Seed<T> {
    /// Zero; C is not read.
    Zero,
    /// C as it is: beta = 1, or a later block of k.
    Keep,
    /// C times beta.
    Scale(T),
}

impl<T: Float> Seed<T> {
    /// What the block of k from `from` on begins with.
    pub(crate) fn of(from: usize, beta: T) -> Self {
        if from > 0 || beta == T::ONE {
            Self::Keep
        } else if beta == T::ZERO {
            Self::Zero
        } else {
            Self::Scale(beta)
        }
    }
}

/// Where a tile of C is, and where the next one.
#[derive(Clone, Copy)]
pub(crate) struct Spot<T> {
    /// Its first element.
    pub(crate) c: *mut T,
    /// Elements from row to row.
    pub(crate) row_stride: isize,
    /// Its columns, at most as many as its vectors have lanes.
    pub(crate) cols: usize,
    /// The first element of the tile that follows, for prefetching only: it need not exist.
    pub(crate) next: *const T,
}

/// The elements of A that a tile broadcasts: `line(i)` is that of row i at the current step of k.
pub(crate) trait Steps<T>: Copy {
    /// Whether tiles last long enough to prefetch the next one of C meanwhile.
    const PREFETCH: bool;
    /// Where the element of row i is.
    fn line(self, i: usize) -> *const T;
    /// The same one step of k further.
    fn step(self) -> Self;
}

/// A packed panel: `W` rows side by side, step after step.
#[derive(Clone, Copy)]
pub(crate) struct Packed<T, const W: usize>(pub(crate) *const T);

impl<T: Float, const W: usize> Steps<T> for Packed<T, W> {
    const PREFETCH: bool = true;
    #[inline(always)]
    fn line(self, i: usize) -> *const T {
        self.0.wrapping_add(i)
    }
    #[inline(always)]
    fn step(self) -> Self {
        Self(self.0.wrapping_add(W))
    }
}

/// Rows where they are in A.
#[derive(Clone, Copy)]
pub(crate) struct InPlace<T> {
    /// Rows 0, 4 and 8 at the current step.
    at: [*const T; 3],
    /// Elements from row to row.
    row_stride: isize,
    /// Elements from step to step.
    col_stride: isize,
}

impl<T: Float> InPlace<T> {
    /// Rows from the one at `at` on.
    ///
    /// How far the fourth and eighth row are from the first is hidden from the compiler where they are less than `apart` away:
    /// otherwise it reaches each row by an addition to the one before, in every step. With tiles one vector wide 16 cubed (f32,
    /// AVX-512) took 74 instead of 64 ns; wider tiles lost 1 to 2 % when it was hidden.
    #[inline(always)]
    pub(crate) fn new(at: *const T, row_stride: isize, col_stride: isize, apart: usize) -> Self {
        let row = |i: isize| {
            let row = at.wrapping_offset(i * row_stride);
            if i < apart as isize { black_box(row) } else { row }
        };
        Self { at: [at, row(4), row(8)], row_stride, col_stride }
    }
}

impl<T: Float> Steps<T> for InPlace<T> {
    const PREFETCH: bool = false;
    #[inline(always)]
    fn line(self, i: usize) -> *const T {
        self.at[i / 4].wrapping_offset((i % 4) as isize * self.row_stride)
    }
    #[inline(always)]
    fn step(self) -> Self {
        Self { at: self.at.map(|at| at.wrapping_offset(self.col_stride)), ..self }
    }
}

/// The vectors of B that a tile reads: `vector(v)` is where the v-th begins at the current step of k.
pub(crate) trait Columns<T>: Copy {
    /// Where vector v of `LANES` columns begins.
    fn vector<S: Lanes<T>>(self, v: usize) -> *const T;
    /// The same one step of k further.
    fn step(self) -> Self;
    /// The same `columns` further, a multiple of the columns of a tile.
    fn skip(self, columns: usize) -> Self;
}

/// Vectors side by side: a matrix whose rows are contiguous, or one panel.
#[derive(Clone, Copy)]
pub(crate) struct Rows<T> {
    /// The first column at the current step.
    pub(crate) at: *const T,
    /// Elements from step to step.
    pub(crate) apart: isize,
}

impl<T: Float> Columns<T> for Rows<T> {
    #[inline(always)]
    fn vector<S: Lanes<T>>(self, v: usize) -> *const T {
        self.at.wrapping_add(v * S::LANES)
    }
    #[inline(always)]
    fn step(self) -> Self {
        Self { at: self.at.wrapping_offset(self.apart), ..self }
    }
    #[inline(always)]
    fn skip(self, columns: usize) -> Self {
        Self { at: self.at.wrapping_add(columns), ..self }
    }
}

/// Panels of two vectors, one after another.
#[derive(Clone, Copy)]
pub(crate) struct Panels<T> {
    /// The first panel at the current step.
    pub(crate) at: *const T,
    /// Elements from panel to panel.
    pub(crate) apart: usize,
    /// Elements from step to step: the columns of a panel.
    pub(crate) width: usize,
}

impl<T: Float> Columns<T> for Panels<T> {
    #[inline(always)]
    fn vector<S: Lanes<T>>(self, v: usize) -> *const T {
        self.at.wrapping_add(v / 2 * self.apart + v % 2 * S::LANES)
    }
    #[inline(always)]
    fn step(self) -> Self {
        Self { at: self.at.wrapping_add(self.width), ..self }
    }
    #[inline(always)]
    fn skip(self, columns: usize) -> Self {
        Self { at: self.at.wrapping_add(columns / self.width * self.apart), ..self }
    }
}

/// C = seed + A x B for a tile of `MR` rows and `NV` vectors, all of its columns (`FULL`) or the first `spot.cols`, which reach
/// into one of the last two vectors.
///
/// # Safety
/// `MR` lines of `a` must be readable for `depth` steps, the first `spot.cols` (all `NV * LANES` if `FULL`) elements of
/// the vectors of `b` at each of `depth` steps, and `spot.c` for reading and writing as many at each of `MR` rows that are
/// `spot.row_stride` apart.
#[inline(always)]
pub(crate) unsafe fn tile<T, S, A, B, const MR: usize, const NV: usize, const FULL: bool>(
    simd: S,
    depth: usize,
    a: A,
    b: B,
    spot: Spot<T>,
    seed: Seed<T>,
) where
    T: Float,
    S: Lanes<T>,
    A: Steps<T>,
    B: Columns<T>,
{
    let Spot { c, row_stride, cols, next } = spot;
    let row = |i: usize| c.wrapping_offset(i as isize * row_stride);
    let lanes = |v: usize| cols.saturating_sub(v * S::LANES).min(S::LANES);
    let mut acc = [[simd.splat(T::ZERO); NV]; MR];
    if !matches!(seed, Seed::Zero) {
        for (i, acc) in acc.iter_mut().enumerate() {
            for (v, acc) in acc.iter_mut().enumerate() {
                let at = row(i).wrapping_add(v * S::LANES);
                // SAFETY: the caller promises these elements at each of MR rows.
                *acc =
                    unsafe { if FULL || v + 2 < NV { simd.load(at) } else { simd.load_first(at, lanes(v)) } };
                if let Seed::Scale(beta) = seed {
                    *acc = simd.mul(simd.splat(beta), *acc);
                }
            }
        }
    }
    let (mut a, mut b) = (a, b);
    let last = if A::PREFETCH { depth.min(AHEAD) } else { 0 };
    for (steps, ask) in [(depth - last, false), (last, true)] {
        if ask && A::PREFETCH {
            for i in 0..MR {
                let row = next.wrapping_offset(i as isize * row_stride);
                (0..NV).for_each(|v| simd.prefetch(row.wrapping_add(v * S::LANES)));
            }
        }
        for _ in 0..steps {
            let mut columns = [simd.splat(T::ZERO); NV];
            for (v, columns) in columns.iter_mut().enumerate() {
                let at = b.vector::<S>(v);
                // SAFETY: there are depth steps in all, and the caller promises these elements at each of them.
                *columns =
                    unsafe { if FULL || v + 2 < NV { simd.load(at) } else { simd.load_first(at, lanes(v)) } };
            }
            for (i, acc) in acc.iter_mut().enumerate() {
                // SAFETY: the caller promises MR lines at each of depth steps.
                let x = simd.splat(unsafe { *a.line(i) });
                for (acc, &column) in acc.iter_mut().zip(&columns) {
                    *acc = simd.mul_add(x, column, *acc);
                }
            }
            (a, b) = (a.step(), b.step());
        }
    }
    for (i, acc) in acc.iter().enumerate() {
        for (v, &acc) in acc.iter().enumerate() {
            let at = row(i).wrapping_add(v * S::LANES);
            // SAFETY: the caller promises these elements at each of MR rows.
            unsafe {
                if FULL || v + 2 < NV { simd.store(at, acc) } else { simd.store_first(at, acc, lanes(v)) }
            };
        }
    }
}
