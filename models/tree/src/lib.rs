#![doc = include_str!("../README.md")]

mod arena;
mod bundles;
mod codes;
mod columns;
mod compiled;
mod constraints;
mod cuts;
mod fingerprint;
mod grow;
mod local;
mod max_bins;
#[cfg(test)]
mod naive;
mod newton;
mod nodes;
mod oblivious;
mod outline;
mod parameters;
pub mod part;
mod pipeline;
mod prune;
pub mod rounds;
mod search;
mod shap;
pub mod stored;
mod table;
mod target;
mod training;
mod tree;
mod values;
mod weights;

pub use compiled::{Compiled, Engine, WhenAsked};
pub use cuts::categories;
pub use grow::{Growth, Splitter, key_below};
pub use max_bins::{MOST_BINS, MOST_CATEGORIES, MaxBins};
pub use newton::{Gradients, Parted, Penalty};
pub use outline::outline;
pub use parameters::{ClassWeights, Criterion, DecisionTree, Draw, MaxFeatures};
pub use pipeline::{TreeModel, show_importances, show_unseen};
pub use prune::Pruning;
pub use search::draw;
pub use shap::{SHAP_TOLERANCE, Shap};
pub use table::{BinnedTable, Feature};
pub use training::{Answers, Training, without_values};
pub use tree::{BareTree, Input, Node, Test, Tree};
