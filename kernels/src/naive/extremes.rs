//! Largest and smallest elements: the definitions.

use crate::{Float, MatRef};

/// The index of the first NaN, or else of the first of the largest elements.
pub fn arg_max<T: Float>(x: &[T]) -> Option<usize> {
    let larger = |best: usize, i: usize| if x[i] > x[best] { i } else { best };
    x.iter().position(|x| x.is_nan()).or_else(|| (0..x.len()).reduce(larger))
}

/// The index of the first NaN, or else of the first of the smallest elements.
pub fn arg_min<T: Float>(x: &[T]) -> Option<usize> {
    let smaller = |best: usize, i: usize| if x[i] < x[best] { i } else { best };
    x.iter().position(|x| x.is_nan()).or_else(|| (0..x.len()).reduce(smaller))
}

/// The smallest and the largest element, or NaN.
pub fn min_max<T: Float>(x: &[T]) -> Option<(T, T)> {
    // Zeros without a sign.
    Some((x[arg_min(x)?] + T::ZERO, x[arg_max(x)?] + T::ZERO))
}

/// The largest element of every row.
///
/// # Panics
/// When rows are empty.
pub fn row_max<T: Float>(a: MatRef<'_, T>, out: &mut [T]) {
    for (i, out) in out.iter_mut().enumerate() {
        let row: Vec<T> = (0..a.cols()).map(|j| a.get(i, j)).collect();
        *out = arg_max(&row).map(|j| row[j] + T::ZERO).expect("an element");
    }
}

/// The column of the largest element of every row.
///
/// # Panics
/// When rows are empty.
pub fn row_arg_max<T: Float>(a: MatRef<'_, T>, out: &mut [usize]) {
    for (i, out) in out.iter_mut().enumerate() {
        let row: Vec<T> = (0..a.cols()).map(|j| a.get(i, j)).collect();
        *out = arg_max(&row).expect("an element");
    }
}
