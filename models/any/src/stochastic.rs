//! Stochastic gradient descent, a solver of several linear families: what `--set solver=sgd` accepts.

use crate::linear::{BOOLEAN, NOT_NEGATIVE, STEP, step};
use crate::{Setting, Settings};
use tilewise_base::{Error, Result};
use tilewise_linear::pipeline::Estimator;
use tilewise_linear::{Schedule, StochasticDescent, StochasticLoss};

/// The word that asks for it.
pub(crate) const SGD: &str = "sgd";

/// What `solver` is of families that have one other way.
pub(crate) const AUTO_OR_SGD: Setting = Setting {
    key: "solver",
    default: "auto",
    accepted: "auto or sgd",
    doc: "how the objective is minimised; sgd takes steps by single rows, until tolerance, of 1e-3 if not given",
};
pub(crate) const FIRST: Setting =
    Setting { doc: "first step of sgd with schedule=inverse; auto is 0.1 (logistic regression: 1)", ..STEP };
const SCHEDULE: Setting = Setting {
    key: "schedule",
    default: "inverse",
    accepted: "inverse or (with a penalty) optimal",
    doc: "steps of sgd: inverse takes step / t^power, optimal 1 / (alpha (t + t0))",
};
const POWER: Setting = Setting {
    key: "power",
    default: "0.5",
    accepted: NOT_NEGATIVE,
    doc: "how fast steps of sgd fall with schedule=inverse",
};
const AVERAGE: Setting = Setting {
    key: "average",
    default: "1000",
    accepted: "none or a whole number",
    doc: "steps of sgd after which the average over all further ones is the answer; none for the last point",
};
const HOGWILD: Setting = Setting {
    key: "hogwild",
    default: "false",
    accepted: BOOLEAN,
    doc: "threads of sgd take rows of a sparse table at once and change coefficients without locks: not reproducible on more than one thread",
};

/// Settings of sgd alone.
pub(crate) const SGD_ONLY: &[Setting] = &[SCHEDULE, POWER, AVERAGE, HOGWILD];

/// What its tolerance is where none is given: it comes near a minimum, and slowly nearer.
const TOLERANCE: f64 = 1e-3;

/// Stochastic descent with the penalty alpha (l1_ratio |w| + (1 - l1_ratio) |w|^2 / 2) beside the mean of losses or, `of_sum`, their sum.
/// `limits` are the settings of tolerance and rounds.
pub(crate) fn stochastic(
    settings: &Settings,
    loss: StochasticLoss,
    (alpha, l1_ratio, of_sum): (f64, f64, bool),
    intercept: bool,
    limits: [&Setting; 2],
) -> Result<Estimator> {
    let (tolerance, max_rounds) = crate::linear::limits(settings, limits[0], limits[1])?;
    let tolerance = if settings.has(limits[0]) { tolerance } else { TOLERANCE };
    let (optimal, power, average, hogwild) = read(settings)?;
    let first = step(settings)?;
    let schedule = if optimal {
        if alpha == 0.0 {
            let what = "without a penalty only inverse is";
            return Err(Error::parameter(SCHEDULE.key, "optimal", what));
        }
        if let Some(s) = [FIRST, POWER].iter().find(|s| settings.changes(s)) {
            let what = "it is a parameter of schedule=inverse only";
            return Err(Error::parameter(s.key, settings.get::<String>(s)?, what));
        }
        Schedule::Optimal
    } else {
        // The curvature of the logistic loss is a quarter of that of squares, or less.
        let auto = if loss == StochasticLoss::Logistic { 1.0 } else { 0.1 };
        Schedule::Inverse { first: first.unwrap_or(auto), power }
    };
    let params = StochasticDescent {
        loss,
        alpha,
        l1_ratio,
        intercept,
        schedule,
        average,
        tolerance,
        max_rounds,
        hogwild,
    };
    Ok(Estimator::Stochastic { params, of_sum })
}

/// Whether steps are optimal ones, how fast others fall, what counts in the average, and whether threads share rows.
fn read(settings: &Settings) -> Result<(bool, f64, Option<u64>, bool)> {
    let optimal = settings.word(&SCHEDULE, &[("inverse", false), ("optimal", true)])?;
    let power = settings.number(&POWER, |x| x >= 0.0 && x.is_finite())?;
    let average = match settings.get::<String>(&AVERAGE)?.as_str() {
        "none" => None,
        _ => Some(settings.number(&AVERAGE, |x| x >= 0.0 && x.fract() == 0.0 && x < 1e15)? as u64),
    };
    Ok((optimal, power, average, settings.get(&HOGWILD)?))
}

/// Refuses settings of sgd where it is not the solver.
pub(crate) fn refuse(settings: &Settings, more: &[Setting]) -> Result<()> {
    // What is no value at all is told as that.
    read(settings)?;
    step(settings)?;
    match SGD_ONLY.iter().chain(more).find(|s| settings.changes(s)) {
        None => Ok(()),
        Some(s) => {
            let value = settings.get::<String>(s)?;
            Err(Error::parameter(s.key, value, format!("it is a parameter of solver={SGD} only")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{family, load_bytes, train, train_sparse};
    use tilewise_base::{Column, Context, Dataset, Roles, Sparse, SparseTable};
    use tilewise_kernels::MatRef;

    const LEARNERS: [(&str, &[&str]); 6] = [
        ("linear", &[]),
        ("ridge", &["alpha=20"]),
        ("lasso", &["alpha=0.05"]),
        ("elastic-net", &["alpha=0.05", "l1_ratio=0.5"]),
        ("huber", &["scale=1.5", "alpha=0.01"]),
        ("logistic", &["C=0.2", "l1_ratio=0.3"]),
    ];

    fn columns() -> [Vec<f64>; 4] {
        let wave = |step: f64| (0..400).map(|i| (f64::from(i) * step).sin()).collect::<Vec<f64>>();
        let (a, b, noise) = (wave(1.0), wave(0.37), wave(5.3));
        let y: Vec<f64> = (0..400).map(|i| 2.0 * a[i] - b[i] + noise[i] + 3.0).collect();
        let class = (0..400).map(|i| f64::from(u8::from(a[i] + noise[i] > 0.2))).collect();
        [a, b, y, class]
    }

    fn settings(pairs: &[&str], more: &[&str]) -> Settings {
        Settings::parse(&[pairs, more].concat()).unwrap()
    }

    #[test]
    fn families_learn_by_it_what_their_own_solvers_find() {
        let names = ["a", "b", "y", "class"].map(String::from);
        let table = names.into_iter().zip(columns()).map(|(name, x)| (name, Column::F64(x.into()))).collect();
        let table = Dataset::new(table).unwrap();
        for (name, pairs) in LEARNERS {
            let (target, other) = if name == "logistic" { ("class", "y") } else { ("y", "class") };
            let roles = Roles { ignore: vec![other.into()], ..Roles::target(target) };
            let fit = |more: &[&str]| {
                train(name, &table, &roles, &settings(pairs, more), &Context::default()).unwrap()
            };
            let (ours, theirs) = (fit(&["solver=sgd"]), fit(&[]));
            let (of_ours, of_theirs) = (ours.report(), theirs.report());
            assert!(of_ours.converged, "{name}: {of_ours:?}");
            let above = of_ours.objective / of_theirs.objective - 1.0;
            assert!((-1e-12..1e-4).contains(&above), "{name}: {above:e}");
            let file = ours.to_bytes().unwrap();
            let loaded = load_bytes(&file).unwrap();
            assert_eq!((loaded.describe(), loaded.to_bytes().unwrap()), (ours.describe(), file));
            let short = fit(&["solver=sgd", "max_rounds=1", "tolerance=0", "average=none"]);
            assert!(!short.report().converged && !short.report().warnings.is_empty(), "{name}");
        }
    }

    #[test]
    fn sparse_tables_are_learned() {
        let [a, b, y, class] = columns();
        let cells: Vec<f64> = a.iter().zip(&b).flat_map(|(a, b)| [*a, *b]).collect();
        for (name, pairs) in LEARNERS {
            let x = Sparse::of_dense(MatRef::new(&cells, 400, 2).unwrap()).unwrap();
            let target = if name == "logistic" { class.clone() } else { y.clone() };
            let table = SparseTable { x, target, group: None };
            let fit = |more: &[&str]| {
                train_sparse(name, &table, &settings(pairs, more), &Context::default()).unwrap()
            };
            let (ours, theirs) = (fit(&["solver=sgd"]), fit(&[]));
            assert!(ours.report().converged, "{name}: {:?}", ours.report());
            let above = ours.report().objective / theirs.report().objective - 1.0;
            assert!((-1e-12..1e-4).contains(&above), "{name}: {above:e}");
            // 800 numbers are one block, so whichever threads there are the bits are the same.
            let at_once = fit(&["solver=sgd", "hogwild=true"]);
            assert!(at_once.report().converged, "{name}: {:?}", at_once.report());
            let above = at_once.report().objective / theirs.report().objective - 1.0;
            assert!((-1e-12..1e-4).contains(&above), "{name}: {above:e}");
            let file = at_once.to_bytes().unwrap();
            let loaded = load_bytes(&file).unwrap();
            assert_eq!((loaded.describe(), loaded.to_bytes().unwrap()), (at_once.describe(), file));
        }
    }

    #[test]
    fn dense_tables_have_no_rows_to_share() {
        let [a, _, y, _] = columns();
        let table = [("a", a), ("y", y)].map(|(name, x)| (name.to_owned(), Column::F64(x.into())));
        let table = Dataset::new(table.into()).unwrap();
        let settings = settings(&[], &["solver=sgd", "hogwild=true"]);
        let refused = train("linear", &table, &Roles::target("y"), &settings, &Context::default());
        let message = refused.err().unwrap().to_string();
        assert!(message.contains("hogwild") && message.contains("dense rows"), "{message}");
    }

    #[test]
    fn what_would_have_no_effect_is_refused() {
        for (name, pairs, more, words) in [
            ("linear", &[][..], &["schedule=optimal"][..], ["schedule", "solver=sgd only"]),
            ("linear", &[], &["solver=sgd", "schedule=optimal"], ["schedule", "only inverse"]),
            ("ridge", &[], &["solver=gradient-descent", "average=none"], ["average", "solver=sgd only"]),
            (
                "ridge",
                &[],
                &["solver=sgd", "schedule=optimal", "power=1"],
                ["power", "schedule=inverse only"],
            ),
            ("ridge", &[], &["solver=sgd", "positive=true"], ["positive", "solver=sgd"]),
            ("lasso", &[], &["solver=sgd"], ["solver", "a number as alpha"]),
            ("lasso", &["alpha=1"], &["step=2"], ["step", "solver=sgd only"]),
            ("huber", &[], &["solver=sgd"], ["scale", "sgd"]),
            ("logistic", &[], &["solver=sgd", "class_weight=balanced"], ["class_weight", "solver=sgd"]),
            ("logistic", &[], &["hogwild=true"], ["hogwild", "solver=sgd only"]),
            ("logistic", &[], &["solver=saga", "hogwild=true"], ["hogwild", "solver=sgd only"]),
            ("logistic", &[], &["solver=sgd", "hogwild=often"], ["hogwild", "true or false"]),
            ("logistic", &[], &["solver=sgd", "average=some"], ["average", "none or a whole number"]),
        ] {
            let message = family(name).unwrap().check(&settings(pairs, more)).unwrap_err().to_string();
            assert!(words.iter().all(|word| message.contains(word)), "{name}: {message}");
        }
    }
}
