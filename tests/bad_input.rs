//! Tables from which little or nothing can be learned, given to trees and forests by the command line and from slices: what the
//! table in `models/tree/README.md` says happens.

use crate::binary::{Folder, tilewise, works};
use std::fs;
use tilewise_base::{Column, Context, Dataset, Roles, predict_dataset};
use tilewise_models::{Settings, load, train};

const FAMILIES: [&str; 4] = ["tree", "forest", "extra-trees", "gbdt"];

/// What makes a family learn all that so few rows tell, as settings.
fn exactly(family: &str) -> &'static [&'static str] {
    match family {
        "tree" => &[],
        "gbdt" => &["stages=1", "learning_rate=1", "l2=0", "min_samples_leaf=1"],
        _ => &["bootstrap=false"],
    }
}

/// A folder with one table, and `tilewise train` on it.
struct Given {
    folder: Folder,
}

impl Given {
    fn new(name: &str, text: &str) -> Self {
        let folder = Folder::new(&format!("bad-{name}"));
        fs::write(folder.path("t.csv"), text).unwrap();
        Self { folder }
    }
    fn arguments<'a>(&self, family: &'a str, more: &[&'a str]) -> Vec<String> {
        let trees: &[&str] = match family {
            "tree" => &[],
            "gbdt" => &["--set", "stages=3"],
            _ => &["--set", "trees=3"],
        };
        let (data, out) = (self.folder.path("t.csv"), self.folder.path("m.safetensors"));
        let first = ["train", "--quiet", "--target", "y", "--data", &data, "--out", &out, "--model", family];
        [&first[..], trees, more].concat().into_iter().map(String::from).collect()
    }
    /// What it says on both streams.
    fn learns(&self, family: &str, more: &[&str]) -> String {
        let arguments = self.arguments(family, more);
        let output = tilewise(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let told = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        assert!(output.status.success(), "{family}: {told}");
        told
    }
    /// That it refuses, and says all this.
    fn refuses(&self, family: &str, more: &[&str], parts: &[&str]) {
        let arguments = self.arguments(family, more);
        let output = tilewise(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{family}: {told}");
        assert!(parts.iter().all(|part| told.contains(part)), "{family}: {told}");
        assert!(fs::metadata(self.folder.path("m.safetensors")).is_err(), "a model was written");
    }
    fn answers(&self) -> String {
        works(&[
            "predict",
            "--model",
            &self.folder.path("m.safetensors"),
            "--data",
            &self.folder.path("t.csv"),
        ])
    }
}

#[test]
fn a_column_without_a_value_is_told_and_not_used() {
    let rows = |empty: bool| {
        let mut text = String::from(if empty { "x,nothing,y\n" } else { "x,y\n" });
        (0..30).for_each(|i| text += &format!("{},{}{}\n", i % 7, if empty { "," } else { "" }, i % 5));
        text
    };
    for family in FAMILIES {
        // Every node looks at all columns, so that one more changes no draw.
        let all = ["--set", "max_features=all"];
        let (with, without) = (Given::new("empty", &rows(true)), Given::new("without", &rows(false)));
        let told = with.learns(family, &all);
        assert!(told.contains("warning") && told.contains("\"nothing\" has no value"), "{told}");
        without.learns(family, &all);
        if family != "extra-trees" {
            assert_eq!(with.answers(), without.answers(), "{family}");
        }
        // Nothing else to learn from: one leaf, and the column is told all the same.
        let told = with.learns(family, &["--ignore", "x"]);
        assert!(told.contains("\"nothing\" has no value"), "{told}");
        let answers = with.answers();
        let first = answers.lines().nth(1);
        assert!(
            first.is_some() && answers.lines().skip(1).all(|line| Some(line) == first),
            "{family}: {answers}"
        );
    }
}

#[test]
fn a_target_of_one_value_or_row_is_refused() {
    for family in FAMILIES {
        let number = Given::new("constant", "x,y\n1,2.5\n2,2.5\n3,2.5\n");
        number.refuses(family, &[], &["t.csv", "\"y\"", "2.5 in every row", "two values"]);
        let class = Given::new("one-class", "x,y\n1,a\n2,a\n3,a\n");
        class.refuses(family, &[], &["t.csv", "\"y\"", "\"a\" in every row", "two values"]);
        let row = Given::new("one-row", "x,y\n1,a\n");
        row.refuses(family, &[], &["only one row", "at least two"]);
        let none = Given::new("no-row", "x,y\n");
        none.refuses(family, &[], &["t.csv"]);
    }
}

#[test]
fn without_a_column_nothing_is_learned() {
    for family in FAMILIES {
        let given = Given::new("no-column", "x,y\n1,2\n2,3\n3,5\n");
        given.refuses(family, &["--ignore", "x"], &["no column is left as an input"]);
        // A column of one value is one, but divides nothing.
        let constant = Given::new("constant-column", "x,y\n1,2\n1,3\n1,5\n");
        constant.learns(family, if family == "forest" { &["--set", "bootstrap=false"] } else { &[] });
        let answers = constant.answers();
        let numbers: Vec<f64> = answers.lines().skip(1).map(|line| line.parse().unwrap()).collect();
        // Boosting starts from the mean; its derivatives, whose sum is then 0 but for rounding, are f32.
        let near = if family == "gbdt" { 1e-7 } else { 1e-9 };
        assert!(numbers.iter().all(|x| (x - 10.0 / 3.0).abs() < near), "{family}: {numbers:?}");
    }
}

#[test]
fn seventy_thousand_categories_are_learned_from() {
    // The first hundred categories have half of the rows, and tell the answer; the others are there once each.
    let mut text = String::from("code,y\n");
    for i in 0..140_000 {
        let (code, y) = if i % 2 == 0 { (i / 2 % 100, i / 2 % 2) } else { (100 + i / 2, i / 2 % 3) };
        text += &format!("c{code:05},{y}\n");
    }
    for family in ["tree", "forest"] {
        let given = Given::new("many", &text);
        let told = given.learns(family, &["--set", "max_depth=12"]);
        assert!(told.contains("70100 different texts"), "{told}");
        let answers = given.answers();
        let answers: Vec<f64> = answers.lines().skip(1).map(|line| line.parse().unwrap()).collect();
        let right = (0..140_000).step_by(2).filter(|&i| (answers[i] - (i / 2 % 2) as f64).abs() < 0.1);
        assert_eq!(right.count(), 70_000, "{family}");
        // Of the others the first have bins of their own, and all that come later share one: their mean.
        let shared = answers[139_999];
        let later = answers.iter().skip(1001).step_by(2);
        assert!((shared - 1.0).abs() < 0.1 && later.clone().all(|x| *x == shared), "{family}: {shared}");
    }
}

#[test]
fn infinities_are_refused_in_files_and_targets_and_numbers_in_tables() {
    for family in FAMILIES {
        let given = Given::new("infinite", "x,y\n1,2\ninf,3\n3,4\n");
        given.refuses(family, &[], &["t.csv", "line 3", "\"x\"", "infinite"]);
        let y = [1.0, 1.0, 5.0, 5.0, 9.0, 9.0];
        let x = [f64::NEG_INFINITY, f64::NEG_INFINITY, 0.0, 0.0, f64::INFINITY, f64::INFINITY];
        let table = |y: [f64; 6]| {
            let columns = [("x", x.to_vec()), ("y", y.to_vec())];
            Dataset::new(columns.map(|(name, x)| (name.to_owned(), Column::F64(x.into()))).into()).unwrap()
        };
        let settings = Settings::parse(
            &[exactly(family), if matches!(family, "tree" | "gbdt") { &[][..] } else { &["trees=2"] }]
                .concat(),
        )
        .unwrap();
        let fit = |y| train(family, &table(y), &Roles::target("y"), &settings, &Context::default());
        let model = fit(y).unwrap();
        let answers = predict_dataset(&*model, &table(y), None).unwrap();
        // Boosting adds a difference to a mean.
        let near = if family == "gbdt" { 1e-12 } else { 0.0 };
        assert!(answers.iter().zip(y).all(|(answer, y)| (answer - y).abs() <= near), "{family} {answers:?}");
        let told = fit([1.0, 2.0, f64::INFINITY, 3.0, 4.0, 5.0]).err().unwrap().to_string();
        assert!(told.contains("row 3") && told.contains("\"y\"") && told.contains("inf"), "{told}");
    }
}

#[test]
fn labels_of_text_are_classes() {
    let mut text = String::from("x,y\n");
    (0..40).for_each(|i| {
        text += &format!("{},{}\n", i, ["größer", "à peu près", "no, \"not\""][i / 14])
            .replace("no, \"not\"", "\"no, \"\"not\"\"\"")
    });
    for family in FAMILIES {
        let given = Given::new("text", &text);
        let more: &[&str] = if family == "gbdt" { &["min_samples_leaf=1"] } else { exactly(family) };
        given.learns(family, &more.iter().flat_map(|setting| ["--set", setting]).collect::<Vec<_>>());
        let answers = given.answers();
        let mut lines = answers.lines().skip(1);
        let (first, last) = (lines.next().unwrap(), lines.last().unwrap());
        assert!(first.contains("größer") && last.contains("no, \"\"not\"\""), "{first} {last}");
        let model = load(given.folder.path("m.safetensors")).unwrap();
        assert_eq!(model.task().names(), ["größer", "no, \"not\"", "à peu près"]);
        fs::remove_file(given.folder.path("m.safetensors")).unwrap();
        given.refuses(family, &["--set", "task=regression"], &["\"y\"", "text", "number"]);
    }
}
