//! The register tile: `MR` rows by two vectors of C in registers while k runs over packed panels.
//!
//! Per step of k: two loads of B, `MR` broadcasts of A, `2 MR` fused multiply-adds. With 12 or more independent
//! accumulators the multiply-adds (4 cycles latency, 2 a cycle) never wait for each other.
//!
//! On panels in L2 and a small C the tile reaches 96 % of the peak (AVX-512, Zen 5, 256 steps). Prefetching the next
//! tile of C before the last [`AHEAD`] steps gains 2 % (asked for at the start of the tile it is gone again); prefetching
//! the panels of either operand changed nothing.

use crate::Float;
use crate::simd::Lanes;

/// Steps before the end at which the next tile of C is asked for: some 800 cycles, more than a miss of all caches takes.
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

/// Where a tile of C is, and where the next one.
#[derive(Clone, Copy)]
pub(crate) struct Spot<T> {
    /// Its first element.
    pub(crate) c: *mut T,
    /// Elements from row to row.
    pub(crate) row_stride: isize,
    /// The first element of the tile that follows, for prefetching only: it need not exist.
    pub(crate) next: *const T,
}

/// C = seed + panel of A x panel of B for one full tile.
///
/// # Safety
/// `a` must be valid for reading `MR * depth` elements, `b` for `2 * LANES * depth`, `spot.c` for reading and writing
/// `2 * LANES` elements at each of `MR` rows that are `spot.row_stride` apart.
#[inline(always)]
pub(crate) unsafe fn tile<T: Float, S: Lanes<T>, const MR: usize>(
    simd: S,
    depth: usize,
    a: *const T,
    b: *const T,
    spot: Spot<T>,
    seed: Seed<T>,
) {
    let Spot { c, row_stride, next } = spot;
    let row = |i: usize| c.wrapping_offset(i as isize * row_stride);
    let mut acc = [[simd.splat(T::ZERO); 2]; MR];
    match seed {
        Seed::Zero => {}
        Seed::Keep => {
            for (i, acc) in acc.iter_mut().enumerate() {
                // SAFETY: the caller promises 2 * LANES elements at each of MR rows.
                unsafe { *acc = [simd.load(row(i)), simd.load(row(i).add(S::LANES))] };
            }
        }
        Seed::Scale(beta) => {
            let beta = simd.splat(beta);
            for (i, acc) in acc.iter_mut().enumerate() {
                // SAFETY: as above.
                let old = unsafe { [simd.load(row(i)), simd.load(row(i).add(S::LANES))] };
                *acc = [simd.mul(beta, old[0]), simd.mul(beta, old[1])];
            }
        }
    }
    let (mut a, mut b) = (a, b);
    let last = depth.min(AHEAD);
    for (steps, ask) in [(depth - last, false), (last, true)] {
        if ask {
            for i in 0..MR {
                let row = next.wrapping_offset(i as isize * row_stride);
                simd.prefetch(row);
                simd.prefetch(row.wrapping_add(S::LANES));
            }
        }
        for _ in 0..steps {
            // SAFETY: there are depth steps in all, and the caller promises that many in both panels.
            unsafe {
                let (b0, b1) = (simd.load(b), simd.load(b.add(S::LANES)));
                for (i, acc) in acc.iter_mut().enumerate() {
                    let x = simd.splat(*a.add(i));
                    acc[0] = simd.mul_add(x, b0, acc[0]);
                    acc[1] = simd.mul_add(x, b1, acc[1]);
                }
                (a, b) = (a.add(MR), b.add(2 * S::LANES));
            }
        }
    }
    for (i, acc) in acc.iter().enumerate() {
        // SAFETY: the caller promises 2 * LANES elements at each of MR rows.
        unsafe {
            simd.store(row(i), acc[0]);
            simd.store(row(i).add(S::LANES), acc[1]);
        }
    }
}
