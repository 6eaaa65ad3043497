//! Limited-memory BFGS (Liu and Nocedal 1989) with a bracketing line search for the weak Wolfe conditions (Lewis and
//! Overton 2013), which keep every curvature pair positive. Near the minimum, where differences of the objective are
//! all rounding, the slope alone decides (the approximate Wolfe condition of Hager and Zhang 2005), so that gradients
//! of 1e-10 can be reached.

use crate::Result;
use crate::solver::{Accepted, Evaluation, Outcome, Solver, rounding, sufficient};
use std::collections::VecDeque;
use tilewise_kernels::{axpy, dot};

/// Pairs remembered.
const MEMORY: usize = 10;

/// Share of the slope that must be gone after a step.
const CURVATURE: f64 = 0.9;

/// Trial points along one direction before giving up.
const TRIALS: u32 = 40;

struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    /// 1 / step . change.
    inverse: f64,
}

/// A search for the minimum of a smooth function. Time and memory of a round are O(n) for n unknowns, 20 numbers of memory for each.
///
/// ```
/// use tilewise_base::Lbfgs;
/// use tilewise_base::solver::{Evaluation, Solver};
/// // (x - 3)^2, from 0.
/// let mut search = Lbfgs::new(vec![0.0], 1e-9, 100);
/// loop {
///     let slope = 2.0 * (search.point()[0] - 3.0);
///     let (value, norm) = (slope * slope / 4.0, slope.abs());
///     let e = Evaluation { value, gradient: vec![slope], hessian: Vec::new(), norm, optimality: norm };
///     if search.advance(e)?.is_some() {
///         break;
///     }
/// }
/// assert!((search.accepted().unwrap().point[0] - 3.0).abs() < 1e-9);
/// # Ok::<(), tilewise_base::Error>(())
/// ```
pub struct Lbfgs {
    trial: Vec<f64>,
    direction: Vec<f64>,
    slope: f64,
    step: f64,
    /// The step sought lies between these.
    bracket: (f64, f64),
    trials: u32,
    pairs: VecDeque<Pair>,
    accepted: Option<Accepted>,
    tolerance: f64,
    rounds: u64,
    max_rounds: u64,
    steps: u64,
    inverse: Option<Inverse>,
}

/// What multiplies a vector in place.
type Inverse = Box<dyn Fn(&mut [f64]) + Send + Sync>;

impl Lbfgs {
    /// From `start`, until the norm of an evaluation is at most `tolerance`, or after `max_rounds` evaluations.
    pub fn new(start: Vec<f64>, tolerance: f64, max_rounds: u64) -> Self {
        Self {
            direction: Vec::new(),
            trial: start,
            slope: 0.0,
            step: 1.0,
            bracket: (0.0, f64::INFINITY),
            trials: 0,
            pairs: VecDeque::new(),
            accepted: None,
            tolerance,
            rounds: 0,
            max_rounds,
            steps: 0,
            inverse: None,
        }
    }

    /// Begins with what `inverse` multiplies by, in place, as the inverse of the Hessian; else with the identity, times what the last step
    /// tells of its size.
    #[must_use]
    pub fn with_inverse(mut self, inverse: impl Fn(&mut [f64]) + Send + Sync + 'static) -> Self {
        self.inverse = Some(Box::new(inverse));
        self
    }

    /// Steps that were taken: evaluations without those along a direction that were not good enough, and without the first.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The two-loop recursion: direction = -H gradient.
    fn aim(&mut self, gradient: &[f64]) -> Result<()> {
        let mut d: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut shares = Vec::with_capacity(self.pairs.len());
        for pair in self.pairs.iter().rev() {
            let share = pair.inverse * dot(&pair.step, &d)?;
            axpy(-share, &pair.change, &mut d)?;
            shares.push(share);
        }
        if let Some(inverse) = &self.inverse {
            inverse(&mut d);
        } else if let Some(last) = self.pairs.back() {
            let scale = 1.0 / (last.inverse * dot(&last.change, &last.change)?);
            d.iter_mut().for_each(|d| *d *= scale);
        }
        for (pair, share) in self.pairs.iter().zip(shares.into_iter().rev()) {
            let back = pair.inverse * dot(&pair.change, &d)?;
            axpy(share - back, &pair.step, &mut d)?;
        }
        self.slope = dot(gradient, &d)?;
        self.direction = d;
        (self.step, self.bracket, self.trials) = (1.0, (0.0, f64::INFINITY), 0);
        Ok(())
    }

    fn go(&mut self) {
        if let Some(base) = &self.accepted {
            for ((t, b), d) in self.trial.iter_mut().zip(&base.point).zip(&self.direction) {
                *t = b + self.step * d;
            }
        }
    }

    /// Narrows the bracket after a trial; true when the trial is taken.
    fn judge(&mut self, base: &Accepted, e: &Evaluation) -> Result<bool> {
        let (promised, slope) = (self.step * self.slope, dot(&e.gradient, &self.direction)?);
        let noise = rounding(base.value);
        let low_enough = sufficient(base.value, e.value, promised)
            || -promised <= noise && e.value <= base.value + noise && slope <= -0.5 * self.slope;
        // Also false for an objective that is NaN.
        if !low_enough {
            self.bracket.1 = self.step;
            // The parabola through value and slope at 0 and value here, kept inside the bracket.
            let bend = e.value - base.value - promised;
            let guess = -0.5 * promised * self.step / bend;
            let (low, high) = self.bracket;
            let width = high - low;
            self.step = if guess > low + 0.1 * width && guess < high - 0.1 * width {
                guess
            } else {
                0.5 * (low + high)
            };
            return Ok(false);
        }
        if slope < CURVATURE * self.slope {
            self.bracket.0 = self.step;
            self.step = if self.bracket.1.is_finite() {
                0.5 * (self.bracket.0 + self.bracket.1)
            } else {
                2.0 * self.step
            };
            return Ok(false);
        }
        Ok(true)
    }
}

impl Solver for Lbfgs {
    fn point(&self) -> &[f64] {
        &self.trial
    }
    fn wants_hessian(&self) -> bool {
        false
    }
    fn accepted(&self) -> Option<&Accepted> {
        self.accepted.as_ref()
    }

    fn advance(&mut self, e: Evaluation) -> Result<Option<Outcome>> {
        self.rounds += 1;
        let out_of_rounds = self.rounds >= self.max_rounds;
        if let Some(base) = self.accepted.take() {
            let taken = e.norm <= self.tolerance && e.value <= base.value + rounding(base.value)
                || self.judge(&base, &e)?;
            if !taken {
                self.trials += 1;
                let (norm, value) = (base.norm, base.value);
                let hopeless = self.trials > TRIALS;
                self.accepted = Some(base);
                let led = self.inverse.is_some() || !self.pairs.is_empty();
                if hopeless && led && -self.slope > rounding(value) {
                    // The memory misleads: start afresh with the gradient.
                    self.pairs.clear();
                    self.inverse = None;
                    let gradient = self.accepted.as_ref().map(|b| b.gradient.clone()).unwrap_or_default();
                    self.aim(&gradient)?;
                } else if hopeless {
                    let tiny = -self.slope <= rounding(value);
                    return Ok(Some(if tiny { Outcome::precision(norm) } else { Outcome::stuck(norm) }));
                }
                if out_of_rounds {
                    return Ok(Some(Outcome::out_of_rounds(self.rounds, norm, self.tolerance)));
                }
                self.go();
                return Ok(None);
            }
            self.steps += 1;
            let step: Vec<f64> = self.trial.iter().zip(&base.point).map(|(a, b)| a - b).collect();
            let change: Vec<f64> = e.gradient.iter().zip(&base.gradient).map(|(a, b)| a - b).collect();
            let curvature = dot(&step, &change)?;
            if curvature > f64::EPSILON * dot(&change, &change)? {
                if self.pairs.len() == MEMORY {
                    self.pairs.pop_front();
                }
                self.pairs.push_back(Pair { step, change, inverse: 1.0 / curvature });
            }
        }
        let accepted = Accepted::new(self.trial.clone(), e);
        let (norm, gradient) = (accepted.norm, accepted.gradient.clone());
        self.accepted = Some(accepted);
        if norm <= self.tolerance {
            return Ok(Some(Outcome::converged(norm, self.tolerance)));
        }
        if out_of_rounds {
            return Ok(Some(Outcome::out_of_rounds(self.rounds, norm, self.tolerance)));
        }
        self.aim(&gradient)?;
        // Also true for NaN.
        if !matches!(self.slope.partial_cmp(&0.0), Some(std::cmp::Ordering::Less)) {
            self.pairs.clear();
            self.aim(&gradient)?;
        }
        self.go();
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rosenbrock's valley: curved, badly scaled, minimum at (1, 1).
    #[test]
    fn finds_the_end_of_the_valley() {
        let mut solver = Lbfgs::new(vec![-1.2, 1.0], 1e-11, 500);
        let outcome = loop {
            let (x, y) = (solver.point()[0], solver.point()[1]);
            let value = 100.0 * (y - x * x).powi(2) + (1.0 - x).powi(2);
            let gradient = vec![-400.0 * x * (y - x * x) - 2.0 * (1.0 - x), 200.0 * (y - x * x)];
            let norm = gradient[0].abs().max(gradient[1].abs());
            let e = Evaluation { value, gradient, hessian: Vec::new(), norm, optimality: norm };
            if let Some(outcome) = solver.advance(e).unwrap() {
                break outcome;
            }
        };
        assert!(outcome.converged, "{outcome:?}");
        assert!(solver.rounds < 80, "{} rounds", solver.rounds);
        let best = solver.accepted().unwrap();
        assert!((best.point[0] - 1.0).abs() < 1e-9 && (best.point[1] - 1.0).abs() < 1e-9);
    }

    /// A quadratic function whose Hessian has the inverse that is told: one step.
    #[test]
    fn an_inverse_that_is_true_needs_one_step() {
        let curvatures = [1.0, 1e4, 1e-3];
        let inverse = move |d: &mut [f64]| d.iter_mut().zip(curvatures).for_each(|(d, c)| *d /= c);
        let mut solver = Lbfgs::new(vec![3.0, -2.0, 5.0], 1e-9, 100).with_inverse(inverse);
        let outcome = loop {
            let gradient: Vec<f64> = solver.point().iter().zip(curvatures).map(|(x, c)| c * x).collect();
            let value = solver.point().iter().zip(&gradient).map(|(x, g)| 0.5 * x * g).sum();
            let norm = gradient.iter().fold(0.0f64, |m, g| m.max(g.abs()));
            let e = Evaluation { value, gradient, hessian: Vec::new(), norm, optimality: norm };
            if let Some(outcome) = solver.advance(e).unwrap() {
                break outcome;
            }
        };
        assert!(outcome.converged && solver.steps() == 1, "{outcome:?} {} steps", solver.steps());
    }
}
