//! Numbers of several columns that lie row by row, as arrays of other languages hand them over.
//!
//! Who trains on rows reads them where they lie; who trains on columns has each copied, once.

use crate::mapped::Plain;
use crate::{Array, Column, Error, Result};
use std::ops::Range;
use std::sync::OnceLock;
use tilewise_kernels::{Float, parallel};

/// The numbers of rows, one row after another.
#[derive(Clone, Debug)]
pub enum Numbers {
    /// In single precision.
    F32(Array<f32>),
    /// In double precision.
    F64(Array<f64>),
}

/// Numbers of so many columns, one row after another. Clones share them.
#[derive(Clone, Debug)]
pub struct ByRows {
    numbers: Numbers,
    width: usize,
    unusual: OnceLock<Unusual>,
}

/// What of numbers is not finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unusual {
    /// Whether one is NaN.
    pub missing: bool,
    /// Whether one is infinite.
    pub infinite: bool,
}

impl Unusual {
    /// What of these is not finite; a pass without a branch.
    pub fn of<T: Float>(numbers: &[T]) -> Self {
        numbers.iter().fold(Self::default(), |found, x| {
            let missing = x.is_nan();
            found.and(Self { missing, infinite: !(x.is_finite() | missing) })
        })
    }

    /// What of both is not.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { missing: self.missing | other.missing, infinite: self.infinite | other.infinite }
    }

    /// Whether all are finite.
    pub fn none(self) -> bool {
        self == Self::default()
    }
}

/// Numbers that a task looks through: half a megabyte, some 30 microseconds.
const LOOKED_AT: usize = 1 << 16;

/// Columns that are copied together, and rows of a block of them: what a block reads, a line of memory or two for each row, stays in a
/// first-level cache while column after column is copied. Of whole columns one after the other each line would be read as often as it
/// has numbers.
const TOGETHER: usize = 8;
const BLOCK: usize = 128;

impl ByRows {
    /// Rows of `width` numbers.
    ///
    /// # Errors
    /// When `width` is 0, or the last row is not complete.
    pub fn new(numbers: Numbers, width: usize) -> Result<Self> {
        let len = match &numbers {
            Numbers::F32(x) => x.len(),
            Numbers::F64(x) => x.len(),
        };
        if width == 0 || !len.is_multiple_of(width) {
            return Err(Error::Fit(format!("{len} numbers are no rows of {width}")));
        }
        // Clones of what is shared cost nothing.
        let numbers = match numbers {
            Numbers::F32(x) => Numbers::F32(Array::shared(x)),
            Numbers::F64(x) => Numbers::F64(Array::shared(x)),
        };
        Ok(Self { numbers, width, unusual: OnceLock::new() })
    }

    /// The numbers.
    pub fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// Numbers of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        match &self.numbers {
            Numbers::F32(x) => x.len() / self.width,
            Numbers::F64(x) => x.len() / self.width,
        }
    }

    /// What of them is not finite. The first call looks through all, in parallel.
    pub fn unusual(&self) -> Unusual {
        // Threads that come here together all look: none waits for one that may wait for it.
        self.unusual.get().copied().unwrap_or_else(|| {
            let found = match &self.numbers {
                Numbers::F32(x) => unusual_of(x),
                Numbers::F64(x) => unusual_of(x),
            };
            *self.unusual.get_or_init(|| found)
        })
    }

    /// A copy of each column, in parallel.
    pub fn columns(&self) -> Vec<Column> {
        match &self.numbers {
            Numbers::F32(x) => columns(x, self.width).into_iter().map(Column::F32).collect(),
            Numbers::F64(x) => columns(x, self.width).into_iter().map(Column::F64).collect(),
        }
    }
}

fn unusual_of<T: Float>(numbers: &[T]) -> Unusual {
    let look = |range: Range<usize>| Unusual::of(&numbers[range]);
    parallel::map_reduce(numbers.len(), LOOKED_AT, look, Unusual::and).unwrap_or_default()
}

fn columns<T: Plain>(numbers: &[T], width: usize) -> Vec<Array<T>> {
    let copied = parallel::map(width.div_ceil(TOGETHER), |group| {
        let wanted = group * TOGETHER..((group + 1) * TOGETHER).min(width);
        let mut columns: Vec<Vec<T>> =
            wanted.clone().map(|_| Vec::with_capacity(numbers.len() / width)).collect();
        for block in numbers.chunks(BLOCK * width) {
            for (column, at) in columns.iter_mut().zip(wanted.clone()) {
                column.extend(block.chunks_exact(width).map(|row| row[at]));
            }
        }
        columns
    });
    copied.into_iter().flatten().map(Array::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn columns_hold_the_cells_of_rows(rows in 0usize..300, width in 1usize..20, single in any::<bool>()) {
            let cell = |at: usize| at as f64 / 7.0;
            let numbers = if single {
                Numbers::F32((0..rows * width).map(|at| cell(at) as f32).collect())
            } else {
                Numbers::F64((0..rows * width).map(cell).collect())
            };
            let by_rows = ByRows::new(numbers, width).unwrap();
            prop_assert_eq!((by_rows.rows(), by_rows.width(), by_rows.unusual().none()), (rows, width, true));
            let columns = by_rows.columns();
            prop_assert_eq!(columns.len(), width);
            for (j, column) in columns.iter().enumerate() {
                prop_assert_eq!(column.len(), rows);
                for i in 0..rows {
                    let expected = cell(i * width + j);
                    let expected = if single { f64::from(expected as f32) } else { expected };
                    prop_assert_eq!(column.cell(i), expected);
                }
            }
        }

        #[test]
        fn what_is_not_finite_is_found_wherever_it_stands(
            len in 1usize..200_000,
            at in any::<prop::sample::Index>(),
            what in prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX]),
        ) {
            let mut numbers = vec![1.5; len];
            numbers[at.index(len)] = what;
            let found = ByRows::new(Numbers::F64(numbers.into()), 1).unwrap().unusual();
            prop_assert_eq!(found, Unusual { missing: what.is_nan(), infinite: what.is_infinite() });
        }
    }

    #[test]
    fn a_table_of_rows_is_the_table_of_their_columns() {
        let names = || ["a", "b"].map(String::from).to_vec();
        let rows = || ByRows::new(Numbers::F64(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0].into()), 2).unwrap();
        let flag = || ("flag".to_owned(), Column::Boolean(vec![Some(true), None, Some(false)].into()));
        let table = Dataset::by_rows(names(), rows(), vec![flag()]).unwrap();
        let wanted = Dataset::new(vec![
            ("a".into(), Column::F64(vec![1.0, 3.0, 5.0].into())),
            ("b".into(), Column::F64(vec![2.0, 4.0, 6.0].into())),
            flag(),
        ]);
        let wanted = wanted.unwrap();
        // Columns beside the rows are found before these are copied, and after it.
        assert_eq!(table.column("flag").unwrap(), &flag().1);
        assert_eq!(table.schema(), wanted.schema());
        assert_eq!(table.rows_of(&names()).unwrap().rows(), 3);
        assert!(table.rows_of(&names()[..1]).is_none() && table.rows_of(table.names()).is_none());
        assert_eq!(table.column("b").unwrap(), &Column::F64(vec![2.0, 4.0, 6.0].into()));
        assert_eq!(table, wanted);
        assert_eq!(table.take(&[2, 0]), wanted.take(&[2, 0]));

        let refused =
            |names: Vec<String>, others| Dataset::by_rows(names, rows(), others).unwrap_err().to_string();
        assert!(refused(names()[..1].to_vec(), vec![]).contains("1 names for rows of 2"), "fewer names");
        assert!(refused(vec!["a".into(), "a".into()], vec![]).contains("used twice"));
        let short = ("short".to_owned(), Column::F64(vec![1.0].into()));
        assert!(refused(names(), vec![short]).contains("has 1 cells where others have 3"));
        assert!(ByRows::new(Numbers::F32(vec![1.0; 3].into()), 2).is_err());
    }
}
