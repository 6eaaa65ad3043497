//! Single nodes of ONNX, and the few patterns of nodes that are one function.

use super::Part;
use crate::{Function, Layer, Window};
use std::cell::Cell;
use std::collections::HashMap;
use tilewise_base::onnx::{Attribute, Graph, Node, Tensor};
use tilewise_base::{Error, Result};

/// What is accepted, for whoever has something else.
const OPERATORS: &str = "Gemm, MatMul, Add, Conv, MaxPool, AveragePool, BatchNormalization, LayerNormalization, Relu, LeakyRelu, Gelu, \
    Sigmoid, Tanh, Softmax, Flatten, Reshape, Identity and Dropout are read, and Mul, Div and Erf where they are GELU or SiLU";

/// How far a number that is written as `f32` may be from the one that is meant.
const NEAR: f64 = 1e-6;

/// Nodes, and who makes which value.
pub(crate) struct Reader<'a> {
    pub(super) nodes: &'a [Node],
    /// The number of the node that makes a value.
    pub(super) made: HashMap<&'a str, usize>,
    /// Numbers that stand in the file.
    held: HashMap<&'a str, &'a Tensor>,
    /// How many of them layers may still take: a small file says cheaply that very many layers have the same ones.
    left: Cell<usize>,
    pub(super) input: &'a str,
    /// Whether the file is of one row at a time.
    alone: bool,
}

/// What an `Add` adds.
pub(super) enum Added {
    Numbers {
        to: String,
        numbers: Option<Vec<f32>>,
    },
    /// The one that was there before the other.
    Values {
        first: String,
        second: String,
    },
}

/// The tensors of a layer: what they are, shapes and numbers.
type Tensors = Vec<(&'static str, Vec<usize>, Vec<f32>)>;

/// A node in words.
pub(super) fn told(node: &Node) -> String {
    let name = match (node.name.is_empty(), node.output.first()) {
        (true, Some(output)) => output,
        _ => &node.name,
    };
    format!("node {name:?} ({})", node.op_type)
}

pub(super) fn refuse<T>(node: &Node, what: &str) -> Result<T> {
    Err(Error::Fit(format!("{}: {what}", told(node))))
}

/// An error that tells the node too.
fn at_node<T>(node: &Node, result: Result<T>) -> Result<T> {
    result.or_else(|e| refuse(node, &e.to_string()))
}

/// An attribute of a kind, as the format numbers them. Very old files do not tell it: theirs is 0.
fn attribute<'a>(node: &'a Node, name: &str, kind: i32) -> Result<Option<&'a Attribute>> {
    match node.attribute.iter().find(|attribute| attribute.name == name) {
        Some(other) if ![0, kind].contains(&other.kind) => {
            refuse(node, &format!("its {name} is of the kind {}; {kind} is accepted", other.kind))
        }
        found => Ok(found),
    }
}

pub(super) fn int(node: &Node, name: &str, usual: i64) -> Result<i64> {
    Ok(attribute(node, name, 2)?.map_or(usual, |attribute| attribute.i))
}

/// The shortest decimal number that is the attribute's `f32`: what was meant, where a person wrote it.
pub(super) fn float(node: &Node, name: &str, usual: f64) -> Result<f64> {
    let of = |attribute: &Attribute| attribute.f.to_string().parse().unwrap_or_else(|_| attribute.f.into());
    Ok(attribute(node, name, 1)?.map_or(usual, of))
}

pub(super) fn text<'a>(node: &'a Node, name: &str) -> Result<&'a [u8]> {
    Ok(attribute(node, name, 3)?.map_or(b"", |attribute| &attribute.s))
}

/// Numbers of an attribute, none of which is large.
fn sizes<const N: usize>(node: &Node, name: &str, usual: [usize; N]) -> Result<[usize; N]> {
    let Some(attribute) = attribute(node, name, 7)? else { return Ok(usual) };
    let small = |n: &i64| usize::try_from(*n).ok().filter(|n| *n <= 1 << 16);
    let sizes: Option<Vec<usize>> = attribute.ints.iter().map(small).collect();
    match sizes.and_then(|sizes| sizes.try_into().ok()) {
        Some(sizes) => Ok(sizes),
        None => refuse(node, &format!("its {name} are not {N} numbers from 0 to 65536")),
    }
}

/// What the node's window sees.
fn window(node: &Node, size: [usize; 2]) -> Result<Window> {
    if ![&b""[..], b"NOTSET"].contains(&text(node, "auto_pad")?) {
        return refuse(node, "its auto_pad is not NOTSET, which is accepted");
    }
    let [up, left, down, right] = sizes(node, "pads", [0; 4])?;
    if [up, left] != [down, right] {
        return refuse(node, "its pads are not the same on both sides, which is accepted");
    }
    let (stride, dilation) = (sizes(node, "strides", [1; 2])?, sizes(node, "dilations", [1; 2])?);
    let size = sizes(node, "kernel_shape", size)?;
    // A place that sees no pixel has the same answer everywhere, so nobody asks for one: but a small file would, for very many.
    for (axis, pad) in [up, left].into_iter().enumerate() {
        let reach = size[axis].saturating_sub(1) * dilation[axis] + 1;
        if pad >= reach {
            return refuse(
                node,
                &format!("its pads of {pad} are not less than the {reach} pixels that it reaches over"),
            );
        }
    }
    Ok(Window { size, stride, padding: [up, left], dilation })
}

impl<'a> Reader<'a> {
    /// Of a file of so many bytes; `alone` where its input is one row.
    ///
    /// # Errors
    /// When a value is there or made twice, or a node is of another domain.
    pub(crate) fn new(graph: &'a Graph, input: &'a str, alone: bool, bytes: usize) -> Result<Self> {
        let mut held: HashMap<&str, &Tensor> = HashMap::new();
        for tensor in &graph.initializer {
            if held.insert(&tensor.name, tensor).is_some() {
                return Err(Error::Fit(format!("there are two tensors {:?}", tensor.name)));
            }
        }
        let mut made = HashMap::new();
        for (at, node) in graph.node.iter().enumerate() {
            if !["", "ai.onnx"].contains(&node.domain.as_str()) {
                return refuse(node, &format!("is of the domain {:?}; {OPERATORS}", node.domain));
            }
            for output in node.output.iter().filter(|output| !output.is_empty()) {
                if output == input || held.contains_key(output.as_str()) || made.contains_key(output.as_str())
                {
                    return refuse(node, &format!("makes the value {output:?}, which is there already"));
                }
                let constant = if node.op_type == "Constant" { attribute(node, "value", 4)? } else { None };
                match constant.and_then(|attribute| attribute.t.as_deref()) {
                    Some(tensor) => {
                        held.insert(output, tensor);
                    }
                    None => {
                        made.insert(output.as_str(), at);
                    }
                }
            }
        }
        // Each number has four bytes, so layers can have all of them four times.
        Ok(Self { nodes: &graph.node, made, held, left: Cell::new(bytes), input, alone })
    }

    /// The first input, which nodes make, of a node that has these attributes and no others.
    pub(super) fn first(&self, node: &Node, known: &[&str]) -> Result<String> {
        if let Some(other) = node.attribute.iter().find(|other| !known.contains(&other.name.as_str())) {
            return refuse(node, &format!("has the attribute {:?}, which is not read", other.name));
        }
        match node.input.first().filter(|value| !self.held.contains_key(value.as_str())) {
            Some(value) => Ok(value.clone()),
            None => refuse(node, "its first input is none that nodes make"),
        }
    }

    /// Numbers that are input number `i`.
    fn numbers(&self, node: &Node, i: usize) -> Result<(Vec<usize>, Vec<f32>)> {
        match self.optional(node, i)? {
            Some(numbers) => Ok(numbers),
            None => refuse(node, &format!("it has no input number {i}, counted from 0")),
        }
    }

    fn optional(&self, node: &Node, i: usize) -> Result<Option<(Vec<usize>, Vec<f32>)>> {
        let Some(name) = node.input.get(i).filter(|name| !name.is_empty()) else { return Ok(None) };
        match self.held.get(name.as_str()) {
            Some(tensor) => {
                let (shape, numbers) = at_node(node, tensor.floats())?;
                match self.left.get().checked_sub(numbers.len()) {
                    Some(left) => self.left.set(left),
                    None => return refuse(node, "layers have the file's numbers more than four times over"),
                }
                Ok(Some((shape, numbers)))
            }
            None => {
                refuse(node, &format!("its input {name:?} is not in the file; numbers that are can be read"))
            }
        }
    }

    /// Numbers that are a row, which is added to all rows.
    fn row(&self, node: &Node, i: usize) -> Result<Option<Vec<f32>>> {
        match self.optional(node, i)? {
            Some((shape, row)) if shape.last().copied().unwrap_or(1) == row.len() => Ok(Some(row)),
            Some(_) => refuse(node, "adds numbers that are not one row"),
            None => Ok(None),
        }
    }

    /// The only number of an input, if it is one.
    fn scalar(&self, value: &str) -> Option<f64> {
        let (_, numbers) = self.held.get(value)?.floats().ok()?;
        if let [only] = numbers[..] { Some(f64::from(only)) } else { None }
    }

    pub(super) fn added(&self, node: &Node) -> Result<Added> {
        let [a, b] = &node.input[..] else { return refuse(node, "it has not two inputs") };
        if !node.attribute.is_empty() {
            return refuse(node, "it has attributes, of which none are read");
        }
        let place = |value: &String| self.made.get(value.as_str());
        match [a, b].map(|value| self.held.contains_key(value.as_str())) {
            [false, true] => Ok(Added::Numbers { to: a.clone(), numbers: self.row(node, 1)? }),
            [true, false] => Ok(Added::Numbers { to: b.clone(), numbers: self.row(node, 0)? }),
            [false, false] if place(a) < place(b) => {
                Ok(Added::Values { first: a.clone(), second: b.clone() })
            }
            [false, false] if place(b) < place(a) => {
                Ok(Added::Values { first: b.clone(), second: a.clone() })
            }
            _ => refuse(node, "it does not add two different values"),
        }
    }

    /// A `Gemm`, or a `MatMul` with the numbers that are added to it.
    pub(super) fn dense(&self, node: &Node, bias: Option<Vec<f32>>) -> Result<(String, Part)> {
        let is_gemm = node.op_type == "Gemm";
        let known: &[&str] = if is_gemm { &["alpha", "beta", "transA", "transB"] } else { &[] };
        let next = self.first(node, known)?;
        let ones = [float(node, "alpha", 1.0)?, float(node, "beta", 1.0)?];
        if ones != [1.0; 2] || int(node, "transA", 0)? != 0 {
            return refuse(node, "alpha and beta of 1 and transA of 0 are accepted");
        }
        let (shape, data) = self.numbers(node, 1)?;
        let [rows, cols] = shape[..] else { return refuse(node, "its weights are not a matrix") };
        let turned = int(node, "transB", 0)? != 0;
        let (inputs, outputs) = if turned { (cols, rows) } else { (rows, cols) };
        let weights = match turned {
            true => data,
            false => (0..data.len()).map(|i| data[i % inputs * outputs + i / inputs]).collect(),
        };
        let bias = if is_gemm { self.row(node, 2)? } else { bias };
        if bias.as_ref().is_some_and(|bias| bias.len() != outputs) {
            return refuse(node, &format!("its {outputs} outputs have not a number each that is added"));
        }
        let layer = Layer::Dense { outputs, bias: bias.is_some() };
        let mut tensors = vec![("weight", vec![outputs, inputs], weights)];
        tensors.extend(bias.map(|bias| ("bias", vec![outputs], bias)));
        Ok((next, Part::Layer { node: told(node), layer, tensors }))
    }

    /// Rows of images, or images of rows.
    pub(super) fn shaped(&self, node: &Node) -> Result<(String, Part)> {
        let rows = |columns| Part::Rows { node: told(node), columns };
        if node.op_type == "Flatten" {
            let next = self.first(node, &["axis"])?;
            return match int(node, "axis", 1)? {
                1 => Ok((next, rows(None))),
                _ => refuse(node, "its axis is not 1, which is accepted"),
            };
        }
        let next = self.first(node, &["allowzero"])?;
        if int(node, "allowzero", 0)? != 0 {
            return refuse(node, "an allowzero of 0 is accepted");
        }
        let shape = node.input.get(1).and_then(|name| self.held.get(name.as_str()));
        let Some(shape) = shape else { return refuse(node, "its shape is not in the file") };
        let (_, shape) = at_node(node, shape.whole_numbers())?;
        let size = |n: i64| usize::try_from(n).ok().filter(|n| (1..=1 << 20).contains(n));
        if shape.first() == Some(&1) && !self.alone {
            return refuse(
                node,
                "it makes one row of all rows; 0 or -1 rows, and 1 where the input is one row, are accepted",
            );
        }
        // 0 is as many rows as there are, -1 as many as come out; 1 is what was written for one row.
        match shape[..] {
            [0 | 1, -1] => Ok((next, rows(None))),
            [-1..=1, columns] if size(columns).is_some() => Ok((next, rows(size(columns)))),
            [-1..=1, channels, height, width] => match (size(channels), size(height), size(width)) {
                (Some(channels), Some(height), Some(width)) => {
                    Ok((next, Part::Images { node: told(node), size: [channels, height, width] }))
                }
                _ => refuse(node, "its channels, height and width are not all known"),
            },
            _ => refuse(
                node,
                "it makes neither rows x columns nor rows x channels x height x width of as many rows",
            ),
        }
    }

    /// A node that is one layer with what it learned.
    pub(super) fn layer(&self, node: &Node) -> Result<(String, Layer, Tensors)> {
        const SLIDES: [&str; 5] = ["auto_pad", "dilations", "kernel_shape", "pads", "strides"];
        let slides = |more: &[&'static str]| [&SLIDES[..], more].concat();
        match node.op_type.as_str() {
            "Conv" => {
                let next = self.first(node, &slides(&["group"]))?;
                let (shape, data) = self.numbers(node, 1)?;
                let [channels, _, height, width] = shape[..] else {
                    return refuse(node, "its weights are not of two-dimensional images");
                };
                let window = window(node, [height, width])?;
                if int(node, "group", 1)? != 1 || window.size != [height, width] {
                    return refuse(
                        node,
                        "one group, and a kernel_shape that is that of the weights, are accepted",
                    );
                }
                let bias = self.optional(node, 2)?;
                let layer = Layer::Convolution { channels, window, bias: bias.is_some() };
                let mut tensors = vec![("weight", shape, data)];
                tensors.extend(bias.map(|(shape, data)| ("bias", shape, data)));
                Ok((next, layer, tensors))
            }
            "MaxPool" | "AveragePool" => {
                let is_max = node.op_type == "MaxPool";
                let own: &[&str] = if is_max {
                    &["ceil_mode", "storage_order"]
                } else {
                    &["ceil_mode", "count_include_pad"]
                };
                let next = self.first(node, &slides(own))?;
                let window = window(node, [0; 2])?;
                let uncounted = window.padding != [0; 2] && int(node, "count_include_pad", 0)? == 0;
                match () {
                    () if int(node, "ceil_mode", 0)? != 0 => refuse(node, "a ceil_mode of 0 is accepted"),
                    () if node.output.len() > 1 => refuse(node, "one result is accepted"),
                    () if is_max => Ok((next, Layer::MaxPool { window }, Vec::new())),
                    () if uncounted => refuse(node, "with pads a count_include_pad of 1 is accepted"),
                    () => Ok((next, Layer::AveragePool { window }, Vec::new())),
                }
            }
            "BatchNormalization" => {
                let next = self.first(node, &["epsilon", "momentum", "training_mode"])?;
                if int(node, "training_mode", 0)? != 0 || node.output.len() > 1 {
                    return refuse(node, "a training_mode of 0, with one result, is accepted");
                }
                let mut tensors = Vec::new();
                for (i, what) in ["weight", "bias", "running_mean", "running_var"].into_iter().enumerate() {
                    let (shape, data) = self.numbers(node, i + 1)?;
                    tensors.push((what, shape, data));
                }
                Ok((
                    next,
                    Layer::BatchNorm { epsilon: float(node, "epsilon", 1e-5)?, momentum: 0.1 },
                    tensors,
                ))
            }
            "LayerNormalization" => {
                let next = self.first(node, &["axis", "epsilon", "stash_type"])?;
                if ![1, -1].contains(&int(node, "axis", -1)?) || node.output.len() > 1 {
                    return refuse(node, "an axis of -1 or 1, with one result, is accepted");
                }
                let (shape, gain) = self.numbers(node, 1)?;
                let bias = self.optional(node, 2)?.map_or_else(|| vec![0.0; gain.len()], |(_, bias)| bias);
                let of_bias = vec![bias.len()];
                let tensors = vec![("weight", shape, gain), ("bias", of_bias, bias)];
                Ok((next, Layer::LayerNorm { epsilon: float(node, "epsilon", 1e-5)? }, tensors))
            }
            _ => refuse(node, &format!("the operator is not read; {OPERATORS}")),
        }
    }

    /// A product that is SiLU, x sigmoid(x), or GELU, x / 2 (1 + erf(x / sqrt 2)), in any order; `value` is its result.
    pub(super) fn written_out(&self, node: &Node, value: &str) -> Result<(String, Function)> {
        if !node.attribute.is_empty() {
            return refuse(node, "it has attributes, of which none are read");
        }
        let maker = |value: &str, op: &str| {
            let node = self.made.get(value).map(|&at| &self.nodes[at])?;
            (node.op_type == op && node.attribute.is_empty()).then_some(&node.input[..])
        };
        let near = |a: f64, b: f64| (a - b).abs() < NEAR;
        let (mut factor, mut values) = (1.0, Vec::new());
        self.factors(value, 3, &mut factor, &mut values);
        let &[a, b] = &values[..] else {
            return refuse(node, &format!("is neither SiLU nor GELU; {OPERATORS}"));
        };
        for (x, other) in [(a, b), (b, a)] {
            if let Some([of]) = maker(other, "Sigmoid")
                && of == x
                && near(factor, 1.0)
            {
                return Ok((x.to_owned(), Function::Silu));
            }
            let Some([one, erf]) = maker(other, "Add") else { continue };
            let (one, erf) = if self.scalar(one).is_some() { (one, erf) } else { (erf, one) };
            let Some([of]) = maker(erf, "Erf") else { continue };
            let (mut scale, mut inside) = (1.0, Vec::new());
            self.factors(of, 1, &mut scale, &mut inside);
            let is_gelu = near(scale, std::f64::consts::FRAC_1_SQRT_2) && near(factor, 0.5);
            if is_gelu && inside == [x] && self.scalar(one) == Some(1.0) {
                return Ok((x.to_owned(), Function::Gelu));
            }
        }
        refuse(node, &format!("is neither SiLU nor GELU; {OPERATORS}"))
    }

    /// Takes products apart, so many deep, into numbers, whose product `factor` becomes, and values.
    fn factors<'b>(&'b self, value: &'b str, deep: usize, factor: &mut f64, values: &mut Vec<&'b str>) {
        if let Some(number) = self.scalar(value) {
            *factor *= number;
            return;
        }
        let node = self.made.get(value).map(|&at| &self.nodes[at]);
        let node = node.filter(|node| deep > 0 && node.attribute.is_empty());
        match node.map(|node| (node.op_type.as_str(), &node.input[..])) {
            Some(("Mul", [a, b])) => {
                self.factors(a, deep - 1, factor, values);
                self.factors(b, deep - 1, factor, values);
            }
            Some(("Div", [a, b])) if self.scalar(b).is_some() => {
                *factor /= self.scalar(b).unwrap_or(1.0);
                self.factors(a, deep - 1, factor, values);
            }
            _ => values.push(value),
        }
    }
}
