//! A folder of files, or several, as one table: every command gives what it gives for one file with the same rows.

use crate::binary::{Folder, tilewise, works};
use std::fs;
use tilewise_kernels::random::Philox;

const NAMES: &str = "a,b,colour,class";

/// So many rows of numbers, a category and a class that they decide.
fn rows(count: u64) -> Vec<String> {
    let random = Philox::new(7, Philox::purpose("several files"));
    let row = |row: u64| {
        let [a, b] = [0, 1].map(|i| random.below(4 * row + i, 1000) as f64 / 100.0);
        let colour = ["red", "green", "blue"][random.below(4 * row + 2, 3) as usize];
        let class = if a + b > 9.0 { "high" } else { "low" };
        format!("{a},{b},{colour},{class}\n")
    };
    (0..count).map(row).collect()
}

/// One file, a folder with its rows in three, and the names of these.
struct Tables {
    folder: Folder,
    whole: String,
    parts: String,
    each: [String; 3],
}

impl Tables {
    fn new(test: &str) -> Self {
        let (folder, rows) = (Folder::new(test), rows(240));
        let (whole, parts) = (folder.path("whole.csv"), folder.path("parts"));
        fs::create_dir_all(&parts).unwrap();
        fs::write(&whole, format!("{NAMES}\n{}", rows.concat())).unwrap();
        let each = ["0.csv", "1.csv", "2.csv"].map(|name| folder.path(&format!("parts/{name}")));
        for (path, rows) in each.iter().zip([&rows[..100], &rows[100..101], &rows[101..]]) {
            fs::write(path, format!("{NAMES}\n{}", rows.concat())).unwrap();
        }
        fs::write(folder.path("parts/_SUCCESS"), "").unwrap();
        Self { folder, whole, parts, each }
    }

    /// The ways to say what the table is, the file first.
    fn ways(&self) -> [Vec<&str>; 3] {
        let each = self.each.iter().flat_map(|path| ["--data", path]).collect();
        [vec!["--data", &self.whole], vec!["--data", &self.parts], each]
    }
}

#[test]
fn files_are_one_table_to_every_command() {
    let tables = Tables::new("several");
    let (out, csv) = (tables.folder.path("m.safetensors"), tables.folder.path("folds.csv"));
    let read = |path: &str| fs::read(path).unwrap();
    let model = tables.folder.path("model.safetensors");
    works(&["train", "--model", "tree", "--data", &tables.whole, "--target", "class", "--out", &model]);
    let told = tables.ways().map(|data| {
        let train = ["--target", "class", "--quiet"];
        let run = |command: &[&str]| works(&[command, &data[..]].concat());
        run(&[&["train", "--model", "forest", "--set", "trees=3", "--out", &out], &train[..]].concat());
        let trained = read(&out);
        run(&[&["cv", "--model", "logistic", "--folds", "3", "--csv", &csv], &train[..]].concat());
        let folds = read(&csv);
        let search = ["--search", "max_depth=2,4", "--folds", "3", "--out", &out];
        run(&[&["tune", "--model", "tree"], &search[..], &train[..]].concat());
        let tuned = read(&out);
        let evaluated = run(&["evaluate", "--model", &model]);
        let predicted = run(&["predict", "--model", &model, "--proba"]);
        // The first line has the name of the table.
        let measures = evaluated.split_once('\n').unwrap().1.to_owned();
        assert_eq!(predicted.lines().count(), 241);
        (trained, folds, tuned, measures, predicted)
    });
    assert!(told[1] == told[0] && told[2] == told[0]);
}

#[test]
fn what_differs_is_told_and_parts_are_not_lost() {
    let tables = Tables::new("several-refused");
    let told = |arguments: &[&str]| {
        let output = tilewise(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let train = ["train", "--model", "tree", "--target", "class", "--data", &tables.parts];
    // A part is no place for what a command writes.
    let kept = fs::read(&tables.each[1]).unwrap();
    assert!(
        told(&[&train[..], &["--out", &tables.each[1]]].concat()).contains("--out is the file of --data")
    );
    let model = tables.folder.path("m.safetensors");
    works(&[&train[..], &["--out", &model]].concat());
    let predict = ["predict", "--model", &model, "--data", &tables.parts, "--out"];
    assert!(told(&[&predict[..], &[&tables.each[1]]].concat()).contains("--out is the file of --data"));
    assert_eq!(fs::read(&tables.each[1]).unwrap(), kept);
    for (text, parts) in [
        ("a,b,colour\n1,2,red\n", ["column \"class\"", "is missing"]),
        ("a,b,colour,class\n1,2,3,low\n", ["column \"colour\"", "numbers where"]),
        ("a,b,colour,class\n1,2,red,low\n1,x\n", ["1.csv, line 3", "expected 4 cells"]),
    ] {
        fs::write(&tables.each[1], text).unwrap();
        let told = told(&train);
        assert!(told.contains("1.csv") && parts.iter().all(|part| told.contains(part)), "{told}");
    }
}
