//! Several targets in one model: a fit for each, on the same encoded rows.

use super::{Estimator, Pipeline, categories};
use crate::{Chunk, LinearModel, Link, Rows};
use tilewise_base::encoder::{Encoder, Options};
use tilewise_base::rounds::run;
use tilewise_base::{Context, Dataset, Error, Fit, FitReport, Result, Roles, Task, roles};
use tilewise_kernels::MatRef;

/// Whether an estimator learns several targets.
pub(super) fn takes(estimator: &Estimator) -> bool {
    matches!(estimator, Estimator::LeastSquares(_) | Estimator::ElasticNet { search: None, .. })
}

/// As [`Pipeline::fit`], of several targets. Time is that of a fit for each target; rows are encoded once.
pub(super) fn fit(
    kind: &str,
    estimator: &Estimator,
    options: Options,
    dataset: &Dataset,
    roles: &Roles,
    context: &Context<'_>,
) -> Result<Pipeline> {
    let (inputs, targets) = (roles.inputs(dataset)?, roles.needed_targets()?);
    if !takes(estimator) {
        let what = "it learns one target; least squares, ridge, lasso and elastic net with a given alpha learn several";
        return Err(Error::column(
            &targets[1],
            format!("is a second target, besides {:?}; {what}", targets[0]),
        ));
    }
    let (weights, offset) = (roles.weights(dataset)?, roles.offsets(dataset)?);
    let encoder = Encoder::fit(dataset, &inputs, weights.as_deref(), options)?;
    if encoder.width() == 0 {
        return Err(Error::Fit("the inputs have no column with a value".into()));
    }
    let design = encoder.encode_to(&context.storage, dataset)?;
    let x = MatRef::new(&design, dataset.rows(), encoder.width())?;
    let rows = Rows { weights: weights.as_deref(), offset: offset.as_deref() };
    let mut fits = Vec::with_capacity(targets.len());
    for target in targets {
        let y = roles::numbers(dataset, target)?;
        fits.push(match estimator {
            Estimator::LeastSquares(params) => {
                let mut trainer = params.trainer(x.cols(), x.rows())?.categories(categories(&encoder))?;
                run(&mut trainer, &Chunk { x, y: &y, rows, first_row: 0 }, context)?;
                trainer.finish()?
            }
            Estimator::ElasticNet { params, .. } => params.fit(x, &y, rows, context)?,
            _ => return Err(Error::Fit("this estimator learns one target".into())),
        });
    }
    let fitted = together(targets, fits);
    let task = Task::Outputs { names: targets.to_vec() };
    Pipeline::assembled(kind, estimator.clone(), encoder, fitted, roles, task)
}

/// One model of several. Its objective is the sum of theirs, its optimality the worst; words name the target that they are about.
fn together(targets: &[String], fits: Vec<Fit<LinearModel>>) -> (LinearModel, FitReport) {
    let mut model = LinearModel { coefficients: Vec::new(), intercepts: Vec::new(), link: Link::Identity };
    let mut report = FitReport { converged: true, ..FitReport::default() };
    let mut stopped: Vec<String> = Vec::new();
    for (target, fit) in targets.iter().zip(fits) {
        model.coefficients.extend(fit.model.coefficients);
        model.intercepts.extend(fit.model.intercepts);
        report.converged &= fit.report.converged;
        report.objective += fit.report.objective;
        report.optimality = report.optimality.max(fit.report.optimality);
        report.rounds = report.rounds.max(fit.report.rounds);
        report.warnings.extend(fit.report.warnings.into_iter().map(|text| format!("{target}: {text}")));
        stopped.push(format!("{target}: {}", fit.report.stopped));
    }
    report.stopped = stopped.join("; ");
    (model, report)
}
