//! What the criterion benches share: every case of the harness under its own name, e.g. `gemm f32/1024 x 1024 x 1024`.

use criterion::{Criterion, SamplingMode, Throughput};
use std::time::Duration;
use tilewise_bench::case::{Outcome, shape_text};
use tilewise_bench::cases;
use tilewise_bench::operand::Draw;

/// Short: all benches together should take minutes. `--measurement-time` and `--sample-size` take longer on request.
pub(crate) fn config() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(10)
}

/// Benches the cases with these names on all their timed shapes.
pub(crate) fn bench(c: &mut Criterion, names: &[&str]) {
    for case in cases::all().into_iter().filter(|case| names.contains(&case.name)) {
        let mut group = c.benchmark_group(case.title());
        group.sampling_mode(SamplingMode::Flat);
        for shape in case.timed {
            // Made on first use: a filtered run does not draw operands it never touches.
            let mut work = None;
            let flops: usize = shape.iter().product();
            group.throughput(Throughput::Elements(flops as u64));
            group.bench_function(shape_text(shape), |bencher| {
                let work = work.get_or_insert_with(|| (case.make)(shape, &mut Draw::packed(1)));
                let mut outcome: Outcome = Ok(());
                bencher.iter(|| {
                    if let Err(error) = work.ours() {
                        outcome = Err(error);
                    }
                });
                outcome.expect("a case that the harness checks must run");
            });
        }
        group.finish();
    }
}
