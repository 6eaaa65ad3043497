//! Areas under the curves that a moving threshold draws. Rows of equal score move together, so the order of rows and
//! of ties has no influence.

use super::check;
use crate::{Error, Result};

/// Positive and negative weight at one score, from the highest score down.
struct Step {
    positive: f64,
    negative: f64,
}

/// Rows sorted by falling score, equal scores merged.
fn steps(truth: &[bool], scores: &[f64], weights: Option<&[f64]>) -> Result<Vec<Step>> {
    check(truth.len(), scores.len(), weights)?;
    if let Some(row) = scores.iter().position(|s| s.is_nan()) {
        return Err(Error::Fit(format!("row {}: the score is NaN and cannot be ranked", row + 1)));
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    // Adding 0 makes -0 and 0 one score.
    order.sort_unstable_by(|&a, &b| (scores[b] + 0.0).total_cmp(&(scores[a] + 0.0)).then(a.cmp(&b)));
    let mut steps: Vec<Step> = Vec::new();
    let mut last = None;
    for row in order {
        if last != Some(scores[row]) {
            steps.push(Step { positive: 0.0, negative: 0.0 });
            last = Some(scores[row]);
        }
        let weight = weights.map_or(1.0, |w| w[row]);
        if let Some(step) = steps.last_mut() {
            *(if truth[row] { &mut step.positive } else { &mut step.negative }) += weight;
        }
    }
    Ok(steps)
}

/// Area under the receiver operating characteristic: the probability that a positive row scores above a negative one,
/// ties counted half. NaN when there are not both.
///
/// # Errors
/// When lengths differ, a score is NaN or a weight is negative.
pub fn roc_auc(truth: &[bool], scores: &[f64], weights: Option<&[f64]>) -> Result<f64> {
    let (mut above, mut area, mut negatives) = (0.0, 0.0, 0.0);
    for step in steps(truth, scores, weights)? {
        area += step.negative * (above + 0.5 * step.positive);
        above += step.positive;
        negatives += step.negative;
    }
    Ok(area / (above * negatives))
}

/// Area under precision over recall as a step function (average precision). NaN when no row is positive.
///
/// # Errors
/// When lengths differ, a score is NaN or a weight is negative.
pub fn pr_auc(truth: &[bool], scores: &[f64], weights: Option<&[f64]>) -> Result<f64> {
    let (mut positives, mut all, mut area) = (0.0, 0.0, 0.0);
    for step in steps(truth, scores, weights)? {
        positives += step.positive;
        all += step.positive + step.negative;
        if all > 0.0 {
            area += step.positive * (positives / all);
        }
    }
    Ok(area / positives)
}
