//! The model file: one `.safetensors` file that holds tensors and, under the metadata key `tilewise`, canonical JSON.
//!
//! ```text
//! 8 bytes      length of the header
//! header       JSON by the safetensors format: names, types, shapes and offsets of tensors, and our metadata as a string
//! tensors      widest type first, then by name
//! ~checksum    the last tensor, 16 bytes: XXH3-128 of every byte before it
//! ```
//!
//! Canonical means: keys sorted at every depth, no spaces, shortest numbers that read back to the same bits; so equal
//! models are equal bytes. The checksum stands last so that one pass over the file can refuse any damage, in the header
//! or in the padding too, before a single byte is interpreted or anything is allocated. It guards against accidents, not
//! against people: whoever can write the file can also write its checksum. What is read is therefore checked again
//! (offsets against the file's length, shapes against what the model expects).

use crate::mapped::Mapped;
use crate::part::Number;
use crate::{Array, Error, Result, replace};
use safetensors::{Dtype, SafeTensors, View};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::{Deref, Range};
use std::path::Path;
use xxhash_rust::xxh3::xxh3_128;

/// The version of the layout and of the metadata that this code writes, and the last it reads.
pub const FORMAT: u64 = 1;

const KEY: &str = "tilewise";
/// Sorts behind every name that a tensor may have.
const CHECKSUM: &str = "~checksum";
const CHECKSUM_LEN: usize = 16;
/// Headers beyond this are refused by other readers of the format too.
const MAX_HEADER: u64 = 100_000_000;

struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for &Tensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// A model file in the making.
///
/// ```
/// use tilewise_base::model_file::{ModelFile, Writer};
/// let metadata = serde_json::json!({ "target": "y" });
/// let bytes = Writer::new("ridge", metadata).tensor_f64("weights", &[2], &[0.5, -0.1]).to_bytes()?;
/// let file = ModelFile::parse(&bytes)?;
/// assert_eq!(file.kind(), "ridge");
/// assert_eq!(file.metadata::<String>("target")?, "y");
/// assert_eq!(file.tensor_f64("weights", &[2])?, [0.5, -0.1]);
/// # Ok::<(), tilewise_base::Error>(())
/// ```
pub struct Writer {
    kind: String,
    metadata: Value,
    tensors: Vec<(String, Tensor)>,
}

impl Writer {
    /// A file for a model of `kind` (the family's name) with a JSON object of metadata. The keys `format` and `kind`
    /// are set by the writer.
    pub fn new(kind: &str, metadata: Value) -> Self {
        Self { kind: kind.to_owned(), metadata, tensors: Vec::new() }
    }

    /// Adds a row-major tensor of `f64`. Names consist of lower-case letters, digits and `_./-`.
    #[must_use]
    pub fn tensor_f64(self, name: &str, shape: &[usize], data: &[f64]) -> Self {
        self.tensor(name, Dtype::F64, shape, data.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// Adds a row-major tensor of `f32`.
    #[must_use]
    pub fn tensor_f32(self, name: &str, shape: &[usize], data: &[f32]) -> Self {
        self.tensor(name, Dtype::F32, shape, data.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// Adds a row-major tensor of `u32`.
    #[must_use]
    pub fn tensor_u32(self, name: &str, shape: &[usize], data: &[u32]) -> Self {
        self.tensor(name, Dtype::U32, shape, data.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// Adds a tensor of `u64`, a row for each of `records`: what [`ModelFile::records`] reads. They have a multiple of 8 bytes.
    #[must_use]
    pub fn records<T: Number>(self, name: &str, records: &[T]) -> Self {
        let shape = [records.len(), size_of::<T>() / size_of::<u64>()];
        self.tensor(name, Dtype::U64, &shape, T::lying(records).into_owned())
    }

    /// Adds a row-major tensor of `i8`.
    #[must_use]
    pub fn tensor_i8(self, name: &str, shape: &[usize], data: &[i8]) -> Self {
        self.tensor(name, Dtype::I8, shape, data.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// Adds a row-major tensor of `u8`.
    #[must_use]
    pub fn tensor_u8(self, name: &str, shape: &[usize], data: &[u8]) -> Self {
        self.tensor(name, Dtype::U8, shape, data.to_vec())
    }

    fn tensor(mut self, name: &str, dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> Self {
        self.tensors.push((name.to_owned(), Tensor { dtype, shape: shape.to_vec(), bytes }));
        self
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// When the metadata is not a JSON object, or a tensor's name is not allowed or used twice, or its shape is not that
    /// of its data.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let refuse =
            |what: String| Error::ModelFile { file: format!("a model of kind {:?}", self.kind), what };
        let Value::Object(mut metadata) = self.metadata.clone() else {
            return Err(refuse("the metadata is not a JSON object".into()));
        };
        metadata.insert("format".into(), FORMAT.into());
        metadata.insert("kind".into(), self.kind.as_str().into());
        let mut json = String::new();
        canonical(&Value::Object(metadata), &mut json);

        let mut names = std::collections::HashSet::new();
        for (name, _) in &self.tensors {
            let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"_./-".contains(&c);
            if name.is_empty() || !name.bytes().all(allowed) || !names.insert(name) {
                return Err(refuse(format!("{name:?} is not allowed as a tensor's name or used twice")));
            }
        }
        let checksum = Tensor { dtype: Dtype::U8, shape: vec![CHECKSUM_LEN], bytes: vec![0; CHECKSUM_LEN] };
        let tensors = self.tensors.iter().map(|(n, t)| (n.as_str(), t)).chain([(CHECKSUM, &checksum)]);
        let metadata = Some([(KEY.to_owned(), json)].into_iter().collect());
        let mut bytes = safetensors::serialize(tensors, metadata).map_err(|e| refuse(e.to_string()))?;
        let body = bytes.len() - CHECKSUM_LEN;
        let sum = xxh3_128(&bytes[..body]).to_le_bytes();
        bytes[body..].copy_from_slice(&sum);
        Ok(bytes)
    }

    /// Writes the file in one step: `path` holds either what it held before or the whole new file.
    ///
    /// # Errors
    /// As [`to_bytes`](Self::to_bytes), or when the system refuses.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        replace::write(path.as_ref(), &self.to_bytes()?)
    }
}

/// JSON with sorted keys and no spaces, whatever order the map keeps.
fn canonical(value: &Value, out: &mut String) {
    let between = |out: &mut String, i: usize| {
        if i > 0 {
            out.push(',');
        }
    };
    match value {
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                between(out, i);
                canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            out.push('{');
            for (i, (key, item)) in sorted.into_iter().enumerate() {
                between(out, i);
                *out += &Value::from(key.as_str()).to_string();
                out.push(':');
                canonical(item, out);
            }
            out.push('}');
        }
        simple => *out += &simple.to_string(),
    }
}

/// A model file that was read and found whole.
pub struct ModelFile<'a> {
    bytes: Bytes<'a>,
    file: String,
    kind: String,
    metadata: serde_json::Map<String, Value>,
    tensors: BTreeMap<String, (Dtype, Vec<usize>, Range<usize>)>,
}

/// Where a file is.
enum Bytes<'a> {
    Memory(Cow<'a, [u8]>),
    Mapped(Mapped),
}

impl Deref for Bytes<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Memory(bytes) => bytes,
            Self::Mapped(bytes) => bytes,
        }
    }
}

impl<'a> ModelFile<'a> {
    /// Reads a file's bytes without copying them.
    ///
    /// # Errors
    /// When they are not a model file, damaged in any bit, cut, or of a later version.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        Self::read(Bytes::Memory(Cow::Borrowed(bytes)), "the model".into())
    }

    /// Reads a file. Memory: the file once, and its header taken apart.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), or when the file cannot be read.
    pub fn load(path: impl AsRef<Path>) -> Result<ModelFile<'static>> {
        let path = path.as_ref();
        is_file(path)?;
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        ModelFile::read(Bytes::Memory(Cow::Owned(bytes)), path.display().to_string())
    }

    /// Maps a file: what [`array_f64`](Self::array_f64) and its like give lies where it is, in pages that all processes share which map
    /// the file. It is read once, to see that it is whole.
    ///
    /// # Errors
    /// As [`load`](Self::load), and when somebody may write to the file, or it belongs to neither this user nor root: what is mapped must
    /// not change. A new file that takes its name by `rename`, as [`Writer::save`] has it, is another one.
    pub fn map(path: impl AsRef<Path>) -> Result<ModelFile<'static>> {
        let path = path.as_ref();
        is_file(path)?;
        let bytes = Mapped::read_only(path).map_err(|e| Error::io(path, e))?;
        ModelFile::read(Bytes::Mapped(bytes), path.display().to_string())
    }

    /// Whether it is mapped.
    pub fn is_mapped(&self) -> bool {
        matches!(self.bytes, Bytes::Mapped(_))
    }

    fn read(bytes: Bytes<'a>, file: String) -> Result<Self> {
        let (kind, metadata, tensors) = match take_apart(&bytes) {
            Ok(parts) => parts,
            Err(what) => return Err(Error::ModelFile { file, what }),
        };
        Ok(Self { bytes, file, kind, metadata, tensors })
    }

    /// The family's name.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// An error about this file, for values that make no sense to a model.
    pub fn error(&self, what: impl Into<String>) -> Error {
        Error::ModelFile { file: self.file.clone(), what: what.into() }
    }

    /// The metadata under `key`.
    ///
    /// # Errors
    /// When there is none or it has another form; names the key.
    pub fn metadata<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        let value =
            self.metadata.get(key).ok_or_else(|| self.error(format!("the metadata has no {key:?}")))?;
        T::deserialize(value).map_err(|e| self.error(format!("the metadata's {key:?} is not valid: {e}")))
    }

    /// All metadata: a JSON object.
    pub fn all_metadata(&self) -> Value {
        Value::Object(self.metadata.clone())
    }

    /// The metadata under `key`, or `None` when there is none.
    ///
    /// # Errors
    /// When it has another form; names the key.
    pub fn optional<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        self.metadata.get(key).map(|_| self.metadata(key)).transpose()
    }

    /// The shape of a tensor, for models whose shape is not told by the metadata.
    ///
    /// # Errors
    /// When there is no such tensor.
    pub fn shape(&self, name: &str) -> Result<&[usize]> {
        match self.tensors.get(name) {
            Some((_, shape, _)) => Ok(shape),
            None => Err(self.error(format!("there is no tensor {name:?}"))),
        }
    }

    /// The names of all tensors, sorted.
    pub fn tensors(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor of `f64` of just this shape, row-major.
    ///
    /// # Errors
    /// When there is none, or its type or shape differ.
    pub fn tensor_f64(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>> {
        Ok(numbers(self.tensor(name, Dtype::F64, shape)?, f64::from_le_bytes))
    }

    /// A tensor of `f32` of just this shape, row-major.
    ///
    /// # Errors
    /// When there is none, or its type or shape differ.
    pub fn tensor_f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        Ok(numbers(self.tensor(name, Dtype::F32, shape)?, f32::from_le_bytes))
    }

    /// A tensor of `u32` of just this shape, row-major.
    ///
    /// # Errors
    /// When there is none, or its type or shape differ.
    pub fn tensor_u32(&self, name: &str, shape: &[usize]) -> Result<Vec<u32>> {
        Ok(numbers(self.tensor(name, Dtype::U32, shape)?, u32::from_le_bytes))
    }

    /// A tensor of `i8` of just this shape, row-major.
    ///
    /// # Errors
    /// When there is none, or its type or shape differ.
    pub fn tensor_i8(&self, name: &str, shape: &[usize]) -> Result<Vec<i8>> {
        Ok(numbers(self.tensor(name, Dtype::I8, shape)?, i8::from_le_bytes))
    }

    /// A tensor of `u8` of just this shape, row-major.
    ///
    /// # Errors
    /// When there is none, or its type or shape differ.
    pub fn tensor_u8(&self, name: &str, shape: &[usize]) -> Result<Vec<u8>> {
        Ok(self.tensor(name, Dtype::U8, shape)?.to_vec())
    }

    /// As [`tensor_f64`](Self::tensor_f64), where it lies in a file that is mapped.
    ///
    /// # Errors
    /// As there.
    pub fn array_f64(&self, name: &str, shape: &[usize]) -> Result<Array<f64>> {
        self.array(name, Dtype::F64, shape)
    }

    /// As [`tensor_u32`](Self::tensor_u32), where it lies in a file that is mapped.
    ///
    /// # Errors
    /// As there.
    pub fn array_u32(&self, name: &str, shape: &[usize]) -> Result<Array<u32>> {
        self.array(name, Dtype::U32, shape)
    }

    /// So many records, which [`Writer::records`] wrote, where they lie in a file that is mapped.
    ///
    /// # Errors
    /// When there is no such tensor, or its type or shape differ.
    pub fn records<T: Number>(&self, name: &str, count: usize) -> Result<Array<T>> {
        self.array(name, Dtype::U64, &[count, size_of::<T>() / size_of::<u64>()])
    }

    fn array<T: Number>(&self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<Array<T>> {
        let range = self.range(name, dtype, shape)?;
        let mapped = match &self.bytes {
            Bytes::Mapped(bytes) => bytes.part(range.clone()).and_then(Mapped::numbers),
            Bytes::Memory(_) => None,
        };
        Ok(match mapped {
            Some(numbers) => Array::shared(numbers),
            None => self.bytes[range].chunks_exact(size_of::<T>()).map(T::read).collect(),
        })
    }

    fn tensor(&self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<&[u8]> {
        self.range(name, dtype, shape).map(|range| &self.bytes[range])
    }

    fn range(&self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<Range<usize>> {
        self.shape(name)?;
        match self.tensors.get(name) {
            Some((d, s, range)) if *d == dtype && s == shape => Ok(range.clone()),
            Some((d, s, _)) => Err(self
                .error(format!("tensor {name:?} is {d:?} {s:?} where the model needs {dtype:?} {shape:?}"))),
            None => Err(self.error(format!("there is no tensor {name:?}"))),
        }
    }
}

/// A device or pipe may never end.
fn is_file(path: &Path) -> Result<()> {
    if std::fs::metadata(path).map_err(|e| Error::io(path, e))?.is_file() {
        return Ok(());
    }
    let what = "is not a regular file; a model file is expected".into();
    Err(Error::ModelFile { file: path.display().to_string(), what })
}

fn numbers<const N: usize, T>(bytes: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|b| number(*b)).collect()
}

type Parts = (String, serde_json::Map<String, Value>, BTreeMap<String, (Dtype, Vec<usize>, Range<usize>)>);

/// Checks and interprets a file; nothing is interpreted before the checksum is right.
fn take_apart(bytes: &[u8]) -> Result<Parts, String> {
    let Some((length, rest)) = bytes.split_first_chunk().filter(|(_, rest)| rest.len() > CHECKSUM_LEN) else {
        return Err(format!("is not a model file: it has only {} bytes", bytes.len()));
    };
    let header = u64::from_le_bytes(*length);
    if header > MAX_HEADER || header > (rest.len() - CHECKSUM_LEN) as u64 || rest[0] != b'{' {
        return Err(
            "is not a model file, or it was cut: a .safetensors file written by tilewise is expected".into(),
        );
    }
    let (body, sum) = bytes.split_at(bytes.len() - CHECKSUM_LEN);
    if xxh3_128(body).to_le_bytes() != sum {
        return Err(
            "its checksum is wrong: the file is damaged, was cut, or was not written by tilewise".into()
        );
    }
    let invalid = |e: safetensors::SafeTensorError| format!("is not a valid model file: {e}");
    let (_, header_info) = SafeTensors::read_metadata(bytes).map_err(invalid)?;
    let json = header_info.metadata().as_ref().and_then(|m| m.get(KEY));
    let json = json.ok_or_else(|| format!("is not a model file: its metadata has no key {KEY:?}"))?;
    let metadata: serde_json::Map<String, Value> =
        serde_json::from_str(json).map_err(|e| format!("its metadata is not valid: {e}"))?;
    match metadata.get("format").and_then(Value::as_u64) {
        Some(FORMAT) => {}
        Some(later) if later > FORMAT => {
            return Err(format!(
                "was written by a later version (format {later}); this one reads format {FORMAT}"
            ));
        }
        _ => return Err("its metadata does not tell a known format version".into()),
    }
    let kind =
        metadata.get("kind").and_then(Value::as_str).ok_or("its metadata does not tell the kind of model")?;
    let start = 8 + header as usize;
    let tensors = header_info
        .tensors()
        .into_iter()
        .filter(|(name, _)| name != CHECKSUM)
        .map(|(name, t)| {
            let range = start + t.data_offsets.0..start + t.data_offsets.1;
            (name, (t.dtype, t.shape.clone(), range))
        })
        .collect();
    Ok((kind.to_owned(), metadata, tensors))
}

#[cfg(test)]
mod tests;
