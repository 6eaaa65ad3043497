//! Files of LightGBM, XGBoost and CatBoost, given to the program as they are: it predicts, explains, shows and serves what the library
//! does (`models/gbdt/tests/golden`).

use crate::binary::{Folder, Server, root, tilewise, works};
use serde_json::Value;
use std::fs;

/// Rows of the table that a case becomes.
const ROWS: usize = 12;

/// The rows of a case as CSV, whose columns are `names`, and what the library predicts for each.
fn case(library: &str, name: &str, names: &[&str]) -> (String, Vec<Vec<f64>>) {
    let folder = root().join("models/gbdt/tests/golden");
    let all: Value =
        serde_json::from_str(&fs::read_to_string(folder.join(format!("{library}.json"))).unwrap()).unwrap();
    let case = all["cases"].as_array().unwrap().iter().find(|case| case["name"] == name).unwrap();
    let cell = |value: &Value| match value {
        Value::String(text) if text == "nan" => String::new(),
        Value::String(text) => text.clone(),
        number => number.to_string(),
    };
    let rows = |key: &str| case[key].as_array().unwrap().iter().take(ROWS).map(|row| row.as_array().unwrap());
    let lines = rows("x").map(|row| row.iter().map(cell).collect::<Vec<_>>().join(",") + "\n");
    let answers = rows("predicted").map(|row| row.iter().map(|x| x.as_f64().unwrap()).collect());
    (format!("{}\n{}", names.join(","), lines.collect::<String>()), answers.collect())
}

#[test]
fn the_program_takes_models_of_other_libraries_as_they_are() {
    let folder = Folder::new("foreign");
    let data = folder.path("data.csv");
    let table = ["size", "colour", "code", "x", "z"];
    let cases: [(&str, &str, &str, &[&str]); 5] = [
        ("lightgbm", "multiclass", "txt", &["Column_0", "Column_1", "Column_2", "Column_3", "Column_4"]),
        ("xgboost", "pandas", "json", &table),
        ("xgboost", "pandas-binary", "ubj", &table),
        ("xgboost", "quantiles", "ubj", &["f0", "f1", "f2", "f3", "f4"]),
        ("catboost", "categories", "json", &table),
    ];
    for (library, name, ending, columns) in cases {
        let (text, answers) = case(library, name, columns);
        fs::write(&data, text).unwrap();
        // What is in the file counts, not what it is called.
        let model = folder.path("model");
        fs::copy(root().join(format!("models/gbdt/tests/golden/{library}/{name}.{ending}")), &model).unwrap();
        let shown = works(&["inspect", "--model", &model]);
        assert!(shown.contains(&format!("{library} model")) && shown.contains("importance"), "{shown}");
        assert!(works(&["inspect", "--model", &model, "--text", "--tree", "2"]).contains(" rows)"));
        let classes = shown.contains("a class");
        let proba: &[&str] = if classes { &["--proba"] } else { &[] };
        let told = works(&[&["predict", "--model", &model, "--data", &data], proba].concat());
        let predicted: Vec<Vec<f64>> = told
            .lines()
            .skip(1)
            .map(|line| {
                line.split(',').skip(usize::from(classes)).map(|cell| cell.parse().unwrap()).collect()
            })
            .collect();
        assert_eq!(predicted.len(), ROWS, "{name}");
        for (ours, theirs) in predicted.iter().zip(&answers) {
            // Of two classes the library tells the second.
            let ours = if classes && theirs.len() == 1 { &ours[1..] } else { &ours[..] };
            let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 2e-6 * b.abs().max(1.0);
            assert!(
                ours.len() == theirs.len() && ours.iter().zip(theirs).all(close),
                "{name}: {ours:?} and {theirs:?}"
            );
        }
        let explained = works(&["explain", "--model", &model, "--data", &data, "--rows", "3"]);
        assert!(explained.lines().count() > 3 && explained.contains("base"), "{explained}");
        if !classes && name != "quantiles" {
            let server = Server::start(&format!("m={model}"));
            let row = case_row(columns, &fs::read_to_string(&data).unwrap());
            let reply: Value = serde_json::from_str(&server.predict(&row)).unwrap();
            let text = reply.to_string();
            // The digits of the table's first prediction.
            assert!(text.contains(told.lines().nth(1).unwrap()), "{text} and {told}");
        }
    }
}

/// The first row of a table as the server wants it.
fn case_row(columns: &[&str], csv: &str) -> String {
    let cells = csv.lines().nth(1).unwrap().split(',');
    let value = |cell: &str| match (cell, cell.parse::<f64>()) {
        ("", _) => Value::Null,
        (_, Ok(x)) => serde_json::json!(x),
        (text, Err(_)) => Value::from(text),
    };
    let row: serde_json::Map<String, Value> =
        columns.iter().map(|name| name.to_string()).zip(cells.map(value)).collect();
    Value::Object(row).to_string()
}

#[test]
fn files_that_are_not_read_are_refused_with_advice() {
    let folder = Folder::new("foreign-refused");
    let model = folder.path("m.safetensors");
    for (bytes, part) in [
        (&b"CBM1 and so on, with some more bytes behind it"[..], "format=\"json\""),
        (b"{\"learner\": {}, \"version\": [3, 4, 1]}", "gradient_booster"),
        (b"tree\nversion=v4\n", "num_tree_per_iteration"),
    ] {
        fs::write(&model, bytes).unwrap();
        let output = tilewise(&["inspect", "--model", &model]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && told.contains(&model) && told.contains(part), "{told}");
    }
}
