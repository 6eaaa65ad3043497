//! What a forest was grown from, so that it can go on growing.

use crate::parameters::Grown;
use crate::{Forest, RandomForest};
use serde_json::Value;
use tilewise_base::{Error, Result};

/// All that decides what the trees of a forest are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Origin {
    /// With the number of trees that were asked for.
    pub(crate) params: RandomForest,
    pub(crate) seed: u64,
    /// The fingerprint of table and answers.
    pub(crate) table: u64,
}

/// Parameters that do not change what trees are.
const FREE: [&str; 3] = ["trees", "out_of_bag", "quantiles"];

impl Origin {
    /// The trees of `forest` with their numbers, if it was grown from this.
    pub(crate) fn continued(&self, forest: &Forest) -> Result<Vec<Grown>> {
        let theirs = &forest.origin;
        if let Some((name, ours, theirs)) = different(&self.params, &theirs.params)? {
            return Err(Error::parameter(
                &name,
                ours,
                format!("the forest to continue was grown with {theirs}"),
            ));
        }
        if self.seed != theirs.seed {
            let accepted = format!("the forest to continue was grown with seed {}", theirs.seed);
            return Err(Error::parameter("seed", self.seed, accepted));
        }
        if self.table != theirs.table {
            return Err(Error::Fit(
                "the table is not the one that the forest to continue was grown on: its rows, answers or weights differ".into(),
            ));
        }
        let least = forest.numbers.last().map_or(0, |last| *last as usize + 1);
        if self.params.trees < least {
            let accepted =
                format!("the forest to continue has tree {least}; {least} or more is, counting its trees");
            return Err(Error::parameter("trees", self.params.trees, accepted));
        }
        Ok(forest.numbers.iter().copied().zip(forest.trees.iter().cloned()).collect())
    }
}

/// The first parameter that decides about trees and differs: its name and both values.
fn different(ours: &RandomForest, theirs: &RandomForest) -> Result<Option<(String, Value, Value)>> {
    let value = |params| {
        serde_json::to_value(params)
            .map_err(|e| Error::Fit(format!("the parameters cannot be compared: {e}")))
    };
    Ok(first("", &value(ours)?, &value(theirs)?))
}

fn first(name: &str, ours: &Value, theirs: &Value) -> Option<(String, Value, Value)> {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) if !["max_features", "max_samples"].contains(&name) => {
            ours.iter()
                .filter(|(name, _)| !FREE.contains(&name.as_str()))
                .find_map(|(name, ours)| first(name, ours, theirs.get(name).unwrap_or(&Value::Null)))
        }
        _ if ours == theirs => None,
        _ => Some((name.to_owned(), ours.clone(), theirs.clone())),
    }
}
