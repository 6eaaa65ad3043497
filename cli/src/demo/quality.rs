//! Training every family that fits a problem, and how well it does on rows it has not seen.

use super::problem::Problem;
use crate::progress::Shown;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use tilewise_base::metric::{Score, Truth, summary};
use tilewise_base::{CoefficientPath, Context, Model, Result, Roles, predict_dataset, roles, split};
use tilewise_models::{FAMILIES, Family, Purpose, Settings};
use tilewise_picture::{Residuals, targets};
use tilewise_report::Table;

/// Share of the rows held out.
const TEST: f64 = 0.2;

pub(crate) struct Outcome {
    pub(crate) problem: &'static str,
    pub(crate) family: &'static str,
    pub(crate) rows: usize,
    pub(crate) seconds: f64,
    /// Of the model, and of always answering the same.
    pub(crate) scores: Vec<(Score, Score)>,
    /// Coefficients over the weight of the penalty, of families that have such a path.
    pub(crate) path: Option<CoefficientPath>,
    /// Of numbers, on rows held out.
    pub(crate) residuals: Option<Residuals>,
    pub(crate) model: Arc<dyn Model>,
}

/// One outcome for every family that can predict the target.
pub(crate) fn train(problem: &Problem, cancel: &AtomicBool) -> Result<Vec<Outcome>> {
    let table = &problem.table;
    let purpose = if problem.classes { Purpose::Classification } else { Purpose::Regression };
    let all_roles = Roles::target(problem.target);
    let strata = if problem.classes { Some(roles::classes(table, problem.target)?.0) } else { None };
    let (training, test) = split(table.rows(), TEST, 0, strata.as_deref())?;
    let (training, test) = (table.take(&training), table.take(&test));
    let mut outcomes = Vec::new();
    let most = strata.iter().flatten().max().copied().unwrap_or(0);
    let fits = |family: &Family| family.serves(purpose) && (most < 2 || !family.two_classes);
    for family in FAMILIES.iter().filter(|family| fits(family)) {
        // The digits are classes, which their column does not say.
        let task = if problem.classes { "classification" } else { "regression" };
        let settings = match family.purpose {
            Purpose::Either => Settings::default().with("task", task),
            _ => Settings::default(),
        };
        let shown = Shown::new(false).with_path();
        let context = Context { progress: &shown, cancel, ..Context::default() };
        let start = Instant::now();
        let model: Arc<dyn Model> =
            tilewise_models::train(family.name, &training, &all_roles, &settings, &context)?.into();
        let seconds = start.elapsed().as_secs_f64();
        shown.finish();
        let truth = |table| -> Result<Truth> { roles::truth(table, &[problem.target], model.task()) };
        let constant = crate::output::constant(&truth(&training)?, None).repeat(test.rows());
        let (wanted, predicted) = (truth(&test)?, predict_dataset(&*model, &test, None)?);
        let ours = summary(&wanted, &predicted, None)?;
        let plain = summary(&wanted, &constant, None)?;
        let scores = ours.into_iter().zip(plain).collect();
        let residuals = match &wanted {
            Truth::Numbers(y) => {
                let deviance = |y, mean| model.deviance(y, mean);
                Some(Residuals::new(targets(&*model), deviance, y, &predicted, None, 0)?)
            }
            _ => None,
        };
        outcomes.push(Outcome {
            problem: problem.name,
            family: family.name,
            rows: training.rows(),
            seconds,
            scores,
            path: shown.path(),
            residuals,
            model,
        });
    }
    Ok(outcomes)
}

/// What people look at first: accuracy and log loss, or RMSE and R2.
pub(crate) fn table(outcomes: &[Outcome]) -> Table {
    let columns = ["<data", "<family", "<measure", "model", "always the same", "rows", "time", "<converged"];
    let mut table = Table::new("Held-out quality", &columns);
    for outcome in outcomes {
        for (model, plain) in outcome.scores.iter().filter(|(s, _)| ["accuracy", "RMSE"].contains(&s.name)) {
            table.push([
                outcome.problem.to_owned(),
                outcome.family.to_owned(),
                model.name.to_owned(),
                format!("{:.4}", model.value),
                format!("{:.4}", plain.value),
                outcome.rows.to_string(),
                tilewise_report::seconds(outcome.seconds),
                if outcome.model.report().converged { "yes" } else { "no" }.to_owned(),
            ]);
        }
    }
    table
}

/// The model to serve: the first of a problem of two classes, whose answers are easy to read.
pub(crate) fn to_serve<'a>(
    problems: &'a [Problem],
    outcomes: &[Outcome],
) -> Option<(&'a Problem, Arc<dyn Model>)> {
    let outcome = outcomes.iter().find(|outcome| outcome.model.outputs() == 2)?;
    let problem = problems.iter().find(|problem| problem.name == outcome.problem)?;
    Some((problem, Arc::clone(&outcome.model)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_that_serves_a_problem_takes_it() {
        for problem in super::super::problem::all().unwrap() {
            // Few rows, from everywhere.
            let rows: Vec<usize> = (0..problem.table.rows()).step_by(problem.table.rows() / 70).collect();
            let problem = Problem { table: problem.table.take(&rows), ..problem };
            let outcomes = train(&problem, &AtomicBool::new(false)).unwrap();
            let serves = |name: &str| outcomes.iter().any(|outcome| outcome.family == name);
            assert!(serves("forest") && serves("network"), "{}", problem.name);
            for outcome in &outcomes {
                assert_eq!(outcome.path.is_some(), ["lasso", "elastic-net"].contains(&outcome.family));
                assert_eq!(outcome.residuals.is_some(), !problem.classes, "{}", outcome.family);
            }
            assert_eq!(serves("group-lasso"), ["breast-cancer", "diabetes"].contains(&problem.name));
        }
    }
}
