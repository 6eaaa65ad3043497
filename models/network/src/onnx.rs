//! Networks as files of ONNX: a layer is a node, or a few.
//!
//! Weights keep the names and shapes that they have in PyTorch and in model files. Rows are `f32`, as they are given to the network: images
//! too come as rows of channels x height x width, which a `Reshape` takes apart. A dropout is nothing.
//!
//! | layer | nodes |
//! |---|---|
//! | dense | `Gemm` |
//! | embedding | `Gather` of each table, `Where` the number is one of a category |
//! | image, flatten | `Reshape`, `Flatten` |
//! | convolution | `Conv` |
//! | pooling | `MaxPool`, `AveragePool` (zeros around the image counted) |
//! | identity, ReLU, leaky ReLU, tanh, sigmoid | `Identity`, `Relu`, `LeakyRelu`, `Tanh`, `Sigmoid` |
//! | SiLU | `Sigmoid`, `Mul` |
//! | GELU | `Erf` and arithmetic: `Gelu` itself is younger (ONNX 1.15) |
//! | layer norm, batch norm | `LayerNormalization`, `BatchNormalization` |
//! | residual | `Add` behind its layers |

use crate::pipeline::{Pipeline, Scale};
use crate::{Function, Layer, Lookup, Network, Window};
use std::collections::HashSet;
use tilewise_base::onnx::{
    Attribute, COLUMNS, DOUBLE, Exported, FLOAT, Graph, INT64, LISTS, MODELS, Node, STRING, Tensor,
    ValueInfo, Version, file, note_categories,
};
use tilewise_base::{Error, Model, Result, Task};

/// Operators of ONNX 1.12, the first that has layer norm, and those for models of ONNX 1.4.
const VERSION: Version<'_> = Version { ir: 8, operators: &[(MODELS, 2), ("", 17)] };

/// What our files of models of tables read.
pub(crate) const CELLS: &str = "cells";

/// Most bytes of weights: the format holds 2 GiB in all, of which names and nodes take less than this leaves.
const MOST_BYTES: usize = (1 << 31) - (1 << 24);

impl Network<f32> {
    /// The network as a file of ONNX (1.12): `input`, rows x [`inputs`](Self::inputs), becomes `output`, rows x
    /// [`outputs`](Self::outputs): what [`predict`](Self::predict) gives, but for the order in which a product is summed. O(weights).
    ///
    /// ```
    /// use tilewise_network::{Function, Initialiser, Layer, Network, Window};
    /// let layers = [
    ///     Layer::image(1, 8, 8),
    ///     Layer::convolution(4, Window::square(3)),
    ///     Layer::activate(Function::Relu),
    ///     Layer::Flatten,
    ///     Layer::dense(10),
    /// ];
    /// let network = Network::new(64, &layers, Initialiser::Auto, 1)?;
    /// let bytes = network.to_onnx()?;
    /// assert!(bytes.windows(4).any(|name| name == b"Conv"));
    /// # Ok::<(), tilewise_base::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the weights take more than the 2 GiB that a file of ONNX holds.
    pub fn to_onnx(&self) -> Result<Vec<u8>> {
        const INPUT: &str = "input";
        let mut graph = Graph { name: "network".into(), ..Graph::default() };
        let result = self.nodes(&mut graph, INPUT)?;
        graph.add("Identity", &[&result], Some("output"), vec![]);
        graph.input.push(ValueInfo::rows(INPUT, FLOAT, Some(self.inputs())));
        graph.output.push(ValueInfo::rows("output", FLOAT, Some(self.outputs())));
        file(graph, VERSION, &[], &[])
    }

    /// Adds weights and nodes behind the rows `input`; gives the name of the result.
    fn nodes(&self, graph: &mut Graph, input: &str) -> Result<String> {
        let bytes = self.parameters().saturating_mul(size_of::<f32>());
        if bytes > MOST_BYTES {
            return Err(Error::Fit(format!(
                "ONNX cannot hold the network: its weights take {bytes} bytes; up to {MOST_BYTES} are accepted"
            )));
        }
        for (name, shape, data) in self.tensors() {
            graph.hold(Tensor::f32(&name, &shape, &data));
        }
        Ok(layers(graph, self.layers(), self.inputs(), "", input))
    }
}

/// Adds nodes of `all` behind `input`, the layers of `path` in a network of so many inputs.
fn layers(graph: &mut Graph, all: &[Layer], inputs: usize, path: &str, input: &str) -> String {
    let mut x = input.to_owned();
    for (i, layer) in all.iter().enumerate() {
        let name = if path.is_empty() { format!("{i}") } else { format!("{path}.{i}") };
        let of = |what: &str| format!("{name}.{what}");
        let with = |bias: bool| if bias { vec![of("weight"), of("bias")] } else { vec![of("weight")] };
        let mut node = |op: &str, weights: &[String], attributes| {
            let inputs: Vec<&str> =
                [x.as_str()].into_iter().chain(weights.iter().map(String::as_str)).collect();
            graph.add(op, &inputs, Some(&of(&op.to_lowercase())), attributes)
        };
        x = match layer {
            Layer::Dense { bias, .. } => node("Gemm", &with(*bias), vec![Attribute::int("transB", 1)]),
            Layer::Embedding { lookups } => embedding(graph, lookups, inputs, &name, &x),
            Layer::Image { channels, height, width } => {
                // 0 is the number of rows, whatever it is.
                let shape = graph.hold(Tensor::whole(&of("shape"), &[0, *channels, *height, *width]));
                graph.add("Reshape", &[&x, &shape], Some(&of("reshape")), vec![])
            }
            Layer::Convolution { window, bias, .. } => {
                let mut attributes = seen(window);
                attributes.push(ints("dilations", window.dilation));
                node("Conv", &with(*bias), attributes)
            }
            Layer::MaxPool { window } => node("MaxPool", &[], seen(window)),
            Layer::AveragePool { window } => {
                let mut attributes = seen(window);
                attributes.push(Attribute::int("count_include_pad", 1));
                node("AveragePool", &[], attributes)
            }
            Layer::Flatten => node("Flatten", &[], vec![Attribute::int("axis", 1)]),
            Layer::Activate { function } => self::function(graph, *function, &name, &x),
            Layer::Dropout { .. } => x,
            Layer::LayerNorm { epsilon } => {
                let attributes =
                    vec![Attribute::int("axis", -1), Attribute::float("epsilon", *epsilon as f32)];
                node("LayerNormalization", &with(true), attributes)
            }
            Layer::BatchNorm { epsilon, .. } => {
                let kept = ["weight", "bias", "running_mean", "running_var"].map(of);
                node("BatchNormalization", &kept, vec![Attribute::float("epsilon", *epsilon as f32)])
            }
            Layer::Residual { layers: inner } => {
                let inside = layers(graph, inner, inputs, &name, &x);
                graph.add("Add", &[&x, &inside], Some(&of("add")), vec![])
            }
        };
    }
    x
}

/// Adds the vectors of categories behind the columns that have none.
pub(crate) fn embedding(graph: &mut Graph, lookups: &[Lookup], inputs: usize, name: &str, x: &str) -> String {
    let of = |what: &str| format!("{name}.{what}");
    let looked_up: HashSet<usize> = lookups.iter().map(|lookup| lookup.column).collect();
    let others: Vec<usize> = (0..inputs).filter(|column| !looked_up.contains(column)).collect();
    let mut parts = Vec::new();
    if !others.is_empty() {
        let others = graph.hold(Tensor::whole(&of("others"), &others));
        parts.push(graph.add("Gather", &[x, &others], None, vec![Attribute::int("axis", 1)]));
    }
    let zero = graph.hold(Tensor::f32(&of("zero"), &[], &[0.0]));
    for (j, lookup) in lookups.iter().enumerate() {
        // A scalar takes its dimension away: a number for each row.
        let column = graph.hold(Tensor::place(&of(&format!("{j}.column")), lookup.column));
        let cell = graph.add("Gather", &[x, &column], None, vec![Attribute::int("axis", 1)]);
        let count =
            graph.hold(Tensor::f32(&of(&format!("{j}.categories")), &[], &[lookup.categories as f32]));
        let least = graph.add("GreaterOrEqual", &[&cell, &zero], None, vec![]);
        let below = graph.add("Less", &[&cell, &count], None, vec![]);
        let known = graph.add("And", &[&least, &below], None, vec![]);
        let row = graph.add("Where", &[&known, &cell, &count], None, vec![]);
        let row = graph.add("Cast", &[&row], None, vec![Attribute::int("to", INT64.into())]);
        let table = of(&format!("{j}.weight"));
        parts.push(graph.add("Gather", &[&table, &row], None, vec![Attribute::int("axis", 0)]));
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    graph.add("Concat", &parts, Some(&of("embedding")), vec![Attribute::int("axis", 1)])
}

fn ints(name: &str, [down, across]: [usize; 2]) -> Attribute {
    Attribute::ints(name, vec![down as i64, across as i64])
}

/// A window, as all that slide have it.
fn seen(window: &Window) -> Vec<Attribute> {
    let [down, across] = window.padding.map(|n| n as i64);
    let pads = Attribute::ints("pads", vec![down, across, down, across]);
    vec![ints("kernel_shape", window.size), ints("strides", window.stride), pads]
}

/// Adds f(x).
fn function(graph: &mut Graph, function: Function, name: &str, x: &str) -> String {
    let last = format!("{name}.{}", function.name());
    let simple = match function {
        Function::Identity => "Identity",
        Function::Relu => "Relu",
        Function::LeakyRelu { slope } => {
            return graph.add("LeakyRelu", &[x], Some(&last), vec![Attribute::float("alpha", slope as f32)]);
        }
        Function::Tanh => "Tanh",
        Function::Sigmoid => "Sigmoid",
        Function::Silu => {
            let share = graph.add("Sigmoid", &[x], Some(&format!("{name}.sigmoid")), vec![]);
            return graph.add("Mul", &[x, &share], Some(&last), vec![]);
        }
        Function::Gelu => {
            // x / 2 (1 + erf(x / sqrt 2))
            let mut number =
                |what: &str, x: f32| graph.hold(Tensor::f32(&format!("{name}.{what}"), &[], &[x]));
            let root = number("root", std::f32::consts::FRAC_1_SQRT_2);
            let (one, half) = (number("one", 1.0), number("half", 0.5));
            let scaled = graph.add("Mul", &[x, &root], None, vec![]);
            let erf = graph.add("Erf", &[&scaled], None, vec![]);
            let above = graph.add("Add", &[&erf, &one], None, vec![]);
            let halved = graph.add("Mul", &[x, &half], None, vec![]);
            return graph.add("Mul", &[&halved, &above], Some(&last), vec![]);
        }
    };
    graph.add(simple, &[x], Some(&last), vec![])
}

/// Adds what comes behind the layers: softmax and labels, or answers as they are outside.
pub(crate) fn answered(graph: &mut Graph, answers: &str, task: &Task, scales: &[Scale]) {
    if let Task::Classification { classes } = task {
        let [label, probabilities] = ["label", "probabilities"];
        graph.add("Softmax", &[answers], Some(probabilities), vec![Attribute::int("axis", 1)]);
        let largest = vec![Attribute::int("axis", 1), Attribute::int("keepdims", 0)];
        let number = graph.add("ArgMax", &[probabilities], None, largest);
        let keys = Attribute::ints("keys_int64s", (0..classes.len() as i64).collect());
        let names = vec![keys, Attribute::strings("values_strings", classes.iter().map(String::as_str))];
        graph.node.push(Node::new("LabelEncoder", MODELS, &[&number], &[label], names));
        graph.output.push(ValueInfo::rows(label, STRING, None));
        graph.output.push(ValueInfo::rows(probabilities, FLOAT, Some(classes.len())));
    } else {
        // One number where all targets have the same, as the one target has.
        let used = if scales.iter().all(|scale| *scale == scales[0]) { &scales[..1] } else { scales };
        let shape = if used.len() == 1 { &[][..] } else { &[used.len()][..] };
        let [means, deviations]: [Vec<f64>; 2] =
            [used.iter().map(|s| s.mean).collect(), used.iter().map(|s| s.deviation).collect()];
        let deviation = graph.hold(Tensor::f64("target.deviation", shape, &deviations));
        let mean = graph.hold(Tensor::f64("target.mean", shape, &means));
        let y = graph.add("Cast", &[answers], None, vec![Attribute::int("to", DOUBLE.into())]);
        let y = graph.add("Mul", &[&y, &deviation], None, vec![]);
        let y = graph.add("Add", &[&y, &mean], None, vec![]);
        let prediction = "prediction";
        graph.add("Cast", &[&y], Some(prediction), vec![Attribute::int("to", FLOAT.into())]);
        graph.output.push(ValueInfo::rows(prediction, FLOAT, Some(task.outputs())));
    }
}

impl Pipeline {
    /// The model as a file of ONNX (1.12), from cells to answers: `cells` (`f32`, rows x inputs, coded as in the files of trees: numbers as they are,
    /// booleans 0 or 1, missing ones NaN, categories by their place in the dictionary) become `label` and `probabilities`, or
    /// `prediction` (a column for each target). Numbers are standardised and scaled back in `f64`, layers are `f32`, as they are here, unless
    /// weights are of 64 bits, which are rounded. O(weights).
    ///
    /// # Errors
    /// When the weights take more than the 2 GiB that a file of ONNX holds, are of 8 bits, or one of 64 is too large for 32.
    pub fn to_onnx(&self) -> Result<Exported> {
        let Some(network) = self.rounded() else {
            let what = "its weights are of 8 bits, of which no file of ONNX is written; export the model that was quantised";
            return Err(Error::Fit(what.into()));
        };
        if network.all().any(|(_, numbers)| numbers.iter().any(|x| !x.is_finite())) {
            return Err(Error::Fit("a weight of 64 bits is too large for the 32 of a file of ONNX".into()));
        }
        let mut graph = Graph { name: "network".into(), ..Graph::default() };
        let encoded = self.encoder().onnx(&mut graph, CELLS);
        let answers = network.nodes(&mut graph, &encoded)?;
        graph.input.push(ValueInfo::rows(CELLS, FLOAT, Some(self.inputs().len())));
        answered(&mut graph, &answers, self.task(), self.scales());
        let bytes = file(graph, VERSION, self.inputs(), &self.targets())?;
        let mut notes = vec!["cells and answers are f32".to_owned(), COLUMNS.to_owned()];
        if self.network().is_none() {
            notes.push("weights of 64 bits are rounded to 32".to_owned());
        }
        notes.extend(note_categories(self.inputs(), LISTS));
        notes.push(
            "numbers too large for the layers, which the model refuses, give infinities or NaN".to_owned(),
        );
        Ok(Exported { bytes, notes })
    }
}
