//! Newton's method with the true Hessian, solved by Cholesky, and step halving.
//!
//! Every trial point asks for value, gradient and Hessian in one sweep: full steps are nearly always taken, and then
//! nothing was asked for in vain. Where the Hessian is singular (columns that depend on each other without penalty) a
//! multiple of its diagonal is added until it factors (Levenberg): the gradient lies in its range, so steps change
//! little.
//!
//! With a penalty l1 |b|_1 the step minimises the quadratic model and that penalty, by coordinate descent (Lee, Sun, Saunders,
//! "Proximal Newton-type methods for minimizing composite functions", 2014; the intercepts, which have no penalty, are taken out
//! of the model first).

use crate::cholesky::Cholesky;
use crate::elastic_net::design::Products;
use crate::elastic_net::penalty::Penalty;
use crate::elastic_net::working_set;
use crate::optimality::residual;
use crate::search::{Judged, Search};
use tilewise_base::Result;
use tilewise_base::solver::{Accepted, Evaluation, Outcome, Solver, rounding};
use tilewise_kernels::{axpy, dot};

/// Smallest pivot of the scaled Hessian that counts as regular.
const SINGULAR_BELOW: f64 = 1e-12;

/// First multiple of the diagonal that is added to a singular Hessian, and the factor to the next.
const DAMPING: (f64, f64) = (1e-9, 100.0);

pub(crate) struct Newton {
    search: Search,
    damped: bool,
    corners: Option<Corners>,
}

/// The penalty l1 |b|_1 of all coordinates but the last `free` of every `per_predictor`: intercepts, a scale.
#[derive(Clone, Copy)]
struct Corners {
    l1: f64,
    per_predictor: usize,
    free: usize,
}

impl Newton {
    pub(crate) fn new(start: Vec<f64>, tolerance: f64, max_rounds: u64) -> Self {
        Self { search: Search::new(start, tolerance, max_rounds), damped: false, corners: None }
    }

    /// Counts rounds that another solver had before.
    pub(crate) fn after(mut self, rounds: u64) -> Self {
        self.search.rounds = rounds;
        self
    }

    /// Expects `l1` times the sum of all coefficients' sizes in values, and its part in `norm`; gradients are without. Of every
    /// `per_predictor` coordinates the last `free` have no penalty.
    pub(crate) fn with_corners(mut self, l1: f64, per_predictor: usize, free: usize) -> Self {
        self.corners = (l1 > 0.0).then_some(Corners { l1, per_predictor, free });
        self
    }

    /// The step that the Hessian asks for; the Hessian's lower triangle is enough.
    fn solve(&mut self, mut hessian: Vec<f64>, gradient: &[f64], norm: f64) -> Result<bool> {
        let n = gradient.len();
        if let Some(corners) = self.corners {
            return self.solve_with_corners(corners, &hessian, gradient, norm);
        }
        let diagonal: Vec<f64> = (0..n).map(|j| hessian[j * n + j]).collect();
        let mut damping = 0.0;
        loop {
            if let Some(factor) = Cholesky::new(&hessian, n, SINGULAR_BELOW)? {
                let Search { direction, slope, .. } = &mut self.search;
                direction.clear();
                direction.extend(gradient.iter().map(|g| -g));
                factor.solve(direction);
                *slope = dot(gradient, direction)?;
                if direction.iter().all(|d| d.is_finite()) && *slope <= 0.0 {
                    return Ok(true);
                }
            }
            damping = if damping == 0.0 { DAMPING.0 } else { damping * DAMPING.1 };
            self.damped = true;
            if damping > 1.0 {
                return Ok(false);
            }
            (0..n).for_each(|j| hessian[j * n + j] = diagonal[j] * (1.0 + damping));
        }
    }
}

impl Solver for Newton {
    fn point(&self) -> &[f64] {
        &self.search.trial
    }
    fn wants_hessian(&self) -> bool {
        true
    }
    fn accepted(&self) -> Option<&Accepted> {
        self.search.accepted.as_ref()
    }

    fn advance(&mut self, mut e: Evaluation) -> Result<Option<Outcome>> {
        let hessian = std::mem::take(&mut e.hessian);
        let (norm, gradient) = (e.norm, e.gradient.clone());
        match self.search.judge(e) {
            Judged::Better => {}
            Judged::Shorter => return Ok(None),
            Judged::Ended(outcome) => return Ok(Some(outcome)),
        }
        let solved = self.solve(hessian, &gradient, norm)?;
        let Search { tolerance, rounds, max_rounds, .. } = self.search;
        if norm <= tolerance {
            return Ok(Some(Outcome { warning: self.still_moving(), ..Outcome::converged(norm, tolerance) }));
        }
        if !solved {
            return Ok(Some(Outcome::stuck(norm)));
        }
        if rounds >= max_rounds {
            return Ok(Some(Outcome::out_of_rounds(rounds, norm, tolerance)));
        }
        self.search.begin();
        Ok(None)
    }
}

impl Newton {
    /// Halves the step to a point that rows were not asked about.
    pub(crate) fn shorten(&mut self) {
        self.search.shorten();
    }

    /// The step to the minimum of the quadratic model with its penalty.
    fn solve_with_corners(
        &mut self,
        corners: Corners,
        hessian: &[f64],
        gradient: &[f64],
        norm: f64,
    ) -> Result<bool> {
        let Some(base) = &self.search.accepted else { return Ok(false) };
        let n = gradient.len();
        let is_free = |i: &usize| i % corners.per_predictor >= corners.per_predictor - corners.free;
        let (free, bound): (Vec<usize>, Vec<usize>) = (0..n).partition(is_free);
        let (k, p) = (free.len(), bound.len());
        let curvature = |i: usize, j: usize| hessian[i.max(j) * n + i.min(j)];
        // Intercepts are at their minimum for any coefficients: F^-1 of their block of the Hessian takes them out.
        let block: Vec<f64> = free.iter().flat_map(|&i| free.iter().map(move |&j| curvature(i, j))).collect();
        let Some(factor) = Cholesky::new(&block, k, SINGULAR_BELOW)? else { return Ok(false) };
        let mut of_free: Vec<f64> = free.iter().map(|&f| gradient[f]).collect();
        factor.solve(&mut of_free);
        // Row j: F^-1 times what intercepts and coefficient j share.
        let mut shared = vec![0.0; p * k];
        for (row, &j) in shared.chunks_exact_mut(k).zip(&bound) {
            row.iter_mut().zip(&free).for_each(|(s, &f)| *s = curvature(f, j));
            factor.solve(row);
        }
        let with_free = |i: usize, row: &[f64]| -> f64 {
            free.iter().zip(row).map(|(&f, s)| curvature(f, bound[i]) * s).sum()
        };
        let mut model = vec![0.0; p * p];
        for i in 0..p {
            for (j, row) in shared.chunks_exact(k).enumerate().take(i + 1) {
                let curvature = curvature(bound[i], bound[j]) - with_free(i, row);
                (model[i * p + j], model[j * p + i]) = (curvature, curvature);
            }
        }
        let b: Vec<f64> = bound.iter().map(|&j| base.point[j]).collect();
        // H b - g is the pull at zero. The square of a target that fits it may be too large: the gap is then, by little.
        let mut pull: Vec<f64> = (0..p).map(|i| with_free(i, &of_free) - gradient[bound[i]]).collect();
        // What the best coefficient alone would gain, twice: in the units of the objective, whatever those of the gradient.
        let gains = (0..p).map(|i| residual(-pull[i], b[i], corners.l1).powi(2) / model[i * (p + 1)]);
        let gain = gains.filter(|gain| gain.is_finite()).fold(0.0, f64::max);
        let mut bent = vec![0.0; p];
        for (row, b) in model.chunks_exact(p).zip(&b) {
            axpy(*b, row, &mut bent)?;
        }
        let curved = dot(&bent, &b)?;
        pull.iter_mut().zip(&bent).for_each(|(pull, bent)| *pull += bent);
        let square = 10.0 * (curved + dot(&pull, &b)?.abs() + base.value.abs());
        let products = Products::given(model, pull, square);
        // A quadratic model is worth no more exactness than the step will have: a tenth of the residual, squared as the gap is, or of
        // what can be gained where curvatures are large.
        let (penalty, scale) =
            (Penalty { l1: corners.l1, l2: 0.0, positive: false }, base.value.abs().max(1e-300));
        let enough = (1e-2 * (norm * norm).min(gain)).min(1e-3 * scale).max(1e-20 * scale);
        let solution = working_set::solve(&products, penalty, b.clone(), enough, 100, &mut |_, _| true)?;
        let value = base.value;
        let Search { direction, slope, .. } = &mut self.search;
        direction.clear();
        direction.resize(n, 0.0);
        for (i, (&j, row)) in bound.iter().zip(shared.chunks_exact(k)).enumerate() {
            let step = solution.coefficients[i] - b[i];
            direction[j] = step;
            of_free.iter_mut().zip(row).for_each(|(f, s)| *f += s * step);
        }
        free.iter().zip(&of_free).for_each(|(&f, step)| direction[f] = -step);
        let sizes = |b: &[f64]| b.iter().map(|b| b.abs()).sum::<f64>();
        *slope = dot(gradient, direction)? + corners.l1 * (sizes(&solution.coefficients) - sizes(&b));
        // A gain below rounding is as good as none: the gradient at the end of the step decides.
        if *slope <= rounding(value) {
            *slope = slope.min(0.0);
        }
        Ok(direction.iter().all(|d| d.is_finite()) && *slope <= 0.0)
    }

    /// At a proper minimum the last Newton step is tiny; where the minimum lies at infinity steps keep their length
    /// while the gradient fades.
    fn still_moving(&self) -> Option<String> {
        let largest = |v: &[f64]| v.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        let (step, size) = (largest(&self.search.direction), largest(&self.search.trial));
        let moving = step > 1e-2 * size && step > 1e-2;
        let singular = "the Hessian is singular: some features depend on others or a coefficient is not bounded by \
                        the data; coefficients are not unique";
        if moving {
            Some("some coefficients still grow although the gradient has vanished: a feature or category separates \
                  part of the rows perfectly; use l2 > 0 for finite coefficients".into())
        } else {
            self.damped.then(|| singular.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// f(x, y) = e^(x - 1) - x + y^2 ... from far away, where full steps overshoot: minimum at (1, 0).
    #[test]
    fn finds_the_minimum_of_a_convex_function() {
        let mut newton = Newton::new(vec![-6.0, 3.0], 1e-12, 100);
        let outcome = loop {
            let p = newton.point();
            let (x, y) = (p[0], p[1]);
            let gradient = vec![(x - 1.0).exp() - 1.0, 2.0 * y];
            let norm = gradient[0].abs().max(gradient[1].abs());
            let hessian = vec![(x - 1.0).exp(), 0.0, 0.0, 2.0];
            let value = (x - 1.0).exp() - x + y * y;
            if let Some(outcome) =
                newton.advance(Evaluation { value, gradient, hessian, norm, optimality: norm }).unwrap()
            {
                break outcome;
            }
        };
        assert!(outcome.converged && outcome.warning.is_none(), "{outcome:?}");
        let best = newton.accepted().unwrap();
        assert!((best.point[0] - 1.0).abs() < 1e-9 && best.point[1].abs() < 1e-12);
    }
}
