//! Quantiles of weighted values, and measures of predicted ones.

use super::{check, weighted_mean};
use crate::{Error, Result};

/// What a sum of weights may fall short of a quantile, as a share of all: sums of fractions are rounded, and 5 of 10 rows of
/// weight 0.1 are to be half of them. Some 2^12 times the rounding of a sum of a thousand terms.
const SHORT: f64 = 1e-12;

/// The quantiles of values, which come ascending with their weights: of each the smallest value such that the weight of all
/// values up to it is at least the quantile's share of the whole (up to a relative 1e-12). That is the inverse of the
/// distribution function, without interpolation (the first of the nine definitions of Hyndman and Fan, "Sample quantiles in
/// statistical packages", 1996). NaN where nothing has a weight. O(values), and twice through them.
///
/// ```
/// let mut out = [0.0; 3];
/// let values = [(1.0, 1.0), (2.0, 2.0), (5.0, 1.0)].into_iter();
/// tilewise_base::metric::weighted_quantiles(values, &[0.0, 0.5, 0.9], &mut out);
/// assert_eq!(out, [1.0, 2.0, 5.0]);
/// ```
///
/// # Panics
/// When there are not as many numbers in `out` as quantiles, or these are not ascending.
pub fn weighted_quantiles(
    values: impl Iterator<Item = (f64, f64)> + Clone,
    quantiles: &[f64],
    out: &mut [f64],
) {
    assert!(
        quantiles.len() == out.len() && quantiles.is_sorted(),
        "as many quantiles, ascending, as outputs"
    );
    let total: f64 = values.clone().map(|(_, weight)| weight).sum();
    out.fill(f64::NAN);
    let (mut sum, mut last, mut at) = (0.0, f64::NAN, 0);
    for (value, weight) in values.filter(|(_, weight)| *weight > 0.0) {
        sum += weight;
        last = value;
        while at < out.len() && sum >= (quantiles[at] - SHORT) * total {
            out[at] = value;
            at += 1;
        }
        if at == out.len() {
            return;
        }
    }
    out[at..].fill(last);
}

/// Which of `count` values of one weight, ascending and counted from 0, is the quantile: the one that [`weighted_quantiles`] finds.
/// 0 of none.
pub fn quantile_rank(count: usize, quantile: f64) -> usize {
    let reaches = ((quantile - SHORT) * count as f64).ceil() as usize;
    reaches.clamp(1, count.max(1)) - 1
}

/// That quantiles can be asked for.
///
/// # Errors
/// When there are none, one is not between 0 and 1, or they are not ascending.
pub fn check_quantiles(quantiles: &[f64]) -> Result<()> {
    let fits = |q: &f64| (0.0..=1.0).contains(q);
    if quantiles.is_empty() || !quantiles.iter().all(fits) || !quantiles.is_sorted_by(|a, b| a < b) {
        let text = quantiles.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
        return Err(Error::parameter(
            "quantiles",
            text,
            "numbers from 0 to 1, ascending, such as 0.1,0.5,0.9, are",
        ));
    }
    Ok(())
}

/// The mean over quantiles of q (y - p) where the prediction p is too small and (1 - q) (p - y) where it is too large (Koenker
/// and Bassett, "Regression quantiles", 1978). `predicted` is rows x quantiles. NaN gives NaN.
///
/// # Errors
/// When lengths differ or a weight is negative.
pub fn pinball_loss(
    truth: &[f64],
    predicted: &[f64],
    quantiles: &[f64],
    weights: Option<&[f64]>,
) -> Result<f64> {
    check(truth.len() * quantiles.len(), predicted.len(), None)?;
    check(truth.len(), truth.len(), weights)?;
    let loss = |row: usize| {
        let of_row = predicted[row * quantiles.len()..].iter().zip(quantiles);
        let one = |(p, q): (&f64, &f64)| {
            let short = truth[row] - p;
            if short < 0.0 { (q - 1.0) * short } else { q * short }
        };
        of_row.map(one).sum::<f64>() / quantiles.len() as f64
    };
    Ok(weighted_mean(truth.len(), weights, loss))
}

/// The mean over quantiles of how far the share of rows at or below the prediction is from the quantile. Where many rows have
/// equal answers it cannot be 0.
///
/// # Errors
/// When lengths differ or a weight is negative.
pub fn calibration_error(
    truth: &[f64],
    predicted: &[f64],
    quantiles: &[f64],
    weights: Option<&[f64]>,
) -> Result<f64> {
    check(truth.len() * quantiles.len(), predicted.len(), None)?;
    check(truth.len(), truth.len(), weights)?;
    let off = |(j, q): (usize, &f64)| {
        let below = |row: usize| f64::from(u8::from(truth[row] <= predicted[row * quantiles.len() + j]));
        (weighted_mean(truth.len(), weights, below) - q).abs()
    };
    Ok(quantiles.iter().enumerate().map(off).sum::<f64>() / quantiles.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantiles(values: &[(f64, f64)], asked: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; asked.len()];
        weighted_quantiles(values.iter().copied(), asked, &mut out);
        out
    }

    #[test]
    fn a_quantile_is_the_first_value_that_reaches_its_share() {
        // Ten equal rows whose weights do not sum to 1 exactly.
        let ten: Vec<(f64, f64)> = (1..=10).map(|i| (f64::from(i), 0.1)).collect();
        assert_eq!(
            quantiles(&ten, &[0.0, 0.1, 0.11, 0.3, 0.5, 0.51, 0.9, 1.0]),
            [1., 1., 2., 3., 5., 6., 9., 10.]
        );
        let zeros = [(1.0, 0.0), (2.0, 1.0), (3.0, 0.0)];
        assert_eq!(quantiles(&zeros, &[0.0, 0.5, 1.0]), [2.0; 3]);
        assert!(quantiles(&[(1.0, 0.0)], &[0.5])[0].is_nan() && quantiles(&[], &[0.5])[0].is_nan());
        for bad in [&[][..], &[0.5, 0.5], &[0.9, 0.1], &[-0.1], &[1.1], &[f64::NAN]] {
            assert!(check_quantiles(bad).is_err(), "{bad:?}");
        }
        check_quantiles(&[0.0, 0.5, 1.0]).unwrap();
    }

    proptest::proptest! {
        #[test]
        fn a_rank_is_that_of_the_quantile(count in 1_usize..200, part in 0_u32..=40, weight in 1e-9_f64..1e9) {
            let quantile = f64::from(part) / 40.0;
            for weight in [1.0, weight] {
                let values: Vec<(f64, f64)> = (0..count).map(|i| (i as f64, weight)).collect();
                proptest::prop_assert_eq!(quantiles(&values, &[quantile]), [quantile_rank(count, quantile) as f64]);
            }
        }

        /// In whole numbers, where nothing is rounded: the smallest value up to which 20 times the weight is at least so many
        /// parts of the whole.
        #[test]
        fn they_are_those_of_whole_numbers(
            mut values in proptest::collection::vec((-9_i32..9, 0_u32..7), 1..30),
            part in 0_u32..=20,
            unit in 1e-9_f64..1e9,
        ) {
            values.sort_unstable();
            let total: u32 = values.iter().map(|(_, weight)| weight).sum();
            proptest::prop_assume!(total > 0);
            let up_to = |value: i32| values.iter().filter(|(x, _)| *x <= value).map(|(_, w)| w).sum::<u32>();
            let reached = |value: i32| up_to(value) > 0 && 20 * up_to(value) >= part * total;
            let expected = values.iter().map(|(value, _)| *value).find(|&value| reached(value)).unwrap();
            let weighted: Vec<(f64, f64)> =
                values.iter().map(|&(value, weight)| (value.into(), f64::from(weight) * unit)).collect();
            proptest::prop_assert_eq!(quantiles(&weighted, &[f64::from(part) / 20.0]), [f64::from(expected)]);
        }
    }

    #[test]
    fn losses_are_their_definitions() {
        // Predictions of two quantiles for two rows: short by 1 and 0, long by 2 and 3.
        let (y, p, q) = ([1.0, 5.0], [0.0, 1.0, 7.0, 8.0], [0.25, 0.75]);
        let loss = pinball_loss(&y, &p, &q, None).unwrap();
        assert_eq!(loss, ((0.25 + 0.0) / 2.0 + (0.75 * 2.0 + 0.25 * 3.0) / 2.0) / 2.0);
        // The first row is at or below the second prediction alone, the other below both.
        let error = calibration_error(&y, &p, &q, None).unwrap();
        assert_eq!(error, ((0.5_f64 - 0.25).abs() + (1.0_f64 - 0.75).abs()) / 2.0);
        // The best constant is the quantile itself.
        let y: Vec<f64> = (0..101).map(f64::from).collect();
        let of = |c: f64| pinball_loss(&y, &[c; 101], &[0.3], None).unwrap();
        assert!((0..101).all(|c| of(f64::from(c)) >= of(30.0)));
        assert!(pinball_loss(&y, &[0.0], &[0.3], None).is_err());
        assert!(calibration_error(&y, &y, &[0.3], Some(&[1.0])).is_err());
    }
}
