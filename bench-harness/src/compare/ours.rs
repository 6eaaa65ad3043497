//! Our side of a comparison: a worker like all others.

use super::histogram::{Form, Histogram};
use super::networks;
use super::{linear, one_hot, sparse, trees};
use std::io;
use tilewise_kernels::parallel::{Scheme, with_threads};
use tilewise_kernels::simd::Isa;
use tilewise_kernels::{self as kernels, Float, GemmPlan, MatMut, MatRef, ShapeError, add, gemm};
use tilewise_report::worker::{Element, Job, Jobs, Memory, Problem, Product, serve};

/// Serves, with our kernels, in the naive `form` of a histogram (`blocks` or `loop`) or with the scheme of trees and networks (`tasks` or
/// `rows`), on standard input and output until the input ends, on the threads that the environment names.
///
/// # Errors
/// When the streams break.
pub fn work(form: &str) -> io::Result<()> {
    let threads = std::env::var("TILEWISE_THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let scheme = match form {
        "tasks" => Scheme::Tasks,
        "rows" => Scheme::Rows,
        _ => Scheme::Auto,
    };
    let form = match form {
        "blocks" => Form::Blocks,
        "loop" => Form::Loop,
        _ => Form::Ours,
    };
    let load = |problem: &Problem, trees: &trees::Worker| -> Result<Box<dyn Job>, String> {
        if trees::has(&problem.kind) {
            return trees.load(problem).map_err(|error| error.to_string());
        }
        if networks::has(&problem.kind) {
            return networks::load(problem, scheme).map_err(|error| error.to_string());
        }
        if problem.kind.starts_with("histogram") {
            let histogram = Histogram::draw(problem, form).map_err(|error| error.to_string())?;
            return Ok(Box::new(histogram));
        }
        let job = if problem.element == "f32" { load::<f32>(problem) } else { load::<f64>(problem) };
        job.map_err(|error| error.to_string())
    };
    with_threads(threads, || {
        let trees = trees::Worker::new(scheme);
        let load = |problem: &Problem| load(problem, &trees);
        let mut worker = Jobs::new(env!("CARGO_PKG_VERSION"), Isa::current().name(), load);
        serve(&mut worker, io::stdin().lock(), io::stdout().lock())
    })
}

fn load<T: Float + Element>(problem: &Problem) -> io::Result<Box<dyn Job>> {
    match (problem.kind.as_str(), problem.shape.as_slice()) {
        ("gemm" | "gemm_planned", &[m, n, k]) => {
            let product = Product::<T>::read(problem)?;
            let plan = product.planned.then(|| GemmPlan::new(m, n, k));
            Ok(Box::new(Multiplication { product, plan }))
        }
        ("add" | "axpy" | "scale" | "dot" | "sum" | "norm1", &[n]) => {
            let mut memory = Memory::<T, 3>::new([n; 3])?;
            memory.read(0, problem, "x")?;
            memory.read(1, problem, "y")?;
            Ok(Box::new(Vectors { kind: problem.kind.clone(), memory, sum: T::NAN }))
        }
        ("exp" | "log" | "sigmoid" | "tanh" | "erf", &[n]) => {
            let mut memory = Memory::<T, 2>::new([n; 2])?;
            memory.read(0, problem, "x")?;
            Ok(Box::new(Map { function: function(&problem.kind), memory }))
        }
        ("add", &[m, n]) => {
            let mut memory = Memory::<T, 3>::new([m * n; 3])?;
            memory.read(0, problem, "a")?;
            memory.read(1, problem, "b")?;
            Ok(Box::new(Addition { m, n, memory }))
        }
        (kind, &[rows, features] | &[rows, features, _])
            if linear::KINDS.contains(&kind) && problem.element == "f64" =>
        {
            Ok(Box::new(linear::Ours::load(problem, rows, features)?))
        }
        (one_hot::KIND, &[rows, one_hot::COLUMNS]) => Ok(Box::new(one_hot::Ours::load(problem, rows)?)),
        (kind, &[rows, features]) if sparse::KINDS.contains(&kind) && problem.element == "f64" => {
            Ok(Box::new(sparse::Ours::load(problem, rows, features)?))
        }
        (kind, shape) => Err(io::Error::other(format!("{kind} {} {shape:?} is not known", problem.element))),
    }
}

struct Multiplication<T> {
    product: Product<T>,
    plan: Option<GemmPlan<T>>,
}

impl<T: Float + Element> Job for Multiplication<T> {
    fn run(&mut self, times: u64) -> Result<(), String> {
        let Self { product, plan } = self;
        let ((m, n, k), a, b, c) = (product.shape(), product.a, product.b, product.c);
        let arrays = product.arrays();
        let mut products = || {
            let a = MatRef::with_strides(arrays.0, 0, m, k, a.row_stride(), a.col_stride())?;
            let b = MatRef::with_strides(arrays.1, 0, k, n, b.row_stride(), b.col_stride())?;
            let mut c = MatMut::with_strides(arrays.2, 0, m, n, c.row_stride(), c.col_stride())?;
            match plan {
                None => (0..times).try_for_each(|_| gemm(T::ONE, a, b, T::ZERO, c.reborrow())),
                Some(plan) => (0..times).try_for_each(|_| plan.run(T::ONE, a, b, T::ZERO, c.reborrow())),
            }
        };
        products().map_err(|error| error.to_string())
    }
    fn result(&self) -> Vec<f64> {
        self.product.result()
    }
}

/// A function of vectors.
type Function<T> = fn(&[T], &mut [T]) -> Result<(), ShapeError>;

fn function<T: Float>(kind: &str) -> Function<T> {
    match kind {
        "exp" => kernels::exp,
        "log" => kernels::log,
        "sigmoid" => kernels::sigmoid,
        "tanh" => kernels::tanh,
        _ => kernels::erf,
    }
}

struct Map<T> {
    function: Function<T>,
    /// Arguments and values.
    memory: Memory<T, 2>,
}

impl<T: Float + Element> Job for Map<T> {
    fn run(&mut self, times: u64) -> Result<(), String> {
        let [x, y] = self.memory.arrays();
        (0..times).try_for_each(|_| (self.function)(x, y)).map_err(|error| error.to_string())
    }
    fn result(&self) -> Vec<f64> {
        self.memory.wide(1)
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

struct Vectors<T> {
    kind: String,
    /// x, y and z.
    memory: Memory<T, 3>,
    sum: T,
}

impl<T: Float + Element> Job for Vectors<T> {
    fn run(&mut self, times: u64) -> Result<(), String> {
        let [x, y, z] = self.memory.arrays();
        let (n, alpha, minus) = (x.len(), T::from_f64(ALPHA), -T::ONE);
        let kind = self.kind.as_str();
        let mut pass = || {
            match kind {
                "add" => add(MatRef::new(x, 1, n)?, MatRef::new(y, 1, n)?, MatMut::new(z, 1, n)?)?,
                "axpy" => kernels::axpy(alpha, x, y)?,
                "scale" => kernels::scale(minus, x),
                "dot" => self.sum = kernels::dot(x, y)?,
                "sum" => self.sum = kernels::sum(x),
                _ => self.sum = kernels::norm1(x),
            }
            Ok(())
        };
        (0..times).try_for_each(|_| pass()).map_err(|error: ShapeError| error.to_string())
    }
    fn result(&self) -> Vec<f64> {
        match self.kind.as_str() {
            "add" => self.memory.wide(2),
            "axpy" => self.memory.wide(1),
            "scale" => self.memory.wide(0),
            _ => vec![self.sum.into()],
        }
    }
}

/// The factor of axpy: small, as y grows with every repetition. That of scale is -1.
const ALPHA: f64 = 1.0 / 1024.0;
