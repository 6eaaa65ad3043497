//! Sums on their way between processes.

use crate::weights::MOST;
use tilewise_base::{Error, Result};
use tilewise_kernels::tree::{Cell, Packed, Pair};

/// Cells as numbers that are sent.
pub(crate) trait Sent: Cell {
    const NUMBERS: usize;
    fn send(self, to: &mut Vec<i64>);
    /// `None` where the numbers are none of a cell.
    fn receive(from: &[i64]) -> Option<Self>;
}

impl Sent for u32 {
    const NUMBERS: usize = 1;
    fn send(self, to: &mut Vec<i64>) {
        to.push(self.into());
    }
    fn receive(from: &[i64]) -> Option<Self> {
        from.first().filter(|sum| is_weight(**sum)).map(|sum| *sum as u32)
    }
}

/// Whether it is a sum of weights.
fn is_weight(sum: i64) -> bool {
    (0..=MOST as i64).contains(&sum)
}

impl Sent for Packed {
    const NUMBERS: usize = 2;
    fn send(self, to: &mut Vec<i64>) {
        to.extend([self.gradient(), self.hessian()].map(i64::from));
    }
    fn receive(from: &[i64]) -> Option<Self> {
        let [gradient, hessian] = *<&[i64; 2]>::try_from(from).ok()?;
        (is_weight(gradient.wrapping_abs()) && is_weight(hessian))
            .then(|| Self::new(gradient as i32, hessian as i32))
    }
}

impl Sent for Pair {
    const NUMBERS: usize = 2;
    fn send(self, to: &mut Vec<i64>) {
        to.extend([self.gradient, self.hessian]);
    }
    fn receive(from: &[i64]) -> Option<Self> {
        let hessian = *from.get(1).filter(|sum| is_weight(**sum))?;
        Some(Self { gradient: *from.first()?, hessian })
    }
}

pub(crate) fn send<C: Sent>(cells: &[C]) -> Vec<i64> {
    let mut numbers = Vec::with_capacity(cells.len() * C::NUMBERS);
    cells.iter().for_each(|cell| cell.send(&mut numbers));
    numbers
}

pub(crate) fn receive<C: Sent>(numbers: &[i64]) -> Result<Vec<C>> {
    let cells: Option<Vec<C>> = numbers.chunks(C::NUMBERS).map(C::receive).collect();
    cells.ok_or_else(|| Error::Fit("a histogram that came holds what no sum of rows is".into()))
}

/// Lists of numbers many of which are 0, as bytes: how many, a bit for each that says whether it is not 0, then those that are not, in as
/// many bytes as they need. Of nodes with few rows nearly all bins are empty. Written here and not number by number by the format, which
/// took most of the time of a chunk.
pub(crate) mod packed {
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};
    use std::fmt;

    pub(crate) fn serialize<S: Serializer>(numbers: &[i64], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&write(numbers))
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Vec<i64>, D::Error> {
        from.deserialize_bytes(Bytes)
    }

    struct Bytes;

    impl Visitor<'_> for Bytes {
        type Value = Vec<i64>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of numbers as bytes")
        }
        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<i64>, E> {
            read(bytes).ok_or_else(|| E::custom("a list of numbers is cut off"))
        }
    }

    pub(super) fn write(numbers: &[i64]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(10 + numbers.len() / 8 + numbers.len());
        put(numbers.len() as u64, &mut bytes);
        let first = bytes.len();
        bytes.resize(first + numbers.len().div_ceil(8), 0);
        for (place, &number) in numbers.iter().enumerate() {
            if number != 0 {
                bytes[first + place / 8] |= 1 << (place % 8);
                // Small sizes are small numbers, whatever the sign.
                put(((number << 1) ^ (number >> 63)) as u64, &mut bytes);
            }
        }
        bytes
    }

    /// Seven bits a byte, the lowest first; all but the last have the eighth.
    fn put(mut number: u64, bytes: &mut Vec<u8>) {
        while number >= 1 << 7 {
            bytes.push(number as u8 | 1 << 7);
            number >>= 7;
        }
        bytes.push(number as u8);
    }

    fn next(bytes: &mut &[u8]) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = bytes.split_first()?;
            *bytes = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 1 << 7 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn read(mut bytes: &[u8]) -> Option<Vec<i64>> {
        let length = usize::try_from(next(&mut bytes)?).ok()?;
        // Memory for no more than 8 numbers for each byte that came.
        let (bits, mut others) = bytes.split_at_checked(length.div_ceil(8))?;
        let mut numbers = vec![0; length];
        for (place, number) in numbers.iter_mut().enumerate() {
            if bits[place / 8] >> (place % 8) & 1 == 1 {
                let folded = next(&mut others)?;
                *number = (folded >> 1) as i64 ^ -((folded & 1) as i64);
            }
        }
        Some(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::packed::{read, write};

    #[test]
    fn numbers_come_back_from_bytes() {
        let mut numbers: Vec<i64> =
            (0..300).map(|i| if i % 3 == 0 { 0 } else { (i * 7919 % 10_007 - 5000) * 37 }).collect();
        numbers.extend([i64::MIN, i64::MAX, -1, 1, 0]);
        let bytes = write(&numbers);
        assert_eq!(read(&bytes), Some(numbers));
        assert!((0..bytes.len()).all(|end| read(&bytes[..end]).is_none()));
        assert_eq!(read(&write(&[])), Some(Vec::new()));
        // Nothing but zeros takes a bit each; more numbers than bits are none.
        assert_eq!(write(&[0; 800]).len(), 102);
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0]), None);
    }
}
