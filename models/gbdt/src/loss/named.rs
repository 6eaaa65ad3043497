//! The losses by name: what a person writes and a model file holds.

use super::Objective;
use super::cox::Cox;
use super::huber::Huber;
use super::lambda_rank::LambdaRank;
use super::log_link::LogLink;
use super::logistic::Logistic;
use super::quantile::Quantile;
use super::softmax::Softmax;
use super::squared::Squared;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use tilewise_base::{Error, Result};

/// A loss by its name and parameters. As text the name, and where there is a parameter a colon and its value:
///
/// ```
/// use tilewise_gbdt::Loss;
/// assert_eq!("huber:1.5".parse::<Loss>().unwrap(), Loss::Huber { delta: 1.5 });
/// assert_eq!("tweedie".parse::<Loss>().unwrap(), Loss::Tweedie { power: 1.5 });
/// assert_eq!(Loss::Quantile { quantile: 0.9 }.to_string(), "quantile:0.9");
/// assert!("huber".parse::<Loss>().unwrap_err().to_string().contains("huber:1.5"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Loss {
    /// Squared for numbers, logistic for two classes, softmax for more.
    #[default]
    Auto,
    /// Half of the square of the difference.
    Squared,
    /// The absolute difference: scores are medians.
    Absolute,
    /// Squared up to this far from the answer, in its units, then a line.
    Huber {
        /// Above 0.
        delta: f64,
    },
    /// Scores are this quantile of the answers.
    Quantile {
        /// Between 0 and 1, both excluded.
        quantile: f64,
    },
    /// Minus the logarithm of the probability of the class, of two.
    Logistic,
    /// Minus the logarithm of the probability of the class, of two or more.
    Softmax,
    /// Counts: the deviance of Poisson's distribution, e to the score its mean.
    Poisson,
    /// Numbers above 0 whose deviation is in proportion to their mean, e to the score.
    Gamma,
    /// Numbers of 0 or more, among them many zeros: a Poisson number of gammas. e to the score is the mean.
    Tweedie {
        /// The variance is in proportion to this power of the mean; between 1 and 2, both excluded. 1.5 where nothing is said.
        power: f64,
    },
    /// The order of the rows of each query, by their relevance.
    LambdaRank {
        /// How many first places count. 30 where nothing is said, as in LightGBM.
        truncation: usize,
    },
    /// The hazard of an event, of which is known when it came or until when it had not: Cox's partial likelihood.
    Cox,
}

impl Loss {
    /// What is accepted where a loss is asked for.
    pub const ACCEPTED: &str = "auto, squared, absolute, huber:1.5, quantile:0.9, logistic, softmax, poisson, gamma, \
                                tweedie:1.5, lambda_rank:30 or cox (with any parameters)";

    /// Its name without parameters: as in model files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Squared => "squared",
            Self::Absolute => "absolute",
            Self::Huber { .. } => "huber",
            Self::Quantile { .. } => "quantile",
            Self::Logistic => "logistic",
            Self::Softmax => "softmax",
            Self::Poisson => "poisson",
            Self::Gamma => "gamma",
            Self::Tweedie { .. } => "tweedie",
            Self::LambdaRank { .. } => "lambda_rank",
            Self::Cox => "cox",
        }
    }

    /// That its parameter is one.
    ///
    /// # Errors
    /// When a delta is not above 0 and finite, a quantile not between 0 and 1, a power not between 1 and 2, or a truncation 0.
    pub fn check(&self) -> Result<()> {
        let (is, accepted) = match *self {
            Self::Huber { delta } => (delta > 0.0 && delta.is_finite(), "huber: with a number above 0"),
            Self::Quantile { quantile } => {
                (quantile > 0.0 && quantile < 1.0, "quantile: with a number between 0 and 1")
            }
            Self::Tweedie { power } => {
                (power > 1.0 && power < 2.0, "tweedie: with a number between 1 (poisson) and 2 (gamma)")
            }
            Self::LambdaRank { truncation } => (truncation > 0, "lambda_rank: with a whole number above 0"),
            _ => (true, ""),
        };
        if is { Ok(()) } else { Err(Error::parameter("loss", self, format!("{accepted} is"))) }
    }

    /// The loss itself, for answers that are numbers, or one of so many classes.
    ///
    /// # Errors
    /// When its parameter is none, or it is not for such answers.
    pub fn objective(&self, classes: Option<usize>) -> Result<Box<dyn Objective>> {
        self.check()?;
        let name = self.to_string();
        Ok(match (*self, classes) {
            (Self::Auto, None) => Box::new(Squared),
            (Self::Auto | Self::Logistic, Some(2)) => Box::new(Logistic),
            (Self::Auto | Self::Softmax, Some(classes)) if classes >= 2 => Box::new(Softmax { classes }),
            (Self::Auto | Self::Logistic | Self::Softmax, _) => {
                let kinds = if *self == Self::Logistic { "two classes" } else { "two classes or more" };
                let given = classes.map_or("numbers".into(), |classes| format!("{classes} classes"));
                return Err(Error::parameter(
                    "loss",
                    name,
                    format!("it is for {kinds}, and the target has {given}"),
                ));
            }
            (_, Some(classes)) => {
                let what = format!(
                    "it is for numbers, and the target has {classes} classes: auto, logistic (of two) or softmax is"
                );
                return Err(Error::parameter("loss", name, what));
            }
            (Self::Squared, None) => Box::new(Squared),
            (Self::Absolute, None) => Box::new(Quantile::absolute(name)),
            (Self::Huber { delta }, None) => Box::new(Huber { delta, name }),
            (Self::Quantile { quantile }, None) => Box::new(Quantile::new(quantile, name)),
            (Self::Poisson, None) => Box::new(LogLink::new(1.0, name)),
            (Self::Gamma, None) => Box::new(LogLink::new(2.0, name)),
            (Self::Tweedie { power }, None) => Box::new(LogLink::new(power, name)),
            (Self::LambdaRank { truncation }, None) => Box::new(LambdaRank { truncation, name }),
            (Self::Cox, None) => Box::new(Cox),
        })
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Self::Huber { delta: number }
            | Self::Quantile { quantile: number }
            | Self::Tweedie { power: number } => {
                write!(f, "{name}:{number}")
            }
            Self::LambdaRank { truncation } => write!(f, "{name}:{truncation}"),
            _ => f.write_str(name),
        }
    }
}

impl FromStr for Loss {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let refused = || Error::parameter("loss", text, format!("{} is", Self::ACCEPTED));
        let (name, parameter) = match text.split_once(':') {
            Some((name, parameter)) => (name.trim(), Some(parameter.trim())),
            None => (text.trim(), None),
        };
        let number = |default: Option<f64>| match parameter {
            Some(text) => text.parse::<f64>().map_err(|_| refused()),
            None => default.ok_or_else(refused),
        };
        let loss = match name {
            "huber" => Self::Huber { delta: number(None)? },
            "quantile" => Self::Quantile { quantile: number(None)? },
            "tweedie" => Self::Tweedie { power: number(Some(1.5))? },
            "lambda_rank" => {
                let truncation = parameter.map_or(Ok(30), |text| text.parse().map_err(|_| refused()))?;
                Self::LambdaRank { truncation }
            }
            _ => {
                let plain = [
                    Self::Auto,
                    Self::Squared,
                    Self::Absolute,
                    Self::Logistic,
                    Self::Softmax,
                    Self::Poisson,
                    Self::Gamma,
                    Self::Cox,
                ];
                let found = plain.into_iter().find(|loss| loss.name() == name && parameter.is_none());
                found.ok_or_else(refused)?
            }
        };
        loss.check()?;
        Ok(loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Loss; 12] = [
        Loss::Auto,
        Loss::Squared,
        Loss::Absolute,
        Loss::Huber { delta: 0.25 },
        Loss::Quantile { quantile: 0.9 },
        Loss::Logistic,
        Loss::Softmax,
        Loss::Poisson,
        Loss::Gamma,
        Loss::Tweedie { power: 1.1 },
        Loss::LambdaRank { truncation: 10 },
        Loss::Cox,
    ];

    #[test]
    fn text_and_json_come_back() {
        for loss in ALL {
            assert_eq!(loss.to_string().parse::<Loss>().unwrap(), loss);
            let json = serde_json::to_string(&loss).unwrap();
            assert_eq!(serde_json::from_str::<Loss>(&json).unwrap(), loss);
            assert!(json.contains(&format!("{:?}", loss.name())), "{json}");
        }
        assert_eq!(serde_json::to_string(&ALL[3]).unwrap(), r#"{"huber":{"delta":0.25}}"#);
        assert_eq!("lambda_rank".parse::<Loss>().unwrap(), Loss::LambdaRank { truncation: 30 });
    }

    #[test]
    fn what_is_no_loss_is_refused_by_name() {
        for text in ["", "mse", "huber", "huber:", "huber:x", "quantile", "squared:1", "lambda_rank:1.5"] {
            let error = text.parse::<Loss>().unwrap_err().to_string();
            assert!(error.contains("parameter loss") && error.contains("quantile:0.9"), "{text}: {error}");
        }
        for text in [
            "huber:0",
            "huber:inf",
            "huber:NaN",
            "quantile:0",
            "quantile:1",
            "tweedie:1",
            "tweedie:2",
            "lambda_rank:0",
        ] {
            let error = text.parse::<Loss>().unwrap_err().to_string();
            assert!(
                error.contains("with a") && error.contains(text.split(':').next().unwrap()),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn answers_of_the_other_kind_are_refused() {
        let kind = |classes| move |loss: &Loss| loss.objective(classes).map(|o| (o.name(), o.scores()));
        let of_numbers: Vec<_> = ALL.iter().filter_map(|loss| kind(None)(loss).ok()).map(|o| o.0).collect();
        let expected = [
            "squared",
            "squared",
            "absolute",
            "huber:0.25",
            "quantile:0.9",
            "poisson",
            "gamma",
            "tweedie:1.1",
            "lambda_rank:10",
            "cox",
        ];
        assert_eq!(of_numbers, expected);
        let of_two: Vec<_> = ALL.iter().filter_map(|loss| kind(Some(2))(loss).ok()).collect();
        assert_eq!(of_two, [("logistic".into(), 1), ("logistic".into(), 1), ("softmax".into(), 2)]);
        let of_three: Vec<_> = ALL.iter().filter_map(|loss| kind(Some(3))(loss).ok()).collect();
        assert_eq!(of_three, [("softmax".into(), 3), ("softmax".into(), 3)]);
        assert!(ALL.iter().all(|loss| loss.objective(Some(1)).is_err() && loss.objective(Some(0)).is_err()));
        let error = Loss::Logistic.objective(Some(3)).err().unwrap().to_string();
        assert_eq!(
            error,
            "parameter loss: logistic is not accepted; it is for two classes, and the target has 3 classes"
        );
    }
}
