//! The rows that a stage of boosting grows on: all, a share drawn for it, or those with large derivatives and some of the others.
//!
//! The last is gradient-based one-side sampling (Ke et al., *LightGBM*, NeurIPS 2017, algorithm 2), with LightGBM's two additions: a
//! row is as large as its gradient times its hessian, added up over scores, and the first 1 / learning rate stages grow on all
//! rows, since before them many rows have derivatives of the same size. The threshold is found digit by digit in rounds of counts,
//! equal rows are told apart by a hash of their numbers, and each of the others is drawn by its number alone: neither threads nor the
//! order in which rows are looked at change what is drawn.

use crate::GradientBoosting;
use crate::loss::Derivatives;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::ops::Range;
use tilewise_kernels::parallel;
use tilewise_kernels::random::Philox;

/// Shares of rows by the size of their derivatives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goss {
    /// The share of rows with the largest, which are all grown on; above 0.
    pub top: f64,
    /// The share of all rows that is drawn from the others, above 0, both at most 1 together. Their derivatives are multiplied by
    /// (1 - top) / other, so that sums are right on average.
    pub other: f64,
}

impl Goss {
    /// The chance of a row that is not one of the largest.
    fn chance(self) -> f64 {
        (self.other / (1.0 - self.top)).min(1.0)
    }
}

/// Rows of a stage.
pub(crate) struct Sample<'a> {
    pub(crate) rows: Cow<'a, [u32]>,
    /// How many rows each row of the table stands for, 0 where it was not drawn; `None` for 1 each.
    factors: Option<Vec<f64>>,
}

/// The random numbers by which the rows of a stage are drawn, one for the number of each row.
pub(crate) fn stream(seed: u64, stage: usize) -> Philox {
    const ROWS: u64 = Philox::purpose("rows of a stage of boosting");
    Philox::new(Philox::new(seed, ROWS).bits(stage as u64), ROWS)
}

/// Rows of a piece of parallel work: some 100 microseconds.
const PIECE: usize = 32 << 10;

impl<'a> Sample<'a> {
    /// Draws from these rows of the table; multiplies `derivatives`, which have all rows of the table for one score after the other,
    /// by how many rows each stands for.
    pub(crate) fn new(
        params: &GradientBoosting,
        rows: &'a [u32],
        seed: u64,
        stage: usize,
        derivatives: &mut [Derivatives],
        of_score: usize,
    ) -> Self {
        let stream = stream(seed, stage);
        if params.subsample < 1.0 {
            let mut drawn: Vec<u32> =
                rows.iter().copied().filter(|&row| stream.uniform(row.into()) < params.subsample).collect();
            if drawn.is_empty() {
                drawn.push(rows[0]);
            }
            return Self { rows: drawn.into(), factors: None };
        }
        match params.goss {
            Some(goss) if stage >= (1.0 / params.learning_rate) as usize => {
                Self::goss(goss, rows, stream, derivatives, of_score)
            }
            _ => Self { rows: rows.into(), factors: None },
        }
    }

    fn goss(
        goss: Goss,
        rows: &[u32],
        stream: Philox,
        derivatives: &mut [Derivatives],
        of_score: usize,
    ) -> Self {
        const TIES: u64 = Philox::purpose("rows with derivatives of the same size");
        let ties = Philox::new(stream.bits(u64::MAX), TIES);
        let size = |row: u32| {
            let of_scores = derivatives[row as usize..].iter().step_by(of_score);
            let size: f64 = of_scores.map(|d| f64::from(d.gradient).abs() * f64::from(d.hessian)).sum();
            // The order of f32 that are not negative is that of their bits.
            (size as f32).to_bits()
        };
        let mut sizes = vec![0; rows.len()];
        parallel::for_each_chunk_mut(&mut sizes, PIECE, |piece, sizes| {
            sizes.iter_mut().zip(&rows[piece * PIECE..]).for_each(|(out, &row)| *out = size(row));
        });
        let word = |place: usize, word: usize| match word {
            0 => sizes[place],
            1 => ties.bits(rows[place].into()) as u32,
            _ => rows[place],
        };
        let count = ((goss.top * rows.len() as f64) as usize).max(1);
        let least = threshold(rows.len(), count, word);
        let is_top = |place: usize| {
            let order = |which: usize| word(place, which).cmp(&least[which]);
            order(0).then_with(|| order(1)).then_with(|| order(2)).is_ge()
        };
        let (chance, factor) = (goss.chance(), 1.0 / goss.chance());
        let of_pieces = parallel::map(rows.len().div_ceil(PIECE), |piece| {
            let places = piece * PIECE..rows.len().min((piece + 1) * PIECE);
            let drawn = |place: usize| {
                let row = rows[place];
                if is_top(place) {
                    Some((row, 1.0))
                } else {
                    (stream.uniform(row.into()) < chance).then_some((row, factor))
                }
            };
            places.filter_map(drawn).collect::<Vec<(u32, f64)>>()
        });
        let drawn: Vec<(u32, f64)> = of_pieces.into_iter().flatten().collect();
        let mut factors = vec![0.0; of_score];
        drawn.iter().for_each(|&(row, factor)| factors[row as usize] = factor);
        for derivatives in derivatives.chunks_exact_mut(of_score) {
            parallel::for_each_chunk_mut(derivatives, PIECE, |piece, derivatives| {
                for (derivatives, &factor) in derivatives.iter_mut().zip(&factors[piece * PIECE..]) {
                    *derivatives = derivatives.times(factor);
                }
            });
        }
        Self { rows: drawn.into_iter().map(|(row, _)| row).collect(), factors: Some(factors) }
    }

    /// How many rows a drawn row stands for.
    pub(crate) fn factor(&self, row: usize) -> f64 {
        self.factors.as_ref().map_or(1.0, |factors| factors[row])
    }

    /// The weight of those for which some drawn rows stand, given that of any rows. In any order of these it is the same.
    pub(crate) fn weight(&self, rows: &[u32], weight: impl Fn(&[u32]) -> f64) -> f64 {
        if self.factors.is_none() {
            return weight(rows);
        }
        let (tops, others): (Vec<u32>, Vec<u32>) =
            rows.iter().partition(|&&row| self.factor(row as usize) == 1.0);
        let factor = others.first().map_or(1.0, |&row| self.factor(row as usize));
        weight(&tops) + factor * weight(&others)
    }
}

/// Words of a key: the size of a row, a hash of its number, its number.
const WORDS: usize = 3;

/// The least key for which `count` (1 to `rows`) of the rows have this or a larger one, if all keys are different; `word(place, i)` is
/// word i of a key, and earlier words count more. From the first digit to the last: of rows whose digits before are those of the key,
/// it is counted how many have each digit next. O(9 rows), mostly O(3 rows).
fn threshold(rows: usize, count: usize, word: impl Fn(usize, usize) -> u32 + Sync) -> [u32; WORDS] {
    /// Where digits begin in a word, and how many values they have.
    const DIGITS: [(u32, usize); 3] = [(21, 1 << 11), (10, 1 << 11), (0, 1 << 10)];
    let mut key = [0; WORDS];
    let mut wanted = count as u32;
    for which in 0..WORDS {
        for (shift, values) in DIGITS {
            // Zero for the first digit.
            let decided = u32::MAX.checked_shl(shift + values.ilog2()).unwrap_or(0);
            let of_places = |places: Range<usize>| {
                let mut counts = vec![0_u32; values];
                for place in places {
                    let before = (0..which).all(|before| word(place, before) == key[before]);
                    if before {
                        let word = word(place, which);
                        if word & decided == key[which] {
                            counts[(word >> shift) as usize % values] += 1;
                        }
                    }
                }
                counts
            };
            let counts = parallel::map_reduce(rows, PIECE, of_places, |mut a, b| {
                a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
                a
            })
            .unwrap_or_default();
            let mut digit = counts.len().saturating_sub(1);
            while digit > 0 && counts[digit] < wanted {
                wanted -= counts[digit];
                digit -= 1;
            }
            key[which] |= (digit as u32) << shift;
            if counts.get(digit) == Some(&wanted) {
                return key;
            }
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against sorting all keys.
        #[test]
        fn so_many_keys_are_as_large(
            sizes in prop::collection::vec(prop::sample::select(vec![0_u32, 1, 1023, 1024, 1 << 21, 0x7f7f_ffff, u32::MAX]), 1..60),
            hashes in prop::collection::vec(prop::sample::select(vec![0_u32, 7, 1 << 10, 5 << 21]), 60),
            share in 0.0_f64..1.0,
        ) {
            let key = |place: usize| [sizes[place], hashes[place], place as u32];
            let count = 1 + (share * sizes.len() as f64) as usize;
            let least = threshold(sizes.len(), count, |place, which| key(place)[which]);
            let mut sorted: Vec<_> = (0..sizes.len()).map(key).collect();
            sorted.sort_unstable();
            let larger: Vec<_> = sorted.iter().filter(|key| **key >= least).collect();
            prop_assert_eq!(larger.len(), count);
            prop_assert!(larger.iter().zip(&sorted[sizes.len() - count..]).all(|(a, b)| *a == b));
        }

        /// Sizes are kept or multiplied, sums are right on average, and the order of rows changes nothing.
        #[test]
        fn large_rows_stay_and_others_stand_for_more(seed: u64, scores in 1_usize..3) {
            const ROWS: usize = 4000;
            let random = Philox::new(seed, 1);
            let all: Vec<Derivatives> = (0..(ROWS * scores) as u64)
                .map(|i| Derivatives { gradient: random.normal(i) as f32, hessian: 1.0 + (i % 2) as f32 })
                .collect();
            let goss = Goss { top: 0.25, other: 0.15 };
            let params = GradientBoosting { goss: Some(goss), ..GradientBoosting::default() };
            let rows: Vec<u32> = (0..ROWS as u32).filter(|row| row % 10 != 3).collect();
            let draw = |rows: &[u32]| {
                let mut derivatives = all.clone();
                let sample = Sample::new(&params, rows, seed, 10, &mut derivatives, ROWS);
                (sample.rows.into_owned(), sample.factors.unwrap(), derivatives)
            };
            let (drawn, factors, derivatives) = draw(&rows);
            let size = |row: u32| -> f64 {
                let of = |d: &Derivatives| f64::from(d.gradient).abs() * f64::from(d.hessian);
                all[row as usize..].iter().step_by(ROWS).map(of).sum()
            };
            let mut sizes: Vec<f64> = rows.iter().map(|&row| size(row)).collect();
            sizes.sort_by(|a, b| b.total_cmp(a));
            let tops: Vec<u32> = drawn.iter().copied().filter(|&row| factors[row as usize] == 1.0).collect();
            prop_assert_eq!(tops.len(), 900);
            prop_assert!(tops.iter().all(|&row| size(row) >= sizes[899] * (1.0 - 1e-6)));
            // Of 2,700 others a fifth, 540 with a standard deviation of 21, stand for five each.
            let others = drawn.len() - 900;
            prop_assert!((390..690).contains(&others), "{others}");
            let is_drawn = |row: usize| drawn.binary_search(&(row as u32)).is_ok();
            for (i, (before, after)) in all.iter().zip(&derivatives).enumerate() {
                let factor = factors[i % ROWS];
                let stands = if is_drawn(i % ROWS) { factor == 1.0 || (factor - 5.0).abs() < 1e-12 } else { factor == 0.0 };
                prop_assert!(stands, "{factor}");
                prop_assert_eq!(*after, before.times(factor));
            }
            // Those of others stand for all that are not at the top, of which fewer have a hessian of 2. Seven standard deviations, of
            // each twice the root of the sum of squares.
            let of_others = (0..ROWS).filter(|&row| factors[row] > 1.0);
            let sum: f64 = of_others.map(|row| f64::from(derivatives[row].hessian)).sum();
            let low = || rows.iter().filter(|row| tops.binary_search(row).is_err());
            let power = |n: i32| -> f64 { low().map(|&row| f64::from(all[row as usize].hessian).powi(n)).sum() };
            prop_assert!((sum - power(1)).abs() < 14.0 * power(2).sqrt(), "{sum} for {}", power(1));
            let mut turned: Vec<u32> = rows.iter().rev().copied().collect();
            turned.rotate_left(1234);
            let (mut others, of_others, of_turned) = draw(&turned);
            others.sort_unstable();
            prop_assert_eq!((others, of_others, of_turned), (drawn, factors, derivatives));
            // The first stages grow on all rows.
            let mut derivatives = all.clone();
            let first = Sample::new(&params, &rows, seed, 9, &mut derivatives, ROWS);
            prop_assert!(first.rows == rows && first.factors.is_none() && derivatives == all);
        }
    }
}
