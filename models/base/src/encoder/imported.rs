//! An encoder from the nodes of ONNX that it wrote.

use super::{Encoder, Step, Stored};
use crate::onnx::{Graph, Tensor};
use crate::{Error, Field, Kind, Result};
use std::collections::HashSet;

impl Encoder {
    /// The encoder of these inputs that wrote nodes and numbers of `graph` ([`Encoder::onnx`]). Whether it is the one is for the caller to
    /// see: it writes the same nodes again. O(graph).
    ///
    /// # Errors
    /// When a number that it needs is not there or not as many times as there are inputs, or makes no sense; two inputs have one name.
    pub fn of_onnx(graph: &Graph, inputs: Vec<Field>) -> Result<Self> {
        let tensor = |name: &str| graph.initializer.iter().find(|tensor| tensor.name == name);
        let is_of_categories = |field: &Field| matches!(field.kind, Kind::Categorical { .. });
        let numbers = inputs.iter().filter(|field| !is_of_categories(field)).count();
        let row = |name: &str| match tensor(name) {
            Some(tensor) => {
                let (_, found) = tensor.doubles()?;
                if found.len() != numbers {
                    let found = found.len();
                    return Err(Error::Fit(format!(
                        "tensor {name:?} has {found} numbers for {numbers} columns"
                    )));
                }
                Ok(found)
            }
            None if numbers == 0 => Ok(Vec::new()),
            None => Err(Error::Fit(format!("there is no tensor {name:?}"))),
        };
        let missing = row("encoder.missing")?;
        let (means, scales) = (row("encoder.mean")?, row("encoder.scale")?);
        // Columns of which vectors are learned are listed, unless all are such columns; then nothing is compared with categories.
        let listed = tensor("encoder.numbered").map(Tensor::whole_numbers).transpose()?;
        let listed: Option<HashSet<i64>> = listed.map(|(_, columns)| columns.into_iter().collect());
        let all = tensor("encoder.codes").is_none();
        let mut of_numbers = missing.into_iter().zip(means).zip(scales);
        let mut steps = Vec::with_capacity(inputs.len());
        for (column, field) in inputs.iter().enumerate() {
            let step = match &field.kind {
                Kind::Categorical { dictionary } => {
                    let levels = dictionary.len();
                    let numbered = match &listed {
                        Some(listed) => listed.contains(&(column as i64)),
                        None => all && numbers == 0,
                    };
                    if numbered { Step::Code { levels } } else { Step::OneHot { levels } }
                }
                Kind::Numeric | Kind::Boolean => match of_numbers.next() {
                    Some(((missing, mean), scale)) => Step::Number { missing, mean, scale, seen: 1 },
                    None => {
                        return Err(Error::Fit(format!("nothing is told of the column {:?}", field.name)));
                    }
                },
            };
            steps.push(step);
        }
        let impute = numbers == 0 || graph.node.iter().any(|node| node.op_type == "IsNaN");
        let changes =
            |step: &Step| matches!(step, Step::Number { mean, scale, .. } if (*mean, *scale) != (0.0, 1.0));
        let standardise = steps.iter().any(changes);
        Self::try_from(Stored { inputs, steps, impute, standardise }).map_err(Error::Fit)
    }
}
