//! What boosted trees were grown from, so that they can go on.

use crate::{Boosted, GradientBoosting, Lesson};
use serde_json::Value;
use tilewise_base::{Error, Result};
use tilewise_kernels::random::Philox;
use tilewise_tree::BinnedTable;

/// All that decides what the trees are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Origin {
    /// With the number of stages that were asked for.
    pub(crate) params: GradientBoosting,
    pub(crate) seed: u64,
    /// The fingerprint of the table and what is learned with it.
    pub(crate) table: u64,
}

impl Origin {
    /// That this is how `earlier` was grown, but for the number of stages.
    pub(crate) fn continues(&self, earlier: &Boosted) -> Result<()> {
        let theirs = &earlier.origin;
        if self.params.dart.is_some() {
            let accepted = "a model that dropped stages cannot be continued to the same bits: its scores are sums in the order of \
                            training; 0";
            return Err(Error::parameter("drop_rate", "a share", accepted));
        }
        if let Some((name, ours, theirs)) = different(&self.params, &theirs.params)? {
            let accepted = format!("the model to continue was grown with {theirs}");
            return Err(Error::parameter(&name, ours, accepted));
        }
        if self.seed != theirs.seed {
            let accepted = format!("the model to continue was grown with seed {}", theirs.seed);
            return Err(Error::parameter("seed", self.seed, accepted));
        }
        if self.table != theirs.table {
            let what = "the table is not the one that the model to continue was grown on: its rows, answers, weights, offsets, queries \
                        or events differ";
            return Err(Error::Fit(what.into()));
        }
        let least = earlier.stages();
        if self.params.stages < least {
            let accepted =
                format!("the model to continue has {least} stages; as many or more are, counting these");
            return Err(Error::parameter("stages", self.params.stages, accepted));
        }
        Ok(())
    }
}

/// A number made of all that is learned from, as [`BinnedTable::fingerprint`], which it is where there are answers alone. O(rows x
/// columns).
pub(crate) fn fingerprint(table: &BinnedTable, lesson: &Lesson<'_>) -> Result<u64> {
    const GROUP: u64 = Philox::purpose("query of a fingerprint");
    const EVENT: u64 = Philox::purpose("event of a fingerprint");
    let mut sum = table.fingerprint(lesson.answers)?;
    sum = sum.wrapping_add(lesson.offset.map_or(0, |offset| fingerprint_of_offsets(offset, 0)));
    let mut add = |purpose: u64, number: u64, place: usize| {
        sum = sum.wrapping_add(Philox::new(number, purpose).bits(place as u64));
    };
    for (number, group) in lesson.groups.into_iter().flatten().enumerate() {
        add(GROUP, group.end as u64, number);
    }
    for (row, &event) in lesson.events.into_iter().flatten().enumerate() {
        add(EVENT, event.into(), row);
    }
    Ok(sum)
}

/// The part of offsets of which the first is that of row `first`.
pub(crate) fn fingerprint_of_offsets(offsets: &[f64], first: u64) -> u64 {
    const OFFSET: u64 = Philox::purpose("offset of a fingerprint");
    let of_row = |(row, offset): (u64, &f64)| Philox::new(offset.to_bits(), OFFSET).bits(row);
    (first..).zip(offsets).map(of_row).fold(0, u64::wrapping_add)
}

/// The first parameter but `stages` that differs: its name and both values.
fn different(ours: &GradientBoosting, theirs: &GradientBoosting) -> Result<Option<(String, Value, Value)>> {
    let value = |params| {
        serde_json::to_value(params)
            .map_err(|e| Error::Fit(format!("the parameters cannot be compared: {e}")))
    };
    Ok(first("", &value(ours)?, &value(theirs)?))
}

fn first(name: &str, ours: &Value, theirs: &Value) -> Option<(String, Value, Value)> {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) if !["max_features", "loss"].contains(&name) => ours
            .iter()
            .filter(|(name, _)| *name != "stages")
            .find_map(|(name, ours)| first(name, ours, theirs.get(name).unwrap_or(&Value::Null))),
        _ if ours == theirs => None,
        _ => Some((name.to_owned(), ours.clone(), theirs.clone())),
    }
}
