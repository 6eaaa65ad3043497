#![doc = include_str!("../README.md")]

mod add;
pub mod batched;
mod bf16;
mod centred;
mod columns;
mod conv;
mod elementary;
mod extremes;
mod float;
mod gemm;
mod gemv;
mod matrix;
mod mixed;
mod moments;
pub mod naive;
mod norms;
pub mod parallel;
mod quantised;
pub mod random;
mod reduce;
pub mod roofline;
mod rows;
mod scratch;
pub mod simd;
mod syrk;
pub mod tree;
mod vector;

pub use add::add;
pub use batched::{TensorMut, TensorRef, gemm_batched};
pub use bf16::{Bf16, narrow_bf16, widen_bf16};
pub use centred::{centred_squares, centred_sums};
pub use conv::{Conv2d, Kernel2d};
pub use elementary::{
    ERF_ULP, EXP_ULP, Elementary, GELU_ULP, LOG_ULP, SIGMOID_ULP, SOFTPLUS_ULP, SOFTSIGN_ULP, TANH_ULP, erf,
    exp, gelu, log, log_softmax, sigmoid, softmax, softplus, softsign, tanh,
};
pub use extremes::{arg_max, arg_min, min_max, row_arg_max, row_max};
pub use float::{Float, Storage, f32_above, f32_up_to};
pub use gemm::{Activation, Gemm, GemmPlan, PackedB, RightSide, gemm};
pub use gemv::gemv;
pub use matrix::{MatMut, MatRef, ShapeError, same};
pub use mixed::gemm_mixed;
pub use moments::{Moments, column_moments, moments};
pub use norms::{norm_inf, norm1, norm2};
pub use quantised::{
    I8Kernel, PackedI8, Quantisation, Quantised, Scales, dequantise, gemm_i8, gemm_i8_scaled, quantise,
};
pub use rows::{column_sums, row_sums};
pub use scratch::zeros;
pub use syrk::{gram, gram_and_sums, syrk};
pub use vector::{axpy, dot, scale, sum};
