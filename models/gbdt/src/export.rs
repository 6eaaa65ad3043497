//! Our trees in the files of other libraries: LightGBM's text, XGBoost's JSON, ONNX.
//!
//! A [`Sum`] is what all have in common: trees that add to scores, and what becomes of these. Every row goes to the leaf it comes to
//! here, if its cells are coded as follows and are numbers that the library can hold (LightGBM takes numbers from -1e-35 to 1e-35 for 0;
//! the cells of XGBoost and ONNX are f32):
//!
//! | the input | the cell |
//! |---|---|
//! | a number | it |
//! | a boolean | 0 or 1 |
//! | a category | its place in the dictionary of the model's input, counted from 0; what the dictionary lacks is their number |
//! | missing | NaN |
//!
//! | here | LightGBM | XGBoost | ONNX |
//! |---|---|---|---|
//! | x is up to t | the same | x is below the least f32 above t | x is up to the largest f32 that is not above t |
//! | x is there | x is up to infinity | x is not below the least finite f32, sides changed | x is up to infinity |
//! | categories in a set | the set, or where missing goes left the others with sides changed | the set or the others, on the right | `BRANCH_EQ` nodes in a row with the same child |
//! | leaves of several numbers | a tree for each | a tree for each | leaves of several numbers |
//! | what scores start with | trees of one leaf | trees of one leaf | a tree of one leaf |
//! | means over trees | `average_output` | leaves over the number of trees | leaves over the number of trees |
//!
//! LightGBM adds the same f64 in the same order: equal bits of scores. The others add f32: a score is off by up to (trees + 3) x 2^-24 x
//! (|start| + the sum over trees of the largest |leaf|), which [`Sum::rounding_of_f32`] tells.

mod lightgbm;
mod onnx;
mod sum;
mod xgboost;

use crate::{BoostedModel, Link};
use std::fmt;
use std::str::FromStr;
use tilewise_base::onnx::{LISTS, note_categories};
use tilewise_base::{Error, Model, Result, Task, Unseen};

pub use sum::Sum;
pub use tilewise_base::onnx::Exported;

/// The formats that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// The text of `Booster.save_model` of LightGBM 4.
    LightGbm,
    /// The JSON of `Booster.save_model` of XGBoost, which versions 2 and 3 read.
    XgBoost,
    /// ONNX, by the operators `TreeEnsembleRegressor` and `TreeEnsembleClassifier` of `ai.onnx.ml` 2 (and a few for links and labels).
    Onnx,
}

impl Format {
    /// What is accepted where a format is asked for.
    pub const ACCEPTED: &str = "lightgbm, xgboost or onnx";

    /// As it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::LightGbm => "lightgbm",
            Self::XgBoost => "xgboost",
            Self::Onnx => "onnx",
        }
    }

    /// As it writes itself.
    fn title(self) -> &'static str {
        match self {
            Self::LightGbm => "LightGBM",
            Self::XgBoost => "XGBoost",
            Self::Onnx => "ONNX",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let all = [Self::LightGbm, Self::XgBoost, Self::Onnx];
        let found = all.into_iter().find(|format| format.name() == text);
        found.ok_or_else(|| Error::parameter("to", text, format!("{} is", Self::ACCEPTED)))
    }
}

impl BoostedModel {
    /// The model in another format: what it predicts, not how it was trained. O(nodes).
    ///
    /// ```
    /// use tilewise_base::{Column, Context, Dataset, Roles};
    /// use tilewise_gbdt::{BoostedModel, ForeignModel, GradientBoosting, export::Format};
    /// let x: Vec<f64> = (0..100).map(f64::from).collect();
    /// let y = x.iter().map(|x| x.sqrt()).collect();
    /// let table = Dataset::new(vec![("x".into(), Column::F64(x.into())), ("y".into(), Column::F64(y))])?;
    /// let params = GradientBoosting::default();
    /// let model = BoostedModel::fit(&params, 255, false, &table, &Roles::target("y"), &Context::default())?;
    /// let text = model.export(Format::LightGbm)?.bytes;
    /// assert_eq!(ForeignModel::parse(&text, "model.txt")?.trees(), 1 + 100);
    /// # Ok::<(), tilewise_base::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the format cannot hold it; says what.
    pub fn export(&self, format: Format) -> Result<Exported> {
        let ensemble = self.boosted().ensemble();
        let stages = self.boosted().stages();
        let of_stage =
            |stage: usize| (0..ensemble.scores()).map(move |score| (&ensemble.trees(score)[stage], score));
        Sum {
            inputs: self.inputs(),
            task: self.task(),
            targets: self.targets(),
            offset: self.offset(),
            unseen: self.unseen(),
            trees: (0..stages).flat_map(of_stage).collect(),
            base: ensemble.base().to_vec(),
            over: 1.0,
            link: self.link(),
            loss: Some(self.params().loss),
        }
        .export(format)
    }
}

impl Sum<'_> {
    /// The sum in another format. O(nodes x outputs), for each split of categories O(categories) more.
    ///
    /// # Errors
    /// When the format cannot hold it; says what.
    pub fn export(&self, format: Format) -> Result<Exported> {
        self.check()?;
        let mut notes = Vec::new();
        let bytes = match format {
            Format::LightGbm => lightgbm::write(self, &mut notes),
            Format::XgBoost => xgboost::write(self, &mut notes),
            Format::Onnx => onnx::write(self, &mut notes),
        };
        let told = |what: String| Error::Fit(format!("{} cannot hold the model: {what}", format.title()));
        let bytes = bytes.map_err(told)?;
        self.note_losses(format, &mut notes);
        Ok(Exported { bytes, notes })
    }

    /// What no format holds, and how what all hold is to be given and read.
    fn note_losses(&self, format: Format, notes: &mut Vec<String>) {
        if let Some(offset) = self.offset {
            notes.push(format!("scores are without the offset {offset:?}, which is to be added to them"));
        }
        if format != Format::LightGbm {
            notes.push("cells, thresholds, leaves and sums are f32".to_owned());
        }
        let kept = match format {
            Format::LightGbm => {
                "which pandas_categorical holds, so that categories of pandas are coded by it"
            }
            Format::XgBoost => "which cats holds, so that XGBoost 3.1 codes categories of pandas by it",
            Format::Onnx => LISTS,
        };
        let told = note_categories(self.inputs, kept);
        let some = told.is_some();
        notes.extend(told);
        if self.unseen == Unseen::Error && some {
            notes.push(
                "categories that training did not see, which the model refuses, go where missing ones go"
                    .to_owned(),
            );
        }
        if let Task::Classification { classes } = self.task {
            let numbered = classes.iter().enumerate().all(|(number, class)| *class == number.to_string());
            if format != Format::Onnx && !numbered {
                let shown =
                    classes.iter().enumerate().map(|(number, class)| format!("{number} is {class:?}"));
                let shown = shown.collect::<Vec<_>>().join(", ");
                notes.push(format!("classes are numbers: {shown}"));
            }
        }
    }

    /// Columns called as a library can call them; names that become the same are refused.
    fn names(
        &self,
        refuses: impl Fn(char) -> bool,
        kind: &str,
        notes: &mut Vec<String>,
    ) -> Result<Vec<String>, String> {
        let renamed = |name: &str| name.replace(&refuses, "_");
        let names: Vec<String> = self.inputs.iter().map(|field| renamed(&field.name)).collect();
        for (field, name) in self.inputs.iter().zip(&names) {
            if name.is_empty() {
                return Err("a column has no name".to_owned());
            }
            if field.name != *name {
                notes.push(format!("column {:?} is called {name:?}: names hold no {kind}", field.name));
            }
        }
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => {
                Err(format!("names hold no {kind}, and without them two columns are called {:?}", pair[0]))
            }
            None => Ok(names),
        }
    }
}

/// A number as f32.
fn narrow(x: f64, what: &str) -> Result<f32, String> {
    let narrow = x as f32;
    if narrow.is_finite() { Ok(narrow) } else { Err(format!("{what} is {x:e}, beyond the range of f32")) }
}

/// What is said of a link that a format has no name for.
fn no_link(link: Link) -> String {
    format!("there, nothing makes predictions of scores as the model does ({})", link.describe())
}

#[cfg(test)]
mod tests;
