//! The definition of training in the plainest form: triple loops in `f64`, layer by layer, for dense layers and functions, softmax
//! cross-entropy, and gradient descent or LAMB. What the fast trainer is compared with; nothing here is tuned.

mod images;
mod quantised;

pub use images::{Images, average_pool, convolution, max_pool};
pub use quantised::{DenseOfBytes, answer_of_bytes};

use crate::{Function, Layer, Optimiser, Update};

/// A dense layer: weights inputs x outputs, a bias, and the function behind it.
#[derive(Clone, Debug)]
pub struct Dense {
    /// `weight[i][j]` leads from input i to output j.
    pub weight: Vec<Vec<f64>>,
    /// One for each output.
    pub bias: Vec<f64>,
    /// Behind the product.
    pub function: Option<Function>,
    /// Mean gradient and mean squared gradient, for LAMB: weights, then biases.
    kept: [Vec<f64>; 4],
}

/// Dense layers of zeros behind `inputs` columns; other layers than dense ones and functions are left out.
pub fn layers(inputs: usize, layers: &[Layer]) -> Vec<Dense> {
    let mut made: Vec<Dense> = Vec::new();
    let mut width = inputs;
    for layer in layers {
        match layer {
            Layer::Dense { outputs, .. } => {
                let (n, m) = (width * outputs, *outputs);
                let kept = [vec![0.0; n], vec![0.0; n], vec![0.0; m], vec![0.0; m]];
                made.push(Dense {
                    weight: vec![vec![0.0; m]; width],
                    bias: vec![0.0; m],
                    function: None,
                    kept,
                });
                width = m;
            }
            Layer::Activate { function } => {
                if let Some(last) = made.last_mut() {
                    last.function = Some(*function);
                }
            }
            _ => {}
        }
    }
    made
}

/// f(x).
pub fn value(function: Option<Function>, x: f64) -> f64 {
    let sigmoid = 1.0 / (1.0 + (-x).exp());
    match function {
        None => x,
        Some(Function::Identity) => x,
        Some(Function::Relu) => x.max(0.0),
        Some(Function::LeakyRelu { slope }) => x.max(slope * x),
        Some(Function::Gelu) => tilewise_kernels::naive::gelu(x),
        Some(Function::Silu) => x * sigmoid,
        Some(Function::Tanh) => x.tanh(),
        Some(Function::Sigmoid) => sigmoid,
    }
}

/// f'(x).
pub fn derivative(function: Option<Function>, x: f64) -> f64 {
    let sigmoid = 1.0 / (1.0 + (-x).exp());
    match function {
        None => 1.0,
        Some(Function::Identity) => 1.0,
        Some(Function::Relu) => f64::from(u8::from(x > 0.0)),
        Some(Function::LeakyRelu { slope }) => {
            if x > 0.0 {
                1.0
            } else {
                slope
            }
        }
        Some(Function::Gelu) => {
            let distribution = if x == 0.0 { 0.5 } else { tilewise_kernels::naive::gelu(x) / x };
            distribution + x * (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt()
        }
        Some(Function::Silu) => sigmoid * (1.0 + x * (1.0 - sigmoid)),
        Some(Function::Tanh) => 1.0 - x.tanh().powi(2),
        Some(Function::Sigmoid) => sigmoid * (1.0 - sigmoid),
    }
}

/// One step on all rows; gives the loss before it.
pub fn step(
    layers: &mut [Dense],
    x: &[Vec<f64>],
    labels: &[u32],
    optimiser: &Optimiser,
    update: &Update,
) -> f64 {
    // Arguments and values of every layer, row by row.
    let mut arguments: Vec<Vec<Vec<f64>>> = Vec::new();
    let mut values = vec![x.to_vec()];
    for (l, layer) in layers.iter().enumerate() {
        let sums: Vec<Vec<f64>> = values[l]
            .iter()
            .map(|row| {
                let sum = |j: usize| row.iter().zip(&layer.weight).map(|(x, w)| x * w[j]).sum::<f64>();
                (0..layer.bias.len()).map(|j| sum(j) + layer.bias[j]).collect()
            })
            .collect();
        values.push(sums.iter().map(|row| row.iter().map(|&z| value(layer.function, z)).collect()).collect());
        arguments.push(sums);
    }
    let rows = x.len() as f64;
    let mut loss = 0.0;
    let mut slopes: Vec<Vec<f64>> = Vec::new();
    for (row, &label) in values[layers.len()].iter().zip(labels) {
        let total: f64 = row.iter().map(|z| z.exp()).sum();
        loss -= (row[label as usize].exp() / total).ln() / rows;
        let hit = |k: usize| f64::from(u8::from(k == label as usize));
        slopes.push(row.iter().enumerate().map(|(k, z)| (z.exp() / total - hit(k)) / rows).collect());
    }
    for (l, layer) in layers.iter_mut().enumerate().rev() {
        for (slope, argument) in slopes.iter_mut().zip(&arguments[l]) {
            slope.iter_mut().zip(argument).for_each(|(s, &z)| *s *= derivative(layer.function, z));
        }
        let outputs = layer.bias.len();
        let before: Vec<Vec<f64>> = slopes
            .iter()
            .map(|s| layer.weight.iter().map(|w| w.iter().zip(s).map(|(w, s)| w * s).sum()).collect())
            .collect();
        let gradient =
            |i: usize, j: usize| values[l].iter().zip(&slopes).map(|(x, s)| x[i] * s[j]).sum::<f64>();
        let of_weight: Vec<f64> =
            (0..layer.weight.len() * outputs).map(|n| gradient(n / outputs, n % outputs)).collect();
        let of_bias: Vec<f64> = (0..outputs).map(|j| slopes.iter().map(|s| s[j]).sum()).collect();
        let mut flat: Vec<f64> = layer.weight.concat();
        let [m, v, bias_m, bias_v] = &mut layer.kept;
        follow(&mut flat, &of_weight, m, v, optimiser, update);
        follow(&mut layer.bias, &of_bias, bias_m, bias_v, optimiser, update);
        layer.weight = flat.chunks(outputs).map(<[f64]>::to_vec).collect();
        slopes = before;
    }
    loss
}

/// Updates one tensor: by LAMB (algorithm 2 of its paper, with bias correction), else by plain gradient descent.
fn follow(w: &mut [f64], g: &[f64], m: &mut [f64], v: &mut [f64], optimiser: &Optimiser, update: &Update) {
    let &Update { rate, decay, step, .. } = update;
    let Optimiser::Lamb { beta1, beta2, epsilon } = *optimiser else {
        w.iter_mut().zip(g).for_each(|(w, g)| *w -= rate * (g + decay * *w));
        return;
    };
    let mut direction = Vec::new();
    for i in 0..w.len() {
        m[i] = beta1 * m[i] + (1.0 - beta1) * g[i];
        v[i] = beta2 * v[i] + (1.0 - beta2) * g[i] * g[i];
        let mean = m[i] / (1.0 - beta1.powf(step as f64));
        let square = v[i] / (1.0 - beta2.powf(step as f64));
        direction.push(mean / (square.sqrt() + epsilon) + decay * w[i]);
    }
    let length = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    let (weights, step) = (length(w), length(&direction));
    let ratio = if weights > 0.0 && step > 0.0 { weights / step } else { 1.0 };
    w.iter_mut().zip(direction).for_each(|(w, d)| *w -= rate * ratio * d);
}
