//! `tilewise quantise`: a network with weights of 8 bits, and what that changes.

use crate::arguments::{Memory, Table, Targets, Threads, keep_apart, load, try_outputs};
use crate::failure::{Failure, note};
use crate::{interrupt, output, progress};
use clap::Args;
use std::path::PathBuf;
use tilewise_base::metric::{Score, most_probable, summary};
use tilewise_base::{Context, Dataset, Error, Model, Task, predict_dataset, replace, roles};

const EXAMPLES: &str = "\
Examples:
  tilewise quantise --model net.safetensors --data training.csv --out small.safetensors
  tilewise evaluate --model small.safetensors --data test.csv

Dense layers and convolutions get weights of 8 bits (int8, a scale for each output), and what comes to them becomes bytes between the
smallest and the largest number that the rows of --data bring there: some hundreds of the training rows will do. All else stays as it
is. A file of large layers shrinks to a quarter. The model is used as any other, but is not written as ONNX.

Measures before and after are those of the same rows; rows that were not used for calibration are measured by tilewise evaluate.";

/// Quantise a network: weights of 8 bits instead of 32, for a smaller and faster model
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Quantise {
    /// The model file of a network, ours or ONNX
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Where the quantised model goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Column with the answers, by default the model's own
    #[arg(long, value_name = "COLUMN")]
    target: Vec<String>,
    #[command(flatten)]
    table: Table,
    #[command(flatten)]
    memory: Memory,
    #[command(flatten)]
    threads: Threads,
    /// No progress
    #[arg(long, short, help_heading = "Running")]
    quiet: bool,
}

impl Quantise {
    pub(crate) fn run(self) -> Result<(), Failure> {
        keep_apart(&self.out, Some(&self.table), &self.model)?;
        let out = Some(self.out.clone());
        try_outputs(&self.table, &[("--out", &out)])?;
        let (text, bytes) = self.threads.run(|| self.quantise())?;
        replace::write(&self.out, &bytes)?;
        output::print(&text)?;
        note("written", self.out.display());
        Ok(())
    }

    /// What is told, and the new file.
    fn quantise(&self) -> Result<(String, Vec<u8>), Failure> {
        let before = load(&self.model)?;
        let targets = Targets(&self.target).of_model(&*before);
        if targets.is_empty() {
            let what = "the model does not know what its target was called; give --target the column with the answers";
            return Err(Failure::Told(format!("{}: {what}", self.model.display())));
        }
        let storage = self.memory.storage()?;
        let wanted: Vec<&str> = targets.iter().map(String::as_str).collect();
        let table = self.table.read_for(before.inputs(), None, &wanted, storage.clone())?;
        output::warn_of_unseen(&*before, &table);
        let file = self.table.name();
        let place = |e| Failure::in_table(&file, e);
        let stopped = || {
            note("stopped", "by Ctrl-C before the model was quantised; nothing is written");
            Failure::Interrupted
        };
        let shown = progress::Shown::of_parts(self.quiet);
        let cancel = interrupt::flag_for("soon, and nothing is written");
        let context = Context { storage, progress: &shown, cancel, ..Context::default() };
        let after = before.quantised(&table, &context);
        shown.finish();
        Memory::tell(&context.storage);
        let after = after.map_err(|e| match e {
            Error::Cancelled => stopped(),
            Error::Fit(what) => Failure::Told(format!("{}: {what}", self.model.display())),
            other => place(other),
        })?;
        let bytes = after.to_bytes()?;
        let old = predict_dataset(&*before, &table, None).map_err(place)?;
        let new = predict_dataset(&*after, &table, None).map_err(place)?;
        if context.cancelled() {
            return Err(stopped());
        }
        let mut rows = vec![["", "before", "after", "change"].map(String::from).to_vec()];
        rows.extend(Self::measures(&*before, &table, &targets, (&old, &new)).map_err(place)?);
        let size = std::fs::metadata(&self.model).map_err(|e| Error::io(&self.model, e))?.len() as usize;
        let percent = 100.0 * (bytes.len() as f64 / size as f64 - 1.0);
        let sizes = [output::size(size), output::size(bytes.len()), format!("{percent:+.0} %")];
        rows.push(["file".to_owned()].into_iter().chain(sizes).collect());
        let text = format!(
            "{}: quantised to 8 bits by {} of {file}\n{}{}\n",
            self.model.display(),
            output::count(table.rows(), "row"),
            output::aligned(&rows),
            compared(before.task(), &old, &new)
        );
        Ok((text, bytes))
    }

    /// Measures of both models on the same rows.
    fn measures(
        model: &dyn Model,
        table: &Dataset,
        targets: &[String],
        (old, new): (&[f64], &[f64]),
    ) -> tilewise_base::Result<Vec<Vec<String>>> {
        let truth = roles::truth(table, targets, model.task())?;
        for answers in [old, new] {
            output::all_answered(answers, model.outputs(), None, targets)?;
        }
        let (old, new) = (summary(&truth, old, None)?, summary(&truth, new, None)?);
        let line = |(old, new): (&Score, &Score)| {
            let numbers = [old.value, new.value].map(output::significant);
            let change = format!("{:+.6}", new.value - old.value);
            [old.name.to_owned()].into_iter().chain(numbers).chain([change]).collect()
        };
        Ok(old.iter().zip(&new).map(line).collect())
    }
}

/// How far answers are from each other.
fn compared(task: &Task, old: &[f64], new: &[f64]) -> String {
    let outputs = task.outputs();
    let off = || old.iter().zip(new).map(|(a, b)| (a - b).abs());
    let furthest = output::significant(off().fold(0.0, f64::max));
    if let Task::Classification { .. } = task {
        let (before, after) = (most_probable(old, outputs), most_probable(new, outputs));
        let same = before.iter().zip(&after).filter(|(a, b)| a == b).count();
        let rows = before.len();
        return format!(
            "the class is the same in {same} of {rows} rows; probabilities differ by {furthest} at most"
        );
    }
    let mean = (off().map(|x| x * x).sum::<f64>() / old.len().max(1) as f64).sqrt();
    let mean = output::significant(mean);
    format!("answers differ by {mean} (root of the mean square), by {furthest} at most")
}
