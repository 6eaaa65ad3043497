//! Several target columns, from the table to the answers, against what is computed here from predictions.

use crate::binary::{Folder, Server, tilewise, works};
use serde_json::{Value, json};
use std::fs;
use tilewise_kernels::random::Philox;

const ROWS: usize = 90;

/// Two inputs, a number of large and one of small range that they decide, and three columns whose names are parts of each other.
fn table() -> (String, [Vec<f64>; 2]) {
    let random = Philox::new(21, Philox::purpose("table of several targets"));
    let mut text = "width,colour,large,small,p,q,\"p,q\"\n".to_owned();
    let mut y = [Vec::new(), Vec::new()];
    for row in 0..ROWS as u64 {
        let (width, colour) = (random.below(3 * row, 40) as f64, random.below(3 * row + 1, 3) as usize);
        let large = 100.0 * width + random.below(3 * row + 2, 50) as f64;
        let small = 0.25 * colour as f64 - width / 64.0;
        let (p, q) = (row % 2, row % 3);
        text += &format!("{width},{},{large},{small},{p},{q},{}\n", ["red", "green", "blue"][colour], p + q);
        y[0].push(large);
        y[1].push(small);
    }
    (text, y)
}

/// Runs and expects failure; what it said of it.
fn fails(arguments: &[&str]) -> String {
    let output = tilewise(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The lines of CSV after its header, as numbers; and the header.
fn numbers(csv: &str) -> (String, Vec<Vec<f64>>) {
    let (header, lines) = csv.split_once('\n').unwrap();
    let line = |line: &str| line.split(',').map(|cell| cell.parse().unwrap()).collect();
    (header.to_owned(), lines.lines().map(line).collect())
}

/// The first three numbers of the line that begins with `name`: RMSE, MAE, R2.
fn scores(told: &str, name: &str) -> Vec<f64> {
    let line = told.lines().find_map(|line| line.trim_start().strip_prefix(name)).expect(told);
    line.split_whitespace().take(3).map(|number| number.parse().unwrap()).collect()
}

/// RMSE, MAE and R2 by their definitions.
fn defined(y: &[f64], predicted: &[f64]) -> [f64; 3] {
    let (rows, mean) = (y.len() as f64, y.iter().sum::<f64>() / y.len() as f64);
    let squares: f64 = y.iter().zip(predicted).map(|(y, p)| (y - p).powi(2)).sum();
    let absolute: f64 = y.iter().zip(predicted).map(|(y, p)| (y - p).abs()).sum();
    let around: f64 = y.iter().map(|y| (y - mean).powi(2)).sum();
    [(squares / rows).sqrt(), absolute / rows, 1.0 - squares / around]
}

/// Measures are printed with six digits, and no more than six behind the point.
fn near(told: &[f64], defined: [f64; 3]) {
    let close = |(a, b): (&f64, f64)| (a - b).abs() <= f64::max(1e-6, 1e-5 * b.abs());
    assert!(told.len() == 3 && told.iter().zip(defined).all(close), "{told:?} for {defined:?}");
}

#[test]
fn several_numbers_are_learned_measured_predicted_and_shown() {
    let folder = Folder::new("targets");
    let (text, y) = table();
    let data = folder.path("t.csv");
    fs::write(&data, text).unwrap();
    for (family, setting) in [("tree", "max_depth=4"), ("forest", "trees=6"), ("extra-trees", "trees=4")] {
        let model = folder.path(family);
        let train = |targets: &[&str], threads: &str, out: &str| {
            let args = ["train", "--model", family, "--set", setting, "--data", &data, "--ignore", "p,q"];
            works(&[&args[..], targets, &["--threads", threads, "--out", out, "-q"]].concat())
        };
        // The column "p,q" is an input here.
        let told = train(&["--target", "large,small"], "1", &model);
        assert!(told.contains("3 inputs") && told.contains("mean of 2"), "{told}");
        let again = folder.path("again");
        train(&["--target", "large", "--target", "small"], "3", &again);
        assert_eq!(fs::read(&model).unwrap(), fs::read(&again).unwrap(), "{family}");

        let (header, answers) = numbers(&works(&["predict", "--model", &model, "--data", &data]));
        assert_eq!((header.as_str(), answers.len()), ("large,small", ROWS));
        let of = |j: usize| -> Vec<f64> { answers.iter().map(|row| row[j]).collect() };
        let (large, small) = (defined(&y[0], &of(0)), defined(&y[1], &of(1)));
        let mean = std::array::from_fn(|i| (large[i] + small[i]) / 2.0);
        let evaluated = works(&["evaluate", "--model", &model, "--data", &data]);
        assert!(evaluated.contains("numbers large, small predicted by"), "{evaluated}");
        near(&scores(&evaluated, "large "), large);
        near(&scores(&evaluated, "small "), small);
        near(&scores(&evaluated, "mean of 2 "), mean);
        assert!(large[2] > 0.8 && small[2] > 0.3, "{family}: {large:?} {small:?}");
        // Answers under other names.
        let other = works(&["evaluate", "--model", &model, "--data", &data, "--target", "small,large"]);
        near(&scores(&other, "large "), defined(&y[1], &of(0)));
        let important = works(&["importance", "--model", &model, "--data", &data, "--repeats", "2", "-q"]);
        let first: Vec<&str> = important.split([' ', ';']).collect();
        assert_eq!((first[0], first[1]), ("R2", "is"));
        assert!((first[2].parse::<f64>().unwrap() - mean[2]).abs() < 2e-6, "{important}");

        let explained = works(&["explain", "--model", &model, "--data", &data, "--rows", "5"]);
        for (at, line) in explained.lines().skip(1).enumerate() {
            let cells: Vec<&str> = line.split(',').collect();
            assert_eq!(cells[1], ["large", "small"][at % 2]);
            let numbers: Vec<f64> = cells[2..].iter().map(|cell| cell.parse().unwrap()).collect();
            let (prediction, parts) = numbers.split_last().unwrap();
            assert_eq!(*prediction, answers[at / 2][at % 2]);
            assert!((parts.iter().sum::<f64>() - prediction).abs() < 1e-9 * large[0].max(1000.0), "{line}");
        }
        let shown = works(&["inspect", "--model", &model]);
        assert!(shown.contains("predicts the numbers large, small\n"), "{shown}");
        let outlined = works(&["inspect", "--model", &model, "--text", "--depth", "0"]);
        assert!(outlined.starts_with("large, small, by ") && outlined.contains(", small "), "{outlined}");
        let drawn = works(&["inspect", "--model", &model, "--svg", "-"]);
        assert!(drawn.contains("large, from ") && drawn.contains(">small "), "{drawn}");

        let server = Server::start(&model);
        let reply = server.predict(r#"{"width": 7, "colour": "red", "p,q": 1}"#);
        let reply: Value = serde_json::from_str(&reply).unwrap();
        let row = folder.path("row.csv");
        fs::write(&row, "width,colour,\"p,q\"\n7,red,1\n").unwrap();
        let (_, answer) = numbers(&works(&["predict", "--model", &model, "--data", &row]));
        assert_eq!(reply, json!({"prediction": answer[0]}));
    }
}

#[test]
fn networks_learn_several_numbers_and_are_measured_served_and_made_smaller() {
    let folder = Folder::new("targets-network");
    let (text, y) = table();
    let data = folder.path("t.csv");
    fs::write(&data, text).unwrap();
    for precision in ["single", "double"] {
        let train = |targets: &[&str], threads: &str, out: &str| {
            let precision = format!("precision={precision}");
            let args =
                ["train", "--model", "network", "--data", &data, "--ignore", "p,q", "--set", &precision];
            let sets = ["epochs=150", "batch_size=30", "learning_rate=0.02", "validation_fraction=0"];
            let sets = sets.iter().flat_map(|set| ["--set", set]).collect::<Vec<_>>();
            works(&[&args[..], &sets, targets, &["--threads", threads, "--out", out, "-q"]].concat())
        };
        let (model, again) = (folder.path("m.safetensors"), folder.path("again"));
        let told = train(&["--target", "large,small"], "1", &model);
        assert!(told.contains("3 inputs") && told.contains("mean of 2"), "{told}");
        train(&["--target", "large", "--target", "small"], "3", &again);
        assert_eq!(fs::read(&model).unwrap(), fs::read(&again).unwrap());
        let small = folder.path("small.safetensors");
        let told = works(&["quantise", "--model", &model, "--data", &data, "--out", &small]);
        assert!(told.contains("RMSE"), "{told}");
        for model in [&model, &small] {
            let (header, answers) = numbers(&works(&["predict", "--model", model, "--data", &data]));
            assert_eq!((header.as_str(), answers.len()), ("large,small", ROWS));
            let of = |j: usize| -> Vec<f64> { answers.iter().map(|row| row[j]).collect() };
            let measures = [0, 1].map(|j| defined(&y[j], &of(j)));
            let evaluated = works(&["evaluate", "--model", model, "--data", &data]);
            near(&scores(&evaluated, "large "), measures[0]);
            near(&scores(&evaluated, "small "), measures[1]);
            assert!(measures[0][2] > 0.95 && measures[1][2] > 0.9, "{measures:?}");
            assert!(works(&["inspect", "--model", model]).contains("predicts the numbers large, small\n"));
            let server = Server::start(model);
            let reply = server.predict(r#"{"width": 7, "colour": "red", "p,q": 1}"#);
            let reply: Value = serde_json::from_str(&reply).unwrap();
            let row = folder.path("row.csv");
            fs::write(&row, "width,colour,\"p,q\"\n7,red,1\n").unwrap();
            let (_, answer) = numbers(&works(&["predict", "--model", model, "--data", &row]));
            assert_eq!(reply, json!({"prediction": answer[0]}));
        }
    }
}

#[test]
fn a_name_with_a_comma_is_one_column_if_there_is_one() {
    let folder = Folder::new("comma");
    let (text, _) = table();
    let data = folder.path("t.csv");
    fs::write(&data, text).unwrap();
    let train = |targets: &[&str]| {
        let model = folder.path("m");
        let args = ["train", "--model", "tree", "--data", &data, "--ignore", "large", "--out", &model, "-q"];
        works(&[&args, targets].concat());
        let shown = works(&["inspect", "--model", &model]);
        let (_, told) = shown.split_once("predicts the ").unwrap();
        works(&["evaluate", "--model", &model, "--data", &data]);
        works(&[&["evaluate", "--model", &model, "--data", &data], targets].concat());
        told.lines().next().unwrap().to_owned()
    };
    assert_eq!(train(&["--target", "p,q"]), "number p,q");
    assert_eq!(train(&["--target", "q,p"]), "numbers q, p");
    assert_eq!(train(&["--target", "p", "--target", "q"]), "numbers p, q");
    assert_eq!(train(&["--target", "p,q", "--target", "q"]), "numbers p,q, q");
}

#[test]
fn what_cannot_be_learned_together_is_refused_by_name() {
    let folder = Folder::new("refused");
    let (text, _) = table();
    let data = folder.path("t.csv");
    fs::write(&data, text).unwrap();
    let told = |family: &str, target: &str, more: &[&str]| {
        let args = ["train", "--model", family, "--data", &data, "--target", target, "-q"];
        fails(&[&args, more].concat())
    };
    for family in ["poisson", "logistic", "isolation-forest", "gbdt"] {
        let message = told(family, "large,small", &[]);
        let parts =
            ["column \"small\"", "besides \"large\"", family, "forest, extra-trees, network learn several"];
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
    for (target, more, part) in [
        ("large,colour", &[][..], "column \"colour\": holds classes and is one of several targets"),
        ("large,nowhere", &[], "column \"nowhere\": there is no such column"),
        ("large,large", &[], "column \"large\": is named as a target twice"),
        ("large,small", &["--weight", "small"], "column \"small\": has two roles"),
        ("large,small", &["--ignore", "small"], "column \"small\": is both ignored and used"),
        ("large,small", &["--set", "quantiles=0.5"], "parameter quantiles"),
        ("large,small", &["--set", "criterion=absolute"], "parameter criterion"),
        ("large,small", &["--set", "monotone=width:up"], "parameter monotone"),
    ] {
        let message = told("forest", target, more);
        assert!(message.contains(part), "{part}: {message}");
    }
    let lasso = told("lasso", "large,small", &[]);
    assert!(lasso.contains("column \"small\"") && lasso.contains("with a given alpha"), "{lasso}");
    let errors = told("linear", "large,small", &["--set", "errors=hc3"]);
    assert!(errors.contains("parameter errors") && errors.contains("of one target"), "{errors}");
    let model = folder.path("m");
    let args =
        ["train", "--model", "tree", "--data", &data, "--target", "large,small", "--out", &model, "-q"];
    works(&args);
    let evaluate =
        |target: &str| fails(&["evaluate", "--model", &model, "--data", &data, "--target", target]);
    let message = evaluate("small");
    assert!(message.contains("2 targets (large, small)") && message.contains("not 1 (small)"), "{message}");
    let message = fails(&["predict", "--model", &model, "--data", &data, "--proba"]);
    assert!(message.contains("predicts the numbers large, small"), "{message}");
}
