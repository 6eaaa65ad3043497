//! The `matrixmultiply` crate. Its threads are set by the environment.

use tilewise_peers::{Outcome, serve_gemm, vectors, version};
use tilewise_report::worker::{Element, Product};

type Gemm<T> = unsafe fn(
    usize,
    usize,
    usize,
    T,
    *const T,
    isize,
    isize,
    *const T,
    isize,
    isize,
    T,
    *mut T,
    isize,
    isize,
);

fn multiply<T: Element>(function: Gemm<T>, p: &mut Product<T>, times: u64, zero: T, one: T) -> Outcome {
    let ((m, n, k), sa, sb, sc) = (p.shape(), p.a, p.b, p.c);
    let (a, b, c) = p.arrays();
    let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
    for _ in 0..times {
        // SAFETY: the arrays hold m x k, k x n and m x n elements at these strides, and C overlaps neither.
        unsafe {
            function(
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
            )
        };
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let f32 = |p: &mut Product<f32>, times| multiply(matrixmultiply::sgemm, p, times, 0.0, 1.0);
    let f64 = |p: &mut Product<f64>, times| multiply(matrixmultiply::dgemm, p, times, 0.0, 1.0);
    serve_gemm(version("matrixmultiply"), vectors().into(), f32, f64)
}
