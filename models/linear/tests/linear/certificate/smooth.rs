//! Gradients of logistic regression, two classes and more, of deviances and of groups of columns.

use super::loops::{Ask, Loss, Problem};
use super::{Case, Data, Tally, Told, dense, each_case, sparse};
use crate::support::in_groups;
use proptest::test_runner::TestCaseError;
use tilewise_base::Fit;
use tilewise_linear::{
    ClassWeights, Distribution, Generalised, GroupLasso, GroupLoss, LinearModel, Link, Logistic,
    LogisticSolver,
};

/// Tolerances and limits of fits to the end, and of some that stop on their way.
fn limits(case: &Case) -> [(f64, u64); 3] {
    [(1e-8, 200), (10f64.powi(-(case.rounds as i32)), 200), (1e-8, case.rounds)]
}

/// Logistic regression of so many classes.
struct Classes {
    data: Data,
    y: Vec<u32>,
    base: Logistic,
}

impl Classes {
    /// Offsets are for two classes.
    fn new(case: &Case, count: u32, l1_ratio: f64) -> Self {
        let case = &Case { offset: case.offset && count == 2, ..case.clone() };
        let data = Data::new(case);
        let y = data.labels(count);
        let numbers: Vec<f64> = y.iter().map(|y| f64::from(*y)).collect();
        let weight: f64 = (0..data.rows).map(|i| data.weight(i)).sum();
        let strength = case.share * weight * data.pull(case, &numbers);
        let class_weights = match case.seed % 3 {
            0 => ClassWeights::Balanced,
            1 => ClassWeights::Given((0..count).map(|c| 0.5 + f64::from(c)).collect()),
            _ => ClassWeights::Ones,
        };
        let (l1, l2) = (strength * l1_ratio, strength * (1.0 - l1_ratio));
        let base = Logistic { l1, l2, intercept: case.intercept, class_weights, ..Logistic::default() };
        Self { data, y, base }
    }

    fn told(&self, model: &LinearModel) -> Told {
        let (data, count) = (&self.data, self.y.iter().max().unwrap() + 1);
        let of_class =
            |c: u32| -> f64 { (0..data.rows).filter(|&i| self.y[i] == c).map(|i| data.weight(i)).sum() };
        let all: f64 = (0..count).map(of_class).sum();
        let factor = |c: u32| match &self.base.class_weights {
            ClassWeights::Ones => 1.0,
            ClassWeights::Balanced => all / (f64::from(count) * of_class(c)),
            ClassWeights::Given(own) => own[c as usize],
        };
        let weights: Vec<f64> = (0..data.rows).map(|i| data.weight(i) * factor(self.y[i])).collect();
        let (total, loss) =
            (weights.iter().sum::<f64>(), if count == 2 { Loss::Binomial } else { Loss::Softmax });
        let (l1, l2) = (self.base.l1 / total, self.base.l2 / total);
        let problem = Problem::new(loss, l1, l2, self.base.intercept);
        let y: Vec<f64> = self.y.iter().map(|y| f64::from(*y)).collect();
        Problem { weights: Some(weights), ..problem }.told(data, &y, model)
    }

    fn compare(&self, fit: &Fit<LinearModel>, tolerance: f64, tally: &Tally) -> Result<(), TestCaseError> {
        let told = self.told(&fit.model);
        // Deviations of dense columns are those without the weights of classes.
        match self.base.class_weights {
            ClassWeights::Ones => told.compare_within(&fit.report, tolerance, tally),
            _ => told.compare(&fit.report, tally),
        }
    }
}

#[test]
fn logistic_of_dense_rows_without_corners() {
    let solvers = [LogisticSolver::NewtonCholesky, LogisticSolver::Lbfgs, LogisticSolver::Auto];
    let tally = each_case(|case, tally| {
        for count in [2, 3] {
            let classes = Classes::new(case, count, 0.0);
            for solver in solvers {
                for (tolerance, max_rounds) in limits(case) {
                    let params = Logistic { solver, tolerance, max_rounds, ..classes.base.clone() };
                    let fit = dense!(params, case.dense, &classes.data, &classes.y);
                    classes.compare(&fit, tolerance, tally)?;
                }
            }
        }
        Ok(())
    });
    tally.asserts(80, 50);
}

#[test]
fn logistic_of_dense_rows_with_corners() {
    let tally = each_case(|case, tally| {
        for count in [2, 3] {
            let classes = Classes::new(case, count, case.l1_ratio.max(0.1));
            for (tolerance, max_rounds) in limits(case) {
                let params = Logistic { tolerance, max_rounds, ..classes.base.clone() };
                let fit = dense!(params, case.dense, &classes.data, &classes.y);
                classes.compare(&fit, tolerance, tally)?;
            }
        }
        Ok(())
    });
    tally.asserts(70, 50);
}

#[test]
fn logistic_of_sparse_rows() {
    let tally = each_case(|case, tally| {
        for (count, l1_ratio) in [(2, 0.0), (2, case.l1_ratio), (3, 0.0)] {
            let classes = Classes::new(case, count, l1_ratio);
            for (tolerance, max_rounds) in limits(case) {
                let params = Logistic { tolerance, max_rounds, ..classes.base.clone() };
                let fit = sparse!(params, case.sparse, &classes.data, &classes.y);
                classes.compare(&fit, tolerance, tally)?;
            }
        }
        Ok(())
    });
    tally.asserts(70, 50);
}

#[test]
fn logistic_by_saga() {
    let tally = each_case(|case, tally| {
        let classes = Classes::new(case, 2, case.l1_ratio);
        for (tolerance, max_rounds) in limits(case) {
            let (solver, max_rounds) = (LogisticSolver::Saga, max_rounds.min(100));
            let params = Logistic { solver, tolerance, max_rounds, ..classes.base.clone() };
            let of_dense = dense!(params, case.dense, &classes.data, &classes.y);
            let of_sparse = sparse!(params, case.sparse, &classes.data, &classes.y);
            for fit in [of_dense, of_sparse] {
                classes.compare(&fit, tolerance, tally)?;
            }
        }
        Ok(())
    });
    tally.asserts(70, 20);
}

const DISTRIBUTIONS: [Distribution; 6] = [
    Distribution::Poisson,
    Distribution::Gamma,
    Distribution::Tweedie(1.6),
    Distribution::Tweedie(3.0),
    Distribution::Normal(Link::Log),
    Distribution::Normal(Link::Identity),
];

fn amounts(data: &Data, distribution: Distribution) -> Vec<f64> {
    match distribution {
        Distribution::Poisson => data.amounts(true).iter().map(|y| y.round()).collect(),
        Distribution::Normal(Link::Identity) => data.numbers(),
        of => data.amounts(of.refuses(0.0).is_none()),
    }
}

fn deviance(distribution: Distribution) -> Loss {
    match distribution {
        Distribution::Normal(Link::Identity) => Loss::Squared,
        of => Loss::Deviance(of.power()),
    }
}

#[test]
fn deviances() {
    let tally = each_case(|case, tally| {
        let data = Data::new(case);
        for distribution in DISTRIBUTIONS {
            let y = amounts(&data, distribution);
            // A third is without penalty, unless there are fewer rows than columns.
            let free = case.seed % 3 == 0 && data.rows > data.cols;
            let alpha = if free { 0.0 } else { case.share * data.pull(case, &y) };
            let (intercept, l1_ratio) = (case.intercept, case.l1_ratio);
            let (l1, l2) = (alpha * l1_ratio, alpha * (1.0 - l1_ratio));
            let problem = Problem::new(deviance(distribution), l1, l2, intercept);
            for (tolerance, max_rounds) in limits(case) {
                let max_rounds = max_rounds.min(100);
                let params = Generalised {
                    distribution,
                    alpha,
                    l1_ratio,
                    intercept,
                    tolerance,
                    max_rounds,
                    ..Generalised::default()
                };
                let fit = dense!(params, case.dense, &data, &y);
                problem.told(&data, &y, &fit.model).compare_within(&fit.report, tolerance, tally)?;
                if (1.0..=2.0).contains(&distribution.power()) {
                    let fit = sparse!(params, case.sparse, &data, &y);
                    problem.told(&data, &y, &fit.model).compare_within(&fit.report, tolerance, tally)?;
                }
            }
        }
        Ok(())
    });
    tally.asserts(70, 50);
}

#[test]
fn groups_of_columns() {
    let losses = [
        GroupLoss::Logistic,
        GroupLoss::Deviance(Distribution::Poisson),
        GroupLoss::Deviance(Distribution::Gamma),
        GroupLoss::Deviance(Distribution::Tweedie(1.4)),
    ];
    let tally = each_case(|case, tally| {
        let data = Data::new(case);
        let (groups, every) = in_groups(data.cols, 1 + case.seed as usize % 4);
        for loss in losses {
            let (own, y) = match loss {
                GroupLoss::Deviance(of) => (deviance(of), amounts(&data, of)),
                _ => (Loss::Binomial, data.labels(2).iter().map(|y| f64::from(*y)).collect()),
            };
            let (intercept, l1_ratio) = (case.intercept, case.l1_ratio);
            let alpha = case.share * data.pull(case, &y);
            let weight = |g: &[usize]| alpha * (1.0 - l1_ratio) * (g.len() as f64).sqrt();
            let ask = Ask::Groups(every.iter().map(|g| (g.clone(), weight(g))).collect());
            let problem = Problem { ask, ..Problem::new(own, alpha * l1_ratio, 0.0, intercept) };
            for (tolerance, max_rounds) in limits(case) {
                let groups = groups.clone();
                let max_rounds = max_rounds.min(60);
                let params = GroupLasso { loss, alpha, l1_ratio, groups, intercept, tolerance, max_rounds };
                let fit = dense!(params, case.dense, &data, &y);
                problem.told(&data, &y, &fit.model).compare(&fit.report, tally)?;
            }
        }
        Ok(())
    });
    tally.asserts(70, 40);
}
