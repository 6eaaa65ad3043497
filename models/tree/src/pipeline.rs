//! From a table to a tree that is stored and served.

use crate::compiled::WhenAsked;
use crate::outline::outline;
use crate::parameters::report;
use crate::rounds::Described;
use crate::training::{Answers, Training};
use crate::tree::Tree;
use crate::{DecisionTree, MaxBins, Shap, stored};
use std::fmt::Write as _;
use tilewise_base::{
    Context, Dataset, Error, Field, FitReport, Kind, Model, ModelFile, Outline, Result, Roles, Task, Unseen,
    unseen,
};
use tilewise_kernels::{MatMut, MatRef, same};

/// A fitted tree with the columns it reads.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeModel {
    params: DecisionTree,
    max_bins: MaxBins,
    inputs: Vec<Field>,
    tree: Tree,
    compiled: WhenAsked,
    target: String,
    task: Task,
    report: FitReport,
}

impl TreeModel {
    /// Fits a tree to the columns of `dataset`: classes if `classify`, else numbers, of several target columns together
    /// ([`DecisionTree::fit_outputs`]).
    ///
    /// # Errors
    /// When a column or cell is not what its role needs (named), there are classes of several columns, or a parameter is not
    /// accepted.
    pub fn fit(
        params: &DecisionTree,
        max_bins: impl Into<MaxBins>,
        classify: bool,
        dataset: &Dataset,
        roles: &Roles,
        context: &Context<'_>,
    ) -> Result<Self> {
        let max_bins = max_bins.into();
        let Training { table, inputs, answers, task, warnings } =
            Training::new(max_bins, classify, dataset, roles, context)?;
        let fit = match &answers {
            Answers::Classes { y, classes } => params.fit_classes(&table, y, *classes, context)?,
            Answers::Numbers(y) => params.fit_numbers(&table, y, context)?,
            Answers::Outputs(y) => params.fit_outputs(&table, y, context)?,
        };
        let described = Described { max_bins, inputs, roles: roles.clone(), task, warnings };
        Ok(Self::assembled(params.clone(), fit.model, described))
    }

    /// A model of a tree that was grown on the table that is described.
    pub fn assembled(params: DecisionTree, tree: Tree, described: Described) -> Self {
        let Described { max_bins, inputs, roles, task, warnings } = described;
        let report = FitReport { warnings, ..report(&tree) };
        let (target, compiled) = (roles.target_name().to_owned(), WhenAsked::default());
        Self { params, max_bins, inputs, tree, compiled, target, task, report }
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
        let mut trees = stored::from_file(file, &fields, params.unseen, outputs)?;
        let Some(tree) = trees.pop().filter(|_| trees.is_empty()) else {
            return Err(file.error("it holds more than one tree"));
        };
        let (target, report) = (file.metadata("target")?, file.metadata("report")?);
        let (max_bins, compiled) = (file.metadata::<MaxBins>("max_bins")?, WhenAsked::default());
        max_bins.check()?;
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
    fn unseen(&self) -> Unseen {
        self.params.unseen
    }
    fn saw(&self, input: usize, category: usize) -> bool {
        self.tree.inputs.get(input).is_some_and(|input| input.saw(category))
    }

    fn predict(&self, cells: MatRef<'_, f64>, offset: Option<&[f64]>, out: MatMut<'_, f64>) -> Result<()> {
        same("cells per row", self.inputs.len(), cells.cols())?;
        same("columns of out", self.tree.outputs(), out.cols())?;
        if offset.is_some() {
            return Err(Error::Fit("a tree has no linear predictor to add an offset to".into()));
        }
        unseen::check(self, cells)?;
        let compiled = self.compiled.get(std::slice::from_ref(&self.tree))?;
        Ok(compiled.sum(cells, out)?)
    }

    fn prepare(&self) -> Result<()> {
        self.compiled.get(std::slice::from_ref(&self.tree)).map(|_| ())
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        stored::to_bytes("tree", self.metadata()?, std::slice::from_ref(&self.tree))
    }

    fn metadata(&self) -> Result<serde_json::Value> {
        Ok(serde_json::json!({
            "bins": *self.tree.inputs,
            "inputs": self.inputs,
            "max_bins": self.max_bins,
            "params": self.params,
            "report": self.report,
            "target": self.target,
            "task": self.task,
        }))
    }

    /// Importances, then the tree as text, its first 200 nodes.
    fn describe(&self) -> String {
        let tree = &self.tree;
        let importances = show_importances(&self.inputs, &tree.importances());
        let (leaves, depth, unseen) =
            (tree.leaves(), tree.depth(), show_unseen(&self.inputs, self.params.unseen));
        let mut text = format!("tree\n  {leaves} leaves, depth {depth}\n{unseen}{importances}");
        text += "splits\n";
        if let Ok(outline) = self.outline(0) {
            text += &outline.text(None, SHOWN);
        }
        text
    }

    fn importances(&self) -> Result<Vec<f64>> {
        Ok(self.tree.importances())
    }

    fn contributions(&self, cells: MatRef<'_, f64>, out: MatMut<'_, f64>) -> Result<()> {
        same("cells per row", self.inputs.len(), cells.cols())?;
        unseen::check(self, cells)?;
        Shap::new(std::slice::from_ref(&self.tree))?.explain(cells, out)
    }

    fn interactions(&self, cells: MatRef<'_, f64>, out: MatMut<'_, f64>) -> Result<()> {
        same("cells per row", self.inputs.len(), cells.cols())?;
        unseen::check(self, cells)?;
        Shap::new(std::slice::from_ref(&self.tree))?.interactions(cells, out)
    }

    fn outline(&self, tree: usize) -> Result<Outline> {
        outline(std::slice::from_ref(&self.tree), tree, &self.inputs, &self.task)
    }

    fn path(&self, row: &[f64]) -> Result<Vec<usize>> {
        same("cells of the row", self.inputs.len(), row.len())?;
        unseen::check(self, MatRef::new(row, 1, row.len())?)?;
        Ok(self.tree.path(row))
    }
}

/// What happens to categories that training did not see, as text; nothing where no input has categories.
pub fn show_unseen(inputs: &[Field], unseen: Unseen) -> String {
    let what = match unseen {
        Unseen::Missing => "count as missing",
        Unseen::Majority => "go with the majority at each split",
        Unseen::Error => "are refused",
    };
    let any = inputs.iter().any(|field| matches!(field.kind, Kind::Categorical { .. }));
    if any {
        format!("  categories that training did not see {what} (unseen={unseen})\n")
    } else {
        String::new()
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
