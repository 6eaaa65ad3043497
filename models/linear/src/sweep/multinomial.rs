//! K classes: K linear predictors z_k, loss ln(sum of e^z_k) - z_y (softmax over all classes, symmetric).
//!
//! The Hessian's block for classes k and l is X^T diag(w p_k (1{k = l} - p_l)) X. Blocks off the diagonal are Gram
//! matrices with weights w p_k p_l, negated; since rows of blocks sum to zero, those on the diagonal are free.

use super::{Point, Sweep, blocks, weight};
use crate::{Chunk, Element};
use std::ops::Range;
use tilewise_base::Result;
use tilewise_kernels::{MatMut, MatRef, centred_sums, exp, gemm, gram, log_softmax};

/// `by_feature` are the point's coefficients, those of a feature one behind the other.
pub(super) fn leaf<T: Element>(
    chunk: &Chunk<'_, T, u32>,
    point: &Point,
    by_feature: &[f64],
    range: Range<usize>,
) -> Result<Sweep> {
    let (p, classes) = (chunk.x.cols(), point.intercepts.len());
    let mut out = Sweep::new(classes, p, point.centre.is_some());
    let coefficients = MatRef::new(by_feature, p, classes)?;
    let (mut scratch, mut z, mut logs, mut share) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut shares, mut weights) = (Vec::new(), Vec::new());
    for block in blocks(range.clone(), p) {
        let rows = block.len();
        let x = T::widen(chunk.x.row_range(block.clone()), &mut scratch)?;
        z.clear();
        (0..rows).for_each(|_| z.extend_from_slice(&point.intercepts));
        logs.resize(rows * classes, 0.0);
        share.resize(rows * classes, 0.0);
        gemm(1.0, x, coefficients, 1.0, MatMut::new(&mut z, rows, classes)?)?;
        log_softmax(MatRef::new(&z, rows, classes)?, MatMut::new(&mut logs, rows, classes)?)?;
        exp(&logs, &mut share)?;
        if point.centre.is_some() {
            shares.extend_from_slice(&share);
        }
        for (k, i) in block.enumerate() {
            let (w, y) = (weight(chunk, point, i), chunk.y[i] as usize);
            let row = k * classes..(k + 1) * classes;
            out.loss -= w * logs[row.clone()][y];
            if point.margin && w > 0.0 {
                let z = &z[row.clone()];
                let best_other = z
                    .iter()
                    .enumerate()
                    .filter(|(c, _)| *c != y)
                    .fold(f64::NEG_INFINITY, |m, (_, z)| m.max(*z));
                out.margin = out.margin.min(z[y] - best_other);
            }
            if point.centre.is_some() {
                weights.push(w);
            }
            // From shares to residuals; 1 - share as the sum of the others, which does not cancel.
            let residual = &mut share[row];
            residual[y] = 0.0;
            residual[y] = -residual.iter().sum::<f64>();
            residual.iter_mut().for_each(|r| *r *= w);
            for (c, r) in residual.iter().enumerate() {
                out.gradient[c * (p + 1) + p] += r;
            }
        }
        let residuals = MatRef::new(&share, rows, classes)?.transpose();
        let gradient = MatMut::with_strides(&mut out.gradient, 0, classes, p, p as isize + 1, 1)?;
        gemm(1.0, residuals, x, 1.0, gradient)?;
    }
    if let Some(centre) = &point.centre {
        let x = T::widen(chunk.x.row_range(range), &mut scratch)?;
        hessian(x, centre, &shares, &weights, classes, &mut out.hessian)?;
    }
    Ok(out)
}

/// Fills the lower triangle.
fn hessian(
    x: MatRef<'_, f64>,
    centre: &[f64],
    shares: &[f64],
    weights: &[f64],
    classes: usize,
    hessian: &mut [f64],
) -> Result<()> {
    let (p, q) = (x.cols(), x.cols() + 1);
    let order = classes * q;
    let mut block = vec![0.0; q * q];
    for k in 0..classes {
        for l in 0..k {
            let curvature: Vec<f64> =
                shares.chunks_exact(classes).zip(weights).map(|(s, w)| w * s[k] * s[l]).collect();
            gram(
                x,
                Some(&curvature),
                Some(centre),
                MatMut::with_strides(&mut block, 0, p, p, q as isize, 1)?,
            )?;
            let mut edge = vec![0.0; p];
            centred_sums(x, centre, [&curvature], [&mut edge])?;
            for (j, e) in edge.iter().enumerate() {
                block[j * q + p] = *e;
                block[p * q + j] = *e;
            }
            block[p * q + p] = curvature.iter().sum();
            for i in 0..q {
                for j in 0..q {
                    let b = block[i * q + j];
                    hessian[(k * q + i) * order + l * q + j] = -b;
                    hessian[(k * q + i) * order + k * q + j] += b;
                    hessian[(l * q + i) * order + l * q + j] += b;
                }
            }
        }
    }
    Ok(())
}
