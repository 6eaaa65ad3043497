//! Numbers whose mean is e^z: loss, gradient and Hessian of half the deviance.

use super::{Point, Sweep, blocks};
use crate::deviance::Distribution;
use crate::{Chunk, Element};
use std::ops::Range;
use tilewise_base::Result;
use tilewise_kernels::{dot, gemv, sum};

pub(super) fn leaf<T: Element>(
    chunk: &Chunk<'_, T, f64>,
    point: &Point,
    distribution: Distribution,
    range: Range<usize>,
) -> Result<Sweep> {
    let p = chunk.x.cols();
    let mut out = Sweep::new(1, p, point.centre.is_some());
    let (mut scratch, mut z, mut slope, mut beside) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut curvature = vec![0.0; range.len()];
    for block in blocks(range.clone(), p) {
        let x = T::widen(chunk.x.row_range(block.clone()), &mut scratch)?;
        z.clear();
        z.extend(block.clone().map(|i| point.intercepts[0] + chunk.offset(i)));
        gemv(1.0, x, &point.coefficients, 1.0, &mut z)?;
        slope.resize(z.len(), 0.0);
        beside.resize(z.len(), 0.0);
        let curvature = &mut curvature[block.start - range.start..block.end - range.start];
        distribution.losses(&chunk.y[block.clone()], &mut z, &mut slope, curvature, &mut beside)?;
        match chunk.rows.weights {
            Some(weights) => {
                let weights = &weights[block];
                // A row without weight has no say, even where its loss overflows.
                for ((z, slope), (curvature, w)) in
                    z.iter_mut().zip(&mut slope).zip(curvature.iter_mut().zip(weights))
                {
                    let of = |x: f64| if *w == 0.0 { 0.0 } else { w * x };
                    (*z, *slope, *curvature) = (of(*z), of(*slope), of(*curvature));
                }
                out.loss += sum(&z);
            }
            None => out.loss += sum(&z),
        }
        let (gradient, intercept) = out.gradient.split_at_mut(p);
        gemv(1.0, x.transpose(), &slope, 1.0, gradient)?;
        intercept[0] += sum(&slope);
    }
    if let Some(centre) = &point.centre {
        out.bend(T::widen(chunk.x.row_range(range), &mut scratch)?, centre, &curvature)?;
    }
    Ok(out)
}

/// Sums that no point changes: weight x target, weight x e^offset, weight x the loss's constant.
pub(super) fn totals<T: Element>(
    chunk: &Chunk<'_, T, f64>,
    distribution: Distribution,
    range: Range<usize>,
) -> Result<[f64; 3]> {
    let weights: Vec<f64> = range.clone().map(|i| chunk.weight(i)).collect();
    let y = &chunk.y[range.clone()];
    let exposure = match chunk.rows.offset {
        Some(offset) => {
            // e^offset of a row that does not count may overflow.
            let terms = offset[range].iter().zip(&weights);
            terms.map(|(o, w)| if *w > 0.0 { w * o.exp() } else { 0.0 }).collect()
        }
        None => weights.clone(),
    };
    let constants: Vec<f64> = y
        .iter()
        .zip(&weights)
        .map(|(y, w)| if *w > 0.0 { w * distribution.constant(*y) } else { 0.0 })
        .collect();
    Ok([dot(&weights, y)?, sum(&exposure), sum(&constants)])
}
