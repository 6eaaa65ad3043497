//! What commands print: aligned tables of text, scores, schemas, fit reports.

use crate::failure::{Failure, note};
use std::io::Write;
use std::path::Path;
use tilewise_base::error::listed;
use tilewise_base::metric::{Score, Truth, baseline, confusion, measures, most_probable, summary};
/// Names and cells come from files.
pub(crate) use tilewise_base::outline::printable;
use tilewise_base::{Column, Dataset, Error, FitReport, Kind, Model, Result, Task, Unseen};

/// Classes up to which a confusion matrix is printed.
pub(crate) const SHOWN_CLASSES: usize = 10;
/// Columns up to which a table's schema is printed whole.
const SHOWN_COLUMNS: usize = 50;

/// Rows of text with columns aligned: text to the left, numbers to the right.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|t| t.chars().count()).max().unwrap_or(0);
    let is_number = |text: &String| text.parse::<f64>().is_ok();
    let to_right = |c: usize| rows.iter().filter_map(|r| r.get(c)).any(is_number);
    let columns: Vec<(usize, bool)> = (0..columns).map(|c| (width(c), c > 0 && to_right(c))).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, (width, to_right)) in row.iter().zip(&columns) {
            let pad = " ".repeat(width - cell.chars().count());
            line += &if *to_right { format!("  {pad}{cell}") } else { format!("  {cell}{pad}") };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Six significant digits.
pub(crate) fn significant(x: f64) -> String {
    let magnitude = x.abs();
    if x != 0.0 && !(1e-4..1e7).contains(&magnitude) {
        return format!("{x:.5e}");
    }
    let before_point = if magnitude < 1.0 { 1 } else { magnitude.log10() as usize + 1 };
    format!("{x:.*}", 7usize.saturating_sub(before_point))
}

/// The shortest text that reads back to the same bits, for CSV; nothing where there is no number.
pub(crate) fn exact(x: f64) -> String {
    if x.is_nan() { String::new() } else { x.to_string() }
}

/// Columns of a table with their kinds and missing cells. `role` tells what a column is used for.
pub(crate) fn schema(table: &Dataset, role: impl Fn(&str) -> &'static str) -> String {
    let mut rows = Vec::new();
    for (name, column) in table.names().iter().zip(table.columns()).take(SHOWN_COLUMNS) {
        let kind = match column {
            Column::Categorical { dictionary, .. } => {
                format!("categorical, {}", count(dictionary.len(), "value"))
            }
            other => other.kind().name().to_owned(),
        };
        let missing = (0..table.rows()).filter(|&row| column.cell(row).is_nan()).count();
        let missing = if missing > 0 { format!("{missing} missing") } else { String::new() };
        rows.push(vec![printable(name), kind, missing, role(name).to_owned()]);
    }
    let mut text = aligned(&rows);
    if table.columns().len() > SHOWN_COLUMNS {
        text += &format!("  and {} more columns\n", table.columns().len() - SHOWN_COLUMNS);
    }
    text
}

/// How many there are of something whose plural takes an s.
pub(crate) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Scores of predictions beside those of the baseline (an output row that ignores all inputs).
pub(crate) fn scores(
    truth: &Truth,
    predictions: &[f64],
    constant: &[f64],
    weights: Option<&[f64]>,
    task: &Task,
) -> Result<String> {
    if let (Truth::Outputs(y), Task::Outputs { names }) = (truth, task) {
        return scores_of_outputs(names, y, predictions, constant, weights);
    }
    let ours = summary(truth, predictions, weights)?;
    let plain = summary(truth, &constant.repeat(truth.rows()), weights)?;
    let what = match task {
        Task::Regression => "always the mean",
        Task::Ranking { .. } => "the table's order",
        _ => "always the same",
    };
    let mut rows = vec![vec![String::new(), "model".to_owned(), what.to_owned()]];
    rows.extend(ours.iter().zip(&plain).map(|(a, b)| vec![a.name.to_owned(), number(a), number(b)]));
    let mut text = aligned(&rows);
    if let (Truth::Classes { codes, .. }, Task::Classification { classes }) = (truth, task)
        && classes.len() <= SHOWN_CLASSES
    {
        let table = confusion(codes, &most_probable(predictions, classes.len()), classes.len(), weights)?;
        let called = classes.iter().map(|c| format!("called {}", printable(c)));
        let mut rows = vec![[String::new()].into_iter().chain(called).collect::<Vec<_>>()];
        for (i, class) in classes.iter().enumerate() {
            let counts = (0..classes.len()).map(|j| short(table.get(i, j)));
            rows.push([format!("is {}", printable(class))].into_iter().chain(counts).collect());
        }
        text += &aligned(&rows);
    }
    Ok(text)
}

/// A line for each of several targets, and one for the mean over them.
fn scores_of_outputs(
    names: &[String],
    y: &[Vec<f64>],
    predictions: &[f64],
    constant: &[f64],
    weights: Option<&[f64]>,
) -> Result<String> {
    let line = |name: String, truth: &Truth, predictions: &[f64], constant: &[f64]| {
        let ours = summary(truth, predictions, weights)?;
        let plain = summary(truth, &constant.repeat(truth.rows()), weights)?;
        Ok::<Vec<String>, Error>([name].into_iter().chain(ours.iter().chain(&plain).map(number)).collect())
    };
    let truth = Truth::Outputs(y.to_vec());
    let measures = measures(&truth);
    let always = measures.iter().map(|name| format!("always the mean: {name}"));
    let header = [String::new()].into_iter().chain(measures.iter().map(|name| name.to_string()));
    let mut rows = vec![header.chain(always).collect()];
    for (output, (name, y)) in names.iter().zip(y).enumerate() {
        let predictions: Vec<f64> = predictions.iter().skip(output).step_by(names.len()).copied().collect();
        let truth = Truth::Numbers(y.clone());
        rows.push(line(printable(name), &truth, &predictions, &constant[output..=output])?);
    }
    rows.push(line(format!("mean of {}", names.len()), &truth, predictions, constant)?);
    Ok(aligned(&rows))
}

fn number(score: &Score) -> String {
    if score.value.is_nan() { "undefined".to_owned() } else { significant(score.value) }
}

/// The baseline that knows `truth`.
pub(crate) fn constant(truth: &Truth, weights: Option<&[f64]>) -> Vec<f64> {
    baseline(truth, weights)
}

pub(crate) fn short(x: f64) -> String {
    if x.fract() == 0.0 { format!("{x:.0}") } else { format!("{x:.3}") }
}

/// How a fit went, in one line.
pub(crate) fn report(report: &FitReport) -> String {
    if report.converged && !report.objective.is_finite() {
        // Nothing was minimised round by round.
        return report.stopped.clone();
    }
    let end = if report.converged { "converged" } else { "did NOT converge" };
    let rounds = if report.rounds == 1 { "round" } else { "rounds" };
    let told = format!(
        "{end} after {} {rounds} ({}); objective {:.6e}",
        report.rounds, report.stopped, report.objective
    );
    // Trees have none to tell of.
    let optimality = report.optimality;
    if optimality.is_nan() { told } else { format!("{told}, optimality {optimality:.1e}") }
}

/// What a person must not miss about a fit, on stderr.
pub(crate) fn warn(report: &FitReport) {
    if !report.converged && report.warnings.is_empty() {
        note("warning", format!("the fit did not converge: {}", report.stopped));
    }
    for warning in &report.warnings {
        note("warning", printable(warning));
    }
}

/// Different texts in a column beyond which they are hardly categories, if most rows have one of their own.
const MANY_CATEGORIES: usize = 20;

/// Tells which of the `inputs` are text that differs nearly everywhere: names, identifiers, numbers in a form that was
/// not understood.
pub(crate) fn warn_of_many_categories(table: &Dataset, inputs: &[String]) {
    for (name, column) in table.names().iter().zip(table.columns()) {
        if let Column::Categorical { dictionary, .. } = column
            && inputs.contains(name)
            && dictionary.len() > MANY_CATEGORIES.max(table.rows() / 2)
        {
            let (name, values) = (printable(name), dictionary.len());
            let example = dictionary.first().map(|text| printable(text)).unwrap_or_default();
            note(
                "warning",
                format!(
                    "column {name:?} holds {values} different texts in {} rows, such as {example:?}; --ignore \
                     leaves it out",
                    table.rows()
                ),
            );
        }
    }
}

/// Tells which columns hold categories that the model has not met.
pub(crate) fn warn_of_unseen(model: &dyn Model, table: &Dataset) {
    let fate = match model.unseen() {
        Unseen::Majority => "at each split they go with the majority",
        Unseen::Missing => "to it they are none of its categories",
        // It refuses them, which says more.
        Unseen::Error => return,
    };
    for field in model.inputs() {
        let Kind::Categorical { dictionary: known } = &field.kind else { continue };
        let Ok(Column::Categorical { codes, dictionary }) = table.column(&field.name) else { continue };
        let is_new: Vec<bool> = dictionary.iter().map(|text| known.binary_search(text).is_err()).collect();
        let new = |code: &u32| is_new.get(*code as usize).copied().unwrap_or(false);
        let count = codes.iter().filter(|code| new(code)).count();
        if let Some(&first) = codes.iter().find(|code| new(code)) {
            let (name, text) = (printable(&field.name), printable(&dictionary[first as usize]));
            let rows = if count == 1 { "row holds a value" } else { "rows hold values" };
            note(
                "warning",
                format!(
                    "column {name:?}: {count} {rows} that the model has not met, such as {text:?}; {fate}"
                ),
            );
        }
    }
}

/// Whether a model's scores of a row did not overflow.
pub(crate) fn is_answered(scores: &[f64]) -> bool {
    scores.iter().all(|x| x.is_finite())
}

/// An error for the first row that counts and whose scores overflowed: nothing can be measured there.
pub(crate) fn all_answered(
    predictions: &[f64],
    outputs: usize,
    weights: Option<&[f64]>,
    targets: &[String],
) -> Result<()> {
    let counts = |row: usize| weights.is_none_or(|weights| weights[row] > 0.0);
    let mut answers = predictions.chunks(outputs).enumerate();
    let without = answers.find(|(row, answer)| counts(*row) && !is_answered(answer));
    match without.map(|(row, _)| row) {
        None => Ok(()),
        Some(row) => {
            let what =
                "there is no prediction to measure: the row's numbers are so large that the scores overflow";
            Err(Error::cell(row, listed(targets), what))
        }
    }
}

/// Size of a file for people.
pub(crate) fn size(bytes: usize) -> String {
    match bytes as f64 {
        b if b < 1e3 => format!("{b} bytes"),
        b if b < 1e6 => format!("{:.1} kB", b / 1e3),
        b if b < 1e9 => format!("{:.1} MB", b / 1e6),
        b => format!("{:.1} GB", b / 1e9),
    }
}

/// Prints to stdout.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Whether a path stands for stdin or stdout.
pub(crate) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned() {
        let rows = vec![vec!["a".into(), "1.5".into()], vec!["long".into(), "10".into(), "x".into()]];
        assert_eq!(aligned(&rows), "  a     1.5\n  long   10  x\n");
        let numbers = [0.0, 1.0, -0.25, 68283.9159, 1.5e-9, 9.99999999e6, f64::INFINITY];
        let texts = ["0.000000", "1.000000", "-0.250000", "68283.92", "1.50000e-9", "10000000", "inf"];
        assert!(numbers.iter().zip(texts).all(|(x, text)| significant(*x) == text));
        assert_eq!(printable("a\u{1b}[2J\nb"), "a\u{FFFD}[2J\u{FFFD}b");
    }
}
