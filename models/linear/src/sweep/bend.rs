//! Products with the Hessian at a point, in one sweep over the rows: no matrix of features is formed.

use super::{Point, blocks, weight};
use crate::block::leaf_rows;
use crate::deviance::Distribution;
use crate::{Chunk, Element};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tilewise_base::{Error, Result};
use tilewise_kernels::{MatMut, MatRef, axpy, exp, gemm, gemv, log_softmax, parallel, sum};

/// A point, and the direction that its Hessian is to be multiplied by.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Bend {
    pub(crate) point: Point,
    /// One row per linear predictor.
    pub(crate) coefficients: Vec<f64>,
    pub(crate) intercepts: Vec<f64>,
}

impl Bend {
    /// The product for classes, in the order of a gradient.
    pub(crate) fn of_classes<T: Element>(&self, chunk: &Chunk<'_, T, u32>) -> Result<Vec<f64>> {
        let classes = self.intercepts.len();
        self.product(chunk, |block, z, along| {
            if classes == 1 {
                // With e = e^-|z| the curvature is e / (1 + e)^2.
                z.iter_mut().for_each(|z| *z = -z.abs());
                let mut e = vec![0.0; z.len()];
                exp(z, &mut e)?;
                for ((along, e), i) in along.iter_mut().zip(&e).zip(block) {
                    *along *= weight(chunk, &self.point, i) * e / ((1.0 + e) * (1.0 + e));
                }
                return Ok(());
            }
            let (rows, mut logs) = (block.len(), vec![0.0; z.len()]);
            log_softmax(MatRef::new(z, rows, classes)?, MatMut::new(&mut logs, rows, classes)?)?;
            exp(&logs, z)?;
            for ((along, shares), i) in
                along.chunks_exact_mut(classes).zip(z.chunks_exact(classes)).zip(block)
            {
                let mean: f64 = shares.iter().zip(&*along).map(|(p, t)| p * t).sum();
                let w = weight(chunk, &self.point, i);
                along.iter_mut().zip(shares).for_each(|(t, p)| *t = w * p * (*t - mean));
            }
            Ok(())
        })
    }

    /// The product for numbers.
    pub(crate) fn of_numbers<T: Element>(
        &self,
        chunk: &Chunk<'_, T, f64>,
        distribution: Distribution,
    ) -> Result<Vec<f64>> {
        self.product(chunk, |block, z, along| {
            let (mut slope, mut beside) = (vec![0.0; z.len()], vec![0.0; z.len()]);
            let mut curvature = vec![0.0; z.len()];
            distribution.losses(&chunk.y[block.clone()], z, &mut slope, &mut curvature, &mut beside)?;
            for ((along, curvature), i) in along.iter_mut().zip(&curvature).zip(block) {
                let w = chunk.weight(i);
                // A row without weight has no say, even where its loss overflows.
                *along = if w == 0.0 { 0.0 } else { w * curvature * *along };
            }
            Ok(())
        })
    }

    /// `bend` makes of the predictors of a block of rows, and of what the direction makes of these rows, the Hessian of each row's loss times
    /// the latter and the row's weight.
    fn product<T: Element, Y: Sync>(
        &self,
        chunk: &Chunk<'_, T, Y>,
        bend: impl Fn(Range<usize>, &mut [f64], &mut [f64]) -> Result<()> + Sync,
    ) -> Result<Vec<f64>> {
        let (p, k) = (chunk.x.cols(), self.intercepts.len());
        let by_feature = |of: &[f64]| Ok::<_, Error>(MatRef::new(of, k, p)?.transpose().to_vec());
        let (at, along) = (by_feature(&self.point.coefficients)?, by_feature(&self.coefficients)?);
        let map = |range: Range<usize>| {
            let mut out = vec![0.0; k * (p + 1)];
            let (mut scratch, mut z, mut t) = (Vec::new(), Vec::new(), Vec::new());
            for block in blocks(range, p) {
                let (rows, x) = (block.len(), T::widen(chunk.x.row_range(block.clone()), &mut scratch)?);
                z.clear();
                t.clear();
                for i in block.clone() {
                    // An offset is that of all classes.
                    let offset = if k == 1 { chunk.offset(i) } else { 0.0 };
                    z.extend(self.point.intercepts.iter().map(|a| a + offset));
                    t.extend_from_slice(&self.intercepts);
                }
                if k == 1 {
                    gemv(1.0, x, &at, 1.0, &mut z)?;
                    gemv(1.0, x, &along, 1.0, &mut t)?;
                } else {
                    gemm(1.0, x, MatRef::new(&at, p, k)?, 1.0, MatMut::new(&mut z, rows, k)?)?;
                    gemm(1.0, x, MatRef::new(&along, p, k)?, 1.0, MatMut::new(&mut t, rows, k)?)?;
                }
                bend(block, &mut z, &mut t)?;
                if k == 1 {
                    let (features, intercept) = out.split_at_mut(p);
                    gemv(1.0, x.transpose(), &t, 1.0, features)?;
                    intercept[0] += sum(&t);
                } else {
                    let features = MatMut::with_strides(&mut out, 0, k, p, p as isize + 1, 1)?;
                    gemm(1.0, MatRef::new(&t, rows, k)?.transpose(), x, 1.0, features)?;
                    for row in t.chunks_exact(k) {
                        row.iter().enumerate().for_each(|(c, t)| out[c * (p + 1) + p] += t);
                    }
                }
            }
            Ok(out)
        };
        let merge = |a: Result<Vec<f64>>, b: Result<Vec<f64>>| {
            let mut a = a?;
            axpy(1.0, &b?, &mut a)?;
            Ok(a)
        };
        parallel::map_reduce(chunk.x.rows(), leaf_rows(p, 1), map, merge)
            .unwrap_or_else(|| Err(Error::Fit("there are no rows; a fit needs at least one".into())))
    }
}
