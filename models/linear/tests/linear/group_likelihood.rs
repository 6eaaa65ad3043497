//! Group lasso of logistic regression and deviances: what a minimum asks, recomputed by loops; a naive twin; the lasso as a special case.

use crate::support::{in_groups, normal};
use proptest::prelude::*;
use tilewise_base::{Context, Fit};
use tilewise_kernels::{MatRef, parallel};
use tilewise_linear::{
    Distribution, Generalised, GroupLasso, GroupLoss, LinearModel, Link, Logistic, LogisticSolver, Rows,
};

const LOSSES: [GroupLoss; 4] = [
    GroupLoss::Logistic,
    GroupLoss::Deviance(Distribution::Poisson),
    GroupLoss::Deviance(Distribution::Gamma),
    GroupLoss::Deviance(Distribution::Tweedie(1.4)),
];

struct Data {
    x: Vec<f64>,
    scales: Vec<f64>,
    y: Vec<f64>,
    weights: Vec<f64>,
    offset: Vec<f64>,
}

impl Data {
    /// Columns of these scales, the third constant; a quarter of the rows has no weight.
    fn new(loss: GroupLoss, rows: usize, scales: Vec<f64>, seed: u64) -> Self {
        let cols = scales.len();
        let mut x = normal(rows, cols, 3 * seed);
        let (noise, offset) = (normal(rows, 1, 3 * seed + 1), normal(rows, 1, 3 * seed + 2));
        let y = (0..rows).map(|i| {
            let row = &x[i * cols..(i + 1) * cols];
            let z = 0.3 + row[0] - 0.6 * row[cols.min(5) - 1] + noise[i];
            match loss {
                GroupLoss::Deviance(Distribution::Gamma) => (0.7 * z).exp(),
                GroupLoss::Deviance(_) => (0.7 * z).exp().floor(),
                _ => f64::from(u8::from(if i < 8 { i % 2 == 1 } else { z > 0.0 })),
            }
        });
        let y = y.collect();
        for row in x.chunks_exact_mut(cols) {
            if cols > 3 {
                row[2] = 1.0;
            }
            row.iter_mut().zip(&scales).for_each(|(x, s)| *x = s * (*x + 0.4));
        }
        let offset = offset.into_iter().map(|o| 0.3 * o).collect();
        Self { x, scales, y, weights: (0..rows).map(|i| ((i + 1) % 4) as f64).collect(), offset }
    }

    fn fit(&self, params: &GroupLasso) -> Fit<LinearModel> {
        let rows = Rows { weights: Some(&self.weights), offset: Some(&self.offset) };
        let x = MatRef::new(&self.x, self.y.len(), self.scales.len()).unwrap();
        params.fit(x, &self.y, rows, &Context::default()).unwrap()
    }
}

/// Loss and slope of a row at z.
fn row(loss: GroupLoss, z: f64, y: f64) -> (f64, f64) {
    let m = z.exp();
    let power = match loss {
        GroupLoss::Logistic | GroupLoss::Squared => {
            return (z.max(0.0) + (-z.abs()).exp().ln_1p() - y * z, 1.0 / (1.0 + (-z).exp()) - y);
        }
        GroupLoss::Deviance(Distribution::Poisson) => {
            let of_y = if y > 0.0 { y * y.ln() - y } else { 0.0 };
            return (m - y * z + of_y, m - y);
        }
        GroupLoss::Deviance(Distribution::Gamma) => return (y / m - 1.0 - (y.ln() - z), 1.0 - y / m),
        // Of others the fit refuses.
        GroupLoss::Deviance(of) => of.power(),
    };
    let (a, b) = (1.0 - power, 2.0 - power);
    let loss = y.powf(b) / (a * b) - y * m.powf(a) / a + m.powf(b) / b;
    (loss, m.powf(b) - y * m.powf(a))
}

/// Objective, and the largest entry of the shortest subgradient by all that the model has, of the columns as they are and of columns about
/// their means of deviation 1.
fn told(params: &GroupLasso, every: &[Vec<usize>], data: &Data, model: &LinearModel) -> (f64, f64, f64) {
    let (p, n, b) = (data.scales.len(), data.y.len(), &model.coefficients);
    let total: f64 = data.weights.iter().sum();
    let share = |i: usize| data.weights[i] / total;
    let x = |i: usize, j: usize| data.x[i * p + j];
    let (mut objective, mut slopes, mut slope) = (0.0, vec![0.0; p], 0.0);
    for i in 0..n {
        let z = (0..p).map(|j| x(i, j) * b[j]).sum::<f64>() + model.intercepts[0] + data.offset[i];
        let (loss, own) = row(params.loss, z, data.y[i]);
        objective += share(i) * loss;
        slope += share(i) * own;
        (0..p).for_each(|j| slopes[j] += share(i) * own * x(i, j));
    }
    let slope = if params.intercept { slope } else { 0.0 };
    let means: Vec<f64> = (0..p).map(|j| (0..n).map(|i| share(i) * x(i, j)).sum()).collect();
    let about = |j: usize| if params.intercept { means[j] } else { 0.0 };
    let deviation = |j: usize| (0..n).map(|i| share(i) * (x(i, j) - about(j)).powi(2)).sum::<f64>().sqrt();
    let (l1, rest) = (params.alpha * params.l1_ratio, params.alpha * (1.0 - params.l1_ratio));
    let soft = |s: f64| s.signum() * (s.abs() - l1).max(0.0);
    let (mut raw, mut scaled) = (slope.abs(), slope.abs());
    for group in every {
        let weight = rest * (group.len() as f64).sqrt();
        let longest = group.iter().map(|&j| b[j] * b[j]).sum::<f64>().sqrt();
        objective += weight * longest + l1 * group.iter().map(|&j| b[j].abs()).sum::<f64>();
        let subgradient = |of: &dyn Fn(usize) -> f64| -> Vec<f64> {
            let whole = group.iter().map(|&j| soft(of(j)).powi(2)).sum::<f64>().sqrt();
            let outside = if whole > weight { 1.0 - weight / whole } else { 0.0 };
            let one = |&j: &usize| match (longest == 0.0, b[j] == 0.0) {
                (true, _) => outside * soft(of(j)),
                (_, true) => soft(of(j)),
                _ => of(j) + l1 * b[j].signum() + weight * b[j] / longest,
            };
            group.iter().map(one).collect()
        };
        let of_raw = subgradient(&|j| slopes[j]);
        // A constant column has none about its mean, but what the mean's rounding leaves.
        let of_centred = subgradient(&|j| slopes[j] - about(j) * slope);
        for ((&j, r), c) in group.iter().zip(of_raw).zip(of_centred) {
            if deviation(j) > 1e-14 * means[j].abs() {
                raw = raw.max(r.abs());
                scaled = scaled.max(c.abs() / deviation(j));
            }
        }
    }
    (objective, raw, scaled)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any loss, columns of any scale: what is told is what loops find, and small.
    #[test]
    fn the_subgradient_is_told_and_small(
        rows in 20usize..120, cols in 2usize..16, size in 1usize..6, seed in 0u64..1000, which in 0usize..4, alpha in 0.001f64..0.3,
        l1_ratio in prop_oneof![Just(0.0), Just(1.0), 0.0f64..1.0], intercept: bool, scaled: bool,
    ) {
        let loss = LOSSES[which];
        let scales = (0..cols).map(|j| if scaled { 10f64.powi((j * 5 % 13) as i32 - 6) } else { 1.0 }).collect();
        let data = Data::new(loss, rows, scales, seed);
        let (groups, every) = in_groups(cols, size);
        let params = GroupLasso { loss, alpha, l1_ratio, groups, intercept, tolerance: 1e-7, max_rounds: 500 };
        let fit = data.fit(&params);
        prop_assert!(fit.report.converged && fit.report.warnings.is_empty(), "{:?}", fit.report);
        let (objective, raw, scaled) = told(&params, &every, &data, &fit.model);
        prop_assert!((objective - fit.report.objective).abs() <= 1e-11 * (1.0 + objective), "{objective} {:?}", fit.report);
        prop_assert!(!intercept || cols < 4 || fit.model.coefficients[2] == 0.0);
        prop_assert!(scaled <= 1.1e-7, "{scaled:e} {:?}", fit.report);
        // Columns of a million have slopes of a million times the rounding.
        let unit = data.scales.iter().fold(1.0, |m: f64, s| m.max(*s));
        prop_assert!((raw - fit.report.optimality).abs() <= 1e-11 * unit, "{raw:e} {:?}", fit.report);
    }
}

/// The twin: proximal gradient steps of all, the length of which is halved until the objective falls.
#[test]
fn as_low_as_the_naive_twin() {
    for (seed, loss) in LOSSES.into_iter().enumerate() {
        let data = Data::new(loss, 60, vec![1.0; 7], seed as u64);
        let (groups, every) = in_groups(7, 3);
        let params =
            GroupLasso { loss, alpha: 0.05, l1_ratio: 0.3, groups, tolerance: 1e-9, ..Default::default() };
        let fit = data.fit(&params);
        assert!(fit.report.converged, "{:?}", fit.report);
        let mut model = LinearModel { coefficients: vec![0.0; 7], ..fit.model.clone() };
        let (p, n, total) = (7, 60, data.weights.iter().sum::<f64>());
        let (l1, rest) = (params.alpha * params.l1_ratio, params.alpha * (1.0 - params.l1_ratio));
        let (mut length, mut at) = (1.0, told(&params, &every, &data, &model).0);
        for _ in 0..4000 {
            let (mut slopes, mut slope) = (vec![0.0; p], 0.0);
            for i in 0..n {
                let x = &data.x[i * p..(i + 1) * p];
                let z = x.iter().zip(&model.coefficients).map(|(x, b)| x * b).sum::<f64>();
                let own = row(loss, z + model.intercepts[0] + data.offset[i], data.y[i]).1 * data.weights[i]
                    / total;
                slope += own;
                slopes.iter_mut().zip(x).for_each(|(s, x)| *s += own * x);
            }
            let mut next = model.clone();
            next.intercepts[0] -= length * slope;
            next.coefficients.iter_mut().zip(&slopes).for_each(|(b, s)| *b -= length * s);
            next.coefficients.iter_mut().for_each(|b| *b = b.signum() * (b.abs() - length * l1).max(0.0));
            for g in &every {
                let whole = g.iter().map(|&j| next.coefficients[j].powi(2)).sum::<f64>().sqrt();
                let by = length * rest * (g.len() as f64).sqrt();
                g.iter()
                    .for_each(|&j| next.coefficients[j] *= if whole > by { 1.0 - by / whole } else { 0.0 });
            }
            let value = told(&params, &every, &data, &next).0;
            if value > at { length *= 0.5 } else { (model, at) = (next, value) }
        }
        assert!((fit.report.objective - at).abs() <= 1e-9 * (1.0 + at), "{loss:?} {at} {:?}", fit.report);
    }
}

#[test]
fn groups_of_one_are_the_lasso_and_groups_stay_together() {
    let data = Data::new(GroupLoss::Logistic, 200, vec![1.0; 9], 3);
    let rows = Rows { weights: Some(&data.weights), offset: Some(&data.offset) };
    let x = MatRef::new(&data.x, 200, 9).unwrap();
    let total: f64 = data.weights.iter().sum();
    let alone = GroupLasso { loss: GroupLoss::Logistic, alpha: 0.02, tolerance: 1e-9, ..Default::default() };
    let ours = data.fit(&alone);
    let classes: Vec<u32> = data.y.iter().map(|y| *y as u32).collect();
    let solver = LogisticSolver::NewtonCholesky;
    let lasso = Logistic { l1: 0.02 * total, l2: 0.0, solver, tolerance: 1e-10, ..Default::default() };
    let theirs = lasso.fit(x, &classes, rows, &Context::default()).unwrap();
    assert!((ours.report.objective - theirs.report.objective).abs() < 1e-11);
    let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(
        near(&ours.model.coefficients, &theirs.model.coefficients) && ours.model.link == theirs.model.link
    );
    let poisson = Data::new(LOSSES[1], 200, vec![1.0; 9], 3);
    let rows = Rows { weights: Some(&poisson.weights), offset: Some(&poisson.offset) };
    let x = MatRef::new(&poisson.x, 200, 9).unwrap();
    let ours = poisson.fit(&GroupLasso { loss: LOSSES[1], ..alone.clone() });
    let lasso = Generalised { alpha: 0.02, l1_ratio: 1.0, ..Default::default() };
    let theirs = lasso.fit(x, &poisson.y, rows, &Context::default()).unwrap();
    assert!((ours.report.objective - theirs.report.objective).abs() < 1e-11);
    assert!(
        near(&ours.model.coefficients, &theirs.model.coefficients) && ours.model.link == theirs.model.link
    );
    // Of each group all columns or none, at any number of threads.
    let (groups, _) = in_groups(9, 2);
    let params = GroupLasso { alpha: 0.05, groups: groups.clone(), ..alone };
    let together = data.fit(&params);
    let b = &together.model.coefficients;
    assert!(groups.iter().filter(|g| !g.contains(&2)).all(|g| (b[g[0]] == 0.0) == (b[g[1]] == 0.0)), "{b:?}");
    assert!(b.contains(&0.0) && b[0] != 0.0, "{b:?}");
    for threads in [1, 3] {
        let again = parallel::with_threads(threads, || data.fit(&params));
        assert_eq!((&again.model, &again.report), (&together.model, &together.report));
    }
}

#[test]
fn limits_and_refusals() {
    let data = Data::new(GroupLoss::Logistic, 60, vec![1.0; 5], 3);
    let params = GroupLasso { loss: GroupLoss::Logistic, alpha: 0.01, ..Default::default() };
    let few = data.fit(&GroupLasso { max_rounds: 1, ..params.clone() });
    assert!(
        !few.report.converged && few.report.warnings[0].contains("limit of 1 rounds"),
        "{:?}",
        few.report
    );
    let x = MatRef::new(&data.x, 60, 5).unwrap();
    let error = |loss: GroupLoss, y: &[f64]| {
        let params = GroupLasso { loss, ..params.clone() };
        params.fit(x, y, Rows::default(), &Context::default()).unwrap_err().to_string()
    };
    for (loss, y, word) in [
        (GroupLoss::Logistic, vec![0.5; 60], "row 0: the target is 0.5; 0 and 1"),
        (GroupLoss::Logistic, vec![1.0; 60], "class 0 has no row"),
        (LOSSES[1], vec![-1.0; 60], "row 0: the target"),
        (LOSSES[1], vec![0.0; 60], "no logarithm"),
        (LOSSES[2], vec![0.0; 60], "row 0: the target"),
        (GroupLoss::Deviance(Distribution::Tweedie(3.0)), vec![1.0; 60], "of groups a number from 1 to 2"),
        (
            GroupLoss::Deviance(Distribution::Normal(Link::Log)),
            vec![1.0; 60],
            "of groups a number from 1 to 2",
        ),
    ] {
        let message = error(loss, &y);
        assert!(message.contains(word), "{message}");
    }
}
