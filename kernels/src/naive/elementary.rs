//! Elementary functions: the definitions.

use crate::{Float, MatMut, MatRef};

/// e^x by the standard library in `f64`.
pub fn exp<T: Float>(x: T) -> T {
    T::from_f64(x.to_f64().exp())
}

/// ln x by the standard library in `f64`.
pub fn log<T: Float>(x: T) -> T {
    T::from_f64(x.to_f64().ln())
}

/// 1 / (1 + e^-x), by the form that does not overflow.
pub fn sigmoid<T: Float>(x: T) -> T {
    let x = x.to_f64();
    let e = (-x.abs()).exp();
    T::from_f64(if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) })
}

/// tanh x by the standard library in `f64`.
pub fn tanh<T: Float>(x: T) -> T {
    T::from_f64(x.to_f64().tanh())
}

/// ln(1 + e^x), by the form that does not overflow.
pub fn softplus<T: Float>(x: T) -> T {
    let x = x.to_f64();
    T::from_f64(if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() })
}

/// 2 / sqrt pi times the integral of e^(-t^2) from 0 to x.
pub fn erf<T: Float>(x: T) -> T {
    let x = x.to_f64();
    T::from_f64(if x.abs() < 1.0 { erf_near(x) } else { (1.0 - erfc_far(x.abs())).copysign(x) })
}

/// x / 2 (1 + erf(x / sqrt 2)) as max(x, 0) - |x| / 2 erfc(|x| / sqrt 2), which cancels nothing for negative x.
pub fn gelu<T: Float>(x: T) -> T {
    let x = x.to_f64();
    let a = x.abs() * std::f64::consts::FRAC_1_SQRT_2;
    let complement = if a < 1.0 { 1.0 - erf_near(a) } else { erfc_far(a) };
    // Of infinity nothing is left either.
    let tail = if complement == 0.0 { 0.0 } else { x.abs() / 2.0 * complement };
    T::from_f64(if x < 0.0 { -tail } else { x - tail })
}

/// x / (1 + |x|), and the limits.
pub fn softsign<T: Float>(x: T) -> T {
    let x = x.to_f64();
    T::from_f64(if x.is_infinite() { x.signum() } else { x / (1.0 + x.abs()) })
}

/// erf x = 2 / sqrt pi e^(-x^2) (x + 2 x^3 / 3 + 4 x^5 / (3 5) + ...), terms of one sign (Abramowitz and Stegun 7.1.6).
fn erf_near(x: f64) -> f64 {
    let (mut term, mut sum, mut k) = (x, x, 1.0);
    while term.abs() > 1e-17 * sum.abs() {
        term *= 2.0 * x * x / (2.0 * k + 1.0);
        sum += term;
        k += 1.0;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// erfc x = e^(-x^2) / sqrt pi / (x + 1/2 / (x + 1 / (x + 3/2 / (x + 2 / (x + ...))))) for x >= 1 (Abramowitz and Stegun
/// 7.1.14). The part after n levels is worth some e^(-x sqrt(8 n)) of the whole.
fn erfc_far(x: f64) -> f64 {
    let levels = 10 + (14.0 / x).powi(2) as u32;
    let below = (1..=levels).rev().fold(x, |below, k| x + f64::from(k) / 2.0 / below);
    (-x * x).exp() / std::f64::consts::PI.sqrt() / below
}

/// Row by row: e^(x - max) / sum of e^(x - max).
///
/// # Panics
/// When the shapes differ.
pub fn softmax<T: Float>(x: MatRef<'_, T>, mut out: MatMut<'_, T>) {
    for i in 0..x.rows() {
        let row: Vec<f64> = (0..x.cols()).map(|j| x.get(i, j).to_f64()).collect();
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum = row.iter().map(|x| (x - max).exp()).sum::<f64>();
        for (j, x) in row.iter().enumerate() {
            out.set(i, j, T::from_f64((x - max).exp() / sum));
        }
    }
}

/// Row by row: x - max - ln(sum of e^(x - max)).
///
/// # Panics
/// When the shapes differ.
pub fn log_softmax<T: Float>(x: MatRef<'_, T>, mut out: MatMut<'_, T>) {
    for i in 0..x.rows() {
        let row: Vec<f64> = (0..x.cols()).map(|j| x.get(i, j).to_f64()).collect();
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = row.iter().map(|x| (x - max).exp()).sum::<f64>().ln();
        for (j, x) in row.iter().enumerate() {
            out.set(i, j, T::from_f64(x - max - log_sum));
        }
    }
}
