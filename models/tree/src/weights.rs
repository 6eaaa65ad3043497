//! Weights as integers, so that sums of them are exact in any order.

use tilewise_base::ExactSum;

/// The weights of rows as multiples of a power of two.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weights {
    /// One per row; `None` when all are 1.
    pub(crate) values: Option<Vec<u32>>,
    /// What 1 stands for.
    pub(crate) unit: f64,
    /// Their sum.
    pub(crate) total: u64,
}

/// The sum of weights as integers is at most this: it fits `i32`.
pub(crate) const MOST: u64 = (1 << 31) - 1;

impl Weights {
    /// Weights of `rows` rows. They are kept exactly where a power of two makes whole numbers of them whose sum is below
    /// 2^31; whole numbers are then kept as they are, so that a row of weight 3 counts as three rows. Others are rounded to
    /// 2^-31 of their sum. The weights must be finite and not negative.
    pub(crate) fn new(rows: usize, weights: Option<&[f64]>) -> Self {
        let Some(weights) = weights.filter(|w| w.iter().any(|&w| w != 1.0)) else {
            return Self { values: None, unit: 1.0, total: rows as u64 };
        };
        let largest = weights.iter().fold(0.0, |a: f64, &w| a.max(w));
        if largest == 0.0 {
            return Self { values: Some(vec![0; rows]), unit: 1.0, total: 0 };
        }
        let ratio = ratio(weights, largest).value();
        Self::scaled(weights, exponent(rows, largest, ratio, whole(weights)))
    }

    /// Weights in units of 2^-`exponent`.
    pub(crate) fn scaled(weights: &[f64], exponent: i32) -> Self {
        let values: Vec<u32> = weights.iter().map(|&w| scale(w, exponent).round() as u32).collect();
        let total = values.iter().map(|&w| u64::from(w)).sum();
        Self { values: Some(values), unit: scale(1.0, -exponent), total }
    }

    /// The rows of `rows` that have a weight.
    pub(crate) fn counted(&self, rows: usize) -> Vec<u32> {
        (0..rows as u32).filter(|&row| self.get(row as usize) > 0).collect()
    }

    /// The weight of a row.
    pub(crate) fn get(&self, row: usize) -> u32 {
        self.values.as_ref().map_or(1, |values| values[row])
    }
}

/// The sum of weights as parts of the largest, in any order: it cannot overflow.
pub(crate) fn ratio(weights: &[f64], largest: f64) -> ExactSum {
    weights.iter().map(|w| w / largest).collect()
}

/// The most binary places that any weight has behind the point.
pub(crate) fn whole(weights: &[f64]) -> i32 {
    weights.iter().filter(|w| **w > 0.0).map(|&w| -last_bit(w)).max().unwrap_or(0).max(0)
}

/// The exponent of the unit of so many weights, of which this is the largest, the sum in parts of it, and the most binary places.
pub(crate) fn exponent(rows: usize, largest: f64, ratio: f64, whole: i32) -> i32 {
    // 2^-52 of an error is far below the bit to spare.
    let most = ((MOST as f64 - rows as f64).max(1.0) / ratio).log2() - largest.log2();
    f64::from(whole).min(most.floor()) as i32
}

/// x 2^e, in two steps since 2^e alone may be out of range.
pub(crate) fn scale(x: f64, e: i32) -> f64 {
    let half = e / 2;
    x * 2.0_f64.powi(half) * 2.0_f64.powi(e - half)
}

/// The exponent of the last bit that is set in `x` > 0.
fn last_bit(x: f64) -> i32 {
    let bits = x.to_bits();
    let (exponent, mantissa) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
    if exponent == 0 {
        return mantissa.trailing_zeros() as i32 - 1074;
    }
    (mantissa | 1 << 52).trailing_zeros() as i32 + exponent - 1075
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_and_parts_of_two_are_kept() {
        let weights = Weights::new(4, Some(&[3.0, 0.0, 1.0, 7.0]));
        assert_eq!(weights, Weights { values: Some(vec![3, 0, 1, 7]), unit: 1.0, total: 11 });
        let weights = Weights::new(2, Some(&[0.25, 2.5]));
        assert_eq!(weights, Weights { values: Some(vec![1, 10]), unit: 0.25, total: 11 });
        // Even numbers stay what they are: a weight of 2 is two rows.
        assert_eq!(Weights::new(2, Some(&[2.0, 4.0])).unit, 1.0);
        assert_eq!(Weights::new(3, Some(&[1.0; 3])), Weights { values: None, unit: 1.0, total: 3 });
    }

    #[test]
    fn others_are_rounded_and_never_overflow() {
        for weights in
            [vec![0.1, 0.2, 0.7], vec![1e300, 1e300], vec![5e-324, 1.0, 1e-300], vec![4e9, 1.0, 0.5]]
        {
            let fixed = Weights::new(weights.len(), Some(&weights));
            let sum: f64 = weights.iter().map(|w| w / 2.0).sum::<f64>() * 2.0;
            assert!(fixed.total <= MOST && fixed.total > 1 << 29, "{fixed:?}");
            for (i, w) in weights.iter().enumerate() {
                let off = (f64::from(fixed.get(i)) * fixed.unit - w).abs();
                assert!(off <= sum * 2.0_f64.powi(-30), "{w}: {fixed:?}");
            }
        }
    }
}
