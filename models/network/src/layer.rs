//! What a network is made of.

use crate::{Function, Lookup, Window};
use serde::{Deserialize, Serialize};
use tilewise_base::{Error, Result};

/// A layer. Its inputs are as many as the layer before has outputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "layer", rename_all = "snake_case")]
pub enum Layer {
    /// y = x W + b, W inputs x outputs.
    Dense {
        /// Columns of the result.
        outputs: usize,
        /// Whether there is a b; a batch norm behind the layer makes it superfluous.
        bias: bool,
    },
    /// Columns of numbers of categories become rows of tables that are learned (`Embedding`, one for each of these columns), behind
    /// the other columns as they are. Only the first layer can be one.
    Embedding {
        /// The columns, in ascending order.
        lookups: Vec<Lookup>,
    },
    /// Rows are images: channels, height, width, as PyTorch's `Unflatten` has them. All layers up to a flatten are of images.
    Image {
        /// Numbers of a pixel.
        channels: usize,
        /// Rows of pixels.
        height: usize,
        /// Columns of pixels.
        width: usize,
    },
    /// Each pixel of the result is a product of those that a window sees (`Conv2d`; LeCun and others 1989).
    Convolution {
        /// Of the result.
        channels: usize,
        /// What is seen.
        window: Window,
        /// Whether there is one for each channel.
        bias: bool,
    },
    /// The largest number that a window sees, for each channel (`MaxPool2d`).
    MaxPool {
        /// What is seen; no dilation, and padding of at most half of its size.
        window: Window,
    },
    /// The mean of what a window sees, zeros around the image included, for each channel (`AvgPool2d`).
    AveragePool {
        /// As for the largest.
        window: Window,
    },
    /// Images become rows of numbers again: channels, height, width.
    Flatten,
    /// A function of each number.
    Activate {
        /// Which one.
        function: Function,
    },
    /// In training each number is 0 with probability `rate`, else divided by 1 - `rate`; nothing otherwise
    /// (Srivastava and others 2014).
    Dropout {
        /// From 0 to below 1.
        rate: f64,
    },
    /// Each row gets mean 0 and variance 1, then a gain and a bias for each column (Ba, Kiros, Hinton 2016).
    LayerNorm {
        /// Added to the variance; PyTorch's default is 1e-5.
        epsilon: f64,
    },
    /// Each column (of images each channel) gets mean 0 and variance 1 over the batch, then a gain and a bias (Ioffe, Szegedy 2015). Outside of training by a
    /// running mean and variance instead.
    BatchNorm {
        /// Added to the variance; PyTorch's default is 1e-5.
        epsilon: f64,
        /// How much of the running numbers a batch replaces; PyTorch's default is 0.1.
        momentum: f64,
    },
    /// y = x + layers(x) (He and others 2015).
    Residual {
        /// Their result must be as wide as their input.
        layers: Vec<Layer>,
    },
}

impl Layer {
    /// A dense layer with a bias.
    pub fn dense(outputs: usize) -> Self {
        Self::Dense { outputs, bias: true }
    }

    /// Rows are images.
    pub fn image(channels: usize, height: usize, width: usize) -> Self {
        Self::Image { channels, height, width }
    }

    /// A convolution with biases.
    pub fn convolution(channels: usize, window: Window) -> Self {
        Self::Convolution { channels, window, bias: true }
    }

    /// The largest of each `size` x `size` pixels, which do not overlap.
    pub fn max_pool(size: usize) -> Self {
        Self::MaxPool { window: Window::square(size).stride(size) }
    }

    /// The mean of each `size` x `size` pixels, which do not overlap.
    pub fn average_pool(size: usize) -> Self {
        Self::AveragePool { window: Window::square(size).stride(size) }
    }

    /// A function of each number.
    pub fn activate(function: Function) -> Self {
        Self::Activate { function }
    }

    /// Layer norm with PyTorch's epsilon.
    pub fn layer_norm() -> Self {
        Self::LayerNorm { epsilon: 1e-5 }
    }

    /// Batch norm with PyTorch's numbers.
    pub fn batch_norm() -> Self {
        Self::BatchNorm { epsilon: 1e-5, momentum: 0.1 }
    }

    /// Dense layers of these widths, each followed by `function`, and where `dropout` is above 0 by that; then a dense layer of
    /// `outputs`. A multilayer perceptron.
    pub fn perceptron(hidden: &[usize], function: Function, dropout: f64, outputs: usize) -> Vec<Self> {
        let mut layers = Vec::new();
        for &width in hidden {
            layers.extend([Self::dense(width), Self::activate(function)]);
            if dropout > 0.0 {
                layers.push(Self::Dropout { rate: dropout });
            }
        }
        layers.push(Self::dense(outputs));
        layers
    }

    /// What it is, in a few words.
    pub fn describe(&self) -> String {
        match self {
            Self::Dense { outputs, bias } => {
                format!("dense, {outputs} outputs{}", if *bias { "" } else { ", no bias" })
            }
            Self::Embedding { lookups } => {
                let widths: Vec<String> = lookups.iter().map(|lookup| lookup.width.to_string()).collect();
                let columns = if lookups.len() == 1 { "column" } else { "columns" };
                format!("embedding of {} {columns}, {} numbers", lookups.len(), widths.join(" + "))
            }
            Self::Image { channels, height, width } => format!("images of {channels} x {height} x {width}"),
            Self::Convolution { channels, window, bias } => {
                let bias = if *bias { "" } else { ", no bias" };
                format!("convolution, {channels} channels, {}{bias}", seen(window))
            }
            Self::MaxPool { window } => format!("max pool, {}", seen(window)),
            Self::AveragePool { window } => format!("average pool, {}", seen(window)),
            Self::Flatten => "flatten".into(),
            Self::Activate { function } => function.name().into(),
            Self::Dropout { rate } => format!("dropout {rate}"),
            Self::LayerNorm { .. } => "layer norm".into(),
            Self::BatchNorm { .. } => "batch norm".into(),
            Self::Residual { layers } => {
                let inner: Vec<String> = layers.iter().map(Self::describe).collect();
                format!("residual ({})", inner.join("; "))
            }
        }
    }

    /// Refuses numbers that make no sense; `name` is the layer's place, such as `3` or `3.0`.
    pub(crate) fn check(&self, name: &str) -> Result<()> {
        let refuse = |what: String| Err(Error::Fit(format!("layer {name} ({}): {what}", self.describe())));
        match *self {
            Self::Dense { outputs: 0, .. } => refuse("it needs at least one output".into()),
            Self::Convolution { channels: 0, .. } => refuse("it needs at least one channel".into()),
            Self::MaxPool { window } | Self::AveragePool { window } if window.dilation != [1; 2] => {
                refuse("pooling has no dilation; 1 is accepted".into())
            }
            Self::MaxPool { window } | Self::AveragePool { window }
                if (0..2).any(|axis| window.padding[axis] > window.size[axis] / 2) =>
            {
                refuse("its padding is more than half of its size".into())
            }
            Self::Dropout { rate } if !(0.0..1.0).contains(&rate) => {
                refuse(format!("its rate is {rate}; from 0 to below 1 is accepted"))
            }
            Self::LayerNorm { epsilon } | Self::BatchNorm { epsilon, .. }
                if !(epsilon > 0.0 && epsilon.is_finite()) =>
            {
                refuse(format!("its epsilon is {epsilon}; a number above 0 is accepted"))
            }
            Self::BatchNorm { momentum, .. } if !(momentum > 0.0 && momentum <= 1.0) => {
                refuse(format!("its momentum is {momentum}; above 0 and at most 1 is accepted"))
            }
            Self::Activate { function: Function::LeakyRelu { slope } }
                if !(slope > 0.0 && slope.is_finite()) =>
            {
                refuse(format!("its slope is {slope}; a number above 0 is accepted"))
            }
            _ => Ok(()),
        }
    }
}

/// A window in words.
fn seen(window: &Window) -> String {
    let Window { size: [h, w], stride, padding, dilation } = window;
    let mut text = format!("{h} x {w}");
    for (what, [down, across], usual) in
        [("stride", stride, 1), ("padding", padding, 0), ("dilation", dilation, 1)]
    {
        if [*down, *across] != [usual; 2] {
            text += &format!(", {what} {down} x {across}");
        }
    }
    text
}
