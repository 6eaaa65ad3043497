//! How the learning rate changes while training goes on.

use serde::{Deserialize, Serialize};
use std::f64::consts::PI;
use tilewise_base::{Error, Result};

/// What the learning rate is multiplied by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "schedule", rename_all = "snake_case")]
pub enum Schedule {
    /// 1.
    #[default]
    Constant,
    /// `factor` to the power of how often `every` epochs have passed.
    Step {
        /// Epochs.
        every: u64,
        /// From 0 to 1.
        factor: f64,
    },
    /// From 1 to 0 along half a wave of the cosine, over all steps (Loshchilov, Hutter 2016).
    Cosine,
    /// 1 / (t + 1)^`power`, t being the rows of all epochs before: constant within an epoch, and falling fast after the first (scikit-learn's
    /// `invscaling`).
    Inverse {
        /// 0 or more.
        power: f64,
    },
    /// Up from 1 / 25 to 1 over the first 30 % of the steps, then down to 4e-6, each along half a wave of the cosine (Smith 2018; the
    /// numbers are PyTorch's).
    OneCycle,
}

/// Where training stands.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Steps that are done.
    pub step: u64,
    /// Steps of an epoch.
    pub per_epoch: u64,
    /// Epochs in all.
    pub epochs: u64,
    /// Rows of an epoch.
    pub rows: u64,
}

/// From 0 to 1.
fn share(name: &str, factor: f64) -> Result<()> {
    match (0.0..=1.0).contains(&factor) {
        true => Ok(()),
        false => Err(Error::parameter(name, factor, "a number from 0 to 1 is")),
    }
}

impl Schedule {
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Step { factor, .. } => share("factor of the schedule", factor),
            Self::Inverse { power } if !(power >= 0.0 && power.is_finite()) => {
                Err(Error::parameter("power", power, "a number of 0 or more is"))
            }
            _ => Ok(()),
        }
    }

    /// The factor of the next step; a rise from 0 over the first `warm_up` epochs (Goyal and others 2017) comes on top.
    pub fn factor(self, pace: Pace, warm_up: f64) -> f64 {
        let Pace { step, per_epoch, epochs, rows } = pace;
        let all = (per_epoch as f64 * epochs as f64).max(1.0);
        let wave = |from: f64, to: f64, share: f64| to + (from - to) / 2.0 * (1.0 + (PI * share).cos());
        let factor = match self {
            Self::Constant => 1.0,
            Self::Step { every, factor } => {
                let times = step / per_epoch.max(1) / every.max(1);
                factor.powi(times.min(i32::MAX as u64) as i32)
            }
            Self::Inverse { power } => {
                let seen = (step / per_epoch.max(1)) as f64 * rows as f64;
                (seen + 1.0).powf(-power)
            }
            Self::Cosine => wave(1.0, 0.0, step as f64 / all),
            Self::OneCycle => {
                let (up, step) = (0.3 * all - 1.0, step as f64);
                match step <= up {
                    true => wave(1.0 / 25.0, 1.0, step / up.max(1e-9)),
                    false => wave(1.0, 1.0 / 25.0 / 1e4, (step - up) / (all - 1.0 - up).max(1e-9)),
                }
            }
        };
        let warm = warm_up * per_epoch as f64;
        if (step as f64) < warm { factor * (step as f64 + 1.0) / warm.max(1.0) } else { factor }
    }
}

/// Multiplies the learning rate by `factor` when the loss has not become smaller for more than `patience` epochs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// From 0 to 1.
    pub factor: f64,
    /// Epochs.
    pub patience: u64,
}

impl Plateau {
    pub(crate) fn check(self) -> Result<()> {
        share("factor of the plateau", self.factor)
    }
}

/// A [`Plateau`] at work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    plateau: Option<Plateau>,
    pub(crate) watched: Watched,
}

/// What it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watched {
    /// Nothing before the first epoch.
    least: Option<f64>,
    waited: u64,
    factor: f64,
}

impl Default for Watched {
    fn default() -> Self {
        Self { least: None, waited: 0, factor: 1.0 }
    }
}

impl Watched {
    /// Whether a training can have seen it.
    pub(crate) fn is_usable(&self) -> bool {
        self.least.is_none_or(f64::is_finite) && (0.0..=1.0).contains(&self.factor)
    }
}

impl Watch {
    pub(crate) fn new(plateau: Option<Plateau>) -> Self {
        Self { plateau, watched: Watched::default() }
    }

    /// What the learning rate is multiplied by.
    pub(crate) fn factor(&self) -> f64 {
        self.watched.factor
    }

    /// Hears the loss of an epoch. Smaller means by a ten thousandth at least, as in PyTorch.
    pub(crate) fn hear(&mut self, loss: f64) {
        let Some(Plateau { factor, patience }) = self.plateau else { return };
        let Watched { least, waited, factor: reached } = &mut self.watched;
        if least.is_none_or(|least| loss < least - 1e-4 * least.abs()) {
            (*least, *waited) = (Some(loss), 0);
            return;
        }
        *waited += 1;
        if *waited > patience {
            *reached *= factor;
            *waited = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(schedule: Schedule, warm_up: f64) -> Vec<f64> {
        (0..10)
            .map(|step| schedule.factor(Pace { step, per_epoch: 2, epochs: 5, rows: 8 }, warm_up))
            .collect()
    }

    /// The numbers of PyTorch's `OneCycleLR(max_lr=1, total_steps=10)` and `CosineAnnealingLR(T_max=10)`.
    #[test]
    fn waves_are_those_of_pytorch() {
        let one_cycle = [
            0.04,
            0.52,
            1.0,
            0.9504846320134737,
            0.8117456539497631,
            0.6112620219362893,
            0.38874197806371075,
            0.18825834605023697,
            0.049519367986526286,
            4e-06,
        ];
        for (ours, theirs) in factors(Schedule::OneCycle, 0.0).iter().zip(one_cycle) {
            assert!((ours - theirs).abs() < 1e-12, "{ours} {theirs}");
        }
        let cosine = factors(Schedule::Cosine, 0.0);
        for (step, expected) in
            [(0, 1.0), (1, 0.975_528_258_147_576_8), (5, 0.5), (9, 0.024_471_741_852_423_2)]
        {
            assert!((cosine[step] - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn steps_and_warm_up() {
        let steps = factors(Schedule::Step { every: 2, factor: 0.5 }, 0.0);
        assert_eq!(steps, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]);
        assert_eq!(factors(Schedule::Constant, 2.0)[..5], [0.25, 0.5, 0.75, 1.0, 1.0]);
        // As scikit-learn's `SGDOptimizer.iteration_ends` has it, of 8 rows an epoch.
        let inverse = factors(Schedule::Inverse { power: 0.5 }, 0.0);
        assert_eq!(inverse[..2], [1.0, 1.0]);
        assert!((inverse[2] - 1.0 / 3.0).abs() < 1e-15 && (inverse[9] - 1.0 / 33f64.sqrt()).abs() < 1e-15);
        assert!(Schedule::Inverse { power: -1.0 }.check().is_err());
    }

    #[test]
    fn a_plateau_lowers_the_rate() {
        let mut watch = Watch::new(Some(Plateau { factor: 0.1, patience: 1 }));
        let factors: Vec<f64> = [1.0, 0.5, 0.5, 0.6, 0.49, 0.49, 0.49]
            .into_iter()
            .map(|loss| {
                watch.hear(loss);
                watch.factor()
            })
            .collect();
        assert_eq!(factors, [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1 * 0.1]);
    }
}
