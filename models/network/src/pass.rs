//! Forward through a plan.

use crate::arena::Arena;
use crate::compiled::{compiled, for_each_rows};
use crate::norm;
use crate::plan::{Op, Plan};
use crate::pooling;
use tilewise_base::Result;
use tilewise_kernels::random::Philox;
use tilewise_kernels::{Float, Gemm, MatMut, MatRef, PackedB};

/// Room for the batch: values of all slots, their gradients (in training), and what norms note.
pub(crate) struct Workspace<T> {
    pub(crate) capacity: usize,
    pub(crate) values: Arena<T>,
    pub(crate) slopes: Arena<T>,
    pub(crate) notes: Arena<T>,
}

impl<T: Float> Workspace<T> {
    /// # Errors
    /// When there is no memory for so many rows.
    pub(crate) fn new(plan: &Plan, capacity: usize, trains: bool) -> Result<Self> {
        let notes = plan.notes_per_row.saturating_mul(capacity).saturating_add(plan.notes);
        let slopes = if trains { plan.slots_len(capacity) } else { 0 };
        let values = Arena::try_zeros(plan.slots_len(capacity))?;
        Ok(Self { capacity, values, slopes: Arena::try_zeros(slopes)?, notes: Arena::try_zeros(notes)? })
    }
}

/// What a pass is for.
pub(crate) enum Mode<'a, T> {
    /// Answers.
    Predict {
        /// What batch norms go by.
        running: &'a [T],
        /// Weights of each step that are packed; none, or as many as steps.
        packed: &'a [Option<PackedB<T>>],
        /// The first slot, where it is not in the workspace.
        input: Option<&'a [T]>,
    },
    /// Training; dropouts draw by (seed, step).
    Train { running: &'a mut [T], seed: u64, step: u64 },
}

/// Slot 0 of so many rows is there; fills all others.
pub(crate) fn forward<T: Float>(
    plan: &Plan,
    weights: &[T],
    work: &mut Workspace<T>,
    rows: usize,
    mut mode: Mode<'_, T>,
) -> Result<()> {
    let Workspace { capacity, values, notes, .. } = work;
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
        let (k, n) = (plan.slots[step.input].width, plan.slots[step.output].width);
        match &step.op {
            Op::Dense { weight, bias, activation } => {
                let mut product = Gemm::new();
                if let Some(bias) = bias {
                    product = product.bias(&weights[bias.clone()]);
                }
                if let Some(activation) = activation {
                    product = product.activation(*activation);
                }
                let (x, y) = (MatRef::new(x, rows, k)?, MatMut::new(y, rows, n)?);
                let packed = match &mode {
                    Mode::Predict { packed, .. } => packed.get(number).and_then(Option::as_ref),
                    Mode::Train { .. } => None,
                };
                match packed {
                    Some(packed) => product.run(x, packed, y)?,
                    None => product.run(x, MatRef::new(&weights[weight.clone()], k, n)?, y)?,
                }
            }
            Op::Convolution { weight, bias, activation, places } => {
                let bias = bias.as_ref().map(|bias| &weights[bias.clone()]);
                places.convolution(rows)?.forward_fused(x, &weights[weight.clone()], bias, *activation, y)?;
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
