//! Fits of sparse matrices, of which only the stored cells are read.
//!
//! Objectives, parameters and reports are those of dense rows. Smooth ones are minimised by Newton's method with conjugate gradients
//! over the rows (`newton_cg.rs`), those with |b|_1 by coordinate descent on working sets of columns (`descent.rs`), either by SAGA (`saga.rs`), and squares by LSQR (`lsqr.rs`), where asked for. A matrix that lies
//! the other way is turned first, which takes memory for another copy. Intercepts do not make anything dense. Sums are cut by where the
//! stored cells lie, so that threads change no bit; dense fits of the same rows agree within what tolerances leave.

use crate::newton_cg::PRODUCTS_PER_ROUND;
use crate::rows::{check_not_negative, check_shape};
use crate::{
    ClassWeights, ElasticNet, ElasticNetSolver, Element, Generalised, Huber, LeastSquares,
    LeastSquaresSolver, LinearModel, Link, Logistic, LogisticSolver, Rows,
};
use tilewise_base::sparse::Order;
use tilewise_base::{Context, Error, Fit, FitReport, Result, Sparse, SparseRef};
use tilewise_kernels::{dot, same, sum};

pub(crate) mod by_rows;
mod descent;
mod drawing;
mod factored;
pub(crate) mod look;
pub(crate) mod loss;
mod lsqr;
mod newton_cg;
pub(crate) mod problem;
mod saga;

use by_rows::ByRows;
pub(crate) use by_rows::inner;
use loss::{Answers, Loss};
use problem::{Problem, Solved};

/// Gradient of least squares without corners, per deviation of the target, at which it counts as solved; and passes until then.
const SQUARES: (f64, u64) = (1e-10, 20_000);

/// What a column's variance has left of its mean square where it is constant: rounding.
const CONSTANT: f64 = 1e-14;

/// The mean square about the mean; 0 where it is rounding.
fn about(square: f64, mean: f64) -> f64 {
    let about = square - mean * mean;
    if about > CONSTANT * square { about } else { 0.0 }
}

impl LeastSquares {
    /// As [`fit`](Self::fit), of a sparse matrix. Of several solutions without penalty one is found that is
    /// short where each column is measured by its own size: not the one of least norm that dense rows, and `Lsqr`, give.
    ///
    /// # Errors
    /// As there; when coefficients have bounds, or `solver` is neither `Auto` nor `Lsqr`.
    pub fn fit_sparse<T: Element>(
        &self,
        x: SparseRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        context: &Context<'_>,
    ) -> Result<Fit<LinearModel>> {
        check_not_negative("l2", self.l2)?;
        for (name, bound) in [("lower", self.lower), ("upper", self.upper)] {
            if let Some(bound) = bound {
                let what = "coefficients of sparse columns have no bounds; expected none";
                return Err(Error::parameter(name, bound, what));
            }
        }
        if let Some(bounds) = self.columns.first() {
            let what = "coefficients of sparse columns have no bounds; expected none";
            return Err(Error::parameter("columns", bounds.column, what));
        }
        let lsqr = self.solver == LeastSquaresSolver::Lsqr;
        if !lsqr && self.solver != LeastSquaresSolver::Auto {
            let what = "sparse rows are not factored; auto (conjugate gradients) and lsqr are accepted";
            return Err(Error::parameter("solver", self.solver.name(), what));
        }
        let data = Data::new(x, y, rows, Loss::Squared, self.intercept)?;
        let tolerance = SQUARES.0 * data.target_square.sqrt();
        let l2 = self.l2 / data.weight;
        let problem = Problem { l2, tolerance, max_rounds: SQUARES.1, lsqr, ..data.problem };
        let mut fit = solve(&problem, x, Link::Identity, context)?;
        // Here the square is not halved.
        fit.report.objective *= 2.0;
        fit.report.optimality *= 2.0;
        Ok(fit)
    }
}

impl ElasticNet {
    /// As [`fit`](Self::fit), of a sparse matrix, by working sets of columns or, where `solver` says so, SAGA.
    ///
    /// # Errors
    /// As there; when columns are to be standardised, or coefficients not negative.
    pub fn fit_sparse<T: Element>(
        &self,
        x: SparseRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        context: &Context<'_>,
    ) -> Result<Fit<LinearModel>> {
        self.check()?;
        if self.standardise {
            let what = "sparse columns, and those of SAGA, keep their scales; expected false";
            return Err(Error::parameter("standardise", true, what));
        }
        if self.positive {
            let what = "coefficients of sparse columns, and those of SAGA, have any sign; expected false";
            return Err(Error::parameter("positive", true, what));
        }
        let data = Data::new(x, y, rows, Loss::Squared, self.intercept)?;
        let problem = Problem {
            gap: Some(self.tolerance * 0.5 * data.target_square),
            max_rounds: self.max_rounds,
            saga: self.solver == ElasticNetSolver::Saga,
            ..data.problem.penalised(self.alpha, self.l1_ratio)
        };
        solve(&problem, x, Link::Identity, context)
    }
}

impl Generalised {
    /// As [`fit`](Self::fit), of a sparse matrix.
    ///
    /// # Errors
    /// As there; when `solver` is neither `Auto` nor `NewtonCg`.
    pub fn fit_sparse<T: Element>(
        &self,
        x: SparseRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        context: &Context<'_>,
    ) -> Result<Fit<LinearModel>> {
        self.check()?;
        self.check_sparse()?;
        self.distribution.check_convex("sparse rows")?;
        let wrong = y.iter().enumerate().find_map(|(i, &y)| Some((i, self.distribution.refuses(y)?)));
        if let Some((row, what)) = wrong {
            return Err(Error::Fit(format!("row {row}: the target {what}")));
        }
        let data = Data::new(x, y, rows, Loss::Deviance(self.distribution), self.intercept)?;
        let problem = Problem {
            tolerance: self.tolerance,
            // A round of a dense fit finds its step by factoring; here it takes products besides.
            max_rounds: self.max_rounds.saturating_mul(PRODUCTS_PER_ROUND),
            ..data.problem.penalised(self.alpha, self.l1_ratio)
        };
        solve(&problem, x, Link::Log, context)
    }
}

impl Huber {
    /// As [`fit`](Self::fit), of a sparse matrix.
    ///
    /// # Errors
    /// As there; when the scale is to be found too.
    pub fn fit_sparse<T: Element>(
        &self,
        x: SparseRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        context: &Context<'_>,
    ) -> Result<Fit<LinearModel>> {
        self.check()?;
        if self.joint_scale {
            let what = "the scale of sparse rows is given; expected false";
            return Err(Error::parameter("joint_scale", true, what));
        }
        let data = Data::new(x, y, rows, Loss::Huber(self.threshold), self.intercept)?;
        let problem = Problem {
            tolerance: self.tolerance,
            max_rounds: self.max_rounds,
            ..data.problem.penalised(self.alpha, self.l1_ratio)
        };
        solve(&problem, x, Link::Identity, context)
    }
}

impl Logistic {
    /// As [`fit`](Self::fit), of a sparse matrix.
    ///
    /// # Errors
    /// As there; when there are more classes than two and `l1` is not 0 or `solver` is `Saga`, or `solver` is neither that nor `Auto` nor,
    /// without `l1`, `NewtonCg`: the penalty decides how sparse problems are solved.
    pub fn fit_sparse<T: Element>(
        &self,
        x: SparseRef<'_, T>,
        y: &[u32],
        rows: Rows<'_>,
        context: &Context<'_>,
    ) -> Result<Fit<LinearModel>> {
        let saga = self.solver == LogisticSolver::Saga;
        // Which is what `Auto` stands for here.
        let newton = self.solver == LogisticSolver::NewtonCg && self.l1 == 0.0;
        if !saga && !newton && self.solver != LogisticSolver::Auto {
            let what = "the penalty decides how a sparse problem is solved; auto, saga and, without l1, newton-cg are";
            return Err(Error::parameter("solver", "given", what));
        }
        let classes = y.iter().max().map_or(0, |&c| c as usize + 1).max(2);
        if classes > y.len().max(2) {
            // Before anything of their number is allocated.
            return Err(first_without_row(y));
        }
        self.check(classes)?;
        if classes > 2 && saga {
            return Err(Error::parameter("solver", "saga", "it takes two classes; auto takes more"));
        }
        if classes > 2 && self.l1 > 0.0 {
            let what = "sparse rows of more than two classes have no coefficients made zero; expected 0";
            return Err(Error::parameter("l1", self.l1, what));
        }
        let mut totals = vec![0.0; classes];
        for (i, &y) in y.iter().enumerate() {
            totals[y as usize] += rows.weights.and_then(|w| w.get(i).copied()).unwrap_or(1.0);
        }
        let weight: f64 = totals.iter().sum();
        let factors: Option<Vec<f64>> = match &self.class_weights {
            ClassWeights::Ones => None,
            ClassWeights::Balanced => Some(totals.iter().map(|t| weight / (classes as f64 * t)).collect()),
            ClassWeights::Given(given) => Some(given.clone()),
        };
        let weights: Option<Vec<f64>> = factors.map(|factors| {
            let own = |i: usize| rows.weights.and_then(|w| w.get(i).copied()).unwrap_or(1.0);
            y.iter().enumerate().map(|(i, &y)| own(i) * factors[y as usize]).collect()
        });
        let numbers: Vec<f64> = y.iter().map(|&y| f64::from(y)).collect();
        let weighted = Rows { weights: weights.as_deref().or(rows.weights), offset: rows.offset };
        // Weights are checked first: a class that has none says what is wrong with it.
        check(&x, &numbers, rows)?;
        if let Some(empty) = totals.iter().position(|&t| t == 0.0) {
            let what = if totals.iter().all(|t| *t == 0.0) {
                "all weights are zero; at least one row must count".to_owned()
            } else {
                format!("class {empty} has no row of positive weight; every class needs one")
            };
            return Err(Error::Fit(what));
        }
        let (loss, link) = match classes {
            2 => (Loss::Binomial, Link::Logit),
            _ => (Loss::Softmax(classes), Link::Softmax),
        };
        let data = Data::new(x, &numbers, weighted, loss, self.intercept)?;
        let problem = Problem {
            l1: self.l1 / data.weight,
            l2: self.l2 / data.weight,
            tolerance: self.tolerance,
            max_rounds: if saga {
                self.max_rounds
            } else {
                self.max_rounds.saturating_mul(PRODUCTS_PER_ROUND)
            },
            saga,
            ..data.problem
        };
        solve(&problem, x, link, context)
    }
}

/// The error of fewer rows than classes.
fn first_without_row(y: &[u32]) -> Error {
    let mut seen = vec![false; y.len()];
    y.iter().for_each(|&c| seen.get_mut(c as usize).into_iter().for_each(|seen| *seen = true));
    let empty = seen.iter().position(|seen| !seen).unwrap_or(y.len());
    Error::Fit(format!("class {empty} has no row of positive weight; every class needs one"))
}

/// A problem without penalty, and what else its rows tell.
pub(crate) struct Data<'a> {
    pub(crate) problem: Problem<'a>,
    /// Sum of the weights.
    weight: f64,
    /// Mean square of the target without its offset, about its mean where there is an intercept.
    pub(crate) target_square: f64,
}

/// What can be wrong with rows before they are read.
pub(crate) fn check<T: Element>(x: &SparseRef<'_, T>, y: &[f64], rows: Rows<'_>) -> Result<()> {
    check_shape(x.rows(), x.cols())?;
    let n = x.rows();
    same("targets against rows of x", n, y.len())?;
    same("weights against rows of x", n, rows.weights.map_or(n, <[f64]>::len))?;
    same("offset against rows of x", n, rows.offset.map_or(n, <[f64]>::len))?;
    let bad = |row: usize, what: &str, accepted: &str| {
        Err(Error::Fit(format!("row {row}: the {what} is not accepted; {accepted}")))
    };
    if let Some(i) = y.iter().position(|y| !y.is_finite()) {
        return bad(i, "target", "targets are finite");
    }
    if let Some(i) = rows.weights.and_then(|w| w.iter().position(|w| !(w.is_finite() && *w >= 0.0))) {
        return bad(i, "weight", "weights are finite and not negative");
    }
    if let Some(i) = rows.offset.and_then(|o| o.iter().position(|o| !o.is_finite())) {
        return bad(i, "offset", "offsets are finite");
    }
    if let Some((row, feature, value)) = x.not_finite() {
        let what = format!("row {row}, feature {feature}: {value} is not accepted; features are finite");
        return Err(Error::Fit(what));
    }
    Ok(())
}

impl<'a> Data<'a> {
    pub(crate) fn new<T: Element>(
        x: SparseRef<'_, T>,
        y: &[f64],
        rows: Rows<'a>,
        loss: Loss,
        intercept: bool,
    ) -> Result<Self> {
        check(&x, y, rows)?;
        let n = x.rows();
        let weight = rows.weights.map_or(n as f64, sum);
        if !(weight > 0.0 && weight.is_finite()) {
            return Err(Error::Fit("all weights are zero; at least one row must count".into()));
        }
        let shares: Vec<f64> = match rows.weights {
            Some(weights) => weights.iter().map(|w| w / weight).collect(),
            None => vec![1.0 / n as f64; n],
        };
        let (mut mean, squares) = moments(x, &shares);
        if mean.iter().chain(&squares).any(|m| !m.is_finite()) {
            let what = "features are so large that their squares overflow; scale them down";
            return Err(Error::Fit(what.into()));
        }
        let deviation = mean
            .iter()
            .zip(&squares)
            .map(|(mean, square)| about(*square, *mean).sqrt())
            .map(|deviation| if deviation > 0.0 { deviation } else { 1.0 })
            .collect();
        if !intercept {
            mean.fill(0.0);
        }
        let offset = |i: usize| rows.offset.map_or(0.0, |o| o[i]);
        let targets: Vec<f64> = (0..n).map(|i| y[i] - offset(i)).collect();
        let target_mean = if intercept { dot(&shares, &targets)? } else { 0.0 };
        let target_square =
            targets.iter().zip(&shares).map(|(y, share)| share * (y - target_mean).powi(2)).sum();
        let start = match loss {
            Loss::Squared | Loss::Huber(_) => target_mean,
            Loss::Deviance(_) => start(y, &shares, rows.offset, intercept)?,
            Loss::Binomial | Loss::Softmax(_) => 0.0,
        };
        let problem = Problem {
            answers: Answers { loss, y: y.to_vec(), shares },
            offset: rows.offset,
            l1: 0.0,
            l2: 0.0,
            intercept,
            mean,
            deviation,
            start,
            tolerance: 0.0,
            gap: None,
            max_rounds: 0,
            saga: false,
            lsqr: false,
        };
        Ok(Self { problem, weight, target_square })
    }
}

/// The intercept of a model without features whose mean is e^z.
pub(crate) fn start(y: &[f64], shares: &[f64], offset: Option<&[f64]>, intercept: bool) -> Result<f64> {
    let target = dot(y, shares)?;
    if target <= 0.0 {
        let what = "all targets of rows that count are zero: their mean has no logarithm";
        return Err(Error::Fit(what.into()));
    }
    let exposure: f64 = match offset {
        Some(offset) => {
            offset.iter().zip(shares).map(|(o, s)| if *s > 0.0 { s * o.exp() } else { 0.0 }).sum()
        }
        None => 1.0,
    };
    let start = (target / exposure).ln();
    if !start.is_finite() {
        return Err(Error::Fit("targets or offsets are so large that means overflow".into()));
    }
    Ok(if intercept { start } else { 0.0 })
}

/// Of each column the mean and the mean square.
fn moments<T: Element>(x: SparseRef<'_, T>, shares: &[f64]) -> (Vec<f64>, Vec<f64>) {
    if x.order() == Order::Rows {
        return ByRows::new(x, 1).sums_and_squares(shares, shares);
    }
    let of = |j: usize| {
        let (rows, values) = x.line(j);
        rows.iter().zip(values).fold((0.0, 0.0), |(first, second), (&i, x)| {
            let (x, share) = (x.to_f64(), shares[i as usize]);
            (first + share * x, second + share * x * x)
        })
    };
    (0..x.cols()).map(of).unzip()
}

fn solve<T: Element>(
    problem: &Problem<'_>,
    x: SparseRef<'_, T>,
    link: Link,
    context: &Context<'_>,
) -> Result<Fit<LinearModel>> {
    let by_columns = !problem.saga && (problem.l1 > 0.0 || problem.gap.is_some());
    let wanted = if by_columns { Order::Columns } else { Order::Rows };
    let turned: Sparse<T>;
    let x = if x.order() == wanted {
        x
    } else {
        turned = x.turned();
        turned.view()
    };
    let mut go_on = |round: u64, value: f64, norm: f64| {
        let note = format!("loss {value:.6}, gradient {norm:.1e}");
        context.progress.round(round, problem.max_rounds, &note);
        !context.cancelled()
    };
    let solved = match wanted {
        Order::Columns => descent::solve(problem, x, &mut go_on)?,
        Order::Rows if problem.saga => {
            saga::solve(problem, &mut ByRows::new(x, 1), context.seed, &mut go_on)?
        }
        Order::Rows if problem.lsqr => lsqr::solve(problem, &mut ByRows::new(x, 1), &mut go_on)?,
        Order::Rows => {
            newton_cg::solve(problem, &mut ByRows::new(x, problem.answers.loss.predictors()), &mut go_on)?
        }
    };
    let Solved { coefficients, intercepts, value, optimality, rounds, outcome } = solved;
    if coefficients.iter().chain(&intercepts).chain([&value]).any(|w| !w.is_finite()) {
        return Err(Error::Fit("the solution overflows; scale the features or the target".into()));
    }
    let report = FitReport {
        converged: outcome.converged,
        stopped: outcome.stopped,
        objective: value,
        optimality,
        rounds,
        warnings: outcome.warning.into_iter().collect(),
    };
    Ok(Fit { model: LinearModel { coefficients, intercepts, link }, report })
}
