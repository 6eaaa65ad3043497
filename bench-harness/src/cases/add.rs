//! Matrix addition: bound by memory.

use crate::case::{Case, Cost, Outcome, Work, bytes, element};
use crate::operand::{Draw, Matrix};
use tilewise_kernels::{self as kernels, Float, naive};

pub(super) fn cases<T: Float>() -> Vec<Case> {
    vec![Case {
        name: "add",
        element: element::<T>(),
        formula: "C = A + B",
        dims: &["m", "n"],
        // 64 MiB a matrix in f32.
        timed: &[&[128, 128], &[4096, 4096]],
        quick: &[512, 512],
        largest: &[600, 600],
        beside: None,
        make: |shape, draw: &mut Draw| {
            let (m, n) = (shape[0], shape[1]);
            let (a, b, c) = (draw.matrix::<T>(m, n), draw.matrix(m, n), draw.matrix(m, n));
            Box::new(Add { a, b, before: c.clone(), c })
        },
    }]
}

struct Add<T> {
    a: Matrix<T>,
    b: Matrix<T>,
    c: Matrix<T>,
    before: Matrix<T>,
}

impl<T: Float> Work for Add<T> {
    fn ours(&mut self) -> Outcome {
        Ok(kernels::add(self.a.get()?, self.b.get()?, self.c.get_mut()?)?)
    }
    fn naive(&mut self) -> Outcome {
        naive::add(self.a.get()?, self.b.get()?, self.c.get_mut()?);
        Ok(())
    }
    fn reset(&mut self) {
        self.c.clone_from(&self.before);
    }
    fn output(&self) -> Vec<f64> {
        self.c.everything()
    }
    fn allowed(&self) -> Vec<f64> {
        // One rounding each: nothing may differ, nor anything between the elements change.
        self.c.allow(std::iter::empty())
    }
    fn cost(&self) -> Cost {
        let n = self.a.rows() * self.a.cols();
        Cost { flops: n as f64, bytes: bytes::<T>(3 * n), written: bytes::<T>(n) }
    }
}
