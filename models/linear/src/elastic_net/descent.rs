//! Cyclic coordinate descent on a few columns (Friedman, Hastie, Tibshirani, "Regularization paths for generalized linear
//! models via coordinate descent", 2010), in two ways.
//!
//! [`by_products`] holds the products of the columns and keeps X^T r up to date: a coefficient that stays costs nothing, one
//! that moves a row of products. Where a batch of sweeps has not arrived, the coefficients that are not zero are solved for
//! at once, their signs as they are: Newton's step on that face (Lee, Battle, Raina, Ng, "Efficient sparse coding
//! algorithms", 2007), taken where it lowers the objective. Sweeps find the face, the step ends what would otherwise
//! creep where columns depend on each other.
//!
//! [`by_residual`] reads the columns themselves, for sets of more columns than rows, and extrapolates from its last sweeps
//! where that lowers the objective (Bertrand, Massias, "Anderson acceleration of coordinate descent", 2021).

use super::design::{Columns, Design};
use super::penalty::{Certificate, Penalty};
use crate::cholesky::Cholesky;
use crate::optimality::change_of_quadratic;
use tilewise_base::Result;
use tilewise_kernels::{axpy, dot};

/// Sweeps between two looks at the gap.
const SWEEPS: usize = 10;

/// Looks at the gap before the columns that are not in the set get another chance.
const LOOKS: usize = 50;

/// Sweeps that are extrapolated from.
const REMEMBERED: usize = 5;

/// Smallest pivot with which a face is solved: a step that is all rounding would be refused anyway.
const SINGULAR_BELOW: f64 = 1e-12;

/// Largest number of coefficients that are solved for at once: a third of a billion multiply-adds.
const FACE: usize = 1024;

/// The problem on a set of columns: products of each two, and of each with the target.
struct Face<'a> {
    gram: &'a [f64],
    cross: &'a [f64],
    target_square: f64,
    penalty: Penalty,
}

impl Face<'_> {
    fn row(&self, j: usize) -> &[f64] {
        &self.gram[j * self.cross.len()..(j + 1) * self.cross.len()]
    }

    /// X^T r at `b`.
    fn correlations(&self, b: &[f64]) -> Result<Vec<f64>> {
        let mut out = self.cross.to_vec();
        for (j, b) in b.iter().enumerate().filter(|(_, b)| **b != 0.0) {
            axpy(-b, self.row(j), &mut out)?;
        }
        Ok(out)
    }

    fn certificate(&self, b: &[f64], correlations: &[f64]) -> Result<Certificate> {
        let explained = dot(b, self.cross)?;
        let square = (self.target_square - explained - dot(b, correlations)?).max(0.0);
        Ok(self.penalty.certificate(b, correlations, square, self.target_square - explained))
    }

    /// By how much the penalised objective changes.
    fn change(&self, from: &[f64], at: &[f64], to: &[f64]) -> Result<f64> {
        let Penalty { l1, l2, .. } = self.penalty;
        let of_penalty = |b: &[f64]| b.iter().map(|b| l1 * b.abs() + 0.5 * l2 * b * b).sum::<f64>();
        let of_squares = change_of_quadratic(|j| self.row(j), from, at, to)?;
        Ok(of_squares + (of_penalty(to) - of_penalty(from)))
    }

    /// One pass over all coefficients, `g` being X^T r. Whether one became or ceased to be zero.
    fn sweep(&self, b: &mut [f64], g: &mut [f64]) -> Result<bool> {
        let (k, mut changed) = (b.len(), false);
        for j in 0..k {
            let curvature = self.gram[j * (k + 1)];
            if curvature == 0.0 {
                continue;
            }
            let before = b[j];
            let after = self.penalty.minimum(g[j] + curvature * before, curvature);
            if after != before {
                b[j] = after;
                changed |= before * after <= 0.0;
                axpy(before - after, self.row(j), g)?;
            }
        }
        Ok(changed)
    }

    /// Newton's step on the coefficients that are not zero. Where signs would change it first tries zeros for those, then
    /// goes as far as the first of them. Whether `b` and `g` moved.
    fn newton(&self, b: &mut Vec<f64>, g: &mut Vec<f64>) -> Result<bool> {
        let face: Vec<usize> = (0..b.len()).filter(|&j| b[j] != 0.0).collect();
        if face.is_empty() || face.len() > FACE {
            return Ok(false);
        }
        let Penalty { l1, l2, .. } = self.penalty;
        let mut matrix = Vec::with_capacity(face.len() * face.len());
        for (place, &j) in face.iter().enumerate() {
            let row = self.row(j);
            matrix.extend(face.iter().map(|&k| row[k]));
            matrix[place * (face.len() + 1)] += l2;
        }
        let Some(factor) = Cholesky::new(&matrix, face.len(), SINGULAR_BELOW)? else { return Ok(false) };
        let mut step: Vec<f64> = face.iter().map(|&j| g[j] - l2 * b[j] - l1.copysign(b[j])).collect();
        factor.solve(&mut step);
        if step.iter().any(|d| !d.is_finite()) {
            return Ok(false);
        }
        let flips = |j: usize, d: f64| b[j] * (b[j] + d) <= 0.0;
        let reach = |j: usize, d: f64| if flips(j, d) { -b[j] / d } else { 1.0 };
        let first = face.iter().zip(&step).map(|(&j, &d)| reach(j, d)).fold(1.0f64, f64::min);
        let mut clipped = b.clone();
        let mut short = b.clone();
        for (&j, &d) in face.iter().zip(&step) {
            clipped[j] = if flips(j, d) { 0.0 } else { b[j] + d };
            short[j] = if reach(j, d) <= first && first < 1.0 { 0.0 } else { b[j] + first * d };
        }
        for candidate in [clipped, short] {
            if self.change(b, g, &candidate)? < 0.0 {
                *b = candidate;
                *g = self.correlations(b)?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Lowers the objective on `set` until its gap there is at most `enough`, from the coefficients `b` of the set. Sweeps done.
pub(super) fn by_products(
    design: &dyn Design,
    set: &[usize],
    penalty: Penalty,
    b: &mut Vec<f64>,
    enough: f64,
) -> Result<usize> {
    let cross: Vec<f64> = set.iter().map(|&j| design.cross()[j]).collect();
    let face =
        Face { gram: &design.gram(set)?, cross: &cross, target_square: design.target_square(), penalty };
    let mut g = face.correlations(b)?;
    let mut sweeps = 0;
    for look in 1..=LOOKS {
        let mut settled = true;
        for _ in 0..SWEEPS {
            settled = !face.sweep(b, &mut g)?;
            sweeps += 1;
        }
        if face.certificate(b, &g)?.gap <= enough {
            break;
        }
        if (settled || look.is_power_of_two())
            && face.newton(b, &mut g)?
            && face.certificate(b, &g)?.gap <= enough
        {
            break;
        }
    }
    Ok(sweeps)
}

/// As [`by_products`], on the columns themselves.
pub(super) fn by_residual(
    columns: &Columns,
    set: &[usize],
    penalty: Penalty,
    b: &mut Vec<f64>,
    enough: f64,
) -> Result<usize> {
    let at = |b: &[f64]| columns.residual(set.iter().copied().zip(b.iter().copied()));
    let mut r = at(b)?;
    let objective = |b: &[f64], r: &[f64]| -> Result<f64> {
        let of_penalty: f64 = b.iter().map(|b| penalty.l1 * b.abs() + 0.5 * penalty.l2 * b * b).sum();
        Ok(0.5 * dot(r, r)? + of_penalty)
    };
    let mut trail = vec![b.clone()];
    let mut sweeps = 0;
    for _ in 0..LOOKS * SWEEPS / REMEMBERED {
        for _ in 0..REMEMBERED {
            for (b, &j) in b.iter_mut().zip(set) {
                let (column, curvature) = (columns.column(j), columns.squares()[j]);
                if curvature == 0.0 {
                    continue;
                }
                let before = *b;
                *b = penalty.minimum(dot(column, &r)? + curvature * before, curvature);
                if *b != before {
                    axpy(before - *b, column, &mut r)?;
                }
            }
            trail.push(b.clone());
            sweeps += 1;
        }
        if let Some(mut candidate) = extrapolated(&trail)? {
            if penalty.positive {
                candidate.iter_mut().for_each(|b| *b = b.max(0.0));
            }
            let residual = at(&candidate)?;
            if objective(&candidate, &residual)? < objective(b, &r)? {
                (*b, r) = (candidate, residual);
            }
        }
        trail = vec![b.clone()];
        let correlations = set.iter().map(|&j| dot(columns.column(j), &r)).collect::<Result<Vec<_>, _>>()?;
        let (square, target) = (dot(&r, &r)?, dot(&r, &columns.target)?);
        if penalty.certificate(b, &correlations, square, target).gap <= enough {
            break;
        }
    }
    Ok(sweeps)
}

/// The combination of the iterates, with factors that sum to 1, whose steps nearly cancel.
fn extrapolated(trail: &[Vec<f64>]) -> Result<Option<Vec<f64>>> {
    let steps: Vec<Vec<f64>> = trail
        .windows(2)
        .map(|w| w[1].iter().zip(&w[0]).map(|(after, before)| after - before).collect())
        .collect();
    let k = steps.len();
    let mut products = vec![0.0; k * k];
    for (i, a) in steps.iter().enumerate() {
        for (j, b) in steps.iter().enumerate() {
            products[i * k + j] = dot(a, b)?;
        }
    }
    let Some(factor) = Cholesky::new(&products, k, SINGULAR_BELOW)? else { return Ok(None) };
    let mut shares = vec![1.0; k];
    factor.solve(&mut shares);
    let total: f64 = shares.iter().sum();
    if !(total.is_finite() && total != 0.0) {
        return Ok(None);
    }
    let mut out = vec![0.0; trail[0].len()];
    for (share, iterate) in shares.iter().zip(&trail[1..]) {
        axpy(share / total, iterate, &mut out)?;
    }
    Ok(out.iter().all(|b| b.is_finite()).then_some(out))
}
