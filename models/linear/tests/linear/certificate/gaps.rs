//! Duality gaps: elastic net and group lasso of squares.

use super::{Case, DENSE, Data, Told, dense, each_case, sparse};
use crate::support::in_groups;
use tilewise_linear::{ElasticNet, ElasticNetSolver, GroupLasso, LinearModel, Quantile};

/// Least squares with a penalty by which |X^T r| is bounded at a dual point.
struct Squares<'a> {
    data: &'a Data,
    y: &'a [f64],
    intercept: bool,
    standardise: bool,
}

/// Sums at a model, of columns and target about their means.
struct Sums {
    coefficients: Vec<f64>,
    /// X^T r and its rounding.
    pulls: Vec<f64>,
    doubts: Vec<f64>,
    residual: f64,
    with_target: f64,
    /// Rounding of squares.
    doubt: f64,
}

impl Squares<'_> {
    fn sums(&self, model: &LinearModel) -> Sums {
        let (data, (n, p)) = (self.data, (self.data.rows, self.data.cols));
        let (shares, gamma) = (data.shares(None), (n + p + 40) as f64 * f64::EPSILON);
        let mean = |of: &dyn Fn(usize) -> f64| (0..n).map(|i| shares[i] * of(i)).sum::<f64>();
        let x = |i: usize, j: usize| data.x[i * p + j];
        let middles: Vec<f64> =
            (0..p).map(|j| if self.intercept { mean(&|i| x(i, j)) } else { 0.0 }).collect();
        let scales: Vec<f64> = (0..p)
            .map(|j| if self.standardise { mean(&|i| (x(i, j) - middles[j]).powi(2)).sqrt() } else { 1.0 })
            .collect();
        let target = |i: usize| self.y[i] - data.offset(i);
        let middle = if self.intercept { mean(&target) } else { 0.0 };
        let b = &model.coefficients;
        let r: Vec<f64> = (0..n)
            .map(|i| target(i) - middle - (0..p).map(|j| (x(i, j) - middles[j]) * b[j]).sum::<f64>())
            .collect();
        let size = |i: usize| {
            let of_target = self.y[i].abs() + data.offset(i).abs() + middle.abs();
            of_target + (0..p).map(|j| (x(i, j).abs() + middles[j].abs()) * b[j].abs()).sum::<f64>()
        };
        let sizes: Vec<f64> = (0..n).map(size).collect();
        // What means and products of columns lose is spread over all rows.
        let common = mean(&|i| sizes[i]);
        let doubt = |j: usize| {
            gamma * mean(&|i| (x(i, j).abs() + middles[j].abs()) * (sizes[i] + common)) / scales[j]
        };
        Sums {
            coefficients: b.iter().zip(&scales).map(|(b, s)| b * s).collect(),
            pulls: (0..p).map(|j| mean(&|i| (x(i, j) - middles[j]) * r[i]) / scales[j]).collect(),
            doubts: (0..p).map(doubt).collect(),
            residual: mean(&|i| r[i] * r[i]),
            with_target: mean(&|i| r[i] * (target(i) - middle)),
            doubt: gamma * mean(&|i| (sizes[i] + common).powi(2)),
        }
    }
}

impl Sums {
    /// With the penalty at the model; `dual` gives the bound of the minimum with pulls that are so many times their rounding larger.
    fn told(&self, penalty: f64, dual: impl Fn(f64) -> f64) -> Told {
        let objective = 0.5 * self.residual + penalty;
        let doubt = self.doubt + 1e-14 * penalty;
        let least = (objective - dual(-1.0) - doubt).max(0.0);
        Told { objective, doubt, least, most: (objective - dual(1.0) + doubt).max(0.0), norm: 0.0 }
    }

    fn elastic_net(&self, params: &ElasticNet) -> Told {
        let (l1, l2) = (params.alpha * params.l1_ratio, params.alpha * (1.0 - params.l1_ratio));
        let b = &self.coefficients;
        let strength = |g: f64| if params.positive { g } else { g.abs() };
        let square: f64 = b.iter().map(|b| b * b).sum();
        let stacked = self.residual + l2 * square;
        let dual = |by: f64| {
            let of = |j: usize| strength(self.pulls[j] - l2 * b[j]) + by * self.doubts[j];
            let largest = (0..b.len()).map(of).fold(0.0, f64::max);
            let longest = if largest > l1 { l1 / largest } else { 1.0 };
            let shortest = if params.positive { 0.0 } else { -longest };
            let s =
                if stacked > 0.0 { (self.with_target / stacked).clamp(shortest, longest) } else { longest };
            let shrunk = s * self.with_target - 0.5 * s * s * stacked;
            if l2 == 0.0 {
                return shrunk;
            }
            let over = |j: usize| (strength(self.pulls[j]) + by * self.doubts[j] - l1).max(0.0).powi(2);
            let beyond: f64 = (0..b.len()).map(over).sum();
            shrunk.max(self.with_target - 0.5 * self.residual - 0.5 * beyond / l2)
        };
        self.told(b.iter().map(|b| l1 * b.abs() + 0.5 * l2 * b * b).sum(), dual)
    }

    fn group_lasso(&self, params: &GroupLasso, every: &[Vec<usize>]) -> Told {
        let l1 = params.alpha * params.l1_ratio;
        let weight = |g: &[usize]| params.alpha * (1.0 - params.l1_ratio) * (g.len() as f64).sqrt();
        let length = |g: &[usize], of: &dyn Fn(usize) -> f64| {
            g.iter().map(|&j| of(j).max(0.0).powi(2)).sum::<f64>().sqrt()
        };
        let b = &self.coefficients;
        let penalty = b.iter().map(|b| l1 * b.abs()).sum::<f64>()
            + every.iter().map(|g| weight(g) * length(g, &|j| b[j].abs())).sum::<f64>();
        let dual = |by: f64| {
            let pull = |j: usize| (self.pulls[j].abs() + by * self.doubts[j]).max(0.0);
            let is_dual = |s: f64| every.iter().all(|g| length(g, &|j| s * pull(j) - l1) <= weight(g));
            let (mut low, mut high) = (0.0, 1.0);
            for _ in 0..100 {
                let middle = 0.5 * (low + high);
                if is_dual(middle) { low = middle } else { high = middle }
            }
            let longest = if is_dual(1.0) { 1.0 } else { low };
            let s = (self.with_target / self.residual).clamp(-longest, longest);
            s * self.with_target - 0.5 * s * s * self.residual
        };
        self.told(penalty, dual)
    }
}

/// Fits to the end and, in the second place, stopped on their way.
fn limits(case: &Case) -> [u64; 2] {
    [300, case.rounds]
}

fn net(case: &Case, data: &Data, y: &[f64]) -> ElasticNet {
    let (intercept, l1_ratio) = (case.intercept, case.l1_ratio);
    let alpha = case.share * data.pull(case, y);
    ElasticNet { alpha, l1_ratio, intercept, tolerance: 1e-9, ..ElasticNet::default() }
}

#[test]
fn elastic_net_of_dense_columns() {
    let solvers = [ElasticNetSolver::Auto, ElasticNetSolver::Gram, ElasticNetSolver::WorkingSet];
    let tally = each_case(|case, tally| {
        let data = Data::new(case);
        let y = data.numbers();
        let base = net(case, &data, &y);
        for (at, solver) in solvers.into_iter().enumerate() {
            for max_rounds in limits(case) {
                let (standardise, positive) = (case.seed % 2 == 1, (case.seed as usize + at) % 4 == 1);
                let params = ElasticNet { standardise, positive, solver, max_rounds, ..base.clone() };
                let fit = dense!(params, case.dense, &data, &y);
                let intercept = case.intercept;
                let squares = Squares { data: &data, y: &y, intercept, standardise };
                let told = squares.sums(&fit.model).elastic_net(&params);
                told.compare(&fit.report, tally)?;
                assert!(!positive || fit.model.coefficients.iter().all(|b| *b >= 0.0));
            }
        }
        Ok(())
    });
    tally.asserts(20, 60);
}

#[test]
fn elastic_net_of_sparse_columns_and_by_saga() {
    let tally = each_case(|case, tally| {
        let data = Data::new(case);
        let y = data.numbers();
        let base = net(case, &data, &y);
        let squares = Squares { data: &data, y: &y, intercept: case.intercept, standardise: false };
        for max_rounds in limits(case) {
            let params = ElasticNet { max_rounds, ..base.clone() };
            let fit = sparse!(params, case.sparse, &data, &y);
            squares.sums(&fit.model).elastic_net(&params).compare(&fit.report, tally)?;
            let (solver, max_rounds) = (ElasticNetSolver::Saga, max_rounds.min(100));
            let params = ElasticNet { solver, max_rounds, tolerance: 1e-6, ..base.clone() };
            let of_dense = dense!(params, case.dense, &data, &y);
            let of_sparse = sparse!(params, case.sparse, &data, &y);
            for fit in [of_dense, of_sparse] {
                squares.sums(&fit.model).elastic_net(&params).compare(&fit.report, tally)?;
            }
        }
        Ok(())
    });
    tally.asserts(60, 30);
}

#[test]
fn group_lasso_of_squares() {
    let tally = each_case(|case, tally| {
        let data = Data::new(case);
        let y = data.numbers();
        let alpha = case.share * data.pull(case, &y);
        let (groups, every) = in_groups(data.cols, 1 + case.seed as usize % 4);
        for form in DENSE {
            for max_rounds in [300, case.rounds] {
                let params = GroupLasso {
                    alpha,
                    l1_ratio: case.l1_ratio,
                    groups: groups.clone(),
                    intercept: case.intercept,
                    max_rounds,
                    ..GroupLasso::default()
                };
                let fit = dense!(params, form, &data, &y);
                let squares = Squares { data: &data, y: &y, intercept: case.intercept, standardise: false };
                let told = squares.sums(&fit.model).group_lasso(&params, &every);
                told.compare(&fit.report, tally)?;
            }
        }
        Ok(())
    });
    tally.asserts(20, 40);
}

/// The objective of a quantile's plane by loops, and its rounding.
fn of_plane(data: &Data, y: &[f64], params: &Quantile, b: &[f64], intercept: f64) -> (f64, f64) {
    let (shares, p, tau) = (data.shares(None), data.cols, params.quantile);
    let penalty: f64 = b.iter().map(|b| params.alpha * b.abs()).sum();
    let (mut value, mut sizes) = (penalty, penalty);
    for i in 0..data.rows {
        let terms = || data.x[i * p..(i + 1) * p].iter().zip(b).map(|(x, b)| x * b);
        let r = y[i] - data.offset(i) - intercept - terms().sum::<f64>();
        value += shares[i] * if r > 0.0 { tau * r } else { (tau - 1.0) * r };
        let fixed = y[i].abs() + data.offset(i).abs() + intercept.abs();
        sizes += shares[i] * (fixed + terms().map(f64::abs).sum::<f64>());
    }
    (value, (data.rows + p + 40) as f64 * f64::EPSILON * sizes)
}

/// Of quantiles the dual point is the solver's own: the gap told must be no smaller than how far a plane is above the best one, and no
/// larger than the tolerance where it says so.
#[test]
fn quantiles() {
    let tally = each_case(|case, tally| {
        let data = Data::new(case);
        let y = data.numbers();
        let alpha = if case.seed % 3 == 0 { 0.0 } else { 0.1 * case.share * data.pull(case, &y) };
        let base =
            Quantile { quantile: 0.2 + case.share, alpha, intercept: case.intercept, ..Quantile::default() };
        let least = |params: &Quantile| {
            let fit = dense!(params, case.dense, &data, &y);
            let (value, doubt) =
                of_plane(&data, &y, params, &fit.model.coefficients, fit.model.intercepts[0]);
            (fit.report, value, doubt)
        };
        let (report, best, doubt) = least(&base);
        let zeros = vec![0.0; data.cols];
        let shares = data.shares(None);
        let mean: f64 = (0..data.rows).map(|i| shares[i] * (y[i] - data.offset(i))).sum();
        let (first, _) = of_plane(&data, &y, &base, &zeros, if case.intercept { mean } else { 0.0 });
        for (report, value, own) in
            [(report, best, doubt), least(&Quantile { max_rounds: case.rounds, ..base })]
        {
            let (above, rounding) = (value - best, doubt + own + 1e-13 * first);
            let most = if report.converged { 1.01e-8 * first } else { f64::INFINITY };
            // The best plane that is known may itself be as much above the minimum.
            let told = Told { objective: value, doubt: rounding, least: above - rounding, most, norm: 0.0 };
            told.compare(&report, tally)?;
        }
        Ok(())
    });
    tally.asserts(0, 50);
}
