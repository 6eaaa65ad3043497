//! What an estimator predicts, and what it accepts of that.

use super::Estimator;
use super::rounds::not_a_sum;
use crate::Distribution;
use serde::{Deserialize, Serialize};
use tilewise_base::target::SeenTarget;
use tilewise_base::{Dataset, Error, Result, roles};

/// What an estimator predicts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Answers {
    /// Classes.
    Classes,
    /// Any numbers.
    Numbers,
    /// Numbers that a distribution has.
    Positive(Distribution),
}

impl Answers {
    pub(super) fn of(estimator: &Estimator) -> Result<Self> {
        match estimator {
            Estimator::LeastSquares(_) | Estimator::Bounded { .. } | Estimator::Huber(_) => Ok(Self::Numbers),
            Estimator::Logistic(_) => Ok(Self::Classes),
            Estimator::Generalised(params) => Ok(Self::Positive(params.distribution)),
            Estimator::ElasticNet { .. }
            | Estimator::GroupLasso { .. }
            | Estimator::Quantile(_)
            | Estimator::Stochastic { .. }
            | Estimator::Searched { .. }
            | Estimator::GradientDescent(_) => Err(not_a_sum()),
        }
    }

    /// What a piece has of the target.
    pub(super) fn seen(self, dataset: &Dataset, target: &str, weights: Option<&[f64]>) -> Result<SeenTarget> {
        if let Self::Positive(distribution) = self {
            let numbers = roles::numbers(dataset, target)?;
            let wrong = numbers.iter().enumerate().find_map(|(i, &y)| Some((i, distribution.refuses(y)?)));
            if let Some((row, what)) = wrong {
                return Err(Error::cell(row, target, format!("the target {what}")));
            }
        }
        SeenTarget::of(dataset, target, Some(self == Self::Classes), weights)
    }
}
