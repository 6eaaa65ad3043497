//! Solvers of smooth losses that can be chosen: the same minimum, and reports that tell the truth of it.

use crate::support::normal;
use tilewise_base::{Context, Fit, Sparse, rounds};
use tilewise_kernels::{MatRef, parallel};
use tilewise_linear::{
    Chunk, Distribution, Generalised, GeneralisedSolver, LinearModel, Link, Logistic, LogisticSolver, Rows,
};

/// Gradients at 1e-10: coefficients agree to that over the least curvature, objectives to its square.
const TOLERANCE: f64 = 1e-10;

struct Data {
    x: Vec<f64>,
    cols: usize,
    /// What rows' means are told by.
    z: Vec<f64>,
    weights: Vec<f64>,
    offset: Vec<f64>,
}

impl Data {
    fn new(rows: usize, cols: usize, seed: u64) -> Self {
        // Columns of different sizes, around 1.
        let scale = |j: usize| 0.5 + (j % 5) as f64;
        let x: Vec<f64> =
            normal(rows, cols, seed).iter().enumerate().map(|(at, x)| scale(at % cols) * (x + 1.0)).collect();
        let truth = normal(cols, 1, seed + 1);
        let size = 1.0 / (cols as f64).sqrt();
        let z = x.chunks_exact(cols).map(|row| {
            row.iter().zip(&truth).enumerate().map(|(j, (x, b))| size * x * b / scale(j)).sum::<f64>()
        });
        let z = z.zip(normal(rows, 1, seed + 2)).map(|(z, e)| z + e).collect();
        let mut weights: Vec<f64> = normal(rows, 1, seed + 3).iter().map(|w| w.abs() + 0.1).collect();
        weights[0] = 0.0;
        Self { x, cols, z, weights, offset: normal(rows, 1, seed + 4).iter().map(|o| 0.3 * o).collect() }
    }

    fn view(&self) -> MatRef<'_, f64> {
        MatRef::new(&self.x, self.z.len(), self.cols).unwrap()
    }

    fn rows(&self, offset: bool) -> Rows<'_> {
        Rows { weights: Some(&self.weights), offset: offset.then_some(&self.offset) }
    }

    /// Counts around e^z, or what has a logarithm.
    fn amounts(&self, distribution: Distribution) -> Vec<f64> {
        let least = if distribution.power() >= 2.0 { 0.1 } else { 0.0 };
        self.z.iter().map(|z| (2.0 * z.exp()).floor().max(least)).collect()
    }

    fn classes(&self, count: u32) -> Vec<u32> {
        self.z
            .iter()
            .enumerate()
            .map(|(i, z)| if *z > 0.3 { i as u32 % count } else { u32::from(*z > -0.5) })
            .collect()
    }

    /// The largest entry of the gradient of a logistic regression per unit of weight, by plain loops.
    fn gradient(&self, params: &Logistic, m: &LinearModel, y: &[u32], offset: bool) -> f64 {
        let (p, k) = (self.cols, m.intercepts.len());
        let mut gradient = vec![0.0; k * (p + 1)];
        for (i, row) in self.x.chunks_exact(p).enumerate() {
            let z: Vec<f64> = (0..k)
                .map(|c| {
                    let own: f64 = row.iter().zip(&m.coefficients[c * p..]).map(|(x, b)| x * b).sum();
                    own + m.intercepts[c] + if offset { self.offset[i] } else { 0.0 }
                })
                .collect();
            let total: f64 = if k == 1 { 1.0 + z[0].exp() } else { z.iter().map(|z| z.exp()).sum() };
            for c in 0..k {
                let own = if k == 1 { y[i] == 1 } else { y[i] as usize == c };
                let r = self.weights[i] * (z[c].exp() / total - f64::from(u8::from(own)));
                row.iter().enumerate().for_each(|(j, x)| gradient[c * (p + 1) + j] += r * x);
                gradient[c * (p + 1) + p] += r * f64::from(u8::from(params.intercept));
            }
        }
        for c in 0..k {
            (0..p).for_each(|j| gradient[c * (p + 1) + j] += params.l2 * m.coefficients[c * p + j]);
        }
        gradient.iter().fold(0.0f64, |m, g| m.max(g.abs())) / self.weights.iter().sum::<f64>()
    }
}

fn near(a: &Fit<LinearModel>, b: &Fit<LinearModel>, what: &str) {
    assert!(a.report.converged && b.report.converged, "{what}: {:?} {:?}", a.report, b.report);
    let gap = (a.report.objective - b.report.objective).abs();
    assert!(
        gap <= 1e-10 * b.report.objective.abs().max(1e-3),
        "{what}: {} {}",
        a.report.objective,
        b.report.objective
    );
    let all = |m: &LinearModel| m.coefficients.iter().chain(&m.intercepts).copied().collect::<Vec<_>>();
    let apart = all(&a.model).iter().zip(&all(&b.model)).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
    assert!(apart < 1e-7, "{what}: {apart:e}");
}

#[test]
fn logistic_solvers_agree() {
    for (n, p, classes) in [(300, 4, 2), (500, 30, 2), (60, 90, 2), (400, 6, 3), (500, 5, 5)] {
        let data = Data::new(n, p, (n + classes) as u64);
        let (y, offset) = (data.classes(classes as u32), classes == 2);
        for (l2, intercept) in [(0.5, true), (2.0, false), (0.0, true)] {
            if l2 == 0.0 && n < 5 * p {
                continue;
            }
            let fit = |solver| {
                let params = Logistic { l2, intercept, solver, tolerance: TOLERANCE, ..Logistic::default() };
                let fit = params.fit(data.view(), &y, data.rows(offset), &Context::default()).unwrap();
                let gradient = data.gradient(&params, &fit.model, &y, offset);
                assert!((fit.report.optimality - gradient).abs() < 1e-12, "{:?} {gradient:e}", fit.report);
                fit
            };
            let reference = fit(LogisticSolver::NewtonCholesky);
            for solver in [LogisticSolver::NewtonCg, LogisticSolver::Lbfgs, LogisticSolver::Auto] {
                near(&fit(solver), &reference, &format!("{solver:?} {n} x {p}, {classes}, {l2}"));
            }
        }
    }
}

#[test]
fn generalised_solvers_agree() {
    let all = [
        Distribution::Poisson,
        Distribution::Gamma,
        Distribution::Tweedie(1.5),
        Distribution::Normal(Link::Identity),
    ];
    for distribution in all {
        for (n, p, alpha, intercept) in
            [(300, 6, 0.0, true), (300, 6, 0.1, false), (200, 40, 0.01, true), (50, 70, 0.3, true)]
        {
            let data = Data::new(n, p, n as u64);
            let y = data.amounts(distribution);
            let fit = |solver| {
                let params = Generalised {
                    distribution,
                    alpha,
                    intercept,
                    solver,
                    tolerance: TOLERANCE,
                    max_rounds: 2000,
                    ..Generalised::default()
                };
                params.fit(data.view(), &y, data.rows(true), &Context::default()).unwrap()
            };
            let reference = fit(GeneralisedSolver::NewtonCholesky);
            for solver in [GeneralisedSolver::NewtonCg, GeneralisedSolver::Lbfgs, GeneralisedSolver::Auto] {
                let what = format!("{solver:?} {distribution:?} {n} x {p}, {alpha}");
                let fit = fit(solver);
                near(&fit, &reference, &what);
                assert!(fit.report.optimality < 1e-8, "{what}: {:?}", fit.report);
            }
        }
    }
}

#[test]
fn threads_and_chunks_change_nothing() {
    let data = Data::new(4000, 20, 9);
    let counts = data.amounts(Distribution::Poisson);
    let poisson = Generalised { alpha: 0.01, solver: GeneralisedSolver::NewtonCg, ..Generalised::default() };
    for classes in [2, 3] {
        let (y, offset) = (data.classes(classes), classes == 2);
        let logistic = Logistic { solver: LogisticSolver::NewtonCg, ..Logistic::default() };
        let with = |threads| {
            parallel::with_threads(threads, || {
                let context = Context::default();
                let logistic = logistic.fit(data.view(), &y, data.rows(offset), &context).unwrap();
                let poisson = poisson.fit(data.view(), &counts, data.rows(true), &context).unwrap();
                (logistic.model, logistic.report, poisson.model, poisson.report)
            })
        };
        let one = with(1);
        for threads in [2, 3, 7] {
            assert_eq!(one, with(threads), "{threads} threads");
        }
        let step = data.z.len().div_ceil(3);
        let cut = |first: usize| first..(first + step).min(data.z.len());
        let chunk = |first: usize| Chunk {
            x: data.view().row_range(cut(first)),
            y: &y[cut(first)],
            rows: Rows {
                weights: Some(&data.weights[cut(first)]),
                offset: offset.then_some(&data.offset[cut(first)]),
            },
            first_row: first,
        };
        let chunks: Vec<_> = (0..data.z.len()).step_by(step).map(chunk).collect();
        let mut trainer = logistic.trainer::<f64>(data.cols, classes as usize).unwrap();
        rounds::run_through_bytes(&mut trainer, &chunks, &Context::default()).unwrap();
        let parts = trainer.finish().unwrap();
        let pairs = one.0.coefficients.iter().zip(&parts.model.coefficients);
        assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-8), "{classes} classes");
    }
}

/// More features than `Auto` forms a Hessian for: it has the answer of conjugate gradients, and tells their rounds.
#[test]
fn very_many_features_need_no_hessian() {
    let data = Data::new(60, 4097, 4);
    let y = data.amounts(Distribution::Poisson);
    let fit = |solver| {
        let params = Generalised { alpha: 1.0, solver, ..Generalised::default() };
        params.fit(data.view(), &y, data.rows(false), &Context::default()).unwrap()
    };
    let (auto, cg) = (fit(GeneralisedSolver::Auto), fit(GeneralisedSolver::NewtonCg));
    assert!(auto.report.converged, "{:?}", auto.report);
    assert_eq!((auto.model, auto.report), (cg.model, cg.report));
}

#[test]
fn limits_and_separation_are_told() {
    let data = Data::new(300, 8, 2);
    let y = data.classes(2);
    let few =
        Logistic { solver: LogisticSolver::NewtonCg, max_rounds: 1, tolerance: 0.0, ..Logistic::default() };
    let report = few.fit(data.view(), &y, data.rows(true), &Context::default()).unwrap().report;
    assert!(!report.converged || report.stopped.contains("exact to rounding"), "{report:?}");
    assert!(report.rounds <= 21, "{report:?}");
    // The first column tells the classes.
    let apart: Vec<u32> = data.x.chunks_exact(8).map(|row| u32::from(row[0] > 0.5)).collect();
    let free = Logistic { solver: LogisticSolver::NewtonCg, l2: 0.0, ..Logistic::default() };
    let report = free.fit(data.view(), &apart, data.rows(false), &Context::default()).unwrap().report;
    assert!(!report.converged && report.warnings[0].contains("separate the classes"), "{report:?}");
}

#[test]
fn what_cannot_be_solved_so_is_refused() {
    let data = Data::new(40, 3, 1);
    let (y, counts) = (data.classes(2), data.amounts(Distribution::Poisson));
    let (context, sparse) = (Context::default(), Sparse::of_dense(data.view()).unwrap());
    let refused = |error: tilewise_base::Error, name: &str| {
        let message = error.to_string();
        assert!(
            message.contains("solver") && message.contains(name) && message.contains("auto"),
            "{message}"
        );
    };
    for (solver, name) in [(LogisticSolver::NewtonCg, "newton-cg"), (LogisticSolver::Lbfgs, "lbfgs")] {
        let params = Logistic { l1: 1.0, solver, ..Logistic::default() };
        refused(params.fit(data.view(), &y, Rows::default(), &context).unwrap_err(), name);
    }
    for (solver, name) in [(GeneralisedSolver::NewtonCg, "newton-cg"), (GeneralisedSolver::Lbfgs, "lbfgs")] {
        let params = Generalised { alpha: 1.0, l1_ratio: 0.5, solver, ..Generalised::default() };
        refused(params.fit(data.view(), &counts, Rows::default(), &context).unwrap_err(), name);
    }
    let params = Generalised { alpha: 1.0, solver: GeneralisedSolver::Lbfgs, ..Generalised::default() };
    refused(params.fit_sparse(sparse.view(), &counts, Rows::default(), &context).unwrap_err(), "lbfgs");
    // Of sparse rows it is what auto is.
    let of = |solver| {
        let params = Generalised { alpha: 1.0, solver, ..Generalised::default() };
        params.fit_sparse(sparse.view(), &counts, Rows::default(), &context).unwrap().model
    };
    assert_eq!(of(GeneralisedSolver::Auto), of(GeneralisedSolver::NewtonCg));
}
