//! Measures of rankings: rows of a query ordered by falling score.

use super::check;
use crate::{Error, ExactSum, Result};
use std::ops::Range;
use tilewise_kernels::{Elementary, parallel};

/// Relevance is at most this: 2^relevance - 1 is then exact.
const MOST: f64 = 31.0;

/// Queries of a task.
const QUERIES: usize = 64;

/// The mean over queries of the normalised discounted cumulative gain of the first `k` places (all, if `None`): the sum of
/// (2^relevance - 1) / log2(1 + rank) over what the best order would have (Järvelin and Kekäläinen, "Cumulated gain-based evaluation
/// of IR techniques", 2002; gains as in Burges et al., "Learning to rank using gradient descent", 2005).
///
/// `groups` are the rows of each query. Rows of equal score rank in their order in the table. A query without a relevant row counts
/// 1, as in LightGBM and XGBoost: no order of it is wrong (scikit-learn has 0). Rows of weight 0 are not there; a query counts by the largest weight of its rows,
/// not at all if it has none. The mean is the same in any order of queries. NaN without queries.
///
/// ```
/// use tilewise_base::metric::ndcg;
/// let relevance = [2.0, 0.0, 1.0];
/// assert_eq!(ndcg(&relevance, &[3.0, 1.0, 2.0], &[0..3], None, None).unwrap(), 1.0);
/// // The best row is last.
/// let worst = ndcg(&relevance, &[1.0, 3.0, 2.0], &[0..3], Some(1), None).unwrap();
/// assert_eq!(worst, 0.0);
/// ```
///
/// # Errors
/// When lengths differ, a weight is negative, a score NaN, a relevance no whole number from 0 to 31, a query reaches beyond the rows, or
/// k is 0.
pub fn ndcg(
    relevance: &[f64],
    scores: &[f64],
    groups: &[Range<usize>],
    k: Option<usize>,
    weights: Option<&[f64]>,
) -> Result<f64> {
    check(relevance.len(), scores.len(), weights)?;
    if k == Some(0) {
        return Err(Error::parameter("k", 0, "a whole number above 0 is"));
    }
    if let Some(group) = groups.iter().find(|group| group.start > group.end || group.end > scores.len()) {
        return Err(Error::Fit(format!("a query has rows {group:?} of only {}", scores.len())));
    }
    let weight = |row: usize| weights.map_or(1.0, |w| w[row]);
    for row in (0..relevance.len()).filter(|&row| weight(row) != 0.0) {
        let y = relevance[row];
        if scores[row].is_nan() {
            return Err(Error::Fit(format!("row {}: the score is NaN and cannot be ranked", row + 1)));
        }
        if !((0.0..=MOST).contains(&y) && y.fract() == 0.0) {
            return Err(Error::Fit(format!(
                "row {}: relevance {y} is no whole number from 0 to 31",
                row + 1
            )));
        }
    }
    let longest = groups.iter().map(Range::len).max().unwrap_or(0);
    let discounts = rank_discounts(longest.min(k.unwrap_or(usize::MAX)));
    let task = |queries: Range<usize>| {
        let (mut sum, mut all) = (ExactSum::default(), ExactSum::default());
        for group in &groups[queries] {
            let mut rows: Vec<usize> = group.clone().filter(|&row| weight(row) != 0.0).collect();
            if rows.is_empty() {
                continue;
            }
            let of_query = rows.iter().map(|&row| weight(row)).fold(0.0, f64::max);
            // Adding 0 makes -0 and 0 one score.
            rows.sort_by(|&a, &b| (scores[b] + 0.0).total_cmp(&(scores[a] + 0.0)));
            let mut of_rows: Vec<f64> = rows.iter().map(|&row| relevance[row]).collect();
            let reached = gain(&of_rows, &discounts);
            of_rows.sort_by(|a, b| b.total_cmp(a));
            let most = gain(&of_rows, &discounts);
            sum.add_product(of_query, if most > 0.0 { reached / most } else { 1.0 });
            all.add(of_query);
        }
        (sum, all)
    };
    let merged = parallel::map_reduce(groups.len(), QUERIES, task, |a, b| (a.0.merge(b.0), a.1.merge(b.1)));
    let (sum, all) = merged.unwrap_or_default();
    Ok(sum.value() / all.value())
}

/// 1 / log2(1 + rank) of ranks from 1 on, with the same bits everywhere.
pub fn rank_discounts(ranks: usize) -> Vec<f64> {
    let mut discounts: Vec<f64> = (0..ranks).map(|i| (i + 2) as f64).collect();
    Elementary::Log.in_place(&mut discounts);
    discounts.iter_mut().for_each(|ln| *ln = std::f64::consts::LN_2 / *ln);
    discounts
}

/// The discounted gain of rows in this order, up to as many as there are discounts.
fn gain(relevance: &[f64], discounts: &[f64]) -> f64 {
    let gain = |y: f64| ((1_u64 << y as u32) - 1) as f64;
    relevance.iter().zip(discounts).map(|(&y, discount)| gain(y) * discount).sum()
}
