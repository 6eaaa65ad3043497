//! Where the values of a column are cut into bins.

mod digits;
mod ordered;

pub(crate) use ordered::{Ordered, Values};

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tilewise_kernels::random::Philox;

/// Rows above which cuts are taken from a sample of about so many. A cut at rank r of n then is off by about
/// sqrt(r (n - r) / n) ranks of the sample: at most 0.11 % of it: a quarter of one of 255 bins, and some 70
/// of 65,535.
pub(crate) const SAMPLE: usize = 200_000;

/// Chooses the rows that cuts are taken from, by a function of seed and row number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    seed: u64,
    below: u64,
}

impl Sample {
    /// Of so many rows that count; `None` for all of them.
    pub(crate) fn new(counted: usize, seed: u64) -> Option<Self> {
        let below = ((SAMPLE as u128) << 64).checked_div(counted as u128)?;
        (counted > SAMPLE).then_some(Self { seed, below: below as u64 })
    }

    /// These of the rows; `first` is the number of row 0.
    pub(crate) fn of(&self, counted: &[u32], first: u64) -> Vec<u32> {
        let philox = Philox::new(self.seed, Philox::purpose("rows that cuts are taken from"));
        counted.iter().copied().filter(|&row| philox.bits(first + u64::from(row)) < self.below).collect()
    }
}

/// The rows that cuts are taken from: all that count, or those of them that [`Sample`] chooses.
pub(crate) fn sample(counted: &[u32], seed: u64) -> Option<Vec<u32>> {
    Sample::new(counted.len(), seed).map(|sample| sample.of(counted, 0))
}

/// Calls a function with numbers, one after the other, until it answers that this was enough.
pub(crate) type Each<'a> = dyn FnMut(&mut dyn FnMut(f64) -> bool) + 'a;

/// All distinct values where there are no more than `most`, ascending; `known` are some of them, ascending. Ends at the first that is
/// too many.
pub(crate) fn completed(known: Vec<f64>, most: usize, each: &mut Each<'_>) -> Option<Vec<f64>> {
    let mut others = BTreeSet::new();
    let mut before = f64::NAN;
    let mut fits = true;
    each(&mut |x| {
        // Both zeros are one value.
        let x = x + 0.0;
        if x != before && !x.is_nan() {
            before = x;
            if known.binary_search_by(|known| known.total_cmp(&x)).is_err() {
                others.insert(x.to_bits());
                fits = known.len() + others.len() <= most;
            }
        }
        !fits
    });
    let mut all = known;
    all.extend(others.into_iter().map(f64::from_bits));
    all.sort_unstable_by(f64::total_cmp);
    fits.then_some(all)
}

/// The distinct values and the weight of each, ascending. Missing values (NaN) are left out, and what has no weight. O(n log n).
pub(crate) fn weighted(values: impl Iterator<Item = (f64, u32)>) -> Vec<(f64, u64)> {
    let mut values: Vec<(f64, u32)> = values.filter(|(x, weight)| !x.is_nan() && *weight > 0).collect();
    // Both zeros are one value.
    values.iter_mut().for_each(|(x, _)| *x += 0.0);
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    distinct(values.into_iter())
}

/// As [`weighted`], for values of weight 1.
pub(crate) fn unweighted(mut values: Vec<f64>) -> Vec<(f64, u64)> {
    values.retain(|x| !x.is_nan());
    values.iter_mut().for_each(|x| *x += 0.0);
    digits::sort(&mut values);
    distinct(values.into_iter().map(|x| (x, 1)))
}

fn distinct(ascending: impl Iterator<Item = (f64, u32)>) -> Vec<(f64, u64)> {
    let mut distinct: Vec<(f64, u64)> = Vec::new();
    for (x, weight) in ascending {
        match distinct.last_mut() {
            Some((last, sum)) if *last == x => *sum += u64::from(weight),
            _ => distinct.push((x, weight.into())),
        }
    }
    distinct
}

/// A cut between any two of these values, which ascend.
pub(crate) fn between_all(values: &[f64]) -> Vec<f64> {
    values.windows(2).map(|pair| between(pair[0], pair[1])).collect()
}

/// Ascending cuts of `distinct` (value, weight; ascending) into at most `bins` bins: bin b holds the values in (cut b - 1, cut b].
///
/// As many bins as values where these are no more than `bins`, and else bins of equal weight as far as values
/// that are frequent allow: each bin takes values until it holds its share of the weight that is left. A cut lies half
/// way between the neighbours, so that cuts depend on ranks alone, but for their own values.
pub(crate) fn of_distinct(distinct: &[(f64, u64)], bins: usize) -> Vec<f64> {
    let every_value = distinct.len() <= bins;
    let mut left: u64 = distinct.iter().map(|(_, weight)| weight).sum();
    let (mut cuts, mut held) = (Vec::new(), 0);
    for pair in distinct.windows(2) {
        held += pair[0].1;
        let bins_left = (bins - cuts.len()) as u64;
        // held / left >= 1 / bins_left, without rounding. The last bin takes the rest.
        if every_value || bins_left > 1 && held * bins_left >= left {
            cuts.push(between(pair[0].0, pair[1].0));
            left -= held;
            held = 0;
        }
    }
    cuts
}

/// Half way from a to b where that is below b, else a.
pub(crate) fn between(a: f64, b: f64) -> f64 {
    let middle = a / 2.0 + b / 2.0;
    if middle.is_finite() && a <= middle && middle < b { middle } else { a }
}

/// The bin of each of `counts.len()` categories, and the number of bins: a bin each where there are no more than `bins`;
/// else the most frequent (of equals the first) have one each, and all others share the last. Categories that no row has
/// get none: `u8::MAX`, as nothing was learned of them. `bins` is at most [`MOST_CATEGORIES`](crate::MOST_CATEGORIES).
pub fn categories(counts: &[u64], bins: usize) -> (Vec<u8>, usize) {
    let mut seen: Vec<usize> = (0..counts.len()).filter(|&level| counts[level] > 0).collect();
    let mut bin_of = vec![UNKNOWN; counts.len()];
    if seen.len() <= bins {
        seen.iter().enumerate().for_each(|(bin, &level)| bin_of[level] = bin as u8);
        return (bin_of, seen.len());
    }
    seen.sort_by_key(|&level| (std::cmp::Reverse(counts[level]), level));
    let (own, others) = seen.split_at_mut(bins - 1);
    own.sort_unstable();
    own.iter().enumerate().for_each(|(bin, &level)| bin_of[level] = bin as u8);
    others.iter().for_each(|&level| bin_of[level] = (bins - 1) as u8);
    (bin_of, bins)
}

/// The bin of a category that no row of the training data had.
pub(crate) const UNKNOWN: u8 = u8::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(values: Vec<(f64, u32)>, bins: usize) -> Vec<f64> {
        of_distinct(&weighted(values.into_iter()), bins)
    }

    fn ones(values: &[f64]) -> Vec<(f64, u32)> {
        values.iter().map(|&x| (x, 1)).collect()
    }

    #[test]
    fn few_values_have_a_bin_each() {
        assert_eq!(numeric(ones(&[3.0, 1.0, f64::NAN, 1.0, 2.0]), 255), [1.5, 2.5]);
        assert!(numeric(ones(&[0.0, -0.0]), 255).is_empty());
        assert!(numeric(ones(&[f64::NAN]), 255).is_empty());
        assert_eq!(numeric(vec![(1.0, 1), (5.0, 0), (2.0, 1)], 255), [1.5]);
    }

    #[test]
    fn cuts_lie_between_any_two_numbers() {
        let next = f64::from_bits(1.0_f64.to_bits() + 1);
        for (a, b) in [
            (1.0, next),
            (f64::MIN, f64::MAX),
            (f64::NEG_INFINITY, 0.0),
            (0.0, f64::INFINITY),
            (f64::NEG_INFINITY, f64::INFINITY),
            (0.0, 5e-324),
            (-5e-324, 0.0),
        ] {
            let cut = between(a, b);
            assert!(a <= cut && cut < b, "{a} {cut} {b}");
        }
    }

    #[test]
    fn many_values_have_bins_of_equal_weight() {
        let values: Vec<(f64, u32)> = (0..1000).map(|i| (f64::from(i), 1)).collect();
        let cuts = numeric(values.clone(), 10);
        assert_eq!(cuts, (1..10).map(|i| f64::from(100 * i) - 0.5).collect::<Vec<_>>());
        // A value with half of the weight has a bin of its own; weights count as repetition.
        let heavy: Vec<_> = values.iter().map(|&(x, _)| (x, if x == 500.0 { 1000 } else { 1 })).collect();
        let repeated = values.iter().copied().chain((0..999).map(|_| (500.0, 1))).collect();
        let cuts = numeric(heavy, 8);
        assert_eq!(cuts, numeric(repeated, 8));
        assert!(cuts.len() == 7 && cuts.contains(&500.5), "{cuts:?}");
    }

    #[test]
    fn values_without_weights_have_the_same_cuts() {
        for rows in [100, 5000] {
            let values: Vec<f64> = (0..rows).map(|i| f64::from(i * 37 % 4099) / 8.0 - 100.0).collect();
            assert_eq!(unweighted(values.clone()), weighted(ones(&values).into_iter()));
        }
        assert_eq!(unweighted(vec![-0.0, 0.0, f64::NAN]), [(0.0, 2)]);
    }

    #[test]
    fn ranks_alone_decide() {
        let values: Vec<f64> = (0..500).map(|i| f64::from(i * i % 337)).collect();
        let bin = |cuts: &[f64], x: f64| cuts.partition_point(|&cut| cut < x);
        let (plain, cubed) = (
            numeric(ones(&values), 20),
            numeric(ones(&values.iter().map(|x| x.powi(3)).collect::<Vec<_>>()), 20),
        );
        assert!(values.iter().all(|&x| bin(&plain, x) == bin(&cubed, x.powi(3))));
    }

    #[test]
    fn rare_categories_share_a_bin() {
        assert_eq!(categories(&[4, 0, 9], 3), (vec![0, UNKNOWN, 1], 2));
        assert_eq!(categories(&[4, 1, 9, 2, 4], 3), (vec![0, 2, 1, 2, 2], 3));
    }

    #[test]
    fn samples_have_about_the_size_and_depend_on_the_seed() {
        // Every other row counts.
        let counted: Vec<u32> = (0..1_000_000).map(|row| 2 * row).collect();
        assert_eq!(sample(&counted[..SAMPLE], 1), None);
        let rows = sample(&counted, 1).unwrap();
        assert!(rows.len().abs_diff(SAMPLE) < 2000 && rows.is_sorted(), "{}", rows.len());
        assert!(rows.iter().all(|row| row % 2 == 0));
        assert_ne!(rows, sample(&counted, 2).unwrap());
    }

    #[test]
    fn few_values_are_all_found() {
        let values = [1.0, f64::NAN, 0.0, 1.0, -0.0, -2.0];
        let mut each = |see: &mut dyn FnMut(f64) -> bool| {
            values.iter().any(|&x| see(x));
        };
        assert_eq!(completed(vec![0.0], 3, &mut each), Some(vec![-2.0, 0.0, 1.0]));
        assert_eq!(completed(vec![0.0], 2, &mut each), None);
        assert_eq!(between_all(&[-2.0, 0.0, 1.0]), numeric(ones(&values), 255));
    }
}
