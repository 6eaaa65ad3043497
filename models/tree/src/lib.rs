#![doc = include_str!("../README.md")]

mod cuts;
mod grow;
#[cfg(test)]
mod naive;
mod parameters;
pub mod part;
mod pipeline;
pub mod rounds;
pub mod stored;
mod table;
mod target;
mod training;
mod tree;
mod weights;

pub use parameters::{Criterion, DecisionTree, Draw, MaxFeatures};
pub use pipeline::{TreeModel, show_importances};
pub use table::{BinnedTable, Feature, MOST_BINS};
pub use training::{Answers, Training};
pub use tree::{BareTree, Input, Node, Test, Tree};
