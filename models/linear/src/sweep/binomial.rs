//! Two classes: one linear predictor z, loss ln(1 + e^z) - y z.
//!
//! With e = e^-|z| all that is needed has no overflow and no cancellation: the loss of a row on its own side is
//! ln(1 + e), on the other |z| + ln(1 + e); the probability of the far side is e / (1 + e); the curvature is
//! e / (1 + e)^2.

use super::{Point, Sweep, blocks, weight};
use crate::{Chunk, Element};
use std::ops::Range;
use tilewise_base::Result;
use tilewise_kernels::{MatMut, centred_sums, exp, gemv, gram};

/// Factors 1 + e <= 2 whose product stays far from overflow: one logarithm serves so many rows.
const PRODUCT: usize = 512;

pub(super) fn leaf<T: Element>(
    chunk: &Chunk<'_, T, u32>,
    point: &Point,
    range: Range<usize>,
) -> Result<Sweep> {
    let p = chunk.x.cols();
    let mut out = Sweep::new(1, p, point.centre.is_some());
    let unweighted = chunk.rows.weights.is_none() && point.class_weights.is_empty();
    let (mut scratch, mut z, mut e, mut residual) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut curvature = Vec::new();
    for block in blocks(range.clone(), p) {
        let x = T::widen(chunk.x.row_range(block.clone()), &mut scratch)?;
        z.clear();
        z.extend(block.clone().map(|i| point.intercepts[0] + chunk.offset(i)));
        gemv(1.0, x, &point.coefficients, 1.0, &mut z)?;
        residual.clear();
        residual.extend(z.iter().map(|z| -z.abs()));
        e.clear();
        e.resize(z.len(), 0.0);
        exp(&residual, &mut e)?;
        let mut product = 1.0;
        for (k, i) in block.clone().enumerate() {
            let side = if chunk.y[i] == 1 { 1.0 } else { -1.0 };
            let (e, inverse) = (e[k], 1.0 / (1.0 + e[k]));
            let margin = side * z[k];
            // Share of the other class.
            let other = if margin >= 0.0 { e * inverse } else { inverse };
            let w = if unweighted { 1.0 } else { weight(chunk, point, i) };
            if w > 0.0 {
                out.margin = out.margin.min(side * (z[k] - chunk.offset(i)));
            }
            if unweighted {
                out.loss += (-margin).max(0.0);
                product *= 1.0 + e;
                if k % PRODUCT == PRODUCT - 1 {
                    out.loss += f64::ln(product);
                    product = 1.0;
                }
            } else {
                out.loss += w * ((-margin).max(0.0) + e.ln_1p());
            }
            residual[k] = -side * w * other;
            if point.centre.is_some() {
                curvature.push(w * e * inverse * inverse);
            }
        }
        out.loss += product.ln();
        let (gradient, intercept) = out.gradient.split_at_mut(p);
        gemv(1.0, x.transpose(), &residual, 1.0, gradient)?;
        intercept[0] += residual.iter().sum::<f64>();
    }
    if let Some(centre) = &point.centre {
        let x = T::widen(chunk.x.row_range(range), &mut scratch)?;
        let order = p + 1;
        gram(
            x,
            Some(&curvature),
            Some(centre),
            MatMut::with_strides(&mut out.hessian, 0, p, p, order as isize, 1)?,
        )?;
        let last = &mut out.hessian[p * order..];
        centred_sums(x, centre, [&curvature], [&mut last[..p]])?;
        last[p] = curvature.iter().sum();
    }
    Ok(out)
}
