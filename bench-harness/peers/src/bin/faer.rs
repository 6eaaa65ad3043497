//! The `faer` crate: its product, private-gemm-x86, and what it takes instead for small and thin operands.

use faer::linalg::matmul::matmul;
use faer::reborrow::ReborrowMut;
use faer::{Accum, MatMut, MatRef, Par};
use tilewise_peers::{Outcome, serve_gemm, threads, vectors, version};
use tilewise_report::worker::{Element, Product};

fn multiply<T: Element + faer::traits::ComplexField>(p: &mut Product<T>, times: u64, one: T) -> Outcome {
    let parallelism = if threads() == 1 { Par::Seq } else { Par::rayon(threads()) };
    let ((m, n, k), sa, sb, sc) = (p.shape(), p.a, p.b, p.c);
    let (a, b, c) = p.arrays();
    // SAFETY: the arrays hold m x k, k x n and m x n elements at these strides, and C overlaps neither.
    let (a, b, mut c) = unsafe {
        (
            MatRef::from_raw_parts(a.as_ptr(), m, k, sa.row_stride(), sa.col_stride()),
            MatRef::from_raw_parts(b.as_ptr(), k, n, sb.row_stride(), sb.col_stride()),
            MatMut::from_raw_parts_mut(c.as_mut_ptr(), m, n, sc.row_stride(), sc.col_stride()),
        )
    };
    (0..times).for_each(|_| matmul(c.rb_mut(), Accum::Replace, a, b, one, parallelism));
    Ok(())
}

fn main() -> std::io::Result<()> {
    let backend = format!("private-gemm-x86 {}, {}", version("private-gemm-x86"), vectors());
    let f32 = |p: &mut Product<f32>, times| multiply(p, times, 1.0);
    let f64 = |p: &mut Product<f64>, times| multiply(p, times, 1.0);
    serve_gemm(version("faer"), backend, f32, f64)
}
