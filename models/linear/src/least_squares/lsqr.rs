//! LSQR (Paige, Saunders, "LSQR: An algorithm for sparse linear equations and sparse least squares", 1982): |A x - b|^2 + damp^2 |x|^2 by
//! products with A and its transpose alone, A being centred rows times the square roots of their weights.
//!
//! A step of its bidiagonalisation needs A v - alpha u and the product of what comes of it with the transpose of A. Vectors u have a number
//! for each row, which no one is to keep between rounds; but each is share b + A w of a number and a vector of the columns, so a round tells
//! rows these and has both products in one pass, as a residual and its gradient ([`Residual`]). Both stay small where b has a part that
//! columns do not explain; where it has none they grow as the steps that they are worth shrink.
//!
//! What the recurrences tell of the residual is not what the report says: when they meet the tolerance the rows are asked for the true residual
//! and gradient. If these do not meet it a new bidiagonalisation begins there, as long as that brings the gradient down.
//!
//! Beginning at zero, x stays a combination of rows: of several solutions it is the one of least norm.

use crate::residual::Residual;
use tilewise_base::Result;
use tilewise_base::solver::Outcome;
use tilewise_kernels::{axpy, dot, norm2};

/// The gradient that is small enough, as a share of |A| (|residual| + |A| |x|): that of a matrix and a target changed by as much (criteria 1
/// and 2 of section 6, for both tolerances). Rounding of the products is some hundredths of it.
const TOLERANCE: f64 = 1e-14;

/// Share of the tolerance at which recurrences end: the true gradient is a little larger.
const INNER: f64 = 0.25;

/// A new bidiagonalisation is worth while if the last left at most this share of the gradient.
const FALLING: f64 = 0.3;

/// The cosine of the residual with a column that counts as none, beyond rounding: the criterion above, which is one for all columns, does not
/// see short ones beside long ones (powers up to the fifteenth: a sum of squares of 18 where 12 can be reached).
const ORTHOGONAL: f64 = 1e-8;

/// Rounding of a gradient, as a share of what it is made of.
const ROUNDING: f64 = 1e-13;

/// Rounds at most.
pub(crate) const ROUNDS: u64 = 20_000;

/// The best x so far, and what is known of the next vector u.
pub(crate) struct Lsqr {
    /// Where the bidiagonalisation began, and how far it has come from there.
    base: Vec<f64>,
    step: Vec<f64>,
    damp: f64,
    /// Of each column of A over damp I.
    lengths: Vec<f64>,
    /// The square root of the sum of their squares.
    norm: f64,
    rounds: u64,
    /// The true gradient at `base`.
    gradient: f64,
    /// None where the true residual is wanted next.
    bidiagonal: Option<Bidiagonal>,
}

struct Bidiagonal {
    /// The vector u that is to be made of rows, before it has length one: share (b - A base) + A along, and below it numbers of columns.
    share: f64,
    along: Vec<f64>,
    below: Vec<f64>,
    v: Vec<f64>,
    alpha: f64,
    /// The paper's w, phi bar and rho bar.
    search: Vec<f64>,
    phi_bar: f64,
    rho_bar: f64,
}

impl Lsqr {
    /// From zero; `squares` are those of each column of A, summed.
    pub(crate) fn new(squares: &[f64], l2: f64) -> Self {
        let columns = squares.len();
        Self {
            lengths: squares.iter().map(|square| (square + l2).sqrt()).collect(),
            base: vec![0.0; columns],
            step: vec![0.0; columns],
            damp: l2.sqrt(),
            norm: (squares.iter().sum::<f64>() + l2 * columns as f64).sqrt(),
            rounds: 0,
            gradient: f64::INFINITY,
            bidiagonal: None,
        }
    }

    /// The coefficients z and the share s of which rows are to tell the residual A z - s b: with 1 it is that of the solution.
    pub(crate) fn ask(&self) -> (Vec<f64>, f64) {
        match &self.bidiagonal {
            None => (self.base.clone(), 1.0),
            Some(b) => {
                let z = self.base.iter().zip(&b.along).map(|(base, along)| b.share * base - along);
                (z.collect(), b.share)
            }
        }
    }

    /// The solution so far.
    pub(crate) fn solution(&self) -> Vec<f64> {
        self.base.iter().zip(&self.step).map(|(base, step)| base + step).collect()
    }

    /// What the recurrences say of |A x - b|^2 + damp^2 |x|^2; none before the first step.
    pub(crate) fn estimate(&self) -> Option<f64> {
        self.bidiagonal.as_ref().map(|b| b.phi_bar * b.phi_bar)
    }

    /// The length of the true gradient where it was looked at last.
    pub(crate) fn gradient(&self) -> f64 {
        self.gradient
    }

    /// Takes what rows answered. How it ended, if it has: the residual was then that of the solution.
    pub(crate) fn advance(&mut self, residual: &Residual) -> Result<Option<Outcome>> {
        self.rounds += 1;
        match self.bidiagonal.take() {
            None => self.begin(residual),
            Some(bidiagonal) => {
                self.go_on(bidiagonal, residual)?;
                Ok(None)
            }
        }
    }

    /// Looks at the true residual, and begins anew where it is too large.
    fn begin(&mut self, residual: &Residual) -> Result<Option<Outcome>> {
        let x = &self.base;
        let mut gradient = residual.gradient.clone();
        axpy(self.damp * self.damp, x, &mut gradient)?;
        let (left, length) = (norm2(&gradient), norm2(x));
        let beta = (residual.square + (self.damp * length).powi(2)).sqrt();
        let enough = self.enough(TOLERANCE, beta, length);
        if left <= enough {
            let stopped = format!("solved by LSQR: gradient {left:.1e} is within the tolerance {enough:.1e}");
            let parts: f64 = self.lengths.iter().zip(x).map(|(length, x)| length * x.abs()).sum();
            // Of a column of zeros, or a constant one, the gradient is rounding.
            let columns = gradient.iter().zip(&self.lengths).filter(|(_, length)| **length > 0.0);
            let far = columns.map(|(gradient, length)| gradient.abs() / length);
            let worst = far.filter(|far| *far > ROUNDING * (beta + parts)).fold(0.0, f64::max);
            let converged = worst <= ORTHOGONAL * beta;
            let warning = (!converged).then(|| {
                format!(
                    "did not converge: a column and the residual, which a solution has at right angles, have a cosine of {:.1e}: columns \
                     are of very different sizes. Standardise them, or take auto",
                    worst / beta
                )
            });
            return Ok(Some(Outcome { converged, stopped, warning }));
        }
        let fell = left <= FALLING * self.gradient;
        if !fell || self.rounds >= ROUNDS || !left.is_finite() {
            let stopped = if self.rounds >= ROUNDS {
                format!("LSQR reached the limit of {ROUNDS} rounds")
            } else {
                "LSQR comes no nearer".into()
            };
            let warning = Some(format!(
                "did not converge: {stopped}; gradient {left:.1e} is above the tolerance {enough:.1e}. Standardised columns take fewer \
                 rounds, and auto none"
            ));
            return Ok(Some(Outcome { converged: false, stopped, warning }));
        }
        self.gradient = left;
        let alpha = left / beta;
        let v: Vec<f64> = gradient.iter().map(|g| -g / left).collect();
        let u = (1.0 / beta, vec![0.0; x.len()], x.iter().map(|x| -self.damp * x / beta).collect());
        let mut bidiagonal = Bidiagonal {
            share: 0.0,
            along: Vec::new(),
            below: Vec::new(),
            search: v.clone(),
            v,
            alpha,
            phi_bar: beta,
            rho_bar: alpha,
        };
        bidiagonal.next(u, self.damp);
        self.bidiagonal = Some(bidiagonal);
        Ok(None)
    }

    /// A step by what rows made of the vector u that is next.
    fn go_on(&mut self, mut b: Bidiagonal, residual: &Residual) -> Result<()> {
        let beta = (residual.square + dot(&b.below, &b.below)?).sqrt();
        // The residual is -u.
        let mut next: Vec<f64> = residual.gradient.iter().map(|g| -g).collect();
        axpy(self.damp, &b.below, &mut next)?;
        if beta > 0.0 {
            next.iter_mut().zip(&b.v).for_each(|(next, v)| *next = *next / beta - beta * v);
        }
        let alpha = norm2(&next);
        let rho = b.rho_bar.hypot(beta);
        let (cosine, sine) = (b.rho_bar / rho, beta / rho);
        axpy(cosine * b.phi_bar / rho, &b.search, &mut self.step)?;
        b.phi_bar *= sine;
        let left = b.phi_bar * alpha * cosine.abs();
        let length = norm2(&self.solution());
        let enough = self.enough(INNER * TOLERANCE, b.phi_bar, length);
        // Not above it: nothing is left, or what is not a number.
        let ends = !(left > enough && alpha > f64::EPSILON * self.norm && beta > f64::EPSILON * self.norm);
        if ends || self.rounds + 1 >= ROUNDS {
            self.base = self.solution();
            self.step.fill(0.0);
            return Ok(());
        }
        let u = (b.share / beta, scaled(&b.along, beta), scaled(&b.below, beta));
        b.v = next.iter().map(|next| next / alpha).collect();
        b.alpha = alpha;
        let theta = sine * alpha;
        b.rho_bar = -cosine * alpha;
        b.search.iter_mut().zip(&b.v).for_each(|(search, v)| *search = v - theta / rho * *search);
        b.next(u, self.damp);
        self.bidiagonal = Some(b);
        Ok(())
    }

    fn enough(&self, tolerance: f64, residual: f64, length: f64) -> f64 {
        tolerance * self.norm * (residual + self.norm * length)
    }
}

impl Bidiagonal {
    /// From u to A v - alpha u.
    fn next(&mut self, (share, along, below): (f64, Vec<f64>, Vec<f64>), damp: f64) {
        let alpha = self.alpha;
        self.share = -alpha * share;
        self.along = self.v.iter().zip(&along).map(|(v, along)| v - alpha * along).collect();
        self.below = self.v.iter().zip(&below).map(|(v, below)| damp * v - alpha * below).collect();
    }
}

fn scaled(x: &[f64], by: f64) -> Vec<f64> {
    x.iter().map(|x| x / by).collect()
}
