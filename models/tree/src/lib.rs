#![doc = include_str!("../README.md")]

mod cuts;
mod fingerprint;
mod grow;
#[cfg(test)]
mod naive;
mod parameters;
mod pipeline;
pub mod stored;
mod table;
mod target;
mod training;
mod tree;
mod weights;

pub use cuts::categories;
pub use grow::{drawn, key_below};
pub use parameters::{Criterion, DecisionTree, Draw, MaxFeatures};
pub use pipeline::{TreeModel, show_importances};
pub use table::{BinnedTable, Feature, MOST_BINS};
pub use training::{Answers, Training, without_values};
pub use tree::{Input, Node, Test, Tree};
