//! Properties of least squares.

use crate::support::normal;
use proptest::prelude::*;
use tilewise_base::{Context, Fit, rounds};
use tilewise_kernels::{MatRef, parallel};
use tilewise_linear::{Chunk, Element, LeastSquares, LinearModel, Rows};

fn fit<T: Element>(
    params: &LeastSquares,
    x: &[T],
    cols: usize,
    y: &[f64],
    rows: Rows<'_>,
) -> Fit<LinearModel> {
    params.fit(MatRef::new(x, y.len(), cols).unwrap(), y, rows, &Context::default()).unwrap()
}

/// Objective and largest gradient entry, by plain loops.
fn recomputed(
    params: &LeastSquares,
    m: &LinearModel,
    x: &[f64],
    y: &[f64],
    w: &[f64],
    offset: &[f64],
) -> (f64, f64) {
    let p = m.features();
    let (mut objective, mut gradient, mut total) = (0.0, vec![0.0; p + 1], 0.0);
    for (i, row) in x.chunks(p).enumerate() {
        let z: f64 = row.iter().zip(&m.coefficients).map(|(x, w)| x * w).sum();
        let r = z + m.intercepts[0] + offset[i] - y[i];
        objective += w[i] * r * r;
        total += w[i];
        (0..p).for_each(|j| gradient[j] += 2.0 * w[i] * r * row[j]);
        gradient[p] += 2.0 * w[i] * r * f64::from(u8::from(params.intercept));
    }
    for (g, w) in gradient.iter_mut().zip(&m.coefficients) {
        *g += 2.0 * params.l2 * w;
        objective += params.l2 * w * w;
    }
    (objective / total, gradient.iter().fold(0.0f64, |m, g| m.max(g.abs())) / total)
}

/// Rounding of sums over a few hundred rows of numbers near 1.
const ROUNDING: f64 = 1e-12;

#[test]
fn report_tells_what_loops_recompute() {
    let (n, p) = (211, 7);
    let x: Vec<f64> = normal(n, p, 1).iter().map(|x| x + 3.0).collect();
    let (y, offset) = (normal(n, 1, 2), normal(n, 1, 3));
    let w: Vec<f64> = normal(n, 1, 4).iter().map(|x| x.abs()).collect();
    for l2 in [0.0, 0.5] {
        for intercept in [true, false] {
            let params = LeastSquares { l2, intercept, ..Default::default() };
            let rows = Rows { weights: Some(&w), offset: Some(&offset) };
            let fit = fit(&params, &x, p, &y, rows);
            let (objective, optimality) = recomputed(&params, &fit.model, &x, &y, &w, &offset);
            assert!((fit.report.objective / objective - 1.0).abs() < ROUNDING);
            assert!(fit.report.optimality < ROUNDING && optimality < ROUNDING, "{optimality:e}");
            assert!(fit.report.converged && fit.report.warnings.is_empty());
        }
    }
}

#[test]
fn ill_conditioned_columns_are_refined_or_factored() {
    // The second column is the first plus noise of size e; y is exact, so the answer is known.
    for (e, digits) in [(1e-3, 1e-9), (1e-6, 1e-6), (1e-9, 1e-3)] {
        let noise = normal(500, 2, 9);
        let x: Vec<f64> = noise.chunks(2).flat_map(|z| [z[0], z[0] + e * z[1]]).collect();
        let y: Vec<f64> = x.chunks(2).map(|x| 3.0 * x[0] - 2.0 * x[1] + 1.0).collect();
        let fit = fit(&LeastSquares::default(), &x, 2, &y, Rows::default());
        let worst = (fit.model.coefficients[0] - 3.0).abs().max((fit.model.coefficients[1] + 2.0).abs());
        assert!(worst < digits, "noise {e}: off by {worst:e}; {}", fit.report.stopped);
        assert!((fit.model.intercepts[0] - 1.0).abs() < 1e-9 && fit.report.warnings.is_empty());
    }
}

/// Through seven chunks and bytes, the sums are merged at other places: a few units of rounding, and what the
/// condition of the problem makes of them.
const CHUNKING: f64 = 1e-10;

#[test]
fn chunks_through_bytes_give_the_same_fit() {
    for (n, p, l2) in [(500, 12, 0.0), (500, 12, 1.0), (30, 60, 0.0), (300, 700, 2.0)] {
        let mut x = normal(n, p, 5);
        if l2 == 0.0 {
            // A copy of a column: the orthogonal route.
            x.chunks_mut(p).for_each(|row| row[1] = row[0]);
        }
        let (y, params) = (normal(n, 1, 6), LeastSquares { l2, ..Default::default() });
        let whole = fit(&params, &x, p, &y, Rows::default());
        let step = n.div_ceil(7);
        let chunks: Vec<_> = x
            .chunks(step * p)
            .zip(y.chunks(step))
            .enumerate()
            .map(|(k, (x, y))| Chunk {
                x: MatRef::new(x, y.len(), p).unwrap(),
                y,
                rows: Rows::default(),
                first_row: k * step,
            })
            .collect();
        let mut trainer = params.trainer::<f64>(p, n).unwrap();
        rounds::run_through_bytes(&mut trainer, &chunks, &Context::default()).unwrap();
        let parts = trainer.finish().unwrap();
        for (a, b) in whole.model.coefficients.iter().zip(&parts.model.coefficients) {
            assert!((a - b).abs() < CHUNKING, "{n} x {p}: {a} and {b}");
        }
        assert_eq!(whole.report.warnings, parts.report.warnings);
    }
}

#[test]
fn same_bits_at_any_thread_count_and_layout() {
    for (n, p) in [(20_000, 9), (700, 90)] {
        let (x, y) = (normal(n, p, 7), normal(n, 1, 8));
        let train =
            |t| parallel::with_threads(t, || fit(&LeastSquares::default(), &x, p, &y, Rows::default()).model);
        let one = train(1);
        for threads in [2, 3, 7] {
            assert_eq!(one, train(threads));
        }
        let columns: Vec<f64> =
            (0..p).flat_map(|j| x.iter().skip(j).step_by(p).copied().collect::<Vec<_>>()).collect();
        let view = MatRef::new(&columns, p, n).unwrap().transpose();
        assert_eq!(
            one,
            LeastSquares::default().fit(view, &y, Rows::default(), &Context::default()).unwrap().model
        );
    }
}

#[test]
fn single_precision_features_lose_nothing_more() {
    let x: Vec<f32> = normal(300, 5, 10).iter().map(|&x| x as f32).collect();
    let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    let y = normal(300, 1, 11);
    let (a, b) = (
        fit(&LeastSquares::default(), &x, 5, &y, Rows::default()),
        fit(&LeastSquares::default(), &wide, 5, &y, Rows::default()),
    );
    assert_eq!(a.model, b.model);
}

/// Where rows can all be met exactly, of all ways the shortest is taken, and how rows are weighted is the same.
#[test]
fn wide_problems_are_met_exactly_whatever_the_weights() {
    let (n, p) = (20, 50);
    let (x, y) = (normal(n, p, 12), normal(n, 1, 13));
    let weights: Vec<f64> = (1..=n).map(|i| i as f64).collect();
    for intercept in [true, false] {
        let params = LeastSquares { intercept, ..Default::default() };
        let a = fit(&params, &x, p, &y, Rows::default());
        let b = fit(&params, &x, p, &y, Rows { weights: Some(&weights), offset: None });
        assert!(a.report.objective < 1e-25 && b.report.objective < 1e-25);
        if intercept {
            assert!(a.report.warnings[0].contains("rank 19 of 50"));
        }
        for (a, b) in a.model.coefficients.iter().zip(&b.model.coefficients) {
            assert!((a - b).abs() < CHUNKING, "{a} and {b}");
        }
    }
}

#[test]
fn bad_input_is_named() {
    let context = Context::default();
    let error = |x: &[f64], cols: usize, y: &[f64], rows: Rows<'_>| {
        let x = MatRef::new(x, x.len() / cols, cols).unwrap();
        LeastSquares::default().fit(x, y, rows, &context).unwrap_err().to_string()
    };
    let none = Rows::default();
    assert!(error(&[1.0, 2.0, 3.0, f64::NAN], 2, &[1.0, 2.0], none).contains("row 1, feature 1: NaN"));
    assert!(error(&[1.0, 2.0, f64::INFINITY, 0.0], 2, &[1.0, 2.0], none).contains("row 1, feature 0: inf"));
    assert!(error(&[1.0, 2.0], 1, &[1.0, f64::NAN], none).contains("row 1: the target"));
    assert!(error(&[1.0, 2.0], 1, &[1.0], none).contains("targets against rows"));
    assert!(error(&[], 1, &[], none).contains("no rows"));
    let weighted = |w| Rows { weights: Some(w), offset: None };
    assert!(error(&[1.0, 2.0], 1, &[1.0, 2.0], weighted(&[1.0, -1.0])).contains("row 1: the weight"));
    assert!(error(&[1.0, 2.0], 1, &[1.0, 2.0], weighted(&[0.0, 0.0])).contains("all weights are zero"));
    // A NaN in a row of no weight is still refused, whichever chunk it is in.
    assert!(error(&[f64::NAN, 2.0], 1, &[1.0, 2.0], weighted(&[0.0, 1.0])).contains("row 0, feature 0"));
    assert!(error(&[1e300, -1e300], 1, &[1.0, 2.0], none).contains("overflow"));
    let x = MatRef::new(&[1.0], 1, 1).unwrap();
    let bad = LeastSquares { l2: -1.0, ..Default::default() }.fit(x, &[1.0], none, &context);
    assert!(bad.unwrap_err().to_string().contains("parameter l2"));
    // One row: the mean.
    let fit = LeastSquares::default().fit(x, &[4.0], none, &context).unwrap();
    assert_eq!((fit.model.coefficients[0], fit.model.intercepts[0]), (0.0, 4.0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// A weight of k is k repetitions.
    #[test]
    fn weights_are_repetitions(n in 4usize..40, p in 1usize..5, seed in 0u64..1000, l2 in 0.0f64..2.0) {
        let (x, y) = (normal(n, p, seed), normal(n, 1, seed + 1));
        let counts: Vec<usize> = (0..n).map(|i| (i * 7 + seed as usize) % 3 + usize::from(i < p + 2)).collect();
        let weights: Vec<f64> = counts.iter().map(|&c| c as f64).collect();
        let repeated = |v: &[f64], width: usize| -> Vec<f64> {
            counts.iter().enumerate().flat_map(|(i, &c)| v[i * width..(i + 1) * width].repeat(c)).collect()
        };
        let params = LeastSquares { l2, ..Default::default() };
        let a = fit(&params, &x, p, &y, Rows { weights: Some(&weights), offset: None });
        let b = fit(&params, &repeated(&x, p), p, &repeated(&y, 1), Rows::default());
        for (a, b) in a.model.coefficients.iter().zip(&b.model.coefficients) {
            prop_assert!((a - b).abs() < 1e-8 * (1.0 + a.abs()));
        }
        prop_assert!((a.report.objective - b.report.objective).abs() < 1e-10);
    }
}

/// Two categories beside two numbers; the first has two levels without rows, and `gaps` rows have no level of the second.
fn with_categories(n: usize, gaps: usize) -> (Vec<f64>, Vec<f64>) {
    let numbers = normal(n, 2, 21);
    let mut x = Vec::new();
    for i in 0..n {
        let (a, b) = ((i * i) % 3, if i < gaps { 9 } else { (i * 7 + i / 5) % 4 });
        x.extend_from_slice(&numbers[2 * i..2 * i + 1]);
        x.extend((0..4).map(|k| f64::from(u8::from(k == a))));
        x.extend_from_slice(&numbers[2 * i + 1..2 * i + 2]);
        x.extend((0..4).map(|k| f64::from(u8::from(k == b))));
    }
    (x, normal(n, 1, 22))
}

/// The general method, which knows nothing of categories, is the reference.
#[test]
fn categories_take_the_minimum_norm_without_a_warning() {
    let (n, p) = (97, 10);
    let weights: Vec<f64> = normal(n, 1, 23).iter().map(|w| w * w).collect();
    for (intercept, gaps, weighted) in
        [(true, 0, false), (true, 0, true), (true, 5, false), (false, 0, true), (false, 5, false)]
    {
        let (x, y) = with_categories(n, gaps);
        let rows = Rows { weights: weighted.then_some(&weights[..]), offset: None };
        let params = LeastSquares { intercept, ..Default::default() };
        let plain = fit(&params, &x, p, &y, rows);
        let chunk = Chunk { x: MatRef::new(&x, n, p).unwrap(), y: &y, rows, first_row: 0 };
        let mut trainer = params.trainer::<f64>(p, n).unwrap().categories(vec![1..5, 6..10]).unwrap();
        rounds::run(&mut trainer, &chunk, &Context::default()).unwrap();
        let ours = trainer.finish().unwrap();
        let of = |m: &LinearModel| [&m.coefficients[..], &m.intercepts].concat();
        for (a, b) in of(&ours.model).iter().zip(of(&plain.model)) {
            assert!((a - b).abs() < 1e-12, "intercept {intercept}, {gaps} gaps: {a} and {b}");
        }
        assert!(!plain.report.warnings.is_empty());
        assert!(ours.report.warnings.is_empty(), "intercept {intercept}, {gaps} gaps: {:?}", ours.report);
        assert!(ours.report.stopped.contains("Cholesky") && ours.report.rounds == 1, "{:?}", ours.report);
        assert!((ours.report.objective - plain.report.objective).abs() < 1e-13);
        assert!(ours.report.optimality < 1e-13);
    }
}

#[test]
fn dependence_beyond_categories_is_told() {
    let (n, p) = (97, 10);
    let (mut x, y) = with_categories(n, 0);
    // The second number becomes the first.
    x.chunks_mut(p).for_each(|row| row[5] = row[0]);
    let plain = fit(&LeastSquares::default(), &x, p, &y, Rows::default());
    let chunk = Chunk { x: MatRef::new(&x, n, p).unwrap(), y: &y, rows: Rows::default(), first_row: 0 };
    let trainer = || LeastSquares::default().trainer::<f64>(p, n).unwrap();
    let mut told = trainer().categories(vec![1..5, 6..10]).unwrap();
    rounds::run(&mut told, &chunk, &Context::default()).unwrap();
    let ours = told.finish().unwrap();
    assert_eq!(ours.model, plain.model);
    // Lost: two levels without rows, one level of each category, and the copy.
    assert!(ours.report.warnings[0].contains("rank 5 of 10, 4 less for its categories"), "{:?}", ours.report);
    for groups in [vec![1..5, 4..6], vec![1..5, 6..11]] {
        assert!(trainer().categories(groups).err().unwrap().to_string().contains("categories"));
    }
}
