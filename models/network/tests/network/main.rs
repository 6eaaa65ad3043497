//! Gradients against central differences, optimisers against PyTorch, bits over threads, files of ONNX, products of bytes, bad input.

mod continued;
mod embedding;
mod exported;
mod full_batch;
mod going_on;
mod golden_numbers;
mod gradients;
mod images;
mod import;
mod networks;
mod onnx;
mod promises;
mod quantised;
mod tables;
mod text;
mod twin;
