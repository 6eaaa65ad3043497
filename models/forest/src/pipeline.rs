//! From a table to a forest that is stored and served.

use crate::{Forest, OutOfBag, RandomForest};
use tilewise_base::{Context, Dataset, Error, Field, Fit, FitReport, Model, ModelFile, Result, Roles, Task};
use tilewise_kernels::{MatMut, MatRef, same};
use tilewise_tree::{Training, WhenAsked, show_importances, stored};

/// A fitted forest with the columns it reads.
#[derive(Clone, Debug, PartialEq)]
pub struct ForestModel {
    params: RandomForest,
    max_bins: usize,
    inputs: Vec<Field>,
    forest: Forest,
    compiled: WhenAsked,
    target: String,
    task: Task,
    report: FitReport,
}

impl ForestModel {
    /// Fits a forest to the columns of `dataset`: classes if `classify`, else numbers.
    ///
    /// # Errors
    /// When a column or cell is not what its role needs (named), or a parameter is not accepted.
    pub fn fit(
        params: &RandomForest,
        max_bins: usize,
        classify: bool,
        dataset: &Dataset,
        roles: &Roles,
        context: &Context<'_>,
    ) -> Result<Self> {
        let Training { table, inputs, answers, task, warnings } =
            Training::new(max_bins, classify, dataset, roles, context)?;
        let Fit { model: forest, mut report } = params.fit(&table, &answers, context)?;
        report.warnings.extend(warnings);
        let (params, target) = (params.clone(), roles.target.clone());
        let compiled = WhenAsked::default();
        Ok(Self { params, max_bins, inputs, forest, compiled, target, task, report })
    }

    /// The forest behind the columns.
    pub fn forest(&self) -> &Forest {
        &self.forest
    }

    /// What it was fitted with.
    pub fn params(&self) -> &RandomForest {
        &self.params
    }

    /// Reads a model from its file.
    ///
    /// # Errors
    /// When the file holds another kind of model, or parts that do not fit each other.
    pub fn from_file(file: &ModelFile<'_>) -> Result<Self> {
        let params: RandomForest = file.metadata("params")?;
        params.check()?;
        let task: Task = file.metadata("task")?;
        let inputs: Vec<Field> = file.metadata("inputs")?;
        let outputs = stored::outputs(&task, params.tree.criterion)
            .ok_or_else(|| file.error("its task is not one that its criterion is made for"))?;
        let trees = stored::from_file(file, &inputs, file.metadata("bins")?, outputs)?;
        let out_of_bag: Option<OutOfBag> = file.metadata("out_of_bag")?;
        let forest = Forest { trees, out_of_bag };
        let (target, report) = (file.metadata("target")?, file.metadata("report")?);
        let (max_bins, compiled) = (file.metadata("max_bins")?, WhenAsked::default());
        Ok(Self { params, max_bins, inputs, forest, compiled, target, task, report })
    }
}

impl Model for ForestModel {
    fn kind(&self) -> &str {
        "forest"
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
        same("columns of out", self.forest.outputs(), out.cols())?;
        if offset.is_some() {
            return Err(Error::Fit("a forest has no linear predictor to add an offset to".into()));
        }
        Ok(self.compiled.get(self.forest.trees())?.mean(cells, out)?)
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let metadata = serde_json::json!({
            "bins": self.forest.trees.first().map_or(&[][..], |tree| tree.inputs()),
            "inputs": self.inputs,
            "max_bins": self.max_bins,
            "out_of_bag": self.forest.out_of_bag,
            "params": self.params,
            "report": self.report,
            "target": self.target,
            "task": self.task,
        });
        stored::to_bytes("forest", metadata, &self.forest.trees)
    }

    fn describe(&self) -> String {
        let forest = &self.forest;
        let depths = forest.trees().iter().map(|tree| tree.depth());
        let (least, most) = (depths.clone().min().unwrap_or(0), depths.max().unwrap_or(0));
        let mut text = format!(
            "forest\n  {} trees, {} leaves, depth {least} to {most}\n",
            forest.trees().len(),
            forest.leaves()
        );
        if let Some(OutOfBag { rows, score }) = forest.out_of_bag() {
            let what = if self.task == Task::Regression { "R2" } else { "accuracy" };
            text += &format!("  out of bag {what} {score:.6} on {rows} rows\n");
        }
        text + &show_importances(&self.inputs, &forest.importances())
    }
}
