//! Lasso and elastic net: what `--set` accepts for them.

use crate::linear::{COMMON, NOT_NEGATIVE, POSITIVE, common, fit, learns_several, limits, linear_family};
use crate::stochastic::{FIRST, SGD, SGD_ONLY, refuse, stochastic};
use crate::{Family, Purpose, Setting, Settings};
use tilewise_base::{Error, Result};
use tilewise_linear::pipeline::{Estimator, Search};
use tilewise_linear::{Alphas, ElasticNet, ElasticNetSolver, StochasticLoss};

/// The word that asks for a choice.
pub(crate) const CV: &str = "cv";

const ALPHA: Setting = Setting {
    key: "alpha",
    default: CV,
    accepted: "cv or a number above 0",
    doc: "weight of the penalty, beside half the mean squared error; cv compares a falling series on folds",
};
const L1_RATIO: Setting = Setting {
    key: "l1_ratio",
    default: "0.5",
    accepted: "a number from 0 (with alpha=cv above 0) to 1",
    doc: "share of |w| in the penalty; the rest is |w|^2 / 2",
};
pub(crate) const ALPHAS: Setting = Setting {
    key: "alphas",
    default: "100",
    accepted: "a whole number above 0",
    doc: "weights that alpha=cv compares, from the least that makes all coefficients zero down",
};
pub(crate) const ALPHA_RATIO: Setting = Setting {
    key: "alpha_ratio",
    default: "1e-3",
    accepted: "a number above 0 and at most 1",
    doc: "the last of them over the first",
};
pub(crate) const FOLDS: Setting = Setting {
    key: "folds",
    default: "5",
    accepted: "a whole number of 2 or more",
    doc: "folds of alpha=cv; rows of a group stay together",
};
pub(crate) const CHOOSE: Setting = Setting {
    key: "choose",
    default: "least",
    accepted: "least or one-standard-error",
    doc: "which of them alpha=cv takes: that of the least error, or the largest within one standard error of it",
};
const SOLVER: Setting = Setting {
    key: "solver",
    default: "auto",
    accepted: "auto, gram, working-set, saga or sgd",
    doc: "coordinate descent on products of all columns, or on a copy of the columns; auto goes by shape; saga draws single rows; sgd comes near by them, until a gradient of 1e-3 if no tolerance is given",
};
pub(crate) const TOLERANCE: Setting = Setting {
    key: "tolerance",
    default: "1e-8",
    accepted: NOT_NEGATIVE,
    doc: "duality gap at which the fit has converged, as a share of half the target's variance",
};
pub(crate) const MAX_ROUNDS: Setting = Setting {
    key: "max_rounds",
    default: "1000",
    accepted: "a whole number above 0",
    doc: "looks at all columns after which the fit ends",
};
const SHARED: &[Setting] =
    &[ALPHAS, ALPHA_RATIO, FOLDS, CHOOSE, POSITIVE, SOLVER, FIRST, TOLERANCE, MAX_ROUNDS];

pub(crate) static LASSO: Family = learns_several(linear_family(
    "lasso",
    "least squares with a penalty that makes coefficients zero",
    Purpose::Regression,
    &[&[ALPHA], SHARED, SGD_ONLY, COMMON],
    |settings| lasso(settings).map(|_| ()),
    |dataset, roles, settings, context| fit("lasso", &lasso(settings)?, dataset, roles, settings, context),
    None,
));

pub(crate) static ELASTIC_NET: Family = learns_several(linear_family(
    "elastic-net",
    "least squares with the penalties of lasso and ridge",
    Purpose::Regression,
    &[&[ALPHA, L1_RATIO], SHARED, SGD_ONLY, COMMON],
    |settings| mixed(settings).map(|_| ()),
    |dataset, roles, settings, context| {
        fit("elastic-net", &mixed(settings)?, dataset, roles, settings, context)
    },
    None,
));

pub(crate) fn lasso(settings: &Settings) -> Result<Estimator> {
    estimator(settings, 1.0)
}

pub(crate) fn mixed(settings: &Settings) -> Result<Estimator> {
    estimator(settings, settings.number(&L1_RATIO, |x| (0.0..=1.0).contains(&x))?)
}

/// How alpha=cv chooses, where it is; else what only that has is refused. `alphas` and `ratio` declare which are
/// compared.
pub(crate) fn search(
    settings: &Settings,
    [alphas, ratio]: [Setting; 2],
    chosen: bool,
) -> Result<Option<Search>> {
    let whole = |setting: &Setting, least: f64| {
        settings.number(setting, |x| x >= least && x.fract() == 0.0 && x <= 1e6).map(|x| x as usize)
    };
    let search = Search {
        folds: whole(&FOLDS, 2.0)?,
        alphas: Alphas::Falling {
            count: whole(&alphas, 1.0)?,
            ratio: settings.number(&ratio, |x| x > 0.0 && x <= 1.0)?,
        },
        one_standard_error: settings.word(&CHOOSE, &[("least", false), ("one-standard-error", true)])?,
    };
    let unused = [alphas, ratio, FOLDS, CHOOSE].into_iter().find(|s| !chosen && settings.changes(s));
    if let Some(s) = unused {
        let value = settings.get::<String>(&s)?;
        return Err(Error::parameter(s.key, value, "it is a parameter of alpha=cv only"));
    }
    Ok(chosen.then_some(search))
}

fn estimator(settings: &Settings, l1_ratio: f64) -> Result<Estimator> {
    let (intercept, _) = common(settings)?;
    let solvers = [
        ("auto", ElasticNetSolver::Auto),
        ("gram", ElasticNetSolver::Gram),
        ("working-set", ElasticNetSolver::WorkingSet),
        ("saga", ElasticNetSolver::Saga),
        (SGD, ElasticNetSolver::Auto),
    ];
    let by_rows = settings.get::<String>(&SOLVER)? == SGD;
    let solver = settings.word(&SOLVER, &solvers)?;
    let (tolerance, max_rounds) = limits(settings, &TOLERANCE, &MAX_ROUNDS)?;
    let chosen = settings.get::<String>(&ALPHA)? == CV;
    let alpha = if chosen { 1.0 } else { settings.number(&ALPHA, |x| x > 0.0 && x.is_finite())? };
    let search = search(settings, [ALPHAS, ALPHA_RATIO], chosen)?;
    if chosen && l1_ratio == 0.0 {
        let accepted =
            "with alpha=cv a number above 0 is: without |w| no penalty makes all coefficients zero";
        return Err(Error::parameter(L1_RATIO.key, 0, accepted));
    }
    let (standardise, positive) = (false, settings.get(&POSITIVE)?);
    if (solver == ElasticNetSolver::Saga || by_rows) && (chosen || positive) {
        let solver = if by_rows { SGD } else { "saga" };
        return Err(Error::parameter(SOLVER.key, solver, "it takes a number as alpha, and positive=false"));
    }
    if by_rows {
        let limits = [&TOLERANCE, &MAX_ROUNDS];
        return stochastic(settings, StochasticLoss::Squared, (alpha, l1_ratio, false), intercept, limits);
    }
    refuse(settings, &[FIRST])?;
    let params =
        ElasticNet { alpha, l1_ratio, intercept, standardise, positive, solver, tolerance, max_rounds };
    Ok(Estimator::ElasticNet { params, search })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_parameters() {
        let chosen = estimator(&Settings::default(), 1.0).unwrap();
        let Estimator::ElasticNet { params, search: Some(search) } = chosen else { panic!("no choice") };
        assert_eq!((params, search.folds, search.alphas), (ElasticNet::default(), 5, Alphas::default()));
        let given = Settings::default()
            .with("alpha", 0.5)
            .with("l1_ratio", 0.25)
            .with("solver", "working-set")
            .with("positive", true);
        let params = ElasticNet {
            alpha: 0.5,
            l1_ratio: 0.25,
            positive: true,
            solver: ElasticNetSolver::WorkingSet,
            ..Default::default()
        };
        assert_eq!(mixed(&given).unwrap(), Estimator::ElasticNet { params, search: None });
    }

    #[test]
    fn what_would_have_no_effect_is_refused() {
        let refused = |settings: &Settings, words: [&str; 2]| {
            let message = mixed(settings).unwrap_err().to_string();
            assert!(words.iter().all(|w| message.contains(w)), "{message}");
        };
        refused(&Settings::default().with("alpha", 1).with("folds", 7), ["folds", "alpha=cv only"]);
        refused(&Settings::default().with("l1_ratio", 0), ["l1_ratio", "above 0"]);
        refused(&Settings::default().with("solver", "saga"), ["solver", "a number as alpha"]);
        refused(&Settings::default().with("alpha", 0), ["alpha", "cv or a number above 0"]);
        assert!(LASSO.check(&Settings::default().with("l1_ratio", 0.5)).is_err());
    }
}
