//! `tilewise importance`: how much a model relies on each of its columns.

use crate::arguments::{Columns, Table, Targets, Threads, keep_apart, load};
use crate::failure::{Failure, note};
use crate::{interrupt, output, progress};
use clap::Args;
use std::path::PathBuf;
use tilewise_base::Storage;
use tilewise_base::replace::Replacement;
use tilewise_base::{Column, Context, Dataset, Error, Importances, permutation_importance};
use tilewise_data::write_csv;

const EXAMPLES: &str = "\
Examples:
  tilewise importance --model m.safetensors --data more.csv
  tilewise importance --model m.safetensors --data more.csv --repeats 20 --out importance.csv
  tilewise importance --model m.safetensors --data more.csv --metric roc-auc

The importance of a column is how much worse the measure is when the cells of this column alone are shuffled among the
rows: the mean and the standard deviation over repeats. Rows that the model was not trained on tell what it relies on for
new ones. Of two columns that say the same neither may seem important. Measures are
  RMSE, MAE, R2 (numbers; of several targets the mean), pinball loss, calibration error (quantiles), log loss, accuracy, ROC AUC, PR AUC, macro F1
  (classes; the areas for two of them), ROC AUC, PR AUC (isolation forests, by a --target of true and false), NDCG@10, NDCG@5, NDCG@1, NDCG, MAP
  (rankings), concordance (survival).";

/// Measure how much a model relies on each of its columns, on a table that holds the answers
#[derive(Args)]
#[command(name = "importance", after_help = EXAMPLES)]
pub(crate) struct ImportanceOf {
    /// The model file: ours, text of LightGBM, JSON or UBJSON of XGBoost, JSON of CatBoost, or ONNX of a network
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Column with the answers; of a model with several targets as many, apart by commas or given again. By default the model's own
    #[arg(long, value_name = "COLUMN")]
    target: Vec<String>,
    /// How often each column is shuffled
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    repeats: u32,
    /// What becomes worse; by default R2, pinball loss, accuracy, ROC AUC, NDCG@10 or concordance
    #[arg(long, value_name = "MEASURE")]
    metric: Option<String>,
    /// Write the table as CSV too, in the order of the model's columns
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    table: Table,
    #[command(flatten)]
    columns: Columns,
    #[command(flatten)]
    threads: Threads,
    /// Key of every random number
    #[arg(long, default_value_t = 0, help_heading = "Running")]
    seed: u64,
    /// No progress
    #[arg(long, short, help_heading = "Running")]
    quiet: bool,
}

impl ImportanceOf {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if let Some(out) = &self.out {
            if output::is_standard(out) {
                let what = "the table is printed anyway; give --out a name for it as CSV";
                return Err(Failure::Told(format!("{}: {what}", out.display())));
            }
            keep_apart(out, Some(&self.table), &self.model)?;
            drop(Replacement::new(out)?);
        }
        let found = self.threads.run(|| self.measure())?;
        let mut order: Vec<usize> = (0..found.columns.len()).collect();
        order.sort_by(|&a, &b| found.columns[b].mean.total_cmp(&found.columns[a].mean));
        let mut rows = vec![["column", "mean", "deviation"].map(String::from).to_vec()];
        for column in order.into_iter().map(|i| &found.columns[i]) {
            let deviation =
                if column.deviation.is_nan() { String::new() } else { output::significant(column.deviation) };
            rows.push(vec![output::printable(&column.column), output::significant(column.mean), deviation]);
        }
        let (metric, score) = (found.metric, output::significant(found.score));
        let text = format!("{metric} is {score}; by so much it is worse where a column is shuffled\n");
        output::print(&(text + &output::aligned(&rows)))?;
        match &self.out {
            Some(path) => write(&found, path),
            None => Ok(()),
        }
    }

    fn measure(&self) -> Result<Importances, Failure> {
        let model = load(&self.model)?;
        let mut roles = self.columns.roles(Targets(&self.target).of_model(&*model));
        roles.offset = roles.offset.or_else(|| model.offset().map(String::from));
        let others = roles.targets.iter().chain(&roles.weight).map(String::as_str);
        let others: Vec<&str> = others.chain(model.task().measured_by()).collect();
        let table =
            self.table.read_for(model.inputs(), roles.offset.as_deref(), &others, Storage::default())?;
        output::warn_of_unseen(&*model, &table);
        let shown = progress::Shown::new(self.quiet);
        let context =
            Context { seed: self.seed, progress: &shown, cancel: interrupt::flag(), ..Context::default() };
        let repeats = self.repeats as usize;
        let found =
            permutation_importance(&*model, &table, &roles, repeats, self.metric.as_deref(), &context);
        shown.finish();
        match found {
            Err(Error::Cancelled) => {
                note("stopped", "by Ctrl-C before all columns were shuffled");
                Err(Failure::Interrupted)
            }
            found => found.map_err(|e| Failure::in_table(&self.table.name(), e)),
        }
    }
}

/// Writes column, mean and deviation.
fn write(found: &Importances, path: &PathBuf) -> Result<(), Failure> {
    let mut dictionary: Vec<String> = found.columns.iter().map(|column| column.column.clone()).collect();
    dictionary.sort_unstable();
    let code = |name: &String| dictionary.binary_search(name).map_or(0, |i| i as u32);
    let codes = found.columns.iter().map(|column| code(&column.column)).collect();
    let means = found.columns.iter().map(|column| column.mean).collect();
    let deviations = found.columns.iter().map(|column| column.deviation).collect();
    let table = Dataset::new(vec![
        ("column".into(), Column::Categorical { codes, dictionary }),
        ("mean".into(), Column::F64(means)),
        ("deviation".into(), Column::F64(deviations)),
    ])?;
    let mut out = Replacement::new(path)?;
    write_csv(&table, &mut out).map_err(|e| Error::io(path, e))?;
    out.commit()?;
    note(
        "written",
        format!("importances of {} to {}", output::count(table.rows(), "column"), path.display()),
    );
    Ok(())
}
