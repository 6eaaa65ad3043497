//! The linear programme of a quantile: lines that planes are held against, and products with the matrix of all lines.
//!
//! A line is a row of the table that has weight, or the penalty of a coefficient, which is the row of an identity matrix with target 0.
//! Columns are centred and have deviation 1, the target has mean 0 and mean size 1; nothing is copied for that.

use super::Quantile;
use crate::block::leaf_rows;
use crate::moments::Moments;
use crate::{Chunk, Element};
use std::ops::Range;
use tilewise_base::{Error, Result};
use tilewise_kernels::{MatMut, MatRef, centred_sums, dot, gemv, gram, parallel, sum};

/// A line, and where the solver is at it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    pub(super) y: f64,
    /// Bounds of the line's dual number, from -`lower` to `upper`: what a unit above and below the plane costs. Both are 0 of a row without
    /// weight, which is no line.
    pub(super) upper: f64,
    pub(super) lower: f64,
    /// Where the plane is.
    pub(super) z: f64,
    /// How far y is above and below the plane, both above 0: y = z + above - below where the solver is at home.
    pub(super) above: f64,
    pub(super) below: f64,
    /// How far the dual number is from its bounds, both above 0.
    pub(super) to_upper: f64,
    pub(super) to_lower: f64,
}

impl Line {
    fn new(y: f64, upper: f64, lower: f64) -> Self {
        Self { y, upper, lower, to_upper: upper, to_lower: lower, ..Self::default() }
    }

    pub(super) fn counts(&self) -> bool {
        self.upper > 0.0
    }

    /// The dual number, from the bound that it is closer to: there it has most digits.
    pub(super) fn dual(&self) -> f64 {
        if self.to_upper < self.to_lower { self.upper - self.to_upper } else { self.to_lower - self.lower }
    }

    /// What the plane costs here.
    pub(super) fn cost(&self) -> f64 {
        let r = self.y - self.z;
        if r >= 0.0 { self.upper * r } else { -self.lower * r }
    }
}

pub(super) struct Lines<'a, T> {
    chunk: Chunk<'a, T, f64>,
    mean: Vec<f64>,
    deviation: Vec<f64>,
    weight: f64,
    quantile: f64,
    alpha: f64,
    pub(super) intercept: bool,
    /// The target's mean and its mean size about it.
    centre: f64,
    pub(super) unit: f64,
    /// Rows, then penalties, if there is one.
    pub(super) all: Vec<Line>,
    /// Coefficients, and the intercept (0 where there is none).
    pub(super) b: Vec<f64>,
}

/// Sums over lines of what they are multiplied by, and of products of columns.
pub(super) struct Sums {
    /// Row-major, of coefficients and intercept; its lower triangle holds.
    pub(super) gram: Vec<f64>,
    pub(super) first: Vec<f64>,
    pub(super) second: Vec<f64>,
}

impl<'a, T: Element> Lines<'a, T> {
    pub(super) fn new(params: &Quantile, chunk: Chunk<'a, T, f64>, moments: &Moments) -> Self {
        let (n, p) = (chunk.x.rows(), chunk.x.cols());
        let weight = moments.weight;
        let deviation: Vec<f64> =
            moments.second.iter().map(|s| if *s > 0.0 { (s / weight).sqrt() } else { 1.0 }).collect();
        let mean = if params.intercept { moments.mean.clone() } else { vec![0.0; p] };
        let centre = if params.intercept { moments.target_mean } else { 0.0 };
        let sizes: Vec<f64> = (0..n)
            .map(|i| chunk.weight(i) / weight * (chunk.y[i] - chunk.offset(i) - centre).abs())
            .collect();
        let size = sum(&sizes);
        let unit = if size > 0.0 { size } else { 1.0 };
        let row = |i: usize| {
            let share = chunk.weight(i) / weight;
            let y = if share > 0.0 { (chunk.y[i] - chunk.offset(i) - centre) / unit } else { 0.0 };
            Line::new(y, params.quantile * share, (1.0 - params.quantile) * share)
        };
        let mut all: Vec<Line> = (0..n).map(row).collect();
        if params.alpha > 0.0 {
            all.extend(deviation.iter().map(|d| Line::new(0.0, params.alpha / d, params.alpha / d)));
        }
        let Quantile { quantile, alpha, intercept, .. } = *params;
        let b = vec![0.0; p + 1];
        Self { chunk, mean, deviation, weight, quantile, alpha, intercept, centre, unit, all, b }
    }

    /// Rows of the table, with weight and without.
    pub(super) fn rows(&self) -> usize {
        self.chunk.x.rows()
    }
    pub(super) fn features(&self) -> usize {
        self.mean.len()
    }

    /// The objective where all lines are; `None` when it overflows.
    pub(super) fn value(&self) -> Option<f64> {
        let costs: Vec<f64> = self.all.iter().map(Line::cost).collect();
        Some(sum(&costs)).filter(|value| value.is_finite())
    }

    /// What the dual numbers say that no plane is below, were they orthogonal to all columns; and, for what they are not, what that may
    /// be wrong by at planes of this size.
    pub(super) fn bound(&self, left: &[f64]) -> (f64, f64) {
        let terms: Vec<f64> = self.all.iter().map(|line| line.y * line.dual()).collect();
        (sum(&terms), left.iter().zip(&self.b).map(|(e, b)| (e * b).abs()).sum())
    }

    /// The matrix times a vector of coefficients and intercept.
    pub(super) fn times(&self, v: &[f64]) -> Result<Vec<f64>> {
        let (n, p) = (self.rows(), self.features());
        let scaled: Vec<f64> = v[..p].iter().zip(&self.deviation).map(|(v, d)| v / d).collect();
        let shift = v[p] - dot(&scaled, &self.mean)?;
        let mut out = self.plain_products(&scaled, shift)?;
        if self.all.len() > n {
            out.extend_from_slice(&v[..p]);
        }
        Ok(out)
    }

    /// Rows, as they are, times a vector, and a number more.
    fn plain_products(&self, v: &[f64], shift: f64) -> Result<Vec<f64>> {
        let (n, p) = (self.rows(), self.features());
        let leaf = leaf_rows(p, 1);
        let of = |task: usize| -> Result<Vec<f64>> {
            let range = task * leaf..n.min((task + 1) * leaf);
            let (mut scratch, mut out) = (Vec::new(), vec![shift; range.len()]);
            gemv(1.0, T::widen(self.chunk.x.row_range(range), &mut scratch)?, v, 1.0, &mut out)?;
            Ok(out)
        };
        let mut out = Vec::with_capacity(self.all.len());
        for part in parallel::map(n.div_ceil(leaf), of) {
            out.extend(part?);
        }
        Ok(out)
    }

    /// The transposed matrix times two vectors; with `curvature` also the products of all columns, lines being weighted by it.
    pub(super) fn sums(&self, curvature: Option<&[f64]>, first: &[f64], second: &[f64]) -> Result<Sums> {
        let (n, p) = (self.rows(), self.features());
        let order = p + 1;
        let leaf = leaf_rows(p, if curvature.is_some() { 2 * p } else { 1 });
        let map = |range: Range<usize>| -> Result<Sums> {
            let mut scratch = Vec::new();
            let x = T::widen(self.chunk.x.row_range(range.clone()), &mut scratch)?;
            let (first, second) = (&first[range.clone()], &second[range.clone()]);
            let mut out = Sums { gram: Vec::new(), first: vec![0.0; order], second: vec![0.0; order] };
            let (one, other) = (&mut out.first[..p], &mut out.second[..p]);
            centred_sums(x, &self.mean, [first, second], [one, other])?;
            (out.first[p], out.second[p]) = (sum(first), sum(second));
            if let Some(curvature) = curvature {
                let curvature = &curvature[range];
                out.gram = vec![0.0; order * order];
                gram_of(x, curvature, &self.mean, &mut out.gram)?;
            }
            Ok(out)
        };
        let merge = |a: Result<Sums>, b: Result<Sums>| {
            let (mut a, b) = (a?, b?);
            let add = |a: &mut [f64], b: &[f64]| a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            add(&mut a.gram, &b.gram);
            add(&mut a.first, &b.first);
            add(&mut a.second, &b.second);
            Ok(a)
        };
        let mut sums = parallel::map_reduce(n, leaf, map, merge)
            .unwrap_or_else(|| Err(Error::Fit("there are no rows; a fit needs at least one".into())))?;
        for (j, deviation) in self.deviation.iter().enumerate() {
            sums.first[j] /= deviation;
            sums.second[j] /= deviation;
            if self.all.len() > n {
                sums.first[j] += first[n + j];
                sums.second[j] += second[n + j];
            }
        }
        if let Some(curvature) = curvature {
            for (i, row) in sums.gram.chunks_exact_mut(order).enumerate() {
                let own = self.deviation.get(i).copied().unwrap_or(1.0);
                row[..p].iter_mut().zip(&self.deviation).for_each(|(g, d)| *g /= own * d);
                row[p] /= own;
            }
            if self.all.len() > n {
                (0..p).for_each(|j| sums.gram[j * (order + 1)] += curvature[n + j]);
            }
        }
        if !self.intercept {
            // A row of zeros is left out by the factorisation.
            (sums.first[p], sums.second[p]) = (0.0, 0.0);
            if !sums.gram.is_empty() {
                sums.gram[p * order..].fill(0.0);
            }
        }
        Ok(sums)
    }

    /// A line of the matrix.
    pub(super) fn line(&self, at: usize) -> Vec<f64> {
        let (n, p) = (self.rows(), self.features());
        if at >= n {
            return (0..=p).map(|j| if j == at - n { 1.0 } else { 0.0 }).collect();
        }
        let cell = |j: usize| (self.chunk.x.get(at, j).to_f64() - self.mean[j]) / self.deviation[j];
        let last = if self.intercept { 1.0 } else { 0.0 };
        (0..p).map(cell).chain([last]).collect()
    }

    /// Coefficients and intercept in the units of the table.
    pub(super) fn model(&self) -> (Vec<f64>, f64) {
        let p = self.features();
        let b: Vec<f64> = self.b[..p].iter().zip(&self.deviation).map(|(b, d)| b * self.unit / d).collect();
        let shift: f64 = b.iter().zip(&self.mean).map(|(b, m)| b * m).sum();
        let intercept = if self.intercept { self.centre + self.unit * self.b[p] - shift } else { 0.0 };
        (b, intercept)
    }

    /// The objective of a model in the units of the table.
    pub(super) fn objective(&self, coefficients: &[f64], intercept: f64) -> Result<f64> {
        let z = self.plain_products(coefficients, intercept)?;
        let cost = |(i, z): (usize, &f64)| {
            let share = self.chunk.weight(i) / self.weight;
            let r = self.chunk.y[i] - self.chunk.offset(i) - z;
            if share == 0.0 {
                0.0
            } else {
                share * r * if r >= 0.0 { self.quantile } else { self.quantile - 1.0 }
            }
        };
        let costs: Vec<f64> = z.iter().enumerate().map(cost).collect();
        Ok(sum(&costs) + self.alpha * coefficients.iter().map(|b| b.abs()).sum::<f64>())
    }
}

/// Products of columns with `mean` taken off, and with a column of ones behind them.
fn gram_of(x: MatRef<'_, f64>, curvature: &[f64], mean: &[f64], out: &mut [f64]) -> Result<()> {
    let (p, order) = (x.cols(), x.cols() + 1);
    gram(x, Some(curvature), Some(mean), MatMut::with_strides(out, 0, p, p, order as isize, 1)?)?;
    let last = &mut out[p * order..];
    centred_sums(x, mean, [curvature], [&mut last[..p]])?;
    last[p] = sum(curvature);
    Ok(())
}
