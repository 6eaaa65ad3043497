//! What the solvers of smooth problems share. A solver is a state machine that asks for the objective at one point
//! after another, so that whoever evaluates (threads here, workers elsewhere) need not know it.

use tilewise_base::Result;

/// The objective at the point asked for.
pub(crate) struct Evaluation {
    pub(crate) value: f64,
    pub(crate) gradient: Vec<f64>,
    /// Row-major, lower triangle; empty when not asked for.
    pub(crate) hessian: Vec<f64>,
    /// What the tolerance is compared with: the largest gradient entry in the units of standardised features.
    pub(crate) norm: f64,
    /// What the report tells: the largest gradient entry in the units of the features.
    pub(crate) optimality: f64,
}

/// The best point so far.
#[derive(Clone, Default)]
pub(crate) struct Accepted {
    pub(crate) point: Vec<f64>,
    pub(crate) value: f64,
    pub(crate) gradient: Vec<f64>,
    pub(crate) norm: f64,
    pub(crate) optimality: f64,
}

impl Accepted {
    pub(crate) fn new(point: Vec<f64>, e: Evaluation) -> Self {
        Self { point, value: e.value, gradient: e.gradient, norm: e.norm, optimality: e.optimality }
    }
}

/// How a solver ended.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) converged: bool,
    pub(crate) stopped: String,
    pub(crate) warning: Option<String>,
}

impl Outcome {
    pub(crate) fn converged(norm: f64, tolerance: f64) -> Self {
        let stopped = format!("gradient {norm:.1e} is within the tolerance {tolerance:.1e}");
        Self { converged: true, stopped, warning: None }
    }

    /// No step can decrease the objective by more than its rounding.
    pub(crate) fn precision(norm: f64) -> Self {
        let stopped = format!("the objective is exact to rounding; gradient {norm:.1e}");
        Self { converged: true, stopped, warning: None }
    }

    pub(crate) fn stuck(norm: f64) -> Self {
        let stopped = "no step along the direction found decreases the objective".to_owned();
        let warning = Some(format!("did not converge: {stopped}; gradient {norm:.1e}"));
        Self { converged: false, stopped, warning }
    }

    pub(crate) fn out_of_rounds(rounds: u64, norm: f64, tolerance: f64) -> Self {
        let stopped = format!("the limit of {rounds} after the one for means was reached");
        let warning = Some(format!(
            "did not converge: {stopped} with gradient {norm:.1e} above the tolerance {tolerance:.1e}"
        ));
        Self { converged: false, stopped, warning }
    }
}

/// How far a coefficient is from what is asked of it at a minimum: the gradient `slope` of the smooth part, to which l1 |b| adds l1 or
/// -l1, and at b = 0 anything between.
pub(crate) fn residual(slope: f64, b: f64, l1: f64) -> f64 {
    if b == 0.0 { (slope.abs() - l1).max(0.0) } else { (slope + l1.copysign(b)).abs() }
}

/// A minimiser of a smooth function.
pub(crate) trait Solver {
    /// Where it wants the objective next.
    fn point(&self) -> &[f64];
    /// Whether it wants the Hessian too.
    fn wants_hessian(&self) -> bool;
    /// The best point so far, once there is one.
    fn accepted(&self) -> Option<&Accepted>;
    /// Takes the objective at [`point`](Self::point); how it ended, if it has.
    fn advance(&mut self, evaluation: Evaluation) -> Result<Option<Outcome>>;
}

/// Least share of the decrease promised by the slope that a step must reach (Armijo).
const SUFFICIENT: f64 = 1e-4;

/// Rounding of an objective that is a long sum, relative.
const ROUNDING: f64 = 1e-14;

/// Changes of the objective below this cannot be told from its rounding.
pub(crate) fn rounding(value: f64) -> f64 {
    ROUNDING * value.abs().max(1e-8)
}

/// Whether the objective decreased enough over a step whose first-order decrease would be `slope` (negative).
pub(crate) fn sufficient(before: f64, after: f64, slope: f64) -> bool {
    after <= before + SUFFICIENT * slope
}
