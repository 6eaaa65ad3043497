//! Networks: what `--set` accepts for them.

use crate::family::{TASK, task};
use crate::linear::NOT_NEGATIVE;
use crate::{Family, Format, Purpose, Setting, Settings};
use std::collections::HashSet;
use tilewise_base::{Error, Result};
use tilewise_gbdt::export::Exported;
use tilewise_network::pipeline::{Embedded, Parameters, Pipeline, Precision};
use tilewise_network::{
    FullBatch, Function, Initialiser, Layer, Optimiser, PARTS, Plateau, Schedule, Training, layers_of,
};

const WHOLE: &str = "a whole number above 0";

const HIDDEN: Setting = Setting {
    key: "hidden",
    default: "100",
    accepted: "widths of hidden layers such as 512,256, up to 65536 each, or none",
    doc: "widths of the hidden layers",
};
const ACTIVATION: Setting = Setting {
    key: "activation",
    default: "relu",
    accepted: "relu, leaky-relu, gelu, silu, tanh, sigmoid or identity",
    doc: "the function behind each hidden layer",
};
const LAYERS: Setting = Setting {
    key: "layers",
    default: "hidden",
    accepted: PARTS,
    doc: "layers in place of hidden, divided by commas, such as conv16x3,norm,pool2,conv32x3,norm,pool2,64 or 128,layernorm,res(128,128); or none",
};
const IMAGE: Setting = Setting {
    key: "image",
    default: "none",
    accepted: "none, or channels x height x width such as 1x28x28",
    doc: "rows are images of so many numbers, channel by channel, each row by row; for convolutions and pooling",
};
const EMBEDDING: Setting = Setting {
    key: "embedding",
    default: "none",
    accepted: "none, or a whole number above 0",
    doc: "columns of at least so many categories get a learned vector for each (and one for missing and unknown ones) instead of a column for each",
};
const EMBEDDING_WIDTH: Setting = Setting {
    key: "embedding_width",
    default: "auto",
    accepted: "auto, or a whole number from 1 to 1024",
    doc: "numbers of such a vector; auto is 1.6 x categories^0.56, at most 64",
};
const OPTIMISER: Setting = Setting {
    key: "optimiser",
    default: "adam",
    accepted: "adam, adamw, sgd, nesterov (both with momentum), rmsprop, adagrad, lamb or lbfgs",
    doc: "how weights follow their gradient; lbfgs takes all rows at once, in 64 bits, and holds none out: for small tables",
};
const BETA1: Setting = Setting {
    key: "beta1",
    default: "0.9",
    accepted: "a number from 0 to below 1",
    doc: "of adam, adamw and lamb: share of the mean gradient that stays in a step",
};
const BETA2: Setting = Setting {
    key: "beta2",
    default: "0.999",
    accepted: "a number from 0 to below 1",
    doc: "of adam, adamw and lamb: share of the mean squared gradient that stays in a step",
};
const EPSILON: Setting = Setting {
    key: "epsilon",
    default: "auto",
    accepted: "auto, or a number above 0",
    doc: "of adam, adamw and lamb: added to the root of the mean squared gradient; auto is 1e-8, of lamb 1e-6",
};
const EVALUATIONS: Setting = Setting {
    key: "max_evaluations",
    default: "15000",
    accepted: WHOLE,
    doc: "of lbfgs: most evaluations of the loss of all rows",
};
const SHUFFLE: Setting = Setting {
    key: "shuffle",
    default: "true",
    accepted: "true or false",
    doc: "whether each epoch takes the rows in an order drawn for it",
};
const POWER: Setting = Setting {
    key: "power",
    default: "0.5",
    accepted: NOT_NEGATIVE,
    doc: "of the schedule inverse: the learning rate is divided by (rows of all epochs before + 1) to this power",
};
const LEARNING_RATE: Setting = Setting {
    key: "learning_rate",
    default: "0.001",
    accepted: "a number above 0",
    doc: "step of the optimiser",
};
const MOMENTUM: Setting = Setting {
    key: "momentum",
    default: "0.9",
    accepted: "a number from 0 to below 1",
    doc: "of sgd and nesterov: how much of the last direction stays",
};
const BATCH_SIZE: Setting = Setting {
    key: "batch_size",
    default: "auto",
    accepted: "auto, or a whole number above 0",
    doc: "rows of a step; auto is a sixteenth of the rows to learn from, 8 at least and 128 at most",
};
const ACCUMULATE: Setting = Setting {
    key: "accumulate",
    default: "1",
    accepted: WHOLE,
    doc: "batches whose gradients are added up before a step",
};
const EPOCHS: Setting = Setting {
    key: "epochs",
    default: "50",
    accepted: WHOLE,
    doc: "most passes over the rows, steps of lbfgs",
};
const DROPOUT: Setting = Setting {
    key: "dropout",
    default: "0",
    accepted: "a number from 0 to below 1",
    doc: "share of the numbers behind each hidden layer that a step of training leaves out",
};
const WEIGHT_DECAY: Setting = Setting {
    key: "weight_decay",
    default: "0",
    accepted: NOT_NEGATIVE,
    doc: "pull of weights to 0; of adamw and lamb beside the gradient, else in it",
};
const DECAY_BIASES: Setting = Setting {
    key: "decay_biases",
    default: "true",
    accepted: "true or false",
    doc: "whether weight_decay pulls at biases and gains too",
};
const SCHEDULE: Setting = Setting {
    key: "schedule",
    default: "constant",
    accepted: "constant, cosine, one-cycle, inverse, step (half, every tenth of the epochs) or plateau (half, after two epochs that are no better)",
    doc: "how the learning rate changes",
};
const WARM_UP: Setting = Setting {
    key: "warm_up",
    default: "0",
    accepted: NOT_NEGATIVE,
    doc: "epochs over which the learning rate rises from 0 at first",
};
const CLIP: Setting = Setting {
    key: "clip",
    default: "inf",
    accepted: "a number above 0",
    doc: "the longest gradient of a step; a longer one is made as long as this",
};
const VALIDATION: Setting = Setting {
    key: "validation_fraction",
    default: "0.1",
    accepted: "a number from 0 to below 1",
    doc: "share of the rows that is held out to stop early and to choose the best epoch; 0, the default of lbfgs, trains all epochs on all rows",
};
const PATIENCE: Setting = Setting {
    key: "patience",
    default: "5",
    accepted: WHOLE,
    doc: "epochs without a smaller loss on rows held out after which training ends",
};
const TOLERANCE: Setting = Setting {
    key: "tolerance",
    default: "none",
    accepted: "none or a number of 0 or more",
    doc: "by how much a loss must be below the smallest one to count as smaller; with it training also ends early without rows held out, \
          by the loss of those it learns from; of lbfgs the largest entry of the gradient at which it has converged, 1e-4 without",
};
const LABEL_SMOOTHING: Setting = Setting {
    key: "label_smoothing",
    default: "0",
    accepted: "a number from 0 to below 1",
    doc: "of classes: this share of the target is divided among all",
};
const CLASS_WEIGHT: Setting = Setting {
    key: "class_weight",
    default: "none",
    accepted: "none or balanced",
    doc: "balanced lets all classes count the same",
};
const HUBER: Setting = Setting {
    key: "huber",
    default: "inf",
    accepted: "a number above 0",
    doc: "of numbers: from how many deviations on the squared loss becomes linear",
};
const HALVED: Setting = Setting {
    key: "halved",
    default: "false",
    accepted: "true or false",
    doc: "of numbers: whether the squared loss is halved, as with huber, and as scikit-learn has it",
};
const CLASSES: Setting = Setting {
    key: "classes",
    default: "auto",
    accepted: "auto, or a list in JSON such as [\"no\",\"yes\"]",
    doc: "the classes of the target, for rows that come later (train --continue) with some that these have not; auto is those that occur",
};
const INITIALISER: Setting = Setting {
    key: "initialiser",
    default: "auto",
    accepted: "auto, kaiming, xavier or xavier-biases",
    doc: "how first weights are drawn; auto goes by the function, xavier-biases draws biases too, as scikit-learn does",
};

const PRECISION: Setting = Setting {
    key: "precision",
    default: "single",
    accepted: "single or double",
    doc: "numbers of training, file and answers: of 32 bits, or of 64, which take twice the memory and time",
};

/// What only optimisers use that take steps of some rows each.
const OF_STEPS: &[Setting] = &[
    BETA1,
    BETA2,
    EPSILON,
    LEARNING_RATE,
    MOMENTUM,
    BATCH_SIZE,
    SHUFFLE,
    ACCUMULATE,
    SCHEDULE,
    POWER,
    WARM_UP,
    CLIP,
    PATIENCE,
];

pub(crate) static NETWORK: Family = Family {
    name: "network",
    summary: "a neural network of dense layers, or of images",
    purpose: Purpose::Either,
    several: true,
    processes: false,
    reads_rows: false,
    exact_pieces: false,
    checkpoints: true,
    survival: false,
    two_classes: false,
    holds_out: false,
    settings: &[&[
        HIDDEN,
        LAYERS,
        IMAGE,
        EMBEDDING,
        EMBEDDING_WIDTH,
        ACTIVATION,
        OPTIMISER,
        BETA1,
        BETA2,
        EPSILON,
        EVALUATIONS,
        LEARNING_RATE,
        MOMENTUM,
        BATCH_SIZE,
        SHUFFLE,
        ACCUMULATE,
        EPOCHS,
        DROPOUT,
        WEIGHT_DECAY,
        DECAY_BIASES,
        SCHEDULE,
        POWER,
        WARM_UP,
        CLIP,
        VALIDATION,
        PATIENCE,
        TOLERANCE,
        LABEL_SMOOTHING,
        CLASSES,
        CLASS_WEIGHT,
        HUBER,
        HALVED,
        INITIALISER,
        PRECISION,
        TASK,
    ]],
    check: |settings| task(settings).and(parameters(settings)).map(|_| ()),
    continued: Some(|file, dataset, roles, settings, context| {
        let classify = NETWORK.classifies(dataset, roles, settings)?;
        let before = Pipeline::from_file(file)?;
        Ok(Box::new(before.continued(&parameters(settings)?, classify, dataset, roles, context)?))
    }),
    train: |dataset, roles, settings, context| {
        let classify = NETWORK.classifies(dataset, roles, settings)?;
        Ok(Box::new(Pipeline::fit(&parameters(settings)?, classify, dataset, roles, context)?))
    },
    load: |file| Ok(Box::new(Pipeline::from_file(file)?)),
    pieces: None,
    exported: Some(|file, format| exported(&Pipeline::from_file(file)?, format)),
};

/// The model in a format of others.
pub(crate) fn exported(model: &Pipeline, format: Format) -> Result<Exported> {
    match format {
        Format::Onnx => model.to_onnx(),
        other => Err(Error::parameter("to", other, "of networks onnx is")),
    }
}

fn parameters(settings: &Settings) -> Result<Parameters> {
    let share = |setting: &Setting| settings.number(setting, |x| (0.0..1.0).contains(&x));
    let positive = |setting: &Setting| settings.number(setting, |x| x > 0.0);
    let whole = |setting: &Setting| {
        settings.number(setting, |x| x >= 1.0 && x.fract() == 0.0 && x < 1e9).map(|x| x as u64)
    };
    let finite = |setting: &Setting| settings.number(setting, |x| x >= 0.0 && x.is_finite());
    let functions = [
        ("relu", Function::Relu),
        ("leaky-relu", Function::LeakyRelu { slope: 0.01 }),
        ("gelu", Function::Gelu),
        ("silu", Function::Silu),
        ("tanh", Function::Tanh),
        ("sigmoid", Function::Sigmoid),
        ("identity", Function::Identity),
    ];
    let (momentum, beta1, beta2) = (share(&MOMENTUM)?, share(&BETA1)?, share(&BETA2)?);
    let epsilon = match settings.get::<String>(&EPSILON)?.as_str() {
        "auto" => None,
        _ => Some(settings.number(&EPSILON, |x| x > 0.0 && x.is_finite())?),
    };
    let small = epsilon.unwrap_or(1e-8);
    let optimisers = [
        ("adam", Optimiser::Adam { beta1, beta2, epsilon: small }),
        ("adamw", Optimiser::AdamW { beta1, beta2, epsilon: small }),
        ("sgd", Optimiser::Sgd { momentum, nesterov: false }),
        ("nesterov", Optimiser::Sgd { momentum, nesterov: true }),
        ("rmsprop", Optimiser::RMS_PROP),
        ("adagrad", Optimiser::ADAGRAD),
        ("lamb", Optimiser::Lamb { beta1, beta2, epsilon: epsilon.unwrap_or(1e-6) }),
        // What is stored beside `full_batch`, which is in its place.
        ("lbfgs", Optimiser::ADAM),
    ];
    let epochs = whole(&EPOCHS)?;
    let halved = Schedule::Step { every: (epochs / 10).max(1), factor: 0.5 };
    let lowered = Plateau { factor: 0.5, patience: 2 };
    let (schedule, plateau) = settings.word(
        &SCHEDULE,
        &[
            ("constant", (Schedule::Constant, None)),
            ("cosine", (Schedule::Cosine, None)),
            ("one-cycle", (Schedule::OneCycle, None)),
            ("inverse", (Schedule::Inverse { power: finite(&POWER)? }, None)),
            ("step", (halved, None)),
            ("plateau", (Schedule::Constant, Some(lowered))),
        ],
    )?;
    let initialisers = [
        ("auto", Initialiser::Auto),
        ("kaiming", Initialiser::Kaiming),
        ("xavier", Initialiser::Xavier),
        ("xavier-biases", Initialiser::XavierBiases),
    ];
    let truth = [("true", true), ("false", false)];
    let batch = match settings.get::<String>(&BATCH_SIZE)?.as_str() {
        "auto" => None,
        _ => Some(whole(&BATCH_SIZE)? as usize),
    };
    let (function, dropout) = (settings.word(&ACTIVATION, &functions)?, share(&DROPOUT)?);
    let tolerance = match settings.get::<String>(&TOLERANCE)?.as_str() {
        "none" => None,
        _ => Some(finite(&TOLERANCE)?),
    };
    let (weight_decay, decay_biases) = (finite(&WEIGHT_DECAY)?, settings.word(&DECAY_BIASES, &truth)?);
    let at_once = settings.get::<String>(&OPTIMISER)? == "lbfgs";
    let full_batch = FullBatch {
        steps: epochs,
        evaluations: whole(&EVALUATIONS)?,
        tolerance: tolerance.unwrap_or(FullBatch::default().tolerance),
        weight_decay,
        decay_biases,
    };
    let parameters = Parameters {
        hidden: hidden(settings)?,
        body: body(settings, function, dropout)?,
        embedding: embedding(settings)?,
        function,
        dropout,
        initialiser: settings.word(&INITIALISER, &initialisers)?,
        label_smoothing: share(&LABEL_SMOOTHING)?,
        balanced: settings.word(&CLASS_WEIGHT, &[("none", false), ("balanced", true)])?,
        huber: Some(positive(&HUBER)?).filter(|x| x.is_finite()),
        halved: settings.word(&HALVED, &truth)?,
        validation: if at_once && !settings.has(&VALIDATION) { 0.0 } else { share(&VALIDATION)? },
        full_batch: at_once.then_some(full_batch),
        classes: classes(settings)?,
        precision: settings
            .word(&PRECISION, &[("single", Precision::Single), ("double", Precision::Double)])?,
        training: Training {
            epochs,
            batch,
            shuffle: settings.word(&SHUFFLE, &truth)?,
            accumulate: whole(&ACCUMULATE)? as usize,
            optimiser: settings.word(&OPTIMISER, &optimisers)?,
            learning_rate: settings.number(&LEARNING_RATE, |x| x > 0.0 && x.is_finite())?,
            schedule,
            warm_up: finite(&WARM_UP)?,
            plateau,
            weight_decay,
            decay_biases,
            clip: Some(positive(&CLIP)?).filter(|x| x.is_finite()),
            patience: whole(&PATIENCE)?,
            tolerance,
        },
    };
    // Behind all words that are none.
    let (unused, accepted): (&[Setting], _) = match at_once {
        true => {
            (OF_STEPS, "optimiser=lbfgs takes all rows at once and finds its steps by itself: leave it out")
        }
        false => (&[EVALUATIONS], "it is a parameter of optimiser=lbfgs only"),
    };
    if let Some(setting) = unused.iter().find(|setting| settings.changes(setting)) {
        return Err(Error::parameter(setting.key, settings.get::<String>(setting)?, accepted));
    }
    Ok(parameters)
}

/// All layers but the last, where they are more than widths.
fn body(settings: &Settings, function: Function, dropout: f64) -> Result<Option<Vec<Layer>>> {
    let (layers, image): (String, String) = (settings.get(&LAYERS)?, settings.get(&IMAGE)?);
    let hidden: String = settings.get(&HIDDEN)?;
    let size = match image.as_str() {
        "none" => None,
        text => {
            let size: Option<Vec<usize>> = text
                .split('x')
                .map(|part| part.parse().ok().filter(|size| (1..=65_536).contains(size)))
                .collect();
            let size = size.and_then(|size| <[usize; 3]>::try_from(size).ok());
            Some(size.ok_or_else(|| Error::parameter(IMAGE.key, text, format!("{} is", IMAGE.accepted)))?)
        }
    };
    let body = match layers.as_str() {
        "hidden" if size.is_none() => return Ok(None),
        "hidden" => layers_of(&hidden, size, function, dropout)?,
        _ if hidden != HIDDEN.default => {
            let what = "where layers are given none are; write widths into layers";
            return Err(Error::parameter(HIDDEN.key, hidden, what));
        }
        text => layers_of(text, size, function, dropout)?,
    };
    if dropout > 0.0 && !body.iter().any(drops) {
        let what =
            "it comes behind widths of dense layers, and layers have none; write dropoutR between them";
        return Err(Error::parameter(DROPOUT.key, dropout, what));
    }
    Ok(Some(body))
}

/// Whether it is a dropout, or has one inside.
fn drops(layer: &Layer) -> bool {
    match layer {
        Layer::Dropout { .. } => true,
        Layer::Residual { layers } => layers.iter().any(drops),
        _ => false,
    }
}

fn embedding(settings: &Settings) -> Result<Option<Embedded>> {
    let number = |setting: &Setting, none: &str, most: usize| {
        let text: String = settings.get(setting)?;
        if text == none {
            return Ok(None);
        }
        let number = text.parse().ok().filter(|number| (1..=most).contains(number));
        number
            .map(Some)
            .ok_or_else(|| Error::parameter(setting.key, &text, format!("{} is", setting.accepted)))
    };
    let (from, width) = (number(&EMBEDDING, "none", usize::MAX)?, number(&EMBEDDING_WIDTH, "auto", 1024)?);
    match (from, width) {
        (None, Some(width)) => {
            Err(Error::parameter(EMBEDDING_WIDTH.key, width, "without embedding none is; give embedding too"))
        }
        (from, width) => Ok(from.map(|from| Embedded { from, width })),
    }
}

/// Whether the settings tell classes, of which some may not occur.
pub(crate) fn tells_classes(settings: &Settings) -> bool {
    settings.changes(&CLASSES)
}

fn classes(settings: &Settings) -> Result<Option<Vec<String>>> {
    let text: String = settings.get(&CLASSES)?;
    if !tells_classes(settings) {
        return Ok(None);
    }
    let refuse = |what: &str| Error::parameter(CLASSES.key, &text, what);
    let found: Vec<String> =
        serde_json::from_str(&text).map_err(|_| refuse(&format!("{} is", CLASSES.accepted)))?;
    let different: HashSet<&String> = found.iter().collect();
    if found.len() < 2 || different.len() < found.len() {
        return Err(refuse("two or more are, each once"));
    }
    Ok(Some(found))
}

fn hidden(settings: &Settings) -> Result<Vec<usize>> {
    let text: String = settings.get(&HIDDEN)?;
    if text == "none" {
        return Ok(Vec::new());
    }
    let width = |part: &str| part.trim().parse().ok().filter(|width| (1..=65_536).contains(width));
    let widths: Option<Vec<usize>> = text.split(',').map(width).collect();
    widths.ok_or_else(|| Error::parameter(HIDDEN.key, &text, format!("{} are", HIDDEN.accepted)))
}
