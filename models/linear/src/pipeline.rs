//! From a table to a model that is stored and served: roles -> encoder -> solver -> [`Pipeline`].
//!
//! The fitted pipeline sees rows of cells, encodes each into a row on the stack and takes inner products; a row's
//! answer does not depend on how many come with it, or on threads. Rows that are mostly zeros are never written out, neither to fit
//! (`pipeline/sparse.rs`) nor to answer.

use crate::{
    Chunk, DescentLoss, Distribution, ElasticNet, Element, Generalised, GradientDescent, GroupLasso,
    GroupLoss, Huber, Inference, LeastSquares, LinearModel, Link, Logistic, Quantile, Residuals, Rows,
    StochasticDescent, StochasticLoss,
};
use serde::{Deserialize, Serialize};
use tilewise_base::by_rows::Numbers;
use tilewise_base::encoder::{Encoder, Options};
use tilewise_base::model_file::Writer;
use tilewise_base::rounds::run;
use tilewise_base::{
    Context, Dataset, Error, Field, Fit, FitReport, Model, ModelFile, Result, Roles, SparseRef, Task,
    predict_rows, roles,
};
use tilewise_kernels::{MatMut, MatRef, same};

mod columns;
mod describe;
mod judged;
mod path;
pub mod rounds;
mod search;
mod several;
mod sparse;
mod stochastic;
mod target;

pub use search::Search;

use columns::categories;

/// Columns of an encoded row that fit the stack; wider rows take a vector per call.
const STACK: usize = 128;

/// What is fitted to the encoded rows, with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "estimator", rename_all = "snake_case")]
pub enum Estimator {
    /// Least squares and ridge.
    LeastSquares(LeastSquares),
    /// Least squares and ridge with bounds of inputs by their names. What is fitted is [`Estimator::LeastSquares`] with those of the columns
    /// that they are encoded as.
    #[serde(skip)]
    Bounded {
        /// All else.
        params: LeastSquares,
        /// What coefficients of inputs are not below.
        lower: Vec<(String, f64)>,
        /// What they are not above.
        upper: Vec<(String, f64)>,
    },
    /// Lasso and elastic net.
    ElasticNet {
        /// With the weight of the penalty that was chosen.
        #[serde(flatten)]
        params: ElasticNet,
        /// Choose that weight by cross-validation. The file of a fitted model does not tell.
        #[serde(skip)]
        search: Option<Search>,
    },
    /// Group lasso and sparse group lasso.
    GroupLasso {
        /// With the groups of encoded columns, where it is fitted.
        #[serde(flatten)]
        params: GroupLasso,
        /// Inputs that are a group, by their names; others are groups of their own, with all columns that they are encoded as.
        inputs: Vec<Vec<String>>,
    },
    /// Poisson, gamma and Tweedie regression.
    Generalised(Generalised),
    /// Robust regression.
    Huber(Huber),
    /// Quantile regression.
    Quantile(Quantile),
    /// Logistic and multinomial regression.
    Logistic(Logistic),
    /// Plain gradient descent on the objective of either, with two classes at most.
    GradientDescent(GradientDescent),
    /// Stochastic gradient descent, with two classes at most.
    Stochastic {
        /// With the weight of the penalty beside the mean of losses, where it is fitted.
        #[serde(flatten)]
        params: StochasticDescent,
        /// That weight is beside the sum of losses, as that of ridge and logistic regression.
        #[serde(skip)]
        of_sum: bool,
    },
    /// A generalised model, or quantiles, with the weight of its penalty chosen by cross-validation. What is fitted is the estimator alone.
    #[serde(skip)]
    Searched {
        /// The estimator, of any weight.
        of: Box<Estimator>,
        /// How the weight is chosen.
        search: Search,
    },
}

/// A fitted linear model with the encoding of its inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    kind: String,
    estimator: Estimator,
    encoder: Encoder,
    model: LinearModel,
    target: String,
    offset: Option<String>,
    task: Task,
    report: FitReport,
    inference: Option<Inference>,
    residuals: Option<Residuals>,
}

impl Pipeline {
    /// Fits `estimator` to the encoded inputs of `dataset`; `kind` is the family's name that the file will tell.
    ///
    /// Of several targets, which are numbers, each has the coefficients of a fit of its own. Where categories have so many levels that nearly
    /// all cells of the encoded rows are zeros ([`Encoder::is_mostly_zeros`]), families that learn from sparse rows never see these: the
    /// objective is the same, and so is the minimum within their tolerances.
    ///
    /// # Errors
    /// When a column or cell is not what its role needs (named), there are several targets and the estimator is another than least
    /// squares or elastic net with a penalty that is given, or the fit fails.
    pub fn fit(
        kind: &str,
        estimator: &Estimator,
        options: Options,
        dataset: &Dataset,
        roles: &Roles,
        context: &Context<'_>,
    ) -> Result<Self> {
        let (inputs, targets) = (roles.inputs(dataset)?, roles.needed_targets()?);
        several::check(estimator, targets)?;
        let (weights, offset) = (roles.weights(dataset)?, roles.offsets(dataset)?);
        let encoder = Encoder::fit(dataset, &inputs, weights.as_deref(), options)?;
        if encoder.width() == 0 {
            return Err(Error::Fit("the inputs have no column with a value".into()));
        }
        let rows = Rows { weights: weights.as_deref(), offset: offset.as_deref() };
        if encoder.is_mostly_zeros() && sparse::takes(estimator, dataset, targets)? {
            let design = encoder.encode_sparse(&context.storage, dataset)?;
            let given = Given { x: design.view()?, rows, dataset, roles, context };
            return Self::fit_stored(kind, estimator, encoder, given);
        }
        let (count, width) = (dataset.rows(), encoder.width());
        // In single precision it is read as it is too; fits widen blocks of it, but gradient descent, which computes in the type of its rows.
        let widens = !matches!(estimator, Estimator::GradientDescent(_));
        if let Some(Numbers::F32(design)) = encoder.lying(dataset).filter(|_| widens) {
            let given = Given { x: MatRef::new(design, count, width)?, rows, dataset, roles, context };
            return Self::fit_rows(kind, estimator, encoder, given);
        }
        let design = encoder.encode_to(&context.storage, dataset)?;
        let given = Given { x: MatRef::new(&design, count, width)?, rows, dataset, roles, context };
        Self::fit_rows(kind, estimator, encoder, given)
    }

    /// Fits `estimator` to rows of the design matrix.
    fn fit_rows<T: Element>(
        kind: &str,
        estimator: &Estimator,
        encoder: Encoder,
        given: Given<'_, MatRef<'_, T>>,
    ) -> Result<Self> {
        if let Some(bounded) = columns::bounded(estimator, &encoder)? {
            return Self::fit_rows(kind, &bounded, encoder, given);
        }
        let Given { x, rows, dataset, roles, context } = given;
        let targets = roles.needed_targets()?;
        if let Estimator::Searched { of, search } = estimator {
            let y = numbers_of(of, dataset, roles.needed_target()?)?;
            let groups = roles.groups(dataset)?;
            let (chosen, found) = search.choose_of(of, x, &y, rows, groups, context)?;
            let given = Given { x, rows, dataset, roles, context };
            let mut fitted = Self::fit_rows(kind, &chosen, encoder, given)?;
            found.tell(&mut fitted.report);
            path::tell(&fitted.encoder, &chosen, Some(found.compared), x, &y, rows, context);
            return Ok(fitted);
        }
        if let [_, _, ..] = targets {
            let one = |target: &String| {
                let y = roles::numbers(dataset, target)?;
                match estimator {
                    Estimator::ElasticNet { params, .. } => params.fit(x, &y, rows, context),
                    Estimator::LeastSquares(params) => squares(params, &encoder, x, &y, rows, context),
                    _ => Err(several::one_only(targets)),
                }
            };
            let fits = targets.iter().map(one).collect::<Result<Vec<_>>>()?;
            return Self::of_several(kind, estimator.clone(), encoder, fits, roles);
        }
        let target = roles.needed_target()?;
        let (mut estimator, mut residuals) = (estimator.clone(), None);
        let (fit, task) = match &mut estimator {
            Estimator::LeastSquares(params) => {
                let y = roles::numbers(dataset, target)?;
                (squares(params, &encoder, x, &y, rows, context)?, Task::Regression)
            }
            Estimator::ElasticNet { params, search } => {
                let y = roles::numbers(dataset, target)?;
                let found = match search.take() {
                    Some(search) => {
                        let groups = roles.groups(dataset)?;
                        Some(search.choose(params, x, &y, rows, groups, context)?)
                    }
                    None => None,
                };
                let mut fit = params.fit(x, &y, rows, context)?;
                found.iter().for_each(|found| found.tell(&mut fit.report));
                let compared = found.map(|found| found.compared);
                path::tell(&encoder, &estimator, compared, x, &y, rows, context);
                (fit, Task::Regression)
            }
            Estimator::GroupLasso { params, inputs } => {
                params.groups = columns::groups(&encoder, inputs)?;
                let (y, task) = match params.loss {
                    GroupLoss::Squared => (roles::numbers(dataset, target)?, Task::Regression),
                    GroupLoss::Deviance(of) => (of_distribution(of, dataset, target)?, Task::Regression),
                    GroupLoss::Logistic => {
                        let more = |count: usize| {
                            let what =
                                format!("has {count} classes; group lasso takes two, logistic takes more");
                            Error::column(target, what)
                        };
                        let (y, classes) = two_classes(dataset, target, more)?;
                        (y, Task::Classification { classes })
                    }
                };
                (params.fit(x, &y, rows, context)?, task)
            }
            Estimator::Generalised(params) => {
                let y = of_distribution(params.distribution, dataset, target)?;
                (params.fit(x, &y, rows, context)?, Task::Regression)
            }
            Estimator::Huber(params) => {
                let y = roles::numbers(dataset, target)?;
                let (fit, told) = params.fit_scaled(x, &y, rows, context)?;
                residuals = Some(told);
                (fit, Task::Regression)
            }
            Estimator::Quantile(params) => {
                let y = roles::numbers(dataset, target)?;
                (params.fit(x, &y, rows, context)?, Task::Regression)
            }
            Estimator::GradientDescent(params) if params.loss == DescentLoss::Squared => {
                let y = roles::numbers(dataset, target)?;
                (params.fit(x, &y, rows, context)?, Task::Regression)
            }
            Estimator::Logistic(params) => {
                let (y, classes) = several_classes(dataset, target)?;
                (params.fit(x, &y, rows, context)?, Task::Classification { classes })
            }
            Estimator::GradientDescent(params) => {
                let (y, classes) = two_classes(dataset, target, solver_of_two("gradient-descent", target))?;
                (params.fit(x, &y, rows, context)?, Task::Classification { classes })
            }
            Estimator::Stochastic { params, of_sum } => {
                let (y, task) = match params.loss {
                    StochasticLoss::Logistic => {
                        let (y, classes) = two_classes(dataset, target, solver_of_two("sgd", target))?;
                        (y, Task::Classification { classes })
                    }
                    _ => (roles::numbers(dataset, target)?, Task::Regression),
                };
                let fit = |params: &StochasticDescent| params.fit(x, &y, rows, context);
                (stochastic::fit(params, of_sum, rows, y.len(), fit)?, task)
            }
            Estimator::Searched { .. } | Estimator::Bounded { .. } => {
                return Err(Error::Fit("a choice within a choice is none".into()));
            }
        };
        let fitted = Self::assembled(kind, estimator, encoder, (fit.model, fit.report), roles, task)?;
        Ok(Self { residuals, ..fitted })
    }

    /// Reads a model from its file.
    ///
    /// # Errors
    /// When the file holds another kind of model, or parts that do not fit each other.
    pub fn from_file(file: &ModelFile<'_>) -> Result<Self> {
        let estimator: Estimator = file.metadata("params")?;
        let encoder: Encoder = file.metadata("encoder")?;
        if encoder.width() == 0 {
            return Err(file.error("its inputs have no column with a value"));
        }
        let task: Task = file.metadata("task")?;
        let classifies = match &estimator {
            Estimator::LeastSquares(_)
            | Estimator::ElasticNet { .. }
            | Estimator::Generalised(_)
            | Estimator::Huber(_)
            | Estimator::Quantile(_)
            | Estimator::Searched { .. }
            | Estimator::Bounded { .. } => false,
            Estimator::Logistic(_) => true,
            Estimator::GroupLasso { params, .. } => params.loss == GroupLoss::Logistic,
            Estimator::Stochastic { params, .. } => params.loss == StochasticLoss::Logistic,
            Estimator::GradientDescent(params) => params.loss == DescentLoss::Logistic,
        };
        let checked = match &estimator {
            Estimator::Generalised(params) => params.check(),
            Estimator::GroupLasso { params, .. } => params.check(),
            Estimator::LeastSquares(params) => params.check_bounds(encoder.width()),
            Estimator::Stochastic { params, .. } => params.learner(encoder.width()).map(|_| ()),
            _ => Ok(()),
        };
        checked.map_err(|e| file.error(e.to_string()))?;
        let of_numbers = match &estimator {
            Estimator::Generalised(params) => params.distribution.link(),
            Estimator::GroupLasso { params, .. } if matches!(params.loss, GroupLoss::Deviance(_)) => {
                Link::Log
            }
            _ => Link::Identity,
        };
        let (link, predictors) = match &task {
            Task::Regression if !classifies => (of_numbers, 1),
            Task::Outputs { names } if several::takes(&estimator) && task.several().is_some() => {
                (Link::Identity, names.len())
            }
            Task::Classification { classes } if classifies && classes.len() == 2 => (Link::Logit, 1),
            Task::Classification { classes }
                if classes.len() > 2 && matches!(estimator, Estimator::Logistic(_)) =>
            {
                (Link::Softmax, classes.len())
            }
            _ => return Err(file.error("its task is not one that its estimator is made for")),
        };
        let coefficients = file.tensor_f64("coefficients", &[predictors, encoder.width()])?;
        let intercepts = file.tensor_f64("intercepts", &[predictors])?;
        if coefficients.iter().chain(&intercepts).any(|w| !w.is_finite()) {
            return Err(file.error("a coefficient is not finite"));
        }
        let model = LinearModel { coefficients, intercepts, link };
        let (target, report) = (file.metadata("target")?, file.metadata("report")?);
        let (kind, offset) = (file.kind().to_owned(), file.optional("offset")?);
        let inference: Option<Inference> = file.optional("inference")?;
        let coefficients = |i: &Inference| i.coefficients.len() == encoder.width() + usize::from(i.intercept);
        if !inference.as_ref().is_none_or(coefficients) {
            return Err(file.error("it judges another number of coefficients than it has"));
        }
        let residuals: Option<Residuals> = file.optional("residuals")?;
        if residuals.is_some_and(|r| !(r.scale > 0.0 && r.scale.is_finite() && r.weight > 0.0)) {
            return Err(file.error("the scale of its residuals is not a number above 0"));
        }
        Ok(Self { kind, estimator, encoder, model, target, offset, task, report, inference, residuals })
    }

    /// What a robust fit told of its residuals.
    pub fn residuals(&self) -> Option<Residuals> {
        self.residuals
    }

    /// The model behind the encoder.
    pub fn linear(&self) -> &LinearModel {
        &self.model
    }

    /// What it was fitted with.
    pub fn estimator(&self) -> &Estimator {
        &self.estimator
    }

    /// How cells become the linear model's features.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    fn predict_cells(&self, row: usize, cells: &[f64], offset: f64, out: &mut [f64]) -> Result<()> {
        self.encoder.check_row(row, cells)?;
        if self.encoder.is_mostly_zeros() {
            return self.predict_few(cells, offset, out);
        }
        let width = self.encoder.width();
        let mut stack = [0.0; STACK];
        match stack.get_mut(..width) {
            Some(encoded) => {
                self.encoder.encode_row(cells, encoded);
                self.model.predict_row(encoded, offset, out)
            }
            None => {
                let mut encoded = vec![0.0; width];
                self.encoder.encode_row(cells, &mut encoded);
                self.model.predict_row(&encoded, offset, out)
            }
        }
    }
}

/// Rows of a design matrix, and the table that they are of.
struct Given<'a, X> {
    x: X,
    rows: Rows<'a>,
    dataset: &'a Dataset,
    roles: &'a Roles,
    context: &'a Context<'a>,
}

/// Least squares of encoded rows.
fn squares<T: Element>(
    params: &LeastSquares,
    encoder: &Encoder,
    x: MatRef<'_, T>,
    y: &[f64],
    rows: Rows<'_>,
    context: &Context<'_>,
) -> Result<Fit<LinearModel>> {
    let mut trainer = params.trainer(x.cols(), x.rows())?.in_steps().categories(categories(encoder))?;
    run(&mut trainer, &Chunk { x, y, rows, first_row: 0 }, context)?;
    trainer.finish()
}

/// The numbers of a target that an estimator's distribution has.
fn of_distribution(distribution: Distribution, dataset: &Dataset, target: &str) -> Result<Vec<f64>> {
    let y = roles::numbers(dataset, target)?;
    match y.iter().enumerate().find_map(|(i, &y)| Some((i, distribution.refuses(y)?))) {
        Some((row, what)) => Err(Error::cell(row, target, format!("the target {what}"))),
        None => Ok(y),
    }
}

/// The numbers of a target that an estimator takes.
fn numbers_of(estimator: &Estimator, dataset: &Dataset, target: &str) -> Result<Vec<f64>> {
    match estimator {
        Estimator::Generalised(params) => of_distribution(params.distribution, dataset, target),
        _ => roles::numbers(dataset, target),
    }
}

/// The numbers 0 and 1, and names, of a target that has two classes.
fn two_classes(
    dataset: &Dataset,
    target: &str,
    more: impl FnOnce(usize) -> Error,
) -> Result<(Vec<f64>, Vec<String>)> {
    let (y, classes) = several_classes(dataset, target)?;
    if classes.len() > 2 {
        return Err(more(classes.len()));
    }
    Ok((y.into_iter().map(f64::from).collect(), classes))
}

/// The error of a solver that takes two classes, of a target that has more.
fn solver_of_two(solver: &str, target: &str) -> impl FnOnce(usize) -> Error {
    move |count| {
        let what = format!(
            "it takes two classes and {target:?} has {count}; auto, newton-cholesky, newton-cg and lbfgs take more"
        );
        Error::parameter("solver", solver, what)
    }
}

/// Class numbers and names of a target that has at least two.
fn several_classes(dataset: &Dataset, target: &str) -> Result<(Vec<u32>, Vec<String>)> {
    let (y, classes) = roles::classes(dataset, target)?;
    if classes.len() >= 2 {
        return Ok((y, classes));
    }
    let what = format!("has one class only ({}); a classifier needs at least two", classes.join(""));
    Err(Error::column(target, what))
}

impl Model for Pipeline {
    fn kind(&self) -> &str {
        &self.kind
    }
    fn inputs(&self) -> &[Field] {
        self.encoder.inputs()
    }
    fn target(&self) -> &str {
        &self.target
    }
    fn offset(&self) -> Option<&str> {
        self.offset.as_deref()
    }
    fn task(&self) -> &Task {
        &self.task
    }
    fn judged_as(&self) -> Task {
        match &self.estimator {
            Estimator::Quantile(params) => Task::Quantiles { quantiles: vec![params.quantile] },
            _ => self.task.clone(),
        }
    }
    fn report(&self) -> &FitReport {
        &self.report
    }
    fn deviance(&self, target: f64, mean: f64) -> Option<f64> {
        match &self.estimator {
            Estimator::Generalised(params) => Some(params.distribution),
            Estimator::GroupLasso { params: GroupLasso { loss: GroupLoss::Deviance(of), .. }, .. } => {
                Some(*of)
            }
            _ => None,
        }
        .filter(|of| !matches!(of, Distribution::Normal(_)))
        .map(|of| of.deviance(target, mean))
    }

    fn predict(&self, cells: MatRef<'_, f64>, offset: Option<&[f64]>, out: MatMut<'_, f64>) -> Result<()> {
        let (rows, outputs) = (cells.rows(), self.outputs());
        same("cells per row", self.encoder.inputs().len(), cells.cols())?;
        same("columns of out", outputs, out.cols())?;
        same("offset against rows", rows, offset.map_or(rows, <[f64]>::len))?;
        let work = if self.encoder.is_mostly_zeros() { cells.cols() } else { self.encoder.width() };
        predict_rows(cells, out, work, |i, row, out| {
            self.predict_cells(i, row, offset.map_or(0.0, |o| o[i]), out)
        })
    }

    fn predict_sparse(
        &self,
        rows: SparseRef<'_, f64>,
        offset: Option<&[f64]>,
        out: MatMut<'_, f64>,
    ) -> Result<()> {
        self.predict_stored(rows, offset, out)
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let (predictors, width) = (self.model.intercepts.len(), self.encoder.width());
        Writer::new(&self.kind, self.metadata()?)
            .tensor_f64("coefficients", &[predictors, width], &self.model.coefficients)
            .tensor_f64("intercepts", &[predictors], &self.model.intercepts)
            .to_bytes()
    }

    fn metadata(&self) -> Result<serde_json::Value> {
        let mut metadata = serde_json::json!({
            "encoder": self.encoder,
            "params": self.estimator,
            "report": self.report,
            "target": self.target,
            "task": self.task,
        });
        if let Some(inference) = &self.inference {
            let what = |e| Error::Fit(format!("standard errors could not be stored: {e}"));
            metadata["inference"] = serde_json::to_value(inference).map_err(what)?;
        }
        if let Some(residuals) = &self.residuals {
            metadata["residuals"] = serde_json::json!(residuals);
        }
        if let Some(offset) = &self.offset {
            metadata["offset"] = offset.as_str().into();
        }
        Ok(metadata)
    }

    fn describe(&self) -> String {
        describe::describe(self)
    }
}
