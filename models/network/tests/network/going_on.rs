//! Gradients added up over pieces of a batch, and training that stops and goes on.

use crate::gradients::{normal, settings};
use tilewise_base::ModelFile;
use tilewise_base::model_file::Writer;
use tilewise_kernels::MatRef;
use tilewise_kernels::parallel::{Scheme, with_threads};
use tilewise_network::{
    Function, Initialiser, Layer, Lookup, Loss, Network, Optimiser, Rows, Settings, Targets, Trainer, Window,
};

const CROSS: Loss = Loss::CrossEntropy { smoothing: 0.0 };

/// Both add the same numbers, in another order, in f64.
const TOLERANCE: f64 = 1e-12;

fn layers() -> Vec<Layer> {
    let inner = vec![Layer::layer_norm(), Layer::dense(12), Layer::activate(Function::Silu)];
    vec![
        Layer::Embedding { lookups: vec![Lookup { column: 1, categories: 2, width: 3 }] },
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

/// The weights of such layers are few, so a small file can ask for any amount of memory.
#[test]
fn checkpoints_of_huge_layers_are_refused_before_memory_is_taken() {
    let layers = |size: usize, window: Window| {
        vec![
            Layer::image(1, size, size),
            Layer::AveragePool { window },
            Layer::Flatten,
            Layer::Dense { outputs: 1, bias: false },
        ]
    };
    let embedding =
        |categories| Layer::Embedding { lookups: vec![Lookup { column: 1, categories, width: 9 }] };
    let small = layers(4, Window::square(4));
    let settings = || settings(Loss::Squared, Optimiser::SGD);
    let network = Network::<f32>::new(16, &small, Initialiser::Auto, 2).unwrap();
    let bytes = Trainer::new(network, settings(), 4).unwrap().checkpoint().unwrap();
    let file = ModelFile::parse(&bytes).unwrap();
    let element = file.metadata::<String>("element").unwrap();
    let with = |inputs: usize, layers: Vec<Layer>| {
        let metadata = serde_json::json!({
            "inputs": inputs, "layers": layers, "element": element, "loss": Loss::Squared, "optimiser": Optimiser::SGD,
            "weight_decay": 0.0, "clip": null, "class_weights": null, "seed": settings().seed, "steps": 0, "passes": 0,
        });
        let tensors = ["weights", "running", "first", "second"];
        let writer = tensors.iter().fold(Writer::new("network-checkpoint", metadata), |writer, name| {
            let shape = file.shape(name).unwrap().to_vec();
            writer.tensor_f64(name, &shape, &file.tensor_f64(name, &shape).unwrap())
        });
        let bytes = writer.to_bytes().unwrap();
        Trainer::<f32>::resume(&bytes, settings(), 4).map(drop).map_err(|e| e.to_string())
    };
    assert_eq!(with(16, small), Ok(()));
    let padded = Window { size: [1 << 17; 2], padding: [1 << 16; 2], ..Window::square(1) };
    let sparse = Window { dilation: [1; 2], stride: [1 << 20; 2], ..Window::square(1) };
    for (inputs, layers, part) in [
        (1 << 40, layers(1 << 20, Window::square(1 << 20)), "in all layers"),
        (1 << 27, vec![Layer::dense(1)], "as many numbers"),
        (1 << 26, vec![embedding(3), Layer::dense(1)], "as many numbers"),
        (16, vec![embedding(1 << 20), Layer::dense(1)], "as many numbers"),
        (1 << 28, layers(1 << 14, Window::square(1 << 14)), "in all layers"),
        (16, layers(4, padded), "with its padding"),
        (16, layers(4, sparse.padding(usize::MAX / 4)), "pool"),
        (usize::MAX, layers(4, Window::square(4)), "accepted"),
    ] {
        let told = with(inputs, layers).unwrap_err();
        assert!(told.contains(part), "{part}: {told}");
    }
    // The bound is that of a network that is new, so that each that can be trained can go on.
    let new = Network::<f32>::new(1 << 28, &layers(1 << 14, Window::square(1 << 14)), Initialiser::Auto, 2);
    assert!(new.is_err_and(|told| told.to_string().contains("in all layers")));
    // Rows that there is no memory for are an error too.
    let network = Network::<f32>::new(16, &layers(4, Window::square(4)), Initialiser::Auto, 2).unwrap();
    let told = Trainer::new(network, settings(), usize::MAX / 64).map(drop).unwrap_err().to_string();
    assert!(told.contains("no memory"), "{told}");
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
