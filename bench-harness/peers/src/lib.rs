//! What the peer processes share: reading operands, and the loop over repetitions.

pub mod linear;
pub mod mkl;
pub mod trees;
pub mod vector;

use std::io;
use tilewise_report::worker::{Problem, Product, Worker, serve};

/// What a peer answers: nothing, or why it does not do this.
pub type Outcome = Result<(), String>;

enum Loaded {
    Nothing,
    F32(Product<f32>),
    F64(Product<f64>),
}

/// A peer that multiplies matrices.
struct Gemm<F, G> {
    version: String,
    configuration: String,
    f32: F,
    f64: G,
    loaded: Loaded,
}

/// Serves a peer until its input ends; `f32` and `f64` compute C = A B as often as they are told.
///
/// # Errors
/// When the streams break.
pub fn serve_gemm(
    version: String,
    configuration: String,
    f32: impl FnMut(&mut Product<f32>, u64) -> Outcome,
    f64: impl FnMut(&mut Product<f64>, u64) -> Outcome,
) -> io::Result<()> {
    let mut worker = Gemm { version, configuration, f32, f64, loaded: Loaded::Nothing };
    serve(&mut worker, io::stdin().lock(), io::stdout().lock())
}

impl<F, G> Worker for Gemm<F, G>
where
    F: FnMut(&mut Product<f32>, u64) -> Outcome,
    G: FnMut(&mut Product<f64>, u64) -> Outcome,
{
    fn version(&self) -> String {
        self.version.clone()
    }

    fn configuration(&self) -> String {
        self.configuration.clone()
    }

    fn load(&mut self, problem: &Problem) -> Outcome {
        // The operands before go first: two sets of the largest need not fit.
        self.loaded = Loaded::Nothing;
        let text = |error: io::Error| error.to_string();
        self.loaded = match problem.element.as_str() {
            "f32" => Loaded::F32(Product::read(problem).map_err(text)?),
            _ => Loaded::F64(Product::read(problem).map_err(text)?),
        };
        Ok(())
    }

    fn run(&mut self, times: u64) -> Outcome {
        match &mut self.loaded {
            Loaded::Nothing => Err("nothing is loaded".into()),
            Loaded::F32(product) => (self.f32)(product, times),
            Loaded::F64(product) => (self.f64)(product, times),
        }
    }

    fn result(&self) -> Vec<f64> {
        match &self.loaded {
            Loaded::Nothing => Vec::new(),
            Loaded::F32(product) => product.result(),
            Loaded::F64(product) => product.result(),
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

/// The widest vectors of this processor, which peers in Rust choose by.
pub fn vectors() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            return "avx512f";
        }
        if is_x86_feature_detected!("fma") {
            return "fma";
        }
    }
    std::env::consts::ARCH
}

/// The word after `mark` in the long text with which libraries introduce themselves.
pub fn word_after(text: &str, mark: &str) -> String {
    text.split_whitespace().skip_while(|word| *word != mark).nth(1).unwrap_or("unknown").into()
}
