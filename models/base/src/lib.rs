//! What every Tilewise model shares: datasets and schemas, metrics, the rounds protocol, pools of worker processes, the
//! model file, errors, progress and cancellation.

pub mod cells;
pub mod dataset;
pub mod encoder;
pub mod error;
mod exact_sum;
pub mod finite;
pub mod fit;
mod flags;
pub mod folds;
mod importance;
mod lbfgs;
pub mod mapped;
pub mod metric;
pub mod model;
pub mod model_file;
#[cfg(feature = "onnx")]
pub mod onnx;
pub mod outline;
pub mod part;
pub mod pool;
mod predict;
pub mod replace;
pub mod roles;
pub mod rounds;
pub mod schema;
pub mod solver;
pub mod sparse;
pub mod split;
pub mod storage;
pub mod stored;
pub mod target;
pub mod unseen;

pub use cells::{Binder, explain_dataset, interactions_dataset, predict_dataset};
pub use dataset::{Column, Dataset, MISSING_CODE};
pub use encoder::Encoder;
pub use error::{Error, Result};
pub use exact_sum::ExactSum;
pub use fit::{Checkpoint, Context, Engine, Fit, FitReport, Progress};
pub use flags::Flags;
pub use folds::{Division, Fold};
pub use importance::{Importance, Importances, permutation_importance};
pub use lbfgs::Lbfgs;
pub use mapped::Mapped;
pub use model::{Model, Task};
pub use model_file::ModelFile;
pub use outline::Outline;
pub use predict::predict_rows;
pub use roles::Roles;
pub use rounds::{InBytes, Rounds};
pub use schema::{Field, Kind, Schema};
pub use sparse::{Sparse, SparseRef, SparseTable};
pub use split::split;
pub use storage::{Array, ArrayMut, Growing, Storage, Texts};
pub use stored::StoredTable;
pub use unseen::Unseen;
