//! Fits, on all cores.

use criterion::{criterion_group, criterion_main};

#[path = "support.rs"]
mod support;

fn models(c: &mut criterion::Criterion) {
    let descent = ["descent rows", "descent tasks", "descent auto"];
    let fits = ["least squares", "logistic newton"];
    let trees = ["grow tree", "grow forest", "grow boosting"];
    support::bench(c, &[&fits[..], &descent[..], &trees[..]].concat());
}

criterion_group! { name = benches; config = support::config(); targets = models }
criterion_main!(benches);
