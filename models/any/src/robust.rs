//! Regression that rows far out do not bend, by Huber's loss and of quantiles: what `--set` accepts for it.

use crate::elastic_net::{ALPHA_RATIO, CHOOSE, CV, FOLDS, search};
use crate::generalised::ALPHAS;
use crate::linear::{
    COMMON, L1_RATIO, MAX_ROUNDS, NOT_NEGATIVE, TOLERANCE, common, fit, in_pieces, limits, linear_family,
};
use crate::stochastic::{AUTO_OR_SGD, FIRST, SGD, SGD_ONLY, refuse, stochastic};
use crate::{Family, Purpose, Setting, Settings};
use tilewise_base::{Error, Result};
use tilewise_linear::pipeline::Estimator;
use tilewise_linear::{Huber, Quantile, StochasticLoss};

/// The word that asks for the scale to be found.
const JOINT: &str = "joint";

const EPSILON: Setting = Setting {
    key: "epsilon",
    default: "1.35",
    accepted: "a number above 0 (with scale=joint above 1)",
    doc: "residuals of more than so many scales pull no harder than there",
};
const SCALE: Setting = Setting {
    key: "scale",
    default: JOINT,
    accepted: "joint or a number above 0",
    doc: "scale of the residuals, in the units of the target; joint finds it with the coefficients",
};
const ALPHA: Setting = Setting {
    key: "alpha",
    default: "0",
    accepted: NOT_NEGATIVE,
    doc: "weight of the penalty, beside the mean loss in scales of the residuals; 0 for none",
};

const SOLVER: Setting = Setting { accepted: "auto or (with a scale that is given) sgd", ..AUTO_OR_SGD };

pub(crate) static HUBER: Family = linear_family(
    "huber",
    "robust regression: rows far out pull no harder than others",
    Purpose::Regression,
    &[&[EPSILON, SCALE, ALPHA, L1_RATIO, SOLVER, FIRST, TOLERANCE, MAX_ROUNDS], SGD_ONLY, COMMON],
    |settings| huber(settings).map(|_| ()),
    |dataset, roles, settings, context| fit("huber", &huber(settings)?, dataset, roles, settings, context),
    Some(|settings, inputs, roles, _| in_pieces("huber", &huber(settings)?, settings, inputs, roles)),
);

const QUANTILE_OF: Setting = Setting {
    key: "quantile",
    default: "0.5",
    accepted: "a number between 0 and 1",
    doc: "share of the rows below what is predicted; 0.5 is the median",
};
const SIZE: Setting = Setting {
    accepted: "cv or a number of 0 or more",
    doc: "weight of the penalty |w|, which makes coefficients zero, beside the mean pinball loss; 0 for none; cv compares a falling series on folds by pinball loss",
    ..ALPHA
};
const GAP: Setting = Setting {
    doc: "duality gap at which the fit has converged, as a share of the loss without inputs",
    ..TOLERANCE
};
const ROUNDS: Setting = Setting {
    default: "200",
    doc: "rounds of the interior point method after which the fit ends",
    ..MAX_ROUNDS
};

pub(crate) static QUANTILE: Family = linear_family(
    "quantile",
    "the plane with a share of the rows below it: medians and other quantiles",
    Purpose::Regression,
    &[&[QUANTILE_OF, SIZE, ALPHAS, ALPHA_RATIO, FOLDS, CHOOSE, GAP, ROUNDS], COMMON],
    |settings| quantile(settings).map(|_| ()),
    |dataset, roles, settings, context| {
        fit("quantile", &quantile(settings)?, dataset, roles, settings, context)
    },
    None,
);

fn quantile(settings: &Settings) -> Result<Estimator> {
    let (intercept, _) = common(settings)?;
    let quantile = settings.number(&QUANTILE_OF, |x| x > 0.0 && x < 1.0)?;
    let (tolerance, max_rounds) = limits(settings, &GAP, &ROUNDS)?;
    let chosen = settings.get::<String>(&SIZE)? == CV;
    let alpha = if chosen { 1.0 } else { settings.number(&SIZE, |x| x >= 0.0 && x.is_finite())? };
    let of = Estimator::Quantile(Quantile { quantile, alpha, intercept, tolerance, max_rounds });
    Ok(match search(settings, [ALPHAS, ALPHA_RATIO], chosen)? {
        Some(search) => Estimator::Searched { of: Box::new(of), search },
        None => of,
    })
}

pub(crate) fn huber(settings: &Settings) -> Result<Estimator> {
    let (intercept, _) = common(settings)?;
    let joint_scale = settings.get::<String>(&SCALE)? == JOINT;
    let scale = if joint_scale { 1.0 } else { settings.number(&SCALE, |x| x > 0.0 && x.is_finite())? };
    let least = if joint_scale { 1.0 } else { 0.0 };
    let threshold = scale * settings.number(&EPSILON, |x| x > least && x.is_finite())?;
    // The loss of a given scale is in units of the target, that of one which is found times the scale.
    let alpha = scale * settings.number(&ALPHA, |x| x >= 0.0 && x.is_finite())?;
    let l1_ratio = settings.number(&L1_RATIO, |x| (0.0..=1.0).contains(&x))?;
    if alpha == 0.0 && l1_ratio > 0.0 {
        return Err(Error::parameter(L1_RATIO.key, l1_ratio, "with alpha=0 there is no penalty to share"));
    }
    let (tolerance, max_rounds) = limits(settings, &TOLERANCE, &MAX_ROUNDS)?;
    if settings.word(&SOLVER, &[("auto", false), (SGD, true)])? {
        if joint_scale {
            let what = format!("with solver={SGD} a number above 0 is: it finds no scale");
            return Err(Error::parameter(SCALE.key, JOINT, what));
        }
        let (loss, limits) = (StochasticLoss::Huber(threshold), [&TOLERANCE, &MAX_ROUNDS]);
        return stochastic(settings, loss, (alpha, l1_ratio, false), intercept, limits);
    }
    refuse(settings, &[FIRST])?;
    Ok(Estimator::Huber(Huber { threshold, joint_scale, alpha, l1_ratio, intercept, tolerance, max_rounds }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_parameters() {
        let params = Huber { threshold: 1.35, joint_scale: true, max_rounds: 1000, ..Huber::default() };
        assert_eq!(huber(&Settings::default()).unwrap(), Estimator::Huber(params.clone()));
        let given =
            Settings::default().with("scale", 4).with("epsilon", 0.5).with("alpha", 0.1).with("l1_ratio", 1);
        let params = Huber { threshold: 2.0, joint_scale: false, alpha: 0.4, l1_ratio: 1.0, ..params };
        assert_eq!(huber(&given).unwrap(), Estimator::Huber(params));
        let refused = |settings: &Settings, words: [&str; 2]| {
            let message = HUBER.check(settings).unwrap_err().to_string();
            assert!(words.iter().all(|word| message.contains(word)), "{message}");
        };
        refused(&Settings::default().with("epsilon", 0.9), ["epsilon", "with scale=joint above 1"]);
        refused(&Settings::default().with("scale", 0), ["scale", "joint or a number above 0"]);
        let given = Settings::default().with("quantile", 0.9).with("alpha", 0.1).with("intercept", false);
        let params = Quantile { quantile: 0.9, alpha: 0.1, intercept: false, ..Quantile::default() };
        assert_eq!(quantile(&given).unwrap(), Estimator::Quantile(params));
        let message = QUANTILE.check(&Settings::default().with("quantile", 1)).unwrap_err().to_string();
        assert!(message.contains("a number between 0 and 1"), "{message}");
        refused(&Settings::default().with("l1_ratio", 0.5), ["l1_ratio", "no penalty to share"]);
    }
}
