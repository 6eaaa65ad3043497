//! From rows and layers to layers that learned.

use super::Parameters;
use super::engine::Engine;
use super::learned::{Learned, balanced};
use crate::{Begun, Beside, FullBatch, Keep, Layer, Loss, Network, Standing, Training};
use tilewise_base::mapped::Plain;
use tilewise_base::{Array, Context, Error, Fit, FitReport, Result, split};
use tilewise_kernels::Float;

/// Layers to be trained, and how.
pub(super) struct Made<'a> {
    pub(super) parameters: &'a Parameters,
    pub(super) layers: Vec<Layer>,
    /// Whose weights are the first ones, and where its training was; else weights are drawn.
    pub(super) start: Option<(&'a Engine, Option<&'a Standing>)>,
    pub(super) width: usize,
    /// Takes what there is on the way.
    pub(super) keep: &'a dyn Fn(Learnt) -> Result<()>,
    pub(super) context: &'a Context<'a>,
}

/// What rows should be answered: classes, or rows x targets numbers, one after the other; and what they weigh.
pub(super) struct Goals {
    pub(super) labels: Vec<u32>,
    pub(super) numbers: Vec<f64>,
    pub(super) weights: Option<Vec<f64>>,
}

/// What training makes.
pub(super) struct Learnt {
    pub(super) engine: Engine,
    /// Where it ended, if it can go on.
    pub(super) standing: Option<Standing>,
    /// With the batch that was taken.
    pub(super) training: Training,
    pub(super) report: FitReport,
}

impl Made<'_> {
    /// Layers that learned `goals` from `design`, computed in `T`, where that ended, the training with the batch that was taken, and how it went.
    pub(super) fn trained<T: Float + Plain>(&self, design: Array<f64>, goals: &Goals) -> Result<Learnt> {
        let Self { parameters, context, width, .. } = *self;
        let storage = &context.storage;
        let (learned, network, loss, class_weights) = self.ready::<T>(design, goals)?;
        let classify = !learned.labels.is_empty();
        if context.checkpoint.is_some() && parameters.validation > 0.0 {
            let what =
                "with checkpoints 0 is: a training whose best epoch counts does not go on from its last";
            return Err(Error::parameter("validation_fraction", parameters.validation, what));
        }
        let (train, held_out) = match parameters.validation > 0.0 {
            true => {
                let strata = classify.then_some(&learned.labels[..]);
                let rows = learned.x.len() / width;
                let (train, test) = split::split(rows, parameters.validation, context.seed, strata)?;
                let held_out = learned.take(&test, width, storage)?;
                (learned.take(&train, width, storage)?, Some(held_out))
            }
            false => (learned, None),
        };
        let held_out = held_out.as_ref().map(|rows| rows.rows(width)).transpose()?;
        let (rows, training) = (train.rows(width)?, &parameters.training);
        let training = Training { batch: Some(training.batch_of(rows.x.rows())), ..training.clone() };
        let standing = self.start.and_then(|(_, standing)| standing).cloned();
        let begun = Begun { network, standing };
        let learnt = |fit: Fit<Begun<T>>| -> Result<Learnt> {
            let (Begun { network, standing }, report) = (fit.model, fit.report);
            let engine = Engine::of(&network, parameters.precision)?;
            let standing = standing.filter(Standing::is_finite);
            Ok(Learnt { engine, standing, training: training.clone(), report })
        };
        let kept = |fit: Fit<Begun<T>>| (self.keep)(learnt(fit)?);
        let keep: Option<(u64, Keep<'_, T>)> =
            context.checkpoint.as_ref().map(|checkpoint| (checkpoint.every, &kept as Keep<'_, T>));
        let beside = Beside { held_out: held_out.as_ref(), keep };
        learnt(training.go_on(begun, loss, class_weights, &rows, &beside, context)?)
    }

    /// As [`trained`](Self::trained), by all rows at once.
    pub(super) fn trained_at_once(
        &self,
        full: &FullBatch,
        design: Array<f64>,
        goals: &Goals,
    ) -> Result<Learnt> {
        let Self { parameters, context, width, .. } = *self;
        if parameters.validation > 0.0 {
            let what = "lbfgs learns from all rows and holds none out; 0 is";
            return Err(Error::parameter("validation_fraction", parameters.validation, what));
        }
        if context.checkpoint.is_some() {
            let what =
                "with checkpoints any other is: lbfgs begins anew from weights, and keeps nothing on the way";
            return Err(Error::parameter("optimiser", "lbfgs", what));
        }
        let (learned, network, loss, class_weights) = self.ready(design, goals)?;
        let fit = full.fit(network, loss, class_weights, &learned.rows(width)?, context)?;
        // A step takes all rows, which the file tells.
        let training = Training { batch: Some(learned.x.len() / width), ..parameters.training.clone() };
        let engine = Engine::of(&fit.model, parameters.precision)?;
        Ok(Learnt { engine, standing: None, training, report: fit.report })
    }

    /// Rows, the network before it is trained, its loss, and weights of classes.
    #[expect(clippy::type_complexity, reason = "four things that belong together, named above")]
    fn ready<T: Float + Plain>(
        &self,
        design: Array<f64>,
        goals: &Goals,
    ) -> Result<(Learned<T>, Network<T>, Loss, Option<Vec<f64>>)> {
        let Self { parameters, context, width, .. } = *self;
        let storage = &context.storage;
        let narrow = |all: &[f64]| -> Vec<T> { all.iter().map(|&x| T::from_f64(x)).collect() };
        let learned = Learned {
            x: storage.map(&design, |&x| T::from_f64(x))?,
            labels: goals.labels.clone(),
            numbers: narrow(&goals.numbers),
            weights: goals.weights.as_deref().map(narrow),
        };
        drop(design);
        let classify = !learned.labels.is_empty();
        let loss = match (classify, parameters.huber) {
            (true, _) => Loss::CrossEntropy { smoothing: parameters.label_smoothing },
            (false, Some(delta)) => Loss::Huber { delta },
            (false, None) if parameters.halved => Loss::HalfSquared,
            (false, None) => Loss::Squared,
        };
        let network = match self.start {
            Some((engine, _)) => engine.network()?,
            None => Network::<T>::new(width, &self.layers, parameters.initialiser, context.seed)?,
        };
        let class_weights = (classify && parameters.balanced).then(|| balanced(&learned, network.outputs()));
        Ok((learned, network, loss, class_weights))
    }
}
