//! Group lasso: what `--set` accepts for it.

use crate::constraints::groups;
use crate::family::{TASK, task};
use crate::linear::{COMMON, L1_RATIO, common, fit, limits, linear_family};
use crate::{Family, Purpose, Setting, Settings, elastic_net};
use tilewise_base::{Error, Result};
use tilewise_linear::pipeline::Estimator;
use tilewise_linear::{Distribution, GroupLasso, GroupLoss};

const ALPHA: Setting = Setting {
    key: "alpha",
    default: "0.1",
    accepted: "a number above 0",
    doc: "weight of the penalty, beside half the mean squared error or deviance, or the mean log loss of two classes",
};
const SHARE: Setting = Setting {
    doc: "share of |w| in the penalty; the rest is the length of each group's coefficients times the root of their number",
    ..L1_RATIO
};
const LOSS: Setting = Setting {
    key: "loss",
    default: "squared",
    accepted: "squared, poisson or gamma",
    doc: "what is minimised of numbers: squares, or the deviance of counts (poisson) or amounts above 0 (gamma); of two classes it is the log loss",
};
const GROUPS: Setting = Setting {
    key: "groups",
    default: "none",
    accepted: "none, or groups of two names or more such as age,height;debt,income",
    doc: "inputs that come in or stay out together; one of no group is a group of its own, a category with all its levels",
};

pub(crate) static GROUP_LASSO: Family = Family {
    two_classes: true,
    ..linear_family(
        "group-lasso",
        "least squares, or regression of counts, amounts or two classes, by which groups of inputs come in or stay out together",
        Purpose::Either,
        &[&[ALPHA, SHARE, GROUPS, LOSS, TASK, elastic_net::TOLERANCE, elastic_net::MAX_ROUNDS], COMMON],
        |settings| task(settings).and(group_lasso(settings, false)).map(|_| ()),
        |dataset, roles, settings, context| {
            let classify = GROUP_LASSO.classifies(dataset, roles, settings)?;
            fit("group-lasso", &group_lasso(settings, classify)?, dataset, roles, settings, context)
        },
        None,
    )
};

fn group_lasso(settings: &Settings, classify: bool) -> Result<Estimator> {
    let losses = [
        ("squared", GroupLoss::Squared),
        ("poisson", GroupLoss::Deviance(Distribution::Poisson)),
        ("gamma", GroupLoss::Deviance(Distribution::Gamma)),
    ];
    let mut loss = settings.word(&LOSS, &losses)?;
    if classify {
        if settings.changes(&LOSS) {
            let what = "of classes it is the log loss: leave it out, or set task=regression";
            return Err(Error::parameter(LOSS.key, settings.get::<String>(&LOSS)?, what));
        }
        loss = GroupLoss::Logistic;
    }
    let (intercept, _) = common(settings)?;
    let alpha = settings.number(&ALPHA, |x| x > 0.0 && x.is_finite())?;
    let l1_ratio = settings.number(&SHARE, |x| (0.0..=1.0).contains(&x))?;
    let (tolerance, max_rounds) = limits(settings, &elastic_net::TOLERANCE, &elastic_net::MAX_ROUNDS)?;
    let text: String = settings.get(&GROUPS)?;
    let inputs = if text == GROUPS.default { Vec::new() } else { groups(&GROUPS, &text)? };
    let params =
        GroupLasso { loss, alpha, l1_ratio, intercept, tolerance, max_rounds, ..GroupLasso::default() };
    Ok(Estimator::GroupLasso { params, inputs })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{load_bytes, train};
    use tilewise_base::{Column, Context, Dataset, Roles};

    /// Two numbers that matter together, two that do not, and a category that does.
    fn table() -> Dataset {
        let wave = |step: f64| (0..60).map(|i| (f64::from(i) * step).sin()).collect::<Vec<f64>>();
        let (a, b, c, d) = (wave(1.0), wave(0.37), wave(2.3), wave(1.7));
        let codes: Vec<u32> = (0..60).map(|i| i % 3).collect();
        let y: Vec<f64> = (0..60).map(|i| 2.0 * a[i] + 0.3 * b[i] + f64::from(codes[i])).collect();
        let level = Column::Categorical {
            codes: codes.into(),
            dictionary: ["p", "q", "r"].map(String::from).to_vec(),
        };
        let numbers = [("a", a), ("b", b), ("c", c), ("d", d), ("y", y)];
        let columns = numbers.into_iter().map(|(name, x)| (name.to_owned(), Column::F64(x.into())));
        Dataset::new(columns.chain([("level".to_owned(), level)]).collect()).unwrap()
    }

    /// Two classes as text, counts and amounts: what is told is of their losses, and files come back.
    #[test]
    fn classes_and_counts_are_learned() {
        let wave = |step: f64| (0..200).map(|i| (f64::from(i) * step).sin()).collect::<Vec<f64>>();
        let (a, b, c, noise) = (wave(1.0), wave(0.37), wave(2.3), wave(5.3));
        let z: Vec<f64> = (0..200).map(|i| 1.0 + a[i] + 0.6 * b[i] + noise[i]).collect();
        let codes: Vec<u32> = z.iter().map(|z| u32::from(*z > 1.0)).collect();
        let class =
            Column::Categorical { codes: codes.into(), dictionary: ["no", "yes"].map(String::from).to_vec() };
        let count = Column::F64(z.iter().map(|z| z.exp().floor()).collect::<Vec<f64>>().into());
        let numbers =
            [("a", a), ("b", b), ("c", c)].map(|(name, x)| (name.to_owned(), Column::F64(x.into())));
        let targets = [("class".to_owned(), class), ("count".to_owned(), count)];
        let table = Dataset::new(numbers.into_iter().chain(targets).collect()).unwrap();
        let fit = |target: &str, pairs: &[&str]| {
            let other = if target == "class" { "count" } else { "class" };
            let roles = Roles { ignore: vec![other.into()], ..Roles::target(target) };
            train("group-lasso", &table, &roles, &Settings::parse(pairs).unwrap(), &Context::default())
        };
        for (target, loss) in
            [("class", ["alpha=0.02", "task=auto"]), ("count", ["alpha=0.4", "loss=poisson"])]
        {
            let zeros = |pairs: &[&str]| {
                let model = fit(target, pairs).unwrap();
                assert!(model.report().converged, "{:?}", model.report());
                let bytes = model.to_bytes().unwrap();
                let loaded = load_bytes(&bytes).unwrap();
                assert_eq!((loaded.describe(), loaded.to_bytes().unwrap()), (model.describe(), bytes));
                assert_eq!(loaded.outputs(), if target == "class" { 2 } else { 1 });
                let any: &dyn std::any::Any = &*model;
                let pipeline: &tilewise_linear::pipeline::Pipeline = any.downcast_ref().unwrap();
                pipeline.linear().coefficients.iter().map(|b| *b == 0.0).collect::<Vec<bool>>()
            };
            assert_eq!(zeros(&[loss[0], loss[1], "groups=a,b"]), [false, false, true], "{target}");
            assert_eq!(zeros(&["alpha=90", loss[1], "groups=a,b"]), [true; 3], "{target}");
        }
        for (target, pairs, word) in [
            ("class", &["loss=poisson"][..], "task=regression"),
            ("count", &["loss=gamma"], "above 0"),
            ("count", &["loss=odd"], "squared, poisson or gamma"),
            ("count", &["task=classification"], "classes"),
        ] {
            let message = fit(target, pairs).err().unwrap().to_string();
            assert!(message.contains(word), "{message}");
        }
    }

    #[test]
    fn inputs_are_grouped_by_their_names() {
        let fit = |pairs: &[&str]| {
            let settings = Settings::parse(pairs).unwrap();
            train("group-lasso", &table(), &Roles::target("y"), &settings, &Context::default())
        };
        let coefficients = |pairs: &[&str]| {
            let model = fit(pairs).unwrap();
            assert!(model.report().converged, "{:?}", model.report());
            assert_eq!(load_bytes(&model.to_bytes().unwrap()).unwrap().describe(), model.describe());
            let any: &dyn std::any::Any = &*model;
            let pipeline: &tilewise_linear::pipeline::Pipeline = any.downcast_ref().unwrap();
            pipeline.linear().coefficients.clone()
        };
        let zero = |b: &[f64]| b.iter().map(|b| *b == 0.0).collect::<Vec<bool>>();
        let alone = coefficients(&["alpha=0.35"]);
        let together = coefficients(&["alpha=0.35", "groups=a,b;c,d"]);
        let sparse = coefficients(&["alpha=0.35", "groups=a,b;c,d", "l1_ratio=0.9"]);
        assert_eq!(zero(&alone)[..4], [false, true, true, true], "{alone:?}");
        assert_eq!(zero(&together)[..4], [false, false, true, true], "{together:?}");
        assert_eq!(zero(&sparse)[..4], [false, true, true, true], "{sparse:?}");
        // All levels of the category, or none.
        let some = coefficients(&["alpha=0.05"]);
        assert_eq!(zero(&some)[4..], [false; 3], "{some:?}");
        assert_eq!(zero(&coefficients(&["alpha=5"])), [true; 7]);
        for (pairs, word) in [
            (&["groups=a,z"][..], "a, b, c, d, level"),
            (&["groups=a,b;b,c"], "once"),
            (&["groups=a"], "two names"),
            (&["alpha=0"], "above 0"),
        ] {
            let message = fit(pairs).err().unwrap().to_string();
            assert!(message.contains(word), "{message}");
        }
    }
}
