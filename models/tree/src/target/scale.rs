//! Numbers as integers: multiples of a power of two, from the middle of their range.

use crate::weights::{Weights, scale};
use tilewise_base::{Error, Result};

/// How numbers are made integers, so that with all weights their sum stays below 2^62. With W the sum of integer weights a
/// number is rounded to 2^-62 W of half of the range, 2^-45 for 100,000 rows without weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// What 0 stands for.
    base: f64,
    /// All numbers are nearer to the base than half of 2 to this.
    exponent: i32,
    /// Steps up to there, as a power of two.
    bits: i32,
    /// What 1 stands for, and what of it is left where gains are counted: in such units no square overflows.
    unit: f64,
    pub(super) relative_unit: f64,
}

impl Scale {
    /// That of the numbers of rows that have a weight, which are finite; from the middle of their range if `base` says nothing.
    pub(super) fn new(y: &[f64], weights: &Weights, base: Option<f64>) -> Self {
        let counted = || y.iter().enumerate().filter(|(row, _)| weights.get(*row) > 0).map(|(_, &y)| y);
        let (low, high) =
            (counted().fold(f64::INFINITY, f64::min), counted().fold(f64::NEG_INFINITY, f64::max));
        Self::of_range([low, high], weights.total, base)
    }

    /// That of numbers between these, of rows of such a weight together.
    pub(super) fn of_range([low, high]: [f64; 2], total: u64, base: Option<f64>) -> Self {
        let middle = if low == high { low } else { low / 2.0 + high / 2.0 };
        let base = base.unwrap_or(middle);
        let far = (high - base).max(base - low);
        let bits = 62 - (u64::BITS - total.leading_zeros()) as i32;
        // far < 2^(exponent - 1).
        let exponent = if far > 0.0 { far.log2().floor() as i32 + 2 } else { 0 };
        let (unit, relative_unit) = (scale(1.0, exponent - bits), scale(1.0, -bits));
        Self { base, exponent, bits, unit, relative_unit }
    }

    /// A number as an integer below 2^(bits - 1), up or down.
    pub(super) fn fixed(&self, y: f64) -> i64 {
        scale(y - self.base, self.bits - self.exponent).round() as i64
    }

    /// The number that a mean of integers stands for.
    pub(super) fn number(&self, mean: f64) -> f64 {
        // The largest numbers may have been rounded up beyond them.
        (self.base + mean * self.unit).clamp(f64::MIN, f64::MAX)
    }

    pub(super) fn exponent(&self) -> i32 {
        self.exponent
    }

    /// As `relative_unit`, where gains are counted in the units of another scale.
    pub(super) fn unit_in(&self, other: &Self) -> f64 {
        scale(self.relative_unit, self.exponent - other.exponent)
    }

    /// What a gain of 1 stands for, where gains are `power`s of numbers.
    pub(super) fn gain_unit(&self, power: i32) -> f64 {
        scale(1.0, power * self.exponent).clamp(f64::MIN_POSITIVE, f64::MAX)
    }
}

/// The first row for which `is` holds. A row without a weight may have any number.
pub(super) fn first_row(y: &[f64], weights: &Weights, is: impl Fn(f64) -> bool) -> Option<usize> {
    (0..y.len()).find(|&row| weights.get(row) > 0 && is(y[row]))
}

/// Refuses numbers that are not finite, of a column that errors call `name`.
pub(super) fn check_finite(name: impl Into<String>, y: &[f64], weights: &Weights) -> Result<()> {
    match first_row(y, weights, |y| !y.is_finite()) {
        Some(row) => Err(Error::cell(row, name, format!("{} is not a finite number", y[row]))),
        None => Ok(()),
    }
}
