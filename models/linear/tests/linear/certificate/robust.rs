//! Gradients of squares and of Huber's loss, by every method, and of descents along gradients.

use super::loops::{Ask, Loss, Problem};
use super::{Data, Form, dense, each_case, sparse};
use crate::support::normal;
use std::cell::RefCell;
use std::collections::BTreeSet;
use tilewise_base::Context;
use tilewise_kernels::parallel::Scheme;
use tilewise_linear::{
    DescentLoss, GradientDescent, Huber, LeastSquares, LinearModel, Schedule, StochasticDescent,
    StochasticLoss,
};

/// Least squares of the data, the report being of squares that are not halved.
fn squares(data: &Data, l2: f64, intercept: bool) -> Problem {
    let weight: f64 = (0..data.rows).map(|i| data.weight(i)).sum();
    Problem { factor: 2.0, ..Problem::new(Loss::Squared, 0.0, l2 / weight, intercept) }
}

/// What is left where equations are solved is rounding: nothing is to be told beyond it.
#[test]
fn least_squares_by_every_method() {
    let methods = RefCell::new(BTreeSet::new());
    let tally = each_case(|case, tally| {
        let mut data = Data::new(case);
        let y = data.numbers();
        // The second column is the first, nearly.
        let near = [None, Some(0.1), Some(1e-6), Some(0.0)][case.seed as usize % 4].filter(|_| data.cols > 1);
        if let Some(near) = near {
            data.repeat_first(near, case.seed);
        }
        let form = if near.is_some() && case.dense == Form::Single { Form::Turned } else { case.dense };
        let weight: f64 = (0..data.rows).map(|i| data.weight(i)).sum();
        for l2 in [0.0, case.share * weight * data.pull(case, &y)] {
            let params = LeastSquares { l2, intercept: case.intercept, ..LeastSquares::default() };
            let problem = squares(&data, l2, case.intercept);
            let fit = dense!(params, form, &data, &y);
            problem.told(&data, &y, &fit.model).compare(&fit.report, tally)?;
            methods.borrow_mut().insert(fit.report.stopped.clone());
            let (lower, upper) = (Some(-0.3), Some(0.5));
            let bounded = LeastSquares { lower, upper, ..params.clone() };
            let fit = dense!(bounded, form, &data, &y);
            let ask = Ask::Between(-0.3, 0.5);
            let between = Problem { ask, ..problem.clone() };
            between.told(&data, &y, &fit.model).compare(&fit.report, tally)?;
        }
        Ok(())
    });
    tally.asserts(0, 95);
    for method in [
        "solved by Cholesky factorisation",
        "solved by Cholesky factorisation and one refinement",
        "solved by orthogonal factorisation and one refinement",
        "solved by orthogonal factorisation",
    ] {
        assert!(methods.borrow().contains(method), "{method}: {methods:?}");
    }
}

#[test]
fn least_squares_of_sparse_rows() {
    let tally = each_case(|case, tally| {
        let data = Data::new(case);
        let y = data.numbers();
        let weight: f64 = (0..data.rows).map(|i| data.weight(i)).sum();
        let penalised = case.share * weight * data.pull(case, &y);
        for l2 in [0.0, penalised, 1e-6 * penalised] {
            let params = LeastSquares { l2, intercept: case.intercept, ..LeastSquares::default() };
            let fit = sparse!(params, case.sparse, &data, &y);
            let problem = squares(&data, l2, case.intercept);
            problem.told(&data, &y, &fit.model).compare(&fit.report, tally)?;
        }
        Ok(())
    });
    tally.asserts(0, 90);
}

#[test]
fn huber_of_a_given_scale() {
    let tally = each_case(|case, tally| {
        let data = Data::new(case);
        let y = data.numbers();
        let alpha = if case.seed % 3 == 0 { 0.0 } else { case.share * data.pull(case, &y) };
        let (intercept, l1_ratio, threshold) = (case.intercept, case.l1_ratio, 0.2 + case.share);
        let (l1, l2) = (alpha * l1_ratio, alpha * (1.0 - l1_ratio));
        let problem = Problem::new(Loss::Huber(threshold), l1, l2, intercept);
        for (tolerance, max_rounds) in
            [(1e-8, 500), (10f64.powi(-(case.rounds as i32)), 500), (1e-8, case.rounds)]
        {
            let joint_scale = false;
            let params = Huber { threshold, joint_scale, alpha, l1_ratio, intercept, tolerance, max_rounds };
            for fit in [dense!(params, case.dense, &data, &y), sparse!(params, case.sparse, &data, &y)] {
                problem.told(&data, &y, &fit.model).compare_within(&fit.report, tolerance, tally)?;
            }
        }
        Ok(())
    });
    tally.asserts(60, 50);
}

#[test]
fn huber_with_its_scale() {
    let tally = each_case(|case, tally| {
        let data = Data::new(case);
        let y = data.numbers();
        let alpha = case.share * data.pull(case, &y);
        let (intercept, l1_ratio, threshold) = (case.intercept, case.l1_ratio, 1.1 + case.share);
        for (tolerance, max_rounds) in [(1e-8, 500), (1e-8, case.rounds)] {
            let joint_scale = true;
            let params = Huber { threshold, joint_scale, alpha, l1_ratio, intercept, tolerance, max_rounds };
            let context = Context::default();
            let (fit, residuals) = dense!(params, fit_scaled, case.dense, &data, &y, &context);
            if fit.report.warnings.iter().any(|w| w.contains("not told from zero")) {
                continue;
            }
            // s h(r / s) is 1 / s of the loss with the threshold in units of the target, and so is the penalty times s.
            let (s, (l1, l2)) = (residuals.scale, (alpha * l1_ratio, alpha * (1.0 - l1_ratio)));
            let of_loss = Problem::new(Loss::Huber(s * threshold), s * l1, s * l2, intercept);
            let mut told = Problem { factor: 1.0 / s, ..of_loss }.told(&data, &y, &fit.model);
            let (far, doubt) = of_scale(&data, &y, &fit.model, s, threshold);
            (told.objective, told.doubt) = (told.objective + 0.5 * s, told.doubt + 1e-14 * s);
            told.entry(far, doubt);
            told.compare(&fit.report, tally)?;
        }
        Ok(())
    });
    tally.asserts(60, 40);
}

/// What the scale is asked, half of 1 - the mean of min(r^2 / s^2, t^2), and its rounding.
fn of_scale(data: &Data, y: &[f64], model: &LinearModel, s: f64, threshold: f64) -> (f64, f64) {
    let (shares, p) = (data.shares(None), data.cols);
    let (mut mean, mut doubt) = (0.0, 1.0);
    for i in 0..data.rows {
        let terms = || data.x[i * p..(i + 1) * p].iter().zip(&model.coefficients).map(|(x, b)| x * b);
        let fixed = [model.intercepts[0], data.offset(i), -y[i]];
        let u = (terms().sum::<f64>() + fixed.iter().sum::<f64>()) / s;
        let size = (terms().map(f64::abs).sum::<f64>() + fixed.iter().map(|x| x.abs()).sum::<f64>()) / s;
        let within = u.abs().min(threshold);
        mean += shares[i] * within * within;
        doubt += shares[i] * within * size;
    }
    (0.5 * (1.0 - mean).abs(), (data.rows + p + 40) as f64 * f64::EPSILON * doubt)
}

#[test]
fn stochastic_descent() {
    let losses = [
        (StochasticLoss::Squared, Loss::Squared, 1.0),
        (StochasticLoss::Logistic, Loss::Binomial, 0.25),
        (StochasticLoss::Huber(0.7), Loss::Huber(0.7), 1.0),
    ];
    let tally = each_case(|case, tally| {
        let data = Data::new(case);
        for (loss, own, steepest) in losses {
            let y: Vec<f64> = match loss {
                StochasticLoss::Logistic => data.labels(2).iter().map(|y| f64::from(*y)).collect(),
                _ => data.numbers(),
            };
            let alpha = if case.seed % 4 == 0 { 0.0 } else { case.share * data.pull(case, &y) };
            let (intercept, l1_ratio) = (case.intercept, case.l1_ratio);
            let schedule =
                if alpha > 0.0 && case.seed % 2 == 1 { Schedule::Optimal } else { Schedule::default() };
            let (l1, l2) = (alpha * l1_ratio, alpha * (1.0 - l1_ratio));
            let problem = Problem { ask: Ask::Nearby(steepest), ..Problem::new(own, l1, l2, intercept) };
            for average in [None, Some(40)] {
                let (tolerance, max_rounds) = (1e-2, 10 * case.rounds);
                let params = StochasticDescent {
                    loss,
                    alpha,
                    l1_ratio,
                    intercept,
                    schedule,
                    average,
                    tolerance,
                    max_rounds,
                    hogwild: false,
                };
                for fit in [dense!(params, case.dense, &data, &y), sparse!(params, case.sparse, &data, &y)] {
                    problem.told(&data, &y, &fit.model).compare(&fit.report, tally)?;
                }
            }
        }
        Ok(())
    });
    tally.asserts(90, 5);
}

#[test]
fn gradient_descent() {
    let tally = each_case(|case, tally| {
        let data = Data::new(case);
        let weight: f64 = (0..data.rows).map(|i| data.weight(i)).sum();
        let l2 = case.share * weight;
        let intercept = case.intercept;
        for loss in [DescentLoss::Squared, DescentLoss::Logistic] {
            let (y, problem): (Vec<f64>, _) = match loss {
                DescentLoss::Squared => (data.numbers(), squares(&data, l2, intercept)),
                DescentLoss::Logistic => (
                    data.labels(2).iter().map(|y| f64::from(*y)).collect(),
                    Problem::new(Loss::Binomial, 0.0, l2 / weight, intercept),
                ),
            };
            // Margins are of the type of the features.
            let single = case.dense == Form::Single;
            let unit = if single { f64::from(f32::EPSILON) } else { f64::EPSILON };
            let problem = Problem { unit, ..problem };
            let (tolerance, max_rounds) = (1e-3, 20 * case.rounds);
            let params =
                GradientDescent { loss, l2, intercept, tolerance, max_rounds, ..GradientDescent::default() };
            for scheme in [Scheme::Tasks, Scheme::Rows] {
                let context = Context { scheme, ..Context::default() };
                let fit = dense!(params, fit, case.dense, &data, &y, &context);
                problem.told(&data, &y, &fit.model).compare(&fit.report, tally)?;
            }
            let fit = dense!(params, fit_naive, case.dense, &data, &y, &Context::default());
            problem.told(&data, &y, &fit.model).compare(&fit.report, tally)?;
        }
        Ok(())
    });
    tally.asserts(60, 10);
}

impl Data {
    /// Makes the second column the first but for so much noise, in its units.
    fn repeat_first(&mut self, noise: f64, seed: u64) {
        let off = normal(self.rows, 1, seed + 9);
        let largest = self.x.iter().step_by(self.cols).fold(0.0f64, |m, x| m.max(x.abs()));
        for (row, off) in self.x.chunks_exact_mut(self.cols).zip(off) {
            row[1] = row[0] + noise * largest * off;
        }
        self.turned =
            (0..self.cols).flat_map(|j| self.x.iter().skip(j).step_by(self.cols).copied()).collect();
    }
}
