//! From a table to boosted trees that are stored and served.

use crate::continued::Origin;
use crate::{Boosted, Ensemble, GradientBoosting, Lesson, Link, Loss};
use tilewise_base::error::listed;
use tilewise_base::{
    Context, Dataset, Error, Field, Fit, FitReport, Model, ModelFile, Outline, Result, Roles, Task, Unseen,
    roles, unseen,
};
use tilewise_kernels::{MatMut, MatRef, same};
use tilewise_tree::rounds::Described;
use tilewise_tree::{MaxBins, Training, outline, show_importances, show_unseen, stored};

/// Fitted boosted trees with the columns they read.
#[derive(Clone, Debug, PartialEq)]
pub struct BoostedModel {
    max_bins: MaxBins,
    inputs: Vec<Field>,
    boosted: Boosted,
    link: Link,
    target: String,
    task: Task,
    /// The column that was added to the first score, if there was one.
    offset: Option<String>,
    report: FitReport,
}

impl BoostedModel {
    /// Fits boosted trees to the columns of `dataset`: classes if `classify`, else numbers.
    ///
    /// # Errors
    /// When a column or cell is not what its role needs (named), rows of a group do not follow each other, there are several targets,
    /// or a parameter is not accepted.
    pub fn fit(
        params: &GradientBoosting,
        max_bins: impl Into<MaxBins>,
        classify: bool,
        dataset: &Dataset,
        roles: &Roles,
        context: &Context<'_>,
    ) -> Result<Self> {
        Self::extend(None, params, max_bins.into(), classify, dataset, roles, context)
    }

    /// Goes on with this model until it has as many stages as `params` say ([`GradientBoosting::continue_from`]).
    ///
    /// # Errors
    /// As [`BoostedModel::fit`], or when columns, parameters, seed or rows are not those of this model (it names which).
    pub fn continued(
        &self,
        params: &GradientBoosting,
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
        params: &GradientBoosting,
        max_bins: MaxBins,
        classify: bool,
        dataset: &Dataset,
        roles: &Roles,
        context: &Context<'_>,
    ) -> Result<Self> {
        roles.needed_target()?;
        let offset = roles.offsets(dataset)?;
        // Offsets are no inputs either.
        let mut of_columns = roles.clone();
        of_columns.ignore.extend(of_columns.offset.take());
        let held_out = roles.held_out(dataset)?;
        let Training { table, inputs, answers, task, warnings } =
            Training::new(max_bins, classify, dataset, &of_columns, context)?;
        let task = task_of(params.loss, task, roles)?;
        let (groups, events) = match &task {
            Task::Ranking { group } => (Some(roles::queries(dataset, group)?), None),
            Task::Survival { event } => (None, Some(roles::flags(dataset, event)?)),
            _ => (None, None),
        };
        let (offset_of_rows, groups, events) = (offset.as_deref(), groups.as_deref(), events.as_deref());
        let held_out = held_out.as_deref();
        let lesson = Lesson { answers: &answers, offset: offset_of_rows, groups, events, held_out };
        let target = roles.target_name().to_owned();
        if let Some(earlier) = earlier {
            earlier.check_continued(max_bins, &inputs, &target, &task, roles)?;
        }
        let described = Described { max_bins, inputs, roles: roles.clone(), task, warnings };
        let model = |fit: Fit<Boosted>| Self::assembled(fit, described.clone());
        let keep = |fit: Fit<Boosted>| match &context.checkpoint {
            Some(checkpoint) => (checkpoint.keep)(&model(fit)?.to_bytes()?),
            None => Ok(()),
        };
        let earlier = earlier.map(|earlier| &earlier.boosted);
        let fit = params.extend(earlier, &table, &lesson, context, Some(&keep));
        model(fit.map_err(|e| roles.named(e))?)
    }

    /// A model of fitted parts, whose table it describes.
    pub(crate) fn assembled(fit: Fit<Boosted>, described: Described) -> Result<Self> {
        let Described { max_bins, inputs, roles, task, warnings } = described;
        let Fit { model: boosted, mut report } = fit;
        report.warnings.extend(warnings);
        let (link, _) = link(boosted.origin.params.loss, &task)?;
        let (target, offset) = (roles.target_name().to_owned(), roles.offset);
        Ok(Self { max_bins, inputs, boosted, link, target, task, offset, report })
    }

    /// That a model reads and predicts what it read and predicted.
    fn check_continued(
        &self,
        max_bins: MaxBins,
        inputs: &[Field],
        target: &str,
        task: &Task,
        roles: &Roles,
    ) -> Result<()> {
        if max_bins != self.max_bins {
            let accepted = format!("the model to continue was grown with {}", self.max_bins);
            return Err(Error::parameter("max_bins", max_bins, accepted));
        }
        if inputs != self.inputs {
            let names =
                |fields: &[Field]| listed(&fields.iter().map(|field| &field.name).collect::<Vec<_>>());
            return Err(Error::Fit(format!(
                "the inputs are {}; the model to continue reads {} (or kinds, categories or their order differ)",
                names(inputs),
                names(&self.inputs)
            )));
        }
        // Rankings were regressions once.
        let was =
            *task == self.task || matches!((task, &self.task), (Task::Ranking { .. }, Task::Regression));
        if target != self.target || !was {
            let what = format!("the model to continue predicts {:?} or other classes of it", self.target);
            return Err(Error::column(target, what));
        }
        if roles.offset != self.offset {
            let what = "the offset is another column than it was for the model to continue";
            return Err(Error::Fit(what.into()));
        }
        Ok(())
    }

    /// The trees behind the columns.
    pub fn boosted(&self) -> &Boosted {
        &self.boosted
    }

    /// What it was fitted with.
    pub fn params(&self) -> &GradientBoosting {
        &self.boosted.origin.params
    }

    /// What makes predictions of scores.
    pub fn link(&self) -> Link {
        self.link
    }

    fn ensemble(&self) -> &Ensemble {
        &self.boosted.ensemble
    }

    /// Reads a model from its file.
    ///
    /// # Errors
    /// When the file holds another kind of model, or parts that do not fit each other.
    pub fn from_file(file: &ModelFile<'_>) -> Result<Self> {
        let params: GradientBoosting = file.metadata("params")?;
        params.check()?;
        let task: Task = file.metadata("task")?;
        let inputs: Vec<Field> = file.metadata("inputs")?;
        let base: Vec<f64> = file.metadata("base")?;
        let scores = link(params.loss, &task)?.1;
        if base.len() != scores {
            return Err(file.error(format!("it has {} bases and its loss {scores} scores", base.len())));
        }
        let all = stored::from_file(file, &inputs, params.tree.unseen, 1)?;
        if all.len() % scores != 0 || all.len() / scores > params.stages {
            return Err(file.error(format!("it has {} trees for {scores} scores", all.len())));
        }
        // A loss that was not finite is stored as none.
        let validation: Vec<Option<f64>> = file.metadata("validation")?;
        let (stages, judged) = (all.len() / scores, validation.len());
        if params.early_stopping.is_some() && !(stages..=params.stages).contains(&judged)
            || params.early_stopping.is_none() && judged > 0
        {
            return Err(file.error(format!("it has {judged} losses of rows held out for {stages} stages")));
        }
        let validation = validation.into_iter().map(|loss| loss.unwrap_or(f64::NAN)).collect();
        let mut trees = vec![Vec::new(); scores];
        all.into_iter().enumerate().for_each(|(number, tree)| trees[number % scores].push(tree));
        let table: String = file.metadata("table")?;
        let table = u64::from_str_radix(&table, 16)
            .ok()
            .filter(|number| hex(*number) == table)
            .ok_or_else(|| file.error("the fingerprint of its table is not 16 hexadecimal digits"))?;
        let (max_bins, seed) = (file.metadata::<MaxBins>("max_bins")?, file.metadata("seed")?);
        max_bins.check()?;
        let link = link(params.loss, &task)?.0;
        let ensemble = Ensemble::new(base, trees).map_err(|e| file.error(e.to_string()))?;
        let origin = Origin { params, seed, table };
        let boosted = Boosted { ensemble, origin, validation };
        let (target, offset, report) =
            (file.metadata("target")?, file.metadata("offset")?, file.metadata("report")?);
        Ok(Self { max_bins, inputs, boosted, link, target, task, offset, report })
    }
}

/// What is learned, where the loss needs a further column to tell.
pub(crate) fn task_of(loss: Loss, task: Task, roles: &Roles) -> Result<Task> {
    let needs = |column: &Option<String>, what: &str| {
        column.clone().ok_or_else(|| Error::Fit(format!("loss {loss} needs {what}")))
    };
    match loss {
        Loss::LambdaRank { .. } => {
            let group = needs(&roles.group, "a group column: it says which rows are of one query")?;
            Ok(Task::Ranking { group })
        }
        Loss::Cox => {
            let what = "an event column: it says whether the event came at the time that is the target (true, 1), or had not come \
                        until then (false, 0)";
            Ok(Task::Survival { event: needs(&roles.event, what)? })
        }
        _ => match &roles.event {
            Some(event) => Err(Error::column(
                event,
                format!("is an event column; only loss cox has a use for it, not {loss}"),
            )),
            None => Ok(task),
        },
    }
}

/// What a loss makes of scores, and how many it has.
fn link(loss: Loss, task: &Task) -> Result<(Link, usize)> {
    let classes = match task {
        Task::Classification { classes } => Some(classes.len()),
        Task::Regression | Task::Ranking { .. } | Task::Survival { .. } => None,
        _ => return Err(Error::Fit("boosted trees predict a number or classes".into())),
    };
    let objective = loss.objective(classes)?;
    Ok((objective.link(), objective.scores()))
}

/// 16 digits, since readers of JSON do not agree on integers beyond 2^53.
fn hex(number: u64) -> String {
    format!("{number:016x}")
}

impl Model for BoostedModel {
    fn kind(&self) -> &str {
        "gbdt"
    }
    fn inputs(&self) -> &[Field] {
        &self.inputs
    }
    fn target(&self) -> &str {
        &self.target
    }
    fn offset(&self) -> Option<&str> {
        self.offset.as_deref()
    }
    fn task(&self) -> &Task {
        &self.task
    }
    fn judged_as(&self) -> Task {
        match self.params().loss {
            Loss::Quantile { quantile } => Task::Quantiles { quantiles: vec![quantile] },
            _ => self.task.clone(),
        }
    }
    fn report(&self) -> &FitReport {
        &self.report
    }
    fn unseen(&self) -> Unseen {
        self.params().tree.unseen
    }
    fn saw(&self, input: usize, category: usize) -> bool {
        let first = self.ensemble().trees(0).first();
        first.and_then(|tree| tree.inputs().get(input)).is_some_and(|input| input.saw(category))
    }

    fn predict(&self, cells: MatRef<'_, f64>, offset: Option<&[f64]>, out: MatMut<'_, f64>) -> Result<()> {
        same("cells per row", self.inputs.len(), cells.cols())?;
        same("columns of out", self.task.outputs(), out.cols())?;
        unseen::check(self, cells)?;
        self.ensemble().predict(cells, offset, self.link, out)
    }

    fn prepare(&self) -> Result<()> {
        self.ensemble().prepare()
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let ensemble = self.ensemble();
        let trees: Vec<_> = (0..self.boosted.stages())
            .flat_map(|stage| (0..ensemble.scores()).map(move |score| ensemble.trees(score)[stage].clone()))
            .collect();
        stored::to_bytes(self.kind(), self.metadata()?, &trees)
    }

    fn metadata(&self) -> Result<serde_json::Value> {
        let (ensemble, origin) = (self.ensemble(), &self.boosted.origin);
        Ok(serde_json::json!({
            "base": ensemble.base(),
            "bins": ensemble.trees(0).first().map_or(&[][..], |tree| tree.inputs()),
            "inputs": self.inputs,
            "max_bins": self.max_bins,
            "offset": self.offset,
            "params": origin.params,
            "report": self.report,
            "seed": origin.seed,
            "table": hex(origin.table),
            "target": self.target,
            "task": self.task,
            "validation": self.boosted.validation,
        }))
    }

    fn describe(&self) -> String {
        let ensemble = self.ensemble();
        let trees = || (0..ensemble.scores()).flat_map(|score| ensemble.trees(score));
        let leaves: usize = trees().map(|tree| tree.leaves()).sum();
        let depths = trees().map(|tree| tree.depth());
        let (least, most) = (depths.clone().min().unwrap_or(0), depths.max().unwrap_or(0));
        let mut text = format!(
            "gbdt\n  loss {}, {} stages, {} trees, {leaves} leaves, depth {least} to {most}\n",
            self.params().loss,
            self.boosted.stages(),
            trees().count()
        );
        let validation = self.boosted.validation();
        if let Some(loss) = validation.get(self.boosted.stages() - 1) {
            text += &format!("  loss on rows held out {loss:.6}, after {} stages\n", validation.len());
        }
        text += &show_unseen(&self.inputs, self.unseen());
        text + &show_importances(&self.inputs, &ensemble.importances(self.inputs.len()))
    }

    /// Kept are what training said of them, and the parameters, with the number of stages that were asked for.
    fn first_stages(&self, stages: usize) -> Result<Box<dyn Model>> {
        if stages == 0 {
            return Err(Error::parameter("stages", stages, "a whole number above 0 is"));
        }
        let boosted = Boosted { ensemble: self.ensemble().first(stages)?, ..self.boosted.clone() };
        Ok(Box::new(Self { boosted, ..self.clone() }))
    }

    fn importances(&self) -> Result<Vec<f64>> {
        Ok(self.ensemble().importances(self.inputs.len()))
    }

    /// To scores, before the link: log odds (of two classes each against the other), logarithms of means.
    fn contributions(&self, cells: MatRef<'_, f64>, out: MatMut<'_, f64>) -> Result<()> {
        same("cells per row", self.inputs.len(), cells.cols())?;
        unseen::check(self, cells)?;
        self.ensemble().contributions_to(self.link, cells, out)
    }

    /// In scores, as contributions.
    fn interactions(&self, cells: MatRef<'_, f64>, out: MatMut<'_, f64>) -> Result<()> {
        same("cells per row", self.inputs.len(), cells.cols())?;
        unseen::check(self, cells)?;
        self.ensemble().interactions_to(self.link, cells, out)
    }

    fn outline(&self, tree: usize) -> Result<Outline> {
        let scores = self.ensemble().scores();
        outline(self.ensemble().trees(tree % scores), tree / scores, &self.inputs, &Task::Regression)
    }
}
