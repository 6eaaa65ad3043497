//! Newton's steps by the Cholesky factor of the Hessian, for sparse rows of few cells in few columns: categories, say.
//!
//! A row of s cells adds to s (s + 1) / 2 entries of the Hessian; with ones in ten columns that is 55 additions, where conjugate
//! gradients read and add 20 numbers for each of some ten products. Poisson regression of 600,000 rows of ten categories, 322 columns, takes
//! 141 ms on two threads (`compare linear`), and glum, whose matrix knows categories, 534.

use super::newton_cg::Step;
use crate::cholesky::Cholesky;
use std::ops::Range;
use tilewise_base::{Result, SparseRef};
use tilewise_kernels::{Float, axpy, dot, parallel};

/// Entries of the Hessian that a stored cell adds to, on the average, at most: as much work as some ten products.
const PAIRS: usize = 16;

/// Columns cubed, at most, for each stored cell: the factor then costs as much as some three products.
const FACTOR: usize = 256;

/// Additions of a leaf of rows, at least, for every entry of its matrix: making and merging it is then a small share.
const PER_ENTRY: usize = 8;

/// Leaves of rows, at least: as many processors have something to do.
const LEAVES: usize = 16;

/// Smallest pivot of the scaled Hessian that counts as regular: sums of a million equal terms are off by up to 1e-10 of themselves.
const SINGULAR_BELOW: f64 = 1e-9;

/// Rows of a leaf, if steps are to be found in this way; by shape and stored cells alone.
pub(super) fn leaf<T: Float>(x: SparseRef<'_, T>) -> Option<usize> {
    let (rows, cols, stored) = (x.rows(), x.cols(), x.stored());
    let cells = x.starts().windows(2).map(|pair| pair[1] - pair[0]);
    let pairs = cells.fold(0usize, |sum, s| sum.saturating_add(s.saturating_mul(s + 1) / 2));
    let cubed = cols.checked_mul(cols).and_then(|square| square.checked_mul(cols))?;
    let worth = pairs <= PAIRS.saturating_mul(stored) && cubed <= FACTOR.saturating_mul(stored);
    let leaves = pairs / (PER_ENTRY * cols * cols).max(1);
    (worth && leaves >= LEAVES).then(|| rows.div_ceil(leaves))
}

/// The lower triangle of the sum of d_i (x_i, 1)^T (x_i, 1), row-major; the ones come last.
pub(super) fn hessian<T: Float>(x: SparseRef<'_, T>, d: &[f64], leaf: usize) -> Vec<f64> {
    let order = x.cols() + 1;
    let map = |rows: Range<usize>| {
        let mut sums = vec![0.0; order * order];
        for i in rows {
            let (indices, values) = x.line(i);
            let (lines, last) = sums.split_at_mut((order - 1) * order);
            for (k, (&j, v)) in indices.iter().zip(values).enumerate() {
                let (factor, j) = (d[i] * v.to_f64(), j as usize);
                last[j] += factor;
                // Indices rise.
                let line = &mut lines[j * order..(j + 1) * order];
                for (&j, v) in indices[..=k].iter().zip(values) {
                    line[j as usize] += factor * v.to_f64();
                }
            }
            last[order - 1] += d[i];
        }
        sums
    };
    let merge = |mut a: Vec<f64>, b: Vec<f64>| {
        // Lengths agree.
        axpy(1.0, &b, &mut a).unwrap_or_default();
        a
    };
    parallel::map_reduce(x.rows(), leaf, map, merge).unwrap_or_else(|| vec![0.0; order * order])
}

/// The step of a `hessian` with l2 added to its columns; nothing where that is singular or the step would not lead downwards. Gradient and slope are of centred columns and
/// their intercept, and so is the step.
pub(super) fn step<T: Float>(
    x: SparseRef<'_, T>,
    mut hessian: Vec<f64>,
    (l2, intercept): (f64, bool),
    centre: &[f64],
    (gradient, slope): (&[f64], f64),
) -> Result<Option<Step>> {
    let (p, order) = (gradient.len(), gradient.len() + 1);
    (0..p).for_each(|j| hessian[j * (order + 1)] += l2);
    if !intercept {
        // A row of zeros is left out by the factorisation.
        hessian[p * order..].fill(0.0);
    }
    let Some(factor) = Cholesky::new(&hessian, order, SINGULAR_BELOW)? else { return Ok(None) };
    // Of columns as they are the gradient has the centre's share of the slope again.
    let mut b: Vec<f64> = gradient.iter().zip(centre).map(|(g, c)| -(g + c * slope)).collect();
    b.push(-slope);
    factor.solve(&mut b);
    let shift = b.pop().unwrap_or(0.0);
    let intercepts = vec![if intercept { shift + dot(&b, centre)? } else { 0.0 }];
    // Downwards, which NaN is not.
    let along = dot(gradient, &b)? + slope * intercepts[0];
    if !(along < 0.0 && along.is_finite()) {
        return Ok(None);
    }
    let mut z = super::by_rows::products(x, &b);
    z.iter_mut().for_each(|z| *z += shift);
    Ok(Some(Step { b, intercepts, z }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tilewise_base::Sparse;
    use tilewise_kernels::MatRef;

    fn matrix(rows: usize, cols: usize) -> (Vec<f64>, Sparse) {
        let cell = |k: usize| if k.is_multiple_of(3) { ((k * 7919) % 101) as f64 - 50.0 } else { 0.0 };
        let dense: Vec<f64> = (0..rows * cols).map(cell).collect();
        let sparse = Sparse::of_dense(MatRef::new(&dense, rows, cols).unwrap()).unwrap();
        (dense, sparse)
    }

    /// Against loops over the dense matrix with a column of ones, with leaves enough to be merged.
    #[test]
    fn hessian_is_that_of_dense_rows() {
        let (rows, cols) = (700, 13);
        let (dense, sparse) = matrix(rows, cols);
        let d: Vec<f64> = (0..rows).map(|i| 0.5 + (i % 5) as f64).collect();
        let run = |threads| parallel::with_threads(threads, || hessian(sparse.view(), &d, 90));
        let found = run(1);
        assert_eq!(found, run(3));
        let cell = |i: usize, j: usize| if j == cols { 1.0 } else { dense[i * cols + j] };
        for j in 0..=cols {
            for k in 0..=j {
                // Halves of whole numbers: exact.
                let expected: f64 = (0..rows).map(|i| d[i] * cell(i, j) * cell(i, k)).sum();
                assert_eq!(found[j * (cols + 1) + k], expected, "{j} {k}");
            }
        }
    }

    #[test]
    fn shape_decides() {
        // 4 cells of 13 in a row: 2.7 pairs for each.
        assert!(leaf(matrix(3000, 13).1.view()).is_some());
        // Fewer leaves than there may be processors.
        assert_eq!(leaf(matrix(700, 13).1.view()), None);
        // 100 of 300: 50 pairs.
        assert_eq!(leaf(matrix(700, 300).1.view()), None);
        // More columns than the cells of few rows pay for.
        assert_eq!(leaf(matrix(2, 60).1.view()), None);
    }
}
