//! The `gemm` crate with its AVX-512 kernels.

use gemm::Parallelism;
use tilewise_peers::{Product, serve_gemm, threads, version};

fn multiply<T: 'static>(p: &mut Product<T>, zero: T, one: T, parallelism: Parallelism) {
    let (k, n) = (p.k as isize, p.n as isize);
    let (a, b, c) = (p.a.as_ptr(), p.b.as_ptr(), p.c.as_mut_ptr());
    // SAFETY: the slices hold m * k, k * n and m * n packed elements, and C overlaps neither.
    unsafe {
        gemm::gemm(
            p.m,
            p.n,
            p.k,
            c,
            1,
            n,
            false,
            a,
            1,
            k,
            b,
            1,
            n,
            zero,
            one,
            false,
            false,
            false,
            parallelism,
        )
    };
}

fn main() -> std::io::Result<()> {
    let parallelism = if threads() == 1 { Parallelism::None } else { Parallelism::Rayon(threads()) };
    let f32 = |p: &mut Product<f32>| multiply(p, 0.0, 1.0, parallelism);
    let f64 = |p: &mut Product<f64>| multiply(p, 0.0, 1.0, parallelism);
    serve_gemm(version("gemm"), f32, f64)
}
