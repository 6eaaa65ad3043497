//! Fits, on all cores.

use criterion::{criterion_group, criterion_main};

#[path = "support.rs"]
mod support;

fn models(c: &mut criterion::Criterion) {
    let descent = ["descent rows", "descent tasks", "descent auto"];
    // Beside each fit the same arithmetic without rounds: the ratio is what being written as rounds costs.
    let fits = ["least squares", "least squares without rounds", "logistic", "logistic without rounds"];
    support::bench(c, &[&fits[..], &descent[..]].concat());
}

criterion_group! { name = benches; config = support::config(); targets = models }
criterion_main!(benches);
