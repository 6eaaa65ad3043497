//! What holds for every loss: weights are repetitions, order and threads and instruction sets change nothing.

use super::cases::{BY_ROW, Case, Rows, WEIGHTS, Weights, case, derivatives, queries, shuffled};
use tilewise_gbdt::Loss;
use tilewise_gbdt::loss::{Derivatives, Objective};
use tilewise_kernels::parallel::with_threads;
use tilewise_kernels::simd::{Isa, with_isa};

fn bits(of: &[Derivatives]) -> Vec<[u32; 2]> {
    of.iter().map(|d| [d.gradient.to_bits(), d.hessian.to_bits()]).collect()
}

fn of_numbers(objective: &dyn Objective, rows: &Rows, scores: &[f64]) -> Vec<u64> {
    let truth = rows.truth();
    let mut all = objective.start(&truth);
    all.push(objective.loss(&truth, scores));
    all.into_iter().map(f64::to_bits).collect()
}

/// All losses but rankings.
fn with_cox() -> impl Iterator<Item = (Loss, Option<usize>)> {
    BY_ROW.into_iter().chain([(Loss::Cox, None)])
}

#[test]
fn a_whole_weight_is_so_many_rows() {
    for (loss, classes) in with_cox() {
        let case = case(loss, classes, 300, Weights::Whole, 11);
        let weights = case.rows.weights.clone().unwrap();
        let repeated: Vec<usize> =
            (0..300).flat_map(|row| std::iter::repeat_n(row, weights[row] as usize)).collect();
        let (mut rows, scores) = case.taken(&repeated);
        rows.weights = None;
        let (ours, theirs) = (
            of_numbers(&*case.objective, &case.rows, &case.scores),
            of_numbers(&*case.objective, &rows, &scores),
        );
        if loss == Loss::Cox {
            // Sums of its hazards are in order, not exact.
            let (a, b) = (case.loss(), case.objective.loss(&rows.truth(), &scores));
            assert!((a - b).abs() < 1e-14 * a.abs(), "{a} {b}");
        } else {
            assert_eq!(ours, theirs, "{}", case.name());
        }
        let mut sums = vec![[0.0; 2]; case.scores.len()];
        for (i, d) in derivatives(&*case.objective, &rows, &scores).into_iter().enumerate() {
            let (score, row) = (i / repeated.len(), repeated[i % repeated.len()]);
            sums[score * 300 + row][0] += f64::from(d.gradient);
            sums[score * 300 + row][1] += f64::from(d.hessian);
        }
        // A product and the terms of a sum are rounded to f32; Cox's gradients are differences of up to its hessians.
        let eps = f64::from(f32::EPSILON);
        for (d, [gradient, hessian]) in case.derivatives().into_iter().zip(sums) {
            let off = [f64::from(d.gradient) - gradient, f64::from(d.hessian) - hessian];
            assert!(
                off[0].abs() <= eps * (gradient.abs() + 1e-6 * hessian) && off[1].abs() <= eps * hessian,
                "{} {d:?} {gradient} {hessian}",
                case.name()
            );
        }
    }
}

#[test]
fn a_row_of_weight_0_is_not_there() {
    for (loss, classes) in with_cox() {
        let mut case = case(loss, classes, 2500, Weights::Whole, 12);
        let weights = case.rows.weights.clone().unwrap();
        let kept: Vec<usize> = (0..2500).filter(|&row| weights[row] != 0.0).collect();
        let (rows, scores) = case.taken(&kept);
        for row in (0..2500).filter(|&row| weights[row] == 0.0) {
            case.rows.y[row] = f64::NAN;
            (0..case.objective.scores()).for_each(|k| case.scores[k * 2500 + row] = f64::NAN);
        }
        case.objective.check(&case.rows.truth()).unwrap();
        assert_eq!(
            of_numbers(&*case.objective, &case.rows, &case.scores),
            of_numbers(&*case.objective, &rows, &scores),
            "{}",
            case.name()
        );
        let mut expected = vec![Derivatives::default(); case.scores.len()];
        for (i, d) in derivatives(&*case.objective, &rows, &scores).into_iter().enumerate() {
            expected[i / kept.len() * 2500 + kept[i % kept.len()]] = d;
        }
        assert_eq!(bits(&case.derivatives()), bits(&expected), "{}", case.name());
    }
}

#[test]
fn the_order_of_rows_changes_nothing() {
    for (loss, classes) in with_cox() {
        for weights in WEIGHTS {
            let mut case = case(loss, classes, 5000, weights, 13);
            if loss == Loss::Cox {
                // Many at one time, some with one score.
                case.rows.y.iter_mut().for_each(|y| *y = y.ceil());
                case.scores.iter_mut().for_each(|score| *score = (*score * 20.0).round() / 20.0);
            }
            let order = shuffled(5000, 14);
            let (rows, scores) = case.taken(&order);
            assert_eq!(
                of_numbers(&*case.objective, &case.rows, &case.scores),
                of_numbers(&*case.objective, &rows, &scores),
                "{} {weights:?}",
                case.name()
            );
            let ours = case.derivatives();
            let moved = derivatives(&*case.objective, &rows, &scores);
            for (i, d) in moved.into_iter().enumerate() {
                assert_eq!(d, ours[i / 5000 * 5000 + order[i % 5000]], "{} {i}", case.name());
            }
        }
    }
}

fn all(cases: &[Case]) -> Vec<(Vec<u64>, Vec<[u32; 2]>)> {
    let of =
        |case: &Case| (of_numbers(&*case.objective, &case.rows, &case.scores), bits(&case.derivatives()));
    cases.iter().map(of).collect()
}

fn large() -> Vec<Case> {
    let mut cases: Vec<Case> =
        with_cox().map(|(loss, classes)| case(loss, classes, 40_000, Weights::Any, 15)).collect();
    cases.push(case(Loss::Softmax, Some(7), 20_001, Weights::None, 16));
    cases.push(queries(5, 600, 40, Weights::Any, 17));
    cases
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let cases = large();
    let one = with_threads(1, || all(&cases));
    for threads in [2, 3, 7] {
        assert!(with_threads(threads, || all(&cases)) == one, "{threads} threads");
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    let cases = large();
    let portable = with_isa(Isa::Portable, || all(&cases));
    for isa in Isa::available() {
        assert!(with_isa(isa, || all(&cases)) == portable, "{}", isa.name());
    }
}
