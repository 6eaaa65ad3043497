//! Tables made ready for trees.

use crate::MaxBins;
use crate::table::{BinnedTable, Cells};
use tilewise_base::{Column, Context, Dataset, Error, Field, Result, Roles, Task, roles};

/// What trees are to learn.
#[derive(Clone, Debug)]
pub enum Answers {
    /// Classes, by their numbers.
    Classes {
        /// One per row.
        y: Vec<u32>,
        /// How many there are.
        classes: usize,
    },
    /// Numbers, one per row.
    Numbers(Vec<f64>),
    /// Several numbers per row, a list for each of them ([`DecisionTree::fit_outputs`](crate::DecisionTree::fit_outputs)).
    Outputs(Vec<Vec<f64>>),
}

impl Answers {
    /// How many rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes { y, .. } => y.len(),
            Self::Numbers(y) => y.len(),
            Self::Outputs(y) => y.first().map_or(0, Vec::len),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The columns of a table, binned, and what is to be learned from them.
#[derive(Clone, Debug)]
pub struct Training {
    /// The inputs.
    pub table: BinnedTable,
    /// Their names and kinds.
    pub inputs: Vec<Field>,
    /// What is to be learned.
    pub answers: Answers,
    /// What is to be predicted.
    pub task: Task,
    /// What a person should know about the columns.
    pub warnings: Vec<String>,
}

impl Training {
    /// Reads the columns of `dataset`: classes are to be learned if `classify`, else numbers, of one target column or several.
    ///
    /// # Errors
    /// When a column or cell is not what its role needs (named), there are classes of several columns, `max_bins` is not accepted, or
    /// exact and a column has too many values.
    pub fn new(
        max_bins: impl Into<MaxBins>,
        classify: bool,
        dataset: &Dataset,
        roles: &Roles,
        context: &Context<'_>,
    ) -> Result<Self> {
        if let Some(offset) = &roles.offset {
            return Err(Error::column(offset, "is an offset; a tree has no linear predictor to add it to"));
        }
        let names = roles.inputs(dataset)?;
        let weights = roles.weights(dataset)?;
        let cells = Cells::of_inputs(dataset, &names)?;
        let name = |column: usize| names[column].clone();
        let (rows, seed) = (dataset.rows(), context.seed);
        let (weights, storage) = (weights.as_deref(), &context.storage);
        let table = BinnedTable::from_columns(rows, &cells, weights, max_bins.into(), seed, &name, storage)?;
        let (answers, task) = match roles.needed_targets()? {
            [target] if !classify => (Answers::Numbers(roles::numbers(dataset, target)?), Task::Regression),
            names if !classify => {
                let y = names.iter().map(|name| roles::numbers(dataset, name)).collect::<Result<_>>()?;
                (Answers::Outputs(y), Task::Outputs { names: names.to_vec() })
            }
            _ => {
                let (y, classes) = roles::classes(dataset, roles.needed_target()?)?;
                (Answers::Classes { y, classes: classes.len() }, Task::Classification { classes })
            }
        };
        let warnings = names.iter().zip(&cells).filter(|(_, cells)| cells.all_missing());
        let warnings = warnings.map(|(name, _)| told_empty(name)).collect();
        // They are in the table's order.
        let mut names = names.iter().peekable();
        let mut inputs = dataset.schema().fields;
        inputs.retain(|field| names.next_if(|name| **name == field.name).is_some());
        Ok(Self { table, inputs, answers, task, warnings })
    }
}

/// A warning for each of the columns, called `names`, in which every cell is missing. O(rows) per column.
pub fn without_values(names: &[String], columns: &[&Column]) -> Vec<String> {
    let empty = names.iter().zip(columns).filter(|(_, column)| Cells::from(**column).all_missing());
    empty.map(|(name, _)| told_empty(name)).collect()
}

/// The warning about a column that has no value.
pub(crate) fn told_empty(name: &str) -> String {
    format!("column {name:?} has no value in any row and is not used")
}
