//! Sums that no order changes.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Bits of a chunk that are its own; the others hold carries.
const BITS: u32 = 32;

/// 2098 bits hold every double; two chunks more hold the carries of any number of them.
const CHUNKS: usize = 68;

/// After so many additions chunks are carried: each adds less than 2^32 to one that was below it.
const MOST_ADDED: u32 = 1 << 30;

/// The exact sum of doubles, rounded once where it is asked for: the same bits in any order of the terms, from any division
/// among threads or files.
///
/// A term goes into an integer of 2176 bits, kept in 64-bit chunks of which 32 bits are carry-free (Neal, "Fast exact
/// summation using small and large superaccumulators", 2015); about 2 ns each. There is no range to leave: sums beyond the largest double are
/// infinite, and become finite again if later terms bring them back. Infinities and NaN give what they would in a plain sum.
///
/// ```
/// use tilewise_base::ExactSum;
/// let mut sum = ExactSum::default();
/// for x in [1e300, 1.0, 1e-300, -1e300, -1.0] {
///     sum.add(x);
/// }
/// assert_eq!(sum.value(), 1e-300);
/// ```
#[derive(Clone)]
pub struct ExactSum {
    /// Chunk i counts units of 2^(32 i - 1074).
    chunks: [i64; CHUNKS],
    /// Additions since chunks were carried.
    added: u32,
    /// The sum of terms that are not finite; 0 where all are.
    beyond: f64,
}

impl Default for ExactSum {
    fn default() -> Self {
        Self { chunks: [0; CHUNKS], added: 0, beyond: 0.0 }
    }
}

impl fmt::Debug for ExactSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExactSum({:e})", self.value())
    }
}

impl ExactSum {
    /// Adds a term.
    #[inline]
    pub fn add(&mut self, x: f64) {
        let bits = x.to_bits();
        let exponent = (bits >> 52) as u32 & 0x7ff;
        if exponent == 0x7ff {
            self.beyond += x;
            return;
        }
        let mantissa = bits & ((1 << 52) - 1) | u64::from(exponent != 0) << 52;
        // Where the last bit of the mantissa belongs.
        let place = exponent.max(1) - 1;
        let (chunk, shift) = ((place / BITS) as usize, place % BITS);
        let (low, high) = (mantissa << shift, mantissa >> 1 >> (63 - shift));
        let sign = bits as i64 >> 63 | 1;
        self.chunks[chunk] += sign * i64::from(low as u32);
        self.chunks[chunk + 1] += sign * (low >> BITS) as i64;
        self.chunks[chunk + 2] += sign * high as i64;
        self.added += 1;
        if self.added == MOST_ADDED {
            self.carry();
        }
    }

    /// Adds a product, exactly too: as itself and what its rounding lost (which is exact unless it is below the smallest double).
    #[inline]
    pub fn add_product(&mut self, a: f64, b: f64) {
        let product = a * b;
        self.add(product);
        if product.is_finite() {
            self.add(a.mul_add(b, -product));
        }
    }

    /// The sum of the terms of both.
    #[must_use]
    pub fn merge(mut self, mut other: Self) -> Self {
        self.carry();
        other.carry();
        self.chunks.iter_mut().zip(other.chunks).for_each(|(chunk, more)| *chunk += more);
        self.beyond += other.beyond;
        self.added = 1;
        self
    }

    /// Leaves 0 to 2^32 - 1 in all chunks but the last, which has the sign.
    fn carry(&mut self) {
        for i in 1..CHUNKS {
            let carry = self.chunks[i - 1] >> BITS;
            self.chunks[i - 1] -= carry << BITS;
            self.chunks[i] += carry;
        }
        self.added = 0;
    }

    /// The double nearest to the sum, of two the even one; 0 of no terms.
    pub fn value(&self) -> f64 {
        if self.beyond.is_nan() {
            return f64::NAN;
        }
        if self.beyond != 0.0 {
            return self.beyond;
        }
        let mut sum = self.clone();
        sum.carry();
        let negative = sum.chunks[CHUNKS - 1] < 0;
        if negative {
            sum.chunks.iter_mut().for_each(|chunk| *chunk = -*chunk);
            sum.carry();
        }
        let Some(first) = sum.chunks.iter().rposition(|&chunk| chunk != 0) else { return 0.0 };
        // The upper four chunks hold at least 97 bits from the first that is set, 43 more than decide how to round; of all
        // others only matters whether there are any.
        let upper = |back: usize| if back > first { 0 } else { sum.chunks[first - back] as u128 };
        let mut bits = upper(0) << (3 * BITS) | upper(1) << (2 * BITS) | upper(2) << BITS | upper(3);
        if first > 3 && sum.chunks[..first - 3].iter().any(|&chunk| chunk != 0) {
            bits |= 1;
        }
        // A result below the normal numbers has no more bits than fit, so the last step rounds nothing but overflow.
        let exponent = (first as i32 - 3) * BITS as i32 - 1074;
        let half = exponent / 2;
        let value = bits as f64 * power_of_two(half) * power_of_two(exponent - half);
        if negative { -value } else { value }
    }
}

/// On its way between processes: what is beyond, the place of the first chunk that is not 0, and chunks from there on to the last.
impl Serialize for ExactSum {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut sum = self.clone();
        sum.carry();
        let first = sum.chunks.iter().position(|&chunk| chunk != 0).unwrap_or(CHUNKS);
        let end = sum.chunks.iter().rposition(|&chunk| chunk != 0).map_or(first, |last| last + 1);
        (sum.beyond, first as u8, &sum.chunks[first..end]).serialize(to)
    }
}

impl<'de> Deserialize<'de> for ExactSum {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (beyond, first, chunks) = <(f64, u8, Vec<i64>)>::deserialize(from)?;
        let mut sum = Self { beyond, added: 1, ..Self::default() };
        let places = sum.chunks.get_mut(first.into()..usize::from(first) + chunks.len());
        let carried = |place: usize, chunk: i64| {
            (0..1 << BITS).contains(&chunk) || place == CHUNKS - 1 && chunk.abs() < 1 << BITS
        };
        match places {
            Some(places)
                if chunks.iter().enumerate().all(|(i, &chunk)| carried(usize::from(first) + i, chunk)) =>
            {
                places.copy_from_slice(&chunks);
                Ok(sum)
            }
            _ => Err(serde::de::Error::custom("no exact sum")),
        }
    }
}

impl Extend<f64> for ExactSum {
    fn extend<I: IntoIterator<Item = f64>>(&mut self, terms: I) {
        terms.into_iter().for_each(|x| self.add(x));
    }
}

impl FromIterator<f64> for ExactSum {
    fn from_iter<I: IntoIterator<Item = f64>>(terms: I) -> Self {
        let mut sum = Self::default();
        sum.extend(terms);
        sum
    }
}

/// 2^e for e inside the range of normal numbers.
fn power_of_two(e: i32) -> f64 {
    f64::from_bits(((1023 + e) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(terms: &[f64]) -> f64 {
        terms.iter().copied().collect::<ExactSum>().value()
    }

    #[test]
    fn sums_at_the_ends_of_the_range() {
        assert_eq!(sum(&[]).to_bits(), 0);
        assert_eq!(sum(&[-0.0]).to_bits(), 0);
        assert_eq!(sum(&[1.0, -1.0]).to_bits(), 0);
        let least = f64::from_bits(1);
        assert_eq!(sum(&[least]), least);
        assert_eq!(sum(&[-least, -least]), -f64::from_bits(2));
        assert_eq!(sum(&[f64::MIN_POSITIVE, -least]), f64::from_bits((1 << 52) - 1));
        assert_eq!(sum(&[f64::MAX]), f64::MAX);
        assert_eq!(sum(&[f64::MIN]), f64::MIN);
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
        assert_eq!(sum(&[f64::MAX, least, -f64::MAX]), least);
        assert_eq!(sum(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan() && sum(&[f64::NAN]).is_nan());
    }

    #[test]
    fn rounds_to_the_nearest_and_of_two_to_the_even() {
        let half = f64::EPSILON / 2.0;
        assert_eq!(sum(&[1.0, half]), 1.0);
        assert_eq!(sum(&[1.0, half, 1e-300]), 1.0 + f64::EPSILON);
        assert_eq!(sum(&[1.0, half, -1e-300]), 1.0);
        assert_eq!(sum(&[1.0, half, f64::EPSILON]), 1.0 + 2.0 * f64::EPSILON);
        assert_eq!(sum(&[-1.0, -half, -1e-300]), -1.0 - f64::EPSILON);
        assert_eq!(sum(&[0.1; 10]), 1.0);
    }

    #[test]
    fn many_terms_are_carried() {
        let mut all = ExactSum { added: MOST_ADDED - 2, ..ExactSum::default() };
        // As chunks may be at that moment.
        all.chunks[33..36].fill(i64::from(MOST_ADDED) << 32);
        let before = all.value();
        all.extend([1.0, 1.0, 1.0]);
        assert_eq!(all.added, 1);
        assert_eq!(all.value(), before + 3.0);
    }

    fn any_double() -> impl Strategy<Value = f64> {
        any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |x| x.is_finite())
    }

    proptest! {
        /// Integers of up to 100 bits in units of 2^-40 are an independent way to the exact sum.
        #[test]
        fn is_the_sum_of_integers(terms in prop::collection::vec((-1_i64 << 53..1 << 53, 0..40_u32), 0..40)) {
            let exact: i128 = terms.iter().map(|&(x, shift)| i128::from(x) << shift).sum();
            let doubles: Vec<f64> = terms.iter().map(|&(x, s)| x as f64 * f64::from(1_u32 << (s / 2)) * f64::from(1_u32 << (s - s / 2)) / 2.0_f64.powi(40)).collect();
            prop_assert_eq!(sum(&doubles), exact as f64 / 2.0_f64.powi(40));
        }

        #[test]
        fn neither_order_nor_division_matters(
            terms in prop::collection::vec((any_double(), any::<u32>()), 0..30),
            cut in 0..30_usize,
        ) {
            let plain: Vec<f64> = terms.iter().map(|t| t.0).collect();
            let mut shuffled = terms.clone();
            shuffled.sort_by_key(|t| t.1);
            let shuffled: Vec<f64> = shuffled.into_iter().map(|t| t.0).collect();
            let (left, right) = shuffled.split_at(cut.min(terms.len()));
            let merged = left.iter().copied().collect::<ExactSum>().merge(right.iter().copied().collect());
            prop_assert_eq!(merged.value().to_bits(), sum(&plain).to_bits());
            let bytes = postcard::to_stdvec(&merged).unwrap();
            prop_assert_eq!(postcard::from_bytes::<ExactSum>(&bytes).unwrap().value().to_bits(), sum(&plain).to_bits());
            // What takes itself away leaves the rest.
            let back = plain.iter().copied().chain(plain.iter().skip(1).map(|x| -x)).collect::<ExactSum>();
            prop_assert_eq!(back.value(), plain.first().copied().unwrap_or(0.0));
        }

        #[test]
        fn a_whole_weight_is_a_repetition(terms in prop::collection::vec((-1e9..1e9_f64, 0..9_u32), 0..20)) {
            let mut products = ExactSum::default();
            terms.iter().for_each(|&(x, times)| products.add_product(f64::from(times), x));
            let repeated = terms.iter().flat_map(|&(x, times)| std::iter::repeat_n(x, times as usize));
            prop_assert_eq!(products.value().to_bits(), repeated.collect::<ExactSum>().value().to_bits());
        }
    }
}
