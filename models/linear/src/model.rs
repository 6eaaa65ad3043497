//! The fitted linear model: a few inner products and a link.

use crate::sparse::inner;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tilewise_base::sparse::Order;
use tilewise_base::{Error, Result, SparseRef, predict_rows};
use tilewise_kernels::{Float, MatMut, MatRef, dot, exp, log_softmax, parallel, same, sigmoid};

/// How the linear predictors become outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// They are the outputs.
    Identity,
    /// One predictor z; the output is e^z.
    Log,
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
        if matches!(self.link, Link::Logit | Link::Log) {
            same("linear predictors of this link", 1, self.intercepts.len())?;
        }
        same("features of the row", features, row.len())?;
        same("outputs of the row", self.outputs(), out.len())?;
        // Over the intercepts: a model without features has no coefficients, but answers.
        for (i, (out, b)) in out.iter_mut().zip(&self.intercepts).enumerate() {
            *out = dot(&self.coefficients[i * features..(i + 1) * features], row)? + b + offset;
        }
        self.answer(out)
    }

    /// As [`predict_sparse`](Self::predict_sparse), of the stored cells of one row, in the order of features; lengths are not looked at.
    pub(crate) fn predict_line<T: Float>(
        &self,
        line: (&[u32], &[T]),
        offset: f64,
        out: &mut [f64],
    ) -> Result<()> {
        let features = self.features();
        for (k, (out, b)) in out.iter_mut().zip(&self.intercepts).enumerate() {
            *out = inner(line, &self.coefficients[k * features..(k + 1) * features]) + b + offset;
        }
        self.answer(out)
    }

    /// Linear predictors to outputs, in place.
    fn answer(&self, out: &mut [f64]) -> Result<()> {
        match self.link {
            Link::Identity => {}
            Link::Log => {
                let z = [out[0]];
                exp(&z, out)?;
            }
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
        same("columns of out", outputs, out.cols())?;
        same("offset against rows", rows, offset.map_or(rows, <[f64]>::len))?;
        predict_rows(x, out, x.cols(), |i, row, out| self.predict_row(row, offset.map_or(0.0, |o| o[i]), out))
    }

    /// As [`predict`](Self::predict), of a sparse matrix by rows; its bits may differ from those of dense rows, by the rounding of sums.
    ///
    /// # Errors
    /// When shapes do not fit, or the matrix lies by columns.
    pub fn predict_sparse<T: Float>(
        &self,
        x: SparseRef<'_, T>,
        offset: Option<&[f64]>,
        mut out: MatMut<'_, f64>,
    ) -> Result<()> {
        let (rows, outputs, features) = (x.rows(), self.outputs(), self.features());
        same("features", features, x.cols())?;
        same("coefficients", features * self.intercepts.len(), self.coefficients.len())?;
        if matches!(self.link, Link::Logit | Link::Log) {
            same("linear predictors of this link", 1, self.intercepts.len())?;
        }
        same("rows of out", rows, out.rows())?;
        same("columns of out", outputs, out.cols())?;
        same("offset against rows", rows, offset.map_or(rows, <[f64]>::len))?;
        if x.order() == Order::Columns {
            return Err(Error::Fit("sparse rows are predicted of a matrix by rows".into()));
        }
        /// Rows of a task.
        const TASK: usize = 1024;
        let of_rows = |rows: Range<usize>| -> Result<Vec<f64>> {
            let mut answers = vec![0.0; rows.len() * outputs];
            for (i, answer) in rows.zip(answers.chunks_exact_mut(outputs)) {
                self.predict_line(x.line(i), offset.map_or(0.0, |o| o[i]), answer)?;
            }
            Ok(answers)
        };
        let tasks =
            parallel::map(rows.div_ceil(TASK), |task| of_rows(task * TASK..rows.min((task + 1) * TASK)));
        for (task, answers) in tasks.into_iter().enumerate() {
            for (i, answer) in answers?.chunks_exact(outputs).enumerate() {
                answer.iter().enumerate().for_each(|(k, &answer)| out.set(task * TASK + i, k, answer));
            }
        }
        Ok(())
    }
}

fn softmax(logs: &mut [f64], out: &mut [f64]) -> Result<()> {
    let classes = out.len();
    log_softmax(MatRef::new(out, 1, classes)?, MatMut::new(logs, 1, classes)?)?;
    Ok(exp(logs, out)?)
}
