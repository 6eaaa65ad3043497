//! Data-parallel form: leaves of rows, each in blocks that are read from memory once and swept twice in cache.

use super::{Problem, ROWS, Shape};
use crate::Element;
use crate::block::block_rows;
use std::ops::Range;
use tilewise_base::Result;
use tilewise_kernels::{axpy, gemv, parallel};

/// Blocks of a leaf, at least: about 100 microseconds of streaming.
const LEAF_BLOCKS: usize = 4;

/// Rows of a leaf, at least: merging its gradient must cost little beside the leaf's own rows.
const LEAF_ROWS: usize = 32;

/// Leaves, at most: each holds a gradient of its own until it is merged.
const LEAVES: usize = 512;

pub(super) fn gradient<T: Element>(problem: &Problem<'_, T>, b: &[f64], shape: Shape) -> Result<Vec<f64>> {
    let (n, p) = (problem.chunk.x.rows(), problem.chunk.x.cols());
    let coefficients: Vec<T> = b[..p].iter().map(|b| T::from_f64(*b)).collect();
    let block = block_rows::<T>(p);
    let leaf = (LEAF_BLOCKS * block).max(LEAF_ROWS).max(n.div_ceil(LEAVES).next_multiple_of(block));
    let map = |range: Range<usize>| {
        let mut gradient = vec![0.0; p + 1];
        let (mut margins, mut scratch, mut part) = (Vec::new(), Vec::new(), vec![T::ZERO; p]);
        // Rows summed in `part` so far.
        let mut summed = 0;
        for start in range.clone().step_by(block) {
            let rows = start..(start + block).min(range.end);
            let (x, end) = (problem.chunk.x.row_range(rows.clone()), rows.end);
            problem.start(rows, b[p], shape, &mut margins);
            gemv(T::ONE, x, &coefficients, T::ONE, &mut margins)?;
            problem.residuals(start, shape, &mut margins, &mut scratch)?;
            let add = if summed == 0 { T::ZERO } else { T::ONE };
            gemv(T::ONE, x.transpose(), &margins, add, &mut part)?;
            gradient[p] += margins.iter().map(|r| r.to_f64()).sum::<f64>();
            summed += x.rows();
            if summed >= ROWS || end == range.end {
                gradient.iter_mut().zip(&part).for_each(|(g, part)| *g += part.to_f64());
                summed = 0;
            }
        }
        Ok(gradient)
    };
    let merge = |a: Result<Vec<f64>>, b: Result<Vec<f64>>| {
        let mut a = a?;
        axpy(1.0, &b?, &mut a)?;
        Ok(a)
    };
    parallel::map_reduce(n, leaf, map, merge).unwrap_or_else(|| Ok(vec![0.0; p + 1]))
}
