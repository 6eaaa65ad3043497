//! Convolution and its gradients, beside a matrix of patches and a product.

use crate::case::{Case, Cost, Outcome, Work, bytes, element, gamma, widen};
use crate::operand::{Draw, Vector};
use tilewise_kernels::{Conv2d, Float, Kernel2d, MatMut, MatRef, ShapeError, gemm, naive};

pub(super) fn cases<T: Float>() -> Vec<Case> {
    let case = |name, formula, make| Case {
        name,
        element: element::<T>(),
        formula,
        dims: &["images", "pixels wide", "channels in", "out", "taps wide", "stride"],
        timed: &[
            &[8, 28, 32, 64, 3, 1],
            &[8, 56, 64, 64, 3, 1],
            &[32, 28, 1, 8, 5, 1],
            &[8, 28, 64, 128, 1, 2],
        ],
        quick: &[2, 14, 8, 16, 3, 1],
        largest: &[3, 12, 9, 40, 5, 3],
        beside: Some("patches and a product"),
        make,
    };
    vec![
        case("conv2d", "Y = X * W, as many pixels as in X where the stride is 1", |shape, draw| {
            Box::new(Convolution::<T>::new(shape, Which::Forward, draw))
        }),
        case("conv2d_dx", "gradient of X from W and that of Y", |shape, draw| {
            Box::new(Convolution::<T>::new(shape, Which::Input, draw))
        }),
        case("conv2d_dw", "gradient of W from X and that of Y", |shape, draw| {
            Box::new(Convolution::<T>::new(shape, Which::Weights, draw))
        }),
    ]
}

#[derive(Clone, Copy)]
enum Which {
    Forward,
    Input,
    Weights,
}

struct Convolution<T> {
    conv: Conv2d,
    which: Which,
    /// The operands in the order of the method, and its result.
    a: Vector<T>,
    b: Vector<T>,
    out: Vector<T>,
    patches: Vec<T>,
}

impl<T: Float> Convolution<T> {
    fn new(shape: &[usize], which: Which, draw: &mut Draw) -> Self {
        let taps = shape[4].max(1);
        let kernel = Kernel2d {
            stride: [shape[5].max(1); 2],
            padding: [taps / 2; 2],
            dilation: [1 + draw.choose(2); 2],
            ..Kernel2d::new(taps, taps)
        };
        // At least as wide as the taps reach.
        let size = [shape[1].max(2 * taps); 2];
        let conv = Conv2d::new(shape[0], size, [shape[2], shape[3]], kernel).expect("a kernel that fits");
        let (x, w, y) = (conv.input_len(), conv.weights_len(), conv.output_len());
        let (a, b, out) = match which {
            Which::Forward => (x, w, y),
            Which::Input => (w, y, x),
            Which::Weights => (x, y, w),
        };
        Self {
            conv,
            which,
            a: draw.vector(a, 1.0),
            b: draw.vector(b, 1.0),
            out: draw.vector(out, 1.0),
            patches: vec![T::ZERO; Self::patches_shape(&conv).iter().product()],
        }
    }

    /// Rows and columns of the matrix of patches.
    fn patches_shape(conv: &Conv2d) -> [usize; 2] {
        let ([height, width], kernel) = (conv.output_size(), conv.kernel());
        [conv.batch() * height * width, kernel.size[0] * kernel.size[1] * conv.channels()[0]]
    }

    /// Calls `f` with the place in the matrix of patches and that in X of every tap inside the image; both go on for as long
    /// as there are channels.
    fn each_tap(conv: &Conv2d, mut f: impl FnMut(usize, usize)) {
        let ([height, width], [out_height, out_width]) = (conv.input_size(), conv.output_size());
        let (kernel, channels) = (conv.kernel(), conv.channels()[0]);
        let taps = kernel.size[0] * kernel.size[1];
        for row in 0..conv.batch() * out_height * out_width {
            let (image, oh, ow) =
                (row / out_width / out_height, row / out_width % out_height, row % out_width);
            for tap in 0..taps {
                let at = |o: usize, tap: usize, axis: usize, len: usize| {
                    let padded = o * kernel.stride[axis] + tap * kernel.dilation[axis];
                    padded.checked_sub(kernel.padding[axis]).filter(|&place| place < len)
                };
                let down = at(oh, tap / kernel.size[1], 0, height);
                let across = at(ow, tap % kernel.size[1], 1, width);
                if let (Some(down), Some(across)) = (down, across) {
                    f((row * taps + tap) * channels, ((image * height + down) * width + across) * channels);
                }
            }
        }
    }

    fn by_patches(&mut self) -> Result<(), ShapeError> {
        let conv = self.conv;
        let ([rows, cols], [channels_in, channels_out]) = (Self::patches_shape(&conv), conv.channels());
        let (a, b, out) = (self.a.get(), self.b.get(), self.out.get_mut());
        if !matches!(self.which, Which::Input) {
            self.patches.fill(T::ZERO);
            Self::each_tap(&conv, |patch, x| {
                self.patches[patch..patch + channels_in].copy_from_slice(&a[x..x + channels_in]);
            });
        }
        let (one, zero) = (T::ONE, T::ZERO);
        match self.which {
            Which::Forward => {
                let patches = MatRef::new(&self.patches, rows, cols)?;
                gemm(
                    one,
                    patches,
                    MatRef::new(b, cols, channels_out)?,
                    zero,
                    MatMut::new(out, rows, channels_out)?,
                )
            }
            Which::Weights => {
                let patches = MatRef::new(&self.patches, rows, cols)?.transpose();
                gemm(
                    one,
                    patches,
                    MatRef::new(b, rows, channels_out)?,
                    zero,
                    MatMut::new(out, cols, channels_out)?,
                )
            }
            Which::Input => {
                let weights = MatRef::new(a, cols, channels_out)?.transpose();
                let patches = MatMut::new(&mut self.patches, rows, cols)?;
                gemm(one, MatRef::new(b, rows, channels_out)?, weights, zero, patches)?;
                out.fill(T::ZERO);
                Self::each_tap(&conv, |patch, x| {
                    let patch = &self.patches[patch..patch + channels_in];
                    out[x..x + channels_in].iter_mut().zip(patch).for_each(|(x, &p)| *x += p);
                });
                Ok(())
            }
        }
    }

    fn twin(&self, a: &[T], b: &[T], out: &mut [T]) {
        match self.which {
            Which::Forward => naive::conv2d(&self.conv, a, b, out),
            Which::Input => naive::conv2d_gradient_input(&self.conv, a, b, out),
            Which::Weights => naive::conv2d_gradient_weights(&self.conv, a, b, out),
        }
    }
}

impl<T: Float> Work for Convolution<T> {
    fn ours(&mut self) -> Outcome {
        let (a, b, out) = (self.a.get(), self.b.get(), self.out.get_mut());
        Ok(match self.which {
            Which::Forward => self.conv.forward(a, b, out),
            Which::Input => self.conv.gradient_input(a, b, out),
            Which::Weights => self.conv.gradient_weights(a, b, out),
        }?)
    }
    fn naive(&mut self) -> Outcome {
        let mut out = vec![T::ZERO; self.out.get().len()];
        self.twin(self.a.get(), self.b.get(), &mut out);
        self.out.get_mut().copy_from_slice(&out);
        Ok(())
    }
    fn beside(&mut self) -> Outcome {
        Ok(self.by_patches()?)
    }
    fn output(&self) -> Vec<f64> {
        widen(self.out.get())
    }
    fn allowed(&self) -> Vec<f64> {
        let magnitude = |x: &[T]| x.iter().map(|x| x.abs()).collect::<Vec<_>>();
        let mut sums = vec![T::ZERO; self.out.get().len()];
        self.twin(&magnitude(self.a.get()), &magnitude(self.b.get()), &mut sums);
        let [rows, cols] = Self::patches_shape(&self.conv);
        let kernel = self.conv.kernel();
        let longest = rows.max(cols).max(kernel.size[0] * kernel.size[1] * self.conv.channels()[1]);
        sums.iter().map(|sum| 2.0 * gamma::<T>(longest + 2) * sum.to_f64()).collect()
    }
    fn cost(&self) -> Cost {
        let mut taps = 0;
        Self::each_tap(&self.conv, |_, _| taps += 1);
        let [channels_in, channels_out] = self.conv.channels();
        let lens = [self.a.get().len(), self.b.get().len(), self.out.get().len()];
        Cost {
            // Taps outside the image are no work.
            flops: 2.0 * (taps * channels_in * channels_out) as f64,
            bytes: bytes::<T>(lens.iter().sum()),
            written: bytes::<T>(lens[2]),
        }
    }
}
