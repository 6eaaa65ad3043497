//! The linear families: what `--set` accepts for them, and how they are trained.

use crate::family::Train;
use crate::pieces::{self, Named, Pieces};
use crate::stochastic::{SGD, SGD_ONLY, refuse, stochastic};
use crate::{Family, Purpose, Setting, Settings};
use tilewise_base::{Context, Dataset, Error, InBytes, Model, ModelFile, Result, Roles, encoder};
use tilewise_linear::pipeline::rounds::PipelineTrainer;
use tilewise_linear::pipeline::{Estimator, Pipeline};
use tilewise_linear::{
    ClassWeights, DescentLoss, Errors, GradientDescent, LeastSquares, LeastSquaresSolver, Logistic,
    LogisticSolver, StochasticLoss,
};

pub(crate) const BOOLEAN: &str = "true or false";
pub(crate) const NOT_NEGATIVE: &str = "a number of 0 or more";

const INTERCEPT: Setting = Setting {
    key: "intercept",
    default: "true",
    accepted: BOOLEAN,
    doc: "fit an intercept, which is not penalised",
};
pub(crate) const STANDARDISE: Setting = Setting {
    key: "standardise",
    default: "true",
    accepted: BOOLEAN,
    doc: "centre numbers and scale them to deviation 1",
};
pub(crate) const IMPUTE: Setting = Setting {
    key: "impute",
    default: "true",
    accepted: BOOLEAN,
    doc: "replace missing numbers by the mean; otherwise they are an error",
};
pub(crate) const COMMON: &[Setting] = &[INTERCEPT, STANDARDISE, IMPUTE];

pub(crate) const ERRORS: Setting = Setting {
    key: "errors",
    default: "none",
    accepted: "none, classical, hc0, hc1, hc2 or hc3",
    doc: "standard errors, tests and intervals of the coefficients, which inspect prints; hc0 to hc3 hold where rows scatter differently",
};
pub(crate) const CLASSICAL: Setting = Setting {
    accepted: "none or classical",
    doc: "standard errors, tests and intervals of the coefficients, which inspect prints; of models without penalty",
    ..ERRORS
};

const ALPHA: Setting =
    Setting { key: "alpha", default: "1", accepted: NOT_NEGATIVE, doc: "weight of the penalty alpha |w|^2" };

const C: Setting = Setting {
    key: "C",
    default: "1",
    accepted: "a number above 0, or inf for no penalty",
    doc: "inverse weight of the penalty: |w|^2 / (2 C), unless l1_ratio is above 0",
};
pub(crate) const L1_RATIO: Setting = Setting {
    key: "l1_ratio",
    default: "0",
    accepted: "a number from 0 to 1",
    doc: "share of |w| in the penalty, which makes coefficients zero; the rest is |w|^2 / 2",
};
const CLASS_WEIGHT: Setting = Setting {
    key: "class_weight",
    default: "none",
    accepted: "none or balanced",
    doc: "balanced lets all classes count the same",
};
/// The solver that people come to compare the others with.
const DESCENT: &str = "gradient-descent";

const SOLVER: Setting = Setting {
    key: "solver",
    default: "auto",
    accepted: "auto, newton-cholesky, newton-cg, lbfgs or (two classes) saga, sgd or gradient-descent",
    doc: "how the objective is minimised; --parallel says how gradient-descent divides its work; sgd comes near it, by tolerance=1e-3 if that is not given",
};
pub(crate) const STEP: Setting = Setting {
    key: "step",
    default: "auto",
    accepted: "auto or a number above 0",
    doc: "step of gradient-descent per unit of weight, auto is one over the largest curvature; first step of sgd, auto is 0.1 (logistic regression: 1)",
};
pub(crate) const TOLERANCE: Setting = Setting {
    key: "tolerance",
    default: "1e-8",
    accepted: NOT_NEGATIVE,
    doc: "largest entry of the gradient, per unit of weight, at which the fit has converged",
};
pub(crate) const MAX_ROUNDS: Setting = Setting {
    key: "max_rounds",
    default: "1000",
    accepted: "a whole number above 0",
    doc: "passes over the data after which the fit ends",
};

/// As above for families that are solved in closed form, or by steps of which each is a pass over the rows.
const CLOSED_OR_DESCENT: Setting = Setting {
    accepted: "auto, cholesky, qr, svd, lsqr, gradient-descent or sgd",
    doc: "how the objective is minimised: by shape, normal equations, triangle of the rows, singular values, LSQR; --parallel says how gradient-descent divides its work; sgd comes near it, by tolerance=1e-3 if that is not given",
    ..SOLVER
};
const DESCENT_TOLERANCE: Setting = Setting {
    default: "1e-6",
    doc: "largest entry of the gradient, per unit of weight, at which gradient-descent has converged, or sgd (1e-3 if not given)",
    ..TOLERANCE
};
const DESCENT_ROUNDS: Setting =
    Setting { doc: "rounds after which gradient-descent, or sgd, ends", ..MAX_ROUNDS };
const CLOSED: &[Setting] = &[CLOSED_OR_DESCENT, STEP, DESCENT_TOLERANCE, DESCENT_ROUNDS];

pub(crate) const POSITIVE: Setting =
    Setting { key: "positive", default: "false", accepted: BOOLEAN, doc: "no coefficient is below 0" };
const LOWER: Setting = Setting {
    key: "lower",
    default: "none",
    accepted: "none, a number, or numbers of inputs such as age:0,debt:-1.5",
    doc: "no coefficient, or none of these inputs, is below this; those of standardised columns are meant",
};
const UPPER: Setting = Setting {
    key: "upper",
    default: "none",
    accepted: "none, a number, or numbers of inputs such as age:1,debt:0, that are not below lower",
    doc: "no coefficient, or none of these inputs, is above this",
};
const BOUNDS: &[Setting] = &[POSITIVE, LOWER, UPPER];

/// A linear family: what all of them have in common.
pub(crate) const fn linear_family(
    name: &'static str,
    summary: &'static str,
    purpose: Purpose,
    settings: &'static [&'static [Setting]],
    check: fn(&Settings) -> Result<()>,
    train: Train,
    pieces: Option<Pieces>,
) -> Family {
    Family {
        name,
        summary,
        purpose,
        several: false,
        processes: false,
        reads_rows: true,
        exact_pieces: false,
        checkpoints: false,
        survival: false,
        two_classes: false,
        holds_out: false,
        settings,
        check,
        train,
        continued: None,
        load,
        pieces,
        exported: None,
    }
}

/// A family of numbers that takes several columns of them.
pub(crate) const fn learns_several(family: Family) -> Family {
    Family { several: true, ..family }
}

pub(crate) static LINEAR: Family = learns_several(linear_family(
    "linear",
    "least squares; of several solutions the one of least norm",
    Purpose::Regression,
    &[&[ERRORS], BOUNDS, CLOSED, SGD_ONLY, COMMON],
    |settings| check(settings, &squares(settings, 0.0)?, &ERRORS),
    |dataset, roles, settings, context| {
        fit("linear", &squares(settings, 0.0)?, dataset, roles, settings, context)
    },
    Some(|settings, inputs, roles, _| in_pieces("linear", &squares(settings, 0.0)?, settings, inputs, roles)),
));

pub(crate) static RIDGE: Family = learns_several(linear_family(
    "ridge",
    "least squares with a penalty on the size of coefficients",
    Purpose::Regression,
    &[&[ALPHA], BOUNDS, CLOSED, SGD_ONLY, COMMON],
    |settings| ridge(settings).map(|_| ()),
    |dataset, roles, settings, context| fit("ridge", &ridge(settings)?, dataset, roles, settings, context),
    Some(|settings, inputs, roles, _| in_pieces("ridge", &ridge(settings)?, settings, inputs, roles)),
));

pub(crate) static LOGISTIC: Family = linear_family(
    "logistic",
    "logistic regression, multinomial for more than two classes",
    Purpose::Classification,
    &[&[C, L1_RATIO, CLASS_WEIGHT, CLASSICAL, SOLVER, STEP, TOLERANCE, MAX_ROUNDS], SGD_ONLY, COMMON],
    |settings| check(settings, &logistic(settings)?, &CLASSICAL),
    |dataset, roles, settings, context| {
        fit("logistic", &logistic(settings)?, dataset, roles, settings, context)
    },
    Some(|settings, inputs, roles, _| in_pieces("logistic", &logistic(settings)?, settings, inputs, roles)),
);

/// Which standard errors are asked for.
pub(crate) fn errors(settings: &Settings, setting: &Setting) -> Result<Option<Errors>> {
    let robust = [("hc0", Errors::Hc0), ("hc1", Errors::Hc1), ("hc2", Errors::Hc2), ("hc3", Errors::Hc3)];
    let mut words = vec![("none", None), ("classical", Some(Errors::Classical))];
    if setting.accepted == ERRORS.accepted {
        words.extend(robust.map(|(word, errors)| (word, Some(errors))));
    }
    settings.word(setting, &words)
}

/// Refuses standard errors of a model that has none, before any data is read.
pub(crate) fn check(settings: &Settings, estimator: &Estimator, setting: &Setting) -> Result<()> {
    let refused = |what: &str| Err(Error::parameter(setting.key, settings.get::<String>(setting)?, what));
    match (errors(settings, setting)?, estimator) {
        (None, _) => Ok(()),
        (_, Estimator::Generalised(params)) if params.alpha > 0.0 => {
            refused("it needs a model without penalty: alpha=0")
        }
        (_, Estimator::Logistic(params)) if params.l2 + params.l1 > 0.0 => {
            refused("it needs a model without penalty: C=inf")
        }
        (_, Estimator::Logistic(params)) if params.class_weights != ClassWeights::Ones => {
            refused("it needs class_weight=none")
        }
        (_, Estimator::LeastSquares(params)) if params.lower.or(params.upper).is_some() => {
            refused("it needs coefficients without bounds")
        }
        (_, Estimator::Bounded { .. }) => refused("it needs coefficients without bounds"),
        (_, Estimator::GradientDescent(_)) => refused("it needs another solver than gradient-descent"),
        (_, Estimator::Stochastic { .. }) => refused("it needs another solver than sgd"),
        (_, Estimator::Searched { .. }) => refused("it needs a model without penalty: alpha=0"),
        _ => Ok(()),
    }
}

/// Whether to fit an intercept, and what to do with numbers.
pub(crate) fn common(settings: &Settings) -> Result<(bool, encoder::Options)> {
    let (impute, standardise) = (settings.get(&IMPUTE)?, settings.get(&STANDARDISE)?);
    let options = encoder::Options { impute, standardise, ..encoder::Options::default() };
    Ok((settings.get(&INTERCEPT)?, options))
}

pub(crate) fn ridge(settings: &Settings) -> Result<Estimator> {
    squares(settings, settings.number(&ALPHA, |x| x >= 0.0 && x.is_finite())?)
}

/// Least squares with the penalty `l2`.
pub(crate) fn squares(settings: &Settings, l2: f64) -> Result<Estimator> {
    let (intercept, _) = common(settings)?;
    let closed = [
        ("auto", Some(LeastSquaresSolver::Auto)),
        ("cholesky", Some(LeastSquaresSolver::Cholesky)),
        ("qr", Some(LeastSquaresSolver::Qr)),
        ("svd", Some(LeastSquaresSolver::Svd)),
        ("lsqr", Some(LeastSquaresSolver::Lsqr)),
        (DESCENT, None),
        (SGD, None),
    ];
    let solver = settings.word(&CLOSED_OR_DESCENT, &closed)?;
    let name: String = settings.get(&CLOSED_OR_DESCENT)?;
    let (tolerance, max_rounds) = limits(settings, &DESCENT_TOLERANCE, &DESCENT_ROUNDS)?;
    let step = step(settings)?;
    let (lower, upper) = bounds(settings)?;
    if solver != Some(LeastSquaresSolver::Auto)
        && let Some(s) = BOUNDS.iter().find(|s| settings.changes(s))
    {
        let what = format!("with solver={name} only {} is: auto alone knows bounds", s.default);
        return Err(Error::parameter(s.key, settings.get::<String>(s)?, what));
    }
    let Some(solver) = solver else {
        if name == SGD {
            let limits = [&DESCENT_TOLERANCE, &DESCENT_ROUNDS];
            return stochastic(settings, StochasticLoss::Squared, (l2, 0.0, true), intercept, limits);
        }
        refuse(settings, &[])?;
        let loss = DescentLoss::Squared;
        return Ok(Estimator::GradientDescent(GradientDescent {
            loss,
            l2,
            intercept,
            step,
            tolerance,
            max_rounds,
        }));
    };
    refuse(settings, &[])?;
    only_descent(settings, &[STEP, DESCENT_TOLERANCE, DESCENT_ROUNDS])?;
    let all = |bound: &Bound| if let Bound::All(bound) = bound { Some(*bound) } else { None };
    let (lowest, highest) = (all(&lower), all(&upper));
    let params =
        LeastSquares { l2, intercept, lower: lowest, upper: highest, solver, ..LeastSquares::default() };
    Ok(match (lower, upper) {
        (Bound::Named(lower), Bound::Named(upper)) => Estimator::Bounded { params, lower, upper },
        (Bound::Named(lower), _) => Estimator::Bounded { params, lower, upper: Vec::new() },
        (_, Bound::Named(upper)) => Estimator::Bounded { params, lower: Vec::new(), upper },
        _ => Estimator::LeastSquares(params),
    })
}

/// A bound of coefficients.
enum Bound {
    None,
    All(f64),
    /// Of inputs by their names.
    Named(Vec<(String, f64)>),
}

impl Bound {
    fn read(settings: &Settings, setting: &Setting) -> Result<Self> {
        let text: String = settings.get(setting)?;
        if text == setting.default {
            return Ok(Self::None);
        }
        if !text.contains(':') {
            return settings.number(setting, f64::is_finite).map(Self::All);
        }
        let of_input = |word: &str| {
            let bound =
                word.rsplit_once(':').and_then(|(name, bound)| Some((name.to_owned(), bound.parse().ok()?)));
            bound
                .filter(|(_, bound): &(String, f64)| bound.is_finite())
                .ok_or_else(|| Error::parameter(setting.key, word, format!("{} is", setting.accepted)))
        };
        text.split(',').map(of_input).collect::<Result<_>>().map(Self::Named)
    }

    /// That of an input; of one that is named elsewhere too.
    fn of(&self, name: &str) -> Option<f64> {
        match self {
            Self::None => None,
            Self::All(bound) => Some(*bound),
            Self::Named(bounds) => bounds.iter().find(|(known, _)| known == name).map(|(_, bound)| *bound),
        }
    }
}

/// What no coefficient is below, and above.
fn bounds(settings: &Settings) -> Result<(Bound, Bound)> {
    let (mut lower, upper) = (Bound::read(settings, &LOWER)?, Bound::read(settings, &UPPER)?);
    if settings.get::<bool>(&POSITIVE)? {
        if settings.changes(&LOWER) {
            let what = "with positive=true it is 0: leave one of them out";
            return Err(Error::parameter(LOWER.key, settings.get::<String>(&LOWER)?, what));
        }
        lower = Bound::All(0.0);
    }
    let names: Vec<&str> = match (&lower, &upper) {
        (Bound::Named(bounds), _) | (_, Bound::Named(bounds)) => {
            bounds.iter().map(|(name, _)| name.as_str()).collect()
        }
        // Any input has those of all.
        _ => vec![""],
    };
    for name in names {
        if let (Some(below), Some(above)) = (lower.of(name), upper.of(name))
            && below > above
        {
            let of = if name.is_empty() { String::new() } else { format!(" of {name:?}") };
            let accepted = format!("{} is, and lower{of} is {below}", UPPER.accepted);
            return Err(Error::parameter(UPPER.key, above, accepted));
        }
    }
    Ok((lower, upper))
}

pub(crate) fn logistic(settings: &Settings) -> Result<Estimator> {
    let (intercept, _) = common(settings)?;
    // Infinite C is no penalty.
    let penalty = 1.0 / settings.number(&C, |x| x > 0.0)?;
    let l1_ratio = settings.number(&L1_RATIO, |x| (0.0..=1.0).contains(&x))?;
    if penalty == 0.0 && l1_ratio > 0.0 {
        return Err(Error::parameter(L1_RATIO.key, l1_ratio, "with C=inf there is no penalty to share"));
    }
    let (l1, l2) = (penalty * l1_ratio, penalty * (1.0 - l1_ratio));
    let weights = [("none", ClassWeights::Ones), ("balanced", ClassWeights::Balanced)];
    let class_weights = settings.word(&CLASS_WEIGHT, &weights)?;
    let solvers = [
        ("auto", Some(LogisticSolver::Auto)),
        ("newton-cholesky", Some(LogisticSolver::NewtonCholesky)),
        ("newton-cg", Some(LogisticSolver::NewtonCg)),
        ("lbfgs", Some(LogisticSolver::Lbfgs)),
        ("saga", Some(LogisticSolver::Saga)),
        (SGD, None),
        (DESCENT, None),
    ];
    let solver = settings.word(&SOLVER, &solvers)?;
    let by_rows = settings.get::<String>(&SOLVER)? == SGD;
    if !by_rows {
        refuse(settings, &[])?;
    }
    let (tolerance, max_rounds) = limits(settings, &TOLERANCE, &MAX_ROUNDS)?;
    let step = step(settings)?;
    if let Some(solver) = solver {
        only_descent(settings, &[STEP])?;
        if matches!(solver, LogisticSolver::Lbfgs | LogisticSolver::NewtonCg) && l1 > 0.0 {
            let what = "it takes |w|^2 only; auto and newton-cholesky take l1_ratio above 0";
            return Err(Error::parameter(SOLVER.key, settings.get::<String>(&SOLVER)?, what));
        }
        return Ok(Estimator::Logistic(Logistic {
            l1,
            l2,
            intercept,
            class_weights,
            solver,
            tolerance,
            max_rounds,
        }));
    }
    if class_weights != ClassWeights::Ones {
        let solver = if by_rows { SGD } else { DESCENT };
        let what = format!("with solver={solver} only none is; a column of weights does the same");
        return Err(Error::parameter(CLASS_WEIGHT.key, "balanced", what));
    }
    if by_rows {
        let limits = [&TOLERANCE, &MAX_ROUNDS];
        return stochastic(settings, StochasticLoss::Logistic, (penalty, l1_ratio, true), intercept, limits);
    }
    if l1 > 0.0 {
        let what = format!("with solver={DESCENT} only 0 is: plain descent takes |w|^2 only");
        return Err(Error::parameter(L1_RATIO.key, l1_ratio, what));
    }
    let loss = DescentLoss::Logistic;
    Ok(Estimator::GradientDescent(GradientDescent { loss, l2, intercept, step, tolerance, max_rounds }))
}

/// Tolerance and most rounds.
pub(crate) fn limits(settings: &Settings, tolerance: &Setting, rounds: &Setting) -> Result<(f64, u64)> {
    let tolerance = settings.number(tolerance, |x| x >= 0.0 && x.is_finite())?;
    Ok((tolerance, settings.number(rounds, |x| x >= 1.0 && x.fract() == 0.0 && x < 1e15)? as u64))
}

pub(crate) fn step(settings: &Settings) -> Result<Option<f64>> {
    if !settings.changes(&STEP) {
        return Ok(None);
    }
    settings.number(&STEP, |x| x > 0.0 && x.is_finite()).map(Some)
}

/// Refuses parameters that would have no effect.
fn only_descent(settings: &Settings, of_descent: &[Setting]) -> Result<()> {
    match of_descent.iter().find(|s| settings.changes(s)) {
        None => Ok(()),
        Some(s) => {
            let value = settings.get::<String>(s)?;
            Err(Error::parameter(
                s.key,
                value,
                format!("it is a parameter of solver={DESCENT} and solver={SGD} only"),
            ))
        }
    }
}

pub(crate) fn fit(
    name: &str,
    estimator: &Estimator,
    dataset: &Dataset,
    roles: &Roles,
    settings: &Settings,
    context: &Context<'_>,
) -> Result<Box<dyn Model>> {
    let (_, options) = common(settings)?;
    // Families that do not declare it never have it.
    let errors = errors(settings, &ERRORS)?;
    if errors.is_some() && roles.targets.len() > 1 {
        let what = "standard errors are told of one target; none is accepted";
        return Err(Error::parameter(ERRORS.key, settings.get::<String>(&ERRORS)?, what));
    }
    let pipeline = Pipeline::fit(name, estimator, options, dataset, roles, context)?;
    Ok(Box::new(match errors {
        Some(errors) => pipeline.judged(errors, dataset, roles)?,
        None => pipeline,
    }))
}

/// The trainer of an estimator for a table in pieces.
pub(crate) fn in_pieces(
    name: &'static str,
    estimator: &Estimator,
    settings: &Settings,
    inputs: Vec<String>,
    roles: &Roles,
) -> Result<Box<dyn InBytes>> {
    let (_, options) = common(settings)?;
    if errors(settings, &ERRORS)?.is_some() {
        let what = "standard errors are told of a table in one memory; none is accepted";
        return Err(Error::parameter(ERRORS.key, settings.get::<String>(&ERRORS)?, what));
    }
    let trainer = PipelineTrainer::new(name, estimator, options, inputs, roles)?;
    Ok(Box::new(Named(pieces::LINEAR, Box::new(trainer))))
}

pub(crate) fn load(file: &ModelFile<'_>) -> Result<Box<dyn Model>> {
    Ok(Box::new(Pipeline::from_file(file)?))
}

#[cfg(test)]
mod tests;
