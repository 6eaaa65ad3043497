//! From a table to a forest that is stored and served.

use crate::continued::Origin;
use crate::quantiles::Answers;
use crate::{Forest, RandomForest};
use tilewise_base::error::listed;
use tilewise_base::{
    Context, Dataset, Error, Field, Fit, FitReport, Model, ModelFile, Outline, Result, Roles, Task, Unseen,
    predict_rows, unseen,
};
use tilewise_kernels::{MatMut, MatRef, same};
use tilewise_tree::rounds::Described;
use tilewise_tree::{
    MaxBins, Shap, Splitter, Training, TreeModel, WhenAsked, outline, show_importances, show_unseen, stored,
};

/// A fitted forest with the columns it reads.
#[derive(Clone, Debug, PartialEq)]
pub struct ForestModel {
    max_bins: MaxBins,
    inputs: Vec<Field>,
    forest: Forest,
    compiled: WhenAsked,
    target: String,
    task: Task,
    report: FitReport,
}

impl ForestModel {
    /// Fits a forest to the columns of `dataset`: classes if `classify`, else numbers, of several target columns together
    /// ([`RandomForest::fit_outputs`]), or quantiles of one where the parameters have any.
    ///
    /// # Errors
    /// When a column or cell is not what its role needs (named), there are classes of several columns, or a parameter is not
    /// accepted.
    pub fn fit(
        params: &RandomForest,
        max_bins: impl Into<MaxBins>,
        classify: bool,
        dataset: &Dataset,
        roles: &Roles,
        context: &Context<'_>,
    ) -> Result<Self> {
        Self::extend(None, params, max_bins.into(), classify, dataset, roles, context)
    }

    /// Goes on with this forest until it has as many trees as `params` say ([`RandomForest::continue_from`]). The model, and its
    /// file, is the one that these parameters give at once.
    ///
    /// # Errors
    /// As [`ForestModel::fit`], or when columns, parameters, seed or rows are not those of this model (it names which).
    pub fn continued(
        &self,
        params: &RandomForest,
        max_bins: impl Into<MaxBins>,
        classify: bool,
        dataset: &Dataset,
        roles: &Roles,
        context: &Context<'_>,
    ) -> Result<Self> {
        Self::extend(Some(self), params, max_bins.into(), classify, dataset, roles, context)
    }

    fn extend(
        earlier: Option<&Self>,
        params: &RandomForest,
        max_bins: MaxBins,
        classify: bool,
        dataset: &Dataset,
        roles: &Roles,
        context: &Context<'_>,
    ) -> Result<Self> {
        let Training { table, inputs, answers, task, warnings } =
            Training::new(max_bins, classify, dataset, roles, context)?;
        let target = roles.target_name().to_owned();
        let fit = match earlier {
            None => params.fit(&table, &answers, context)?,
            Some(earlier) => {
                earlier.check_continued(max_bins, &inputs, &target, &task)?;
                params.continue_from(&earlier.forest, &table, &answers, context)?
            }
        };
        Ok(Self::assembled(fit, Described { max_bins, inputs, roles: roles.clone(), task, warnings }))
    }

    /// A model of fitted trees, whose table it describes.
    pub(crate) fn assembled(fit: Fit<Forest>, described: Described) -> Self {
        let Described { max_bins, inputs, roles, task, warnings } = described;
        let Fit { model: forest, mut report } = fit;
        report.warnings.extend(warnings);
        let quantiles = &forest.origin.params.quantiles;
        let task = if quantiles.is_empty() { task } else { Task::Quantiles { quantiles: quantiles.clone() } };
        let (target, compiled) = (roles.target_name().to_owned(), WhenAsked::default());
        Self { max_bins, inputs, forest, compiled, target, task, report }
    }

    /// That what a model reads and predicts is what it read and predicted; `task` is that without quantiles.
    fn check_continued(&self, max_bins: MaxBins, inputs: &[Field], target: &str, task: &Task) -> Result<()> {
        if max_bins != self.max_bins {
            let accepted = format!("the forest to continue was grown with {}", self.max_bins);
            return Err(Error::parameter("max_bins", max_bins, accepted));
        }
        let is_new = |field: &&Field| !self.inputs.contains(field);
        let is_gone = |field: &&Field| !inputs.iter().any(|input| input.name == field.name);
        if let Some(field) = inputs.iter().find(is_new).or_else(|| self.inputs.iter().find(is_gone)) {
            let what = "is not the input that it was for the forest to continue (its kind or categories differ, or one \
                        of them lacks it)";
            return Err(Error::column(&field.name, what));
        }
        if inputs != self.inputs {
            return Err(Error::Fit(
                "the columns are in another order than for the forest to continue".into(),
            ));
        }
        let was = if let Task::Quantiles { .. } = self.task { &Task::Regression } else { &self.task };
        if target != self.target || task != was {
            let theirs = listed(&self.targets());
            return Err(if target.is_empty() {
                let ours = listed(&task.names());
                Error::Fit(format!("the targets are {ours}; the forest to continue predicts {theirs}"))
            } else {
                let what = format!("the forest to continue predicts {theirs:?} or other classes of it");
                Error::column(target, what)
            });
        }
        Ok(())
    }

    /// The forest behind the columns.
    pub fn forest(&self) -> &Forest {
        &self.forest
    }

    /// What it was fitted with.
    pub fn params(&self) -> &RandomForest {
        &self.forest.origin.params
    }

    /// Tree number `number`, from 0, as a model of its own; `None` where there is no such tree. The forest predicts the mean of what its
    /// trees do, but for quantiles, of whose trees each predicts the mean of a leaf. O(nodes), as the tree is copied.
    pub fn tree(&self, number: usize) -> Option<TreeModel> {
        let tree = self.forest.trees.get(number)?.clone();
        let task = if let Task::Quantiles { .. } = self.task { &Task::Regression } else { &self.task };
        let params = self.params().tree_of(matches!(task, Task::Classification { .. }));
        let targets = self.targets().into_iter().map(String::from).collect();
        let described = Described {
            max_bins: self.max_bins,
            inputs: self.inputs.clone(),
            roles: Roles { targets, ..Roles::default() },
            task: task.clone(),
            warnings: Vec::new(),
        };
        Some(TreeModel::assembled(params, tree, described))
    }

    /// Reads a model from its file.
    ///
    /// # Errors
    /// When the file holds another kind of model, or parts that do not fit each other.
    pub fn from_file(file: &ModelFile<'_>) -> Result<Self> {
        let params: RandomForest = file.metadata("params")?;
        params.check()?;
        if file.kind() != kind(&params) {
            return Err(file.error(format!("its parameters are those of {:?}", kind(&params))));
        }
        let task: Task = file.metadata("task")?;
        let inputs: Vec<Field> = file.metadata("inputs")?;
        let of_trees = match &task {
            Task::Quantiles { quantiles } if *quantiles == params.quantiles && !quantiles.is_empty() => {
                &Task::Regression
            }
            task if params.quantiles.is_empty() => task,
            _ => return Err(file.error("its task is not that of its quantiles")),
        };
        let outputs = stored::outputs(of_trees, params.tree.criterion)
            .ok_or_else(|| file.error("its task is not one that its criterion is made for"))?;
        let trees = stored::from_file(file, &inputs, params.tree.unseen, outputs)?;
        let numbers: Option<Vec<u32>> = file.metadata("numbers")?;
        let numbers = numbers.unwrap_or_else(|| (0..trees.len() as u32).collect());
        let is_below = |last: &u32| (*last as usize) < params.trees;
        if numbers.len() != trees.len()
            || !numbers.is_sorted_by(|a, b| a < b)
            || !numbers.last().is_some_and(is_below)
        {
            return Err(file.error("the numbers of its trees are not those of trees that were asked for"));
        }
        let table: String = file.metadata("table")?;
        let table = u64::from_str_radix(&table, 16)
            .ok()
            .filter(|number| hex(*number) == table)
            .ok_or_else(|| file.error("the fingerprint of its table is not 16 hexadecimal digits"))?;
        let answers = match params.quantiles.is_empty() {
            true => None,
            false => Some(Answers::read(file, &trees)?),
        };
        let origin = Origin { params, seed: file.metadata("seed")?, table };
        let forest = Forest { trees, numbers, origin, answers, out_of_bag: file.metadata("out_of_bag")? };
        let (target, report) = (file.metadata("target")?, file.metadata("report")?);
        let (max_bins, compiled) = (file.metadata::<MaxBins>("max_bins")?, WhenAsked::default());
        max_bins.check()?;
        Ok(Self { max_bins, inputs, forest, compiled, target, task, report })
    }
}

/// What such a forest is called: its trees divide columns where that gains most, or at drawn places.
fn kind(params: &RandomForest) -> &'static str {
    if params.tree.splitter == Splitter::Best { "forest" } else { "extra-trees" }
}

/// 16 digits, since readers of JSON do not agree on integers beyond 2^53.
fn hex(number: u64) -> String {
    format!("{number:016x}")
}

impl ForestModel {
    /// What explains these cells, if answers are sums that can be explained.
    fn shap(&self, cells: MatRef<'_, f64>) -> Result<Shap<'_>> {
        if let Task::Quantiles { .. } = self.task {
            let what =
                "predicts quantiles, which are no sums of what columns add; a forest without quantiles can";
            return Err(Error::Fit(format!("{what} be explained")));
        }
        same("cells per row", self.inputs.len(), cells.cols())?;
        unseen::check(self, cells)?;
        Shap::new(self.forest.trees())
    }
}

impl Model for ForestModel {
    fn kind(&self) -> &str {
        kind(&self.forest.origin.params)
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
        self.params().tree.unseen
    }
    fn saw(&self, input: usize, category: usize) -> bool {
        let inputs = self.forest.trees().first().map_or(&[][..], |tree| tree.inputs());
        inputs.get(input).is_some_and(|input| input.saw(category))
    }

    fn predict(&self, cells: MatRef<'_, f64>, offset: Option<&[f64]>, out: MatMut<'_, f64>) -> Result<()> {
        same("cells per row", self.inputs.len(), cells.cols())?;
        same("columns of out", self.task.outputs(), out.cols())?;
        if offset.is_some() {
            return Err(Error::Fit("a forest has no linear predictor to add an offset to".into()));
        }
        unseen::check(self, cells)?;
        let Task::Quantiles { quantiles } = &self.task else {
            return Ok(self.compiled.get(self.forest.trees())?.mean(cells, out)?);
        };
        // The rows of a leaf of every tree.
        let named = self.forest.answers.as_ref().map_or(0, Answers::rows_named);
        predict_rows(cells, out, named, |_, row, out| self.forest.quantiles(row, quantiles, out))
    }

    fn prepare(&self) -> Result<()> {
        self.compiled.get(self.forest.trees()).map(|_| ())
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let Forest { trees, answers, .. } = &self.forest;
        let writer = stored::writer(self.kind(), self.metadata()?, trees)?;
        match answers {
            Some(answers) => answers.write(trees, writer)?.to_bytes(),
            None => writer.to_bytes(),
        }
    }

    fn metadata(&self) -> Result<serde_json::Value> {
        let Forest { trees, numbers, origin, out_of_bag, .. } = &self.forest;
        // Trees that were all grown are numbered by their places.
        let stopped = trees.len() < origin.params.trees;
        Ok(serde_json::json!({
            "bins": trees.first().map_or(&[][..], |tree| tree.inputs()),
            "inputs": self.inputs,
            "max_bins": self.max_bins,
            "numbers": stopped.then_some(numbers),
            "out_of_bag": out_of_bag,
            "params": origin.params,
            "report": self.report,
            "seed": origin.seed,
            "table": hex(origin.table),
            "target": self.target,
            "task": self.task,
        }))
    }

    fn describe(&self) -> String {
        let forest = &self.forest;
        let depths = forest.trees().iter().map(|tree| tree.depth());
        let (least, most) = (depths.clone().min().unwrap_or(0), depths.max().unwrap_or(0));
        let mut text = format!(
            "{}\n  {} trees, {} leaves, depth {least} to {most}\n",
            self.kind(),
            forest.trees().len(),
            forest.leaves()
        );
        if let Some(judged) = forest.out_of_bag() {
            text += &format!("  {}\n", judged.told(matches!(self.task, Task::Classification { .. })));
        }
        if let Task::Quantiles { quantiles } = &self.task {
            let quantiles = quantiles.iter().map(f64::to_string).collect::<Vec<_>>().join(", ");
            text += &format!("  quantiles {quantiles} of the answers of its leaves\n");
        }
        text += &show_unseen(&self.inputs, self.unseen());
        text + &show_importances(&self.inputs, &forest.importances())
    }

    fn importances(&self) -> Result<Vec<f64>> {
        Ok(self.forest.importances())
    }

    /// The means over the trees.
    fn contributions(&self, cells: MatRef<'_, f64>, out: MatMut<'_, f64>) -> Result<()> {
        self.shap(cells)?.explain(cells, out)
    }

    /// The means over the trees.
    fn interactions(&self, cells: MatRef<'_, f64>, out: MatMut<'_, f64>) -> Result<()> {
        self.shap(cells)?.interactions(cells, out)
    }

    fn outline(&self, tree: usize) -> Result<Outline> {
        outline(self.forest.trees(), tree, &self.inputs, &self.task)
    }
}
