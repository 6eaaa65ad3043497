//! Rows reduced to their triangle, and fewer rows than columns solved by products of rows.

use super::SINGULAR_BELOW;
use crate::block::leaf_rows;
use crate::cholesky::Cholesky;
use crate::qr::Stack;
use crate::{Chunk, Element};
use std::ops::Range;
use tilewise_base::Result;
use tilewise_kernels::{MatMut, MatRef, axpy, gemv, parallel, syrk};

/// The triangle of the rows sqrt(w) [x - mean | y - mean | 1].
pub(crate) fn triangle<T: Element>(
    chunk: &Chunk<'_, T, f64>,
    mean: &[f64],
    target_mean: f64,
) -> Result<Stack> {
    /// Bytes of a leaf: its columns are swept one against the other, so it is to stay in the second-level cache. With half or twice as many
    /// a fit of 16,000 x 13 took as long.
    const LEAF: usize = 128 * 1024;
    let p = chunk.x.cols();
    // Sixteen times as many rows as columns: merging two leaves then costs an eighth of reducing one. From some thirty columns on leaves are
    // larger than that, and of very many four times as many rows are enough to have several.
    let leaf = (LEAF / (size_of::<f64>() * (p + 2))).max(16 * p).min(leaf_rows(p, 4 * p));
    let map = |range: Range<usize>| {
        let mut data = Vec::with_capacity(range.len() * (p + 2));
        let mut scratch = Vec::new();
        let x = T::widen(chunk.x.row_range(range.clone()), &mut scratch)?;
        for (row, i) in range.enumerate() {
            let root = chunk.weight(i).sqrt();
            if root > 0.0 {
                data.extend(x.row(row).unwrap_or(&[]).iter().zip(mean).map(|(x, mean)| root * (x - mean)));
                data.push(root * (chunk.y[i] - chunk.offset(i) - target_mean));
                data.push(root);
            }
        }
        Stack::new(data, p + 2)
    };
    let empty = || Ok(Stack { cols: p + 2, data: Vec::new() });
    parallel::map_reduce(chunk.x.rows(), leaf, map, |a, b| a?.merge(&b?)).unwrap_or_else(empty)
}

/// With fewer rows than columns: w = A^T (A A^T + l2 I)^-1 y, a system as large as the rows are many; without penalty
/// this is the solution of least norm. `None` when the rows depend on each other.
pub(super) fn dual_solution(
    stack: &Stack,
    features: usize,
    l2: f64,
    centred: bool,
) -> Result<Option<Vec<f64>>> {
    let (n, cols) = (stack.rows(), stack.cols);
    let a = MatRef::new(&stack.data, n, cols)?.col_range(0..features);
    let mut kernel = vec![0.0; n * n];
    syrk(1.0, a.transpose(), 0.0, MatMut::new(&mut kernel, n, n)?)?;
    let column = |j: usize| stack.data.iter().skip(j).step_by(cols).copied().collect::<Vec<f64>>();
    let (target, roots) = (column(features), column(features + 1));
    if centred {
        // Centred rows sum to zero when weighted: along the roots of the weights the kernel is zero and so is the
        // target, and anything may stand there.
        let trace: f64 = (0..n).map(|i| kernel[i * n + i]).sum();
        let factor = trace / n as f64 / roots.iter().map(|r| r * r).sum::<f64>();
        for (row, r) in kernel.chunks_exact_mut(n).zip(&roots) {
            axpy(factor * r, &roots, row)?;
        }
    }
    (0..n).for_each(|i| kernel[i * n + i] += l2);
    let Some(factor) = Cholesky::new(&kernel, n, SINGULAR_BELOW)? else { return Ok(None) };
    // The second round takes off what rounding left of the first.
    let (mut dual, mut solution) = (vec![0.0; n], vec![0.0; features]);
    for _ in 0..2 {
        let mut residual: Vec<f64> = target.iter().zip(&dual).map(|(y, d)| y - l2 * d).collect();
        gemv(-1.0, a, &solution, 1.0, &mut residual)?;
        factor.solve(&mut residual);
        axpy(1.0, &residual, &mut dual)?;
        for (row, r) in stack.data.chunks_exact(cols).zip(&residual) {
            axpy(*r, &row[..features], &mut solution)?;
        }
    }
    Ok(Some(solution))
}
