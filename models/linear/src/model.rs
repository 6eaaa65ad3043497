//! The fitted linear model: a few inner products and a link.

use serde::{Deserialize, Serialize};
use tilewise_base::Result;
use tilewise_kernels::{MatMut, MatRef, dot, exp, log_softmax, parallel, same, sigmoid};

/// How the linear predictors become outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// They are the outputs.
    Identity,
    /// One predictor z; outputs are the probabilities 1 / (1 + e^z) and 1 / (1 + e^-z) of the two classes.
    Logit,
    /// One predictor per class; outputs are e^z over the sum of e^z.
    Softmax,
}

/// A fitted linear model.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearModel {
    /// One row of coefficients per linear predictor, row-major.
    pub coefficients: Vec<f64>,
    /// One intercept per linear predictor (zeros when the fit had none).
    pub intercepts: Vec<f64>,
    /// How predictors become outputs.
    pub link: Link,
}

impl LinearModel {
    /// Number of features.
    pub fn features(&self) -> usize {
        self.coefficients.len() / self.intercepts.len().max(1)
    }

    /// Number of outputs per row.
    pub fn outputs(&self) -> usize {
        if self.link == Link::Logit { 2 } else { self.intercepts.len() }
    }

    /// Predicts one row without allocating. `offset` is added to every linear predictor (softmax ignores it).
    ///
    /// # Errors
    /// When lengths do not fit.
    pub fn predict_row(&self, row: &[f64], offset: f64, out: &mut [f64]) -> Result<()> {
        let features = self.features();
        same("coefficients", features * self.intercepts.len(), self.coefficients.len())?;
        if self.link == Link::Logit {
            same("linear predictors of two classes", 1, self.intercepts.len())?;
        }
        same("features of the row", features, row.len())?;
        same("outputs of the row", self.outputs(), out.len())?;
        // Over the intercepts: a model without features has no coefficients, but answers.
        for (i, (out, b)) in out.iter_mut().zip(&self.intercepts).enumerate() {
            *out = dot(&self.coefficients[i * features..(i + 1) * features], row)? + b + offset;
        }
        match self.link {
            Link::Identity => {}
            Link::Logit => {
                let z = out[0];
                sigmoid(&[-z, z], out)?;
            }
            Link::Softmax => {
                // The largest predictor is taken away first, so a common offset changes nothing.
                let mut logs = [0.0; 64];
                match logs.get_mut(..out.len()) {
                    Some(logs) => softmax(logs, out)?,
                    None => softmax(&mut vec![0.0; out.len()], out)?,
                }
            }
        }
        Ok(())
    }

    /// Predicts every row of `x` into `out` (rows x outputs). A row's bits are the same alone or in any batch.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn predict(&self, x: MatRef<'_, f64>, offset: Option<&[f64]>, out: MatMut<'_, f64>) -> Result<()> {
        let (rows, outputs) = (x.rows(), self.outputs());
        same("features", self.features(), x.cols())?;
        same("rows of out", rows, out.rows())?;
        same("columns of out", outputs, out.cols())?;
        same("offset against rows", rows, offset.map_or(rows, <[f64]>::len))?;
        predict_rows(out, rows * x.cols(), |i, out, scratch| {
            let offset = offset.map_or(0.0, |o| o[i]);
            match x.row(i) {
                Some(row) => self.predict_row(row, offset, out),
                None => {
                    scratch.clear();
                    scratch.extend((0..x.cols()).map(|j| x.get(i, j)));
                    self.predict_row(scratch, offset, out)
                }
            }
        })
    }
}

fn softmax(logs: &mut [f64], out: &mut [f64]) -> Result<()> {
    let classes = out.len();
    log_softmax(MatRef::new(out, 1, classes)?, MatMut::new(logs, 1, classes)?)?;
    Ok(exp(logs, out)?)
}

/// Calls `f(row, its outputs, scratch)` for every row of `out`, over threads when `work` (cells read) is large.
pub(crate) fn predict_rows(
    out: MatMut<'_, f64>,
    work: usize,
    f: impl Fn(usize, &mut [f64], &mut Vec<f64>) -> Result<()> + Sync,
) -> Result<()> {
    let (rows, outputs) = (out.rows(), out.cols());
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
    use tilewise_base::Error;

    #[test]
    fn of_several_bad_rows_the_first_is_told() {
        let (rows, cells) = (4000, 4000 * 64);
        let mut out = vec![0.0; rows];
        for _ in 0..50 {
            let answer = parallel::with_threads(3, || {
                // The first bad row lies at the end of a piece, others at the start of theirs.
                predict_rows(MatMut::new(&mut out, rows, 1).unwrap(), cells, |i, _, _| match i {
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
}
