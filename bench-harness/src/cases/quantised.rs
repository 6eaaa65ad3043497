//! Products of bytes and of bfloat16 numbers, and quantisation. Rates are judged by the f32 peak of the machine, which
//! bytes may exceed.

use crate::case::{Case, Cost, Outcome, Work, gamma};
use crate::operand::{Draw, Matrix, Vector};
use tilewise_kernels::{self as kernels, Bf16, Quantisation, naive};

pub(super) fn cases() -> Vec<Case> {
    let product = |name, formula, largest, beside, make| Case {
        name,
        element: "f32",
        formula,
        dims: &["m", "n", "k"],
        timed: &[&[64, 64, 64], &[256, 256, 256], &[1024, 1024, 1024], &[16, 1024, 1024]],
        quick: &[128, 128, 128],
        largest,
        beside: Some(beside),
        make,
    };
    vec![
        // With k up to 250 the sums of f32 are exact too: 255 * 255 * 250 < 2^24.
        product(
            "gemm_i8",
            "C = (A - zero_a) (B - zero_b), bytes",
            &[160, 160, 250],
            "in f32",
            |shape, draw| {
                let (a, b) = (draw.matrix::<f32>(shape[0], shape[2]), draw.matrix::<f32>(shape[2], shape[1]));
                let (a, b) = (a.map(|x| (128.0 * x + 128.0) as u8), b.map(|x| (128.0 * x) as i8));
                let zeros = ([0, 128, 3][draw.choose(3)], [0, -5, 127][draw.choose(3)]);
                let c = draw.matrix::<f64>(shape[0], shape[1]).map(|_| 0);
                Box::new(Bytes {
                    wide: (
                        a.map(|x| f32::from(x) - f32::from(zeros.0)),
                        b.map(|x| f32::from(x) - f32::from(zeros.1)),
                        c.map(|_| 0.0),
                    ),
                    in_f32: false,
                    a,
                    b,
                    c,
                    zeros,
                })
            },
        ),
        product(
            "gemm_bf16",
            "C = A B, A and B in bfloat16",
            &[160, 160, 400],
            "stored in f32",
            |shape, draw| {
                let (a, b) = (draw.matrix::<f32>(shape[0], shape[2]), draw.matrix::<f32>(shape[2], shape[1]));
                let (a, b) = (a.map(Bf16::from_f32), b.map(Bf16::from_f32));
                let c = draw.matrix::<f32>(shape[0], shape[1]);
                Box::new(Halves { wide: (a.map(Bf16::to_f32), b.map(Bf16::to_f32)), a, b, c })
            },
        ),
        Case {
            name: "quantise",
            element: "f32",
            formula: "q_i = saturate(round(x_i / scale) + zero)",
            dims: &["n"],
            timed: &[&[16_384], &[4_194_304]],
            quick: &[65_536],
            largest: &[300_000],
            beside: None,
            make: |shape, draw: &mut Draw| {
                let x = draw.vector::<f32>(shape[0], 1.0);
                let by = Quantisation { scale: 0.007, zero_point: [128, 0, 255][draw.choose(3)] };
                Box::new(Quantise { q: vec![0; shape[0]], x, by })
            },
        },
    ]
}

struct Bytes {
    a: Matrix<u8>,
    b: Matrix<i8>,
    c: Matrix<i32>,
    zeros: (u8, i8),
    /// The same without zero points.
    wide: (Matrix<f32>, Matrix<f32>, Matrix<f32>),
    /// Whether the last run was in f32.
    in_f32: bool,
}

impl Work for Bytes {
    fn ours(&mut self) -> Outcome {
        self.in_f32 = false;
        Ok(kernels::gemm_i8(self.a.get()?, self.zeros.0, self.b.get()?, self.zeros.1, self.c.get_mut()?)?)
    }
    fn naive(&mut self) -> Outcome {
        self.in_f32 = false;
        naive::gemm_i8(self.a.get()?, self.zeros.0, self.b.get()?, self.zeros.1, self.c.get_mut()?);
        Ok(())
    }
    fn beside(&mut self) -> Outcome {
        self.in_f32 = true;
        let (a, b, c) = &mut self.wide;
        Ok(kernels::gemm(1.0, a.get()?, b.get()?, 0.0, c.get_mut()?)?)
    }
    fn reset(&mut self) {
        self.c = self.c.map(|_| 0);
    }
    fn output(&self) -> Vec<f64> {
        if self.in_f32 { self.wide.2.everything() } else { self.c.map(f64::from).everything() }
    }
    fn allowed(&self) -> Vec<f64> {
        vec![0.0; self.output().len()]
    }
    fn cost(&self) -> Cost {
        let (m, n, k) = (self.a.rows(), self.b.cols(), self.a.cols());
        let written = 4.0 * (m * n) as f64;
        Cost { flops: 2.0 * (m * n * k) as f64, bytes: (m * k + k * n) as f64 + written, written }
    }
}

struct Halves {
    a: Matrix<Bf16>,
    b: Matrix<Bf16>,
    c: Matrix<f32>,
    wide: (Matrix<f32>, Matrix<f32>),
}

impl Work for Halves {
    fn ours(&mut self) -> Outcome {
        Ok(kernels::gemm_mixed(1.0, self.a.get()?, self.b.get()?, 0.0, self.c.get_mut()?)?)
    }
    fn naive(&mut self) -> Outcome {
        naive::gemm_mixed(1.0, self.a.get()?, self.b.get()?, 0.0, self.c.get_mut()?);
        Ok(())
    }
    fn beside(&mut self) -> Outcome {
        Ok(kernels::gemm(1.0, self.wide.0.get()?, self.wide.1.get()?, 0.0, self.c.get_mut()?)?)
    }
    fn output(&self) -> Vec<f64> {
        self.c.everything()
    }
    fn allowed(&self) -> Vec<f64> {
        let (n, k) = (self.b.cols(), self.a.cols());
        let (a, b) = (self.wide.0.absolute(), self.wide.1.absolute());
        let entry = |place: usize| (0..k).map(|l| a[place / n * k + l] * b[l * n + place % n]).sum::<f64>();
        self.c.allow((0..self.c.rows() * n).map(|place| gamma::<f32>(k + 4) * entry(place)))
    }
    fn cost(&self) -> Cost {
        let (m, n, k) = (self.a.rows(), self.b.cols(), self.a.cols());
        let written = 4.0 * (m * n) as f64;
        Cost { flops: 2.0 * (m * n * k) as f64, bytes: 2.0 * (m * k + k * n) as f64 + written, written }
    }
}

struct Quantise {
    x: Vector<f32>,
    by: Quantisation<u8>,
    q: Vec<u8>,
}

impl Work for Quantise {
    fn ours(&mut self) -> Outcome {
        Ok(kernels::quantise(self.x.get(), self.by, &mut self.q)?)
    }
    fn naive(&mut self) -> Outcome {
        self.q.iter_mut().zip(self.x.get()).for_each(|(q, &x)| *q = naive::quantise(x, self.by));
        Ok(())
    }
    fn output(&self) -> Vec<f64> {
        self.q.iter().map(|&q| q.into()).collect()
    }
    fn allowed(&self) -> Vec<f64> {
        vec![0.0; self.q.len()]
    }
    fn cost(&self) -> Cost {
        // A division, a rounding, an addition.
        let n = self.q.len() as f64;
        Cost { flops: 3.0 * n, bytes: 5.0 * n, written: n }
    }
}
