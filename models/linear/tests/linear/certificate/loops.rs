//! Objectives and what their minima ask, by loops over rows that know the documented formulas and nothing of solvers.

use super::{Data, Told};
use tilewise_linear::LinearModel;

/// What a row is charged for its linear predictors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Loss {
    /// (z - y)^2 / 2.
    Squared,
    /// That up to this distance, and a line beyond.
    Huber(f64),
    /// ln(1 + e^z) - y z.
    Binomial,
    /// ln(sum of e^z_k) - z_y.
    Softmax,
    /// Half the deviance of this power, the mean being e^z.
    Deviance(f64),
}

/// Loss and slopes of a row, sizes of what they are summed up from, and how much slopes change with z.
struct Row {
    value: f64,
    size: f64,
    slopes: Vec<f64>,
    sizes: f64,
    bend: f64,
}

impl Loss {
    fn row(self, z: &[f64], y: f64) -> Row {
        let one = |value: f64, size: f64, slope: f64, sizes: f64, bend: f64| Row {
            value,
            size,
            slopes: vec![slope],
            sizes,
            bend,
        };
        let r = z[0] - y;
        match self {
            Self::Squared => one(0.5 * r * r, r * r, r, z[0].abs() + y.abs(), 1.0),
            Self::Huber(t) if r.abs() <= t => Self::Squared.row(z, y),
            Self::Huber(t) => {
                let value = t * (r.abs() - 0.5 * t);
                one(value, t * (r.abs() + t), t.copysign(r), t, 1.0)
            }
            Self::Binomial => {
                let z = z[0];
                let value = z.max(0.0) + (-z.abs()).exp().ln_1p() - y * z;
                one(value, 1.0 + z.abs(), 1.0 / (1.0 + (-z).exp()) - y, 1.0, 1.0)
            }
            Self::Softmax => {
                let largest = z.iter().copied().fold(f64::MIN, f64::max);
                let log_sum = largest + z.iter().map(|z| (z - largest).exp()).sum::<f64>().ln();
                let own = y as usize;
                let of = |(k, z): (usize, &f64)| (z - log_sum).exp() - if k == own { 1.0 } else { 0.0 };
                Row {
                    value: log_sum - z[own],
                    size: 1.0 + log_sum.abs() + z[own].abs(),
                    slopes: z.iter().enumerate().map(of).collect(),
                    sizes: 1.0,
                    bend: 1.0,
                }
            }
            Self::Deviance(power) => {
                let (z, m) = (z[0], z[0].exp());
                let (a, b) = (1.0 - power, 2.0 - power);
                let (of_mean, of_target) = (m.powf(b), y * m.powf(a));
                let parts = if power == 1.0 {
                    [m, -y * z, if y > 0.0 { y * y.ln() } else { 0.0 }, -y]
                } else if power == 2.0 {
                    [y / m, z, -y.ln(), -1.0]
                } else {
                    [of_mean / b, -of_target / a, y.powf(b) / (a * b), 0.0]
                };
                let size = parts.iter().map(|p| p.abs()).sum::<f64>() * (1.0 + z.abs());
                let bend = b.abs() * of_mean + a.abs() * of_target;
                // e^z has z's rounding as a share of it.
                let sizes = (of_mean + of_target) * (1.0 + z.abs());
                one(parts.iter().sum(), size, of_mean - of_target, sizes, bend)
            }
        }
    }
}

/// What a minimum is asked to be.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    /// The gradient is within l1 of zero, at l1 where a coefficient is not zero.
    Corners,
    /// How far a proximal step moves coefficients, per its length, which is one over this times a column's variance.
    Nearby(f64),
    /// Coefficients lie between bounds, and are not pushed away from them.
    Between(f64, f64),
    /// Groups and the penalty on the length of each.
    Groups(Vec<(Vec<usize>, f64)>),
}

/// A smooth loss and a penalty per unit of weight.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) loss: Loss,
    pub(super) l1: f64,
    pub(super) l2: f64,
    pub(super) intercept: bool,
    pub(super) ask: Ask,
    /// What the report multiplies all of this by: 2 of squares that are not halved.
    pub(super) factor: f64,
    /// Other weights than those of the data: with those of classes.
    pub(super) weights: Option<Vec<f64>>,
    /// The unit of rounding of linear predictors.
    pub(super) unit: f64,
}

impl Problem {
    pub(super) fn new(loss: Loss, l1: f64, l2: f64, intercept: bool) -> Self {
        Self { loss, l1, l2, intercept, ask: Ask::Corners, factor: 1.0, weights: None, unit: f64::EPSILON }
    }

    pub(super) fn told(&self, data: &Data, y: &[f64], model: &LinearModel) -> Told {
        let (n, p, k) = (data.rows, data.cols, model.intercepts.len());
        let shares = data.shares(self.weights.as_deref());
        // Sums of so many, and some operations more.
        let gamma = (n + p + 40) as f64 * self.unit;
        let coefficients = |c: usize| &model.coefficients[c * p..(c + 1) * p];
        let predictor = |i: usize, c: usize, of: fn(f64) -> f64| -> f64 {
            let row = data.x[i * p..(i + 1) * p].iter().zip(coefficients(c));
            row.map(|(x, b)| of(x * b)).sum::<f64>() + of(model.intercepts[c]) + of(data.offset(i))
        };
        let sizes = |i: usize| (0..k).map(|c| predictor(i, c, f64::abs)).fold(0.0, f64::max);
        // The intercept was that of columns about their means.
        let common: f64 = (0..n).filter(|&i| shares[i] > 0.0).map(|i| shares[i] * sizes(i)).sum();
        let (mut value, mut doubt) = (0.0, 0.0);
        let (mut slopes, mut doubts) = (vec![vec![0.0; p + 1]; k], vec![0.0; p + 1]);
        for i in (0..n).filter(|&i| shares[i] > 0.0) {
            let z: Vec<f64> = (0..k).map(|c| predictor(i, c, |x| x)).collect();
            let off = sizes(i) + common;
            let row = self.loss.row(&z, y[i]);
            value += shares[i] * row.value;
            let steepest = row.slopes.iter().fold(0.0f64, |m, s| m.max(s.abs()));
            // A square is also what the target's and the explained one leave.
            let squares = if self.loss == Loss::Squared { y[i] * y[i] + off * off } else { 0.0 };
            doubt += shares[i] * (row.size + squares + steepest * off);
            let cells = || data.x[i * p..(i + 1) * p].iter().copied().chain([1.0]);
            for (slopes, s) in slopes.iter_mut().zip(&row.slopes) {
                slopes.iter_mut().zip(cells()).for_each(|(slope, x)| *slope += shares[i] * s * x);
            }
            let of_row = row.bend * off + row.sizes + steepest;
            doubts.iter_mut().zip(cells()).for_each(|(d, x)| *d += shares[i] * of_row * x.abs());
        }
        let mut told = Told::default();
        let moments = self.moments(data, &shares);
        for (c, slopes) in slopes.iter().enumerate() {
            let b = coefficients(c);
            let penalty: f64 = b.iter().map(|b| self.l1 * b.abs() + 0.5 * self.l2 * b * b).sum();
            value += penalty + self.of_groups(b);
            doubt += penalty + self.of_groups(b);
            let slope = if self.intercept { slopes[p] } else { 0.0 };
            told.entry(slope.abs(), gamma * doubts[p]);
            told.norm = told.norm.max(slope.abs() - gamma * doubts[p]);
            let own: Vec<f64> = (0..p).map(|j| slopes[j] + self.l2 * b[j]).collect();
            let penalties = |j: usize| self.l1 + self.l2 * b[j].abs() + self.nearby(&moments, j) * b[j].abs();
            let doubts: Vec<f64> = (0..p).map(|j| gamma * (doubts[j] + penalties(j))).collect();
            self.far(&own, &doubts, b, &moments).for_each(|(_, far, doubt)| told.entry(far, doubt));
            let centred: Vec<f64> = (0..p).map(|j| own[j] - moments[j].0 * slope).collect();
            for (j, far, doubt) in self.far(&centred, &doubts, b, &moments) {
                let (mean, square) = moments[j];
                let variance = square - mean * mean;
                // Of nearly constant columns the deviation is rounding.
                if variance > 1e-9 * square {
                    told.norm = told.norm.max((far - 2.0 * doubt) / variance.sqrt());
                }
            }
        }
        (told.objective, told.doubt) = (self.factor * value, self.factor * gamma * doubt);
        (told.least, told.most) = (self.factor * told.least, self.factor * told.most);
        told
    }

    /// Means, 0 without intercept, and mean squares of the columns.
    fn moments(&self, data: &Data, shares: &[f64]) -> Vec<(f64, f64)> {
        let of = |j: usize| {
            let column = || data.x.iter().skip(j).step_by(data.cols).zip(shares);
            let mean: f64 = column().map(|(x, s)| s * x).sum();
            (mean, column().map(|(x, s)| s * x * x).sum())
        };
        (0..data.cols).map(of).collect()
    }

    /// One over the length of a proximal step, of columns about zero: what is above it is rounding of the variance.
    fn nearby(&self, moments: &[(f64, f64)], j: usize) -> f64 {
        if let Ask::Nearby(steepest) = self.ask { steepest * moments[j].1 } else { 0.0 }
    }

    fn of_groups(&self, b: &[f64]) -> f64 {
        let Ask::Groups(groups) = &self.ask else { return 0.0 };
        let of = |(group, weight): &(Vec<usize>, f64)| {
            weight * group.iter().map(|&j| b[j] * b[j]).sum::<f64>().sqrt()
        };
        groups.iter().map(of).sum()
    }

    /// Of each column what is asked, and its rounding.
    fn far(
        &self,
        slopes: &[f64],
        doubts: &[f64],
        b: &[f64],
        moments: &[(f64, f64)],
    ) -> impl Iterator<Item = (usize, f64, f64)> {
        let corner = |j: usize| {
            if b[j] == 0.0 {
                (slopes[j].abs() - self.l1).max(0.0)
            } else {
                (slopes[j] + self.l1 * b[j].signum()).abs()
            }
        };
        let each =
            |far: &dyn Fn(usize) -> f64| (0..b.len()).map(|j| (j, far(j), doubts[j])).collect::<Vec<_>>();
        match &self.ask {
            Ask::Corners => each(&corner),
            Ask::Nearby(steepest) => each(&|j| {
                let (mean, square) = moments[j];
                let step = 1.0 / (steepest * (square - mean * mean));
                if b[j] == 0.0 || self.l1 == 0.0 {
                    return corner(j);
                }
                let moved = b[j] - step * slopes[j];
                (b[j] - moved.signum() * (moved.abs() - step * self.l1).max(0.0)).abs() / step
            }),
            Ask::Between(lower, upper) => each(&|j| {
                let held = slopes[j] > 0.0 && b[j] <= *lower || slopes[j] < 0.0 && b[j] >= *upper;
                if held { 0.0 } else { slopes[j].abs() }
            }),
            Ask::Groups(groups) => {
                let mut all = Vec::new();
                for (group, weight) in groups {
                    let length =
                        |of: &dyn Fn(usize) -> f64| group.iter().map(|&j| of(j).powi(2)).sum::<f64>().sqrt();
                    let longest = length(&|j| b[j]);
                    let beyond = |j: usize| (slopes[j].abs() - self.l1).max(0.0) * slopes[j].signum();
                    if longest > 0.0 {
                        let of = |j: usize| match b[j] {
                            0.0 => beyond(j).abs(),
                            b => (slopes[j] + self.l1 * b.signum() + weight * b / longest).abs(),
                        };
                        all.extend(group.iter().map(|&j| (j, of(j), doubts[j] + 1e-14 * weight)));
                    } else {
                        // What is outside of a ball moves no further than what is told from it.
                        let (whole, doubt) = (length(&beyond), length(&|j| doubts[j]));
                        let left = (1.0 - weight / whole).max(0.0);
                        let of = |j: usize| if whole > *weight { left * beyond(j).abs() } else { 0.0 };
                        all.extend(group.iter().map(|&j| (j, of(j), doubt + 1e-14 * weight)));
                    }
                }
                all
            }
        }
        .into_iter()
    }
}
