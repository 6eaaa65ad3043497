//! Training on sparse tables, which linear families can.

use crate::family::{check_target, family};
use crate::{Settings, elastic_net, generalised, linear, robust};
use tilewise_base::{Column, Context, Dataset, Error, Model, Result, SparseTable};
use tilewise_linear::pipeline::{Estimator, Pipeline};

/// What a family's settings say is fitted.
type Says = fn(&Settings) -> Result<Estimator>;

/// The families that can.
const ABLE: [(&str, Says); 9] = [
    ("linear", |settings| linear::squares(settings, 0.0)),
    ("ridge", linear::ridge),
    ("logistic", linear::logistic),
    ("lasso", elastic_net::lasso),
    ("elastic-net", elastic_net::mixed),
    ("poisson", generalised::poisson),
    ("gamma", generalised::gamma),
    ("tweedie", generalised::tweedie),
    ("huber", robust::huber),
];

/// Whether the family called `name` learns from sparse tables.
pub fn takes_sparse(name: &str) -> bool {
    ABLE.iter().any(|(able, _)| *able == name)
}

/// Trains a model of the family called `name` on all rows of a sparse table. Its inputs are neither centred nor scaled: zeros stay zeros.
///
/// # Errors
/// When a parameter is not accepted (standardisation, imputation and solvers are not), the family cannot (those that can are named), standard errors are asked for, or there is nothing to
/// learn, as in [`train`](crate::train).
pub fn train_sparse(
    name: &str,
    table: &SparseTable,
    settings: &Settings,
    context: &Context<'_>,
) -> Result<Box<dyn Model>> {
    let family = family(name)?;
    family.check(settings)?;
    let Some((_, says)) = ABLE.iter().find(|(able, _)| *able == name) else {
        let able: Vec<&str> = ABLE.iter().map(|(able, _)| *able).collect();
        let what = format!("it reads dense tables only; of sparse ones learn {}", able.join(", "));
        return Err(Error::parameter("model", name, what));
    };
    // What is not done must not seem to be.
    let refused = settings.pairs().find(|&(key, value)| {
        key == linear::STANDARDISE.key && value == "true"
            || key == linear::IMPUTE.key
            || key == "solver" && value == "gram"
    });
    if let Some((key, value)) = refused {
        let what = "sparse tables are taken as they are and have no Gram matrix: leave it out";
        return Err(Error::parameter(key, value, what));
    }
    if family.parameters().any(|s| s.key == linear::ERRORS.key)
        && linear::errors(settings, &linear::ERRORS)?.is_some()
    {
        let what = "sparse tables have no standard errors; none is";
        return Err(Error::parameter(linear::ERRORS.key, "given", what));
    }
    let target = Dataset::new(vec![("target".into(), Column::F64(table.target.clone().into()))])?;
    check_target(&target, "target", name == "logistic", None)?;
    Ok(Box::new(Pipeline::fit_sparse(name, &says(settings)?, table, context)?))
}
