//! Fits of linear models: dense rows of normal numbers, targets with as much noise as signal.

use super::one_hot;
use super::problems::{Listed, Objective, every};
use super::sparse;
use crate::operand::Draw;
use std::io;
use tilewise_base::Context;
use tilewise_kernels::MatRef;
use tilewise_linear::{ElasticNet, LeastSquares, Logistic, Rows};
use tilewise_report::worker::{Job, Problem};

/// Of dense rows; the shape of multinomial regression has its classes too.
pub(super) const KINDS: [&str; 5] = ["least_squares", "ridge", "logistic", "multinomial", "lasso"];

/// Weight of the penalty of lasso, beside half the mean of squares: about half of the columns that tell something stay.
const LASSO_ALPHA: f64 = 0.1;

/// Weight of |b|^2 (ridge) or |b|^2 / 2 (logistic, multinomial), beside the sum of losses.
const L2: f64 = 1.0;

/// Of so many columns of lasso's one tells something.
const SPARSE: usize = 20;

pub(super) fn problems(quick: bool) -> Vec<Listed> {
    let of = |kind, shapes: &[&[usize]]| {
        every(&[kind], &["f64"], &shapes.iter().map(|shape| shape.to_vec()).collect::<Vec<_>>())
    };
    let all = match quick {
        true => [
            of("least_squares", &[&[5000, 20]]),
            of("ridge", &[&[5000, 20]]),
            of("logistic", &[&[5000, 20]]),
            of("multinomial", &[&[2000, 30, 4]]),
            of("lasso", &[&[1000, 50], &[200, 1000]]),
            of(one_hot::KIND, &[&[5000, one_hot::COLUMNS]]),
            of(sparse::KINDS[0], &[&[2000, 5000]]),
            of(sparse::KINDS[1], &[&[2000, 5000]]),
        ],
        false => [
            of("least_squares", &[&[1000, 10], &[10_000, 1000], &[500_000, 100]]),
            of("ridge", &[&[1000, 10], &[10_000, 1000], &[500_000, 100]]),
            of("logistic", &[&[1000, 10], &[100_000, 10], &[20_000, 2000], &[500_000, 100]]),
            of("multinomial", &[&[60_000, 784, 10]]),
            of("lasso", &[&[10_000, 1000], &[1000, 20_000]]),
            of(one_hot::KIND, &[&[600_000, one_hot::COLUMNS]]),
            of(sparse::KINDS[0], &[&[200_000, 100_000]]),
            of(sparse::KINDS[1], &[&[200_000, 100_000]]),
        ],
    };
    all.concat()
}

/// Linear predictors of a row.
fn predictors(problem: &Problem) -> usize {
    problem.shape.get(2).copied().unwrap_or(1)
}

/// Writes `x` by rows and `y`; classes are numbers from 0 on.
pub(super) fn write(
    problem: &Problem,
    rows: usize,
    features: usize,
    draw: &mut Draw,
) -> io::Result<Objective> {
    let (kind, k) = (problem.kind.clone(), predictors(problem));
    let (x, truth) = (draw.normals::<f64>(rows * features), draw.normals::<f64>(features * k));
    let noise = draw.normals::<f64>(rows * k);
    let step = if kind == "lasso" { SPARSE } else { 1 };
    let telling = features.div_ceil(step) as f64;
    let value = |(row, noise): (&[f64], &[f64])| {
        let signal = |truth: &[f64]| {
            let terms = row.iter().zip(truth).step_by(step);
            terms.map(|(x, b)| x * b).sum::<f64>() / telling.sqrt()
        };
        let z: Vec<f64> = truth.chunks_exact(features).zip(noise).map(|(b, e)| signal(b) + e).collect();
        match kind.as_str() {
            "logistic" => f64::from(u8::from(z[0] > 0.0)),
            "multinomial" => (0..k).max_by(|a, b| z[*a].total_cmp(&z[*b])).unwrap_or(0) as f64,
            _ => z[0],
        }
    };
    let y: Vec<f64> = x.chunks_exact(features).zip(noise.chunks_exact(k)).map(value).collect();
    problem.write("x", &x)?;
    problem.write("y", &y)?;
    Ok(Box::new(move |fitted| {
        if fitted.len() == k * (features + 1) { objective(&kind, &x, &y, fitted, k) } else { f64::NAN }
    }))
}

/// Per row: |y - X b - a|^2 + l2 |b|^2; the sum of log losses, of two classes or several, + l2 |b|^2 / 2; |y - X b - a|^2 / 2 + n alpha |b|.
/// Coefficients come first, those of a class one behind the other, then intercepts.
fn objective(kind: &str, x: &[f64], y: &[f64], fitted: &[f64], k: usize) -> f64 {
    let (b, a) = fitted.split_at(fitted.len() - k);
    let features = b.len() / k;
    let loss = |(row, &y): (&[f64], &f64)| {
        let z = |c: usize| row.iter().zip(&b[c * features..]).map(|(x, b)| x * b).sum::<f64>() + a[c];
        match kind {
            "logistic" => log_loss(z(0), y),
            "multinomial" => {
                let z: Vec<f64> = (0..k).map(z).collect();
                let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                largest + z.iter().map(|z| (z - largest).exp()).sum::<f64>().ln() - z[y as usize]
            }
            "lasso" => 0.5 * (y - z(0)).powi(2),
            _ => (y - z(0)).powi(2),
        }
    };
    let n = y.len() as f64;
    let mean = x.chunks_exact(features).zip(y).map(loss).sum::<f64>() / n;
    let square: f64 = b.iter().map(|b| b * b).sum();
    mean + match kind {
        "ridge" => L2 * square / n,
        "logistic" | "multinomial" => 0.5 * L2 * square / n,
        "lasso" => LASSO_ALPHA * b.iter().map(|b| b.abs()).sum::<f64>(),
        _ => 0.0,
    }
}

/// ln(1 + e^-margin) of a row of class `y`, 0 or 1.
pub(super) fn log_loss(z: f64, y: f64) -> f64 {
    let margin = if y > 0.5 { z } else { -z };
    (-margin.abs()).exp().ln_1p() + (-margin).max(0.0)
}

/// Our side.
pub(super) struct Ours {
    kind: String,
    rows: usize,
    features: usize,
    x: Vec<f64>,
    y: Vec<f64>,
    classes: Vec<u32>,
    fitted: Vec<f64>,
}

impl Ours {
    pub(super) fn load(problem: &Problem, rows: usize, features: usize) -> io::Result<Self> {
        let (x, y) = (problem.doubles("x", rows * features)?, problem.doubles("y", rows)?);
        let classes = y.iter().map(|&y| y as u32).collect();
        Ok(Self { kind: problem.kind.clone(), rows, features, x, y, classes, fitted: Vec::new() })
    }

    /// With tolerances at which objectives agree to 1e-8, as the peers have them.
    fn fit(&mut self) -> Result<(), String> {
        let x = MatRef::new(&self.x, self.rows, self.features).map_err(|error| error.to_string())?;
        let (rows, context) = (Rows::default(), Context::default());
        let fit =
            match self.kind.as_str() {
                "logistic" | "multinomial" => Logistic { l2: L2, tolerance: 1e-7, ..Logistic::default() }
                    .fit(x, &self.classes, rows, &context),
                "lasso" => {
                    // The peers are asked for 1e-8 of the objective, which may be far below that of zero coefficients.
                    let params = ElasticNet { alpha: LASSO_ALPHA, tolerance: 1e-9, ..ElasticNet::default() };
                    params.fit(x, &self.y, rows, &context)
                }
                kind => {
                    let l2 = if kind == "ridge" { L2 } else { 0.0 };
                    LeastSquares { l2, ..LeastSquares::default() }.fit(x, &self.y, rows, &context)
                }
            };
        let model = fit.map_err(|error| error.to_string())?.model;
        self.fitted = [model.coefficients, model.intercepts].concat();
        Ok(())
    }
}

impl Job for Ours {
    fn run(&mut self, times: u64) -> Result<(), String> {
        (0..times).try_for_each(|_| self.fit())
    }
    fn result(&self) -> Vec<f64> {
        self.fitted.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_are_the_textbook_ones() {
        // Rows (1) and (3) with y = 1 and 2 at b = 0.5, a = 1: residuals -0.5 and -0.5.
        let of = |kind, y: &[f64], fitted: &[f64], k| objective(kind, &[1.0, 3.0], y, fitted, k);
        let squared = of("ridge", &[1.0, 2.0], &[0.5, 1.0], 1);
        assert!((squared - (0.25 + 0.25 + L2 * 0.25) / 2.0).abs() < 1e-15);
        assert!((of("least_squares", &[1.0, 2.0], &[0.5, 1.0], 1) - 0.25).abs() < 1e-15);
        let log_loss = of("logistic", &[1.0, 0.0], &[0.5, 1.0], 1);
        let expected = ((1.0 + (-1.5f64).exp()).ln() + (1.0 + 2.5f64.exp()).ln() + 0.125 * L2) / 2.0;
        assert!((log_loss - expected).abs() < 1e-15);
        let lasso = of("lasso", &[1.0, 2.0], &[0.5, 1.0], 1);
        assert!((lasso - (0.125 + LASSO_ALPHA * 0.5)).abs() < 1e-15);
        // Of two classes with coefficients b and 0 the loss is that of the difference.
        let softmax = of("multinomial", &[0.0, 1.0], &[0.5, 0.0, 1.0, 0.0], 2);
        assert!((softmax - expected).abs() < 1e-14);
    }
}
