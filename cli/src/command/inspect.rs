//! `tilewise inspect`: what is in a model file.

use crate::arguments::load;
use crate::failure::Failure;
use crate::output;
use clap::Args;
use std::path::PathBuf;
use tilewise_base::{Kind, Task};

const EXAMPLES: &str = "\
Examples:
  tilewise inspect --model m.safetensors
  tilewise inspect --model m.safetensors | less";

/// Show what a model file holds: columns it needs, how the fit went, what was learned
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Inspect {
    /// The model file
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
}

impl Inspect {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let model = load(&self.model)?;
        let mut text = format!("{}: {} model\n", self.model.display(), model.kind());
        text += &match model.task() {
            Task::Regression => format!("predicts the number {}\n", output::printable(model.target())),
            Task::Quantiles { quantiles } => {
                let quantiles = quantiles.iter().map(f64::to_string).collect::<Vec<_>>().join(", ");
                format!(
                    "predicts quantiles {quantiles} of the number {}\n",
                    output::printable(model.target())
                )
            }
            Task::Anomaly { .. } => "scores from 0 to 1 how unusual a row is\n".to_owned(),
            Task::Classification { classes } => {
                let shown: Vec<String> = classes.iter().take(20).map(|c| output::printable(c)).collect();
                let more = if classes.len() > 20 { " ..." } else { "" };
                let target = output::printable(model.target());
                format!("predicts {target}, one of {} classes: {}{more}\n", classes.len(), shown.join(", "))
            }
        };
        text += &format!("fit: {}\n", output::report(model.report()));
        for warning in &model.report().warnings {
            text += &format!("warning: {}\n", output::printable(warning));
        }
        text += "needs the columns\n";
        let rows: Vec<Vec<String>> = model
            .inputs()
            .iter()
            .map(|field| {
                let kind = match &field.kind {
                    Kind::Categorical { dictionary } => {
                        format!("categorical, {}", output::count(dictionary.len(), "value"))
                    }
                    other => other.name().to_owned(),
                };
                vec![output::printable(&field.name), kind]
            })
            .chain(model.offset().map(|name| vec![output::printable(name), "numeric, the offset".to_owned()]))
            .collect();
        text += &output::aligned(&rows);
        text += model.describe().trim_end();
        text.push('\n');
        output::print(&text)
    }
}
