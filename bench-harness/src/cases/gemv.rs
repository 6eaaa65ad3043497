//! Matrix times vector: one pass over the matrix.

use crate::case::{Case, Cost, Outcome, Work, bytes, element, gamma, widen};
use crate::operand::{Draw, Matrix, Vector};
use tilewise_kernels::{self as kernels, Float, naive};

pub(super) fn cases<T: Float>() -> Vec<Case> {
    vec![Case {
        name: "gemv",
        element: element::<T>(),
        formula: "y = alpha A x + beta y",
        dims: &["m", "n"],
        timed: &[&[256, 256], &[4096, 4096]],
        quick: &[512, 512],
        largest: &[700, 700],
        beside: None,
        make: |shape, draw: &mut Draw| {
            let (a, x) = (draw.matrix::<T>(shape[0], shape[1]), draw.vector(shape[1], 1.0));
            let y = draw.vector(shape[0], 1.0);
            Box::new(Gemv { alpha: draw.factor(1.0), beta: draw.factor(0.0), a, x, before: y.clone(), y })
        },
    }]
}

struct Gemv<T> {
    alpha: T,
    beta: T,
    a: Matrix<T>,
    x: Vector<T>,
    y: Vector<T>,
    before: Vector<T>,
}

impl<T: Float> Work for Gemv<T> {
    fn ours(&mut self) -> Outcome {
        Ok(kernels::gemv(self.alpha, self.a.get()?, self.x.get(), self.beta, self.y.get_mut())?)
    }
    fn naive(&mut self) -> Outcome {
        naive::gemv(self.alpha, self.a.get()?, self.x.get(), self.beta, self.y.get_mut());
        Ok(())
    }
    fn reset(&mut self) {
        self.y.clone_from(&self.before);
    }
    fn output(&self) -> Vec<f64> {
        widen(self.y.get())
    }
    fn allowed(&self) -> Vec<f64> {
        let Ok(a) = self.a.get() else { return Vec::new() };
        let row = |i: usize| -> f64 {
            let terms =
                self.x.get().iter().enumerate().map(|(j, x)| (a.get(i, j).to_f64() * x.to_f64()).abs());
            terms.sum::<f64>() * self.alpha.abs().to_f64()
        };
        let before = self.before.get();
        let old = |i: usize| (self.beta * before[i]).abs().to_f64();
        (0..before.len()).map(|i| gamma::<T>(self.a.cols() + 4) * (row(i) + old(i))).collect()
    }
    fn cost(&self) -> Cost {
        let (m, n) = (self.a.rows(), self.a.cols());
        Cost { flops: 2.0 * (m * n) as f64, bytes: bytes::<T>(m * n + m + n), written: bytes::<T>(m) }
    }
}
