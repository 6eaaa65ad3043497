//! Many small products in one call.

use crate::case::{Case, Cost, Outcome, Work, bytes, element, gamma, widen};
use crate::operand::{Draw, Vector};
use tilewise_kernels::{Float, ShapeError, TensorMut, TensorRef, gemm_batched, naive};

pub(super) fn cases<T: Float>() -> Vec<Case> {
    vec![Case {
        name: "gemm_batched",
        element: element::<T>(),
        formula: "C_i = alpha A_i B_i + beta C_i",
        dims: &["items", "m", "n", "k"],
        timed: &[&[256, 64, 64, 64], &[4096, 16, 16, 16]],
        quick: &[32, 32, 32, 32],
        largest: &[40, 40, 40, 40],
        beside: None,
        make: |shape, draw: &mut Draw| {
            let (items, m, n, k) = (shape[0], shape[1], shape[2], shape[3]);
            // Items need not follow each other closely; one B may serve them all.
            let gap = draw.choose(5);
            let stride_b = if draw.choose(3) == 1 { 0 } else { k * n };
            let a = draw.vector::<T>(items * (m * k + gap), 1.0);
            let b = draw.vector(if stride_b == 0 { k * n } else { items * k * n }, 1.0);
            let c = draw.vector(items * (m * n + gap), 1.0);
            let (alpha, beta) = (draw.factor(1.0), draw.factor(0.0));
            Box::new(Batched { items, m, n, k, gap, stride_b, alpha, beta, a, b, before: c.clone(), c })
        },
    }]
}

struct Batched<T> {
    items: usize,
    m: usize,
    n: usize,
    k: usize,
    gap: usize,
    stride_b: usize,
    alpha: T,
    beta: T,
    a: Vector<T>,
    b: Vector<T>,
    c: Vector<T>,
    before: Vector<T>,
}

type Operands<'a, T> = (TensorRef<'a, T>, TensorRef<'a, T>, TensorMut<'a, T>);

impl<T: Float> Batched<T> {
    fn operands(&mut self) -> Result<Operands<'_, T>, ShapeError> {
        let Self { items, m, n, k, gap, stride_b, .. } = *self;
        let a = TensorRef::new(self.a.get(), items, m * k + gap, m, k)?;
        let b = TensorRef::new(self.b.get(), items, stride_b, k, n)?;
        Ok((a, b, TensorMut::new(self.c.get_mut(), items, m * n + gap, m, n)?))
    }
}

impl<T: Float> Work for Batched<T> {
    fn ours(&mut self) -> Outcome {
        let (alpha, beta) = (self.alpha, self.beta);
        let (a, b, c) = self.operands()?;
        Ok(gemm_batched(alpha, a, b, beta, c)?)
    }
    /// k separate products, each the three loops where that is what is asked for.
    fn naive(&mut self) -> Outcome {
        let Self { items, m, n, k, gap, stride_b, .. } = *self;
        if self.alpha != T::ONE || self.beta != T::ZERO {
            return self.reference();
        }
        for i in 0..items {
            let a = &self.a.get()[i * (m * k + gap)..];
            let b = &self.b.get()[i * stride_b..];
            naive::gemm_loops(m, n, k, a, b, &mut self.c.get_mut()[i * (m * n + gap)..]);
        }
        Ok(())
    }
    fn reference(&mut self) -> Outcome {
        let (alpha, beta) = (self.alpha, self.beta);
        let (a, b, c) = self.operands()?;
        Ok(naive::gemm_batched(alpha, a, b, beta, c)?)
    }
    fn reset(&mut self) {
        self.c.clone_from(&self.before);
    }
    fn output(&self) -> Vec<f64> {
        widen(self.c.get())
    }
    fn allowed(&self) -> Vec<f64> {
        let Self { m, n, k, gap, stride_b, .. } = *self;
        let size = m * n + gap;
        let bound = |(place, old): (usize, &T)| {
            let (item, inside) = (place / size, place % size);
            if inside >= m * n {
                return 0.0;
            }
            let (a, b) =
                (&self.a.get()[item * (m * k + gap) + inside / n * k..], &self.b.get()[item * stride_b..]);
            let product: f64 = (0..k).map(|l| (a[l].to_f64() * b[l * n + inside % n].to_f64()).abs()).sum();
            gamma::<T>(k + 4) * (self.alpha.abs().to_f64() * product + (self.beta * *old).abs().to_f64())
        };
        self.before.get().iter().enumerate().map(bound).collect()
    }
    fn cost(&self) -> Cost {
        let Self { items, m, n, k, .. } = *self;
        let (read, written) = (bytes::<T>(items * m * k + self.b.get().len()), bytes::<T>(items * m * n));
        Cost { flops: 2.0 * (items * m * n * k) as f64, bytes: read + written, written }
    }
}
