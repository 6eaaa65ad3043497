//! Weighted means, centred sums of products and their merging: all that least squares needs to know about rows.
//!
//! A leaf centres its rows about its own means before multiplying, so nothing large is ever subtracted; two leaves
//! merge by the update of Chan, Golub and LeVeque (1983).

use crate::block::leaf_rows;
use crate::{Chunk, Element};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tilewise_base::{Error, Result};
use tilewise_kernels::{
    MatMut, MatRef, axpy, centred_squares, centred_sums, dot, gram_and_sums, parallel, sum, zeros,
};

/// Columns from which a leaf is in no cache anyway: it has 5 p rows, as at 1,000 columns a matrix of products takes 8 MB, that are made,
/// mirrored and merged. Leaves of 16 p rows, of which 10,000 x 1,000 is one that all threads share block by block, took 110 ms where these take
/// 112, and in other runs of the same minutes 138: threads that wait for each other some fifty times in a tenth of a second are woken late at times.
const WIDE: usize = 512;

/// Of such a leaf one row of so many tells where its means are, nearly; of fewer rows those that make [`SAMPLE`].
const SAMPLED: usize = 17;

/// Some two thirds of it, of which means are within a quarter of a standard deviation, of the farthest of 1,000 columns.
const SAMPLE: usize = 512;

/// Rows of a sample that are one piece of work: some tens of microseconds.
const SAMPLED_AT_ONCE: usize = 64;

/// Products that are merged in one go, at least: some ten microseconds.
const MERGED: usize = 1 << 15;

/// Which second moments are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Second {
    /// None.
    None,
    /// Sums of squares of each column.
    Squares,
    /// Those, and of each column with the target.
    Cross,
    /// All products of columns.
    Gram,
}

/// The moments of some rows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Moments {
    pub(crate) weight: f64,
    pub(crate) mean: Vec<f64>,
    pub(crate) target_mean: f64,
    /// Centred sums of products, weighted: nothing, one per column, or a full symmetric matrix.
    pub(crate) second: Vec<f64>,
    /// Centred sums of column times target.
    pub(crate) cross: Vec<f64>,
    /// Centred sum of squared targets.
    pub(crate) target_square: f64,
}

impl Moments {
    /// The moments of a chunk's rows; `targets` gives the numbers that rows should have, offset taken off.
    pub(crate) fn of<T: Element, Y: Copy + Sync>(
        chunk: &Chunk<'_, T, Y>,
        second: Second,
        targets: impl Fn(Range<usize>) -> Vec<f64> + Sync,
    ) -> Result<Self> {
        let (n, p) = (chunk.x.rows(), chunk.x.cols());
        let is_wide = second == Second::Gram && p >= WIDE;
        // A Gram matrix of fewer than 2 p rows would cost less than merging it.
        let least = if is_wide { 5 * p } else { 2 * p };
        let leaf = leaf_rows(p, if second == Second::Gram { least } else { 1 });
        let map = |range: Range<usize>| {
            let x = chunk.x.row_range(range.clone());
            let weights = match chunk.rows.weights {
                Some(weights) => weights[range.clone()].to_vec(),
                None => vec![1.0; range.len()],
            };
            let (targets, weighted) = (targets(range), chunk.rows.weights.is_some());
            if is_wide {
                return About::nearly(x, &targets, &weights)?.products(x, &weights, weighted);
            }
            // Swept several times while they are in cache.
            let mut scratch = Vec::new();
            let x = T::widen(x, &mut scratch)?;
            let about = About::new(x, &targets, &weights)?;
            if second == Second::Gram {
                about.products(x, &weights, weighted)
            } else {
                about.squares(x, &weights, second)
            }
        };
        let merge = |a: Result<Self>, b: Result<Self>| Ok(a?.merge(b?));
        let moments = parallel::map_reduce(n, leaf, map, merge)
            .unwrap_or_else(|| Err(Error::Fit("there are no rows; a fit needs at least one".into())))?;
        // A product of two columns is not larger than the larger of their squares.
        let squares = moments.second.iter().step_by(if second == Second::Gram { p + 1 } else { 1 });
        if moments.mean.iter().chain(squares).any(|m| !m.is_finite()) {
            return Err(chunk.not_finite());
        }
        Ok(moments)
    }

    /// The moments of both sets of rows together.
    pub(crate) fn merge(mut self, mut other: Self) -> Self {
        if other.weight == 0.0 {
            // Rows without weight count for nothing, but what is not finite among them must not be lost.
            axpy(0.0, &other.mean, &mut self.mean).unwrap_or_default();
            return self;
        }
        if self.weight == 0.0 {
            axpy(0.0, &self.mean, &mut other.mean).unwrap_or_default();
            return other;
        }
        let weight = self.weight + other.weight;
        let share = other.weight / weight;
        let factor = self.weight * share;
        let delta: Vec<f64> = other.mean.iter().zip(&self.mean).map(|(b, a)| b - a).collect();
        let target_delta = other.target_mean - self.target_mean;
        if self.second.len() == delta.len() {
            for ((a, b), d) in self.second.iter_mut().zip(&other.second).zip(&delta) {
                *a += b + factor * d * d;
            }
        } else if !self.second.is_empty() {
            add_outer(&mut self.second, Some(&other.second), factor, &delta);
        }
        for ((a, b), d) in self.cross.iter_mut().zip(&other.cross).zip(&delta) {
            *a += b + factor * d * target_delta;
        }
        self.target_square += other.target_square + factor * target_delta * target_delta;
        self.mean.iter_mut().zip(&delta).for_each(|(m, d)| *m += d * share);
        self.target_mean += target_delta * share;
        self.weight = weight;
        self
    }
}

/// Adds another matrix, if any, and factor d d^T; of large ones every thread some rows: at 1,000 columns both take 16 MB.
fn add_outer(matrix: &mut [f64], other: Option<&[f64]>, factor: f64, d: &[f64]) {
    let p = d.len();
    let step = p * MERGED.div_ceil(p);
    parallel::for_each_chunk_mut(matrix, step, |piece, rows| {
        let other = other.and_then(|other| other.get(piece * step..));
        let of_rows = d.get(piece * step / p..).unwrap_or_default();
        for (i, (row, di)) in rows.chunks_exact_mut(p).zip(of_rows).enumerate() {
            match other.and_then(|other| other.get(i * p..(i + 1) * p)) {
                Some(other) => {
                    row.iter_mut().zip(other).zip(d).for_each(|((a, b), dj)| *a += b + factor * di * dj);
                }
                None => row.iter_mut().zip(d).for_each(|(a, dj)| *a += factor * di * dj),
            }
        }
    });
}

/// About what the rows of a leaf are centred: their means, but for what rounding, an outlying first row or a sample made of it. That shows in
/// the sums about it, which ride along with another pass and are taken off mean and products afterwards.
struct About {
    weight: f64,
    per_weight: f64,
    mean: Vec<f64>,
    target_mean: f64,
    target_square: f64,
    /// Targets about their mean, times weights.
    deviations: Vec<f64>,
}

impl About {
    /// About the means of the rows.
    fn new(x: MatRef<'_, f64>, targets: &[f64], weights: &[f64]) -> Result<Self> {
        let mut about = Self::first_row(x, targets, weights)?;
        let mut sums = vec![0.0; x.cols()];
        centred_sums(x, &about.mean, [weights], [&mut sums])?;
        axpy(about.per_weight, &sums, &mut about.mean)?;
        Ok(about)
    }

    /// About the means of some rows, evenly apart.
    fn nearly<T: Element>(x: MatRef<'_, T>, targets: &[f64], weights: &[f64]) -> Result<Self> {
        let mut about = Self::first_row(x, targets, weights)?;
        // Odd: rows often come in periods, of a power of two more often than others.
        let some = (0..x.rows()).step_by((x.rows() / SAMPLE).clamp(1, SAMPLED) | 1);
        let of_some: Vec<f64> = some.clone().map(|i| weights[i]).collect();
        let weight = sum(&of_some);
        if weight > 0.0 {
            let (count, shift) = (some.len(), &about.mean);
            let map = |range: Range<usize>| -> Result<Vec<f64>> {
                let mut sums = vec![0.0; x.cols()];
                let mut scratch = Vec::new();
                for (i, weight) in some.clone().zip(&of_some).skip(range.start).take(range.len()) {
                    let row = T::widen(x.row_range(i..i + 1), &mut scratch)?;
                    centred_sums(row, shift, [&[*weight]], [&mut sums])?;
                }
                Ok(sums)
            };
            let merge = |a: Result<Vec<f64>>, b: Result<Vec<f64>>| {
                let (mut a, b) = (a?, b?);
                axpy(1.0, &b, &mut a)?;
                Ok(a)
            };
            let sums =
                parallel::map_reduce(count, SAMPLED_AT_ONCE, map, merge).unwrap_or_else(|| Ok(Vec::new()))?;
            axpy(1.0 / weight, &sums, &mut about.mean)?;
        }
        Ok(about)
    }

    /// About the first row that counts: a constant column then has its value as mean, exactly, and what stands in rows without weight touches
    /// nothing.
    fn first_row<T: Element>(x: MatRef<'_, T>, targets: &[f64], weights: &[f64]) -> Result<Self> {
        let weight = sum(weights);
        let per_weight = if weight > 0.0 { 1.0 / weight } else { 0.0 };
        let first = weights.iter().position(|w| *w > 0.0).unwrap_or(0);
        let mut scratch = Vec::new();
        let mean = T::widen(x.row_range(first..first + 1), &mut scratch)?.to_vec();
        let mut target_mean = targets[first];
        let mut centred = vec![0.0; targets.len()];
        for _ in 0..2 {
            centred.iter_mut().zip(targets).for_each(|(c, y)| *c = y - target_mean);
            target_mean += dot(weights, &centred)? * per_weight;
        }
        centred.iter_mut().zip(targets).for_each(|(c, y)| *c = y - target_mean);
        let deviations: Vec<f64> = centred.iter().zip(weights).map(|(c, w)| w * c).collect();
        let target_square = dot(&deviations, &centred)?;
        Ok(Self { weight, per_weight, mean, target_mean, target_square, deviations })
    }

    /// Without products of columns.
    fn squares(self, x: MatRef<'_, f64>, weights: &[f64], second: Second) -> Result<Moments> {
        let p = x.cols();
        let (mut sums, mut squares, mut cross) = (vec![0.0; p], Vec::new(), Vec::new());
        if second == Second::None {
            centred_sums(x, &self.mean, [weights], [&mut sums])?;
        } else {
            squares = vec![0.0; p];
            centred_squares(x, &self.mean, weights, &mut sums, &mut squares)?;
            let off = |(s, sum): (&mut f64, &f64)| *s = (*s - sum * sum * self.per_weight).max(0.0);
            squares.iter_mut().zip(&sums).for_each(off);
        }
        if second == Second::Cross {
            cross = vec![0.0; p];
            centred_sums(x, &self.mean, [&self.deviations], [&mut cross])?;
        }
        self.moments(&sums, squares, cross)
    }

    /// With products of columns.
    fn products<T: Element>(mut self, x: MatRef<'_, T>, weights: &[f64], weighted: bool) -> Result<Moments> {
        let p = x.cols();
        let mut products = zeros(p * p);
        let mut attempt = 0;
        let (sums, cross) = loop {
            let out = MatMut::new(&mut products, p, p)?;
            let factors = [weights, &self.deviations];
            let [sums, cross] =
                gram_and_sums(x, weighted.then_some(weights), Some(&self.mean), out, factors)?;
            let large = |j: usize| sums[j] * sums[j] * self.per_weight > 0.1 * products[j * p + j];
            if attempt == 1 || !(0..p).any(large) {
                break (sums, cross);
            }
            // A first row far out, of next to no weight: taking this off would leave nothing but rounding.
            axpy(self.per_weight, &sums, &mut self.mean)?;
            attempt += 1;
        };
        add_outer(&mut products, None, -self.per_weight, &sums);
        self.moments(&sums, products, cross)
    }

    /// The moments, of these sums about the point.
    fn moments(mut self, sums: &[f64], second: Vec<f64>, cross: Vec<f64>) -> Result<Moments> {
        axpy(self.per_weight, sums, &mut self.mean)?;
        let Self { weight, mean, target_mean, target_square, .. } = self;
        Ok(Moments { weight, mean, target_mean, second, cross, target_square })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rows;
    use tilewise_kernels::random::Philox;

    /// Rows of many columns, whose means come from a sample: against two passes of plain loops. Columns far from zero, constant, rising from row to
    /// row, zero in all rows but one that the sample leaves out, and one in which the sampled rows alone are far out.
    #[test]
    fn wide_rows_have_the_moments_of_plain_loops() {
        let (n, p) = (5000, 513);
        let random = Philox::new(3, 1);
        let x: Vec<f64> = (0..n * p)
            .map(|at| match (at / p, at % p) {
                (_, 0) => 1e6 + random.uniform(at as u64),
                (_, 1) => 0.1,
                (i, 2) => i as f64,
                (i, 3) => f64::from(u8::from(i == 7)),
                (i, 4) => {
                    if i % ((n / SAMPLE) | 1) == 0 {
                        1e3
                    } else {
                        random.uniform(at as u64)
                    }
                }
                _ => random.uniform(at as u64),
            })
            .collect();
        let y: Vec<f64> = (0..n).map(|i| 5.0 + random.uniform((n * p + i) as u64)).collect();
        let weights: Vec<f64> = (0..n).map(|i| (i % 4) as f64).collect();
        for weights in [None, Some(&*weights)] {
            let rows = Rows { weights, ..Rows::default() };
            let chunk = Chunk { x: MatRef::new(&x, n, p).unwrap(), y: &y, rows, first_row: 0 };
            let found = Moments::of(&chunk, Second::Gram, |range| y[range].to_vec()).unwrap();
            let weight = |i: usize| weights.map_or(1.0, |w| w[i]);
            let total: f64 = (0..n).map(weight).sum();
            assert_eq!(found.weight, total);
            let column = |j: usize| x.iter().skip(j).step_by(p);
            let mean_of = |j: usize| match j {
                // To the last bit, which a sum over the number of rows is not.
                1 => 0.1,
                _ => column(j).enumerate().map(|(i, x)| weight(i) * x).sum::<f64>() / total,
            };
            let target_mean = y.iter().enumerate().map(|(i, y)| weight(i) * y).sum::<f64>() / total;
            // The first columns with all others, and some of the others.
            for a in [0, 1, 2, 3, 4, 200, 512] {
                let mean = mean_of(a);
                assert!(
                    (found.mean[a] - mean).abs() <= 1e-12 * mean.abs(),
                    "{a}: {} but {mean}",
                    found.mean[a]
                );
                let square = |j: usize, mean: f64| -> f64 {
                    column(j).enumerate().map(|(i, x)| weight(i) * (x - mean) * (x - mean)).sum()
                };
                let length = square(a, mean).sqrt();
                for b in [0, 1, 2, 3, 4, 5, 511] {
                    let other = mean_of(b);
                    let product: f64 = column(a)
                        .zip(column(b))
                        .enumerate()
                        .map(|(i, (x, z))| weight(i) * (x - mean) * (z - other))
                        .sum();
                    let got = found.second[a * p + b];
                    // What rounding of the means leaves of the column far from zero is 1e-10 of its length.
                    let scale = length * square(b, other).sqrt();
                    assert!((got - product).abs() <= 1e-9 * scale, "{a}, {b}: {got} but {product}");
                }
                let cross: f64 = column(a)
                    .zip(&y)
                    .enumerate()
                    .map(|(i, (x, y))| weight(i) * (x - mean) * (y - target_mean))
                    .sum();
                assert!((found.cross[a] - cross).abs() <= 1e-9 * length * found.target_square.sqrt());
            }
            // A constant column has no squares at all.
            assert_eq!((found.mean[1], found.second[p + 1]), (0.1, 0.0));
            // Rows of f32 are those numbers.
            let narrow: Vec<f32> = x.iter().map(|x| *x as f32).collect();
            let wide: Vec<f64> = narrow.iter().map(|x| f64::from(*x)).collect();
            let of_narrow = Chunk { x: MatRef::new(&narrow, n, p).unwrap(), y: &y, rows, first_row: 0 };
            let of_wide = Chunk { x: MatRef::new(&wide, n, p).unwrap(), y: &y, rows, first_row: 0 };
            let moments = |m: Moments| (m.mean, m.second, m.cross);
            assert_eq!(
                moments(Moments::of(&of_narrow, Second::Gram, |range| y[range].to_vec()).unwrap()),
                moments(Moments::of(&of_wide, Second::Gram, |range| y[range].to_vec()).unwrap())
            );
        }
    }
}
