//! `tilewise inspect`: what is in a model file, in words and pictures.

use crate::arguments::{keep_apart, load};
use crate::failure::{Failure, note};
use crate::output::{self, is_standard};
use clap::Args;
use std::path::{Path, PathBuf};
use tilewise_base::error::listed;
use tilewise_base::{Error, Kind, Model, Task, replace};
use tilewise_picture as picture;
use tilewise_report::Chart;

/// Columns whose importance is drawn.
const BARS: usize = 30;

const EXAMPLES: &str = "\
Examples:
  tilewise inspect --model m.safetensors
  tilewise inspect --model m.safetensors | less
  tilewise inspect --model lightgbm.txt --tree 2 --text
  tilewise inspect --model tree.safetensors --text --depth 3
  tilewise inspect --model tree.safetensors --svg tree.svg
  tilewise inspect --model forest.safetensors --tree 7 --svg tree7.svg --depth 5
  tilewise inspect --model tree.safetensors --dot - | dot -Tpdf > tree.pdf
  tilewise inspect --model forest.safetensors --importances importances.svg

With --text, --svg, --dot or --importances only these are made. A row goes the way of yes where it passes the question.";

/// Show what a model file holds: columns it needs, how the fit went, what was learned
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Inspect {
    /// The model file: ours, text of LightGBM, JSON or UBJSON of XGBoost, JSON of CatBoost, or ONNX of a network
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Print a tree as indented text, whole unless --depth says otherwise
    #[arg(long)]
    text: bool,
    /// Draw a tree as SVG into this file; - is stdout
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write a tree in the language of Graphviz into this file; - is stdout
    #[arg(long, value_name = "FILE")]
    dot: Option<PathBuf>,
    /// Draw the importances of columns as SVG into this file; - is stdout
    #[arg(long, value_name = "FILE")]
    importances: Option<PathBuf>,
    /// Which tree of a forest, counted from 1
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    tree: u32,
    /// Questions from the root down that are shown; by default all as text and 4 in pictures
    #[arg(long, value_name = "N")]
    depth: Option<usize>,
}

impl Inspect {
    pub(crate) fn run(self) -> Result<(), Failure> {
        for out in self.pictures() {
            keep_apart(out, None, &self.model)?;
        }
        let model = load(&self.model)?;
        if self.text || self.pictures().next().is_some() {
            return self.show(&*model);
        }
        let mut text = format!("{}: {} model\n", self.model.display(), model.kind());
        text += &match model.task() {
            // Models of other libraries do not know what their target was called.
            Task::Regression if model.target().is_empty() => "predicts a number\n".to_owned(),
            Task::Regression => format!("predicts the number {}\n", output::printable(model.target())),
            Task::Outputs { names } => {
                format!("predicts the numbers {}\n", output::printable(&listed(names)))
            }
            Task::Quantiles { quantiles } => {
                let quantiles = quantiles.iter().map(f64::to_string).collect::<Vec<_>>().join(", ");
                let of = match model.target() {
                    "" => "a number".to_owned(),
                    target => format!("the number {}", output::printable(target)),
                };
                format!("predicts quantiles {quantiles} of {of}\n")
            }
            Task::Ranking { group } => {
                let (target, group) = (output::printable(model.target()), output::printable(group));
                format!("predicts scores that rank rows of one {group} by {target}, the highest first\n")
            }
            Task::Survival { event } => {
                let (target, event) = (output::printable(model.target()), output::printable(event));
                format!(
                    "predicts hazards of the event {event}, relative to those of other rows, from times {target}\n"
                )
            }
            Task::Anomaly { .. } => "scores from 0 to 1 how unusual a row is\n".to_owned(),
            Task::Classification { classes } => {
                let shown: Vec<String> = classes.iter().take(20).map(|c| output::printable(c)).collect();
                let more = if classes.len() > 20 { " ..." } else { "" };
                let target = match model.target() {
                    "" => "a class".to_owned(),
                    target => output::printable(target),
                };
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

    /// Files to be written.
    fn pictures(&self) -> impl Iterator<Item = &Path> {
        [&self.svg, &self.dot, &self.importances].into_iter().flatten().map(PathBuf::as_path)
    }

    /// Text and pictures of a tree, and of importances.
    fn show(&self, model: &dyn Model) -> Result<(), Failure> {
        let told = |error| match error {
            Error::Fit(what) => Failure::Told(format!("{}: {what}", self.model.display())),
            other => other.into(),
        };
        let outline = if self.text || self.svg.is_some() || self.dot.is_some() {
            let tree = self.tree as usize - 1;
            Some(model.outline(tree).map_err(told)?)
        } else {
            None
        };
        if let Some(outline) = &outline {
            let title = picture::title(model, outline, self.tree as usize - 1);
            if self.text {
                output::print(&format!("{title}\n{}", outline.text(self.depth, usize::MAX)))?;
            }
            let depth = self.depth.unwrap_or(picture::DEPTH);
            if let Some(out) = &self.svg {
                write(out, &picture::svg(outline, title.clone(), depth))?;
            }
            if let Some(out) = &self.dot {
                write(out, &picture::dot(outline, &title, depth))?;
            }
        }
        if let Some(out) = &self.importances {
            let shares = model.importances().map_err(told)?;
            let title = format!("Importances: {} from these columns", picture::targets(model));
            write(out, &Chart::Bar(picture::importances(model.inputs(), &shares, title, BARS)).svg())?;
        }
        Ok(())
    }
}

/// Writes a picture.
fn write(out: &Path, content: &str) -> Result<(), Failure> {
    if is_standard(out) {
        return output::print(content);
    }
    replace::write(out, content.as_bytes())?;
    note("written", out.display());
    Ok(())
}
