//! Gram matrices: A^T A, plain and weighted and shifted, always summed in `f64`.

use crate::case::{Case, Cost, Outcome, Work, bytes, element, gamma};
use crate::operand::{Draw, Matrix, Vector};
use tilewise_kernels::{self as kernels, Float, naive};

const DIMS: &[&str] = &["rows", "columns"];
const TIMED: &[&[usize]] = &[&[1000, 10], &[20_000, 100], &[2000, 1000]];
const QUICK: &[usize] = &[500, 40];
const LARGEST: &[usize] = &[1500, 60];

pub(super) fn cases<S: Float>() -> Vec<Case> {
    let case = |name, formula, make| Case {
        name,
        element: element::<S>(),
        formula,
        dims: DIMS,
        timed: TIMED,
        quick: QUICK,
        largest: LARGEST,
        beside: None,
        make,
    };
    vec![
        case("syrk", "C = alpha A^T A + beta C", |shape, draw| {
            let (a, mut c) = (draw.matrix::<S>(shape[0], shape[1]), draw.matrix(shape[1], shape[1]));
            c.mirror();
            Box::new(Syrk { alpha: draw.factor(1.0), beta: draw.factor(0.0), a, before: c.clone(), c })
        }),
        case("gram", "C = sum of w_r (a_r - s) (a_r - s)^T", |shape, draw: &mut Draw| {
            let (a, c) = (draw.matrix::<S>(shape[0], shape[1]), draw.matrix(shape[1], shape[1]));
            let (mut weights, shift) = (draw.vector::<f64>(shape[0], 1.0), draw.vector(shape[1], 0.5));
            weights.get_mut().iter_mut().for_each(|w| *w = w.abs());
            Box::new(Gram {
                weights: (draw.choose(3) != 1).then_some(weights),
                shift: (draw.choose(3) != 1).then_some(shift),
                a,
                c,
            })
        }),
    ]
}

/// A product and its transpose are one, so half of the multiplications of the full product count.
fn cost<S: Float>(a: &Matrix<S>) -> Cost {
    let (rows, cols) = (a.rows(), a.cols());
    let flops = rows as f64 * cols as f64 * (cols + 1) as f64;
    let written = bytes::<f64>(cols * cols);
    Cost { flops, bytes: bytes::<S>(rows * cols) + written, written }
}

struct Syrk<S> {
    alpha: f64,
    beta: f64,
    a: Matrix<S>,
    c: Matrix<f64>,
    before: Matrix<f64>,
}

impl<S: Float> Work for Syrk<S> {
    fn ours(&mut self) -> Outcome {
        Ok(kernels::syrk(self.alpha, self.a.get()?, self.beta, self.c.get_mut()?)?)
    }
    fn naive(&mut self) -> Outcome {
        naive::syrk(self.alpha, self.a.get()?, self.beta, self.c.get_mut()?);
        Ok(())
    }
    fn reset(&mut self) {
        self.c.clone_from(&self.before);
    }
    fn output(&self) -> Vec<f64> {
        self.c.everything()
    }
    fn allowed(&self) -> Vec<f64> {
        let (rows, cols, a) = (self.a.rows(), self.a.cols(), self.a.absolute());
        let bound = |(place, old): (usize, f64)| {
            let (i, j) = (place / cols, place % cols);
            let product: f64 = (0..rows).map(|r| a[r * cols + i] * a[r * cols + j]).sum();
            gamma::<f64>(rows + 4) * (self.alpha.abs() * product + self.beta.abs() * old)
        };
        self.before.allow(self.before.absolute().into_iter().enumerate().map(bound))
    }
    fn cost(&self) -> Cost {
        cost(&self.a)
    }
}

struct Gram<S> {
    weights: Option<Vector<f64>>,
    shift: Option<Vector<f64>>,
    a: Matrix<S>,
    c: Matrix<f64>,
}

impl<S: Float> Work for Gram<S> {
    fn ours(&mut self) -> Outcome {
        let (weights, shift) = (self.weights.as_ref().map(Vector::get), self.shift.as_ref().map(Vector::get));
        Ok(kernels::gram(self.a.get()?, weights, shift, self.c.get_mut()?)?)
    }
    fn naive(&mut self) -> Outcome {
        let (weights, shift) = (self.weights.as_ref().map(Vector::get), self.shift.as_ref().map(Vector::get));
        naive::gram(self.a.get()?, weights, shift, self.c.get_mut()?);
        Ok(())
    }
    fn output(&self) -> Vec<f64> {
        self.c.everything()
    }
    fn allowed(&self) -> Vec<f64> {
        let (rows, cols, a) = (self.a.rows(), self.a.cols(), self.a.absolute());
        let shift = |j: usize| self.shift.as_ref().map_or(0.0, |s| s.get()[j].abs());
        let weight = |r: usize| self.weights.as_ref().map_or(1.0, |w| w.get()[r]);
        // |a| + |s| instead of |a - s|: covers kernels that expand the square.
        let bound = |place: usize| {
            let (i, j) = (place / cols, place % cols);
            let term = |r: usize| weight(r) * (a[r * cols + i] + shift(i)) * (a[r * cols + j] + shift(j));
            gamma::<f64>(rows + 8) * (0..rows).map(term).sum::<f64>()
        };
        self.c.allow((0..cols * cols).map(bound))
    }
    fn cost(&self) -> Cost {
        cost(&self.a)
    }
}
