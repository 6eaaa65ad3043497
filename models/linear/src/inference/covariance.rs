//! (X^T W X)^-1 from the triangle of the rows, which keeps twice the digits that a Gram matrix keeps.

use crate::block::leaf_rows;
use crate::least_squares::triangle;
use crate::moments::{Moments, Second};
use crate::{Chunk, Element, Rows};
use std::ops::Range;
use tilewise_base::{Error, Result};
use tilewise_kernels::{MatMut, axpy, centred_sums, dot, gemv, gram, parallel, sum};

/// The inverse of X^T W X with a column of ones in front, in coordinates where features are centred: 1 / weight for the
/// intercept, apart from `slopes`.
pub(super) struct Bread {
    pub(super) weight: f64,
    /// What features are centred by; zeros without intercept.
    pub(super) centre: Vec<f64>,
    pub(super) slopes: Vec<f64>,
    /// Of the features.
    pub(super) rank: usize,
    pub(super) intercept: bool,
}

impl Bread {
    /// For rows of `x` that count `weights` each. Where features depend on each other this is the pseudo-inverse, which belongs
    /// to the solution of least norm.
    pub(super) fn new<T: Element, Y: Copy + Sync>(
        chunk: &Chunk<'_, T, Y>,
        weights: &[f64],
        intercept: bool,
    ) -> Result<Self> {
        let (n, p) = (chunk.x.rows(), chunk.x.cols());
        let y = vec![0.0; n];
        let rows = Rows { weights: Some(weights), offset: None };
        let chunk = Chunk { x: chunk.x, y: &y, rows, first_row: chunk.first_row };
        let moments = Moments::of(&chunk, Second::None, |rows| vec![0.0; rows.len()])?;
        let centre = if intercept { moments.mean } else { vec![0.0; p] };
        let stack = triangle(&chunk, &centre, 0.0)?.triangular()?;
        let mut upper = vec![0.0; p * p];
        for (to, from) in upper.chunks_exact_mut(p).zip(stack.data.chunks_exact(stack.cols)) {
            to.copy_from_slice(&from[..p]);
        }
        let cutoff = f64::EPSILON * n.max(p) as f64;
        let (slopes, rank) = inverse(upper, p, cutoff)?;
        Ok(Self { weight: moments.weight, centre, slopes, rank, intercept })
    }

    /// Number of coefficients that the data determine.
    pub(super) fn parameters(&self) -> usize {
        self.rank + usize::from(self.intercept)
    }

    /// The inverse itself, intercept first (a row of zeros without one), features not centred.
    pub(super) fn matrix(&self) -> Result<Vec<f64>> {
        let (p, q) = (self.centre.len(), self.centre.len() + 1);
        let mut out = vec![0.0; q * q];
        for (i, row) in self.slopes.chunks_exact(p).enumerate() {
            out[(i + 1) * q + 1..(i + 2) * q].copy_from_slice(row);
        }
        if self.intercept {
            out[0] = 1.0 / self.weight;
        }
        uncentred(out, &self.centre)
    }

    /// The share that each row has in its own prediction.
    pub(super) fn leverages<T: Element, Y: Copy + Sync>(&self, chunk: &Chunk<'_, T, Y>) -> Result<Vec<f64>> {
        let p = self.centre.len();
        let slopes = tilewise_kernels::MatRef::new(&self.slopes, p, p)?;
        let of_intercept = if self.intercept { 1.0 / self.weight } else { 0.0 };
        let mut out = vec![0.0; chunk.x.rows()];
        let step = (leaf_rows(p, 1) / p).max(1);
        parallel::for_each_chunk_mut(&mut out, step, |piece, out| {
            let (mut row, mut bent) = (vec![0.0; p], vec![0.0; p]);
            for (i, out) in out.iter_mut().enumerate() {
                let cells = row.iter_mut().zip(&self.centre).enumerate();
                cells.for_each(|(j, (x, m))| *x = chunk.x.get(piece * step + i, j).to_f64() - m);
                // Lengths agree, all are p.
                let bent = gemv(1.0, slopes, &row, 0.0, &mut bent).map(|()| &bent);
                *out = of_intercept + bent.and_then(|bent| dot(bent, &row)).unwrap_or(f64::NAN);
            }
        });
        Ok(out)
    }

    /// Bread, sum of `squares`_i x_i x_i^T, bread: the covariance when rows scatter each in its own way (White, 1980).
    pub(super) fn sandwich<T: Element, Y: Copy + Sync>(
        &self,
        chunk: &Chunk<'_, T, Y>,
        squares: &[f64],
    ) -> Result<Vec<f64>> {
        let (n, p, q) = (chunk.x.rows(), self.centre.len(), self.centre.len() + 1);
        let map = |range: Range<usize>| -> Result<Vec<f64>> {
            let (mut scratch, mut out) = (Vec::new(), vec![0.0; q * q]);
            let x = T::widen(chunk.x.row_range(range.clone()), &mut scratch)?;
            let squares = &squares[range];
            let below = MatMut::with_strides(&mut out, q + 1, p, p, q as isize, 1)?;
            gram(x, Some(squares), Some(&self.centre), below)?;
            if self.intercept {
                let mut sums = vec![0.0; p];
                centred_sums(x, &self.centre, [squares], [&mut sums])?;
                out[0] = sum(squares);
                for (j, sum) in sums.into_iter().enumerate() {
                    (out[j + 1], out[(j + 1) * q]) = (sum, sum);
                }
            }
            Ok(out)
        };
        let merge = |a: Result<Vec<f64>>, b: Result<Vec<f64>>| {
            let mut a = a?;
            axpy(1.0, &b?, &mut a)?;
            Ok(a)
        };
        let meat = parallel::map_reduce(n, leaf_rows(p, 2 * p), map, merge)
            .unwrap_or_else(|| Err(Error::Fit("there are no rows".into())))?;
        let mut bread = vec![0.0; q * q];
        for (i, row) in self.slopes.chunks_exact(p).enumerate() {
            bread[(i + 1) * q + 1..(i + 2) * q].copy_from_slice(row);
        }
        bread[0] = if self.intercept { 1.0 / self.weight } else { 0.0 };
        uncentred(congruent(&bread, &meat, q)?, &self.centre)
    }
}

/// A V A^T for symmetric A and V; all q x q.
fn congruent(a: &[f64], v: &[f64], q: usize) -> Result<Vec<f64>> {
    let mut left = vec![0.0; q * q];
    for (a, out) in a.chunks_exact(q).zip(left.chunks_exact_mut(q)) {
        for (a, row) in a.iter().zip(v.chunks_exact(q)) {
            axpy(*a, row, out)?;
        }
    }
    let mut out = vec![0.0; q * q];
    for (left, out) in left.chunks_exact(q).zip(out.chunks_exact_mut(q)) {
        for (l, row) in left.iter().zip(a.chunks_exact(q)) {
            axpy(*l, row, out)?;
        }
    }
    Ok(out)
}

/// The covariance when the intercept is that of features which are not centred: a - centre b.
fn uncentred(mut v: Vec<f64>, centre: &[f64]) -> Result<Vec<f64>> {
    let moved: Vec<f64> = centre.iter().map(|m| -m).collect();
    shift_intercept(&mut v, &moved)?;
    Ok(v)
}

/// The covariance when the intercept becomes a + `by` b.
pub(super) fn shift_intercept(v: &mut [f64], by: &[f64]) -> Result<()> {
    let q = by.len() + 1;
    let mut first = v[..q].to_vec();
    for (by, row) in by.iter().zip(v.chunks_exact(q).skip(1)) {
        axpy(*by, row, &mut first)?;
    }
    first[0] += dot(by, &first[1..])?;
    for (j, x) in first.into_iter().enumerate() {
        (v[j], v[j * q]) = (x, x);
    }
    Ok(())
}

/// (R^T R)^-1 of a triangle, or its pseudo-inverse, and the rank.
fn inverse(upper: Vec<f64>, p: usize, cutoff: f64) -> Result<(Vec<f64>, usize)> {
    let norm = |j: usize| (0..=j).map(|i| upper[i * p + j].powi(2)).sum::<f64>().sqrt();
    let norms: Vec<f64> = (0..p).map(norm).collect();
    let full = (0..p).all(|j| norms[j] > 0.0 && upper[j * (p + 1)].abs() > cutoff * norms[j]);
    let mut out = vec![0.0; p * p];
    if full {
        // Column j of the inverse triangle, kept as row j, by back substitution.
        let mut columns = vec![0.0; p * p];
        for j in 0..p {
            let column = &mut columns[j * p..(j + 1) * p];
            column[j] = 1.0 / upper[j * (p + 1)];
            for i in (0..j).rev() {
                let known = dot(&upper[i * p + i + 1..i * p + j + 1], &column[i + 1..j + 1])?;
                column[i] = -known / upper[i * (p + 1)];
            }
        }
        for column in columns.chunks_exact(p) {
            for (x, out) in column.iter().zip(out.chunks_exact_mut(p)).filter(|(x, _)| **x != 0.0) {
                axpy(*x, column, out)?;
            }
        }
        return Ok((out, p));
    }
    let mut rows = upper;
    // A column of a target that nothing asks for.
    let mut beside = Vec::with_capacity(p * (p + 1));
    rows.chunks_exact_mut(p).for_each(|row| {
        beside.extend_from_slice(row);
        beside.push(0.0);
    });
    let (_, rank) = crate::jacobi::minimum_norm(&mut beside, p, p + 1, cutoff)?;
    // What is left are singular values times right singular vectors.
    let squares =
        beside.chunks_exact(p + 1).map(|row| dot(&row[..p], &row[..p])).collect::<Result<Vec<_>, _>>()?;
    let largest = squares.iter().fold(0.0f64, |m, s| m.max(*s));
    for (row, square) in beside.chunks_exact(p + 1).zip(&squares) {
        if square.sqrt() > cutoff * largest.sqrt() {
            for (x, out) in row[..p].iter().zip(out.chunks_exact_mut(p)) {
                axpy(x / (square * square), &row[..p], out)?;
            }
        }
    }
    Ok((out, rank))
}
