//! What `cv` and `tune` share: the table, the parts of its columns, and how its rows are divided into folds.

use crate::arguments::{Columns, Memory, Table, Targets, Threads, try_outputs};
use crate::command::train::{role, warn_of_many_classes, whole_truth};
use crate::failure::Failure;
use crate::output;
use clap::Args;
use std::path::PathBuf;
use tilewise_base::metric::Truth;
use tilewise_base::{Dataset, Division, Error, Roles, Storage, folds};
use tilewise_kernels::parallel::Scheme;
use tilewise_models::{Family, Settings, family};

#[derive(Args)]
pub(crate) struct Lesson {
    /// Family of the model; train --help lists them
    #[arg(long, value_name = "FAMILY")]
    model: String,
    /// Column to predict; for trees, forests, networks, linear, ridge, lasso and elastic-net also several of numbers, apart by commas or given
    /// again. An isolation forest is measured by one of true and false
    #[arg(long, value_name = "COLUMN")]
    target: Vec<String>,
    /// A parameter of the family, see train --help; can be given again
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Into how many parts the rows are divided
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..))]
    pub(crate) folds: u16,
    /// How rows are divided: random, stratified (each class has its share in every fold), grouped (rows of a --group stay together)
    /// or time (trained on what was before; by --time, else by the order of rows). auto is time or grouped where such a column is
    /// given, else stratified for classes and random for numbers
    #[arg(long, value_name = "DIVISION", default_value = "auto", value_parser = ["auto", "random", "stratified", "grouped", "time"])]
    split: String,
    /// Column of times, numbers or dates like 2024-05-31, for --split time; rows of one time stay together. It is no input
    #[arg(long, value_name = "COLUMN", help_heading = "Columns")]
    time: Option<String>,
    #[command(flatten)]
    columns: Columns,
    /// Column that tells which rows belong together, such as those of a query; such rows are never divided
    #[arg(long, value_name = "COLUMN", help_heading = "Columns")]
    group: Option<String>,
    /// Column that tells whether the event came at the time that is the target (true, 1) or had not come until then (false, 0), for
    /// --set loss=cox
    #[arg(long, value_name = "COLUMN", help_heading = "Columns")]
    event: Option<String>,
    /// Columns that play no part; can be given again, or several apart by commas
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', help_heading = "Columns")]
    ignore: Vec<String>,
    /// Columns that hold categories even if they look like numbers
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', help_heading = "Columns")]
    categorical: Vec<String>,
    #[command(flatten)]
    pub(crate) table: Table,
    #[command(flatten)]
    memory: Memory,
    #[command(flatten)]
    pub(crate) threads: Threads,
    /// Key of every random number
    #[arg(long, default_value_t = 0, help_heading = "Running")]
    pub(crate) seed: u64,
    /// How work is divided: tasks, rows or auto
    #[arg(long, default_value = "auto", value_name = "SCHEME", help_heading = "Running")]
    pub(crate) parallel: Scheme,
    /// No progress
    #[arg(long, short, help_heading = "Running")]
    pub(crate) quiet: bool,
}

/// A table, ready to be divided.
pub(crate) struct Ready {
    pub(crate) table: Dataset,
    pub(crate) roles: Roles,
    pub(crate) division: Division,
    /// Where columns lie, and what is made of them.
    pub(crate) storage: Storage,
}

impl Lesson {
    /// The family and the settings that `--set` gives, checked.
    pub(crate) fn family(&self) -> Result<(&'static Family, Settings), Failure> {
        let family = family(&self.model)?;
        let settings = Settings::parse(&self.set)?;
        family.check(&settings)?;
        if self.target.is_empty() {
            let what = if family.needs_target() {
                "the column to predict"
            } else {
                "a column of true and false to measure it by"
            };
            return Err(Failure::Told(format!("--model {} needs --target: {what}", family.name)));
        }
        if let (true, Some(group)) = (self.time.is_some() || self.split == "time", &self.group) {
            let what = "folds in time order would tear groups; give one of both";
            return Err(Failure::Told(format!("--group {group} keeps rows together, and {what}")));
        }
        if let (Some(time), false) = (&self.time, ["auto", "time"].contains(&self.split.as_str())) {
            return Err(Failure::Told(format!("--time {time} is for --split time, not {}", self.split)));
        }
        if self.split == "grouped" && self.group.is_none() {
            return Err(Failure::Told(
                "--split grouped needs --group: the column that tells which rows belong together".into(),
            ));
        }
        Ok((family, settings))
    }

    /// Reads the table, checks its columns and prints what it holds.
    pub(crate) fn read(&self, family: &Family, settings: &Settings) -> Result<Ready, Failure> {
        let file = self.table.name();
        let place = |e| Failure::in_table(&file, e);
        let targets = Targets(&self.target);
        let mut roles = Roles {
            group: self.group.clone(),
            event: self.event.clone(),
            ..self.columns.roles(targets.candidates().map(String::from).collect())
        };
        let is_time = |name: &str| self.time.as_deref() == Some(name);
        // Ignored columns are not even read; those that have a part too are refused below.
        let ignored;
        (roles.ignore, ignored) =
            self.ignore.iter().cloned().partition(|name| is_time(name) || !role(&roles, name).is_empty());
        let storage = self.memory.storage()?;
        let table = self.table.read_to(&storage, &self.categorical, ignored.clone())?;
        roles.targets = targets.of(&table);
        if let Some(time) = &self.time {
            match role(&roles, time) {
                "" if roles.ignore.contains(time) => {}
                "" => roles.ignore.push(time.clone()),
                part => {
                    return Err(place(Error::column(
                        time,
                        format!("is the {part} and cannot be the time too"),
                    )));
                }
            }
        }
        let inputs = roles.inputs(&table).map_err(place)?;
        let truth = whole_truth(family, settings, &table, &roles).map_err(place)?;
        let division = self.division(&table, &roles, truth.as_ref()).map_err(place)?;
        output::print(&format!(
            "{file}: {}, {}\n",
            output::count(table.rows(), "row"),
            output::count(table.columns().len(), "column")
        ))?;
        output::print(&output::schema(
            &table,
            |name| if is_time(name) { "time" } else { role(&roles, name) },
        ))?;
        output::warn_of_many_categories(&table, &inputs);
        if !ignored.is_empty() {
            output::print(&format!("  ignored: {}\n", output::printable(&ignored.join(", "))))?;
        }
        warn_of_many_classes(truth.as_ref(), &table, &roles).map_err(place)?;
        Ok(Ready { table, roles, division, storage })
    }

    fn division(&self, table: &Dataset, roles: &Roles, truth: Option<&Truth>) -> Result<Division, Error> {
        let strata = || match truth {
            Some(Truth::Classes { codes, .. }) => Some(codes.clone()),
            Some(Truth::Flags(flags)) => Some(flags.iter().map(|flag| (*flag).into()).collect()),
            _ => None,
        };
        if let Some(time) = &self.time {
            return folds::times(table, time).map(Division::Time);
        }
        match self.split.as_str() {
            "time" => Ok(Division::Time((0..table.rows()).map(|row| row as f64).collect())),
            "random" => Ok(Division::Random),
            "stratified" => strata().map(Division::Strata).ok_or_else(|| {
                let what = "holds numbers, not classes that folds could have their share of; --split random, grouped \
                            and time take numbers";
                Error::column(tilewise_base::error::listed(&roles.targets), what)
            }),
            // Grouped was refused without a group.
            _ => match roles.groups(table)? {
                Some(groups) => Ok(Division::Groups(groups)),
                None => Ok(strata().map_or(Division::Random, Division::Strata)),
            },
        }
    }

    /// How the rows are divided, in words.
    pub(crate) fn told(&self, division: &Division) -> String {
        let how = match division {
            Division::Random => "at random".to_owned(),
            Division::Strata(_) => "stratified by class".to_owned(),
            Division::Groups(_) => format!("grouped by {}", self.group.as_deref().unwrap_or_default()),
            Division::Time(_) => match &self.time {
                Some(time) => format!("in the order of {time}"),
                None => "in the order of rows".to_owned(),
            },
        };
        format!("{} folds, {}", self.folds, output::printable(&how))
    }

    /// Tries whether files can be written, as [`try_outputs`] says.
    pub(crate) fn try_outputs(&self, outputs: &[(&str, &Option<PathBuf>)]) -> Result<(), Failure> {
        try_outputs(&self.table, outputs)
    }
}
