//! Which solver a logistic regression begins with, and for how long.

use super::{Logistic, LogisticSolver};

/// Largest number of unknowns for which `Auto` factors a Hessian.
const NEWTON_ORDER: usize = 1024;

/// Largest number of Gram columns (features times pairs of classes) for which `Auto` forms a Hessian.
const NEWTON_COLUMNS: usize = 4096;

/// Gram columns from which `Auto` tries L-BFGS first: below, its 15 rounds cost as much as Newton's 7.
const LBFGS_COLUMNS: usize = 32;

/// Largest share that the tolerance may have of the penalty per unit of weight where L-BFGS comes first: it stops at a
/// gradient of the tolerance, where coefficients may still be off by the tolerance over the least curvature.
const PENALTY_SHARE: f64 = 0.1;

/// Rounds of L-BFGS after which `Auto` turns to Newton's method. A Newton round costs about 2 + columns / 20 of them, so
/// these cost what the better start saves of Newton's rounds: 20,000 rows of 500 features took 0.09 s instead of 1.0
/// where features are independent, and no longer where they are not.
pub(super) fn patience(columns_per_predictor: usize) -> u64 {
    8 + columns_per_predictor as u64 / 4
}

impl Logistic {
    /// Rounds of L-BFGS before Newton's method takes over, by shape and penalty alone: 0 begins with it. With next to no
    /// penalty that is best, as the Hessian tells whether the solution is unique.
    pub(super) fn rounds_of_lbfgs(&self, features: usize, predictors: usize, weight: f64) -> u64 {
        let order = predictors * (features + 1);
        let columns = features * (predictors * (predictors - 1) / 2).max(1);
        match self.solver {
            // What has corners is no problem for L-BFGS.
            _ if self.l1 > 0.0 => 0,
            LogisticSolver::Auto if order > NEWTON_ORDER || columns > NEWTON_COLUMNS => u64::MAX,
            // Without penalty the Hessian tells whether the solution is unique.
            LogisticSolver::Auto if columns < LBFGS_COLUMNS => 0,
            LogisticSolver::Auto if !self.is_held(weight) => 0,
            // Half of the rounds at most, so that Newton's method has as many.
            LogisticSolver::Auto => patience(columns / predictors).min(self.max_rounds / 2),
            // SAGA has no trainer.
            LogisticSolver::NewtonCholesky | LogisticSolver::Saga => 0,
            LogisticSolver::Lbfgs => u64::MAX,
        }
    }

    /// Whether the penalty is worth the name: a small gradient then means coefficients that are right.
    fn is_held(&self, weight: f64) -> bool {
        self.tolerance <= PENALTY_SHARE * self.l2 / weight
    }

    /// Whether a sample of the rows may be solved first.
    pub(super) fn may_sample(&self, weight: f64) -> bool {
        self.solver == LogisticSolver::Auto && self.l1 == 0.0 && self.is_held(weight)
    }
}
