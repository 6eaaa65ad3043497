//! Group lasso and sparse group lasso: least squares, logistic regression or deviances with a penalty by which groups of columns come in or
//! stay out together.
//!
//! Minimises sum of w_i (y_i - offset_i - x_i b - a)^2 / (2 sum of w) + alpha (l1_ratio |b|_1 + (1 - l1_ratio) sum of sqrt(p_g) |b_g|),
//! |b_g| being the length of the coefficients of a group of p_g columns (Yuan, Lin, "Model selection and estimation in regression with grouped
//! variables", 2006; with l1_ratio between 0 and 1 Simon, Friedman, Hastie, Tibshirani, "A sparse-group lasso", 2013). The intercept a is not
//! penalised. With l1_ratio 1, or groups of one column each, this is [`ElasticNet`](crate::ElasticNet) with l1_ratio 1. The report's
//! `objective` is this, and `optimality` its duality gap: the objective is at most so far above its minimum.
//!
//! Method: one pass over the rows gathers the products of all columns (memory for columns^2 numbers). Then block coordinate descent: a group
//! whose pull the penalty holds is zero at once, others take proximal gradient steps; once sweeps leave the same coefficients at zero, Newton's
//! step for all others, where it lowers the objective. Other losses than squares: `group_lasso/likelihood.rs`. The gap is that of the residual, shrunk until no group of X^T r is beyond the
//! penalty, which makes it a dual point.

use crate::cholesky::Cholesky;
use crate::elastic_net::design::{Design, Products, no_weight};
use crate::elastic_net::penalty::Certificate;
use crate::elastic_net::working_set::{Progress, Solution};
use crate::elastic_net::{check_rows, report, targets};
use crate::moments::{Moments, Second};
use crate::optimality::change_of_quadratic;
use crate::rows::check_not_negative;
use crate::{Chunk, Distribution, Element, LinearModel, Link, Rows};
use serde::{Deserialize, Serialize};
use tilewise_base::{Context, Error, Fit, Result};
use tilewise_kernels::{MatRef, axpy, dot};

mod likelihood;

/// Sweeps between two looks at the gap, and proximal steps of a group in a sweep.
const SWEEPS: usize = 10;
const STEPS: usize = 3;

/// Looks without progress after which what is left is rounding.
const PATIENCE: u32 = 20;

/// Newton's steps for the length of a group.
const LENGTHS: usize = 50;

/// Halvings of Newton's step: where columns depend on each other it is up to 1 / `REGULAR` too long along what tells them apart; with 8
/// steps were refused where 40 brought them through. And bisections for the dual point.
const HALVINGS: u32 = 40;
const BISECTIONS: u32 = 60;

/// Smallest pivot with which Newton's step is solved, and the share of the diagonal that is added where it is smaller.
const SINGULAR_BELOW: f64 = 1e-12;
const REGULAR: f64 = 1e-8;

/// What a row is charged for its linear predictor z = x b + a + offset, in a mean over the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupLoss {
    /// (z - y)^2 / 2.
    #[default]
    Squared,
    /// ln(1 + e^z) - y z for targets 0 and 1.
    Logistic,
    /// Half the deviance, the mean being e^z. Of distributions of a power from 1 to 2.
    Deviance(Distribution),
}

impl GroupLoss {
    fn is_squared(&self) -> bool {
        *self == Self::Squared
    }
}

/// Parameters of group lasso and sparse group lasso.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupLasso {
    /// What is minimised besides the penalty.
    #[serde(default, skip_serializing_if = "GroupLoss::is_squared")]
    pub loss: GroupLoss,
    /// Weight of the penalty, above 0.
    pub alpha: f64,
    /// Share of |b|_1 in the penalty, from 0 (groups alone) to 1 (lasso).
    pub l1_ratio: f64,
    /// Columns that come in or stay out together, by their places from 0; no column is in two groups. A column of none is a group of its own.
    pub groups: Vec<Vec<usize>>,
    /// Whether to fit an intercept.
    pub intercept: bool,
    /// The fit has converged when the duality gap is at most this share of the objective of zero coefficients; of other losses than squares,
    /// when no entry of the shortest subgradient, for columns scaled to deviation 1, is larger. The report's `optimality` is its largest entry
    /// of the columns as they are.
    pub tolerance: f64,
    /// Looks at the gap, or passes over the rows of other losses, after which the fit ends with a warning.
    pub max_rounds: u64,
}

impl Default for GroupLasso {
    fn default() -> Self {
        Self {
            loss: GroupLoss::Squared,
            alpha: 1.0,
            l1_ratio: 0.0,
            groups: Vec::new(),
            intercept: true,
            tolerance: 1e-8,
            max_rounds: 1000,
        }
    }
}

impl GroupLasso {
    /// Fits the rows of `x` to the numbers `y`, which are 0 and 1 with the logistic loss. Groups of columns whose scales differ by many powers of ten converge slowly, and warn where
    /// that takes too long: scale the columns.
    ///
    /// # Errors
    /// When a parameter is out of range, a group is empty, names a column that is not there or one twice; shapes do not fit, there are no rows
    /// or features, no row has a weight, a number is NaN or infinite (named by row and feature), or a target is one that the loss does not have.
    pub fn fit<T: Element>(
        &self,
        x: MatRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        context: &Context<'_>,
    ) -> Result<Fit<LinearModel>> {
        self.check()?;
        if self.loss != GroupLoss::Squared {
            return likelihood::fit(self, x, y, rows, context);
        }
        let chunk = Chunk { x, y, rows, first_row: 0 };
        check_rows(&chunk)?;
        let all = self.all_groups(x.cols())?;
        let moments = Moments::of(&chunk, Second::Gram, |rows| targets(&chunk, rows))?;
        if moments.weight <= 0.0 {
            return Err(no_weight());
        }
        let products = Products::new(&moments, self.intercept, &vec![1.0; moments.mean.len()])?;
        let problem = Problem::new(self, products, all)?;
        let enough = self.tolerance * 0.5 * problem.products.target_square();
        let mut go_on = |round, certificate: &Certificate| {
            let note = format!("loss {:.6}, gap {:.1e}", certificate.objective, certificate.gap);
            context.progress.round(round, self.max_rounds, &note);
            !context.cancelled()
        };
        let solution = problem.solve(enough, self.max_rounds, &mut go_on)?;
        let report = report(&solution, enough, self.max_rounds);
        let coefficients = solution.coefficients;
        let shift = dot(&coefficients, &moments.mean)?;
        let intercept = if self.intercept { moments.target_mean - shift } else { 0.0 };
        if coefficients.iter().chain([&intercept]).any(|b| !b.is_finite()) {
            return Err(Error::Fit("the solution overflows; scale the features or the target".into()));
        }
        let model = LinearModel { coefficients, intercepts: vec![intercept], link: Link::Identity };
        Ok(Fit { model, report })
    }

    pub(crate) fn check(&self) -> Result<()> {
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            let accepted = "expected a finite number above 0; LeastSquares has no penalty";
            return Err(Error::parameter("alpha", self.alpha, accepted));
        }
        if !(0.0..=1.0).contains(&self.l1_ratio) {
            return Err(Error::parameter("l1_ratio", self.l1_ratio, "expected a number from 0 to 1"));
        }
        if let GroupLoss::Deviance(distribution) = self.loss {
            distribution.check_convex("groups")?;
        }
        check_not_negative("tolerance", self.tolerance)
    }

    /// What the length of a group's coefficients is multiplied by.
    fn weight_of(&self, group: &[usize]) -> f64 {
        self.alpha * (1.0 - self.l1_ratio) * (group.len() as f64).sqrt()
    }

    /// The penalty on a group.
    fn penalty_of(&self, group: &[usize], b: &[f64]) -> f64 {
        let size: f64 = group.iter().map(|&j| b[j].abs()).sum();
        self.alpha * self.l1_ratio * size + self.weight_of(group) * length(group.iter().map(|&j| b[j]))
    }

    /// The groups, and a group for each column of none.
    fn all_groups(&self, columns: usize) -> Result<Vec<Vec<usize>>> {
        let mut named = vec![false; columns];
        for group in &self.groups {
            if group.is_empty() {
                return Err(Error::parameter(
                    "groups",
                    "an empty one",
                    "expected one column at least in each",
                ));
            }
            for &j in group {
                let Some(named) = named.get_mut(j) else {
                    let accepted = format!("expected the place of a column, from 0 to {}", columns - 1);
                    return Err(Error::parameter("groups", j, accepted));
                };
                if std::mem::replace(named, true) {
                    return Err(Error::parameter("groups", j, "expected each column once"));
                }
            }
        }
        let alone = (0..columns).filter(|&j| !named[j]).map(|j| vec![j]);
        Ok(self.groups.iter().cloned().chain(alone).collect())
    }
}

/// A group's columns but constant ones, and its penalty.
struct Group {
    columns: Vec<usize>,
    /// Of |b_g|.
    weight: f64,
    /// For each column a curvature: the quadratic form of these is not below that of their products in any direction.
    steepest: Vec<f64>,
}

/// The objective, per unit of weight.
struct Problem {
    products: Products,
    groups: Vec<Group>,
    l1: f64,
}

/// What is beyond `by` of each, as a length.
fn beyond(values: impl Iterator<Item = f64>, by: f64) -> f64 {
    values.map(|v| (v.abs() - by).max(0.0).powi(2)).sum::<f64>().sqrt()
}

fn length(values: impl Iterator<Item = f64>) -> f64 {
    beyond(values, 0.0)
}

impl Problem {
    fn new(params: &GroupLasso, products: Products, all: Vec<Vec<usize>>) -> Result<Self> {
        let l1 = params.alpha * params.l1_ratio;
        let group = |all: Vec<usize>| {
            let weight = params.weight_of(&all);
            let columns: Vec<usize> = all.into_iter().filter(|&j| products.squares()[j] > 0.0).collect();
            let row = |j: usize| columns.iter().map(move |&k| (j, k)).map(|(j, k)| products.row(j)[k]);
            // The difference is diagonally dominant. One number for all columns would be that of the largest, beside which
            // columns of a small scale hardly move.
            let steepest = columns.iter().map(|&j| row(j).map(f64::abs).sum()).collect();
            Group { weight, steepest, columns: columns.clone() }
        };
        let groups = all.into_iter().map(group).filter(|g| !g.columns.is_empty()).collect();
        Ok(Self { groups, products, l1 })
    }

    fn penalty(&self, b: &[f64]) -> f64 {
        let of = |g: &Group| {
            let size: f64 = g.columns.iter().map(|&j| b[j].abs()).sum();
            self.l1 * size + g.weight * length(g.columns.iter().map(|&j| b[j]))
        };
        self.groups.iter().map(of).sum()
    }

    /// The shortest subgradient of the objective by a group's coefficients, of which the smooth part has these slopes.
    fn far(&self, group: &Group, slopes: &[f64], b: &[f64]) -> Vec<f64> {
        let own = || group.columns.iter().map(|&j| b[j]);
        let longest = length(own());
        let beyond_l1 = |slope: f64| (slope.abs() - self.l1).max(0.0).copysign(slope);
        if longest == 0.0 {
            let outside: Vec<f64> = slopes.iter().map(|s| beyond_l1(*s)).collect();
            let whole = length(outside.iter().copied());
            let share = if whole > group.weight { 1.0 - group.weight / whole } else { 0.0 };
            return outside.iter().map(|s| share * s).collect();
        }
        let of = |(b, slope): (f64, &f64)| {
            if b == 0.0 {
                beyond_l1(*slope)
            } else {
                slope + self.l1.copysign(b) + group.weight * (b / longest)
            }
        };
        own().zip(slopes).map(of).collect()
    }

    /// The largest factor up to 1 by which X^T r of a group is within the penalty.
    fn shrink(&self, group: &Group, pulls: &[f64]) -> f64 {
        let within = |s: f64| beyond(group.columns.iter().map(|&j| s * pulls[j]), self.l1) <= group.weight;
        if within(1.0) {
            return 1.0;
        }
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..BISECTIONS {
            let middle = 0.5 * (low + high);
            if within(middle) { low = middle } else { high = middle }
        }
        low
    }

    /// At `b` with X^T r, |r|^2 and r y.
    fn certificate(&self, b: &[f64], pulls: &[f64], square: f64, target: f64) -> Certificate {
        let objective = 0.5 * square + self.penalty(b);
        let longest = self.groups.iter().map(|g| self.shrink(g, pulls)).fold(1.0, f64::min);
        let shrink = if square > 0.0 { (target / square).clamp(-longest, longest) } else { longest };
        let gap = objective - shrink * (target - 0.5 * shrink * square);
        Certificate { objective, gap, shrink, radius: (2.0 * gap.max(0.0)).sqrt() }
    }

    /// Each group towards its minimum, the others as they are. Whether a coefficient became or ceased to be zero.
    fn sweep(&self, b: &mut [f64], pulls: &mut [f64]) -> Result<bool> {
        let mut changed = false;
        for group in &self.groups {
            let columns = &group.columns;
            let before: Vec<f64> = columns.iter().map(|&j| b[j]).collect();
            let product = |j: usize, of: &[f64]| -> f64 {
                columns.iter().zip(of).map(|(&k, b)| self.products.row(j)[k] * b).sum()
            };
            // What pulls where the group is zero.
            let alone: Vec<f64> = columns.iter().map(|&j| pulls[j] + product(j, &before)).collect();
            let mut now = before.clone();
            if beyond(alone.iter().copied(), self.l1) <= group.weight {
                now.fill(0.0);
            } else {
                for _ in 0..STEPS {
                    let bent = now.iter().zip(&group.steepest).map(|(b, d)| b * d);
                    let at = columns.iter().zip(&alone).map(|(&j, pull)| pull - product(j, &now));
                    let wanted: Vec<f64> = bent.zip(at).map(|(bent, pull)| bent + pull).collect();
                    now = self.hold(group, &wanted);
                }
            }
            for ((&j, before), now) in columns.iter().zip(before).zip(now) {
                if now != before {
                    b[j] = now;
                    changed |= (now == 0.0) != (before == 0.0);
                    axpy(before - now, self.products.row(j), pulls)?;
                }
            }
        }
        Ok(changed)
    }

    /// What minimises sum of (d_j b_j^2 / 2 - pull_j b_j) and the penalty of a group: b_j is s_j / (d_j + weight / |b|), s_j being what of
    /// the pull is beyond l1, and the length |b| where that of both sides agrees. Of lengths t from 0 on 1 / |s_j / (d_j t + weight)| is
    /// concave and reaches 1, so Newton's steps come to it from below; of equal d the first one does.
    fn hold(&self, group: &Group, pulls: &[f64]) -> Vec<f64> {
        let s = || pulls.iter().map(|pull| (pull.abs() - self.l1).max(0.0).copysign(*pull));
        let weight = group.weight;
        if length(s()) <= weight {
            return vec![0.0; pulls.len()];
        }
        let mut t = if weight > 0.0 { 0.0 } else { 1.0 };
        for _ in 0..if weight > 0.0 { LENGTHS } else { 0 } {
            let shares =
                || s().zip(&group.steepest).map(|(s, d)| (s / (d * t + weight), d / (d * t + weight)));
            let whole = length(shares().map(|(share, _)| share));
            let step = whole * whole * (whole - 1.0)
                / shares().map(|(share, bend)| share * share * bend).sum::<f64>();
            // Once it is there rounding goes either way.
            if step.is_nan() || step <= f64::EPSILON * t {
                break;
            }
            t += step;
        }
        // Zeros have no sign.
        s().zip(&group.steepest).map(|(s, d)| if s == 0.0 { 0.0 } else { s * t / (d * t + weight) }).collect()
    }

    /// Newton's step of the coefficients that are not zero, if it, or a part of it, lowers the objective.
    fn newton(&self, b: &mut Vec<f64>, pulls: &[f64]) -> Result<()> {
        let (mut face, mut slope, mut bends) = (Vec::new(), Vec::new(), Vec::new());
        for group in &self.groups {
            let length = length(group.columns.iter().map(|&j| b[j]));
            let own: Vec<usize> = group.columns.iter().copied().filter(|&j| b[j] != 0.0).collect();
            slope.extend(
                own.iter().map(|&j| pulls[j] - self.l1.copysign(b[j]) - group.weight * b[j] / length),
            );
            bends.extend(own.iter().map(|_| (face.len()..face.len() + own.len(), group.weight, length)));
            face.extend(own);
        }
        let order = face.len();
        if order == 0 {
            return Ok(());
        }
        let mut matrix = Vec::with_capacity(order * order);
        for (place, (&j, (own, weight, length))) in face.iter().zip(&bends).enumerate() {
            matrix.extend(face.iter().map(|&k| self.products.row(j)[k]));
            let row = &mut matrix[place * order..];
            own.clone().for_each(|k| row[k] -= weight * b[j] * b[face[k]] / length.powi(3));
            row[place] += weight / length;
        }
        let mut factor = Cholesky::new(&matrix, order, SINGULAR_BELOW)?;
        if factor.is_none() {
            (0..order).for_each(|k| matrix[k * (order + 1)] *= 1.0 + REGULAR);
            factor = Cholesky::new(&matrix, order, SINGULAR_BELOW)?;
        }
        let Some(factor) = factor else { return Ok(()) };
        factor.solve(&mut slope);
        if slope.iter().any(|d| !d.is_finite()) {
            return Ok(());
        }
        let mut share = 1.0;
        for _ in 0..HALVINGS {
            let mut candidate = b.clone();
            for (&j, d) in face.iter().zip(&slope) {
                let after = b[j] + share * d;
                candidate[j] = if self.l1 > 0.0 && after * b[j] < 0.0 { 0.0 } else { after };
            }
            if self.change(b, pulls, &candidate)? < 0.0 {
                *b = candidate;
                return Ok(());
            }
            share *= 0.5;
        }
        Ok(())
    }

    /// By how much the objective changes.
    fn change(&self, from: &[f64], pulls: &[f64], to: &[f64]) -> Result<f64> {
        let of_squares = change_of_quadratic(|j| self.products.row(j), from, pulls, to)?;
        Ok(of_squares + (self.penalty(to) - self.penalty(from)))
    }

    /// From zero until the gap is at most `enough`. `go_on` hears of every look, and ends it by false.
    fn solve(
        &self,
        enough: f64,
        max_rounds: u64,
        go_on: &mut dyn FnMut(u64, &Certificate) -> bool,
    ) -> Result<Solution> {
        let p = self.products.squares().len();
        let (mut b, mut pulls) = (vec![0.0; p], vec![0.0; p]);
        let (mut rounds, mut progress) = (0u64, Progress::new(PATIENCE));
        loop {
            let (square, target) = self.products.correlate(&b, &[], &mut pulls)?;
            let certificate = self.certificate(&b, &pulls, square, target);
            rounds += 1;
            let told = go_on(rounds, &certificate);
            let stop = progress.stop(&certificate, enough, (rounds, max_rounds), told);
            if let Some(stop) = stop {
                return Ok(Solution { coefficients: b, certificate, rounds, stop });
            }
            let mut settled = true;
            for _ in 0..SWEEPS {
                settled = !self.sweep(&mut b, &mut pulls)?;
            }
            if settled || rounds.is_power_of_two() {
                self.newton(&mut b, &pulls)?;
            }
        }
    }
}
