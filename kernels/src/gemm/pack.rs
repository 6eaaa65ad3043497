//! Packing: copying a block of an operand into panels in the order in which the register tile reads it.
//!
//! A panel holds `width` rows of A (or columns of B), the `width` values of one k side by side, k after k; a last,
//! narrower panel is filled up with zeros, so that the tile has no edge along that side.
//!
//! Deciding per element whether there are weights or a shift cost a quarter of a 1024-cubed product, so each kind of
//! operand has loops of its own. An operand that is contiguous along k is transposed in registers: left to the compiler,
//! a transposition became scattered stores on AVX-512 and took 8 % of a 1024-cubed f32 product, where it now takes
//! about 3 %.

use super::driver::{Change, Operand};
use crate::simd::Lanes;
use crate::{Float, Storage};
use std::any::TypeId;

/// Steps of a panel that are copied before the next panel's.
const STEPS: usize = 16;

/// Which part of an operand goes where.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    /// First row of A or column of B.
    pub(crate) first: usize,
    /// How many of them.
    pub(crate) count: usize,
    /// First k.
    pub(crate) from: usize,
    /// How many k.
    pub(crate) depth: usize,
}

/// Packs a block into consecutive panels of `W` lines at `out`, which has room for
/// `count.next_multiple_of(W) * depth` elements.
#[inline(always)]
pub(crate) fn pack<S: Storage, T: Float, L: Lanes<T>, const W: usize>(
    simd: L,
    operand: &Operand<'_, S, T>,
    block: Block,
    out: &mut [T],
) {
    match operand.change {
        Change::Scale(scale) => {
            let scales = simd.splat(scale);
            panels::<S, T, L, W>(
                simd,
                operand,
                block,
                out,
                #[inline(always)]
                |_, _, x| scale * x,
                #[inline(always)]
                |_, _, _, x| simd.mul(scales, x),
            );
        }
        Change::Centre { weights, shift } => {
            let (weights, shift) =
                (&weights[block.from..][..block.depth], &shift[block.first..][..block.count]);
            panels::<S, T, L, W>(
                simd,
                operand,
                block,
                out,
                #[inline(always)]
                |k, line, x| weights[k] * (x - shift[line]),
                #[inline(always)]
                |k, n, line, x| {
                    let weights = &weights[k..][..n];
                    // SAFETY: the slice holds n elements.
                    let weights = unsafe { simd.load_first(weights.as_ptr(), n) };
                    simd.mul(weights, simd.sub(x, simd.splat(shift[line])))
                },
            );
        }
    }
}

/// The loops. `value` says what is done to element `x` at (k, line), both counted inside the block, and `values` the
/// same of a vector along k, of which `n` elements count: `values(k, n, line, x)`.
#[inline(always)]
fn panels<S: Storage, T: Float, L: Lanes<T>, const W: usize>(
    simd: L,
    operand: &Operand<'_, S, T>,
    Block { first, count, from, depth }: Block,
    out: &mut [T],
    value: impl Fn(usize, usize, T) -> T,
    values: impl Fn(usize, usize, usize, L::V) -> L::V,
) {
    let view = operand.view;
    let (along_k, along_line) = (view.row_stride(), view.col_stride());
    assert!(first + count <= view.cols() && from + depth <= view.rows());
    let at = |l: usize, line: usize| {
        let offset = (from + l) as isize * along_k + (first + line) as isize * along_line;
        view.as_ptr().wrapping_offset(offset)
    };
    // Whole panels of a source that is contiguous along them, a few steps at a time: each step is then read from end to
    // end, as hardware prefetchers like it, and what is written lies together. One step at a time cost 2 % more of a
    // 1024-cubed product, all steps of a panel at once was slow on a Zen 3, whose panels are 64 bytes wide.
    let mut done = 0;
    if along_line == 1 {
        done = count / W;
        for start in (0..depth).step_by(STEPS) {
            let steps = STEPS.min(depth - start);
            for (p, panel) in out.chunks_exact_mut(W * depth).take(done).enumerate() {
                let mut source = at(start, p * W);
                for (l, side) in panel[start * W..][..steps * W].chunks_exact_mut(W).enumerate() {
                    // SAFETY: elements p W..(p + 1) W of step start + l lie in the view, contiguous by stride 1. Reading
                    // all before the first is written tells the compiler that they do not depend on each other.
                    let x: [S; W] = unsafe { source.cast::<[S; W]>().read_unaligned() };
                    let x: [T; W] = std::array::from_fn(|i| value(start + l, p * W + i, x[i].to::<T>()));
                    side.copy_from_slice(&x);
                    source = source.wrapping_offset(along_k);
                }
            }
        }
    }
    for (p, panel) in out.chunks_exact_mut(W * depth).take(count.div_ceil(W)).enumerate().skip(done) {
        let line = p * W;
        let lines = W.min(count - line);
        if along_k == 1 {
            // The lines are often a page apart, where no hardware prefetcher follows, so the next panel's are asked for
            // while this one is packed.
            for (steps, sides) in panel.chunks_mut(W * L::LANES).enumerate() {
                let l = steps * L::LANES;
                (0..W).for_each(|i| simd.prefetch(at(l, line + W + i)));
                let n = sides.len() / W;
                if lines == W && n == L::LANES {
                    transpose::<T, L, W>(
                        simd,
                        sides,
                        L::LANES,
                        #[inline(always)]
                        |i| {
                            // SAFETY: LANES steps from l on of line + i lie in the view, contiguous along k.
                            let x = unsafe { load(simd, at(l, line + i), L::LANES) };
                            values(l, L::LANES, line + i, x)
                        },
                    );
                } else {
                    transpose::<T, L, W>(
                        simd,
                        sides,
                        n,
                        #[inline(always)]
                        |i| {
                            if i >= lines {
                                return simd.splat(T::ZERO);
                            }
                            // SAFETY: the n steps that are left from l on lie in the view, contiguous along k.
                            let x = unsafe { load(simd, at(l, line + i), n) };
                            values(l, n, line + i, x)
                        },
                    );
                }
            }
        } else {
            for (l, side) in panel.chunks_exact_mut(W).enumerate() {
                for (i, slot) in side.iter_mut().enumerate() {
                    *slot = if i < lines {
                        // SAFETY: l < depth and line + i < count, so inside the view by the assertion.
                        value(l, line + i, unsafe { *at(l, line + i) }.to::<T>())
                    } else {
                        T::ZERO
                    };
                }
            }
        }
    }
}

/// The first `n` of at most `LANES` elements at `source`, converted.
///
/// # Safety
/// `n` elements must be readable.
#[inline(always)]
unsafe fn load<S: Storage, T: Float, L: Lanes<T>>(simd: L, source: *const S, n: usize) -> L::V {
    // SAFETY: the caller promises n elements, the buffer holds 16; a pointer to S is one to T where they are the same.
    unsafe {
        if TypeId::of::<S>() == TypeId::of::<T>() {
            simd.load_first(source.cast::<T>(), n)
        } else {
            let mut buffer = [T::ZERO; 16];
            for (i, x) in buffer[..n].iter_mut().enumerate() {
                *x = (*source.add(i)).to::<T>();
            }
            simd.load(buffer.as_ptr())
        }
    }
}

/// Writes `n` steps, at most `LANES`, of a panel of `W` lines; `line(i)` is the vector of those steps of line i.
///
/// Two squares at a time, in arrays of their own: one array for all was filled by `memset`, and with it the
/// transposition took 8 % of a 512-cubed f32 product instead of 2.
#[inline(always)]
fn transpose<T: Float, L: Lanes<T>, const W: usize>(
    simd: L,
    sides: &mut [T],
    n: usize,
    line: impl Fn(usize) -> L::V,
) {
    assert!(sides.len() == n * W && n <= L::LANES);
    // From the last squares down, and step by step: the very last may be narrower than a vector and is then written with
    // zeros that reach into the next step, where later writes put what belongs there.
    for first in (0..W).step_by(2 * L::LANES).rev() {
        let left = square::<T, L, W>(simd, first, &line);
        let more = first + L::LANES < W;
        let right = if more { square::<T, L, W>(simd, first + L::LANES, &line) } else { left };
        for step in 0..n {
            let to = &mut sides[step * W + first..];
            write(simd, to, left[step], L::LANES.min(W - first));
            if more {
                write(simd, &mut to[L::LANES..], right[step], L::LANES.min(W - first - L::LANES));
            }
        }
    }
}

/// The vectors of lines `first..first + LANES` of `W`, zeros beyond, transposed.
#[inline(always)]
fn square<T: Float, L: Lanes<T>, const W: usize>(
    simd: L,
    first: usize,
    line: &impl Fn(usize) -> L::V,
) -> [L::V; 16] {
    let mut x = [simd.splat(T::ZERO); 16];
    for (i, x) in x.iter_mut().enumerate().take(L::LANES.min(W - first)) {
        *x = line(first + i);
    }
    simd.transpose(&mut x);
    x
}

/// Writes all of `x` if there is room, else its first `width` elements.
#[inline(always)]
fn write<T: Float, L: Lanes<T>>(simd: L, to: &mut [T], x: L::V, width: usize) {
    if to.len() >= L::LANES {
        // SAFETY: there are LANES elements.
        unsafe { simd.store(to.as_mut_ptr(), x) };
    } else {
        let to = &mut to[..width];
        // SAFETY: there are `width` elements.
        unsafe { simd.store_first(to.as_mut_ptr(), x, width) };
    }
}
