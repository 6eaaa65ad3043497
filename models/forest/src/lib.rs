#![doc = include_str!("../README.md")]

mod forest;
mod out_of_bag;
mod parameters;
mod pipeline;
pub mod processes;

pub use forest::Forest;
pub use out_of_bag::OutOfBag;
pub use parameters::RandomForest;
pub use pipeline::ForestModel;
