//! Rows of the design matrix of which few cells are stored: of a category's columns a row has a one in one, at most.

use super::{Encoder, Step};
use crate::cells::{BLOCK_ROWS, Binder};
use crate::{Array, Dataset, Result, SparseRef, Storage};
use std::mem::take;
use tilewise_kernels::parallel;

/// Columns up to which rows are dense, however few of their cells are not zero: products of so few columns stay in the caches. 30,000 rows of 20
/// numbers and a category, fitted in ms by dense and sparse rows on two cores (a debug build, so roughly): of 30 levels ridge 31 and 27, logistic 115
/// and 71, Poisson regression 186 and 86; of 110 levels 173 and 20, 101 and 94, 950 and 60; of 300 levels 349 and 34, 105 and 48, 1963 and 62.
const DENSE_COLUMNS: usize = 128;

/// Columns for each input up to which rows are dense. A product of all columns adds some p / 2 numbers by vectors for each cell of a row that is
/// not zero, s of p, and one of sparse rows s / 2, one at a time and wherever they lie.
const DENSE_PER_INPUT: usize = 4;

/// The cells of a design matrix that are not zero, by rows.
#[derive(Debug)]
pub struct SparseRows {
    cols: usize,
    starts: Vec<usize>,
    indices: Array<u32>,
    values: Array<f64>,
}

impl SparseRows {
    /// A view.
    ///
    /// # Errors
    /// Never, of what an encoder made.
    pub fn view(&self) -> Result<SparseRef<'_, f64>> {
        let rows = self.starts.len() - 1;
        SparseRef::by_rows(rows, self.cols, &self.starts, &self.indices, &self.values)
    }
}

impl Encoder {
    /// Whether rows of the design matrix are better kept sparse: there are more than 128 columns, and more than 4 for each input, of which
    /// a row has one cell that is not zero at most. Inputs alone decide, not their cells.
    pub fn is_mostly_zeros(&self) -> bool {
        self.width > DENSE_COLUMNS && self.width > DENSE_PER_INPUT * self.steps.len()
    }

    /// The numbers that [`encode_row`](Self::encode_row) makes of a row of cells and that are not zero, each with its column, in the order of
    /// columns.
    #[inline]
    pub fn encode_stored(&self, cells: &[f64], mut stored: impl FnMut(usize, f64)) {
        let mut at = 0;
        for (step, &cell) in self.steps.iter().zip(cells) {
            match *step {
                // False for NaN and UNSEEN.
                Step::OneHot { levels } => {
                    if cell >= 0.0 && cell < levels as f64 {
                        stored(at + cell as usize, 1.0);
                    }
                }
                Step::Number { .. } | Step::Code { .. } => {
                    let mut number = [0.0];
                    step.encode(cell, self.impute, &mut number);
                    if number[0] != 0.0 {
                        stored(at, number[0]);
                    }
                }
            }
            at += step.width();
        }
    }

    /// The cells that are not zero of the matrix that [`encode`](Self::encode) makes. They lie where `storage` puts them, but 8 bytes a row
    /// in memory. Blocks of rows run in parallel, each twice: first to count.
    ///
    /// # Errors
    /// As there, and as [`Storage::zeros`].
    pub fn encode_sparse(&self, storage: &Storage, dataset: &Dataset) -> Result<SparseRows> {
        if u32::try_from(self.width).is_err() {
            return Err(self.too_large(dataset));
        }
        let binder = Binder::new(&self.inputs, &dataset.schema())?;
        let rows = dataset.rows();
        let blocks = rows.div_ceil(BLOCK_ROWS);
        let counts = parallel::map(blocks, |block| -> Result<Vec<usize>> {
            let mut counts = Vec::with_capacity(BLOCK_ROWS);
            self.each_row(&binder, dataset, block, |cells| {
                let mut count = 0;
                self.encode_stored(cells, |_, _| count += 1);
                counts.push(count);
            })?;
            Ok(counts)
        });
        let (mut starts, mut stored) = (Vec::with_capacity(rows + 1), 0);
        starts.push(0);
        for counts in counts {
            for count in counts? {
                stored += count;
                starts.push(stored);
            }
        }
        let (mut indices, mut values) = (storage.zeros::<u32>(stored)?, storage.zeros::<f64>(stored)?);
        let (mut later_indices, mut later_values) = (&mut indices[..], &mut values[..]);
        let mut parts = Vec::with_capacity(blocks);
        for block in 0..blocks {
            let end = rows.min((block + 1) * BLOCK_ROWS);
            let own = starts[end] - starts[block * BLOCK_ROWS];
            let (indices, values);
            (indices, later_indices) = take(&mut later_indices).split_at_mut(own);
            (values, later_values) = take(&mut later_values).split_at_mut(own);
            parts.push((indices, values, Ok(())));
        }
        parallel::for_each_chunk_mut(&mut parts, 1, |block, parts| {
            for (indices, values, done) in parts {
                let mut cells_of_block = indices.iter_mut().zip(values.iter_mut());
                *done = self.each_row(&binder, dataset, block, |cells| {
                    self.encode_stored(cells, |column, value| {
                        if let Some((to_index, to_value)) = cells_of_block.next() {
                            // Below the width.
                            (*to_index, *to_value) = (column as u32, value);
                        }
                    });
                });
            }
        });
        parts.into_iter().try_for_each(|(_, _, done)| done)?;
        Ok(SparseRows { cols: self.width, starts, indices: indices.finish()?, values: values.finish()? })
    }

    /// Calls `f` with the cells of each row of a block, one after the other.
    fn each_row(
        &self,
        binder: &Binder,
        dataset: &Dataset,
        block: usize,
        mut f: impl FnMut(&[f64]),
    ) -> Result<()> {
        let rows = block * BLOCK_ROWS..dataset.rows().min((block + 1) * BLOCK_ROWS);
        let width = self.inputs.len();
        let mut cells = vec![0.0; rows.len() * width];
        binder.fill(dataset, rows.clone(), &mut cells)?;
        for (i, row) in rows.enumerate() {
            let cells = &cells[i * width..(i + 1) * width];
            self.check_row(row, cells)?;
            f(cells);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::Options;
    use crate::{Column, MISSING_CODE, Sparse};
    use tilewise_kernels::MatRef;

    /// A number with gaps, which becomes zero where it is missing, and a category with gaps and a level without rows.
    fn table(rows: usize, levels: usize) -> Dataset {
        let number = |i: usize| if i % 7 == 3 { f64::NAN } else { (i * 13 % 17) as f64 };
        let code = |i: usize| if i % 11 == 5 { MISSING_CODE } else { (i * 31 % (levels - 1)) as u32 };
        let dictionary = (0..levels).map(|level| format!("{level:05}")).collect();
        let columns = vec![
            ("x".to_owned(), Column::F64((0..rows).map(number).collect())),
            ("k".to_owned(), Column::Categorical { codes: (0..rows).map(code).collect(), dictionary }),
            ("b".to_owned(), Column::Boolean((0..rows).map(|i| Some(i % 3 == 0)).collect::<Vec<_>>().into())),
        ];
        Dataset::new(columns).unwrap()
    }

    fn encoder(data: &Dataset, options: Options) -> Encoder {
        Encoder::fit(data, data.names(), None, options).unwrap()
    }

    #[test]
    fn stored_cells_are_those_of_dense_rows_that_are_not_zero() {
        let data = table(2 * BLOCK_ROWS + 77, 40);
        for standardise in [true, false] {
            let encoder = encoder(&data, Options { standardise, ..Options::default() });
            let dense = encoder.encode(&data).unwrap();
            let expected = Sparse::of_dense(MatRef::new(&dense, data.rows(), 42).unwrap()).unwrap();
            for threads in [1, 2, 3, 7] {
                let run = || encoder.encode_sparse(&Storage::default(), &data).unwrap();
                let found = parallel::with_threads(threads, run);
                assert_eq!(found.view().unwrap().to_owned(), expected, "{threads} threads");
            }
        }
    }

    #[test]
    fn categories_of_other_tables_are_found_by_their_text() {
        let data = table(100, 40);
        let encoder = encoder(&data, Options::default());
        let dictionary = vec!["00007".to_owned(), "none of these".to_owned()];
        let (codes, x) = (vec![1u32, 0], vec![1.0, 2.0]);
        let other = Dataset::new(vec![
            ("k".to_owned(), Column::Categorical { codes: codes.into(), dictionary }),
            ("x".to_owned(), Column::F64(x.into())),
            ("b".to_owned(), Column::Boolean(vec![None, Some(true)].into())),
        ])
        .unwrap();
        let found = encoder.encode_sparse(&Storage::default(), &other).unwrap();
        let (columns, _) = found.view().unwrap().line(0);
        // What is missing is the mean: zero.
        assert_eq!(columns, [0]);
        let (columns, values) = found.view().unwrap().line(1);
        assert_eq!((columns, values[1]), (&[0u32, 8, 41][..], 1.0));
    }

    #[test]
    fn a_missing_number_that_is_refused_is_named_by_its_row() {
        let data = table(3 * BLOCK_ROWS, 40);
        let strict = Options { impute: false, ..Options::default() };
        let full = data.take(&(0..3 * BLOCK_ROWS).filter(|i| i % 7 != 3).collect::<Vec<_>>());
        let encoder = encoder(&full, strict);
        let message = encoder.encode_sparse(&Storage::default(), &data).unwrap_err().to_string();
        assert!(message.contains("row 4") && message.contains("\"x\""), "{message}");
    }

    #[test]
    fn inputs_decide_what_is_sparse() {
        let of = |levels: usize| encoder(&table(300, levels), Options::default()).is_mostly_zeros();
        assert!(!of(126) && of(127));
    }
}
