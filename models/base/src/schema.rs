//! Names and kinds of columns.

use serde::{Deserialize, Serialize};

/// What a column holds. Any cell may be missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Kind {
    /// Numbers; missing is NaN.
    Numeric,
    /// Text with few distinct values; a cell is an index into the dictionary.
    Categorical {
        /// The distinct values, sorted by bytes, without repetition.
        dictionary: Vec<String>,
    },
    /// True or false.
    Boolean,
}

impl Kind {
    /// `numeric`, `categorical` or `boolean`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Numeric => "numeric",
            Self::Categorical { .. } => "categorical",
            Self::Boolean => "boolean",
        }
    }
}

/// A column's name and kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it holds.
    #[serde(flatten)]
    pub kind: Kind,
}

/// The columns of a dataset in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// One per column.
    pub fields: Vec<Field>,
}

impl Schema {
    /// Position of a column.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| f.name == name)
    }
}
