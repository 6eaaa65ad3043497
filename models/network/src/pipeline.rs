//! From a table to a network that is stored and served: roles -> encoder -> layers -> [`Pipeline`].
//!
//! Numbers are standardised, categories one-hot or embedded; a target of numbers is standardised inside, and answers are scaled back. Weights are `f32`.

mod imported;

pub use imported::is_onnx;

use crate::plan::Plan;
use crate::{
    Function, Initialiser, Layer, Lookup, Loss, Network, Predictor, QuantisedNetwork, Rows, Targets,
    Training, usual_width,
};
use serde::{Deserialize, Serialize};
use tilewise_base::encoder::{Encoder, Options};
use tilewise_base::model_file::Writer;
use tilewise_base::{
    Array, Context, Dataset, Error, Field, FitReport, Kind, Model, ModelFile, Result, Roles, Storage, Task,
    roles, split,
};
use tilewise_kernels::{MatMut, MatRef, same, softmax};

/// The family's name.
const KIND: &str = "network";

/// What metadata tell under `precision` of files whose weights are of 8 bits; others tell nothing.
const INT8: &str = "int8";

/// Rows of cells that are encoded at a time.
const BLOCK: usize = 1024;

/// What is trained, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Which columns of categories get a vector of each that is learned, instead of a column for each; none without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<Embedded>,
    /// All layers but the last dense one, in place of `hidden`, `function` and `dropout`. Where the first one says that rows are
    /// images, their pixels are standardised by channel, not each by itself. Of a network that was read from ONNX really all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Vec<Layer>>,
    /// Behind each of them.
    pub function: Function,
    /// Behind each of these; 0 for none.
    pub dropout: f64,
    /// How first weights are drawn.
    pub initialiser: Initialiser,
    /// Of classes.
    pub label_smoothing: f64,
    /// Whether classes weigh the same, however many rows they have.
    pub balanced: bool,
    /// Of numbers: where the loss becomes linear, in deviations of the target; squared without.
    pub huber: Option<f64>,
    /// Share of the rows that is held out to stop early; 0 for none.
    pub validation: f64,
    /// Epochs, optimiser and so on.
    pub training: Training,
}

/// Columns of categories that are embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embedded {
    /// Those of at least so many categories.
    pub from: usize,
    /// Numbers of a vector; without, [`usual_width`] of the number of categories.
    pub width: Option<usize>,
}

/// Mean and deviation of a target of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Scale {
    mean: f64,
    deviation: f64,
}

/// A trained network with the encoding of its inputs.
pub struct Pipeline {
    parameters: Parameters,
    /// Whether `body` of the parameters is all layers, the last one too.
    whole: bool,
    encoder: Encoder,
    engine: Engine,
    scale: Scale,
    target: String,
    task: Task,
    /// Key of the random numbers it was trained with.
    seed: u64,
    report: FitReport,
}

/// The layers.
enum Engine {
    Floats(Predictor<f32>),
    /// Weights of 8 bits.
    Bytes(QuantisedNetwork),
}

/// What belongs to one row or to one after the other.
struct Learned {
    x: Array<f32>,
    labels: Vec<u32>,
    numbers: Vec<f32>,
    weights: Option<Vec<f32>>,
}

impl Learned {
    /// The rows `which`, in this order.
    fn take(&self, which: &[usize], width: usize, storage: &Storage) -> Result<Self> {
        let some =
            |all: &[f32]| if all.is_empty() { Vec::new() } else { which.iter().map(|&i| all[i]).collect() };
        let mut x = storage.zeros(which.len() * width)?;
        for (to, &row) in x.chunks_exact_mut(width).zip(which) {
            to.copy_from_slice(&self.x[row * width..][..width]);
        }
        Ok(Self {
            x: x.finish()?,
            labels: if self.labels.is_empty() {
                Vec::new()
            } else {
                which.iter().map(|&i| self.labels[i]).collect()
            },
            numbers: some(&self.numbers),
            weights: self.weights.as_deref().map(some),
        })
    }

    fn rows(&self, width: usize) -> Result<Rows<'_, f32>> {
        let targets = match self.labels.is_empty() {
            true => Targets::Numbers(&self.numbers),
            false => Targets::Classes(&self.labels),
        };
        let x = MatRef::new(&self.x, self.x.len() / width, width)?;
        Ok(Rows { x, targets, weights: self.weights.as_deref() })
    }
}

impl Pipeline {
    /// Trains on the encoded inputs of `dataset`: as a classifier where `classify`, else as a regressor.
    ///
    /// # Errors
    /// When a column or cell is not what its role needs (named), there is an offset, or the fit fails.
    pub fn fit(
        parameters: &Parameters,
        classify: bool,
        dataset: &Dataset,
        roles: &Roles,
        context: &Context<'_>,
    ) -> Result<Self> {
        let (inputs, target) = (roles.inputs(dataset)?, roles.needed_target()?);
        if let Some(offset) = &roles.offset {
            return Err(Error::column(
                offset,
                "is an offset, which networks do not add; poisson and gbdt do",
            ));
        }
        let Parameters { label_smoothing, balanced: all_equal, huber, .. } = *parameters;
        if let Some(huber) = huber.filter(|_| classify) {
            return Err(Error::parameter(
                "huber",
                huber,
                "for numbers it is, and the target holds classes; leave it out",
            ));
        }
        if !classify && (label_smoothing > 0.0 || all_equal) {
            let (name, value) = match all_equal {
                true => ("class_weight", "balanced".into()),
                false => ("label_smoothing", label_smoothing.to_string()),
            };
            return Err(Error::parameter(
                name,
                value,
                "for classes it is, and the target holds numbers; leave it out",
            ));
        }
        let weights = roles.weights(dataset)?;
        let numbered = parameters.embedding.map(|embedded| embedded.from);
        let image = parameters.image();
        let options = Options { numbered, standardise: image.is_none(), ..Options::default() };
        let mut encoder = Encoder::fit(dataset, &inputs, weights.as_deref(), options)?;
        let width = encoder.width();
        if width == 0 {
            return Err(Error::Fit("the inputs have no column with a value".into()));
        }
        let storage = &context.storage;
        if let Some(image) = image {
            check_pixels(image, encoder.inputs())?;
            let by = of_channels(&encoder.encode_to(storage, dataset)?, width, image[0], weights.as_deref());
            encoder = encoder.standardised_by(&by)?;
        }
        let x = storage.map(&encoder.encode_to(storage, dataset)?, |&x| x as f32)?;
        let mut learned = Learned { x, labels: Vec::new(), numbers: Vec::new(), weights: None };
        let mut scale = Scale { mean: 0.0, deviation: 1.0 };
        let task = if classify {
            let (labels, classes) = roles::classes(dataset, target)?;
            learned.labels = labels;
            Task::Classification { classes }
        } else {
            let y = roles::numbers(dataset, target)?;
            scale = Scale::of(&y, weights.as_deref());
            learned.numbers = y.iter().map(|y| ((y - scale.mean) / scale.deviation) as f32).collect();
            Task::Regression
        };
        learned.weights = weights.map(|weights| weights.into_iter().map(|w| w as f32).collect());
        let outputs = task.outputs();
        let loss = match (classify, parameters.huber) {
            (true, _) => Loss::CrossEntropy { smoothing: parameters.label_smoothing },
            (false, Some(delta)) => Loss::Huber { delta },
            (false, None) => Loss::Squared,
        };
        let class_weights = (classify && parameters.balanced).then(|| balanced(&learned, outputs));
        let layers = parameters.layers(&encoder, outputs);
        let network = Network::new(width, &layers, parameters.initialiser, context.seed)?;
        let (train, held_out) = match parameters.validation > 0.0 {
            true => {
                let strata = classify.then_some(&learned.labels[..]);
                let (train, test) =
                    split::split(dataset.rows(), parameters.validation, context.seed, strata)?;
                let held_out = learned.take(&test, width, storage)?;
                (learned.take(&train, width, storage)?, Some(held_out))
            }
            false => (learned, None),
        };
        let held_out = held_out.as_ref().map(|rows| rows.rows(width)).transpose()?;
        let (rows, training) = (train.rows(width)?, &parameters.training);
        // A default is no order: small tables are one batch, which is said.
        let many = rows.x.rows();
        let cut = training.batch == Training::default().batch && training.batch > many && many > 0;
        let training = Training { batch: if cut { many } else { training.batch }, ..training.clone() };
        let fit = training.fit(network, loss, class_weights, &rows, held_out.as_ref(), context)?;
        let mut report = fit.report;
        report.warnings.splice(0..0, encoder.warnings());
        if let Some(Embedded { from, .. }) = parameters.embedding
            && !encoder.inputs().iter().any(|field| categories(field) >= from)
        {
            report.warnings.push(format!("no column has {from} categories or more: none is embedded"));
        }
        if cut {
            let batch = Training::default().batch;
            report.warnings.push(format!(
                "batch_size is {batch} and there are {many} rows to learn from: a step takes all of them"
            ));
        }
        // With the batch that was taken, so that a fit with what the file tells is the same.
        let (target, parameters) = (target.to_owned(), Parameters { training, ..parameters.clone() });
        let engine = Engine::Floats(Predictor::new(fit.model)?);
        let seed = context.seed;
        Ok(Self { parameters, whole: false, encoder, engine, scale, target, task, seed, report })
    }

    /// Reads a model from its file.
    ///
    /// # Errors
    /// When the file holds another kind of model, or parts that do not fit each other.
    pub fn from_file(file: &ModelFile<'_>) -> Result<Self> {
        let parameters: Parameters = file.metadata("params")?;
        let encoder: Encoder = file.metadata("encoder")?;
        let (task, scale): (Task, Scale) = (file.metadata("task")?, file.metadata("scale")?);
        let whole = file.optional("whole")?.unwrap_or(false);
        let outputs = match &task {
            Task::Regression => 1,
            Task::Outputs { .. } if whole && task.several().is_some() => task.outputs(),
            Task::Classification { classes } if classes.len() >= 2 => classes.len(),
            _ => return Err(file.error("its task is not one of a network")),
        };
        if encoder.width() == 0 {
            return Err(file.error("its inputs have no column with a value"));
        }
        if !(scale.mean.is_finite() && scale.deviation.is_finite() && scale.deviation > 0.0) {
            return Err(file.error("the scale of its target is not finite"));
        }
        let refuse = |e: Error| file.error(e.to_string());
        // A width takes a few bytes of a file and what is made of it hundreds, so each must have its tensor.
        if parameters.body.is_none() && parameters.hidden.len() > file.tensors().count() {
            return Err(file.error("it has fewer tensors than hidden layers"));
        }
        let inputs = encoder.width();
        let layers = match &parameters.body {
            Some(body) if whole => body.clone(),
            _ => parameters.layers(&encoder, outputs),
        };
        let plan = Plan::new(inputs, &layers).map_err(refuse)?;
        if !plan.answers(outputs) {
            return Err(file.error(format!("its layers do not give rows of {outputs} numbers")));
        }
        let engine = match file.optional::<String>("precision")?.as_deref() {
            None => {
                // Every tensor's shape is compared before memory is taken for all of them.
                plan.check(file)?;
                let mut network = Network::zeros(inputs, &layers, plan);
                network.set_tensors(|name, shape| file.tensor_f32(name, shape)).map_err(refuse)?;
                Engine::Floats(Predictor::new(network)?)
            }
            Some(INT8) => {
                drop(plan);
                Engine::Bytes(QuantisedNetwork::from_file(file, inputs, &layers)?)
            }
            Some(other) => return Err(file.error(format!("its precision is {other:?}; {INT8:?} is known"))),
        };
        let (target, report) = (file.metadata("target")?, file.metadata("report")?);
        // Files of before it was kept have none.
        let seed = file.optional("seed")?.unwrap_or_default();
        Ok(Self { parameters, whole, encoder, engine, scale, target, task, seed, report })
    }

    /// The network behind the encoder; nothing where its weights are of 8 bits.
    pub fn network(&self) -> Option<&Network<f32>> {
        match &self.engine {
            Engine::Floats(predictor) => Some(predictor.network()),
            Engine::Bytes(_) => None,
        }
    }

    /// Mean and deviation that answers in numbers are scaled back by; 0 and 1 of classes.
    pub(crate) fn scale(&self) -> (f64, f64) {
        (self.scale.mean, self.scale.deviation)
    }

    /// How cells become its inputs.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }
}

impl Parameters {
    /// Channels, height and width, where rows are images.
    fn image(&self) -> Option<[usize; 3]> {
        match self.body.as_ref()?.first()? {
            Layer::Image { channels, height, width } => Some([*channels, *height, *width]),
            _ => None,
        }
    }

    fn layers(&self, encoder: &Encoder, outputs: usize) -> Vec<Layer> {
        let width =
            |categories| self.embedding.and_then(|e| e.width).unwrap_or_else(|| usual_width(categories));
        let lookup = |(column, categories)| Lookup { column, categories, width: width(categories) };
        let lookups: Vec<Lookup> = encoder.numbered().into_iter().map(lookup).collect();
        let mut layers = Vec::new();
        if !lookups.is_empty() {
            layers.push(Layer::Embedding { lookups });
        }
        match &self.body {
            Some(body) => layers.extend(body.iter().cloned().chain([Layer::dense(outputs)])),
            None => layers.extend(Layer::perceptron(&self.hidden, self.function, self.dropout, outputs)),
        }
        layers
    }
}

/// That inputs are the pixels of an image.
fn check_pixels([channels, height, width]: [usize; 3], inputs: &[Field]) -> Result<()> {
    if let Some(field) = inputs.iter().find(|field| matches!(field.kind, Kind::Categorical { .. })) {
        return Err(Error::column(&field.name, "holds categories, and pixels of images are numbers"));
    }
    let (found, text) = (inputs.len(), format!("{channels}x{height}x{width}"));
    match channels.saturating_mul(height).saturating_mul(width) == found {
        true => Ok(()),
        false => Err(Error::parameter(
            "image",
            text,
            format!("channels x height x width that are {found} columns are"),
        )),
    }
}

/// Categories of a column; 0 of numbers.
fn categories(field: &Field) -> usize {
    if let Kind::Categorical { dictionary } = &field.kind { dictionary.len() } else { 0 }
}

/// Mean and deviation of the channel of each column of rows of `width` numbers; a channel that is constant has deviation 1.
fn of_channels(x: &[f64], width: usize, channels: usize, weights: Option<&[f64]>) -> Vec<(f64, f64)> {
    let pixels = width / channels;
    let mean = |channel: usize, of: &dyn Fn(f64) -> f64| {
        let (mut sum, mut total) = (0.0, 0.0);
        for (i, row) in x.chunks_exact(width).enumerate() {
            let weight = weights.map_or(1.0, |weights| weights[i]);
            sum += weight * row[channel * pixels..][..pixels].iter().map(|&x| of(x)).sum::<f64>();
            total += weight * pixels as f64;
        }
        sum / total
    };
    let of_channel = |channel: usize| {
        // Around one of them, so that equal numbers have a mean that is theirs, however many they are.
        let first = x[channel * pixels];
        let centre = first + mean(channel, &|x| x - first);
        let deviation = mean(channel, &|x| (x - centre).powi(2)).sqrt();
        // As the encoder has it: less is the rounding of equal numbers.
        let constant = deviation <= 8.0 * f64::EPSILON * centre.abs();
        vec![(centre, if constant { 1.0 } else { deviation }); pixels]
    };
    (0..channels).flat_map(of_channel).collect()
}

impl Scale {
    fn of(y: &[f64], weights: Option<&[f64]>) -> Self {
        let weight = |i: usize| weights.map_or(1.0, |w| w[i]);
        let total: f64 = (0..y.len()).map(weight).sum();
        let mean = y.iter().enumerate().map(|(i, y)| weight(i) * y).sum::<f64>() / total;
        let square = y.iter().enumerate().map(|(i, y)| weight(i) * (y - mean).powi(2)).sum::<f64>() / total;
        let deviation = square.sqrt();
        let (mean, usable) = (mean, deviation > 0.0 && deviation.is_finite());
        Self { mean, deviation: if usable { deviation } else { 1.0 } }
    }
}

/// Rows over classes times rows of each class, weights counting as rows.
fn balanced(learned: &Learned, classes: usize) -> Vec<f64> {
    let mut of_class = vec![0.0; classes];
    for (i, &label) in learned.labels.iter().enumerate() {
        of_class[label as usize] += learned.weights.as_ref().map_or(1.0, |w| f64::from(w[i]));
    }
    let total: f64 = of_class.iter().sum();
    of_class.iter().map(|&n| if n > 0.0 { total / (classes as f64 * n) } else { 1.0 }).collect()
}

impl Model for Pipeline {
    fn kind(&self) -> &str {
        KIND
    }
    fn inputs(&self) -> &[Field] {
        self.encoder.inputs()
    }
    fn target(&self) -> &str {
        &self.target
    }
    fn task(&self) -> &Task {
        &self.task
    }
    fn report(&self) -> &FitReport {
        &self.report
    }

    fn predict(
        &self,
        cells: MatRef<'_, f64>,
        offset: Option<&[f64]>,
        mut out: MatMut<'_, f64>,
    ) -> Result<()> {
        let (rows, outputs, width) = (cells.rows(), self.outputs(), self.encoder.width());
        same("cells per row", self.encoder.inputs().len(), cells.cols())?;
        same("rows of out", rows, out.rows())?;
        same("columns of out", outputs, out.cols())?;
        same("offset against rows", rows, offset.map_or(rows, <[f64]>::len))?;
        for first in (0..rows).step_by(BLOCK) {
            let count = BLOCK.min(rows - first);
            let mut encoded = vec![0.0; count * width];
            self.encoder
                .encode_cells(cells.row_range(first..first + count), &mut encoded)
                .map_err(|e| e.moved_down(first))?;
            let encoded: Vec<f32> = encoded.into_iter().map(|x| x as f32).collect();
            let mut answers = vec![0.0; count * outputs];
            let x = MatRef::new(&encoded, count, width)?;
            let mut wrong = None;
            match &self.engine {
                Engine::Floats(predictor) => predictor.predict(x, &mut answers)?,
                Engine::Bytes(network) => {
                    // A byte can be made of infinity too, so it would come through.
                    wrong = encoded.iter().position(|x| !x.is_finite()).map(|at| at / width);
                    network.predict(x, &mut answers)?;
                }
            }
            let mut answers: Vec<f64> = answers.into_iter().map(f64::from).collect();
            if let Task::Classification { .. } = self.task {
                let scores = answers.clone();
                softmax(MatRef::new(&scores, count, outputs)?, MatMut::new(&mut answers, count, outputs)?)?;
            } else {
                answers.iter_mut().for_each(|y| *y = *y * self.scale.deviation + self.scale.mean);
            }
            let unanswered = answers.iter().position(|answer| !answer.is_finite()).map(|at| at / outputs);
            if let Some(wrong) = wrong.or(unanswered) {
                let row = first + wrong;
                let largest = (0..cells.cols()).max_by(|&a, &b| {
                    let size = |column| cells.get(row, column).abs();
                    size(a).total_cmp(&size(b))
                });
                let column = largest.unwrap_or(0);
                let (name, value) = (&self.encoder.inputs()[column].name, cells.get(row, column));
                return Err(Error::cell(
                    row,
                    name,
                    format!("is {value:e}, too large for this network's 32-bit numbers"),
                ));
            }
            for (i, row) in answers.chunks_exact(outputs).enumerate() {
                let add = if outputs == 1 { offset.map_or(0.0, |o| o[first + i]) } else { 0.0 };
                row.iter().enumerate().for_each(|(j, y)| out.set(first + i, j, y + add));
            }
        }
        Ok(())
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut metadata = serde_json::json!({
            "encoder": self.encoder,
            "params": self.parameters,
            "report": self.report,
            "scale": self.scale,
            "seed": self.seed,
            "target": self.target,
            "task": self.task,
        });
        if self.whole {
            metadata["whole"] = true.into();
        }
        match &self.engine {
            Engine::Floats(predictor) => {
                let tensors = predictor.network().tensors().into_iter();
                let add = |writer: Writer, (name, shape, data): (String, Vec<usize>, Vec<f32>)| {
                    writer.tensor_f32(&name, &shape, &data)
                };
                tensors.fold(Writer::new(KIND, metadata), add).to_bytes()
            }
            Engine::Bytes(network) => {
                metadata["precision"] = INT8.into();
                network.store(Writer::new(KIND, metadata)).to_bytes()
            }
        }
    }

    /// As [`QuantisedNetwork::new`] does; the report of the fit stays what it was.
    fn quantised(&self, calibration: &Dataset, context: &Context<'_>) -> Result<Box<dyn Model>> {
        let Some(network) = self.network() else {
            return Err(Error::Fit("its weights are of 8 bits already".into()));
        };
        let storage = &context.storage;
        let x = storage.map(&self.encoder.encode_to(storage, calibration)?, |&x| x as f32)?;
        let x = MatRef::new(&x, calibration.rows(), self.encoder.width())?;
        let engine = Engine::Bytes(QuantisedNetwork::within(network, x, context)?);
        let Self { parameters, whole, encoder, scale, target, task, seed, report, .. } = self;
        Ok(Box::new(Self {
            parameters: parameters.clone(),
            whole: *whole,
            encoder: encoder.clone(),
            engine,
            scale: *scale,
            target: target.clone(),
            task: task.clone(),
            seed: *seed,
            report: report.clone(),
        }))
    }

    fn describe(&self) -> String {
        let mut text = String::from("inputs\n");
        self.encoder.describe().into_iter().for_each(|line| text += &format!("  {line}\n"));
        let (layers, parameters) = match &self.engine {
            Engine::Floats(predictor) => (predictor.network().layers(), predictor.network().parameters()),
            Engine::Bytes(network) => (network.layers(), network.parameters()),
        };
        text += &format!("layers ({parameters} weights)\n");
        for (i, layer) in layers.iter().enumerate() {
            text += &format!("  {i}: {}\n", layer.describe());
        }
        if let Engine::Bytes(network) = &self.engine {
            text += "weights of 8 bits, and what comes to them as bytes\n";
            network.describe().into_iter().for_each(|line| text += &format!("  {line}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::of_channels;

    /// Sums of a tenth are none of a tenth: what is the same everywhere must not be scaled by their rounding.
    #[test]
    fn a_channel_that_is_constant_keeps_its_units() {
        let rows = 1797;
        let image: Vec<f64> = (0..64).map(|_| 0.1).chain((0..64).map(f64::from)).collect();
        let by = of_channels(&image.repeat(rows), 128, 2, None);
        assert_eq!(by[0], (0.1, 1.0));
        assert_eq!(by[63], by[0]);
        // Of 0 to 63 the mean and the deviation.
        assert!((by[64].0 - 31.5).abs() < 1e-9 && (by[64].1 - 341.25f64.sqrt()).abs() < 1e-9, "{:?}", by[64]);
    }
}
