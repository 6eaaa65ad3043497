//! Our side of a comparison: a worker like all others.

use std::io;
use tilewise_base::Context;
use tilewise_kernels::parallel::with_threads;
use tilewise_kernels::{Float, MatMut, MatRef, add, gemm};
use tilewise_linear::{LeastSquares, Logistic, Rows};
use tilewise_report::worker::{Problem, Worker, serve};

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
    fn run(&mut self) -> Result<(), String>;
    fn result(&self) -> Vec<f64>;
}

impl Worker for Ours {
    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").into()
    }

    fn load(&mut self, problem: &Problem) -> Result<(), String> {
        let job = if problem.element == "f32" { load::<f32>(problem) } else { load::<f64>(problem) };
        self.0 = Some(job.map_err(|error| error.to_string())?);
        Ok(())
    }

    fn run(&mut self) -> Result<(), String> {
        self.0.as_mut().map_or(Err("nothing is loaded".into()), |job| job.run())
    }

    fn result(&self) -> Vec<f64> {
        self.0.as_ref().map_or(Vec::new(), |job| job.result())
    }
}

fn read<T: Float>(problem: &Problem, name: &str, len: usize) -> io::Result<Vec<T>> {
    Ok(if problem.element == "f32" {
        problem.read_f32(name, len)?.into_iter().map(|x| T::from_f64(x.into())).collect()
    } else {
        problem.read_f64(name, len)?.into_iter().map(T::from_f64).collect()
    })
}

fn load<T: Float>(problem: &Problem) -> io::Result<Box<dyn Job>> {
    match (problem.kind.as_str(), problem.shape.as_slice()) {
        ("gemm", &[m, n, k]) => {
            let (a, b) = (read::<T>(problem, "a", m * k)?, read(problem, "b", k * n)?);
            Ok(Box::new(Product { m, n, k, a, b, c: vec![T::ZERO; m * n] }))
        }
        ("add", &[m, n]) => {
            let (a, b) = (read::<T>(problem, "a", m * n)?, read(problem, "b", m * n)?);
            Ok(Box::new(Addition { m, n, a, b, c: vec![T::ZERO; m * n] }))
        }
        ("least_squares" | "ridge" | "logistic", &[rows, features]) if problem.element == "f64" => {
            let (x, y) = (problem.read_f64("x", rows * features)?, problem.read_f64("y", rows)?);
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

struct Product<T> {
    m: usize,
    n: usize,
    k: usize,
    a: Vec<T>,
    b: Vec<T>,
    c: Vec<T>,
}

impl<T: Float> Job for Product<T> {
    fn run(&mut self) -> Result<(), String> {
        let Self { m, n, k, a, b, c } = self;
        let mut product = || {
            let (a, b, c) = (MatRef::new(a, *m, *k)?, MatRef::new(b, *k, *n)?, MatMut::new(c, *m, *n)?);
            gemm(T::ONE, a, b, T::ZERO, c)
        };
        product().map_err(|error| error.to_string())
    }
    fn result(&self) -> Vec<f64> {
        crate::case::widen(&self.c)
    }
}

struct Addition<T> {
    m: usize,
    n: usize,
    a: Vec<T>,
    b: Vec<T>,
    c: Vec<T>,
}

impl<T: Float> Job for Addition<T> {
    fn run(&mut self) -> Result<(), String> {
        let Self { m, n, a, b, c } = self;
        let mut addition = || add(MatRef::new(a, *m, *n)?, MatRef::new(b, *m, *n)?, MatMut::new(c, *m, *n)?);
        addition().map_err(|error| error.to_string())
    }
    fn result(&self) -> Vec<f64> {
        crate::case::widen(&self.c)
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
    fn run(&mut self) -> Result<(), String> {
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
    fn result(&self) -> Vec<f64> {
        self.fitted.clone()
    }
}
