//! The `gemm` crate with its AVX-512 kernels.

use gemm::Parallelism;
use tilewise_peers::{Outcome, serve_gemm, threads, vectors, version};
use tilewise_report::worker::{Element, Product};

fn multiply<T: Element>(p: &mut Product<T>, times: u64, zero: T, one: T) -> Outcome {
    let parallelism = if threads() == 1 { Parallelism::None } else { Parallelism::Rayon(threads()) };
    let ((m, n, k), sa, sb, sc) = (p.shape(), p.a, p.b, p.c);
    let (a, b, c) = p.arrays();
    let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
    for _ in 0..times {
        // SAFETY: the arrays hold m x k, k x n and m x n elements at these strides, and C overlaps neither.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                c,
                sc.col_stride(),
                sc.row_stride(),
                false,
                a,
                sa.col_stride(),
                sa.row_stride(),
                b,
                sb.col_stride(),
                sb.row_stride(),
                zero,
                one,
                false,
                false,
                false,
                parallelism,
            )
        };
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let configuration = format!("feature x86-v4, {}", vectors());
    let f32 = |p: &mut Product<f32>, times| multiply(p, times, 0.0, 1.0);
    let f64 = |p: &mut Product<f64>, times| multiply(p, times, 0.0, 1.0);
    serve_gemm(version("gemm"), configuration, f32, f64)
}
