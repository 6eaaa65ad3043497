//! Seconds of an epoch of 10,000 images of 28 x 28 pixels through two convolutions and two dense layers, Adam, batches of 128:
//! `cargo run --release -p tilewise-network --example convolutions`.

use std::time::Instant;
use tilewise_kernels::parallel::{self, Scheme};
use tilewise_kernels::{MatRef, random::Philox};
use tilewise_network::{
    Function, Initialiser, Layer, Loss, Network, Optimiser, Rows, Settings, Targets, Trainer, Window,
};

fn main() {
    let (rows, inputs) = (10_000, 784);
    let draws = Philox::new(1, Philox::purpose("pixels"));
    let x: Vec<f32> = (0..rows * inputs).map(|i| (draws.bits(i as u64) & 255) as f32 / 255.0).collect();
    let labels: Vec<u32> = (0..rows).map(|i| (i % 10) as u32).collect();
    let x = MatRef::new(&x, rows, inputs).expect("as many numbers");
    let data = Rows { x, targets: Targets::Classes(&labels), weights: None };
    let order = draws.permutation(rows);
    let window = Window::square(3).padding(1);
    let layers = [
        Layer::image(1, 28, 28),
        Layer::convolution(16, window),
        Layer::activate(Function::Relu),
        Layer::max_pool(2),
        Layer::convolution(32, window),
        Layer::activate(Function::Relu),
        Layer::max_pool(2),
        Layer::Flatten,
        Layer::dense(128),
        Layer::activate(Function::Relu),
        Layer::dense(10),
    ];
    for threads in [1, 2] {
        let network = Network::<f32>::new(inputs, &layers, Initialiser::Auto, 1).expect("a network");
        let settings = Settings {
            loss: Loss::CrossEntropy { smoothing: 0.0 },
            class_weights: None,
            optimiser: Optimiser::ADAM,
            weight_decay: 0.0,
            decay_biases: true,
            clip: None,
            seed: 1,
            scheme: Scheme::Auto,
        };
        let mut trainer = Trainer::new(network, settings, 128).expect("a trainer");
        let seconds = parallel::with_threads(threads, || {
            let mut epoch = || {
                let start = Instant::now();
                for rows in order.chunks(128) {
                    trainer.step(&data, rows, 1e-3).expect("a step");
                }
                start.elapsed().as_secs_f64()
            };
            (0..3).map(|_| epoch()).fold(f64::INFINITY, f64::min)
        });
        println!("{threads} threads: {seconds:.3} s");
    }
}
