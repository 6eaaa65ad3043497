//! Seconds of an epoch of 60,000 rows through the network 784-512-256-10 with Adam, on two threads, at three sizes of batches:
//! `cargo run --release -p tilewise-network --example epoch`.

use std::time::Instant;
use tilewise_kernels::{MatRef, parallel, random::Philox};
use tilewise_network::{
    Function, Initialiser, Layer, Loss, Network, Optimiser, Rows, Settings, Targets, Trainer,
};

fn main() {
    let (rows, inputs) = (60_000, 784);
    let draws = Philox::new(1, Philox::purpose("pixels"));
    let x: Vec<f32> = (0..rows * inputs).map(|i| (draws.bits(i as u64) & 255) as f32 / 255.0).collect();
    let labels: Vec<u32> = (0..rows).map(|i| (i % 10) as u32).collect();
    let x = MatRef::new(&x, rows, inputs).expect("as many numbers");
    let data = Rows { x, targets: Targets::Classes(&labels), weights: None };
    let order = draws.permutation(rows);
    for batch in [32, 128, 1024] {
        let layers = Layer::perceptron(&[512, 256], Function::Relu, 0.0, 10);
        let network = Network::<f32>::new(inputs, &layers, Initialiser::Auto, 1).expect("a network");
        let settings = Settings {
            loss: Loss::CrossEntropy { smoothing: 0.0 },
            class_weights: None,
            optimiser: Optimiser::ADAM,
            weight_decay: 0.0,
            clip: None,
            seed: 1,
        };
        let mut trainer = Trainer::new(network, settings, batch).expect("a trainer");
        let best = parallel::with_threads(2, || {
            let epoch = |trainer: &mut Trainer<f32>| {
                let start = Instant::now();
                for rows in order.chunks(batch) {
                    trainer.step(&data, rows, 1e-3).expect("a step");
                }
                start.elapsed().as_secs_f64()
            };
            (0..3).map(|_| epoch(&mut trainer)).fold(f64::INFINITY, f64::min)
        });
        println!("batch {batch}: {best:.3} s, {:.0} GFLOP/s", 2.407e-3 * rows as f64 / best);
    }
}
