//! Several targets in one model: a fit for each, on the same encoded rows.

use super::{Estimator, Pipeline};
use crate::{LinearModel, Link};
use tilewise_base::encoder::Encoder;
use tilewise_base::{Error, Fit, FitReport, Result, Roles, Task};

/// Whether an estimator learns several targets.
pub(super) fn takes(estimator: &Estimator) -> bool {
    matches!(
        estimator,
        Estimator::LeastSquares(_) | Estimator::Bounded { .. } | Estimator::ElasticNet { search: None, .. }
    )
}

/// Whether an estimator learns so many targets.
pub(super) fn check(estimator: &Estimator, targets: &[String]) -> Result<()> {
    if targets.len() > 1 && !takes(estimator) { Err(one_only(targets)) } else { Ok(()) }
}

pub(super) fn one_only(targets: &[String]) -> Error {
    let second = targets.get(1).map_or("", String::as_str);
    let what =
        "it learns one target; least squares, ridge, lasso and elastic net with a given alpha learn several";
    let besides = targets.first().map_or("", String::as_str);
    Error::column(second, format!("is a second target, besides {besides:?}; {what}"))
}

impl Pipeline {
    /// The model of a fit for each target.
    pub(super) fn of_several(
        kind: &str,
        estimator: Estimator,
        encoder: Encoder,
        fits: Vec<Fit<LinearModel>>,
        roles: &Roles,
    ) -> Result<Self> {
        let targets = roles.needed_targets()?;
        let task = Task::Outputs { names: targets.to_vec() };
        Self::assembled(kind, estimator, encoder, together(targets, fits), roles, task)
    }
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
