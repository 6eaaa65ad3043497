//! What the column to predict holds, before anything is learned: of a whole table, or of pieces that are told together.

use crate::{Column, Dataset, Error, Result, roles};
use serde::{Deserialize, Serialize};

/// The rows of a table or a piece of one, and what its target holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SeenTarget {
    rows: u64,
    /// Rows that have weight.
    counted: u64,
    /// Values of rows that have weight, as text: two that differ, where there are.
    values: Vec<String>,
    /// Where classes are to be learned.
    classes: Option<Vec<String>>,
    /// Whether the target is numbers: classes are then sorted by value.
    numbers: bool,
}

impl SeenTarget {
    /// Looks at the column `target`: classes if `classify`, else numbers; where that is not said what its kind suggests.
    ///
    /// # Errors
    /// When a cell is missing, or not what it should be (names the row).
    pub fn of(
        dataset: &Dataset,
        target: &str,
        classify: Option<bool>,
        weights: Option<&[f64]>,
    ) -> Result<Self> {
        let numbers = matches!(dataset.column(target)?, Column::F32(_) | Column::F64(_));
        let (values, classes) = if classify.unwrap_or(!numbers) {
            let (codes, classes) = roles::classes(dataset, target)?;
            (codes.into_iter().map(f64::from).collect(), Some(classes))
        } else {
            (roles::numbers(dataset, target)?, None)
        };
        let counted = || {
            values
                .iter()
                .enumerate()
                .filter(|(row, _)| weights.is_none_or(|w| w[*row] > 0.0))
                .map(|(_, y)| *y)
        };
        let first = counted().next();
        let other = first.and_then(|first: f64| counted().find(|y| *y != first));
        let told = |value: f64| match &classes {
            Some(classes) => {
                classes.get(value as usize).map_or_else(String::new, |class| format!("{class:?}"))
            }
            None => value.to_string(),
        };
        let counted = counted().count() as u64;
        let two = first.into_iter().chain(other).map(told).collect();
        Ok(Self { rows: values.len() as u64, counted, values: two, classes, numbers })
    }

    /// Both as one.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.rows += other.rows;
        self.counted += other.counted;
        self.values.extend(other.values);
        self.values.sort_unstable();
        self.values.dedup();
        self.values.truncate(2);
        if let (Some(ours), Some(theirs)) = (&mut self.classes, other.classes)
            && *ours != theirs
        {
            *ours = roles::classes_of_both(std::mem::take(ours), theirs, self.numbers);
        }
        self
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows as usize
    }

    /// The classes, where such are to be learned.
    pub fn classes(&self) -> Option<&[String]> {
        self.classes.as_deref()
    }

    /// Whether the target is numbers, which may stand for classes.
    pub fn is_numbers(&self) -> bool {
        self.numbers
    }

    /// Whether there is something to learn: two rows with weight, and two values in these. `weight` is the column of weights.
    ///
    /// # Errors
    /// When there is not.
    pub fn check(&self, target: &str, weight: Option<&str>) -> Result<()> {
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
        let [value] = &self.values[..] else { return Ok(()) };
        let what = format!("is {value} in every row: there is nothing to learn; it needs two values");
        Err(Error::column(target, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(y: &[f64], classify: Option<bool>, weights: Option<&[f64]>) -> Result<SeenTarget> {
        let column = Column::F64(y.to_vec().into());
        SeenTarget::of(&Dataset::new(vec![("y".into(), column)])?, "y", classify, weights)
    }

    #[test]
    fn pieces_have_the_classes_of_all() {
        let (a, b) =
            (seen(&[10.0, 10.0], Some(true), None).unwrap(), seen(&[9.0], Some(true), None).unwrap());
        assert!(a.check("y", None).unwrap_err().to_string().contains("\"10\" in every row"));
        let both = a.merge(b);
        assert_eq!((both.rows(), both.classes().unwrap()), (3, &["9".to_owned(), "10".to_owned()][..]));
        both.check("y", None).unwrap();
    }

    #[test]
    fn rows_without_weight_are_nothing_to_learn_from() {
        let told = |y: &[f64], weights: &[f64]| {
            seen(y, None, Some(weights)).unwrap().check("y", Some("w")).map_err(|e| e.to_string())
        };
        assert_eq!(told(&[1.0, 2.0], &[1.0, 1.0]), Ok(()));
        assert!(told(&[1.0, 2.0], &[0.0, 0.0]).unwrap_err().contains("all weights are 0"));
        assert!(told(&[1.0, 2.0], &[0.0, 1.0]).unwrap_err().contains("only one row"));
        assert!(told(&[1.0, 2.0, 1.0], &[1.0, 0.0, 1.0]).unwrap_err().contains("1 in every row"));
        // Of another piece rows with another class have no weight: there is one class to learn.
        let of = |y: &[f64], weights: &[f64]| seen(y, Some(true), Some(weights)).unwrap();
        let both = of(&[1.0, 1.0], &[1.0, 2.0]).merge(of(&[0.0, 1.0], &[0.0, 1.0]));
        assert_eq!(both.classes().unwrap().len(), 2);
        assert!(both.check("y", None).unwrap_err().to_string().contains("\"1\" in every row"));
        assert!(seen(&[0.5], Some(true), None).is_err() && seen(&[f64::NAN], None, None).is_err());
    }
}
