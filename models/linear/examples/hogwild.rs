//! Seconds of a pass of stochastic gradient descent over 200,000 x 100,000 rows with a thousandth of the cells, and over 2,000,000 x 20 rows with
//! half of them, one row after another and without locks on one and two threads, in turn, and the objective that each reaches:
//! `cargo run --release -p tilewise-linear --example hogwild`.

use std::sync::Mutex;
use std::time::Instant;
use tilewise_base::{Context, Progress, Sparse};
use tilewise_kernels::{parallel, random::Philox};
use tilewise_linear::{Rows, StochasticDescent, StochasticLoss};

/// Passes of a fit; the times between their ends are told.
const PASSES: u64 = 6;

const ROUNDS: usize = 3;

/// When passes ended.
struct Ends(Mutex<Vec<Instant>>);

impl Progress for Ends {
    fn round(&self, _: u64, _: u64, _: &str) {
        self.0.lock().expect("nobody panics").push(Instant::now());
    }
}

fn main() {
    measure(200_000, 100_000, 100);
    measure(2_000_000, 20, 10);
}

fn measure(rows: usize, cols: usize, stored: usize) {
    let [draws, cells] = ["columns", "cells"].map(|what| Philox::new(1, Philox::purpose(what)));
    let (mut indices, mut values, mut y) = (Vec::new(), Vec::new(), Vec::new());
    // One of so many columns after the other for each cell of a row.
    let apart = cols / stored;
    for i in 0..rows {
        let mut score = cells.normal((rows * stored + i) as u64);
        for k in 0..stored {
            let at = (i * stored + k) as u64;
            let (column, x) = (k * apart + draws.below(at, apart as u64) as usize, cells.normal(at));
            score += x * 0.3 * (column as f64 * 0.7).sin();
            indices.push(column as u32);
            values.push(x);
        }
        y.push(f64::from(u8::from(score > 0.0)));
    }
    let starts = (0..=rows).map(|i| i * stored).collect();
    let x = Sparse::by_rows(rows, cols, starts, indices, values).expect("a matrix");
    for alpha in [0.0, 1e-5] {
        let mut runs = [(1, false), (2, false), (1, true), (2, true)]
            .map(|(threads, hogwild)| (threads, hogwild, Vec::new(), Vec::new()));
        for _ in 0..ROUNDS {
            for (threads, hogwild, seconds, objectives) in &mut runs {
                let params = StochasticDescent {
                    loss: StochasticLoss::Logistic,
                    alpha,
                    hogwild: *hogwild,
                    average: None,
                    tolerance: 0.0,
                    max_rounds: PASSES,
                    ..Default::default()
                };
                let ends = Ends(Mutex::default());
                let context = Context { progress: &ends, ..Context::default() };
                let fit = parallel::with_threads(*threads, || {
                    params.fit_sparse(x.view(), &y, Rows::default(), &context).expect("a fit")
                });
                objectives.push(fit.report.objective);
                let ends = ends.0.into_inner().expect("nobody panics");
                seconds.extend(ends.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()));
            }
        }
        let [serial, ..] = &mut runs;
        let serial = median(&mut serial.2);
        for (threads, hogwild, seconds, objectives) in &mut runs {
            let (pass, objective) = (median(seconds), median(objectives));
            println!(
                "{rows} x {cols}, alpha {alpha}, {threads} threads, hogwild {hogwild}: {pass:.3} s a pass, {:.2} times the serial, objective {objective:.6}",
                serial / pass
            );
        }
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
