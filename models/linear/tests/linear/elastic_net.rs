//! Lasso and elastic net against plain coordinate descent, gaps recomputed by loops, and numbers of scikit-learn.

use crate::support::{assert_golden, golden, load, normal};
use proptest::prelude::*;
use tilewise_base::{Context, Division, Fit, Fold};
use tilewise_kernels::{MatRef, parallel};
use tilewise_linear::{Alphas, ElasticNet, ElasticNetSolver, LinearModel, Rows};

const SOLVERS: [ElasticNetSolver; 3] =
    [ElasticNetSolver::Auto, ElasticNetSolver::Gram, ElasticNetSolver::WorkingSet];

/// Rows of plain numbers.
struct Data {
    x: Vec<f64>,
    cols: usize,
    y: Vec<f64>,
    weights: Vec<f64>,
    offset: Vec<f64>,
}

impl Data {
    /// Three columns tell of the target; the others are noise.
    fn new(rows: usize, cols: usize, seed: u64) -> Self {
        let x: Vec<f64> = normal(rows, cols, seed).iter().map(|x| x + 2.0).collect();
        let (noise, offset) = (normal(rows, 1, seed + 1), normal(rows, 1, seed + 2));
        let weights = normal(rows, 1, seed + 3).iter().map(|w| w.abs()).collect();
        let signal = |row: &[f64]| 3.0 * row[0] - 2.0 * row[cols / 2] + row[cols - 1];
        let y = x.chunks(cols).zip(&noise).zip(&offset).map(|((r, e), o)| signal(r) + e + o + 5.0).collect();
        Self { x, cols, y, weights, offset }
    }
    fn view(&self) -> MatRef<'_, f64> {
        MatRef::new(&self.x, self.y.len(), self.cols).unwrap()
    }
    fn rows(&self) -> Rows<'_> {
        Rows { weights: Some(&self.weights), offset: Some(&self.offset) }
    }
    fn fit(&self, params: &ElasticNet) -> Fit<LinearModel> {
        params.fit(self.view(), &self.y, self.rows(), &Context::default()).unwrap()
    }

    /// Columns and target, weighted, centred if there is an intercept, columns with deviation 1 if they are standardised; and those
    /// deviations.
    fn prepared(&self, params: &ElasticNet) -> (Vec<Vec<f64>>, Vec<f64>, Vec<f64>) {
        let total: f64 = self.weights.iter().sum();
        let prepare = |values: Vec<f64>| -> Vec<f64> {
            let mean: f64 = values.iter().zip(&self.weights).map(|(v, w)| v * w).sum::<f64>() / total;
            let mean = if params.intercept { mean } else { 0.0 };
            values.iter().zip(&self.weights).map(|(v, w)| (w / total).sqrt() * (v - mean)).collect()
        };
        let target = prepare(self.y.iter().zip(&self.offset).map(|(y, o)| y - o).collect());
        let mut columns: Vec<Vec<f64>> = (0..self.cols)
            .map(|j| prepare(self.x.iter().skip(j).step_by(self.cols).copied().collect()))
            .collect();
        let mut scale = vec![1.0; self.cols];
        for (column, scale) in columns.iter_mut().zip(&mut scale) {
            let deviation = column.iter().map(|x| x * x).sum::<f64>().sqrt();
            if params.standardise && deviation > 0.0 {
                *scale = deviation;
                column.iter_mut().for_each(|x| *x /= deviation);
            }
        }
        (columns, target, scale)
    }

    /// Objective and duality gap of a model, by loops.
    fn certificate(&self, params: &ElasticNet, model: &LinearModel) -> (f64, f64) {
        let (columns, target, scale) = self.prepared(params);
        let b: Vec<f64> = model.coefficients.iter().zip(&scale).map(|(b, s)| b * s).collect();
        let mut r = target.clone();
        for (column, b) in columns.iter().zip(&b) {
            r.iter_mut().zip(column).for_each(|(r, x)| *r -= b * x);
        }
        let (l1, l2) = (params.alpha * params.l1_ratio, params.alpha * (1.0 - params.l1_ratio));
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (rr, ry, bb) = (product(&r, &r), product(&r, &target), product(&b, &b));
        let sum: f64 = b.iter().map(|b| b.abs()).sum();
        let primal = 0.5 * rr + l1 * sum + 0.5 * l2 * bb;
        let pulls: Vec<f64> = columns.iter().map(|column| product(column, &r)).collect();
        // The lasso with sqrt(l2) I below, at the best multiple of its residual that is a dual point.
        let largest = pulls.iter().zip(&b).map(|(g, b)| (g - l2 * b).abs()).fold(0.0, f64::max);
        let longest = if largest > l1 { l1 / largest } else { 1.0 };
        let s = (ry / (rr + l2 * bb)).clamp(-longest, longest);
        let mut dual = s * ry - 0.5 * s * s * (rr + l2 * bb);
        if l2 > 0.0 {
            let over: f64 = pulls.iter().map(|g| (g.abs() - l1).max(0.0).powi(2)).sum();
            dual = f64::max(dual, ry - 0.5 * rr - 0.5 * over / l2);
        }
        (primal, primal - dual)
    }

    /// Plain cyclic coordinate descent, until nothing moves.
    fn naive(&self, params: &ElasticNet) -> Vec<f64> {
        let (columns, target, scale) = self.prepared(params);
        let (l1, l2) = (params.alpha * params.l1_ratio, params.alpha * (1.0 - params.l1_ratio));
        let (mut b, mut r) = (vec![0.0; self.cols], target);
        for _ in 0..100_000 {
            let mut moved = 0.0f64;
            for (j, column) in columns.iter().enumerate() {
                let square: f64 = column.iter().map(|x| x * x).sum();
                if square < 1e-25 {
                    continue;
                }
                let pull = column.iter().zip(&r).map(|(x, r)| x * r).sum::<f64>() + square * b[j];
                let new = pull.signum() * (pull.abs() - l1).max(0.0) / (square + l2);
                r.iter_mut().zip(column).for_each(|(r, x)| *r -= (new - b[j]) * x);
                moved = moved.max((new - b[j]).abs() * square.sqrt());
                b[j] = new;
            }
            if moved < 1e-14 {
                break;
            }
        }
        b.iter().zip(&scale).map(|(b, s)| b / s).collect()
    }
}

/// Of the objective at zero: rounding of sums over some hundred rows.
const ROUNDING: f64 = 1e-13;

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any shape, weights, offsets, scales of columns: the gap told is the gap recomputed, and small; the answer is that of plain
    /// coordinate descent.
    #[test]
    fn every_solver_finds_the_minimum_and_proves_it(
        rows in 5usize..60, cols in 1usize..90, seed in 0u64..1000, share in 0.002f64..0.7, l1_ratio in 0.05f64..=1.0,
        lasso: bool, intercept: bool, standardise: bool, spread: bool,
    ) {
        let mut data = Data::new(rows, cols, 7 * seed);
        if spread && standardise {
            data.x.chunks_mut(cols).for_each(|row| {
                row.iter_mut().enumerate().for_each(|(j, x)| *x *= 10f64.powi(j as i32 % 13 - 6));
            });
        }
        let base = ElasticNet { l1_ratio: if lasso { 1.0 } else { l1_ratio }, intercept, standardise, tolerance: 1e-10, ..Default::default() };
        let (columns, target, _) = data.prepared(&base);
        let pull = |c: &Vec<f64>| c.iter().zip(&target).map(|(x, y)| x * y).sum::<f64>().abs();
        let largest = columns.iter().map(pull).fold(0.0, f64::max);
        prop_assume!(largest > 1e-3);
        let null = 0.5 * target.iter().map(|y| y * y).sum::<f64>();
        let params = ElasticNet { alpha: share * largest / base.l1_ratio, ..base };
        let plain = data.naive(&params);
        let plain_model = LinearModel { coefficients: plain, intercepts: vec![0.0], link: tilewise_linear::Link::Identity };
        let (least, plain_gap) = data.certificate(&params, &plain_model);
        for solver in SOLVERS {
            let fit = data.fit(&ElasticNet { solver, ..params.clone() });
            let (objective, gap) = data.certificate(&params, &fit.model);
            let report = &fit.report;
            prop_assert!(report.converged && report.warnings.is_empty(), "{solver:?}: {report:?}");
            prop_assert!((report.objective - objective).abs() <= ROUNDING * null, "{solver:?}: {report:?}, {objective}");
            prop_assert!((report.optimality - gap).abs() <= ROUNDING * null, "{solver:?}: {report:?}, gap {gap:e}");
            prop_assert!(gap <= 1.001e-10 * null);
            prop_assert!((objective - least).abs() <= gap.max(plain_gap) + ROUNDING * null, "{objective} and {least}");
        }
    }
}

#[test]
fn coefficients_are_those_of_plain_descent() {
    for (rows, cols, l1_ratio) in
        [(300, 12, 1.0), (300, 12, 0.3), (40, 12, 1.0), (25, 60, 0.5), (25, 60, 0.02)]
    {
        let data = Data::new(rows, cols, 11);
        let params = ElasticNet { alpha: 0.1, l1_ratio, tolerance: 1e-13, ..Default::default() };
        let plain = data.naive(&params);
        for solver in SOLVERS {
            let fit = data.fit(&ElasticNet { solver, ..params.clone() });
            let worst =
                fit.model.coefficients.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            // A gap of 1e-13 and a curvature of 1e-2 at least.
            assert!(worst < 1e-5, "{rows} x {cols}, {l1_ratio}, {solver:?}: off by {worst:e}");
        }
    }
}

#[test]
fn numbers_of_scikit_learn() {
    for (case, data, head, alpha, l1_ratio) in [
        ("lasso_diabetes", "diabetes", 0, 0.5, 1.0),
        ("elastic_net_diabetes", "diabetes", 0, 0.1, 0.5),
        ("lasso_digits", "digits", 0, 0.01, 1.0),
        ("lasso_wide", "digits", 40, 0.02, 1.0),
        ("elastic_net_wide", "digits", 40, 0.05, 0.3),
    ] {
        let Some(mut table) = load(data) else { return };
        if head > 0 {
            table = table.head(head);
        }
        for solver in SOLVERS {
            let params = ElasticNet { alpha, l1_ratio, solver, tolerance: 1e-12, ..Default::default() };
            let fit =
                params.fit(table.view(), &table.numbers(), Rows::default(), &Context::default()).unwrap();
            assert!(fit.report.converged, "{case} {solver:?}: {:?}", fit.report);
            let theirs = golden(case)["objective"].as_f64().unwrap();
            assert!(
                (fit.report.objective / theirs - 1.0).abs() < 1e-9,
                "{case} {solver:?}: {:?}",
                fit.report
            );
            assert_golden(case, &fit.model, 1e-4);
        }
    }
}

#[test]
fn a_path_begins_at_zero_and_is_made_of_fits() {
    for (rows, cols) in [(200, 10), (20, 40)] {
        let data = Data::new(rows, cols, 3);
        let params = ElasticNet { l1_ratio: 0.8, tolerance: 1e-12, ..Default::default() };
        let alphas = Alphas::Falling { count: 12, ratio: 0.01 };
        let path = params.path(data.view(), &data.y, data.rows(), &alphas, &Context::default()).unwrap();
        assert_eq!(path.len(), 12);
        assert!((path[11].alpha / path[0].alpha / 0.01 - 1.0).abs() < 1e-12);
        assert!(path[0].model.coefficients.iter().all(|b| b.abs() < 1e-12));
        // Just below the first something enters.
        let below = ElasticNet { alpha: 0.99 * path[0].alpha, ..params.clone() };
        assert!(data.fit(&below).model.coefficients.iter().any(|b| *b != 0.0));
        for step in &path {
            let alone = data.fit(&ElasticNet { alpha: step.alpha, ..params.clone() });
            assert!(step.report.converged && step.report.warnings.is_empty(), "{:?}", step.report);
            assert!((step.report.objective / alone.report.objective - 1.0).abs() < 1e-9);
        }
        let given = Alphas::Given(vec![0.5, 2.0, 0.5]);
        let path = params.path(data.view(), &data.y, data.rows(), &given, &Context::default()).unwrap();
        assert_eq!(path.iter().map(|s| s.alpha).collect::<Vec<_>>(), [2.0, 0.5]);
    }
}

/// Errors of folds by fits on copies of their rows.
fn brute_force(data: &Data, params: &ElasticNet, alpha: f64, folds: &[Fold]) -> f64 {
    let (mut square, mut weight) = (0.0, 0.0);
    for fold in folds {
        let of = |values: &[f64], rows: &[usize]| rows.iter().map(|&i| values[i]).collect::<Vec<f64>>();
        let part = Data {
            x: fold.train.iter().flat_map(|&i| data.x[i * data.cols..(i + 1) * data.cols].to_vec()).collect(),
            cols: data.cols,
            y: of(&data.y, &fold.train),
            weights: of(&data.weights, &fold.train),
            offset: of(&data.offset, &fold.train),
        };
        let model = part.fit(&ElasticNet { alpha, ..params.clone() }).model;
        for &i in &fold.test {
            let mut out = [0.0];
            model.predict_row(&data.x[i * data.cols..(i + 1) * data.cols], data.offset[i], &mut out).unwrap();
            square += data.weights[i] * (out[0] - data.y[i]).powi(2);
            weight += data.weights[i];
        }
    }
    square / weight
}

#[test]
fn cross_validation_is_what_fits_on_the_folds_tell() {
    for (rows, cols, division) in [
        (120, 8, Division::Random),
        (30, 50, Division::Random),
        (90, 6, Division::Time((0..90).map(f64::from).collect())),
    ] {
        let data = Data::new(rows, cols, 21);
        let folds = division.folds(rows, 4, 5).unwrap();
        let params = ElasticNet { tolerance: 1e-12, ..Default::default() };
        let alphas = Alphas::Falling { count: 8, ratio: 0.02 };
        let run = || {
            params
                .cross_validate(data.view(), &data.y, data.rows(), &alphas, &folds, &Context::default())
                .unwrap()
        };
        let choice = parallel::with_threads(1, run);
        assert_eq!(choice, parallel::with_threads(3, run), "the same bits on three threads");
        for (alpha, error) in choice.alphas.iter().zip(&choice.errors) {
            let expected = brute_force(&data, &params, *alpha, &folds);
            assert!(
                (error / expected - 1.0).abs() < 1e-6,
                "{rows} x {cols}, alpha {alpha}: {error} and {expected}"
            );
        }
        assert!(choice.errors.iter().all(|e| *e >= choice.errors[choice.best]));
        assert!(choice.one_standard_error <= choice.best);
    }
}

#[test]
fn the_choice_of_scikit_learn() {
    let Some(table) = load("diabetes") else { return };
    let golden = golden("lasso_cv_diabetes");
    let numbers = |key: &str| -> Vec<f64> {
        golden[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    // Its folds are consecutive rows, the first ones larger by one.
    let n = table.target.len();
    let mut folds = Vec::new();
    let mut from = 0;
    for k in 0..5 {
        let to = from + n / 5 + usize::from(k < n % 5);
        folds.push(Fold { test: (from..to).collect(), train: (0..from).chain(to..n).collect() });
        from = to;
    }
    let params = ElasticNet { tolerance: 1e-11, ..Default::default() };
    let choice = params
        .cross_validate(
            table.view(),
            &table.numbers(),
            Rows::default(),
            &Alphas::Falling { count: 30, ratio: 1e-3 },
            &folds,
            &Context::default(),
        )
        .unwrap();
    for (ours, theirs) in choice.alphas.iter().zip(numbers("alphas")) {
        assert!((ours / theirs - 1.0).abs() < 1e-9);
    }
    // They take the mean over folds, we the one over rows: folds of 88 and 89 rows.
    for (ours, theirs) in choice.errors.iter().zip(numbers("errors")) {
        assert!((ours / theirs - 1.0).abs() < 2e-3, "{ours} and {theirs}");
    }
    assert!((choice.alphas[choice.best] / golden["alpha"].as_f64().unwrap() - 1.0).abs() < 1e-9);
}

#[test]
fn same_bits_at_any_thread_count_and_layout() {
    for (rows, cols, solver) in [
        (6000, 40, ElasticNetSolver::Gram),
        (6000, 40, ElasticNetSolver::WorkingSet),
        (150, 700, ElasticNetSolver::Auto),
    ] {
        let data = Data::new(rows, cols, 4);
        let params = ElasticNet { alpha: 0.05, solver, ..Default::default() };
        let fit = |threads| parallel::with_threads(threads, || data.fit(&params));
        let one = fit(1);
        for threads in [2, 3, 7] {
            let many = fit(threads);
            assert_eq!(one.model, many.model, "{threads} threads");
            assert_eq!(one.report, many.report);
        }
        let mut columns = vec![0.0; data.x.len()];
        data.x.chunks(cols).enumerate().for_each(|(i, row)| {
            row.iter().enumerate().for_each(|(j, x)| columns[j * rows + i] = *x);
        });
        let view = MatRef::new(&columns, cols, rows).unwrap().transpose();
        let other = params.fit(view, &data.y, data.rows(), &Context::default()).unwrap();
        assert_eq!(one.model, other.model, "by columns");
        let single: Vec<f32> = data.x.iter().map(|x| *x as f32).collect();
        let rounded: Vec<f64> = single.iter().map(|x| f64::from(*x)).collect();
        let of = |x: &[f64]| {
            params
                .fit(MatRef::new(x, rows, cols).unwrap(), &data.y, data.rows(), &Context::default())
                .unwrap()
        };
        let of_single = params
            .fit(MatRef::new(&single, rows, cols).unwrap(), &data.y, data.rows(), &Context::default())
            .unwrap();
        assert_eq!(of(&rounded).model, of_single.model, "f32 is widened");
    }
}

#[test]
fn weights_are_repetitions() {
    let mut data = Data::new(60, 5, 8);
    data.weights = (0..60).map(|i| f64::from(i % 3)).collect();
    let mut long = Data { x: vec![], cols: 5, y: vec![], weights: vec![], offset: vec![] };
    for i in (0..60).flat_map(|i| std::iter::repeat_n(i, i % 3)) {
        long.x.extend(&data.x[i * 5..(i + 1) * 5]);
        long.y.push(data.y[i]);
        long.offset.push(data.offset[i]);
        long.weights.push(1.0);
    }
    let params = ElasticNet { alpha: 0.2, tolerance: 1e-13, ..Default::default() };
    let (a, b) = (data.fit(&params), long.fit(&params));
    for (a, b) in a.model.coefficients.iter().zip(&b.model.coefficients) {
        assert!((a - b).abs() < 1e-7, "{a} and {b}");
    }
}

#[test]
fn constant_and_equal_columns_are_no_trouble() {
    let mut data = Data::new(80, 6, 9);
    data.x.chunks_mut(6).for_each(|row| (row[1], row[4]) = (1e9, row[0]));
    for solver in SOLVERS {
        for standardise in [false, true] {
            let params =
                ElasticNet { alpha: 0.1, solver, standardise, tolerance: 1e-12, ..Default::default() };
            let fit = data.fit(&params);
            assert!(fit.report.converged, "{solver:?}: {:?}", fit.report);
            assert_eq!(fit.model.coefficients[1], 0.0);
            let (_, gap) = data.certificate(&params, &fit.model);
            assert!(gap < 1e-9, "{gap:e}");
        }
    }
    // A target that does not vary.
    data.y = data.offset.iter().map(|o| o + 3.0).collect();
    let fit = data.fit(&ElasticNet::default());
    assert!(fit.report.converged && fit.model.coefficients.iter().all(|b| *b == 0.0), "{:?}", fit.report);
    assert!((fit.model.intercepts[0] - 3.0).abs() < 1e-12);
}

#[test]
fn what_did_not_converge_says_so() {
    let data = Data::new(50, 90, 10);
    let params = ElasticNet { alpha: 1e-3, max_rounds: 1, ..Default::default() };
    let report = data.fit(&params).report;
    assert!(!report.converged && report.warnings[0].contains("limit of 1 rounds"), "{report:?}");
    // Nothing can be exact beyond rounding.
    let report = data.fit(&ElasticNet { alpha: 1e-3, tolerance: 0.0, ..params }).report;
    assert!(!report.converged && report.warnings.len() == 1, "{report:?}");
    let report = data.fit(&ElasticNet { alpha: 1e-3, tolerance: 0.0, ..Default::default() }).report;
    assert!(
        !report.converged && report.warnings[0].contains("rounding") && report.optimality < 1e-12,
        "{report:?}"
    );
}

#[test]
fn what_cannot_be_fitted_is_named() {
    let mut data = Data::new(10, 3, 12);
    let refused = |params: &ElasticNet, data: &Data, words: &[&str]| {
        let message =
            params.fit(data.view(), &data.y, data.rows(), &Context::default()).unwrap_err().to_string();
        assert!(words.iter().all(|w| message.contains(w)), "{message}");
    };
    for alpha in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        refused(&ElasticNet { alpha, ..Default::default() }, &data, &["alpha", "above 0"]);
    }
    refused(&ElasticNet { l1_ratio: 1.5, ..Default::default() }, &data, &["l1_ratio", "from 0 to 1"]);
    for solver in SOLVERS {
        let params = ElasticNet { solver, ..Default::default() };
        data.x[7] = f64::NAN;
        refused(&params, &data, &["row 2", "feature 1", "NaN"]);
        data.x[7] = 1.0;
        data.y[4] = f64::INFINITY;
        refused(&params, &data, &["row 4", "targets are finite"]);
        data.y[4] = 1.0;
        let weights = std::mem::replace(&mut data.weights, vec![0.0; 10]);
        refused(&params, &data, &["all weights are zero"]);
        data.weights = weights;
    }
    let ridge = ElasticNet { l1_ratio: 0.0, ..Default::default() };
    let path = ridge.path(data.view(), &data.y, data.rows(), &Alphas::default(), &Context::default());
    assert!(path.unwrap_err().to_string().contains("l1_ratio above 0"));
}
