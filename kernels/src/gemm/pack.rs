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
use crate::Float;
use crate::simd::Lanes;
use std::any::TypeId;

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
pub(crate) fn pack<S: Float, T: Float, L: Lanes<T>, const W: usize>(
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
fn panels<S: Float, T: Float, L: Lanes<T>, const W: usize>(
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
    // Whole panels of a source that is contiguous along them, step by step over all of them: a step is then read from
    // end to end, where panel by panel each read of W elements would lie a row apart from the last.
    let mut done = 0;
    if along_line == 1 {
        done = count / W;
        for l in 0..depth {
            for p in 0..done {
                // SAFETY: elements p W..(p + 1) W of step l lie in the view, contiguous by stride 1. Reading all before
                // the first is written tells the compiler that they do not depend on each other.
                let source: [S; W] = unsafe { at(l, p * W).cast::<[S; W]>().read_unaligned() };
                let packed: [T; W] =
                    std::array::from_fn(|i| value(l, p * W + i, T::from_f64(source[i].to_f64())));
                out[(p * depth + l) * W..][..W].copy_from_slice(&packed);
            }
        }
    }
    let same_type = TypeId::of::<S>() == TypeId::of::<T>();
    let vectors = |l: usize, n: usize, line: usize| {
        let source = at(l, line);
        // SAFETY: steps l..l + n of the line lie in the view, contiguous along k; a pointer to S is one to T only where
        // they are the same.
        let x = unsafe {
            if same_type {
                simd.load_first(source.cast::<T>(), n)
            } else {
                let mut buffer = [T::ZERO; 16];
                for (i, x) in buffer[..n].iter_mut().enumerate() {
                    *x = T::from_f64((*source.add(i)).to_f64());
                }
                simd.load(buffer.as_ptr())
            }
        };
        values(l, n, line, x)
    };
    for (p, panel) in out.chunks_exact_mut(W * depth).take(count.div_ceil(W)).enumerate().skip(done) {
        let line = p * W;
        let lines = W.min(count - line);
        if along_k == 1 {
            // The lines are often a page apart, where no hardware prefetcher follows, so the next panel's are asked for
            // while this one is packed.
            for (steps, sides) in panel.chunks_mut(W * L::LANES).enumerate() {
                let l = steps * L::LANES;
                (0..W).for_each(|i| simd.prefetch(at(l, line + W + i)));
                transpose::<T, L, W>(
                    simd,
                    sides,
                    #[inline(always)]
                    |n, i| if i < lines { vectors(l, n, line + i) } else { simd.splat(T::ZERO) },
                );
            }
        } else {
            for (l, side) in panel.chunks_exact_mut(W).enumerate() {
                for (i, slot) in side.iter_mut().enumerate() {
                    *slot = if i < lines {
                        // SAFETY: l < depth and line + i < count, so inside the view by the assertion.
                        value(l, line + i, T::from_f64(unsafe { *at(l, line + i) }.to_f64()))
                    } else {
                        T::ZERO
                    };
                }
            }
        }
    }
}

/// Writes up to `LANES` steps of a panel of `W` lines; `line(n, i)` is the vector of n steps of line i.
#[inline(always)]
fn transpose<T: Float, L: Lanes<T>, const W: usize>(
    simd: L,
    sides: &mut [T],
    line: impl Fn(usize, usize) -> L::V,
) {
    let n = sides.len() / W;
    assert!(sides.len() == n * W && n <= L::LANES);
    // Squares side by side, the last of them perhaps with lines of zeros beyond W: at most 4 (NEON f64, W = 8).
    let squares = W.div_ceil(L::LANES);
    assert!(squares * L::LANES <= 2 * W);
    let mut x = [[simd.splat(T::ZERO); 16]; 4];
    for i in 0..W {
        x[i / L::LANES][i % L::LANES] = line(n, i);
    }
    x[..squares].iter_mut().for_each(|square| simd.transpose(square));
    let last = W - (squares - 1) * L::LANES;
    for step in 0..n {
        for (q, square) in x[..squares].iter().enumerate() {
            // SAFETY: what is written begins in step `step` of the n. It ends there too, except for a last square
            // written whole: its zeros go into the next step, which there is, and which is written after it; the squares
            // are at most twice as wide as a step.
            unsafe {
                let to = sides.as_mut_ptr().add(step * W + q * L::LANES);
                if q + 1 < squares || step + 1 < n {
                    simd.store(to, square[step]);
                } else {
                    simd.store_first(to, square[step], last);
                }
            }
        }
    }
}
