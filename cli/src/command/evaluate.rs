//! `tilewise evaluate`: how good a model is on a table with known answers.

use crate::arguments::{Columns, Memory, Table, Targets, Threads, load};
use crate::failure::Failure;
use crate::{output, sparse};
use clap::Args;
use std::path::PathBuf;
use tilewise_base::error::listed;
use tilewise_base::{Column, Dataset, Task, predict_dataset, roles};

const EXAMPLES: &str = "\
Examples:
  tilewise evaluate --model m.safetensors --data more.csv
  tilewise evaluate --model m.safetensors --data more.csv --target answer --weight rows
  tilewise evaluate --model both.safetensors --data more.csv --target price,rent
  zcat big.csv.gz | tilewise evaluate --model m.safetensors --data -";

/// Measure a model on a table that holds the answers
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Evaluate {
    /// The model file: ours, text of LightGBM, JSON or UBJSON of XGBoost, JSON of CatBoost, or ONNX of a network
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Column with the answers; of a model with several targets as many, apart by commas or given again. By default the model's own
    #[arg(long, value_name = "COLUMN")]
    target: Vec<String>,
    #[command(flatten)]
    table: Table,
    #[command(flatten)]
    columns: Columns,
    #[command(flatten)]
    memory: Memory,
    #[command(flatten)]
    threads: Threads,
}

impl Evaluate {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let text = self.threads.run(|| self.measure())?;
        output::print(&text)
    }

    fn measure(&self) -> Result<String, Failure> {
        let model = load(&self.model)?;
        let targets = Targets(&self.target).of_model(&*model);
        if targets.is_empty() {
            let what = match model.task() {
                Task::Anomaly { .. } => {
                    "the model learned without a target; give --target a column of true and false to measure it by"
                }
                _ => {
                    "the model does not know what its target was called; give --target the column with the answers"
                }
            };
            return Err(Failure::Told(format!("{}: {what}", self.model.display())));
        }
        let mut roles = self.columns.roles(targets);
        roles.offset = roles.offset.or_else(|| model.offset().map(String::from));
        let sparse = match (&roles.weight, &roles.offset, &roles.targets[..]) {
            (None, None, [target]) if target == "target" => sparse::table_for(&*model, &self.table)?,
            _ => None,
        };
        let others = roles.targets.iter().chain(&roles.weight).map(String::as_str);
        let others: Vec<&str> = others.chain(model.task().measured_by()).collect();
        let table = match &sparse {
            Some(sparse) => {
                self.memory.is_for_dense(&self.table.name())?;
                Dataset::new(vec![("target".into(), Column::F64(sparse.target.clone().into()))])?
            }
            None => {
                let (storage, offset) = (self.memory.storage()?, roles.offset.as_deref());
                let table = self.table.read_for(model.inputs(), offset, &others, storage.clone())?;
                Memory::tell(&storage);
                table
            }
        };
        let file = self.table.name();
        let place = |e| Failure::in_table(&file, e);
        let task = model.judged_as();
        let truth = roles::truth(&table, &roles.targets, &task).map_err(place)?;
        let weights = roles.weights(&table).map_err(place)?;
        let offsets = roles.offsets(&table).map_err(place)?;
        let predictions = match &sparse {
            Some(sparse) => sparse::predict(&*model, sparse).map_err(place)?,
            None => {
                output::warn_of_unseen(&*model, &table);
                predict_dataset(&*model, &table, offsets.as_deref()).map_err(place)?
            }
        };
        output::all_answered(&predictions, model.outputs(), weights.as_deref(), &roles.targets)
            .map_err(place)?;
        let constant = output::constant(&truth, weights.as_deref());
        let scores = output::scores(&truth, &predictions, &constant, weights.as_deref(), &task)?;
        let what = match task {
            Task::Regression => "number",
            Task::Outputs { .. } => "numbers",
            Task::Quantiles { .. } => "quantiles of the number",
            Task::Classification { .. } => "class",
            Task::Anomaly { .. } => "anomalies, told by",
            Task::Ranking { .. } => "order by",
            Task::Survival { .. } => "hazards, measured by the times",
        };
        let target = output::printable(&listed(&roles.targets));
        Ok(format!(
            "{file}: {} rows, {what} {target} predicted by {}\n{scores}",
            table.rows(),
            self.model.display()
        ))
    }
}
