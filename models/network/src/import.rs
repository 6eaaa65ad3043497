//! Networks from files of ONNX: nodes, from the result back to the input, become layers.
//!
//! | nodes | layer |
//! |---|---|
//! | `Gemm`, `MatMul` with an `Add` of numbers behind it or without | dense |
//! | `Conv` (two dimensions, one group) | convolution |
//! | `MaxPool`, `AveragePool` | pooling |
//! | `BatchNormalization`, `LayerNormalization` | batch norm, layer norm |
//! | `Relu`, `LeakyRelu`, `Gelu`, `Sigmoid`, `Tanh`; `Mul` by the own `Sigmoid`; `Erf` and arithmetic as GELU is written with it | functions |
//! | `Add` of a value and what layers make of it | residual |
//! | `Reshape` of rows to images, `Flatten` and `Reshape` of images to rows | image, flatten |
//! | `Softmax` at the end | told apart |
//! | `Identity`, `Dropout` | nothing |
//!
//! Nodes stand in the order of work, as the format demands, so a walk back comes to each once; a value that a sum adds to what was made
//! of it is the one that was there first. An embedding that we wrote is read as a whole (`exported.rs`). Every other operator, and every attribute that is not known, is refused with its node.

pub(crate) mod nodes;

use crate::exported::{Tables, check_nodes, check_numbers, tensors_of};
use crate::network::Network;
use crate::onnx::embedding;
use crate::plan::Plan;
use crate::{Function, Layer};
use nodes::{Reader, refuse};
use std::collections::BTreeMap;
use tilewise_base::onnx::{self, FLOAT, Graph, Node, ValueInfo};
use tilewise_base::{Error, Result};

/// Most numbers of a row in all layers, of a network in a file: 128 MiB of `f32`. A few hundred bytes tell of pooling of huge images.
const MOST_NUMBERS: usize = 1 << 25;

/// Most sums inside of each other.
const DEEPEST: usize = 8;

/// A network from a file of ONNX.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Up to where a softmax may be.
    pub network: Network<f32>,
    /// Whether a softmax is behind it: answers are of classes.
    pub softmax: bool,
}

/// A node, or several, as a layer.
pub(crate) enum Part {
    /// With the tensors that it learned, as PyTorch shapes them.
    Layer { node: String, layer: Layer, tensors: Vec<(&'static str, Vec<usize>, Vec<f32>)> },
    /// A sum.
    Block(Vec<Part>),
    /// Rows of numbers, whatever was there; of so many, if that is told.
    Rows { node: String, columns: Option<usize> },
    /// Images of these channels, height and width.
    Images { node: String, size: [usize; 3] },
}

/// What a layer learned, by its name.
pub(crate) struct Held {
    pub(crate) node: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f32>,
}

/// What parts become.
#[derive(Default)]
pub(crate) struct Settled {
    /// Whether the last of them gives images.
    images: bool,
    /// What layers learned, by their names.
    pub(crate) held: BTreeMap<String, Held>,
    /// Nodes that tell how many columns come out of the first so many layers.
    told: Vec<(String, usize, usize)>,
}

impl Network<f32> {
    /// Reads a network from a file of ONNX, rows being what its only input holds of each (channels, height, width where they are
    /// images). O(bytes).
    ///
    /// ```
    /// use tilewise_network::{Function, Initialiser, Layer, Network};
    /// let layers = Layer::perceptron(&[8], Function::Gelu, 0.0, 3);
    /// let network = Network::new(5, &layers, Initialiser::Auto, 1)?;
    /// let read = Network::from_onnx(&network.to_onnx()?)?;
    /// assert!(read.network.tensors() == network.tensors() && !read.softmax);
    /// # Ok::<(), tilewise_base::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the bytes are no file of ONNX, or hold what is not among the layers above: names the node, and what is accepted.
    pub fn from_onnx(bytes: &[u8]) -> Result<Imported> {
        let file = onnx::parse(bytes)?;
        let Some(graph) = file.graph else { return Err(Error::Fit("the file of ONNX has no graph".into())) };
        Self::of_graph(&graph, bytes.len())
    }

    /// Of a file of so many bytes.
    pub(crate) fn of_graph(graph: &Graph, bytes: usize) -> Result<Imported> {
        let Input { name, numbers: inputs, image, alone } = input(graph)?;
        let output = match &graph.output[..] {
            [only] => only.name.as_str(),
            several => {
                let names: Vec<&str> = several.iter().map(|value| value.name.as_str()).collect();
                return Err(Error::Fit(format!(
                    "the graph has the outputs {names:?}; one is read, of a network of layers"
                )));
            }
        };
        let (mut layers, mut settled) =
            (Vec::new(), Settled { images: image.is_some(), ..Settled::default() });
        let mut start = name.to_owned();
        if let Some([channels, height, width]) = image {
            layers.push(Layer::image(channels, height, width));
        } else {
            // As we write an embedding, it is read: the same nodes must come of its numbers.
            let tensors = tensors_of(graph);
            let tables = Tables::read(&tensors)?;
            if !tables.lookups.is_empty() {
                // A file says cheaply that rows are long.
                let others =
                    tensors.get("0.others").map_or(Ok(0), |of| of.whole_numbers().map(|(_, n)| n.len()))?;
                if inputs != others + tables.lookups.len() {
                    let what = "its input has not as many columns as its tables of vectors and the others";
                    return Err(Error::Fit(what.into()));
                }
                let mut ours = Graph::default();
                start = embedding(&mut ours, &tables.lookups, inputs, "0", name);
                check_numbers(&ours, &tensors)?;
                check_nodes(&ours.node, &graph.node)?;
                layers.push(Layer::Embedding { lookups: tables.lookups });
                settled.held.extend(tables.held);
            }
        }
        let reader = Reader::new(graph, name, alone, bytes)?;
        let mut softmax = false;
        let parts = reader.chain(output, &start, graph.node.len(), 0, &mut softmax)?;
        settled.add(parts, "", &mut layers)?;
        Ok(Imported { network: network_of(settled, inputs, &layers, output)?, softmax })
    }
}

/// The network of these layers, `output` being its result.
pub(crate) fn network_of(
    settled: Settled,
    inputs: usize,
    layers: &[Layer],
    output: &str,
) -> Result<Network<f32>> {
    let Settled { images, mut held, told } = settled;
    if images {
        return Err(Error::Fit(format!(
            "the output {output:?} holds images; a Flatten before it is accepted"
        )));
    }
    let plan = Plan::new(inputs, layers)?;
    if plan.slots_len(1) > MOST_NUMBERS {
        let what = "a row has more than 33554432 numbers in all layers; a file with fewer is accepted";
        return Err(Error::Fit(what.into()));
    }
    for (node, first, columns) in told {
        let found = plan.before[first];
        if found != columns {
            let what = format!("makes rows of {columns} numbers where there are {found}");
            return Err(Error::Fit(format!("{node}: {what}")));
        }
    }
    // Every tensor's shape is compared before memory is taken for all of them.
    for tensor in plan.tensors.iter().chain(&plan.running) {
        let (needed, found) = (tensor.outside(), held.get(&tensor.name));
        if let Some(Held { node, shape, .. }) = found.filter(|held| held.shape != needed) {
            let what = format!("has {} of {shape:?} where its input needs {needed:?}", tensor.name);
            return Err(Error::Fit(format!("{node}: {what}")));
        }
    }
    // What is missing is told before memory is taken for all too.
    if let Some(tensor) =
        plan.tensors.iter().chain(&plan.running).find(|tensor| !held.contains_key(&tensor.name))
    {
        return Err(Error::Fit(format!("no node has the numbers of {}", tensor.name)));
    }
    let mut network = Network::zeros(inputs, layers, plan);
    network.set_tensors(|name, _| Ok(held.remove(name).map_or_else(Vec::new, |held| held.data)))?;
    Ok(network)
}

/// The only input.
struct Input<'a> {
    name: &'a str,
    /// Of a row.
    numbers: usize,
    /// Channels, height and width, where rows are images.
    image: Option<[usize; 3]>,
    /// Whether it is said to be one row.
    alone: bool,
}

fn input(graph: &Graph) -> Result<Input<'_>> {
    let held = |value: &&ValueInfo| graph.initializer.iter().all(|tensor| tensor.name != value.name);
    let inputs: Vec<&ValueInfo> = graph.input.iter().filter(held).collect();
    let [input] = inputs[..] else {
        let names: Vec<&str> = inputs.iter().map(|value| value.name.as_str()).collect();
        return Err(Error::Fit(format!("the graph has the inputs {names:?}; one is read")));
    };
    let refuse = |what: &str| Err(Error::Fit(format!("the input {:?} {what}", input.name)));
    let Some(tensor) = input.kind.as_ref().and_then(|kind| kind.tensor.as_ref()) else {
        return refuse("is no tensor");
    };
    if tensor.element != FLOAT {
        return refuse("is not of f32, which is read");
    }
    let dimensions = tensor.shape.as_ref().map(|shape| &shape.dimension[..]).unwrap_or_default();
    // The first is rows.
    let alone = dimensions.first().is_some_and(|rows| rows.value == Some(1));
    let of = |numbers, image| Ok(Input { name: &input.name, numbers, image, alone });
    let sizes =
        dimensions.iter().skip(1).map(|d| d.value.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0));
    match sizes.collect::<Option<Vec<usize>>>().as_deref() {
        Some(&[columns]) => of(columns, None),
        Some(&[channels, height, width]) => {
            match channels.checked_mul(height).and_then(|n| n.checked_mul(width)) {
                Some(numbers) => of(numbers, Some([channels, height, width])),
                None => refuse("is of images that are too large"),
            }
        }
        _ => refuse(
            "is neither rows x columns nor rows x channels x height x width, of known sizes behind the rows",
        ),
    }
}

impl Settled {
    /// Makes layers of parts, behind those of `layers`, and names what they learned by their places, as `Sequential` does.
    pub(crate) fn add(&mut self, parts: Vec<Part>, path: &str, layers: &mut Vec<Layer>) -> Result<()> {
        for part in parts {
            let place = layers.len();
            let name = if path.is_empty() { format!("{place}") } else { format!("{path}.{place}") };
            match part {
                Part::Layer { node, layer, tensors } => {
                    for (what, shape, data) in tensors {
                        self.held.insert(format!("{name}.{what}"), Held { node: node.clone(), shape, data });
                    }
                    layers.push(layer);
                }
                Part::Block(inner) => {
                    let mut block = Vec::new();
                    self.add(inner, &name, &mut block)?;
                    layers.push(Layer::Residual { layers: block });
                }
                Part::Rows { node, columns } => {
                    if std::mem::take(&mut self.images) {
                        layers.push(Layer::Flatten);
                    }
                    let Some(columns) = columns else { continue };
                    if !path.is_empty() {
                        return Err(Error::Fit(format!("{node}: outside of sums it is accepted")));
                    }
                    self.told.push((node, layers.len(), columns));
                }
                Part::Images { node, .. } if self.images => {
                    return Err(Error::Fit(format!("{node}: makes images of images; of rows is accepted")));
                }
                Part::Images { size: [channels, height, width], .. } => {
                    self.images = true;
                    layers.push(Layer::image(channels, height, width));
                }
            }
        }
        Ok(())
    }
}

impl Reader<'_> {
    /// What is done from the value `start` to the value `value`, which nodes before number `before` make, so many sums inside.
    pub(crate) fn chain(
        &self,
        value: &str,
        start: &str,
        mut before: usize,
        depth: usize,
        softmax: &mut bool,
    ) -> Result<Vec<Part>> {
        let (mut value, mut parts) = (value.to_owned(), Vec::new());
        while value != start {
            let (at, node) = self.maker(&value, before)?;
            before = at;
            let function = |function| {
                let layer = Layer::activate(function);
                Part::Layer { node: nodes::told(node), layer, tensors: Vec::new() }
            };
            let (next, part) = match node.op_type.as_str() {
                "Identity" => (self.first(node, &[])?, None),
                "Dropout" if node.input.len() > 2 => {
                    return refuse(node, "it may be one of training; inputs up to its ratio are accepted");
                }
                "Dropout" => (self.first(node, &["ratio", "seed"])?, None),
                "Softmax" if depth == 0 && parts.is_empty() && !*softmax => {
                    let next = self.first(node, &["axis"])?;
                    if ![1, -1].contains(&nodes::int(node, "axis", -1)?) {
                        return refuse(node, "its axis is not that of columns; 1 or -1 is accepted");
                    }
                    *softmax = true;
                    (next, None)
                }
                "Softmax" => return refuse(node, "a softmax is accepted at the end only"),
                "Relu" => (self.first(node, &[])?, Some(function(Function::Relu))),
                "Tanh" => (self.first(node, &[])?, Some(function(Function::Tanh))),
                "Sigmoid" => (self.first(node, &[])?, Some(function(Function::Sigmoid))),
                "LeakyRelu" => {
                    let slope = nodes::float(node, "alpha", 0.01)?;
                    (self.first(node, &["alpha"])?, Some(function(Function::LeakyRelu { slope })))
                }
                "Gelu" => {
                    let next = self.first(node, &["approximate"])?;
                    if ![&b""[..], b"none"].contains(&nodes::text(node, "approximate")?) {
                        return refuse(node, "its approximate is not none, which is accepted");
                    }
                    (next, Some(function(Function::Gelu)))
                }
                "Mul" | "Div" => {
                    let (next, which) = self.written_out(node, &value)?;
                    (next, Some(function(which)))
                }
                "Add" => match self.added(node)? {
                    nodes::Added::Numbers { to, numbers } => {
                        let (at, product) = self.maker(&to, before)?;
                        if product.op_type != "MatMul" {
                            return refuse(node, "adds numbers to what no MatMul makes");
                        }
                        before = at;
                        let (next, part) = self.dense(product, numbers)?;
                        (next, Some(part))
                    }
                    nodes::Added::Values { first, second } => {
                        if depth == DEEPEST {
                            return refuse(
                                node,
                                "it is in 8 sums inside of each other, more than are accepted",
                            );
                        }
                        let inner = self.chain(&second, &first, before, depth + 1, softmax);
                        let inner = inner.map_err(|e| Error::Fit(format!("{}: {e}", nodes::told(node))))?;
                        (first, Some(Part::Block(inner)))
                    }
                },
                "Gemm" | "MatMul" => {
                    let (next, part) = self.dense(node, None)?;
                    (next, Some(part))
                }
                "Flatten" | "Reshape" => {
                    let (next, part) = self.shaped(node)?;
                    (next, Some(part))
                }
                _ => {
                    let (next, layer, tensors) = self.layer(node)?;
                    (next, Some(Part::Layer { node: nodes::told(node), layer, tensors }))
                }
            };
            parts.extend(part);
            value = next;
        }
        parts.reverse();
        Ok(parts)
    }

    /// The node that makes a value, which must stand before number `before`.
    fn maker(&self, value: &str, before: usize) -> Result<(usize, &Node)> {
        match self.made.get(value) {
            Some(&at) if self.nodes[at].output.first().is_none_or(|first| first != value) => {
                refuse(&self.nodes[at], "its first result alone is read")
            }
            Some(&at) if at < before => Ok((at, &self.nodes[at])),
            Some(&at) => refuse(&self.nodes[at], "stands behind a node that reads it; nodes are read in the order of work"),
            None if value == self.input => {
                Err(Error::Fit("adds two values of which neither is made of the other; a sum of a value and what layers make of it is accepted".into()))
            }
            None => Err(Error::Fit(format!("the value {value:?} is made by no node"))),
        }
    }
}
