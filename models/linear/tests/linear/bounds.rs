//! Least squares with coefficients between bounds: what a minimum asks, recomputed by loops; a naive twin; scikit-learn's numbers.

use crate::support::{dependent, load, normal};
use proptest::prelude::*;
use tilewise_base::rounds::run_through_bytes;
use tilewise_base::{Context, Fit, FitReport};
use tilewise_kernels::{MatRef, parallel};
use tilewise_linear::{Chunk, ColumnBounds, LeastSquares, LinearModel, Rows};

/// Rows of a problem, in the caller's units.
struct Data {
    x: Vec<f64>,
    cols: usize,
    y: Vec<f64>,
    weights: Vec<f64>,
    offset: Vec<f64>,
}

impl Data {
    /// Column 1 repeats column 0, the third is constant, scales run over twelve powers of ten; a quarter of the rows has no weight.
    fn new(rows: usize, cols: usize, seed: u64, scaled: bool) -> Self {
        let scale = |j: usize| if scaled { 10f64.powi((j * 5 % 13) as i32 - 6) } else { 1.0 };
        let x = dependent(rows, cols, 3 * seed, scale);
        let noise = normal(rows, 1, 3 * seed + 1);
        let signal =
            |i: usize| (0..cols).map(|j| x[i * cols + j] / scale(j) * [1.0, -1.0, 0.2][j % 3]).sum::<f64>();
        let y = (0..rows).map(|i| signal(i) + 0.3 * noise[i] + 10.0).collect();
        let offset = normal(rows, 1, 3 * seed + 2);
        Self { y, weights: (0..rows).map(|i| (i % 4) as f64).collect(), offset, cols, x }
    }

    fn rows(&self) -> Rows<'_> {
        Rows { weights: Some(&self.weights), offset: Some(&self.offset) }
    }

    fn view(&self) -> MatRef<'_, f64> {
        MatRef::new(&self.x, self.y.len(), self.cols).unwrap()
    }

    fn fit(&self, params: &LeastSquares) -> Fit<LinearModel> {
        params.fit(self.view(), &self.y, self.rows(), &Context::default()).unwrap()
    }

    /// y - x b - a - offset.
    fn residual(&self, model: &LinearModel) -> Vec<f64> {
        let row =
            |i: usize| (0..self.cols).map(|j| self.x[i * self.cols + j] * model.coefficients[j]).sum::<f64>();
        (0..self.y.len()).map(|i| self.y[i] - row(i) - model.intercepts[0] - self.offset[i]).collect()
    }

    fn objective(&self, params: &LeastSquares, model: &LinearModel) -> f64 {
        let square: f64 = self.residual(model).iter().zip(&self.weights).map(|(r, w)| w * r * r).sum();
        square + params.l2 * model.coefficients.iter().map(|b| b * b).sum::<f64>()
    }
}

/// What a minimum asks of any coefficient still, in units of its column's length, and the lengths that it is to be measured by.
fn far(data: &Data, params: &LeastSquares, model: &LinearModel) -> (f64, f64) {
    let (r, w, n) = (data.residual(model), &data.weights, data.y.len());
    let total: f64 = w.iter().sum();
    let mean = |of: &dyn Fn(usize) -> f64| match params.intercept {
        true => (0..n).map(|i| w[i] * of(i)).sum::<f64>() / total,
        false => 0.0,
    };
    let y = |i: usize| data.y[i] - data.offset[i];
    let middle = mean(&y);
    let mut length = (0..n).map(|i| w[i] * (y(i) - middle).powi(2)).sum::<f64>().sqrt();
    let mut worst =
        if params.intercept { (0..n).map(|i| w[i] * r[i]).sum::<f64>().abs() / total.sqrt() } else { 0.0 };
    for (j, &b) in model.coefficients.iter().enumerate() {
        let own = params.columns.iter().find(|c| c.column == j);
        let lower = own.and_then(|c| c.lower).or(params.lower).unwrap_or(f64::NEG_INFINITY);
        let upper = own.and_then(|c| c.upper).or(params.upper).unwrap_or(f64::INFINITY);
        assert!((lower..=upper).contains(&b), "{b} is not within {lower} to {upper}");
        let x = |i: usize| data.x[i * data.cols + j];
        let m = mean(&x);
        let own = (0..n).map(|i| w[i] * (x(i) - m).powi(2)).sum::<f64>().sqrt();
        if own <= 1e-10 * m.abs() {
            assert_eq!(b, 0f64.clamp(lower, upper), "a constant column");
            continue;
        }
        let pull = (0..n).map(|i| w[i] * (x(i) - m) * r[i]).sum::<f64>() - params.l2 * b;
        let held = pull < 0.0 && b == lower || pull > 0.0 && b == upper;
        worst = worst.max(if held { 0.0 } else { pull.abs() / (own * own + params.l2).sqrt() });
        length = length.max(own * b.abs());
    }
    (worst, length)
}

/// The twin: each coefficient in turn to its minimum between the bounds, from residuals that are summed anew; then the intercept.
fn naive(data: &Data, params: &LeastSquares, sweeps: usize) -> LinearModel {
    let (lower, upper) = (params.lower.unwrap_or(f64::NEG_INFINITY), params.upper.unwrap_or(f64::INFINITY));
    let mut model = LinearModel {
        coefficients: vec![0f64.clamp(lower, upper); data.cols],
        intercepts: vec![0.0],
        link: tilewise_linear::Link::Identity,
    };
    let (w, total) = (&data.weights, data.weights.iter().sum::<f64>());
    for _ in 0..sweeps {
        for j in 0..data.cols {
            let r = data.residual(&model);
            let x = |i: usize| data.x[i * data.cols + j];
            let b = model.coefficients[j];
            let square: f64 = (0..r.len()).map(|i| w[i] * x(i) * x(i)).sum();
            let pull: f64 = (0..r.len()).map(|i| w[i] * x(i) * (r[i] + x(i) * b)).sum();
            model.coefficients[j] = (pull / (square + params.l2)).clamp(lower, upper);
            if params.intercept {
                let r = data.residual(&model);
                model.intercepts[0] += r.iter().zip(w).map(|(r, w)| w * r).sum::<f64>() / total;
            }
        }
    }
    model
}

const BOUNDS: [(Option<f64>, Option<f64>); 5] = [
    (Some(0.0), None),
    (None, Some(0.0)),
    (Some(-0.1), Some(0.4)),
    (Some(0.2), Some(0.2)),
    (Some(0.3), None),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_minimum_asks_holds(
        rows in 8usize..80, cols in 1usize..40, seed in 0u64..1000, l2 in prop_oneof![Just(0.0), 1e-3f64..10.0],
        (lower, upper) in proptest::sample::select(&BOUNDS[..]), intercept: bool, scaled: bool,
    ) {
        let data = Data::new(rows, cols, seed, scaled);
        let params = LeastSquares { l2, intercept, lower, upper, ..Default::default() };
        let fit = data.fit(&params);
        // Some columns are the same.
        let told = fit.report.warnings.iter().all(|warning| warning.contains("depend on each other"));
        prop_assert!(fit.report.converged && told, "{:?}", fit.report);
        let (worst, length) = far(&data, &params, &fit.model);
        prop_assert!(worst <= 1e-8 * length, "{worst:e} of {length:e}: {:?}", fit.report);
        let total: f64 = data.weights.iter().sum();
        let objective = data.objective(&params, &fit.model) / total;
        prop_assert!((objective - fit.report.objective).abs() <= 1e-9 * (objective + length * length / total));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each column with bounds of its own, or those of all, or none.
    #[test]
    fn columns_have_their_own_bounds(
        rows in 8usize..60, cols in 1usize..20, seed in 0u64..1000, l2 in prop_oneof![Just(0.0), 1e-3f64..10.0],
        (lower, upper) in proptest::sample::select(&BOUNDS[..]), intercept: bool, scaled: bool,
    ) {
        let data = Data::new(rows, cols, seed, scaled);
        let columns = (0..cols).filter(|j| j % 3 != 1).map(|column| ColumnBounds {
            column,
            lower: [Some(-0.3), Some(-2.0), None][column % 3].filter(|l| upper.is_none_or(|u| *l <= u)),
            upper: [Some(0.5), None, Some(0.3)][column % 3].filter(|u| lower.is_none_or(|l| l <= *u)),
        });
        let params = LeastSquares { l2, intercept, lower, upper, columns: columns.collect(), ..Default::default() };
        let fit = data.fit(&params);
        prop_assert!(fit.report.converged, "{:?}", fit.report);
        let (worst, length) = far(&data, &params, &fit.model);
        prop_assert!(worst <= 1e-8 * length, "{worst:e} of {length:e}: {:?}", fit.report);
    }
}

#[test]
fn as_low_as_the_naive_twin() {
    for (seed, (lower, upper)) in BOUNDS.into_iter().enumerate() {
        for intercept in [true, false] {
            let data = Data::new(30, 6, seed as u64, false);
            let params = LeastSquares { l2: 0.1, intercept, lower, upper, ..Default::default() };
            let (fit, twin) = (data.fit(&params), naive(&data, &params, 400));
            let (ours, theirs) = (data.objective(&params, &fit.model), data.objective(&params, &twin));
            // Along what tells equal columns apart the twin creeps.
            assert!(ours <= theirs * (1.0 + 1e-12) && theirs <= ours * (1.0 + 1e-5), "{ours} {theirs}");
        }
    }
}

/// Bounds that nothing reaches change nothing; the report counts pushes against a bound as none.
#[test]
fn wide_bounds_are_none() {
    let data = Data::new(60, 2, 4, false);
    let free = data.fit(&LeastSquares::default());
    let bounded = data.fit(&LeastSquares { lower: Some(-1e3), upper: Some(1e3), ..Default::default() });
    for (a, b) in free.model.coefficients.iter().zip(&bounded.model.coefficients) {
        assert!((a - b).abs() < 1e-10, "{a} {b}");
    }
    let held = data.fit(&LeastSquares { lower: Some(5.0), ..Default::default() });
    assert_eq!(held.model.coefficients, [5.0, 5.0]);
    assert!(held.report.converged && held.report.optimality < 1e-9, "{:?}", held.report);
}

#[test]
fn numbers_of_scikit_learn() {
    let all: serde_json::Value = serde_json::from_str(include_str!("../golden/penalised.json")).unwrap();
    let Some(table) = load("diabetes") else { return };
    let table = table.standardised();
    for case in ["positive_least_squares_diabetes", "positive_ridge_diabetes"] {
        let l2 = all[case]["alpha"].as_f64().unwrap();
        let params = LeastSquares { l2, lower: Some(0.0), ..Default::default() };
        let fit = params.fit(table.view(), &table.numbers(), Rows::default(), &Context::default()).unwrap();
        let theirs = all[case]["coefficients"].as_array().unwrap();
        assert!(fit.model.coefficients.contains(&0.0));
        for (ours, theirs) in fit.model.coefficients.iter().zip(theirs) {
            assert!((ours - theirs.as_f64().unwrap()).abs() < 1e-5, "{case}: {ours} {theirs}");
        }
    }
}

fn in_chunks(data: &Data, params: &LeastSquares, at: usize) -> (LinearModel, FitReport) {
    let chunk = |range: std::ops::Range<usize>| Chunk {
        x: data.view().row_range(range.clone()),
        y: &data.y[range.clone()],
        rows: Rows { weights: Some(&data.weights[range.clone()]), offset: Some(&data.offset[range.clone()]) },
        first_row: range.start,
    };
    let mut trainer = params.trainer::<f64>(data.cols, data.y.len()).unwrap();
    run_through_bytes(&mut trainer, &[chunk(0..at), chunk(at..data.y.len())], &Context::default()).unwrap();
    let fit = trainer.finish().unwrap();
    (fit.model, fit.report)
}

#[test]
fn chunks_repetition_and_threads() {
    let data = Data::new(3000, 12, 7, false);
    let params = LeastSquares { lower: Some(-0.1), upper: Some(0.4), ..Default::default() };
    let one = parallel::with_threads(1, || data.fit(&params));
    for threads in [2, 5] {
        let many = parallel::with_threads(threads, || data.fit(&params));
        assert_eq!((&one.model, &one.report), (&many.model, &many.report));
    }
    let (model, report) = in_chunks(&data, &params, 1234);
    assert!(report.converged);
    // Columns 0 and 1 are equal: only their sum is told.
    let told = |m: &LinearModel| {
        let mut b = m.coefficients.clone();
        b[0] += b.remove(1);
        b
    };
    for (a, b) in told(&model).iter().zip(told(&one.model)) {
        assert!((a - b).abs() < 1e-9, "{a} {b}");
    }
    let repeated: Vec<usize> =
        (0..3000).flat_map(|i| std::iter::repeat_n(i, data.weights[i] as usize)).collect();
    let again = Data {
        x: repeated.iter().flat_map(|&i| data.x[i * 12..(i + 1) * 12].to_vec()).collect(),
        cols: 12,
        y: repeated.iter().map(|&i| data.y[i]).collect(),
        weights: vec![1.0; repeated.len()],
        offset: repeated.iter().map(|&i| data.offset[i]).collect(),
    };
    for (a, b) in told(&again.fit(&params).model).iter().zip(told(&one.model)) {
        assert!((a - b).abs() < 1e-9, "{a} {b}");
    }
}

#[test]
fn what_is_no_bound_is_refused() {
    let data = Data::new(8, 2, 1, false);
    let error = |lower, upper| {
        let params = LeastSquares { lower, upper, ..Default::default() };
        params.fit(data.view(), &data.y, data.rows(), &Context::default()).unwrap_err().to_string()
    };
    let of_columns = |columns: &[(usize, f64, f64)]| {
        let own = |&(column, lower, upper): &(usize, f64, f64)| ColumnBounds {
            column,
            lower: Some(lower),
            upper: Some(upper),
        };
        let params = LeastSquares { columns: columns.iter().map(own).collect(), ..Default::default() };
        params.fit(data.view(), &data.y, data.rows(), &Context::default()).unwrap_err().to_string()
    };
    for (columns, word) in [
        (&[(2, 0.0, 1.0)][..], "from 0 to 1"),
        (&[(1, 0.0, 1.0), (1, 0.0, 1.0)], "once"),
        (&[(1, 2.0, 1.0)], "of column 1"),
        (&[(0, f64::NEG_INFINITY, 1.0)], "finite"),
    ] {
        let message = of_columns(columns);
        assert!(message.contains(word), "{message}");
    }
    for (lower, upper, words) in [
        (Some(1.0), Some(0.0), ["lower", "not above upper"]),
        (Some(f64::NAN), None, ["lower", "finite"]),
        (None, Some(f64::INFINITY), ["upper", "finite"]),
    ] {
        let message = error(lower, upper);
        assert!(words.iter().all(|w| message.contains(w)), "{message}");
    }
}

/// More columns than rows, on two scales: most steps end at a bound, and the next one has to begin there.
#[test]
fn few_rows_of_columns_on_two_scales_arrive() {
    let (rows, cols) = (5, 12);
    for seed in 0..60 {
        let mut x = normal(rows, cols, 2 * seed);
        let larger = normal(1, cols, 2 * seed + 1);
        x.iter_mut()
            .enumerate()
            .for_each(|(at, x)| *x = *x * if larger[at % cols] > 0.0 { 100.0 } else { 1.0 } + 5.0);
        let truth = normal(cols, 1, seed + 1000);
        let y: Vec<f64> =
            x.chunks_exact(cols).map(|row| row.iter().zip(&truth).map(|(x, b)| x * b).sum()).collect();
        for l2 in [1e-3, 1.0, 100.0] {
            let params = LeastSquares { l2, lower: Some(0.0), ..Default::default() };
            let view = MatRef::new(&x, rows, cols).unwrap();
            let fit = params.fit(view, &y, Rows::default(), &Context::default()).unwrap();
            assert!(fit.report.converged, "{seed} {l2}: {:?}", fit.report);
        }
    }
}
