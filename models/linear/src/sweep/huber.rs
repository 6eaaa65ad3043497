//! Huber's loss of residuals in units of a scale: loss, gradient and Hessian of the linear predictor and of the scale.

use super::{Sweep, blocks};
use crate::{Chunk, Element};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tilewise_base::Result;
use tilewise_kernels::{centred_sums, gemv, sum};

/// The point at which sums are wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Robust {
    pub(crate) coefficients: Vec<f64>,
    pub(crate) intercept: f64,
    /// Residuals are divided by this.
    pub(crate) scale: f64,
    /// Those up to this are squared.
    pub(crate) threshold: f64,
    /// From 0, the true Hessian, to 1: rows beyond the threshold then have the curvature of a parabola above their loss, and the scale
    /// is taken for independent of the rest.
    pub(crate) fade: f64,
    /// Taken off the features of the Hessian.
    pub(crate) centre: Vec<f64>,
}

/// Order of gradient and Hessian: coefficients, intercept, scale.
///
/// The loss is that of s h(r / s), without the s / 2 that keeps a scale from growing; the gradient's last entry the sum of the squares of
/// r / s, cut at the threshold.
pub(super) fn leaf<T: Element>(chunk: &Chunk<'_, T, f64>, at: &Robust, range: Range<usize>) -> Result<Sweep> {
    let p = chunk.x.cols();
    let order = p + 2;
    let mut out = Sweep {
        loss: 0.0,
        gradient: vec![0.0; order],
        hessian: vec![0.0; order * order],
        margin: f64::INFINITY,
        weight: 0.0,
    };
    let (mut scratch, mut z, mut slope) = (Vec::new(), Vec::new(), Vec::new());
    let (mut curvature, mut mixed) = (vec![0.0; range.len()], vec![0.0; range.len()]);
    let (t, s) = (at.threshold, at.scale);
    let mut bend_of_scale = 0.0;
    for block in blocks(range.clone(), p) {
        let x = T::widen(chunk.x.row_range(block.clone()), &mut scratch)?;
        z.clear();
        z.extend(block.clone().map(|i| at.intercept + chunk.offset(i)));
        gemv(1.0, x, &at.coefficients, 1.0, &mut z)?;
        slope.clear();
        let (mut loss, mut squares) = (0.0, 0.0);
        for (i, z) in block.zip(&z) {
            let (r, weight, k) = (z - chunk.y[i], chunk.weight(i), i - range.start);
            // A row without weight has no say, even where its loss overflows.
            if weight == 0.0 {
                slope.push(0.0);
                continue;
            }
            let u = r / s;
            let within = u.abs().min(t);
            loss += weight * s * within * (u.abs() - 0.5 * within);
            squares += weight * within * within;
            slope.push(weight * within.copysign(u));
            if u.abs() <= t {
                curvature[k] = weight / s;
                mixed[k] = -(1.0 - at.fade) * weight * u / s;
                bend_of_scale += weight * u * u / s;
            } else {
                curvature[k] = at.fade * weight * t / r.abs();
            }
        }
        out.loss += loss;
        let (gradient, rest) = out.gradient.split_at_mut(p);
        gemv(1.0, x.transpose(), &slope, 1.0, gradient)?;
        rest[0] += sum(&slope);
        rest[1] += squares;
    }
    let x = T::widen(chunk.x.row_range(range), &mut scratch)?;
    out.bend(x, &at.centre, &curvature)?;
    let last = &mut out.hessian[(p + 1) * order..];
    centred_sums(x, &at.centre, [&mixed], [&mut last[..p]])?;
    last[p] = sum(&mixed);
    last[p + 1] = bend_of_scale;
    Ok(out)
}
