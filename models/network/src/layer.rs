//! What a network is made of.

use crate::Function;
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
    /// Each column gets mean 0 and variance 1 over the batch, then a gain and a bias (Ioffe, Szegedy 2015). Outside of training by a
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
