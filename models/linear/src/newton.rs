//! Newton's method with the true Hessian, solved by Cholesky, and step halving.
//!
//! Every trial point asks for value, gradient and Hessian in one sweep: full steps are nearly always taken, and then
//! nothing was asked for in vain. Where the Hessian is singular (columns that depend on each other without penalty) a
//! multiple of its diagonal is added until it factors (Levenberg): the gradient lies in its range, so steps change
//! little.

use crate::cholesky::Cholesky;
use crate::solver::{Accepted, Evaluation, Outcome, Solver, rounding, sufficient};
use tilewise_base::Result;
use tilewise_kernels::dot;

/// Smallest pivot of the scaled Hessian that counts as regular.
const SINGULAR_BELOW: f64 = 1e-12;

/// First multiple of the diagonal that is added to a singular Hessian, and the factor to the next.
const DAMPING: (f64, f64) = (1e-9, 100.0);

/// Halvings of one step before giving up: 2^-30 of a Newton step moves nothing.
const HALVINGS: u32 = 30;

pub(crate) struct Newton {
    trial: Vec<f64>,
    direction: Vec<f64>,
    slope: f64,
    step: f64,
    halvings: u32,
    accepted: Option<Accepted>,
    tolerance: f64,
    rounds: u64,
    max_rounds: u64,
    damped: bool,
}

impl Newton {
    pub(crate) fn new(start: Vec<f64>, tolerance: f64, max_rounds: u64) -> Self {
        Self {
            direction: vec![0.0; start.len()],
            trial: start,
            slope: 0.0,
            step: 1.0,
            halvings: 0,
            accepted: None,
            tolerance,
            rounds: 0,
            max_rounds,
            damped: false,
        }
    }

    /// Counts rounds that another solver had before.
    pub(crate) fn after(mut self, rounds: u64) -> Self {
        self.rounds = rounds;
        self
    }

    fn go(&mut self) {
        if let Some(base) = &self.accepted {
            for ((t, b), d) in self.trial.iter_mut().zip(&base.point).zip(&self.direction) {
                *t = b + self.step * d;
            }
        }
    }

    /// The step that the Hessian asks for; the Hessian's lower triangle is enough.
    fn solve(&mut self, mut hessian: Vec<f64>, gradient: &[f64]) -> Result<bool> {
        let n = gradient.len();
        let diagonal: Vec<f64> = (0..n).map(|j| hessian[j * n + j]).collect();
        let mut damping = 0.0;
        loop {
            if let Some(factor) = Cholesky::new(&hessian, n, SINGULAR_BELOW)? {
                self.direction.clear();
                self.direction.extend(gradient.iter().map(|g| -g));
                factor.solve(&mut self.direction);
                self.slope = dot(gradient, &self.direction)?;
                if self.direction.iter().all(|d| d.is_finite()) && self.slope <= 0.0 {
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
        &self.trial
    }
    fn wants_hessian(&self) -> bool {
        true
    }
    fn accepted(&self) -> Option<&Accepted> {
        self.accepted.as_ref()
    }

    fn advance(&mut self, mut e: Evaluation) -> Result<Option<Outcome>> {
        self.rounds += 1;
        if let Some(base) = &self.accepted {
            let slope = self.step * self.slope;
            let tiny = -slope <= rounding(base.value);
            let better = sufficient(base.value, e.value, slope)
                || tiny && e.value <= base.value + rounding(base.value) && e.norm < 0.5 * base.norm;
            if !better && tiny {
                return Ok(Some(Outcome::precision(base.norm)));
            }
            if !better {
                self.halvings += 1;
                if self.halvings > HALVINGS {
                    return Ok(Some(Outcome::stuck(base.norm)));
                }
                if self.rounds >= self.max_rounds {
                    return Ok(Some(Outcome::out_of_rounds(self.rounds, base.norm, self.tolerance)));
                }
                self.step *= 0.5;
                self.go();
                return Ok(None);
            }
        }
        let hessian = std::mem::take(&mut e.hessian);
        let accepted = Accepted::new(self.trial.clone(), e);
        let (norm, gradient) = (accepted.norm, accepted.gradient.clone());
        self.accepted = Some(accepted);
        let solved = self.solve(hessian, &gradient)?;
        if norm <= self.tolerance {
            return Ok(Some(Outcome {
                warning: self.still_moving(),
                ..Outcome::converged(norm, self.tolerance)
            }));
        }
        if !solved {
            return Ok(Some(Outcome::stuck(norm)));
        }
        if self.rounds >= self.max_rounds {
            return Ok(Some(Outcome::out_of_rounds(self.rounds, norm, self.tolerance)));
        }
        (self.step, self.halvings) = (1.0, 0);
        self.go();
        Ok(None)
    }
}

impl Newton {
    /// At a proper minimum the last Newton step is tiny; where the minimum lies at infinity steps keep their length
    /// while the gradient fades.
    fn still_moving(&self) -> Option<String> {
        let largest = |v: &[f64]| v.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        let (step, size) = (largest(&self.direction), largest(self.trial.as_slice()));
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
