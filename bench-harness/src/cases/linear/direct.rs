//! Least squares and Newton's logistic regression written as one would without rounds: passes over the rows that call
//! each other's results, with the kernels, leaves, factorisation, checks of the data and report of the model crate. What
//! rounds cost is the difference, and what weights and offsets that might be there cost.

use tilewise_kernels::parallel::map_reduce;
use tilewise_kernels::{MatMut, MatRef, ShapeError, axpy, centred_sums, dot, exp, gemm, gemv, gram, sum};

type Rows = std::ops::Range<usize>;
type Sums<T> = Result<T, ShapeError>;

/// Bytes of rows in cache, blocks in a leaf and, where leaves make a matrix, rows per column: as in the model crate.
const BLOCK_BYTES: usize = 256 * 1024;
const LEAF_BLOCKS: usize = 4;
const LEAF_COLUMNS: usize = 2;

/// As the default of logistic regression.
const TOLERANCE: f64 = 1e-8;
/// Factors 1 + e that share a logarithm, as in the model crate.
const PRODUCT: usize = 512;
/// Columns of a panel of the Cholesky factorisation, as in the model crate.
const PANEL: usize = 64;
/// Far more rounds than Newton's method takes.
const NEWTON_ROUNDS: usize = 50;

/// What a fit gives.
#[derive(Default)]
pub(super) struct Fitted {
    /// Coefficients and intercept.
    pub(super) weights: Vec<f64>,
    /// Objective per row.
    pub(super) objective: f64,
    /// Largest entry of its gradient.
    pub(super) optimality: f64,
}

/// Means and centred sums of some rows.
struct Moments {
    weight: f64,
    mean: Vec<f64>,
    target_mean: f64,
    gram: Vec<f64>,
    cross: Vec<f64>,
    target_square: f64,
}

/// `None` when a number is not finite.
pub(super) fn least_squares(x: MatRef<'_, f64>, y: &[f64]) -> Sums<Option<Fitted>> {
    let p = x.cols();
    if y.iter().any(|y| !y.is_finite()) {
        return Ok(None);
    }
    let leaf = |rows: Rows| -> Sums<Moments> {
        let (x, y) = (x.row_range(rows.clone()), &y[rows]);
        let weight = x.rows() as f64;
        let ones = vec![1.0; x.rows()];
        let mut mean = means(x, &ones)?;
        let mut target_mean = sum(y) / weight;
        let mut deviations: Vec<f64> = y.iter().map(|y| y - target_mean).collect();
        target_mean += sum(&deviations) / weight;
        deviations.iter_mut().zip(y).for_each(|(d, y)| *d = y - target_mean);
        let target_square = dot(&deviations, &deviations)?;
        let (mut square, mut cross, mut lost) = (vec![0.0; p * p], vec![0.0; p], vec![0.0; p]);
        centred_sums(x, &mean, [&ones, &deviations], [&mut lost, &mut cross])?;
        gram(x, None, Some(&mean), MatMut::new(&mut square, p, p)?)?;
        for (row, sum) in square.chunks_exact_mut(p).zip(&lost) {
            axpy(-sum / weight, &lost, row)?;
        }
        axpy(1.0 / weight, &lost, &mut mean)?;
        Ok(Moments { weight, mean, target_mean, gram: square, cross, target_square })
    };
    let merge = |a: Sums<Moments>, b: Sums<Moments>| -> Sums<Moments> {
        let (mut a, b) = (a?, b?);
        let share = b.weight / (a.weight + b.weight);
        let delta: Vec<f64> = b.mean.iter().zip(&a.mean).map(|(b, a)| b - a).collect();
        let target_delta = b.target_mean - a.target_mean;
        for ((to, from), d) in a.gram.chunks_exact_mut(p).zip(b.gram.chunks_exact(p)).zip(&delta) {
            let factor = a.weight * share * d;
            to.iter_mut().zip(from).zip(&delta).for_each(|((a, b), d)| *a += b + factor * d);
        }
        axpy(1.0, &b.cross, &mut a.cross)?;
        axpy(a.weight * share * target_delta, &delta, &mut a.cross)?;
        axpy(share, &delta, &mut a.mean)?;
        a.target_square += b.target_square + a.weight * share * target_delta * target_delta;
        a.target_mean += target_delta * share;
        a.weight += b.weight;
        Ok(a)
    };
    let Some(moments) = map_reduce(x.rows(), leaf_rows(p, LEAF_COLUMNS * p), leaf, merge) else {
        return Ok(None);
    };
    let Moments { weight, mean, target_mean, gram, cross, target_square } = moments?;
    if mean.iter().chain(&gram).any(|m| !m.is_finite()) {
        return Ok(None);
    }
    let (mut factor, mut weights) = (gram.clone(), cross.clone());
    solve(&mut factor, &mut weights)?;
    let mut gradient = vec![0.0; p];
    for ((g, row), c) in gradient.iter_mut().zip(gram.chunks_exact(p)).zip(&cross) {
        *g = dot(row, &weights)? - c;
    }
    let square = target_square - dot(&cross, &weights)? + dot(&gradient, &weights)?;
    let objective = square.max(0.0) / weight;
    let optimality = largest(&gradient) * 2.0 / weight;
    weights.push(target_mean - dot(&mean, &weights)?);
    Ok(weights.iter().all(|w| w.is_finite()).then_some(Fitted { weights, objective, optimality }))
}

/// Loss, gradient and Hessian of some rows, in features less their means.
struct Sweep {
    loss: f64,
    gradient: Vec<f64>,
    hessian: Vec<f64>,
}

/// With the penalty |b|^2 / 2; `None` when a number is not finite or a label is not 0 or 1.
pub(super) fn logistic(x: MatRef<'_, f64>, labels: &[u32]) -> Sums<Option<Fitted>> {
    let (n, p) = (x.rows(), x.cols());
    let order = p + 1;
    let mut rows_of_class = [0.0; 2];
    for &label in labels {
        let Some(rows) = rows_of_class.get_mut(label as usize) else { return Ok(None) };
        *rows += 1.0;
    }
    // One pass for means and deviations.
    let sums = |rows: Rows| -> Sums<(f64, Vec<f64>, Vec<f64>)> {
        let x = x.row_range(rows);
        let mean = means(x, &vec![1.0; x.rows()])?;
        let mut squares = vec![0.0; p];
        for i in 0..x.rows() {
            let row = x.row(i).unwrap_or(&[]);
            for ((square, x), m) in squares.iter_mut().zip(row).zip(&mean) {
                *square += (x - m) * (x - m);
            }
        }
        Ok((x.rows() as f64, mean, squares))
    };
    type Spread = Sums<(f64, Vec<f64>, Vec<f64>)>;
    let together = |a: Spread, b: Spread| -> Spread {
        let ((a, mut mean, mut squares), (b, other, more)) = (a?, b?);
        for j in 0..p {
            let delta = other[j] - mean[j];
            mean[j] += delta * b / (a + b);
            squares[j] += more[j] + delta * delta * a * b / (a + b);
        }
        Ok((a + b, mean, squares))
    };
    let Some(spread) = map_reduce(n, leaf_rows(p, 1), sums, together) else { return Ok(None) };
    let (_, centre, mut deviation) = spread?;
    if rows_of_class.contains(&0.0) || centre.iter().chain(&deviation).any(|m| !m.is_finite()) {
        return Ok(None);
    }
    deviation.iter_mut().for_each(|d| *d = if *d > 0.0 { (*d / n as f64).sqrt() } else { 1.0 });
    // Then Newton's method from zero; the last entry is the intercept of centred features.
    let mut w = vec![0.0; order];
    let (mut objective, mut optimality) = (0.0, 0.0);
    for _ in 0..NEWTON_ROUNDS {
        let intercept = w[p] - dot(&centre, &w[..p])?;
        let leaf = |rows: Rows| sweep(x, labels, &centre, &w[..p], intercept, rows);
        let merge = |a: Sums<Sweep>, b: Sums<Sweep>| -> Sums<Sweep> {
            let (mut a, b) = (a?, b?);
            a.loss += b.loss;
            axpy(1.0, &b.gradient, &mut a.gradient)?;
            axpy(1.0, &b.hessian, &mut a.hessian)?;
            Ok(a)
        };
        let Some(sums) = map_reduce(n, leaf_rows(p, LEAF_COLUMNS * p), leaf, merge) else { break };
        let Sweep { loss, mut gradient, mut hessian } = sums?;
        let (slope, per_row) = (gradient[p], 1.0 / n as f64);
        let (mut value, mut norm) = (loss, slope.abs());
        optimality = slope.abs();
        for j in 0..p {
            value += 0.5 * w[j] * w[j];
            let raw = gradient[j] + w[j];
            gradient[j] = raw - centre[j] * slope;
            hessian[j * order + j] += 1.0;
            optimality = raw.abs().max(optimality);
            norm = (gradient[j] / deviation[j]).abs().max(norm);
        }
        (objective, optimality) = (value * per_row, optimality * per_row);
        if norm * per_row <= TOLERANCE || !loss.is_finite() {
            break;
        }
        solve(&mut hessian, &mut gradient)?;
        axpy(-1.0, &gradient, &mut w)?;
    }
    w[p] -= dot(&centre, &w[..p])?;
    Ok(w.iter().all(|w| w.is_finite()).then_some(Fitted { weights: w, objective, optimality }))
}

fn sweep(
    x: MatRef<'_, f64>,
    labels: &[u32],
    centre: &[f64],
    coefficients: &[f64],
    intercept: f64,
    rows: Rows,
) -> Sums<Sweep> {
    let (p, block) = (x.cols(), block_rows(x.cols()));
    let order = p + 1;
    let mut out = Sweep { loss: 0.0, gradient: vec![0.0; order], hessian: vec![0.0; order * order] };
    let mut curvature = Vec::with_capacity(rows.len());
    let (mut z, mut e, mut residual, mut side) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for start in rows.clone().step_by(block) {
        let range = start..(start + block).min(rows.end);
        let (x, labels) = (x.row_range(range.clone()), &labels[range]);
        z.clear();
        z.resize(x.rows(), intercept);
        gemv(1.0, x, coefficients, 1.0, &mut z)?;
        residual.clear();
        residual.extend(z.iter().map(|z| -z.abs()));
        e.resize(z.len(), 0.0);
        exp(&residual, &mut e)?;
        side.clear();
        side.extend(labels.iter().map(|&label| if label == 1 { 1.0 } else { -1.0 }));
        z.iter_mut().zip(&side).for_each(|(z, side)| *z *= side);
        for (r, ((&margin, &e), &side)) in residual.iter_mut().zip(z.iter().zip(&e).zip(&side)) {
            *r = -side * (if margin >= 0.0 { e } else { 1.0 } / (1.0 + e));
        }
        curvature.extend(e.iter().map(|e| e / ((1.0 + e) * (1.0 + e))));
        out.loss += in_lanes(&z, 0.0, |margin| (-margin).max(0.0), |a, b| a + b);
        for e in e.chunks(PRODUCT) {
            out.loss += in_lanes(e, 1.0, |e| 1.0 + e, |a, b| a * b).ln();
        }
        gemv(1.0, x.transpose(), &residual, 1.0, &mut out.gradient[..p])?;
        out.gradient[p] += sum(&residual);
    }
    let x = x.row_range(rows);
    let square = MatMut::with_strides(&mut out.hessian, 0, p, p, order as isize, 1)?;
    gram(x, Some(&curvature), Some(centre), square)?;
    let last = &mut out.hessian[p * order..];
    centred_sums(x, centre, [&curvature], [&mut last[..p]])?;
    last[p] = sum(&curvature);
    Ok(out)
}

/// Eight folds side by side, of which compilers make vectors.
fn in_lanes(v: &[f64], identity: f64, map: impl Fn(f64) -> f64, join: impl Fn(f64, f64) -> f64) -> f64 {
    let mut lanes = [identity; 8];
    let eights = v.chunks_exact(lanes.len());
    let rest = eights.remainder().iter().fold(identity, |rest, &v| join(rest, map(v)));
    for eight in eights {
        lanes.iter_mut().zip(eight).for_each(|(lane, &v)| *lane = join(*lane, map(v)));
    }
    join(lanes.into_iter().fold(identity, &join), rest)
}

fn block_rows(features: usize) -> usize {
    (BLOCK_BYTES / (8 * features) / 4 * 4).max(4)
}

fn leaf_rows(features: usize, least: usize) -> usize {
    (LEAF_BLOCKS * block_rows(features)).max(least)
}

/// About the first row, so that a constant column has its value as mean.
fn means(x: MatRef<'_, f64>, ones: &[f64]) -> Sums<Vec<f64>> {
    let first = x.row(0).unwrap_or(&[]);
    let (mut mean, mut sums) = (first.to_vec(), vec![0.0; x.cols()]);
    centred_sums(x, first, [ones], [&mut sums])?;
    axpy(1.0 / x.rows() as f64, &sums, &mut mean)?;
    Ok(mean)
}

fn largest(gradient: &[f64]) -> f64 {
    gradient.iter().fold(0.0, |m, g| g.abs().max(m))
}

/// Solves A x = b in place by Cholesky factorisation of the lower triangle, panel by panel.
fn solve(a: &mut [f64], b: &mut [f64]) -> Sums<()> {
    let n = b.len();
    for first in (0..n).step_by(PANEL) {
        let width = PANEL.min(n - first);
        // What the columns before explain of this panel.
        let mut panel = vec![0.0; (n - first) * width];
        {
            let rows = MatRef::new(a, n, n)?.row_range(first..n);
            let left = rows.col_range(0..first);
            for i in 0..n - first {
                for j in 0..width.min(i + 1) {
                    panel[i * width + j] = rows.get(i, first + j);
                }
            }
            if first > 0 {
                let top = left.row_range(0..width).transpose();
                gemm(-1.0, left, top, 1.0, MatMut::new(&mut panel, n - first, width)?)?;
            }
        }
        for i in 0..n - first {
            let (above, row) = panel.split_at_mut(i * width);
            for j in 0..width.min(i) {
                let pivot = &above[j * width..][..=j];
                row[j] = (row[j] - dot(&row[..j], &pivot[..j])?) / pivot[j];
            }
            if i < width {
                row[i] = (row[i] - dot(&row[..i], &row[..i])?).sqrt();
            }
            a[(first + i) * n + first..][..width].copy_from_slice(&row[..width]);
        }
    }
    for i in 0..n {
        b[i] = (b[i] - dot(&a[i * n..][..i], &b[..i])?) / a[i * n + i];
    }
    for i in (0..n).rev() {
        b[i] /= a[i * n + i];
        let (known, x) = b.split_at_mut(i);
        axpy(-x[0], &a[i * n..][..i], known)?;
    }
    Ok(())
}
