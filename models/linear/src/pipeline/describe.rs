//! What `inspect` prints of a linear model: the encoding, then coefficients as fitted and per unit of the inputs.

use super::Pipeline;
use crate::Link;
use std::fmt::Write as _;
use tilewise_base::{Kind, Task};

pub(super) fn describe(pipeline: &Pipeline) -> String {
    let (encoder, model) = (&pipeline.encoder, &pipeline.model);
    let names = encoder.names();
    // The encoding of numbers is (x - mean) / scale: what it makes of 0 and 1 tells both.
    let inputs = encoder.inputs().len();
    let (mut at_zero, mut at_one) = (vec![0.0; names.len()], vec![0.0; names.len()]);
    encoder.encode_row(&vec![0.0; inputs], &mut at_zero);
    encoder.encode_row(&vec![1.0; inputs], &mut at_one);
    let mut numeric = Vec::with_capacity(names.len());
    for field in encoder.inputs() {
        match &field.kind {
            Kind::Categorical { dictionary } => numeric.extend(std::iter::repeat_n(false, dictionary.len())),
            Kind::Numeric | Kind::Boolean => numeric.push(true),
        }
    }
    let mut text = String::from("inputs\n");
    for line in encoder.describe() {
        text += &format!("  {line}\n");
    }
    if let Some(offset) = &pipeline.offset {
        text += &format!("  offset {offset:?}, added to the linear predictor\n");
    }
    let width = names.iter().map(|n| n.chars().count()).max().unwrap_or(0).max("intercept".len());
    for (k, (row, intercept)) in
        model.coefficients.chunks_exact(names.len().max(1)).zip(&model.intercepts).enumerate()
    {
        let what = match &pipeline.task {
            Task::Classification { classes } => {
                let class = if model.intercepts.len() == 1 { 1 } else { k };
                format!("log odds of {}", classes.get(class).map_or("", String::as_str))
            }
            _ if model.link == Link::Log => format!("log of {}", pipeline.target),
            _ => pipeline.target.clone(),
        };
        let per_unit: Vec<f64> = row
            .iter()
            .zip(at_zero.iter().zip(&at_one))
            .zip(&numeric)
            .map(|((w, (zero, one)), numeric)| if *numeric { w * (one - zero) } else { *w })
            .collect();
        let at_origin: f64 =
            row.iter().zip(&at_zero).zip(&numeric).filter(|(_, n)| **n).map(|((w, z), _)| w * z).sum();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{what}\n  {:width$}  {:>14}  {:>14}", "", "coefficient", "per unit");
        let _ = writeln!(
            text,
            "  {:width$}  {:>14}  {:>14}",
            "intercept",
            short(*intercept),
            short(intercept + at_origin)
        );
        for ((name, w), unit) in names.iter().zip(row).zip(per_unit) {
            let _ = writeln!(text, "  {name:width$}  {:>14}  {:>14}", short(*w), short(unit));
        }
    }
    text
}

/// Six significant digits.
fn short(x: f64) -> String {
    let magnitude = x.abs();
    if magnitude != 0.0 && !(1e-4..1e7).contains(&magnitude) {
        return format!("{x:.5e}");
    }
    let before_point = if magnitude < 1.0 { 1 } else { magnitude.log10() as usize + 1 };
    format!("{x:.*}", 7usize.saturating_sub(before_point))
}
