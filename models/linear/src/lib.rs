//! Least squares, ridge, logistic and multinomial regression.
//!
//! ```
//! use tilewise_base::Context;
//! use tilewise_kernels::MatRef;
//! use tilewise_linear::{LeastSquares, Rows};
//!
//! let x = [0.0, 1.0, 2.0, 3.0];
//! let y = [1.0, 3.0, 5.0, 7.0];
//! let x = MatRef::new(&x, 4, 1)?;
//! let fit = LeastSquares::default().fit(x, &y, Rows::default(), &Context::default())?;
//! let mut out = [0.0];
//! fit.model.predict_row(&[10.0], 0.0, &mut out)?;
//! assert!((out[0] - 21.0).abs() < 1e-12);
//! # Ok::<(), tilewise_base::Error>(())
//! ```

mod block;
mod cholesky;
pub mod gradient_descent;
mod jacobi;
mod lbfgs;
pub mod least_squares;
pub mod logistic;
mod model;
mod moments;
mod newton;
mod qr;
mod residual;
mod rows;
mod solver;
mod sweep;

pub use block::Element;
pub use gradient_descent::{DescentLoss, GradientDescent};
pub use least_squares::LeastSquares;
pub use logistic::{ClassWeights, Logistic, LogisticSolver};
pub use model::{LinearModel, Link};
pub use rows::{Chunk, Rows};
