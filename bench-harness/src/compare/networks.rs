//! Comparing networks: an epoch of training from the same weights in the same order, and answers for some rows.

use super::problems::{Agreement, Listed};
use crate::operand::Draw;
use std::io;
use tilewise_kernels::parallel::Scheme;
use tilewise_kernels::random::Philox;
use tilewise_kernels::{MatRef, gemm, row_arg_max};
use tilewise_network::{
    Function, Initialiser, Layer, Loss, Network, Optimiser, Predictor, Rows, Settings, Targets, Trainer,
    Window,
};
use tilewise_report::worker::{Job, Layout, Problem};

/// One pass over all rows: rows x rows of a batch x widths of all layers.
pub(super) const EPOCH: &str = "epoch";
/// Outputs for rows: rows x 0 x widths.
pub(super) const ANSWER: &str = "answer";
/// The same of convolutional networks: rows x rows of a batch (or 0) x side of an image x channels of both convolutions x widths of dense
/// layers. A convolution has windows of 3 x 3 and keeps the size, then come ReLU and the largest of 2 x 2.
pub(super) const EPOCH_OF_IMAGES: &str = "epoch_images";
pub(super) const ANSWER_OF_IMAGES: &str = "answer_images";

/// Steps whose losses are compared.
const STEPS: usize = 50;

/// How far losses, near 2.3 at first, may be apart along these steps. Four systems were up to 2e-6 from f64 in most runs; in some one or
/// several of them, which ones changed with the order of rows, were up to 2.3e-4 off. Adam makes a whole step of the smallest gradient,
/// so that a rounding may decide its direction; which one did was not looked into. What is not the same computation is seen: corrections for the first steps by a power in f32 gave 3e-3, an epsilon added elsewhere 6e-3 (on
/// inputs from 0 to 1).
const LOSSES: f64 = 1e-3;

/// How far answers may be apart: sums of up to 784 products of f32.
const ANSWERS: f64 = 1e-4;

const RATE: f64 = 1e-3;

/// The network of the digits that are 28 x 28 pixels.
const WIDTHS: [usize; 4] = [784, 512, 256, 10];
const SMALL: [usize; 3] = [64, 32, 10];
/// A convolutional one for such digits, of four layers that learn.
const IMAGES: [usize; 5] = [28, 16, 32, 128, 10];

/// Convolutions of such a network, and the side of their windows.
const CONVOLUTIONS: usize = 2;
const WINDOW: usize = 3;

/// Whether a kind of problem is one of these.
pub(super) fn has(kind: &str) -> bool {
    trains(kind) || [ANSWER, ANSWER_OF_IMAGES].contains(&kind)
}

/// Whether it is one of training.
pub(super) fn trains(kind: &str) -> bool {
    [EPOCH, EPOCH_OF_IMAGES].contains(&kind)
}

fn is_of_images(kind: &str) -> bool {
    [EPOCH_OF_IMAGES, ANSWER_OF_IMAGES].contains(&kind)
}

/// What learns in a layer: its weights' shape as PyTorch has it, outputs first, and how often a row uses each.
struct Weights {
    shape: Vec<usize>,
    uses: usize,
}

impl Weights {
    fn outputs(&self) -> usize {
        self.shape[0]
    }
    /// Numbers that make one output.
    fn inputs(&self) -> usize {
        self.shape[1..].iter().product()
    }
    /// Without biases.
    fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// The weights of all layers; `widths` is what follows rows and batch in the shape of a problem.
fn layers(kind: &str, widths: &[usize]) -> Vec<Weights> {
    let mut layers = Vec::new();
    let dense = if is_of_images(kind) {
        let (mut side, mut channels) = (widths[0], 1);
        for &outputs in &widths[1..=CONVOLUTIONS] {
            layers.push(Weights { shape: vec![outputs, channels, WINDOW, WINDOW], uses: side * side });
            (side, channels) = (side / 2, outputs);
        }
        [&[side * side * channels], &widths[1 + CONVOLUTIONS..]].concat()
    } else {
        widths.to_vec()
    };
    layers.extend(dense.windows(2).map(|pair| Weights { shape: vec![pair[1], pair[0]], uses: 1 }));
    layers
}

/// Numbers of a row.
fn inputs(kind: &str, widths: &[usize]) -> usize {
    if is_of_images(kind) { widths[0] * widths[0] } else { widths[0] }
}

pub(super) fn problems(quick: bool) -> Vec<Listed> {
    let listed = |kind, head: [usize; 2], widths: &[usize]| Listed {
        group: "",
        kind,
        element: "f32",
        shape: [&head, widths].concat(),
        layout: Layout::default(),
    };
    let rows = if quick { 4096 } else { 60_000 };
    let mut all: Vec<Listed> = [32, 128, 1024].map(|batch| listed(EPOCH, [rows, batch], &WIDTHS)).into();
    all.push(listed(ANSWER, [1, 0], &SMALL));
    all.extend([1, 1024].map(|rows| listed(ANSWER, [rows, 0], &WIDTHS)));
    all.push(listed(EPOCH_OF_IMAGES, [if quick { 1024 } else { 12_000 }, 128], &IMAGES));
    all.extend([1, 256].map(|rows| listed(ANSWER_OF_IMAGES, [rows, 0], &IMAGES)));
    all
}

/// Floating-point operations: two for each use of a weight and row, thrice in training, but for the gradient of the rows themselves.
pub(super) fn flops(kind: &str, shape: &[usize]) -> f64 {
    let [rows, _, widths @ ..] = shape else { return 0.0 };
    let each: Vec<f64> =
        layers(kind, widths).iter().map(|layer| 2.0 * layer.len() as f64 * layer.uses as f64).collect();
    let all: f64 = each.iter().sum();
    *rows as f64 * if trains(kind) { 3.0 * all - each[0] } else { all }
}

/// Whether several threads are of use: a row alone is not divided.
pub(super) fn suits_threads(shape: &[usize]) -> bool {
    shape[0] > 1
}

/// What tells problems of a kind apart.
pub(super) fn shape_text(kind: &str, shape: &[usize]) -> String {
    let [rows, batch, widths @ ..] = shape else { return String::new() };
    let (what, count) = if is_of_images(kind) { ("image", *rows) } else { ("row", *rows) };
    let batch = if *batch > 0 { format!("in batches of {batch}, ") } else { String::new() };
    let mut parts: Vec<String> = widths.iter().map(usize::to_string).collect();
    if is_of_images(kind) {
        parts[0] = format!("{0}x{0}", widths[0]);
        parts[1..=CONVOLUTIONS].iter_mut().for_each(|channels| channels.insert_str(0, "conv "));
    }
    format!("{count} {what}{}, {batch}{}", if count == 1 { "" } else { "s" }, parts.join("-"))
}

/// Writes rows, labels, their order and first weights.
pub(super) fn write(problem: &Problem) -> io::Result<Agreement> {
    let mut draw = Draw::packed(1);
    let [rows, _, widths @ ..] = problem.shape.as_slice() else { return Err(unknown(problem)) };
    let (rows, inputs, outputs) = (*rows, inputs(&problem.kind, widths), widths[widths.len() - 1]);
    // From -1 to 1, as inputs are that were standardised: from 0 to 1 losses leap at first, and roundings grow with them.
    let x = draw.vector::<f64>(rows * inputs, 1.0);
    problem.write("x", x.get())?;
    let mut weights = Vec::new();
    for layer in layers(&problem.kind, widths) {
        let most = 1.0 / (layer.inputs() as f64).sqrt();
        weights.extend_from_slice(draw.vector::<f64>(layer.len(), most).get());
        weights.extend_from_slice(draw.vector::<f64>(layer.outputs(), most).get());
    }
    problem.write("w", &weights)?;
    if !trains(&problem.kind) {
        return Ok(Agreement::Elements(ANSWERS));
    }
    // The class is the direction that a row goes furthest along.
    let directions = draw.normals::<f64>(inputs * outputs);
    let mut scores = vec![0.0; rows * outputs];
    let mut labels = vec![0; rows];
    let mut shaped = || {
        let (x, d) = (MatRef::new(x.get(), rows, inputs)?, MatRef::new(&directions, inputs, outputs)?);
        gemm(1.0, x, d, 0.0, tilewise_kernels::MatMut::new(&mut scores, rows, outputs)?)?;
        row_arg_max(MatRef::new(&scores, rows, outputs)?, &mut labels)
    };
    shaped().map_err(io::Error::other)?;
    problem.write("y", &labels.iter().map(|&y| y as f64).collect::<Vec<_>>())?;
    let order = Philox::new(1, Philox::purpose("order of rows")).permutation(rows);
    problem.write("order", &order.iter().map(|&row| row as f64).collect::<Vec<_>>())?;
    Ok(Agreement::Elements(LOSSES))
}

fn unknown(problem: &Problem) -> io::Error {
    io::Error::other(format!("{} with shape {:?} is not known", problem.kind, problem.shape))
}

/// Our side.
pub(super) fn load(problem: &Problem, scheme: Scheme) -> io::Result<Box<dyn Job>> {
    let [rows, batch, widths @ ..] = problem.shape.as_slice() else { return Err(unknown(problem)) };
    let (rows, batch, inputs) = (*rows, *batch, inputs(&problem.kind, widths));
    let learning = layers(&problem.kind, widths);
    let count = learning.iter().map(|layer| layer.len() + layer.outputs()).sum();
    let mut weights = problem.elements::<f32>("w", count)?.into_iter();
    let mut network = Network::new(inputs, &network(&problem.kind, widths), Initialiser::Auto, 1)
        .map_err(io::Error::other)?;
    // Tensors come layer by layer, each before its bias, as the weights do.
    let next = |_: &str, shape: &[usize]| Ok(weights.by_ref().take(shape.iter().product()).collect());
    network.set_tensors(next).map_err(io::Error::other)?;
    let x = problem.elements("x", rows * inputs)?;
    if !trains(&problem.kind) {
        let answers = vec![0.0; rows * network.outputs()];
        let predictor = Predictor::new(network).map_err(io::Error::other)?;
        return Ok(Box::new(Answering { predictor, x, answers }));
    }
    let whole = |name| Ok::<_, io::Error>(problem.elements::<f32>(name, rows)?.into_iter().map(|x| x as u32));
    let (labels, order) = (whole("y")?.collect(), whole("order")?.map(|row| row as usize).collect());
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
    let trainer = Trainer::new(network, settings, batch).map_err(io::Error::other)?;
    Ok(Box::new(Training { trainer, inputs, batch, x, labels, order, losses: Vec::new() }))
}

/// The layers of a problem's network.
fn network(kind: &str, widths: &[usize]) -> Vec<Layer> {
    let mut layers = Vec::new();
    let dense = if is_of_images(kind) {
        layers.push(Layer::image(1, widths[0], widths[0]));
        for &channels in &widths[1..=CONVOLUTIONS] {
            layers.push(Layer::convolution(channels, Window::square(WINDOW).padding(WINDOW / 2)));
            layers.extend([Layer::activate(Function::Relu), Layer::max_pool(2)]);
        }
        layers.push(Layer::Flatten);
        &widths[1 + CONVOLUTIONS..]
    } else {
        &widths[1..]
    };
    let (outputs, hidden) = dense.split_last().unwrap_or((&1, &[]));
    layers.extend(Layer::perceptron(hidden, Function::Relu, 0.0, *outputs));
    layers
}

struct Training {
    trainer: Trainer<f32>,
    inputs: usize,
    batch: usize,
    x: Vec<f32>,
    labels: Vec<u32>,
    order: Vec<usize>,
    losses: Vec<f64>,
}

impl Job for Training {
    fn run(&mut self, times: u64) -> Result<(), String> {
        let Self { trainer, inputs, batch, x, labels, order, losses } = self;
        let x = MatRef::new(x, order.len(), *inputs).map_err(|error| error.to_string())?;
        let data = Rows { x, targets: Targets::Classes(labels), weights: None };
        for _ in 0..times {
            for rows in order.chunks(*batch) {
                let loss = trainer.step(&data, rows, RATE).map_err(|error| error.to_string())?;
                if trainer.steps() <= STEPS.min(order.len().div_ceil(*batch)) as u64 {
                    losses.push(loss);
                }
            }
        }
        Ok(())
    }
    fn result(&self) -> Vec<f64> {
        self.losses.clone()
    }
}

struct Answering {
    predictor: Predictor<f32>,
    x: Vec<f32>,
    answers: Vec<f32>,
}

impl Job for Answering {
    fn run(&mut self, times: u64) -> Result<(), String> {
        let Self { predictor, x, answers } = self;
        let inputs = predictor.network().inputs();
        let x = MatRef::new(x, x.len() / inputs, inputs).map_err(|e| e.to_string())?;
        (0..times).try_for_each(|_| predictor.predict(x, answers)).map_err(|error| error.to_string())
    }
    fn result(&self) -> Vec<f64> {
        self.answers.iter().map(|&y| f64::from(y)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_those_of_the_textbook() {
        // 784-512-256-10 forward: 2 (784 512 + 512 256 + 256 10) a row.
        assert_eq!(flops(ANSWER, &[1, 0, 784, 512, 256, 10]), 1_070_080.0);
        assert_eq!(flops(EPOCH, &[2, 1, 784, 512, 256, 10]), 2.0 * (3.0 * 1_070_080.0 - 802_816.0));
        // 2 (28 28 16 9 + 14 14 32 16 9 + 7 7 32 128 + 128 10), of which the first is done twice in training, others thrice.
        let images = [1, 0, 28, 16, 32, 128, 10];
        assert_eq!(flops(ANSWER_OF_IMAGES, &images), 2.0 * (112_896.0 + 903_168.0 + 200_704.0 + 1280.0));
        let trained = 2.0 * 112_896.0 + 3.0 * (903_168.0 + 200_704.0 + 1280.0);
        assert_eq!(flops(EPOCH_OF_IMAGES, &images), 2.0 * trained);
        assert_eq!(shape_text(ANSWER, &[1, 0, 64, 32, 10]), "1 row, 64-32-10");
        assert_eq!(shape_text(EPOCH, &[60, 32, 4, 2]), "60 rows, in batches of 32, 4-2");
        let images = [60, 32, 28, 16, 32, 128, 10];
        let text = "60 images, in batches of 32, 28x28-conv 16-conv 32-128-10";
        assert_eq!(shape_text(EPOCH_OF_IMAGES, &images), text);
    }

    #[test]
    fn every_problem_is_written_read_and_computed() {
        let folder = std::env::temp_dir().join(format!("tilewise networks {}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let tried = [
            (EPOCH, vec![40, 16, 6, 5, 3], 3),
            (ANSWER, vec![2, 0, 6, 5, 3], 6),
            (EPOCH_OF_IMAGES, vec![40, 16, 8, 2, 3, 5, 3], 3),
            (ANSWER_OF_IMAGES, vec![2, 0, 8, 2, 3, 5, 3], 6),
        ];
        for (kind, shape, found) in tried {
            let layout = Layout::default();
            let problem =
                Problem { kind: kind.into(), element: "f32".into(), shape, layout, folder: folder.clone() };
            assert!(matches!(write(&problem), Ok(Agreement::Elements(_))));
            let mut job = load(&problem, Scheme::Auto).unwrap();
            job.run(2).unwrap();
            assert_eq!(job.result().len(), found, "{kind}");
            assert!(job.result().iter().all(|x| x.is_finite()));
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
