//! Differences of pairs over seeds.

/// The mean of differences and its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Paired {
    pub(super) mean: f64,
    /// NaN for fewer than two pairs.
    pub(super) error: f64,
}

impl Paired {
    /// Of `differences`, one for each seed.
    pub(super) fn of(differences: &[f64]) -> Self {
        let n = differences.len() as f64;
        let mean = differences.iter().sum::<f64>() / n;
        let square: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
        Self { mean, error: if n > 1.0 { (square / (n - 1.0) / n).sqrt() } else { f64::NAN } }
    }

    /// `+0.00123 (0.00045)`, with so many digits after the point.
    pub(super) fn text(self, digits: usize) -> String {
        format!("{:+.digits$} ({:.digits$})", self.mean, self.error)
    }

    /// `yes` unless the mean is below 0 by more than two standard errors.
    pub(super) fn verdict(self) -> String {
        if self.mean >= 0.0 || self.mean >= -2.0 * self.error { "yes" } else { "NO" }.into()
    }

    /// Whether the mean is above 0, or below, by more than two standard errors.
    pub(super) fn better(self) -> &'static str {
        match self {
            Self { mean, error } if mean > 2.0 * error => "yes",
            Self { mean, error } if mean < -2.0 * error => "NO",
            _ => "within two standard errors",
        }
    }
}

/// Digits after the point of shares and losses: a standard error over some 10,000 rows has two of them.
pub(super) const DIGITS: usize = 5;

/// The arithmetic mean, as it stands in tables.
pub(super) fn mean_text(values: &[f64], digits: usize) -> String {
    format!("{:.digits$}", values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_that_of_the_mean() {
        // Deviations -1, 0, 1: variance 1, over three pairs.
        let paired = Paired::of(&[1.0, 2.0, 3.0]);
        assert_eq!(paired.mean, 2.0);
        assert!((paired.error - (1.0f64 / 3.0).sqrt()).abs() < 1e-15);
        assert!(Paired::of(&[1.0]).error.is_nan());
        assert_eq!(Paired { mean: -0.002, error: 0.0009 }.verdict(), "NO");
        assert_eq!(Paired { mean: -0.002, error: 0.0011 }.verdict(), "yes");
        assert_eq!(Paired { mean: 0.0, error: f64::NAN }.verdict(), "yes");
        assert_eq!(Paired { mean: -1.0, error: f64::NAN }.verdict(), "NO");
    }
}
