//! Models of sparse tables: their inputs are taken as they are, neither centred nor scaled.

use super::{Estimator, Pipeline, several_classes, solver_of_two, stochastic, two_classes};
use crate::{LinearModel, Rows, StochasticDescent, StochasticLoss};
use tilewise_base::{Column, Context, Dataset, Encoder, Error, Kind, Result, SparseRef, SparseTable, Task};
use tilewise_kernels::{MatMut, dot};

/// What the target of a sparse table is called.
const TARGET: &str = "target";

/// The target as a table.
fn target_of(table: &SparseTable) -> Result<Dataset> {
    Dataset::new(vec![(TARGET.into(), Column::F64(table.target.clone().into()))])
}

impl Pipeline {
    /// As [`fit`](Self::fit), of all inputs of a sparse table, none of which is standardised.
    ///
    /// # Errors
    /// As there; when the estimator is plain gradient descent, quantile regression or group lasso, a penalty is to be chosen by cross-validation, a
    /// scale of residuals to be found, or coefficients of more than two classes to be zeros.
    pub fn fit_sparse(
        kind: &str,
        estimator: &Estimator,
        table: &SparseTable,
        context: &Context<'_>,
    ) -> Result<Self> {
        let x = table.x.view();
        let encoder = Encoder::plain((1..=x.cols()).map(|i| format!("f{i}")), true)?;
        let rows = Rows::default();
        let mut estimator = estimator.clone();
        let (fit, task) = match &mut estimator {
            Estimator::LeastSquares(params) => {
                (params.fit_sparse(x, &table.target, rows, context)?, Task::Regression)
            }
            Estimator::ElasticNet { search: Some(_), .. } | Estimator::Searched { .. } => {
                let what = "sparse tables take a number above 0; nothing is chosen by cross-validation there";
                return Err(Error::parameter("alpha", "cv", what));
            }
            Estimator::ElasticNet { params, .. } => {
                (params.fit_sparse(x, &table.target, rows, context)?, Task::Regression)
            }
            Estimator::Generalised(params) => {
                let wrong = |(i, &y): (usize, &f64)| Some((i, params.distribution.refuses(y)?));
                if let Some((row, what)) = table.target.iter().enumerate().find_map(wrong) {
                    return Err(Error::cell(row, TARGET, format!("the target {what}")));
                }
                (params.fit_sparse(x, &table.target, rows, context)?, Task::Regression)
            }
            Estimator::Huber(params) if params.joint_scale => {
                let what = "sparse tables take a number above 0; no scale is found there";
                return Err(Error::parameter("scale", "joint", what));
            }
            Estimator::Huber(params) => {
                (params.fit_sparse(x, &table.target, rows, context)?, Task::Regression)
            }
            Estimator::Logistic(params) => {
                let (y, classes) = several_classes(&target_of(table)?, TARGET)?;
                if classes.len() > 2 && params.l1 > 0.0 {
                    let what = format!("with {} classes sparse tables take 0", classes.len());
                    return Err(Error::parameter("l1_ratio", "given", what));
                }
                (params.fit_sparse(x, &y, rows, context)?, Task::Classification { classes })
            }
            Estimator::Stochastic { params, of_sum } => {
                let (y, task) = match params.loss {
                    StochasticLoss::Logistic => {
                        let target = target_of(table)?;
                        let (y, classes) = two_classes(&target, TARGET, solver_of_two("sgd", TARGET))?;
                        (y, Task::Classification { classes })
                    }
                    _ => (table.target.clone(), Task::Regression),
                };
                let fit = |params: &StochasticDescent| params.fit_sparse(x, &y, rows, context);
                (stochastic::fit(params, of_sum, rows, y.len(), fit)?, task)
            }
            Estimator::Bounded { .. } => {
                let what = "coefficients of sparse tables have no bounds; none is";
                return Err(Error::parameter("lower or upper", "given", what));
            }
            Estimator::Quantile(_) | Estimator::GroupLasso { .. } => {
                let what = "it reads dense rows; of sparse ones least squares, likelihoods and Huber's loss are fitted";
                return Err(Error::parameter("model", kind, what));
            }
            Estimator::GradientDescent(_) => {
                let what = "plain descent reads dense rows; sparse tables take auto";
                return Err(Error::parameter("solver", "gradient-descent", what));
            }
        };
        Ok(Self {
            kind: kind.to_owned(),
            estimator,
            encoder,
            model: fit.model,
            target: TARGET.to_owned(),
            offset: None,
            task,
            report: fit.report,
            inference: None,
            residuals: None,
        })
    }

    /// Predictions of sparse rows of cells.
    pub(super) fn predict_stored(
        &self,
        rows: SparseRef<'_, f64>,
        offset: Option<&[f64]>,
        out: MatMut<'_, f64>,
    ) -> Result<()> {
        let numbers = |kind: &Kind| !matches!(kind, Kind::Categorical { .. });
        if let Some(field) = self.encoder.inputs().iter().find(|field| !numbers(&field.kind)) {
            return Err(Error::column(&field.name, "holds categories; sparse rows have numbers only"));
        }
        // Cells are scaled by scaling coefficients, and what zeros are encoded as goes to the intercepts.
        let (at_zero, per_unit) = self.units();
        let (mut coefficients, mut intercepts) = (Vec::new(), Vec::new());
        let width = self.encoder.width();
        for (row, intercept) in self.model.coefficients.chunks_exact(width).zip(&self.model.intercepts) {
            intercepts.push(intercept + dot(row, &at_zero)?);
            coefficients.extend(row.iter().zip(&per_unit).map(|(b, unit)| b * unit));
        }
        LinearModel { coefficients, intercepts, link: self.model.link }.predict_sparse(rows, offset, out)
    }
}
