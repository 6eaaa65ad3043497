//! Images from images: every pixel of the result gathers what its taps see.

use super::axis::{Phase, Tap};
use crate::gemm::{Epilogue, Listed, Offsets, even_piece};
use crate::{Float, MatMut, parallel};
use std::ops::Range;

/// Multiply-adds of a job, some 50 microseconds.
const WORK_PER_JOB: usize = 4_000_000;

/// Bytes of weights that stay in L2 while the rows of a job pass.
const CACHED: usize = 512 << 10;

/// Pixels that see the same taps, and where these lie.
struct Window {
    /// First pixel, pixels from place to place, and source pixels from place to place, of each axis.
    first: [usize; 2],
    step: [usize; 2],
    along: [usize; 2],
    places: [Range<usize>; 2],
    source: Offsets,
    weights: Offsets,
}

/// The windows that make up an image.
pub(super) struct Gather {
    source: [usize; 2],
    result: [usize; 2],
    /// Of source and result.
    channels: [usize; 2],
    windows: Vec<Window>,
}

impl Gather {
    /// With weights in the order height, width (`taps_wide` of them), channels of the source, channels of the result.
    pub(super) fn new(
        phases: &[Vec<Phase>; 2],
        source: [usize; 2],
        result: [usize; 2],
        channels: [usize; 2],
        taps_wide: usize,
    ) -> Self {
        let mut windows = Vec::new();
        for down in &phases[0] {
            for across in &phases[1] {
                for rows in down.runs(source[0]) {
                    for cols in across.runs(source[1]) {
                        let taps = [&down.taps[rows.taps.clone()], &across.taps[cols.taps.clone()]];
                        let (source, weights) = offsets(taps, source[1], channels, taps_wide);
                        windows.push(Window {
                            first: [down.first, across.first],
                            step: [down.step, across.step],
                            along: [down.along, across.along],
                            places: [rows.places.clone(), cols.places],
                            source,
                            weights,
                        });
                    }
                }
            }
        }
        Self { source, result, channels, windows }
    }

    /// Computes all images of `out`, which is not empty.
    pub(super) fn run<T: Float>(&self, x: &[T], weights: &[T], epilogue: &Epilogue<'_, T>, out: &mut [T]) {
        let row = self.result[1] * self.channels[1];
        let most = self.windows.iter().map(|window| window.source.len()).max().unwrap_or(0);
        let rows = (WORK_PER_JOB / row.saturating_mul(most).max(1)).max(1);
        parallel::for_each_chunk_mut(out, rows * row, |job, out| {
            let first = job * rows;
            self.rows(x, weights, epilogue, first..first + out.len() / row, out);
        });
    }

    /// The rows in `rows`, counted through all images.
    fn rows<T: Float>(
        &self,
        x: &[T],
        weights: &[T],
        epilogue: &Epilogue<'_, T>,
        rows: Range<usize>,
        out: &mut [T],
    ) {
        let (height, n) = (self.result[0], self.channels[1]);
        for window in &self.windows {
            let k = window.source.len();
            let depth = even_piece(k, (CACHED / (n * size_of::<T>())).max(1), 1).max(1);
            // Once at least: where no tap reaches, zeros remain.
            for from in (0..k.max(1)).step_by(depth) {
                let steps = from..(from + depth).min(k);
                for image in rows.start / height..rows.end.div_ceil(height) {
                    let inside = rows.start.max(image * height)..rows.end.min((image + 1) * height);
                    let inside = inside.start - image * height..inside.end - image * height;
                    window.lines(inside, |place, count, axis| {
                        let [i, j] = place;
                        let pixel =
                            [window.first[0] + window.step[0] * i, window.first[1] + window.step[1] * j];
                        let line = image * height + pixel[0] - rows.start;
                        let at = (line * self.result[1] + pixel[1]) * n;
                        let apart = window.step[axis] * n * if axis == 0 { self.result[1] } else { 1 };
                        let mut c = matrix(out, at, count, n, apart);
                        let (a, b) = self.operands(x, weights, window, image, place, axis);
                        let (beta, last) = (if from == 0 { T::ZERO } else { T::ONE }, steps.end == k);
                        if steps.is_empty() {
                            c.fill(T::ZERO);
                            epilogue.apply(&mut c);
                        } else {
                            let epilogue = if last { epilogue } else { &Epilogue::NONE };
                            a.times(&b, steps.clone(), steps.len(), beta, &mut c, epilogue);
                        }
                    });
                }
            }
        }
    }

    fn operands<'a, T>(
        &self,
        x: &'a [T],
        weights: &'a [T],
        window: &'a Window,
        image: usize,
        [i, j]: [usize; 2],
        axis: usize,
    ) -> (Listed<'a, T>, Listed<'a, T>) {
        let ([height, width], channels) = (self.source, self.channels[0]);
        let at = ((image * height + i * window.along[0]) * width + j * window.along[1]) * channels;
        let apart = window.along[axis] * channels * if axis == 0 { width } else { 1 };
        let a = Listed { data: x, at: at as isize, row_stride: apart as isize, offsets: &window.source };
        (a, Listed { data: weights, at: 0, row_stride: 0, offsets: &window.weights })
    }
}

impl Window {
    /// Calls `f(first place, places, axis)` for lines of places whose pixels have a row in `rows`: along the longer axis, as tiles are high.
    fn lines(&self, rows: Range<usize>, mut f: impl FnMut([usize; 2], usize, usize)) {
        let place = |row: usize| row.saturating_sub(self.first[0]).div_ceil(self.step[0]);
        let [down, across] = &self.places;
        let down = down.start.max(place(rows.start))..down.end.min(place(rows.end));
        if down.is_empty() || across.is_empty() {
            return;
        }
        if across.len() >= down.len().min(LONG) {
            down.for_each(|i| f([i, across.start], across.len(), 1));
        } else {
            across.clone().for_each(|j| f([down.start, j], down.len(), 0));
        }
    }
}

/// Places in a line from which longer ones gain nothing: tiles are full.
const LONG: usize = 24;

/// Where the taps lie, in the source relative to the pixel at place (0, 0), and in the weights.
fn offsets(
    [down, across]: [&[Tap]; 2],
    width: usize,
    [channels, n]: [usize; 2],
    taps_wide: usize,
) -> (Offsets, Offsets) {
    let mut lists = (Vec::new(), Vec::new());
    for row in down {
        for col in across {
            let source = (row.base * width as isize + col.base) * channels as isize;
            let weights = (row.tap * taps_wide + col.tap) * channels * n;
            lists.0.extend((0..channels).map(|channel| source + channel as isize));
            lists.1.extend((0..channels).map(|channel| (weights + channel * n) as isize));
        }
    }
    (Offsets::new(lists.0), Offsets::new(lists.1))
}

/// Rows of C in the pixels of an image.
pub(super) fn matrix<T: Float>(
    out: &mut [T],
    at: usize,
    rows: usize,
    cols: usize,
    apart: usize,
) -> MatMut<'_, T> {
    match MatMut::with_strides(out, at, rows, cols, apart as isize, 1) {
        Ok(view) => view,
        Err(error) => unreachable!("places lie inside the image: {error}"),
    }
}
