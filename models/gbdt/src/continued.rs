//! What boosted trees were grown from, so that they can go on.

use crate::{Boosted, GradientBoosting, Lesson};
use serde_json::Value;
use std::ops::Range;
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
            let what = "the table is not the one that the model to continue was grown on: its rows, answers, weights, offsets, queries, \
                        events or rows held out differ";
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
    const EVENT: u64 = Philox::purpose("event of a fingerprint");
    let events = lesson.events.unwrap_or_default().iter().map(|&event| event.into());
    let sum = table.fingerprint(lesson.answers)?.wrapping_add(summed(EVENT, 0, events));
    Ok(sum.wrapping_add(fingerprint_of_rows(lesson.offset, lesson.groups, lesson.held_out, [0; 2])))
}

/// The part of what rounds know too, of rows and queries whose first have these numbers.
pub(crate) fn fingerprint_of_rows(
    offsets: Option<&[f64]>,
    groups: Option<&[Range<usize>]>,
    held_out: Option<&[bool]>,
    [first_row, first_query]: [u64; 2],
) -> u64 {
    const OFFSET: u64 = Philox::purpose("offset of a fingerprint");
    const GROUP: u64 = Philox::purpose("query of a fingerprint");
    const HELD_OUT: u64 = Philox::purpose("row held out of a fingerprint");
    let offsets = offsets.unwrap_or_default().iter().map(|offset| offset.to_bits());
    let ends = groups.unwrap_or_default().iter().map(|group| first_row + group.end as u64);
    let held_out = held_out.unwrap_or_default().iter().map(|&out| out.into());
    summed(OFFSET, first_row, offsets)
        .wrapping_add(summed(GROUP, first_query, ends))
        .wrapping_add(summed(HELD_OUT, first_row, held_out))
}

/// Numbers of one purpose, the first of which stands at this place.
fn summed(purpose: u64, first: u64, numbers: impl Iterator<Item = u64>) -> u64 {
    let of_place = |(place, number): (u64, u64)| Philox::new(number, purpose).bits(place);
    (first..).zip(numbers).map(of_place).fold(0, u64::wrapping_add)
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
