//! Distributions whose variance is a power of the mean, with the logarithm as link (Jørgensen, "Exponential dispersion models",
//! 1987; McCullagh, Nelder, "Generalized linear models", 1989).
//!
//! With z the linear predictor and mean e^z, half the deviance of a row is a loss of z and a number of y alone. Every loss here
//! is convex in z, its curvature the true one, not the expected.

use serde::{Deserialize, Serialize};
use tilewise_base::{Error, Result};
use tilewise_kernels::exp;

/// How targets scatter around their mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distribution {
    /// Counts: variance = mean. Targets of 0 or more.
    #[default]
    Poisson,
    /// Amounts: variance proportional to mean^2. Targets above 0.
    Gamma,
    /// Sums of a Poisson number of gamma amounts: variance proportional to mean^power, with a power between 1 and 2. Targets of 0 or
    /// more.
    Tweedie(f64),
}

impl Distribution {
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Tweedie(power) if !(power > 1.0 && power < 2.0) => {
                let accepted =
                    "expected a number between 1 and 2; at 1 it is Poisson, at 2 the gamma distribution";
                Err(Error::parameter("power", power, accepted))
            }
            _ => Ok(()),
        }
    }

    /// What is wrong with a target, if anything is: words that follow "the target".
    pub fn refuses(self, y: f64) -> Option<String> {
        let (accepts, accepted, name) = match self {
            Self::Poisson => (y >= 0.0, "0 or more", "Poisson"),
            Self::Gamma => (y > 0.0, "above 0", "gamma"),
            Self::Tweedie(_) => (y >= 0.0, "0 or more", "Tweedie"),
        };
        let refused = !(accepts && y.is_finite());
        refused.then(|| format!("is {y}; {name} regression takes finite numbers {accepted}"))
    }

    /// Half the deviance of a row without what depends on z.
    pub(crate) fn constant(self, y: f64) -> f64 {
        match self {
            Self::Poisson if y > 0.0 => y * (y.ln() - 1.0),
            Self::Poisson => 0.0,
            Self::Gamma => -1.0 - y.ln(),
            Self::Tweedie(power) => y.powf(2.0 - power) / ((1.0 - power) * (2.0 - power)),
        }
    }

    /// Replaces z by the loss, and gives slope and curvature; `scratch` is as long.
    pub(crate) fn losses(
        self,
        y: &[f64],
        z: &mut [f64],
        slope: &mut [f64],
        curvature: &mut [f64],
        scratch: &mut [f64],
    ) -> Result<()> {
        let rows = || y.iter().zip(0..);
        match self {
            Self::Poisson => {
                exp(z, curvature)?;
                for (y, i) in rows() {
                    let mean = curvature[i];
                    (z[i], slope[i]) = (mean - y * z[i], mean - y);
                }
            }
            Self::Gamma => {
                scratch.iter_mut().zip(&*z).for_each(|(s, z)| *s = -z);
                exp(scratch, curvature)?;
                for (y, i) in rows() {
                    let ratio = y * curvature[i];
                    (z[i], slope[i], curvature[i]) = (ratio + z[i], 1.0 - ratio, ratio);
                }
            }
            Self::Tweedie(power) => {
                let (a, b) = (1.0 - power, 2.0 - power);
                scratch.iter_mut().zip(&*z).for_each(|(s, z)| *s = a * z);
                exp(scratch, slope)?;
                scratch.iter_mut().zip(&*z).for_each(|(s, z)| *s = b * z);
                exp(scratch, curvature)?;
                for (y, i) in rows() {
                    let (of_target, of_mean) = (y * slope[i], curvature[i]);
                    z[i] = of_mean / b - of_target / a;
                    (slope[i], curvature[i]) = (of_mean - of_target, b * of_mean - a * of_target);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Differences of the loss are slope and curvature, and loss and constant together are half the deviance.
    #[test]
    fn derivatives_are_those_of_half_the_deviance() {
        for distribution in [Distribution::Poisson, Distribution::Gamma, Distribution::Tweedie(1.3)] {
            for (y, z) in [(0.5, -1.0), (3.0, 0.7), (7.0, 2.5)] {
                let at = |z: f64| {
                    let (mut loss, mut slope, mut curvature) = ([z], [0.0], [0.0]);
                    distribution.losses(&[y], &mut loss, &mut slope, &mut curvature, &mut [0.0]).unwrap();
                    (loss[0] + distribution.constant(y), slope[0], curvature[0])
                };
                let h = 1e-4;
                let (value, slope, curvature) = at(z);
                assert!(((at(z + h).0 - at(z - h).0) / (2.0 * h) - slope).abs() < 1e-6 * (1.0 + slope.abs()));
                assert!(
                    ((at(z + h).1 - at(z - h).1) / (2.0 * h) - curvature).abs() < 1e-6 * (1.0 + curvature)
                );
                let mean: f64 = f64::exp(z);
                let deviance = match distribution {
                    Distribution::Poisson => tilewise_base::metric::poisson_deviance(&[y], &[mean], None),
                    Distribution::Gamma => tilewise_base::metric::gamma_deviance(&[y], &[mean], None),
                    Distribution::Tweedie(power) => {
                        tilewise_base::metric::tweedie_deviance(&[y], &[mean], power, None)
                    }
                };
                assert!((2.0 * value - deviance.unwrap()).abs() < 1e-12 * (1.0 + value), "{distribution:?}");
            }
        }
    }
}
