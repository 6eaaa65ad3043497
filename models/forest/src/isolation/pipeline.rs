//! From a table to an isolation forest that is stored and served.

use super::{Cells, Isolation, IsolationForest};
use tilewise_base::{
    Column, Context, Dataset, Error, Field, Fit, FitReport, Kind, Model, ModelFile, Result, Roles, Task,
    Unseen, predict_rows, unseen,
};
use tilewise_kernels::{MatMut, MatRef, same};
use tilewise_tree::{show_unseen, stored, without_values};

/// A fitted isolation forest with the columns it reads.
#[derive(Clone, Debug, PartialEq)]
pub struct IsolationModel {
    params: IsolationForest,
    inputs: Vec<Field>,
    forest: Isolation,
    /// Empty, or the column that tells anomalies, which was kept from the forest.
    target: String,
    task: Task,
    report: FitReport,
}

impl IsolationModel {
    /// Fits a forest to the columns of `dataset`. It needs no target; a column that `roles` calls so is left out, to judge by.
    ///
    /// # Errors
    /// When a column is not what its role needs (named), or a parameter is not accepted.
    pub fn fit(
        params: &IsolationForest,
        dataset: &Dataset,
        roles: &Roles,
        context: &Context<'_>,
    ) -> Result<Self> {
        if let Some(offset) = &roles.offset {
            return Err(Error::column(
                offset,
                "is an offset; an isolation forest has no linear predictor to add it to",
            ));
        }
        let names = roles.inputs(dataset)?;
        let target = roles.only_target()?.unwrap_or_default().to_owned();
        let columns = names.iter().map(|name| dataset.column(name)).collect::<Result<Vec<&Column>>>()?;
        let weights = roles.weights(dataset)?;
        let field = |(name, column): (&String, &&Column)| Field { name: name.clone(), kind: column.kind() };
        let inputs: Vec<Field> = names.iter().zip(&columns).map(field).collect();
        let levels = |j: usize| match columns[j] {
            Column::Categorical { dictionary, .. } => Some(dictionary.len()),
            _ => None,
        };
        let cell = |row: usize, j: usize| columns[j].cell(row);
        let cells = Cells { rows: dataset.rows(), cell: &cell };
        let fit = params.grow(columns.len(), levels, cells, weights.as_deref(), context)?;
        let Fit { model: forest, mut report } = fit;
        report.warnings.extend(without_values(&names, &columns));
        let task = Task::Anomaly { threshold: forest.threshold };
        Ok(Self { params: params.clone(), inputs, forest, target, task, report })
    }

    /// The forest behind the columns.
    pub fn forest(&self) -> &Isolation {
        &self.forest
    }

    /// What it was fitted with.
    pub fn params(&self) -> &IsolationForest {
        &self.params
    }

    /// Reads a model from its file.
    ///
    /// # Errors
    /// When the file holds another kind of model, or parts that do not fit each other.
    pub fn from_file(file: &ModelFile<'_>) -> Result<Self> {
        let params: IsolationForest = file.metadata("params")?;
        params.check()?;
        let task: Task = file.metadata("task")?;
        let Task::Anomaly { threshold } = task else {
            return Err(file.error("its task is not to find anomalies"));
        };
        if threshold.is_some() != params.contamination.is_some() {
            return Err(file.error("it has a threshold without a share of anomalies, or the other way round"));
        }
        let inputs: Vec<Field> = file.metadata("inputs")?;
        let trees = stored::from_file(file, &inputs, params.unseen, 1)?;
        let is_path =
            |tree: &tilewise_tree::Tree| (0..tree.len()).all(|node| tree.numbers(node).all(|x| x >= 0.0));
        if !trees.iter().all(is_path) {
            return Err(file.error("the length of a path is below 0"));
        }
        let sampled: u32 = file.metadata("sampled")?;
        if sampled < 2 || sampled as usize > params.subsample {
            return Err(file.error(format!("its trees cannot have seen {sampled} rows")));
        }
        let forest = Isolation::new(trees, sampled, threshold);
        let (target, report) = (file.metadata("target")?, file.metadata("report")?);
        Ok(Self { params, inputs, forest, target, task, report })
    }
}

impl Model for IsolationModel {
    fn kind(&self) -> &str {
        "isolation-forest"
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
        let inputs = self.forest.trees.first().map_or(&[][..], |tree| tree.inputs());
        inputs.get(input).is_some_and(|input| input.saw(category))
    }

    fn predict(&self, cells: MatRef<'_, f64>, offset: Option<&[f64]>, out: MatMut<'_, f64>) -> Result<()> {
        same("cells per row", self.inputs.len(), cells.cols())?;
        same("columns of out", 1, out.cols())?;
        if offset.is_some() {
            return Err(Error::Fit("an isolation forest has no linear predictor to add an offset to".into()));
        }
        unseen::check(self, cells)?;
        // 8 bytes of a node, 24 of its split.
        let numbers_of_a_node = 4;
        let steps = self.forest.trees.len() * (self.forest.sampled.ilog2() as usize + 1);
        predict_rows(cells, out, numbers_of_a_node * steps, |_, row, out| {
            out[0] = self.forest.score(row);
            Ok(())
        })
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        stored::to_bytes("isolation-forest", self.metadata()?, &self.forest.trees)
    }

    fn metadata(&self) -> Result<serde_json::Value> {
        Ok(serde_json::json!({
            "bins": self.forest.trees.first().map_or(&[][..], |tree| tree.inputs()),
            "inputs": self.inputs,
            "params": self.params,
            "report": self.report,
            "sampled": self.forest.sampled,
            "target": self.target,
            "task": self.task,
        }))
    }

    /// Trees, and how often each column divides a node.
    fn describe(&self) -> String {
        let forest = &self.forest;
        let leaves: usize = forest.trees.iter().map(|tree| tree.leaves()).sum();
        let mut text = format!(
            "isolation forest\n  {} trees on {} rows each, {leaves} leaves\n",
            forest.trees.len(),
            forest.sampled
        );
        if let Some(threshold) = forest.threshold {
            text += &format!("  rows of score {threshold:.6} and more are called anomalies\n");
        }
        text += &show_unseen(&self.inputs, self.params.unseen);
        let mut splits = vec![0; self.inputs.len()];
        let divided = forest.trees.iter().flat_map(|tree| tree.nodes()).filter(|node| node.test.is_some());
        divided.for_each(|node| splits[node.feature as usize] += 1);
        let width = self.inputs.iter().map(|field| field.name.chars().count()).max().unwrap_or(0);
        text += "splits\n";
        for (field, splits) in self.inputs.iter().zip(splits) {
            let kind = if let Kind::Categorical { .. } = field.kind { " (categories)" } else { "" };
            text += &format!("  {:width$}  {splits}{kind}\n", field.name);
        }
        text
    }
}
