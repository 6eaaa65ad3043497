//! What a model does with a category that training did not see.
//!
//! A category is unseen if the dictionary of its input lacks it (its cell is [`UNSEEN`](crate::model::UNSEEN)), or if the
//! dictionary has it and no training row did ([`Model::saw`]): dictionaries are those of whole tables, of which a part may
//! have been held out. An unseen category is not a missing value, whatever a model does with it: a cell without a value is
//! never refused.

use crate::error::listed;
use crate::{Error, Field, Kind, Model, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use tilewise_kernels::MatRef;

/// What happens to a category that training did not see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unseen {
    /// It counts as missing.
    #[default]
    Missing,
    /// At each split of its input it goes where more of the training weight went.
    Majority,
    /// Predictions refuse it: by row, column and text.
    Error,
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Majority => "majority",
            Self::Error => "error",
        })
    }
}

/// Refuses rows of cells with a category that training did not see, if this is the policy of `model`. O(cells), and nothing
/// under other policies.
///
/// # Errors
/// For the first such row: its number, the column, the category's text if the dictionary has it, and what is accepted.
pub fn check<M: Model + ?Sized>(model: &M, cells: MatRef<'_, f64>) -> Result<()> {
    if model.unseen() != Unseen::Error {
        return Ok(());
    }
    let is_category = |(_, field): &(usize, &Field)| matches!(field.kind, Kind::Categorical { .. });
    let columns: Vec<(usize, &Field)> = model.inputs().iter().enumerate().filter(is_category).collect();
    for row in 0..cells.rows() {
        for &(j, field) in &columns {
            let x = cells.get(row, j);
            if x.is_nan() || x >= 0.0 && model.saw(j, x as usize) {
                continue;
            }
            let Kind::Categorical { dictionary } = &field.kind else { continue };
            let text = if x >= 0.0 { dictionary.get(x as usize) } else { None };
            let told = Refusal::new(model, j).told(text.map(String::as_str));
            return Err(Error::cell(row, &field.name, told));
        }
    }
    Ok(())
}

/// How a model refuses categories of an input.
#[derive(Clone, Debug)]
pub struct Refusal {
    accepted: String,
}

impl Refusal {
    /// For an input of a model, by its number. O(categories).
    pub fn new<M: Model + ?Sized>(model: &M, input: usize) -> Self {
        let known: Vec<String> = match model.inputs().get(input).map(|field| &field.kind) {
            Some(Kind::Categorical { dictionary }) => {
                let seen = dictionary.iter().enumerate().filter(|(number, _)| model.saw(input, *number));
                seen.map(|(_, text)| format!("{text:?}")).collect()
            }
            _ => Vec::new(),
        };
        Self { accepted: if known.is_empty() { "no category".into() } else { listed(&known) } }
    }

    /// What an error says of a category; `text` is what it is called, where that is known.
    pub fn told(&self, text: Option<&str>) -> String {
        let what = text.map_or_else(|| "the category".into(), |text| format!("{text:?}"));
        let accepted = &self.accepted;
        format!(
            "{what} is not a category that training saw, and the model refuses others (unseen=error); accepted are {accepted} \
             and missing values"
        )
    }
}
