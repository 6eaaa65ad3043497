#![doc = include_str!("../README.md")]

mod ensemble;
mod link;
pub mod loss;

pub use ensemble::Ensemble;
pub use link::Link;
pub use loss::Loss;
