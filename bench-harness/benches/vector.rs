//! Kernels that are bound by memory, on all cores and (small shapes) in cache.

use criterion::{criterion_group, criterion_main};

#[path = "support.rs"]
mod support;

fn vector(c: &mut criterion::Criterion) {
    support::bench(c, &["sum", "dot", "axpy", "add", "gemv"]);
}

criterion_group! { name = benches; config = support::config(); targets = vector }
criterion_main!(benches);
