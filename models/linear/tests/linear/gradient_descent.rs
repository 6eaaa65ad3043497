//! Gradient descent: its three forms against each other and against the solvers of the same objectives.

use crate::support::normal;
use tilewise_base::{Context, Fit};
use tilewise_kernels::parallel::{self, Scheme};
use tilewise_kernels::{Float, MatRef};
use tilewise_linear::{DescentLoss, Element, GradientDescent, LeastSquares, LinearModel, Logistic, Rows};

fn fit<T: Element>(
    params: &GradientDescent,
    x: &[T],
    y: &[f64],
    rows: Rows<'_>,
    scheme: Option<Scheme>,
) -> Fit<LinearModel> {
    let x = MatRef::new(x, y.len(), x.len() / y.len()).unwrap();
    match scheme {
        Some(scheme) => params.fit(x, y, rows, &Context { scheme, ..Default::default() }).unwrap(),
        None => params.fit_naive(x, y, rows, &Context::default()).unwrap(),
    }
}

const FORMS: [Option<Scheme>; 4] = [None, Some(Scheme::Tasks), Some(Scheme::Rows), Some(Scheme::Auto)];

fn coins(n: usize, seed: u64) -> Vec<f64> {
    normal(n, 1, seed).iter().map(|z| f64::from(u8::from(*z > 0.3))).collect()
}

#[test]
fn reaches_the_minimum_of_the_solvers() {
    let (n, p) = (400, 5);
    let (x, y, classes) = (normal(n, p, 1), normal(n, 1, 2), coins(n, 3));
    let (offset, weights) = (normal(n, 1, 4), normal(n, 1, 5).iter().map(|w| w * w).collect::<Vec<_>>());
    let rows = Rows { weights: Some(&weights), offset: Some(&offset) };
    let (context, view) = (Context::default(), MatRef::new(&x, n, p).unwrap());
    for intercept in [true, false] {
        let l2 = 3.0;
        let squared =
            LeastSquares { l2, intercept, ..Default::default() }.fit(view, &y, rows, &context).unwrap();
        let codes: Vec<u32> = classes.iter().map(|c| *c as u32).collect();
        let params = Logistic { l2, intercept, tolerance: 1e-12, ..Default::default() };
        let logistic = params.fit(view, &codes, rows, &context).unwrap();
        for (loss, y, best) in
            [(DescentLoss::Squared, &y, squared), (DescentLoss::Logistic, &classes, logistic)]
        {
            let params = GradientDescent { loss, l2, intercept, tolerance: 1e-11, ..Default::default() };
            for form in FORMS {
                let fit = fit(&params, &x, y, rows, form);
                assert!(fit.report.converged, "{loss:?} {form:?}: {:?}", fit.report);
                assert!((fit.report.objective - best.report.objective).abs() < 1e-12);
                for (a, b) in fit.model.coefficients.iter().zip(&best.model.coefficients) {
                    assert!((a - b).abs() < 1e-8, "{loss:?} {form:?}: {a} and {b}");
                }
                assert_eq!(fit.model.link, best.model.link);
            }
        }
    }
}

/// Every form makes the same steps; sums are ordered differently.
fn same_path<T: Element>(tolerance: f64) {
    for (n, p) in [(3000, 100), (40, 3000), (7, 1), (1001, 33)] {
        let x: Vec<T> = normal(n, p, 6).into_iter().map(T::from_f64).collect();
        let y = coins(n, 7);
        for loss in [DescentLoss::Squared, DescentLoss::Logistic] {
            let params = GradientDescent { loss, tolerance: 0.0, max_rounds: 4, ..Default::default() };
            let naive = fit(&params, &x, &y, Rows::default(), None);
            for form in [Scheme::Tasks, Scheme::Rows] {
                let run = |threads| {
                    parallel::with_threads(threads, || fit(&params, &x, &y, Rows::default(), Some(form)))
                };
                let ours = run(1);
                let worst = ours.model.coefficients.iter().zip(&naive.model.coefficients);
                let worst = worst.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(worst < tolerance, "{n} x {p} {loss:?} {form:?}: {worst:e}");
                for threads in [2, 3, 7] {
                    assert_eq!(ours.model, run(threads).model, "{n} x {p} {loss:?} {form:?}");
                }
            }
        }
    }
}

#[test]
fn forms_agree_and_keep_their_bits_f64() {
    same_path::<f64>(1e-12);
}

#[test]
fn forms_agree_and_keep_their_bits_f32() {
    // Coefficients near 0.1, sums of f32 over a few thousand terms.
    same_path::<f32>(300.0 * f32::EPSILON.to_f64());
}

#[test]
fn columns_may_lie_apart() {
    let (n, p) = (500, 40);
    let (x, y) = (normal(n, p, 8), normal(n, 1, 9));
    let columns: Vec<f64> =
        (0..p).flat_map(|j| x.iter().skip(j).step_by(p).copied().collect::<Vec<_>>()).collect();
    let view = MatRef::new(&columns, p, n).unwrap().transpose();
    let params = GradientDescent { max_rounds: 20, tolerance: 0.0, ..Default::default() };
    for scheme in [Scheme::Tasks, Scheme::Rows] {
        let a = fit(&params, &x, &y, Rows::default(), Some(scheme));
        let b = params.fit(view, &y, Rows::default(), &Context { scheme, ..Default::default() }).unwrap();
        for (a, b) in a.model.coefficients.iter().zip(&b.model.coefficients) {
            assert!((a - b).abs() < 1e-12);
        }
    }
}

#[test]
fn bad_input_and_long_steps_are_reported() {
    let error = |params: &GradientDescent, x: &[f64], y: &[f64]| {
        let x = MatRef::new(x, x.len(), 1).unwrap();
        params.fit(x, y, Rows::default(), &Context::default()).unwrap_err().to_string()
    };
    let params = GradientDescent::default();
    assert!(error(&params, &[1.0, f64::NAN], &[0.0, 1.0]).contains("row 1, feature 0: NaN"));
    assert!(error(&params, &[1.0, 2.0], &[0.0]).contains("targets against rows"));
    assert!(error(&params, &[], &[]).contains("no rows"));
    let logistic = GradientDescent { loss: DescentLoss::Logistic, ..Default::default() };
    assert!(error(&logistic, &[1.0, 2.0], &[0.0, 2.0]).contains("row 1: the target"));
    let long = GradientDescent { step: Some(1e3), ..Default::default() };
    assert!(error(&long, &[1.0, 2.0], &[0.0, 1.0]).contains("too long"));
    assert!(
        error(&GradientDescent { step: Some(0.0), ..Default::default() }, &[1.0], &[0.0]).contains("step")
    );
    let few = GradientDescent { max_rounds: 3, ..Default::default() };
    let fit = fit(&few, &[1.0, 2.0, 4.0], &[0.0, 3.0, 1.0], Rows::default(), Some(Scheme::Auto));
    assert!(
        !fit.report.converged
            && fit.report.rounds == 3
            && fit.report.warnings[0].contains("did not converge")
    );
}

#[test]
fn the_automatic_step_never_diverges() {
    // Two rows of 400 features: one of ones, one that alternates and bends 2.5 times as much. A start nearly orthogonal to
    // the second, as any positive vector is, makes power iteration stop at the first, and a step for that diverges.
    let p = 400;
    let alternating = (0..p).map(|j| if j % 2 == 0 { 2.5f64.sqrt() } else { -2.5f64.sqrt() });
    let x: Vec<f64> = std::iter::repeat_n(1.0, p).chain(alternating).collect();
    let params = GradientDescent { intercept: false, tolerance: 1e-9, ..Default::default() };
    let view = MatRef::new(&x, 2, p).unwrap();
    for seed in 0..300 {
        let context = Context { seed, ..Default::default() };
        let fit = params.fit(view, &[1.0, 2.0], Rows::default(), &context).unwrap();
        assert!(fit.report.converged && fit.report.objective < 1e-9, "seed {seed}: {:?}", fit.report);
        // Wherever it ends, it is not at a point that overshot: zero has the objective 2.5.
        for max_rounds in 1..8 {
            let cut = GradientDescent { max_rounds, ..params.clone() };
            let fit = cut.fit(view, &[1.0, 2.0], Rows::default(), &context).unwrap();
            assert!(fit.report.objective < 10.0, "seed {seed}, {max_rounds} rounds: {:?}", fit.report);
        }
    }
}
