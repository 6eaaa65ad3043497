//! `tilewise explain`: what each column adds to the predictions of a table, as CSV; or the way of its rows through a tree.

use crate::arguments::{Table, Threads, keep_apart, load};
use crate::failure::{Failure, note};
use crate::output::{self, is_standard};
use clap::Args;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use tilewise_base::Storage;
use tilewise_base::replace::{self, Replacement};
use tilewise_base::{
    Binder, Column, Dataset, Error, Field, Model, Result, Task, explain_dataset, interactions_dataset,
    predict_dataset,
};
use tilewise_data::write_csv;

const EXAMPLES: &str = "\
Examples:
  tilewise explain --model m.safetensors --data new.csv --out why.csv
  tilewise explain --model m.safetensors --data new.csv --rows 3
  tilewise explain --model m.safetensors --data new.csv --rows 3 --interactions
  tilewise explain --model tree.safetensors --data new.csv --rows 3 --path

There is a line for each row, and for each class or each of several targets that are predicted: the base (what is predicted when nothing \
is known of a row), what each column adds, and the prediction, which is the sum of these.

What a column adds is its Shapley value: the mean, over all orders in which columns can become known, of the step that \
it makes. Columns that are not known are averaged over the training rows that came the same way down a tree. Trees \
and forests can tell, and boosted trees, whose columns add to a score: where predictions are made of scores (probabilities, counts), the \
sum is the score.

With --interactions there is a line for each column in its place: what it adds together with each column, of which each of two has half, \
and beside its own name what it adds by itself. The sum of a line is what the column adds.";

/// Show what each column adds to the prediction of each row
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Explain {
    /// The model file: ours, text of LightGBM, JSON or UBJSON of XGBoost, JSON of CatBoost, or ONNX of a network
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Where it goes; - is stdout
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
    /// Only the first N rows
    #[arg(long, value_name = "N")]
    rows: Option<usize>,
    /// Tell the way of each row from the root to its leaf in words (models of one tree)
    #[arg(long)]
    path: bool,
    /// Tell what columns add together, two and two, instead of what each adds
    #[arg(long, conflicts_with = "path")]
    interactions: bool,
    #[command(flatten)]
    table: Table,
    #[command(flatten)]
    threads: Threads,
}

impl Explain {
    pub(crate) fn run(self) -> Result<(), Failure> {
        keep_apart(&self.out, Some(&self.table), &self.model)?;
        let model = load(&self.model)?;
        let (file, name) = (self.model.display().to_string(), self.table.name());
        let place = |error| match error {
            // What the family cannot do is said of the model's file.
            Error::Fit(what) => Failure::Told(format!("{file}: {what}")),
            other => Failure::in_table(&name, other),
        };
        let table = self.table.read_for(model.inputs(), None, &[], Storage::default())?;
        let rows: Vec<usize> = (0..table.rows().min(self.rows.unwrap_or(usize::MAX))).collect();
        let table = table.take(&rows);
        output::warn_of_unseen(&*model, &table);
        if self.path {
            let text = ways(&*model, &table).map_err(place)?;
            if is_standard(&self.out) {
                return output::print(&text);
            }
            replace::write(&self.out, text.as_bytes())?;
        } else {
            let explain = if self.interactions { interactions } else { contributions };
            let answers = self.threads.run(|| explain(&*model, &table)).map_err(place)?;
            if is_standard(&self.out) {
                let mut out = BufWriter::new(std::io::stdout().lock());
                write_csv(&answers, &mut out)?;
                return Ok(out.flush()?);
            }
            let mut out = Replacement::new(&self.out)?;
            write_csv(&answers, &mut out).map_err(|e| Error::io(&self.out, e))?;
            out.commit()?;
        }
        let rows = output::count(table.rows(), "row");
        note("written", format!("the explanation of {rows} to {}", self.out.display()));
        Ok(())
    }
}

/// The way of each row through the tree, in words.
fn ways(model: &dyn Model, table: &Dataset) -> Result<String> {
    let binder = Binder::of_model(model, &table.schema())?;
    let mut cells = vec![0.0; table.rows() * binder.width()];
    binder.fill(table, 0..table.rows(), &mut cells)?;
    let mut text = String::new();
    let mut outline = None;
    for (row, cells) in cells.chunks(binder.width().max(1)).enumerate() {
        let path = model.path(cells)?;
        let outline = match &mut outline {
            Some(outline) => outline,
            none => none.insert(model.outline(0)?),
        };
        text += &format!("row {}\n", row + 1);
        outline.way(cells, &path).iter().for_each(|line| text += &format!("  {line}\n"));
    }
    Ok(text)
}

/// A line for each row, or for each row and class, or row and target.
fn contributions(model: &dyn Model, table: &Dataset) -> Result<Dataset> {
    let values = explain_dataset(model, table)?;
    let predictions = predict_dataset(model, table, None)?;
    let (rows, outputs, inputs) = (table.rows(), model.outputs(), model.inputs());
    let numbers = |f: &dyn Fn(usize, usize) -> f64| {
        let lines = (0..rows).flat_map(|row| (0..outputs).map(move |output| (row, output)));
        Column::F64(lines.map(|(row, output)| f(row, output)).collect())
    };
    let width = (1 + inputs.len()) * outputs;
    let part = |part: usize| numbers(&|row, output| values[row * width + part * outputs + output]);
    let mut columns = vec![("row".to_owned(), numbers(&|row, _| (row + 1) as f64))];
    let of_output = outputs_of(model);
    if let Some((what, names)) = of_output {
        let codes = (0..rows * outputs).map(|line| (line % outputs) as u32).collect();
        columns.push((what.to_owned(), Column::Categorical { codes, dictionary: names.to_vec() }));
    }
    columns.push(("base".to_owned(), part(0)));
    let what = of_output.map_or("class", |(what, _)| what);
    for (i, name) in names_beside(inputs, &["row", what, "base", "prediction"]).into_iter().enumerate() {
        columns.push((name, part(1 + i)));
    }
    columns.push(("prediction".to_owned(), numbers(&|row, output| predictions[row * outputs + output])));
    Dataset::new(columns)
}

/// What outputs are, and their names, where there are several.
fn outputs_of(model: &dyn Model) -> Option<(&'static str, &[String])> {
    match model.task() {
        Task::Classification { classes } => Some(("class", classes)),
        Task::Outputs { names } => Some(("target", names)),
        _ => None,
    }
}

/// The names of columns beside ours: one of the table must hide neither one of ours nor, under its new name, another of its own.
fn names_beside(inputs: &[Field], ours: &[&str]) -> Vec<String> {
    let is_theirs = |name: &str| inputs.iter().any(|field| field.name == name);
    let of_field = |field: &Field| {
        let mut name = field.name.clone();
        while ours.contains(&name.as_str()) || name != field.name && is_theirs(&name) {
            name += " (column)";
        }
        name
    };
    inputs.iter().map(of_field).collect()
}

/// A line for each row and column, or for each row, class (or target) and column.
fn interactions(model: &dyn Model, table: &Dataset) -> Result<Dataset> {
    let values = interactions_dataset(model, table)?;
    let (rows, outputs, inputs) = (table.rows(), model.outputs(), model.inputs());
    let count = inputs.len();
    // Lines run over rows, outputs, columns; values over rows, columns, columns, outputs.
    let lines = || {
        let of_row =
            move |row: usize| (0..outputs).flat_map(move |output| (0..count).map(move |i| (row, output, i)));
        (0..rows).flat_map(of_row)
    };
    let value = |(row, output, i): (usize, usize, usize), j: usize| {
        values[((row * count + i) * count + j) * outputs + output]
    };
    let mut columns =
        vec![("row".to_owned(), Column::F64(lines().map(|(row, ..)| (row + 1) as f64).collect()))];
    let of_output = outputs_of(model);
    if let Some((what, names)) = of_output {
        let codes = lines().map(|(_, output, _)| output as u32).collect();
        columns.push((what.to_owned(), Column::Categorical { codes, dictionary: names.to_vec() }));
    }
    // Dictionaries are sorted.
    let mut dictionary: Vec<String> = inputs.iter().map(|field| field.name.clone()).collect();
    dictionary.sort_unstable();
    let places: Vec<u32> =
        inputs.iter().map(|field| dictionary.partition_point(|name| *name < field.name) as u32).collect();
    let codes = lines().map(|(_, _, i)| places[i]).collect();
    columns.push(("column".to_owned(), Column::Categorical { codes, dictionary }));
    let what = of_output.map_or("class", |(what, _)| what);
    for (j, name) in names_beside(inputs, &["row", what, "column", "sum"]).into_iter().enumerate() {
        columns.push((name, Column::F64(lines().map(|line| value(line, j)).collect())));
    }
    let sums = lines().map(|line| (0..count).map(|j| value(line, j)).sum()).collect();
    columns.push(("sum".to_owned(), Column::F64(sums)));
    Dataset::new(columns)
}
