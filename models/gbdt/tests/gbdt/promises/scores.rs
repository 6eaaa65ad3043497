//! Scores of rows: the same by every way, and the sum of what each column adds.

use super::problem::{LEVELS, Problem};
use tilewise_base::Context;
use tilewise_gbdt::{Ensemble, GradientBoosting, Lesson, Link, Loss};
use tilewise_kernels::{MatMut, MatRef, parallel};
use tilewise_tree::{DecisionTree, Growth, SHAP_TOLERANCE, Test};

fn fitted(loss: Loss, growth: Growth) -> (Problem, Ensemble) {
    let problem = Problem::new(600, 21);
    let answers = problem.answers(loss);
    let tree = DecisionTree { growth, max_leaves: Some(16), min_samples_leaf: 4, ..DecisionTree::default() };
    let params = GradientBoosting { loss, stages: 15, tree, ..GradientBoosting::default() };
    let boosted =
        params.fit(&problem.table(None), &Lesson::new(&answers), &Context::default()).unwrap().model;
    (problem, boosted.ensemble().clone())
}

/// Rows with every threshold, and the number next to it on each side, in its column.
fn on_thresholds(problem: &Problem, ensemble: &Ensemble) -> Vec<[f64; 4]> {
    let mut rows = Vec::new();
    for tree in (0..ensemble.scores()).flat_map(|score| ensemble.trees(score)) {
        for node in tree.nodes() {
            if let Some(Test::UpTo(t)) = node.test {
                for x in [t, t.next_up(), t.next_down(), f64::from(t as f32), f64::NAN, -0.0] {
                    let mut row = problem.row(rows.len() % problem.rows());
                    row[node.feature as usize] = x;
                    row[3] =
                        [row[3], -1.0, LEVELS as f64 + 5.0, f64::NAN, 0.5, f64::INFINITY][rows.len() % 6];
                    rows.push(row);
                }
            }
        }
    }
    rows
}

#[test]
fn a_row_has_the_same_score_alone_and_among_others() {
    for (loss, growth) in [
        (Loss::Squared, Growth::LeafWise),
        (Loss::Softmax, Growth::DepthWise),
        (Loss::Poisson, Growth::Oblivious),
    ] {
        let (problem, ensemble) = fitted(loss, growth);
        let (rows, scores) = (on_thresholds(&problem, &ensemble), ensemble.scores());
        assert!(rows.len() > 500);
        let start: Vec<f64> = (0..rows.len()).map(|i| i as f64 / 7.0).collect();
        for batch in [1, 2, 7, 64, 300, rows.len()] {
            for threads in [1, 3] {
                for (first, of_batch) in
                    rows.chunks(batch).enumerate().take(if batch == 1 { 300 } else { usize::MAX })
                {
                    let count = of_batch.len();
                    let cells = MatRef::new(of_batch.as_flattened(), count, 4).unwrap();
                    let narrow: Vec<f32> = of_batch.as_flattened().iter().map(|&x| x as f32).collect();
                    let narrow_cells = MatRef::new(&narrow, count, 4).unwrap();
                    let (mut out, mut of_narrow, mut started) =
                        (vec![0.0; count * scores], vec![0.0; count * scores], vec![0.0; count * scores]);
                    let view = |out| MatMut::new(out, count, scores).unwrap();
                    let start = &start[first * batch..][..count];
                    parallel::with_threads(threads, || {
                        ensemble.score(cells, None, view(&mut out)).unwrap();
                        ensemble.score(narrow_cells, None, view(&mut of_narrow)).unwrap();
                        ensemble.score(cells, Some(start), view(&mut started)).unwrap();
                    });
                    let mut expected = vec![0.0; scores];
                    for (i, row) in of_batch.iter().enumerate() {
                        ensemble.score_row(row, &mut expected);
                        assert_eq!(out[i * scores..][..scores], expected, "{row:?}");
                        let row: Vec<f64> = narrow[i * 4..][..4].iter().map(|&x| x.into()).collect();
                        ensemble.score_row(&row, &mut expected);
                        assert_eq!(of_narrow[i * scores..][..scores], expected, "{row:?}");
                    }
                    // What is added before all trees is added first.
                    for (i, row) in of_batch.iter().enumerate() {
                        for k in 0..scores {
                            let mut sum = ensemble.base()[k] + start[i];
                            ensemble.trees(k).iter().for_each(|tree| sum += tree.value(tree.leaf(row))[0]);
                            assert_eq!(started[i * scores + k], sum);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn what_columns_add_sums_to_the_score() {
    for (loss, link) in
        [(Loss::Squared, Link::Identity), (Loss::Softmax, Link::Softmax), (Loss::Logistic, Link::Logistic)]
    {
        let (problem, ensemble) = fitted(loss, Growth::LeafWise);
        let (rows, outputs) = (on_thresholds(&problem, &ensemble), link.outputs(ensemble.scores()));
        let (rows, count) = (&rows[..200], 200);
        let cells = MatRef::new(rows.as_flattened(), count, 4).unwrap();
        let width = 5 * outputs;
        let mut out = vec![0.0; count * width];
        ensemble.contributions_to(link, cells, MatMut::new(&mut out, count, width).unwrap()).unwrap();
        let mut score = vec![0.0; ensemble.scores()];
        for (row, of_row) in rows.iter().zip(out.chunks_exact(width)) {
            ensemble.score_row(row, &mut score);
            for output in 0..outputs {
                let sum: f64 = (0..5).map(|column| of_row[column * outputs + output]).sum();
                // Of two classes with one score the first is what speaks against the second.
                let expected = match link {
                    Link::Logistic if output == 0 => -score[0],
                    Link::Logistic => score[0],
                    _ => score[output],
                };
                let size: f64 = of_row.iter().map(|x| x.abs()).sum();
                assert!((sum - expected).abs() <= 15.0 * SHAP_TOLERANCE * (1.0 + size), "{sum} {expected}");
            }
        }
    }
}

#[test]
fn predictions_are_what_the_link_makes_of_scores() {
    let (problem, ensemble) = fitted(Loss::Softmax, Growth::LeafWise);
    let rows: Vec<[f64; 4]> = (0..300).map(|i| problem.row(i)).collect();
    let cells = MatRef::new(rows.as_flattened(), 300, 4).unwrap();
    let mut out = vec![0.0; 900];
    ensemble.predict(cells, None, Link::Softmax, MatMut::new(&mut out, 300, 3).unwrap()).unwrap();
    let mut score = [0.0; 3];
    for (row, out) in rows.iter().zip(out.chunks_exact(3)) {
        ensemble.score_row(row, &mut score);
        let sum: f64 = score.iter().map(|s| s.exp()).sum();
        for (s, p) in score.iter().zip(out) {
            assert!((s.exp() / sum - p).abs() < 1e-14);
        }
    }
    let mut few = vec![0.0; 300];
    assert!(ensemble.predict(cells, None, Link::Softmax, MatMut::new(&mut few, 300, 1).unwrap()).is_err());
    assert!(ensemble.score(cells, Some(&[0.0; 299]), MatMut::new(&mut out, 300, 3).unwrap()).is_err());
}
