//! What the server says about itself and its models, in the form of the Open Inference Protocol.

use crate::served::{Accepts, Served};
use bytes::Bytes;
use serde_json::json;
use tilewise_base::Task;

/// The reply to `GET /v2`.
pub(crate) fn server() -> Bytes {
    json!({"name": "tilewise", "version": env!("CARGO_PKG_VERSION"), "extensions": ["binary_tensor_data", "model_repository"]})
        .to_string()
        .into()
}

/// The reply to `GET /v2/models/{name}` of a model that has these versions.
pub(crate) fn model(served: &Served, versions: &[u64]) -> Bytes {
    let model = &served.model;
    let tensors: Vec<_> = served
        .inputs
        .iter()
        .map(|input| {
            let datatype = match input.accepts {
                Accepts::Number => "FP64",
                Accepts::Category(..) => "BYTES",
                Accepts::Boolean => "BOOL",
            };
            json!({"name": input.name, "datatype": datatype, "shape": [-1]})
        })
        .collect();
    let outputs = match model.task() {
        // A parameter's value is a single string, number or boolean in the protocol: the list is JSON in a string.
        Task::Outputs { names } => json!([
            {"name": "prediction", "datatype": "FP64", "shape": [-1, names.len()],
             "parameters": {"targets": json!(names).to_string()}},
        ]),
        Task::Quantiles { quantiles } => json!([
            {"name": "prediction", "datatype": "FP64", "shape": [-1, quantiles.len()],
             "parameters": {"quantiles": json!(quantiles).to_string()}},
        ]),
        Task::Anomaly { threshold: Some(threshold) } => json!([
            {"name": "prediction", "datatype": "FP64", "shape": [-1], "parameters": {"threshold": threshold}},
        ]),
        Task::Regression | Task::Anomaly { .. } | Task::Ranking { .. } | Task::Survival { .. } => {
            match model.outputs() {
                1 => json!([{"name": "prediction", "datatype": "FP64", "shape": [-1]}]),
                outputs => json!([{"name": "prediction", "datatype": "FP64", "shape": [-1, outputs]}]),
            }
        }
        Task::Classification { classes } => json!([
            {"name": "prediction", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, classes.len()],
             "parameters": {"classes": json!(classes).to_string()}},
        ]),
    };
    json!({
        "name": served.name,
        "versions": versions.iter().map(u64::to_string).collect::<Vec<_>>(),
        "platform": format!("tilewise_{}", model.kind()),
        "inputs": tensors,
        "outputs": outputs,
    })
    .to_string()
    .into()
}
