//! `tilewise cv`: how good a family with its settings is on rows that it has not seen, measured on every row in turn.

use crate::arguments::Memory;
use crate::failure::{Failure, note};
use crate::lesson::{Lesson, Ready};
use crate::{interrupt, output, progress};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tilewise_base::{Context, Error, replace};
use tilewise_models::{CrossValidation, Family, Settings, cross_validate};
use tilewise_report::Csv;

const EXAMPLES: &str = "\
Examples:
  tilewise cv --model forest --data adult.csv --target income
  tilewise cv --model gbdt --set stages=300 --data houses.parquet --target price --folds 10 --csv folds.csv
  tilewise cv --model logistic --data visits.csv --target returns --group patient
  tilewise cv --model ridge --data sales.csv --target sold --time day --folds 8

A model is trained for each fold on the other rows (in time order: on those before it) and measured on the fold. The standard
error is that of the mean over folds: their deviation over the square root of their number. It is somewhat too small, since folds
share training rows. Classes stratify the folds by themselves; --split random does not. Ctrl-C ends the work, tells the folds that
were done, and the exit code is 130.";

/// Measure how good models of a family are, by cross-validation
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Cv {
    #[command(flatten)]
    lesson: Lesson,
    /// Write the measures of every fold as CSV too
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

impl Cv {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (family, settings) = self.lesson.family()?;
        self.lesson.try_outputs(&[("--csv", &self.csv)])?;
        self.lesson.threads.run(|| self.measure(family, &settings))
    }

    fn measure(&self, family: &Family, settings: &Settings) -> Result<(), Failure> {
        let file = self.lesson.table.name();
        let place = |e| Failure::in_table(&file, e);
        let Ready { table, roles, division, storage } = self.lesson.read(family, settings)?;
        let folds =
            division.folds(table.rows(), self.lesson.folds.into(), self.lesson.seed).map_err(place)?;
        output::print(&format!("training {} for each of {}\n", family.name, self.lesson.told(&division)))?;
        let shown = progress::Shown::of_parts(self.lesson.quiet);
        let context = Context {
            seed: self.lesson.seed,
            scheme: self.lesson.parallel,
            storage: storage.clone(),
            progress: &shown,
            cancel: interrupt::flag_for("without the folds that are not done"),
            ..Context::default()
        };
        let start = Instant::now();
        let found = cross_validate(family.name, &table, &roles, settings, &folds, &context);
        let seconds = start.elapsed().as_secs_f64();
        shown.finish();
        Memory::tell(&storage);
        let found = match found {
            Err(Error::Cancelled) => {
                note("stopped", "by Ctrl-C before a fold was done");
                return Err(Failure::Interrupted);
            }
            found => found.map_err(place)?,
        };
        for fold in &found.folds {
            let told =
                |text: &str| note("warning", format!("fold {}: {}", fold.fold + 1, output::printable(text)));
            if !fold.report.converged && fold.report.warnings.is_empty() {
                told(&format!("the fit did not converge: {}", fold.report.stopped));
            }
            fold.report.warnings.iter().for_each(|warning| told(warning));
        }
        output::print(&aligned(&found))?;
        output::print(&format!("{} in {seconds:.2} s\n", output::count(found.folds.len(), "fold")))?;
        if let Some(path) = &self.csv {
            write(&found, path)?;
        }
        if found.folds.len() < found.planned {
            note("stopped", format!("by Ctrl-C after {} of {} folds", found.folds.len(), found.planned));
            return Err(Failure::Interrupted);
        }
        Ok(())
    }
}

/// A line for each fold, and below them the means.
fn aligned(found: &CrossValidation) -> String {
    let number = |x: f64| if x.is_nan() { "undefined".to_owned() } else { output::significant(x) };
    let header = ["fold", "trained", "tested"].into_iter().chain(found.measures());
    let mut rows = vec![header.map(String::from).collect::<Vec<_>>()];
    for fold in &found.folds {
        let counts = [fold.fold + 1, fold.trained, fold.tested].map(|n| n.to_string());
        rows.push(counts.into_iter().chain(fold.scores.iter().map(|score| number(score.value))).collect());
    }
    let summary = found.summary();
    let mut line = |name: &str, value: fn(&[(f64, f64); 2]) -> f64| {
        let cells = summary.iter().map(|both| number(value(both)));
        rows.push([name.to_owned(), String::new(), String::new()].into_iter().chain(cells).collect());
    };
    line("mean", |both| both[0].0);
    line("standard error", |both| both[0].1);
    line("mean of a constant answer", |both| both[1].0);
    output::aligned(&rows)
}

fn write(found: &CrossValidation, path: &Path) -> Result<(), Failure> {
    let header = ["fold", "trained", "tested"].into_iter().chain(found.measures());
    let mut csv = Csv::new(&header.collect::<Vec<_>>());
    for fold in &found.folds {
        let counts = [fold.fold + 1, fold.trained, fold.tested].map(|n| n.to_string());
        let scores = fold.scores.iter().map(|score| output::exact(score.value));
        csv.push(&counts.into_iter().chain(scores).collect::<Vec<_>>());
    }
    replace::write(path, csv.text().as_bytes())?;
    note(
        "written",
        format!("measures of {} to {}", output::count(found.folds.len(), "fold"), path.display()),
    );
    Ok(())
}
