//! What a fit is given per row besides the features, and the checks that every fit makes once.

use crate::Element;
use tilewise_base::{Error, Result};
use tilewise_kernels::{MatRef, same};

/// What rows may carry besides features and target.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rows<'a> {
    /// How often each row counts: finite, not negative, not all zero. None means once.
    pub weights: Option<&'a [f64]>,
    /// Added to the linear predictor of each row, with a coefficient fixed at 1.
    pub offset: Option<&'a [f64]>,
}

/// Some rows of the training data, as a worker of [`tilewise_base::Rounds`] holds them.
#[derive(Clone, Copy)]
pub struct Chunk<'a, T, Y> {
    /// Features.
    pub x: MatRef<'a, T>,
    /// Targets: numbers or class codes.
    pub y: &'a [Y],
    /// Weights and offset.
    pub rows: Rows<'a>,
    /// Number of this chunk's first row in the data, for error messages.
    pub first_row: usize,
}

impl<T: Element, Y> Chunk<'_, T, Y> {
    /// Checks shapes, weights and offset.
    pub(crate) fn check(&self) -> Result<()> {
        let n = self.x.rows();
        same("targets against rows of x", n, self.y.len())?;
        same("weights against rows of x", n, self.rows.weights.map_or(n, <[f64]>::len))?;
        same("offset against rows of x", n, self.rows.offset.map_or(n, <[f64]>::len))?;
        if let Some(i) = self.rows.weights.and_then(|w| w.iter().position(|w| !(w.is_finite() && *w >= 0.0)))
        {
            return Err(self.bad(i, "weight", "weights are finite and not negative"));
        }
        if let Some(i) = self.rows.offset.and_then(|o| o.iter().position(|o| !o.is_finite())) {
            return Err(self.bad(i, "offset", "offsets are finite"));
        }
        Ok(())
    }

    pub(crate) fn bad(&self, row: usize, what: &str, accepted: &str) -> Error {
        Error::Fit(format!("row {}: the {what} is not accepted; {accepted}", self.first_row + row))
    }

    /// The error for features whose sums came out NaN or infinite: names the first cell that is to blame.
    pub(crate) fn not_finite(&self) -> Error {
        for i in 0..self.x.rows() {
            for j in 0..self.x.cols() {
                let x = self.x.get(i, j);
                if !x.is_finite() {
                    let row = self.first_row + i;
                    return Error::Fit(format!(
                        "row {row}, feature {j}: {x} is not accepted; features are finite"
                    ));
                }
            }
        }
        Error::Fit("features are so large that their squares overflow; scale them down".into())
    }

    /// Weight of row `i`.
    pub(crate) fn weight(&self, i: usize) -> f64 {
        self.rows.weights.map_or(1.0, |w| w[i])
    }
    /// Offset of row `i`.
    pub(crate) fn offset(&self, i: usize) -> f64 {
        self.rows.offset.map_or(0.0, |o| o[i])
    }
}

/// Checks that there is something to learn from.
pub(crate) fn check_shape(rows: usize, features: usize) -> Result<()> {
    if rows == 0 {
        return Err(Error::Fit("there are no rows; a fit needs at least one".into()));
    }
    if features == 0 {
        return Err(Error::Fit("there are no features; a fit needs at least one".into()));
    }
    Ok(())
}

/// Checks a parameter that must be finite and not negative.
pub(crate) fn check_not_negative(name: &str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        Ok(())
    } else {
        Err(Error::parameter(name, value, "expected a finite number, 0 or larger"))
    }
}
