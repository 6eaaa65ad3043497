//! What allocates nothing.

use crate::counting::peak;
use tilewise_kernels::{MatRef, parallel};
use tilewise_network::{
    Function, Initialiser, Layer, Lookup, Loss, Network, Optimiser, Rows, Settings, Targets, Trainer,
};

/// On one thread: the counter is that of the thread. Working memory of the kernels is there after the first step.
#[test]
fn a_step_of_training_allocates_nothing() {
    let (rows, inputs) = (200, 90);
    let mut x: Vec<f32> = (0..rows * inputs).map(|i| ((i * 7919) % 1000) as f32 / 1000.0).collect();
    x.chunks_exact_mut(inputs).enumerate().for_each(|(i, row)| row[5] = (i % 7) as f32);
    let labels: Vec<u32> = (0..rows as u32).map(|i| i % 3).collect();
    let order: Vec<usize> = (0..rows).collect();
    let inner = vec![Layer::layer_norm(), Layer::dense(120), Layer::activate(Function::Gelu)];
    let layers = [
        Layer::Embedding { lookups: vec![Lookup { column: 5, categories: 6, width: 4 }] },
        Layer::dense(120),
        Layer::activate(Function::Relu),
        Layer::Dropout { rate: 0.1 },
        Layer::Residual { layers: inner },
        Layer::batch_norm(),
        Layer::dense(3),
    ];
    for (optimiser, clip) in [(Optimiser::ADAM, None), (Optimiser::LAMB, None), (Optimiser::SGD, Some(1.0))] {
        let bytes = parallel::with_threads(1, || {
            let targets = Targets::Classes(&labels);
            let data = Rows { x: MatRef::new(&x, rows, inputs).unwrap(), targets, weights: None };
            let network = Network::<f32>::new(inputs, &layers, Initialiser::Auto, 1).unwrap();
            let settings = Settings {
                loss: Loss::CrossEntropy { smoothing: 0.1 },
                class_weights: None,
                optimiser,
                weight_decay: 0.01,
                decay_biases: true,
                clip,
                seed: 1,
                scheme: parallel::Scheme::Auto,
            };
            let mut trainer = Trainer::new(network, settings, rows).unwrap();
            trainer.step(&data, &order, 0.01).unwrap();
            peak(|| trainer.step(&data, &order, 0.01).unwrap()).1
        });
        assert_eq!(bytes, 0, "{optimiser:?}");
    }
}
