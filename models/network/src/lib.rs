#![doc = include_str!("../README.md")]

mod arena;
mod backward;
mod checkpoint;
mod compiled;
mod embedding;
mod function;
mod initialise;
mod layer;
mod loss;
pub mod naive;
mod network;
mod norm;
mod onnx;
mod optimiser;
mod pass;
pub mod pipeline;
mod plan;
mod pooling;
mod predictor;
mod schedule;
mod train;
mod trainer;
mod window;

pub use embedding::{Lookup, usual_width};
pub use function::Function;
pub use initialise::Initialiser;
pub use layer::Layer;
pub use loss::{Loss, Targets};
pub use network::Network;
pub use optimiser::{Optimiser, Update};
pub use predictor::Predictor;
pub use schedule::{Pace, Plateau, Schedule};
pub use train::Training;
pub use trainer::{Rows, Settings, Trainer};
pub use window::Window;
