//! Least squares of sparse rows by LSQR (`least_squares/lsqr.rs`): columns are centred without being changed.

use super::about;
use super::by_rows::{ByRows, products};
use super::problem::{GoOn, Problem, Solved, interrupted};
use crate::least_squares::lsqr::Lsqr;
use crate::residual::Residual;
use tilewise_base::{Error, Result};
use tilewise_kernels::{Float, axpy, dot, sum};

pub(super) fn solve<T: Float>(
    problem: &Problem<'_>,
    x: &mut ByRows<'_, T>,
    go_on: GoOn<'_>,
) -> Result<Solved> {
    let (shares, centre) = (&problem.answers.shares, &problem.mean);
    let targets: Vec<f64> =
        problem.answers.y.iter().enumerate().map(|(i, y)| y - problem.offset(i) - problem.start).collect();
    let (_, squares) = x.sums_and_squares(shares, shares);
    // Means are zeros without an intercept.
    let squares: Vec<f64> = squares.iter().zip(centre).map(|(square, mean)| about(*square, *mean)).collect();
    let mut lsqr = Lsqr::new(&squares, problem.l2);
    let (mut rounds, mut value) = (0, f64::NAN);
    loop {
        let (coefficients, share) = lsqr.ask();
        let shift = dot(&coefficients, centre)?;
        let mut of_rows = products(x.view(), &coefficients);
        of_rows.iter_mut().zip(&targets).for_each(|(z, target)| *z -= shift + share * target);
        let weighted: Vec<f64> = of_rows.iter().zip(shares).map(|(r, share)| share * r).collect();
        let (square, sum, raw) = (dot(&weighted, &of_rows)?, sum(&weighted), x.transposed(&weighted));
        let mut gradient = raw.clone();
        axpy(-sum, centre, &mut gradient)?;
        let residual = Residual { square, sum, gradient };
        let mut outcome = lsqr.advance(&residual)?;
        rounds += 1;
        if let Some(estimate) = lsqr.estimate() {
            value = 0.5 * estimate;
        }
        let mut optimality = f64::NAN;
        if outcome.is_some() {
            // The residual was that of the solution.
            value = 0.5 * (square + problem.l2 * dot(&coefficients, &coefficients)?);
            let slope = if problem.intercept { sum.abs() } else { 0.0 };
            let raw = raw.iter().zip(&coefficients).map(|(g, b)| (g + problem.l2 * b).abs());
            optimality = raw.fold(slope, f64::max);
        } else if !go_on(rounds, value, lsqr.gradient()) {
            if rounds == 1 {
                return Err(Error::Cancelled);
            }
            outcome = Some(interrupted());
        }
        if let Some(outcome) = outcome {
            let coefficients = lsqr.solution();
            let intercept = match problem.intercept {
                true => problem.start - dot(&coefficients, centre)?,
                false => 0.0,
            };
            return Ok(Solved {
                coefficients,
                intercepts: vec![intercept],
                value,
                optimality,
                rounds,
                outcome,
            });
        }
    }
}
