//! `tilewise predict`: a model's answers for the rows of a table, as CSV.

use crate::arguments::{Memory, Table, Threads, keep_apart, load};
use crate::failure::{Failure, note};
use crate::output::{self, is_standard};
use crate::sparse;
use clap::Args;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use tilewise_base::error::listed;
use tilewise_base::metric::most_probable;
use tilewise_base::replace::Replacement;
use tilewise_base::{Column, Dataset, Error, MISSING_CODE, Roles, Task, predict_dataset};
use tilewise_data::write_csv;

const EXAMPLES: &str = "\
Examples:
  tilewise predict --model m.safetensors --data new.csv --out answers.csv
  tilewise predict --model m.safetensors --data new.parquet --proba
  tilewise predict --model xgboost.ubj --data new.csv
  tilewise predict --model boosted.safetensors --stages 50 --data new.csv
  cat new.csv | tilewise predict --model m.safetensors --data - | head

Columns are matched by name, in any order; further columns are left alone. The answers have the column prediction,
and with --proba a column for each class, named by it; those of a model with several targets have a column for each, \
named as they are, those of a forest with quantiles have a column for each of them,
such as quantile_0.9, and those of an isolation forest the columns score and, if it has a threshold, anomaly.";

/// Predict every row of a table
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Predict {
    /// The model file: ours, text of LightGBM, JSON or UBJSON of XGBoost, JSON of CatBoost, or ONNX of a network
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Where the answers go; - is stdout
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
    /// Predict with so many stages of boosted trees, from the first, in place of all
    #[arg(long, value_name = "STAGES")]
    stages: Option<usize>,
    /// Add the probability of each class
    #[arg(long)]
    proba: bool,
    /// Column that is added to the linear predictor; by default the one that the model was trained with
    #[arg(long, value_name = "COLUMN")]
    offset: Option<String>,
    #[command(flatten)]
    table: Table,
    #[command(flatten)]
    memory: Memory,
    #[command(flatten)]
    threads: Threads,
}

impl Predict {
    pub(crate) fn run(self) -> Result<(), Failure> {
        keep_apart(&self.out, Some(&self.table), &self.model)?;
        let mut model = load(&self.model)?;
        if let Some(stages) = self.stages {
            let at_file = |e| Failure::Told(format!("{}: {e}", self.model.display()));
            model = model.first_stages(stages).map_err(at_file)?;
        }
        if self.proba && !matches!(model.task(), Task::Classification { .. }) {
            let what = match model.task() {
                Task::Anomaly { .. } | Task::Ranking { .. } => "predicts scores".to_owned(),
                Task::Survival { .. } => "predicts hazards".to_owned(),
                Task::Outputs { names } => format!("predicts the numbers {}", listed(names)),
                _ if model.target().is_empty() => "predicts a number".to_owned(),
                _ => format!("predicts the number {:?}", model.target()),
            };
            let what = format!("--proba needs a model of classes; this one {what}");
            return Err(Failure::Told(format!("{}: {what}", self.model.display())));
        }
        let answers = self.threads.run(|| {
            let offset = self.offset.as_deref().or(model.offset());
            if offset.is_none()
                && let Some(table) = sparse::table_for(&*model, &self.table)?
            {
                self.memory.is_for_dense(&self.table.name())?;
                let mut predictions = sparse::predict(&*model, &table)?;
                warn_of_rows_without_answer(&mut predictions, model.outputs());
                return Ok(answers(model.task(), predictions, table.target.len(), self.proba)?);
            }
            let storage = self.memory.storage()?;
            let table = self.table.read_for(model.inputs(), offset, &[], storage.clone())?;
            Memory::tell(&storage);
            let place = |e| Failure::in_table(&self.table.name(), e);
            let roles = Roles { offset: offset.map(String::from), ..Roles::default() };
            let offsets = roles.offsets(&table).map_err(place)?;
            let mut predictions = predict_dataset(&*model, &table, offsets.as_deref()).map_err(place)?;
            output::warn_of_unseen(&*model, &table);
            warn_of_rows_without_answer(&mut predictions, model.outputs());
            Ok::<_, Failure>(answers(model.task(), predictions, table.rows(), self.proba)?)
        })?;
        if is_standard(&self.out) {
            let mut out = BufWriter::new(std::io::stdout().lock());
            write_csv(&answers, &mut out)?;
            return Ok(out.flush()?);
        }
        let mut out = Replacement::new(&self.out)?;
        write_csv(&answers, &mut out).map_err(|e| Error::io(&self.out, e))?;
        out.commit()?;
        note("written", format!("{} predictions to {}", answers.rows(), self.out.display()));
        Ok(())
    }
}

fn warn_of_rows_without_answer(predictions: &mut [f64], outputs: usize) {
    let without = rows_without_answer(predictions, outputs);
    if let Some(first) = without.first() {
        let (count, rows) = (without.len(), if without.len() == 1 { "row has" } else { "rows have" });
        let what = "numbers so large that the model's scores overflow";
        note("warning", format!("{count} {rows} {what}, and no answer; row {} is the first", first + 1));
    }
}

/// Rows whose scores overflowed. All that a model says of them becomes missing, as in the server's answers.
fn rows_without_answer(predictions: &mut [f64], outputs: usize) -> Vec<usize> {
    let mut without = Vec::new();
    for (row, answer) in predictions.chunks_mut(outputs).enumerate() {
        if !output::is_answered(answer) {
            answer.fill(f64::NAN);
            without.push(row);
        }
    }
    without
}

/// Predictions as a table: the number, those of several targets, its quantiles, the score and whether it is that of an anomaly, or the most probable class
/// and perhaps the probability of each.
fn answers(task: &Task, predictions: Vec<f64>, rows: usize, proba: bool) -> tilewise_base::Result<Dataset> {
    const PREDICTION: &str = "prediction";
    let Task::Classification { classes } = task else {
        let names = task.names();
        let column = |j: usize| (0..rows).map(|i| predictions[i * names.len() + j]).collect::<Vec<f64>>();
        let mut columns: Vec<(String, Column)> =
            names.iter().enumerate().map(|(j, name)| (name.clone(), Column::F64(column(j).into()))).collect();
        if let Task::Anomaly { threshold: Some(threshold) } = task {
            let flag = |score: f64| (!score.is_nan()).then_some(score >= *threshold);
            columns.push(("anomaly".into(), Column::Boolean(column(0).into_iter().map(flag).collect())));
        }
        return Dataset::new(columns);
    };
    let mut codes = most_probable(&predictions, classes.len());
    for (code, answer) in codes.iter_mut().zip(predictions.chunks(classes.len())) {
        if answer[0].is_nan() {
            *code = MISSING_CODE;
        }
    }
    let called = Column::Categorical { codes: codes.into(), dictionary: classes.clone() };
    let mut columns = vec![(PREDICTION.to_owned(), called)];
    for (j, class) in classes.iter().enumerate().filter(|_| proba) {
        let probability = (0..rows).map(|i| predictions[i * classes.len() + j]).collect();
        // A class of this very name must not hide the predictions.
        let name = if class == PREDICTION { format!("{class} (class)") } else { class.clone() };
        columns.push((name, Column::F64(probability)));
    }
    Dataset::new(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_scores_have_their_columns() {
        let task = Task::Quantiles { quantiles: vec![0.1, 0.5] };
        let table = answers(&task, vec![1.0, 2.0, 3.0, 4.0], 2, false).unwrap();
        assert_eq!(table.names(), ["quantile_0.1", "quantile_0.5"]);
        assert_eq!(table.columns()[1], Column::F64(vec![2.0, 4.0].into()));
        let task = |threshold| Task::Anomaly { threshold };
        let scores = vec![0.4, 0.6, f64::NAN];
        assert_eq!(answers(&task(None), scores.clone(), 3, false).unwrap().names(), ["score"]);
        let table = answers(&task(Some(0.6)), scores, 3, false).unwrap();
        assert_eq!(table.columns()[1], Column::Boolean(vec![Some(false), Some(true), None].into()));
    }

    #[test]
    fn probabilities_are_named_by_class() {
        let task = Task::Classification { classes: vec!["no".into(), "prediction".into()] };
        let table = answers(&task, vec![0.25, 0.75, 0.5, 0.5], 2, true).unwrap();
        assert_eq!(table.names(), ["prediction", "no", "prediction (class)"]);
        assert_eq!(table.columns()[2], Column::F64(vec![0.75, 0.5].into()));
        let mut csv = Vec::new();
        write_csv(&answers(&task, vec![0.25, 0.75], 1, false).unwrap(), &mut csv).unwrap();
        assert_eq!(csv, b"prediction\nprediction\n");
    }
}
