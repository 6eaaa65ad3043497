//! The weight of the penalty by cross-validation.
//!
//! Where products of columns are gathered, each fold's are gathered once: those of the other folds merged are what a fold is
//! trained on, and its own tell its error, so that all folds and penalties cost one pass over the rows. Otherwise every fold
//! copies its columns. Folds run side by side.

use super::{Alphas, ElasticNet, Problem, Stop, check_rows, design, targets};
use crate::moments::{Moments, Second};
use crate::{Chunk, Element, LinearModel, Rows};
use tilewise_base::{Context, Error, Fold, Result};
use tilewise_kernels::{MatRef, dot, parallel};

/// Bytes of copied columns that folds may hold at the same time; beyond, one fold after another.
pub(crate) const COPIES: usize = 1 << 30;

/// What cross-validation tells of penalties.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Weights of the penalty, falling.
    pub alphas: Vec<f64>,
    /// Mean squared error, or another that is compared, on the rows that a fold was not trained on, over all folds.
    pub errors: Vec<f64>,
    /// Standard error of each, from the folds' differences.
    pub standard_errors: Vec<f64>,
    /// The place of the least error.
    pub best: usize,
    /// The place of the largest penalty whose error is at most one standard error above the least (Breiman, Friedman, Olshen,
    /// Stone, 1984).
    pub one_standard_error: usize,
}

/// Weight of a fold's test rows, and their mean squared error for each penalty.
pub(crate) type Tested = (f64, Vec<f64>);

impl ElasticNet {
    /// Compares `alphas` (falling ones are those of all rows) on `folds`; `self.alpha` plays no part.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); when `alphas` are not what they must be, there are fewer than 2 folds, one names a row that is not there,
    /// or its training or test rows have no weight; when cancelled.
    pub fn cross_validate<T: Element>(
        &self,
        x: MatRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        alphas: &Alphas,
        folds: &[Fold],
        context: &Context<'_>,
    ) -> Result<Choice> {
        Self { alpha: 1.0, ..self.clone() }.check()?;
        let chunk = Chunk { x, y, rows, first_row: 0 };
        check_rows(&chunk)?;
        let n = x.rows();
        if folds.len() < 2 {
            return Err(Error::parameter("folds", folds.len(), "2 at least are needed"));
        }
        if let Some(row) = folds.iter().flat_map(|f| f.train.iter().chain(&f.test)).find(|&&row| row >= n) {
            return Err(Error::Fit(format!("a fold has row {row}, and there are {n}")));
        }
        let alphas = alphas.values(self, &self.problem(&chunk, true)?)?;
        let tested: Vec<Result<Tested>> = if self.gathers(n, x.cols(), true) {
            // One fold after another: gathering has threads of its own, and copies the rows of one fold at a time.
            let tests = folds.iter().map(|f| moments(&chunk, &f.test)).collect::<Result<Vec<_>>>()?;
            let trains = if is_partition(folds, n) {
                parallel::map(folds.len(), |k| without(&tests, k)).into_iter().collect::<Result<Vec<_>>>()?
            } else {
                folds.iter().map(|f| moments(&chunk, &f.train)).collect::<Result<Vec<_>>>()?
            };
            parallel::map(folds.len(), |k| {
                let problem = Problem::of_moments(self, &trains[k])?;
                self.test(&problem, &alphas, tests[k].weight, context, |m| {
                    error_of(&tests[k], &m.coefficients, m.intercepts[0])
                })
            })
        } else {
            let one = |k: usize| {
                let weights = |rows: &[usize]| {
                    let mut weights = vec![0.0; n];
                    rows.iter().for_each(|&i| weights[i] = chunk.weight(i));
                    weights
                };
                let problem = Problem::of_columns(self, &chunk, &weights(&folds[k].train))?;
                let weight: f64 = folds[k].test.iter().map(|&i| chunk.weight(i)).sum();
                self.test(&problem, &alphas, weight, context, |m| {
                    Ok(error_on(&chunk, &folds[k].test, m) / weight)
                })
            };
            let copies = parallel::threads().min(folds.len());
            if n.saturating_mul(x.cols()).saturating_mul(8 * copies) > COPIES {
                (0..folds.len()).map(one).collect()
            } else {
                parallel::map(folds.len(), one)
            }
        };
        let tested = tested.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(Choice::new(alphas, &tested))
    }

    /// A path on the training rows, and what `error` says of each model.
    fn test(
        &self,
        problem: &Problem<'_>,
        alphas: &[f64],
        weight: f64,
        context: &Context<'_>,
        error: impl Fn(&LinearModel) -> Result<f64>,
    ) -> Result<Tested> {
        if weight <= 0.0 {
            return Err(Error::Fit("the test rows of a fold have no weight".into()));
        }
        let mut errors = Vec::with_capacity(alphas.len());
        let mut start = vec![0.0; problem.mean.len()];
        for &alpha in alphas {
            let solution = problem.solve(self, alpha, start, &mut |_, _| !context.cancelled())?;
            if solution.stop == Stop::Cancelled {
                return Err(Error::Cancelled);
            }
            errors.push(error(&problem.model(self, &solution.coefficients))?);
            start = solution.coefficients;
        }
        Ok((weight, errors))
    }
}

/// Whether every row is tested once and trained on everywhere else.
fn is_partition(folds: &[Fold], rows: usize) -> bool {
    let mut tested = vec![false; rows];
    let once = folds.iter().flat_map(|f| &f.test).all(|&row| !std::mem::replace(&mut tested[row], true));
    let complete = |f: &Fold| {
        let mut seen = vec![false; rows];
        f.train.iter().chain(&f.test).all(|&row| !std::mem::replace(&mut seen[row], true))
            && f.train.len() + f.test.len() == rows
    };
    once && tested.iter().all(|t| *t) && folds.iter().all(complete)
}

/// The sums over `rows` of `chunk`.
fn moments<T: Element>(chunk: &Chunk<'_, T, f64>, rows: &[usize]) -> Result<Moments> {
    let p = chunk.x.cols();
    let mut x = Vec::with_capacity(rows.len() * p);
    rows.iter().for_each(|&i| x.extend((0..p).map(|j| chunk.x.get(i, j))));
    let of = |values: &[f64]| rows.iter().map(|&i| values[i]).collect::<Vec<f64>>();
    let (y, weights, offset) = (of(chunk.y), chunk.rows.weights.map(of), chunk.rows.offset.map(of));
    let rows_of = Rows { weights: weights.as_deref(), offset: offset.as_deref() };
    let some = Chunk { x: MatRef::new(&x, rows.len(), p)?, y: &y, rows: rows_of, first_row: 0 };
    Moments::of(&some, Second::Gram, |range| targets(&some, range))
}

/// All but one, merged one after the other.
fn without(all: &[Moments], left_out: usize) -> Result<Moments> {
    let mut others = all.iter().enumerate().filter(|(k, _)| *k != left_out).map(|(_, m)| m.clone());
    let first = others.next().ok_or_else(design::no_weight)?;
    Ok(others.fold(first, Moments::merge))
}

/// Sum of the weighted squared errors of a model on some rows.
fn error_on<T: Element>(chunk: &Chunk<'_, T, f64>, rows: &[usize], model: &LinearModel) -> f64 {
    let support: Vec<(usize, f64)> =
        model.coefficients.iter().copied().enumerate().filter(|(_, b)| *b != 0.0).collect();
    let square = |&i: &usize| {
        let z: f64 = support.iter().map(|&(j, b)| chunk.x.get(i, j).to_f64() * b).sum();
        chunk.weight(i) * (z + model.intercepts[0] + chunk.offset(i) - chunk.y[i]).powi(2)
    };
    rows.iter().map(square).sum()
}

/// Mean squared error on the rows behind `moments`.
fn error_of(moments: &Moments, b: &[f64], intercept: f64) -> Result<f64> {
    let p = b.len();
    let mut square = moments.target_square - 2.0 * dot(b, &moments.cross)?;
    for (j, row) in moments.second.chunks_exact(p).enumerate().filter(|(j, _)| b[*j] != 0.0) {
        square += b[j] * dot(row, b)?;
    }
    let bias = moments.target_mean - intercept - dot(b, &moments.mean)?;
    Ok(square.max(0.0) / moments.weight + bias * bias)
}

impl Choice {
    pub(crate) fn new(alphas: Vec<f64>, tested: &[Tested]) -> Self {
        let weight: f64 = tested.iter().map(|(w, _)| w).sum();
        let mean = |k: usize| tested.iter().map(|(w, e)| w * e[k]).sum::<f64>() / weight;
        let errors: Vec<f64> = (0..alphas.len()).map(mean).collect();
        let standard_error = |k: usize| {
            let spread: f64 = tested.iter().map(|(w, e)| w * (e[k] - errors[k]).powi(2)).sum();
            (spread / weight / (tested.len() - 1) as f64).sqrt()
        };
        let standard_errors: Vec<f64> = (0..alphas.len()).map(standard_error).collect();
        // The larger penalty of equals.
        let best = (0..alphas.len()).fold(0, |best, k| if errors[k] < errors[best] { k } else { best });
        let within = errors[best] + standard_errors[best];
        let one_standard_error = (0..alphas.len()).find(|&k| errors[k] <= within).unwrap_or(best);
        Self { alphas, errors, standard_errors, best, one_standard_error }
    }
}
