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

/// Lists of numbers many of which are 0, as bytes: a bit for each that says whether it is not, then those that are not, in as many bytes as
/// they need. Of nodes with few rows nearly all bins are empty.
pub(crate) mod packed {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(numbers: &[i64], to: S) -> Result<S::Ok, S::Error> {
        let mut bits = vec![0_u8; numbers.len().div_ceil(8)];
        let mut others = Vec::new();
        for (place, &number) in numbers.iter().enumerate().filter(|(_, number)| **number != 0) {
            bits[place / 8] |= 1 << (place % 8);
            others.push(number);
        }
        (numbers.len() as u64, bits, others).serialize(to)
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Vec<i64>, D::Error> {
        let (length, bits, others): (u64, Vec<u8>, Vec<i64>) = Deserialize::deserialize(from)?;
        // Memory for no more than 8 numbers for each byte that came.
        if length.div_ceil(8) != bits.len() as u64 {
            return Err(D::Error::custom("a list of numbers has not as many bits as numbers"));
        }
        let mut others = others.into_iter();
        let mut numbers = Vec::with_capacity(length as usize);
        for place in 0..length as usize {
            let is_there = bits[place / 8] >> (place % 8) & 1 == 1;
            let number = if is_there { others.next() } else { Some(0) };
            numbers
                .push(number.ok_or_else(|| D::Error::custom("a list of numbers ends before its bits do"))?);
        }
        Ok(numbers)
    }
}
