//! Distributions whose variance is a power of the mean, with the logarithm as link, and of the normal one also without (Jørgensen,
//! "Exponential dispersion models", 1987; McCullagh, Nelder, "Generalized linear models", 1989).
//!
//! With z the linear predictor and mean e^z, half the deviance of a row is a loss of z and a number of y alone. For powers from 1 to 2 every
//! loss is convex in z, its curvature the true one, not the expected. For others a row far from its mean bends the other way: its
//! curvature is taken to be at least a tenth of the expected one, so that every step descends, to a minimum nearby.

use crate::Link;
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
    /// Variance proportional to mean^power. With a power between 1 and 2 sums of a Poisson number of gamma amounts: targets of 0 or more.
    /// With one above 2 amounts that are far above their mean now and then, at 3 the inverse Gaussian distribution: targets above 0.
    Tweedie(f64),
    /// The same variance everywhere, the mean being the linear predictor or, with `Link::Log`, e to its power. Any targets.
    Normal(Link),
}

/// The share of the expected curvature that a row has at least.
const LEAST_CURVATURE: f64 = 0.1;

impl Distribution {
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Tweedie(power) if !(power > 1.0 && power != 2.0 && power.is_finite()) => {
                let accepted = "expected a number above 1 but 2; at 0 it is the normal distribution, at 1 Poisson, at 2 the gamma distribution";
                Err(Error::parameter("power", power, accepted))
            }
            Self::Normal(link) if !matches!(link, Link::Identity | Link::Log) => {
                Err(Error::parameter("link", format!("{link:?}"), "expected identity or log"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses what solvers do not take whose losses are convex and of the logarithm: those of sparse rows, say.
    pub(crate) fn check_convex(self, of: &str) -> Result<()> {
        if (1.0..=2.0).contains(&self.power()) {
            return self.check();
        }
        Err(Error::parameter("power", self.power(), format!("of {of} a number from 1 to 2 is expected")))
    }

    /// The power of the mean that the variance is proportional to.
    pub fn power(self) -> f64 {
        match self {
            Self::Poisson => 1.0,
            Self::Gamma => 2.0,
            Self::Tweedie(power) => power,
            Self::Normal(_) => 0.0,
        }
    }

    /// How the mean follows from the linear predictor.
    pub fn link(self) -> Link {
        match self {
            Self::Normal(link) => link,
            _ => Link::Log,
        }
    }

    /// What is wrong with a target, if anything is: words that follow "the target".
    pub fn refuses(self, y: f64) -> Option<String> {
        let (accepts, accepted, name) = match self {
            Self::Poisson => (y >= 0.0, "0 or more", "Poisson"),
            Self::Gamma => (y > 0.0, "above 0", "gamma"),
            Self::Tweedie(power) if power > 2.0 => (y > 0.0, "above 0", "Tweedie"),
            Self::Tweedie(_) => (y >= 0.0, "0 or more", "Tweedie"),
            Self::Normal(_) => (true, "of any size", "normal"),
        };
        let refused = !(accepts && y.is_finite());
        refused.then(|| format!("is {y}; {name} regression takes finite numbers {accepted}"))
    }

    /// How far a target is from its mean: twice what the logarithm of its likelihood falls short of that of a mean at the target. 0 where
    /// they are equal, NaN where the distribution has no such target or mean.
    ///
    /// ```
    /// use tilewise_linear::Distribution;
    /// assert_eq!(Distribution::Poisson.deviance(0.0, 1.5), 3.0);
    /// ```
    pub fn deviance(self, target: f64, mean: f64) -> f64 {
        if self.refuses(target).is_some() || !(mean > 0.0 || matches!(self, Self::Normal(_))) {
            return f64::NAN;
        }
        let (y, power) = (target, self.power());
        let (a, b) = (1.0 - power, 2.0 - power);
        let half = match self {
            Self::Normal(_) => 0.5 * (y - mean).powi(2),
            Self::Poisson if y == 0.0 => mean,
            Self::Poisson => y * (y / mean).ln() - (y - mean),
            Self::Gamma => (y - mean) / mean - (y / mean).ln(),
            Self::Tweedie(_) => y.powf(b) / (a * b) - y * mean.powf(a) / a + mean.powf(b) / b,
        };
        // Rounding may leave less than nothing.
        if half < 0.0 { 0.0 } else { 2.0 * half }
    }

    /// Half the deviance of a row without what depends on z.
    pub(crate) fn constant(self, y: f64) -> f64 {
        match self {
            Self::Poisson if y > 0.0 => y * (y.ln() - 1.0),
            Self::Poisson => 0.0,
            Self::Gamma => -1.0 - y.ln(),
            Self::Tweedie(power) => y.powf(2.0 - power) / ((1.0 - power) * (2.0 - power)),
            Self::Normal(_) => 0.0,
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
                    if power > 2.0 {
                        curvature[i] = curvature[i].max(LEAST_CURVATURE * of_mean);
                    }
                }
            }
            Self::Normal(Link::Log) => {
                exp(z, curvature)?;
                for (y, i) in rows() {
                    let (mean, square) = (curvature[i], curvature[i] * curvature[i]);
                    (z[i], slope[i]) = (0.5 * (mean - y) * (mean - y), mean * (mean - y));
                    curvature[i] = (mean * (2.0 * mean - y)).max(LEAST_CURVATURE * square);
                }
            }
            Self::Normal(_) => {
                for (y, i) in rows() {
                    let r = z[i] - y;
                    (z[i], slope[i], curvature[i]) = (0.5 * r * r, r, 1.0);
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
        use Distribution::{Gamma, Normal, Poisson, Tweedie};
        let all = [
            Poisson,
            Gamma,
            Tweedie(1.3),
            Tweedie(3.0),
            Tweedie(2.5),
            Normal(Link::Identity),
            Normal(Link::Log),
        ];
        for distribution in all {
            assert!(distribution.deviance(f64::NAN, 1.0).is_nan());
            assert_eq!(distribution.deviance(2.0, 0.0).is_nan(), !matches!(distribution, Normal(_)));
            for (y, z) in [(0.5, -1.0), (3.0, 0.7), (7.0, 2.5)] {
                let at = |z: f64| {
                    let (mut loss, mut slope, mut curvature) = ([z], [0.0], [0.0]);
                    distribution.losses(&[y], &mut loss, &mut slope, &mut curvature, &mut [0.0]).unwrap();
                    (loss[0] + distribution.constant(y), slope[0], curvature[0])
                };
                let h = 1e-4;
                let (value, slope, curvature) = at(z);
                assert!(((at(z + h).0 - at(z - h).0) / (2.0 * h) - slope).abs() < 1e-6 * (1.0 + slope.abs()));
                let mean: f64 = if distribution.link() == Link::Log { z.exp() } else { z };
                let (power, difference) = (distribution.power(), (at(z + h).1 - at(z - h).1) / (2.0 * h));
                // The expected curvature is the square of the mean's derivative over the variance.
                let expected = if distribution.link() == Link::Log { mean.powf(2.0 - power) } else { 1.0 };
                let told =
                    if (1.0..=2.0).contains(&power) { difference } else { difference.max(0.1 * expected) };
                assert!((told - curvature).abs() < 1e-6 * (1.0 + curvature), "{distribution:?} {y} {z}");
                let (a, b) = (1.0 - power, 2.0 - power);
                let deviance = match distribution {
                    Poisson => tilewise_base::metric::poisson_deviance(&[y], &[mean], None),
                    Gamma => tilewise_base::metric::gamma_deviance(&[y], &[mean], None),
                    Normal(_) => Ok((y - mean).powi(2)),
                    Tweedie(power) if power < 2.0 => {
                        tilewise_base::metric::tweedie_deviance(&[y], &[mean], power, None)
                    }
                    // Of the inverse Gaussian distribution; else the formula of all powers.
                    Tweedie(3.0) => Ok((y - mean).powi(2) / (y * mean * mean)),
                    Tweedie(_) => Ok(2.0 * (y.powf(b) / (a * b) - y * mean.powf(a) / a + mean.powf(b) / b)),
                };
                let deviance = deviance.unwrap();
                assert!((2.0 * value - deviance).abs() < 1e-12 * (1.0 + value), "{distribution:?}");
                assert!((distribution.deviance(y, mean) - deviance).abs() < 1e-12 * (1.0 + value));
                assert!(distribution.deviance(y, y).abs() < 1e-14);
            }
        }
    }
}
