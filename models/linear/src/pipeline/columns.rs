//! Which columns of an encoded row belong together: the levels of a category, and groups of inputs.

use std::ops::Range;
use tilewise_base::encoder::Encoder;
use tilewise_base::{Error, Kind, Result};

/// The columns of each input.
fn spans(encoder: &Encoder) -> Vec<Range<usize>> {
    let mut next = 0;
    let span = |kind: &Kind| {
        let first = next;
        next += match kind {
            Kind::Categorical { dictionary } => dictionary.len(),
            Kind::Numeric | Kind::Boolean => 1,
        };
        first..next
    };
    encoder.inputs().iter().map(|field| &field.kind).map(span).collect()
}

/// The columns of each category.
pub(super) fn categories(encoder: &Encoder) -> Vec<Range<usize>> {
    let of_levels = encoder.inputs().iter().map(|field| matches!(field.kind, Kind::Categorical { .. }));
    spans(encoder).into_iter().zip(of_levels).filter(|(_, is)| *is).map(|(span, _)| span).collect()
}

/// The columns of groups of inputs by their names, then those of each input of no group.
pub(super) fn groups(encoder: &Encoder, named: &[Vec<String>]) -> Result<Vec<Vec<usize>>> {
    let (inputs, mut spans) = (encoder.inputs(), spans(encoder));
    let mut all = Vec::new();
    for names in named {
        let mut group = Vec::new();
        for name in names {
            let Some(place) = inputs.iter().position(|input| input.name == *name) else {
                let known: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
                let accepted = format!("the name of an input is: {}", known.join(", "));
                return Err(Error::parameter("groups", name, accepted));
            };
            let span = std::mem::take(&mut spans[place]);
            if span.is_empty() {
                return Err(Error::parameter("groups", name, "an input once is, and with a value"));
            }
            group.extend(span);
        }
        all.push(group);
    }
    all.extend(spans.into_iter().filter(|span| !span.is_empty()).map(Iterator::collect));
    Ok(all)
}
