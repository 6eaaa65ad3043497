//! Packing: copying a block of an operand into panels in the order in which the register tile reads it.
//!
//! A panel holds `width` rows of A (or columns of B), the `width` values of one k side by side, k after k; a last,
//! narrower panel is filled up with zeros, so that the tile has no edge along that side.
//!
//! Deciding per element whether there are weights or a shift cost a quarter of a 1024-cubed product, so each kind of
//! operand has loops of its own; and only loops of a constant width become vector instructions (1.5 times the speed of
//! a 200,000 x 100 Gram matrix).

use super::driver::{Change, Operand};
use crate::Float;
use crate::simd::Lanes;

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
        // One times x is x: no loops of their own for a scale of 1.
        Change::Scale(scale) => panels::<S, T, L, W>(
            simd,
            operand,
            block,
            out,
            #[inline(always)]
            |_, _, x| scale * x,
        ),
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
            );
        }
    }
}

/// Steps of k that are transposed together: a cache line of f32, two of f64.
const STEPS: usize = 16;

/// The loops, with what is done to element `x` at (k, line), both counted inside the block.
#[inline(always)]
fn panels<S: Float, T: Float, L: Lanes<T>, const W: usize>(
    simd: L,
    operand: &Operand<'_, S, T>,
    Block { first, count, from, depth }: Block,
    out: &mut [T],
    value: impl Fn(usize, usize, T) -> T,
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
    for (p, panel) in out.chunks_exact_mut(W * depth).take(count.div_ceil(W)).enumerate().skip(done) {
        let line = p * W;
        let lines = W.min(count - line);
        if lines < W {
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
        } else {
            // A transposition. The lines are often a page apart, where no hardware prefetcher follows, so the next
            // panel's are asked for while this one is packed.
            for (group, sides) in panel.chunks_mut(W * STEPS).enumerate() {
                let l = group * STEPS;
                for i in 0..W {
                    simd.prefetch(at(l, line + W + i));
                }
                if along_k == 1 && sides.len() == W * STEPS {
                    // SAFETY: steps l..l + STEPS of lines line..line + W lie in the view, contiguous along k.
                    let source: [[S; STEPS]; W] = std::array::from_fn(|i| unsafe {
                        at(l, line + i).cast::<[S; STEPS]>().read_unaligned()
                    });
                    for (s, side) in sides.chunks_exact_mut(W).enumerate() {
                        let packed: [T; W] = std::array::from_fn(|i| {
                            value(l + s, line + i, T::from_f64(source[i][s].to_f64()))
                        });
                        side.copy_from_slice(&packed);
                    }
                } else {
                    for (s, side) in sides.chunks_exact_mut(W).enumerate() {
                        for (i, slot) in side.iter_mut().enumerate() {
                            // SAFETY: l + s < depth and line + i < count, so inside the view by the assertion.
                            *slot =
                                value(l + s, line + i, T::from_f64(unsafe { *at(l + s, line + i) }.to_f64()));
                        }
                    }
                }
            }
        }
    }
}
