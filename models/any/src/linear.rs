//! The linear families: what `--set` accepts for them, and how they are trained.

use crate::{Family, Purpose, Setting, Settings};
use tilewise_base::{Context, Dataset, Model, ModelFile, Result, Roles, encoder};
use tilewise_linear::pipeline::{Estimator, Pipeline};
use tilewise_linear::{ClassWeights, LeastSquares, Logistic, LogisticSolver};

const BOOLEAN: &str = "true or false";
const NOT_NEGATIVE: &str = "a number of 0 or more";

const INTERCEPT: Setting = Setting {
    key: "intercept",
    default: "true",
    accepted: BOOLEAN,
    doc: "fit an intercept, which is not penalised",
};
const STANDARDISE: Setting = Setting {
    key: "standardise",
    default: "true",
    accepted: BOOLEAN,
    doc: "centre numbers and scale them to deviation 1",
};
const IMPUTE: Setting = Setting {
    key: "impute",
    default: "true",
    accepted: BOOLEAN,
    doc: "replace missing numbers by the mean; otherwise they are an error",
};
const COMMON: &[Setting] = &[INTERCEPT, STANDARDISE, IMPUTE];

const ALPHA: Setting =
    Setting { key: "alpha", default: "1", accepted: NOT_NEGATIVE, doc: "weight of the penalty alpha |w|^2" };

const C: Setting = Setting {
    key: "C",
    default: "1",
    accepted: "a number above 0, or inf for no penalty",
    doc: "inverse weight of the penalty |w|^2 / (2 C)",
};
const CLASS_WEIGHT: Setting = Setting {
    key: "class_weight",
    default: "none",
    accepted: "none or balanced",
    doc: "balanced lets all classes count the same",
};
const SOLVER: Setting = Setting {
    key: "solver",
    default: "auto",
    accepted: "auto, newton-cholesky or lbfgs",
    doc: "how the objective is minimised",
};
const TOLERANCE: Setting = Setting {
    key: "tolerance",
    default: "1e-8",
    accepted: NOT_NEGATIVE,
    doc: "largest entry of the gradient, per unit of weight, at which the fit has converged",
};
const MAX_ROUNDS: Setting = Setting {
    key: "max_rounds",
    default: "1000",
    accepted: "a whole number above 0",
    doc: "passes over the data after which the fit ends",
};

pub(crate) static LINEAR: Family = Family {
    name: "linear",
    summary: "least squares; of several solutions the one of least norm",
    purpose: Purpose::Regression,
    settings: &[COMMON],
    check: |settings| common(settings).map(|_| ()),
    train: |dataset, roles, settings, context| {
        let (intercept, _) = common(settings)?;
        let estimator = Estimator::LeastSquares(LeastSquares { intercept, ..LeastSquares::default() });
        fit("linear", &estimator, dataset, roles, settings, context)
    },
    load,
};

pub(crate) static RIDGE: Family = Family {
    name: "ridge",
    summary: "least squares with a penalty on the size of coefficients",
    purpose: Purpose::Regression,
    settings: &[&[ALPHA], COMMON],
    check: |settings| ridge(settings).map(|_| ()),
    train: |dataset, roles, settings, context| {
        fit("ridge", &Estimator::LeastSquares(ridge(settings)?), dataset, roles, settings, context)
    },
    load,
};

pub(crate) static LOGISTIC: Family = Family {
    name: "logistic",
    summary: "logistic regression, multinomial for more than two classes",
    purpose: Purpose::Classification,
    settings: &[&[C, CLASS_WEIGHT, SOLVER, TOLERANCE, MAX_ROUNDS], COMMON],
    check: |settings| logistic(settings).map(|_| ()),
    train: |dataset, roles, settings, context| {
        fit("logistic", &Estimator::Logistic(logistic(settings)?), dataset, roles, settings, context)
    },
    load,
};

/// Whether to fit an intercept, and what to do with numbers.
fn common(settings: &Settings) -> Result<(bool, encoder::Options)> {
    let options =
        encoder::Options { impute: settings.get(&IMPUTE)?, standardise: settings.get(&STANDARDISE)? };
    Ok((settings.get(&INTERCEPT)?, options))
}

fn ridge(settings: &Settings) -> Result<LeastSquares> {
    let (intercept, _) = common(settings)?;
    Ok(LeastSquares { l2: settings.number(&ALPHA, |x| x >= 0.0 && x.is_finite())?, intercept })
}

fn logistic(settings: &Settings) -> Result<Logistic> {
    let (intercept, _) = common(settings)?;
    let words = [("none", ClassWeights::Ones), ("balanced", ClassWeights::Balanced)];
    Ok(Logistic {
        // Infinite C is no penalty.
        l2: 1.0 / settings.number(&C, |x| x > 0.0)?,
        intercept,
        class_weights: settings.word(&CLASS_WEIGHT, &words)?,
        solver: settings.get::<LogisticSolver>(&SOLVER)?,
        tolerance: settings.number(&TOLERANCE, |x| x >= 0.0 && x.is_finite())?,
        max_rounds: settings.number(&MAX_ROUNDS, |x| x >= 1.0 && x.fract() == 0.0 && x < 1e15)? as u64,
    })
}

fn fit(
    name: &str,
    estimator: &Estimator,
    dataset: &Dataset,
    roles: &Roles,
    settings: &Settings,
    context: &Context<'_>,
) -> Result<Box<dyn Model>> {
    let (_, options) = common(settings)?;
    Ok(Box::new(Pipeline::fit(name, estimator, options, dataset, roles, context)?))
}

fn load(file: &ModelFile<'_>) -> Result<Box<dyn Model>> {
    Ok(Box::new(Pipeline::from_file(file)?))
}
