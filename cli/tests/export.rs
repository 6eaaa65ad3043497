//! Models in formats of others, as a person asks for them. What the libraries make of the files: `models/any/tests/export.rs`.

#[path = "support/run.rs"]
mod run;

use run::{Folder, fails, people, text, tilewise, works};
use std::fs;

const ORDER: &[&str] = &["age", "job", "price", "class"];

#[test]
fn what_is_written_predicts_the_same() {
    let folder = Folder::new("exported");
    let data = folder.file("people.csv", people(ORDER));
    let model = folder.path("m.safetensors");
    let train = [
        "train", "--model", "gbdt", "--data", &data, "--target", "price", "--ignore", "class", "--out",
        &model,
    ];
    works(&[&train[..], &["--set", "min_samples_leaf=3", "--set", "stages=20"]].concat());
    let answers = works(&["predict", "--model", &model, "--data", &data]);
    let written = folder.path("m.txt");
    let export = tilewise(&["export", "--model", &model, "--to", "lightgbm", "--out", &written]);
    let told = text(&export.stderr);
    assert!(export.status.success() && export.stdout.is_empty(), "{told}");
    assert!(
        told.contains("note: categories are numbers")
            && told.contains("\"job\"")
            && told.contains("written: "),
        "{told}"
    );
    // The same bits, read by our reader of LightGBM's format.
    assert_eq!(works(&["predict", "--model", &written, "--data", &data]), answers);
    // What was read goes out again, with categories by their texts.
    let again = folder.path("again.txt");
    works(&["export", "--model", &written, "--to", "lightgbm", "--out", &again]);
    assert_eq!(works(&["predict", "--model", &again, "--data", &data]), answers);
    // XGBoost's sums are f32, but not here.
    let json = folder.path("m.json");
    works(&["export", "--model", &model, "--to", "xgboost", "--out", &json]);
    let close = works(&["predict", "--model", &json, "--data", &data]);
    for (a, b) in answers.lines().zip(close.lines()).skip(1) {
        let (a, b): (f64, f64) = (a.parse().unwrap(), b.parse().unwrap());
        assert!((a - b).abs() < 1e-5 * a.abs(), "{a} and {b}");
    }
    let bytes = tilewise(&["export", "--model", &model, "--to", "onnx", "--out", "-"]).stdout;
    let names = ["TreeEnsembleRegressor", "BRANCH_LEQ", "tilewise.inputs", "prediction", "nurse"];
    assert!(names.iter().all(|name| bytes.windows(name.len()).any(|part| part == name.as_bytes())));
    assert_eq!(text(&bytes[..2]), "\u{8}\u{7}");
    // A network, with what comes before it.
    let train = ["train", "--model", "network", "--data", &data, "--target", "class", "--out", &model];
    works(&[&train[..], &["--set", "epochs=1"]].concat());
    let bytes = tilewise(&["export", "--model", &model, "--to", "onnx", "--out", "-"]).stdout;
    let names = ["IsNaN", "Equal", "Gemm", "Softmax", "LabelEncoder", "tilewise.inputs", "0.weight", "nurse"];
    assert!(names.iter().all(|name| bytes.windows(name.len()).any(|part| part == name.as_bytes())));
}

#[test]
fn what_cannot_be_written_is_refused_and_nothing_is_lost() {
    let folder = Folder::new("not-exported");
    let data = folder.file("people.csv", people(ORDER));
    let train = |family: &str, more: &[&str]| {
        let out = folder.path(&format!("{family}.safetensors"));
        let args = ["train", "--model", family, "--data", &data, "--ignore", "class", "--out", &out];
        works(&[&args, more].concat());
        out
    };
    let out = folder.file("kept", "as it was");
    let linear = train("linear", &["--target", "price"]);
    fails(
        &["export", "--model", &linear, "--to", "onnx", "--out", &out],
        &["linear.safetensors", "\"linear\"", "tree, forest", "gbdt", "network"],
    );
    let network = train("network", &["--target", "price", "--set", "epochs=1"]);
    fails(&["export", "--model", &network, "--to", "xgboost", "--out", &out], &["xgboost", "onnx is"]);
    let odd = train("isolation-forest", &[]);
    fails(&["export", "--model", &odd, "--to", "xgboost", "--out", &out], &["isolation-forest"]);
    let forest = train("forest", &["--target", "price", "--set", "trees=3", "--set", "quantiles=0.1,0.9"]);
    fails(
        &["export", "--model", &forest, "--to", "lightgbm", "--out", &out],
        &["forest.safetensors", "quantiles"],
    );
    assert_eq!(fs::read_to_string(&out).unwrap(), "as it was");
    let tree = train("tree", &["--target", "price"]);
    fails(
        &["export", "--model", &tree, "--to", "lightgbm", "--out", &tree],
        &["--out is the file of --model"],
    );
    fails(&["export", "--model", &data, "--to", "lightgbm", "--out", &out], &["people.csv"]);
    let misused = tilewise(&["export", "--model", &tree, "--to", "pmml", "--out", &out]);
    assert!(misused.status.code() == Some(2) && text(&misused.stderr).contains("lightgbm, xgboost or onnx"));
    let names = folder.names();
    assert!(names.iter().all(|name| !name.starts_with('.')), "{names:?}");
}
