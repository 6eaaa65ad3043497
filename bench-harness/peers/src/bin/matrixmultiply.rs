//! The `matrixmultiply` crate. Its threads are set by the environment.

use tilewise_peers::{Product, serve_gemm, version};

fn main() -> std::io::Result<()> {
    let sgemm = |p: &mut Product<f32>| {
        let (k, n) = (p.k as isize, p.n as isize);
        // SAFETY: the slices hold m * k, k * n and m * n packed elements.
        unsafe {
            matrixmultiply::sgemm(
                p.m,
                p.k,
                p.n,
                1.0,
                p.a.as_ptr(),
                k,
                1,
                p.b.as_ptr(),
                n,
                1,
                0.0,
                p.c.as_mut_ptr(),
                n,
                1,
            )
        };
    };
    let dgemm = |p: &mut Product<f64>| {
        let (k, n) = (p.k as isize, p.n as isize);
        // SAFETY: as above.
        unsafe {
            matrixmultiply::dgemm(
                p.m,
                p.k,
                p.n,
                1.0,
                p.a.as_ptr(),
                k,
                1,
                p.b.as_ptr(),
                n,
                1,
                0.0,
                p.c.as_mut_ptr(),
                n,
                1,
            )
        };
    };
    serve_gemm(version("matrixmultiply"), sgemm, dgemm)
}
