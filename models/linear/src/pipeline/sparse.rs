//! Fits of sparse rows: those of sparse tables, whose inputs are taken as they are, neither centred nor scaled, and those of tables whose
//! encoded rows would be mostly zeros, as categories of many levels make them.
//!
//! The latter are the rows that dense fits have, zeros left out. Numbers are standardised as ever and are cells like others, and
//! columns of categories never are, so a penalty weighs what it weighs there: objectives are equal, and minima agree within the tolerances of fits.

use super::columns::categories;
use super::{
    Estimator, Given, Pipeline, numbers_of, several, several_classes, solver_of_two, stochastic, two_classes,
};
use crate::categories::Categories;
use crate::{
    ElasticNetSolver, LeastSquares, LeastSquaresSolver, LinearModel, LogisticSolver, Residuals, Rows,
    StochasticDescent, StochasticLoss,
};
use tilewise_base::encoder::Encoder;
use tilewise_base::{
    Column, Context, Dataset, Error, Fit, Kind, Result, Roles, SparseRef, SparseTable, Task, roles,
};
use tilewise_kernels::{MatMut, dot, sum};

/// What the target of a sparse table is called.
const TARGET: &str = "target";

/// Stored cells of a row that fit the stack; longer rows take vectors per call.
const STACK: usize = 128;

/// Whether an estimator finds the minimum of dense rows by reading sparse ones. Others read dense rows, if these can be had.
pub(super) fn takes(estimator: &Estimator, dataset: &Dataset, targets: &[String]) -> Result<bool> {
    Ok(match estimator {
        Estimator::LeastSquares(params) => {
            !params.is_bounded()
                && matches!(params.solver, LeastSquaresSolver::Auto | LeastSquaresSolver::Lsqr)
        }
        Estimator::ElasticNet { params, search } => {
            let centred = params.standardise || params.solver == ElasticNetSolver::Gram;
            search.is_none() && !centred && !params.positive
        }
        Estimator::Generalised(params) => {
            params.distribution.check_convex("sparse rows").is_ok() && params.check_sparse().is_ok()
        }
        Estimator::Huber(params) => !params.joint_scale,
        Estimator::Logistic(params) => match (params.solver, targets) {
            (LogisticSolver::Auto, [target]) if params.l1 > 0.0 => {
                several_classes(dataset, target)?.1.len() == 2
            }
            (LogisticSolver::Saga, [target]) => several_classes(dataset, target)?.1.len() == 2,
            (LogisticSolver::NewtonCg, _) => params.l1 == 0.0,
            (solver, _) => solver == LogisticSolver::Auto,
        },
        Estimator::Stochastic { .. } => true,
        Estimator::Bounded { .. }
        | Estimator::GroupLasso { .. }
        | Estimator::Quantile(_)
        | Estimator::GradientDescent(_)
        | Estimator::Searched { .. } => false,
    })
}

/// Least squares of encoded sparse rows. Without penalty by LSQR, which gives the solution of least norm, as dense rows do, and to which
/// standard errors belong; of what the rank is it learns nothing, so only too few rows are told.
fn squares(
    params: &LeastSquares,
    encoder: &Encoder,
    x: SparseRef<'_, f64>,
    y: &[f64],
    rows: Rows<'_>,
    context: &Context<'_>,
) -> Result<Fit<LinearModel>> {
    let solver = if params.l2 == 0.0 { LeastSquaresSolver::Lsqr } else { params.solver };
    let mut fit = LeastSquares { solver, ..params.clone() }.fit_sparse(x, y, rows, context)?;
    if params.l2 == 0.0 {
        let of_levels = Categories::of_rows(categories(encoder), x, rows.weights, params.intercept);
        let counted = rows.weights.map_or(y.len(), |w| w.iter().filter(|w| **w > 0.0).count());
        let (most, p, lost) = (counted - usize::from(params.intercept), x.cols(), of_levels.lost_rank);
        if most < p - lost {
            fit.report.warnings.push(format!(
                "the features have rank {most} of {p} at most, as there are too few rows: some depend on others; of all solutions the \
                 one of least norm was taken"
            ));
        }
    }
    Ok(fit)
}

impl Pipeline {
    /// As [`fit`](Self::fit), of all inputs of a sparse table, none of which is standardised. It has no weights and no offset.
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
        let dataset = Dataset::new(vec![(TARGET.into(), Column::F64(table.target.clone().into()))])?;
        let (rows, roles) = (Rows::default(), Roles::target(TARGET));
        Self::fit_stored(
            kind,
            estimator,
            encoder,
            Given { x, rows, dataset: &dataset, roles: &roles, context },
        )
    }

    /// Fits `estimator` to the stored cells of rows of the design matrix.
    pub(super) fn fit_stored(
        kind: &str,
        estimator: &Estimator,
        encoder: Encoder,
        given: Given<'_, SparseRef<'_, f64>>,
    ) -> Result<Self> {
        let Given { x, rows, dataset, roles, context } = given;
        let targets = roles.needed_targets()?;
        if let [_, _, ..] = targets {
            let one = |target: &String| {
                let y = roles::numbers(dataset, target)?;
                match estimator {
                    Estimator::ElasticNet { params, .. } => params.fit_sparse(x, &y, rows, context),
                    Estimator::LeastSquares(params) => squares(params, &encoder, x, &y, rows, context),
                    _ => Err(several::one_only(targets)),
                }
            };
            let fits = targets.iter().map(one).collect::<Result<Vec<_>>>()?;
            return Self::of_several(kind, estimator.clone(), encoder, fits, roles);
        }
        let target = roles.needed_target()?;
        let (mut estimator, mut residuals) = (estimator.clone(), None);
        let y = match &estimator {
            Estimator::Logistic(_) | Estimator::Stochastic { .. } => Vec::new(),
            of_numbers => numbers_of(of_numbers, dataset, target)?,
        };
        let (fit, task) = match &mut estimator {
            Estimator::LeastSquares(params) => {
                (squares(params, &encoder, x, &y, rows, context)?, Task::Regression)
            }
            Estimator::ElasticNet { search: Some(_), .. } | Estimator::Searched { .. } => {
                let what = "sparse tables take a number above 0; nothing is chosen by cross-validation there";
                return Err(Error::parameter("alpha", "cv", what));
            }
            Estimator::ElasticNet { params, .. } => {
                if context.progress.wants_path() {
                    let what = "there is no picture of coefficients over alpha: the path is one of dense rows, and these are kept sparse";
                    context.progress.warning(what);
                }
                (params.fit_sparse(x, &y, rows, context)?, Task::Regression)
            }
            Estimator::Generalised(params) => (params.fit_sparse(x, &y, rows, context)?, Task::Regression),
            Estimator::Huber(params) if params.joint_scale => {
                let what = "sparse tables take a number above 0; no scale is found there";
                return Err(Error::parameter("scale", "joint", what));
            }
            Estimator::Huber(params) => {
                let weight = rows.weights.map_or(y.len() as f64, sum);
                residuals = Some(Residuals { scale: 1.0, weight });
                (params.fit_sparse(x, &y, rows, context)?, Task::Regression)
            }
            Estimator::Logistic(params) => {
                let (y, classes) = several_classes(dataset, target)?;
                if classes.len() > 2 && params.l1 > 0.0 {
                    let what = format!("with {} classes sparse tables take 0", classes.len());
                    return Err(Error::parameter("l1_ratio", "given", what));
                }
                if classes.len() > 2 && rows.offset.is_some() {
                    // As of dense rows.
                    let what =
                        "an offset per row changes nothing among several classes; leave it out, or take two";
                    return Err(Error::Fit(what.into()));
                }
                (params.fit_sparse(x, &y, rows, context)?, Task::Classification { classes })
            }
            Estimator::Stochastic { params, of_sum } => {
                let (y, task) = match params.loss {
                    StochasticLoss::Logistic => {
                        let (y, classes) = two_classes(dataset, target, solver_of_two("sgd", target))?;
                        (y, Task::Classification { classes })
                    }
                    _ => (roles::numbers(dataset, target)?, Task::Regression),
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
        let fitted = Self::assembled(kind, estimator, encoder, (fit.model, fit.report), roles, task)?;
        Ok(Self { residuals, ..fitted })
    }

    /// The prediction of one row of cells, whose encoding is mostly zeros.
    pub(super) fn predict_few(&self, cells: &[f64], offset: f64, out: &mut [f64]) -> Result<()> {
        if cells.len() > STACK {
            let (mut columns, mut values) = (Vec::new(), Vec::new());
            self.encoder.encode_stored(cells, |column, value| {
                columns.push(column as u32);
                values.push(value);
            });
            return self.model.predict_line((&columns, &values), offset, out);
        }
        let (mut columns, mut values, mut stored) = ([0u32; STACK], [0.0; STACK], 0);
        self.encoder.encode_stored(cells, |column, value| {
            (columns[stored], values[stored]) = (column as u32, value);
            stored += 1;
        });
        self.model.predict_line((&columns[..stored], &values[..stored]), offset, out)
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
