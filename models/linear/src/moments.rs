//! Weighted means, centred sums of products and their merging: all that least squares needs to know about rows.
//!
//! A leaf centres its rows about its own means before multiplying, so nothing large is ever subtracted; two leaves
//! merge by the update of Chan, Golub and LeVeque (1983).

use crate::block::leaf_rows;
use crate::{Chunk, Element};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tilewise_base::{Error, Result};
use tilewise_kernels::{MatMut, MatRef, axpy, centred_squares, centred_sums, dot, gram, parallel, sum};

/// Columns of which a leaf has 5 p rows: at 1,000 a matrix of products takes 8 MB, that are made, mirrored and merged.
const WIDE: usize = 512;

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
        // A Gram matrix of fewer than 2 p rows would cost less than merging it. Rows of many columns are in no cache anyway.
        let least = p * if p < WIDE { 2 } else { 5 };
        let leaf = leaf_rows(p, if second == Second::Gram { least } else { 1 });
        let map = |range: Range<usize>| {
            let mut scratch = Vec::new();
            let x = T::widen(chunk.x.row_range(range.clone()), &mut scratch)?;
            let weights = match chunk.rows.weights {
                Some(weights) => weights[range.clone()].to_vec(),
                None => vec![1.0; range.len()],
            };
            Self::leaf(x, &targets(range), &weights, chunk.rows.weights.is_some(), second)
        };
        let merge = |a: Result<Self>, b: Result<Self>| Ok(a?.merge(b?));
        let moments = parallel::map_reduce(n, leaf, map, merge)
            .unwrap_or_else(|| Err(Error::Fit("there are no rows; a fit needs at least one".into())))?;
        if moments.mean.iter().chain(&moments.second).any(|m| !m.is_finite()) {
            return Err(chunk.not_finite());
        }
        Ok(moments)
    }

    fn leaf(
        x: MatRef<'_, f64>,
        targets: &[f64],
        weights: &[f64],
        weighted: bool,
        second: Second,
    ) -> Result<Self> {
        let p = x.cols();
        let weight = sum(weights);
        let per_weight = if weight > 0.0 { 1.0 / weight } else { 0.0 };
        // About the first row that counts: a constant column then has its value as mean, exactly, and what stands in
        // rows without weight touches nothing.
        let start = weights.iter().position(|w| *w > 0.0).unwrap_or(0);
        let first = x.row(start).unwrap_or(&[]);
        let mut mean = first.to_vec();
        let mut sums = vec![0.0; p];
        centred_sums(x, first, [weights], [&mut sums])?;
        axpy(per_weight, &sums, &mut mean)?;
        let mut target_mean = targets.get(start).copied().unwrap_or(0.0);
        let mut centred = vec![0.0; targets.len()];
        for _ in 0..2 {
            centred.iter_mut().zip(targets).for_each(|(c, y)| *c = y - target_mean);
            target_mean += dot(weights, &centred)? * per_weight;
        }
        centred.iter_mut().zip(targets).for_each(|(c, y)| *c = y - target_mean);
        let deviations: Vec<f64> = centred.iter().zip(weights).map(|(c, w)| w * c).collect();
        let target_square = dot(&deviations, &centred)?;
        // What the mean lost to an outlying first row shows in the sums about it, which ride along with another pass
        // and are taken off mean and products afterwards.
        sums.fill(0.0);
        let (mut squares, mut cross) = (Vec::new(), Vec::new());
        match second {
            Second::None => centred_sums(x, &mean, [weights], [&mut sums])?,
            Second::Squares | Second::Cross => {
                squares = vec![0.0; p];
                centred_squares(x, &mean, weights, &mut sums, &mut squares)?;
                squares
                    .iter_mut()
                    .zip(&sums)
                    .for_each(|(s, sum)| *s = (*s - sum * sum * per_weight).max(0.0));
                if second == Second::Cross {
                    cross = vec![0.0; p];
                    centred_sums(x, &mean, [&deviations], [&mut cross])?;
                }
            }
            Second::Gram => {
                squares = vec![0.0; p * p];
                for attempt in 0..2 {
                    cross = vec![0.0; p];
                    sums.fill(0.0);
                    centred_sums(x, &mean, [weights, &deviations], [&mut sums, &mut cross])?;
                    gram(x, weighted.then_some(weights), Some(&mean), MatMut::new(&mut squares, p, p)?)?;
                    let large = |j: usize| sums[j] * sums[j] * per_weight > 0.01 * squares[j * p + j];
                    if attempt == 1 || !(0..p).any(large) {
                        break;
                    }
                    // A first row far out, of next to no weight: taking this off would leave nothing but rounding.
                    axpy(per_weight, &sums, &mut mean)?;
                }
                for (row, sum) in squares.chunks_exact_mut(p).zip(&sums) {
                    axpy(-sum * per_weight, &sums, row)?;
                }
            }
        }
        axpy(per_weight, &sums, &mut mean)?;
        Ok(Self { weight, mean, target_mean, second: squares, cross, target_square })
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
            let p = delta.len();
            // Large ones are no work for one thread: at 1,000 columns both take 16 MB.
            let step = p * MERGED.div_ceil(p);
            parallel::for_each_chunk_mut(&mut self.second, step, |piece, second| {
                let of_other = other.second.get(piece * step..).unwrap_or_default();
                let of_rows = delta.get(piece * step / p..).unwrap_or_default();
                let rows = second.chunks_exact_mut(p).zip(of_other.chunks_exact(p)).zip(of_rows);
                for ((a, b), di) in rows {
                    for ((a, b), dj) in a.iter_mut().zip(b).zip(&delta) {
                        *a += b + factor * di * dj;
                    }
                }
            });
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
