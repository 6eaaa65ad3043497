//! One axis of a convolution: which taps reach which pixels.

use super::Kernel2d;
use std::ops::Range;

/// A tap of the kernel.
pub(super) struct Tap {
    /// Its number.
    pub(super) tap: usize,
    /// The source pixel that place 0 sees through it; may lie outside.
    pub(super) base: isize,
}

/// Pixels of the result that go through the same taps: `first + step i` for the places i, which see source pixel
/// `base + along i` through each tap. Taps are listed by ascending base.
pub(super) struct Phase {
    pub(super) first: usize,
    pub(super) step: usize,
    pub(super) count: usize,
    pub(super) along: usize,
    pub(super) taps: Vec<Tap>,
}

/// Neighbouring places that see the same taps.
#[derive(Clone)]
pub(super) struct Run {
    pub(super) places: Range<usize>,
    pub(super) taps: Range<usize>,
}

impl Phase {
    /// Output pixels from input pixels.
    pub(super) fn forward(kernel: &Kernel2d, axis: usize, count: usize) -> Self {
        let base = |tap| (tap * kernel.dilation[axis]) as isize - kernel.padding[axis] as isize;
        let taps = (0..kernel.size[axis]).map(|tap| Tap { tap, base: base(tap) }).collect();
        Self { first: 0, step: 1, count, along: kernel.stride[axis], taps }
    }

    /// Input pixels from output pixels, a phase for each residue of the stride: pixel i meets output pixel
    /// (i + padding - tap dilation) / stride where that is whole.
    pub(super) fn backward(kernel: &Kernel2d, axis: usize, len: usize) -> Vec<Self> {
        let (step, padding) = (kernel.stride[axis], kernel.padding[axis] as isize);
        let phase = |first: usize| {
            let meets = |tap: usize| {
                let ahead = first as isize + padding - (tap * kernel.dilation[axis]) as isize;
                let whole = ahead.rem_euclid(step as isize) == 0;
                whole.then(|| Tap { tap, base: ahead.div_euclid(step as isize) })
            };
            let taps = (0..kernel.size[axis]).rev().filter_map(meets).collect();
            Self { first, step, count: (len - first).div_ceil(step), along: 1, taps }
        };
        (0..step.min(len)).map(phase).collect()
    }

    /// The runs of places, of a source of `len` pixels.
    pub(super) fn runs(&self, len: usize) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for place in 0..self.count {
            let shift = (place * self.along) as isize;
            let from = self.taps.partition_point(|tap| tap.base + shift < 0);
            let to = self.taps.partition_point(|tap| tap.base + shift < len as isize);
            match runs.last_mut() {
                Some(run) if run.taps == (from..to) => run.places.end = place + 1,
                _ => runs.push(Run { places: place..place + 1, taps: from..to }),
            }
        }
        runs
    }
}
