//! Logistic regression on rows of which one cell of a thousand is not zero, without intercept: liblinear penalises it.

use super::linear::log_loss;
use super::problems::Objective;
use crate::operand::Draw;
use std::io;
use tilewise_base::{Context, Sparse};
use tilewise_linear::{Logistic, Rows};
use tilewise_report::worker::{Job, Problem};

/// With |b|^2 / 2 in the penalty, and with |b|.
pub(super) const KINDS: [&str; 2] = ["sparse_logistic", "sparse_logistic_l1"];

/// Of so many cells one is stored.
const ONE_OF: usize = 1000;

/// Weights of |b| and of |b|^2 / 2, beside the sum of losses.
fn penalty(kind: &str) -> (f64, f64) {
    if kind == KINDS[1] { (5.0, 0.0) } else { (0.0, 1.0) }
}

/// Writes `starts`, `indices`, `values` (by rows) and `y` as numbers.
pub(super) fn write(
    problem: &Problem,
    rows: usize,
    features: usize,
    draw: &mut Draw,
) -> io::Result<Objective> {
    let per_row = (features / ONE_OF).max(1);
    let stored = rows * per_row;
    let (values, places) = (draw.normals::<f64>(stored), draw.normals::<f64>(stored));
    let (truth, noise) = (draw.normals::<f64>(features), draw.normals::<f64>(rows));
    // One cell in every stretch of columns, at a place that the fractional part of a normal number tells.
    let stretch = features as f64 / per_row as f64;
    let index = |k: usize| {
        let within = (places[k] * 1e3).rem_euclid(1.0);
        (((k % per_row) as f64 + within) * stretch) as usize
    };
    let indices: Vec<usize> = (0..stored).map(|k| index(k).min(features - 1)).collect();
    let y: Vec<f64> = (0..rows)
        .map(|i| {
            let cells = i * per_row..(i + 1) * per_row;
            let signal: f64 = cells.map(|k| values[k] * truth[indices[k]]).sum();
            f64::from(u8::from(signal / (per_row as f64).sqrt() + noise[i] > 0.0))
        })
        .collect();
    let as_numbers = |all: &[usize]| all.iter().map(|&i| i as f64).collect::<Vec<f64>>();
    let starts: Vec<usize> = (0..=rows).map(|i| i * per_row).collect();
    problem.write("starts", &as_numbers(&starts))?;
    problem.write("indices", &as_numbers(&indices))?;
    problem.write("values", &values)?;
    problem.write("y", &y)?;
    let (l1, l2) = penalty(&problem.kind);
    Ok(Box::new(move |fitted| {
        if fitted.len() != features + 1 || fitted[features] != 0.0 {
            return f64::NAN;
        }
        let loss = |i: usize| {
            let z: f64 = (i * per_row..(i + 1) * per_row).map(|k| values[k] * fitted[indices[k]]).sum();
            log_loss(z, y[i])
        };
        let of_penalty = |b: &f64| l1 * b.abs() + 0.5 * l2 * b * b;
        let sum: f64 = (0..rows).map(loss).sum();
        (sum + fitted.iter().map(of_penalty).sum::<f64>()) / rows as f64
    }))
}

/// Our side.
pub(super) struct Ours {
    x: Sparse,
    y: Vec<u32>,
    params: Logistic,
    fitted: Vec<f64>,
}

impl Ours {
    pub(super) fn load(problem: &Problem, rows: usize, features: usize) -> io::Result<Self> {
        let stored = rows * (features / ONE_OF).max(1);
        let whole = |name: &str, len: usize| problem.doubles(name, len);
        let starts = whole("starts", rows + 1)?.into_iter().map(|s| s as usize).collect();
        let indices = whole("indices", stored)?.into_iter().map(|i| i as u32).collect();
        let x = Sparse::by_rows(rows, features, starts, indices, whole("values", stored)?)
            .map_err(io::Error::other)?;
        let y = whole("y", rows)?.into_iter().map(|y| y as u32).collect();
        let (l1, l2) = penalty(&problem.kind);
        // Gradients are per deviation of a column, some thirty times those per unit.
        let params = Logistic { l1, l2, intercept: false, tolerance: 1e-7, ..Logistic::default() };
        Ok(Self { x, y, params, fitted: Vec::new() })
    }
}

impl Job for Ours {
    fn run(&mut self, times: u64) -> Result<(), String> {
        for _ in 0..times {
            let fit = self.params.fit_sparse(self.x.view(), &self.y, Rows::default(), &Context::default());
            let model = fit.map_err(|error| error.to_string())?.model;
            self.fitted = [model.coefficients, model.intercepts].concat();
        }
        Ok(())
    }
    fn result(&self) -> Vec<f64> {
        self.fitted.clone()
    }
}
