//! Model files taken apart and put together again, with a checksum that fits, so that what is read is judged by what it says.

use serde_json::Value;

/// A model file: its metadata, and every other tensor.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) metadata: Value,
    pub(crate) tensors: Vec<Tensor>,
}

/// An array of a model file.
#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) dtype: String,
    pub(crate) shape: Vec<u64>,
    pub(crate) data: Vec<u8>,
}

/// The tensor that holds the checksum.
const CHECKSUM: &str = "~checksum";

/// Bytes up to the first of a tensor.
pub(crate) fn header_length(bytes: &[u8]) -> usize {
    8 + u64::from_le_bytes(*bytes.first_chunk().expect("a length")) as usize
}

/// Bytes whose last 16 are the checksum of the others.
pub(crate) fn resummed(mut bytes: Vec<u8>) -> Vec<u8> {
    let body = bytes.len() - 16;
    let sum = xxhash_rust::xxh3::xxh3_128(&bytes[..body]).to_le_bytes();
    bytes[body..].copy_from_slice(&sum);
    bytes
}

impl Parts {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let start = header_length(bytes);
        let header: Value = serde_json::from_slice(&bytes[8..start]).expect("a header");
        let text = header["__metadata__"]["tilewise"].as_str().expect("metadata");
        let metadata = serde_json::from_str(text).expect("metadata");
        let is_tensor = |name: &str| name != "__metadata__" && name != CHECKSUM;
        let number = |value: &Value| value.as_u64().expect("a number");
        let tensor = |(name, about): (&String, &Value)| Tensor {
            name: name.clone(),
            dtype: about["dtype"].as_str().expect("a type").to_owned(),
            shape: about["shape"].as_array().expect("a shape").iter().map(number).collect(),
            data: bytes[start..]
                [number(&about["data_offsets"][0]) as usize..number(&about["data_offsets"][1]) as usize]
                .to_vec(),
        };
        let tensors = header.as_object().expect("an object").iter().filter(|(name, _)| is_tensor(name));
        let mut tensors: Vec<(u64, Tensor)> =
            tensors.map(|(name, about)| (number(&about["data_offsets"][0]), tensor((name, about)))).collect();
        tensors.sort_by_key(|(start, _)| *start);
        Self { metadata, tensors: tensors.into_iter().map(|(_, tensor)| tensor).collect() }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut header = serde_json::Map::new();
        header.insert("__metadata__".into(), serde_json::json!({ "tilewise": self.metadata.to_string() }));
        let (mut data, sum) = (Vec::new(), [0; 16]);
        let mut put = |name: &str, dtype: &str, shape: &[u64], bytes: &[u8]| {
            let offsets = [data.len(), data.len() + bytes.len()];
            let about = serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": offsets });
            header.insert(name.to_owned(), about);
            data.extend_from_slice(bytes);
        };
        for Tensor { name, dtype, shape, data } in &self.tensors {
            put(name, dtype, shape, data);
        }
        put(CHECKSUM, "U8", &[16], &sum);
        let mut text = Value::Object(header).to_string();
        while !text.len().is_multiple_of(8) {
            text.push(' ');
        }
        resummed([&(text.len() as u64).to_le_bytes(), text.as_bytes(), &data].concat())
    }
}
