//! How much memory the messages of a file take, before any of them is made.
//!
//! A message without fields is two bytes of a file and more than a hundred of memory, so the lengths of a file tell nothing. Its parts are
//! walked through once, by the same table of fields that [`super`] decodes; that goes seven messages deep, however deep the file is.

use super::{
    Attribute, Dimension, Graph, Model, Node, OperatorSetId, Shape, StringStringEntry, Tensor, TensorType,
    Type, ValueInfo, damaged,
};
use crate::{Error, Result};
use prost::encoding::{WireType, decode_key, decode_varint};

/// Bytes of memory for each of the file: numbers are as many in both, and whole ones in a list eight times as many.
const TIMES: usize = 4;

/// Bytes of memory that every file may take: some thousands of nodes, of which each takes a few hundred.
const AT_LEAST: usize = 1 << 20;

/// What a field that has a length holds.
#[derive(Clone, Copy)]
enum Held {
    /// A text or bytes.
    Text,
    /// Whole numbers, which take eight bytes each.
    Whole,
    /// A message.
    Message(&'static Message),
}

/// A message: its size in memory, and those of its fields that have a length and are read.
struct Message {
    size: usize,
    fields: &'static [(u32, Held)],
}

const fn message<T>(fields: &'static [(u32, Held)]) -> Message {
    Message { size: size_of::<T>(), fields }
}

use Held::{Message as Inner, Text, Whole};

static MODEL: Message = message::<Model>(&[
    (2, Text),
    (3, Text),
    (7, Inner(&GRAPH)),
    (8, Inner(&OPERATORS)),
    (14, Inner(&ENTRY)),
]);
static OPERATORS: Message = message::<OperatorSetId>(&[(1, Text)]);
static ENTRY: Message = message::<StringStringEntry>(&[(1, Text), (2, Text)]);
static GRAPH: Message = message::<Graph>(&[
    (1, Inner(&NODE)),
    (2, Text),
    (5, Inner(&TENSOR)),
    (11, Inner(&VALUE)),
    (12, Inner(&VALUE)),
]);
static NODE: Message =
    message::<Node>(&[(1, Text), (2, Text), (3, Text), (4, Text), (5, Inner(&ATTRIBUTE)), (7, Text)]);
static ATTRIBUTE: Message =
    message::<Attribute>(&[(1, Text), (4, Text), (5, Inner(&TENSOR)), (8, Whole), (9, Text)]);
static TENSOR: Message = message::<Tensor>(&[(1, Whole), (7, Whole), (8, Text)]);
static VALUE: Message = message::<ValueInfo>(&[(1, Text), (2, Inner(&TYPE))]);
static TYPE: Message = message::<Type>(&[(1, Inner(&TENSOR_TYPE))]);
static TENSOR_TYPE: Message = message::<TensorType>(&[(2, Inner(&SHAPE))]);
static SHAPE: Message = message::<Shape>(&[(1, Inner(&DIMENSION))]);
static DIMENSION: Message = message::<Dimension>(&[(2, Text)]);

/// Goes through a file. O(bytes), without memory.
///
/// # Errors
/// When its messages would take more than four times its bytes and 1 MiB, or it is damaged.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    let most = bytes.len().saturating_mul(TIMES).saturating_add(AT_LEAST);
    let needed = needed(&MODEL, bytes)?;
    if needed > most {
        return Err(Error::Fit(format!(
            "has {} bytes whose parts would take {needed} of memory; up to {most} are accepted",
            bytes.len()
        )));
    }
    Ok(())
}

/// Bytes that `message` takes with all that is inside of it. Lists grow by doubling, so that up to three times as many are held meanwhile.
fn needed(message: &Message, mut bytes: &[u8]) -> Result<usize> {
    let mut all = message.size;
    while !bytes.is_empty() {
        let (field, kind) = decode_key(&mut bytes).map_err(damaged)?;
        let length = match kind {
            WireType::Varint => {
                decode_varint(&mut bytes).map_err(damaged)?;
                all += size_of::<u64>();
                continue;
            }
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::LengthDelimited => decode_varint(&mut bytes).map_err(damaged)?,
            WireType::StartGroup | WireType::EndGroup => return Err(damaged("a group, which no field is")),
        };
        let inside = usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length));
        let Some((inside, rest)) = inside else { return Err(damaged("a field goes on behind its end")) };
        bytes = rest;
        let held = message.fields.iter().find(|(number, _)| *number == field).map(|(_, held)| *held);
        all += match held {
            Some(Text) => size_of::<String>() + inside.len(),
            // The last byte of each has no high bit.
            Some(Whole) => inside.iter().filter(|byte| **byte < 128).count() * size_of::<u64>(),
            Some(Inner(message)) => needed(message, inside)?,
            // Numbers and bytes of tensors, or nothing that is read.
            None => inside.len(),
        };
    }
    Ok(all)
}
