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
    count: Vec<f64>,
    amount: Vec<f64>,
    mean: Vec<f64>,
    relevance: Vec<f64>,
    ranked: Vec<f64>,
    queries: Vec<usize>,
    ndcg: Vec<f64>,
    ndcg_at_3: Vec<f64>,
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
    poisson_deviance: f64,
    gamma_deviance: f64,
    tweedie_deviance: f64,
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
        near(
            "Poisson deviance",
            poisson_deviance(&g.count, &g.mean, weights).unwrap(),
            expected.poisson_deviance,
        );
        near("gamma deviance", gamma_deviance(&g.amount, &g.mean, weights).unwrap(), expected.gamma_deviance);
        near(
            "Tweedie deviance",
            tweedie_deviance(&g.count, &g.mean, 1.3, weights).unwrap(),
            expected.tweedie_deviance,
        );
        assert_eq!(confusion(&g.three, &g.guess, 3, weights).unwrap().weight, expected.confusion);
    }
}

/// Written by `golden/metric.py`. There is no query without a relevant row in it, and no two scores are equal: both are told otherwise.
#[test]
fn ndcg_agrees_with_scikit_learn() {
    let g: Golden = serde_json::from_str(include_str!("../../golden/metric.json")).unwrap();
    let mut groups = Vec::new();
    for length in &g.queries {
        let first = groups.last().map_or(0, |group: &std::ops::Range<usize>| group.end);
        groups.push(first..first + length);
    }
    for (k, expected) in [(None, &g.ndcg), (Some(3), &g.ndcg_at_3)] {
        let of = |groups: &[std::ops::Range<usize>]| ndcg(&g.relevance, &g.ranked, groups, k, None).unwrap();
        for (group, expected) in groups.iter().zip(expected) {
            near("NDCG", of(std::slice::from_ref(group)), *expected);
        }
        near("NDCG", of(&groups), expected.iter().sum::<f64>() / expected.len() as f64);
    }
}

#[test]
fn ndcg_of_ties_weights_and_nothing_relevant() {
    let of = |y: &[f64], scores: &[f64], groups: &[std::ops::Range<usize>], k, weights: Option<&[f64]>| {
        ndcg(y, scores, groups, k, weights).unwrap()
    };
    // Equal scores, -0 and 0 among them, rank as in the table.
    assert_eq!(of(&[1.0, 0.0, 0.0, 1.0], &[0.0, -0.0, -0.0, 0.0], &[0..2, 2..4], Some(1), None), 0.5);
    assert_eq!(of(&[0.0, 0.0], &[1.0, 2.0], &[0..1, 1..2], None, None), 1.0);
    // The second query counts three times; its row of weight 0 would be first, and holds no relevance at all.
    let weights = [1.0, 1.0, 0.0, 3.0, 3.0];
    let y = [1.0, 0.0, f64::NAN, 1.0, 0.0];
    assert_eq!(of(&y, &[1.0, 2.0, 9.0, 2.0, 1.0], &[0..2, 2..5], Some(1), Some(&weights)), 0.75);
    assert!(of(&[], &[], &[], None, None).is_nan());
    assert!(of(&[1.0], &[1.0], &[0..1, 1..1], None, Some(&[0.0])).is_nan());
    let error = |y: f64, score: f64, end: usize, k| {
        ndcg(&[1.0, y], &[1.0, score], &[0..1, 1..end], k, None).unwrap_err().to_string()
    };
    assert_eq!(error(1.5, 1.0, 2, None), "row 2: relevance 1.5 is no whole number from 0 to 31");
    assert_eq!(error(32.0, 1.0, 2, None), "row 2: relevance 32 is no whole number from 0 to 31");
    assert!(error(1.0, f64::NAN, 2, None).starts_with("row 2: the score is NaN"));
    assert_eq!(error(1.0, 1.0, 3, None), "a query has rows 1..3 of only 2");
    assert!(error(1.0, 1.0, 2, Some(0)).contains("parameter k"));
}

#[test]
fn deviances_refuse_what_is_outside_of_their_domain() {
    let message = |result: Result<f64>| result.unwrap_err().to_string();
    assert_eq!(
        message(poisson_deviance(&[0.0, -1.0], &[1.0, 1.0], None)),
        "row 2: -1 is not a finite number 0 or more"
    );
    assert_eq!(message(gamma_deviance(&[0.0], &[1.0], None)), "row 1: 0 is not a finite number above 0");
    assert_eq!(
        message(tweedie_deviance(&[1.0], &[0.0], 1.5, None)),
        "row 1: 0 is predicted, which is no mean above 0"
    );
    for power in [1.0, 2.0, f64::NAN] {
        assert!(message(tweedie_deviance(&[1.0], &[1.0], power, None)).contains("parameter power"));
    }
    // Where nothing is off there is none, and rows without weight are not looked at.
    let (y, p, w) = ([2.0, -1.0], [2.0, -1.0], [1.0, 0.0]);
    assert_eq!(poisson_deviance(&y, &p, Some(&w)).unwrap(), 0.0);
    assert_eq!(gamma_deviance(&y, &p, Some(&w)).unwrap(), 0.0);
    assert!(tweedie_deviance(&y, &p, 1.5, Some(&w)).unwrap().abs() < 1e-15);
}

/// The definition: over all pairs.
#[test]
fn concordance_counts_pairs() {
    let random = Philox::new(8, 1);
    for rows in [1, 2, 7, 80] {
        let draw = |first: u64, n: u64| (0..rows).map(move |i| random.below(first + i, n));
        let times: Vec<f64> = draw(0, 12).map(|t| t as f64).collect();
        let events: Vec<bool> = draw(100, 3).map(|e| e > 0).collect();
        let hazard: Vec<f64> = draw(200, 9).map(|h| h as f64 - 4.0).collect();
        let whole: Vec<f64> = draw(300, 4).map(|w| w as f64).collect();
        for weights in [None, Some(&whole[..])] {
            let weight = |i: usize| weights.map_or(1.0, |w| w[i]);
            let (mut right, mut pairs) = (0.0, 0.0);
            for i in (0..rows as usize).filter(|&i| events[i]) {
                let outlived = |&j: &usize| times[j] > times[i] || times[j] == times[i] && !events[j];
                for j in (0..rows as usize).filter(outlived) {
                    pairs += weight(i) * weight(j);
                    let of_pair = if hazard[i] > hazard[j] {
                        1.0
                    } else if hazard[i] == hazard[j] {
                        0.5
                    } else {
                        0.0
                    };
                    right += weight(i) * weight(j) * of_pair;
                }
            }
            let ours = concordance(&times, &events, &hazard, weights).unwrap();
            // Whole numbers and halves: exact. NaN where there is no pair.
            assert!(ours == right / pairs || ours.is_nan() && pairs == 0.0, "{ours} {right} {pairs}");
        }
    }
    assert!(
        concordance(&[1.0, f64::NAN], &[true, true], &[1.0, 1.0], None)
            .unwrap_err()
            .to_string()
            .contains("row 2")
    );
    assert!(concordance(&[1.0], &[], &[1.0], None).is_err());
    assert_eq!(concordance(&[1.0, 2.0], &[true, false], &[0.0, -0.0], None).unwrap(), 0.5);
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

#[derive(Deserialize)]
struct Rankings {
    sizes: Vec<usize>,
    relevance: Vec<f64>,
    scores: Vec<f64>,
    lightgbm: std::collections::BTreeMap<String, f64>,
    /// First row, end, NDCG of the first 5 places and of all.
    scikit_learn_at_5_and_all: Vec<(usize, usize, f64, f64)>,
}

/// Written by `golden/rankings.py`. One query has no relevant row, one has a single row.
#[test]
fn rankings_agree_with_lightgbm_and_scikit_learn() {
    let g: Rankings = serde_json::from_str(include_str!("../../golden/rankings.json")).unwrap();
    let mut queries: Vec<std::ops::Range<usize>> = Vec::new();
    for size in &g.sizes {
        let first = queries.last().map_or(0, |query| query.end);
        queries.push(first..first + size);
    }
    assert!(queries.iter().any(|query| g.relevance[query.clone()].iter().all(|y| *y == 0.0)));
    for (k, name) in [(Some(1), "ndcg@1"), (Some(5), "ndcg@5"), (Some(10), "ndcg@10"), (None, "ndcg@100")] {
        near(name, ndcg(&g.relevance, &g.scores, &queries, k, None).unwrap(), g.lightgbm[name]);
    }
    near(
        "MAP",
        mean_average_precision(&g.relevance, &g.scores, &queries, None).unwrap(),
        g.lightgbm["map@100"],
    );
    for (first, end, at_5, all) in &g.scikit_learn_at_5_and_all {
        let of = |k| ndcg(&g.relevance, &g.scores, std::slice::from_ref(&(*first..*end)), k, None).unwrap();
        near("NDCG@5", of(Some(5)), *at_5);
        near("NDCG", of(None), *all);
    }
    // As the table of measures has them.
    let truth = Truth::Ranking { relevance: g.relevance.clone(), queries };
    let values: Vec<f64> =
        summary(&truth, &g.scores, None).unwrap().iter().map(|score| score.value).collect();
    for (value, name) in values.iter().zip(["ndcg@10", "ndcg@5", "ndcg@1", "ndcg@100", "map@100"]) {
        near(name, *value, g.lightgbm[name]);
    }
    assert!(summary(&truth, &g.scores, None).unwrap().iter().all(|score| score.more_is_better));
    assert_eq!(measure("ndcg@5", &truth, &g.scores, None).unwrap().name, "NDCG@5");
}
