//! Search for parameters: the trials of a grid, of random search or of successive halving, each measured by cross-validation.
//!
//! Random search: Bergstra, Bengio, "Random search for hyper-parameter optimization", 2012. Successive halving: Karnin, Koren,
//! Somekh, "Almost optimal exploration in multi-armed bandits", 2013; Jamieson, Talwalkar, "Non-stochastic best arm identification
//! and hyperparameter optimization", 2016.

use crate::cross::{Done, Lesson, mean_and_error};
use crate::space::{Point, Space};
use crate::{Settings, family};
use std::sync::Mutex;
use tilewise_base::metric::measures;
use tilewise_base::{Context, Dataset, Division, Error, Result, Roles};

/// Training rows below which a share tells little about a parameter; halving begins with as many at least.
const LEAST_ROWS: usize = 50;
/// The same for stages or trees.
const LEAST_STAGES: usize = 5;

/// Which trials are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// All combinations of lists.
    Grid,
    /// So many points, drawn by the seed.
    Random {
        /// How many.
        trials: usize,
    },
    /// As random, but all with little at first; only the best of them go on, with more.
    Halving {
        /// How many trials begin.
        trials: usize,
        /// One of so many trials goes on, with so many times as much; 2 to 1000.
        factor: usize,
        /// What there is little of.
        resource: Resource,
    },
}

/// What trials get more of from rung to rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Training rows.
    Rows,
    /// Stages of boosting or trees of a forest, up to what the settings say.
    Stages,
}

/// What to search for, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// The parameters that vary.
    pub space: Space,
    /// The trials.
    pub method: Method,
    /// What is made better; by default the first of [`measures`].
    pub metric: Option<String>,
}

impl Search {
    /// Checks, without a table, what can be: that the family accepts the settings of all trials and has the resource.
    ///
    /// # Errors
    /// As [`tune`], as far as they do not depend on the table.
    pub fn check(&self, name: &str, fixed: &Settings, seed: u64) -> Result<()> {
        let trials = trials(name, fixed, self, seed)?;
        rungs(name, fixed, self, trials.len(), usize::MAX).map(drop)
    }
}

/// What all trials of one step of the search were trained with. A grid and random search have one.
#[derive(Clone, Debug, PartialEq)]
pub struct Rung {
    /// The share of the training rows of each fold.
    pub rows: f64,
    /// The parameter that is the resource, and its value.
    pub stages: Option<(&'static str, usize)>,
    /// Trials that it was to measure.
    pub trials: usize,
}

/// A trial on one rung.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The measure on each fold; NaN where it is undefined.
    pub values: Vec<f64>,
    /// Their mean.
    pub mean: f64,
    /// Its standard error.
    pub error: f64,
    /// Fits that did not converge.
    pub not_converged: usize,
}

/// One point of the search.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Its number in the order of trials, from 1.
    pub number: usize,
    /// The values of the parameters that vary.
    pub point: Point,
    /// All settings, as they are on the last rung.
    pub settings: Settings,
    /// How it did on each rung that it was measured on.
    pub rungs: Vec<Measured>,
    /// Why it could not be measured.
    pub failed: Option<String>,
}

impl Trial {
    /// How it did on the last of its rungs.
    pub fn last(&self) -> Option<&Measured> {
        self.rungs.last()
    }

    /// Whether it can be compared with others.
    fn counts(&self) -> bool {
        self.failed.is_none() && self.last().is_some_and(|measured| measured.mean.is_finite())
    }
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// The measure.
    pub metric: &'static str,
    /// Whether more of it is better.
    pub more_is_better: bool,
    /// The steps of the search.
    pub rungs: Vec<Rung>,
    /// The trials that were measured, best first: those that came further before others, then by mean, then by number.
    pub trials: Vec<Trial>,
    /// Whether it was stopped before all were measured.
    pub stopped: bool,
}

impl Tuned {
    /// The best trial; the first of equals.
    pub fn best(&self) -> Option<&Trial> {
        self.trials.first().filter(|trial| trial.counts())
    }

    /// Whether a trial, on the rung of the best, is within one standard error of the best: the choice between them is then little
    /// more than chance, and the simplest or cheapest may be taken (the rule of one standard error, Breiman et al. 1984).
    pub fn is_near_best(&self, trial: &Trial) -> bool {
        let (Some(best), Some(measured)) = (self.best(), trial.last()) else { return false };
        let Some(of_best) = best.last() else { return false };
        trial.counts()
            && trial.rungs.len() == best.rungs.len()
            && (trial.number == best.number || (measured.mean - of_best.mean).abs() <= of_best.error)
    }
}

/// Searches for the settings of the family called `name` whose mean of the metric over `folds` folds is best; `fixed` are the same
/// in all trials. The folds are the same for all trials.
///
/// Halving takes rungs as long as as many trials as its factor are left for the last, which uses everything; the first gives each
/// at least 50 training rows, or 5 stages. With `Rows` a trial is trained on a share of each fold's training rows
/// ([`Division::share`]) and measured on all its test rows. With `Stages` small learning rates look worse at first than they are.
///
/// A trial that cannot be trained is told as failed and comes last. Cost: trials x folds fits, in halving about rungs / trials x
/// factor of that. Fits run at the same time as those of [`cross_validate`](crate::cross_validate) do. The result has the same bits
/// at any number of threads, for one seed. When `context` is cancelled what was measured is returned: trials whose folds were all
/// done.
///
/// ```
/// use tilewise_base::{Column, Context, Dataset, Division, Roles};
/// use tilewise_models::{Method, Search, Settings, Space, tune};
/// let x: Vec<f64> = (0..40).map(f64::from).collect();
/// let y = x.iter().map(|x| 2.0 * x + (x * 1.7).sin()).collect();
/// let table = Dataset::new(vec![("x".into(), Column::F64(x.into())), ("y".into(), Column::F64(y))])?;
/// let search = Search { space: Space::parse(&["alpha=0.01..1000:log"])?, method: Method::Random { trials: 8 }, metric: None };
/// let (roles, fixed) = (Roles::target("y"), Settings::default());
/// let found = tune("ridge", &table, &roles, &fixed, &search, &Division::Random, 5, &Context::default())?;
/// let best = found.best().and_then(|trial| trial.last()).expect("eight trials were measured");
/// assert!(found.metric == "RMSE" && best.mean < 1.0 && best.values.len() == 5);
/// # Ok::<(), tilewise_base::Error>(())
/// ```
///
/// # Errors
/// When a setting of any trial is not accepted, what trials are measured by would vary (with `task`, `quantile`, `quantiles` or some values of `loss`), the metric is
/// not one for the target (all are named), the family has no stages to be short of, folds cannot be made, all trials fail or are
/// undefined, or it was stopped before one was measured.
#[expect(
    clippy::too_many_arguments,
    reason = "what is trained, on what, how it is divided: as cross_validate, and the search"
)]
pub fn tune(
    name: &str,
    dataset: &Dataset,
    roles: &Roles,
    fixed: &Settings,
    search: &Search,
    division: &Division,
    folds: usize,
    context: &Context<'_>,
) -> Result<Tuned> {
    let mut trials = trials(name, fixed, search, context.seed)?;
    let lesson = Lesson::new(family(name)?, dataset, roles, &trials[0].settings, context)?;
    let kind = lesson.kind(&trials[0].settings);
    if let Some(other) = trials.iter().find(|trial| lesson.kind(&trial.settings) != kind) {
        let what = format!("with trial {} it changes what is measured; --set has it", other.number);
        return Err(Error::parameter("search", "loss", what));
    }
    let metric = metric(search.metric.as_deref(), measures(&kind))?;
    let folds = division.folds(dataset.rows(), folds, context.seed)?;
    let least = folds.iter().map(|fold| fold.train.len()).min().unwrap_or(0);
    let rungs = rungs(name, fixed, search, trials.len(), least)?;
    let units = |rung: &Rung| (1000.0 * rung.share_of(&rungs)).round().max(1.0) as u64;
    let fits = |rung: &Rung| (rung.trials * folds.len()) as u64;
    let shown = Shown {
        done: Done::new(context, rungs.iter().map(|rung| fits(rung) * units(rung)).sum()),
        fits: rungs.iter().map(fits).sum(),
        metric,
        state: Mutex::default(),
    };
    let mut tuned =
        Tuned { metric, more_is_better: false, rungs: rungs.clone(), trials: Vec::new(), stopped: false };
    for (place, rung) in rungs.iter().enumerate() {
        let shares = folds.iter().map(|fold| division.share(&fold.train, rung.rows, context.seed));
        let shares = shares.collect::<Result<Vec<_>>>()?;
        shown.begin_rung();
        let with_less: Vec<Settings> = trials.iter().map(|trial| rung.settings(&trial.settings)).collect();
        let all = lesson.at_once(trials.len() * folds.len(), |fit| {
            let (trial, fold) = (fit / folds.len(), fit % folds.len());
            if context.cancelled() {
                return Err(Error::Cancelled);
            }
            let scores =
                lesson.measure(&with_less[trial], fold, folds.len(), &shares[fold], &folds[fold].test)?;
            let score = scores.scores.into_iter().find(|score| score.name == metric);
            let score = score.ok_or_else(|| Error::Fit(format!("{metric} is no measure of this model")))?;
            shown.fit(units(rung), trial, folds.len(), &score);
            Ok((score, scores.report.converged))
        });
        let mut all = all.into_iter();
        for trial in &mut trials {
            let of_trial: Vec<_> = all.by_ref().take(folds.len()).collect();
            if of_trial.iter().any(|fit| matches!(fit, Err(Error::Cancelled))) {
                tuned.stopped = true;
                continue;
            }
            match of_trial.into_iter().collect::<Result<Vec<_>>>() {
                Ok(fits) => {
                    tuned.more_is_better = fits[0].0.more_is_better;
                    let values: Vec<f64> = fits.iter().map(|(score, _)| score.value).collect();
                    let (mean, error) = mean_and_error(&values);
                    let not_converged = fits.iter().filter(|(_, converged)| !converged).count();
                    trial.rungs.push(Measured { values, mean, error, not_converged });
                }
                Err(error) => trial.failed = Some(error.to_string()),
            }
        }
        // Those that were not measured here, because they were stopped, stand where they were.
        order(&mut trials, tuned.more_is_better);
        if tuned.stopped || place + 1 == rungs.len() {
            tuned.trials.append(&mut trials);
        } else {
            let go_on = rungs[place + 1].trials.min(trials.iter().filter(|trial| trial.counts()).count());
            let mut rest = trials.split_off(go_on);
            rest.append(&mut tuned.trials);
            tuned.trials = rest;
        }
        if tuned.stopped || trials.is_empty() {
            break;
        }
    }
    tuned.trials.append(&mut trials);
    tuned.trials.retain(|trial| trial.failed.is_some() || !trial.rungs.is_empty());
    order(&mut tuned.trials, tuned.more_is_better);
    checked(tuned)
}

/// What was found, if anything can be compared.
fn checked(tuned: Tuned) -> Result<Tuned> {
    let Some(first) = tuned.trials.first() else { return Err(Error::Cancelled) };
    if tuned.best().is_some() {
        return Ok(tuned);
    }
    if let Some(failed) = &first.failed {
        return Err(Error::Fit(format!("no trial could be trained; trial {}: {failed}", first.number)));
    }
    let fold = first.last().and_then(|measured| measured.values.iter().position(|value| !value.is_finite()));
    Err(Error::Fit(format!(
        "{} is undefined in every trial, in trial {} on fold {}: its test rows may all be of one class, of one value or without \
         weight; stratified or fewer folds, or another metric, may do",
        tuned.metric,
        first.number,
        fold.map_or(1, |fold| fold + 1)
    )))
}

/// All trials, their settings accepted by the family.
fn trials(name: &str, fixed: &Settings, search: &Search, seed: u64) -> Result<Vec<Trial>> {
    let family = family(name)?;
    for (key, _) in search.space.parameters() {
        if let Some((_, value)) = fixed.pairs().find(|(fixed, _)| fixed == key) {
            return Err(Error::parameter(key, value, "the search varies it; one of both is"));
        }
        if ["task", "quantiles", "quantile"].contains(&key.as_str()) {
            return Err(Error::parameter("search", key, "it changes what is measured; --set has it"));
        }
    }
    let points = match search.method {
        Method::Grid => search.space.grid()?,
        Method::Random { trials } | Method::Halving { trials, .. } => search.space.random(trials, seed)?,
    };
    let trial = |(i, point): (usize, Point)| {
        let settings = search.space.settings(fixed, &point);
        family.check(&settings)?;
        Ok(Trial { number: i + 1, point, settings, rungs: Vec::new(), failed: None })
    };
    points.into_iter().enumerate().map(trial).collect()
}

/// The measure that was asked for, or the one that people look at first.
fn metric(asked: Option<&str>, all: &'static [&'static str]) -> Result<&'static str> {
    let plain = |name: &str| name.to_lowercase().replace([' ', '-', '_'], "");
    match asked {
        None => Ok(all[0]),
        Some(asked) => all
            .iter()
            .find(|name| plain(name) == plain(asked))
            .copied()
            .ok_or_else(|| Error::parameter("metric", asked, format!("one of {} is", all.join(", ")))),
    }
}

/// The steps of a search with so many trials, where the smallest fold has so many training rows.
fn rungs(name: &str, fixed: &Settings, search: &Search, trials: usize, rows: usize) -> Result<Vec<Rung>> {
    let whole = Rung { rows: 1.0, stages: None, trials };
    let Method::Halving { factor, resource, .. } = search.method else { return Ok(vec![whole]) };
    if !(2..=1000).contains(&factor) {
        return Err(Error::parameter("factor", factor, "a whole number from 2 to 1000 is"));
    }
    let stages = match resource {
        Resource::Rows => None,
        Resource::Stages => Some(stages(name, fixed, search)?),
    };
    let (full, least) = stages.map_or((rows, LEAST_ROWS), |(_, full)| (full, LEAST_STAGES));
    // How often all can be divided: the last rung has `factor` trials or more, the first enough for each.
    let mut steps = 0;
    let mut times = 1;
    while trials / times >= factor * factor && full / (times * factor) >= least {
        times *= factor;
        steps += 1;
    }
    let rung = |step: u32| {
        let part = factor.pow(steps - step);
        Rung {
            rows: if stages.is_some() { 1.0 } else { 1.0 / part as f64 },
            stages: stages.map(|(key, full)| (key, full / part)),
            trials: trials / factor.pow(step),
        }
    };
    Ok((0..=steps).map(rung).collect())
}

/// The parameter of a family that is its number of stages or trees, and its value.
fn stages(name: &str, fixed: &Settings, search: &Search) -> Result<(&'static str, usize)> {
    let of = |family: &'static crate::Family| {
        family.parameters().find(|setting| ["stages", "trees"].contains(&setting.key))
    };
    let refuse = |what: String| Error::parameter("resource", "stages", what);
    let Some(setting) = of(family(name)?) else {
        let able: Vec<&str> = crate::FAMILIES.iter().filter(|f| of(f).is_some()).map(|f| f.name).collect();
        return Err(refuse(format!("{name} has none, {} do; rows is", able.join(", "))));
    };
    if search.space.parameters().iter().any(|(key, _)| key == setting.key) {
        return Err(refuse(format!("{} is to vary itself; rows is", setting.key)));
    }
    fixed.get(setting).map(|value: usize| (setting.key, value))
}

impl Rung {
    /// Its resource as a share of that of the last rung.
    fn share_of(&self, rungs: &[Self]) -> f64 {
        match (self.stages, rungs.last().and_then(|last| last.stages)) {
            (Some((_, here)), Some((_, full))) => here as f64 / full.max(1) as f64,
            _ => self.rows,
        }
    }

    fn settings(&self, full: &Settings) -> Settings {
        match self.stages {
            Some((key, value)) => full.clone().with(key, value),
            None => full.clone(),
        }
    }
}

/// Best first.
fn order(trials: &mut [Trial], more_is_better: bool) {
    trials.sort_by(|a, b| {
        let mean = |trial: &Trial| trial.last().map_or(f64::NAN, |measured| measured.mean);
        // Less is better from here on; what is undefined is worst.
        let loss = |trial: &Trial| if more_is_better { -mean(trial) } else { mean(trial) };
        let key = |trial: &Trial| (!trial.counts(), std::cmp::Reverse(trial.rungs.len()));
        let by_loss = loss(a).partial_cmp(&loss(b)).unwrap_or(std::cmp::Ordering::Equal);
        key(a).cmp(&key(b)).then(by_loss).then(a.number.cmp(&b.number))
    });
}

/// Tells how far a search has come. Nothing depends on it.
struct Shown<'a> {
    done: Done<'a>,
    fits: u64,
    metric: &'static str,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fits: u64,
    /// Of each trial of the rung: folds done, and the sum of their values.
    sums: std::collections::BTreeMap<usize, (usize, f64)>,
    /// The best mean on this rung.
    best: Option<f64>,
}

impl Shown<'_> {
    fn begin_rung(&self) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        (state.sums, state.best) = Default::default();
    }

    fn fit(&self, units: u64, trial: usize, folds: usize, score: &tilewise_base::metric::Score) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.fits += 1;
        let (count, sum) = state.sums.entry(trial).or_default();
        (*count, *sum) = (*count + 1, *sum + score.value);
        if *count == folds {
            let mean = *sum / folds as f64;
            let better = |best: f64| if score.more_is_better { mean > best } else { mean < best };
            state.best = Some(state.best.filter(|best| !better(*best)).unwrap_or(mean));
        }
        let best = state.best.map_or(String::new(), |best| format!(", best {} {best:.6}", self.metric));
        self.done.more(units, |_| format!("fit {} of {}{best}", state.fits, self.fits));
    }
}
