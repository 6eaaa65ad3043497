//! The weight of a penalty by cross-validation on the encoded rows of a table.
//!
//! Means and deviations of the encoding are those of all training rows, which tells a fold nothing about targets.

use crate::{Alphas, ElasticNet, Element, Rows};
use tilewise_base::{Context, Division, Result};
use tilewise_kernels::MatRef;

/// How the weight is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// Folds, drawn by the seed; rows of a group stay together.
    pub folds: usize,
    /// Weights to compare.
    pub alphas: Alphas,
    /// Take the largest weight within one standard error of the least error, not the one of the least error.
    pub one_standard_error: bool,
}

impl Search {
    /// Sets the weight of `params`; tells what was found, and what a person should know of it.
    pub(super) fn choose<T: Element>(
        &self,
        params: &mut ElasticNet,
        x: MatRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        groups: Option<Vec<u32>>,
        context: &Context<'_>,
    ) -> Result<(String, Option<String>)> {
        let division = groups.map_or(Division::Random, Division::Groups);
        let folds = division.folds(x.rows(), self.folds, context.seed)?;
        let choice = params.cross_validate(x, y, rows, &self.alphas, &folds, context)?;
        let place = if self.one_standard_error { choice.one_standard_error } else { choice.best };
        params.alpha = choice.alphas[place];
        let note = format!(
            "alpha {:.4e} of {} by {} {} folds, mean squared error {:.6e}",
            params.alpha,
            choice.alphas.len(),
            self.folds,
            division.name(),
            choice.errors[place]
        );
        let at_the_end = choice.alphas.len() > 1 && place + 1 == choice.alphas.len();
        let warning = "the smallest alpha that was compared has the least error: a smaller one may be better";
        Ok((note, at_the_end.then(|| warning.to_owned())))
    }
}
