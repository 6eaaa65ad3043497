//! `tilewise tune`: which settings of a family do best in cross-validation, and a model trained with them.

mod page;

use crate::arguments::Memory;
use crate::failure::{Failure, note};
use crate::lesson::{Lesson, Ready};
use crate::{interrupt, output, progress};
use clap::Args;
use std::path::PathBuf;
use std::time::Instant;
use tilewise_base::{Context, Error, replace};
use tilewise_models::{Family, Method, Resource, Rung, Search, Settings, Space, Trial, Tuned, tune};
use tilewise_report::Csv;

/// Trials that are printed; --csv and --report have more.
const SHOWN: usize = 20;
/// Trials of random search and halving unless --trials says otherwise.
const TRIALS: usize = 30;

const EXAMPLES: &str = "\
Examples:
  tilewise tune --model ridge --data houses.csv --target price --search alpha=0.1,1,10,100
  tilewise tune --model gbdt --data adult.csv --target income --search learning_rate=0.02..0.3:log \\
      --search max_leaves=15,31,63 --method halving --trials 30 --out best.safetensors --report tune.html
  tilewise tune --model gbdt --data adult.csv --target income --search l2=0.1..30:log --search max_leaves=8..128:log \\
      --method halving --resource stages --set stages=400 --set learning_rate=0.05
  tilewise tune --model forest --data visits.csv --target returns --group patient --metric roc-auc \\
      --search min_samples_leaf=1..50:log --search max_features=sqrt,third,all --csv trials.csv
  tilewise tune --model gbdt --data sales.csv --target sold --time day --search 'monotone=price:-1;price:0'

What is searched: key=a,b,c tries these values (apart by semicolons where they have commas), key=low..high draws numbers between
two ends, whole ones if both ends are, and key=low..high:log draws them so that equal ratios are equally likely. grid tries every
combination of lists; random draws trials; halving trains all trials on little at first (--resource rows: a share of the
training rows of each fold; stages: fewer stages of boosting or trees) and lets one of three (--factor) go on with three times
as much, until three or more are left for everything.

Trials are ordered by the mean of the metric over the folds. Those within one standard error of the best differ from it by little
more than chance: take the simplest of them if you like. The best of many trials looks better than it is, so measure the model on
rows that took no part (tilewise evaluate). Ctrl-C ends the search, tells the trials that were measured, and trains no model; the
exit code is 130. One seed gives the same folds, trials and model at any number of threads.";

/// Search for the settings of a family that do best in cross-validation, and train a model with them
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Tune {
    #[command(flatten)]
    lesson: Lesson,
    /// A parameter to vary and its values, see below; can be given again
    #[arg(long, value_name = "KEY=VALUES", required = true)]
    search: Vec<String>,
    /// How trials are made: grid, random or halving [default: grid where there are lists only, else random]
    #[arg(long, value_name = "METHOD", value_parser = ["grid", "random", "halving"])]
    method: Option<String>,
    /// Trials of random and halving [default: 30]
    #[arg(long, value_name = "N")]
    trials: Option<usize>,
    /// What halving has little of at first: rows, or stages (of gbdt; trees of a forest) [default: rows]
    #[arg(long, value_name = "WHAT", value_parser = ["rows", "stages"])]
    resource: Option<String>,
    /// Of so many trials halving lets one go on, with so many times as much [default: 3]
    #[arg(long, value_name = "N")]
    factor: Option<usize>,
    /// What is made better: RMSE, MAE, R2 (numbers), pinball loss (quantiles), log loss, accuracy, macro F1 (classes), ROC AUC, PR AUC
    /// (two classes, isolation forests) [default: the first of them that fits]
    #[arg(long, value_name = "MEASURE")]
    metric: Option<String>,
    /// Where a model goes that is trained on all rows with the best settings; without it none is trained
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write all trials as CSV too, best first
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write a page (HTML) with all trials and pictures of what each parameter does
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl Tune {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (family, settings) = self.lesson.family()?;
        let search = self.what()?;
        search.check(family.name, &settings, self.lesson.seed)?;
        self.lesson.try_outputs(&[("--out", &self.out), ("--csv", &self.csv), ("--report", &self.report)])?;
        self.lesson.threads.run(|| self.tune(family, &settings, &search))
    }

    fn what(&self) -> Result<Search, Failure> {
        let space = Space::parse(&self.search)?;
        let method = self.method.as_deref().unwrap_or(if space.is_finite() { "grid" } else { "random" });
        let only = |option: &str, given: bool, what: &str| match given {
            true => Err(Failure::Told(format!("{option} is for --method {what}, not {method}"))),
            false => Ok(()),
        };
        if method != "halving" {
            only("--resource", self.resource.is_some(), "halving")?;
            only("--factor", self.factor.is_some(), "halving")?;
        }
        let trials = self.trials.unwrap_or(TRIALS);
        let method = match method {
            "grid" => {
                only("--trials", self.trials.is_some(), "random or halving")?;
                Method::Grid
            }
            "random" => Method::Random { trials },
            _ => {
                let stages = self.resource.as_deref() == Some("stages");
                let resource = if stages { Resource::Stages } else { Resource::Rows };
                Method::Halving { trials, factor: self.factor.unwrap_or(3), resource }
            }
        };
        Ok(Search { space, method, metric: self.metric.clone() })
    }

    fn tune(&self, family: &Family, fixed: &Settings, search: &Search) -> Result<(), Failure> {
        let file = self.lesson.table.name();
        let place = |e| Failure::in_table(&file, e);
        let Ready { table, roles, division, storage } = self.lesson.read(family, fixed)?;
        let how = format!("{}, {}", self.lesson.told(&division), self.method(search));
        output::print(&format!("tuning {}: {how}\n", family.name))?;
        let shown = progress::Shown::of_parts(self.lesson.quiet);
        let mut context = Context {
            seed: self.lesson.seed,
            scheme: self.lesson.parallel,
            storage: storage.clone(),
            progress: &shown,
            cancel: interrupt::flag_for("without the trials that are not measured"),
            ..Context::default()
        };
        let start = Instant::now();
        let folds = self.lesson.folds.into();
        let found = tune(family.name, &table, &roles, fixed, search, &division, folds, &context);
        let seconds = start.elapsed().as_secs_f64();
        shown.finish();
        Memory::tell(&storage);
        let found = match found {
            Err(Error::Cancelled) => {
                note("stopped", "by Ctrl-C before a trial was measured");
                return Err(Failure::Interrupted);
            }
            found => found.map_err(place)?,
        };
        output::print(&rungs(&found))?;
        output::print(&aligned(&found, search))?;
        output::print(&told(&found, search, seconds))?;
        let not_converged: usize = found.trials.iter().flat_map(|t| &t.rungs).map(|m| m.not_converged).sum();
        if not_converged > 0 {
            note("warning", format!("{} did not converge", output::count(not_converged, "fit")));
        }
        if let Some(path) = &self.csv {
            replace::write(path, csv(&found, search).text().as_bytes())?;
            note("written", format!("{} to {}", output::count(found.trials.len(), "trial"), path.display()));
        }
        if let Some(path) = &self.report {
            let page =
                page::page(&found, search, &format!("{}, {how}", output::printable(&file)), family.name);
            replace::write(path, page.html().as_bytes())?;
            note("written", format!("report to {}", path.display()));
        }
        if found.stopped {
            note("stopped", "by Ctrl-C; no model was trained");
            return Err(Failure::Interrupted);
        }
        let (Some(path), Some(best)) = (&self.out, found.best()) else { return Ok(()) };
        let shown = progress::Shown::new(self.lesson.quiet);
        context.progress = &shown;
        let model = tilewise_models::train(family.name, &table, &roles, &best.settings, &context);
        shown.finish();
        let model = match model {
            Err(Error::Cancelled) => {
                note("stopped", "by Ctrl-C before there was a model");
                return Err(Failure::Interrupted);
            }
            model => model.map_err(place)?,
        };
        let rows = output::count(table.rows(), "row");
        output::print(&format!("trained on all {rows}: {}\n", output::report(model.report())))?;
        output::warn(model.report());
        let bytes = model.to_bytes()?;
        replace::write(path, &bytes)?;
        output::print(&format!("model written to {} ({})\n", path.display(), output::size(bytes.len())))?;
        match interrupt::asked() && !model.report().converged {
            true => Err(Failure::Interrupted),
            false => Ok(()),
        }
    }

    /// The method, in words.
    fn method(&self, search: &Search) -> String {
        match search.method {
            Method::Grid => "grid".to_owned(),
            Method::Random { trials } => format!("random search of {}", output::count(trials, "trial")),
            Method::Halving { trials, factor, .. } => {
                format!("successive halving of {} (one of {factor} goes on)", output::count(trials, "trial"))
            }
        }
    }
}

/// What a rung had, in words.
fn with(rung: &Rung) -> String {
    match rung.stages {
        Some((key, value)) => format!("{key}={value}"),
        None if rung.rows == 1.0 => "all training rows".to_owned(),
        None => format!("1/{:.0} of the training rows", 1.0 / rung.rows),
    }
}

/// A line for each rung, where there are several.
fn rungs(found: &Tuned) -> String {
    let line = |(i, rung): (usize, &Rung)| {
        format!("  rung {}: {}, {}\n", i + 1, output::count(rung.trials, "trial"), with(rung))
    };
    if found.rungs.len() < 2 { String::new() } else { found.rungs.iter().enumerate().map(line).collect() }
}

fn number(x: f64) -> String {
    if x.is_nan() { "undefined".to_owned() } else { output::significant(x) }
}

/// What is said of a trial besides its numbers.
fn remark(found: &Tuned, trial: &Trial) -> String {
    match &trial.failed {
        Some(failed) => format!("failed: {}", output::printable(failed)),
        None if found.best().is_some_and(|best| best.number == trial.number) => "best".to_owned(),
        None if found.is_near_best(trial) => "within one error".to_owned(),
        None => String::new(),
    }
}

/// The cells of trials, best first, under their header.
fn cells(found: &Tuned, search: &Search, most: usize) -> Vec<Vec<String>> {
    let keys = search.space.parameters().iter().map(|(key, _)| key.clone());
    let tail = [found.metric.to_owned(), "error".to_owned()];
    let several = found.rungs.len() > 1;
    let rung = several.then(|| "rung".to_owned());
    let header = ["trial".to_owned()].into_iter().chain(keys).chain(rung).chain(tail);
    let mut rows = vec![header.chain([String::new()]).collect::<Vec<_>>()];
    for trial in found.trials.iter().take(most) {
        let values = trial.point.iter().map(|value| output::printable(value));
        let rung = several.then(|| trial.rungs.len().to_string());
        let scores = match trial.last() {
            Some(measured) => [number(measured.mean), number(measured.error)],
            None => Default::default(),
        };
        let head = [trial.number.to_string()].into_iter().chain(values).chain(rung);
        rows.push(head.chain(scores).chain([remark(found, trial)]).collect());
    }
    rows
}

fn aligned(found: &Tuned, search: &Search) -> String {
    let mut text = output::aligned(&cells(found, search, SHOWN));
    if found.trials.len() > SHOWN {
        let more = output::count(found.trials.len() - SHOWN, "more trial");
        text += &format!("  and {more}; --csv FILE and --report FILE have them\n");
    }
    text
}

/// Trials that were measured, and those that are as good as the best.
fn near(found: &Tuned) -> (usize, usize) {
    let best = found.best().map_or(0, |best| best.rungs.len());
    let compared = found.trials.iter().filter(|t| t.failed.is_none() && t.rungs.len() == best).count();
    (found.trials.iter().filter(|trial| found.is_near_best(trial)).count(), compared)
}

/// The best trial in words, and how to train with its settings.
fn told(found: &Tuned, search: &Search, seconds: f64) -> String {
    let Some((best, measured)) = found.best().and_then(|best| Some((best, best.last()?))) else {
        return String::new();
    };
    let direction = if found.more_is_better { "more is better" } else { "less is better" };
    let mut text = format!(
        "best: trial {}, {} {} with a standard error of {} ({direction}), in {seconds:.2} s\n",
        best.number,
        found.metric,
        number(measured.mean),
        number(measured.error)
    );
    let (near, compared) = near(found);
    text += &format!("within one standard error of it: {near} of {}\n", output::count(compared, "trial"));
    text + &format!("its settings: {}\n", output::printable(&arguments(best, search)))
}

/// The settings of a trial as they are typed.
fn arguments(trial: &Trial, search: &Search) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "=._-,:+".contains(c);
    let pair = |((key, _), value): (&(String, _), &String)| {
        let text = format!("{key}={value}");
        if text.chars().all(plain) { format!("--set {text}") } else { format!("--set '{text}'") }
    };
    search.space.parameters().iter().zip(&trial.point).map(pair).collect::<Vec<_>>().join(" ")
}

/// All trials, best first.
fn csv(found: &Tuned, search: &Search) -> Csv {
    let most = found.trials.iter().filter_map(Trial::last).map(|m| m.values.len()).max().unwrap_or(0);
    let keys = search.space.parameters().iter().map(|(key, _)| key.clone());
    let names = ["rung", found.metric, "standard_error", "within_one_error", "not_converged", "failed"];
    let folds = (1..=most).map(|fold| format!("fold_{fold}"));
    let header = ["trial".to_owned()].into_iter().chain(keys).chain(names.map(String::from)).chain(folds);
    let mut csv = Csv::new(&header.collect::<Vec<_>>());
    for trial in &found.trials {
        let last = trial.last();
        let facts = [
            trial.rungs.len().to_string(),
            last.map_or(String::new(), |m| output::exact(m.mean)),
            last.map_or(String::new(), |m| output::exact(m.error)),
            found.is_near_best(trial).to_string(),
            trial.rungs.iter().map(|m| m.not_converged).sum::<usize>().to_string(),
            trial.failed.clone().unwrap_or_default(),
        ];
        let values = last.into_iter().flat_map(|m| &m.values).map(|x| output::exact(*x));
        let head = [trial.number.to_string()].into_iter().chain(trial.point.clone());
        csv.push(&head.chain(facts).chain(values).collect::<Vec<_>>());
    }
    csv
}
