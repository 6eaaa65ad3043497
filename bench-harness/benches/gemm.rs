//! Products and Gram matrices, on all cores.

use criterion::{criterion_group, criterion_main};

#[path = "support.rs"]
mod support;

fn gemm(c: &mut criterion::Criterion) {
    support::bench(
        c,
        &[
            "gemm",
            "gemm_fused",
            "gemm_packed",
            "gemm_batched",
            "syrk",
            "gram",
            "gemm_i8",
            "gemm_bf16",
            "quantise",
        ],
    );
}

criterion_group! { name = benches; config = support::config(); targets = gemm }
criterion_main!(benches);
