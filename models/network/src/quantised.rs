//! Networks whose dense layers and convolutions multiply bytes.
//!
//! Quantisation after training (Jacob and others, "Quantization and training of neural networks for efficient integer-arithmetic-only
//! inference", 2018; Krishnamoorthi 2018): weights become `i8`, symmetric, with a scale for each output; what comes to a layer becomes
//! `u8` between the smallest and the largest number that rows of calibration bring there. A product is a sum of integers in 32 bits; then
//! come both scales, the bias and the function in `f32`, and the next such layer makes bytes of the result again. Everything else stays `f32`.
//!
//! Sums of integers are exact and the rest is done number by number, so products have the same bits on every instruction set, at any
//! number of threads, and for a row alone or among others.

use crate::compiled::compiled;
use crate::function::apply;
use crate::network::Network;
use crate::pass::{Bytes, InArena, Operands, Products, Workspace};
use crate::plan::{Plan, Tensor};
use crate::predictor::{answer, block, blocks};
use crate::window::Places;
use crate::{Layer, Window};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use tilewise_base::model_file::Writer;
use tilewise_base::{Context, Error, ModelFile, Result};
use tilewise_kernels::{MatMut, MatRef, PackedI8, Quantisation, Scales, min_max, quantise};

/// Bytes of pixels and their neighbours that are gathered for a product: they stay in the second-level cache.
const SEEN: usize = 128 << 10;

/// Blocks of rows after which progress is told and Ctrl-C looked for: enough for all cores of a machine.
const AT_ONCE: usize = 256;

/// A network for answers alone, whose dense layers and convolutions have weights of 8 bits; those of more than 65,793 inputs, for which
/// sums might not fit 32 bits, keep theirs of 32.
pub struct QuantisedNetwork {
    /// All but the weights of 8 bits.
    rest: Network<f32>,
    /// For each step.
    products: Vec<Option<Product>>,
    /// Memory that threads have given back.
    spare: Mutex<Vec<Workspace<f32>>>,
}

/// Weights of 8 bits as others store them, for tests and files.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantisedWeights {
    /// The layer's place, such as `3` or `3.0`.
    pub layer: String,
    /// Outputs x inputs, of a convolution outputs x inputs x height x width.
    pub shape: Vec<usize>,
    /// In this shape; one stands for itself times the scale of its output.
    pub weights: Vec<i8>,
    /// Of each output.
    pub scales: Vec<f32>,
    /// What comes to the layer.
    pub input: Quantisation<u8>,
}

/// Weights of 8 bits, and what its input is as bytes.
struct Product {
    /// inputs x outputs.
    weights: Vec<i8>,
    packed: PackedI8,
    /// Of each output.
    scales: Vec<f32>,
    by: Quantisation<u8>,
}

impl QuantisedNetwork {
    /// Quantises `network` by `rows`, rows x inputs: some hundreds of those that it was trained on will do. Numbers outside of what they
    /// bring to a layer are taken for the nearest one inside. O(rows x weights).
    ///
    /// ```
    /// use tilewise_kernels::MatRef;
    /// use tilewise_network::{Function, Initialiser, Layer, Network, QuantisedNetwork};
    /// let layers = Layer::perceptron(&[64], Function::Relu, 0.0, 1);
    /// let network = Network::new(8, &layers, Initialiser::Auto, 1)?;
    /// let x: Vec<f32> = (0..80).map(|i| (i as f32 * 0.7).sin()).collect();
    /// let x = MatRef::new(&x, 10, 8)?;
    /// let quantised = QuantisedNetwork::new(&network, x)?;
    /// let (mut before, mut after) = ([0.0; 10], [0.0; 10]);
    /// network.predict(x, &mut before)?;
    /// quantised.predict(x, &mut after)?;
    /// assert!(before != after && before.iter().zip(after).all(|(a, b)| (a - b).abs() < 0.03));
    /// # Ok::<(), tilewise_base::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there are no rows, they have another width, or bring a number to a layer that is not finite.
    pub fn new(network: &Network<f32>, rows: MatRef<'_, f32>) -> Result<Self> {
        Self::within(network, rows, &Context::default())
    }

    /// As [`new`](Self::new); the progress of `context` hears of rows that are gone through, and [`Error::Cancelled`] comes when it says so.
    pub(crate) fn within(
        network: &Network<f32>,
        rows: MatRef<'_, f32>,
        context: &Context<'_>,
    ) -> Result<Self> {
        if rows.rows() == 0 {
            return Err(Error::Fit("there are no rows to calibrate by".into()));
        }
        let plan = Plan::of_bytes(network.inputs(), network.layers())?;
        let ranges = ranges(network, &plan, rows, context)?;
        let held: BTreeMap<&str, &[f32]> =
            network.all().map(|(tensor, data)| (tensor.name.as_str(), data)).collect();
        let find = |tensor: &Tensor| {
            let found = held.get(tensor.name.as_str()).copied();
            found.ok_or_else(|| Error::Fit(format!("the network has no tensor {}", tensor.name)))
        };
        let mut made = Vec::new();
        for ((_, tensor), by) in plan.bytes.iter().zip(ranges) {
            made.push(Product::new(tensor, find(tensor)?, by)?);
        }
        let mut rest = Network::zeros(network.inputs(), network.layers(), plan);
        for tensor in &rest.plan.tensors {
            rest.weights[tensor.range.clone()].copy_from_slice(find(tensor)?);
        }
        rest.running.copy_from_slice(&network.running);
        Ok(Self::of(rest, made))
    }

    fn of(rest: Network<f32>, made: Vec<Product>) -> Self {
        let mut products: Vec<Option<Product>> = rest.plan.steps.iter().map(|_| None).collect();
        for ((step, _), product) in rest.plan.bytes.iter().zip(made) {
            products[*step] = Some(product);
        }
        Self { rest, products, spare: Mutex::default() }
    }

    /// Columns of a row.
    pub fn inputs(&self) -> usize {
        self.rest.inputs()
    }

    /// Columns of an answer.
    pub fn outputs(&self) -> usize {
        self.rest.outputs()
    }

    /// The layers.
    pub fn layers(&self) -> &[Layer] {
        self.rest.layers()
    }

    /// Weights, biases and what else was learned, of 8 bits or 32.
    pub fn parameters(&self) -> usize {
        let bytes: usize = self.rest.plan.bytes.iter().map(|(_, tensor)| tensor.range.len()).sum();
        self.rest.parameters() + bytes
    }

    /// Answers for `x`, rows x inputs, into `out`, rows x outputs, as [`Predictor::predict`](crate::Predictor::predict). Infinity is
    /// taken for the largest number of the calibration, minus infinity for the smallest, and NaN for 0, where a product of bytes reads them.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn predict(&self, x: MatRef<'_, f32>, out: &mut [f32]) -> Result<()> {
        answer(&self.rest, &self.products, &self.spare, x, out)
    }

    /// The weights of 8 bits of each layer that has them.
    pub fn weights(&self) -> Vec<QuantisedWeights> {
        let of = |(tensor, product): (&Tensor, &Product)| {
            let mut weights = vec![0; product.weights.len()];
            product.weights.iter().enumerate().for_each(|(i, &w)| weights[tensor.place(i)] = w);
            let (layer, scales) = (layer(tensor).to_owned(), product.scales.clone());
            QuantisedWeights { layer, shape: tensor.outside(), weights, scales, input: product.by }
        };
        self.made().map(of).collect()
    }

    /// Names, shapes and numbers of all other tensors, as [`Network::tensors`] gives them.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        self.rest.tensors()
    }

    /// A line on each product of bytes, named by its layer, for people.
    pub fn describe(&self) -> Vec<String> {
        let line = |(tensor, product): (&Tensor, &Product)| {
            let Quantisation { scale, zero_point } = product.by;
            let number = |byte: u8| (f32::from(byte) - f32::from(zero_point)) * scale;
            format!("{}: numbers from {} to {}", layer(tensor), number(0), number(255))
        };
        self.made().map(line).collect()
    }

    /// Products with their weights' tensors.
    fn made(&self) -> impl Iterator<Item = (&Tensor, &Product)> {
        let bytes = self.rest.plan.bytes.iter();
        bytes.filter_map(|(step, tensor)| Some((tensor, self.products.get(*step)?.as_ref()?)))
    }

    /// Adds all tensors to a file: those of `f32` as of any network, and of layer 3 `3.weight` (`i8`, outputs x inputs), `3.weight_scale`
    /// (of each output), `3.input_scale` and `3.input_zero_point`.
    pub(crate) fn store(&self, writer: Writer) -> Writer {
        let rest = self.tensors().into_iter();
        let writer = rest.fold(writer, |writer, (name, shape, data)| writer.tensor_f32(&name, &shape, &data));
        self.weights().into_iter().fold(writer, |writer, of| {
            let [weight, scales, scale, zero] = names(&of.layer);
            writer
                .tensor_i8(&weight, &of.shape, &of.weights)
                .tensor_f32(&scales, &[of.scales.len()], &of.scales)
                .tensor_f32(&scale, &[1], &[of.input.scale])
                .tensor_u8(&zero, &[1], &[of.input.zero_point])
        })
    }

    /// Reads what [`store`](Self::store) wrote. Every shape is compared before memory is taken for all of them.
    ///
    /// # Errors
    /// When layers make no sense, a tensor is missing or another one than they need, or a number is not what it may be.
    pub(crate) fn from_file(file: &ModelFile<'_>, inputs: usize, layers: &[Layer]) -> Result<Self> {
        let refuse = |e: Error| file.error(e.to_string());
        let plan = Plan::of_bytes(inputs, layers).map_err(refuse)?;
        plan.check(file)?;
        for (_, tensor) in &plan.bytes {
            let [_, scales, scale, zero] = names(layer(tensor));
            for (name, numbers) in [(scales, tensor.shape.1), (scale, 1), (zero, 1)] {
                if *file.shape(&name)? != [numbers] {
                    return Err(file.error(format!("tensor {name:?} has not {numbers} numbers")));
                }
            }
        }
        let mut made = Vec::new();
        for (_, tensor) in &plan.bytes {
            let [weight, scales, scale, zero] = names(layer(tensor));
            let data = file.tensor_i8(&weight, &tensor.outside())?;
            let weights: Vec<i8> = (0..data.len()).map(|i| data[tensor.place(i)]).collect();
            let (scales, scale) =
                (file.tensor_f32(&scales, &[tensor.shape.1])?, file.tensor_f32(&scale, &[1])?);
            if scales.iter().chain(&scale).any(|scale| !(*scale > 0.0 && scale.is_finite())) {
                return Err(file.error(format!("a scale of layer {} is not above 0", layer(tensor))));
            }
            let by = Quantisation { scale: scale[0], zero_point: file.tensor_u8(&zero, &[1])?[0] };
            made.push(Product::of(tensor, weights, scales, by)?);
        }
        let mut rest = Network::zeros(inputs, layers, plan);
        rest.set_tensors(|name, shape| file.tensor_f32(name, shape)).map_err(refuse)?;
        Ok(Self::of(rest, made))
    }
}

impl fmt::Debug for QuantisedNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QuantisedNetwork({:?})", self.rest)
    }
}

/// What a layer is called, by the tensor of its weights.
fn layer(tensor: &Tensor) -> &str {
    tensor.name.strip_suffix(".weight").unwrap_or(&tensor.name)
}

/// Names of the tensors of a layer: weights, scales of outputs, scale and zero point of what comes to it.
fn names(layer: &str) -> [String; 4] {
    ["weight", "weight_scale", "input_scale", "input_zero_point"].map(|what| format!("{layer}.{what}"))
}

/// How what comes to each product of bytes of `plan` is quantised: from the smallest to the largest number that `rows` bring.
fn ranges(
    network: &Network<f32>,
    plan: &Plan,
    rows: MatRef<'_, f32>,
    context: &Context<'_>,
) -> Result<Vec<Quantisation<u8>>> {
    let each = plan.bytes.len();
    if each == 0 {
        let what =
            "no layer can have weights of 8 bits; dense ones and convolutions of up to 65,793 inputs can";
        return Err(Error::Fit(what.into()));
    }
    let of_block = block(&network.plan);
    let mut found = vec![(0.0, 0.0); each * rows.rows().div_ceil(of_block)];
    let look = |work: &Workspace<f32>, rows: usize, found: &mut [(f32, f32)]| {
        for ((step, _), found) in plan.bytes.iter().zip(found) {
            let slot = &network.plan.slots[plan.steps[*step].input];
            *found = min_max(&work.values[slot.range(work.capacity, rows)]).unwrap_or_default();
        }
    };
    let (all, spare) = (rows.rows(), Mutex::default());
    for (i, found) in found.chunks_mut(AT_ONCE * each).enumerate() {
        if context.cancelled() {
            return Err(Error::Cancelled);
        }
        let first = i * AT_ONCE * of_block;
        let last = all.min(first + AT_ONCE * of_block);
        let piece = rows.row_range(first..last);
        blocks(network, &InArena, &spare, (piece, false), (found, each), look)?;
        context.progress.round(last as u64, all as u64, &format!("{last} of {all} rows"));
    }
    let of_layer = |(j, (_, tensor)): (usize, &(usize, Tensor))| {
        let (mut low, mut high) = (0.0f32, 0.0f32);
        for (i, &(least, most)) in found.iter().skip(j).step_by(each).enumerate() {
            if !(least.is_finite() && most.is_finite()) {
                let (first, last) = (i * of_block + 1, rows.rows().min((i + 1) * of_block));
                let what =
                    "brings a number to it that is not finite, so none can be told from others in 8 bits";
                return Err(Error::Fit(format!(
                    "layer {}: one of rows {first} to {last} {what}",
                    layer(tensor)
                )));
            }
            (low, high) = (low.min(least), high.max(most));
        }
        let by = Quantisation::<u8>::of_range(low, high);
        by.ok_or_else(|| Error::Fit(format!("layer {}: its numbers have no range", layer(tensor))))
    };
    plan.bytes.iter().enumerate().map(of_layer).collect()
}

impl Product {
    /// Quantises weights, inputs x outputs, each column by itself.
    fn new(tensor: &Tensor, weights: &[f32], by: Quantisation<u8>) -> Result<Self> {
        let outputs = tensor.shape.1;
        let mut bytes = vec![0; weights.len()];
        let mut scales = Vec::new();
        let (mut column, mut small) = (Vec::<f32>::new(), vec![0i8; tensor.shape.0]);
        for j in 0..outputs {
            column.clear();
            column.extend(weights.iter().skip(j).step_by(outputs));
            let largest = column.iter().fold(0.0f32, |most, w| most.max(w.abs()));
            let by = Quantisation::<i8>::symmetric(largest).ok_or_else(|| {
                Error::Fit(format!("tensor {} holds a number that is not finite", tensor.name))
            })?;
            quantise(&column, by, &mut small)?;
            bytes.iter_mut().skip(j).step_by(outputs).zip(&small).for_each(|(to, &w)| *to = w);
            scales.push(by.scale);
        }
        Self::of(tensor, bytes, scales, by)
    }

    fn of(tensor: &Tensor, weights: Vec<i8>, scales: Vec<f32>, by: Quantisation<u8>) -> Result<Self> {
        let (inputs, outputs) = tensor.shape;
        let packed = PackedI8::new(MatRef::new(&weights, inputs, outputs)?, 0);
        Ok(Self { weights, packed, scales, by })
    }

    /// y = a W for bytes `a`, rows x inputs.
    fn multiply(&self, a: &[u8], y: &mut [f32]) -> Result<()> {
        let (inputs, outputs) = (self.packed.rows(), self.packed.cols());
        let rows = y.len() / outputs;
        let (a, y) = (MatRef::new(a, rows, inputs)?, MatMut::new(y, rows, outputs)?);
        Ok(self.packed.gemm_scaled(a, self.by, Scales::Columns(&self.scales), y)?)
    }

    /// The same of what the window sees at each place of images, pixels outside of them being 0.
    fn convolve(&self, places: &Places, images: &[u8], seen: &mut Vec<u8>, y: &mut [f32]) -> Result<()> {
        let (inputs, outputs) = (self.packed.rows(), self.packed.cols());
        let [down, across] = places.output.size;
        let many = (SEEN / inputs).clamp(1, down * across);
        seen.resize(many * inputs, 0);
        let images = images.chunks_exact(places.input.len());
        for (image, y) in images.zip(y.chunks_exact_mut(places.output.len())) {
            for (piece, y) in y.chunks_mut(many * outputs).enumerate() {
                let seen = &mut seen[..y.len() / outputs * inputs];
                for (place, seen) in seen.chunks_exact_mut(inputs).enumerate() {
                    let place = piece * many + place;
                    gather(places, (place / across, place % across), self.by.zero_point, image, seen);
                }
                self.multiply(seen, y)?;
            }
        }
        Ok(())
    }
}

/// What the window sees at a place: height, width, channels. Pixels outside of the image are `zero`.
fn gather(places: &Places, (i, j): (usize, usize), zero: u8, image: &[u8], seen: &mut [u8]) {
    let Window { size, stride, padding, dilation } = places.window;
    let ([height, width], channels) = (places.input.size, places.input.channels);
    let pixel = |place: usize, tap: usize, axis: usize, end: usize| {
        let at = (place * stride[axis] + tap * dilation[axis]).checked_sub(padding[axis])?;
        (at < end).then_some(at)
    };
    for (tap, line) in seen.chunks_exact_mut(size[1] * channels).enumerate() {
        let Some(row) = pixel(i, tap, 0, height) else {
            line.fill(zero);
            continue;
        };
        for (tap, to) in line.chunks_exact_mut(channels).enumerate() {
            match pixel(j, tap, 1, width) {
                Some(col) => to.copy_from_slice(&image[(row * width + col) * channels..][..channels]),
                None => to.fill(zero),
            }
        }
    }
}

impl Products<f32> for Vec<Option<Product>> {
    fn multiply(
        &self,
        number: usize,
        operands: &Operands<'_, f32>,
        bytes: &mut Bytes,
        y: &mut [f32],
    ) -> Result<bool> {
        let Some(product) = self.get(number).and_then(Option::as_ref) else { return Ok(false) };
        let Bytes { input, seen } = bytes;
        input.resize(operands.x.len(), 0);
        quantise(operands.x, product.by, input)?;
        match operands.places {
            Some(places) => product.convolve(places, input, seen, y)?,
            None => product.multiply(input, y)?,
        }
        if let Some(bias) = operands.bias {
            compiled::<f32, _>(
                #[inline(always)]
                || {
                    for y in y.chunks_exact_mut(bias.len()) {
                        y.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
                    }
                },
            );
        }
        if let Some(function) = operands.activation {
            apply(function, y);
        }
        Ok(true)
    }
}
