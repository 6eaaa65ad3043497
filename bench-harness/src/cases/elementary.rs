//! Elementary functions.

use crate::case::{Case, Cost, Outcome, Work, bytes, element, gamma, widen};
use crate::operand::{Draw, Matrix, Vector};
use tilewise_kernels::{self as kernels, Float, ShapeError, naive};

/// How many units in the last place an elementary function may be off; the kernels' own tests hold them tighter.
const ULP: f64 = 4.0;
/// Operations counted for one exponential: a range reduction, a polynomial of degree about seven, a scaling.
const EXP_FLOPS: f64 = 20.0;

pub(super) fn cases<T: Float>() -> Vec<Case> {
    let function = |name, formula, make| Case {
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
    vec![
        function("exp", "y_i = e^(x_i)", |shape, draw| map::<T>(shape, draw, kernels::exp, naive::exp)),
        function("sigmoid", "y_i = 1 / (1 + e^(-x_i))", |shape, draw| {
            map::<T>(shape, draw, kernels::sigmoid, naive::sigmoid)
        }),
        Case {
            name: "log_softmax",
            element: element::<T>(),
            formula: "y_rj = x_rj - ln(sum of e^(x_ri))",
            dims: &["rows", "columns"],
            timed: &[&[10_000, 10], &[1000, 1000]],
            quick: &[1000, 10],
            largest: &[300, 300],
            beside: None,
            make: |shape, draw: &mut Draw| {
                let (x, out) = (draw.matrix::<T>(shape[0], shape[1]), draw.matrix(shape[0], shape[1]));
                Box::new(LogSoftmax { x, before: out.clone(), out })
            },
        },
    ]
}

struct Map<T> {
    x: Vector<T>,
    out: Vector<T>,
    ours: fn(&[T], &mut [T]) -> Result<(), ShapeError>,
    naive: fn(T) -> T,
}

fn map<T: Float>(
    shape: &[usize],
    draw: &mut Draw,
    ours: fn(&[T], &mut [T]) -> Result<(), ShapeError>,
    naive: fn(T) -> T,
) -> Box<dyn Work> {
    let (x, out) = (draw.vector(shape[0], 20.0), draw.vector(shape[0], 1.0));
    Box::new(Map { x, out, ours, naive })
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
        self.x.get().iter().map(|&x| ULP * T::EPSILON.to_f64() * (self.naive)(x).to_f64().abs()).collect()
    }
    fn cost(&self) -> Cost {
        let n = self.x.get().len();
        Cost { flops: EXP_FLOPS * n as f64, bytes: bytes::<T>(2 * n), written: bytes::<T>(n) }
    }
}

struct LogSoftmax<T> {
    x: Matrix<T>,
    out: Matrix<T>,
    before: Matrix<T>,
}

impl<T: Float> Work for LogSoftmax<T> {
    fn ours(&mut self) -> Outcome {
        Ok(kernels::log_softmax(self.x.get()?, self.out.get_mut()?)?)
    }
    fn naive(&mut self) -> Outcome {
        naive::log_softmax(self.x.get()?, self.out.get_mut()?);
        Ok(())
    }
    fn reset(&mut self) {
        self.out.clone_from(&self.before);
    }
    fn output(&self) -> Vec<f64> {
        self.out.everything()
    }
    fn allowed(&self) -> Vec<f64> {
        // The logarithm turns a relative error of the sum into an absolute one; entries lie in [-1, 1), so that no
        // result exceeds 2 + ln(columns).
        let cols = self.x.cols();
        let size = 2.0 + (cols.max(1) as f64).ln();
        let bound = gamma::<T>(cols + 2) + ULP * T::EPSILON.to_f64() * (1.0 + size);
        self.out.allow(std::iter::repeat_n(bound, self.x.rows() * cols))
    }
    fn cost(&self) -> Cost {
        let n = self.x.rows() * self.x.cols();
        Cost { flops: (EXP_FLOPS + 4.0) * n as f64, bytes: bytes::<T>(2 * n), written: bytes::<T>(n) }
    }
}
