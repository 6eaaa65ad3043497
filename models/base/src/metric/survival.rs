//! Measures of hazards.

use super::check;
use crate::{Error, Result};
use tilewise_kernels::same;

/// Of the pairs of rows of which is known whose event came first, the share in which that row has the higher predicted `hazard`;
/// equal ones count half (Harrell, Califf, Pryor, Lee and Rosati, "Evaluating the yield of medical tests", 1982). It is known for a
/// row with an event (`events`) and one with a later time, or with the same time and no event. Pairs weigh the product of their weights. NaN where there is no
/// such pair.
///
/// O(rows log rows). Rows of weight 0 are not looked at; sums run in the order of time and hazard.
///
/// ```
/// use tilewise_base::metric::concordance;
/// let index = concordance(&[1.0, 2.0, 3.0], &[true, true, false], &[0.9, 0.5, 0.7], None).unwrap();
/// assert_eq!(index, 2.0 / 3.0);
/// ```
///
/// # Errors
/// When lengths differ, a weight is negative, or a time or hazard is NaN.
pub fn concordance(times: &[f64], events: &[bool], hazard: &[f64], weights: Option<&[f64]>) -> Result<f64> {
    check(times.len(), hazard.len(), weights)?;
    same("events", times.len(), events.len())?;
    let weight = |row: usize| weights.map_or(1.0, |w| w[row]);
    let mut rows: Vec<usize> = (0..times.len()).filter(|&row| weight(row) != 0.0).collect();
    if let Some(row) = rows.iter().find(|&&row| times[row].is_nan() || hazard[row].is_nan()) {
        return Err(Error::Fit(format!("row {}: time or hazard is NaN and cannot be compared", row + 1)));
    }
    let mut distinct: Vec<f64> = rows.iter().map(|&row| hazard[row] + 0.0).collect();
    distinct.sort_unstable_by(f64::total_cmp);
    distinct.dedup();
    let place = |row: usize| distinct.partition_point(|&other| other < hazard[row]);
    // From the last time to the first, at each time those without the event first: whoever is met before an event outlived it.
    rows.sort_unstable_by(|&a, &b| {
        let by_time = times[b].total_cmp(&times[a]).then(events[a].cmp(&events[b]));
        by_time.then(hazard[a].total_cmp(&hazard[b])).then(weight(a).total_cmp(&weight(b)))
    });
    // Sums of weights by hazard (Fenwick, "A new data structure for cumulative frequency tables", 1994).
    let mut sums = vec![0.0; distinct.len() + 1];
    let below = |sums: &[f64], end: usize| {
        let (mut i, mut sum) = (end, 0.0);
        while i > 0 {
            sum += sums[i];
            i &= i - 1;
        }
        sum
    };
    let (mut right, mut pairs, mut outlived) = (0.0, 0.0, 0.0);
    let alike = |a: &usize, b: &usize| times[*a] == times[*b] && events[*a] == events[*b];
    for same in rows.chunk_by(alike) {
        for &row in same.iter().filter(|&&row| events[row]) {
            let (lower, not_above) = (below(&sums, place(row)), below(&sums, place(row) + 1));
            right += weight(row) * (lower + 0.5 * (not_above - lower));
            pairs += weight(row) * outlived;
        }
        for &row in same {
            let mut i = place(row) + 1;
            while i < sums.len() {
                sums[i] += weight(row);
                i += i & i.wrapping_neg();
            }
            outlived += weight(row);
        }
    }
    Ok(right / pairs)
}
