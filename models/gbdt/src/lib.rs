#![doc = include_str!("../README.md")]

mod boosting;
mod ensemble;
mod link;
pub mod loss;
mod parameters;

pub use boosting::Boosted;
pub use ensemble::Ensemble;
pub use link::Link;
pub use loss::Loss;
pub use parameters::{EarlyStopping, GradientBoosting};
