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
    let [sum, all] = ndcg_sums(relevance, scores, groups, k, weights)?;
    Ok(sum.value() / all.value())
}

/// The weighted sum over queries of which [`ndcg`] is the mean, and the sum of their weights: exact, so those of whole queries
/// that lie apart can be merged.
///
/// # Errors
/// As [`ndcg`].
pub fn ndcg_sums(
    relevance: &[f64],
    scores: &[f64],
    groups: &[Range<usize>],
    k: Option<usize>,
    weights: Option<&[f64]>,
) -> Result<[ExactSum; 2]> {
    if k == Some(0) {
        return Err(Error::parameter("k", 0, "a whole number above 0 is"));
    }
    let longest = groups.iter().map(Range::len).max().unwrap_or(0);
    let discounts = rank_discounts(longest.min(k.unwrap_or(usize::MAX)));
    sums_of_queries(relevance, scores, groups, weights, |of_rows| {
        let reached = gain(of_rows, &discounts);
        of_rows.sort_by(|a, b| b.total_cmp(a));
        let most = gain(of_rows, &discounts);
        if most > 0.0 { reached / most } else { 1.0 }
    })
}

/// The mean over queries of the average precision: the mean over relevant rows (relevance above 0) of the share of relevant rows down
/// to the row's rank (Manning, Raghavan and Schutze, *Introduction to Information Retrieval*, 2008, section 8.4). All else as [`ndcg`]
/// has it.
///
/// ```
/// use tilewise_base::metric::mean_average_precision;
/// // The relevant rows are first and third: (1 + 2/3) / 2.
/// let precision = mean_average_precision(&[1.0, 0.0, 2.0], &[3.0, 2.0, 1.0], &[0..3], None).unwrap();
/// assert!((precision - 5.0 / 6.0).abs() < 1e-15);
/// ```
///
/// # Errors
/// As [`ndcg`].
pub fn mean_average_precision(
    relevance: &[f64],
    scores: &[f64],
    groups: &[Range<usize>],
    weights: Option<&[f64]>,
) -> Result<f64> {
    let [sum, all] = sums_of_queries(relevance, scores, groups, weights, |of_rows| {
        let (mut sum, mut relevant) = (0.0, 0.0);
        for (rank, _) in (1..).zip(of_rows).filter(|(_, y)| **y > 0.0) {
            relevant += 1.0;
            sum += relevant / f64::from(rank);
        }
        if relevant > 0.0 { sum / relevant } else { 1.0 }
    })?;
    Ok(sum.value() / all.value())
}

/// The weighted sum of what `of_query` says of the relevance of each query's rows by falling score, and that of weights.
fn sums_of_queries(
    relevance: &[f64],
    scores: &[f64],
    groups: &[Range<usize>],
    weights: Option<&[f64]>,
    of_query: impl Fn(&mut [f64]) -> f64 + Sync,
) -> Result<[ExactSum; 2]> {
    check(relevance.len(), scores.len(), weights)?;
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
    let task = |queries: Range<usize>| {
        let (mut sum, mut all) = (ExactSum::default(), ExactSum::default());
        for group in &groups[queries] {
            let mut rows: Vec<usize> = group.clone().filter(|&row| weight(row) != 0.0).collect();
            if rows.is_empty() {
                continue;
            }
            let of_rows = rows.iter().map(|&row| weight(row)).fold(0.0, f64::max);
            // Adding 0 makes -0 and 0 one score.
            rows.sort_by(|&a, &b| (scores[b] + 0.0).total_cmp(&(scores[a] + 0.0)));
            let mut ranked: Vec<f64> = rows.iter().map(|&row| relevance[row]).collect();
            sum.add_product(of_rows, of_query(&mut ranked));
            all.add(of_rows);
        }
        (sum, all)
    };
    let merged = parallel::map_reduce(groups.len(), QUERIES, task, |a, b| (a.0.merge(b.0), a.1.merge(b.1)));
    let (sum, all) = merged.unwrap_or_default();
    Ok([sum, all])
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
