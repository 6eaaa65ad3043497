//! The body of `POST /v2/models/{name}/infer`: an inference request of the Open Inference Protocol in JSON, with data in
//! it or, as the binary tensor extension has it, behind it.
//!
//! Inputs are either one tensor per column (shape `[n]` or `[n, 1]`) or a single tensor with a row per row (shape
//! `[n, inputs]`), flat or nested. The cells of a column are gathered first and brought into rows at the end, so memory
//! follows the data that came, never the shape that was claimed.

use crate::binary;
use crate::failure::{Failure, Result};
use crate::json::Reader;
use crate::served::{Accepts, Input, Served};
use std::time::Duration;

/// What a request held besides cells.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Tensors {
    pub(crate) rows: usize,
    /// Returned in the reply.
    pub(crate) id: Option<String>,
    /// Names of the wanted outputs in order; all when empty.
    pub(crate) outputs: Vec<Wanted>,
    /// Whether outputs that do not say otherwise are wanted in binary.
    pub(crate) binary: bool,
    /// Within what time the answer is wanted.
    pub(crate) timeout: Option<Duration>,
}

/// An output that is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) output: Output,
    /// Whether in binary, where the request says so.
    pub(crate) binary: Option<bool>,
}

impl Wanted {
    pub(crate) const fn plain(output: Output) -> Self {
        Self { output, binary: None }
    }
}

/// An output that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// The value, or the label of the most probable class.
    Prediction,
    /// A probability per class.
    Probabilities,
}

/// The datatypes that requests may name, with range and bytes of the integers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Datatype {
    Bytes,
    Bool,
    Integer { low: f64, high: f64, width: usize },
    Fp32,
    Fp64,
}

impl Datatype {
    fn parse(name: &str) -> Result<Self> {
        let integer = |bits: i32, signed: bool| {
            let (low, high) = if signed { (-(2_f64.powi(bits - 1)), bits - 1) } else { (0.0, bits) };
            // Rounded to doubles the greatest 64-bit integers are 2^63 and 2^64.
            let high = 2_f64.powi(high) - f64::from(u8::from(bits < 64));
            Self::Integer { low, high, width: bits as usize / 8 }
        };
        Ok(match name {
            "BYTES" => Self::Bytes,
            "BOOL" => Self::Bool,
            "FP32" => Self::Fp32,
            "FP64" => Self::Fp64,
            "INT8" => integer(8, true),
            "INT16" => integer(16, true),
            "INT32" => integer(32, true),
            "INT64" => integer(64, true),
            "UINT8" => integer(8, false),
            "UINT16" => integer(16, false),
            "UINT32" => integer(32, false),
            "UINT64" => integer(64, false),
            _ => {
                return Err(Failure::bad(format!(
                    "datatype {name:?} is not accepted; BOOL, INT8 to INT64, UINT8 to UINT64, FP32, FP64 and BYTES are"
                )));
            }
        })
    }

    /// Bytes of an element in binary; none where they differ.
    pub(crate) fn width(self) -> Option<usize> {
        match self {
            Self::Bytes => None,
            Self::Bool => Some(1),
            Self::Integer { width, .. } => Some(width),
            Self::Fp32 => Some(4),
            Self::Fp64 => Some(8),
        }
    }

    /// The next element as a cell of `input`.
    #[inline]
    fn element(self, reader: &mut Reader<'_>, input: &Input) -> Result<f64> {
        let mismatch = |expected: &str, reader: &mut Reader<'_>| {
            let mut e = reader.refuse(expected);
            e.message = format!("input {:?}: {}", input.name, e.message);
            e
        };
        match (self, reader.peek()) {
            (_, Some(b'n')) if reader.take_text(b"null") => Ok(f64::NAN),
            (Self::Bytes, Some(b'"')) => input.category(&reader.string()?),
            (Self::Bytes, _) => Err(mismatch("a string", reader)),
            (Self::Bool, _) => match reader.literal() {
                Some(Some(x)) => input.boolean(x),
                _ if matches!(reader.peek(), Some(b'0' | b'1')) => {
                    let x = reader.number()?;
                    if x == 0.0 || x == 1.0 {
                        input.boolean(x == 1.0)
                    } else {
                        Err(input.mistyped("a number"))
                    }
                }
                _ => Err(mismatch("true or false", reader)),
            },
            (_, Some(b'-' | b'0'..=b'9')) => {
                let x = reader.number()?;
                match self {
                    Self::Integer { low, high, .. } if x.fract() != 0.0 || x < low || x > high => {
                        Err(Failure::bad(format!(
                            "input {:?}: {x} is not an integer of its datatype",
                            input.name
                        )))
                    }
                    // The client's value is a 32-bit number of which the text is a short form.
                    Self::Fp32 => match x as f32 {
                        x if x.is_finite() => input.number(f64::from(x)),
                        _ => Err(Failure::bad(format!(
                            "input {:?}: {x} is outside the range of FP32",
                            input.name
                        ))),
                    },
                    _ => input.number(x),
                }
            }
            _ => Err(mismatch("a number", reader)),
        }
    }
}

/// The data of one tensor: cells from `start` of the gathered ones.
struct Tensor {
    name: String,
    shape: Vec<usize>,
    /// Position of the column it is for; none for a tensor of whole rows.
    column: Option<usize>,
    start: usize,
}

/// Reads `body`, of which the first `json` bytes are JSON, all where there is none, into `cells`, row-major; `gathered` is
/// scratch.
pub(crate) fn read(
    body: &[u8],
    json: Option<usize>,
    served: &Served,
    cells: &mut Vec<f64>,
    gathered: &mut Vec<f64>,
) -> Result<Tensors> {
    gathered.clear();
    let (text, mut rest) = body.split_at_checked(json.unwrap_or(body.len())).ok_or_else(|| {
        let message =
            format!("Inference-Header-Content-Length is more than the {} bytes of the body", body.len());
        Failure::bad(message)
    })?;
    let mut reader = Reader::new(text)?;
    let mut request = Tensors::default();
    let mut tensors: Option<Vec<Tensor>> = None;
    let mut seen = Keys::default();
    reader.object(|reader, key| {
        seen.once(key, &["id", "parameters", "inputs", "outputs"], "the request")?;
        match key {
            "id" => request.id = Some(reader.string()?.into_owned()),
            "inputs" => {
                let mut list = Vec::new();
                reader.array(|reader| {
                    list.push(tensor(reader, &mut rest, served, gathered)?);
                    Ok(())
                })?;
                tensors = Some(list);
            }
            "outputs" => reader.array(|reader| {
                let output = output(reader, served)?;
                if request.outputs.iter().any(|other| other.output == output.output) {
                    return Err(Failure::bad("an output is asked for twice"));
                }
                request.outputs.push(output);
                Ok(())
            })?,
            _ => parameters(reader, &mut request)?,
        }
        Ok(())
    })?;
    reader.end()?;
    if !rest.is_empty() {
        let message = format!("{} bytes behind the JSON belong to no input (binary_data_size)", rest.len());
        return Err(Failure::bad(message));
    }
    let tensors = tensors.ok_or_else(|| Failure::bad("the request has no \"inputs\""))?;
    request.rows = to_rows(&tensors, served, cells, gathered)?;
    Ok(request)
}

/// Which keys of an object were seen.
#[derive(Default)]
struct Keys(u32);

impl Keys {
    fn once(&mut self, key: &str, known: &[&str], place: &str) -> Result<()> {
        let Some(i) = known.iter().position(|k| *k == key) else {
            return Err(Failure::bad(format!(
                "key {key:?} is not known in {place}; known are {}",
                known.join(", ")
            )));
        };
        if self.0 & (1 << i) != 0 {
            return Err(Failure::bad(format!("key {key:?} is given twice in {place}")));
        }
        self.0 |= 1 << i;
        Ok(())
    }
}

/// The parameters of the request: whether outputs are wanted in binary, and the timeout in microseconds, as Triton's
/// schedule policy extension has it, with 0 for none.
fn parameters(reader: &mut Reader<'_>, request: &mut Tensors) -> Result<()> {
    let start = reader.position();
    request.binary = flag(reader, "binary_data_output")?.unwrap_or(false);
    let micros = parameter(&mut reader.at(start), "timeout", size)?.filter(|&micros| micros > 0);
    request.timeout = micros.map(|micros| Duration::from_micros(micros as u64));
    Ok(())
}

/// The parameter that comes next, an object or anything else, which has none: reads what is called `name`.
fn parameter<T>(
    reader: &mut Reader<'_>,
    name: &str,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let mut found = None;
    if reader.peek() != Some(b'{') {
        reader.skip()?;
        return Ok(None);
    }
    reader.object(|reader, key| {
        if key != name {
            return reader.skip();
        }
        if found.is_some() {
            return Err(reader.error(format_args!("parameter {name:?} is given twice")));
        }
        found = Some(read(reader)?);
        Ok(())
    })?;
    Ok(found)
}

/// A parameter that is true or false.
fn flag(reader: &mut Reader<'_>, name: &str) -> Result<Option<bool>> {
    parameter(reader, name, |reader| match reader.literal() {
        Some(Some(flag)) => Ok(flag),
        _ => Err(reader.refuse("true or false")),
    })
}

fn output(reader: &mut Reader<'_>, served: &Served) -> Result<Wanted> {
    let (mut found, mut binary) = (None, None);
    let mut seen = Keys::default();
    reader.object(|reader, key| {
        seen.once(key, &["name", "parameters"], "an output")?;
        if key != "name" {
            binary = flag(reader, "binary_data")?;
            return Ok(());
        }
        let name = reader.string()?;
        found = Some(match &*name {
            "prediction" => Output::Prediction,
            "probabilities" if !served.classes.is_empty() => Output::Probabilities,
            _ => {
                let known =
                    if served.classes.is_empty() { "prediction" } else { "prediction, probabilities" };
                return Err(Failure::bad(format!("output {name:?} is not one of the model's: {known}")));
            }
        });
        Ok(())
    })?;
    let output = found.ok_or_else(|| Failure::bad("an output has no \"name\""))?;
    Ok(Wanted { output, binary })
}

/// One tensor. Its keys may come in any order: data that comes before name, shape and datatype are known is stepped
/// over and read afterwards.
fn tensor(
    reader: &mut Reader<'_>,
    rest: &mut &[u8],
    served: &Served,
    gathered: &mut Vec<f64>,
) -> Result<Tensor> {
    let (mut name, mut shape, mut datatype) = (None, None::<Vec<usize>>, None);
    let (mut data_at, mut binary_size) = (None, None);
    let mut seen = Keys::default();
    let mut done = None;
    reader.object(|reader, key| {
        seen.once(key, &["name", "shape", "datatype", "parameters", "data"], "an input")?;
        match key {
            "name" => name = Some(reader.string()?.into_owned()),
            "shape" => {
                let mut sizes = Vec::new();
                reader.array(|reader| {
                    sizes.push(size(reader)?);
                    if sizes.len() > 2 { Err(reader.error("a shape has one or two sizes")) } else { Ok(()) }
                })?;
                shape = Some(sizes);
            }
            "datatype" => datatype = Some(Datatype::parse(&reader.string()?)?),
            "data" => match (&name, &shape, datatype) {
                (Some(name), Some(shape), Some(datatype)) => {
                    done = Some(data(reader, served, name, shape, datatype, gathered)?);
                }
                _ => {
                    data_at = Some(reader.position());
                    reader.skip()?;
                }
            },
            _ => binary_size = parameter(reader, "binary_data_size", size)?,
        }
        Ok(())
    })?;
    let lacks = |key: &str| Failure::bad(format!("input {:?} has no {key:?}", name.as_deref().unwrap_or("")));
    let name = name.clone().ok_or_else(|| lacks("name"))?;
    let shape = shape.ok_or_else(|| lacks("shape"))?;
    let datatype = datatype.ok_or_else(|| lacks("datatype"))?;
    let has_data = done.is_some() || data_at.is_some();
    let (column, start) = match (done, data_at) {
        _ if binary_size.is_some() && has_data => {
            let message =
                format!("input {name:?} has data both in the JSON and behind it (binary_data_size)");
            return Err(Failure::bad(message));
        }
        (Some(done), _) => done,
        (None, Some(at)) => data(&mut reader.at(at), served, &name, &shape, datatype, gathered)?,
        (None, None) => {
            let Some(size) = binary_size else { return Err(lacks("data or binary_data_size")) };
            let Some((bytes, behind)) = rest.split_at_checked(size) else {
                let message = format!(
                    "input {name:?}: binary_data_size is {size}, but {} bytes are left behind the JSON",
                    rest.len()
                );
                return Err(Failure::bad(message));
            };
            *rest = behind;
            let place = place(served, &name, &shape, datatype)?;
            let inputs = place.column.map_or(&served.inputs[..], |i| &served.inputs[i..=i]);
            let start = gathered.len();
            binary::read(bytes, datatype, &name, place.count, inputs, gathered)?;
            (place.column, start)
        }
    };
    Ok(Tensor { name, shape, column, start })
}

/// A size of a shape.
fn size(reader: &mut Reader<'_>) -> Result<usize> {
    let x = reader.number()?;
    // Up to 2^53 every integer is exact; more elements than that fit no body.
    if x.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&x) {
        Ok(x as usize)
    } else {
        Err(reader.error("a size is an integer from 0"))
    }
}

/// What a tensor fills.
struct Place {
    /// None for whole rows.
    column: Option<usize>,
    rows: usize,
    /// Elements of a row.
    across: usize,
    count: usize,
}

/// Where a tensor of this name, shape and datatype belongs.
fn place(served: &Served, name: &str, shape: &[usize], datatype: Datatype) -> Result<Place> {
    let width = served.inputs.len();
    let column = served.position(name);
    let (rows, across) = match (shape, column) {
        ([n], Some(_)) => (*n, 1),
        ([n, k], Some(_)) if *k == 1 => (*n, *k),
        ([n, k], None) if *k == width => (*n, *k),
        ([_], None) | ([_, _], None) if served.inputs.len() > 1 && shape.get(1).is_none_or(|k| *k == 1) => {
            return Err(Failure::bad(format!("input {name:?} is not one of the model's columns")));
        }
        _ => {
            return Err(Failure::bad(format!(
                "input {name:?} has shape {shape:?}; accepted are [n] or [n, 1] for a column and [n, {width}] for rows"
            )));
        }
    };
    let count =
        rows.checked_mul(across).ok_or_else(|| Failure::bad("the shape is larger than any request"))?;
    check_datatype(datatype, name, column, served)?;
    Ok(Place { column, rows, across, count })
}

/// The data of a tensor, flat or nested as its shape says; returns its column and where its cells start.
fn data(
    reader: &mut Reader<'_>,
    served: &Served,
    name: &str,
    shape: &[usize],
    datatype: Datatype,
    gathered: &mut Vec<f64>,
) -> Result<(Option<usize>, usize)> {
    let width = served.inputs.len();
    let start = gathered.len();
    let Place { column, rows, across, count } = place(served, name, shape, datatype)?;
    let input_of = |i: usize| &served.inputs[column.unwrap_or(i % width)];
    let wrong = |found: &str| {
        Failure::bad(format!(
            "input {name:?} has shape {shape:?}, {count} elements, but its data has {found}"
        ))
    };
    let mut element = |reader: &mut Reader<'_>| {
        let i = gathered.len() - start;
        if i >= count {
            return Err(wrong("more"));
        }
        let cell = datatype.element(reader, input_of(i)).map_err(|mut e| {
            e.message = format!("row {}: {}", i / across + 1, e.message);
            e
        })?;
        gathered.push(cell);
        Ok(())
    };
    if reader.peek() != Some(b'[') {
        return Err(reader.refuse("the array of data"));
    }
    let mut nested = reader.at(reader.position());
    nested.take(b'[');
    let is_nested = shape.len() == 2 && nested.peek() == Some(b'[');
    let mut lists = 0;
    if is_nested {
        reader.array(|reader| {
            let mut length = 0;
            reader.array(|reader| {
                length += 1;
                element(reader)
            })?;
            lists += 1;
            if length == across {
                Ok(())
            } else {
                Err(wrong(&format!("a list of {length} where {across} are needed")))
            }
        })?;
    } else {
        reader.array(element)?;
    }
    let found = gathered.len() - start;
    if found != count || is_nested && lists != rows {
        return Err(wrong(&found.to_string()));
    }
    Ok((column, start))
}

/// A datatype must fit the kind of each column that the tensor fills.
fn check_datatype(datatype: Datatype, name: &str, column: Option<usize>, served: &Served) -> Result<()> {
    let inputs = column.map_or(&served.inputs[..], |i| &served.inputs[i..=i]);
    for input in inputs {
        let (fits, accepted) = match input.accepts {
            Accepts::Category(..) => (datatype == Datatype::Bytes, "BYTES"),
            Accepts::Boolean => (datatype != Datatype::Bytes, "BOOL (or a number that is 0 or 1)"),
            Accepts::Number => {
                (!matches!(datatype, Datatype::Bytes | Datatype::Bool), "FP64, FP32 or an integer datatype")
            }
        };
        if !fits {
            let which =
                if column.is_some() { String::new() } else { format!(" with column {:?}", input.name) };
            return Err(Failure::bad(format!("input {name:?}{which}: accepted is datatype {accepted}")));
        }
    }
    Ok(())
}

/// Brings the gathered cells into rows; returns their number.
fn to_rows(
    tensors: &[Tensor],
    served: &Served,
    cells: &mut Vec<f64>,
    gathered: &mut Vec<f64>,
) -> Result<usize> {
    let width = served.inputs.len();
    let Some(first) = tensors.first() else {
        return Err(Failure::bad("the request has no inputs"));
    };
    let rows = first.shape[0];
    if first.column.is_none() {
        if let Some(second) = tensors.get(1) {
            return Err(Failure::bad(format!("input {:?} comes beside a tensor of whole rows", second.name)));
        }
        std::mem::swap(cells, gathered);
        return Ok(rows);
    }
    let mut starts = vec![None; width];
    for tensor in tensors {
        let Some(column) = tensor.column else {
            return Err(Failure::bad(format!("input {:?} is not one of the model's columns", tensor.name)));
        };
        if starts[column].replace(tensor.start).is_some() {
            return Err(Failure::bad(format!("input {:?} is given twice", tensor.name)));
        }
        if tensor.shape[0] != rows {
            let (name, n) = (&tensor.name, tensor.shape[0]);
            return Err(Failure::bad(format!(
                "input {name:?} has {n} rows where {:?} has {rows}",
                first.name
            )));
        }
    }
    if let Some(missing) = starts.iter().position(Option::is_none) {
        return Err(Failure::bad(format!("input {:?} is not given", served.inputs[missing].name)));
    }
    cells.clear();
    cells.resize(rows * width, 0.0);
    for (column, start) in starts.into_iter().flatten().enumerate() {
        for (row, &x) in gathered[start..start + rows].iter().enumerate() {
            cells[row * width + column] = x;
        }
    }
    Ok(rows)
}
