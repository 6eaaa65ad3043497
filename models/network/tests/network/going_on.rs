//! Gradients added up over pieces of a batch, and training that stops and goes on.

use crate::gradients::{normal, settings};
use tilewise_kernels::MatRef;
use tilewise_kernels::parallel::{Scheme, with_threads};
use tilewise_network::{
    Function, Initialiser, Layer, Loss, Network, Optimiser, Rows, Settings, Targets, Trainer,
};

const CROSS: Loss = Loss::CrossEntropy { smoothing: 0.0 };

/// Both add the same numbers, in another order, in f64.
const TOLERANCE: f64 = 1e-12;

fn layers() -> Vec<Layer> {
    let inner = vec![Layer::layer_norm(), Layer::dense(12), Layer::activate(Function::Silu)];
    vec![
        Layer::dense(12),
        Layer::batch_norm(),
        Layer::Dropout { rate: 0.3 },
        Layer::Residual { layers: inner },
        Layer::dense(3),
    ]
}

#[test]
fn pieces_of_a_batch_make_the_step_of_the_whole() {
    let x = normal(23 * 5, 1);
    let labels: Vec<u32> = (0..23).map(|i| i * i % 3).collect();
    let weights: Vec<f64> = (0..23).map(|i| f64::from(i % 4)).collect();
    let all: Vec<usize> = (0..23).rev().collect();
    let perceptron = Layer::perceptron(&[7, 6], Function::Tanh, 0.0, 3);
    for (optimiser, clip) in [(Optimiser::ADAM, None), (Optimiser::LAMB, None), (Optimiser::SGD, Some(0.1))] {
        let targets = Targets::Classes(&labels);
        let data = Rows { x: MatRef::new(&x, 23, 5).unwrap(), targets, weights: Some(&weights) };
        let train = |capacity: usize| {
            let network = Network::<f64>::new(5, &perceptron, Initialiser::Auto, 2).unwrap();
            let class_weights = Some(vec![1.0, 2.0, 0.5]);
            let settings = Settings { clip, class_weights, ..settings(CROSS, optimiser) };
            let mut trainer = Trainer::new(network, settings, capacity).unwrap();
            let losses: Vec<f64> =
                (0..4).map(|_| trainer.step_in_pieces(&data, &all, 0.05).unwrap()).collect();
            assert_eq!(trainer.steps(), 4);
            [losses, trainer.network().weights().to_vec()].concat()
        };
        let whole = train(23);
        for capacity in [1, 5, 8, 22] {
            for (a, b) in train(capacity).iter().zip(&whole) {
                assert!((a - b).abs() < TOLERANCE, "{optimiser:?} in pieces of {capacity}: {a} against {b}");
            }
        }
    }
}

#[test]
fn pieces_that_fail_leave_all_as_it_was() {
    let mut x = normal(20 * 5, 1);
    x[17 * 5] = f64::INFINITY;
    let labels = [0; 20];
    let targets = Targets::Classes(&labels);
    let data = Rows { x: MatRef::new(&x, 20, 5).unwrap(), targets, weights: None };
    let network = Network::<f64>::new(5, &layers(), Initialiser::Auto, 2).unwrap();
    let mut trainer = Trainer::new(network, settings(CROSS, Optimiser::ADAM), 6).unwrap();
    let before = trainer.checkpoint().unwrap();
    let all: Vec<usize> = (0..20).collect();
    let error = trainer.step_in_pieces(&data, &all, 0.1).unwrap_err().to_string();
    assert!(error.contains("at step 1"), "{error}");
    assert!(trainer.checkpoint().unwrap() == before);
    assert!(trainer.step_in_pieces(&data, &[0; 21], 0.1).unwrap_err().to_string().contains("larger than"));
    trainer.step_in_pieces(&data, &all[..14], 0.1).unwrap();
    assert!(trainer.checkpoint().unwrap() != before);
}

#[test]
fn a_trainer_goes_on_with_the_same_bits() {
    let x: Vec<f32> = normal(40 * 5, 1).into_iter().map(|x| x as f32).collect();
    let labels: Vec<u32> = (0..40).map(|i| i * i % 3).collect();
    let batch: Vec<usize> = (0..40).collect();
    let targets = Targets::Classes(&labels);
    let data = Rows { x: MatRef::new(&x, 40, 5).unwrap(), targets, weights: None };
    let momentum = Optimiser::Sgd { momentum: 0.9, nesterov: true };
    for optimiser in [Optimiser::ADAM, Optimiser::LAMB, momentum, Optimiser::RMS_PROP, Optimiser::SGD] {
        let new = |scheme| Settings { scheme, ..settings(CROSS, optimiser) };
        let network = Network::<f32>::new(5, &layers(), Initialiser::Auto, 2).unwrap();
        let mut trainer = Trainer::new(network, new(Scheme::Auto), 16).unwrap();
        let step = |trainer: &mut Trainer<f32>| trainer.step_in_pieces(&data, &batch, 0.01).unwrap();
        for _ in 0..3 {
            step(&mut trainer);
        }
        let bytes = trainer.checkpoint().unwrap();
        let expected: Vec<f64> = (0..3).map(|_| step(&mut trainer)).collect();
        for (threads, scheme) in [(1, Scheme::Rows), (2, Scheme::Tasks), (3, Scheme::Auto)] {
            with_threads(threads, || {
                let mut resumed = Trainer::<f32>::resume(&bytes, new(scheme), 16).unwrap();
                assert!(resumed.steps() == 3 && resumed.checkpoint().unwrap() == bytes);
                let found: Vec<f64> = (0..3).map(|_| step(&mut resumed)).collect();
                assert!(found == expected, "{optimiser:?}: {found:?} against {expected:?}");
                assert!(resumed.checkpoint().unwrap() == trainer.checkpoint().unwrap());
            });
        }
    }
}

#[test]
fn checkpoints_that_do_not_fit_are_refused() {
    let network = Network::<f32>::new(5, &layers(), Initialiser::Auto, 2).unwrap();
    let trainer = Trainer::new(network, settings(CROSS, Optimiser::ADAM), 16).unwrap();
    let bytes = trainer.checkpoint().unwrap();
    let refused = |bytes: &[u8], settings: Settings| {
        Trainer::<f32>::resume(bytes, settings, 16).err().map(|e| e.to_string()).unwrap_or_default()
    };
    for (name, other) in [
        ("optimiser", settings(CROSS, Optimiser::SGD)),
        ("loss", settings(Loss::Squared, Optimiser::ADAM)),
        ("seed", Settings { seed: 6, ..settings(CROSS, Optimiser::ADAM) }),
        ("clip", Settings { clip: Some(1.0), ..settings(CROSS, Optimiser::ADAM) }),
        ("weight_decay", Settings { weight_decay: 0.1, ..settings(CROSS, Optimiser::ADAM) }),
    ] {
        assert!(refused(&bytes, other).contains(&format!("its {name} is not")), "{name}");
    }
    let mut broken = bytes.clone();
    let middle = broken.len() / 2;
    broken[middle] ^= 1;
    assert!(refused(&broken, settings(CROSS, Optimiser::ADAM)).contains("checksum"));
    assert!(!refused(&bytes[..100], settings(CROSS, Optimiser::ADAM)).is_empty());
}
