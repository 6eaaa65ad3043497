//! Task-parallel form: first the residual of every row, then strips of components, each of which gathers its part of the
//! gradient over all rows in order. A component's sum does not depend on the strips.

use super::{Problem, ROWS, Shape};
use crate::Element;
use crate::block::block_rows;
use std::sync::Mutex;
use tilewise_base::{Error, Result};
use tilewise_kernels::{gemv, parallel};

/// Bytes of a row of a strip, at least: three cache lines, so that little of what is fetched goes unused.
const STRIP_BYTES: usize = 192;

/// Strips, at most.
const STRIPS: usize = 64;

/// Components of a strip: as many strips as a power of two, so that they share out evenly among 2, 4, ... threads.
fn strip_len<T>(features: usize) -> usize {
    let strips = (features * size_of::<T>() / STRIP_BYTES).clamp(1, STRIPS);
    features.div_ceil(1 << strips.ilog2())
}

pub(super) fn gradient<T: Element>(problem: &Problem<'_, T>, b: &[f64], shape: Shape) -> Result<Vec<f64>> {
    let (x, n, p) = (problem.chunk.x, problem.chunk.x.rows(), problem.chunk.x.cols());
    let coefficients: Vec<T> = b[..p].iter().map(|b| T::from_f64(*b)).collect();
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let fail = |result: Result<()>| {
        if let Err(e) = result {
            failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(e);
        }
    };
    let mut residuals = vec![T::ZERO; n];
    let block = 4 * block_rows::<T>(p);
    parallel::for_each_chunk_mut(&mut residuals, block, |number, residuals| {
        let first = number * block;
        let rows = first..first + residuals.len();
        let (mut margins, mut scratch) = (Vec::new(), Vec::new());
        problem.start(rows.clone(), b[p], shape, &mut margins);
        fail(gemv(T::ONE, x.row_range(rows), &coefficients, T::ONE, &mut margins).map_err(Into::into));
        fail(problem.residuals(first, shape, &mut margins, &mut scratch));
        residuals.copy_from_slice(&margins);
    });
    let mut gradient = vec![0.0; p + 1];
    let strip = strip_len::<T>(p);
    parallel::for_each_chunk_mut(&mut gradient[..p], strip, |number, gradient| {
        let columns = x.col_range(number * strip..number * strip + gradient.len());
        let mut part = vec![T::ZERO; gradient.len()];
        for (k, residuals) in residuals.chunks(ROWS).enumerate() {
            let rows = columns.row_range(k * ROWS..k * ROWS + residuals.len());
            fail(gemv(T::ONE, rows.transpose(), residuals, T::ZERO, &mut part).map_err(Into::into));
            gradient.iter_mut().zip(&part).for_each(|(g, part)| *g += part.to_f64());
        }
    });
    let sum = |range: std::ops::Range<usize>| residuals[range].iter().map(|r| r.to_f64()).sum::<f64>();
    gradient[p] = parallel::map_reduce(n, 1 << 16, sum, |a, b| a + b).unwrap_or(0.0);
    failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map_or(Ok(gradient), Err)
}
