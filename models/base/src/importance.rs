//! How much a fitted model, of whatever family, relies on each of its columns.

use crate::metric::{Truth, measure, measures};
use crate::{Binder, Context, Dataset, Error, Model, Result, Roles, cells::BLOCK_ROWS, roles};
use tilewise_kernels::random::Philox;
use tilewise_kernels::{MatMut, MatRef, parallel};

/// What becomes of a measure when the cells of a column change places among the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Importance {
    /// The column.
    pub column: String,
    /// How much worse the measure was, the mean over repeats; about 0, or below, for a column that does not matter.
    pub mean: f64,
    /// The standard deviation over repeats (their number less one in its denominator); NaN for one repeat.
    pub deviation: f64,
}

/// Importances of all columns, in the order of the model's inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Importances {
    /// The measure.
    pub metric: &'static str,
    /// Its value on the table as it is.
    pub score: f64,
    /// One for each column.
    pub columns: Vec<Importance>,
}

/// The permutation importance (Breiman, "Random forests", 2001, section 10; for any model: Fisher, Rudin, Dominici, "All models
/// are wrong, but many are useful", 2019) of each column on the rows of `dataset`: how much worse `metric` becomes when the cells
/// of this column alone are shuffled, `repeats` times. Of two columns that tell the same neither may seem important.
///
/// `roles` names the target (by default the model's; of several the measure is the mean), weights and offset. `metric` is one of [`measures`]; by default R2,
/// pinball loss, accuracy, ROC AUC, NDCG@10 or concordance. A shuffle is a function of `context.seed`, the column's name and the repeat, so neither
/// threads nor the order of columns can change it.
///
/// O(columns x repeats x (rows log rows + the time to predict all rows)). Memory: 8 bytes for each row and column, and for each
/// thread 8 for each row and output and 8 for each row.
///
/// # Errors
/// When the table lacks a column or holds what its role cannot take, the metric is not one for this model or is undefined on
/// these rows, `repeats` is 0, or it was stopped.
pub fn permutation_importance(
    model: &dyn Model,
    dataset: &Dataset,
    roles: &Roles,
    repeats: usize,
    metric: Option<&str>,
    context: &Context<'_>,
) -> Result<Importances> {
    const SHUFFLES: u64 = Philox::purpose("shuffled columns");
    const CELLS: u64 = Philox::purpose("cells of a shuffled column");
    if repeats == 0 {
        return Err(Error::parameter("repeats", repeats, "a whole number above 0 is"));
    }
    let of_model = model.targets();
    let targets: Vec<&str> = match roles.needed_targets() {
        Ok(targets) => targets.iter().map(String::as_str).collect(),
        Err(none) if of_model.is_empty() => return Err(none),
        Err(_) => of_model,
    };
    let truth = roles::truth(dataset, &targets, &model.judged_as())?;
    let (weights, offsets) = (roles.weights(dataset)?, roles.offsets(dataset)?);
    let metric = metric.unwrap_or_else(|| default_metric(&truth));
    let (rows, width, outputs) = (dataset.rows(), model.inputs().len(), model.outputs());
    let binder = Binder::of_model(model, &dataset.schema())?;
    let mut cells = vec![0.0; rows * width];
    binder.fill(dataset, 0..rows, &mut cells)?;
    // The model's answers where the cells of `column` come from the rows that `from` says.
    let score = |shuffled: Option<(usize, &[usize])>| {
        let mut predictions = vec![0.0; rows * outputs];
        for first in (0..rows).step_by(BLOCK_ROWS) {
            let last = rows.min(first + BLOCK_ROWS);
            let mut block = cells[first * width..last * width].to_vec();
            if let Some((column, from)) = shuffled {
                let places = block.iter_mut().skip(column).step_by(width);
                places.zip(&from[first..last]).for_each(|(cell, row)| *cell = cells[row * width + column]);
            }
            let block = MatRef::new(&block, last - first, width)?;
            let out = MatMut::new(&mut predictions[first * outputs..last * outputs], last - first, outputs)?;
            let offsets = offsets.as_ref().map(|offsets| &offsets[first..last]);
            model.predict(block, offsets, out).map_err(|e| e.moved_down(first))?;
        }
        measure(metric, &truth, &predictions, weights.as_deref())
    };
    let plain = score(None)?;
    if !plain.value.is_finite() {
        return Err(Error::Fit(format!(
            "{} is {} on these rows: nothing can be compared with it",
            plain.name, plain.value
        )));
    }
    let key = Philox::new(context.seed, SHUFFLES);
    let done = std::sync::atomic::AtomicU64::new(0);
    let losses = parallel::map(width * repeats, |task| {
        if context.cancelled() {
            return Err(Error::Cancelled);
        }
        let (column, repeat) = (task / repeats, task % repeats);
        let name = &model.inputs()[column].name;
        let random = Philox::new(key.bits(Philox::purpose(name)).wrapping_add(repeat as u64), CELLS);
        let worse = score(Some((column, &random.permutation(rows))))?.value;
        let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        context.progress.round(done, (width * repeats) as u64, name);
        Ok(if plain.more_is_better { plain.value - worse } else { worse - plain.value })
    });
    let losses = losses.into_iter().collect::<Result<Vec<f64>>>()?;
    let columns = losses.chunks_exact(repeats).zip(model.inputs()).map(|(losses, field)| {
        let mean = losses.iter().sum::<f64>() / repeats as f64;
        let squares: f64 = losses.iter().map(|loss| (loss - mean).powi(2)).sum();
        let deviation = (squares / (repeats as f64 - 1.0)).sqrt();
        Importance { column: field.name.clone(), mean, deviation }
    });
    Ok(Importances { metric: plain.name, score: plain.value, columns: columns.collect() })
}

/// What importances are told in: R2 and accuracy, which need no unit; of a truth that has neither the first.
fn default_metric(truth: &Truth) -> &'static str {
    let all = measures(truth);
    all.iter().find(|name| ["R2", "accuracy"].contains(name)).unwrap_or(&all[0])
}

#[cfg(test)]
mod tests;
