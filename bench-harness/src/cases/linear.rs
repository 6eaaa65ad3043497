//! Linear models on dense generated rows: standard normal features, a random linear truth, unit noise.
//!
//! Operations and bytes of the closed form count one Gram matrix and one reading of the features; those of gradient
//! descent count its rounds; those of logistic regression count a single round, so its shares of the peaks are low.

use crate::case::{Case, Cost, Outcome, Work};
use crate::operand::Draw;
use tilewise_base::{Context, Fit};
use tilewise_kernels::MatRef;
use tilewise_kernels::parallel::Scheme;
use tilewise_linear::{
    DescentLoss, GradientDescent, LeastSquares, LinearModel, Logistic, LogisticSolver, Rows,
};

mod direct;
mod plain;

/// Rounds of gradient descent that are timed.
const ROUNDS: u64 = 5;
/// The step of gradient descent over the largest curvature's inverse; 2 would diverge.
const STEP: f64 = 0.2;
/// How far coefficients may be from the plain version's, relative to the largest: both end where the gradient is small,
/// not at equal numbers.
const COEFFICIENTS: f64 = 1e-6;

/// The same arithmetic as passes that follow each other: what being written as rounds costs a fit in memory.
const WITHOUT_ROUNDS: &str = "without rounds";

const NOT_FITTED: &str =
    "the version without rounds found numbers that are not finite or labels that are not 0 or 1";

const DIMS: &[&str] = &["rows", "features"];
/// Tall, wide, square and small: the shapes on which the schemes of gradient descent differ.
const DESCENT: &[&[usize]] = &[&[500_000, 100], &[2000, 20_000], &[10_000, 1000], &[1000, 10]];
const FITS: &[&[usize]] = &[&[500_000, 100], &[20_000, 500], &[1000, 10]];

pub(super) fn cases() -> Vec<Case> {
    let case = |name, formula, timed, make| Case {
        name,
        element: "f64",
        formula,
        dims: DIMS,
        timed,
        quick: &[5000, 20],
        largest: &[800, 24],
        beside: None,
        make,
    };
    let step = "b -= step X^T (X b - y) / rows, five rounds";
    vec![
        case("descent rows", step, DESCENT, |shape, draw| Problem::descent(shape, draw, Scheme::Rows)),
        case("descent tasks", step, DESCENT, |shape, draw| Problem::descent(shape, draw, Scheme::Tasks)),
        case("descent auto", step, DESCENT, |shape, draw| Problem::descent(shape, draw, Scheme::Auto)),
        Case {
            beside: Some(WITHOUT_ROUNDS),
            ..case("least squares", "min |X b + a - y|^2", FITS, |shape, draw| {
                Problem::boxed(shape, draw, Method::LeastSquares)
            })
        },
        Case {
            beside: Some(WITHOUT_ROUNDS),
            ..case("logistic newton", "min log loss + |b|^2 / 2", FITS, |shape, draw| {
                Problem::boxed(shape, draw, Method::Logistic)
            })
        },
    ]
}

#[derive(Clone, Copy)]
enum Method {
    Descent(Scheme),
    LeastSquares,
    Logistic,
}

struct Problem {
    method: Method,
    rows: usize,
    features: usize,
    x: Vec<f64>,
    /// Numbers for least squares.
    y: Vec<f64>,
    /// Classes for logistic regression.
    labels: Vec<u32>,
    fitted: Vec<f64>,
    /// Objective and largest entry of the gradient, as reported.
    reported: [f64; 2],
}

impl Problem {
    fn descent(shape: &[usize], draw: &mut Draw, scheme: Scheme) -> Box<dyn Work> {
        Self::boxed(shape, draw, Method::Descent(scheme))
    }

    fn boxed(shape: &[usize], draw: &mut Draw, method: Method) -> Box<dyn Work> {
        Box::new(Self::new(shape, draw, method))
    }

    fn new(shape: &[usize], draw: &mut Draw, method: Method) -> Self {
        let features = shape[1].max(1);
        // The closed form is compared by its coefficients, which few rows would leave undetermined.
        let rows = if matches!(method, Method::Descent(_)) {
            shape[0].max(2)
        } else {
            shape[0].max(4 * features + 20)
        };
        let (x, truth) = (draw.normals::<f64>(rows * features), draw.normals::<f64>(features));
        let noise = draw.normals::<f64>(rows);
        let scale = 1.0 / (features as f64).sqrt();
        let signal = |row: &[f64]| row.iter().zip(&truth).map(|(x, b)| x * b).sum::<f64>() * scale;
        let y: Vec<f64> =
            x.chunks_exact(features).zip(noise).map(|(row, noise)| signal(row) + noise).collect();
        // The first two rows differ, so that there are always two classes.
        let labels =
            y.iter().enumerate().map(|(i, &y)| if i < 2 { i as u32 } else { u32::from(y > 0.0) }).collect();
        Self { method, rows, features, x, y, labels, fitted: Vec::new(), reported: [0.0; 2] }
    }

    fn descent_of(&self) -> GradientDescent {
        // The largest eigenvalue of X^T X / rows for standard normal features comes near (1 + sqrt(features / rows))^2
        // (Marchenko and Pastur), and the squared error bends twice as much.
        let curvature = 2.0 * (1.0 + (self.features as f64 / self.rows as f64).sqrt()).powi(2);
        let step = Some(STEP / curvature);
        let loss = DescentLoss::Squared;
        GradientDescent { loss, l2: 0.0, intercept: true, step, tolerance: 0.0, max_rounds: ROUNDS }
    }

    fn keep(&mut self, fit: Fit<LinearModel>) {
        self.fitted = fit.model.coefficients;
        self.fitted.extend(fit.model.intercepts);
        self.reported = [fit.report.objective, fit.report.optimality];
    }
}

impl Problem {
    fn keep_direct(&mut self, fitted: Option<direct::Fitted>) -> Outcome {
        let direct::Fitted { weights, objective, optimality } = fitted.ok_or(NOT_FITTED)?;
        (self.fitted, self.reported) = (weights, [objective, optimality]);
        Ok(())
    }
}

impl Work for Problem {
    fn ours(&mut self) -> Outcome {
        let x = MatRef::new(&self.x, self.rows, self.features)?;
        let scheme = if let Method::Descent(scheme) = self.method { scheme } else { Scheme::Auto };
        let context = Context { scheme, ..Context::default() };
        let fit = match self.method {
            Method::Descent(_) => self.descent_of().fit(x, &self.y, Rows::default(), &context)?,
            Method::LeastSquares => LeastSquares::default().fit(x, &self.y, Rows::default(), &context)?,
            Method::Logistic => {
                // The default tries L-BFGS first; the same without rounds is Newton's method.
                let newton = Logistic { solver: LogisticSolver::NewtonCholesky, ..Logistic::default() };
                newton.fit(x, &self.labels, Rows::default(), &context)?
            }
        };
        self.keep(fit);
        Ok(())
    }

    fn naive(&mut self) -> Outcome {
        match self.method {
            Method::Descent(_) => {
                let x = MatRef::new(&self.x, self.rows, self.features)?;
                let fit = self.descent_of().fit_naive(x, &self.y, Rows::default(), &Context::default())?;
                self.keep(fit);
            }
            Method::LeastSquares => self.fitted = plain::least_squares(&self.x, &self.y, self.features),
            Method::Logistic => self.fitted = plain::logistic(&self.x, &self.labels, self.features),
        }
        Ok(())
    }

    fn beside(&mut self) -> Outcome {
        let x = MatRef::new(&self.x, self.rows, self.features)?;
        match self.method {
            Method::Descent(_) => self.ours(),
            Method::LeastSquares => self.keep_direct(direct::least_squares(x, &self.y)?),
            Method::Logistic => self.keep_direct(direct::logistic(x, &self.labels)?),
        }
    }

    fn output(&self) -> Vec<f64> {
        self.fitted.clone()
    }

    fn allowed(&self) -> Vec<f64> {
        // The truth has coefficients of about 1 / sqrt(features), and the intercept is near 0.
        vec![COEFFICIENTS; self.features + 1]
    }

    fn cost(&self) -> Cost {
        let (rows, features) = (self.rows as f64, self.features as f64);
        let bytes = 8.0 * rows * features;
        let gram = rows * features * (features + 1.0);
        match self.method {
            Method::Descent(_) => {
                let rounds = ROUNDS as f64;
                Cost { flops: 4.0 * rows * features * rounds, bytes: bytes * rounds, written: 0.0 }
            }
            _ => Cost { flops: gram, bytes, written: 0.0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descent_goes_down_in_every_shape() {
        for [rows, features] in [[20, 400], [60, 60], [500, 5]] {
            let mut problem =
                Problem::new(&[rows, features], &mut Draw::packed(1), Method::Descent(Scheme::Auto));
            problem.ours().unwrap();
            let (b, a) = problem.fitted.split_at(features);
            let product = |row: &[f64]| row.iter().zip(b).map(|(x, b)| x * b).sum::<f64>() + a[0];
            let rows = problem.x.chunks_exact(features).zip(&problem.y);
            let after: f64 = rows.map(|(row, y)| (y - product(row)).powi(2)).sum();
            let before: f64 = problem.y.iter().map(|y| y * y).sum();
            assert!(after < before, "{after} after, {before} before");
        }
    }

    #[test]
    fn the_version_without_rounds_gives_the_same_answer_and_report() {
        for method in [Method::LeastSquares, Method::Logistic] {
            for shape in [[40, 3], [3000, 20]] {
                let mut problem = Problem::new(&shape, &mut Draw::packed(2), method);
                problem.ours().unwrap();
                let (fitted, [objective, ours]) = (problem.fitted.clone(), problem.reported);
                problem.beside().unwrap();
                let apart =
                    fitted.iter().zip(&problem.fitted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(apart < 1e-8, "coefficients {apart} apart");
                let [other, optimality] = problem.reported;
                assert!((objective - other).abs() < 1e-12 * objective, "{objective} and {other}");
                assert!(optimality.max(ours) < 1e-8, "gradient {optimality}, ours {ours}");
            }
        }
    }
}
