//! Poisson, gamma and Tweedie regression, with the normal distribution as the last one's: what `--set` accepts for them.

use crate::elastic_net::{self, CHOOSE, CV, FOLDS, search};
use crate::linear::{
    CLASSICAL, COMMON, L1_RATIO, MAX_ROUNDS, TOLERANCE, check, common, fit, in_pieces, limits, linear_family,
};
use crate::{Family, Purpose, Setting, Settings};
use tilewise_base::{Error, Result};
use tilewise_linear::pipeline::Estimator;
use tilewise_linear::{Distribution, Generalised, GeneralisedSolver, Link};

const NEWTON_ROUNDS: Setting = Setting { default: "100", ..MAX_ROUNDS };
const ALPHA: Setting = Setting {
    key: "alpha",
    default: "1e-4",
    accepted: "cv or a number of 0 or more",
    doc: "weight of the penalty, beside half the mean deviance; 0 for none; cv compares a falling series on folds by deviance",
};
/// Each of them is a fit from the beginning.
pub(crate) const ALPHAS: Setting = Setting { default: "20", ..elastic_net::ALPHAS };
/// Without |w|, the default, the first is far from where it tells.
const ALPHA_RATIO: Setting = Setting { default: "1e-4", ..elastic_net::ALPHA_RATIO };
const POWER: Setting = Setting {
    key: "power",
    default: "1.5",
    accepted: "0, or a number of 1 or more",
    doc: "the variance is proportional to so high a power of the mean: 0 normal, 1 Poisson, 2 gamma, 3 inverse Gaussian distribution",
};
const LINK: Setting = Setting {
    key: "link",
    default: "auto",
    accepted: "auto, identity or log",
    doc: "what of the mean is linear; auto is identity for power=0, which alone takes it, else log",
};
const SOLVER: Setting = Setting {
    key: "solver",
    default: "auto",
    accepted: "auto, newton-cholesky, newton-cg or lbfgs",
    doc: "how the objective is minimised; auto is newton-cg from some 4,000 columns on, of which 20 passes count as a round, else newton-cholesky",
};
const SHARED: &[Setting] =
    &[ALPHA, L1_RATIO, ALPHAS, ALPHA_RATIO, FOLDS, CHOOSE, CLASSICAL, SOLVER, TOLERANCE, NEWTON_ROUNDS];

pub(crate) static POISSON: Family = linear_family(
    "poisson",
    "Poisson regression of counts, log link",
    Purpose::Regression,
    &[SHARED, COMMON],
    |settings| check(settings, &poisson(settings)?, &CLASSICAL),
    |dataset, roles, settings, context| {
        fit("poisson", &poisson(settings)?, dataset, roles, settings, context)
    },
    Some(|settings, inputs, roles, _| in_pieces("poisson", &poisson(settings)?, settings, inputs, roles)),
);

pub(crate) static GAMMA: Family = linear_family(
    "gamma",
    "gamma regression of amounts above 0, log link",
    Purpose::Regression,
    &[SHARED, COMMON],
    |settings| check(settings, &gamma(settings)?, &CLASSICAL),
    |dataset, roles, settings, context| fit("gamma", &gamma(settings)?, dataset, roles, settings, context),
    Some(|settings, inputs, roles, _| in_pieces("gamma", &gamma(settings)?, settings, inputs, roles)),
);

pub(crate) static TWEEDIE: Family = linear_family(
    "tweedie",
    "Tweedie regression of amounts of which many are 0, log link; by power normal, Poisson, gamma ...",
    Purpose::Regression,
    &[&[POWER, LINK], SHARED, COMMON],
    |settings| check(settings, &tweedie(settings)?, &CLASSICAL),
    |dataset, roles, settings, context| {
        fit("tweedie", &tweedie(settings)?, dataset, roles, settings, context)
    },
    Some(|settings, inputs, roles, _| in_pieces("tweedie", &tweedie(settings)?, settings, inputs, roles)),
);

pub(crate) fn poisson(settings: &Settings) -> Result<Estimator> {
    estimator(settings, Distribution::Poisson)
}

pub(crate) fn gamma(settings: &Settings) -> Result<Estimator> {
    estimator(settings, Distribution::Gamma)
}

pub(crate) fn tweedie(settings: &Settings) -> Result<Estimator> {
    let power = settings.number(&POWER, |x| x == 0.0 || x >= 1.0 && x.is_finite())?;
    let usual = if power == 0.0 { Link::Identity } else { Link::Log };
    let link = settings.word(&LINK, &[("auto", usual), ("identity", Link::Identity), ("log", Link::Log)])?;
    if link == Link::Identity && power != 0.0 {
        let what =
            format!("with power={power} a mean has to be above 0, as log makes it; log or auto is expected");
        return Err(Error::parameter(LINK.key, "identity", what));
    }
    let distribution = match power {
        0.0 => Distribution::Normal(link),
        1.0 => Distribution::Poisson,
        2.0 => Distribution::Gamma,
        _ => Distribution::Tweedie(power),
    };
    estimator(settings, distribution)
}

fn estimator(settings: &Settings, distribution: Distribution) -> Result<Estimator> {
    let (intercept, _) = common(settings)?;
    let chosen = settings.get::<String>(&ALPHA)? == CV;
    let alpha = if chosen { 1.0 } else { settings.number(&ALPHA, |x| x >= 0.0 && x.is_finite())? };
    let l1_ratio = settings.number(&L1_RATIO, |x| (0.0..=1.0).contains(&x))?;
    if alpha == 0.0 && l1_ratio > 0.0 {
        return Err(Error::parameter(L1_RATIO.key, l1_ratio, "with alpha=0 there is no penalty to share"));
    }
    let (tolerance, max_rounds) = limits(settings, &TOLERANCE, &NEWTON_ROUNDS)?;
    let solvers = [
        ("auto", GeneralisedSolver::Auto),
        ("newton-cholesky", GeneralisedSolver::NewtonCholesky),
        ("newton-cg", GeneralisedSolver::NewtonCg),
        ("lbfgs", GeneralisedSolver::Lbfgs),
    ];
    let solver = settings.word(&SOLVER, &solvers)?;
    if l1_ratio > 0.0 && matches!(solver, GeneralisedSolver::NewtonCg | GeneralisedSolver::Lbfgs) {
        let what = "it takes |w|^2 only; auto and newton-cholesky take l1_ratio above 0";
        return Err(Error::parameter(SOLVER.key, settings.get::<String>(&SOLVER)?, what));
    }
    let of = Estimator::Generalised(Generalised {
        distribution,
        alpha,
        l1_ratio,
        intercept,
        tolerance,
        max_rounds,
        solver,
    });
    Ok(match search(settings, [ALPHAS, ALPHA_RATIO], chosen)? {
        Some(search) => Estimator::Searched { of: Box::new(of), search },
        None => of,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_parameters() {
        let settings = Settings::default().with("power", 1.2).with("alpha", 0.5).with("l1_ratio", 0.25);
        let distribution = Distribution::Tweedie(1.2);
        let params = Generalised { distribution, alpha: 0.5, l1_ratio: 0.25, ..Generalised::default() };
        assert_eq!(tweedie(&settings).unwrap(), Estimator::Generalised(params));
        let refused = |settings: &Settings, word: &str| {
            let message = TWEEDIE.check(settings).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        };
        for power in ["0.5", "-1", "inf"] {
            refused(&Settings::default().with("power", power), "0, or a number of 1 or more");
        }
        refused(&Settings::default().with("power", 3).with("link", "identity"), "log or auto");
        let of = |power: f64, link: &str| {
            let settings = Settings::default().with("power", power).with("link", link);
            match tweedie(&settings).unwrap() {
                Estimator::Generalised(params) => params.distribution,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(of(0.0, "auto"), Distribution::Normal(Link::Identity));
        assert_eq!(of(0.0, "log"), Distribution::Normal(Link::Log));
        assert_eq!((of(1.0, "auto"), of(2.0, "log")), (Distribution::Poisson, Distribution::Gamma));
        refused(&Settings::default().with("alpha", 0).with("l1_ratio", 1), "no penalty to share");
        refused(&Settings::default().with("solver", "saga"), "auto, newton-cholesky, newton-cg or lbfgs is");
        refused(&Settings::default().with("solver", "newton-cg").with("l1_ratio", 1), "|w|^2 only");
        let settings = Settings::default().with("solver", "newton-cg").with("alpha", 0.5);
        let solver = GeneralisedSolver::NewtonCg;
        let params = Generalised { alpha: 0.5, solver, ..Generalised::default() };
        assert_eq!(poisson(&settings).unwrap(), Estimator::Generalised(params));
        assert!(POISSON.check(&Settings::default().with("power", 1.5)).is_err());
    }
}
