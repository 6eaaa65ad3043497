//! Least squares whose coefficients lie between bounds, on the products of the columns: b G b / 2 - c b is minimised.
//!
//! Method: cyclic coordinate descent, each coefficient to its minimum between the bounds, and as soon as sweeps leave the same ones at
//! their bounds, Newton's step for all others at once: the step is cut off at the bounds, or where that does not lower the objective ends
//! at the first of them (as in `elastic_net/descent.rs`; Bertsekas, "Projected Newton methods for optimization problems with simple
//! constraints", 1982). Sweeps alone would arrive, but slowly where columns depend on each other. Memory and time of a sweep go with
//! columns^2.

use super::{ColumnBounds, Factor, LeastSquares, LeastSquaresTrainer, REFINE_BELOW, SINGULAR_BELOW, Stage};
use crate::Element;
use crate::cholesky::Cholesky;
use crate::optimality::change_of_quadratic;
use tilewise_base::{Error, Result};
use tilewise_kernels::{axpy, dot};

/// Sweeps between two looks at what the minimum asks.
const SWEEPS: u64 = 10;

/// Looks without progress after which what is left is rounding, and looks at most.
const PATIENCE: u32 = 100;
const LOOKS: u64 = 1000;

/// What the minimum may still ask of a coefficient in units of its column's length, as a share of the lengths of the target and of the
/// largest summand of the prediction.
const ENOUGH: f64 = 1e-10;

/// Added to the diagonal, as a share of it, where columns between the bounds depend on each other: steps along what tells them apart stay
/// Newton's to this share.
const REGULAR: f64 = 1e-8;

/// What coefficients must lie between, a number for each.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bounds {
    lower: Vec<f64>,
    upper: Vec<f64>,
}

/// Where it ended.
pub(super) struct Solved {
    /// Which coefficients lie between the bounds.
    pub(super) free: Vec<bool>,
    /// What the minimum asks of a coefficient still at most, and what is small enough.
    pub(super) worst: f64,
    pub(super) enough: f64,
    pub(super) sweeps: u64,
}

impl Bounds {
    /// `None` where there is none.
    ///
    /// # Errors
    /// When one is not finite, nothing lies between two, a column is not there or has two of a kind.
    pub(super) fn new(params: &LeastSquares, columns: usize) -> Result<Option<Self>> {
        if !params.is_bounded() {
            return Ok(None);
        }
        let finite = |name: &str, bound: Option<f64>| match bound.filter(|b| !b.is_finite()) {
            Some(bound) => Err(Error::parameter(name, bound, "expected a finite number, or none")),
            None => Ok(bound),
        };
        let all = |name: &str, bound: Option<f64>, none: f64| {
            Ok::<_, Error>(vec![finite(name, bound)?.unwrap_or(none); columns])
        };
        let mut bounds = Self {
            lower: all("lower", params.lower, f64::NEG_INFINITY)?,
            upper: all("upper", params.upper, f64::INFINITY)?,
        };
        let mut named = vec![false; columns];
        for &ColumnBounds { column, lower, upper } in &params.columns {
            if column >= columns {
                let accepted = format!("expected the place of a column, from 0 to {}", columns - 1);
                return Err(Error::parameter("columns", column, accepted));
            }
            if std::mem::replace(&mut named[column], true) {
                return Err(Error::parameter("columns", column, "expected each column once"));
            }
            if let Some(lower) = finite("lower", lower)? {
                bounds.lower[column] = lower;
            }
            if let Some(upper) = finite("upper", upper)? {
                bounds.upper[column] = upper;
            }
        }
        let crossed = (0..columns).find(|&j| bounds.lower[j] > bounds.upper[j]);
        if let Some(j) = crossed {
            let accepted = match named[j] {
                true => {
                    format!("of column {j} expected a number that is not above upper, {}", bounds.upper[j])
                }
                false => format!("expected a number that is not above upper, {}", bounds.upper[j]),
            };
            return Err(Error::parameter("lower", bounds.lower[j], accepted));
        }
        Ok(Some(bounds))
    }

    pub(super) fn clamp(&self, j: usize, b: f64) -> f64 {
        b.clamp(self.lower[j], self.upper[j])
    }

    /// How far the slope of the objective at `b` is from what a minimum has: none where it pushes against a bound.
    pub(super) fn residual(&self, j: usize, slope: f64, b: f64) -> f64 {
        let held = slope > 0.0 && b <= self.lower[j] || slope < 0.0 && b >= self.upper[j];
        if held { 0.0 } else { slope.abs() }
    }

    fn is_between(&self, j: usize, b: f64) -> bool {
        self.lower[j] < b && b < self.upper[j]
    }

    /// The share of a step `d` from `b` after which it meets its bound.
    fn reach(&self, j: usize, b: f64, d: f64) -> f64 {
        let bound = if d > 0.0 { self.upper[j] } else { self.lower[j] };
        if d == 0.0 { f64::INFINITY } else { (bound - b) / d }
    }
}

struct Products {
    /// Symmetric; a column whose square is 0 is left where it is.
    gram: Vec<f64>,
    cross: Vec<f64>,
    bounds: Bounds,
}

impl Products {
    fn row(&self, j: usize) -> &[f64] {
        &self.gram[j * self.cross.len()..(j + 1) * self.cross.len()]
    }

    fn square(&self, j: usize) -> f64 {
        self.gram[j * (self.cross.len() + 1)]
    }

    /// c - G b.
    fn pulls(&self, b: &[f64]) -> Result<Vec<f64>> {
        let mut pulls = self.cross.clone();
        for (j, b) in b.iter().enumerate().filter(|(j, b)| **b != 0.0 && self.square(*j) > 0.0) {
            axpy(-b, self.row(j), &mut pulls)?;
        }
        Ok(pulls)
    }

    /// What the minimum still asks, and what is small enough.
    fn far(&self, b: &[f64], pulls: &[f64], target: f64) -> (f64, f64) {
        let (mut worst, mut longest) = (0.0f64, 0.0f64);
        for (j, (&b, pull)) in b.iter().zip(pulls).enumerate() {
            let length = self.square(j).sqrt();
            if length > 0.0 {
                worst = worst.max(self.bounds.residual(j, -pull, b) / length);
                longest = longest.max(length * b.abs());
            }
        }
        (worst, ENOUGH * (target + longest))
    }

    /// Each coefficient to its minimum. Whether one came to a bound or left it.
    fn sweep(&self, b: &mut [f64], pulls: &mut [f64]) -> Result<bool> {
        let mut changed = false;
        for j in 0..b.len() {
            let square = self.square(j);
            if square == 0.0 {
                continue;
            }
            let before = b[j];
            let after = self.bounds.clamp(j, before + pulls[j] / square);
            if after != before {
                b[j] = after;
                changed |= self.bounds.is_between(j, before) != self.bounds.is_between(j, after);
                axpy(before - after, self.row(j), pulls)?;
            }
        }
        Ok(changed)
    }

    /// Newton's step of the coefficients between the bounds, if it lowers the objective. Whether it ended at the first bound: those left
    /// then have a step of their own.
    fn newton(&self, b: &mut Vec<f64>, pulls: &[f64]) -> Result<bool> {
        let face: Vec<usize> =
            (0..b.len()).filter(|&j| self.square(j) > 0.0 && self.bounds.is_between(j, b[j])).collect();
        if face.is_empty() {
            return Ok(false);
        }
        let mut matrix = Vec::with_capacity(face.len() * face.len());
        face.iter().for_each(|&j| matrix.extend(face.iter().map(|&k| self.row(j)[k])));
        let mut factor = Cholesky::new(&matrix, face.len(), SINGULAR_BELOW)?;
        if factor.is_none() {
            (0..face.len()).for_each(|k| matrix[k * (face.len() + 1)] *= 1.0 + REGULAR);
            factor = Cholesky::new(&matrix, face.len(), SINGULAR_BELOW)?;
        }
        let Some(factor) = factor else { return Ok(false) };
        let mut step: Vec<f64> = face.iter().map(|&j| pulls[j]).collect();
        factor.solve(&mut step);
        if step.iter().any(|d| !d.is_finite()) {
            return Ok(false);
        }
        let reach = |j: usize, d: f64| self.bounds.reach(j, b[j], d);
        let first = face.iter().zip(&step).map(|(&j, &d)| reach(j, d)).fold(1.0, f64::min);
        let (mut cut, mut short) = (b.clone(), b.clone());
        for (&j, &d) in face.iter().zip(&step) {
            cut[j] = self.bounds.clamp(j, b[j] + d);
            // The one that arrives is at its bound to the last bit.
            let share = if reach(j, d) <= first { 2.0 * first } else { first };
            short[j] = self.bounds.clamp(j, b[j] + share * d);
        }
        if first >= 1.0 {
            short.clone_from(&cut);
        }
        for (candidate, ends_at_first) in [(cut, false), (short, first < 1.0)] {
            if change_of_quadratic(|j| self.row(j), b, pulls, &candidate)? < 0.0 {
                *b = candidate;
                return Ok(ends_at_first);
            }
        }
        Ok(false)
    }
}

/// The descent on its way.
pub(super) struct Descent {
    products: Products,
    /// The target's length.
    target: f64,
    b: Vec<f64>,
    pulls: Vec<f64>,
    /// What a minimum asked of a coefficient when that was last a tenth less, and looks since.
    mark: f64,
    idle: u32,
    looks: u64,
}

impl Descent {
    /// Of b G b / 2 - c b between the bounds, from what is nearest to 0; columns whose square is 0 stay there. `target` is the target's
    /// length.
    pub(super) fn new(gram: Vec<f64>, cross: Vec<f64>, target: f64, bounds: Bounds) -> Result<Self> {
        let b: Vec<f64> = (0..cross.len()).map(|j| bounds.clamp(j, 0.0)).collect();
        let products = Products { gram, cross, bounds };
        let pulls = products.pulls(&b)?;
        Ok(Self { products, target, b, pulls, mark: f64::INFINITY, idle: 0, looks: 0 })
    }

    /// Looks in some tenths of a second of sweeps and factors of so many columns, 1 at least.
    pub(super) fn looks_at_once(columns: usize) -> u64 {
        let p = columns as f64;
        ((1e9 / (2.0 * SWEEPS as f64 * p * p + p * p * p / 3.0)) as u64).max(1)
    }

    /// Goes on for so many looks at most: where it ended, once it has.
    pub(super) fn go_on(&mut self, looks: u64) -> Result<Option<Solved>> {
        let (products, b) = (&self.products, &mut self.b);
        for _ in 0..looks {
            let (worst, enough) = products.far(b, &self.pulls, self.target);
            (self.mark, self.idle) =
                if worst < 0.9 * self.mark { (worst, 0) } else { (self.mark, self.idle + 1) };
            if worst <= enough || self.idle >= PATIENCE || self.looks >= LOOKS || !worst.is_finite() {
                let free = (0..b.len()).map(|j| products.bounds.is_between(j, b[j])).collect();
                return Ok(Some(Solved { free, worst, enough, sweeps: self.looks * SWEEPS }));
            }
            self.looks += 1;
            let mut settled = true;
            for _ in 0..SWEEPS {
                settled = !products.sweep(b, &mut self.pulls)?;
            }
            let mut goes_on = settled || self.looks.is_power_of_two();
            loop {
                // Each that goes on has one coefficient less (Lawson, Hanson, "Solving least squares problems", 1974). With one step for
                // ten sweeps 8 of 186 ridge fits of 5 x 12, on scales 100 apart, stayed where they were.
                goes_on = goes_on && products.newton(b, &self.pulls)?;
                // Anew: what changes left of rounding would stay.
                self.pulls = products.pulls(b)?;
                if !goes_on {
                    break;
                }
            }
        }
        Ok(None)
    }

    pub(super) fn coefficients(&self) -> &[f64] {
        &self.b
    }

    /// G b - c, and c b.
    pub(super) fn slopes(&self) -> Result<(Vec<f64>, f64)> {
        let slope = |(row, c): (&[f64], &f64)| Ok(dot(row, &self.b)? - c);
        let Products { gram, cross, .. } = &self.products;
        let slopes = gram.chunks_exact(self.b.len()).zip(cross).map(slope).collect::<Result<_>>()?;
        Ok((slopes, dot(cross, &self.b)?))
    }

    /// The products of the columns.
    pub(super) fn into_gram(self) -> Vec<f64> {
        self.products.gram
    }
}

impl<T: Element> LeastSquaresTrainer<T> {
    /// Goes on with coordinate descent, to its end or as far as a round goes.
    pub(super) fn descend(&mut self, mut descent: Box<Descent>) -> Result<()> {
        let p = self.features;
        let solved = descent.go_on(self.looks)?;
        self.take(&descent)?;
        let Some(Solved { free, worst, enough, sweeps }) = solved else {
            self.stage = Stage::Descent(descent);
            return Ok(());
        };
        self.met = worst <= enough;
        if !self.met {
            self.report.warnings.push(format!(
                "did not converge: after {sweeps} sweeps the gradient of a coefficient, in units of its column's length, is {worst:.1e} and \
                 above the tolerance {enough:.1e}"
            ));
        }
        let mut gram = descent.into_gram();
        // Those at their bounds stay there.
        (0..p).filter(|&j| !free[j]).for_each(|j| gram[j * p + j] = 0.0);
        let factor = Cholesky::new(&gram, p, SINGULAR_BELOW)?;
        if factor.is_none() {
            self.report.warnings.push(
                "columns whose coefficients are between the bounds depend on each other, or nearly: other coefficients fit as well, or better by \
                 less than the rounding of products of columns"
                    .into(),
            );
        }
        let factor = factor.filter(|f| f.smallest_pivot < REFINE_BELOW);
        self.stage = Stage::Residual;
        self.factor = factor.map(|factor| Factor::Cholesky(factor, gram));
        Ok(())
    }

    /// Takes the coefficients, and tells of them what the products of columns do, until the true residual does.
    pub(super) fn take(&mut self, descent: &Descent) -> Result<()> {
        self.solution = descent.coefficients().to_vec();
        let (slopes, explained) = descent.slopes()?;
        let weight = self.moments.weight;
        let penalised = self.target_square - explained + dot(&slopes, &self.solution)?;
        self.report.objective = penalised.max(0.0) / weight;
        let far = slopes.iter().enumerate().map(|(j, slope)| self.far(j, *slope));
        self.report.optimality = far.fold(0.0, f64::max) * 2.0 / weight;
        Ok(())
    }

    /// What a minimum asks still of a coefficient where the objective has this slope.
    pub(super) fn far(&self, j: usize, slope: f64) -> f64 {
        self.bounds.as_ref().map_or(slope.abs(), |bounds| bounds.residual(j, slope, self.solution[j]))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Chunk, LeastSquares, Rows};
    use std::sync::atomic::{AtomicBool, Ordering};
    use tilewise_base::rounds::run;
    use tilewise_base::{Context, Progress};
    use tilewise_kernels::MatRef;
    use tilewise_kernels::random::Philox;

    /// Stops what it hears of after so many rounds.
    struct Impatient<'a>(u64, &'a AtomicBool);

    impl Progress for Impatient<'_> {
        fn round(&self, done: u64, _: u64, _: &str) {
            self.1.fetch_or(done >= self.0, Ordering::Relaxed);
        }
    }

    /// With a round for each look: it can be stopped there, and keeps what it has; rounds change no bit.
    #[test]
    fn descent_can_be_stopped_on_its_way() {
        let (n, p) = (12, 40);
        let random = Philox::new(1, 2);
        let scale = |j: usize| if j.is_multiple_of(2) { 1.0 } else { 100.0 };
        let x: Vec<f64> = (0..n * p).map(|at| scale(at % p) * random.normal(at as u64) + 5.0).collect();
        let y: Vec<f64> = x.chunks_exact(p).map(|row| row[..20].iter().sum::<f64>() - row[20]).collect();
        let chunk = Chunk { x: MatRef::new(&x, n, p).unwrap(), y: &y, rows: Rows::default(), first_row: 0 };
        let params = LeastSquares { l2: 0.1, lower: Some(0.0), ..LeastSquares::default() };
        let fit = |looks: u64, rounds: u64| {
            let cancel = AtomicBool::new(false);
            let progress = Impatient(rounds, &cancel);
            let context = Context { progress: &progress, cancel: &cancel, ..Context::default() };
            let mut trainer = params.trainer::<f64>(p, n).unwrap();
            trainer.looks = looks;
            run(&mut trainer, &chunk, &context).unwrap();
            trainer.finish().unwrap()
        };
        let (first, second, whole) = (fit(1, 1), fit(1, 2), fit(1, u64::MAX));
        for stopped in [&first, &second] {
            let report = &stopped.report;
            // What is told of the gradient is what loops find, also on the way.
            let b = &stopped.model.coefficients;
            let r: Vec<f64> = x
                .chunks_exact(p)
                .zip(&y)
                .map(|(row, y)| row.iter().zip(b).map(|(x, b)| x * b).sum::<f64>() - y)
                .map(|r| r + stopped.model.intercepts[0])
                .collect();
            let slope = |j: usize| (0..n).map(|i| r[i] * x[i * p + j]).sum::<f64>() + params.l2 * b[j];
            let far = |j: usize| if b[j] == 0.0 { (-slope(j)).max(0.0) } else { slope(j).abs() };
            let worst = (0..p).map(far).fold(0.0, f64::max) * 2.0 / n as f64;
            assert!(worst > 1e-6 && (report.optimality / worst - 1.0).abs() < 1e-6, "{report:?} {worst:e}");
            assert!(
                !report.converged && report.warnings[0].contains("within coordinate descent"),
                "{report:?}"
            );
            assert!(stopped.model.coefficients.iter().all(|b| *b >= 0.0) && report.objective.is_finite());
        }
        assert!(whole.report.converged, "{:?}", whole.report);
        assert!(whole.report.objective < second.report.objective);
        assert!(second.report.objective <= first.report.objective);
        let at_once = fit(u64::MAX, u64::MAX);
        assert_eq!((at_once.model, at_once.report), (whole.model, whole.report));
    }
}
