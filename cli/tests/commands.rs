//! The commands as a person runs them: what they print, write and return.

#[path = "support/run.rs"]
mod run;

use run::{Folder, fails, people, text, tilewise, works};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

const ORDER: &[&str] = &["age", "job", "member", "price", "class"];

#[test]
fn a_model_is_trained_measured_used_and_shown() {
    let folder = Folder::new("whole");
    let data = folder.file("people.csv", people(ORDER));
    let (model, again) = (folder.path("m.safetensors"), folder.path("again.safetensors"));
    let train = |out: &str, threads: &str| {
        works(&[
            "train",
            "--model",
            "logistic",
            "--data",
            &data,
            "--target",
            "class",
            "--ignore",
            "price",
            "--test-fraction",
            "0.25",
            "--threads",
            threads,
            "--out",
            out,
        ])
    };
    let told = train(&model, "1");
    for part in [
        "60 rows, 4 columns",
        "categorical, 3 values",
        "5 missing",
        "target",
        "ignored: price",
        "converged",
        "on 15 rows held out",
        "log loss",
        "accuracy",
        "always the same",
        "called dear",
        "model written to",
    ] {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
    train(&again, "3");
    assert_eq!(fs::read(&model).unwrap(), fs::read(&again).unwrap(), "threads must not change the model");
    assert_eq!(folder.names(), ["again.safetensors", "m.safetensors", "people.csv"]);

    let shown = works(&["inspect", "--model", &model]);
    for part in ["logistic model", "class, one of 2 classes: cheap, dear", "age", "job=nurse", "converged"] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
    assert!(!shown.contains("price"), "{shown}");
    let measured = works(&["evaluate", "--model", &model, "--data", &data]);
    assert!(measured.contains("60 rows") && measured.contains("ROC AUC"), "{measured}");

    let answers = works(&["predict", "--model", &model, "--data", &data, "--proba"]);
    assert!(answers.starts_with("prediction,cheap,dear\n"), "{answers}");
    assert_eq!(answers.lines().count(), 61);
    for line in answers.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let (cheap, dear): (f64, f64) = (cells[1].parse().unwrap(), cells[2].parse().unwrap());
        assert!((cheap + dear - 1.0).abs() < 1e-12 && (cells[0] == "dear") == (dear > cheap), "{line}");
    }
    // Other order, other columns beside, other file format of the same cells: the same answers.
    let shuffled = folder.file("shuffled.csv", people(&["extra", "member", "job", "age"]).replace(',', ";"));
    assert_eq!(works(&["predict", "--model", &model, "--data", &shuffled, "--proba"]), answers);
    let out = folder.path("answers.csv");
    works(&["predict", "--model", &model, "--data", &shuffled, "--proba", "--out", &out]);
    assert_eq!(fs::read_to_string(&out).unwrap(), answers);
    // Through pipes.
    let mut child = Command::new(env!("CARGO_BIN_EXE_tilewise"))
        .args(["predict", "--model", &model, "--data", "-", "--out", "-", "--proba"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(people(ORDER).as_bytes()).unwrap();
    assert_eq!(text(&child.wait_with_output().unwrap().stdout), answers);
}

/// The price is 10 + age / 2 + job +- 1: least squares must come near that, and the baseline must not.
#[test]
fn regression_beats_the_mean() {
    let folder = Folder::new("regression");
    let rows = people(ORDER);
    let (_, without_header) = rows.split_once('\n').unwrap();
    let data = folder.file("raw.csv", without_header.replace(",,", ",?,"));
    for family in ["linear", "ridge"] {
        let told = works(&[
            "train",
            "--model",
            family,
            "--data",
            &data,
            "--no-header",
            "--columns",
            "age,job,member,price,class",
            "--na",
            "?",
            "--target",
            "price",
            "--ignore",
            "class",
            "--test-fraction",
            "0.3",
            "--seed",
            "4",
        ]);
        let line =
            told.lines().find(|l| l.trim_start().starts_with("RMSE")).unwrap_or_else(|| panic!("{told}"));
        let scores: Vec<f64> = line.split_whitespace().skip(1).map(|x| x.parse().unwrap()).collect();
        assert!(scores[0] < 3.0 && scores[1] > 2.0 * scores[0], "{told}");
        assert!(told.contains("not kept"), "{told}");
    }
}

#[test]
fn bad_tables_are_refused_by_place() {
    let folder = Folder::new("bad");
    let out = folder.path("m.safetensors");
    fs::write(&out, "what was there before").unwrap();
    let before = folder.names().len();
    let train = |family: &str, data: &str, target: &str, parts: &[&str]| {
        fails(&["train", "--model", family, "--data", data, "--target", target, "--out", &out], parts);
        assert_eq!(fs::read_to_string(&out).unwrap(), "what was there before");
    };
    train("linear", &folder.path("nowhere.csv"), "y", &["nowhere.csv", "no such file"]);
    // Family, file name and content, target, what the error must tell.
    type Case = (&'static str, &'static str, &'static [u8], &'static str, &'static [&'static str]);
    let cases: &[Case] = &[
        ("linear", "empty.csv", b"", "y", &["empty.csv"]),
        ("linear", "header.csv", b"x,y\n", "y", &["header.csv"]),
        ("linear", "binary.csv", b"\x00\xff\xfe\x01PNG\x00\n\x00,\xff\n", "y", &["binary.csv"]),
        ("linear", "ragged.csv", b"x,y\n1,2\n3,4,5\n6,7\n", "y", &["ragged.csv", "line 3"]),
        (
            "linear",
            "text.csv",
            b"x,y\n1,2\n2,3\n3,4\n4,5\n5,6\n6,7\n7,8\n8,9\nnine,10\n10,11\n11,12\n",
            "y",
            &["text.csv", "line 10", "\"x\"", "nine"],
        ),
        ("linear", "target.csv", b"x,y\n1,2\n2,3\n", "z", &["target.csv", "\"z\"", "x, y"]),
        ("linear", "nan.csv", b"x,y\n1,2\n2,\n3,4\n", "y", &["nan.csv", "row 2", "\"y\"", "missing"]),
        ("logistic", "class.csv", b"x,y\n1,a\n2,b\n3,\n", "y", &["class.csv", "row 3", "\"y\"", "missing"]),
        ("linear", "one.csv", b"x,y\n1,2\n", "y", &["only one row"]),
        ("logistic", "one.csv", b"x,y\n1,a\n", "y", &["only one row"]),
        ("linear", "constant.csv", b"x,y\n1,2\n2,2\n3,2\n", "y", &["constant.csv", "\"y\"", "every row"]),
        (
            "logistic",
            "constant.csv",
            b"x,y\n1,a\n2,a\n3,a\n",
            "y",
            &["constant.csv", "\"y\"", "\"a\"", "every row"],
        ),
        ("linear", "words.csv", b"x,y\n1,a\n2,b\n3,c\n", "y", &["words.csv", "\"y\"", "number"]),
        ("logistic", "half.csv", b"x,y\n1,0\n2,0.5\n3,1\n", "y", &["half.csv", "row 2", "\"y\"", "0.5"]),
    ];
    for (family, name, content, target, parts) in cases {
        train(family, &folder.file(name, content), target, parts);
        fs::remove_file(folder.path(name)).unwrap();
    }
    assert_eq!(folder.names().len(), before, "{:?}", folder.names());
}

#[test]
fn columns_that_play_no_part_may_hold_anything() {
    let folder = Folder::new("unread");
    let (model, answers) = (folder.path("m.safetensors"), folder.path("answers.csv"));
    // Numbers with a stray text are refused where they are read.
    let stray = |i: usize| if i == 40 { "odd".to_owned() } else { i.to_string() };
    let rows: String =
        (0..60).map(|i| format!("{},{i},{},{}\n", 3 * i + i % 2, stray(i), stray(i))).collect();
    let data = folder.file("data.csv", format!("y,x,note,note\n{rows}"));
    let base = ["train", "--model", "linear", "--data", &data, "--target", "y", "--out", &model];
    let train = |ignored: &'static [&'static str]| [&base[..], ignored].concat();
    fails(&train(&[]), &["\"note\"", "used twice"]);
    fails(&train(&["--ignore", "note,y"]), &["\"y\"", "both ignored and used"]);
    fails(&train(&["--ignore", "note,nowhere"]), &["data.csv", "\"nowhere\""]);
    works(&train(&["--ignore", "note"]));
    works(&["predict", "--model", &model, "--data", &data, "--out", &answers]);
    assert!(works(&["evaluate", "--model", &model, "--data", &data]).contains("60 rows"));
}

#[test]
fn bad_columns_and_parameters_are_named() {
    let folder = Folder::new("columns");
    let data = folder.file("people.csv", people(ORDER));
    let model = folder.path("m.safetensors");
    works(&[
        "train", "--model", "linear", "--data", &data, "--target", "price", "--ignore", "class", "--out",
        &model,
    ]);
    let missing = folder.file("missing.csv", people(&["age", "member"]));
    fails(&["predict", "--model", &model, "--data", &missing], &["missing.csv", "\"job\"", "missing"]);
    let typed = folder.file("typed.csv", "age,job,member\n20,clerk,true\nold,nurse,false\n");
    let out = folder.path("answers.csv");
    fails(
        &["predict", "--model", &model, "--data", &typed, "--out", &out],
        &["typed.csv", "line 3", "\"age\"", "old"],
    );
    assert!(!Path::new(&out).exists());
    fails(&["predict", "--model", &model, "--data", &data, "--proba"], &["--proba"]);
    fails(&["predict", "--model", &data, "--data", &data], &["people.csv", "not a model file"]);
    fails(&["inspect", "--model", &folder.path("none")], &["none", "no such file"]);

    let train = |more: &[&str], parts: &[&str]| {
        let mut args = vec!["train", "--data", &data, "--target", "price", "--ignore", "class"];
        args.extend(more);
        fails(&args, parts);
    };
    train(&["--model", "lineer"], &["lineer", "linear, ridge, logistic"]);
    train(&["--model", "ridge", "--set", "alpha=-1"], &["alpha", "-1", "0 or more"]);
    train(&["--model", "ridge", "--set", "beta=1"], &["beta", "alpha"]);
    train(&["--model", "ridge", "--set", "alpha"], &["key=value"]);
    train(&["--model", "ridge", "--weight", "job"], &["\"job\"", "weight"]);
    train(&["--model", "ridge", "--weight", "wait"], &["\"wait\""]);
    train(&["--model", "ridge", "--test-fraction", "1.5"], &["1.5"]);
    train(&["--model", "ridge", "--set", "impute=false"], &["people.csv", "row 6", "\"age\"", "impute"]);
    train(&["--model", "ridge", "--out", "/nowhere/m.safetensors"], &["/nowhere/m.safetensors"]);
    for args in [&["train"][..], &["fly"], &["train", "--threads", "0"], &["predict", "--parallel"]] {
        assert_eq!(tilewise(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn weights_groups_and_offsets_play_their_part() {
    let folder = Folder::new("roles");
    // y = 3 x + known; rows of weight 0 are wild.
    let mut csv = "x,known,w,query,y\n".to_owned();
    for i in 0..40 {
        let (x, known) = (f64::from(i % 8), f64::from(i % 5) * 100.0);
        let (w, y) = if i % 10 == 9 { (0, -1e6) } else { (1, 3.0 * x + known) };
        csv += &format!("{x},{known},{w},q{},{y}\n", i / 4);
    }
    let data = folder.file("data.csv", csv);
    let model = folder.path("m.safetensors");
    let told = works(&[
        "train",
        "--model",
        "linear",
        "--data",
        &data,
        "--target",
        "y",
        "--weight",
        "w",
        "--offset",
        "known",
        "--group",
        "query",
        "--test-fraction",
        "0.3",
        "--out",
        &model,
    ]);
    assert!(told.contains("on 28 rows, 1 input") && told.contains("on 12 rows held out"), "{told}");
    let new = folder.file("new.csv", "known,x\n1000,2\n0,5\n");
    let answers = works(&["predict", "--model", &model, "--data", &new, "--offset", "known"]);
    // The model remembers its offset, and does not answer without it.
    assert_eq!(works(&["predict", "--model", &model, "--data", &new]), answers);
    let exact = works(&["evaluate", "--model", &model, "--data", &data, "--weight", "w"]);
    assert_eq!(
        exact,
        works(&["evaluate", "--model", &model, "--data", &data, "--weight", "w", "--offset", "known"])
    );
    let without = folder.file("without.csv", "x\n2\n");
    fails(
        &["predict", "--model", &model, "--data", &without],
        &["without.csv", "\"known\"", "the model needs it"],
    );
    assert!(works(&["inspect", "--model", &model]).contains("offset \"known\""));
    let numbers: Vec<f64> = answers.lines().skip(1).map(|l| l.parse().unwrap()).collect();
    assert!((numbers[0] - 1006.0).abs() < 1e-6 && (numbers[1] - 15.0).abs() < 1e-6, "{answers}");
}

#[test]
fn an_output_never_replaces_an_input() {
    let folder = Folder::new("apart");
    let data = folder.file("people.csv", people(ORDER));
    let model = folder.path("m.safetensors");
    let train = ["train", "--model", "linear", "--data", &data, "--target", "price", "--out"];
    works(&[&train[..], &[&model]].concat());
    let kept = [fs::read(&data).unwrap(), fs::read(&model).unwrap()];
    // The same file by another path.
    let beside = folder.path("./people.csv");
    fails(&[&train[..], &[&beside]].concat(), &["people.csv", "--out is the file of --data"]);
    fails(&[&train[..], &["-"]].concat(), &["not to stdout"]);
    let predict = ["predict", "--model", &model, "--data", &data, "--out"];
    fails(&[&predict[..], &[&data]].concat(), &["--out is the file of --data"]);
    fails(&[&predict[..], &[&model]].concat(), &["--out is the file of --model"]);
    assert_eq!([fs::read(&data).unwrap(), fs::read(&model).unwrap()], kept);
    assert_eq!(folder.names(), ["m.safetensors", "people.csv"]);
    // Nor does it become one of them: all files of a folder are read the next time.
    fs::create_dir(folder.path("all")).unwrap();
    let (all, model) = (folder.path("all"), folder.path("m.safetensors"));
    fs::copy(&data, folder.path("all/a.csv")).unwrap();
    let train = ["train", "--model", "linear", "--data", &all, "--target", "price"];
    for out in ["all/m", "all/../all/m.safetensors"].map(|out| folder.path(out)) {
        fails(&[&train[..], &["--out", &out]].concat(), &[&out, "--out", "a folder of --data"]);
    }
    fails(
        &[&train[..], &["--report", &folder.path("all/r.html")]].concat(),
        &["--report", "a folder of --data"],
    );
    let predict = ["predict", "--model", &model, "--data", &all, "--out"];
    fails(&[&predict[..], &[&folder.path("all/p.csv")]].concat(), &["--out", "a folder of --data"]);
    fails(&[&predict[..], &[&folder.path("all/a.csv")]].concat(), &["--out is the file of --data"]);
    // Names that folders pass over are none of theirs.
    works(&[&train[..], &["--out", &folder.path("all/_m")]].concat());
    works(&[&predict[..], &[&folder.path("all/.p.csv")]].concat());
}

#[test]
fn rows_without_an_answer_and_unmet_categories_are_told() {
    let folder = Folder::new("unmet");
    let row =
        |i: usize| format!("0.{},0.{},c{},{}\n", i % 5, i % 4, i % 3, if i % 5 > i % 4 { "a" } else { "b" });
    let rows: String = (0..40).map(row).collect();
    let data = folder.file("t.csv", format!("x,z,colour,y\n{rows}"));
    let model = folder.path("m.safetensors");
    works(&["train", "--model", "logistic", "--data", &data, "--target", "y", "--out", &model]);
    let new =
        folder.file("new.csv", "x,z,colour,y\n1,0,c1,a\n1e308,1e308,c9,b\n-1e308,-1e308,,a\n2,0,c2,a\n");
    let predicted = tilewise(&["predict", "--model", &model, "--data", &new, "--proba"]);
    let (out, error) = (text(&predicted.stdout), text(&predicted.stderr));
    let lines: Vec<&str> = out.lines().collect();
    assert!(predicted.status.success() && lines[1].len() > 5 && lines[4].len() > 5, "{out}");
    assert_eq!(lines[2..4], [",,", ",,"]);
    assert!(
        error.contains("2 rows have numbers so large") && error.contains("row 2 is the first"),
        "{error}"
    );
    assert!(
        error.contains("\"colour\": 1 row holds a value that the model has not met, such as \"c9\""),
        "{error}"
    );
    fails(&["evaluate", "--model", &model, "--data", &new], &["row 2", "there is no prediction to measure"]);
    // Text that differs nearly everywhere is hardly a category.
    let rows: String = (0..60).map(|i| format!("{i},name{i},{}\n", i % 7)).collect();
    let names = folder.file("names.csv", format!("x,name,y\n{rows}"));
    let output = tilewise(&["train", "--model", "ridge", "--data", &names, "--target", "y"]);
    let warning = "column \"name\" holds 60 different texts in 60 rows, such as \"name0\"; --ignore";
    assert!(text(&output.stderr).contains(warning), "{}", text(&output.stderr));
}

#[test]
fn a_target_of_many_numbers_is_warned_of() {
    let folder = Folder::new("many");
    let table = |count: usize, prefix: &str| {
        let rows: String = (0..2 * count).map(|i| format!("{},{prefix}{}\n", i % 7, i % count)).collect();
        folder.file("t.csv", format!("x,y\n{rows}"))
    };
    for (count, prefix, warned) in [(100, "", false), (101, "", true), (101, "c", false)] {
        let data = table(count, prefix);
        let args =
            ["train", "--model", "logistic", "--data", &data, "--target", "y", "--set", "max_rounds=1"];
        let output = tilewise(&args);
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert!(out.contains(&format!("1 input, {count} classes")), "{out}");
        let warning = format!("\"y\" holds {count} different numbers");
        assert_eq!(error.contains(&warning) && error.contains("--model linear fits them"), warned, "{error}");
    }
}

#[test]
fn unusual_rows_are_found_without_a_target() {
    let folder = Folder::new("unusual");
    // Two groups of points and a few between; the flag tells these.
    let rows: String = (0..200)
        .map(|i| match i % 50 {
            7 => format!("{},-{},b,true\n", 5 + i / 50, 4 + i / 50),
            _ => format!("{},{},{},false\n", i % 7 + 20 * (i % 2), i % 5 + 20 * (i % 2), ["a", "b"][i % 2]),
        })
        .collect();
    let data = folder.file("t.csv", format!("u,v,w,odd\n{rows}"));
    let model = folder.path("m.safetensors");
    let train = |more: &[&str]| {
        works(&[&["train", "--model", "isolation-forest", "--data", &data, "--out", &model], more].concat())
    };
    let told = train(&["--ignore", "odd", "--set", "contamination=0.02"]);
    assert!(told.contains("scores from 0.") && told.contains("4 rows called anomalies"), "{told}");
    let answers = works(&["predict", "--model", &model, "--data", &data]);
    let called = answers.lines().enumerate().filter(|(_, line)| line.ends_with(",true")).map(|(i, _)| i);
    assert!(answers.starts_with("score,anomaly\n") && called.eq([8, 58, 108, 158]), "{answers}");
    fails(&["evaluate", "--model", &model, "--data", &data], &["without a target", "--target"]);
    fails(&["predict", "--model", &model, "--data", &data, "--proba"], &["scores"]);
    let measured = works(&["evaluate", "--model", &model, "--data", &data, "--target", "odd"]);
    assert!(measured.contains("ROC AUC") && measured.contains("1.000000"), "{measured}");
    assert!(works(&["inspect", "--model", &model]).contains("how unusual a row is"));
    // With a target it is measured, and learns nothing from it.
    let without = fs::read(&model).unwrap();
    let told = train(&["--target", "odd", "--set", "contamination=0.02", "--test-fraction", "0.5"]);
    assert!(told.contains("ROC AUC") && told.contains("on 100 rows held out"), "{told}");
    assert_ne!(fs::read(&model).unwrap(), without);
    works(&["evaluate", "--model", &model, "--data", &data]);
    fails(&["train", "--model", "isolation-forest", "--data", &data, "--target", "w"], &["\"w\"", "1 and 0"]);
    fails(&["train", "--model", "logistic", "--data", &data], &["--target"]);
}

#[test]
fn quantiles_are_columns_and_forests_go_on() {
    let folder = Folder::new("forests");
    let data = folder.file("people.csv", people(ORDER));
    let file = |name: &str| folder.path(name);
    let train = |set: &str, seed: &str, out: &str, more: &[&str]| {
        let (base, out) =
            (["--model", "forest", "--data", &data, "--target", "price", "--set", set], file(out));
        let rest = ["--set", "quantiles=0.1,0.9", "--seed", seed, "--out", &out];
        [&["train"], &base[..], &rest, more].concat().into_iter().map(String::from).collect::<Vec<String>>()
    };
    let run = |args: Vec<String>| works(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let told = run(train("trees=30", "3", "whole", &[]));
    assert!(told.contains("pinball loss") && told.contains("calibration error"), "{told}");
    run(train("trees=10", "3", "part", &[]));
    run(train("trees=30", "3", "more", &["--continue", &file("part")]));
    assert_eq!(fs::read(file("more")).unwrap(), fs::read(file("whole")).unwrap());
    for (set, seed, part) in
        [("trees=30", "4", "seed"), ("trees=9", "3", "trees"), ("max_depth=2", "3", "max_depth")]
    {
        let args = train(set, seed, "not", &["--continue", &file("part")]);
        fails(&args.iter().map(String::as_str).collect::<Vec<_>>(), &[part]);
    }
    let answers = works(&["predict", "--model", &file("whole"), "--data", &data]);
    let ordered = |line: &str| {
        let (low, high) = line.split_once(',').unwrap();
        low.parse::<f64>().unwrap() <= high.parse().unwrap()
    };
    assert!(
        answers.starts_with("quantile_0.1,quantile_0.9\n") && answers.lines().skip(1).all(ordered),
        "{answers}"
    );
    assert!(
        works(&["inspect", "--model", &file("whole")])
            .contains("predicts quantiles 0.1, 0.9 of the number price")
    );
}

#[test]
fn columns_have_their_importance() {
    let folder = Folder::new("importance");
    let data = folder.file("people.csv", people(ORDER));
    let (model, csv) = (folder.path("m.safetensors"), folder.path("i.csv"));
    works(&[
        "train", "--model", "ridge", "--data", &data, "--target", "price", "--ignore", "class", "--out",
        &model,
    ]);
    let importance =
        |more: &[&str]| works(&[&["importance", "--model", &model, "--data", &data], more].concat());
    let told = importance(&["--out", &csv, "--threads", "1"]);
    assert!(told.starts_with("R2 is 0."), "{told}");
    let first = told.lines().nth(2).unwrap();
    assert!(first.trim_start().starts_with("age"), "{told}");
    let written = fs::read_to_string(&csv).unwrap();
    assert!(written.starts_with("column,mean,deviation\nage,") && written.lines().count() == 4, "{written}");
    importance(&["--out", &csv, "--threads", "3"]);
    assert_eq!(fs::read_to_string(&csv).unwrap(), written);
    assert_ne!(importance(&["--seed", "1"]), told);
    assert!(importance(&["--metric", "mae", "--repeats", "1"]).starts_with("MAE is "));
    fails(
        &["importance", "--model", &model, "--data", &data, "--metric", "beauty"],
        &["beauty", "RMSE, MAE, R2"],
    );
    fails(&["importance", "--model", &model, "--data", &data, "--target", "job"], &["\"job\"", "text"]);
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let folder = Folder::new("pipe");
    let data = folder.file("people.csv", people(ORDER));
    let model = folder.path("m.safetensors");
    works(&[
        "train", "--model", "linear", "--data", &data, "--target", "price", "--ignore", "class", "--out",
        &model,
    ]);
    // More than a pipe holds.
    let rows = people(&["age", "job", "member"]);
    let (header, body) = rows.split_once('\n').unwrap();
    let many = folder.file("many.csv", format!("{header}\n{}", body.repeat(500)));
    let mut child = Command::new(env!("CARGO_BIN_EXE_tilewise"))
        .args(["predict", "--model", &model, "--data", &many])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"prediction");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn every_command_has_help_with_examples() {
    for command in ["train", "evaluate", "predict", "importance", "inspect"] {
        let help = works(&[command, "--help"]);
        assert!(
            help.contains("Examples:") && help.contains(&format!("tilewise {command} --model")),
            "{help}"
        );
    }
    assert!(works(&["train", "--help"]).contains("alpha: weight of the penalty"));
    assert!(works(&["--help"]).contains("tilewise train"));
}
