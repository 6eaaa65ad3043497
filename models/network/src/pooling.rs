//! Pooling of images, and the order of their numbers.
//!
//! Images lie in memory as height, width, channels; neighbours in a loop over channels are neighbours in memory. A row of the input, as
//! PyTorch has it, is channels, height, width.

use crate::compiled::compiled;
use crate::window::{Image, Places};
use tilewise_kernels::{Float, parallel};

/// Images of so many numbers that make up a piece of about 64 KiB of `f32`, in numbers.
fn piece(image: usize) -> usize {
    (crate::compiled::PIECE / image.max(1)).max(1) * image
}

/// `f(image, its numbers)` for all images of `out`.
fn each<T: Float>(out: &mut [T], len: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let many = piece(len);
    parallel::for_each_chunk_mut(out, many, |i, out| {
        out.chunks_exact_mut(len).enumerate().for_each(|(j, out)| f(i * (many / len) + j, out));
    });
}

/// y = the largest number that each place sees; NaN where it sees one.
pub(crate) fn max<T: Float>(places: &Places, x: &[T], y: &mut [T]) {
    pool(
        places,
        x,
        y,
        #[inline(always)]
        |y, x| if y > x || y.is_nan() { y } else { x },
    );
}

/// y = the sum of what each place sees over the pixels of the window, padding included, as PyTorch does.
pub(crate) fn average<T: Float>(places: &Places, x: &[T], y: &mut [T]) {
    let per = share(places);
    pool(
        places,
        x,
        y,
        #[inline(always)]
        |y, x| y + x,
    );
    crate::compiled::for_each_rows(y, 1, |_, y| y.iter_mut().for_each(|y| *y *= per));
}

fn share<T: Float>(places: &Places) -> T {
    T::ONE / T::from_f64((places.window.size[0] * places.window.size[1]) as f64)
}

/// The first pixel that a place sees is copied, others are joined to it, row by row. The loop over all of an image is compiled as one:
/// of 16 and 32 channels a call for each pixel was 15 % of a profile of a network's answers.
fn pool<T: Float>(places: &Places, x: &[T], y: &mut [T], join: impl Fn(T, T) -> T + Sync) {
    let (Image { size: [_, width], channels: c }, out) = (places.input, places.output);
    let len = places.input.len();
    each(y, out.len(), |image, y| {
        let x = &x[image * len..][..len];
        compiled::<T, _>(
            #[inline(always)]
            || {
                for (i, y) in y.chunks_exact_mut(out.size[1] * c).enumerate() {
                    for (above, row) in places.along(0, i).enumerate() {
                        let x = &x[row * width * c..][..width * c];
                        for (j, y) in y.chunks_exact_mut(c).enumerate() {
                            for (before, col) in places.along(1, j).enumerate() {
                                let seen = &x[col * c..][..c];
                                if above + before == 0 {
                                    y.copy_from_slice(seen);
                                } else {
                                    y.iter_mut().zip(seen).for_each(|(y, &x)| *y = join(*y, x));
                                }
                            }
                        }
                    }
                }
            },
        );
    });
}

/// dx of [`max`]: dy goes to the first of the largest numbers.
pub(crate) fn max_backward<T: Float>(places: &Places, x: &[T], y: &[T], dy: &[T], dx: &mut [T]) {
    let (Image { size: [_, width], channels: c }, out) = (places.input, places.output);
    let (len, out_len) = (places.input.len(), out.len());
    each(dx, len, |image, dx| {
        let (x, y) = (&x[image * len..][..len], &y[image * out_len..][..out_len]);
        let dy = &dy[image * out_len..][..out_len];
        // What of dy no pixel has taken yet.
        let mut left = vec![T::ZERO; c];
        compiled::<T, _>(
            #[inline(always)]
            || {
                dx.fill(T::ZERO);
                for (place, (y, dy)) in y.chunks_exact(c).zip(dy.chunks_exact(c)).enumerate() {
                    left.copy_from_slice(dy);
                    for row in places.along(0, place / out.size[1]) {
                        for col in places.along(1, place % out.size[1]) {
                            let at = (row * width + col) * c;
                            let pixel = dx[at..][..c].iter_mut().zip(&x[at..][..c]);
                            for ((dx, x), (y, left)) in pixel.zip(y.iter().zip(&mut left)) {
                                let takes = x == y;
                                *dx += if takes { *left } else { T::ZERO };
                                *left = if takes { T::ZERO } else { *left };
                            }
                        }
                    }
                }
            },
        );
    });
}

/// dx of [`average`].
pub(crate) fn average_backward<T: Float>(places: &Places, dy: &[T], dx: &mut [T]) {
    let (Image { size: [_, width], channels: c }, out) = (places.input, places.output);
    let (len, out_len, per) = (places.input.len(), out.len(), share::<T>(places));
    each(dx, len, |image, dx| {
        dx.fill(T::ZERO);
        for (place, dy) in dy[image * out_len..][..out_len].chunks_exact(c).enumerate() {
            for (row, col) in places.seen(place / out.size[1], place % out.size[1]) {
                let dx = &mut dx[(row * width + col) * c..][..c];
                dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += per * dy);
            }
        }
    });
}

/// Images of channels, height, width become height, width, channels where `inwards`, else the other way round.
pub(crate) fn reorder<T: Float>(image: &Image, inwards: bool, x: &[T], y: &mut [T]) {
    let (len, pixels, c) = (image.len(), image.size[0] * image.size[1], image.channels);
    each(y, len, |i, y| {
        let x = &x[i * len..][..len];
        if c == 1 || pixels == 1 {
            return y.copy_from_slice(x);
        }
        // Columns of the result, and of the source.
        let (wide, high) = if inwards { (c, pixels) } else { (pixels, c) };
        for (row, y) in y.chunks_exact_mut(wide).enumerate() {
            y.iter_mut().enumerate().for_each(|(col, y)| *y = x[col * high + row]);
        }
    });
}
