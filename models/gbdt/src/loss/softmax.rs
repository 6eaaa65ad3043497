//! Minus the logarithm of the probability of one of several classes.
//!
//! Second derivatives are p (1 - p) times K / (K - 1). Newton's method would need the K x K matrix of a row; its diagonal
//! alone makes steps too long, since a score that rises with the others standing still is one half of what happens with
//! two classes, and the factor makes good for it (Friedman, "Greedy function approximation: a gradient boosting machine", 2001,
//! algorithm 6; LightGBM's too. XGBoost takes 2 for all K.) With two classes it is the logistic loss of their difference.

use super::logistic::RAREST;
use super::{Derivatives, Objective, Truth, by_row};
use crate::Link;
use std::ops::Range;
use tilewise_base::{ExactSum, Result};
use tilewise_kernels::{Elementary, parallel};

pub(super) struct Softmax {
    pub(super) classes: usize,
}

/// Rows of a block. Fewer than elsewhere, since a block has numbers for each class: at 10 classes 10 KB.
const BLOCK: usize = 256;

/// Numbers of a task, rows times classes.
const TASK: usize = by_row::TASK;

impl Objective for Softmax {
    fn name(&self) -> String {
        "softmax".into()
    }

    fn scores(&self) -> usize {
        self.classes
    }

    fn check(&self, truth: &Truth<'_>) -> Result<()> {
        truth.check_classes(self.classes)
    }

    /// The logarithms of the classes' shares.
    fn start(&self, truth: &Truth<'_>) -> Vec<f64> {
        self.start_of(&truth.means(&self.sums(truth)))
    }

    fn start_sums(&self, truth: &Truth<'_>) -> Option<Vec<ExactSum>> {
        Some(self.sums(truth))
    }

    fn start_of(&self, shares: &[f64]) -> Vec<f64> {
        shares.iter().map(|share| by_row::ln(share.max(RAREST))).collect()
    }

    fn derivatives(&self, truth: &Truth<'_>, scores: &[f64], out: &mut [Derivatives]) {
        let rows = truth.y.len();
        let of_task = (TASK / self.classes).next_multiple_of(BLOCK);
        // Of each task its part of every score.
        let mut tasks: Vec<Vec<&mut [Derivatives]>> = Vec::new();
        tasks.resize_with(rows.div_ceil(of_task), || Vec::with_capacity(self.classes));
        for of_score in out.chunks_mut(rows.max(1)) {
            tasks.iter_mut().zip(of_score.chunks_mut(of_task)).for_each(|(task, part)| task.push(part));
        }
        parallel::for_each_chunk_mut(&mut tasks, 1, |task, out| {
            let [out] = out else { return };
            let mut e = vec![0.0; BLOCK * self.classes];
            let first = task * of_task;
            for first in (first..rows.min(first + of_task)).step_by(BLOCK) {
                let block = first..rows.min(first + BLOCK).min((task + 1) * of_task);
                self.block(truth, scores, block, first - task * of_task, &mut e, out);
            }
        });
    }

    fn loss(&self, truth: &Truth<'_>, scores: &[f64]) -> f64 {
        self.sum_of_losses(truth, scores).value() / truth.total_weight()
    }

    fn loss_sum(&self, truth: &Truth<'_>, scores: &[f64]) -> Option<ExactSum> {
        Some(self.sum_of_losses(truth, scores))
    }

    fn link(&self) -> Link {
        Link::Softmax
    }
}

impl Softmax {
    /// The weights of classes.
    fn sums(&self, truth: &Truth<'_>) -> Vec<ExactSum> {
        (0..self.classes)
            .map(|class| truth.sum(|row| f64::from(u8::from(truth.y[row] == class as f64))))
            .collect()
    }

    fn sum_of_losses(&self, truth: &Truth<'_>, scores: &[f64]) -> ExactSum {
        by_row::sum(truth, |rows, out| {
            let of_class = |class: usize| &scores[class * truth.y.len()..][rows.clone()];
            let (mut most, mut e) = ([f64::NEG_INFINITY; by_row::BLOCK], [0.0; by_row::BLOCK]);
            let (most, e) = (&mut most[..rows.len()], &mut e[..rows.len()]);
            for class in 0..self.classes {
                most.iter_mut().zip(of_class(class)).for_each(|(most, score)| *most = score.max(*most));
            }
            out.fill(0.0);
            for class in 0..self.classes {
                for ((e, score), most) in e.iter_mut().zip(of_class(class)).zip(&*most) {
                    *e = score - most;
                }
                Elementary::Exp.in_place(e);
                out.iter_mut().zip(&*e).for_each(|(sum, e)| *sum += e);
            }
            Elementary::Log.in_place(out);
            for (i, (out, row)) in out.iter_mut().zip(rows.clone()).enumerate() {
                let class = (truth.y[row] as usize).min(self.classes - 1);
                *out += most[i] - scores[class * truth.y.len() + row];
            }
        })
    }

    /// The derivatives of a block of rows, `from` its first place in the parts of `out`.
    ///
    /// The exponentials e are below 1 but for the largest, which is 1: with `rest` the sum of the others the probability
    /// that a class is *not* the row's is (sum - e) / sum, and rest / sum for the largest, where the difference would cancel.
    fn block(
        &self,
        truth: &Truth<'_>,
        scores: &[f64],
        rows: Range<usize>,
        from: usize,
        e: &mut [f32],
        out: &mut [&mut [Derivatives]],
    ) {
        let n = rows.len();
        let of_class = |class: usize| &scores[class * truth.y.len()..][rows.clone()];
        let mut most = [f64::NEG_INFINITY; BLOCK];
        for class in 0..self.classes {
            most.iter_mut().zip(of_class(class)).for_each(|(most, score)| *most = score.max(*most));
        }
        let (mut rest, mut first) = ([0.0_f32; BLOCK], [1.0_f32; BLOCK]);
        for (class, e) in e.chunks_mut(BLOCK).enumerate() {
            let e = &mut e[..n];
            for ((e, score), most) in e.iter_mut().zip(of_class(class)).zip(&most) {
                *e = (score - most) as f32;
            }
            Elementary::Exp.in_place(e);
            for ((&mut e, rest), first) in e.iter_mut().zip(&mut rest).zip(&mut first) {
                // The first 1 is left out; others, of scores that are equal in f32, are not.
                let left_out = if e == 1.0 { *first } else { 0.0 };
                *rest += e - left_out;
                *first -= left_out;
            }
        }
        let mut inverse = [0.0; BLOCK];
        inverse.iter_mut().zip(&rest).for_each(|(inverse, rest)| *inverse = 1.0 / (1.0 + rest));
        let factor = self.classes as f32 / (self.classes - 1) as f32;
        for (class, (e, out)) in e.chunks(BLOCK).zip(out).enumerate() {
            let out = &mut out[from..from + n];
            let y = &truth.y[rows.clone()];
            for (i, ((out, &y), &e)) in out.iter_mut().zip(y).zip(e).enumerate() {
                let not = if e == 1.0 { rest[i] } else { 1.0 + rest[i] - e } * inverse[i];
                let p = e * inverse[i];
                let gradient = if y == class as f64 { -not } else { p };
                *out = Derivatives { gradient, hessian: factor * p * not };
            }
            by_row::weigh(truth, rows.clone(), out);
        }
    }
}
