//! Quality on real data that is not part of the project, against scikit-learn.
//!
//! The files are looked for in `$TILEWISE_DATA`. Without it a test says which file it skipped; with
//! `TILEWISE_REQUIRE_DATA=1` it fails instead. Golden numbers and the script that wrote them are in `golden/`.

use crate::binary::{Folder, Server, measure, works};
use serde_json::Value;
use std::path::Path;

/// Names of the columns of adult.csv, which has none.
const ADULT: &str = "age,workclass,fnlwgt,education,education-num,marital-status,occupation,relationship,race,sex,\
                     capital-gain,capital-loss,hours-per-week,native-country,income";

/// The path of a shared file, or `None` after saying that the test is skipped.
fn shared(name: &str) -> Option<String> {
    let file = std::env::var_os("TILEWISE_DATA").map(|folder| Path::new(&folder).join(name));
    if let Some(file) = file.filter(|file| file.is_file()) {
        return Some(file.display().to_string());
    }
    let required = std::env::var("TILEWISE_REQUIRE_DATA").is_ok_and(|v| v == "1");
    assert!(!required, "{name} is required and not in $TILEWISE_DATA");
    eprintln!("skipped: {name} is not in $TILEWISE_DATA");
    None
}

fn golden() -> serde_json::Value {
    serde_json::from_str(include_str!("golden/shared.json")).unwrap()
}

/// The rows that scikit-learn was tested on are the ones that `train` holds out.
#[test]
fn the_golden_numbers_are_for_the_same_split() {
    let golden = golden();
    let (_, test) = tilewise_base::split(20_640, 0.2, 0, None).unwrap();
    let first: Vec<u64> = golden["california"]["first_test_rows"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|x| x.as_u64())
        .collect();
    assert_eq!(golden["california"]["rows"], test.len());
    assert!(
        first.len() == 5 && first.iter().zip(&test).all(|(&a, &b)| a == b as u64),
        "{first:?} {:?}",
        &test[..5]
    );
}

#[test]
fn adult() {
    let Some(data) = shared("adult.csv") else { return };
    let folder = Folder::new("adult");
    let model = folder.path("income.safetensors");
    let told = works(
        &[
            &[
                "train",
                "--model",
                "logistic",
                "--data",
                &data,
                "--no-header",
                "--columns",
                ADULT,
                "--na",
                "?",
            ][..],
            &["--target", "income", "--test-fraction", "0.2", "--out", &model],
        ]
        .concat(),
    );
    served_rows_have_the_answers_of_the_command_line(&folder, &data, &model);
    let (accuracy, loss) = (measure(&told, "accuracy"), measure(&told, "log loss"));
    assert!(accuracy >= 0.845, "{told}");
    // Both minimise the same objective: what differs is printed digits, and rows exactly at 0.5.
    let theirs = &golden()["adult"];
    assert!((accuracy - theirs["accuracy"].as_f64().unwrap()).abs() < 0.001, "{told}");
    assert!((loss - theirs["log_loss"].as_f64().unwrap()).abs() < 0.0005, "{told}");
}

/// The first rows of adult.csv, as objects and as a file without its target, whose columns stand in another order.
fn served_rows_have_the_answers_of_the_command_line(folder: &Folder, data: &str, model: &str) {
    const ROWS: usize = 500;
    let names: Vec<&str> = ADULT.split(',').collect();
    let text = std::fs::read_to_string(data).unwrap();
    let (mut objects, mut csv) = (Vec::new(), String::new());
    csv += &names[..14].iter().rev().copied().collect::<Vec<_>>().join(",");
    for line in text.lines().take(ROWS) {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let cell = |text: &str| match text.parse::<f64>() {
            _ if text == "?" => Value::Null,
            Ok(number) => number.into(),
            Err(_) => text.into(),
        };
        let pairs = names.iter().zip(&cells).take(14).map(|(name, text)| ((*name).to_owned(), cell(text)));
        objects.push(Value::Object(pairs.collect()));
        csv += "\n";
        csv += &cells[..14].iter().rev().copied().collect::<Vec<_>>().join(",");
    }
    let rows = folder.path("rows.csv");
    std::fs::write(&rows, csv).unwrap();
    let printed = works(&["predict", "--model", model, "--data", &rows, "--na", "?", "--proba"]);
    let mut printed = printed.lines();
    let classes: Vec<&str> = printed.next().unwrap().split(',').skip(1).collect();
    let reply = Server::start(model).predict(&Value::from(objects).to_string());
    let reply: Value = serde_json::from_str(&reply).unwrap();
    let (predictions, shares) = (&reply["predictions"], &reply["probabilities"]);
    assert_eq!(predictions.as_array().unwrap().len(), ROWS);
    for (i, line) in printed.enumerate() {
        let mut cells = line.split(',');
        assert_eq!(cells.next(), predictions[i].as_str(), "row {i}");
        for (class, printed) in classes.iter().zip(cells) {
            let (printed, served) = (printed.parse::<f64>().unwrap(), shares[i][class].as_f64().unwrap());
            assert_eq!(printed.to_bits(), served.to_bits(), "row {i}, {class}: {printed} and {served}");
        }
    }
}

#[test]
fn california() {
    let Some(data) = shared("california_housing.csv") else { return };
    for family in ["linear", "ridge"] {
        let told = works(
            &[
                &["train", "--model", family, "--data", &data, "--target", "median_house_value"][..],
                &["--test-fraction", "0.2"],
            ]
            .concat(),
        );
        let (ours, theirs) =
            (measure(&told, "RMSE"), golden()["california"][family]["rmse"].as_f64().unwrap());
        assert!((ours / theirs - 1.0).abs() < 0.005, "{family}: {ours}, scikit-learn {theirs}");
    }
}
