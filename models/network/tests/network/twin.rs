//! The fast trainer beside the naive one.

use crate::gradients::{normal, settings};
use crate::networks::FUNCTIONS;
use tilewise_kernels::MatRef;
use tilewise_network::{Initialiser, Layer, Loss, Network, Optimiser, Rows, Targets, Trainer, Update, naive};

/// In f64 sums of both differ in order; 20 steps carry that on.
const TOLERANCE: f64 = 1e-10;

#[test]
fn twenty_steps_are_those_of_the_naive_trainer() {
    let (rows, inputs) = (23, 17);
    let x = normal(rows * inputs, 1);
    let labels: Vec<u32> = (0..rows as u32).map(|i| i * i % 4).collect();
    let plain: Vec<Vec<f64>> = x.chunks(inputs).map(<[f64]>::to_vec).collect();
    let data =
        Rows { x: MatRef::new(&x, rows, inputs).unwrap(), targets: Targets::Classes(&labels), weights: None };
    let batch: Vec<usize> = (0..rows).collect();
    for function in FUNCTIONS {
        for (optimiser, rate, decay) in [(Optimiser::SGD, 0.5, 0.01), (Optimiser::LAMB, 0.02, 0.1)] {
            let layers = Layer::perceptron(&[19, 16], function, 0.0, 4);
            let network = Network::<f64>::new(inputs, &layers, Initialiser::Auto, 9).unwrap();
            let mut twin = naive::layers(inputs, &layers);
            for (layer, pair) in twin.iter_mut().zip(network.tensors().chunks(2)) {
                let [outputs, inputs] = pair[0].1[..] else { panic!("a matrix") };
                layer.weight =
                    (0..inputs).map(|i| (0..outputs).map(|j| pair[0].2[j * inputs + i]).collect()).collect();
                layer.bias.clone_from(&pair[1].2);
            }
            let mut settings = settings(Loss::CrossEntropy { smoothing: 0.0 }, optimiser);
            settings.weight_decay = decay;
            let mut trainer = Trainer::new(network, settings, rows).unwrap();
            for step in 1..=20 {
                let ours = trainer.step(&data, &batch, rate).unwrap();
                let update = Update { rate, decay, step, scale: 1.0 };
                let theirs = naive::step(&mut twin, &plain, &labels, &optimiser, &update);
                assert!(
                    (ours - theirs).abs() < TOLERANCE,
                    "{function:?} {optimiser:?} {step}: {ours} {theirs}"
                );
            }
        }
    }
}
