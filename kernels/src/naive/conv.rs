//! Convolution in two dimensions: the definition.

use crate::{Conv2d, Float};

/// Calls `f` with the places in input, weights and output of every product of a convolution.
fn each_product(conv: &Conv2d, mut f: impl FnMut(usize, usize, usize)) {
    let [height, width] = conv.input_size();
    let [out_height, out_width] = conv.output_size();
    let kernel = conv.kernel();
    let [kernel_height, kernel_width] = kernel.size;
    let [channels_in, channels_out] = conv.channels();
    let source = |o: usize, tap: usize, axis: usize, len: usize| {
        let padded = o * kernel.stride[axis] + tap * kernel.dilation[axis];
        padded.checked_sub(kernel.padding[axis]).filter(|&place| place < len)
    };
    for n in 0..conv.batch() {
        for oh in 0..out_height {
            for ow in 0..out_width {
                for kh in 0..kernel_height {
                    for kw in 0..kernel_width {
                        let (Some(h), Some(w)) = (source(oh, kh, 0, height), source(ow, kw, 1, width)) else {
                            continue;
                        };
                        for i in 0..channels_in {
                            for o in 0..channels_out {
                                f(
                                    ((n * height + h) * width + w) * channels_in + i,
                                    ((kh * kernel_width + kw) * channels_in + i) * channels_out + o,
                                    ((n * out_height + oh) * out_width + ow) * channels_out + o,
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

fn rounded<T: Float>(sums: &[f64], out: &mut [T]) {
    out.iter_mut().zip(sums).for_each(|(out, &sum)| *out = T::from_f64(sum));
}

/// What [`Conv2d::forward`] computes.
///
/// # Panics
/// When a slice is shorter than its shape says.
pub fn conv2d<T: Float>(conv: &Conv2d, x: &[T], weights: &[T], out: &mut [T]) {
    let mut sums = vec![0.0; out.len()];
    each_product(conv, |i, k, o| sums[o] += x[i].to_f64() * weights[k].to_f64());
    rounded(&sums, out);
}

/// What [`Conv2d::gradient_input`] computes.
///
/// # Panics
/// When a slice is shorter than its shape says.
pub fn conv2d_gradient_input<T: Float>(conv: &Conv2d, weights: &[T], dy: &[T], dx: &mut [T]) {
    let mut sums = vec![0.0; dx.len()];
    each_product(conv, |i, k, o| sums[i] += weights[k].to_f64() * dy[o].to_f64());
    rounded(&sums, dx);
}

/// What [`Conv2d::gradient_weights`] computes.
///
/// # Panics
/// When a slice is shorter than its shape says.
pub fn conv2d_gradient_weights<T: Float>(conv: &Conv2d, x: &[T], dy: &[T], dw: &mut [T]) {
    let mut sums = vec![0.0; dw.len()];
    each_product(conv, |i, k, o| sums[k] += x[i].to_f64() * dy[o].to_f64());
    rounded(&sums, dw);
}
