//! `tilewise cv` and `tilewise tune` as a person runs them.

#[path = "support/run.rs"]
mod run;

use run::{Folder, fails, people, text, tilewise, works};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const ORDER: &[&str] = &["age", "job", "member", "price", "class"];

/// Cells of a CSV file without quotes, by lines, and the places of its columns.
fn cells(text: &str) -> (Vec<Vec<String>>, impl Fn(&str) -> usize) {
    let split = |line: &str| line.split(',').map(String::from).collect::<Vec<_>>();
    let header = split(text.lines().next().unwrap());
    let place =
        move |name: &str| header.iter().position(|n| n == name).unwrap_or_else(|| panic!("no {name}"));
    (text.lines().skip(1).map(split).collect(), place)
}

fn number(cell: &str) -> f64 {
    cell.parse().unwrap_or_else(|_| panic!("{cell:?} is no number"))
}

/// What was printed but for how long it took.
fn without_time(text: &str) -> String {
    let is_timed = |line: &&str| !line.ends_with(" s");
    text.lines().filter(is_timed).collect::<Vec<_>>().join("\n")
}

#[test]
fn folds_are_told_one_by_one_and_on_average() {
    let folder = Folder::new("cv");
    let data = folder.file("people.csv", people(ORDER));
    let csv = folder.path("folds.csv");
    let of = |threads: &str| {
        let args = ["cv", "--model", "logistic", "--data", &data, "--target", "class", "--ignore", "price"];
        works(&[&args[..], &["--folds", "4", "--csv", &csv, "--threads", threads, "--quiet"]].concat())
    };
    let told = of("1");
    for part in [
        "60 rows, 4 columns",
        "logistic for each of 4 folds, stratified by class",
        "log loss",
        "standard error",
        "4 folds in",
    ] {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
    let written = fs::read_to_string(&csv).unwrap();
    let (rows, place) = cells(&written);
    assert_eq!(rows.len(), 4);
    assert_eq!(rows.iter().map(|row| number(&row[place("tested")])).sum::<f64>(), 60.0);
    for (name, cell) in [("log loss", 0), ("accuracy", 1)] {
        let mean = rows.iter().map(|row| number(&row[place(name)])).sum::<f64>() / 4.0;
        let line = told.lines().find(|line| line.trim_start().starts_with("mean ")).unwrap();
        let shown = number(line.split_whitespace().nth(1 + cell).unwrap());
        assert!((shown - mean).abs() < 1e-5 * mean.max(1.0), "{name}: {shown}, not {mean}");
    }
    for threads in ["2", "3"] {
        assert_eq!(without_time(&of(threads)), without_time(&told));
        assert_eq!(fs::read_to_string(&csv).unwrap(), written);
    }
}

#[test]
fn groups_and_times_decide_who_is_tested() {
    let folder = Folder::new("folds");
    // 12 days of 5 rows; text of days sorts as it reads.
    let rows: Vec<String> =
        (0..60).map(|i| format!("{},{},2024-01-{:02}\n", i, (i * 7) % 11, 12 - i / 5)).collect();
    let data = folder.file("days.csv", format!("x,y,day\n{}", rows.concat()));
    let csv = folder.path("folds.csv");
    let cv = |more: &[&str]| {
        let args = [
            "cv", "--model", "ridge", "--data", &data, "--target", "y", "--folds", "3", "--csv", &csv,
            "--quiet",
        ];
        let told = works(&[&args[..], more].concat());
        let written = fs::read_to_string(&csv).unwrap();
        let (rows, place) = cells(&written);
        let counts =
            rows.iter().map(|r| [&r[place("trained")], &r[place("tested")]].map(|n| number(n) as usize));
        (told, counts.collect::<Vec<_>>())
    };
    let (told, counts) = cv(&["--time", "day"]);
    assert!(told.contains("3 folds, in the order of day") && told.contains("time"), "{told}");
    assert_eq!(counts, [[15, 15], [30, 15], [45, 15]]);
    let (told, counts) = cv(&["--group", "day"]);
    assert!(told.contains("3 folds, grouped by day"), "{told}");
    assert_eq!(counts, [[40, 20]; 3]);
    let (told, counts) = cv(&["--split", "time", "--ignore", "day"]);
    assert!(told.contains("in the order of rows") && told.contains("ignored: day"), "{told}");
    assert_eq!(counts, [[15, 15], [30, 15], [45, 15]]);
}

#[test]
fn a_search_is_the_same_at_any_number_of_threads_and_trains_the_best() {
    let folder = Folder::new("tune");
    let data = folder.file("people.csv", people(ORDER));
    let (out, csv, page) =
        (folder.path("best.safetensors"), folder.path("trials.csv"), folder.path("tune.html"));
    let of = |threads: &str| {
        let what = ["tune", "--model", "gbdt", "--data", &data, "--target", "class", "--ignore", "price"];
        let how = [
            "--search",
            "learning_rate=0.02..0.3:log",
            "--search",
            "max_leaves=2,4,8",
            "--search",
            "loss=auto,logistic",
        ];
        let halving = [
            "--method",
            "halving",
            "--resource",
            "stages",
            "--set",
            "stages=15",
            "--set",
            "min_samples_leaf=3",
        ];
        let rest = ["--trials", "10", "--folds", "3", "--seed", "5", "--threads", threads, "--quiet"];
        let files = ["--out", &out, "--csv", &csv, "--report", &page];
        let told = works(&[&what[..], &how, &halving, &rest, &files].concat());
        (without_time(&told), [&out, &csv, &page].map(|file| fs::read(file).unwrap()), told)
    };
    let (told, files, whole) = of("1");
    for part in [
        "tuning gbdt: 3 folds, stratified by class, successive halving of 10 trials (one of 3 goes on)",
        "rung 1: 10 trials, stages=5",
        "rung 2: 3 trials, stages=15",
        "less is better",
        "within one standard error of it",
        "its settings: --set learning_rate=",
        "trained on all 60 rows",
        "model written to",
    ] {
        assert!(whole.contains(part), "{part:?} is not in\n{whole}");
    }
    for threads in ["2", "3"] {
        let (other, same, _) = of(threads);
        assert_eq!(other, told);
        assert!(same == files, "threads must not change what is written");
    }
    let written = text(&files[1]);
    let (rows, place) = cells(&written);
    assert_eq!(rows.len(), 10);
    // The three that came to the second rung stand first, by their means, which are those of their folds.
    let rungs: Vec<&str> = rows.iter().map(|row| row[place("rung")].as_str()).collect();
    assert_eq!(rungs, [&["2"; 3][..], &["1"; 7]].concat());
    for rung in [&rows[..3], &rows[3..]] {
        assert!(rung.iter().map(|row| number(&row[place("log loss")])).is_sorted(), "{written}");
    }
    for row in &rows {
        let folds: f64 = (1..=3).map(|i| number(&row[place(&format!("fold_{i}"))])).sum();
        assert!((folds / 3.0 - number(&row[place("log loss")])).abs() < 1e-12);
    }
    // The model is what training with the settings told gives.
    let again = folder.path("again.safetensors");
    let line = whole.lines().find_map(|line| line.strip_prefix("its settings: ")).unwrap();
    let settings: Vec<&str> = line.split(' ').collect();
    let train = [
        "train", "--model", "gbdt", "--data", &data, "--target", "class", "--ignore", "price", "--seed", "5",
        "--quiet",
    ];
    let fixed = ["--set", "stages=15", "--set", "min_samples_leaf=3", "--out", &again];
    works(&[&train[..], &fixed, &settings].concat());
    assert!(fs::read(&again).unwrap() == files[0]);
    let page = text(&files[2]);
    for part in [
        "log loss against learning_rate",
        "log loss against max_leaves",
        "log loss of each trial",
        "stages=5",
        "tilewise train --model gbdt",
    ] {
        assert!(page.contains(part), "{part:?} is not in the report");
    }
    assert_eq!(page.matches("<svg").count(), 4);
    assert_eq!(
        folder.names(),
        ["again.safetensors", "best.safetensors", "people.csv", "trials.csv", "tune.html"]
    );
}

#[test]
fn lists_alone_are_a_grid_and_other_measures_can_be_made_better() {
    let folder = Folder::new("grid");
    let data = folder.file("people.csv", people(ORDER));
    let csv = folder.path("trials.csv");
    let told = works(&[
        "tune",
        "--model",
        "ridge",
        "--data",
        &data,
        "--target",
        "price",
        "--ignore",
        "class",
        "--search",
        "alpha=0.001,1,1000",
        "--metric",
        "r2",
        "--csv",
        &csv,
        "--quiet",
    ]);
    assert!(told.contains("5 folds, at random, grid") && told.contains("more is better"), "{told}");
    assert!(told.contains("best: trial 2, R2 0.9") && !told.contains("rung"), "{told}");
    assert!(!told.contains("model written"), "{told}");
    let written = fs::read_to_string(&csv).unwrap();
    let (rows, place) = cells(&written);
    assert_eq!(rows.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), ["2", "1", "3"]);
    assert!(rows.iter().map(|row| number(&row[place("R2")])).is_sorted_by(|a, b| a >= b));
}

#[test]
fn misuse_is_told_in_one_line() {
    let folder = Folder::new("misuse");
    let data = folder.file("people.csv", people(ORDER));
    let with = |command: &'static str, more: &[&str], parts: &[&str]| {
        let target: &[&str] = if more.contains(&"--target") { &[] } else { &["--target", "class"] };
        let ridge: &[&str] = if more.contains(&"--model") { &[] } else { &["--model", "logistic"] };
        fails(&[&[command, "--data", &data, "--quiet"][..], target, ridge, more].concat(), parts);
    };
    with("cv", &["--model", "forrest"], &["forrest", "one of linear"]);
    with("cv", &["--set", "colour=red"], &["colour", "it has"]);
    with(
        "cv",
        &["--target", "price", "--model", "ridge", "--split", "stratified"],
        &["price", "numbers", "random"],
    );
    with("cv", &["--split", "grouped"], &["--group"]);
    with("cv", &["--time", "age", "--group", "job"], &["tear groups"]);
    with("cv", &["--time", "age", "--split", "random"], &["--time age is for --split time"]);
    with("cv", &["--time", "age"], &["people.csv", "row 6", "\"age\"", "the time is missing"]);
    with("cv", &["--time", "job"], &["\"clerk\"", "2024-05-31"]);
    with("cv", &["--time", "class"], &["\"class\"", "is the target"]);
    with("cv", &["--group", "job", "--folds", "4"], &["3 groups are too few for 4 folds"]);
    with("cv", &["--csv", &data], &["--csv is the file of --data"]);
    with("cv", &["--csv", "-"], &["stdout"]);
    let search = |more: &[&str], parts: &[&str]| {
        with("tune", &[&["--search", "C=1,2"][..], more].concat(), parts);
    };
    search(&["--search", "C=3"], &["C is given twice"]);
    search(&["--set", "C=3"], &["C", "the search varies it"]);
    search(&["--search", "tolerance=1..0"], &["lower end", "low..high:log"]);
    search(&["--search", "solver=lbfgs,magic"], &["solver", "magic"]);
    search(&["--method", "grid", "--trials", "5"], &["--trials", "random or halving"]);
    search(&["--factor", "5"], &["--factor", "halving, not grid"]);
    search(&["--method", "halving", "--factor", "1"], &["factor", "from 2 to 1000"]);
    search(&["--method", "halving", "--resource", "stages"], &["resource", "gbdt"]);
    // Before the table is read, which is not there.
    let nowhere = folder.path("nowhere.csv");
    let missing =
        ["tune", "--model", "tree", "--data", &nowhere, "--target", "class", "--search", "max_depth=3,deep"];
    fails(&missing, &["max_depth", "deep"]);
    search(&["--metric", "rmse"], &["metric", "log loss, accuracy, ROC AUC"]);
    let same = folder.path("same");
    search(&["--out", &same, "--csv", &same], &["--out and --csv"]);
    with("tune", &["--model", "isolation-forest", "--search", "trees=5,9"], &["\"class\"", "true and false"]);
    assert_eq!(folder.names(), ["people.csv"]);
    let help = text(&tilewise(&["tune", "--help"]).stdout);
    assert!(help.contains("Examples:") && help.contains("--search learning_rate=0.02..0.3:log"), "{help}");
}

/// The search would take hours; once a trial was measured it is asked to stop.
#[cfg(unix)]
#[test]
fn a_search_that_is_stopped_tells_what_it_has() {
    let folder = Folder::new("stopped");
    let data = folder.file("people.csv", people(ORDER));
    let (out, csv) = (folder.path("m.safetensors"), folder.path("trials.csv"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_tilewise"))
        .args([
            "tune", "--model", "forest", "--data", &data, "--target", "class", "--method", "random",
            "--trials", "50000",
        ])
        .args(["--search", "max_depth=1..40", "--search", "min_impurity_decrease=0..0.5"])
        .args(["--out", &out, "--csv", &csv])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let first = told.find(|line| line.contains("best log loss")).expect("no trial was measured");
    assert!(
        first.starts_with("progress: fit ") && first.contains(" of 250000") && first.contains(" left"),
        "{first}"
    );
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let rest: Vec<String> = told.collect();
    assert!(rest.iter().any(|line| line.contains("stopped: by Ctrl-C; no model was trained")), "{rest:?}");
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(130));
    let told = text(&done.stdout);
    assert!(told.contains("best: trial ") && told.contains("its settings: "), "{told}");
    let trials = fs::read_to_string(&csv).unwrap().lines().count() - 1;
    assert!((1..50_000).contains(&trials), "{trials}");
    assert!(!folder.names().contains(&"m.safetensors".to_owned()));
}
