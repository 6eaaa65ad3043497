//! Data of tensors in the binary tensor extension of the Open Inference Protocol: elements one after another behind the
//! JSON text, little-endian, row-major; BYTES elements are a 32-bit length and that many bytes.

use crate::failure::{Failure, Result};
use crate::served::{Accepts, Input};
use crate::tensors::Datatype;

/// Reads the `count` elements of a tensor, element i for `inputs[i % inputs.len()]`, behind what `out` holds. NaN is a missing value;
/// infinities are refused, as in JSON. Memory follows the bytes that came, never `count`.
pub(crate) fn read(
    bytes: &[u8],
    datatype: Datatype,
    name: &str,
    count: usize,
    inputs: &[Input],
    out: &mut Vec<f64>,
) -> Result<()> {
    let wrong = |what: String| Failure::bad(format!("input {name:?}: {what}"));
    if let Some(width) = datatype.width() {
        let expected = count.checked_mul(width);
        if expected != Some(bytes.len()) {
            let found = bytes.len();
            return Err(wrong(format!(
                "{count} elements of {width} bytes where its binary_data_size is {found}"
            )));
        }
    }
    let start = out.len();
    let plain = inputs.iter().all(|input| matches!(input.accepts, Accepts::Number));
    match datatype {
        Datatype::Fp64 => out.extend(bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b))),
        Datatype::Fp32 => out.extend(bytes.as_chunks().0.iter().map(|&b| f64::from(f32::from_le_bytes(b)))),
        Datatype::Integer { low, width, .. } => {
            out.extend(bytes.chunks_exact(width).map(|b| integer(b, low < 0.0)))
        }
        Datatype::Bool => {
            if let Some(i) = bytes.iter().position(|&b| b > 1) {
                return Err(wrong(format!("element {}: a BOOL is a byte that is 0 or 1", i + 1)));
            }
            out.extend(bytes.iter().map(|&b| f64::from(b)));
        }
        Datatype::Bytes => return texts(bytes, name, count, inputs, out),
    }
    let cells = &out[start..];
    // Both passes are over plain memory: whoever is in a hurry sends doubles for columns of numbers.
    if cells.iter().any(|x| x.is_infinite()) || !plain {
        for (i, &x) in cells.iter().enumerate() {
            if x.is_infinite() {
                return Err(wrong(format!(
                    "element {}: infinity is not accepted; a missing value is NaN",
                    i + 1
                )));
            }
            if !x.is_nan() {
                let input = &inputs[i % inputs.len()];
                input.number(x).map_err(|e| wrong(format!("element {}: {}", i + 1, e.message)))?;
            }
        }
    }
    Ok(())
}

/// An integer of 1, 2, 4 or 8 bytes as the nearest double.
fn integer(bytes: &[u8], signed: bool) -> f64 {
    let negative = signed && bytes.last().is_some_and(|b| b & 0x80 != 0);
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    if signed { i64::from_le_bytes(wide) as f64 } else { u64::from_le_bytes(wide) as f64 }
}

fn texts(bytes: &[u8], name: &str, count: usize, inputs: &[Input], out: &mut Vec<f64>) -> Result<()> {
    let wrong = |i: usize, what: &str| Failure::bad(format!("input {name:?}: element {}: {what}", i + 1));
    let mut rest = bytes;
    for i in 0..count {
        let Some((length, after)) = rest.split_first_chunk() else {
            return Err(wrong(i, "its data ends where a length should be"));
        };
        let length = u32::from_le_bytes(*length) as usize;
        let Some((text, after)) = after.split_at_checked(length) else {
            return Err(wrong(i, &format!("{length} bytes are announced, {} are left", after.len())));
        };
        let text = std::str::from_utf8(text).map_err(|_| wrong(i, "it is not UTF-8 text"))?;
        let cell = inputs[i % inputs.len()].category(text).map_err(|e| wrong(i, &e.message))?;
        out.push(cell);
        rest = after;
    }
    if rest.is_empty() {
        return Ok(());
    }
    Err(Failure::bad(format!("input {name:?}: {} bytes are left behind its last element", rest.len())))
}

#[cfg(test)]
mod tests {
    use super::integer;

    #[test]
    fn integers_of_every_width() {
        assert_eq!(integer(&(-3_i8).to_le_bytes(), true), -3.0);
        assert_eq!(integer(&[253], false), 253.0);
        assert_eq!(integer(&i16::MIN.to_le_bytes(), true), -32768.0);
        assert_eq!(integer(&u32::MAX.to_le_bytes(), false), 4_294_967_295.0);
        assert_eq!(integer(&i64::MIN.to_le_bytes(), true), -(2_f64.powi(63)));
        assert_eq!(integer(&u64::MAX.to_le_bytes(), false), 2_f64.powi(64));
    }
}
