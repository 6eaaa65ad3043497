//! Newton's method whose steps come from conjugate gradients (Nocedal, Wright, "Numerical Optimization", 2006, section 7.1): a product with the
//! Hessian costs about what a gradient does, and no matrix is kept.
//!
//! Coordinates are those of L-BFGS, scaled so that the Hessian's diagonal is about one, which stands for a preconditioner. Sparse rows have a
//! loop of their own (`sparse/newton_cg.rs`): there the rows' predictors are kept between products, which chunks elsewhere cannot.

use crate::newton::Newton;
use crate::search::{Judged, Search};
use tilewise_base::solver::{Accepted, Evaluation, Outcome, Solver};
use tilewise_base::{Lbfgs, Result};
use tilewise_kernels::{axpy, dot};

/// The largest residual, as a share of the gradient, to which a step is solved; closer to the minimum it is solved better.
const ROUGH: f64 = 0.25;

/// Of the tolerance, what the residual of a step need not be below.
const FINE: f64 = 0.3;

/// Products with the Hessian in a step at most.
const PRODUCTS: u64 = 2000;

/// Products that stand for a round of Newton's method with a factor.
pub(crate) const PRODUCTS_PER_ROUND: u64 = 20;

/// A last step that moves a coefficient so much, in scaled coordinates, is no sign of a minimum nearby.
const MOVING: f64 = 0.3;

/// A solver that may want the Hessian's product with a vector at its best point, in place of the objective at another.
pub(crate) trait Bends: Solver {
    /// That vector.
    fn along(&self) -> Option<&[f64]> {
        None
    }

    /// Takes the product.
    fn bent(&mut self, _: &[f64]) -> Result<Option<Outcome>> {
        Ok(None)
    }
}

impl Bends for Newton {}
impl Bends for Lbfgs {}

pub(crate) struct NewtonCg {
    search: Search,
    /// The norm where it began.
    first: f64,
    /// Whether steps that stay long mean a minimum at infinity.
    endless: bool,
    gradients: Option<Gradients>,
}

/// Conjugate gradients on their way.
struct Gradients {
    residual: Vec<f64>,
    along: Vec<f64>,
    square: f64,
    enough: f64,
    products: u64,
}

impl NewtonCg {
    /// `endless` where the objective may have no minimum: no penalty, and a loss that falls for ever.
    pub(crate) fn new(start: Vec<f64>, tolerance: f64, max_rounds: u64, endless: bool) -> Self {
        let search = Search::new(start, tolerance, max_rounds);
        Self { search, first: f64::NAN, endless, gradients: None }
    }

    /// The step is found: on to the point where it ends.
    fn step(&mut self) -> Result<Option<Outcome>> {
        let Some(base) = &self.search.accepted else { return Ok(None) };
        self.search.slope = dot(&base.gradient, &self.search.direction)?;
        if self.search.slope >= 0.0 || self.search.slope.is_nan() {
            return Ok(Some(Outcome::stuck(base.norm)));
        }
        self.search.begin();
        Ok(None)
    }
}

impl Solver for NewtonCg {
    fn point(&self) -> &[f64] {
        &self.search.trial
    }
    fn wants_hessian(&self) -> bool {
        false
    }
    fn accepted(&self) -> Option<&Accepted> {
        self.search.accepted.as_ref()
    }

    fn advance(&mut self, e: Evaluation) -> Result<Option<Outcome>> {
        let before = self.search.accepted.as_ref().map(|base| base.point.clone());
        match self.search.judge(e) {
            Judged::Better => {}
            Judged::Shorter => return Ok(None),
            Judged::Ended(outcome) => return Ok(Some(outcome)),
        }
        let Search { tolerance, rounds, max_rounds, .. } = self.search;
        let Some(base) = &self.search.accepted else { return Ok(None) };
        let norm = base.norm;
        if norm <= tolerance {
            let steps = before.iter().flatten().zip(&base.point).map(|(a, b)| (b - a).abs());
            let moving = self.endless && steps.fold(0.0, f64::max) > MOVING;
            let warning = moving.then(|| {
                "some coefficients still grow although the gradient has vanished: a feature or category separates part of the rows \
                 perfectly; use a penalty for finite coefficients"
                    .to_owned()
            });
            return Ok(Some(Outcome { warning, ..Outcome::converged(norm, tolerance) }));
        }
        if rounds >= max_rounds {
            return Ok(Some(Outcome::out_of_rounds(rounds, norm, tolerance)));
        }
        if self.first.is_nan() {
            self.first = norm;
        }
        let share = (norm / self.first).sqrt().min(ROUGH).max(FINE * tolerance / norm);
        let residual: Vec<f64> = base.gradient.iter().map(|g| -g).collect();
        let square = dot(&residual, &residual)?;
        self.search.direction.fill(0.0);
        let along = residual.clone();
        self.gradients =
            Some(Gradients { residual, along, square, enough: square * share * share, products: 0 });
        Ok(None)
    }
}

impl Bends for NewtonCg {
    fn along(&self) -> Option<&[f64]> {
        self.gradients.as_ref().map(|gradients| &gradients.along[..])
    }

    fn bent(&mut self, product: &[f64]) -> Result<Option<Outcome>> {
        self.search.rounds += 1;
        let Some(mut g) = self.gradients.take() else { return Ok(None) };
        g.products += 1;
        let curvature = dot(&g.along, product)?;
        if !(curvature > 0.0 && curvature.is_finite()) {
            // A convex loss is flat there, to rounding: what was found before is a step, or else there is none.
            return self.step();
        }
        let length = g.square / curvature;
        axpy(length, &g.along, &mut self.search.direction)?;
        axpy(-length, product, &mut g.residual)?;
        let next = dot(&g.residual, &g.residual)?;
        let keep = next / g.square;
        g.square = next;
        // Of a step that is cut short the objective falls too.
        if next <= g.enough || g.products >= PRODUCTS || self.search.rounds + 1 >= self.search.max_rounds {
            return self.step();
        }
        g.along.iter_mut().zip(&g.residual).for_each(|(along, r)| *along = r + keep * *along);
        self.gradients = Some(g);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// e^(x - 1) - x + y^2 + x y / 4 from far away; its minimum by a loop that knows nothing of the solver.
    #[test]
    fn finds_the_minimum_of_a_convex_function() {
        let mut solver = NewtonCg::new(vec![-6.0, 3.0], 1e-12, 1000, true);
        let outcome = loop {
            let at = |point: &[f64]| ((point[0] - 1.0).exp(), point[0], point[1]);
            let outcome = if let Some(along) = solver.along() {
                let (e, ..) = at(&solver.accepted().unwrap().point);
                let product = [e * along[0] + 0.25 * along[1], 0.25 * along[0] + 2.0 * along[1]];
                solver.bent(&product).unwrap()
            } else {
                let (e, x, y) = at(solver.point());
                let gradient = vec![e - 1.0 + 0.25 * y, 2.0 * y + 0.25 * x];
                let norm = gradient[0].abs().max(gradient[1].abs());
                let value = e - x + y * y + 0.25 * x * y;
                let e = Evaluation { value, gradient, hessian: Vec::new(), norm, optimality: norm };
                solver.advance(e).unwrap()
            };
            if let Some(outcome) = outcome {
                break outcome;
            }
        };
        assert!(outcome.converged && outcome.warning.is_none(), "{outcome:?}");
        // y = -x / 8, so that e^(x - 1) = 1 + x / 32.
        let (mut low, mut high) = (0.5f64, 2.0f64);
        for _ in 0..80 {
            let x = 0.5 * (low + high);
            if (x - 1.0).exp() < 1.0 + x / 32.0 { low = x } else { high = x }
        }
        let best = &solver.accepted().unwrap().point;
        assert!((best[0] - low).abs() < 1e-10 && (best[1] + low / 8.0).abs() < 1e-10, "{best:?}");
    }
}
