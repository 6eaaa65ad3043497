//! Importance of columns by shuffling them among the rows that a tree has not seen.

use crate::Forest;
use crate::out_of_bag::{Bootstrap, first_of_largest};
use tilewise_base::{Error, Result};
use tilewise_kernels::parallel;
use tilewise_kernels::random::Philox;
use tilewise_tree::{Answers, BinnedTable};

impl Forest {
    /// How much worse each tree is, the mean over trees, on the rows that it was grown without when the cells of one column are
    /// shuffled among these (Breiman, "Random forests", 2001, section 10): by the share of their weight whose class is right, or by
    /// the mean of squared errors. One number for each column, at about 0 or below for one that does not matter, and 0 where every
    /// tree has seen every row. Needs no rows besides those of training. A shuffle is a function of the forest's seed, the tree
    /// and the column. O(trees x columns x rows x depth); 16 bytes per thread and row.
    ///
    /// # Errors
    /// When the forest drew no rows (`bootstrap` is false), or table and answers are not those it was grown on.
    pub fn out_of_bag_importances(&self, table: &BinnedTable, answers: &Answers) -> Result<Vec<f64>> {
        const SHUFFLES: u64 = Philox::purpose("shuffled columns out of the bag");
        const ROWS: u64 = Philox::purpose("rows of a column out of the bag");
        if !self.origin.params.bootstrap {
            let accepted = "only true is where rows that a tree was grown without are asked";
            return Err(Error::parameter("bootstrap", false, accepted));
        }
        if table.fingerprint(answers)? != self.origin.table {
            return Err(Error::Fit("the table is not the one that the forest was grown on".into()));
        }
        let bootstrap = Bootstrap::new(table, self.origin.seed, self.origin.params.max_samples)?;
        let keys = Philox::new(self.origin.seed, SHUFFLES);
        let of_tree = |i: usize| {
            let (tree, number) = (&self.trees[i], self.numbers[i]);
            let counts = bootstrap.counts(number as usize);
            let rows: Vec<usize> =
                table.counted().iter().map(|&row| row as usize).filter(|&row| counts[row] == 0).collect();
            let weight: f64 = rows.iter().map(|&row| table.weight(row)).sum();
            let loss = |row: usize, leaf: usize| match answers {
                Answers::Classes { y, .. } => {
                    f64::from(u8::from(first_of_largest(tree.numbers(leaf)) != y[row] as usize))
                }
                Answers::Numbers(y) => tree.numbers(leaf).map(|x| (y[row] - x).powi(2)).sum(),
                Answers::Outputs(y) => {
                    let off = |(y, said): (&Vec<f64>, f64)| (y[row] - said).powi(2);
                    y.iter().zip(tree.numbers(leaf)).map(off).sum::<f64>() / y.len() as f64
                }
            };
            let key = Philox::new(keys.bits(number.into()), ROWS);
            let importance = |feature: usize| {
                // A column that the tree does not ask about changes nothing.
                if !tree.tests(feature) {
                    return 0.0;
                }
                let order = Philox::new(key.bits(feature as u64), ROWS).permutation(rows.len());
                let worse = |(&row, from): (&usize, usize)| {
                    let mixed =
                        tree.leaf_where(table, |asked| if asked == feature { rows[from] } else { row });
                    table.weight(row) * (loss(row, mixed) - loss(row, tree.leaf_of(table, row)))
                };
                rows.iter().zip(order).map(worse).sum::<f64>() / weight
            };
            (weight > 0.0).then(|| (0..table.features()).map(importance).collect::<Vec<f64>>())
        };
        let all: Vec<Vec<f64>> = parallel::map(self.trees.len(), of_tree).into_iter().flatten().collect();
        let mean = |feature: usize| {
            all.iter().map(|of_tree| of_tree[feature]).sum::<f64>() / all.len().max(1) as f64
        };
        Ok((0..table.features()).map(mean).collect())
    }
}
