//! Data as coordinate descent sees it, left where it lies, for a fit that looks at few columns often. Those are packed; all others are read
//! row by row, a pass for each look at them. Of 10,000 rows of 1,000 columns a fit took 0.045 s on a copy and takes 0.010 s, of 1,000 rows of
//! 20,000 columns 0.071 s and 0.044 s (two threads).

use super::design::{CONSTANT, Columns, Design};
use super::targets;
use crate::block::{block_rows, leaf_rows};
use crate::moments::{Moments, Second};
use crate::{Chunk, Element};
use std::sync::{Mutex, OnceLock, PoisonError};
use tilewise_base::{Error, Result};
use tilewise_kernels::{MatMut, MatRef, axpy, centred_sums, dot, gemv, gram, parallel};

/// The rows, with what is taken off and what they are divided by.
pub(crate) struct InPlace<'a, T> {
    chunk: Chunk<'a, T, f64>,
    pub(crate) mean: Vec<f64>,
    pub(crate) target_mean: f64,
    pub(crate) scale: Vec<f64>,
    /// Zeros without intercept.
    centre: Vec<f64>,
    /// Roots of the rows' shares of the weight.
    roots: Vec<f64>,
    /// Centred, times the roots.
    target: Vec<f64>,
    squares: Vec<f64>,
    cross: Vec<f64>,
    target_square: f64,
    packed: Mutex<Packed>,
    intercept: bool,
    standardise: bool,
    /// A copy of all columns, once a set has more of them than there are rows.
    columns: OnceLock<Columns>,
}

/// Some columns, centred and scaled, times the roots, in rows.
#[derive(Default)]
struct Packed {
    set: Vec<usize>,
    rows: Vec<f64>,
}

impl<'a, T: Element> InPlace<'a, T> {
    pub(crate) fn new(chunk: &Chunk<'a, T, f64>, intercept: bool, standardise: bool) -> Result<Self> {
        let moments = Moments::of(chunk, Second::Cross, |rows| targets(chunk, rows))?;
        if moments.weight <= 0.0 {
            return Err(super::design::no_weight());
        }
        let (n, p) = (chunk.x.rows(), chunk.x.cols());
        let per_weight = 1.0 / moments.weight;
        let Moments { mean, target_mean, second, cross, target_square, .. } = moments;
        let (centre, target_centre) =
            if intercept { (mean.clone(), target_mean) } else { (vec![0.0; p], 0.0) };
        let (mut scale, mut squares, mut cross) = (vec![1.0; p], second, cross);
        for j in 0..p {
            let about = |a: f64, b: f64| if intercept { 0.0 } else { a * b };
            let square = squares[j] * per_weight + about(mean[j], mean[j]);
            let rounding = if intercept { (CONSTANT * mean[j]).powi(2) } else { 0.0 };
            let varies = square > rounding;
            if standardise && varies {
                scale[j] = square.sqrt();
            }
            squares[j] = if varies { square / (scale[j] * scale[j]) } else { 0.0 };
            cross[j] = (cross[j] * per_weight + about(mean[j], target_mean)) / scale[j];
        }
        let target_square =
            target_square * per_weight + if intercept { 0.0 } else { target_mean * target_mean };
        let roots: Vec<f64> = (0..n).map(|i| (chunk.weight(i) * per_weight).sqrt()).collect();
        let mut target = targets(chunk, 0..n);
        target.iter_mut().zip(&roots).for_each(|(y, root)| *y = root * (*y - target_centre));
        let (packed, columns) = (Mutex::default(), OnceLock::new());
        Ok(Self {
            intercept,
            standardise,
            columns,
            chunk: *chunk,
            mean,
            target_mean,
            scale,
            centre,
            roots,
            target,
            squares,
            cross,
            target_square,
            packed,
        })
    }

    /// The columns of `set`, in rows.
    fn pack(&self, set: &[usize]) -> Packed {
        let (n, k) = (self.roots.len(), set.len());
        let mut rows = vec![0.0; n * k];
        let step = (parallel::GRAIN_BYTES / (64 * k).max(1)).max(1);
        parallel::for_each_chunk_mut(&mut rows, step * k.max(1), |piece, rows| {
            for (i, row) in rows.chunks_exact_mut(k).enumerate() {
                let i = piece * step + i;
                let root = self.roots[i];
                let own = self.chunk.x.row(i);
                for (out, &j) in row.iter_mut().zip(set) {
                    let x = own.map_or_else(|| self.chunk.x.get(i, j), |own| own[j]).to_f64();
                    *out = root * (x - self.centre[j]) / self.scale[j];
                }
            }
        });
        Packed { set: set.to_vec(), rows }
    }

    /// y - X b.
    fn residual(&self, b: &[f64]) -> Result<Vec<f64>> {
        let support: Vec<usize> = (0..b.len()).filter(|&j| b[j] != 0.0).collect();
        let mut packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        if !support.iter().all(|j| packed.set.binary_search(j).is_ok()) {
            *packed = self.pack(&support);
        }
        let of_set: Vec<f64> = packed.set.iter().map(|&j| b[j]).collect();
        let mut residual = self.target.clone();
        gemv(-1.0, MatRef::new(&packed.rows, residual.len(), of_set.len())?, &of_set, 1.0, &mut residual)?;
        Ok(residual)
    }
}

impl<T: Element> Design for InPlace<'_, T> {
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
        let n = self.roots.len();
        if set <= n {
            return Ok(None);
        }
        if self.columns.get().is_none() {
            let weights = self.chunk.rows.weights.map_or_else(|| vec![1.0; n], <[f64]>::to_vec);
            let all = targets(&self.chunk, 0..n);
            let intercept = self.intercept;
            let columns = Columns::new(&self.chunk, &all, &weights, intercept, self.standardise)?;
            // Nobody else fills it: a fit asks from one thread.
            let _ = self.columns.set(columns);
        }
        Ok(self.columns.get())
    }

    fn correlate(&self, b: &[f64], _: &[usize], out: &mut [f64]) -> Result<(f64, f64)> {
        if b.iter().all(|b| *b == 0.0) {
            out.copy_from_slice(&self.cross);
            return Ok((self.target_square, self.target_square));
        }
        let (n, p) = (self.roots.len(), out.len());
        let residual = self.residual(b)?;
        let factors: Vec<f64> = residual.iter().zip(&self.roots).map(|(r, root)| r * root).collect();
        let map = |range: std::ops::Range<usize>| -> Result<Vec<f64>> {
            let (mut sums, mut scratch) = (vec![0.0; p], Vec::new());
            for start in range.clone().step_by(block_rows::<f64>(p)) {
                let end = (start + block_rows::<f64>(p)).min(range.end);
                let x = T::widen(self.chunk.x.row_range(start..end), &mut scratch)?;
                centred_sums(x, &self.centre, [&factors[start..end]], [&mut sums])?;
            }
            Ok(sums)
        };
        let merge = |a: Result<Vec<f64>>, b: Result<Vec<f64>>| {
            let mut a = a?;
            axpy(1.0, &b?, &mut a)?;
            Ok(a)
        };
        let sums = parallel::map_reduce(n, leaf_rows(p, 1), map, merge)
            .unwrap_or_else(|| Err(Error::Fit("there are no rows".into())))?;
        out.iter_mut().zip(sums.iter().zip(&self.scale)).for_each(|(out, (sum, scale))| *out = sum / scale);
        Ok((dot(&residual, &residual)?, dot(&residual, &self.target)?))
    }

    fn gram(&self, set: &[usize]) -> Result<Vec<f64>> {
        let k = set.len();
        let mut out = vec![0.0; k * k];
        if k == 0 {
            return Ok(out);
        }
        let mut packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        if packed.set != set {
            *packed = self.pack(set);
        }
        gram(MatRef::new(&packed.rows, self.roots.len(), k)?, None, None, MatMut::new(&mut out, k, k)?)?;
        Ok(out)
    }
}
