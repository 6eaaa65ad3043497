//! Group lasso and sparse group lasso: the duality gap recomputed by loops, a naive twin, closed form, the lasso as a special case.

use crate::support::{dependent, in_groups, normal};
use proptest::prelude::*;
use tilewise_base::{Context, Fit};
use tilewise_kernels::{MatRef, parallel};
use tilewise_linear::{ElasticNet, GroupLasso, LinearModel, Rows};

/// Rows as a naive solver wants them: centred, times the root of their share of the weight, as columns; and the target so.
struct Centred {
    columns: Vec<Vec<f64>>,
    y: Vec<f64>,
}

struct Data {
    x: Vec<f64>,
    cols: usize,
    y: Vec<f64>,
    weights: Vec<f64>,
    offset: Vec<f64>,
}

impl Data {
    /// Column 1 repeats column 0, the third is constant; a quarter of the rows has no weight.
    fn new(rows: usize, cols: usize, seed: u64, scaled: bool) -> Self {
        let scale = |j: usize| if scaled { 10f64.powi((j * 5 % 7) as i32 - 3) } else { 1.0 };
        let x = dependent(rows, cols, 3 * seed, scale);
        let noise = normal(rows, 1, 3 * seed + 1);
        let signal = |i: usize| (0..cols.min(5)).map(|j| x[i * cols + j] / scale(j)).sum::<f64>();
        let y = (0..rows).map(|i| signal(i) + 0.3 * noise[i] + 10.0).collect();
        let offset = normal(rows, 1, 3 * seed + 2);
        Self { y, weights: (0..rows).map(|i| (i % 4) as f64).collect(), offset, cols, x }
    }

    fn fit(&self, params: &GroupLasso) -> Fit<LinearModel> {
        let rows = Rows { weights: Some(&self.weights), offset: Some(&self.offset) };
        let x = MatRef::new(&self.x, self.y.len(), self.cols).unwrap();
        params.fit(x, &self.y, rows, &Context::default()).unwrap()
    }

    fn centred(&self, intercept: bool) -> Centred {
        let total: f64 = self.weights.iter().sum();
        let prepare = |values: Vec<f64>| -> Vec<f64> {
            let mean = values.iter().zip(&self.weights).map(|(v, w)| w * v).sum::<f64>() / total;
            let about = if intercept { mean } else { 0.0 };
            values.iter().zip(&self.weights).map(|(v, w)| (v - about) * (w / total).sqrt()).collect()
        };
        let column = |j: usize| self.x.iter().skip(j).step_by(self.cols).copied().collect();
        let target = self.y.iter().zip(&self.offset).map(|(y, o)| y - o).collect();
        Centred { columns: (0..self.cols).map(|j| prepare(column(j))).collect(), y: prepare(target) }
    }
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Centred {
    fn residual(&self, b: &[f64]) -> Vec<f64> {
        let row = |i: usize| self.columns.iter().zip(b).map(|(x, b)| x[i] * b).sum::<f64>();
        (0..self.y.len()).map(|i| self.y[i] - row(i)).collect()
    }

    fn penalty(&self, params: &GroupLasso, groups: &[Vec<usize>], b: &[f64]) -> f64 {
        let group = |g: &Vec<usize>| {
            let square: f64 = g.iter().map(|&j| b[j] * b[j]).sum();
            (g.len() as f64).sqrt() * square.sqrt()
        };
        let (size, lengths): (f64, f64) = (b.iter().map(|b| b.abs()).sum(), groups.iter().map(group).sum());
        params.alpha * (params.l1_ratio * size + (1.0 - params.l1_ratio) * lengths)
    }

    fn objective(&self, params: &GroupLasso, groups: &[Vec<usize>], b: &[f64]) -> f64 {
        let r = self.residual(b);
        0.5 * inner(&r, &r) + self.penalty(params, groups, b)
    }

    /// The objective less its dual at the residual, which is shrunk until it is a dual point.
    fn gap(&self, params: &GroupLasso, groups: &[Vec<usize>], b: &[f64]) -> f64 {
        let r = self.residual(b);
        let (l1, weight) = (params.alpha * params.l1_ratio, params.alpha * (1.0 - params.l1_ratio));
        let pulls: Vec<f64> = self.columns.iter().map(|x| inner(x, &r)).collect();
        let is_dual = |s: f64| {
            groups.iter().all(|g| {
                let beyond: f64 = g.iter().map(|&j| ((s * pulls[j]).abs() - l1).max(0.0).powi(2)).sum();
                beyond.sqrt() <= weight * (g.len() as f64).sqrt()
            })
        };
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if is_dual(middle) { low = middle } else { high = middle }
        }
        let s = if is_dual(1.0) { 1.0 } else { low };
        let s = (inner(&r, &self.y) / inner(&r, &r)).clamp(-s, s);
        self.objective(params, groups, b) - s * (inner(&r, &self.y) - 0.5 * s * inner(&r, &r))
    }

    /// The twin: proximal gradient steps of all coefficients, the length of which is one over the sum of all squares.
    fn naive(&self, params: &GroupLasso, groups: &[Vec<usize>], steps: usize) -> Vec<f64> {
        let steepest: f64 = self.columns.iter().map(|x| inner(x, x)).sum();
        let (l1, weight) = (params.alpha * params.l1_ratio, params.alpha * (1.0 - params.l1_ratio));
        let mut b = vec![0.0f64; self.columns.len()];
        for _ in 0..steps {
            let r = self.residual(&b);
            b.iter_mut().zip(&self.columns).for_each(|(b, x)| *b += inner(x, &r) / steepest);
            b.iter_mut().for_each(|b| *b = b.signum() * (b.abs() - l1 / steepest).max(0.0));
            for g in groups {
                let length = g.iter().map(|&j| b[j] * b[j]).sum::<f64>().sqrt();
                let by = weight * (g.len() as f64).sqrt() / steepest;
                g.iter().for_each(|&j| b[j] *= if length > by { 1.0 - by / length } else { 0.0 });
            }
        }
        b
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_gap_is_the_gap(
        rows in 8usize..80, cols in 2usize..40, size in 1usize..6, seed in 0u64..1000, alpha in 0.003f64..1.0,
        l1_ratio in prop_oneof![Just(0.0), Just(1.0), 0.0f64..1.0], intercept: bool, scaled: bool,
    ) {
        let data = Data::new(rows, cols, seed, scaled);
        let (groups, every) = in_groups(cols, size);
        let params = GroupLasso { alpha, l1_ratio, groups, intercept, tolerance: 1e-9, max_rounds: 5000, ..Default::default() };
        let fit = data.fit(&params);
        prop_assert!(fit.report.converged && fit.report.warnings.is_empty(), "{:?}", fit.report);
        let centred = data.centred(intercept);
        let b = &fit.model.coefficients;
        let (objective, gap) = (centred.objective(&params, &every, b), centred.gap(&params, &every, b));
        let whole = 0.5 * inner(&centred.y, &centred.y);
        let rounding = 1e-10 * whole;
        prop_assert!((objective - fit.report.objective).abs() <= rounding, "{objective} {:?}", fit.report);
        prop_assert!(gap <= 1.1e-9 * whole, "{gap:e} {:?}", fit.report);
        prop_assert!((gap - fit.report.optimality).abs() <= rounding, "{gap:e}");
        // Constant columns have none.
        prop_assert!(!intercept || cols < 4 || b[2] == 0.0);
    }
}

#[test]
fn as_low_as_the_naive_twin() {
    for (seed, l1_ratio) in [0.0, 0.3, 1.0].into_iter().enumerate() {
        let data = Data::new(40, 7, seed as u64, false);
        let (groups, every) = in_groups(7, 3);
        let params = GroupLasso { alpha: 0.2, l1_ratio, groups, tolerance: 1e-12, ..Default::default() };
        let (fit, centred) = (data.fit(&params), data.centred(true));
        let twin = centred.naive(&params, &every, 20_000);
        let ours = centred.objective(&params, &every, &fit.model.coefficients);
        let theirs = centred.objective(&params, &every, &twin);
        assert!((ours - theirs).abs() <= 1e-9 * theirs, "{ours} {theirs}");
    }
}

/// Columns that are orthogonal and of length 1: each group is shrunk by its own length.
#[test]
fn orthogonal_columns_have_a_closed_form() {
    let x = [1.0, 1.0, 1.0, 1.0, 1.0, -1.0, 1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0, -1.0, 1.0];
    let y = [5.0, 1.0, -2.0, 4.0];
    let by_columns: Vec<f64> = (0..16).map(|k| x[k % 4 * 4 + k / 4]).collect();
    let params = GroupLasso {
        alpha: 0.5,
        groups: vec![vec![0, 3], vec![1, 2]],
        intercept: false,
        tolerance: 1e-14,
        ..Default::default()
    };
    let view = MatRef::new(&by_columns, 4, 4).unwrap();
    let fit = params.fit(view, &y, Rows::default(), &Context::default()).unwrap();
    let cross: Vec<f64> = (0..4).map(|j| (0..4).map(|i| x[j * 4 + i] * y[i]).sum::<f64>() / 4.0).collect();
    for g in &params.groups {
        let length = g.iter().map(|&j| cross[j] * cross[j]).sum::<f64>().sqrt();
        let factor = (1.0 - 0.5 * 2f64.sqrt() / length).max(0.0);
        for &j in g {
            assert!((fit.model.coefficients[j] - factor * cross[j]).abs() < 1e-7, "{:?}", fit.model);
        }
    }
}

#[test]
fn groups_of_one_are_the_lasso_and_groups_stay_together() {
    let data = Data::new(200, 9, 3, false);
    let rows = Rows { weights: Some(&data.weights), offset: Some(&data.offset) };
    let x = MatRef::new(&data.x, 200, 9).unwrap();
    let lasso = ElasticNet { alpha: 0.3, tolerance: 1e-12, ..Default::default() };
    let lasso = lasso.fit(x, &data.y, rows, &Context::default()).unwrap();
    let ours = data.fit(&GroupLasso { alpha: 0.3, tolerance: 1e-12, ..Default::default() });
    assert!((lasso.report.objective - ours.report.objective).abs() < 1e-10);
    // Of each group all columns or none; of sparse groups some.
    let (groups, _) = in_groups(9, 2);
    let together = data.fit(&GroupLasso { alpha: 0.5, groups: groups.clone(), ..Default::default() });
    let b = &together.model.coefficients;
    assert!((b[4] == 0.0) == (b[5] == 0.0) && b[6..8] == [0.0, 0.0] && b[4] != 0.0, "{b:?}");
    for threads in [1, 3] {
        let again = parallel::with_threads(threads, || {
            data.fit(&GroupLasso { alpha: 0.5, groups: groups.clone(), ..Default::default() })
        });
        assert_eq!(again.model, together.model);
    }
}

#[test]
fn what_cannot_be_fitted_is_named() {
    let data = Data::new(8, 3, 1, false);
    let x = MatRef::new(&data.x, 8, 3).unwrap();
    let error = |params: &GroupLasso, y: &[f64]| {
        params.fit(x, y, Rows::default(), &Context::default()).unwrap_err().to_string()
    };
    let usual = GroupLasso::default();
    for (params, words) in [
        (GroupLasso { alpha: 0.0, ..usual.clone() }, ["alpha", "above 0"]),
        (GroupLasso { l1_ratio: 1.5, ..usual.clone() }, ["l1_ratio", "from 0 to 1"]),
        (GroupLasso { groups: vec![vec![0, 3]], ..usual.clone() }, ["groups", "from 0 to 2"]),
        (GroupLasso { groups: vec![vec![0, 1], vec![1]], ..usual.clone() }, ["groups", "once"]),
        (GroupLasso { groups: vec![vec![]], ..usual.clone() }, ["groups", "one column at least"]),
    ] {
        let message = error(&params, &data.y);
        assert!(words.iter().all(|w| message.contains(w)), "{message}");
    }
    let mut y = data.y.clone();
    y[4] = f64::NAN;
    let message = error(&usual, &y);
    assert!(message.contains("row 4") && message.contains("target"), "{message}");
    let rows = Rows { weights: Some(&[0.0; 8]), offset: None };
    let message = usual.fit(x, &data.y, rows, &Context::default()).unwrap_err().to_string();
    assert!(message.contains("all weights are zero"), "{message}");
}
