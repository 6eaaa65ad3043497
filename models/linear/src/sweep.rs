//! What a smooth objective asks of rows, in one sweep: margins, probabilities, loss and gradient of a block of
//! rows while the block is in cache, and the Hessian where it is wanted.

use crate::block::{block_rows, leaf_rows};
use crate::deviance::Distribution;
use crate::{Chunk, Element};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tilewise_base::{Error, Result};
use tilewise_kernels::{MatMut, MatRef, axpy, centred_sums, gram, parallel, sum};

mod bend;
mod binomial;
mod deviance;
mod huber;
mod multinomial;

pub(crate) use bend::Bend;
pub(crate) use huber::Robust;

/// The point at which sums are wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Point {
    /// One row per linear predictor.
    pub(crate) coefficients: Vec<f64>,
    pub(crate) intercepts: Vec<f64>,
    /// One factor per class; empty for ones.
    pub(crate) class_weights: Vec<f64>,
    /// The Hessian is wanted, for features with this taken off.
    pub(crate) centre: Option<Vec<f64>>,
    /// The smallest margin is wanted.
    pub(crate) margin: bool,
    /// Of the leaves of rows one in so many is read: a sample.
    pub(crate) every: usize,
}

/// Sums over rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sweep {
    pub(crate) loss: f64,
    /// Per linear predictor: its coefficients' gradient, then its intercept's.
    pub(crate) gradient: Vec<f64>,
    /// Row-major in the gradient's order; its lower triangle holds.
    pub(crate) hessian: Vec<f64>,
    /// The smallest margin by which a row of positive weight is on its own side, offset apart; infinite where it was not
    /// wanted.
    pub(crate) margin: f64,
    /// Of a sample of two classes the weight of its rows.
    pub(crate) weight: f64,
}

impl Sweep {
    pub(crate) fn of<T: Element>(chunk: &Chunk<'_, T, u32>, point: &Point) -> Result<Self> {
        let (n, p) = (chunk.x.rows(), chunk.x.cols());
        let every = point.every.max(1);
        let leaf = match every {
            1 => leaf_rows(p, if point.centre.is_some() { 2 * p } else { 1 }),
            // Rows that lie together are often alike: a sample is of many short leaves.
            _ => 4 * p,
        };
        // Coefficients feature by feature: a product with the transpose would pack them for every block of rows.
        let predictors = point.intercepts.len();
        let by_feature: Vec<f64> = match predictors {
            1 => Vec::new(),
            _ => MatRef::new(&point.coefficients, predictors, p)?.transpose().to_vec(),
        };
        let map = |range: Range<usize>| match predictors {
            1 => binomial::leaf(chunk, point, range),
            _ => multinomial::leaf(chunk, point, &by_feature, range),
        };
        let read = |at: Range<usize>| map(at.start * every * leaf..n.min((at.start * every + 1) * leaf));
        parallel::map_reduce(n.div_ceil(leaf).div_ceil(every), 1, read, |a, b| Ok(a?.merge(&b?)))
            .unwrap_or_else(|| Err(Error::Fit("there are no rows; a fit needs at least one".into())))
    }

    /// The same for numbers.
    pub(crate) fn of_numbers<T: Element>(
        chunk: &Chunk<'_, T, f64>,
        point: &Point,
        distribution: Distribution,
    ) -> Result<Self> {
        let (n, p) = (chunk.x.rows(), chunk.x.cols());
        let leaf = leaf_rows(p, if point.centre.is_some() { 2 * p } else { 1 });
        let map = |range: Range<usize>| deviance::leaf(chunk, point, distribution, range);
        parallel::map_reduce(n, leaf, map, |a, b| Ok(a?.merge(&b?)))
            .unwrap_or_else(|| Err(Error::Fit("there are no rows; a fit needs at least one".into())))
    }

    /// The same for residuals by Huber's loss.
    pub(crate) fn of_residuals<T: Element>(chunk: &Chunk<'_, T, f64>, at: &Robust) -> Result<Self> {
        let (n, p) = (chunk.x.rows(), chunk.x.cols());
        let map = |range: Range<usize>| huber::leaf(chunk, at, range);
        parallel::map_reduce(n, leaf_rows(p, 2 * p), map, |a, b| Ok(a?.merge(&b?)))
            .unwrap_or_else(|| Err(Error::Fit("there are no rows; a fit needs at least one".into())))
    }

    fn new(predictors: usize, features: usize, hessian: bool) -> Self {
        let order = predictors * (features + 1);
        let hessian = vec![0.0; if hessian { order * order } else { 0 }];
        Self { loss: 0.0, gradient: vec![0.0; order], hessian, margin: f64::INFINITY, weight: 0.0 }
    }

    /// The Hessian of one linear predictor: rows x with `centre` taken off, each times its curvature, and the intercept's behind them.
    fn bend(&mut self, x: MatRef<'_, f64>, centre: &[f64], curvature: &[f64]) -> Result<()> {
        let (p, order) = (x.cols(), self.gradient.len());
        let features = MatMut::with_strides(&mut self.hessian, 0, p, p, order as isize, 1)?;
        gram(x, Some(curvature), Some(centre), features)?;
        let last = &mut self.hessian[p * order..];
        centred_sums(x, centre, [curvature], [&mut last[..p]])?;
        last[p] = sum(curvature);
        Ok(())
    }

    pub(crate) fn merge(mut self, other: &Self) -> Self {
        self.loss += other.loss;
        // Lengths agree: both come from the same request.
        axpy(1.0, &other.gradient, &mut self.gradient).unwrap_or_default();
        axpy(1.0, &other.hessian, &mut self.hessian).unwrap_or_default();
        self.margin = self.margin.min(other.margin);
        self.weight += other.weight;
        self
    }
}

/// Sums over rows that no point changes: weight x target, weight x e^offset, weight x the loss's constant.
pub(crate) fn totals<T: Element>(chunk: &Chunk<'_, T, f64>, distribution: Distribution) -> Result<[f64; 3]> {
    let map = |range: Range<usize>| deviance::totals(chunk, distribution, range);
    let merge = |a: Result<[f64; 3]>, b: Result<[f64; 3]>| {
        let (a, b) = (a?, b?);
        Ok([a[0] + b[0], a[1] + b[1], a[2] + b[2]])
    };
    parallel::map_reduce(chunk.x.rows(), leaf_rows(1, 1), map, merge).unwrap_or(Ok([0.0; 3]))
}

/// A row's weight times that of its class.
fn weight<T: Element>(chunk: &Chunk<'_, T, u32>, point: &Point, row: usize) -> f64 {
    let class = point.class_weights.get(chunk.y[row] as usize).copied().unwrap_or(1.0);
    chunk.weight(row) * class
}

/// `range` cut into blocks that stay in cache.
fn blocks(range: Range<usize>, features: usize) -> impl Iterator<Item = Range<usize>> {
    let step = block_rows::<f64>(features);
    range.clone().step_by(step).map(move |start| start..(start + step).min(range.end))
}
