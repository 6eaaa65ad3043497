//! Elementary functions.
use crate::{Float, MatMut, MatRef, ShapeError, naive, same};

/// out = e^x, element by element.
///
/// # Errors
/// When the lengths differ.
pub fn exp<T: Float>(x: &[T], out: &mut [T]) -> Result<(), ShapeError> {
    same("length of out", x.len(), out.len())?;
    out.iter_mut().zip(x).for_each(|(o, &x)| *o = naive::exp(x));
    Ok(())
}

/// out = 1 / (1 + e^-x), element by element.
///
/// # Errors
/// When the lengths differ.
pub fn sigmoid<T: Float>(x: &[T], out: &mut [T]) -> Result<(), ShapeError> {
    same("length of out", x.len(), out.len())?;
    out.iter_mut().zip(x).for_each(|(o, &x)| *o = naive::sigmoid(x));
    Ok(())
}

/// Row by row: out = x - max - ln(sum of e^(x - max)).
///
/// # Errors
/// When the shapes differ.
pub fn log_softmax<T: Float>(x: MatRef<'_, T>, out: MatMut<'_, T>) -> Result<(), ShapeError> {
    same("rows of out", x.rows(), out.rows())?;
    same("columns of out", x.cols(), out.cols())?;
    naive::log_softmax(x, out);
    Ok(())
}
