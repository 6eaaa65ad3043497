//! Training on a libsvm file that is too wide for a dense table.

use super::Train;
use crate::failure::{Failure, note};
use crate::{interrupt, output, progress, sparse};
use std::time::Instant;
use tilewise_base::metric::Truth;
use tilewise_base::{Column, Context, Dataset, Engine, Error, Roles, SparseTable, Storage, roles, split};
use tilewise_models::{Family, Purpose, Settings};

/// What the target is called.
const TARGET: &str = "target";

impl Train {
    pub(super) fn train_sparse(
        &self,
        family: &Family,
        settings: &Settings,
        table: &SparseTable,
        engine: &Engine,
    ) -> Result<(), Failure> {
        self.refuse_what_needs_columns(matches!(engine, Engine::Threads))?;
        let file = self.table.name();
        let place = |e| Failure::in_table(&file, e);
        let (rows, x) = (table.target.len(), table.x.view());
        let stored = output::count(x.stored(), "number");
        output::print(&format!(
            "{file}: {}, {}, sparse: {stored} stored\n",
            output::count(rows, "row"),
            output::count(x.cols(), "input")
        ))?;
        note("note", "sparse inputs are taken as they are, neither centred nor scaled");
        let target =
            Dataset::new(vec![(TARGET.into(), Column::F64(table.target.clone().into()))]).map_err(place)?;
        let classifies = family.purpose == Purpose::Classification;
        let codes = match classifies {
            true => Some(roles::classes(&target, TARGET).map_err(place)?.0),
            false => None,
        };
        let parts = match self.test_fraction {
            Some(fraction) => Some(split(rows, fraction, self.seed, codes.as_deref()).map_err(place)?),
            None => None,
        };
        let some: SparseTable;
        let (training, of_training) = match &parts {
            Some((train, _)) => {
                some = table.take(train).map_err(place)?;
                (&some, target.take(train))
            }
            None => (table, target.clone()),
        };
        let count = output::count(training.target.len(), "row");
        output::print(&format!("training {} on {count}\n", family.name))?;
        let shown = progress::Shown::new(self.quiet);
        let context = Context {
            seed: self.seed,
            scheme: self.parallel,
            engine: Engine::Threads,
            storage: Storage::default(),
            progress: &shown,
            cancel: interrupt::flag(),
            checkpoint: None,
        };
        let start = Instant::now();
        let fitted = tilewise_models::train_sparse(family.name, training, settings, &context);
        let seconds = start.elapsed().as_secs_f64();
        shown.finish();
        let model = match fitted {
            Err(Error::Cancelled) => {
                note("stopped", "by Ctrl-C before there was a model");
                return Err(Failure::Interrupted);
            }
            fitted => fitted.map_err(place)?,
        };
        output::print(&format!("{} in {seconds:.2} s\n", output::report(model.report())))?;
        output::warn(model.report());
        if self.summary {
            output::print(&format!("{}\n", model.describe().trim_end()))?;
        }
        if interrupt::asked() && !model.report().converged {
            note("stopped", format!("by Ctrl-C after round {}", model.report().rounds));
        }
        self.save(&*model)?;
        let (tested, of_tested, what) = match &parts {
            Some((_, test)) => {
                let what = format!("on {} held out", output::count(test.len(), "row"));
                (&table.take(test).map_err(place)?, target.take(test), what)
            }
            None => {
                (table, target, "on the training rows (use --test-fraction for an honest measure)".into())
            }
        };
        let (names, task) = ([TARGET.to_owned()], model.judged_as());
        let truth =
            |table: &Dataset| -> Result<Truth, Failure> { roles::truth(table, &names, &task).map_err(place) };
        let constant = output::constant(&truth(&of_training)?, None);
        let predictions = sparse::predict(&*model, tested).map_err(place)?;
        output::all_answered(&predictions, model.outputs(), None, &names).map_err(place)?;
        let text = output::scores(&truth(&of_tested)?, &predictions, &constant, None, &task)?;
        output::print(&format!("{what}:\n{text}"))?;
        let interrupted = interrupt::asked() && !model.report().converged;
        if interrupted { Err(Failure::Interrupted) } else { Ok(()) }
    }

    fn refuse_what_needs_columns(&self, threads: bool) -> Result<(), Failure> {
        let roles: Roles = self.columns.roles(self.target.clone());
        let given = [
            ("--weight", roles.weight.is_some()),
            ("--offset", roles.offset.is_some()),
            ("--group", self.group.is_some()),
            ("--event", self.event.is_some()),
            ("--ignore", !self.ignore.is_empty()),
            ("--categorical", !self.categorical.is_empty()),
            ("--report", self.report.is_some()),
            ("--continue", self.continued.is_some()),
            ("--engine processes", !threads),
        ];
        let told = |what: String| Err(Failure::Told(format!("{}: {what}", self.table.name())));
        if let Some((option, _)) = given.iter().find(|(_, given)| *given) {
            return told(format!(
                "is too wide for a dense table and stays sparse, where {option} has no meaning; the target and numbers f1, f2 ... are \
                 all it has"
            ));
        }
        if self.target != [TARGET] {
            return told(format!("its target is called {TARGET}: --target {TARGET}"));
        }
        Ok(())
    }
}
