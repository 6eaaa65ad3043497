//! Networks whose products are of bytes: beside plain loops, within the bounds that bytes have, the same everywhere, from files.

use crate::gradients::normal;
use crate::networks::networks;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tilewise_base::encoder::Encoder;
use tilewise_base::{Column, Context, Dataset, Error, Model, ModelFile, Progress, Roles, predict_dataset};
use tilewise_kernels::{MatRef, Quantisation, dequantise, min_max, parallel, quantise};
use tilewise_network::naive::{DenseOfBytes, Images, answer_of_bytes, convolution};
use tilewise_network::pipeline::{Embedded, Parameters, Pipeline};
use tilewise_network::{
    Function, Initialiser, Layer, Network, QuantisedNetwork, QuantisedWeights, Training, Window,
};

fn floats(n: usize, seed: u64) -> Vec<f32> {
    normal(n, seed).into_iter().map(|x| x as f32).collect()
}

fn answers(network: &QuantisedNetwork, x: &[f32]) -> Vec<f32> {
    let rows = x.len() / network.inputs();
    let mut out = vec![7.0; rows * network.outputs()];
    network.predict(MatRef::new(x, rows, network.inputs()).unwrap(), &mut out).unwrap();
    out
}

/// Dense layers as plain loops have them, a function behind all but the last.
fn twin(network: &QuantisedNetwork, function: Function) -> Vec<DenseOfBytes> {
    let tensors = network.tensors();
    let weights = network.weights();
    let last = weights.len() - 1;
    let layer = |(i, of): (usize, QuantisedWeights)| DenseOfBytes {
        weight: of.weights.chunks(of.shape[1]).map(<[i8]>::to_vec).collect(),
        scales: of.scales,
        input: of.input,
        bias: tensors.iter().find(|t| t.0 == format!("{}.bias", of.layer)).unwrap().2.clone(),
        function: (i < last).then_some(function),
    };
    weights.into_iter().enumerate().map(layer).collect()
}

#[test]
fn answers_have_the_bits_of_plain_loops_alone_and_among_others_at_any_threads() {
    let (rows, inputs) = (300, 37);
    let x = floats(rows * inputs, 1);
    for outputs in [1, 5] {
        let layers = Layer::perceptron(&[64, 33], Function::Relu, 0.2, outputs);
        let mut network = Network::<f32>::new(inputs, &layers, Initialiser::Auto, 3).unwrap();
        // Biases other than 0, and an output that is always the same.
        let mut odd = floats(network.weights().len(), 4).into_iter().map(|x| x / 5.0);
        network.weights_mut().iter_mut().filter(|w| **w == 0.0).for_each(|w| *w = odd.next().unwrap());
        let calibration = MatRef::new(&x[..200 * inputs], 200, inputs).unwrap();
        let quantised = QuantisedNetwork::new(&network, calibration).unwrap();
        let plain = twin(&quantised, Function::Relu);
        let expected: Vec<u32> =
            x.chunks(inputs).flat_map(|row| answer_of_bytes(&plain, row)).map(f32::to_bits).collect();
        for threads in [1, 2, 3, 7] {
            let all = parallel::with_threads(threads, || answers(&quantised, &x));
            assert!(all.iter().map(|y| y.to_bits()).eq(expected.iter().copied()), "{threads} threads");
        }
        for row in [0, 128, 299] {
            let alone = answers(&quantised, &x[row * inputs..][..inputs]);
            assert!(
                alone.iter().map(|y| y.to_bits()).eq(expected[row * outputs..][..outputs].iter().copied())
            );
        }
    }
}

/// What comes to a layer is off by half a step, weights by half of theirs: |w| s / 2 + |x| t / 2 for each product, x being the byte's
/// number; sums of f32 add 1e-5 of the terms at most.
#[test]
fn a_layer_is_off_by_half_steps_at_most() {
    let (rows, inputs, outputs) = (50, 200, 9);
    let x = floats(rows * inputs, 5);
    let view = MatRef::new(&x, rows, inputs).unwrap();
    let network = Network::<f32>::new(inputs, &[Layer::dense(outputs)], Initialiser::Auto, 6).unwrap();
    let quantised = QuantisedNetwork::new(&network, view).unwrap();
    let of = &quantised.weights()[0];
    let (low, high) = min_max(&x).unwrap();
    assert_eq!((of.layer.as_str(), &of.shape[..]), ("0", &[outputs, inputs][..]));
    assert_eq!(of.input, Quantisation::<u8>::of_range(low, high).unwrap());
    assert!(of.weights.chunks(inputs).all(|row| row.iter().any(|w| w.abs() == 127)));
    let (mut exact, ours) = (vec![0.0; rows * outputs], answers(&quantised, &x));
    network.predict(view, &mut exact).unwrap();
    let mut bytes = vec![0u8; x.len()];
    quantise(&x, of.input, &mut bytes).unwrap();
    let mut near = vec![0.0; x.len()];
    dequantise(&bytes, of.input, &mut near).unwrap();
    let (weights, mut furthest) = (&network.tensors()[0].2, 0.0f32);
    for (i, (a, b)) in exact.iter().zip(&ours).enumerate() {
        let (row, j) = (&near[i / outputs * inputs..][..inputs], i % outputs);
        let pairs = row.iter().zip(&weights[j * inputs..][..inputs]);
        let bound: f32 =
            pairs.map(|(x, w)| 0.5001 * (w.abs() * of.input.scale + x.abs() * of.scales[j])).sum();
        assert!((a - b).abs() <= bound + 1e-4, "{i}: {a} {b}, {bound}");
        furthest = furthest.max((a - b).abs());
    }
    assert!(furthest > 1e-3, "nothing was rounded");
}

/// All windows that convolutions have: a byte's number times a weight's is exact in f64, so only the last roundings differ: of the sum,
/// its scale, and the bias, 2^-24 each.
#[test]
fn convolutions_are_those_of_plain_loops() {
    let rows = 3;
    for (number, window) in [
        Window::square(3).padding(1),
        Window::square(1),
        Window { size: [2, 3], stride: [2, 1], padding: [1, 0], dilation: [1, 2] },
        Window { size: [5, 2], stride: [1, 3], padding: [2, 1], dilation: [2, 1] },
    ]
    .into_iter()
    .enumerate()
    {
        let (channels, [height, width]) = (2, [9, 8]);
        let layers = [
            Layer::image(channels, height, width),
            Layer::convolution(4, window),
            Layer::Flatten,
            Layer::activate(Function::Relu),
        ];
        let inputs = channels * height * width;
        let x: Vec<f32> = floats(rows * inputs, number as u64).into_iter().map(|x| x + 0.7).collect();
        let mut network = Network::<f32>::new(inputs, &layers, Initialiser::Auto, 6).unwrap();
        network.weights_mut().iter_mut().filter(|w| **w == 0.0).for_each(|w| *w = 0.3);
        let view = MatRef::new(&x, rows, inputs).unwrap();
        let quantised = QuantisedNetwork::new(&network, view).unwrap();
        let of = &quantised.weights()[0];
        assert_eq!(of.shape, [4, channels, window.size[0], window.size[1]]);
        let mut bytes = vec![0u8; x.len()];
        quantise(&x, of.input, &mut bytes).unwrap();
        let zero = f64::from(of.input.zero_point);
        let step = f64::from(of.input.scale);
        let values = bytes.iter().map(|&q| (f64::from(q) - zero) * step).collect();
        let images = Images { rows, channels, size: [height, width], values };
        let each = of.weights.len() / 4;
        let weights: Vec<f64> = of
            .weights
            .iter()
            .enumerate()
            .map(|(i, &w)| f64::from(w) * f64::from(of.scales[i / each]))
            .collect();
        let bias: Vec<f64> = quantised.tensors()[0].2.iter().map(|&b| b.into()).collect();
        let theirs = convolution(&images, window, &weights, &bias);
        let ours = answers(&quantised, &x);
        assert_eq!(ours.len(), theirs.values.len());
        for (a, b) in ours.iter().zip(&theirs.values) {
            let b = b.max(0.0);
            assert!(
                (f64::from(*a) - b).abs() <= 4.0 * 2f64.powi(-24) * (b.abs() + 1.0),
                "{window:?}: {a} {b}"
            );
        }
    }
}

#[test]
fn all_layers_are_near_what_they_were() {
    for (name, network) in networks() {
        let rows = 200;
        let mut x = floats(rows * network.inputs(), 8);
        if name == "embedding" {
            // Numbers of categories.
            x.iter_mut().for_each(|x| *x = (x.abs() * 4.0).floor());
        }
        let view = MatRef::new(&x, rows, network.inputs()).unwrap();
        let quantised = QuantisedNetwork::new(&network, view).unwrap();
        assert_eq!(quantised.parameters(), network.parameters(), "{name}");
        let (mut before, after) = (vec![0.0; rows * network.outputs()], answers(&quantised, &x));
        network.predict(view, &mut before).unwrap();
        let spread = |y: &mut dyn Iterator<Item = f32>| y.map(|y| f64::from(y).powi(2)).sum::<f64>().sqrt();
        let off = spread(&mut before.iter().zip(&after).map(|(a, b)| a - b));
        let size = spread(&mut before.iter().copied());
        // A byte has a step of a 255th of its range; the deepest of these has seven such layers.
        assert!(off > 0.0 && off < 0.1 * size, "{name}: {off} of {size}");
    }
}

#[test]
fn layers_of_very_many_inputs_keep_their_weights() {
    let inputs = 65_794;
    let layers = Layer::perceptron(&[2], Function::Tanh, 0.0, 1);
    let network = Network::<f32>::new(inputs, &layers, Initialiser::Auto, 1).unwrap();
    let x = floats(inputs, 2);
    let quantised = QuantisedNetwork::new(&network, MatRef::new(&x, 1, inputs).unwrap()).unwrap();
    let layers: Vec<String> = quantised.weights().into_iter().map(|of| of.layer).collect();
    assert_eq!(layers, ["2"]);
    assert!(answers(&quantised, &x)[0].is_finite());
    let alone = Network::<f32>::new(inputs, &[Layer::dense(1)], Initialiser::Auto, 1).unwrap();
    let told = QuantisedNetwork::new(&alone, MatRef::new(&x, 1, inputs).unwrap()).unwrap_err().to_string();
    assert!(told.contains("65,793"), "{told}");
}

fn table() -> Dataset {
    let (a, b) = (normal(120, 1), normal(120, 2));
    let word = |i: usize| (i * i + i / 7) as u32 % 4;
    let words = ["ash", "birch", "cedar", "elm"].map(String::from).to_vec();
    let y: Vec<f64> = (0..120).map(|i| a[i] - b[i] * f64::from(word(i)) + 3.0).collect();
    let class = Column::Categorical {
        codes: y.iter().map(|y| u32::from(*y > 3.0)).collect(),
        dictionary: vec!["no".into(), "yes".into()],
    };
    let tree = Column::Categorical { codes: (0..120).map(word).collect(), dictionary: words };
    let columns = [
        ("a", Column::F64(a.into())),
        ("b", Column::F64(b.into())),
        ("tree", tree),
        ("y", Column::F64(y.into())),
        ("class", class),
    ];
    Dataset::new(columns.into_iter().map(|(name, column)| (name.to_owned(), column)).collect()).unwrap()
}

fn fitted(target: &str, embedding: Option<usize>) -> Pipeline {
    let parameters = Parameters {
        hidden: vec![40, 30],
        embedding: embedding.map(|from| Embedded { from, width: None }),
        validation: 0.0,
        training: Training { epochs: 20, batch: Some(20), learning_rate: 0.01, ..Training::default() },
        ..Parameters::default()
    };
    let other = if target == "y" { "class" } else { "y" };
    let roles = Roles { ignore: vec![other.into()], ..Roles::target(target) };
    Pipeline::fit(&parameters, target == "class", &table(), &roles, &Context::default()).unwrap()
}

#[test]
fn models_come_back_from_their_files_and_are_smaller() {
    let data = table();
    for (target, embedding) in [("y", None), ("class", None), ("class", Some(2))] {
        let model = fitted(target, embedding);
        let quantised = model.quantised(&data, &Context::default()).unwrap();
        let bytes = quantised.to_bytes().unwrap();
        assert!(bytes.len() < model.to_bytes().unwrap().len());
        let again = Pipeline::from_file(&ModelFile::parse(&bytes).unwrap()).unwrap();
        assert_eq!(again.to_bytes().unwrap(), bytes);
        let (before, after) = (
            predict_dataset(&model, &data, None).unwrap(),
            predict_dataset(&*quantised, &data, None).unwrap(),
        );
        assert_eq!(predict_dataset(&again, &data, None).unwrap(), after);
        assert!(before != after && before.iter().zip(&after).all(|(a, b)| (a - b).abs() < 0.3));
        let told = again.describe();
        assert!(
            told.contains("weights of 8 bits") && told.contains("inputs") && again.network().is_none(),
            "{told}"
        );
        // A second time, as ONNX, without rows, and numbers that are none to 32 bits.
        let refused = [
            again.quantised(&data, &Context::default()).err().unwrap().to_string(),
            again.to_onnx().unwrap_err().to_string(),
            model.quantised(&data.take(&[]), &Context::default()).err().unwrap().to_string(),
        ];
        for (told, part) in refused.iter().zip(["8 bits already", "of 8 bits", "no rows"]) {
            assert!(told.contains(part), "{told}");
        }
        let cells = [0.5, 1e300, 1.0];
        let mut out = vec![0.0; again.outputs()];
        let out = tilewise_kernels::MatMut::new(&mut out, 1, again.outputs()).unwrap();
        let told = again.predict(MatRef::new(&cells, 1, 3).unwrap(), None, out).unwrap_err().to_string();
        assert!(told.contains("\"b\"") && told.contains("too large"), "{told}");
    }
}

/// Hears of rows, and asks to stop when so many were told.
struct Told {
    rounds: Mutex<Vec<(u64, u64)>>,
    stop: (u64, AtomicBool),
}

impl Progress for Told {
    fn round(&self, done: u64, total: u64, _: &str) {
        self.rounds.lock().unwrap().push((done, total));
        self.stop.1.store(done >= self.stop.0, Ordering::Relaxed);
    }
}

/// Rows are gone through in pieces, between which the work may be stopped; ranges are those of all of them.
#[test]
fn calibration_is_told_in_pieces_and_stops() {
    let (model, small) = (fitted("y", None), table());
    let rows = 200_000;
    let data = small.take(&(0..rows).map(|i| i % small.rows()).collect::<Vec<_>>());
    let told = |stop| Told { rounds: Mutex::default(), stop: (stop, AtomicBool::new(false)) };
    let quantise = |told: &Told| {
        let context = Context { progress: told, cancel: &told.stop.1, ..Context::default() };
        model.quantised(&data, &context).map(|model| model.to_bytes().unwrap())
    };
    let all = told(u64::MAX);
    let bytes = quantise(&all).unwrap();
    assert!(bytes == model.quantised(&small, &Context::default()).unwrap().to_bytes().unwrap());
    let rounds = all.rounds.into_inner().unwrap();
    assert!(rounds.len() > 2 && rounds.is_sorted(), "{rounds:?}");
    assert!(rounds.iter().all(|round| round.1 == rows as u64) && rounds.last().unwrap().0 == rows as u64);
    let stopped = told(1);
    let error = quantise(&stopped).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    assert_eq!(stopped.rounds.into_inner().unwrap(), rounds[..1]);
}

/// The range of what comes to the first layer is that of the encoded table, widened to 0.
#[test]
fn ranges_are_those_of_the_calibration() {
    let data = table();
    let model = fitted("y", None);
    let quantised = model.quantised(&data, &Context::default()).unwrap();
    let encoder: &Encoder = model.encoder();
    let x: Vec<f32> = encoder.encode(&data).unwrap().into_iter().map(|x| x as f32).collect();
    let (low, high) = min_max(&x).unwrap();
    let bytes = quantised.to_bytes().unwrap();
    let file = ModelFile::parse(&bytes).unwrap();
    let by = Quantisation::<u8>::of_range(low, high).unwrap();
    assert_eq!(file.tensor_f32("0.input_scale", &[1]).unwrap(), [by.scale]);
    assert_eq!(file.tensor_u8("0.input_zero_point", &[1]).unwrap(), [by.zero_point]);
    assert_eq!(file.tensor_i8("4.weight", &[1, 30]).unwrap().len(), 30);
    let mut odd = x.clone();
    odd[12 * encoder.width()] = f32::INFINITY;
    let odd = MatRef::new(&odd, 120, encoder.width()).unwrap();
    let told = QuantisedNetwork::new(model.network().unwrap(), odd).unwrap_err().to_string();
    assert!(told.contains("layer 0") && told.contains("rows 1 to 120"), "{told}");
}
