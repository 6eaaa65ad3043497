//! Tables beyond the memory limit: whatever lies in files, models and answers have the same bytes.

use crate::binary::{Folder, tilewise, with_input, works};
use std::fs;
use tilewise_kernels::random::Philox;

const ROWS: u64 = 4000;

/// Numbers, some of them missing, a category, a boolean, a class and a number that they decide.
fn table() -> String {
    let random = Philox::new(5, Philox::purpose("table beyond memory"));
    let mut text = "a,b,c,colour,flag,class,number\n".to_owned();
    for row in 0..ROWS {
        let [a, b, c] = [0, 1, 2].map(|i| random.below(8 * row + i, 1000) as f64 / 250.0 - 2.0);
        let colour = random.below(8 * row + 3, 3) as usize;
        let flag = random.below(8 * row + 4, 2) == 1;
        let number = a * b + c + colour as f64 + random.below(8 * row + 5, 100) as f64 / 100.0;
        let class = if number > 1.0 { "high" } else { "low" };
        let a = if row % 17 == 3 { String::new() } else { a.to_string() };
        text += &format!("{a},{b},{c},{},{flag},{class},{number}\n", ["red", "green", "blue"][colour]);
    }
    text
}

/// Trains, tells whether any of it lay in files, and gives the model's bytes.
fn trained(folder: &Folder, family: &[&str], limit: Option<&str>) -> (bool, Vec<u8>) {
    let (data, out, temp) = (folder.path("t.csv"), folder.path("m.safetensors"), folder.path("temp"));
    fs::create_dir_all(&temp).unwrap();
    let mut arguments = vec!["train", "--quiet", "--data", &data, "--out", &out, "--test-fraction", "0.2"];
    arguments.extend_from_slice(family);
    if let Some(limit) = limit {
        arguments.extend_from_slice(&["--memory-limit", limit, "--temp-dir", &temp]);
    }
    let output = tilewise(&arguments);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{family:?} {limit:?}: {told}");
    // Files have no names: nothing is left of them.
    assert_eq!(fs::read_dir(&temp).unwrap().count(), 0);
    (told.contains("files that are mapped"), fs::read(&out).unwrap())
}

#[test]
fn models_do_not_depend_on_the_limit() {
    let folder = Folder::new("memory-models");
    fs::write(folder.path("t.csv"), table()).unwrap();
    let (class, number) =
        (["--target", "class", "--ignore", "number"], ["--target", "number", "--ignore", "class"]);
    let families: [(&str, &[&str]); 10] = [
        ("linear", &number),
        ("lasso", &number),
        ("logistic", &class),
        ("tree", &class),
        ("forest", &["--set", "trees=3", "--target", "number", "--ignore", "class"]),
        ("forest", &["--set", "trees=3", "--engine", "processes", "--target", "class", "--ignore", "number"]),
        ("gbdt", &["--set", "stages=5", "--target", "class", "--ignore", "number"]),
        (
            "gbdt",
            &["--set", "stages=5", "--set", "early_stopping=2", "--target", "number", "--ignore", "class"],
        ),
        (
            "network",
            &[
                "--set",
                "epochs=2",
                "--set",
                "validation_fraction=0.1",
                "--target",
                "class",
                "--ignore",
                "number",
            ],
        ),
        ("isolation-forest", &["--set", "trees=3", "--ignore", "class,number"]),
    ];
    for (family, rest) in families {
        let arguments = [&["--model", family][..], rest].concat();
        let (_, expected) = trained(&folder, &arguments, None);
        // Nothing in memory, some, and all of it.
        for (limit, in_files) in [("1", true), ("300K", true), ("1G", false)] {
            let (lay_in_files, model) = trained(&folder, &arguments, Some(limit));
            assert_eq!(lay_in_files, in_files, "{family} {limit}");
            assert!(model == expected, "{family} {limit}");
        }
    }
}

#[test]
fn answers_do_not_depend_on_the_limit() {
    let folder = Folder::new("memory-answers");
    let (data, model) = (folder.path("t.csv"), folder.path("m.safetensors"));
    fs::write(&data, table()).unwrap();
    works(&[
        "train", "--model", "gbdt", "--set", "stages=5", "--data", &data, "--target", "class", "--out",
        &model,
    ]);
    for command in [&["evaluate"][..], &["predict", "--proba"]] {
        let arguments = [command, &["--model", &model, "--data", &data]].concat();
        let limited = tilewise(&[&arguments[..], &["--memory-limit", "1"]].concat());
        assert!(String::from_utf8(limited.stderr).unwrap().contains("files that are mapped"), "{command:?}");
        let limited = String::from_utf8(limited.stdout).unwrap();
        assert!(limited.lines().count() > 3 && limited == works(&arguments), "{command:?}");
    }
}

/// Rows as a network reads them are as many numbers as the table, twice, and lie where it does.
#[test]
fn quantised_networks_do_not_depend_on_the_limit() {
    let folder = Folder::new("memory-quantised");
    let [data, model, small, temp] =
        ["t.csv", "m.safetensors", "small.safetensors", "temp"].map(|name| folder.path(name));
    fs::write(&data, table()).unwrap();
    fs::create_dir_all(&temp).unwrap();
    works(&[
        "train", "--model", "network", "--set", "epochs=1", "--data", &data, "--target", "number",
        "--ignore", "class", "--out", &model,
    ]);
    let limit = ["--memory-limit", "1", "--temp-dir", &temp];
    let of_table = in_files(&["evaluate", "--model", &model, "--data", &data], &limit).unwrap();
    let quantise = ["quantise", "--model", &model, "--data", &data, "--out", &small];
    assert!(in_files(&quantise, &[]).is_none());
    let expected = fs::read(&small).unwrap();
    let size = in_files(&quantise, &limit).unwrap();
    assert!(fs::read(&small).unwrap() == expected && size > 2.0 * of_table, "{size} bytes of {of_table}");
    assert_eq!(fs::read_dir(&temp).unwrap().count(), 0);
}

/// Above 200,000 rows cuts are taken from a sample, of the same rows wherever they lie.
#[test]
fn cuts_of_a_sample_do_not_depend_on_where_rows_lie() {
    let folder = Folder::new("memory-sampled");
    let [data, model, temp] = ["t.csv", "m.safetensors", "temp"].map(|name| folder.path(name));
    fs::create_dir_all(&temp).unwrap();
    let random = Philox::new(6, Philox::purpose("more rows than a sample has"));
    let row = |row: u64| {
        let [x, z] = [0, 1].map(|i| random.below(2 * row + i, 1 << 20) as f64 / 1024.0);
        format!("{x},{z},{}\n", x * z)
    };
    let rows: Vec<String> = (0..210_000).map(row).collect();
    let write = |count: usize| fs::write(&data, format!("x,z,y\n{}", rows[..count].concat())).unwrap();
    let trained = |seed: &str, more: &[&str]| {
        let train = ["train", "--quiet", "--model", "tree", "--set", "max_depth=5", "--seed", seed];
        works(&[&train[..], &["--data", &data, "--target", "y", "--out", &model], more].concat());
        (fs::read(&model).unwrap(), works(&["inspect", "--text", "--model", &model]))
    };
    write(rows.len());
    let expected = trained("1", &[]);
    let limit = ["--memory-limit", "1", "--temp-dir", &temp];
    let processes = ["--engine", "processes", "--threads", "2"];
    for more in [&limit[..], &processes, &[limit, processes].concat()[..]] {
        assert!(trained("1", more).0 == expected.0, "{more:?}");
    }
    // Another sample has other cuts; where all rows are taken, there is none.
    assert_ne!(trained("2", &[]).1, expected.1);
    write(200_000);
    assert_eq!(trained("2", &[]).1, trained("1", &[]).1);
}

/// How many bytes a command says it wrote to files: `written: 1.5 MB to files that are mapped ...`.
fn in_files(command: &[&str], limit: &[&str]) -> Option<f64> {
    let output = tilewise(&[command, limit].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{command:?} {limit:?}: {told}");
    let words: Vec<&str> =
        told.lines().find(|line| line.contains("files that are mapped"))?.split_whitespace().collect();
    Some(words[1].parse::<f64>().unwrap() * if words[2] == "MB" { 1e6 } else { 1e3 })
}

/// Every fit of a fold, and every trial, has the storage of the table.
#[test]
fn folds_and_trials_do_not_depend_on_the_limit() {
    let folder = Folder::new("memory-folds");
    let (data, out, temp) = (folder.path("t.csv"), folder.path("out"), folder.path("temp"));
    fs::write(&data, table()).unwrap();
    fs::create_dir_all(&temp).unwrap();
    let common =
        ["--model", "gbdt", "--set", "stages=3", "--data", &data, "--target", "class", "--ignore", "number"];
    works(&[&["train"], &common[..], &["--out", &out]].concat());
    let of_table =
        in_files(&["evaluate", "--model", &out, "--data", &data], &["--memory-limit", "1"]).unwrap();
    let tune = ["tune", "--folds", "3", "--search", "max_leaves=4,8", "--out", &out];
    for command in [&["cv", "--folds", "3", "--csv", &out][..], &tune] {
        let run = |limit: &[&str]| {
            let size = in_files(&[command, &common[..]].concat(), limit);
            (size, fs::read(&out).unwrap())
        };
        let (nothing, expected) = run(&[]);
        let (size, limited) = run(&["--memory-limit", "1", "--temp-dir", &temp]);
        assert!(nothing.is_none() && limited == expected, "{command:?}");
        // The rows of each fold are copied, and coded for trees: that is as much as the table again, for each trial.
        assert!(size.unwrap() > 2.0 * of_table, "{command:?}");
        assert_eq!(fs::read_dir(&temp).unwrap().count(), 0);
    }
}

/// A column that turns out to be text late is read a second time, which a pipe does not allow.
#[test]
fn pipes_are_read_once() {
    let rows: String =
        (0..300).map(|row| format!("{row},{}\n", if row < 200 { "1" } else { "late" })).collect();
    for limit in [&[][..], &["--memory-limit", "1"]] {
        let arguments = [
            &["train", "--model", "tree", "--format", "csv", "--data", "/dev/stdin", "--target", "b"],
            limit,
        ]
        .concat();
        let (told, error) = with_input(&arguments, &format!("a,b\n{rows}"));
        assert!(told.contains("b  categorical, 2 values"), "{told}{error}");
    }
}

#[test]
fn limits_that_are_none_are_refused() {
    let folder = Folder::new("memory-refused");
    let (data, nowhere) = (folder.path("t.csv"), folder.path("nowhere"));
    fs::write(&data, table()).unwrap();
    let told = |more: &[&str]| {
        let output = tilewise(
            &[&["train", "--model", "linear", "--target", "number", "--data", &data], more].concat(),
        );
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    for size in ["many", "-1", "0", "2X", "", "1e300"] {
        let told = told(&["--memory-limit", size]);
        assert!(told.contains("2G") || told.contains("unexpected"), "{size}: {told}");
    }
    assert!(told(&["--memory-limit", "1M", "--temp-dir", &nowhere]).contains(&nowhere));
    assert!(told(&["--temp-dir", &data]).contains("--memory-limit"));
}
