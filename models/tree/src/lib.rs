#![doc = include_str!("../README.md")]

mod cuts;
mod grow;
#[cfg(test)]
mod naive;
mod outline;
mod parameters;
mod pipeline;
mod prune;
mod shap;
pub mod stored;
mod table;
mod target;
mod training;
mod tree;
mod weights;

pub use outline::outline;
pub use parameters::{Criterion, DecisionTree, Draw, MaxFeatures};
pub use pipeline::{TreeModel, show_importances};
pub use prune::Pruning;
pub use shap::{SHAP_TOLERANCE, Shap};
pub use table::{BinnedTable, Feature, MOST_BINS};
pub use training::{Answers, Training};
pub use tree::{Input, Node, Test, Tree};
