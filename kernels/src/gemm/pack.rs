//! Packing: copying a block of an operand into panels in the order in which the register tile reads it.
//!
//! A panel holds `width` rows of A (or columns of B), the `width` values of one k side by side, k after k; a last,
//! narrower panel is filled up with zeros, so that the tile has no edge along that side.
//!
//! Deciding per element whether there are weights or a shift cost a quarter of a 1024-cubed product; so each kind of
//! operand has loops of its own.

use super::driver::Operand;
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

/// Packs a block into consecutive panels at `out`, which has room for `count.next_multiple_of(width) * depth` elements.
#[inline(always)]
pub(crate) fn pack<S: Float, T: Float, L: Lanes<T>>(
    simd: L,
    operand: &Operand<'_, S, T>,
    block: Block,
    width: usize,
    out: &mut [T],
) {
    let (scale, from) = (operand.scale, block.from);
    match (operand.weights, operand.shift) {
        (None, None) if scale == T::ONE => panels(simd, operand, block, width, out, |_, _, x| x),
        (None, None) => panels(simd, operand, block, width, out, |_, _, x| scale * x),
        (None, Some(shift)) => {
            let shift = &shift[block.first..][..block.count];
            panels(simd, operand, block, width, out, |_, line, x| x - shift[line])
        }
        (Some(weights), None) => {
            let weights = &weights[from..][..block.depth];
            panels(simd, operand, block, width, out, |k, _, x| weights[k] * x)
        }
        (Some(weights), Some(shift)) => {
            let (weights, shift) = (&weights[from..][..block.depth], &shift[block.first..][..block.count]);
            panels(simd, operand, block, width, out, |k, line, x| weights[k] * (x - shift[line]))
        }
    }
}

/// The loops, with what is done to element `x` at (k, line), both counted inside the block.
#[inline(always)]
fn panels<S: Float, T: Float, L: Lanes<T>>(
    simd: L,
    operand: &Operand<'_, S, T>,
    Block { first, count, from, depth }: Block,
    width: usize,
    out: &mut [T],
    value: impl Fn(usize, usize, T) -> T,
) {
    let view = operand.view;
    let (along_k, along_line) = (view.row_stride(), view.col_stride());
    assert!(first + count <= view.cols() && from + depth <= view.rows());
    for (p, panel) in out.chunks_exact_mut(width * depth).take(count.div_ceil(width)).enumerate() {
        let line = p * width;
        let lines = width.min(count - line);
        let at = |l: usize, i: usize| {
            let offset = (from + l) as isize * along_k + (first + line + i) as isize * along_line;
            // SAFETY: called with l < depth and i < lines only, so inside the view by the assertion above.
            unsafe { *view.as_ptr().offset(offset) }
        };
        let element = |l: usize, i: usize| value(l, line + i, T::from_f64(at(l, i).to_f64()));
        if lines < width {
            panel.fill(T::ZERO);
            for l in 0..depth {
                (0..lines).for_each(|i| panel[l * width + i] = element(l, i));
            }
        } else if along_line == 1 {
            // Contiguous along the panel: whole vectors.
            for (l, side) in panel.chunks_exact_mut(width).enumerate() {
                // SAFETY: elements (from + l, first + line ..+ width) lie in the view, contiguous by stride 1.
                let source = unsafe {
                    let start = (from + l) as isize * along_k + (first + line) as isize;
                    std::slice::from_raw_parts(view.as_ptr().offset(start), width)
                };
                for (i, (slot, x)) in side.iter_mut().zip(source).enumerate() {
                    *slot = value(l, line + i, T::from_f64(x.to_f64()));
                }
            }
        } else {
            // A transposition: each line is read from end to end and scattered over the panel, which stays in L1.
            // Lines are often a page apart, where no hardware prefetcher follows; asking for the next panel's lines
            // while packing this one took packing from 8 % to X % of a 1024-cubed product.
            let per_cache_line = 64 / size_of::<S>();
            for i in 0..width {
                let ahead = view.as_ptr().wrapping_offset(
                    from as isize * along_k + (first + line + i + width) as isize * along_line,
                );
                for (l, side) in panel.chunks_exact_mut(width).enumerate() {
                    if l % per_cache_line == 0 {
                        simd.prefetch(ahead.wrapping_offset(l as isize * along_k));
                    }
                    side[i] = element(l, i);
                }
            }
        }
    }
}
