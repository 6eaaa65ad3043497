//! Trees and forests in formats of others: what they predict is the mean of what their trees do.

use tilewise_base::{Error, Model, Result, Task};
use tilewise_forest::ForestModel;
use tilewise_gbdt::Link;
use tilewise_gbdt::export::{Exported, Format, Sum};
use tilewise_tree::{Tree, TreeModel};

pub(crate) fn of_tree(model: &TreeModel, format: Format) -> Result<Exported> {
    mean(model, std::slice::from_ref(model.tree()), format)
}

pub(crate) fn of_forest(model: &ForestModel, format: Format) -> Result<Exported> {
    if let Task::Quantiles { .. } = model.task() {
        let what = "predicts quantiles of the training rows in its leaves, which no format of others holds";
        return Err(Error::Fit(format!("{what}; a forest without quantiles can be exported")));
    }
    mean(model, model.forest().trees(), format)
}

fn mean(model: &dyn Model, trees: &[Tree], format: Format) -> Result<Exported> {
    Sum {
        inputs: model.inputs(),
        task: model.task(),
        targets: model.targets(),
        offset: None,
        unseen: model.unseen(),
        trees: trees.iter().map(|tree| (tree, 0)).collect(),
        base: vec![0.0; model.outputs()],
        over: trees.len() as f64,
        link: Link::Identity,
        loss: None,
    }
    .export(format)
}
