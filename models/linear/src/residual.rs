//! Sums over the rows of the residual of a linear model, in one sweep: margins and gradient of a block of rows while
//! the block is in cache.

use crate::block::{block_rows, leaf_rows};
use crate::{Chunk, Element};
use serde::{Deserialize, Serialize};
use tilewise_base::{Error, Result};
use tilewise_kernels::{MatRef, axpy, gemv, parallel};

/// Sums over rows with the residual r = prediction - share x target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Residual {
    /// Sum of w r^2.
    pub(crate) square: f64,
    /// Sum of w r.
    pub(crate) sum: f64,
    /// Sum of w r (x - centre).
    pub(crate) gradient: Vec<f64>,
}

impl Residual {
    pub(crate) fn of<T: Element>(
        chunk: &Chunk<'_, T, f64>,
        coefficients: &[f64],
        centre: &[f64],
        (target_mean, share): (f64, f64),
    ) -> Result<Self> {
        let p = chunk.x.cols();
        let map = |range: std::ops::Range<usize>| {
            let mut out = Self { square: 0.0, sum: 0.0, gradient: vec![0.0; p] };
            let (mut scratch, mut centred, mut margins) = (Vec::new(), Vec::new(), Vec::new());
            for start in range.clone().step_by(block_rows::<f64>(p)) {
                let end = (start + block_rows::<f64>(p)).min(range.end);
                let x = T::widen(chunk.x.row_range(start..end), &mut scratch)?;
                // Of centred features, or years and prices would leave the rounding of an intercept of millions.
                centred.clear();
                let rows = (0..end - start).filter_map(|i| x.row(i));
                rows.for_each(|row| centred.extend(row.iter().zip(centre).map(|(x, m)| x - m)));
                let x = MatRef::new(&centred, end - start, p)?;
                margins.clear();
                margins.extend((start..end).map(|i| share * (target_mean - (chunk.y[i] - chunk.offset(i)))));
                gemv(1.0, x, coefficients, 1.0, &mut margins)?;
                for (i, r) in margins.iter_mut().enumerate() {
                    let weighted = chunk.weight(start + i) * *r;
                    out.square += weighted * *r;
                    out.sum += weighted;
                    *r = weighted;
                }
                gemv(1.0, x.transpose(), &margins, 1.0, &mut out.gradient)?;
            }
            Ok(out)
        };
        parallel::map_reduce(chunk.x.rows(), leaf_rows(p, 1), map, |a: Result<Self>, b| Ok(a?.merge(&b?)))
            .unwrap_or_else(|| Err(Error::Fit("there are no rows".into())))
    }

    pub(crate) fn merge(mut self, other: &Self) -> Self {
        self.square += other.square;
        self.sum += other.sum;
        // Lengths agree: both come from the same request.
        axpy(1.0, &other.gradient, &mut self.gradient).unwrap_or_default();
        self
    }
}
