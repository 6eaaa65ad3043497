//! An epoch of training of a multilayer perceptron by gradient descent, from first weights to last ones.
//!
//! Operations count two for every weight and row, thrice, but for the gradient of the rows themselves; bytes the rows, and weights
//! and their gradient once for every batch.

use crate::case::{Case, Cost, Outcome, Work};
use crate::operand::Draw;
use tilewise_kernels::MatRef;
use tilewise_kernels::parallel::Scheme;
use tilewise_network::{
    Function, Initialiser, Layer, Loss, Network, Optimiser, Rows, Settings, Targets, Trainer, Update, naive,
};

/// Of a network that is timed: that of digits of 28 x 28 pixels.
const WIDTHS: [usize; 4] = [784, 512, 256, 10];
/// Of one that is checked.
const NARROW: [usize; 4] = [17, 19, 16, 4];
const RATE: f64 = 0.1;

/// How far weights may be from those of the twin in f64, after at most [`STEPS`] steps of f32: up to 1.3e-7 was seen.
const ALLOWED: f64 = 1e-6;

/// Steps of a model that is checked, for roundings grow with them.
const STEPS: usize = 8;

pub(super) fn cases() -> Vec<Case> {
    vec![Case {
        name: "train network",
        element: "f32",
        formula: "an epoch of 784-512-256-10, ReLU",
        dims: &["rows", "batch"],
        timed: &[&[8192, 32], &[16_384, 128], &[16_384, 1024]],
        quick: &[256, 64],
        largest: &[160, 64],
        beside: Some("layer after layer"),
        make: |shape, draw| Box::new(Problem::new(shape, draw)),
    }]
}

struct Problem {
    batch: usize,
    x: Vec<f32>,
    labels: Vec<u32>,
    first: Option<Network<f32>>,
    weights: Vec<f64>,
}

impl Problem {
    fn new(shape: &[usize], draw: &mut Draw) -> Self {
        let (mut rows, batch) = (shape[0].max(1), shape[1].max(1));
        let widths = if draw.is_varied() { NARROW } else { WIDTHS };
        if draw.is_varied() {
            rows = rows.min(STEPS * batch);
        }
        let [inputs, hidden @ .., outputs] = widths;
        let x = draw.vector(rows * inputs, 1.0).get().to_vec();
        let labels = (0..rows).map(|row| (row * row % outputs) as u32).collect();
        let layers = Layer::perceptron(&hidden, Function::Relu, 0.0, outputs);
        let first = Network::new(inputs, &layers, Initialiser::Auto, 1).ok();
        Self { batch, x, labels, first, weights: Vec::new() }
    }

    fn first(&self) -> Result<&Network<f32>, &'static str> {
        self.first.as_ref().ok_or("the network was not made")
    }

    fn train(&mut self, scheme: Scheme) -> Outcome {
        let network = self.first()?.clone();
        let settings = Settings {
            loss: Loss::CrossEntropy { smoothing: 0.0 },
            class_weights: None,
            optimiser: Optimiser::SGD,
            weight_decay: 0.0,
            decay_biases: true,
            clip: None,
            seed: 1,
            scheme,
        };
        let x = MatRef::new(&self.x, self.labels.len(), network.inputs())?;
        let data = Rows { x, targets: Targets::Classes(&self.labels), weights: None };
        let order: Vec<usize> = (0..self.labels.len()).collect();
        let mut trainer = Trainer::new(network, settings, self.batch)?;
        for batch in order.chunks(self.batch) {
            trainer.step(&data, batch, RATE)?;
        }
        let tensors = trainer.network().tensors().into_iter();
        self.weights = tensors.flat_map(|(_, _, values)| values).map(f64::from).collect();
        Ok(())
    }
}

impl Work for Problem {
    fn ours(&mut self) -> Outcome {
        self.train(Scheme::Auto)
    }

    fn beside(&mut self) -> Outcome {
        self.train(Scheme::Rows)
    }

    fn naive(&mut self) -> Outcome {
        let network = self.first()?;
        let mut layers = naive::layers(network.inputs(), network.layers());
        for (layer, pair) in layers.iter_mut().zip(network.tensors().chunks(2)) {
            let (inputs, outputs) = (layer.weight.len(), layer.bias.len());
            let weight = |i: usize, j: usize| f64::from(pair[0].2[j * inputs + i]);
            layer.weight = (0..inputs).map(|i| (0..outputs).map(|j| weight(i, j)).collect()).collect();
            layer.bias = pair[1].2.iter().copied().map(f64::from).collect();
        }
        let rows: Vec<Vec<f64>> =
            self.x.chunks(network.inputs()).map(|row| row.iter().copied().map(f64::from).collect()).collect();
        for (step, (x, labels)) in (1..).zip(rows.chunks(self.batch).zip(self.labels.chunks(self.batch))) {
            naive::step(
                &mut layers,
                x,
                labels,
                &Optimiser::SGD,
                &Update { rate: RATE, decay: 0.0, step, scale: 1.0 },
            );
        }
        let flat = |layer: &naive::Dense| {
            let outputs = 0..layer.bias.len();
            let weights = outputs.flat_map(|j| layer.weight.iter().map(move |row| row[j]));
            weights.chain(layer.bias.iter().copied()).collect::<Vec<f64>>()
        };
        self.weights = layers.iter().flat_map(flat).collect();
        Ok(())
    }

    /// The weights after the epoch.
    fn output(&self) -> Vec<f64> {
        self.weights.clone()
    }

    fn allowed(&self) -> Vec<f64> {
        vec![ALLOWED; self.first.as_ref().map_or(0, Network::parameters)]
    }

    fn cost(&self) -> Cost {
        let Some(network) = &self.first else { return Cost::default() };
        let matrix =
            |(_, shape, values): &(String, Vec<usize>, Vec<f32>)| (shape.len() == 2).then_some(values.len());
        let weights: Vec<f64> = network.tensors().iter().filter_map(matrix).map(|n| 2.0 * n as f64).collect();
        let (all, rows) = (weights.iter().sum::<f64>(), self.labels.len());
        let moved = (rows.div_ceil(self.batch) * network.parameters()) as f64 * 8.0;
        let flops = rows as f64 * (3.0 * all - weights[0]);
        Cost { flops, bytes: 4.0 * self.x.len() as f64 + 2.0 * moved, written: moved }
    }
}
