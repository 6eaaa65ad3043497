//! Models through the command line, on the embedded data: same bytes from any process and thread count, same answers
//! from any order of columns and any format, and those of the library.

use crate::binary::{Folder, embedded, measure, works};
use std::fs;
use tilewise_base::{Column, Dataset, predict_dataset};
use tilewise_data::{ReadOptions, push_number, read, write_csv};
use tilewise_kernels::random::Philox;

/// Of which less is better; half the mean absolute error for the median.
const PINBALL: &str = "pinball loss";

/// Family, data set, target (empty for none), the measure and the bound it has to beat on held-out rows.
const CASES: [(&str, &str, &str, &str, f64); 24] = [
    ("linear", "diabetes", "progression", "R2", 0.3),
    ("ridge", "diabetes", "progression", "R2", 0.3),
    ("ridge", "digits", "digit", "R2", 0.4),
    ("lasso", "diabetes", "progression", "R2", 0.3),
    ("elastic-net", "digits", "digit", "R2", 0.4),
    ("poisson", "diabetes", "progression", "R2", 0.3),
    ("group-lasso", "diabetes", "progression", "R2", 0.3),
    ("huber", "diabetes", "progression", "R2", 0.3),
    ("quantile", "diabetes", "progression", PINBALL, 26.0),
    ("gamma", "diabetes", "progression", "R2", 0.2),
    ("logistic", "iris", "species", "accuracy", 0.9),
    ("logistic", "breast_cancer", "diagnosis", "accuracy", 0.94),
    ("logistic", "digits", "digit", "accuracy", 0.93),
    ("tree", "iris", "species", "accuracy", 0.85),
    ("forest", "iris", "species", "accuracy", 0.9),
    ("forest", "diabetes", "progression", "R2", 0.3),
    ("extra-trees", "iris", "species", "accuracy", 0.9),
    ("extra-trees", "diabetes", "progression", "R2", 0.3),
    ("isolation-forest", "diabetes", "", "scores from", 0.3),
    ("gbdt", "iris", "species", "accuracy", 0.9),
    ("gbdt", "diabetes", "progression", "R2", 0.3),
    ("gbdt", "breast_cancer", "diagnosis", "accuracy", 0.93),
    ("network", "breast_cancer", "diagnosis", "accuracy", 0.93),
    ("network", "diabetes", "progression", "R2", 0.3),
];

fn train(family: &str, data: &str, target: &str, threads: &str, out: &str) -> String {
    let data = embedded(&format!("{data}.csv"));
    let target: &[&str] = if target.is_empty() { &[] } else { &["--target", target] };
    works(
        &[
            &["train", "--model", family, "--data", &data, "--out", out][..],
            target,
            &["--test-fraction", "0.2", "--seed", "3", "--threads", threads, "--quiet"],
        ]
        .concat(),
    )
}

#[test]
fn any_process_and_thread_count_writes_the_same_bytes() {
    let folder = Folder::new("bytes");
    for (family, data, target, name, bound) in CASES {
        let file = |run: usize| folder.path(&format!("{family}-{data}-{run}"));
        for (run, threads) in ["1", "1", "2", "7"].iter().enumerate() {
            let told = train(family, data, target, threads, &file(run));
            let score = measure(&told, name);
            assert!(
                if name == PINBALL { score < bound } else { score > bound },
                "{family} on {data}: {name} is {score}\n{told}"
            );
            assert_eq!(
                fs::read(file(run)).unwrap(),
                fs::read(file(0)).unwrap(),
                "{family} {data}, threads {threads}"
            );
        }
    }
}

/// The table with its columns, and then its rows, in another order.
fn shuffled(table: &Dataset, rows: &[usize]) -> Dataset {
    let keys = Philox::new(7, Philox::purpose("columns"));
    let mut columns: Vec<(String, Column)> =
        table.names().iter().cloned().zip(table.columns().iter().cloned()).collect();
    columns.sort_by_key(|(name, _)| keys.bits(Philox::purpose(name)));
    assert_ne!(columns[0].0, table.names()[0]);
    Dataset::new(columns).unwrap().take(rows)
}

#[test]
fn answers_do_not_depend_on_the_order_of_columns_or_rows() {
    let folder = Folder::new("order");
    for (family, data, target, name, _) in CASES {
        let (model, other) = (folder.path("model"), folder.path("shuffled.csv"));
        train(family, data, target, "2", &model);
        let table = read(embedded(&format!("{data}.csv")), &ReadOptions::default()).unwrap();
        let rows: Vec<usize> = (0..table.rows()).rev().collect();
        write_csv(&shuffled(&table, &rows), &mut fs::File::create(&other).unwrap()).unwrap();
        let proba: &[&str] = if name == "accuracy" { &["--proba"] } else { &[] };
        let predict = |file: &str| works(&[&["predict", "--model", &model, "--data", file], proba].concat());
        let straight = predict(&embedded(&format!("{data}.csv")));
        let (header, lines) = straight.split_once('\n').unwrap();
        let mut lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines.len(), table.rows());
        lines.reverse();
        assert_eq!(predict(&other), [&[header][..], &lines].concat().join("\n") + "\n", "{family} on {data}");

        // What the library says, digit by digit.
        let library = tilewise_models::load(&model).unwrap();
        let answers = predict_dataset(&*library, &table, None).unwrap();
        let width = library.outputs();
        for (row, line) in lines.iter().rev().enumerate() {
            let mut expected = String::new();
            for value in &answers[row * width..(row + 1) * width] {
                push_number(&mut expected, *value);
                expected.push(',');
            }
            let numbers = if proba.is_empty() { line } else { line.split_once(',').unwrap().1 };
            assert_eq!(format!("{numbers},"), expected, "{family} on {data}, row {row}");
        }
    }
}
