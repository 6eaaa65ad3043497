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

/// x *= alpha.
pub fn scale<T: Float>(alpha: T, x: &mut [T]) {
    x.iter_mut().for_each(|x| *x = alpha * *x);
}

/// The sum of absolute values.
pub fn norm1<T: Float>(x: &[T]) -> T {
    T::from_f64(x.iter().map(|x| x.to_f64().abs()).sum())
}

/// The square root of the sum of squares, every element divided by the largest first.
pub fn norm2<T: Float>(x: &[T]) -> T {
    let largest = norm_inf(x).to_f64();
    if largest == 0.0 || !largest.is_finite() {
        return T::from_f64(largest);
    }
    T::from_f64(largest * x.iter().map(|x| (x.to_f64() / largest).powi(2)).sum::<f64>().sqrt())
}

/// The largest absolute value; NaN if any is NaN.
pub fn norm_inf<T: Float>(x: &[T]) -> T {
    x.iter().fold(T::ZERO, |largest, x| if x.is_nan() || x.abs() > largest { x.abs() } else { largest })
}
