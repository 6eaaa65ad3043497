//! From a table to a tree that is stored and served.

use crate::DecisionTree;
use crate::compiled::WhenAsked;
use crate::cuts::UNKNOWN;
use crate::stored;
use crate::training::{Answers, Training};
use crate::tree::{Input, Test, Tree};
use std::fmt::Write as _;
use std::ops::ControlFlow;
use tilewise_base::{
    Context, Dataset, Error, Field, Fit, FitReport, Kind, Model, ModelFile, Result, Roles, Task,
};
use tilewise_kernels::{MatMut, MatRef, same};

/// A fitted tree with the columns it reads.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeModel {
    params: DecisionTree,
    max_bins: usize,
    inputs: Vec<Field>,
    tree: Tree,
    compiled: WhenAsked,
    target: String,
    task: Task,
    report: FitReport,
}

impl TreeModel {
    /// Fits a tree to the columns of `dataset`: classes if `classify`, else numbers.
    ///
    /// # Errors
    /// When a column or cell is not what its role needs (named), or a parameter is not accepted.
    pub fn fit(
        params: &DecisionTree,
        max_bins: usize,
        classify: bool,
        dataset: &Dataset,
        roles: &Roles,
        context: &Context<'_>,
    ) -> Result<Self> {
        let Training { table, inputs, answers, task, warnings } =
            Training::new(max_bins, classify, dataset, roles, context)?;
        let fit = match &answers {
            Answers::Classes { y, classes } => params.fit_classes(&table, y, *classes, context)?,
            Answers::Numbers(y) => params.fit_numbers(&table, y, context)?,
        };
        let Fit { model: tree, mut report } = fit;
        report.warnings.extend(warnings);
        let (params, target) = (params.clone(), roles.target.clone());
        let compiled = WhenAsked::default();
        Ok(Self { params, max_bins, inputs, tree, compiled, target, task, report })
    }

    /// The tree behind the columns.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// What it was fitted with.
    pub fn params(&self) -> &DecisionTree {
        &self.params
    }

    /// Reads a model from its file.
    ///
    /// # Errors
    /// When the file holds another kind of model, or parts that do not fit each other.
    pub fn from_file(file: &ModelFile<'_>) -> Result<Self> {
        let params: DecisionTree = file.metadata("params")?;
        params.check()?;
        let task: Task = file.metadata("task")?;
        let fields: Vec<Field> = file.metadata("inputs")?;
        let outputs = stored::outputs(&task, params.criterion)
            .ok_or_else(|| file.error("its task is not one that its criterion is made for"))?;
        let mut trees = stored::from_file(file, &fields, file.metadata("bins")?, outputs)?;
        let Some(tree) = trees.pop().filter(|_| trees.is_empty()) else {
            return Err(file.error("it holds more than one tree"));
        };
        let (target, report) = (file.metadata("target")?, file.metadata("report")?);
        let (max_bins, compiled) = (file.metadata("max_bins")?, WhenAsked::default());
        Ok(Self { params, max_bins, inputs: fields, tree, compiled, target, task, report })
    }
}

impl Model for TreeModel {
    fn kind(&self) -> &str {
        "tree"
    }
    fn inputs(&self) -> &[Field] {
        &self.inputs
    }
    fn target(&self) -> &str {
        &self.target
    }
    fn task(&self) -> &Task {
        &self.task
    }
    fn report(&self) -> &FitReport {
        &self.report
    }

    fn predict(&self, cells: MatRef<'_, f64>, offset: Option<&[f64]>, out: MatMut<'_, f64>) -> Result<()> {
        same("cells per row", self.inputs.len(), cells.cols())?;
        same("columns of out", self.tree.outputs(), out.cols())?;
        if offset.is_some() {
            return Err(Error::Fit("a tree has no linear predictor to add an offset to".into()));
        }
        let compiled = self.compiled.get(std::slice::from_ref(&self.tree))?;
        Ok(compiled.sum(cells, out)?)
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let metadata = serde_json::json!({
            "bins": *self.tree.inputs,
            "inputs": self.inputs,
            "max_bins": self.max_bins,
            "params": self.params,
            "report": self.report,
            "target": self.target,
            "task": self.task,
        });
        stored::to_bytes("tree", metadata, std::slice::from_ref(&self.tree))
    }

    /// Importances, then the tree as text, its first 200 nodes.
    fn describe(&self) -> String {
        let tree = &self.tree;
        let importances = show_importances(&self.inputs, &tree.importances());
        let mut text = format!("tree\n  {} leaves, depth {}\n{importances}", tree.leaves(), tree.depth());
        text += "splits\n";
        let mut lines = 0;
        if self.show(&mut text, &mut lines).is_break() {
            let _ = writeln!(text, "  and {} nodes more", tree.nodes.len().saturating_sub(lines));
        }
        text
    }
}

/// The share of each input in what all splits gained, the largest first, as text.
pub fn show_importances(inputs: &[Field], importances: &[f64]) -> String {
    let mut text = String::from("importance\n");
    let mut importances: Vec<(&f64, &Field)> = importances.iter().zip(inputs).collect();
    importances.sort_by(|a, b| b.0.total_cmp(a.0));
    let width = inputs.iter().map(|field| field.name.chars().count()).max().unwrap_or(0);
    for (importance, field) in importances {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {:width$}  {importance:.4}", field.name);
    }
    text
}

/// Nodes that a description shows at most.
const SHOWN: usize = 200;

impl TreeModel {
    fn show(&self, text: &mut String, lines: &mut usize) -> ControlFlow<()> {
        let mut next = vec![(0, 1)];
        while let Some((at, depth)) = next.pop() {
            if *lines == SHOWN {
                return ControlFlow::Break(());
            }
            *lines += 1;
            let node = &self.tree.nodes[at];
            let indent = "  ".repeat(depth);
            let what = match &node.test {
                None => self.prediction(at),
                Some(test) => format!(
                    "{}, missing {}",
                    self.test(node.feature as usize, test),
                    if node.missing_left { "left" } else { "right" }
                ),
            };
            let _ = writeln!(text, "{indent}{what} ({} rows)", node.rows);
            if node.test.is_some() {
                next.push((node.right as usize, depth + 1));
                next.push((node.left as usize, depth + 1));
            }
        }
        ControlFlow::Continue(())
    }

    fn prediction(&self, node: usize) -> String {
        let value = self.tree.value(node);
        match &self.task {
            Task::Regression => format!("{}", value[0]),
            Task::Classification { classes } => {
                let best = (0..value.len()).max_by(|&a, &b| value[a].total_cmp(&value[b]).then(b.cmp(&a)));
                let best = best.unwrap_or(0);
                format!("{:?} {:.3}", classes.get(best).map_or("", String::as_str), value[best])
            }
        }
    }

    fn test(&self, feature: usize, test: &Test) -> String {
        let field = &self.inputs[feature];
        match (test, &field.kind, &self.tree.inputs[feature]) {
            (Test::Bins(set), Kind::Categorical { dictionary }, Input::Category(bins)) => {
                let has = |bin: u8| bin != UNKNOWN && set[usize::from(bin / 64)] >> (bin % 64) & 1 == 1;
                let names: Vec<String> = dictionary
                    .iter()
                    .zip(bins)
                    .filter(|(_, bin)| has(**bin))
                    .map(|(name, _)| format!("{name:?}"))
                    .collect();
                format!("{} in {{{}}}", field.name, names.join(", "))
            }
            (Test::UpTo(threshold), ..) if *threshold == f64::INFINITY => format!("{} is there", field.name),
            (Test::UpTo(threshold), ..) => format!("{} <= {threshold}", field.name),
            (Test::Bins(_), ..) => field.name.clone(),
        }
    }
}
