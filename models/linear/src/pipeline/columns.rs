//! Which columns of an encoded row belong together: the levels of a category, and groups of inputs.

use super::Estimator;
use crate::{ColumnBounds, LeastSquares};
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
    let mut spans = spans(encoder);
    let mut all = Vec::new();
    for names in named {
        let mut group = Vec::new();
        for name in names {
            let span = std::mem::take(&mut spans[place(encoder, "groups", name)?]);
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

/// Least squares with the bounds of columns, of one with those of inputs by their names; of others nothing.
pub(super) fn bounded(estimator: &Estimator, encoder: &Encoder) -> Result<Option<Estimator>> {
    let Estimator::Bounded { params, lower, upper } = estimator else { return Ok(None) };
    let spans = spans(encoder);
    let of = |setting: &str, named: &[(String, f64)]| {
        let mut bounds = vec![None; encoder.width()];
        for (name, bound) in named {
            let span = spans[place(encoder, setting, name)?].clone();
            if bounds[span.clone()].iter().any(Option::is_some) {
                return Err(Error::parameter(setting, name, "an input once is"));
            }
            bounds[span].fill(Some(*bound));
        }
        Ok(bounds)
    };
    let columns = of("lower", lower)?.into_iter().zip(of("upper", upper)?).enumerate();
    let columns = columns
        .filter(|(_, (lower, upper))| lower.is_some() || upper.is_some())
        .map(|(column, (lower, upper))| ColumnBounds { column, lower, upper });
    Ok(Some(Estimator::LeastSquares(LeastSquares { columns: columns.collect(), ..params.clone() })))
}

/// The place among the inputs of the one with this name, which a setting has.
fn place(encoder: &Encoder, setting: &str, name: &str) -> Result<usize> {
    let inputs = encoder.inputs();
    inputs.iter().position(|input| input.name == name).ok_or_else(|| {
        let known: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
        Error::parameter(setting, name, format!("the name of an input is: {}", known.join(", ")))
    })
}
