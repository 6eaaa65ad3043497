//! Embedding: a learned vector for each category (Bengio and others 2003; of columns of tables Guo, Berkhahn 2016).
//!
//! A category's row of a table is what a product of its one-hot columns and that table gives, without the columns. Going backward, rows of
//! the batch are added up one after the other, in their order, so sums have the same bits at any number of threads. The gradient is
//! there for the whole table, zeros included, and the optimiser goes over all of it: as PyTorch's, unless `sparse` is asked for. It costs
//! O(categories x width) of a step, which is less than a product of one-hot columns takes from one row of the batch on.

use crate::compiled::for_each_rows;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tilewise_kernels::Float;

/// Most categories: f32 tells all whole numbers up to it apart.
const MOST: usize = 1 << 24;

/// A column that holds the number of a category, from 0, and what is learned of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// Which column of the rows.
    pub column: usize,
    /// How many there are. A number that is none of theirs (or NaN) is that of a further one, which all others share.
    pub categories: usize,
    /// Numbers of a vector.
    pub width: usize,
}

impl Lookup {
    /// Vectors of the table.
    pub(crate) fn rows(&self) -> usize {
        self.categories.saturating_add(1)
    }

    fn row<T: Float>(&self, cell: T) -> usize {
        let cell = cell.to_f64();
        // False for NaN.
        if cell >= 0.0 && cell < self.categories as f64 { cell as usize } else { self.categories }
    }
}

/// A width for so many categories, 1.6 n^0.56, at most 64: the rule of fastai (Howard, Gugger 2020), which was fitted to many tables.
pub fn usual_width(categories: usize) -> usize {
    ((1.6 * (categories as f64).powf(0.56)).round() as usize).clamp(1, 64)
}

/// The layer at work.
#[derive(Clone, Debug)]
pub(crate) struct Embedding {
    inputs: usize,
    pub(crate) outputs: usize,
    /// Columns that are taken as they are, which come first, and how many there are. As ranges: a small file can claim any number of them.
    others: Vec<Range<usize>>,
    plain: usize,
    /// Each with its part of the weights.
    pub(crate) tables: Vec<(Lookup, Range<usize>)>,
}

impl Embedding {
    /// Of rows of `inputs` columns; parts of the weights are yet to be found.
    ///
    /// # Errors
    /// In words, when columns are not there or not in order, or a number makes no sense.
    pub(crate) fn new(inputs: usize, lookups: &[Lookup]) -> Result<Self, String> {
        if lookups.is_empty() {
            return Err("it has no columns; at least one is needed".into());
        }
        for (lookup, next) in lookups.iter().zip(lookups.iter().skip(1).map(Some).chain([None])) {
            let Lookup { column, categories, width } = *lookup;
            if column >= inputs {
                return Err(format!("it reads column {column} of {inputs}"));
            }
            if next.is_some_and(|next| next.column <= column) {
                return Err("its columns are not in ascending order".into());
            }
            if categories == 0 || categories > MOST || width == 0 {
                return Err(format!(
                    "column {column} has {categories} categories and vectors of {width} numbers; 1 to {MOST} categories and 1 \
                     number or more are accepted"
                ));
            }
        }
        let starts = [0].into_iter().chain(lookups.iter().map(|lookup| lookup.column + 1));
        let ends = lookups.iter().map(|lookup| lookup.column).chain([inputs]);
        let others: Vec<Range<usize>> = starts.zip(ends).map(|(start, end)| start..end).collect();
        let plain = inputs - lookups.len();
        let outputs = lookups.iter().fold(plain, |sum, lookup| sum.saturating_add(lookup.width));
        let tables = lookups.iter().map(|lookup| (*lookup, 0..0)).collect();
        Ok(Self { inputs, outputs, others, plain, tables })
    }

    /// The other columns, then the vectors.
    pub(crate) fn forward<T: Float>(&self, x: &[T], weights: &[T], y: &mut [T]) {
        for_each_rows(y, self.outputs, |at, y| {
            let x = &x[at / self.outputs * self.inputs..];
            for (y, x) in y.chunks_exact_mut(self.outputs).zip(x.chunks_exact(self.inputs)) {
                let (mut plain, mut rest) = y.split_at_mut(self.plain);
                for range in &self.others {
                    let (part, after) = plain.split_at_mut(range.len());
                    part.copy_from_slice(&x[range.clone()]);
                    plain = after;
                }
                for (lookup, range) in &self.tables {
                    let (vector, after) = rest.split_at_mut(lookup.width);
                    let start = range.start + lookup.row(x[lookup.column]) * lookup.width;
                    vector.copy_from_slice(&weights[start..start + lookup.width]);
                    rest = after;
                }
            }
        });
    }

    /// The gradients of all tables, which lie in `gradient` as tables lie in the weights. On one thread: a batch of 128 rows and 8 columns
    /// of 8 numbers is 8192 additions, less than it takes to wake another.
    pub(crate) fn backward<T: Float>(&self, x: &[T], dy: &[T], gradient: &mut [T]) {
        let mut first = self.plain;
        for (lookup, range) in &self.tables {
            let table = &mut gradient[range.clone()];
            table.fill(T::ZERO);
            for (x, dy) in x.chunks_exact(self.inputs).zip(dy.chunks_exact(self.outputs)) {
                let start = lookup.row(x[lookup.column]) * lookup.width;
                let sums = &mut table[start..start + lookup.width];
                sums.iter_mut().zip(&dy[first..first + lookup.width]).for_each(|(sum, &dy)| *sum += dy);
            }
            first += lookup.width;
        }
    }
}
