//! What the peer processes share: the matrix product they are all asked for.

use std::io;
use tilewise_report::worker::{Problem, Worker, serve};

/// Operands of C = A B, row-major and packed.
pub struct Product<T> {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// A.
    pub a: Vec<T>,
    /// B.
    pub b: Vec<T>,
    /// C.
    pub c: Vec<T>,
}

enum Loaded {
    Nothing,
    F32(Product<f32>),
    F64(Product<f64>),
}

/// A peer that multiplies matrices.
pub struct Gemm<F, G> {
    version: String,
    f32: F,
    f64: G,
    loaded: Loaded,
}

/// Serves a peer until its input ends; `f32` and `f64` compute C = A B.
///
/// # Errors
/// When the streams break.
pub fn serve_gemm(
    version: String,
    f32: impl FnMut(&mut Product<f32>),
    f64: impl FnMut(&mut Product<f64>),
) -> io::Result<()> {
    let mut worker = Gemm { version, f32, f64, loaded: Loaded::Nothing };
    serve(&mut worker, io::stdin().lock(), io::stdout().lock())
}

impl<F: FnMut(&mut Product<f32>), G: FnMut(&mut Product<f64>)> Worker for Gemm<F, G> {
    fn version(&self) -> String {
        self.version.clone()
    }

    fn load(&mut self, problem: &Problem) -> Result<(), String> {
        let ("gemm", &[m, n, k]) = (problem.kind.as_str(), problem.shape.as_slice()) else {
            return Err(format!("{} is not what this peer does", problem.kind));
        };
        let text = |error: io::Error| error.to_string();
        self.loaded = if problem.element == "f32" {
            let (a, b) =
                (problem.read_f32("a", m * k).map_err(text)?, problem.read_f32("b", k * n).map_err(text)?);
            Loaded::F32(Product { m, n, k, a, b, c: vec![0.0; m * n] })
        } else {
            let (a, b) =
                (problem.read_f64("a", m * k).map_err(text)?, problem.read_f64("b", k * n).map_err(text)?);
            Loaded::F64(Product { m, n, k, a, b, c: vec![0.0; m * n] })
        };
        Ok(())
    }

    fn run(&mut self) -> Result<(), String> {
        match &mut self.loaded {
            Loaded::Nothing => return Err("nothing is loaded".into()),
            Loaded::F32(product) => (self.f32)(product),
            Loaded::F64(product) => (self.f64)(product),
        }
        Ok(())
    }

    fn result(&self) -> Vec<f64> {
        match &self.loaded {
            Loaded::Nothing => Vec::new(),
            Loaded::F32(product) => product.c.iter().map(|&x| x as f64).collect(),
            Loaded::F64(product) => product.c.clone(),
        }
    }
}

/// Threads that this process was given.
pub fn threads() -> usize {
    std::env::var("TILEWISE_THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// The version of `package` that was built.
pub fn version(package: &str) -> String {
    let name = format!("name = \"{package}\"");
    let lock = include_str!("../Cargo.lock");
    let after = lock.lines().skip_while(|line| *line != name).nth(1);
    after.and_then(|line| line.split('"').nth(1)).unwrap_or("unknown").into()
}
