//! Windows that slide over images.

use crate::plan::MOST_NUMBERS;
use serde::{Deserialize, Serialize};
use tilewise_base::{Error, Result};
use tilewise_kernels::{Conv2d, Kernel2d};

/// A window that slides over an image: height first, then width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Pixels that it sees.
    pub size: [usize; 2],
    /// Pixels from one place to the next.
    pub stride: [usize; 2],
    /// Pixels around the image on each side: zeros to a convolution and an average, nothing to a maximum.
    pub padding: [usize; 2],
    /// Pixels from one that it sees to the next; 1 for pooling.
    pub dilation: [usize; 2],
}

impl Window {
    /// `size` x `size` pixels side by side, stride 1, no padding.
    pub fn square(size: usize) -> Self {
        Self { size: [size; 2], stride: [1; 2], padding: [0; 2], dilation: [1; 2] }
    }

    /// With this stride.
    pub fn stride(self, stride: usize) -> Self {
        Self { stride: [stride; 2], ..self }
    }

    /// With so many pixels on each side.
    pub fn padding(self, padding: usize) -> Self {
        Self { padding: [padding; 2], ..self }
    }

    /// With this dilation.
    pub fn dilation(self, dilation: usize) -> Self {
        Self { dilation: [dilation; 2], ..self }
    }
}

/// Height, width and channels of an image, which lies in memory in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) size: [usize; 2],
    pub(crate) channels: usize,
}

impl Image {
    pub(crate) fn len(&self) -> usize {
        self.size[0] * self.size[1] * self.channels
    }

    pub(crate) fn describe(&self) -> String {
        format!("{} x {} x {}", self.channels, self.size[0], self.size[1])
    }
}

/// A window at work on images of one size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    pub(crate) window: Window,
    pub(crate) input: Image,
    pub(crate) output: Image,
}

impl Places {
    /// # Errors
    /// When the window has no pixels or does not fit into the padded image, or that is too large.
    pub(crate) fn new(window: Window, input: Image, channels: usize) -> Result<Self> {
        let padded = |axis: usize| window.padding[axis].saturating_mul(2).saturating_add(input.size[axis]);
        let numbers = padded(0).saturating_mul(padded(1)).saturating_mul(input.channels);
        if numbers > MOST_NUMBERS {
            return Err(Error::Fit(format!(
                "with its padding it has {numbers} numbers; up to {MOST_NUMBERS} are accepted"
            )));
        }
        let output = Image { size: convolution(window, input, channels, 1)?.output_size(), channels };
        Ok(Self { window, input, output })
    }

    /// The kernel for a batch.
    pub(crate) fn convolution(&self, rows: usize) -> Result<Conv2d> {
        convolution(self.window, self.input, self.output.channels, rows)
    }

    /// The pixels of the image, as (row, column), that the place (i, j) of the result sees, row by row.
    pub(crate) fn seen(&self, i: usize, j: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (rows, columns) = (self.along(0, i), self.along(1, j));
        rows.flat_map(move |row| columns.clone().map(move |col| (row, col)))
    }

    /// Those along an axis, 0 (rows) or 1, that the place of this number sees.
    #[inline(always)]
    pub(crate) fn along(&self, axis: usize, place: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        let Self { window: Window { size, stride, padding, dilation }, input, .. } = *self;
        let (taps, first) = (size[axis], place * stride[axis]);
        (0..taps).filter_map(move |tap| {
            let pixel = (first + tap * dilation[axis]).checked_sub(padding[axis])?;
            (pixel < input.size[axis]).then_some(pixel)
        })
    }
}

fn convolution(window: Window, input: Image, channels: usize, rows: usize) -> Result<Conv2d> {
    let Window { size, stride, padding, dilation } = window;
    let kernel = Kernel2d { size, stride, padding, dilation };
    Conv2d::new(rows, input.size, [input.channels, channels], kernel).map_err(Error::from)
}
