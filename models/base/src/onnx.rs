//! ONNX: the messages that our models need, with the names and numbers of `onnx.proto`, and how files are made of them.
//!
//! Fields that are not written are left out. Written by hand, so that nobody needs `protoc`. A family writes a [`Graph`] of nodes,
//! [`Encoder::onnx`](crate::Encoder::onnx) those that come before a network, and [`file()`] makes the bytes.

mod memory;

use crate::{Error, Field, Kind, Result};
use prost::Message;
use std::fmt::Display;

/// A model in a format of others.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// What the file holds.
    pub bytes: Vec<u8>,
    /// What the format does not hold, or holds in another way, a sentence each: for whoever is to use the file.
    pub notes: Vec<String>,
}

/// What a file asks of whoever reads it.
#[derive(Clone, Copy, Debug)]
pub struct Version<'a> {
    /// Of the format.
    pub ir: i64,
    /// Of operators, by domain; that of ONNX itself has no name.
    pub operators: &'a [(&'a str, i64)],
}

/// Who our files say wrote them.
pub const PRODUCER: &str = "tilewise";

/// The domain of operators for models, such as trees and tables of labels.
pub const MODELS: &str = "ai.onnx.ml";

/// The bytes of a file that holds `graph`. Its metadata keep, as JSON, the columns with their kinds and dictionaries under
/// `tilewise.inputs` and the names of what is predicted under `tilewise.targets`.
///
/// # Errors
/// When these cannot be written as JSON, which is not known to happen.
pub fn file(graph: Graph, version: Version<'_>, inputs: &[Field], targets: &[&str]) -> Result<Vec<u8>> {
    let entry = |key: &str, json: serde_json::Result<String>| match json {
        Ok(value) => Ok(StringStringEntry { key: key.to_owned(), value }),
        Err(e) => Err(Error::Fit(format!("{key} cannot be written: {e}"))),
    };
    let operators = version.operators.iter();
    let model = Model {
        ir_version: version.ir,
        producer_name: PRODUCER.to_owned(),
        // Left out: the same model is the same file in every version of ours.
        producer_version: String::new(),
        graph: Some(graph),
        opset_import: operators
            .map(|&(domain, version)| OperatorSetId { domain: domain.to_owned(), version })
            .collect(),
        metadata_props: vec![
            entry("tilewise.inputs", serde_json::to_string(inputs))?,
            entry("tilewise.targets", serde_json::to_string(targets))?,
        ],
    };
    Ok(model.to_bytes())
}

/// What is said of the columns of the one tensor that files of tables read.
pub const COLUMNS: &str = "columns are those of one tensor, in the order of the model; the metadata has their names as tilewise.inputs";

/// What the bytes of a file hold. Fields that are not known here are passed over.
///
/// # Errors
/// When they are not a file of ONNX, or damaged, or so many small parts that these would take more memory than four times the bytes
/// and 1 MiB, which is found before any is taken.
pub fn parse(bytes: &[u8]) -> Result<Model> {
    memory::check(bytes)?;
    Model::decode(bytes).map_err(damaged)
}

fn damaged(e: impl Display) -> Error {
    Error::Fit(format!("is not a file of ONNX, or damaged: {e}"))
}

/// What is said of categories, if there are columns of them; `kept` is where their lists are, as a clause that begins with "which".
pub fn note_categories(inputs: &[Field], kept: &str) -> Option<String> {
    let of_categories = |field: &&Field| matches!(field.kind, Kind::Categorical { .. });
    let names: Vec<String> =
        inputs.iter().filter(of_categories).map(|field| format!("{:?}", field.name)).collect();
    let names = Some(names.join(", ")).filter(|names| !names.is_empty())?;
    Some(format!(
        "categories are numbers: the place of a text, from 0, in the model's list for its column, {kept}, and the number of \
         categories for a text that the list lacks (columns {names})"
    ))
}

/// Where the lists of categories are in a file of ONNX.
pub const LISTS: &str = "which the metadata holds as tilewise.inputs";

/// A file (`ModelProto`).
#[derive(Clone, PartialEq, Message)]
pub struct Model {
    /// Version of the format.
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// Who wrote it.
    #[prost(string, tag = "2")]
    pub producer_name: String,
    /// Which version of that.
    #[prost(string, tag = "3")]
    pub producer_version: String,
    /// What it computes.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<Graph>,
    /// Versions of its operators.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetId>,
    /// What else is to be known.
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntry>,
}

impl Model {
    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

/// The version of the operators of a domain.
#[derive(Clone, PartialEq, Message)]
pub struct OperatorSetId {
    /// Empty for that of ONNX itself.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Of all its operators.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// A text with a name.
#[derive(Clone, PartialEq, Message)]
pub struct StringStringEntry {
    /// The name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The text.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// Nodes, each of which reads what stands before it (`GraphProto`).
#[derive(Clone, PartialEq, Message)]
pub struct Graph {
    /// In the order of work.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<Node>,
    /// What people call it.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Numbers of the model.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<Tensor>,
    /// What is given to it.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfo>,
    /// What comes out.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfo>,
}

impl Graph {
    /// Adds a node of one result, called as the operator and a number unless `output` names it; gives that name.
    pub fn add(
        &mut self,
        op_type: &str,
        input: &[&str],
        output: Option<&str>,
        attribute: Vec<Attribute>,
    ) -> String {
        let numbered = || format!("{}.{}", op_type.to_lowercase(), self.node.len());
        let output = output.map_or_else(numbered, str::to_owned);
        let node = Node::new(op_type, "", input, &[&output], attribute);
        self.node.push(Node { name: output.clone(), ..node });
        output
    }

    /// Adds numbers of the model; gives their name.
    pub fn hold(&mut self, tensor: Tensor) -> String {
        let name = tensor.name.clone();
        self.initializer.push(tensor);
        name
    }
}

/// An operator at work (`NodeProto`).
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    /// Names of what it reads.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Names of what it gives.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// What people call it.
    #[prost(string, tag = "3")]
    pub name: String,
    /// The operator.
    #[prost(string, tag = "4")]
    pub op_type: String,
    /// How it works.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<Attribute>,
    /// Of the operator.
    #[prost(string, tag = "7")]
    pub domain: String,
}

impl Node {
    /// A node that is called as its operator.
    pub fn new(
        op_type: &str,
        domain: &str,
        input: &[&str],
        output: &[&str],
        attribute: Vec<Attribute>,
    ) -> Self {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        Self {
            input: owned(input),
            output: owned(output),
            name: op_type.to_lowercase(),
            op_type: op_type.to_owned(),
            attribute,
            domain: domain.to_owned(),
        }
    }
}

/// A value by its name; `kind` tells which of the others is it (`AttributeProto`).
#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    /// As the operator calls it.
    #[prost(string, tag = "1")]
    pub name: String,
    /// A number.
    #[prost(float, tag = "2")]
    pub f: f32,
    /// A whole number.
    #[prost(int64, tag = "3")]
    pub i: i64,
    /// A text.
    #[prost(bytes = "vec", tag = "4")]
    pub s: Vec<u8>,
    /// Numbers with a shape; nothing that we write has them.
    #[prost(message, optional, boxed, tag = "5")]
    pub t: Option<Box<Tensor>>,
    /// Numbers.
    #[prost(float, repeated, tag = "7")]
    pub floats: Vec<f32>,
    /// Whole numbers.
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    /// Texts.
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub strings: Vec<Vec<u8>>,
    /// 1 is a number, 2 a whole one, 3 a text, 4 numbers with a shape, 6 to 8 several of the first.
    #[prost(int32, tag = "20")]
    pub kind: i32,
}

impl Attribute {
    /// A number.
    pub fn float(name: &str, f: f32) -> Self {
        Self { name: name.to_owned(), f, kind: 1, ..Self::default() }
    }

    /// A whole number.
    pub fn int(name: &str, i: i64) -> Self {
        Self { name: name.to_owned(), i, kind: 2, ..Self::default() }
    }

    /// A text.
    pub fn string(name: &str, s: &str) -> Self {
        Self { name: name.to_owned(), s: s.into(), kind: 3, ..Self::default() }
    }

    /// Numbers.
    pub fn floats(name: &str, floats: Vec<f32>) -> Self {
        Self { name: name.to_owned(), floats, kind: 6, ..Self::default() }
    }

    /// Whole numbers.
    pub fn ints(name: &str, ints: Vec<i64>) -> Self {
        Self { name: name.to_owned(), ints, kind: 7, ..Self::default() }
    }

    /// Texts.
    pub fn strings<'a>(name: &str, strings: impl IntoIterator<Item = &'a str>) -> Self {
        let strings = strings.into_iter().map(|text| text.as_bytes().to_vec()).collect();
        Self { name: name.to_owned(), strings, kind: 8, ..Self::default() }
    }
}

/// Types of elements: `f32`.
pub const FLOAT: i32 = 1;
/// `i64`.
pub const INT64: i32 = 7;
/// Texts.
pub const STRING: i32 = 8;
/// `f64`.
pub const DOUBLE: i32 = 11;

/// Numbers and their shape (`TensorProto`).
#[derive(Clone, PartialEq, Message)]
pub struct Tensor {
    /// The shape.
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    /// The type of an element.
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    /// The elements in another form; nothing that we write has them so.
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    /// The same of `i64`.
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    /// What nodes call it.
    #[prost(string, tag = "8")]
    pub name: String,
    /// The elements, the last dimension fastest, lowest byte first.
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
    /// 1 where the elements are in another file.
    #[prost(int32, tag = "14")]
    pub location: i32,
}

impl Tensor {
    /// Numbers of 32 bits.
    pub fn f32(name: &str, shape: &[usize], data: &[f32]) -> Self {
        Self::new(name, shape, FLOAT, data.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// Numbers of 64 bits.
    pub fn f64(name: &str, shape: &[usize], data: &[f64]) -> Self {
        Self::new(name, shape, DOUBLE, data.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// A row of whole numbers, none of which is beyond `i64`.
    pub fn whole(name: &str, data: &[usize]) -> Self {
        let bytes = data.iter().flat_map(|&x| (x as i64).to_le_bytes()).collect();
        Self::new(name, &[data.len()], INT64, bytes)
    }

    /// One whole number, which is no row.
    pub fn place(name: &str, at: usize) -> Self {
        Self { dims: Vec::new(), ..Self::whole(name, &[at]) }
    }

    fn new(name: &str, shape: &[usize], data_type: i32, raw_data: Vec<u8>) -> Self {
        let dims = shape.iter().map(|&n| n as i64).collect();
        Self { dims, data_type, name: name.to_owned(), raw_data, ..Self::default() }
    }

    /// Its shape.
    ///
    /// # Errors
    /// When a dimension is negative, or there are more elements than can be counted.
    pub fn shape(&self) -> Result<Vec<usize>> {
        let shape: Option<Vec<usize>> = self.dims.iter().map(|&n| usize::try_from(n).ok()).collect();
        let counted =
            |shape: &Vec<usize>| shape.iter().try_fold(1usize, |all, n| all.checked_mul(*n)).is_some();
        shape.filter(counted).ok_or_else(|| self.refuse("has a shape that no tensor has"))
    }

    /// Its shape and elements, which are `f32`.
    ///
    /// # Errors
    /// When they are of another type, in another file, or not as many as the shape says; names the tensor.
    pub fn floats(&self) -> Result<(Vec<usize>, Vec<f32>)> {
        self.elements(FLOAT, "f32", &self.float_data, f32::from_le_bytes)
    }

    /// The same of `f64`, which stand as bytes.
    ///
    /// # Errors
    /// As [`floats`](Self::floats).
    pub fn doubles(&self) -> Result<(Vec<usize>, Vec<f64>)> {
        self.elements(DOUBLE, "f64", &[], f64::from_le_bytes)
    }

    /// The same of `i64`.
    ///
    /// # Errors
    /// As [`floats`](Self::floats).
    pub fn whole_numbers(&self) -> Result<(Vec<usize>, Vec<i64>)> {
        self.elements(INT64, "i64", &self.int64_data, i64::from_le_bytes)
    }

    fn elements<T: Copy, const N: usize>(
        &self,
        data_type: i32,
        told: &str,
        data: &[T],
        element: impl Fn([u8; N]) -> T,
    ) -> Result<(Vec<usize>, Vec<T>)> {
        if self.data_type != data_type {
            return Err(self.refuse(&format!("has elements of type {}; {told} is read", self.data_type)));
        }
        if self.location != 0 {
            return Err(self.refuse("has its elements in another file; those in the same are read"));
        }
        let shape = self.shape()?;
        let (chunks, rest) = self.raw_data.as_chunks::<N>();
        let elements = match self.raw_data.is_empty() {
            true => data.to_vec(),
            false => chunks.iter().map(|bytes| element(*bytes)).collect(),
        };
        if elements.len() != shape.iter().product::<usize>() || !rest.is_empty() {
            return Err(self.refuse("has not as many elements as its shape"));
        }
        Ok((shape, elements))
    }

    fn refuse(&self, what: &str) -> Error {
        Error::Fit(format!("tensor {:?} {what}", self.name))
    }
}

/// A name and what stands behind it (`ValueInfoProto`).
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfo {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its type.
    #[prost(message, optional, tag = "2")]
    pub kind: Option<Type>,
}

/// A type (`TypeProto`).
#[derive(Clone, PartialEq, Message)]
pub struct Type {
    /// That of a tensor; there is no other here.
    #[prost(message, optional, tag = "1")]
    pub tensor: Option<TensorType>,
}

/// The type of a tensor.
#[derive(Clone, PartialEq, Message)]
pub struct TensorType {
    /// The type of an element.
    #[prost(int32, tag = "1")]
    pub element: i32,
    /// The shape.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
}

/// How many elements there are (`TensorShapeProto`).
#[derive(Clone, PartialEq, Message)]
pub struct Shape {
    /// Along each dimension.
    #[prost(message, repeated, tag = "1")]
    pub dimension: Vec<Dimension>,
}

/// A number, or the name of one that is not known; not both.
#[derive(Clone, PartialEq, Message)]
pub struct Dimension {
    /// The number.
    #[prost(int64, optional, tag = "1")]
    pub value: Option<i64>,
    /// The name.
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
}

impl ValueInfo {
    /// A tensor of rows, each with so many elements; `None` where each is one element.
    pub fn rows(name: &str, element: i32, columns: Option<usize>) -> Self {
        let rows = Dimension { value: None, name: Some("rows".to_owned()) };
        let columns = columns.map(|columns| Dimension { value: Some(columns as i64), name: None });
        let shape = Shape { dimension: [rows].into_iter().chain(columns).collect() };
        let tensor = TensorType { element, shape: Some(shape) };
        Self { name: name.to_owned(), kind: Some(Type { tensor: Some(tensor) }) }
    }
}
