//! Matrices of inner products of columns: the definitions.

use crate::{Float, MatMut, MatRef};

/// C = alpha A^T A + beta C, both triangles.
///
/// # Panics
/// When the shapes do not fit.
pub fn syrk<S: Float>(alpha: f64, a: MatRef<'_, S>, beta: f64, mut c: MatMut<'_, f64>) {
    for i in 0..a.cols() {
        for j in 0..a.cols() {
            let mut sum = if beta == 0.0 { 0.0 } else { beta * c.get(i, j) };
            if alpha != 0.0 {
                sum +=
                    alpha * (0..a.rows()).map(|r| a.get(r, i).to_f64() * a.get(r, j).to_f64()).sum::<f64>();
            }
            c.set(i, j, sum);
        }
    }
}

/// C = sum over rows r of weight_r (a_r - shift) (a_r - shift)^T; no weights means ones, no shift means zeros.
///
/// # Panics
/// When the shapes do not fit.
pub fn gram<S: Float>(
    a: MatRef<'_, S>,
    weights: Option<&[f64]>,
    shift: Option<&[f64]>,
    mut c: MatMut<'_, f64>,
) {
    let shift = |j: usize| shift.map_or(0.0, |s| s[j]);
    for i in 0..a.cols() {
        for j in 0..a.cols() {
            let terms = (0..a.rows()).map(|r| {
                let w = weights.map_or(1.0, |w| w[r]);
                w * (a.get(r, i).to_f64() - shift(i)) * (a.get(r, j).to_f64() - shift(j))
            });
            c.set(i, j, terms.sum());
        }
    }
}
