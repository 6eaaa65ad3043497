//! What coefficients are over weights of the penalty, for those who draw it: lasso and elastic net by their own path
//! ([`ElasticNet::path`]), others whose weight was chosen by a fit for each weight that was compared, as in the folds.

use super::Estimator;
use super::search::path;
use crate::{Alphas, ElasticNet, ElasticNetSolver, Element, Rows};
use tilewise_base::encoder::Encoder;
use tilewise_base::{CoefficientPath, Compared, Context, Error, Result};
use tilewise_kernels::MatRef;

/// How far below the default path one goes to reach a weight that was given.
const FURTHER: f64 = 1e-3;

/// Weights that this takes.
const FURTHER_STEPS: usize = 30;

/// Tells the path of a fit to who wants it. A picture that cannot be made is a warning: the fit is done.
pub(super) fn tell<T: Element>(
    encoder: &Encoder,
    fitted: &Estimator,
    compared: Option<Compared>,
    x: MatRef<'_, T>,
    y: &[f64],
    rows: Rows<'_>,
    context: &Context<'_>,
) {
    if !context.progress.wants_path() {
        return;
    }
    let steps = match fitted {
        // It fits one weight, and without |w| no weight is the first.
        Estimator::ElasticNet { params, .. }
            if params.solver == ElasticNetSolver::Saga || params.l1_ratio == 0.0 && compared.is_none() =>
        {
            return;
        }
        Estimator::ElasticNet { params, .. } => steps(params, compared.as_ref(), x, y, rows, context),
        other => match &compared {
            Some(compared) => each(other, &compared.alphas, x, y, rows, context),
            None => return,
        },
    };
    let alpha = match fitted {
        Estimator::ElasticNet { params, .. } => params.alpha,
        Estimator::Generalised(params) => params.alpha,
        Estimator::Quantile(params) => params.alpha,
        _ => return,
    };
    match steps {
        Ok(steps) => {
            let (alphas, coefficients): (Vec<f64>, Vec<Vec<f64>>) = steps.into_iter().unzip();
            context.progress.path(&CoefficientPath {
                columns: encoder.names(),
                standardised: encoder.standardises(),
                alphas,
                coefficients: coefficients.concat(),
                alpha,
                compared,
            });
        }
        Err(Error::Cancelled) => {}
        Err(error) => {
            context.progress.warning(&format!("there is no picture of coefficients over alpha: {error}"));
        }
    }
}

/// A weight of the penalty, and the coefficients with it.
type Step = (f64, Vec<f64>);

/// The path over the weights that were compared, or over the default ones, and on to one that was given and is below these.
fn steps<T: Element>(
    params: &ElasticNet,
    compared: Option<&Compared>,
    x: MatRef<'_, T>,
    y: &[f64],
    rows: Rows<'_>,
    context: &Context<'_>,
) -> Result<Vec<Step>> {
    let along = |alphas: &Alphas| -> Result<Vec<Step>> {
        let steps = params.path(x, y, rows, alphas, context)?;
        Ok(steps.into_iter().map(|step| (step.alpha, step.model.coefficients)).collect())
    };
    if let Some(compared) = compared {
        return along(&Alphas::Given(compared.alphas.clone()));
    }
    let mut steps = along(&Alphas::default())?;
    if let Some(&(last, _)) = steps.last()
        && params.alpha < last
        && !context.cancelled()
    {
        let least = params.alpha.max(FURTHER * last);
        let ratio = |k: usize| (least / last).powf(k as f64 / FURTHER_STEPS as f64);
        let below = (1..FURTHER_STEPS).map(|k| last * ratio(k)).chain([least]).collect();
        steps.extend(along(&Alphas::Given(below))?);
    }
    Ok(steps)
}

/// A fit for each weight.
fn each<T: Element>(
    of: &Estimator,
    alphas: &[f64],
    x: MatRef<'_, T>,
    y: &[f64],
    rows: Rows<'_>,
    context: &Context<'_>,
) -> Result<Vec<Step>> {
    let mut steps = Vec::with_capacity(alphas.len());
    let done = path(of, x, y, rows, alphas, &context.silent(), |alpha, fit| {
        if context.cancelled() {
            return Err(Error::Cancelled);
        }
        steps.push((alpha, fit.model.coefficients));
        let note = format!("path of coefficients, alpha {alpha:.1e}");
        context.progress.round(steps.len() as u64, alphas.len() as u64, &note);
        Ok(())
    });
    match done {
        Err(Error::Cancelled) if !steps.is_empty() => Ok(steps),
        done => done.map(|()| steps),
    }
}
