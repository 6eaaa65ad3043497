//! Training and test rows.
//!
//! Every row draws a random key by its number and the rows with the smallest keys are the test rows, so the choice
//! depends on seed and row numbers only. Stratified: each stratum gives its share, rounded so that the total is exact
//! (largest remainder), but keeps a row for training, so that no class is met in the test part only.

use crate::{Error, Result};
use std::collections::BTreeMap;
use tilewise_kernels::{random::Philox, same};

/// Divides `0..rows` into (train, test), each in rising order, with `fraction` of the rows (rounded, at least one) in
/// the test part. With `strata`, rows of equal stratum are divided in the same proportion.
///
/// # Errors
/// When the fraction is not between 0 and 1, a part would be empty, or lengths differ.
pub fn split(
    rows: usize,
    fraction: f64,
    seed: u64,
    strata: Option<&[u32]>,
) -> Result<(Vec<usize>, Vec<usize>)> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(Error::parameter("test-fraction", fraction, "a number between 0 and 1 is"));
    }
    let wanted = ((rows as f64 * fraction).round() as usize).max(1);
    if wanted >= rows {
        let parts = format!("{rows} rows cannot be divided into training rows and {wanted} test rows");
        return Err(Error::Fit(format!("{parts}; give more rows or another test fraction")));
    }
    let mut groups: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    match strata {
        Some(strata) => {
            same("strata", rows, strata.len())?;
            (0..rows).for_each(|row| groups.entry(strata[row]).or_default().push(row));
        }
        None => {
            groups.insert(0, (0..rows).collect());
        }
    }
    let keys = Philox::new(seed, Philox::purpose("train/test split"));
    let mut is_test = vec![false; rows];
    let sizes: Vec<usize> = groups.values().map(Vec::len).collect();
    for (mut members, take) in groups.into_values().zip(shares(&sizes, wanted)) {
        members.sort_by_cached_key(|&row| (keys.bits(row as u64), row));
        members[..take].iter().for_each(|&row| is_test[row] = true);
    }
    let (train, test): (Vec<usize>, Vec<usize>) = (0..rows).partition(|&row| !is_test[row]);
    if test.is_empty() {
        return Err(Error::Fit(format!("{rows} rows of {} classes leave no row to test on", sizes.len())));
    }
    Ok((train, test))
}

/// `wanted` divided in proportion to `sizes`: whole parts first, then one more for the largest remainders; never all of
/// a part, so less than `wanted` when parts are too small.
fn shares(sizes: &[usize], wanted: usize) -> Vec<usize> {
    let total = sizes.iter().sum::<usize>().max(1) as u128;
    let exact = |size: usize| wanted as u128 * size as u128;
    let mut shares: Vec<usize> = sizes.iter().map(|&s| (exact(s) / total) as usize).collect();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(exact(sizes[i]) % total), i));
    let mut left = wanted - shares.iter().sum::<usize>();
    while left > 0 {
        let before = left;
        for &i in &order {
            if left > 0 && shares[i] + 1 < sizes[i] {
                shares[i] += 1;
                left -= 1;
            }
        }
        if left == before {
            break;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_disjoint_complete_and_of_the_right_size() {
        for (rows, fraction) in [(2, 0.5), (10, 0.2), (1001, 0.333), (5, 0.01)] {
            let (train, test) = split(rows, fraction, 1, None).unwrap();
            assert_eq!(test.len(), ((rows as f64 * fraction).round() as usize).max(1));
            assert!(train.is_sorted() && test.is_sorted());
            let mut all = [train, test].concat();
            all.sort_unstable();
            assert_eq!(all, (0..rows).collect::<Vec<_>>());
        }
        assert_ne!(split(100, 0.5, 1, None).unwrap(), split(100, 0.5, 2, None).unwrap());
        for (rows, fraction) in [(1, 0.5), (0, 0.5), (10, 0.0), (10, 1.0), (10, f64::NAN), (2, 0.9)] {
            assert!(split(rows, fraction, 1, None).is_err(), "{rows} {fraction}");
        }
    }

    #[test]
    fn strata_keep_their_proportion() {
        let strata: Vec<u32> =
            (0..1000).map(|i| if i % 10 == 0 { 7 } else { u32::from(i % 3 == 0) }).collect();
        let (_, test) = split(1000, 0.25, 9, Some(&strata)).unwrap();
        assert_eq!(test.len(), 250);
        for stratum in [0, 1, 7] {
            let size = strata.iter().filter(|&&s| s == stratum).count() as f64;
            let taken = test.iter().filter(|&&row| strata[row] == stratum).count() as f64;
            assert!((taken - size / 4.0).abs() < 1.0, "{stratum}: {taken} of {size}");
        }
        assert!(split(3, 0.5, 1, Some(&[0, 1])).is_err());
        // A class of one row is for training.
        let (train, test) = split(5, 0.5, 3, Some(&[0, 1, 0, 0, 2])).unwrap();
        assert!(train.contains(&1) && train.contains(&4) && test.len() == 2, "{train:?} {test:?}");
        assert!(split(2, 0.5, 3, Some(&[0, 1])).is_err());
    }

    /// Every row should be a test row about as often as any other: 0.3 of 2000 seeds, standard deviation 0.0102.
    #[test]
    fn every_row_is_chosen_equally_often() {
        let mut chosen = [0; 20];
        for seed in 0..2000 {
            split(20, 0.3, seed, None).unwrap().1.iter().for_each(|&row| chosen[row] += 1);
        }
        assert!(chosen.iter().all(|&n| (f64::from(n) / 2000.0 - 0.3).abs() < 0.05), "{chosen:?}");
    }
}
