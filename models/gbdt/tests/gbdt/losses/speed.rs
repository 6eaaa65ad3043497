//! How long a stage's derivatives and loss take: printed, for people.

use super::cases::{Weights, case, queries};
use std::time::Instant;
use tilewise_gbdt::Loss;
use tilewise_gbdt::loss::Derivatives;
use tilewise_kernels::parallel::with_threads;

#[test]
#[ignore = "measures; with --release, on a quiet machine"]
fn milliseconds_of_a_stage() {
    let cases = [
        case(Loss::Squared, None, 500_000, Weights::None, 41),
        case(Loss::Logistic, Some(2), 500_000, Weights::None, 41),
        case(Loss::Logistic, Some(2), 500_000, Weights::Any, 41),
        case(Loss::Softmax, Some(5), 100_000, Weights::None, 41),
        case(Loss::Poisson, None, 500_000, Weights::None, 41),
        case(Loss::Tweedie { power: 1.5 }, None, 500_000, Weights::None, 41),
        case(Loss::Absolute, None, 500_000, Weights::None, 41),
        case(Loss::Cox, None, 50_000, Weights::None, 41),
        queries(30, 200, 120, Weights::None, 41),
    ];
    for case in cases {
        for threads in [1, 2] {
            let truth = case.rows.truth();
            let mut out = vec![Derivatives::default(); case.scores.len()];
            let (derivatives, loss) = with_threads(threads, || {
                let derivatives = least(|| case.objective.derivatives(&truth, &case.scores, &mut out));
                (derivatives, least(|| assert!(case.objective.loss(&truth, &case.scores).is_finite())))
            });
            let rows = case.scores.len();
            println!(
                "{:12} {rows} scores, {threads} threads: derivatives {derivatives:.2} ms, loss {loss:.2} ms",
                case.name()
            );
        }
    }
}

/// The shortest of 30 runs.
fn least(mut f: impl FnMut()) -> f64 {
    let run = |_| {
        let begin = Instant::now();
        f();
        begin.elapsed().as_secs_f64() * 1e3
    };
    (0..30).map(run).fold(f64::INFINITY, f64::min)
}
