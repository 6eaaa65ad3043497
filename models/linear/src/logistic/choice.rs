//! Solvers of logistic regression: which one it begins with, and for how long.

use super::Logistic;
use crate::newton_cg::PRODUCTS_PER_ROUND;
use serde::{Deserialize, Serialize};

/// How the objective is minimised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogisticSolver {
    /// By the numbers of features and classes: Newton's method for few, L-BFGS for many; between, and with a penalty worth
    /// the name, L-BFGS and then Newton's method if that takes long or fails. With such a penalty, two classes, at most 128 features and
    /// 2,048 rows or more for each, in at most 16 pieces, a sample of the rows is solved first, and L-BFGS begins there.
    #[default]
    Auto,
    /// Newton's method; few rounds, memory for a matrix of (features x classes)^2.
    NewtonCholesky,
    /// Newton's method with steps by conjugate gradients (`newton_cg.rs`): a pass over the rows for each product with the Hessian, which is not
    /// formed; of `max_rounds` twenty count as one. For more unknowns than a Hessian has room for.
    NewtonCg,
    /// Limited-memory BFGS; many cheap rounds.
    Lbfgs,
    /// Steps by single rows that are drawn, of two classes in one memory, with either penalty (`sparse/saga.rs`). For very many rows where
    /// columns are scaled alike; else the others are faster. A round is as many steps as there are rows. Dense rows are copied.
    Saga,
}

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
            // Conjugate gradients want the scales of L-BFGS.
            LogisticSolver::Lbfgs | LogisticSolver::NewtonCg => u64::MAX,
        }
    }

    /// Passes over the data at most, besides the first.
    pub(super) fn rounds_at_most(&self) -> u64 {
        match self.solver {
            LogisticSolver::NewtonCg => self.max_rounds.saturating_mul(PRODUCTS_PER_ROUND),
            _ => self.max_rounds,
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
