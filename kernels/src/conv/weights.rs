//! The gradient of the weights: products over pixels.

use super::Conv2d;
use super::axis::Tap;
use super::gather::matrix;
use crate::gemm::{Epilogue, Listed, Offsets};
use crate::{Float, parallel};
use std::ops::Range;

/// Multiply-adds of a block of rows: enough to pay for zeroing and merging its sums.
const WORK_PER_BLOCK: usize = 16_000_000;

/// Pixels of a block: so many that its sums are worth their memory, so few that the lists of them stay in L1 and L2.
const PIXELS: (usize, usize) = (1024, 8192);

/// Pixels that all sums take before the next ones: their lines of x stay in L1.
const DEPTH: usize = 256;

/// Each tap's I x O matrix transposed.
pub(super) fn transposed<T: Float>(weights: &[T], channels_in: usize, channels_out: usize) -> Vec<T> {
    let mut out = vec![T::ZERO; weights.len()];
    let len = channels_in * channels_out;
    parallel::for_each_chunk_mut(&mut out, len.max(1), |tap, out| {
        let from = &weights[tap * len..];
        for (o, row) in out.chunks_exact_mut(channels_in).enumerate() {
            row.iter_mut().enumerate().for_each(|(i, x)| *x = from[i * channels_out + o]);
        }
    });
    out
}

/// dw, which is not empty, from x and dy. Shapes were checked.
pub(super) fn gradient<T: Float>(conv: &Conv2d, x: &[T], dy: &[T], dw: &mut [T]) {
    let [out_height, out_width] = conv.output;
    let work = out_width.saturating_mul(dw.len());
    let rows = (WORK_PER_BLOCK / work).clamp(PIXELS.0.div_ceil(out_width), (PIXELS.1 / out_width).max(1));
    let sums = parallel::map_reduce(
        conv.batch * out_height,
        rows,
        |rows| block(conv, x, dy, rows),
        |mut left, right| {
            left.iter_mut().zip(&right).for_each(|(left, &right)| *left += right);
            left
        },
    );
    match sums {
        Some(sums) => dw.copy_from_slice(&sums),
        None => dw.fill(T::ZERO),
    }
}

/// The sums over some rows of output pixels, counted through all images.
fn block<T: Float>(conv: &Conv2d, x: &[T], dy: &[T], rows: Range<usize>) -> Vec<T> {
    let ([height, width], [out_height, out_width]) = (conv.input, conv.output);
    let [channels_in, channels_out] = conv.channels;
    let ([down, across], stride) = (conv.forward_phases(), conv.kernel.stride);
    let mut sums = vec![T::ZERO; conv.weights_len()];
    for run in down.runs(height) {
        for cols in across.runs(width) {
            let (mut source, mut result) = (Vec::new(), Vec::new());
            for row in rows.clone() {
                let (image, i) = (row / out_height, row % out_height);
                if run.places.contains(&i) {
                    for j in cols.places.clone() {
                        let pixel = (image * height + i * stride[0]) * width + j * stride[1];
                        source.push((pixel * channels_in) as isize);
                        result.push(((row * out_width + j) * channels_out) as isize);
                    }
                }
            }
            if source.is_empty() {
                continue;
            }
            let (source, result) = (Offsets::new(source), Offsets::new(result));
            // Taps side by side in the image are side by side in the weights.
            let together = if conv.kernel.dilation[1] == 1 { cols.taps.len() } else { 1 };
            for row in &down.taps[run.taps.clone()] {
                for taps in across.taps[cols.taps.clone()].chunks(together.max(1)) {
                    let Tap { tap, base } = taps[0];
                    let at = (row.base * width as isize + base) * channels_in as isize;
                    let first = (row.tap * conv.kernel.size[1] + tap) * channels_in * channels_out;
                    let lines = taps.len() * channels_in;
                    let mut c = matrix(&mut sums, first, lines, channels_out, channels_out);
                    let a = Listed { data: x, at, row_stride: 1, offsets: &source };
                    let b = Listed { data: dy, at: 0, row_stride: 0, offsets: &result };
                    a.times(&b, 0..source.len(), DEPTH, T::ONE, &mut c, &Epilogue::NONE);
                }
            }
        }
    }
    sums
}
