//! The weight of a penalty by cross-validation on the encoded rows of a table.
//!
//! Means and deviations of the encoding are those of all training rows, which tells a fold nothing about targets.

use super::Estimator;
use crate::elastic_net::choice::{COPIES, Choice};
use crate::sparse::loss::{Answers, Loss};
use crate::sparse::start as mean_of_log;
use crate::{Alphas, Distribution, ElasticNet, Element, LinearModel, Quantile, Rows};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use tilewise_base::metric::{
    Truth, baseline, gamma_deviance, pinball_loss, poisson_deviance, tweedie_deviance,
};
use tilewise_base::{Compared, Context, Division, Error, Fit, FitReport, Result};
use tilewise_kernels::{MatRef, parallel, sum};

/// How the weight is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// Folds, drawn by the seed; rows of a group stay together.
    pub folds: usize,
    /// Weights to compare.
    pub alphas: Alphas,
    /// Take the largest weight within one standard error of the least error, not the one of the least error.
    pub one_standard_error: bool,
}

/// What a search found.
pub(super) struct Found {
    /// What was found, in words.
    pub(super) note: String,
    /// What a person should know of it.
    pub(super) warning: Option<String>,
    pub(super) compared: Compared,
}

impl Found {
    /// Adds it to what is told of the fit.
    pub(super) fn tell(&self, report: &mut FitReport) {
        report.stopped = format!("{}; {}", self.note, report.stopped);
        report.warnings.extend(self.warning.clone());
    }
}

impl Search {
    /// Sets the weight of `params`; tells what was found.
    pub(super) fn choose<T: Element>(
        &self,
        params: &mut ElasticNet,
        x: MatRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        groups: Option<Vec<u32>>,
        context: &Context<'_>,
    ) -> Result<Found> {
        let division = groups.map_or(Division::Random, Division::Groups);
        let folds = division.folds(x.rows(), self.folds, context.seed)?;
        let choice = params.cross_validate(x, y, rows, &self.alphas, &folds, context)?;
        let (alpha, found) = self.taken(choice, division.name(), "mean squared error");
        params.alpha = alpha;
        Ok(found)
    }

    /// The same of an estimator that is fitted to each fold anew: the deviance of generalised models decides, the pinball loss of quantiles.
    pub(super) fn choose_of<T: Element>(
        &self,
        of: &Estimator,
        x: MatRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        groups: Option<Vec<u32>>,
        context: &Context<'_>,
    ) -> Result<(Estimator, Found)> {
        let division = groups.map_or(Division::Random, Division::Groups);
        let folds = division.folds(x.rows(), self.folds, context.seed)?;
        let weight = |i: usize| rows.weights.map_or(1.0, |w| w[i]);
        let alphas = self.alphas.below(|| largest(of, x, y, rows))?;
        let total = (folds.len() * alphas.len()) as u64;
        let (done, unfinished) = (Mutex::new(0), AtomicU64::new(0));
        let one = |k: usize| {
            let fold = &folds[k];
            let (train, test) = (Part::of(x, y, rows, &fold.train), Part::of(x, y, rows, &fold.test));
            let weight: f64 = fold.test.iter().map(|&i| weight(i)).sum();
            if weight <= 0.0 {
                return Err(Error::Fit("the test rows of a fold have no weight".into()));
            }
            let mut errors = Vec::with_capacity(alphas.len());
            train.path(of, &alphas, &context.silent(), |alpha, Fit { model, report }| {
                unfinished.fetch_add(u64::from(!report.converged), Relaxed);
                if context.cancelled() {
                    return Err(Error::Cancelled);
                }
                errors.push(test.error(of, &model)?);
                // Told in order.
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                *done += 1;
                context.progress.round(*done, total, &format!("alpha {alpha:.1e}"));
                Ok(())
            })?;
            Ok((weight, errors))
        };
        // Each with a copy of its rows; where these are large, one after the other. All of them may be there at once: a thread that waits within a
        // fold takes another one up.
        let is_large =
            x.rows().saturating_mul(x.cols()).saturating_mul(size_of::<T>() * folds.len()) > COPIES;
        let tested: Vec<Result<_>> =
            if is_large { (0..folds.len()).map(one).collect() } else { parallel::map(folds.len(), one) };
        let tested = tested.into_iter().collect::<Result<Vec<_>>>()?;
        let unfinished = unfinished.into_inner();
        let (alpha, mut found) = self.taken(Choice::new(alphas, &tested), division.name(), measure(of));
        let more = (unfinished > 0).then(|| {
            format!("{unfinished} of {total} fits to parts of the rows, by which alpha was chosen, did not converge")
        });
        found.warning = [found.warning, more].into_iter().flatten().reduce(|a, b| format!("{a}; {b}"));
        Ok((with_alpha(of, alpha), found))
    }

    /// The weight that is taken, and what was found.
    fn taken(&self, choice: Choice, division: &str, measure: &'static str) -> (f64, Found) {
        let place = if self.one_standard_error { choice.one_standard_error } else { choice.best };
        let alpha = choice.alphas[place];
        let note = format!(
            "alpha {alpha:.4e} of {} by {} {division} folds, {measure} {:.6e}",
            choice.alphas.len(),
            self.folds,
            choice.errors[place]
        );
        let at_the_end = choice.alphas.len() > 1 && place + 1 == choice.alphas.len();
        let warning = "the smallest alpha that was compared has the least error: a smaller one may be better";
        let compared = Compared {
            measure,
            folds: self.folds,
            alphas: choice.alphas,
            errors: choice.errors,
            standard_errors: choice.standard_errors,
            best: choice.best,
            one_standard_error: choice.one_standard_error,
        };
        (alpha, Found { note, warning: at_the_end.then(|| warning.to_owned()), compared })
    }
}

/// Falling weights whose penalty has less of |b|_1, or nothing, begin where they would with so much of it. With glmnet's 0.001 the least
/// error of Poisson regression of diabetes was that of the last weight, a thousandth of the first.
const LEAST_SHARE: f64 = 0.1;

/// The error that decides.
fn measure(of: &Estimator) -> &'static str {
    if let Estimator::Quantile(_) = of { "pinball loss" } else { "mean deviance" }
}

fn not_searched() -> Error {
    Error::parameter(
        "alpha",
        "cv",
        "a number is, but of generalised models, quantiles, lasso and elastic net",
    )
}

fn with_alpha(of: &Estimator, alpha: f64) -> Estimator {
    let mut of = of.clone();
    match &mut of {
        Estimator::Generalised(params) => params.alpha = alpha,
        Estimator::Quantile(params) => params.alpha = alpha,
        _ => {}
    }
    of
}

/// The least weight at which all coefficients are zero; of quantiles, where several intercepts may be as good, about it.
fn largest<T: Element>(of: &Estimator, x: MatRef<'_, T>, y: &[f64], rows: Rows<'_>) -> Result<f64> {
    let n = x.rows();
    let weight: f64 = (0..n).map(|i| rows.weights.map_or(1.0, |w| w[i])).sum();
    let share = |i: usize| rows.weights.map_or(1.0, |w| w[i]) / weight;
    let shares: Vec<f64> = (0..n).map(share).collect();
    let offset = |i: usize| rows.offset.map_or(0.0, |o| o[i]);
    let (slope, l1_ratio, intercept) = match of {
        Estimator::Generalised(params) => {
            params.distribution.check_convex("a search for alpha")?;
            let start = mean_of_log(y, &shares, rows.offset, params.intercept)?;
            let z: Vec<f64> = (0..n).map(|i| start + offset(i)).collect();
            let answers =
                Answers { loss: Loss::Deviance(params.distribution), y: y.to_vec(), shares: shares.clone() };
            (answers.at(&z)?.slope, params.l1_ratio.max(LEAST_SHARE), params.intercept)
        }
        Estimator::Quantile(params) => {
            let targets: Vec<f64> = (0..n).map(|i| y[i] - offset(i)).collect();
            let middle = match params.intercept {
                true => baseline(
                    &Truth::Quantiles { y: targets.clone(), quantiles: vec![params.quantile] },
                    Some(&shares),
                )[0],
                false => 0.0,
            };
            let slope = |i: usize| {
                let below = if targets[i] < middle { 1.0 } else { 0.0 };
                if targets[i] == middle { 0.0 } else { shares[i] * (below - params.quantile) }
            };
            ((0..n).map(slope).collect(), 1.0, params.intercept)
        }
        _ => return Err(not_searched()),
    };
    let mean_slope = if intercept { sum(&slope) } else { 0.0 };
    let mut pulls = vec![0.0; x.cols()];
    for i in 0..n {
        // About the means of the columns, as the intercept takes the mean slope.
        let pull = slope[i] - mean_slope * shares[i];
        pulls.iter_mut().enumerate().for_each(|(j, sum)| *sum += pull * x.get(i, j).to_f64());
    }
    Ok(pulls.iter().fold(0.0f64, |most, pull| most.max(pull.abs())) / l1_ratio)
}

/// Fits at each of falling weights; `each` hears of them. Quantiles have no use for where the one before ended: interior points begin in the
/// middle.
pub(super) fn path<T: Element>(
    of: &Estimator,
    x: MatRef<'_, T>,
    y: &[f64],
    rows: Rows<'_>,
    alphas: &[f64],
    context: &Context<'_>,
    mut each: impl FnMut(f64, Fit<LinearModel>) -> Result<()>,
) -> Result<()> {
    match of {
        Estimator::Generalised(params) => params.path(x, y, rows, alphas, context, each),
        Estimator::Quantile(params) => alphas.iter().try_for_each(|&alpha| {
            each(alpha, Quantile { alpha, ..params.clone() }.fit(x, y, rows, context)?)
        }),
        _ => Err(not_searched()),
    }
}

/// Some rows, copied.
struct Part<T> {
    x: Vec<T>,
    cols: usize,
    y: Vec<f64>,
    weights: Option<Vec<f64>>,
    offset: Option<Vec<f64>>,
}

impl<T: Element> Part<T> {
    fn of(x: MatRef<'_, T>, y: &[f64], rows: Rows<'_>, which: &[usize]) -> Self {
        let cols = x.cols();
        let some = |all: &[f64]| which.iter().map(|&i| all[i]).collect::<Vec<f64>>();
        let mut cells = Vec::with_capacity(which.len() * cols);
        which.iter().for_each(|&i| cells.extend((0..cols).map(|j| x.get(i, j))));
        Self { x: cells, cols, y: some(y), weights: rows.weights.map(some), offset: rows.offset.map(some) }
    }

    fn path(
        &self,
        of: &Estimator,
        alphas: &[f64],
        context: &Context<'_>,
        each: impl FnMut(f64, Fit<LinearModel>) -> Result<()>,
    ) -> Result<()> {
        let x = MatRef::new(&self.x, self.y.len(), self.cols)?;
        let rows = Rows { weights: self.weights.as_deref(), offset: self.offset.as_deref() };
        path(of, x, &self.y, rows, alphas, context, each)
    }

    fn error(&self, of: &Estimator, model: &LinearModel) -> Result<f64> {
        let mut predicted = vec![0.0; self.y.len()];
        let mut row = vec![0.0; self.cols];
        for (i, (out, cells)) in predicted.iter_mut().zip(self.x.chunks_exact(self.cols)).enumerate() {
            row.iter_mut().zip(cells).for_each(|(to, x)| *to = x.to_f64());
            model.predict_row(&row, self.offset.as_ref().map_or(0.0, |o| o[i]), std::slice::from_mut(out))?;
        }
        // A mean that is lost to f64 is one that is very wrong.
        if let Estimator::Generalised(_) = of {
            predicted.iter_mut().for_each(|mean| *mean = mean.clamp(f64::MIN_POSITIVE, f64::MAX));
        }
        let weights = self.weights.as_deref();
        match of {
            Estimator::Quantile(params) => pinball_loss(&self.y, &predicted, &[params.quantile], weights),
            Estimator::Generalised(params) => match params.distribution {
                Distribution::Poisson => poisson_deviance(&self.y, &predicted, weights),
                Distribution::Gamma => gamma_deviance(&self.y, &predicted, weights),
                Distribution::Tweedie(power) => tweedie_deviance(&self.y, &predicted, power, weights),
                // Not searched: refused at the start.
                Distribution::Normal(_) => Err(not_searched()),
            },
            _ => Err(not_searched()),
        }
    }
}
