//! `tilewise export`: a model in the format of another library.

use crate::arguments::keep_apart;
use crate::failure::{Failure, note};
use crate::output::is_standard;
use clap::Args;
use std::io::{self, Write};
use std::path::PathBuf;
use tilewise_base::{Error, replace};
use tilewise_models::{Format, export};

const EXAMPLES: &str = "\
Examples:
  tilewise export --model m.safetensors --to lightgbm --out m.txt
  tilewise export --model m.safetensors --to xgboost --out m.json
  tilewise export --model forest.safetensors --to onnx --out forest.onnx
  tilewise export --model lightgbm.txt --to onnx --out lightgbm.onnx
  tilewise export --model network.safetensors --to onnx --out network.onnx

and then, in Python:
  lightgbm.Booster(model_file=\"m.txt\").predict(x)
  xgboost.Booster(model_file=\"m.json\").predict(xgboost.DMatrix(x, feature_names=..., feature_types=...))
  onnxruntime.InferenceSession(\"forest.onnx\").run(None, {\"cells\": x.astype(\"float32\")})

Columns are in the order that tilewise inspect shows. Numbers are as they are, booleans 0 and 1, missing values NaN, and a
category is its place in the model's list for its column, from 0; the file keeps that list. LightGBM gives scores of the same
bits; XGBoost and ONNX compute in f32. What a format does not hold is told as notes, what it cannot hold at all as an error.";

/// Write a model of trees in the format of LightGBM, XGBoost or ONNX, or a network in that of ONNX
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Export {
    /// The model file: a tree, forest, extra-trees, gbdt or network of ours, or a model of LightGBM, XGBoost or CatBoost
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// The format: lightgbm (text), xgboost (JSON) or onnx; of networks onnx
    #[arg(long, value_name = "FORMAT")]
    to: Format,
    /// Where the model goes; - is stdout
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Export {
    pub(crate) fn run(self) -> Result<(), Failure> {
        keep_apart(&self.out, None, &self.model)?;
        let told = |error| match error {
            Error::Fit(what) => Failure::Told(format!("{}: {what}", self.model.display())),
            other => other.into(),
        };
        let exported = export(&self.model, self.to).map_err(told)?;
        if is_standard(&self.out) {
            io::stdout().lock().write_all(&exported.bytes)?;
            io::stdout().lock().flush()?;
        } else {
            replace::write(&self.out, &exported.bytes)?;
        }
        for text in &exported.notes {
            note("note", text);
        }
        if !is_standard(&self.out) {
            note("written", self.out.display());
        }
        Ok(())
    }
}
