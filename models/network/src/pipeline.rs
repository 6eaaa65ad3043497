//! From a table to a network that is stored and served: roles -> encoder -> layers -> [`Pipeline`].
//!
//! Numbers are standardised, categories one-hot or embedded; targets of numbers are standardised inside, and answers are scaled back. Weights
//! are `f32`, or `f64` where that is asked for ([`Precision`]).

mod continued;
mod engine;
mod imported;
mod learned;
mod made;
mod pixels;

pub use imported::is_onnx;
pub(crate) use learned::Scale;

use crate::plan::Plan;
use crate::{FullBatch, Function, Initialiser, Layer, Lookup, Network, Standing, Training, usual_width};
use engine::Engine;
use made::{Goals, Learnt, Made};
use pixels::{check_pixels, of_channels};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use tilewise_base::encoder::{Encoder, Options};
use tilewise_base::{
    Context, Dataset, Error, Field, FitReport, Kind, Model, ModelFile, Result, Roles, Task, roles,
};
use tilewise_kernels::{MatMut, MatRef, same, softmax};

/// The family's name.
const KIND: &str = "network";

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
    /// Of numbers: whether the squared loss is halved, as Huber's is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub halved: bool,
    /// Share of the rows that is held out to stop early; 0 for none.
    pub validation: f64,
    /// Epochs, optimiser and so on.
    pub training: Training,
    /// In place of these, L-BFGS on all rows at once, in `f64` whatever the precision; then no rows are held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_batch: Option<FullBatch>,
    /// What weights and layers are computed in.
    #[serde(default, skip_serializing_if = "Precision::is_single")]
    pub precision: Precision,
    /// The classes of the target, in this order, where rows that come later may have some that these have not; else those that occur, sorted.
    /// A model keeps them as its task.
    #[serde(skip)]
    pub classes: Option<Vec<String>>,
}

impl Default for Parameters {
    /// One hidden layer of 100 with ReLU, a tenth of the rows held out, [`Training::default`].
    fn default() -> Self {
        Self {
            hidden: vec![100],
            embedding: None,
            body: None,
            function: Function::Relu,
            dropout: 0.0,
            initialiser: Initialiser::Auto,
            label_smoothing: 0.0,
            balanced: false,
            huber: None,
            halved: false,
            validation: 0.1,
            training: Training::default(),
            full_batch: None,
            precision: Precision::Single,
            classes: None,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(halved: &bool) -> bool {
    !*halved
}

/// Numbers of training, of the file and of answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// `f32`.
    #[default]
    Single,
    /// `f64`: twice the memory, half the speed or less. Fits that are the same by their mathematics (a row twice, or with a weight of 2)
    /// then agree in more digits than seven.
    Double,
}

impl Precision {
    fn is_single(&self) -> bool {
        *self == Self::Single
    }
}

/// Columns of categories that are embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embedded {
    /// Those of at least so many categories.
    pub from: usize,
    /// Numbers of a vector; without, [`usual_width`] of the number of categories.
    pub width: Option<usize>,
}

/// What a file says of scales.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scaled {
    By(Scale),
    Each(Vec<Scale>),
}

/// A trained network with the encoding of its inputs.
pub struct Pipeline {
    parameters: Parameters,
    /// Whether `body` of the parameters is all layers, the last one too.
    whole: bool,
    encoder: Encoder,
    engine: Engine,
    /// One for each output; of classes all are 0 and 1.
    scales: Vec<Scale>,
    target: String,
    task: Task,
    /// Key of the random numbers it was trained with.
    seed: u64,
    report: FitReport,
    /// Where its training ended; not in its file, only in its checkpoint.
    standing: Option<Standing>,
}

impl Pipeline {
    /// Trains on the encoded inputs of `dataset`: as a classifier where `classify`, else as a regressor. Several targets are numbers, each
    /// standardised by itself; the loss is the mean over them.
    ///
    /// # Errors
    /// When a column or cell is not what its role needs (named), there is an offset, several targets are to be classes, or the fit fails.
    pub fn fit(
        parameters: &Parameters,
        classify: bool,
        dataset: &Dataset,
        roles: &Roles,
        context: &Context<'_>,
    ) -> Result<Self> {
        Self::fit_from(None, parameters, classify, dataset, roles, context)
    }

    fn fit_from(
        before: Option<&Self>,
        parameters: &Parameters,
        classify: bool,
        dataset: &Dataset,
        roles: &Roles,
        context: &Context<'_>,
    ) -> Result<Self> {
        let (inputs, targets) = (roles.inputs(dataset)?, roles.needed_targets()?);
        if let Some(offset) = &roles.offset {
            return Err(Error::column(
                offset,
                "is an offset, which networks do not add; poisson and gbdt do",
            ));
        }
        parameters.check_loss(classify)?;
        let weights = roles.weights(dataset)?;
        let numbered = parameters.embedding.map(|embedded| embedded.from);
        let image = parameters.image();
        let options = Options { numbered, standardise: image.is_none(), ..Options::default() };
        let mut encoder = match before {
            Some(before) => before.same_inputs(&inputs)?.clone(),
            None => Encoder::fit(dataset, &inputs, weights.as_deref(), options)?,
        };
        let width = encoder.width();
        if width == 0 {
            return Err(Error::Fit("the inputs have no column with a value".into()));
        }
        let storage = &context.storage;
        if let Some(image) = image {
            check_pixels(image, encoder.inputs())?;
            if before.is_none() {
                let cells = encoder.encode_to(storage, dataset)?;
                encoder =
                    encoder.standardised_by(&of_channels(&cells, width, image[0], weights.as_deref()))?;
            }
        }
        let (mut labels, mut numbers) = (Vec::new(), Vec::new());
        let (task, scales) = if classify {
            let target = roles.needed_target()?;
            let told = match before.map(|before| &before.task) {
                Some(Task::Classification { classes }) => Some(classes),
                _ => parameters.classes.as_ref(),
            };
            let classes = match told {
                Some(classes) => {
                    labels = roles::codes(dataset, target, classes)?;
                    classes.clone()
                }
                None => {
                    let (found, classes) = roles::classes(dataset, target)?;
                    labels = found;
                    classes
                }
            };
            let scales = vec![Scale::NONE; classes.len()];
            (Task::Classification { classes }, scales)
        } else {
            let found: Result<Vec<_>> =
                targets.iter().map(|target| roles::numbers(dataset, target)).collect();
            let found = found?;
            let scales: Vec<Scale> = match before {
                Some(before) if before.scales.len() == found.len() => before.scales.clone(),
                _ => found.iter().map(|y| Scale::of(y, weights.as_deref())).collect(),
            };
            numbers = vec![0.0; dataset.rows() * targets.len()];
            for (row, to) in numbers.chunks_exact_mut(targets.len()).enumerate() {
                to.iter_mut()
                    .zip(&found)
                    .zip(&scales)
                    .for_each(|((to, y), scale)| *to = scale.inside(y[row]));
            }
            let task = match targets {
                [_] => Task::Regression,
                names => Task::Outputs { names: names.to_vec() },
            };
            (task, scales)
        };
        let layers = parameters.layers(&encoder, task.outputs());
        if let Some(before) = before {
            before.same_answers(&task, &layers)?;
        }
        let design = encoder.encode_to(storage, dataset)?;
        let start = before.map(|before| (&before.engine, before.standing.as_ref()));
        let model = |learnt: Learnt| {
            let (encoder, scales, task) = (encoder.clone(), scales.clone(), task.clone());
            Self::learnt(learnt, parameters, encoder, scales, task, roles, context)
        };
        let keep = |learnt: Learnt| match (&context.checkpoint, model(learnt).checkpoint()?) {
            (Some(checkpoint), Some(bytes)) => (checkpoint.keep)(&bytes),
            _ => Ok(()),
        };
        let made = Made { parameters, layers, start, width, keep: &keep, context };
        let goals = Goals { labels, numbers, weights };
        let learnt = match (&parameters.full_batch, parameters.precision) {
            (Some(full), _) => made.trained_at_once(full, design, &goals)?,
            (None, Precision::Single) => made.trained::<f32>(design, &goals)?,
            (None, Precision::Double) => made.trained::<f64>(design, &goals)?,
        };
        Ok(model(learnt))
    }

    /// What was learnt, with all that is around it.
    fn learnt(
        learnt: Learnt,
        parameters: &Parameters,
        encoder: Encoder,
        scales: Vec<Scale>,
        task: Task,
        roles: &Roles,
        context: &Context<'_>,
    ) -> Self {
        let Learnt { engine, standing, training, mut report } = learnt;
        report.warnings.splice(0..0, encoder.warnings());
        if let Some(Embedded { from, .. }) = parameters.embedding
            && !encoder.inputs().iter().any(|field| categories(field) >= from)
        {
            report.warnings.push(format!("no column has {from} categories or more: none is embedded"));
        }
        // With the batch that was taken, so that a fit with what the file tells is the same.
        let (target, parameters) =
            (roles.target_name().to_owned(), Parameters { training, ..parameters.clone() });
        let seed = context.seed;
        Self { parameters, whole: false, encoder, engine, scales, target, task, seed, report, standing }
    }

    /// Reads a model from its file.
    ///
    /// # Errors
    /// When the file holds another kind of model, or parts that do not fit each other.
    pub fn from_file(file: &ModelFile<'_>) -> Result<Self> {
        let parameters: Parameters = file.metadata("params")?;
        let encoder: Encoder = file.metadata("encoder")?;
        let task: Task = file.metadata("task")?;
        let whole = file.optional("whole")?.unwrap_or(false);
        let outputs = match &task {
            Task::Regression => 1,
            Task::Outputs { .. } if task.several().is_some() => task.outputs(),
            Task::Classification { classes } if classes.len() >= 2 => classes.len(),
            _ => return Err(file.error("its task is not one of a network")),
        };
        if encoder.width() == 0 {
            return Err(file.error("its inputs have no column with a value"));
        }
        let scales: Vec<Scale> = match (file.metadata("scale")?, task.several()) {
            (Scaled::Each(scales), Some(_)) => scales,
            // Of files of ONNX once, whose outputs are no targets that were scaled.
            (Scaled::By(scale), Some(_)) if whole => vec![scale; outputs],
            (Scaled::By(scale), None) => vec![scale; outputs],
            (Scaled::Each(_), None) => return Err(file.error("it has several scales of one target")),
            (Scaled::By(_), Some(_)) => return Err(file.error("it has one scale of several targets")),
        };
        if scales.len() != outputs {
            return Err(file.error(format!("it has {} scales of {outputs} targets", scales.len())));
        }
        if !scales.iter().all(Scale::is_usable) {
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
        let weights = plan.weights;
        let engine = Engine::load(file, inputs, &layers, plan)?;
        let standing = Standing::of_file(file, parameters.precision == Precision::Single, weights)?;
        let (target, report) = (file.metadata("target")?, file.metadata("report")?);
        // Files of before it was kept have none.
        let seed = file.optional("seed")?.unwrap_or_default();
        Ok(Self { parameters, whole, encoder, engine, scales, target, task, seed, report, standing })
    }

    /// What its file tells besides tensors.
    fn metadata(&self) -> serde_json::Value {
        let mut metadata = serde_json::json!({
            "encoder": self.encoder,
            "params": self.parameters,
            "report": self.report,
            "scale": self.scales[0],
            "seed": self.seed,
            "target": self.target,
            "task": self.task,
        });
        if self.whole {
            metadata["whole"] = true.into();
        }
        if self.task.several().is_some() {
            metadata["scale"] = serde_json::json!(self.scales);
        }
        metadata
    }

    /// The network behind the encoder; nothing where its weights are of 8 bits, or of 64.
    pub fn network(&self) -> Option<&Network<f32>> {
        match &self.engine {
            Engine::Floats(predictor) => Some(predictor.network()),
            Engine::Doubles(_) | Engine::Bytes(_) => None,
        }
    }

    /// The network with weights of 32 bits, rounded where they are of 64; nothing where they are of 8.
    pub(crate) fn rounded(&self) -> Option<Cow<'_, Network<f32>>> {
        match &self.engine {
            Engine::Floats(predictor) => Some(Cow::Borrowed(predictor.network())),
            Engine::Doubles(predictor) => Some(Cow::Owned(predictor.network().cast())),
            Engine::Bytes(_) => None,
        }
    }

    /// What answers in numbers are scaled back by, one for each output.
    pub(crate) fn scales(&self) -> &[Scale] {
        &self.scales
    }

    /// How cells become its inputs.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }
}

impl Parameters {
    /// That what belongs to the losses of classes or of numbers is not given for the other.
    fn check_loss(&self, classify: bool) -> Result<()> {
        if let Some(huber) = self.huber.filter(|_| classify) {
            return Err(Error::parameter(
                "huber",
                huber,
                "for numbers it is, and the target holds classes; leave it out",
            ));
        }
        if self.halved && classify {
            let what = "for numbers it is, and the target holds classes; leave it out";
            return Err(Error::parameter("halved", true, what));
        }
        if self.halved && self.huber.is_some() {
            return Err(Error::parameter(
                "halved",
                true,
                "of the squared loss it is, not of huber; leave it out",
            ));
        }
        let of_classes = match &self.classes {
            _ if self.balanced => Some(("class_weight", "balanced".into())),
            Some(classes) => Some(("classes", classes.join(", "))),
            None if self.label_smoothing > 0.0 => Some(("label_smoothing", self.label_smoothing.to_string())),
            None => None,
        };
        if let Some((name, value)) = of_classes.filter(|_| !classify) {
            return Err(Error::parameter(
                name,
                value,
                "for classes it is, and the target holds numbers; leave it out",
            ));
        }
        Ok(())
    }

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

/// Categories of a column; 0 of numbers.
fn categories(field: &Field) -> usize {
    if let Kind::Categorical { dictionary } = &field.kind { dictionary.len() } else { 0 }
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
            let mut answers = vec![0.0; count * outputs];
            let wrong = self.engine.answer(&encoded, width, &mut answers)?;
            if let Task::Classification { .. } = self.task {
                let scores = answers.clone();
                softmax(MatRef::new(&scores, count, outputs)?, MatMut::new(&mut answers, count, outputs)?)?;
            } else {
                for row in answers.chunks_exact_mut(outputs) {
                    row.iter_mut().zip(&self.scales).for_each(|(y, scale)| *y = scale.outside(*y));
                }
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
                let bits = self.engine.bits();
                let what = format!("is {value:e}, too large for this network's {bits}-bit numbers");
                return Err(Error::cell(row, name, what));
            }
            for (i, row) in answers.chunks_exact(outputs).enumerate() {
                let add = if outputs == 1 { offset.map_or(0.0, |o| o[first + i]) } else { 0.0 };
                row.iter().enumerate().for_each(|(j, y)| out.set(first + i, j, y + add));
            }
        }
        Ok(())
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        self.engine.store(self.metadata()).to_bytes()
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>> {
        let Some(standing) = &self.standing else { return Ok(None) };
        let mut metadata = self.metadata();
        metadata["standing"] = serde_json::json!(standing);
        let single = self.parameters.precision == Precision::Single;
        standing.store(self.engine.store(metadata), single).to_bytes().map(Some)
    }

    /// As [`QuantisedNetwork::new`](crate::QuantisedNetwork::new) does; the report of the fit stays what it was.
    fn quantised(&self, calibration: &Dataset, context: &Context<'_>) -> Result<Box<dyn Model>> {
        let Some(network) = self.rounded() else {
            return Err(Error::Fit("its weights are of 8 bits already".into()));
        };
        let storage = &context.storage;
        let x = storage.map(&self.encoder.encode_to(storage, calibration)?, |&x| x as f32)?;
        let x = MatRef::new(&x, calibration.rows(), self.encoder.width())?;
        let engine = Engine::quantised(&network, x, context)?;
        let Self { parameters, whole, encoder, scales, target, task, seed, report, .. } = self;
        Ok(Box::new(Self {
            parameters: parameters.clone(),
            whole: *whole,
            encoder: encoder.clone(),
            engine,
            scales: scales.clone(),
            target: target.clone(),
            task: task.clone(),
            seed: *seed,
            report: report.clone(),
            standing: None,
        }))
    }

    fn describe(&self) -> String {
        let mut text = String::from("inputs\n");
        self.encoder.describe().into_iter().for_each(|line| text += &format!("  {line}\n"));
        let bits = if self.engine.bits() == 64 { " of 64 bits" } else { "" };
        text += &format!("layers ({} weights{bits})\n", self.engine.parameters());
        for (i, layer) in self.engine.layers().iter().enumerate() {
            text += &format!("  {i}: {}\n", layer.describe());
        }
        self.engine.describe().into_iter().for_each(|line| text += &format!("{line}\n"));
        text
    }
}
