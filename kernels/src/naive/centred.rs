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
