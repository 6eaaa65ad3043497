//! Weighted mean and standard deviation of a column with missing cells.

use crate::{Column, Error, Result};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tilewise_kernels::parallel;

/// Rows summed one after another before the fixed tree takes over.
const CHUNK: usize = 4096;

/// A column whose standard deviation is below this multiple of its largest magnitude is constant up to the rounding of
/// its own values (each is known to 2^-53 of itself); scaling it up would turn that rounding into a feature.
const CONSTANT: f64 = 8.0 * f64::EPSILON;

pub(super) struct Moments {
    /// Weighted mean of the cells that are there; 0 when there are none.
    pub(super) mean: f64,
    /// Population standard deviation, missing cells counted as the mean; 1 for constant columns.
    pub(super) scale: f64,
    /// Cells that are there and have weight.
    pub(super) seen: u64,
}

/// Sums over some rows.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Sums {
    /// Weight of all rows and of those with a value.
    all: f64,
    present: f64,
    /// Weighted sum of the values, or of what is made of them in the second pass.
    sum: f64,
    squares: f64,
    /// Largest magnitude and number of values.
    largest: f64,
    seen: u64,
}

impl Sums {
    pub(super) fn merge(self, other: Self) -> Self {
        Self {
            all: self.all + other.all,
            present: self.present + other.present,
            sum: self.sum + other.sum,
            squares: self.squares + other.squares,
            largest: self.largest.max(other.largest),
            seen: self.seen + other.seen,
        }
    }

    /// Of so many rows whose values nobody sums: how often they count.
    pub(super) fn counted(rows: usize, weights: Option<&[f64]>) -> Self {
        let Some(weights) = weights else {
            return Self { all: rows as f64, present: rows as f64, seen: rows as u64, ..Self::default() };
        };
        let all = tilewise_kernels::sum(weights);
        let seen = weights.iter().filter(|weight| **weight > 0.0).count() as u64;
        Self { all, present: all, seen, ..Self::default() }
    }

    /// Values that count.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// What the second pass takes off: the mean, up to its rounding; 0 where there is no value.
    pub(super) fn centre(&self) -> f64 {
        if self.seen == 0 { 0.0 } else { self.sum / self.present }
    }

    /// Whether the column of so many rows, each of which counts, is finite numbers all through, or with `impute` missing ones too.
    pub(super) fn all_accepted(&self, rows: usize, impute: bool) -> bool {
        self.largest < f64::INFINITY && (impute || self.seen as usize == rows)
    }

    pub(super) fn has_weight(&self) -> bool {
        self.all > 0.0
    }
}

/// Sums that are made side by side, as one addition after another would wait for the one before.
const LANES: usize = 4;

/// Weights of rows that count once.
static ONES: [f64; CHUNK] = [1.0; CHUNK];

/// Sums of what is left of a column when `centre` is taken off.
pub(super) fn sums(column: &Column, weights: Option<&[f64]>, centre: f64) -> Sums {
    let block = |rows: Range<usize>| {
        let weights = weights.map_or(&ONES[..rows.len()], |weights| &weights[rows.clone()]);
        match column {
            Column::F64(x) => sums_of(&x[rows], weights, centre),
            _ => sums_of(&rows.map(|row| column.cell(row)).collect::<Vec<_>>(), weights, centre),
        }
    };
    parallel::map_reduce(column.len(), CHUNK, block, Sums::merge).unwrap_or_default()
}

fn sums_of(x: &[f64], weights: &[f64], centre: f64) -> Sums {
    let zeros = [0.0; LANES];
    let (mut all, mut present, mut sum, mut squares, mut largest) = (zeros, zeros, zeros, zeros, zeros);
    let mut seen = [0; LANES];
    let mut add = |lane: usize, x: f64, weight: f64| {
        let there = !x.is_nan() && weight > 0.0;
        let (d, w, size) = if there { (x - centre, weight, x.abs()) } else { (0.0, 0.0, 0.0) };
        all[lane] += weight;
        present[lane] += w;
        sum[lane] += w * d;
        squares[lane] += w * d * d;
        largest[lane] = if size > largest[lane] { size } else { largest[lane] };
        seen[lane] += u64::from(there);
    };
    let ((x, x_left), (weights, weights_left)) = (x.as_chunks::<LANES>(), weights.as_chunks::<LANES>());
    for (x, weights) in x.iter().zip(weights) {
        (0..LANES).for_each(|lane| add(lane, x[lane], weights[lane]));
    }
    (0..x_left.len()).for_each(|lane| add(lane, x_left[lane], weights_left[lane]));
    let of_lane = |i: usize| Sums {
        all: all[i],
        present: present[i],
        sum: sum[i],
        squares: squares[i],
        largest: largest[i],
        seen: seen[i],
    };
    (0..LANES).map(of_lane).fold(Sums::default(), Sums::merge)
}

/// Refuses infinite numbers and, unless they are imputed, missing ones.
pub(super) fn check(name: &str, column: &Column, impute: bool) -> Result<()> {
    for row in 0..column.len() {
        let x = column.cell(row);
        if x.is_infinite() {
            return Err(Error::cell(row, name, format!("{x} is not a finite number")));
        }
        if x.is_nan() && !impute {
            return Err(Error::cell(
                row,
                name,
                "the number is missing; set impute=true to replace it by the mean",
            ));
        }
    }
    Ok(())
}

impl Moments {
    /// Out of the sums of values, and of the squares around [`Sums::centre`] of these.
    pub(super) fn new(name: &str, first: &Sums, second: &Sums) -> Result<Self> {
        if first.seen == 0 {
            return Ok(Self { mean: 0.0, scale: 1.0, seen: 0 });
        }
        // The remainder of the first mean's rounding, and its part in the squares.
        let correction = second.sum / second.present;
        let mean = first.centre() + correction;
        let variance = (second.squares - second.sum * correction) / first.all;
        if !mean.is_finite() || !variance.is_finite() {
            return Err(Error::column(
                name,
                "its numbers are so large that their mean or variance overflows; rescale them",
            ));
        }
        let deviation = variance.max(0.0).sqrt();
        let scale = if deviation > CONSTANT * first.largest { deviation } else { 1.0 };
        Ok(Self { mean, scale, seen: first.seen })
    }
}
