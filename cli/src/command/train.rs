//! `tilewise train`: from a table to a model file, with measures on rows held out.

use crate::arguments::{Columns, Memory, Running, Table, Targets, Threads, try_outputs};
use crate::failure::{Failure, note};
use crate::{interrupt, output, progress};
use clap::Args;
use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Instant;
use tilewise_base::metric::Truth;
use tilewise_base::replace;
use tilewise_base::{
    Checkpoint, Column, Context, Dataset, Error, Model, ModelFile, Roles, Task, predict_dataset, roles, split,
};
use tilewise_kernels::parallel::Scheme;
use tilewise_models::{FAMILIES, Family, Purpose, Settings, family, takes_sparse};

mod page;
mod sparse;
use page::Picture;

/// Different numbers in a target beyond which it hardly holds classes: the largest well-known label sets of small tables,
/// letters and digits, have 62.
const MANY_NUMBERS: usize = 100;

/// Rows for training and for testing.
type Parts = (Vec<usize>, Vec<usize>);

/// Train a model on a table
#[derive(Args)]
#[command(after_help = help())]
pub(crate) struct Train {
    /// Family of the model, see below
    #[arg(long, value_name = "FAMILY")]
    model: String,
    /// Column to predict; for trees, forests, networks, linear, ridge, lasso and elastic-net also several of numbers, apart by commas or given
    /// again: in a tree the one with the widest range decides most. An isolation forest needs none, and is measured by one of true and false
    #[arg(long, value_name = "COLUMN")]
    target: Vec<String>,
    /// Go on with the forest or the boosted trees in this file until there are --set trees=N trees or --set stages=N stages in all;
    /// everything else must be as it was. A network that --checkpoint-every wrote goes on until there are --set epochs=N in all; any other
    /// begins with the weights of the file, and is trained for N epochs more by an optimiser that begins anew. Its rows may be others
    #[arg(long = "continue", value_name = "FILE")]
    continued: Option<PathBuf>,
    /// Print what inspect tells of the model: coefficients, and with --set errors=classical their standard errors
    #[arg(long)]
    summary: bool,
    /// Where the model goes; without it the model is only measured
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the model of what is done to --out after every so many stages of boosted trees, or epochs of a network (with --set
    /// validation_fraction=0), so that --continue can go on from there should this process be killed
    #[arg(long, value_name = "STAGES", requires = "out", value_parser = clap::value_parser!(u64).range(1..))]
    checkpoint_every: Option<u64>,
    /// Write a page (HTML) with pictures: losses of boosted trees by stage; of lasso and elastic net, and of others with --set alpha=cv,
    /// coefficients over the weight of the penalty and the errors that chose it; importances of columns; where the model errs, for numbers by
    /// residuals, their distribution (normal Q-Q) and their spread
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Share of the rows to hold out and measure on, such as 0.2
    #[arg(long, value_name = "SHARE")]
    test_fraction: Option<f64>,
    /// A parameter of the family, see below; can be given again
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// What becomes of a category that training did not see, in predictions of trees and forests: missing, majority or error
    /// [default: missing]; short for --set unseen=POLICY
    #[arg(long, value_name = "POLICY")]
    unseen: Option<String>,
    #[command(flatten)]
    columns: Columns,
    /// Column that tells which rows belong together, such as those of a query; such rows are never divided
    #[arg(long, value_name = "COLUMN", help_heading = "Columns")]
    group: Option<String>,
    /// Column that tells whether the event came at the time that is the target (true, 1) or had not come until then (false, 0), for
    /// --set loss=cox
    #[arg(long, value_name = "COLUMN", help_heading = "Columns")]
    event: Option<String>,
    /// Column that tells which rows early stopping judges stages by and does not learn from (true, 1), in place of rows that it draws; for
    /// --model gbdt --set early_stopping=STAGES
    #[arg(long, value_name = "COLUMN", help_heading = "Columns")]
    held_out: Option<String>,
    /// Columns that play no part; can be given again, or several apart by commas
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', help_heading = "Columns")]
    ignore: Vec<String>,
    /// Columns that hold categories even if they look like numbers
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', help_heading = "Columns")]
    categorical: Vec<String>,
    #[command(flatten)]
    table: Table,
    #[command(flatten)]
    memory: Memory,
    #[command(flatten)]
    threads: Threads,
    #[command(flatten)]
    running: Running,
    /// Key of every random number
    #[arg(long, default_value_t = 0, help_heading = "Running")]
    seed: u64,
    /// How work is divided: tasks, rows or auto
    #[arg(long, default_value = "auto", value_name = "SCHEME", help_heading = "Running")]
    parallel: Scheme,
    /// No progress
    #[arg(long, short, help_heading = "Running")]
    quiet: bool,
}

/// Families and what they accept, for help texts.
pub(crate) fn families() -> String {
    let mut text = "Families and their parameters for --set (default in brackets):\n".to_owned();
    for family in FAMILIES {
        text += &format!("  {}: {}\n", family.name, family.summary);
        for s in family.parameters() {
            text += &format!("    {}: {}; {} [{}]\n", s.key, s.doc, s.accepted, s.default);
        }
    }
    text
}

fn help() -> String {
    families()
        + "
Examples:
  tilewise train --model logistic --data adult.csv --target income --test-fraction 0.2 \\
      --out m.safetensors
  tilewise train --model ridge --set alpha=10 --data houses.parquet --target price \\
      --out houses.safetensors
  tilewise train --model linear --set errors=hc3 --summary --data houses.csv --target price
  tilewise train --model lasso --data wide.csv --target y --out sparse.safetensors
  tilewise train --model lasso --data wide.csv --target y --test-fraction 0.2 --report path.html
  tilewise train --model elastic-net --set alpha=0.1 --set l1_ratio=0.9 --data wide.csv --target y
  tilewise train --model linear --set positive=true --data spectra.csv --target y
  tilewise train --model ridge --set lower=age:0 --set upper=debt:0 --data risks.csv --target loss
  tilewise train --model group-lasso --set 'groups=age,height;debt,income' --data wide.csv --target y
  tilewise train --model ridge --set solver=sgd --data long.csv --target y
  tilewise train --model logistic --set l1_ratio=1 --data words.svm --target target --out words.safetensors
  tilewise train --model poisson --data claims.csv --target claims --offset log_exposure --out c.safetensors
  tilewise train --model tree --set max_depth=5 --data adult.csv --target income --out t.safetensors
  tilewise train --model tree --set max_bins=exact --data small.csv --target y --out exact.safetensors
  tilewise train --model tree --data houses.csv --target price,rent --out both.safetensors
  tilewise train --model forest --unseen error --data adult.csv --target income --out strict.safetensors
  tilewise train --model forest --engine processes --workers 8 --data adult.csv --target income \\
      --out f.safetensors
  tilewise train --model forest --set quantiles=0.1,0.5,0.9 --data houses.csv --target price \\
      --out q.safetensors
  tilewise train --model forest --set trees=500 --continue f.safetensors --data adult.csv \\
      --target income --out f.safetensors
  tilewise train --model gbdt --set stages=5000 --checkpoint-every 100 --data adult.csv \\
      --target income --out b.safetensors
  tilewise train --model gbdt --set stages=2000 --set early_stopping=50 --test-fraction 0.2 \\
      --data adult.csv --target income --report training.html
  tilewise train --model gbdt --set stages=5000 --continue b.safetensors --data adult.csv \\
      --target income --out b.safetensors
  tilewise train --model gbdt --set loss=lambda_rank --group query --data results.csv \\
      --target relevance --out ranks.safetensors
  tilewise train --model gbdt --set loss=cox --event died --data patients.csv \\
      --target days --out hazards.safetensors
  tilewise train --model network --set hidden=256,128 --set embedding=20 --data adult.csv \\
      --target income --out n.safetensors
  tilewise train --model network --set image=1x8x8 --set layers=conv16x3,norm,pool2,conv32x3,norm,pool2,64 \\
      --data digits.csv --target digit --set task=classification --out d.safetensors
  tilewise train --model network --set epochs=5 --set learning_rate=0.0001 --continue d.safetensors \\
      --data more-digits.csv --target digit --set task=classification --out d.safetensors \\
      --set image=1x8x8 --set layers=conv16x3,norm,pool2,conv32x3,norm,pool2,64
  tilewise train --model isolation-forest --set contamination=0.01 --data log.csv \\
      --out odd.safetensors
  tilewise train --model gbdt --memory-limit 2G --temp-dir /scratch --data large.parquet \\
      --target clicked --out large.safetensors
  tilewise train --model linear --data raw.csv --no-header --columns a,b,y --na '?' --target y

Ctrl-C ends training at the next round and keeps the model; the exit code is then 130."
}

impl Train {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let family = family(&self.model)?;
        let unseen = self.unseen.iter().map(|policy| format!("unseen={policy}"));
        let settings = Settings::parse(&self.set.iter().cloned().chain(unseen).collect::<Vec<_>>())?;
        family.check(&settings)?;
        if self.checkpoint_every.is_some() {
            family.check_checkpoints()?;
        }
        if self.target.is_empty() && family.needs_target() {
            return Err(Failure::Told(format!(
                "--model {} needs --target: the column to predict",
                family.name
            )));
        }
        let earlier = self.continued.as_ref().map(ModelFile::load).transpose()?;
        // Tried before the work, so that a folder that cannot be written costs no training.
        try_outputs(&self.table, &[("--out", &self.out), ("--report", &self.report)])?;
        self.threads.run(|| self.train(family, &settings, earlier.as_ref()))
    }

    fn train(
        &self,
        family: &Family,
        settings: &Settings,
        earlier: Option<&ModelFile<'_>>,
    ) -> Result<(), Failure> {
        let engine = self.running.engine()?;
        if takes_sparse(family.name)
            && let Some(table) = self.table.read_sparse(None)?
        {
            self.memory.is_for_dense(&self.table.name())?;
            return self.train_sparse(family, settings, &table, &engine);
        }
        let file = self.table.name();
        let place = |e| Failure::in_table(&file, e);
        let targets = Targets(&self.target);
        let mut roles = Roles {
            group: self.group.clone(),
            event: self.event.clone(),
            held_out: self.held_out.clone(),
            ..self.columns.roles(targets.candidates().map(String::from).collect())
        };
        // Ignored columns are not even read; those that have a role too are refused below.
        let ignored;
        (roles.ignore, ignored) =
            self.ignore.iter().cloned().partition(|name| !role(&roles, name).is_empty());
        let storage = self.memory.storage()?;
        let table = self.table.read_to(&storage, &self.categorical, ignored.clone())?;
        roles.targets = targets.of(&table);
        // Everything is checked on the whole table, where row numbers are those of the file.
        let inputs = roles.inputs(&table).map_err(place)?;
        let truth = whole_truth(family, settings, &table, &roles).map_err(place)?;
        roles.weights(&table).map_err(place)?;
        roles.offsets(&table).map_err(place)?;
        let role = |name: &str| role(&roles, name);
        output::print(&format!(
            "{file}: {}, {}\n",
            output::count(table.rows(), "row"),
            output::count(table.columns().len(), "column")
        ))?;
        output::print(&output::schema(&table, role))?;
        output::warn_of_many_categories(&table, &inputs);
        if !ignored.is_empty() {
            output::print(&format!("  ignored: {}\n", output::printable(&ignored.join(", "))))?;
        }

        let parts = self.split(&table, &roles, truth.as_ref()).map_err(place)?;
        // Without a list rows are those of the table.
        let (rows, training): (&[usize], &Dataset) = match &parts {
            Some((train, _)) => (train, &table.take_to(&storage, train)?),
            None => (&[], &table),
        };
        let classes = match &truth {
            Some(Truth::Classes { codes, .. }) => {
                let distinct: HashSet<u32> = match &parts {
                    Some((train, _)) => train.iter().map(|&row| codes[row]).collect(),
                    None => codes.iter().copied().collect(),
                };
                format!(", {} classes", distinct.len())
            }
            _ => String::new(),
        };
        output::print(&format!(
            "training {} on {}, {}{classes}\n",
            family.name,
            output::count(training.rows(), "row"),
            output::count(inputs.len(), "input")
        ))?;
        warn_of_many_classes(truth.as_ref(), &table, &roles).map_err(place)?;
        let mut shown = progress::Shown::new(self.quiet);
        if self.report.is_some() {
            shown = shown.with_losses().with_path();
        }
        let keep = |bytes: &[u8]| self.out.as_ref().map_or(Ok(()), |out| replace::write(out, bytes));
        let context = Context {
            seed: self.seed,
            scheme: self.parallel,
            engine,
            storage: storage.clone(),
            progress: &shown,
            cancel: interrupt::flag(),
            checkpoint: self.checkpoint_every.map(|every| Checkpoint { every, keep: &keep }),
        };
        let start = Instant::now();
        let fitted = match earlier {
            None => tilewise_models::train(family.name, training, &roles, settings, &context),
            Some(file) => {
                tilewise_models::continue_training(family.name, file, training, &roles, settings, &context)
            }
        };
        let seconds = start.elapsed().as_secs_f64();
        shown.finish();
        Memory::tell(&storage);
        let model = match fitted {
            Err(Error::Cancelled) => {
                note("stopped", "by Ctrl-C before there was a model");
                return Err(Failure::Interrupted);
            }
            fitted => fitted.map_err(|e| place(in_file(e, rows)))?,
        };
        output::print(&format!("{} in {seconds:.2} s\n", output::report(model.report())))?;
        let interrupted = interrupt::asked() && !model.report().converged;
        if interrupted {
            note("stopped", format!("by Ctrl-C after round {}", model.report().rounds));
        }
        output::warn(model.report());
        if self.summary {
            output::print(&format!("{}\n", model.describe().trim_end()))?;
        }
        self.save(&*model)?;
        let told = output::report(model.report());
        let mut picture = Picture {
            family: family.name,
            summary: format!(
                "{file}: {}, {}; {seconds:.2} s; {told}.",
                output::count(training.rows(), "row"),
                output::count(inputs.len(), "input")
            ),
            losses: shown.losses(),
            path: shown.path(),
            seed: self.seed,
            model: &*model,
            measured: None,
        };
        let (test, what) = match &parts {
            Some((_, test)) => {
                (&table.take_to(&storage, test)?, format!("on {} held out", output::count(test.len(), "row")))
            }
            None => (&table, "on the training rows (use --test-fraction for an honest measure)".to_owned()),
        };
        if roles.targets.is_empty() {
            let text = spread(&*model, test).map_err(|e| place(in_file(e, rows)))?;
            output::print(&format!("{what}:\n{text}"))?;
        } else {
            let tested = parts.as_ref().map_or(rows, |(_, test)| test);
            let in_tested = |e| place(in_file(e, tested));
            let measured = measure(&*model, training, test, &roles).map_err(in_tested)?;
            let text = measured.text(&model.judged_as()).map_err(in_tested)?;
            output::print(&format!("{what}:\n{text}"))?;
            picture.measured = Some((what, measured));
        }
        if let Some(path) = &self.report {
            replace::write(path, picture.page()?.html().as_bytes())?;
            note("written", format!("report to {}", path.display()));
        }
        if interrupted { Err(Failure::Interrupted) } else { Ok(()) }
    }

    /// Rows for training and for testing. Classes keep their shares; groups stay together.
    fn split(&self, table: &Dataset, roles: &Roles, truth: Option<&Truth>) -> Result<Option<Parts>, Error> {
        let Some(fraction) = self.test_fraction else { return Ok(None) };
        if let Some(groups) = roles.groups(table)? {
            let count = groups.iter().max().map_or(0, |&g| g as usize + 1);
            let (_, test) = split(count, fraction, self.seed, None)?;
            let mut is_test = vec![false; count];
            test.iter().for_each(|&g| is_test[g] = true);
            return Ok(Some((0..table.rows()).partition(|&row| !is_test[groups[row] as usize])));
        }
        let strata = match truth {
            Some(Truth::Classes { codes, .. }) => Some(codes.clone()),
            Some(Truth::Flags(flags)) => Some(flags.iter().map(|flag| (*flag).into()).collect()),
            _ => None,
        };
        split(table.rows(), fraction, self.seed, strata.as_deref()).map(Some)
    }

    fn save(&self, model: &dyn Model) -> Result<(), Failure> {
        let Some(path) = &self.out else {
            return output::print("the model is not kept: give --out FILE to keep it\n");
        };
        let bytes = model.to_bytes()?;
        replace::write(path, &bytes)?;
        output::print(&format!("model written to {} ({})\n", path.display(), output::size(bytes.len())))
    }
}

/// Tells of a target of numbers that looks as if it held no classes.
pub(crate) fn warn_of_many_classes(
    truth: Option<&Truth>,
    table: &Dataset,
    roles: &Roles,
) -> Result<(), Error> {
    if let Some(Truth::Classes { classes, .. }) = truth
        && *classes > MANY_NUMBERS
        && let Some(other) = FAMILIES.iter().find(|family| family.serves(Purpose::Regression))
        && let [target] = &roles.targets[..]
        && matches!(table.column(target)?, Column::F32(_) | Column::F64(_))
    {
        let (target, other) = (output::printable(target), other.name);
        note(
            "warning",
            format!(
                "{target:?} holds {classes} different numbers, and each counts as a class of its own; \
                 --model {other} fits them as numbers"
            ),
        );
    }
    Ok(())
}

/// The answers of a whole table; none where the family needs none and none is given.
pub(crate) fn whole_truth(
    family: &Family,
    settings: &Settings,
    table: &Dataset,
    roles: &Roles,
) -> Result<Option<Truth>, Error> {
    family.check_targets(roles)?;
    if !family.needs_target() {
        let target = roles.only_target()?;
        return target.map(|target| roles::flags(table, target).map(Truth::Flags)).transpose();
    }
    if family.classifies(table, roles, settings)? {
        let (codes, classes) = roles::classes(table, roles.needed_target()?)?;
        return Ok(Some(Truth::Classes { codes, classes: classes.len() }));
    }
    let task = match &roles.targets[..] {
        [_] => Task::Regression,
        names => Task::Outputs { names: names.to_vec() },
    };
    roles::truth(table, &roles.targets, &task).map(Some)
}

/// Predictions of rows, what they should have been, and the answer that ignores all inputs.
struct Measured {
    truth: Truth,
    predictions: Vec<f64>,
    constant: Vec<f64>,
    weights: Option<Vec<f64>>,
}

impl Measured {
    fn text(&self, task: &Task) -> Result<String, Error> {
        output::scores(&self.truth, &self.predictions, &self.constant, self.weights.as_deref(), task)
    }
}

/// Predictions of `test`; the baseline knows only the training rows.
fn measure(model: &dyn Model, training: &Dataset, test: &Dataset, roles: &Roles) -> Result<Measured, Error> {
    let task = model.judged_as();
    let truth_of = |table| roles::truth(table, &roles.targets, &task);
    let constant = output::constant(&truth_of(training)?, roles.weights(training)?.as_deref());
    let offsets = roles.offsets(test)?;
    let predictions = predict_dataset(model, test, offsets.as_deref())?;
    // Rows held out may all have weight 0; measures are then undefined, not an error.
    let weights = roles.weights(test).unwrap_or_else(|_| Some(vec![0.0; test.rows()]));
    output::all_answered(&predictions, model.outputs(), weights.as_deref(), &roles.targets)?;
    Ok(Measured { truth: truth_of(test)?, predictions, constant, weights })
}

/// Where the scores of a model without a target lie.
fn spread(model: &dyn Model, table: &Dataset) -> Result<String, Error> {
    let mut scores = predict_dataset(model, table, None)?;
    scores.sort_by(f64::total_cmp);
    let at = |share: f64| output::significant(scores[((scores.len() - 1) as f64 * share).round() as usize]);
    let mut text = format!("scores from {} to {}, the median {}", at(0.0), at(1.0), at(0.5));
    if let Task::Anomaly { threshold: Some(threshold) } = model.task() {
        let above = scores.iter().filter(|score| *score >= threshold).count();
        text += &format!("; {} called anomalies", output::count(above, "row"));
    }
    Ok(text + "; with --target, a column of true and false, they are measured\n")
}

/// An error about a row of the training part, with the row of the file.
fn in_file(error: Error, rows: &[usize]) -> Error {
    match error {
        Error::Cell { row, column, what } => {
            Error::Cell { row: rows.get(row).copied().unwrap_or(row), column, what }
        }
        other => other,
    }
}

/// The part of a column, as people read it; nothing for inputs.
pub(crate) fn role(roles: &Roles, name: &str) -> &'static str {
    let is = |role: &Option<String>| role.as_deref() == Some(name);
    if roles.targets.iter().any(|target| target == name) {
        "target"
    } else if is(&roles.weight) {
        "weight"
    } else if is(&roles.offset) {
        "offset"
    } else if is(&roles.group) {
        "group"
    } else if is(&roles.event) {
        "event"
    } else if is(&roles.held_out) {
        "held out"
    } else {
        ""
    }
}
