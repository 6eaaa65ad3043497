//! Dense layers of bytes in the plainest form: one number after the other, sums in 64 bits.

use super::value;
use crate::Function;
use tilewise_kernels::{Quantisation, naive};

/// A dense layer with weights of 8 bits.
#[derive(Clone, Debug)]
pub struct DenseOfBytes {
    /// `weight[j][i]` leads from input i to output j.
    pub weight: Vec<Vec<i8>>,
    /// What one of them stands for, for each output.
    pub scales: Vec<f32>,
    /// What comes to the layer.
    pub input: Quantisation<u8>,
    /// One for each output.
    pub bias: Vec<f32>,
    /// Behind the product.
    pub function: Option<Function>,
}

/// What the last layer gives for a row: the bits of `QuantisedNetwork::predict` where functions are ReLU or none, as others are
/// computed here in another way.
pub fn answer_of_bytes(layers: &[DenseOfBytes], row: &[f32]) -> Vec<f32> {
    let mut x = row.to_vec();
    for layer in layers {
        let bytes: Vec<i64> = x.iter().map(|&x| naive::quantise(x, layer.input).into()).collect();
        let zero = i64::from(layer.input.zero_point);
        let output = |(j, weights): (usize, &Vec<i8>)| {
            let sum: i64 = weights.iter().zip(&bytes).map(|(&w, x)| i64::from(w) * (x - zero)).sum();
            let y = sum as f32 * (layer.input.scale * layer.scales[j]) + layer.bias[j];
            value(layer.function, f64::from(y)) as f32
        };
        x = layer.weight.iter().enumerate().map(output).collect();
    }
    x
}
