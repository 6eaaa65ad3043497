//! Cross-validation: a model of any family is trained on the rows of each fold and measured on those it has not seen.

use crate::{Family, Settings, family, robust, train};
use tilewise_base::metric::{Score, Truth, baseline, summary};
use tilewise_base::{
    Context, Dataset, Engine, Error, FitReport, Fold, Model, Progress, Result, Roles, Task, predict_dataset,
    roles,
};
use tilewise_gbdt::Loss;
use tilewise_kernels::parallel;

/// Bytes of copied rows that fits may hold at the same time. Tables small against it are trained on by as many threads as there
/// are, a fit each; of larger ones fewer at a time, so that memory does not grow with the number of threads.
const COPIES: usize = 1 << 30;

/// How one fold went.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldScores {
    /// Its place among the folds.
    pub fold: usize,
    /// Rows it was trained on.
    pub trained: usize,
    /// Rows it was measured on.
    pub tested: usize,
    /// The measures, those of [`tilewise_base::metric::measures`] in that order.
    pub scores: Vec<Score>,
    /// The same of the answer that ignores all inputs and knows the training rows.
    pub plain: Vec<Score>,
    /// How the fit went.
    pub report: FitReport,
}

/// How all folds went.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossValidation {
    /// Those that were done, by place: all of them unless it was stopped.
    pub folds: Vec<FoldScores>,
    /// How many there were to be.
    pub planned: usize,
}

/// The mean of values and its standard error: their standard deviation (their number less one in its denominator) over the square
/// root of their number; NaN for fewer than two. Folds share training rows, so it is somewhat too small as an error of the mean
/// (Bengio, Grandvalet, "No unbiased estimator of the variance of k-fold cross-validation", 2004).
pub fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    let error = if n < 2.0 { f64::NAN } else { (squares / (n - 1.0) / n).sqrt() };
    (mean, error)
}

/// Trains a model of the family called `name` on the training rows of each fold and measures it on its test rows. Classes are those
/// of the whole table: a class that a fold was not trained on has probability 0 there.
///
/// Folds are trained at the same time, as far as their copies of rows stay below 1 GiB; each alone on a thread where there are as
/// many folds as threads, else sharing them. The result has the same bits at any number of threads. When `context` is cancelled the
/// folds that were done are returned.
///
/// # Errors
/// As [`train`], naming the fold; when there is no target, a fold has no rows or some that are not in the table, a test row cannot
/// be answered, or it was stopped before one fold was done.
pub fn cross_validate(
    name: &str,
    dataset: &Dataset,
    roles: &Roles,
    settings: &Settings,
    folds: &[Fold],
    context: &Context<'_>,
) -> Result<CrossValidation> {
    let lesson = Lesson::new(family(name)?, dataset, roles, settings, context)?;
    let progress = Done::new(context, folds.len() as u64);
    let done = lesson.at_once(folds.len(), |i| {
        if context.cancelled() {
            return Err(Error::Cancelled);
        }
        let scores = lesson.measure(settings, i, folds.len(), &folds[i].train, &folds[i].test);
        progress.more(1, |done| format!("fold {done} of {}", folds.len()));
        scores
    });
    let done: Vec<_> = done.into_iter().filter(|fold| !matches!(fold, Err(Error::Cancelled))).collect();
    if done.is_empty() {
        return Err(Error::Cancelled);
    }
    Ok(CrossValidation { folds: done.into_iter().collect::<Result<_>>()?, planned: folds.len() })
}

impl CrossValidation {
    /// The measures by name.
    pub fn measures(&self) -> Vec<&'static str> {
        self.folds.first().map_or_else(Vec::new, |fold| fold.scores.iter().map(|score| score.name).collect())
    }

    /// Mean over the folds and its standard error of each measure: of the model, and of the answer that ignores all inputs.
    pub fn summary(&self) -> Vec<[(f64, f64); 2]> {
        let of = |measure: usize, scores: fn(&FoldScores) -> &[Score]| {
            let values: Vec<f64> = self.folds.iter().map(|fold| scores(fold)[measure].value).collect();
            mean_and_error(&values)
        };
        let both = |measure| [of(measure, |fold| &fold.scores), of(measure, |fold| &fold.plain)];
        (0..self.measures().len()).map(both).collect()
    }
}

/// Counts what is done and tells it.
pub(crate) struct Done<'a> {
    progress: &'a dyn Progress,
    total: u64,
    done: std::sync::Mutex<u64>,
}

impl<'a> Done<'a> {
    pub(crate) fn new(context: &'a Context<'_>, total: u64) -> Self {
        Self { progress: context.progress, total, done: 0.into() }
    }

    /// `work` of the total is done.
    pub(crate) fn more(&self, work: u64, note: impl FnOnce(u64) -> String) {
        let mut done = self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *done += work;
        self.progress.round(*done, self.total, &note(*done));
    }
}

/// What all fits have in common.
pub(crate) struct Lesson<'a> {
    family: &'static Family,
    dataset: &'a Dataset,
    roles: &'a Roles,
    context: &'a Context<'a>,
    /// The classes of the whole table, where the target holds some, and that of each row.
    classes: Option<(Vec<u32>, Vec<String>)>,
}

impl<'a> Lesson<'a> {
    /// Checks what can be checked on the whole table, where rows are those of the file.
    pub(crate) fn new(
        family: &'static Family,
        dataset: &'a Dataset,
        roles: &'a Roles,
        settings: &Settings,
        context: &'a Context<'a>,
    ) -> Result<Self> {
        family.check(settings)?;
        if context.engine != Engine::Threads {
            let what = "here only threads is: they train several folds at a time";
            return Err(Error::parameter("engine", "processes", what));
        }
        family.check_targets(roles)?;
        roles.inputs(dataset)?;
        roles.weights(dataset)?;
        roles.offsets(dataset)?;
        roles.groups(dataset)?;
        family.check_event(roles)?;
        family.check_held_out(roles)?;
        let classes = if !family.needs_target() {
            if roles.targets.is_empty() {
                let what = "learns without a target, but is measured by one: name a column of true and false";
                return Err(Error::Fit(format!("{} {what}", family.name)));
            }
            roles::flags(dataset, roles.needed_target()?)?;
            None
        } else if family.classifies(dataset, roles, settings)? {
            Some(roles::classes(dataset, roles.needed_target()?)?)
        } else {
            roles
                .needed_targets()?
                .iter()
                .try_for_each(|target| roles::numbers(dataset, target).map(drop))?;
            None
        };
        Ok(Self { family, dataset, roles, context, classes })
    }

    /// `f(i)` for every i in `0..fits`, in order of i, at the same time as far as it pays and memory permits.
    pub(crate) fn at_once<A: Send>(&self, fits: usize, f: impl Fn(usize) -> A + Sync) -> Vec<A> {
        let threads = parallel::threads();
        let bytes = self.dataset.rows() * self.dataset.columns().len() * size_of::<f64>();
        let together = (COPIES / bytes.max(1)).clamp(1, threads);
        // As many as fill all threads evenly run alone each; so none waits for another or does its work in between.
        let alone = if together == threads { fits - fits % threads } else { 0 };
        let mut all = parallel::map(alone, |i| parallel::on_this_thread(|| f(i)));
        for first in (alone..fits).step_by(together) {
            all.extend(parallel::map(together.min(fits - first), |i| f(first + i)));
        }
        all
    }

    /// Trains on some rows and measures on others, which are those of a fold.
    pub(crate) fn measure(
        &self,
        settings: &Settings,
        fold: usize,
        folds: usize,
        train: &[usize],
        test: &[usize],
    ) -> Result<FoldScores> {
        let place = |e, rows| placed(e, rows, fold, folds);
        let rows = self.dataset.rows();
        if let Some(row) = train.iter().chain(test).find(|&&row| row >= rows) {
            return Err(Error::Fit(format!("a fold has row {}, of {rows} in the table", row + 1)));
        }
        if test.is_empty() {
            return Err(Error::Fit(format!("fold {} of {folds} has no row to test on", fold + 1)));
        }
        let training = self.dataset.take_to(&self.context.storage, train)?;
        let (model, plain) = self.fit(settings, &training, train).map_err(|e| place(e, train))?;
        // Whoever is asked to stop may have stopped early: that is not what was to be measured.
        if self.context.cancelled() {
            return Err(Error::Cancelled);
        }
        drop(training);
        let testing = self.dataset.take_to(&self.context.storage, test)?;
        let [scores, plain] = self.scores(&*model, plain, &testing, test).map_err(|e| place(e, test))?;
        let (trained, tested) = (train.len(), test.len());
        Ok(FoldScores { fold, trained, tested, scores, plain, report: model.report().clone() })
    }

    /// The model, and the answer that knows the training rows and ignores their inputs.
    fn fit(
        &self,
        settings: &Settings,
        training: &Dataset,
        rows: &[usize],
    ) -> Result<(Box<dyn Model>, Vec<f64>)> {
        let model = train(self.family.name, training, self.roles, settings, &self.context.silent())?;
        let truth = self.truth(&model.judged_as(), training, rows)?;
        let plain = baseline(&truth, self.roles.weights(training)?.as_deref());
        Ok((model, plain))
    }

    fn truth(&self, task: &Task, table: &Dataset, rows: &[usize]) -> Result<Truth> {
        match &self.classes {
            Some((codes, classes)) => Ok(Truth::Classes {
                codes: rows.iter().map(|&row| codes[row]).collect(),
                classes: classes.len(),
            }),
            None => roles::truth(table, &self.roles.targets, task),
        }
    }

    /// A truth of the kind that models with these settings are held against, without rows.
    pub(crate) fn kind(&self, settings: &Settings) -> Truth {
        let several = self.roles.targets.len() > 1;
        match &self.classes {
            Some((_, classes)) => Truth::Classes { codes: Vec::new(), classes: classes.len() },
            None if !self.family.needs_target() => Truth::Flags(Vec::new()),
            None if self.family.name == robust::QUANTILE.name
                || settings.pairs().any(|(key, value)| key == "quantiles" && value != "none") =>
            {
                Truth::Quantiles { y: Vec::new(), quantiles: Vec::new() }
            }
            None => match loss(settings) {
                Some(Loss::LambdaRank { .. }) => {
                    Truth::Ranking { relevance: Vec::new(), queries: Vec::new() }
                }
                Some(Loss::Cox) => Truth::Survival { times: Vec::new(), events: Vec::new() },
                Some(Loss::Quantile { quantile }) => {
                    Truth::Quantiles { y: Vec::new(), quantiles: vec![quantile] }
                }
                _ if several => Truth::Outputs(Vec::new()),
                _ => Truth::Numbers(Vec::new()),
            },
        }
    }

    /// The measures of a model and of a plain answer.
    fn scores(
        &self,
        model: &dyn Model,
        plain: Vec<f64>,
        testing: &Dataset,
        rows: &[usize],
    ) -> Result<[Vec<Score>; 2]> {
        let offsets = self.roles.offsets(testing)?;
        // Test rows may all have weight 0; measures are then undefined, not an error.
        let weights = self.roles.weights(testing).unwrap_or_else(|_| Some(vec![0.0; testing.rows()]));
        let predictions = self.of_all_classes(model, predict_dataset(model, testing, offsets.as_deref())?);
        let outputs = predictions.len() / testing.rows();
        let counts = |row: usize| weights.as_ref().is_none_or(|weights| weights[row] > 0.0);
        let mut answers = predictions.chunks(outputs.max(1)).enumerate();
        if let Some((row, _)) =
            answers.find(|(row, answer)| counts(*row) && answer.iter().any(|x| !x.is_finite()))
        {
            let what =
                "there is no prediction to measure: the row's numbers are so large that the scores overflow";
            return Err(Error::cell(row, tilewise_base::error::listed(&self.roles.targets), what));
        }
        let truth = self.truth(&model.judged_as(), testing, rows)?;
        let plain = plain.repeat(testing.rows());
        Ok([summary(&truth, &predictions, weights.as_deref())?, summary(&truth, &plain, weights.as_deref())?])
    }

    /// Probabilities of a model's classes as those of the table's: 0 for one that it has not met.
    fn of_all_classes(&self, model: &dyn Model, predictions: Vec<f64>) -> Vec<f64> {
        let (Some((_, all)), Task::Classification { classes: known }) = (&self.classes, model.task()) else {
            return predictions;
        };
        if known == all {
            return predictions;
        }
        let places: Vec<Option<usize>> =
            known.iter().map(|class| all.iter().position(|c| c == class)).collect();
        let mut wide = vec![0.0; predictions.len() / known.len().max(1) * all.len()];
        for (to, from) in wide.chunks_exact_mut(all.len()).zip(predictions.chunks_exact(known.len().max(1))) {
            for (place, probability) in places.iter().zip(from) {
                if let Some(place) = place {
                    to[*place] = *probability;
                }
            }
        }
        wide
    }
}

/// The loss of boosting, if the settings name one.
fn loss(settings: &Settings) -> Option<Loss> {
    settings.pairs().find(|(key, _)| *key == "loss").and_then(|(_, value)| value.parse().ok())
}

/// An error of a fold, about the rows of the table.
fn placed(error: Error, rows: &[usize], fold: usize, folds: usize) -> Error {
    let within = |what: String| format!("{what} (fold {} of {folds})", fold + 1);
    match error {
        Error::Cell { row, column, what } => {
            Error::Cell { row: rows.get(row).copied().unwrap_or(row), column, what: within(what) }
        }
        Error::Column { name, what } => Error::Column { name, what: within(what) },
        Error::Fit(what) => Error::Fit(within(what)),
        other => other,
    }
}
