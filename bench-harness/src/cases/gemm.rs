//! The matrix product, plain, with what follows it, and with a packed operand: bound by multiplications.

use crate::case::{Case, Cost, Outcome, Work, bytes, element, gamma};
use crate::operand::{Draw, Matrix, Vector};
use tilewise_kernels::simd::Isa;
use tilewise_kernels::{self as kernels, Activation, Float, PackedB, naive};

pub(super) fn cases<T: Float>() -> Vec<Case> {
    let gemm = Case {
        name: "gemm",
        element: element::<T>(),
        formula: "C = alpha A B + beta C",
        dims: &["m", "n", "k"],
        timed: &[&[64, 64, 64], &[256, 256, 256], &[1024, 1024, 1024], &[2048, 2048, 2048], &[4096, 64, 64]],
        quick: &[128, 128, 128],
        largest: &[160, 160, 400],
        beside: None,
        make: |shape, draw: &mut Draw| {
            let (m, n, k) = (shape[0], shape[1], shape[2]);
            let (a, b, c) = (draw.matrix::<T>(m, k), draw.matrix(k, n), draw.matrix(m, n));
            Box::new(Gemm { alpha: draw.factor(1.0), beta: draw.factor(0.0), a, b, before: c.clone(), c })
        },
    };
    let fused = Case {
        name: "gemm_fused",
        formula: "C = max(A B + bias, 0)",
        timed: &[&[64, 64, 64], &[256, 256, 256], &[1024, 1024, 1024], &[64, 1024, 1024]],
        beside: Some("without bias and maximum"),
        make: |shape, draw: &mut Draw| {
            let (m, n, k) = (shape[0], shape[1], shape[2]);
            let (a, b, c) = (draw.matrix::<T>(m, k), draw.matrix(k, n), draw.matrix(m, n));
            Box::new(Fused { a, b, bias: draw.vector(n, 1.0), before: c.clone(), c, plain: false })
        },
        ..gemm.clone()
    };
    let packed = Case {
        name: "gemm_packed",
        formula: "C = A B, B packed beforehand",
        timed: &[&[1, 1024, 1024], &[8, 1024, 1024], &[64, 1024, 1024], &[1024, 1024, 1024]],
        beside: Some("of B as it is"),
        make: |shape, draw: &mut Draw| {
            let (m, n, k) = (shape[0], shape[1], shape[2]);
            let (a, b, c) = (draw.matrix::<T>(m, k), draw.matrix(k, n), draw.matrix(m, n));
            Box::new(Prepacked { a, b, packed: None, before: c.clone(), c })
        },
        ..gemm.clone()
    };
    vec![gemm, fused, packed]
}

struct Gemm<T> {
    alpha: T,
    beta: T,
    a: Matrix<T>,
    b: Matrix<T>,
    c: Matrix<T>,
    before: Matrix<T>,
}

impl<T: Float> Work for Gemm<T> {
    fn ours(&mut self) -> Outcome {
        Ok(kernels::gemm(self.alpha, self.a.get()?, self.b.get()?, self.beta, self.c.get_mut()?)?)
    }
    /// The three loops in the element type when operands are packed: what everybody writes first.
    fn naive(&mut self) -> Outcome {
        let (m, n, k) = (self.a.rows(), self.b.cols(), self.a.cols());
        let product_only = self.alpha == T::ONE && self.beta == T::ZERO;
        let (a, b) = (self.a.get()?, self.b.get()?);
        if let (true, Some(a), Some(b), Ok(c)) =
            (product_only, a.as_slice(), b.as_slice(), self.c.get_mut()?.into_slice())
        {
            naive::gemm_loops(m, n, k, a, b, c);
            return Ok(());
        }
        self.reference()
    }
    fn reference(&mut self) -> Outcome {
        naive::gemm(self.alpha, self.a.get()?, self.b.get()?, self.beta, self.c.get_mut()?);
        Ok(())
    }
    fn reset(&mut self) {
        self.c.clone_from(&self.before);
    }
    fn output(&self) -> Vec<f64> {
        self.c.everything()
    }
    fn allowed(&self) -> Vec<f64> {
        product_bound(self.alpha, &self.a, &self.b, self.beta, &self.before)
    }
    fn cost(&self) -> Cost {
        product_cost(&self.a, &self.b)
    }
}

struct Fused<T> {
    a: Matrix<T>,
    b: Matrix<T>,
    bias: Vector<T>,
    c: Matrix<T>,
    before: Matrix<T>,
    /// Whether the last run was the product alone.
    plain: bool,
}

impl<T: Float> Work for Fused<T> {
    fn ours(&mut self) -> Outcome {
        self.plain = false;
        let product = kernels::Gemm::new().bias(self.bias.get()).activation(Activation::Relu);
        Ok(product.run(self.a.get()?, self.b.get()?, self.c.get_mut()?)?)
    }
    fn naive(&mut self) -> Outcome {
        self.plain = false;
        let (a, b, bias) = (self.a.get()?, self.b.get()?, self.bias.get());
        let relu = Some(Activation::Relu);
        naive::gemm_fused(T::ONE, a, b, T::ZERO, Some(bias), None, relu, self.c.get_mut()?);
        Ok(())
    }
    fn beside(&mut self) -> Outcome {
        self.plain = true;
        Ok(kernels::gemm(T::ONE, self.a.get()?, self.b.get()?, T::ZERO, self.c.get_mut()?)?)
    }
    fn reset(&mut self) {
        self.c.clone_from(&self.before);
    }
    fn output(&self) -> Vec<f64> {
        let mut c = self.c.clone();
        if let (true, Ok(mut c)) = (self.plain, c.get_mut()) {
            for i in 0..c.rows() {
                for (j, &bias) in self.bias.get().iter().enumerate() {
                    c.set(i, j, naive::activation(Activation::Relu, c.get(i, j) + bias));
                }
            }
        }
        c.everything()
    }
    fn allowed(&self) -> Vec<f64> {
        // The bias adds a rounding, and what it adds.
        let bias = self.bias.get().iter().map(|x| x.to_f64().abs()).fold(0.0, f64::max);
        let product = product_bound(T::ONE, &self.a, &self.b, T::ZERO, &self.before);
        let rounded = 2.0 * gamma::<T>(self.a.cols() + 4) * bias;
        product.iter().map(|&bound| if bound == 0.0 { 0.0 } else { bound + rounded }).collect()
    }
    fn cost(&self) -> Cost {
        product_cost(&self.a, &self.b)
    }
}

struct Prepacked<T> {
    a: Matrix<T>,
    b: Matrix<T>,
    /// B for the instruction set of its time.
    packed: Option<(Isa, PackedB<T>)>,
    c: Matrix<T>,
    before: Matrix<T>,
}

impl<T: Float> Work for Prepacked<T> {
    fn ours(&mut self) -> Outcome {
        let isa = Isa::current();
        let packed = match self.packed.take() {
            Some((then, packed)) if then == isa => packed,
            _ => PackedB::new(self.b.get()?),
        };
        kernels::Gemm::new().run(self.a.get()?, &packed, self.c.get_mut()?)?;
        self.packed = Some((isa, packed));
        Ok(())
    }
    fn naive(&mut self) -> Outcome {
        naive::gemm(T::ONE, self.a.get()?, self.b.get()?, T::ZERO, self.c.get_mut()?);
        Ok(())
    }
    fn beside(&mut self) -> Outcome {
        Ok(kernels::gemm(T::ONE, self.a.get()?, self.b.get()?, T::ZERO, self.c.get_mut()?)?)
    }
    fn reset(&mut self) {
        self.c.clone_from(&self.before);
    }
    fn output(&self) -> Vec<f64> {
        self.c.everything()
    }
    fn allowed(&self) -> Vec<f64> {
        product_bound(T::ONE, &self.a, &self.b, T::ZERO, &self.before)
    }
    fn cost(&self) -> Cost {
        product_cost(&self.a, &self.b)
    }
}

fn product_cost<T: Float>(a: &Matrix<T>, b: &Matrix<T>) -> Cost {
    let (m, n, k) = (a.rows(), b.cols(), a.cols());
    let (flops, written) = (2.0 * (m * n * k) as f64, bytes::<T>(m * n));
    Cost { flops, bytes: bytes::<T>(m * k + k * n) + written, written }
}

/// gamma_(k+4) (|alpha| |A| |B| + |beta| |C|), element by element.
fn product_bound<T: Float>(alpha: T, a: &Matrix<T>, b: &Matrix<T>, beta: T, before: &Matrix<T>) -> Vec<f64> {
    let (n, k) = (b.cols(), a.cols());
    let (a, b, old) = (a.absolute(), b.absolute(), before.absolute());
    let (alpha, beta) = (alpha.abs().to_f64(), beta.abs().to_f64());
    let bound = |(place, old): (usize, &f64)| {
        let (i, j) = (place / n, place % n);
        let product: f64 = (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
        gamma::<T>(k + 4) * (alpha * product + beta * old)
    };
    before.allow(old.iter().enumerate().map(bound))
}
