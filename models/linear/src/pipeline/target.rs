//! What pieces of a table tell of the column to predict, before anything is learned.

use super::Estimator;
use super::rounds::not_a_sum;
use crate::Distribution;
use serde::{Deserialize, Serialize};
use tilewise_base::{Column, Dataset, Error, Result, roles};

/// What an estimator predicts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Answers {
    /// Classes.
    Classes,
    /// Any numbers.
    Numbers,
    /// Numbers that a distribution has.
    Positive(Distribution),
}

impl Answers {
    pub(super) fn of(estimator: &Estimator) -> Result<Self> {
        match estimator {
            Estimator::LeastSquares(_) => Ok(Self::Numbers),
            Estimator::Logistic(_) => Ok(Self::Classes),
            Estimator::Generalised(params) => Ok(Self::Positive(params.distribution)),
            Estimator::ElasticNet { .. } | Estimator::GradientDescent(_) => Err(not_a_sum()),
        }
    }
}

/// The rows of a piece, and what its target holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    rows: u64,
    /// Rows that have weight.
    counted: u64,
    /// The least and the largest target of rows that have weight: a number, or what the classes of a piece are numbered with.
    least: f64,
    largest: f64,
    classes: Vec<String>,
    /// Whether classes are whole numbers, which are sorted by value.
    whole: bool,
}

impl Seen {
    pub(super) fn of(
        dataset: &Dataset,
        target: &str,
        answers: &Answers,
        weights: Option<&[f64]>,
    ) -> Result<Self> {
        let (values, classes) = match answers {
            Answers::Classes => {
                let (codes, classes) = roles::classes(dataset, target)?;
                (codes.into_iter().map(f64::from).collect(), classes)
            }
            Answers::Numbers => (roles::numbers(dataset, target)?, Vec::new()),
            Answers::Positive(distribution) => {
                let numbers = roles::numbers(dataset, target)?;
                let wrong =
                    numbers.iter().enumerate().find_map(|(i, &y)| Some((i, distribution.refuses(y)?)));
                if let Some((row, what)) = wrong {
                    return Err(Error::cell(row, target, format!("the target {what}")));
                }
                (numbers, Vec::new())
            }
        };
        let whole = matches!(dataset.column(target)?, Column::F32(_) | Column::F64(_));
        let (least, largest) = (f64::INFINITY, f64::NEG_INFINITY);
        let rows = values.len() as u64;
        let mut seen = Self { rows, counted: 0, least, largest, classes, whole };
        for (row, value) in values.into_iter().enumerate() {
            if weights.is_none_or(|w| w[row] > 0.0) {
                seen.counted += 1;
                seen.least = seen.least.min(value);
                seen.largest = seen.largest.max(value);
            }
        }
        Ok(seen)
    }

    pub(super) fn merge(mut self, other: Self) -> Self {
        self.rows += other.rows;
        self.counted += other.counted;
        self.least = self.least.min(other.least);
        self.largest = self.largest.max(other.largest);
        if self.classes != other.classes {
            self.classes.extend(other.classes);
            match self.whole {
                // Whole numbers up to 2^53, as `roles::classes` names them.
                true => self.classes.sort_by_key(|class| class.parse::<i64>().unwrap_or(i64::MAX)),
                false => self.classes.sort_unstable(),
            }
            self.classes.dedup();
            // Numbers of classes in pieces do not compare; that there are several does.
            (self.least, self.largest) = (0.0, self.classes.len() as f64 - 1.0);
        }
        self
    }

    pub(super) fn rows(&self) -> usize {
        self.rows as usize
    }

    pub(super) fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Whether there is something to learn.
    pub(super) fn check(&self, target: &str, weight: Option<&str>) -> Result<()> {
        if let (0, Some(weight)) = (self.counted, weight) {
            return Err(roles::all_zero(weight));
        }
        match self.counted {
            0 => return Err(Error::Fit("there are no rows to learn from".into())),
            1 => {
                return Err(Error::Fit(
                    "there is only one row to learn from; at least two are needed".into(),
                ));
            }
            _ => {}
        }
        if self.least < self.largest {
            return Ok(());
        }
        let value = self.classes.get(self.least as usize);
        let value = value.map_or_else(|| self.least.to_string(), |class| format!("{class:?}"));
        let what = format!("is {value} in every row: there is nothing to learn; it needs two values");
        Err(Error::column(target, what))
    }
}
