//! The messages of ONNX that a model of trees needs, with the names and numbers of `onnx.proto`; fields that are not written are left
//! out. Written by hand, so that nobody needs `protoc`.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Model {
    #[prost(int64, tag = "1")]
    pub(super) ir_version: i64,
    #[prost(string, tag = "2")]
    pub(super) producer_name: String,
    #[prost(string, tag = "3")]
    pub(super) producer_version: String,
    #[prost(message, optional, tag = "7")]
    pub(super) graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    pub(super) opset_import: Vec<OperatorSetId>,
    #[prost(message, repeated, tag = "14")]
    pub(super) metadata_props: Vec<StringStringEntry>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OperatorSetId {
    #[prost(string, tag = "1")]
    pub(super) domain: String,
    #[prost(int64, tag = "2")]
    pub(super) version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StringStringEntry {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Graph {
    #[prost(message, repeated, tag = "1")]
    pub(super) node: Vec<Node>,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "11")]
    pub(super) input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    pub(super) output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Node {
    #[prost(string, repeated, tag = "1")]
    pub(super) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) output: Vec<String>,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(string, tag = "4")]
    pub(super) op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) attribute: Vec<Attribute>,
    #[prost(string, tag = "7")]
    pub(super) domain: String,
}

/// A value by its name; `kind` tells which of the others is it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Attribute {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int64, tag = "3")]
    pub(super) i: i64,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) s: Vec<u8>,
    #[prost(float, repeated, tag = "7")]
    pub(super) floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    pub(super) ints: Vec<i64>,
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub(super) strings: Vec<Vec<u8>>,
    #[prost(int32, tag = "20")]
    pub(super) kind: i32,
}

impl Attribute {
    pub(super) fn int(name: &str, i: i64) -> Self {
        Self { name: name.to_owned(), i, kind: 2, ..Self::default() }
    }

    pub(super) fn string(name: &str, s: &str) -> Self {
        Self { name: name.to_owned(), s: s.into(), kind: 3, ..Self::default() }
    }

    pub(super) fn floats(name: &str, floats: Vec<f32>) -> Self {
        Self { name: name.to_owned(), floats, kind: 6, ..Self::default() }
    }

    pub(super) fn ints(name: &str, ints: Vec<i64>) -> Self {
        Self { name: name.to_owned(), ints, kind: 7, ..Self::default() }
    }

    pub(super) fn strings<'a>(name: &str, strings: impl IntoIterator<Item = &'a str>) -> Self {
        let strings = strings.into_iter().map(|text| text.as_bytes().to_vec()).collect();
        Self { name: name.to_owned(), strings, kind: 8, ..Self::default() }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ValueInfo {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "2")]
    pub(super) kind: Option<Kind>,
}

/// `TypeProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Kind {
    #[prost(message, optional, tag = "1")]
    pub(super) tensor: Option<Tensor>,
}

/// The type of a tensor.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Tensor {
    #[prost(int32, tag = "1")]
    pub(super) element: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) shape: Option<Shape>,
}

/// Types of elements.
pub(super) const FLOAT: i32 = 1;
pub(super) const STRING: i32 = 8;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Shape {
    #[prost(message, repeated, tag = "1")]
    pub(super) dimension: Vec<Dimension>,
}

/// A number, or the name of one that is not known; not both.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Dimension {
    #[prost(int64, optional, tag = "1")]
    pub(super) value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub(super) name: Option<String>,
}

impl ValueInfo {
    /// A tensor of rows, each with so many elements; `None` where each is one element.
    pub(super) fn rows(name: &str, element: i32, columns: Option<usize>) -> Self {
        let rows = Dimension { value: None, name: Some("rows".to_owned()) };
        let columns = columns.map(|columns| Dimension { value: Some(columns as i64), name: None });
        let shape = Shape { dimension: [rows].into_iter().chain(columns).collect() };
        let tensor = Tensor { element, shape: Some(shape) };
        Self { name: name.to_owned(), kind: Some(Kind { tensor: Some(tensor) }) }
    }
}
