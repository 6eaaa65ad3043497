//! Backward through a plan: the chain of gradients from the last layer to the first, and what hangs on it.
//!
//! Of a dense layer the gradient of its input comes first, as it needs the weights that the forward pass had. Everything
//! else of the layer, the gradient of its weights and their update, nobody waits for. So there are two ways:
//!
//! - *rows*: one layer after the other, each product and each pass divided among all threads;
//! - *tasks*: weights of layer l are finished beside the chain, which goes on to layer l - 1. A thread that would wait at
//!   the end of a product takes a stripe of weights instead.
//!
//! Both do the same operations on the same numbers, so bits are equal.

use crate::compiled::compiled;
use crate::function::through_fused;
use crate::norm;
use crate::optimiser::{Piece, Rule};
use crate::pass::{Workspace, dropout};
use crate::plan::{Kind, Op, Plan, Step};
use crate::pooling;
use std::ops::Range;
use tilewise_base::Result;
use tilewise_kernels::{Conv2d, Float, MatMut, MatRef, column_sums, gemm, parallel};

/// Weights, their gradient and what the optimiser keeps; `rule` updates them as soon as their gradient is there.
pub(crate) struct Learned<'a, T> {
    pub(crate) piece: Piece<'a, T>,
    pub(crate) rule: Option<&'a Rule<T>>,
}

/// What does not change on the way back.
pub(crate) struct Backward<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) rows: usize,
    /// Key and step of dropouts.
    pub(crate) draw: (u64, u64),
    /// Whether weights are finished beside the chain.
    pub(crate) tasks: bool,
}

/// Gradients of the slots from `start` on, which do not change any more.
struct Later<'a, T> {
    start: usize,
    slopes: &'a [T],
    next: Option<&'a Later<'a, T>>,
}

impl Backward<'_> {
    /// The gradient of the last slot is there; fills those of weights, and updates these if that is asked for.
    pub(crate) fn run<T: Float>(&self, learned: Learned<'_, T>, work: &mut Workspace<T>) -> Result<()> {
        let Workspace { capacity, values, slopes, notes, .. } = work;
        let batch = Batch { capacity: *capacity, values, notes };
        self.chain(&self.plan.steps, learned, &batch, slopes, None)
    }

    /// Goes through `steps` from the last to the first. `slopes` are gradients of the slots up to where `later` begins.
    fn chain<T: Float>(
        &self,
        mut steps: &[Step],
        mut learned: Learned<'_, T>,
        batch: &Batch<'_, T>,
        slopes: &mut [T],
        later: Option<&Later<'_, T>>,
    ) -> Result<()> {
        let (plan, rows) = (self.plan, self.rows);
        let place = |slot: usize| plan.slots[slot].range(batch.capacity, rows);
        while let Some((step, earlier)) = steps.split_last() {
            steps = earlier;
            let (input, output) = (place(step.input), place(step.output));
            let wanted = plan.slots[step.input].learns;
            if let Op::Fork { join } = step.op {
                if wanted {
                    around(slopes, input, place(join), later);
                }
                continue;
            }
            let (before, after) = slopes.split_at_mut(output.start);
            let dx = wanted.then_some(&mut before[input.clone()]);
            let dy = &mut after[..output.len()];
            let x = &batch.values[input];
            match &step.op {
                Op::Dense { weight, bias, activation } | Op::Convolution { weight, bias, activation, .. } => {
                    // Of each pixel, where they are images.
                    let n = weight_columns(plan, step);
                    let product = match &step.op {
                        Op::Convolution { places, .. } => Product::Convolution(places.convolution(rows)?, x),
                        _ => Product::Dense(MatRef::new(x, rows, weight.len() / n)?),
                    };
                    if let Some(function) = activation {
                        through_fused(*function, &batch.values[output.clone()], dy);
                    }
                    let after: &[T] = after;
                    let dy = MatRef::new(&after[..output.len()], output.len() / n, n)?;
                    let (rest, own) = learned.split_at(weight.start);
                    if let Some(dx) = dx {
                        product.input(&own.piece.weights[..weight.len()], dy, &after[..output.len()], dx)?;
                    }
                    let bias = bias.as_ref().map(|bias| bias.start - weight.start..bias.end - weight.start);
                    let finish = || own.product(&product, dy, &after[..output.len()], weight.len(), bias);
                    if self.tasks && weight.start > 0 {
                        let later = Later { start: output.start, slopes: after, next: later };
                        let (chain, weights) =
                            parallel::join(|| self.chain(earlier, rest, batch, before, Some(&later)), finish);
                        return chain.and(weights);
                    }
                    finish()?;
                    learned = rest;
                }
                Op::Embedding(embedding) => {
                    embedding.backward(x, dy, learned.piece.gradient);
                    if let Some(rule) = learned.rule {
                        embedding.tables.iter().for_each(|(_, range)| rule.apply(learned.piece.range(range)));
                    }
                }
                Op::MaxPool(places) => {
                    if let Some(dx) = dx {
                        pooling::max_backward(places, x, &batch.values[output.clone()], dy, dx);
                    }
                }
                Op::AveragePool(places) => {
                    if let Some(dx) = dx {
                        pooling::average_backward(places, dy, dx);
                    }
                }
                Op::Reorder { image, inwards } => {
                    if let Some(dx) = dx {
                        pooling::reorder(image, !inwards, dy, dx);
                    }
                }
                Op::Function(function) => {
                    if let Some(dx) = dx {
                        function.backward(x, dy, dx);
                    }
                }
                Op::Dropout { rate, stream } => {
                    if let Some(dx) = dx {
                        dropout(*rate, (self.draw.0, *stream, self.draw.1), dy, dx);
                    }
                }
                Op::LayerNorm { gain, bias, notes: at, .. } => {
                    let note = &batch.notes[plan.notes + at * batch.capacity..][..2 * rows];
                    learned.norm(gain, bias, |gain, sums| norm::layer_backward(x, dy, dx, gain, sums, note));
                }
                Op::BatchNorm { gain, bias, notes: at, .. } => {
                    let note = &batch.notes[at.clone()];
                    learned.norm(gain, bias, |gain, sums| norm::batch_backward(x, dy, dx, gain, sums, note));
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
}

/// Columns of the weights of a step that has them.
fn weight_columns(plan: &Plan, step: &Step) -> usize {
    match &step.op {
        Op::Convolution { places, .. } => places.output.channels,
        _ => plan.slots[step.output].width,
    }
}

/// What a layer computed with its weights, and from what.
enum Product<'a, T> {
    /// Of rows x inputs.
    Dense(MatRef<'a, T>),
    Convolution(Conv2d, &'a [T]),
}

impl<T: Float> Product<'_, T> {
    /// The gradient of its input; `flat` is `dy` as it lies in memory.
    fn input(&self, weights: &[T], dy: MatRef<'_, T>, flat: &[T], dx: &mut [T]) -> Result<()> {
        match self {
            Self::Dense(x) => {
                let (rows, k) = (x.rows(), x.cols());
                let w = MatRef::new(weights, k, dy.cols())?;
                gemm(T::ONE, dy, w.transpose(), T::ZERO, MatMut::new(dx, rows, k)?)?;
            }
            Self::Convolution(conv, _) => conv.gradient_input(weights, flat, dx)?,
        }
        Ok(())
    }
}

/// What the forward pass left.
struct Batch<'a, T> {
    capacity: usize,
    values: &'a [T],
    notes: &'a [T],
}

/// Adds the gradient that goes around a residual block, that of its end, to the one of its beginning.
fn around<T: Float>(
    slopes: &mut [T],
    begin: Range<usize>,
    end: Range<usize>,
    mut later: Option<&Later<'_, T>>,
) {
    // Parts follow each other; the end lies in the last one that begins before it.
    let mut found = None;
    while let Some(part) = later.filter(|part| part.start <= end.start) {
        found = Some(part);
        later = part.next;
    }
    let add = |dx: &mut [T], dy: &[T]| dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += dy);
    match found {
        Some(part) => add(&mut slopes[begin], &part.slopes[end.start - part.start..end.end - part.start]),
        None => {
            let (before, after) = slopes.split_at_mut(end.start);
            add(&mut before[begin], &after[..end.len()]);
        }
    }
}

/// Bytes of dy up to which each stripe of weights reads it again: beyond, it leaves the second-level cache, and the kernel is
/// faster that packs it once for all.
const STRIPED: usize = 512 << 10;

/// Rows of weights in a stripe: of 512 columns of `f32` they, their gradient and two means take 400 KiB. A multiple of the height of all
/// register tiles.
const STRIPE: usize = 48;

impl<'a, T: Float> Learned<'a, T> {
    fn split_at(self, mid: usize) -> (Self, Self) {
        let (before, after) = self.piece.split_at(mid);
        (Self { piece: before, rule: self.rule }, Self { piece: after, rule: self.rule })
    }

    /// The gradient of weights, which come first and are so many, and that of a bias, which lies at `bias`; and their update: of a
    /// matrix stripe by stripe where that keeps all that is touched in cache.
    fn product(
        self,
        product: &Product<'_, T>,
        dy: MatRef<'_, T>,
        flat: &[T],
        weights: usize,
        bias: Option<Range<usize>>,
    ) -> Result<()> {
        let mut piece = self.piece;
        if let Some(bias) = bias {
            let own = piece.range(&bias);
            bias_gradient(dy, flat, own.gradient)?;
            self.rule.inspect(|rule| rule.of(Kind::Bias).apply(own));
        }
        let matrix = piece.range(&(0..weights));
        match (product, self.rule) {
            (Product::Dense(x), Some(rule)) if dy.rows() * dy.cols() * size_of::<T>() <= STRIPED => {
                return stripes(x.transpose(), dy, matrix, rule);
            }
            (Product::Dense(x), _) => {
                let out = MatMut::new(&mut *matrix.gradient, x.cols(), dy.cols())?;
                gemm(T::ONE, x.transpose(), dy, T::ZERO, out)?;
            }
            (Product::Convolution(conv, x), _) => conv.gradient_weights(x, flat, matrix.gradient)?,
        }
        self.rule.inspect(|rule| rule.apply(matrix));
        Ok(())
    }

    /// Gradients of a gain and a bias, the one before the other, by `backward(gain, both gradients)`, and their update.
    fn norm(
        &mut self,
        gain: &Range<usize>,
        bias: &Range<usize>,
        backward: impl FnOnce(&[T], (&mut [T], &mut [T])),
    ) {
        let (before, after) = self.piece.gradient.split_at_mut(bias.start);
        backward(&self.piece.weights[gain.clone()], (&mut before[gain.clone()], &mut after[..bias.len()]));
        if let Some(rule) = self.rule {
            rule.of(Kind::Gain).apply(self.piece.range(gain));
            rule.of(Kind::Bias).apply(self.piece.range(bias));
        }
    }
}

/// Rows up to which the gradient of a bias is one chain over them, which needs no memory; more are pixels of images.
const CHAIN: usize = 4096;

/// Columns of a piece of it.
const COLUMNS: usize = 256;

/// The sums of the columns of `dy`, which lies in `flat`.
fn bias_gradient<T: Float>(dy: MatRef<'_, T>, flat: &[T], sums: &mut [T]) -> Result<()> {
    let n = sums.len();
    if dy.rows() > CHAIN {
        column_sums(dy, sums)?;
        return Ok(());
    }
    let piece = if size_of_val(flat) < parallel::GRAIN_BYTES { n } else { COLUMNS };
    parallel::for_each_chunk_mut(sums, piece, |i, sums| {
        sums.fill(T::ZERO);
        compiled::<T, _>(
            #[inline(always)]
            || {
                for row in flat.chunks_exact(n) {
                    let row = &row[i * piece..][..sums.len()];
                    sums.iter_mut().zip(row).for_each(|(sum, &dy)| *sum += dy);
                }
            },
        );
    });
    Ok(())
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
