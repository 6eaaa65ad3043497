//! Plain gradient descent in three forms, because people come to compare them: serial loops, tasks over components of
//! the coefficients, and row blocks. Newton and L-BFGS (`logistic.rs`) and Cholesky (`least_squares.rs`) reach the same
//! minimum in far fewer passes over the data.
//!
//! Every round computes residuals r = prediction - target and the gradient X^T r, then steps along it with a fixed
//! step, by default one over the largest curvature, which power iteration estimates; where that turns out too long, it
//! is halved. The objectives are those of [`crate::LeastSquares`] and [`crate::Logistic`].
//!
//! - `rows`: a block of rows yields margins, residuals and its share of the gradient while it is in cache, so that X is
//!   read from memory once a round. Shares merge in a fixed tree.
//! - `tasks`: residuals first, then each strip of components gathers its own part of the gradient from all rows; X is
//!   read twice, and nothing needs merging.
//!
//! Margins and a block's gradient are computed in the type of the features, sums over blocks in `f64`.

use crate::rows::{check_not_negative, check_shape};
use crate::{Chunk, Element, LinearModel, Link, Rows};
use serde::{Deserialize, Serialize};
use tilewise_base::{Context, Error, Fit, FitReport, Result};
use tilewise_kernels::parallel::Scheme;
use tilewise_kernels::random::Philox;
use tilewise_kernels::{MatRef, sigmoid};

mod naive;
mod row_blocks;
mod strips;

/// Products with X^T X that the estimate of the largest curvature may take.
const POWER_ROUNDS: usize = 30;

/// Relative change at which the estimate is good enough.
const POWER_TOLERANCE: f64 = 1e-2;

/// The estimate comes from below; descent converges for any step under twice the one it gives.
const SAFETY: f64 = 1.05;

/// Growth of the gradient's norm, which no step short enough lets grow at all, that shows an estimated step to be too
/// long; less may be rounding.
const GROWTH: f64 = 2.0;

/// Rows after which a sum in the type of the features is added to one in `f64`.
const ROWS: usize = 1024;

/// What a row contributes to the objective.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DescentLoss {
    /// (prediction - target)^2, as least squares.
    #[default]
    Squared,
    /// ln(1 + e^z) - target z for targets 0 and 1, as logistic regression.
    Logistic,
}

/// Parameters of plain gradient descent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradientDescent {
    /// What is minimised.
    pub loss: DescentLoss,
    /// Weight of the penalty: |b|^2 with the squared loss, |b|^2 / 2 with the logistic.
    pub l2: f64,
    /// Whether to fit an intercept.
    pub intercept: bool,
    /// Length of a step along the gradient of the objective per unit of weight; estimated when none.
    pub step: Option<f64>,
    /// Ends when no entry of the gradient is larger; 0 runs all rounds.
    pub tolerance: f64,
    /// Rounds at most.
    pub max_rounds: u64,
}

impl Default for GradientDescent {
    fn default() -> Self {
        Self {
            loss: DescentLoss::Squared,
            l2: 0.0,
            intercept: true,
            step: None,
            tolerance: 1e-6,
            max_rounds: 1000,
        }
    }
}

/// How the gradient of all rows is computed: rows, coefficients, intercept and the form of the residual go in; the
/// sums of residual times feature, then the sum of residuals, come out.
type Gradient<T> = fn(&Problem<'_, T>, &[f64], Shape) -> Result<Vec<f64>>;

/// What becomes of a margin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// weight x (margin - target).
    Squared,
    /// weight x (sigmoid(margin) - target).
    Logistic,
    /// weight x margin, offset apart: for power iteration.
    Product,
}

/// The point of the smallest gradient so far: where a step that turns out too long is taken back to.
struct Best {
    norm: f64,
    b: Vec<f64>,
    gradient: Vec<f64>,
}

struct Problem<'a, T> {
    chunk: Chunk<'a, T, f64>,
}

impl<T: Element> Problem<'_, T> {
    /// What is added to x b in each row of `rows`.
    fn start(&self, rows: std::ops::Range<usize>, intercept: f64, shape: Shape, margins: &mut Vec<T>) {
        margins.clear();
        match self.chunk.rows.offset.filter(|_| shape != Shape::Product) {
            Some(offset) => margins.extend(offset[rows].iter().map(|o| T::from_f64(intercept + o))),
            None => margins.resize(rows.len(), T::from_f64(intercept)),
        }
    }

    /// Turns the margins of the rows from `first` on into weighted residuals.
    fn residuals(&self, first: usize, shape: Shape, margins: &mut [T], scratch: &mut Vec<T>) -> Result<()> {
        let rows = first..first + margins.len();
        match shape {
            Shape::Squared => {
                margins.iter_mut().zip(&self.chunk.y[rows.clone()]).for_each(|(m, y)| *m -= T::from_f64(*y));
            }
            Shape::Logistic => {
                scratch.clear();
                scratch.extend_from_slice(margins);
                sigmoid(scratch, margins)?;
                margins.iter_mut().zip(&self.chunk.y[rows.clone()]).for_each(|(m, y)| *m -= T::from_f64(*y));
            }
            Shape::Product => {}
        }
        if let Some(weights) = self.chunk.rows.weights {
            margins.iter_mut().zip(&weights[rows]).for_each(|(m, w)| *m *= T::from_f64(*w));
        }
        Ok(())
    }
}

impl GradientDescent {
    /// Descends with the scheme of `context`. Targets are numbers, for the logistic loss from 0 to 1.
    ///
    /// # Errors
    /// When shapes do not fit, there are no rows or features, a number is NaN or infinite (named by row and feature), or
    /// the step is so long that the objective overflows.
    pub fn fit<T: Element>(
        &self,
        x: MatRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        context: &Context<'_>,
    ) -> Result<Fit<LinearModel>> {
        match context.scheme {
            Scheme::Tasks => self.descend(x, y, rows, context, strips::gradient),
            // One pass over X beats two on every shape measured, from 1,000 x 10 to 2,000 x 20,000.
            Scheme::Rows | Scheme::Auto => self.descend(x, y, rows, context, row_blocks::gradient),
        }
    }

    /// The same by plain serial loops, the form that the others are compared with.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_naive<T: Element>(
        &self,
        x: MatRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        context: &Context<'_>,
    ) -> Result<Fit<LinearModel>> {
        self.descend(x, y, rows, context, naive::gradient)
    }

    fn check<T: Element>(&self, chunk: &Chunk<'_, T, f64>) -> Result<f64> {
        check_shape(chunk.x.rows(), chunk.x.cols())?;
        check_not_negative("l2", self.l2)?;
        check_not_negative("tolerance", self.tolerance)?;
        if let Some(step) = self.step.filter(|s| !(s.is_finite() && *s > 0.0)) {
            return Err(Error::parameter("step", step, "expected a finite positive number"));
        }
        chunk.check()?;
        let (accepted, range) = match self.loss {
            DescentLoss::Squared => ("targets are finite", f64::MIN..=f64::MAX),
            DescentLoss::Logistic => ("targets are from 0 to 1", 0.0..=1.0),
        };
        if let Some(i) = chunk.y.iter().position(|y| !range.contains(y)) {
            return Err(chunk.bad(i, "target", accepted));
        }
        let weight = chunk.rows.weights.map_or(chunk.x.rows() as f64, |w| w.iter().sum());
        if weight > 0.0 {
            Ok(weight)
        } else {
            Err(Error::Fit("all weights are zero; at least one row must count".into()))
        }
    }

    fn descend<T: Element>(
        &self,
        x: MatRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        context: &Context<'_>,
        sums: Gradient<T>,
    ) -> Result<Fit<LinearModel>> {
        let chunk = Chunk { x, y, rows, first_row: 0 };
        let weight = self.check(&chunk)?;
        let (problem, p) = (Problem { chunk }, x.cols());
        // The squared loss and its penalty have twice the gradient of their halves.
        let (shape, factor) = match self.loss {
            DescentLoss::Squared => (Shape::Squared, 2.0),
            DescentLoss::Logistic => (Shape::Logistic, 1.0),
        };
        let mut step = match self.step {
            Some(step) => step,
            None => 1.0 / (SAFETY * self.curvature(&problem, weight, context, sums)?),
        };
        let mut report = FitReport::default();
        let mut b = vec![0.0; p + 1];
        let mut best = Best { norm: f64::INFINITY, b: Vec::new(), gradient: Vec::new() };
        loop {
            let mut gradient = sums(&problem, &b, shape)?;
            report.rounds += 1;
            for (g, b) in gradient.iter_mut().zip(&b[..p]) {
                *g = (*g + self.l2 * b) * factor / weight;
            }
            gradient[p] *= if self.intercept { factor / weight } else { 0.0 };
            // `max` would hide a NaN, and so would a comparison once one is the largest.
            let largest = |m: f64, g: &f64| if m.is_nan() || g.abs() <= m { m } else { g.abs() };
            report.optimality = gradient.iter().fold(0.0, largest);
            let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
            if norm < best.norm {
                best = Best { norm, b: b.clone(), gradient: gradient.clone() };
            } else if self.step.is_none()
                && (norm.is_nan() || norm > GROWTH * best.norm)
                && best.norm.is_finite()
            {
                b.clone_from(&best.b);
                gradient.clone_from(&best.gradient);
                report.optimality = gradient.iter().fold(0.0, largest);
                step *= 0.5;
            }
            if !report.optimality.is_finite() {
                return Err(self.not_finite(&problem.chunk, step));
            }
            context.progress.round(
                report.rounds,
                self.max_rounds,
                &format!("gradient {:.1e}", report.optimality),
            );
            if report.optimality <= self.tolerance {
                report.converged = true;
                report.stopped = format!("gradient is within the tolerance {:.1e}", self.tolerance);
                break;
            }
            if report.rounds >= self.max_rounds.max(1) || context.cancelled() {
                let why = if context.cancelled() { "it was interrupted" } else { "the limit was reached" };
                report.stopped = format!("{why} after {} rounds", report.rounds);
                report.warnings.push(format!(
                    "did not converge: {}; gradient {:.1e}",
                    report.stopped, report.optimality
                ));
                break;
            }
            b.iter_mut().zip(&gradient).for_each(|(b, g)| *b -= step * g);
        }
        report.objective = self.objective(&problem.chunk, &b) / weight;
        let intercepts = vec![b.pop().unwrap_or_default()];
        let link = if self.loss == DescentLoss::Logistic { Link::Logit } else { Link::Identity };
        Ok(Fit { model: LinearModel { coefficients: b, intercepts, link }, report })
    }

    fn not_finite<T: Element>(&self, chunk: &Chunk<'_, T, f64>, step: f64) -> Error {
        let (n, p) = (chunk.x.rows(), chunk.x.cols());
        if (0..n).any(|i| (0..p).any(|j| !chunk.x.get(i, j).is_finite())) {
            chunk.not_finite()
        } else {
            Error::Fit(format!(
                "the descent diverged: step {step:e} is too long for these features; take a shorter one"
            ))
        }
    }

    /// The largest curvature of the objective per unit of weight: power iteration on X^T W X with a column of ones.
    fn curvature<T: Element>(
        &self,
        problem: &Problem<'_, T>,
        weight: f64,
        context: &Context<'_>,
        sums: Gradient<T>,
    ) -> Result<f64> {
        let p = problem.chunk.x.cols();
        let random = Philox::new(context.seed, Philox::purpose("gradient descent curvature"));
        let mut v: Vec<f64> = (0..=p as u64).map(|i| random.normal(i)).collect();
        let mut largest = 0.0;
        for _ in 0..POWER_ROUNDS {
            if !self.intercept {
                v[p] = 0.0;
            }
            let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
            if norm == 0.0 {
                break;
            }
            v.iter_mut().for_each(|v| *v /= norm);
            v = sums(problem, &v, Shape::Product)?;
            let before = std::mem::replace(&mut largest, v.iter().map(|v| v * v).sum::<f64>().sqrt());
            if !largest.is_finite() {
                return Err(problem.chunk.not_finite());
            }
            if (largest - before).abs() <= POWER_TOLERANCE * largest {
                break;
            }
        }
        let curvature = match self.loss {
            DescentLoss::Squared => 2.0 * (largest + self.l2) / weight,
            DescentLoss::Logistic => (0.25 * largest + self.l2) / weight,
        };
        Ok(if curvature > 0.0 { curvature } else { 1.0 })
    }

    /// The objective times the total weight, once, at the end.
    fn objective<T: Element>(&self, chunk: &Chunk<'_, T, f64>, b: &[f64]) -> f64 {
        let (n, p) = (chunk.x.rows(), chunk.x.cols());
        let loss = |range: std::ops::Range<usize>| -> f64 {
            let row = |i: usize| {
                let z =
                    (0..p).map(|j| chunk.x.get(i, j).to_f64() * b[j]).sum::<f64>() + b[p] + chunk.offset(i);
                chunk.weight(i)
                    * match self.loss {
                        DescentLoss::Squared => (z - chunk.y[i]).powi(2),
                        DescentLoss::Logistic => z.max(0.0) + (-z.abs()).exp().ln_1p() - chunk.y[i] * z,
                    }
            };
            range.map(row).sum()
        };
        let leaf = crate::block::leaf_rows(p, 1);
        let total = tilewise_kernels::parallel::map_reduce(n, leaf, loss, |a, b| a + b).unwrap_or(0.0);
        let penalty = self.l2 * b[..p].iter().map(|b| b * b).sum::<f64>();
        total + if self.loss == DescentLoss::Squared { penalty } else { 0.5 * penalty }
    }
}
