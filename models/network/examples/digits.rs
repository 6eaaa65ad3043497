//! A small convolutional network learns digits of 8 x 8 pixels; a fifth of them is held out:
//! `cargo run --release -p tilewise-network --example digits [FILE]`, a CSV file whose last column is the digit.

use std::error::Error;
use std::time::Instant;
use tilewise_base::{Context, split};
use tilewise_kernels::{MatRef, row_arg_max};
use tilewise_network::{
    Function, Initialiser, Layer, Loss, Network, Optimiser, Rows, Schedule, Targets, Training, Window,
};

const PIXELS: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let usual = concat!(env!("CARGO_MANIFEST_DIR"), "/../../cli/data/digits.csv");
    let text = std::fs::read_to_string(std::env::args().nth(1).unwrap_or_else(|| usual.into()))?;
    let (mut x, mut labels) = (Vec::new(), Vec::new());
    for line in text.lines().skip(1) {
        let cells = line.split(',').map(str::parse::<f32>).collect::<Result<Vec<f32>, _>>()?;
        let (digit, pixels) =
            cells.split_last().filter(|(_, p)| p.len() == PIXELS).ok_or("65 cells a line")?;
        x.extend(pixels.iter().map(|pixel| pixel / 16.0));
        labels.push(*digit as u32);
    }
    let convolution = |channels| {
        let window = Window::square(3).padding(1);
        let layer = Layer::Convolution { channels, window, bias: false };
        [layer, Layer::batch_norm(), Layer::activate(Function::Relu)]
    };
    let mut layers = vec![Layer::image(1, 8, 8)];
    layers.extend(convolution(16));
    layers.extend(convolution(32));
    layers.push(Layer::max_pool(2));
    layers.extend(convolution(64));
    layers.extend([Layer::max_pool(2), Layer::Flatten, Layer::Dropout { rate: 0.3 }, Layer::dense(10)]);
    let (mut right, mut all) = (0, 0);
    for seed in 1..=3 {
        let (train, test) = split::split(labels.len(), 0.2, seed, Some(&labels))?;
        let take = |which: &[usize]| {
            let pixels = which.iter().flat_map(|&i| &x[i * PIXELS..][..PIXELS]).copied().collect();
            (pixels, which.iter().map(|&i| labels[i]).collect())
        };
        let (pixels, digits): (Vec<f32>, Vec<u32>) = take(&train);
        let (held_out, truth): (Vec<f32>, Vec<u32>) = take(&test);
        let x = MatRef::new(&pixels, digits.len(), PIXELS)?;
        let data = Rows { x, targets: Targets::Classes(&digits), weights: None };
        let training = Training {
            epochs: 40,
            batch: Some(64),
            optimiser: Optimiser::ADAM_W,
            weight_decay: 0.01,
            learning_rate: 3e-3,
            schedule: Schedule::OneCycle,
            ..Training::default()
        };
        let network = Network::new(PIXELS, &layers, Initialiser::Auto, seed)?;
        let (start, context) = (Instant::now(), Context { seed, ..Context::default() });
        let fit =
            training.fit(network, Loss::CrossEntropy { smoothing: 0.1 }, None, &data, None, &context)?;
        let seconds = start.elapsed().as_secs_f64();
        let mut answers = vec![0.0; truth.len() * 10];
        fit.model.predict(MatRef::new(&held_out, truth.len(), PIXELS)?, &mut answers)?;
        let mut found = vec![0; truth.len()];
        row_arg_max(MatRef::new(&answers, truth.len(), 10)?, &mut found)?;
        let hits = found.iter().zip(&truth).filter(|(a, b)| **a == **b as usize).count();
        (right, all) = (right + hits, all + truth.len());
        println!("seed {seed}: {hits} of {} right, trained in {seconds:.1} s", truth.len());
    }
    println!("accuracy on rows held out {:.4}", f64::from(right as u32) / all as f64);
    Ok(())
}
