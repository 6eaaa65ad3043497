//! Optimisers: one pass over weights, gradient and state.
//!
//! Each number is updated by itself, with the same operations in the same order on any instruction set, so weights have the same bits however the
//! pass is cut. The numbers are those of the PyTorch class of the same name; LAMB, which PyTorch lacks, is that of its paper.

use crate::arena::Arena;
use crate::compiled::compiled;
use crate::plan::{Kind, Tensor};
use serde::{Deserialize, Serialize};
use tilewise_base::{Error, Result};
use tilewise_kernels::{Float, norm2, parallel};

/// How weights follow their gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "optimiser", rename_all = "snake_case")]
pub enum Optimiser {
    /// Gradient descent.
    Sgd {
        /// From 0 to below 1: how much of the last direction stays (Polyak 1964).
        momentum: f64,
        /// Looks a step ahead (Nesterov 1983).
        nesterov: bool,
    },
    /// Adam (Kingma, Ba 2014).
    Adam {
        /// Share of the mean gradient that stays.
        beta1: f64,
        /// Share of the mean squared gradient that stays.
        beta2: f64,
        /// Added to the root of that.
        epsilon: f64,
    },
    /// Adam whose weight decay does not go through the gradient (Loshchilov, Hutter 2017).
    AdamW {
        /// As in Adam.
        beta1: f64,
        /// As in Adam.
        beta2: f64,
        /// As in Adam.
        epsilon: f64,
    },
    /// RMSprop (Hinton 2012).
    RmsProp {
        /// Share of the mean squared gradient that stays.
        alpha: f64,
        /// Added to the root of that.
        epsilon: f64,
        /// As in SGD.
        momentum: f64,
    },
    /// Adagrad (Duchi, Hazan, Singer 2011).
    Adagrad {
        /// Added to the root of the sum of squares.
        epsilon: f64,
    },
    /// LAMB: the direction of AdamW, as long as the weights of its tensor (You and others 2019).
    Lamb {
        /// As in Adam.
        beta1: f64,
        /// As in Adam.
        beta2: f64,
        /// As in Adam.
        epsilon: f64,
    },
}

impl Optimiser {
    /// Adam with the numbers of its paper.
    pub const ADAM: Self = Self::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    /// AdamW with PyTorch's numbers.
    pub const ADAM_W: Self = Self::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    /// Plain gradient descent.
    pub const SGD: Self = Self::Sgd { momentum: 0.0, nesterov: false };
    /// RMSprop with PyTorch's numbers.
    pub const RMS_PROP: Self = Self::RmsProp { alpha: 0.99, epsilon: 1e-8, momentum: 0.0 };
    /// Adagrad with PyTorch's numbers.
    pub const ADAGRAD: Self = Self::Adagrad { epsilon: 1e-10 };
    /// LAMB with the numbers of its paper.
    pub const LAMB: Self = Self::Lamb { beta1: 0.9, beta2: 0.999, epsilon: 1e-6 };

    /// Whether its numbers are in range.
    pub(crate) fn check(&self) -> Result<()> {
        let share = |name: &str, x: f64| match (0.0..1.0).contains(&x) {
            true => Ok(()),
            false => Err(Error::parameter(name, x, "from 0 to below 1 is")),
        };
        let positive = |epsilon: f64| match epsilon > 0.0 && epsilon.is_finite() {
            true => Ok(()),
            false => Err(Error::parameter("epsilon", epsilon, "a number above 0 is")),
        };
        match *self {
            Self::Sgd { momentum, .. } => share("momentum", momentum),
            Self::Adam { beta1, beta2, epsilon }
            | Self::AdamW { beta1, beta2, epsilon }
            | Self::Lamb { beta1, beta2, epsilon } => {
                share("beta1", beta1)?;
                share("beta2", beta2)?;
                positive(epsilon)
            }
            Self::RmsProp { alpha, epsilon, momentum } => {
                share("alpha", alpha)?;
                share("momentum", momentum)?;
                positive(epsilon)
            }
            Self::Adagrad { epsilon } => positive(epsilon),
        }
    }

    /// Numbers that it keeps for each weight: means of gradients, and of their squares.
    fn keeps(&self) -> (bool, bool) {
        match *self {
            Self::Sgd { momentum, .. } => (momentum > 0.0, false),
            Self::RmsProp { momentum, .. } => (momentum > 0.0, true),
            Self::Adagrad { .. } => (false, true),
            Self::Adam { .. } | Self::AdamW { .. } | Self::Lamb { .. } => (true, true),
        }
    }

    /// Whether weights may be updated as soon as their own gradient is there.
    pub(crate) fn is_local(&self) -> bool {
        !matches!(self, Self::Lamb { .. })
    }
}

/// What a step does to weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// Learning rate of this step.
    pub rate: f64,
    /// Weight decay: added to the gradient as that of decay |w|^2 / 2, or taken off the weights directly (AdamW, LAMB).
    pub decay: f64,
    /// Number of this step, from 1.
    pub step: u64,
    /// What the gradient is multiplied by: below 1 where it was clipped.
    pub scale: f64,
}

/// What an optimiser keeps from step to step.
pub(crate) struct State<T> {
    pub(crate) first: Arena<T>,
    pub(crate) second: Arena<T>,
}

impl<T: Float> State<T> {
    pub(crate) fn new(optimiser: &Optimiser, weights: usize) -> Self {
        let (first, second) = optimiser.keeps();
        let len = |kept: bool| if kept { weights } else { 0 };
        Self { first: Arena::zeros(len(first)), second: Arena::zeros(len(second)) }
    }

    /// Weights, their gradient and what is kept for them. All of these are of one length.
    pub(crate) fn piece<'a>(&'a mut self, weights: &'a mut [T], gradient: &'a mut [T]) -> Piece<'a, T> {
        Piece { weights, gradient, first: &mut self.first, second: &mut self.second }
    }
}

/// Weights and all that is theirs.
pub(crate) struct Piece<'a, T> {
    pub(crate) weights: &'a mut [T],
    pub(crate) gradient: &'a mut [T],
    first: &'a mut [T],
    second: &'a mut [T],
}

impl<'a, T> Piece<'a, T> {
    pub(crate) fn len(&self) -> usize {
        self.weights.len()
    }

    /// Some of them.
    pub(crate) fn range(&mut self, range: &std::ops::Range<usize>) -> Piece<'_, T> {
        fn kept<'b, T>(x: &'b mut [T], range: &std::ops::Range<usize>) -> &'b mut [T] {
            if x.is_empty() { x } else { &mut x[range.clone()] }
        }
        Piece {
            weights: &mut self.weights[range.clone()],
            gradient: &mut self.gradient[range.clone()],
            first: kept(self.first, range),
            second: kept(self.second, range),
        }
    }

    pub(crate) fn split_at(self, mid: usize) -> (Self, Self) {
        let kept = |x: &'a mut [T]| {
            let mid = mid.min(x.len());
            x.split_at_mut(mid)
        };
        let (weights, more_weights) = self.weights.split_at_mut(mid);
        let (gradient, more_gradient) = self.gradient.split_at_mut(mid);
        let (first, more_first) = kept(self.first);
        let (second, more_second) = kept(self.second);
        (
            Self { weights, gradient, first, second },
            Self { weights: more_weights, gradient: more_gradient, first: more_first, second: more_second },
        )
    }
}

/// An optimiser and an update, as the numbers that its loop needs.
#[derive(Clone, Copy)]
pub(crate) struct Rule<T> {
    optimiser: Optimiser,
    rate: T,
    decay: T,
    scale: T,
    /// What weights are multiplied by first.
    shrink: T,
    /// 1 - beta^step of both means; 1 where there are none.
    corrections: (T, T),
    decay_biases: bool,
}

/// The smallest normal number: what is smaller becomes 0. A weight whose gradient stays 0, behind a unit that never answers, has means
/// that shrink and shrink and then stay at the least number there is, where arithmetic is slow.
fn tiny<T: Float>() -> T {
    T::from_f64(if size_of::<T>() == 4 { f32::MIN_POSITIVE.into() } else { f64::MIN_POSITIVE })
}

/// x, or 0 if it is subnormal.
#[inline(always)]
fn normal<T: Float>(x: T, tiny: T) -> T {
    if x.abs() < tiny { T::ZERO } else { x }
}

/// Weights of a leaf of the pass.
const LEAF: usize = 16 * 1024;

impl<T: Float> Rule<T> {
    /// `decay_biases` tells whether biases and gains have the decay too.
    pub(crate) fn new(optimiser: &Optimiser, update: &Update, decay_biases: bool) -> Self {
        let Update { rate, decay, step, scale } = *update;
        let decoupled = matches!(optimiser, Optimiser::AdamW { .. });
        let own = decoupled || matches!(optimiser, Optimiser::Lamb { .. });
        let corrections = match *optimiser {
            Optimiser::Adam { beta1, beta2, .. }
            | Optimiser::AdamW { beta1, beta2, .. }
            | Optimiser::Lamb { beta1, beta2, .. } => {
                (1.0 - beta1.powf(step as f64), 1.0 - beta2.powf(step as f64))
            }
            _ => (1.0, 1.0),
        };
        Self {
            optimiser: *optimiser,
            rate: T::from_f64(rate),
            decay: T::from_f64(if own { 0.0 } else { decay }),
            scale: T::from_f64(scale),
            shrink: T::from_f64(if decoupled { 1.0 - rate * decay } else { 1.0 }),
            corrections: (T::from_f64(corrections.0), T::from_f64(corrections.1)),
            decay_biases,
        }
    }

    /// The rule of a tensor of this kind.
    pub(crate) fn of(&self, kind: Kind) -> Self {
        if self.decay_biases || kind.is_weight() {
            return *self;
        }
        Self { decay: T::ZERO, shrink: T::ONE, ..*self }
    }

    /// Updates all weights, over threads.
    pub(crate) fn apply(&self, piece: Piece<'_, T>) {
        if piece.len() <= LEAF {
            return self.leaf(piece);
        }
        let mid = (piece.len() / 2).next_multiple_of(LEAF);
        let (a, b) = piece.split_at(mid);
        parallel::join(|| self.apply(a), || self.apply(b));
    }

    /// Updates some weights on this thread.
    pub(crate) fn leaf(&self, piece: Piece<'_, T>) {
        let Self { rate, decay, scale, shrink, .. } = *self;
        let Piece { weights, gradient, first, second } = piece;
        let tiny = tiny::<T>();
        match self.optimiser {
            Optimiser::Sgd { momentum: 0.0, .. } => compiled::<T, _>(
                #[inline(always)]
                || {
                    for (w, &g) in weights.iter_mut().zip(&*gradient) {
                        *w -= rate * (scale * g + decay * *w);
                    }
                },
            ),
            Optimiser::Sgd { momentum, nesterov } => {
                let (momentum, ahead) = (T::from_f64(momentum), if nesterov { T::ONE } else { T::ZERO });
                let behind = if nesterov { T::from_f64(momentum.to_f64()) } else { T::ONE };
                compiled::<T, _>(
                    #[inline(always)]
                    || {
                        for ((w, &g), m) in weights.iter_mut().zip(&*gradient).zip(first) {
                            let g = scale * g + decay * *w;
                            *m = normal(momentum * *m + g, tiny);
                            *w -= rate * (ahead * g + behind * *m);
                        }
                    },
                );
            }
            Optimiser::Adam { beta1, beta2, epsilon } | Optimiser::AdamW { beta1, beta2, epsilon } => {
                let (away, stays) = (T::from_f64(1.0 - beta1), T::from_f64(beta2));
                let (gains, epsilon) = (T::from_f64(1.0 - beta2), T::from_f64(epsilon));
                let (step, per_root) = (rate / self.corrections.0, T::ONE / self.corrections.1.sqrt());
                compiled::<T, _>(
                    #[inline(always)]
                    || {
                        for (((w, &g), m), v) in weights.iter_mut().zip(&*gradient).zip(first).zip(second) {
                            let g = scale * g + decay * *w;
                            *m = normal(*m + (g - *m) * away, tiny);
                            *v = normal(*v * stays + gains * g * g, tiny);
                            *w = *w * shrink - step * *m / (v.sqrt() * per_root + epsilon);
                        }
                    },
                );
            }
            Optimiser::RmsProp { alpha, epsilon, momentum } => {
                let (alpha, gains) = (T::from_f64(alpha), T::from_f64(1.0 - alpha));
                let (epsilon, momentum) = (T::from_f64(epsilon), T::from_f64(momentum));
                compiled::<T, _>(
                    #[inline(always)]
                    || {
                        // The gradient becomes the direction first.
                        for ((&w, g), v) in weights.iter().zip(&mut *gradient).zip(second) {
                            let own = scale * *g + decay * w;
                            *v = normal(alpha * *v + gains * own * own, tiny);
                            *g = own / (v.sqrt() + epsilon);
                        }
                        if momentum == T::ZERO {
                            weights.iter_mut().zip(&*gradient).for_each(|(w, &d)| *w -= rate * d);
                        } else {
                            for ((w, &d), m) in weights.iter_mut().zip(&*gradient).zip(first) {
                                *m = normal(momentum * *m + d, tiny);
                                *w -= rate * *m;
                            }
                        }
                    },
                );
            }
            Optimiser::Adagrad { epsilon } => {
                let epsilon = T::from_f64(epsilon);
                compiled::<T, _>(
                    #[inline(always)]
                    || {
                        for ((w, &g), v) in weights.iter_mut().zip(&*gradient).zip(second) {
                            let g = scale * g + decay * *w;
                            *v += g * g;
                            *w -= rate * g / (v.sqrt() + epsilon);
                        }
                    },
                );
            }
            // The direction only: how far is known when all of a tensor is there.
            Optimiser::Lamb { beta1, beta2, epsilon } => {
                let (away, stays) = (T::from_f64(1.0 - beta1), T::from_f64(beta2));
                let (gains, epsilon) = (T::from_f64(1.0 - beta2), T::from_f64(epsilon));
                let (c1, c2) = self.corrections;
                compiled::<T, _>(
                    #[inline(always)]
                    || {
                        for ((g, m), v) in gradient.iter_mut().zip(first).zip(second) {
                            let own = scale * *g;
                            *m = normal(*m + (own - *m) * away, tiny);
                            *v = normal(*v * stays + gains * own * own, tiny);
                            *g = (*m / c1) / ((*v / c2).sqrt() + epsilon);
                        }
                    },
                );
            }
        }
    }

    /// The second half of LAMB: `gradient` holds directions.
    pub(crate) fn finish(&self, decay: f64, tensors: &[Tensor], weights: &mut [T], gradient: &mut [T]) {
        if self.optimiser.is_local() {
            return;
        }
        for tensor in tensors {
            let decayed = self.decay_biases || tensor.kind.is_weight();
            let decay = if decayed { T::from_f64(decay) } else { T::ZERO };
            let (w, r) = (&mut weights[tensor.range.clone()], &mut gradient[tensor.range.clone()]);
            r.iter_mut().zip(&*w).for_each(|(r, &w)| *r += decay * w);
            let (length, direction) = (norm2(w), norm2(r));
            let known = length > T::ZERO && direction > T::ZERO;
            let rate = if known { self.rate * length / direction } else { self.rate };
            w.iter_mut().zip(&*r).for_each(|(w, &r)| *w -= rate * r);
        }
    }
}
