//! Measures of predicted classes and class probabilities.

use super::{check, weighted_mean};
use crate::{Error, Result};
use tilewise_kernels::same;

/// Probabilities are kept this far from 0 and 1 before the logarithm, so that one certain mistake costs 36 and not
/// infinity: the distance from 1 to the next double, as elsewhere.
const CLIP: f64 = f64::EPSILON;

/// The most probable class of each row of `probabilities` (rows x classes, row-major); the first of equals.
pub fn most_probable(probabilities: &[f64], classes: usize) -> Vec<u32> {
    let best = |row: &[f64]| {
        let first = |best: usize, i: usize| if row[i] > row[best] { i } else { best };
        (1..row.len()).fold(0, first) as u32
    };
    probabilities.chunks_exact(classes.max(1)).map(best).collect()
}

fn check_codes(codes: &[u32], classes: usize) -> Result<()> {
    match codes.iter().position(|&c| c as usize >= classes) {
        Some(row) => Err(Error::Fit(format!("row {}: class {} of only {classes}", row + 1, codes[row]))),
        None => Ok(()),
    }
}

/// Mean of -log(probability given to the true class); `probabilities` is rows x classes, row-major.
///
/// # Errors
/// When lengths differ, a class is out of range or a weight is negative.
pub fn log_loss(
    truth: &[u32],
    probabilities: &[f64],
    classes: usize,
    weights: Option<&[f64]>,
) -> Result<f64> {
    same("probabilities", truth.len() * classes, probabilities.len())?;
    check(truth.len(), truth.len(), weights)?;
    check_codes(truth, classes)?;
    let loss = |i: usize| -probabilities[i * classes + truth[i] as usize].clamp(CLIP, 1.0 - CLIP).ln();
    Ok(weighted_mean(truth.len(), weights, loss))
}

/// Share of rows whose class is right.
///
/// # Errors
/// When lengths differ or a weight is negative.
pub fn accuracy(truth: &[u32], predicted: &[u32], weights: Option<&[f64]>) -> Result<f64> {
    check(truth.len(), predicted.len(), weights)?;
    Ok(weighted_mean(truth.len(), weights, |i| f64::from(u8::from(truth[i] == predicted[i]))))
}

/// How much weight of each true class went to each predicted class.
#[derive(Clone, Debug, PartialEq)]
pub struct Confusion {
    /// Number of classes.
    pub classes: usize,
    /// Weight by true class (row) and predicted class (column), row-major.
    pub weight: Vec<f64>,
}

impl Confusion {
    /// Weight of rows of class `truth` that were called `predicted`.
    pub fn get(&self, truth: usize, predicted: usize) -> f64 {
        self.weight[truth * self.classes + predicted]
    }
}

/// The confusion matrix.
///
/// # Errors
/// When lengths differ, a class is out of range or a weight is negative.
pub fn confusion(
    truth: &[u32],
    predicted: &[u32],
    classes: usize,
    weights: Option<&[f64]>,
) -> Result<Confusion> {
    check(truth.len(), predicted.len(), weights)?;
    check_codes(truth, classes)?;
    check_codes(predicted, classes)?;
    let mut weight = vec![0.0; classes * classes];
    for (i, (&t, &p)) in truth.iter().zip(predicted).enumerate() {
        weight[t as usize * classes + p as usize] += weights.map_or(1.0, |w| w[i]);
    }
    Ok(Confusion { classes, weight })
}

/// Mean over classes of the harmonic mean of precision and recall. Classes that neither occur nor are predicted are
/// left out.
///
/// # Errors
/// When lengths differ, a class is out of range or a weight is negative.
pub fn macro_f1(truth: &[u32], predicted: &[u32], classes: usize, weights: Option<&[f64]>) -> Result<f64> {
    let table = confusion(truth, predicted, classes, weights)?;
    let mut used = vec![false; classes];
    truth.iter().chain(predicted).for_each(|&c| used[c as usize] = true);
    let f1 = |class: usize| {
        let right = table.get(class, class);
        let both: f64 = (0..classes).map(|other| table.get(class, other) + table.get(other, class)).sum();
        if both > 0.0 { 2.0 * right / both } else { 0.0 }
    };
    let scores: Vec<f64> = (0..classes).filter(|&c| used[c]).map(f1).collect();
    Ok(scores.iter().sum::<f64>() / scores.len() as f64)
}
