//! Forward through a plan.

use crate::arena::Arena;
use crate::compiled::{compiled, for_each_rows};
use crate::norm;
use crate::plan::{Op, Plan};
use crate::pooling;
use crate::window::Places;
use tilewise_base::Result;
use tilewise_kernels::random::Philox;
use tilewise_kernels::{Activation, Float, Gemm, MatMut, MatRef};

/// Room for the batch: values of all slots, their gradients (in training), and what norms note.
pub(crate) struct Workspace<T> {
    pub(crate) capacity: usize,
    pub(crate) values: Arena<T>,
    pub(crate) slopes: Arena<T>,
    pub(crate) notes: Arena<T>,
    /// What products of bytes read; empty until there is one.
    pub(crate) bytes: Bytes,
}

/// The input of a layer as bytes.
#[derive(Default)]
pub(crate) struct Bytes {
    /// Number by number.
    pub(crate) input: Vec<u8>,
    /// What the window of a convolution sees at some places, one after the other.
    pub(crate) seen: Vec<u8>,
}

impl<T: Float> Workspace<T> {
    /// # Errors
    /// When there is no memory for so many rows.
    pub(crate) fn new(plan: &Plan, capacity: usize, trains: bool) -> Result<Self> {
        let notes = plan.notes_per_row.saturating_mul(capacity).saturating_add(plan.notes);
        let slopes = if trains { plan.slots_len(capacity) } else { 0 };
        let values = Arena::try_zeros(plan.slots_len(capacity))?;
        let (slopes, notes) = (Arena::try_zeros(slopes)?, Arena::try_zeros(notes)?);
        Ok(Self { capacity, values, slopes, notes, bytes: Bytes::default() })
    }
}

/// What a pass is for.
pub(crate) enum Mode<'a, T> {
    /// Answers.
    Predict {
        /// What batch norms go by.
        running: &'a [T],
        /// How products are computed whose weights are not only those of the network.
        products: &'a dyn Products<T>,
        /// The first slot, where it is not in the workspace.
        input: Option<&'a [T]>,
    },
    /// Training; dropouts draw by (seed, step).
    Train { running: &'a mut [T], seed: u64, step: u64 },
}

/// What a dense layer or a convolution computes, but for its weights.
pub(crate) struct Operands<'a, T> {
    /// rows x inputs.
    pub(crate) x: &'a [T],
    pub(crate) rows: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) bias: Option<&'a [T]>,
    pub(crate) activation: Option<Activation>,
    /// Of a convolution.
    pub(crate) places: Option<&'a Places>,
}

impl<'a, T: Float> Operands<'a, T> {
    /// A dense layer without its operands.
    pub(crate) fn gemm(&self) -> Gemm<'a, T> {
        let mut product = Gemm::new();
        if let Some(bias) = self.bias {
            product = product.bias(bias);
        }
        match self.activation {
            Some(activation) => product.activation(activation),
            None => product,
        }
    }

    /// Fills `y`, rows x outputs, by weights as they lie in the arena.
    fn multiply(&self, weights: &[T], y: &mut [T]) -> Result<()> {
        let Self { x, rows, inputs, outputs, bias, activation, places } = *self;
        match places {
            Some(places) => places.convolution(rows)?.forward_fused(x, weights, bias, activation, y)?,
            None => {
                let (x, y) = (MatRef::new(x, rows, inputs)?, MatMut::new(y, rows, outputs)?);
                self.gemm().run(x, MatRef::new(weights, inputs, outputs)?, y)?;
            }
        }
        Ok(())
    }
}

/// Weights of steps in another form than that of the arena.
pub(crate) trait Products<T>: Sync {
    /// Fills `y` by the weights of step `number`, if it has them; whether it has.
    fn multiply(
        &self,
        number: usize,
        operands: &Operands<'_, T>,
        bytes: &mut Bytes,
        y: &mut [T],
    ) -> Result<bool>;
}

/// No weights are in another form.
pub(crate) struct InArena;

impl<T> Products<T> for InArena {
    fn multiply(&self, _: usize, _: &Operands<'_, T>, _: &mut Bytes, _: &mut [T]) -> Result<bool> {
        Ok(false)
    }
}

/// Slot 0 of so many rows is there; fills all others.
pub(crate) fn forward<T: Float>(
    plan: &Plan,
    weights: &[T],
    work: &mut Workspace<T>,
    rows: usize,
    mut mode: Mode<'_, T>,
) -> Result<()> {
    let Workspace { capacity, values, notes, bytes, .. } = work;
    let place = |slot: usize| plan.slots[slot].range(*capacity, rows);
    for (number, step) in plan.steps.iter().enumerate() {
        if step.input == step.output {
            continue;
        }
        let (input, output) = (place(step.input), place(step.output));
        let (before, after) = values.split_at_mut(output.start);
        let outside = match mode {
            Mode::Predict { input, .. } if step.input == 0 => input,
            _ => None,
        };
        let (x, y) = (outside.unwrap_or(&before[input]), &mut after[..output.len()]);
        match &step.op {
            Op::Dense { weight, bias, activation } | Op::Convolution { weight, bias, activation, .. } => {
                let places = if let Op::Convolution { places, .. } = &step.op { Some(places) } else { None };
                let (inputs, outputs) = (plan.slots[step.input].width, plan.slots[step.output].width);
                let bias = bias.as_ref().map(|bias| &weights[bias.clone()]);
                let operands = Operands { x, rows, inputs, outputs, bias, activation: *activation, places };
                let done = match &mode {
                    Mode::Predict { products, .. } => products.multiply(number, &operands, bytes, y)?,
                    Mode::Train { .. } => false,
                };
                if !done {
                    operands.multiply(&weights[weight.clone()], y)?;
                }
            }
            Op::Embedding(embedding) => embedding.forward(x, weights, y),
            Op::MaxPool(places) => pooling::max(places, x, y),
            Op::AveragePool(places) => pooling::average(places, x, y),
            Op::Reorder { image, inwards } => pooling::reorder(image, *inwards, x, y),
            Op::Function(function) => function.forward(x, y),
            Op::Dropout { rate, stream } => match mode {
                Mode::Predict { .. } => y.copy_from_slice(x),
                Mode::Train { seed, step, .. } => dropout(*rate, (seed, *stream, step), x, y),
            },
            Op::LayerNorm { gain, bias, epsilon, notes: at } => {
                let note = &mut notes[plan.notes + at * *capacity..][..2 * rows];
                norm::layer_forward(x, y, (&weights[gain.clone()], &weights[bias.clone()]), *epsilon, note);
            }
            Op::BatchNorm { gain, bias, running: kept, notes: at, epsilon, momentum } => {
                let (note, n) = (&mut notes[at.clone()], gain.len());
                match &mut mode {
                    Mode::Train { running, .. } => {
                        norm::batch_statistics(x, note, &mut running[kept.clone()], *epsilon, *momentum);
                    }
                    Mode::Predict { running, .. } => {
                        let (mean, variance) = running[kept.clone()].split_at(n);
                        note[..n].copy_from_slice(mean);
                        for (per, &variance) in note[n..].iter_mut().zip(variance) {
                            *per = T::ONE / (variance + T::from_f64(*epsilon)).sqrt();
                        }
                    }
                }
                norm::batch_forward(x, y, (&weights[gain.clone()], &weights[bias.clone()]), note);
            }
            Op::Fork { .. } => {}
            Op::Join { fork } => {
                let around = &before[place(*fork)];
                y.iter_mut().zip(x.iter().zip(around)).for_each(|(y, (&x, &a))| *y = x + a);
            }
        }
    }
    Ok(())
}

/// y = x / (1 - rate) where a drawn number is at least `rate`, else 0: the same for values and gradients.
pub(crate) fn dropout<T: Float>(rate: f64, (seed, stream, step): (u64, u64, u64), x: &[T], y: &mut [T]) {
    let draws = Philox::new(seed, Philox::purpose("network dropout").wrapping_add(stream));
    let keeps = kept_from(rate);
    let scale = T::from_f64(1.0 / (1.0 - rate));
    for_each_rows(y, 4, |at, y| {
        let x = &x[at..at + y.len()];
        compiled::<T, _>(
            #[inline(always)]
            || {
                for (i, (y, x)) in y.chunks_mut(4).zip(x.chunks(4)).enumerate() {
                    let words = draws.words(step << 32 | (at / 4 + i) as u64);
                    for ((y, &x), word) in y.iter_mut().zip(x).zip(words) {
                        *y = if word >= keeps { x * scale } else { T::ZERO };
                    }
                }
            },
        );
    });
}

/// The least of 2^32 numbers that is not dropped.
pub(crate) fn kept_from(rate: f64) -> u32 {
    (rate * 4_294_967_296.0) as u32
}
