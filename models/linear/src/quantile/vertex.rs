//! From a point near the optimum to the optimum: the plane through the lines that it meets, and the dual numbers that prove it.
//!
//! A linear programme has its optimum at a vertex, where as many lines are met as there are coefficients. Near it these are the lines of
//! largest curvature; what the others cost then does not change any more, and both sides are the solution of equations.

use super::lines::{Line, Lines, Sums};
use crate::Element;
use tilewise_base::Result;

/// The largest number of coefficients for which it is tried: it takes their number cubed.
const LARGEST: usize = 1024;

/// Lines are looked at until there are as many as coefficients, and so many times more where some depend on others.
const LOOKED_AT: usize = 4;

/// What a line has left of its size where it depends on others.
const DEPENDENT: f64 = 1e-8;

/// How far a dual number may be out of its bounds, as a share of them: it is put back, and what that changes is in the gap, or of a
/// penalty's, whose coefficient is 0 here, beside it.
const OUTSIDE: f64 = 1e-6;

/// How near a line is that counts as met beside those that make the vertex: its dual number stays where it was.
const MET: f64 = 1e-10;

/// Moves `lines` to the vertex nearby if that is no worse than a gap of `gap`, or of `exact`; the gap then.
pub(super) fn finish<T: Element>(lines: &mut Lines<'_, T>, gap: f64, exact: f64) -> Result<f64> {
    let before = (lines.all.clone(), lines.b.clone(), lines.value());
    let found = move_there(lines)?;
    match (found, before.2, lines.value()) {
        (Some(found), Some(was), Some(is)) if found <= gap.max(exact) && is <= was * (1.0 + 1e-12) => {
            Ok(found)
        }
        _ => {
            (lines.all, lines.b) = (before.0, before.1);
            Ok(gap)
        }
    }
}

fn move_there<T: Element>(lines: &mut Lines<'_, T>) -> Result<Option<f64>> {
    let (n, p) = (lines.rows(), lines.features());
    let order = if lines.intercept { p + 1 } else { p };
    if order > LARGEST {
        return Ok(None);
    }
    let Some(basis) = basis(lines, order) else { return Ok(None) };
    let mut matrix = Vec::with_capacity(order * order);
    basis.iter().for_each(|&i| matrix.extend_from_slice(&lines.line(i)[..order]));
    let Some(factor) = Factor::new(matrix, order) else { return Ok(None) };
    let y: Vec<f64> = basis.iter().map(|&i| lines.all[i].y).collect();
    let mut b = factor.solve(&y);
    // Penalties that are met.
    basis.iter().filter(|&&i| i >= n).for_each(|&i| b[i - n] = 0.0);
    b.resize(p + 1, 0.0);
    let z = lines.times(&b)?;
    lines.b = b;
    for (line, z) in lines.all.iter_mut().zip(z) {
        line.z = z;
        let r = line.y - z;
        if r.abs() > MET {
            (line.to_upper, line.to_lower) =
                if r > 0.0 { (0.0, line.upper + line.lower) } else { (line.upper + line.lower, 0.0) };
        }
    }
    for &i in &basis {
        let line = &mut lines.all[i];
        line.z = line.y;
        (line.to_upper, line.to_lower) = (line.upper, line.lower);
    }
    let mut duals: Vec<f64> = lines.all.iter().map(Line::dual).collect();
    let Sums { first, .. } = lines.sums(None, &duals, &duals)?;
    let wanted: Vec<f64> = first[..order].iter().map(|s| -s).collect();
    let (value, mut unseen) = (lines.value().unwrap_or(f64::INFINITY), 0.0);
    for (&i, dual) in basis.iter().zip(factor.solve_transposed(&wanted)) {
        let line = &mut lines.all[i];
        let width = line.upper + line.lower;
        if dual > line.upper + OUTSIDE * width || dual < -line.lower - OUTSIDE * width {
            return Ok(None);
        }
        let (wanted, dual) = (dual, dual.clamp(-line.lower, line.upper));
        if i >= n {
            // Of no plane that is better is this penalty larger than the value here.
            unseen += (wanted - dual).abs() * value / line.upper;
        }
        (line.to_upper, line.to_lower) = (line.upper - dual, line.lower + dual);
        duals[i] = dual;
    }
    let Sums { first: left, .. } = lines.sums(None, &duals, &duals)?;
    let (bound, doubt) = lines.bound(&left);
    Ok(lines.value().map(|value| (value - bound).max(0.0) + doubt + unseen))
}

/// As many lines as there are coefficients, those of largest curvature that do not depend on each other.
fn basis<T: Element>(lines: &Lines<'_, T>, order: usize) -> Option<Vec<usize>> {
    // With the curvature of where the solver ended; a line that is nothing to it has none.
    let key = |line: &Line| {
        let size = line.upper + line.lower;
        1.0 / ((line.above / line.to_upper + line.below / line.to_lower) * size)
    };
    let mut near: Vec<(usize, f64)> =
        (0..lines.all.len()).filter(|&i| lines.all[i].counts()).map(|i| (i, key(&lines.all[i]))).collect();
    let most = (LOOKED_AT * order).min(near.len());
    let falling = |a: &(usize, f64), b: &(usize, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if most < near.len() {
        near.select_nth_unstable_by(most, falling);
        near.truncate(most);
    }
    near.sort_by(falling);
    // Rows with what the pivots before them have taken off.
    let (mut chosen, mut reduced): (Vec<usize>, Vec<(Vec<f64>, usize)>) = (Vec::new(), Vec::new());
    for (i, _) in near {
        let mut row = lines.line(i);
        row.truncate(order);
        let size = row.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        for (pivot, at) in &reduced {
            let factor = row[*at] / pivot[*at];
            if factor != 0.0 {
                row.iter_mut().zip(pivot).for_each(|(x, p)| *x -= factor * p);
                row[*at] = 0.0;
            }
        }
        let at = (0..order).max_by(|&a, &b| row[a].abs().total_cmp(&row[b].abs()))?;
        if row[at].abs() > DEPENDENT * size {
            reduced.push((row, at));
            chosen.push(i);
            if chosen.len() == order {
                return Some(chosen);
            }
        }
    }
    None
}

/// A square matrix and its factors L U with rows exchanged.
struct Factor {
    matrix: Vec<f64>,
    factors: Vec<f64>,
    places: Vec<usize>,
    order: usize,
}

impl Factor {
    /// `None` when it is singular.
    fn new(matrix: Vec<f64>, order: usize) -> Option<Self> {
        let (mut a, mut places) = (matrix.clone(), (0..order).collect::<Vec<usize>>());
        for k in 0..order {
            let pivot =
                (k..order).max_by(|&i, &j| a[i * order + k].abs().total_cmp(&a[j * order + k].abs()))?;
            if a[pivot * order + k] == 0.0 || !a[pivot * order + k].is_finite() {
                return None;
            }
            if pivot != k {
                places.swap(k, pivot);
                let (above, below) = a.split_at_mut(pivot * order);
                above[k * order..(k + 1) * order].swap_with_slice(&mut below[..order]);
            }
            let (above, below) = a.split_at_mut((k + 1) * order);
            let row = &above[k * order..];
            for other in below.chunks_exact_mut(order) {
                let factor = other[k] / row[k];
                other[k] = factor;
                if factor != 0.0 {
                    other[k + 1..].iter_mut().zip(&row[k + 1..]).for_each(|(x, u)| *x -= factor * u);
                }
            }
        }
        Some(Self { matrix, factors: a, places, order })
    }

    /// x of A x = y, corrected once.
    fn solve(&self, y: &[f64]) -> Vec<f64> {
        let mut x = self.substitute(y);
        let product = |row: &[f64], x: &[f64]| row.iter().zip(x).map(|(a, x)| a * x).sum::<f64>();
        let left: Vec<f64> =
            self.matrix.chunks_exact(self.order).zip(y).map(|(row, y)| y - product(row, &x)).collect();
        x.iter_mut().zip(self.substitute(&left)).for_each(|(x, d)| *x += d);
        x
    }

    fn substitute(&self, y: &[f64]) -> Vec<f64> {
        let n = self.order;
        let mut x: Vec<f64> = self.places.iter().map(|&i| y[i]).collect();
        for i in 0..n {
            let sum: f64 = (0..i).map(|j| self.factors[i * n + j] * x[j]).sum();
            x[i] -= sum;
        }
        for i in (0..n).rev() {
            let sum: f64 = (i + 1..n).map(|j| self.factors[i * n + j] * x[j]).sum();
            x[i] = (x[i] - sum) / self.factors[i * n + i];
        }
        x
    }

    /// x of A^T x = y, corrected once.
    fn solve_transposed(&self, y: &[f64]) -> Vec<f64> {
        let mut x = self.substitute_transposed(y);
        let mut left = y.to_vec();
        for (row, x) in self.matrix.chunks_exact(self.order).zip(&x) {
            left.iter_mut().zip(row).for_each(|(left, a)| *left -= a * x);
        }
        x.iter_mut().zip(self.substitute_transposed(&left)).for_each(|(x, d)| *x += d);
        x
    }

    fn substitute_transposed(&self, y: &[f64]) -> Vec<f64> {
        let n = self.order;
        let mut x = y.to_vec();
        for i in 0..n {
            x[i] /= self.factors[i * n + i];
            let known = x[i];
            (i + 1..n).for_each(|j| x[j] -= self.factors[i * n + j] * known);
        }
        for i in (0..n).rev() {
            let known = x[i];
            (0..i).for_each(|j| x[j] -= self.factors[i * n + j] * known);
        }
        let mut out = vec![0.0; n];
        self.places.iter().zip(x).for_each(|(&place, x)| out[place] = x);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_solve_both_ways() {
        let a = vec![0.0, 2.0, 1.0, 4.0, -1.0, 3.0, 2.0, 2.0, -5.0];
        let factor = Factor::new(a.clone(), 3).unwrap();
        let x = [1.0, -2.0, 0.5];
        let of = |row: usize, col: usize| a[row * 3 + col];
        let y: Vec<f64> = (0..3).map(|i| (0..3).map(|j| of(i, j) * x[j]).sum()).collect();
        let t: Vec<f64> = (0..3).map(|i| (0..3).map(|j| of(j, i) * x[j]).sum()).collect();
        for (a, b) in factor.solve(&y).iter().chain(&factor.solve_transposed(&t)).zip(x.iter().chain(&x)) {
            assert!((a - b).abs() < 1e-14, "{a} {b}");
        }
        assert!(Factor::new(vec![1.0, 2.0, 2.0, 4.0], 2).is_none());
    }
}
