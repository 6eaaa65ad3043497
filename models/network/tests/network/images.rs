//! Convolutional networks: against PyTorch, against plain loops, gradients against central differences, bad input.

use crate::gradients::{LOSSES, check, normal, settings};
use proptest::prelude::*;
use tilewise_kernels::MatRef;
use tilewise_network::{
    Function, Initialiser, Layer, Loss, Network, Optimiser, Rows, Targets, Trainer, Window, naive,
};

/// Both compute in f64; their sums differ in order.
const TOLERANCE: f64 = 1e-11;

fn numbers(n: usize, salt: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 7919 + salt * 104_729) % 1000) as f64 / 1000.0 - 0.5).collect()
}

/// `golden/images.py` made the numbers.
#[test]
fn three_steps_are_those_of_pytorch() {
    let x: Vec<f64> = numbers(6 * 168, 1).iter().map(|x| x * 4.0).collect();
    let x = MatRef::new(&x, 6, 168).unwrap();
    let data = Rows { x, targets: Targets::Classes(&[0, 1, 1, 0, 2, 2]), weights: None };
    let first = Window { size: [3, 2], stride: [2, 1], padding: [1, 0], dilation: [1, 2] };
    let largest = Window { size: [2, 3], stride: [1, 2], padding: [1, 1], dilation: [1, 1] };
    let layers = [
        Layer::image(3, 7, 8),
        Layer::convolution(4, first),
        Layer::activate(Function::Relu),
        Layer::batch_norm(),
        Layer::MaxPool { window: largest },
        Layer::Convolution { channels: 5, window: Window::square(2), bias: false },
        Layer::activate(Function::Silu),
        Layer::AveragePool { window: Window::square(2).padding(1) },
        Layer::Flatten,
        Layer::dense(3),
    ];
    let mut network = Network::<f64>::new(168, &layers, Initialiser::Auto, 0).unwrap();
    let mut salt = 1;
    network
        .set_tensors(|name, shape| {
            let n = shape.iter().product();
            if name.contains("running") {
                return Ok(vec![f64::from(u8::from(name.ends_with("var"))); n]);
            }
            salt += 1;
            Ok(numbers(n, salt))
        })
        .unwrap();
    let mut trainer = Trainer::new(
        network,
        settings(Loss::CrossEntropy { smoothing: 0.0 }, Optimiser::Sgd { momentum: 0.9, nesterov: false }),
        6,
    )
    .unwrap();
    let same = |what: &str, ours: &[f64], theirs: &str| {
        let theirs: Vec<f64> = theirs.split(' ').map(|w| w.parse().unwrap()).collect();
        assert_eq!(ours.len(), theirs.len());
        for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
            assert!((a - b).abs() < TOLERANCE * b.abs().max(1.0), "{what}, {i}: {a} against {b}");
        }
    };
    for line in include_str!("../golden/images.csv").lines().skip(1) {
        let parts: Vec<&str> = line.split(',').collect();
        if parts[0] == "answers" {
            let mut answers = vec![0.0; 18];
            trainer.network().predict(x, &mut answers).unwrap();
            same("answers", &answers, parts[2]);
            continue;
        }
        let loss = trainer.step(&data, &[0, 1, 2, 3, 4, 5], 0.05).unwrap();
        let expected: f64 = parts[1].parse().unwrap();
        assert!((loss - expected).abs() < TOLERANCE, "step {}: {loss} against {expected}", parts[0]);
        let ours: Vec<f64> = trainer.network().tensors().into_iter().flat_map(|t| t.2).collect();
        same(parts[0], &ours, parts[2]);
    }
}

#[derive(Clone, Debug)]
struct Shape {
    channels: usize,
    size: [usize; 2],
    window: Window,
}

fn shapes() -> impl Strategy<Value = Shape> {
    let pair = |range: std::ops::Range<usize>| prop::array::uniform2(range);
    (1..4usize, pair(3..7), pair(1..4), pair(1..4), pair(0..2), pair(1..3)).prop_map(
        |(channels, size, taps, stride, padding, dilation)| {
            let fits = |axis: usize| (taps[axis] - 1) * dilation[axis] < size[axis];
            let dilation = if fits(0) && fits(1) { dilation } else { [1; 2] };
            Shape { channels, size, window: Window { size: taps, stride, padding, dilation } }
        },
    )
}

/// A window for pooling: no dilation, padding of at most half of the size.
fn pooled(window: Window) -> Window {
    let padding = [0, 1].map(|axis| window.padding[axis].min(window.size[axis] / 2));
    Window { dilation: [1; 2], padding, ..window }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]
    #[test]
    fn layers_are_their_definitions(shape in shapes(), rows in 1..4usize, seed in 0..100u64) {
        let Shape { channels, size: [h, w], window } = shape;
        let x = normal(rows * channels * h * w, seed);
        let answers = |layer: Layer, weights: &[f64]| {
            // Pooling learns nothing, and a network that learns nothing is refused: a convolution that copies follows.
            let point = Window { size: [1; 2], stride: [1; 2], padding: [0; 2], dilation: [1; 2] };
            let copy = Layer::convolution(channels, point);
            let pools = matches!(layer, Layer::MaxPool { .. } | Layer::AveragePool { .. });
            let mut layers = vec![Layer::image(channels, h, w), layer];
            layers.extend(pools.then_some(copy));
            layers.push(Layer::Flatten);
            let mut network = Network::<f64>::new(channels * h * w, &layers, Initialiser::Auto, 1).unwrap();
            let mut given = weights.to_vec();
            network.set_tensors(|name, shape| {
                let n: usize = shape.iter().product();
                let copies = |i: usize| f64::from(u8::from(name.ends_with("weight") && i.is_multiple_of(channels + 1)));
                Ok(if given.is_empty() { (0..n).map(copies).collect() } else { given.drain(..n).collect() })
            }).unwrap();
            let mut out = vec![0.0; rows * network.outputs()];
            network.predict(MatRef::new(&x, rows, channels * h * w).unwrap(), &mut out).unwrap();
            out
        };
        let images = naive::Images { rows, channels, size: [h, w], values: x.clone() };
        let outputs = 1 + seed as usize % 5;
        let weights = normal(outputs * channels * window.size[0] * window.size[1] + outputs, seed + 1);
        let split = weights.len() - outputs;
        let expected = naive::convolution(&images, window, &weights[..split], &weights[split..]);
        let found = answers(Layer::convolution(outputs, window), &weights);
        prop_assert_eq!(found.len(), expected.values.len());
        for (a, b) in found.iter().zip(&expected.values) {
            prop_assert!((a - b).abs() < 1e-12 * (1.0 + b.abs()), "{} against {}", a, b);
        }
        let window = pooled(window);
        for (layer, plain) in [
            (Layer::MaxPool { window }, naive::max_pool(&images, window)),
            (Layer::AveragePool { window }, naive::average_pool(&images, window)),
        ] {
            let found = answers(layer, &[]);
            prop_assert_eq!(found.len(), plain.values.len());
            for (a, b) in found.iter().zip(&plain.values) {
                prop_assert!((a - b).abs() < 1e-12 * (1.0 + b.abs()), "{} against {}", a, b);
            }
        }
    }

    #[test]
    fn gradients_are_differences(shape in shapes(), outputs in 1..4usize, rows in 2..4usize, pool in 0..3usize, seed in 0..100u64) {
        let Shape { channels, size: [h, w], window } = shape;
        let pooling = pooled(Window::square(2));
        let mut layers = vec![Layer::image(channels, h, w), Layer::convolution(outputs, window), Layer::activate(Function::Tanh)];
        layers.push(Layer::Residual { layers: vec![Layer::convolution(outputs, Window::square(3).padding(1)), Layer::batch_norm()] });
        let padded = pooling.padding(1);
        layers.extend(match pool {
            0 => Some(Layer::MaxPool { window: padded }),
            1 => Some(Layer::AveragePool { window: padded }),
            _ => None,
        });
        layers.extend([Layer::Flatten, Layer::dense(3)]);
        check(channels * h * w, &layers, LOSSES[0], false, rows, seed);
    }
}

#[test]
fn what_does_not_fit_is_refused_by_layer() {
    let refused = |inputs: usize, layers: &[Layer]| {
        Network::<f32>::new(inputs, layers, Initialiser::Auto, 1).unwrap_err().to_string()
    };
    let image = Layer::image(1, 4, 4);
    let conv = |size: usize| Layer::convolution(2, Window::square(size));
    assert!(
        refused(15, &[image.clone(), conv(3)])
            .contains("layer 0 (images of 1 x 4 x 4): its input has 15 numbers")
    );
    assert!(
        refused(16, &[conv(3)]).contains("layer 0 (convolution, 2 channels, 3 x 3): its input are no images")
    );
    assert!(
        refused(16, &[image.clone(), conv(5)])
            .contains("layer 1 (convolution, 2 channels, 5 x 5): images of 1 x 4 x 4")
    );
    assert!(
        refused(16, &[image.clone(), Layer::dense(2)])
            .contains("layer 1 (dense, 2 outputs): its input are images")
    );
    assert!(
        refused(16, &[image.clone(), Layer::convolution(0, Window::square(1))])
            .contains("at least one channel")
    );
    let zero = Window { stride: [0, 1], ..Window::square(2) };
    assert!(refused(16, &[image.clone(), Layer::convolution(1, zero)]).contains("stride"));
    let wide = Layer::MaxPool { window: Window::square(2).padding(2) };
    assert!(refused(16, &[image.clone(), conv(1), wide]).contains("padding is more than half"));
    let other = Layer::Residual { layers: vec![Layer::convolution(1, Window::square(3))] };
    assert!(refused(16, &[image, other]).contains("layer 1 (residual"));
}

#[test]
fn the_same_bits_at_any_number_of_threads() {
    let x: Vec<f32> = normal(64 * 144, 1).into_iter().map(|x| x as f32).collect();
    let labels: Vec<u32> = (0..64u32).map(|i| i * i % 3).collect();
    let layers = [
        Layer::image(1, 12, 12),
        Layer::convolution(8, Window::square(3).padding(1)),
        Layer::activate(Function::Relu),
        Layer::max_pool(2),
        Layer::convolution(16, Window::square(3)),
        Layer::activate(Function::Relu),
        Layer::average_pool(2),
        Layer::Flatten,
        Layer::dense(3),
    ];
    let train = |threads: usize| {
        tilewise_kernels::parallel::with_threads(threads, || {
            let targets = Targets::Classes(&labels);
            let data = Rows { x: MatRef::new(&x, 64, 144).unwrap(), targets, weights: None };
            let network = Network::<f32>::new(144, &layers, Initialiser::Auto, 3).unwrap();
            let settings = settings(Loss::CrossEntropy { smoothing: 0.0 }, Optimiser::ADAM);
            let mut trainer = Trainer::new(network, settings, 64).unwrap();
            let batch: Vec<usize> = (0..64).collect();
            for _ in 0..3 {
                trainer.step(&data, &batch, 0.01).unwrap();
            }
            let mut answers = vec![0.0; 64 * 3];
            trainer.network().predict(data.x, &mut answers).unwrap();
            let weights = trainer.network().weights().iter().chain(&answers);
            weights.map(|w| w.to_bits()).collect::<Vec<u32>>()
        })
    };
    let one = train(1);
    for threads in [2, 3, 7] {
        assert!(one == train(threads), "{threads} threads");
    }
}
