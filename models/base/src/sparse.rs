//! Matrices of which only few cells are stored; the others are zero. By rows (CSR) or by columns (CSC), as SciPy, libsvm and Arrow
//! have them.

use crate::{Error, Result};
use std::ops::Range;
use tilewise_kernels::{Float, parallel};

/// Stored cells that a piece of parallel work has at least: some hundred microseconds.
const PIECE: usize = 1 << 17;

/// Pieces at most: each looks into every line.
const PIECES: usize = 16;

/// Which way the stored cells lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Row after row: CSR.
    Rows,
    /// Column after column: CSC.
    Columns,
}

/// A sparse matrix that somebody else owns. *Lines* are its rows or columns, whichever lie one after the other.
#[derive(Clone, Copy, Debug)]
pub struct SparseRef<'a, T = f64> {
    rows: usize,
    cols: usize,
    order: Order,
    starts: &'a [usize],
    indices: &'a [u32],
    values: &'a [T],
}

impl<'a, T: Float> SparseRef<'a, T> {
    /// The matrix whose row i has the values `values[starts[i]..starts[i + 1]]` in the columns at the same places of `indices`. Nothing is
    /// copied; O(stored cells) for the checks.
    ///
    /// # Errors
    /// When `starts` has not `rows + 1` entries that begin with 0, never fall and end with the number of indices and values, or the
    /// indices of a row do not rise or reach beyond the columns (the row is named).
    pub fn by_rows(
        rows: usize,
        cols: usize,
        starts: &'a [usize],
        indices: &'a [u32],
        values: &'a [T],
    ) -> Result<Self> {
        let matrix = Self { rows, cols, order: Order::Rows, starts, indices, values };
        matrix.check().map(|()| matrix)
    }

    /// The same by columns: `indices` are rows.
    ///
    /// # Errors
    /// As [`by_rows`](Self::by_rows), of columns.
    pub fn by_columns(
        rows: usize,
        cols: usize,
        starts: &'a [usize],
        indices: &'a [u32],
        values: &'a [T],
    ) -> Result<Self> {
        let matrix = Self { rows, cols, order: Order::Columns, starts, indices, values };
        matrix.check().map(|()| matrix)
    }

    fn check(&self) -> Result<()> {
        let (what, lines, width) = match self.order {
            Order::Rows => ("row", self.rows, self.cols),
            Order::Columns => ("column", self.cols, self.rows),
        };
        let refuse = |what: String| Err(Error::Fit(format!("the sparse matrix: {what}")));
        let (starts, stored) = (self.starts, self.indices.len());
        if self.rows.max(self.cols) > u32::MAX as usize {
            return refuse(format!("{} rows of {} columns; indices have 32 bits", self.rows, self.cols));
        }
        if self.values.len() != stored {
            return refuse(format!(
                "{stored} indices and {} values; as many are expected",
                self.values.len()
            ));
        }
        if lines.checked_add(1) != Some(starts.len()) {
            return refuse(format!("{} starts of {lines} {what}s; one more is expected", starts.len()));
        }
        if starts[0] != 0 || starts[lines] != stored {
            return refuse(format!(
                "starts go from {} to {}; 0 to the number of stored cells, {stored}, is expected",
                starts[0], starts[lines]
            ));
        }
        for (i, pair) in starts.windows(2).enumerate() {
            if pair[0] > pair[1] || pair[1] > stored {
                return refuse(format!("the start of {what} {} is behind its end", i));
            }
            let line = &self.indices[pair[0]..pair[1]];
            if let Some(pair) = line.windows(2).find(|pair| pair[0] >= pair[1]) {
                return refuse(format!("{what} {i}: index {} follows {}; indices rise", pair[1], pair[0]));
            }
            if let Some(&last) = line.last().filter(|&&last| last as usize >= width) {
                return refuse(format!("{what} {i}: index {last} is not below {width}"));
            }
        }
        Ok(())
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Columns.
    pub fn cols(&self) -> usize {
        self.cols
    }
    /// Cells that are stored.
    pub fn stored(&self) -> usize {
        self.values.len()
    }
    /// Which way they lie.
    pub fn order(&self) -> Order {
        self.order
    }
    /// Where each line starts, and behind them where the last one ends.
    pub fn starts(&self) -> &'a [usize] {
        self.starts
    }

    /// Indices and values of a row (of a matrix by rows) or a column; nothing of one that is not there.
    #[inline]
    pub fn line(&self, line: usize) -> (&'a [u32], &'a [T]) {
        match (self.starts.get(line), self.starts.get(line + 1)) {
            (Some(&start), Some(&end)) => (&self.indices[start..end], &self.values[start..end]),
            _ => (&[], &[]),
        }
    }

    /// The stored value that is NaN or infinite and comes first: its row, its column and itself.
    pub fn not_finite(&self) -> Option<(usize, usize, f64)> {
        let at = self.values.iter().position(|x| !x.is_finite())?;
        let line = self.starts.partition_point(|&start| start <= at) - 1;
        let (index, value) = (self.indices[at] as usize, self.values[at].to_f64());
        Some(match self.order {
            Order::Rows => (line, index, value),
            Order::Columns => (index, line, value),
        })
    }

    /// The same matrix with its cells lying the other way. Memory for all of them; O(stored cells), over threads.
    pub fn turned(&self) -> Sparse<T> {
        let (lines, width, order) = match self.order {
            Order::Rows => (self.rows, self.cols, Order::Columns),
            Order::Columns => (self.cols, self.rows, Order::Rows),
        };
        // Every piece fills some lines of the result, which lie together, from all lines of this one. Where they begin is looked up:
        // the write positions of a piece then stay in cache.
        let pieces = (self.stored() / PIECE).clamp(1, PIECES).min(width.max(1));
        let step = width.div_ceil(pieces).max(1);
        let within = |line: usize, range: &Range<usize>| {
            let (indices, values) = self.line(line);
            let from = indices.partition_point(|&i| (i as usize) < range.start);
            let end = range.end;
            indices[from..].iter().zip(&values[from..]).take_while(move |(i, _)| (**i as usize) < end)
        };
        let mut counts = vec![0usize; width];
        parallel::for_each_chunk_mut(&mut counts, step, |piece, counts| {
            let range = piece * step..piece * step + counts.len();
            for line in 0..lines {
                within(line, &range).for_each(|(&i, _)| counts[i as usize - range.start] += 1);
            }
        });
        let mut starts = Vec::with_capacity(width + 1);
        starts.push(0);
        let mut end = 0;
        starts.extend(counts.iter().map(|count| {
            end += count;
            end
        }));
        let (mut indices, mut values) = (vec![0u32; end], vec![T::ZERO; end]);
        let mut parts: Vec<(Range<usize>, &mut [u32], &mut [T])> = Vec::new();
        let (mut rest_i, mut rest_v) = (&mut indices[..], &mut values[..]);
        for first in (0..width).step_by(step) {
            let range = first..(first + step).min(width);
            let stored = starts[range.end] - starts[range.start];
            let (i, v);
            (i, rest_i) = std::mem::take(&mut rest_i).split_at_mut(stored);
            (v, rest_v) = std::mem::take(&mut rest_v).split_at_mut(stored);
            parts.push((range, i, v));
        }
        parallel::for_each_chunk_mut(&mut parts, 1, |_, parts| {
            for (range, out_i, out_v) in parts {
                let mut next: Vec<usize> =
                    starts[range.clone()].iter().map(|s| s - starts[range.start]).collect();
                for line in 0..lines {
                    for (&i, &v) in within(line, range) {
                        let place = &mut next[i as usize - range.start];
                        // Lines are at most as many as an index can hold: that was checked.
                        (out_i[*place], out_v[*place]) = (line as u32, v);
                        *place += 1;
                    }
                }
            }
        });
        Sparse { rows: self.rows, cols: self.cols, order, starts, indices, values }
    }

    /// A copy that owns its cells.
    pub fn to_owned(&self) -> Sparse<T> {
        let Self { rows, cols, order, .. } = *self;
        let (starts, indices, values) = (self.starts.to_vec(), self.indices.to_vec(), self.values.to_vec());
        Sparse { rows, cols, order, starts, indices, values }
    }
}

/// A sparse matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Sparse<T = f64> {
    rows: usize,
    cols: usize,
    order: Order,
    starts: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<T>,
}

impl<T: Float> Sparse<T> {
    /// A matrix by rows, as [`SparseRef::by_rows`].
    ///
    /// # Errors
    /// As there.
    pub fn by_rows(
        rows: usize,
        cols: usize,
        starts: Vec<usize>,
        indices: Vec<u32>,
        values: Vec<T>,
    ) -> Result<Self> {
        SparseRef::by_rows(rows, cols, &starts, &indices, &values)?;
        Ok(Self { rows, cols, order: Order::Rows, starts, indices, values })
    }

    /// The cells of a dense matrix that are not zero, by rows; NaN is not zero.
    ///
    /// # Errors
    /// When there are more columns than an index can number, 2^32.
    pub fn of_dense(x: tilewise_kernels::MatRef<'_, T>) -> Result<Self> {
        let (mut starts, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        for i in 0..x.rows() {
            for j in 0..x.cols() {
                let value = x.get(i, j);
                if value != T::ZERO {
                    let what = |_| Error::Fit(format!("{} columns are too many", x.cols()));
                    indices.push(u32::try_from(j).map_err(what)?);
                    values.push(value);
                }
            }
            starts.push(values.len());
        }
        Ok(Self { rows: x.rows(), cols: x.cols(), order: Order::Rows, starts, indices, values })
    }

    /// A view.
    pub fn view(&self) -> SparseRef<'_, T> {
        let Self { rows, cols, order, .. } = *self;
        SparseRef { rows, cols, order, starts: &self.starts, indices: &self.indices, values: &self.values }
    }

    /// Some rows of a matrix by rows, in the order given.
    ///
    /// # Errors
    /// When it lies by columns, or a row is not there.
    pub fn take_rows(&self, rows: &[usize]) -> Result<Self> {
        if self.order == Order::Columns {
            return Err(Error::Fit("rows are taken of a sparse matrix by rows".into()));
        }
        if let Some(row) = rows.iter().find(|&&row| row >= self.rows) {
            return Err(Error::Fit(format!("there is no row {row} of {}", self.rows)));
        }
        let (mut starts, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        for &row in rows {
            let (i, v) = self.view().line(row);
            indices.extend_from_slice(i);
            values.extend_from_slice(v);
            starts.push(values.len());
        }
        Ok(Self { rows: rows.len(), cols: self.cols, order: Order::Rows, starts, indices, values })
    }
}

/// A table whose inputs, numbers called `f1`, `f2` ..., are a sparse matrix by rows.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseTable {
    /// The inputs.
    pub x: Sparse,
    /// The column `target`.
    pub target: Vec<f64>,
    /// The column `qid`, NaN where a row has none; nothing where no row has one.
    pub group: Option<Vec<f64>>,
}

impl SparseTable {
    /// Some of its rows.
    ///
    /// # Errors
    /// When one is not there.
    pub fn take(&self, rows: &[usize]) -> Result<Self> {
        let of = |values: &Vec<f64>| rows.iter().map(|&row| values[row]).collect::<Vec<f64>>();
        Ok(Self { x: self.x.take_rows(rows)?, target: of(&self.target), group: self.group.as_ref().map(of) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tilewise_kernels::MatRef;

    /// Shapes on both sides of a piece's edge, empty lines among them.
    #[test]
    fn turning_is_transposing_at_any_thread_count() {
        for (rows, cols, step) in [(1, 1, 1), (5, 3, 2), (40, 70, 7), (700, 900, 1), (1, 300_000, 1)] {
            let dense: Vec<f64> = (0..rows * cols)
                .map(|k: usize| if k.is_multiple_of(step) { k as f64 + 1.0 } else { 0.0 })
                .collect();
            let matrix = Sparse::of_dense(MatRef::new(&dense, rows, cols).unwrap()).unwrap();
            let turned = parallel::with_threads(1, || matrix.view().turned());
            assert_eq!(turned, parallel::with_threads(3, || matrix.view().turned()));
            turned.view().check().unwrap();
            assert_eq!(turned.view().turned(), matrix);
            for j in 0..cols {
                let (i, v) = turned.view().line(j);
                for (i, v) in i.iter().zip(v) {
                    assert_eq!(dense[*i as usize * cols + j], *v);
                }
            }
            assert_eq!(turned.view().stored(), dense.iter().filter(|x| **x != 0.0).count());
        }
    }

    #[test]
    fn what_is_no_matrix_is_refused() {
        let refused = |starts: &[usize], indices: &[u32], values: &[f64], words: &str| {
            let message = SparseRef::by_rows(2, 3, starts, indices, values).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        };
        refused(&[0, 1], &[0], &[1.0], "2 starts of 2 rows");
        refused(&[0, 1, 2], &[0], &[1.0], "from 0 to 2");
        refused(&[1, 1, 1], &[0], &[1.0], "from 1 to 1");
        refused(&[0, 2, 1], &[0], &[1.0], "row 0");
        refused(&[0, 1, 1], &[0], &[], "1 indices and 0 values");
        refused(&[0, 2, 2], &[1, 1], &[1.0, 2.0], "row 0: index 1 follows 1");
        refused(&[0, 0, 1], &[3], &[1.0], "row 1: index 3 is not below 3");
        let matrix = SparseRef::by_columns(2, 3, &[0, 1, 1, 2], &[1, 0], &[1.0, f64::NAN]).unwrap();
        let (row, column, value) = matrix.not_finite().unwrap();
        assert_eq!((row, column), (0, 2));
        assert!(value.is_nan());
        assert!(matrix.to_owned().take_rows(&[0]).is_err());
    }
}
