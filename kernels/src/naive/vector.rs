//! Vectors: the definitions.

use crate::Float;

/// The sum of x.
pub fn sum<T: Float>(x: &[T]) -> T {
    T::from_f64(x.iter().map(|x| x.to_f64()).sum())
}

/// The inner product of x and y.
pub fn dot<T: Float>(x: &[T], y: &[T]) -> T {
    T::from_f64(x.iter().zip(y).map(|(x, y)| x.to_f64() * y.to_f64()).sum())
}

/// y += alpha x.
pub fn axpy<T: Float>(alpha: T, x: &[T], y: &mut [T]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = T::from_f64(alpha.to_f64() * x.to_f64() + y.to_f64());
    }
}
