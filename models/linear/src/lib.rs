#![doc = include_str!("../README.md")]

mod block;
mod categories;
mod cholesky;
mod deviance;
pub mod elastic_net;
pub mod generalised;
pub mod gradient_descent;
pub mod huber;
pub mod inference;
mod jacobi;
pub mod least_squares;
pub mod logistic;
mod model;
mod moments;
mod newton;
mod optimality;
pub mod pipeline;
mod qr;
pub mod quantile;
mod residual;
mod rows;
mod sparse;
mod stages;
mod sweep;

pub use block::Element;
pub use deviance::Distribution;
pub use elastic_net::{Alphas, Choice, ElasticNet, ElasticNetSolver, PathStep};
pub use generalised::Generalised;
pub use gradient_descent::{DescentLoss, GradientDescent};
pub use huber::{Huber, Residuals};
pub use inference::{Coefficient, Errors, Inference};
pub use least_squares::LeastSquares;
pub use logistic::{ClassWeights, Logistic, LogisticSolver};
pub use model::{LinearModel, Link};
pub use quantile::Quantile;
pub use rows::{Chunk, Rows};
