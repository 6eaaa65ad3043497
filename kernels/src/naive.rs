//! The definitions: every kernel again in the plainest form, serial, safe, summing in `f64` from left to right.
//!
//! These are what the kernels are tested against and what the reports call *naive*. Nothing here is tuned on purpose.

mod add;
mod batched;
mod centred;
mod conv;
mod elementary;
mod extremes;
mod gemm;
mod gemv;
mod mixed;
mod moments;
mod quantised;
mod rows;
mod syrk;
pub mod tree;
mod vector;

pub use add::add;
pub use batched::gemm_batched;
pub use centred::{centred_squares, centred_sums};
pub use conv::{conv2d, conv2d_gradient_input, conv2d_gradient_weights};
pub use elementary::{erf, exp, gelu, log, log_softmax, sigmoid, softmax, softplus, softsign, tanh};
pub use extremes::{arg_max, arg_min, min_max, row_arg_max, row_max};
pub use gemm::{activation, gemm, gemm_fused, gemm_loops};
pub use gemv::gemv;
pub use mixed::{gemm_mixed, to_bf16};
pub use moments::{column_moments, moments};
pub use quantised::{dequantise, gemm_i8, gemm_i8_scaled, quantise};
pub use rows::{column_sums, row_sums};
pub use syrk::{gram, syrk};
pub use vector::{axpy, dot, norm_inf, norm1, norm2, scale, sum};
