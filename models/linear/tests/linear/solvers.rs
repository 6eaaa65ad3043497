//! Every solver that can be chosen reaches the same minimum, says truly how near it came, and refuses what it does not take.

use crate::support::normal;
use tilewise_base::{Context, Fit, Result, Sparse, rounds};
use tilewise_kernels::{MatRef, parallel};
use tilewise_linear::{Chunk, LeastSquares, LeastSquaresSolver, LinearModel, Rows};

const ALL: [LeastSquaresSolver; 5] = [
    LeastSquaresSolver::Auto,
    LeastSquaresSolver::Cholesky,
    LeastSquaresSolver::Qr,
    LeastSquaresSolver::Svd,
    LeastSquaresSolver::Lsqr,
];

/// Rows with targets, weights (some of them zero) and offsets.
struct Data {
    x: Vec<f64>,
    cols: usize,
    y: Vec<f64>,
    weights: Vec<f64>,
    offset: Vec<f64>,
}

impl Data {
    /// Columns around 3; the last is the first but for noise of size `apart`.
    fn new(rows: usize, cols: usize, apart: f64, seed: u64) -> Self {
        let mut x: Vec<f64> = normal(rows, cols, seed).iter().map(|x| x + 3.0).collect();
        x.chunks_exact_mut(cols).for_each(|row| row[cols - 1] = row[0] + apart * (row[cols - 1] - 3.0));
        let truth = normal(cols, 1, seed + 1);
        let noise = normal(rows, 1, seed + 2);
        let y = x
            .chunks_exact(cols)
            .zip(&noise)
            .map(|(row, e)| 7.0 + row.iter().zip(&truth).map(|(x, b)| x * b).sum::<f64>() + e);
        let (y, weights) =
            (y.collect(), normal(rows, 1, seed + 3).iter().map(|w| w.max(0.0) + 0.1).collect());
        let mut data = Self { x, cols, y, weights, offset: normal(rows, 1, seed + 4) };
        data.weights[0] = 0.0;
        data
    }

    fn rows(&self) -> Rows<'_> {
        Rows { weights: Some(&self.weights), offset: Some(&self.offset) }
    }

    fn view(&self) -> MatRef<'_, f64> {
        MatRef::new(&self.x, self.y.len(), self.cols).unwrap()
    }

    fn fit(&self, params: &LeastSquares) -> Result<Fit<LinearModel>> {
        params.fit(self.view(), &self.y, self.rows(), &Context::default())
    }

    /// Objective and largest entry of its gradient, by plain loops.
    fn recomputed(&self, params: &LeastSquares, model: &LinearModel) -> (f64, f64) {
        let b = &model.coefficients;
        let (mut objective, mut gradient, mut slope) = (0.0, vec![0.0; self.cols], 0.0);
        for (i, row) in self.x.chunks_exact(self.cols).enumerate() {
            let z: f64 = row.iter().zip(b).map(|(x, b)| x * b).sum();
            let r = z + model.intercepts[0] + self.offset[i] - self.y[i];
            objective += self.weights[i] * r * r;
            gradient.iter_mut().zip(row).for_each(|(g, x)| *g += 2.0 * self.weights[i] * r * x);
            slope += 2.0 * self.weights[i] * r;
        }
        gradient.iter_mut().zip(b).for_each(|(g, b)| *g += 2.0 * params.l2 * b);
        objective += params.l2 * b.iter().map(|b| b * b).sum::<f64>();
        let total: f64 = self.weights.iter().sum();
        let slope = if params.intercept { slope.abs() } else { 0.0 };
        (objective / total, gradient.iter().fold(slope, |m, g| m.max(g.abs())) / total)
    }
}

/// Largest difference of coefficients and intercept.
fn apart(a: &LinearModel, b: &LinearModel) -> f64 {
    let all = |m: &LinearModel| m.coefficients.iter().chain(&m.intercepts).copied().collect::<Vec<_>>();
    all(a).iter().zip(&all(b)).fold(0.0, |m, (a, b)| m.max((a - b).abs()))
}

/// What sums over some thousand products of numbers up to some hundreds round to, per unit of weight.
const ROUNDING: f64 = 1e-11;

/// What LSQR may leave of a gradient: its tolerance times the squares of all columns and the length of the solution.
const SMALL: f64 = 1e-10;

#[test]
fn all_reach_the_same_minimum_and_say_so() {
    for (n, p) in [(40, 1), (60, 5), (211, 17), (900, 40), (15, 30)] {
        for (l2, intercept) in [(0.0, true), (0.0, false), (2.5, true), (2.5, false)] {
            let data = Data::new(n, p, 1.0, (n + p) as u64);
            let of = |solver| LeastSquares { l2, intercept, solver, ..LeastSquares::default() };
            let reference = data.fit(&of(LeastSquaresSolver::Auto)).unwrap();
            for solver in ALL {
                let (params, what) = (of(solver), format!("{solver:?} of {n} x {p}, {l2}, {intercept}"));
                if solver == LeastSquaresSolver::Cholesky && l2 == 0.0 && n < p {
                    let error = data.fit(&params).unwrap_err().to_string();
                    assert!(error.contains("cholesky") && error.contains("lsqr"), "{error}");
                    continue;
                }
                let fit = data.fit(&params).unwrap();
                let (objective, optimality) = data.recomputed(&params, &fit.model);
                let report = &fit.report;
                assert!(report.converged, "{what}: {report:?}");
                assert!(
                    (report.objective - objective).abs() <= 1e-10 * objective + ROUNDING,
                    "{what}: {report:?}"
                );
                assert!(
                    (report.optimality - optimality).abs() <= ROUNDING && optimality <= SMALL,
                    "{what}: {report:?}, {optimality:e}"
                );
                let least = reference.report.objective;
                assert!(
                    (objective - least).abs() <= 1e-10 * least + ROUNDING * ROUNDING,
                    "{what}: {objective} {least}"
                );
                // Without penalty and with fewer rows: the one of least norm, as all say.
                assert!(
                    apart(&fit.model, &reference.model) < 1e-8,
                    "{what}: {:e}",
                    apart(&fit.model, &reference.model)
                );
            }
        }
    }
}

/// Columns that hardly differ: coefficients are what rounding leaves of them, the objective is not.
#[test]
fn columns_nearly_alike_have_the_same_objective() {
    for noise in [1e-3, 3e-5] {
        for l2 in [0.0, 1e-3] {
            let data = Data::new(300, 8, noise, 77);
            let of = |solver| LeastSquares { l2, solver, ..LeastSquares::default() };
            let reference = data.fit(&of(LeastSquaresSolver::Qr)).unwrap();
            for solver in ALL {
                let fit = data.fit(&of(solver)).unwrap();
                let (objective, optimality) = data.recomputed(&of(solver), &fit.model);
                let least = reference.report.objective;
                assert!(fit.report.converged, "{solver:?} {noise}: {:?}", fit.report);
                assert!((objective / least - 1.0).abs() < 1e-10, "{solver:?} {noise}: {objective} {least}");
                assert!((fit.report.objective / objective - 1.0).abs() < 1e-10);
                // Products of numbers of some 1 / noise.
                assert!(optimality < ROUNDING / noise, "{solver:?} {noise}: {optimality:e}");
            }
        }
    }
}

/// Columns that are equal, and one that is constant: of all solutions the shortest, with a warning of those that tell the rank.
#[test]
fn columns_alike_share_their_coefficient() {
    let mut data = Data::new(120, 6, 0.0, 5);
    data.x.chunks_exact_mut(6).for_each(|row| row[2] = 1.5);
    for solver in [LeastSquaresSolver::Qr, LeastSquaresSolver::Svd, LeastSquaresSolver::Lsqr] {
        let fit = data.fit(&LeastSquares { solver, ..LeastSquares::default() }).unwrap();
        let b = &fit.model.coefficients;
        assert!((b[0] - b[5]).abs() < 1e-9 && b[2].abs() < 1e-9, "{solver:?}: {b:?}");
        assert!(fit.report.converged, "{:?}", fit.report);
        let warned = fit.report.warnings.iter().any(|w| w.contains("rank 4 of 6"));
        assert_eq!(warned, solver != LeastSquaresSolver::Lsqr, "{:?}", fit.report);
        let reference = data.fit(&LeastSquares::default()).unwrap();
        assert!(apart(&fit.model, &reference.model) < 1e-8, "{solver:?}");
    }
    let params = LeastSquares { solver: LeastSquaresSolver::Cholesky, ..LeastSquares::default() };
    assert!(data.fit(&params).unwrap_err().to_string().contains("qr, svd and lsqr"));
}

#[test]
fn threads_change_no_bit_and_chunks_next_to_nothing() {
    let data = Data::new(5000, 12, 1.0, 11);
    for solver in ALL {
        for l2 in [0.0, 3.0] {
            let params = LeastSquares { l2, solver, ..LeastSquares::default() };
            let with = |threads| parallel::with_threads(threads, || data.fit(&params).unwrap());
            let one = with(1);
            for threads in [2, 3, 7] {
                let more = with(threads);
                assert_eq!(
                    (&one.model, &one.report),
                    (&more.model, &more.report),
                    "{solver:?}, {threads} threads"
                );
            }
            let step = data.y.len().div_ceil(4);
            let chunk = |first: usize| {
                let range = first..(first + step).min(data.y.len());
                Chunk {
                    x: data.view().row_range(range.clone()),
                    y: &data.y[range.clone()],
                    rows: Rows {
                        weights: Some(&data.weights[range.clone()]),
                        offset: Some(&data.offset[range]),
                    },
                    first_row: first,
                }
            };
            let chunks: Vec<_> = (0..data.y.len()).step_by(step).map(chunk).collect();
            let mut trainer = params.trainer::<f64>(data.cols, data.y.len()).unwrap();
            rounds::run_through_bytes(&mut trainer, &chunks, &Context::default()).unwrap();
            let parts = trainer.finish().unwrap();
            assert!(apart(&one.model, &parts.model) < 1e-10, "{solver:?}");
        }
    }
}

/// LSQR reads sparse rows as it does dense ones.
#[test]
fn lsqr_takes_sparse_rows() {
    for (n, p, l2, intercept) in [(400, 9, 0.0, true), (400, 9, 1.5, false), (12, 30, 0.0, true)] {
        let mut data = Data::new(n, p, 1.0, 3);
        data.x.iter_mut().enumerate().for_each(|(at, x)| *x = if at % 4 == 0 { *x } else { 0.0 });
        let params =
            LeastSquares { l2, intercept, solver: LeastSquaresSolver::Lsqr, ..LeastSquares::default() };
        let x = Sparse::of_dense(data.view()).unwrap();
        let of = |threads| {
            parallel::with_threads(threads, || {
                params.fit_sparse(x.view(), &data.y, data.rows(), &Context::default()).unwrap()
            })
        };
        let (sparse, dense) = (of(1), data.fit(&params).unwrap());
        assert_eq!(sparse.model, of(3).model);
        assert!(sparse.report.converged, "{:?}", sparse.report);
        assert!(
            apart(&sparse.model, &dense.model) < 1e-8,
            "{n} x {p}: {:e}",
            apart(&sparse.model, &dense.model)
        );
        let (objective, optimality) = data.recomputed(&params, &sparse.model);
        assert!((sparse.report.objective - objective).abs() < 1e-10 * objective + ROUNDING);
        assert!((sparse.report.optimality - optimality).abs() < ROUNDING, "{optimality:e}");
    }
    let x = Sparse::of_dense(MatRef::new(&[1.0, 0.0], 2, 1).unwrap()).unwrap();
    for solver in [LeastSquaresSolver::Cholesky, LeastSquaresSolver::Qr, LeastSquaresSolver::Svd] {
        let params = LeastSquares { solver, ..LeastSquares::default() };
        let refused = params.fit_sparse(x.view(), &[1.0, 2.0], Rows::default(), &Context::default());
        assert!(refused.unwrap_err().to_string().contains("auto (conjugate gradients) and lsqr"));
    }
}

/// Of columns of very different sizes its criterion may hold far from the best objective; where it does not, LSQR says so.
#[test]
fn lsqr_ends_where_columns_are_of_very_different_sizes() {
    // Powers of a number up to the fifteenth: a condition beyond 1e16.
    let x: Vec<f64> = (0..40).flat_map(|i| (1..16).map(move |k| (f64::from(i) / 3.0).powi(k))).collect();
    let y: Vec<f64> = (0..40).map(|i| f64::from(i).sin()).collect();
    let params = LeastSquares { solver: LeastSquaresSolver::Lsqr, ..LeastSquares::default() };
    let view = MatRef::new(&x, 40, 15).unwrap();
    let fit = params.fit(view, &y, Rows::default(), &Context::default()).unwrap();
    // The criterion of the method is met, and the least sum of squares is not.
    let least = LeastSquaresSolver::Qr;
    let least = LeastSquares { solver: least, ..LeastSquares::default() };
    let least = least.fit(view, &y, Rows::default(), &Context::default()).unwrap();
    assert!(fit.report.objective > 1.01 * least.report.objective);
    assert!(!fit.report.converged && fit.report.warnings[0].contains("tandardise"), "{:?}", fit.report);
    assert!(fit.model.coefficients.iter().all(|b| b.is_finite()));
}

#[test]
fn bounds_are_refused_by_all_but_auto() {
    let data = Data::new(30, 3, 1.0, 1);
    for solver in &ALL[1..] {
        let params = LeastSquares { lower: Some(0.0), solver: *solver, ..LeastSquares::default() };
        let error = data.fit(&params).unwrap_err().to_string();
        assert!(error.contains("solver") && error.contains("bounds"), "{error}");
    }
}

/// A column of ones beside an intercept has no length: what rounding leaves of its gradient is no sign that anything is wrong.
#[test]
fn lsqr_of_a_constant_column_converges() {
    for rows in [49, 100, 150, 1000] {
        let random = normal(rows, 1, rows as u64);
        let cells: Vec<f64> = random.iter().flat_map(|x| [1.0, *x, 0.1]).collect();
        let y: Vec<f64> = random.iter().zip(normal(rows, 1, 5)).map(|(x, e)| 2.0 * x + 1.0 + e).collect();
        let dense = MatRef::new(&cells, rows, 3).unwrap();
        let params = LeastSquares { solver: LeastSquaresSolver::Lsqr, ..LeastSquares::default() };
        let context = Context::default();
        let sparse =
            params.fit_sparse(Sparse::of_dense(dense).unwrap().view(), &y, Rows::default(), &context);
        for fit in [sparse.unwrap(), params.fit(dense, &y, Rows::default(), &context).unwrap()] {
            assert!(fit.report.converged && fit.report.warnings.is_empty(), "{rows}: {:?}", fit.report);
            assert!(fit.model.coefficients[0].abs() < 1e-9 && fit.model.coefficients[2].abs() < 1e-9);
        }
    }
}
