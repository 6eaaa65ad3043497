//! The measures that a person is shown for a task, and those of the plainest prediction to hold them against.

use super::{
    accuracy, calibration_error, concordance, log_loss, macro_f1, mae, mean_average_precision, most_probable,
    ndcg, pinball_loss, pr_auc, r2, rmse, roc_auc, weighted_quantiles,
};
use crate::{Error, Result};
use std::ops::Range;
use tilewise_kernels::same;

/// What was to be predicted.
#[derive(Clone, Debug, PartialEq)]
pub enum Truth {
    /// One number per row.
    Numbers(Vec<f64>),
    /// Several numbers per row, a list for each of them, all of one length.
    Outputs(Vec<Vec<f64>>),
    /// One number per row, of which quantiles are predicted.
    Quantiles {
        /// The numbers.
        y: Vec<f64>,
        /// Which quantiles.
        quantiles: Vec<f64>,
    },
    /// One class per row, out of so many.
    Classes {
        /// Position of each row's class.
        codes: Vec<u32>,
        /// Number of classes.
        classes: usize,
    },
    /// Whether each row is what scores are to find.
    Flags(Vec<bool>),
    /// How relevant each row is to its query, of which scores are to tell the order.
    Ranking {
        /// Whole numbers from 0 to 31.
        relevance: Vec<f64>,
        /// The rows of each query, one after another.
        queries: Vec<Range<usize>>,
    },
    /// When an event came, or until when it had not, of which hazards are to tell the order.
    Survival {
        /// Above 0.
        times: Vec<f64>,
        /// Whether it came.
        events: Vec<bool>,
    },
}

impl Truth {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Numbers(y) | Self::Quantiles { y, .. } => y.len(),
            Self::Outputs(y) => y.first().map_or(0, Vec::len),
            Self::Classes { codes, .. } => codes.len(),
            Self::Flags(flags) => flags.len(),
            Self::Ranking { relevance, .. } => relevance.len(),
            Self::Survival { times, .. } => times.len(),
        }
    }
}

/// One measure of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Its name, such as `RMSE`.
    pub name: &'static str,
    /// Its value; NaN when the data leaves it undefined.
    pub value: f64,
    /// Whether more is better.
    pub more_is_better: bool,
}

/// The measures of a truth by name, the one that people look at first in front.
///
/// Numbers: RMSE, MAE, R2, and of several the mean of these over them, each in its own units. Quantiles: pinball loss, calibration error. Classes: log loss, accuracy, with two of them ROC AUC and
/// PR AUC of the second, macro F1. Flags: ROC AUC, PR AUC. Rankings: NDCG of the first 10 places, 5, 1 and all, mean average precision
/// (MAP). Survival: concordance.
pub fn measures(truth: &Truth) -> &'static [&'static str] {
    match truth {
        Truth::Numbers(_) | Truth::Outputs(_) => &["RMSE", "MAE", "R2"],
        Truth::Quantiles { .. } => &["pinball loss", "calibration error"],
        Truth::Classes { classes: 2, .. } => &["log loss", "accuracy", "ROC AUC", "PR AUC", "macro F1"],
        Truth::Classes { .. } => &["log loss", "accuracy", "macro F1"],
        Truth::Flags(_) => &["ROC AUC", "PR AUC"],
        Truth::Ranking { .. } => &["NDCG@10", "NDCG@5", "NDCG@1", "NDCG", "MAP"],
        Truth::Survival { .. } => &["concordance"],
    }
}

/// The measure called `name` of `predictions` as [`crate::Model::predict`] writes them. Case, spaces, `-` and `_` of the name do
/// not matter.
///
/// # Errors
/// When the truth has no such measure (all are named), lengths do not fit or a weight is negative.
pub fn measure(name: &str, truth: &Truth, predictions: &[f64], weights: Option<&[f64]>) -> Result<Score> {
    let plain = |name: &str| name.to_lowercase().replace([' ', '-', '_'], "");
    let all = measures(truth);
    let Some(&name) = all.iter().find(|known| plain(known) == plain(name)) else {
        return Err(Error::parameter("metric", name, format!("one of {} is", all.join(", "))));
    };
    let value = match truth {
        Truth::Numbers(y) => of_numbers(name, y, predictions, weights)?,
        Truth::Outputs(y) => {
            let outputs = y.len();
            same("predictions", truth.rows() * outputs, predictions.len())?;
            let of_output = |(output, y): (usize, &Vec<f64>)| {
                let of_rows: Vec<f64> = predictions.iter().skip(output).step_by(outputs).copied().collect();
                of_numbers(name, y, &of_rows, weights)
            };
            let values = y.iter().enumerate().map(of_output).collect::<Result<Vec<f64>>>()?;
            values.iter().sum::<f64>() / values.len() as f64
        }
        Truth::Quantiles { y, quantiles } => match name {
            "pinball loss" => pinball_loss(y, predictions, quantiles, weights)?,
            _ => calibration_error(y, predictions, quantiles, weights)?,
        },
        Truth::Classes { codes, classes } => {
            let called = || most_probable(predictions, *classes);
            let of_second = |area: Area| {
                let positive: Vec<bool> = codes.iter().map(|&c| c == 1).collect();
                let score: Vec<f64> = predictions.chunks_exact(2).map(|row| row[1]).collect();
                area(&positive, &score, weights)
            };
            match name {
                "log loss" => log_loss(codes, predictions, *classes, weights)?,
                "accuracy" => accuracy(codes, &called(), weights)?,
                "macro F1" => macro_f1(codes, &called(), *classes, weights)?,
                "ROC AUC" => of_second(roc_auc)?,
                _ => of_second(pr_auc)?,
            }
        }
        Truth::Flags(positive) => match name {
            "ROC AUC" => roc_auc(positive, predictions, weights)?,
            _ => pr_auc(positive, predictions, weights)?,
        },
        Truth::Ranking { relevance, queries } => {
            let of_first = |k| ndcg(relevance, predictions, queries, k, weights);
            match name {
                "NDCG@10" => of_first(Some(10))?,
                "NDCG@5" => of_first(Some(5))?,
                "NDCG@1" => of_first(Some(1))?,
                "NDCG" => of_first(None)?,
                _ => mean_average_precision(relevance, predictions, queries, weights)?,
            }
        }
        Truth::Survival { times, events } => concordance(times, events, predictions, weights)?,
    };
    let less_is_better = ["RMSE", "MAE", "pinball loss", "calibration error", "log loss"].contains(&name);
    Ok(Score { name, value, more_is_better: !less_is_better })
}

/// A measure of one number per row.
fn of_numbers(name: &str, y: &[f64], predictions: &[f64], weights: Option<&[f64]>) -> Result<f64> {
    match name {
        "RMSE" => rmse(y, predictions, weights),
        "MAE" => mae(y, predictions, weights),
        _ => r2(y, predictions, weights),
    }
}

/// The area under a curve of flags, scores and weights.
type Area = fn(&[bool], &[f64], Option<&[f64]>) -> Result<f64>;

/// All [`measures`] of `predictions`.
///
/// # Errors
/// When lengths do not fit or a weight is negative.
pub fn summary(truth: &Truth, predictions: &[f64], weights: Option<&[f64]>) -> Result<Vec<Score>> {
    measures(truth).iter().map(|name| measure(name, truth, predictions, weights)).collect()
}

/// One row of outputs that ignores all inputs: the weighted mean of a target or of each of several, its quantiles, or the share of each class (whose
/// most probable is the majority) or of flagged rows. Rows of a query that all have one score keep their order in the table; hazards that
/// are equal tell nothing.
pub fn baseline(truth: &Truth, weights: Option<&[f64]>) -> Vec<f64> {
    let share = |rows: usize, is: &(dyn Fn(usize) -> bool + Sync)| {
        super::weighted_mean(rows, weights, |i| f64::from(u8::from(is(i))))
    };
    let mean = |y: &[f64]| super::weighted_mean(y.len(), weights, |i| y[i]);
    match truth {
        Truth::Numbers(y) => vec![mean(y)],
        Truth::Outputs(y) => y.iter().map(|y| mean(y)).collect(),
        Truth::Quantiles { y, quantiles } => {
            let mut order: Vec<usize> = (0..y.len()).collect();
            order.sort_by(|&a, &b| y[a].total_cmp(&y[b]));
            let pair = |i: usize| (y[i], weights.map_or(1.0, |w| w[i]));
            let mut out = vec![0.0; quantiles.len()];
            weighted_quantiles(order.into_iter().map(pair), quantiles, &mut out);
            out
        }
        Truth::Classes { codes, classes } => {
            (0..*classes).map(|class| share(codes.len(), &|i| codes[i] as usize == class)).collect()
        }
        Truth::Flags(flags) => vec![share(flags.len(), &|i| flags[i])],
        Truth::Ranking { .. } => vec![0.0],
        Truth::Survival { .. } => vec![1.0],
    }
}
