//! First weights, drawn by counters: the same at any number of threads and on any machine.

use crate::plan::{Kind, Tensor};
use serde::{Deserialize, Serialize};
use tilewise_kernels::Float;
use tilewise_kernels::random::Philox;

/// How first weights are drawn. Biases are 0, gains 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Initialiser {
    /// Kaiming where a function of the ReLU kind follows, else Xavier.
    #[default]
    Auto,
    /// Uniform up to sqrt(6 / inputs) (He and others 2015).
    Kaiming,
    /// Uniform up to sqrt(6 / (inputs + outputs)) (Glorot, Bengio 2010).
    Xavier,
}

impl Initialiser {
    /// Fills the weights of `tensors`.
    pub(crate) fn fill<T: Float>(self, tensors: &[Tensor], seed: u64, weights: &mut [T]) {
        let draws = Philox::new(seed, Philox::purpose("network weights"));
        for tensor in tensors {
            let part = &mut weights[tensor.range.clone()];
            let (rectified, taps) = match tensor.kind {
                Kind::Matrix { rectified } => (rectified, 1),
                Kind::Filter { rectified, size } => (rectified, size[0] * size[1]),
                Kind::Bias | Kind::Gain => {
                    part.fill(if tensor.kind == Kind::Gain { T::ONE } else { T::ZERO });
                    continue;
                }
            };
            // An output of a convolution meets as many pixels as its window has.
            let (inputs, outputs) = (tensor.shape.0, tensor.shape.1 * taps);
            let kaiming = self == Self::Kaiming || self == Self::Auto && rectified;
            let limit = (6.0 / if kaiming { inputs as f64 } else { (inputs + outputs) as f64 }).sqrt();
            for (i, w) in part.iter_mut().enumerate() {
                let at = (tensor.range.start + i) as u64;
                *w = T::from_f64((2.0 * draws.uniform(at) - 1.0) * limit);
            }
        }
    }
}
