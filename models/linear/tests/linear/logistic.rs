//! Properties of logistic and multinomial regression.

use crate::support::normal;
use proptest::prelude::*;
use tilewise_base::{Context, Fit, Progress, rounds};
use tilewise_kernels::{MatMut, MatRef, parallel};
use tilewise_linear::{Chunk, ClassWeights, Element, LinearModel, Logistic, LogisticSolver, Rows};

const ALL: [LogisticSolver; 3] = [SOLVERS[0], SOLVERS[1], LogisticSolver::Auto];
const SOLVERS: [LogisticSolver; 2] = [LogisticSolver::NewtonCholesky, LogisticSolver::Lbfgs];

fn fit<T: Element>(params: &Logistic, x: &[T], cols: usize, y: &[u32], rows: Rows<'_>) -> Fit<LinearModel> {
    params.fit(MatRef::new(x, y.len(), cols).unwrap(), y, rows, &Context::default()).unwrap()
}

/// Overlapping classes: labels from noisy linear scores of the first columns.
fn problem(n: usize, p: usize, classes: usize, seed: u64) -> (Vec<f64>, Vec<u32>) {
    let (x, noise) = (normal(n, p, seed), normal(n, classes, seed + 1000));
    let score = |i: usize, c: usize| x[i * p + c % p] * (1.0 + c as f64) + 2.0 * noise[i * classes + c];
    let best = |i: usize| (0..classes).max_by(|&a, &b| score(i, a).total_cmp(&score(i, b))).unwrap() as u32;
    let mut y: Vec<u32> = (0..n).map(best).collect();
    (0..classes).for_each(|c| y[c] = c as u32);
    (x, y)
}

/// Objective and largest gradient entry, by plain loops over softmax probabilities of all classes.
fn recomputed(
    params: &Logistic,
    m: &LinearModel,
    x: &[f64],
    y: &[u32],
    w: &[f64],
    offset: &[f64],
) -> (f64, f64) {
    let (p, k) = (m.features(), m.intercepts.len());
    let (mut objective, mut gradient, mut total) = (0.0, vec![0.0; k * (p + 1)], 0.0);
    for (i, row) in x.chunks(p).enumerate() {
        let z = |c: usize| -> f64 {
            let b = &m.coefficients[c * p..(c + 1) * p];
            row.iter().zip(b).map(|(x, b)| x * b).sum::<f64>() + m.intercepts[c] + offset[i]
        };
        let mut z: Vec<f64> = (0..k).map(z).collect();
        if k == 1 {
            z.insert(0, 0.0);
        }
        let log_sum = z.iter().map(|z| z.exp()).sum::<f64>().ln();
        objective += w[i] * (log_sum - z[y[i] as usize]);
        total += w[i];
        for c in 0..k {
            let class = if k == 1 { 1 } else { c };
            let r = w[i] * ((z[class] - log_sum).exp() - f64::from(u8::from(y[i] as usize == class)));
            (0..p).for_each(|j| gradient[c * (p + 1) + j] += r * row[j]);
            gradient[c * (p + 1) + p] += if params.intercept { r } else { 0.0 };
        }
    }
    for (c, b) in m.coefficients.chunks(p).enumerate() {
        for (j, b) in b.iter().enumerate() {
            gradient[c * (p + 1) + j] += params.l2 * b;
            objective += 0.5 * params.l2 * b * b;
        }
    }
    (objective / total, gradient.iter().fold(0.0f64, |m, g| m.max(g.abs())) / total)
}

#[test]
fn report_tells_what_loops_recompute() {
    let (n, p) = (300, 6);
    for classes in [2, 4] {
        let (x, y) = problem(n, p, classes, 1);
        let x: Vec<f64> = x.iter().map(|x| 2.0 * x + 5.0).collect();
        let weights: Vec<f64> = normal(n, 1, 4).iter().map(|x| x.abs()).collect();
        let offset = if classes == 2 { normal(n, 1, 5) } else { vec![0.0; n] };
        for (solver, intercept, l2) in
            SOLVERS.into_iter().flat_map(|s| [(s, true, 0.0), (s, false, 0.7), (s, true, 0.7)])
        {
            // A loose tolerance, so that the gradient is far above rounding.
            let params = Logistic { l2, intercept, solver, tolerance: 1e-4, ..Default::default() };
            let rows = Rows { weights: Some(&weights), offset: (classes == 2).then_some(&offset) };
            let fit = fit(&params, &x, p, &y, rows);
            let (objective, optimality) = recomputed(&params, &fit.model, &x, &y, &weights, &offset);
            assert!((fit.report.objective / objective - 1.0).abs() < 1e-12);
            assert!(
                (fit.report.optimality - optimality).abs() < 1e-12,
                "{optimality:e} and {:?}",
                fit.report
            );
            assert!(fit.report.converged && fit.report.warnings.is_empty(), "{:?}", fit.report);
            if !intercept {
                assert!(fit.model.intercepts.iter().all(|b| *b == 0.0));
            }
            if classes > 2 && intercept {
                assert!(fit.model.intercepts.iter().sum::<f64>().abs() < 1e-12);
            }
        }
    }
}

#[test]
fn solvers_agree_without_penalty_and_with_hard_scales() {
    for classes in [2, 3] {
        let (mut x, y) = problem(400, 4, classes, 7);
        for row in x.chunks_mut(4) {
            row[1] = row[1] * 1e-3 + 0.1;
            row[2] *= 1e4;
        }
        let params = |solver| Logistic { l2: 0.0, tolerance: 1e-11, solver, ..Default::default() };
        let [a, b] = SOLVERS.map(|s| fit(&params(s), &x, 4, &y, Rows::default()));
        assert!(a.report.converged && b.report.converged, "{:?} {:?}", a.report, b.report);
        for (a, b) in a.model.coefficients.iter().zip(&b.model.coefficients) {
            assert!((a - b).abs() < 1e-6 * a.abs().max(1e-6), "{a} and {b}");
        }
    }
}

#[test]
fn perfect_separation_is_reported() {
    for classes in [2, 3] {
        let (n, p) = (90, 2);
        let mut x = normal(n, p, 3);
        let y: Vec<u32> = (0..n).map(|i| (i % classes) as u32).collect();
        x.chunks_mut(p).zip(&y).for_each(|(row, &y)| {
            row[0] += 20.0 * f64::from(y);
            row[1] += 20.0 * f64::from(y * y);
        });
        for solver in SOLVERS {
            let params = Logistic { l2: 0.0, solver, ..Default::default() };
            let fit_ = fit(&params, &x, p, &y, Rows::default());
            assert!(!fit_.report.converged && fit_.report.rounds < 100, "{:?}", fit_.report);
            assert!(fit_.report.warnings[0].contains("separate the classes perfectly"));
            let penalised =
                fit(&Logistic { l2: 1e-3, solver, ..Default::default() }, &x, p, &y, Rows::default());
            assert!(
                penalised.report.converged && penalised.report.warnings.is_empty(),
                "{:?}",
                penalised.report
            );
        }
    }
    // A category in which all rows are of one class: the others overlap, its coefficient alone is unbounded.
    let (x, mut y) = problem(200, 1, 2, 6);
    let x: Vec<f64> =
        x.iter().enumerate().flat_map(|(i, &x)| [x, f64::from(u8::from(i % 10 == 3))]).collect();
    y.iter_mut().enumerate().for_each(|(i, y)| *y |= u32::from(i % 10 == 3));
    let fit =
        fit(&Logistic { l2: 0.0, solver: SOLVERS[0], ..Default::default() }, &x, 2, &y, Rows::default());
    assert!(fit.report.warnings.iter().any(|w| w.contains("still grow")), "{:?}", fit.report);
}

#[test]
fn collinear_columns_converge_with_a_warning() {
    let (x, y) = problem(200, 2, 3, 8);
    let x: Vec<f64> = x.chunks(2).flat_map(|x| [x[0], x[1], x[0] + x[1]]).collect();
    let fit =
        fit(&Logistic { l2: 0.0, solver: SOLVERS[0], ..Default::default() }, &x, 3, &y, Rows::default());
    assert!(fit.report.converged && fit.report.rounds < 20, "{:?}", fit.report);
    assert!(fit.report.warnings[0].contains("not unique"), "{:?}", fit.report);
}

#[test]
fn bad_input_is_named() {
    let context = Context::default();
    let error = |params: &Logistic, x: &[f64], y: &[u32], rows: Rows<'_>| {
        params.fit(MatRef::new(x, x.len(), 1).unwrap(), y, rows, &context).unwrap_err().to_string()
    };
    let (params, none) = (Logistic::default(), Rows::default());
    assert!(error(&params, &[1.0, 2.0], &[0, 0], none).contains("one class only"));
    assert!(error(&params, &[1.0, 2.0], &[1, 1], none).contains("class 0 has no row"));
    assert!(error(&params, &[1.0, 2.0], &[0, 2], none).contains("class 1 has no row"));
    assert!(error(&params, &[1.0, f64::NAN], &[0, 1], none).contains("row 1, feature 0: NaN"));
    assert!(error(&params, &[1.0, 2.0], &[0], none).contains("targets against rows"));
    assert!(error(&params, &[], &[], none).contains("no rows"));
    let weights = Rows { weights: Some(&[1.0, f64::NAN]), offset: None };
    assert!(error(&params, &[1.0, 2.0], &[0, 1], weights).contains("row 1: the weight"));
    let offset = Rows { weights: None, offset: Some(&[0.0; 3]) };
    assert!(error(&params, &[1.0, 2.0, 3.0], &[0, 1, 2], offset).contains("offset"));
    let given = |w: &[f64]| Logistic { class_weights: ClassWeights::Given(w.to_vec()), ..Default::default() };
    assert!(error(&given(&[1.0]), &[1.0, 2.0], &[0, 1], none).contains("class_weights"));
    assert!(error(&given(&[1.0, -1.0]), &[1.0, 2.0], &[0, 1], none).contains("class_weights"));
    assert!(error(&Logistic { l2: f64::NAN, ..Default::default() }, &[1.0], &[0], none).contains("l2"));
    // Out of rounds: a warning and the best so far.
    let (x, y) = problem(100, 3, 2, 9);
    for solver in SOLVERS {
        let fit = fit(&Logistic { max_rounds: 2, solver, ..Default::default() }, &x, 3, &y, none);
        assert!(!fit.report.converged && fit.report.warnings[0].contains("did not converge"));
        assert!(fit.report.objective < std::f64::consts::LN_2);
    }
}

struct StopAt(u64, std::sync::atomic::AtomicBool);
impl Progress for StopAt {
    fn round(&self, done: u64, _: u64, _: &str) {
        self.1.store(done >= self.0, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Columns that nearly agree: L-BFGS needs over a hundred rounds, so `Auto` begins with it and turns to Newton's method.
fn nearly_collinear(n: usize, p: usize, classes: usize) -> (Vec<f64>, Vec<u32>) {
    let (mut x, y) = problem(n, p, classes, 12);
    for row in x.chunks_mut(p) {
        let common = row[p - 1];
        row[3..].iter_mut().for_each(|x| *x = common + 0.02 * *x);
    }
    (x, y)
}

#[test]
fn auto_turns_from_lbfgs_to_newton() {
    let (n, p) = (600, 40);
    for classes in [2, 3] {
        let (x, y) = nearly_collinear(n, p, classes);
        let params = |solver| Logistic { l2: 0.1, tolerance: 1e-10, solver, ..Default::default() };
        let [newton, lbfgs] = SOLVERS.map(|s| fit(&params(s), &x, p, &y, Rows::default()));
        let auto = fit(&params(LogisticSolver::Auto), &x, p, &y, Rows::default());
        // One round for the moments, 8 + 40 / 4 of L-BFGS, few of Newton's method.
        assert!(lbfgs.report.rounds > 40 && (20..30).contains(&auto.report.rounds), "{auto:?} {lbfgs:?}");
        assert!(auto.report.converged && auto.report.warnings.is_empty(), "{:?}", auto.report);
        for (a, b) in auto.model.coefficients.iter().zip(&newton.model.coefficients) {
            assert!((a - b).abs() < 1e-7, "{a} and {b}");
        }
        // With few rounds Newton's method has its half of them, and the report counts those of both.
        let few = |max_rounds| Logistic { max_rounds, ..params(LogisticSolver::Auto) };
        assert!(fit(&few(20), &x, p, &y, Rows::default()).report.converged);
        let short = fit(&few(6), &x, p, &y, Rows::default()).report;
        assert!(!short.converged && short.stopped.contains("limit of 6"), "{short:?}");
        // With next to no penalty it is Newton's method alone.
        let free = |solver| fit(&Logistic { l2: 1e-9, ..params(solver) }, &x, p, &y, Rows::default());
        assert_eq!(free(LogisticSolver::Auto).model, free(SOLVERS[0]).model);
        // Interrupted just where the solvers change, it keeps where L-BFGS was.
        let stop = StopAt(19, false.into());
        let context = Context { progress: &stop, cancel: &stop.1, ..Default::default() };
        let view = MatRef::new(&x, n, p).unwrap();
        let kept = params(LogisticSolver::Auto).fit(view, &y, Rows::default(), &context).unwrap();
        let cut = Logistic { max_rounds: 18, ..params(LogisticSolver::Lbfgs) };
        let same = fit(&cut, &x, p, &y, Rows::default());
        for (a, b) in kept.model.coefficients.iter().zip(&same.model.coefficients) {
            assert!((a - b).abs() <= 1e-12 * b.abs(), "{a} and {b}");
        }
    }
}

#[test]
fn cancelled_fits_keep_what_they_have() {
    let (x, y) = problem(100, 3, 2, 10);
    let x = MatRef::new(&x, 100, 3).unwrap();
    for at in [1, 3] {
        let stop = StopAt(at, false.into());
        let context = Context { progress: &stop, cancel: &stop.1, ..Default::default() };
        let fit = Logistic::default().fit(x, &y, Rows::default(), &context);
        match fit {
            Err(e) => assert!(at == 1 && matches!(e, tilewise_base::Error::Cancelled)),
            Ok(fit) => assert!(at == 3 && fit.report.stopped == "interrupted" && !fit.report.converged),
        }
    }
}

/// Sums are merged at other places: rounding, which convergence to 1e-10 makes small again.
const CHUNKING: f64 = 1e-8;

#[test]
fn chunks_through_bytes_give_the_same_fit() {
    for (classes, solver) in [2, 3].into_iter().flat_map(|classes| ALL.map(|solver| (classes, solver))) {
        let n = 500;
        let (p, (x, y)) = match solver {
            LogisticSolver::Auto => (40, nearly_collinear(n, 40, classes)),
            _ => (5, problem(n, 5, classes, 11)),
        };
        let params = Logistic {
            solver,
            tolerance: 1e-10,
            class_weights: ClassWeights::Balanced,
            ..Default::default()
        };
        let whole = fit(&params, &x, p, &y, Rows::default());
        // One round for the moments and 8 + 40 / 4 of L-BFGS, so Newton's method came after.
        assert!(solver != LogisticSolver::Auto || whole.report.rounds > 19, "{:?}", whole.report);
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
        let mut trainer = params.trainer::<f64>(p, classes).unwrap();
        rounds::run_through_bytes(&mut trainer, &chunks, &Context::default()).unwrap();
        let parts = trainer.finish().unwrap();
        for (a, b) in whole.model.coefficients.iter().zip(&parts.model.coefficients) {
            assert!((a - b).abs() < CHUNKING, "{a} and {b}");
        }
    }
}

#[test]
fn same_bits_at_any_thread_count_and_batch() {
    for (classes, solver) in [2, 4].into_iter().flat_map(|classes| ALL.map(|solver| (classes, solver))) {
        let (n, p) = (5000, 60);
        let (x, y) = nearly_collinear(n, p, classes);
        let params = Logistic { solver, ..Default::default() };
        let view = MatRef::new(&x, n, p).unwrap();
        let run = |threads| {
            parallel::with_threads(threads, || {
                let model = fit(&params, &x, p, &y, Rows::default()).model;
                let mut out = vec![0.0; n * classes];
                model.predict(view, None, MatMut::new(&mut out, n, classes).unwrap()).unwrap();
                (model, out)
            })
        };
        let (model, out) = run(1);
        // 8 + 60 / 4 rounds of L-BFGS after the one for means, then Newton's.
        let rounds = fit(&params, &x, p, &y, Rows::default()).report.rounds;
        assert!(solver != LogisticSolver::Auto || rounds > 24, "{rounds}");
        for threads in [2, 3, 7] {
            assert_eq!((&model, &out), (&run(threads).0, &run(threads).1));
        }
        let mut alone = vec![0.0; classes];
        for (i, answer) in out.chunks(classes).enumerate().step_by(997) {
            model.predict_row(view.row(i).unwrap(), 0.0, &mut alone).unwrap();
            assert_eq!(alone, answer);
            assert!((alone.iter().sum::<f64>() - 1.0).abs() < 1e-14);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A weight of k is k repetitions, and a class weight a factor on the weights of its rows.
    #[test]
    fn weights_are_repetitions(n in 20usize..60, classes in 2usize..4, seed in 0u64..1000, l2 in 0.1f64..2.0) {
        let (x, y) = problem(n, 3, classes, seed);
        let counts: Vec<usize> = (0..n).map(|i| (i * 7 + seed as usize) % 3 + usize::from(i < classes)).collect();
        let weights: Vec<f64> = counts.iter().map(|&c| c as f64).collect();
        let factors: Vec<f64> = (0..classes).map(|c| 1.0 + c as f64).collect();
        let repeat = |i: usize| counts[i] * (1 + y[i] as usize);
        let xs: Vec<f64> = (0..n).flat_map(|i| x[i * 3..i * 3 + 3].repeat(repeat(i))).collect();
        let ys: Vec<u32> = (0..n).flat_map(|i| [y[i]].repeat(repeat(i))).collect();
        let params = Logistic { l2, tolerance: 1e-10, ..Default::default() };
        let weighted = Logistic { class_weights: ClassWeights::Given(factors), ..params.clone() };
        let a = fit(&weighted, &x, 3, &y, Rows { weights: Some(&weights), offset: None });
        let b = fit(&params, &xs, 3, &ys, Rows::default());
        for (a, b) in a.model.coefficients.iter().zip(&b.model.coefficients) {
            prop_assert!((a - b).abs() < 1e-7, "{a} and {b}");
        }
        prop_assert!((a.report.objective - b.report.objective).abs() < 1e-10);
    }
}

/// Of very many rows L-BFGS begins where a sample leads, of eight leaves of 128 rows one: whatever is in that, the answer is that of all
/// rows.
#[test]
fn a_sample_of_the_rows_changes_no_answer() {
    let (n, p) = (70_000, 32);
    let (mut x, mut y) = problem(n, p, 2, 5);
    // Columns that depend on each other, of several scales; and all of one class first.
    for row in x.chunks_mut(p) {
        (1..p).for_each(|j| row[j] = 10f64.powi(j as i32 % 3 - 1) * (row[j] + row[j - 1]));
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|&i| y[i]);
    x = order.iter().flat_map(|&i| x[i * p..(i + 1) * p].to_vec()).collect();
    y = order.iter().map(|&i| y[i]).collect();
    let sampled = |i: usize| (i / 128).is_multiple_of(8);
    let weights: Vec<f64> = (0..n).map(|i| if sampled(i) { 0.0 } else { 1.0 + (i % 3) as f64 }).collect();
    let flipped: Vec<u32> = y.iter().enumerate().map(|(i, &y)| if sampled(i) { 1 - y } else { y }).collect();
    let params = Logistic { tolerance: 1e-9, ..Logistic::default() };
    let newton = Logistic { solver: LogisticSolver::NewtonCholesky, ..params.clone() };
    for (y, weights) in [(&y, None), (&y, Some(&weights[..])), (&flipped, None)] {
        let rows = Rows { weights, offset: None };
        let run = |threads| parallel::with_threads(threads, || fit(&params, &x, p, y, rows));
        let (auto, expected) = (run(1), fit(&newton, &x, p, y, rows));
        // Where there is no room for its rounds there is no sample, and the way is another.
        let without = fit(&Logistic { max_rounds: 99, ..params.clone() }, &x, p, y, rows);
        assert!(without.report.converged && without.report.rounds != auto.report.rounds);
        assert!(auto.report.converged && auto.report.warnings.is_empty(), "{:?}", auto.report);
        let gap = (auto.report.objective - expected.report.objective) / expected.report.objective;
        assert!(gap.abs() < 1e-13, "{gap:e}");
        let parts = auto.model.coefficients.iter().zip(&expected.model.coefficients);
        assert!(parts.clone().all(|(a, b)| (a - b).abs() < 1e-6 * (1.0 + b.abs())), "{parts:?}");
        assert_eq!(run(3).model, auto.model);
    }
}
