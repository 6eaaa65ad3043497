//! Sums on their way between processes.

use crate::weights::MOST;
use tilewise_base::{Error, Result};
use tilewise_kernels::tree::{Cell, Packed, Pair};

/// Cells as numbers that are sent.
pub(super) trait Sent: Cell {
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
    const NUMBERS: usize = 1;
    fn send(self, to: &mut Vec<i64>) {
        to.push(self.0);
    }
    fn receive(from: &[i64]) -> Option<Self> {
        let sum = Self(*from.first()?);
        (0..=sum.hessian()).contains(&sum.gradient()).then_some(sum)
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

pub(super) fn send<C: Sent>(cells: &[C]) -> Vec<i64> {
    let mut numbers = Vec::with_capacity(cells.len() * C::NUMBERS);
    cells.iter().for_each(|cell| cell.send(&mut numbers));
    numbers
}

pub(super) fn receive<C: Sent>(numbers: &[i64]) -> Result<Vec<C>> {
    let cells: Option<Vec<C>> = numbers.chunks(C::NUMBERS).map(C::receive).collect();
    cells.ok_or_else(|| Error::Fit("a histogram that came holds what no sum of rows is".into()))
}
