#![doc = include_str!("../README.md")]

mod balance;
mod boosting;
mod continued;
mod dart;
mod ensemble;
pub mod export;
pub mod foreign;
mod held_out;
mod leaf_sums;
mod link;
pub mod loss;
mod monotone;
#[cfg(test)]
mod naive;
mod parameters;
mod pipeline;
pub mod rounds;
mod sampling;
mod smoothing;

pub use boosting::{Boosted, Lesson};
pub use dart::Dart;
pub use ensemble::Ensemble;
pub use foreign::ForeignModel;
pub use link::Link;
pub use loss::Loss;
pub use parameters::{EarlyStopping, GradientBoosting};
pub use pipeline::BoostedModel;
pub use sampling::Goss;
