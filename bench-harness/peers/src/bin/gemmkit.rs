//! The `gemmkit` crate.

use gemmkit::{GemmScalar, Parallelism};
use tilewise_peers::{Outcome, serve_gemm, threads, vectors, version};
use tilewise_report::worker::{Element, Product};

fn multiply<T: Element + GemmScalar>(p: &mut Product<T>, times: u64, zero: T, one: T) -> Outcome {
    let parallelism = if threads() == 1 { Parallelism::Serial } else { Parallelism::Rayon(threads()) };
    let ((m, n, k), sa, sb, sc) = (p.shape(), p.a, p.b, p.c);
    let (a, b, c) = p.arrays();
    let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
    for _ in 0..times {
        // SAFETY: the arrays hold m x k, k x n and m x n elements at these strides, and C overlaps neither.
        unsafe {
            gemmkit::gemm_unchecked(
                m,
                k,
                n,
                one,
                a,
                sa.row_stride(),
                sa.col_stride(),
                b,
                sb.row_stride(),
                sb.col_stride(),
                zero,
                c,
                sc.row_stride(),
                sc.col_stride(),
                parallelism,
            )
        };
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let f32 = |p: &mut Product<f32>, times| multiply(p, times, 0.0, 1.0);
    let f64 = |p: &mut Product<f64>, times| multiply(p, times, 0.0, 1.0);
    serve_gemm(version("gemmkit"), vectors().into(), f32, f64)
}
