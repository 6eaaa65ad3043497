//! Models that other libraries trained: LightGBM's text, XGBoost's JSON and UBJSON, CatBoost's JSON.
//!
//! A file is recognised by what it holds, not by its name. Its trees become those of an [`Ensemble`](crate::Ensemble), with tests
//! that send every row where the library sends it:
//!
//! | the library | here |
//! |---|---|
//! | XGBoost: x rounded to f32 is below t | x is up to the largest f64 that is rounded to an f32 below t |
//! | CatBoost: x rounded to f32 is above t | x is not up to the largest f64 that is rounded to t or less |
//! | LightGBM: missing is counted as 0 | missing goes where 0 goes |
//! | LightGBM: 0 is missing | cells of 0 are read as missing, where a split needs it |
//! | LightGBM: numbers up to 1e-35 are 0 | thresholds that close to 0 are moved to its other side |
//! | categories in a set go left (LightGBM) or right (XGBoost) | categories that no set tells apart share a bin |
//!
//! Scores are sums in the order of the file, in f64. LightGBM sums the same way: equal bits. XGBoost sums in f32, so its scores are off
//! from these by up to (trees + 2) x 2^-24 x (|base| + sum of the |leaves|).

mod build;
mod catboost;
mod cells;
mod lightgbm;
mod model;
mod stored;
mod ubjson;
mod xgboost;

use serde::Deserialize;
use serde::de::IgnoredAny;
use std::path::Path;
use tilewise_base::{Error, Result};

pub use model::{ForeignModel, KIND, Library};

/// Whether the beginning of a file, 16 bytes or more of it, is that of another library's model, be it one that is read or one that is
/// refused by name.
pub fn is_foreign(bytes: &[u8]) -> bool {
    matches!(Form::of(bytes), Some(form) if form != Form::Ours)
}

/// What a file looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Ours,
    LightGbm,
    Json,
    Ubjson,
    /// Why it is not read, and what would be.
    Refused(&'static str),
}

impl Form {
    fn of(bytes: &[u8]) -> Option<Self> {
        let starts = |with: &[u8]| bytes.starts_with(with);
        // A header of up to 4 GiB, which is JSON: no text has four zeros there, and no UBJSON a brace behind them.
        if bytes.get(4..9) == Some(b"\0\0\0\0{") {
            return Some(Self::Ours);
        }
        if starts(b"tree\n") || starts(b"tree\r\n") {
            return Some(Self::LightGbm);
        }
        if starts(b"CBM1") {
            let what = "is CatBoost's binary format; save_model(..., format=\"json\") writes what is read";
            return Some(Self::Refused(what));
        }
        if starts(b"binf") || starts(b"CONFIG-offset:") {
            let what =
                "is XGBoost's binary format of before 3.1; save_model(\"name.json\") writes what is read";
            return Some(Self::Refused(what));
        }
        let rest = bytes.trim_ascii_start().strip_prefix(b"{")?;
        match rest.trim_ascii_start().first()? {
            b'"' => Some(Self::Json),
            b'i' | b'U' | b'I' | b'l' | b'L' | b'#' if starts(b"{") => Some(Self::Ubjson),
            _ => None,
        }
    }
}

impl ForeignModel {
    /// Reads another library's model from its file.
    ///
    /// # Errors
    /// As [`ForeignModel::parse`], or when the file cannot be read.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        Self::parse(&bytes, &path.display().to_string())
    }

    /// Reads another library's model; `file` is what errors call it. Memory is in proportion to the file.
    ///
    /// # Errors
    /// When it is none of those that are read, is damaged, or holds what cannot be expressed here; names the field, and the line of
    /// text.
    pub fn parse(bytes: &[u8], file: &str) -> Result<Self> {
        let told = |what: String| Error::ModelFile { file: file.to_owned(), what };
        match Form::of(bytes) {
            Some(Form::LightGbm) => lightgbm::read(bytes).and_then(build::Draft::build).map_err(told),
            Some(Form::Json) => json(bytes).and_then(build::Draft::build).map_err(told),
            Some(Form::Ubjson) => {
                let file = ubjson::from_slice::<xgboost::File>(bytes).map_err(|e| told(e.to_string()))?;
                xgboost::draft(file).and_then(build::Draft::build).map_err(told)
            }
            Some(Form::Refused(what)) => Err(told(what.to_owned())),
            _ => Err(told("is not a model of LightGBM, XGBoost or CatBoost that is read".to_owned())),
        }
    }
}

/// Whose JSON it is, by its outermost keys.
#[derive(Deserialize)]
struct Keys {
    learner: Option<IgnoredAny>,
    features_info: Option<IgnoredAny>,
    tree_info: Option<IgnoredAny>,
}

fn json(bytes: &[u8]) -> Result<build::Draft, String> {
    let read = |e: serde_json::Error| e.to_string();
    let text = xgboost::without_nan(bytes);
    let bytes = &*text;
    let keys: Keys = serde_json::from_slice(bytes).map_err(read)?;
    if keys.learner.is_some() {
        xgboost::draft(serde_json::from_slice(bytes).map_err(read)?)
    } else if keys.features_info.is_some() {
        catboost::draft(serde_json::from_slice(bytes).map_err(read)?)
    } else if keys.tree_info.is_some() {
        Err("is what LightGBM dumps as JSON; save_model writes what is read".to_owned())
    } else {
        Err("is JSON, but not that of a model of XGBoost or CatBoost".to_owned())
    }
}
