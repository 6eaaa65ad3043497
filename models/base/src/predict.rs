//! The rows of a batch, one after another or over threads.

use crate::Result;
use tilewise_kernels::{MatMut, MatRef, parallel, same};

/// Calls `f(number, row, its outputs)` for every row of `x`, over threads when there is much to do; `work` is how many
/// numbers a row takes to read. A row that is not contiguous is copied first. O(1) memory per thread.
///
/// # Errors
/// When `out` has not as many rows as `x`; of rows that fail the error of the first.
pub fn predict_rows(
    x: MatRef<'_, f64>,
    out: MatMut<'_, f64>,
    work: usize,
    f: impl Fn(usize, &[f64], &mut [f64]) -> Result<()> + Sync,
) -> Result<()> {
    let (rows, outputs) = (out.rows(), out.cols());
    same("rows of out", x.rows(), rows)?;
    let work = rows * work;
    let f = |i: usize, out: &mut [f64], scratch: &mut Vec<f64>| match x.row(i) {
        Some(row) => f(i, row, out),
        None => {
            scratch.clear();
            scratch.extend((0..x.cols()).map(|j| x.get(i, j)));
            f(i, scratch, out)
        }
    };
    if rows == 0 || outputs == 0 {
        return Ok(());
    }
    match out.into_slice() {
        Ok(slice) if work * size_of::<f64>() >= parallel::GRAIN_BYTES => {
            let failure = std::sync::Mutex::new(None);
            let chunk = (parallel::GRAIN_BYTES * rows / (work * size_of::<f64>())).max(1);
            parallel::for_each_chunk_mut(slice, chunk * outputs, |number, slice| {
                let mut scratch = Vec::new();
                for (i, out) in slice.chunks_exact_mut(outputs).enumerate() {
                    let row = number * chunk + i;
                    if let Err(e) = f(row, out, &mut scratch) {
                        // The first row is told, whichever thread was first.
                        let mut failure = failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        if failure.as_ref().is_none_or(|(first, _)| row < *first) {
                            *failure = Some((row, e));
                        }
                        return;
                    }
                }
            });
            let failure = failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
            failure.map_or(Ok(()), |(_, e)| Err(e))
        }
        Ok(slice) => {
            let mut scratch = Vec::new();
            slice.chunks_exact_mut(outputs).enumerate().try_for_each(|(i, out)| f(i, out, &mut scratch))
        }
        Err(mut out) => {
            let (mut scratch, mut answer) = (Vec::new(), vec![0.0; outputs]);
            for i in 0..rows {
                f(i, &mut answer, &mut scratch)?;
                answer.iter().enumerate().for_each(|(j, &a)| out.set(i, j, a));
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn of_several_bad_rows_the_first_is_told() {
        let (rows, columns) = (4000, 64);
        let cells = vec![0.0; rows * columns];
        let x = MatRef::new(&cells, rows, columns).unwrap();
        let mut out = vec![0.0; rows];
        for _ in 0..50 {
            let answer = parallel::with_threads(3, || {
                // The first bad row lies at the end of a piece, others at the start of theirs.
                predict_rows(x, MatMut::new(&mut out, rows, 1).unwrap(), columns, |i, _, _| match i {
                    0..900 => {
                        std::thread::yield_now();
                        Ok(())
                    }
                    _ => Err(Error::Fit(format!("row {i}"))),
                })
            });
            assert!(answer.unwrap_err().to_string().ends_with("row 900"));
        }
    }

    #[test]
    fn rows_of_any_layout_come_with_their_numbers() {
        let cells: Vec<f64> = (0..12).map(f64::from).collect();
        let by_columns = MatRef::with_strides(&cells, 0, 4, 3, 1, 4).unwrap();
        let mut out = [0.0; 8];
        let sum = |i: usize, row: &[f64], out: &mut [f64]| {
            out.copy_from_slice(&[i as f64, row.iter().sum()]);
            Ok(())
        };
        predict_rows(by_columns, MatMut::new(&mut out, 4, 2).unwrap(), 3, sum).unwrap();
        assert_eq!(out, [0.0, 12.0, 1.0, 15.0, 2.0, 18.0, 3.0, 21.0]);
        predict_rows(by_columns, MatMut::with_strides(&mut out, 0, 4, 2, 1, 4).unwrap(), 3, sum).unwrap();
        assert_eq!(out, [0.0, 1.0, 2.0, 3.0, 12.0, 15.0, 18.0, 21.0]);
        assert!(predict_rows(by_columns, MatMut::new(&mut out[..4], 2, 2).unwrap(), 3, sum).is_err());
    }
}
