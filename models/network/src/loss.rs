//! What training makes smaller: the mean over the rows of a batch, weighted where rows or classes have weights.

use crate::compiled::compiled;
use serde::{Deserialize, Serialize};
use tilewise_base::{Error, Result};
use tilewise_kernels::{Elementary, Float, MatMut, MatRef, log_softmax, softplus, sum};

/// A loss of outputs and targets; its numbers are those of the PyTorch loss named, with `reduction="mean"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "loss", rename_all = "snake_case")]
pub enum Loss {
    /// Of classes: -log of the softmax of the outputs at the class (`CrossEntropyLoss`).
    CrossEntropy {
        /// This share of the target is divided evenly among all classes (Szegedy and others 2015); from 0 to below 1.
        smoothing: f64,
    },
    /// Of two classes, or shares from 0 to 1, by the log odds that are the outputs (`BCEWithLogitsLoss`).
    Binary,
    /// (output - target)^2 (`MSELoss`).
    Squared,
    /// (output - target)^2 / 2, as scikit-learn's networks have it.
    HalfSquared,
    /// (output - target)^2 / 2 up to a distance of `delta`, linear beyond (`HuberLoss`; Huber 1964).
    Huber {
        /// Above 0.
        delta: f64,
    },
}

/// What the outputs of rows should be.
#[derive(Clone, Copy, Debug)]
pub enum Targets<'a, T> {
    /// A class for each row, from 0.
    Classes(&'a [u32]),
    /// Rows x outputs numbers, row-major.
    Numbers(&'a [T]),
}

impl<T> Targets<'_, T> {
    /// Rows, of so many outputs each.
    pub fn rows(&self, outputs: usize) -> usize {
        match self {
            Self::Classes(classes) => classes.len(),
            Self::Numbers(numbers) => numbers.len() / outputs.max(1),
        }
    }
}

/// Everything that a loss is of.
pub(crate) struct Judged<'a, T> {
    /// Rows x outputs.
    pub(crate) outputs: &'a [T],
    pub(crate) targets: Targets<'a, T>,
    /// One for each row.
    pub(crate) weights: Option<&'a [T]>,
    /// One for each class.
    pub(crate) class_weights: Option<&'a [T]>,
}

impl Loss {
    /// Whether its numbers are in range.
    pub(crate) fn check(&self) -> Result<()> {
        match *self {
            Self::CrossEntropy { smoothing } if !(0.0..1.0).contains(&smoothing) => {
                Err(Error::parameter("label_smoothing", smoothing, "from 0 to below 1 is"))
            }
            Self::Huber { delta } if !(delta > 0.0 && delta.is_finite()) => {
                Err(Error::parameter("delta", delta, "a number above 0 is"))
            }
            _ => Ok(()),
        }
    }

    /// Classes that it tells apart with so many outputs; 0 where targets are numbers.
    fn classes(&self, outputs: usize) -> usize {
        match self {
            Self::CrossEntropy { .. } => outputs,
            Self::Binary if outputs == 1 => 2,
            _ => 0,
        }
    }

    /// Whether targets are of the kind and the range that it needs. O(rows).
    pub(crate) fn check_targets<T: Float>(&self, targets: Targets<'_, T>, outputs: usize) -> Result<()> {
        let classes = self.classes(outputs);
        match targets {
            Targets::Classes(_) if classes == 0 => Err(Error::Fit(format!(
                "the loss {self:?} of {outputs} outputs needs numbers as targets, not classes"
            ))),
            Targets::Classes(labels) => match labels.iter().position(|&c| c as usize >= classes) {
                Some(row) => Err(Error::Fit(format!(
                    "row {}: the label {} is out of range; the network tells {classes} classes apart, from 0",
                    row + 1,
                    labels[row]
                ))),
                None => Ok(()),
            },
            Targets::Numbers(_) if matches!(self, Self::CrossEntropy { .. }) => {
                Err(Error::Fit("cross-entropy needs classes as targets, not numbers".into()))
            }
            Targets::Numbers(numbers) => {
                let fits = |x: &T| match self {
                    Self::Binary => *x >= T::ZERO && *x <= T::ONE,
                    _ => x.is_finite(),
                };
                match numbers.iter().position(|x| !fits(x)) {
                    Some(at) => {
                        let accepted = if *self == Self::Binary { "from 0 to 1" } else { "a finite number" };
                        let row = at / outputs + 1;
                        Err(Error::Fit(format!(
                            "row {row}: the target is {}; {accepted} is accepted",
                            numbers[at]
                        )))
                    }
                    None => Ok(()),
                }
            }
        }
    }

    /// The loss, its gradient with respect to the outputs into `slopes`, and what rows add into `notes`. Targets were checked. Rows
    /// whose weights are all zero have loss 0.
    pub(crate) fn evaluate<T: Float>(
        &self,
        judged: &Judged<'_, T>,
        slopes: &mut [T],
        notes: &mut [T],
    ) -> f64 {
        let rows = notes.len();
        if rows == 0 {
            return 0.0;
        }
        let width = judged.outputs.len() / rows;
        notes.iter_mut().enumerate().for_each(|(row, note)| *note = weight_of(judged, row));
        let total = sum(notes);
        // A mean over outputs too, of numbers.
        let total = if self.classes(width) == 0 { total * T::from_f64(width as f64) } else { total };
        let per = if total > T::ZERO { T::ONE / total } else { T::ZERO };
        match *self {
            Self::CrossEntropy { smoothing } => {
                self.cross_entropy(judged, smoothing, per, width, slopes, notes);
            }
            Self::Binary => binary(judged, per, width, slopes, notes),
            Self::Squared => numbers(judged, per, width, slopes, notes, |r| (r * r, r + r)),
            Self::HalfSquared => {
                let half = T::from_f64(0.5);
                numbers(judged, per, width, slopes, notes, |r| (half * r * r, r));
            }
            Self::Huber { delta } => {
                let (delta, half) = (T::from_f64(delta), T::from_f64(0.5));
                numbers(judged, per, width, slopes, notes, |r| match r.abs() <= delta {
                    true => (half * r * r, r),
                    false => (delta * (r.abs() - half * delta), if r < T::ZERO { -delta } else { delta }),
                });
            }
        }
        sum(notes).to_f64() * per.to_f64()
    }

    /// Of row i with class c and weights w: -(1 - s) w_c log p_c - s / C sum of w_k log p_k, times the row's weight.
    fn cross_entropy<T: Float>(
        &self,
        judged: &Judged<'_, T>,
        smoothing: f64,
        per: T,
        width: usize,
        slopes: &mut [T],
        notes: &mut [T],
    ) {
        let Targets::Classes(labels) = judged.targets else { return };
        let rows = labels.len();
        let (x, out) = (MatRef::new(judged.outputs, rows, width), MatMut::new(slopes, rows, width));
        if let (Ok(x), Ok(out)) = (x, out) {
            // Of one shape.
            let _ = log_softmax(x, out);
        }
        let (kept, even) = (T::from_f64(1.0 - smoothing), T::from_f64(smoothing / width as f64));
        let of_class = |k: usize| judged.class_weights.map_or(T::ONE, |w| w[k]);
        let all = if judged.class_weights.is_some() {
            (0..width).map(of_class).fold(T::ZERO, |a, b| a + b)
        } else {
            T::from_f64(width as f64)
        };
        for (row, (logs, note)) in slopes.chunks_exact(width).zip(notes.iter_mut()).enumerate() {
            let class = labels[row] as usize;
            let mut loss = -(kept * of_class(class) * logs[class]);
            if smoothing > 0.0 {
                let others = logs.iter().enumerate().fold(T::ZERO, |sum, (k, &log)| sum + of_class(k) * log);
                loss -= even * others;
            }
            *note = loss * judged.weights.map_or(T::ONE, |w| w[row]);
        }
        Elementary::Exp.in_place(slopes);
        for (row, p) in slopes.chunks_exact_mut(width).enumerate() {
            let class = labels[row] as usize;
            let scale = per * judged.weights.map_or(T::ONE, |w| w[row]);
            let own = kept * of_class(class);
            let share = (own + if smoothing > 0.0 { even * all } else { T::ZERO }) * scale;
            p.iter_mut().for_each(|p| *p *= share);
            p[class] -= own * scale;
            if smoothing > 0.0 {
                p.iter_mut().enumerate().for_each(|(k, p)| *p -= even * of_class(k) * scale);
            }
        }
    }
}

fn binary<T: Float>(judged: &Judged<'_, T>, per: T, width: usize, slopes: &mut [T], notes: &mut [T]) {
    // Of equal length.
    let _ = softplus(judged.outputs, slopes);
    let target = |row: usize, j: usize| match judged.targets {
        Targets::Classes(labels) => T::from_f64(f64::from(labels[row])),
        Targets::Numbers(numbers) => numbers[row * width + j],
    };
    let outputs = || judged.outputs.chunks_exact(width);
    for (row, ((z, softplus), note)) in
        outputs().zip(slopes.chunks_exact_mut(width)).zip(notes.iter_mut()).enumerate()
    {
        let weight = *note;
        let mut loss = T::ZERO;
        for (j, (&z, slot)) in z.iter().zip(softplus).enumerate() {
            loss += *slot - z * target(row, j);
            *slot = z;
        }
        *note = loss * weight;
    }
    Elementary::Sigmoid.in_place(slopes);
    for (row, p) in slopes.chunks_exact_mut(width).enumerate() {
        let scale = per * weight_of(judged, row);
        p.iter_mut().enumerate().for_each(|(j, p)| *p = (*p - target(row, j)) * scale);
    }
}

/// A row's weight times that of its class.
fn weight_of<T: Float>(judged: &Judged<'_, T>, row: usize) -> T {
    let of_row = judged.weights.map_or(T::ONE, |w| w[row]);
    match (judged.class_weights, judged.targets) {
        (Some(of_class), Targets::Classes(labels)) => of_row * of_class[labels[row] as usize],
        _ => of_row,
    }
}

/// Of residuals: `of(r)` is the loss of one and its derivative.
fn numbers<T: Float>(
    judged: &Judged<'_, T>,
    per: T,
    width: usize,
    slopes: &mut [T],
    notes: &mut [T],
    of: impl Fn(T) -> (T, T),
) {
    let Targets::Numbers(targets) = judged.targets else { return };
    compiled::<T, _>(
        #[inline(always)]
        || {
            let rows = judged.outputs.chunks_exact(width).zip(targets.chunks_exact(width));
            for (((y, target), slope), note) in rows.zip(slopes.chunks_exact_mut(width)).zip(notes) {
                let weight = *note;
                let mut sum = T::ZERO;
                for ((&y, &t), slope) in y.iter().zip(target).zip(slope) {
                    let (loss, derivative) = of(y - t);
                    sum += loss;
                    *slope = derivative * (per * weight);
                }
                *note = sum * weight;
            }
        },
    );
}
