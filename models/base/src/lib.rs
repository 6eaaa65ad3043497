//! What every Tilewise model shares: datasets and schemas, metrics, the rounds protocol, the model file, errors,
//! progress and cancellation.

pub mod dataset;
pub mod error;
pub mod fit;
pub mod model;
pub mod rounds;
pub mod schema;

pub use dataset::{Column, Dataset, MISSING_CODE};
pub use error::{Error, Result};
pub use fit::{Context, Fit, FitReport, Progress};
pub use model::{Model, Task};
pub use rounds::Rounds;
pub use schema::{Field, Kind, Schema};
