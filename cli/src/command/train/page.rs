//! The report of a training: losses by stage, what a penalty does, what was learned from which column, where the model errs.

use super::Measured;
use crate::output::{SHOWN_CLASSES, printable, short, significant};
use tilewise_base::metric::{Score, Truth, confusion, most_probable, summary};
use tilewise_base::{CoefficientPath, Model, Result, Task};
use tilewise_picture::{self as picture, Losses, Residuals};
use tilewise_report::{Block, Chart, Page, Section, Table};

/// Columns whose importance is shown.
const COLUMNS: usize = 20;

/// What a page shows.
pub(super) struct Picture<'a> {
    pub(super) family: &'static str,
    pub(super) summary: String,
    pub(super) losses: Vec<Losses>,
    pub(super) path: Option<CoefficientPath>,
    /// Draws rows where they are very many.
    pub(super) seed: u64,
    pub(super) model: &'a dyn Model,
    /// On which rows, and how they were answered; nothing where there is no target.
    pub(super) measured: Option<(String, Measured)>,
}

impl Picture<'_> {
    pub(super) fn page(&self) -> Result<Page> {
        let quality = self.measured.as_ref().map(|(what, measured)| quality(what, measured)).transpose()?;
        let errors =
            self.measured.as_ref().map(|(what, measured)| self.errors(what, measured)).transpose()?;
        let penalty = self.path.as_ref().map(penalty);
        let sections = [quality, self.learning(), penalty, self.importances(), errors.flatten()];
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
                let deviance = |y, mean| self.model.deviance(y, mean);
                let target = picture::targets(self.model);
                let weights = weights.as_deref();
                let residuals = Residuals::new(target, deviance, y, predictions, weights, self.seed)?;
                // Around a quantile there is nothing normal.
                let charts = match truth {
                    Truth::Quantiles { .. } => residuals.charts().into_iter().take(1).collect(),
                    _ => residuals.charts(),
                };
                let section = match charts.len() {
                    0 => section.with(Block::Note(format!("No row {what} has a residual that is a number."))),
                    _ => section.with(Block::Note(how_to_read(what, &residuals, charts.len()))),
                };
                let section = residuals.told().into_iter().fold(section, |s, told| s.with(Block::Note(told)));
                Some(if charts.is_empty() { section } else { section.with(Block::Charts(charts)) })
            }
            _ => None,
        })
    }
}

/// What pictures of residuals tell.
fn how_to_read(what: &str, residuals: &Residuals, charts: usize) -> String {
    let shape = "A shape around the dashed line at 0, other than a band, is something that the model missed.";
    let of_deviance = if residuals.of_deviance() {
        " A deviance residual is the root of what the row adds to the deviance, with the sign of the answer less the prediction."
    } else {
        ""
    };
    if charts == 1 {
        return format!("Measured {what}. {shape}{of_deviance}");
    }
    format!(
        "Measured {what}.{of_deviance} {shape} Standardised residuals are divided by the root of their mean square (with weights, each times the \
         root of its own). They lie on the dashed line of the second picture where they are distributed normally; ends that leave it are more \
         large errors, or fewer, than that. Where the line of the third picture rises, larger predictions err more."
    )
}

/// Coefficients over weights of a penalty, and errors by which one was chosen.
fn penalty(path: &CoefficientPath) -> Section {
    let mut section = Section::new("What the penalty does");
    let lines = picture::path::coefficients(path).map(Chart::Line);
    let what = match (&lines, path.standardised) {
        (None, _) => "Every coefficient is 0 at each weight that was tried.",
        (_, true) => {
            "Coefficients of all rows that were learned from. From left to right the penalty becomes weaker, and columns come in one after \
             another. Numbers are scaled to deviation 1, so that their coefficients can be compared; a column of a category is 0 or 1."
        }
        (_, false) => {
            "Coefficients of all rows that were learned from, each for a unit of its column: those of columns in other units cannot be compared. \
             From left to right the penalty becomes weaker, and columns come in one after another."
        }
    };
    let charts: Vec<Chart> =
        lines.into_iter().chain(picture::path::errors(path).map(Chart::Scatter)).collect();
    section = section.with(Block::Note(what.into()));
    if let Some(compared) = &path.compared {
        let at =
            |place: usize| compared.alphas.get(place).map_or(String::new(), |a| picture::path::weight(*a));
        section = section.with(Block::Note(format!(
            "Each weight was tried on {} parts of the rows, of which each was left out once: the least {} is at alpha {}. Within one standard \
             error of it the largest alpha is {}; `--set choose=one-standard-error` takes that one.",
            compared.folds,
            compared.measure,
            at(compared.best),
            at(compared.one_standard_error)
        )));
    }
    if charts.is_empty() { section } else { section.with(Block::Charts(charts)) }
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
