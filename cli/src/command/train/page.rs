//! The report of a training: losses by stage, what was learned from which column, where the model errs.

use super::Measured;
use crate::output::{SHOWN_CLASSES, printable, short, significant};
use tilewise_base::metric::{Score, Truth, confusion, most_probable, summary};
use tilewise_base::{Model, Result, Task};
use tilewise_picture::{self as picture, Losses};
use tilewise_report::{Block, Chart, Page, Section, Table};

/// Columns whose importance is shown.
const COLUMNS: usize = 20;

/// What a page shows.
pub(super) struct Picture<'a> {
    pub(super) family: &'static str,
    pub(super) summary: String,
    pub(super) losses: Vec<Losses>,
    pub(super) model: &'a dyn Model,
    /// On which rows, and how they were answered; nothing where there is no target.
    pub(super) measured: Option<(String, Measured)>,
}

impl Picture<'_> {
    pub(super) fn page(&self) -> Result<Page> {
        let quality = self.measured.as_ref().map(|(what, measured)| quality(what, measured)).transpose()?;
        let errors =
            self.measured.as_ref().map(|(what, measured)| self.errors(what, measured)).transpose()?;
        let sections = [quality, self.learning(), self.importances(), errors.flatten()];
        Ok(Page {
            title: format!("Training of {}", self.family),
            summary: printable(&self.summary),
            machine: None,
            sections: sections.into_iter().flatten().collect(),
        })
    }

    /// Losses by stage, of families that tell them.
    fn learning(&self) -> Option<Section> {
        let first = self.losses.first()?;
        let what = if first.held_out.is_some() {
            "The loss falls on the rows that trees grow on as long as there is anything left in them to learn, chance included; on rows \
             held out it rises again where more is chance than sense. Stages up to the least loss there are kept."
        } else {
            "The loss on the rows that trees grow on falls as long as there is anything left in them to learn, chance included. It \
             does not tell when to stop: `--set early_stopping=50` holds rows out and does."
        };
        let mut section = Section::new("How it learned")
            .with(Block::Charts(vec![Chart::Line(picture::losses(&self.losses))]))
            .with(Block::Note(what.into()));
        if first.round > 1 {
            let what =
                format!("The model was continued: losses before stage {} are not known here.", first.round);
            section = section.with(Block::Note(what));
        }
        Some(section)
    }

    /// The share of each column in what splits gained, of families that have it.
    fn importances(&self) -> Option<Section> {
        let shares = self.model.importances().ok()?;
        let title = "Importance of columns".to_owned();
        let chart = picture::importances(self.model.inputs(), &shares, title, COLUMNS);
        let what = "What splits gained on rows that were learned from: columns of many values seem to matter more than they do. \
                    `tilewise importance` measures on other rows how much worse the model is without a column.";
        let section = Section::new("What was learned from which column");
        Some(section.with(Block::Charts(vec![Chart::Bar(chart)])).with(Block::Note(what.into())))
    }

    /// Which classes are taken for which, or what is left of numbers.
    fn errors(&self, what: &str, measured: &Measured) -> Result<Option<Section>> {
        let Measured { truth, predictions, weights, .. } = measured;
        let section = Section::new("Where it errs");
        Ok(match (truth, self.model.task()) {
            (Truth::Classes { codes, .. }, Task::Classification { classes })
                if classes.len() <= SHOWN_CLASSES =>
            {
                let called = most_probable(predictions, classes.len());
                let counts = confusion(codes, &called, classes.len(), weights.as_deref())?;
                let header = classes.iter().map(|class| format!("called {}", printable(class)));
                let header: Vec<String> =
                    ["<".to_owned()].into_iter().chain(header).chain(["right".into()]).collect();
                let title = format!("What rows are and what they are called, {what}");
                let mut table = Table::new(title, &header.iter().map(String::as_str).collect::<Vec<_>>());
                for (i, class) in classes.iter().enumerate() {
                    let of_row: Vec<f64> = (0..classes.len()).map(|j| counts.get(i, j)).collect();
                    let all: f64 = of_row.iter().sum();
                    let right =
                        if all > 0.0 { tilewise_report::percent(of_row[i] / all) } else { String::new() };
                    let cells = of_row.into_iter().map(short).chain([right]);
                    table.push([format!("is {}", printable(class))].into_iter().chain(cells));
                }
                Some(section.with(Block::Table(table)))
            }
            (Truth::Numbers(y) | Truth::Quantiles { y, .. }, _) if y.len() == predictions.len() => {
                let chart = picture::residuals(y, predictions, weights.as_deref());
                let what = format!(
                    "Rows {what}. A shape around the dashed line, other than a band, is something that the model missed."
                );
                Some(section.with(Block::Charts(vec![Chart::Scatter(chart)])).with(Block::Note(what)))
            }
            _ => None,
        })
    }
}

/// All measures, beside those of the answer that ignores the inputs.
fn quality(what: &str, measured: &Measured) -> Result<Section> {
    let Measured { truth, predictions, constant, weights } = measured;
    let ours = summary(truth, predictions, weights.as_deref())?;
    let plain = summary(truth, &constant.repeat(truth.rows()), weights.as_deref())?;
    let number =
        |score: &Score| if score.value.is_nan() { "undefined".into() } else { significant(score.value) };
    let mut table =
        Table::new(format!("Measured {what}"), &["<measure", "model", "always the same", "<better is"]);
    for (ours, plain) in ours.iter().zip(&plain) {
        let better = if ours.more_is_better { "more" } else { "less" };
        table.push([ours.name.to_owned(), number(ours), number(plain), better.to_owned()]);
    }
    Ok(Section::new("How good it is").with(Block::Table(table)))
}
