//! Gradients against central differences, optimisers against PyTorch, bits over threads, bad input.

mod going_on;
mod golden_numbers;
mod gradients;
mod images;
mod promises;
mod twin;
