#![doc = include_str!("../README.md")]

mod compiled;
mod cuts;
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

pub use compiled::{Compiled, Engine, WhenAsked};
pub use parameters::{Criterion, DecisionTree, Draw, MaxFeatures};
pub use pipeline::{TreeModel, show_importances};
pub use table::{BinnedTable, Feature, MOST_BINS};
pub use training::{Answers, Training};
pub use tree::{Input, Node, Test, Tree};
