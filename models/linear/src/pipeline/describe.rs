//! What `inspect` prints of a linear model: the encoding, then coefficients as fitted and per unit of the inputs.

use super::Pipeline;
use crate::Link;
use std::fmt::Write as _;
use tilewise_base::Task;

pub(super) fn describe(pipeline: &Pipeline) -> String {
    let (encoder, model) = (&pipeline.encoder, &pipeline.model);
    let names = encoder.names();
    let (at_zero, per_unit_of) = pipeline.units();
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
            Task::Outputs { names } => names.get(k).cloned().unwrap_or_default(),
            _ if model.link == Link::Log => format!("log of {}", pipeline.target),
            _ => pipeline.target.clone(),
        };
        let per_unit: Vec<f64> = row.iter().zip(&per_unit_of).map(|(w, unit)| w * unit).collect();
        let at_origin: f64 = row.iter().zip(&at_zero).map(|(w, z)| w * z).sum();
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
    if let (Some(residuals), super::Estimator::Huber(params)) = (pipeline.residuals, &pipeline.estimator) {
        let beyond = short(residuals.scale * params.threshold);
        let scale = match params.joint_scale {
            true => format!("scale {}; ", short(residuals.scale)),
            false => String::new(),
        };
        text += &format!("residuals\n  {scale}those beyond {beyond} pull no harder than there\n");
    }
    if let Some(inference) = &pipeline.inference {
        let title = format!("{} of {}, per unit of the inputs", pipeline.kind, pipeline.target);
        text += &format!("\n{}", inference.table(&title, &names));
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
