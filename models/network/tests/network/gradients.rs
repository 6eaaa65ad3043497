//! The gradient of every layer, loss and of compositions against central differences, in f64.

use proptest::prelude::*;
use tilewise_kernels::MatRef;
use tilewise_kernels::parallel::Scheme;
use tilewise_kernels::random::Philox;
use tilewise_network::{
    Function, Initialiser, Layer, Loss, Network, Optimiser, Rows, Settings, Targets, Trainer,
};

/// Relative to the gradient's length: central differences with a step of 1e-5 are wrong by about 1e-10 where third derivatives are
/// near one, and by rounding, 1e-16 / 1e-5.
const TOLERANCE: f64 = 1e-6;

/// The shorter ones are for where the first fails by itself: a batch norm of nearly equal numbers has third derivatives of
/// some 1e6, and the largest of a window may change on the way. A wrong gradient agrees with none.
const STEPS: [f64; 3] = [1e-5, 1e-6, 1e-7];

pub(crate) fn normal(n: usize, seed: u64) -> Vec<f64> {
    let draws = Philox::new(seed, Philox::purpose("test"));
    (0..n as u64).map(|i| draws.normal(i)).collect()
}

pub(crate) fn settings(loss: Loss, optimiser: Optimiser) -> Settings {
    Settings {
        loss,
        class_weights: None,
        optimiser,
        weight_decay: 0.0,
        decay_biases: true,
        clip: None,
        seed: 5,
        scheme: Scheme::Auto,
    }
}

pub(crate) fn check(
    inputs: usize,
    layers: &[Layer],
    loss: Loss,
    class_weights: bool,
    rows: usize,
    seed: u64,
) {
    let mut network = Network::<f64>::new(inputs, layers, Initialiser::Xavier, seed).unwrap();
    // Biases and gains that are not their first values.
    let noise = normal(network.weights().len(), seed + 1);
    network.weights_mut().iter_mut().zip(noise).for_each(|(w, n)| *w += 0.1 * n);
    let outputs = network.outputs();
    let x = normal(rows * inputs, seed + 2);
    let labels: Vec<u32> = (0..rows).map(|i| (i * 7 % outputs.max(2)) as u32).collect();
    let numbers = normal(rows * outputs, seed + 3);
    let weights: Vec<f64> = (0..rows).map(|i| 0.5 + (i % 3) as f64).collect();
    let targets = match loss {
        Loss::CrossEntropy { .. } | Loss::Binary => Targets::Classes(&labels),
        _ => Targets::Numbers(&numbers),
    };
    let data = Rows { x: MatRef::new(&x, rows, inputs).unwrap(), targets, weights: Some(&weights) };
    let classes = if loss == Loss::Binary { 2 } else { outputs };
    let mut settings = settings(loss, Optimiser::SGD);
    settings.class_weights = class_weights.then(|| (0..classes).map(|c| 1.0 + c as f64 / 2.0).collect());
    let mut trainer = Trainer::new(network, settings, rows).unwrap();
    let batch: Vec<usize> = (0..rows).rev().collect();
    let gradient = trainer.gradient(&data, &batch).unwrap().1.to_vec();
    let length = gradient.iter().map(|g| g * g).sum::<f64>().sqrt().max(1e-3);
    for (i, &ours) in gradient.iter().enumerate() {
        let mut at = |by: f64| {
            let kept = trainer.network().weights()[i];
            trainer.network_mut().weights_mut()[i] = kept + by;
            let loss = trainer.gradient(&data, &batch).unwrap().0;
            trainer.network_mut().weights_mut()[i] = kept;
            loss
        };
        let mut difference = f64::NAN;
        let agrees = STEPS.iter().any(|&step| {
            difference = (at(step) - at(-step)) / (2.0 * step);
            (difference - ours).abs() / length < TOLERANCE
        });
        assert!(agrees, "{layers:?} {loss:?}: weight {i}: {ours} against {difference}");
    }
}

/// Smooth functions: at a kink a difference is no derivative.
const SMOOTH: [Function; 4] = [Function::Gelu, Function::Silu, Function::Tanh, Function::Sigmoid];
const KINKED: [Function; 2] = [Function::Relu, Function::LeakyRelu { slope: 0.1 }];
pub(crate) const LOSSES: [Loss; 5] = [
    Loss::CrossEntropy { smoothing: 0.0 },
    Loss::CrossEntropy { smoothing: 0.2 },
    Loss::Squared,
    Loss::Huber { delta: 0.7 },
    Loss::Binary,
];

fn layer(kind: usize, width: usize) -> Vec<Layer> {
    match kind {
        0..4 => vec![Layer::dense(width), Layer::activate(SMOOTH[kind])],
        4 => vec![Layer::layer_norm()],
        5 => vec![Layer::Dense { outputs: width, bias: false }, Layer::batch_norm()],
        6 => vec![Layer::Dropout { rate: 0.3 }, Layer::dense(width)],
        7 => vec![Layer::activate(Function::Silu), Layer::dense(width), Layer::activate(Function::Gelu)],
        10 => vec![
            Layer::activate(Function::Identity),
            Layer::dense(width),
            Layer::activate(Function::Identity),
        ],
        _ => vec![Layer::dense(width), Layer::activate(KINKED[kind % 2])],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn compositions(
        kinds in prop::collection::vec(0..8usize, 1..4), residual in any::<bool>(), loss in 0..5usize,
        class_weights in any::<bool>(), inputs in 1..9usize, width in 1..9usize, rows in 2..18usize, seed in 0..1000u64,
    ) {
        let loss = LOSSES[loss];
        let classifies = matches!(loss, Loss::CrossEntropy { .. } | Loss::Binary);
        let mut layers = vec![Layer::dense(width)];
        for &kind in &kinds {
            let block = layer(kind, width);
            if residual { layers.push(Layer::Residual { layers: block }) } else { layers.extend(block) }
        }
        layers.push(Layer::dense(if loss == Loss::Binary { 1 } else { 3 }));
        check(inputs, &layers, loss, class_weights && classifies, rows, seed);
    }
}

#[test]
fn every_layer_and_every_loss() {
    for loss in LOSSES {
        for kind in 0..11 {
            let mut layers = vec![Layer::dense(5)];
            layers.extend(layer(kind, 5));
            layers.push(Layer::Residual { layers: vec![Layer::Residual { layers: layer(kind, 5) }] });
            layers.push(Layer::dense(if loss == Loss::Binary { 1 } else { 4 }));
            check(4, &layers, loss, false, 7, kind as u64);
        }
    }
    // Sizes around the widths of vectors and tiles.
    for width in [1, 15, 16, 17, 33] {
        check(
            width,
            &[Layer::dense(width), Layer::activate(Function::Tanh), Layer::dense(3)],
            LOSSES[0],
            true,
            9,
            3,
        );
    }
}
