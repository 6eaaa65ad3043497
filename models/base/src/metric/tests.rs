//! Measures against scikit-learn and against closed forms.

use super::*;
use serde::Deserialize;
use tilewise_kernels::random::Philox;

/// Numbers of both sides are sums of 60 terms in different orders: a few units in the last place.
const TOLERANCE: f64 = 1e-13;

#[derive(Deserialize)]
struct Golden {
    y: Vec<f64>,
    p: Vec<f64>,
    w: Vec<f64>,
    truth: Vec<u32>,
    score: Vec<f64>,
    three: Vec<u32>,
    prob: Vec<f64>,
    guess: Vec<u32>,
    guess_of_four: Vec<u32>,
    plain: Measures,
    weighted: Measures,
}

#[derive(Debug, Deserialize)]
struct Measures {
    rmse: f64,
    mae: f64,
    r2: f64,
    binary_log_loss: f64,
    roc_auc: f64,
    pr_auc: f64,
    log_loss: f64,
    accuracy: f64,
    macro_f1: f64,
    macro_f1_of_four: f64,
    confusion: Vec<f64>,
}

fn near(name: &str, ours: f64, theirs: f64) {
    assert!(
        (ours - theirs).abs() <= TOLERANCE * theirs.abs().max(1.0),
        "{name}: {ours} but scikit-learn {theirs}"
    );
}

/// Written by `golden/metric.py`.
#[test]
fn agrees_with_scikit_learn() {
    let g: Golden = serde_json::from_str(include_str!("../../golden/metric.json")).unwrap();
    let positive: Vec<bool> = g.truth.iter().map(|&t| t == 1).collect();
    let both: Vec<f64> = g.score.iter().flat_map(|&s| [1.0 - s, s]).collect();
    for (weights, expected) in [(None, &g.plain), (Some(&g.w[..]), &g.weighted)] {
        near("rmse", rmse(&g.y, &g.p, weights).unwrap(), expected.rmse);
        near("mae", mae(&g.y, &g.p, weights).unwrap(), expected.mae);
        near("r2", r2(&g.y, &g.p, weights).unwrap(), expected.r2);
        near("binary log loss", log_loss(&g.truth, &both, 2, weights).unwrap(), expected.binary_log_loss);
        near("roc auc", roc_auc(&positive, &g.score, weights).unwrap(), expected.roc_auc);
        near("pr auc", pr_auc(&positive, &g.score, weights).unwrap(), expected.pr_auc);
        near("log loss", log_loss(&g.three, &g.prob, 3, weights).unwrap(), expected.log_loss);
        assert_eq!(most_probable(&g.prob, 3), g.guess);
        near("accuracy", accuracy(&g.three, &g.guess, weights).unwrap(), expected.accuracy);
        near("macro f1", macro_f1(&g.three, &g.guess, 3, weights).unwrap(), expected.macro_f1);
        near(
            "macro f1",
            macro_f1(&g.three, &g.guess_of_four, 4, weights).unwrap(),
            expected.macro_f1_of_four,
        );
        assert_eq!(confusion(&g.three, &g.guess, 3, weights).unwrap().weight, expected.confusion);
    }
}

/// The definition: over all pairs of a positive and a negative row, the share ranked right, ties half.
#[test]
fn roc_auc_counts_pairs() {
    let random = Philox::new(3, 1);
    let truth: Vec<bool> = (0..80).map(|i| random.below(i, 3) == 0).collect();
    let scores: Vec<f64> = (0..80).map(|i| random.below(100 + i, 6) as f64).collect();
    let weights: Vec<f64> = (0..80).map(|i| random.uniform(200 + i)).collect();
    let (mut right, mut pairs) = (0.0, 0.0);
    for i in (0..80).filter(|&i| truth[i]) {
        for j in (0..80).filter(|&j| !truth[j]) {
            let w = weights[i] * weights[j];
            pairs += w;
            right += w
                * (f64::from(u8::from(scores[i] > scores[j])) + f64::from(u8::from(scores[i] >= scores[j])))
                / 2.0;
        }
    }
    near("roc auc", roc_auc(&truth, &scores, Some(&weights)).unwrap(), right / pairs);
    // Negative zero ties with zero.
    assert_eq!(roc_auc(&[true, false], &[0.0, -0.0], None).unwrap(), 0.5);
}

#[test]
fn undefined_is_nan_and_misuse_an_error() {
    assert!(roc_auc(&[true, true], &[0.1, 0.2], None).unwrap().is_nan());
    assert!(pr_auc(&[false], &[0.1], None).unwrap().is_nan());
    assert!(r2(&[0.1, 0.1, 0.1], &[0.1, 0.2, 0.3], None).unwrap().is_nan());
    assert!(rmse(&[], &[], None).unwrap().is_nan());
    assert!(rmse(&[1.0], &[], None).is_err());
    assert!(rmse(&[1.0], &[1.0], Some(&[-1.0])).unwrap_err().to_string().contains("row 1"));
    assert!(roc_auc(&[true], &[f64::NAN], None).is_err());
    assert!(log_loss(&[2], &[0.5, 0.5], 2, None).is_err());
    assert!(confusion(&[0], &[2], 2, None).is_err());
    // A certain mistake is dear but finite.
    assert!((log_loss(&[0], &[0.0, 1.0], 2, None).unwrap() - 36.04).abs() < 0.01);
}

#[test]
fn same_bits_at_any_thread_count() {
    let random = Philox::new(5, 1);
    let truth: Vec<f64> = (0..30_000).map(|i| random.normal(i)).collect();
    let predicted: Vec<f64> = (0..30_000).map(|i| random.normal(i + 30_000)).collect();
    let all = || summary(&Truth::Numbers(truth.clone()), &predicted, None).unwrap();
    let one = parallel::with_threads(1, all);
    assert!([2, 3, 7].iter().all(|&t| parallel::with_threads(t, all) == one));
}

#[test]
fn measures_of_several_numbers_are_the_means_of_those_of_each() {
    let random = Philox::new(6, 1);
    let draw = |first: u64| (0..500).map(|i| random.normal(first + i)).collect::<Vec<f64>>();
    let (y, predicted) = ([draw(0), draw(500), draw(1000)], [draw(1500), draw(2000), draw(2500)]);
    let weights: Vec<f64> = draw(3000).into_iter().map(|x| x.abs().floor()).collect();
    let together: Vec<f64> = (0..500).flat_map(|i| predicted.each_ref().map(|p| p[i])).collect();
    let all = Truth::Outputs(y.to_vec());
    for weights in [None, Some(&weights[..])] {
        for score in summary(&all, &together, weights).unwrap() {
            let each = |(y, p): (&Vec<f64>, &Vec<f64>)| {
                measure(score.name, &Truth::Numbers(y.clone()), p, weights).unwrap().value
            };
            let mean = y.iter().zip(&predicted).map(each).sum::<f64>() / 3.0;
            assert!((score.value - mean).abs() <= 1e-15 * mean.abs(), "{score:?} {mean}");
        }
        let means: Vec<f64> = y.iter().flat_map(|y| baseline(&Truth::Numbers(y.clone()), weights)).collect();
        assert_eq!(baseline(&all, weights), means);
    }
    assert!(summary(&all, &together[1..], None).is_err() && all.rows() == 500);
    // Of an output that is the same everywhere R2 is not defined, and so it is not of all.
    let flat = Truth::Outputs(vec![y[0].clone(), vec![1.0; 500]]);
    assert!(measure("R2", &flat, &together[..1000], None).unwrap().value.is_nan());
}

#[test]
fn the_baseline_is_the_mean_or_the_shares() {
    let numbers = Truth::Numbers(vec![1.0, 2.0, 6.0]);
    assert_eq!(baseline(&numbers, None), [3.0]);
    assert_eq!(baseline(&numbers, Some(&[1.0, 1.0, 0.0])), [1.5]);
    let classes = Truth::Classes { codes: vec![0, 2, 2, 2], classes: 3 };
    assert_eq!(baseline(&classes, None), [0.25, 0.0, 0.75]);
    assert_eq!(summary(&classes, &[0.25, 0.0, 0.75].repeat(4), None).unwrap()[1].value, 0.75);
}
