//! Every family by its name: trained, stored, loaded, gone on with.

use super::*;
use tilewise_base::model_file::Writer;
use tilewise_base::{Checkpoint, predict_dataset};

fn table() -> Dataset {
    let x = Column::F64((0..30).map(f64::from).collect());
    let y = Column::F64((0..30).map(|i| f64::from(3 * i + 1) + f64::from(i % 3)).collect());
    let label = Column::Categorical {
        codes: (0..30).map(|i| u32::from(i % 10 > i / 3)).collect(),
        dictionary: vec!["no".into(), "yes".into()],
    };
    let w = Column::F64((0..30).map(|i| f64::from(u8::from(i == 7))).collect());
    let columns = [("x", x), ("y", y), ("label", label), ("w", w)];
    Dataset::new(columns.into_iter().map(|(n, c)| (n.to_owned(), c)).collect()).unwrap()
}

fn roles(purpose: Purpose) -> Roles {
    if purpose == Purpose::Anomaly {
        return Roles { ignore: vec!["w".into()], ..Roles::default() };
    }
    let (target, other) = if purpose == Purpose::Regression { ("y", "label") } else { ("label", "y") };
    Roles { ignore: vec![other.into(), "w".into()], ..Roles::target(target) }
}

#[test]
fn every_family_comes_back_from_its_bytes() {
    let data = table();
    let purposes = [Purpose::Regression, Purpose::Classification, Purpose::Anomaly];
    let every = |purpose| FAMILIES.iter().filter(move |f| f.serves(purpose)).map(move |&f| (f, purpose));
    for (family, purpose) in purposes.into_iter().flat_map(every) {
        let roles = roles(purpose);
        let model = train(family.name, &data, &roles, &Settings::default(), &Context::default()).unwrap();
        assert_eq!(model.kind(), family.name);
        assert_eq!(*model.task() == Task::Regression, purpose == Purpose::Regression);
        let bytes = model.to_bytes().unwrap();
        let same = load_bytes(&bytes).unwrap();
        assert_eq!(same.to_bytes().unwrap(), bytes);
        assert_eq!(same.describe(), model.describe());
        let predict = |m: &dyn Model| predict_dataset(m, &data, None).unwrap();
        assert_eq!(predict(&*model), predict(&*same));
    }
}

#[test]
fn declared_defaults_are_accepted_and_other_words_are_not() {
    for family in FAMILIES {
        let mut all = Settings::default();
        for setting in family.parameters() {
            all = all.with(setting.key, setting.default);
            let odd = Settings::default().with(setting.key, "odd");
            let message = family.check(&odd).unwrap_err().to_string();
            assert!(message.contains(setting.key) && message.contains(setting.accepted), "{message}");
        }
        family.check(&all).unwrap();
        let message = family.check(&Settings::default().with("colour", "red")).unwrap_err().to_string();
        let first = family.parameters().next().unwrap().key;
        assert!(message.contains("colour") && message.contains(first), "{message}");
    }
}

#[test]
fn the_target_or_a_word_decides_what_either_predicts() {
    let data = table();
    let task = |target: &str, word: &str| {
        let roles = Roles { ignore: vec!["w".into()], ..Roles::target(target) };
        let settings = Settings::default().with("task", word);
        train("tree", &data, &roles, &settings, &Context::default()).map(|model| model.task().clone())
    };
    assert_eq!(task("y", "auto").unwrap(), Task::Regression);
    assert!(matches!(task("label", "auto").unwrap(), Task::Classification { .. }));
    assert!(
        matches!(task("y", "classification").unwrap(), Task::Classification { classes } if classes.len() > 2)
    );
    assert!(task("label", "regression").unwrap_err().to_string().contains("text"));
    assert!(task("y", "guess").unwrap_err().to_string().contains("auto, regression or classification"));
}

#[test]
fn several_numbers_come_back_from_their_bytes_and_one_is_stored_as_ever() {
    let data = table();
    let roles = |names: &[&str]| {
        let others = ["y", "label", "w"].into_iter().filter(|name| !names.contains(name));
        let targets = names.iter().map(|name| name.to_string()).collect();
        Roles { targets, ignore: others.map(String::from).collect(), ..Roles::default() }
    };
    let fit = |family: &Family, names: &[&str], task: &str| {
        let settings = match family.purpose {
            Purpose::Either => Settings::default().with("task", task),
            // Several targets have no weight of the penalty that is best for all.
            _ if ["lasso", "elastic-net"].contains(&family.name) => Settings::default().with("alpha", "0.01"),
            _ => Settings::default(),
        };
        train(family.name, &data, &roles(names), &settings, &Context::default())
    };
    let told = |family, names: &[&str], task| fit(family, names, task).err().unwrap().to_string();
    for family in FAMILIES {
        if !family.several {
            let message = told(family, &["y", "w"], "auto");
            let all = ["\"w\"", "besides \"y\"", family.name, "forest, extra-trees, network learn several"];
            assert!(all.iter().all(|part| message.contains(part)), "{message}");
            continue;
        }
        let model = fit(family, &["y", "w"], "auto").unwrap();
        assert_eq!(*model.task(), Task::Outputs { names: vec!["y".into(), "w".into()] });
        assert_eq!((model.target(), model.targets()), ("", vec!["y", "w"]));
        let bytes = model.to_bytes().unwrap();
        let same = load_bytes(&bytes).unwrap();
        assert_eq!((same.to_bytes().unwrap(), same.targets()), (bytes, vec!["y", "w"]));
        let predict = |m: &dyn Model| predict_dataset(m, &data, None).unwrap();
        let predictions = predict(&*model);
        assert!(predictions == predict(&*same) && predictions.len() == 60);
        // Classes are refused by name; as numbers true and false are accepted, text is not.
        if let Purpose::Either = family.purpose {
            assert!(told(family, &["y", "label"], "auto").contains("\"label\": holds classes"));
            assert!(told(family, &["y", "w"], "classification").contains("\"y\": holds classes"));
        }
        assert!(told(family, &["y", "label"], "regression").contains("\"label\": is text"));
        let one = fit(family, &["y"], "auto").unwrap().to_bytes().unwrap();
        let file = ModelFile::parse(&one).unwrap();
        let (target, task): (String, serde_json::Value) =
            (file.metadata("target").unwrap(), file.metadata("task").unwrap());
        assert_eq!((target, task), ("y".into(), serde_json::json!({"task": "regression"})));
    }
    let constant = Dataset::new(vec![
        ("x".into(), Column::F64(vec![1.0, 2.0, 3.0].into())),
        ("a".into(), Column::F64(vec![1.0, 2.0, 3.0].into())),
        ("b".into(), Column::F64(vec![4.0; 3].into())),
    ]);
    let roles = Roles { targets: vec!["a".into(), "b".into()], ..Roles::default() };
    let fitted = train("tree", &constant.unwrap(), &roles, &Settings::default(), &Context::default());
    assert!(fitted.err().unwrap().to_string().contains("\"b\": is 4 in every row"));
}

#[test]
fn quantiles_come_back_from_their_bytes() {
    let (data, roles) = (table(), roles(Purpose::Regression));
    let settings = Settings::default().with("quantiles", "0.1, 0.5,0.9").with("trees", 20);
    let model = train("forest", &data, &roles, &settings, &Context::default()).unwrap();
    assert_eq!(model.task().names(), ["quantile_0.1", "quantile_0.5", "quantile_0.9"]);
    let bytes = model.to_bytes().unwrap();
    let same = load_bytes(&bytes).unwrap();
    assert_eq!(same.to_bytes().unwrap(), bytes);
    let predict = |m: &dyn Model| predict_dataset(m, &data, None).unwrap();
    let predictions = predict(&*model);
    assert_eq!(predictions, predict(&*same));
    assert!(predictions.chunks(3).all(|row| row.is_sorted()) && predictions.len() == 90);
    for bad in ["0.5,0.1", "2", "0.5,", "half"] {
        let message = family("forest")
            .unwrap()
            .check(&settings.clone().with("quantiles", bad))
            .unwrap_err()
            .to_string();
        assert!(message.contains("quantiles") && message.contains("0.1,0.5,0.9"), "{message}");
    }
    let classes = settings.with("task", "classification");
    let refused = train("forest", &data, &roles, &classes, &Context::default()).err().unwrap().to_string();
    assert!(refused.contains("quantiles") && refused.contains("classes"), "{refused}");
}

#[test]
fn training_goes_on_where_it_was() {
    let (data, roles) = (table(), roles(Purpose::Regression));
    let settings = |trees: usize| Settings::default().with("trees", trees).with("out_of_bag", true);
    let bytes = |trees| {
        train("forest", &data, &roles, &settings(trees), &Context::default()).unwrap().to_bytes().unwrap()
    };
    let few = bytes(5);
    let go_on = |name: &str, bytes: &[u8], data: &Dataset, settings: &Settings, seed: u64| {
        let context = Context { seed, ..Context::default() };
        let file = ModelFile::parse(bytes).unwrap();
        continue_training(name, &file, data, &roles, settings, &context)
    };
    let more = go_on("forest", &few, &data, &settings(12), 0).unwrap();
    assert_eq!(more.to_bytes().unwrap(), bytes(12));
    let refused = |name: &str, data: &Dataset, settings: &Settings, seed| {
        go_on(name, &few, data, settings, seed).err().map(|e| e.to_string()).unwrap_or_default()
    };
    for (message, part) in [
        (refused("forest", &data, &settings(12), 7), "seed"),
        (refused("forest", &data, &settings(3), 0), "trees"),
        (refused("forest", &data, &settings(12).with("max_depth", 3), 0), "max_depth"),
        (refused("forest", &data, &settings(12).with("max_bins", 9), 0), "max_bins"),
        (refused("forest", &data, &settings(12).with("max_features", 1), 0), "max_features"),
        (refused("forest", &data.take(&(0..29).collect::<Vec<_>>()), &settings(12), 0), "table"),
        (
            refused("tree", &data, &Settings::default(), 0),
            "cannot be continued; that of forest, extra-trees, gbdt, network can",
        ),
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let settings = |stages: usize| Settings::default().with("stages", stages).with("min_samples_leaf", 2);
    let at_once = |stages| {
        train("gbdt", &data, &roles, &settings(stages), &Context::default()).unwrap().to_bytes().unwrap()
    };
    let more = go_on("gbdt", &at_once(5), &data, &settings(12), 0).unwrap();
    assert_eq!(more.to_bytes().unwrap(), at_once(12));
    let tree = train("tree", &data, &roles, &Settings::default(), &Context::default()).unwrap();
    let message = go_on("forest", &tree.to_bytes().unwrap(), &data, &Settings::default(), 0).err().unwrap();
    assert!(message.to_string().contains("\"tree\""), "{message}");
}

#[test]
fn models_on_the_way_are_of_families_that_have_them() {
    let (data, roles) = (table(), roles(Purpose::Regression));
    let kept_of = std::sync::Mutex::new(Vec::new());
    let keep = |bytes: &[u8]| {
        kept_of.lock().unwrap().push(bytes.to_vec());
        Ok(())
    };
    let checkpoint = Some(Checkpoint { every: 40, keep: &keep });
    let context = Context { checkpoint, ..Context::default() };
    let model = train("gbdt", &data, &roles, &Settings::default(), &context).unwrap();
    let stages = |model: &dyn Model| model.report().rounds;
    let kept: Vec<u64> =
        kept_of.lock().unwrap().iter().map(|file| stages(&*load_bytes(file).unwrap())).collect();
    assert_eq!((kept, stages(&*model)), (vec![40, 80], 100));
    // A network goes on from each to the model that there would have been.
    kept_of.lock().unwrap().clear();
    let settings =
        |of: u64| Settings::default().with("epochs", of).with("validation_fraction", 0).with("hidden", 4);
    let context = Context { checkpoint: Some(Checkpoint { every: 3, keep: &keep }), ..Context::default() };
    let model = train("network", &data, &roles, &settings(8), &context).unwrap();
    let (kept, whole) = (kept_of.lock().unwrap().clone(), model.to_bytes().unwrap());
    let read: Vec<u64> = kept.iter().map(|file| stages(&*load_bytes(file).unwrap())).collect();
    assert_eq!(read, [3, 6]);
    let go_on = |file: &[u8], epochs: u64| {
        let file = ModelFile::parse(file).unwrap();
        continue_training("network", &file, &data, &roles, &settings(epochs), &Context::default()).unwrap()
    };
    assert!(kept.iter().all(|file| go_on(file, 8).to_bytes().unwrap() == whole));
    // From the file of the model an optimiser begins anew.
    assert_eq!(stages(&*go_on(&whole, 5)), 5);
    for (settings, part) in [
        (settings(8).with("validation_fraction", 0.1), "validation_fraction: 0.1"),
        (Settings::default().with("optimiser", "lbfgs"), "optimiser: lbfgs"),
    ] {
        let told = train("network", &data, &roles, &settings, &context).err().unwrap().to_string();
        assert!(told.contains(part) && told.contains("checkpoints"), "{told}");
    }
    let message = train("forest", &data, &roles, &Settings::default(), &context).err().unwrap().to_string();
    assert!(
        message.contains("model: forest") && message.contains("checkpoints are for gbdt, network"),
        "{message}"
    );
}

#[test]
fn boosting_takes_its_settings_together() {
    let (data, roles) = (table(), roles(Purpose::Classification));
    let plain = Settings::default().with("stages", 20).with("min_samples_leaf", 2);
    let bytes = |settings: &Settings| {
        train("gbdt", &data, &roles, settings, &Context::default()).map(|model| model.to_bytes().unwrap())
    };
    for (key, value) in [
        ("goss", "0.3:0.4"),
        ("drop_rate", "0.3"),
        ("path_smoothing", "3"),
        ("class_weight", "balanced"),
        ("subsample", "0.5"),
    ] {
        assert_ne!(bytes(&plain.clone().with(key, value)).unwrap(), bytes(&plain).unwrap(), "{key}");
    }
    for (settings, part) in [
        (plain.clone().with("goss", "0.5"), "goss: 0.5"),
        (plain.clone().with("goss", "0.8:0.4"), "goss: 0.8:0.4"),
        (plain.clone().with("max_drop", "3"), "max_drop: 3"),
        (plain.clone().with("drop_rate", "0.1").with("early_stopping", 5), "early_stopping"),
        (plain.clone().with("columns_by_tree", "0"), "columns_by_tree: 0"),
        (plain.clone().with("goss", "0.2:0.1").with("subsample", "0.5"), "subsample: 0.5"),
    ] {
        let message = bytes(&settings).unwrap_err().to_string();
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn nothing_to_learn_is_told() {
    let error = |data: &Dataset, roles: &Roles| {
        let fitted = train("linear", data, roles, &Settings::default(), &Context::default());
        fitted.err().map(|e| e.to_string()).unwrap_or_default()
    };
    let (data, plain) = (table(), roles(Purpose::Regression));
    assert!(error(&data.take(&[3]), &plain).contains("only one row"));
    assert!(error(&data.take(&[3, 3, 3]), &plain).contains("10 in every row"));
    // A class by its name, that of the first row that counts.
    let of_class = |target: Column| {
        let x = Column::F64(vec![1.0, 2.0, 3.0].into());
        let w = Column::F64(vec![0.0, 1.0, 1.0].into());
        let columns = [("x", x), ("t", target), ("w", w)].map(|(n, c)| (n.to_owned(), c));
        let roles = Roles { weight: Some("w".into()), ..Roles::target("t") };
        let data = Dataset::new(columns.into()).unwrap();
        let fitted = train("logistic", &data, &roles, &Settings::default(), &Context::default());
        fitted.err().map(|e| e.to_string()).unwrap_or_default()
    };
    let dictionary = vec!["no".into(), "yes".into()];
    let message = of_class(Column::Categorical { codes: vec![0, 1, 1].into(), dictionary });
    assert!(message.contains("\"yes\" in every row"), "{message}");
    let message = of_class(Column::F64(vec![3.0, 7.0, 7.0].into()));
    assert!(message.contains("\"7\" in every row"), "{message}");
    let weighted = Roles { weight: Some("w".into()), ignore: vec!["label".into()], ..plain };
    assert!(error(&data, &weighted).contains("only one row"));
    assert!(family("forrest").err().unwrap().to_string().contains("linear, ridge, logistic"));
    let stranger = Writer::new("stranger", serde_json::json!({})).to_bytes().unwrap();
    assert!(load_bytes(&stranger).err().unwrap().to_string().contains("\"stranger\""));
}
