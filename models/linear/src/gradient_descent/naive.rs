//! The serial form: for each row its margin, its residual, and what it adds to the gradient.

use super::{Problem, Shape};
use crate::Element;
use tilewise_base::Result;

pub(super) fn gradient<T: Element>(problem: &Problem<'_, T>, b: &[f64], shape: Shape) -> Result<Vec<f64>> {
    let (chunk, p) = (&problem.chunk, problem.chunk.x.cols());
    let mut gradient = vec![0.0; p + 1];
    for i in 0..chunk.x.rows() {
        let mut margin = b[p];
        for (j, b) in b[..p].iter().enumerate() {
            margin += chunk.x.get(i, j).to_f64() * b;
        }
        let residual = match shape {
            Shape::Squared => margin + chunk.offset(i) - chunk.y[i],
            Shape::Logistic => 1.0 / (1.0 + (-margin - chunk.offset(i)).exp()) - chunk.y[i],
            Shape::Product => margin,
        };
        let residual = chunk.weight(i) * residual;
        for (j, g) in gradient[..p].iter_mut().enumerate() {
            *g += residual * chunk.x.get(i, j).to_f64();
        }
        gradient[p] += residual;
    }
    Ok(gradient)
}
