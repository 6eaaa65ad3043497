//! First weights, drawn by counters: the same at any number of threads and on any machine.

use crate::plan::{Kind, Tensor};
use serde::{Deserialize, Serialize};
use tilewise_kernels::Float;
use tilewise_kernels::random::Philox;

/// How first weights are drawn. Biases are 0 but for one of these ways, gains 1, vectors of embeddings uniform up to 1 / sqrt(width) (Gorishniy and others 2021),
/// but for that of what is no category, which is 0.
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
    /// As Xavier, biases of a layer as its weights, and with 2 in place of 6 in networks that have a sigmoid: scikit-learn's `MLPClassifier`.
    XavierBiases,
}

impl Initialiser {
    /// Fills the weights of `tensors`; `sigmoid` tells whether there is one in the network.
    pub(crate) fn fill<T: Float>(self, tensors: &[Tensor], sigmoid: bool, seed: u64, weights: &mut [T]) {
        let draws = Philox::new(seed, Philox::purpose("network weights"));
        let six = if self == Self::XavierBiases && sigmoid { 2.0 } else { 6.0 };
        // Of the weights before: those of a bias's layer, as a norm has none.
        let mut before = 0.0;
        for tensor in tensors {
            let part = &mut weights[tensor.range.clone()];
            let (inputs, outputs) = tensor.shape;
            let kaiming = |rectified| self == Self::Kaiming || self == Self::Auto && rectified;
            let over = |numbers: usize| (six / numbers as f64).sqrt();
            let limit = match tensor.kind {
                Kind::Matrix { rectified } | Kind::Filter { rectified, .. } if kaiming(rectified) => {
                    over(inputs)
                }
                Kind::Matrix { .. } => over(inputs + outputs),
                // An output of a convolution meets as many pixels as its window has.
                Kind::Filter { size, .. } => over(inputs + outputs * size[0] * size[1]),
                Kind::Table => 1.0 / (outputs as f64).sqrt(),
                Kind::Bias if self == Self::XavierBiases => before,
                Kind::Bias | Kind::Gain => {
                    before = 0.0;
                    part.fill(if tensor.kind == Kind::Gain { T::ONE } else { T::ZERO });
                    continue;
                }
            };
            before = limit;
            for (i, w) in part.iter_mut().enumerate() {
                let at = (tensor.range.start + i) as u64;
                *w = T::from_f64((2.0 * draws.uniform(at) - 1.0) * limit);
            }
            if tensor.kind == Kind::Table {
                // What training never meets adds nothing, as no one-hot column does.
                let unknown = part.len() - outputs;
                part[unknown..].fill(T::ZERO);
            }
        }
    }
}
