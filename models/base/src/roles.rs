//! Which column is the target, which are weight, offset and group, and which are inputs; and their values, checked.

use crate::error::listed;
use crate::metric::Truth;
use crate::{Column, Dataset, Error, Kind, MISSING_CODE, Result, Task};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ops::Range;

/// The part that columns play in a fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    /// What is to be predicted: none for families that learn without it, one column, or several of numbers.
    pub targets: Vec<String>,
    /// How much a row counts.
    pub weight: Option<String>,
    /// Added to the linear predictor.
    pub offset: Option<String>,
    /// Rows that belong together, such as those of a query.
    pub group: Option<String>,
    /// Whether the event came at the time that is the target, for survival; else it had not come until then.
    pub event: Option<String>,
    /// Whether a row is held out: training is judged by it and does not learn from it, in place of rows that would be drawn.
    pub held_out: Option<String>,
    /// Columns that play no part.
    pub ignore: Vec<String>,
}

impl Roles {
    /// Only a target; all other columns are inputs.
    pub fn target(name: impl Into<String>) -> Self {
        Self { targets: vec![name.into()], ..Self::default() }
    }

    /// The name of the target, if there is one.
    ///
    /// # Errors
    /// When there are several (it names the second).
    pub fn only_target(&self) -> Result<Option<&str>> {
        match &self.targets[..] {
            [first, second, ..] => {
                let what = format!("is a second target, besides {first:?}, where one is accepted");
                Err(Error::column(second, what))
            }
            targets => Ok(targets.first().map(String::as_str)),
        }
    }

    /// What [`Model::target`](crate::Model::target) is to be: the name of the target where there is one, else nothing.
    pub fn target_name(&self) -> &str {
        if let [name] = &self.targets[..] { name } else { "" }
    }

    /// The name of the one target.
    ///
    /// # Errors
    /// When there is none, or several (it names the second).
    pub fn needed_target(&self) -> Result<&str> {
        self.only_target()?.ok_or_else(no_target)
    }

    /// The names of the targets, one or more.
    ///
    /// # Errors
    /// When there is none.
    pub fn needed_targets(&self) -> Result<&[String]> {
        if self.targets.is_empty() { Err(no_target()) } else { Ok(&self.targets) }
    }

    /// An error about what a column is used for ("target", "weight" ...), with the name that the table has for it.
    #[must_use]
    pub fn named(&self, error: Error) -> Error {
        let name = |part: String| {
            let column = match part.as_str() {
                "target" => self.targets.first(),
                "weight" => self.weight.as_ref(),
                "group" => self.group.as_ref(),
                "event" => self.event.as_ref(),
                "offset" => self.offset.as_ref(),
                "held_out" => self.held_out.as_ref(),
                _ => None,
            };
            column.cloned().unwrap_or(part)
        };
        match error {
            Error::Cell { row, column, what } => Error::Cell { row, column: name(column), what },
            Error::Column { name: column, what } => Error::Column { name: name(column), what },
            other => other,
        }
    }

    /// The columns that are left as inputs, in the table's order.
    ///
    /// # Errors
    /// When a named column does not exist, one has two roles, or no input is left.
    pub fn inputs(&self, dataset: &Dataset) -> Result<Vec<String>> {
        let others = [&self.weight, &self.offset, &self.group, &self.event, &self.held_out];
        let others = others.into_iter().flatten();
        let mut taken: Vec<&String> = Vec::new();
        for (i, name) in self.targets.iter().chain(others).enumerate() {
            dataset.column(name)?;
            if taken.contains(&name) {
                if i < self.targets.len() {
                    return Err(Error::column(name, "is named as a target twice; once is enough"));
                }
                return Err(Error::column(
                    name,
                    "has two roles among target, weight, offset, group, event and rows held out",
                ));
            }
            taken.push(name);
        }
        for name in &self.ignore {
            dataset.column(name)?;
            if taken.contains(&name) {
                return Err(Error::column(
                    name,
                    "is both ignored and used as target, weight, offset, group, event or rows held out",
                ));
            }
        }
        let free = |name: &&String| !taken.contains(name) && !self.ignore.contains(name);
        let inputs: Vec<String> = dataset.names().iter().filter(free).cloned().collect();
        if inputs.is_empty() {
            return Err(Error::Fit("no column is left as an input".into()));
        }
        Ok(inputs)
    }

    /// The weights, or `None` without a weight column.
    ///
    /// # Errors
    /// When a weight is missing, negative or infinite (names the row), or all are 0.
    pub fn weights(&self, dataset: &Dataset) -> Result<Option<Vec<f64>>> {
        match (self.weights_of_piece(dataset)?, &self.weight) {
            (Some(weights), Some(name)) if !weights.iter().any(|w| *w > 0.0) => Err(all_zero(name)),
            (weights, _) => Ok(weights),
        }
    }

    /// As [`weights`](Self::weights) for a piece of a table, in which all may be 0.
    ///
    /// # Errors
    /// When a weight is missing, negative or infinite (names the row).
    pub fn weights_of_piece(&self, piece: &Dataset) -> Result<Option<Vec<f64>>> {
        let Some(name) = &self.weight else { return Ok(None) };
        let weights = finite(piece, name, "a weight")?;
        if let Some(row) = weights.iter().position(|w| *w < 0.0) {
            return Err(Error::cell(
                row,
                name,
                format!("weight {} is negative; 0 or more is accepted", weights[row]),
            ));
        }
        Ok(Some(weights))
    }

    /// The offsets, or `None` without an offset column.
    ///
    /// # Errors
    /// When one is missing or infinite (names the row).
    pub fn offsets(&self, dataset: &Dataset) -> Result<Option<Vec<f64>>> {
        self.offset.as_ref().map(|name| finite(dataset, name, "an offset")).transpose()
    }

    /// Which rows are held out, or `None` without a column that tells.
    ///
    /// # Errors
    /// When it is text, or a cell is missing or another number than 1 and 0 (names the row).
    pub fn held_out(&self, dataset: &Dataset) -> Result<Option<Vec<bool>>> {
        self.held_out.as_ref().map(|name| flags(dataset, name)).transpose()
    }

    /// Group numbers 0, 1, ... in order of appearance, or `None` without a group column.
    ///
    /// # Errors
    /// When one is missing (names the row).
    pub fn groups(&self, dataset: &Dataset) -> Result<Option<Vec<u32>>> {
        let Some(name) = &self.group else { return Ok(None) };
        let column = dataset.column(name)?;
        let mut numbers: HashMap<u64, u32> = HashMap::new();
        let number = |row| {
            let cell = column.cell(row);
            if cell.is_nan() {
                return Err(Error::cell(row, name, "the group is missing"));
            }
            let next = numbers.len() as u32;
            // Adding 0 makes -0 and 0 one group.
            Ok(*numbers.entry((cell + 0.0).to_bits()).or_insert(next))
        };
        (0..dataset.rows()).map(number).collect::<Result<_>>().map(Some)
    }
}

/// The error of a table in which no row counts.
pub fn all_zero(weight: &str) -> Error {
    Error::column(weight, "all weights are 0")
}

/// The rows of each query, of which the column `group` tells which belong together.
///
/// # Errors
/// When a cell is missing, or the rows of a query do not follow each other (names the row).
pub fn queries(dataset: &Dataset, group: &str) -> Result<Vec<Range<usize>>> {
    let roles = Roles { group: Some(group.to_owned()), ..Roles::default() };
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (row, number) in roles.groups(dataset)?.unwrap_or_default().into_iter().enumerate() {
        // They are numbered as they appear.
        match number as usize {
            number if number + 1 == ranges.len() => ranges[number].end = row + 1,
            number if number == ranges.len() => ranges.push(row..row + 1),
            _ => {
                let what = "is of a query whose other rows do not stand right before it; rows sorted by query are accepted";
                return Err(Error::cell(row, group, what));
            }
        }
    }
    Ok(ranges)
}

fn no_target() -> Error {
    Error::Fit("there is no target: name the column to predict".into())
}

/// A column of numbers (booleans count as 0 and 1) without missing or infinite ones; `what` is its role in words.
fn finite(dataset: &Dataset, name: &str, what: &str) -> Result<Vec<f64>> {
    let column = dataset.column(name)?;
    if let Kind::Categorical { dictionary } = column.kind() {
        let example = dictionary.first().map_or(String::new(), |d| format!(" (such as {d:?})"));
        return Err(Error::column(name, format!("is text{example}; {what} must be a number")));
    }
    if let Column::F64(x) = column
        && x.iter().all(|x| x.is_finite())
    {
        return Ok(x.to_vec());
    }
    let cell = |row| {
        let x = column.cell(row);
        if x.is_finite() {
            return Ok(x);
        }
        let found = if x.is_nan() { "missing".to_owned() } else { x.to_string() };
        Err(Error::cell(row, name, format!("is {found}; {what} must be a finite number")))
    };
    (0..dataset.rows()).map(cell).collect()
}

/// The target of a regression.
///
/// # Errors
/// When it is text, or a cell is missing or infinite (names the row).
pub fn numbers(dataset: &Dataset, target: &str) -> Result<Vec<f64>> {
    finite(dataset, target, "the target of a regression")
}

/// The target of a classification: a class number per row, and the classes. Classes are the distinct values, text
/// sorted by bytes, `false` before `true`, whole numbers by value.
///
/// # Errors
/// When a cell is missing or a number is not whole (names the row).
pub fn classes(dataset: &Dataset, target: &str) -> Result<(Vec<u32>, Vec<String>)> {
    let column = dataset.column(target)?;
    let keys = (0..dataset.rows()).map(|row| class_key(column, row, target)).collect::<Result<Vec<i64>>>()?;
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    sorted.dedup();
    let codes = keys.iter().map(|key| sorted.partition_point(|k| k < key) as u32).collect();
    Ok((codes, sorted.into_iter().map(|key| class_name(column, key)).collect()))
}

/// The classes of two pieces of a table as those of both: whole numbers by value where `whole` says that they are such, else text
/// sorted by bytes.
pub fn classes_of_both(mut left: Vec<String>, right: Vec<String>, whole: bool) -> Vec<String> {
    if left != right {
        left.extend(right);
        match whole {
            // Up to 2^53, as `classes` names them.
            true => left.sort_by_key(|class| class.parse::<i64>().unwrap_or(i64::MAX)),
            false => left.sort_unstable(),
        }
        left.dedup();
    }
    left
}

/// The class numbers of a target in terms of `classes` that a model was trained with.
///
/// # Errors
/// When a cell is missing or not one of the classes (names the row).
pub fn codes(dataset: &Dataset, target: &str, classes: &[String]) -> Result<Vec<u32>> {
    let column = dataset.column(target)?;
    let positions: HashMap<&str, u32> = classes.iter().zip(0..).map(|(c, i)| (c.as_str(), i)).collect();
    let mut known: HashMap<i64, Option<u32>> = HashMap::new();
    let code = |row| {
        let key = class_key(column, row, target)?;
        let found =
            known.entry(key).or_insert_with(|| positions.get(class_name(column, key).as_str()).copied());
        found.ok_or_else(|| {
            let some = classes.iter().take(10).map(|c| format!("{c:?}")).collect::<Vec<_>>().join(", ");
            let what = format!("{:?} is not one of the model's classes: {some}", class_name(column, key));
            Error::cell(row, target, what)
        })
    };
    (0..dataset.rows()).map(code).collect()
}

/// The target in the form that measures need, in terms of a model's task; one column, or for [`Task::Outputs`] as many as it has,
/// in its order.
///
/// # Errors
/// When there are more columns than the task has targets, or fewer; else as [`numbers`], [`codes`] and [`flags`].
pub fn truth<S: AsRef<str>>(dataset: &Dataset, targets: &[S], task: &Task) -> Result<Truth> {
    let wanted = if let Task::Outputs { names } = task { names.len() } else { 1 };
    if targets.len() != wanted {
        let has = match task {
            Task::Outputs { names } => format!("{wanted} targets ({})", listed(names)),
            _ => "one target".into(),
        };
        let given = listed(targets);
        return Err(Error::Fit(format!(
            "the model has {has}; as many columns hold the answers, not {} ({given})",
            targets.len()
        )));
    }
    if let Task::Outputs { .. } = task {
        let columns = targets.iter().map(|target| numbers(dataset, target.as_ref()));
        return columns.collect::<Result<_>>().map(Truth::Outputs);
    }
    let target = targets[0].as_ref();
    match task {
        Task::Regression | Task::Outputs { .. } => numbers(dataset, target).map(Truth::Numbers),
        Task::Quantiles { quantiles } => {
            Ok(Truth::Quantiles { y: numbers(dataset, target)?, quantiles: quantiles.clone() })
        }
        Task::Classification { classes } => {
            Ok(Truth::Classes { codes: codes(dataset, target, classes)?, classes: classes.len() })
        }
        Task::Anomaly { .. } => flags(dataset, target).map(Truth::Flags),
        Task::Ranking { group } => {
            Ok(Truth::Ranking { relevance: numbers(dataset, target)?, queries: queries(dataset, group)? })
        }
        Task::Survival { event } => {
            Ok(Truth::Survival { times: numbers(dataset, target)?, events: flags(dataset, event)? })
        }
    }
}

/// A column that tells which rows are something: true and false, or the numbers 1 and 0.
///
/// # Errors
/// When it is text, or a cell is missing or another number (names the row).
pub fn flags(dataset: &Dataset, target: &str) -> Result<Vec<bool>> {
    const ACCEPTED: &str = "true and false, or 1 and 0, are accepted";
    let column = dataset.column(target)?;
    if let Kind::Categorical { dictionary } = column.kind() {
        let example = dictionary.first().map_or(String::new(), |d| format!(" (such as {d:?})"));
        return Err(Error::column(target, format!("is text{example}; {ACCEPTED}")));
    }
    let flag = |row| match column.cell(row) {
        1.0 => Ok(true),
        0.0 => Ok(false),
        x if x.is_nan() => Err(Error::cell(row, target, format!("is missing; {ACCEPTED}"))),
        x => Err(Error::cell(row, target, format!("is {x}; {ACCEPTED}"))),
    };
    (0..dataset.rows()).map(flag).collect()
}

/// A cell as a class: dictionary code, 0 or 1, or the whole number.
fn class_key(column: &Column, row: usize, target: &str) -> Result<i64> {
    if let Column::Categorical { codes, .. } = column
        && codes[row] != MISSING_CODE
    {
        return Ok(i64::from(codes[row]));
    }
    let x = column.cell(row);
    if x.is_nan() {
        return Err(Error::cell(row, target, "the class is missing"));
    }
    // Whole numbers up to 2^53 are exact in f64.
    if x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0 {
        return Ok(x as i64);
    }
    let what = format!("{x} is not a class; text, true and false, and whole numbers are accepted");
    Err(Error::cell(row, target, what))
}

fn class_name(column: &Column, key: i64) -> String {
    match column {
        Column::Categorical { dictionary, .. } => dictionary.get(key as usize).cloned().unwrap_or_default(),
        Column::Boolean(_) => (key != 0).to_string(),
        Column::F32(_) | Column::F64(_) => key.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Dataset {
        let text = Column::Categorical {
            codes: vec![1, 0, 1, 3].into(),
            dictionary: ["a", "b", "unused", "z"].map(String::from).to_vec(),
        };
        let columns = vec![
            ("x", Column::F64(vec![1.0, f64::NAN, 3.0, f64::INFINITY].into())),
            ("text", text),
            ("label", Column::F32(vec![10.0, -2.0, 9.0, 10.0].into())),
            ("flag", Column::Boolean(vec![Some(true), Some(true), None, Some(false)].into())),
            ("w", Column::F64(vec![1.0, 0.0, 0.5, -1.0].into())),
        ];
        Dataset::new(columns.into_iter().map(|(n, c)| (n.to_owned(), c)).collect()).unwrap()
    }

    #[test]
    fn inputs_are_the_rest() {
        let mut roles =
            Roles { weight: Some("w".into()), ignore: vec!["flag".into()], ..Roles::target("text") };
        assert_eq!(roles.inputs(&table()).unwrap(), ["x", "label"]);
        roles.offset = Some("w".into());
        assert!(roles.inputs(&table()).unwrap_err().to_string().contains("two roles"));
        roles.offset = Some("nowhere".into());
        assert!(roles.inputs(&table()).unwrap_err().to_string().contains("\"nowhere\""));
        assert_eq!(Roles::default().inputs(&table()).unwrap().len(), 5);
        assert!(Roles::default().needed_target().is_err());
        assert_eq!(Roles::target("x").needed_target().unwrap(), "x");
    }

    #[test]
    fn several_targets_are_no_inputs_and_one_where_one_is_accepted() {
        let roles = |names: &[&str]| Roles {
            targets: names.iter().map(|name| name.to_string()).collect(),
            ..Roles::default()
        };
        let told = |names: &[&str]| roles(names).inputs(&table()).unwrap_err().to_string();
        assert_eq!(roles(&["w", "x"]).inputs(&table()).unwrap(), ["text", "label", "flag"]);
        assert_eq!(roles(&["w", "x"]).needed_targets().unwrap(), ["w", "x"]);
        assert!(roles(&[]).needed_targets().is_err() && roles(&[]).only_target().unwrap().is_none());
        for found in
            [roles(&["w", "x"]).needed_target().map(|_| ()), roles(&["w", "x"]).only_target().map(|_| ())]
        {
            let message = found.unwrap_err().to_string();
            assert!(message.contains("column \"x\"") && message.contains("besides \"w\""), "{message}");
        }
        assert!(told(&["w", "x", "w"]).contains("column \"w\": is named as a target twice"));
        assert!(told(&["w", "nowhere"]).contains("\"nowhere\""));
        let weighted = Roles { weight: Some("x".into()), ..roles(&["w", "x"]) };
        assert!(weighted.inputs(&table()).unwrap_err().to_string().contains("two roles"));
    }

    #[test]
    fn the_truth_of_several_targets_is_as_many_columns() {
        let (data, task) = (table().take(&[0, 2]), Task::Outputs { names: vec!["a".into(), "b".into()] });
        let found = truth(&data, &["w", "x"], &task).unwrap();
        assert_eq!(found, Truth::Outputs(vec![vec![1.0, 0.5], vec![1.0, 3.0]]));
        assert_eq!(found.rows(), 2);
        let told = |targets: &[&str], task: &Task| truth(&data, targets, task).unwrap_err().to_string();
        assert!(told(&["w"], &task).contains("2 targets (a, b)"));
        assert!(told(&["w", "x"], &Task::Regression).contains("one target"));
        assert!(told(&["w", "text"], &task).contains("column \"text\": is text"));
        assert!(truth(&table(), &["w", "x"], &task).unwrap_err().to_string().contains("row 2, column \"x\""));
    }

    #[test]
    fn flags_are_booleans_or_bits() {
        let data = table();
        assert_eq!(flags(&data.take(&[0, 1, 3]), "flag").unwrap(), [true, true, false]);
        assert_eq!(flags(&data.take(&[0, 1]), "w").unwrap(), [true, false]);
        for (name, part) in [("flag", "row 3"), ("w", "row 3"), ("text", "\"a\"")] {
            let message = flags(&data, name).unwrap_err().to_string();
            assert!(message.contains(part) && message.contains("1 and 0"), "{message}");
        }
    }

    #[test]
    fn classes_are_sorted_and_only_those_that_occur() {
        let data = table();
        assert_eq!(
            classes(&data, "text").unwrap(),
            (vec![1, 0, 1, 2], vec!["a".into(), "b".into(), "z".into()])
        );
        let (codes_of_label, labels) = classes(&data, "label").unwrap();
        assert_eq!(
            (codes_of_label, labels.clone()),
            (vec![2, 0, 1, 2], ["-2", "9", "10"].map(String::from).to_vec())
        );
        assert_eq!(codes(&data, "label", &labels).unwrap(), [2, 0, 1, 2]);
        let flags = data.take(&[0, 3]);
        assert_eq!(classes(&flags, "flag").unwrap(), (vec![1, 0], vec!["false".into(), "true".into()]));
        let message = codes(&data, "text", &["a".into(), "b".into()]).unwrap_err().to_string();
        assert!(message.contains("row 4") && message.contains("\"z\""), "{message}");
        let message = classes(&data, "flag").unwrap_err().to_string();
        assert!(message.contains("row 3") && message.contains("missing"), "{message}");
        assert!(classes(&data, "w").unwrap_err().to_string().contains("row 3"));
    }

    #[test]
    fn bad_numbers_are_named() {
        let data = table();
        let message = numbers(&data, "x").unwrap_err().to_string();
        assert!(
            message.contains("row 2") && message.contains("\"x\"") && message.contains("missing"),
            "{message}"
        );
        assert!(numbers(&data.take(&[3]), "x").unwrap_err().to_string().contains("inf"));
        assert!(numbers(&data, "text").unwrap_err().to_string().contains("\"a\""));
        let weighted = Roles { weight: Some("w".into()), ..Roles::target("x") };
        let message = weighted.weights(&data).unwrap_err().to_string();
        assert!(message.contains("row 4") && message.contains("negative"), "{message}");
        assert!(weighted.weights(&data.take(&[1])).unwrap_err().to_string().contains("all weights are 0"));
        assert_eq!(weighted.weights(&data.take(&[0, 1, 2])).unwrap().unwrap(), [1.0, 0.0, 0.5]);
        assert_eq!(Roles::target("x").weights(&data).unwrap(), None);
        let grouped = Roles { group: Some("label".into()), ..Roles::target("x") };
        assert_eq!(grouped.groups(&data).unwrap().unwrap(), [0, 1, 2, 0]);
    }
}
