//! Sums, inner products, axpy: one pass over vectors.

use crate::case::{Case, Cost, Outcome, Work, bytes, element, gamma, widen};
use crate::operand::Vector;
use tilewise_kernels::{self as kernels, Float, naive};

const DIMS: &[&str] = &["n"];
/// One that stays in the second-level cache, one that comes from memory.
const TIMED: &[&[usize]] = &[&[16_384], &[16_777_216]];
const QUICK: &[usize] = &[65_536];
const LARGEST: &[usize] = &[300_000];

pub(super) fn cases<T: Float>() -> Vec<Case> {
    let case = |name, formula, make| Case {
        name,
        element: element::<T>(),
        formula,
        dims: DIMS,
        timed: TIMED,
        quick: QUICK,
        largest: LARGEST,
        beside: None,
        make,
    };
    vec![
        case("sum", "sum of x_i", |shape, draw| {
            Box::new(Sum { x: draw.vector::<T>(shape[0], 1.0), out: T::ZERO })
        }),
        case("dot", "sum of x_i y_i", |shape, draw| {
            let (x, y) = (draw.vector::<T>(shape[0], 1.0), draw.vector(shape[0], 1.0));
            Box::new(Dot { x, y, out: T::ZERO })
        }),
        case("axpy", "y += alpha x", |shape, draw| {
            let (x, y) = (draw.vector::<T>(shape[0], 1.0), draw.vector(shape[0], 1.0));
            Box::new(Axpy { alpha: draw.factor(1.0 / 1024.0), before: y.clone(), x, y })
        }),
    ]
}

struct Sum<T> {
    x: Vector<T>,
    out: T,
}

impl<T: Float> Work for Sum<T> {
    fn ours(&mut self) -> Outcome {
        self.out = kernels::sum(self.x.get());
        Ok(())
    }
    fn naive(&mut self) -> Outcome {
        self.out = naive::sum(self.x.get());
        Ok(())
    }
    fn output(&self) -> Vec<f64> {
        vec![self.out.to_f64()]
    }
    fn allowed(&self) -> Vec<f64> {
        let absolute: f64 = self.x.get().iter().map(|x| x.abs().to_f64()).sum();
        vec![gamma::<T>(self.x.get().len() + 2) * absolute]
    }
    fn cost(&self) -> Cost {
        let n = self.x.get().len();
        Cost { flops: n as f64, bytes: bytes::<T>(n), written: 0.0 }
    }
}

struct Dot<T> {
    x: Vector<T>,
    y: Vector<T>,
    out: T,
}

impl<T: Float> Work for Dot<T> {
    fn ours(&mut self) -> Outcome {
        self.out = kernels::dot(self.x.get(), self.y.get())?;
        Ok(())
    }
    fn naive(&mut self) -> Outcome {
        self.out = naive::dot(self.x.get(), self.y.get());
        Ok(())
    }
    fn output(&self) -> Vec<f64> {
        vec![self.out.to_f64()]
    }
    fn allowed(&self) -> Vec<f64> {
        let terms = self.x.get().iter().zip(self.y.get()).map(|(x, y)| (x.to_f64() * y.to_f64()).abs());
        vec![gamma::<T>(self.x.get().len() + 2) * terms.sum::<f64>()]
    }
    fn cost(&self) -> Cost {
        let n = self.x.get().len();
        Cost { flops: 2.0 * n as f64, bytes: bytes::<T>(2 * n), written: 0.0 }
    }
}

struct Axpy<T> {
    alpha: T,
    x: Vector<T>,
    y: Vector<T>,
    before: Vector<T>,
}

impl<T: Float> Work for Axpy<T> {
    fn ours(&mut self) -> Outcome {
        Ok(kernels::axpy(self.alpha, self.x.get(), self.y.get_mut())?)
    }
    fn naive(&mut self) -> Outcome {
        naive::axpy(self.alpha, self.x.get(), self.y.get_mut());
        Ok(())
    }
    fn reset(&mut self) {
        self.y.clone_from(&self.before);
    }
    fn output(&self) -> Vec<f64> {
        widen(self.y.get())
    }
    fn allowed(&self) -> Vec<f64> {
        let each = self.x.get().iter().zip(self.before.get());
        // Two roundings, or one where the machine fuses them.
        each.map(|(x, y)| gamma::<T>(3) * ((self.alpha * *x).abs() + y.abs()).to_f64()).collect()
    }
    fn cost(&self) -> Cost {
        let n = self.x.get().len();
        Cost { flops: 2.0 * n as f64, bytes: bytes::<T>(3 * n), written: bytes::<T>(n) }
    }
}
