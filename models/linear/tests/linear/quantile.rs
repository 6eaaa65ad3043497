//! Quantile regression: dual numbers by loops, all planes through two points, scikit-learn's numbers.

use crate::support::{load, normal};
use proptest::prelude::*;
use tilewise_base::{Context, Fit};
use tilewise_kernels::{MatRef, parallel};
use tilewise_linear::{LinearModel, Quantile, Rows};

/// Rounding of sums over a few hundred rows, of targets about 1.
const ROUNDING: f64 = 1e-11;

struct Data {
    x: Vec<f64>,
    cols: usize,
    y: Vec<f64>,
    weights: Vec<f64>,
    offset: Vec<f64>,
}

impl Data {
    fn new(rows: usize, cols: usize, seed: u64, size: f64, spread: bool) -> Self {
        let mut x: Vec<f64> = normal(rows, cols, 5 * seed).iter().map(|x| x + 0.5).collect();
        let noise = normal(rows, 1, 5 * seed + 1);
        let y = (0..rows)
            .map(|i| size * (2.0 * x[i * cols] - x[i * cols + cols - 1] + noise[i].powi(3) + 1.0))
            .collect();
        if spread {
            x.chunks_mut(cols).for_each(|row| {
                row.iter_mut().enumerate().for_each(|(j, x)| *x *= 10f64.powi(j as i32 % 13 - 6));
            });
        }
        let weights = normal(rows, 1, 5 * seed + 2).iter().map(|w| w.abs() + 0.01).collect();
        let offset = normal(rows, 1, 5 * seed + 3).iter().map(|o| size * o).collect();
        Self { x, cols, y, weights, offset }
    }
    fn rows(&self, weighted: bool) -> Rows<'_> {
        if weighted {
            Rows { weights: Some(&self.weights), offset: Some(&self.offset) }
        } else {
            Rows::default()
        }
    }
    fn fit(&self, params: &Quantile, weighted: bool) -> Fit<LinearModel> {
        let x = MatRef::new(&self.x, self.y.len(), self.cols).unwrap();
        params.fit(x, &self.y, self.rows(weighted), &Context::default()).unwrap()
    }
    fn shares(&self, weighted: bool) -> Vec<f64> {
        let n = self.y.len();
        let total = if weighted { self.weights.iter().sum() } else { n as f64 };
        (0..n).map(|i| if weighted { self.weights[i] } else { 1.0 } / total).collect()
    }
    fn residuals(&self, model: &LinearModel, weighted: bool) -> Vec<f64> {
        let of = |(i, row): (usize, &[f64])| {
            let offset = if weighted { self.offset[i] } else { 0.0 };
            let fit: f64 = row.iter().zip(&model.coefficients).map(|(x, b)| x * b).sum();
            self.y[i] - offset - fit - model.intercepts[0]
        };
        self.x.chunks(self.cols).enumerate().map(of).collect()
    }
    fn objective(&self, params: &Quantile, model: &LinearModel, weighted: bool) -> f64 {
        let tau = params.quantile;
        let losses = self.residuals(model, weighted).into_iter().zip(self.shares(weighted));
        losses.map(|(r, share)| share * if r > 0.0 { tau * r } else { (tau - 1.0) * r }).sum::<f64>()
            + params.alpha * model.coefficients.iter().map(|b| b.abs()).sum::<f64>()
    }
}

/// The solution of a few equations by Gaussian elimination.
fn solve(mut a: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let n = a.len();
    for k in 0..n {
        let pivot = (k..n).max_by(|&i, &j| a[i][k].abs().total_cmp(&a[j][k].abs()))?;
        a.swap(k, pivot);
        if a[k][k].abs() < 1e-12 {
            return None;
        }
        for i in 0..n {
            if i != k {
                let factor = a[i][k] / a[k][k];
                (k..=n).for_each(|j| a[i][j] -= factor * a[k][j]);
            }
        }
    }
    Some((0..n).map(|k| a[k][n] / a[k][k]).collect())
}

/// What the dual programme says no plane is below, its numbers being found by loops: at their bounds where rows are off the plane, else
/// whatever makes them orthogonal to columns. `None` where so many rows are not met.
fn bound(data: &Data, params: &Quantile, model: &LinearModel, weighted: bool) -> Option<f64> {
    let (tau, p) = (params.quantile, data.cols);
    let (residuals, shares) = (data.residuals(model, weighted), data.shares(weighted));
    let size = residuals.iter().fold(0.0f64, |m, r| m.max(r.abs()));
    let met: Vec<usize> = (0..residuals.len()).filter(|&i| residuals[i].abs() < 1e-9 * size).collect();
    // Columns whose coefficient is zero have no equation where there is a penalty, but an inequality.
    let tight: Vec<usize> = (0..p).filter(|&j| params.alpha == 0.0 || model.coefficients[j] != 0.0).collect();
    let cell = |i: usize, j: usize| if j == p { 1.0 } else { data.x[i * p + j] };
    let columns: Vec<usize> = tight.iter().copied().chain(params.intercept.then_some(p)).collect();
    if met.len() != columns.len() {
        return None;
    }
    let mut d: Vec<f64> = residuals
        .iter()
        .zip(&shares)
        .map(|(r, s)| if *r > 0.0 { tau * s } else { (tau - 1.0) * s })
        .collect();
    met.iter().for_each(|&i| d[i] = 0.0);
    // Columns of any size: each equation is divided by the largest cell.
    let system = columns.iter().map(|&j| {
        let largest = met.iter().fold(0.0f64, |m, &i| m.max(cell(i, j).abs()));
        let wanted = if j == p { 0.0 } else { params.alpha * model.coefficients[j].signum() };
        let known: f64 = (0..d.len()).map(|i| cell(i, j) * d[i]).sum();
        met.iter().map(|&i| cell(i, j) / largest).chain([(wanted - known) / largest]).collect()
    });
    for (&i, value) in met.iter().zip(solve(system.collect())?) {
        assert!(
            value > (tau - 1.0) * shares[i] - 1e-9 && value < tau * shares[i] + 1e-9,
            "{value} of row {i}"
        );
        d[i] = value;
    }
    for j in 0..p {
        let pull: f64 = (0..d.len()).map(|i| cell(i, j) * d[i]).sum();
        let largest = data.x.iter().skip(j).step_by(p).fold(0.0f64, |m, x| m.max(x.abs()));
        assert!(pull.abs() <= params.alpha + 1e-9 * largest, "column {j}: {pull:e}");
    }
    let offset = |i: usize| if weighted { data.offset[i] } else { 0.0 };
    Some((0..d.len()).map(|i| d[i] * (data.y[i] - offset(i))).sum())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// The objective told is that of loops; rows met give dual numbers that prove it, and the gap told is no smaller than the one proved.
    #[test]
    fn the_minimum_is_found_and_proved(
        rows in 20usize..150, cols in 1usize..10, seed in 0u64..500, quantile in 0.03f64..0.97,
        alpha in prop_oneof![Just(0.0), 0.001f64..0.2], intercept: bool, weighted: bool, spread: bool,
        size in prop_oneof![Just(1.0), Just(1e-5), Just(1e6)],
    ) {
        let data = Data::new(rows, cols, seed, size, spread);
        let params = Quantile { quantile, alpha, intercept, ..Default::default() };
        let fit = data.fit(&params, weighted);
        prop_assert!(fit.report.converged && fit.report.warnings.is_empty(), "{:?}", fit.report);
        let objective = data.objective(&params, &fit.model, weighted);
        let told = fit.report.objective;
        prop_assert!((told - objective).abs() < ROUNDING * (size + objective), "{:?} {objective}", fit.report);
        let proved = bound(&data, &params, &fit.model, weighted);
        // Data without ties have one optimum, at which as many rows are met as there are coefficients that are not zero.
        prop_assert!(proved.is_some(), "{:?} {:?}", fit.report, fit.model);
        let gap = objective - proved.unwrap();
        prop_assert!(gap < 1e-8 * (size + objective), "{gap:e} {:?}", fit.report);
        prop_assert!(gap < fit.report.optimality + 1e-9 * (size + objective), "{gap:e} {:?}", fit.report);
    }

    /// One feature or two: no plane through so many points as it has coefficients, or with zeros, is better.
    #[test]
    fn no_vertex_is_better(
        rows in 3usize..16, cols in 1usize..3, seed in 0u64..500, quantile in 0.05f64..0.95,
        alpha in prop_oneof![Just(0.0), 0.01f64..0.5], weighted: bool, ties: bool,
    ) {
        let mut data = Data::new(rows, cols, seed, 1.0, false);
        if ties {
            data.x.iter_mut().chain(&mut data.y).chain(&mut data.offset).for_each(|x| *x = x.round());
        }
        let params = Quantile { quantile, alpha, ..Default::default() };
        let fit = data.fit(&params, weighted);
        prop_assert!(fit.report.converged, "{:?}", fit.report);
        // Lines: rows, and coefficients that are zero.
        let offset = |i: usize| if weighted { data.offset[i] } else { 0.0 };
        let mut lines: Vec<Vec<f64>> = (0..rows)
            .map(|i| data.x[i * cols..(i + 1) * cols].iter().copied().chain([1.0, data.y[i] - offset(i)]).collect())
            .collect();
        lines.extend((0..cols).map(|j| (0..cols + 2).map(|k| f64::from(u8::from(k == j))).collect()));
        let mut best = f64::INFINITY;
        let count = lines.len();
        for code in 0..count.pow(cols as u32 + 1) {
            let picked: Vec<usize> = (0..=cols).map(|k| code / count.pow(k as u32) % count).collect();
            if picked.windows(2).any(|w| w[0] >= w[1]) {
                continue;
            }
            if let Some(mut b) = solve(picked.iter().map(|&i| lines[i].clone()).collect()) {
                let intercepts = vec![b.pop().unwrap()];
                let model = LinearModel { coefficients: b, intercepts, link: fit.model.link };
                best = best.min(data.objective(&params, &model, weighted));
            }
        }
        let found = data.objective(&params, &fit.model, weighted);
        prop_assert!(found < best + 1e-7, "{found} {best} {:?}", fit.report);
        prop_assert!(found > best - 1e-10, "{found} {best} {:?}", fit.report);
        prop_assert!(found - best < fit.report.optimality + 1e-12, "{found} {best} {:?}", fit.report);
    }
}

#[test]
fn numbers_of_scikit_learn() {
    let all: serde_json::Value = serde_json::from_str(include_str!("../golden/quantile.json")).unwrap();
    let Some(table) = load("diabetes") else { return };
    let table = table.standardised();
    let y = table.numbers();
    let triples: Vec<f64> = (0..y.len()).map(|i| 1.0 + (i % 3) as f64).collect();
    for (case, golden) in all.as_object().unwrap().iter().filter(|(case, _)| *case != "versions") {
        let number = |key: &str| golden[key].as_f64().unwrap();
        let params = Quantile {
            quantile: number("quantile"),
            alpha: number("alpha"),
            intercept: golden["intercept"].as_bool().unwrap(),
            ..Default::default()
        };
        let weights = golden["weighted"].as_bool().unwrap().then_some(&triples[..]);
        let rows = Rows { weights, offset: None };
        let fit = params.fit(table.view(), &y, rows, &Context::default()).unwrap();
        assert!(fit.report.converged, "{case}: {:?}", fit.report);
        let objective = number("objective");
        assert!(
            (fit.report.objective - objective).abs() < 1e-9 * objective,
            "{case}: {:?} {objective}",
            fit.report
        );
        let numbers = |key: &str| {
            golden[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<_>>()
        };
        for (ours, theirs) in fit.model.coefficients.iter().zip(numbers("coefficients")) {
            assert!((ours - theirs).abs() < 1e-7 * (1.0 + theirs.abs()), "{case}: {ours} {theirs}");
            assert_eq!(*ours == 0.0, theirs == 0.0, "{case}: {ours} {theirs}");
        }
        // Without slopes any number between two rows is a median of an even number of rows.
        let off = (fit.model.intercepts[0] - numbers("intercepts")[0]).abs();
        assert!(case == "heavy" || off < 1e-6, "{case}: {off}");
    }
}

#[test]
fn weights_are_repetitions_and_threads_change_nothing() {
    let data = Data::new(4000, 7, 3, 1.0, false);
    let view = MatRef::new(&data.x, 4000, 7).unwrap();
    for alpha in [0.0, 0.05] {
        let params = Quantile { quantile: 0.3, alpha, ..Default::default() };
        let run = |threads| parallel::with_threads(threads, || data.fit(&params, true));
        let one = run(1);
        assert!(one.report.converged && one.report.rounds < 40, "{:?}", one.report);
        for threads in [2, 5] {
            let many = run(threads);
            assert_eq!((&one.model, &one.report), (&many.model, &many.report));
        }
        let counts: Vec<f64> = (0..4000).map(|i| (i % 3) as f64).collect();
        let twice: Vec<usize> = (0..4000).flat_map(|i| std::iter::repeat_n(i, i % 3)).collect();
        let x: Vec<f64> = twice.iter().flat_map(|i| data.x[i * 7..(i + 1) * 7].to_vec()).collect();
        let y: Vec<f64> = twice.iter().map(|&i| data.y[i]).collect();
        let rows = Rows { weights: Some(&counts), offset: None };
        let weighted = params.fit(view, &data.y, rows, &Context::default()).unwrap();
        let repeated = MatRef::new(&x, y.len(), 7).unwrap();
        let repeated = params.fit(repeated, &y, Rows::default(), &Context::default()).unwrap();
        assert!((weighted.report.objective - repeated.report.objective).abs() < 1e-10);
        for (a, b) in weighted.model.coefficients.iter().zip(&repeated.model.coefficients) {
            assert!((a - b).abs() < 1e-6, "{alpha}: {a} {b}");
        }
        // Single precision of the same numbers.
        let single: Vec<f32> = data.x.iter().map(|&x| x as f32).collect();
        let double: Vec<f64> = single.iter().map(|&x| f64::from(x)).collect();
        let of_single =
            params.fit(MatRef::new(&single, 4000, 7).unwrap(), &data.y, rows, &Context::default());
        let of_double =
            params.fit(MatRef::new(&double, 4000, 7).unwrap(), &data.y, rows, &Context::default());
        let (of_single, of_double) = (of_single.unwrap(), of_double.unwrap());
        assert!((of_single.report.objective - of_double.report.objective).abs() < 1e-10);
    }
}

#[test]
fn what_has_many_answers_gets_one() {
    let context = Context::default();
    // A column twice, a constant one, more columns than rows, and a target that planes meet everywhere.
    let x: Vec<f64> = normal(60, 2, 9).chunks(2).flat_map(|r| [r[0], r[0], 3.0, r[1]]).collect();
    let y: Vec<f64> = normal(60, 1, 10).iter().zip(x.chunks(4)).map(|(e, row)| row[0] - row[3] + e).collect();
    let alone: Vec<f64> = x.chunks(4).flat_map(|row| [row[0], row[3]]).collect();
    let params = Quantile { quantile: 0.4, ..Default::default() };
    let fit = params.fit(MatRef::new(&x, 60, 4).unwrap(), &y, Rows::default(), &context).unwrap();
    let reference = params.fit(MatRef::new(&alone, 60, 2).unwrap(), &y, Rows::default(), &context).unwrap();
    assert!(fit.report.converged, "{:?}", fit.report);
    assert!((fit.report.objective - reference.report.objective).abs() < 1e-8, "{:?}", fit.report);
    let wide = normal(8, 20, 11);
    let wide = MatRef::new(&wide, 8, 20).unwrap();
    for alpha in [0.0, 0.1] {
        let fit = Quantile { alpha, ..params.clone() }.fit(wide, &y[..8], Rows::default(), &context).unwrap();
        assert!(fit.report.converged, "{alpha}: {:?}", fit.report);
        assert!(alpha > 0.0 || fit.report.objective < 1e-7, "{:?}", fit.report);
    }
    let exact: Vec<f64> = x.chunks(4).map(|row| 2.0 * row[0] + row[3] - 4.0).collect();
    let fit = params.fit(MatRef::new(&alone, 60, 2).unwrap(), &exact, Rows::default(), &context).unwrap();
    assert!(fit.report.converged && fit.report.objective < 1e-7, "{:?}", fit.report);
    let fit = params.fit(MatRef::new(&alone, 60, 2).unwrap(), &[5.0; 60], Rows::default(), &context).unwrap();
    assert_eq!((fit.model.coefficients, fit.model.intercepts), (vec![0.0; 2], vec![5.0]));
    // A penalty beyond which nothing is left, and the quantile itself then.
    let heavy = Quantile { alpha: 10.0, ..params };
    let fit = heavy.fit(MatRef::new(&alone, 60, 2).unwrap(), &y, Rows::default(), &context).unwrap();
    let mut sorted = y.clone();
    sorted.sort_by(f64::total_cmp);
    assert_eq!(fit.model.coefficients, [0.0; 2]);
    // 24 of 60 rows below: anything between the 24th and the 25th.
    let intercept = fit.model.intercepts[0];
    assert!(
        intercept > sorted[23] - 1e-6 && intercept < sorted[24] + 1e-6,
        "{intercept} {:?}",
        &sorted[23..25]
    );
}

#[test]
fn what_is_not_accepted_is_named() {
    let x = MatRef::new(&[1.0, 2.0], 2, 1).unwrap();
    let error = |params: Quantile, y: &[f64], weights: Option<&[f64]>| {
        params.fit(x, y, Rows { weights, offset: None }, &Context::default()).unwrap_err().to_string()
    };
    let of = |quantile| Quantile { quantile, ..Default::default() };
    assert!(error(of(0.0), &[1.0, 2.0], None).contains("between 0 and 1"));
    assert!(error(of(f64::NAN), &[1.0, 2.0], None).contains("quantile"));
    assert!(error(Quantile { alpha: -1.0, ..of(0.5) }, &[1.0, 2.0], None).contains("alpha"));
    assert!(error(of(0.5), &[1.0, f64::NAN], None).contains("row 1: the target"));
    assert!(error(of(0.5), &[1.0, 2.0], Some(&[0.0, 0.0])).contains("all weights are zero"));
    let wide = vec![1.0; 2 * 8193];
    let wide = MatRef::new(&wide, 2, 8193).unwrap();
    let refused =
        of(0.5).fit(wide, &[1.0, 2.0], Rows::default(), &Context::default()).unwrap_err().to_string();
    assert!(refused.contains("8193 features"), "{refused}");
    let x = MatRef::new(&[1.0, f64::INFINITY], 2, 1).unwrap();
    let refused = of(0.5).fit(x, &[1.0, 2.0], Rows::default(), &Context::default()).unwrap_err().to_string();
    assert!(refused.contains("row 1, feature 0"), "{refused}");
}

#[test]
fn too_few_rounds_are_told() {
    let data = Data::new(300, 5, 1, 1.0, false);
    let fit = data.fit(&Quantile { max_rounds: 2, ..Default::default() }, false);
    assert!(
        !fit.report.converged && fit.report.warnings[0].contains("limit of 2 rounds"),
        "{:?}",
        fit.report
    );
    let done = data.fit(&Quantile::default(), false);
    assert!(
        fit.report.objective - done.report.objective <= fit.report.optimality,
        "{:?} {:?}",
        fit.report,
        done.report
    );
}
