//! Forward and backward through a plan.

use crate::arena::Arena;
use crate::compiled::{compiled, for_each_rows};
use crate::function::through_fused;
use crate::norm;
use crate::optimiser::{Piece, Rule, State};
use crate::plan::{Op, Plan};
use std::ops::Range;
use tilewise_base::Result;
use tilewise_kernels::random::Philox;
use tilewise_kernels::{Float, Gemm, MatMut, MatRef, column_sums, gemm, parallel};

/// Room for the batch: values of all slots, their gradients (in training), and what norms note.
pub(crate) struct Workspace<T> {
    pub(crate) capacity: usize,
    pub(crate) values: Arena<T>,
    pub(crate) slopes: Arena<T>,
    notes: Arena<T>,
}

impl<T: Float> Workspace<T> {
    pub(crate) fn new(plan: &Plan, capacity: usize, trains: bool) -> Self {
        let notes = plan.notes + plan.notes_per_row * capacity;
        let slopes = if trains { plan.slots_len(capacity) } else { 0 };
        let values = Arena::zeros(plan.slots_len(capacity));
        Self { capacity, values, slopes: Arena::zeros(slopes), notes: Arena::zeros(notes) }
    }
}

/// What a pass is for.
pub(crate) enum Mode<'a, T> {
    /// Answers; batch norms use running numbers.
    Predict { running: &'a [T] },
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
    for step in &plan.steps {
        if step.input == step.output {
            continue;
        }
        let (input, output) = (place(step.input), place(step.output));
        let (before, after) = values.split_at_mut(output.start);
        let (x, y) = (&before[input], &mut after[..output.len()]);
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
                let (x, w) = (MatRef::new(x, rows, k)?, MatRef::new(&weights[weight.clone()], k, n)?);
                product.run(x, w, MatMut::new(y, rows, n)?)?;
            }
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
                let note = &mut notes[at.clone()];
                match &mut mode {
                    Mode::Train { running, .. } => {
                        norm::batch_statistics(x, note, &mut running[kept.clone()], *epsilon, *momentum);
                    }
                    Mode::Predict { running } => {
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

/// What is learned: weights, their gradient, and if they are to be updated as soon as that is there, by what.
pub(crate) struct Learned<'a, T> {
    pub(crate) weights: &'a mut [T],
    pub(crate) gradient: &'a mut [T],
    pub(crate) update: Option<(&'a Rule<T>, &'a mut State<T>)>,
}

/// The gradient of the last slot is there; fills those of weights, and updates these if that is asked for.
pub(crate) fn backward<T: Float>(
    plan: &Plan,
    mut learned: Learned<'_, T>,
    work: &mut Workspace<T>,
    rows: usize,
    (seed, step_number): (u64, u64),
) -> Result<()> {
    let Workspace { capacity, values, slopes, notes } = work;
    let place = |slot: usize| plan.slots[slot].range(*capacity, rows);
    for step in plan.steps.iter().rev() {
        let (input, output) = (place(step.input), place(step.output));
        let wanted = plan.slots[step.input].learns;
        if let Op::Fork { join } = step.op {
            if wanted {
                let join = place(join);
                let (before, after) = slopes.split_at_mut(join.start);
                before[input].iter_mut().zip(&after[..join.len()]).for_each(|(dx, &dy)| *dx += dy);
            }
            continue;
        }
        let (before, after) = slopes.split_at_mut(output.start);
        let (x, y, dy) = (&values[input.clone()], &values[output.clone()], &mut after[..output.len()]);
        let dx = wanted.then_some(&mut before[input]);
        let (k, n) = (plan.slots[step.input].width, plan.slots[step.output].width);
        let Learned { weights, gradient, .. } = &mut learned;
        match &step.op {
            Op::Dense { weight, bias, activation } => {
                if let Some(function) = activation {
                    through_fused(*function, y, dy);
                }
                let dy = MatRef::new(dy, rows, n)?;
                if let Some(bias) = bias {
                    column_sums(dy, &mut gradient[bias.clone()])?;
                }
                // Before the weights are updated: this needs those that the forward pass had.
                if let Some(dx) = dx {
                    let w = MatRef::new(&weights[weight.clone()], k, n)?;
                    gemm(T::ONE, dy, w.transpose(), T::ZERO, MatMut::new(dx, rows, k)?)?;
                }
                learned.dense(MatRef::new(x, rows, k)?.transpose(), dy, weight.clone())?;
                if let Some(bias) = bias {
                    learned.update(bias.clone());
                }
            }
            Op::Function(function) => {
                if let Some(dx) = dx {
                    function.backward(x, dy, dx);
                }
            }
            Op::Dropout { rate, stream } => {
                if let Some(dx) = dx {
                    dropout(*rate, (seed, *stream, step_number), dy, dx);
                }
            }
            Op::LayerNorm { gain, bias, notes: at, .. } => {
                let note = &notes[plan.notes + at * *capacity..][..2 * rows];
                let (d_gain, d_bias) = two(gradient, gain, bias);
                norm::layer_backward(x, dy, dx, &weights[gain.clone()], (d_gain, d_bias), note);
                learned.update(gain.clone());
                learned.update(bias.clone());
            }
            Op::BatchNorm { gain, bias, notes: at, .. } => {
                let (d_gain, d_bias) = two(gradient, gain, bias);
                norm::batch_backward(x, dy, dx, &weights[gain.clone()], (d_gain, d_bias), &notes[at.clone()]);
                learned.update(gain.clone());
                learned.update(bias.clone());
            }
            Op::Join { .. } => {
                if let Some(dx) = dx {
                    dx.copy_from_slice(dy);
                }
            }
            Op::Fork { .. } => {}
        }
    }
    Ok(())
}

/// Two parts of one slice, the first before the second.
fn two<'a, T>(all: &'a mut [T], a: &Range<usize>, b: &Range<usize>) -> (&'a mut [T], &'a mut [T]) {
    let (before, after) = all.split_at_mut(b.start);
    (&mut before[a.clone()], &mut after[..b.len()])
}

/// Bytes of dy up to which each stripe of weights reads it again: beyond, it leaves the second-level cache, and the kernel is
/// faster that packs it once for all.
const STRIPED: usize = 512 << 10;

/// Rows of weights in a stripe: of 512 columns of `f32` they, their gradient and two means take 400 KiB. A multiple of the height of all
/// register tiles.
const STRIPE: usize = 48;

impl<T: Float> Learned<'_, T> {
    /// The gradient x^T dy of a matrix, and its update: stripe by stripe where that keeps all that is touched in cache.
    fn dense(&mut self, xt: MatRef<'_, T>, dy: MatRef<'_, T>, weight: Range<usize>) -> Result<()> {
        if let Some((rule, state)) = &mut self.update
            && dy.rows() * dy.cols() * size_of::<T>() <= STRIPED
        {
            return stripes(xt, dy, state.part(self.weights, self.gradient, weight), rule);
        }
        let out = MatMut::new(&mut self.gradient[weight.clone()], xt.rows(), dy.cols())?;
        gemm(T::ONE, xt, dy, T::ZERO, out)?;
        self.update(weight);
        Ok(())
    }

    /// Updates some weights whose gradient is there, if that is asked for.
    fn update(&mut self, range: Range<usize>) {
        if let Some((rule, state)) = &mut self.update {
            rule.apply(state.part(self.weights, self.gradient, range));
        }
    }
}

fn stripes<T: Float>(
    xt: MatRef<'_, T>,
    dy: MatRef<'_, T>,
    piece: Piece<'_, T>,
    rule: &Rule<T>,
) -> Result<()> {
    let (rows, cols) = (xt.rows(), dy.cols());
    if rows <= STRIPE {
        return parallel::on_this_thread(|| {
            gemm(T::ONE, xt, dy, T::ZERO, MatMut::new(&mut *piece.gradient, rows, cols)?)?;
            rule.leaf(piece);
            Ok(())
        });
    }
    let mid = (rows.div_ceil(STRIPE) / 2) * STRIPE;
    let (first, second) = piece.split_at(mid * cols);
    let (a, b) = parallel::join(
        || stripes(xt.row_range(0..mid), dy, first, rule),
        || stripes(xt.row_range(mid..rows), dy, second, rule),
    );
    a.and(b)
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
