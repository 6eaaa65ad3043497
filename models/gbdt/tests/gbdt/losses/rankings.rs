//! LambdaRank against its definition, pair by pair.

use super::cases::{Case, Rows, WEIGHTS, Weights, derivatives, queries};
use super::definitions::near;
use tilewise_gbdt::Loss;

/// Gradients and second derivatives of a query's rows (all of which count), from sums over all pairs.
fn by_pairs(relevance: &[f64], scores: &[f64], truncation: usize) -> Vec<[f64; 2]> {
    let n = relevance.len();
    // How many rows are ranked before it, plus 1.
    let before =
        |i: usize| (0..n).filter(|&j| scores[j] > scores[i] || scores[j] == scores[i] && j < i).count();
    let rank: Vec<usize> = (0..n).map(|i| before(i) + 1).collect();
    let gain = |i: usize| 2.0_f64.powf(relevance[i]) - 1.0;
    let discount = |rank: usize| 1.0 / (1.0 + rank as f64).log2();
    let mut best: Vec<f64> = (0..n).map(gain).collect();
    best.sort_by(|a, b| b.total_cmp(a));
    let most: f64 = best.iter().take(truncation).enumerate().map(|(i, gain)| gain * discount(i + 1)).sum();
    let mut out = vec![[0.0; 2]; n];
    if most == 0.0 {
        return out;
    }
    let differ = scores.iter().any(|&score| score != scores[0]);
    let mut sizes = 0.0;
    for i in 0..n {
        for j in (0..n).filter(|&j| relevance[i] > relevance[j] && rank[i].min(rank[j]) <= truncation) {
            let mut change = (gain(i) - gain(j)) * (discount(rank[i]) - discount(rank[j])).abs() / most;
            if differ {
                change /= 0.01 + (scores[i] - scores[j]).abs();
            }
            let wrong = 1.0 / (1.0 + (scores[i] - scores[j]).exp());
            out[i][0] -= wrong * change;
            out[j][0] += wrong * change;
            out[i][1] += wrong * (1.0 - wrong) * change;
            out[j][1] += wrong * (1.0 - wrong) * change;
            sizes += 2.0 * wrong * change;
        }
    }
    if sizes > 0.0 {
        out.iter_mut().flatten().for_each(|x| *x *= (1.0 + sizes).log2() / sizes);
    }
    out
}

#[test]
fn derivatives_are_sums_over_pairs() {
    for weights in WEIGHTS {
        for truncation in [1, 3, 30] {
            let case = queries(truncation, 200, 12, weights, 21);
            let ours = case.derivatives();
            for group in case.rows.groups.clone().unwrap() {
                let weight = |row: usize| case.rows.truth().weight(row);
                let rows: Vec<usize> = group.clone().filter(|&row| weight(row) != 0.0).collect();
                let of = |list: &[f64]| rows.iter().map(|&row| list[row]).collect::<Vec<f64>>();
                let expected = by_pairs(&of(&case.rows.y), &of(&case.scores), truncation);
                for (&row, [gradient, hessian]) in rows.iter().zip(expected) {
                    let d = ours[row];
                    // f64 sums of 60 terms of 1 that may cancel.
                    assert!(near(d.gradient, gradient * weight(row), 1e-13), "{row}: {d:?} {gradient}");
                    assert!(near(d.hessian, hessian * weight(row), 1e-13), "{row}: {d:?} {hessian}");
                }
                for row in group.filter(|&row| weight(row) == 0.0) {
                    assert_eq!((ours[row].gradient, ours[row].hessian), (0.0, 0.0));
                }
            }
        }
    }
}

/// By LightGBM: see `golden/lambda_rank.py`.
#[test]
fn agrees_with_lightgbm() {
    #[derive(serde::Deserialize)]
    struct Golden {
        truncation: usize,
        relevance: Vec<f64>,
        scores: Vec<f64>,
        queries: Vec<usize>,
        gradients: Vec<f64>,
        hessians: Vec<f64>,
    }
    let golden: Golden = serde_json::from_str(include_str!("../../golden/lambda_rank.json")).unwrap();
    let mut groups = Vec::new();
    for length in golden.queries {
        let first = groups.last().map_or(0, |group: &std::ops::Range<usize>| group.end);
        groups.push(first..first + length);
    }
    let rows = Rows { y: golden.relevance, groups: Some(groups), ..Rows::default() };
    let objective = Loss::LambdaRank { truncation: golden.truncation }.objective(None).unwrap();
    objective.check(&rows.truth()).unwrap();
    for (i, d) in derivatives(&*objective, &rows, &golden.scores).into_iter().enumerate() {
        let (gradient, hessian) = (golden.gradients[i], golden.hessians[i]);
        // LightGBM takes its sigmoid from a table with 2^20 steps over +-25, and the golden numbers are solved from its leaves.
        let close = |ours: f32, theirs: f64| (f64::from(ours) - theirs).abs() < 1e-4 * hessian.max(1e-2);
        assert!(close(d.gradient, gradient) && close(d.hessian, hessian), "{i}: {d:?} {gradient} {hessian}");
    }
}

#[test]
fn the_loss_is_what_ndcg_lacks() {
    let case = |y: &[f64], scores: &[f64], truncation| {
        let rows = Rows { y: y.to_vec(), groups: Some(vec![0..3, 3..y.len()]), ..Rows::default() };
        let objective = Loss::LambdaRank { truncation }.objective(None).unwrap();
        Case { objective, rows, scores: scores.to_vec() }
    };
    // The first query is in its best order, the second has nothing relevant: both count 1.
    assert_eq!(case(&[3.0, 1.0, 0.0, 0.0, 0.0], &[2.0, 1.0, 0.0, 5.0, 6.0], 30).loss(), 0.0);
    // Worst first of all: 0 of the first query at 1; of equal scores the first row of the table leads.
    assert_eq!(case(&[3.0, 1.0, 0.0, 1.0, 0.0], &[1.0, 2.0, 3.0, 1.0, 1.0], 1).loss(), 0.5);
    let expected = 1.0 - (1.0 / 3.0_f64.log2() + 7.0 / 2.0) / (7.0 + 1.0 / 3.0_f64.log2());
    assert!(
        (case(&[3.0, 1.0, 0.0, 1.0, 0.0], &[1.0, 2.0, 3.0, 1.0, 1.0], 3).loss() - expected / 2.0).abs()
            < 1e-15
    );
}

/// Queries that come in another order, or as often as their weight says.
#[test]
fn queries_may_move_and_weigh_as_repeated() {
    let case = queries(5, 80, 12, Weights::Whole, 22);
    let weights = case.rows.weights.clone().unwrap();
    let ours = case.derivatives();
    let (mut rows, mut scores, mut from) =
        (Rows { groups: Some(Vec::new()), ..Rows::default() }, Vec::new(), Vec::new());
    for query in super::cases::shuffled(80, 23) {
        let group = case.rows.groups.as_ref().unwrap()[query].clone();
        for _ in 0..weights.get(group.start).filter(|_| !group.is_empty()).map_or(0, |&w| w as usize) {
            rows.groups.as_mut().unwrap().push(rows.y.len()..rows.y.len() + group.len());
            rows.y.extend(&case.rows.y[group.clone()]);
            scores.extend(&case.scores[group.clone()]);
            from.extend(group.clone());
        }
    }
    assert_eq!(case.objective.loss(&rows.truth(), &scores).to_bits(), case.loss().to_bits());
    for (d, row) in derivatives(&*case.objective, &rows, &scores).into_iter().zip(from) {
        assert!(near(ours[row].gradient, f64::from(d.gradient) * weights[row], 0.0));
        assert!(near(ours[row].hessian, f64::from(d.hessian) * weights[row], 0.0));
    }
}
