//! What the solvers of smooth problems share: linear models and networks. A solver is a state machine that asks for the objective at one
//! point after another, so that whoever evaluates (threads here, workers elsewhere) need not know it.

use crate::Result;

/// The objective at the point asked for.
pub struct Evaluation {
    /// Its value.
    pub value: f64,
    /// As long as the point.
    pub gradient: Vec<f64>,
    /// Row-major, lower triangle; empty when not asked for.
    pub hessian: Vec<f64>,
    /// What the tolerance is compared with: the largest gradient entry in the units of standardised features.
    pub norm: f64,
    /// What the report tells: the largest gradient entry in the units of the features.
    pub optimality: f64,
}

/// The best point so far, and the objective there.
#[derive(Clone, Default)]
pub struct Accepted {
    /// The point.
    pub point: Vec<f64>,
    /// As in [`Evaluation`].
    pub value: f64,
    /// As in [`Evaluation`].
    pub gradient: Vec<f64>,
    /// As in [`Evaluation`].
    pub norm: f64,
    /// As in [`Evaluation`].
    pub optimality: f64,
}

impl Accepted {
    /// A point that was evaluated.
    pub fn new(point: Vec<f64>, e: Evaluation) -> Self {
        Self { point, value: e.value, gradient: e.gradient, norm: e.norm, optimality: e.optimality }
    }
}

/// How a solver ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether the tolerance was met.
    pub converged: bool,
    /// Why it ended, in words.
    pub stopped: String,
    /// What a person should know, where it did not converge.
    pub warning: Option<String>,
}

impl Outcome {
    /// The gradient is small enough.
    pub fn converged(norm: f64, tolerance: f64) -> Self {
        let stopped = format!("gradient {norm:.1e} is within the tolerance {tolerance:.1e}");
        Self { converged: true, stopped, warning: None }
    }

    /// No step can decrease the objective by more than its rounding.
    pub fn precision(norm: f64) -> Self {
        let stopped = format!("the objective is exact to rounding; gradient {norm:.1e}");
        Self { converged: true, stopped, warning: None }
    }

    /// No trial point along a direction was any better.
    pub fn stuck(norm: f64) -> Self {
        let stopped = "no step along the direction found decreases the objective".to_owned();
        let warning = Some(format!("did not converge: {stopped}; gradient {norm:.1e}"));
        Self { converged: false, stopped, warning }
    }

    /// Of a solver whose first round was one for means.
    pub fn out_of_rounds(rounds: u64, norm: f64, tolerance: f64) -> Self {
        let stopped = format!("the limit of {rounds} after the one for means was reached");
        let warning = Some(format!(
            "did not converge: {stopped} with gradient {norm:.1e} above the tolerance {tolerance:.1e}"
        ));
        Self { converged: false, stopped, warning }
    }
}

/// A minimiser of a smooth function.
pub trait Solver {
    /// Where it wants the objective next.
    fn point(&self) -> &[f64];
    /// Whether it wants the Hessian too.
    fn wants_hessian(&self) -> bool;
    /// The best point so far, once there is one.
    fn accepted(&self) -> Option<&Accepted>;
    /// Takes the objective at [`point`](Self::point); how it ended, if it has.
    ///
    /// # Errors
    /// When a gradient has not the length of the point.
    fn advance(&mut self, evaluation: Evaluation) -> Result<Option<Outcome>>;
}

/// Least share of the decrease promised by the slope that a step must reach (Armijo).
const SUFFICIENT: f64 = 1e-4;

/// Rounding of an objective that is a long sum, relative.
const ROUNDING: f64 = 1e-14;

/// Changes of the objective below this cannot be told from its rounding.
pub fn rounding(value: f64) -> f64 {
    ROUNDING * value.abs().max(1e-8)
}

/// Whether the objective decreased enough over a step whose first-order decrease would be `slope` (negative).
pub fn sufficient(before: f64, after: f64, slope: f64) -> bool {
    after <= before + SUFFICIENT * slope
}
