//! Which rows a tree is grown on, and how the others judge it.

use crate::MaxSamples;
use serde::{Deserialize, Serialize};
use tilewise_base::{Error, Result};
use tilewise_kernels::parallel;
use tilewise_kernels::random::Philox;
use tilewise_tree::{Answers, BinnedTable, Tree};

/// Draws rows with replacement.
pub(crate) struct Bootstrap<'a> {
    table: &'a BinnedTable,
    seed: u64,
    draws: u64,
    /// Draws of all rows: a draw falls between 0 and this.
    all: u64,
    /// The sum of weights up to each counted row, in draws of all; empty where all rows are as likely.
    sums: Vec<f64>,
}

/// A whole weight makes a row count as so many while there are no more rows in all than this times those of the table.
pub(crate) const REPEATED: f64 = 16.0;

/// Calls `see` with the random bits of each draw of a tree, in any order.
pub(crate) fn words_of_rows(seed: u64, tree: u32, draws: u64, mut see: impl FnMut(u64)) {
    let random = Philox::new(seed, ROWS);
    // Two draws from the words of one place.
    let first = u64::from(tree) << 32;
    for pair in 0..draws.div_ceil(2) {
        let [a, b, c, d] = random.words(first | pair).map(u64::from);
        see(a | (b << 32));
        if 2 * pair + 1 < draws {
            see(c | (d << 32));
        }
    }
}

const ROWS: u64 = Philox::purpose("rows of a tree");

impl<'a> Bootstrap<'a> {
    /// Of as many draws as rows that have a weight, or as their weights sum to, where these are whole and not too large: a
    /// forest on rows of weight 2 is then that on the same rows twice, side by side.
    pub(crate) fn new(table: &'a BinnedTable, seed: u64, samples: MaxSamples) -> Result<Self> {
        let counted = table.counted();
        let weights: Vec<f64> = counted.iter().map(|&row| table.weight(row as usize)).collect();
        let total: f64 = weights.iter().sum();
        let repeated = table.has_whole_weights() && total <= REPEATED * counted.len() as f64;
        let all = if repeated { total } else { counted.len() as f64 };
        let scale = all / total;
        let sums = if weights.iter().all(|weight| *weight == 1.0) {
            Vec::new()
        } else {
            let running = |sum: &mut f64, weight: f64| {
                *sum += weight;
                Some(*sum * scale)
            };
            weights.into_iter().scan(0.0, running).collect()
        };
        if all >= (1_u64 << 32) as f64 {
            return Err(Error::Fit(format!("{all} rows are too many to be drawn; up to 2^32 - 1 can be")));
        }
        let all = all as u64;
        Ok(Self { table, seed, draws: samples.of(all)?, all, sums })
    }

    /// How often tree `tree` gets each row of the table.
    pub(crate) fn counts(&self, tree: usize) -> Vec<u32> {
        let counted = self.table.counted();
        let mut counts = vec![0; self.table.rows()];
        let every = counted.len() == counts.len();
        words_of_rows(self.seed, tree as u32, self.draws, |bits| {
            // The bias is below rows / 2^64.
            let place = if self.sums.is_empty() {
                ((u128::from(bits) * u128::from(self.all)) >> 64) as usize
            } else {
                let at = (bits >> 11) as f64 / (1_u64 << 53) as f64 * self.all as f64;
                self.sums.partition_point(|sum| *sum <= at).min(counted.len() - 1)
            };
            // Where all rows count, a row's place is its number.
            counts[if every { place } else { counted[place] as usize }] += 1;
        });
        counts
    }
}

/// One bit per row: whether a tree was grown on it.
pub(crate) fn bag(counts: &[u32]) -> Vec<u64> {
    let word = |counts: &[u32]| {
        counts.iter().enumerate().fold(0, |word, (i, &count)| word | u64::from(count > 0) << i)
    };
    counts.chunks(64).map(word).collect()
}

/// How a forest does on its training rows when each is predicted by those trees alone that were grown without it
/// (Breiman, "Out-of-bag estimation", 1996).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutOfBag {
    /// Rows that were out of the bag of at least one tree.
    pub rows: usize,
    /// The share of their weight whose class was right; for numbers R2, the share of the variance that is explained, and for
    /// several the mean of these. NaN where there is none: no rows, or all their numbers are the same.
    #[serde(with = "tilewise_base::finite")]
    pub score: f64,
}

/// What the trees that were grown without a row predict for it, rows x outputs; NaN where there is no such tree.
pub(crate) fn predictions(table: &BinnedTable, trees: &[Tree], bags: &[Vec<u64>]) -> Vec<f64> {
    /// Rows of a chunk: each tree is read again for it.
    const ROWS: usize = 512;
    let outputs = trees.first().map_or(0, Tree::outputs);
    let mut out = vec![0.0; table.rows() * outputs];
    parallel::for_each_chunk_mut(&mut out, ROWS * outputs, |chunk, out| {
        let first = chunk * ROWS;
        let mut counts = vec![0_u32; out.len() / outputs];
        for (tree, bag) in trees.iter().zip(bags) {
            for (i, (out, count)) in out.chunks_exact_mut(outputs).zip(&mut counts).enumerate() {
                let row = first + i;
                if bag[row / 64] >> (row % 64) & 1 == 0 {
                    let value = tree.numbers(tree.leaf_of(table, row));
                    out.iter_mut().zip(value).for_each(|(out, x)| *out += x);
                    *count += 1;
                }
            }
        }
        for (out, count) in out.chunks_exact_mut(outputs).zip(counts) {
            out.iter_mut().for_each(|out| *out /= f64::from(count));
        }
    });
    out
}

impl OutOfBag {
    /// Judges predictions, rows x outputs.
    pub(crate) fn of(table: &BinnedTable, answers: &Answers, predictions: &[f64]) -> Self {
        let outputs = predictions.len() / table.rows();
        let of_row = |row: &u32| &predictions[*row as usize * outputs..][..outputs];
        let asked: Vec<u32> =
            table.counted().iter().copied().filter(|row| !of_row(row)[0].is_nan()).collect();
        let sum = |f: &dyn Fn(&u32) -> f64| {
            asked.iter().map(|row| table.weight(*row as usize) * f(row)).sum::<f64>()
        };
        let all = sum(&|_| 1.0);
        let explained = |y: &[f64], output: usize| {
            let y = |row: &u32| y[*row as usize];
            let mean = sum(&y) / all;
            1.0 - sum(&|row| (y(row) - of_row(row)[output]).powi(2)) / sum(&|row| (y(row) - mean).powi(2))
        };
        let score = match answers {
            Answers::Classes { y, .. } => {
                let right =
                    |row: &u32| y[*row as usize] as usize == first_of_largest(of_row(row).iter().copied());
                sum(&|row| f64::from(u8::from(right(row)))) / all
            }
            Answers::Numbers(y) => explained(y, 0),
            Answers::Outputs(y) => {
                y.iter().enumerate().map(|(output, y)| explained(y, output)).sum::<f64>() / y.len() as f64
            }
        };
        Self { rows: asked.len(), score: if score.is_finite() { score } else { f64::NAN } }
    }

    /// In words; `classes` tells what the score is.
    pub(crate) fn told(&self, classes: bool) -> String {
        let Self { rows, score } = self;
        let s = if *rows == 1 { "" } else { "s" };
        match (rows, if classes { "accuracy" } else { "R2" }) {
            (0, what) => format!("out of bag {what} not known: every row is in the bag of every tree"),
            (_, what) if score.is_nan() => {
                format!("out of bag {what} not known: it has no finite value on {rows} row{s}")
            }
            (_, what) => format!("out of bag {what} {score:.6} on {rows} row{s}"),
        }
    }
}

pub(crate) fn first_of_largest(values: impl DoubleEndedIterator<Item = f64> + ExactSizeIterator) -> usize {
    values.enumerate().rev().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tilewise_kernels::MatRef;

    fn table(weights: &[f64]) -> BinnedTable {
        let x: Vec<f64> = (0..weights.len()).map(|i| i as f64).collect();
        BinnedTable::of_matrix(MatRef::new(&x, x.len(), 1).unwrap(), Some(weights), 255, 0).unwrap()
    }

    #[test]
    fn rows_are_drawn_by_weight() {
        let weights = |i: usize| {
            if i == 0 {
                0.0
            } else if i < 100 {
                0.3
            } else {
                0.1
            }
        };
        let weights: Vec<f64> = (0..200).map(weights).collect();
        let table = table(&weights);
        let bootstrap = Bootstrap::new(&table, 1, MaxSamples::All).unwrap();
        let mut sums = vec![0; 200];
        for tree in 0..500 {
            let counts = bootstrap.counts(tree);
            assert_eq!(counts.iter().sum::<u32>(), 199);
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        assert_eq!(sums[0], 0);
        let (heavy, light): (u32, u32) = (sums[1..100].iter().sum(), sums[100..].iter().sum());
        // 29.7 of 39.7: 74.8 % of 99,500 draws, with a standard error of 0.14 %.
        assert!((f64::from(heavy) / f64::from(heavy + light) - 0.748).abs() < 0.006, "{heavy} {light}");
    }

    #[test]
    fn whole_weights_are_repeated_rows() {
        let repeated = table(&[1.0; 6]);
        let weighted = table(&[2.0, 0.0, 3.0, 1.0]);
        for (samples, drawn) in [
            (MaxSamples::All, 6),
            (MaxSamples::Count(4), 4),
            // 4.5: to the even one, as scikit-learn rounds.
            (MaxSamples::Share(0.75), 4),
            (MaxSamples::Share(0.01), 1),
        ] {
            let of = |table| Bootstrap::new(table, 5, samples).unwrap();
            let (a, b) = (of(&repeated), of(&weighted));
            let mut sums = [0; 6];
            for tree in 0..600 {
                let (a, b) = (a.counts(tree), b.counts(tree));
                assert_eq!(b, [a[0] + a[1], 0, a[2] + a[3] + a[4], a[5]]);
                assert_eq!(a.iter().sum::<u32>(), drawn);
                sums.iter_mut().zip(a).for_each(|(sum, count)| *sum += count);
            }
            // 100 for each draw, whose standard error is below 10: fewer draws fall among all rows too.
            assert!(sums.iter().all(|sum| sum.abs_diff(100 * drawn) < 50 * drawn), "{samples:?}: {sums:?}");
        }
        let message = Bootstrap::new(&weighted, 5, MaxSamples::Count(7)).err().unwrap().to_string();
        assert!(message.contains("max_samples: 7") && message.contains("6 rows"), "{message}");
    }

    #[test]
    fn a_bag_knows_its_rows() {
        let counts: Vec<u32> = (0..130).map(|i| u32::from(i % 3 == 0) * 2).collect();
        let bag = bag(&counts);
        assert!((0..130).all(|row| (bag[row / 64] >> (row % 64) & 1 == 1) == (row % 3 == 0)));
    }
}
