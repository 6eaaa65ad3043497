#![doc = include_str!("../README.md")]

mod cuts;
mod grow;
#[cfg(test)]
mod naive;
mod parameters;
mod pipeline;
mod table;
mod target;
mod tree;
mod weights;

pub use parameters::{Criterion, DecisionTree};
pub use pipeline::TreeModel;
pub use table::{BinnedTable, Feature, MOST_BINS};
pub use tree::{Input, Node, Test, Tree};
