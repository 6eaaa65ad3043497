//! Ten steps of every optimiser of PyTorch: `golden/optimisers.py` made the numbers.

use crate::gradients::settings;
use tilewise_kernels::MatRef;
use tilewise_network::{Function, Initialiser, Layer, Loss, Network, Optimiser, Rows, Targets, Trainer};

/// Both compute in f64; their sums differ in order.
const TOLERANCE: f64 = 1e-11;

fn weights(n: usize, salt: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 7919 + salt * 104_729) % 1000) as f64 / 1000.0 - 0.5).collect()
}

#[test]
fn ten_steps_are_those_of_pytorch() {
    let x: Vec<f64> = weights(24, 1).iter().map(|x| x * 4.0).collect();
    let labels = [0, 1, 1, 0, 2, 2, 1, 0];
    let data = Rows { x: MatRef::new(&x, 8, 3).unwrap(), targets: Targets::Classes(&labels), weights: None };
    let layers = Layer::perceptron(&[4], Function::Relu, 0.0, 3);
    let batch: Vec<usize> = (0..8).collect();
    let golden = include_str!("../golden/optimisers.csv");
    let lines: Vec<Vec<&str>> = golden.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(lines.len(), 8 * 3 * 2);
    for pair in lines.chunks_exact(2) {
        let (optimiser, rate) = match pair[0][0] {
            "sgd" => (Optimiser::SGD, 0.1),
            "momentum" => (Optimiser::Sgd { momentum: 0.9, nesterov: false }, 0.1),
            "nesterov" => (Optimiser::Sgd { momentum: 0.9, nesterov: true }, 0.1),
            "adam" => (Optimiser::ADAM, 0.01),
            "adamw" => (Optimiser::ADAM_W, 0.01),
            "rmsprop" => (Optimiser::RMS_PROP, 0.01),
            "rmsprop-momentum" => (Optimiser::RmsProp { alpha: 0.99, epsilon: 1e-8, momentum: 0.9 }, 0.01),
            "adagrad" => (Optimiser::ADAGRAD, 0.1),
            other => panic!("{other}"),
        };
        let mut settings = settings(Loss::CrossEntropy { smoothing: 0.1 }, optimiser);
        settings.weight_decay = pair[0][1].parse().unwrap();
        settings.clip = Some(pair[0][2].parse().unwrap()).filter(|clip| *clip > 0.0);
        let mut network = Network::<f64>::new(3, &layers, Initialiser::Auto, 0).unwrap();
        let mut salt = 1;
        network
            .set_tensors(|_, shape| {
                salt += 1;
                Ok(weights(shape.iter().product(), salt))
            })
            .unwrap();
        let mut trainer = Trainer::new(network, settings, 8).unwrap();
        for step in 0..10 {
            let loss = trainer.step(&data, &batch, rate).unwrap();
            let Some(line) = pair.iter().find(|line| line[3] == step.to_string()) else { continue };
            let expected: f64 = line[4].parse().unwrap();
            assert!((loss - expected).abs() < TOLERANCE, "{line:?}: {loss}");
            let ours: Vec<f64> =
                trainer.network().tensors().into_iter().flat_map(|(_, _, data)| data).collect();
            let theirs: Vec<f64> = line[5].split(' ').map(|w| w.parse().unwrap()).collect();
            assert_eq!(ours.len(), theirs.len());
            for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
                assert!((a - b).abs() < TOLERANCE, "{} step {step} weight {i}: {a} against {b}", line[0]);
            }
        }
    }
}
