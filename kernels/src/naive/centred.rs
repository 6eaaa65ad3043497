//! Weighted sums of centred columns: the definition.

use crate::{Float, MatRef};

/// sums_kj += sum over rows i of factors_ki (a_ij - shift_j).
///
/// # Panics
/// When the shapes do not fit.
pub fn centred_sums<T: Float, const K: usize>(
    a: MatRef<'_, T>,
    shift: &[T],
    factors: [&[T]; K],
    sums: [&mut [T]; K],
) {
    for (factors, sums) in factors.into_iter().zip(sums) {
        for (j, sum) in sums.iter_mut().enumerate() {
            let term = |i: usize| factors[i].to_f64() * (a.get(i, j).to_f64() - shift[j].to_f64());
            *sum = T::from_f64(sum.to_f64() + (0..a.rows()).map(term).sum::<f64>());
        }
    }
}

/// sums_j += sum over rows i of factor_i (a_ij - shift_j), squares_j += that of factor_i (a_ij - shift_j)^2.
///
/// # Panics
/// When the shapes do not fit.
pub fn centred_squares<T: Float>(
    a: MatRef<'_, T>,
    shift: &[T],
    factors: &[T],
    sums: &mut [T],
    squares: &mut [T],
) {
    for j in 0..a.cols() {
        let (mut sum, mut square) = (sums[j].to_f64(), squares[j].to_f64());
        for (i, factor) in factors.iter().enumerate() {
            let centred = a.get(i, j).to_f64() - shift[j].to_f64();
            sum += factor.to_f64() * centred;
            square += factor.to_f64() * centred * centred;
        }
        (sums[j], squares[j]) = (T::from_f64(sum), T::from_f64(square));
    }
}
