//! Least squares and ridge regression.
//!
//! Minimises sum of w_i (y_i - offset_i - x_i b - a)^2 + l2 |b|^2; `l2` is scikit-learn's `alpha` of `Ridge`, and the
//! intercept a is not penalised. The report's `objective` is this sum over the total weight, and `optimality` the
//! largest entry of its gradient.
//!
//! Method, as rounds over the rows:
//! 1. one pass gathers means, centred Gram matrix and cross products (`moments.rs`); Cholesky solves.
//!    Without penalty, indicator columns of categories depend on each other by design, which is allowed for
//!    (`categories.rs`).
//! 2. when the smallest pivot is below `REFINE_BELOW`, one pass computes the true residual and the factor corrects
//!    the solution by it (iterative refinement). Gradient and loss after a correction d follow from those before it, to the rounding of
//!    G d, which d makes small: another pass told the same (ridge of 16,000 x 13: 0.60 ms with it, 0.48 without).
//! 3. when the pivot is below `SINGULAR_BELOW`, or rows are fewer than columns, one pass reduces the centred rows to
//!    their triangle (`qr.rs`). Where every column has a part that those before it do not explain, beyond max(rows, columns) times
//!    machine epsilon, it is solved and corrected once by the true residual (Bjorck, "Numerical methods for least squares problems",
//!    1996, section 6.6.5); otherwise one-sided Jacobi rotations give the minimum-norm solution with the same cutoff, as NumPy's `lstsq`. Fewer rows than columns, if
//!    independent, are solved by the Cholesky factor of their own inner products instead.
//!
//! That is `LeastSquaresSolver::Auto`; the others do one of these always, or LSQR (`lsqr.rs`).
//!
//! With bounds on the coefficients the first pass is solved by coordinate descent (`bounded.rs`); a second one tells the true residual, by
//! which coefficients between the bounds are refined where 2. says so. `optimality` is then what a minimum asks still of any coefficient: a
//! gradient that pushes against a bound counts as none. Of several solutions one is found, not always the shortest.

use crate::categories::Categories;
use crate::cholesky::Cholesky;
use crate::moments::{Moments, Second};
use crate::qr::{Stack, Upper};
use crate::residual::Residual;
use crate::rows::{check_not_negative, check_shape};
use crate::{Chunk, Element, LinearModel, Link, Rows};
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use std::ops::Range;
use tilewise_base::rounds;
use tilewise_base::{Context, Error, Fit, FitReport, Result};
use tilewise_kernels::{MatRef, axpy, dot};

mod bounded;
pub(crate) mod lsqr;
mod solver;
mod triangle;

use bounded::{Bounds, Descent};
use lsqr::Lsqr;
pub use solver::LeastSquaresSolver;
use triangle::dual_solution;
pub(crate) use triangle::triangle;

/// Below this smallest pivot of the scaled Gram matrix the solution is refined by its true residual: normal equations
/// lose about 1 / pivot of relative accuracy. At 1e-5 Wampler's polynomials kept six digits, where QR keeps nine.
const REFINE_BELOW: f64 = 1e-2;

/// Below this smallest pivot the Gram matrix counts as singular: one correction no longer restores the lost digits.
const SINGULAR_BELOW: f64 = 1e-10;

/// Columns up to which ridge on fewer rows than columns still forms the Gram matrix of columns.
const WIDE_PRIMAL: usize = 512;

/// Parameters of least squares (`l2` = 0) and ridge regression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeastSquares {
    /// Weight of the penalty |b|^2.
    pub l2: f64,
    /// Whether to fit an intercept.
    pub intercept: bool,
    /// No coefficient is below this; 0 makes it non-negative least squares. The intercept has no bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// No coefficient is above this, which is not below `lower`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
    /// Bounds of single columns, each at most once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnBounds>,
    /// How the objective is minimised; with bounds by `Auto` alone. Models that are older than it have `Auto`.
    #[serde(default, skip_serializing_if = "LeastSquaresSolver::is_auto")]
    pub solver: LeastSquaresSolver,
}

/// The bounds of one coefficient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnBounds {
    /// The place of its column, from 0.
    pub column: usize,
    /// It is not below this; where there is none, that of all columns holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// It is not above this; where there is none, that of all columns holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
}

impl Default for LeastSquares {
    /// No penalty, an intercept, no bounds, the solver by shape.
    fn default() -> Self {
        let solver = LeastSquaresSolver::Auto;
        Self { l2: 0.0, intercept: true, lower: None, upper: None, columns: Vec::new(), solver }
    }
}

impl LeastSquares {
    /// Fits the rows of `x` to the numbers `y`. With bounds memory is needed for features^2 numbers, however few rows there are.
    ///
    /// # Errors
    /// When a parameter is out of range, shapes do not fit, there are no rows or features, or a number is NaN or infinite (named by row and
    /// feature); when columns depend on each other and `solver` is `Cholesky`; when the fit was cancelled before it had a solution.
    pub fn fit<T: Element>(
        &self,
        x: MatRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        context: &Context<'_>,
    ) -> Result<Fit<LinearModel>> {
        check_shape(x.rows(), x.cols())?;
        let mut trainer = self.trainer::<T>(x.cols(), x.rows())?.in_steps();
        rounds::run(&mut trainer, &Chunk { x, y, rows, first_row: 0 }, context)?;
        trainer.finish()
    }

    /// The fit as rounds, for data in several chunks; `rows` counts all of them.
    ///
    /// # Errors
    /// When a parameter is out of range, or there are no rows or features.
    pub fn trainer<T: Element>(&self, features: usize, rows: usize) -> Result<LeastSquaresTrainer<T>> {
        check_not_negative("l2", self.l2)?;
        check_shape(rows, features)?;
        self.check_solver()?;
        let bounds = Bounds::new(self, features)?;
        let wide = bounds.is_none() && features > rows && (self.l2 == 0.0 || features > WIDE_PRIMAL);
        Ok(LeastSquaresTrainer {
            params: self.clone(),
            bounds,
            looks: u64::MAX,
            met: true,
            features,
            rows,
            categories: Categories::default(),
            stage: Stage::Moments(self.gathered(wide)),
            moments: Moments::default(),
            factor: None,
            solution: vec![0.0; features],
            target_square: 0.0,
            report: FitReport::default(),
            element: PhantomData,
        })
    }
}

impl LeastSquares {
    /// Refuses bounds that cannot be, of so many columns, and a solver that knows none.
    pub(crate) fn check_bounds(&self, columns: usize) -> Result<()> {
        self.check_solver()?;
        Bounds::new(self, columns).map(|_| ())
    }

    /// Whether coefficients have bounds.
    pub(crate) fn is_bounded(&self) -> bool {
        self.lower.is_some() || self.upper.is_some() || !self.columns.is_empty()
    }
}

/// What workers are asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request(Ask);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Ask {
    Moments(Second),
    Triangle {
        mean: Vec<f64>,
        target_mean: f64,
    },
    /// Of so large a share of the target.
    Residual {
        coefficients: Vec<f64>,
        mean: Vec<f64>,
        target_mean: f64,
        share: f64,
    },
    Nothing,
}

/// What a chunk answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Partial(Answer);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Answer {
    Moments(Moments),
    Triangle(Stack),
    Residual(Residual),
    Nothing,
    Failed(String),
}

enum Stage {
    Moments(Second),
    Triangle,
    Lsqr(Box<Lsqr>),
    /// Coordinate descent between bounds is on its way, and asks nothing of the rows.
    Descent(Box<Descent>),
    /// The true residual is wanted, for a correction where there is a factor.
    Residual,
    Done,
}

/// What solves for the coefficients of centred features.
enum Factor {
    /// The factor and what it is of, row-major; zeros on the diagonal of columns left out.
    Cholesky(Cholesky, Vec<f64>),
    Triangle(Upper),
}

impl Factor {
    fn solve(&self, b: &mut [f64]) {
        match self {
            Self::Cholesky(factor, _) => factor.solve(b),
            Self::Triangle(upper) => upper.solve(b),
        }
    }

    /// The factored matrix times `d`, which `solve` made.
    fn times(&self, d: &[f64]) -> Result<Vec<f64>> {
        match self {
            Self::Cholesky(_, gram) => gram.chunks_exact(d.len()).map(|row| Ok(dot(row, d)?)).collect(),
            Self::Triangle(upper) => Ok(upper.square_times(d)),
        }
    }
}

/// Least squares as rounds.
pub struct LeastSquaresTrainer<T> {
    params: LeastSquares,
    bounds: Option<Bounds>,
    /// Looks of coordinate descent between two rounds.
    looks: u64,
    /// Whether coordinate descent came as near as it was to; other methods always do.
    met: bool,
    features: usize,
    rows: usize,
    categories: Categories,
    stage: Stage,
    moments: Moments,
    factor: Option<Factor>,
    solution: Vec<f64>,
    /// Of the centred target, where there are bounds.
    target_square: f64,
    report: FitReport,
    element: PhantomData<fn(T)>,
}

impl<T: Element> rounds::Rounds for LeastSquaresTrainer<T> {
    type Chunk<'a> = Chunk<'a, T, f64>;
    type Request = Request;
    type Partial = Partial;

    fn request(&self) -> Option<Request> {
        Some(Request(match &self.stage {
            Stage::Moments(second) => Ask::Moments(*second),
            Stage::Triangle => {
                let (mean, target_mean) = self.centre();
                Ask::Triangle { mean, target_mean }
            }
            Stage::Residual => {
                let (mean, target_mean) = self.centre();
                Ask::Residual { coefficients: self.solution.clone(), mean, target_mean, share: 1.0 }
            }
            Stage::Lsqr(lsqr) => {
                let ((mean, target_mean), (coefficients, share)) = (self.centre(), lsqr.ask());
                Ask::Residual { coefficients, mean, target_mean, share }
            }
            Stage::Descent(_) => Ask::Nothing,
            Stage::Done => return None,
        }))
    }

    fn partial(request: &Request, chunk: &Chunk<'_, T, f64>) -> Result<Partial> {
        let targets = |rows: Range<usize>| {
            let mut targets = chunk.y[rows.clone()].to_vec();
            if let Some(offset) = chunk.rows.offset {
                targets.iter_mut().zip(&offset[rows]).for_each(|(y, o)| *y -= o);
            }
            targets
        };
        Ok(Partial(match &request.0 {
            Ask::Moments(second) => {
                chunk.check()?;
                if let Some(i) = chunk.y.iter().position(|y| !y.is_finite()) {
                    return Err(chunk.bad(i, "target", "targets are finite"));
                }
                Answer::Moments(Moments::of(chunk, *second, targets)?)
            }
            Ask::Triangle { mean, target_mean } => Answer::Triangle(triangle(chunk, mean, *target_mean)?),
            Ask::Residual { coefficients, mean, target_mean, share } => {
                Answer::Residual(Residual::of(chunk, coefficients, mean, (*target_mean, *share))?)
            }
            Ask::Nothing => Answer::Nothing,
        }))
    }

    fn merge(left: Partial, right: Partial) -> Partial {
        Partial(match (left.0, right.0) {
            (Answer::Moments(a), Answer::Moments(b)) => Answer::Moments(a.merge(b)),
            (Answer::Triangle(a), Answer::Triangle(b)) => {
                a.merge(&b).map_or_else(|e| Answer::Failed(e.to_string()), Answer::Triangle)
            }
            (Answer::Residual(a), Answer::Residual(b)) => Answer::Residual(a.merge(&b)),
            (Answer::Nothing, Answer::Nothing) => Answer::Nothing,
            (Answer::Failed(e), _) | (_, Answer::Failed(e)) => Answer::Failed(e),
            _ => Answer::Failed("chunks answered different requests".into()),
        })
    }

    fn advance(&mut self, partial: Partial) -> Result<()> {
        self.report.rounds += u64::from(!matches!(partial.0, Answer::Nothing));
        match partial.0 {
            Answer::Moments(moments) => self.solve(moments),
            Answer::Triangle(stack) => self.solve_minimum_norm(stack),
            Answer::Residual(residual) => match std::mem::replace(&mut self.stage, Stage::Done) {
                Stage::Lsqr(lsqr) => self.bidiagonalise(lsqr, &residual),
                _ => self.correct(&residual),
            },
            Answer::Nothing => match std::mem::replace(&mut self.stage, Stage::Done) {
                Stage::Descent(descent) => self.descend(descent),
                _ => Err(Error::Fit("chunks answered another request".into())),
            },
            Answer::Failed(e) => Err(Error::Fit(e)),
        }
    }

    fn note(&self) -> String {
        match self.stage {
            Stage::Triangle => "means".into(),
            Stage::Lsqr(_) if self.report.rounds == 1 => "means".into(),
            // Solved from the triangle: the residual has yet to tell the loss.
            Stage::Residual | Stage::Descent(_) if self.bounds.is_some() => "coordinate descent".into(),
            Stage::Residual if !matches!(self.factor, Some(Factor::Cholesky(..))) => {
                "orthogonal factorisation".into()
            }
            _ => format!("loss {:.6}", self.report.objective),
        }
    }

    fn at_most(&self) -> u64 {
        // Rounds between looks are not known.
        match self.params.solver {
            _ if self.bounds.is_some() && self.looks < u64::MAX => 0,
            LeastSquaresSolver::Lsqr => lsqr::ROUNDS + 1,
            _ => 3,
        }
    }
}

impl<T: Element> LeastSquaresTrainer<T> {
    /// Tells which columns are the 0 and 1 of a category's levels, a range for each category. That these add up to one
    /// is then no reason for a slower method or a warning; the solution is the same.
    ///
    /// # Errors
    /// When ranges are not in order, overlap, or reach beyond the features.
    pub fn categories(mut self, groups: Vec<Range<usize>>) -> Result<Self> {
        self.categories = Categories::new(groups, self.features, self.params.intercept)?;
        Ok(self)
    }

    /// With rounds within coordinate descent between bounds, so that it can be stopped: where the rows are in memory, and a round costs nothing.
    pub(crate) fn in_steps(mut self) -> Self {
        self.looks = Descent::looks_at_once(self.features);
        self
    }

    /// Means to take off: zeros without intercept.
    fn centre(&self) -> (Vec<f64>, f64) {
        if self.params.intercept {
            (self.moments.mean.clone(), self.moments.target_mean)
        } else {
            (vec![0.0; self.features], 0.0)
        }
    }

    fn intercept(&self) -> f64 {
        let (mean, target_mean) = self.centre();
        target_mean - mean.iter().zip(&self.solution).map(|(m, w)| m * w).sum::<f64>()
    }

    fn solve(&mut self, mut moments: Moments) -> Result<()> {
        if moments.weight <= 0.0 {
            return Err(Error::Fit("all weights are zero; at least one row must count".into()));
        }
        let p = self.features;
        let (mut gram, mut cross) = (std::mem::take(&mut moments.second), std::mem::take(&mut moments.cross));
        self.moments = moments;
        let m = &self.moments;
        if !matches!(self.stage, Stage::Moments(Second::Gram)) {
            self.go_without_products(&gram);
            return Ok(());
        }
        let mut target_square = m.target_square;
        if !self.params.intercept {
            for (row, &a) in gram.chunks_exact_mut(p).zip(&m.mean) {
                axpy(m.weight * a, &m.mean, row)?;
            }
            axpy(m.weight * m.target_mean, &m.mean, &mut cross)?;
            target_square += m.weight * m.target_mean * m.target_mean;
        }
        let mut idle = vec![false; p];
        for j in 0..p {
            let d = &mut gram[j * p + j];
            // What is left of a constant column is rounding of its mean: it gets the coefficient zero, as in the
            // minimum-norm solution.
            if self.params.intercept && *d <= m.weight * (8.0 * f64::EPSILON * m.mean[j]).powi(2) || *d == 0.0
            {
                *d = 0.0;
                idle[j] = true;
            }
            if *d > 0.0 {
                *d += self.params.l2;
            }
        }
        if let Some(bounds) = self.bounds.clone() {
            let descent = Descent::new(gram, cross, target_square.sqrt(), bounds)?;
            self.target_square = target_square;
            return self.descend(Box::new(descent));
        }
        if self.params.l2 == 0.0 {
            // A diagonal of zero leaves a column out.
            self.categories.leave_out(&m.mean, &idle).into_iter().for_each(|j| gram[j * p + j] = 0.0);
        }
        let Some(factor) = Cholesky::new(&gram, p, SINGULAR_BELOW)? else {
            if self.params.solver == LeastSquaresSolver::Cholesky {
                return Err(self.params.singular());
            }
            self.stage = Stage::Triangle;
            return Ok(());
        };
        self.solution.copy_from_slice(&cross);
        factor.solve(&mut self.solution);
        // G w - c, and from it residual sum and gradient without another pass.
        let mut gradient = vec![0.0; p];
        for ((g, row), c) in gradient.iter_mut().zip(gram.chunks_exact(p)).zip(&cross) {
            *g = dot(row, &self.solution)? - c;
        }
        let penalised = target_square - dot(&cross, &self.solution)? + dot(&gradient, &self.solution)?;
        self.report.objective = penalised.max(0.0) / m.weight;
        self.report.optimality = gradient.iter().fold(0.0f64, |m, g| m.max(g.abs())) * 2.0 / m.weight;
        if self.params.l2 == 0.0 {
            let left_out = (0..p).filter(|j| gram[j * p + j] == 0.0).count();
            self.warn_of_rank(p - left_out);
        }
        self.categories.shorten(&mut self.solution);
        if factor.smallest_pivot < REFINE_BELOW {
            self.stage = Stage::Residual;
            self.factor = Some(Factor::Cholesky(factor, gram));
        } else {
            self.done("solved by Cholesky factorisation");
        }
        Ok(())
    }

    fn solve_minimum_norm(&mut self, mut stack: Stack) -> Result<()> {
        let (p, l2) = (self.features, self.params.l2);
        let auto = self.params.solver.is_auto();
        let dual = if auto && stack.rows() < p {
            dual_solution(&stack, p, l2, self.params.intercept)?
        } else {
            None
        };
        let rank = if let Some(solution) = dual {
            self.solution = solution;
            if l2 > 0.0 { p } else { stack.rows() - usize::from(self.params.intercept) }
        } else {
            if l2 > 0.0 {
                // Ridge is least squares with the rows sqrt(l2) I added.
                let mut penalty = vec![0.0; p * stack.cols];
                (0..p).for_each(|j| penalty[j * stack.cols + j] = l2.sqrt());
                stack = stack.merge(&Stack::new(penalty, p + 2)?)?;
            }
            let cutoff = f64::EPSILON * self.rows.max(p) as f64;
            stack = stack.triangular()?;
            let upper = match self.params.solver {
                LeastSquaresSolver::Svd => None,
                _ => Upper::new(&stack, p, cutoff),
            };
            if let Some(upper) = upper {
                self.solution = upper.solve_last(&stack);
                self.factor = Some(Factor::Triangle(upper));
                self.stage = Stage::Residual;
                return Ok(());
            }
            let (solution, rank) = crate::jacobi::minimum_norm(&mut stack.data, p, stack.cols, cutoff)?;
            self.solution = solution;
            rank
        };
        self.warn_of_rank(rank);
        self.stage = Stage::Residual;
        Ok(())
    }

    fn correct(&mut self, residual: &Residual) -> Result<()> {
        let (l2, weight) = (self.params.l2, self.moments.weight);
        let mut penalised = residual.square + self.solution.iter().map(|w| w * w).sum::<f64>() * l2;
        let mut gradient = residual.gradient.clone();
        axpy(l2, &self.solution, &mut gradient)?;
        if let Some(factor) = &self.factor {
            let mut step: Vec<f64> = gradient.iter().map(|g| -g).collect();
            factor.solve(&mut step);
            for (j, (step, b)) in step.iter_mut().zip(&mut self.solution).enumerate() {
                let corrected = *b + *step;
                let corrected = self.bounds.as_ref().map_or(corrected, |bounds| bounds.clamp(j, corrected));
                // With what rounding and bounds left of it.
                *step = corrected - *b;
                *b = corrected;
            }
            let change = factor.times(&step)?;
            penalised += 2.0 * dot(&gradient, &step)? + dot(&change, &step)?;
            axpy(1.0, &change, &mut gradient)?;
            self.categories.shorten(&mut self.solution);
        }
        let slope = if self.params.intercept { residual.sum } else { 0.0 };
        self.report.objective = penalised.max(0.0) / weight;
        // In the features as they are.
        let (mean, _) = self.centre();
        let raw = gradient.iter().zip(&mean).enumerate().map(|(j, (g, m))| self.far(j, g + slope * m));
        self.report.optimality = raw.fold(slope.abs(), f64::max) * 2.0 / weight;
        self.done(match self.factor {
            _ if self.bounds.is_some() => "solved by coordinate descent between the bounds",
            Some(Factor::Cholesky(..)) => "solved by Cholesky factorisation and one refinement",
            Some(Factor::Triangle(_)) => "solved by orthogonal factorisation and one refinement",
            None if self.params.solver == LeastSquaresSolver::Svd => "solved by singular values",
            None => "solved by orthogonal factorisation",
        });
        Ok(())
    }

    /// Warns of dependence among features beyond that of categories.
    fn warn_of_rank(&mut self, rank: usize) {
        let (p, lost) = (self.features, self.categories.lost_rank);
        if rank + lost < p {
            let expected = if lost > 0 { format!(", {lost} less for its categories") } else { String::new() };
            self.report.warnings.push(format!(
                "the features have rank {rank} of {p}{expected}: some depend on others; of all solutions the one of \
                 least norm was taken"
            ));
        }
    }

    fn done(&mut self, how: &str) {
        self.report.converged = self.met;
        self.report.stopped = how.into();
        self.stage = Stage::Done;
    }

    /// The model and how it went.
    ///
    /// # Errors
    /// When it was stopped before it had a solution.
    pub fn finish(mut self) -> Result<Fit<LinearModel>> {
        match self.stage {
            Stage::Done => {}
            Stage::Descent(_) => {
                self.report.stopped = "interrupted within coordinate descent between the bounds".into();
                self.report.warnings.push(format!("did not converge: {}", self.report.stopped));
            }
            Stage::Residual => {
                self.report.stopped = "interrupted before the check of the solution".into();
                self.report.warnings.push(format!("did not converge: {}", self.report.stopped));
                if self.bounds.is_none() && !matches!(self.factor, Some(Factor::Cholesky(..))) {
                    // Solved from the triangle, which does not tell them.
                    (self.report.objective, self.report.optimality) = (f64::NAN, f64::NAN);
                }
            }
            Stage::Lsqr(_) if self.report.rounds > 1 => {
                self.report.stopped = "interrupted within LSQR; the objective is its estimate".into();
                self.report.warnings.push(format!("did not converge: {}", self.report.stopped));
            }
            Stage::Moments(_) | Stage::Triangle | Stage::Lsqr(_) => return Err(Error::Cancelled),
        }
        let intercepts = vec![self.intercept()];
        if self.solution.iter().chain(&intercepts).any(|w| !w.is_finite()) {
            return Err(Error::Fit("the solution overflows; scale the features or the target".into()));
        }
        let model = LinearModel { coefficients: self.solution, intercepts, link: Link::Identity };
        Ok(Fit { model, report: self.report })
    }
}
