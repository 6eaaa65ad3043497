//! Training step by step.

use crate::arena::Arena;
use crate::backward::{Backward, Learned};
use crate::loss::Judged;
use crate::optimiser::{Rule, State};
use crate::pass::{Mode, Workspace, forward};
use crate::plan::Op;
use crate::{Loss, Network, Optimiser, Targets, Update};
use tilewise_base::{Error, Result};
use tilewise_kernels::parallel::Scheme;
use tilewise_kernels::{Float, MatRef, axpy, norm2, parallel, same};

/// Rows to learn from.
#[derive(Clone, Copy)]
pub struct Rows<'a, T> {
    /// Rows x inputs.
    pub x: MatRef<'a, T>,
    /// What their outputs should be.
    pub targets: Targets<'a, T>,
    /// One for each row, not negative.
    pub weights: Option<&'a [T]>,
}

impl<T: Float> Rows<'_, T> {
    /// That all is of one length, and of a network's widths.
    pub(crate) fn check(&self, inputs: usize, outputs: usize) -> Result<()> {
        let rows = self.x.rows();
        same("columns of x against inputs of the network", inputs, self.x.cols())?;
        let (wanted, found) = match self.targets {
            Targets::Classes(labels) => (rows, labels.len()),
            Targets::Numbers(numbers) => (rows * outputs, numbers.len()),
        };
        same("targets against rows times outputs", wanted, found)?;
        same("weights against rows", rows, self.weights.map_or(rows, <[T]>::len))?;
        Ok(())
    }

    /// That there are rows, and no weight that means nothing.
    pub(crate) fn check_all(&self, what: &str) -> Result<()> {
        if self.x.rows() == 0 {
            return Err(Error::Fit(format!("there are no rows {what}")));
        }
        let wrong = |weight: &T| !(weight.is_finite() && *weight >= T::ZERO);
        match self.weights.and_then(|weights| weights.iter().position(wrong)) {
            Some(row) => Err(Error::cell(row, "weight", "is not a finite number of 0 or more")),
            None => Ok(()),
        }
    }
}

/// What does not change from step to step.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What is made smaller.
    pub loss: Loss,
    /// One for each class.
    pub class_weights: Option<Vec<f64>>,
    /// How.
    pub optimiser: Optimiser,
    /// Weight decay of weights.
    pub weight_decay: f64,
    /// Whether biases and gains have it too, as in PyTorch.
    pub decay_biases: bool,
    /// The longest gradient, all weights together; a longer one is made as long as this (Pascanu and others 2013).
    pub clip: Option<f64>,
    /// Key of dropouts.
    pub seed: u64,
    /// Whether weights of a layer are finished beside the gradients of the layers before (`Tasks`), or layer after layer
    /// (`Rows`). The same bits; `Auto` is `Tasks` where there is more than one thread.
    pub scheme: Scheme,
}

impl Settings {
    fn tasks(&self) -> bool {
        match self.scheme {
            Scheme::Tasks => true,
            Scheme::Rows => false,
            Scheme::Auto => parallel::threads() > 1,
        }
    }
}

/// A network in training: all memory that a step needs is there when it is made.
pub struct Trainer<T: Float> {
    pub(crate) network: Network<T>,
    pub(crate) settings: Settings,
    class_weights: Option<Vec<T>>,
    work: Workspace<T>,
    gradient: Arena<T>,
    pub(crate) state: State<T>,
    labels: Vec<u32>,
    numbers: Vec<T>,
    weights: Vec<T>,
    notes: Vec<T>,
    /// Running numbers of batch norms before a pass, which brings them back where it does not count.
    running: Vec<T>,
    /// Gradients of the pieces of a step, where there are several; empty before.
    pieces: Arena<T>,
    pub(crate) steps: u64,
    /// Passes that drew dropouts: as many as steps, or more where these had pieces.
    pub(crate) passes: u64,
}

impl<T: Float> Trainer<T> {
    /// For batches of at most `capacity` rows.
    ///
    /// # Errors
    /// When a number is out of range or class weights are not one for each class, finite and not negative, or there is no memory for
    /// so many rows.
    pub fn new(network: Network<T>, settings: Settings, capacity: usize) -> Result<Self> {
        settings.loss.check()?;
        settings.optimiser.check()?;
        if capacity == 0 {
            return Err(Error::parameter("batch_size", 0, "at least 1 is"));
        }
        if !(settings.weight_decay >= 0.0 && settings.weight_decay.is_finite()) {
            return Err(Error::parameter("weight_decay", settings.weight_decay, "a number of 0 or more is"));
        }
        if let Some(clip) = settings.clip.filter(|clip| clip.is_nan() || *clip <= 0.0) {
            return Err(Error::parameter("clip", clip, "a number above 0 is"));
        }
        let outputs = network.outputs();
        let class_weights = match &settings.class_weights {
            Some(weights) => {
                let classes = if settings.loss == Loss::Binary { 2 } else { outputs };
                same("class weights against classes", classes, weights.len())?;
                if let Some(wrong) = weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
                    return Err(Error::parameter("class_weights", wrong, "finite numbers of 0 or more are"));
                }
                Some(weights.iter().map(|&w| T::from_f64(w)).collect())
            }
            None => None,
        };
        let (work, len) = (Workspace::new(&network.plan, capacity, true)?, network.weights.len());
        let state = State::new(&settings.optimiser, len);
        Ok(Self {
            class_weights,
            work,
            gradient: Arena::zeros(len),
            state,
            labels: vec![0; capacity],
            numbers: vec![T::ZERO; capacity * outputs],
            weights: vec![T::ZERO; capacity],
            notes: vec![T::ZERO; capacity],
            running: network.running.to_vec(),
            pieces: Arena::zeros(0),
            steps: 0,
            passes: 0,
            network,
            settings,
        })
    }

    /// The network as it is.
    pub fn network(&self) -> &Network<T> {
        &self.network
    }

    /// The network, to set weights; what the optimiser keeps stays.
    pub fn network_mut(&mut self) -> &mut Network<T> {
        &mut self.network
    }

    /// The network.
    pub fn into_network(self) -> Network<T> {
        self.network
    }

    /// Steps that were done.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Whether there is a batch norm, which needs two rows.
    pub(crate) fn needs_two(&self) -> bool {
        self.network.plan.steps.iter().any(|step| matches!(step.op, Op::BatchNorm { .. }))
    }

    /// One step on the rows `batch` of `data`, with the learning rate `rate`. Gives the loss before it. The same
    /// bits at any number of threads.
    ///
    /// # Errors
    /// When the batch is empty, larger than the capacity or than the data, a row is not there, shapes or targets do not fit, or
    /// the loss is not finite: the step is named, and weights are as they were.
    pub fn step(&mut self, data: &Rows<'_, T>, batch: &[usize], rate: f64) -> Result<f64> {
        let loss = self.forward(data, batch)?;
        if !loss.is_finite() {
            self.network.running.copy_from_slice(&self.running);
            return Err(self.not_finite(loss));
        }
        self.steps += 1;
        let Settings { optimiser, clip, decay_biases, .. } = self.settings;
        let local = clip.is_none() && optimiser.is_local();
        let rule = local.then(|| Rule::new(&optimiser, &self.update(rate), decay_biases));
        self.backward(batch.len(), rule.as_ref())?;
        self.passes += 1;
        if !local {
            self.finish(rate);
        }
        Ok(loss)
    }

    /// As [`step`](Self::step), for a batch of more rows than there is room for: pieces of it go through the network one after the other,
    /// and their gradients are added up, each by its share of the weights of rows. Batch norms see one piece at a time.
    ///
    /// # Errors
    /// As [`step`](Self::step); weights are then as they were.
    pub fn step_in_pieces(&mut self, data: &Rows<'_, T>, batch: &[usize], rate: f64) -> Result<f64> {
        let capacity = self.work.capacity;
        if batch.len() <= capacity {
            return self.step(data, batch, rate);
        }
        self.check(data, batch)?;
        if self.pieces.is_empty() {
            self.pieces = Arena::zeros(self.gradient.len());
        }
        self.pieces.fill(T::ZERO);
        let weight = |rows: &[usize]| rows.iter().map(|&row| self.weight(data, row)).sum::<f64>();
        let total = weight(batch);
        let shares: Vec<f64> =
            batch.chunks(capacity).map(|rows| if total > 0.0 { weight(rows) / total } else { 0.0 }).collect();
        let (before, passes) = (self.network.running.to_vec(), self.passes);
        let mut sum = 0.0;
        for (rows, share) in batch.chunks(capacity).zip(shares) {
            let passed = self.forward(data, rows).and_then(|loss| {
                if !loss.is_finite() {
                    return Err(self.not_finite(loss));
                }
                self.backward(rows.len(), None)?;
                Ok(loss)
            });
            let loss = passed.inspect_err(|_| {
                self.network.running.copy_from_slice(&before);
                self.passes = passes;
            })?;
            self.passes += 1;
            sum += share * loss;
            axpy(T::from_f64(share), &self.gradient, &mut self.pieces)?;
        }
        self.steps += 1;
        self.gradient.copy_from_slice(&self.pieces);
        self.finish(rate);
        Ok(sum)
    }

    /// What a row counts.
    pub(crate) fn weight(&self, data: &Rows<'_, T>, row: usize) -> f64 {
        let of_row = data.weights.map_or(1.0, |weights| weights[row].to_f64());
        match (&self.settings.class_weights, data.targets) {
            // A label out of range is refused where its piece is.
            (Some(of_class), Targets::Classes(labels)) => {
                of_row * of_class.get(labels[row] as usize).unwrap_or(&0.0)
            }
            _ => of_row,
        }
    }

    fn not_finite(&self, loss: f64) -> Error {
        let step = self.steps + 1;
        Error::Fit(format!("the loss is {loss} at step {step}; a lower learning rate may help"))
    }

    /// What the step that has been counted does.
    fn update(&self, rate: f64) -> Update {
        Update { rate, decay: self.settings.weight_decay, step: self.steps, scale: 1.0 }
    }

    /// The gradients of some rows, and the update of each layer where a rule is given.
    fn backward(&mut self, rows: usize, rule: Option<&Rule<T>>) -> Result<()> {
        let (draw, tasks) = ((self.settings.seed, self.passes), self.settings.tasks());
        let Self { network, gradient, state, work, .. } = self;
        let piece = state.piece(&mut network.weights, gradient);
        Backward { plan: &network.plan, rows, draw, tasks }.run(Learned { piece, rule }, work)
    }

    /// Updates all weights by the whole gradient.
    fn finish(&mut self, rate: f64) {
        let mut update = self.update(rate);
        let Self { network, gradient, state, settings, .. } = self;
        if let Some(most) = settings.clip {
            // As PyTorch's `clip_grad_norm_`.
            update.scale = (most / (norm2(gradient).to_f64() + 1e-6)).min(1.0);
        }
        let (rule, tensors) =
            (Rule::new(&settings.optimiser, &update, settings.decay_biases), &network.plan.tensors);
        let mut piece = state.piece(&mut network.weights, gradient);
        match settings.decay_biases {
            true => rule.apply(piece),
            false => tensors.iter().for_each(|t| rule.of(t.kind).apply(piece.range(&t.range))),
        }
        rule.finish(settings.weight_decay, tensors, &mut network.weights, gradient);
    }

    /// The loss of some rows and its gradient, in the order of [`Network::weights`], as the next step would see them.
    ///
    /// # Errors
    /// As [`step`](Self::step), but for losses that are not finite.
    pub fn gradient(&mut self, data: &Rows<'_, T>, batch: &[usize]) -> Result<(f64, &[T])> {
        let loss = self.forward(data, batch)?;
        self.network.running.copy_from_slice(&self.running);
        self.backward(batch.len(), None)?;
        Ok((loss, &self.gradient))
    }

    /// Gathers the batch, passes it forward, and leaves the gradient of the outputs.
    fn forward(&mut self, data: &Rows<'_, T>, batch: &[usize]) -> Result<f64> {
        let (rows, outputs) = (batch.len(), self.network.outputs());
        self.check(data, batch)?;
        if rows > self.work.capacity {
            let room = self.work.capacity;
            return Err(Error::Fit(format!("a batch of {rows} rows; there is room for {room}")));
        }
        let Self { network, work, labels, numbers, weights, notes, .. } = self;
        gather(data.x, batch, &mut work.values[..rows * network.inputs()]);
        let targets = match data.targets {
            Targets::Classes(all) => {
                labels.iter_mut().zip(batch).for_each(|(label, &row)| *label = all[row]);
                Targets::Classes(&labels[..rows])
            }
            Targets::Numbers(all) => {
                for (to, &row) in numbers.chunks_exact_mut(outputs).zip(batch) {
                    to.copy_from_slice(&all[row * outputs..(row + 1) * outputs]);
                }
                Targets::Numbers(&numbers[..rows * outputs])
            }
        };
        self.settings.loss.check_targets(targets, outputs)?;
        let weights = data.weights.map(|all| {
            weights.iter_mut().zip(batch).for_each(|(weight, &row)| *weight = all[row]);
            &weights[..rows]
        });
        let Network { plan, weights: learned, running, .. } = network;
        self.running.copy_from_slice(running);
        let mode = Mode::Train { running, seed: self.settings.seed, step: self.passes };
        forward(plan, learned, work, rows, mode)?;
        let last = plan.slots[plan.last()].range(work.capacity, rows);
        let outputs = &work.values[last.clone()];
        let judged = Judged { outputs, targets, weights, class_weights: self.class_weights.as_deref() };
        Ok(self.settings.loss.evaluate(&judged, &mut work.slopes[last], &mut notes[..rows]))
    }

    fn check(&self, data: &Rows<'_, T>, batch: &[usize]) -> Result<()> {
        let rows = data.x.rows();
        data.check(self.network.inputs(), self.network.outputs())?;
        let refuse = |what: String| Err(Error::Fit(what));
        if self.class_weights.is_some() && matches!(data.targets, Targets::Numbers(_)) {
            return refuse("there are weights of classes, and the targets are numbers".into());
        }
        if batch.is_empty() {
            return refuse("a batch needs at least one row".into());
        }
        if batch.len() > rows {
            return refuse(format!("a batch of {} rows is larger than the data, {rows} rows", batch.len()));
        }
        if let Some(row) = batch.iter().find(|row| **row >= rows) {
            return refuse(format!("a batch asks for row {}; there are {rows}", row + 1));
        }
        if batch.len() == 1 && self.needs_two() {
            return refuse("a batch of one row has no deviation, which batch norm needs".into());
        }
        Ok(())
    }
}

/// Copies rows next to each other.
fn gather<T: Float>(x: MatRef<'_, T>, batch: &[usize], to: &mut [T]) {
    let width = x.cols();
    let rows = (parallel::GRAIN_BYTES / (width * size_of::<T>())).max(1);
    parallel::for_each_chunk_mut(to, rows * width, |i, to| {
        for (to, &row) in to.chunks_exact_mut(width).zip(&batch[i * rows..]) {
            match x.row(row) {
                Some(from) => to.copy_from_slice(from),
                None => to.iter_mut().enumerate().for_each(|(j, to)| *to = x.get(row, j)),
            }
        }
    });
}
