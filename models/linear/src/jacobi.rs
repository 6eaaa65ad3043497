//! Minimum-norm least squares by one-sided Jacobi rotations (Hestenes 1958; accuracy: Demmel and Veselic 1992).
//!
//! Rotating pairs of *rows* of [R | c] until all rows of R are orthogonal gives J R = S V^T and J c = U^T c without
//! forming U or V: row i is sigma_i v_i^T, so that the minimum-norm solution is the sum over kept rows of
//! row_i (J c)_i / sigma_i^2.

use tilewise_base::Result;
use tilewise_kernels::{axpy, dot};

/// Sweeps over all pairs before giving up; five to ten are usual.
const SWEEPS: usize = 60;

/// The minimum-norm solution of min |R w - c|, and the numerical rank: singular values up to `cutoff` times the
/// largest count as zero. `rows` holds [R | c | ...], row-major, `cols` entries a row; it is overwritten.
pub(crate) fn minimum_norm(
    rows: &mut [f64],
    features: usize,
    cols: usize,
    cutoff: f64,
) -> Result<(Vec<f64>, usize)> {
    let square = |row: &[f64]| dot(&row[..features], &row[..features]);
    for _ in 0..SWEEPS {
        let mut rotated = false;
        let norms = rows.chunks_exact(cols).map(square).collect::<Result<Vec<_>, _>>()?;
        let largest = norms.iter().fold(0.0f64, |m, n| m.max(*n));
        // Rows far below the cutoff are noise: rotating them among each other would only take time.
        let noise = largest * (0.01 * cutoff).powi(2);
        for i in 1..rows.len() / cols {
            let (above, below) = rows.split_at_mut(i * cols);
            let b = &mut below[..cols];
            for a in above.chunks_exact_mut(cols) {
                let (aa, bb, ab) = (square(a)?, square(b)?, dot(&a[..features], &b[..features])?);
                if aa.min(bb) > noise && ab.abs() > f64::EPSILON * (aa * bb).sqrt() {
                    rotate(a, b, aa, bb, ab);
                    rotated = true;
                }
            }
        }
        if !rotated {
            break;
        }
    }
    let norms = rows.chunks_exact(cols).map(square).collect::<Result<Vec<_>, _>>()?;
    let least = norms.iter().fold(0.0f64, |m, n| m.max(n.sqrt())) * cutoff;
    let (mut solution, mut rank) = (vec![0.0; features], 0);
    for (row, &norm) in rows.chunks_exact(cols).zip(&norms) {
        if norm.sqrt() > least {
            rank += 1;
            axpy(row[features] / norm, &row[..features], &mut solution)?;
        }
    }
    Ok((solution, rank))
}

/// Makes rows a and b orthogonal (Rutishauser's formulas for the smaller angle).
fn rotate(a: &mut [f64], b: &mut [f64], aa: f64, bb: f64, ab: f64) {
    let zeta = (bb - aa) / (2.0 * ab);
    let tangent = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
    let cosine = 1.0 / (1.0 + tangent * tangent).sqrt();
    let sine = cosine * tangent;
    for (a, b) in a.iter_mut().zip(b) {
        (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_solutions() {
        // x + y = 2 alone: the shortest solution is (1, 1).
        let (w, rank) = minimum_norm(&mut [1.0, 1.0, 2.0], 2, 3, 1e-15).unwrap();
        assert_eq!((w, rank), (vec![1.0, 1.0], 1));
        // The same equation twice, with a contradiction that least squares averages.
        let (w, rank) = minimum_norm(&mut [1.0, 1.0, 2.0, 1.0, 1.0, 4.0], 2, 3, 1e-15).unwrap();
        assert_eq!(rank, 1);
        assert!(w.iter().all(|w| (w - 1.5).abs() < 1e-15));
        let (w, rank) = minimum_norm(&mut [0.0, 0.0, 5.0], 2, 3, 1e-15).unwrap();
        assert_eq!((w, rank), (vec![0.0, 0.0], 0));
    }
}
