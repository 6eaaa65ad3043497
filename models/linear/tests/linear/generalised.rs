//! Poisson, gamma and Tweedie regression against loops, statsmodels and scikit-learn.

use crate::support::{assert_golden, golden, load, normal};
use proptest::prelude::*;
use tilewise_base::{Context, Fit, rounds};
use tilewise_kernels::{MatRef, parallel};
use tilewise_linear::{Chunk, Distribution, Generalised, LinearModel, Link, Rows};

const DISTRIBUTIONS: [Distribution; 6] = [
    Distribution::Poisson,
    Distribution::Gamma,
    Distribution::Tweedie(1.6),
    Distribution::Normal(Link::Identity),
    Distribution::Normal(Link::Log),
    Distribution::Tweedie(3.0),
];

struct Data {
    x: Vec<f64>,
    cols: usize,
    y: Vec<f64>,
    weights: Vec<f64>,
    offset: Vec<f64>,
}

impl Data {
    fn new(distribution: Distribution, rows: usize, cols: usize, seed: u64) -> Self {
        let x: Vec<f64> = normal(rows, cols, seed).iter().map(|x| x + 1.0).collect();
        let offset: Vec<f64> = normal(rows, 1, seed + 1).iter().map(|o| 0.3 * o).collect();
        let weights = normal(rows, 1, seed + 2).iter().map(|w| w.abs() + 0.01).collect();
        let noise = normal(rows, 1, seed + 3);
        let y = x
            .chunks(cols)
            .zip(&noise)
            .zip(&offset)
            .map(|((row, e), o)| {
                let mean = (0.4 * row[0] - 0.3 * row[cols - 1] + o + 0.5 + 0.7 * e).exp();
                match distribution {
                    Distribution::Poisson => mean.round(),
                    Distribution::Gamma => mean,
                    Distribution::Normal(Link::Identity) => mean - 2.0,
                    Distribution::Normal(_) => mean - 0.1,
                    Distribution::Tweedie(power) if power > 2.0 => mean,
                    Distribution::Tweedie(_) => {
                        if *e < -0.5 {
                            0.0
                        } else {
                            mean
                        }
                    }
                }
            })
            .collect();
        Self { x, cols, y, weights, offset }
    }
    fn view(&self) -> MatRef<'_, f64> {
        MatRef::new(&self.x, self.y.len(), self.cols).unwrap()
    }
    fn rows(&self) -> Rows<'_> {
        Rows { weights: Some(&self.weights), offset: Some(&self.offset) }
    }
    fn fit(&self, params: &Generalised) -> Fit<LinearModel> {
        params.fit(self.view(), &self.y, self.rows(), &Context::default()).unwrap()
    }

    /// Objective by loops and textbook formulas.
    fn recomputed(&self, params: &Generalised, model: &LinearModel) -> f64 {
        let (l1, l2) = (params.alpha * params.l1_ratio, params.alpha * (1.0 - params.l1_ratio));
        let total: f64 = self.weights.iter().sum();
        let mut objective: f64 = model.coefficients.iter().map(|b| l1 * b.abs() + 0.5 * l2 * b * b).sum();
        for (i, row) in self.x.chunks(self.cols).enumerate() {
            let z: f64 = row.iter().zip(&model.coefficients).map(|(x, b)| x * b).sum();
            let z = z + model.intercepts[0] + self.offset[i];
            let identity = params.distribution == Distribution::Normal(Link::Identity);
            let mean = if identity { z } else { z.exp() };
            let (y, w) = (self.y[i], self.weights[i] / total);
            // Half the deviance.
            let half = match params.distribution {
                Distribution::Poisson => mean - y + if y > 0.0 { y * (y / mean).ln() } else { 0.0 },
                Distribution::Gamma => (mean / y).ln() + y / mean - 1.0,
                Distribution::Normal(_) => 0.5 * (y - mean).powi(2),
                Distribution::Tweedie(p) => {
                    let (a, b) = (1.0 - p, 2.0 - p);
                    y.powf(b) / (a * b) - y * mean.powf(a) / a + mean.powf(b) / b
                }
            };
            objective += w * half;
        }
        objective
    }
}

/// Rounding of sums over a few hundred rows of numbers up to some tens.
const ROUNDING: f64 = 1e-11;

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every distribution and penalty: the objective told is the one recomputed, and no step nearby lowers it; `certificate.rs` looks at
    /// what is told of the gradient.
    #[test]
    fn the_minimum_is_found_and_proved(
        which in 0usize..6, rows in 30usize..200, cols in 1usize..12, seed in 0u64..500,
        alpha in 0.001f64..0.3, l1_ratio in prop_oneof![Just(0.0), Just(1.0), 0.1f64..0.9], intercept: bool, spread: bool,
    ) {
        let distribution = DISTRIBUTIONS[which];
        let mut data = Data::new(distribution, rows, cols, 5 * seed);
        prop_assume!(data.y.iter().zip(&data.weights).map(|(y, w)| y * w).sum::<f64>() > 0.0 || which == 3);
        if spread {
            data.x.chunks_mut(cols).for_each(|row| {
                row.iter_mut().enumerate().for_each(|(j, x)| *x *= 10f64.powi(j as i32 % 13 - 6));
            });
        }
        let params = Generalised { distribution, alpha, l1_ratio, intercept, ..Default::default() };
        let fit = data.fit(&params);
        let objective = data.recomputed(&params, &fit.model);
        prop_assert!(fit.report.converged, "{:?}", fit.report);
        prop_assert!((fit.report.objective - objective).abs() < ROUNDING * (1.0 + objective), "{:?} {objective}", fit.report);
        for (j, step) in (0..cols).flat_map(|j| [(j, 1e-3), (j, -1e-3)]) {
            let mut other = fit.model.clone();
            let scale = data.x.iter().skip(j).step_by(cols).fold(0.0f64, |m, x| m.max(x.abs()));
            other.coefficients[j] += step / scale;
            prop_assert!(data.recomputed(&params, &other) >= objective - 1e-12 * (1.0 + objective));
        }
    }
}

#[test]
fn numbers_of_statsmodels_and_scikit_learn() {
    let Some(table) = load("diabetes") else { return };
    let table = table.standardised();
    let y = table.numbers();
    let n = y.len();
    let weights: Vec<f64> = (0..n).map(|i| 1.0 + (i % 3) as f64).collect();
    let offset: Vec<f64> = (0..n).map(|i| 0.1 * (i % 5) as f64).collect();
    for (case, distribution, alpha, plain) in [
        ("poisson_diabetes", Distribution::Poisson, 0.0, false),
        ("gamma_diabetes", Distribution::Gamma, 0.0, false),
        ("tweedie_diabetes", Distribution::Tweedie(1.5), 0.0, false),
        ("poisson_ridge_diabetes", Distribution::Poisson, 2.0, true),
        ("gamma_ridge_diabetes", Distribution::Gamma, 0.3, true),
        ("tweedie_ridge_diabetes", Distribution::Tweedie(1.5), 0.5, true),
    ] {
        let params = Generalised { distribution, alpha, tolerance: 1e-10, ..Default::default() };
        let rows = if plain {
            Rows { weights: Some(&weights), offset: None }
        } else {
            Rows { weights: Some(&weights), offset: Some(&offset) }
        };
        let fit = params.fit(table.view(), &y, rows, &Context::default()).unwrap();
        assert!(fit.report.converged && fit.report.warnings.is_empty(), "{case}: {:?}", fit.report);
        assert!(fit.report.rounds <= 9, "{case}: {:?}", fit.report);
        assert_golden(case, &fit.model, 1e-7);
        if let Some(deviance) = golden(case)["deviance"].as_f64() {
            let total: f64 = weights.iter().sum();
            assert!((2.0 * fit.report.objective * total / deviance - 1.0).abs() < 1e-10, "{case}");
        }
    }
    for (case, distribution, alpha, l1_ratio) in [
        ("poisson_lasso_diabetes", Distribution::Poisson, 3.0, 1.0),
        ("gamma_elastic_net_diabetes", Distribution::Gamma, 0.05, 0.5),
    ] {
        let params = Generalised { distribution, alpha, l1_ratio, tolerance: 1e-9, ..Default::default() };
        let fit = params.fit(table.view(), &y, Rows::default(), &Context::default()).unwrap();
        assert!(fit.report.converged, "{case}: {:?}", fit.report);
        assert_golden(case, &fit.model, 1e-5);
        let zeros = |b: &[f64]| b.iter().map(|b| *b == 0.0).collect::<Vec<_>>();
        let theirs: Vec<f64> =
            golden(case)["coefficients"].as_array().unwrap().iter().map(|b| b.as_f64().unwrap()).collect();
        assert_eq!(zeros(&fit.model.coefficients), zeros(&theirs), "{case}");
        assert!(theirs.contains(&0.0), "{case}: the penalty makes none zero");
    }
}

#[test]
fn same_bits_at_any_thread_count_and_nearly_in_chunks() {
    for (distribution, l1_ratio) in [(Distribution::Poisson, 0.0), (Distribution::Gamma, 0.5)] {
        let data = Data::new(distribution, 20_000, 9, 3);
        let params = Generalised { distribution, alpha: 0.01, l1_ratio, ..Default::default() };
        let one = parallel::with_threads(1, || data.fit(&params));
        for threads in [2, 7] {
            let many = parallel::with_threads(threads, || data.fit(&params));
            assert_eq!((&one.model, &one.report), (&many.model, &many.report));
        }
        let step = 3000;
        let chunks: Vec<_> = (0..data.y.len().div_ceil(step))
            .map(|k| {
                let rows = k * step..((k + 1) * step).min(data.y.len());
                Chunk {
                    x: data.view().row_range(rows.clone()),
                    y: &data.y[rows.clone()],
                    rows: Rows {
                        weights: Some(&data.weights[rows.clone()]),
                        offset: Some(&data.offset[rows.clone()]),
                    },
                    first_row: rows.start,
                }
            })
            .collect();
        let mut trainer = params.trainer::<f64>(9).unwrap();
        rounds::run_through_bytes(&mut trainer, &chunks, &Context::default()).unwrap();
        let parts = trainer.finish().unwrap();
        for (a, b) in one.model.coefficients.iter().zip(&parts.model.coefficients) {
            assert!((a - b).abs() < 1e-8, "{a} and {b}");
        }
    }
}

#[test]
fn an_intercept_alone_is_the_mean() {
    let mut data = Data::new(Distribution::Poisson, 50, 1, 6);
    data.x.fill(7.0);
    for distribution in DISTRIBUTIONS {
        data.y.iter_mut().for_each(|y| *y += 1.0);
        let fit = data.fit(&Generalised { distribution, ..Default::default() });
        let mean = |v: &[f64]| v.iter().zip(&data.weights).map(|(v, w)| v * w).sum::<f64>();
        // Where all features are constant the minimum of Poisson's loss is known, by the offset.
        if distribution == Distribution::Poisson {
            let factor = mean(&data.y) / mean(&data.offset.iter().map(|o| o.exp()).collect::<Vec<_>>());
            assert!((fit.model.intercepts[0] - factor.ln()).abs() < 1e-12);
        }
        assert_eq!(fit.model.coefficients, [0.0]);
        let mut out = [0.0];
        fit.model.predict_row(&[7.0], 0.4, &mut out).unwrap();
        if distribution == Distribution::Normal(Link::Identity) {
            let target = (mean(&data.y) - mean(&data.offset)) / data.weights.iter().sum::<f64>();
            assert!((fit.model.intercepts[0] - target).abs() < 1e-12);
            assert!((out[0] - target - 0.4).abs() < 1e-12);
            continue;
        }
        assert!((out[0] / (fit.model.intercepts[0] + 0.4).exp() - 1.0).abs() < 1e-14);
    }
}

#[test]
fn what_cannot_be_fitted_is_named() {
    let refused = |params: &Generalised, y: &[f64], words: &[&str]| {
        let x: Vec<f64> = (0..y.len()).map(|i| i as f64).collect();
        let x = MatRef::new(&x, y.len(), 1).unwrap();
        let message = params.fit(x, y, Rows::default(), &Context::default()).unwrap_err().to_string();
        assert!(words.iter().all(|w| message.contains(w)), "{message}");
    };
    let of = |distribution| Generalised { distribution, ..Default::default() };
    refused(&of(Distribution::Poisson), &[1.0, 2.0, -3.5], &["row 2", "-3.5", "0 or more"]);
    refused(&of(Distribution::Gamma), &[1.0, 0.0, 2.0], &["row 1", "is 0", "above 0"]);
    refused(&of(Distribution::Tweedie(1.5)), &[f64::NAN, 1.0], &["row 0", "NaN"]);
    refused(&of(Distribution::Tweedie(2.0)), &[1.0], &["power", "above 1 but 2"]);
    refused(&of(Distribution::Tweedie(0.5)), &[1.0], &["power", "0.5", "above 1 but 2"]);
    refused(&of(Distribution::Tweedie(3.0)), &[1.0, 0.0], &["is 0", "above 0"]);
    refused(&of(Distribution::Normal(Link::Logit)), &[1.0], &["link", "identity or log"]);
    refused(&of(Distribution::Normal(Link::Log)), &[-1.0, 0.5], &["mean of the targets", "identity"]);
    refused(&of(Distribution::Poisson), &[0.0, 0.0], &["all targets", "zero"]);
    refused(&Generalised { alpha: -1.0, ..Default::default() }, &[1.0], &["alpha", "-1"]);
    // A column that tells which rows are zero: without penalty there is no finite answer.
    let (x, y) = ([0.0, 0.0, 0.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0, 4.0, 2.0]);
    let view = MatRef::new(&x, 6, 1).unwrap();
    let fit = |alpha| {
        let params = Generalised { alpha, ..Default::default() };
        params.fit(view, &y, Rows::default(), &Context::default()).unwrap().report
    };
    assert!(!fit(0.0).warnings.is_empty() && fit(0.1).warnings.is_empty());
}

/// Each weight's fit is the one by itself, found in fewer rounds.
#[test]
fn a_path_goes_on_where_it_was() {
    let alphas: Vec<f64> = (0..12).map(|k| 0.3 * 0.6f64.powi(k)).collect();
    for (distribution, l1_ratio) in
        [(Distribution::Poisson, 0.0), (Distribution::Gamma, 0.5), (Distribution::Tweedie(1.6), 1.0)]
    {
        let data = Data::new(distribution, 300, 8, 5);
        let params = Generalised { distribution, l1_ratio, tolerance: 1e-10, ..Default::default() };
        let (mut seen, mut rounds, mut alone) = (Vec::new(), 0, 0);
        let each = |alpha: f64, fit: Fit<LinearModel>| {
            let separate = Generalised { alpha, ..params.clone() };
            let separate = separate.fit(data.view(), &data.y, data.rows(), &Context::default())?;
            assert!(fit.report.converged && separate.report.converged);
            let (ours, expected) = (fit.report.objective, separate.report.objective);
            assert!(
                (ours - expected).abs() <= 1e-12 * (1.0 + expected.abs()),
                "{alpha}: {ours} but {expected}"
            );
            for (a, b) in fit.model.coefficients.iter().zip(&separate.model.coefficients) {
                assert!((a - b).abs() < 1e-7, "{alpha}: {a} but {b}");
            }
            seen.push(alpha);
            rounds += fit.report.rounds;
            alone += separate.report.rounds;
            Ok(())
        };
        params.path(data.view(), &data.y, data.rows(), &alphas, &Context::default(), each).unwrap();
        assert_eq!(seen, alphas);
        assert!(rounds < alone, "{distribution:?}: {rounds} rounds, {alone} alone");
    }
}
