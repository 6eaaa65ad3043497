//! A number that tells two tables apart, for training that goes on later.

use crate::codes::{Code, of_codes};
use crate::table::{BinnedTable, Binning};
use crate::training::Answers;
use tilewise_base::Result;
use tilewise_kernels::random::Philox;
use tilewise_kernels::tree::Bins;
use tilewise_kernels::{parallel, same};

/// Rows of a piece of work.
const CHUNK: usize = 4096;

impl BinnedTable {
    /// A number made of all that trees see of the table and of `answers`: cuts, and of each row that has a weight its number, its
    /// bins, its weight and its answer. Different tables have different ones, but for one chance in 2^64; it guards against
    /// mistakes, not against people. It is a sum over rows, so that no order of work can change it. O(rows x columns).
    ///
    /// # Errors
    /// When there are not as many answers as rows.
    pub fn fingerprint(&self, answers: &Answers) -> Result<u64> {
        const COLUMN: u64 = Philox::purpose("column of a fingerprint");
        let kind = match answers {
            Answers::Classes { classes, .. } => 1 + *classes as u64,
            Answers::Numbers(_) => 0,
            Answers::Outputs(y) => u64::MAX - y.len() as u64,
        };
        let rows = self.fingerprint_of_rows(answers, 0)?;
        let of_column = |(feature, binning): (usize, &Binning)| {
            let mixed = match binning {
                Binning::Numeric { cuts } => mixed(cuts.iter().map(|cut| cut.to_bits())),
                Binning::Categorical { bin_of } => mixed(bin_of.iter().map(|&bin| bin.into())),
            };
            Philox::new(mixed, COLUMN).bits(feature as u64)
        };
        let columns = self.binnings.iter().enumerate().map(of_column).fold(0, u64::wrapping_add);
        Ok(rows.wrapping_add(columns).wrapping_add(Philox::new(kind, COLUMN).bits(u64::MAX)))
    }

    /// The part of rows, of which `first` is the number of row 0 among those of several tables. Of all it is the wrapping sum of
    /// those of the tables, and the fingerprint that sum and the fingerprint of a table of no rows.
    ///
    /// # Errors
    /// As [`BinnedTable::fingerprint`].
    pub fn fingerprint_of_rows(&self, answers: &Answers, first: u64) -> Result<u64> {
        let answer: Box<dyn Fn(usize) -> u64 + Sync> = match answers {
            Answers::Classes { y, .. } => {
                same("classes of rows", self.rows(), y.len())?;
                Box::new(|row| y[row].into())
            }
            Answers::Numbers(y) => {
                same("numbers of rows", self.rows(), y.len())?;
                Box::new(|row| y[row].to_bits())
            }
            Answers::Outputs(y) => {
                y.iter().try_for_each(|y| same("numbers of rows", self.rows(), y.len()))?;
                Box::new(|row| mixed(y.iter().map(|y| y[row].to_bits())))
            }
        };
        Ok(of_codes!(self.stored, codes => self.rows_of(codes.columns(), answer.as_ref(), first)))
    }

    /// The sum over rows.
    fn rows_of<B: Code>(
        &self,
        columns: Bins<'_, B>,
        answer: &(dyn Fn(usize) -> u64 + Sync),
        first: u64,
    ) -> u64 {
        const ROW: u64 = Philox::purpose("row of a fingerprint");
        let of_row = |row: usize| {
            let bins = (0..self.features()).map(|feature| -> u64 {
                let bin: usize = columns.get(row, feature).into();
                bin as u64
            });
            let all = bins.chain([self.weight(row).to_bits(), answer(row)]);
            Philox::new(mixed(all), ROW).bits(first + row as u64)
        };
        let sum = |range: std::ops::Range<usize>| {
            self.counted()[range].iter().fold(0, |sum: u64, &row| sum.wrapping_add(of_row(row as usize)))
        };
        parallel::map_reduce(self.counted().len(), CHUNK, sum, u64::wrapping_add).unwrap_or(0)
    }
}

/// Numbers in one, in their order (FNV-1a with words for bytes).
fn mixed(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers
        .fold(0xcbf2_9ce4_8422_2325, |hash, x| (hash ^ x).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Feature;

    #[test]
    fn whatever_trees_see_changes_it() {
        let x = [1.0, 2.0, f64::NAN, 4.0];
        let codes = [0, 1, 1, 0];
        let of = |x: &[f64], codes: &[u32], weights: &[f64], answers: &Answers| {
            let columns = [Feature::Numeric(x), Feature::Categorical { codes, levels: 2 }];
            BinnedTable::new(&columns, Some(weights), 255, 0).unwrap().fingerprint(answers).unwrap()
        };
        let y = Answers::Numbers(vec![1.0, 2.0, 3.0, 4.0]);
        let classes = |count| Answers::Classes { y: vec![0, 1, 0, 1], classes: count };
        let one = of(&x, &codes, &[1.0; 4], &y);
        let all = [
            one,
            of(&[1.5, 2.0, f64::NAN, 4.0], &codes, &[1.0; 4], &y),
            of(&[2.0, 1.0, f64::NAN, 4.0], &codes, &[1.0; 4], &y),
            of(&[1.0, 2.0, 3.0, 4.0], &codes, &[1.0; 4], &y),
            of(&x, &[1, 0, 0, 1], &[1.0; 4], &y),
            of(&x, &codes, &[1.0, 1.0, 2.0, 1.0], &y),
            of(&x, &codes, &[1.0, 1.0, 0.0, 1.0], &y),
            of(&x, &codes, &[1.0; 4], &Answers::Numbers(vec![1.0, 2.0, 3.0, 5.0])),
            of(&x, &codes, &[1.0; 4], &Answers::Numbers(vec![2.0, 1.0, 3.0, 4.0])),
            of(&x, &codes, &[1.0; 4], &classes(2)),
            of(&x, &codes, &[1.0; 4], &classes(3)),
            of(&x, &codes, &[1.0; 4], &Answers::Outputs(vec![vec![1.0, 2.0, 3.0, 4.0]; 2])),
            of(
                &x,
                &codes,
                &[1.0; 4],
                &Answers::Outputs(vec![vec![1.0, 2.0, 3.0, 4.0], vec![1.0, 2.0, 3.0, 5.0]]),
            ),
            of(
                &x,
                &codes,
                &[1.0; 4],
                &Answers::Outputs(vec![vec![1.0, 2.0, 3.0, 5.0], vec![1.0, 2.0, 3.0, 4.0]]),
            ),
        ];
        for i in 0..all.len() {
            assert!(!all[..i].contains(&all[i]), "{i}: {all:?}");
        }
        // A row without a weight is as good as not there.
        let other = of(&[1.0, 2.0, 9.0, 4.0], &codes, &[1.0, 1.0, 0.0, 1.0], &y);
        assert_eq!(other, all[6]);
        for threads in [1, 2, 3, 7] {
            assert_eq!(parallel::with_threads(threads, || of(&x, &codes, &[1.0; 4], &y)), one);
        }
        let table = BinnedTable::new(&[Feature::Numeric(&x)], None, 255, 0).unwrap();
        assert!(table.fingerprint(&Answers::Numbers(vec![0.0; 3])).is_err());
    }
}
