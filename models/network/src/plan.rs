//! The static plan: which step reads and writes which part of which arena.
//!
//! Made once from the layers; a step of training then follows it without asking for a shape or for memory. Layers become a flat
//! list of [`Step`]s. A *slot* is a matrix of rows of the batch: slot 0 is the input, and each step but the ends of a
//! residual block writes a slot of its own, behind all earlier ones. A product is followed by its function in place where the function's derivative can be told from its value.

use crate::embedding::Embedding;
use crate::window::{Image, Places};
use crate::{Function, Layer};
use std::ops::Range;
use tilewise_base::{Error, ModelFile, Result};
use tilewise_kernels::Activation;

/// Numbers are placed at multiples of this: a cache line of `f32`.
const ALIGN: usize = 16;

/// Most weights of a network: a number for each fits the memory of large machines, and no product of widths overflows.
const MOST_WEIGHTS: usize = 1 << 40;

/// Most inputs of a product of bytes: 255 x 128 for each fits a sum of 32 bits so often. Layers of more keep weights of 32 bits.
const MOST_BYTES: usize = (i32::MAX / (255 * 128)) as usize;

/// Most numbers of a row in all layers, and of an image with what pads it: 1 GiB of `f32`. Layers without weights, such as pooling of
/// a huge image, are not bounded by those of a file, and memory for them, for each row of a batch, is taken on the word of a checkpoint
/// alone. 64 channels of 1024 x 1024 pixels are a quarter of it.
pub(crate) const MOST_NUMBERS: usize = 1 << 28;

/// A matrix of the batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) width: usize,
    /// Numbers of all slots before, for each row.
    before: usize,
    /// Slots before.
    index: usize,
    /// Whether something before it learns, so that its gradient is wanted.
    pub(crate) learns: bool,
    /// What a row of it is, where it is an image.
    pub(crate) image: Option<Image>,
}

impl Slot {
    /// Where it lies when the arena has room for `capacity` rows, of which `rows` are in use.
    pub(crate) fn range(&self, capacity: usize, rows: usize) -> Range<usize> {
        let start = (self.before * capacity + self.index * ALIGN).next_multiple_of(ALIGN);
        start..start + self.width * rows
    }
}

/// What a step does.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Reads slot 0, whose gradient is never wanted.
    Embedding(Embedding),
    Dense {
        weight: Range<usize>,
        bias: Option<Range<usize>>,
        activation: Option<Activation>,
    },
    Convolution {
        weight: Range<usize>,
        bias: Option<Range<usize>>,
        activation: Option<Activation>,
        places: Places,
    },
    MaxPool(Places),
    AveragePool(Places),
    /// From channels, height, width to height, width, channels where `inwards`, or back.
    Reorder {
        image: Image,
        inwards: bool,
    },
    Function(Function),
    /// `stream` tells dropouts apart.
    Dropout {
        rate: f64,
        stream: u64,
    },
    /// `notes` is where the batch's numbers begin, counted in rows: two for each row.
    LayerNorm {
        gain: Range<usize>,
        bias: Range<usize>,
        epsilon: f64,
        notes: usize,
    },
    /// `notes` are mean and reciprocal deviation of each column; `running` their averages, variance last.
    BatchNorm {
        gain: Range<usize>,
        bias: Range<usize>,
        running: Range<usize>,
        notes: Range<usize>,
        epsilon: f64,
        momentum: f64,
    },
    /// The gradient of the input also gets that of the slot where the block ends.
    Fork {
        join: usize,
    },
    /// The sum of the step's input and the slot where the block began.
    Join {
        fork: usize,
    },
}

/// A layer at work.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) op: Op,
    pub(crate) input: usize,
    pub(crate) output: usize,
}

/// A tensor of the model: its name in PyTorch's manner, its part of an arena, and its shape as stored there.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) range: Range<usize>,
    /// Rows and columns of a matrix, inputs first; else one row.
    pub(crate) shape: (usize, usize),
    pub(crate) kind: Kind,
}

impl Tensor {
    /// Its shape in PyTorch: outputs x inputs, of a convolution outputs x inputs x height x width.
    pub(crate) fn outside(&self) -> Vec<usize> {
        let (rows, cols) = self.shape;
        match self.kind {
            Kind::Matrix { .. } => vec![cols, rows],
            Kind::Filter { size: [h, w], .. } => vec![cols, rows / (h * w), h, w],
            Kind::Table => vec![rows, cols],
            Kind::Bias | Kind::Gain => vec![cols],
        }
    }

    /// Where its number `i` lies in PyTorch.
    pub(crate) fn place(&self, i: usize) -> usize {
        let (rows, cols) = self.shape;
        let (row, col) = (i / cols, i % cols);
        match self.kind {
            Kind::Matrix { .. } => col * rows + row,
            Kind::Filter { size: [h, w], .. } => {
                let inputs = rows / (h * w);
                (col * inputs + row % inputs) * h * w + row / inputs
            }
            Kind::Table | Kind::Bias | Kind::Gain => i,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of a dense layer; `true` where a function of the ReLU kind follows.
    Matrix { rectified: bool },
    /// Of a convolution: height x width x channels of the input, then those of the output.
    Filter { rectified: bool, size: [usize; 2] },
    /// Of an embedding, a row for each category.
    Table,
    /// Zeros at first, mostly.
    Bias,
    /// Ones at first.
    Gain,
}

impl Kind {
    /// Whether it multiplies or stands for inputs: no bias and no gain.
    pub(crate) fn is_weight(self) -> bool {
        !matches!(self, Self::Bias | Self::Gain)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) slots: Vec<Slot>,
    /// What is learned.
    pub(crate) tensors: Vec<Tensor>,
    /// What batch norms keep.
    pub(crate) running: Vec<Tensor>,
    /// Weights of 8 bits, which lie in no arena, with the numbers of their steps; their ranges in the plan are empty.
    pub(crate) bytes: Vec<(usize, Tensor)>,
    /// Numbers of a row before each of the outermost layers, and behind the last.
    pub(crate) before: Vec<usize>,
    /// Whether products are of bytes.
    of_bytes: bool,
    pub(crate) weights: usize,
    pub(crate) running_len: usize,
    /// Numbers that norms note for each row, and for the batch.
    pub(crate) notes_per_row: usize,
    pub(crate) notes: usize,
    dropouts: u64,
    per_row: usize,
}

impl Plan {
    /// # Errors
    /// When a layer's numbers or widths make no sense; names the layer.
    pub(crate) fn new(inputs: usize, layers: &[Layer]) -> Result<Self> {
        Self::made(inputs, layers, false)
    }

    /// The same for answers alone, weights of dense layers and convolutions being of 8 bits.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn of_bytes(inputs: usize, layers: &[Layer]) -> Result<Self> {
        Self::made(inputs, layers, true)
    }

    fn made(inputs: usize, layers: &[Layer], of_bytes: bool) -> Result<Self> {
        if inputs == 0 {
            return Err(Error::Fit("a network needs at least one input".into()));
        }
        let mut plan = Self {
            steps: Vec::new(),
            slots: Vec::new(),
            tensors: Vec::new(),
            running: Vec::new(),
            bytes: Vec::new(),
            before: Vec::new(),
            of_bytes,
            weights: 0,
            running_len: 0,
            notes_per_row: 0,
            notes: 0,
            dropouts: 0,
            per_row: 0,
        };
        let first = plan.slot(inputs, false, None).map_err(Error::Fit)?;
        let last = plan.add(layers, "", first)?;
        plan.before.resize(layers.len() + 1, plan.slots[last].width);
        if plan.tensors.is_empty() && plan.bytes.is_empty() {
            return Err(Error::Fit("a network needs a layer that learns, such as a dense one".into()));
        }
        // Alone in its slot: the loss writes there.
        debug_assert!(plan.slots[last].learns);
        Ok(plan)
    }

    /// Compares the shape of every tensor in a file, so that memory is taken for no other.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape; names it.
    pub(crate) fn check(&self, file: &ModelFile<'_>) -> Result<()> {
        let bytes = self.bytes.iter().map(|(_, tensor)| tensor);
        for tensor in self.tensors.iter().chain(&self.running).chain(bytes) {
            if *file.shape(&tensor.name)? != *tensor.outside() {
                return Err(file.error(format!("tensor {:?} has not the shape of its layer", tensor.name)));
            }
        }
        Ok(())
    }

    /// Numbers of an arena of all slots.
    pub(crate) fn slots_len(&self, rows: usize) -> usize {
        self.per_row.saturating_mul(rows).saturating_add((self.slots.len() + 1) * ALIGN)
    }

    /// Whether the result is rows of so many numbers, and no images.
    pub(crate) fn answers(&self, outputs: usize) -> bool {
        self.outputs() == outputs && self.slots[self.last()].image.is_none()
    }

    pub(crate) fn outputs(&self) -> usize {
        self.slots[self.last()].width
    }

    /// The slot of the result.
    pub(crate) fn last(&self) -> usize {
        self.steps.last().map_or(0, |step| step.output)
    }

    /// Room for `width` numbers of a row; an error in words where that is too much.
    fn slot(&mut self, width: usize, learns: bool, image: Option<Image>) -> Result<usize, String> {
        let all = self.per_row.checked_add(width).filter(|all| *all <= MOST_NUMBERS);
        let all = all.ok_or_else(|| {
            format!("with its {width} numbers a row has more than {MOST_NUMBERS} in all layers; fewer are accepted")
        })?;
        self.slots.push(Slot { width, before: self.per_row, index: self.slots.len(), learns, image });
        self.per_row = all;
        Ok(self.slots.len() - 1)
    }

    /// Weights of the step that comes next.
    fn matrix(&mut self, name: String, shape: (usize, usize), kind: Kind) -> Result<Range<usize>> {
        if !self.of_bytes || shape.0 > MOST_BYTES {
            return self.tensor(name, shape, kind);
        }
        let range = 0..length(&name, shape, 0)?;
        self.bytes.push((self.steps.len(), Tensor { name, range, shape, kind }));
        Ok(0..0)
    }

    fn tensor(&mut self, name: String, shape: (usize, usize), kind: Kind) -> Result<Range<usize>> {
        let len = length(&name, shape, self.weights)?;
        let range = self.weights..self.weights + len;
        self.weights = range.end.next_multiple_of(ALIGN);
        self.tensors.push(Tensor { name, range: range.clone(), shape, kind });
        Ok(range)
    }

    /// Adds layers behind `input` and gives the slot of their result.
    fn add(&mut self, layers: &[Layer], path: &str, mut input: usize) -> Result<usize> {
        let mut rest = layers.iter().enumerate();
        while let Some((i, layer)) = rest.next() {
            let name = if path.is_empty() { format!("{i}") } else { format!("{path}.{i}") };
            layer.check(&name)?;
            let Slot { width, learns, image, .. } = self.slots[input];
            if path.is_empty() {
                // Of a function that was done with the layer before it too: it keeps the width.
                self.before.resize(i + 1, width);
            }
            let refuse = |what: &str| Error::Fit(format!("layer {name} ({}): {what}", layer.describe()));
            let needs_images = || image.ok_or_else(|| refuse("its input are no images"));
            // Of what follows a layer with weights: whether it is done in the same pass, and of the ReLU kind.
            let function = match layers.get(i + 1) {
                Some(Layer::Activate { function }) => Some(*function),
                _ => None,
            };
            let activation = function.and_then(Function::fused);
            let rectified =
                !matches!(function, None | Some(Function::Identity | Function::Tanh | Function::Sigmoid));
            let mut out_image = image;
            let (op, out_width, learns) = match layer {
                Layer::Embedding { lookups } => {
                    if input != 0 || !path.is_empty() {
                        return Err(refuse("only the first layer can be one"));
                    }
                    let mut embedding = Embedding::new(width, lookups).map_err(|what| refuse(&what))?;
                    for (j, (lookup, range)) in embedding.tables.iter_mut().enumerate() {
                        let shape = (lookup.rows(), lookup.width);
                        *range = self.tensor(format!("{name}.{j}.weight"), shape, Kind::Table)?;
                    }
                    let outputs = embedding.outputs;
                    (Op::Embedding(embedding), outputs, true)
                }
                Layer::Image { channels, height, width: wide } => {
                    let image = Image { size: [*height, *wide], channels: *channels };
                    let found = channels.checked_mul(*height).and_then(|n| n.checked_mul(*wide));
                    if found != Some(width) {
                        return Err(refuse(&format!("its input has {width} numbers")));
                    }
                    out_image = Some(image);
                    (Op::Reorder { image, inwards: true }, width, learns)
                }
                Layer::Flatten => {
                    let image = needs_images()?;
                    out_image = None;
                    (Op::Reorder { image, inwards: false }, width, learns)
                }
                Layer::MaxPool { window } | Layer::AveragePool { window } => {
                    let image = needs_images()?;
                    let places = Places::new(*window, image, image.channels)
                        .map_err(|e| refuse(&format!("images of {}: {e}", image.describe())))?;
                    out_image = Some(places.output);
                    let largest = matches!(layer, Layer::MaxPool { .. });
                    let op = if largest { Op::MaxPool(places) } else { Op::AveragePool(places) };
                    (op, places.output.len(), learns)
                }
                Layer::Convolution { channels, window, bias } => {
                    let image = needs_images()?;
                    let places = Places::new(*window, image, *channels)
                        .map_err(|e| refuse(&format!("images of {}: {e}", image.describe())))?;
                    if activation.is_some() {
                        rest.next();
                    }
                    out_image = Some(places.output);
                    let shape = (window.size[0] * window.size[1] * image.channels, *channels);
                    let kind = Kind::Filter { rectified, size: window.size };
                    let weight = self.matrix(format!("{name}.weight"), shape, kind)?;
                    let bias = match bias {
                        true => Some(self.tensor(format!("{name}.bias"), (1, *channels), Kind::Bias)?),
                        false => None,
                    };
                    (Op::Convolution { weight, bias, activation, places }, places.output.len(), true)
                }
                Layer::Dense { .. } | Layer::LayerNorm { .. } if image.is_some() => {
                    return Err(refuse("its input are images; flatten them before"));
                }
                Layer::Dense { outputs, bias } => {
                    if activation.is_some() {
                        rest.next();
                    }
                    let shape = (width, *outputs);
                    let weight = self.matrix(format!("{name}.weight"), shape, Kind::Matrix { rectified })?;
                    let bias = match bias {
                        true => Some(self.tensor(format!("{name}.bias"), (1, *outputs), Kind::Bias)?),
                        false => None,
                    };
                    (Op::Dense { weight, bias, activation }, *outputs, true)
                }
                Layer::Activate { function } => (Op::Function(*function), width, learns),
                Layer::Dropout { rate } => {
                    self.dropouts += 1;
                    (Op::Dropout { rate: *rate, stream: self.dropouts }, width, learns)
                }
                Layer::LayerNorm { epsilon } => {
                    let gain = self.tensor(format!("{name}.weight"), (1, width), Kind::Gain)?;
                    let bias = self.tensor(format!("{name}.bias"), (1, width), Kind::Bias)?;
                    let notes = self.notes_per_row;
                    self.notes_per_row += 2;
                    (Op::LayerNorm { gain, bias, epsilon: *epsilon, notes }, width, true)
                }
                Layer::BatchNorm { epsilon, momentum } => {
                    // Of images channels, each pixel being a row.
                    let (all, width) = (width, image.map_or(width, |image| image.channels));
                    let gain = self.tensor(format!("{name}.weight"), (1, width), Kind::Gain)?;
                    let bias = self.tensor(format!("{name}.bias"), (1, width), Kind::Bias)?;
                    let running = self.running_len..self.running_len + 2 * width;
                    self.running_len = running.end;
                    let (mean, variance) =
                        (running.start..running.start + width, running.start + width..running.end);
                    for (what, range, kind) in
                        [("running_mean", mean, Kind::Bias), ("running_var", variance, Kind::Gain)]
                    {
                        let name = format!("{name}.{what}");
                        self.running.push(Tensor { name, range, shape: (1, width), kind });
                    }
                    let notes = self.notes..self.notes + 2 * width;
                    self.notes = notes.end;
                    let (epsilon, momentum) = (*epsilon, *momentum);
                    (Op::BatchNorm { gain, bias, running, notes, epsilon, momentum }, all, true)
                }
                Layer::Residual { layers: inner } => {
                    let fork = self.steps.len();
                    self.steps.push(Step { op: Op::Fork { join: 0 }, input, output: input });
                    let end = self.add(inner, &name, input)?;
                    let found = self.slots[end].width;
                    if end == input {
                        return Err(refuse("it has no layers"));
                    }
                    if found != width || self.slots[end].image != image {
                        let what = format!("its layers make {found} columns of {width}; as many are needed");
                        let shapes = "its layers make images of another shape".into();
                        return Err(refuse(&if found == width { shapes } else { what }));
                    }
                    let learns = self.slots[end].learns || learns;
                    let output = self.slot(width, learns, image).map_err(|what| refuse(&what))?;
                    self.steps[fork].op = Op::Fork { join: output };
                    self.steps.push(Step { op: Op::Join { fork: input }, input: end, output });
                    input = output;
                    continue;
                }
            };
            let output = self.slot(out_width, learns, out_image).map_err(|what| refuse(&what))?;
            self.steps.push(Step { op, input, output });
            input = output;
        }
        Ok(input)
    }
}

/// Numbers of a tensor behind `before` others.
fn length(name: &str, (rows, cols): (usize, usize), before: usize) -> Result<usize> {
    let len = rows.checked_mul(cols).filter(|len| *len <= MOST_WEIGHTS - before.min(MOST_WEIGHTS));
    len.ok_or_else(|| Error::Fit(format!("{name} of {rows} x {cols} numbers is too large")))
}
