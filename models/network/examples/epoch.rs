//! Seconds of an epoch of 60,000 rows through the network 784-512-256-10 with Adam at three sizes of batches, on one and two threads,
//! weights of a layer finished beside the chain (`tasks`) or not (`rows`), in turn; and the share of the peak of multiply-adds, which
//! takes its turn too: `cargo run --release -p tilewise-network --example epoch`.

use std::time::Instant;
use tilewise_kernels::parallel::Scheme;
use tilewise_kernels::{MatRef, parallel, random::Philox, roofline::fma_chain};
use tilewise_network::{
    Function, Initialiser, Layer, Loss, Network, Optimiser, Rows, Settings, Targets, Trainer,
};

/// Of a row, forward and backward; the first layer's input has no gradient.
const FLOPS: f64 = 2.0 * (2.0 * 784.0 * 512.0 + 3.0 * 512.0 * 256.0 + 3.0 * 256.0 * 10.0);

const ROUNDS: usize = 5;

fn main() {
    let (rows, inputs) = (60_000, 784);
    let draws = Philox::new(1, Philox::purpose("pixels"));
    let x: Vec<f32> = (0..rows * inputs).map(|i| (draws.bits(i as u64) & 255) as f32 / 255.0).collect();
    let labels: Vec<u32> = (0..rows).map(|i| (i % 10) as u32).collect();
    let x = MatRef::new(&x, rows, inputs).expect("as many numbers");
    let data = Rows { x, targets: Targets::Classes(&labels), weights: None };
    let order = draws.permutation(rows);
    for batch in [32, 128, 1024] {
        let trainer = |scheme| {
            let layers = Layer::perceptron(&[512, 256], Function::Relu, 0.0, 10);
            let network = Network::<f32>::new(inputs, &layers, Initialiser::Auto, 1).expect("a network");
            let settings = Settings {
                loss: Loss::CrossEntropy { smoothing: 0.0 },
                class_weights: None,
                optimiser: Optimiser::ADAM,
                weight_decay: 0.0,
                decay_biases: true,
                clip: None,
                seed: 1,
                scheme,
            };
            Trainer::new(network, settings, batch).expect("a trainer")
        };
        let mut runs = [(1, Scheme::Rows), (2, Scheme::Rows), (2, Scheme::Tasks)]
            .map(|(threads, scheme)| (threads, scheme, trainer(scheme), Vec::new(), Vec::new()));
        for _ in 0..ROUNDS {
            for (threads, _, trainer, seconds, peaks) in &mut runs {
                parallel::with_threads(*threads, || {
                    peaks.push(peak());
                    let start = Instant::now();
                    for rows in order.chunks(batch) {
                        trainer.step(&data, rows, 1e-3).expect("a step");
                    }
                    seconds.push(start.elapsed().as_secs_f64());
                });
            }
        }
        for (threads, scheme, _, seconds, peaks) in &mut runs {
            let (seconds, peak) = (median(seconds), median(peaks));
            let rate = FLOPS * rows as f64 / seconds;
            println!(
                "batch {batch}, {threads} threads, {scheme:?}: {seconds:.3} s, {:.0} GFLOP/s, {:.0} % of {:.0}",
                rate / 1e9,
                100.0 * rate / peak,
                peak / 1e9
            );
        }
    }
}

/// Operations a second of all threads together.
fn peak() -> f64 {
    let rates = parallel::on_every_thread(|_| {
        let start = Instant::now();
        let (operations, value) = fma_chain::<f32>(4_000_000);
        std::hint::black_box(value);
        operations / start.elapsed().as_secs_f64()
    });
    rates.iter().sum()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
