//! Elementary functions: the definitions.

use crate::{Float, MatMut, MatRef};

/// e^x by the standard library in `f64`.
pub fn exp<T: Float>(x: T) -> T {
    T::from_f64(x.to_f64().exp())
}

/// 1 / (1 + e^-x), by the form that does not overflow.
pub fn sigmoid<T: Float>(x: T) -> T {
    let x = x.to_f64();
    let e = (-x.abs()).exp();
    T::from_f64(if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) })
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
