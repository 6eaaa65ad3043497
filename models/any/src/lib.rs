//! Any Tilewise model: trained by the name of its family, or loaded from its file.
//!
//! ```
//! use tilewise_base::{Column, Context, Dataset, Roles, predict_dataset};
//! use tilewise_models::{Settings, load_bytes, train};
//! let x = Column::F64(vec![1.0, 2.0, 3.0, 4.0].into());
//! let y = Column::F64(vec![3.0, 5.0, 7.0, 9.0].into());
//! let table = Dataset::new(vec![("x".into(), x), ("y".into(), y)])?;
//! let model = train("linear", &table, &Roles::target("y"), &Settings::default(), &Context::default())?;
//! let same = load_bytes(&model.to_bytes()?)?;
//! assert!((predict_dataset(&*same, &table, None)?[3] - 9.0).abs() < 1e-12);
//! # Ok::<(), tilewise_base::Error>(())
//! ```

mod constraints;
mod cross;
mod elastic_net;
mod export;
mod family;
mod forest;
mod gbdt;
mod generalised;
mod group_lasso;
mod isolation;
mod linear;
mod network;
mod pieces;
mod robust;
mod settings;
pub mod space;
mod sparse;
mod stochastic;
mod tree;
mod tune;

pub use cross::{CrossValidation, FoldScores, cross_validate, mean_and_error};
pub use family::{
    FAMILIES, Family, Purpose, begin, continue_training, export, family, load, load_bytes, map, train, work,
};
pub use pieces::{piece, trainer};
pub use settings::{Setting, Settings};
pub use space::Space;
pub use sparse::{takes_sparse, train_sparse};
pub use tilewise_gbdt::export::{Exported, Format};
pub use tilewise_tree::rounds::pieces::Piece;
pub use tune::{Measured, Method, Resource, Rung, Search, Trial, Tuned, tune};
