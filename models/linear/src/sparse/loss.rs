//! Losses of a linear predictor, row by row, for solvers that keep the predictors of all rows.

use crate::deviance::Distribution;
use tilewise_base::Result;
use tilewise_kernels::{MatMut, MatRef, exp, log_softmax, parallel, sum};

/// Rows of a piece of work, whatever the number of threads: sums are cut here. Some ten microseconds of exponentials.
const PIECE: usize = 4096;

/// What a row is charged for its linear predictor z.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Loss {
    /// (z - y)^2 / 2.
    Squared,
    /// ln(1 + e^z) - y z, y being 0 or 1.
    Binomial,
    /// ln(sum of e^z_k) - z_y of so many linear predictors z_k, y being the number of one of them.
    Softmax(usize),
    /// (z - y)^2 / 2 up to this distance, as steep as there beyond.
    Huber(f64),
    /// Half the deviance, the mean being e^z.
    Deviance(Distribution),
}

/// Sum of the losses, and per row its derivatives, all times the row's share of the weight.
#[derive(Clone, Debug, Default)]
pub(crate) struct Losses {
    pub(crate) value: f64,
    pub(crate) slope: Vec<f64>,
    /// Of several predictors the diagonal of their Hessian.
    pub(crate) curvature: Vec<f64>,
    /// Of several predictors e^z_k over their sum.
    pub(crate) chances: Vec<f64>,
}

impl Loss {
    /// Linear predictors of a row, one after the other in all that is told of rows.
    pub(crate) fn predictors(self) -> usize {
        if let Self::Softmax(classes) = self { classes } else { 1 }
    }

    /// Derivative by z of a loss with one linear predictor and bounded curvature; NaN of others.
    #[inline]
    pub(crate) fn slope(self, z: f64, y: f64) -> f64 {
        match self {
            Self::Squared => z - y,
            Self::Huber(threshold) => (z - y).clamp(-threshold, threshold),
            Self::Binomial => {
                let side = if y > 0.5 { 1.0 } else { -1.0 };
                -side / (1.0 + (side * z).exp())
            }
            Self::Softmax(_) | Self::Deviance(_) => f64::NAN,
        }
    }

    /// The largest curvature of those.
    #[inline]
    pub(crate) fn steepest(self) -> f64 {
        if self == Self::Binomial { 0.25 } else { 1.0 }
    }
}

/// The rows' answers.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    pub(crate) loss: Loss,
    pub(crate) y: Vec<f64>,
    /// Weights over their sum.
    pub(crate) shares: Vec<f64>,
}

impl Answers {
    /// Losses at the linear predictors `z`.
    pub(crate) fn at(&self, z: &[f64]) -> Result<Losses> {
        if let Loss::Softmax(classes) = self.loss {
            return self.of_classes(z, classes);
        }
        let n = z.len();
        let (slope, curvature) = (vec![0.0; n], vec![0.0; n]);
        let mut out = Losses { slope, curvature, ..Losses::default() };
        let mut pieces: Vec<(&mut [f64], &mut [f64], Result<f64>)> = out
            .slope
            .chunks_mut(PIECE)
            .zip(out.curvature.chunks_mut(PIECE))
            .map(|(slope, curvature)| (slope, curvature, Ok(0.0)))
            .collect();
        parallel::for_each_chunk_mut(&mut pieces, 1, |piece, pieces| {
            for (slope, curvature, value) in pieces {
                let rows = piece * PIECE..piece * PIECE + slope.len();
                let (y, shares) = (&self.y[rows.clone()], &self.shares[rows.clone()]);
                *value = self.piece(&z[rows], y, shares, slope, curvature);
            }
        });
        let values = pieces.into_iter().map(|(_, _, value)| value).collect::<Result<Vec<f64>>>()?;
        out.value = sum(&values);
        Ok(out)
    }

    fn piece(
        &self,
        z: &[f64],
        y: &[f64],
        shares: &[f64],
        slope: &mut [f64],
        curvature: &mut [f64],
    ) -> Result<f64> {
        let mut losses = z.to_vec();
        match self.loss {
            Loss::Squared => {
                for ((loss, y), (slope, curvature)) in
                    losses.iter_mut().zip(y).zip(slope.iter_mut().zip(&mut *curvature))
                {
                    let r = *loss - y;
                    (*loss, *slope, *curvature) = (0.5 * r * r, r, 1.0);
                }
            }
            Loss::Binomial => {
                // With e = e^-|z| nothing overflows or cancels, as in `sweep/binomial.rs`.
                curvature.iter_mut().zip(z).for_each(|(c, z)| *c = -z.abs());
                exp(curvature, slope)?;
                for ((loss, y), (slope, curvature)) in
                    losses.iter_mut().zip(y).zip(slope.iter_mut().zip(&mut *curvature))
                {
                    let e = *slope;
                    let side = if *y > 0.5 { 1.0 } else { -1.0 };
                    let margin = *loss * side;
                    *loss = (-margin).max(0.0) + e.ln_1p();
                    *slope = -side * if margin >= 0.0 { e } else { 1.0 } / (1.0 + e);
                    *curvature = e / ((1.0 + e) * (1.0 + e));
                }
            }
            Loss::Huber(threshold) => {
                for ((loss, y), (slope, curvature)) in
                    losses.iter_mut().zip(y).zip(slope.iter_mut().zip(&mut *curvature))
                {
                    let r = *loss - y;
                    let within = r.abs().min(threshold);
                    *loss = within * (r.abs() - 0.5 * within);
                    *slope = within.copysign(r);
                    // That of the parabola which touches the loss here and lies above it.
                    *curvature = if r.abs() > threshold { threshold / r.abs() } else { 1.0 };
                }
            }
            // Of a piece by itself.
            Loss::Softmax(_) => {}
            Loss::Deviance(distribution) => {
                let mut scratch = vec![0.0; z.len()];
                distribution.losses(y, &mut losses, slope, curvature, &mut scratch)?;
                losses.iter_mut().zip(y).for_each(|(loss, y)| *loss += distribution.constant(*y));
            }
        }
        // A row without weight has no say, even where its loss overflows.
        for ((loss, share), (slope, curvature)) in
            losses.iter_mut().zip(shares).zip(slope.iter_mut().zip(curvature))
        {
            let of = |x: f64| if *share == 0.0 { 0.0 } else { share * x };
            (*loss, *slope, *curvature) = (of(*loss), of(*slope), of(*curvature));
        }
        Ok(sum(&losses))
    }

    /// As [`at`](Self::at), of softmax.
    fn of_classes(&self, z: &[f64], classes: usize) -> Result<Losses> {
        let rows = self.y.len();
        let of = |piece: usize| -> Result<Losses> {
            let rows = piece * PIECE..rows.min((piece + 1) * PIECE);
            let z = &z[rows.start * classes..rows.end * classes];
            let (mut logs, mut chances) = (vec![0.0; z.len()], vec![0.0; z.len()]);
            let view = MatRef::new(z, rows.len(), classes)?;
            log_softmax(view, MatMut::new(&mut logs, rows.len(), classes)?)?;
            exp(&logs, &mut chances)?;
            let (mut slope, mut curvature) = (chances.clone(), chances.clone());
            let mut losses = Vec::with_capacity(rows.len());
            let lines = slope.chunks_exact_mut(classes).zip(curvature.chunks_exact_mut(classes));
            for (((slope, curvature), logs), i) in lines.zip(logs.chunks_exact(classes)).zip(rows) {
                let (share, y) = (self.shares[i], self.y[i] as usize);
                if share == 0.0 {
                    // A row without weight has no say, even where its loss overflows.
                    losses.push(0.0);
                    slope.fill(0.0);
                    curvature.fill(0.0);
                    continue;
                }
                losses.push(-share * logs[y]);
                curvature.iter_mut().for_each(|c| *c *= share * (1.0 - *c));
                // 1 - chance as the sum of the others, which does not cancel.
                slope[y] = 0.0;
                slope[y] = -slope.iter().sum::<f64>();
                slope.iter_mut().for_each(|s| *s *= share);
            }
            Ok(Losses { value: sum(&losses), slope, curvature, chances })
        };
        let mut out = Losses::default();
        for vector in [&mut out.slope, &mut out.curvature, &mut out.chances] {
            vector.reserve_exact(z.len());
        }
        let mut values = Vec::new();
        for piece in parallel::map(rows.div_ceil(PIECE), of) {
            let piece = piece?;
            values.push(piece.value);
            out.slope.extend(piece.slope);
            out.curvature.extend(piece.curvature);
            out.chances.extend(piece.chances);
        }
        out.value = sum(&values);
        Ok(out)
    }

    /// The smallest margin by which a row that counts is on its own side, its offset apart.
    pub(crate) fn margin(&self, z: &[f64], offset: Option<&[f64]>) -> f64 {
        if let Loss::Softmax(classes) = self.loss {
            // An offset is that of all classes.
            let margin = |i: usize| {
                let (z, own) = (&z[i * classes..(i + 1) * classes], self.y[i] as usize);
                let others = (0..classes).filter(|k| *k != own).map(|k| z[k]);
                z[own] - others.fold(f64::NEG_INFINITY, f64::max)
            };
            return (0..self.y.len())
                .filter(|&i| self.shares[i] > 0.0)
                .map(margin)
                .fold(f64::INFINITY, f64::min);
        }
        let margin = |i: usize| {
            let z = z[i] - offset.map_or(0.0, |o| o[i]);
            if self.y[i] > 0.5 { z } else { -z }
        };
        (0..z.len()).filter(|&i| self.shares[i] > 0.0).map(margin).fold(f64::INFINITY, f64::min)
    }
}
