//! Training by the loss of all rows at once: L-BFGS.

use crate::plan::{Op, Tensor};
use crate::train::{is_true, yes};
use crate::{Loss, Network, Optimiser, Rows, Settings, Trainer};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tilewise_base::solver::{Evaluation, Solver};
use tilewise_base::{Context, Error, Fit, FitReport, Lbfgs, Result};
use tilewise_kernels::axpy;

/// Rows that go through the network at a time: their numbers of all layers are memory.
const PIECE: usize = 1024;

/// How weights follow the gradient of all rows at once, by L-BFGS (`tilewise_base::Lbfgs`): for tables of up to some thousands of rows,
/// where it comes closer to a minimum than steps of some rows each. Numbers are `f64`, as line searches need them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FullBatch {
    /// Most steps, at least 1.
    pub steps: u64,
    /// Most evaluations of the loss and its gradient, at least 1: a step takes one, or more where the first is not good enough.
    pub evaluations: u64,
    /// Largest entry of the gradient at which the fit has converged.
    pub tolerance: f64,
    /// Weight decay: `weight_decay` |w|^2 / 2 is added to the loss.
    pub weight_decay: f64,
    /// Whether biases and gains have it too.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub decay_biases: bool,
}

impl Default for FullBatch {
    fn default() -> Self {
        Self { steps: 200, evaluations: 15_000, tolerance: 1e-4, weight_decay: 0.0, decay_biases: true }
    }
}

impl FullBatch {
    /// Trains `network`; the same bits at any number of threads. The report's objective has the penalty in it, its optimality is the largest
    /// entry of the gradient, and its rounds are steps. Ctrl-C keeps the weights of the last step.
    ///
    /// # Errors
    /// When a number is out of range, shapes or targets do not fit, a layer is a dropout or a batch norm (whose loss is another one
    /// in each step), or the loss is not finite at first.
    pub fn fit(
        &self,
        network: Network<f64>,
        loss: Loss,
        class_weights: Option<Vec<f64>>,
        data: &Rows<'_, f64>,
        context: &Context<'_>,
    ) -> Result<Fit<Network<f64>>> {
        self.check()?;
        let drawn = |op: &Op| matches!(op, Op::Dropout { .. } | Op::BatchNorm { .. });
        if network.plan.steps.iter().any(|step| drawn(&step.op)) {
            let what = "with dropout or batch norm the loss is another one in each step; all other optimisers take them";
            return Err(Error::parameter("optimiser", "lbfgs", what));
        }
        data.check(network.inputs(), network.outputs())?;
        data.check_all("to learn from")?;
        loss.check_targets(data.targets, network.outputs())?;
        let settings = Settings {
            loss,
            class_weights,
            optimiser: Optimiser::SGD,
            weight_decay: 0.0,
            decay_biases: true,
            clip: None,
            seed: context.seed,
            scheme: context.scheme,
        };
        let mut objective = Objective::new(network, settings, data, self)?;
        let mut search = Lbfgs::new(objective.trainer.network().weights().to_vec(), self.tolerance, u64::MAX);
        let mut report = FitReport { stopped: "stopped by hand".into(), ..FitReport::default() };
        let mut evaluations = 0;
        while !context.cancelled() {
            let (evaluation, loss) = objective.at(search.point(), data)?;
            if !evaluation.value.is_finite() && search.accepted().is_none() {
                return Err(Error::Fit(format!("the loss is {loss} before the first step")));
            }
            let before = search.steps();
            let outcome = search.advance(evaluation)?;
            evaluations += 1;
            let steps = search.steps();
            if steps > before {
                context.progress.round(steps, self.steps, &format!("loss {loss:.5}"));
                context.progress.losses(steps, loss, None);
            }
            if let Some(outcome) = outcome {
                report.converged = outcome.converged;
                report.stopped = outcome.stopped;
                report.warnings.extend(outcome.warning);
                break;
            }
            let limit = if steps >= self.steps {
                Some(format!("{steps} steps"))
            } else {
                (evaluations >= self.evaluations).then(|| format!("{evaluations} evaluations"))
            };
            if let Some(limit) = limit {
                let norm = search.accepted().map_or(f64::NAN, |best| best.norm);
                report.stopped = format!(
                    "{limit} are done with gradient {norm:.1e} above the tolerance {:.1e}",
                    self.tolerance
                );
                report.warnings.push(format!("did not converge: {}", report.stopped));
                break;
            }
        }
        let best = search.accepted().ok_or(Error::Cancelled)?;
        (report.objective, report.optimality, report.rounds) = (best.value, best.norm, search.steps());
        let mut network = objective.trainer.into_network();
        network.weights_mut().copy_from_slice(&best.point);
        Ok(Fit { model: network, report })
    }

    fn check(&self) -> Result<()> {
        for (name, number) in [("epochs", self.steps), ("max_evaluations", self.evaluations)] {
            if number == 0 {
                return Err(Error::parameter(name, 0, "at least 1 is"));
            }
        }
        for (name, number) in [("tolerance", self.tolerance), ("weight_decay", self.weight_decay)] {
            if !(number >= 0.0 && number.is_finite()) {
                return Err(Error::parameter(name, number, "a number of 0 or more is"));
            }
        }
        Ok(())
    }
}

/// The loss of all rows, with its penalty, as a function of the weights.
struct Objective {
    trainer: Trainer<f64>,
    /// Places of rows that go through together, and their share of all weight.
    pieces: Vec<(Vec<usize>, f64)>,
    decay: f64,
    /// Which weights it is of.
    decayed: Vec<Range<usize>>,
}

impl Objective {
    fn new(
        network: Network<f64>,
        settings: Settings,
        data: &Rows<'_, f64>,
        full: &FullBatch,
    ) -> Result<Self> {
        let rows = data.x.rows();
        let trainer = Trainer::new(network, settings, PIECE.min(rows))?;
        let all: Vec<usize> = (0..rows).collect();
        let weight = |rows: &[usize]| rows.iter().map(|&row| trainer.weight(data, row)).sum::<f64>();
        let weights: Vec<f64> = all.chunks(PIECE).map(weight).collect();
        let total: f64 = weights.iter().sum();
        let share = |weight: f64| if total > 0.0 { weight / total } else { 0.0 };
        let pieces = all.chunks(PIECE).zip(weights).map(|(rows, weight)| (rows.to_vec(), share(weight)));
        let decayed = |tensor: &&Tensor| full.decay_biases || tensor.kind.is_weight();
        let decayed = trainer.network().plan.tensors.iter().filter(decayed).map(|t| t.range.clone());
        Ok(Self { pieces: pieces.collect(), decayed: decayed.collect(), trainer, decay: full.weight_decay })
    }

    /// The objective at `point`, and the loss alone.
    fn at(&mut self, point: &[f64], data: &Rows<'_, f64>) -> Result<(Evaluation, f64)> {
        self.trainer.network_mut().weights_mut().copy_from_slice(point);
        let (mut loss, mut gradient) = (0.0, vec![0.0; point.len()]);
        for (rows, share) in &self.pieces {
            let (of_piece, slopes) = self.trainer.gradient(data, rows)?;
            loss += share * of_piece;
            axpy(*share, slopes, &mut gradient)?;
        }
        let mut squares = 0.0;
        for range in &self.decayed {
            axpy(self.decay, &point[range.clone()], &mut gradient[range.clone()])?;
            squares += point[range.clone()].iter().map(|w| w * w).sum::<f64>();
        }
        let penalty = 0.5 * self.decay * squares;
        // A slope that is no number makes a norm that is none: nothing has converged there.
        let largest =
            |norm: f64, slope: &f64| if norm.is_nan() || norm >= slope.abs() { norm } else { slope.abs() };
        let norm = gradient.iter().fold(0.0, largest);
        let value = loss + penalty;
        Ok((Evaluation { value, gradient, hessian: Vec::new(), norm, optimality: norm }, loss))
    }
}
