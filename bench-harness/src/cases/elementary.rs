//! Elementary functions.

use crate::case::{Case, Cost, Outcome, Work, bytes, element, gamma, widen};
use crate::operand::{Draw, Matrix, Vector};
use tilewise_kernels::{self as kernels, Float, MatMut, MatRef, ShapeError, naive};

/// Units in the last place by which the reference may be off at `x`, which is computed in `f64`: a half where it is rounded
/// to `f32`; for the tail of the normal distribution, e^(-x^2 / 2) with a rounded square, about x^2.
fn reference_ulp<T: Float>(name: &str, x: f64) -> f64 {
    match (size_of::<T>(), name) {
        (4, _) => 0.5,
        (_, "gelu") => 32.0 + x * x,
        (_, "erf") => 8.0,
        _ => 2.0,
    }
}
/// Operations counted for one exponential: a range reduction, a polynomial of degree about seven, a scaling.
const EXP_FLOPS: f64 = 20.0;

pub(super) fn cases<T: Float>() -> Vec<Case> {
    let function = |name, formula, make: fn(&[usize], &mut Draw) -> Box<dyn Work>| Case {
        name,
        element: element::<T>(),
        formula,
        dims: &["n"],
        timed: &[&[16_384], &[4_194_304]],
        quick: &[65_536],
        largest: &[200_000],
        beside: None,
        make,
    };
    let of_rows = |name, formula, make: fn(&[usize], &mut Draw) -> Box<dyn Work>| Case {
        dims: &["rows", "columns"],
        timed: &[&[10_000, 10], &[1000, 1000]],
        quick: &[1000, 10],
        largest: &[300, 300],
        ..function(name, formula, make)
    };
    vec![
        function("exp", "y_i = e^(x_i)", |shape, draw| {
            map::<T>(shape, draw, "exp", kernels::exp, naive::exp, kernels::EXP_ULP)
        }),
        function("log", "y_i = ln |x_i|", |shape, draw| {
            let mut work = map::<T>(shape, draw, "log", kernels::log, naive::log, kernels::LOG_ULP);
            work.x.get_mut().iter_mut().for_each(|x| *x = x.abs());
            work
        }),
        function("sigmoid", "y_i = 1 / (1 + e^(-x_i))", |shape, draw| {
            map::<T>(shape, draw, "sigmoid", kernels::sigmoid, naive::sigmoid, kernels::SIGMOID_ULP)
        }),
        function("tanh", "y_i = tanh(x_i)", |shape, draw| {
            map::<T>(shape, draw, "tanh", kernels::tanh, naive::tanh, kernels::TANH_ULP)
        }),
        function("softplus", "y_i = ln(1 + e^(x_i))", |shape, draw| {
            map::<T>(shape, draw, "softplus", kernels::softplus, naive::softplus, kernels::SOFTPLUS_ULP)
        }),
        function("erf", "y_i = erf(x_i)", |shape, draw| {
            map::<T>(shape, draw, "erf", kernels::erf, naive::erf, kernels::ERF_ULP)
        }),
        function("gelu", "y_i = x_i / 2 (1 + erf(x_i / sqrt 2))", |shape, draw| {
            map::<T>(shape, draw, "gelu", kernels::gelu, naive::gelu, kernels::GELU_ULP)
        }),
        function("softsign", "y_i = x_i / (1 + |x_i|)", |shape, draw| {
            map::<T>(shape, draw, "softsign", kernels::softsign, naive::softsign, kernels::SOFTSIGN_ULP)
        }),
        of_rows("log_softmax", "y_rj = x_rj - ln(sum of e^(x_ri))", |shape, draw| {
            let largest = 2.0 + (shape[1].max(1) as f64).ln();
            rows::<T>(shape, draw, kernels::log_softmax, naive::log_softmax, largest)
        }),
        of_rows("softmax", "y_rj = e^(x_rj) / sum of e^(x_ri)", |shape, draw| {
            rows::<T>(shape, draw, kernels::softmax, naive::softmax, 1.0)
        }),
    ]
}

/// A function of vectors.
type OfVectors<T> = fn(&[T], &mut [T]) -> Result<(), ShapeError>;
/// A function of the rows of a matrix.
type OfRows<T> = for<'a> fn(MatRef<'a, T>, MatMut<'a, T>) -> Result<(), ShapeError>;

struct Map<T> {
    x: Vector<T>,
    out: Vector<T>,
    ours: OfVectors<T>,
    naive: fn(T) -> T,
    name: &'static str,
    /// Units in the last place by which ours may be off.
    ulp: f64,
}

fn map<T: Float>(
    shape: &[usize],
    draw: &mut Draw,
    name: &'static str,
    ours: OfVectors<T>,
    naive: fn(T) -> T,
    ulp: f64,
) -> Box<Map<T>> {
    let (x, out) = (draw.vector(shape[0], 20.0), draw.vector(shape[0], 1.0));
    Box::new(Map { x, out, ours, naive, name, ulp })
}

impl<T: Float> Work for Map<T> {
    fn ours(&mut self) -> Outcome {
        Ok((self.ours)(self.x.get(), self.out.get_mut())?)
    }
    fn naive(&mut self) -> Outcome {
        self.out.get_mut().iter_mut().zip(self.x.get()).for_each(|(y, &x)| *y = (self.naive)(x));
        Ok(())
    }
    fn output(&self) -> Vec<f64> {
        widen(self.out.get())
    }
    fn allowed(&self) -> Vec<f64> {
        // Below the smallest normal number the unit is the smallest number there is.
        let least = if size_of::<T>() == 4 { f64::from(f32::from_bits(1)) } else { f64::from_bits(1) };
        let unit = |x: T| (T::EPSILON.to_f64() * (self.naive)(x).to_f64().abs()).max(least);
        let units = |x: T| self.ulp + reference_ulp::<T>(self.name, x.to_f64());
        self.x.get().iter().map(|&x| units(x) * unit(x)).collect()
    }
    fn cost(&self) -> Cost {
        let n = self.x.get().len();
        Cost { flops: EXP_FLOPS * n as f64, bytes: bytes::<T>(2 * n), written: bytes::<T>(n) }
    }
}

struct Rows<T> {
    x: Matrix<T>,
    out: Matrix<T>,
    before: Matrix<T>,
    ours: OfRows<T>,
    naive: for<'a> fn(MatRef<'a, T>, MatMut<'a, T>),
    /// The largest result there can be.
    largest: f64,
}

fn rows<T: Float>(
    shape: &[usize],
    draw: &mut Draw,
    ours: OfRows<T>,
    naive: for<'a> fn(MatRef<'a, T>, MatMut<'a, T>),
    largest: f64,
) -> Box<dyn Work> {
    let (x, out) = (draw.matrix::<T>(shape[0], shape[1]), draw.matrix(shape[0], shape[1]));
    Box::new(Rows { x, before: out.clone(), out, ours, naive, largest })
}

impl<T: Float> Work for Rows<T> {
    fn ours(&mut self) -> Outcome {
        Ok((self.ours)(self.x.get()?, self.out.get_mut()?)?)
    }
    fn naive(&mut self) -> Outcome {
        (self.naive)(self.x.get()?, self.out.get_mut()?);
        Ok(())
    }
    fn reset(&mut self) {
        self.out.clone_from(&self.before);
    }
    fn output(&self) -> Vec<f64> {
        self.out.everything()
    }
    fn allowed(&self) -> Vec<f64> {
        // Entries lie in [-1, 1). A relative error of the sum is one of a softmax, and an absolute one of its logarithm.
        let cols = self.x.cols();
        let bound = gamma::<T>(cols + 2) + 4.0 * T::EPSILON.to_f64() * (1.0 + self.largest);
        self.out.allow(std::iter::repeat_n(bound, self.x.rows() * cols))
    }
    fn cost(&self) -> Cost {
        let n = self.x.rows() * self.x.cols();
        Cost { flops: (EXP_FLOPS + 4.0) * n as f64, bytes: bytes::<T>(2 * n), written: bytes::<T>(n) }
    }
}
