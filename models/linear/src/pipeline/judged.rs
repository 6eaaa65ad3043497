//! Standard errors of a fitted pipeline, in the units of its inputs.

use super::{Estimator, Pipeline, several_classes};
use crate::{ClassWeights, Errors, Inference, Rows};
use tilewise_base::{Dataset, Error, Result, Roles, roles};
use tilewise_kernels::MatRef;

impl Pipeline {
    /// The same model, which also tells standard errors of its coefficients, by the rows that it was fitted to. They are stored with
    /// it.
    ///
    /// Where inputs have categories, coefficients are those of least norm, and so are their errors.
    ///
    /// # Errors
    /// When the model has a penalty, class weights, bounds or more than two classes, or was fitted by gradient descent; when there are no
    /// more rows than coefficients; when robust errors are asked of another model than least squares.
    pub fn judged(mut self, errors: Errors, dataset: &Dataset, roles: &Roles) -> Result<Self> {
        let target = roles.needed_target()?;
        let (weights, offset) = (roles.weights(dataset)?, roles.offsets(dataset)?);
        let design = self.encoder.encode(dataset)?;
        let x = MatRef::new(&design, dataset.rows(), self.encoder.width())?;
        let rows = Rows { weights: weights.as_deref(), offset: offset.as_deref() };
        let refused = |what: &str| Err(Error::parameter("errors", "given", what));
        let penalised = "standard errors are those of models without penalty";
        if errors != Errors::Classical && !matches!(self.estimator, Estimator::LeastSquares(_)) {
            return refused("robust ones are told of least squares only; classical is accepted");
        }
        let (inference, intercept) = match &self.estimator {
            Estimator::LeastSquares(params) if params.is_bounded() => {
                return refused("they are told of coefficients without bounds");
            }
            Estimator::LeastSquares(params) if params.l2 == 0.0 => {
                let y = roles::numbers(dataset, target)?;
                let of = Inference::least_squares(&self.model, x, &y, rows, params.intercept, errors)?;
                (of, params.intercept)
            }
            Estimator::Generalised(params) if params.alpha == 0.0 => {
                let y = roles::numbers(dataset, target)?;
                let distribution = params.distribution;
                let of = Inference::generalised(&self.model, distribution, x, &y, rows, params.intercept)?;
                (of, params.intercept)
            }
            Estimator::Logistic(params) if params.l2 == 0.0 && params.l1 == 0.0 => {
                let (y, classes) = several_classes(dataset, target)?;
                if classes.len() > 2 || params.class_weights != ClassWeights::Ones {
                    return refused("they are told of two classes without class weights");
                }
                (Inference::logistic(&self.model, x, &y, rows, params.intercept)?, params.intercept)
            }
            Estimator::LeastSquares(_)
            | Estimator::Bounded { .. }
            | Estimator::ElasticNet { .. }
            | Estimator::GroupLasso { .. } => {
                return refused(penalised);
            }
            Estimator::Generalised(_) => {
                return refused("standard errors are those of models without penalty: alpha=0");
            }
            Estimator::Logistic(_) => {
                return refused("standard errors are those of models without penalty: C=inf");
            }
            Estimator::Huber(_) | Estimator::Quantile(_) => {
                return refused("they are told of least squares and likelihoods only");
            }
            Estimator::GradientDescent(_) | Estimator::Stochastic { .. } | Estimator::Searched { .. } => {
                return refused("they are told of fits by the other solvers");
            }
        };
        let (origin, per_unit) = self.units();
        // Without an intercept centred columns keep the units of their encoding.
        let keeps = !intercept && origin.iter().any(|o| *o != 0.0);
        self.inference = Some(if keeps { inference } else { inference.in_units(&origin, &per_unit)? });
        Ok(self)
    }

    /// What is known of the coefficients, if it was asked for: of a unit of each input, and the intercept at zero of all numbers.
    pub fn inference(&self) -> Option<&Inference> {
        self.inference.as_ref()
    }

    /// The encoded row of inputs that are zero (numbers) or missing (categories), and what a unit of each input adds.
    pub(super) fn units(&self) -> (Vec<f64>, Vec<f64>) {
        use tilewise_base::Kind;
        let (width, inputs) = (self.encoder.width(), self.encoder.inputs());
        let cells = |number: f64| -> Vec<f64> {
            let cell = |kind: &Kind| if matches!(kind, Kind::Categorical { .. }) { f64::NAN } else { number };
            inputs.iter().map(|field| cell(&field.kind)).collect()
        };
        let (mut at_zero, mut at_one) = (vec![0.0; width], vec![0.0; width]);
        self.encoder.encode_row(&cells(0.0), &mut at_zero);
        self.encoder.encode_row(&cells(1.0), &mut at_one);
        let mut per_unit = Vec::with_capacity(width);
        for field in inputs {
            match &field.kind {
                Kind::Categorical { dictionary } => {
                    per_unit.extend(std::iter::repeat_n(1.0, dictionary.len()))
                }
                Kind::Numeric | Kind::Boolean => {
                    per_unit.push(at_one[per_unit.len()] - at_zero[per_unit.len()]);
                }
            }
        }
        (at_zero, per_unit)
    }
}
