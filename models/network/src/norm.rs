//! Layer norm and batch norm with their gradients.
//!
//! With x' = (x - mean) / deviation and y = gain x' + bias the gradients are, sums being over a row (layer norm) or a column (batch
//! norm) of n numbers:
//!
//! ```text
//! d bias = sum over rows of dy,   d gain = sum over rows of dy x'
//! dx = (g - (sum g) / n - x' (sum g x') / n) / deviation,   g = gain dy
//! ```
//!
//! All sums are chains over ascending rows or columns, so no bit depends on threads.

use crate::compiled::compiled;
use tilewise_kernels::Float;

/// y, and mean and reciprocal deviation of each row into `notes`.
pub(crate) fn layer_forward<T: Float>(
    x: &[T],
    y: &mut [T],
    (gain, bias): (&[T], &[T]),
    epsilon: f64,
    notes: &mut [T],
) {
    let width = gain.len();
    for ((x, y), note) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(notes.chunks_exact_mut(2))
    {
        let mean = x.iter().map(|x| x.to_f64()).sum::<f64>() / width as f64;
        let variance = x.iter().map(|x| (x.to_f64() - mean).powi(2)).sum::<f64>() / width as f64;
        let (mean, per) = (T::from_f64(mean), T::from_f64(1.0 / (variance + epsilon).sqrt()));
        note.copy_from_slice(&[mean, per]);
        for (((y, &x), &gain), &bias) in y.iter_mut().zip(x).zip(gain).zip(bias) {
            *y = (x - mean) * per * gain + bias;
        }
    }
}

/// Gradients of gain and bias, and of x where `dx` is wanted.
pub(crate) fn layer_backward<T: Float>(
    x: &[T],
    dy: &[T],
    dx: Option<&mut [T]>,
    gain: &[T],
    (d_gain, d_bias): (&mut [T], &mut [T]),
    notes: &[T],
) {
    let width = gain.len();
    d_gain.fill(T::ZERO);
    d_bias.fill(T::ZERO);
    let rows = || x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(notes.chunks_exact(2));
    for ((x, dy), note) in rows() {
        let (mean, per) = (note[0], note[1]);
        compiled::<T, _>(
            #[inline(always)]
            || {
                for (((dg, db), &x), &dy) in d_gain.iter_mut().zip(d_bias.iter_mut()).zip(x).zip(dy) {
                    *dg += dy * ((x - mean) * per);
                    *db += dy;
                }
            },
        );
    }
    let Some(dx) = dx else { return };
    for (((x, dy), note), dx) in rows().zip(dx.chunks_exact_mut(width)) {
        let (mean, per) = (note[0], note[1]);
        let (mut sum, mut along) = (0.0, 0.0);
        for ((&x, &dy), &gain) in x.iter().zip(dy).zip(gain) {
            let g = (gain * dy).to_f64();
            sum += g;
            along += g * ((x - mean) * per).to_f64();
        }
        let (sum, along) = (T::from_f64(sum / width as f64), T::from_f64(along / width as f64));
        for (((dx, &x), &dy), &gain) in dx.iter_mut().zip(x).zip(dy).zip(gain) {
            *dx = (gain * dy - sum - (x - mean) * per * along) * per;
        }
    }
}

/// Mean and reciprocal deviation of each column into `notes`, and the running numbers moved by `momentum` towards them (the
/// variance with n - 1 for n, as PyTorch does).
pub(crate) fn batch_statistics<T: Float>(
    x: &[T],
    notes: &mut [T],
    running: &mut [T],
    epsilon: f64,
    momentum: f64,
) {
    let width = notes.len() / 2;
    let rows = x.len() / width;
    let n = T::from_f64(rows as f64);
    let (mean, per) = notes.split_at_mut(width);
    mean.fill(T::ZERO);
    per.fill(T::ZERO);
    compiled::<T, _>(
        #[inline(always)]
        || {
            for x in x.chunks_exact(width) {
                mean.iter_mut().zip(x).for_each(|(mean, &x)| *mean += x);
            }
            mean.iter_mut().for_each(|mean| *mean /= n);
            for x in x.chunks_exact(width) {
                for ((per, &mean), &x) in per.iter_mut().zip(&*mean).zip(x) {
                    *per += (x - mean) * (x - mean);
                }
            }
        },
    );
    let (running_mean, running_variance) = running.split_at_mut(width);
    let (momentum, epsilon) = (T::from_f64(momentum), T::from_f64(epsilon));
    let unbiased = T::from_f64((rows as f64 - 1.0).max(1.0));
    for j in 0..width {
        running_mean[j] += momentum * (mean[j] - running_mean[j]);
        running_variance[j] += momentum * (per[j] / unbiased - running_variance[j]);
        per[j] = T::ONE / (per[j] / n + epsilon).sqrt();
    }
}

/// y from means and reciprocal deviations.
pub(crate) fn batch_forward<T: Float>(x: &[T], y: &mut [T], (gain, bias): (&[T], &[T]), notes: &[T]) {
    let width = gain.len();
    let (mean, per) = notes.split_at(width);
    compiled::<T, _>(
        #[inline(always)]
        || {
            for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
                for j in 0..width {
                    y[j] = (x[j] - mean[j]) * per[j] * gain[j] + bias[j];
                }
            }
        },
    );
}

/// Gradients of gain and bias, and of x where `dx` is wanted.
pub(crate) fn batch_backward<T: Float>(
    x: &[T],
    dy: &[T],
    dx: Option<&mut [T]>,
    gain: &[T],
    (d_gain, d_bias): (&mut [T], &mut [T]),
    notes: &[T],
) {
    let width = gain.len();
    let (mean, per) = notes.split_at(width);
    d_gain.fill(T::ZERO);
    d_bias.fill(T::ZERO);
    compiled::<T, _>(
        #[inline(always)]
        || {
            for (x, dy) in x.chunks_exact(width).zip(dy.chunks_exact(width)) {
                for j in 0..width {
                    d_gain[j] += dy[j] * ((x[j] - mean[j]) * per[j]);
                    d_bias[j] += dy[j];
                }
            }
        },
    );
    let Some(dx) = dx else { return };
    let per_n = T::ONE / T::from_f64((x.len() / width) as f64);
    compiled::<T, _>(
        #[inline(always)]
        || {
            for ((x, dy), dx) in
                x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width))
            {
                for j in 0..width {
                    let along = (x[j] - mean[j]) * per[j] * d_gain[j] * per_n;
                    dx[j] = gain[j] * per[j] * (dy[j] - d_bias[j] * per_n - along);
                }
            }
        },
    );
}
