//! What is asked of coefficients at a minimum.

/// How far a coefficient is from what is asked of it at a minimum: the gradient `slope` of the smooth part, to which l1 |b| adds l1 or
/// -l1, and at b = 0 anything between.
pub(crate) fn residual(slope: f64, b: f64, l1: f64) -> f64 {
    if b == 0.0 { (slope.abs() - l1).max(0.0) } else { (slope + l1.copysign(b)).abs() }
}
