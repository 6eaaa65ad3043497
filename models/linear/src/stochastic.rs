//! Stochastic gradient descent: a step along the gradient of one row at a time, ever shorter, and the average of where the steps lead.
//!
//! Minimises the mean of w_i loss(x_i b + a + offset_i, y_i), weights being over their mean, and alpha (l1_ratio |b|_1 + (1 - l1_ratio) |b|^2 / 2).
//! The intercept a is not penalised. For rows that come as a stream or are too many for other solvers; those reach minima exactly.
//!
//! Step t has a length by [`Schedule`]. It goes along the gradient of one row's loss, but never past the minimum of that loss (of squares; of
//! other losses the minimum of a parabola above it), so that no step is too long (Asi, Duchi, "The importance of better models in stochastic
//! optimization", 2019), then the penalty draws all coefficients towards zero, which makes some zero where l1_ratio is not 0
//! (`stochastic/lazy.rs`). What is told is the last point or, with `average`, the mean of all points of later steps, which has a smaller error
//! by chance (Polyak, Juditsky, "Acceleration of stochastic approximation by averaging", 1992) but hardly ever exact zeros.
//!
//! The report's `optimality` is the largest entry of the objective's gradient; where |b|_1 is penalised, by how far a proximal gradient step
//! would move a coefficient, per length of the step: unlike a gradient with a corner it goes to 0 with coefficients that only come near it.
//!
//! One row after another: threads change no bit. Time of a pass goes with the stored cells. With `hogwild` threads take sparse rows at once
//! (`stochastic/hogwild.rs`): on more than one the answer is not reproducible.

use crate::rows::{check_not_negative, check_shape};
use crate::sparse::by_rows::ByRows;
use crate::sparse::look::Look;
use crate::sparse::loss::Loss;
use crate::sparse::problem::Problem;
use crate::sparse::{Data, check};
use crate::{Element, LinearModel, Link, Rows};
use serde::{Deserialize, Serialize};
use tilewise_base::sparse::Order;
use tilewise_base::{Context, Error, Fit, FitReport, Result, Sparse, SparseRef};
use tilewise_kernels::MatRef;
use tilewise_kernels::random::Philox;

mod hogwild;
mod lazy;

use hogwild::Hogwild;
use lazy::Lazy;

/// What a row is charged for its linear predictor z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StochasticLoss {
    /// (z - y)^2 / 2.
    #[default]
    Squared,
    /// ln(1 + e^z) - y z for targets 0 and 1.
    Logistic,
    /// (z - y)^2 / 2 up to this distance, above 0, and a line beyond.
    Huber(f64),
}

/// The length of step t, from 1, per unit of the gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// first / t^power: `first` above 0, `power` of 0 (steps of one length) or more. scikit-learn's `invscaling`.
    Inverse {
        /// The length of the first step.
        first: f64,
        /// How fast lengths fall.
        power: f64,
    },
    /// 1 / (alpha (t + t0 - 1)), t0 being 1 / (alpha^(3/4)): with a penalty only (Bottou, "Stochastic gradient descent tricks", 2012;
    /// scikit-learn's `optimal`).
    Optimal,
}

/// Parameters of stochastic gradient descent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StochasticDescent {
    /// What is minimised.
    pub loss: StochasticLoss,
    /// Weight of the penalty, 0 or more.
    pub alpha: f64,
    /// Share of |b|_1 in the penalty, from 0 to 1.
    pub l1_ratio: f64,
    /// Whether to fit an intercept.
    pub intercept: bool,
    /// Lengths of steps.
    pub schedule: Schedule,
    /// Steps after which points count in the average that is told; none for the last point.
    pub average: Option<u64>,
    /// Passes end once no entry of the gradient of the whole objective, of columns scaled to deviation 1, is larger, in units of the loss's
    /// slope: the target's deviation of squares, 1 of the logistic loss, the threshold of Huber's.
    pub tolerance: f64,
    /// Passes over the rows, after which the fit ends with a warning.
    pub max_rounds: u64,
    /// Whether all threads take rows of a pass at once and change the coefficients without locks (Hogwild). **Not reproducible on more than one
    /// thread**, of which the report warns. Of passes over sparse rows only; by default false. In `average` a pass counts with its last
    /// point, as often as its steps.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hogwild: bool,
}

impl Default for StochasticDescent {
    /// Squares without penalty, averaged from step 1000 on.
    fn default() -> Self {
        Self {
            loss: StochasticLoss::Squared,
            alpha: 0.0,
            l1_ratio: 0.0,
            intercept: true,
            schedule: Schedule::default(),
            average: Some(1000),
            tolerance: 1e-3,
            max_rounds: 1000,
            hogwild: false,
        }
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Inverse { first: 0.1, power: 0.5 }
    }
}

impl Schedule {
    /// The length of step `t`.
    fn length(self, alpha: f64, t: u64) -> f64 {
        match self {
            Self::Inverse { first, power } => first / (t as f64).powf(power),
            Self::Optimal => 1.0 / (alpha * ((t - 1) as f64 + alpha.sqrt().sqrt() / alpha)),
        }
    }
}

impl StochasticDescent {
    /// Fits the rows of `x` to `y`, in passes over all rows, each in an order of its own, until the tolerance is met. Columns should be of
    /// about the same scale. A copy of the cells that are not zero is made.
    ///
    /// # Errors
    /// When a parameter is out of range, shapes do not fit, there are no rows or features, no row has a weight, or a number is not what it must
    /// be (named by row and feature); when cancelled in the first pass; when `hogwild` is true.
    pub fn fit<T: Element>(
        &self,
        x: MatRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        context: &Context<'_>,
    ) -> Result<Fit<LinearModel>> {
        self.refuse_hogwild(DENSE)?;
        self.fit_sparse(Sparse::of_dense(x)?.view(), y, rows, context)
    }

    /// As [`fit`](Self::fit), of a sparse matrix; one by columns is turned first.
    ///
    /// # Errors
    /// As there, but for `hogwild`, which is accepted.
    pub fn fit_sparse<T: Element>(
        &self,
        x: SparseRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        context: &Context<'_>,
    ) -> Result<Fit<LinearModel>> {
        let mut learner = self.learner(x.cols())?;
        let report = learner.passes_sparse(x, y, rows, self.max_rounds, context)?;
        Ok(Fit { model: learner.model(), report })
    }

    /// Zero coefficients of so many features, to be trained by chunks or passes.
    ///
    /// # Errors
    /// When a parameter is out of range or there are no features.
    pub fn learner(&self, features: usize) -> Result<StochasticLearner> {
        check_shape(1, features)?;
        for (name, value) in [("alpha", self.alpha), ("tolerance", self.tolerance)] {
            check_not_negative(name, value)?;
        }
        if !(0.0..=1.0).contains(&self.l1_ratio) {
            return Err(Error::parameter("l1_ratio", self.l1_ratio, "expected a number from 0 to 1"));
        }
        match (self.loss, self.schedule) {
            (StochasticLoss::Huber(threshold), _) if !(threshold > 0.0 && threshold.is_finite()) => {
                return Err(Error::parameter("threshold", threshold, "expected a finite number above 0"));
            }
            (_, Schedule::Inverse { first, .. }) if !(first > 0.0 && first.is_finite()) => {
                return Err(Error::parameter("first", first, "expected a finite number above 0"));
            }
            (_, Schedule::Inverse { power, .. }) => check_not_negative("power", power)?,
            (_, Schedule::Optimal) if self.alpha == 0.0 => {
                let what = "without penalty (alpha = 0) there are no optimal lengths; inverse ones are taken";
                return Err(Error::parameter("schedule", "optimal", what));
            }
            (_, Schedule::Optimal) => {}
        }
        let (l1, l2) = (self.alpha * self.l1_ratio, self.alpha * (1.0 - self.l1_ratio));
        Ok(StochasticLearner {
            params: self.clone(),
            coefficients: Lazy::new(features, l1, l2),
            features,
            intercept: 0.0,
            intercepts: 0.0,
            steps: 0,
            passes: 0,
        })
    }

    fn loss(&self) -> Loss {
        match self.loss {
            StochasticLoss::Squared => Loss::Squared,
            StochasticLoss::Logistic => Loss::Binomial,
            StochasticLoss::Huber(threshold) => Loss::Huber(threshold),
        }
    }

    /// By how much a step of this length moves the intercept, and a coefficient per unit of its column: `row` has the linear predictor, the
    /// target, the weight and the sum of squares of all that is multiplied. Not past this share of the way to the row's own minimum.
    #[inline]
    fn move_by(&self, [z, y, weight, square]: [f64; 4], length: f64, share: f64) -> f64 {
        let loss = self.loss();
        let longest = share / (loss.steepest() * square);
        if weight > 0.0 { -(length * weight).min(longest) * loss.slope(z, y) } else { 0.0 }
    }

    fn refuse_hogwild(&self, accepted: &str) -> Result<()> {
        if self.hogwild { Err(Error::parameter("hogwild", true, accepted)) } else { Ok(()) }
    }
}

/// What is accepted where rows have no columns of their own.
const DENSE: &str =
    "dense rows share every column and are taken one after another: false; sparse rows take true";

/// And where their order is all that counts.
const STREAM: &str = "rows of a stream are taken one after another: false; passes over sparse rows take true";

/// A model in training, which more rows train further. It is a function of the rows in the order in which they came: how they are cut into
/// chunks changes no bit, and n passes that m follow are n + m.
///
/// ```
/// use tilewise_kernels::MatRef;
/// use tilewise_linear::{Rows, StochasticDescent};
/// let mut learner = StochasticDescent { average: None, ..Default::default() }.learner(1)?;
/// for chunk in 0..200 {
///     let x: Vec<f64> = (0..10).map(|i| f64::from((chunk * 10 + i) % 7) - 3.0).collect();
///     let y: Vec<f64> = x.iter().map(|x| 2.0 * x + 1.0).collect();
///     learner.partial_fit(MatRef::new(&x, 10, 1)?, &y, Rows::default())?;
/// }
/// let model = learner.model();
/// assert!((model.coefficients[0] - 2.0).abs() < 0.01 && (model.intercepts[0] - 1.0).abs() < 0.05, "{model:?}");
/// # Ok::<(), tilewise_base::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct StochasticLearner {
    params: StochasticDescent,
    features: usize,
    coefficients: Lazy,
    intercept: f64,
    /// The sum of those that count.
    intercepts: f64,
    steps: u64,
    passes: u64,
}

impl StochasticLearner {
    /// A step for each row of `x`, in their order. Weights count as they are: over all rows to come their mean should be 1, or the penalty is
    /// weighed otherwise. An error leaves the learner as it was.
    ///
    /// # Errors
    /// When shapes do not fit, there are no rows, or a number is not what it must be (named by row and feature); with `hogwild`.
    pub fn partial_fit<T: Element>(&mut self, x: MatRef<'_, T>, y: &[f64], rows: Rows<'_>) -> Result<()> {
        self.partial_fit_sparse(Sparse::of_dense(x)?.view(), y, rows)
    }

    /// As [`partial_fit`](Self::partial_fit), of a sparse matrix.
    ///
    /// # Errors
    /// As there.
    pub fn partial_fit_sparse<T: Element>(
        &mut self,
        x: SparseRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
    ) -> Result<()> {
        self.params.refuse_hogwild(STREAM)?;
        self.check(&x, y, rows)?;
        by_rows(x, |x| {
            (0..x.rows()).for_each(|i| {
                let (weight, offset) =
                    (rows.weights.map_or(1.0, |w| w[i]), rows.offset.map_or(0.0, |o| o[i]));
                self.step(x.line(i), y[i], weight, offset);
            });
            Ok(())
        })
    }

    /// So many passes over rows in memory, or fewer, once the tolerance is met; the report is of all rows and counts all passes so far. The
    /// first step of all begins at the mean of the target where that is its best intercept.
    ///
    /// # Errors
    /// As [`StochasticDescent::fit`].
    pub fn passes<T: Element>(
        &mut self,
        x: MatRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        passes: u64,
        context: &Context<'_>,
    ) -> Result<FitReport> {
        self.params.refuse_hogwild(DENSE)?;
        self.passes_sparse(Sparse::of_dense(x)?.view(), y, rows, passes, context)
    }

    /// As [`passes`](Self::passes), of a sparse matrix.
    ///
    /// # Errors
    /// As there, but for `hogwild`, which is accepted.
    pub fn passes_sparse<T: Element>(
        &mut self,
        x: SparseRef<'_, T>,
        y: &[f64],
        rows: Rows<'_>,
        passes: u64,
        context: &Context<'_>,
    ) -> Result<FitReport> {
        self.check(&x, y, rows)?;
        let params = self.params.clone();
        let data = Data::new(x, y, rows, params.loss(), params.intercept)?;
        let unit = match params.loss {
            StochasticLoss::Squared => data.target_square.sqrt(),
            StochasticLoss::Logistic => 1.0,
            StochasticLoss::Huber(threshold) => threshold,
        };
        let most = self.passes.saturating_add(passes.max(1));
        let problem = Problem {
            tolerance: params.tolerance * unit,
            max_rounds: most,
            ..data.problem.penalised(params.alpha, params.l1_ratio)
        };
        if self.steps == 0 && params.intercept {
            self.intercept = problem.start;
        }
        by_rows(x, |x| {
            let mut by = ByRows::new(x, 1);
            let hogwild = params.hogwild.then(|| Hogwild::new(x));
            loop {
                self.pass(x, &problem, hogwild.as_ref(), context.seed);
                let LinearModel { coefficients, intercepts, .. } = self.model();
                let look = Look::at(&problem, &mut by, &coefficients, intercepts[0])?;
                let (value, (norm, optimality)) = (look.value, look.nearby(&problem, &coefficients));
                let note = format!("loss {value:.6}, gradient {norm:.1e}");
                let mut go_on = |_: u64, _: f64, _: f64| {
                    context.progress.round(self.passes, most, &note);
                    !context.cancelled()
                };
                if !(value.is_finite() && norm.is_finite()) {
                    let what = "steps led beyond all numbers; scale the features or the target";
                    return Err(Error::Fit(what.into()));
                }
                let outcome = match problem.met(norm, optimality) {
                    None => problem.ended(None, (self.passes, value, norm, optimality), &mut go_on)?,
                    met => met,
                };
                if let Some(outcome) = outcome {
                    return Ok(FitReport {
                        converged: outcome.converged,
                        stopped: outcome.stopped,
                        objective: value,
                        optimality,
                        rounds: self.passes,
                        warnings: outcome
                            .warning
                            .into_iter()
                            .chain(hogwild.as_ref().and_then(Hogwild::warning))
                            .collect(),
                    });
                }
            }
        })
    }

    /// The model so far: the average, where steps count in it, or the last point.
    pub fn model(&self) -> LinearModel {
        let counted = self.counted();
        let of = |(value, sum): (f64, f64)| if counted > 0 { sum / counted as f64 } else { value };
        let coefficients = (0..self.features).map(|j| of(self.coefficients.value_and_sum(j))).collect();
        let intercepts = vec![of((self.intercept, self.intercepts))];
        let link = if self.params.loss == StochasticLoss::Logistic { Link::Logit } else { Link::Identity };
        LinearModel { coefficients, intercepts, link }
    }

    /// Steps so far that count in the average.
    fn counted(&self) -> u64 {
        self.params.average.map_or(0, |after| self.steps.saturating_sub(after))
    }

    /// Steps so far, one for each row of each pass or chunk.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    fn check<T: Element>(&self, x: &SparseRef<'_, T>, y: &[f64], rows: Rows<'_>) -> Result<()> {
        check(x, y, rows)?;
        if x.cols() != self.features {
            let what = format!("rows have {} features; {} are expected", x.cols(), self.features);
            return Err(Error::Fit(what));
        }
        let wrong = y.iter().position(|y| *y != 0.0 && *y != 1.0);
        match wrong.filter(|_| self.params.loss == StochasticLoss::Logistic) {
            Some(row) => {
                Err(Error::Fit(format!("row {row}: the target is not accepted; targets are 0 or 1")))
            }
            None => Ok(()),
        }
    }

    /// A step for each row, in an order that seed and number of the pass draw.
    fn pass<T: Element>(
        &mut self,
        x: SparseRef<'_, T>,
        problem: &Problem<'_>,
        hogwild: Option<&Hogwild>,
        seed: u64,
    ) {
        let purpose = Philox::purpose("stochastic descent").wrapping_add(self.passes);
        let order = Philox::new(seed, purpose).permutation(x.rows());
        self.passes += 1;
        let Some(hogwild) = hogwild else {
            let count = x.rows() as f64;
            for i in order {
                let answers = &problem.answers;
                self.step(x.line(i), answers.y[i], count * answers.shares[i], problem.offset(i));
            }
            return;
        };
        let point = (self.coefficients.values_mut(), &mut self.intercept);
        hogwild.pass(&self.params, x, problem, (&order, self.steps), point);
        let before = self.counted();
        self.steps += x.rows() as u64;
        let times = (self.counted() - before) as f64;
        self.coefficients.count(times);
        self.intercepts += times * self.intercept;
    }

    fn step<T: Element>(&mut self, line: (&[u32], &[T]), y: f64, weight: f64, offset: f64) {
        self.steps += 1;
        let params = &self.params;
        let length = params.schedule.length(params.alpha, self.steps);
        let counts = params.average.is_some_and(|after| self.steps > after);
        let mut z = self.intercept + offset;
        let mut square = if params.intercept { 1.0 } else { 0.0 };
        for (&j, x) in line.0.iter().zip(line.1) {
            let x = x.to_f64();
            z += self.coefficients.now(j as usize) * x;
            square += x * x;
        }
        let move_by = params.move_by([z, y, weight, square], length, 1.0);
        self.coefficients.begin(length, counts);
        for (&j, x) in line.0.iter().zip(line.1) {
            self.coefficients.pull(j as usize, move_by * x.to_f64(), length, counts);
        }
        self.coefficients.end();
        if params.intercept {
            self.intercept += move_by;
            self.intercepts += if counts { self.intercept } else { 0.0 };
        }
    }
}

/// With the matrix by rows, turned if it is not.
fn by_rows<T: Element, A>(x: SparseRef<'_, T>, f: impl FnOnce(SparseRef<'_, T>) -> Result<A>) -> Result<A> {
    match x.order() {
        Order::Rows => f(x),
        Order::Columns => f(x.turned().view()),
    }
}
