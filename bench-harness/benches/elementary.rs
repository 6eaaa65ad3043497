//! Elementary functions, on all cores.

use criterion::{criterion_group, criterion_main};

#[path = "support.rs"]
mod support;

fn elementary(c: &mut criterion::Criterion) {
    support::bench(
        c,
        &["exp", "log", "sigmoid", "tanh", "softplus", "erf", "gelu", "softsign", "softmax", "log_softmax"],
    );
}

criterion_group! { name = benches; config = support::config(); targets = elementary }
criterion_main!(benches);
