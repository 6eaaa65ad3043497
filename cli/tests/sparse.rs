//! Training, measuring and predicting on a libsvm file that is too wide for a dense table.

#[path = "support/run.rs"]
mod run;

use run::{Folder, fails, tilewise, works};
use std::fmt::Write as _;
use std::fs;

/// 3,000 rows of 60,000 columns, a gigabyte and a half if it were dense: f1 and f2 tell the class, one of so many, the rest is chance.
fn words(classes: u8) -> String {
    let mut text = String::new();
    let mut state = 1u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..3000 {
        let (first, second) = (next(3), next(3));
        let class = u8::from(first + next(2) > second) + u8::from(classes > 2 && first > second + 1);
        let _ = write!(text, "{class} 1:{first} 2:{second}");
        let mut at = 2;
        for _ in 0..10 {
            at += 1 + next(5900);
            let _ = write!(text, " {at}:{}", 1 + next(4));
        }
        text.push('\n');
    }
    text
}

#[test]
fn a_wide_file_is_never_expanded() {
    let folder = Folder::new("sparse");
    let (two, three) = (folder.file("words.svm", words(2)), folder.file("three.svm", words(3)));
    let (model, again) = (folder.path("m.safetensors"), folder.path("again.safetensors"));
    let answers = folder.path("answers.csv");
    for (family, data, classes, set, parts) in [
        ("logistic", &two, 2, "C=0.3", ["converged", "log loss", "accuracy", "on 600 rows held out"]),
        ("logistic", &three, 3, "C=0.3", ["converged", "log loss", "accuracy", "on 600 rows held out"]),
        ("huber", &two, 2, "scale=0.2", ["gradient", "R2", "rows", "on 600 rows held out"]),
        ("lasso", &two, 2, "alpha=0.01", ["duality gap", "R2", "rows", "on 600 rows held out"]),
    ] {
        let train = |out: &str, threads: &str| {
            let args = ["train", "--model", family, "--set", set, "--data", data, "--target", "target"];
            works(&[&args[..], &["--test-fraction", "0.2", "--threads", threads, "--out", out]].concat())
        };
        let told = train(&model, "1");
        for part in parts.iter().chain(&["3000 rows", "sparse", "numbers stored"]) {
            assert!(told.contains(part), "{part:?} is not in\n{told}");
        }
        train(&again, "3");
        assert!(fs::read(&model).unwrap() == fs::read(&again).unwrap(), "threads must not change the model");
        let told = works(&["evaluate", "--model", &model, "--data", data]);
        assert!(told.contains("3000 rows"), "{told}");
        works(&["predict", "--model", &model, "--data", data, "--out", &answers]);
        let text = fs::read_to_string(&answers).unwrap();
        assert_eq!((text.lines().count(), text.lines().next()), (3001, Some("prediction")));
        if family == "logistic" {
            // As good as `evaluate` says they are.
            let labels = words(classes);
            let labels = labels.lines().map(|line| &line[..1]);
            let right = text.lines().skip(1).zip(labels).filter(|(answer, label)| answer == label).count();
            assert!(right > 2000, "{right}");
            let share = format!("{:.6}", right as f64 / 3000.0);
            assert!(told.contains(&share), "{share} is not in\n{told}");
        }
    }
}

#[test]
fn threads_without_locks_say_that_they_are_not_reproducible() {
    let folder = Folder::new("sparse-hogwild");
    let data = folder.file("words.svm", words(2));
    let (model, again) = (folder.path("m.safetensors"), folder.path("again.safetensors"));
    let sets = ["solver=sgd", "hogwild=true", "C=0.3", "max_rounds=20"].map(|set| ["--set", set]).concat();
    let args = [&["train", "--model", "logistic"][..], &sets].concat();
    let train = |more: &[&str]| {
        let output = tilewise(&[&args[..], &["--data", &data, "--target", "target"], more].concat());
        let [told, warned] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(output.status.success() && told.contains("accuracy"), "{told}\n{warned}");
        warned
    };
    for out in [&model, &again] {
        let warned = train(&["--threads", "1", "--out", out]);
        assert!(warned.contains("limit of 20 rounds") && !warned.contains("not reproducible"), "{warned}");
    }
    assert!(fs::read(&model).unwrap() == fs::read(&again).unwrap(), "on one thread it is");
    let warned = train(&["--threads", "2"]);
    assert!(warned.contains("not reproducible: hogwild on 2 threads"), "{warned}");
    let table = folder.file("dense.csv", "a,y\n1,0\n2,1\n3,1\n");
    fails(
        &[&args[..], &["--data", &table, "--target", "y"]].concat(),
        &["hogwild", "dense rows", "sparse rows take true"],
    );
    let help = works(&["train", "--help"]);
    assert!(
        help.contains("hogwild: threads of sgd") && help.contains("not reproducible on more than one thread")
    );
}

#[test]
fn what_needs_columns_is_refused() {
    let folder = Folder::new("sparse-refused");
    let data = folder.file("words.svm", words(3));
    let with = |more: &[&str], parts: &[&str]| {
        fails(&[&["train", "--model", "logistic", "--data", &data][..], more].concat(), parts);
    };
    with(&["--target", "f1"], &["words.svm", "--target target"]);
    with(&["--target", "target", "--ignore", "f2"], &["words.svm", "--ignore", "sparse"]);
    with(&["--target", "target", "--set", "solver=gradient-descent"], &["solver", "dense"]);
    with(&["--target", "target", "--set", "l1_ratio=0.5"], &["l1_ratio", "with 3 classes", "take 0"]);
    let of = |family| ["train", "--model", family, "--data", &data, "--target", "target"];
    fails(&of("huber"), &["scale", "joint", "sparse tables take a number above 0"]);
    let lasso = ["train", "--model", "lasso", "--data", &data, "--target", "target"];
    fails(&lasso, &["alpha", "cv", "above 0"]);
    let output = tilewise(&[&lasso[..], &["--set", "alpha=0.1"]].concat());
    assert!(output.status.success());
}
