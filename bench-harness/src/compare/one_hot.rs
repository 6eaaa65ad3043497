//! Poisson regression of counts on ten categories, expanded or not: the shape of a tariff of motor insurance.

use super::problems::Objective;
use crate::operand::Draw;
use std::io;
use tilewise_base::{Context, Sparse};
use tilewise_linear::{Generalised, Rows};
use tilewise_report::worker::{Job, Problem};

pub(super) const KIND: &str = "poisson_one_hot";

/// Levels of each category.
const LEVELS: [usize; 10] = [2, 4, 6, 11, 12, 22, 40, 60, 75, 90];

/// Columns that they have together.
pub(super) const COLUMNS: usize = 322;

/// Weight of the penalty, beside half the mean deviance.
const ALPHA: f64 = 1e-3;

/// Writes `codes`, of each row the level of every category as numbers, and the counts `y`.
pub(super) fn write(problem: &Problem, rows: usize, draw: &mut Draw) -> io::Result<Objective> {
    let k = LEVELS.len();
    let places = draw.vector::<f64>(rows * k, 1.0);
    let (effects, chances) = (draw.normals::<f64>(COLUMNS), draw.vector::<f64>(rows, 1.0));
    // Squares of uniform numbers: the first levels are the commonest.
    let code = |(i, u): (usize, &f64)| {
        let levels = LEVELS[i % k];
        ((u * u * levels as f64) as usize).min(levels - 1)
    };
    let codes: Vec<usize> = places.get().iter().enumerate().map(code).collect();
    let columns = columns(&codes);
    let y: Vec<f64> = columns
        .chunks_exact(k)
        .zip(chances.get())
        .map(|(row, u)| {
            count((-1.5 + 0.2 * row.iter().map(|&j| effects[j]).sum::<f64>()).exp(), 0.5 * (u + 1.0))
        })
        .collect();
    problem.write("codes", &codes.iter().map(|&code| code as f64).collect::<Vec<f64>>())?;
    problem.write("y", &y)?;
    Ok(Box::new(move |fitted| {
        if fitted.len() != COLUMNS + 1 {
            return f64::NAN;
        }
        objective(&columns, &y, fitted, k)
    }))
}

/// Half the mean deviance + alpha |b|^2 / 2 of rows that have a one in `k` columns each.
fn objective(columns: &[usize], y: &[f64], fitted: &[f64], k: usize) -> f64 {
    let (b, a) = fitted.split_at(fitted.len() - 1);
    let loss = |(row, &y): (&[usize], &f64)| {
        let z = row.iter().map(|&j| b[j]).sum::<f64>() + a[0];
        z.exp() - y * z + if y > 0.0 { y * y.ln() - y } else { 0.0 }
    };
    let mean = columns.chunks_exact(k).zip(y).map(loss).sum::<f64>() / y.len() as f64;
    mean + 0.5 * ALPHA * b.iter().map(|b| b * b).sum::<f64>()
}

/// The columns that are one, of codes row by row.
fn columns(codes: &[usize]) -> Vec<usize> {
    let firsts: Vec<usize> = (0..LEVELS.len()).map(|i| LEVELS[..i].iter().sum()).collect();
    codes.iter().zip(firsts.iter().cycle()).map(|(code, first)| first + code).collect()
}

/// The count of a Poisson distribution at `share` of its mass.
fn count(mean: f64, share: f64) -> f64 {
    let (mut count, mut chance) = (0.0, (-mean).exp());
    let mut below = chance;
    while below < share && count < 1000.0 {
        count += 1.0;
        chance *= mean / count;
        below += chance;
    }
    count
}

/// Our side: sparse rows of ones.
pub(super) struct Ours {
    x: Sparse,
    y: Vec<f64>,
    fitted: Vec<f64>,
}

impl Ours {
    pub(super) fn load(problem: &Problem, rows: usize) -> io::Result<Self> {
        let k = LEVELS.len();
        let codes: Vec<usize> = problem.doubles("codes", rows * k)?.into_iter().map(|c| c as usize).collect();
        let indices = columns(&codes).into_iter().map(|j| j as u32).collect();
        let (starts, values) = ((0..=rows).map(|i| i * k).collect(), vec![1.0; rows * k]);
        let x = Sparse::by_rows(rows, COLUMNS, starts, indices, values).map_err(io::Error::other)?;
        Ok(Self { x, y: problem.doubles("y", rows)?, fitted: Vec::new() })
    }
}

impl Job for Ours {
    fn run(&mut self, times: u64) -> Result<(), String> {
        let params = Generalised { alpha: ALPHA, tolerance: 1e-6, ..Generalised::default() };
        for _ in 0..times {
            let fit = params.fit_sparse(self.x.view(), &self.y, Rows::default(), &Context::default());
            let model = fit.map_err(|error| error.to_string())?.model;
            self.fitted = [model.coefficients, model.intercepts].concat();
        }
        Ok(())
    }
    fn result(&self) -> Vec<f64> {
        self.fitted.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_have_the_columns_that_are_told() {
        assert_eq!(LEVELS.iter().sum::<usize>(), COLUMNS);
        assert_eq!(columns(&[1, 3, 0, 0, 0, 0, 0, 0, 0, 89]), [1, 5, 6, 12, 23, 35, 57, 97, 157, 321]);
    }

    #[test]
    fn a_mean_that_is_the_truth_has_no_deviance() {
        // Rows with ones in columns 0 and 1: means 2 and 3.
        let fitted = [2f64.ln(), 3f64.ln(), 0.0];
        let square = 0.5 * ALPHA * (fitted[0].powi(2) + fitted[1].powi(2));
        assert!((objective(&[0, 1], &[2.0, 3.0], &fitted, 1) - square).abs() < 1e-14);
    }

    #[test]
    fn counts_are_those_of_their_share() {
        // e^-1 = 0.37, twice that 0.74, 2.5 times that 0.92.
        assert_eq!([0.3, 0.5, 0.8, 0.93].map(|share| count(1.0, share)), [0.0, 1.0, 2.0, 3.0]);
    }
}
