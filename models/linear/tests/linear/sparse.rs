//! Sparse matrices: fits and predictions are those of the dense rows, residuals those of loops, and threads change no bit.

use crate::penalised::{classes, recomputed};
use crate::support::normal;
use proptest::prelude::*;
use tilewise_base::{Context, Fit, Sparse, SparseRef};
use tilewise_kernels::{MatMut, MatRef, parallel};
use tilewise_linear::{
    ClassWeights, Distribution, ElasticNet, Generalised, LeastSquares, LinearModel, Logistic, Rows,
};

/// How far objectives of sparse and dense fits may be apart: both are within the tolerance of the minimum, and the objective is flat there.
const OBJECTIVES: f64 = 1e-11;

/// How far linear predictors may be: a gradient of 1e-9 over the curvature that the penalties of these tests leave.
const PREDICTORS: f64 = 1e-5;

struct Data {
    dense: Vec<f64>,
    cols: usize,
    matrix: Sparse,
    score: Vec<f64>,
    weights: Vec<f64>,
    offset: Vec<f64>,
}

impl Data {
    /// About one cell of `one_of` is not zero; columns have scales from 1e-3 to 1e3 where `spread`.
    fn new(rows: usize, cols: usize, one_of: u64, spread: bool, seed: u64) -> Self {
        let (cells, chosen) = (normal(rows, cols, 7 * seed), normal(rows, cols, 7 * seed + 1));
        let scale = |j: usize| if spread { 10f64.powi(j as i32 % 7 - 3) } else { 1.0 };
        let dense: Vec<f64> = cells
            .iter()
            .zip(&chosen)
            .enumerate()
            .map(|(k, (x, c))| {
                let kept = ((c.abs() * 1e6) as u64).is_multiple_of(one_of);
                if kept { (x + 0.5) * scale(k % cols) } else { 0.0 }
            })
            .collect();
        let noise = normal(rows, 1, 7 * seed + 2);
        let score = (0..rows)
            .map(|i| {
                let sum: f64 = (0..cols.min(6))
                    .map(|j| dense[i * cols + j] / scale(j) * if j.is_multiple_of(2) { 0.8 } else { -0.5 })
                    .sum();
                sum + noise[i]
            })
            .collect();
        let matrix = Sparse::of_dense(MatRef::new(&dense, rows, cols).unwrap()).unwrap();
        let weights = normal(rows, 1, 7 * seed + 3).iter().map(|w| w.abs() + 0.01).collect();
        let offset = normal(rows, 1, 7 * seed + 4).iter().map(|o| 0.3 * o).collect();
        Self { dense, cols, matrix, score, weights, offset }
    }
    fn view(&self) -> MatRef<'_, f64> {
        MatRef::new(&self.dense, self.score.len(), self.cols).unwrap()
    }
    fn rows(&self, weighted: bool) -> Rows<'_> {
        Rows { weights: weighted.then_some(&self.weights[..]), offset: weighted.then_some(&self.offset[..]) }
    }
    fn labels(&self) -> Vec<u32> {
        let mut y: Vec<u32> = self.score.iter().map(|s| u32::from(*s > 0.2)).collect();
        (y[0], y[1]) = (0, 1);
        y
    }

    /// That both ways of storage reach the dense fit's minimum.
    fn agree(
        &self,
        dense: &Fit<LinearModel>,
        sparse: impl Fn(SparseRef<'_, f64>) -> Fit<LinearModel>,
        both: bool,
    ) -> Result<Fit<LinearModel>, TestCaseError> {
        let fit = sparse(self.matrix.view());
        let turned = sparse(self.matrix.view().turned().view());
        for fit in [&fit, &turned] {
            prop_assert!(fit.report.converged, "{:?}", fit.report);
            let (a, b) = (fit.report.objective, dense.report.objective);
            prop_assert!(
                (a - b).abs() <= OBJECTIVES * (1.0 + b.abs()),
                "{:?} {:?}",
                fit.report,
                dense.report
            );
        }
        if both {
            prop_assert_eq!(&fit.model, &turned.model);
        }
        for row in self.dense.chunks(self.cols) {
            let z = |m: &LinearModel| {
                row.iter().zip(&m.coefficients).map(|(x, b)| x * b).sum::<f64>() + m.intercepts[0]
            };
            let (a, b) = (z(&fit.model), z(&dense.model));
            prop_assert!((a - b).abs() < PREDICTORS * (1.0 + b.abs()), "{a} {b}");
        }
        Ok(fit)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn logistic_is_that_of_dense_rows(
        rows in 40usize..160, cols in 1usize..24, one_of in 1u64..6, spread: bool, weighted: bool, seed in 0u64..400,
        l1 in prop_oneof![Just(0.0), 0.1f64..4.0], l2 in 0.05f64..3.0, intercept: bool,
    ) {
        let data = Data::new(rows, cols, one_of, spread, seed);
        let (y, extra) = (data.labels(), data.rows(weighted));
        let params = Logistic { l1, l2, intercept, tolerance: 1e-9, ..Default::default() };
        let context = Context::default();
        let dense = params.fit(data.view(), &y, extra, &context).unwrap();
        let fit = data.agree(&dense, |x| params.fit_sparse(x, &y, extra, &context).unwrap(), false)?;
        let (objective, residual) = recomputed(&params, &fit.model, &data.dense, &y, extra);
        prop_assert!((fit.report.objective - objective).abs() < 1e-12 * (1.0 + objective));
        prop_assert!((fit.report.optimality - residual).abs() < 1e-11, "{:?} {residual:e}", fit.report);
    }

    /// More classes than two: chances are those of dense rows, coefficients too, as the penalty makes them one.
    #[test]
    fn softmax_is_that_of_dense_rows(
        count in 3usize..6, rows in 60usize..200, cols in 1usize..16, one_of in 1u64..5, spread: bool, weighted: bool,
        seed in 0u64..400, l2 in 0.05f64..3.0, intercept: bool, balanced: bool,
    ) {
        let data = Data::new(rows, cols, one_of, spread, seed);
        let y = classes(&data.dense, cols, count, seed);
        let class_weights = if balanced { ClassWeights::Balanced } else { ClassWeights::Ones };
        let params = Logistic { l2, intercept, class_weights, tolerance: 1e-9, ..Default::default() };
        let (extra, context) = (Rows { offset: None, ..data.rows(weighted) }, Context::default());
        let dense = params.fit(data.view(), &y, extra, &context).unwrap();
        for order in [data.matrix.clone(), data.matrix.view().turned()] {
            let fit = params.fit_sparse(order.view(), &y, extra, &context).unwrap();
            prop_assert!(fit.report.converged && fit.report.warnings.is_empty(), "{:?}", fit.report);
            let (a, b) = (fit.report.objective, dense.report.objective);
            // What a gradient leaves where the curvature is that of the penalty, of weights of up to 3: |g|^2 / (2 l2 / weight).
            let entries = (cols * count) as f64;
            let left = entries * fit.report.optimality.powi(2) * 3.0 * rows as f64 / (2.0 * l2);
            prop_assert!((a - b).abs() <= OBJECTIVES * (1.0 + b) + left, "{:?} {:?}", fit.report, dense.report);
            prop_assert_eq!(fit.model.intercepts.len(), count);
            prop_assert!(fit.model.intercepts.iter().sum::<f64>().abs() < 1e-9);
            if !balanced {
                let (objective, residual) = recomputed(&params, &fit.model, &data.dense, &y, extra);
                prop_assert!((a - objective).abs() < 1e-12 * (1.0 + objective));
                prop_assert!((fit.report.optimality - residual).abs() < 1e-10, "{:?} {residual:e}", fit.report);
            }
            let chances = |model: &LinearModel| {
                let mut out = vec![0.0; rows * count];
                model.predict(data.view(), None, MatMut::new(&mut out, rows, count).unwrap()).unwrap();
                out
            };
            for (a, b) in chances(&fit.model).iter().zip(chances(&dense.model)) {
                prop_assert!((a - b).abs() < PREDICTORS, "{a} {b}");
            }
        }
    }

    #[test]
    fn log_linear_models_are_those_of_dense_rows(
        which in 0usize..3, rows in 40usize..160, cols in 1usize..16, one_of in 1u64..5, weighted: bool, seed in 0u64..400,
        alpha in 0.01f64..0.3, l1_ratio in prop_oneof![Just(0.0), Just(1.0), 0.2f64..0.8], intercept: bool,
    ) {
        let distribution = [Distribution::Poisson, Distribution::Gamma, Distribution::Tweedie(1.5)][which];
        let data = Data::new(rows, cols, one_of, false, seed);
        let y: Vec<f64> = data.score.iter().map(|s| (0.5 * s).exp()).collect();
        let params = Generalised { distribution, alpha, l1_ratio, intercept, tolerance: 1e-9, ..Default::default() };
        let (extra, context) = (data.rows(weighted), Context::default());
        let dense = params.fit(data.view(), &y, extra, &context).unwrap();
        data.agree(&dense, |x| params.fit_sparse(x, &y, extra, &context).unwrap(), false)?;
    }

    #[test]
    fn squares_are_those_of_dense_rows(
        rows in 40usize..160, cols in 1usize..24, one_of in 1u64..6, spread: bool, weighted: bool, seed in 0u64..400,
        l2 in 0.01f64..3.0, alpha in 0.001f64..0.2, l1_ratio in prop_oneof![Just(1.0), 0.2f64..0.8], intercept: bool,
    ) {
        let data = Data::new(rows, cols, one_of, spread, seed);
        let (extra, context) = (data.rows(weighted), Context::default());
        let params = LeastSquares { l2, intercept, ..Default::default() };
        let dense = params.fit(data.view(), &data.score, extra, &context).unwrap();
        data.agree(&dense, |x| params.fit_sparse(x, &data.score, extra, &context).unwrap(), false)?;
        let params = ElasticNet { alpha, l1_ratio, intercept, tolerance: 1e-11, ..Default::default() };
        let dense = params.fit(data.view(), &data.score, extra, &context).unwrap();
        let fit = data.agree(&dense, |x| params.fit_sparse(x, &data.score, extra, &context).unwrap(), true)?;
        // The gap bounds how far the dense fit can be below.
        prop_assert!(fit.report.objective - dense.report.objective <= fit.report.optimality + 1e-14);
    }
}

#[test]
fn same_bits_at_any_thread_count_and_predictions_of_dense_rows() {
    let data = Data::new(6000, 40, 3, false, 1);
    let (y, context) = (data.labels(), Context::default());
    for (l1, l2) in [(0.0, 1.0), (5.0, 0.5)] {
        let params = Logistic { l1, l2, ..Default::default() };
        let run = |threads| {
            parallel::with_threads(threads, || {
                params.fit_sparse(data.matrix.view(), &y, Rows::default(), &context).unwrap()
            })
        };
        let one = run(1);
        for threads in [2, 5] {
            let many = run(threads);
            assert_eq!((&one.model, &one.report), (&many.model, &many.report));
        }
        let (mut sparse, mut dense) = (vec![0.0; 12_000], vec![0.0; 12_000]);
        let offset = Some(&data.offset[..]);
        one.model
            .predict_sparse(data.matrix.view(), offset, MatMut::new(&mut sparse, 6000, 2).unwrap())
            .unwrap();
        one.model.predict(data.view(), offset, MatMut::new(&mut dense, 6000, 2).unwrap()).unwrap();
        assert!(sparse.iter().zip(&dense).all(|(a, b)| (a - b).abs() < 1e-14));
    }
}

#[test]
fn softmax_has_the_same_bits_at_any_thread_count_and_a_model_without_penalty() {
    let data = Data::new(6000, 30, 3, false, 2);
    let y = classes(&data.dense, 30, 4, 5);
    let context = Context::default();
    for l2 in [0.0, 1.0] {
        let params = Logistic { l2, ..Default::default() };
        let run = |threads| {
            parallel::with_threads(threads, || {
                params.fit_sparse(data.matrix.view(), &y, Rows::default(), &context).unwrap()
            })
        };
        let one = run(1);
        assert!(one.report.converged && one.report.warnings.is_empty(), "{:?}", one.report);
        for threads in [2, 5] {
            let many = run(threads);
            assert_eq!((&one.model, &one.report), (&many.model, &many.report));
        }
        let dense = params.fit(data.view(), &y, Rows::default(), &context).unwrap();
        assert!((dense.report.objective - one.report.objective).abs() < OBJECTIVES);
        // Classes have nothing in common, where there is a penalty up to the gradient that is left: a share of 1e-8 of 6000 rows for each.
        let common = if l2 == 0.0 { 1e-12 } else { 4.0 * 1e-8 * 6000.0 };
        for j in 0..30 {
            let sum: f64 = (0..4).map(|k| one.model.coefficients[k * 30 + j]).sum();
            assert!(sum.abs() < common, "{sum:e}");
        }
        let (mut sparse, mut of_dense) = (vec![0.0; 24_000], vec![0.0; 24_000]);
        one.model
            .predict_sparse(data.matrix.view(), None, MatMut::new(&mut sparse, 6000, 4).unwrap())
            .unwrap();
        one.model.predict(data.view(), None, MatMut::new(&mut of_dense, 6000, 4).unwrap()).unwrap();
        assert!(sparse.iter().zip(&of_dense).all(|(a, b)| (a - b).abs() < 1e-14));
    }
    // One column that tells three classes apart.
    let cells = vec![-2.0, -1.5, 0.1, -0.1, 1.5, 2.0];
    let matrix = Sparse::by_rows(6, 1, (0..=6).collect(), vec![0; 6], cells).unwrap();
    let params = Logistic { l2: 0.0, ..Default::default() };
    let fit = params.fit_sparse(matrix.view(), &[0, 0, 1, 1, 2, 2], Rows::default(), &context).unwrap();
    assert!(!fit.report.converged && fit.report.warnings[0].contains("separate"), "{:?}", fit.report);
}

#[test]
fn single_precision_cells_are_read_as_they_are() {
    let data = Data::new(300, 12, 2, false, 3);
    let cells: Vec<f32> = data.dense.iter().map(|x| *x as f32).collect();
    let matrix = Sparse::of_dense(MatRef::new(&cells, 300, 12).unwrap()).unwrap();
    let (y, context) = (data.labels(), Context::default());
    let params = Logistic { l1: 1.0, ..Default::default() };
    let dense = params.fit(MatRef::new(&cells, 300, 12).unwrap(), &y, Rows::default(), &context).unwrap();
    let sparse = params.fit_sparse(matrix.view(), &y, Rows::default(), &context).unwrap();
    assert!((dense.report.objective - sparse.report.objective).abs() < 1e-12);
}

/// More dense columns than a Hessian is formed for: coordinate descent takes over.
#[test]
fn wide_dense_rows_take_the_same_way() {
    let (rows, cols) = (60, 8200);
    let x = normal(rows, cols, 4);
    let y: Vec<u32> = (0..rows).map(|i| u32::from(x[i * cols] - x[i * cols + 1] > 0.0)).collect();
    let params = Logistic { l1: 4.0, l2: 0.0, ..Default::default() };
    let view = MatRef::new(&x, rows, cols).unwrap();
    let fit = params.fit(view, &y, Rows::default(), &Context::default()).unwrap();
    assert!(fit.report.converged, "{:?}", fit.report);
    let (objective, residual) = recomputed(&params, &fit.model, &x, &y, Rows::default());
    assert!((fit.report.objective - objective).abs() < 1e-12 && residual < 2e-8, "{residual:e}");
    let used = fit.model.coefficients.iter().filter(|b| **b != 0.0).count();
    assert!((1..60).contains(&used), "{used}");
}

#[test]
fn separated_classes_are_told() {
    let matrix = Sparse::by_rows(4, 1, vec![0, 1, 2, 3, 4], vec![0; 4], vec![1.0, 2.0, -1.0, -2.0]).unwrap();
    let params = Logistic { l2: 0.0, ..Default::default() };
    let fit = params.fit_sparse(matrix.view(), &[1, 1, 0, 0], Rows::default(), &Context::default()).unwrap();
    assert!(!fit.report.converged && fit.report.warnings[0].contains("separate"), "{:?}", fit.report);
}

#[test]
fn what_cannot_be_fitted_is_named() {
    let matrix = |values: Vec<f64>| Sparse::by_rows(3, 2, vec![0, 1, 2, 3], vec![0, 1, 0], values).unwrap();
    let error = |values: Vec<f64>, y: &[u32], params: &Logistic, weights: Option<&[f64]>| {
        let rows = Rows { weights, offset: None };
        params.fit_sparse(matrix(values).view(), y, rows, &Context::default()).unwrap_err().to_string()
    };
    let (fine, plain) = (vec![1.0, 2.0, 3.0], Logistic::default());
    for (message, words) in [
        (error(vec![1.0, f64::NAN, 3.0], &[0, 1, 1], &plain, None), "row 1, feature 1: NaN"),
        (error(fine.clone(), &[0, 2, 2], &plain, None), "class 1 has no row"),
        (error(fine.clone(), &[0, 1, 9], &plain, None), "class 2 has no row"),
        (
            error(fine.clone(), &[0, 1, 2], &Logistic { l1: 0.1, ..plain.clone() }, None),
            "more than two classes",
        ),
        (error(fine.clone(), &[1, 1, 1], &plain, None), "class 0 has no row"),
        (error(fine.clone(), &[0, 1, 1], &plain, Some(&[0.0; 3])), "all weights are zero"),
        (error(fine.clone(), &[0, 1, 1], &plain, Some(&[1.0, -1.0, 0.0])), "row 1: the weight"),
        (error(fine.clone(), &[0, 1], &plain, None), "targets against rows"),
        (error(fine.clone(), &[0, 1, 1], &Logistic { l1: f64::NAN, ..plain.clone() }, None), "l1"),
        (
            error(
                fine,
                &[0, 1, 1],
                &Logistic { solver: tilewise_linear::LogisticSolver::Lbfgs, ..plain },
                None,
            ),
            "solver",
        ),
    ] {
        assert!(message.contains(words), "{message}");
    }
}
