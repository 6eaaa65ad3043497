#![doc = include_str!("../README.md")]

mod continued;
mod forest;
mod isolation;
mod out_of_bag;
mod parameters;
mod pipeline;
pub mod processes;
mod quantiles;
pub mod rounds;
mod shuffled;

pub use forest::Forest;
pub use isolation::{Isolation, IsolationForest, IsolationModel, mean_path};
pub use out_of_bag::OutOfBag;
pub use parameters::{MaxSamples, RandomForest};
pub use pipeline::ForestModel;
