//! What coordinate descent needs to know of the data, in three forms: products of columns (for many rows), the rows as they lie
//! (`in_place.rs`, for more columns) and a copy of the columns (for many fits, and for sets of more columns than rows). Either has means and deviations taken off without a change to the caller's rows.
//!
//! All sums are per unit of weight, so that the objective is |y - X b|^2 / 2 and the penalty.

use crate::moments::Moments;
use crate::{Chunk, Element};
use tilewise_base::{Error, Result};
use tilewise_kernels::{MatMut, MatRef, axpy, dot, gram, parallel};

/// Columns that are copied at the same time: each row gives a line or more of them.
const COPIED: usize = 32;

/// What is left of a constant column's square, relative to its mean's: rounding.
pub(super) const CONSTANT: f64 = 8.0 * f64::EPSILON;

/// Data as coordinate descent sees it.
pub(crate) trait Design: Sync {
    /// |x_j|^2 of each column; 0 where it is constant.
    fn squares(&self) -> &[f64];
    /// X^T y.
    fn cross(&self) -> &[f64];
    /// |y|^2.
    fn target_square(&self) -> f64;
    /// X^T (y - X b) of the columns in `wanted` into their places of `out`; |y - X b|^2 and y (y - X b).
    fn correlate(&self, b: &[f64], wanted: &[usize], out: &mut [f64]) -> Result<(f64, f64)>;
    /// Products of the columns in `set`, row-major.
    fn gram(&self, set: &[usize]) -> Result<Vec<f64>>;
    /// The columns themselves for a set of so many, where that is more than there are rows: their products would be the longer way.
    fn columns(&self, set: usize) -> Result<Option<&Columns>> {
        let _ = set;
        Ok(None)
    }
}

/// Products of columns.
#[derive(Clone, Debug)]
pub(crate) struct Products {
    gram: Vec<f64>,
    squares: Vec<f64>,
    cross: Vec<f64>,
    target_square: f64,
}

impl Products {
    /// From sums over rows, about their means with an intercept. `scale` gives what columns are divided by.
    pub(crate) fn new(moments: &Moments, intercept: bool, scale: &[f64]) -> Result<Self> {
        let p = moments.mean.len();
        let per_weight = 1.0 / moments.weight;
        let (mut gram, mut cross) = (moments.second.clone(), moments.cross.clone());
        let mut target_square = moments.target_square;
        if !intercept {
            for (row, &a) in gram.chunks_exact_mut(p).zip(&moments.mean) {
                axpy(moments.weight * a, &moments.mean, row)?;
            }
            axpy(moments.weight * moments.target_mean, &moments.mean, &mut cross)?;
            target_square += moments.weight * moments.target_mean * moments.target_mean;
        }
        let mut squares = vec![0.0; p];
        for (j, row) in gram.chunks_exact_mut(p).enumerate() {
            let factor = per_weight / scale[j];
            row.iter_mut().zip(scale).for_each(|(g, s)| *g *= factor / s);
            cross[j] *= factor;
            let rounding = if intercept { (CONSTANT * moments.mean[j] / scale[j]).powi(2) } else { 0.0 };
            squares[j] = if row[j] > rounding { row[j] } else { 0.0 };
        }
        Ok(Self { gram, squares, cross, target_square: target_square * per_weight })
    }

    /// Products of column `j` with all.
    pub(crate) fn row(&self, j: usize) -> &[f64] {
        let p = self.cross.len();
        &self.gram[j * p..(j + 1) * p]
    }

    /// From sums that are already per unit of weight.
    pub(crate) fn given(gram: Vec<f64>, cross: Vec<f64>, target_square: f64) -> Self {
        let p = cross.len();
        let squares = (0..p).map(|j| gram[j * (p + 1)]).collect();
        Self { gram, squares, cross, target_square }
    }
}

impl Design for Products {
    fn squares(&self) -> &[f64] {
        &self.squares
    }
    fn cross(&self) -> &[f64] {
        &self.cross
    }
    fn target_square(&self) -> f64 {
        self.target_square
    }

    fn correlate(&self, b: &[f64], _: &[usize], out: &mut [f64]) -> Result<(f64, f64)> {
        let p = self.cross.len();
        out.copy_from_slice(&self.cross);
        // The matrix is symmetric: row k is column k.
        for (b, row) in b.iter().zip(self.gram.chunks_exact(p)).filter(|(b, _)| **b != 0.0) {
            axpy(-b, row, out)?;
        }
        let explained = dot(b, &self.cross)?;
        let square = self.target_square - explained - dot(b, out)?;
        Ok((square.max(0.0), self.target_square - explained))
    }

    fn gram(&self, set: &[usize]) -> Result<Vec<f64>> {
        let p = self.cross.len();
        let mut out = Vec::with_capacity(set.len() * set.len());
        for &j in set {
            let row = &self.gram[j * p..(j + 1) * p];
            out.extend(set.iter().map(|&k| row[k]));
        }
        Ok(out)
    }
}

/// The columns, centred, each row times the root of its weight.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    rows: usize,
    /// One after the other.
    data: Vec<f64>,
    pub(crate) target: Vec<f64>,
    pub(crate) mean: Vec<f64>,
    pub(crate) target_mean: f64,
    pub(crate) scale: Vec<f64>,
    squares: Vec<f64>,
    cross: Vec<f64>,
    target_square: f64,
}

impl Columns {
    /// Copies `chunk`, of which `targets` are the targets with the offset taken off. `weights` may be zero.
    ///
    /// Memory for all cells as f64: coordinate descent reads single columns, and reads them often.
    pub(crate) fn new<T: Element, Y: Sync>(
        chunk: &Chunk<'_, T, Y>,
        targets: &[f64],
        weights: &[f64],
        intercept: bool,
        standardise: bool,
    ) -> Result<Self> {
        let (n, p) = (chunk.x.rows(), chunk.x.cols());
        let total: f64 = tilewise_kernels::sum(weights);
        let roots: Vec<f64> = weights.iter().map(|w| (w / total).sqrt()).collect();
        let shares: Vec<f64> = weights.iter().map(|w| w / total).collect();
        let first = weights.iter().position(|w| *w > 0.0).unwrap_or(0);
        // Mean and square of a column, which is centred and weighted. A cell without weight becomes 0, or NaN if it was not finite.
        let prepare = |column: &mut [f64]| -> Result<(f64, f64)> {
            let mut mean = 0.0;
            if intercept {
                // About a value of its own: a constant column has it as mean, exactly.
                let start = column[first];
                column.iter_mut().for_each(|x| *x -= start);
                let apart = dot(&shares, column)?;
                mean = start + apart;
                column.iter_mut().for_each(|x| *x -= apart);
            }
            column.iter_mut().zip(&roots).for_each(|(x, root)| *x *= root);
            Ok((mean, dot(column, column)?))
        };
        let mut target = targets.to_vec();
        let (target_mean, target_square) = prepare(&mut target)?;
        let mut data = vec![0.0; n * p];
        // Four numbers of each column, beside the columns themselves.
        let mut facts = vec![[0.0; 4]; p];
        let mut groups: Vec<(&mut [f64], &mut [[f64; 4]])> =
            data.chunks_mut(COPIED * n).zip(facts.chunks_mut(COPIED)).collect();
        parallel::for_each_chunk_mut(&mut groups, 1, |group, columns| {
            for (columns, facts) in columns {
                let from = group * COPIED;
                for i in 0..n {
                    match chunk.x.row(i) {
                        Some(row) => {
                            let cells = &row[from..from + facts.len()];
                            cells.iter().enumerate().for_each(|(k, x)| columns[k * n + i] = x.to_f64());
                        }
                        None => (0..facts.len())
                            .for_each(|k| columns[k * n + i] = chunk.x.get(i, from + k).to_f64()),
                    }
                }
                for (column, facts) in columns.chunks_exact_mut(n).zip(&mut **facts) {
                    // Lengths agree, all are made here.
                    let Ok((mean, mut square)) = prepare(column) else { continue };
                    let mut scale = 1.0;
                    if intercept && square <= (CONSTANT * mean).powi(2) {
                        square = 0.0;
                    } else if standardise && square > 0.0 {
                        scale = square.sqrt();
                        column.iter_mut().for_each(|x| *x /= scale);
                        square = dot(column, column).unwrap_or(f64::NAN);
                    }
                    *facts = [mean, square, scale, dot(column, &target).unwrap_or(f64::NAN)];
                }
            }
        });
        if facts.iter().flatten().any(|x| !x.is_finite()) {
            return Err(chunk.not_finite());
        }
        let fact = |k: usize| facts.iter().map(|f| f[k]).collect();
        let (mean, squares, scale, cross) = (fact(0), fact(1), fact(2), fact(3));
        Ok(Self { rows: n, data, target, mean, target_mean, scale, squares, cross, target_square })
    }

    pub(crate) fn column(&self, j: usize) -> &[f64] {
        &self.data[j * self.rows..(j + 1) * self.rows]
    }

    /// y - X b.
    pub(crate) fn residual(&self, b: impl Iterator<Item = (usize, f64)>) -> Result<Vec<f64>> {
        let mut residual = self.target.clone();
        for (j, b) in b.filter(|(_, b)| *b != 0.0) {
            axpy(-b, self.column(j), &mut residual)?;
        }
        Ok(residual)
    }
}

impl Design for Columns {
    fn squares(&self) -> &[f64] {
        &self.squares
    }
    fn cross(&self) -> &[f64] {
        &self.cross
    }
    fn target_square(&self) -> f64 {
        self.target_square
    }
    fn columns(&self, set: usize) -> Result<Option<&Columns>> {
        Ok((set > self.rows).then_some(self))
    }

    fn correlate(&self, b: &[f64], wanted: &[usize], out: &mut [f64]) -> Result<(f64, f64)> {
        if b.iter().all(|b| *b == 0.0) {
            // Where fits begin; another pass over all columns would tell nothing new.
            out.copy_from_slice(&self.cross);
            return Ok((self.target_square, self.target_square));
        }
        let residual = self.residual(b.iter().copied().enumerate())?;
        let mut found = vec![0.0; wanted.len()];
        let step = (parallel::GRAIN_BYTES / (8 * self.rows).max(1)).max(1);
        parallel::for_each_chunk_mut(&mut found, step, |piece, found| {
            for (found, &j) in found.iter_mut().zip(&wanted[piece * step..]) {
                *found = dot(self.column(j), &residual).unwrap_or(f64::NAN);
            }
        });
        wanted.iter().zip(&found).for_each(|(&j, &found)| out[j] = found);
        Ok((dot(&residual, &residual)?, dot(&residual, &self.target)?))
    }

    fn gram(&self, set: &[usize]) -> Result<Vec<f64>> {
        let k = set.len();
        let mut packed = Vec::with_capacity(k * self.rows);
        set.iter().for_each(|&j| packed.extend_from_slice(self.column(j)));
        let mut out = vec![0.0; k * k];
        let columns = MatRef::new(&packed, k, self.rows)?.transpose();
        gram(columns, None, None, MatMut::new(&mut out, k, k)?)?;
        Ok(out)
    }
}

/// Errors of data that has nothing to learn from.
pub(crate) fn no_weight() -> Error {
    Error::Fit("all weights are zero; at least one row must count".into())
}
