//! Our side of a comparison: a worker like all others.

use std::io;
use tilewise_base::Context;
use tilewise_kernels::parallel::with_threads;
use tilewise_kernels::simd::Isa;
use tilewise_kernels::{Float, MatMut, MatRef, add, gemm};
use tilewise_linear::{LeastSquares, Logistic, Rows};
use tilewise_report::worker::{Element, Memory, Problem, Product, Worker, serve};

/// Serves on standard input and output until the input ends, on the threads that the environment names.
///
/// # Errors
/// When the streams break.
pub fn work() -> io::Result<()> {
    let threads = std::env::var("TILEWISE_THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    with_threads(threads, || serve(&mut Ours(None), io::stdin().lock(), io::stdout().lock()))
}

struct Ours(Option<Box<dyn Job>>);

trait Job {
    fn run(&mut self, times: u64) -> Result<(), String>;
    fn result(&self) -> Vec<f64>;
}

impl Worker for Ours {
    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").into()
    }

    fn configuration(&self) -> String {
        Isa::current().name().into()
    }

    fn load(&mut self, problem: &Problem) -> Result<(), String> {
        // The operands before go first: two sets of the largest need not fit.
        self.0 = None;
        let job = if problem.element == "f32" { load::<f32>(problem) } else { load::<f64>(problem) };
        self.0 = Some(job.map_err(|error| error.to_string())?);
        Ok(())
    }

    fn run(&mut self, times: u64) -> Result<(), String> {
        self.0.as_mut().map_or(Err("nothing is loaded".into()), |job| job.run(times))
    }

    fn result(&self) -> Vec<f64> {
        self.0.as_ref().map_or(Vec::new(), |job| job.result())
    }
}

fn load<T: Float + Element>(problem: &Problem) -> io::Result<Box<dyn Job>> {
    match (problem.kind.as_str(), problem.shape.as_slice()) {
        ("gemm", _) => Ok(Box::new(Product::<T>::read(problem)?)),
        ("add", &[m, n]) => {
            let mut memory = Memory::<T, 3>::new([m * n; 3])?;
            memory.read(0, problem, "a")?;
            memory.read(1, problem, "b")?;
            Ok(Box::new(Addition { m, n, memory }))
        }
        ("least_squares" | "ridge" | "logistic", &[rows, features]) if problem.element == "f64" => {
            let (x, y) = (problem.doubles("x", rows * features)?, problem.doubles("y", rows)?);
            let classes = y.iter().map(|&y| y as u32).collect();
            Ok(Box::new(Linear {
                kind: problem.kind.clone(),
                rows,
                features,
                x,
                y,
                classes,
                fitted: Vec::new(),
            }))
        }
        (kind, shape) => Err(io::Error::other(format!("{kind} {} {shape:?} is not known", problem.element))),
    }
}

impl<T: Float + Element> Job for Product<T> {
    fn run(&mut self, times: u64) -> Result<(), String> {
        let ((m, n, k), a, b, c) = (self.shape(), self.a, self.b, self.c);
        let arrays = self.arrays();
        let mut products = || {
            let a = MatRef::with_strides(arrays.0, 0, m, k, a.row_stride(), a.col_stride())?;
            let b = MatRef::with_strides(arrays.1, 0, k, n, b.row_stride(), b.col_stride())?;
            let mut c = MatMut::with_strides(arrays.2, 0, m, n, c.row_stride(), c.col_stride())?;
            (0..times).try_for_each(|_| gemm(T::ONE, a, b, T::ZERO, c.reborrow()))
        };
        products().map_err(|error| error.to_string())
    }
    fn result(&self) -> Vec<f64> {
        Product::result(self)
    }
}

struct Addition<T> {
    m: usize,
    n: usize,
    memory: Memory<T, 3>,
}

impl<T: Float + Element> Job for Addition<T> {
    fn run(&mut self, times: u64) -> Result<(), String> {
        let (m, n) = (self.m, self.n);
        let [a, b, c] = self.memory.arrays();
        let mut additions = || {
            let (a, b, mut c) = (MatRef::new(a, m, n)?, MatRef::new(b, m, n)?, MatMut::new(c, m, n)?);
            (0..times).try_for_each(|_| add(a, b, c.reborrow()))
        };
        additions().map_err(|error| error.to_string())
    }
    fn result(&self) -> Vec<f64> {
        self.memory.wide(2)
    }
}

struct Linear {
    kind: String,
    rows: usize,
    features: usize,
    x: Vec<f64>,
    y: Vec<f64>,
    classes: Vec<u32>,
    fitted: Vec<f64>,
}

impl Job for Linear {
    fn run(&mut self, times: u64) -> Result<(), String> {
        (0..times).try_for_each(|_| self.fit())
    }
    fn result(&self) -> Vec<f64> {
        self.fitted.clone()
    }
}

impl Linear {
    fn fit(&mut self) -> Result<(), String> {
        let x = MatRef::new(&self.x, self.rows, self.features).map_err(|error| error.to_string())?;
        let (rows, context) = (Rows::default(), Context::default());
        let fit = match self.kind.as_str() {
            "logistic" => Logistic::default().fit(x, &self.classes, rows, &context),
            kind => {
                let l2 = if kind == "ridge" { 1.0 } else { 0.0 };
                LeastSquares { l2, ..LeastSquares::default() }.fit(x, &self.y, rows, &context)
            }
        };
        let model = fit.map_err(|error| error.to_string())?.model;
        self.fitted = [model.coefficients, model.intercepts].concat();
        Ok(())
    }
}
