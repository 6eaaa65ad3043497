//! The `faer` crate.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use tilewise_peers::{Product, serve_gemm, threads, version};

macro_rules! multiply {
    ($t:ty) => {
        |p: &mut Product<$t>| {
            let parallelism = if threads() == 1 { Par::Seq } else { Par::rayon(threads()) };
            let a = MatRef::from_row_major_slice(&p.a, p.m, p.k);
            let b = MatRef::from_row_major_slice(&p.b, p.k, p.n);
            let c = MatMut::from_row_major_slice_mut(&mut p.c, p.m, p.n);
            matmul(c, Accum::Replace, a, b, 1.0, parallelism);
        }
    };
}

fn main() -> std::io::Result<()> {
    serve_gemm(version("faer"), multiply!(f32), multiply!(f64))
}
