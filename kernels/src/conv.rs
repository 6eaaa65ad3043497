//! Convolution in two dimensions and its gradients, without copies of patches.
//!
//! Method: the idea of indirect convolution (Dukhan, "The indirect convolution algorithm", 2019) with lists of offsets in
//! place of pointers. Pixels of the result that see the same part of the kernel form a few rectangles (inside, edges,
//! corners). In each, a pixel is a row of a product whose steps are (kh, kw, channel); where the steps lie relative to the pixel
//! is a list that all pixels share. The gradient of the input is the same computation over the pixels of each residue of the
//! stride, with transposed weights; that of the weights is a product over pixels, with lists of those.
//! So padding is never read nor multiplied: NaN reaches only the outputs that see it.
//!
//! **Order.** A pixel of the output is one chain over ascending (kh, kw, channel), one of the input's gradient a chain over
//! descending (kh, kw) and ascending channels. A weight's gradient sums blocks of rows, cut by shape, in a fixed tree.

mod axis;
mod gather;
mod weights;

use crate::gemm::Epilogue;
use crate::matrix::{below, same};
use crate::{Activation, Float, ShapeError};
use axis::Phase;
use gather::Gather;

/// The window of a convolution: height first, then width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel2d {
    /// Taps.
    pub size: [usize; 2],
    /// Input pixels from one output pixel to the next.
    pub stride: [usize; 2],
    /// Zeros before the first and after the last input pixel; never read, so they meet no NaN.
    pub padding: [usize; 2],
    /// Input pixels from one tap to the next.
    pub dilation: [usize; 2],
}

impl Kernel2d {
    /// `height` x `width` taps side by side, stride 1, no padding.
    pub fn new(height: usize, width: usize) -> Self {
        Self { size: [height, width], stride: [1; 2], padding: [0; 2], dilation: [1; 2] }
    }
}

/// A convolution of images in the order batch, height, width, channels (NHWC), with weights in the order kernel height, kernel width,
/// input channels, output channels:
///
/// y(n, oh, ow, o) = sum over kh, kw, i of x(n, oh s + kh d - p, ow s + kw d - p, i) w(kh, kw, i, o),
///
/// x being zero outside the image. NaN and infinity spread as in that sum without the terms outside. Each method takes
/// 2 N OH OW KH KW I O operations at most and no memory that grows with the batch.
///
/// ```
/// use tilewise_kernels::{Conv2d, Kernel2d};
/// // One image of 3 x 3 pixels and one channel; sums of 2 x 2 neighbours.
/// let conv = Conv2d::new(1, [3, 3], [1, 1], Kernel2d::new(2, 2)).unwrap();
/// let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
/// let mut y = [0.0; 4];
/// conv.forward(&x, &[1.0; 4], &mut y).unwrap();
/// assert_eq!(y, [12.0, 16.0, 24.0, 28.0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    batch: usize,
    input: [usize; 2],
    output: [usize; 2],
    channels: [usize; 2],
    kernel: Kernel2d,
}

impl Conv2d {
    /// For `batch` images of `input` = [height, width] pixels, and `channels` = [in, out]. Any of these may be 0.
    ///
    /// # Errors
    /// When the kernel has no taps, a stride or dilation is 0, the kernel reaches further than the padded image, or the
    /// arrays could not be addressed.
    pub fn new(
        batch: usize,
        input: [usize; 2],
        channels: [usize; 2],
        kernel: Kernel2d,
    ) -> Result<Self, ShapeError> {
        let mut output = [0; 2];
        let mut padded = [0; 2];
        for axis in 0..2 {
            for (what, number) in [
                ("taps of the kernel", kernel.size[axis]),
                ("stride", kernel.stride[axis]),
                ("dilation", kernel.dilation[axis]),
            ] {
                if number == 0 {
                    return Err(ShapeError::Zero { what });
                }
            }
            padded[axis] = kernel.padding[axis].saturating_mul(2).saturating_add(input[axis]);
            let reach = (kernel.size[axis] - 1).saturating_mul(kernel.dilation[axis]);
            below("pixels from the first to the last tap", padded[axis], reach)?;
            output[axis] = (padded[axis] - 1 - reach) / kernel.stride[axis] + 1;
        }
        let [channels_in, channels_out] = channels;
        let conv = Self { batch, input, output, channels, kernel };
        let image = [batch.max(1), padded[0], padded[1], channels_in.max(1)];
        let result = [batch.max(1), output[0], output[1], channels_out.max(1)];
        let weights = [kernel.size[0], kernel.size[1], channels_in.max(1), channels_out.max(1)];
        for (what, dims) in [
            ("elements of the padded input", image),
            ("elements of the output", result),
            ("weights", weights),
        ] {
            let most = isize::MAX as usize / 16;
            let found = dims.iter().fold(1, |product: usize, &len| product.saturating_mul(len));
            if found > most || dims.iter().any(|&len| len > most) {
                return Err(ShapeError::TooLong { what, most, found });
            }
        }
        Ok(conv)
    }

    /// Images.
    pub fn batch(&self) -> usize {
        self.batch
    }
    /// Height and width of the input.
    pub fn input_size(&self) -> [usize; 2] {
        self.input
    }
    /// Height and width of the output: (input + 2 padding - (taps - 1) dilation - 1) / stride + 1, rounded down.
    pub fn output_size(&self) -> [usize; 2] {
        self.output
    }
    /// Channels of input and output.
    pub fn channels(&self) -> [usize; 2] {
        self.channels
    }
    /// The window.
    pub fn kernel(&self) -> Kernel2d {
        self.kernel
    }
    /// Elements of the input.
    pub fn input_len(&self) -> usize {
        self.batch * self.input[0] * self.input[1] * self.channels[0]
    }
    /// Elements of the output.
    pub fn output_len(&self) -> usize {
        self.batch * self.output[0] * self.output[1] * self.channels[1]
    }
    /// Elements of the weights.
    pub fn weights_len(&self) -> usize {
        self.kernel.size[0] * self.kernel.size[1] * self.channels[0] * self.channels[1]
    }

    /// y = x * w. Parallel over rows of pixels.
    ///
    /// # Errors
    /// When a slice has another length than its shape says.
    pub fn forward<T: Float>(&self, x: &[T], weights: &[T], y: &mut [T]) -> Result<(), ShapeError> {
        self.forward_fused(x, weights, None, None, y)
    }

    /// y = activation(x * w + bias), a bias for each output channel, in the same pass.
    ///
    /// # Errors
    /// When a slice has another length than its shape says.
    pub fn forward_fused<T: Float>(
        &self,
        x: &[T],
        weights: &[T],
        bias: Option<&[T]>,
        activation: Option<Activation>,
        y: &mut [T],
    ) -> Result<(), ShapeError> {
        self.check(x.len(), weights.len(), y.len())?;
        same("bias against output channels", self.channels[1], bias.map_or(self.channels[1], <[T]>::len))?;
        if y.is_empty() {
            return Ok(());
        }
        let phases = self.forward_phases().map(|phase| vec![phase]);
        let gather = Gather::new(&phases, self.input, self.output, self.channels, self.kernel.size[1]);
        gather.run(x, weights, &Epilogue::of(bias, activation), y);
        Ok(())
    }

    /// The gradient of a loss with respect to x, from the weights and `dy`, that with respect to y. Parallel over rows of pixels; takes
    /// a transposed copy of the weights.
    ///
    /// # Errors
    /// When a slice has another length than its shape says.
    pub fn gradient_input<T: Float>(&self, weights: &[T], dy: &[T], dx: &mut [T]) -> Result<(), ShapeError> {
        self.check(dx.len(), weights.len(), dy.len())?;
        if dx.is_empty() {
            return Ok(());
        }
        let [channels_in, channels_out] = self.channels;
        let phases = [0, 1].map(|axis| Phase::backward(&self.kernel, axis, self.input[axis]));
        let channels = [channels_out, channels_in];
        let gather = Gather::new(&phases, self.output, self.input, channels, self.kernel.size[1]);
        let transposed = weights::transposed(weights, channels_in, channels_out);
        gather.run(dy, &transposed, &Epilogue::NONE, dx);
        Ok(())
    }

    /// The gradient of a loss with respect to the weights, from x and `dy`, that with respect to y. Parallel over blocks of output rows.
    ///
    /// # Errors
    /// When a slice has another length than its shape says.
    pub fn gradient_weights<T: Float>(&self, x: &[T], dy: &[T], dw: &mut [T]) -> Result<(), ShapeError> {
        self.check(x.len(), dw.len(), dy.len())?;
        if !dw.is_empty() {
            weights::gradient(self, x, dy, dw);
        }
        Ok(())
    }

    fn check(&self, x: usize, weights: usize, y: usize) -> Result<(), ShapeError> {
        same("elements of the input", self.input_len(), x)?;
        same("elements of the weights", self.weights_len(), weights)?;
        same("elements of the output", self.output_len(), y)
    }

    fn forward_phases(&self) -> [Phase; 2] {
        [0, 1].map(|axis| Phase::forward(&self.kernel, axis, self.output[axis]))
    }
}
