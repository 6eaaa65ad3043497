//! The plain versions of fits that have none in the model crates: textbook loops.

/// Rounds of Newton's method; it converges quadratically on these problems.
const NEWTON_ROUNDS: usize = 12;

/// Coefficients and intercept of least squares by the normal equations over rows with a 1 appended.
pub(super) fn least_squares(x: &[f64], y: &[f64], features: usize) -> Vec<f64> {
    let n = features + 1;
    let (mut a, mut b) = (vec![0.0; n * n], vec![0.0; n]);
    let mut row = vec![1.0; n];
    for (features_of_row, y) in x.chunks_exact(features).zip(y) {
        row[..features].copy_from_slice(features_of_row);
        for i in 0..n {
            b[i] += row[i] * y;
            for j in 0..n {
                a[i * n + j] += row[i] * row[j];
            }
        }
    }
    solve(a, b)
}

/// Coefficients and intercept of logistic regression with penalty |b|^2 / 2, by Newton's method from 0.
pub(super) fn logistic(x: &[f64], labels: &[u32], features: usize) -> Vec<f64> {
    let n = features + 1;
    let mut w = vec![0.0; n];
    let mut row = vec![1.0; n];
    for _ in 0..NEWTON_ROUNDS {
        let (mut hessian, mut gradient) = (vec![0.0; n * n], vec![0.0; n]);
        for i in 0..features {
            hessian[i * n + i] = 1.0;
            gradient[i] = w[i];
        }
        for (features_of_row, &label) in x.chunks_exact(features).zip(labels) {
            row[..features].copy_from_slice(features_of_row);
            let z: f64 = row.iter().zip(&w).map(|(x, w)| x * w).sum();
            let p = 1.0 / (1.0 + (-z).exp());
            for i in 0..n {
                gradient[i] += (p - f64::from(label)) * row[i];
                for j in 0..n {
                    hessian[i * n + j] += p * (1.0 - p) * row[i] * row[j];
                }
            }
        }
        let step = solve(hessian, gradient);
        w.iter_mut().zip(step).for_each(|(w, step)| *w -= step);
    }
    w
}

/// Solves A x = b by Gaussian elimination with partial pivoting.
fn solve(mut a: Vec<f64>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for k in 0..n {
        let size = |i: &usize| a[i * n + k].abs();
        let pivot = (k..n).max_by(|i, j| size(i).total_cmp(&size(j))).unwrap_or(k);
        b.swap(k, pivot);
        (0..n).for_each(|j| a.swap(k * n + j, pivot * n + j));
        for i in k + 1..n {
            let factor = a[i * n + k] / a[k * n + k];
            (k..n).for_each(|j| a[i * n + j] -= factor * a[k * n + j]);
            b[i] -= factor * b[k];
        }
    }
    for k in (0..n).rev() {
        let known: f64 = (k + 1..n).map(|j| a[k * n + j] * b[j]).sum();
        b[k] = (b[k] - known) / a[k * n + k];
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_that_needs_pivoting() {
        assert_eq!(solve(vec![0.0, 2.0, 1.0, 1.0], vec![4.0, 5.0]), [3.0, 2.0]);
    }

    #[test]
    fn a_line_is_found() {
        let fitted = least_squares(&[0.0, 1.0, 2.0], &[1.0, 3.0, 5.0], 1);
        assert!((fitted[0] - 2.0).abs() < 1e-12 && (fitted[1] - 1.0).abs() < 1e-12);
    }
}
