//! The same bits at any number of threads, rows alone and among others, bad input.

use crate::gradients::{normal, settings};
use std::sync::atomic::AtomicBool;
use tilewise_base::Context;
use tilewise_kernels::parallel::Scheme;
use tilewise_kernels::{MatRef, parallel};
use tilewise_network::{
    Function, Initialiser, Layer, Loss, Network, Optimiser, Plateau, Predictor, Rows, Schedule, Targets,
    Trainer, Training,
};

const CROSS: Loss = Loss::CrossEntropy { smoothing: 0.0 };

fn deep() -> Vec<Layer> {
    vec![
        Layer::dense(200),
        Layer::activate(Function::Relu),
        Layer::Dropout { rate: 0.2 },
        Layer::Residual {
            layers: vec![Layer::layer_norm(), Layer::dense(200), Layer::activate(Function::Gelu)],
        },
        Layer::batch_norm(),
        Layer::dense(10),
    ]
}

#[test]
fn the_same_bits_at_any_number_of_threads() {
    let (rows, inputs) = (300, 300);
    let x: Vec<f32> = normal(rows * inputs, 1).into_iter().map(|x| x as f32).collect();
    let labels: Vec<u32> = (0..rows as u32).map(|i| i * i % 10).collect();
    let data =
        Rows { x: MatRef::new(&x, rows, inputs).unwrap(), targets: Targets::Classes(&labels), weights: None };
    for (optimiser, clip) in [(Optimiser::ADAM, None), (Optimiser::LAMB, None), (Optimiser::SGD, Some(0.5))] {
        let train = |threads: usize, scheme: Scheme| {
            parallel::with_threads(threads, || {
                let context = Context { scheme, ..Context::default() };
                let training = Training {
                    epochs: 2,
                    batch: Some(128),
                    optimiser,
                    clip,
                    learning_rate: 0.01,
                    ..Training::default()
                };
                let network = Network::<f32>::new(inputs, &deep(), Initialiser::Auto, 3).unwrap();
                let fit = training.fit(network, CROSS, None, &data, Some(&data), &context).unwrap();
                let bits: Vec<u32> =
                    fit.model.tensors().into_iter().flat_map(|t| t.2).map(f32::to_bits).collect();
                (bits, fit.report.objective.to_bits())
            })
        };
        let one = train(1, Scheme::Rows);
        for (threads, scheme) in
            [(1, Scheme::Tasks), (2, Scheme::Tasks), (2, Scheme::Rows), (3, Scheme::Auto), (7, Scheme::Tasks)]
        {
            assert!(one == train(threads, scheme), "{optimiser:?}, {threads} threads, {scheme:?}");
        }
    }
}

#[test]
fn a_row_has_the_same_answer_alone_and_among_others() {
    let x: Vec<f32> = normal(300 * 40, 1).into_iter().map(|x| x as f32).collect();
    for outputs in [1, 3] {
        let layers = Layer::perceptron(&[64, 33], Function::Silu, 0.0, outputs);
        let network = Network::<f32>::new(40, &layers, Initialiser::Auto, 3).unwrap();
        let mut all = vec![0.0; 300 * outputs];
        network.predict(MatRef::new(&x, 300, 40).unwrap(), &mut all).unwrap();
        for row in [0, 17, 255, 256, 299] {
            let mut alone = vec![0.0; outputs];
            network.predict(MatRef::new(&x[row * 40..][..40], 1, 40).unwrap(), &mut alone).unwrap();
            assert_eq!(alone, all[row * outputs..][..outputs]);
        }
        // Packed weights, memory that was used before, rows that do not lie side by side.
        let predictor = Predictor::new(network).unwrap();
        for rows in [300, 1, 130, 300] {
            let mut packed = vec![0.0; rows * outputs];
            predictor.predict(MatRef::new(&x[..rows * 40], rows, 40).unwrap(), &mut packed).unwrap();
            assert_eq!(packed, all[..rows * outputs]);
        }
        let down: Vec<f32> = (0..300 * 40).map(|i| x[i % 300 * 40 + i / 300]).collect();
        let mut packed = vec![0.0; 300 * outputs];
        let x = MatRef::new(&down, 40, 300).unwrap().transpose();
        predictor.predict(x, &mut packed).unwrap();
        assert_eq!(packed, all);
    }
}

fn message<T>(result: tilewise_base::Result<T>) -> String {
    result.err().map(|e| e.to_string()).unwrap_or_default()
}

#[test]
fn bad_input_is_refused_by_name() {
    let network = |layers: &[Layer]| Network::<f64>::new(2, layers, Initialiser::Auto, 0);
    let narrow = Layer::Residual { layers: vec![Layer::dense(3)] };
    let told = message(network(&[Layer::dense(4), Layer::activate(Function::Relu), narrow]));
    assert!(told.contains("layer 2") && told.contains("3 columns of 4"), "{told}");
    for (layers, part) in [
        (vec![Layer::dense(0)], "layer 0 (dense"),
        (vec![Layer::dense(2), Layer::Dropout { rate: 1.0 }], "layer 1 (dropout"),
        (vec![Layer::Residual { layers: vec![] }], "no layers"),
        (vec![Layer::activate(Function::Relu)], "learns"),
        (vec![Layer::dense(usize::MAX)], "too large"),
    ] {
        let told = message(network(&layers));
        assert!(told.contains(part), "{told}");
    }
    let layers = Layer::perceptron(&[4], Function::Relu, 0.0, 3);
    let x = normal(12, 1);
    let view = MatRef::new(&x, 6, 2).unwrap();
    let labels = [0, 1, 2, 0, 1, 3];
    let data = Rows { x: view, targets: Targets::Classes(&labels), weights: None };
    let mut trainer = Trainer::new(network(&layers).unwrap(), settings(CROSS, Optimiser::SGD), 4).unwrap();
    for (batch, part) in [
        (vec![], "at least one row"),
        (vec![0; 7], "larger than the data"),
        (vec![0; 5], "room for 4"),
        (vec![6], "row 7"),
        (vec![0, 5], "label 3 is out of range"),
    ] {
        let told = message(trainer.step(&data, &batch, 0.1));
        assert!(told.contains(part), "{told}");
    }
    let wide =
        Rows { x: MatRef::new(&x, 4, 3).unwrap(), targets: Targets::Classes(&labels[..4]), weights: None };
    assert!(message(trainer.step(&wide, &[0], 0.1)).contains("columns of x"));
    let numbers = Rows { x: view, targets: Targets::Numbers(&x), weights: None };
    assert!(!message(trainer.step(&numbers, &[0], 0.1)).is_empty());
    let training = Training { batch: Some(7), ..Training::default() };
    let fit = training.fit(network(&layers).unwrap(), CROSS, None, &data, None, &Context::default());
    assert!(message(fit).contains("batch_size"));
    let fit = Training { batch: Some(2), ..training }.fit(
        network(&layers).unwrap(),
        CROSS,
        None,
        &data,
        None,
        &Context::default(),
    );
    assert!(message(fit).contains("row 6: the label 3"));
}

#[test]
fn what_training_is_given_is_checked_before_the_first_epoch() {
    let x = normal(12, 1);
    let view = MatRef::new(&x, 6, 2).unwrap();
    let labels = [0, 1, 2, 0, 1, 2];
    let data = Rows { x: view, targets: Targets::Classes(&labels), weights: None };
    let layers = Layer::perceptron(&[4], Function::Relu, 0.0, 3);
    let network = || Network::<f64>::new(2, &layers, Initialiser::Auto, 0).unwrap();
    let training = Training { batch: Some(3), epochs: 2, ..Training::default() };
    let told = |training: &Training, data: &Rows<'_, f64>, held_out: Option<&Rows<'_, f64>>| {
        message(training.fit(network(), CROSS, None, data, held_out, &Context::default()))
    };
    let short = Rows { targets: Targets::Classes(&labels[..5]), ..data };
    assert!(told(&training, &data, Some(&short)).contains("targets against rows"));
    let short = Rows { weights: Some(&x[..5]), ..data };
    assert!(told(&training, &data, Some(&short)).contains("weights against rows"));
    let none = Rows { x: MatRef::new(&[], 0, 2).unwrap(), targets: Targets::Classes(&[]), weights: None };
    assert!(told(&training, &data, Some(&none)).contains("no rows held out"));
    let weighted = Rows { weights: Some(&[1.0, 1.0, -1.0, 1.0, 1.0, 1.0]), ..data };
    assert!(told(&training, &weighted, None).contains("row 3"));
    for training in [
        Training { warm_up: f64::NAN, ..training.clone() },
        Training { schedule: Schedule::Step { every: 1, factor: -1.0 }, ..training.clone() },
        Training { plateau: Some(Plateau { factor: 2.0, patience: 1 }), ..training.clone() },
    ] {
        let told = told(&training, &data, None);
        assert!(["warm_up", "factor"].iter().any(|name| told.contains(name)), "{told}");
    }
    for weights in [vec![1.0, -1.0, 1.0], vec![f64::NAN; 3]] {
        let fit = training.fit(network(), CROSS, Some(weights), &data, None, &Context::default());
        assert!(message(fit).contains("class_weights"));
    }
    let numbers = Rows { targets: Targets::Numbers(&x[..6]), ..data };
    let one = Network::<f64>::new(2, &[Layer::dense(1)], Initialiser::Auto, 0).unwrap();
    let fit = training.fit(one, Loss::Squared, Some(vec![5.0]), &numbers, None, &Context::default());
    assert!(message(fit).contains("weights of classes"));
}

/// Without rows held out training ends where the loss of those it learns from stays, and only where a tolerance says what that is.
#[test]
fn training_ends_where_the_loss_stays() {
    let x = normal(12, 1);
    let view = MatRef::new(&x, 6, 2).unwrap();
    let data = Rows { x: view, targets: Targets::Classes(&[0, 1, 2, 0, 1, 2]), weights: None };
    let layers = Layer::perceptron(&[4], Function::Relu, 0.0, 3);
    let fit = |tolerance| {
        let network = Network::<f64>::new(2, &layers, Initialiser::Auto, 0).unwrap();
        let training = Training { batch: Some(3), epochs: 9, patience: 3, tolerance, ..Training::default() };
        training.fit(network, CROSS, None, &data, None, &Context::default()).unwrap().report
    };
    // The first epoch is an improvement on nothing, the three after it gain less than the tolerance.
    let ended = fit(Some(1e3));
    assert_eq!((ended.rounds, ended.converged), (4, true), "{}", ended.stopped);
    assert!(ended.stopped.contains("by more than 1000 for 3 epochs"), "{}", ended.stopped);
    assert_eq!((fit(None).rounds, fit(None).converged), (9, true));
    let all = fit(Some(0.0));
    assert_eq!((all.rounds, all.converged), (9, false), "{}", all.stopped);
}

#[test]
fn running_numbers_stay_where_a_step_does_not_count() {
    let mut x = normal(12, 1);
    x[11] = f64::INFINITY;
    let view = MatRef::new(&x, 6, 2).unwrap();
    let data = Rows { x: view, targets: Targets::Numbers(&[1.0; 6]), weights: None };
    let network =
        Network::<f64>::new(2, &[Layer::batch_norm(), Layer::dense(1)], Initialiser::Auto, 0).unwrap();
    let before = network.tensors();
    let mut trainer = Trainer::new(network, settings(Loss::Squared, Optimiser::SGD), 6).unwrap();
    trainer.gradient(&data, &[0, 1, 2]).unwrap();
    assert_eq!(trainer.network().tensors(), before);
    assert!(trainer.step(&data, &[3, 4, 5], 0.1).is_err());
    assert_eq!(trainer.network().tensors(), before);
    trainer.step(&data, &[0, 1, 2], 0.1).unwrap();
    assert_ne!(trainer.network().tensors(), before);
}

#[test]
fn a_loss_that_is_not_finite_stops_and_keeps_what_was_good() {
    let x = [1.0, 1.0, 1.0, 1.0];
    let y = [1e200, -1e200, 1e200, 1e200];
    let data = Rows { x: MatRef::new(&x, 4, 1).unwrap(), targets: Targets::Numbers(&y), weights: None };
    let network = Network::<f64>::new(1, &[Layer::dense(1)], Initialiser::Auto, 0).unwrap();
    let before = network.weights().to_vec();
    let mut trainer = Trainer::new(network, settings(Loss::Squared, Optimiser::SGD), 4).unwrap();
    let told = message(trainer.step(&data, &[0, 1], 0.1));
    assert!(told.contains("loss is inf at step 1"), "{told}");
    assert_eq!(trainer.network().weights(), before);
    // A rate so high that weights grow without bound: some epochs are good.
    let y = [1.0, 2.0, 3.0, 4.0];
    let data = Rows { targets: Targets::Numbers(&y), ..data };
    let training = Training {
        epochs: 500,
        batch: Some(4),
        optimiser: Optimiser::SGD,
        learning_rate: 1e3,
        ..Training::default()
    };
    let fit =
        training.fit(trainer.into_network(), Loss::Squared, None, &data, None, &Context::default()).unwrap();
    assert!(!fit.report.converged && fit.report.warnings[0].contains("last good"), "{:?}", fit.report);
    assert!(fit.model.weights().iter().all(|w| w.is_finite()) && fit.report.rounds > 1);
}

#[test]
fn a_fit_that_is_asked_to_stop_keeps_its_epochs() {
    struct After<'a>(&'a AtomicBool);
    impl tilewise_base::Progress for After<'_> {
        fn round(&self, done: u64, _: u64, _: &str) {
            self.0.store(done == 3, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let x = normal(20, 1);
    let y = normal(10, 2);
    let data = Rows { x: MatRef::new(&x, 10, 2).unwrap(), targets: Targets::Numbers(&y), weights: None };
    let network = Network::<f64>::new(2, &[Layer::dense(1)], Initialiser::Auto, 0).unwrap();
    let cancel = AtomicBool::new(false);
    let context = Context { progress: &After(&cancel), cancel: &cancel, ..Context::default() };
    let training = Training { batch: Some(5), ..Training::default() };
    let fit = training.fit(network.clone(), Loss::Squared, None, &data, None, &context).unwrap();
    assert_eq!((fit.report.rounds, fit.report.converged), (3, false));
    let three = Training { epochs: 3, ..training }.fit(
        network,
        Loss::Squared,
        None,
        &data,
        None,
        &Context::default(),
    );
    assert_eq!(three.unwrap().model.weights(), fit.model.weights());
}

/// A step whose decay spares biases and gains: matrices have the bits of one that spares nothing, biases and gains those of one without decay.
#[test]
fn decay_that_spares_biases_reaches_matrices_alone() {
    let (rows, inputs) = (40, 60);
    let x = normal(rows * inputs, 3);
    let labels: Vec<u32> = (0..rows as u32).map(|i| i % 10).collect();
    let (targets, order) = (Targets::Classes(&labels), (0..rows).collect::<Vec<_>>());
    let data = Rows { x: MatRef::new(&x, rows, inputs).unwrap(), targets, weights: None };
    let moving = Optimiser::Sgd { momentum: 0.9, nesterov: true };
    for optimiser in [moving, Optimiser::ADAM, Optimiser::ADAM_W, Optimiser::LAMB] {
        for (clip, batch) in [(None, 40), (Some(0.1), 40), (None, 20)] {
            let stepped = |weight_decay: f64, decay_biases: bool| {
                let network = Network::<f64>::new(inputs, &deep(), Initialiser::XavierBiases, 3).unwrap();
                let settings = tilewise_network::Settings {
                    weight_decay,
                    decay_biases,
                    clip,
                    ..settings(CROSS, optimiser)
                };
                let first = network.tensors();
                let mut trainer = Trainer::new(network, settings, batch).unwrap();
                trainer.step_in_pieces(&data, &order, 0.01).unwrap();
                (first, trainer.network().tensors())
            };
            let ((first, spared), all, none) =
                (stepped(0.5, false), stepped(0.5, true).1, stepped(0.0, true).1);
            for (((spared, all), none), first) in spared.into_iter().zip(all).zip(none).zip(first) {
                let matrix = spared.1.len() > 1;
                // Of zeros there is nothing to take off.
                let moves = !spared.0.contains("running") && first.2.iter().any(|w| *w != 0.0);
                assert_eq!(all.2 != none.2, moves, "{}", spared.0);
                assert_eq!(spared.2, if matrix { all.2 } else { none.2 }, "{optimiser:?}, {}", spared.0);
            }
        }
    }
}

/// Weights and biases of each layer fill their interval, which is narrower where a sigmoid is in the network, and other ways leave biases 0.
#[test]
fn first_biases_are_drawn_as_their_weights_are() {
    for (function, six) in [(Function::Relu, 6.0), (Function::Sigmoid, 2.0)] {
        let layers = Layer::perceptron(&[300, 200], function, 0.0, 150);
        let network = |initialiser| Network::<f64>::new(100, &layers, initialiser, 1).unwrap().tensors();
        let (drawn, zero) = (network(Initialiser::XavierBiases), network(Initialiser::Xavier));
        let widths = [(100, 300), (300, 200), (200, 150)];
        for (at, (name, _, data)) in drawn.iter().enumerate() {
            let (inputs, outputs) = widths[at / 2];
            let limit = (six / f64::from(inputs + outputs)).sqrt();
            let (low, high) = data.iter().fold((0.0, 0.0), |(a, b): (f64, f64), &x| (a.min(x), b.max(x)));
            assert!(high <= limit && high > 0.95 * limit, "{name}: {high} of {limit}");
            assert!(-low <= limit && -low > 0.95 * limit, "{name}: {low} of {limit}");
            assert_eq!(zero[at].2.iter().all(|x| *x == 0.0), name.ends_with("bias"), "{name}");
        }
    }
}
