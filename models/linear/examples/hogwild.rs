//! Passes a second of stochastic gradient descent over 200,000 x 100,000 rows with a thousandth of the cells, one row after another and
//! without locks on one and two threads, in turn, and the objective that each reaches:
//! `cargo run --release -p tilewise-linear --example hogwild`.

use std::sync::Mutex;
use std::time::Instant;
use tilewise_base::{Context, Progress, Sparse};
use tilewise_kernels::{parallel, random::Philox};
use tilewise_linear::{Rows, StochasticDescent, StochasticLoss};

const ROWS: usize = 200_000;
const COLS: usize = 100_000;
const STORED: usize = COLS / 1000;

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
    let [draws, cells] = ["columns", "cells"].map(|what| Philox::new(1, Philox::purpose(what)));
    let (mut indices, mut values, mut y) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..ROWS {
        // One column of every thousand, in order.
        let columns = (0..STORED).map(|k| {
            (k * (COLS / STORED)) as u32 + draws.below((i * STORED + k) as u64, (COLS / STORED) as u64) as u32
        });
        indices.extend(columns);
        let own: Vec<f64> = (0..STORED).map(|k| cells.normal((i * STORED + k) as u64)).collect();
        let score: f64 = own.iter().zip(&indices[i * STORED..]).map(|(x, j)| x * effect(*j)).sum();
        y.push(f64::from(u8::from(score + cells.normal((ROWS * STORED + i) as u64) > 0.0)));
        values.extend(own);
    }
    let starts = (0..=ROWS).map(|i| i * STORED).collect();
    let x = Sparse::by_rows(ROWS, COLS, starts, indices, values).expect("a matrix");
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
                "alpha {alpha}, {threads} threads, hogwild {hogwild}: {pass:.3} s a pass, {:.2} times the serial, objective {objective:.6}",
                serial / pass
            );
        }
    }
}

/// What a column tells.
fn effect(column: u32) -> f64 {
    0.3 * (f64::from(column) * 0.7).sin()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
