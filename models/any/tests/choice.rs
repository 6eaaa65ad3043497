//! Penalties chosen by cross-validation, and quantiles measured as quantiles, against folds trained and measured one by one.

use tilewise_base::metric::{pinball_loss, poisson_deviance};
use tilewise_base::{Column, Context, Dataset, Division, Model, Roles, Storage, predict_dataset, roles};
use tilewise_linear::pipeline::{Estimator, Pipeline};
use tilewise_models::{Method, Search, Settings, Space, cross_validate, load_bytes, train, tune};

const ROWS: usize = 120;

/// Two columns that tell something of the counts, three that do not.
fn table() -> Dataset {
    let wave = |step: f64| (0..ROWS).map(|i| (i as f64 * step).sin()).collect::<Vec<f64>>();
    let inputs = [1.0, 0.37, 2.3, 1.7, 0.9].map(wave);
    let y =
        (0..ROWS).map(|i| (1.5 + inputs[0][i] - 0.4 * inputs[1][i] + (i as f64 * 5.3).sin()).exp().floor());
    let y = Column::F64(y.collect::<Vec<f64>>().into());
    let columns = inputs.into_iter().enumerate().map(|(j, x)| (format!("x{j}"), Column::F64(x.into())));
    Dataset::new(columns.chain([("y".to_owned(), y)]).collect()).unwrap()
}

fn fitted(name: &str, table: &Dataset, pairs: &[&str]) -> Box<dyn Model> {
    train(name, table, &Roles::target("y"), &Settings::parse(pairs).unwrap(), &Context::default()).unwrap()
}

/// The mean over all rows of an error on folds that were not trained on.
fn error(name: &str, pairs: &[&str], error: impl Fn(&[f64], &[f64]) -> f64) -> f64 {
    let (table, mut sum) = (table(), 0.0);
    for fold in Division::Random.folds(ROWS, 5, 0).unwrap() {
        let [training, testing] =
            [&fold.train, &fold.test].map(|rows| table.take_to(&Storage::default(), rows).unwrap());
        let predicted = predict_dataset(&*fitted(name, &training, pairs), &testing, None).unwrap();
        sum += fold.test.len() as f64 * error(&roles::numbers(&testing, "y").unwrap(), &predicted);
    }
    sum / ROWS as f64
}

fn alpha_of(model: &dyn Model) -> f64 {
    let any: &dyn std::any::Any = model;
    match any.downcast_ref::<Pipeline>().unwrap().estimator() {
        Estimator::Generalised(params) => params.alpha,
        Estimator::Quantile(params) => params.alpha,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_alpha_of_the_least_error_is_taken() {
    let deviance = |y: &[f64], p: &[f64]| poisson_deviance(y, p, None).unwrap();
    let pinball = |y: &[f64], p: &[f64]| pinball_loss(y, p, &[0.8], None).unwrap();
    // Columns as they are: those of folds would be scaled by their own deviations.
    for (name, more, what, of) in [
        ("poisson", "l1_ratio=1", "mean deviance", &deviance as &dyn Fn(&[f64], &[f64]) -> f64),
        ("poisson", "l1_ratio=0", "mean deviance", &deviance),
        ("quantile", "quantile=0.8", "pinball loss", &pinball),
    ] {
        let fixed = [more, "standardise=false", "impute=false"];
        let with = |pairs: &[&'static str]| [&fixed[..], pairs].concat();
        let model = fitted(name, &table(), &with(&["alpha=cv", "alphas=6", "alpha_ratio=1e-3"]));
        let (alpha, told) = (alpha_of(&*model), &model.report().stopped);
        let told_error: f64 =
            told.split_once(what).unwrap().1.split_once(';').unwrap().0.trim().parse().unwrap();
        let given = |alpha: f64| [format!("alpha={alpha}")];
        let at = |alpha: f64| {
            error(name, &[&fixed[..], &given(alpha).each_ref().map(String::as_str)].concat(), of)
        };
        let least = at(alpha);
        assert!((told_error - least).abs() < 1e-5 * least, "{name}: {told} {least}");
        // Its neighbours: at the ends of the series one of them was not compared.
        let step = 1e-3f64.powf(0.2);
        let (more, less) = (at(alpha / step), at(alpha * step));
        let at_an_end = told.contains("of 6") && !model.report().warnings.is_empty();
        assert!(more >= least && (less >= least || at_an_end), "{name}: {more} {least} {less} {told}");
        // The same as that alpha given, and the file tells nothing of how it was chosen but in the report.
        let given = given(alpha);
        let given = fitted(name, &table(), &[&fixed[..], &given.each_ref().map(String::as_str)].concat());
        assert_eq!(given.describe(), model.describe());
        assert_eq!(
            load_bytes(&model.to_bytes().unwrap()).unwrap().to_bytes().unwrap(),
            model.to_bytes().unwrap()
        );
        let larger = fitted(name, &table(), &with(&["alpha=cv", "alphas=6", "choose=one-standard-error"]));
        assert!(alpha_of(&*larger) >= alpha);
    }
    // The first of the series is the least at which all coefficients are zero.
    let first = fitted("poisson", &table(), &["alpha=cv", "alphas=1", "l1_ratio=1"]);
    let coefficients = |alpha: f64| {
        let model = fitted("poisson", &table(), &["l1_ratio=1", &format!("alpha={alpha}")]);
        let any: &dyn std::any::Any = &*model;
        any.downcast_ref::<Pipeline>().unwrap().linear().coefficients.clone()
    };
    let largest = alpha_of(&*first);
    assert!(coefficients(1.0001 * largest).iter().all(|b| *b == 0.0));
    assert!(coefficients(0.999 * largest).iter().any(|b| *b != 0.0));
}

#[test]
fn quantiles_are_measured_as_quantiles() {
    let (data, roles, context) = (table(), Roles::target("y"), Context::default());
    let folds = Division::Random.folds(ROWS, 5, 0).unwrap();
    let pinball = |y: &[f64], p: &[f64]| pinball_loss(y, p, &[0.8], None).unwrap();
    for (family, pairs) in
        [("quantile", ["quantile=0.8", "alpha=0.01"]), ("gbdt", ["loss=quantile:0.8", "stages=20"])]
    {
        let settings = Settings::parse(&pairs).unwrap();
        let found = cross_validate(family, &data, &roles, &settings, &folds, &context).unwrap();
        assert_eq!(found.measures(), ["pinball loss", "calibration error"]);
        let by_hand = error(family, &pairs, pinball);
        let ours = found.folds.iter().map(|f| f.tested as f64 * f.scores[0].value).sum::<f64>() / ROWS as f64;
        assert!((ours - by_hand).abs() < 1e-12, "{family} {ours} {by_hand}");
        // The plain answer is the quantile of the training rows.
        assert!(found.folds.iter().all(|f| f.plain[0].value > f.scores[0].value));
    }
    let search = |family: &str, text: &str, fixed: &str| {
        let search = Search { space: Space::parse(&[text]).unwrap(), method: Method::Grid, metric: None };
        let fixed = Settings::parse(&[fixed]).unwrap();
        tune(family, &data, &roles, &fixed, &search, &Division::Random, 5, &context)
    };
    assert_eq!(search("quantile", "alpha=0.01,0.1", "max_rounds=100").unwrap().metric, "pinball loss");
    assert_eq!(search("gbdt", "max_depth=1,2", "loss=quantile:0.5").unwrap().metric, "pinball loss");
    assert_eq!(search("gbdt", "loss=squared,absolute", "stages=5").unwrap().metric, "RMSE");
    for (family, text, fixed) in [
        ("quantile", "quantile=0.1,0.9", "max_rounds=100"),
        ("gbdt", "loss=quantile:0.1,quantile:0.9", "stages=5"),
        ("gbdt", "loss=squared,quantile:0.9", "stages=5"),
    ] {
        let message = search(family, text, fixed).unwrap_err().to_string();
        assert!(message.contains("what is measured"), "{message}");
    }
}

#[test]
fn what_only_the_choice_has_is_refused_without_it() {
    let family = |name: &str, pairs: &[&str]| {
        let settings = Settings::parse(pairs).unwrap();
        train(name, &table(), &Roles::target("y"), &settings, &Context::default()).err().unwrap().to_string()
    };
    assert!(family("poisson", &["folds=3"]).contains("alpha=cv only"));
    assert!(family("quantile", &["alphas=3"]).contains("alpha=cv only"));
    assert!(family("poisson", &["alpha=cv", "errors=classical"]).contains("alpha=0"));
    assert!(family("gamma", &["alpha=much"]).contains("cv or a number"));
}
