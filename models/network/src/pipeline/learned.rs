//! Rows to learn from, as a network sees them.

use crate::{Rows, Targets};
use serde::{Deserialize, Serialize};
use tilewise_base::mapped::Plain;
use tilewise_base::{Array, Result, Storage};
use tilewise_kernels::{Float, MatRef};

/// Mean and deviation of a target of numbers, which is standardised inside.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scale {
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
}

impl Scale {
    /// Of what is no number.
    pub(crate) const NONE: Self = Self { mean: 0.0, deviation: 1.0 };

    /// Mean and deviation of `y`, weighted; a target that is constant has deviation 1.
    pub(super) fn of(y: &[f64], weights: Option<&[f64]>) -> Self {
        let weight = |i: usize| weights.map_or(1.0, |w| w[i]);
        let total: f64 = (0..y.len()).map(weight).sum();
        let mean = y.iter().enumerate().map(|(i, y)| weight(i) * y).sum::<f64>() / total;
        let square = y.iter().enumerate().map(|(i, y)| weight(i) * (y - mean).powi(2)).sum::<f64>() / total;
        let deviation = square.sqrt();
        let (mean, usable) = (mean, deviation > 0.0 && deviation.is_finite());
        Self { mean, deviation: if usable { deviation } else { 1.0 } }
    }

    /// Whether answers can be scaled by it.
    pub(crate) fn is_usable(&self) -> bool {
        self.mean.is_finite() && self.deviation.is_finite() && self.deviation > 0.0
    }

    /// What the network is to answer for `y`.
    pub(super) fn inside(self, y: f64) -> f64 {
        (y - self.mean) / self.deviation
    }

    /// What the network's answer `y` means.
    pub(super) fn outside(self, y: f64) -> f64 {
        y * self.deviation + self.mean
    }
}

/// What belongs to one row or to one after the other.
pub(super) struct Learned<T> {
    pub(super) x: Array<T>,
    /// Of classes; else empty.
    pub(super) labels: Vec<u32>,
    /// Rows x targets, of numbers; else empty.
    pub(super) numbers: Vec<T>,
    pub(super) weights: Option<Vec<T>>,
}

impl<T: Float + Plain> Learned<T> {
    /// The rows `which`, in this order.
    pub(super) fn take(&self, which: &[usize], width: usize, storage: &Storage) -> Result<Self> {
        let mut x = storage.zeros(which.len() * width)?;
        for (to, &row) in x.chunks_exact_mut(width).zip(which) {
            to.copy_from_slice(&self.x[row * width..][..width]);
        }
        let targets = self.numbers.len() / (self.x.len() / width).max(1);
        let of_row = |&row: &usize| &self.numbers[row * targets..][..targets];
        let labels = if self.labels.is_empty() { &[][..] } else { which };
        Ok(Self {
            x: x.finish()?,
            labels: labels.iter().map(|&i| self.labels[i]).collect(),
            numbers: which.iter().flat_map(of_row).copied().collect(),
            weights: self.weights.as_deref().map(|all| which.iter().map(|&i| all[i]).collect()),
        })
    }

    /// The same, to be read.
    pub(super) fn rows(&self, width: usize) -> Result<Rows<'_, T>> {
        let targets = match self.labels.is_empty() {
            true => Targets::Numbers(&self.numbers),
            false => Targets::Classes(&self.labels),
        };
        let x = MatRef::new(&self.x, self.x.len() / width, width)?;
        Ok(Rows { x, targets, weights: self.weights.as_deref() })
    }
}

/// Rows over classes times rows of each class, weights counting as rows.
pub(super) fn balanced<T: Float>(learned: &Learned<T>, classes: usize) -> Vec<f64> {
    let mut of_class = vec![0.0; classes];
    for (i, &label) in learned.labels.iter().enumerate() {
        of_class[label as usize] += learned.weights.as_ref().map_or(1.0, |w| w[i].to_f64());
    }
    let total: f64 = of_class.iter().sum();
    of_class.iter().map(|&n| if n > 0.0 { total / (classes as f64 * n) } else { 1.0 }).collect()
}
