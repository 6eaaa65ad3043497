//! The data sets in the binary.

use tilewise_base::{Dataset, Result};
use tilewise_data::{ReadOptions, read_bytes};

/// A table and the column to predict.
pub(crate) struct Problem {
    pub(crate) name: &'static str,
    pub(crate) target: &'static str,
    /// Whether the target is a class, even where it looks like a number.
    pub(crate) classes: bool,
    pub(crate) table: Dataset,
}

/// Name, target, whether it is a class, and the file.
const FILES: [(&str, &str, bool, &str); 4] = [
    ("iris", "species", true, include_str!("../../data/iris.csv")),
    ("breast-cancer", "diagnosis", true, include_str!("../../data/breast_cancer.csv")),
    ("digits", "digit", true, include_str!("../../data/digits.csv")),
    ("diabetes", "progression", false, include_str!("../../data/diabetes.csv")),
];

/// All of them, read by the same reader as anybody's files.
pub(crate) fn all() -> Result<Vec<Problem>> {
    FILES
        .into_iter()
        .map(|(name, target, classes, text)| {
            let table = read_bytes(text.as_bytes(), &format!("{name}.csv"), &ReadOptions::default())?;
            Ok(Problem { name, target, classes, table })
        })
        .collect()
}
