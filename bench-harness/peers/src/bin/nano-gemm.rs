//! The `nano-gemm` crate, made for small products, always one thread. Its plan is made in every call where nobody plans, and
//! once where all do.

use nano_gemm::Plan;
use std::hint::black_box;
use tilewise_peers::{Outcome, serve_gemm, vectors, version};
use tilewise_report::worker::{Element, Product, Stored};

/// It plans for columns: a row-major C is the column-major C^T = B^T A^T.
fn multiply<T: Element>(
    plan: fn(usize, usize, usize) -> Plan<T>,
    packed: fn(usize, usize, usize) -> Plan<T>,
    p: &mut Product<T>,
    times: u64,
    zero: T,
    one: T,
) -> Outcome {
    let ((m, n, k), sa, sb, sc) = (p.shape(), p.a, p.b, p.c);
    let unit = |stored: Stored| stored.col_stride() == 1;
    let packed_columns = unit(sb) && unit(sc);
    // Opaque, or the compiler could make one plan for all repetitions.
    let make = || if packed_columns { packed(black_box(n), m, k) } else { plan(black_box(n), m, k) };
    let (planned, known) = (p.planned, make());
    let (a, b, c) = p.arrays();
    let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
    for _ in 0..times {
        let made = (!planned).then(make);
        // SAFETY: the arrays hold m x k, k x n and m x n elements at these strides, C overlaps neither, and the plan is
        // for this shape and, where it says so, for columns of stride 1.
        unsafe {
            made.as_ref().unwrap_or(&known).execute_unchecked(
                n,
                m,
                k,
                c,
                sc.col_stride(),
                sc.row_stride(),
                b,
                sb.col_stride(),
                sb.row_stride(),
                a,
                sa.col_stride(),
                sa.row_stride(),
                zero,
                one,
                false,
                false,
            )
        };
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let configuration = format!(
        "feature x86-v4, {}, planned in every call of `compare gemm`, once in `compare plan`, one thread",
        vectors()
    );
    let f32 = |p: &mut Product<f32>, times| {
        multiply(Plan::new_f32, Plan::new_colmajor_lhs_and_dst_f32, p, times, 0.0, 1.0)
    };
    let f64 = |p: &mut Product<f64>, times| {
        multiply(Plan::new_f64, Plan::new_colmajor_lhs_and_dst_f64, p, times, 0.0, 1.0)
    };
    serve_gemm(version("nano-gemm"), configuration, f32, f64)
}
