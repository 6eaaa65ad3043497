//! What is asked of coefficients at a minimum, and what a step towards it gains.

use tilewise_base::Result;
use tilewise_kernels::{axpy, dot};

/// How far a coefficient is from what is asked of it at a minimum: the gradient `slope` of the smooth part, to which l1 |b| adds l1 or
/// -l1, and at b = 0 anything between.
pub(crate) fn residual(slope: f64, b: f64, l1: f64) -> f64 {
    if b == 0.0 { (slope.abs() - l1).max(0.0) } else { (slope + l1.copysign(b)).abs() }
}

/// The same of points that are only near a minimum, where a coefficient is hardly ever exactly zero: how far a proximal gradient step of this
/// length would move it, per length. It goes to 0 as b does where zero is right, and is [`residual`] at zero and far from it.
pub(crate) fn residual_nearby(slope: f64, b: f64, l1: f64, length: f64) -> f64 {
    if b == 0.0 || l1 == 0.0 {
        return residual(slope, b, l1);
    }
    let moved = b - length * slope;
    let left = (moved.abs() - length * l1).max(0.0).copysign(moved);
    (b - left).abs() / length
}

/// By how much b G b / 2 - c b changes from one point, where c - G b is `pulls`, to another, without the cancellation of two values: it is
/// d G d / 2 - d (c - G b) of the step d. `row` gives the rows of G.
pub(crate) fn change_of_quadratic<'a>(
    row: impl Fn(usize) -> &'a [f64],
    from: &[f64],
    pulls: &[f64],
    to: &[f64],
) -> Result<f64> {
    let step: Vec<f64> = to.iter().zip(from).map(|(to, from)| to - from).collect();
    let mut bent = vec![0.0; step.len()];
    for (j, d) in step.iter().enumerate().filter(|(_, d)| **d != 0.0) {
        axpy(*d, row(j), &mut bent)?;
    }
    Ok(0.5 * dot(&step, &bent)? - dot(&step, pulls)?)
}
